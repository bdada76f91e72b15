"""The simulated Bybit in memory: its face and its matching model as they are served, without their doors.

Requests go the face's one way, witness first; streams are listeners of its hubs. What crosses takes time, and is lost or cut where a fault says so.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from aiohttp import web
from multidict import CIMultiDict
from tests.day.loop import MemoryLoop, MemorySocket
from tests.day.market import Wandering

from interlock.gate.connection import OrderConnection
from interlock.simulate.served import bybit
from interlock.simulate.served.bybit import limits
from interlock.simulate.served.bybit.face import BybitFace
from interlock.simulate.served.bybit.socket_talk import Talk
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.front import Door, Passage
from interlock.simulate.served.house import House
from interlock.simulate.served.hub import Hub, Listener
from interlock.simulate.served.listing import instruments_of
from interlock.simulate.served.rates import Verdict
from interlock.simulate.served.witness import Witness
from interlock.venues.endpoint import Endpoint
from interlock.venues.http_reader import HttpReader, ReadBroken
from interlock.venues.port import Heard
from interlock.venues.request import SignedCall
from interlock.venues.socket import OnEnd, OnFrame, SocketBroken

VENUE, SYMBOL = "bybit", "BTCUSDT"
PUBLIC_PORT, ORDERS_PORT = 1001, 1002


class _Cut(Passage):
    """A connection as the faults see it; `cut` ends it."""

    def __init__(self, name: str, cut: Callable[[], None]) -> None:
        super().__init__(name, cast(asyncio.StreamWriter, None))
        self._cut = cut

    def reset(self) -> None:
        self.gone.set()
        self._cut()


class _Door(Door):
    """Knows the connections of the venue."""

    def __init__(self) -> None:
        super().__init__(f"{VENUE}-memory", Path("/nowhere"), lambda *_: None)
        self.known: dict[str, Passage] = {}

    def passage(self, name: str) -> Passage | None:
        return self.known.get(name)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


class _Steady:
    """The venue's clock."""

    def __init__(self, loop: MemoryLoop) -> None:
        self._loop = loop

    def now_ns(self) -> int:
        return self._loop.virtual.true_ns

    def monotonic_ns(self) -> int:
        return self._loop.virtual.boot_ns


class _Ear(Listener):
    """One stream as its hub sees it: messages go on their way at once."""

    def __init__(self, name: str, carry: Callable[[bytes], None]) -> None:
        super().__init__(cast(web.WebSocketResponse, SimpleNamespace(closed=False)), name)
        self._carry = carry

    def send(self, message: bytes) -> None:
        self._carry(message)


