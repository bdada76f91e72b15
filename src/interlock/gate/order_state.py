"""The state of all orders as plain data, and how one piece of evidence is taken into it.

What the worst case reserves is kept beside each order and summed up per market as it changes, so that asking costs one lookup.
"""

from __future__ import annotations

import msgspec

from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate.order_machine import EXPOSED, UNRESOLVED, Evidence, Violation, step

WINDOW_UNKNOWN_NS = -1
"""A signature whose receive window was lost with the process that made it."""
NEVER_NS = -1

Market = tuple[str, str, str]
"""(venue, account, symbol)."""
TradeKey = tuple[str, str, str, str]
"""(venue, account, symbol, trade id): the identity of an execution over all sources."""


class Found(msgspec.Struct, frozen=True):
    """A violation with its subject: the client id, or the trade id of an execution without one."""

    violation: Violation
    subject: str
    detail: str


class Obligation(msgspec.Struct):
    """A cancel that is owed until the order has ended. `last_boot_ns` is NEVER_NS if none was sent in this process life."""

    wanted_boot_ns: int
    reason: str
    actor: str
    attempts: int = 0
    last_boot_ns: int = NEVER_NS
    sighted: bool = False
    """The venue showed the order alive since the last cancel was sent."""


class Amend(msgspec.Struct):
    """A change of price or total size under way; OPEN would mean applied and any final state dropped, and then it is gone."""

    revision: int
    ticks: int
    lots: int
    life: int = 0
    sent: bool = False
    state: OrderState = OrderState.INTENDED


class Order(msgspec.Struct):
    """One order. Sizes in lots; `filled_lots` counts executions seen, `reported_lots` is the venue's highest cumulative figure."""

    client_id: str
    group: str
    strategy: str
    venue: str
    account: str
    symbol: str
    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool
    ticks: int
    lots: int
    created_boot_ns: int
    revision: int = 0
    """Of the last intent that was taken up, whatever became of it."""
    state: OrderState = OrderState.INTENDED
    filled_lots: int = 0
    reported_lots: int = 0
    reversed_lots: int = 0
    venue_lots: int = 0
    """The largest total size that the venue reported beyond what we had asked for; 0 if it never did."""
    venue_order_id: str = ""
    venue_ns: int = 0
    """Of the venue's last report; 0 before the first."""
    sign_wall_ns: int = 0
    """No later than this it was signed; 0 while that is not known."""
    receive_window_ns: int = 0
    life: int = 0
    """The process life that permitted it."""
    wired_revision: int = -1
    sent: bool = False
    received: bool = False
    """The venue has acknowledged or shown it: its absence can no longer be proven."""
    shown: bool = False
    amend: Amend | None = None
    cancel: Obligation | None = None
    reserved_lots: int = 0

    @property
    def market(self) -> Market:
        """(venue, account, symbol)."""
        return (self.venue, self.account, self.symbol)

    @property
    def largest_lots(self) -> int:
        """The largest total size that we may have asked for: an amend that is permitted counts if it is larger."""
        if self.amend is not None and self.amend.state is not OrderState.INTENDED:
            return max(self.lots, self.amend.lots)
        return self.lots

    @property
    def missing_lots(self) -> int:
        """Reported as filled by the venue, but not yet seen as executions."""
        return max(0, self.reported_lots - self.filled_lots - self.reversed_lots)

    @property
    def leaves_lots(self) -> int:
        """How much this order can still change the position as the fills seen have it."""
        if self.state in EXPOSED:
            return max(0, self.largest_lots - self.filled_lots, self.venue_lots - self.filled_lots, self.missing_lots)
        return self.missing_lots


