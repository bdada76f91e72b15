"""Orders of every kind, placed over the wire by our client: what reads, lists and the private stream say of them is what is true."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from tests.venues.contract.follower import Follower
from tests.venues.contract.place import Place
from tests.venues.contract.traits import DERIVATIVES
from tests.venues.contract.truth import check_everywhere, check_fills, check_order, totals

from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.orders import EndReason, SimOrder
from interlock.venues.port import Accepted, BalanceSeen, End, FillSeen, PositionSeen
from interlock.venues.trouble import Doing, Explained, Trouble

BOTH = pytest.mark.parametrize("side", list(Side), ids=lambda side: str(side.name.lower()))


async def check_all(place: Place, follower: Follower, *orders: SimOrder) -> None:
    """Reads, lists, stream, executions, balances and positions say what is true of these orders."""
    await follower.caught_up()
    assert follower.gaps == []
    for order in orders:
        await check_everywhere(place, order)
        if place.traits.trades_tell_orders or order.state is not OrderState.PARTIAL:
            check_order(place, follower.orders(order.client_id)[-1], order)
        check_fills(place, follower.fills(order.client_id), order.executions)
    page = await place.ask(place.reads.fills(place.cursor))
    ids = {order.client_id for order in orders}
    check_fills(
        place,
        [each for each in page.found if each.client_id in ids],
        [execution for order in orders for execution in order.executions],
        makers=place.traits.tells_makers,
    )
    assert {each.currency: each.total for each in await place.ask(place.reads.balances())} == {c: t for c, t in totals(place).items() if t}
    for order in orders:
        streamed = {each.trade_id: each for each in follower.fills(order.client_id)}
        for each in page.found:
            if each.client_id == order.client_id:
                told = streamed[each.trade_id]
                assert each == (told if place.traits.tells_makers else replace(told, liquidity=each.liquidity)), "one execution, told alike"
    held = {each.symbol: each.lots for each in await place.ask(place.reads.positions())}
    account = place.sim.account
    assert held == ({s: p.lots for s, p in account.positions.items() if p.lots} if isinstance(account, MarginAccount) else {})
    for symbol, lots in held.items():
        assert [each for each in follower.events(PositionSeen) if each.symbol == symbol][-1].lots == lots


@BOTH
async def test_an_order_rests_and_is_cancelled_by_its_client_id(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.wanted(side))
        assert order.state is OrderState.OPEN
        await check_all(place, follower, order)
        said = await place.accepted(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL)
        assert said.client_id in ("", order.client_id)
        assert (order.state, order.reason) == (OrderState.CANCELLED, EndReason.USER)
        await check_all(place, follower, order)


@BOTH
async def test_an_order_is_cancelled_by_the_venue_s_id(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        want = place.wanted(side)
        said = await place.accepted(place.verbs.place(want))
        order = place.truth(want.client_id)
        alone = await place.ask(place.reads.order(order.symbol, want.client_id))
        assert alone is not None
        assert alone.venue_order_id == said.venue_order_id
        await place.accepted(place.verbs.cancel(order.symbol, venue_order_id=said.venue_order_id), Doing.CANCEL)
        assert order.reason is EndReason.USER
        await check_all(place, follower, order)


@BOTH
async def test_a_post_only_order_rests_and_makes(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.wanted(side, tif=TimeInForce.POST_ONLY))
        assert place.strike(Fault.FILL, client_id=order.client_id, amount=str(order.instrument.quantity(order.lots // 2)))
        assert order.state is OrderState.PARTIAL
        await check_all(place, follower, order)
        assert place.strike(Fault.FILL, client_id=order.client_id)
        assert order.remaining_lots == 0
        await check_all(place, follower, order)


@BOTH
async def test_a_part_executes_and_the_rest_is_cancelled(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.wanted(side))
        assert place.strike(Fault.FILL, client_id=order.client_id, amount=str(order.instrument.quantity(order.lots // 3)))
        await place.accepted(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL)
        assert order.filled_lots
        assert order.state is OrderState.CANCELLED
        await check_all(place, follower, order)


@BOTH
async def test_an_order_that_takes_whole_is_filled(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.taking(side))
        assert order.state is OrderState.FILLED
        await check_all(place, follower, order)


@BOTH
async def test_an_order_over_several_levels_executes_at_each(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        bids, asks = place.sim.levels(place.symbol, 3)
        levels = asks if side is Side.BUY else bids
        lots = levels[0][1] + levels[1][1] + 2
        order = await place.placed(place.wanted(side, ticks=place.instrument().ticks(place.sim_price(levels[2][0])), lots=lots))
        assert len(order.executions) >= 3
        await check_all(place, follower, order)


@BOTH
async def test_an_ioc_order_takes_what_is_there_and_lets_the_rest_go(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        bids, asks = place.sim.levels(place.symbol, 8)
        levels = asks if side is Side.BUY else bids
        price = place.instrument().ticks(place.sim_price(levels[-1][0]))
        lots = sum(lots for _, lots in levels) + place.lots()
        order = await place.placed(place.wanted(side, ticks=price, lots=lots, tif=TimeInForce.IOC))
        assert order.reason is EndReason.IOC_REST
        assert 0 < order.filled_lots < lots
        whole = await place.placed(place.taking(side, tif=TimeInForce.IOC))
        assert whole.state is OrderState.FILLED
        nothing = await place.placed(place.wanted(side, tif=TimeInForce.IOC))
        assert (nothing.reason, nothing.filled_lots) == (EndReason.IOC_REST, 0)
        await check_all(place, follower, order, whole, nothing)


@BOTH
async def test_a_fok_order_fills_whole_or_not_at_all(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        whole = await place.placed(place.taking(side, tif=TimeInForce.FOK))
        assert whole.state is OrderState.FILLED
        want = place.wanted(side, tif=TimeInForce.FOK)
        said = await place.do(place.verbs.place(want), Doing.PLACE)
        if place.traits.fok_refused:
            assert isinstance(said, Explained)
            assert said.settled
            assert place.sim.find(client_id=want.client_id) is None
            assert await place.ask(place.reads.order(place.symbol, want.client_id)) is None
            await check_all(place, follower, whole)
            return
        assert isinstance(said, Accepted)
        order = place.truth(want.client_id)
        assert order.reason is EndReason.FOK
        await check_all(place, follower, whole, order)


@BOTH
async def test_a_post_only_order_that_would_take_is_ended_or_refused(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        want = place.taking(side, tif=TimeInForce.POST_ONLY)
        said = await place.do(place.verbs.place(want), Doing.PLACE)
        if place.traits.post_only_refused:
            assert isinstance(said, Explained)
            assert (said.trouble, said.settled) == (Trouble.POST_ONLY_REJECT, True)
            assert place.sim.find(client_id=want.client_id) is None
            return
        assert isinstance(said, Accepted)
        order = place.truth(want.client_id)
        assert order.reason is EndReason.POST_ONLY
        await check_all(place, follower, order)
        assert follower.orders(want.client_id)[-1].end is End.POST_ONLY


@BOTH
async def test_a_market_order_takes(place: Place, side: Side) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.market(side))
        assert order.filled_lots
        await check_all(place, follower, order)


async def test_an_order_of_ours_that_would_meet_another_goes_and_the_other_stays(place: Place) -> None:
    async with Follower(place) as follower:
        resting = await place.placed(place.wanted(Side.SELL, ticks=place.ticks(Side.SELL, "1")))
        if not resting.open:
            pytest.fail("expected an order that rests at the best ask")
        want = place.wanted(Side.BUY, ticks=place.ticks(Side.SELL, "1"))
        said = await place.do(place.verbs.place(want), Doing.PLACE)
        assert isinstance(said, Accepted)
        taker = place.truth(want.client_id)
        assert (taker.reason, resting.open) == (EndReason.SELF_MATCH, True)
        await check_all(place, follower, resting, taker)


async def test_a_reduce_only_order_ends_a_position_and_no_more(place: Place) -> None:
    if not place.traits.derivatives:
        with pytest.raises(UsageError, match="adds at a spot venue"):
            place.verbs.place(place.wanted(Side.BUY, reduce_only=True))
        return
    async with Follower(place) as follower:
        opening = await place.placed(place.taking(Side.BUY))
        ending = await place.placed(place.taking(Side.SELL, lots=opening.filled_lots, reduce_only=True))
        assert ending.state is OrderState.FILLED
        await check_all(place, follower, opening, ending)
        more = place.taking(Side.SELL, reduce_only=True)
        said = await place.do(place.verbs.place(more), Doing.PLACE)
        assert isinstance(said, Explained)
        assert (said.trouble, said.settled) == (Trouble.INVALID_ORDER, True)


@BOTH
async def test_an_amended_order_has_its_new_price_and_size(place: Place, side: Side) -> None:
    want = place.wanted(side, lots=place.lots() * 2)
    if not place.traits.amends:
        with pytest.raises(UsageError, match="nothing in place"):
            place.verbs.amend(want, "")
        return
    async with Follower(place) as follower:
        said = await place.accepted(place.verbs.place(want))
        order = place.truth(want.client_id)
        for number, name in enumerate((said.venue_order_id, ""), 1):
            step = place.instrument().ticks(place.instrument().price_step(place.instrument().price(want.ticks), place.sim.day))
            again = replace(want, ticks=want.ticks - number * step * side, lots=want.lots - number)
            amended = await place.accepted(place.verbs.amend(again, name), Doing.AMEND)
            assert (amended.client_id, amended.venue_order_id) == (want.client_id, said.venue_order_id)
            assert (order.price, order.lots, order.revision) == (place.instrument().price(again.ticks), again.lots, number)
            await check_all(place, follower, order)


async def test_a_batch_is_placed_and_cancelled(place: Place) -> None:
    wants = tuple(place.wanted(side) for side in (Side.BUY, Side.SELL, Side.BUY))
    if not place.traits.batches:
        with pytest.raises(UsageError, match="no batch"):
            place.verbs.place_batch(wants)
        for want in wants:
            await place.placed(want)
    else:
        said = place.verbs.batch_answered(await place.heard(place.verbs.place_batch(wants)), Doing.PLACE, len(wants))
        assert [each.client_id for each in said if isinstance(each, Accepted)] == [want.client_id for want in wants]
    async with Follower(place) as follower:
        orders = [place.truth(want.client_id) for want in wants]
        heard = await place.heard(place.verbs.cancel_batch(place.symbol, tuple(want.client_id for want in wants)))
        done = place.verbs.batch_answered(heard, Doing.CANCEL, len(wants))
        assert all(isinstance(each, Accepted) for each in done), done
        assert {order.reason for order in orders} == {EndReason.USER}
        await check_all(place, follower, *orders)


@pytest.mark.parametrize("cut", [0, 1, 2])
async def test_of_a_batch_that_is_cut_each_answer_is_its_order_s(place: Place, cut: int) -> None:
    wants = tuple(place.wanted(Side.BUY) for _ in range(3))
    if not place.traits.batches:
        orders = [await place.placed(want) for want in wants]
        assert place.strike(Fault.PARTIAL_BATCH, count=cut)
        heard = await place.heard(place.verbs.cancel_batch(place.symbol, tuple(want.client_id for want in wants)))
        said = place.verbs.batch_answered(heard, Doing.CANCEL, len(wants))
        taken = {each.client_id for each in said if isinstance(each, Accepted)}
        assert taken == {order.client_id for order in orders if not order.open}
        assert len(taken) == cut
        return
    assert place.strike(Fault.PARTIAL_BATCH, count=cut)
    said = place.verbs.batch_answered(await place.heard(place.verbs.place_batch(wants)), Doing.PLACE, len(wants))
    for number, (want, each) in enumerate(zip(wants, said, strict=True)):
        if number < cut:
            assert isinstance(each, Accepted)
            assert each.client_id == want.client_id
            assert place.truth(want.client_id).open
        else:
            assert isinstance(each, Explained)
            assert place.sim.find(client_id=want.client_id) is None
        assert place.copies(want.client_id) == 1
        seen = await place.ask(place.reads.order(place.symbol, want.client_id))
        assert (seen is None) is (number >= cut)


async def test_orders_of_every_symbol_are_told_in_its_own_units(place: Place) -> None:
    async with Follower(place) as follower:
        orders = []
        for symbol, market in place.sim.markets.items():
            if not place.traits.derivatives:
                assert place.strike(Fault.DEPOSIT, currency=market.instrument.base, amount="1000")
            for side in Side:
                order = await place.placed(place.wanted(side, symbol=symbol))
                assert place.strike(Fault.FILL, client_id=order.client_id, amount=str(order.instrument.quantity(1)))
                await place.accepted(place.verbs.cancel(symbol, client_id=order.client_id), Doing.CANCEL)
                orders.append(order)
        await check_all(place, follower, *orders)


@DERIVATIVES
async def test_an_order_that_executed_in_part_is_amended(place: Place) -> None:
    async with Follower(place) as follower:
        want = place.wanted(lots=place.lots() * 2)
        order = await place.placed(want)
        assert place.strike(Fault.FILL, client_id=order.client_id, amount=str(order.instrument.quantity(2)))
        await place.accepted(place.verbs.amend(replace(want, lots=want.lots - 1), ""), Doing.AMEND)
        assert (order.lots, order.filled_lots, order.state) == (want.lots - 1, 2, OrderState.PARTIAL)
        await check_all(place, follower, order)


@DERIVATIVES
async def test_a_post_only_order_that_is_amended_so_that_it_would_take_does_not_take(place: Place) -> None:
    async with Follower(place) as follower:
        want = place.wanted(tif=TimeInForce.POST_ONLY)
        order = await place.placed(want)
        said = await place.do(place.verbs.amend(replace(want, ticks=place.taking().ticks), ""), Doing.AMEND)
        assert isinstance(said, Accepted)
        assert (order.open, order.filled_lots) == (False, 0)
        assert said.state is OrderState.ACKED or said.end is not End.NONE
        await check_all(place, follower, order)


async def test_what_rests_is_cancelled_while_its_market_is_halted_or_the_venue_is_read_only(place: Place) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.wanted())
        assert place.strike(Fault.HALT, symbol=place.symbol, ms=600_000)
        await place.accepted(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL)
        await check_all(place, follower, order)


async def test_reads_go_on_while_the_venue_takes_no_orders(place: Place) -> None:
    order = await place.placed(place.wanted())
    assert place.strike(Fault.MAINTENANCE, verb="place", ms=600_000)
    await place.do(place.verbs.place(place.wanted()), Doing.PLACE)
    said = await place.do(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL)
    assert isinstance(said, Explained)
    assert said.trouble is Trouble.MAINTENANCE
    assert order.open
    await check_everywhere(place, order)


async def test_the_stream_tells_balances_as_they_are(place: Place) -> None:
    async with Follower(place) as follower:
        await place.placed(place.taking(Side.BUY))
        await follower.caught_up()
        for currency in {each.currency for each in follower.events(BalanceSeen)}:
            seen = follower.balance(currency)
            assert seen is not None
            assert seen.total == totals(place)[currency]
        assert follower.events(FillSeen)


async def test_a_late_fill_of_a_cancelled_order_is_told_by_stream_and_reads(place: Place) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.wanted())
        assert place.strike(Fault.LATE_FILL, verb="cancel", ms=1)
        await place.do(place.verbs.cancel(order.symbol, client_id=order.client_id), Doing.CANCEL)
        await place.until(lambda: order.executions)
        await follower.caught_up()
        check_fills(place, follower.fills(order.client_id), order.executions)
        page = await place.ask(place.reads.fills(place.cursor))
        mine = [each for each in page.found if each.client_id == order.client_id]
        check_fills(place, mine, order.executions, makers=place.traits.tells_makers)
        assert sum(each.fee for each in mine) == order.fee != Decimal(0)
