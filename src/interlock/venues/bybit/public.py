"""The public side of Bybit v5: its feed, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TypeVar

import msgspec

from interlock.domain.instruments import Instrument
from interlock.market.numbers import Scale
from interlock.venues.bybit import wire
from interlock.venues.feed import (
    NS_PER_MS,
    BookChange,
    FundingNext,
    Level,
    Mark,
    PriceLimits,
    Reason,
    Recent,
    Refusal,
    Reject,
    StreamTime,
    Taken,
    Trade,
    answer,
    bound_ticks,
    nearest_ticks,
    possible_ns,
    rate_units,
)
from interlock.venues.held_book import HeldBook

Applied = TypeVar("Applied")

DEPTH_INTERVALS_MS = {50: 20, 200: 100, 1000: 200}
"""How often a book of a depth is sent, for linear and spot (docs, websocket/public/orderbook)."""

RESTARTED = 1
"""The `u` of a whole book after a restart of the service."""


class Feed:
    """Bybit's public WebSocket, frame by frame, for any number of symbols.

    A book begins with a snapshot, which may come at any time and replaces it; then each delta's `u` is one more than the last. A missing,
    repeated or older one, and a book that is crossed, leave the book unusable until the next snapshot. (No document states the rule for
    `u`; recordings keep it. It cannot show a restart's book that was lost, where the numbers happen to meet; one connection loses nothing.)
    The first depth above 1 that is seen of a symbol is its book; the others are passed over. `resolve` answers a symbol with its
    instrument, or raises ValueError; `make_book` makes what holds its book.
    """

    def __init__(self, resolve: Callable[[str], Instrument], make_book: Callable[[str], HeldBook] = HeldBook) -> None:
        self._resolve = resolve
        self._make_book = make_book
        self._symbols: dict[str, SymbolState] = {}

    def take(self, frame: bytes) -> Taken | Reject:
        """What one frame says. Never raises.

        After a malformed or oversized frame the book of its symbol is not usable, and every book where it does not tell its symbol. A trade
        or ticker that is repeated, late or without a beginning says nothing against the book.
        """
        taken = answer(self._read, frame)
        if isinstance(taken, Reject) and taken.reason in (Reason.MALFORMED, Reason.OVERSIZED):
            for name, symbol in self._symbols.items():
                if taken.symbol in ("", name):
                    symbol.book.lose()
        return taken

    def lose(self) -> None:
        """The connection was lost: every book begins anew."""
        for symbol in self._symbols.values():
            symbol.book.lose()
            symbol.ticker, symbol.ticker_at = None, (0, 0)
            for time in (symbol.book_time, symbol.trade_time, symbol.ticker_time):
                time.begin()

    def book(self, symbol: str) -> HeldBook | None:
        """The book of a symbol as it stands; None for one that never came."""
        state = self._symbols.get(symbol)
        return state.book if state else None

    def ticker(self, symbol: str) -> wire.Ticker | None:
        """What is known of a symbol's mark price and funding, snapshot and deltas together; None before the snapshot."""
        state = self._symbols.get(symbol)
        return state.ticker if state else None

    def declared_depth_ms(self, symbol: str) -> int | None:
        """How often the book of a symbol is said to come, ms; None before it came, and for a depth that the documents do not name."""
        state = self._symbols.get(symbol)
        return DEPTH_INTERVALS_MS.get(state.depth) if state and state.depth else None

    def _read(self, frame: bytes) -> Taken:
        head = wire.decode_head(frame)
        stream, _, rest = head.topic.partition(".")
        if stream == "orderbook":
            return self._orderbook(wire.decode_orderbook(frame), rest)
        if stream == "publicTrade":
            return self._trades(wire.decode_trades(frame), rest)
        if stream == "tickers":
            return self._tickers(wire.decode_tickers(frame), rest)
        if stream == "priceLimit":
            return self._price_limit(wire.decode_price_limit(frame), rest)
        if stream:
            return Taken(f"ignored {stream}")
        if head.op:
            return Taken(f"{head.op} {'answered' if head.success else 'refused'}")
        raise Refusal(Reason.MALFORMED, "expected a topic or an op, found none")

    def _symbol(self, name: str, of_topic: str) -> SymbolState:
        if name != of_topic:
            raise Refusal(Reason.MALFORMED, f"expected the symbol of the topic ({of_topic}), found {name}")
        symbol = self._symbols.get(name)
        if symbol is None:
            try:
                instrument = self._resolve(name)
            except ValueError as error:
                raise Refusal(Reason.UNKNOWN_SYMBOL, str(error), name) from error
            symbol = self._symbols[name] = SymbolState(instrument, self._make_book(instrument.symbol))
        return symbol

    def _orderbook(self, message: wire.Orderbook, topic: str) -> Taken:
        depth, _, name = topic.partition(".")
        data = message.data
        symbol = self._symbol(data.s, name)
        if not (depth.isascii() and depth.isdigit()):
            raise Refusal(Reason.MALFORMED, f"expected a depth in the topic, found {depth!r}", name)
        whole = message.type == "snapshot" or data.u == RESTARTED
        ids = (data.u, data.u, 0 if whole else data.u - 1)
        chosen = symbol.depth or (int(depth[:9]) if depth != "1" else None)
        if chosen is None or depth != str(chosen):
            return Taken(f"another depth ({depth})", (), 0, *ids)
        venue_ms = message.ts if message.cts is None else message.cts

        def change(exchange_ns: int) -> BookChange:
            found = BookChange(name, exchange_ns, whole, symbol.levels(data.b), symbol.levels(data.a))
            symbol.book.apply(found)
            return found

        changed = symbol.follow(whole, data.u, venue_ms, change)
        symbol.depth = chosen
        return Taken("orderbook snapshot" if whole else "orderbook delta", (changed,), venue_ms * NS_PER_MS, *ids)

    def _trades(self, message: wire.PublicTrades, topic: str) -> Taken:
        symbol = self._symbol(message.data[0].s, topic)
        found: list[Trade] = []
        ids: set[str] = set()
        exchange_ns = symbol.trade_time.latest_ns
        for entry in message.data:
            if entry.s != topic:
                raise Refusal(Reason.MALFORMED, f"expected trades of {topic}, found one of {entry.s}", topic)
            if entry.i in symbol.trades or entry.i in ids:
                raise Refusal(Reason.DUPLICATE, f"the trade {entry.i} comes a second time", topic)
            ids.add(entry.i)
            exchange_ns = max(exchange_ns, symbol.trade_time.checked(entry.T, topic))
            ticks, lots = symbol.price[entry.p], symbol.size[entry.v]
            if ticks == 0 or lots == 0:
                raise Refusal(Reason.MALFORMED, "expected a trade of a positive price and size, found 0", topic)
            found.append(Trade(topic, exchange_ns, 1 if entry.S == "Buy" else -1, ticks, lots, not (entry.BT or entry.RPI)))
        for entry in message.data:
            symbol.trades.add(entry.i)
        symbol.trade_time.keep(exchange_ns)
        return Taken("publicTrade", tuple(found), message.data[-1].T * NS_PER_MS)

    def _tickers(self, message: wire.Tickers, topic: str) -> Taken:
        symbol = self._symbol(message.data.symbol, topic)
        whole = message.type == "snapshot"
        if not whole and symbol.ticker is None:
            raise Refusal(Reason.NO_SNAPSHOT, "a change of a ticker that is not known; subscribe anew for a whole one", topic)
        at = (message.cs, message.ts)
        if not whole and at == symbol.ticker_at:
            raise Refusal(Reason.DUPLICATE, f"the ticker of {message.ts} ms comes a second time", topic)
        if not whole and message.cs < symbol.ticker_at[0]:
            raise Refusal(Reason.OUT_OF_ORDER, f"expected a cs of at least {symbol.ticker_at[0]}, found {message.cs}", topic)
        exchange_ns = symbol.ticker_time.checked(message.ts, topic)
        events: list[Mark | FundingNext] = []
        if message.data.markPrice:
            ticks = nearest_ticks(Decimal(message.data.markPrice), symbol.instrument.quantum, f"{topic} mark price")
            events.append(Mark(topic, exchange_ns, ticks))
        if message.data.fundingRate:
            events.append(FundingNext(topic, exchange_ns, rate_units(Decimal(message.data.fundingRate), f"{topic} funding rate")))
        known = None if whole else symbol.ticker
        symbol.ticker = message.data if known is None else _merged(known, message.data)
        symbol.ticker_time.keep(exchange_ns)
        symbol.ticker_at = at
        return Taken(f"tickers {message.type}", tuple(events), message.ts * NS_PER_MS)

    def _price_limit(self, message: wire.PriceLimitMessage, topic: str) -> Taken:
        data, instrument = message.data, self._symbol(message.data.symbol, topic).instrument
        limits = PriceLimits(
            topic,
            possible_ns(message.ts, topic),
            bound_ticks(data.buyLmt, instrument.quantum, ROUND_FLOOR, f"{topic} buyLmt"),
            bound_ticks(data.sellLmt, instrument.quantum, ROUND_CEILING, f"{topic} sellLmt"),
        )
        return Taken("priceLimit", (limits,), limits.exchange_ns)


class SymbolState:
    """What is kept of one symbol."""

    def __init__(self, instrument: Instrument, book: HeldBook) -> None:
        self.instrument = instrument
        self.price = Scale(instrument.quantum, f"{instrument.symbol} price")
        self.size = Scale(instrument.lot, f"{instrument.symbol} size")
        self.book = book
        self.book_time = StreamTime()
        self.depth: int | None = None
        self.update = 0
        self.trades = Recent()
        self.trade_time = StreamTime()
        self.ticker: wire.Ticker | None = None
        self.ticker_time = StreamTime()
        self.ticker_at = (0, 0)

    def follow(self, whole: bool, update: int, venue_ms: int, apply: Callable[[int], Applied]) -> Applied:
        """Take a book message: `apply` is called with its time, ns, where it follows what was taken before. Raises Refusal; then the book is lost."""
        try:
            if not whole:
                self.expect(update)
            exchange_ns = self.book_time.checked(venue_ms, self.instrument.symbol)
            applied = apply(exchange_ns)
        except Refusal:
            self.book.lose()
            raise
        self.book_time.keep(exchange_ns)
        self.update = update
        return applied

    def expect(self, update: int) -> None:
        """Raises Refusal unless a delta of this `u` is the next of a book that is known."""
        name, expected = self.instrument.symbol, self.update + 1
        if not self.book.usable:
            raise Refusal(Reason.NO_SNAPSHOT, "a delta of a book that is not known; subscribe anew for a snapshot", name)
        if update != expected:
            reason = Reason.GAP if update > expected else Reason.DUPLICATE if update == self.update else Reason.OUT_OF_ORDER
            raise Refusal(reason, f"expected u {expected}, found {update}; subscribe anew for a snapshot", name)

    def levels(self, levels: Sequence[wire.Level]) -> tuple[Level, ...]:
        """A side of a message in ticks and lots. Raises Refusal for a price of 0 or one that comes twice, ValueError for no number."""
        found = tuple([(self.price[price], self.size[size]) for price, size in levels])
        prices = {ticks for ticks, _ in found}
        if 0 in prices or len(prices) < len(found):
            raise Refusal(Reason.MALFORMED, "expected levels of different positive prices, found 0 or one twice", self.instrument.symbol)
        return found


def _merged(known: wire.Ticker, change: wire.Ticker) -> wire.Ticker:
    said = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
    return msgspec.structs.replace(known, **said)
