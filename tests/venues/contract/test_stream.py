"""A private stream that doubles, swaps, is silent, breaks or runs out: nothing is invented, and reads complete what was missed."""

from __future__ import annotations

import pytest
from tests.venues.contract.follower import Follower, Unwelcome
from tests.venues.contract.place import Place
from tests.venues.contract.test_sockets import entry
from tests.venues.contract.traits import at
from tests.venues.contract.truth import check_everywhere, check_fills, check_order

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import Side
from interlock.simulate.served.binance_usdm.private import LIFE_MS
from interlock.simulate.served.faults import Fault
from interlock.simulate.served.orders import SimOrder
from interlock.venues.port import Nonsense, Refused
from interlock.venues.request import Key
from interlock.venues.socket import SocketBroken


async def busy(place: Place) -> SimOrder:
    """An order that rests, executes in two parts and is over."""
    order = await place.placed(place.wanted(Side.BUY))
    assert place.strike(Fault.FILL, client_id=order.client_id, amount=str(order.instrument.quantity(1)))
    assert place.strike(Fault.FILL, client_id=order.client_id)
    assert order.remaining_lots == 0
    return order


async def check_reads(place: Place, *orders: SimOrder) -> None:
    """Reads tell all of these orders and their executions."""
    for order in orders:
        await check_everywhere(place, order)
    page = await place.ask(place.reads.fills(place.cursor))
    ids = {order.client_id for order in orders}
    mine = [each for each in page.found if each.client_id in ids]
    check_fills(place, mine, [e for order in orders for e in order.executions], makers=place.traits.tells_makers)


async def test_an_honest_stream_tells_each_execution_once(place: Place) -> None:
    async with Follower(place) as follower:
        order = await busy(place)
        await follower.caught_up()
        told = [each for each in follower.told if each.what]
        assert sum(len([e for e in each.events if getattr(e, "trade_id", "")]) for each in told) == 2
        check_fills(place, follower.fills(order.client_id), order.executions)


async def test_messages_that_come_twice_are_passed_on_with_the_same_ids(place: Place) -> None:
    async with Follower(place) as follower:
        assert place.strike(Fault.DUPLICATE, private=True, count=50)
        order = await busy(place)
        await follower.caught_up()
        place.face.parts.private.calm()
        assert follower.gaps == []
        assert len([each for each in follower.events(type(follower.fills()[0])) if each.client_id == order.client_id]) == 4
        check_fills(place, follower.fills(order.client_id), order.executions)
        check_order(place, follower.orders(order.client_id)[-1], order)


async def test_messages_that_change_places_lose_nothing(place: Place) -> None:
    async with Follower(place) as follower:
        assert place.strike(Fault.REORDER, private=True, count=3)
        order = await busy(place)
        place.face.parts.private.calm()
        await follower.caught_up()
        check_fills(place, follower.fills(order.client_id), order.executions)
        assert any(seen.state is order.state for seen in follower.orders(order.client_id))
        await check_reads(place, order)


async def test_what_a_silent_stream_leaves_out_is_in_the_reads(place: Place) -> None:
    async with Follower(place) as follower:
        first = await busy(place)
        await follower.caught_up()
        assert place.strike(Fault.SILENCE, ms=600_000)
        missed = await busy(place)
        assert place.strike(Fault.DEPOSIT, currency=place.traits.settle, amount="7")
        place.face.parts.private.calm()
        later = await busy(place)
        await follower.caught_up()
        assert follower.orders(missed.client_id) == []
        assert follower.fills(missed.client_id) == []
        for order in (first, later):
            check_fills(place, follower.fills(order.client_id), order.executions)
        await check_reads(place, first, missed, later)


async def test_an_event_that_is_left_out_is_told_by_the_reads_alone(place: Place) -> None:
    """Nothing numbers the private streams, so that no client can see the hole: it has to read again and again."""
    async with Follower(place) as follower:
        resting = await place.placed(place.wanted(Side.SELL))
        await follower.caught_up()
        told = len(follower.told)
        # More than an execution makes; what is left of them is taken back before the next.
        assert place.strike(Fault.GAP, private=True, count=50)
        assert place.strike(Fault.FILL, client_id=resting.client_id)
        place.face.parts.private.calm()
        await follower.caught_up()
        assert follower.gaps == []
        assert not [each for each in follower.told[told:] for event in each.events if getattr(event, "client_id", "") == resting.client_id]
        await check_reads(place, resting)
        later = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(later.client_id), later.executions)


