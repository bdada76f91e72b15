"""An edge that collapses freezes the strategy by itself: engine, gate and a simulated Bybit, whose market runs over the quotes, or does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.day.faults import wait
from tests.day.host import Host, S
from tests.day.loop import MemoryLoop, VirtualTime

from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.gate.journal import recover
from interlock.gate.order_state import Order
from interlock.gate.records import Level, Scope

EDGE = """
[edge]
threshold_bps = "-5"
horizon_s = 1
window_fills = 6
least_fills = 3
"""
"""The simulated Bybit charges a maker two basis points, and the quotes are two from the middle."""
RUNS_OVER_TICKS = 1_000
"""Sixteen basis points at once."""
MOVES_EVERY_NS = S
"""A book that did not change for two seconds is not quoted on."""


def trading(folder: Path, *, runs: bool, use: Callable[[Host], Awaitable[None]]) -> None:
    """A host on which the strategy trades, its quotes met in turn; with `runs` the price goes through each of them and on at once."""
    loop = MemoryLoop(VirtualTime(5_000 * S, 1_800_000_000 * S))
    over = False

    async def all_of_it() -> None:
        nonlocal over
        host = Host(loop, folder, seed=1, calm_ticks=0.0)
        host.run_config.write_text(host.run_config.read_text(encoding="utf-8") + EDGE, encoding="utf-8")
        side = Side.BUY

        def move() -> None:
            nonlocal side
            if over:
                return
            met = next((one for one in host.venue.true.open_orders() if one.side is side and not one.reduce_only), None)
            if met is not None and host.gate is not None and host.gate.trades:
                host.venue.true.fill(met, met.remaining_lots)
                if runs:
                    host.venue.market.jumps.append(-side * RUNS_OVER_TICKS)
                side = Side.SELL if side is Side.BUY else Side.BUY
            host.venue.house.step()
            loop.arrive(loop.virtual.boot_ns + MOVES_EVERY_NS, move)

        try:
            move()
            await host.start_gate()
            await host.start_engine()
            await until(
                lambda: host.line is not None and host.line.there and host.engine is not None and bool(host.engine.core.side.top(0)[0])
            )
            await wait(8)
            assert await host.arm() == "", host.troubles()
            await use(host)
            await host.stop_engine()
            assert host.gate is not None
            await host.gate.end()
        finally:
            over = True
            host.close()

    try:
        loop.run_until_complete(all_of_it())
        assert loop.unforeseen == []
    finally:
        loop.end()


async def until(so: Callable[[], object], within_s: int = 90) -> None:
    """Wait in virtual time."""
    for _ in range(within_s):
        if so():
            return
        await wait(1)
    raise AssertionError("it never was so")


def fills(host: Host) -> int:
    assert host.gate is not None
    return len(host.gate.state.ledger.fills)


def records(host: Host) -> list[r.Record]:
    found: list[r.Record] = []
    recover(host.disk, host.config.journal, schema=r.SCHEMA, consume=lambda _lsn, payload: found.append(r.decode(payload)))
    return found


def quotes(host: Host) -> list[Order]:
    """Orders that would raise risk and may still be filled."""
    assert host.gate is not None
    state = host.gate.state
    return [state.orders.by_id[one] for one in state.orders.live if not state.orders.by_id[one].reduce_only]


def test_fills_that_lose_freeze_the_strategy_and_a_person_lets_it_trade_again(tmp_path: Path) -> None:
    async def use(host: Host) -> None:
        assert host.gate is not None
        assert host.engine is not None
        state = host.gate.state
        await until(lambda: state.lattice.latches)
        (hold,) = state.lattice.latches
        assert (hold.name, hold.scope, hold.subject, hold.level) == ("edge", Scope.STRATEGY, "making", Level.REDUCE_ONLY)
        (latch,) = [one for one in records(host) if isinstance(one, r.LatchSet)]
        told = host.engine.core.edge
        assert told is not None
        assert told.last is not None
        assert latch.evidence == {"measured_bps": told.last.measured_bps, "threshold_bps": "-5"}
        assert float(told.last.measured_bps) < -5
        await until(lambda: not quotes(host))
        permits = sum(isinstance(one, r.Permit) for one in records(host))
        before = host.engine.core.side.denied
        await until(lambda: host.engine is not None and host.engine.core.side.denied > before, 120)
        assert sum(isinstance(one, r.Permit) for one in records(host)) == permits, "it goes on asking, and is denied"
        assert await host.arm() == "", host.troubles()
        await until(lambda: quotes(host))
        assert not state.lattice.latches, "what was told is not told again when it is cleared"

    trading(tmp_path, runs=True, use=use)


def test_fills_that_earn_freeze_nothing(tmp_path: Path) -> None:
    """The control: as many fills, in a market that stays where it is."""

    async def use(host: Host) -> None:
        assert host.gate is not None
        assert host.engine is not None
        fold = host.engine.core.edge
        assert fold is not None
        await until(lambda: fills(host) > 6 and fold.report()["fills"] >= 3)
        assert float(fold.report()["edge_bps"]) > -5, fold.report()
        assert not host.gate.state.lattice.latches
        assert host.gate.trades

    trading(tmp_path, runs=False, use=use)
