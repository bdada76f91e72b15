"""Orders as Binance wants them written, and what its answers say."""

import hashlib
import hmac
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.binance_usdm.talks import BTC, INSTRUMENTS, PLACED, mutated, no, ok
from tests.venues.scripted import encoded, query

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.venues.binance_usdm import socket_entry
from interlock.venues.binance_usdm.budgets import BUDGETS, seen, wait_ms
from interlock.venues.binance_usdm.socket_entry import Replied
from interlock.venues.binance_usdm.trade import Trade
from interlock.venues.port import Accepted, AccountMode, Ask, End, Heard, OrderWanted, Stamp
from interlock.venues.request import Key, Method
from interlock.venues.trouble import Doing, Explained, Trouble

TRADE = Trade(INSTRUMENTS)
KEY = Key("dbefbc80", "2b5eb11e")
STAMP = Stamp(1591702613943, "3f7df6e3-2df4-44b9-9919-d2f38f90a99a", 5000)


def wanted(**changes: Any) -> OrderWanted:
    whole: dict[str, Any] = {
        "instrument": BTC,
        "client_id": "arb-0001",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.POST_ONLY,
        "ticks": 90_000,
        "lots": 1_000,
    }
    return OrderWanted(**{**whole, **changes})


MARKET: dict[str, Any] = {"type": OrderType.MARKET, "tif": TimeInForce.IOC, "ticks": 0}


def explained(found: Accepted | Explained) -> tuple[Trouble, bool]:
    assert isinstance(found, Explained)
    return found.trouble, found.settled


def heard(**changes: Any) -> Heard:
    return ok({**PLACED, "origQty": "0.010", **changes})


# What is written


def test_a_placement_byte_by_byte() -> None:
    ask = TRADE.place(wanted())
    assert (ask.call.method, ask.call.path, ask.call.query, ask.budget, ask.weight) == (Method.POST, "/fapi/v1/order", "", "orders", 1)
    body = (
        b"symbol=BTCUSDT&side=BUY&positionSide=BOTH&type=LIMIT&timeInForce=GTX&quantity=1&price=9000&reduceOnly=false"
        b"&newClientOrderId=arb-0001&newOrderRespType=ACK&selfTradePreventionMode=EXPIRE_TAKER"
    )
    assert ask.call.body == body
    signed = TRADE.sign(KEY, ask, STAMP)
    stamped = body + b"&recvWindow=5000&timestamp=1591702613943"
    assert signed.body == stamped + b"&signature=" + hmac.new(b"2b5eb11e", stamped, hashlib.sha256).hexdigest().encode()


@pytest.mark.parametrize(
    ("tif", "name"),
    [(TimeInForce.GTC, "GTC"), (TimeInForce.IOC, "IOC"), (TimeInForce.FOK, "FOK"), (TimeInForce.POST_ONLY, "GTX")],
)
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("reduce_only", [True, False])
def test_every_form_of_a_limit_order(tif: TimeInForce, name: str, side: Side, reduce_only: bool) -> None:
    written = query(TRADE.place(wanted(tif=tif, side=side, reduce_only=reduce_only)))
    assert (written["timeInForce"], written["side"], written["reduceOnly"]) == (name, side.name, str(reduce_only).lower())
    assert written["selfTradePreventionMode"] == "EXPIRE_TAKER"


def test_a_market_order_has_no_price() -> None:
    written = query(TRADE.place(wanted(**MARKET, reduce_only=True)))
    assert written["type"] == "MARKET"
    assert {"price", "timeInForce"}.isdisjoint(written)
    assert written["reduceOnly"] == "true"


@given(st.integers(1, 2**53), st.integers(1, 2**53), st.sampled_from(["1E-8", "0.01", "0.10", "1", "5", "1E+3"]))
def test_numbers_are_exact_and_plain(ticks: int, lots: int, unit: str) -> None:
    odd = msgspec.structs.replace(BTC, lot=Decimal(unit))
    written = query(TRADE.place(wanted(instrument=odd, ticks=ticks, lots=lots)))
    assert (Decimal(written["price"]), Decimal(written["quantity"])) == (odd.price(ticks), odd.quantity(lots))
    assert "E" not in written["price"] + written["quantity"]


