"""What the gate reads from the fake venue, on one connection of its own that is opened when it is needed.

Numbers and texts that make no sense are not passed on, but for prices and rates, which the references judge: a reading that is wrong ends the last
one at once, while a read that failed leaves it until it is stale.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from itertools import count
from typing import NamedTuple, TypeVar

from interlock.domain.fx import FxSource
from interlock.domain.instruments import Kind
from interlock.gate import records as r
from interlock.gate.clock_watch import SkewSample
from interlock.gate.limit_sheet import LARGEST
from interlock.gate.readings import Now
from interlock.gate.references import Quote, Rate
from interlock.gate.venue_fake import LONGEST_TEXT, amount, booked, executed, reported
from interlock.gate.venue_fake_line import Line, Said, connect, refusal
from interlock.gate.venue_reads import (
    Executions,
    Holding,
    Holdings,
    KeyScope,
    LedgerPage,
    Listing,
    OrderList,
    ReadFailed,
    ShownOrder,
    fingerprint_of,
)
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.fake import budget, wire

PAGE = 200
MOST_PAGES = 1_000
MOST_DIGITS = 30
"""A number with more digits before or after its point is none of money; exact arithmetic on it would not end."""
B = TypeVar("B", bound=wire.Message)
E = TypeVar("E")


def number(text: str) -> Decimal | None:
    """The number that a text says; None if it says none, or one that is no amount of anything."""
    value = amount(text) if len(text) <= LONGEST_TEXT else None
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    return value if isinstance(exponent, int) and exponent >= -MOST_DIGITS and value.adjusted() <= MOST_DIGITS else None


def shown(view: wire.OrderView, source: str, boot_ns: int) -> ShownOrder | None:
    """An order of a list or the stream; None if its numbers or texts make no sense. More filled than there is of it is told as it is."""
    counted = 0 < view.lots < LARGEST and 0 <= view.filled_lots < LARGEST and 0 <= view.ticks < LARGEST and view.updated_ns >= 0
    if not (counted and view.symbol and _short(view.client_id, view.venue_order_id, view.symbol, view.code)):
        return None
    report = reported(view, source, boot_ns)
    left = 0 if report.state.final else max(view.lots - view.filled_lots, 0)
    return ShownOrder(report=report, symbol=view.symbol, side=view.side, ticks=view.ticks, open_lots=left)


def told(execution: wire.Execution, venue: str, account: str, boot_ns: int) -> r.Filled | r.FillReversed | None:
    """An execution or its taking back; None if its numbers or texts make no sense."""
    texts = (execution.trade_id, execution.client_id, execution.symbol, execution.fee_currency)
    counted = 0 < execution.lots < LARGEST and 0 < execution.ticks < LARGEST and execution.venue_ns >= 0
    if not (execution.trade_id and execution.symbol and _short(*texts)):
        return None
    if not execution.reversed and not (counted and execution.fee_currency and number(execution.fee) is not None):
        return None
    record = executed(execution, venue, account, boot_ns)
    return record if isinstance(record, r.Filled | r.FillReversed) else None


def entered(entry: wire.LedgerEntry, venue: str, account: str, boot_ns: int) -> r.LedgerEvent | None:
    """A change of a balance; None if its kind, amount or texts make no sense."""
    sound = entry.venue_id and entry.currency and _short(entry.venue_id, entry.currency, entry.symbol) and entry.venue_ns >= 0
    return booked(entry, venue, account, boot_ns) if sound and number(entry.amount) is not None else None


class _Turn(NamedTuple):
    """One read: until when it may take, and in which life of the reader it began."""

    until_boot_ns: int
    life: int


class FakeReads:
    """Reads one account. `port` is the orders port on 127.0.0.1; `timeout_ns` the limit of one whole read, with all its pages.

    `receive_window_ns` bounds when the venue still takes a read of the account; 0: no bound. Reads of the market and of the clock are not signed.
    Several reads may be under way at once; one that is late, or anything uncertain about the connection, fails all that are in flight on it, and the
    next opens a new one. After the venue limited the rate, reads fail without a byte until the time that it named, and while what reads may use of
    its limits is used up by `meter`, so that placements and cancels find room.
    """

    def __init__(
        self,
        venue: str,
        account: str,
        port: int,
        clock: Callable[[], Now],
        *,
        timeout_ns: int,
        receive_window_ns: int,
        meter: Meter | None = None,
    ) -> None:
        self.venue = venue
        self.account = account
        self.fingerprint = fingerprint_of(account)  # there are no keys here
        self._port = port
        self._clock = clock
        self._timeout_ns = timeout_ns
        self._window_ns = receive_window_ns
        self._numbers = count(1)
        self._line: Line | None = None
        self._opening = asyncio.Lock()
        self._life = 0
        self.meter = meter or Meter(budget.LIMITS, GATE)
        """What the gate keeps of the venue's limits."""

    # The market

    async def quote(self, symbol: str) -> Quote:
        """Best bid and ask as the venue tells them, also when they make no book: `references.is_sound` judges it."""
        said = await self._ask(self._turn(), wire.ReadTop(symbol=symbol))
        top = _body(said, wire.Top)
        _same(top.symbol, symbol)
        return Quote(
            venue=self.venue,
            symbol=symbol,
            bid_ticks=top.bid_ticks,
            ask_ticks=top.ask_ticks,
            mark_ticks=top.mark_ticks,
            trading=top.trading,
            boot_ns=said.heard.boot_ns,
            halted=not top.trading,
        )

    async def rate(self, currency: str) -> Rate:
        """The venue's index of a currency, also when its sides make no rate: `references.with_rate` judges it."""
        said = await self._ask(self._turn(), wire.ReadIndex(currency=currency))
        index = _body(said, wire.IndexPrice)
        _same(index.currency, currency)
        return Rate(
            currency=currency,
            source=FxSource.BOOK,
            name=f"{self.venue} index",
            bid=_number(index.bid, "bid"),
            ask=_number(index.ask, "ask"),
            boot_ns=said.heard.boot_ns,
        )

    async def clock(self) -> SkewSample:
        """The venue's clock against ours. The connection is open before the question is asked."""
        said = await self._ask(self._turn(), wire.ReadTime())
        return SkewSample(
            asked_wall_ns=said.asked.wall_ns,
            venue_ns=said.answer.venue_ns,
            round_trip_ns=said.heard.boot_ns - said.asked.boot_ns,
            boot_ns=said.heard.boot_ns,
        )

    async def listings(self) -> tuple[Listing, ...]:
        """Every instrument. Fails when one of them makes no sense."""
        said = await self._ask(self._turn(), wire.ReadInstruments())
        found = tuple(_listing(info) for info in _body(said, wire.Instruments).instruments)
        _once(listing.symbol for listing in found)
        return found

    # The account

    async def key(self) -> KeyScope:
        """Whose key it is and what it may do."""
        said = await self._ask(self._turn(), wire.ReadPermissions(receive_window_ns=self._window_ns))
        may = _body(said, wire.Permissions)
        if not (
            may.account and (may.expires_ns is None or may.expires_ns >= 0) and _short(may.account, may.position_mode, may.margin_mode)
        ):
            raise ReadFailed(f"what the key may do makes no sense: account {may.account[:LONGEST_TEXT]!r}, expires at {may.expires_ns}")
        return KeyScope(
            account=may.account,
            fingerprint=self.fingerprint,
            trade=may.trade,
            withdraw=may.withdraw,
            transfer=may.transfer,
            address_bound=may.address_bound,
            expires_wall_ns=may.expires_ns,
            position_mode=may.position_mode,
            margin_mode=may.margin_mode,
        )

    async def order(self, client_id: str) -> ShownOrder | None:
        """One order by its client id, its source told as "open". None is only the venue's plain "not found"."""
        request = wire.QueryOrder(client_id=client_id, receive_window_ns=self._window_ns)
        said = await self._ask(self._turn(), request, or_missing=True)
        if not said.answer.ok:
            return None
        view = _body(said, wire.OrderView)
        _same(view.client_id, client_id)
        return _shown(view, "open", said)

    async def open_orders(self, symbols: Sequence[str] = ()) -> OrderList:
        """All open orders, to the end of the list, whatever their symbols."""
        return await self._orders(lambda cursor: wire.ReadOpenOrders(cursor=cursor, limit=PAGE, receive_window_ns=self._window_ns), "open")

    async def history(self, symbols: Sequence[str] = ()) -> OrderList:
        """The orders that ended, to the end of the list, whatever their symbols."""
        return await self._orders(
            lambda cursor: wire.ReadOrderHistory(cursor=cursor, limit=PAGE, receive_window_ns=self._window_ns), "history"
        )

    async def executions(self, cursor: str) -> Executions:
        """All executions after a cursor. The one given back stands before the first page that was not wholly readable: it is read again."""

        def read(said: Said) -> tuple[list[r.Filled | r.FillReversed | None], str]:
            page = _body(said, wire.Executions)
            return [told(one, self.venue, self.account, said.heard.boot_ns) for one in page.executions], page.cursor

        def ask(after: str) -> wire.AnyRequest:
            return wire.ReadExecutions(cursor=after, limit=PAGE, receive_window_ns=self._window_ns)

        found: tuple[tuple[r.Filled | r.FillReversed, ...], str, int, bool] = await self._events(cursor, ask, read)
        return Executions(*found)

    async def ledger(self, cursor: str) -> LedgerPage:
        """All ledger events after a cursor, which is given back as that of `executions`."""

        def read(said: Said) -> tuple[list[r.LedgerEvent | None], str]:
            page = _body(said, wire.LedgerPage)
            return [entered(one, self.venue, self.account, said.heard.boot_ns) for one in page.entries], page.cursor

        def ask(after: str) -> wire.AnyRequest:
            return wire.ReadLedger(cursor=after, limit=PAGE, receive_window_ns=self._window_ns)

        return LedgerPage(*await self._events(cursor, ask, read))

    async def holdings(self) -> Holdings:
        """Positions and balances, one after the other. Fails when one of them makes no sense or is told twice."""
        turn = self._turn()
        first = await self._ask(turn, wire.ReadPositions(receive_window_ns=self._window_ns))
        positions = tuple(_holding(position) for position in _body(first, wire.Positions).positions)
        second = await self._ask(turn, wire.ReadBalances(receive_window_ns=self._window_ns))
        balances = tuple(
            (_text(balance.currency, "currency"), _number(balance.amount, "balance")) for balance in _body(second, wire.Balances).balances
        )
        _once(position.symbol for position in positions)
        _once(currency for currency, _ in balances)
        return Holdings(positions, balances, min(first.answer.venue_ns, second.answer.venue_ns))

    def close(self) -> None:
        """Give the connection up. Reads that are under way fail; the next one opens a new connection."""
        self._life += 1
        if self._line is not None:
            self._line.abort("the reader was closed")

    # How it is read

    async def _orders(self, ask: Callable[[str], wire.AnyRequest], source: str) -> OrderList:
        turn = self._turn()
        orders: list[ShownOrder] = []
        cursor, venue_ns = "", 0
        for _ in range(MOST_PAGES):
            said = await self._ask(turn, ask(cursor))
            page = _body(said, wire.Orders)
            orders += [_shown(view, source, said) for view in page.orders]
            venue_ns = venue_ns or said.answer.venue_ns
            if not page.cursor:
                return OrderList(tuple(orders), venue_ns)
            _moved(cursor, page.cursor)
            cursor = page.cursor
        raise _endless()

    async def _events(
        self, cursor: str, ask: Callable[[str], wire.AnyRequest], read: Callable[[Said], tuple[Sequence[E | None], str]]
    ) -> tuple[tuple[E, ...], str, int, bool]:
        """Pages up to one that is empty, which is the only sure end of them."""
        turn = self._turn()
        events: list[E] = []
        safe, unreadable = cursor, False
        for _ in range(MOST_PAGES):
            said = await self._ask(turn, ask(cursor))
            found, after = read(said)
            if not found:
                if after != cursor:
                    raise ReadFailed(f"an empty page moved the cursor from {cursor!r} to {after[:LONGEST_TEXT]!r}")
                return tuple(events), safe, said.answer.venue_ns, unreadable
            _moved(cursor, after)
            events += [event for event in found if event is not None]
            unreadable |= None in found
            cursor = after
            safe = safe if unreadable else cursor
        raise _endless()

    def _turn(self) -> _Turn:
        return _Turn(self._clock().boot_ns + self._timeout_ns, self._life)

    async def _ask(self, turn: _Turn, request: wire.AnyRequest, *, or_missing: bool = False) -> Said:
        self._may_ask()
        line = await self._open(turn)
        self._may_ask()  # the venue may have answered somebody else meanwhile
        self.meter.spent(budget.REQUEST, self._clock().boot_ns)
        said = await line.ask(request, turn.until_boot_ns)
        budget.take(self.meter, Spend.READ, said.answer, asked_ns=said.asked.boot_ns, now_ns=said.heard.boot_ns)
        refused = refusal(said.answer)
        if refused is not None and not (or_missing and (said.answer.status, said.answer.code) == (404, wire.Code.ORDER_NOT_FOUND)):
            raise refused
        if not said.answer.venue_ns > 0:
            raise ReadFailed(f"expected the venue's time with the answer, found {said.answer.venue_ns}")
        return said

    def _may_ask(self) -> None:
        now_ns = self._clock().boot_ns
        if left_ns := self.meter.refused_ns(Spend.READ, now_ns):
            raise ReadFailed("the venue limited the rate and is left alone", retry_after_ns=left_ns, limited=True)
        if wait_ns := self.meter.wait_ns(Spend.READ, budget.REQUEST, now_ns):
            raise ReadFailed("what reads may use of the venue's limits is used up", retry_after_ns=wait_ns, unasked=True)

    async def _open(self, turn: _Turn) -> Line:
        left_ns = turn.until_boot_ns - self._clock().boot_ns
        try:
            async with asyncio.timeout(max(left_ns, 0) / 1e9), self._opening:
                if turn.life == self._life and (self._line is None or not self._line.is_open):
                    connection = await connect(self._port, f"{self.venue}.reads")
                    if turn.life == self._life:
                        self._line = Line(connection, self._clock, self._numbers)
                    else:
                        connection.abort()
        except TimeoutError:
            raise ReadFailed("no connection in time") from None
        if turn.life != self._life or self._line is None:
            raise ReadFailed("the reader was closed")
        return self._line


