"""What is read of orders and of the account, by pages, states, times and names."""

from uuid import uuid4

import pytest
from tests.simulate.served.upbit.bench import Bench

from interlock.simulate.served.faults import Fault

DAY_MS = 86_400_000


def test_open_orders_come_in_pages_newest_first(bench: Bench) -> None:
    uuids = [bench.place()["uuid"] for _ in range(5)]
    eth = bench.place(market="KRW-ETH", price="3000000")["uuid"]

    def pages(**params: object) -> list[str]:
        return [order["uuid"] for order in bench.call("GET", "orders/open", **params)]

    assert pages() == [eth, *reversed(uuids)]
    assert pages(market="KRW-BTC", order_by="asc", limit=2, page=2) == uuids[2:4]
    assert pages(market="KRW-BTC", limit=2, page=4) == []
    assert pages(states=["watch"]) == []
    assert pages(state="wait", market="KRW-ETH") == [eth]
    assert [order["uuid"] for order in bench.call("GET", "orders", market="KRW-ETH", state="wait")] == [eth]
    for wrong in ({"limit": 101}, {"page": 0}, {"states": ["done"]}, {"order_by": "up"}, {"limit": "x"}):
        assert bench.refusal("GET", "orders/open", **wrong) == (400, "validation_error")
    assert bench.refusal("GET", "orders/open", market="KRW-NONE") == (404, "notfoundmarket")


def test_closed_orders_are_found_by_state_and_within_a_week(bench: Bench) -> None:
    begun_ms = bench.venue.now_ms()
    done, cancelled = bench.place()["uuid"], bench.place(market="KRW-ETH", price="3000000")["uuid"]
    bench.strike(Fault.FILL, symbol="KRW-BTC")
    bench.call("DELETE", "order", uuid=cancelled)

    def closed(**params: object) -> list[str]:
        return [order["uuid"] for order in bench.call("GET", "orders/closed", **{"start_time": begun_ms, **params})]

    assert closed() == [cancelled, done]
    assert closed(order_by="asc", limit=1) == [done]
    assert closed(states=["cancel"]) == [cancelled]
    assert closed(state="done", market="KRW-BTC") == [done]
    assert closed(end_time=begun_ms) in ([], [done])
    assert closed(start_time=begun_ms - 10 * DAY_MS, end_time=begun_ms - 5 * DAY_MS) == []
    assert closed(start_time="2026-01-01T00:00:00+09:00") == []
    for wrong in (
        {"start_time": begun_ms - 8 * DAY_MS, "end_time": begun_ms},
        {"limit": 1001},
        {"states": ["wait"]},
        {"start_time": "soon"},
    ):
        assert bench.refusal("GET", "orders/closed", **wrong) == (400, "validation_error")


def test_orders_are_read_by_names(bench: Bench) -> None:
    identifiers = [f"r-{uuid4()}" for _ in range(2)]
    uuids = [bench.place(identifier=identifier)["uuid"] for identifier in identifiers]
    assert [o["uuid"] for o in bench.call("GET", "orders/uuids", uuids=uuids)] == uuids[::-1]
    assert [o["uuid"] for o in bench.call("GET", "orders/uuids", identifiers=identifiers, order_by="asc")] == uuids
    assert bench.call("GET", "orders/uuids", uuids=[str(uuid4())]) == []
    assert bench.call("GET", "order", identifier=identifiers[0])["uuid"] == uuids[0]
    assert bench.refusal("GET", "orders/uuids", uuids=[str(uuid4()) for _ in range(101)]) == (400, "validation_error")
    assert bench.refusal("GET", "order") == (400, "validation_error")
    assert bench.refusal("GET", "order", uuid=str(uuid4())) == (404, "order_not_found")
    assert bench.refusal("GET", "order", identifier="never") == (404, "order_not_found")


