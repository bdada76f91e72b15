"""Damage: every byte of a small journal, lost and foreign segments, what is not a journal, and what a newer interlock wrote."""

from __future__ import annotations

import dataclasses
import struct
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.disks import FakeDisk
from tests.gate.journal.helpers import FOLDER, begin, file, flip, forged, journal, made, payload, read, snapshot, write

from interlock.domain.errors import BadInput, DamagedState, UsageError
from interlock.gate.journal import START, Options, latest_snapshot, recover, require_journal
from interlock.gate.journal.format import (
    BLOCK,
    Seal,
    decode_header,
    decode_seal,
    encode_batch,
    encode_header,
    encode_seal,
    split_records,
)
from interlock.gate.journal.segments import segment_name

TEN = [payload(number) for number in range(10)]


@pytest.mark.parametrize("seal", [True, False])
def test_a_flipped_bit_anywhere_gives_a_prefix_the_same_or_a_refusal_and_never_another_record(seal: bool) -> None:
    disk = journal(10, seal=seal)
    segments = sorted(path for path in disk.files if path.suffix == ".seg")
    assert len(segments) > 1
    outcomes = {"same": 0, "prefix": 0, "refused": 0}
    for path in segments:
        for offset in range(0, len(disk.files[path].durable), 3 if seal else 1):
            mask = 1 << offset % 8
            flip(disk, path, offset, mask)
            try:
                _, got = read(disk)
            except DamagedState:
                outcomes["refused"] += 1
            else:
                assert got == TEN[: len(got)]
                assert len(got) >= 9
                assert len(got) == 10 or (path == segments[-1] and not seal)
                outcomes["same" if len(got) == 10 else "prefix"] += 1
            flip(disk, path, offset, mask)
    assert outcomes["same"]
    assert outcomes["refused"]
    assert bool(outcomes["prefix"]) != seal
    assert read(disk)[1] == TEN


def test_damage_in_the_last_batch_is_a_torn_tail_and_before_it_corruption() -> None:
    disk = journal(3)
    path = file(disk)
    third = BLOCK * 3
    flip(disk, path, third + 20)
    found, got = read(disk)
    assert got == TEN[:2]
    assert found.torn is not None
    assert (found.torn.file, found.torn.offset) == (path, third)
    assert found.barrier_lsn == 1
    flip(disk, path, third + 20)
    flip(disk, path, BLOCK * 2 + 20)
    with pytest.raises(
        DamagedState, match=rf"{path}, offset 1024: expected batch 2, found an unreadable one with a whole one after it at offset 1536"
    ):
        read(disk)


def test_a_torn_tail_stays_dropped_when_a_new_segment_was_begun() -> None:
    disk = journal(6)
    flip(disk, file(disk), BLOCK + 20)
    assert len(read(disk)[1]) == 5
    writer = begin(disk, b"b")
    write(writer, [b"sixth"])
    writer.close()
    found, got = read(disk)
    assert got == [*TEN[:5], b"sixth"]
    assert found.torn is None


def test_missing_and_foreign_segments_refuse() -> None:
    def without_first(disk: FakeDisk) -> None:
        del disk.files[file(disk, 0)]

    def without_middle(disk: FakeDisk) -> None:
        del disk.files[file(disk, 1)]

    def of_another_journal(disk: FakeDisk) -> None:
        other = FakeDisk()
        writer = begin(other)
        write(writer, [b"other"] * 9)
        disk.files[file(disk, 1)] = other.files[file(other, 0)]

    def misnamed(disk: FakeDisk) -> None:
        disk.files[FOLDER / segment_name(12)] = disk.files.pop(file(disk))

    def cut(disk: FakeDisk) -> None:
        disk.files[file(disk)].size -= 1

    def unreadable(disk: FakeDisk) -> None:
        disk.unreadable.add(BLOCK)

    def all_but_snapshots(disk: FakeDisk) -> None:
        snapshot(disk, read(disk)[0])
        for _ in range(3):
            del disk.files[file(disk)]

    def behind_a_snapshot(disk: FakeDisk) -> None:
        snapshot(disk, read(disk)[0])
        flip(disk, file(disk), BLOCK + 20)

    damages: list[tuple[Callable[[FakeDisk], None], str]] = [
        (without_first, "expected a segment with record 1"),
        (without_middle, "as the next segment says"),
        (of_another_journal, "expected the segment of record"),
        (misnamed, "expected the segment of record 12"),
        (cut, "bytes as the header says"),
        (unreadable, "the disk answered: unreadable"),
        (all_but_snapshots, "expected the segments that its snapshots were made of"),
        (behind_a_snapshot, "which a snapshot says were durable"),
    ]
    for damage, message in damages:
        disk = journal(10)
        assert (len(read(disk)[1]), sum(path.suffix == ".seg" for path in disk.files)) == (10, 3)
        damage(disk)
        with pytest.raises(DamagedState, match=message):
            read(disk)


