"""Faults as a client sees them on the wire, each beside the same thing without it; and the venue's limits."""

import json
from typing import Any

import aiohttp
import pytest
from tests.simulate.served.binance_usdm.bench import Bench, eventually

from interlock.simulate.served.binance_usdm.limits import ORDERS_10S, WEIGHT
from interlock.simulate.served.faults import Fault
from interlock.venues.binance_usdm.sign import sign_socket


def test_accept_then_504_leaves_the_order_open(bench: Bench) -> None:
    bench.strike(Fault.ACCEPT_THEN_ERROR, verb="place")
    lost = bench.place(newClientOrderId="f504")
    assert (lost.status, lost.code) == (504, -1007)
    assert bench.order("f504").body["status"] == "NEW"


def test_an_error_without_accepting_leaves_nothing(bench: Bench) -> None:
    bench.strike(Fault.ERROR_WITHOUT_ACCEPTING, verb="place")
    lost = bench.place(newClientOrderId="f503")
    assert (lost.status, lost.code) == (503, -1001)
    assert bench.order("f503").code == -2013
    assert bench.place(newClientOrderId="f503").status == 200


@pytest.mark.parametrize(
    ("fault", "more", "placed"),
    [(Fault.RESET_BEFORE, {}, False), (Fault.RESET_AT_BYTE, {"count": 0}, True), (Fault.RESET_AT_BYTE, {"count": 40}, True)],
)
def test_a_reset_says_nothing_of_what_became_of_the_order(bench: Bench, fault: Fault, more: dict[str, int], placed: bool) -> None:
    bench.strike(fault, verb="place", **more)
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        bench.place(newClientOrderId=f"{fault.value}-{len(more)}{more.get('count')}")
    found = bench.order(f"{fault.value}-{len(more)}{more.get('count')}")
    assert (found.status == 200) is placed


def test_a_lost_answer_leaves_the_order_open(bench: Bench) -> None:
    bench.strike(Fault.LOSE_ACK, verb="place")
    price = bench.price()
    with bench.socket("/ws-fapi/v1") as socket:
        asked: dict[str, Any] = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.010",
            "price": price,
        }
        socket.say({"id": 1, "method": "order.place", "params": _signed(bench, asked | {"newClientOrderId": "lost"})})
        assert socket.quiet(0.5)
    assert bench.order("lost").body["status"] == "NEW"


def _signed(bench: Bench, params: dict[str, str]) -> dict[str, object]:
    return dict(sign_socket(bench.key, params, timestamp_ms=bench.now_ms(), receive_window_ms=5000))


@pytest.mark.parametrize(
    ("fault", "status", "code"), [(Fault.ACCEPT_THEN_ERROR, 504, -1007), (Fault.RATE_LIMITED, 429, -1003), (Fault.MAINTENANCE, 503, 1)]
)
def test_faults_reach_order_entry_too(bench: Bench, fault: Fault, status: int, code: int) -> None:
    price = bench.price()
    with bench.socket("/ws-fapi/v1") as socket:
        asked: dict[str, Any] = {
            "symbol": "BTCUSDT",
            "side": "BUY",
            "type": "LIMIT",
            "timeInForce": "GTC",
            "quantity": "0.010",
            "price": price,
        }
        bench.strike(fault, verb="place")
        found = bench.ask(socket, "order.place", **asked)
        assert (found["status"], found["error"]["code"]) == (status, code)
        assert bench.ask(socket, "order.place", **asked)["status"] == 200
        bench.strike(Fault.RESET_BEFORE, verb="cancel")
        with pytest.raises(AssertionError, match="ended"):
            bench.ask(socket, "order.cancel", symbol="BTCUSDT", orderId=1)


def test_garbage_is_no_json(bench: Bench) -> None:
    bench.strike(Fault.GARBAGE, verb="place")
    assert isinstance(bench.place(newClientOrderId="garbage").body, str)
    assert bench.order("garbage").status == 200


def test_of_a_cut_batch_the_rest_is_refused_one_by_one(bench: Bench) -> None:
    good = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010", "price": bench.price()}
    bench.strike(Fault.PARTIAL_BATCH, count=1)
    for expected in (["NEW", -1008], ["NEW", "NEW"]):
        found = bench.call("POST", "/fapi/v1/batchOrders", batchOrders=json.dumps([good, good]))
        assert (found.status, [row.get("status", row.get("code")) for row in found.body]) == (200, expected)


