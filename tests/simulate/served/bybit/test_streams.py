"""The private stream and order entry over WebSocket."""

from decimal import Decimal
from typing import Any

import pytest
from tests.simulate.served.bybit.wire import Bench, Socket

from interlock.simulate.served.bybit import limits
from interlock.simulate.served.rates import Verdict

TOPICS = ("order", "execution", "position", "wallet")


def told(stream: Socket) -> dict[str, list[dict[str, Any]]]:
    """What was told, by topic."""
    found: dict[str, list[dict[str, Any]]] = {topic: [] for topic in TOPICS}
    for message in stream.waiting():
        found.setdefault(message["topic"], []).extend(message["data"])
    return found


def states(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["orderStatus"], row["cumExecQty"]) for row in rows]


def test_nothing_of_the_past_is_told(bench: Bench) -> None:
    order = bench.placed()
    bench.strike(fault="fill", client_id=order.client_id, amount="0.001")
    stream = bench.stream(*TOPICS)
    assert stream.waiting() == []
    bench.strike(fault="fill", client_id=order.client_id, amount="0.001")
    assert len(stream.waiting()) == 4


def test_an_orders_life_is_told(bench: Bench) -> None:
    stream = bench.stream(*TOPICS)
    order = bench.placed()
    found = told(stream)
    assert states(found["order"]) == [("New", "0.000")]
    assert (found["order"][0]["orderLinkId"], found["order"][0]["category"]) == (order.client_id, "linear")
    assert [row["size"] for row in found["position"]] == ["0.000"]
    bench.strike(fault="fill", client_id=order.client_id, amount="0.004")
    found = told(stream)
    assert states(found["order"]) == [("PartiallyFilled", "0.004")]
    (execution,) = found["execution"]
    assert (execution["execType"], execution["execQty"], execution["leavesQty"]) == ("Trade", "0.004", "0.006")
    assert (execution["isMaker"], execution["feeCurrency"], execution["closedSize"]) == (True, "USDT", "0.000")
    assert Decimal(execution["execFee"]) == Decimal(execution["execValue"]) * Decimal("0.0002")
    assert (found["position"][0]["side"], Decimal(found["position"][0]["entryPrice"])) == ("Buy", order.price)
    assert len(found["wallet"]) == 1
    bench.face.venue.amend(order, price=None, quantity=Decimal("0.012"))
    assert [row["qty"] for row in told(stream)["order"]] == ["0.012"]
    bench.face.venue.cancel(order)
    assert states(told(stream)["order"]) == [("Cancelled", "0.004")]
    bench.placed(side="Sell", orderType="Market", price=None, qty="0.004")
    found = told(stream)
    assert found["execution"][0]["closedSize"] == "0.004"
    assert Decimal(found["execution"][0]["execPnl"]) == Decimal(found["execution"][0]["execPrice"]) * Decimal("0.004") - order.filled_value
    assert states(found["order"])[-1] == ("Filled", "0.004")


def test_messages_have_ids_of_their_own(bench: Bench) -> None:
    stream = bench.stream(*TOPICS)
    bench.placed()
    bench.placed()
    ids = [message["id"] for message in stream.waiting()]
    assert len(set(ids)) == len(ids) == 6


def test_funding_and_deposits_are_told(bench: Bench) -> None:
    stream = bench.stream(*TOPICS)
    bench.placed(orderType="Market", price=None)
    stream.waiting()
    bench.strike(fault="funding", symbol="BTCUSDT", rate="0.0001")
    found = told(stream)
    assert [(row["execType"], row["execQty"]) for row in found["execution"]] == [("Funding", "0.010")]
    assert Decimal(found["execution"][0]["execFee"]) > 0
    assert (len(found["wallet"]), len(found["position"]), found["order"]) == (1, 1, [])
    before = Decimal(found["wallet"][0]["coin"][0]["walletBalance"])
    bench.strike(fault="deposit", currency="USDT", amount="7")
    found = told(stream)
    assert Decimal(found["wallet"][0]["coin"][0]["walletBalance"]) == before + 7
    assert found["execution"] == found["order"] == found["position"] == []


