"""The state of all orders as plain data, and how one piece of evidence is taken into it.

What the worst case reserves is kept beside each order and summed up per market as it changes.

An order that has ended and owes no execution is forgotten after a while (`retention`), and its executions with it. What is heard of it then is a
violation like that of an order that never was; its id tells that it was known once.
"""

from __future__ import annotations

import msgspec

from interlock.domain.ids import EPOCH_WIDTH, ID_WIDTH, SEQUENCE_WIDTH, TAG_WIDTH
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate.order_machine import EXPOSED, UNRESOLVED, Evidence, Violation, step
from interlock.gate.retention import Queue, fingerprint

WINDOW_UNKNOWN_NS = -1
"""A signature whose receive window was lost with the process that made it."""
NEVER_NS = -1
VIOLATIONS_KEPT = 1_000
"""How many of the newest violations are kept word for word; all are counted."""
LIVES_KEPT = 1_000
"""Of how many process lives it is remembered which client ids they gave out."""

_EPOCH = TAG_WIDTH
_SEQUENCE = _EPOCH + EPOCH_WIDTH
_INCARNATION = _SEQUENCE + SEQUENCE_WIDTH

Market = tuple[str, str, str]
"""(venue, account, symbol)."""
TradeKey = tuple[str, str, str, str]
"""(venue, account, symbol, trade id): the identity of an execution over all sources."""


Account = tuple[str, str]
"""(venue, account)."""


