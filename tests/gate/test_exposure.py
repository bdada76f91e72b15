"""Worst cases, held against every subset of fills, in exact fractions."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.limit_cases import BTC, facts

from interlock.domain.instruments import Fees, Instrument, Kind, MarginTier
from interlock.domain.orders import Side
from interlock.domain.price_rules import fixed_step
from interlock.gate import exposure
from interlock.gate.exposure import NOTHING, PICO, Equity, Load, OpenOrder, exposure_of, facts_of, universe_of, valuation_of
from interlock.gate.margin import NONE, UNKNOWN, margin_need

SPOT = facts("upbit", "KRW-BTC", Kind.SPOT, "KRW", "0.00000001", "0.00000001")
PERP = facts()
UNIVERSE = universe_of([SPOT, PERP, facts(symbol="ETHUSDT", asset="ETH")])
SPOT_KEY = ("upbit", "main", "KRW-BTC")
DOLLAR = valuation_of(PERP, PICO, PICO)

orders = st.lists(
    st.tuples(st.booleans(), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 12), st.integers(1, 5)).map(
        lambda t: OpenOrder(*(BTC if t[0] else SPOT_KEY), t[1], t[2], t[3])
    ),
    max_size=5,
)
positions = st.fixed_dictionaries({BTC: st.integers(-5, 5), SPOT_KEY: st.integers(-5, 5)})


@given(
    positions, st.lists(st.tuples(st.booleans(), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 12), st.integers(0, 5)), max_size=9)
)
def test_all_orders_at_once_are_what_they_are_one_after_the_other(
    held: dict[tuple[str, str, str], int], drawn: list[tuple[bool, Side, int, int]]
) -> None:
    """Also those of no lots, which stand for the other price of an amend."""
    many = [OpenOrder(*(BTC if first else SPOT_KEY), side, ticks, lots) for first, side, ticks, lots in drawn]
    one_by_one = exposure_of(held, [], {}, {})
    for order in many:
        one_by_one = one_by_one.with_order(order)
    assert exposure_of(held, many, {}, {}) == one_by_one


def outcomes(held: dict[tuple[str, str, str], int], many: list[OpenOrder]) -> list[tuple[dict[tuple[str, str, str], int], list[OpenOrder]]]:
    found = []
    for chosen in product([False, True], repeat=len(many)):
        after = dict(held)
        filled = [order for order, taken in zip(many, chosen, strict=True) if taken]
        for order in filled:
            after[(order.venue, order.account, order.symbol)] += order.side * order.lots
        found.append((after, filled))
    return found


@given(positions, orders, st.integers(1, 10))
def test_no_subset_of_fills_is_worse_than_the_worst_case(held: dict[tuple[str, str, str], int], many: list[OpenOrder], ask: int) -> None:
    found = exposure_of(held, many, {}, {})
    load = found.loads.get(BTC, NOTHING)
    gross = exposure.gross_value(load, ask, DOLLAR)
    low, high = exposure.asset_interval(found.loads, UNIVERSE, "BTC")
    nets, values = [], []
    for after, filled in outcomes(held, many):
        nets.append(sum(Fraction(UNIVERSE.facts[(k[0], k[2])].asset_per_lot) * lots for k, lots in after.items()))
        prices = [o.ticks for o in filled if o.symbol == "BTCUSDT" and o.side * after[BTC] > 0]
        values.append(abs(after[BTC]) * max([ask, *prices]) * Fraction(PERP.quote_per_tick_lot) * 1_000_000)
    unit = Fraction(SPOT.asset_per_lot) / UNIVERSE.units_per_lot[SPOT.place]
    assert (min(nets), max(nets)) == (low * unit, high * unit)
    assert gross >= max(values)


@given(positions, orders, st.booleans(), st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 4))
def test_what_reduces_does_so_in_every_outcome_and_at_every_part_of_its_fill(
    held: dict[tuple[str, str, str], int], many: list[OpenOrder], on_perp: bool, side: Side, lots: int
) -> None:
    key = BTC if on_perp else SPOT_KEY
    place = (key[0], key[2])
    found = exposure_of(held, many, {}, {})
    unit = UNIVERSE.units_per_lot
    always = always_here = True
    for after, _ in outcomes(held, many):
        net = sum(unit[(k[0], k[2])] * count for k, count in after.items())
        parts = [side * part for part in range(1, lots + 1)]
        always = always and all(abs(net + part * unit[place]) <= abs(net) and net * (net + part * unit[place]) >= 0 for part in parts)
        always_here = always_here and all(
            abs(after[key] + part) <= abs(after[key]) and after[key] * (after[key] + part) >= 0 for part in parts
        )
    assert exposure.reduces(found.loads, UNIVERSE, place, side, lots) == always
    assert exposure.shrinks(found.loads.get(key, NOTHING), side, lots) == always_here


def test_reducing_by_hand() -> None:
    long = exposure_of({BTC: 3}, [OpenOrder(*BTC, Side.SELL, 1, 1)], {}, {})
    assert exposure.reduces(long.loads, UNIVERSE, PERP.place, Side.SELL, 2)
    assert not exposure.reduces(long.loads, UNIVERSE, PERP.place, Side.SELL, 3)
    assert not exposure.reduces(long.loads, UNIVERSE, PERP.place, Side.BUY, 1)
    hedged = exposure_of({BTC: -3, SPOT_KEY: 300_000}, [], {}, {})
    assert not exposure.reduces(hedged.loads, UNIVERSE, PERP.place, Side.BUY, 1)  # takes the hedge away
    assert exposure.shrinks(hedged.loads[BTC], Side.BUY, 1)
    other = exposure_of({BTC: 3, ("bybit", "main", "ETHUSDT"): -9}, [], {}, {})
    assert exposure.asset_interval(other.loads, UNIVERSE, "BTC") == (300_000, 300_000)


def test_units_of_an_asset_hold_every_lot() -> None:
    assert UNIVERSE.units_per_lot == {SPOT.place: 1, PERP.place: 100_000, ("bybit", "ETHUSDT"): 1}
    odd = universe_of([facts(per_lot="0.3"), facts(symbol="B", per_lot="0.2")])
    assert odd.units_per_lot == {("bybit", "BTCUSDT"): 3, ("bybit", "B"): 2}


def test_what_does_not_fit_is_no_instrument() -> None:
    with pytest.raises(ValueError, match="found twice"):
        universe_of([facts(), facts()])
    with pytest.raises(ValueError, match="positive tick"):
        facts(per_lot="0")
    with pytest.raises(ValueError, match="expected margin tiers"):
        facts(tiers=())
    falling = ((Decimal(1), Decimal("0.2"), Decimal("0.1")), (Decimal(2), Decimal("0.1"), Decimal("0.1")))
    with pytest.raises(ValueError, match="rise"):
        facts(tiers=falling)


@given(st.decimals("0.000001", 100_000, places=6), st.integers(1, 10**14), st.integers(1, 10**6), st.integers(1, 10**4))
def test_a_value_is_never_less_than_exact_and_hardly_more(size: Decimal, rate: int, ticks: int, lots: int) -> None:
    valuation = valuation_of(facts(per_tick_lot=str(size)), rate, rate)
    exact = Fraction(size) * rate / 10**6
    scaled = Fraction(valuation.numerator, valuation.denominator)
    assert exact <= scaled <= exact * (1 + Fraction(1, 10**6)) + (1 if exact >= 10**6 else 0)
    value = exposure.gross_value(Load(position=lots), ticks, valuation)
    assert value == -1 or value >= exact * ticks * lots


def test_a_value_that_overflows_is_unknown() -> None:
    assert exposure.gross_value(Load(position=1 << 40), 1 << 40, DOLLAR) == -1
    assert exposure.gross_value(Load(position=-(1 << 40)), 1 << 40, DOLLAR) == -1
    assert margin_need([(Load(position=1 << 40), 1, 1 << 40, DOLLAR)], 300_000) == UNKNOWN
    assert exposure.naked_value(1 << 60, UNIVERSE, {PERP.place: (1 << 40, DOLLAR)}, "BTC") == -1
    assert exposure.naked_value(1, UNIVERSE, {}, "BTC") == -1
    assert exposure.naked_value(1, UNIVERSE, {}, "DOGE") == -1


def test_the_net_position_is_priced_at_its_dearest_instrument() -> None:
    krw = valuation_of(SPOT, 700_000_000, 800_000_000)
    prices = {PERP.place: (500_000, DOLLAR), SPOT.place: (100_000_000, krw)}
    assert exposure.naked_value(100_000, UNIVERSE, prices, "BTC") == 80_000_000  # 0.001 BTC at 80,000 USD instead of 50,000


def test_a_later_order_of_a_batch_sees_the_earlier_ones() -> None:
    first = exposure_of({BTC: 1}, [], {("bybit", "main"): Equity(5, 0)}, {"BTC": None})
    second = first.with_order(OpenOrder(*BTC, Side.SELL, 9, 2)).with_order(OpenOrder(*BTC, Side.SELL, 7, 1))
    assert second.loads[BTC] == Load(1, 0, 3, 2, 0, 9, 7)
    assert second == exposure_of(
        {BTC: 1}, [OpenOrder(*BTC, Side.SELL, 9, 2), OpenOrder(*BTC, Side.SELL, 7, 1)], first.equity, {"BTC": None}
    )
    assert first.loads[BTC] == Load(1)
    assert exposure_of({BTC: 0}, [], {}, {}).loads == {}


def test_since_when_an_asset_is_naked() -> None:
    since = exposure.naked_since({}, {"BTC": 11, "ETH": 10, "XRP": -1, "SOL": 1}, {"BTC": 10, "ETH": 10, "XRP": 10}, 5)
    assert since == {"BTC": 5, "ETH": None, "XRP": 5, "SOL": 5}
    later = exposure.naked_since(since, {"BTC": 12, "ETH": 11}, {"BTC": 10, "ETH": 10}, 9)
    assert later == {"BTC": 5, "ETH": 9}
    assert exposure.naked_since(later, {"BTC": 10, "ETH": 11}, {"BTC": 10, "ETH": 10}, 12) == {"BTC": None, "ETH": 9}


def test_margin_by_hand() -> None:
    # 1,000 USD long, tiers 10 % and 5 % up to 10,000 USD.
    load = Load(position=20)
    need = margin_need([(load, 499_999, 500_000, DOLLAR)], 300_000)
    assert (need.initial, need.maintenance, need.notional, need.entry_loss) == (100_000_000, 50_000_000, 1_000_000_000, 0)
    assert need.shocked == 300_000_000 + 50_000_000
    # A short's maintenance grows with the price, here into the dearer tier: 9,000 becomes 11,700 USD.
    need = margin_need([(Load(position=-180), 499_999, 500_000, DOLLAR)], 300_000)
    assert need.shocked == 2_700_000_000 + 1_170_000_000
    assert margin_need([], 300_000) == NONE == margin_need([(NOTHING, 1, 2, DOLLAR)], 300_000)
    # Above the last tier nothing is known.
    assert margin_need([(Load(position=20_001), 499_999, 500_000, DOLLAR)], 300_000) == UNKNOWN
    # Bought a tick above the bid, sold two below the ask.
    need = margin_need([(NOTHING.with_order(Side.BUY, 500_001, 3).with_order(Side.SELL, 499_999, 2), 500_000, 500_001, DOLLAR)], 300_000)
    assert need.entry_loss == 3 * 100 + 2 * 2 * 100


@given(
    st.lists(
        st.tuples(st.integers(-40, 40), st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 9)), max_size=3)),
        max_size=2,
    ),
    st.sampled_from([100_000, 300_000]),
)
def test_no_outcome_needs_more_than_the_margin_of_the_worst_case(many: list[tuple[int, list[tuple[Side, int]]]], shock: int) -> None:
    price = 100_000_000  # ticks; a lot is worth 10,000 USD, so that every tier is in reach
    held, choices = [], []
    for position, asked in many:
        load = Load(position)
        for side, lots in asked:
            load = load.with_order(side, price, lots)
        held.append((load, price, price, DOLLAR))
        choices.append(
            [position + sum(s * n for (s, n), t in zip(asked, taken, strict=True) if t) for taken in product([0, 1], repeat=len(asked))]
        )
    need = margin_need(held, shock)
    lot = Fraction(10_000 * 1_000_000)
    worst = Fraction(0)
    for sizes in product(*choices):
        for sign in (1, -1):
            total = Fraction(0)
            for size in sizes:
                move = Fraction(sign * shock, 1_000_000)
                value = abs(size) * lot * (1 + move)
                total += -size * lot * move + value * (Fraction(1, 20) if value <= 10**10 else Fraction(1, 10))
            worst = max(worst, total)
    assert need == UNKNOWN or need.shocked >= worst


def test_facts_come_from_an_instrument() -> None:
    instrument = Instrument(
        venue="bybit",
        symbol="1000PEPEUSDT",
        base="PEPE",
        quote="USDT",
        settle="USDT",
        kind=Kind.PERPETUAL,
        quantum=Decimal("0.01"),
        lot=Decimal("0.1"),
        multiplier=Decimal(1000),
        price_rule=fixed_step("made-up", Decimal("0.01"), "made up"),
        min_price=Decimal(1),
        max_price=Decimal(1_000),
        fees=Fees(Decimal(0), Decimal(0), "base", "made up", date(2026, 1, 1)),
        margin_tiers=(MarginTier(Decimal(10), Decimal("0.1"), Decimal("0.05")),),
    )
    found = facts_of(instrument)
    assert found == facts(
        "bybit", "1000PEPEUSDT", Kind.PERPETUAL, "USDT", "0.001", "100", "PEPE", ((Decimal(10), Decimal("0.1"), Decimal("0.05")),)
    )
    inverse = msgspec.structs.replace(instrument, settle="PEPE")
    with pytest.raises(ValueError, match="expected to settle in USDT"):
        facts_of(inverse)
