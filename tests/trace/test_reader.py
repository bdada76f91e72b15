"""The reader against the description of the format, and against a journal that the gate's own code wrote."""

from __future__ import annotations

import copy
import lzma
import struct
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trace import journals as j
from tests.trace.journals import BLOCK, LIFE, Writer, batch_bytes, boot, chained, honest, r

from interlock.domain.errors import BadInput, DamagedState
from interlock.gate import records
from interlock.gate.evaluate import REQUIRED
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.trace.check import check
from interlock.trace.reader import JournalReader
from interlock.trace.vocabulary import DEFAULTS, FIELDS, REQUIRED_LIMITS


def kinds(folder: Path) -> list[str]:
    reader = JournalReader(folder)
    try:
        found = [entry.kind for entry in reader.poll()]
        reader.finish()
        return found
    finally:
        reader.close()


def tick(at: float) -> j.Map:
    return r("tick", at, wall_ns=j.WALL)


def one_segment(folder: Path, live: bool = True) -> Writer:
    writer = Writer(folder, live=live)
    writer.segment(LIFE[0])
    writer.batch([boot()])
    return writer


def test_records_come_in_order_over_batches_and_segments(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    writer.batch([tick(2), tick(3)])
    writer.segment(LIFE[1])
    writer.batch([boot(4, 1)])
    assert kinds(tmp_path) == ["boot", "tick", "tick", "boot"]
    assert not check(tmp_path).violations


def test_a_repeated_batch_is_read_once(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    before, number = writer.chain, writer.number
    image = writer.batch([tick(2)])
    writer.segment(LIFE[1], carry=image, first=2, number=number, chain=before)
    writer.batch([boot(4, 1)])
    assert kinds(tmp_path) == ["boot", "tick", "boot"]
    assert not check(tmp_path).violations


def test_a_segment_that_repeats_the_only_batch_of_the_last_replaces_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    writer.segment(LIFE[0])
    image = writer.batch([boot()])
    reader = JournalReader(tmp_path)
    assert len(list(reader.poll())) == 1
    (tmp_path / f"{1:020d}.seg").rename(tmp_path / "old")
    writer.segment(LIFE[1], carry=image, first=1, number=1, chain=bytes(32))
    writer.batch([boot(4, 1)])
    assert [entry.lsn for entry in reader.poll()] == [2]
    reader.close()
    assert not check(tmp_path).violations


def test_a_reader_that_was_ahead_skips_what_is_repeated(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    before, number = writer.chain, writer.number
    image = writer.batch([tick(2)])
    reader = JournalReader(tmp_path)
    assert [entry.lsn for entry in reader.poll()] == [1, 2]
    writer.segment(LIFE[1], carry=image, first=2, number=number, chain=before)
    writer.batch([boot(4, 1)])
    assert [entry.lsn for entry in reader.poll()] == [3]
    assert list(reader.poll()) == []
    assert not reader.problems
    reader.close()


def test_a_repetition_of_other_content_is_damage(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    before, number = writer.chain, writer.number
    writer.batch([tick(2)])
    reader = JournalReader(tmp_path)
    list(reader.poll())
    other, _ = batch_bytes(number, 2, before, [msgspec.msgpack.encode(tick(9))])
    writer.segment(LIFE[1], carry=other, first=2, number=number, chain=before)
    with pytest.raises(DamagedState, match="again"):
        list(reader.poll())
    reader.close()


def test_a_seal_ends_a_segment_and_an_archive_is_read(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    seal, _ = batch_bytes(writer.number, writer.lsn + 1, writer.chain, [], kind=1, chain=writer.chain)
    writer.body += seal
    writer.flush()
    assert kinds(tmp_path) == ["boot"]
    writer.segment(LIFE[0])
    writer.batch([tick(2)])
    first = tmp_path / f"{1:020d}.seg"
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / f"{1:020d}.seg.xz").write_bytes(lzma.compress(first.read_bytes()))
    first.unlink()
    (tmp_path / "spare.seg").write_bytes(b"not one")
    assert kinds(tmp_path) == ["boot", "tick"]
    (tmp_path / "archive" / f"{1:020d}.seg.xz").write_bytes(b"no archive")
    with pytest.raises(DamagedState, match="can be opened"):
        kinds(tmp_path)


def test_what_is_no_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no segment"):
        kinds(tmp_path)
    with pytest.raises(BadInput, match="folder"):
        kinds(tmp_path / "none")
    j.write(tmp_path / "a", [boot()])
    (tmp_path / "a" / f"{1:020d}.seg").rename(tmp_path / "a" / f"{2:020d}.seg")
    with pytest.raises(DamagedState, match="from its first record"):
        kinds(tmp_path / "a")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [({"version": 2}, "newer"), ({"schema": 6}, "newer"), ({"reader": 2}, "newer"), ({"first": 1, "number": 1, "chain": bytes(32)}, "")],
)
def test_a_newer_segment_is_not_guessed_at(tmp_path: Path, changes: j.Map, problem: str) -> None:
    writer = Writer(tmp_path)
    writer.segment(LIFE[0], **changes)
    if problem:
        with pytest.raises(DamagedState, match=problem):
            kinds(tmp_path)
    else:
        assert kinds(tmp_path) == []


def test_a_segment_of_another_name_or_length_is_damage(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    writer.path.write_bytes(writer.path.read_bytes()[:-BLOCK])
    with pytest.raises(DamagedState, match="bytes"):
        kinds(tmp_path)
    writer.path.write_bytes(b"x" * writer.room)
    with pytest.raises(DamagedState, match="header"):
        kinds(tmp_path)


def test_a_disk_that_does_not_answer_is_damage(tmp_path: Path) -> None:
    (tmp_path / f"{1:020d}.seg").symlink_to("/proc/self/mem")
    with pytest.raises(DamagedState, match="the disk answered"):
        kinds(tmp_path)


def test_a_missing_segment_is_damage(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    for at in (2, 3):
        writer.segment(LIFE[0])
        writer.batch([tick(at)])
    (tmp_path / f"{2:020d}.seg").unlink()
    with pytest.raises(DamagedState, match="as the next segment says"):
        kinds(tmp_path)


@pytest.mark.parametrize(
    ("schema", "carried", "found"),
    [(5, "", True), (4, "", False), (5, LIFE[1], False), (5, LIFE[0], True)],
    ids=["new", "old", "other", "own"],
)
def test_a_limit_is_required_from_the_schema_on_that_brought_it(tmp_path: Path, schema: int, carried: str, found: bool) -> None:
    """The first batch of another writer's segment may be an older one, repeated: of it the segment's schema says nothing."""
    records = copy.deepcopy(honest())
    permit = next(one for one in records if one["k"] == "permit")
    permit["evaluations"] = [one for one in permit["evaluations"] if one["limit"] != "max_currency_loss"]
    writer = Writer(tmp_path)
    writer.segment(LIFE[0], schema=schema if not carried else 4)
    at = records.index(permit)
    if carried:
        writer.batch(records[:at])
        writer.segment(carried, schema=schema)
        writer.batch([permit])
        writer.batch(records[at + 1 :])
    else:
        writer.batch(records[:1])
        writer.batch(records[1:])
    told = [str(one) for one in check(tmp_path).violations if one.invariant == "S29"]
    assert [("max_currency_loss" in one) for one in told] == [True] * found


def test_a_torn_tail_is_told_and_damage_before_a_whole_batch_is_not_read(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    at = len(writer.body)
    image = writer.batch([tick(2)])
    writer.batch([tick(3)])
    whole = writer.body
    writer.body = whole[: at + len(image)] + b"ILKB torn" + bytes(100)
    writer.flush()
    assert check(tmp_path).torn
    writer.body = whole[: at + 110] + b"x" + whole[at + 111 :]
    writer.flush()
    with pytest.raises(DamagedState, match="whole one behind it"):
        kinds(tmp_path)
    writer.body = whole[:at] + b"ILKB" + struct.pack("<IQQII", 0, 2, 2, 1, 1 << 30) + bytes(484)
    writer.flush()
    assert kinds(tmp_path) == ["boot"], "a length beyond the file is no batch"


@given(st.data())
def test_a_flipped_byte_is_never_taken_for_a_record(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("flip")
    writer = Writer(folder, room=1 << 13)
    writer.segment(LIFE[0])
    for one in (boot(), tick(2), tick(3)):
        writer.batch([one])
    image = bytearray(writer.path.read_bytes())
    at = data.draw(st.integers(0, len(writer.body) - 1))
    image[at] ^= data.draw(st.integers(1, 255))
    writer.path.write_bytes(bytes(image))
    try:
        found = kinds(folder)
    except (DamagedState, BadInput):
        return
    assert found == ["boot", "tick", "tick"][: len(found)]


def test_a_chain_that_does_not_continue_is_a_violation(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    writer.chain = bytes(31) + b"\1"
    writer.batch([tick(2)])
    report = check(tmp_path)
    assert [one.invariant for one in report.violations] == ["S13"]
    writer.chain = bytes(32)
    writer.segment(LIFE[1])
    writer.batch([boot(3, 1)])
    assert {one.invariant for one in check(tmp_path).violations} == {"S13"}


def test_a_gap_in_the_numbers_is_a_violation(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    writer.lsn += 1
    writer.batch([tick(2)])
    assert [one.invariant for one in check(tmp_path).violations] == ["S28"]


def test_records_of_a_writer_that_did_not_boot_are_a_violation(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    writer.segment(LIFE[1])
    writer.batch([tick(2)])
    assert not check(tmp_path).violations, "the first batch may be repeated"
    writer.batch([tick(3)])
    assert [one.invariant for one in check(tmp_path).violations] == ["S28"]


def test_a_record_before_any_boot_is_a_violation(tmp_path: Path) -> None:
    assert [one.invariant for one in check(j.write(tmp_path / "j", [tick(1)])).violations] == ["S28"]


def test_an_end_before_a_snapshot_is_a_violation(tmp_path: Path) -> None:
    one_segment(tmp_path)
    (tmp_path / f"{7:020d}.snap").write_bytes(b"damaged")
    assert not check(tmp_path).violations
    (tmp_path / f"{7:020d}.snap").write_bytes(chained(b"ILKJSNP\n"))
    assert [one.invariant for one in check(tmp_path).violations] == ["S13"]


@pytest.mark.parametrize(
    "record",
    [b"\xc1", b"\x91" * 2_000, msgspec.msgpack.encode([1]), msgspec.msgpack.encode({"k": 1}), msgspec.msgpack.encode({"k": "a", 1: 2})],
)
def test_bytes_that_are_no_record_are_damage(tmp_path: Path, record: bytes) -> None:
    writer = one_segment(tmp_path)
    writer.body += batch_bytes(2, 2, writer.chain, [record])[0]
    writer.flush()
    with pytest.raises(DamagedState, match="expected record 2"):
        kinds(tmp_path)


def test_a_batch_that_does_not_fall_into_records_is_damage(tmp_path: Path) -> None:
    writer = one_segment(tmp_path)
    image, _ = batch_bytes(2, 2, writer.chain, [], kind=0)
    writer.body += image
    writer.flush()
    with pytest.raises(DamagedState, match="fall into"):
        kinds(tmp_path)


def test_a_journal_of_the_gate_is_read(tmp_path: Path) -> None:
    """Two lives, the first of them cut off, written by the code that the checker does not know."""
    disk, folder = SystemDisk(), tmp_path / "journal"
    small = Options(segment_bytes=1 << 14, batch_bytes=7168, reserve_bytes=0)
    written = [one for one in j.honest() if one["k"] != "boot"]
    journal, _ = open_journal(disk, folder, schema=records.SCHEMA, incarnation=bytes.fromhex(LIFE[0]), options=small)
    for one in [boot(), *written]:
        record = records.decode(msgspec.msgpack.encode(one))
        while not journal.room().spare_ready:  # so small a segment is full before a busy disk has made the next one
            time.sleep(0.001)
        journal.commit(records.encode(record))
    journal.close()
    assert kinds(folder) == ["boot", *(one["k"] for one in written)]
    report = check(folder, witness=j.save(tmp_path / "w", j.lines_of(j.honest())), truth=j.save(tmp_path / "t", j.truth_of(j.honest())))
    assert not report.violations, [str(one) for one in report.violations]
    assert report.segments > 1
    for life in (1, 2):
        journal, _ = open_journal(disk, folder, schema=records.SCHEMA, incarnation=bytes.fromhex(LIFE[life]), options=small)
        journal.commit(records.encode(records.decode(msgspec.msgpack.encode(boot(100 + life, life)))))
        journal.close()
    assert not check(folder).violations


def test_the_vocabulary_says_what_the_gate_writes() -> None:
    kinds_of_gate = {str(kind.__struct_config__.tag): kind for kind in records.AnyRecord.__args__}
    assert kinds_of_gate.keys() == FIELDS.keys()
    for tag, kind in kinds_of_gate.items():
        fields = msgspec.structs.fields(kind)
        assert {one.name for one in fields} == {"boot_ns", *FIELDS[tag]}
        assert {one.name for one in fields if not one.required} == DEFAULTS.get(tag, {}).keys()
    assert set(REQUIRED) == REQUIRED_LIMITS
