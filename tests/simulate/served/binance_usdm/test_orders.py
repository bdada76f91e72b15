"""The order verbs over REST and WebSocket, as the venue documents them."""

import json
from typing import Any

import pytest
from tests.simulate.served.binance_usdm.bench import Bench, eventually

from interlock.simulate.served.faults import Fault

ORDER, BATCH = "/fapi/v1/order", "/fapi/v1/batchOrders"
_NAMES = (
    "clientOrderId cumQty executedQty orderId origQty price reduceOnly side positionSide status stopPrice closePosition symbol timeInForce type "
    "origType updateTime workingType priceProtect priceMatch selfTradePreventionMode goodTillDate"
)
REPLY = set(_NAMES.split())


def test_a_reply_has_the_documented_fields_and_no_price_of_what_filled(bench: Bench) -> None:
    placed = bench.place(newClientOrderId="fields")
    assert set(placed.body) == REPLY
    assert set(bench.order("fields").body) == REPLY - {"cumQty"} | {"avgPrice", "cumQuote", "time"}
    assert set(bench.cancel("fields").body) == REPLY


def test_a_market_order_says_new_unless_the_result_is_asked_for(bench: Bench) -> None:
    assert bench.market("BUY").body["status"] == "FILLED"
    told = bench.place(side="SELL", type="MARKET", timeInForce=None, newClientOrderId="plain")
    assert (told.body["status"], told.body["executedQty"], told.body["price"]) == ("NEW", "0.000", "0.00")
    found = bench.order("plain").body
    assert (found["status"], found["executedQty"], found["type"]) == ("FILLED", "0.010", "MARKET")
    assert float(found["avgPrice"]) > 0


def test_an_ioc_order_that_cannot_take_expires_and_says_why(bench: Bench) -> None:
    with bench.user(events="ORDER_TRADE_UPDATE") as user:
        bench.place(timeInForce="IOC", newClientOrderId="ioc")
        new, over = user.until(lambda e: e["o"]["X"] == "EXPIRED")
    assert (new["o"]["x"], over["o"]["x"], over["o"]["er"]) == ("NEW", "EXPIRED", "2")
    assert bench.order("ioc").body["status"] == "EXPIRED"


def test_a_client_id_is_free_again_once_its_order_is_over(bench: Bench) -> None:
    first = bench.place(newClientOrderId="again").body["orderId"]
    bench.cancel("again")
    second = bench.place(newClientOrderId="again").body["orderId"]
    assert second > first
    assert bench.order("again").body["orderId"] == second


def test_a_modify_keeps_both_ids_and_its_history(bench: Bench) -> None:
    price = bench.price()
    placed = bench.place(newClientOrderId="mod", price=price).body
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.020", "price": price, "origClientOrderId": "mod"}
    with bench.user(events="ORDER_TRADE_UPDATE") as user:
        changed = bench.call("PUT", ORDER, **asked, modifyId=77).body
        told = user.hear()["o"]
    assert (changed["orderId"], changed["origQty"], changed["modifyId"]) == (placed["orderId"], "0.020", 77)
    assert changed["selfTradePreventionMode"] == "NONE"
    assert (told["x"], told["X"], told["q"], told["c"], told["M"]) == ("AMENDMENT", "NEW", "0.02", "mod", "77")
    row = bench.call("GET", "/fapi/v1/orderAmendment", symbol="BTCUSDT", origClientOrderId="mod").body[0]
    assert row["amendment"]["origQty"] == {"before": "0.010", "after": "0.020"}


def test_a_modify_that_cannot_be_cancels_the_order(bench: Bench) -> None:
    bench.place(newClientOrderId="gtx", timeInForce="GTX")
    asked: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "quantity": "0.010", "origClientOrderId": "gtx"}
    assert bench.call("PUT", ORDER, **asked, price=bench.price("1.01")).body["status"] == "CANCELED"
    bench.place(newClientOrderId="done", quantity="0.020")
    bench.strike(Fault.FILL, client_id="done", amount="0.012")
    asked |= {"origClientOrderId": "done", "price": bench.price("0.96")}
    assert bench.call("PUT", ORDER, **asked).body["status"] == "CANCELED"
    assert bench.order("done").body["executedQty"] == "0.012"


@pytest.mark.parametrize(
    ("mode", "maker", "taker"),
    [
        ("EXPIRE_MAKER", "EXPIRED_IN_MATCH", "FILLED"),
        ("EXPIRE_TAKER", "NEW", "EXPIRED_IN_MATCH"),
        ("EXPIRE_BOTH", "EXPIRED_IN_MATCH", "EXPIRED_IN_MATCH"),
    ],
)
def test_the_takers_mode_decides_a_self_match(bench: Bench, mode: str, maker: str, taker: str) -> None:
    # A bid at the best ask's neighbour rests only while the market stands still: both happen in one go inside.
    bid = bench.price("1")
    bench.place(newClientOrderId="maker", price=bid, quantity="0.010")
    bench.place(newClientOrderId="taker", side="SELL", price=bench.price("0.96"), selfTradePreventionMode=mode, quantity="0.010")
    found = [bench.order("maker").body["status"], bench.order("taker").body["status"]]
    assert found in ([maker, taker], ["FILLED", "FILLED"])


