"""Public streams through everything that goes wrong with them: in the end the book is the venue's, and meanwhile nobody is told that it is."""

from __future__ import annotations

from typing import Any

import pytest
from tests.venues.contract.market import Market
from tests.venues.contract.place import Place

from interlock.simulate.served.faults import Fault
from interlock.venues.live import VENUE_TIME, Fresh, Stale

TROUBLES: tuple[dict[str, Any], ...] = (
    {"fault": Fault.GAP, "count": 5},
    {"fault": Fault.GAP, "count": 40},
    {"fault": Fault.DUPLICATE, "count": 5},
    {"fault": Fault.REORDER, "count": 3},
)


async def test_books_trades_and_marks_are_the_venue_s(place: Place) -> None:
    symbols = place.traits.symbols
    async with Market(place, symbols) as market:
        await market.until(lambda: all(market.trades(symbol) for symbol in symbols))
        before = {symbol: len(place.sim.markets[symbol].trades) for symbol in symbols}
        await market.settled()
        told = {symbol: market.trades(symbol) for symbol in symbols}
        await place.step(40)
        await market.settled()
        assert market.books.counts.rejected == {}
        assert market.books.counts.renewals == 0 or place.traits.venue == "binance_usdm"
        for symbol in symbols:
            found = place.sim.markets[symbol]
            true = [(found.instrument.price(t.ticks), found.instrument.quantity(t.lots), int(t.side)) for t in found.trades]
            assert before[symbol] <= len(true)
            new = market.trades(symbol)[len(told[symbol]) :]
            assert true[-len(new) :] == new
            if place.traits.derivatives:
                await market.until(lambda symbol=symbol: market.marks(symbol)[-1:] == [place.sim.markets[symbol].mark])  # type: ignore[misc]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: f"{each['fault']}-{each['count']}")
async def test_after_trouble_the_book_is_the_venue_s_again(place: Place, trouble: dict[str, Any]) -> None:
    async with Market(place, place.traits.symbols[:2]) as market:
        await market.settled()
        said = len(market.said)
        assert place.strike(**trouble)
        await place.step(10)
        place.face.parts.public.calm()
        await place.step(5)
        await market.settled()
        assert len(market.said) > said
        assert place.face.parts.faults.happened[trouble["fault"].value]
        # A stream that is numbered notices; of one without numbers every message is whole.
        if trouble["fault"] is Fault.GAP and place.traits.derivatives:
            assert sum(market.books.counts.rejected.values()) >= 1


@pytest.mark.parametrize("skew_ms", [-300_000, 300_000], ids=["behind", "ahead"])
async def test_a_stream_that_is_minutes_away_is_used_for_nothing_until_it_is_back(place: Place, skew_ms: int) -> None:
    symbols = place.traits.symbols[:2]
    async with Market(place, symbols) as market:
        await market.settled()
        assert VENUE_TIME not in market.books.counts.rejected, "the control"
        assert place.strike(Fault.CLOCK_SKEW, ms=skew_ms)
        # On a connection that has begun before, time that goes back is refused by the feed itself; another is made, and there it is far from ours.
        await market.until(lambda: market.books.counts.rejected[VENUE_TIME])
        await market.until(lambda: all(isinstance(market.freshness(symbol), Stale) for symbol in symbols))
        assert place.strike(Fault.CLOCK_SKEW, ms=0)
        await market.settled()
        assert all(isinstance(market.freshness(symbol), Fresh) for symbol in symbols)


async def test_after_every_connection_broke_the_book_is_the_venue_s_again(place: Place) -> None:
    async with Market(place, place.traits.symbols[:2]) as market:
        await market.settled()
        assert place.strike(Fault.DROP_SOCKETS)
        await place.until(lambda: not market.is_whole(place.symbol) and market.book(place.symbol) == ([], []))
        await market.until(lambda: all(feed.counts.connections == 2 for feed in market.feeds))
        await market.settled()
        await place.step(5)
        await market.settled()


async def test_a_book_that_is_silent_is_stale_and_the_others_are_not(place: Place) -> None:
    mine, other = place.traits.symbols[:2]
    async with Market(place, (mine, other)) as market:
        await market.settled()
        assert isinstance(market.freshness(mine), Fresh)
        assert place.strike(Fault.STALE_BOOK, symbol=mine, ms=8_000)
        await market.until(lambda: isinstance(market.freshness(mine), Stale))
        assert isinstance(market.freshness(other), Fresh)
        await place.until(lambda: market.book(other) == market.truth(other))
        await market.until(lambda: isinstance(market.freshness(mine), Fresh))
        await market.settled()
