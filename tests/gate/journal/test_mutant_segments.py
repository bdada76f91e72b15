"""The bytes of a segment at their bounds: what is a batch and what is not, what each refusal names, and what a reader asks of the disk."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

import pytest
from tests.gate.disks import FakeDisk, Inode
from tests.gate.journal.helpers import FOLDER, SCHEMA, Watched, begin, file, flip, forged, journal, made, payload, read, write

from interlock.domain.errors import DamagedState
from interlock.gate.journal import START, Mark, Options, SystemDisk, open_journal, recover
from interlock.gate.journal.format import (
    BLOCK,
    GENESIS,
    Seal,
    SegmentHeader,
    cost,
    crc_holds,
    decode_batch,
    decode_header,
    encode_batch,
    encode_header,
    encode_seal,
)
from interlock.gate.journal.segments import Place, SegmentReader, find_segments, open_reader, segment_name

ONE, CHAIN = encode_batch(1, 1, GENESIS, [b"one"])
TWO, CHAIN_TWO = encode_batch(2, 2, CHAIN, [b"two"])
FIRST = FOLDER / segment_name(1)


def refusal(disk: FakeDisk) -> str:
    """What is said of a damaged journal, without the advice."""
    with pytest.raises(DamagedState) as refused:
        read(disk)
    return str(refused.value).split(";", maxsplit=1)[0]


@pytest.mark.parametrize(("size", "bytes_on_disk"), [(0, 512), (408, 512), (409, 1024), (920, 1024), (921, 1536)])
def test_the_cost_of_a_record_is_what_it_takes_alone_in_its_batch(size: int, bytes_on_disk: int) -> None:
    assert cost(bytes(size)) == bytes_on_disk == len(encode_batch(1, 1, GENESIS, [bytes(size)])[0])


@pytest.mark.parametrize("size", [4, 100, BLOCK - 4, BLOCK + 4])
def test_a_checksum_holds_for_a_whole_block_and_for_no_other_length(size: int) -> None:
    """A file that was cut off anywhere may end with bytes that happen to be the checksum of what stands before them."""
    content = bytes(range(256)) * 3
    assert crc_holds(content[: BLOCK - 4] + struct.pack("<I", zlib.crc32(content[: BLOCK - 4])))
    cut = content[: size - 4] + struct.pack("<I", zlib.crc32(content[: size - 4]))
    assert len(cut) == size
    assert not crc_holds(cut)
    assert decode_header(cut) is None


def test_the_bytes_are_those_of_the_documentation() -> None:
    """Every field at its offset, put together here by hand: journals of earlier builds and other readers depend on them."""
    name, chain, state = b"i" * 16, b"c" * 32, b"s" * 32
    head = b"ILKJSEG\n" + struct.pack("<IIIIQQQ", 1, 7, 1, 0, 5, 3, 8 * BLOCK) + name + chain + bytes(412)
    header = encode_header(SegmentHeader(first_lsn=5, first_batch=3, incarnation=name, chain=chain, length=8 * BLOCK, schema=7))
    assert header == head + struct.pack("<I", zlib.crc32(head))

    def batch(kind: int, count: int, after: bytes, payload: bytes) -> bytes:
        front = b"ILKB" + struct.pack("<IQQII", kind, 3, 5, count, len(payload)) + chain + after
        return (front + struct.pack("<I", zlib.crc32(front + payload)) + payload).ljust(BLOCK, b"\0")

    payload = struct.pack("<I", 3) + b"one" + struct.pack("<I", 0)
    after = hashlib.sha256(chain + payload).digest()
    assert encode_batch(3, 5, chain, [b"one", b""]) == (batch(0, 2, after, payload), after)
    assert encode_seal(3, 5, Seal(4, chain)) == batch(1, 0, chain, struct.pack("<Q", 4) + chain + bytes(40))
    assert encode_seal(3, 5, Seal(4, chain, 2, state)) == batch(1, 0, chain, struct.pack("<Q", 4) + chain + struct.pack("<Q", 2) + state)


def test_a_block_without_the_magic_is_no_batch_though_its_checksum_is_right() -> None:
    assert read(made(ONE, TWO))[1] == [b"one", b"two"]
    found, got = read(made(ONE, forged(TWO, 0, b"ILKX")))
    assert got == [b"one"]
    assert (found.torn and found.torn.offset) == 1024
    assert decode_batch(forged(TWO, 0, b"ILKX")) is None


def test_a_batch_cannot_begin_in_a_piece_of_a_block_at_the_end_of_the_file() -> None:
    """The length of a segment is what its header says, whatever that is; 60 bytes hold no header of a batch."""
    whole = read(made(ONE, length=2 * BLOCK + 60))
    assert (whole[1], whole[0].torn) == ([b"one"], None)
    found, got = read(made(ONE, b"ILKB".ljust(60, b"x"), length=2 * BLOCK + 60))
    assert got == [b"one"]
    assert (found.torn and found.torn.offset) == 1024


def test_a_batch_that_is_cut_off_by_the_end_of_its_segment_is_torn_though_what_is_left_has_its_checksum() -> None:
    whole, _ = encode_batch(2, 2, CHAIN, [bytes(408)])
    assert len(whole) == BLOCK
    head = whole[:28] + struct.pack("<I", 413) + whole[32:96]
    longer = head + struct.pack("<I", zlib.crc32(whole[100:], zlib.crc32(head))) + whole[100:]
    assert len(read(made(ONE, whole, length=3 * BLOCK))[1]) == 2
    found, got = read(made(ONE, longer, length=3 * BLOCK))
    assert got == [b"one"]
    assert found.torn is not None


@pytest.mark.parametrize("size", [300, 900])
def test_a_batch_may_end_where_its_segment_ends(size: int) -> None:
    """A writer keeps room for the seal; a reader does not ask for it."""
    last, _ = encode_batch(2, 2, CHAIN, [bytes(size)])
    found, got = read(made(ONE, last, length=2 * BLOCK + len(last)))
    assert (got, found.torn) == ([b"one", bytes(size)], None)


def test_a_seal_holds_no_records_whatever_its_numbers_look_like() -> None:
    """The count at the beginning of a seal, read as the length of a record, is that of the rest of it."""
    seal = decode_batch(encode_seal(1, 77, Seal(76, bytes(32))))
    assert seal is not None
    assert tuple(seal.records) == ()
    assert struct.unpack_from("<I", seal.payload)[0] == len(seal.payload) - 4
    batch = decode_batch(ONE)
    assert batch is not None
    assert tuple(batch.records) == (b"one",)


def test_a_name_in_other_digits_is_no_segment() -> None:
    """Python takes the digits of any script for a number; the names of segments are ASCII."""
    disk = journal(3)
    disk.create(FOLDER / ("\N{ARABIC-INDIC DIGIT ZERO}" * 18 + "\N{ARABIC-INDIC DIGIT FOUR}\N{ARABIC-INDIC DIGIT TWO}.seg")).close()
    assert [place.first_lsn for place in find_segments(disk, FOLDER)] == [1]
    assert len(read(disk)[1]) == 3


def test_refusals_name_the_file_and_the_offset() -> None:
    disk = journal(3)
    flip(disk, FIRST, 20)
    assert refusal(disk) == f"{FIRST}, offset 0: expected a segment header, found none that its checksum confirms"
    disk = journal(3)
    disk.files[FIRST].size -= 1
    assert refusal(disk) == f"{FIRST}, offset 0: expected 4096 bytes as the header says, found 4095"
    disk = journal(3)
    other = FOLDER / segment_name(12)
    disk.files[other] = disk.files[FIRST]
    assert refusal(disk) == f"{other}, offset 0: expected the segment of record 12 as its name says, found 1"
    with pytest.raises(DamagedState) as refused:
        open_reader(disk, Place(77, FOLDER / "77.seg", archived=False), SCHEMA)
    assert str(refused.value).startswith(f"{FOLDER / '77.seg'}, offset 0: expected a segment that can be opened, found: no such file")
    disk = journal(1)
    packed = FOLDER / "archive" / f"{segment_name(1)}.xz"
    disk.make_directory(FOLDER / "archive")
    del disk.files[FIRST]
    disk.files[packed] = Inode(bytearray(b"no archive"), size=10)
    assert refusal(disk).startswith(f"{packed}, offset 0: expected an xz archive of a segment, found one that does not unpack")


def test_there_is_no_record_0() -> None:
    """Records count from 1, and the mark before all of them is 0: a segment of record 0 would stand before the beginning."""
    zero, _ = encode_batch(1, 0, GENESIS, [b"zero"])
    assert refusal(made(zero, first_lsn=0)).endswith("expected the segment of record 0 as its name says, found 0")
    assert read(made(ONE))[1] == [b"one"]


# What the next segment tells of the end of one


def two_segments(first: list[bytes], second: SegmentHeader) -> FakeDisk:
    """A segment with these images, and an empty one after it."""
    disk = made(*first)
    made(disk=disk, first_lsn=second.first_lsn)
    disk.files[FOLDER / segment_name(second.first_lsn)].durable[:BLOCK] = encode_header(second)
    return disk


def after(lsn: int, chain: bytes, batch: int) -> SegmentHeader:
    return SegmentHeader(lsn + 1, batch, bytes(16), chain, 8 * BLOCK, SCHEMA)


def test_a_segment_that_does_not_end_as_the_next_one_says_is_told_apart() -> None:
    assert read(two_segments([ONE, TWO], after(2, CHAIN_TWO, 3)))[1] == [b"one", b"two"]
    lost = two_segments([ONE], after(2, CHAIN_TWO, 3))
    expected = f"{FIRST}, offset {{}}: expected records up to {{}}, as the next segment says, found {{}} after {{}}"
    assert refusal(lost) == expected.format(1024, 2, "an unreadable batch", 1)
    other = two_segments([ONE, TWO], after(2, CHAIN, 3))
    assert refusal(other) == expected.format(1536, 2, "other content", 2)
    pair, _ = encode_batch(2, 2, CHAIN, [b"two", b"three"])
    beyond = two_segments([ONE, pair], after(2, CHAIN_TWO, 3))
    assert refusal(beyond) == expected.format(1536, 2, "other content", 3)


def test_the_seal_of_a_segment_that_others_follow_is_noted_and_checked() -> None:
    def first(disk: FakeDisk, header: SegmentHeader) -> SegmentReader:
        reader = open_reader(disk, Place(1, FIRST, archived=False), SCHEMA)
        reader.ends_at(header)
        assert [batch.first_lsn for batch in reader.batches()] == [1, 2]
        reader.close()
        return reader

    header = after(2, CHAIN_TWO, 3)
    assert first(two_segments([ONE, TWO, encode_seal(3, 3, Seal(2, CHAIN_TWO))], header), header).sealed
    assert not first(two_segments([ONE, TWO], header), header).sealed
    three, _ = encode_batch(3, 3, CHAIN_TWO, [b"three"])
    carried = two_segments([ONE, TWO, three], header)
    assert not first(carried, header).sealed, "what was repeated in the next segment is no seal"
    wrong = two_segments([ONE, TWO, encode_seal(3, 3, Seal(1, CHAIN_TWO))], header)
    assert refusal(wrong) == f"{FIRST}, offset 1536: expected a batch that agrees with its own header, found one of kind 1 that does not"


# What follows the last whole batch


def test_a_whole_batch_inside_a_record_is_none_of_the_journal() -> None:
    """A record may hold anything, a batch too; it does not stand where a block begins."""
    quoting, _ = encode_batch(2, 2, CHAIN, [b"." * 30 + TWO, b"more"])
    torn = bytearray(quoting)
    torn[20] ^= 1
    found, got = read(made(ONE, bytes(torn)))
    assert got == [b"one"]
    assert (found.torn and found.torn.offset) == 1024
    assert refusal(made(ONE, bytes(BLOCK), TWO)).endswith("found an unreadable one with a whole one after it at offset 1536")


def test_what_only_begins_like_a_batch_is_part_of_a_torn_tail() -> None:
    long, _ = encode_batch(2, 2, CHAIN, [bytes(3 * BLOCK)])
    torn = bytearray(long)
    torn[20] ^= 1
    torn[BLOCK : BLOCK + 4] = b"ILKB"
    found, got = read(made(ONE, bytes(torn)))
    assert got == [b"one"]
    assert (found.torn and found.torn.offset) == 1024


def test_a_torn_tail_is_told_though_only_zeros_stand_in_the_last_part_of_a_long_segment() -> None:
    disk, length = Watched(), 3 << 20
    found, got = read(made(ONE, b"torn", length=length, disk=disk))
    assert (got, found.torn and found.torn.offset) == ([b"one"], 1024)
    assert max(size for _, size, _ in disk.reads) == 1 << 20, "it is looked through in pieces, not held in memory whole"
    found, got = read(made(ONE, length=length))
    assert (got, found.torn) == ([b"one"], None)


# What a reader asks of the disk


def test_no_more_is_asked_for_than_there_is_whatever_a_damaged_header_says() -> None:
    """A length of four gigabytes in a torn batch must not take as much memory before it is refused."""
    last, _ = encode_batch(2, 2, CHAIN, [bytes(900)])
    for batch, records in ((last, 2), (forged(last, 28, b"\xff\xff\xff\xff"), 1), (b"", 1)):
        disk = Watched()
        made(ONE, batch, length=2 * BLOCK + len(last), disk=disk)
        assert len(read(disk)[1]) == records
        assert all(size == BLOCK or offset + size <= disk.files[FIRST].size for _, size, offset in disk.reads)
        assert disk.reads


def test_the_operating_system_is_not_asked_for_less_than_nothing(tmp_path: Path) -> None:
    """`pread` refuses a negative size, so that a journal in use could not be read at all."""
    disk, folder = SystemDisk(), tmp_path / "journal"
    options = Options(segment_bytes=16 << 10, batch_bytes=2 << 10, reserve_bytes=0)
    writer, _ = open_journal(disk, folder, schema=SCHEMA, incarnation=bytes(16), options=options)
    try:
        mark = writer.commit(b"one", b"two")
        found = recover(disk, folder, schema=SCHEMA)
        assert (found.mark.lsn, found.sealed, found.torn) == (mark, False, None)
    finally:
        writer.close()


def test_every_file_that_was_opened_is_let_go_of() -> None:
    disk = Watched()
    writer = begin(disk)
    for number in range(10):
        write(writer, [payload(number)])
    writer.close()
    assert disk.left_open() == []
    before = len(disk.held)
    assert len(read(disk)[1]) == 10
    assert [held.path for held in disk.held[before:]] == [file(disk, index) for index in range(3)], "each is opened once"
    assert disk.left_open() == []
    flip(disk, file(disk, 1), 20)
    with pytest.raises(DamagedState):
        read(disk)
    assert disk.left_open() == []


def test_a_start_of_another_chain_where_a_segment_begins_refuses() -> None:
    """No batch ends there any more that could be compared: the header of the segment says the chain."""
    disk = journal(10)
    place = find_segments(disk, FOLDER)[1]
    header = decode_header(bytes(disk.files[place.path].durable[:BLOCK]))
    assert header is not None
    mark = Mark(place.first_lsn - 1, header.chain)
    found = recover(disk, FOLDER, schema=SCHEMA, after=mark)
    assert (found.mark.lsn, found.records, found.segments) == (10, 10 - mark.lsn, 2)
    with pytest.raises(DamagedState, match=f"expected the chain of the start or snapshot after record {mark.lsn}, found another"):
        recover(disk, FOLDER, schema=SCHEMA, after=mark._replace(chain=bytes(32)))
    assert recover(disk, FOLDER, schema=SCHEMA).segments == 3
    with pytest.raises(DamagedState, match="expected the chain of the start"):
        recover(disk, FOLDER, schema=SCHEMA, after=START._replace(chain=b"x" * 32))
