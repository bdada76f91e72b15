"""The numeric limits: the gate's Python and the replay's machine code are one source and must agree on every order that can be sent."""

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba.extending import register_jitable

from interlock.gate import limits
from interlock.market.compiled import compiled
from interlock.simulate import gate_limits

LARGEST = 1 << 53
"""Ticks and lots above it make no order: the wire's own side denies them before any of these functions."""

lots = st.integers(0, LARGEST) | st.sampled_from([0, 1, LARGEST - 1, LARGEST])
signed = st.integers(-(64 * LARGEST), 64 * LARGEST) | st.sampled_from([0, 64 * LARGEST, -64 * LARGEST])
any_int = st.integers(-(2**63) + 1, 2**63 - 1) | st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**62, 2**63 - 1, -(2**63) + 1])
side = st.sampled_from([1, -1])


@compiled()
def compiled_exceeds_position(position: int, buys: int, sells: int, side: int, lots: int, cap: int) -> Any:
    return gate_limits.exceeds_position(position, buys, sells, side, lots, cap)


@compiled()
def compiled_exceeds_collar(side: int, ticks: int, reference: int, collar: int) -> Any:
    return gate_limits.exceeds_collar(side, ticks, reference, collar)


@compiled()
def compiled_budget_left(limit: int, used: int, reserve: int, cancel: bool) -> Any:
    return gate_limits.budget_left(limit, used, reserve, cancel)


@compiled()
def compiled_product_overflows(a: int, b: int) -> Any:
    return limits.product_overflows(a, b)


@given(signed, signed.map(abs), signed.map(abs), side, lots, any_int)
def test_position(position: int, buys: int, sells: int, side: int, lots: int, cap: int) -> None:
    expected = limits.exceeds_position(position, buys, sells, side, lots, cap)
    assert compiled_exceeds_position(position, buys, sells, side, lots, cap) == expected
    worst = position + buys + lots if side > 0 else -(position - sells - lots)
    assert expected == (worst > cap)


@given(side, lots, st.integers(-1, 2 * LARGEST), any_int.map(abs))
def test_collar(side: int, ticks: int, reference: int, collar: int) -> None:
    expected = limits.exceeds_collar(side, ticks, reference, collar)
    assert compiled_exceeds_collar(side, ticks, reference, collar) == expected
    if reference <= 0:
        assert expected
    elif (2 * ticks - reference) * side <= 0:
        assert not expected
    elif (2 * ticks - reference) * side * 1_000_000 > reference * collar:
        assert expected


@given(any_int, any_int)
def test_overflow_of_a_product(a: int, b: int) -> None:
    expected = limits.product_overflows(a, b)
    assert compiled_product_overflows(a, b) == expected
    if not expected:
        assert abs(a * b) <= 2**62
    elif abs(a * b) < 2**61:
        pytest.fail(f"{a} x {b} fits easily")


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.booleans())
def test_budget(limit: int, used: int, reserve: int, cancel: bool) -> None:
    expected = limits.budget_left(limit, used, reserve, cancel)
    assert compiled_budget_left(limit, used, reserve, cancel) == expected
    assert expected == limit - used - (0 if cancel else reserve)


@pytest.mark.parametrize("exceeds", [limits.exceeds_position, compiled_exceeds_position])
def test_every_open_order_counts_as_filled_on_its_side_and_none_on_the_other(exceeds: Callable[..., bool]) -> None:
    assert not exceeds(3, 4, 100, 1, 3, 10)
    assert exceeds(3, 4, 100, 1, 4, 10)
    assert not exceeds(-3, 100, 4, -1, 3, 10)
    assert exceeds(-3, 100, 4, -1, 4, 10)
    # Beyond the cap, what shrinks the position passes.
    assert not exceeds(50, 0, 0, -1, 10, 10)
    assert exceeds(50, 0, 0, 1, 1, 10)


@pytest.mark.parametrize("exceeds", [limits.exceeds_collar, compiled_exceeds_collar])
def test_the_collar_is_about_the_costly_side(exceeds: Callable[..., bool]) -> None:
    # 1 % around a mid of 1,000.
    assert not exceeds(1, 1_010, 2_000, 10_000)
    assert exceeds(1, 1_011, 2_000, 10_000)
    assert not exceeds(1, 1, 2_000, 10_000)
    assert not exceeds(-1, 990, 2_000, 10_000)
    assert exceeds(-1, 989, 2_000, 10_000)
    assert exceeds(1, 1_000, 0, 10_000)


def test_the_module_imports_nothing() -> None:
    source = limits.__file__
    assert source is not None
    with open(source, encoding="utf-8") as text:
        assert not any(line.startswith(("import ", "from ")) for line in text)
    assert np.iinfo(np.int64).max > 64 * LARGEST * 2


for _function in (limits.product_overflows, limits.outside, limits.product_up, limits.range_millionths):
    register_jitable(_function)


@compiled()
def compiled_outside(value: int, bound: int) -> Any:
    return limits.outside(value, bound)


@compiled()
def compiled_product_up(a: int, b: int, numerator: int, denominator: int) -> Any:
    return limits.product_up(a, b, numerator, denominator)


@compiled()
def compiled_widest(low: int, high: int) -> Any:
    return widest_jitted(low, high)


@compiled()
def compiled_tightening(volatility: int, table: tuple[tuple[int, int], ...]) -> Any:
    return tightening_jitted(volatility, table)


@compiled()
def compiled_tightened(bound: int, factor: int) -> Any:
    return tightened_jitted(bound, factor)


@compiled()
def compiled_range(low: int, high: int) -> Any:
    return limits.range_millionths(low, high)