def test_a_symbol_that_is_not_ascii_is_escaped_before_it_is_signed() -> None:
    ask = TRADE.cancel("测试USDT", client_id="a:b/c")
    assert ask.call.query == "symbol=%E6%B5%8B%E8%AF%95USDT&origClientOrderId=a%3Ab%2Fc"
    assert TRADE.sign(KEY, ask, STAMP).query.startswith(ask.call.query + "&recvWindow=")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": ""},
        {"client_id": "with blank"},
        {"client_id": "x" * 37},
        {"lots": 0},
        {"lots": -1},
        {"ticks": 0},
        {"ticks": -1},
        {"cost": Decimal(10)},
        {**MARKET, "ticks": 1},
        {**MARKET, "ticks": -1},
        {**MARKET, "tif": TimeInForce.GTC},
        {"instrument": msgspec.structs.replace(BTC, venue="bybit")},
        {"instrument": msgspec.structs.replace(BTC, kind=Kind.SPOT)},
    ],
)
def test_what_cannot_be_written(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        TRADE.place(wanted(**changes))
    assert TRADE.place(wanted()).call.body


def test_an_amend_names_price_and_whole_size() -> None:
    ask = TRADE.amend(wanted(), "22542179")
    assert (ask.call.method, ask.call.path, ask.budget) == (Method.PUT, "/fapi/v1/order", "orders")
    assert ask.call.body == b"symbol=BTCUSDT&orderId=22542179&side=BUY&quantity=1&price=9000"
    assert query(TRADE.amend(wanted(), ""))["origClientOrderId"] == "arb-0001"
    for changes, number in ((MARKET, ""), ({}, "algo:7"), ({}, "\u0663"), ({"client_id": ""}, "")):
        with pytest.raises(UsageError):
            TRADE.amend(wanted(**changes), number)


def test_cancels() -> None:
    ask = TRADE.cancel("BTCUSDT", venue_order_id="7", client_id="arb-0001")
    assert (ask.call.method, ask.call.path, ask.call.query, ask.call.body) == (
        Method.DELETE,
        "/fapi/v1/order",
        "symbol=BTCUSDT&orderId=7",
        b"",
    )
    assert (ask.budget, ask.weight) == ("weight", 1)
    ask = TRADE.cancel("BTCUSDT", venue_order_id="algo:7")
    assert (ask.call.method, ask.call.path, ask.call.query) == (Method.DELETE, "/fapi/v1/algoOrder", "algoId=7")
    with pytest.raises(UsageError):
        TRADE.cancel("BTCUSDT", venue_order_id="algo:x")
    ask = TRADE.cancel_all("BTCUSDT")
    assert (ask.call.method, ask.call.path, ask.call.query) == (Method.DELETE, "/fapi/v1/allOpenOrders", "symbol=BTCUSDT")
    ask = TRADE.cancel_batch("BTCUSDT", ("a", "b"))
    assert (ask.call.method, ask.call.path) == (Method.DELETE, "/fapi/v1/batchOrders")
    assert json.loads(query(ask)["origClientOrderIdList"]) == ["a", "b"]
    attempts: list[Callable[[], Ask]] = [
        lambda: TRADE.cancel("BTCUSDT"),
        lambda: TRADE.cancel("", client_id="a"),
        lambda: TRADE.cancel_all(""),
        lambda: TRADE.cancel_batch("BTCUSDT", ()),
        lambda: TRADE.cancel_batch("BTCUSDT", ("a",) * 11),
        lambda: TRADE.cancel_batch("BTCUSDT", ("a b",)),
    ]
    for attempt in attempts:
        with pytest.raises(UsageError):
            attempt()


def test_a_batch_of_placements() -> None:
    ask = TRADE.place_batch((wanted(), wanted(client_id="arb-0002", reduce_only=True)))
    assert (ask.call.method, ask.call.path, ask.weight) == (Method.POST, "/fapi/v1/batchOrders", 5)
    first, second = json.loads(query(ask)["batchOrders"])
    assert first == query(TRADE.place(wanted()))
    assert (second["newClientOrderId"], second["reduceOnly"]) == ("arb-0002", "true")
    assert b'"' not in ask.call.body
    for orders in ((), (wanted(),) * 6):
        with pytest.raises(UsageError, match="batch"):
            TRADE.place_batch(orders)


def test_the_countdown() -> None:
    ask = TRADE.beat("BTCUSDT", 120_000)
    assert (ask.call.path, ask.call.body, ask.weight) == ("/fapi/v1/countdownCancelAll", b"symbol=BTCUSDT&countdownTime=120000", 10)
    assert query(TRADE.beat("BTCUSDT", 0))["countdownTime"] == "0"
    for symbol, countdown in (("", 1), ("BTCUSDT", -1)):
        with pytest.raises(UsageError):
            TRADE.beat(symbol, countdown)


@pytest.mark.parametrize(
    ("margin", "assets", "kind"), [("cross", "false", "CROSSED"), ("isolated", "false", "ISOLATED"), ("portfolio", "true", "CROSSED")]
)
def test_modes(margin: str, assets: str, kind: str) -> None:
    asks = TRADE.set_mode(AccountMode(position="one_way", margin=margin, leverage={"BTCUSDT": Decimal("3.0")}))
    assert [(ask.call.path, ask.call.body.decode()) for ask in asks] == [
        ("/fapi/v1/positionSide/dual", "dualSidePosition=false"),
        ("/fapi/v1/multiAssetsMargin", f"multiAssetsMargin={assets}"),
        ("/fapi/v1/marginType", f"symbol=BTCUSDT&marginType={kind}"),
        ("/fapi/v1/leverage", "symbol=BTCUSDT&leverage=3"),
    ]


@pytest.mark.parametrize(
    ("position", "margin", "leverage"),
    [("hedge", "cross", "3"), ("one_way", "spot", "3"), ("one_way", "cross", "0"), ("one_way", "cross", "2.5"), ("one_way", "cross", "NaN"),
     ("one_way", "cross", "126")],
)  # fmt: skip
def test_modes_that_there_are_not(position: str, margin: str, leverage: str) -> None:
    with pytest.raises(UsageError):
        TRADE.set_mode(AccountMode(position=position, margin=margin, leverage={"BTCUSDT": Decimal(leverage)}))


# What is answered


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, Accepted("arb-0001", "22542179", OrderState.OPEN)),
        ({"status": "PARTIALLY_FILLED", "executedQty": "0.004"}, Accepted("arb-0001", "22542179", OrderState.PARTIAL, 4)),
        ({"status": "FILLED", "executedQty": "0.010"}, Accepted("arb-0001", "22542179", OrderState.FILLED, 10, End.FILLED)),
        ({"status": "CANCELED"}, Accepted("arb-0001", "22542179", OrderState.CANCELLED, 0, End.CANCELLED)),
        ({"status": "EXPIRED", "timeInForce": "IOC"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 0, End.IOC)),
        ({"status": "EXPIRED", "timeInForce": "FOK"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 0, End.FOK)),
        ({"status": "EXPIRED"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 0, End.POST_ONLY)),
        ({"status": "EXPIRED", "executedQty": "0.004"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 4, End.VENUE)),
        ({"status": "EXPIRED", "timeInForce": "GTC"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 0, End.VENUE)),
        ({"status": "EXPIRED", "type": "MARKET", "timeInForce": "GTC"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 0, End.IOC)),
        ({"status": "EXPIRED_IN_MATCH"}, Accepted("arb-0001", "22542179", OrderState.EXPIRED, 0, End.SELF_MATCH)),
    ],
)
@pytest.mark.parametrize("doing", [Doing.PLACE, Doing.AMEND])
def test_what_became_of_a_placement(changes: dict[str, Any], found: Accepted, doing: Doing) -> None:
    assert TRADE.answered(heard(**changes), doing) == found


