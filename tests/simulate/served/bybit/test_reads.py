"""Reads of orders and executions: pages, windows of time, what is forgotten, and reads that lag."""

from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest
from tests.simulate.served.bybit.wire import Answer, Bench

from interlock.simulate.served.bybit.ids import Of, id_of

REALTIME, HISTORY, EXECUTIONS = "/v5/order/realtime", "/v5/order/history", "/v5/execution/list"
DAY_S = 86_400


def links(answer: Answer) -> list[str]:
    assert answer.code == 0, answer.body
    return [row["orderLinkId"] for row in answer.rows]


def all_pages(bench: Bench, path: str, query: str) -> list[dict[str, Any]]:
    found, cursor = [], ""
    while True:
        answer = bench.get(path, query + (f"&cursor={cursor}" if cursor else ""))
        found += answer.rows
        cursor = answer.result["nextPageCursor"]
        if not cursor:
            return found


def cancelled(bench: Bench, count: int = 1) -> list[str]:
    orders = [bench.placed() for _ in range(count)]
    for order in orders:
        bench.face.venue.cancel(order)
        bench.advance(1)
    return [order.client_id for order in orders]


def test_open_orders_come_newest_first_by_symbol_or_coin(bench: Bench) -> None:
    first, second = bench.placed(), bench.placed(symbol="ETHUSDT", price="2900", qty="0.01")
    assert links(bench.get(REALTIME, "category=linear&settleCoin=USDT")) == [second.client_id, first.client_id]
    assert links(bench.get(REALTIME, "category=linear&baseCoin=BTC")) == [first.client_id]
    assert links(bench.get(REALTIME, "category=linear&symbol=ETHUSDT")) == [second.client_id]
    assert links(bench.get(REALTIME, "category=linear&settleCoin=USDC")) == []
    assert bench.get(REALTIME, "category=linear").code == 10001
    for category in ("spot", "inverse", "option"):
        for path in (REALTIME, HISTORY, EXECUTIONS, "/v5/position/closed-pnl"):
            assert bench.get(path, f"category={category}").rows == []


def test_closed_orders_are_read_by_id_or_on_request(bench: Bench) -> None:
    (link,) = cancelled(bench)
    opened = bench.placed()
    by_symbol = f"category=linear&symbol=BTCUSDT&limit=50&orderId={id_of(Of.ORDER, opened.number)}"
    assert links(bench.get(REALTIME, by_symbol)) == [opened.client_id]
    assert links(bench.get(REALTIME, f"category=linear&orderLinkId={link}")) == [link]
    assert links(bench.get(REALTIME, "category=linear&symbol=BTCUSDT")) == [opened.client_id]
    assert links(bench.get(REALTIME, "category=linear&symbol=BTCUSDT&openOnly=1"))[:2] == [opened.client_id, link]
    assert links(bench.get(HISTORY, f"category=linear&orderLinkId={opened.client_id}")) == []


@pytest.mark.parametrize("decoded", [False, True])
def test_pages_hold_every_order_once(bench: Bench, decoded: bool) -> None:
    bench.advance(8 * DAY_S)
    expected = cancelled(bench, 7)[::-1]
    found, cursor = [], ""
    for _ in range(4):
        sent = f"&cursor={cursor}" if decoded else f"&cursor={quote(cursor)}"
        answer = bench.get(HISTORY, f"category=linear&symbol=BTCUSDT&limit=2{sent if cursor else ''}")
        found += links(answer)
        cursor = answer.result["nextPageCursor"]
    assert (found, cursor) == (expected, "")


def test_what_is_no_page_is_refused(bench: Bench) -> None:
    for wrong in ("limit=0", "limit=51", "limit=x", "cursor=x", "startTime=-1"):
        assert bench.get(HISTORY, f"category=linear&symbol=BTCUSDT&{wrong}").code == 10001


def test_history_is_read_by_windows_of_a_week(bench: Bench) -> None:
    bench.advance(8 * DAY_S)
    begin = bench.now_ms()
    (early,) = cancelled(bench)
    bench.advance(3600)
    (late,) = cancelled(bench)
    week = 7 * DAY_S * 1000
    both = [late, early]
    for window, expected in (
        ("", both),
        (f"&startTime={begin}", both),
        (f"&startTime={begin + 1}", [late]),
        (f"&endTime={begin}", [early]),
        (f"&startTime={begin}&endTime={begin + week}", both),
    ):
        assert links(bench.get(HISTORY, f"category=linear{window}")) == expected
    assert bench.get(HISTORY, f"category=linear&startTime={begin}&endTime={begin + week + 1}").code == 10001
    assert bench.get(HISTORY, f"category=linear&startTime={begin}&endTime={begin - 1}").code == 10001
    assert links(bench.get(HISTORY, "category=linear&orderStatus=Filled")) == []