class Venue:
    """`witness` and `truth` hold the lines that a served simulator would write. `latency_ns` is asked for every way across."""

    def __init__(self, loop: MemoryLoop, folder: Path, seed: int, calm_ticks: float, latency_ns: Callable[[], int]) -> None:
        self._loop = loop
        self.latency_ns = latency_ns
        self.witness: list[bytes] = []
        self.truth: list[bytes] = []
        (instrument,) = (one for one in instruments_of(VENUE) if one.symbol == SYMBOL)
        self.instrument = instrument
        self.market = Wandering(instrument, seed, calm_ticks)
        self.house = House(
            folder,
            _Steady(loop),
            Witness(_Steady(loop), self.witness.append, self.truth.append, lambda _line: None),
            seed=seed,
            paced=False,
            makers={VENUE: (bybit.make, bybit.rates)},
            followed={VENUE: self.market},
        )
        self.face = cast(BybitFace, self.house.faces[VENUE])
        self.true = self.face.venue
        self.door = _Door()
        self.face.parts.doors.append(self.door)
        self.reachable = True
        self._numbers = 0
        self.streams: list[_Stream] = []

    def places(self) -> str:
        """What the first line of `interlock venues serve` says."""
        key = self.face.parts.keys.all()[0]
        public, orders = f"127.0.0.1:{PUBLIC_PORT}", f"127.0.0.1:{ORDERS_PORT}"
        mine = {
            "rest": f"http://{orders}",
            "ws_public": f"ws://{public}/v5/public/linear",
            "ws_private": f"ws://{orders}/v5/private",
            "key": key.access,
            "secret": key.secret,
        }
        return json.dumps({VENUE: mine, "witness": ""}) + "\n"

    def strike(self, fault: str, **spec: Any) -> bool:
        """Let a fault wait or happen; whether it found something to act on."""
        return self.house.strike([FaultSpec(fault=Fault(fault), venue=VENUE, **spec)])[0]

    def open_passage(self, cut: Callable[[], None]) -> _Cut:
        """A client has connected."""
        self._numbers += 1
        passage = _Cut(f"{VENUE}-memory-{self._numbers}", cut)
        self.door.known[passage.name] = passage
        return passage

    def cut_all(self) -> None:
        """Every connection is lost."""
        for passage in list(self.door.known.values()):
            passage.reset()

    async def crossing(self) -> None:
        """Wait until something has crossed the network."""
        done: asyncio.Future[None] = self._loop.create_future()
        self._loop.arrive(self._loop.virtual.boot_ns + self.latency_ns(), _finish, done)
        await done

    async def answer(self, method: str, target: str, headers: dict[str, str], body: bytes, passage: Passage) -> web.Response:
        """What the face answers to one request."""
        path, _, _ = target.partition("?")

        async def read(_size: int) -> bytes:
            return body

        transport = SimpleNamespace(get_extra_info=lambda _name: passage.name)
        request = SimpleNamespace(
            method=method,
            raw_path=target,
            path=path,
            headers=CIMultiDict(headers),
            content=SimpleNamespace(read=read),
            transport=transport,
        )
        return cast(web.Response, await self.face.handle(cast(web.Request, request)))

    # What connects

    def reader(self, endpoint: Endpoint) -> HttpReader:
        """A connection for reads."""
        return _MemoryReader(self, endpoint)

    async def connect(self, _endpoint: Endpoint, name: str) -> OrderConnection:
        """A connection for orders. Raises ConnectionRefusedError while the venue cannot be reached."""
        if not self.reachable:
            raise ConnectionRefusedError("the venue cannot be reached")
        near, far = self._loop.pair(self.latency_ns)
        _Served(self, self._loop, far)
        return OrderConnection(near, name)

    async def hear(self, _endpoint: Endpoint, path: str, _headers: Sequence[tuple[str, str]], on_frame: OnFrame, on_end: OnEnd) -> _Stream:
        """A stream: the `Connect` port. Raises SocketBroken while the venue cannot be reached, or wants no more connections."""
        await self.crossing()
        if not self.reachable:
            raise SocketBroken("the venue cannot be reached")
        face = self.face
        if face.address_verdict(limits.CONNECTIONS) is not Verdict.TAKEN:
            raise SocketBroken("the venue takes no more connections")
        bare = path.partition("?")[0]
        if bare.startswith("/v5/public/"):
            hub, talk = face.parts.public, face.public_stream.talk(bare.rpartition("/")[2], face.next_id())
        elif bare == "/v5/private":
            hub, talk = face.parts.private, face.private_stream.talk(face.next_id(), face.name)
        else:
            raise SocketBroken(f"{path}: no such stream")
        self.streams = [one for one in self.streams if one.is_open]
        self.streams.append(_Stream(self, self._loop, hub, talk, on_frame, on_end))
        return self.streams[-1]


