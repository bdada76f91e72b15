"""The WebSocket connection itself, against a server that does each wrong thing: whatever happens on the way, nothing stays open that nobody holds."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from interlock.venues import socket as sockets
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.socket import Socket, SocketBroken, connect_picows

PATIENCE_S = 20


@dataclass
class Server:
    """A server that does `behave` with each connection once it has read the request; `ended` counts connections that are over."""

    behave: Callable[[Server, bytes, asyncio.StreamWriter], Awaitable[None]]
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)
    port: int = 0
    ended: int = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            self.asked.set()
            await self.behave(self, request, writer)
            while await reader.read(4096):
                pass
        except OSError:
            pass  # a reset, which is one way to end
        finally:
            self.ended += 1
            writer.transport.abort()

    def endpoint(self) -> Endpoint:
        return Endpoint(Where.LOOPBACK, "127.0.0.1", self.port, tls=False)


@asynccontextmanager
async def serving(behave: Callable[[Server, bytes, asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[Server]:
    server = Server(behave)
    listening = await asyncio.start_server(server.take, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server


async def until(happened: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not happened():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.002)


def welcome(request: bytes) -> bytes:
    """The answer that opens a WebSocket (RFC 6455, 4.2.2)."""
    key = next(line.partition(b": ")[2] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())
    return b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"


async def opens(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(welcome(request) + b"\x81\x05hello")


async def opens_when_told(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    await server.may_go_on.wait()
    await opens(server, request, writer)


async def is_silent(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    pass


async def closes(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def resets(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def breaks_off(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 101 Switching Pro")
    writer.close()


async def is_down(server: Server, request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")


@dataclass
class Caller:
    """Whoever wants a connection, and what it was told."""

    frames: list[bytes] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)

    def connect(self, server: Server) -> Awaitable[Socket]:
        return connect_picows(server.endpoint(), "/stream", (), self.frames.append, self.ends.append)


def test_a_connection_that_is_closed_is_over_for_both() -> None:
    async def scene() -> None:
        caller = Caller()
        async with serving(opens) as server:
            socket = await caller.connect(server)
            await until(lambda: caller.frames == [b"hello"])
            assert (server.ended, caller.ends) == (0, [])
            socket.close()
            await until(lambda: server.ended == 1)
            assert caller.ends == ["we closed it"]

    asyncio.run(scene())


@pytest.mark.parametrize("behave", [closes, resets, breaks_off, is_down], ids=lambda each: each.__name__)
def test_a_server_that_does_not_open_it_is_told_as_broken(behave: Callable[[Server, bytes, asyncio.StreamWriter], Awaitable[None]]) -> None:
    async def scene() -> None:
        caller = Caller()
        async with serving(behave) as server:
            with pytest.raises(SocketBroken, match=r"127\.0\.0\.1:\d+/stream: \w+"):
                await caller.connect(server)
            await until(lambda: server.ended == 1)
        assert (caller.frames, caller.ends) == ([], [])

    asyncio.run(scene())


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        monkeypatch.setattr(sockets, "HANDSHAKE_S", 0.2)
        caller = Caller()
        async with serving(is_silent) as server:
            with pytest.raises(SocketBroken, match=r"no connection within 0\.2 s"):
                await caller.connect(server)
            await until(lambda: server.ended == 1)
        assert (caller.frames, caller.ends) == ([], [])

    asyncio.run(scene())


def test_whoever_is_cancelled_while_it_connects_leaves_nothing_open() -> None:
    async def scene() -> None:
        caller = Caller()
        async with serving(opens_when_told) as server:
            connecting = asyncio.ensure_future(caller.connect(server))
            await server.asked.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            server.may_go_on.set()
            await until(lambda: server.ended == 1)
        assert (caller.frames, caller.ends) == ([], [])

    asyncio.run(scene())


def test_whoever_is_cancelled_in_the_instant_of_the_answer_leaves_nothing_open() -> None:
    async def scene() -> None:
        for turns in range(12):
            caller = Caller()
            async with serving(opens_when_told) as server:
                connecting = asyncio.ensure_future(caller.connect(server))
                await server.asked.wait()
                server.may_go_on.set()
                for _ in range(turns):
                    await asyncio.sleep(0)
                if not connecting.cancel():
                    connecting.result().close()
                    await until(lambda caller=caller: caller.ends)  # type: ignore[misc]
                    return
                with pytest.raises(asyncio.CancelledError):
                    await connecting
                await until(lambda server=server: server.ended == 1)  # type: ignore[misc]
                assert not caller.ends
        pytest.fail("expected a turn in which the connection is there before it is cancelled")

    asyncio.run(scene())
