"""Instruments and price rules: exact units, steps by band and day, rounding toward less risk."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interlock.domain.instruments import Fees, Instrument, Kind, ceiling
from interlock.domain.orders import Side
from interlock.domain.price_rules import RULES, UPBIT_KRW, PriceBand, PriceRule, PriceTable, fixed_step

TODAY = date(2026, 1, 1)
FEES = Fees(Decimal("0.0005"), Decimal("0.0005"), "base", "made up", TODAY)


def instrument(**changes: Any) -> Instrument:
    values: dict[str, Any] = {
        "venue": "upbit",
        "symbol": "KRW-A",
        "base": "A",
        "quote": "KRW",
        "settle": "KRW",
        "kind": Kind.SPOT,
        "quantum": Decimal("0.01"),
        "lot": Decimal("0.00000001"),
        "price_rule": UPBIT_KRW,
        "min_price": Decimal(1),
        "max_price": Decimal(10_000_000),
        "fees": FEES,
    }
    return Instrument(**(values | changes))


KRW = instrument()


@pytest.mark.parametrize(
    ("price", "step"),
    [
        ("2000000", "1000"),
        ("1000000", "1000"),
        ("999500", "500"),
        ("500000", "500"),
        ("499900", "100"),
        ("100000", "100"),
        ("99950", "50"),
        ("50000", "50"),
        ("49990", "10"),
        ("10000", "10"),
        ("9995", "5"),
        ("5000", "5"),
        ("4999", "1"),
        ("1000", "1"),
        ("999", "1"),
        ("100", "1"),
        ("99.9", "0.1"),
        ("10", "0.1"),
        ("9.99", "0.01"),
        ("1", "0.01"),
        ("0.999", "0.001"),
        ("0.1", "0.001"),
        ("0.0999", "0.0001"),
        ("0.000001", "0.00000001"),
    ],
)
def test_upbit_units_at_and_below_each_boundary(price: str, step: str) -> None:
    assert UPBIT_KRW.step(Decimal(price), TODAY) == Decimal(step)


def test_a_price_step_needs_a_positive_price() -> None:
    with pytest.raises(ValueError, match="positive price"):
        UPBIT_KRW.step(Decimal(0), TODAY)
    assert RULES["upbit-krw"] is UPBIT_KRW


def test_a_rule_answers_by_day() -> None:
    old = PriceTable(date(2020, 1, 1), (PriceBand(Decimal(0), Decimal(10)),))
    new = PriceTable(date(2025, 1, 1), (PriceBand(Decimal(0), Decimal(5)),))
    rule = PriceRule("two", "made up", (old, new))
    days = [date(2019, 1, 1), date(2020, 1, 1), date(2024, 12, 31), date(2025, 1, 1)]
    assert [rule.step(Decimal(100), day) for day in days] == [10, 10, 10, 5]


@pytest.mark.parametrize(
    "bands",
    [(), (("1", "1"),), (("0", "1"), ("0", "2")), (("0", "1"), ("5", "2"), ("4", "1")), (("0", "0"),), (("0", "-1"),)],
)
def test_a_table_runs_from_zero_upward_with_positive_steps(bands: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(ValueError, match="price table"):
        PriceTable(TODAY, tuple(PriceBand(Decimal(low), Decimal(step)) for low, step in bands))


def test_tables_rise_by_date() -> None:
    table = PriceTable(TODAY, (PriceBand(Decimal(0), Decimal(1)),))
    with pytest.raises(ValueError, match="rising date"):
        PriceRule("x", "made up", (table, table))
    with pytest.raises(ValueError, match="rising date"):
        PriceRule("x", "made up", ())


prices = st.decimals(min_value="1", max_value="9999999", places=4).filter(lambda p: p > 0)


@given(prices, st.sampled_from(list(Side)))
def test_rounding_goes_toward_less_risk_and_lands_on_an_allowed_price(price: Decimal, side: Side) -> None:
    rounded = KRW.price(KRW.round_price(price, side, TODAY))
    assert (price - rounded) * side >= 0
    assume(rounded > 0)
    assert rounded % KRW.price_step(rounded, TODAY) == 0
    # An allowed price is left alone, and no allowed price lies between.
    assert KRW.round_price(rounded, side, TODAY) == KRW.ticks(rounded)
    step = KRW.price_step(price, TODAY)
    assert abs(price - rounded) < max(step, KRW.price_step(rounded, TODAY))


def test_rounding_up_over_a_boundary() -> None:
    assert KRW.price(KRW.round_price(Decimal("4999.5"), Side.SELL, TODAY)) == 5_000
    assert KRW.price(KRW.round_price(Decimal("4999.5"), Side.BUY, TODAY)) == 4_999
    assert KRW.price(KRW.round_price(Decimal("9996"), Side.SELL, TODAY)) == 10_000
    odd = PriceRule("odd", "made up", (PriceTable(TODAY, (PriceBand(Decimal(0), Decimal(3)), PriceBand(Decimal(10), Decimal(4)))),))
    rules = instrument(price_rule=odd, quantum=Decimal(1), max_price=Decimal(100))
    # 9 is the last multiple of three below ten; the next allowed price is the first multiple of four.
    assert rules.round_price(Decimal("9.5"), Side.SELL, TODAY) == 12
    assert rules.round_price(Decimal("9.5"), Side.BUY, TODAY) == 9


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 9)), min_size=1, max_size=4),
    st.decimals("0.1", "200", places=1),
    st.sampled_from(list(Side)),
)
def test_rounding_finds_the_nearest_allowed_price_whatever_the_bands(widths: list[tuple[int, int]], price: Decimal, side: Side) -> None:
    start, bands = 0, []
    for width, step in widths:
        bands.append(PriceBand(Decimal(start), Decimal(step)))
        start += width
    rules = instrument(
        price_rule=PriceRule("odd", "made up", (PriceTable(TODAY, tuple(bands)),)), quantum=Decimal(1), max_price=Decimal(1000)
    )
    allowed = [n for n in range(400) if n % [band.step for band in bands if band.from_price <= n][-1] == 0]
    if side is Side.BUY:
        assert rules.round_price(price, side, TODAY) == max(n for n in allowed if n <= price)
    else:
        assert rules.round_price(price, side, TODAY) == min(n for n in allowed if n >= price)


@given(st.decimals("0.001", "1000", places=3), st.decimals("0.01", "50", places=2))
def test_a_ceiling_is_reached_and_by_no_more_than_a_unit(value: Decimal, unit: Decimal) -> None:
    count = ceiling(value, unit)
    assert count * unit >= value > (count - 1) * unit


def test_steps_in_ticks_by_band() -> None:
    whole = instrument(quantum=Decimal(1), min_price=Decimal(1_000), max_price=Decimal(20_000))
    assert whole.step_table(TODAY) == [(1_000, 1), (5_000, 5), (10_000, 10)]
    for ticks in (1_000, 4_999, 5_000, 9_995, 10_000, 19_990):
        step = [s for first, s in whole.step_table(TODAY) if first <= ticks][-1]
        assert step == whole.price_step(whole.price(ticks), TODAY)


@given(st.integers(1_000, 2_000_000), st.integers(1_000, 2_000_000))
def test_a_ladder_has_a_cell_for_every_allowed_price(a: int, b: int) -> None:
    low, high = sorted((KRW.round_price(Decimal(a), Side.BUY, TODAY), KRW.round_price(Decimal(b), Side.BUY, TODAY)))
    cell = KRW.ladder_step(low, high, TODAY)
    assert cell >= 1
    ticks = low
    for _ in range(50):
        assert (ticks - low) % cell == 0
        step = KRW.ticks(KRW.price_step(KRW.price(ticks), TODAY))
        ticks += step
        if ticks > high:
            break


def test_ladders_are_as_coarse_as_the_prices_allow() -> None:
    assert KRW.ladder_step(500_000, 990_000, TODAY) == 500  # 5,000 to 9,900: steps of 5
    assert KRW.ladder_step(490_000, 510_000, TODAY) == 100
    assert KRW.ladder_step(1_000_000, 2_000_000, TODAY) == 1_000


def test_units_are_exact() -> None:
    perp = instrument(kind=Kind.PERPETUAL, multiplier=Decimal(1000), lot=Decimal("0.1"), quantum=Decimal("0.01"))
    assert perp.key == "upbit:KRW-A"
    assert perp.price(123) == Decimal("1.23")
    assert perp.quantity(7) == Decimal("0.7")
    assert perp.base_units(7) == 700
    assert perp.notional(123, 7) == Decimal("0.861")
    assert perp.ticks(Decimal("1.23")) == 123
    assert perp.lots(Decimal("0.7")) == 7
    assert perp.floor_lots(Decimal("0.79")) == 7
    with pytest.raises(ValueError, match="price: expected a multiple"):
        perp.ticks(Decimal("1.234"))
    with pytest.raises(ValueError, match="quantity: expected a multiple"):
        perp.lots(Decimal("0.75"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"quantum": Decimal(0)}, "positive quantum"),
        ({"lot": Decimal(-1)}, "positive quantum"),
        ({"multiplier": Decimal(0)}, "positive quantum"),
        ({"min_price": Decimal(0)}, "min_price"),
        ({"min_price": Decimal(5), "max_price": Decimal(5)}, "min_price"),
        ({"min_lots": 0}, "min_lots"),
        ({"min_lots": 5, "max_lots": 4}, "min_lots"),
        ({"max_price": Decimal(10) ** 18, "price_rule": fixed_step("x", Decimal("0.01"), "")}, "too many quanta"),
        ({"quantum": Decimal(1)}, "not a multiple of the quantum"),
        ({"settle": "USDT"}, "settles in its quote currency"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        instrument(**change)


def test_a_rebate_needs_a_programme_and_a_taker_pays() -> None:
    with pytest.raises(ValueError, match="rebate"):
        Fees(Decimal("-0.0001"), Decimal("0.0005"), "mm", "made up", TODAY)
    with pytest.raises(ValueError, match="taker"):
        Fees(Decimal("0.0001"), Decimal("-0.0005"), "mm", "made up", TODAY)
    assert Fees(Decimal("-0.0001"), Decimal("0.0005"), "mm", "made up", TODAY, "programme M").maker < 0
