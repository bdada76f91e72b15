"""When it is proven that a venue never took an order and cannot any more.

"Not found" proves nothing by itself: the order may still be under way, and the venue's lists lag behind its matching. Where requests expire, proof
takes reads stamped after the last moment at which the request could have been accepted and become visible, of both lists, that show an own
order sent later. Where they do not expire there is no proof: the order is found, or a person says what became of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderState
from interlock.gate.order_state import WINDOW_UNKNOWN_NS, Order, Orders
from interlock.gate.records import Sighting

HOUR_NS = 3_600 * NS_PER_S
SOURCES = ("open", "history")


class Expiry(StrEnum):
    """Whether a venue refuses a request that is older than its receive window."""

    WITH = "with_expiry"
    WITHOUT = "without_expiry"


class AbsenceRule(msgspec.Struct, frozen=True, kw_only=True):
    """How absence is proven at a venue. Nanoseconds of the venue's time.

    `visibility_lag_ns` is how long the lists may lag, measured; `longest_window_ns` the largest receive window ever signed with, for
    signatures whose own window was lost; `retention_ns` how long the venue lists orders that ended without a fill.
    """

    expiry: Expiry
    visibility_lag_ns: int = 0
    longest_window_ns: int = 0
    retention_ns: int = 0
    reads: int = 2
    """Of each list, at different venue times."""
    execution_cursor: bool = False
    """Whether the cursor of executions must have passed the moment as well."""


def rule_for(venue: str, visibility_lag_ns: int, longest_window_ns: int) -> AbsenceRule:
    """The rule of a venue by name. A venue that is not known here gets the one that never proves absence."""
    if venue.startswith("binance"):
        return AbsenceRule(
            expiry=Expiry.WITH, visibility_lag_ns=visibility_lag_ns, longest_window_ns=longest_window_ns, retention_ns=72 * HOUR_NS
        )
    if venue.startswith("bybit"):
        return AbsenceRule(
            expiry=Expiry.WITH,
            visibility_lag_ns=visibility_lag_ns,
            longest_window_ns=longest_window_ns,
            retention_ns=24 * HOUR_NS,
            execution_cursor=True,
        )
    return AbsenceRule(expiry=Expiry.WITHOUT)


class Aftermath(msgspec.Struct, frozen=True):
    """Evidence in place of the history list after an outage longer than it reaches back."""

    fills_complete_venue_ns: int
    """All executions of the account up to this venue time are in the ledger."""
    position_explained: bool
    """The venue's position was found to be the ledger's."""


class Proven(msgspec.Struct, frozen=True):
    """Absent: `not_before_venue_ns` is for the record, with the sightings that count."""

    not_before_venue_ns: int
    sightings: tuple[Sighting, ...]


class Missing(msgspec.Struct, frozen=True):
    """Not proven, and what is missing. `hopeless`: more reads will not help; quarantine it."""

    what: tuple[str, ...]
    hopeless: bool = False


def judge(
    orders: Orders,
    order: Order,
    rule: AbsenceRule,
    sightings: Sequence[Sighting],
    clock_ns: int,
    aftermath: Aftermath | None = None,
) -> Proven | Missing:
    """Whether an UNKNOWN or QUARANTINED order is proven absent. `sightings` are reads that did not show it.

    `clock_ns` is the far end of the interval that the venue's clock less ours lies in. Each list must have shown an own order of the same
    market that was signed later. Beyond the venue's retention, executions and position must speak as well.
    """
    if rule.expiry is not Expiry.WITH:
        return Missing(("the venue's requests do not expire: only a sighting or a person can tell",), hopeless=True)
    if order.state not in (OrderState.UNKNOWN, OrderState.QUARANTINED):
        return Missing((f"the order is {order.state}, not unknown",))
    if order.received or order.filled_lots or order.reported_lots:
        return Missing(("the venue had acknowledged or shown it: it ended in some way, which a report must tell",), hopeless=True)
    if not (order.sign_wall_ns > 0 and _window_ns(order, rule) > 0):
        return Missing(("when it was signed, or its receive window, is not known: no time bounds its acceptance",))
    if not (clock_ns >= 0 and rule.visibility_lag_ns > 0 and rule.reads > 0):
        return Missing(("the venue's clock or the lag of its lists was not measured",))
    not_before = order.sign_wall_ns + counts_after_ns(order, rule, clock_ns)
    counting = tuple(s for s in sightings if s.venue_ns > not_before)
    what = [problem for source in SOURCES for problem in _lacking(orders, order, rule, source, counting)]
    if rule.execution_cursor and not any(s.execution_cursor_ns > not_before for s in counting):
        what.append("no read whose execution cursor is past the last moment of acceptance")
    if counting and max(s.venue_ns for s in counting) - order.sign_wall_ns > rule.retention_ns:
        what += _after_outage(aftermath, not_before)
    return Missing(tuple(what)) if what else Proven(not_before, counting)


def counts_after_ns(order: Order, rule: AbsenceRule, clock_ns: int) -> int:
    """How long after its signature a read begins to count that does not show an order."""
    return _window_ns(order, rule) + rule.visibility_lag_ns + max(clock_ns, 0)


def _window_ns(order: Order, rule: AbsenceRule) -> int:
    return rule.longest_window_ns if order.receive_window_ns == WINDOW_UNKNOWN_NS else order.receive_window_ns


def _lacking(orders: Orders, order: Order, rule: AbsenceRule, source: str, counting: Sequence[Sighting]) -> list[str]:
    mine = [s for s in counting if s.source == source]
    found = []
    reads = len({s.venue_ns for s in mine})
    if not reads >= rule.reads:
        found.append(f"{source}: expected {rule.reads} reads after the last moment of acceptance, found {reads}")
    if not any(_later(orders, order, s.later_client_id) for s in mine):
        found.append(f"{source}: no read that shows an own order sent later")
    return found


def _later(orders: Orders, order: Order, client_id: str) -> bool:
    later = orders.by_id.get(client_id)
    return later is not None and later.market == order.market and later.sign_wall_ns > order.sign_wall_ns > 0


def _after_outage(aftermath: Aftermath | None, not_before_ns: int) -> list[str]:
    if aftermath is None:
        return ["the venue no longer lists orders of that time: executions and position are needed"]
    found = []
    if not aftermath.fills_complete_venue_ns > not_before_ns:
        found.append("executions are not complete past the last moment of acceptance")
    if aftermath.position_explained is not True:
        found.append("the position is not explained")
    return found


def blocks_placement(orders: Orders, venue: str, rule: AbsenceRule) -> str:
    """The client id of an unresolved placement that forbids another at a venue without expiry; empty if none does."""
    if rule.expiry is Expiry.WITH:
        return ""
    held = [client_id for client_id in orders.unresolved if orders.by_id[client_id].venue == venue]
    return min(held, default="")