def test_a_path_that_is_no_journal_and_an_empty_one() -> None:
    disk = FakeDisk()
    with pytest.raises(BadInput, match="expected the folder of a journal"):
        read(disk)
    disk.make_directory(FOLDER)
    disk.create(FOLDER / "1.seg").close()
    disk.create(FOLDER / "0000000000000000000x.seg").close()
    found, got = read(disk)
    assert (found.mark, got) == (START, [])
    with pytest.raises(BadInput, match="found no segment"):
        require_journal(disk, FOLDER)
    require_journal(journal(1), FOLDER)


@pytest.mark.parametrize("change", [{"version": 2}, {"min_reader": 2}, {"schema": 2}])
def test_what_a_newer_interlock_wrote_refuses(change: dict[str, int]) -> None:
    disk = journal(2)
    inode = disk.files[file(disk)]
    header = decode_header(bytes(inode.durable[:BLOCK]))
    assert header
    inode.durable[:BLOCK] = encode_header(dataclasses.replace(header, **change))  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="newer interlock"):
        read(disk)
    inode.durable[:BLOCK] = encode_header(header)
    assert len(read(disk)[1]) == 2


def test_batches_with_a_right_checksum_and_a_wrong_content_refuse() -> None:
    one, chain = encode_batch(1, 1, bytes(32), [b"one"])
    two, _ = encode_batch(2, 2, chain, [b"two"])
    seal = encode_seal(2, 2, Seal(1, chain))
    assert read(made(one, two))[1] == [b"one", b"two"]
    assert read(made(one, seal))[0].sealed
    for image in (
        encode_batch(3, 2, chain, [b"two"])[0],
        encode_batch(2, 3, chain, [b"two"])[0],
        encode_batch(2, 2, bytes(32), [b"two"])[0],
        encode_batch(2, 2, chain, [])[0],
        encode_seal(2, 2, Seal(2, chain)),
        forged(two, 4, b"\2"),  # another kind
        forged(two, 4, b"\1"),  # records called a seal
        forged(two, 24, b"\2"),  # another count
        forged(two, 64, b"\2"),  # another chain
    ):
        with pytest.raises(DamagedState):
            read(made(one, image))


def test_a_batch_that_says_to_be_longer_than_its_segment_is_torn() -> None:
    one, chain = encode_batch(1, 1, bytes(32), [b"one"])
    two, _ = encode_batch(2, 2, chain, [b"two"])
    found, got = read(made(one, forged(two, 28, b"\xff\xff\xff\xff")))
    assert got == [b"one"]
    assert found.torn is not None
    assert read(made(one, b"ILKB" * 128 + b"x" * 510 + b"ILKB"))[0].torn is not None


@given(st.binary(max_size=3000), st.integers(0, 7 * BLOCK))
def test_any_bytes_in_a_segment_are_a_journal_or_refused(noise: bytes, at: int) -> None:
    disk = journal(10)
    inode = disk.files[file(disk, 1)]
    inode.durable[at : at + len(noise)] = noise[: len(inode.durable) - at]
    try:
        _, got = read(disk)
    except (DamagedState, BadInput):
        return
    assert got == TEN


def test_a_start_that_is_no_end_of_a_batch_or_of_another_chain_refuses() -> None:
    disk = FakeDisk()
    writer = begin(disk)
    marks = []
    for batch in ([b"1", b"2"], [b"3"], [b"4", b"5"]):
        write(writer, batch, lambda lsn: marks.append(writer.mark))
    got: list[int] = []
    after = marks[1]
    found = recover(disk, FOLDER, schema=1, after=after, consume=lambda lsn, record: got.append(lsn))
    assert (got, found.records, found.mark) == ([4, 5], 2, marks[2])
    for wrong in (after._replace(chain=bytes(32)), after._replace(lsn=1)):
        with pytest.raises(DamagedState):
            recover(disk, FOLDER, schema=1, after=wrong)
    with pytest.raises(DamagedState, match="a snapshot says were durable"):
        recover(disk, FOLDER, schema=1, after=after._replace(lsn=6))


def test_pieces_of_the_format_refuse_other_bytes() -> None:
    assert decode_header(b"") is None
    assert decode_header(bytes(BLOCK - 4) + struct.pack("<I", zlib.crc32(bytes(BLOCK - 4)))) is None
    assert decode_seal(b"short") is None
    assert split_records(struct.pack("<I", 9) + b"short") == ()
    assert split_records(struct.pack("<I", 5) + b"whole") == [b"whole"]


@pytest.mark.parametrize(
    "sizes",
    [
        {"segment_bytes": 1000},
        {"batch_bytes": 1000},
        {"batch_bytes": 0},
        {"segment_bytes": 1 << 20},
        {"reserve_bytes": -1},
        {"reserve_bytes": 64 << 20},
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="whole blocks"):
        Options(**sizes)
    assert Options().batch_bytes == 1 << 20


def test_a_snapshot_in_a_damaged_place_of_the_journal_is_an_error_not_a_silence() -> None:
    disk = journal(3)
    snapshot(disk, read(disk)[0])
    flip(disk, file(disk), 40)
    with pytest.raises(DamagedState):
        latest_snapshot(disk, FOLDER, 1)
