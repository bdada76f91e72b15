"""State and journal together, on a disk that may refuse."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import LIFE, binding, records_until_run
from tests.gate.disks import FakeDisk

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.journal import JournalFailed, Options, open_journal, recover
from interlock.gate.keeper import Keeper
from interlock.gate.lattice import common_level
from interlock.gate.readings import Now
from interlock.gate.state import GateState

NOW = Now(aw.BOOT_NS, aw.WALL_NS)
FOLDER = Path("/journal")


def keeper(disk: FakeDisk) -> Keeper:
    state = GateState(lc.SHEET)
    journal, _ = open_journal(disk, FOLDER, schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options(1 << 16, 1 << 13, 1 << 13))
    return Keeper(state, journal)


def refold(disk: FakeDisk) -> GateState:
    state = GateState(lc.SHEET)
    recover(disk, FOLDER, schema=r.SCHEMA, consume=lambda _lsn, payload: state.apply(r.decode(payload)))
    return state


def latch(reason: str = "test") -> r.LatchSet:
    return r.LatchSet(boot_ns=NOW.boot_ns, name="operator", scope=r.Scope.ALL, subject="", level=r.Level.HALT, reason=reason, actor="ann")


def test_a_record_is_handed_over_though_those_behind_it_wait_for_a_disk_that_stands_still() -> None:
    disk = FakeDisk()
    kept = keeper(disk)

    async def run() -> None:
        kept.attach(asyncio.get_running_loop())
        await kept.durable(kept.take(*records_until_run(), now=NOW))
        disk.stall.clear()
        first = kept.take(latch("first"), now=NOW)
        while kept.journal.written_lsn < first:  # noqa: ASYNC110 - written by the thread of the journal, whose sync stands still now
            await asyncio.sleep(0.001)
        behind = kept.take(latch("second"), now=NOW)
        async with asyncio.timeout(5):
            await kept.handed_over(first)
        assert kept.journal.written_lsn < behind
        assert kept.journal.durable_lsn < first
        waiting = asyncio.ensure_future(kept.handed_over(behind))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        disk.stall.set()
        await waiting
        assert kept.journal.written_lsn >= behind

    try:
        asyncio.run(run())
    finally:
        disk.stall.set()
        kept.journal.close()


def test_what_is_folded_is_what_the_journal_gives_back() -> None:
    disk = FakeDisk()
    kept = keeper(disk)

    async def run() -> None:
        detach = kept.attach(asyncio.get_running_loop())
        lsn = kept.take(*records_until_run(), now=NOW)
        await kept.durable(lsn)
        await kept.durable(lsn)
        lsn = kept.take(latch(), now=NOW)
        await kept.handed_over(lsn)
        assert kept.journal.written_lsn >= lsn
        await kept.durable(lsn)
        detach()

    asyncio.run(run())
    kept.journal.close()
    assert refold(disk).digest() == kept.state.digest()


def test_consequences_are_journaled_with_their_causes() -> None:
    disk = FakeDisk()
    kept = keeper(disk)
    stranger = r.Answered(boot_ns=1, client_id="not ours", revision=0, state=OrderState.ACKED, venue_order_id="v", code="")
    kept.take(*records_until_run(), stranger, now=NOW)
    assert common_level(kept.state.lattice) is r.Level.HALT
    kept.journal.close()
    again = refold(disk)
    assert again.digest() == kept.state.digest()
    assert common_level(again.lattice) is r.Level.HALT


def test_a_grant_lives_with_its_record() -> None:
    kept = keeper(FakeDisk())
    kept.take(*records_until_run(), now=NOW)
    asked, minted = aw.ceremony(aw.situation(binding=binding()))
    kept.state.happen(asked)
    assert kept.state.live is None
    kept.mint(minted)
    assert kept.state.live is minted.live
    kept.journal.close()


def test_whoever_is_told_of_records_hears_each_that_was_folded_once_and_in_order() -> None:
    disk = FakeDisk()
    kept = keeper(disk)
    told: list[str] = []
    kept.on_record = lambda record: told.append(type(record).__name__)

    async def run() -> None:
        kept.attach(asyncio.get_running_loop())
        kept.take(*records_until_run(), now=NOW)
        asked, minted = aw.ceremony(aw.situation(binding=binding()))
        kept.state.happen(asked)
        await kept.durable(kept.mint(minted))
        assert told == ["Boot", "Epoch", "Reconciled", "LevelSet", "Armed"]
        disk.faults = dict.fromkeys(range(len(disk.steps), len(disk.steps) + 1_000), errno.EIO)
        with pytest.raises(JournalFailed):
            await kept.durable(kept.take(r.Tick(boot_ns=1, wall_ns=1), now=NOW))
        del told[:]
        with pytest.raises(JournalFailed):
            kept.take(r.Epoch(boot_ns=1, number=1_900_000_000), now=NOW)
        kept.take(latch("a person's"), now=NOW)
        assert "Epoch" not in told, "the journal did not take it, so it was not folded"
        assert told[0] == "LatchSet", "the journal's own"
        assert told.count("LatchSet") == 2

    asyncio.run(run())


def test_a_refusing_disk_takes_no_permit_but_keeps_what_lowers_risk() -> None:
    disk = FakeDisk()
    kept = keeper(disk)

    async def run() -> None:
        kept.attach(asyncio.get_running_loop())
        await kept.durable(kept.take(*records_until_run(), now=NOW))
        epoch = kept.state.epoch
        disk.faults = dict.fromkeys(range(len(disk.steps), len(disk.steps) + 1_000), errno.EIO)
        lsn = kept.journal.append(r.encode(r.Tick(boot_ns=1, wall_ns=1)))
        with pytest.raises(JournalFailed):
            await kept.durable(lsn)
        with pytest.raises(JournalFailed):
            await kept.durable(lsn)
        with pytest.raises(JournalFailed):
            kept.take(r.Epoch(boot_ns=1, number=1_900_000_000), now=NOW)
        with pytest.raises(JournalFailed):
            await kept.handed_over(1)
        assert kept.state.epoch == epoch
        kept.take(latch(), now=NOW)
        assert common_level(kept.state.lattice) is r.Level.HALT
        assert [record.name for record in kept.unwritten if isinstance(record, r.LatchSet)] == ["journal", "operator"]

    asyncio.run(run())