def test_a_late_fill_comes_after_the_cancel(bench: Bench) -> None:
    bench.place(newClientOrderId="late")
    bench.strike(Fault.LATE_FILL, verb="cancel", client_id="late", ms=50)
    assert bench.cancel("late").body["status"] == "CANCELED"
    assert eventually(lambda: bench.order("late").body["executedQty"] == "0.010")


def test_maintenance_refuses_what_is_no_read(bench: Bench) -> None:
    bench.strike(Fault.MAINTENANCE, verb="place", ms=60_000)
    assert [bench.place().code, bench.place().code] == [1, 1]
    assert bench.call("GET", "/fapi/v3/balance").status == 200
    bench.calm()
    assert bench.place().status == 200


def test_a_ban_says_how_long(bench: Bench) -> None:
    bench.strike(Fault.BAN, verb="place", ms=60_000)
    found = bench.place()
    assert (found.status, found.code) == (418, -1003)
    assert 50 <= int(found.headers["Retry-After"]) <= 61
    assert bench.read("/fapi/v1/time").status == 418
    bench.calm()
    assert bench.read("/fapi/v1/time").status == 200


def test_lagging_reads_show_what_was(bench: Bench) -> None:
    bench.place(newClientOrderId="old")
    bench.clock.ahead_ns += 10_000_000_000
    bench.place(newClientOrderId="new")
    bench.strike(Fault.FILL, client_id="old", amount="0.004")
    bench.cancel("old")
    bench.strike(Fault.HISTORY_LAG, verb="read", ms=5_000, times=4)
    assert bench.order("new").code == -2013
    assert [row["clientOrderId"] for row in bench.call("GET", "/fapi/v1/openOrders").body] == ["old"]
    assert bench.order("old").body["status"] == "NEW"
    number = bench.face.venue.history.executed
    assert number not in [row["id"] - 700_000_000 for row in bench.call("GET", "/fapi/v1/userTrades", symbol="BTCUSDT").body]
    assert [row["clientOrderId"] for row in bench.call("GET", "/fapi/v1/openOrders").body] == ["new"]
    assert bench.order("old").body["status"] == "CANCELED"


def test_a_skewed_venue_refuses_a_right_clock(bench: Bench) -> None:
    assert bench.call("GET", "/fapi/v3/balance").status == 200
    bench.strike(Fault.CLOCK_SKEW, ms=60_000)
    assert bench.call("GET", "/fapi/v3/balance").code == -1021


# limits


def test_weights_are_counted_and_told(fresh: Bench) -> None:
    first = int(fresh.read("/fapi/v1/time").headers["X-MBX-USED-WEIGHT-1M"])
    then = fresh.read("/fapi/v1/depth", symbol="BTCUSDT", limit=1000)
    assert int(then.headers["X-MBX-USED-WEIGHT-1M"]) in (first + 20, 20)
    assert "X-MBX-USED-WEIGHT-1M" not in fresh.read("/fapi/v1/fundingRate").headers
    placed, refused = fresh.place(), fresh.place(quantity="0.001")
    assert int(placed.headers["X-MBX-ORDER-COUNT-10S"]) >= 1
    assert "X-MBX-ORDER-COUNT-10S" not in refused.headers


def test_too_much_weight_is_refused_and_then_banned(fresh: Bench) -> None:
    def use(name: str, whose: str, weight: int) -> None:
        fresh.inside(lambda: fresh.face.parts.rates.take(name, whose, fresh.now_ms(), weight))

    # Right after a minute began, so that it does not end meanwhile.
    fresh.clock.ahead_ns += 60_000_000_000 - fresh.clock.now_ns() % 60_000_000_000
    use(ORDERS_10S.name, "account", ORDERS_10S.most)
    full = fresh.place(price="60000.0")
    assert (full.status, full.code) == (429, -1015)
    use(WEIGHT.name, "127.0.0.1", WEIGHT.most)
    limited = fresh.read("/fapi/v1/time")
    assert (limited.status, limited.code) == (429, -1003)
    assert 1 <= int(limited.headers["Retry-After"]) <= 60
    for _ in range(20):
        banned = fresh.read("/fapi/v1/time")
    assert (banned.status, banned.code) == (418, -1003)
