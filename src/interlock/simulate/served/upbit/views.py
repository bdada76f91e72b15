"""How Upbit shows an order: in REST, and as an event of the private stream.

A partly filled order is still `wait` in REST. A bid by value (a market buy, `price`) has a sum to spend and no volume; what is left of the
sum when it is over makes its end a `cancel`. An ask reserves no fee, since it is paid out of the proceeds. Source: the venue's reference
pages; the null volumes of a market buy are as clients recorded them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from interlock.domain.orders import OrderState, OrderType, Side
from interlock.simulate.served.orders import EndReason, Execution, SimOrder
from interlock.simulate.served.upbit.ids import uuid_of
from interlock.simulate.served.upbit.texts import MS, kst, number, text

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Sums:
    """What an order was worth at one time: sizes in coins, everything else in KRW."""

    state: str
    executed: Decimal
    funds: Decimal
    paid_fee: Decimal
    trades: tuple[Execution, ...]
    prevented: Decimal
    prevented_locked: Decimal
    remaining: Decimal
    reserved_fee: Decimal
    remaining_fee: Decimal
    locked: Decimal

    @property
    def average(self) -> Decimal:
        """The mean price of what executed."""
        return self.funds / self.executed if self.executed else ZERO


def state_of(order: SimOrder) -> str:
    """The venue's word for where an order is now."""
    if order.open:
        return resting(order)
    if order.state is not OrderState.FILLED:
        return "cancel"
    # What a bid by value could not spend, less than one of the smallest units costs, is let go of.
    return "done" if order.cost is None or order.filled_value >= order.cost else "cancel"


def resting(order: SimOrder) -> str:
    """The venue's word for an order that is not over. A reserved one is never triggered here, so it has to rest far from the market."""
    return "watch" if order.words.get("reserved") else "wait"


def volume_of(order: SimOrder) -> Decimal:
    """The size that was asked for, also what a self-match has taken off since."""
    reduced = order.prevented_lots - (order.remaining_lots if order.reason is EndReason.SELF_MATCH else 0)
    return order.instrument.quantity(order.lots + reduced)


def ord_type(order: SimOrder) -> str:
    """The venue's word for the type of an order; one that did not come over this wire has none of its own."""
    return order.words.get("ord_type") or ("limit" if order.type is OrderType.LIMIT else "market")


def sums(order: SimOrder, seen_ns: int | None = None) -> Sums:
    """An order as it is, or with `seen_ns` as it was at that venue time."""
    trades = tuple(e for e in order.executions if seen_ns is None or e.venue_ns <= seen_ns)
    lots = sum(e.lots for e in trades)
    instrument = order.instrument
    hidden = seen_ns is not None and order.updated_ns > seen_ns
    state = resting(order) if hidden else state_of(order)
    executed = instrument.quantity(lots)
    funds = sum((instrument.notional(e.ticks, e.lots) for e in trades), ZERO)
    remaining = order.quantity - executed
    whole, left = _value(order, volume_of(order), ZERO), _value(order, remaining, funds)
    prevented = instrument.quantity(order.prevented_lots)
    rate = instrument.fees.taker if order.side is Side.BUY else ZERO
    is_over = state not in ("wait", "watch")
    return Sums(
        state=state,
        executed=executed,
        funds=funds,
        paid_fee=sum((e.fee for e in trades), ZERO),
        trades=trades,
        prevented=prevented,
        prevented_locked=prevented * order.price if order.side is Side.BUY else prevented,
        remaining=remaining,
        reserved_fee=whole * rate,
        remaining_fee=ZERO if is_over else left * rate,
        locked=ZERO if is_over else (left * (1 + rate) if order.side is Side.BUY else remaining),
    )


def _value(order: SimOrder, quantity: Decimal, spent: Decimal) -> Decimal:
    """What a bid for a size has to have, without the fee."""
    if order.cost is not None:
        return max(ZERO, order.cost - spent)
    return order.price * quantity