@compiled()
def compiled_margin_of(notional: int, tiers: tuple[tuple[int, int], ...]) -> Any:
    return margin_of_jitted(notional, tiers)


@compiled()
def compiled_distance(equity: int, maintenance: int, notional: int) -> Any:
    return distance_jitted(equity, maintenance, notional)


widest_jitted = register_jitable(limits.widest)
tightening_jitted = register_jitable(limits.tightening)
tightened_jitted = register_jitable(limits.tightened)
margin_of_jitted = register_jitable(limits.margin_of)
distance_jitted = register_jitable(limits.liquidation_distance_millionths)
money = st.integers(-(10**9), 10**15) | any_int.map(lambda n: n // 2)
point = st.tuples(st.integers(0, 10_000), st.integers(1, 1_000_000))


@given(any_int, any_int)
def test_outside(value: int, bound: int) -> None:
    expected = limits.outside(value, bound)
    assert compiled_outside(value, bound) == expected
    assert expected == (value < 0 or value > bound)


@given(money, money, st.integers(-1, 10**8), st.integers(-1, 10**6))
def test_a_product_rounds_up_or_is_refused(a: int, b: int, numerator: int, denominator: int) -> None:
    found = limits.product_up(a, b, numerator, denominator)
    assert compiled_product_up(a, b, numerator, denominator) == found
    if min(a, b, numerator) < 0 or denominator <= 0:
        assert found == -1
    elif found >= 0:
        exact = Fraction(a * b * numerator, denominator)
        assert 0 <= found - exact < 1 + exact / 10**9
    else:
        assert a * b * max(1, numerator) > limits.MAX_PRODUCT


@given(st.integers(1, 10**11), st.integers(10**6, 2 * 10**8), st.integers(10**6, 10**7), st.integers(9, 15))
def test_the_worth_of_coins_in_won_can_be_reckoned(lots: int, ticks: int, numerator: int, tens: int) -> None:
    """Sizes in 10^-8 of a coin at prices of a hundred million won: up to a thousand coins, and never less than exact."""
    if lots * ticks > limits.MAX_PRODUCT:
        assert limits.product_up(lots, ticks, numerator, 10**tens) == -1
        return
    found, exact = limits.product_up(lots, ticks, numerator, 10**tens), Fraction(lots * ticks * numerator, 10**tens)
    assert compiled_product_up(lots, ticks, numerator, 10**tens) == found
    assert exact <= found < 1 + exact * (1 + Fraction(1, 10**9))


@given(signed, signed)
def test_the_widest_end_of_an_interval(low: int, high: int) -> None:
    assert limits.widest(low, high) == compiled_widest(low, high) == max(low, -low, high, -high)


@given(st.integers(-5, 12_000), st.integers(0, 100), point, point, point)
def test_tightening_follows_its_line_and_never_rises(
    at: int, step: int, first: tuple[int, int], second: tuple[int, int], third: tuple[int, int]
) -> None:
    ranges = sorted({first[0], second[0], third[0]})
    factors = sorted([first[1], second[1], third[1]], reverse=True)
    table = tuple(zip(ranges, factors, strict=False))
    found = limits.tightening(at, table)
    assert compiled_tightening(at, table) == found
    assert factors[-1] <= found <= factors[0]
    if at >= 0:
        assert limits.tightening(at + step, table) <= found
        assert limits.tightening(-1, table) <= found


def test_tightening_by_hand() -> None:
    table = ((100, 1_000_000), (200, 500_000))
    assert [limits.tightening(at, table) for at in (0, 100, 101, 150, 200, 10**9)] == [
        1_000_000,
        1_000_000,
        995_000,
        750_000,
        500_000,
        500_000,
    ]
    assert limits.tightening(-1, table) == 500_000


@given(any_int, st.integers(-1, 1_000_001))
def test_a_bound_is_only_ever_tightened(bound: int, factor: int) -> None:
    found = limits.tightened(bound, factor)
    assert compiled_tightened(bound, factor) == found
    if bound >= 0 and 0 < factor <= 1_000_000:
        assert found == bound * factor // 1_000_000
    else:
        assert found == 0


@given(money, money)
def test_a_range_in_millionths_of_its_low_end(low: int, high: int) -> None:
    found = limits.range_millionths(low, high)
    assert compiled_range(low, high) == found
    if not 0 < low <= high:
        assert found == -1
    elif found >= 0:
        assert 0 <= found - Fraction((high - low) * 1_000_000, low) < 1


@given(st.integers(-1, 10**12))
def test_margin_of_a_notional(notional: int) -> None:
    tiers = ((10**9, 5_000), (10**11, 20_000))
    found = limits.margin_of(notional, tiers)
    assert compiled_margin_of(notional, tiers) == found
    if notional < 0 or notional > 10**11:
        assert found == -1
    else:
        rate = 5_000 if notional <= 10**9 else 20_000
        assert found == -(-notional * rate // 1_000_000)


@given(money, money, money)
def test_the_distance_to_liquidation(equity: int, maintenance: int, notional: int) -> None:
    found = limits.liquidation_distance_millionths(equity, maintenance, notional)
    assert compiled_distance(equity, maintenance, notional) == found
    if found > 0 and notional > 0:
        # After a move of that size the loss and the grown maintenance are still covered.
        move = Fraction(found, 1_000_000)
        assert equity - move * notional >= maintenance * (1 + move)
    if found == -1 and maintenance >= 0 and notional >= 0:
        assert equity < maintenance or (equity - maintenance) * 1_000_000 > limits.MAX_PRODUCT
    if notional == 0 and 0 <= maintenance <= equity:
        assert found == 1_000_000
