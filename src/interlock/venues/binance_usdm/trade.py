"""Orders at Binance USDⓈ-M in one-way mode: each verb one request, and what its answer says.

    symbol=BTCUSDT&side=BUY&positionSide=BOTH&type=LIMIT&timeInForce=GTX&quantity=0.001&price=9000&reduceOnly=false&newClientOrderId=arb-0001
    &newOrderRespType=ACK&selfTradePreventionMode=EXPIRE_TAKER

What POST and PUT ask stands in the body, what DELETE asks in the query, and both are signed as they stand. The answer to a placement comes after the
matching engine took the order. Client ids are unique among open orders only: one that was used must never be sent again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.venues.binance_usdm import sign
from interlock.venues.binance_usdm.budgets import ORDERS, WEIGHT
from interlock.venues.binance_usdm.errors import classify
from interlock.venues.binance_usdm.public import VENUE
from interlock.venues.binance_usdm.replies import MaybeName, code_of, count_of, decoded, rows, text, whole
from interlock.venues.binance_usdm.rules import CLIENT_ID
from interlock.venues.binance_usdm.seen import ALGO, order_row, state_of
from interlock.venues.port import Accepted, AccountMode, Ask, End, Heard, Nonsense, OrderWanted, Stamp
from interlock.venues.request import Call, Key, Method, SignedCall
from interlock.venues.trouble import Doing, Explained

SELF_MATCH: Final = "EXPIRE_TAKER"
"""Of two orders of ours that would meet the newer one goes: what rests and was acknowledged stays as it is known."""

MOST_PLACED: Final = 5
MOST_CANCELLED: Final = 10

ORDER: Final = "/fapi/v1/order"
_BATCH: Final = "/fapi/v1/batchOrders"
_CONDITIONAL: Final = "/fapi/v1/algoOrder"
_TIFS: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.POST_ONLY: "GTX"}
_SIDES: Final = {Side.BUY: "BUY", Side.SELL: "SELL"}
_MARGINS: Final = {"cross": ("false", "CROSSED"), "isolated": ("false", "ISOLATED"), "portfolio": ("true", "CROSSED")}
"""(multi-assets mode, margin type of each symbol). In multi-assets mode all currencies of the account are one margin."""


class _Done(msgspec.Struct, frozen=True):
    """What says yes without an order: {"code":200,"msg":"success"}, {"symbol":"BTCUSDT","countdownTime":"100000"},
    {"leverage":21,"maxNotionalValue":"1000000","symbol":"BTCUSDT"}, {"algoId":7,"clientAlgoId":"a","code":"200","msg":"success"}, and of a
    conditional order that was cancelled also the order itself: {"algoId":7,"clientAlgoId":"a","symbol":"BTCUSDT","algoStatus":"CANCELED"}"""

    code: int | Literal["200"] = 0
    symbol: MaybeName = ""
    countdownTime: MaybeName = ""
    leverage: int = 0
    algoStatus: MaybeName = ""


_decode_done = msgspec.json.Decoder(_Done).decode


class Trade:
    """The orders of one account. Implements `OrderVerbs`."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign a request for one sending."""
        return sign.sign(key, ask.call, timestamp_ms=stamp.timestamp_ms, receive_window_ms=stamp.receive_window_ms)

    def place(self, order: OrderWanted) -> Ask:
        """A new order. Raises UsageError for what cannot be written; `rules.check` says what the venue would refuse."""
        return _form(Method.POST, ORDER, _wanted(order), ORDERS)

    def amend(self, order: OrderWanted, venue_order_id: str) -> Ask:
        """Price and whole size of an open limit order; its ids stay. Named by the venue's id if it is given.

        The venue forgets the order's self-match prevention with it, and cancels the order where the new size is filled already or a post-only order
        would take.
        """
        _require_order(order)
        if order.type is not OrderType.LIMIT:
            raise UsageError(f"order {order.client_id}: expected a limit order to amend, found a market order, which never rests")
        named = {"symbol": order.instrument.symbol, **_id(order.client_id, venue_order_id)}
        return _form(Method.PUT, ORDER, {**named, "side": _SIDES[order.side], "quantity": _size(order), "price": _price(order)}, ORDERS)

    def cancel(self, symbol: str, *, client_id: str = "", venue_order_id: str = "") -> Ask:
        """End one order, by the venue's id if it is given, which may be that of a conditional one. Raises UsageError where neither is."""
        if venue_order_id.startswith(ALGO):
            return _delete(_CONDITIONAL, {"algoId": _number(venue_order_id.removeprefix(ALGO))})
        return _delete(ORDER, {"symbol": _named(symbol), **_id(client_id, venue_order_id)})

    def cancel_all(self, symbol: str) -> Ask:
        """End every order of a symbol; conditional ones stay. Raises UsageError for "": there is no request for the whole account."""
        return _delete("/fapi/v1/allOpenOrders", {"symbol": _named(symbol)})

    def place_batch(self, orders: tuple[OrderWanted, ...]) -> Ask:
        """Up to 5 new orders; each succeeds or fails alone, and they are taken at the same time."""
        _require_batch(len(orders), MOST_PLACED)
        return _form(Method.POST, _BATCH, {"batchOrders": _json([_wanted(order) for order in orders])}, ORDERS, weight=5)

    def cancel_batch(self, symbol: str, client_ids: tuple[str, ...]) -> Ask:
        """End up to 10 orders of a symbol."""
        _require_batch(len(client_ids), MOST_CANCELLED)
        for client_id in client_ids:
            _require_client_id(client_id)
        return _delete(_BATCH, {"symbol": _named(symbol), "origClientOrderIdList": _json(list(client_ids))})

    def beat(self, symbol: str, countdown_ms: int) -> Ask:
        """Arm the countdown of a symbol, or disarm it with 0. It may leave conditional orders, and flattens nothing."""
        if countdown_ms < 0:
            raise UsageError(f"countdown of {symbol}: expected at least 0 ms, found {countdown_ms}")
        body = {"symbol": _named(symbol), "countdownTime": str(countdown_ms)}
        return _form(Method.POST, "/fapi/v1/countdownCancelAll", body, WEIGHT, weight=10)

    def set_mode(self, mode: AccountMode) -> tuple[Ask, ...]:
        """One-way mode, multi-assets mode, then margin type and leverage of each symbol of `leverage`. Raises UsageError for any other position mode.

        Where it is so already the answer is one of `errors.NOTHING_TO_CHANGE`.
        """
        if mode.position != "one_way" or mode.margin not in _MARGINS:
            raise UsageError(
                f"account mode: expected one_way and one of {', '.join(_MARGINS)}, found {mode.position} and {mode.margin}; orders are written for "
                "one-way positions only"
            )
        assets, margin = _MARGINS[mode.margin]
        asks = [
            _form(Method.POST, "/fapi/v1/positionSide/dual", {"dualSidePosition": "false"}, WEIGHT),
            _form(Method.POST, "/fapi/v1/multiAssetsMargin", {"multiAssetsMargin": assets}, WEIGHT),
        ]
        for symbol, leverage in mode.leverage.items():
            if not (leverage.is_finite() and 1 <= leverage <= 125 and leverage == leverage.to_integral_value()):
                raise UsageError(f"leverage of {symbol}: expected a whole number from 1 to 125, found {leverage}")
            asks.append(_form(Method.POST, "/fapi/v1/marginType", {"symbol": _named(symbol), "marginType": margin}, WEIGHT))
            asks.append(_form(Method.POST, "/fapi/v1/leverage", {"symbol": symbol, "leverage": str(int(leverage))}, WEIGHT))
        return tuple(asks)

    def answered(self, heard: Heard, doing: Doing) -> Accepted | Explained:
        """What the answer to one request says: what became of the order, or ACKED for a request that names none.

        A placement or amend is accepted only where the answer names both ids and a symbol that we know, and a cancel only where the order is over.
        """
        try:
            body = whole(heard.body, "answer")
            code = code_of(body)
        except Nonsense:
            return classify(heard.status, "", doing)
        if code or heard.status != 200:
            return classify(heard.status, code, doing)
        return self._accepted(body, doing) or classify(heard.status, "", doing)

    def batch_answered(self, heard: Heard, doing: Doing, count: int) -> tuple[Accepted | Explained, ...]:
        """One by one. Where there are not `count` entries no refusal can be told to belong to an order."""
        unknown = classify(heard.status, "", doing)
        try:
            body = whole(heard.body, "answer")
            if code := code_of(body):
                return (classify(heard.status, code, doing),) * count
            told = rows(body, "batch") if heard.status == 200 else ()
        except Nonsense:
            return (unknown,) * count
        entries = [self._entry(row, doing, complete=len(told) == count) or unknown for row in told[:count]]
        return (*entries, *((unknown,) * (count - len(entries))))

    def _entry(self, row: bytes, doing: Doing, *, complete: bool) -> Accepted | Explained | None:
        try:
            code = code_of(row)
        except Nonsense:
            return None
        if code:
            return classify(200, code, doing) if complete else None
        found = self._accepted(row, doing)
        return found if found and found.client_id else None

    def _accepted(self, body: bytes, doing: Doing) -> Accepted | None:
        """A clear yes; None for anything else. Whoever only cancels need not know the instrument: how much was filled is then told as 0."""
        try:
            row = order_row(body)
            instrument = self.instruments[row.symbol] if doing.raises_risk else self.instruments.get(row.symbol)
            filled = lots = 0
            if instrument is not None:
                filled = count_of(row.executedQty, instrument.lot, "executedQty")
                lots = count_of(row.origQty, instrument.lot, "origQty")
            state, end = state_of(row.status, tif=row.timeInForce, type_=row.type, lots=lots, filled=filled)
        except (Nonsense, KeyError):
            return None if doing.raises_risk else _done(body)
        over = end is not End.NONE
        if not row.clientOrderId or state is OrderState.REJECTED or (doing is Doing.CANCEL and not over):
            return None
        return Accepted(row.clientOrderId, str(row.orderId), state, filled, end)


