"""An account at a venue in memory, behind the port that the gate reads by, and a gate's journal beside it.

The venue's time moves by `step_ns` with every read, and each list shows what was so its own lag ago. Tests set what a read fails with, which pages
are unreadable, and what happens between the moment that a read is asked and the moment at which it is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from tests.gate import limit_cases as lc
from tests.gate import order_records as rec
from tests.gate.disks import FakeDisk

from interlock.domain.ids import ClientId
from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch
from interlock.gate.clock_watch import SkewSample
from interlock.gate.foreign import NOTHING_UNMANAGED, unmanaged_of
from interlock.gate.journal import Options, open_journal, recover
from interlock.gate.keeper import Keeper
from interlock.gate.readings import Now
from interlock.gate.references import Quote, Rate
from interlock.gate.state import GateState
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

VENUE, ACCOUNT, SYMBOL = rec.VENUE, rec.ACCOUNT, rec.SYMBOL
TAG = "demo"
SECOND = 1_000_000_000
START_NS = 1_000 * SECOND
FOLDER = Path("/journal")
T = TypeVar("T")
K = TypeVar("K", bound=r.Record)


def listing(symbol: str, base: str, kind: Kind = Kind.PERPETUAL, quote: str = "USDT") -> Listing:
    """An instrument of a cent a tick and a tenth of a coin a lot."""
    return Listing(
        symbol=symbol,
        base=base,
        quote=quote,
        kind=kind,
        tick=Decimal("0.01"),
        lot=Decimal("0.1"),
        min_lots=1,
        min_notional=Decimal(1),
        trading=True,
        tiers=((Decimal(1_000_000), Decimal("0.1"), Decimal("0.05")),),
    )


UNMANAGED = unmanaged_of(
    ["DOGE", "GIFT"], [listing("DOGEUSDT", "DOGE"), listing("DOGEKRW", "DOGE", Kind.SPOT, "KRW"), listing(SYMBOL, "BTC")], [SYMBOL]
)
"""What others may be active in on a shared account here."""


def own_id(number: int, tag: str = TAG) -> str:
    """A client id of ours."""
    return str(ClientId(tag, 1, number, 7))


def shown(
    client_id: str,
    state: OrderState = OrderState.OPEN,
    filled: int = 0,
    lots: int = 10,
    venue_ns: int = START_NS,
    symbol: str = SYMBOL,
    venue_order_id: str | None = None,
    source: str = "open",
    side: Side = Side.BUY,
    ticks: int = 100,
) -> ShownOrder:
    """An order as a list shows it."""
    report = r.Reported(
        boot_ns=1,
        client_id=client_id,
        venue_order_id=f"v{client_id}" if venue_order_id is None else venue_order_id,
        state=state,
        filled_lots=filled,
        lots=lots,
        source=source,
        code="",
        venue_ns=venue_ns,
    )
    return ShownOrder(report=report, symbol=symbol, side=side, ticks=ticks, open_lots=0 if state.final else lots - filled)


class VenueAccount:
    """The account, and what reading it gives."""

    def __init__(self, venue: str = VENUE, account: str = ACCOUNT, now_ns: int = START_NS) -> None:
        self.venue = venue
        self.account = account
        self.fingerprint = fingerprint_of(account)
        self.now_ns = now_ns
        self.step_ns = 1_000
        self.lag_ns: dict[str, int] = {}
        self.failures: dict[str, list[ReadFailed]] = {}
        self.unreadable: dict[str, int] = {}
        """By read: how many of the next answers leave something out."""
        self.asked: list[str] = []
        self.asked_symbols: list[tuple[str, ...]] = []
        """Of each list of orders that was asked for: of which symbols, none for all."""
        self.meanwhile: Callable[[str], None] = lambda _read: None
        """Called with the name of each read, after it was asked and before it is answered."""
        self.positions: dict[str, int] = {}
        self.entries: dict[str, Decimal] = {}
        self.balances: dict[str, Decimal] = {}
        self._orders: dict[str, list[tuple[int, ShownOrder]]] = {}
        self._executions: list[tuple[int, r.Filled | r.FillReversed | r.LedgerEvent]] = []
        self._entries: list[tuple[int, r.LedgerEvent]] = []

    # What happens there

    def show(self, client_id: str, state: OrderState = OrderState.OPEN, filled: int = 0, lots: int = 10, **more: Any) -> ShownOrder:
        """An order comes to be so."""
        order = shown(client_id, state, filled, lots, self.now_ns, **more)
        self._orders.setdefault(order.report.venue_order_id, []).append((self.now_ns, order))
        return order

    def fill(self, lots: int, trade_id: str, client_id: str, side: Side = Side.BUY, **more: Any) -> r.Filled:
        """An execution happens; the position moves with it."""
        record = rec.fill(lots, trade_id, client_id, side, **{"venue_ns": self.now_ns, **more})
        self._executions.append((self.now_ns, record))
        self.positions[record.symbol] = self.positions.get(record.symbol, 0) + side * lots
        return record

    def execute(self, event: r.LedgerEvent) -> None:
        """The venue itself trades on the account."""
        self._executions.append((self.now_ns, event))

    def reverse(self, fill: r.Filled) -> r.FillReversed:
        """An execution is taken back."""
        record = rec.reversal(fill.trade_id, fill.symbol)
        self._executions.append((self.now_ns, record))
        self.positions[fill.symbol] -= fill.side * fill.lots
        return record

    def enter(self, kind: r.LedgerKind, amount: str, venue_id: str, currency: str = "USDT", **more: Any) -> r.LedgerEvent:
        """A balance changes."""
        record = rec.event(kind, amount, venue_id, currency, **{"venue_ns": self.now_ns, **more})
        self._entries.append((self.now_ns, record))
        self.balances[currency] = self.balances.get(currency, Decimal(0)) + Decimal(amount)
        return record

    def lose(self, client_id: str) -> None:
        """The venue no longer shows an order anywhere."""
        del self._orders[f"v{client_id}"]

    # The port

    async def order(self, client_id: str) -> ShownOrder | None:
        await self._read("order")
        found = [one for one in self._as_of("order") if one.report.client_id == client_id]
        return found[-1] if found else None

    async def open_orders(self, symbols: Sequence[str] = ()) -> OrderList:
        stamp = await self._read("open_orders")
        self.asked_symbols.append(tuple(symbols))
        mine = (one for one in self._as_of("open_orders") if not symbols or one.symbol in symbols)
        return OrderList(tuple(one for one in mine if not one.report.state.final), stamp)

    async def history(self, symbols: Sequence[str] = ()) -> OrderList:
        stamp = await self._read("history")
        self.asked_symbols.append(tuple(symbols))
        mine = (one for one in self._as_of("history") if not symbols or one.symbol in symbols)
        ended = (one for one in mine if one.report.state.final)
        return OrderList(tuple(msgspec.structs.replace(one, report=_of_history(one.report)) for one in ended), stamp)

    async def executions(self, cursor: str) -> Executions:
        stamp = await self._read("executions")
        events, after, unreadable = self._page("executions", self._executions, cursor)
        return Executions(tuple(events), after, stamp, unreadable)

    async def ledger(self, cursor: str) -> LedgerPage:
        stamp = await self._read("ledger")
        events, after, unreadable = self._page("ledger", self._entries, cursor)
        return LedgerPage(tuple(events), after, stamp, unreadable)

    async def holdings(self) -> Holdings:
        stamp = await self._read("holdings")
        positions = tuple(Holding(symbol, lots, self.entries.get(symbol, Decimal(1))) for symbol, lots in self.positions.items())
        return Holdings(positions, tuple(self.balances.items()), stamp)

    async def quote(self, symbol: str) -> Quote:
        raise NotImplementedError

    async def rate(self, currency: str) -> Rate:
        raise NotImplementedError

    async def clock(self) -> SkewSample:
        raise NotImplementedError

    async def listings(self) -> tuple[Listing, ...]:
        raise NotImplementedError

    async def key(self) -> KeyScope:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    async def _read(self, name: str) -> int:
        self.asked.append(name)
        self.now_ns += self.step_ns
        await asyncio.sleep(0)
        self.meanwhile(name)
        if self.failures.get(name):
            raise self.failures[name].pop(0)
        return self.now_ns

    def _as_of(self, name: str) -> Iterator[ShownOrder]:
        at_ns = self.now_ns - self.lag_ns.get(name, 0)
        for versions in self._orders.values():
            visible = [order for since_ns, order in versions if since_ns <= at_ns]
            if visible:
                yield visible[-1]

    def _page(self, name: str, events: list[tuple[int, T]], cursor: str) -> tuple[list[T], str, bool]:
        at_ns = self.now_ns - self.lag_ns.get(name, 0)
        after = int(cursor or "0")
        visible = [event for since_ns, event in events if since_ns <= at_ns]
        found = visible[after:]
        unreadable = self.unreadable.get(name, 0) > 0
        if unreadable:
            self.unreadable[name] -= 1
            found = found[:-1]
        return found, str(len(visible)) if visible else "", unreadable


def _of_history(report: r.Reported) -> r.Reported:
    return msgspec.structs.replace(report, source="history")


class Bench:
    """A gate's journal, its clock, and one account that it watches."""

    def __init__(self, *, shared: bool = False, venue: str = VENUE) -> None:
        self._disk = FakeDisk()
        journal, _ = open_journal(self._disk, FOLDER, schema=r.SCHEMA, incarnation=bytes(16), options=Options(1 << 17, 1 << 15, 1 << 15))
        self.keeper = Keeper(GateState(lc.SHEET), journal)
        self.venue = VenueAccount(venue)
        self.boot_ns = 5 * SECOND
        self.watch = self.another_watch(shared=shared)

    def another_watch(self, *, shared: bool = False) -> AccountWatch:
        """A watch as the next process life begins with it."""
        unmanaged = UNMANAGED if shared else NOTHING_UNMANAGED
        return AccountWatch(self.keeper, self.venue.venue, ACCOUNT, (TAG,), self.now, unmanaged=unmanaged)

    def now(self) -> Now:
        """The gate's clock; the wall clock is the venue's."""
        return Now(self.boot_ns, self.venue.now_ns)

    def wait(self, ns: int) -> None:
        """Time passes, here and there."""
        self.boot_ns += ns
        self.venue.now_ns += ns

    def journal(self, *records: r.Record) -> None:
        """Records of others."""
        self.keeper.take(*records, now=self.now())

    def place(self, number: int, lots: int = 10, side: Side = Side.BUY, symbol: str = SYMBOL, window_ns: int = SECOND, **more: Any) -> str:
        """An order of ours goes out, signed now; its client id."""
        client_id = own_id(number)
        self.journal(
            rec.intent(client_id, lots=lots, side=side, symbol=symbol, venue=self.venue.venue, **more),
            rec.permit(client_id),
            rec.wire(client_id),
            rec.sent(client_id, sign_wall_ns=self.venue.now_ns, window_ns=window_ns),
        )
        return client_id

    def open(self, number: int, **more: Any) -> str:
        """An order of ours that the venue has, and has said so."""
        client_id = self.place(number, **more)
        self.venue.show(client_id, lots=more.get("lots", 10), symbol=more.get("symbol", SYMBOL))
        self.journal(rec.answer(OrderState.OPEN, client_id))
        return client_id

    def lose(self, number: int, **more: Any) -> str:
        """An order of ours without an answer."""
        client_id = self.place(number, **more)
        self.journal(rec.unknown(client_id))
        return client_id

    @property
    def state(self) -> GateState:
        return self.keeper.state

    @property
    def records(self) -> int:
        """How many records were folded, which are those that the journal was given."""
        return self.keeper.state.records

    def told(self, kind: type[K], after: int = 0) -> list[K]:
        """The records of a kind that the journal holds, later than the first `after` of all."""
        found: list[K] = []

        def consume(lsn: int, payload: bytes) -> None:
            record = r.decode(payload)
            if lsn > after and isinstance(record, kind):
                found.append(record)

        self.keeper.journal.flush()
        recover(self._disk, FOLDER, schema=r.SCHEMA, consume=consume)
        return found

    def order_state(self, client_id: str) -> OrderState:
        return self.state.orders.by_id[client_id].state

    def latches(self) -> list[str]:
        return [hold.name for hold in self.state.lattice.latches]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(work)

    def run_cancelled(self, work: Coroutine[Any, Any, object], turns: int) -> None:
        """Begin a piece of work, and cancel it after so many turns of the loop."""

        async def cancel() -> None:
            task = asyncio.ensure_future(work)
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        asyncio.run(cancel())


@contextmanager
def bench(*, shared: bool = False, venue: str = VENUE) -> Iterator[Bench]:
    """A bench whose journal is closed afterwards."""
    made = Bench(shared=shared, venue=venue)
    try:
        yield made
    finally:
        made.keeper.journal.close()