@pytest.mark.parametrize(
    "answer",
    [
        heard(clientOrderId=""),
        heard(symbol="ETHUSDT"),
        heard(status="REJECTED"),
        heard(status="SOMETHING"),
        heard(executedQty="0.0005"),
        heard(executedQty="0.004"),
        heard(status="PARTIALLY_FILLED"),
        heard(status="PARTIALLY_FILLED", executedQty="0.010"),
        heard(status="FILLED", executedQty="0.009"),
        heard(orderId="7"),
        ok({"code": 200, "msg": "success"}),
        ok([PLACED]),
        ok({}),
        ok({"code": "-5022"}),
        Heard(200, {}, b""),
        Heard(200, {}, b"\xff{}"),
        Heard(201, {}, encoded(PLACED)),
        Heard(502, {}, b"<html>"),
        Heard(503, {}, b"Unknown error, please check your request or try again later."),
        Heard(503, {}, b"Service Unavailable."),
        no(-1001, 503),
        no(-1007, 408),
        no(-1006, 500),
        no(-2022, 500),
        no(-99999),
    ],
)
@pytest.mark.parametrize("doing", [Doing.PLACE, Doing.AMEND])
def test_anything_unclear_leaves_a_placement_unknown(answer: Heard, doing: Doing) -> None:
    assert explained(TRADE.answered(answer, doing)) == (Trouble.UNKNOWN_OUTCOME, False)
    assert isinstance(TRADE.answered(heard(), doing), Accepted)


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (no(-5022), Trouble.POST_ONLY_REJECT),
        (no(-2019), Trouble.INSUFFICIENT_BALANCE),
        (no(-2022), Trouble.INVALID_ORDER),
        (no(-1015, 429), Trouble.RATE_LIMIT),
        (no(-1008, 503), Trouble.RATE_LIMIT),
        (no(-1021), Trouble.CLOCK_SKEW),
        (Heard(429), Trouble.RATE_LIMIT),
    ],
)
def test_a_definite_no(answer: Heard, trouble: Trouble) -> None:
    assert explained(TRADE.answered(answer, Doing.PLACE)) == (trouble, True)