def test_the_chance_tells_fees_types_and_bounds(bench: Bench) -> None:
    found = bench.call("GET", "orders/chance", market="KRW-BTC")
    assert {found[name] for name in ("bid_fee", "ask_fee", "maker_bid_fee", "maker_ask_fee")} == {"0.0005"}
    market = found["market"]
    assert (market["bid"], market["ask"]["currency"], market["max_total"], market["state"]) == (
        {"currency": "KRW", "min_total": "5000"},
        "BTC",
        "1000000000",
        "active",
    )
    assert market["bid_types"] == ["best_fok", "best_ioc", "limit", "limit_fok", "limit_ioc", "price"]
    assert (found["bid_account"]["currency"], found["ask_account"]["currency"]) == ("KRW", "BTC")
    assert bench.refusal("GET", "orders/chance", market="KRW-NONE") == (404, "notfoundmarket")
    assert bench.refusal("GET", "orders/chance") == (400, "validation_error")


def test_deposits_and_withdrawals_are_listed(bench: Bench) -> None:
    before = bench.balance("XRP")[0]
    bench.strike(Fault.DEPOSIT, currency="XRP", amount="5")
    bench.strike(Fault.DEPOSIT, currency="XRP", amount="-3")
    viewer = bench.add_key("viewer", sees_withdrawals=True)
    assert bench.balance("XRP")[0] == before + 2
    arrived = bench.call("GET", "deposits", currency="XRP")
    left = bench.run(bench.ask("GET", "withdraws", key=viewer, currency="XRP"))[1]
    assert [(row["type"], row["amount"], row["state"]) for row in (*arrived, *left)] == [
        ("deposit", "5", "ACCEPTED"),
        ("withdraw", "3", "DONE"),
    ]
    assert bench.call("GET", "deposits", currency="BTC") == []
    bench.strike(Fault.DEPOSIT, currency="XRP", amount="7")
    assert [row["amount"] for row in bench.call("GET", "deposits", currency="XRP", order_by="asc")] == ["5", "7"]
    assert [row["amount"] for row in bench.call("GET", "deposits", currency="XRP", limit=1, page=2)] == ["5"]
    assert [row["amount"] for row in bench.call("GET", "deposits", uuids=[arrived[0]["uuid"]])] == ["5"]
    assert [row["amount"] for row in bench.call("GET", "deposits", txids=[arrived[0]["txid"]])] == ["5"]
    assert bench.call("GET", "deposits", currency="XRP", state="PROCESSING") == []
    assert bench.refusal("GET", "deposits", state="DONE") == (400, "validation_error")
    status, body, _ = bench.run(bench.ask("GET", "withdraws/chance", key=viewer, currency="XRP"))
    assert (status, body["account"]["currency"], body["withdraw_limit"]["can_withdraw"]) == (200, "XRP", False)
    assert bench.run(bench.ask("GET", "withdraws/chance", key=viewer, currency="NONE"))[1]["error"]["name"] == "currency_not_found"
    assert bench.run(bench.ask("POST", "withdraws/coin", key=viewer, currency="XRP", amount="1"))[0] == 401
    taker = bench.add_key("taker", withdraw=True)
    assert bench.run(bench.ask("POST", "withdraws/coin", key=taker, currency="XRP", amount="1"))[0] == 400


def test_what_there_is_nothing_of_is_empty(bench: Bench) -> None:
    assert bench.call("GET", "travel_rule/vasps") == bench.call("GET", "deposits/coin_addresses") == []
    assert {row["wallet_state"] for row in bench.call("GET", "status/wallet")} == {"working"}
    manager = bench.add_key("pockets", transfer=True)
    pockets = bench.run(bench.ask("GET", "pockets", key=manager))[1]
    assert [pocket["type"] for pocket in pockets] == ["main"]
    unknown = bench.run(bench.ask("GET", "pockets/api_keys", key=manager, uuids=[str(uuid4())]))
    assert (unknown[0], unknown[1]["error"]["name"]) == (404, "pocket_not_found")


@pytest.mark.parametrize("path", ["nowhere", "orders/nowhere"])
def test_an_unknown_path_is_404(bench: Bench, path: str) -> None:
    assert bench.refusal("GET", path) == (404, 404)
