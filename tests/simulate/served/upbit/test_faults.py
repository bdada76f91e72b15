"""Faults seen from the other end of the wire; each beside the same request without one."""

import asyncio
import re
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from tests.simulate.served.upbit.bench import Bench, until

from interlock.simulate.served.faults import Fault
from interlock.simulate.served.span import Span

BASE: dict[str, Any] = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": "50000000", "volume": "0.001"}


def identifier() -> str:
    return f"f-{uuid4()}"


def exists(bench: Bench, name: str) -> bool:
    return bench.run(bench.ask("GET", "order", identifier=name))[0] == 200


def test_an_order_that_was_taken_is_answered_with_504(bench: Bench) -> None:
    lost, honest = identifier(), identifier()
    bench.strike(Fault.ACCEPT_THEN_ERROR, verb="place")
    assert bench.refusal("POST", "orders", **BASE, identifier=lost) == (504, "server_error")
    assert bench.call("POST", "orders", **BASE, identifier=honest)["state"] == "wait"
    assert exists(bench, lost)


def test_an_error_without_effect(bench: Bench) -> None:
    name = identifier()
    bench.strike(Fault.ERROR_WITHOUT_ACCEPTING, verb="place")
    assert bench.refusal("POST", "orders", **BASE, identifier=name) == (503, "server_error")
    assert not exists(bench, name)
    assert bench.call("POST", "orders", **BASE, identifier=name)["state"] == "wait"


@pytest.mark.parametrize(("fault", "taken"), [(Fault.RESET_BEFORE, False), (Fault.RESET_AT_BYTE, True)])
def test_a_connection_that_is_reset(bench: Bench, fault: Fault, taken: bool) -> None:
    name = identifier()
    bench.strike(fault, verb="place", count=40)
    with pytest.raises((aiohttp.ClientError, ConnectionError)):
        bench.run(bench.ask("POST", "orders", **BASE, identifier=name))
    assert exists(bench, name) is taken


def test_an_answer_that_never_comes(bench: Bench) -> None:
    name = identifier()
    bench.strike(Fault.LOSE_ACK, verb="place")

    async def patient() -> bool:
        asking = asyncio.create_task(bench.ask("POST", "orders", **BASE, identifier=name))
        await until(lambda: bench.venue.find(client_id=name) is not None)
        await asyncio.sleep(0.2)
        answered = asking.done()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return answered

    assert not bench.run(patient())
    assert exists(bench, name)
    assert bench.call("POST", "orders", **BASE)["state"] == "wait"


def test_an_answer_that_is_garbage_and_one_that_is_late(bench: Bench) -> None:
    bench.strike(Fault.GARBAGE, verb="read")
    with pytest.raises(ValueError, match="Unterminated"):
        bench.run(bench.ask("GET", "accounts"))
    bench.strike(Fault.LATE_ACK, verb="read", ms=200)

    async def took() -> float:
        begun = asyncio.get_running_loop().time()
        await bench.ask("GET", "accounts")
        return asyncio.get_running_loop().time() - begun

    assert bench.run(took()) >= 0.2
    assert bench.call("GET", "accounts")


def test_only_some_of_several_are_cancelled(bench: Bench) -> None:
    uuids = [bench.place()["uuid"] for _ in range(3)]
    bench.strike(Fault.PARTIAL_BATCH, verb="cancel_batch", count=1)
    found = bench.call("DELETE", "orders/uuids", uuids=uuids)
    assert (found["success"]["count"], [o["uuid"] for o in found["failed"]["orders"]]) == (1, uuids[1:])
    assert bench.order(uuids[1])["state"] == "wait"
    assert bench.call("DELETE", "orders/uuids", uuids=uuids[1:])["success"]["count"] == 2


def test_a_cancelled_order_executes_all_the_same(bench: Bench) -> None:
    late, honest = identifier(), identifier()
    for name in (late, honest):
        bench.call("POST", "orders", **BASE, identifier=name)
    bench.strike(Fault.LATE_FILL, verb="cancel", client_id=late, ms=20)
    for name in (late, honest):
        bench.call("DELETE", "order", identifier=name)

    bench.run(until(lambda: any(e.order.client_id == late for e in bench.venue.history.executions(Span(), newest_first=True))))
    seen = [bench.call("GET", "order", identifier=name) for name in (late, honest)]
    assert [(order["state"], order["executed_volume"], len(order["trades"])) for order in seen] == [
        ("cancel", "0.001", 1),
        ("cancel", "0", 0),
    ]


