"""What a checkpoint counts along is what a whole reading counts, however the journal came to be what it is; and it costs what is new."""

from __future__ import annotations

import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from tests.run.test_live_kpi import OPTIONS, fill, intent, reversal, wire

from interlock.gate import records as r
from interlock.gate.journal import Journal, SnapshotFile, SystemDisk, archive, open_journal, recover, write_snapshot
from interlock.gate.record_following import RecordFollower
from interlock.run.journal_told import ReadAlong, Told, read_told


def records(seed: int) -> Iterator[r.Record]:
    """Orders and what becomes of them, without end; some are denied, some of their fills are taken back."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        client_id = f"maki0{number:022d}"
        yield intent(client_id)
        if chance.random() < 0.2:
            yield r.Deny(
                boot_ns=2, client_id=client_id, rule="collar", detail="d", strategy="making", count=chance.randint(1, 3),
            )  # fmt: skip
            continue
        yield wire(client_id)
        if chance.random() < 0.1:
            yield r.SendUnknown(boot_ns=2, client_id=client_id, revision=0, reason="no answer")
        if chance.random() < 0.5:
            yield fill(f"t{number}", client_id=client_id, lots=chance.randint(1, 5))
            if chance.random() < 0.3:
                yield reversal(f"t{number}")
        equity = Decimal(chance.randint(900, 1100))
        yield r.Marked(boot_ns=3, realised_usd=Decimal(0), unrealised_usd=Decimal(0), equity_usd=equity)


def begun(folder: Path, life: int = 0) -> Journal:
    """A life of its writer. No two are of one incarnation, by which a segment that is begun anew under its old name is known."""
    return open_journal(SystemDisk(), folder, schema=r.SCHEMA, incarnation=bytes([life] * 16), options=OPTIONS)[0]


def pack(folder: Path) -> int:
    """Archive all that may be; how many segments that was."""
    disk = SystemDisk()
    write_snapshot(disk, folder, SnapshotFile(recover(disk, folder, schema=r.SCHEMA).mark, r.SCHEMA, bytes(32), b"state"))
    return len(archive(disk, folder, r.SCHEMA))


def kill(folder: Path, journal: Journal, last: r.Record) -> None:
    """End a writer as kill -9 does in the middle of writing `last`: nothing is sealed, and half a batch stands there."""
    journal.commit(r.encode(last))
    segment = max(folder.glob("*.seg"))
    content = bytearray(segment.read_bytes())
    journal.close()
    end = len(bytes(content).rstrip(b"\0"))
    content[end - 40 : end] = bytes(40)
    segment.write_bytes(content)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_counted_along_is_what_a_whole_reading_counts(seed: int, tmp_path: Path) -> None:
    """Over lives, rolled segments, archives and torn tails, looked at whenever it happens to be."""
    folder, chance, coming = tmp_path / "journal", random.Random(seed), records(seed)
    along = ReadAlong(folder)
    assert "expected the folder of a journal" in along.read().problem
    packed = looked = torn = 0
    for life in range(4):
        journal = begun(folder, life)
        for _ in range(80):
            journal.commit(*(r.encode(next(coming)) for _ in range(chance.randint(1, 4))))
            if chance.random() < 0.3:
                looked += 1
                found = along.read()
                assert (found.problem, found.told) == ("", read_told(folder).told)
        packed += pack(folder)
        if life % 2:
            journal.close()
        else:
            kill(folder, journal, next(coming))
            torn += read_told(folder).recovered.torn is not None  # type: ignore[union-attr]
            assert along.read().told == read_told(folder).told
    whole, found = read_told(folder), along.read()
    assert found.told == whole.told
    assert whole.recovered is not None
    assert (whole.recovered.records, whole.recovered.sealed) == (found.told.records, True)
    assert (looked > 50, packed > 4, torn, len(found.told.booked) > 50) == (True, True, 2, True), (
        "the control: there was something to count"
    )
    along.close()


def test_a_record_that_is_missing_or_cannot_be_read_is_told_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    for _ in range(2):
        with_two = begun(folder)
        with_two.commit(r.encode(intent()), r.encode(wire()))
        with_two.close()
    first = min(folder.glob("*.seg"))
    content = first.read_bytes()
    first.unlink()
    along = ReadAlong(folder)
    for _ in range(2):
        assert "expected record 1 next, found 3; bring the missing segments back" in along.read().problem
    along.close()
    first.write_bytes(content)
    along = ReadAlong(folder)
    assert (along.read().problem, along.read().told.intents) == ("", 2), "the control: with it nothing is missing"
    along.close()


def test_each_record_is_given_once(tmp_path: Path) -> None:
    folder, coming = tmp_path / "journal", records(1)
    follower, given = RecordFollower(SystemDisk(), folder), Told()
    came: list[int] = []

    def take(lsn: int, record: r.AnyRecord) -> None:
        came.append(lsn)
        given.take(record)

    journal = begun(folder)
    for number in range(5):
        journal.commit(*(r.encode(next(coming)) for _ in range(7)))
        came.clear()
        assert follower.poll(take) == ""
        assert came == list(range(7 * number + 1, 7 * number + 8))
    came.clear()
    assert (follower.poll(take), came) == ("", []), "nothing is new"
    assert given == read_told(folder).told
    follower.close()
    journal.close()
