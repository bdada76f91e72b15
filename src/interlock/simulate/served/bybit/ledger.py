"""The transaction log: every change of the wallet, newest first, each with the balance that it led to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import Done, ms, shown, trimmed
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.paging import page
from interlock.simulate.served.bybit.views import side_name
from interlock.simulate.served.orders import Execution, Origin
from interlock.simulate.served.venue import Booking

ZERO: Final = Decimal(0)
KINDS: Final[Mapping[str, str]] = {
    "deposit": "TRANSFER_IN",
    "withdrawal": "TRANSFER_OUT",
    "funding": "SETTLEMENT",
    "fee": "TRADE",
    "rebate": "FEE_REFUND",
    "interest": "INTEREST",
    "adl": "ADL",
    "liquidation": "LIQUIDATION",
    "settlement": "DELIVERY",
    "airdrop": "AIRDROP",
    "adjust": "BONUS",
}
"""What each kind of booking is in the log; a transfer goes in or out by its sign."""

_TRADES: Final = {Origin.CLIENT: "TRADE", Origin.LIQUIDATION: "LIQUIDATION", Origin.ADL: "ADL"}
"""What an execution is in the log, by who made its order."""


@dataclass(frozen=True, slots=True)
class _Row:
    venue_ns: int
    currency: str
    change: Decimal
    view: dict[str, Any]
    place: int


def transaction_log(desk: Desk, ask: Ask) -> Done:
    """The rows of a time window, filtered by category, coin and type."""
    start, end = ask.window(desk.venue.now_ms())
    ask.choice("accountType", ("", "UNIFIED"))
    wanted = {name: ask.text(name) for name in ("category", "currency", "type", "baseCoin")}
    found = [row for row in _balanced(desk) if start <= row.venue_ns // 1_000_000 <= end and row.venue_ns <= ask.cutoff_ns]
    found = [row for row in found if all(not text or _said(row, name) == text for name, text in wanted.items())]
    rows, cursor = page(ask, found, lambda row: row.place, default=20, most=50)
    return Done({"list": [row.view for row in rows], "nextPageCursor": cursor})


def _said(row: _Row, name: str) -> str:
    return str(row.view["symbol"]).removesuffix("USDT") if name == "baseCoin" else str(row.view[name])


def _balanced(desk: Desk) -> list[_Row]:
    """Every row, newest first, with the balances worked out backwards from what there is now."""
    rows = [_traded(desk, e) for e in desk.venue.executions] + [_booked(desk, b) for b in desk.venue.bookings]
    rows.sort(key=lambda row: row.place, reverse=True)
    balances = {currency: balance.total for currency, balance in desk.account.balances().items()}
    for row in rows:
        row.view["cashBalance"] = trimmed(balances[row.currency])
        balances[row.currency] -= row.change
    return rows


def _traded(desk: Desk, execution: Execution) -> _Row:
    order, instrument = execution.order, execution.order.instrument
    pnl = execution.pnl
    view = {
        "id": f"{id_of(Of.EXECUTION, execution.number)}_{order.symbol}",
        "symbol": order.symbol,
        "category": "linear",
        "side": side_name(order.side),
        "transactionTime": ms(execution.venue_ns),
        "type": _TRADES[order.origin],
        "transSubType": "",
        "qty": shown(instrument.quantity(execution.lots)),
        "size": "",
        "currency": execution.fee_currency,
        "tradePrice": shown(instrument.price(execution.ticks)),
        "funding": "",
        "fee": trimmed(execution.fee),
        "cashFlow": trimmed(pnl),
        "change": trimmed(pnl - execution.fee),
        "cashBalance": "",
        "feeRate": shown(instrument.fees.maker if execution.maker else instrument.fees.taker),
        "bonusChange": "",
        "tradeId": id_of(Of.EXECUTION, execution.number),
        "orderId": id_of(Of.ORDER, order.number),
        "orderLinkId": order.client_id,
        "extraFees": "",
    }
    return _Row(execution.venue_ns, execution.fee_currency, pnl - execution.fee, view, execution.venue_ns * 1_000_000 + execution.number)


def _booked(desk: Desk, booking: Booking) -> _Row:
    paid = next((p for p in desk.paid if p.booking is booking), None)
    kind = KINDS.get(booking.kind) or ("TRANSFER_IN" if booking.amount > 0 else "TRANSFER_OUT")
    view = {
        "id": id_of(Of.BOOKING, booking.number),
        "symbol": booking.symbol,
        "category": "linear" if booking.symbol else "",
        "side": "None" if paid is None else "Buy" if paid.size > 0 else "Sell",
        "transactionTime": ms(booking.venue_ns),
        "type": kind,
        "transSubType": "",
        "qty": "0" if paid is None else shown(abs(paid.size)),
        "size": "0" if paid is None else shown(paid.size),
        "currency": booking.currency,
        "tradePrice": "0" if paid is None else shown(paid.mark),
        "funding": "" if paid is None else trimmed(booking.amount),
        "fee": "0",
        "cashFlow": "0" if paid is not None else trimmed(booking.amount),
        "change": trimmed(booking.amount),
        "cashBalance": "",
        "feeRate": "0" if paid is None else trimmed(paid.rate),
        "bonusChange": "",
        "tradeId": "" if paid is None else id_of(Of.FUNDING, booking.number),
        "orderId": "" if paid is None else id_of(Of.FUNDING_ORDER, booking.number),
        "orderLinkId": "",
        "extraFees": "",
    }
    return _Row(booking.venue_ns, booking.currency, booking.amount, view, booking.venue_ns * 1_000_000 + booking.number)