def test_maintenance_refuses_what_is_no_read(bench: Bench) -> None:
    bench.strike(Fault.MAINTENANCE, verb="place", ms=60_000)
    assert bench.refusal("POST", "orders", **BASE) == (403, "market_offline")
    assert bench.refusal("POST", "orders", **BASE) == (403, "market_offline")
    assert bench.call("GET", "accounts")
    bench.calm()
    assert bench.call("POST", "orders", **BASE)["state"] == "wait"


def test_over_the_limit_once_and_a_ban_for_a_time(bench: Bench) -> None:
    bench.strike(Fault.RATE_LIMITED, verb="place")
    assert bench.refusal("POST", "orders", **BASE) == (429, "too_many_requests")
    assert bench.call("POST", "orders", **BASE)["state"] == "wait"
    bench.strike(Fault.BAN, verb="place", ms=60_000)
    banned = [bench.run(bench.ask(*what)) for what in (("POST", "orders"), ("GET", "accounts"))]
    assert [(status, body["error"]["name"]) for status, body, _ in banned] == [(418, 418), (418, 418)]
    assert re.search(r"blocked for \d+ seconds", banned[0][1]["error"]["message"])
    bench.calm()
    assert bench.call("GET", "accounts")


def test_reads_lag_behind_while_the_fault_holds(bench: Bench) -> None:
    name = identifier()
    bench.call("POST", "orders", **BASE, identifier=name)
    bench.strike(Fault.HISTORY_LAG, verb="read", ms=60_000, times=3)
    assert bench.refusal("GET", "order", identifier=name) == (404, "order_not_found")
    assert name not in [order.get("identifier") for order in bench.call("GET", "orders/open")]
    assert name not in [order.get("identifier") for order in bench.call("GET", "orders/open", states=["wait"])]
    assert bench.call("GET", "order", identifier=name)["state"] == "wait"


def test_a_lagging_read_shows_an_older_state(bench: Bench) -> None:
    uuid = bench.place()["uuid"]

    def lagging() -> Any:
        bench.strike(Fault.HISTORY_LAG, verb="read", ms=60_000)
        return bench.order(uuid)

    bench.clock.ahead_ns += 90_000_000_000
    bench.strike(Fault.FILL, symbol="KRW-BTC", amount="0.004")
    bench.call("DELETE", "order", uuid=uuid)
    assert (lagging()["state"], lagging()["executed_volume"], lagging()["trades"]) == ("wait", "0", [])
    seen = bench.order(uuid)
    assert (seen["state"], seen["executed_volume"], len(seen["trades"])) == ("cancel", "0.004", 1)


def test_somebody_elses_order_in_the_account_is_listed(bench: Bench) -> None:
    bench.strike(Fault.FOREIGN_ORDER, symbol="KRW-BTC", side="sell", price="130000000", amount="0.01")
    bench.strike(Fault.FOREIGN_ORDER, symbol="KRW-BTC", side="sell", amount="0.01")
    shown = bench.call("GET", "orders/open")
    assert [(order["side"], order["ord_type"], order["smp_type"]) for order in shown] == [("ask", "limit", "none")]
    assert bench.call("GET", "orders/closed", limit=1)[0]["ord_type"] == "market"


def test_every_request_with_a_key_is_witnessed_before_its_effect(bench: Bench) -> None:
    name = identifier()
    bench.call("POST", "orders", **BASE, identifier=name)
    line = bench.lines[-1]
    assert (line["verb"], line["class"], line["client_id"], line["target"]) == ("place", "RISK+", name, "POST /v1/orders")
    assert line["orders"] == [{"ticks": 50_000_000, "tick": "1", "lots": 100_000, "symbol": "KRW-BTC", "side": 1}]
    before = len(bench.lines)
    bench.run(bench.send("GET", "ticker", "markets=KRW-BTC"))
    assert len(bench.lines) == before
    bench.run(bench.send("POST", "orders", body=b"{"))
    assert (bench.lines[-1]["verb"], bench.lines[-1]["class"]) == ("place", "RISK+")
