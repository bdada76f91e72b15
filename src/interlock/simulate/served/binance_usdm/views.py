"""The shapes of orders, executions, positions and balances in answers."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderType, Side
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm.seen import Seen
from interlock.simulate.served.binance_usdm.words import eight, mean, plain, price_text, size_text
from interlock.simulate.served.orders import Execution, Origin, SimOrder

ORDER_IDS: Final = 8_000_000_000
TRADE_IDS: Final = 700_000_000
TRANSFER_IDS: Final = 9_000_000_000_000
ALIAS: Final = "SgsR"


def order_id(order: SimOrder) -> int:
    """The venue's number of an order."""
    return ORDER_IDS + order.number


def trade_id(execution: Execution) -> int:
    """The venue's number of an execution."""
    return TRADE_IDS + execution.number


def side_word(side: Side) -> str:
    """BUY or SELL."""
    return "BUY" if side is Side.BUY else "SELL"


def client_id(order: SimOrder) -> str:
    """The client id; orders of the venue itself have one that says so."""
    if order.origin is Origin.ADL:
        return "adl_autoclose"
    if order.origin is Origin.LIQUIDATION:
        return f"autoclose-{order.created_ns // 1_000_000}{order.number}"
    return order.client_id or f"web_{order_id(order)}"


def limit_price(order: SimOrder) -> Decimal:
    """The price that the order named; a market order named none."""
    return Decimal(0) if order.type is OrderType.MARKET and order.origin is Origin.CLIENT else order.price


def kind(order: SimOrder) -> str:
    """The type. An order of the venue is told as a limit order."""
    return "LIMIT" if order.type is OrderType.LIMIT or order.origin is not Origin.CLIENT else "MARKET"


def tif(order: SimOrder) -> str:
    """The time in force, as it was named."""
    return "IOC" if order.origin is not Origin.CLIENT else order.words.get("timeInForce", "GTC")


def order_reply(seen: Seen) -> dict[str, Any]:
    """An order in the answer to a verb: without mean price and value, which these answers no longer have."""
    order, instrument = seen.order, seen.order.instrument
    filled = size_text(instrument, seen.filled)
    return {
        "clientOrderId": client_id(order),
        "cumQty": filled,
        "executedQty": filled,
        "orderId": order_id(order),
        "origQty": size_text(instrument, order.quantity),
        "price": price_text(instrument, limit_price(order)),
        "reduceOnly": order.reduce_only,
        "side": side_word(order.side),
        "positionSide": "BOTH",
        "status": seen.status,
        "stopPrice": price_text(instrument, Decimal(order.words.get("stopPrice", "0"))),
        "closePosition": False,
        "symbol": order.symbol,
        "timeInForce": tif(order),
        "type": kind(order),
        "origType": order.words.get("origType", kind(order)),
        "updateTime": seen.updated_ms,
        "workingType": order.words.get("workingType", "CONTRACT_PRICE"),
        "priceProtect": False,
        "priceMatch": order.words.get("priceMatch", "NONE"),
        "selfTradePreventionMode": order.words.get("stp", "NONE"),
        "goodTillDate": int(order.words.get("goodTillDate", "0")),
    }


def order_row(seen: Seen) -> dict[str, Any]:
    """An order in a read."""
    order = seen.order
    row = order_reply(seen)
    del row["cumQty"]
    return row | {
        "avgPrice": price_text(order.instrument, seen.average),
        "cumQuote": plain(seen.value) if seen.value else "0",
        "time": order.created_ns // 1_000_000,
    }


def trade_row(execution: Execution) -> dict[str, Any]:
    """An execution in a read."""
    order, instrument = execution.order, execution.order.instrument
    return {
        "symbol": order.symbol,
        "id": trade_id(execution),
        "orderId": order_id(order),
        "side": side_word(order.side),
        "price": price_text(instrument, instrument.price(execution.ticks)),
        "qty": size_text(instrument, instrument.quantity(execution.lots)),
        "realizedPnl": eight(execution.pnl),
        "quoteQty": plain(instrument.notional(execution.ticks, execution.lots)),
        "commission": eight(execution.fee),
        "commissionAsset": execution.fee_currency,
        "time": execution.venue_ns // 1_000_000,
        "positionSide": "BOTH",
        "buyer": order.side is Side.BUY,
        "maker": execution.maker,
    }


def break_even(account: MarginAccount, instrument: Instrument) -> Decimal:
    """The price at which closing a position costs nothing, the taker's fee counted both ways."""
    position = account.positions[instrument.symbol]
    fee = 2 * instrument.fees.taker
    return position.entry_price(instrument) * (1 + fee if position.lots > 0 else 1 - fee)


def position_row(account: MarginAccount, instrument: Instrument, mark: Decimal, open_orders: Iterable[SimOrder]) -> dict[str, Any]:
    """A position as /fapi/v3/positionRisk shows it."""
    symbol, position = instrument.symbol, account.positions[instrument.symbol]
    waiting = {side: sum((o.price * o.remaining for o in open_orders if o.side is side and not o.reduce_only), Decimal(0)) for side in Side}
    position_margin, order_margin = account.position_margin(symbol), account.order_margin(symbol)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": size_text(instrument, instrument.quantity(position.lots)),
        "entryPrice": mean(position.entry_price(instrument)),
        "breakEvenPrice": mean(break_even(account, instrument)),
        "markPrice": eight(mark),
        "unRealizedProfit": eight(account.unrealised(symbol)),
        "liquidationPrice": price_text(instrument, account.liquidation_price(symbol)),
        "isolatedMargin": "0",
        "notional": eight(mark * instrument.quantity(position.lots)),
        "marginAsset": instrument.settle,
        "isolatedWallet": "0",
        "initialMargin": eight(position_margin + order_margin),
        "maintMargin": eight(account.maintenance_margin(symbol)),
        "positionInitialMargin": eight(position_margin),
        "openOrderInitialMargin": eight(order_margin),
        "adl": 1 if position.lots else 0,
        "bidNotional": eight(waiting[Side.BUY]),
        "askNotional": eight(waiting[Side.SELL]),
        "updateTime": position.updated_ns // 1_000_000,
    }