def order_view(order: SimOrder, uuid: str, seen: Sums) -> dict[str, Any]:
    """An order in REST, without its trades."""
    words, price = order.words, _price(order)
    by_sum = order.cost is not None
    view: dict[str, Any] = {
        "market": order.symbol,
        "uuid": uuid,
        "side": _side(order),
        "ord_type": ord_type(order),
        "price": None if price is None else text(price),
        "state": seen.state,
        "created_at": kst(order.created_ns),
        "volume": None if by_sum else text(volume_of(order)),
        "remaining_volume": None if by_sum else text(seen.remaining),
        "reserved_fee": text(seen.reserved_fee),
        "remaining_fee": text(seen.remaining_fee),
        "paid_fee": text(seen.paid_fee),
        "locked": text(seen.locked),
        "executed_volume": text(seen.executed),
        "executed_funds": text(seen.funds),
        "prevented_volume": text(seen.prevented),
        "prevented_locked": text(seen.prevented_locked),
        "trades_count": len(seen.trades),
        "smp_type": words.get("smp_type", "none"),
    }
    if words.get("time_in_force"):
        view["time_in_force"] = words["time_in_force"]
    if order.client_id:
        view["identifier"] = order.client_id
    return view


def trade_view(execution: Execution) -> dict[str, Any]:
    """One of the trades of an order in REST. The trend is that of the order's side, chosen."""
    order = execution.order
    return {
        "market": order.symbol,
        "uuid": trade_uuid(execution),
        "price": text(order.instrument.price(execution.ticks)),
        "volume": text(order.instrument.quantity(execution.lots)),
        "funds": text(order.instrument.notional(execution.ticks, execution.lots)),
        "trend": "up" if order.side is Side.BUY else "down",
        "created_at": kst(execution.venue_ns),
        "side": _side(order),
    }


def trade_uuid(execution: Execution) -> str:
    """The UUID of an execution."""
    return uuid_of("trade", execution.number)


def named(order: SimOrder, uuid: str) -> dict[str, str]:
    """An order as the answer to a cancel of several names it."""
    view = {"uuid": uuid, "market": order.symbol}
    return view | {"identifier": order.client_id} if order.client_id else view


def order_event(order: SimOrder, uuid: str, state: str, now_ns: int, execution: Execution | None = None) -> dict[str, Any]:
    """A `myOrder` message with long names. With an execution, price and volume are the trade's."""
    seen, words = sums(order), order.words
    instrument = order.instrument
    price: Decimal | None = _price(order)
    volume: Decimal | None = None if order.cost is not None else volume_of(order)
    if execution is not None:
        price, volume = instrument.price(execution.ticks), instrument.quantity(execution.lots)
    over = state in ("cancel", "done")
    return {
        "type": "myOrder",
        "code": order.symbol,
        "uuid": uuid,
        "ask_bid": _side(order).upper(),
        "order_type": ord_type(order),
        "state": state,
        "trade_uuid": None if execution is None else trade_uuid(execution),
        "price": _number(price),
        "avg_price": number(seen.average),
        "volume": _number(volume),
        "remaining_volume": None if order.cost is not None else number(seen.remaining),
        "executed_volume": number(seen.executed),
        "trades_count": len(seen.trades),
        "reserved_fee": number(seen.reserved_fee),
        "remaining_fee": number(ZERO if over else seen.remaining_fee),
        "paid_fee": number(seen.paid_fee),
        "locked": number(ZERO if over else seen.locked),
        "executed_funds": number(seen.funds),
        "time_in_force": words.get("time_in_force") or None,
        "trade_fee": None if execution is None else number(execution.fee),
        "is_maker": None if execution is None else execution.maker,
        "identifier": order.client_id or None,
        "smp_type": words.get("smp_type", "none"),
        "prevented_volume": number(seen.prevented),
        "prevented_locked": number(seen.prevented_locked),
        "trade_timestamp": None if execution is None else execution.venue_ns // MS,
        "order_timestamp": order.created_ns // MS,
        "timestamp": now_ns // MS,
        "stream_type": "REALTIME",
    }


def _price(order: SimOrder) -> Decimal | None:
    """The sum of a bid by value, the price of a limit order; none otherwise."""
    if order.cost is not None:
        return order.cost
    return order.price if ord_type(order) == "limit" else None


def _number(value: Decimal | None) -> Decimal | None:
    return None if value is None else number(value)


def _side(order: SimOrder) -> str:
    return "bid" if order.side is Side.BUY else "ask"
