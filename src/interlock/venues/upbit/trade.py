"""Orders at Upbit, KRW markets: each verb one request, and what its answer says.

    {"market":"KRW-BTC","side":"bid","volume":"0.001","price":"50000000","ord_type":"limit","smp_type":"cancel_taker","identifier":"arb-0001"}

The members stand in this order, and they are hashed in it. There is no amend in place, no batch of placements, no dead-man switch and no mode;
`cancel_and_new` is not used, because its second half can fail by itself after the answer. An accepted order answers 201 with the order as it stands;
that a post-only order would take is told later, as a cancel that nobody asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.venues.port import Accepted, AccountMode, Ask, Heard, Nonsense, OrderWanted, Stamp
from interlock.venues.request import Call, Key, Method, SignedCall
from interlock.venues.trouble import Doing, Explained
from interlock.venues.upbit import sign
from interlock.venues.upbit.budgets import CANCEL_ALL, DEFAULT, ORDER
from interlock.venues.upbit.errors import classify
from interlock.venues.upbit.replies import Name, Text, decoded, nonsense, refusal_name, text_of
from interlock.venues.upbit.rules import CLIENT_ID, VENUE, is_ours
from interlock.venues.upbit.seen import order_row, order_seen

SELF_MATCH: Final = "cancel_taker"
"""Of two orders of ours that would meet the newer one goes: what rests and was acknowledged stays as it is known."""

NO_SELF_MATCH: Final = "none"
"""The only value that a post-only order may name: it never takes, and what counts is what the taking order says."""

MOST_IN_BATCH: Final = 20
MOST_AT_ONCE: Final = 300

_SIDES: Final = {Side.BUY: "bid", Side.SELL: "ask"}
_TIFS: Final = {TimeInForce.IOC: "ioc", TimeInForce.FOK: "fok", TimeInForce.POST_ONLY: "post_only"}
_VENUE_ID = re.compile(r"[0-9A-Za-z-]{1,64}", re.ASCII)


class _Listed(msgspec.Struct, frozen=True):
    """{"uuid":"cdd92199-2897-4e14-9448-f923320408ad","market":"KRW-BTC","identifier":"arb-0001"}"""

    uuid: Name
    identifier: Text | None = None


class _Orders(msgspec.Struct, frozen=True):
    orders: list[_Listed]


class _Cancelled(msgspec.Struct, frozen=True):
    """{"success":{"count":1,"orders":[]},"failed":{"count":0,"orders":[]}}"""

    success: _Orders
    failed: _Orders


_decode_cancelled = msgspec.json.Decoder(_Cancelled).decode


class Trade:
    """The orders of one account. Implements `OrderVerbs`."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign a request for one sending. The nonce is all that makes it unlike another: it carries no time and does not expire."""
        return sign.sign(key, ask.call, nonce=stamp.nonce)

    def place(self, order: OrderWanted) -> Ask:
        """A new order. Raises UsageError for what cannot be written; `rules.check` says what the venue would refuse.

        A reduce-only sale is written as any sale: the venue sells nothing that is not there. A reduce-only buy is none.
        """
        return Ask(Call(Method.POST, "/v1/orders", body=msgspec.json.encode(_body(order))), budget=ORDER)

    def amend(self, order: OrderWanted, venue_order_id: str) -> Ask:
        """Raises UsageError: there is no amend in place."""
        raise UsageError(f"amend {order.client_id or venue_order_id}: expected a cancel and a new order; Upbit amends nothing in place")

    def cancel(self, symbol: str, *, client_id: str = "", venue_order_id: str = "") -> Ask:
        """End one order, by the venue's id if it is given. Raises UsageError where neither is."""
        if venue_order_id:
            return _delete("/v1/order", f"uuid={_fits(_VENUE_ID, venue_order_id, 'order id')}", DEFAULT)
        return _delete("/v1/order", f"identifier={_fits(CLIENT_ID, client_id, 'client id')}", DEFAULT)

    def cancel_all(self, symbol: str) -> Ask:
        """End the newest 300 open orders of a market, or with "" of all markets. Reserved (WATCH) orders stay: they are cancelled one by one."""
        where = f"pairs={_market(symbol)}&" if symbol else ""
        return _delete("/v1/orders/open", f"{where}cancel_side=all&count={MOST_AT_ONCE}&order_by=desc", CANCEL_ALL)

    def place_batch(self, orders: tuple[OrderWanted, ...]) -> Ask:
        """Raises UsageError: each order is a request of its own."""
        raise UsageError(f"{len(orders)} orders: expected one in a request; Upbit has no batch of placements")

    def cancel_batch(self, symbol: str, client_ids: tuple[str, ...]) -> Ask:
        """End up to 20 orders, of whatever market. Raises UsageError for none and for more."""
        if not 0 < len(client_ids) <= MOST_IN_BATCH:
            raise UsageError(f"cancel: expected 1 to {MOST_IN_BATCH} orders, found {len(client_ids)}")
        return _delete("/v1/orders/uuids", "&".join(f"identifiers[]={_fits(CLIENT_ID, each, 'client id')}" for each in client_ids), DEFAULT)

    def beat(self, symbol: str, countdown_ms: int) -> Ask:
        """Raises UsageError: there is no dead-man switch."""
        raise UsageError("dead-man switch: Upbit has none; let a second host cancel, or let nothing rest there unattended")

    def set_mode(self, mode: AccountMode) -> tuple[Ask, ...]:
        """Nothing to ask for a spot account. Raises UsageError for any other mode."""
        if (mode.position, mode.margin) != ("spot", "spot") or mode.leverage:
            raise UsageError(f"account mode: expected spot without leverage, found {mode.position}, {mode.margin}, {dict(mode.leverage)}")
        return ()

    def answered(self, heard: Heard, doing: Doing) -> Accepted | Explained:
        """What the answer to one order says, and that to a "cancel all": for it `Accepted` names no order.

        A placement is accepted by an order that bears a client id; one without is of unknown outcome, like whatever is no plain no.
        """
        if heard.status not in (200, 201):
            return classify(heard.status, refusal_name(heard.body), doing)
        try:
            return _accepted(heard.body, doing, self.instruments)
        except Nonsense:
            return classify(heard.status, "", doing)

    def batch_answered(self, heard: Heard, doing: Doing, count: int) -> tuple[Accepted | Explained, ...]:
        """What the answer to a batch of cancels says. It does not keep the order of the request: those that were taken come first and name
        themselves, for the others it is not known; nothing here ends an order, so they are looked up."""
        if heard.status != 200:
            return (classify(heard.status, refusal_name(heard.body), doing),) * count
        unknown = classify(heard.status, "", doing)
        try:
            taken = decoded(_decode_cancelled, heard.body, "cancelled").success.orders
        except Nonsense:
            return (unknown,) * count
        found = [Accepted(each.identifier or "", each.uuid, OrderState.ACKED) for each in taken]
        return (*found[:count], *((unknown,) * (count - len(found))))