class Found(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A violation with its subject: the client id, or the trade id of an execution without one."""

    violation: Violation
    subject: str
    detail: str


class Obligation(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A cancel that is owed until the order has ended. `last_boot_ns` is NEVER_NS if none was sent in this process life."""

    wanted_boot_ns: int
    reason: str
    actor: str
    attempts: int = 0
    last_boot_ns: int = NEVER_NS
    sighted: bool = False
    """The venue showed the order alive since the last cancel was sent."""


class Amend(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A change of price or total size under way; OPEN would mean applied and any final state dropped, and then it is gone."""

    revision: int
    ticks: int
    lots: int
    life: int = 0
    sent: bool = False
    state: OrderState = OrderState.INTENDED


class Order(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
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
    trade_ids: list[str] = []
    """Of the executions that were counted for it, on its market."""
    executed_venue_ns: int = 0
    """Of the latest of them by the venue's time."""
    ended_boot_ns: int = NEVER_NS
    """Since when it may be forgotten: final, with nothing owed. NEVER_NS while it may not."""

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
            return max(self.largest_lots - self.filled_lots, self.venue_lots - self.filled_lots, self.missing_lots)
        return self.missing_lots


class Orders(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
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
    """The newest, at most VIOLATIONS_KEPT; ask `violations_after`."""
    violation_count: int = 0
    """Of all that ever were."""
    life: int = 0
    duplicate_fills: int = 0
    stale_reports: int = 0
    ignored: int = 0
    """Records that changed nothing because they fit no order: repeated or out-of-step intents, strays."""
    ending: list[str] = []
    """Client ids that the record that is being folded has brought to their end; empty between records."""
    ended: Queue[str] = msgspec.field(default_factory=Queue)
    """Client ids that may be forgotten, unless `ended_boot_ns` of the order has become another time."""
    strays: Queue[TradeKey] = msgspec.field(default_factory=Queue)
    """Keys in `fills` of executions that belong to no order of ours."""
    floors: dict[Account, int] = {}
    """By (venue, account): the latest venue time of an execution that was forgotten."""
    issued: dict[str, str] = {}
    """By epoch and incarnation, as they stand in client ids: the highest sequence number."""
    forgotten: int = 0

    def digest_parts(self) -> tuple[object, ...]:
        """The state as plain data, for hashing. Two folds of one journal give equal parts."""
        return (fingerprint(self),)


# How a piece of evidence is taken in


def violate(orders: Orders, violation: Violation, subject: str, detail: str) -> None:
    """Write a violation down, for good."""
    orders.violation_count += 1
    orders.violations.append(Found(violation, subject, detail))
    if len(orders.violations) > VIOLATIONS_KEPT:
        del orders.violations[0]


def violations_after(orders: Orders, number: int) -> list[tuple[int, Found]]:
    """The violations after the first `number`, each with its own number from 1. Those whose words are gone are told together, as one of them."""
    lost = orders.violation_count - len(orders.violations)
    found = list(enumerate(orders.violations, lost + 1))
    if number >= lost:
        return found[number - lost :]
    gone = Found(Violation.UNEXPECTED, "", f"{lost - number} violations whose words are gone; read the journal")
    return [(lost, gone), *found]


def stranger(orders: Orders, client_id: str, what: str) -> None:
    """A violation: `what` was told about an order that is not known, or not any more."""
    known = known_once(orders, client_id)
    why = "that was in the journal, had ended and was forgotten" if known else "that is not in the journal"
    violate(orders, Violation.STRANGER, client_id, f"{what} of an order {why}")


def issue(orders: Orders, client_id: str) -> bool:
    """Remember that an id was given out, and say whether that is the first time; also of an order that was forgotten since."""
    if len(client_id) != ID_WIDTH:
        return True
    life, sequence = client_id[_EPOCH:_SEQUENCE] + client_id[_INCARNATION:], client_id[_SEQUENCE:_INCARNATION]
    # The digits are of fixed width and stand in the order of their values, so that text compares as numbers do.
    if sequence <= orders.issued.get(life, ""):
        return False
    orders.issued[life] = sequence
    if len(orders.issued) > LIVES_KEPT:
        del orders.issued[next(iter(orders.issued))]
    return True


def known_once(orders: Orders, client_id: str) -> bool:
    """Whether an id lies among those that a process life gave out, by its epoch, incarnation and sequence. Of very old lives it is not known."""
    if len(client_id) != ID_WIDTH:
        return False
    highest = orders.issued.get(client_id[_EPOCH:_SEQUENCE] + client_id[_INCARNATION:], "")
    return client_id[_SEQUENCE:_INCARNATION] <= highest


def forgotten(orders: Orders, client_id: str) -> bool:
    """Whether an order was known, has ended and was forgotten: what a list of ended orders shows of it is no news, and must not be told."""
    return client_id not in orders.by_id and known_once(orders, client_id)


def forget(orders: Orders, boot_ns: int) -> None:
    """Take note of what has ended with the record of this time, and forget what is due, with each order its executions."""
    if orders.ending:
        for client_id in orders.ending:
            order = orders.by_id[client_id]
            if order.ended_boot_ns == NEVER_NS and order.state.final and not order.reserved_lots:
                order.ended_boot_ns = orders.ended.add(boot_ns, client_id)
        orders.ending.clear()
    while (found := orders.strays.take(boot_ns)) is not None:
        orders.fills.pop(found[1], None)
    while (due := orders.ended.take(boot_ns)) is not None:
        since, client_id = due
        ended = orders.by_id.get(client_id)
        if ended is not None and ended.ended_boot_ns == since:  # else it has come alive again since then
            _forget_order(orders, ended)


def restart(orders: Orders, boot_ns: int) -> None:
    """A process life begins: what has ended counts as having ended at this time."""
    orders.ended.restart(boot_ns)
    orders.strays.restart(boot_ns)
    for _, client_id in orders.ended.left():
        order = orders.by_id.get(client_id)
        if order is not None and order.ended_boot_ns != NEVER_NS:
            order.ended_boot_ns = boot_ns


def _forget_order(orders: Orders, order: Order) -> None:
    del orders.by_id[order.client_id]
    orders.forgotten += 1
    for trade_id in order.trade_ids:
        key = (*order.market, trade_id)
        orders.fills.pop(key, None)
        orders.reversals.pop(key, None)
    if order.trade_ids:
        where = (order.venue, order.account)
        orders.floors[where] = max(orders.floors.get(where, 0), order.executed_venue_ns)


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
    if live or now > 0:
        order.ended_boot_ns = NEVER_NS
    elif order.ended_boot_ns == NEVER_NS:
        orders.ending.append(order.client_id)


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
        stranger(orders, client_id, str(evidence))
    elif revision == 0:
        move(orders, order, evidence)
    elif order.amend is not None and order.amend.revision == revision:
        move_amend(orders, order, order.amend, evidence)
    elif evidence in (Evidence.PERMITTED, Evidence.WIRE_BEGUN, Evidence.WIRE_AGAIN):
        violate(orders, Violation.UNEXPECTED, client_id, f"{evidence} of amend {revision}, which is not under way")
    else:
        orders.ignored += 1  # the end of the order came first
