"""Standing cancels: which are to be sent now.

A cancel that is wanted stays owed until the order has ended. Sending it again costs a message, not sending it costs money; so it is repeated with a
growing pause, and at once whenever the venue shows the order alive. "Not found" discharges nothing.
"""

from __future__ import annotations

import msgspec

from interlock.domain.clock import NS_PER_MS
from interlock.domain.orders import OrderState
from interlock.gate.order_state import NEVER_NS, Obligation, Orders

CANCELLABLE = frozenset(
    {OrderState.SENT, OrderState.ACKED, OrderState.OPEN, OrderState.PARTIAL, OrderState.UNKNOWN, OrderState.QUARANTINED}
)
"""States in which the venue may hold the order. In PERMITTED a wanted cancel suppresses the send, and nothing needs to be sent."""


class BackOff(msgspec.Struct, frozen=True):
    """The pause after a cancel: `first_ns`, doubled after each one up to `longest_ns`."""

    first_ns: int = 250 * NS_PER_MS
    longest_ns: int = 5_000 * NS_PER_MS


def due_boot_ns(owed: Obligation, pause: BackOff) -> int:
    """When this cancel is to be sent next; the time at which it became wanted if that is at once."""
    if owed.sighted or owed.last_boot_ns == NEVER_NS:
        return owed.wanted_boot_ns
    return _repeat_boot_ns(owed, pause)


def only_sighted(owed: Obligation, boot_ns: int) -> bool:
    """Whether a cancel is due again for no other reason than that the venue has shown the order: its own pause is not over yet."""
    return owed.last_boot_ns != NEVER_NS and _repeat_boot_ns(owed, BackOff()) > boot_ns


def _repeat_boot_ns(owed: Obligation, pause: BackOff) -> int:
    # The shift is bounded so that a cancel that has been repeated for days stays cheap to reckon.
    doubled = pause.first_ns << min(max(owed.attempts - 1, 0), 40)
    return owed.last_boot_ns + min(doubled, pause.longest_ns)


def due(orders: Orders, boot_ns: int, budget: int, pause: BackOff | None = None) -> list[str]:
    """The client ids to send a cancel for now, at most `budget` of them: never sent before first, then the longest overdue."""
    chosen = pause or BackOff()
    ready = []
    for client_id in orders.cancelling:
        order = orders.by_id[client_id]
        owed = order.cancel
        if owed is None or order.state not in CANCELLABLE:
            continue
        at_once = owed.sighted or owed.last_boot_ns == NEVER_NS
        when = due_boot_ns(owed, chosen)
        if at_once or when <= boot_ns:
            ready.append((owed.attempts > 0, when, client_id))
    return [client_id for _, _, client_id in sorted(ready)[: max(budget, 0)]]


def next_due_boot_ns(orders: Orders, pause: BackOff | None = None) -> int | None:
    """The earliest time at which `due` may find one, for a timer; None if nothing is owed."""
    chosen = pause or BackOff()
    times = [
        due_boot_ns(owed, chosen)
        for order in (orders.by_id[client_id] for client_id in orders.cancelling)
        if (owed := order.cancel) is not None and order.state in CANCELLABLE
    ]
    return min(times, default=None)
