"""A venue's end of TLS, of which a test decides every byte: a listener on loopback with the simulators' throw-away authority."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from interlock.gate.connection import OrderConnection
from interlock.gate.sealing import TlsSeal
from interlock.simulate.served.tls import make_authority

HOST = "127.0.0.1"


class Papers:
    """A certificate for loopback, and the authority that signed it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.server, self.authority = make_authority(folder, datetime.now(UTC))

    def client(self) -> ssl.SSLContext:
        """What trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.authority))


class VenueEnd:
    """The venue's end of one connection. What is written goes through `write`, which a test may cut up or change."""

    def __init__(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        self.socket = connection
        self._arrived, self._due = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._due, server_side=True)
        self.raw = b""
        """Everything that arrived, as it arrived."""

    async def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def read(self) -> bytes:
        """What arrives next, as it is; empty at the end."""
        data = await asyncio.get_running_loop().sock_recv(self.socket, 1 << 16)
        self.raw += data
        return data

    async def meet(self, write: Callable[[bytes], Awaitable[None]] | None = None) -> None:
        """The handshake, written by `write`. Raises ssl.SSLError for what the other end says against it, EOFError when it goes."""
        while True:
            try:
                self._tls.do_handshake()
                met = True
            except ssl.SSLWantReadError:
                met = False
            if due := self._due.read():
                await (write or self.write)(due)
            if met:
                return
            if not (data := await self.read()):
                raise EOFError
            self._arrived.write(data)

    def sealed(self, data: bytes) -> bytes:
        """The records of some data."""
        self._tls.write(data)
        return self._due.read()

    def ended(self) -> bytes:
        """The record that says that nothing more comes."""
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        return self._due.read()

    async def hear(self, length: int) -> bytes:
        """So many bytes of what the other end says, opened; fewer if it goes before."""
        found = b""
        while len(found) < length:
            try:
                found += self._tls.read(1 << 16)
            except ssl.SSLWantReadError:
                if not (data := await self.read()):
                    return found
                self._arrived.write(data)
        return found


@asynccontextmanager
async def connected(context: ssl.SSLContext) -> AsyncIterator[tuple[socket.socket, VenueEnd]]:
    """A connected socket that nobody has spoken over, and the venue's end of it."""
    with socket.create_server((HOST, 0)) as listener, socket.socket() as ours:
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        ours.setblocking(False)
        theirs.setblocking(False)
        with theirs:
            yield ours, VenueEnd(theirs, context)


async def met(ours: socket.socket, venue: VenueEnd, client: ssl.SSLContext, host: str = HOST) -> OrderConnection:
    """The order connection over a handshake that both ends hold."""
    seal = TlsSeal(client, host)
    await asyncio.gather(seal.handshake(ours), venue.meet())
    return OrderConnection(ours, "orders", seal)
