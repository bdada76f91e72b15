"""Orders over the wire: every type and flag, every refusal, cancels of all kinds, cancel and new, self-matches, what is locked meanwhile."""

import asyncio
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from tests.simulate.served.upbit.bench import Bench

from interlock.simulate.served.faults import Fault

FEE = Decimal("0.0005")


def test_a_bid_that_rests_locks_its_value_and_the_fee(bench: Bench) -> None:
    free, locked = bench.balance("KRW")
    order = bench.place(price="50000000", volume="0.001", identifier=f"i-{uuid4()}")
    assert order | {"uuid": "", "created_at": "", "identifier": ""} == {
        "market": "KRW-BTC",
        "uuid": "",
        "side": "bid",
        "ord_type": "limit",
        "price": "50000000",
        "state": "wait",
        "created_at": "",
        "volume": "0.001",
        "remaining_volume": "0.001",
        "reserved_fee": "25",
        "remaining_fee": "25",
        "paid_fee": "0",
        "locked": "50025",
        "executed_volume": "0",
        "executed_funds": "0",
        "prevented_volume": "0",
        "prevented_locked": "0",
        "trades_count": 0,
        "smp_type": "cancel_maker",
        "identifier": "",
    }
    assert bench.balance("KRW") == (free - 50025, locked + 50025)
    bench.call("DELETE", "order", uuid=order["uuid"])
    assert bench.balance("KRW") == (free, locked)
    over = bench.order(order["uuid"])
    assert (over["state"], over["locked"], over["remaining_fee"], over["remaining_volume"]) == ("cancel", "0", "0", "0.001")


def test_fills_pay_fees_in_the_quote_currency(bench: Bench) -> None:
    before_krw, before_btc = bench.balance("KRW")[0], bench.balance("BTC")[0]
    order = bench.place(side="ask", price="130000000", volume="0.01")
    assert bench.balance("BTC") == (before_btc - Decimal("0.01"), Decimal("0.01"))
    bench.strike(Fault.FILL, symbol="KRW-BTC", amount="0.004")
    part = bench.order(order["uuid"])
    assert (part["state"], part["executed_volume"], part["remaining_volume"], part["paid_fee"]) == ("wait", "0.004", "0.006", "260")
    assert part["trades"][0] | {"uuid": "", "created_at": ""} == {
        "market": "KRW-BTC",
        "uuid": "",
        "price": "130000000",
        "volume": "0.004",
        "funds": "520000",
        "trend": "down",
        "created_at": "",
        "side": "ask",
    }
    bench.strike(Fault.FILL, symbol="KRW-BTC")
    done = bench.order(order["uuid"])
    assert (done["state"], done["trades_count"], done["executed_funds"], done["paid_fee"]) == ("done", 2, "1300000", "650")
    assert bench.balance("KRW")[0] == before_krw + 1_300_000 * (1 - FEE)
    assert bench.balance("BTC") == (before_btc - Decimal("0.01"), Decimal(0))


def test_the_mean_price_follows_what_was_bought(bench: Bench) -> None:
    total = sum(bench.balance("BTC"))
    for price in ("50000000", "60000000"):
        bench.place(price=price, volume="0.01")
        bench.strike(Fault.FILL, symbol="KRW-BTC")
    row = next(row for row in bench.call("GET", "accounts") if row["currency"] == "BTC")
    expected = Decimal(row["avg_buy_price"]) * (total + Decimal("0.02"))
    assert Decimal(row["avg_buy_price"]) > 0
    bench.place(side="ask", price="130000000", volume="0.01")
    bench.strike(Fault.FILL, symbol="KRW-BTC")
    after = next(row for row in bench.call("GET", "accounts") if row["currency"] == "BTC")
    assert after["avg_buy_price"] == row["avg_buy_price"]
    assert expected > 0


def test_a_market_buy_spends_a_sum_and_lets_go_of_the_rest(bench: Bench) -> None:
    free = bench.balance("KRW")[0]
    order = bench.place(ord_type="price", price="1000000", volume=None)
    assert (order["price"], order["volume"], order["remaining_volume"], order["locked"]) == ("1000000", None, None, "1000500")
    over = bench.order(order["uuid"])
    spent, paid = Decimal(over["executed_funds"]), Decimal(over["paid_fee"])
    assert over["state"] == ("done" if spent == 1_000_000 else "cancel")
    assert 999_000 < spent <= 1_000_000
    assert abs(paid - spent * FEE) < Decimal("0.000001")
    assert bench.balance("KRW") == (free - spent - paid, Decimal(0))


