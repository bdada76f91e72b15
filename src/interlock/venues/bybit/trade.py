"""Orders at Bybit v5, category linear, one-way mode: each verb one request, and what its answer says.

    {"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.001","price":"25000","timeInForce":"PostOnly","positionIdx":0,
     "orderLinkId":"arb-0001","reduceOnly":false,"closeOnTrigger":false,"smpType":"CancelTaker"}

An answer of 0 says that a request is being processed and no more: ACKED. The order stream says what became of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.venues.bybit import sign
from interlock.venues.bybit.errors import classify
from interlock.venues.bybit.replies import Answer, MaybeName, RetCode, decoded, envelope
from interlock.venues.bybit.rules import CLIENT_ID, VENUE
from interlock.venues.port import Accepted, AccountMode, Ask, Heard, Nonsense, OrderWanted, Stamp
from interlock.venues.request import Call, Key, Method, SignedCall
from interlock.venues.trouble import Doing, Explained

SELF_MATCH: Final = "CancelTaker"
"""Of two orders of ours that would meet the newer one goes: what rests and was acknowledged stays as it is known."""

MOST_IN_BATCH: Final = 20

_TIFS: Final = {TimeInForce.GTC: "GTC", TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK", TimeInForce.POST_ONLY: "PostOnly"}
_SIDES: Final = {Side.BUY: "Buy", Side.SELL: "Sell"}
_MARGINS: Final = {"cross": "REGULAR_MARGIN", "isolated": "ISOLATED_MARGIN", "portfolio": "PORTFOLIO_MARGIN"}


class _Ids(msgspec.Struct, frozen=True):
    """{"orderId":"c6f055d9-7f21-4079-913d-e6523a9cfffa","orderLinkId":"linear-004"}; of "cancel all" `success`."""

    orderId: MaybeName = ""
    orderLinkId: MaybeName = ""
    success: MaybeName = "1"


class _Batch(msgspec.Struct, frozen=True):
    rows: list[_Ids] = msgspec.field(name="list")


class _Code(msgspec.Struct, frozen=True):
    code: RetCode


class _Codes(msgspec.Struct, frozen=True):
    rows: list[_Code] = msgspec.field(name="list")


_decode_ids = msgspec.json.Decoder(_Ids).decode
_decode_batch = msgspec.json.Decoder(_Batch).decode
_decode_codes = msgspec.json.Decoder(_Codes).decode


class Trade:
    """The orders of one account. Implements `OrderVerbs`."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.instruments = instruments

    def sign(self, key: Key, ask: Ask, stamp: Stamp) -> SignedCall:
        """Sign a request for one sending."""
        return sign.sign(key, ask.call, timestamp_ms=stamp.timestamp_ms, receive_window_ms=stamp.receive_window_ms)

    def place(self, order: OrderWanted) -> Ask:
        """A new order. Raises UsageError for what cannot be written; `rules.check` says what the venue would refuse."""
        return _post("create", {"category": "linear", **_body(order)})

    def amend(self, order: OrderWanted, venue_order_id: str) -> Ask:
        """Price and whole size of an open limit order; its ids stay. Named by the venue's id if it is given."""
        _require_order(order)
        if order.type is not OrderType.LIMIT:
            raise UsageError(f"order {order.client_id}: expected a limit order to amend, found a market order, which never rests")
        ids = _ids(order.client_id, venue_order_id)
        return _post("amend", {**_of(order.instrument.symbol), **ids, "qty": _size(order), "price": _price(order)})

    def cancel(self, symbol: str, *, client_id: str = "", venue_order_id: str = "") -> Ask:
        """End one order, by the venue's id if it is given. Raises UsageError where neither is."""
        return _post("cancel", {**_of(symbol), **_ids(client_id, venue_order_id)})

    def cancel_all(self, symbol: str) -> Ask:
        """End every order of a symbol, or of all perpetuals that settle in USDT with "": up to 500 of them, whichever the venue takes."""
        return _post("cancel-all", {"category": "linear", **({"symbol": symbol} if symbol else {"settleCoin": "USDT"})})

    def place_batch(self, orders: tuple[OrderWanted, ...]) -> Ask:
        """Up to 20 new orders; each uses one of the budget, and each succeeds or fails alone."""
        _require_batch(len(orders))
        return _post("create-batch", {"category": "linear", "request": [_body(order) for order in orders]}, weight=len(orders))

    def cancel_batch(self, symbol: str, client_ids: tuple[str, ...]) -> Ask:
        """End up to 20 orders of a symbol."""
        _require_batch(len(client_ids))
        rows = [{"symbol": symbol, **_ids(client_id, "")} for client_id in client_ids]
        return _post("cancel-batch", {"category": "linear", "request": rows}, weight=len(rows))

    def beat(self, symbol: str, countdown_ms: int) -> Ask:
        """Always raises UsageError: Bybit has no countdown. What it has instead watches connections, and is `guard`."""
        raise UsageError(
            f"dead-man of {symbol or 'the account'}, {countdown_ms} ms: expected a venue with a countdown, found Bybit, which only watches the "
            "connections of institutional accounts; bound what rests unattended, or place orders that do not rest"
        )

    def guard(self, window_s: int) -> Ask:
        """How long every private connection that subscribed to the dead-man may be silent before the venue cancels all derivative orders, 3 to 300 s.

        Only for accounts that the venue enabled. It is no beat: nothing is armed by asking again.
        """
        if not 3 <= window_s <= 300:
            raise UsageError(f"dead-man window: expected 3 to 300 s, found {window_s}")
        return _ask("guard", "/v5/order/disconnected-cancel-all", {"product": "DERIVATIVES", "timeWindow": window_s})

    def set_mode(self, mode: AccountMode) -> tuple[Ask, ...]:
        """Margin mode, one-way position mode and leverage, in this order. Raises UsageError for any other position mode."""
        if mode.position != "one_way" or mode.margin not in _MARGINS:
            raise UsageError(
                f"account mode: expected one_way and one of {', '.join(_MARGINS)}, found {mode.position} and {mode.margin}; orders are written for "
                "one-way positions only"
            )
        asks = [
            _ask("set-margin-mode", "/v5/account/set-margin-mode", {"setMarginMode": _MARGINS[mode.margin]}),
            _ask("switch-mode", "/v5/position/switch-mode", {"category": "linear", "coin": "USDT", "mode": 0}),
        ]
        for symbol, leverage in mode.leverage.items():
            if not (leverage.is_finite() and 1 <= leverage <= 1000):
                raise UsageError(f"leverage of {symbol}: expected 1 to 1000, found {leverage}")
            text = f"{leverage:f}"
            asks.append(_ask("set-leverage", "/v5/position/set-leverage", {**_of(symbol), "buyLeverage": text, "sellLeverage": text}))
        return tuple(asks)

    def answered(self, heard: Heard, doing: Doing) -> Accepted | Explained:
        """What the answer to one request says. A placement or amend is accepted only where the answer names both ids."""
        return _answered(heard, doing)

    def batch_answered(self, heard: Heard, doing: Doing, count: int) -> tuple[Accepted | Explained, ...]:
        """One by one. Where the answer's two lists do not have `count` entries no refusal can be told to belong to an order."""
        return _batch_answered(heard, doing, count)


