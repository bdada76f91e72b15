"""Caches at their bounds: which snapshot is believed, which promise counts, what is packed away, and what a follower reads again."""

from __future__ import annotations

import hashlib
import lzma
import struct
from pathlib import Path

import pytest
from tests.gate.disks import FakeDisk
from tests.gate.journal.helpers import FOLDER, SCHEMA, Watched, begin, file, flip, journal, made, payload, read, snapshot, write

from interlock.domain.errors import DamagedState, Refused
from interlock.gate.journal import Follower, Mark, SnapshotFile, archive, latest_snapshot, recover, write_snapshot
from interlock.gate.journal.format import BLOCK, GENESIS, encode_batch, with_crc
from interlock.gate.journal.segments import find_segments
from interlock.gate.journal.snapshots import chain_at

TEN = [payload(number) for number in range(10)]


def newest(disk: FakeDisk) -> Path:
    return max(path for path in disk.files if path.suffix == ".snap")


def segments(disk: FakeDisk) -> list[int]:
    """The first records of the segments that are not packed."""
    return [place.first_lsn for place in find_segments(disk, FOLDER) if not place.archived]


def lives(*counts: int, seal: bool = True, disk: FakeDisk | None = None) -> tuple[FakeDisk, list[Mark]]:
    """A journal with a segment for each life of so many records, and where they end."""
    disk = disk or FakeDisk()
    marks = []
    for count in counts:
        writer = begin(disk)
        for _ in range(count):
            write(writer, [b"record"])
        if seal:
            writer.seal()
        marks.append(writer.mark)
        writer.close()
    return disk, marks


# Snapshots


def test_another_file_with_a_right_checksum_is_no_snapshot() -> None:
    disk = journal(3)
    snapshot(disk, read(disk)[0])
    content = disk.files[newest(disk)].durable
    assert latest_snapshot(disk, FOLDER, SCHEMA)[0] is not None
    content[:BLOCK] = with_crc(b"OTHERFMT" + bytes(content[8 : BLOCK - 4]))
    found, ignored = latest_snapshot(disk, FOLDER, SCHEMA)
    assert found is None
    assert ignored[0].startswith(f"{newest(disk).name}: expected format 1")


def test_a_snapshot_is_as_long_as_its_header_says() -> None:
    disk = journal(3)
    snapshot(disk, read(disk)[0], b"state")
    inode = disk.files[newest(disk)]
    longer = b"state and more"
    head = bytearray(inode.durable[: BLOCK - 4])
    head[96:128] = hashlib.sha256(longer).digest()
    inode.durable[:] = with_crc(bytes(head)) + longer
    inode.size = len(inode.durable)
    assert latest_snapshot(disk, FOLDER, SCHEMA) == (None, (f"{newest(disk).name}: its content is damaged",))
    struct.pack_into("<Q", head, 24, len(longer))
    inode.durable[:] = with_crc(bytes(head)) + longer
    found, _ = latest_snapshot(disk, FOLDER, SCHEMA)
    assert found is not None
    assert found.blob == longer


def test_a_piece_of_a_snapshot_is_ignored() -> None:
    """What is left of a file that was cut off: also where it ends with the checksum of the rest by chance."""
    disk = journal(3)
    snapshot(disk, read(disk)[0])
    inode = disk.files[newest(disk)]
    for length in (0, 4, 100, BLOCK - 1):
        inode.size = length
        assert latest_snapshot(disk, FOLDER, SCHEMA) == (None, (f"{newest(disk).name}: its header is damaged",))


def two_promises() -> FakeDisk:
    disk = FakeDisk()
    writer = begin(disk)
    for number in range(6):
        write(writer, [payload(number)])
        if number in (3, 5):
            write_snapshot(disk, FOLDER, SnapshotFile(writer.mark, SCHEMA, bytes(32), b"state"))
    writer.close()
    return disk