class Orders(msgspec.Struct):
    """The state. Compare with `==`; `live`, `unresolved`, `cancelling` and `owing` are indices of `by_id`."""

    by_id: dict[str, Order] = {}
    fills: dict[TradeKey, tuple[str, int]] = {}
    """(client id, lots) of each execution that was counted."""
    reversals: dict[TradeKey, bool] = {}
    """Whether the execution that was taken back had been counted."""
    worst: dict[Market, tuple[int, int]] = {}
    live: dict[str, bool] = {}
    unresolved: dict[str, bool] = {}
    cancelling: dict[str, bool] = {}
    owing: dict[str, bool] = {}
    """Ended, with executions reported that were not seen."""
    violations: list[Found] = []
    life: int = 0
    duplicate_fills: int = 0
    stale_reports: int = 0
    ignored: int = 0
    """Records that changed nothing because they fit no order: repeated or out-of-step intents, strays."""

    def digest_parts(self) -> tuple[object, ...]:
        """The state as sorted plain data, for hashing. Two equal states give equal parts."""
        return (
            [msgspec.to_builtins(self.by_id[name]) for name in sorted(self.by_id)],
            sorted((*key, *value) for key, value in self.fills.items()),
            sorted((*key, value) for key, value in self.reversals.items()),
            [msgspec.to_builtins(found) for found in self.violations],
            (self.life, self.duplicate_fills, self.stale_reports, self.ignored),
        )


# How a piece of evidence is taken in


def violate(orders: Orders, violation: Violation, subject: str, detail: str) -> None:
    """Write a violation down, for good."""
    orders.violations.append(Found(violation, subject, detail))


def _index(index: dict[str, bool], client_id: str, wanted: bool) -> None:
    if wanted:
        index[client_id] = True
    else:
        index.pop(client_id, None)


def keep(orders: Orders, order: Order) -> None:
    """Bring the reservation and the indices up to date after any change of an order."""
    if order.state.final:
        order.amend = None
    now = order.leaves_lots
    change = now - order.reserved_lots
    if change:
        order.reserved_lots = now
        buys, sells = orders.worst.get(order.market, (0, 0))
        after = (buys + change, sells) if order.side is Side.BUY else (buys, sells + change)
        if after == (0, 0):
            del orders.worst[order.market]
        else:
            orders.worst[order.market] = after
    live = not order.state.final
    _index(orders.live, order.client_id, live)
    _index(orders.unresolved, order.client_id, order.state in UNRESOLVED)
    _index(orders.owing, order.client_id, not live and now > 0)
    _index(orders.cancelling, order.client_id, live and order.cancel is not None)


def move(orders: Orders, order: Order, evidence: Evidence, detail: str = "") -> None:
    """Take a piece of evidence about the placement."""
    state, violation = step(order.state, evidence)
    if violation is not None:
        violate(orders, violation, order.client_id, f"{evidence} in state {order.state}" + (f": {detail}" if detail else ""))
    order.state = state
    keep(orders, order)


def move_amend(orders: Orders, order: Order, amend: Amend, evidence: Evidence) -> None:
    """Take a piece of evidence about the amend under way, which goes through the same states as a placement."""
    state, violation = step(amend.state, evidence)
    if violation is not None:
        violate(orders, violation, order.client_id, f"{evidence} of amend {amend.revision} in state {amend.state}")
    amend.state = state
    if state is OrderState.OPEN:
        order.ticks, order.lots, order.amend = amend.ticks, max(amend.lots, order.filled_lots), None
    elif state.final:
        order.amend = None
    if order.amend is None and order.filled_lots >= order.lots:
        move(orders, order, Evidence.FILL_ALL)
    keep(orders, order)


def request(orders: Orders, client_id: str, revision: int, evidence: Evidence) -> None:
    """Move what a record names by (client id, revision): the placement, or the amend under way."""
    order = orders.by_id.get(client_id)
    if order is None:
        violate(orders, Violation.STRANGER, client_id, f"{evidence} of an order that is not in the journal")
    elif revision == 0:
        move(orders, order, evidence)
    elif order.amend is not None and order.amend.revision == revision:
        move_amend(orders, order, order.amend, evidence)
    elif evidence in (Evidence.PERMITTED, Evidence.WIRE_BEGUN, Evidence.WIRE_AGAIN):
        violate(orders, Violation.UNEXPECTED, client_id, f"{evidence} of amend {revision}, which is not under way")
    else:
        orders.ignored += 1  # the end of the order came first