def _body(said: Said, kind: type[B]) -> B:
    if not isinstance(said.answer.body, kind):
        raise ReadFailed(f"expected {kind.__name__}, found {type(said.answer.body).__name__}")
    return said.answer.body


def _same(found: str, asked: str) -> None:
    if found != asked:
        raise ReadFailed(f"asked for {asked!r}, told of {found[:LONGEST_TEXT]!r}")


def _moved(before: str, after: str) -> None:
    if after in ("", before) or len(after) > LONGEST_TEXT:
        raise ReadFailed(f"expected a new cursor behind {before!r}, found {after[:LONGEST_TEXT]!r}")


def _once(names: Iterable[str]) -> None:
    listed = list(names)
    if len(set(listed)) != len(listed):
        raise ReadFailed(f"expected each once, found {', '.join(listed)[:LONGEST_TEXT]}")


def _endless() -> ReadFailed:
    return ReadFailed(f"expected an end after at most {MOST_PAGES} pages, found none")


def _number(text: str, what: str) -> Decimal:
    value = number(text)
    if value is None:
        raise ReadFailed(f"{what}: expected a number, found {text[:LONGEST_TEXT]!r}")
    return value


def _text(text: str, what: str) -> str:
    if not text or not _short(text):
        raise ReadFailed(f"{what}: expected a name, found {text[:LONGEST_TEXT]!r}")
    return text


