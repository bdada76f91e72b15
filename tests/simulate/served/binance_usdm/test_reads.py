"""Reads: what is listed, the account, pages and windows, and how long things can be read."""

from decimal import Decimal

import msgspec
from tests.simulate.served.binance_usdm.bench import Bench, eventually

from interlock.simulate.served.faults import Fault
from interlock.venues.binance_usdm.errors import classify
from interlock.venues.binance_usdm.rules import instruments
from interlock.venues.binance_usdm.wire import ExchangeInfo, Snapshot
from interlock.venues.trouble import Doing, Trouble

DAY_MS = 86_400_000


def test_what_is_listed_reads_as_the_instruments_that_are_served(bench: Bench) -> None:
    found = {i.symbol: i for i in instruments(msgspec.convert(bench.read("/fapi/v1/exchangeInfo").body, ExchangeInfo))}
    served = {symbol: market.instrument for symbol, market in bench.face.venue.markets.items()}
    assert found.keys() == served.keys()
    for symbol, instrument in served.items():
        one = found[symbol]
        assert (one.lot, one.min_notional, one.min_lots, one.max_lots) == (
            instrument.lot,
            instrument.min_notional,
            instrument.min_lots,
            instrument.max_lots,
        )
        assert one.price_step(Decimal(100), bench.face.venue.day) == instrument.quantum
    assert msgspec.convert(bench.read("/fapi/v1/depth", symbol="BTCUSDT").body, Snapshot).bids


def test_prices_and_candles_agree_with_the_trades(bench: Bench) -> None:
    path = "/fapi/v1/trades"
    assert eventually(lambda: bool(bench.read(path, symbol="BTCUSDT").body))
    trades = bench.read(path, symbol="BTCUSDT", limit=1000).body
    again = bench.read("/fapi/v1/aggTrades", symbol="BTCUSDT", fromId=trades[0]["id"], limit=len(trades)).body
    assert [(row["a"], row["p"], row["q"]) for row in again] == [(row["id"], row["price"], row["qty"]) for row in trades]
    candles = bench.read("/fapi/v1/klines", symbol="BTCUSDT", interval="1m").body
    assert candles[0][1] == trades[0]["price"]
    last = bench.read("/fapi/v1/ticker/price", symbol="BTCUSDT").body["price"]
    day = bench.read("/fapi/v1/ticker/24hr", symbol="BTCUSDT").body
    assert Decimal(day["lowPrice"]) <= Decimal(last) <= Decimal(day["highPrice"])
    assert len(bench.read("/fapi/v1/premiumIndex").body) == len(bench.face.venue.markets)


def test_history_pages_by_id_and_by_time(bench: Bench) -> None:
    first = bench.place(newClientOrderId="p0").body["orderId"]
    for number in range(1, 4):
        bench.place(newClientOrderId=f"p{number}")
    path = "/fapi/v1/allOrders"
    from_first = bench.call("GET", path, symbol="BTCUSDT", orderId=first, limit=2).body
    assert [row["clientOrderId"] for row in from_first] == ["p0", "p1"]
    newest = bench.call("GET", path, symbol="BTCUSDT", limit=2).body
    assert [row["clientOrderId"] for row in newest] == ["p2", "p3"]
    oldest = bench.call("GET", path, symbol="BTCUSDT", startTime=from_first[0]["time"], limit=2).body
    assert oldest[0]["orderId"] <= first
    assert bench.call("GET", path, symbol="BTCUSDT", endTime=from_first[0]["time"] - 3_600_000).body == []


