"""A simulated venue's market that is somebody else's: what a live public feed tells happens here at once, so that our orders meet the real book.

Whole books are turned into what changed, since a queue that is emptied and filled again would forget who stood before us. What cannot be known is not
made up: while the feed is lost or stale the market takes no orders, and nothing executes in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal

import numpy as np

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind
from interlock.venues.feed import BookChange, Event, Mark, Trade

Sides = tuple[dict[int, int], dict[int, int]]
"""Bids and asks of a book, ticks to lots."""


class FollowDrive:
    """The rows of a followed market (`Drive`). `books` are whole books of every symbol to begin with; no side of one may be empty."""

    def __init__(self, instruments: Sequence[Instrument], books: Mapping[str, Sides]) -> None:
        self.instruments = tuple(instruments)
        self._numbers = {instrument.symbol: k for k, instrument in enumerate(self.instruments)}
        self._held: dict[str, Sides] = {symbol: (dict(bids), dict(asks)) for symbol, (bids, asks) in books.items()}

    def around(self) -> dict[str, Decimal]:
        """The middle of each book."""
        found = {}
        for instrument in self.instruments:
            bids, asks = self._held[instrument.symbol]
            found[instrument.symbol] = instrument.price((max(bids) + min(asks)) // 2)
        return found

    def first(self) -> np.ndarray:
        """The rows that fill the books; the mark is the middle until one is told."""
        rows: list[tuple[int, int, int, int, int]] = []
        for instrument in self.instruments:
            bids, asks = self._held[instrument.symbol]
            k = self._numbers[instrument.symbol]
            rows += [(k, RowKind.DEPTH, 1, ticks, lots) for ticks, lots in bids.items()]
            rows += [(k, RowKind.DEPTH, -1, ticks, lots) for ticks, lots in asks.items()]
            rows.append((k, RowKind.MARK, 0, (max(bids) + min(asks)) // 2, 0))
        return _rows(rows)

    def step(self) -> np.ndarray:
        """Nothing happens by itself."""
        return np.zeros(0, ROW)

    def told(self, events: Sequence[Event]) -> np.ndarray:
        """The rows of what a frame said, in its order. Events of other symbols are left out."""
        rows: list[tuple[int, int, int, int, int]] = []
        for event in events:
            k = self._numbers.get(event.symbol)
            if k is None:
                continue
            if isinstance(event, BookChange):
                for side, held, levels in zip((1, -1), self._held[event.symbol], (event.bids, event.asks), strict=True):
                    rows += [(k, RowKind.DEPTH, side, ticks, lots) for ticks, lots in _changed(held, levels, whole=event.whole)]
            elif isinstance(event, Trade):
                kind = RowKind.TRADE if event.in_book else RowKind.BLOCK_TRADE
                rows.append((k, kind, event.side, event.ticks, event.lots))
            elif isinstance(event, Mark):
                rows.append((k, RowKind.MARK, 0, event.ticks, 0))
        return _rows(rows)


def _changed(held: dict[int, int], levels: Sequence[tuple[int, int]], *, whole: bool) -> list[tuple[int, int]]:
    """What differs from what is held, which then holds it too; levels that are gone first, so that a book that moved does not cross itself."""
    said = dict(levels)
    if whole:
        said = {ticks: 0 for ticks in held if ticks not in said} | said
    found = [(ticks, lots) for ticks, lots in said.items() if held.get(ticks, 0) != lots]
    for ticks, lots in found:
        if lots:
            held[ticks] = lots
        else:
            held.pop(ticks, None)
    return sorted(found, key=lambda level: level[1] > 0)


def _rows(found: list[tuple[int, int, int, int, int]]) -> np.ndarray:
    rows = np.zeros(len(found), ROW)
    if found:
        rows["instrument"], rows["kind"], rows["side"], rows["ticks"], rows["lots"] = zip(*found, strict=True)
    return rows
