"""Cancels that wait until a line has room: which go together, and which are left to whoever owes them and asks again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import pytest
from tests.gate.core_world import World
from tests.gate.test_egress import settle
from tests.gate.test_order_lines import OneAtATime, said
from tests.gate.test_review_findings import Bench

from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.order_wire import Cancellation, ToCancel
from interlock.gate.readings import Now
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.fake import budget, wire

S = 1_000_000_000


class Pairs(OneAtATime):
    """One request under way on a connection, which may end two orders; as many cancels as it names, in one write."""

    cancels_at_once = 2

    def __init__(self, connections: int) -> None:
        super().__init__(2 * S)
        self.connections = connections

    def cancellation(self, orders: Sequence[ToCancel], number: int, sign_wall_ns: int) -> Cancellation:
        whole = [super(Pairs, self).cancellation([order], number, sign_wall_ns) for order in orders]
        return Cancellation(b"".join(one.frame for one in whole), budget.REQUEST)


def with_lines(use: Callable[[Bench], Awaitable[None]], connections: int = 1, meter: Meter | None = None) -> None:
    """A bench whose first so many ends are those of cancels."""

    async def run() -> None:
        bench = Bench(5 * S, meter, Pairs(connections))
        await bench.egress.open()
        try:
            await use(bench)
        finally:
            bench.egress.close()
            bench.peer.close()

    asyncio.run(run())


def order(bench: Bench, symbol: str = "BTCUSDT") -> str:
    """An order that has its permit. How many there may be is not asked here."""
    bench.sequence += 1
    client_id = str(ClientId("demo", bench.world.state.epoch, bench.sequence, 5))
    intent, permit = World().decide().records
    assert isinstance(intent, r.Intent)
    assert isinstance(permit, r.Permit)
    named = msgspec.structs.replace(intent, client_id=client_id, symbol=symbol), msgspec.structs.replace(permit, client_id=client_id)
    bench.keeper.take(*named, now=bench.world.now)
    return client_id


def end(bench: Bench, client_id: str) -> None:
    """Let the venue's stream say that an order has ended."""
    now = bench.world.now
    ended = r.Reported(
        boot_ns=now.boot_ns,
        client_id=client_id,
        venue_order_id="v",
        state=OrderState.CANCELLED,
        filled_lots=0,
        lots=1,
        source="stream",
        code="",
        venue_ns=now.wall_ns,
    )
    bench.keeper.take(ended, now=now)


def written(bench: Bench, line: int) -> list[tuple[int, str]]:
    """The cancels that arrived on a connection since it was asked, each as (request, order)."""
    assembler, found = wire.Assembler(), []
    assembler.feed(bench.peer.got(line, 0.05))
    while (frame := assembler.take()) is not None:
        asked = wire.decode_request(frame)
        assert isinstance(asked, wire.Cancel)
        found.append((asked.request_id, asked.client_id))
    return found


async def answer(bench: Bench, line: int, number: int) -> None:
    """Answer a cancel, and let what follows from it happen."""
    before = sum(isinstance(one, r.CancelAnswered) for one in map(r.decode, bench.journal.payloads))
    bench.peer.ends[line].sendall(said(number))
    await settle(lambda: sum(isinstance(one, r.CancelAnswered) for one in map(r.decode, bench.journal.payloads)) > before)


async def cut(bench: Bench, line: int) -> None:
    """Let the venue's end of a connection go, and wait until that was noticed."""
    bench.peer.ends[line].close()
    await settle(lambda: bench.peer.ours[line].fileno() < 0)


def test_what_waits_goes_together_by_symbol_and_no_more_than_one_request_can_end() -> None:
    async def use(bench: Bench) -> None:
        first, second, *three = [order(bench) for _ in range(5)]
        other = order(bench, "ETHUSDT")
        bench.egress.cancel_due([first])
        bench.egress.cancel_due([second])
        assert (written(bench, 0), written(bench, 1)) == ([(1, first)], [(2, second)])
        bench.egress.cancel_due([three[0], other, *three[1:]])
        assert (written(bench, 0), written(bench, 1)) == ([], [])
        await answer(bench, 0, 1)
        assert written(bench, 0) == [(3, three[0]), (3, three[1])]
        await answer(bench, 1, 2)
        assert written(bench, 1) == [(4, other)]
        await answer(bench, 0, 3)
        assert written(bench, 0) == [(5, three[2])]

    with_lines(use, connections=2)


def test_where_all_that_waited_has_ended_nothing_is_written_and_the_line_is_free() -> None:
    async def use(bench: Bench) -> None:
        first, second, third = [order(bench) for _ in range(3)]
        bench.egress.cancel_due([first])
        bench.egress.cancel_due([second])
        end(bench, second)
        await answer(bench, 0, 1)
        assert written(bench, 0) == [(1, first)]
        bench.egress.cancel_due([third])
        assert written(bench, 0) == [(2, third)]

    with_lines(use)


def test_without_a_line_a_cancel_is_left_to_whoever_owes_it() -> None:
    async def use(bench: Bench) -> None:
        first, second = order(bench), order(bench)
        await cut(bench, 0)
        bench.egress.cancel_due([first])
        await bench.egress.restore()
        bench.egress.cancel_due([second])
        assert written(bench, -1) == [(1, second)]
        await answer(bench, -1, 1)
        bench.egress.cancel_due([first])
        assert written(bench, -1) == [(2, first)]

    with_lines(use)


def test_while_the_venue_wants_no_request_a_cancel_is_left_to_whoever_owes_it() -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        first, second = order(bench), order(bench)
        now = bench.world.now
        meter.refused(Spend.LOWER, S, now.boot_ns)
        bench.egress.cancel_due([first])
        assert written(bench, 0) == []
        bench.world.now = Now(now.boot_ns + S, now.wall_ns + S)
        bench.egress.cancel_due([second])
        assert written(bench, 0) == [(1, second)]

    with_lines(use, meter=meter)


def test_what_waits_behind_a_cancel_that_failed_is_left_to_whoever_owes_it() -> None:
    async def use(bench: Bench) -> None:
        first, other = order(bench), order(bench, "ETHUSDT")
        bench.peer.ours[0].shutdown(1)
        bench.egress.cancel_due([first, other])
        assert bench.peer.ours[0].fileno() < 0
        assert written(bench, 1) == []
        bench.egress.cancel_due([first])
        assert [client_id for _, client_id in written(bench, 1)] == [first]

    with_lines(use, connections=2)


@pytest.mark.parametrize("ends", [False, True])
def test_the_end_of_the_gate_writes_nothing_of_what_waits_to_a_line_that_is_new(ends: bool) -> None:
    async def use(bench: Bench) -> None:
        first, second = order(bench), order(bench)
        bench.egress.cancel_due([first])
        await cut(bench, 1)
        bench.egress.cancel_due([second])
        await bench.egress.restore()
        assert len(bench.peer.ends) == 5
        if ends:
            bench.egress.close()
        else:
            await answer(bench, 0, 1)
        found = written(bench, 0)[1:] + written(bench, 4)
        assert [client_id for _, client_id in found] == ([] if ends else [second])

    with_lines(use, connections=2)
