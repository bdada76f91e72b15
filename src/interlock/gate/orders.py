"""All orders that the journal knows, folded from its records: state, fills, reservations, standing cancels.

`apply` turns each record into evidence and moves the order by the table of `order_machine`. It changes the state that it is given, which
the caller owns, and never raises on what a gate may have written. An order's size is its total, filled part included, also in an amend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from interlock.domain.orders import OrderState
from interlock.gate import order_reports
from interlock.gate import records as r
from interlock.gate.order_machine import RESTING, UNRESOLVED, Evidence, Violation
from interlock.gate.order_state import (
    NEVER_NS,
    WINDOW_UNKNOWN_NS,
    Amend,
    Obligation,
    Order,
    Orders,
    forget,
    issue,
    keep,
    move,
    move_amend,
    request,
    restart,
    violate,
)


def apply(orders: Orders, record: r.Record) -> Orders:
    """Fold one record into `orders`, which is changed and returned; violations are added to `orders.violations`.

    Kinds that do not concern orders only move the time on, by which those that ended are forgotten.
    """
    handler = _HANDLERS.get(type(record))
    if handler is not None:
        handler(orders, record)
    forget(orders, record.boot_ns)
    return orders


# Questions


def worst_case(orders: Orders, venue: str, account: str, symbol: str) -> tuple[int, int]:
    """(buys, sells) in lots that can still be executed on a market, every live and unknown order counted whole."""
    return orders.worst.get((venue, account, symbol), (0, 0))


def may_send(orders: Orders, client_id: str, revision: int) -> bool:
    """Whether a placement or amend may be written to the wire: permitted in this process life, never written before, no cancel wanted."""
    order = orders.by_id.get(client_id)
    if order is None or order.cancel is not None or revision <= order.wired_revision:
        return False
    if revision == 0:
        return order.state is OrderState.PERMITTED and order.life == orders.life
    amend = order.amend
    return (
        amend is not None
        and amend.revision == revision
        and amend.state is OrderState.PERMITTED
        and amend.life == orders.life
        and order.state in RESTING
    )


def may_amend(orders: Orders, client_id: str, revision: int) -> bool:
    """Whether an amend may be proposed: the order rests, the revision is the next, no other is unresolved and no cancel is wanted."""
    order = orders.by_id.get(client_id)
    return order is not None and order.cancel is None and _takes_amend(order, revision)


def recovery_records(orders: Orders, same_kernel_boot: bool, io_error: bool, boot_ns: int) -> list[r.Record]:
    """What to append after BOOT, asked before it is folded, for orders that a process left half-way; nothing the second time, and never more risk.

    A permit without a wire write was certainly not sent while the page cache survived: the same kernel boot and no I/O error. Otherwise the
    wire record may be what was lost, and the order is UNKNOWN. An intent without an answer is denied: nothing is sent without a permit.
    """
    certain = same_kernel_boot is True and io_error is False
    found: list[r.Record] = []
    for client_id in sorted(orders.live):
        order = orders.by_id[client_id]
        requests = [(0, order.state)]
        if order.amend is not None:
            requests.append((order.amend.revision, order.amend.state))
        for revision, state in requests:
            if state is OrderState.INTENDED:
                found.append(
                    r.Deny(
                        boot_ns=boot_ns,
                        client_id=client_id,
                        revision=revision,
                        strategy=order.strategy,
                        rule="recovery",
                        detail="the process ended",
                    )
                )
            elif state is OrderState.PERMITTED and certain:
                found.append(
                    r.NotSent(boot_ns=boot_ns, client_id=client_id, revision=revision, reason="the process ended before the wire write")
                )
            elif state in (OrderState.PERMITTED, OrderState.SENT, OrderState.ACKED):
                found.append(
                    r.SendUnknown(boot_ns=boot_ns, client_id=client_id, revision=revision, reason="the process ended before the outcome")
                )
    return found


def _takes_amend(order: Order, revision: int) -> bool:
    return order.state in RESTING and order.amend is None and revision == order.revision + 1


# The gate's own records, and a person's


def _intent(orders: Orders, record: r.Intent) -> None:
    order = orders.by_id.get(record.client_id)
    if not (record.lots > 0 and record.ticks >= 0 and record.revision >= 0):
        orders.ignored += 1
    elif order is None and record.revision == 0 and issue(orders, record.client_id):
        order = Order(
            client_id=record.client_id,
            group=record.group,
            strategy=record.strategy,
            venue=record.venue,
            account=record.account,
            symbol=record.symbol,
            side=record.side,
            type=record.type,
            tif=record.tif,
            reduce_only=record.reduce_only,
            ticks=record.ticks,
            lots=record.lots,
            created_boot_ns=record.created_boot_ns,
        )
        orders.by_id[record.client_id] = order
        keep(orders, order)
    elif (
        order is not None
        and _takes_amend(order, record.revision)
        and (record.venue, record.account, record.symbol) == order.market
        and record.side is order.side
    ):
        order.revision = record.revision
        order.amend = Amend(record.revision, record.ticks, record.lots)
    else:
        orders.ignored += 1  # it will be denied; a permit for it is a violation


def _permit(orders: Orders, record: r.Permit) -> None:
    order = orders.by_id.get(record.client_id)
    if order is not None and order.amend is not None and order.amend.revision == record.revision:
        order.amend.life = orders.life
    elif order is not None and record.revision == 0 and order.state is OrderState.INTENDED:
        order.life = orders.life
    request(orders, record.client_id, record.revision, Evidence.PERMITTED)


def _deny(orders: Orders, record: r.Deny) -> None:
    order = orders.by_id.get(record.client_id)
    if order is None:
        return  # denied before it became an order
    if order.state is OrderState.INTENDED:
        move(orders, order, Evidence.DENIED)
    elif order.amend is not None and order.amend.state is OrderState.INTENDED:
        move_amend(orders, order, order.amend, Evidence.DENIED)


def _wire_begin(orders: Orders, record: r.WireBegin) -> None:
    order = orders.by_id.get(record.client_id)
    allowed = may_send(orders, record.client_id, record.revision)
    again = order is not None and record.revision <= order.wired_revision
    if order is not None:
        order.wired_revision = max(order.wired_revision, record.revision)
        if record.revision == 0 and record.sign_wall_ns > 0:
            order.sign_wall_ns = record.sign_wall_ns
            order.receive_window_ns = record.receive_window_ns
    before = orders.violation_count
    request(orders, record.client_id, record.revision, Evidence.WIRE_AGAIN if again else Evidence.WIRE_BEGUN)
    if not allowed and orders.violation_count == before:
        violate(orders, Violation.UNEXPECTED, record.client_id, "written to the wire by an old permit or although a cancel was wanted")


def _not_sent(orders: Orders, record: r.NotSent) -> None:
    order = orders.by_id.get(record.client_id)
    target = order if order is None or record.revision == 0 else order.amend
    sent = target is not None and target.sent
    request(orders, record.client_id, record.revision, Evidence.NOT_SENT_LATE if sent else Evidence.NOT_SENT)


def _sent(orders: Orders, record: r.Sent) -> None:
    order = orders.by_id.get(record.client_id)
    if order is not None and record.revision == 0:
        order.sent = True
        order.sign_wall_ns = record.sign_wall_ns
        order.receive_window_ns = record.receive_window_ns
    elif order is not None and order.amend is not None and order.amend.revision == record.revision:
        order.amend.sent = True
    request(orders, record.client_id, record.revision, Evidence.SENT)


def _send_unknown(orders: Orders, record: r.SendUnknown) -> None:
    request(orders, record.client_id, record.revision, Evidence.SEND_UNKNOWN)


def _absent(orders: Orders, record: r.Absent) -> None:
    order = orders.by_id.get(record.client_id)
    if order is not None and order.received:
        violate(orders, Violation.CONTRADICTED, record.client_id, "stated to be absent, but the venue had shown it")
    else:
        request(orders, record.client_id, 0, Evidence.ABSENCE)


def _quarantined(orders: Orders, record: r.Quarantined) -> None:
    request(orders, record.client_id, 0, Evidence.QUARANTINE)


_RELEASES = {
    OrderState.FILLED: Evidence.RELEASED_FILLED,
    OrderState.CANCELLED: Evidence.RELEASED_CANCELLED,
    OrderState.EXPIRED: Evidence.RELEASED_EXPIRED,
    OrderState.REJECTED: Evidence.RELEASED_REJECTED,
    OrderState.ABSENT: Evidence.RELEASED_ABSENT,
}


def _released(orders: Orders, record: r.Released) -> None:
    """A person's word ends a quarantine. What it says was filled is awaited as executions and reserved until they come; no fill is made up."""
    order = orders.by_id.get(record.client_id)
    evidence = _RELEASES.get(record.state)
    if (
        order is None
        or evidence is None
        or not (record.actor and record.nonce)
        or order.state is not OrderState.QUARANTINED
        or not order.filled_lots <= record.filled_lots <= order.largest_lots
        or (record.filled_lots and record.state in (OrderState.REJECTED, OrderState.ABSENT))
    ):
        orders.ignored += 1
        return
    order.reported_lots = max(order.reported_lots, record.filled_lots)
    move(orders, order, evidence)


