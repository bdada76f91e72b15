"""A connection for orders: whole frames or none, nothing buffered by us, and an abort that really discards.

What a program left in the buffer of a socket is still delivered after a close; so a connection that has to be given up is aborted (a reset,
SO_LINGER 1, 0), never closed. A placement is written only when no earlier byte waits to be sent, in one call, right after its last check. Then
either no byte of it was taken, or all were, or the connection is aborted and the outcome unknown; there is nothing in between.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple, Protocol

TCP_USER_TIMEOUT_MS = 2_000
"""How long the kernel may keep unacknowledged bytes before it gives the connection up."""
_SIOCOUTQ, _SIOCOUTQNSD = 0x5411, 0x894B
"""Linux: bytes in a socket's send queue; of TCP only those that were not sent yet."""
_ABORT = struct.pack("ii", 1, 0)


class Wrote(StrEnum):
    """How much of a frame the kernel took."""

    NOTHING = "nothing"
    """Certainly no byte: the order was not sent."""
    WHOLE = "whole"
    PART = "part"
    """Some of it. Of a placement: the connection was aborted, and what became of the order is unknown. Of what lowers risk: the rest follows."""


class Write(NamedTuple):
    """What became of one write. `reason` says why it was not whole."""

    wrote: Wrote
    reason: str = ""


class SealTrouble(Exception):
    """What arrived cannot be opened, or nothing more can be sealed; the connection is good for nothing more."""


class Seal(Protocol):
    """The encryption between frames and the bytes of one socket. What was sealed must be sent."""

    def seal(self, frame: bytes) -> bytes:
        """The bytes of one frame, all of them. Raises SealTrouble once nothing can be sealed any more."""
        ...

    def unseal(self, data: bytes) -> tuple[bytes, bytes]:
        """What arrived, opened, and what must be sent because of it (a new key). Raises SealTrouble."""
        ...


def prepare(connection: socket.socket) -> None:
    """Set what an order connection needs: no delay, a short life for bytes that nobody acknowledges, abort on close."""
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)


class OrderConnection:
    """One connected socket over which orders go. `name` is what records call it. Takes the socket over; `seal` has met the other side already."""

    def __init__(self, connection: socket.socket, name: str, seal: Seal | None = None) -> None:
        prepare(connection)
        self._socket: socket.socket | None = connection
        self._seal = seal
        self._tail = b""
        self.name = name

    @property
    def is_open(self) -> bool:
        """Whether it can still be written to."""
        return self._socket is not None

    def fileno(self) -> int:
        """For a loop that waits to read or write; -1 once aborted."""
        return -1 if self._socket is None else self._socket.fileno()

    def unsent_bytes(self) -> int:
        """Bytes that the kernel took and has not sent yet, and those that still wait with us."""
        if self._socket is None:
            return 0
        request = _SIOCOUTQ if self._socket.family == socket.AF_UNIX else _SIOCOUTQNSD
        (queued,) = struct.unpack("i", fcntl.ioctl(self._socket, request, bytes(4)))
        return int(queued) + len(self._tail)

    def place(self, frame: bytes, recheck: Callable[[], str]) -> Write:
        """Write the frame of a placement or amend. `recheck` is asked last, with nothing between its answer and the write; its text is an objection.

        Never waits. What `recheck` raises leaves nothing written.
        """
        if self._socket is None:
            return Write(Wrote.NOTHING, "the connection is closed")
        if self.unsent_bytes():
            return Write(Wrote.NOTHING, "earlier bytes have not left yet")
        objection = recheck()
        if objection:
            return Write(Wrote.NOTHING, objection)
        try:
            sealed = self._sealed(frame)
        except SealTrouble as error:
            return Write(Wrote.NOTHING, f"the connection failed: {error}")
        try:
            count = self._socket.send(sealed, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            if self._seal is not None:
                self.abort()  # what was sealed after it could not be opened without it
            return Write(Wrote.NOTHING, "the kernel takes no bytes")
        except OSError as error:
            # The call failed, so the kernel took no byte of this frame; whatever went before is another matter.
            self.abort()
            return Write(Wrote.NOTHING, f"the connection failed: {error.strerror or error}")
        if count == len(sealed):
            return Write(Wrote.WHOLE)
        self.abort()
        return Write(Wrote.PART, f"the kernel took {count} of {len(sealed)} bytes")

    def lower(self, frame: bytes) -> Write:
        """Write what can only lower risk, or is no request: what does not fit now follows with `flush`, behind what already waits."""
        if self._socket is None:
            return Write(Wrote.NOTHING, "the connection is closed")
        try:
            self._tail += self._sealed(frame)
        except SealTrouble as error:
            return Write(Wrote.NOTHING, f"the connection failed: {error}")
        return self.flush()

    def flush(self) -> Write:
        """Write on what waits from `lower`."""
        if self._socket is None:
            return Write(Wrote.NOTHING, "the connection is closed")
        try:
            count = self._socket.send(self._tail, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return Write(Wrote.PART, "the kernel takes no bytes now")
        except OSError as error:
            self.abort()
            return Write(Wrote.NOTHING, f"the connection failed: {error.strerror or error}")
        self._tail = self._tail[count:]
        return Write(Wrote.PART, "the kernel took a part") if self._tail else Write(Wrote.WHOLE)

    def _sealed(self, frame: bytes) -> bytes:
        """The bytes of a frame. Raises SealTrouble; the connection is aborted then."""
        try:
            return frame if self._seal is None else self._seal.seal(frame)
        except SealTrouble:
            self.abort()
            raise

    def receive(self) -> bytes | None:
        """What has arrived, empty if nothing has; None when the peer is gone or sends what cannot be opened: then the connection is aborted."""
        if self._socket is None:
            return None
        try:
            data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            self.abort()
            return None
        if self._seal is None:
            return data
        try:
            opened, due = self._seal.unseal(data)
        except SealTrouble:
            self.abort()
            return None
        if due:
            self._tail += due
            self.flush()
        return opened if self.is_open else None

    def abort(self) -> None:
        """Discard everything that has not left and cut the connection. What was in flight on it is unknown from now on."""
        if self._socket is not None:
            connection, self._socket = self._socket, None
            self._tail = b""
            connection.close()  # SO_LINGER 1, 0: the close is a reset