def test_an_id_that_is_taken_and_a_late_arrival_settle_nothing() -> None:
    assert explained(TRADE.answered(no(-4116), Doing.PLACE)) == (Trouble.DUPLICATE_CLIENT_ID, False)
    assert explained(TRADE.answered(no(-5028), Doing.PLACE)) == (Trouble.UNKNOWN_OUTCOME, False)


def test_cancels_are_taken_only_where_the_order_is_over() -> None:
    over = heard(status="CANCELED", executedQty="0.004")
    assert TRADE.answered(over, Doing.CANCEL) == Accepted("arb-0001", "22542179", OrderState.CANCELLED, 4, End.CANCELLED)
    assert explained(TRADE.answered(heard(), Doing.CANCEL))[1] is False
    assert explained(TRADE.answered(no(-2011), Doing.CANCEL)) == (Trouble.ORDER_NOT_FOUND, False)


def test_whoever_only_cancels_need_not_know_the_instrument() -> None:
    knows_none = Trade({})
    over = knows_none.answered(heard(status="CANCELED", executedQty="0.004"), Doing.CANCEL)
    assert over == Accepted("arb-0001", "22542179", OrderState.CANCELLED, 0, End.CANCELLED)
    assert explained(knows_none.answered(heard(), Doing.CANCEL))[1] is False
    assert explained(knows_none.answered(heard(), Doing.PLACE)) == (Trouble.UNKNOWN_OUTCOME, False)


@pytest.mark.parametrize(
    ("body", "yes"),
    [
        ({"code": 200, "msg": "The operation of cancel all open order is done."}, True),
        ({"symbol": "BTCUSDT", "countdownTime": "100000"}, True),
        ({"leverage": 21, "maxNotionalValue": "1000000", "symbol": "BTCUSDT"}, True),
        ({"algoId": 7, "clientAlgoId": "a", "code": "200", "msg": "success"}, True),
        ({"algoId": 7, "clientAlgoId": "a", "code": "201", "msg": "?"}, False),
        ({"symbol": "BTCUSDT"}, False),
        ({"symbol": "BTCUSDT", "countdownTime": "soon"}, False),
        ({"leverage": "x"}, False),
        ([], False),
    ],
)
def test_requests_that_name_no_order(body: Any, yes: bool) -> None:
    found = TRADE.answered(ok(body), Doing.CANCEL)
    assert (found == Accepted("", "", OrderState.ACKED)) if yes else explained(found)[0] is Trouble.UNKNOWN


