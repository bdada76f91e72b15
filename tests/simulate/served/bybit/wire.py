"""A client of the simulated Bybit for tests: signs with our own signer, speaks over loopback, and moves the venue's clock.

The loop runs only inside `run`, and the clock stands still until it is told to move, so that nothing here depends on the machine's speed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
from yarl import URL

from interlock.domain.clock import ManualClock
from interlock.simulate.served.bybit import make, rates
from interlock.simulate.served.bybit.face import BybitFace
from interlock.simulate.served.faults import read_faults
from interlock.simulate.served.house import Addresses, House
from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.witness import Witness
from interlock.venues.bybit.sign import sign, stream_auth
from interlock.venues.request import Call, Key, Method

T = TypeVar("T")
START_NS = 1_790_000_000_000_000_000
SECOND_NS = 1_000_000_000
PATIENCE_S = 30
WINDOW_MS = 5_000


@dataclass(slots=True)
class Answer:
    """What came back over REST."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]

    @property
    def code(self) -> int:
        return int(self.body["retCode"])

    @property
    def result(self) -> Any:
        return self.body["result"]

    @property
    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body["result"]["list"]
        return found


@dataclass(slots=True)
class Socket:
    """A WebSocket connection."""

    bench: Bench
    socket: aiohttp.ClientWebSocketResponse

    def send(self, message: dict[str, Any]) -> None:
        self.bench.run(self.socket.send_str(json.dumps(message)))

    def next(self) -> dict[str, Any]:
        """The next message, whatever it is."""
        return self.bench.run(self._next())

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send, and take what comes next."""
        self.send(message)
        return self.next()

    def upto(self, topic: str) -> dict[str, Any]:
        """The next message of a topic; those of others are dropped."""
        while (found := self.next()).get("topic") != topic:
            pass
        return found

    def waiting(self) -> list[dict[str, Any]]:
        """Everything up to a ping's answer, which is everything that was sent before it."""
        self.send({"op": "ping", "req_id": "mark"})
        found = []
        while (message := self.next()).get("ret_msg") != "pong" and message.get("op") != "pong":
            found.append(message)
        return found

    async def _next(self) -> dict[str, Any]:
        message = await self.socket.receive(timeout=PATIENCE_S)
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ConnectionError(f"expected a message, found {message.type.name}")
        found: dict[str, Any] = json.loads(message.data)
        return found