def test_executions_page_from_an_id(bench: Bench) -> None:
    bench.place(newClientOrderId="fills", quantity="0.030")
    for _ in range(3):
        bench.strike(Fault.FILL, client_id="fills", amount="0.010")
    number = bench.order("fills").body["orderId"]
    path = "/fapi/v1/userTrades"
    rows = bench.call("GET", path, symbol="BTCUSDT", orderId=number).body
    assert [row["qty"] for row in rows] == ["0.010"] * 3
    assert bench.call("GET", path, symbol="BTCUSDT", fromId=rows[1]["id"], limit=1).body == rows[1:2]
    assert bench.call("GET", path, symbol="BTCUSDT", startTime=rows[0]["time"], limit=1000).body[-3:] == rows
    income = bench.call("GET", "/fapi/v1/income", incomeType="COMMISSION", symbol="BTCUSDT").body
    assert [row["tradeId"] for row in income[-3:]] == [str(row["id"]) for row in rows]
    assert bench.call("GET", "/fapi/v1/income", incomeType="COMMISSION", limit=1, page=2).body == income[1:2]


def test_orders_are_forgotten_after_their_time(bench: Bench) -> None:
    bench.place(newClientOrderId="empty")
    bench.cancel("empty")
    bench.place(newClientOrderId="filled")
    bench.strike(Fault.FILL, client_id="filled")
    bench.place(newClientOrderId="open")
    bench.clock.ahead_ns += 4 * DAY_MS * 1_000_000
    assert [bench.order(name).status for name in ("empty", "filled", "open")] == [400, 200, 200]
    bench.clock.ahead_ns += 87 * DAY_MS * 1_000_000
    assert [bench.order(name).status for name in ("filled", "open")] == [400, 200]


def test_the_account_adds_up(bench: Bench) -> None:
    bench.market("BUY", "0.100")
    account = bench.call("GET", "/fapi/v3/account").body
    wallet, profit = Decimal(account["totalWalletBalance"]), Decimal(account["totalUnrealizedProfit"])
    assert Decimal(account["totalMarginBalance"]) == wallet + profit
    row = bench.call("GET", "/fapi/v3/positionRisk", symbol="BTCUSDT").body[0]
    assert row["positionAmt"] == "0.100"
    assert Decimal(row["liquidationPrice"]) == 0
    every = bench.call("GET", "/fapi/v2/positionRisk").body
    assert {one["symbol"] for one in every} == set(bench.face.venue.markets)
    assert [one["positionAmt"] for one in bench.call("GET", "/fapi/v2/account").body["positions"]].count("0.100") == 1
    assert bench.call("GET", "/fapi/v1/adlQuantile").body[0]["symbol"] == "BTCUSDT"
    market = bench.market("SELL", "0.100", reduceOnly="true").body
    assert market["reduceOnly"] is True
    assert bench.call("GET", "/fapi/v3/positionRisk").body == []


def test_what_is_beside_the_account_is_answered(bench: Bench) -> None:
    for path in (
        "/fapi/v1/accountConfig",
        "/fapi/v1/apiTradingStatus",
        "/fapi/v1/feeBurn",
        "/fapi/v1/leverageBracket",
        "/fapi/v1/multiAssetsMargin",
        "/fapi/v1/positionMargin/history",
        "/fapi/v1/positionSide/dual",
        "/fapi/v1/rateLimit/order",
        "/fapi/v1/symbolConfig",
        "/fapi/v2/balance",
        "/sapi/v1/account/apiTradingStatus",
        "/sapi/v1/capital/config/getall",
        "/sapi/v1/system/status",
    ):
        assert bench.call("GET", path).status == 200, path
    assert bench.call("GET", "/fapi/v1/commissionRate", symbol="BTCUSDT").body["takerCommissionRate"] == "0.0005"
    for path in ("constituents", "openInterest", "historicalTrades"):
        assert bench.call("GET", f"/fapi/v1/{path}", symbol="BTCUSDT").status == 200, path
    for path in ("ping", "fundingRate", "fundingInfo", "symbolAdlRisk"):
        assert bench.read(f"/fapi/v1/{path}").status == 200, path


def test_our_own_words_know_every_code_that_is_served(bench: Bench) -> None:
    found = bench.place(quantity="900.000")
    assert classify(found.status, str(found.code), Doing.PLACE).trouble is Trouble.INSUFFICIENT_BALANCE