class _MemoryReader(HttpReader):
    """Reads in memory, one at a time."""

    def __init__(self, venue: Venue, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self._venue = venue
        self._line = asyncio.Lock()
        self._passage: _Cut | None = None

    async def ask_made(self, make: Callable[[], SignedCall], timeout_s: float) -> Heard:
        mine = False
        try:
            async with asyncio.timeout(timeout_s), self._line:
                mine = True
                return await self._ask_one(make)
        except TimeoutError:
            if mine:
                self.close()
            raise ReadBroken(f"no answer within {timeout_s:g} s") from None

    async def _ask_one(self, make: Callable[[], SignedCall]) -> Heard:
        venue = self._venue
        if self._passage is None:
            if not venue.reachable:
                raise ReadBroken("the venue cannot be reached")
            self._passage = venue.open_passage(lambda: None)
        passage = self._passage
        signed = make()
        await venue.crossing()
        if not venue.reachable:
            self.close()
            raise ReadBroken("the connection was lost")
        said = await venue.answer(signed.method.value, signed.target, dict(signed.headers), signed.body, passage)
        if passage.stalled:
            await asyncio.get_running_loop().create_future()
        await venue.crossing()
        if passage.gone.is_set() or passage.reset_after is not None or not venue.reachable:
            self.close()
            raise ReadBroken("the connection was reset")
        body = said.body
        assert isinstance(body, bytes)
        return Heard(said.status, {name.lower(): value for name, value in said.headers.items()}, body)

    def close(self) -> None:
        passage, self._passage = self._passage, None
        if passage is not None:
            self._venue.door.known.pop(passage.name, None)


class _Served:
    """The venue's end of a connection for orders: reads requests, answers them one after the other."""

    def __init__(self, venue: Venue, loop: MemoryLoop, far: MemorySocket) -> None:
        self._venue = venue
        self._loop = loop
        self._far = far
        self._data = b""
        self._answering: asyncio.Task[None] | None = None
        self._passage = venue.open_passage(self._cut)
        loop.add_reader(far, self._readable)

    def _readable(self) -> None:
        try:
            data = self._far.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            self._close()
            return
        self._data += data
        if self._answering is None or self._answering.done():
            self._answering = self._loop.watched(self._answer())

    async def _answer(self) -> None:
        for method, target, headers, body in self._requests():
            said = await self._venue.answer(method, target, headers, body, self._passage)
            passage = self._passage
            if passage.stalled or passage.gone.is_set() or self._far.fileno() < 0:
                return
            whole = _bytes_of(said)
            if passage.reset_after is not None:
                self._far.send(whole[: passage.reset_after])
                passage.reset()
                return
            self._far.send(whole)

    def _requests(self) -> Iterator[tuple[str, str, dict[str, str], bytes]]:
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            first, *rest = self._data[:end].decode("ascii").split("\r\n")
            headers = dict(line.split(": ", 1) for line in rest)
            size = end + 4 + int(headers.get("Content-Length", "0"))
            if len(self._data) < size:
                return
            body, self._data = self._data[end + 4 : size], self._data[size:]
            method, target, _ = first.split(" ")
            yield method, target, headers, body

    def _cut(self) -> None:
        if self._far.fileno() >= 0:
            self._far.cut()
            self._close()

    def _close(self) -> None:
        self._venue.door.known.pop(self._passage.name, None)
        if self._far.fileno() >= 0:
            self._far.close()


def _bytes_of(said: web.Response) -> bytes:
    body = said.body
    assert isinstance(body, bytes)
    head = [f"HTTP/1.1 {said.status} said", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in said.headers.items())]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class _Stream:
    """A stream's connection, at the client's end."""

    def __init__(self, venue: Venue, loop: MemoryLoop, hub: Hub, talk: Talk, on_frame: OnFrame, on_end: OnEnd) -> None:
        self._venue = venue
        self._loop = loop
        self._hub = hub
        self._talk = talk
        self._on_frame = on_frame
        self._on_end = on_end
        self._due_ns = 0
        self._passage = venue.open_passage(self._cut)
        self.is_open = True
        self.pongs = 0
        self._ear = _Ear(self._passage.name, self._carry)
        hub.join(self._ear)

    def send(self, text: bytes) -> None:
        if self.is_open:
            self._loop.arrive(self._later(), self._say, text)

    def ping(self) -> None:
        self._loop.arrive(self._later() + self._venue.latency_ns(), self._pong)

    def close(self) -> None:
        self._end("we closed it")

    def _later(self) -> int:
        self._due_ns = max(self._loop.virtual.boot_ns + self._venue.latency_ns(), self._due_ns + 1)
        return self._due_ns

    def _say(self, text: bytes) -> None:
        if self.is_open and self._venue.reachable:
            self._loop.watched(cast(Any, self._talk(self._ear, text)))

    def _pong(self) -> None:
        self.pongs += self.is_open and not self._passage.stalled and self._venue.reachable

    def _carry(self, message: bytes) -> None:
        if not message:
            self._cut()
        elif not self._passage.stalled and self._venue.reachable:
            self._loop.arrive(self._later(), self._come, message)

    def _come(self, message: bytes) -> None:
        if self.is_open:
            self._on_frame(message)

    def _cut(self) -> None:
        self._loop.arrive(self._later(), self._end, "the connection was lost")

    def _end(self, reason: str) -> None:
        if self.is_open:
            self.is_open = False
            self._ear.socket.closed = True  # type: ignore[misc]
            self._hub.leave(self._ear)
            self._venue.door.known.pop(self._passage.name, None)
            self._on_end(reason)
