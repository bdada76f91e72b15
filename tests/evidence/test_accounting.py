"""The account: by hand, against a plain second computation, and its properties."""

import dataclasses
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evidence.runs import BTC, ETH, KRW_BTC, RATES, START, Trade, run, with_fees

from interlock.domain.errors import CurrencyMismatch, UsageError
from interlock.evidence.accounting import ClosingQuote, Ledger, build_ledger
from interlock.evidence.exact import plain, times, total
from interlock.evidence.facts import Reporting, ReportingRate, RunFacts
from interlock.evidence.translate import report_translation, translation
from interlock.evidence.trips import fifo_realised

FLAT = [600000] * 10


def ledger_of(facts: RunFacts, quotes: list[ClosingQuote] | None = None) -> Ledger:
    default = [ClosingQuote(1200002, 1200002, 600000, 600002)] * len(facts.instruments)
    return build_ledger(facts.instruments, facts.settings, facts.outcome, quotes or default)


def test_a_round_trip_by_hand() -> None:
    facts = run(
        [BTC],
        [FLAT],
        [Trade(1, 0, 1, 600000, 10), Trade(2, 0, -1, 600100, 10, maker=False)],
        fundings=[(1.5, 0, 10, 1200000, 100_000_000)],
        cash={"binance_usdm": Decimal(1000)},
    )
    ledger = ledger_of(facts)
    # 0.01 BTC bought at 60000 as a maker (2 bp), sold at 60010 as a taker (5 bp); funding 1 bp of 600 paid.
    assert ledger.instruments[0].trades == Decimal("0.1")
    assert ledger.instruments[0].fees == -(Decimal("600") * Decimal("0.0002") + Decimal("600.1") * Decimal("0.0005"))
    assert ledger.instruments[0].funding == Decimal("-0.06")
    assert ledger.net == {"USDT": Decimal("0.1") - Decimal("0.42005") - Decimal("0.06")}
    assert ledger.final_equity["USDT"] == Decimal(1000) + ledger.net["USDT"]


def test_what_is_left_is_valued_at_executable_prices_less_the_taker_fee_with_the_mid_beside_it() -> None:
    facts = run([BTC], [FLAT], [Trade(1, 0, 1, 600000, 10)])
    ledger = ledger_of(facts, [ClosingQuote(1200002, 1200002, 599990, 600012)])
    bid = Decimal("59999.0")
    assert ledger.final_equity_mid["USDT"] - ledger.final_equity["USDT"] == (
        (Decimal("60000.1") - bid) * Decimal("0.01") + bid * Decimal("0.01") * Decimal("0.0005")
    )


def test_a_derivatives_opening_position_brings_no_profit_of_its_own_and_a_coin_is_opening_equity() -> None:
    facts = run([KRW_BTC, BTC], [[84_000_000] * 3, FLAT], [], spreads=[1000, 2], start_lots=[50_000_000, -500])
    quotes = [ClosingQuote(168_001_000, 168_001_000, 84_000_000, 84_001_000), ClosingQuote(1200002, 1200102, 600050, 600052)]
    ledger = ledger_of(facts, quotes)
    assert ledger.initial_equity == {"KRW": Decimal("42000250"), "USDT": Decimal(0)}
    assert ledger.final_equity_mid == {"KRW": Decimal("42000250"), "USDT": Decimal("-2.5")}  # short 0.5 BTC, 5 dearer


def test_a_rebate_is_booked_apart_from_fees() -> None:
    paid_for = with_fees(BTC, "-0.0001", "0.0005", profile="vip", condition="volume over 1e9")
    ledger = ledger_of(run([paid_for], [FLAT], [Trade(1, 0, 1, 600000, 10), Trade(2, 0, -1, 600000, 10)]))
    assert (ledger.instruments[0].fees, ledger.instruments[0].rebates) == (Decimal(0), Decimal("0.12"))


def test_a_position_without_any_price_is_refused() -> None:
    facts = run([BTC], [FLAT], [], start_lots=[5])
    with pytest.raises(UsageError, match="BTCUSDT: expected a price for its position"):
        ledger_of(facts, [ClosingQuote(0, 0, 0, 0)])


def test_sums_do_not_overflow() -> None:
    huge = np.array([1 << 40] * 10)
    assert total(times(huge, huge)) == 10 * (1 << 80)
    assert times(np.array([3]), np.array([4])).dtype == np.int64


def test_nothing_is_translated_without_a_rate_and_usdt_is_not_usd() -> None:
    assert not translation("USD", Reporting()).knows(["USDT"])
    with pytest.raises(CurrencyMismatch, match="give krw_per_usdt"):
        report_translation({"KRW", "USDT"}, Reporting())
    with pytest.raises(CurrencyMismatch, match="none for"):
        translation("USD", Reporting()).sum({"USDT": Decimal(1)})
    assert translation("USD", RATES).sum({"USDT": Decimal(1400), "KRW": Decimal(1400)}) == Decimal("1401") * Decimal("0.9995")
    assert report_translation({"KRW"}, Reporting()).into == "KRW"


def test_a_reporting_rate_names_its_source_and_is_positive() -> None:
    with pytest.raises(ValueError, match="name of its source"):
        ReportingRate(Decimal(1400), "", START)
    with pytest.raises(ValueError, match="positive"):
        ReportingRate(Decimal(0), "book", START)


