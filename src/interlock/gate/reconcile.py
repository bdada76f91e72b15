"""What a venue says an account holds, against what the journal makes of it: every difference named, and explained or not.

A difference is explained only by what is under way and can account for it exactly: executions that were reported but not seen, or that an order in
flight can have had. Nothing is ever made up to close one: a person adopts it with a signed release or adjustment, or the venue tells. A snapshot
is compared with the ledger as of the snapshot's venue time, so the venue's ledger events up to then must have been read as well as the executions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.ledger import Ledger, cash, changes_after, exact_sum, position_lots
from interlock.gate.order_machine import RESTING
from interlock.gate.order_state import Order, Orders
from interlock.gate.profit import Instrument, Worth


class Cut(StrEnum):
    """Whether nothing was executed while a snapshot was taken."""

    CONSISTENT = "consistent"
    AGAIN = "again"
    QUIET = "quiet"
    """Tried often enough: no new orders, so that the account comes to rest."""


def cut(snapshot: r.Snapshot, tries: int, most_tries: int) -> Cut:
    """Judge a snapshot by the cursors of executions read before and after it. An unread cursor is no equal one."""
    if snapshot.cursor_before and snapshot.cursor_before == snapshot.cursor_after:
        return Cut.CONSISTENT
    return Cut.AGAIN if tries < most_tries else Cut.QUIET


class Kind(StrEnum):
    """Every way in which the two can differ."""

    OWN_UNKNOWN = "own_unknown"
    """An open order whose id looks like ours and is not in the journal."""
    FOREIGN_ORDER = "foreign_order"
    ORDER_MISSING = "order_missing"
    ORDER_SIZE = "order_size"
    POSITION = "position"
    BALANCE = "balance"
    FILL_MISSING = "fill_missing"


class Difference(msgspec.Struct, frozen=True):
    """One difference about `subject`: a client id, a symbol or a currency."""

    kind: Kind
    subject: str
    expected: str
    found: str
    explained: bool
    why: str
    theirs: bool = False
    """It is about what is not managed: recorded, and explained for as long as it likes."""
    lasting: bool = False
    """It is accounted for as it stands, and waits for nothing that is under way."""


class Managed(msgspec.Struct, frozen=True, kw_only=True):
    """What of the account is ours to explain.

    `tags` begin our client ids. The balances of `unmanaged` currencies, and orders and positions in the instruments of `foreign`, are others' own;
    what those cost and bring in a currency of ours is part of what is expected. There are none on an account of our own. `rounding` is by how much a
    venue's own rounding may move a balance, by currency; a currency that is not named must fit exactly.
    """

    tags: tuple[str, ...]
    worths: Mapping[Instrument, Worth]
    unmanaged: frozenset[str] = frozenset()
    foreign: Mapping[Instrument, Worth] = msgspec.field(default_factory=dict)
    rounding: Mapping[str, Decimal] = msgspec.field(default_factory=dict)


class _Flight(msgspec.Struct):
    """What executions under way can do to one market: `fixed` lots have happened, `sells` and `buys` more may have.

    `moved_lots` and `moved_tick_lots` bound what balances can differ by. Prices better than the limit, and fees, are allowed for by doubling.
    """

    fixed: int = 0
    sells: int = 0
    buys: int = 0
    moved_lots: int = 0
    moved_tick_lots: int = 0

    def move(self, lots: int, ticks: int) -> None:
        """Allow for an execution of at most `lots` in the balances."""
        self.moved_lots += lots
        self.moved_tick_lots += 2 * lots * ticks

    def explains(self, lots: int) -> bool:
        """Whether a difference of the position is one that these executions can have made."""
        return -self.sells <= lots - self.fixed <= self.buys


def compare(
    orders: Orders, ledger: Ledger, snapshot: r.Snapshot, managed: Managed, entries: Mapping[str, Decimal] | None = None
) -> list[Difference]:
    """All differences of a consistent snapshot, in the order of `Kind`'s subjects: orders, executions, positions, balances.

    `entries`: the mean entry price of each position, by symbol, as the venue told it beside the snapshot.
    """
    theirs: dict[str, int] = {}
    for client_id, _, _, open_lots in set(snapshot.open_orders):
        # Of several at the venue under one id none may stand for the others.
        theirs[client_id] = theirs.get(client_id, 0) + open_lots
    ours = _ours(orders, snapshot)
    flights: dict[str, _Flight] = {}
    for order in ours:
        _count_flight(flights.setdefault(order.symbol, _Flight()), order, theirs.get(order.client_id), snapshot.venue_ns)
    for _, symbol, lots, ticks in changes_after(ledger, snapshot.venue, snapshot.account, snapshot.venue_ns):
        flights.setdefault(symbol, _Flight()).move(abs(lots), ticks)
    positions, explained = _positions(ledger, snapshot, managed, flights)
    found = [difference for row in snapshot.open_orders if (difference := _stranger(orders, row, snapshot.venue, managed)) is not None]
    for order in ours:
        found += _order(order, theirs.get(order.client_id), snapshot.venue_ns, explained.get(order.symbol, True))
    return found + positions + _balances(ledger, snapshot, managed, flights, entries or {})


def verdict(snapshot: r.Snapshot, differences: Sequence[Difference], boot_ns: int) -> r.Reconciled:
    """The record of a comparison; explained only if every difference is."""
    return r.Reconciled(
        boot_ns=boot_ns,
        venue=snapshot.venue,
        account=snapshot.account,
        explained=all(difference.explained for difference in differences),
        differences=tuple((str(d.kind), f"{d.subject}: expected {d.expected}, found {d.found}; {d.why}") for d in differences),
    )


# Orders


def _ours(orders: Orders, snapshot: r.Snapshot) -> list[Order]:
    """Our orders on the account that are alive, shown as open, or owe executions."""
    names = set(orders.live) | {client_id for client_id, *_ in snapshot.open_orders if client_id in orders.by_id} | set(orders.owing)
    picked = (orders.by_id[name] for name in sorted(names))
    return [order for order in picked if (order.venue, order.account) == (snapshot.venue, snapshot.account)]


NOT_MANAGED = "not managed on this shared account"


def _stranger(orders: Orders, row: tuple[str, str, str, int], venue: str, managed: Managed) -> Difference | None:
    client_id, venue_order_id, symbol, open_lots = row
    if client_id in orders.by_id:
        return None
    subject = client_id or venue_order_id
    if any(client_id.startswith(tag) for tag in managed.tags):
        return Difference(
            Kind.OWN_UNKNOWN, subject, "no order", f"{open_lots} lots of {symbol}", False, "its id is ours, the journal lacks it"
        )
    theirs = (venue, symbol) in managed.foreign
    why = NOT_MANAGED if theirs else "nobody else may trade this here"
    return Difference(Kind.FOREIGN_ORDER, subject, "no order", f"{open_lots} lots of {symbol}", theirs, why, theirs)


def _order(order: Order, open_lots: int | None, venue_ns: int, position_explained: bool) -> list[Difference]:
    found = []
    if order.missing_lots:
        found.append(
            Difference(
                Kind.FILL_MISSING,
                order.client_id,
                f"{order.reported_lots} lots",
                f"{order.filled_lots} lots",
                position_explained,
                "the venue reported more than the executions seen",
            )
        )
    newer = order.venue_ns >= venue_ns
    if open_lots is None:
        missing = _missing(order, newer, position_explained)
        return found if missing is None else [*found, missing]
    expected = _possible_open(order)
    if open_lots in expected:
        return found
    under_way = bool(expected) and 0 < open_lots < max(expected) and position_explained
    why = "told after the snapshot" if newer else "executions under way" if under_way else "nothing under way makes it so"
    size = Difference(
        Kind.ORDER_SIZE, order.client_id, " or ".join(str(n) for n in expected) or "ended", f"{open_lots} open", newer or under_way, why
    )
    return [*found, size]


_UNWRITTEN = (OrderState.INTENDED, OrderState.PERMITTED)
"""States in which the venue cannot have an order, or an amend, from us."""


def _possible_open(order: Order) -> tuple[int, ...]:
    """How much of the order may be open at the venue: one figure, or two while an amend is under way. None for what should not be there at all."""
    if order.state.final or order.state in _UNWRITTEN:
        return ()
    done = max(order.filled_lots + order.reversed_lots, order.reported_lots)
    sizes = {order.lots - done}
    if order.amend is not None and order.amend.state not in _UNWRITTEN:
        sizes.add(order.amend.lots - done)
    return tuple(sorted(sizes))


def _missing(order: Order, newer: bool, position_explained: bool) -> Difference | None:
    if order.state not in RESTING:
        return None  # not known to be there
    ending = order.cancel is not None or order.tif in (TimeInForce.IOC, TimeInForce.FOK)
    why = "told after the snapshot" if newer else "its end is under way" if ending else "it was open and is gone without a report"
    explained = newer or (ending and position_explained)
    return Difference(Kind.ORDER_MISSING, order.client_id, f"{order.leaves_lots} open", "not open", explained, why)


# Positions and balances


def _count_flight(flight: _Flight, order: Order, open_lots: int | None, venue_ns: int) -> None:
    """Add what this order can have had executed that the ledger does not know. Shown open, its size tells exactly how much."""
    sign = 1 if order.side is Side.BUY else -1
    exact: int | None = None
    most = order.leaves_lots
    if order.venue_ns < venue_ns:
        if order.state.final:
            exact = order.missing_lots
        elif open_lots is not None and order.amend is None:
            exact = max(0, order.lots - open_lots - order.filled_lots)
    if exact is not None:
        flight.fixed += sign * exact
        most = exact
    elif sign > 0:
        flight.buys += most
    else:
        flight.sells += most
    flight.move(most, max(order.ticks, order.amend.ticks if order.amend else 0))


def _positions(
    ledger: Ledger, snapshot: r.Snapshot, managed: Managed, flights: Mapping[str, _Flight]
) -> tuple[list[Difference], dict[str, bool]]:
    told = dict(snapshot.positions)
    known = {symbol for venue, account, symbol in ledger.positions if (venue, account) == (snapshot.venue, snapshot.account)}
    found = []
    explained: dict[str, bool] = {}
    for symbol in sorted(known | set(told) | set(flights)):
        worth = managed.worths.get((snapshot.venue, symbol))
        if worth is not None and worth.spot:
            continue  # what is held of it is a balance
        if (snapshot.venue, symbol) in managed.foreign:
            theirs = told.get(symbol)
            if theirs and not managed.foreign[snapshot.venue, symbol].spot:
                found.append(Difference(Kind.POSITION, symbol, "any", str(theirs), True, NOT_MANAGED, True))
            continue
        expected = position_lots(ledger, snapshot.venue, snapshot.account, symbol, snapshot.venue_ns)
        change = told.get(symbol, 0) - expected
        flight = flights.get(symbol, _Flight())
        explained[symbol] = flight.explains(change)
        if change or not explained[symbol]:
            why = "executions under way" if explained[symbol] else f"executions under way make {_span(flight)}"
            found.append(Difference(Kind.POSITION, symbol, str(expected), str(expected + change), explained[symbol], why))
    return found, explained


def _span(flight: _Flight) -> str:
    return f"{flight.fixed - flight.sells:+} to {flight.fixed + flight.buys:+} lots"


def expected_balances(ledger: Ledger, venue: str, account: str, managed: Managed, until_venue_ns: int) -> dict[str, Decimal]:
    """Balances by currency as the ledger has them: flows until then, what spot trades exchanged, what closed positions brought."""
    found = cash(ledger, venue, account, until_venue_ns)
    held = [(market, position, managed.worths.get((venue, market[2]))) for market, position in sorted(ledger.positions.items())]
    held += [(market, position, managed.foreign.get((venue, market[2]))) for market, position in sorted(ledger.theirs.items())]
    for market, position, worth in held:
        if market[:2] != (venue, account) or worth is None:
            continue
        money = position.cash if worth.spot else position.realised
        found[worth.currency] = exact_sum(found.get(worth.currency, Decimal(0)), worth.tick_lot * money)
        if worth.spot:
            found[worth.base] = exact_sum(found.get(worth.base, Decimal(0)), worth.lot * position.lots)
    return found


REORDERED = "the entries of positions differ by as much: executions were booked in another order than the venue had them"
_ENTRY_STEP = Decimal("1e-8")
"""How exactly venues tell a mean price, currency units."""


def _moved_by_order(
    currency: str, ledger: Ledger, snapshot: r.Snapshot, managed: Managed, flights: Mapping[str, _Flight], entries: Mapping[str, Decimal]
) -> tuple[Decimal, Decimal]:
    """How much more of what positions brought the venue has in the balance, and as much less in their entries; and how exact that is.

    What closing at a mean price brings depends on the order of executions, which two of one instant do not have for us. What was paid and received
    for all of them does not: the balance less the cost of what is held.
    """
    told = dict(snapshot.positions)
    moved = inexact = Decimal(0)
    for (venue, account, symbol), position in sorted(ledger.positions.items()):
        worth, entry, flight = managed.worths.get((venue, symbol)), entries.get(symbol), flights.get(symbol)
        ours = (
            (venue, account) == (snapshot.venue, snapshot.account) and worth is not None and not worth.spot and worth.currency == currency
        )
        if not ours or worth is None or entry is None or not position.lots or told.get(symbol) != position.lots:
            continue
        if flight is not None and flight.moved_lots:
            continue  # what is under way changes the entry as well
        moved = exact_sum(moved, entry * worth.lot * position.lots - worth.tick_lot * position.cost)
        inexact += abs(position.lots) * worth.lot * _ENTRY_STEP
    return moved, inexact


def _balances(
    ledger: Ledger, snapshot: r.Snapshot, managed: Managed, flights: Mapping[str, _Flight], entries: Mapping[str, Decimal]
) -> list[Difference]:
    told = dict(snapshot.balances)
    expected = expected_balances(ledger, snapshot.venue, snapshot.account, managed, snapshot.venue_ns)
    found = []
    for currency in sorted(set(told) | set(expected)):
        want, have = expected.get(currency, Decimal(0)), told.get(currency, Decimal(0))
        change = exact_sum(have, -want)
        if abs(change) <= managed.rounding.get(currency, Decimal(0)):
            continue
        allowance = _allowance(currency, snapshot.venue, managed, flights)
        theirs = currency in managed.unmanaged
        explained = theirs or abs(change) <= allowance
        moved, inexact = _moved_by_order(currency, ledger, snapshot, managed, flights, entries)
        if not explained and abs(moved) > inexact and abs(change - moved) <= inexact + managed.rounding.get(currency, Decimal(0)):
            found.append(Difference(Kind.BALANCE, currency, str(want), str(have), True, REORDERED, lasting=True))
            continue
        under_way = "executions under way" if explained else f"executions under way can move it by {allowance}"
        found.append(Difference(Kind.BALANCE, currency, str(want), str(have), explained, NOT_MANAGED if theirs else under_way, theirs))
    return found


def _allowance(currency: str, venue: str, managed: Managed, flights: Mapping[str, _Flight]) -> Decimal:
    """By how much executions under way can move a balance: their lots, or their lots at their limit prices. 0 without any."""
    total = Decimal(0)
    for symbol, flight in flights.items():
        worth = managed.worths.get((venue, symbol)) or managed.foreign.get((venue, symbol))
        if worth is None:
            continue
        if worth.currency == currency:
            total += worth.tick_lot * flight.moved_tick_lots
        if worth.spot and worth.base == currency:
            total += worth.lot * flight.moved_lots
    return total