def test_of_two_snapshots_the_newer_says_what_was_durable() -> None:
    """A tail that the newer one stands on is lost and not torn, whatever the older one says."""
    disk = two_promises()
    assert read(disk)[0].mark.lsn == 6
    last = file(disk)
    flip(disk, last, BLOCK + 20)
    with pytest.raises(DamagedState, match="expected records up to 6, which a snapshot says were durable, found the last at 5"):
        read(disk)


def test_a_damaged_snapshot_promises_nothing_and_hides_no_other() -> None:
    disk = two_promises()
    flip(disk, newest(disk), 20)
    assert read(disk)[0].mark.lsn == 6
    flip(disk, file(disk), BLOCK + 20)
    assert read(disk)[0].mark.lsn == 5, "the last record is a torn tail: only the damaged one says that it was durable"
    disk = journal(3)
    snapshot(disk, read(disk)[0])
    flip(disk, newest(disk), 20)
    assert read(disk)[0].mark.lsn == 3


def test_a_snapshot_where_a_segment_begins_needs_none_of_those_before() -> None:
    """They may be archived and taken elsewhere; the header of the next one says the chain."""
    disk, marks = lives(3, 4)
    write_snapshot(disk, FOLDER, SnapshotFile(marks[0], SCHEMA, bytes(32), b"state"))
    disk.unlink(file(disk, 0))
    found, ignored = latest_snapshot(disk, FOLDER, SCHEMA)
    assert found is not None
    assert (found.mark, ignored) == (marks[0], ())
    assert recover(disk, FOLDER, schema=SCHEMA, after=found.mark).mark == marks[1]


def test_the_chain_is_known_after_every_batch() -> None:
    disk = FakeDisk()
    writer = begin(disk)
    marks = [writer.mark]
    for number in range(10):
        write(writer, [payload(number)])
        marks.append(writer.mark)
    writer.close()
    assert len(segments(disk)) == 3
    assert [chain_at(disk, FOLDER, mark.lsn, SCHEMA) for mark in marks] == [mark.chain for mark in marks]
    assert len({mark.chain for mark in marks}) == len(marks)


def test_the_chain_before_the_first_record_needs_no_segment() -> None:
    disk = FakeDisk()
    disk.make_directory(FOLDER)
    assert chain_at(disk, FOLDER, 0, SCHEMA) == GENESIS
    assert chain_at(disk, FOLDER, 1, SCHEMA) is None


# Archives


@pytest.mark.parametrize(("at", "packed"), [(0, []), (1, [1]), (2, [1, 4])])
def test_a_segment_is_packed_when_the_snapshot_stands_at_its_end_or_later(at: int, packed: list[int]) -> None:
    disk, marks = lives(3, 2, 1)
    if at:
        write_snapshot(disk, FOLDER, SnapshotFile(marks[at - 1], SCHEMA, bytes(32), b"state"))
    assert [each.first_lsn for each in archive(disk, FOLDER, SCHEMA)] == packed
    assert segments(disk) == [lsn for lsn in (1, 4, 6) if lsn not in packed]


def test_a_segment_is_not_packed_while_a_record_of_it_is_in_no_snapshot() -> None:
    disk = FakeDisk()
    writer = begin(disk)
    write(writer, [b"1"])
    write(writer, [b"2"])
    before = writer.mark
    write(writer, [b"3"])
    writer.seal()
    writer.close()
    lives(1, disk=disk)
    assert segments(disk) == [1, 4]
    write_snapshot(disk, FOLDER, SnapshotFile(before, SCHEMA, bytes(32), b"state"))
    assert archive(disk, FOLDER, SCHEMA) == []
    assert segments(disk) == [1, 4]
    snapshot(disk, read(disk)[0])
    assert [each.first_lsn for each in archive(disk, FOLDER, SCHEMA)] == [1]


