"""One simulated Binance USDⓈ-M with its doors open, in a thread of its own, and a client that signs with the product's own signer."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from interlock.domain.clock import SystemClock
from interlock.simulate.served.binance_usdm import make, rates
from interlock.simulate.served.binance_usdm.limits import CONNECTIONS, FUNDING, MESSAGES, ORDERS_1M, ORDERS_10S, WEIGHT
from interlock.simulate.served.face import Face
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.house import House
from interlock.simulate.served.rates import Rates
from interlock.simulate.served.witness import Witness
from interlock.venues.binance_usdm.sign import LISTEN_KEY, sign, sign_socket, with_key
from interlock.venues.request import Call, Key, Method, SignedCall

T = TypeVar("T")
VENUE = "binance_usdm"
WAIT_S = 20


class MovableClock(SystemClock):
    """The machine's clock, and what it was moved forward by; it is never moved back."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        return super().now_ns() + self.ahead_ns

    def monotonic_ns(self) -> int:
        return super().monotonic_ns() + self.ahead_ns


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """The venue's code; 0 where there is none."""
        return int(self.body.get("code", 0)) if isinstance(self.body, dict) else 0


class Socket:
    """A WebSocket connection, used from outside of the loop."""

    def __init__(self, bench: "Bench", socket: aiohttp.ClientWebSocketResponse) -> None:
        self._bench = bench
        self.socket = socket

    def say(self, content: Any) -> None:
        text = content if isinstance(content, str) else json.dumps(content)
        self._bench.run(self.socket.send_str(text))

    def hear(self, timeout_s: float = WAIT_S) -> Any:
        """The next message; None once the connection is over."""
        message = self._bench.run(self.socket.receive(timeout=timeout_s))
        return json.loads(message.data) if message.type is aiohttp.WSMsgType.TEXT else None

    def until(self, fits: Callable[[Any], bool]) -> list[Any]:
        """The messages up to the first that fits, it included."""
        found: list[Any] = []
        while not found or not fits(found[-1]):
            message = self.hear()
            assert message is not None, f"the connection ended after {found}"
            found.append(message)
        return found

    def quiet(self, for_s: float = 0.4) -> bool:
        """Whether nothing comes for a while."""
        try:
            return self.hear(for_s) is None
        except TimeoutError:
            return True


def _generous() -> Rates:
    """Limits that many tests together do not reach; how many messages a connection may send stays as it is."""
    many = (replace(limit, most=10**9) for limit in (WEIGHT, ORDERS_10S, ORDERS_1M, FUNDING, CONNECTIONS))
    return Rates((*many, MESSAGES))


