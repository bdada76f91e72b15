"""The public side of Upbit: its feed, frame by frame, and its markets as instruments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from interlock.domain.instruments import Fees, Instrument, Kind
from interlock.domain.price_rules import UPBIT_KRW, fixed_step
from interlock.market.numbers import Scale
from interlock.market.shipped import AS_OF, upbit_krw
from interlock.venues.feed import (
    NS_PER_MS,
    BookChange,
    Level,
    Reason,
    Recent,
    Refusal,
    Reject,
    StreamTime,
    Taken,
    Trade,
    answer,
    possible_ns,
)
from interlock.venues.held_book import HeldBook
from interlock.venues.upbit import wire

VENUE = "upbit"

_FINEST = Decimal("0.00000001")
_DIGITS = 40
_OTHER_FEES = Fees(
    maker=Decimal("0.0025"),
    taker=Decimal("0.0025"),
    profile="base",
    source="Upbit's BTC and USDT markets, as other clients state it; GET /v1/orders/chance goes before it",
    as_of=AS_OF,
)
_MIN_TOTALS = {"BTC": Decimal("0.00005"), "USDT": Decimal("0.5")}


class Feed:
    """Upbit's WebSocket, frame by frame, for any number of markets in either format.

    Each orderbook message replaces the book; nothing numbers them, so a lost one cannot be seen: only an older or a repeated one can. A
    trade that comes again in the snapshot of a new subscription is passed over. `resolve` answers a market with its instrument, or
    raises ValueError; `make_book` makes what holds its book.
    """

    def __init__(self, resolve: Callable[[str], Instrument], make_book: Callable[[str], HeldBook] = HeldBook) -> None:
        self._resolve = resolve
        self._make_book = make_book
        self._markets: dict[str, MarketState] = {}

    def take(self, frame: bytes) -> Taken | Reject:
        """What one frame says. Never raises. A frame that does not tell its market leaves every book unusable until its next message."""
        taken = answer(self._read, frame)
        if isinstance(taken, Reject) and taken.reason not in (Reason.OUT_OF_ORDER, Reason.DUPLICATE):
            for symbol, market in self._markets.items():
                if taken.symbol in ("", symbol):
                    market.book.lose()
        return taken

    def lose(self) -> None:
        """The connection was lost: every book begins anew."""
        for market in self._markets.values():
            market.book.lose()
            market.latest = lambda: None
            for time in (market.book_time, market.trade_time):
                time.begin()

    def book(self, symbol: str) -> HeldBook | None:
        """The book of a market as it stands; None for one that never came."""
        market = self._markets.get(symbol)
        return market.book if market else None

    def declared_depth_ms(self, symbol: str) -> int | None:
        """None: Upbit does not say how often a book comes."""
        return None

    def _read(self, frame: bytes) -> Taken:
        head = wire.decode_head(frame)
        if head.type == "orderbook":
            return self._orderbook(wire.decode_orderbook(frame))
        if head.ty == "orderbook":
            return self._orderbook(wire.decode_simple_orderbook(frame))
        if head.type == "trade":
            return self._trade(wire.decode_trade(frame))
        if head.ty == "trade":
            return self._trade(wire.decode_simple_trade(frame))
        if head.error is not None:
            return Taken(f"error {head.error.name}")
        for name in (head.type or head.ty, head.method, head.status and f"status {head.status}"):
            if name:
                return Taken(f"ignored {name}")
        raise Refusal(Reason.MALFORMED, "expected a type, a method, a status or an error, found none")

    def _market(self, symbol: str) -> MarketState:
        market = self._markets.get(symbol)
        if market is None:
            try:
                instrument = self._resolve(symbol)
            except ValueError as error:
                raise Refusal(Reason.UNKNOWN_SYMBOL, str(error), symbol) from error
            market = self._markets[symbol] = MarketState(instrument, self._make_book(instrument.symbol))
        return market

    def _orderbook(self, message: wire.Orderbook | wire.SimpleOrderbook) -> Taken:
        symbol = message.code
        market = self._market(symbol)
        if message.level != 0:
            raise Refusal(Reason.MALFORMED, f"expected the book at level 0, found prices put together by {message.level}", symbol)
        latest_ns = market.book_time.latest_ns
        if 0 < message.timestamp * NS_PER_MS < latest_ns:
            raise Refusal(
                Reason.OUT_OF_ORDER, f"expected a book of {latest_ns // NS_PER_MS} ms or later, found {message.timestamp}", symbol
            )
        exchange_ns = market.book_time.checked(message.timestamp, symbol)
        change = BookChange(symbol, exchange_ns, True, *market.sides(message.orderbook_units))
        if message.stream_type == "REALTIME" and change == market.latest():
            raise Refusal(Reason.DUPLICATE, f"the book of {message.timestamp} ms comes a second time", symbol)
        market.book.apply(change)
        market.book_time.keep(exchange_ns)
        market.latest = lambda: change
        return Taken("orderbook", (change,), message.timestamp * NS_PER_MS)

    def _trade(self, message: wire.Trade | wire.SimpleTrade) -> Taken:
        symbol = message.code
        market = self._market(symbol)
        if message.sequential_id in market.trades:
            if message.stream_type == "SNAPSHOT":
                return Taken("trades of a snapshot that came before")
            raise Refusal(Reason.DUPLICATE, f"the trade {message.sequential_id} comes a second time", symbol)
        exchange_ns, told_ns = market.trade_time.checked(message.trade_timestamp, symbol), possible_ns(message.timestamp, symbol)
        trade = Trade(
            symbol,
            exchange_ns,
            1 if message.ask_bid == "BID" else -1,
            market.ticks(message.trade_price),
            market.lots(message.trade_volume),
        )
        if trade.ticks == 0 or trade.lots == 0:
            raise Refusal(Reason.MALFORMED, "expected a trade of a positive price and size, found 0", symbol)
        market.trades.add(message.sequential_id)
        market.trade_time.keep(exchange_ns)
        return Taken("trade", (trade,), told_ns)


class MarketState:
    """What is kept of one market. `latest` makes the change that its book last took."""

    def __init__(self, instrument: Instrument, book: HeldBook) -> None:
        self.instrument = instrument
        self.book = book
        self.book_time = StreamTime()
        self.trade_time = StreamTime()
        self.trades = Recent()
        self.latest: Callable[[], BookChange | None] = lambda: None
        self._symbol = instrument.symbol
        self._price = Scale(instrument.quantum, f"{instrument.symbol} price")
        self._size = Scale(instrument.lot, f"{instrument.symbol} size")

    def ticks(self, price: Decimal) -> int:
        """A price in ticks. Raises ValueError for one between two."""
        return self._price[plain(price)]

    def lots(self, size: Decimal) -> int:
        """A size in lots. Raises ValueError for one between two."""
        return self._size[plain(size)]

    def sides(self, units: Sequence[wire.Unit | wire.SimpleUnit]) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """(bids, asks) of a book's units, each from the best outward. Raises Refusal where they are not in that order."""
        bids = self._side([(unit.bid_price, unit.bid_size) for unit in units], -1)
        asks = self._side([(unit.ask_price, unit.ask_size) for unit in units], 1)
        return bids, asks

    def _side(self, levels: list[tuple[Decimal, Decimal]], outward: int) -> tuple[Level, ...]:
        found = [(self.ticks(price), self.lots(size)) for price, size in levels]
        while found and found[-1] == (0, 0):
            found.pop()  # a unit is a pair, so the shorter side of a thin book is filled up (recordings of 2026)
        before = 0
        for ticks, lots in found:
            if ticks == 0 or lots == 0:
                raise Refusal(Reason.MALFORMED, "expected levels of a positive price and size, found 0", self._symbol)
            if before and (ticks - before) * outward <= 0:
                raise Refusal(Reason.MALFORMED, "expected each side from its best level outward, found another order", self._symbol)
            before = ticks
        return tuple(found)


