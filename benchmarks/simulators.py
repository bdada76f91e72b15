"""How much one `interlock venues serve` process does: its public streams read by one client, then orders placed and cancelled over REST in turn.

Limits of the simulated venues stay as they are, so the round trips stop short of Binance's 300 orders in 10 s.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from interlock.simulate.served.listing import instruments_of
from interlock.venues.binance_usdm.public import Feed as BinanceFeed
from interlock.venues.binance_usdm.sign import sign
from interlock.venues.binance_usdm.subscriptions import BooksWire, MarketWire
from interlock.venues.bybit.public import Feed as BybitFeed
from interlock.venues.bybit.subscriptions import PublicWire as BybitWire
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.hot import among
from interlock.venues.http_reader import HttpReader
from interlock.venues.live import PublicWire
from interlock.venues.request import Call, Key, Method, SignedCall
from interlock.venues.socket import connect_picows
from interlock.venues.upbit.subscriptions import PublicWire as UpbitWire

READY_S = 120
MOST_PAIRS = 280


class SimulatorsFailedError(Exception):
    """The simulators did not start, or answered what they should not; the message says how."""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[dict[str, Any], psutil.Process]]:
    """The simulators in a process of their own: the first line of their output, and the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stderr").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "interlock", "venues", "serve", "--dir", str(folder / "venues")], stdout=subprocess.PIPE, stderr=said
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise SimulatorsFailedError(
                f"expected the simulators to start, found: {(folder / 'stderr').read_text(encoding='utf-8')[-400:]}"
            )
        yield json.loads(line), psutil.Process(process.pid)
        process.send_signal(signal.SIGTERM)
        process.wait(10)
    finally:
        process.kill()
        process.communicate()


def _endpoint(url: str) -> Endpoint:
    place = urlsplit(url)
    return Endpoint(Where.LOOPBACK, place.hostname or "", place.port or 0, tls=False)


def _wires(venue: str) -> list[PublicWire]:
    instruments = instruments_of(venue)
    symbols = tuple(instrument.symbol for instrument in instruments)
    if venue == "upbit":
        return [UpbitWire(symbols)]
    if venue == "bybit":
        return [BybitWire(BybitFeed(among(instruments)), symbols)]
    return [BooksWire(BinanceFeed(among(instruments)), symbols), MarketWire(symbols)]


async def _read_streams(where: dict[str, Any], seconds: float, server: psutil.Process) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    ended: list[str] = []
    sockets = []
    for venue in ("upbit", "binance_usdm", "bybit"):
        for wire in _wires(venue):

            def count(frame: bytes, venue: str = venue) -> None:
                counts[venue] += 1
                counts["bytes"] += len(frame)

            socket = await connect_picows(_endpoint(where[venue]["ws_public"]), wire.path, (), count, ended.append)
            for text in wire.hello():
                socket.send(text)
            sockets.append(socket)
    await asyncio.sleep(1.0)
    counts.clear()
    began, busy = time.perf_counter(), sum(server.cpu_times()[:2])
    await asyncio.sleep(seconds)
    took, busy = time.perf_counter() - began, sum(server.cpu_times()[:2]) - busy
    if ended:
        raise SimulatorsFailedError(f"expected every stream to live, found: {ended}")
    for socket in sockets:
        socket.close()
    octets = counts.pop("bytes")
    return {
        "symbols": {venue: len(instruments_of(venue)) for venue in sorted(counts)},
        "messages_per_s": {venue: round(count / took, 1) for venue, count in sorted(counts.items())},
        "all_per_s": round(counts.total() / took, 1),
        "bytes_per_s": round(octets / took),
        "server_core_share": round(busy / took, 3),
        "seconds": round(took, 1),
    }


async def _trade(where: dict[str, Any], pairs: int) -> dict[str, Any]:
    place = where["binance_usdm"]
    reader, key = HttpReader(_endpoint(place["rest"])), Key(place["key"], place["secret"])

    async def ask(method: Method, path: str, parameters: str) -> Any:
        call = Call(method, path, parameters) if method is not Method.POST else Call(method, path, "", parameters.encode())
        heard = await reader.ask(sign(key, call, timestamp_ms=time.time_ns() // 10**6, receive_window_ms=5000), 10.0)
        answer = json.loads(heard.body)
        if heard.status != 200:
            raise SimulatorsFailedError(f"{method.value} {path}: expected 200, found {heard.status} {answer}")
        return answer

    ticker = await reader.ask(SignedCall(Method.GET, "/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT", ()), 10.0)
    far = (Decimal(json.loads(ticker.body)["bidPrice"]) * Decimal("0.97")).quantize(Decimal("0.1"))
    order = f"symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.010&price={far}"
    times: list[int] = []
    for _ in range(pairs):
        began = time.perf_counter_ns()
        placed = await ask(Method.POST, "/fapi/v1/order", order)
        await ask(Method.DELETE, "/fapi/v1/order", f"symbol=BTCUSDT&orderId={placed['orderId']}")
        times.append(time.perf_counter_ns() - began)
    reader.close()
    times.sort()
    return {
        "pairs": pairs,
        "pairs_per_s": round(pairs / (sum(times) / 1e9), 1),
        "p50_us": round(times[len(times) // 2] / 1e3, 1),
        "p99_us": round(times[len(times) * 99 // 100] / 1e3, 1),
    }


def measure(folder: Path, *, seconds: float, pairs: int) -> dict[str, Any]:
    """Messages a second of all public streams, the share of a core that the process took meanwhile, and place-and-cancel pairs a second."""
    with serving(folder) as (where, server):
        streams = asyncio.run(_read_streams(where, seconds, server))
        trades = asyncio.run(_trade(where, min(pairs, MOST_PAIRS)))
    return {"streams": streams, "place_and_cancel": trades}