def _short(*texts: str) -> bool:
    return all(len(text) <= LONGEST_TEXT for text in texts)


def _shown(view: wire.OrderView, source: str, said: Said) -> ShownOrder:
    order = shown(view, source, said.heard.boot_ns)
    if order is None:
        raise ReadFailed(f"order {view.client_id[:LONGEST_TEXT]!r} makes no sense: {view.filled_lots} of {view.lots} lots filled")
    return order


def _holding(position: wire.Position) -> Holding:
    price = _number(position.entry_price, "entry price")
    if not (-LARGEST < position.lots < LARGEST) or (position.lots and not price > 0):
        raise ReadFailed(f"a position makes no sense: {position.lots} lots at {price}")
    return Holding(symbol=_text(position.symbol, "symbol"), lots=position.lots, entry_price=price if position.lots else Decimal(0))


def _listing(info: wire.InstrumentInfo) -> Listing:
    tick, lot, least = _number(info.tick, "tick"), _number(info.lot, "lot"), _number(info.min_notional, "least notional")
    tiers = tuple((_number(top, "tier"), _number(initial, "margin"), _number(kept, "margin")) for top, initial, kept in info.tiers)
    if info.kind not in set(Kind) or not (tick > 0 and lot > 0 and least >= 0 and 0 < info.min_lots < LARGEST):
        raise ReadFailed(
            f"an instrument makes no sense: {info.kind[:LONGEST_TEXT]!r}, tick {tick}, lot {lot}, at least {info.min_lots} lots"
        )
    if not all(part > 0 for tier in tiers for part in tier):
        raise ReadFailed(f"an instrument makes no sense: margin tiers {tiers[:2]}")
    return Listing(
        symbol=_text(info.symbol, "symbol"),
        base=_text(info.base, "base"),
        quote=_text(info.quote, "quote"),
        kind=Kind(info.kind),
        tick=tick,
        lot=lot,
        min_lots=info.min_lots,
        min_notional=least,
        trading=info.status == wire.TRADING,
        tiers=tiers,
    )
