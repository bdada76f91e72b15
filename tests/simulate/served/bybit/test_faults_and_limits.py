"""What a client meets when things go wrong over REST, and the venue's rate limits."""

from typing import Any

import aiohttp
import pytest
from tests.simulate.served.bybit.wire import Bench

from interlock.simulate.served.bybit import limits
from interlock.simulate.served.rates import Verdict

CREATE = "/v5/order/create"


def placed(bench: Bench) -> tuple[str, dict[str, Any]]:
    link = bench.link()
    return link, bench.order(orderLinkId=link)


def exists(bench: Bench, link: str) -> bool:
    return bench.face.venue.find(client_id=link) is not None


@pytest.mark.parametrize(
    ("fault", "status", "code", "effect"),
    [
        ({"fault": "accept_then_error"}, 504, 10000, True),
        ({"fault": "error_without_accepting"}, 503, 10016, False),
        ({"fault": "rate_limited"}, 200, 10006, False),
        ({"fault": "ban", "ms": 1000}, 403, 403, False),
        ({"fault": "maintenance"}, 200, 110063, False),
        ({"fault": "late_ack", "ms": 1}, 200, 0, True),
    ],
)
def test_a_fault_answers_in_the_venues_words(bench: Bench, fault: dict[str, Any], status: int, code: int, effect: bool) -> None:
    bench.strike(verb="place", **fault)
    link, order = placed(bench)
    answer = bench.post(CREATE, order)
    assert (answer.status, answer.code, exists(bench, link)) == (status, code, effect)
    bench.face.parts.rates.ban(0, 0)
    link, order = placed(bench)
    assert (bench.post(CREATE, order).code, exists(bench, link)) == (0, True)


@pytest.mark.parametrize(
    ("fault", "effect"),
    [
        ({"fault": "reset_before"}, False),
        ({"fault": "reset_at_byte", "count": 40}, True),
        ({"fault": "reset_at_byte", "count": 0}, True),
    ],
)
def test_a_connection_is_reset(bench: Bench, fault: dict[str, Any], effect: bool) -> None:
    bench.strike(verb="place", **fault)
    link, order = placed(bench)
    with pytest.raises(aiohttp.ClientError):
        bench.post(CREATE, order)
    assert exists(bench, link) is effect


@pytest.mark.parametrize("fault", ["lose_ack", "stall"])
def test_an_answer_never_comes(bench: Bench, fault: str) -> None:
    bench.strike(verb="place", fault=fault)
    link, order = placed(bench)
    assert bench.unanswered(CREATE, order, lambda: exists(bench, link))
    assert bench.post(CREATE, bench.order()).code == 0


def test_an_answer_can_be_no_json(bench: Bench) -> None:
    bench.strike(verb="place", fault="garbage")
    link, order = placed(bench)
    with pytest.raises(ValueError, match="Unterminated"):
        bench.post(CREATE, order)
    assert exists(bench, link)


def test_a_closure_lets_reads_pass(bench: Bench) -> None:
    bench.strike(verb="place", fault="maintenance", ms=5_000)
    assert bench.post(CREATE, bench.order()).code == 110063
    body = {"category": "linear", "symbol": "BTCUSDT"}
    assert bench.post("/v5/order/cancel-all", body).code == 110063
    assert bench.get("/v5/order/realtime", "category=linear&symbol=BTCUSDT").code == 0
    bench.advance(5)
    assert bench.post("/v5/order/cancel-all", body).code == 0


def test_a_batch_can_be_done_in_part(bench: Bench) -> None:
    items = [bench.order(category=None) for _ in range(3)]
    bench.strike(fault="partial_batch", verb="place_batch", count=1)
    answer = bench.post("/v5/order/create-batch", {"category": "linear", "request": items})
    assert [item["code"] for item in answer.body["retExtInfo"]["list"]] == [0, 10006, 10006]
    assert len(bench.face.venue.open_orders()) == 1
    answer = bench.post("/v5/order/create-batch", {"category": "linear", "request": items})
    assert [item["code"] for item in answer.body["retExtInfo"]["list"]] == [0, 0, 0]


def test_a_bucket_is_counted_down_and_full_again(bench: Bench) -> None:
    seen = []
    for _ in range(12):
        answer = bench.post(CREATE, bench.order())
        seen.append((answer.code, answer.headers["x-bapi-limit-status"]))
    assert seen == [(0, str(left)) for left in range(9, -1, -1)] + [(10006, "0")] * 2
    assert answer.headers["x-bapi-limit"] == "10"
    assert bench.now_ms() < int(answer.headers["x-bapi-limit-reset-timestamp"]) <= bench.now_ms() + 1000
    # Other buckets are other buckets, and what has none says nothing of it.
    assert bench.post("/v5/order/cancel-all", {"category": "linear", "symbol": "BTCUSDT"}).headers["x-bapi-limit-status"] == "9"
    assert "x-bapi-limit" not in bench.public("/v5/market/time").headers
    bench.advance(1)
    assert bench.post(CREATE, bench.order()).code == 0


def test_a_batch_that_overflows_its_bucket_is_done_in_part(bench: Bench) -> None:
    items = [bench.order(category=None, qty="0.001") for _ in range(12)]
    answer = bench.post("/v5/order/create-batch", {"category": "linear", "request": items})
    assert [item["code"] for item in answer.body["retExtInfo"]["list"]] == [0] * 10 + [10006] * 2
    assert [bool(row["orderId"]) for row in answer.rows] == [True] * 10 + [False] * 2
    assert bench.post("/v5/order/create-batch", {"category": "linear", "request": items}).code == 10006
    assert bench.post(CREATE, bench.order()).code == 0


def test_an_address_that_asks_too_often_is_locked_out(bench: Bench) -> None:
    codes = [bench.bare("GET", "/v5/market/time").status for _ in range(601)]
    assert codes == [200] * 600 + [403]
    bench.advance(590)
    locked = bench.get("/v5/account/info")
    assert (locked.status, locked.body["retMsg"]) == (403, "access too frequent")
    bench.advance(11)
    assert bench.get("/v5/account/info").status == 200


def test_an_address_that_connects_too_often_is_refused(bench: Bench) -> None:
    path = "/v5/public/linear"
    assert bench.socket(path, public=True).ask({"op": "ping"})["success"]
    while bench.face.address_verdict(limits.CONNECTIONS) is Verdict.TAKEN:
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        bench.socket(path, public=True)
    assert refused.value.status == 403
    assert bench.public("/v5/market/time").status == 200
    bench.advance(300)
    assert bench.socket(path, public=True).ask({"op": "ping"})["success"]
