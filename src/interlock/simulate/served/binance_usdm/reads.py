"""Reads of orders, executions, amends and the account's transactions, with their windows and pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from heapq import merge
from itertools import groupby, islice
from typing import Any, Final

from interlock.domain.clock import NS_PER_MS
from interlock.simulate.served.binance_usdm import seen
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes, by_symbol
from interlock.simulate.served.binance_usdm.taking import instrument_of
from interlock.simulate.served.binance_usdm.verbs import Verbs
from interlock.simulate.served.binance_usdm.views import ORDER_IDS, TRADE_IDS, TRANSFER_IDS, order_row, trade_id, trade_row
from interlock.simulate.served.binance_usdm.words import Wrong, eight, price_text, size_text
from interlock.simulate.served.face import Face
from interlock.simulate.served.orders import Execution, Origin
from interlock.simulate.served.span import Orders, Span
from interlock.simulate.served.venue import Booking

WEEK_MS: Final = 7 * 86_400_000
QUARTER_MS: Final = 90 * 86_400_000
INCOME: Final = {
    "deposit": "TRANSFER",
    "withdrawal": "TRANSFER",
    "transfer": "TRANSFER",
    "funding": "FUNDING_FEE",
    "fee": "COMMISSION",
    "rebate": "COMMISSION_REBATE",
    "liquidation": "INSURANCE_CLEAR",
    "adl": "INSURANCE_CLEAR",
    "settlement": "DELIVERED_SETTELMENT",
    "airdrop": "WELCOME_BONUS",
}
"""incomeType by kind of booking; every other kind is a TRANSFER. DELIVERED_SETTELMENT is spelt as the venue spells it."""
EXECUTED: Final = ("REALIZED_PNL", "COMMISSION")
"""incomeType of what executions move."""


class Reads:
    """What the account has and had, as far as it is shown."""

    def __init__(self, face: Face, verbs: Verbs) -> None:
        self._face = face
        self._venue = face.venue
        self._verbs = verbs

    def routes(self) -> Routes:
        """Its paths."""
        signed = Security.SIGNED
        return {
            ("GET", "/fapi/v1/order"): Route(handler=self.order, security=signed),
            ("GET", "/fapi/v1/openOrder"): Route(handler=self.open_order, security=signed),
            ("GET", "/fapi/v1/openOrders"): Route(handler=self.open_orders, security=signed, weight=by_symbol(1, 40)),
            ("GET", "/fapi/v1/allOrders"): Route(handler=self.all_orders, security=signed, weight=5),
            ("GET", "/fapi/v1/userTrades"): Route(handler=self.user_trades, security=signed, weight=5),
            ("GET", "/fapi/v1/orderAmendment"): Route(handler=self.amendments, security=signed),
            ("GET", "/fapi/v1/income"): Route(handler=self.income, security=signed, weight=30),
            ("GET", "/fapi/v1/forceOrders"): Route(handler=self.force_orders, security=signed, weight=by_symbol(20, 50)),
        }

    def order(self, params: Params) -> dict[str, Any]:
        """One order by either of its ids."""
        return order_row(self._one(params))

    def open_order(self, params: Params) -> dict[str, Any]:
        """One order that is open."""
        found = self._one(params)
        if not found.open:
            raise Wrong(-2013)
        return order_row(found)

    def _one(self, params: Params) -> seen.Seen:
        instrument_of(self._venue, params.text("symbol"))
        order = self._verbs.find(params)
        found = next(seen.kept(self._face, [order]), None) if order is not None else None
        if found is None:
            raise Wrong(-2013)
        return found

    def open_orders(self, params: Params) -> list[dict[str, Any]]:
        """Every open order, of a symbol or of all."""
        symbols = self._symbols(params)
        unsettled = self._venue.history.unsettled(seen.cutoff_ns(self._face))
        found = [order for order in unsettled if symbols is None or order.symbol in symbols]
        return [order_row(one) for one in seen.kept(self._face, self._venue.listed(found)) if one.open]

    def all_orders(self, params: Params) -> list[dict[str, Any]]:
        """Orders of a window of at most seven days, or from an order on; oldest first."""
        limit = params.limit(500, 1000)
        since_ns = min(self._venue.now_ns() - seen.EMPTY_KEPT_NS, seen.cutoff_ns(self._face))
        wanted = Orders(symbols=self._symbols(params), empty_since_ns=since_ns)
        first = params.integer("orderId")
        if first is not None:
            return self._orders(replace(wanted, first=first - ORDER_IDS), limit, newest_first=False)
        begin_ns, end_ns = self._window(params)
        return self._orders(replace(wanted, begin_ns=begin_ns, end_ns=end_ns), limit, newest_first="startTime" not in params)

    def user_trades(self, params: Params) -> list[dict[str, Any]]:
        """Executions of a symbol: of a window of at most seven days, of an order, or from an execution on; oldest first."""
        symbol = params.text("symbol")
        instrument_of(self._venue, symbol)
        limit = params.limit(500, 1000)
        first, order = params.integer("fromId"), params.integer("orderId")
        kept = Span(symbols=(symbol,), begin_ns=_begin_ns(self._venue.now_ms() - QUARTER_MS))
        if first is not None:
            if "startTime" in params or "endTime" in params:
                raise Wrong(-1128)
            return self._trades(replace(kept, first=first - TRADE_IDS), order, limit, newest_first=False)
        if order is not None and "startTime" not in params and "endTime" not in params:
            return self._trades(kept, order, limit, newest_first=True)
        begin_ns, end_ns = self._window(params)
        within = replace(kept, begin_ns=max(kept.begin_ns, begin_ns), end_ns=end_ns)
        return self._trades(within, order, limit, newest_first="startTime" not in params)

    def _trades(self, wanted: Span, order: int | None, limit: int, *, newest_first: bool) -> list[dict[str, Any]]:
        """The first so many executions by number, from either end, of one order if it is named; oldest first."""
        if order is None:
            done: Iterable[Execution] = self._venue.history.executions(wanted, newest_first=newest_first)
        else:
            found = self._verbs.numbered(order)
            own = [e for e in found.executions if wanted.holds_execution(e)] if found is not None else []
            done = own[::-1] if newest_first else own
        rows = [trade_row(e) for e in islice(seen.executions(self._face, done), limit)]
        return rows[::-1] if newest_first else rows

    def amendments(self, params: Params) -> list[dict[str, Any]]:
        """The amends of a symbol's orders, newest first."""
        instrument = instrument_of(self._venue, params.text("symbol"))
        limit = params.limit(50, 100)
        number, by_client = params.integer("orderId"), params.maybe("origClientOrderId")
        start, end = params.integer("startTime") or 0, params.integer("endTime") or self._venue.now_ms()
        done = self._verbs.amends.newest(instrument.symbol, order_id=number, client_id=by_client)
        found = (one for one in done if start <= one.at_ms <= end and not self._face.later_than_lag(one.at_ms * NS_PER_MS))
        return [
            {
                "amendmentId": one.number,
                "symbol": one.symbol,
                "pair": one.symbol,
                "orderId": one.order_id,
                "clientOrderId": one.client_id,
                "time": one.at_ms,
                "amendment": {
                    "price": {"before": price_text(instrument, one.price[0]), "after": price_text(instrument, one.price[1])},
                    "origQty": {"before": size_text(instrument, one.quantity[0]), "after": size_text(instrument, one.quantity[1])},
                    "count": one.count,
                },
            }
            for one in islice(found, limit)
        ]

    def income(self, params: Params) -> list[dict[str, Any]]:
        """The account's transactions of a window, seven days unless named; oldest first. `page` counts from one."""
        symbol, kind = params.maybe("symbol"), params.maybe("incomeType")
        if symbol:
            instrument_of(self._venue, symbol)
        limit, page = params.limit(100, 1000), params.integer("page") or 1
        now_ms = self._venue.now_ms()
        start, end = params.integer("startTime"), params.integer("endTime")
        start = now_ms - WEEK_MS if start is None else start
        end = now_ms if end is None else end
        span = Span(symbols=(symbol,) if symbol else None, begin_ns=_begin_ns(max(start, now_ms - QUARTER_MS)), end_ns=_end_ns(end))
        rows = (row for row in self._income(span, executed=kind in ("", *EXECUTED)) if not kind or row["incomeType"] == kind)
        return list(islice(rows, (page - 1) * limit, page * limit))

    def _income(self, span: Span, *, executed: bool) -> Iterator[dict[str, Any]]:
        """The rows of a span by time in milliseconds; of one millisecond first the executions, by number, then the bookings."""
        done = self._venue.history.executions_by_time(span, newest_first=False) if executed else iter(())
        by_time = groupby(seen.executions(self._face, done), key=lambda e: e.venue_ns // NS_PER_MS)
        moved = (row for _, group in by_time for e in sorted(group, key=lambda e: e.number) for row in _moved(e))
        bookings = [
            b for b in self._venue.bookings if span.holds(b.symbol, b.number, b.venue_ns) and not self._face.later_than_lag(b.venue_ns)
        ]
        booked = sorted((_booked(booking) for booking in bookings), key=_time)
        return merge(moved, booked, key=_time)

    def force_orders(self, params: Params) -> list[dict[str, Any]]:
        """The orders by which the venue closed positions, of one kind if it is named."""
        limit = params.limit(50, 100)
        kinds = {"": (Origin.LIQUIDATION, Origin.ADL), "LIQUIDATION": (Origin.LIQUIDATION,), "ADL": (Origin.ADL,)}
        kind = params.maybe("autoCloseType") or ""
        if kind not in kinds:
            raise Wrong(-1130, "autoCloseType")
        made = self._venue.history.orders(Orders(symbols=self._symbols(params), by_venue=True), newest_first=True)
        found = (order for order in made if order.origin in kinds[kind])
        return [order_row(one) for one in islice(seen.kept(self._face, found), limit)][::-1]

    def _orders(self, wanted: Orders, limit: int, *, newest_first: bool) -> list[dict[str, Any]]:
        """The first so many orders by number, from either end; oldest first."""
        found = self._venue.history.orders(wanted, newest_first=newest_first)
        rows = [order_row(one) for one in islice(seen.kept(self._face, found), limit)]
        return rows[::-1] if newest_first else rows

    def _symbols(self, params: Params) -> tuple[str, ...] | None:
        """The symbol, if one is named. Raises Wrong."""
        symbol = params.maybe("symbol")
        if symbol:
            instrument_of(self._venue, symbol)
        return (symbol,) if symbol else None

    def _window(self, params: Params) -> tuple[int, int]:
        """Start and end in nanoseconds, both included: at most seven days, the last seven unless named. Raises Wrong."""
        start, end = params.integer("startTime"), params.integer("endTime")
        if start is not None and end is not None:
            if end - start > WEEK_MS:
                raise Wrong(-1127, WEEK_MS // 3_600_000)
        elif start is not None:
            end = start + WEEK_MS
        else:
            end = self._venue.now_ms() if end is None else end
            start = end - WEEK_MS
        return _begin_ns(start), _end_ns(end)


def _begin_ns(ms: int) -> int:
    return ms * NS_PER_MS


def _end_ns(ms: int) -> int:
    """The last nanosecond of a millisecond."""
    return ms * NS_PER_MS + NS_PER_MS - 1


def _time(row: dict[str, Any]) -> int:
    return int(row["time"])


def _moved(execution: Execution) -> Iterator[dict[str, Any]]:
    """What an execution moved: the profit that it realised, and its fee."""
    at = {"symbol": execution.order.symbol, "info": str(trade_id(execution)), "time": execution.venue_ns // NS_PER_MS}
    mine = {"tradeId": str(trade_id(execution)), "tranId": TRADE_IDS + execution.number}
    if execution.pnl:
        amount = {"incomeType": "REALIZED_PNL", "income": eight(execution.pnl), "asset": execution.order.instrument.settle}
        yield {**at, **amount, **mine}
    if execution.fee:
        yield {**at, "incomeType": "COMMISSION", "income": eight(-execution.fee), "asset": execution.fee_currency, **mine}


def _booked(booking: Booking) -> dict[str, Any]:
    kind = INCOME.get(booking.kind, "TRANSFER")
    return {
        "symbol": booking.symbol,
        "incomeType": kind,
        "income": eight(booking.amount),
        "asset": booking.currency,
        "info": kind,
        "time": booking.venue_ns // NS_PER_MS,
        "tranId": TRANSFER_IDS + booking.number,
        "tradeId": "",
    }
