"""How long connections live: a ping every three minutes, an end without an answer within ten, an end after a day, and one that is announced."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from interlock.simulate.served.hub import Listener

PING_MS: Final = 180_000
SILENCE_MS: Final = 600_000
LIFE_MS: Final = 86_400_000


class Form(Enum):
    """How a connection is told something that is about itself: as it is, as a stream of its own, or as an event beside answers."""

    RAW = "raw"
    COMBINED = "combined"
    API = "api"

    def shutdown(self, now_ms: int) -> bytes:
        """The word for an end that comes soon. Source: the spot documents' "Server Shutdown"; the futures connector reads the last form."""
        event = {"e": "serverShutdown", "E": now_ms}
        if self is Form.RAW:
            return msgspec.json.encode(event)
        return msgspec.json.encode({"stream": "!serverShutdown", "data": event} if self is Form.COMBINED else {"event": event})


@dataclass(slots=True)
class _Life:
    opened_ms: int
    pinged_ms: int
    heard_ms: int
    form: Form
    pongs: int = 0
    until_ms: int = 0


class Lives:
    """The connections of the venue, by listener."""

    def __init__(self) -> None:
        self._lives: dict[Listener, _Life] = {}
        self._pings: set[asyncio.Task[None]] = set()

    def begin(self, listener: Listener, now_ms: int, form: Form) -> None:
        """A connection opened."""
        self._lives[listener] = _Life(now_ms, now_ms, now_ms, form)

    def shut_down(self, venue_ms: int, until_ms: int) -> None:
        """Tell every connection that there is that it ends soon. Later ones live on."""
        for listener, life in self._lives.items():
            listener.send(life.form.shutdown(venue_ms))
            life.until_ms = until_ms

    def end(self, listener: Listener) -> None:
        """A connection ended."""
        self._lives.pop(listener, None)

    def tick(self, now_ms: int) -> None:
        """Ping and end what is due."""
        for listener, life in list(self._lives.items()):
            if listener.pongs != life.pongs:
                life.pongs, life.heard_ms = listener.pongs, now_ms
            told = life.until_ms and now_ms >= life.until_ms
            if told or now_ms - life.opened_ms >= LIFE_MS or now_ms - life.heard_ms >= SILENCE_MS:
                listener.send(b"")
                self.end(listener)
            elif now_ms - life.pinged_ms >= PING_MS:
                life.pinged_ms = now_ms
                task = asyncio.create_task(_ping(listener, str(now_ms).encode()))
                self._pings.add(task)
                task.add_done_callback(self._pings.discard)


async def _ping(listener: Listener, payload: bytes) -> None:
    # A connection that is gone already is ended by whoever serves it.
    with contextlib.suppress(ConnectionError):
        await listener.socket.ping(payload)
