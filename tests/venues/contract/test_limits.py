"""The limits that the client knows are those that the simulators keep: so many are taken and not one more, and headers tell where one stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import cycle

import pytest
from tests.venues.contract.place import Place, once
from tests.venues.contract.traits import at

from interlock.domain.clock import NS_PER_MS
from interlock.venues.binance_usdm import budgets as binance
from interlock.venues.bybit import budgets as bybit
from interlock.venues.port import Accepted, Ask, Heard, Refused
from interlock.venues.trouble import Doing, Explained, Trouble
from interlock.venues.upbit import budgets as upbit

Seen = Callable[[Mapping[str, str], str], dict[str, int]]
KNOWN: dict[str, tuple[Mapping[str, tuple[int, int, str]], Seen, bool]] = {
    "upbit": (upbit.BUDGETS, lambda headers, _: upbit.seen(headers), False),
    "binance_usdm": (binance.BUDGETS, lambda headers, _: binance.seen(headers), True),
    "bybit": (bybit.BUDGETS, bybit.seen, False),
}
"""Budgets, what headers say of them, and whether that is what is used, not what is left."""


def begin_window(place: Place, window_ms: int) -> None:
    """Move to where a window of the venue begins."""
    place.clock.advance((window_ms - place.sim.now_ms() % window_ms) * NS_PER_MS)


async def at_once(place: Place, asked: Ask) -> Heard:
    """Send an order's request without letting time pass."""
    return await place.acting.hold(once(asked))


def check_standing(place: Place, heard: Heard, asked: Ask, used: int) -> None:
    """The headers say how much of the budget is used, or left."""
    budgets, seen, counts_up = KNOWN[place.traits.venue]
    most = budgets[asked.budget][0]
    assert seen(heard.headers, asked.budget)[asked.budget] == (used if counts_up else most - used)


async def test_so_many_placements_are_taken_and_no_more(place: Place) -> None:
    budgets, _, _ = KNOWN[place.traits.venue]
    symbols = cycle(place.traits.symbols)
    most, window_ms, _ = budgets[place.verbs.place(place.wanted()).budget]
    begin_window(place, window_ms)
    for number in range(1, most + 1):
        asked = place.verbs.place(place.wanted(symbol=next(symbols)))
        heard = await at_once(place, asked)
        assert isinstance(place.verbs.answered(heard, Doing.PLACE), Accepted), number
        if number in (1, most):
            check_standing(place, heard, asked, number)
    one_more = place.wanted()
    said = place.verbs.answered(await at_once(place, place.verbs.place(one_more)), Doing.PLACE)
    assert isinstance(said, Explained)
    assert (said.trouble, said.settled) == (Trouble.RATE_LIMIT, True)
    assert place.sim.find(client_id=one_more.client_id) is None
    place.clock.advance(window_ms * NS_PER_MS)
    assert isinstance(place.verbs.answered(await at_once(place, place.verbs.place(place.wanted())), Doing.PLACE), Accepted)


async def test_so_many_reads_are_answered_and_no_more_until_the_venue_says(place: Place) -> None:
    budgets, _, _ = KNOWN[place.traits.venue]
    asked = next(place.reads.balances())
    most, window_ms, _ = budgets[asked.budget]
    begin_window(place, window_ms)
    for _ in range(most // asked.weight):
        heard = await place.asking.hold(once(asked))
        assert heard.status == 200
    check_standing(place, heard, asked, most)
    with pytest.raises(Refused) as refused:
        await place.asking.hold(place.reads.balances())
    assert refused.value.explained.trouble is Trouble.RATE_LIMIT
    assert 0 < refused.value.retry_after_ms <= window_ms
    place.clock.advance(refused.value.retry_after_ms * NS_PER_MS)
    assert await place.asking.hold(place.reads.balances())


@at("upbit", "bybit")
async def test_cancels_of_everything_have_their_own_limit(place: Place) -> None:
    budgets, _, _ = KNOWN[place.traits.venue]
    asked = place.verbs.cancel_all(place.symbol)
    most, window_ms, _ = budgets[asked.budget]
    begin_window(place, window_ms)
    for _ in range(most):
        assert isinstance(place.verbs.answered(await at_once(place, asked), Doing.CANCEL), Accepted)
    said = place.verbs.answered(await at_once(place, asked), Doing.CANCEL)
    assert isinstance(said, Explained)
    assert said.trouble is Trouble.RATE_LIMIT
    place.clock.advance(window_ms * NS_PER_MS)
    assert isinstance(place.verbs.answered(await at_once(place, asked), Doing.CANCEL), Accepted)
