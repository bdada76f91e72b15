"""Segments as they are written: sizes at their bounds, what goes into one batch, and how the next segment is made ready."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.gate.disks import FakeDisk, FakeFile, Inode
from tests.gate.journal.helpers import FOLDER, SCHEMA, SMALL, begin, read, write

from interlock.domain.errors import UsageError
from interlock.gate.journal import Options
from interlock.gate.journal.format import BLOCK
from interlock.gate.journal.writer import SegmentWriter

MIB = 1 << 20


def test_the_sizes_of_a_journal_that_says_none() -> None:
    assert Options() == Options(segment_bytes=64 * MIB, batch_bytes=MIB, reserve_bytes=4 * MIB)


TEN_BLOCKS = {"segment_bytes": 10 * BLOCK, "batch_bytes": 4 * BLOCK, "reserve_bytes": 8 * BLOCK}
"""Eight blocks beside the header and the seal: two batches of four, and at most all of it in reserve."""


@pytest.mark.parametrize(
    ("change", "fits"),
    [
        ({}, True),
        ({"batch_bytes": BLOCK}, True),
        ({"batch_bytes": 5 * BLOCK}, False),
        ({"batch_bytes": 8 * BLOCK}, False),
        ({"batch_bytes": 3 * BLOCK + 1}, False),
        ({"segment_bytes": 10 * BLOCK - 1, "reserve_bytes": 0, "batch_bytes": BLOCK}, False),
        ({"segment_bytes": 12 * BLOCK + 1}, False),
        ({"segment_bytes": 9 * BLOCK, "reserve_bytes": 0}, False),
        ({"reserve_bytes": 0}, True),
        ({"reserve_bytes": 8 * BLOCK + 1}, False),
    ],
)
def test_the_sizes_at_their_bounds(change: dict[str, int], fits: bool) -> None:
    if fits:
        assert Options(**TEN_BLOCKS | change).segment_bytes == 10 * BLOCK
    else:
        with pytest.raises(UsageError, match="whole blocks of 512 bytes, two batches and the reserve to fit"):
            Options(**TEN_BLOCKS | change)


# What goes into one batch


@pytest.mark.parametrize(
    ("written", "records", "count"),
    [
        (0, [400] * 3, 2),  # two blocks hold a header and two of them
        (0, [458] * 2, 2),  # to the last byte
        (0, [459, 458], 1),
        (0, [920], 1),
        (4, [400] * 3, 2),
        (5, [400] * 3, 1),  # one block is left: the first fits there and the others go to the next segment
        (5, [408, 1], 1),
        (5, [409, 1], 2),  # it does not fit there, so that all go to the next
    ],
)
def test_a_batch_takes_what_it_may_hold_and_what_is_left_of_the_segment(written: int, records: list[int], count: int) -> None:
    disk = FakeDisk()
    writer = begin(disk)
    for _ in range(written):
        write(writer, [b"x"])
    assert writer.left_bytes == (6 - written) * BLOCK
    payloads = [bytes(size) for size in records]
    assert writer.fitting(payloads) == count
    rolled = writer.write(payloads[:count])
    assert rolled == (records == [409, 1])
    writer.sync()
    writer.close()
    assert read(disk)[1][written:] == payloads[:count]


# The next segment


class Pieces(FakeDisk):
    """Notes what is written to files that are being made, and when it is synced."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[tuple[str, int, int]] = []

    def create(self, path: Path) -> FakeFile:
        super().create(path)
        return Piecewise(self, self.files[path])


class Piecewise(FakeFile):
    def __init__(self, disk: Pieces, inode: Inode) -> None:
        super().__init__(disk, inode)
        self._noted = disk.pieces

    def write(self, data: bytes, offset: int) -> int:
        self._noted.append(("write", offset, len(data)))
        return super().write(data, offset)

    def sync(self) -> None:
        self._noted.append(("sync", 0, 0))
        super().sync()


def test_a_segment_is_filled_with_zeros_a_mebibyte_at_a_time_each_of_them_synced() -> None:
    """A barrier of the segment in use waits behind one piece at most, not behind the whole next segment."""
    disk = Pieces()
    disk.make_directory(FOLDER)
    options = Options(segment_bytes=2 * MIB + BLOCK, batch_bytes=BLOCK, reserve_bytes=0)
    writer = SegmentWriter(disk, FOLDER, options, schema=SCHEMA, incarnation=bytes(16), found=read(disk)[0])
    sync = ("sync", 0, 0)
    zeroed = [("write", 0, MIB), sync, ("write", MIB, MIB), sync, ("write", 2 * MIB, BLOCK), sync]
    assert disk.pieces == [*zeroed, ("write", 0, BLOCK), sync, *zeroed]
    assert {inode.size for inode in disk.files.values()} == {2 * MIB + BLOCK}
    writer.close()


def rolled(disk: FakeDisk) -> SegmentWriter:
    """A writer that used its spare segment and got no other yet."""
    writer = begin(disk)
    while writer.spare_bytes:
        writer.write([b"x"])
        writer.sync()
    return writer


def test_as_much_room_as_a_segment_takes_is_enough_and_a_byte_less_is_not() -> None:
    disk = FakeDisk()
    writer = rolled(disk)
    disk.free = SMALL.segment_bytes - 1
    assert writer.prepare() is False
    assert (writer.spare_problem, writer.spare_bytes) == ("no room for a whole segment", 0)
    disk.free = SMALL.segment_bytes
    assert writer.prepare() is True
    assert (writer.spare_problem, writer.spare_bytes) == ("", 6 * BLOCK)
    assert writer.prepare() is True
    writer.close()


def test_why_there_is_no_spare_segment_is_told_also_where_the_system_has_no_word_for_it() -> None:
    disk = FakeDisk()
    writer = rolled(disk)
    disk.short = dict.fromkeys(range(len(disk.steps), len(disk.steps) + 9), 0)
    assert writer.prepare() is False
    assert writer.spare_problem == "expected to write 4096 bytes, the disk took 0 and no more"
    disk.short = {}
    disk.faults[len(disk.steps)] = errno.EDQUOT
    assert writer.prepare() is False
    assert writer.spare_problem.startswith("injected at step")
    assert writer.prepare() is True
    assert writer.spare_problem == ""
    writer.close()


def test_a_writer_that_was_closed_has_no_spare_segment() -> None:
    disk = FakeDisk()
    writer = begin(disk)
    assert writer.spare_bytes == 6 * BLOCK
    writer.close()
    assert writer.spare_bytes == 0