def test_a_liquidation_has_its_names(bench: Bench) -> None:
    bench.placed(orderType="Market", price=None)
    resting = bench.placed()
    stream = bench.stream(*TOPICS)
    bench.strike(fault="liquidation", symbol="BTCUSDT")
    found = told(stream)
    ended = {row["orderLinkId"]: row["cancelType"] for row in found["order"] if row["orderStatus"] == "Cancelled"}
    assert ended == {resting.client_id: "CancelAllBeforeLiq"}
    assert {row["execType"] for row in found["execution"]} == {"BustTrade"}
    assert found["order"][-1]["createType"] == "CreateByLiq"
    assert found["position"][-1]["size"] == "0.000"


def test_what_the_venue_takes_to_cover_others_has_its_names(bench: Bench) -> None:
    assert not bench.strike(fault="adl", symbol="BTCUSDT")
    bench.placed(orderType="Market", price=None)
    resting = bench.placed()
    stream = bench.stream(*TOPICS)
    assert bench.strike(fault="adl", symbol="BTCUSDT", amount="0.004")
    found = told(stream)
    assert {row["orderLinkId"]: row["cancelType"] for row in found["order"] if row["orderStatus"] == "Cancelled"} == {
        resting.client_id: "CancelAllBeforeAdl"
    }
    (execution,) = found["execution"]
    assert (execution["execType"], execution["execQty"], execution["side"]) == ("AdlTrade", "0.004", "Sell")
    assert found["order"][-1]["createType"] == "CreateByAdl_PassThrough"
    assert found["position"][-1]["size"] == "0.006"
    (row,) = bench.get("/v5/account/transaction-log", "accountType=UNIFIED&type=ADL").rows
    assert (row["tradeId"], row["qty"]) == (execution["execId"], "0.004")
    bench.strike(fault="adl", symbol="BTCUSDT")
    assert told(stream)["position"][-1]["size"] == "0.000"


def test_a_late_fill_comes_after_the_end(bench: Bench) -> None:
    order = bench.placed()
    stream = bench.stream("order", "execution")
    bench.strike(fault="late_fill", verb="cancel", ms=0)
    body = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": order.client_id}
    assert bench.post("/v5/order/cancel", body).code == 0
    assert states([stream.upto("order")["data"][0] for _ in range(2)]) == [("Cancelled", "0.000"), ("Cancelled", "0.010")]
    assert bench.get("/v5/execution/list", f"category=linear&orderLinkId={order.client_id}").rows[0]["execQty"] == "0.010"


def test_a_reversal_moves_position_and_wallet_only(bench: Bench) -> None:
    bench.placed(orderType="Market", price=None)
    stream = bench.stream(*TOPICS)
    bench.strike(fault="reverse_fill")
    assert [len(rows) for rows in told(stream).values()] == [0, 0, 1, 1]


def test_categorised_topics_say_what_the_plain_ones_do(bench: Bench) -> None:
    plain, by_category = (
        bench.stream("order", "execution"),
        bench.stream("order.linear", "execution.linear", "execution.fast", "order.spot"),
    )
    taker = bench.placed(orderType="Market", price=None)
    maker = bench.placed()
    bench.strike(fault="fill", client_id=maker.client_id)
    one, two = told(plain), told(by_category)
    assert one["order"] == two["order.linear"]
    assert one["execution"] == two["execution.linear"]
    assert "order.spot" not in two
    assert {row["orderLinkId"] for row in two["execution.fast"] if not row["isMaker"]} == {taker.client_id}
    assert {row["orderLinkId"] for row in two["execution.fast"] if row["isMaker"]} == {""}
    assert [row["execId"] for row in two["execution.fast"]] == [row["execId"] for row in one["execution"]]


@pytest.mark.parametrize(
    ("args", "words"),
    [([], "args is required"), (["orders"], "handler not found,topic:orders"), (["order", "order.linear"], "together")],
)
def test_what_cannot_be_listened_to_is_refused(bench: Bench, args: list[str], words: str) -> None:
    stream = bench.authed("/v5/private")
    reply = stream.ask({"op": "subscribe", "args": args})
    assert not reply["success"]
    assert words in reply["ret_msg"]
    bench.placed()
    assert stream.waiting() == []


def test_only_who_proved_the_key_may_listen(bench: Bench) -> None:
    stream = bench.socket("/v5/private")
    assert stream.ask({"op": "subscribe", "args": ["order"]}) | {"conn_id": ""} == {
        "success": False,
        "ret_msg": "Request not authorized",
        "conn_id": "",
        "req_id": "",
        "op": "subscribe",
    }
    assert stream.ask({"op": "dance"})["success"] is False
    pong = stream.ask({"op": "ping", "req_id": "p"})
    assert (pong["op"], pong["req_id"], pong["args"]) == ("pong", "p", [str(bench.now_ms())])


