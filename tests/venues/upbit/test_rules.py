"""What Upbit lets be ordered: instruments from its answers, pairs, rounding toward less risk, and what is not sent."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.upbit.talks import BTC

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Status
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.domain.price_rules import UPBIT_KRW, PriceRule
from interlock.market.shipped import SHIPPED
from interlock.venues.port import OrderWanted
from interlock.venues.upbit import rules

ON = date(2026, 11, 21)
PRICES = st.one_of(
    st.decimals(min_value=Decimal("0.00001"), max_value=9 * 10**9, places=8),
    st.sampled_from([band.from_price for band in UPBIT_KRW.bands(ON)][2:]),
)


def wanted(**changes: Any) -> OrderWanted:
    order = OrderWanted(
        instrument=BTC,
        client_id="arb-0001",
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        ticks=50_000_000,
        lots=100_000,
    )
    return replace(order, **changes)


def sale(**changes: Any) -> OrderWanted:
    return wanted(**{"side": Side.SELL, "type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0} | changes)


def buy(cost: Decimal | None, **changes: Any) -> OrderWanted:
    return wanted(**{"type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0, "lots": 0, "cost": cost} | changes)


# Instruments


@given(PRICES)
def test_an_instrument_is_made_for_any_price_and_small_in_ticks(price: Decimal) -> None:
    found = rules.instrument("KRW-X", UPBIT_KRW.step(price, ON), price, on=ON)
    assert found.price_rule is UPBIT_KRW
    assert found.min_price <= price < found.max_price
    assert price // UPBIT_KRW.step(price, ON) * UPBIT_KRW.step(price, ON) % found.quantum == 0
    assert found.max_price / found.quantum < 2**53
    assert (found.symbol, found.quote, found.settle, found.min_notional) == ("KRW-X", "KRW", "KRW", Decimal(5000))


def test_one_that_is_known_keeps_the_meaning_of_its_ticks() -> None:
    known = SHIPPED["upbit:KRW-XRP"]
    fresh = rules.instrument("KRW-XRP", Decimal(1), Decimal(3500), on=ON)
    kept = rules.instrument("KRW-XRP", Decimal(1), Decimal(3500), on=ON, known=known)
    assert (fresh.quantum, kept.quantum) == (Decimal("0.01"), Decimal(1))
    assert (kept.min_price, kept.max_price) == (known.min_price, known.max_price)


def test_the_venue_s_unit_goes_before_the_table_in_its_band() -> None:
    found = rules.instrument("KRW-USDT", Decimal("0.5"), Decimal("1385.5"), on=ON)
    assert [found.price_step(Decimal(price), ON) for price in (999, 1000, 4999, 5000)] == [
        Decimal(1),
        Decimal("0.5"),
        Decimal("0.5"),
        Decimal(5),
    ]
    assert found.price_rule.name == "upbit-KRW-USDT"
    # The positive control: the table's own unit leaves the table.
    assert rules.instrument("KRW-USDT", Decimal(1), Decimal("1385"), on=ON).price_rule is UPBIT_KRW


def test_a_table_that_was_told_is_kept_in_other_bands_and_can_become_the_documented_one_again() -> None:
    told = rules.instrument("KRW-USDT", Decimal("0.5"), Decimal("1385.5"), on=ON).price_rule

    def seen(tick: str, price: int, units: PriceRule) -> PriceRule:
        return rules.instrument("KRW-USDT", Decimal(tick), Decimal(price), on=ON, units=units).price_rule

    assert seen("0.1", 50, told) is told
    again = seen("0.2", 50, told)
    assert [again.step(Decimal(price), ON) for price in (50, 500, 1385, 6000)] == [Decimal("0.2"), Decimal(1), Decimal("0.5"), Decimal(5)]
    assert seen("1", 1385, told) is UPBIT_KRW


@pytest.mark.parametrize(("price", "kept"), [(4_940, False), (4_960, True), (5_040, True), (5_060, False)])
def test_near_the_border_of_two_bands_the_unit_of_either_changes_nothing(price: int, kept: bool) -> None:
    """Below 5,000 won it is 1, from there on 5. The unit is read before the price, which may cross in between."""
    other = Decimal(5) if price < 5_000 else Decimal(1)
    for tick, same in ((UPBIT_KRW.step(Decimal(price), ON), True), (other, kept), (Decimal(2), False)):
        found = rules.instrument("KRW-XRP", tick, Decimal(price), on=ON)
        assert (found.price_rule is UPBIT_KRW) is same
        assert same or found.price_step(Decimal(price), ON) == tick


def test_a_status_is_told_on() -> None:
    assert rules.instrument("KRW-BTC", Decimal(1000), Decimal(10**8), on=ON, status=Status.HALTED).status is Status.HALTED


@pytest.mark.parametrize(
    ("market", "tick", "price"),
    [
        ("BTC-ETH", "1", "5"),
        ("KRW-", "1", "5"),
        ("KRW-btc", "1", "5"),
        ("KRW-X", "0", "5"),
        ("KRW-X", "-1", "5"),
        ("KRW-X", "NaN", "5"),
        ("KRW-X", "1e7", "5"),
        ("KRW-X", "1", "0"),
        ("KRW-X", "1", "Infinity"),
        ("KRW-X", "1", "1e10"),
        ("KRW-X", "0.0003", "1500"),
    ],
)
def test_what_is_no_market(market: str, tick: str, price: str) -> None:
    with pytest.raises(ValueError, match=r"expected|multiple"):
        rules.instrument(market, Decimal(tick), Decimal(price), on=ON)


# Pairs


def perpetual(base: str, multiplier: int = 1) -> Instrument:
    btc = SHIPPED["binance_usdm:BTCUSDT"]
    return msgspec.structs.replace(
        btc, symbol=f"{base}{'' if multiplier == 1 else multiplier}USDT", base=base, multiplier=Decimal(multiplier)
    )


def test_a_market_and_its_perpetual() -> None:
    every = {
        each.symbol: each
        for each in (perpetual("BTC"), perpetual("1000PEPE"), perpetual("BONK", 1000), perpetual("SHIB1000"), perpetual("1INCH"), BTC)
    }
    for market, symbol, multiplier in (
        ("KRW-BTC", "BTCUSDT", 1),
        ("KRW-PEPE", "1000PEPEUSDT", 1000),
        ("KRW-BONK", "BONK1000USDT", 1000),
        ("KRW-SHIB", "SHIB1000USDT", 1000),
        ("KRW-1INCH", "1INCHUSDT", 1),
    ):
        found = rules.partner(market, every)
        assert found is not None
        assert (found.perpetual.symbol, int(found.multiplier)) == (symbol, multiplier)
        assert rules.market_of(found.perpetual) == market
    assert rules.partner("KRW-DOGE", every) is None


def test_no_pair_is_guessed() -> None:
    with pytest.raises(UsageError, match="found PEPEUSDT, 1000PEPEUSDT; name one"):
        rules.partner("KRW-PEPE", {each.symbol: each for each in (perpetual("PEPE"), perpetual("1000PEPE"))})
    with pytest.raises(UsageError, match="expected a KRW market"):
        rules.partner("BTC-ETH", {})


# Rounding


@given(PRICES, st.sampled_from(Side))
def test_a_price_is_rounded_toward_less_risk_to_one_that_is_allowed(price: Decimal, side: Side) -> None:
    market = rules.instrument("KRW-X", UPBIT_KRW.step(price, ON), price, on=ON)
    found = rules.round_price(market, price, side, ON)
    rounded = market.price(found)
    assert rounded <= price if side is Side.BUY else rounded >= price
    # Entering the next band may add its unit to that of this one.
    assert abs(rounded - price) < UPBIT_KRW.step(max(rounded, price), ON) + UPBIT_KRW.step(price, ON)
    if rounded:
        assert rounded % UPBIT_KRW.step(rounded, ON) == 0


@given(st.decimals(min_value=-1, max_value=1000, places=12), st.sampled_from(Side), st.integers(-10, 10**10))
def test_a_size_is_rounded_down_and_a_reduction_stays_within_what_is_held(quantity: Decimal, side: Side, held: int) -> None:
    found = rules.round_lots(BTC, quantity)
    assert 0 <= found == max(0, quantity // BTC.lot)
    reducing = rules.round_lots(BTC, quantity, reducing=(side, held))
    assert 0 <= reducing <= found
    assert reducing <= max(0, held) * (side is Side.SELL)
    assert reducing == (min(found, max(0, held)) if side is Side.SELL else 0)


def test_a_cost_is_rounded_down_to_whole_won() -> None:
    assert [rules.round_cost(Decimal(cost)) for cost in ("5000.99", "5000", "-3", "0")] == [5000, 5000, 0, 0]


# What is not sent


@pytest.mark.parametrize(
    ("order", "name"),
    [
        (wanted(), ""),
        (wanted(tif=TimeInForce.POST_ONLY), ""),
        (wanted(side=Side.SELL, reduce_only=True), ""),
        (sale(), ""),
        (buy(Decimal(5000)), ""),
        (wanted(instrument=SHIPPED["bybit:BTCUSDT"]), "market"),
        (wanted(instrument=msgspec.structs.replace(BTC, symbol="BTC-ETH")), "market"),
        (wanted(instrument=msgspec.structs.replace(BTC, status=Status.CANCEL_ONLY)), "status"),
        (wanted(client_id=""), "client_id"),
        (wanted(client_id="x" * 65), "client_id"),
        (wanted(client_id="a b"), "client_id"),
        (wanted(reduce_only=True), "reduce_only"),
        (sale(tif=TimeInForce.GTC), "tif"),
        (sale(tif=TimeInForce.FOK), "tif"),
        (wanted(cost=Decimal(5000)), "cost"),
        (sale(cost=Decimal(5000)), "cost"),
        (buy(None), "cost"),
        (buy(Decimal("5000.5")), "cost"),
        (buy(Decimal("NaN")), "cost"),
        (buy(Decimal(5000), lots=1), "max_lots"),
        (wanted(lots=0), "min_lots"),
        (wanted(lots=-5), "min_lots"),
        (wanted(lots=2**60), "max_lots"),
        (sale(lots=2**60), "max_lots"),
        (wanted(ticks=0), "price_range"),
        (wanted(ticks=999), "price_range"),
        (sale(ticks=5), "price_range"),
        (wanted(ticks=50_000_500), "price_step"),
        (wanted(ticks=50_000_000, lots=9_999), "min_total"),
        (wanted(ticks=50_000_000, lots=10_000), ""),
        (wanted(ticks=50_000_000, lots=2_000_000_001), "max_total"),
        (wanted(ticks=50_000_000, lots=2_000_000_000), ""),
        (buy(Decimal(4999)), "min_total"),
        (buy(Decimal(1_000_000_001)), "max_total"),
    ],
)
def test_what_breaks_a_rule_is_named(order: OrderWanted, name: str) -> None:
    assert rules.check(order, on=ON) == name


def test_a_sale_is_held_against_what_is_there_and_what_it_is_worth() -> None:
    assert rules.check(sale(lots=100_001), on=ON, held_lots=100_000) == "held"
    assert rules.check(sale(lots=100_000), on=ON, held_lots=100_000) == ""
    assert rules.check(sale(lots=9_999), on=ON, best_bid=Decimal(50_000_000)) == "min_total"
    assert rules.check(sale(lots=9_999), on=ON) == ""
    assert rules.check(wanted(), on=ON, held_lots=0) == ""


@given(PRICES, st.sampled_from(Side), st.decimals(min_value=5001, max_value=10**8, places=0))
def test_what_was_rounded_breaks_no_rule_of_prices(price: Decimal, side: Side, total: Decimal) -> None:
    market = rules.instrument("KRW-X", UPBIT_KRW.step(price, ON), price, on=ON)
    ticks = rules.round_price(market, price, side, ON)
    lots = rules.round_lots(market, total / price)
    assert rules.check(wanted(instrument=market, side=side, ticks=ticks, lots=lots), on=ON) in (
        "",
        "min_total",
        "min_lots",
        "price_range",
        "max_lots",
    )
