"""TLS between a frame and the socket, without a library that would write by itself: one frame becomes bytes in one call, right before it is sent.

Only the host's name, its chain of certificates and TLS 1.2 or newer are taken; there is no way to go without.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from interlock.gate.connection import SealTrouble

_CHUNK = 1 << 16


class TlsSeal:
    """One TLS connection in memory (`Seal`). Use `handshake` first."""

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._arrived = ssl.MemoryBIO()
        self._due = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._due, server_hostname=host)
        self._over = ""
        """Why nothing more goes over it."""

    async def handshake(self, connection: socket.socket) -> None:
        """Meet the other side over a connected, non-blocking socket. Raises OSError (ssl.SSLError is one) for one that is not who it should be."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                met = False
            except ssl.SSLError:
                with_alert = self._due.read()
                if with_alert:
                    await loop.sock_sendall(connection, with_alert)
                raise
            else:
                met = True
            if due := self._due.read():
                await loop.sock_sendall(connection, due)
            if met:
                return
            data = await loop.sock_recv(connection, _CHUNK)
            if not data:
                raise ConnectionError("the venue closed the connection during the TLS handshake")
            self._arrived.write(data)

    def seal(self, frame: bytes) -> bytes:
        """The records of one frame. Raises SealTrouble once the venue has ended the stream or anything in it was wrong."""
        if self._over:
            raise SealTrouble(self._over)
        try:
            self._tls.write(frame)
        except ssl.SSLError as error:
            raise SealTrouble(f"TLS: {error}") from error
        return self._due.read()

    def unseal(self, data: bytes) -> tuple[bytes, bytes]:
        """What arrived, opened, and what is due. Raises SealTrouble, also at the end of the stream."""
        self._arrived.write(data)
        opened = bytearray()
        try:
            while chunk := self._tls.read(_CHUNK):
                opened += chunk
            self._over = "TLS: the venue ended the stream"
        except ssl.SSLWantReadError:
            return bytes(opened), self._due.read()
        except ssl.SSLError as error:
            self._over = f"TLS: {error}"
        if not opened:
            raise SealTrouble(self._over)
        # The end came behind an answer: the answer counts, nothing more is written, and the next read finds the connection over.
        return bytes(opened), b""