def _cancel_wanted(orders: Orders, record: r.CancelWanted) -> None:
    order = orders.by_id.get(record.client_id)
    if order is None or order.cancel is not None:
        orders.ignored += 1
        return
    order.cancel = Obligation(record.boot_ns, record.reason, record.actor)
    keep(orders, order)


def _cancel_sent(orders: Orders, record: r.CancelSent) -> None:
    order = orders.by_id.get(record.client_id)
    if order is None or order.cancel is None:
        orders.ignored += 1
        return
    order.cancel.attempts += 1
    order.cancel.last_boot_ns = record.boot_ns
    order.cancel.sighted = False


def _cancel_answered(orders: Orders, record: r.CancelAnswered) -> None:
    request(orders, record.client_id, 0, Evidence.CANCEL_ACCEPTED if record.accepted is True else Evidence.CANCEL_REFUSED)


def _boot(orders: Orders, record: r.Boot) -> None:
    """A new life: what waited for an answer will not get it, and a signature that left no record was made before now.

    Times of sending are forgotten, because the clock of durations starts anew with the host.
    """
    orders.life += 1
    restart(orders, record.boot_ns)
    for client_id in list(orders.live):
        order = orders.by_id[client_id]
        if order.sign_wall_ns == 0 and order.state in UNRESOLVED:
            order.sign_wall_ns = record.wall_ns
            order.receive_window_ns = WINDOW_UNKNOWN_NS
        if order.cancel is not None:
            order.cancel.last_boot_ns = NEVER_NS
        move(orders, order, Evidence.LIFE_ENDED)
        if order.amend is not None:
            move_amend(orders, order, order.amend, Evidence.LIFE_ENDED)


_HANDLERS: Mapping[type[r.Record], Callable[[Orders, Any], None]] = {
    r.Boot: _boot,
    r.Intent: _intent,
    r.Permit: _permit,
    r.Deny: _deny,
    r.WireBegin: _wire_begin,
    r.NotSent: _not_sent,
    r.Sent: _sent,
    r.SendUnknown: _send_unknown,
    r.Answered: order_reports.answered,
    r.Reported: order_reports.reported,
    r.Absent: _absent,
    r.Quarantined: _quarantined,
    r.Released: _released,
    r.CancelWanted: _cancel_wanted,
    r.CancelSent: _cancel_sent,
    r.CancelAnswered: _cancel_answered,
    r.Filled: order_reports.filled,
    r.FillReversed: order_reports.reversal,
}
