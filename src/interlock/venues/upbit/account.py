"""Reads of an account at Upbit, KRW markets, as talks. What is here called the account is the pocket that the key is of.

Upbit tells little: not its time (the clock here is the latest moment that an answer shows), not what a key may do, and in public not whether a market
is closed. Deposits and withdrawals are told to a key that may see them (`transfers`); to another they are changes that nobody explains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, MarginTier, Status
from interlock.domain.price_rules import UPBIT_KRW, PriceRule
from interlock.venues.dollars import inverted
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.port import (
    Access,
    AccountMode,
    Ask,
    BalanceSeen,
    FeeRates,
    FillSeen,
    KeyFacts,
    LedgerSeen,
    Listed,
    MarginSeen,
    Nonsense,
    OrderSeen,
    Page,
    PositionSeen,
    RateSeen,
    Stamp,
    Talk,
    TopSeen,
)
from interlock.venues.request import Key, Method, SignedCall, require_read
from interlock.venues.upbit import account_facts as facts
from interlock.venues.upbit import history, rules, sign
from interlock.venues.upbit.budgets import DEFAULT, MARKET, ORDERBOOK
from interlock.venues.upbit.replies import Name, ask, date_ns, decoded, ms_ns, nonsense, number, read, ticks
from interlock.venues.upbit.seen import order_row, order_seen
from interlock.venues.upbit.transfers import transfers
from interlock.venues.upbit.wire import MAX_UNITS, Unit, decode_instruments

CLOCK_MARKET: Final = "KRW-BTC"
"""The busiest market: its book is never old."""

DOLLAR_MARKET: Final = "KRW-USDT"

CLOSED_WINDOWS: Final = 4
"""How far back orders that ended are looked for at most, in windows of 7 days."""

_PUBLIC: Final = frozenset((Method.GET, path) for path in ("/v1/market/all", "/v1/orderbook", "/v1/orderbook/instruments"))
_MARKETS_AT_ONCE: Final = 100
_SEOUL: Final = timezone(timedelta(hours=9))


class _Market(msgspec.Struct, frozen=True):
    """{"market":"KRW-BTC","english_name":"Bitcoin","market_event":{"warning":false,"caution":{"PRICE_FLUCTUATIONS":false}}}"""

    market: Name


class _Book(msgspec.Struct, frozen=True):
    """{"market":"KRW-BTC","timestamp":1751606867762,"orderbook_units":[{"ask_price":148520000,"bid_price":148490000,"ask_size":0.0134662,
    "bid_size":0.04296774}]}"""

    market: Name
    timestamp: Count
    orderbook_units: list[Unit]


_decode_markets = msgspec.json.Decoder(list[_Market]).decode
_decode_books = msgspec.json.Decoder(list[_Book]).decode


class Account:
    """One account. Implements `AccountReads`; `statuses` asks about every one of `instruments`."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments
        self._units: dict[str, PriceRule] = {}
        """By market, the table of price units as far as it was told: each time only the unit of one band is."""

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign a request of a talk; a public one carries nothing of the key. Raises UsageError for anything that is no read."""
        if ask.access is Access.PUBLIC:
            require_read(_PUBLIC, ask.call)
            return SignedCall(ask.call.method, ask.call.path, ask.call.query, ())
        return sign.sign_read(key, ask.call, nonce=stamp.nonce)

    # The venue

    def clock(self) -> Talk[int]:
        """The latest moment that an answer shows, by the time of a book or by its own date (whole seconds): the venue's time is that or later."""
        heard = yield ask("/v1/orderbook", f"markets={CLOCK_MARKET}&count=1", ORDERBOOK, Access.PUBLIC)
        books = _books(read(heard))
        return max(date_ns(heard.headers), *(ms_ns(book.timestamp, f"{book.market} timestamp") for book in books.values()))

    def listings(self) -> Talk[tuple[Instrument, ...]]:
        """Every KRW market, with the price unit that it has now, and in other bands the one that was told last, or the documented one.

        One that makes no sense is left out, unless it is one of `instruments`: then Nonsense.
        """
        on = _day((yield from self.clock()))
        markets = yield from self._markets()
        found: list[Instrument] = []
        for start in range(0, len(markets), _MARKETS_AT_ONCE):
            some = markets[start : start + _MARKETS_AT_ONCE]
            query = f"markets={','.join(some)}"
            units = yield ask("/v1/orderbook/instruments", query, ORDERBOOK, Access.PUBLIC)
            steps = {each.market: each.tick_size for each in decoded(decode_instruments, read(units), "instruments")}
            books = _books(read((yield ask("/v1/orderbook", f"{query}&count=1", ORDERBOOK, Access.PUBLIC))))
            found.extend(each for market in some if (each := self._listing(market, steps, books.get(market), on)) is not None)
        return tuple(found)

    def rulebook(self) -> Talk[tuple[Listed, ...]]:
        """What `listings` tells: the venue publishes neither price limits nor how many orders may be open."""
        found = yield from self.listings()
        return tuple(Listed(each) for each in found)

    def _markets(self) -> Talk[list[str]]:
        body = read((yield ask("/v1/market/all", "is_details=true", MARKET, Access.PUBLIC)))
        found = decoded(_decode_markets, body, "markets")
        return sorted({each.market for each in found if rules.is_ours(each.market)})

    def _listing(self, market: str, steps: Mapping[str, Decimal], book: _Book | None, on: date) -> Instrument | None:
        known = self.instruments.get(market)
        try:
            if market not in steps or book is None or not book.orderbook_units:
                raise nonsense(market, "expected its price unit and its book, found one missing")
            best = book.orderbook_units[0]
            price = number(best.bid_price, market) or number(best.ask_price, market)
            units = self._units.get(market, UPBIT_KRW)
            found = rules.instrument(market, steps[market], price, on=on, known=known, units=units)
        except (Nonsense, ValueError, ArithmeticError) as error:
            if known is None:
                return None
            raise nonsense(market, error) from error
        self._units[market] = found.price_rule
        return found

    def top(self, symbol: str) -> Talk[TopSeen]:
        """Best bid and ask. Whether the market takes orders is told to signed reads alone (`statuses`); here it is what the instrument says, if
        there is a book."""
        instrument = self._known(symbol)
        book = _books(read((yield ask("/v1/orderbook", f"markets={symbol}&count=1", ORDERBOOK, Access.PUBLIC)))).get(symbol)
        if book is None:
            raise nonsense("book", f"expected one of {symbol}, found none")
        bid = best = 0
        if book.orderbook_units:
            unit = book.orderbook_units[0]
            bid = ticks(instrument, number(unit.bid_price, symbol), symbol)
            best = ticks(instrument, number(unit.ask_price, symbol), symbol)
        if best and bid >= best:
            raise nonsense("book", f"expected a bid below the ask, found {bid} and {best}")
        return TopSeen(symbol, bid, best, Decimal(0), instrument.status is Status.TRADING and bool(bid or best))

    def dollars(self, currency: str) -> Talk[RateSeen]:
        """KRW in USD, by the market of USDT. Raises UsageError for any other currency."""
        if currency != "KRW":
            raise UsageError(f"rate: expected KRW, which a market of this venue tells, found {currency!r}")
        heard = yield ask("/v1/orderbook", f"markets={DOLLAR_MARKET}&count=1", ORDERBOOK, Access.PUBLIC)
        book = _books(read(heard)).get(DOLLAR_MARKET)
        if book is None:
            raise nonsense("book", f"expected one of {DOLLAR_MARKET}, found none")
        bid = best = Decimal(0)
        if book.orderbook_units:
            unit = book.orderbook_units[0]
            bid, best = number(unit.bid_price, DOLLAR_MARKET), number(unit.ask_price, DOLLAR_MARKET)
        return inverted(currency, bid, best, f"upbit {DOLLAR_MARKET} inverted, USDT as USD")

    def statuses(self) -> Talk[Mapping[str, Status]]:
        """Which of `instruments` take orders, and which wallets move coins both ways over at least one network (keys like "wallet:BTC").

        Wallets are told some minutes late, as the venue says itself.
        """
        listed = yield from self._markets()
        found: dict[str, Status] = {}
        for symbol in self.instruments:
            state = "delisted"
            if symbol in listed:
                state = (yield from self._chance(symbol)).market.state
            found[symbol] = Status.TRADING if state == "active" else Status.HALTED
        wallets = read((yield ask("/v1/status/wallet", "", DEFAULT)))
        return found | facts.wallets(wallets)

    # The account

    def key(self, access: str) -> Talk[KeyFacts]:
        """When the key expires. What it may do is not told, and that it is bound to addresses is the venue's rule, not its answer."""
        return facts.key_facts(read((yield ask("/v1/api_keys", "", DEFAULT))), access)

    def mode(self) -> Talk[AccountMode]:
        """Asks nothing: there are no modes at a spot venue."""
        return AccountMode(position="spot", margin="spot", leverage={})
        yield  # what makes this a talk

    def fees(self, symbol: str) -> Talk[FeeRates]:
        """The account's own fee rates, of bids and asks the higher."""
        return facts.fee_rates((yield from self._chance(symbol)), symbol)

    def tiers(self) -> Talk[Mapping[str, tuple[MarginTier, ...]]]:
        """Asks nothing: there is no margin at a spot venue."""
        return {}
        yield

    def margin(self) -> Talk[MarginSeen]:
        """What is free of KRW, as equity and as what is available."""
        balances = yield from self.balances()
        free = next((each.free or Decimal(0) for each in balances if each.currency == "KRW"), Decimal(0))
        return MarginSeen(free, free, Decimal(0))

    def balances(self) -> Talk[tuple[BalanceSeen, ...]]:
        """Every currency that the account has."""
        return facts.balances(read((yield ask("/v1/accounts", "", DEFAULT))))

    def positions(self) -> Talk[tuple[PositionSeen, ...]]:
        """Asks nothing: a spot venue has none."""
        return ()
        yield

    def _chance(self, symbol: str) -> Talk[facts.Chance]:
        return facts.chance(read((yield ask("/v1/orders/chance", f"market={self._known(symbol).symbol}", DEFAULT))), symbol)

    # Orders

    def order(self, symbol: str, client_id: str) -> Talk[OrderSeen | None]:
        """One order by its client id: by itself, then in the list by ids. Raises UsageError for what is no client id.

        The venue needs no symbol, so that with "" it is found wherever it is.
        """
        if rules.CLIENT_ID.fullmatch(client_id) is None:
            raise UsageError(f"client id: expected 1 to 64 of [A-Za-z0-9_-], found {client_id!r}")
        body = yield from history.one_order(f"identifier={client_id}")
        if body is None:
            body = yield from self._listed_order(client_id)
        if body is None:
            return None
        found = order_seen(order_row(body), self.instruments)
        if found.client_id != client_id or symbol not in ("", found.symbol):
            raise nonsense("order", f"expected {client_id} of {symbol}, found {found.client_id!r} of {found.symbol}")
        return found

    def _listed_order(self, client_id: str) -> Talk[bytes | None]:
        body = yield from history.found_or_none(ask("/v1/orders/uuids", f"identifiers[]={client_id}", DEFAULT))
        listed = history.rows(body, "orders by ids") if body is not None else []
        if len(listed) > 1:
            raise nonsense("orders by ids", f"expected {client_id} alone, found {len(listed)} orders")
        return listed[0] if listed else None

    def open_orders(self, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """All open orders of the account, whoever placed them. `unreadable`: an order made no sense, or the list did not hold still."""
        now_ns = yield from self.clock()
        listed, steady = yield from history.open_orders()
        return self._page(listed.values(), now_ns, steady=steady)

    def ended_orders(self, since_ns: int, symbols: Sequence[str] = ()) -> Talk[Page[OrderSeen]]:
        """Orders that were created up to 7 days before then, or later, and have ended; the venue tells no time of the end. At most 28 days back."""
        now_ns = yield from self.clock()
        now_ms = now_ns // NS_PER_MS
        from_ms = max(since_ns // NS_PER_MS - history.WINDOW_MS, now_ms - CLOSED_WINDOWS * history.WINDOW_MS, 0)
        listed = yield from history.closed_orders(from_ms, max(now_ms, from_ms) + history.MARGIN_MS)
        return self._page(listed.values(), now_ns, steady=True)

    def _page(self, listed: Iterable[history.Listed], now_ns: int, *, steady: bool) -> Page[OrderSeen]:
        found: list[OrderSeen] = []
        for each in listed:
            try:
                found.append(order_seen(order_row(each.data), self.instruments))
            except Nonsense:
                steady = False
        return Page(tuple(found), "", now_ns, unreadable=not steady)

    def fills(self, cursor: str) -> Talk[Page[FillSeen]]:
        """Executions after a cursor; "" is those of orders that are open or were created in the last 7 days."""
        now_ns = yield from self.clock()
        return (yield from history.fills(cursor, now_ns, self.instruments))

    def ledger(self, cursor: str) -> Talk[Page[LedgerSeen]]:
        """Deposits and withdrawals that were done, as far as the key may see them; "" is those that began in the last 7 days. Fees come with the
        executions, and airdrops are in no list."""
        now_ns = yield from self.clock()
        return (yield from transfers(cursor, now_ns))

    def cursor_at(self, venue_ns: int) -> str:
        """See `history`. An order that was open then is found as long as it stays open."""
        return history.Cursor(max(venue_ns, 0) // NS_PER_MS).text()

    def _known(self, symbol: str) -> Instrument:
        found = self.instruments.get(symbol)
        if found is None:
            raise UsageError(f"{symbol}: expected one of {', '.join(sorted(self.instruments)) or 'no instruments'}")
        return found


def _books(body: bytes) -> dict[str, _Book]:
    found = decoded(_decode_books, body, "books")
    if not found or any(len(book.orderbook_units) > MAX_UNITS for book in found):
        raise nonsense("books", f"expected one or more of at most {MAX_UNITS} levels, found {len(found)} books")
    return {book.market: book for book in found}


def _day(time_ns: int) -> date:
    return datetime.fromtimestamp(time_ns // NS_PER_S, _SEOUL).date()
