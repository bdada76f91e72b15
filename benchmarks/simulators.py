"""How much one `interlock venues serve` process does: its public streams read by one client, then orders placed and cancelled over REST in turn.

Limits of the simulated venues stay as they are, so the round trips stop short of Binance's 300 orders in 10 s. How much a simulator can do is asked
of `benchmarks.sped_up`, one venue at a time: book messages of a market that goes on as fast as one client reads, and requests of several connections
at once. The client is a process of its own; where it took a whole core, the figure is the client's.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
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

MOST_PAIRS = 280
LINES: Final = 8
"""Connections that ask at once where the most is asked for."""


class SimulatorsFailedError(Exception):
    """The simulators did not start, or answered what they should not; the message says how."""


@contextmanager
def serving(folder: Path, command: Sequence[str]) -> Iterator[tuple[dict[str, Any], psutil.Process]]:
    """Simulators in a process of their own, `command` without the interpreter: the first line of their output, and the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "stderr").open("wb") as said:
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, stderr=said)
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


_BOOKS: Final = (b"orderbook", b"depthUpdate")
_BOOK_READS: Final = {
    "upbit": ("/v1/orderbook", "markets=KRW-BTC"),
    "binance_usdm": ("/fapi/v1/depth", "symbol=BTCUSDT&limit=50"),
    "bybit": ("/v5/market/orderbook", "category=linear&symbol=BTCUSDT&limit=50"),
}


async def _read_hurried(venue: str, place: dict[str, Any], seconds: float, server: psutil.Process) -> dict[str, Any]:
    """Book messages a second of a market that goes on as fast as this client reads."""
    counts: Counter[str] = Counter()
    ended: list[str] = []

    def count(frame: bytes) -> None:
        counts["books"] += any(word in frame[:80] for word in _BOOKS)
        counts["all"] += 1
        counts["bytes"] += len(frame)

    sockets = []
    for wire in _wires(venue):
        socket = await connect_picows(_endpoint(place["ws_public"]), wire.path, (), count, ended.append)
        for text in wire.hello():
            socket.send(text)
        sockets.append(socket)
    await asyncio.sleep(min(1.0, seconds))
    counts.clear()
    busy = _Busy(server)
    await asyncio.sleep(seconds)
    shares = busy.shares()
    if ended:
        raise SimulatorsFailedError(f"{venue}: expected every stream to live, found: {ended}")
    for socket in sockets:
        socket.close()
    per_s = {f"{name}_per_s": round(counts[name] / busy.took_s) for name in ("books", "all", "bytes")}
    return {**per_s, **shares}


async def _read_books(venue: str, place: dict[str, Any], reads: int, server: psutil.Process) -> dict[str, Any]:
    """Reads of a book a second, over several connections at once."""
    path, query = _BOOK_READS[venue]

    async def one_line(count: int) -> None:
        reader = HttpReader(_endpoint(place["rest"]))
        for _ in range(count):
            heard = await reader.ask(SignedCall(Method.GET, path, query, ()), 10.0)
            if heard.status != 200:
                raise SimulatorsFailedError(f"{venue}: GET {path}: expected 200, found {heard.status} {heard.body[:200]!r}")
        reader.close()

    busy = _Busy(server)
    await asyncio.gather(*(one_line(max(1, reads // LINES)) for _ in range(LINES)))
    shares = busy.shares()
    return {"reads": max(1, reads // LINES) * LINES, "reads_per_s": round(max(1, reads // LINES) * LINES / busy.took_s, 1), **shares}


class _Busy:
    """What server and client take of a core from now on."""

    def __init__(self, server: psutil.Process) -> None:
        self._processes = {"server": server, "client": psutil.Process()}
        self._began = time.perf_counter()
        self._used = {name: sum(process.cpu_times()[:2]) for name, process in self._processes.items()}
        self.took_s = 0.0

    def shares(self) -> dict[str, float]:
        """Since the beginning; `took_s` is how long that is ago."""
        self.took_s = time.perf_counter() - self._began
        used = {name: sum(process.cpu_times()[:2]) - self._used[name] for name, process in self._processes.items()}
        return {f"{name}_core_share": round(seconds / self.took_s, 3) for name, seconds in used.items()}


async def _trade_at_once(place: dict[str, Any], pairs: int, server: psutil.Process) -> dict[str, Any]:
    """Orders placed and cancelled over several connections at once."""
    busy = _Busy(server)
    found = await asyncio.gather(*(_trade({"binance_usdm": place}, max(1, pairs // LINES)) for _ in range(LINES)))
    shares = busy.shares()
    done = sum(line["pairs"] for line in found)
    return {"pairs": done, "requests_per_s": round(2 * done / busy.took_s, 1), **shares}


def capacity(folder: Path, *, seconds: float, reads: int, pairs: int) -> dict[str, Any]:
    """What a simulator of each venue can do at most."""
    found: dict[str, Any] = {}
    for venue in _BOOK_READS:
        command = ("-m", "benchmarks.sped_up", venue)
        with serving(folder / f"{venue}-market", (*command, str(folder / f"{venue}-market"), "--market")) as (place, server):
            found[venue] = {"stream": asyncio.run(_read_hurried(venue, place, seconds, server))}
        with serving(folder / venue, (*command, str(folder / venue))) as (place, server):
            found[venue]["requests"] = asyncio.run(_read_books(venue, place, reads, server))
            if venue == "binance_usdm":
                found[venue]["orders"] = asyncio.run(_trade_at_once(place, pairs, server))
    return found


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
    """Messages a second of all public streams, the share of a core that the process took meanwhile, and place-and-cancel pairs a second; and the most
    that simulators can do."""
    with serving(folder, ("-m", "interlock", "venues", "serve", "--dir", str(folder / "venues"))) as (where, server):
        streams = asyncio.run(_read_streams(where, seconds, server))
        trades = asyncio.run(_trade(where, min(pairs, MOST_PAIRS)))
    most = capacity(folder, seconds=seconds / 4, reads=20 * pairs, pairs=5 * pairs)
    return {"streams": streams, "place_and_cancel": trades, "most": most}
