"""A seeded market: books, trades and marks of one venue's symbols that move at random around prices shared by all venues.

One fundamental price for each coin wanders; each venue quotes it with its own small premium. The same seed gives the same market. It is made to be
plausible to a client (a full book on each side, never crossed, never empty), not to teach anybody about profit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

import numpy as np

from interlock.domain.instruments import Instrument, ceiling
from interlock.domain.orders import Side
from interlock.market.columns import ROW, RowKind

LEVELS = 60
"""Levels a side; the fewest that are ever shown are a few less, while the price moves."""
STEP_S = 0.1

USD_PRICES = {"BTC": 62_000.0, "ETH": 3_100.0, "XRP": 2.2, "SOL": 150.0, "DOGE": 0.2, "ADA": 0.7, "USDT": 1.0}
KRW_PER_USD = 1_452.0
VOLATILITY = 0.6
"""A year's, as a fraction, of every coin but the dollar ones."""
_YEAR_S = 365 * 86_400


class Fundamentals:
    """The wandering price of each coin in USD, and KRW for a USD; advanced by `step`, read by every venue's market."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, *b"fundamentals"])
        self.usd = dict(USD_PRICES)
        self.krw_per_usd = KRW_PER_USD

    def step(self, seconds: float) -> None:
        """Let time pass."""
        scale = VOLATILITY * math.sqrt(seconds / _YEAR_S)
        for coin in self.usd:
            if coin != "USDT":
                first = USD_PRICES[coin]
                # Kept within a band around where it began, so that a long run stays within the ladders.
                moved = self.usd[coin] * math.exp(scale * self._random.normal(0, 1))
                self.usd[coin] = min(max(moved, first * 0.85), first * 1.15)
        self.krw_per_usd = min(max(self.krw_per_usd * math.exp(0.1 * scale * self._random.normal(0, 1)), 1_350.0), 1_550.0)

    def price(self, instrument: Instrument) -> float:
        """The fundamental price of an instrument, in its quote currency."""
        usd = self.usd[instrument.base] * float(instrument.multiplier)
        return usd * self.krw_per_usd if instrument.quote == "KRW" else usd


@dataclass(slots=True)
class _Side:
    """One side of a book that we make: sizes by tick, and the best of them."""

    sign: int
    lots: dict[int, int] = field(default_factory=dict)

    def best(self) -> int:
        return max(self.lots) if self.sign > 0 else min(self.lots)


class SeededMarket:
    """The rows of one venue's symbols, step by step. `instruments` are numbered by their place."""

    def __init__(self, instruments: Sequence[Instrument], fundamentals: Fundamentals, seed: int, day: date) -> None:
        self.instruments = tuple(instruments)
        self._fundamentals = fundamentals
        self._day = day
        self._random = np.random.default_rng([seed, *instruments[0].venue.encode()])
        self._premium = [self._random.uniform(-2e-4, 2e-4) for _ in instruments]
        self._books = [(_Side(1), _Side(-1)) for _ in instruments]
        self._further: list[dict[tuple[int, int], int]] = [{} for _ in instruments]
        """By instrument: the next price outward of (side, ticks), as far as it was asked for. Prices stay within a band, and so does this."""

    def around(self) -> dict[str, Decimal]:
        """The price around which each symbol is quoted at first."""
        return {i.symbol: self._on_grid(i, self._fundamentals.price(i)) for i in self.instruments}

    def first(self) -> np.ndarray:
        """The rows that fill every book, and the first marks."""
        rows: list[tuple[int, int, int, int, int]] = []
        for k, instrument in enumerate(self.instruments):
            self._requote(k, instrument, rows)
            self._mark(k, instrument, rows)
        return _rows(rows)

    def dislocate(self, symbol: str, fraction: float) -> bool:
        """Put a symbol's price so far apart from the fundamental one, from the next step on; what is between them goes by as premiums do, a
        hundredth a step. False for a symbol that is not here."""
        for k, instrument in enumerate(self.instruments):
            if instrument.symbol == symbol:
                self._premium[k] += fraction
                return True
        return False

    def step(self) -> np.ndarray:
        """The rows of the next STEP_S seconds; the fundamentals are stepped by whoever owns them."""
        rows: list[tuple[int, int, int, int, int]] = []
        for k, instrument in enumerate(self.instruments):
            self._premium[k] += self._random.normal(0, 5e-6) - 0.01 * self._premium[k]
            self._requote(k, instrument, rows)
            self._refill(k, rows)
            if self._random.random() < 0.5:
                self._trade(k, instrument, rows)
            if self._random.random() < 0.1:
                self._mark(k, instrument, rows)
        return _rows(rows)

    def _requote(self, k: int, instrument: Instrument, rows: list[tuple[int, int, int, int, int]]) -> None:
        """Move the book to where the price is now: levels that are in the way go, new ones come at both ends."""
        bids, asks = self._books[k]
        fair = self._fundamentals.price(instrument) * (1 + self._premium[k])
        low = self._on_grid(instrument, fair)
        step = instrument.price_step(low, self._day)
        best_bid, best_ask = instrument.ticks(low), instrument.ticks(low + step)
        ladders = [(side, self._ladder(k, best, side.sign)) for side, best in ((bids, best_bid), (asks, best_ask))]
        for side, wanted in ladders:
            for ticks in [t for t in side.lots if t not in wanted]:
                del side.lots[ticks]
                rows.append((k, RowKind.DEPTH, side.sign, ticks, 0))
        # Both sides have let go before either reaches out, so that the book never crosses.
        for side, wanted in ladders:
            for ticks in wanted:
                if ticks not in side.lots:
                    self._set(k, side, ticks, self._size(instrument), rows)

    def _refill(self, k: int, rows: list[tuple[int, int, int, int, int]]) -> None:
        for side in self._books[k]:
            for at in self._random.integers(len(side.lots), size=4):
                ticks = list(side.lots)[at]
                self._set(k, side, ticks, self._size(self.instruments[k]), rows)

    def _trade(self, k: int, instrument: Instrument, rows: list[tuple[int, int, int, int, int]]) -> None:
        taker = Side.BUY if self._random.random() < 0.5 else Side.SELL
        side = self._books[k][1 if taker is Side.BUY else 0]
        best = side.best()
        lots = min(self._size(instrument), side.lots[best])
        rows.append((k, RowKind.TRADE, int(taker), best, lots))
        # What the trade took is quoted again by somebody else: a level never vanishes by trades alone.
        left = side.lots[best] - lots
        self._set(k, side, best, left or self._size(instrument), rows)

    def _mark(self, k: int, instrument: Instrument, rows: list[tuple[int, int, int, int, int]]) -> None:
        ticks = instrument.ticks(self._on_grid(instrument, self._fundamentals.price(instrument)))
        rows.append((k, RowKind.MARK, 0, ticks, 0))

    def _set(self, k: int, side: _Side, ticks: int, lots: int, rows: list[tuple[int, int, int, int, int]]) -> None:
        side.lots[ticks] = lots
        rows.append((k, RowKind.DEPTH, side.sign, ticks, lots))

    def _ladder(self, k: int, best: int, sign: int) -> dict[int, None]:
        """The ticks of LEVELS prices from the best outward, each on the price step in force there."""
        instrument, further = self.instruments[k], self._further[k]
        lowest = ceiling(instrument.min_price, instrument.quantum)
        found: dict[int, None] = {}
        ticks = best
        while len(found) < LEVELS and ticks >= lowest:
            found[ticks] = None
            after = further.get((sign, ticks))
            if after is None:
                after = further[sign, ticks] = self._outward(instrument, ticks, sign)
            ticks = after
        return found

    def _outward(self, instrument: Instrument, ticks: int, sign: int) -> int:
        """The next price of the grid below a bid or above an ask."""
        price = instrument.price(ticks)
        step = instrument.price_step(price if sign < 0 else price - instrument.quantum, self._day)
        return instrument.ticks(price - step if sign > 0 else price + step)

    def _size(self, instrument: Instrument) -> int:
        """A size worth a few hundred to some ten thousand dollars."""
        usd = math.exp(self._random.normal(8.5, 1.0))
        lot_usd = float(instrument.lot * instrument.multiplier) * self._fundamentals.usd[instrument.base]
        return max(instrument.min_lots, int(usd / lot_usd), 1)

    def _on_grid(self, instrument: Instrument, price: float) -> Decimal:
        exact = Decimal(repr(price))
        step = instrument.price_step(exact, self._day)
        return exact // step * step


def _rows(found: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    rows = np.zeros(len(found), ROW)
    if found:
        rows["instrument"], rows["kind"], rows["side"], rows["ticks"], rows["lots"] = zip(*found, strict=True)
    return rows