def test_without_a_snapshot_nothing_is_packed_not_even_one_record() -> None:
    disk, marks = lives(1, 1, 1)
    assert archive(disk, FOLDER, SCHEMA) == []
    assert segments(disk) == [1, 2, 3]
    write_snapshot(disk, FOLDER, SnapshotFile(marks[0], SCHEMA, bytes(32), b"state"))
    assert [each.first_lsn for each in archive(disk, FOLDER, SCHEMA)] == [1]


def test_with_nothing_to_pack_nobody_is_kept_out_and_no_folder_is_made() -> None:
    disk, marks = lives(2, 1)
    held = disk.lock(FOLDER / "archive.lock")
    assert archive(disk, FOLDER, SCHEMA) == []
    write_snapshot(disk, FOLDER, SnapshotFile(marks[0], SCHEMA, bytes(32), b"state"))
    with pytest.raises(Refused):
        archive(disk, FOLDER, SCHEMA)
    assert FOLDER / "archive" not in disk.directories
    held.release()
    assert archive(disk, FOLDER, SCHEMA)
    assert FOLDER / "archive" in disk.directories


def test_a_segment_whose_end_is_lost_is_not_packed_away() -> None:
    """The next segment says where it ends; alone it would look like one with a torn tail."""
    disk, marks = lives(3, 1)
    write_snapshot(disk, FOLDER, SnapshotFile(marks[0], SCHEMA, bytes(32), b"state"))
    first = file(disk, 0)
    for offset in (3 * BLOCK, 4 * BLOCK):
        flip(disk, first, offset + 20)
    with pytest.raises(DamagedState, match="expected records up to 3, as the next segment says"):
        archive(disk, FOLDER, SCHEMA)
    assert segments(disk) == [1, 4]
    for offset in (3 * BLOCK, 4 * BLOCK):
        flip(disk, first, offset + 20)
    assert archive(disk, FOLDER, SCHEMA)


def test_what_was_packed_is_gone_also_after_the_power_went() -> None:
    disk, marks = lives(3, 1)
    write_snapshot(disk, FOLDER, SnapshotFile(marks[0], SCHEMA, bytes(32), b"state"))
    archive(disk, FOLDER, SCHEMA)
    after = disk.after_power_loss(lambda count: 0)
    assert segments(after) == [4]
    assert read(after)[0].mark == marks[1]


def test_an_archive_with_another_content_is_named_with_its_place() -> None:
    class Garbling(Watched):
        def rename(self, source: Path, target: Path) -> None:
            super().rename(source, target)
            if target.suffix == ".xz":
                self.files[target].durable[:] = lzma.compress(b"something else")
                self.files[target].size = len(self.files[target].durable)

    disk, marks = lives(3, 1, disk=Garbling())
    write_snapshot(disk, FOLDER, SnapshotFile(marks[0], SCHEMA, bytes(32), b"state"))
    with pytest.raises(DamagedState) as refused:
        archive(disk, FOLDER, SCHEMA)
    target = FOLDER / "archive" / f"{1:020d}.seg.xz"
    assert str(refused.value).startswith(f"{target}, offset 0: expected the archive to give the segment back, found another content")


def test_packing_and_snapshots_leave_no_file_open() -> None:
    disk = Watched()
    _, marks = lives(3, 2, 1, disk=disk)
    write_snapshot(disk, FOLDER, SnapshotFile(marks[1], SCHEMA, bytes(32), b"state"))
    assert disk.left_open() == []
    assert latest_snapshot(disk, FOLDER, SCHEMA)[0] is not None
    assert disk.left_open() == []
    before = len(disk.held)
    assert len(archive(disk, FOLDER, SCHEMA)) == 2
    assert len(disk.held) > before
    assert disk.left_open() == []
    assert len(read(disk)[1]) == 6
    assert disk.left_open() == []
    del disk.files[file(disk)]
    flip(disk, max(path for path in disk.files if path.suffix == ".xz"), 40)
    with pytest.raises(DamagedState):
        read(disk)
    assert disk.left_open() == []