def test_a_batch_one_by_one() -> None:
    first = {**PLACED, "origQty": "0.010"}
    told = TRADE.batch_answered(ok([first, {"code": -2022, "msg": "ReduceOnly Order is rejected."}]), Doing.PLACE, 2)
    assert told[0] == Accepted("arb-0001", "22542179", OrderState.OPEN)
    assert explained(told[1]) == (Trouble.INVALID_ORDER, True)


@pytest.mark.parametrize(
    ("answer", "count", "accepted"),
    [
        (ok([PLACED | {"origQty": "0.010"}, {"code": -2022}]), 3, 1),
        (ok([PLACED | {"origQty": "0.010"}, {"code": -2022}]), 1, 1),
        (ok([{"code": -2022}]), 2, 0),
        (ok([{"code": 200}, {"code": "x"}]), 2, 0),
        (ok([]), 2, 0),
        (ok({"code": 200}), 2, 0),
        (Heard(200, {}, b"[{"), 2, 0),
        (Heard(502, {}, encoded([PLACED])), 1, 0),
    ],
)
def test_what_a_batch_leaves_out_is_unknown(answer: Heard, count: int, accepted: int) -> None:
    told = TRADE.batch_answered(answer, Doing.PLACE, count)
    assert len(told) == count
    assert [isinstance(each, Accepted) for each in told] == [True] * accepted + [False] * (count - accepted)
    assert all(explained(each) == (Trouble.UNKNOWN_OUTCOME, False) for each in told[accepted:])


def test_a_batch_that_was_refused_whole() -> None:
    told = TRADE.batch_answered(no(-1015, 429), Doing.PLACE, 2)
    assert [explained(each) for each in told] == [(Trouble.RATE_LIMIT, True)] * 2


@given(st.one_of(mutated({**PLACED, "origQty": "0.010"}), mutated([PLACED]), mutated({"code": -5022, "msg": ""})), st.sampled_from([200, 400, 503]),
       st.sampled_from(Doing))  # fmt: skip
def test_no_answer_breaks_the_reading(body: bytes, status: int, doing: Doing) -> None:
    found = TRADE.answered(Heard(status, {}, body), doing)
    if isinstance(found, Accepted) and doing.raises_risk:
        assert status == 200
        assert found.client_id
        assert found.venue_order_id
    assert len(TRADE.batch_answered(Heard(status, {}, body), doing, 2)) == 2


# Budgets


def test_budgets_by_headers() -> None:
    headers = {"x-mbx-used-weight-1m": "17", "x-mbx-order-count-10s": "1", "x-mbx-order-count-1m": "3", "x-sapi-used-ip-weight-1m": "2"}
    assert seen(headers) == {"weight": 17, "orders": 1, "orders_1m": 3, "wallet": 2}
    assert seen({"x-mbx-used-weight-1m": "many", "x-mbx-order-count-10s": "-1"}) == {}
    assert set(seen(headers)) == set(BUDGETS)
    assert [wait_ms(429, {"retry-after": "7"}), wait_ms(429, {}), wait_ms(418, {}), wait_ms(418, {"retry-after": "9" * 12})] == [
        7_000,
        0,
        120_000,
        3 * 86_400_000,
    ]


# By socket

VECTOR = Key(
    "dbefbc809e3e83c283a984c3a1459732ea7db1360ca80c5c2c8867408d28cc83", "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
)


