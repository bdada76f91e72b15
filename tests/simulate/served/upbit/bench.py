"""A simulated Upbit on loopback and a client of it that signs with our own signer, in one event loop that runs only while a test does."""

import asyncio
import json
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import numpy as np
from yarl import URL

from interlock.domain.clock import SystemClock
from interlock.market.columns import ROW, RowKind
from interlock.simulate.served import upbit
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.house import House
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.listing import OPENING
from interlock.simulate.served.rates import Limit, Rates
from interlock.simulate.served.upbit.face import UpbitFace
from interlock.simulate.served.witness import Witness
from interlock.venues.request import Call, Key, Method
from interlock.venues.upbit.sign import Algorithm, sign, stream_auth

T = TypeVar("T")
Answer = tuple[int, Any, Mapping[str, str]]
"""Status, body, headers."""


class MovableClock(SystemClock):
    """The machine's clock, moved ahead or stopped on demand."""

    ahead_ns = 0
    _stopped: tuple[int, int] | None = None

    def stop(self) -> None:
        """Stand still at the beginning of a minute."""
        minute_ns = 60_000_000_000
        now_ns, steady_ns = self.now_ns(), self.monotonic_ns()
        self.ahead_ns = 0
        self._stopped = (now_ns + minute_ns - now_ns % minute_ns, steady_ns + minute_ns - steady_ns % minute_ns)

    def go(self) -> None:
        """Go on."""
        self._stopped = None

    def now_ns(self) -> int:
        return (self._stopped[0] if self._stopped else super().now_ns()) + self.ahead_ns

    def monotonic_ns(self) -> int:
        return (self._stopped[1] if self._stopped else super().monotonic_ns()) + self.ahead_ns


def boundless() -> Rates:
    """The venue's limits by name, far out of reach."""
    return Rates(tuple(Limit(limit.name, 10**9, limit.window_ms) for limit in upbit.rates().limits.values()))


