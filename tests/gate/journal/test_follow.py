"""Reading while somebody writes, and the machine's own disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.gate.disks import FakeDisk
from tests.gate.journal.helpers import FOLDER, begin, file, flip, journal, payload, snapshot, write

from interlock.domain.errors import DamagedState, Refused
from interlock.gate.journal import Follower, Options, SystemDisk, archive, open_journal, recover
from interlock.gate.journal.disk import unlink_if_there
from interlock.gate.journal.segments import Place, SegmentReader, open_place, open_reader


def everything(follower: Follower) -> list[tuple[int, bytes]]:
    got: list[tuple[int, bytes]] = []
    while found := follower.poll():
        got += found
    return got


def test_a_follower_sees_each_record_once_over_rolls_boots_and_archives() -> None:
    disk = FakeDisk()
    disk.make_directory(FOLDER)
    follower = Follower(disk, FOLDER, schema=1)
    assert follower.poll() == []
    got = []
    for life in range(3):
        writer = begin(disk, b"%d" % life)
        got += everything(follower)
        for number in range(5 * life, 5 * life + 5):
            write(writer, [payload(number)])
            got += everything(follower)
        writer.close()
        snapshot(disk, recover(disk, FOLDER, schema=1))
    archive(disk, FOLDER, 1)
    assert everything(follower) == []
    follower.close()
    assert got == [(number + 1, payload(number)) for number in range(15)]
    assert everything(Follower(disk, FOLDER, schema=1)) == got
    assert everything(Follower(disk, FOLDER, schema=1, from_lsn=8)) == got[7:]
    assert everything(Follower(disk, FOLDER, schema=1, from_lsn=99)) == []


def test_a_follower_begins_with_what_is_left_and_refuses_damage() -> None:
    disk = journal(10)
    flip(disk, file(disk, 1), 600)
    follower = Follower(disk, FOLDER, schema=1)
    follower.poll()
    with pytest.raises(DamagedState, match="before the next segment"):
        everything(follower)
    follower.close()
    flip(disk, file(disk, 1), 600)
    disk.unlink(file(disk, 0))
    left = everything(Follower(disk, FOLDER, schema=1))
    assert left[0][0] > 1
    assert left[-1] == (10, payload(9))


class BeingWritten:
    """A segment whose second batch is unfinished when it is read first, and whole with another after it from then on."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.unfinished = True

    def read(self, size: int, offset: int) -> bytes:
        found = self.content[offset : offset + size]
        if offset == 1024 and size == 512 and self.unfinished:
            self.unfinished = False
            return bytes(256) + found[256:]
        return found

    def size(self) -> int:
        return len(self.content)

    def close(self) -> None: ...


def test_a_batch_that_is_completed_while_it_is_looked_at_is_no_damage() -> None:
    disk = journal(3)
    path = file(disk)
    place = Place(1, path, archived=False)
    source = BeingWritten(bytes(disk.files[path].durable))
    assert [batch.number for batch in SegmentReader(source, place, 1).batches()] == [1, 2, 3]
    assert not source.unfinished
    flip(disk, path, 1024 + 20)
    with pytest.raises(DamagedState):
        list(open_reader(disk, place, 1).batches())


def test_a_segment_that_is_archived_between_listing_and_opening_is_found() -> None:
    disk = journal(10)
    place = Place(1, file(disk, 0), archived=False)
    size = disk.files[place.path].size
    snapshot(disk, recover(disk, FOLDER, schema=1))
    assert archive(disk, FOLDER, 1)
    assert open_place(disk, place).size() == size
    with pytest.raises(DamagedState, match="that can be opened"):
        open_reader(disk, Place(77, FOLDER / "77.seg", archived=False), 1)


def test_the_real_disk(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    options = Options(segment_bytes=64 << 10, batch_bytes=8 << 10, reserve_bytes=0)
    disk = SystemDisk()
    for life in range(3):
        writer, found = open_journal(disk, folder, schema=1, incarnation=b"%d" % life * 16, options=options)
        assert found.mark.lsn == 40 * life
        assert writer.room().free_bytes > 0
        for number in range(40):
            writer.commit(payload(number))
        writer.write_snapshot(writer.durable_mark, bytes(32), b"state")
        if life == 0:
            with pytest.raises(Refused):
                open_journal(disk, folder, schema=1, incarnation=bytes(16), options=options)
        writer.close()
    assert archive(disk, folder, 1)
    got: list[bytes] = []
    found = recover(disk, folder, schema=1, consume=lambda lsn, record: got.append(record))
    assert got == [payload(number) for number in range(40)] * 3
    assert found.sealed
    assert (folder.stat().st_mode & 0o777) == 0o750 & ~_umask()
    unlink_if_there(disk, folder / "spare.tmp")


def _umask() -> int:
    found = os.umask(0)
    os.umask(found)
    return found


def test_the_real_disk_reads_writes_and_locks_as_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SystemDisk()
    path = tmp_path / "file"
    made = disk.create(path)
    assert made.write(b"hello", 3) == 5
    made.sync()
    assert (made.size(), made.read(100, 2), made.read(2, 3), made.read(1, 99)) == (8, b"\0hello", b"he", b"")
    made.close()
    with pytest.raises(FileExistsError):
        disk.create(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(OSError, match="link"):
        disk.open(tmp_path / "link")
    whole = os.pread
    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", lambda fd, size, offset: whole(fd, min(size, 3), offset))
        opened = disk.open(path)
        assert opened.read(5, 3) == b"hello"
        assert opened.read(9, 3) == b"hello"
        opened.close()
    held = disk.lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        disk.lock(tmp_path / "lock")
    held.release()
    disk.lock(tmp_path / "lock").release()
    stat = os.stat
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda path, **more: stat(tmp_path))
        with pytest.raises(BlockingIOError, match="replaced"):
            disk.lock(tmp_path / "lock")