@pytest.mark.parametrize(
    ("ask", "method"),
    [
        (TRADE.place(wanted()), "order.place"),
        (TRADE.amend(wanted(), "7"), "order.modify"),
        (TRADE.cancel("BTCUSDT", venue_order_id="7"), "order.cancel"),
    ],
)
def test_frames_hold_what_the_request_holds(ask: Ask, method: str) -> None:
    sent = json.loads(socket_entry.frame(VECTOR, ask, STAMP))
    params = sent["params"]
    assert (sent["id"], sent["method"]) == (STAMP.nonce, method)
    asked = query(ask)
    assert {name: str(params[name]) for name in asked} == asked
    assert params.get("orderId", 7) == 7
    proven = "&".join(f"{name}={value}" for name, value in sorted(params.items()) if name != "signature")
    assert params["signature"] == hmac.new(VECTOR.secret.encode(), proven.encode(), hashlib.sha256).hexdigest()
    assert (params["timestamp"], params["recvWindow"], params["apiKey"]) == (1591702613943, 5000, VECTOR.access)


def test_what_the_socket_does_not_take() -> None:
    for ask in (TRADE.cancel_all("BTCUSDT"), TRADE.place_batch((wanted(),)), TRADE.beat("BTCUSDT", 1)):
        with pytest.raises(UsageError, match="REST"):
            socket_entry.frame(KEY, ask, STAMP)
    for nonce in ("", "x" * 37, "\u0663"):
        with pytest.raises(UsageError, match="request id"):
            socket_entry.frame(KEY, TRADE.place(wanted()), Stamp(1, nonce, 5000))


LIMITS = [
    {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": 1},
    {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200, "count": 2},
    {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400, "count": 5},
    {"rateLimitType": "RAW", "interval": "DAY", "intervalNum": 1, "limit": 1, "count": 0},
]
YES: dict[str, Any] = {"id": STAMP.nonce, "status": 200, "result": {**PLACED, "origQty": "1.000", "price": "9000.00"}, "rateLimits": LIMITS}
NO: dict[str, Any] = {"id": STAMP.nonce, "status": 400, "error": {"code": -5022, "msg": "no"}, "rateLimits": LIMITS[2:3]}


def test_answers_by_socket_are_read_as_those_of_rest() -> None:
    replied = socket_entry.take(encoded(YES))
    assert (replied.what, replied.request_id, replied.over) == ("answer", STAMP.nonce, False)
    assert replied.heard is not None
    assert seen(replied.heard.headers) == {"orders": 1, "orders_1m": 2, "weight": 5}
    assert TRADE.answered(replied.heard, Doing.PLACE) == Accepted("arb-0001", "22542179", OrderState.OPEN)
    replied = socket_entry.take(encoded(NO))
    assert replied.heard is not None
    assert explained(TRADE.answered(replied.heard, Doing.PLACE)) == (Trouble.POST_ONLY_REJECT, True)
    empty = socket_entry.take(encoded({"id": 7, "status": 200}))
    assert (empty.request_id, empty.heard) == ("7", Heard(200, {}, b""))
    assert explained(TRADE.answered(Heard(200, {}, b""), Doing.PLACE))[0] is Trouble.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("frame", "replied"),
    [
        (encoded({"id": None, "status": 401, "error": {"code": -2015, "msg": "no"}}), Replied("refused", over=True)),
        (encoded({"e": "serverShutdown", "E": 1}), Replied("serverShutdown", over=True)),
        (encoded({"event": {"e": "serverShutdown", "E": 1}}), Replied("serverShutdown", over=True)),
        (encoded({"event": {"e": "another"}}), Replied("unknown")),
        (encoded({"e": "other"}), Replied("unknown")),
        (b"[]", Replied("malformed", over=True)),
        (b"{" * 2_000_000, Replied("malformed", over=True)),
        (b'{"id":"\xff"}', Replied("malformed", over=True)),
        (encoded({**YES, "status": "200"}), Replied("malformed", over=True)),
    ],
)
def test_other_frames(frame: bytes, replied: Replied) -> None:
    assert socket_entry.take(frame) == replied


@given(st.one_of(mutated(YES), mutated(NO)))
def test_no_frame_breaks_the_socket(frame: bytes) -> None:
    replied = socket_entry.take(frame)
    if replied.heard is not None:
        TRADE.answered(replied.heard, Doing.PLACE)


def test_instruments_are_those_given() -> None:
    only: dict[str, Instrument] = {"BTCUSDT": BTC}
    assert Trade(only).instruments is only
