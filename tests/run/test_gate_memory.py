"""Where the stop word of a folder is in memory: one place a folder, for as long as the folder lives, and never another folder's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.domain.errors import DamagedState, Refused
from interlock.run.gate_config import STOP_NOTE
from interlock.run.gate_memory import ID, MEMORY, file_system_of, memory_folder, take_over_word_on_disk
from interlock.sentinel.gate_process import identity_of
from interlock.sentinel.note import UNKNOWN, HostDisk, Stop, encoded, read_note, replace, unfinished
from interlock.sentinel.stop_word import StopWord
from interlock.sentinel.sweep import Scope

LIFE = "0123456789abcdef" * 2
IN_MEMORY_NOTE = "note-in-memory"
KNOWN = Stop(scope=Scope.ALL, client_ids={"bybit": ("a",)})


@pytest.fixture
def memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="interlock-test-") as name:
        yield Path(name)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "gate" / "run").mkdir(parents=True)
    return tmp_path / "gate" / "run"


def place(run: Path, memory: Path) -> Path:
    return memory_folder(run, run / STOP_NOTE, HostDisk(), memory)


def noted(run: Path) -> Stop | None:
    try:
        return read_note(HostDisk(), run / STOP_NOTE)
    except FileNotFoundError:
        return None


def test_a_folder_has_one_place_for_ever_and_it_is_private(run: Path, memory: Path) -> None:
    first = place(run, memory)
    assert first == place(run, memory)
    assert first.parent == memory
    assert (first.stat().st_mode & 0o777, (run / ID).stat().st_mode & 0o777) == (0o750, 0o600)
    # After the host's boot the memory is empty, and the place the same.
    first.rmdir()
    assert place(run, memory) == first
    assert first.is_dir()
    assert noted(run) is None


def test_a_renamed_folder_keeps_its_place_and_a_copy_a_new_one_and_another_folder_have_their_own(run: Path, memory: Path) -> None:
    first = place(run, memory)
    moved = run.parent.rename(run.parent.with_name("moved")) / "run"
    assert place(moved, memory) == first
    copied = Path(shutil.copytree(moved.parent, run.parent)) / "run"
    assert (copied / ID).read_bytes() == (moved / ID).read_bytes()
    copy = place(copied, memory)
    shutil.rmtree(copied)
    copied.mkdir()
    fresh = place(copied, memory)
    assert len({first, copy, fresh}) == 3


@pytest.mark.parametrize("damage", ["torn", "empty", "longer", "others write it", "a link", "a folder"])
def test_an_id_that_cannot_be_read_is_a_stop_that_is_not_at_its_end(run: Path, memory: Path, damage: str) -> None:
    first = place(run, memory)
    path = run / ID
    match damage:
        case "torn":
            path.write_bytes(path.read_bytes()[:-1])
        case "empty":
            path.write_bytes(b"")
        case "longer":
            path.write_bytes(path.read_bytes() + b"\n")
        case "others write it":
            path.chmod(0o620)
        case "a link":
            path.rename(run / "elsewhere")
            path.symlink_to(run / "elsewhere")
        case _:
            path.unlink()
            path.mkdir()
    if damage == "a folder":
        # Nothing can be put in its place: no start, and the stop is noted.
        with pytest.raises(OSError, match="directory"):
            place(run, memory)
    else:
        second = place(run, memory)
        assert second != first
        assert place(run, memory) == second
    assert noted(run) == UNKNOWN


def test_a_stop_that_is_noted_already_knows_more(run: Path, memory: Path) -> None:
    for before, after in ((encoded(KNOWN), KNOWN), (encoded(None), UNKNOWN)):
        place(run, memory)
        replace(HostDisk(), run / STOP_NOTE, before)
        (run / ID).write_bytes(b"damaged")
        place(run, memory)
        assert noted(run) == after
    # A note that cannot be read is a stop as it is.
    (run / STOP_NOTE).write_bytes(b"torn")
    (run / ID).write_bytes(b"damaged")
    place(run, memory)
    assert (run / STOP_NOTE).read_bytes() == b"torn"


def test_what_is_no_memory_or_somebody_elses_is_refused(run: Path, memory: Path) -> None:
    assert file_system_of(memory) == "tmpfs"
    with pytest.raises(Refused, match=r"expected memory .* mount a tmpfs there"):
        place(run, Path("/proc"))
    with pytest.raises(Refused, match="found nothing"):
        place(run, memory / "none")
    first = place(run, memory)
    first.rmdir()
    first.symlink_to(run)
    with pytest.raises(Refused, match="expected a folder"):
        place(run, memory)
    first.unlink()
    assert place(run, memory) == first


@pytest.mark.parametrize(("what", "scope"), [(1, Scope.OWN), (2, Scope.ALL), (0, None)])
def test_the_word_of_an_earlier_version_is_taken_over_with_what_it_still_asks_for(run: Path, what: int, scope: Scope | None) -> None:
    old = run / "stop-word"
    word = StopWord.create(old, LIFE)
    word.begin_sweep(what)
    word.stop(1)
    word.close()
    take_over_word_on_disk(old, run / STOP_NOTE, run / IN_MEMORY_NOTE, HostDisk())
    stop = noted(run)
    assert (None if stop is None else stop.scope) == scope
    if stop is not None:
        assert stop.gate_identity == identity_of(os.getpid())
    assert not old.exists()
    # Where there is none there is nothing to do.
    take_over_word_on_disk(old, run / STOP_NOTE, run / IN_MEMORY_NOTE, HostDisk())
    assert noted(run) == stop


def test_a_word_of_an_earlier_version_that_names_no_process_or_cannot_be_read_is_taken_over_too(run: Path) -> None:
    old = run / "stop-word"
    word = StopWord.create(old, LIFE)
    word.begin_sweep(2)
    word.stop(1)
    word.close()
    with old.open("r+b") as file:
        file.seek(8 * 6)
        file.write(bytes(8))
    take_over_word_on_disk(old, run / STOP_NOTE, run / IN_MEMORY_NOTE, HostDisk())
    assert noted(run) == Stop(scope=Scope.ALL, client_ids={})
    (run / STOP_NOTE).unlink()
    old.write_bytes(b"x")
    take_over_word_on_disk(old, run / STOP_NOTE, run / IN_MEMORY_NOTE, HostDisk())
    assert (noted(run), old.exists()) == (UNKNOWN, False)


@pytest.mark.parametrize("known", [None, Stop(scope=Scope.OWN, client_ids={"bybit": ("a",)}), b"damage"])
def test_the_end_of_a_stop_in_memory_does_not_hide_the_word_of_an_earlier_version(run: Path, known: Stop | bytes | None) -> None:
    """Whoever goes back to an earlier version and forth again within one boot of the host; the note in memory is read first."""
    old, in_memory = run / "stop-word", run / IN_MEMORY_NOTE
    in_memory.write_bytes(known if isinstance(known, bytes) else encoded(known))
    word = StopWord.create(old, LIFE)
    word.begin_sweep(2)
    word.stop(1)
    word.close()
    take_over_word_on_disk(old, run / STOP_NOTE, in_memory, HostDisk())
    if isinstance(known, bytes):
        with pytest.raises(DamagedState):
            unfinished(in_memory, run / STOP_NOTE, HostDisk())
    else:
        found = unfinished(in_memory, run / STOP_NOTE, HostDisk())
        assert found == (Stop(scope=Scope.ALL, client_ids={}, gate=noted_gate()) if known is None else known)


def noted_gate() -> tuple[int, int, int]:
    gate = identity_of(os.getpid())
    assert gate is not None
    return gate.pid, gate.start_ticks, gate.pid_namespace
