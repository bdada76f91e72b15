"""WebSocket as bytes, the client's side (RFC 6455): the request that opens it, a message as one frame, and what the server's bytes say.

Sends nothing and knows no venue. Nothing is negotiated, neither an extension nor a subprotocol, so that a message is on the wire what it is, but for
the mask. The mask hides nothing: the protocol wants it, drawn anew for each frame. Whether a text is UTF-8 is left to whoever reads it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

import h11

from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.http_wire import redirect_of

MASK_BYTES: Final = 4
KEY_BYTES: Final = 16
MAX_HEAD_BYTES: Final = 1 << 14
_ACCEPTED: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""What a server puts behind the key before it hashes it (RFC 6455, 1.3)."""
_LONGEST_CONTROL: Final = 125
_HEAD_BYTES: Final = {126: 4, 127: 10}
"""How long a head is by the length that it begins with; otherwise 2."""


class SocketTrouble(Exception):
    """What came is no WebSocket, or not one that we opened; the connection is good for nothing more."""


class Opcode(IntEnum):
    """The kinds of frames (RFC 6455, 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Came(NamedTuple):
    """A message (TEXT or BINARY), whole, or a control frame."""

    opcode: Opcode
    payload: bytes


def frame_of(opcode: Opcode, payload: bytes, mask: bytes) -> bytes:
    """One final frame of a client."""
    size = len(payload)
    if size <= _LONGEST_CONTROL:
        short, long = size, b""
    elif size < 1 << 16:
        short, long = 126, size.to_bytes(2)
    else:
        short, long = 127, size.to_bytes(8)
    return bytes((0x80 | opcode, 0x80 | short)) + long + mask + masked(payload, mask)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Mask, or take the mask off."""
    size = len(payload)
    key = (mask * (size // MASK_BYTES + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


class Upgrade:
    """The beginning of a connection. `key` are 16 bytes of chance; `host` is as in the URL, with the port if it is not the usual."""

    def __init__(self, host: str, path: str, key: bytes) -> None:
        self._key = base64.b64encode(key)
        self._machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        headers = [
            ("Host", host),
            ("User-Agent", "interlock"),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self._key.decode()),
            ("Sec-WebSocket-Version", "13"),
        ]
        request = h11.Request(method="GET", target=path, headers=headers)
        self.request: bytes = self._machine.send(request) + self._machine.send(h11.EndOfMessage())

    def take(self, data: bytes) -> bytes | None:
        """Take bytes that arrived; what came behind the server's yes once that is there, None before. Raises SocketTrouble."""
        try:
            self._machine.receive_data(data)
            event = self._machine.next_event()
        except h11.RemoteProtocolError as error:
            raise SocketTrouble(f"what came is no answer: {error}") from error
        if event is h11.NEED_DATA:
            return None
        assert isinstance(event, h11.Response | h11.InformationalResponse)  # an answer begins with nothing else
        headers = [(name.lower(), value) for name, value in event.headers]
        if event.status_code != 101:
            location = dict(headers).get(b"location", b"").decode("latin-1")
            raise SocketTrouble(f"expected the status 101, found {redirect_of(event.status_code, location) or event.status_code}")
        self._require_ours(headers)
        return self._machine.trailing_data[0]

    def _require_ours(self, headers: list[tuple[bytes, bytes]]) -> None:
        found = dict(headers)
        accepted = base64.b64encode(hashlib.sha1(self._key + _ACCEPTED, usedforsecurity=False).digest())
        words = {word.strip().lower() for word in found.get(b"connection", b"").split(b",")}
        if found.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in words or found.get(b"sec-websocket-accept") != accepted:
            raise SocketTrouble("expected the proof that the server speaks WebSocket, found another")
        if b"sec-websocket-extensions" in found or b"sec-websocket-protocol" in found:
            raise SocketTrouble("expected nothing beyond the protocol, found what was not asked for")


class Incoming:
    """Takes the server's bytes apart. After a CLOSE nothing more is told; after SocketTrouble it is of no more use."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._begun: Opcode | None = None
        self._parts = bytearray()
        self._closed = False

    def feed(self, data: bytes) -> Iterator[Came]:
        """Take bytes that arrived; what they complete, in order, fragments put together. Raises SocketTrouble, after what came before."""
        self._bytes += data
        while not self._closed and (frame := self._frame()) is not None:
            final, opcode, payload = frame
            if opcode >= Opcode.CLOSE:
                self._closed = opcode is Opcode.CLOSE
                if self._closed and len(payload) == 1:
                    raise SocketTrouble("expected a code of two bytes or none, found one byte")
                yield Came(opcode, payload)
            elif (opcode is Opcode.CONTINUATION) is (self._begun is None):
                raise SocketTrouble("expected the next part of a message or the first of another, found the other")
            else:
                self._begun = self._begun or opcode
                self._parts += payload
                if final:
                    whole, self._begun, self._parts = Came(self._begun, bytes(self._parts)), None, bytearray()
                    yield whole

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        """The next frame (final, kind, payload) once it is whole. What is wrong in a head is told before its payload is there."""
        held = self._bytes
        if len(held) < 2:
            return None
        first, size = held[0], held[1]
        if first & 0x70 or size & 0x80:
            raise SocketTrouble("expected a frame without mask and reserved bits, found one with them")
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise SocketTrouble(f"expected a known kind of frame, found {first & 0x0F}") from None
        final, at = bool(first & 0x80), _HEAD_BYTES.get(size, 2)
        if opcode >= Opcode.CLOSE and (size > _LONGEST_CONTROL or not final):
            raise SocketTrouble("expected a control frame in one piece of at most 125 bytes, found another")
        if at > 2:
            if len(held) < at:
                return None
            shortest = 126 if at == 4 else 1 << 16
            size = int.from_bytes(held[2:at])
            if size < shortest:
                raise SocketTrouble("expected a length written as short as it can be, found a longer one")
        if len(self._parts) + size > MAX_FRAME_BYTES:
            raise SocketTrouble(f"expected a message of at most {MAX_FRAME_BYTES} bytes, found a longer one")
        if len(held) < at + size:
            return None
        payload = bytes(held[at : at + size])
        del held[: at + size]
        return final, opcode, payload