def test_orders_that_never_executed_are_forgotten_after_a_day(bench: Bench) -> None:
    bench.advance(8 * DAY_S)
    (unfilled,) = cancelled(bench)
    filled = bench.placed()
    bench.strike(fault="fill", client_id=filled.client_id, amount="0.001")
    bench.face.venue.cancel(filled)
    assert links(bench.get(HISTORY, "category=linear")) == [filled.client_id, unfilled]
    bench.advance(DAY_S)
    assert links(bench.get(HISTORY, "category=linear")) == [filled.client_id]
    bench.advance(7 * DAY_S)
    assert links(bench.get(HISTORY, "category=linear")) == []
    old = f"category=linear&startTime={filled.created_ns // 1_000_000}"
    assert links(bench.get(HISTORY, old)) == [filled.client_id]


def test_executions_are_paged_newest_first_with_funding_among_them(bench: Bench) -> None:
    bench.advance(8 * DAY_S)
    order = bench.placed()
    for amount in ("0.001", "0.002", "0.003"):
        bench.strike(fault="fill", client_id=order.client_id, amount=amount)
        bench.advance(1)
    assert bench.strike(fault="funding", symbol="BTCUSDT", rate="0.0001")
    found = all_pages(bench, EXECUTIONS, "category=linear&symbol=BTCUSDT&limit=1")
    assert [(row["execType"], row["execQty"]) for row in found] == [
        ("Funding", "0.006"),
        ("Trade", "0.003"),
        ("Trade", "0.002"),
        ("Trade", "0.001"),
    ]
    assert [row["leavesQty"] for row in found[1:]] == ["0.004", "0.007", "0.009"]
    assert len({row["execId"] for row in found}) == 4
    paid = Decimal(found[0]["execFee"])
    assert paid == Decimal(found[0]["execPrice"]) * Decimal("0.006") * Decimal("0.0001")
    assert Decimal(found[0]["feeRate"]) == Decimal("0.0001")
    assert len(bench.get(EXECUTIONS, f"category=linear&orderLinkId={order.client_id}").rows) == 3
    assert len(bench.get(EXECUTIONS, "category=linear&execType=Funding").rows) == 1
    assert bench.get(EXECUTIONS, "category=linear&execType=Sale").code == 10001


def test_reads_that_lag_show_what_was(bench: Bench) -> None:
    order = bench.placed()
    bench.advance(10)
    bench.strike(fault="fill", client_id=order.client_id, amount="0.004")
    fresh = bench.placed()
    bench.face.venue.cancel(order)

    def seen() -> dict[str, tuple[str, str]]:
        rows = bench.get(REALTIME, "category=linear&symbol=BTCUSDT").rows
        return {row["orderLinkId"]: (row["orderStatus"], row["cumExecQty"]) for row in rows}

    def counts() -> list[int]:
        query = f"category=linear&orderLinkId={order.client_id}"
        return [len(bench.get(path, query).rows) for path in (HISTORY, EXECUTIONS)]

    assert seen() == {fresh.client_id: ("New", "0.000")}
    assert counts() == [1, 1]
    bench.strike(fault="history_lag", verb="read", ms=5_000, times=0)
    assert seen() == {order.client_id: ("New", "0.000")}
    assert counts() == [0, 0]
    bench.advance(6)
    assert seen() == {fresh.client_id: ("New", "0.000")}
    assert counts() == [1, 1]


def test_a_lag_shows_what_had_executed_before(bench: Bench) -> None:
    order = bench.placed()
    bench.strike(fault="fill", client_id=order.client_id, amount="0.004")
    bench.advance(10)
    bench.strike(fault="fill", client_id=order.client_id, amount="0.002")
    bench.strike(fault="history_lag", ms=5_000, times=1)
    query = f"category=linear&orderLinkId={order.client_id}"
    lagging, now = (bench.get(REALTIME, query).rows[0] for _ in range(2))
    assert (lagging["cumExecQty"], lagging["orderStatus"]) == ("0.004", "PartiallyFilled")
    assert now["cumExecQty"] == "0.006"
    assert Decimal(lagging["cumExecFee"]) < Decimal(now["cumExecFee"])


def test_what_closing_realised_is_listed(bench: Bench) -> None:
    bench.advance(8 * DAY_S)
    opening = bench.placed()
    bench.strike(fault="fill", client_id=opening.client_id)
    closing = bench.placed(side="Sell", orderType="Market", price=None)
    (row,) = bench.get("/v5/position/closed-pnl", "category=linear&symbol=BTCUSDT").rows
    assert (row["orderId"], row["closedSize"], row["side"]) == (id_of(Of.ORDER, closing.number), "0.010", "Sell")
    assert Decimal(row["avgEntryPrice"]) == opening.price
    gain = (Decimal(row["avgExitPrice"]) - opening.price) * Decimal("0.010")
    assert abs(Decimal(row["closedPnl"]) - (gain - closing.fee)) < Decimal("0.000001")