def test_a_market_buy_may_spend_all_there_is_and_no_more(bench: Bench) -> None:
    free = bench.balance("KRW")[0]
    bench.place(price="50000000", volume=str((free - 1_000_500) / Decimal("50025000") // Decimal("0.00000001") * Decimal("0.00000001")))
    left = bench.balance("KRW")[0]
    too_much: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "price"}
    assert bench.refusal("POST", "orders", price=str(left // 1), **too_much) == (400, "insufficient_funds_bid")
    assert bench.call("POST", "orders", price="1000000", **too_much)["state"] == "wait"


def test_a_market_sell_and_best_prices_take_at_once(bench: Bench) -> None:
    sold = bench.place(side="ask", ord_type="market", price=None, volume="0.01")
    assert (sold["price"], bench.order(sold["uuid"])["state"]) == (None, "done")
    # What was taken of a level is shown until it is quoted anew, and cannot be taken again.
    bench.calm()
    best_ask = bench.place(side="ask", ord_type="best", time_in_force="ioc", price=None, volume="0.0001")
    assert bench.order(best_ask["uuid"])["executed_volume"] == "0.0001"
    bench.calm()
    best_bid = bench.place(ord_type="best", time_in_force="fok", price="6000", volume=None)
    seen = bench.order(best_bid["uuid"])
    assert (seen["ord_type"], seen["price"], seen["volume"], seen["time_in_force"]) == ("best", "6000", None, "fok")
    assert 5_990 < Decimal(seen["executed_funds"]) <= 6_000


@pytest.mark.parametrize("flag", ["ioc", "fok"])
def test_what_cannot_be_taken_at_once_is_cancelled(bench: Bench, flag: str) -> None:
    far = bench.place(time_in_force=flag)
    assert (far["state"], bench.order(far["uuid"])["state"]) == ("wait", "cancel")
    near = bench.place(price=str(bench.best()[1] + 10_000), volume="0.0001", time_in_force=flag)
    assert bench.order(near["uuid"])["state"] == "done"


def test_a_post_only_order_is_taken_and_cancelled_if_it_would_take(bench: Bench) -> None:
    taking = bench.place(price=str(bench.best()[1] + 10_000), time_in_force="post_only")
    resting = bench.place(time_in_force="post_only")
    assert (taking["state"], taking["smp_type"], taking["time_in_force"]) == ("wait", "none", "post_only")
    assert (bench.order(taking["uuid"])["state"], bench.order(taking["uuid"])["trades"]) == ("cancel", [])
    assert bench.order(resting["uuid"])["state"] == "wait"


BASE: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "50000000", "volume": "0.001"}
REFUSALS: list[tuple[str, int, dict[str, Any]]] = [
    ("validation_error", 400, {"market": None}),
    ("validation_error", 400, {"side": None}),
    ("validation_error", 400, {"side": "buy"}),
    ("validation_error", 400, {"ord_type": None}),
    ("validation_error", 400, {"ord_type": "stop"}),
    ("validation_error", 400, {"price": None}),
    ("validation_error", 400, {"volume": None}),
    ("validation_error", 400, {"price": "abc"}),
    ("validation_error", 400, {"volume": "-1"}),
    ("validation_error", 400, {"volume": "NaN"}),
    ("validation_error", 400, {"volume": "1e99"}),
    ("validation_error", 400, {"ord_type": "price"}),
    ("validation_error", 400, {"ord_type": "market", "price": None}),
    ("validation_error", 400, {"smp_type": "everything"}),
    ("validation_error", 400, {"identifier": "x" * 65}),
    ("validation_error", 400, {"identifier": {"a": 1}}),
    ("notfoundmarket", 404, {"market": "KRW-NONE"}),
    ("invalid_time_in_force", 400, {"time_in_force": "gtd"}),
    ("invalid_time_in_force", 400, {"ord_type": "best", "volume": None}),
    ("invalid_time_in_force", 400, {"ord_type": "price", "volume": None, "time_in_force": "ioc"}),
    ("invalid_post_only", 400, {"time_in_force": "post_only", "smp_type": "cancel_maker"}),
    ("invalid_price_bid", 400, {"price": "50000500"}),
    ("invalid_price_ask", 400, {"side": "ask", "price": "130000500"}),
    ("invalid_price_bid", 400, {"price": "100", "volume": "1"}),
    ("under_min_total_bid", 400, {"volume": "0.00009999"}),
    ("under_min_total_ask", 400, {"side": "ask", "price": "130000000", "volume": "0.00003"}),
    ("under_min_total_bid", 400, {"ord_type": "price", "price": "4999", "volume": None}),
    ("over_krw_funds_bid", 400, {"volume": "20.00000001"}),
    ("over_krw_funds_ask", 400, {"side": "ask", "price": "130000000", "volume": "9"}),
    ("create_bid_error", 400, {"volume": "0.000000001"}),
    ("create_ask_error", 400, {"side": "ask", "volume": "0.123456789"}),
    ("insufficient_funds_bid", 400, {"volume": "20"}),
    ("insufficient_funds_ask", 400, {"side": "ask", "market": "KRW-ETH", "price": "5000000", "volume": "150"}),
]


@pytest.mark.parametrize(("name", "status", "changed"), REFUSALS)
@pytest.mark.parametrize("path", ["orders", "orders/test"])
def test_an_order_that_cannot_be_is_refused_by_name(bench: Bench, path: str, name: str, status: int, changed: dict[str, Any]) -> None:
    order = {key: value for key, value in (BASE | changed).items() if value is not None}
    before = bench.venue.history.taken
    if isinstance(order.get("identifier"), dict):
        assert bench.run(raw_order(bench, path, b'{"identifier":{"a":1}}')) == (400, "validation_error")
    else:
        assert bench.refusal("POST", path, **order) == (status, name)
    assert bench.venue.history.taken == before
    assert bench.run(bench.ask("POST", path, **BASE))[0] == 201


async def raw_order(bench: Bench, path: str, body: bytes, content_type: str = "application/json") -> tuple[int, str]:
    status, answer, _ = await bench.send("POST", path, headers={"Content-Type": content_type}, body=body)
    return status, answer["error"]["name"]


def test_a_body_that_is_no_json_object_is_refused(bench: Bench) -> None:
    found = {
        bench.run(raw_order(bench, "orders", body))
        for body in (b"[1]", b"{", b'"x"', b'{"price":[[1]]}', b'{"price":{}}', b"\xff", b"[" * 100_000)
    }
    form = bench.run(raw_order(bench, "orders", b"market=KRW-BTC", "application/x-www-form-urlencoded"))
    assert found | {form} == {(400, "validation_error")}
    assert bench.run(raw_order(bench, "orders", b'{"market":"\\ud800","\\udfff":[true,null,1.50]}')) == (401, "no_authorization_token")


def test_numbers_may_come_as_json_numbers(bench: Bench) -> None:
    order = bench.call("POST", "orders", **BASE | {"price": 50000000}, post=True)
    assert order["price"] == "50000000"


def test_an_identifier_is_used_up_by_a_refused_request_too(bench: Bench) -> None:
    identifier = f"once-{uuid4()}"
    assert bench.refusal("POST", "orders", **BASE | {"volume": "20", "identifier": identifier})[1] == "insufficient_funds_bid"
    assert bench.refusal("POST", "orders", **BASE, identifier=identifier) == (400, "duplicated_identifier")
    other = f"other-{uuid4()}"
    assert bench.call("POST", "orders", **BASE, identifier=other)["identifier"] == other
    assert bench.refusal("POST", "orders", **BASE, identifier=other) == (400, "duplicated_identifier")


def test_a_dry_run_answers_as_an_order_and_leaves_nothing(bench: Bench) -> None:
    identifier = f"dry-{uuid4()}"
    dry = bench.call("POST", "orders/test", **BASE, identifier=identifier)
    assert (dry["state"], dry["locked"], dry["identifier"]) == ("wait", "50025", identifier)
    for names in ({"uuid": dry["uuid"]}, {"identifier": identifier}):
        assert bench.refusal("GET", "order", **names) == (404, "order_not_found")
        assert bench.refusal("DELETE", "order", **names) == (404, "order_not_found")
    assert bench.venue.open_orders() == []
    assert bench.call("POST", "orders", **BASE, identifier=identifier)["state"] == "wait"


def test_a_halted_market_takes_no_orders(bench: Bench) -> None:
    bench.strike(Fault.HALT, symbol="KRW-BTC", ms=60_000)
    assert bench.refusal("POST", "orders", **BASE) == (403, "market_offline")
    bench.strike(Fault.HALT, symbol="KRW-BTC")
    assert bench.call("POST", "orders", **BASE)["state"] == "wait"


def test_an_order_is_cancelled_by_either_name_once(bench: Bench) -> None:
    identifier = f"c-{uuid4()}"
    first, second = bench.place(), bench.place(identifier=identifier)
    answers = [bench.call("DELETE", "order", uuid=first["uuid"]), bench.call("DELETE", "order", identifier=identifier)]
    assert [(a["uuid"], a["state"]) for a in answers] == [(first["uuid"], "wait"), (second["uuid"], "wait")]
    assert {bench.order(order["uuid"])["state"] for order in (first, second)} == {"cancel"}
    assert bench.refusal("DELETE", "order", uuid=first["uuid"]) == (404, "order_not_found")
    assert bench.refusal("DELETE", "order") == (400, "validation_error")
    cancels = [line for line in bench.lines if line["verb"] == "cancel" and line["client_id"] == identifier]
    assert [line["class"] for line in cancels] == ["RISK-"]


def test_several_are_cancelled_by_name_and_those_that_are_over_are_told(bench: Bench) -> None:
    identifiers = [f"s-{uuid4()}" for _ in range(2)]
    named, gone = [bench.place(identifier=i)["uuid"] for i in identifiers], bench.place()["uuid"]
    bench.call("DELETE", "order", uuid=gone)
    found = bench.call("DELETE", "orders/uuids", uuids=[named[0], gone])
    assert found["success"] == {"count": 1, "orders": [{"uuid": named[0], "market": "KRW-BTC", "identifier": identifiers[0]}]}
    assert found["failed"] == {"count": 1, "orders": [{"uuid": gone, "market": "KRW-BTC"}]}
    assert bench.call("DELETE", "orders/uuids", identifiers=identifiers[1:])["success"]["count"] == 1
    assert bench.refusal("DELETE", "orders/uuids", uuids=[str(uuid4()) for _ in range(21)]) == (400, "validation_error")
    assert bench.refusal("DELETE", "orders/uuids") == (400, "validation_error")


def test_open_orders_are_cancelled_within_bounds(bench: Bench) -> None:
    bids = [bench.place()["uuid"] for _ in range(22)]
    ask = bench.place(side="ask", price="130000000", volume="0.001")["uuid"]
    eth = bench.place(market="KRW-ETH", price="3000000")["uuid"]

    def swept(**params: Any) -> list[str]:
        return [order["uuid"] for order in bench.call("DELETE", "orders/open", **params)["success"]["orders"]]

    assert swept(cancel_side="ask") == [ask]
    assert swept(pairs="KRW-ETH,KRW-XRP") == [eth]
    assert swept(excluded_pairs="KRW-BTC") == []
    assert swept(quote_currencies="BTC") == []
    assert swept(count=1, order_by="asc") == bids[:1]
    assert swept(quote_currencies="KRW", cancel_side="bid") == bids[:1:-1]
    assert swept(count=300) == bids[1:2]
    for wrong in ({"count": 301}, {"cancel_side": "both"}, {"order_by": "up"}):
        assert bench.refusal("DELETE", "orders/open", **wrong) == (400, "validation_error")
    assert bench.refusal("DELETE", "orders/open", pairs="KRW-NONE") == (404, "notfoundmarket")


def test_a_reserved_order_is_cancelled_by_name_alone(bench: Bench) -> None:
    kept, gone = f"r-{uuid4()}", f"r-{uuid4()}"
    bid = bench.place()["uuid"]
    for identifier in (kept, gone):
        far = {"symbol": "KRW-BTC", "side": "buy", "price": "50000000", "amount": "0.001"}
        assert bench.strike(Fault.FOREIGN_ORDER, client_id=identifier, reserved=True, **far) == [True]
    listed = bench.call("GET", "orders/open", states=["watch"])
    assert [(order["identifier"], order["state"], order["locked"]) for order in listed] == [
        (gone, "watch", "50025"),
        (kept, "watch", "50025"),
    ]
    swept = bench.call("DELETE", "orders/open", count=300)["success"]["orders"]
    assert bid in [order["uuid"] for order in swept]
    assert bench.call("DELETE", "orders/uuids", identifiers=[gone])["success"]["count"] == 1
    assert [order["identifier"] for order in bench.call("GET", "orders/open", states=["wait", "watch"])] == [kept]


def test_cancel_and_new_keeps_market_and_side(bench: Bench) -> None:
    identifier = f"n-{uuid4()}"
    old = bench.place(volume="0.01")
    bench.strike(Fault.FILL, symbol="KRW-BTC", amount="0.004")
    answer = bench.call(
        "POST",
        "orders/cancel_and_new",
        prev_order_uuid=old["uuid"],
        new_ord_type="limit",
        new_price="50000000",
        new_volume="remain_only",
        new_identifier=identifier,
    )
    assert (answer["uuid"], answer["new_order_identifier"]) == (old["uuid"], identifier)
    assert bench.order(old["uuid"])["state"] == "cancel"
    new = bench.order(answer["new_order_uuid"])
    assert (new["side"], new["price"], new["volume"], new["identifier"]) == ("bid", "50000000", "0.006", identifier)
    line = next(line for line in reversed(bench.lines) if line["verb"] == "replace")
    assert (line["class"], line["children"]) == ("RISK+", [["", 0], [identifier, 0]])


def test_cancel_and_new_can_lose_both(bench: Bench) -> None:
    old = bench.place()
    wrong = {"prev_order_uuid": old["uuid"], "new_ord_type": "limit", "new_volume": "0.01"}
    assert bench.refusal("POST", "orders/cancel_and_new", **wrong) == (400, "validation_error")
    assert bench.order(old["uuid"])["state"] == "wait"
    used = f"u-{uuid4()}"
    bench.place(identifier=used)
    again = wrong | {"new_price": "50000000", "new_identifier": used}
    assert bench.refusal("POST", "orders/cancel_and_new", **again) == (400, "duplicated_identifier")
    assert bench.order(old["uuid"])["state"] == "wait"
    answer = bench.call("POST", "orders/cancel_and_new", **wrong, new_price="50000500")
    assert bench.order(old["uuid"])["state"] == "cancel"
    assert bench.refusal("GET", "order", uuid=answer["new_order_uuid"]) == (404, "order_not_found")
    assert bench.refusal("POST", "orders/cancel_and_new", **wrong, new_price="50000000") == (404, "order_not_found")
    assert bench.place()["uuid"] != answer["new_order_uuid"]


@pytest.mark.parametrize(
    ("smp", "maker", "taker"),
    [
        ("cancel_maker", ("cancel", "0.004"), ("done", "0")),
        (None, ("cancel", "0.004"), ("done", "0")),
        ("cancel_taker", ("wait", "0"), ("cancel", "0.01")),
        ("reduce", ("cancel", "0.004"), ("done", "0.004")),
        ("none", ("wait", "0"), ("done", "0")),
    ],
)
def test_orders_of_ones_own_meet_as_the_taker_says(bench: Bench, smp: str | None, maker: tuple[str, str], taker: tuple[str, str]) -> None:
    # The ask rests in the spread or above the market; the bid would reach it and, without a rule, takes what the market shows.
    _, best_ask = bench.best()
    resting = bench.place(side="ask", price=str(best_ask + 100_000), volume="0.004", smp_type="none")
    taking = bench.place(price=str(best_ask + 200_000), volume="0.01", smp_type=smp, time_in_force="ioc")
    seen = {order["uuid"]: bench.order(order["uuid"]) for order in (resting, taking)}
    assert (seen[resting["uuid"]]["state"], seen[resting["uuid"]]["prevented_volume"]) == maker
    assert (seen[taking["uuid"]]["state"], seen[taking["uuid"]]["prevented_volume"]) == taker
    assert seen[taking["uuid"]]["volume"] == "0.01"
    assert Decimal(seen[taking["uuid"]]["executed_volume"]) == Decimal("0.01") - Decimal(taker[1])
    bench.calm()
    assert bench.balance("BTC")[1] == bench.balance("KRW")[1] == 0


def test_a_market_order_meets_ones_own_only_as_far_as_it_goes(bench: Bench) -> None:
    bench.clock.stop()  # the market stands, so that nobody else reaches the nearer order first
    try:
        bench.run(asyncio.sleep(0.5))  # it stands a minute ahead at most: what the market does until there comes to pass before
        best_ask = bench.best()[1]
        far = bench.place(side="ask", price=str(best_ask * Decimal("1.02") // 1000 * 1000), volume="0.001")["uuid"]
        near = bench.place(side="ask", price=str(best_ask + 4_000), volume="0.001", smp_type="none")["uuid"]
        bench.place(ord_type="price", price="400000000", volume=None)
        assert [bench.order(uuid)["state"] for uuid in (far, near)] == ["wait", "cancel"]
    finally:
        bench.clock.go()