def test_who_unsubscribes_is_told_no_more(bench: Bench) -> None:
    stream = bench.stream("order")
    assert stream.ask({"op": "unsubscribe", "args": ["order"]})["success"]
    bench.placed()
    assert stream.waiting() == []


def test_silence_is_never_made_up_for(bench: Bench) -> None:
    stream = bench.stream("order")
    bench.strike(fault="silence", ms=1_000)
    bench.placed()
    bench.advance(2)
    later = bench.placed()
    assert [row["orderLinkId"] for row in told(stream)["order"]] == [later.client_id]


def test_a_private_message_can_be_left_out(bench: Bench) -> None:
    stream = bench.stream("order")
    bench.strike(fault="gap", private=True)
    bench.placed()
    later = bench.placed()
    assert [row["orderLinkId"] for row in told(stream)["order"]] == [later.client_id]


def test_a_private_message_can_come_twice_and_out_of_turn(bench: Bench) -> None:
    stream = bench.stream("order")
    bench.strike(fault="duplicate", private=True, count=1)
    order = bench.placed()
    first, again = stream.waiting()
    assert first == again
    bench.strike(fault="reorder", private=True, count=1)
    other = bench.placed()
    bench.face.venue.cancel(order)
    assert [row["orderLinkId"] for row in told(stream)["order"]] == [order.client_id, other.client_id]


def test_a_connection_that_says_nothing_is_cut(bench: Bench) -> None:
    short, long = bench.socket("/v5/private?max_active_time=30s"), bench.socket("/v5/private?max_active_time=1m")
    for stream in (short, long):
        stream.ask({"op": "ping"})
    bench.advance(45)
    bench.step()
    with pytest.raises(ConnectionError):
        short.next()
    assert long.ask({"op": "ping"})["op"] == "pong"


def test_sockets_can_be_dropped(bench: Bench) -> None:
    streams = [bench.stream("order"), bench.market("tickers.BTCUSDT")]
    streams[1].next()
    bench.strike(fault="drop_sockets")
    for stream in streams:
        with pytest.raises(ConnectionError):
            stream.next()


# order entry


