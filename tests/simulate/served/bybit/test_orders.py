"""Orders: what becomes of each kind, and every refusal with its code."""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.simulate.served.bybit.wire import Answer, Bench

from interlock.simulate.served.bybit.ids import Of, id_of, number_of
from interlock.simulate.served.bybit.verbs import CANCEL_ALL_MOST

CREATE, AMEND, CANCEL = "/v5/order/create", "/v5/order/amend", "/v5/order/cancel"


def state_of(bench: Bench, link: str) -> dict[str, Any]:
    rows = bench.get("/v5/order/realtime", f"category=linear&orderLinkId={link}").rows
    assert len(rows) == 1
    return rows[0]


def ids(link: str, **more: Any) -> dict[str, Any]:
    return {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link, **more}


@pytest.mark.parametrize("number", [1, 2, 255, 256, 10**6, 2**40])
def test_an_id_leads_back_to_its_number_and_to_no_other_thing(number: int) -> None:
    for what in Of:
        text = id_of(what, number)
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
        assert [number_of(other, text) for other in Of] == [number if other is what else 0 for other in Of]
    assert number_of(Of.ORDER, "nothing") == number_of(Of.ORDER, id_of(Of.ORDER, number).upper().replace("-", "")) == 0


def test_an_order_rests_is_amended_and_is_cancelled_by_either_id(bench: Bench) -> None:
    link = bench.link()
    answer = bench.post(CREATE, bench.order(orderLinkId=link))
    assert answer.result == {"orderId": answer.result["orderId"], "orderLinkId": link}
    assert (state_of(bench, link)["orderStatus"], state_of(bench, link)["leavesQty"]) == ("New", "0.010")
    amended = bench.post(AMEND, {"category": "linear", "symbol": "BTCUSDT", "orderId": answer.result["orderId"], "qty": "0.020"})
    assert amended.result == answer.result
    assert (state_of(bench, link)["qty"], state_of(bench, link)["price"]) == ("0.020", bench.far())
    assert bench.post(AMEND, ids(link, price=bench.far("0.96"))).code == 0
    assert state_of(bench, link)["price"] == bench.far("0.96")
    assert bench.post(CANCEL, ids(link)).result == answer.result
    gone = state_of(bench, link)
    assert (gone["orderStatus"], gone["cancelType"], gone["leavesQty"]) == ("Cancelled", "CancelByUser", "0")


def test_the_venues_id_goes_before_the_clients(bench: Bench) -> None:
    first, second = bench.placed(), bench.placed()
    assert bench.post(CANCEL, ids(second.client_id, orderId=id_of(Of.ORDER, first.number))).result["orderLinkId"] == first.client_id
    assert second.open
    assert not first.open


def test_an_order_executes_in_part_and_rests(bench: Bench) -> None:
    order = bench.placed()
    assert bench.strike(fault="fill", client_id=order.client_id, amount="0.004")
    shown = state_of(bench, order.client_id)
    value = Decimal("0.004") * order.price
    fee = value * Decimal("0.0002")
    assert (shown["orderStatus"], shown["cumExecQty"], shown["leavesQty"]) == ("PartiallyFilled", "0.004", "0.006")
    assert (Decimal(shown["cumExecValue"]), Decimal(shown["cumExecFee"])) == (value, fee)
    assert (Decimal(shown["cumFeeDetail"]["USDT"]), Decimal(shown["avgPrice"])) == (fee, order.price)
    assert bench.post(CANCEL, ids(order.client_id)).code == 0
    shown = state_of(bench, order.client_id)
    assert (shown["orderStatus"], shown["cumExecQty"]) == ("Cancelled", "0.004")


def test_a_market_order_takes_what_there_is(bench: Bench) -> None:
    order = bench.placed(orderType="Market", price=None)
    shown = state_of(bench, order.client_id)
    assert (shown["orderStatus"], shown["orderType"], shown["timeInForce"]) == ("Filled", "Market", "IOC")
    assert bench.best()[0] < Decimal(shown["avgPrice"])
    greedy = bench.placed(orderType="Market", price=None, symbol="SOLUSDT", qty="80000", side="Sell")
    shown = state_of(bench, greedy.client_id)
    assert (shown["orderStatus"], shown["rejectReason"]) == ("Cancelled", "EC_NoImmediateQtyToFill")
    assert 0 < Decimal(shown["cumExecQty"]) < 80_000


