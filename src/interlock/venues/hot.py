"""The hot path of a public feed: the bytes of a frame to rows of a tape's columns, without an object for each level.

A venue's `hot` module has a feed that is the venue's own with one more way in: `columns`. A compiled scan reads book frames of the shape that the
venue sends; every other frame, and everything about a frame that is not as expected, goes the way of `take`. Both keep the same books by the
same rules, so the two may be mixed, and what they say is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind
from interlock.venues.feed import BookChange, Event, FundingNext, Mark, PriceLimits, Refusal, Reject, Taken, Trade

FIRST_ROWS = 4096


class Columns(msgspec.Struct, frozen=True, gc=False):
    """A frame that was taken: what it says stands in the first `rows` of the feed's rows. The other fields are those of `feed.Taken`."""

    what: str
    rows: int = 0
    venue_ns: int = 0
    first_update: int = 0
    last_update: int = 0
    previous_update: int = 0


class HotFeed(ABC):
    """What the hot feeds of the venues share: their rows, and the way of a frame that was not scanned.

    `rows` (dtype ROW) hold what the last call of `columns` said, and are overwritten by the next; a long frame makes a new, larger array. A row's
    instrument is its position in `instruments`; a symbol that is not among them is unknown. `frame` stays 0. `scanned` counts the frames that were
    not decoded, the others are `decoded`: a venue that changes the shape of its frames is still read, and shows there. Making a feed compiles what
    its scan needs, some seconds once for each version of the sources.
    """

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        self.rows = np.zeros(FIRST_ROWS, ROW)
        self.scanned = 0
        self.decoded = 0
        self._numbers = {instrument.symbol: number for number, instrument in enumerate(instruments)}

    @abstractmethod
    def take(self, frame: bytes) -> Taken | Reject:
        """What one frame says, decoded."""
        ...

    @abstractmethod
    def _scan(self, frame: bytes, receive_ns: int) -> Columns | None:
        """What a scan makes of a frame; None where it is none of its own, and then nothing has changed. Raises Refusal as `take` refuses."""
        ...

    def columns(self, frame: bytes, receive_ns: int) -> Columns | Reject:
        """What one frame says, which was received at `receive_ns`. Never raises; refuses what `take` refuses, with the same reason."""
        try:
            scanned = self._scan(frame, receive_ns)
        except Refusal as refusal:
            self.scanned += 1
            return refusal.reject
        if scanned is not None:
            self.scanned += 1
            return scanned
        self.decoded += 1
        taken = self.take(frame)
        return taken if isinstance(taken, Reject) else self.put(taken, receive_ns)

    def put(self, taken: Taken, receive_ns: int) -> Columns:
        """Write the events of a decoded frame, or of a book that was asked for, into the rows."""
        needed = sum(len(event.bids) + len(event.asks) + 1 if isinstance(event, BookChange) else 1 for event in taken.events)
        if needed > len(self.rows):
            self.rows = np.zeros(needed, ROW)
        at = 0
        for event in taken.events:
            if isinstance(event, PriceLimits):
                continue  # no row tells them: strategies do not read them
            at = self._put_book(at, event) if isinstance(event, BookChange) else self._put_one(at, event)
        self.rows["receive_ns"][:at] = receive_ns
        return Columns(taken.what, at, taken.venue_ns, taken.first_update, taken.last_update, taken.previous_update)

    def _put_book(self, at: int, change: BookChange) -> int:
        head = (change.exchange_ns, 0)
        number = self._numbers[change.symbol]
        if change.whole:
            self.rows[at] = (*head, 0, 0, 0, number, RowKind.CLEAR, 0)
            at += 1
        for side, levels in ((1, change.bids), (-1, change.asks)):
            for ticks, lots in levels:
                self.rows[at] = (*head, ticks, lots, 0, number, RowKind.DEPTH, side)
                at += 1
        return at

    def _put_one(self, at: int, event: Event) -> int:
        if isinstance(event, Trade):
            said = (event.ticks, event.lots, RowKind.TRADE if event.in_book else RowKind.BLOCK_TRADE, event.side)
        elif isinstance(event, Mark):
            said = (event.ticks, 0, RowKind.MARK, 0)
        else:
            assert isinstance(event, FundingNext)
            said = (0, event.rate, RowKind.FUNDING_NEXT, 0)
        ticks, lots, kind, side = said
        self.rows[at] = (event.exchange_ns, 0, ticks, lots, 0, self._numbers[event.symbol], kind, side)
        return at + 1


def among(instruments: Sequence[Instrument]) -> Callable[[str], Instrument]:
    """The `resolve` of a feed that knows these instruments and no others."""
    known = {instrument.symbol: instrument for instrument in instruments}

    def resolve(symbol: str) -> Instrument:
        found = known.get(symbol)
        if found is None:
            raise ValueError(f"expected one of {', '.join(sorted(known))}, found {symbol[:40]!r}")
        return found

    return resolve
