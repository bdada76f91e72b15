"""Exact arithmetic: integer sums that cannot overflow unseen, and one Decimal context in which sums and products lose nothing.

Ticks and lots stay integers until an instrument's units are applied. Prices meet as *twice* a price in ticks, so that a mid is whole.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from decimal import Context, Decimal, DivisionByZero, InvalidOperation, Overflow, localcontext
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

P = ParamSpec("P")
R = TypeVar("R")

DIGITS = 100
"""More than any sum of products of this package needs: 19 digits of ticks, 19 of lots, 9 of count, units and rates of 40."""

SAFE = float(1 << 62)
RATE_PLACES = 12
"""Funding rates on a tape are whole multiples of 1e-12."""

Ints = npt.NDArray[Any]
"""int64, or Python integers (dtype object) where int64 could overflow."""

PerCurrency = Mapping[str, Decimal]
"""Amounts by currency code. Currencies meet only in `translate`."""


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function under the exact context (100 digits; a signal on anything undefined)."""

    @functools.wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(Context(prec=DIGITS, traps=[InvalidOperation, DivisionByZero, Overflow])):
            return function(*args, **kwargs)

    return inner


def _largest(values: Ints) -> float:
    return float(max(abs(int(values.max())), abs(int(values.min())))) if len(values) else 0.0


def times(left: Ints, right: Ints) -> Ints:
    """Element-wise product, in Python integers where int64 might not hold it."""
    if left.dtype == object or right.dtype == object or _largest(left) * _largest(right) >= SAFE:
        product: Ints = left.astype(object) * right.astype(object)
        return product
    return left.astype(np.int64) * right.astype(np.int64)


def total(values: Ints) -> int:
    """The sum as a Python integer."""
    if len(values) == 0:
        return 0
    if values.dtype != object and _largest(values) * len(values) < SAFE:
        return int(values.sum())
    return sum(int(v) for v in values)


def running(values: Ints) -> Ints:
    """Cumulative sums, in Python integers where int64 might not hold them."""
    if len(values) and (values.dtype == object or _largest(values) * len(values) >= SAFE):
        return np.cumsum(values.astype(object))
    return np.cumsum(values.astype(np.int64))


def added(*parts: PerCurrency) -> dict[str, Decimal]:
    """The sum of amounts, each currency on its own."""
    result: dict[str, Decimal] = {}
    for part in parts:
        for code, amount in part.items():
            result[code] = result.get(code, Decimal(0)) + amount
    return result


def decimal_sum(values: Iterable[Decimal]) -> Decimal:
    """The sum, as a Decimal also where there is nothing to add."""
    return sum(values, Decimal(0))


def plain(value: Decimal, places: int = 18) -> str:
    """A Decimal as text without exponent, at most `places` digits after the point, no trailing zeros."""
    rounded = round(value, places)
    text = f"{rounded:f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in {"-0", ""} else text
