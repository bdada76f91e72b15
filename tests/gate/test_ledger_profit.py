"""Profit and loss in money: marked against us, converted against us, and outside flows left out."""

from decimal import Decimal

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
    # Nothing happened: what is unrealised was so at the roll, and the two sides of the conversion cost us.
    assert none.realised_usd + none.unrealised_usd == Decimal("-1.0") * Decimal("1.01") + Decimal("0.99")
    apply(ledger, fill(1, "t2", ticks=110, fee="0.01", fee_currency="BNB"))
    apply(ledger, event(K.DEPOSIT, "1000"))
    after = marked(ledger, found(ledger), USD, 4)
    assert isinstance(after, r.Marked)
    assert after.realised_usd == none.realised_usd - Decimal("0.01") * 601
    assert after.unrealised_usd == none.unrealised_usd
    assert after.equity_usd == start.baseline_usd + after.realised_usd + after.unrealised_usd


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