class Bench:
    """The venue and its client. `real_limits` for the venue's own rate limits."""

    def __init__(self, *, real_limits: bool = False) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = MovableClock()
        self.lines: list[dict[str, Any]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="up-")
        self.run(self._open(real_limits))

    async def _open(self, real_limits: bool) -> None:
        witness = Witness(self.clock, lambda line: self.lines.append(json.loads(line)), lambda _: None, lambda *_: None)
        rates = upbit.rates if real_limits else boundless
        self.house = House(Path(self._folder.name), self.clock, witness, makers={"upbit": (upbit.make, rates)})
        found = (await self.house.open())["upbit"]
        self.rest, self.public = f"http://{found.orders}", f"ws://{found.public}/websocket/v1"
        self.quotes = f"http://{found.public}"
        self.private = f"ws://{found.orders}/websocket/v1/private"
        self.key = Key(found.access, found.secret)
        face = self.house.faces["upbit"]
        assert isinstance(face, UpbitFace)
        self.face, self.venue = face, face.venue
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(20))

    def close(self) -> None:
        """Close everything."""
        self.run(self.session.close())
        self.run(self.house.close())
        self.loop.close()
        self._folder.cleanup()

    def run(self, act: Coroutine[Any, Any, T]) -> T:
        """Let time pass until something is done."""
        return self.loop.run_until_complete(asyncio.wait_for(act, 30))

    def calm(self) -> None:
        """Honest from now on, with no open orders and what the account held at first."""
        parts = self.face.parts
        parts.faults.clear()
        parts.public.calm()
        parts.private.calm()
        parts.closed_until_ms = 0
        parts.rates.ban(0, 0)
        self.venue.cancel_all()
        self._refresh()
        account = self.venue.account
        for currency, amount in OPENING["upbit"].items():
            account.move(currency, amount - account.balances()[currency].free)

    def _refresh(self) -> None:
        """Quote every level anew, so that what earlier tests took of it can be taken again."""
        found = []
        for market in self.venue.markets.values():
            for side, levels in zip((1, -1), self.venue.levels(market.instrument.symbol, 30), strict=True):
                found += [(market.number, side, ticks, size) for ticks, lots in levels for size in (0, lots)]
        rows = np.zeros(len(found), ROW)
        rows["kind"] = RowKind.DEPTH
        rows["instrument"], rows["side"], rows["ticks"], rows["lots"] = zip(*found, strict=True)
        self.venue.step(rows)

    def strike(self, fault: Fault, **spec: Any) -> list[bool]:
        """Let a fault wait or happen."""

        async def now() -> list[bool]:
            return self.house.strike([FaultSpec(fault=fault, **spec)])

        return self.run(now())

    def add_key(self, access: str, **changed: Any) -> Key:
        """Another key of the account."""
        made = SimKey(access=access, secret="s" * 64, created_ns=self.clock.now_ns())
        for name, value in changed.items():
            setattr(made, name, value)
        self.face.parts.keys.add(made)
        return Key(access, "s" * 64)

    # requests

    async def ask(self, method: str, path: str, *, key: Key | None = None, algorithm: Algorithm = Algorithm.HS512, **params: Any) -> Answer:
        """A signed request; a list among the parameters is sent with brackets."""
        query, body = "", b""
        if method == "POST":
            body = json.dumps(params, separators=(",", ":")).encode() if params else b""
        else:
            query = query_of(params)
        signed = sign(key or self.key, Call(Method(method), f"/v1/{path}", query, body), nonce=str(uuid4()), algorithm=algorithm)
        return await self.send(method, path, query, dict(signed.headers), body)

    async def send(self, method: str, path: str, query: str = "", headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        """A request as it is given."""
        url = f"{self.rest}/v1/{path}" + (f"?{query}" if query else "")
        async with self.session.request(method, URL(url, encoded=True), headers=headers, data=body or None) as answer:
            raw = await answer.read()
            return answer.status, json.loads(raw) if raw.startswith((b"{", b"[")) else raw, answer.headers

    def call(self, method: str, path: str, **params: Any) -> Any:
        """The body of a signed request that succeeds."""
        status, body, _ = self.run(self.ask(method, path, **params))
        assert status in (200, 201), (status, body)
        return body

    def refusal(self, method: str, path: str, **params: Any) -> tuple[int, Any]:
        """(status, name) of a signed request that is refused."""
        status, body, _ = self.run(self.ask(method, path, **params))
        return status, body["error"]["name"]

    def place(self, **changed: Any) -> Any:
        """A bid that rests far below the market, or what is changed of it."""
        order = {"market": "KRW-BTC", "side": "bid", "ord_type": "limit", "price": self.low(), "volume": "0.01"} | changed
        return self.call("POST", "orders", **{name: value for name, value in order.items() if value is not None})

    def order(self, uuid: str) -> Any:
        """An order with its trades."""
        return self.call("GET", "order", uuid=uuid)

    # prices

    def best(self, symbol: str = "KRW-BTC") -> tuple[Decimal, Decimal]:
        """The best bid and ask."""
        instrument = self.venue.markets[symbol].instrument
        bids, asks = self.venue.levels(symbol, 1)
        return instrument.price(bids[0][0]), instrument.price(asks[0][0])

    def low(self, share: str = "0.9") -> str:
        """A price of KRW-BTC below the market."""
        return str(self.best()[0] * Decimal(share) // 1000 * 1000)

    def balance(self, currency: str) -> tuple[Decimal, Decimal]:
        """(free, locked) as the venue tells it."""
        found = {row["currency"]: row for row in self.call("GET", "accounts")}[currency]
        return Decimal(found["balance"]), Decimal(found["locked"])

    # streams

    async def connect(self, url: str, *, key: Key | None = None, token: str | None = None) -> aiohttp.ClientWebSocketResponse:
        """A connection to a stream; the private one with a token."""
        headers = {}
        if url == self.private:
            name, value = stream_auth(key or self.key, nonce=str(uuid4()))
            headers = {name: value if token is None else token}
        return await self.session.ws_connect(url, headers=headers)

    async def subscribed(self, url: str, *types: Mapping[str, Any], form: str = "") -> aiohttp.ClientWebSocketResponse:
        """A connection that asked for types; it waits until the venue has taken the request."""
        socket = await self.connect(url)
        await socket.send_json([{"ticket": "t"}, *types, *([{"format": form}] if form else [])])
        await socket.send_json([{"ticket": "taken"}, {"method": "LIST_SUBSCRIPTIONS"}])
        self.early: list[Any] = []
        while True:
            message = await told(socket)
            if isinstance(message, dict) and message.get("method"):
                return socket
            self.early.append(message)


def query_of(params: Mapping[str, Any]) -> str:
    """Parameters as they stand in a URL: percent signs in values, none in names."""
    pairs = []
    for name, value in params.items():
        for part in value if isinstance(value, list) else [value]:
            pairs.append(f"{name}[]={quote(str(part), safe='')}" if isinstance(value, list) else f"{name}={quote(str(part), safe='')}")
    return "&".join(pairs)


async def told(socket: aiohttp.ClientWebSocketResponse, timeout_s: float = 10) -> Any:
    """The next message, decimals exact. The venue sends binary frames."""
    frame = await socket.receive(timeout_s)
    assert frame.type is aiohttp.WSMsgType.BINARY, frame
    return json.loads(frame.data, parse_float=Decimal)


async def many(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[Any]:
    """The next so many messages."""
    return [await told(socket) for _ in range(count)]


async def until(happened: Callable[[], bool]) -> None:
    """Wait for something that nothing announces."""
    while not happened():  # noqa: ASYNC110 - see above
        await asyncio.sleep(0.01)
