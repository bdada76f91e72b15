"""What the client says of orders and executions, held against what is true at the simulated venue: exactly, in prices and sizes."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from tests.venues.contract.place import Place

from interlock.domain.orders import Liquidity, OrderState, OrderType
from interlock.simulate.served.orders import EndReason, Execution, SimOrder
from interlock.venues.port import End, FillKind, FillSeen, OrderSeen

ENDS = {
    EndReason.NONE: End.NONE,
    EndReason.USER: End.CANCELLED,
    EndReason.POST_ONLY: End.POST_ONLY,
    EndReason.IOC_REST: End.IOC,
    EndReason.MARKET_REST: End.IOC,
    EndReason.FOK: End.FOK,
    EndReason.SELF_MATCH: End.SELF_MATCH,
    EndReason.REDUCE_ONLY: End.REDUCE_ONLY,
    EndReason.DEAD_MAN: End.DEAD_MAN,
    EndReason.LIQUIDATION: End.LIQUIDATION,
    EndReason.ADL: End.LIQUIDATION,
}


def order_said(place: Place, seen: OrderSeen) -> dict[str, Any]:
    """An order as the client tells it, in the truth's terms."""
    instrument = place.reads.instruments[seen.symbol]
    return {
        "symbol": seen.symbol,
        "client_id": seen.client_id,
        "side": seen.side,
        "price": instrument.price(seen.ticks),
        "size": instrument.quantity(seen.lots),
        "filled": instrument.quantity(seen.filled_lots),
        "state": seen.state,
        "end": seen.end,
        "reduce_only": seen.reduce_only,
    }


def order_true(place: Place, order: SimOrder, seen: OrderSeen) -> dict[str, Any]:
    """What must be told of an order that stands so now. The price of a market order is nobody's."""
    by_cost = order.cost is not None
    state, end = order.state, ENDS[order.reason]
    if state is OrderState.FILLED or (by_cost and order.filled_lots):
        state, end = OrderState.FILLED, End.FILLED
    elif end is End.POST_ONLY and not order.filled_lots:
        state = place.traits.post_only_state
    elif end is End.SELF_MATCH:
        state = place.traits.self_match_state
    return {
        "symbol": order.symbol,
        "client_id": order.client_id,
        "side": order.side,
        "price": place.reads.instruments[seen.symbol].price(seen.ticks) if order.type is OrderType.MARKET else order.price,
        "size": order.filled if by_cost else order.quantity,
        "filled": order.filled,
        "state": state,
        "end": end,
        "reduce_only": order.reduce_only and place.traits.derivatives,
    }


def check_order(place: Place, seen: OrderSeen | None, order: SimOrder) -> None:
    """What the client tells of an order is true."""
    assert seen is not None, f"{order.client_id}: expected an order, found none"
    assert order_said(place, seen) == order_true(place, order, seen)


async def check_everywhere(place: Place, order: SimOrder) -> None:
    """An order is told alike by itself and in the list where it belongs, and in no other."""
    alone = await place.ask(place.reads.order(order.symbol, order.client_id))
    check_order(place, alone, order)
    opened = await place.ask(place.reads.open_orders())
    ended = await place.ask(place.reads.ended_orders(order.created_ns))
    assert (opened.unreadable, ended.unreadable) == (False, False)
    listed = {end: [each for each in page.found if each.client_id == order.client_id] for end, page in ((False, opened), (True, ended))}
    assert not listed[order.open]
    assert listed[not order.open] == [alone]


def fill_said(place: Place, seen: FillSeen) -> dict[str, Any]:
    """An execution as the client tells it, in the truth's terms."""
    instrument = place.reads.instruments[seen.symbol]
    return {
        "symbol": seen.symbol,
        "trade_id": seen.trade_id,
        "client_id": seen.client_id,
        "side": seen.side,
        "price": instrument.price(seen.ticks),
        "size": instrument.quantity(seen.lots),
        "fee": seen.fee,
        "fee_currency": seen.fee_currency,
        "kind": seen.kind,
        "venue_ns": seen.venue_ns,
    }


def fill_true(place: Place, execution: Execution, kind: FillKind = FillKind.TRADE) -> dict[str, Any]:
    """What must be told of an execution."""
    order = execution.order
    return {
        "symbol": order.symbol,
        "trade_id": place.face.trade_name(execution.number),
        "client_id": order.client_id,
        "side": order.side,
        "price": order.instrument.price(execution.ticks),
        "size": order.instrument.quantity(execution.lots),
        "fee": execution.fee,
        "fee_currency": execution.fee_currency,
        "kind": kind,
        "venue_ns": execution.venue_ns // place.traits.resolution_ns * place.traits.resolution_ns,
    }


def check_fills(place: Place, seen: Iterable[FillSeen], executions: Iterable[Execution], *, makers: bool = True) -> None:
    """Exactly these executions are told, each once; `makers`: who made and who took as well."""
    told = sorted((fill_said(place, each) for each in seen), key=lambda each: str(each["trade_id"]))
    true = sorted((fill_true(place, each) for each in executions), key=lambda each: str(each["trade_id"]))
    assert told == true
    if makers:
        roles = {each.trade_id: each.liquidity for each in seen}
        assert roles == {place.face.trade_name(e.number): Liquidity.MAKER if e.maker else Liquidity.TAKER for e in executions}


def totals(place: Place) -> dict[str, Decimal]:
    """What there truly is of each currency."""
    return {currency: balance.total for currency, balance in place.sim.account.balances().items()}
