"""The note of a stop: what it says, that it is whole after every crash, and what is not taken for one."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.disks import FakeDisk, PowerLoss
from tests.sentinel.note_disks import StepDisk

from interlock.domain.errors import DamagedState
from interlock.sentinel.gate_process import GateIdentity
from interlock.sentinel.note import MOST_BYTES, UNKNOWN, HostDisk, Stop, encoded, note_beside, read_note, replace, unfinished
from interlock.sentinel.sweep import Scope

PATH = Path("/run/stop-note")
FIRST = Stop(scope=Scope.OWN, client_ids={"bybit": ("mk01a", "mk01b"), "upbit": ()}, gate=(17, 5, 3), kernel_boot_id="k")
SECOND = Stop(scope=Scope.ALL, client_ids={})
IDS = st.dictionaries(st.text(max_size=8), st.lists(st.text(max_size=40), max_size=4).map(tuple), max_size=3)


def written(path: Path, data: bytes) -> Path:
    replace(HostDisk(), path, data)
    return path


def kept(path: Path, data: bytes) -> Stop | None:
    return read_note(HostDisk(), written(path, data))


@given(scope=st.sampled_from(Scope), ids=IDS, gate=st.none() | st.tuples(*[st.integers(2, 2**62)] * 3), boot=st.text(max_size=36))
def test_what_was_noted_is_read_back(scope: Scope, ids: dict[str, tuple[str, ...]], gate: tuple[int, int, int] | None, boot: str) -> None:
    stop = Stop(scope=scope, client_ids=ids, gate=gate, kernel_boot_id=boot)
    disk = StepDisk(FakeDisk())
    for noted in (stop, None, stop):
        replace(disk, PATH, encoded(noted))
        assert read_note(disk, PATH) == noted


def test_the_gate_is_a_process_or_none() -> None:
    assert FIRST.gate_identity == GateIdentity(17, 5, 3, "k")
    assert UNKNOWN.gate_identity is None
    assert Stop(scope=Scope.OWN, client_ids={}, gate=(1, 0, 0)).gate_identity is None


@given(choices=st.lists(st.integers(0, 2), max_size=40), crash_at=st.integers(0, 16))
def test_after_every_crash_the_old_note_is_there_or_the_new_one(choices: list[int], crash_at: int) -> None:
    """The power goes before any step of three notes, a torn leftover among them; what is read is one of those that were meant, whole."""
    inner = FakeDisk()
    inner.crash_at = crash_at
    disk = StepDisk(inner)
    noted: list[Stop | None] = []
    begun: list[Stop | None] = []
    try:
        for stop in (FIRST, None, SECOND):
            begun.append(stop)
            replace(disk, PATH, encoded(stop))
            noted.append(stop)
    except PowerLoss:
        assert crash_at == len(inner.steps)
    luck = iter(choices)
    after = StepDisk(inner.after_power_loss(lambda many: next(luck, 0) % many))
    try:
        found = read_note(after, PATH)
    except FileNotFoundError:
        assert not noted
    else:
        assert found in begun[max(len(noted) - 1, 0) :]
    # And the next one can be written over whatever the crash left.
    replace(after, PATH, encoded(SECOND))
    assert read_note(after, PATH) == SECOND


def test_every_step_of_a_note_is_a_crash_point() -> None:
    """The control of the test above: the first note takes five steps, and one that replaces another no more."""
    inner = FakeDisk()
    replace(StepDisk(inner), PATH, encoded(FIRST))
    assert inner.steps == ["create", "write", "sync", "rename", "sync_directory"]
    replace(StepDisk(inner), PATH, encoded(None))
    assert inner.steps[5:] == inner.steps[:5]


@given(cut=st.integers(0, 400), flip=st.integers(0, 400))
def test_a_note_that_is_torn_or_changed_is_damage(cut: int, flip: int) -> None:
    whole = encoded(FIRST)
    disk = StepDisk(FakeDisk())
    torn = whole[: cut % len(whole)]
    changed = bytearray(whole)
    changed[flip % len(whole)] ^= 1
    for data in (torn, bytes(changed)):
        replace(disk, PATH, data)
        with pytest.raises(DamagedState, match="stop note"):
            read_note(disk, PATH)


def test_another_version_and_other_fields_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "n"
    assert kept(path, encoded(FIRST)) == FIRST
    with pytest.raises(DamagedState, match="expected version interlock-stop-note-1, found b'interlock-stop-note-2'"):
        kept(path, encoded(FIRST).replace(b"note-1", b"note-2"))
    with pytest.raises(DamagedState, match="expected version"):
        kept(path, b"")


def test_what_is_no_private_file_is_no_note(tmp_path: Path) -> None:
    path = written(tmp_path / "n", encoded(FIRST))
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileNotFoundError):
        read_note(HostDisk(), tmp_path / "none")
    path.chmod(0o620)
    with pytest.raises(DamagedState, match="expected a file that only user"):
        read_note(HostDisk(), path)
    path.chmod(0o600)
    (tmp_path / "link").symlink_to(path)
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("link", "fifo", "folder"):
        with pytest.raises(DamagedState, match="expected one that can be read"):
            read_note(HostDisk(), tmp_path / name)
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(DamagedState, match="expected at most"):
        read_note(HostDisk(), path)
    # The control: it was only these.
    assert kept(path, encoded(FIRST)) == FIRST


def test_a_file_of_another_user_is_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "n", encoded(FIRST))
    found = os.stat(path)
    strange = SimpleNamespace(st_mode=found.st_mode, st_size=found.st_size, st_uid=found.st_uid + 1)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", lambda _descriptor: strange)
        with pytest.raises(DamagedState, match="only user"):
            read_note(HostDisk(), path)
    assert read_note(HostDisk(), path) == FIRST


def test_the_note_in_memory_is_the_newer_one_and_without_it_the_one_on_disk_counts(tmp_path: Path) -> None:
    in_memory, on_disk = note_beside(tmp_path / "stop-word"), tmp_path / "disk"
    assert unfinished(in_memory, on_disk, HostDisk()) is None
    written(on_disk, encoded(FIRST))
    assert unfinished(in_memory, on_disk, HostDisk()) == FIRST
    written(in_memory, encoded(None))
    assert unfinished(in_memory, on_disk, HostDisk()) is None
    written(in_memory, encoded(SECOND))
    assert unfinished(in_memory, on_disk, HostDisk()) == SECOND
    written(on_disk, b"torn")
    assert unfinished(in_memory, on_disk, HostDisk()) == SECOND
    # What cannot be read in memory may be newer than the disk.
    written(in_memory, b"torn")
    written(on_disk, encoded(None))
    with pytest.raises(DamagedState):
        unfinished(in_memory, on_disk, HostDisk())