# Followers


def test_a_follower_begins_with_record_1_or_the_first_that_is_left() -> None:
    disk, _ = lives(3, 2)
    follower = Follower(disk, FOLDER, schema=SCHEMA)
    assert follower.next_lsn == 1
    assert [lsn for lsn, _ in follower.poll()] == [1, 2, 3]
    follower.close()
    disk = made(first_lsn=4)
    follower = Follower(disk, FOLDER, schema=SCHEMA)
    assert follower.poll() == []
    assert follower.next_lsn == 4
    follower.close()


def test_a_follower_reads_nothing_twice_and_holds_one_file() -> None:
    disk = Watched()
    writer = begin(disk)
    follower = Follower(disk, FOLDER, schema=SCHEMA)
    for number in range(4):
        write(writer, [b"record"])
        disk.reads.clear()
        held = len(disk.held)
        assert [lsn for lsn, _ in follower.poll()] == [number + 1]
        seen = [offset for path, _, offset in disk.reads if path.suffix == ".seg"]
        assert seen == [0, BLOCK * (number + 1), BLOCK * (number + 2)], "the header, the new batch, and where the next will be"
        assert sum(not file.closed for file in disk.held[held:]) == (number == 0)
    follower.close()
    writer.close()
    assert disk.left_open() == []
    follower.close()


def test_a_follower_that_was_closed_goes_on_and_one_that_is_set_back_reads_again() -> None:
    disk = Watched()
    writer = begin(disk)
    for _ in range(4):
        write(writer, [b"record"])
    follower = Follower(disk, FOLDER, schema=SCHEMA)
    assert [lsn for lsn, _ in follower.poll()] == [1, 2, 3, 4]
    for again in (4, 2, 1):
        follower.next_lsn = again
        assert [lsn for lsn, _ in follower.poll()] == list(range(again, 5))
        assert follower.poll() == []
    follower.close()
    assert follower.poll() == []
    write(writer, [b"record"])
    assert [lsn for lsn, _ in follower.poll()] == [5]
    follower.close()
    writer.close()
    assert disk.left_open() == []


def test_a_follower_lets_go_of_a_segment_when_it_comes_to_the_next() -> None:
    disk = Watched()
    lives(3, 2, 1, disk=disk)
    follower = Follower(disk, FOLDER, schema=SCHEMA)
    for expected in ([1, 2, 3], [4, 5], [6], []):
        assert [lsn for lsn, _ in follower.poll()] == expected
        assert len(disk.left_open()) == 1
    follower.close()
    assert disk.left_open() == []


@pytest.mark.parametrize("missing", [1, 2])
def test_a_follower_refuses_a_segment_that_ends_before_the_next_begins(missing: int) -> None:
    """One record is enough; silence would look like a journal in which nothing happens."""
    disk, _ = lives(3, 1)
    assert len(segments(disk)) == 2
    for batch in range(missing):
        flip(disk, file(disk, 0), BLOCK * (3 - batch) + 20)
    follower = Follower(disk, FOLDER, schema=SCHEMA)
    with pytest.raises(DamagedState, match=f"expected record {4 - missing}, found an unreadable batch before the next segment"):
        follower.poll()
    follower.close()
    whole = Follower(lives(3, 1)[0], FOLDER, schema=SCHEMA)
    assert [lsn for lsn, _ in whole.poll()] == [1, 2, 3]
    assert [lsn for lsn, _ in whole.poll()] == [4]


def test_a_batch_of_several_records_is_shown_from_the_wanted_one_on() -> None:
    image, _ = encode_batch(1, 1, GENESIS, [b"1", b"2", b"3"])
    for wanted in (1, 2, 3, 4):
        follower = Follower(made(image), FOLDER, schema=SCHEMA, from_lsn=wanted)
        assert [lsn for lsn, _ in follower.poll()] == list(range(wanted, 4))