def test_a_batch_answers_each_order_on_its_own(bench: Bench) -> None:
    good = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": bench.price()}
    orders = [good | {"newClientOrderId": "b0"}, good | {"quantity": "0.001"}, good | {"newClientOrderId": "b2"}]
    found = bench.call("POST", BATCH, batchOrders=json.dumps(orders)).body
    assert [row.get("status", row.get("code")) for row in found] == ["NEW", -4164, "NEW"]
    gone = bench.call("DELETE", BATCH, symbol="BTCUSDT", origClientOrderIdList='["b0","nobody","b2"]').body
    assert [row.get("status", row.get("code")) for row in gone] == ["CANCELED", -2011, "CANCELED"]
    assert bench.call("POST", BATCH, batchOrders=json.dumps([good] * 6)).code == -4082


def test_cancel_all_is_bounded_to_its_symbol(bench: Bench) -> None:
    bench.place(newClientOrderId="here")
    bench.place(newClientOrderId="there", symbol="ETHUSDT", price="2900.00", quantity="0.100")
    assert bench.call("DELETE", "/fapi/v1/allOpenOrders", symbol="BTCUSDT").body["code"] == 200
    assert [row["clientOrderId"] for row in bench.call("GET", "/fapi/v1/openOrders").body] == ["there"]


def test_the_dead_mans_switch_cancels_only_where_it_is_not_renewed(bench: Bench) -> None:
    bench.place(newClientOrderId="kept", symbol="ETHUSDT", price="2900.00", quantity="0.100")
    bench.place(newClientOrderId="dead")
    path = "/fapi/v1/countdownCancelAll"
    assert bench.call("POST", path, symbol="BTCUSDT", countdownTime=50).body == {"symbol": "BTCUSDT", "countdownTime": "50"}
    bench.call("POST", path, symbol="ETHUSDT", countdownTime=50)
    bench.call("POST", path, symbol="ETHUSDT", countdownTime=0)
    assert eventually(lambda: bench.order("dead").body["status"] == "CANCELED")
    assert bench.call("GET", ORDER, symbol="ETHUSDT", origClientOrderId="kept").body["status"] == "NEW"


def test_good_till_date_expires(bench: Bench) -> None:
    until = bench.now_ms() + 700_000
    assert bench.place(newClientOrderId="gtd", timeInForce="GTD", goodTillDate=until).body["goodTillDate"] == until // 1000 * 1000
    assert bench.order("gtd").body["status"] == "NEW"
    bench.clock.ahead_ns += 700_000_000_000
    assert eventually(lambda: bench.order("gtd").body["status"] == "EXPIRED")


def test_a_price_match_takes_its_price_from_the_book(bench: Bench) -> None:
    found = bench.place(priceMatch="QUEUE_5", newClientOrderId="match").body
    assert found["priceMatch"] == "QUEUE_5"
    assert float(found["price"]) > 0


def test_a_test_order_is_checked_and_not_placed(bench: Bench) -> None:
    asked: dict[str, Any] = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.010",
        "newClientOrderId": "tested",
    }
    assert bench.call("POST", "/fapi/v1/order/test", **asked, price=bench.price()).body == {}
    assert bench.order("tested").code == -2013
    assert bench.call("POST", "/fapi/v1/order/test", **asked, price=bench.price("1.2")).code == -4016


def test_order_entry_over_the_socket(bench: Bench) -> None:
    with bench.socket("/ws-fapi/v1?returnRateLimits=false") as socket:
        price = bench.price()
        asked: dict[str, Any] = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTX",
            "quantity": "0.010",
            "price": price,
        }
        placed = bench.ask(socket, "order.place", **asked, newClientOrderId="ws")
        assert (placed["status"], placed["result"]["status"], "rateLimits" in placed) == (200, "NEW", False)
        named: dict[str, Any] = {"symbol": "BTCUSDT", "origClientOrderId": "ws"}
        assert bench.ask(socket, "order.modify", **named, side="BUY", quantity="0.020", price=price)["result"]["origQty"] == "0.020"
        assert bench.ask(socket, "order.status", **named)["result"]["avgPrice"] == "0.00"
        assert bench.ask(socket, "order.cancel", **named)["result"]["status"] == "CANCELED"
        assert bench.ask(socket, "order.cancel", **named) == {
            "id": "q",
            "status": 400,
            "error": {"code": -2011, "msg": "Unknown order sent."},
        }
        assert bench.ask(socket, "v2/account.balance", returnRateLimits=True)["rateLimits"][0]["rateLimitType"] == "REQUEST_WEIGHT"
        assert bench.ask(socket, "ticker.book", signed=False, symbol="BTCUSDT")["result"]["symbol"] == "BTCUSDT"
        assert bench.ask(socket, "no.such")["error"]["code"] == -5000
        for broken in ("{", "[]", '{"id": [1]}', '{"id": 1}', '{"id": 1, "method": "order.place", "params": []}'):
            socket.say(broken)
            assert socket.hear()["error"]["code"] == -1130


