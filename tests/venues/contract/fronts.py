"""An address of a venue that a test plays: it shows the certificate that it is told to, and passes on what it hears, answers with a redirect, or is a
proxy that serves nobody. What it hears it keeps."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import pytest

from interlock.simulate.served.tls import LOOPBACK_NAMES, make_authority

HOST = "127.0.0.1"
PATIENCE_S = 10
_CHUNK = 1 << 16
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy")
"""The variables that clients take a proxy from, in either case."""


@dataclass(frozen=True, slots=True)
class Papers:
    """What a server shows, and the file of the authority that its client trusts."""

    shown: ssl.SSLContext
    trusted: Path


def make_papers(folder: Path) -> dict[str, Papers]:
    """New ones, in an empty folder: the right ones, of a known authority for another host, and of an authority that is not known."""
    made = {}
    for name, hosts in (("right", LOOPBACK_NAMES), ("another host", ("venue.example",)), ("another authority", LOOPBACK_NAMES)):
        (folder / name).mkdir()
        made[name] = Papers(*make_authority(folder / name, datetime.now(UTC), hosts))
    made["another authority"] = replace(made["another authority"], trusted=made["right"].trusted)
    return made


class Front(AbstractAsyncContextManager["Front"]):
    """Listens while it is entered. `behind` is the port that everything goes on to; without one, nothing is answered but what `answer` says.

    `answer` is asked of each request's beginning (its bytes) for what is answered in the venue's place; empty: nothing is.
    """

    def __init__(self, behind: int = 0, *, tls: ssl.SSLContext | None = None, answer: Callable[[bytes], bytes] = lambda _: b"") -> None:
        self.heard = bytearray()
        """What clients said, opened."""
        self.connections = 0
        """How many came and met it, with TLS as without."""
        self.answered = 0
        """How many it answered itself."""
        self.port = 0
        self._behind = behind
        self._tls = tls
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """host:port."""
        return f"{HOST}:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._come, HOST, 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def left_alone(self) -> None:
        """Every client has gone, so that all that was said was heard."""
        async with asyncio.timeout(PATIENCE_S):
            while self._tasks:  # noqa: ASYNC110 - it ends when the other side has gone, which tells nobody here
                await asyncio.sleep(0.002)

    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except OSError:
            pass  # whoever came has gone, or nobody listens behind
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun = b""
        while data := await reader.read(_CHUNK):
            self.heard += data
            begun += data
            if b"\r\n\r\n" not in begun:
                continue
            if said := self._answer(begun):
                self.answered += 1
                writer.write(said)
                begun = b""
            elif self._behind:
                await self._pass(begun, reader, writer)
                return

    async def _pass(self, begun: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(HOST, self._behind)
        forth.write(begun)
        ways = (asyncio.create_task(self._copy(reader, forth, keep=True)), asyncio.create_task(self._copy(back, writer)))
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            forth.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, keep: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if keep:
                    self.heard += data
                writer.write(data)
                await writer.drain()


def is_upgrade(begun: bytes) -> bool:
    """Whether a request asks for a WebSocket."""
    return b"\r\nupgrade: websocket\r\n" in begun.lower()


def redirect(status: int, to: str, begun: bytes) -> bytes:
    """The answer that what was asked for is at another address, `to` (scheme, host and port)."""
    target = begun.split(b" ", 2)[1].decode()
    return f"HTTP/1.1 {status} Elsewhere\r\nLocation: {to}{target}\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def proxies(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Front]:
    """The environment calls a listener the proxy for everything."""
    async with Front(answer=lambda _: b"HTTP/1.1 502 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") as front:
        with monkeypatch.context() as patched:
            for name in PROXIES:
                patched.setenv(name, f"http://{front.address}")
                patched.setenv(name.upper(), f"http://{front.address}")
            for name in ("no_proxy", "NO_PROXY"):
                patched.delenv(name, raising=False)
            yield front
