"""The numeric limits: the gate's Python and the replay's machine code are one source and must agree on every order that can be sent."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
