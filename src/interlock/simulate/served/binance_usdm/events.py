"""The shapes of the private stream's events."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm import views
from interlock.simulate.served.binance_usdm.seen import accepted, now
from interlock.simulate.served.binance_usdm.words import EXPIRE_REASONS, eight, mean, plain
from interlock.simulate.served.orders import Origin, SimOrder
from interlock.simulate.served.venue import Change, OrderChanged

REASONS: Final = {
    "deposit": "DEPOSIT",
    "withdrawal": "WITHDRAW",
    "funding": "FUNDING_FEE",
    "transfer": "MARGIN_TRANSFER",
    "liquidation": "INSURANCE_CLEAR",
    "adl": "INSURANCE_CLEAR",
    "airdrop": "ADMIN_DEPOSIT",
}
"""`a.m` by kind of booking; every other kind is an ADJUSTMENT."""


def order_update(event: OrderChanged, waiting: Iterable[SimOrder], modify_id: str) -> dict[str, Any]:
    """ORDER_TRADE_UPDATE. `waiting` are the open orders of the symbol, `modify_id` the name that the client gave the
    amend it is about, if any.
    """
    order, execution, instrument = event.order, event.execution, event.order.instrument
    seen = accepted(order) if event.change is Change.NEW else now(order)
    told = _EXEC_TYPES[event.change]
    if seen.status.startswith("EXPIRED") and event.change is not Change.TRADE:
        told = "EXPIRED"
    if order.origin is not Origin.CLIENT and event.change is Change.TRADE:
        told = "CALCULATED"
    value = {side: sum((o.price * o.remaining for o in waiting if o.side is side), Decimal(0)) for side in Side}
    body: dict[str, Any] = {
        "s": order.symbol,
        "c": views.client_id(order),
        "S": views.side_word(order.side),
        "o": views.kind(order),
        "f": views.tif(order),
        "q": plain(order.quantity),
        "p": plain(views.limit_price(order)),
        "ap": mean(seen.average),
        "sp": order.words.get("stopPrice", "0"),
        "x": told,
        "X": seen.status,
        "i": views.order_id(order),
        "l": plain(instrument.quantity(execution.lots)) if execution else "0",
        "z": plain(seen.filled),
        "L": plain(instrument.price(execution.ticks)) if execution else "0",
        "T": execution.venue_ns // 1_000_000 if execution else seen.updated_ms,
        "t": views.trade_id(execution) if execution else 0,
        "b": plain(value[Side.BUY]),
        "a": plain(value[Side.SELL]),
        "m": bool(execution and execution.maker),
        "R": order.reduce_only,
        "wt": order.words.get("workingType", "CONTRACT_PRICE"),
        "ot": order.words.get("origType", views.kind(order)),
        "ps": "BOTH",
        "cp": False,
        "rp": plain(execution.pnl) if execution else "0",
        "pP": False,
        "si": 0,
        "ss": 0,
        "V": order.words.get("stp", "NONE"),
        "pm": order.words.get("priceMatch", "NONE"),
        "gtd": int(order.words.get("goodTillDate", "0")),
        "er": EXPIRE_REASONS.get(order.reason, "0") if told == "EXPIRED" else "0",
    }
    if execution:
        body |= {"N": execution.fee_currency, "n": eight(execution.fee)}
    if event.change is Change.AMENDED and modify_id:
        body["M"] = modify_id
    return {"e": "ORDER_TRADE_UPDATE", "o": body}


_EXEC_TYPES: Final = {
    Change.NEW: "NEW",
    Change.TRADE: "TRADE",
    Change.CANCELLED: "CANCELED",
    Change.EXPIRED: "EXPIRED",
    Change.AMENDED: "AMENDMENT",
}


def trade_lite(event: OrderChanged) -> dict[str, Any]:
    """TRADE_LITE: an execution, early and without its fee."""
    order, execution = event.order, event.execution
    assert execution is not None
    return {
        "e": "TRADE_LITE",
        "s": order.symbol,
        "q": plain(order.quantity),
        "p": plain(views.limit_price(order)),
        "m": execution.maker,
        "c": views.client_id(order),
        "S": views.side_word(order.side),
        "L": plain(order.instrument.price(execution.ticks)),
        "l": plain(order.instrument.quantity(execution.lots)),
        "t": views.trade_id(execution),
        "i": views.order_id(order),
    }


def account_update(
    account: MarginAccount, reason: str, currencies: Iterable[tuple[str, Decimal]], moved: Iterable[Instrument], isolated: Iterable[str]
) -> dict[str, Any]:
    """ACCOUNT_UPDATE of the currencies (with what changed beside profit and fee) and positions that changed, and of nothing else."""
    alone = set(isolated)
    balances = [
        {"a": currency, "wb": eight(account.wallet(currency)), "cw": eight(account.wallet(currency)), "bc": plain(change)}
        for currency, change in currencies
    ]
    positions = []
    for instrument in moved:
        position = account.positions[instrument.symbol]
        positions.append(
            {
                "s": instrument.symbol,
                "pa": plain(instrument.quantity(position.lots)),
                "ep": mean(position.entry_price(instrument)),
                "bep": mean(views.break_even(account, instrument)),
                "cr": plain(position.realised),
                "up": eight(account.unrealised(instrument.symbol)),
                "mt": "isolated" if instrument.symbol in alone else "cross",
                "iw": "0",
                "ps": "BOTH",
            }
        )
    return {"e": "ACCOUNT_UPDATE", "a": {"m": reason, "B": balances, "P": positions}}


def margin_call(account: MarginAccount, instrument: Instrument, mark: Decimal, isolated: bool) -> dict[str, Any]:
    """MARGIN_CALL for one position."""
    position = account.positions[instrument.symbol]
    row = {
        "s": instrument.symbol,
        "ps": "BOTH",
        "pa": plain(instrument.quantity(position.lots)),
        "mt": "ISOLATED" if isolated else "CROSSED",
        "iw": "0",
        "mp": plain(mark),
        "up": eight(account.unrealised(instrument.symbol)),
        "mm": eight(account.maintenance_margin(instrument.symbol)),
    }
    return {"e": "MARGIN_CALL", "cw": eight(account.wallet(account.settle)), "p": [row]}
