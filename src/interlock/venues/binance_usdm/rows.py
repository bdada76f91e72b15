"""Wire messages to tape rows, for one capture of any number of symbols.

exchange_ns is the transaction time T (the event time E of a mark price, which has no T). Book rows begin with the bridge: the snapshot
is a CLEAR row and a DEPTH row a level, received when the snapshot was received and dated with its T; the diffs that were kept until then
follow with the same receive time, because only then could anyone have applied them. Diffs before that give no rows.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from interlock.domain.instruments import Instrument
from interlock.market.collect import RowCollector
from interlock.market.columns import RowKind
from interlock.market.numbers import RATE_UNIT, Scale
from interlock.venues.binance_usdm.public import DepthBridge
from interlock.venues.binance_usdm.wire import (
    AggTrade,
    BookTicker,
    DepthUpdate,
    Level,
    MarkPrice,
    Message,
    Snapshot,
    Trade,
)
from interlock.venues.feed import EXCHANGE_TOLERANCE_NS, NS_PER_MS
from interlock.venues.recorded import LATEST_NS

_RATES_PER_ONE = round(1 / RATE_UNIT)
_DEFAULT_DEPTH_MS = 250


class SymbolState:
    """What is kept of one symbol while its messages are read."""

    def __init__(self, number: int, instrument: Instrument) -> None:
        self.number = number
        self.instrument = instrument
        self.price = Scale(instrument.quantum, f"{instrument.symbol} price")
        self.size = Scale(instrument.lot, f"{instrument.symbol} size")
        self.bridge = DepthBridge()
        self.declared_depth_ms: int | None = None
        self.depth_ns = array("q")
        self.trade_type: type[Trade] | type[AggTrade] | None = None
        self.latest_ns: dict[type, int] = {}
        self.waiting: dict[int, int] = {}
        """Frame numbers of the depth events that wait for the snapshot, by their u."""

    def in_order(self, stream: type, time_ms: int) -> int:
        """The venue's time in ns, never before the stream's latest. Raises ValueError where it goes back far."""
        time_ns = time_ms * NS_PER_MS
        if not 0 < time_ns < LATEST_NS:
            raise ValueError(f"expected a time in ms between 1970 and 2200, found {time_ms}")
        latest = self.latest_ns.get(stream, 0)
        if time_ns < latest - EXCHANGE_TOLERANCE_NS:
            raise ValueError(f"expected a transaction time of at least {latest // NS_PER_MS} ms, found {time_ms}: time goes back")
        self.latest_ns[stream] = latest = max(latest, time_ns)
        return latest


class RowMaker:
    """Turns messages into rows. `resolve` answers a symbol with its instrument, or raises ValueError."""

    def __init__(self, collector: RowCollector, resolve: Callable[[str], Instrument]) -> None:
        self._collector = collector
        self._resolve = resolve
        self.symbols: dict[str, SymbolState] = {}
        self.latencies = array("q")
        self.counts: Counter[str] = Counter()

    def symbol(self, name: str) -> SymbolState:
        """The state of a symbol; its instrument is looked up at the first message."""
        state = self.symbols.get(name)
        if state is None:
            state = self.symbols[name] = SymbolState(len(self.symbols), self._resolve(name))
        return state

    def message(self, stream: str, message: Message, frame: int, receive_ns: int) -> None:
        """Take a stream message. Raises ValueError or `public.Gap` where it cannot be used."""
        kind = type(message)
        self.counts[kind.__name__] += 1
        if isinstance(message, DepthUpdate):
            state = self.symbol(message.s)
            exchange_ns = state.in_order(DepthUpdate, message.T)
            self.latencies.append(receive_ns - message.T * NS_PER_MS)
            if state.declared_depth_ms is None:
                state.declared_depth_ms = declared_interval(stream)
            self._collector.updates(frame, message.U, message.u, message.pu)
            state.depth_ns.append(exchange_ns)
            if state.bridge.diff(message):
                self._depth(state, (frame, exchange_ns, receive_ns, state.number), message)
            elif not state.bridge.synced:
                state.waiting[message.u] = frame
        elif isinstance(message, BookTicker):
            state = self.symbol(message.s)
            head = (frame, state.in_order(BookTicker, message.T), receive_ns, state.number)
            self.latencies.append(receive_ns - message.T * NS_PER_MS)
            self._collector.updates(frame, message.u, message.u, 0)
            self._collector.one(head, RowKind.TOP, 1, state.price[message.b], state.size[message.B])
            self._collector.one(head, RowKind.TOP, -1, state.price[message.a], state.size[message.A])
        elif isinstance(message, Trade | AggTrade):
            self._trade(message, frame, receive_ns)
        elif isinstance(message, MarkPrice):
            self._mark(message, frame, receive_ns)

    def snapshot(self, state: SymbolState, snapshot: Snapshot, frame: int, receive_ns: int) -> None:
        """Take a REST snapshot: the book begins here. A later one of a book that is in step changes nothing."""
        self._collector.updates(frame, 0, snapshot.lastUpdateId, 0)
        self.counts["Snapshot"] += 1
        if state.bridge.synced:
            self.counts["snapshots not needed"] += 1
            return
        kept = state.bridge.snapshot(snapshot)
        exchange_ns = state.in_order(Snapshot, snapshot.T)
        head = (frame, exchange_ns, receive_ns, state.number)
        self._collector.one(head, RowKind.CLEAR, 0, 0, 0)
        self._levels(head, 1, state, snapshot.bids)
        self._levels(head, -1, state, snapshot.asks)
        for event in kept:
            # A diff can carry an older T than the snapshot it comes after; in exchange order it must stay behind it.
            exchange_ns = max(exchange_ns, event.T * NS_PER_MS)
            self._depth(state, (state.waiting[event.u], exchange_ns, receive_ns, state.number), event)
        self.counts["diffs before the snapshot"] += len(state.waiting) - len(kept)
        state.latest_ns[DepthUpdate] = max(exchange_ns, state.latest_ns.get(DepthUpdate, 0))
        state.waiting.clear()

    def _depth(self, state: SymbolState, head: tuple[int, int, int, int], event: DepthUpdate) -> None:
        self._levels(head, 1, state, event.b)
        self._levels(head, -1, state, event.a)

    def _levels(self, head: tuple[int, int, int, int], side: int, state: SymbolState, levels: list[Level]) -> None:
        if levels:
            prices, sizes = zip(*levels, strict=True)
            self._collector.block(
                head,
                RowKind.DEPTH,
                side,
                map(state.price.__getitem__, prices),
                map(state.size.__getitem__, sizes),
            )

    def _trade(self, message: Trade | AggTrade, frame: int, receive_ns: int) -> None:
        state = self.symbol(message.s)
        exchange_ns = state.in_order(Trade, message.T)
        self.latencies.append(receive_ns - message.T * NS_PER_MS)
        if state.trade_type is None:
            state.trade_type = type(message)
        if state.trade_type is not type(message):
            self.counts["trades also in another stream"] += 1
            return
        head = (frame, exchange_ns, receive_ns, state.number)
        kind = RowKind.TRADE
        if isinstance(message, Trade) and message.X != "MARKET":
            if message.X == "NA":
                self.counts["placeholder trades"] += 1
                return
            kind = RowKind.BLOCK_TRADE
        self._collector.one(head, kind, -1 if message.m else 1, state.price[message.p], state.size[message.q])

    def _mark(self, message: MarkPrice, frame: int, receive_ns: int) -> None:
        state = self.symbol(message.s)
        head = (frame, state.in_order(MarkPrice, message.E), receive_ns, state.number)
        # Mark prices have more decimals than the tick: the nearest tick.
        price = Decimal(message.p)
        if not (price.is_finite() and price > 0):
            raise ValueError(f"{message.s} mark price: expected a positive price, found {message.p!r}")
        ticks = int((price / state.instrument.quantum).to_integral_value())
        self._collector.one(head, RowKind.MARK, 0, ticks, 0)
        if message.r:
            self._collector.one(head, RowKind.FUNDING_NEXT, 0, 0, int(Decimal(message.r) * _RATES_PER_ONE))


def declared_interval(stream: str) -> int | None:
    """The depth interval that a stream's name declares, ms: 0 for `btcusdt@depth@0ms`, 250 where it names none."""
    _, _, rest = stream.partition("@depth")
    if not rest:
        return _DEFAULT_DEPTH_MS
    digits = rest.removeprefix("@").removesuffix("ms")
    return int(digits) if digits.isdigit() else None
