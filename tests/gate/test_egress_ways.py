"""Two ways to one venue: cancels take the one that stands, and when they are repeated the other one; a placement has one way only."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest
from tests.gate.test_egress import MS, Bench, settle, with_bench
from tests.gate.test_order_lines import One

from interlock.domain.orders import OrderState
from interlock.gate.core import want_cancels
from interlock.gate.order_line import OrderLine
from interlock.gate.order_wire import Cancellation, ToCancel
from interlock.gate.venue_fake import FakeReader, FakeWire
from interlock.simulate.fake_venue.faults import Fault
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues.budget import GATE, Limit, Meter, Spend
from interlock.venues.fake import budget


class Counted(FakeWire):
    """A way that counts the cancels that are written for it."""

    idle_ns = 3_600_000 * MS

    def __init__(self) -> None:
        super().__init__(2_000 * MS)
        self.cancels = 0

    def cancellation(self, orders: Sequence[ToCancel], number: int, sign_wall_ns: int) -> Cancellation:
        self.cancels += 1
        return super().cancellation(orders, number, sign_wall_ns)


class OneByOne(Counted):
    """A way that counts, and takes one request at a time."""

    def reader(self) -> FakeReader:
        return One()


class Costly(Counted):
    """A way on which a connection counts."""

    connection_cost = MappingProxyType({"connections": 1})


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    with served(tmp_path_factory.mktemp("venue"), ["bybit"]) as addresses:
        yield addresses


async def resting(bench: Bench) -> str:
    """An order of ours at the venue that is to be cancelled."""
    client_id, written = bench.permit()
    assert await written == ""
    await bench.until(client_id, OrderState.ACKED)
    bench.keeper.take(*want_cancels(bench.keeper.state, (client_id,), "freeze", "ann", bench.now()), now=bench.now())
    return client_id


def answered(bench: Bench, client_id: str) -> bool:
    """Whether the venue has accepted the cancel."""
    return bool(bench.witnessed(client_id).count("cancel"))


def test_a_cancel_takes_the_first_way_and_one_that_is_repeated_the_other(tmp_path: Path, venue: Addresses) -> None:
    first, second = Counted(), Counted()

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        for one, other in ((1, 0), (1, 1), (2, 1)):
            bench.egress.cancel_due([client_id])
            assert (first.cancels, second.cancels) == (one, other)
        await settle(lambda: bench.witnessed(client_id).count("cancel") == 3)
        assert bench.egress.standing == {"place": True, "cancel": True, "spare": True}

    with_bench(tmp_path, venue, use, wire=first, spare=second)


def test_a_cancel_that_nobody_owes_takes_the_first_way(tmp_path: Path, venue: Addresses) -> None:
    first, second = Counted(), Counted()

    async def use(bench: Bench) -> None:
        client_id, written = bench.permit()
        assert await written == ""
        await bench.until(client_id, OrderState.ACKED)
        assert bench.keeper.state.orders.by_id[client_id].cancel is None
        bench.egress.cancel_due([client_id])
        assert (first.cancels, second.cancels) == (1, 0)
        await settle(lambda: answered(bench, client_id))

    with_bench(tmp_path, venue, use, wire=first, spare=second)


def test_a_cancel_does_not_wait_for_a_busy_way_while_the_other_has_room(tmp_path: Path, venue: Addresses) -> None:
    first, second = OneByOne(), OneByOne()

    async def use(bench: Bench) -> None:
        one, two = [await resting(bench) for _ in range(2)]
        bench.egress.cancel_due([one, two])
        assert (first.cancels, second.cancels) == (1, 1)
        await settle(lambda: answered(bench, one) and answered(bench, two))

    with_bench(tmp_path, venue, use, wire=first, spare=second)


def test_a_cancel_waits_for_room_on_the_one_way_that_stands(tmp_path: Path, venue: Addresses) -> None:
    first, second = OneByOne(), OneByOne()

    async def use(bench: Bench) -> None:
        one, two = [await resting(bench) for _ in range(2)]
        bench.egress._cancelling.abort("the venue closed it")
        bench.egress.cancel_due([one, two])
        assert (first.cancels, second.cancels) == (0, 1)
        await settle(lambda: answered(bench, one) and answered(bench, two))
        assert (first.cancels, second.cancels) == (0, 2), "the answer to the first made room, and nobody had to ask again"

    with_bench(tmp_path, venue, use, wire=first, spare=second)


def test_when_the_first_way_is_gone_cancels_take_the_other_and_come_back(tmp_path: Path, venue: Addresses) -> None:
    first, second = Counted(), Counted()
    shut: set[str] = set()

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        bench.egress._cancelling.abort("the venue closed it")
        shut.add("cancel")
        with pytest.raises(ConnectionRefusedError):
            await bench.egress.restore()
        assert bench.egress.standing == {"place": True, "cancel": False, "spare": True}
        assert bench.egress.can_cancel
        for times in (1, 2):
            bench.egress.cancel_due([client_id])
            assert (first.cancels, second.cancels) == (0, times)
        await settle(lambda: answered(bench, client_id))
        shut.clear()
        await bench.egress.restore()
        bench.egress.cancel_due([client_id])
        assert (first.cancels, second.cancels) == (1, 2)

    with_bench(tmp_path, venue, use, wire=first, spare=second, shut=shut)


def test_without_another_way_such_a_cancel_stays_owed(tmp_path: Path, venue: Addresses) -> None:
    only = Counted()
    shut: set[str] = set()

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        bench.egress._cancelling.abort("the venue closed it")
        shut.add("cancel")
        with pytest.raises(ConnectionRefusedError):
            await bench.egress.restore()
        assert not bench.egress.can_cancel
        assert bench.egress.standing == {"place": True, "cancel": False}
        bench.egress.cancel_due([client_id])
        assert only.cancels == 0
        assert bench.keeper.state.orders.by_id[client_id].cancel is not None

    with_bench(tmp_path, venue, use, wire=only, shut=shut)


def test_a_placement_never_takes_the_other_way(tmp_path: Path, venue: Addresses) -> None:
    first, second = Counted(), Counted()
    shut: set[str] = set()

    async def use(bench: Bench) -> None:
        bench.egress._placing.abort("the venue closed it")
        shut.add("place")
        client_id, written = bench.permit()
        with pytest.raises(ConnectionRefusedError):
            await written
        assert bench.state(client_id) is OrderState.NOT_SENT
        assert bench.egress.standing["spare"]
        assert bench.witnessed(client_id) == []
        shut.clear()
        other, written = bench.permit()
        assert await written == ""
        await bench.until(other, OrderState.ACKED)

    with_bench(tmp_path, venue, use, wire=first, spare=second, shut=shut)


def test_one_way_that_cannot_be_restored_keeps_none_of_the_others_from_it(tmp_path: Path, venue: Addresses) -> None:
    shut: set[str] = set()

    async def use(bench: Bench) -> None:
        for one in ("cancel", "spare", "place"):
            shut.clear()
            await bench.egress.restore()
            bench.egress._placing.abort("lost")
            for ways in bench.egress._cancels_by:
                ways.lines.abort("lost")
            shut.add(one)
            with pytest.raises(ConnectionRefusedError, match=one):
                await bench.egress.restore()
            assert bench.egress.standing == {name: name != one for name in ("place", "cancel", "spare")}

    with_bench(tmp_path, venue, use, wire=Counted(), spare=Counted(), shut=shut)


def test_a_way_that_hangs_keeps_none_of_the_others_waiting(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        hanging = asyncio.Event()

        async def hang() -> OrderLine[Sequence[str]]:
            hanging.set()
            await asyncio.sleep(3_600)
            raise AssertionError

        first, second = (one.lines for one in bench.egress._cancels_by)
        for pool in (first, second):
            pool.abort("lost")
        assert not bench.egress.can_cancel
        first._make = hang
        restoring = asyncio.ensure_future(bench.egress.restore())
        await hanging.wait()
        await settle(lambda: bench.egress.can_cancel)
        assert bench.egress.standing == {"place": True, "cancel": False, "spare": True}
        restoring.cancel()
        await asyncio.gather(restoring, return_exceptions=True)

    with_bench(tmp_path, venue, use, wire=Counted(), spare=Counted())


def test_who_hears_that_a_way_could_not_be_restored_finds_the_others_made(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        first, second = (one.lines for one in bench.egress._cancels_by)
        make = second._make

        async def refuse() -> OrderLine[Sequence[str]]:
            raise ConnectionRefusedError

        async def slowly() -> OrderLine[Sequence[str]]:
            await asyncio.sleep(0.05)
            return await make()

        for pool in (first, second):
            pool.abort("lost")
        first._make, second._make = refuse, slowly
        with pytest.raises(ConnectionRefusedError):
            await bench.egress.restore()
        assert bench.egress.standing == {"place": True, "cancel": False, "spare": True}

    with_bench(tmp_path, venue, use, wire=Counted(), spare=Counted())


def test_where_connections_last_for_ever_one_for_placements_is_made_when_an_order_needs_it(tmp_path: Path, venue: Addresses) -> None:
    async def use(bench: Bench) -> None:
        bench.egress._placing.abort("lost")
        bench.egress._cancelling.abort("lost")
        await bench.egress.restore()
        assert bench.egress.standing == {"place": False, "cancel": True}, "another venue keeps both: see the lines that idle"
        client_id, written = bench.permit()
        assert await written == ""
        await bench.until(client_id, OrderState.ACKED)
        assert bench.egress.standing["place"]

    with_bench(tmp_path, venue, use)


def test_a_venue_that_wants_no_orders_for_now_gets_its_connection_for_cancels_all_the_same(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        bench.egress._cancelling.abort("lost")
        meter.refused(Spend.PLACE, 60_000 * MS, bench.now().boot_ns)
        await bench.egress.restore()
        bench.egress.cancel_due([client_id])
        await settle(lambda: answered(bench, client_id))
        other, written = bench.permit()
        assert await written != "", "and an order it gets none"
        assert bench.witnessed(other) == []

    with_bench(tmp_path, venue, use, meter=meter)


def test_a_silent_way_holds_up_no_cancel_for_longer_than_its_repetition(tmp_path: Path, venue: Addresses) -> None:
    first, second = Counted(), Counted()

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        bench.fault(Fault.LOSE_ACK, verb="cancel")
        bench.egress.cancel_due([client_id])
        await settle(lambda: not bench.egress.standing["cancel"])
        bench.egress.cancel_due([client_id])
        assert (first.cancels, second.cancels) == (1, 1)
        await settle(lambda: bench.witnessed(client_id).count("cancel") == 2)

    with_bench(tmp_path, venue, use, answer_ns=50 * MS, wire=first, spare=second)


def test_connections_count_where_the_venue_counts_them(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter((*budget.LIMITS, Limit("connections", 3, 600_000 * MS, alone=True)), GATE)

    async def use(bench: Bench) -> None:
        assert meter.standing(bench.now().boot_ns)["connections"] == (2, 3), "one for cancels, one for placements; the other way is free"
        bench.egress._placing.abort("lost")
        await bench.egress.restore()
        assert meter.wait_ns(Spend.PLACE, Costly.connection_cost, bench.now().boot_ns) > 0
        bench.egress._placing.abort("lost")
        with pytest.raises(ConnectionError, match="no room for another connection"):
            await bench.egress.restore()
        assert bench.egress.can_cancel

    with_bench(tmp_path, venue, use, meter=meter, wire=Costly(), spare=Counted())


@pytest.mark.parametrize("refused", [Spend.PLACE, Spend.LOWER])
def test_a_venue_that_refuses_placements_for_a_while_holds_up_no_connection_for_cancels(
    tmp_path: Path, venue: Addresses, refused: Spend
) -> None:
    meter = Meter((*budget.LIMITS, Limit("connections", 10, 600_000 * MS, alone=True)), GATE)

    async def use(bench: Bench) -> None:
        meter.refused(refused, 60_000 * MS, bench.now().boot_ns)
        bench.egress._cancelling.abort("lost")
        if refused is Spend.PLACE:
            await bench.egress.restore()
            assert bench.egress.can_cancel
        else:
            # The control: a ban stops everything, until the time that the venue names.
            with pytest.raises(ConnectionError, match="no room for another connection"):
                await bench.egress.restore()
            assert not bench.egress.can_cancel

    with_bench(tmp_path, venue, use, meter=meter, wire=Costly())


def test_a_connection_for_cancels_may_use_all_that_the_venue_lets_us_open_and_no_more(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter((*budget.LIMITS, Limit("connections", 4, 600_000 * MS)), GATE)

    async def use(bench: Bench) -> None:
        bench.egress._placing.abort("lost")
        await bench.egress.restore()
        assert meter.standing(bench.now().boot_ns)["connections"] == (3, 4)
        bench.egress._placing.abort("lost")
        with pytest.raises(ConnectionError, match="no room for another connection"):
            await bench.egress.restore()
        assert meter.standing(bench.now().boot_ns)["connections"] == (3, 4), "a quarter is kept from placements"
        bench.egress._cancelling.abort("lost")
        with pytest.raises(ConnectionError, match="no room for another connection"):
            await bench.egress.restore()
        assert bench.egress.standing == {"place": False, "cancel": True}
        bench.egress._cancelling.abort("lost")
        with pytest.raises(ConnectionError, match="no room for another connection"):
            await bench.egress.restore()
        assert not bench.egress.can_cancel

    with_bench(tmp_path, venue, use, meter=meter, wire=Costly())


def test_where_connections_are_not_counted_not_even_a_ban_holds_one_up(tmp_path: Path, venue: Addresses) -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        meter.refused(Spend.LOWER, 60_000 * MS, bench.now().boot_ns, banned=True)
        bench.egress._cancelling.abort("lost")
        bench.egress._placing.abort("lost")
        await bench.egress.restore()
        assert bench.egress.standing == {"place": True, "cancel": True}
        bench.egress.cancel_due([client_id])
        assert not answered(bench, client_id), "a connection is no request, and a cancel is one"

    with_bench(tmp_path, venue, use, meter=meter, wire=Counted())
