"""Profit and loss in money: marked against us, converted against us, and outside flows left out."""

from collections.abc import Mapping
from decimal import Decimal

import msgspec
import pytest
from tests.gate.order_records import SYMBOL, VENUE, event, fill

from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.gate.ledger import Ledger, apply
from interlock.gate.profit import Results, Unmarked, Worth, day_rolled, marked, results

K = r.LedgerKind
INSTRUMENT = (VENUE, SYMBOL)
WORTHS = {INSTRUMENT: Worth(currency="USDT", tick_lot=Decimal("0.01"), base="BTC", lot=Decimal("0.1"), spot=False)}
USD = {"USDT": (Decimal("0.99"), Decimal("1.01")), "BNB": (Decimal(600), Decimal(601))}
QUOTE = {INSTRUMENT: (110, 112)}


def book(*records: r.Record) -> Ledger:
    ledger = Ledger()
    for record in records:
        apply(ledger, record)
    return ledger


def found(ledger: Ledger, quotes: dict[tuple[str, str], tuple[int, int]] | None = None) -> Results:
    result = results(ledger, WORTHS, QUOTE if quotes is None else quotes)
    assert isinstance(result, Results)
    return result


def test_longs_are_marked_at_the_bid_and_shorts_at_the_ask() -> None:
    assert found(book(fill(10))).unrealised == {"USDT": Decimal("1.00")}
    assert found(book(fill(10, side=Side.SELL))).unrealised == {"USDT": Decimal("-1.20")}
    flat = found(book(fill(10), fill(10, "t2", side=Side.SELL, ticks=105)), {})
    assert (flat.total, flat.unrealised) == ({"USDT": Decimal("0.50")}, {"USDT": Decimal(0)})


@pytest.mark.parametrize("quote", [(0, 112), (112, 110), (0, 0), (-1, 5)])
def test_without_a_good_quote_or_a_worth_there_is_no_result(quote: tuple[int, int]) -> None:
    assert results(book(fill(1)), WORTHS, {INSTRUMENT: quote}) == Unmarked(("quote of bybit/main/BTCUSDT",))
    assert results(book(fill(1)), WORTHS, {}) == Unmarked(("quote of bybit/main/BTCUSDT",))
    assert results(book(fill(1)), {}, QUOTE) == Unmarked(("worth of bybit/main/BTCUSDT",))


def test_outside_flows_are_no_result_and_inside_ones_are() -> None:
    outside = [event(kind, "500", str(kind), actor="me", nonce="n") for kind in (K.DEPOSIT, K.WITHDRAWAL, K.TRANSFER, K.AIRDROP, K.ADJUST)]
    assert found(book(*outside)).total == {}
    inside = [event(kind, "1", str(kind)) for kind in (K.FUNDING, K.FEE, K.REBATE, K.INTEREST, K.ADL, K.LIQUIDATION, K.SETTLEMENT)]
    assert found(book(*inside, *outside)).total == {"USDT": Decimal(7)}


def test_the_day_counts_from_its_baseline_and_converts_against_us() -> None:
    ledger = book(fill(10, fee="0.2"))
    start = day_rolled(found(ledger), USD, "2026-01-01", 1, 2)
    assert isinstance(start, r.DayRolled)
    assert (start.baseline, start.baseline_usd) == ((("USDT", Decimal("0.80")),), Decimal("0.80") * Decimal("0.99"))
    apply(ledger, start)
    none = marked(ledger, found(ledger), USD, 3)
    assert isinstance(none, r.Marked)
    assert (none.realised_usd, none.unrealised_usd) == (Decimal(0), Decimal(0)), "nothing happened: what had been won was in the baseline"
    apply(ledger, fill(1, "t2", ticks=110, fee="0.01", fee_currency="BNB"))
    apply(ledger, event(K.DEPOSIT, "1000"))
    after = marked(ledger, found(ledger), USD, 4)
    assert isinstance(after, r.Marked)
    assert after.realised_usd == none.realised_usd - Decimal("0.01") * 601
    assert after.unrealised_usd == none.unrealised_usd
    assert after.equity_usd == start.baseline_usd + after.realised_usd + after.unrealised_usd
    # Each in its own currency: nothing of another's win, and nothing of the rates, is in it.
    assert none.by_currency == (("USDT", Decimal(0), Decimal(0)),)
    assert after.by_currency == (("BNB", Decimal("-0.01"), Decimal(0)), ("USDT", Decimal(0), Decimal(0)))


