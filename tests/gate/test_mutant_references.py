"""Readings at their exact bounds, one unknown part at a time, and each problem in its own words."""

from __future__ import annotations

import msgspec
import pytest
from tests.gate.limit_cases import MS, NOW, SHEET, UNIVERSE, S, facts, quote, rate, seen

from interlock.domain.instruments import Kind
from interlock.gate import references
from interlock.gate.exposure import universe_of
from interlock.gate.records import Book
from interlock.gate.references import Quote, Reference

PLACE = ("bybit", "BTCUSDT")
KRW_PLACE = ("upbit", "KRW-BTC")
SYMBOL = SHEET.symbols["bybit:BTCUSDT"]
LARGEST = 1 << 53
TWO = msgspec.structs.replace(
    SHEET,
    symbols={**SHEET.symbols, "upbit:KRW-BTC": SYMBOL},
    currencies={
        **SHEET.currencies,
        "KRW": msgspec.structs.replace(SHEET.currencies["USDT"], lowest_rate_micro_usd=500, highest_rate_micro_usd=1_000),
    },
)
BOTH = universe_of([facts(), facts("upbit", "KRW-BTC", Kind.SPOT, "KRW", "0.00000001", "0.00000001")])
WON = quote(70_000_000, 70_001_000, venue="upbit", symbol="KRW-BTC")


def drift(*quotes: Quote) -> str:
    return references.drift_problem(seen(SHEET, UNIVERSE, *quotes), SYMBOL, PLACE)


# Books


def test_before_anything_is_read_only_what_is_quoted_in_dollars_has_a_value() -> None:
    found = references.nothing_seen(universe_of([facts(), facts(symbol="INDOLLARS", quote="USD")]))
    assert set(found.valuations) == {("bybit", "INDOLLARS")}


def test_a_mark_that_is_no_price_of_an_order_makes_no_book() -> None:
    found = seen(SHEET, UNIVERSE, quote(mark_ticks=LARGEST))
    assert references.quote_problem(found, SYMBOL, PLACE, NOW) == f"bid 500000, ask 500001, mark {LARGEST} ticks make no book"
    found = seen(SHEET, UNIVERSE, quote(mark_ticks=LARGEST - 1))
    assert references.quote_problem(found, SYMBOL, PLACE, NOW) == f"mark {LARGEST - 1} disagrees with bid 500000 and ask 500001"


def test_a_reading_of_an_instrument_without_limits_changes_nothing() -> None:
    found = references.nothing_seen(BOTH)
    assert references.with_quote(found, SHEET, WON) is found
    assert KRW_PLACE in references.with_quote(found, TWO, WON).references


def test_an_unsound_reading_stands_for_no_price_at_all() -> None:
    crossed = quote(500_001, 500_000)
    found = seen(SHEET, UNIVERSE, quote(at=NOW - 1), crossed)
    assert found.references[PLACE] == Reference(crossed, NOW, 0, 0, ())
    assert found.references[PLACE].range_millionths == -1


def test_after_an_unsound_reading_what_is_steady_begins_with_the_next_sound_one() -> None:
    crossed, sound = quote(500_001, 500_000, NOW), quote(at=NOW + 400 * MS)
    assert drift(crossed, sound, quote(at=NOW + 600 * MS)) == "steady for 200000000 ns, expected 500000000"
    assert drift(crossed, sound, quote(at=NOW + 900 * MS - 1)) == "steady for 499999999 ns, expected 500000000"
    assert drift(crossed, sound, quote(at=NOW + 900 * MS)) == ""


def test_a_gap_as_long_as_a_reading_is_fresh_does_not_end_what_is_steady() -> None:
    assert drift(quote(at=NOW - S), quote()) == ""
    assert drift(quote(at=NOW - S - 1), quote()) == "steady for 0 ns, expected 500000000"


def test_the_range_is_over_the_window_and_the_price_that_was_in_force_when_it_began() -> None:
    high, low, last = quote(503_000, 503_001, NOW - 700 * MS), quote(501_000, 501_001, NOW - 500 * MS), quote(at=NOW)
    found = seen(SHEET, UNIVERSE, high, low, last).references[PLACE]
    assert (found.low_twice_ticks, found.high_twice_ticks) == (1_000_001, 1_002_001)  # the lower of the two held from the first moment on
    later = msgspec.structs.replace(low, boot_ns=low.boot_ns + 1)
    found = seen(SHEET, UNIVERSE, high, later, last).references[PLACE]
    assert (found.low_twice_ticks, found.high_twice_ticks) == (1_000_001, 1_006_001)
    assert found.samples == ((high.boot_ns, 1_006_001), (later.boot_ns, 1_002_001), (NOW, 1_000_001))


