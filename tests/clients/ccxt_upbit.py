"""ccxt, unmodified but for its address, against the simulated Upbit: `python ccxt_upbit.py ADDRESSES.json`.

Prints one JSON line a step; exits 0 when every step went as expected. Runs in the clients' own environment, where interlock is not installed.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
from steps import Steps, happen  # type: ignore[import-not-found]

SYMBOL = "BTC/KRW"


def settings(where: dict[str, str], **changed: str) -> dict[str, Any]:
    base = where["rest"]
    return {
        "apiKey": where["key"],
        "secret": where["secret"],
        "urls": {"api": {"public": base, "private": base, "ws": where["ws_private"].removesuffix("/private")}},
        **changed,
    }


def exchange(where: dict[str, str], **changed: str) -> ccxt.upbit:
    return ccxt.upbit(settings(where, **changed))


def run_rest(steps: Steps, where: dict[str, str], control: str) -> None:
    upbit = exchange(where)
    markets = upbit.load_markets()
    steps.tell("load markets", SYMBOL in markets, list(markets))
    book = upbit.fetch_order_book(SYMBOL, 5)
    best_bid, best_ask = book["bids"][0][0], book["asks"][0][0]
    steps.tell("book", best_bid < best_ask and len(book["bids"]) >= 5, (best_bid, best_ask))
    ticker = upbit.fetch_ticker(SYMBOL)
    steps.tell("ticker", ticker["last"] > 0, ticker["last"])
    steps.tell("tickers", SYMBOL in upbit.fetch_tickers([SYMBOL, "ETH/KRW"]))
    steps.tell("trades", isinstance(upbit.fetch_trades(SYMBOL, limit=5), list))
    steps.tell("candles", isinstance(upbit.fetch_ohlcv(SYMBOL, "1m", limit=2), list))
    balance = upbit.fetch_balance()
    steps.tell("balances", balance["KRW"]["free"] > 0 and balance["BTC"]["free"] > 0, balance["KRW"])
    fee = upbit.fetch_trading_fee(SYMBOL)
    steps.tell("fees", fee["maker"] == 0.0005 and fee["taker"] == 0.0005, (fee["maker"], fee["taker"]))
    market = upbit.fetch_market(SYMBOL)
    steps.tell("market by key", market["limits"]["cost"]["min"] == 5000, market["limits"]["cost"])

    low = best_bid * 0.9 // 1000 * 1000
    mine = f"ccxt-{time.time_ns()}"
    order = upbit.create_order(SYMBOL, "limit", "buy", 0.001, low, {"clientOrderId": mine})
    steps.tell("place, rests", order["status"] == "open" and order["clientOrderId"] == mine, order["id"])
    locked = upbit.fetch_balance()["KRW"]["used"]
    steps.tell("funds and fee are locked", abs(locked - low * 0.001 * 1.0005) < 1e-6, locked)
    steps.tell("query", upbit.fetch_order(order["id"])["status"] == "open")
    steps.tell("open orders", [o["id"] for o in upbit.fetch_open_orders(SYMBOL)] == [order["id"]])
    happen(control, fault="fill", venue="upbit", client_id=mine, amount="0.0004")
    part = upbit.fetch_order(order["id"])
    steps.tell("partial fill", part["status"] == "open" and part["filled"] == 0.0004 and len(part["trades"]) == 1, part["filled"])
    happen(control, fault="fill", venue="upbit", client_id=mine)
    done = upbit.fetch_order(order["id"])
    steps.tell("then the rest", done["status"] == "closed" and done["filled"] == 0.001 and float(done["fee"]["cost"]) > 0, done["fee"])
    steps.tell("closed orders", order["id"] in [o["id"] for o in upbit.fetch_closed_orders(SYMBOL)])

    other = upbit.create_order(SYMBOL, "limit", "sell", 0.001, best_ask * 1.1 // 1000 * 1000)
    gone = upbit.cancel_order(other["id"])
    steps.tell("cancel", gone["id"] == other["id"])
    steps.tell("cancelled", upbit.fetch_order(other["id"])["status"] == "canceled")
    steps.tell("cancelled orders", other["id"] in [o["id"] for o in upbit.fetch_canceled_orders(SYMBOL)])
    steps.refused("cancel again", ccxt.OrderNotFound, lambda: upbit.cancel_order(other["id"]), "order_not_found")

    bought = upbit.create_order(SYMBOL, "market", "buy", 100_000, None, {"cost": 100_000})
    spent = upbit.fetch_order(bought["id"])
    steps.tell(
        "market buy by value",
        99_000 < spent["cost"] <= 100_000 and spent["status"] == ("closed" if spent["cost"] == 100_000 else "canceled"),
        (spent["cost"], spent["status"]),
    )
    sold = upbit.fetch_order(upbit.create_order(SYMBOL, "market", "sell", 0.001)["id"])
    steps.tell("market sell", sold["status"] == "closed" and sold["filled"] == 0.001, sold["average"])
    post_only = upbit.create_order(SYMBOL, "limit", "buy", 0.001, best_ask * 1.01 // 1000 * 1000, {"postOnly": True})
    steps.tell("post-only that would take", upbit.fetch_order(post_only["id"])["status"] == "canceled", post_only["status"])
    ioc = upbit.create_order(SYMBOL, "limit", "buy", 0.001, low, {"timeInForce": "IOC"})
    steps.tell("IOC that takes nothing", upbit.fetch_order(ioc["id"])["status"] == "canceled")
    best = upbit.create_order(SYMBOL, "market", "sell", 0.001, None, {"ordType": "best", "timeInForce": "IOC"})
    steps.tell("best price", upbit.fetch_order(best["id"])["filled"] == 0.001)
    tested = upbit.create_order(SYMBOL, "limit", "buy", 0.001, low, {"test": True})
    steps.refused("a dry run leaves nothing", ccxt.OrderNotFound, lambda: upbit.fetch_order(tested["id"]))

    old = upbit.create_order(SYMBOL, "limit", "buy", 0.001, low)
    edited = upbit.edit_order(old["id"], SYMBOL, "limit", "buy", 0.002, low - 1000)
    newer = upbit.fetch_order(edited["id"])
    steps.tell("cancel and new", newer["status"] == "open" and newer["amount"] == 0.002, newer["amount"])
    steps.tell("the old one is gone", upbit.fetch_order(old["id"])["status"] == "canceled")
    for _ in range(2):
        upbit.create_order(SYMBOL, "limit", "buy", 0.001, low)
    swept = upbit.private_delete_orders_open({"quote_currencies": "KRW", "count": 300})
    steps.tell("cancel all", int(swept["success"]["count"]) == 3 and upbit.fetch_open_orders() == [], swept["success"]["count"])
    keys = upbit.private_get_api_keys()
    steps.tell("keys", keys[0]["access_key"] == where["key"] and "expire_at" in keys[0], keys)
    steps.tell("deposits", upbit.fetch_deposits() == [])

    steps.refused("insufficient funds", ccxt.InsufficientFunds, lambda: upbit.create_order(SYMBOL, "limit", "sell", 10.5, best_ask))
    steps.refused("too small", ccxt.ExchangeError, lambda: upbit.create_order(SYMBOL, "limit", "buy", 0.00001, low), "under_min_total_bid")
    raw = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "volume": "0.001", "price": str(int(low) + 1)}
    steps.refused("price unit", ccxt.ExchangeError, lambda: upbit.private_post_orders(raw), "invalid_price_bid")
    again = {"clientOrderId": mine}
    steps.refused(
        "identifier again",
        ccxt.ExchangeError,
        lambda: upbit.create_order(SYMBOL, "limit", "buy", 0.001, low, again),
        "duplicated_identifier",
    )
    unknown = "00000000-0000-4000-8000-000000000000"
    steps.refused("unknown order", ccxt.OrderNotFound, lambda: upbit.fetch_order(unknown), "order_not_found")
    steps.refused("withdrawals", ccxt.PermissionDenied, upbit.fetch_withdrawals, "out_of_scope")
    steps.refused("bad signature", ccxt.AuthenticationError, exchange(where, secret="x" * 64).fetch_balance, "jwt_verification")
    steps.refused("unknown key", ccxt.AuthenticationError, exchange(where, apiKey="nobody").fetch_balance, "invalid_access_key")


async def run_streams(steps: Steps, where: dict[str, str], control: str) -> None:
    upbit = ccxt.pro.upbit(settings(where))
    try:
        book = await asyncio.wait_for(upbit.watch_order_book(SYMBOL), 20)
        steps.tell("watch the book", book["bids"][0][0] < book["asks"][0][0], book["bids"][0])
        trades = await asyncio.wait_for(upbit.watch_trades(SYMBOL), 20)
        steps.tell("watch trades", trades[0]["price"] > 0, trades[0]["price"])
        ticker = await asyncio.wait_for(upbit.watch_ticker(SYMBOL), 20)
        steps.tell("watch the ticker", ticker["last"] > 0, ticker["last"])
        low = book["bids"][0][0] * 0.9 // 1000 * 1000
        watching = asyncio.ensure_future(upbit.watch_orders(SYMBOL))
        await asyncio.sleep(1.5)  # the subscription is not acknowledged
        order = await upbit.create_order(SYMBOL, "limit", "buy", 0.001, low)
        seen = await asyncio.wait_for(watching, 20)
        steps.tell("watch orders", seen[-1]["id"] == order["id"], seen[-1]["status"])
        balances = asyncio.ensure_future(upbit.watch_balance())
        await asyncio.sleep(1.5)
        await upbit.cancel_order(order["id"])
        steps.tell("watch balances", "KRW" in await asyncio.wait_for(balances, 20))
    finally:
        await upbit.close()


def main(path: str) -> int:
    places = json.loads(Path(path).read_text())
    steps = Steps()
    run_rest(steps, places["upbit"], places["control"])
    asyncio.run(run_streams(steps, places["upbit"], places["control"]))
    return 1 if steps.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
