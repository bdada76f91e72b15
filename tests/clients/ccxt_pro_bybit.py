"""ccxt's streams, unmodified, against the simulated Bybit: public and private topics, and order entry over WebSocket.

Run in an environment that has ccxt, with the path of the JSON that `interlock venues serve` prints first. One JSON line a step; exit 0 if all are as
expected.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro
from steps import Steps, say  # type: ignore[import-not-found]

SYMBOL = "BTC/USDT:USDT"
PATIENCE_S = 20
STEPS = Steps()


def client(place: dict[str, str]) -> Any:
    """A client whose addresses are the simulator's."""
    found = ccxt.pro.bybit({"apiKey": place["key"], "secret": place["secret"], "options": {"defaultType": "swap"}})
    streams = {
        "public": dict.fromkeys(found.urls["api"]["ws"]["public"], place["ws_public"]),
        "private": {"spot": {"unified": place["ws_private"]}, "contract": place["ws_private"], "trade": place["ws_trade"]},
    }
    found.urls["api"] = {**dict.fromkeys(found.urls["api"], place["rest"]), "ws": streams}
    return found


async def soon(doing: Awaitable[Any]) -> Any:
    """What comes within patience."""
    return await asyncio.wait_for(doing, PATIENCE_S)


async def main(place: dict[str, str]) -> int:
    """Every step."""
    exchange = client(place)
    try:
        await exchange.load_markets()
        await _public(exchange)
        await _private(exchange)
    finally:
        await exchange.close()
    say({"client": "ccxt.pro", "version": ccxt.__version__, "failed": STEPS.failed})
    return 1 if STEPS.failed else 0


async def _public(exchange: Any) -> None:
    for _ in range(5):
        book = await soon(exchange.watch_order_book(SYMBOL))
    STEPS.tell("watch_book", len(book["bids"]) >= 50 and book["bids"][0][0] < book["asks"][0][0])
    STEPS.tell("watch_trades", (await soon(exchange.watch_trades(SYMBOL)))[-1]["amount"] > 0)
    ticker = await soon(exchange.watch_ticker(SYMBOL))
    STEPS.tell("watch_ticker", ticker["bid"] < ticker["ask"])


async def _private(exchange: Any) -> None:
    book = await exchange.fetch_order_book(SYMBOL, 5)
    price = float(exchange.price_to_precision(SYMBOL, book["bids"][0][0] * 0.98))
    watching = asyncio.ensure_future(exchange.watch_orders(SYMBOL))
    # Nothing says when the subscription is in force; an order that is told shows that it was.
    await asyncio.sleep(2)
    placed = await soon(exchange.create_order_ws(SYMBOL, "limit", "buy", 0.01, price))
    STEPS.tell("create_ws", bool(placed["id"]))
    STEPS.tell("watch_orders", [(o["id"], o["status"]) for o in await soon(watching)] == [(placed["id"], "open")])
    edited = await soon(exchange.edit_order_ws(placed["id"], SYMBOL, "limit", "buy", 0.02, price))
    STEPS.tell("edit_ws", edited["id"] == placed["id"])
    await soon(exchange.cancel_order_ws(placed["id"], SYMBOL))
    try:
        await soon(exchange.cancel_order_ws(placed["id"], SYMBOL))
        STEPS.tell("unknown_order_ws", False)
    except ccxt.OrderNotFound:
        STEPS.tell("unknown_order_ws", True)
    trades, balance = (asyncio.ensure_future(doing) for doing in (exchange.watch_my_trades(SYMBOL), exchange.watch_balance()))
    await asyncio.sleep(2)
    await exchange.create_order(SYMBOL, "market", "buy", 0.01)
    STEPS.tell("watch_my_trades", sum(trade["amount"] for trade in await soon(trades)) > 0)
    STEPS.tell("watch_balance", (await soon(balance))["USDT"]["total"] > 0)
    await exchange.create_order(SYMBOL, "market", "sell", 0.01, None, {"reduceOnly": True})


if __name__ == "__main__":
    sys.exit(asyncio.run(main(json.loads(Path(sys.argv[1]).read_text())["bybit"])))
