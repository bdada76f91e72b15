"""What changes orders: place, test, amend, cancel, cancel all. An answer of 0 says that the request was taken; the `order` stream says the rest."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import Done
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.reads import find
from interlock.simulate.served.bybit.words import NOT_FOUND, PARAMS, PROCESSING, SELF_MATCHES, TIMES_IN_FORCE, Failed, failure
from interlock.simulate.served.orders import NewOrder, Refused, SimOrder

CANCEL_ALL_MOST: Final = 500
LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,36}")
_NOT_SIMULATED: Final = (
    "triggerPrice",
    "triggerDirection",
    "takeProfit",
    "stopLoss",
    "tpLimitPrice",
    "slLimitPrice",
    "slippageToleranceType",
    "slippageTolerance",
    "bboSideType",
    "bboLevel",
    "orderIv",
)
"""Conditional orders and what hangs on one: a request that asks for it is refused, never taken without it."""
ZERO: Final = Decimal(0)


def create(desk: Desk, ask: Ask) -> Done:
    """Place an order."""
    new = new_order(desk, ask)
    try:
        order = desk.venue.place(new)
    except Refused as refused:
        raise failure(refused) from refused
    return Done(_ids(order))


def pre_check(desk: Desk, ask: Ask) -> Done:
    """Check an order and say what it would do to the margin rates, in units of 1/10000; nothing happens."""
    new = new_order(desk, ask)
    account = desk.account
    equity = account.equity()
    before = account.used_margin()
    try:
        market, ticks, lots = desk.venue.check(new)
    except Refused as refused:
        raise failure(refused) from refused
    after = before + market.instrument.notional(ticks, lots) / account.leverage[new.symbol]
    kept = sum((account.maintenance_margin(s) for s in account.positions), ZERO)
    rate = [int(10_000 * margin / equity) if equity > 0 else 0 for margin in (before, kept, after, kept)]
    return Done(
        {
            "orderId": "",
            "orderLinkId": new.client_id,
            **dict(zip(("preImrE4", "preMmrE4", "postImrE4", "postMmrE4"), rate, strict=True)),
        }
    )


def amend(desk: Desk, ask: Ask) -> Done:
    """Change price or whole size of an open order; its id stays."""
    order = _open(desk, ask, "replace")
    if order.number in desk.amending:
        raise Failed(PROCESSING, "The order is processing and can not be operated, please try again later")
    for name in _NOT_SIMULATED:
        _refuse(ask, name)
    price, quantity = ask.decimal("price"), ask.decimal("qty")
    if price is None and quantity is None:
        raise Failed(PARAMS, "params error: price or qty is required")
    try:
        desk.venue.amend(order, price=price, quantity=quantity)
    except Refused as refused:
        raise failure(refused) from refused
    return Done(_ids(order))


def cancel(desk: Desk, ask: Ask) -> Done:
    """Cancel one order."""
    order = _open(desk, ask, "cancel")
    desk.venue.cancel(order)
    return Done(_ids(order))


def cancel_all(desk: Desk, ask: Ask) -> Done:
    """Cancel the open orders of a symbol or of coins; of more than 500 any 500."""
    category = ask.category()
    symbol, base, settle = ask.text("symbol"), ask.text("baseCoin"), ask.text("settleCoin")
    if category != "linear":
        return Done({"list": [], "success": "1"})
    if not (symbol or base or settle):
        raise Failed(PARAMS, "params error: symbol, baseCoin or settleCoin is required")
    if symbol:
        _symbol(desk, symbol)
    found = [
        order
        for order in desk.venue.open_orders(symbol)
        if symbol or (order.instrument.base == base if base else order.instrument.settle == settle)
    ]
    # Ids are spread without order, so the first by id are as good as drawn.
    chosen = sorted(found, key=lambda o: id_of(Of.ORDER, o.number))[:CANCEL_ALL_MOST]
    for order in chosen:
        desk.venue.cancel(order)
    return Done({"list": [_ids(order) for order in chosen], "success": "1"})


def new_order(desk: Desk, ask: Ask) -> NewOrder:
    """The order that a request asks for. Raises Failed for what cannot be one, whatever the market."""
    if ask.category() == "spot":
        raise Failed(170121, "Invalid symbol.")
    symbol = ask.need("symbol")
    if ask.category() != "linear":
        raise Failed(PARAMS, "params error: symbol invalid")
    _symbol(desk, symbol)
    side = Side.BUY if ask.choice("side", ("Buy", "Sell")) == "Buy" else Side.SELL
    kind = OrderType.MARKET if ask.choice("orderType", ("Market", "Limit")) == "Market" else OrderType.LIMIT
    tif = TIMES_IN_FORCE[ask.choice("timeInForce", tuple(TIMES_IN_FORCE), "GTC")]
    for name in _NOT_SIMULATED:
        _refuse(ask, name)
    if ask.whole("positionIdx", 0, 0, 2):
        raise Failed(PARAMS, "position idx not match position mode")
    link_id = ask.text("orderLinkId")
    if link_id and not LINK_ID.fullmatch(link_id):
        raise Failed(PARAMS, "params error: orderLinkId invalid")
    price = ask.decimal("price") if kind is OrderType.LIMIT else None
    if kind is OrderType.LIMIT and price is None:
        raise Failed(PARAMS, "params error: price is required")
    reduce_only, closing = ask.flag("reduceOnly"), ask.flag("closeOnTrigger")
    return NewOrder(
        symbol=symbol,
        side=side,
        type=kind,
        tif=TimeInForce.IOC if kind is OrderType.MARKET else tif,
        price=price,
        quantity=_quantity(desk, ask, symbol, side, whole_position=reduce_only and closing),
        client_id=link_id,
        reduce_only=reduce_only,
        self_match=SELF_MATCHES[ask.choice("smpType", tuple(SELF_MATCHES), "None")],
        words={"close_on_trigger": "yes"} if closing else {},
    )


def _quantity(desk: Desk, ask: Ask, symbol: str, side: Side, *, whole_position: bool) -> Decimal:
    found = ask.decimal("qty")
    if found is None:
        raise Failed(PARAMS, "params error: qty is required")
    if found or not whole_position:
        return found
    instrument = desk.venue.market(symbol).instrument
    lots = -int(side) * desk.account.positions[symbol].lots
    if lots < 1:
        raise Failed(110017, "current position is zero, cannot fix reduce-only order qty")
    return instrument.quantity(min(lots, instrument.max_market_lots))


def _open(desk: Desk, ask: Ask, doing: str) -> SimOrder:
    symbol = ask.need("symbol") if ask.category() == "linear" else ""
    if symbol:
        _symbol(desk, symbol)
    order = find(desk, ask)
    if order is None or not order.open or order.symbol != symbol:
        raise Failed(NOT_FOUND, f"order not exists or too late to {doing}")
    return order


def _symbol(desk: Desk, symbol: str) -> None:
    if symbol not in desk.venue.markets:
        raise Failed(PARAMS, "params error: symbol invalid")


def _refuse(ask: Ask, name: str) -> None:
    if ask.text(name, "0") != "0":
        raise Failed(PARAMS, f"params error: {name} is not simulated")


def _ids(order: SimOrder) -> dict[str, Any]:
    return {"orderId": id_of(Of.ORDER, order.number), "orderLinkId": order.client_id}