def _done(body: bytes) -> Accepted | None:
    try:
        done = decoded(_decode_done, body, "answer")
    except Nonsense:
        return None
    yes = (
        done.code in (200, "200") or done.algoStatus == "CANCELED" or (done.symbol and (done.countdownTime.isdigit() or done.leverage > 0))
    )
    return Accepted("", "", OrderState.ACKED) if yes else None


# Requests


def _form(method: Method, path: str, fields: Mapping[str, str], budget: str, weight: int = 1) -> Ask:
    return Ask(Call(method, path, body=_pairs(fields).encode("ascii")), budget=budget, weight=weight)


def _delete(path: str, fields: Mapping[str, str]) -> Ask:
    return Ask(Call(Method.DELETE, path, _pairs(fields)), budget=WEIGHT)


def _pairs(fields: Mapping[str, str]) -> str:
    return "&".join(f"{name}={text(value)}" for name, value in fields.items())


def _json(value: Sequence[object]) -> str:
    return msgspec.json.encode(value).decode()


def _named(symbol: str) -> str:
    if not symbol:
        raise UsageError("symbol: expected one, found none; the venue does this symbol by symbol")
    return symbol


def _id(client_id: str, venue_order_id: str) -> dict[str, str]:
    if venue_order_id:
        return {"orderId": _number(venue_order_id)}
    _require_client_id(client_id)
    return {"origClientOrderId": client_id}


