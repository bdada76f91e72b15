"""The WebSocket connections of one stream of a simulated venue: who listens to what, and messages that are left out, doubled, swapped or late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

QUEUED_MAX = 10_000
"""Messages that may wait for a client that does not read; then it is cut off, as a venue does."""


@dataclass(slots=True, eq=False)
class Listener:
    """One connection. `topics` is what it subscribed to, in the face's own words; `binary` sends bytes frames; `access` the key it showed, if any.

    `pongs` is how often it answered a ping, `heard_ms` the steady time of the last frame that came or went, pings too.
    """

    socket: web.WebSocketResponse
    name: str
    topics: set[str] = field(default_factory=set)
    access: str = ""
    binary: bool = False
    params: dict[str, str] = field(default_factory=dict)
    pongs: int = 0
    heard_ms: int = 0
    queue: asyncio.Queue[bytes] = field(default_factory=lambda: asyncio.Queue(QUEUED_MAX))

    def send(self, message: bytes) -> None:
        """Have a message sent after those that wait; a client that lets too many wait is cut off."""
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.queue = asyncio.Queue(1)
            self.queue.put_nowait(b"")

    async def write(self) -> None:
        """Send what waits until the connection ends; an empty message ends it."""
        while message := await self.queue.get():
            if self.binary:
                await self.socket.send_bytes(message)
            else:
                await self.socket.send_str(message.decode())
        await self.socket.close()


class Hub:
    """The listeners of one stream, and what is wrong with it. `now_ms` is a steady time."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._listeners: list[Listener] = []
        self._drop: dict[str, int] = {}
        self._silent_until_ms: dict[str, int] = {}
        self._double = 0
        self._swap = 0
        self._held: list[tuple[str, str, bytes]] = []

    def join(self, listener: Listener) -> None:
        """A connection that will be told what it subscribes to."""
        self._listeners.append(listener)

    def leave(self, listener: Listener) -> None:
        """A connection that ended."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    @property
    def listeners(self) -> list[Listener]:
        """Every connection."""
        return list(self._listeners)

    def drop(self, symbol: str, count: int) -> None:
        """Leave out the next messages of a symbol, of every one if empty."""
        self._drop[symbol] = self._drop.get(symbol, 0) + count

    def silence(self, symbol: str, for_ms: int) -> None:
        """Tell nothing of a symbol for a while, of every one if empty."""
        self._silent_until_ms[symbol] = self._now_ms() + for_ms

    def double(self, count: int) -> None:
        """Send the next messages twice."""
        self._double += count

    def swap(self, count: int) -> None:
        """Let pairs of messages change places."""
        self._swap += count

    def calm(self) -> None:
        """Be honest from now on."""
        self._drop.clear()
        self._silent_until_ms.clear()
        self._double = self._swap = 0
        held, self._held = self._held, []
        for topic, _, message in held:
            self._send(topic, message)

    def publish(self, topic: str, message: bytes, symbol: str = "") -> None:
        """Tell a message to everyone who subscribed to the topic, unless something is wrong."""
        for name in {symbol, ""}:
            if self._silent_until_ms.get(name, 0) > self._now_ms():
                return
            if self._drop.get(name, 0) > 0:
                self._drop[name] -= 1
                return
        if self._swap > 0:
            self._held.append((topic, symbol, message))
            if len(self._held) < 2:
                return
            self._swap -= 1
            pair, self._held = self._held, []
            for held_topic, _, held in reversed(pair):
                self._send(held_topic, held)
            return
        self._send(topic, message)
        if self._double > 0:
            self._double -= 1
            self._send(topic, message)

    def _send(self, topic: str, message: bytes) -> None:
        for listener in self._listeners:
            if topic in listener.topics:
                listener.heard_ms = self._now_ms()
                listener.send(message)
