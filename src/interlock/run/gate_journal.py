"""The journal of one life: opened and folded before the life begins, and kept short to read for the next one by snapshots beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from interlock.domain.errors import UsageError
from interlock.gate import records as r
from interlock.gate import snapshot
from interlock.gate.exposure import Place
from interlock.gate.journal import START, Disk, Journal, Options, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.life import Kernels
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.record_reading import read_record
from interlock.gate.state import GateState
from interlock.run.gate_config import GateConfig


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A journal and what it folds to. `disk_error`: one of an earlier life is not settled. `snapshot_lsn`: where its snapshot stands, 0 if none."""

    journal: Journal
    state: GateState
    kernels: Kernels
    disk_error: bool
    snapshot_lsn: int


def open_and_fold(config: GateConfig, disk: Disk, sheet: LimitSheet, incarnation: str, log: Callable[[str], None]) -> Opened:
    """Fold what earlier lives wrote. Raises DamagedState, Refused and UsageError."""
    loaded = snapshot.load(disk, config.journal, r.SCHEMA, sheet, log) if config.journal.is_dir() else None
    state = GateState(sheet) if loaded is None else loaded.state
    kernels = Kernels(state)

    def fold(lsn: int, payload: bytes) -> None:
        record = read_record(disk, config.journal, lsn, payload)
        state.apply(record)
        kernels.see(state, record)

    journal, found = open_journal(
        disk,
        config.journal,
        schema=r.SCHEMA,
        incarnation=bytes.fromhex(incarnation),
        options=Options(segment_bytes=config.segment_bytes, batch_bytes=config.batch_bytes, reserve_bytes=config.reserve_bytes),
        consume=fold,
        after=START if loaded is None else loaded.mark,
    )
    return Opened(
        journal=journal,
        state=state,
        kernels=kernels,
        disk_error=found.disk_error,
        snapshot_lsn=0 if loaded is None else loaded.mark.lsn,
    )


def require_all_known(config: GateConfig, state: GateState, places: Collection[Place]) -> None:
    """Raise UsageError for orders or positions of an earlier life where this one would not look, which is at `places`."""
    orders = state.orders
    left = {(orders.by_id[name].venue, orders.by_id[name].symbol) for name in (*orders.live, *orders.owing)}
    left |= {(venue, symbol) for (venue, _, symbol), position in state.ledger.positions.items() if position.lots}
    lost = sorted("/".join(place) for place in left if place not in places)
    if lost:
        raise UsageError(
            f"{config.limits}: expected limits for what earlier lives left open ({', '.join(lost)}), found none; write them down, or "
            "bring it to its end with the limits that it was traded under"
        )


class Snapshots:
    """Keeps the state beside the journal now and then, so that the next boot reads little; losing one costs time and nothing else."""

    def __init__(self, keeper: Keeper, snapshot_lsn: int, log: Callable[[str], None]) -> None:
        self._keeper = keeper
        self._lsn = snapshot_lsn
        self._log = log

    async def keep(self) -> None:
        """Write one if one is due, and let the loop do other things while it is made: one that is outrun by a record is left for the next time."""
        keeper = self._keeper
        mark = keeper.journal.durable_mark
        if keeper.unwritten or not snapshot.due(
            keeper.state, last_lsn=keeper.journal.last_lsn, durable_lsn=mark.lsn, snapshot_lsn=self._lsn
        ):
            return
        in_one = mark.lsn - self._lsn >= snapshot.MOST_RECORDS_BETWEEN
        folded = keeper.state.records
        try:
            for file in snapshot.in_slices(keeper.state, mark, r.SCHEMA):
                if file is None and not in_one:
                    await asyncio.sleep(0)
                    if keeper.state.records != folded:
                        return
            assert file is not None
            self._lsn = mark.lsn
            await asyncio.to_thread(keeper.journal.write_snapshot, file.mark, file.state_hash, file.blob)
        except (OSError, OverflowError) as error:
            self._log(f"no snapshot: {error}")