def plain(number: Decimal) -> str:
    """A number from the wire without its exponent. Raises ValueError for one that is not finite, negative, or of too many digits."""
    # The bound comes first: written out, 1E+999999999 is a gigabyte.
    if not number.is_finite() or number.is_signed() or abs(number.adjusted()) > _DIGITS or len(number.as_tuple().digits) > 2 * _DIGITS:
        raise ValueError(f"expected a number from 0 to 1E{_DIGITS}, found {str(number)[:_DIGITS]}")
    return format(number, "f")


def instrument(symbol: str, *, tick: Decimal | None = None, day: date = AS_OF) -> Instrument:
    """The instrument of a market that the shipped table lacks. `tick`: its price unit as the venue told it on `day`.

    A KRW market follows the documented table of price units, unless `tick` is none of them. Other markets have one unit: `tick`, else
    the finest there is, and then `inferred` is True. Raises ValueError for a symbol that is not `QUOTE-BASE`.
    """
    quote, dash, base = symbol.partition("-")
    if not (dash and quote and base):
        raise ValueError(f"expected a market as QUOTE-BASE, found {symbol!r}")
    known_units = {band.step for band in UPBIT_KRW.bands(day)}
    if quote == "KRW":
        found = upbit_krw(base, quantum=f"{_FINEST:f}", price_range=(f"{_FINEST:f}", "10000000000"))
        if tick is None or tick in known_units:
            return found
        return msgspec.structs.replace(
            found, price_rule=fixed_step(f"{VENUE}-{symbol}", tick, f"instruments endpoint of {day}"), quantum=tick, min_price=tick
        )
    step = tick or _FINEST
    source = f"instruments endpoint of {day}" if tick else "no source: the finest price unit there is"
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        base=base,
        quote=quote,
        settle=quote,
        kind=Kind.SPOT,
        quantum=step,
        lot=_FINEST,
        price_rule=fixed_step(f"{VENUE}-{symbol}", step, source),
        min_price=step,
        max_price=step * 10**18,
        fees=_OTHER_FEES,
        min_notional=_MIN_TOTALS.get(quote, Decimal(0)),
        source=source,
        inferred=tick is None,
    )


def instruments(entries: Sequence[wire.OrderbookInstrument], day: date) -> list[Instrument]:
    """The markets of a body of GET /v1/orderbook/instruments that was fetched on `day`. Raises ValueError for an entry that makes no sense."""
    found = []
    for entry in entries:
        if not (entry.tick_size.is_finite() and entry.tick_size > 0):
            raise ValueError(f"{entry.market}: expected a positive tick_size, found {entry.tick_size}")
        found.append(instrument(entry.market, tick=entry.tick_size, day=day))
    return found