AT_101 = {INSTRUMENT: (101, 102)}


@pytest.mark.parametrize(
    ("traded", "quote", "realised", "unrealised"),
    [
        ([], QUOTE, "0", "0"),
        ([], AT_101, "0", "-0.9"),
        ([fill(10, "t2", side=Side.SELL, ticks=110)], QUOTE, "0", "0"),
        ([fill(10, "t2", side=Side.SELL, ticks=101)], QUOTE, "-0.9", "0"),
        ([fill(4, "t2", side=Side.SELL, ticks=101)], AT_101, "-0.36", "-0.54"),
        ([fill(12, "t2", side=Side.SELL, ticks=101)], AT_101, "-0.9", "-0.02"),
        ([fill(10, "t2", ticks=110)], AT_101, "0", "-1.8"),
    ],
)
def test_what_was_won_before_the_day_is_neither_lost_nor_won_in_it(
    traded: list[r.Filled], quote: Mapping[tuple[str, str], tuple[int, int]], realised: str, unrealised: str
) -> None:
    """10 lots of 100 went into the baseline at 110. A loss of the day is from there, and what is closed at less is realised."""
    ledger = book(fill(10))
    start = day_rolled(found(ledger), USD, "2026-01-01", 1, 2)
    assert isinstance(start, r.DayRolled)
    assert start.marks == (("bybit", "main", "BTCUSDT", 110),)
    apply(ledger, start)
    for one in traded:
        apply(ledger, one)
    whole = results(ledger, WORTHS, quote)
    assert isinstance(whole, Results)
    mark = marked(ledger, whole, {"USDT": (Decimal(1), Decimal(1))}, 3)
    assert isinstance(mark, r.Marked)
    assert (mark.realised_usd, mark.unrealised_usd) == (Decimal(realised), Decimal(unrealised))


def test_a_day_that_is_told_without_prices_counts_from_what_positions_cost() -> None:
    """As journals of before there were any do."""
    ledger = book(fill(10))
    start = day_rolled(found(ledger), USD, "2026-01-01", 1, 2)
    assert isinstance(start, r.DayRolled)
    apply(ledger, msgspec.structs.replace(start, marks=()))
    mark = marked(ledger, found(ledger), {"USDT": (Decimal(1), Decimal(1))}, 3)
    assert isinstance(mark, r.Marked)
    assert (mark.realised_usd, mark.unrealised_usd) == (Decimal("-1.0"), Decimal("1.0"))


def test_what_cannot_be_converted_is_named() -> None:
    ledger = book(fill(10, fee="1", fee_currency="BNB"))
    only = {"USDT": USD["USDT"]}
    assert marked(ledger, found(ledger), USD, 1) == Unmarked(("the day's baseline",))
    assert day_rolled(found(ledger), only, "2026-01-01", 1, 2) == Unmarked(("USD rate of BNB",))
    start = day_rolled(found(ledger), USD, "2026-01-01", 1, 2)
    assert isinstance(start, r.DayRolled)
    apply(ledger, start)
    apply(ledger, event(K.FEE, "-1", currency="XYZ"))
    assert marked(ledger, found(ledger), USD, 1) == Unmarked(("USD rate of XYZ",))
    assert isinstance(marked(ledger, found(ledger), {**USD, "XYZ": (Decimal(1), Decimal(1))}, 1), r.Marked)
    crossed = {**USD, "XYZ": (Decimal(2), Decimal(1))}
    assert marked(ledger, found(ledger), crossed, 1) == Unmarked(("USD rate of XYZ",))


def test_a_position_whose_total_is_flat_still_needs_a_rate_for_its_unrealised_part() -> None:
    ledger = book(fill(10))
    apply(ledger, r.DayRolled(boot_ns=1, day="2026-01-01", baseline=(), baseline_usd=Decimal(0), wall_ns=1))
    assert marked(ledger, found(ledger), {}, 1) == Unmarked(("USD rate of USDT",))