# Bodies


def _post(verb: str, body: dict[str, object], weight: int = 1) -> Ask:
    return _ask(verb, f"/v5/order/{verb}", body, weight)


def _ask(budget: str, path: str, body: dict[str, object], weight: int = 1) -> Ask:
    return Ask(Call(Method.POST, path, body=msgspec.json.encode(body)), budget=budget, weight=weight)


def _of(symbol: str) -> dict[str, object]:
    if not symbol:
        raise UsageError("symbol: expected one, found none")
    return {"category": "linear", "symbol": symbol}


def _ids(client_id: str, venue_order_id: str) -> dict[str, object]:
    if venue_order_id:
        return {"orderId": venue_order_id}
    _require_client_id(client_id)
    return {"orderLinkId": client_id}


def _body(order: OrderWanted) -> dict[str, object]:
    _require_order(order)
    limit = order.type is OrderType.LIMIT
    return {
        "symbol": order.instrument.symbol,
        "side": _SIDES[order.side],
        "orderType": "Limit" if limit else "Market",
        "qty": _size(order),
        **({"price": _price(order)} if limit else {}),
        "timeInForce": _TIFS[order.tif],
        "positionIdx": 0,
        "orderLinkId": order.client_id,
        "reduceOnly": order.reduce_only,
        "closeOnTrigger": False,
        "smpType": SELF_MATCH,
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
        raise UsageError(f"{name}: expected a size, found a cost; no linear order is written by value")
    if order.lots <= 0 or (order.ticks > 0) is not (order.type is OrderType.LIMIT):
        raise UsageError(f"{name}: expected lots, and ticks unless it is a market order, found {order.lots} lots at {order.ticks} ticks")
    if order.type is OrderType.MARKET and order.tif is not TimeInForce.IOC:
        raise UsageError(f"{name}: expected IOC for a market order, found {order.tif}")


def _require_client_id(client_id: str) -> None:
    if CLIENT_ID.fullmatch(client_id) is None:
        raise UsageError(f"client id: expected 1 to 36 of [A-Za-z0-9_-], found {client_id!r}")


def _require_batch(count: int) -> None:
    if not 1 <= count <= MOST_IN_BATCH:
        raise UsageError(f"batch: expected 1 to {MOST_IN_BATCH} orders, found {count}")


# Answers


def _answered(heard: Heard, doing: Doing) -> Accepted | Explained:
    try:
        answer = envelope(heard.body)
        if answer.code:
            return classify(heard.status, str(answer.code), doing)
        ids = decoded(_decode_ids, answer.result, "result")
    except Nonsense:
        return classify(heard.status, "", doing)
    if heard.status == 200 and ids.success == "1":
        return _accepted(ids, doing) or classify(heard.status, "", doing)
    return classify(heard.status, "", doing)


def _accepted(ids: _Ids, doing: Doing) -> Accepted | None:
    if doing.raises_risk and not (ids.orderId and ids.orderLinkId):
        return None
    return Accepted(ids.orderLinkId, ids.orderId, OrderState.ACKED)


def _batch_answered(heard: Heard, doing: Doing, count: int) -> tuple[Accepted | Explained, ...]:
    unknown = classify(heard.status, "", doing)
    try:
        answer = envelope(heard.body)
        if answer.code:
            return (classify(heard.status, str(answer.code), doing),) * count
        rows, codes = _batch_rows(answer)
    except Nonsense:
        return (unknown,) * count
    if heard.status != 200:
        return (unknown,) * count
    whole = len(rows) == len(codes) == count
    told = [_one(ids, code, doing, heard.status, whole=whole) or unknown for ids, code in zip(rows, codes, strict=False)]
    return (*told[:count], *((unknown,) * (count - len(told))))


def _batch_rows(answer: Answer) -> tuple[list[_Ids], list[int]]:
    rows = decoded(_decode_batch, answer.result, "result").rows
    return rows, [row.code for row in decoded(_decode_codes, answer.more, "retExtInfo").rows]


def _one(ids: _Ids, code: int, doing: Doing, status: int, *, whole: bool) -> Accepted | Explained | None:
    """One entry of a batch; None where it says nothing certain: a yes without its id, a no with one, or a no in a list that is not whole."""
    if not code:
        return _accepted(ids, doing) if ids.orderId else None
    return classify(status, str(code), doing) if whole and not ids.orderId else None