def test_plain_text_of_decimals() -> None:
    assert [plain(Decimal(t)) for t in ("1E+3", "-0.0", "0.10", "1.5E-7")] == ["1000", "0", "0.1", "0.00000015"]


FILLS = st.lists(
    st.builds(
        Trade,
        at_s=st.floats(0.5, 8),
        instrument=st.integers(0, 1),
        side=st.sampled_from([-1, 1]),
        ticks=st.integers(590_000, 610_000),
        lots=st.integers(1, 50),
        maker=st.booleans(),
    ),
    max_size=12,
)


@given(trades=FILLS, rate=st.integers(-500, 500).map(lambda n: n * 1_000_000))
def test_the_account_is_the_sum_of_its_fills_in_each_currency(trades: list[Trade], rate: int) -> None:
    facts = run([BTC, ETH], [FLAT, FLAT], trades, start_lots=[7, -3], fundings=[(4, 0, 7, 1200000, rate)])
    quotes = [ClosingQuote(1200002, 1199000, 599000, 600002), ClosingQuote(1100002, 1200002, 600000, 600002)]
    ledger = ledger_of(facts, quotes)
    plainly = -Decimal(7) * BTC.lot * BTC.price(600000) * Decimal(rate).scaleb(-12)
    for k, (instrument, start) in enumerate(((BTC, 7), (ETH, -3))):
        held = start
        plainly -= start * instrument.lot * instrument.quantum * quotes[k].first_mid_twice / 2
        for t in (t for t in trades if t.instrument == k):
            fee = instrument.fees.maker if t.maker else instrument.fees.taker
            plainly -= t.side * instrument.notional(t.ticks, t.lots) + fee * instrument.notional(t.ticks, t.lots)
            held += t.side * t.lots
        side = quotes[k].bid_ticks if held > 0 else quotes[k].ask_ticks
        plainly += instrument.notional(side, held) - instrument.fees.taker * instrument.notional(side, abs(held))
    assert ledger.net["USDT"] == plainly
    assert sum(v.final_equity - v.initial_equity for v in ledger.venues) == plainly


@given(trades=FILLS, add=st.integers(0, 100), which=st.sampled_from(["maker_fee_add", "taker_fee_add", "spread", "funding"]))
def test_raising_a_cost_never_raises_net_with_fills_fixed(trades: list[Trade], add: int, which: str) -> None:
    facts = run([BTC, ETH], [FLAT, FLAT], trades, fundings=[(4, 0, 7, 1200000, 1_000_000)])
    before = ledger_of(facts).net.get("USDT", Decimal(0))
    quotes = [ClosingQuote(1200002, 1200002, 600000, 600002)] * 2
    if which == "spread":
        quotes = [ClosingQuote(1200002, 1200002, 600000 - add, 600002 + add)] * 2
    elif which == "funding":
        paid = facts.outcome.fundings.copy()
        paid["rate"] += add * 1_000_000
        facts = dataclasses.replace(facts, outcome=dataclasses.replace(facts.outcome, fundings=paid))
    else:
        fee: dict[str, Any] = {which: Decimal(add) / 10_000}
        changed = dataclasses.replace(facts.settings, **fee)
        facts = dataclasses.replace(facts, settings=changed)
    assert ledger_of(facts, quotes).net.get("USDT", Decimal(0)) <= before


@given(trades=FILLS, start=st.integers(-20, 20))
def test_fifo_and_average_cost_agree_where_the_position_is_flat(trades: list[Trade], start: int) -> None:
    trades = [dataclasses.replace(t, instrument=0) for t in trades]
    held = start + sum(t.side * t.lots for t in trades)
    if held:
        trades.append(Trade(9, 0, -1 if held > 0 else 1, 600000, abs(held)))
    facts = run([BTC], [FLAT], trades, start_lots=[start])
    realised = fifo_realised(start, 1200002, facts.outcome.fills)
    assert realised == average_cost_realised(start, 1200002, facts.outcome.fills)
    account = ledger_of(facts).instruments[0]
    assert account.closing_lots == 0
    assert account.unit * realised == account.price_move


def average_cost_realised(position: int, cost_twice: int, fills: np.ndarray) -> int:
    """Realised by average cost, exact by keeping the cost as a fraction of the position."""
    cost, realised = Decimal(position * cost_twice), Decimal(0)
    for fill in fills:
        side, lots, twice = int(fill["side"]), int(fill["lots"]), 2 * int(fill["ticks"])
        closing = min(lots, abs(position)) if position * side < 0 else 0
        if closing:
            part = cost * closing / abs(position)
            realised += -side * twice * closing - part
            cost -= part
        position += side * lots
        cost += side * twice * (lots - closing)
    return int(realised.to_integral_value())


def test_the_positive_control_of_the_property_a_lower_fee_raises_net() -> None:
    facts = run([BTC], [FLAT], [Trade(1, 0, 1, 600000, 10), Trade(2, 0, -1, 600000, 10)])
    cheaper = dataclasses.replace(facts.settings, maker_fee_add=Decimal("-0.0001"))
    assert ledger_of(dataclasses.replace(facts, settings=cheaper)).net["USDT"] > ledger_of(facts).net["USDT"]
