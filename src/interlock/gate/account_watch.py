"""One account as its venue tells it, by stream and by reads, turned into records: once each, however often it is told.

The folds stand repetition, but the journal must not grow by it. What the state already has is left out; what differs from it is taken, so that the
fold can flag the conflict. Nothing here concludes anything.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable

import msgspec

from interlock.domain.ids import parse_client_id
from interlock.gate import foreign
from interlock.gate import orders as machine
from interlock.gate import records as r
from interlock.gate.cancels import CANCELLABLE
from interlock.gate.foreign import NOTHING_UNMANAGED, Others, Unmanaged
from interlock.gate.keeper import Keeper
from interlock.gate.ledger import Booked, Event, Ledger, read_after_venue_ns
from interlock.gate.order_machine import RESTING
from interlock.gate.order_state import NEVER_NS, Order, Orders
from interlock.gate.readings import Now
from interlock.gate.venue_reads import Executions, LedgerPage, OrderList, ReadFailed, ShownOrder, StreamEvent, VenueReads

OPENING = "opening."
"""How the ids of the adjustments begin by which a journal takes an account over."""

MOST_STRANGERS = 10_000
"""Of so many orders that are not ours it is remembered that they were told."""


def holds_nothing(ledger: Ledger, venue: str, account: str) -> bool:
    """Whether no execution and no ledger event of an account was ever booked."""
    where = (venue, account)
    return not any(key[:2] == where for part in (ledger.positions, ledger.flows, ledger.fills, ledger.events) for key in part)


def opened_at(ledger: Ledger, venue: str, account: str) -> int:
    """The venue time at which a journal took an account over as it was; 0 if it began with an empty one."""
    times = (
        event.venue_ns
        for key, event in ledger.events.items()
        if key[:2] == (venue, account) and event.kind in (r.LedgerKind.ADJUST, foreign.FOREIGN) and key[3].startswith(OPENING)
    )
    return max(times, default=0)


class AccountWatch:
    """Takes what is told of one account. `tags` begin our client ids.

    An order that is not ours is told as foreign once in a process life. In what is `unmanaged` on a shared account it is recorded as tolerated,
    which stops nothing; one whose id looks like ours never is. An execution that is not ours moves the position, and in what is unmanaged the
    position of others. All of this belongs to one event loop, and what one read brought is taken without a wait in between.

    The first read of a process life goes back to the beginning of the venue's lists, and so does one after what was not readable. What such a read
    shows of a time that the journal has in its sums, but of which it no longer holds every key, is left out; nothing that is told otherwise is.
    """

    def __init__(
        self,
        keeper: Keeper,
        venue: str,
        account: str,
        tags: Collection[str],
        clock: Callable[[], Now],
        *,
        unmanaged: Unmanaged = NOTHING_UNMANAGED,
    ) -> None:
        self.venue = venue
        self.account = account
        self._keeper = keeper
        self._tags = tuple(tags)
        self._clock = clock
        self.unmanaged = unmanaged
        self._theirs_open: dict[tuple[str, str], ShownOrder] = {}
        self._listed = False
        self._opened_venue_ns = opened_at(keeper.state.ledger, venue, account)
        self._strangers: dict[tuple[str, str], None] = {}
        self._disputed: set[bytes] = set()
        """What the fold did not take for true, so that the same told again does not stop the gate again."""
        self._executions_cursor = ""
        self._executions_again = True
        """Whether the next read shows what may have been read before."""
        self._ledger_cursor = ""
        self._ledger_again = True
        self.executions_until_venue_ns = 0
        """All executions until then are in the journal; 0 before the first whole read."""
        self.ledger_until_venue_ns = 0
        self.moves = 0
        """Executions and ledger events taken in this process life, whoever told them."""

    def others(self) -> Others:
        """What is known now of the others on the account. Their open orders are not, before a whole list of open orders was read."""
        return Others(self.unmanaged, self._ledger, tuple(self._theirs_open.values()) if self._listed else None)

    # What is told

    def take(self, event: StreamEvent) -> None:
        """Take one event of the private stream. Raises ValueError for one of another account."""
        match event:
            case ShownOrder():
                self.take_shown(event)
            case r.LedgerEvent():
                self.take_ledger(event)
            case _:
                self.take_execution(event)

    def take_shown(self, shown: ShownOrder) -> None:
        """Take an order as the venue shows it. One with an id of ours on another market than it was sent to is no order of ours."""
        report = shown.report
        order = self._orders.by_id.get(report.client_id)
        if order is None or order.market != (self.venue, self.account, shown.symbol):
            self._tell_stranger(shown, own_prefix=order is not None or self._is_own(report.client_id))
            return
        changes, violates = _effect(order, report)
        if changes or (violates and _content(report) not in self._disputed):
            self._keep(report)
            if violates:
                self._disputed.add(_content(report))

    def take_execution(self, event: r.Filled | r.FillReversed) -> None:
        """Take an execution, or that one was taken back. Raises ValueError for one of another account."""
        key = (event.venue, event.account, event.symbol, event.trade_id)
        if isinstance(event, r.FillReversed):
            fill_key = (event.venue, event.account, str(foreign.FOREIGN), foreign.fill_id(event.symbol, event.trade_id))
            undone = self._ledger.events.get(fill_key)
            if undone is not None:
                self._keep_event(foreign.booked_reversal(event, undone))
            else:
                self._keep_once(event, lambda: key in self._ledger.reversals)
            return
        client_id = event.client_id
        theirs = client_id not in self._orders.by_id and not self._is_own(client_id)
        if theirs and event.symbol in self.unmanaged.listings:
            self._keep_event(foreign.booked_fill(event))
            return
        fill = msgspec.structs.replace(event, client_id="") if theirs else event
        self._keep_once(fill, lambda: _is_booked(self._ledger.fills.get(key), fill))

    def take_ledger(self, event: r.LedgerEvent) -> None:
        """Take a change of a balance or position that is no execution. Raises ValueError for one of another account."""
        self._keep_event(foreign.booked_event(event) if self.unmanaged.event(event) else event)

    # What is read

    def at_venue(self) -> list[str]:
        """The client ids of our orders that the venue may hold."""
        book = self._orders.by_id
        mine = (order for order in (book[name] for name in self._orders.live) if order.market[:2] == (self.venue, self.account))
        return sorted(order.client_id for order in mine if order.state in CANCELLABLE)

    async def begin(self, reads: VenueReads) -> None:
        """Make the account's past the journal's opening, if the journal holds nothing of the account yet; otherwise nothing happens.

        Executions of earlier orders of ours are taken even so: whoever wrote them is not this journal. Raises ReadFailed.
        """
        executions, entries = await reads.executions(""), await reads.ledger("")
        if not holds_nothing(self._ledger, self.venue, self.account):
            return
        if executions.unreadable or entries.unreadable:
            raise ReadFailed("expected the whole past of the account to be readable before it is taken over, found what makes no sense")
        self._opened_venue_ns = max(executions.venue_ns, entries.venue_ns)
        for event in executions.events:
            if isinstance(event, r.Filled) and self._is_own(event.client_id):
                self.take_execution(event)
        self._take_executions(executions)
        self._take_entries(entries)

    async def catch_up(self, reads: VenueReads) -> None:
        """Read whatever may have been missed; to be done after every gap. Raises ReadFailed, and then keeps what was read before."""
        before = self.at_venue()
        await self.read_executions(reads)
        await self.read_ledger(reads)
        listed = self.take_open(await reads.open_orders())
        await self.look_up(reads, [client_id for client_id in before if client_id not in listed])

    async def read_executions(self, reads: VenueReads) -> Executions:
        """Read and take the executions after the last. Raises ReadFailed."""
        page = await reads.executions(self._executions_cursor)
        self._take_executions(page)
        return page

    async def read_ledger(self, reads: VenueReads) -> LedgerPage:
        """Read and take the ledger events after the last. Raises ReadFailed."""
        page = await reads.ledger(self._ledger_cursor)
        self._take_entries(page)
        return page

    def take_open(self, listed: OrderList, symbols: Collection[str] = ()) -> frozenset[str]:
        """Take the list of open orders, which may leave out what is not in `symbols` if they are given; the client ids on it."""
        for shown in listed.orders:
            self.take_shown(shown)
        there = {(shown.symbol, shown.report.venue_order_id) for shown in listed.orders}
        # One that was told meanwhile may be too new for the list.
        self._theirs_open = {
            name: shown
            for name, shown in self._theirs_open.items()
            if name in there or shown.report.venue_ns > listed.venue_ns or (symbols and shown.symbol not in symbols)
        }
        self._listed |= not symbols
        return frozenset(shown.report.client_id for shown in listed.orders)

    def take_history(self, listed: OrderList) -> frozenset[str]:
        """Take from the list of ended orders those that the journal holds: what others did before is no news. The client ids on it."""
        for shown in listed.orders:
            if shown.report.client_id in self._orders.by_id:
                self.take_shown(shown)
        return frozenset(shown.report.client_id for shown in listed.orders)

    async def look_up(self, reads: VenueReads, client_ids: Iterable[str]) -> None:
        """Ask for orders one by one, as far as they still are alive. One that is not found stays as it was. Raises ReadFailed."""
        for client_id in client_ids:
            order = self._orders.by_id.get(client_id)
            if order is not None and order.state in CANCELLABLE:
                shown = await reads.order(client_id)
                if shown is not None:
                    self.take_shown(shown)

    # How it is taken

    @property
    def _orders(self) -> Orders:
        return self._keeper.state.orders

    @property
    def _ledger(self) -> Ledger:
        return self._keeper.state.ledger

    def _is_own(self, client_id: str) -> bool:
        return any(parse_client_id(client_id, tag) is not None for tag in self._tags)

    def _keep(self, record: r.Record) -> None:
        self._keeper.take(record, now=self._clock())

    def _keep_once(self, record: r.Filled | r.FillReversed | r.LedgerEvent, is_known: Callable[[], bool]) -> None:
        if (record.venue, record.account) != (self.venue, self.account):
            raise ValueError(
                f"account watch: expected {self.venue}/{self.account}, found {type(record).__name__} of {record.venue}/{record.account}; "
                "connect each account to its own watch"
            )
        if is_known() or _content(record) in self._disputed:
            return
        self.moves += 1
        self._keep(record)
        if not is_known():
            self._disputed.add(_content(record))

    def _keep_event(self, event: r.LedgerEvent) -> None:
        key = foreign.key_of(event)
        self._keep_once(event, lambda: _is_entered(self._ledger.events.get(key), event))

    def _tell_stranger(self, shown: ShownOrder, *, own_prefix: bool) -> None:
        report = shown.report
        tolerated = shown.symbol in self.unmanaged.listings and not own_prefix
        if tolerated and shown.open_lots:
            self._theirs_open[shown.symbol, report.venue_order_id] = shown
        elif tolerated:
            self._theirs_open.pop((shown.symbol, report.venue_order_id), None)
        name = (shown.symbol, report.venue_order_id or report.client_id)
        if name in self._strangers:
            return
        self._strangers[name] = None
        if len(self._strangers) > MOST_STRANGERS:
            del self._strangers[next(iter(self._strangers))]
        self._keep(
            r.Foreign(
                boot_ns=report.boot_ns,
                venue=self.venue,
                account=self.account,
                symbol=shown.symbol,
                client_id=report.client_id,
                venue_order_id=report.venue_order_id,
                own_prefix=own_prefix,
                tolerated=tolerated,
            )
        )

    def _take_executions(self, page: Executions) -> None:
        until_venue_ns = max(self._opened_venue_ns, read_after_venue_ns(self._ledger, self._orders.floors, self.venue, self.account))
        past = set()
        for event in page.events:
            if isinstance(event, r.LedgerEvent):
                self._take_entry(event, again=self._executions_again)
                continue
            key = (event.venue, event.account, event.symbol, event.trade_id)
            if isinstance(event, r.FillReversed):
                if key in past:
                    continue  # undone in the past as well
            elif self._executions_again and self._is_past(event, until_venue_ns):
                past.add(key)
                continue
            self.take_execution(event)
        self._executions_again = page.unreadable
        if not page.unreadable:  # or else it must all be read again
            self._executions_cursor = page.cursor
            self.executions_until_venue_ns = max(self.executions_until_venue_ns, page.venue_ns)

    def _is_past(self, fill: r.Filled, until_venue_ns: int) -> bool:
        """Whether a fill is in the journal's sums without its key. One of an order that the journal holds has its key there, once counted."""
        if fill.symbol in self.unmanaged.listings:
            where = (fill.venue, fill.account, str(foreign.FOREIGN))
            until_venue_ns = max(self._opened_venue_ns, self._ledger.event_floors.get(where, 0))
            return (*where, foreign.fill_id(fill.symbol, fill.trade_id)) not in self._ledger.events and 0 < fill.venue_ns <= until_venue_ns
        key = (fill.venue, fill.account, fill.symbol, fill.trade_id)
        held = fill.client_id in self._orders.by_id and key not in self._orders.fills
        known = key in self._ledger.fills or held
        return not known and 0 < fill.venue_ns <= until_venue_ns

    def _take_entries(self, page: LedgerPage) -> None:
        for event in page.events:
            self._take_entry(event, again=self._ledger_again)
        self._ledger_again = page.unreadable
        if not page.unreadable:
            self._ledger_cursor = page.cursor
            self.ledger_until_venue_ns = max(self.ledger_until_venue_ns, page.venue_ns)

    def _take_entry(self, told: r.LedgerEvent, *, again: bool) -> None:
        """Take what a list shows. `again`: the list may show what was read before, also what is in the journal's sums without its key."""
        event = foreign.booked_event(told) if self.unmanaged.event(told) else told
        key = foreign.key_of(event)
        until_venue_ns = max(self._opened_venue_ns, self._ledger.event_floors.get(key[:3], 0))
        past = key not in self._ledger.events and 0 < event.venue_ns <= until_venue_ns
        if not (again and past):
            self._keep_event(event)