def test_a_conditional_order_waits_and_then_places_one(bench: Bench) -> None:
    bench.market("BUY")
    asked: dict[str, Any] = {
        "algoType": "CONDITIONAL",
        "symbol": "BTCUSDT",
        "side": "SELL",
        "type": "STOP_MARKET",
        "workingType": "MARK_PRICE",
    }
    placed = bench.call(
        "POST", "/fapi/v1/algoOrder", **asked, closePosition="true", triggerPrice=bench.price("0.9"), clientAlgoId="stop"
    ).body
    assert (placed["algoStatus"], placed["closePosition"]) == ("NEW", True)
    assert [row["clientAlgoId"] for row in bench.call("GET", "/fapi/v1/openAlgoOrders", symbol="BTCUSDT").body] == ["stop"]
    gone = bench.call("POST", "/fapi/v1/algoOrder", **asked, quantity="0.010", triggerPrice=bench.price("0.9"), clientAlgoId="gone").body
    assert bench.call("DELETE", "/fapi/v1/algoOrder", algoId=gone["algoId"]).body["code"] == "200"
    with bench.user(events="ALGO_UPDATE") as user:
        market = bench.face.venue.markets["BTCUSDT"]
        before = market.mark

        def fall() -> None:
            market.mark = before * 8 / 10
            bench.face.on_market([])
            market.mark = before

        bench.inside(fall)
        told = user.until(lambda e: e["o"]["X"] == "FINISHED")
    assert [event["o"]["X"] for event in told] == ["TRIGGERING", "TRIGGERED", "FINISHED"]
    found = bench.call("GET", "/fapi/v1/algoOrder", clientAlgoId="stop").body
    order = bench.call("GET", ORDER, symbol="BTCUSDT", orderId=found["actualOrderId"]).body
    assert (order["origType"], order["reduceOnly"]) == ("STOP_MARKET", True)
    assert bench.call("DELETE", "/fapi/v1/algoOpenOrders", symbol="BTCUSDT").body["code"] == 200


def test_a_conditional_order_that_the_venue_refuses_when_it_triggers_says_why(bench: Bench) -> None:
    asked: dict[str, Any] = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "TAKE_PROFIT", "reduceOnly": "true"}
    asked |= {"quantity": "0.010", "triggerPrice": bench.price("1.01"), "price": bench.price("1.01"), "workingType": "MARK_PRICE"}
    number = bench.call("POST", "/fapi/v1/algoOrder", **asked).body["algoId"]

    def rise() -> None:
        market = bench.face.venue.markets["BTCUSDT"]
        before, market.mark = market.mark, market.mark * 102 / 100
        bench.face.on_market([])
        market.mark = before

    with bench.user(events="ALGO_UPDATE") as user:
        bench.inside(rise)
        told = user.until(lambda e: e["o"]["X"] == "REJECTED")[-1]["o"]
    assert (told["aid"], told["rm"]) == (number, "ReduceOnly Order is rejected.")
    row = bench.call("GET", "/fapi/v1/allAlgoOrders", symbol="BTCUSDT").body[-1]
    assert (row["algoStatus"], row["actualOrderId"]) == ("REJECTED", "")


def test_leverage_and_margin_type_are_set_and_told(bench: Bench) -> None:
    with bench.user(events="ACCOUNT_CONFIG_UPDATE") as user:
        assert bench.call("POST", "/fapi/v1/leverage", symbol="ADAUSDT", leverage=7).body["leverage"] == 7
        assert user.hear()["ac"] == {"s": "ADAUSDT", "l": 7}
    assert bench.call("POST", "/fapi/v1/marginType", symbol="ADAUSDT", marginType="ISOLATED").body["code"] == 200
    assert bench.call("GET", "/fapi/v1/symbolConfig", symbol="ADAUSDT").body[0] == {
        "symbol": "ADAUSDT",
        "marginType": "ISOLATED",
        "isAutoAddMargin": False,
        "leverage": 7,
        "maxNotionalValue": "5000000",
    }
    assert bench.call("POST", "/fapi/v1/marginType", symbol="ADAUSDT", marginType="CROSSED").body["code"] == 200


def test_the_witness_knows_what_every_verb_names(bench: Bench) -> None:
    bench.witnessed.clear()
    price = bench.price()
    bench.place(newClientOrderId="seen", price=price)
    bench.call("PUT", ORDER, symbol="BTCUSDT", side="BUY", quantity="0.020", price=price, origClientOrderId="seen")
    bench.cancel("seen")
    bench.read("/fapi/v1/time")
    found = [(row["verb"], row["class"], row["client_id"], row["revision"]) for row in bench.witnessed]
    assert found == [("place", "RISK+", "seen", 0), ("amend", "RISK+", "seen", 1), ("cancel", "RISK-", "seen", 0)]
    ticks = round(float(price) * 10)
    assert bench.witnessed[0]["orders"] == [{"ticks": ticks, "tick": "0.1", "lots": 10, "symbol": "BTCUSDT", "side": 1}]