@dataclass(slots=True)
class Bench:
    """The simulated venue with one client. `lines` are the witness's."""

    folder: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(START_NS))
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    lines: list[dict[str, Any]] = field(default_factory=list)
    sockets: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)
    links: int = 0

    house: House = field(init=False)
    place: Addresses = field(init=False)
    key: Key = field(init=False)
    session: aiohttp.ClientSession = field(init=False)

    def open(self) -> None:
        self.run(self._open())
        self.key = Key(self.place.access, self.place.secret)

    def close(self) -> None:
        self.run(self._close())
        self.runner.close()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    @property
    def face(self) -> BybitFace:
        found = self.house.faces["bybit"]
        assert isinstance(found, BybitFace)
        return found

    def calm(self) -> None:
        """Nobody listens, nothing is wrong, nothing is open, nothing is held, and every bucket is full again."""
        self.run(self._hang_up())
        face = self.face
        face.parts.faults.clear()
        face.parts.public.calm()
        face.parts.private.calm()
        face.venue.skew_ns = face.parts.closed_until_ms = 0
        face.parts.rates.ban(0, 0)
        face.venue.cancel_all()
        for symbol, position in face.desk.account.positions.items():
            market = face.venue.markets[symbol]
            if position.lots:
                face.desk.account.trade(market.instrument, -position.lots, market.instrument.ticks(market.mark), Decimal(0))
                face.venue.floor.set_position(market.number, 0)
            face.desk.account.leverage[symbol] = 20
        self.advance(10)

    def advance(self, seconds: float) -> None:
        self.clock.advance(round(seconds * SECOND_NS))

    def step(self, count: int = 1) -> None:
        """Let market time pass, and what it sends be written."""

        async def stepping() -> None:
            for _ in range(count):
                self.clock.advance(SECOND_NS // 10)
                self.house.step()
            await asyncio.sleep(0)

        self.run(stepping())

    def strike(self, **fault: Any) -> bool:
        async def striking() -> bool:
            return self.house.strike(read_faults(json.dumps({"venue": "bybit", **fault}).encode()))[0]

        return self.run(striking())

    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    # REST

    def public(self, path: str, query: str = "") -> Answer:
        return self.run(self._send(self.place.public, "GET", path, query, b"", {}))

    def until(self, happened: Callable[[], bool]) -> None:
        """Let the loop run until something happened, and a little longer."""
        for _ in range(1000 * PATIENCE_S):
            if happened():
                break
            self.run(asyncio.sleep(0.001))
        assert happened()
        self.run(asyncio.sleep(0.05))

    def unanswered(self, path: str, body: dict[str, Any], happened: Callable[[], bool]) -> bool:
        """Whether a request is still without an answer when it has long had its effect."""
        data = json.dumps(body).encode()
        headers = self.headers(Call(Method.POST, path, body=data))

        async def begin() -> asyncio.Task[Answer]:
            return asyncio.create_task(self._send(self.place.orders, "POST", path, "", data, headers))

        async def end(task: asyncio.Task[Answer]) -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        task = self.run(begin())
        self.until(happened)
        found = not task.done()
        self.run(end(task))
        return found

    def get(self, path: str, query: str = "", **instead: Any) -> Answer:
        call = Call(Method.GET, path, query)
        return self.run(self._send(self.place.orders, "GET", path, query, b"", self.headers(call, **instead)))

    def post(self, path: str, body: dict[str, Any] | bytes, **instead: Any) -> Answer:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        call = Call(Method.POST, path, body=data)
        return self.run(self._send(self.place.orders, "POST", path, "", data, self.headers(call, **instead)))

    def bare(self, method: str, path: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        return self.run(self._send(self.place.orders, method, path, query, body, headers or {}))

    def headers(self, call: Call, *, key: Key | None = None, shift_ms: int = 0, window_ms: int = WINDOW_MS) -> dict[str, str]:
        stamp = self.face.venue.now_ms() + shift_ms
        return dict(sign(key or self.key, call, timestamp_ms=stamp, receive_window_ms=window_ms).headers)

    def link(self) -> str:
        """A client id that was never used."""
        self.links += 1
        return f"link-{self.links}"

    def order(self, **instead: Any) -> dict[str, Any]:
        """An order that rests, with changes."""
        found = {"category": "linear", "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.010", "price": self.far()}
        return {name: value for name, value in {**found, **instead}.items() if value is not None}

    def placed(self, **instead: Any) -> SimOrder:
        """An order that was taken, as the venue has it."""
        link = instead.pop("orderLinkId", None) or self.link()
        answer = self.post("/v5/order/create", self.order(orderLinkId=link, **instead))
        assert answer.code == 0, answer.body
        found = self.face.venue.find(client_id=link)
        assert found is not None
        return found

    def far(self, share: str = "0.97") -> str:
        """A bid that rests far below the market."""
        return str((self.best()[0] * Decimal(share)).quantize(Decimal("0.1")))

    def best(self, symbol: str = "BTCUSDT") -> tuple[Decimal, Decimal]:
        """Best bid and ask."""
        bids, asks = self.face.venue.levels(symbol, 1)
        instrument = self.face.venue.markets[symbol].instrument
        return instrument.price(bids[0][0]), instrument.price(asks[0][0])

    # streams

    def socket(self, path: str, *, public: bool = False) -> Socket:
        host = self.place.public if public else self.place.orders
        return Socket(self, self.run(self._socket(f"http://{host}{path}")))

    def stream(self, *topics: str) -> Socket:
        """The private stream of some topics."""
        found = self.authed("/v5/private")
        assert found.ask({"op": "subscribe", "args": list(topics)})["success"]
        return found

    def authed(self, path: str) -> Socket:
        found = self.socket(path)
        reply = found.ask({"op": "auth", "args": stream_auth(self.key, expires_ms=self.face.venue.now_ms() + 1000)})
        assert reply.get("success") or reply.get("retCode") == 0, reply
        return found

    def market(self, *topics: str) -> Socket:
        """The public stream of some topics; their first messages are still to be taken."""
        found = self.socket("/v5/public/linear", public=True)
        assert found.ask({"op": "subscribe", "args": list(topics)})["success"]
        return found

    async def _open(self) -> None:
        def line(data: bytes) -> None:
            self.lines.append(json.loads(data))

        witness = Witness(self.clock, line, lambda data: None, lambda data: None)
        self.house = House(self.folder, self.clock, witness, makers={"bybit": (make, rates)}, paced=False)
        self.place = (await self.house.open())["bybit"]
        self.session = aiohttp.ClientSession()

    async def _close(self) -> None:
        await self._hang_up()
        await self.session.close()
        await self.house.close()

    async def _socket(self, url: str) -> aiohttp.ClientWebSocketResponse:
        found = await self.session.ws_connect(url, timeout=aiohttp.ClientWSTimeout(ws_close=0.2))
        self.sockets.append(found)
        return found

    async def _hang_up(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self.sockets))
        self.sockets.clear()

    async def _send(self, host: str, method: str, path: str, query: str, body: bytes, headers: dict[str, str]) -> Answer:
        url = URL(f"http://{host}{path}{'?' + query if query else ''}", encoded=True)
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        async with self.session.request(method, url, data=body or None, headers=headers, timeout=timeout) as reply:
            text = await reply.read()
            return Answer(reply.status, json.loads(text), {name.lower(): value for name, value in reply.headers.items()})
