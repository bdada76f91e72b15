"""The door of a simulated venue: takes TCP (or TLS) from clients, hands the bytes on to the server behind it, keeps them all, and breaks what it
is told to break: reset after so many bytes, stall one direction.

The server behind listens on a Unix socket that nobody else can reach; each client's connection is known to it by the name that the door bound.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_CHUNK = 1 << 16


@dataclass(slots=True, eq=False)
class Passage:
    """One client's connection. `reset_after` counts the bytes that may still go out; None for no bound."""

    name: str
    writer: asyncio.StreamWriter
    reset_after: int | None = None
    stalled: bool = False
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    def reset(self) -> None:
        """End the connection with a reset, so that the client sees an error and not an end."""
        transport = self.writer.transport
        connection = transport.get_extra_info("socket")
        if connection is not None:
            with suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        transport.abort()
        self.gone.set()


class Door:
    """Listens for clients of one address of one venue and passes their bytes to `inner`. `keep` is told (connection, direction, bytes)."""

    def __init__(self, name: str, inner: Path, keep: Callable[[str, str, bytes], None], tls: ssl.SSLContext | None = None) -> None:
        self.name = name
        self._inner = inner
        self._keep = keep
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._passages: dict[str, Passage] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    async def open(self, host: str, port: int = 0) -> int:
        """Start to listen; returns the port."""
        self._server = await asyncio.start_server(self._come, host, port, ssl=self._tls, limit=_CHUNK)
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._server is not None:
            self._server.close()
        for passage in list(self._passages.values()):
            passage.reset()
        # A reset ends a connection's task by itself; asyncio complains of one that is cancelled instead.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def passage(self, name: str) -> Passage | None:
        """The connection of that name, as the server behind sees it in its peer's name."""
        return self._passages.get(name)

    def reset_all(self) -> None:
        """Reset every connection."""
        for passage in list(self._passages.values()):
            passage.reset()

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._count += 1
        name = f"{self.name}-{id(self):x}-{self._count}"
        passage = Passage(name, writer)
        self._passages[name] = passage
        try:
            await self._pass(passage, reader)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side went away, which is how connections end
        finally:
            self._tasks.discard(task)
            self._passages.pop(name, None)
            writer.transport.abort() if passage.gone.is_set() else writer.close()

    async def _pass(self, passage: Passage, reader: asyncio.StreamReader) -> None:
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        ours.bind(b"\0" + passage.name.encode())
        await asyncio.get_running_loop().sock_connect(ours, str(self._inner))
        back, forth = await asyncio.open_connection(sock=ours, limit=_CHUNK)
        ways = {
            asyncio.create_task(self._inward(passage, reader, forth)),
            asyncio.create_task(self._outward(passage, back)),
            asyncio.create_task(passage.gone.wait()),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.transport.abort()

    async def _inward(self, passage: Passage, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            self._keep(passage.name, "in", data)
            forth.write(data)
            await forth.drain()

    async def _outward(self, passage: Passage, back: asyncio.StreamReader) -> None:
        while data := await back.read(_CHUNK):
            if passage.stalled:
                await passage.gone.wait()
                return
            if passage.reset_after is not None:
                data = data[: passage.reset_after]
                passage.reset_after -= len(data)
            self._keep(passage.name, "out", data)
            passage.writer.write(data)
            await passage.writer.drain()
            if passage.reset_after == 0:
                # The bytes must have left before the reset, or the client would never see them.
                await asyncio.sleep(0.05)
                passage.reset()
                return