def _number(venue_order_id: str) -> str:
    if not (venue_order_id.isascii() and venue_order_id.isdigit()):
        raise UsageError(f"order {venue_order_id}: expected a number of this venue; a conditional order is none of ours to change")
    return venue_order_id


def _wanted(order: OrderWanted) -> dict[str, str]:
    _require_order(order)
    limit = order.type is OrderType.LIMIT
    return {
        "symbol": order.instrument.symbol,
        "side": _SIDES[order.side],
        "positionSide": "BOTH",
        "type": "LIMIT" if limit else "MARKET",
        **({"timeInForce": _TIFS[order.tif]} if limit else {}),
        "quantity": _size(order),
        **({"price": _price(order)} if limit else {}),
        "reduceOnly": "true" if order.reduce_only else "false",
        "newClientOrderId": order.client_id,
        "newOrderRespType": "ACK",
        "selfTradePreventionMode": SELF_MATCH,
    }


def _price(order: OrderWanted) -> str:
    return f"{order.instrument.price(order.ticks).normalize():f}"


def _size(order: OrderWanted) -> str:
    return f"{order.instrument.quantity(order.lots).normalize():f}"


def _require_order(order: OrderWanted) -> None:
    _require_client_id(order.client_id)
    name = f"order {order.client_id}"
    if order.instrument.venue != VENUE or order.instrument.kind is not Kind.PERPETUAL:
        raise UsageError(f"{name}: expected a perpetual of {VENUE}, found {order.instrument.key}")
    if order.cost is not None:
        raise UsageError(f"{name}: expected a size, found a cost; no order is written by value here")
    if order.lots <= 0 or order.ticks < 0 or (order.ticks > 0) is not (order.type is OrderType.LIMIT):
        raise UsageError(f"{name}: expected lots, and ticks unless it is a market order, found {order.lots} lots at {order.ticks} ticks")
    if order.type is OrderType.MARKET and order.tif is not TimeInForce.IOC:
        raise UsageError(f"{name}: expected IOC for a market order, found {order.tif}")


def _require_client_id(client_id: str) -> None:
    if CLIENT_ID.fullmatch(client_id) is None:
        raise UsageError(f"client id: expected 1 to 36 of [.A-Z:/a-z0-9_-], found {client_id!r}")


def _require_batch(count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise UsageError(f"batch: expected 1 to {most} orders, found {count}")