# Rates


def test_a_rate_that_is_just_fresh_is_kept_beside_a_new_one_in_one_order() -> None:
    older, newer = rate(at=NOW - 5 * S, name="b"), rate(name="a")
    found = seen(SHEET, UNIVERSE, older, newer)
    assert [one.name for one in found.rates["USDT"]] == ["a", "b"]
    assert [one.name for one in seen(SHEET, UNIVERSE, rate(at=NOW - 5 * S - 1, name="b"), newer).rates["USDT"]] == ["a"]
    # Readings of two sources make the same whichever comes first.
    assert seen(SHEET, UNIVERSE, rate(name="b"), rate(name="a")) == seen(SHEET, UNIVERSE, rate(name="a"), rate(name="b"))


def test_a_rate_may_be_just_as_high_and_as_low_as_is_expected() -> None:
    def problem(bid: str, ask: str) -> str:
        return references.rate_problem(seen(SHEET, UNIVERSE, rate(bid=bid, ask=ask)), SHEET, "USDT", NOW)

    assert problem("1.03", "1.03") == problem("0.97", "0.97") == ""
    assert problem("1.03", "1.030000000001").endswith("lie outside what is expected of it")
    assert problem("0.969999999999", "0.97").endswith("lie outside what is expected of it")


# The peer


def test_both_rates_of_a_peer_are_taken_against_the_order() -> None:
    """A coin at 140,001,000 half won; to buy, won are worth least and dollars of the order most, to sell the other way round."""
    found = seen(TWO, BOTH, quote(), WON, rate(bid="0.99", ask="1.01"), rate("KRW", "0.0007", "0.0008"))
    assert references.peer_twice_ticks(found, PLACE, KRW_PLACE, 1) == 970_303  # 140,001,000 x 0.0007 / 0.101, rounded down
    assert references.peer_twice_ticks(found, PLACE, KRW_PLACE, -1) == 1_131_322  # x 0.0008 / 0.099, rounded up


def test_a_peer_is_unknown_while_the_orders_own_currency_is() -> None:
    found = seen(TWO, BOTH, quote(), WON, rate(), rate("KRW", "0.0007", "0.0007"))
    assert references.peer_twice_ticks(found, PLACE, KRW_PLACE, 1) == 980_007
    for lost in (PLACE, KRW_PLACE):
        known = {place: one for place, one in found.valuations.items() if place != lost}
        assert references.peer_twice_ticks(msgspec.structs.replace(found, valuations=known), PLACE, KRW_PLACE, 1) == 0


# The books that an order was decided on


def book(bid: int = 500_000, ask: int = 500_001, venue: str = "bybit", symbol: str = "BTCUSDT") -> Book:
    return Book(venue=venue, symbol=symbol, bid_ticks=bid, ask_ticks=ask, boot_ns=NOW)


def test_an_order_decided_on_a_book_of_which_the_gate_lacks_limits_or_price_is_refused() -> None:
    books = (book(), book(70_000_000, 70_001_000, "upbit", "KRW-BTC"))
    both = seen(TWO, BOTH, quote(), WON)
    refused = "decided on upbit:KRW-BTC, of which the gate has no reference"
    assert references.book_problem(both, TWO, PLACE, books, NOW) == ""
    assert references.book_problem(both, SHEET, PLACE, books, NOW) == refused
    assert references.book_problem(seen(TWO, BOTH, quote()), TWO, PLACE, books, NOW) == refused
    assert references.book_problem(seen(SHEET, BOTH, quote()), SHEET, PLACE, books, NOW) == refused


@pytest.mark.parametrize(("bid", "ask"), [(0, 1_000_001), (500_000, LARGEST), (500_001, 500_001), (-1, 1_000_002)])
def test_an_order_decided_on_what_is_no_book_is_told_so(bid: int, ask: int) -> None:
    said = references.book_problem(seen(SHEET, UNIVERSE, quote()), SHEET, PLACE, (book(bid, ask),), NOW)
    assert said == f"bybit:BTCUSDT as decided on has bid {bid} and ask {ask}"


def test_an_order_decided_on_a_book_far_from_the_gates_own_is_told_both() -> None:
    said = references.book_problem(seen(SHEET, UNIVERSE, quote()), SHEET, PLACE, (book(LARGEST - 2, LARGEST - 1),), NOW)
    assert said == f"bybit:BTCUSDT as decided on has bid {LARGEST - 2} and ask {LARGEST - 1}, the gate sees 1000001 for their sum"
