"""The way out, where only a defect made on purpose showed that nothing looked: doubts, cut connections, cancels beside a disk that stalls."""

from __future__ import annotations

import asyncio
import select
from typing import Any, cast

import pytest
from tests.gate.core_world import World
from tests.gate.test_egress import settle
from tests.gate.test_review_findings import Bench, with_bench

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.core import recheck, want_cancels

MS = 1_000_000


def kinds(bench: Bench) -> list[str]:
    """What the journal holds, in order."""
    return [type(r.decode(payload)).__name__ for payload in bench.journal.payloads]


@pytest.mark.parametrize(
    ("known", "objection"),
    [
        ({}, ""),
        ({"stopped": None}, "stop word"),
        ({"stopped": 0}, "stop word"),
        ({"lease_held": None}, "lease"),
        ({"lease_held": 1}, "lease"),
    ],
)
def test_what_is_not_certainly_known_stops_the_write(known: dict[str, Any], objection: str) -> None:
    world = World()
    planned = world.decide().planned
    assert planned is not None
    said: dict[str, Any] = {"stopped": False, "lease_held": True, **known}
    assert recheck(world.setup, world.state, world.readings, planned, world.now, **said) == objection


@pytest.mark.parametrize("stops_at", [None, 1, 2])
def test_a_write_leaves_a_record_of_its_beginning_only_if_it_begins(stops_at: int | None) -> None:
    """The stop word is read before the record of the write, and again after it, right before the first byte."""

    async def use(bench: Bench) -> None:
        reads = 0

        def stopped() -> bool:
            nonlocal reads
            reads += 1
            return stops_at is not None and reads >= stops_at

        cast(Any, bench.switches).stopped = stopped
        planned, _ = bench.permit()
        said = await bench.egress.send(planned)
        found = kinds(bench)[-3:]
        arrived = bench.peer.got(1)
        if stops_at is None:
            assert (said, found, arrived) == ("", ["Permit", "WireBegin", "Sent"], planned.frame)
        else:
            tail = ["WireBegin", "NotSent"] if stops_at == 2 else ["Permit", "NotSent"]
            assert (said, found[-2:], arrived) == ("stop word", tail, b"")
            assert bench.state(planned.client_id) is OrderState.NOT_SENT

    with_bench(use)


@pytest.mark.parametrize("answered", [True, False])
def test_a_connection_on_which_no_answer_came_in_time_is_cut(answered: bool) -> None:
    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ""
        end = bench.peer.ends[1]
        end.settimeout(2)
        assert select.select([end], [], [], 1.0)[0]
        assert end.recv(1 << 16) == planned.frame
        if answered:
            bench.answer(1, planned)
        wanted = OrderState.ACKED if answered else OrderState.UNKNOWN
        await settle(lambda: bench.state(planned.client_id) is wanted)
        await asyncio.sleep(0.1)  # beyond the time in which an answer was due
        if answered:
            assert not select.select([end], [], [], 0.0)[0]
        else:
            with pytest.raises(ConnectionResetError):
                end.recv(1)
        other, _ = bench.permit(ticks=399_999)
        assert await bench.egress.send(other) == ""
        assert len(bench.peer.lines) == (2 if answered else 3)
        assert bench.peer.got(1 if answered else 2) == other.frame

    with_bench(use, answer_ns=80 * MS)


def test_a_cancel_leaves_while_the_disk_stalls_and_a_placement_does_not() -> None:
    async def use(bench: Bench) -> None:
        resting, _ = bench.permit()
        await bench.egress.send(resting)
        bench.answer(1, resting)
        await settle(lambda: bench.state(resting.client_id) is OrderState.ACKED)
        bench.peer.got(1)
        bench.journal.synced = bench.journal.last_lsn  # from here on nothing becomes durable
        other, _ = bench.permit(ticks=399_999)
        written = bench.egress.send(other)
        now = bench.world.now
        bench.keeper.take(*want_cancels(bench.keeper.state, (resting.client_id,), "freeze", "ann", now), now=now)
        bench.egress.cancel_due([resting.client_id])
        assert resting.client_id.encode() in bench.peer.got(0)
        await asyncio.wait([written], timeout=0.1)
        assert bench.peer.got(1) == b""
        written.cancel()

    with_bench(use)


def test_orders_of_one_account_leave_in_the_order_in_which_they_were_permitted() -> None:
    async def use(bench: Bench) -> None:
        first, second = (bench.permit(ticks=400_000 - number)[0] for number in range(2))
        await asyncio.gather(*(bench.egress.send(planned) for planned in (first, second)))
        assert bench.peer.got(1) == first.frame + second.frame

    with_bench(use)
