"""The account: wallet, positions, log, fees, settings, and the switch for when the client is gone."""

import itertools
from decimal import Decimal
from typing import Any

import pytest
from tests.simulate.served.bybit.wire import Bench

WALLET = ("/v5/account/wallet-balance", "accountType=UNIFIED")
LOG = "/v5/account/transaction-log"


def wallet(bench: Bench, coin: str = "USDT") -> tuple[dict[str, Any], dict[str, Any]]:
    whole = bench.get(*WALLET).rows[0]
    return whole, next(row for row in whole["coin"] if row["coin"] == coin)


def position(bench: Bench, symbol: str = "BTCUSDT") -> dict[str, Any]:
    return bench.get("/v5/position/list", f"category=linear&symbol={symbol}").rows[0]


def test_the_wallet_counts_orders_and_positions(bench: Bench) -> None:
    whole, coin = wallet(bench)
    assert whole["totalInitialMargin"] == "0"
    assert coin["walletBalance"] == whole["totalAvailableBalance"]
    order = bench.placed(qty="1")
    whole, coin = wallet(bench)
    margin = order.price / 20
    assert Decimal(coin["totalOrderIM"]) == margin
    assert Decimal(coin["walletBalance"]) - Decimal(whole["totalAvailableBalance"]) == margin
    bench.strike(fault="fill", client_id=order.client_id)
    whole, coin = wallet(bench)
    mark = bench.face.venue.markets["BTCUSDT"].mark
    assert Decimal(coin["totalPositionIM"]) == mark / 20
    assert Decimal(coin["unrealisedPnl"]) == mark - order.price
    assert Decimal(coin["equity"]) == Decimal(coin["walletBalance"]) + mark - order.price
    _, other = wallet(bench, "BTC")
    assert (other["walletBalance"], other["collateralSwitch"]) == ("1", False)
    assert Decimal(other["usdValue"]) == mark
    assert [row["coin"] for row in bench.get(WALLET[0], "accountType=UNIFIED&coin=BTC,ETH").rows[0]["coin"]] == ["BTC"]
    assert bench.get(WALLET[0], "accountType=SPOT").code == 10001


def test_a_position_is_shown_with_its_side(bench: Bench) -> None:
    assert (position(bench)["side"], position(bench)["size"], position(bench)["liqPrice"]) == ("", "0.000", "")
    order = bench.placed(qty="100", side="Sell", price=bench.far("1.01"))
    bench.strike(fault="fill", client_id=order.client_id)
    shown = position(bench)
    assert (shown["side"], shown["size"], shown["positionIdx"]) == ("Sell", "100.000", 0)
    assert Decimal(shown["avgPrice"]) == order.price
    assert Decimal(shown["liqPrice"]) > order.price
    assert [row["symbol"] for row in bench.get("/v5/position/list", "category=linear&settleCoin=USDT").rows] == ["BTCUSDT"]
    assert bench.get("/v5/position/list", "category=linear").code == 10001
    assert bench.get("/v5/position/list", "category=linear&symbol=NO").code == 10001
    assert bench.get("/v5/position/list", "category=inverse&symbol=BTCUSD").rows == []


def test_the_log_leads_from_balance_to_balance(bench: Bench) -> None:
    bench.advance(8 * 86_400)
    bench.strike(fault="deposit", currency="USDT", amount="100")
    bench.advance(1)
    bench.strike(fault="deposit", currency="USDT", amount="-30")
    bench.advance(1)
    order = bench.placed()
    bench.strike(fault="fill", client_id=order.client_id)
    bench.advance(1)
    bench.strike(fault="funding", symbol="BTCUSDT", rate="-0.0002")
    bench.advance(1)
    closing = bench.placed(side="Sell", orderType="Market", price=None)
    rows = bench.get(LOG, "accountType=UNIFIED&currency=USDT&limit=50").rows
    assert [row["type"] for row in rows if row["type"] != "TRADE"] == ["SETTLEMENT", "TRANSFER_OUT", "TRANSFER_IN"]
    assert rows[0]["orderLinkId"] == closing.client_id
    assert rows[0]["cashBalance"] == wallet(bench)[1]["walletBalance"]
    for newer, older in itertools.pairwise(rows):
        assert Decimal(newer["cashBalance"]) - Decimal(newer["change"]) == Decimal(older["cashBalance"])
    for row in rows:
        assert Decimal(row["change"]) == Decimal(row["cashFlow"]) + Decimal(row["funding"] or 0) - Decimal(row["fee"])
    settled = next(row for row in rows if row["type"] == "SETTLEMENT")
    assert Decimal(settled["funding"]) > 0
    assert [row["type"] for row in bench.get(LOG, "type=TRANSFER_IN").rows] == ["TRANSFER_IN"]
    assert {row["type"] for row in bench.get(LOG, "category=linear&baseCoin=BTC").rows} == {"TRADE", "SETTLEMENT"}
    assert bench.get(LOG, "category=spot").rows == []