def _accepted(body: bytes, doing: Doing, instruments: Mapping[str, Instrument]) -> Accepted:
    if not doing.raises_risk:
        try:
            decoded(_decode_cancelled, body, "cancelled")
        except Nonsense:
            row = order_row(body)
            return Accepted(row.identifier or "", row.uuid, OrderState.ACKED)
        return Accepted("", "", OrderState.ACKED)
    seen = order_seen(order_row(body), instruments)
    if not seen.client_id:
        raise nonsense("order", "expected its client id, found none")
    return Accepted(seen.client_id, seen.venue_order_id, seen.state, seen.filled_lots, seen.end)


def _body(order: OrderWanted) -> dict[str, str]:
    market, by_cost = order.instrument, order.cost is not None
    if market.venue != VENUE:
        raise UsageError(f"order {order.client_id}: expected an instrument of Upbit, found {market.key}")
    if order.reduce_only and order.side is Side.BUY:
        raise UsageError(f"order {order.client_id}: expected a sale to reduce, found a buy, which adds at a spot venue")
    members = {"market": _market(market.symbol), "side": _SIDES[order.side]}
    if order.type is OrderType.LIMIT:
        if order.ticks <= 0 or order.lots <= 0 or by_cost:
            raise UsageError(
                f"order {order.client_id}: expected a price and a size, found {order.ticks} ticks, {order.lots} lots, cost {order.cost}"
            )
        members |= {"volume": text_of(market.quantity(order.lots)), "price": text_of(market.price(order.ticks)), "ord_type": "limit"}
    else:
        members |= _market_order(order)
    if order.type is OrderType.LIMIT and order.tif in _TIFS:
        members["time_in_force"] = _TIFS[order.tif]
    members["smp_type"] = NO_SELF_MATCH if order.tif is TimeInForce.POST_ONLY else SELF_MATCH
    members["identifier"] = _fits(CLIENT_ID, order.client_id, "client id")
    return members


def _market_order(order: OrderWanted) -> dict[str, str]:
    """A market buy names its cost, a market sale its size; neither names how long it is good."""
    if order.tif is not TimeInForce.IOC or order.ticks:
        raise UsageError(f"order {order.client_id}: expected a market order that is IOC and has no price")
    if order.side is Side.SELL:
        if order.lots <= 0 or order.cost is not None:
            raise UsageError(f"order {order.client_id}: expected a size to sell, found {order.lots} lots and cost {order.cost}")
        return {"volume": text_of(order.instrument.quantity(order.lots)), "ord_type": "market"}
    if order.cost is None or not order.cost.is_finite() or order.cost <= 0 or order.cost % 1 or order.lots:
        raise UsageError(f"order {order.client_id}: expected a cost in whole won and no size, found {order.cost} and {order.lots} lots")
    return {"price": text_of(order.cost), "ord_type": "price"}


def _delete(path: str, query: str, budget: str) -> Ask:
    return Ask(Call(Method.DELETE, path, query), budget=budget)


def _market(symbol: str) -> str:
    if not is_ours(symbol):
        raise UsageError(f"market: expected one of won such as KRW-BTC, found {symbol[:40]!r}")
    return symbol


def _fits(pattern: re.Pattern[str], text: str, what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise UsageError(f"{what}: expected 1 to 64 letters, digits, - or _, found {text[:80]!r}")
    return text
