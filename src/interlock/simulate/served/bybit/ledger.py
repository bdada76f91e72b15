"""The transaction log: every change of the wallet, newest first, each with the balance that it led to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from typing import Any, Final

from interlock.domain.clock import NS_PER_MS
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import Done, ms, shown, trimmed
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.paging import PLACES, asked_page
from interlock.simulate.served.bybit.views import side_name
from interlock.simulate.served.orders import Execution, Origin
from interlock.simulate.served.span import Span
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
    traded: bool
    currency: str
    change: Decimal
    view: dict[str, Any]
    place: int


def transaction_log(desk: Desk, ask: Ask) -> Done:
    """The rows of a time window, filtered by category, coin and type."""
    start, end = ask.window(desk.venue.now_ms())
    ask.choice("accountType", ("", "UNIFIED"))
    wanted = {name: ask.text(name) for name in ("category", "currency", "type", "baseCoin")}
    asked = asked_page(ask, default=20, most=50)
    until_ns = min(end * NS_PER_MS + NS_PER_MS - 1, ask.cutoff_ns, asked.below // PLACES)
    span = Span(symbols=_symbols(desk, wanted["baseCoin"]), begin_ns=start * NS_PER_MS, end_ns=until_ns)
    rows = _rows(desk, span, trades=wanted["type"] in ("", *_TRADES.values()))
    found = (row for row in rows if all(not text or _said(row, name) == text for name, text in wanted.items()))
    shown_now, cursor = asked.cut(found, lambda row: row.place)
    balances = _balances(desk, shown_now)
    listed = [row.view | {"cashBalance": trimmed(balance)} for row, balance in zip(shown_now, balances, strict=True)]
    return Done({"list": listed, "nextPageCursor": cursor})


def _said(row: _Row, name: str) -> str:
    return str(row.view["symbol"]).removesuffix("USDT") if name == "baseCoin" else str(row.view[name])


def _symbols(desk: Desk, base: str) -> list[str] | None:
    return [symbol for symbol in desk.venue.markets if symbol.removesuffix("USDT") == base] if base else None


def _rows(desk: Desk, span: Span, *, trades: bool) -> Iterator[_Row]:
    """The rows of a span, newest first, read as they are taken; `trades`: those of executions too."""
    done = desk.venue.history.executions_by_time(span, newest_first=True) if trades else iter(())
    booked = [_booked(desk, b) for b in desk.venue.bookings if span.holds(b.symbol, b.number, b.venue_ns)]
    booked.sort(key=_place, reverse=True)
    return merge((_traded(e) for e in done), booked, key=_place, reverse=True)


def _balances(desk: Desk, rows: Sequence[_Row]) -> list[Decimal]:
    """The balance that each of these rows led to, worked out backwards from what there is now."""
    if not desk.venue.history.in_time:
        # The clock was set back: only all rows in the order of time say which of them came after which.
        return _balances_of_all(desk, rows)
    last = next(desk.venue.history.executions_by_time(Span(), newest_first=True), None)
    return [_total(desk, row.currency) - _moved_after(desk, row, last) for row in rows]


def _moved_after(desk: Desk, row: _Row, last: Execution | None) -> Decimal:
    """What all rows after one moved of its currency: every execution says what they had moved until then, and bookings are few."""
    done = desk.venue.history.executions_by_time(Span(end_ns=row.place // PLACES), newest_first=True)
    # A booking with the place of an execution is shown after it, and so came before it.
    until = next((e for e in done if _position(e) < row.place + row.traded), None)
    moved = ZERO
    if last is not None and last.fee_currency == row.currency:
        moved = last.moved - (ZERO if until is None else until.moved)
    return moved + sum((b.amount for b in desk.venue.bookings if b.currency == row.currency and _position(b) > row.place), ZERO)


def _balances_of_all(desk: Desk, rows: Sequence[_Row]) -> list[Decimal]:
    """As above, by going through every row there is."""
    left = {currency: _total(desk, currency) for currency in desk.account.balances()}
    found: dict[tuple[int, bool], Decimal] = {}
    for row in _rows(desk, Span(), trades=True):
        found[row.place, row.traded] = left[row.currency]
        left[row.currency] -= row.change
    return [found[row.place, row.traded] for row in rows]


def _total(desk: Desk, currency: str) -> Decimal:
    return desk.account.balances()[currency].total


def _position(moved: Execution | Booking) -> int:
    """By time; what happened at the same nanosecond, by number."""
    return moved.venue_ns * PLACES + moved.number


def _place(row: _Row) -> int:
    return row.place


def _traded(execution: Execution) -> _Row:
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
    return _Row(True, execution.fee_currency, pnl - execution.fee, view, _position(execution))


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
    return _Row(False, booking.currency, booking.amount, view, _position(booking))
