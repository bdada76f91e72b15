"""Reads of orders and executions: open ones, the recent closed ones, history with its windows and what it forgets, executions, closed profit."""

from __future__ import annotations

from typing import Any, Final

from interlock.domain.orders import Side
from interlock.simulate.served.bybit.ask import DAY_MS, Ask
from interlock.simulate.served.bybit.desk import Desk, FundingPaid
from interlock.simulate.served.bybit.envelope import Done, ms, shown, trimmed
from interlock.simulate.served.bybit.ids import Of, id_of, number_of
from interlock.simulate.served.bybit.paging import page
from interlock.simulate.served.bybit.views import execution_view, funding_view, order_type, order_view, seen, side_name
from interlock.simulate.served.bybit.words import PARAMS, Failed, exec_type
from interlock.simulate.served.orders import Execution, SimOrder

RECENT_CLOSED: Final = 500
DAY_NS: Final = DAY_MS * 1_000_000
KINDS: Final = ("Trade", "AdlTrade", "Funding", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition")


def realtime(desk: Desk, ask: Ask) -> Done:
    """Open orders; by id also one of the 500 that closed last, and with `openOnly=1` all of those."""
    category = ask.category()
    if category != "linear":
        return _listed(category, [], "")
    named = _named(ask)
    if not named:
        _scope(ask, ("symbol", "baseCoin", "settleCoin"))
    known = _known(desk, ask) if named else desk.venue.listed(_known(desk, ask))
    closed = [o for o in known if seen(o, ask.cutoff_ns).state.final]
    recent = {o.number for o in sorted(closed, key=lambda o: -o.updated_ns)[:RECENT_CLOSED]}
    with_closed = bool(named) or ask.whole("openOnly", 0, 0, 2) == 1
    found = [o for o in known if _fits(desk, ask, o) and (o.number in recent if seen(o, ask.cutoff_ns).state.final else True)]
    if not with_closed:
        found = [o for o in found if not seen(o, ask.cutoff_ns).state.final]
    shown_now, cursor = page(ask, found, lambda o: o.number, default=20, most=50)
    return _listed(category, [order_view(o, ask.cutoff_ns) for o in shown_now], cursor)


def history(desk: Desk, ask: Ask) -> Done:
    """Closed orders by time of creation. Those that never executed are forgotten after a day, if they were not filled."""
    category = ask.category()
    start, end = ask.window(desk.venue.now_ms())
    if category != "linear":
        return _listed(category, [], "")
    now_ns = desk.venue.now_ns()
    status = ask.text("orderStatus")
    found = []
    for order in _known(desk, ask):
        state = seen(order, ask.cutoff_ns)
        forgotten = not state.filled_lots and now_ns - state.updated_ns > DAY_NS
        within = start <= order.created_ns // 1_000_000 <= end
        if state.state.final and within and not forgotten and _fits(desk, ask, order):
            view = order_view(order, ask.cutoff_ns)
            if not status or view["orderStatus"] == status:
                found.append(order)
    shown_now, cursor = page(ask, found, lambda o: o.number, default=20, most=50)
    return _listed(category, [order_view(o, ask.cutoff_ns) for o in shown_now], cursor)


def executions(desk: Desk, ask: Ask) -> Done:
    """Executions and funding, newest first."""
    category = ask.category()
    start, end = ask.window(desk.venue.now_ms())
    kind = ask.choice("execType", ("", *KINDS))
    if category != "linear":
        return _listed(category, [], "")
    found: list[Execution | FundingPaid] = [
        e
        for e in desk.venue.executions
        if not e.reverses and start <= e.venue_ns // 1_000_000 <= end and e.venue_ns <= ask.cutoff_ns and _fits(desk, ask, e.order)
    ]
    if not _named(ask):
        found += [
            p
            for p in desk.paid
            if start <= p.booking.venue_ns // 1_000_000 <= end
            and p.booking.venue_ns <= ask.cutoff_ns
            and _in_scope(desk, ask, p.booking.symbol)
        ]
    found = sorted((e for e in found if not kind or kind == _kind(e)), key=_place, reverse=True)
    shown_now, cursor = page(ask, found, _place, default=50, most=100)
    views = [
        execution_view(e, desk.traded[e.number], stream=False) if isinstance(e, Execution) else funding_view(e, stream=False)
        for e in shown_now
    ]
    return _listed(category, views, cursor)


def closed_pnl(desk: Desk, ask: Ask) -> Done:
    """What closing executions realised, one row for each order that closed something."""
    category = ask.category()
    start, end = ask.window(desk.venue.now_ms())
    found = []
    for order in _known(desk, ask) if category == "linear" else []:
        closing = [e for e in order.executions if desk.traded[e.number].closed_lots and e.venue_ns <= ask.cutoff_ns]
        if closing and start <= closing[-1].venue_ns // 1_000_000 <= end and _fits(desk, ask, order):
            found.append((order, closing))
    shown_now, cursor = page(ask, found, lambda pair: pair[0].number, default=50, most=100)
    return _listed(category, [_closed_row(desk, order, closing) for order, closing in shown_now], cursor)


def find(desk: Desk, ask: Ask) -> SimOrder | None:
    """The order that a request names; `orderId` goes before `orderLinkId`. Raises Failed if it names none."""
    order_id, link_id = ask.text("orderId"), ask.text("orderLinkId")
    if not (order_id or link_id):
        raise Failed(PARAMS, "params error: orderId or orderLinkId is required")
    number = number_of(Of.ORDER, order_id)
    if order_id:
        return desk.venue.find(number=number) if number else None
    return desk.venue.find(client_id=link_id)


def _closed_row(desk: Desk, order: SimOrder, closing: list[Execution]) -> dict[str, Any]:
    instrument = order.instrument
    lots = sum(desk.traded[e.number].closed_lots for e in closing)
    value = sum((instrument.price(e.ticks) * instrument.quantity(desk.traded[e.number].closed_lots) for e in closing), instrument.lot * 0)
    pnl = sum((e.pnl for e in closing), instrument.lot * 0)
    size = instrument.quantity(lots)
    entry_value = value + (pnl if order.side is Side.BUY else -pnl)
    return {
        "symbol": order.symbol,
        "orderId": id_of(Of.ORDER, order.number),
        "side": side_name(order.side),
        "qty": shown(order.quantity),
        "orderPrice": shown(order.price),
        "orderType": order_type(order),
        "execType": exec_type(order),
        "closedSize": shown(size),
        "cumEntryValue": trimmed(entry_value),
        "avgEntryPrice": trimmed(entry_value / size),
        "cumExitValue": trimmed(value),
        "avgExitPrice": trimmed(value / size),
        "closedPnl": trimmed(pnl - sum((e.fee for e in closing), instrument.lot * 0)),
        "fillCount": str(len(closing)),
        "leverage": str(desk.account.leverage[order.symbol]),
        "createdTime": ms(order.created_ns),
        "updatedTime": ms(closing[-1].venue_ns),
    }


def _known(desk: Desk, ask: Ask) -> list[SimOrder]:
    return [o for o in reversed(desk.venue.orders) if o.created_ns <= ask.cutoff_ns]


def _named(ask: Ask) -> bool:
    return bool(ask.text("orderId") or ask.text("orderLinkId"))


def _fits(desk: Desk, ask: Ask, order: SimOrder) -> bool:
    """By the first of what was given: order id, client id, then symbol or coins."""
    if ask.text("orderId"):
        return number_of(Of.ORDER, ask.text("orderId")) == order.number
    if ask.text("orderLinkId"):
        return ask.text("orderLinkId") == order.client_id
    return _in_scope(desk, ask, order.symbol)


def _in_scope(desk: Desk, ask: Ask, symbol: str) -> bool:
    instrument = desk.venue.market(symbol).instrument
    if ask.text("symbol"):
        return ask.text("symbol") == symbol
    if ask.text("baseCoin"):
        return ask.text("baseCoin") == instrument.base
    return ask.text("settleCoin", instrument.settle) == instrument.settle


def _scope(ask: Ask, names: tuple[str, ...]) -> None:
    if not any(ask.text(name) for name in names):
        raise Failed(PARAMS, f"params error: {', '.join(names[:-1])} or {names[-1]} is required")


def _kind(found: Execution | FundingPaid) -> str:
    return exec_type(found.order) if isinstance(found, Execution) else "Funding"


def _place(found: Execution | FundingPaid) -> int:
    """By time; what happened at the same nanosecond, by number."""
    if isinstance(found, Execution):
        return found.venue_ns * 1_000_000 + found.number
    return found.booking.venue_ns * 1_000_000 + found.booking.number


def _listed(category: str, rows: list[dict[str, Any]], cursor: str) -> Done:
    return Done({"list": rows, "nextPageCursor": cursor, "category": category})
