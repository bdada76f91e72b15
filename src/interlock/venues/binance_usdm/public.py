"""The public side of Binance USDⓈ-M: its feed, frame by frame, and bridging depth diffs to a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TypeVar

import msgspec

from interlock.domain.instruments import Instrument
from interlock.market.numbers import Scale
from interlock.venues.binance_usdm import wire
from interlock.venues.binance_usdm.wire import DepthUpdate, Snapshot
from interlock.venues.feed import (
    NS_PER_MS,
    BookChange,
    FundingNext,
    Level,
    Mark,
    Reason,
    Refusal,
    Reject,
    StreamTime,
    Taken,
    Trade,
    answer,
    nearest_ticks,
    possible_ns,
    rate_units,
)
from interlock.venues.held_book import HeldBook

VENUE = "binance_usdm"

Applied = TypeVar("Applied")

MAX_KEPT = 10_000
"""Diffs that wait for a snapshot: at 100 ms a quarter of an hour of them. More, and the symbol begins again."""


class Gap(Exception):
    """The chain of depth events is broken: an event's `pu` is not the `u` of the one before it.

    `expected` is that u, `found` the pu. The book must be built again from a new snapshot.
    """

    def __init__(self, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"depth events are missing: expected pu {expected}, found {found}")


class SnapshotTooOld(Exception):
    """The snapshot was taken before the first event that was kept; fetch another."""

    def __init__(self, last_update: int, first: int) -> None:
        self.last_update = last_update
        self.first = first
        super().__init__(f"the snapshot does not reach the diffs: expected lastUpdateId >= {first}, found {last_update}")


class DepthBridge:
    """Which depth events may be applied to a book, for one symbol.

    The venue's rule (USDⓈ-M docs, "How to manage a local order book correctly"): keep events until the snapshot, drop those with
    u < lastUpdateId, begin with the one that spans lastUpdateId, then every pu must equal the u before. The first event is accepted
    where pu <= lastUpdateId <= u: ids are shared by all symbols, so a snapshot's id can lie between an event's pu and its U with nothing
    missing, which the documented U <= lastUpdateId would refuse.
    """

    def __init__(self) -> None:
        self.synced = False
        self.last_update = 0
        self._seen = 0
        self._kept: list[DepthUpdate] = []

    def diff(self, event: DepthUpdate) -> bool:
        """Take an event; True if it applies to the book now. Raises Gap if the chain is broken, ValueError if its own ids are."""
        applies = self.follow(event.U, event.u, event.pu)
        if not self.synced:
            self._kept.append(event)
        return applies

    def follow(self, first: int, last: int, previous: int) -> bool:
        """The same for an event of these ids (U, u, pu) that is not kept, so only for one that comes after the snapshot."""
        if not previous <= first <= last:
            raise ValueError(f"depth event: expected pu <= U <= u, found {previous}, {first}, {last}")
        if self._seen and previous != self._seen:
            raise Gap(self._seen, previous)
        self._seen = last
        if not self.synced or last < self.last_update:
            return False
        if previous > self.last_update:
            raise SnapshotTooOld(self.last_update, previous)
        self.last_update = last
        return True

    def snapshot(self, snapshot: Snapshot) -> list[DepthUpdate]:
        """Take a snapshot; returns the kept events to apply after it, in order. Raises SnapshotTooOld."""
        keep = [event for event in self._kept if event.u >= snapshot.lastUpdateId]
        if keep and keep[0].pu > snapshot.lastUpdateId:
            raise SnapshotTooOld(snapshot.lastUpdateId, keep[0].pu)
        self._kept = []
        self.synced = True
        self.last_update = keep[-1].u if keep else snapshot.lastUpdateId
        return keep


class Feed:
    """Binance's public WebSocket, frame by frame, raw or combined, for any number of symbols.

    A book is a snapshot from REST (`snapshot`) with the diffs after it, each of which must follow the one before. A missing, repeated or older
    one, and a book that is crossed, leave the book unusable until another snapshot has come, which `wants_snapshot` asks for. Trades are those of
    `aggTrade`. `resolve` answers a symbol with its instrument, or raises ValueError; `make_book` makes what holds its book.
    """

    def __init__(self, resolve: Callable[[str], Instrument], make_book: Callable[[str], HeldBook] = HeldBook) -> None:
        self._resolve = resolve
        self._make_book = make_book
        self._symbols: dict[str, SymbolState] = {}

    def take(self, frame: bytes) -> Taken | Reject:
        """What one frame says. Never raises.

        After a malformed or oversized frame the book of its symbol is not usable, and every book where it does not tell its symbol. A trade
        that is repeated or late says nothing against the book.
        """
        taken = answer(self._read, frame)
        if isinstance(taken, Reject) and taken.reason in (Reason.MALFORMED, Reason.OVERSIZED):
            for name, symbol in self._symbols.items():
                if taken.symbol in ("", name):
                    symbol.lose()
        return taken

    def snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """The answer to GET /fapi/v1/depth for a symbol, and the diffs that were kept until it. One that is too old is refused: ask again."""
        return answer(lambda data: self._snapshot(symbol, wire.decode_snapshot(data)), body)

    def wants_snapshot(self) -> tuple[str, ...]:
        """The symbols whose diffs come and whose book is not known."""
        return tuple(name for name, symbol in self._symbols.items() if symbol.kept and not symbol.book.usable)

    def lose(self) -> None:
        """The connection was lost: every book begins anew."""
        for symbol in self._symbols.values():
            symbol.lose()
            for time in (symbol.book_time, symbol.trade_time, symbol.mark_time):
                time.begin()

    def book(self, symbol: str) -> HeldBook | None:
        """The book of a symbol as it stands; None for one that never came."""
        state = self._symbols.get(symbol)
        return state.book if state else None

    def _read(self, frame: bytes) -> Taken:
        try:
            head = wire.decode_head(frame)
        except msgspec.DecodeError as error:
            raise Refusal(Reason.MALFORMED, str(error)) from error
        if head.stream and bytes(head.data):
            return self._event(head.data)
        if head.e:
            return self._event(msgspec.Raw(frame))
        if head.error is not None:
            return Taken(f"error {head.error.code}")
        if head.id is not None:
            return Taken("answered")
        raise Refusal(Reason.MALFORMED, "expected an event, a stream or an answer, found none")

    def _event(self, raw: msgspec.Raw) -> Taken:
        event = wire.decode_event_head(raw)
        if event.e == "depthUpdate":
            return self._depth(wire.decode_depth(raw))
        if event.e == "aggTrade":
            return self._trade(wire.decode_agg_trade(raw))
        if event.e == "markPriceUpdate":
            return self._mark(wire.decode_mark_price(raw))
        return Taken(f"ignored {event.e}" if event.e != wire.SHUTDOWN else event.e)

    def _symbol(self, name: str) -> SymbolState:
        symbol = self._symbols.get(name)
        if symbol is None:
            try:
                instrument = self._resolve(name)
            except ValueError as error:
                raise Refusal(Reason.UNKNOWN_SYMBOL, str(error), name) from error
            symbol = self._symbols[name] = SymbolState(instrument, self._make_book(instrument.symbol))
        return symbol

    def _depth(self, event: DepthUpdate) -> Taken:
        symbol = self._symbol(event.s)

        def change(exchange_ns: int) -> BookChange:
            found = symbol.change(event, exchange_ns)
            symbol.book.apply(found)
            return found

        changed = symbol.follow(event.u, lambda: symbol.bridge.diff(event), event.T, change)
        what, changes = ("depth", (changed,)) if changed is not None else ("depth before the snapshot", ())
        return Taken(what, changes, event.T * NS_PER_MS, event.U, event.u, event.pu)

    def _snapshot(self, name: str, snapshot: Snapshot) -> Taken:
        symbol = self._symbol(name)
        venue_ns = exchange_ns = possible_ns(snapshot.T, name)
        if symbol.book.usable:
            return Taken("a snapshot that is not needed", (), venue_ns, 0, snapshot.lastUpdateId)
        try:
            kept = symbol.bridge.snapshot(snapshot)
        except SnapshotTooOld as error:
            raise Refusal(Reason.OUT_OF_ORDER, str(error), name) from error
        changes = [BookChange(name, exchange_ns, True, symbol.levels(snapshot.bids), symbol.levels(snapshot.asks))]
        for event in kept:
            exchange_ns = max(exchange_ns, event.T * NS_PER_MS)
            changes.append(symbol.change(event, exchange_ns))
        try:
            for change in changes:
                symbol.book.apply(change)
        except Refusal:
            symbol.lose()
            raise
        symbol.kept = 0
        symbol.book_time.keep(max(exchange_ns, symbol.book_time.latest_ns))
        return Taken("snapshot", tuple(changes), venue_ns, 0, symbol.bridge.last_update)

    def _trade(self, event: wire.AggTrade) -> Taken:
        symbol = self._symbol(event.s)
        if event.a <= symbol.last_trade:
            reason = Reason.DUPLICATE if event.a == symbol.last_trade else Reason.OUT_OF_ORDER
            raise Refusal(reason, f"expected a trade after {symbol.last_trade}, found {event.a}", event.s)
        exchange_ns = symbol.trade_time.checked(event.T, event.s)
        ticks, lots = symbol.price[event.p], symbol.size[event.q]
        if ticks == 0 or lots == 0:
            raise Refusal(Reason.MALFORMED, "expected a trade of a positive price and size, found 0", event.s)
        symbol.last_trade = event.a
        symbol.trade_time.keep(exchange_ns)
        return Taken("aggTrade", (Trade(event.s, exchange_ns, -1 if event.m else 1, ticks, lots),), event.T * NS_PER_MS)

    def _mark(self, event: wire.MarkPrice) -> Taken:
        symbol = self._symbol(event.s)
        exchange_ns = symbol.mark_time.checked(event.E, event.s)
        events: list[Mark | FundingNext] = [
            Mark(event.s, exchange_ns, nearest_ticks(Decimal(event.p), symbol.instrument.quantum, f"{event.s} mark price"))
        ]
        if event.r:
            events.append(FundingNext(event.s, exchange_ns, rate_units(Decimal(event.r), f"{event.s} funding rate")))
        symbol.mark_time.keep(exchange_ns)
        return Taken("markPriceUpdate", tuple(events), event.E * NS_PER_MS)


class SymbolState:
    """What is kept of one symbol. `kept` counts the diffs that wait for a snapshot."""

    def __init__(self, instrument: Instrument, book: HeldBook) -> None:
        self.instrument = instrument
        self.price = Scale(instrument.quantum, f"{instrument.symbol} price")
        self.size = Scale(instrument.lot, f"{instrument.symbol} size")
        self.book = book
        self.book_time = StreamTime()
        self.trade_time = StreamTime()
        self.mark_time = StreamTime()
        self.last_trade = -1
        self.bridge = DepthBridge()
        self.kept = 0
        self._update = 0

    def lose(self) -> None:
        """Begin anew: the next diff is the first."""
        self.book.lose()
        self.bridge = DepthBridge()
        self.kept = self._update = 0

    def follow(self, last: int, bridge: Callable[[], bool], venue_ms: int, apply: Callable[[int], Applied]) -> Applied | None:
        """Take a diff that ends at u `last`: `apply` is called with its time, ns, where `bridge` says that it applies to the book now.

        Raises Refusal, or ValueError as the callables do; then the book is lost.
        """
        try:
            applies = self._follows(last, bridge)
            exchange_ns = self.book_time.checked(venue_ms, self.instrument.symbol)
            applied = apply(exchange_ns) if applies else None
        except (Refusal, ValueError, ArithmeticError):
            self.lose()
            raise
        self.book_time.keep(exchange_ns)
        return applied

    def _follows(self, last: int, bridge: Callable[[], bool]) -> bool:
        name = self.instrument.symbol
        if self._update and last <= self._update:
            reason = Reason.DUPLICATE if last == self._update else Reason.OUT_OF_ORDER
            raise Refusal(reason, f"expected an event after u {self._update}, found {last}; a new snapshot is needed", name)
        try:
            applies = bridge()
        except (Gap, SnapshotTooOld) as error:
            raise Refusal(Reason.GAP, f"{error}; a new snapshot is needed", name) from error
        self._update = last
        if not self.bridge.synced:
            self.kept += 1
            if self.kept > MAX_KEPT:
                raise Refusal(Reason.NO_SNAPSHOT, f"expected a snapshot within {MAX_KEPT} events, found none", name)
        return applies

    def change(self, event: DepthUpdate, exchange_ns: int) -> BookChange:
        """A diff in ticks and lots."""
        return BookChange(self.instrument.symbol, exchange_ns, False, self.levels(event.b), self.levels(event.a))

    def levels(self, levels: Sequence[wire.Level]) -> tuple[Level, ...]:
        """A side of a message. Raises Refusal for a price of 0 or one that comes twice, ValueError for no number."""
        found = tuple([(self.price[price], self.size[size]) for price, size in levels])
        prices = {ticks for ticks, _ in found}
        if 0 in prices or len(prices) < len(found):
            raise Refusal(Reason.MALFORMED, "expected levels of different positive prices, found 0 or one twice", self.instrument.symbol)
        return found
