"""Facts, valuations and loads at their exact bounds, and what is unknown, of nothing, or just enough."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from tests.gate.limit_cases import BTC, TIERS, facts

from interlock.domain.instruments import Kind
from interlock.domain.orders import Side
from interlock.gate import exposure
from interlock.gate.exposure import NOTHING, PICO, Load, OpenOrder, Valuation, exposure_of, universe_of, valuation_of

SECOND = ("bybit", "SECOND")
DOLLAR = Valuation(1_000_000, 1, 1, 1, (), ())
"""A tick of a lot is a dollar."""


# Facts


def test_only_a_perpetual_needs_tiers() -> None:
    assert facts(kind=Kind.SPOT).tiers == ()
    with pytest.raises(ValueError, match="expected margin tiers, found none"):
        facts(tiers=())


@pytest.mark.parametrize("size", ["per_tick_lot", "per_lot"])
@pytest.mark.parametrize("value", ["0", "-1"])
def test_what_is_worth_or_holds_nothing_is_no_instrument(size: str, value: str) -> None:
    given: dict[str, Any] = {size: value}
    with pytest.raises(ValueError, match="positive tick, lot and multiplier"):
        facts(**given)
    given[size] = "1"
    assert facts(**given).place == ("bybit", "BTCUSDT")


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("value", [Decimal(0), Decimal(-1)])
def test_a_tier_of_nothing_or_for_nothing_is_refused(part: int, value: Decimal) -> None:
    tier = [Decimal(10), Decimal("0.1"), Decimal("0.05")]
    assert facts(tiers=((tier[0], tier[1], tier[2]),)).tiers == (tuple(tier),)
    tier[part] = value
    with pytest.raises(ValueError, match="expected positive margin tiers that rise"):
        facts(tiers=((tier[0], tier[1], tier[2]),))


def test_a_tier_that_lacks_a_part_is_refused_and_not_read_without_it() -> None:
    short: Any = (Decimal(20_000), Decimal("0.2"))
    with pytest.raises(ValueError, match="shorter"):
        facts(tiers=(TIERS[0], short))


def test_the_unit_of_an_asset_is_the_greatest_that_divides_every_lot() -> None:
    assert universe_of([facts(per_lot="4"), facts(symbol="SECOND", per_lot="6")]).units_per_lot == {("bybit", "BTCUSDT"): 2, SECOND: 3}


def test_what_one_tick_is_for_one_coin() -> None:
    """A tick of a lot is 0.0001, and a lot a thousandth of a coin."""
    assert universe_of([facts()]).coin_tick == {("bybit", "BTCUSDT"): (1, 10)}


# Valuations


@pytest.mark.parametrize(
    ("tick_lot", "numerator", "denominator"),
    [
        ("1.23456789", 1_234_568, 1),  # a million steps are enough
        ("0.012345678912", 1_234_568, 100),
        ("0.5", 500_000, 1),  # exact as it is
        ("0.0000005", 5, 10),
        ("0.00000010000001", 1_000_001, 10_000_000),
    ],
)
def test_a_tick_of_a_lot_is_rounded_up_beyond_a_million_steps(tick_lot: str, numerator: int, denominator: int) -> None:
    found = valuation_of(facts(per_tick_lot=tick_lot), PICO, PICO)
    assert (found.numerator, found.denominator) == (numerator, denominator)


def test_tiers_begin_at_the_low_rate_and_ask_for_what_they_say() -> None:
    found = valuation_of(facts(), 990_000_000_000, 1_010_000_000_000)
    assert found == Valuation(
        101,
        1,
        990_000_000_000,
        1_010_000_000_000,
        ((9_900_000_000, 100_000), (990_000_000_000, 200_000)),
        ((9_900_000_000, 50_000), (990_000_000_000, 100_000)),
    )


# Loads


def test_nothing_is_held_offered_or_priced_in_a_new_load() -> None:
    assert Load() == NOTHING == Load(0, 0, 0, 0, 0, 0, 0)


def test_of_several_prices_the_worst_is_kept_in_whichever_order_they_come() -> None:
    for first, second in ((7, 9), (9, 7)):
        sold = NOTHING.with_order(Side.SELL, first, 1).with_order(Side.SELL, second, 2)
        assert sold == Load(0, 0, 3, 2, 0, 9, 7)
        bought = NOTHING.with_order(Side.BUY, first, 1).with_order(Side.BUY, second, 2)
        assert bought == Load(0, 3, 0, 2, 9, 0, 0)


@pytest.mark.parametrize(("held", "side"), [(3, Side.SELL), (-3, Side.BUY)])
def test_what_brings_a_position_just_to_zero_reduces_it_and_one_lot_more_does_not(held: int, side: Side) -> None:
    places = universe_of([facts()])
    loads = exposure_of({BTC: held}, [], {}, {}).loads
    for lots, reduces in ((3, True), (4, False)):
        assert exposure.reduces(loads, places, ("bybit", "BTCUSDT"), side, lots) is reduces
        assert exposure.shrinks(loads[BTC], side, lots) is reduces
    with_one = exposure_of({BTC: held}, [OpenOrder(*BTC, side, 1, 1)], {}, {}).loads
    assert exposure.reduces(with_one, places, ("bybit", "BTCUSDT"), side, 3) is False
    assert exposure.shrinks(with_one[BTC], side, 3) is False


def test_a_long_is_worth_nothing_as_a_short_and_a_short_as_a_long() -> None:
    for position, long, short in ((3, 3_000_000, 0), (-3, 0, 3_000_000), (0, 0, 0)):
        load = Load(position)
        assert (exposure.long_value(load, 1, DOLLAR), exposure.short_value(load, 1, DOLLAR)) == (long, short)
        assert exposure.gross_value(load, 1, DOLLAR) == max(long, short)


# Naked


def test_a_coin_that_one_instrument_cannot_price_has_no_value() -> None:
    places = universe_of([facts(), facts(symbol="SECOND")])
    known, beyond = (500_000, DOLLAR), (1 << 61, DOLLAR)
    for prices in ({("bybit", "BTCUSDT"): beyond, SECOND: known}, {("bybit", "BTCUSDT"): known, SECOND: beyond}):
        assert exposure.naked_value(2, places, prices, "BTC") == -1
    assert exposure.naked_value(2, places, {("bybit", "BTCUSDT"): known}, "BTC") == 1_000_000_000_000


def test_nothing_naked_is_worth_nothing_and_is_known() -> None:
    assert exposure.naked_value(0, universe_of([facts()]), {("bybit", "BTCUSDT"): (500_000, DOLLAR)}, "BTC") == 0


def test_a_coin_without_a_tolerance_is_naked_whatever_it_is_worth() -> None:
    assert exposure.naked_since({}, {"BTC": 0}, {}, 7) == {"BTC": 7}
    assert exposure.naked_since({}, {"BTC": 0}, {"BTC": 0}, 7) == {"BTC": None}
