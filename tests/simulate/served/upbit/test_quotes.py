"""REST without keys: shapes, numbers, bounds, and refusals whose name is a number."""

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.simulate.served.upbit.bench import Bench


def quote(bench: Bench, path: str, query: str = "") -> tuple[int, Any]:
    async def fetched() -> tuple[int, bytes]:
        async with bench.session.get(f"{bench.quotes}/v1/{path}?{query}") as answer:
            return answer.status, await answer.read()

    status, raw = bench.run(fetched())
    return status, json.loads(raw, parse_float=Decimal)


@pytest.fixture
def traded(bench: Bench) -> Bench:
    while not all(market.trades for market in bench.venue.markets.values()):
        bench.house.step()
    return bench


def test_markets_and_their_warnings(bench: Bench) -> None:
    plain, detailed = quote(bench, "market/all")[1], quote(bench, "market/all", "is_details=true")[1]
    assert [row["market"] for row in plain] == list(bench.venue.markets)
    assert "market_event" not in plain[0]
    assert len(detailed[0]["market_event"]["caution"]) == 5


def test_a_book_is_that_of_the_venue(bench: Bench) -> None:

    def levels() -> list[object]:
        return [bench.venue.levels(market, 5) for market in ("KRW-BTC", "KRW-ETH")]

    for _ in range(50):  # the market may move between the two looks
        before = levels()
        found = quote(bench, "orderbook", "markets=KRW-BTC,KRW-ETH&count=5")[1]
        if levels() == before:
            break
    for row in found:
        instrument = bench.venue.markets[row["market"]].instrument
        bids, asks = bench.venue.levels(row["market"], 5)
        units = row["orderbook_units"]
        assert [(u["bid_price"], u["bid_size"]) for u in units] == [(instrument.price(t), instrument.quantity(n)) for t, n in bids]
        assert [(u["ask_price"], u["ask_size"]) for u in units] == [(instrument.price(t), instrument.quantity(n)) for t, n in asks]
        assert row["total_bid_size"] == sum(u["bid_size"] for u in units)
    assert [row["market"] for row in found] == ["KRW-BTC", "KRW-ETH"]


def test_prices_are_put_together_by_level(bench: Bench) -> None:
    for _ in range(50):  # the market may move between the two looks
        best = bench.best()
        row = quote(bench, "orderbook", "markets=KRW-BTC&level=10000")[1][0]
        if bench.best() == best:
            break
    bids, asks = [[u[name] for u in row["orderbook_units"] if u[name]] for name in ("bid_price", "ask_price")]
    assert all(price % 10_000 == 0 for price in (*bids, *asks))
    assert bids == sorted(set(bids), reverse=True)
    assert asks == sorted(set(asks))
    assert bids[0] <= best[0]
    assert asks[0] >= best[1]
    assert quote(bench, "orderbook", "markets=KRW-BTC&level=12345")[1] == []


def test_instruments_tell_the_price_unit_in_force(bench: Bench) -> None:
    rows = {row["market"]: row for row in quote(bench, "orderbook/instruments", "markets=KRW-BTC,KRW-XRP,KRW-DOGE")[1]}
    assert {market: row["tick_size"] for market, row in rows.items()} == {"KRW-BTC": "1000", "KRW-XRP": "1", "KRW-DOGE": "1"}
    assert rows["KRW-BTC"]["supported_levels"][:3] == ["0", "10000", "100000"]
    assert quote(bench, "orderbook/supported_levels", "markets=KRW-BTC")[1][0]["supported_levels"][1] == 10_000


def test_trades_go_back_by_cursor(traded: Bench) -> None:
    for _ in range(50):
        traded.house.step()
    first = quote(traded, "trades/ticks", "market=KRW-BTC&count=3")[1]
    older = quote(traded, "trades/ticks", f"market=KRW-BTC&count=3&cursor={first[-1]['sequential_id']}")[1]
    ids = [row["sequential_id"] for row in (*first, *older)]
    assert len(set(ids)) == 6
    assert {row["ask_bid"] for row in (*first, *older)} <= {"ASK", "BID"}


def test_tickers_add_up(traded: Bench) -> None:
    row = quote(traded, "ticker", "markets=KRW-BTC")[1][0]
    assert row["low_price"] <= row["trade_price"] <= row["high_price"]
    assert row["signed_change_price"] == row["trade_price"] - row["prev_closing_price"]
    assert row["acc_trade_volume"] >= row["trade_volume"] > 0
    assert [r["market"] for r in quote(traded, "ticker/all", "quote_currencies=KRW")[1]] == list(traded.venue.markets)
    assert quote(traded, "ticker/all", "quote_currencies=BTC")[1] == []


@pytest.mark.parametrize("unit", ["seconds", "minutes", "minutes/1", "minutes/240", "days", "weeks", "months", "years"])
def test_candles_hold_the_trades(traded: Bench, unit: str) -> None:
    # The market goes on between two requests, so the sum that must be within the other is asked for first.
    day = quote(traded, "candles/days", "market=KRW-ETH")[1][0]
    rows = quote(traded, f"candles/{unit}", "market=KRW-ETH&count=200")[1]
    assert rows[0]["low_price"] <= rows[0]["trade_price"] <= rows[0]["high_price"]
    assert sum(row["candle_acc_trade_volume"] for row in rows) >= day["candle_acc_trade_volume"]
    assert rows[0]["candle_date_time_utc"] <= quote(traded, "candles/seconds", "market=KRW-ETH")[1][0]["candle_date_time_utc"]
    before = rows[0]["candle_date_time_utc"]
    assert before not in [r["candle_date_time_utc"] for r in quote(traded, f"candles/{unit}", f"market=KRW-ETH&to={before}&count=200")[1]]


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("ticker", "", 400),
        ("ticker", "markets=KRW-NONE", 404),
        ("ticker/all", "", 400),
        ("orderbook", "markets=KRW-BTC,KRW-NONE", 404),
        ("orderbook", "markets=KRW-BTC&count=31", 400),
        ("orderbook/instruments", "", 400),
        ("trades/ticks", "count=1", 400),
        ("trades/ticks", "market=KRW-BTC&count=501", 400),
        ("candles/minutes/1", "market=KRW-NONE", 404),
        ("candles/minutes/2", "market=KRW-BTC", 404),
        ("candles/days", "market=KRW-BTC&count=201", 400),
        ("candles/days", "market=KRW-BTC&to=tomorrow", 400),
    ],
)
def test_a_refusal_without_a_key_has_a_number_for_a_name(bench: Bench, path: str, query: str, status: int) -> None:
    found, body = quote(bench, path, query)
    assert (found, body["error"]["name"]) == (status, status)
