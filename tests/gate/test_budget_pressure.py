"""The gate while a venue's limits run short: its reads stop first, then what is new, and a cancel goes on until the venue itself wants none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.gate.core_world import NOW, World
from tests.gate.test_egress import Bench, settle, with_bench

from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.cancels import due
from interlock.gate.core import VENUE_BUDGET, want_cancels
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.venue_fake_reads import FakeReads
from interlock.gate.venue_reads import ReadFailed
from interlock.run.gate_config import VenuePart
from interlock.run.gate_kits import kit_of
from interlock.run.gate_meeting import require_sweepable
from interlock.simulate.fake_venue.client import ControlClient
from interlock.simulate.fake_venue.control import AskTruth, Ban, SetRate, Truth
from interlock.simulate.fake_venue.faults import Fault
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues.budget import GATE, Limit, Meter, Spend
from interlock.venues.fake import budget

S = 1_000_000_000
HOUR = 3_600 * S
SMALL = (Limit("requests", 40, HOUR), Limit("orders", 1_000, HOUR, alone=True))


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Addresses]:
    """A venue of its own, which has counted nothing yet and bans for the first request that is too many."""
    with served(tmp_path / "venue", ["bybit"]) as addresses:
        hand = ControlClient(addresses.control)
        hand.command(SetRate(venue="bybit", requests=40, window_ns=HOUR, ban_after=1))
        hand.close()
        yield addresses


def asked(venue: Addresses) -> int:
    hand = ControlClient(venue.control)
    truth = hand.command(AskTruth(venue="bybit"))
    hand.close()
    assert isinstance(truth, Truth)
    return truth.requests


async def cancelled(bench: Bench, client_id: str) -> None:
    bench.keeper.take(*want_cancels(bench.keeper.state, (client_id,), "test", "ann", bench.now()), now=bench.now())
    bench.egress.cancel_due(due(bench.keeper.state.orders, bench.now().boot_ns, 9))
    await settle(lambda: bench.keeper.state.orders.by_id[client_id].cancel.attempts == 1)  # type: ignore[union-attr]
    await settle(lambda: "cancel" in bench.witnessed(client_id))


def test_reads_stop_first_then_placements_and_a_cancel_still_goes(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter(SMALL, GATE)

    async def use(bench: Bench) -> None:
        reads = FakeReads("bybit", "main", venue.venues["bybit"].orders, bench.now, timeout_ns=2 * S, receive_window_ns=0, meter=meter)
        for _ in range(20):
            await reads.quote("BTCUSDT")
        with pytest.raises(ReadFailed, match="used up") as stopped:
            await reads.quote("BTCUSDT")
        assert not stopped.value.limited
        assert stopped.value.retry_after_ns > 0
        resting, sent = bench.permit()
        assert await sent == ""
        await bench.until(resting, OrderState.ACKED, OrderState.OPEN)
        meter.spent({"requests": 9}, bench.now().boot_ns)  # as many more placements make it three quarters
        suppressed, sent = bench.permit(ticks=399_999)
        assert await sent == VENUE_BUDGET
        assert bench.state(suppressed) is OrderState.NOT_SENT
        await cancelled(bench, resting)
        assert asked(venue) == 22
        assert not any(meter.refused_ns(one, bench.now().boot_ns) for one in Spend)
        reads.close()

    with_bench(tmp_path, venue, use, meter=meter)


def test_what_others_use_of_a_limit_takes_it_from_reads_and_placements_and_from_no_cancel(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter(SMALL, GATE)

    async def use(bench: Bench) -> None:
        resting, sent = bench.permit()
        assert await sent == ""
        await bench.until(resting, OrderState.ACKED, OrderState.OPEN)
        for _ in range(30):
            bench_reads = FakeReads("bybit", "main", venue.venues["bybit"].orders, bench.now, timeout_ns=2 * S, receive_window_ns=0)
            await bench_reads.clock()  # somebody else, with an account of their own
            bench_reads.close()
        reads = FakeReads("bybit", "main", venue.venues["bybit"].orders, bench.now, timeout_ns=2 * S, receive_window_ns=0, meter=meter)
        await reads.clock()  # which tells
        with pytest.raises(ReadFailed, match="used up"):
            await reads.clock()
        _, sent = bench.permit(ticks=399_999)
        assert await sent == VENUE_BUDGET
        await cancelled(bench, resting)
        reads.close()

    with_bench(tmp_path, venue, use, meter=meter)


def test_a_placement_that_the_venue_refuses_for_its_rate_stops_the_next_until_its_time_and_no_cancel(
    tmp_path: Path, venue: Addresses
) -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        resting, sent = bench.permit()
        assert await sent == ""
        await bench.until(resting, OrderState.ACKED, OrderState.OPEN)
        bench.fault(Fault.RATE_LIMITED, verb="place")
        refused, sent = bench.permit(ticks=399_999)
        assert await sent == ""
        await bench.until(refused, OrderState.REJECTED)
        _, sent = bench.permit(ticks=399_998)
        assert await sent == VENUE_BUDGET
        await cancelled(bench, resting)
        left_ns = meter.refused_ns(Spend.PLACE, bench.now().boot_ns)
        assert left_ns > 0
        assert meter.wait_ns(Spend.PLACE, budget.PLACEMENT, bench.now().boot_ns + left_ns) == 0

    with_bench(tmp_path, venue, use, meter=meter)


def test_during_a_ban_not_even_a_cancel_is_written_and_after_it_the_cancel_is_still_owed(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        resting, sent = bench.permit()
        assert await sent == ""
        await bench.until(resting, OrderState.ACKED, OrderState.OPEN)
        hand = ControlClient(venue.control)
        hand.command(Ban(venue="bybit", for_ns=30 * S))
        await cancelled(bench, resting)
        await settle(lambda: meter.refused_ns(Spend.LOWER, bench.now().boot_ns) > 0)
        before = asked(venue)
        bench.egress.cancel_due([resting])
        hand.command(Ban(venue="bybit", for_ns=0))
        hand.close()
        bench.egress.cancel_due([resting])
        await asyncio.sleep(0)
        assert asked(venue) == before
        assert bench.keeper.state.orders.by_id[resting].cancel is not None
        bench.world.now = bench.world.now._replace(boot_ns=bench.world.now.boot_ns + meter.refused_ns(Spend.LOWER, bench.now().boot_ns))
        bench.egress.cancel_due([resting])
        await settle(lambda: asked(venue) == before + 1)

    with_bench(tmp_path, venue, use, meter=meter)


def test_a_decision_denies_by_name_what_would_find_no_room(tmp_path: Path) -> None:
    world, given = World(), []

    def room(pending: int, boot_ns: int) -> int:
        given.append((pending, boot_ns))
        return 5 if pending else 0

    world.readings.budgets = {"bybit": room}
    assert world.decide().decision.result == "PERMIT"
    denied = world.next(ticks=399_999)
    assert denied.decision.rule == VENUE_BUDGET
    assert given == [(0, NOW.boot_ns), (1, NOW.boot_ns)]
    world.state.apply(r.NotSent(boot_ns=NOW.boot_ns, client_id=next(iter(world.state.orders.live)), revision=0, reason="test"))
    assert world.next(ticks=399_998).decision.result == "PERMIT"
    world.readings.budgets = {"upbit": room}
    assert world.next(ticks=399_997).decision.result == "PERMIT"


def test_no_more_orders_may_be_open_than_the_sentinel_can_sweep() -> None:
    from tests.gate import limit_cases as lc

    def with_orders(count: int) -> LimitSheet:
        return lc.changed(lc.SHEET, "symbols", "bybit:BTCUSDT", max_open_orders_count=count)

    part = VenuePart(
        venue="bybit", account="main", endpoint=r.Endpoint.LOOPBACK, orders_port=1, stream_port=2, symbols=("BTCUSDT",), dead_man=False
    )
    kits = {"bybit": kit_of(part, lambda: NOW, lambda: "0" * 32, lambda _: None)}
    require_sweepable(with_orders(5_000), kits)
    with pytest.raises(UsageError, match="the sentinel can cancel them with 750 requests, found 20000"):
        require_sweepable(with_orders(20_000), kits)
