"""The gate's own prices and rates: every way in which one cannot be used, and that a good one can."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.limit_cases import MS, NOW, SHEET, UNIVERSE, S, changed, facts, quote, rate, seen, steady

from interlock.domain.fx import FxSource
from interlock.domain.instruments import Kind
from interlock.gate import references
from interlock.gate.exposure import universe_of
from interlock.gate.records import Book
from interlock.gate.references import Quote, References

PLACE = ("bybit", "BTCUSDT")
KRW_PLACE = ("upbit", "KRW-BTC")
SYMBOL = SHEET.symbols["bybit:BTCUSDT"]
TWO = msgspec.structs.replace(
    SHEET,
    symbols={**SHEET.symbols, "upbit:KRW-BTC": SYMBOL},
    currencies={
        **SHEET.currencies,
        "KRW": msgspec.structs.replace(SHEET.currencies["USDT"], lowest_rate_micro_usd=500, highest_rate_micro_usd=1_000),
    },
)
BOTH = universe_of([facts(), facts("upbit", "KRW-BTC", Kind.SPOT, "KRW", "0.00000001", "0.00000001")])


def problem(reading: Quote | None, now: int = NOW) -> str:
    found = seen(SHEET, UNIVERSE, *([] if reading is None else [reading]))
    return references.quote_problem(found, SYMBOL, PLACE, now)


def test_a_fresh_sound_reading_can_be_used() -> None:
    assert problem(quote()) == ""
    assert problem(quote(at=NOW - S)) == ""
    assert problem(quote(mark_ticks=500_300)) == ""


@pytest.mark.parametrize(
    ("reading", "says"),
    [
        (None, "no reference"),
        (quote(at=NOW - S - 1), "ns ago"),
        (quote(at=NOW + 1), "ns ago"),
        (quote(500_001, 500_000), "make no book"),
        (quote(500_000, 500_000), "make no book"),
        (quote(0, 1), "make no book"),
        (quote(-5, 1), "make no book"),
        (quote(500_000, 1 << 53), "make no book"),
        (quote(mark_ticks=-1), "make no book"),
        (quote(500_000, 502_501), "too far apart"),
        (quote(mark_ticks=501_100), "disagrees"),
        (quote(mark_ticks=498_900), "disagrees"),
    ],
)
def test_a_reading_that_cannot_be_used(reading: Quote | None, says: str) -> None:
    assert says in problem(reading)


def test_the_spread_may_be_just_as_wide_as_allowed() -> None:
    assert problem(quote(500_000, 502_500)) == ""


def test_readings_of_the_unknown_and_from_the_past_change_nothing() -> None:
    found = seen(SHEET, UNIVERSE, quote())
    assert references.with_quote(found, SHEET, quote(1, 2, at=NOW - 1)) is found
    assert references.with_quote(found, SHEET, quote(symbol="ETHUSDT")) is found
    assert references.with_quote(found, TWO, quote(venue="upbit", symbol="KRW-BTC")) is found
    assert references.with_quote(found, SHEET, quote(1, 2)) is not found


def drift(*quotes: Quote, sheet: Any = SHEET) -> str:
    return references.drift_problem(seen(sheet, UNIVERSE, *quotes), sheet.symbols["bybit:BTCUSDT"], PLACE)


def test_a_reference_must_have_been_steady_for_its_window() -> None:
    assert "no reference" in drift()
    assert "steady for 0" in drift(quote())
    assert "steady for 499999999" in drift(quote(at=NOW - 500 * MS + 1), quote())
    assert drift(*steady(quote())) == ""
    # A gap, or a crossed moment, begins the window anew.
    assert drift(quote(at=NOW - 900 * MS), quote()) == ""
    assert "steady" in drift(quote(at=NOW - 2 * S), quote(at=NOW - 999 * MS - 1), quote(at=NOW + S))
    assert "steady" in drift(quote(at=NOW - 900 * MS), quote(7, 6, at=NOW - 400 * MS), quote())
    assert "steady" in drift(quote(at=NOW - 900 * MS), quote(7, 6))


def test_a_reference_that_moved_too_far_within_its_window() -> None:
    # 3 % are allowed: from 1,000,001 to 1,030,001 for twice the mid, rounded up against us.
    assert drift(*steady(quote()), quote(515_000, 515_001, at=NOW)) == ""
    assert "moved by" in drift(*steady(quote()), quote(515_001, 515_002, at=NOW))
    assert "moved by" in drift(*steady(quote()), quote(480_000, 480_001, at=NOW))
    # What lies before the window is over, but for the price in force when it began.
    far = [quote(400_000, 400_001, at=NOW - 2 * S), quote(at=NOW - 1_100 * MS), quote(at=NOW - 501 * MS), quote()]
    assert drift(*far) == ""
    still_in_force = [quote(480_000, 480_001, at=NOW - 900 * MS), quote(at=NOW - 400 * MS), quote()]
    assert "moved by" in drift(*still_in_force)


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(-2_000, 2_000)), min_size=2, max_size=12))
def test_the_range_is_that_of_all_prices_in_force_within_the_window(moves: list[tuple[int, int]]) -> None:
    at, bid, quotes = NOW, 500_000, []
    for later, move in moves:
        at, bid = at + later * MS, bid + move
        quotes.append(quote(bid, bid + 1, at))
    found = seen(SHEET, UNIVERSE, *quotes).references[PLACE]
    begin = at - SYMBOL.drift_window_ns
    inside = [2 * q.bid_ticks + 1 for q in quotes if q.boot_ns > begin]
    before = [2 * q.bid_ticks + 1 for q in quotes if q.boot_ns <= begin][-1:]
    assert found.low_twice_ticks == min(inside + before)
    assert found.high_twice_ticks == max(inside + before)


def rates(*many: Any, sheet: Any = SHEET, now: int = NOW, currency: str = "USDT") -> str:
    return references.rate_problem(seen(sheet, UNIVERSE, *many), sheet, currency, now)


TWO_SOURCES = changed(SHEET, "currencies", "USDT", min_sources_count=2)


def test_a_dollar_needs_no_rate_and_everything_else_does() -> None:
    assert rates(currency="USD") == ""
    assert "no limits" in rates(currency="EUR")
    assert "0 fresh rates" in rates()
    assert rates(rate()) == ""


def test_a_rate_must_be_fresh_from_enough_sources_that_agree_and_be_plausible() -> None:
    assert rates(rate(at=NOW - 5 * S)) == ""
    assert "0 fresh rates" in rates(rate(at=NOW - 5 * S - 1))
    assert "0 fresh rates" in rates(rate(at=NOW + 1))
    assert "1 fresh rates" in rates(rate(), sheet=TWO_SOURCES)
    assert "1 fresh rates" in rates(rate(), rate(at=NOW - 1), sheet=TWO_SOURCES)  # one source twice
    assert rates(rate(), rate(name="b"), sheet=TWO_SOURCES) == ""
    assert rates(rate(), rate(bid="1.005", ask="1.005", name="b")) == ""
    assert "disagree" in rates(rate(), rate(bid="1.0051", ask="1.0051", name="b"))
    assert "disagree" in rates(rate(bid="0.99", ask="1"))
    assert rates(rate(bid="0.97", ask="0.97")) == ""
    assert "outside" in rates(rate(bid="0.969999", ask="0.97"))
    assert "outside" in rates(rate(bid="1.03", ask="1.030001"))


@pytest.mark.parametrize(
    "bad",
    [
        rate(bid="NaN"),
        rate(ask="NaN"),
        rate(ask="Infinity"),
        rate(bid="0"),
        rate(bid="-1"),
        rate(bid="1.01"),
        rate(bid="1e-13"),
        rate(source=FxSource.CONFIGURED),
    ],
)
def test_what_is_no_rate_takes_its_source_out(bad: Any) -> None:
    found = seen(SHEET, UNIVERSE, rate(), bad)
    if bad.source is FxSource.CONFIGURED:
        assert len(found.rates["USDT"]) == 1  # another source, which never counted
        found = seen(SHEET, UNIVERSE, bad)
    assert found.rates["USDT"] == ()
    assert PLACE not in found.valuations
    assert PLACE in seen(SHEET, UNIVERSE, rate()).valuations


def test_valuations_follow_the_dearest_rate() -> None:
    found = seen(SHEET, UNIVERSE, rate(), rate(ask="1.004", name="b"))
    assert found.valuations[PLACE].high_pico_usd == 1_004 * 10**9
    assert found.valuations[PLACE].low_pico_usd == 10**12
    assert references.with_rate(found, SHEET, rate("EUR")) is found
    # A source that fell silent is dropped when another speaks.
    later = references.with_rate(found, SHEET, rate(at=NOW + 6 * S))
    assert [one.name for one in later.rates["USDT"]] == ["a"]
    dollars = references.nothing_seen(universe_of([facts(quote="USD")]))
    assert dollars.valuations[PLACE].numerator == 100


def peered() -> References:
    return seen(
        TWO, BOTH, quote(), quote(70_000_000, 70_001_000, venue="upbit", symbol="KRW-BTC"), rate(), rate("KRW", "0.000714", "0.000716")
    )


def test_a_peer_is_converted_against_the_order() -> None:
    found = peered()
    exact = Fraction(140_001_000) / Fraction("0.1")
    buy = references.peer_twice_ticks(found, PLACE, KRW_PLACE, 1)
    sell = references.peer_twice_ticks(found, PLACE, KRW_PLACE, -1)
    assert buy <= exact * Fraction("0.000714") < buy + 1
    assert sell - 1 < exact * Fraction("0.000716") <= sell
    assert buy < sell
    same = seen(SHEET, universe_of([facts(), facts(symbol="B", per_tick_lot="0.0002")]), quote(), rate(bid="0.99"))
    assert references.peer_twice_ticks(same, ("bybit", "B"), PLACE, 1) == 500_000
    assert references.peer_twice_ticks(same, ("bybit", "B"), PLACE, -1) == 500_001


def test_a_peer_without_price_or_rate_is_unknown() -> None:
    found = peered()
    assert references.peer_twice_ticks(seen(TWO, BOTH, quote(), rate(), rate("KRW", "0.0007", "0.0007")), PLACE, KRW_PLACE, 1) == 0
    assert (
        references.peer_twice_ticks(msgspec.structs.replace(found, valuations={PLACE: found.valuations[PLACE]}), PLACE, KRW_PLACE, 1) == 0
    )
    assert references.peer_twice_ticks(msgspec.structs.replace(found, valuations={}), PLACE, KRW_PLACE, 1) == 0


def book(bid: int = 500_000, ask: int = 500_001, at: int = NOW, venue: str = "bybit", symbol: str = "BTCUSDT") -> Book:
    return Book(venue=venue, symbol=symbol, bid_ticks=bid, ask_ticks=ask, boot_ns=at)


KRW_BOOK = book(70_000_000, 70_001_000, venue="upbit", symbol="KRW-BTC")


@pytest.mark.parametrize(
    ("books", "says"),
    [
        ((), "without a book"),
        ((KRW_BOOK,), "without a book"),
        ((book(symbol="ETHUSDT"),), "no reference"),
        ((book(at=NOW - 500 * MS - 1),), "ns old"),
        ((book(at=NOW + 1),), "ns old"),
        ((book(500_001, 500_001),), "has bid"),
        ((book(0, 5),), "has bid"),
        ((book(501_100, 501_101),), "the gate sees"),
        ((book(498_900, 498_901),), "the gate sees"),
        ((book(), msgspec.structs.replace(KRW_BOOK, boot_ns=NOW - 250 * MS - 1)), "apart"),
    ],
)
def test_the_books_that_an_order_was_decided_on(books: tuple[Book, ...], says: str) -> None:
    assert says in references.book_problem(peered(), TWO, PLACE, books, NOW)
    assert references.book_problem(peered(), TWO, PLACE, (book(), msgspec.structs.replace(KRW_BOOK, boot_ns=NOW - 250 * MS)), NOW) == ""


@given(st.integers(-2, 6), st.integers(-2, 6), st.integers(-2, 6), st.integers(-3 * S, 3 * S))
def test_no_reading_raises(bid: int, ask: int, mark: int, at: int) -> None:
    found = seen(SHEET, UNIVERSE, quote(bid, ask, NOW + at, mark_ticks=mark))
    usable = references.quote_problem(found, SYMBOL, PLACE, NOW) == ""
    assert not usable or (0 < bid < ask and -S <= at <= 0)
    assert isinstance(references.drift_problem(found, SYMBOL, PLACE), str)


@given(
    st.decimals(allow_nan=True, allow_infinity=True) | st.decimals(Decimal("0.9"), Decimal("1.1")),
    st.decimals(allow_nan=True, allow_infinity=True),
)
def test_no_rate_raises(bid: Decimal, ask: Decimal) -> None:
    given_rate = msgspec.structs.replace(rate(), bid=bid, ask=ask)
    usable = rates(given_rate) == ""
    assert not usable or Decimal("0.97") <= bid <= ask <= Decimal("1.03")
