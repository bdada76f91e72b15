"""The machine's own disk: what is asked of the operating system, how often, and what is left open."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from interlock.gate.journal import SystemDisk
from interlock.gate.journal.disk import write_all

DISK = SystemDisk()


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Modes as they were asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


def held(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except FileNotFoundError:
            continue
        if target.startswith(str(folder)):
            found.append(Path(target).name)
    return sorted(found)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class Syncs:
    """What was synced, by name; the real calls are made."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.data: list[str] = []
        self.names: list[str] = []
        fdatasync, fsync = os.fdatasync, os.fsync

        def of_data(descriptor: int) -> None:
            self.data.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
            fdatasync(descriptor)

        def of_names(descriptor: int) -> None:
            self.names.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
            fsync(descriptor)

        patch.setattr(os, "fdatasync", of_data)
        patch.setattr(os, "fsync", of_names)


def test_a_sync_asks_the_kernel_for_the_content_and_a_folder_for_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without these calls everything works until the power goes."""
    syncs = Syncs(monkeypatch)
    file = DISK.create(tmp_path / "file")
    file.write(b"x", 0)
    assert (syncs.data, syncs.names) == ([], [])
    file.sync()
    assert (syncs.data, syncs.names) == (["file"], [])
    file.close()
    DISK.sync_directory(tmp_path)
    assert (syncs.data, syncs.names) == (["file"], [tmp_path.name])


def test_a_new_folder_is_durable_and_one_that_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = Syncs(monkeypatch)
    (tmp_path / "outer").mkdir()
    DISK.make_directory(tmp_path / "outer" / "inner")
    assert syncs.names == ["outer"]
    DISK.make_directory(tmp_path / "outer" / "inner")
    assert syncs.names == ["outer"]


@pytest.mark.usefixtures("no_umask")
def test_others_read_nothing(tmp_path: Path) -> None:
    DISK.make_directory(tmp_path / "folder")
    DISK.create(tmp_path / "file").close()
    DISK.lock(tmp_path / "lock").release()
    assert (mode(tmp_path / "folder"), mode(tmp_path / "file"), mode(tmp_path / "lock")) == (0o750, 0o640, 0o640)


def test_what_is_closed_and_released_is_no_longer_open(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    DISK.make_directory(folder)
    assert held(tmp_path) == []
    made = DISK.create(folder / "file")
    assert held(tmp_path) == ["file"]
    made.close()
    opened = DISK.open(folder / "file")
    assert held(tmp_path) == ["file"]
    opened.close()
    lock = DISK.lock(folder / "lock")
    assert held(tmp_path) == ["lock"]
    with pytest.raises(BlockingIOError):
        DISK.lock(folder / "lock")
    assert held(tmp_path) == ["lock"]
    lock.release()
    DISK.sync_directory(folder)
    assert held(tmp_path) == []


def test_only_a_folder_is_synced_as_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        DISK.sync_directory(tmp_path / "file")
    DISK.sync_directory(tmp_path)


def test_a_lock_is_not_taken_through_a_link_and_makes_nothing_where_it_points(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        DISK.lock(tmp_path / "lock")
    assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "lock").unlink()
    DISK.lock(tmp_path / "lock").release()
    assert (tmp_path / "lock").exists()


def test_a_lock_that_became_a_link_to_itself_while_it_was_taken_counts_as_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name no longer is the file that was locked: whoever removes the link and makes the name again is not kept out."""
    path, flock = tmp_path / "lock", fcntl.flock

    def replaced(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", replaced)
        with pytest.raises(BlockingIOError, match="was replaced while it was locked"):
            DISK.lock(path)
    assert held(tmp_path) == []
    path.unlink()
    DISK.lock(path).release()


def test_a_read_asks_again_for_what_is_missing_and_for_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"hello world")
    file, pread = DISK.open(tmp_path / "file"), os.pread
    asked: list[tuple[int, int]] = []
    most = 100

    def little(descriptor: int, size: int, offset: int) -> bytes:
        asked.append((size, offset))
        return pread(descriptor, min(size, most), offset)

    monkeypatch.setattr(os, "pread", little)
    assert file.read(5, 0) == b"hello"
    assert file.read(5, 99) == b""
    assert asked == [(5, 0), (5, 99)], "an answer that is whole, or the end, is not asked for again"
    asked.clear()
    most = 3
    assert file.read(4, 0) == b"hell"
    assert file.read(8, 6) == b"world"
    assert asked == [(4, 0), (1, 3), (8, 6), (5, 9), (3, 11)]
    file.close()


def test_what_a_disk_takes_in_several_pieces_is_given_to_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pwrite = os.pwrite
    given: list[tuple[bytes, int]] = []

    def little(descriptor: int, data: bytes, offset: int) -> int:
        assert len(given) < 9, "it is given the same again and again"
        given.append((bytes(data), offset))
        return pwrite(descriptor, data[:4], offset)

    file = DISK.create(tmp_path / "file")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", little)
        write_all(file, b"hello world", 2)
    file.close()
    assert (tmp_path / "file").read_bytes() == b"\0\0hello world"
    assert given == [(b"hello world", 2), (b"o world", 6), (b"rld", 10)]
