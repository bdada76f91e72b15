"""Every refusal that a client can provoke, by the venue's code, over the wire."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.simulate.served.binance_usdm.bench import Answer, Bench

from interlock.simulate.served.faults import Fault
from interlock.venues.request import Key

Provoke = Callable[[Bench], Answer]
ORDER = "/fapi/v1/order"


def _place(**changed: Any) -> Provoke:
    return lambda b: b.place(**changed)


def _call(method: str, path: str, **params: Any) -> Provoke:
    return lambda b: b.call(method, path, **params)


def _get(path: str, **params: Any) -> Provoke:
    return lambda b: b.read(path, **params)


def _twice(b: Bench) -> Answer:
    assert b.place(newClientOrderId="twin").status == 200
    return b.place(newClientOrderId="twin")


def _halted(b: Bench) -> Answer:
    b.strike(Fault.HALT, symbol="ETHUSDT", ms=60_000)
    found = b.place(symbol="ETHUSDT", price="3000.00", quantity="1")
    b.strike(Fault.HALT, symbol="ETHUSDT", ms=0)
    return found


def _modify(**changed: Any) -> Provoke:
    def act(b: Bench) -> Answer:
        price = b.price()
        number = b.place(price=price).body["orderId"]
        asked = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "price": price, "orderId": number} | changed
        return b.call("PUT", ORDER, **asked)

    return act


def _blocked(b: Bench) -> Answer:
    assert b.place().status == 200
    return b.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")


def _held(b: Bench) -> Answer:
    assert b.market("BUY").body["status"] == "FILLED"
    return b.call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="ISOLATED")


def _underfunded(b: Bench) -> Answer:
    assert b.place(quantity="75.000").status == 200
    return b.call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=1)


def _too_many(b: Bench) -> Answer:
    def fill() -> None:
        b.face.venue.rules = type(b.face.venue.rules)(
            name="binance_usdm", post_only_refused=True, fok_refused=True, open_max=1, band=b.face.venue.rules.band, client_ids_again=True
        )

    rules = b.face.venue.rules
    b.inside(fill)
    assert b.place().status == 200
    found = b.place()
    b.face.venue.rules = rules
    return found


def _algo(**changed: Any) -> Provoke:
    asked = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET", "quantity": "0.010"} | changed
    return lambda b: b.call("POST", "/fapi/v1/algoOrder", **asked)


def _algo_twice(b: Bench) -> Answer:
    asked = _algo(triggerPrice="30000.0", clientAlgoId="algo-twin")
    asked(b)
    found = asked(b)
    assert b.call("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT").body["code"] == 200
    return found


def _duplicate_parameter(b: Bench) -> Answer:
    return b.raw("GET", f"http://{b.public}/fapi/v1/depth?symbol=BTCUSDT&symbol=BTCUSDT")


ROWS: list[tuple[int, int, Provoke]] = [
    (-1100, 400, _place(price="1e5")),
    (-1100, 400, _place(newClientOrderId="no spaces")),
    (-1101, 400, _duplicate_parameter),
    (-1102, 400, _place(quantity=None)),
    (-1102, 400, _place(timeInForce=None)),
    (-1102, 400, _call("GET", ORDER, symbol="BTCUSDT")),
    (-1102, 400, _get("/fapi/v1/depth")),
    (-1105, 400, _call("GET", "/fapi/v1/openOrders", symbol="")),
    (-1106, 400, _place(type="MARKET", price="60000.0", timeInForce=None)),
    (-1111, 400, _place(price="60000.001")),
    (-1111, 400, _place(quantity="0.0101")),
    (-1115, 400, _place(timeInForce="GTZ")),
    (-1116, 400, _place(type="ICEBERG")),
    (-1117, 400, _place(side="LONG")),
    (-1120, 400, _get("/fapi/v1/klines", symbol="BTCUSDT", interval="7m")),
    (-1121, 400, _get("/fapi/v1/depth", symbol="NOPE")),
    (-1121, 400, _place(symbol="btcusdt", price="60000.0")),
    (-1125, 400, lambda b: b.listen_key("PUT")),
    (-1127, 400, _call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", startTime=0, endTime=8 * 86_400_000)),
    (-1128, 400, _call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT", fromId=1, startTime=1)),
    (-1130, 400, _get("/fapi/v1/depth", symbol="BTCUSDT", limit=7)),
    (-2011, 400, _call("DELETE", ORDER, symbol="BTCUSDT", orderId=8_999_999_999)),
    (-2013, 400, _call("GET", ORDER, symbol="BTCUSDT", origClientOrderId="nobody")),
    (-2013, 400, _call("GET", "/fapi/v1/openOrder", symbol="BTCUSDT", orderId=1)),
    (-2014, 401, lambda b: b.raw("GET", f"http://{b.orders}/fapi/v3/balance?timestamp=1&signature=a")),
    (-2015, 401, lambda b: b.call("GET", "/fapi/v3/balance", key=Key("k" * 64, "s"))),
    (-1022, 400, lambda b: b.call("GET", "/fapi/v3/balance", key=Key(b.key.access, "wrong"))),
    (-2019, 400, lambda b: b.place(quantity="900.000")),
    (-1102, 400, _call("GET", "/fapi/v1/algoOrder")),
    (-1116, 400, _algo(triggerPrice="30000.0", type="TRAILING_STOP_MARKET")),
    (-2011, 400, _call("DELETE", "/fapi/v1/algoOrder", algoId=1)),
    (-2013, 400, _call("GET", "/fapi/v1/algoOrder", algoId=1)),
    (-2021, 400, _algo(triggerPrice="90000.0")),
    (-2022, 400, _place(reduceOnly="true")),
    (-2025, 400, _too_many),
    (-2028, 400, _underfunded),
    (-4001, 400, _place(price="0")),
    (-4002, 400, _place(side="SELL", price="9999999.0")),
    (-4003, 400, _place(quantity="0")),
    (-4005, 400, _place(quantity="1000.001")),
    (-4013, 400, _place(price="100.0")),
    (-4014, 400, _place(price="60000.05")),
    (-4015, 400, _place(newClientOrderId="x" * 37)),
    (-4016, 400, lambda b: b.place(price=b.price("1.2"))),
    (-4024, 400, lambda b: b.place(side="SELL", price=b.price("0.8"))),
    (-4028, 400, _call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=126)),
    (-4046, 400, _call("POST", "/fapi/v1/marginType", symbol="BTCUSDT", marginType="CROSSED")),
    (-4047, 400, _blocked),
    (-4048, 400, _held),
    (-4059, 400, _call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false")),
    (-4061, 400, _place(positionSide="LONG")),
    (-4082, 400, _call("POST", "/fapi/v1/batchOrders", batchOrders="[]")),
    (-4082, 400, _call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT", orderIdList=str(list(range(11))))),
    (-1102, 400, _call("DELETE", "/fapi/v1/batchOrders", symbol="BTCUSDT")),
    (-1130, 400, _call("POST", "/fapi/v1/batchOrders", batchOrders="{")),
    (-1130, 400, _call("GET", "/fapi/v1/allOrders", symbol="BTCUSDT", limit=1001)),
    (-1130, 400, _place(reduceOnly="perhaps")),
    (-1100, 400, _call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage="ten")),
    (-2013, 400, _modify(orderId=8_999_999_999)),
    (-1106, 400, _place(priceMatch="QUEUE", price="60000.0")),
    (-4116, 400, _twice),
    (-4116, 400, _algo_twice),
    (-4120, 400, _place(type="STOP_MARKET", timeInForce=None)),
    (-4140, 400, _halted),
    (-4164, 400, _place(quantity="0.001")),
    (-4171, 400, _call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="false")),
    (-1002, 401, _call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")),
    (-1002, 401, _call("POST", "/fapi/v1/feeBurn", feeBurn="true")),
    (-5000, 404, _call("GET", "/fapi/v1/nothing")),
    (-5021, 400, _place(timeInForce="FOK")),
    (-5022, 400, lambda b: b.place(timeInForce="GTX", price=b.price("1.01"))),
    (-5027, 400, _modify()),
    (-4016, 400, lambda b: _modify(price=b.price("1.2"))(b)),
    (-4164, 400, _modify(quantity="0.001")),
    (-1117, 400, _modify(side="SELL")),
    (-5037, 400, _place(priceMatch="BEST")),
    (-5038, 400, _place(type="MARKET", timeInForce=None, priceMatch="QUEUE")),
    (-5039, 400, _place(selfTradePreventionMode="EXPIRE_ALL")),
    (-5040, 400, _place(timeInForce="GTD", goodTillDate=1)),
]


@pytest.mark.parametrize(("code", "status", "provoke"), ROWS, ids=[f"{n}{row[0]}" for n, row in enumerate(ROWS)])
def test_a_refusal_has_the_venues_code_and_status_and_changes_nothing(bench: Bench, code: int, status: int, provoke: Provoke) -> None:
    found = provoke(bench)
    assert (found.code, found.status) == (code, status), found.body
    assert isinstance(found.body["msg"], str)


def test_the_order_that_the_refusals_begin_with_is_taken(bench: Bench) -> None:
    assert bench.place().body["status"] == "NEW"