@at("binance_usdm")
async def test_a_server_that_goes_down_is_left_before_it_does(place: Place) -> None:
    async with Follower(place) as follower, entry(place) as made:
        assert place.strike(Fault.SERVER_SHUTDOWN, ms=60_000)
        await place.until(lambda: follower.over and made.said)
        assert (follower.told[-1].what, follower.ended, follower.gaps) == ("serverShutdown", "", [])
        assert (made.said[-1].what, made.said[-1].over, made.ended) == ("serverShutdown", True, "")
        # Until it goes it works: what happens is told, and an order is taken.
        order = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(order.client_id), order.executions)
        place.clock.advance(61 * NS_PER_S)
        await place.step()
        await place.until(lambda: follower.ended and made.ended)
        await place.until(lambda: not place.face.parts.private.listeners)
        await follower.connect()
        after = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(after.client_id), after.executions)


@at("bybit")
async def test_a_venue_without_a_word_for_it_says_nothing(place: Place) -> None:
    assert not place.strike(Fault.SERVER_SHUTDOWN, ms=1)


async def test_after_a_break_the_stream_goes_on_and_the_reads_fill_the_hole(place: Place) -> None:
    async with Follower(place) as follower:
        before = await busy(place)
        resting = await place.placed(place.wanted(Side.SELL))
        await follower.caught_up()
        assert place.strike(Fault.DROP_SOCKETS)
        await place.until(lambda: follower.ended)
        missed = await busy(place)
        assert place.strike(Fault.FILL, client_id=resting.client_id, amount=str(resting.instrument.quantity(1)))
        await place.until(lambda: not place.face.parts.private.listeners)
        told = len(follower.told)
        await follower.connect()
        assert not [each for each in follower.told[told:] if each.events], "nothing is told again"
        await check_reads(place, before, resting, missed)
        after = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(after.client_id), after.executions)
        assert follower.fills(missed.client_id) == []


async def test_a_key_that_is_not_good_gets_no_stream(place: Place) -> None:
    good, place.key = place.key, Key(place.key.access, "another" + place.key.secret[7:])
    asking, place.asking = place.asking, place.talker(place.reads.sign, Key("nobody" + place.key.access[6:], place.key.secret))
    try:
        follower = Follower(place)
        with pytest.raises((Refused, SocketBroken, Unwelcome)) as failed:
            await follower.connect()
        if isinstance(failed.value, Unwelcome):
            assert any(each.over and each.gap for each in follower.told)
        if follower.socket is not None:
            follower.socket.close()
        await place.until(lambda: not place.face.parts.private.listeners)
    finally:
        place.key, place.asking = good, asking
    async with Follower(place) as follower:
        order = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(order.client_id), order.executions)


async def waited(place: Place, seconds: int) -> None:
    """Let time pass in steps that connections outlive, each with the pings that are due and their answers."""
    for _ in range(0, seconds, 180):
        place.clock.advance(180 * NS_PER_S)
        before = [(each, each.pongs) for each in place.face.parts.private.listeners]
        await place.step()
        await place.until(lambda before=before: all(each.pongs > pongs for each, pongs in before))  # type: ignore[misc]


@at("binance_usdm")
async def test_a_listen_key_that_is_kept_lasts_and_one_that_is_not_ends_the_stream(place: Place) -> None:
    async with Follower(place) as follower:
        half = LIFE_MS // 2_000
        for _ in range(3):
            await waited(place, half)
            await place.ask(follower.feed.keeping())
        order = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(order.client_id), order.executions)
        await waited(place, LIFE_MS // 1_000)
        await place.until(lambda: follower.count("listenKeyExpired"))
        assert follower.told[-1].over
        assert "expired" in follower.told[-1].gap
        told = len(follower.told)
        missed = await busy(place)
        with pytest.raises((Refused, Nonsense)):
            await place.ask(follower.feed.keeping())
        assert follower.socket is not None
        follower.socket.close()
        await place.until(lambda: follower.ended)
        assert len(follower.told) == told
        await follower.connect()
        await check_reads(place, missed)
        again = await busy(place)
        await follower.caught_up()
        check_fills(place, follower.fills(again.client_id), again.executions)
