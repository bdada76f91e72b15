"""Axes and series for charts: where ticks go, how a long series is thinned without losing its extremes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.evidence.report_data import Floats, Times
from interlock.evidence.report_numbers import fixed

_DAY_S = 86_400
_TIME_STEPS_NS = (
    *(n * NS_PER_MS for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(n * NS_PER_S for n in (1, 2, 5, 10, 15, 30)),
    *(n * 60 * NS_PER_S for n in (1, 2, 5, 10, 15, 30)),
    *(n * 3600 * NS_PER_S for n in (1, 2, 3, 6, 12)),
    *(n * _DAY_S * NS_PER_S for n in (1, 2, 7, 14, 28, 91, 182, 364, 728, 1820, 3640)),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A straight line from values [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def value_range(parts: list[Floats], extra: list[float]) -> tuple[float, float]:
    """A range that holds every finite value with some air around; never empty."""
    finite = [part[np.isfinite(part)] for part in parts]
    values = np.concatenate([*finite, np.array([e for e in extra if math.isfinite(e)], np.float64)])
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    # Below a millionth of the values themselves a difference is rounding, not movement.
    if high - low <= max(abs(low), abs(high)) * 1e-9:
        air = max(abs(low) * 0.001, 1e-9) if low else 1.0
    else:
        air = (high - low) * 0.07
    return low - air, high + air


def value_ticks(low: float, high: float, about: int) -> tuple[list[float], int]:
    """Round values within a range, about that many, and the decimals that tell them apart."""
    raw = (high - low) / max(1, about)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    ticks = []
    while (value := first * step) <= high + step * 1e-9:
        ticks.append(value if abs(value) > step * 1e-6 else 0.0)
        first += 1
    return ticks, max(0, min(15, -math.floor(math.log10(step) + 1e-9)))


def tick_text(value: float, digits: int) -> str:
    """A tick's label."""
    return f"{value:.2e}" if abs(value) >= 1e12 else fixed(value, digits)


def time_ticks(low_ns: int, high_ns: int, about: int) -> tuple[list[int], int]:
    """Round times (UTC) within a range, at most `about` and one more, and the step between them."""
    span = max(1, high_ns - low_ns)
    step = next((s for s in _TIME_STEPS_NS if span / s <= about), _TIME_STEPS_NS[-1])
    first = -(-low_ns // step) * step
    return list(range(first, high_ns + 1, step)), step


def thin(ns: Times, values: Floats, points: int) -> tuple[Times, Floats]:
    """At most about `points` of a series: the least and the greatest value of each slice of time, and both ends.

    A slice without any value stays as one nan, so that gaps wider than a slice (span / (points / 2)) stay visible.
    """
    n = len(ns)
    if n <= points:
        return ns, values
    slices = max(1, points // 2 - 1)
    span = float(ns[-1] - ns[0]) or 1.0
    which = np.minimum((ns - ns[0]).astype(np.float64) / span * slices, slices - 1).astype(np.int64)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(which)) + 1, [n]])
    usable = np.isfinite(values)
    lows = np.where(usable, values, np.inf)
    highs = np.where(usable, values, -np.inf)
    keep = {0, n - 1}
    for a, b in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        if usable[a:b].any():
            keep.add(a + int(np.argmin(lows[a:b])))
            keep.add(a + int(np.argmax(highs[a:b])))
        else:
            keep.add(a)
    chosen = np.array(sorted(keep))
    return ns[chosen], values[chosen]


def thin_marks(count: int, most: int) -> list[int]:
    """Which of `count` marks to show when at most `most` fit: evenly spread, first and last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})


def last_known(ns: Times, values: Floats, at: int) -> float:
    """The value in force at a time: of the last entry not after it; nan before the first."""
    place = int(np.searchsorted(ns, at, side="right")) - 1
    return float(values[place]) if place >= 0 else math.nan
