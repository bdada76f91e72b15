"""Orders that nobody of ours ended: the dead man's switch, liquidation, somebody else. The client says why, and drops nothing."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from tests.venues.contract.follower import Follower
from tests.venues.contract.place import Place
from tests.venues.contract.traits import at
from tests.venues.contract.truth import check_everywhere, check_fills, check_order

from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState, Side
from interlock.simulate.served.bybit.face import BybitFace
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.orders import EndReason
from interlock.venues.bybit.account_stream import AccountStream
from interlock.venues.bybit.trade import Trade
from interlock.venues.port import Ask, End, FillKind
from interlock.venues.request import Call, Method
from interlock.venues.trouble import Doing


async def test_a_countdown_that_is_not_armed_again_ends_what_rests_in_its_symbol(place: Place) -> None:
    if not place.traits.beats:
        with pytest.raises(UsageError, match="dead-man"):
            place.verbs.beat(place.symbol, 1000)
        return
    async with Follower(place) as follower:
        order, other = await place.placed(place.wanted()), await place.placed(place.wanted(symbol=place.traits.symbols[1]))
        await place.accepted(place.verbs.beat(place.symbol, 50), Doing.CANCEL)
        await place.until(lambda: not order.open)
        assert (order.reason, other.open) == (EndReason.DEAD_MAN, True)
        await follower.caught_up()
        # This venue does not tell why: the order is cancelled, as by ourselves.
        assert follower.orders(order.client_id)[-1].end is End.CANCELLED
        seen = await place.ask(place.reads.order(order.symbol, order.client_id))
        assert seen is not None
        assert (seen.end, seen.state) == (End.CANCELLED, order.state)


@at("binance_usdm")
async def test_a_countdown_that_is_disarmed_ends_nothing(place: Place) -> None:
    order = await place.placed(place.wanted())
    # The first is disarmed at once, the second one runs out: by then the first would have as well.
    await place.accepted(place.verbs.beat(place.symbol, 100), Doing.CANCEL)
    await place.accepted(place.verbs.beat(place.symbol, 0), Doing.CANCEL)
    other = await place.placed(place.wanted(symbol=place.traits.symbols[1]))
    await place.accepted(place.verbs.beat(place.traits.symbols[1], 200), Doing.CANCEL)
    await place.until(lambda: not other.open)
    assert order.open


@at("bybit")
async def test_a_watch_over_connections_ends_orders_with_its_reason(place: Place) -> None:
    face = place.face
    assert isinstance(face, BybitFace)
    assert isinstance(place.verbs, Trade)
    face.desk.dead_man.enabled = True
    try:
        async with Follower(place, AccountStream(place.reads.instruments, dead_man_s=10)) as follower:
            await place.accepted(place.verbs.guard(3), Doing.CANCEL)
            order = await place.placed(place.wanted())
            place.clock.advance(2_000_000_000)
            await place.step()
            assert order.open
            place.clock.advance(4_000_000_000)
            await place.step()
            assert order.reason is EndReason.DEAD_MAN
            await follower.caught_up()
            check_order(place, follower.orders(order.client_id)[-1], order)
            await check_everywhere(place, order)
    finally:
        face.desk.dead_man.enabled = False
        face.desk.dead_man.windows_s.clear()


async def test_a_liquidation_ends_orders_and_its_execution_is_told_as_one(place: Place) -> None:
    if not place.traits.derivatives:
        assert not place.strike(Fault.LIQUIDATION, symbol=place.symbol)
        return
    async with Follower(place) as follower:
        opening, resting = await place.placed(place.taking(Side.BUY)), await place.placed(place.wanted(Side.BUY))
        assert place.strike(Fault.LIQUIDATION, symbol=place.symbol)
        closing = place.latest()
        assert (resting.reason, closing.filled_lots) == (EndReason.LIQUIDATION, opening.filled_lots)
        await follower.caught_up()
        assert follower.gaps == []
        told = [each for each in follower.fills() if each.kind is not FillKind.TRADE]
        assert {each.kind for each in told} == {FillKind.LIQUIDATION}
        assert {each.trade_id for each in told} == {place.face.trade_name(e.number) for e in closing.executions}
        page = await place.ask(place.reads.fills(place.cursor))
        kinds = {each.trade_id: each.kind for each in page.found}
        assert all(kinds[each.trade_id] is FillKind.LIQUIDATION for each in told)
        assert kinds[place.face.trade_name(opening.executions[0].number)] is FillKind.TRADE
        assert await place.ask(place.reads.positions()) == ()
        assert follower.orders(resting.client_id)[-1].end is End.LIQUIDATION
        seen = await place.ask(place.reads.order(resting.symbol, resting.client_id))
        assert seen is not None
        # Not every venue tells the reason in a read; none makes it look like our own cancel.
        assert seen.end in (End.LIQUIDATION, End.VENUE)


async def test_what_the_venue_takes_to_cover_others_is_told_as_that_and_explains_the_balance(place: Place) -> None:
    if not place.traits.derivatives:
        assert not place.strike(Fault.ADL, symbol=place.symbol)
        return
    async with Follower(place) as follower:
        opening, resting = await place.placed(place.taking(Side.BUY)), await place.placed(place.wanted(Side.BUY))
        before = place.sim.account.balances()[place.traits.settle].total
        size = opening.instrument.quantity(opening.filled_lots - 1)
        assert place.strike(Fault.ADL, symbol=place.symbol, amount=str(size))
        closing = place.latest()
        assert closing.filled_lots == opening.filled_lots - 1
        await follower.caught_up()
        assert follower.gaps == []
        (told,) = [each for each in follower.fills() if each.kind is not FillKind.TRADE]
        page = await place.ask(place.reads.fills(place.cursor))
        (read,) = [each for each in page.found if each.trade_id == told.trade_id]
        for seen in (told, read):
            assert (seen.kind, seen.side, seen.lots) == (FillKind.ADL, Side.SELL, closing.filled_lots)
            assert (seen.trade_id, seen.fee) == (place.face.trade_name(closing.executions[0].number), closing.fee)
        (position,) = await place.ask(place.reads.positions())
        assert position.lots == 1
        # The execution explains what it did to the balance, so no entry of the ledger may do so again.
        assert place.sim.account.balances()[place.traits.settle].total - before == closing.pnl - closing.fee + 1001
        ledger = await place.ask(place.reads.ledger(""))
        assert not [each for each in ledger.found if each.kind == "adl"]
        if resting.open:
            assert place.traits.venue == "binance_usdm"
        else:
            assert resting.reason is EndReason.ADL
            assert follower.orders(resting.client_id)[-1].end is End.LIQUIDATION
        await check_everywhere(place, resting)


@pytest.mark.parametrize("client_id", ["", "somebody-else-1"])
async def test_an_order_of_somebody_else_is_told_with_all_that_it_does(place: Place, client_id: str) -> None:
    async with Follower(place) as follower:
        want = place.wanted(Side.SELL)
        size, price = str(want.instrument.quantity(want.lots)), str(want.instrument.price(want.ticks))
        name = client_id and f"{client_id}-{place.link()}"
        assert place.strike(Fault.FOREIGN_ORDER, symbol=place.symbol, side="sell", amount=size, price=price, client_id=name)
        order = place.latest()
        opened = await place.ask(place.reads.open_orders())
        (seen,) = opened.found
        assert seen.client_id == name or not name
        assert place.strike(Fault.FILL, symbol=place.symbol)
        assert order.remaining_lots == 0
        await follower.caught_up()
        (told,) = follower.fills()
        page = await place.ask(place.reads.fills(place.cursor))
        (read,) = [each for each in page.found if each.trade_id == told.trade_id]
        assert (read.ticks, read.lots, read.fee, read.venue_order_id) == (told.ticks, told.lots, told.fee, told.venue_order_id)
        if name:
            check_fills(place, [told], order.executions)


@at("binance_usdm")
async def test_a_conditional_order_of_somebody_else_is_open_until_it_is_cancelled(place: Place) -> None:
    async with Follower(place) as follower:
        trigger = place.instrument().price(place.ticks(Side.SELL, "1.05"))
        fields = {
            "algoType": "CONDITIONAL",
            "symbol": place.symbol,
            "side": "BUY",
            "type": "STOP_MARKET",
            "quantity": str(place.instrument().quantity(place.lots())),
            "triggerPrice": str(trigger),
            "clientAlgoId": place.link(),
        }
        asked = Ask(Call(Method.POST, "/fapi/v1/algoOrder", body=urlencode(fields).encode()))
        assert (await place.heard(asked)).status == 200
        opened = await place.ask(place.reads.open_orders())
        (seen,) = opened.found
        assert (seen.client_id, seen.symbol, seen.side, seen.state) == (fields["clientAlgoId"], place.symbol, Side.BUY, OrderState.OPEN)
        assert not opened.unreadable
        gone = Ask(Call(Method.DELETE, "/fapi/v1/algoOrder", f"clientAlgoId={fields['clientAlgoId']}"))
        assert (await place.heard(gone)).status == 200
        await follower.caught_up()
        assert follower.gaps == []
        told = follower.orders(fields["clientAlgoId"])
        assert [each.end for each in told] == [End.NONE, End.CANCELLED]
        assert told[0].venue_order_id == seen.venue_order_id
        assert (await place.ask(place.reads.open_orders())).found == ()


async def test_an_execution_that_is_taken_back_shows_in_the_balance(place: Place) -> None:
    async with Follower(place) as follower:
        order = await place.placed(place.taking(Side.BUY))
        assert place.strike(Fault.REVERSE_FILL)
        await follower.caught_up()
        seen = {each.currency: each.total for each in await place.ask(place.reads.balances())}
        assert seen[place.traits.settle] == place.sim.account.balances()[place.traits.settle].total
        assert len(follower.fills(order.client_id)) == len([e for e in order.executions if e.lots > 0])
        assert order.fee > 0
