"""Reads of orders and executions: open ones, the recent closed ones, history with its windows and what it forgets, executions, closed profit."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Any, Final

from interlock.domain.clock import NS_PER_MS
from interlock.domain.orders import Side
from interlock.simulate.served.bybit.ask import DAY_MS, Ask
from interlock.simulate.served.bybit.desk import Desk, FundingPaid
from interlock.simulate.served.bybit.envelope import Done, ms, shown, trimmed
from interlock.simulate.served.bybit.ids import Of, id_of, number_of
from interlock.simulate.served.bybit.paging import PLACES, asked_page, page
from interlock.simulate.served.bybit.views import execution_view, funding_view, order_type, order_view, seen, side_name
from interlock.simulate.served.bybit.words import PARAMS, STATUSES, Failed, exec_type
from interlock.simulate.served.orders import Execution, SimOrder
from interlock.simulate.served.span import Orders, Span

RECENT_CLOSED: Final = 500
DAY_NS: Final = DAY_MS * NS_PER_MS
EXECUTED: Final = ("Trade", "AdlTrade", "BustTrade")
KINDS: Final = ("Trade", "AdlTrade", "Funding", "BustTrade", "Delivery", "Settle", "BlockTrade", "MovePosition")


def realtime(desk: Desk, ask: Ask) -> Done:
    """Open orders; by id also one of the 500 that closed last, and with `openOnly=1` all of those."""
    category = ask.category()
    if category != "linear":
        return _listed(category, [], "")
    named = _named(ask)
    if not named:
        _scope(ask, ("symbol", "baseCoin", "settleCoin"))
    known = _by_name(desk, ask) if named else desk.venue.listed(desk.venue.history.unsettled(ask.cutoff_ns)[::-1])
    if named or ask.whole("openOnly", 0, 0, 2) == 1:
        settled = (o for o in desk.venue.history.settled(ask.cutoff_ns) if o.created_ns <= ask.cutoff_ns)
        recent = {o.number: o for o in islice(settled, RECENT_CLOSED)}
        if named:
            known = [o for o in known if o.number in recent or not seen(o, ask.cutoff_ns).state.final]
        else:
            known = sorted([*known, *recent.values()], key=lambda o: o.number, reverse=True)
    found = (o for o in known if o.created_ns <= ask.cutoff_ns and _fits(desk, ask, o))
    shown_now, cursor = page(ask, found, lambda o: o.number, default=20, most=50)
    return _listed(category, [order_view(o, ask.cutoff_ns) for o in shown_now], cursor)


def history(desk: Desk, ask: Ask) -> Done:
    """Closed orders by time of creation. Those that never executed are forgotten after a day, if they were not filled."""
    category = ask.category()
    start, end = ask.window(desk.venue.now_ms())
    if category != "linear":
        return _listed(category, [], "")
    status = ask.text("orderStatus")
    asked = asked_page(ask, default=20, most=50)
    wanted = Orders(
        symbols=_symbols(desk, ask),
        begin_ns=start * NS_PER_MS,
        end_ns=min(end * NS_PER_MS + NS_PER_MS - 1, ask.cutoff_ns),
        last=asked.below - 1,
        states=[state for state, name in STATUSES.items() if state.final and status in ("", name)],
        empty_since_ns=desk.venue.now_ns() - DAY_NS,
    )
    known = desk.venue.history.orders(wanted, newest_first=True) if not _named(ask) else filter(wanted.holds_order, _by_name(desk, ask))
    # One that changed after the cutoff is shown as it was before, which is open.
    shown_now, cursor = asked.cut((o for o in known if o.updated_ns <= ask.cutoff_ns), lambda o: o.number)
    return _listed(category, [order_view(o, ask.cutoff_ns) for o in shown_now], cursor)


def executions(desk: Desk, ask: Ask) -> Done:
    """Executions and funding, newest first."""
    category = ask.category()
    start, end = ask.window(desk.venue.now_ms())
    kind = ask.choice("execType", ("", *KINDS))
    if category != "linear":
        return _listed(category, [], "")
    asked = asked_page(ask, default=50, most=100)
    # A position is a time and a number: nothing below it is later than its time.
    until_ns = min(end * NS_PER_MS + NS_PER_MS - 1, ask.cutoff_ns, asked.below // PLACES)
    span = Span(symbols=_symbols(desk, ask), begin_ns=start * NS_PER_MS, end_ns=until_ns)
    done: Iterator[Execution | FundingPaid] = (
        e for e in _executed(desk, ask, span, kind) if not e.reverses and kind in ("", exec_type(e.order))
    )
    paid: list[FundingPaid] = []
    if not _named(ask) and kind in ("", "Funding"):
        paid = [p for p in desk.paid if span.holds(p.booking.symbol, p.booking.number, p.booking.venue_ns)]
    found = merge(done, sorted(paid, key=_place, reverse=True), key=_place, reverse=True)
    shown_now, cursor = asked.cut(found, _place)
    views = [execution_view(e, stream=False) if isinstance(e, Execution) else funding_view(e, stream=False) for e in shown_now]
    return _listed(category, views, cursor)


def closed_pnl(desk: Desk, ask: Ask) -> Done:
    """What closing executions realised, one row for each order that closed something."""
    category = ask.category()
    start, end = ask.window(desk.venue.now_ms())
    asked = asked_page(ask, default=50, most=100)
    wanted = Orders(symbols=_symbols(desk, ask), last=asked.below - 1, closed_since_ns=start * NS_PER_MS)
    known: Iterator[SimOrder] = iter(())
    if category == "linear":
        known = desk.venue.history.orders(wanted, newest_first=True) if not _named(ask) else filter(wanted.holds_order, _by_name(desk, ask))
    pairs = (
        (o, [e for e in o.executions if e.closed_lots and e.venue_ns <= ask.cutoff_ns]) for o in known if o.created_ns <= ask.cutoff_ns
    )
    found = ((o, closing) for o, closing in pairs if closing and start <= closing[-1].venue_ns // NS_PER_MS <= end)
    shown_now, cursor = asked.cut(found, lambda pair: pair[0].number)
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
    lots = sum(e.closed_lots for e in closing)
    value = sum((instrument.price(e.ticks) * instrument.quantity(e.closed_lots) for e in closing), instrument.lot * 0)
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


def _by_name(desk: Desk, ask: Ask) -> list[SimOrder]:
    """The order that was named, if there is one."""
    order = find(desk, ask)
    return [] if order is None else [order]


def _executed(desk: Desk, ask: Ask, span: Span, kind: str) -> Iterator[Execution]:
    """The executions within a span, newest first; of one order if one is named."""
    if kind and kind not in EXECUTED:
        return iter(())
    if not _named(ask):
        return desk.venue.history.executions_by_time(span, newest_first=True)
    own = [e for order in _by_name(desk, ask) for e in order.executions if span.begin_ns <= e.venue_ns <= span.end_ns]
    return iter(sorted(own, key=_place, reverse=True))


def _named(ask: Ask) -> bool:
    return bool(ask.text("orderId") or ask.text("orderLinkId"))


def _fits(desk: Desk, ask: Ask, order: SimOrder) -> bool:
    """By the first of what was given: order id, client id, then symbol or coins."""
    return _named(ask) or _in_scope(desk, ask, order.symbol)


def _symbols(desk: Desk, ask: Ask) -> list[str] | None:
    """The symbols that were asked for; None for all, and where an order is named: its id goes before its symbol."""
    found = [symbol for symbol in desk.venue.markets if _in_scope(desk, ask, symbol)]
    return None if _named(ask) or len(found) == len(desk.venue.markets) else found


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


def _place(found: Execution | FundingPaid) -> int:
    """By time; what happened at the same nanosecond, by number."""
    if isinstance(found, Execution):
        return found.venue_ns * PLACES + found.number
    return found.booking.venue_ns * PLACES + found.booking.number


def _listed(category: str, rows: list[dict[str, Any]], cursor: str) -> Done:
    return Done({"list": rows, "nextPageCursor": cursor, "category": category})
