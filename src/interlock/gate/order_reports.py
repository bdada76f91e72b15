"""What the venue says about an order, as evidence: answers, reports, executions and their reversals.

Channels overtake each other: an execution may come before the answer, an answer after the end. What goes back is counted and ignored, and what a
report counts as filled beyond the executions seen stays reserved until they come.
"""

from __future__ import annotations

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.order_machine import EXPOSED, RESTING, Evidence, Violation
from interlock.gate.order_state import Order, Orders, move, move_amend, request, stranger, violate

_ANSWERS = {
    OrderState.ACKED: Evidence.ANSWER_ACKED,
    OrderState.OPEN: Evidence.ANSWER_OPEN,
    OrderState.REJECTED: Evidence.ANSWER_REJECTED,
}


def answered(orders: Orders, record: r.Answered) -> None:
    """The venue's answer to the request itself; one that is not on our list leaves the outcome unknown."""
    evidence = _ANSWERS.get(record.state, Evidence.SEND_UNKNOWN)  # an answer that is not on our list says nothing
    order = orders.by_id.get(record.client_id)
    if order is not None and record.revision == 0:
        _identify(order, record.venue_order_id)
        if evidence is Evidence.ANSWER_REJECTED and order.shown and not order.state.final:
            _contradict(orders, order, "rejected after the venue had shown it")
            return
        order.received |= evidence in (Evidence.ANSWER_ACKED, Evidence.ANSWER_OPEN)
        if evidence is Evidence.ANSWER_OPEN:
            order.shown = True
            _sight(order)
    request(orders, record.client_id, record.revision, evidence)


def _contradict(orders: Orders, order: Order, detail: str) -> None:
    violate(orders, Violation.CONTRADICTED, order.client_id, detail)
    move(orders, order, Evidence.SEEN_UNCLEAR)


def _identify(order: Order, venue_order_id: str) -> None:
    if venue_order_id:
        order.venue_order_id = venue_order_id


def _sight(order: Order) -> None:
    if order.cancel is not None:
        order.cancel.sighted = True


_ENDS = {
    OrderState.CANCELLED: Evidence.SEEN_CANCELLED,
    OrderState.EXPIRED: Evidence.SEEN_EXPIRED,
    OrderState.REJECTED: Evidence.SEEN_REJECTED,
}


def reported(orders: Orders, record: r.Reported) -> None:
    """A report of the order by stream or query."""
    order = orders.by_id.get(record.client_id)
    if order is None:
        stranger(orders, record.client_id, "a report")
        return
    known = max(order.filled_lots + order.reversed_lots, order.reported_lots)
    alive = record.state in RESTING
    old_news = alive and order.state.final and order.received and record.venue_ns <= order.venue_ns
    if record.filled_lots < known or (old_news and record.filled_lots == known):
        orders.stale_reports += 1
        return
    _identify(order, record.venue_order_id)
    order.venue_ns = max(order.venue_ns, record.venue_ns)
    order.reported_lots = record.filled_lots
    order.received = order.shown = True
    _sight(order)
    _reported_size(orders, order, record)
    evidence = _seen(order, record, known)
    if evidence is Evidence.SEEN_UNCLEAR and record.state is OrderState.REJECTED:
        _contradict(orders, order, f"reported as rejected with {record.filled_lots} lots filled")
    else:
        move(orders, order, evidence, f"reported {record.state} with {record.filled_lots} of {order.largest_lots} lots filled")


def _reported_size(orders: Orders, order: Order, record: r.Reported) -> None:
    """The venue's own size of the order: it resolves an amend whose answer was lost, and unmasks one that is too large. 0 says nothing."""
    amend = order.amend
    if amend is not None and amend.state in EXPOSED and record.lots == amend.lots != order.lots:
        move_amend(orders, order, amend, Evidence.SEEN_OPEN)
    if record.lots > max(order.largest_lots, order.venue_lots):
        order.venue_lots = record.lots
        violate(orders, Violation.OVERSIZE, order.client_id, f"expected at most {order.largest_lots} lots, the venue holds {record.lots}")


def _seen(order: Order, record: r.Reported, known: int) -> Evidence:
    filled = record.filled_lots
    if filled > order.largest_lots:
        return Evidence.SEEN_OVER
    if record.state in RESTING:
        return Evidence.SEEN_PARTIAL if filled else Evidence.SEEN_OPEN
    if order.state.final and order.state not in (OrderState.NOT_SENT, OrderState.ABSENT) and filled > known:
        return Evidence.SEEN_MORE
    if record.state is OrderState.FILLED:
        return Evidence.SEEN_FILLED if filled >= order.lots else Evidence.SEEN_UNCLEAR
    if record.state is OrderState.REJECTED and filled:
        return Evidence.SEEN_UNCLEAR
    return _ENDS.get(record.state, Evidence.SEEN_UNCLEAR)


def filled(orders: Orders, record: r.Filled) -> None:
    """An execution, counted once by its key over all sources."""
    key = (record.venue, record.account, record.symbol, record.trade_id)
    if key in orders.fills:
        orders.duplicate_fills += 1
        return
    if not record.client_id or not record.lots > 0:
        return  # not ours: the ledger's business
    orders.fills[key] = (record.client_id, 0)  # until it is counted
    order = orders.by_id.get(record.client_id)
    if order is None:
        orders.strays.add(record.boot_ns, key)
        stranger(orders, record.client_id, f"execution {record.trade_id}")
        return
    if key[:3] != order.market or record.side is not order.side:
        orders.strays.add(record.boot_ns, key)
        violate(orders, Violation.CONTRADICTED, record.client_id, f"execution {record.trade_id} is of another market or side")
        return
    orders.fills[key] = (record.client_id, record.lots)
    largest = order.largest_lots
    order.filled_lots += record.lots
    order.trade_ids.append(record.trade_id)
    order.executed_venue_ns = max(order.executed_venue_ns, record.venue_ns)
    order.received = order.shown = True
    _sight(order)
    if order.filled_lots > largest:
        evidence = Evidence.FILL_OVER
    elif order.state.final and order.filled_lots + order.reversed_lots <= order.reported_lots:
        evidence = Evidence.FILL_EXPECTED
    elif order.filled_lots == largest:
        evidence = Evidence.FILL_ALL
    else:
        evidence = Evidence.FILL_PART
    move(orders, order, evidence, f"execution {record.trade_id} of {record.lots} lots, {order.filled_lots} of {largest} filled")
    if key in orders.reversals:
        orders.reversals[key] = True
        _take_back(orders, order, record.trade_id, record.lots)


def reversal(orders: Orders, record: r.FillReversed) -> None:
    """The venue took an execution back, perhaps before we heard of it."""
    key = (record.venue, record.account, record.symbol, record.trade_id)
    if key in orders.reversals:
        orders.duplicate_fills += 1
        return
    client_id, lots = orders.fills.get(key, ("", 0))
    order = orders.by_id.get(client_id)
    orders.reversals[key] = order is not None
    if order is None:
        violate(orders, Violation.REVERSAL, record.trade_id, "an execution was taken back that no order has of which we know")
    else:
        _take_back(orders, order, record.trade_id, lots)


def _take_back(orders: Orders, order: Order, trade_id: str, lots: int) -> None:
    order.filled_lots -= lots
    order.reversed_lots += lots
    move(orders, order, Evidence.REVERSAL, f"execution {trade_id} of {lots} lots was taken back")