class Bench:
    """The venue and its client, which has the key that the venue made. `strict`: with the venue's own limits."""

    def __init__(self, folder: Path, *, strict: bool) -> None:
        self._rates = rates if strict else _generous
        self.clock = MovableClock()
        self.witnessed: list[dict[str, Any]] = []
        self.truths: list[dict[str, Any]] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self._open(folder))

    async def _open(self, folder: Path) -> None:
        def keep(lines: list[dict[str, Any]]) -> Callable[[bytes], None]:
            return lambda line: lines.append(json.loads(line))

        witness = Witness(self.clock, keep(self.witnessed), keep(self.truths), lambda _: None)
        self.house = House(folder, self.clock, witness, makers={VENUE: (make, self._rates)})
        addresses = (await self.house.open())[VENUE]
        self.orders, self.public = addresses.orders, addresses.public
        self.key = Key(addresses.access, addresses.secret)
        self._session = aiohttp.ClientSession()

    @property
    def face(self) -> Face:
        return self.house.faces[VENUE]

    def close(self) -> None:
        self.run(self._session.close())
        self.run(self.house.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_S + 10)

    def inside(self, act: Callable[[], T]) -> T:
        """Do something where the venue lives."""

        async def do() -> T:
            return act()

        return self.run(do())

    def strike(self, fault: Fault, **more: Any) -> list[bool]:
        return self.inside(lambda: self.house.strike([FaultSpec(fault=fault, venue=VENUE, **more)]))

    def calm(self) -> None:
        def act() -> None:
            self.face.parts.faults.clear()
            self.face.venue.skew_ns = 0
            self.face.parts.closed_until_ms = 0
            self.face.parts.rates.ban(0, 0)

        self.inside(act)

    # REST

    def now_ms(self) -> int:
        return self.clock.now_ns() // 1_000_000

    def signed(self, method: str, path: str, params: Mapping[str, Any], key: Key | None = None, ahead_ms: int = 0) -> SignedCall:
        text = urlencode(params)
        call = Call(Method(method), path, text) if method in ("GET", "DELETE") else Call(Method(method), path, "", text.encode())
        return sign(key or self.key, call, timestamp_ms=self.now_ms() + ahead_ms, receive_window_ms=5000)

    def call(self, method: str, path: str, key: Key | None = None, **params: Any) -> Answer:
        """A signed request."""
        return self.send(self.signed(method, path, params, key))

    def listen_key(self, method: str = "POST") -> Answer:
        made = with_key(self.key, Method(method))
        return self.send(SignedCall(made.method, LISTEN_KEY, "", made.headers))

    def read(self, path: str, **params: Any) -> Answer:
        """A request without a key, at the public address."""
        return self.raw("GET", f"http://{self.public}{path}?{urlencode(params)}")

    def send(self, signed: SignedCall) -> Answer:
        return self.raw(signed.method.value, f"http://{self.orders}{signed.target}", dict(signed.headers), signed.body or None)

    def raw(self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Answer:
        async def go() -> Answer:
            async with self._session.request(method, URL(url, encoded=True), headers=headers, data=body) as response:
                text = await response.text()
                try:
                    found: Any = json.loads(text)
                except ValueError:
                    found = text
                return Answer(response.status, found, dict(response.headers))

        return self.run(go())

    # orders

    def price(self, share: str = "0.97") -> str:
        """A price at that share of the best bid, on BTCUSDT's tick."""
        bid = self.read("/fapi/v1/ticker/bookTicker", symbol="BTCUSDT").body["bidPrice"]
        return f"{float(bid) * float(share):.1f}"

    def place(self, **changed: Any) -> Answer:
        """A limit order that rests, unless it is changed; a parameter None is left out."""
        params: dict[str, Any] = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.010"}
        params |= changed
        if params["type"] == "LIMIT" and "price" not in params and "priceMatch" not in params:
            params["price"] = self.price()
        return self.call("POST", "/fapi/v1/order", **{name: value for name, value in params.items() if value is not None})

    def market(self, side: str, quantity: str = "0.010", **more: Any) -> Answer:
        return self.place(side=side, type="MARKET", timeInForce=None, quantity=quantity, newOrderRespType="RESULT", **more)

    def order(self, client_id: str) -> Answer:
        return self.call("GET", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId=client_id)

    def cancel(self, client_id: str) -> Answer:
        return self.call("DELETE", "/fapi/v1/order", symbol="BTCUSDT", origClientOrderId=client_id)

    def clean(self) -> None:
        """No open orders, no positions, no faults."""
        self.calm()

        def act() -> None:
            self.face.venue.cancel_all()

        self.inside(act)
        for row in self.call("GET", "/fapi/v3/positionRisk").body:
            size = row["positionAmt"].removeprefix("-")
            self.market("BUY" if row["positionAmt"].startswith("-") else "SELL", size, symbol=row["symbol"])

    # streams

    @contextmanager
    def socket(self, path: str, door: str = "orders") -> Iterator[Socket]:
        address = self.orders if door == "orders" else self.public
        socket = self.run(self._session.ws_connect(f"ws://{address}{path}", autoping=False))
        try:
            yield Socket(self, socket)
        finally:
            self.run(socket.close())

    @contextmanager
    def user(self, **params: str) -> Iterator[Socket]:
        """A connection to the private stream."""
        name = self.listen_key().body["listenKey"]
        with self.socket(f"/private/ws?{urlencode({'listenKey': name, **params}, safe='/')}") as socket:
            socket.say({"method": "LIST_SUBSCRIPTIONS", "id": 1})
            assert socket.hear() == {"result": [name], "id": 1}
            yield socket

    def ask(self, socket: Socket, method: str, signed: bool = True, **params: Any) -> Any:
        """A request of the WebSocket API and its answer."""
        if signed:
            params = sign_socket(self.key, params, timestamp_ms=self.now_ms(), receive_window_ms=5000)
        socket.say({"id": "q", "method": method, "params": params})
        return socket.until(lambda found: found.get("id") == "q")[-1]


def eventually(look: Callable[[], bool], for_s: float = 10) -> bool:
    """Whether something comes true within a generous time."""
    end = time.monotonic() + for_s
    while time.monotonic() < end:
        if look():
            return True
        time.sleep(0.02)
    return look()