def _content(record: r.Record) -> bytes:
    """What a record says, whenever it was read."""
    return r.encode(msgspec.structs.replace(record, boot_ns=0))


def _effect(order: Order, report: r.Reported) -> tuple[bool, bool]:
    """What folding a report would do: whether the order changes in anything but the time of its last report, and whether it is a violation."""
    after = copy.deepcopy(order)
    scratch = Orders(by_id={order.client_id: after})
    machine.apply(scratch, report)
    after.venue_ns = order.venue_ns
    if after.cancel is not None and order.cancel is not None and not _renews_cancel(order, report):
        after.cancel.sighted = order.cancel.sighted
    return after != order, bool(scratch.violations)


def _renews_cancel(order: Order, report: r.Reported) -> bool:
    """Whether a cancel was sent and the venue shows the order alive all the same, which calls for another."""
    return order.cancel is not None and order.cancel.last_boot_ns != NEVER_NS and report.state in RESTING


def _is_booked(booked: Booked | None, fill: r.Filled) -> bool:
    return booked is not None and (
        (booked.client_id, booked.signed_lots, booked.ticks, booked.fee, booked.fee_currency, booked.venue_ns)
        == (fill.client_id, fill.side * fill.lots, fill.ticks, fill.fee, fill.fee_currency, fill.venue_ns)
    )


def _is_entered(entered: Event | None, event: r.LedgerEvent) -> bool:
    return entered is not None and (
        (entered.kind, entered.currency, entered.amount, entered.symbol, entered.lots, entered.ticks, entered.venue_ns)
        == (event.kind, event.currency, event.amount, event.symbol, event.lots, event.ticks, event.venue_ns)
    )
