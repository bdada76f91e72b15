"""Bybit's order requests as they are written, by REST and on the socket, and what their answers are taken for."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.bybit.talks import BTC, INSTRUMENTS, NOW_MS, no, ok
from tests.venues.scripted import encoded

from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.market.shipped import SHIPPED
from interlock.venues.bybit import socket_entry
from interlock.venues.bybit.budgets import BUDGETS, seen, wait_ms
from interlock.venues.bybit.trade import Trade
from interlock.venues.port import Accepted, AccountMode, Ask, Heard, OrderVerbs, OrderWanted, Stamp
from interlock.venues.request import Call, Key, Method
from interlock.venues.trouble import Doing, Explained, Trouble

KEY = Key("XXXXXXXXXX", "testsecret0123456789abcdefTESTSECRET")
STAMP = Stamp(timestamp_ms=1_658_385_579_423, nonce="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a", receive_window_ms=5000)
TRADE: OrderVerbs = Trade(INSTRUMENTS)
ORDER = OrderWanted(
    instrument=BTC, client_id="arb-0001", side=Side.BUY, type=OrderType.LIMIT, tif=TimeInForce.POST_ONLY, ticks=300_005, lots=40
)
TAKEN = {"orderId": "1321003749386327552", "orderLinkId": "arb-0001"}


def said(ask: Ask) -> str:
    return ask.call.body.decode()


# What is written


def test_a_limit_order() -> None:
    ask = TRADE.place(ORDER)
    assert (ask.call.method, ask.call.path, ask.call.query, ask.weight) == (Method.POST, "/v5/order/create", "", 1)
    assert said(ask) == (
        '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.04","price":"30000.5","timeInForce":"PostOnly",'
        '"positionIdx":0,"orderLinkId":"arb-0001","reduceOnly":false,"closeOnTrigger":false,"smpType":"CancelTaker"}'
    )


def test_a_market_order_that_reduces() -> None:
    order = replace(ORDER, side=Side.SELL, type=OrderType.MARKET, tif=TimeInForce.IOC, ticks=0, reduce_only=True)
    assert said(TRADE.place(order)) == (
        '{"category":"linear","symbol":"BTCUSDT","side":"Sell","orderType":"Market","qty":"0.04","timeInForce":"IOC","positionIdx":0,'
        '"orderLinkId":"arb-0001","reduceOnly":true,"closeOnTrigger":false,"smpType":"CancelTaker"}'
    )


@pytest.mark.parametrize(
    ("tif", "text"), [(TimeInForce.GTC, "GTC"), (TimeInForce.IOC, "IOC"), (TimeInForce.FOK, "FOK"), (TimeInForce.POST_ONLY, "PostOnly")]
)
def test_times_in_force(tif: TimeInForce, text: str) -> None:
    assert json.loads(said(TRADE.place(replace(ORDER, tif=tif))))["timeInForce"] == text


@given(st.integers(1, 10**15), st.integers(1, 10**15), st.sampled_from(["0.1", "10", "1E+3", "0.00000001"]))
def test_numbers_are_plain_and_exact(ticks: int, lots: int, unit: str) -> None:
    odd = msgspec.structs.replace(BTC, quantum=Decimal("0.1"), lot=Decimal(unit))
    body = json.loads(said(TRADE.place(replace(ORDER, instrument=odd, ticks=ticks, lots=lots))))
    assert "E" not in body["price"] + body["qty"]
    assert (odd.ticks(Decimal(body["price"])), odd.lots(Decimal(body["qty"]))) == (ticks, lots)


def test_amend_and_cancel_name_the_order_by_one_id() -> None:
    assert said(TRADE.amend(ORDER, "")) == (
        '{"category":"linear","symbol":"BTCUSDT","orderLinkId":"arb-0001","qty":"0.04","price":"30000.5"}'
    )
    assert said(TRADE.amend(ORDER, "77")) == '{"category":"linear","symbol":"BTCUSDT","orderId":"77","qty":"0.04","price":"30000.5"}'
    assert said(TRADE.cancel("BTCUSDT", client_id="arb-0001")) == '{"category":"linear","symbol":"BTCUSDT","orderLinkId":"arb-0001"}'
    assert said(TRADE.cancel("BTCUSDT", client_id="arb-0001", venue_order_id="77")) == (
        '{"category":"linear","symbol":"BTCUSDT","orderId":"77"}'
    )


def test_everything_is_cancelled_by_symbol_or_by_currency() -> None:
    assert said(TRADE.cancel_all("BTCUSDT")) == '{"category":"linear","symbol":"BTCUSDT"}'
    assert said(TRADE.cancel_all("")) == '{"category":"linear","settleCoin":"USDT"}'


def test_batches_use_one_of_the_budget_for_each_order() -> None:
    ask = TRADE.place_batch((ORDER, replace(ORDER, client_id="arb-0002")))
    body = json.loads(said(ask))
    single = json.loads(said(TRADE.place(ORDER)))
    assert body["category"] == single.pop("category")
    assert body["request"] == [single, single | {"orderLinkId": "arb-0002"}]
    assert (ask.call.path, ask.weight, ask.budget) == ("/v5/order/create-batch", 2, "create-batch")
    ask = TRADE.cancel_batch("BTCUSDT", ("a", "b", "c"))
    assert said(ask).startswith('{"category":"linear","request":[{"symbol":"BTCUSDT","orderLinkId":"a"},')
    assert (ask.call.path, ask.weight) == ("/v5/order/cancel-batch", 3)


def test_the_account_is_set_in_order() -> None:
    asks = TRADE.set_mode(AccountMode(position="one_way", margin="cross", leverage={"BTCUSDT": Decimal("10.50")}))
    assert [(ask.call.path, said(ask)) for ask in asks] == [
        ("/v5/account/set-margin-mode", '{"setMarginMode":"REGULAR_MARGIN"}'),
        ("/v5/position/switch-mode", '{"category":"linear","coin":"USDT","mode":0}'),
        ("/v5/position/set-leverage", '{"category":"linear","symbol":"BTCUSDT","buyLeverage":"10.50","sellLeverage":"10.50"}'),
    ]


def test_the_watch_over_connections() -> None:
    assert said(Trade(INSTRUMENTS).guard(10)) == '{"product":"DERIVATIVES","timeWindow":10}'
    for window_s in (2, 301):
        with pytest.raises(UsageError, match="3 to 300"):
            Trade(INSTRUMENTS).guard(window_s)
    for countdown_ms in (0, 10_000):
        with pytest.raises(UsageError, match="countdown"):
            TRADE.beat("BTCUSDT", countdown_ms)


@pytest.mark.parametrize(
    "order",
    [
        replace(ORDER, client_id=""),
        replace(ORDER, client_id="a b"),
        replace(ORDER, client_id="x" * 37),
        replace(ORDER, cost=Decimal(5)),
        replace(ORDER, lots=0),
        replace(ORDER, ticks=0),
        replace(ORDER, ticks=-1),
        replace(ORDER, type=OrderType.MARKET, tif=TimeInForce.IOC),
        replace(ORDER, type=OrderType.MARKET, ticks=0),
        replace(ORDER, instrument=SHIPPED["upbit:KRW-BTC"]),
        replace(ORDER, instrument=SHIPPED["binance_usdm:BTCUSDT"]),
    ],
)
def test_what_cannot_be_written_is_not(order: OrderWanted) -> None:
    with pytest.raises(UsageError, match="expected"):
        TRADE.place(order)
    with pytest.raises(UsageError, match="expected"):
        TRADE.amend(order, "77")
    with pytest.raises(UsageError, match="expected"):
        TRADE.place_batch((ORDER, order))
    assert TRADE.place(ORDER).call.body


def test_nor_are_other_things_that_the_venue_does_not_take() -> None:
    for size in (0, 21):
        with pytest.raises(UsageError, match="1 to 20"):
            TRADE.place_batch((ORDER,) * size)
        with pytest.raises(UsageError, match="1 to 20"):
            TRADE.cancel_batch("BTCUSDT", ("a",) * size)
    with pytest.raises(UsageError, match="client id"):
        TRADE.cancel("BTCUSDT")
    with pytest.raises(UsageError, match="symbol"):
        TRADE.cancel("", client_id="a")
    with pytest.raises(UsageError, match="never rests"):
        TRADE.amend(replace(ORDER, type=OrderType.MARKET, ticks=0, tif=TimeInForce.IOC), "77")
    for mode in (
        AccountMode(position="hedge", margin="cross", leverage={}),
        AccountMode(position="one_way", margin="spot", leverage={}),
        AccountMode(position="one_way", margin="cross", leverage={"BTCUSDT": Decimal("NaN")}),
        AccountMode(position="one_way", margin="cross", leverage={"BTCUSDT": Decimal(0)}),
    ):
        with pytest.raises(UsageError, match="expected"):
            TRADE.set_mode(mode)


def test_what_is_signed_is_what_is_sent() -> None:
    ask = TRADE.place(ORDER)
    signed = TRADE.sign(KEY, ask, STAMP)
    assert (signed.body, signed.path, dict(signed.headers)["X-BAPI-TIMESTAMP"]) == (ask.call.body, ask.call.path, "1658385579423")
    other = TRADE.sign(KEY, replace(ask, call=replace(ask.call, body=ask.call.body + b" ")), STAMP)
    assert dict(other.headers)["X-BAPI-SIGN"] != dict(signed.headers)["X-BAPI-SIGN"]


def test_every_request_has_a_budget() -> None:
    asks = [
        TRADE.place(ORDER),
        TRADE.amend(ORDER, ""),
        TRADE.cancel("BTCUSDT", client_id="a"),
        TRADE.cancel_all(""),
        TRADE.place_batch((ORDER,)),
        TRADE.cancel_batch("BTCUSDT", ("a",)),
        Trade(INSTRUMENTS).guard(10),
        *TRADE.set_mode(AccountMode(position="one_way", margin="isolated", leverage={"BTCUSDT": Decimal(1)})),
    ]
    assert {ask.budget for ask in asks} <= BUDGETS.keys()
    assert seen({"x-bapi-limit-status": "9"}, "create") == {"create": 9}
    for text in ("", "-1", "nine", "9" * 17, "²"):
        assert seen({"x-bapi-limit-status": text}, "create") == {}
    assert wait_ms({"x-bapi-limit-reset-timestamp": str(NOW_MS + 7)}, NOW_MS) == 7
    assert wait_ms({"x-bapi-limit-reset-timestamp": str(NOW_MS - 7)}, NOW_MS) == 1
    assert wait_ms({"x-bapi-limit-reset-timestamp": str(NOW_MS * 2)}, NOW_MS) == 600_000
    assert wait_ms({}, NOW_MS) == wait_ms({"x-bapi-limit-reset-timestamp": "1"}, 0) == 0


# What an answer is taken for


def kind(answer: Accepted | Explained) -> Trouble | OrderState:
    return answer.state if isinstance(answer, Accepted) else answer.trouble


def test_a_yes_to_a_placement_is_a_receipt() -> None:
    assert TRADE.answered(ok(TAKEN), Doing.PLACE) == Accepted("arb-0001", "1321003749386327552", OrderState.ACKED)


@pytest.mark.parametrize(
    "heard",
    [
        ok({}),
        ok(),
        ok({"orderId": "1", "orderLinkId": ""}),
        ok({"orderId": "", "orderLinkId": "arb-0001"}),
        ok(TAKEN | {"success": "0"}),
        ok([]),
        ok({"orderId": 1, "orderLinkId": "arb-0001"}),
        Heard(200, {}, b""),
        Heard(200, {}, b"<html>"),
        Heard(200, {}, b'{"retCode":0,"x":"\xff","result":{"orderId":"1","orderLinkId":"a"}}'),
        Heard(502, {}, b""),
        Heard(503, {}, ok(TAKEN).body),
        Heard(0, {}, b""),
        Heard(403, {}, b"access too frequent"),
        no(10000),
        no(10016),
        no(110001),
        no(10014),
        no(424242),
        no(110007, 502),
        Heard(200, {}, b'{"retCode":' + b"9" * 5000 + b"}"),
        Heard(200, {}, b" " * (5 << 20)),
    ],
)
def test_anything_else_leaves_a_placement_unknown(heard: Heard) -> None:
    for doing in (Doing.PLACE, Doing.AMEND):
        answer = TRADE.answered(heard, doing)
        assert isinstance(answer, Explained)
        assert (answer.trouble, answer.settled) == (Trouble.UNKNOWN_OUTCOME, False)
        one, other = TRADE.batch_answered(heard, doing, 2)
        assert isinstance(one, Explained)
        assert (one.trouble, one.settled, other) == (Trouble.UNKNOWN_OUTCOME, False, one)


@pytest.mark.parametrize(
    ("heard", "trouble", "settled"),
    [
        (no(110007), Trouble.INSUFFICIENT_BALANCE, True),
        (no(10001), Trouble.INVALID_ORDER, True),
        (no(10006), Trouble.RATE_LIMIT, True),
        (no(10003), Trouble.INVALID_KEY, True),
        (no(110072), Trouble.DUPLICATE_CLIENT_ID, False),
        (Heard(429, {}, b""), Trouble.RATE_LIMIT, True),
    ],
)
def test_a_definite_no_to_a_placement(heard: Heard, trouble: Trouble, settled: bool) -> None:
    answer = TRADE.answered(heard, Doing.PLACE)
    assert isinstance(answer, Explained)
    assert (answer.trouble, answer.settled) == (trouble, settled)
    assert TRADE.batch_answered(heard, Doing.PLACE, 2) == (answer, answer)


def test_answers_to_cancels_and_settings() -> None:
    assert TRADE.answered(ok(TAKEN), Doing.CANCEL) == Accepted("arb-0001", "1321003749386327552", OrderState.ACKED)
    everything = {"list": [{"orderId": "1616024329462743808", "orderLinkId": "1616024329462743809"}], "success": "1"}
    assert TRADE.answered(ok(everything), Doing.CANCEL) == Accepted("", "", OrderState.ACKED)
    assert kind(TRADE.answered(ok(everything | {"success": "0"}), Doing.CANCEL)) is Trouble.UNKNOWN
    assert kind(TRADE.answered(Heard(200, {}, b'{"retCode":0,"retMsg":"success"}'), Doing.CANCEL)) is OrderState.ACKED
    assert kind(TRADE.answered(no(110001), Doing.CANCEL)) is Trouble.ORDER_NOT_FOUND
    assert kind(TRADE.answered(no(3400045), Doing.CANCEL)) is Trouble.UNKNOWN


def batch(entries: list[dict[str, str]], codes: list[int]) -> Heard:
    return ok({"list": entries}, retExtInfo={"list": [{"code": code, "msg": ""} for code in codes]})


def test_each_order_of_a_batch_has_an_answer_of_its_own() -> None:
    failed = {"orderId": "", "orderLinkId": "arb-0002"}
    first, second = TRADE.batch_answered(batch([TAKEN, failed], [0, 110007]), Doing.PLACE, 2)
    assert isinstance(first, Accepted)
    assert isinstance(second, Explained)
    assert (first.client_id, second.trouble, second.settled) == ("arb-0001", Trouble.INSUFFICIENT_BALANCE, True)
    cancelled, gone = TRADE.batch_answered(batch([TAKEN, failed], [0, 170213]), Doing.CANCEL, 2)
    assert (kind(cancelled), kind(gone)) == (OrderState.ACKED, Trouble.ORDER_NOT_FOUND)


def test_a_batch_that_comes_with_a_servers_fault_is_unknown() -> None:
    heard = replace(batch([TAKEN, TAKEN], [0, 0]), status=503)
    assert [kind(each) for each in TRADE.batch_answered(heard, Doing.PLACE, 2)] == [Trouble.UNKNOWN_OUTCOME] * 2


@pytest.mark.parametrize(
    ("entries", "codes"),
    [
        ([TAKEN, {}], [0, 0]),
        ([TAKEN, TAKEN], [0, 110007]),
        ([TAKEN, {}, {}], [0, 110007, 110007]),
        ([TAKEN, {}], [0, 110007, 110007]),
        ([TAKEN], [0]),
        ([TAKEN], [0, 110007]),
    ],
)
def test_what_a_batch_does_not_say_clearly_is_unknown(entries: list[dict[str, str]], codes: list[int]) -> None:
    first, second = TRADE.batch_answered(batch(entries, codes), Doing.PLACE, 2)
    assert (kind(first), kind(second)) == (OrderState.ACKED, Trouble.UNKNOWN_OUTCOME)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.integers() | st.text(max_size=5),
            lambda x: (
                st.lists(x, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["retCode", "result", "retExtInfo", "list", "code", "orderId", "orderLinkId", "success", "time"]),
                    x,
                    max_size=5,
                )
            ),
            max_leaves=12,
        ).map(lambda value: json.dumps(value).encode()),
    ),
    st.integers(0, 600),
    st.sampled_from(Doing),
)
def test_no_answer_raises(body: bytes, status: int, doing: Doing) -> None:
    heard = Heard(status, {}, body)
    answer = TRADE.answered(heard, doing)
    if doing.raises_risk and isinstance(answer, Accepted):
        assert status == 200
        assert answer.client_id
        assert answer.venue_order_id
    assert len(TRADE.batch_answered(heard, doing, 3)) == 3
    reply = socket_entry.take(body)
    assert reply.heard is None or reply.what == "answer"


# The socket


def test_a_frame_holds_the_body_of_the_request() -> None:
    ask = TRADE.place(ORDER)
    assert socket_entry.frame(ask, STAMP) == (
        b'{"reqId":"b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a","header":{"X-BAPI-TIMESTAMP":"1658385579423","X-BAPI-RECV-WINDOW":"5000"},'
        b'"op":"order.create","args":[' + ask.call.body + b"]}"
    )
    ops = {
        "order.amend": TRADE.amend(ORDER, ""),
        "order.cancel": TRADE.cancel("BTCUSDT", client_id="a"),
        "order.create-batch": TRADE.place_batch((ORDER,)),
        "order.cancel-batch": TRADE.cancel_batch("BTCUSDT", ("a",)),
    }
    for op, each in ops.items():
        assert json.loads(socket_entry.frame(each, STAMP))["op"] == op


def test_what_the_socket_does_not_take() -> None:
    for ask in (TRADE.cancel_all(""), Ask(Call(Method.GET, "/v5/order/create")), Ask(Call(Method.POST, "/v5/order/create", "a=b"))):
        with pytest.raises(UsageError, match="trade socket"):
            socket_entry.frame(ask, STAMP)
    for nonce in ("", "x" * 37, "ä"):
        with pytest.raises(UsageError, match="request id"):
            socket_entry.frame(TRADE.place(ORDER), replace(STAMP, nonce=nonce))


def reply(**changes: Any) -> bytes:
    frame = {
        "reqId": "test-005",
        "retCode": 0,
        "retMsg": "OK",
        "op": "order.create",
        "data": {"orderId": "a4c1718e-fe53-4659-a118-1f6ecce04ad9", "orderLinkId": "arb-0002"},
        "retExtInfo": {},
        "header": {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": "9", "Timenow": str(NOW_MS)},
        "connId": "cnt5leec0hvan15eukcg-2v",
    }
    return encoded({name: value for name, value in (frame | changes).items() if value is not None})


def test_an_answer_on_the_socket_is_read_as_by_rest() -> None:
    found = socket_entry.take(reply())
    assert (found.what, found.request_id, found.over) == ("answer", "test-005", False)
    assert found.heard is not None
    assert TRADE.answered(found.heard, Doing.PLACE) == Accepted("arb-0002", "a4c1718e-fe53-4659-a118-1f6ecce04ad9", OrderState.ACKED)
    assert seen(found.heard.headers, "create") == {"create": 9}


@pytest.mark.parametrize(
    ("code", "trouble", "over"),
    [
        (110007, Trouble.INSUFFICIENT_BALANCE, False),
        (-1, Trouble.CLOCK_SKEW, False),
        (10403, Trouble.RATE_LIMIT, False),
        (20006, Trouble.UNKNOWN_OUTCOME, False),
        (10016, Trouble.UNKNOWN_OUTCOME, False),
        (10019, Trouble.MAINTENANCE, True),
    ],
)
def test_refusals_on_the_socket(code: int, trouble: Trouble, over: bool) -> None:
    found = socket_entry.take(reply(retCode=code, data=None, header=None, op=None))
    assert found.heard is not None
    assert (found.what, found.over, kind(TRADE.answered(found.heard, Doing.PLACE))) == ("answer", over, trouble)


def test_a_batch_on_the_socket() -> None:
    data = {"list": [TAKEN, {"orderId": "", "orderLinkId": "arb-0002"}]}
    found = socket_entry.take(
        reply(op="order.create-batch", data=data, retExtInfo={"list": [{"code": 0, "msg": "OK"}, {"code": 110007, "msg": ""}]})
    )
    assert found.heard is not None
    assert [kind(each) for each in TRADE.batch_answered(found.heard, Doing.PLACE, 2)] == [OrderState.ACKED, Trouble.INSUFFICIENT_BALANCE]


def test_what_else_the_socket_says() -> None:
    assert json.loads(socket_entry.greeting(KEY, replace(STAMP, timestamp_ms=1_662_350_395_000))) == {
        "reqId": "auth",
        "op": "auth",
        "args": ["XXXXXXXXXX", 1662350400000, "178e46b0aeb6815e190aaadaae257ee5bc08aec04f0eebe2ef31af0bba28735a"],
    }
    assert socket_entry.ping() == b'{"op":"ping"}'
    for frame, what, over in (
        (b'{"retCode":0,"retMsg":"OK","op":"auth","connId":"cnt5leec0hvan15eukcg-2t"}', "greeted", False),
        (b'{"retCode":10004,"retMsg":"no","op":"auth","connId":"c"}', "refused", True),
        (b'{"retCode":0,"retMsg":"OK","op":"pong","data":["1711002002529"],"connId":"c"}', "pong", False),
        (b'{"retCode":0,"retMsg":"OK","op":"news"}', "unknown op", False),
        (b'{"retCode":10016,"retMsg":"no"}', "unknown op", True),
        (b"nonsense", "malformed", True),
        (b'{"retCode":0,"x":"\xff"}', "malformed", True),
        (b" " * ((1 << 20) + 1), "malformed", True),
    ):
        assert socket_entry.take(frame) == socket_entry.Replied(what, over=over)
