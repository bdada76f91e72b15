"""A snapshot is made in slices, so that whoever waits for the loop waits for one of them and not for the whole."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate import order_records as o

from interlock.gate import snapshot
from interlock.gate.journal import Journal, Options, SystemDisk, open_journal
from interlock.gate.journal.snapshots import snapshot_files
from interlock.gate.keeper import Keeper
from interlock.gate.readings import Now
from interlock.gate.records import SCHEMA, Tick
from interlock.gate.state import GateState
from interlock.run.gate_journal import Snapshots

NOW = Now(5, 5)


def opened(folder: Path) -> Journal:
    return open_journal(SystemDisk(), folder, schema=SCHEMA, incarnation=bytes(16), options=Options(1 << 20, 1 << 16, 1 << 16))[0]


async def made(folder: Path, *, since: int, outrun: bool) -> list[int]:
    """How many snapshots there are after one round and after a second. `outrun`: in the midst of the first somebody folds a record."""
    journal = opened(folder)
    keeper = Keeper(GateState(lc.SHEET), journal)
    detach = keeper.attach(asyncio.get_running_loop())
    said: list[str] = []
    found = []
    try:
        await keeper.durable(keeper.take(aw.boot(), *o.OPENED, o.report(o.S.CANCELLED, 0, venue_ns=11), now=NOW))
        snapshots = Snapshots(keeper, journal.last_lsn - since, said.append)
        if outrun:
            asyncio.get_running_loop().call_soon(lambda: keeper.take(Tick(boot_ns=9, wall_ns=9), now=NOW))
        for _ in range(2):
            await snapshots.keep()
            await keeper.durable(journal.last_lsn)
            found.append(len(snapshot_files(SystemDisk(), folder)))
        loaded = snapshot.load(SystemDisk(), folder, SCHEMA, lc.SHEET, said.append)
        assert loaded is not None
        assert said == []
        return found
    finally:
        detach()
        journal.close()


@pytest.mark.parametrize(
    ("since", "outrun", "found"),
    [
        (snapshot.RECORDS_BETWEEN, False, [1, 1]),
        (snapshot.RECORDS_BETWEEN, True, [0, 1]),
        (snapshot.MOST_RECORDS_BETWEEN, True, [1, 1]),
    ],
)
def test_a_record_in_the_midst_puts_a_snapshot_off_unless_it_is_urgent_and_then_it_is_made_at_once(
    tmp_path: Path, since: int, outrun: bool, found: list[int]
) -> None:
    assert asyncio.run(made(tmp_path / "j", since=since, outrun=outrun)) == found
