"""ccxt.pro's way of reading a book frame: its own client decodes the text and calls the exchange's handler, and the caller gets the book.

`PYTHON benchmarks/feeds/ccxt_feed.py FILE` with the interpreter of an environment that has ccxt (`make clients`); the file is that of
`interlock_feed.py`. One JSON object on stdout: set, way, nanoseconds of every message, best bid and ask at the end. `handle` ends when the handler
returns, `watch` when the caller of watch_order_book has the levels that it asked for.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import ccxt
import ccxt.pro

_URLS = {
    "bybit": "wss://stream.bybit.com/v5/public/linear",
    "binance_usdm": "wss://fstream.binance.com/public/ws",
    "upbit": "wss://api.upbit.com/websocket/v1",
}
_SYMBOLS = {"bybit": "BTC/USDT:USDT", "binance_usdm": "BTC/USDT:USDT", "upbit": "BTC/KRW"}


def exchange_of(venue: str) -> Any:
    """An exchange that knows one market, without asking anybody."""
    exchange = {"bybit": ccxt.pro.bybit, "binance_usdm": ccxt.pro.binanceusdm, "upbit": ccxt.pro.upbit}[venue]()
    symbol = _SYMBOLS[venue]
    swap = ":" in symbol
    base, quote = symbol.partition(":")[0].split("/")
    market = {
        "id": "BTCUSDT" if swap else "KRW-BTC",
        "symbol": symbol,
        "base": base,
        "quote": quote,
        "baseId": base,
        "quoteId": quote,
        "type": "swap" if swap else "spot",
        "swap": swap,
        "spot": not swap,
        "contract": swap,
        "linear": swap or None,
        "precision": {"price": 0.1, "amount": 0.001},
    }
    if swap:
        market |= {"settle": quote, "settleId": quote, "inverse": False, "contractSize": 1}
    exchange.set_markets([exchange.safe_market_structure(market)])
    return exchange


def begin(exchange: Any, client: Any, frames: dict[str, Any]) -> None:
    """The book before the frames that are timed."""
    if frames["venue"] != "binance_usdm":
        client.handle_text_or_binary_message(frames["begin"])
        return
    body = json.loads(frames["begin"])
    sides = {name: [[float(price), float(size)] for price, size in body[name]] for name in ("bids", "asks")}
    # what its watch_order_book makes of the answer to the REST call
    symbol = _SYMBOLS["binance_usdm"]
    book = exchange.order_book({**sides, "timestamp": body["T"], "nonce": json.loads(frames["frames"][0])["pu"]}, 1000)
    book["symbol"] = symbol
    exchange.orderbooks[symbol] = book


async def measure(frames: dict[str, Any]) -> dict[str, Any]:
    """One set."""
    exchange = exchange_of(frames["venue"])
    client = exchange.client(_URLS[frames["venue"]])
    begin(exchange, client, frames)
    symbol = _SYMBOLS[frames["venue"]]
    handle, watch = [], []
    clock = time.perf_counter_ns
    gc.collect()
    for text in frames["frames"]:
        began = clock()
        client.handle_text_or_binary_message(text)
        handled = clock()
        exchange.orderbooks[symbol].limit()
        watched = clock()
        handle.append(handled - began)
        watch.append(watched - began)
    book = exchange.orderbooks[symbol]
    await exchange.close()
    return {
        "set": f"{frames['venue']} {frames['levels']}",
        "times_ns": {"handle": handle, "watch": watch},
        "best": [[book["bids"][0][0], book["asks"][0][0]]],
    }


async def main(sets: list[dict[str, Any]]) -> int:
    """Every set."""
    for frames in sets:
        await measure({**frames, "frames": frames["frames"][:50]})
    sys.stdout.write(json.dumps({"version": ccxt.__version__, "sets": [await measure(frames) for frames in sets]}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main([json.loads(line) for line in Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()])))
