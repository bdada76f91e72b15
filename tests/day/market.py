"""A small seeded market for one perpetual: the price wanders in ticks, a few levels stand on each side, trades take from the best."""

from __future__ import annotations

import random
from decimal import Decimal

import numpy as np

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind

FIRST_TICKS = 620_000
LEVELS = 3
APART_TICKS = 10
GAP_TICKS = 2
FARTHEST = 0.04
"""How far the price may wander from the first, as a fraction: the matching model's ladder is laid out once."""


class Wandering:
    """A `Drive` of one instrument. `calm_ticks` is the spread of a step; `jump` lets the next one go far."""

    def __init__(self, instrument: Instrument, seed: int, calm_ticks: float) -> None:
        self.instruments: tuple[Instrument, ...] = (instrument,)
        self._random = random.Random(seed)
        self._calm_ticks = calm_ticks
        self._middle = float(FIRST_TICKS)
        self._shown: dict[tuple[int, int], int] = {}
        self.jumps: list[int] = []

    def around(self) -> dict[str, Decimal]:
        """The price at first."""
        return {one.symbol: one.price(FIRST_TICKS) for one in self.instruments}

    def first(self) -> np.ndarray:
        """The rows that fill the book."""
        return self._rows([*self._moved(), (RowKind.MARK, 0, FIRST_TICKS, 0)])

    def step(self) -> np.ndarray:
        """A move of the price, now and then a trade, and the mark."""
        pull = (FIRST_TICKS - self._middle) * 1e-4
        jump = self.jumps.pop(0) if self.jumps else 0
        low, high = FIRST_TICKS * (1 - FARTHEST), FIRST_TICKS * (1 + FARTHEST)
        self._middle = min(max(self._middle + self._random.gauss(pull, self._calm_ticks) + jump, low), high)
        found = self._moved()
        if self._random.random() < 0.25:
            side = 1 if self._random.random() < 0.5 else -1
            best = min(t for s, t in self._shown if s < 0) if side > 0 else max(t for s, t in self._shown if s > 0)
            found.append((RowKind.TRADE, side, best, self._random.randint(1, 20)))
        found.append((RowKind.MARK, 0, round(self._middle), 0))
        return self._rows(found)

    def _moved(self) -> list[tuple[int, int, int, int]]:
        bid = round(self._middle)
        wanted = {(1, bid - at * APART_TICKS) for at in range(LEVELS)} | {(-1, bid + GAP_TICKS + at * APART_TICKS) for at in range(LEVELS)}
        gone = sorted(self._shown.keys() - wanted)
        for key in gone:
            del self._shown[key]
        # Something changes at every step, as it does in a market that lives.
        fresh = [(side, ticks, self._random.randint(50, 400)) for side, ticks in sorted(wanted) if (side, ticks) not in self._shown]
        if not fresh:
            side, ticks = max(self._shown)
            fresh = [(side, ticks, self._random.randint(50, 400))]
        self._shown |= {(side, ticks): lots for side, ticks, lots in fresh}
        depth = int(RowKind.DEPTH)
        return [(depth, *key, 0) for key in gone] + [(depth, *one) for one in fresh]

    @property
    def middle(self) -> float:
        """The price, ticks."""
        return self._middle

    @staticmethod
    def _rows(found: list[tuple[int, int, int, int]]) -> np.ndarray:
        rows = np.zeros(len(found), ROW)
        rows["kind"], rows["side"], rows["ticks"], rows["lots"] = zip(*found, strict=True)
        return rows