class Desk:
    """A trade socket that counts its requests."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.socket, self.count = bench, bench.authed("/v5/trade"), 0

    def message(self, op: str, body: dict[str, Any], **instead: Any) -> dict[str, Any]:
        self.count += 1
        header = {"X-BAPI-TIMESTAMP": str(self.bench.now_ms()), "X-BAPI-RECV-WINDOW": "8000"}
        return {"reqId": f"r{self.count}", "header": header, "op": op, "args": [body], **instead}

    def ask(self, op: str, body: dict[str, Any], **instead: Any) -> dict[str, Any]:
        return self.socket.ask(self.message(op, body, **instead))


def test_an_orders_life_over_the_trade_socket(bench: Bench) -> None:
    desk, link = Desk(bench), bench.link()
    reply = desk.ask("order.create", bench.order(orderLinkId=link))
    assert (reply["reqId"], reply["retCode"], reply["op"], reply["data"]["orderLinkId"]) == ("r1", 0, "order.create", link)
    assert (reply["header"]["X-Bapi-Limit"], reply["header"]["X-Bapi-Limit-Status"]) == ("10", "9")
    ids = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": link}
    assert desk.ask("order.amend", {**ids, "qty": "0.011"})["data"] == reply["data"]
    assert desk.ask("order.cancel", ids)["retCode"] == 0
    assert desk.ask("order.cancel", ids)["retCode"] == 110001
    items = [bench.order(category=None), bench.order(category=None, qty="0.0001")]
    batch = desk.ask("order.create-batch", {"category": "linear", "request": items})
    assert [item["code"] for item in batch["retExtInfo"]["list"]] == [0, 10001]
    pong = desk.socket.ask({"op": "ping"})
    assert (pong["op"], pong["data"]) == ("pong", [str(bench.now_ms())])


def test_both_ways_of_entry_share_their_buckets(bench: Bench) -> None:
    desk = Desk(bench)
    assert desk.ask("order.create", bench.order())["header"]["X-Bapi-Limit-Status"] == "9"
    assert bench.post("/v5/order/create", bench.order()).headers["x-bapi-limit-status"] == "8"


def test_what_the_trade_socket_refuses(bench: Bench) -> None:
    desk, before = Desk(bench), bench.face.venue.history.taken
    order = bench.order()
    old = {"X-BAPI-TIMESTAMP": str(bench.now_ms() - 5_001)}
    for code, op, instead in (
        (10404, "order.dance", {}),
        (10001, "order.create", {"args": []}),
        (10001, "order.create", {"args": [order, order]}),
        (10001, "order.create", {"reqId": "x" * 37}),
        (10001, "order.create", {"reqId": 7}),
        (10001, "order.create", {"header": {}}),
        (10001, "order.create", {"header": None}),
        (-1, "order.create", {"header": old}),
    ):
        reply = desk.ask(op, order, **instead)
        assert reply["retCode"] == code, reply
    assert desk.ask("order.create", {**order, "qty": "1000"})["retCode"] == 110007
    message = desk.message("order.create", order)
    assert bench.face.venue.history.taken == before
    assert desk.socket.ask(message)["retCode"] == 0
    assert desk.socket.ask(message)["retCode"] == 20006
    assert desk.socket.ask({"op": "auth", "args": []})["retCode"] == 20001
    stranger = bench.socket("/v5/trade")
    assert stranger.ask(desk.message("order.create", order))["retCode"] == 10003
    assert bench.face.venue.history.taken == before + 1


def test_a_key_that_was_locked_trades_no_more_on_a_connection_that_is_open(bench: Bench) -> None:
    desk, key = Desk(bench), bench.face.parts.keys.all()[0]
    assert desk.ask("order.create", bench.order())["retCode"] == 0
    key.locked = True
    assert desk.ask("order.create", bench.order())["retCode"] == 10003
    key.locked, key.trade = False, False
    assert desk.ask("order.create", bench.order())["retCode"] == 10005
    key.trade = True


def test_faults_strike_the_trade_socket(bench: Bench) -> None:
    desk = Desk(bench)

    def struck(**fault: Any) -> tuple[int, bool]:
        bench.strike(verb="place", **fault)
        before = bench.face.venue.history.taken
        return int(desk.ask("order.create", bench.order())["retCode"]), bench.face.venue.history.taken > before

    assert struck(fault="late_ack", ms=1) == (0, True)
    assert struck(fault="accept_then_error") == (10000, True)
    assert struck(fault="error_without_accepting") == (10016, False)
    assert struck(fault="rate_limited") == (10006, False)
    assert struck(fault="maintenance", ms=0) == (10019, False)
    bench.strike(fault="lose_ack", verb="place")
    order = bench.order(orderLinkId=bench.link())
    desk.socket.send(desk.message("order.create", order))
    assert desk.socket.waiting() == []
    assert bench.face.venue.find(client_id=order["orderLinkId"]) is not None
    bench.strike(fault="garbage", verb="place")
    desk.socket.send(desk.message("order.create", bench.order()))
    assert bench.run(desk.socket.socket.receive()).data == '{"trunc'
    assert struck(fault="ban", ms=1_000) == (10403, False)


@pytest.mark.parametrize(
    ("fault", "effect"),
    [({"fault": "reset_before"}, False), ({"fault": "reset_at_byte", "count": 5}, True), ({"fault": "reset_at_byte", "count": 0}, True)],
)
def test_the_trade_socket_can_be_reset(bench: Bench, fault: dict[str, Any], effect: bool) -> None:
    desk, order = Desk(bench), bench.order(orderLinkId=bench.link())
    bench.strike(verb="place", **fault)
    with pytest.raises(ConnectionError):
        desk.ask("order.create", order)
    assert (bench.face.venue.find(client_id=order["orderLinkId"]) is not None) is effect


def test_a_stalled_trade_socket_says_nothing_more(bench: Bench) -> None:
    desk = Desk(bench)
    bench.strike(fault="stall", verb="place")
    desk.socket.send(desk.message("order.create", bench.order()))
    desk.socket.send({"op": "ping"})
    bench.until(lambda: len(bench.face.venue.open_orders()) == 1)
    with pytest.raises(TimeoutError):
        bench.run(desk.socket.socket.receive(timeout=0.05))


def test_the_trade_socket_has_a_limit_of_its_own(bench: Bench) -> None:
    desk = Desk(bench)
    while bench.face.address_verdict(limits.TRADE_IP) is Verdict.TAKEN:
        pass
    assert desk.ask("order.create", bench.order())["retCode"] == 10403
    bench.advance(1)
    assert desk.ask("order.create", bench.order())["retCode"] == 0
