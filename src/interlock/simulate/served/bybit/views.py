"""Orders and executions as Bybit shows them. `cutoff_ns` is the youngest thing that is shown, which is earlier than now while reads lag."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from interlock.domain.orders import OrderState, OrderType, Side
from interlock.simulate.served.bybit.desk import FundingPaid
from interlock.simulate.served.bybit.envelope import ms, shown, trimmed
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.words import SELF_MATCH_NAMES, STATUSES, TIF_NAMES, end_of, exec_type
from interlock.simulate.served.orders import Execution, Origin, SimOrder

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader knows of an order: its state, what of it executed, and since when."""

    state: OrderState
    filled_lots: int
    value: Decimal
    fee: Decimal
    pnl: Decimal
    updated_ns: int


def seen(order: SimOrder, cutoff_ns: int) -> Seen:
    """An order as it was at the cutoff; an amend shows at once."""
    if order.updated_ns <= cutoff_ns:
        return Seen(order.state, order.filled_lots, order.filled_value, order.fee, order.pnl, order.updated_ns)
    old = [e for e in order.executed if e.venue_ns <= cutoff_ns]
    instrument, lots = order.instrument, sum(e.lots for e in old)
    return Seen(
        OrderState.PARTIAL if lots else OrderState.OPEN,
        lots,
        sum((instrument.notional(e.ticks, e.lots) for e in old), ZERO),
        sum((e.fee for e in old), ZERO),
        sum((e.pnl for e in old), ZERO),
        old[-1].venue_ns if old else order.created_ns,
    )


def order_view(order: SimOrder, cutoff_ns: int = 1 << 63) -> dict[str, Any]:
    """An order, as in reads and on the private stream."""
    state = seen(order, cutoff_ns)
    instrument = order.instrument
    leaves = ZERO if state.state.final else instrument.quantity(order.lots - state.filled_lots)
    cancel_type, reject_reason = end_of(order) if state.state.final else ("UNKNOWN", "EC_NoError")
    filled = instrument.quantity(state.filled_lots)
    market = order_type(order) == "Market"
    return {
        "category": "linear",
        "symbol": order.symbol,
        "orderId": id_of(Of.ORDER, order.number),
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "side": side_name(order.side),
        "positionIdx": 0,
        "orderType": order_type(order),
        "cancelType": cancel_type,
        "rejectReason": reject_reason,
        "price": shown(order.price),
        "qty": shown(order.quantity),
        "timeInForce": "IOC" if market else TIF_NAMES[order.tif],
        "orderStatus": STATUSES[state.state],
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": order.words.get("close_on_trigger") == "yes",
        "leavesQty": shown(leaves),
        "leavesValue": trimmed(leaves * order.price),
        "cumExecQty": shown(filled),
        "cumExecValue": trimmed(state.value),
        "avgPrice": trimmed(state.value / filled) if filled else "0",
        "cumExecFee": trimmed(state.fee),
        "cumFeeDetail": {order.fee_currency: trimmed(state.fee)} if state.filled_lots else {},
        "closedPnl": trimmed(state.pnl),
        "createdTime": ms(order.created_ns),
        "updatedTime": ms(state.updated_ns),
        "stopOrderType": "",
        "triggerPrice": "",
        "triggerDirection": 0,
        "triggerBy": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "lastPriceOnCreated": order.words.get("last_price", ""),
        "placeType": "",
        "marketUnit": "",
        "orderIv": "",
        "isLeverage": "",
        "createType": create_type(order),
        "smpType": SELF_MATCH_NAMES[order.self_match],
        "smpGroup": 0,
        "smpOrderId": "",
        "feeCurrency": "",
        "rpiTakerAccess": False,
        "rpiMatchedQty": "0",
    }


