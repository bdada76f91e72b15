"""What a feed makes of recorded frames, as rows of a tape: the `Taker` of every venue whose feed answers with `feed.Taken`."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from interlock.domain.instruments import Instrument
from interlock.market.collect import RowCollector
from interlock.market.columns import RowKind
from interlock.venues.feed import BookChange, Event, FundingNext, Mark, Reject, Taken, Trade
from interlock.venues.importing import Read
from interlock.venues.recorded import Line


class Feed(Protocol):
    """A venue's public feed, of any number of symbols."""

    def take(self, frame: bytes) -> Taken | Reject:
        """What one frame says."""
        ...

    def declared_depth_ms(self, symbol: str) -> int | None:
        """How often the stream that is a symbol's book is said to come, ms; None where nothing is said."""
        ...


class FeedRows:
    """Takes lines, puts rows into a collector. `resolve` answers a symbol with its instrument, or raises ValueError."""

    def __init__(
        self,
        collector: RowCollector,
        make: Callable[[Callable[[str], Instrument]], Feed],
        resolve: Callable[[str], Instrument],
        *,
        about: Sequence[str],
    ) -> None:
        self.latencies_ns = array("q")
        self._collector = collector
        self._resolve = resolve
        self._about = about
        self._read: dict[str, Read] = {}
        self._numbers: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._feed = make(self._instrument)

    def take(self, line: Line, frame: int) -> None:
        """Take a line. Raises ValueError with the reason where the feed refuses its frame."""
        taken = self._feed.take(line.body)
        if isinstance(taken, Reject):
            raise ValueError(f"{taken.reason}: {f'{taken.symbol}: ' if taken.symbol else ''}{taken.detail}")
        self._counts[taken.what] += 1
        self._collector.updates(frame, taken.first_update, taken.last_update, taken.previous_update)
        if taken.events and taken.venue_ns:
            self.latencies_ns.append(line.receive_ns - taken.venue_ns)
        for event in taken.events:
            head = (frame, event.exchange_ns, line.receive_ns, self._numbers[event.symbol])
            if isinstance(event, BookChange):
                self._book(head, event)
            else:
                self._one(head, event)

    def read(self) -> Sequence[Read]:
        """The instruments in the order in which they were met."""
        return [read._replace(declared_depth_ms=self._feed.declared_depth_ms(symbol)) for symbol, read in self._read.items()]

    def notes(self) -> Sequence[str]:
        """What the venue's importer says of its rows, and how many frames there were of each kind."""
        return [*self._about, *(f"{what}: {count}" for what, count in sorted(self._counts.items()))]

    def _instrument(self, symbol: str) -> Instrument:
        read = self._read.get(symbol)
        if read is None:
            read = Read(self._resolve(symbol), None, array("q"))
            self._numbers[symbol] = len(self._read)
            self._read[symbol] = read
        return read.instrument

    def _book(self, head: tuple[int, int, int, int], change: BookChange) -> None:
        self._read[change.symbol].depth_ns.append(change.exchange_ns)
        if change.whole:
            self._collector.one(head, RowKind.CLEAR, 0, 0, 0)
        for side, levels in ((1, change.bids), (-1, change.asks)):
            self._collector.block(head, RowKind.DEPTH, side, (ticks for ticks, _ in levels), (lots for _, lots in levels))

    def _one(self, head: tuple[int, int, int, int], event: Event) -> None:
        if isinstance(event, Trade):
            kind = RowKind.TRADE if event.in_book else RowKind.BLOCK_TRADE
            self._collector.one(head, kind, event.side, event.ticks, event.lots)
        elif isinstance(event, Mark):
            self._collector.one(head, RowKind.MARK, 0, event.ticks, 0)
        elif isinstance(event, FundingNext):
            self._collector.one(head, RowKind.FUNDING_NEXT, 0, 0, event.rate)
