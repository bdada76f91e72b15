"""The book that a feed holds, kept by compiled code: rows go in as they come out of a scan, and the rules are those of `held_book`.

Each side is a sorted array with its best level at the end, where most changes are. Any price has a place in it, as in the book of dicts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interlock.market.columns import ROW
from interlock.market.compiled import compiled, unsigned
from interlock.market.tape import Rows
from interlock.venues.feed import BookChange
from interlock.venues.held_book import HeldBook

LEVEL = np.dtype([("key", "<i8"), ("lots", "<i8")])
"""key: the price in ticks, times the side's sign, so that the best of either side is the greatest."""

_FIRST_CAPACITY = 1024


class RowBook(HeldBook):
    """A held book that also takes rows. The prices of a side of one change must differ, as every feed sees to."""

    def __init__(self, symbol: str) -> None:
        super().__init__(symbol)
        self._levels = np.zeros((2, _FIRST_CAPACITY), LEVEL)
        self._counts = np.zeros(2, np.int64)
        # Nothing is set: this compiles, so that the first frame need not wait for it.
        self._bid, self._ask, self._most = _apply(self._levels, self._counts, np.zeros(1, ROW), 0, 0, False, 0, 0)

    @property
    def best_bid(self) -> int:
        """Ticks of the best bid, 0 where there is none."""
        return self._bid

    @property
    def best_ask(self) -> int:
        """Ticks of the best ask, 0 where there is none."""
        return self._ask

    def levels(self, side: int) -> dict[int, int]:
        """The levels of a side, ticks to lots. side: +1 bid, -1 ask."""
        index = 0 if side > 0 else 1
        found = self._levels[index, : int(self._counts[index])]
        return dict(zip((found["key"] * side).tolist(), found["lots"].tolist(), strict=True))

    def lose(self) -> None:
        """Forget everything: frames are missing, or one was damaged."""
        self.usable = False
        self._counts[0] = self._counts[1] = 0
        self._bid = self._ask = self._most = 0

    def apply(self, change: BookChange) -> None:
        """Take a change. Raises Refusal as `HeldBook.apply`."""
        rows = np.zeros(len(change.bids) + len(change.asks), ROW)
        for side, some, part in ((1, change.bids, rows[: len(change.bids)]), (-1, change.asks, rows[len(change.bids) :])):
            part["side"] = side
            part["ticks"], part["lots"] = np.array(some, np.int64).reshape(-1, 2).T
        self.apply_rows(rows, 0, len(rows), change.whole, change.exchange_ns, 0)

    def apply_rows(self, rows: Rows, first: int, end: int, whole: bool, exchange_ns: int, receive_ns: int) -> None:
        """Take the levels in rows[first:end], and write both times into all of rows[:end]. Raises Refusal as `HeldBook.apply`."""
        self._begin(whole)
        if self._most + end > self._levels.shape[1]:
            larger = np.zeros((2, 2 * (self._most + end)), LEVEL)
            larger[:, : self._levels.shape[1]] = self._levels
            self._levels = larger
        self._bid, self._ask, self._most = _apply(self._levels, self._counts, rows, first, end, whole, exchange_ns, receive_ns)
        self._judge(self._bid, self._ask, self._most)


@compiled()
def _apply(
    levels: Any, counts: Any, rows: Any, first: int, end: int, whole: bool, exchange_ns: int, receive_ns: int
) -> tuple[int, int, int]:
    """Set the levels of rows; returns (best bid, best ask, levels of the longer side)."""
    for i in range(end):
        rows[unsigned(i)].exchange_ns = exchange_ns
        rows[unsigned(i)].receive_ns = receive_ns
    for i in range(first, end):
        # A whole book comes from the best outward; taken from behind, each level goes to the end and none is moved.
        row = rows[unsigned(end - 1 - (i - first) if whole else i)]
        _set(levels[0 if row.side > 0 else 1], counts, 0 if row.side > 0 else 1, row.ticks * row.side, row.lots)
    bid = levels[0, unsigned(counts[0] - 1)].key if counts[0] > 0 else 0
    ask = -levels[1, unsigned(counts[1] - 1)].key if counts[1] > 0 else 0
    return bid, ask, max(counts[0], counts[1])


@compiled(inline=True)
def _set(side: Any, counts: Any, index: int, key: int, lots: int) -> None:
    """Set one level of a side: replace, insert, or with 0 lots delete it."""
    count = counts[unsigned(index)]
    low = 0
    high = count
    while low < high:
        middle = (low + high) >> 1
        if side[unsigned(middle)].key < key:
            low = middle + 1
        else:
            high = middle
    known = low < count and side[unsigned(low)].key == key
    if lots > 0:
        if not known:
            for i in range(count, low, -1):
                side[unsigned(i)].key = side[unsigned(i - 1)].key
                side[unsigned(i)].lots = side[unsigned(i - 1)].lots
            side[unsigned(low)].key = key
            counts[unsigned(index)] = count + 1
        side[unsigned(low)].lots = lots
    elif known:
        for i in range(low, count - 1):
            side[unsigned(i)].key = side[unsigned(i + 1)].key
            side[unsigned(i)].lots = side[unsigned(i + 1)].lots
        counts[unsigned(index)] = count - 1