def execution_view(execution: Execution, *, stream: bool) -> dict[str, Any]:
    """An execution; the stream has two fields more than the read."""
    order = execution.order
    instrument = order.instrument
    quantity, price = instrument.quantity(execution.lots), instrument.price(execution.ticks)
    fees = instrument.fees
    done = sum(e.lots for e in order.executed if e.number <= execution.number)
    found = {
        "symbol": order.symbol,
        "orderId": id_of(Of.ORDER, order.number),
        "orderLinkId": order.client_id,
        "side": side_name(order.side),
        "orderPrice": shown(order.price),
        "orderQty": shown(order.quantity),
        "leavesQty": shown(instrument.quantity(order.lots - done)),
        "createType": create_type(order),
        "orderType": order_type(order),
        "stopOrderType": "UNKNOWN",
        "execFee": trimmed(execution.fee),
        "feeCurrency": execution.fee_currency,
        "execId": id_of(Of.EXECUTION, execution.number),
        "execPrice": shown(price),
        "execQty": shown(quantity),
        "execType": exec_type(order),
        "execValue": trimmed(price * quantity),
        "execTime": ms(execution.venue_ns),
        "isMaker": execution.maker,
        "feeRate": shown(fees.maker if execution.maker else fees.taker),
        "tradeIv": "",
        "markIv": "",
        "markPrice": shown(execution.mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": shown(instrument.quantity(execution.closed_lots)),
        "seq": execution.number,
        "extraFees": "",
    }
    if stream:
        found |= {"category": "linear", "isLeverage": "0", "execPnl": trimmed(execution.pnl)}
    return found


def fast_view(execution: Execution) -> dict[str, Any]:
    """An execution on the fast stream: fewer fields, and no client id for a maker's."""
    order = execution.order
    return {
        "category": "linear",
        "symbol": order.symbol,
        "execId": id_of(Of.EXECUTION, execution.number),
        "execPrice": shown(order.instrument.price(execution.ticks)),
        "execQty": shown(order.instrument.quantity(execution.lots)),
        "orderId": id_of(Of.ORDER, order.number),
        "isMaker": execution.maker,
        "orderLinkId": "" if execution.maker else order.client_id,
        "side": side_name(order.side),
        "execTime": ms(execution.venue_ns),
        "seq": execution.number,
    }


def funding_view(paid: FundingPaid, *, stream: bool) -> dict[str, Any]:
    """Funding in the shape of an execution: a positive fee was paid, a negative one received."""
    size = shown(abs(paid.size))
    found = {
        "symbol": paid.booking.symbol,
        "orderId": id_of(Of.FUNDING_ORDER, paid.booking.number),
        "orderLinkId": "",
        "side": "Buy" if paid.size > 0 else "Sell",
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "createType": "",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "execFee": trimmed(-paid.booking.amount),
        "feeCurrency": paid.booking.currency,
        "execId": id_of(Of.FUNDING, paid.booking.number),
        "execPrice": shown(paid.mark),
        "execQty": size,
        "execType": "Funding",
        "execValue": trimmed(paid.mark * abs(paid.size)),
        "execTime": ms(paid.booking.venue_ns),
        "isMaker": False,
        "feeRate": trimmed(paid.rate),
        "tradeIv": "",
        "markIv": "",
        "markPrice": shown(paid.mark),
        "indexPrice": "",
        "underlyingPrice": "",
        "blockTradeId": "",
        "closedSize": "0",
        "seq": paid.booking.number,
        "extraFees": "",
    }
    if stream:
        found |= {"category": "linear", "isLeverage": "0", "execPnl": "0"}
    return found


def order_type(order: SimOrder) -> str:
    """Limit or Market."""
    return "Market" if order.type is OrderType.MARKET else "Limit"


def create_type(order: SimOrder) -> str:
    """Who made an order: its owner, or the venue."""
    return _CREATED[order.origin]


_CREATED: Final = {
    Origin.CLIENT: "CreateByUser",
    Origin.LIQUIDATION: "CreateByLiq",
    Origin.ADL: "CreateByAdl_PassThrough",
}


def side_name(side: Side) -> str:
    """Buy or Sell."""
    return "Buy" if side is Side.BUY else "Sell"
