"""The private stream: every state of an order, fills, balances; nothing from before the connection."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from tests.simulate.served.upbit.bench import Bench, many, told

from interlock.simulate.served.faults import Fault, FaultSpec

ORDERS, ASSETS = {"type": "myOrder"}, {"type": "myAsset"}


def test_the_life_of_an_order(bench: Bench) -> None:
    identifier = f"p-{uuid4()}"
    before = bench.place()

    async def seen() -> list[Any]:
        socket = await bench.subscribed(bench.private, ORDERS)
        order: dict[str, Any] = {
            "market": "KRW-BTC",
            "side": "bid",
            "ord_type": "limit",
            "price": "50000000",
            "volume": "0.01",
            "identifier": identifier,
        }
        await bench.ask("POST", "orders", **order)
        bench.house.strike([FaultSpec(fault=Fault.FILL, client_id=identifier, amount="0.004")])
        bench.house.strike([FaultSpec(fault=Fault.FILL, client_id=identifier)])
        found = await many(socket, 4)
        await socket.close()
        return found

    wait, first, last, done = bench.run(seen())
    assert [m["state"] for m in (wait, first, last, done)] == ["wait", "trade", "trade", "done"]
    assert {m["uuid"] for m in (wait, first, last, done)} == {wait["uuid"]}
    assert before["uuid"] != wait["uuid"]
    assert wait | {"uuid": "", "timestamp": 0, "order_timestamp": 0} == {
        "type": "myOrder",
        "code": "KRW-BTC",
        "uuid": "",
        "ask_bid": "BID",
        "order_type": "limit",
        "state": "wait",
        "trade_uuid": None,
        "price": 50_000_000,
        "avg_price": 0,
        "volume": Decimal("0.01"),
        "remaining_volume": Decimal("0.01"),
        "executed_volume": 0,
        "trades_count": 0,
        "reserved_fee": 250,
        "remaining_fee": 250,
        "paid_fee": 0,
        "locked": 500_250,
        "executed_funds": 0,
        "time_in_force": None,
        "trade_fee": None,
        "is_maker": None,
        "identifier": identifier,
        "smp_type": "cancel_maker",
        "prevented_volume": 0,
        "prevented_locked": 0,
        "trade_timestamp": None,
        "order_timestamp": 0,
        "timestamp": 0,
        "stream_type": "REALTIME",
    }
    assert (first["price"], first["volume"], first["trade_fee"], first["is_maker"]) == (50_000_000, Decimal("0.004"), 100, True)
    assert (first["remaining_volume"], first["locked"], first["paid_fee"]) == (Decimal("0.006"), 300_150, 100)
    assert (last["remaining_volume"], last["trades_count"], last["trade_uuid"] != first["trade_uuid"]) == (0, 2, True)
    assert (done["trade_uuid"], done["executed_funds"], done["avg_price"], done["locked"]) == (None, 500_000, 50_000_000, 0)


@pytest.mark.parametrize(
    ("changed", "states"),
    [
        ({"time_in_force": "ioc"}, ["wait", "cancel"]),
        ({"time_in_force": "fok"}, ["wait", "cancel"]),
        ({"ord_type": "price", "price": "10000.123456789", "volume": None}, ["wait", "trade", "cancel"]),
        ({"ord_type": "market", "side": "ask", "price": None, "volume": "0.0001"}, ["wait", "trade", "done"]),
    ],
)
def test_orders_that_do_not_rest(bench: Bench, changed: dict[str, Any], states: list[str]) -> None:
    order: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": bench.low(), "volume": "0.001"} | changed

    async def seen() -> list[Any]:
        socket = await bench.subscribed(bench.private, ORDERS)
        await bench.ask("POST", "orders", **{name: value for name, value in order.items() if value is not None})
        found = [await told(socket)]
        while found[-1]["state"] not in ("cancel", "done"):
            found.append(await told(socket))
        await socket.close()
        return found

    found = bench.run(seen())
    assert list(dict.fromkeys(message["state"] for message in found)) == states
    assert (found[-1]["locked"], found[-1]["remaining_fee"]) == (0, 0)


def test_a_self_match_that_reduces_is_told_to_both(bench: Bench) -> None:
    price = str(bench.best()[1] + 100_000)

    async def seen() -> list[Any]:
        socket = await bench.subscribed(bench.private, ORDERS)
        ask: dict[str, Any] = {
            "market": "KRW-BTC",
            "side": "ask",
            "ord_type": "limit",
            "price": price,
            "volume": "0.01",
            "smp_type": "none",
        }
        await bench.ask("POST", "orders", **ask)
        await bench.ask("POST", "orders", **ask | {"side": "bid", "volume": "0.004", "smp_type": "reduce"})
        found = await many(socket, 4)
        await socket.close()
        return found

    messages = bench.run(seen())
    assert [(m["ask_bid"], m["state"], m["prevented_volume"]) for m in messages] == [
        ("ASK", "wait", 0),
        ("BID", "wait", 0),
        ("ASK", "prevented", Decimal("0.004")),
        ("BID", "cancel", Decimal("0.004")),
    ]
    assert (messages[2]["volume"], messages[2]["remaining_volume"]) == (Decimal("0.01"), Decimal("0.006"))
    assert messages[2]["prevented_locked"] == Decimal("0.004")


def test_balances_are_told_as_they_move(bench: Bench) -> None:
    async def seen() -> list[Any]:
        socket = await bench.subscribed(bench.private, ASSETS, form="SIMPLE")
        order: dict[str, Any] = {"market": "KRW-BTC", "side": "ask", "ord_type": "limit", "price": "130000000", "volume": "0.01"}
        await bench.ask("POST", "orders", **order)
        bench.house.strike([FaultSpec(fault=Fault.FILL, symbol="KRW-BTC")])
        bench.house.strike([FaultSpec(fault=Fault.DEPOSIT, currency="XRP", amount="5")])
        found = await many(socket, 3)
        await socket.close()
        return found

    held, sold, arrived = bench.run(seen())
    assert [(a["cu"], a["l"]) for a in held["ast"]] == [("BTC", Decimal("0.01"))]
    assert {a["cu"]: a["l"] for a in sold["ast"]} == {"KRW": 0, "BTC": 0}
    assert [a["cu"] for a in arrived["ast"]] == ["XRP"]
    assert {a["cu"]: a["b"] for a in sold["ast"]}["BTC"] == bench.balance("BTC")[0]
    assert len({m["astuid"] for m in (held, sold, arrived)}) == 3


def test_codes_narrow_orders_and_are_forbidden_for_balances(bench: Bench) -> None:
    async def seen() -> tuple[Any, Any]:
        refused = await bench.connect(bench.private)
        await refused.send_json([{"ticket": "t"}, {**ASSETS, "codes": ["KRW-BTC"]}])
        error = await told(refused)
        socket = await bench.subscribed(bench.private, {**ORDERS, "codes": ["KRW-ETH"]})
        for market, price in (("KRW-BTC", "50000000"), ("KRW-ETH", "3000000")):
            await bench.ask("POST", "orders", market=market, side="bid", ord_type="limit", price=price, volume="0.01")
        found = await told(socket)
        await socket.close()
        await refused.close()
        return error, found

    error, found = bench.run(seen())
    assert error["error"]["name"] == "WRONG_FORMAT"
    assert found["code"] == "KRW-ETH"


def test_an_event_can_be_left_out(bench: Bench) -> None:
    async def seen() -> tuple[str, str]:
        socket = await bench.subscribed(bench.private, ORDERS)
        bench.house.strike([FaultSpec(fault=Fault.GAP, private=True)])
        order: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "50000000", "volume": "0.01"}
        await bench.ask("POST", "orders", **order)
        told_of = (await bench.ask("POST", "orders", **order))[1]["uuid"]
        return told_of, (await told(socket))["uuid"]

    told_of, found = bench.run(seen())
    assert found == told_of


def test_what_is_told_while_the_stream_is_silent_never_comes(bench: Bench) -> None:
    async def seen() -> Any:
        socket = await bench.subscribed(bench.private, ORDERS)
        bench.house.strike([FaultSpec(fault=Fault.SILENCE, ms=60_000)])
        order: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "50000000", "volume": "0.01"}
        lost = (await bench.ask("POST", "orders", **order))[1]["uuid"]
        bench.face.parts.private.calm()
        told_of = (await bench.ask("POST", "orders", **order))[1]["uuid"]
        found = await told(socket)
        bench.house.strike([FaultSpec(fault=Fault.DROP_SOCKETS)])
        ended = await socket.receive(5)
        return lost, told_of, found["uuid"], ended.type.name

    lost, told_of, found, ended = bench.run(seen())
    assert found == told_of != lost
    assert ended in ("ERROR", "CLOSED", "CLOSE")


def test_a_reversal_moves_balances_and_leaves_the_order(bench: Bench) -> None:
    before = bench.balance("KRW")[0], bench.balance("BTC")[0]
    order = bench.place(price="50000000")
    bench.strike(Fault.FILL, symbol="KRW-BTC")
    bench.strike(Fault.REVERSE_FILL)
    assert (bench.balance("KRW")[0], bench.balance("BTC")[0]) == before
    assert bench.order(order["uuid"])["state"] == "done"
