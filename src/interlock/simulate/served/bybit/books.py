"""The books that Bybit tells: for each depth of each symbol the levels as last told, an update id that rises by one, and the differences between.

The REST book is that of the 1000-level stream, with its update id. Depth 1 is told whole each time, and again after three seconds of nothing new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.simulate.floor import Levels
from interlock.simulate.served.bybit.envelope import shown
from interlock.simulate.served.venue import SimVenue

DEPTHS: Final = (1, 50, 200, 1000)
REST_DEPTH: Final = 1000
IDLE_MS: Final = 3_000
_FIRST_UPDATE: Final = 1_000_000


@dataclass(slots=True)
class Book:
    """One depth of one symbol, as everyone who follows it has it."""

    symbol: str
    depth: int
    bids: dict[int, int] = field(default_factory=dict)
    asks: dict[int, int] = field(default_factory=dict)
    update: int = _FIRST_UPDATE
    seq: int = 0
    told_ms: int = 0
    matched_ms: int = 0

    @property
    def topic(self) -> str:
        """The name of the stream."""
        return f"orderbook.{self.depth}.{self.symbol}"


class Books:
    """Every book that somebody asked for. `seq` rises with whatever happens in any of them."""

    def __init__(self, venue: SimVenue) -> None:
        self._venue = venue
        self._books: dict[tuple[str, int], Book] = {}
        self.seq = 7_000_000_000

    def book(self, symbol: str, depth: int) -> Book:
        """The book of a symbol at a depth; begins to be followed when it is first asked for."""
        found = self._books.get((symbol, depth))
        if found is None:
            found = self._books[symbol, depth] = Book(symbol, depth)
            self._renew(found)
        return found

    def snapshot(self, book: Book) -> dict[str, Any]:
        """The message that replaces whatever a client has."""
        levels = self.whole(book, book.depth)
        return self._message(book, "snapshot", levels)

    def whole(self, book: Book, count: int) -> dict[str, Any]:
        """The levels of a book as last told, with its numbers."""
        instrument = self._venue.market(book.symbol).instrument
        bids = sorted(book.bids.items(), reverse=True)[:count]
        return _data(instrument, book, bids, sorted(book.asks.items())[:count])

    def due(self, symbols: Iterable[str], *, even: bool) -> list[tuple[Book, dict[str, Any]]]:
        """What is to be told of the books of these symbols; those of 1000 levels are told every other time, which `even` says."""
        found = []
        now_ms = self._venue.now_ms()
        chosen = set(symbols)
        for book in self._books.values():
            if book.depth == REST_DEPTH and not even:
                continue
            message = self._delta(book) if book.symbol in chosen else None
            if message is None and book.depth == 1 and now_ms - book.told_ms >= IDLE_MS:
                message = self.snapshot(book)
            if message is not None:
                book.told_ms = now_ms
                found.append((book, message))
        return found

    def restart(self) -> list[tuple[Book, dict[str, Any]]]:
        """Begin anew, as after a restart of the venue's service: snapshots whose update id is one."""
        found = []
        for book in self._books.values():
            self._renew(book)
            book.update = 1
            found.append((book, self.snapshot(book)))
        return found

    def next_seq(self) -> int:
        """The next cross sequence number."""
        self.seq += 1
        return self.seq

    def _renew(self, book: Book) -> None:
        bids, asks = self._venue.levels(book.symbol, book.depth)
        book.bids, book.asks = dict(bids), dict(asks)
        book.seq, book.told_ms = self.next_seq(), self._venue.now_ms()
        book.matched_ms = book.told_ms

    def _delta(self, book: Book) -> dict[str, Any] | None:
        bids, asks = (dict(side) for side in self._venue.levels(book.symbol, book.depth))
        changed_bids, changed_asks = _changes(book.bids, bids), _changes(book.asks, asks)
        if not (changed_bids or changed_asks):
            return None
        book.bids, book.asks = bids, asks
        book.update += 1
        book.seq, book.matched_ms = self.next_seq(), self._venue.now_ms()
        if book.depth == 1:
            return self.snapshot(book)
        instrument = self._venue.market(book.symbol).instrument
        return self._message(book, "delta", _data(instrument, book, sorted(changed_bids, reverse=True), sorted(changed_asks)))

    def _message(self, book: Book, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"topic": book.topic, "type": kind, "ts": self._venue.now_ms(), "data": data, "cts": book.matched_ms}


def _changes(before: dict[int, int], after: dict[int, int]) -> Levels:
    gone = [(ticks, 0) for ticks in before if ticks not in after]
    return gone + [(ticks, lots) for ticks, lots in after.items() if before.get(ticks) != lots]


def _data(instrument: Instrument, book: Book, bids: Levels, asks: Levels) -> dict[str, Any]:
    def side(levels: Levels) -> list[list[str]]:
        return [[shown(instrument.price(ticks)), shown(instrument.quantity(lots)) if lots else "0"] for ticks, lots in levels]

    return {"s": book.symbol, "b": side(bids), "a": side(asks), "u": book.update, "seq": book.seq}
