"""Reads of orders, executions, amends and the account's transactions, with their windows and pages."""

from __future__ import annotations

from typing import Any, Final

from interlock.simulate.served.binance_usdm import seen
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes, by_symbol
from interlock.simulate.served.binance_usdm.taking import instrument_of
from interlock.simulate.served.binance_usdm.verbs import Verbs
from interlock.simulate.served.binance_usdm.views import TRADE_IDS, TRANSFER_IDS, client_id, order_id, order_row, trade_id, trade_row
from interlock.simulate.served.binance_usdm.words import Wrong, eight, price_text, size_text
from interlock.simulate.served.face import Face
from interlock.simulate.served.orders import Origin, SimOrder

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
        return [order_row(one) for one in seen.kept(self._face, self._venue.listed(self._orders(params))) if one.open]

    def all_orders(self, params: Params) -> list[dict[str, Any]]:
        """Orders of a window of at most seven days, or from an order on; oldest first."""
        limit = params.limit(500, 1000)
        rows = [order_row(one) for one in seen.kept(self._face, self._orders(params))]
        first = params.integer("orderId")
        if first is not None:
            return [row for row in rows if row["orderId"] >= first][:limit]
        start, end = self._window(params)
        return _page([row for row in rows if start <= row["time"] <= end], limit, params)

    def user_trades(self, params: Params) -> list[dict[str, Any]]:
        """Executions of a symbol: of a window of at most seven days, of an order, or from an execution on; oldest first."""
        symbol = params.text("symbol")
        instrument_of(self._venue, symbol)
        limit = params.limit(500, 1000)
        first, order = params.integer("fromId"), params.integer("orderId")
        oldest = self._venue.now_ms() - QUARTER_MS
        rows = [trade_row(e) for e in seen.executions(self._face, symbol) if e.venue_ns // 1_000_000 >= oldest]
        if order is not None:
            rows = [row for row in rows if row["orderId"] == order]
        if first is not None:
            if "startTime" in params or "endTime" in params:
                raise Wrong(-1128)
            return [row for row in rows if row["id"] >= first][:limit]
        if order is not None and "startTime" not in params and "endTime" not in params:
            return rows[-limit:]
        start, end = self._window(params)
        return _page([row for row in rows if start <= row["time"] <= end], limit, params)

    def amendments(self, params: Params) -> list[dict[str, Any]]:
        """The amends of a symbol's orders, newest first."""
        instrument = instrument_of(self._venue, params.text("symbol"))
        limit = params.limit(50, 100)
        number, by_client = params.integer("orderId"), params.maybe("origClientOrderId")
        start, end = params.integer("startTime") or 0, params.integer("endTime") or self._venue.now_ms()
        return [
            {
                "amendmentId": one.number,
                "symbol": one.order.symbol,
                "pair": one.order.symbol,
                "orderId": order_id(one.order),
                "clientOrderId": client_id(one.order),
                "time": one.at_ms,
                "amendment": {
                    "price": {"before": price_text(instrument, one.price[0]), "after": price_text(instrument, one.price[1])},
                    "origQty": {"before": size_text(instrument, one.quantity[0]), "after": size_text(instrument, one.quantity[1])},
                    "count": one.count,
                },
            }
            for one in reversed(self._verbs.amendments)
            if one.order.symbol == instrument.symbol
            and (number is None or order_id(one.order) == number)
            and (not by_client or client_id(one.order) == by_client)
            and start <= one.at_ms <= end
            and not self._face.later_than_lag(one.at_ms * 1_000_000)
        ][:limit]

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
        rows = [
            row
            for row in self._income()
            if max(start, now_ms - QUARTER_MS) <= row["time"] <= end
            and (not symbol or row["symbol"] == symbol)
            and (not kind or row["incomeType"] == kind)
        ]
        return rows[(page - 1) * limit : page * limit]

    def _income(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for execution in seen.executions(self._face):
            at = {"symbol": execution.order.symbol, "info": str(trade_id(execution)), "time": execution.venue_ns // 1_000_000}
            mine = {"tradeId": str(trade_id(execution)), "tranId": TRADE_IDS + execution.number}
            if execution.pnl:
                amount = {"incomeType": "REALIZED_PNL", "income": eight(execution.pnl), "asset": execution.order.instrument.settle}
                rows.append({**at, **amount, **mine})
            if execution.fee:
                rows.append({**at, "incomeType": "COMMISSION", "income": eight(-execution.fee), "asset": execution.fee_currency, **mine})
        for booking in self._venue.bookings:
            if self._face.later_than_lag(booking.venue_ns):
                continue
            kind = INCOME.get(booking.kind, "TRANSFER")
            rows.append(
                {
                    "symbol": booking.symbol,
                    "incomeType": kind,
                    "income": eight(booking.amount),
                    "asset": booking.currency,
                    "info": kind,
                    "time": booking.venue_ns // 1_000_000,
                    "tranId": TRANSFER_IDS + booking.number,
                    "tradeId": "",
                }
            )
        return sorted(rows, key=lambda row: int(row["time"]))

    def force_orders(self, params: Params) -> list[dict[str, Any]]:
        """The orders by which the venue closed positions, of one kind if it is named."""
        limit = params.limit(50, 100)
        kinds = {"": (Origin.LIQUIDATION, Origin.ADL), "LIQUIDATION": (Origin.LIQUIDATION,), "ADL": (Origin.ADL,)}
        wanted = params.maybe("autoCloseType") or ""
        if wanted not in kinds:
            raise Wrong(-1130, "autoCloseType")
        found = [order for order in self._orders(params) if order.origin in kinds[wanted]]
        return [order_row(one) for one in seen.kept(self._face, found)][-limit:]

    def _orders(self, params: Params) -> list[SimOrder]:
        symbol = params.maybe("symbol")
        if symbol:
            instrument_of(self._venue, symbol)
        return [order for order in self._venue.orders if not symbol or order.symbol == symbol]

    def _window(self, params: Params) -> tuple[int, int]:
        """Start and end in milliseconds: at most seven days, the last seven unless named."""
        start, end = params.integer("startTime"), params.integer("endTime")
        if start is not None and end is not None:
            if end - start > WEEK_MS:
                raise Wrong(-1127, WEEK_MS // 3_600_000)
            return start, end
        if start is not None:
            return start, start + WEEK_MS
        end = self._venue.now_ms() if end is None else end
        return end - WEEK_MS, end


def _page(rows: list[dict[str, Any]], limit: int, params: Params) -> list[dict[str, Any]]:
    """The oldest rows from a start that was named, else the newest; oldest first in both cases."""
    return rows[:limit] if "startTime" in params else rows[-limit:]