def test_a_reversal_is_in_the_log_with_what_it_took_back(bench: Bench) -> None:
    before = wallet(bench)[1]["walletBalance"]
    order = bench.placed()
    bench.strike(fault="fill", client_id=order.client_id)
    assert wallet(bench)[1]["walletBalance"] != before
    assert bench.strike(fault="reverse_fill")
    assert wallet(bench)[1]["walletBalance"] == before
    assert position(bench)["size"] == "0.000"
    rows = bench.get(LOG, "accountType=UNIFIED").rows
    assert [Decimal(row["cashBalance"]) for row in rows[:2]] == [Decimal(before), Decimal(before) - order.fee]


def test_fees_and_settings_are_read(bench: Bench) -> None:
    fee = "/v5/account/fee-rate"
    (row,) = bench.get(fee, "category=linear&symbol=BTCUSDT").rows
    assert row == {"symbol": "BTCUSDT", "takerFeeRate": "0.00055", "makerFeeRate": "0.0002"}
    assert len(bench.get(fee, "category=linear").rows) == len(bench.face.venue.markets)
    bench.advance(1)
    assert bench.get(fee, "category=spot").rows == []
    assert bench.get(fee, "category=linear&symbol=NO").code == 10001
    assert bench.get("/v5/account/info").result["marginMode"] == "REGULAR_MARGIN"
    assert bench.get("/v5/account/smp-group").result == {"smpGroup": 0}
    assert bench.get("/v5/asset/coin/query-info").result == {"rows": []}
    assert len(bench.get("/v5/account/instruments-info", "category=linear").rows) == len(bench.face.venue.markets)


def leverage(bench: Bench, buy: str, sell: str | None = None, symbol: str = "BTCUSDT") -> int:
    body = {"category": "linear", "symbol": symbol, "buyLeverage": buy, "sellLeverage": sell or buy}
    return bench.post("/v5/position/set-leverage", body).code


def test_leverage_is_set_where_the_margin_suffices(bench: Bench) -> None:
    assert (leverage(bench, "10"), position(bench)["leverage"]) == (0, "10")
    assert leverage(bench, "10") == 110043
    assert leverage(bench, "101") == 110013
    assert (leverage(bench, "0.5"), leverage(bench, "2.5"), leverage(bench, "5", "6"), leverage(bench, "5", symbol="NO")) == (10001,) * 4
    bench.placed(qty="30")
    assert leverage(bench, "1") == 110044
    assert position(bench)["leverage"] == "10"


def test_modes_are_what_they_are(bench: Bench) -> None:
    def mode(mode: int, **more: str) -> int:
        return bench.post("/v5/position/switch-mode", {"category": "linear", "mode": mode, **more}).code

    assert (mode(0, symbol="BTCUSDT"), mode(3, coin="USDT"), mode(3), mode(3, symbol="NO")) == (110025, 110029, 10001, 10001)
    assert mode(3, category="spot") == 10001
    order = bench.placed()
    assert mode(3, symbol="BTCUSDT") == 110028
    bench.strike(fault="fill", client_id=order.client_id)
    bench.advance(1)
    assert mode(3, symbol="BTCUSDT") == 110024
    margin = "/v5/account/set-margin-mode"
    assert bench.post(margin, {"setMarginMode": "REGULAR_MARGIN"}).result == {"reasons": []}
    assert bench.post(margin, {"setMarginMode": "ISOLATED_MARGIN"}).code == 110073
    assert bench.post(margin, {"setMarginMode": "OTHER"}).code == 10001


@pytest.fixture
def granted(bench: Bench) -> Bench:
    bench.face.desk.dead_man.enabled = True
    return bench


@pytest.fixture(autouse=True)
def _taken_back(bench: Bench) -> None:
    bench.face.desk.dead_man.enabled = False
    bench.face.desk.dead_man.windows_s.clear()
    bench.face.desk.dead_man.heard_ms = None


SWITCH = "/v5/order/disconnected-cancel-all"


def test_the_switch_is_for_those_to_whom_it_was_granted(bench: Bench) -> None:
    assert bench.post(SWITCH, {"product": "DERIVATIVES", "timeWindow": 10}).code == 10005
    assert bench.get("/v5/account/query-dcp-info").result == {"dcpInfos": []}
    bench.face.desk.dead_man.enabled = True
    assert bench.post(SWITCH, {"product": "DERIVATIVES", "timeWindow": 40}).code == 0
    assert [bench.post(SWITCH, {"timeWindow": wrong}).code for wrong in (2, 301, "")] == [10001] * 3
    (shown,) = bench.get("/v5/account/query-dcp-info").result["dcpInfos"]
    assert shown == {"product": "DERIVATIVES", "dcpStatus": "ON", "timeWindow": "40"}


def test_the_switch_fires_once_who_listened_is_silent(granted: Bench) -> None:
    bench = granted
    bench.post(SWITCH, {"product": "DERIVATIVES", "timeWindow": 40})
    order, stream = bench.placed(), bench.stream("dcp.future", "order")
    bench.advance(39)
    bench.step()
    assert stream.ask({"op": "ping"})["op"] == "pong"
    bench.advance(39)
    bench.step()
    assert order.open
    bench.advance(1)
    bench.step()
    assert stream.upto("order")["data"][0]["cancelType"] == "CancelByDCP"
    assert not order.open
    later = bench.placed()
    bench.advance(100)
    bench.step()
    assert later.open


def test_the_switch_does_nothing_while_nobody_listens(granted: Bench) -> None:
    order = granted.placed()
    granted.advance(1_000)
    granted.step()
    assert order.open