@pytest.mark.parametrize(
    ("tif", "through", "status", "reason"),
    [
        ("PostOnly", True, "Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ("PostOnly", False, "New", "EC_NoError"),
        ("IOC", True, "Filled", "EC_NoError"),
        ("IOC", False, "Cancelled", "EC_NoImmediateQtyToFill"),
        ("FOK", True, "Filled", "EC_NoError"),
        ("FOK", False, "Cancelled", "EC_NoEnoughQtyToFill"),
        ("GTC", True, "Filled", "EC_NoError"),
    ],
)
def test_each_time_in_force_is_taken_and_ends_as_it_must(bench: Bench, tif: str, through: bool, status: str, reason: str) -> None:
    price = str(bench.best()[1] + 20) if through else bench.far()
    order = bench.placed(timeInForce=tif, price=price, qty="0.001")
    shown = state_of(bench, order.client_id)
    assert (shown["orderStatus"], shown["rejectReason"], shown["timeInForce"]) == (status, reason, tif)


@pytest.mark.parametrize(
    ("kind", "maker", "taker"),
    [
        ("None", "New", "Filled"),
        ("CancelMaker", "Cancelled", "Filled"),
        ("CancelTaker", "New", "Cancelled"),
        ("CancelBoth", "Cancelled", "Cancelled"),
    ],
)
def test_an_order_that_would_meet_ones_own(bench: Bench, kind: str, maker: str, taker: str) -> None:
    resting = bench.placed(price=str(bench.best()[0]), qty="0.001")
    taking = bench.placed(side="Sell", price=str(bench.best()[0] - 3), qty="0.001", smpType=kind)
    shown = [state_of(bench, order.client_id) for order in (resting, taking)]
    assert [row["orderStatus"] for row in shown] == [maker, taker]
    assert {row["cancelType"] for row in shown if row["orderStatus"] == "Cancelled"} <= {"CancelBySmp"}
    assert shown[1]["smpType"] == kind


def test_a_position_is_closed_by_reduce_only_orders_only_as_far_as_it_goes(bench: Bench) -> None:
    bench.placed(orderType="Market", price=None, qty="0.020")
    more = bench.post(CREATE, bench.order(orderType="Market", side="Sell", qty="0.030", reduceOnly=True))
    assert more.code == 110017
    assert bench.post(CREATE, bench.order(orderType="Market", side="Sell", qty="0.005", reduceOnly=True)).code == 0
    assert bench.get("/v5/position/list", "category=linear&symbol=BTCUSDT").rows[0]["size"] == "0.015"
    assert bench.post(CREATE, bench.order(orderType="Market", side="Sell", qty="0", reduceOnly=True, closeOnTrigger=True)).code == 0
    assert bench.get("/v5/position/list", "category=linear&settleCoin=USDT").rows == []
    assert bench.post(CREATE, bench.order(orderType="Market", side="Sell", qty="0", reduceOnly=True, closeOnTrigger=True)).code == 110017


def test_a_check_beforehand_changes_nothing(bench: Bench) -> None:
    before = bench.face.venue.history.taken
    found = bench.post("/v5/order/pre-check", bench.order(qty="10")).result
    assert found["postImrE4"] > found["preImrE4"] == 0
    assert bench.post("/v5/order/pre-check", bench.order(qty="1000")).code == 110007
    assert bench.face.venue.history.taken == before


def other(name: str, value: Any) -> Callable[[Bench], Answer]:
    return lambda bench: bench.post(CREATE, bench.order(**{name: value}))


def twice(bench: Bench) -> Answer:
    link = bench.placed().client_id
    bench.post(CANCEL, ids(link))
    return bench.post(CREATE, bench.order(orderLinkId=link))


def ended(path: str) -> Callable[[Bench], Answer]:
    def act(bench: Bench) -> Answer:
        link = bench.placed().client_id
        bench.post(CANCEL, ids(link))
        return bench.post(path, ids(link, qty="0.011"))

    return act


def amended(**change: str) -> Callable[[Bench], Answer]:
    def act(bench: Bench) -> Answer:
        order = bench.placed()
        bench.strike(fault="fill", client_id=order.client_id, amount="0.004")
        return bench.post(AMEND, ids(order.client_id, **change))

    return act


def halted(bench: Bench) -> Answer:
    bench.strike(fault="halt", symbol="ADAUSDT", ms=60_000)
    answer = bench.post(CREATE, bench.order(symbol="ADAUSDT", price="0.6", qty="100"))
    bench.strike(fault="halt", symbol="ADAUSDT", ms=0)
    return answer


def crowded(bench: Bench) -> Answer:
    price, lots = bench.face.venue.markets["ADAUSDT"].mark * Decimal("0.9"), "10"
    price = price.quantize(Decimal("0.0001"))
    for _ in range(500):
        bench.strike(fault="foreign_order", symbol="ADAUSDT", side="buy", price=str(price), amount=lots)
    return bench.post(CREATE, bench.order(symbol="ADAUSDT", price=str(price), qty=lots))


REFUSALS: dict[str, tuple[int, Callable[[Bench], Answer]]] = {
    "no category": (10001, other("category", None)),
    "unknown category": (10001, other("category", "margin")),
    "spot": (170121, other("category", "spot")),
    "inverse": (10001, other("category", "inverse")),
    "no symbol": (10001, other("symbol", None)),
    "unknown symbol": (10001, other("symbol", "NOUSDT")),
    "symbol that is no text": (10001, other("symbol", ["BTCUSDT"])),
    "side": (10001, other("side", "buy")),
    "type": (10001, other("orderType", "limit")),
    "time in force": (10001, other("timeInForce", "RPI")),
    "no size": (10001, other("qty", None)),
    "size as a number": (10001, other("qty", 0.01)),
    "negative size": (10001, other("qty", "-1")),
    "no size at all": (10001, other("qty", "0")),
    "size between steps": (10001, other("qty", "0.0105")),
    "size too large": (10001, other("qty", "1190.001")),
    "market size too large": (10001, lambda b: b.post(CREATE, b.order(orderType="Market", qty="501"))),
    "no price": (10001, other("price", None)),
    "price between ticks": (10001, other("price", "60000.05")),
    "price out of range": (110003, other("price", "2000000")),
    "bid too high": (30208, lambda b: b.post(CREATE, b.order(price=b.far("1.06")))),
    "ask too low": (30209, lambda b: b.post(CREATE, b.order(side="Sell", price=b.far("0.94")))),
    "value too small": (110094, lambda b: b.post(CREATE, b.order(price="1", qty="0.001"))),
    "no margin": (110007, other("qty", "1000")),
    "reduce-only without a position": (110017, other("reduceOnly", True)),
    "hedge side": (10001, other("positionIdx", 1)),
    "client id too long": (10001, other("orderLinkId", "x" * 37)),
    "client id of other signs": (10001, other("orderLinkId", "a b")),
    "client id twice": (110072, twice),
    "self-match word": (10001, other("smpType", "Cancel")),
    "flag": (10001, other("reduceOnly", "maybe")),
    "conditional": (10001, other("triggerPrice", "60000")),
    "take profit": (10001, other("takeProfit", "70000")),
    "closed market": (110074, halted),
    "too many open": (110020, crowded),
    "no JSON": (10001, lambda b: b.post(CREATE, b"{")),
    "no body": (10001, lambda b: b.post(CREATE, b"")),
    "no object": (10001, lambda b: b.post(CREATE, b"[]")),
    "cancel of nothing": (10001, lambda b: b.post(CANCEL, {"category": "linear", "symbol": "BTCUSDT"})),
    "cancel of nobody": (110001, lambda b: b.post(CANCEL, ids("nobody"))),
    "cancel of no id": (110001, lambda b: b.post(CANCEL, {"category": "linear", "symbol": "BTCUSDT", "orderId": "x"})),
    "cancel in another symbol": (110001, lambda b: b.post(CANCEL, ids(b.placed().client_id) | {"symbol": "ETHUSDT"})),
    "cancel in another category": (110001, lambda b: b.post(CANCEL, ids(b.placed().client_id) | {"category": "spot"})),
    "cancel twice": (110001, ended(CANCEL)),
    "amend of what is over": (110001, ended(AMEND)),
    "amend of nothing": (10001, amended()),
    "amend to the same": (10001, amended(qty="0.010")),
    "amend below what is done": (10001, amended(qty="0.004")),
    "amend beyond the margin": (110007, amended(qty="900")),
    "amend to no tick": (10001, amended(price="60000.05")),
    "amend of a trigger": (10001, amended(triggerPrice="1")),
    "cancel all of nothing": (10001, lambda b: b.post("/v5/order/cancel-all", {"category": "linear"})),
    "cancel all of no symbol": (10001, lambda b: b.post("/v5/order/cancel-all", {"category": "linear", "symbol": "NO"})),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_refused_with_the_venues_code(bench: Bench, name: str) -> None:
    code, act = REFUSALS[name]
    answer = act(bench)
    assert (answer.status, answer.code, answer.result) == (200, code, {}), answer.body


def test_cancel_all_ends_the_orders_of_its_bounds(bench: Bench) -> None:
    bitcoin, ether = [bench.placed() for _ in range(2)], bench.placed(symbol="ETHUSDT", price="2900", qty="0.01")
    gone = bench.post("/v5/order/cancel-all", {"category": "linear", "baseCoin": "BTC"})
    assert {row["orderLinkId"] for row in gone.rows} == {order.client_id for order in bitcoin}
    assert gone.result["success"] == "1"
    assert ether.open
    assert bench.post("/v5/order/cancel-all", {"category": "spot"}).rows == []
    assert len(bench.post("/v5/order/cancel-all", {"category": "linear", "symbol": "ETHUSDT"}).rows) == 1
    assert bench.post("/v5/order/cancel-all", {"category": "linear", "settleCoin": "USDT"}).rows == []


def test_cancel_all_ends_five_hundred_at_most(bench: Bench) -> None:
    for symbol, price in (("ADAUSDT", "0.6500"), ("XRPUSDT", "2.1000")):
        for _ in range(260):
            bench.strike(fault="foreign_order", symbol=symbol, side="buy", price=price, amount="10")
    body = {"category": "linear", "settleCoin": "USDT"}
    assert [len(bench.post("/v5/order/cancel-all", body).rows) for _ in range(3)] == [CANCEL_ALL_MOST, 20, 0]


def test_a_batch_is_taken_item_by_item(bench: Bench) -> None:
    links = [bench.link() for _ in range(3)]
    items = [bench.order(orderLinkId=link, category=None) for link in links]
    items[1]["qty"] = "0.0001"
    answer = bench.post("/v5/order/create-batch", {"category": "linear", "request": items})
    assert answer.code == 0
    assert [item["code"] for item in answer.body["retExtInfo"]["list"]] == [0, 10001, 0]
    assert [bool(row["orderId"]) for row in answer.rows] == [True, False, True]
    assert [row["orderLinkId"] for row in answer.rows] == links
    changes = [{"symbol": "BTCUSDT", "orderLinkId": link, "qty": "0.012"} for link in links]
    answer = bench.post("/v5/order/amend-batch", {"category": "linear", "request": changes})
    assert [item["code"] for item in answer.body["retExtInfo"]["list"]] == [0, 110001, 0]
    answer = bench.post("/v5/order/cancel-batch", {"category": "linear", "request": changes})
    assert [item["code"] for item in answer.body["retExtInfo"]["list"]] == [0, 110001, 0]
    assert bench.face.venue.open_orders() == []


@pytest.mark.parametrize("items", [None, [], "x", [1], [{}] * 21])
def test_what_is_no_batch_is_refused_whole(bench: Bench, items: Any) -> None:
    assert bench.post("/v5/order/create-batch", {"category": "linear", "request": items}).code == 10001


def test_every_signed_request_is_witnessed_with_what_it_asks(bench: Bench) -> None:
    del bench.lines[:]
    order = bench.placed(price="60000.1", qty="0.003")
    bench.get("/v5/account/info")
    bench.bare("GET", "/v5/market/time")
    bench.post(AMEND, ids(order.client_id, qty="0.004", price="60000.2"))
    bench.post(CANCEL, {"category": "linear", "symbol": "BTCUSDT", "orderId": id_of(Of.ORDER, order.number)})
    bench.post("/v5/order/cancel-batch", {"category": "linear", "request": [{"symbol": "BTCUSDT", "orderLinkId": n} for n in "ab"]})
    found = [(line["verb"], line["class"], line["client_id"], line["revision"], line["orders"]) for line in bench.lines]
    asked = {"symbol": "BTCUSDT", "side": 1, "ticks": 600_001, "tick": "0.1", "lots": 3}
    assert found == [
        ("place", "RISK+", order.client_id, 0, [asked]),
        ("read", "READ", "", 0, []),
        ("amend", "RISK+", order.client_id, 1, [{"ticks": 600_002, "tick": "0.1", "lots": 4}]),
        ("cancel", "RISK-", order.client_id, 0, []),
        ("cancel_batch", "RISK-", "", 0, []),
    ]
    assert bench.lines[-1]["children"] == [["a", 0], ["b", 0]]
