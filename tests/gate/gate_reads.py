"""The gate's view of the venue in memory: its port for reads, and the private stream as far as a test lets it be heard.

A read takes no real time and as much virtual time as the venue takes. What the account watch, the reconciler and the resolver make of it is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from tests.gate.gate_ground import asked

from interlock.gate import records as r
from interlock.gate.venue_fake_reads import entered, number, shown, told
from interlock.gate.venue_reads import (
    Executions,
    Holding,
    Holdings,
    LedgerPage,
    OrderList,
    ReadFailed,
    ShownOrder,
    StreamEvent,
    fingerprint_of,
)
from interlock.simulate.fake_venue.client import VenueClient
from interlock.simulate.fake_venue.memory import MemoryLink
from interlock.venues.fake import wire

if TYPE_CHECKING:
    from tests.gate.gate_account import Host

B = TypeVar("B", bound=wire.Message)
E = TypeVar("E")

MS = 1_000_000
READ_NS = 500 * MS
"""How long an answer may take."""
PAGE = 100


class MemoryReads:
    """Reads one account of the venue in memory; every read fails whole."""

    def __init__(self, host: Host, account: str) -> None:
        self.venue = host.venue
        self.account = account
        self.fingerprint = fingerprint_of(account)
        self._host = host
        self._client: VenueClient | None = None

    def close(self) -> None:
        self._client = None

    async def quote(self, symbol: str) -> NoReturn:
        raise ReadFailed(f"nobody asks for {symbol} here")

    async def rate(self, currency: str) -> NoReturn:
        raise ReadFailed(f"nobody asks for {currency} here")

    async def clock(self) -> NoReturn:
        raise ReadFailed("nobody asks for the time here")

    async def listings(self) -> NoReturn:
        raise ReadFailed("nobody asks for the listings here")

    async def key(self) -> NoReturn:
        raise ReadFailed("nobody asks for the key here")

    async def order(self, client_id: str) -> ShownOrder | None:
        answer = self._answer(wire.QueryOrder(client_id=client_id))
        if (answer.status, answer.code) == (404, wire.Code.ORDER_NOT_FOUND):
            return None
        return self._shown(_body(answer, wire.OrderView), "open")

    async def open_orders(self, symbols: Sequence[str] = ()) -> OrderList:
        return self._orders(lambda cursor: wire.ReadOpenOrders(cursor=cursor, limit=PAGE), "open")

    async def history(self, symbols: Sequence[str] = ()) -> OrderList:
        return self._orders(lambda cursor: wire.ReadOrderHistory(cursor=cursor, limit=PAGE), "history")

    async def executions(self, cursor: str) -> Executions:
        def read(answer: wire.Answer) -> tuple[list[r.Filled | r.FillReversed | None], str]:
            page = _body(answer, wire.Executions)
            return [told(one, self.venue, self.account, self._host.now().boot_ns) for one in page.executions], page.cursor

        found: tuple[tuple[r.Filled | r.FillReversed, ...], str, int, bool] = self._events(
            cursor, lambda after: wire.ReadExecutions(cursor=after, limit=PAGE), read
        )
        return Executions(*found)

    async def ledger(self, cursor: str) -> LedgerPage:
        def read(answer: wire.Answer) -> tuple[list[r.LedgerEvent | None], str]:
            page = _body(answer, wire.LedgerPage)
            return [entered(one, self.venue, self.account, self._host.now().boot_ns) for one in page.entries], page.cursor

        return LedgerPage(*self._events(cursor, lambda after: wire.ReadLedger(cursor=after, limit=PAGE), read))

    async def holdings(self) -> Holdings:
        first, second = self._answer(wire.ReadPositions()), self._answer(wire.ReadBalances())
        positions = tuple(
            Holding(one.symbol, one.lots, _sum(one.entry_price) if one.lots else Decimal(0))
            for one in _body(first, wire.Positions).positions
        )
        balances = tuple((one.currency, _sum(one.amount)) for one in _body(second, wire.Balances).balances)
        return Holdings(positions, balances, min(first.venue_ns, second.venue_ns))

    def _orders(self, ask: Callable[[str], wire.AnyRequest], source: str) -> OrderList:
        found: list[ShownOrder] = []
        cursor, venue_ns = "", 0
        while True:
            answer = self._answer(ask(cursor))
            page = _body(answer, wire.Orders)
            found += [self._shown(view, source) for view in page.orders]
            cursor, venue_ns = page.cursor, venue_ns or answer.venue_ns
            if not cursor:
                return OrderList(tuple(found), venue_ns)

    def _shown(self, view: wire.OrderView, source: str) -> ShownOrder:
        order = shown(view, source, self._host.now().boot_ns)
        if order is None:
            raise ReadFailed(f"order {view.client_id!r} makes no sense")
        return order

    def _events(
        self, cursor: str, ask: Callable[[str], wire.AnyRequest], read: Callable[[wire.Answer], tuple[Sequence[E | None], str]]
    ) -> tuple[tuple[E, ...], str, int, bool]:
        events: list[E] = []
        safe, unreadable = cursor, False
        while True:
            answer = self._answer(ask(cursor))
            found, after = read(answer)
            if not found:
                return tuple(events), safe, answer.venue_ns, unreadable
            events += [event for event in found if event is not None]
            unreadable |= None in found
            cursor = after
            safe = safe if unreadable else cursor

    def _answer(self, request: wire.AnyRequest) -> wire.Answer:
        if self._client is None:
            self._client = self._host.network.connect(self.venue, "orders")
        answer = asked(self._client, self._host.network, request, READ_NS)
        if answer is None:
            self._client = None
            raise ReadFailed("no answer in time")
        if not answer.ok and answer.code != wire.Code.ORDER_NOT_FOUND:
            raise ReadFailed(f"the venue refused: {answer.code}", limited=answer.code == wire.Code.BANNED)
        return answer


class Ear:
    """The private stream. What came waits until `hear` is asked for it; what may have been missed is told as a gap."""

    def __init__(self, host: Host, account: str, take: Callable[[StreamEvent], None], gap: Callable[[str], None]) -> None:
        self._host = host
        self._account = account
        self._take = take
        self._gap = gap
        self._client: VenueClient | None = None
        self._next = 0

    def follow(self) -> bool:
        """Subscribe where that was lost; whether there is a stream."""
        if self._client is not None and not cast(MemoryLink, self._client.link).broken:
            return True
        self._client = self._host.network.connect(self._host.venue, "stream")
        answer = asked(self._client, self._host.network, wire.Subscribe(), READ_NS)
        self._gap("connected")
        if answer is None or not isinstance(answer.body, wire.Subscribed):
            self._client = None
            return False
        self._next = answer.body.next_sequence
        return True

    def hear(self, most: int) -> int:
        """Take so many events; how many there were."""
        if not self.follow() or self._client is None:
            return 0
        try:
            self._client.poll(0)
        except (ConnectionError, wire.WireError):
            self._client = None
            self._gap("lost")
            return 0
        count = 0
        while self._client.pushed and count < most:
            count += 1
            self._event(self._client.pushed.popleft())
        return count

    def _event(self, push: wire.Push) -> None:
        if push.sequence != self._next:
            self._gap(f"event {push.sequence} instead of {self._next}")
        self._next = max(self._next, push.sequence + 1)
        boot_ns, host = self._host.now().boot_ns, self._host
        event: Any = None
        match push.event:
            case wire.OrderView():
                event = shown(push.event, "stream", boot_ns)
            case wire.Execution():
                event = told(push.event, host.venue, self._account, boot_ns)
            case wire.LedgerEntry():
                event = entered(push.event, host.venue, self._account, boot_ns)
            case _:
                return
        if event is None:
            self._gap("an event that makes no sense")
        else:
            self._take(event)


def _body(answer: wire.Answer, kind: type[B]) -> B:
    if not isinstance(answer.body, kind):
        raise ReadFailed(f"expected {kind.__name__}, found {type(answer.body).__name__}")
    return answer.body


def _sum(text: str) -> Decimal:
    value = number(text)
    if value is None:
        raise ReadFailed(f"{text!r} is no number")
    return value
