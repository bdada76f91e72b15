"""A small synchronous client of the fake, for tests and tools; one for both faces.

It sends each request once and never again, and hands over whatever comes back, in the order in which it came.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from typing import Protocol

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.simulate.fake_venue.control import AnyCommand, Reply, decode_reply, encode_control
from interlock.venues.fake.wire import Answer, AnyRequest, Assembler, Push, decode_message, encode

TIMEOUT_NS = 5 * NS_PER_S
_CHUNK = 1 << 16


class Link(Protocol):
    """One connection as bytes."""

    def send(self, data: bytes) -> None:
        """Hand bytes to the network. Raises ConnectionError when the connection is gone."""
        ...

    def receive(self, timeout_ns: int) -> bytes:
        """The bytes that came within the time, b"" for none. Raises ConnectionError when the connection is gone."""
        ...


class SocketLink:
    """A TCP connection to 127.0.0.1."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_NS / NS_PER_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> None:
        """Send all bytes."""
        self.socket.settimeout(TIMEOUT_NS / NS_PER_S)
        self.socket.sendall(data)

    def receive(self, timeout_ns: int) -> bytes:
        """Wait for bytes."""
        self.socket.settimeout(max(timeout_ns, 1_000_000) / NS_PER_S)
        try:
            data = self.socket.recv(_CHUNK)
        except TimeoutError:
            return b""
        if not data:
            raise ConnectionResetError("the fake closed the connection")
        return data

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class VenueClient:
    """Speaks the venue's protocol over a link. `pushed` and `answers` keep what came and was not asked for yet."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.answers: deque[Answer] = deque()
        self.pushed: deque[Push] = deque()
        self._assembler = Assembler()
        self._last_id = 0

    def send(self, request: AnyRequest) -> int:
        """Send a request once and return the number that it was given."""
        self._last_id += 1
        self.link.send(encode(msgspec.structs.replace(request, request_id=self._last_id)))
        return self._last_id

    def request(self, request: AnyRequest, timeout_ns: int = TIMEOUT_NS) -> Answer:
        """Send a request and wait for its answer.

        Raises TimeoutError when none comes in time, ConnectionError when the connection goes, WireError for bytes that are none.
        """
        number = self.send(request)
        waited_ns = 0
        while True:
            for answer in self.answers:
                if answer.request_id == number:
                    self.answers.remove(answer)
                    return answer
            start_ns = time.monotonic_ns()
            if waited_ns >= timeout_ns or not self.poll(timeout_ns - waited_ns):
                raise TimeoutError(f"no answer to request {number} in {timeout_ns / NS_PER_S} s")
            waited_ns += time.monotonic_ns() - start_ns

    def poll(self, timeout_ns: int = 0) -> bool:
        """Take what comes within the time into `answers` and `pushed`; whether anything did. Raises as `request` does."""
        data = self.link.receive(timeout_ns)
        self._assembler.feed(data)
        while (frame := self._assembler.take()) is not None:
            message = decode_message(frame)
            if isinstance(message, Answer):
                self.answers.append(message)
            else:
                self.pushed.append(message)
        return bool(data)


class ControlClient:
    """Commands the served fake over its control port."""

    def __init__(self, port: int) -> None:
        self.link = SocketLink(port)
        self._assembler = Assembler()

    def command(self, command: AnyCommand) -> Reply:
        """Carry out a command and return the reply. Raises TimeoutError or ConnectionError."""
        self.link.send(encode_control(command))
        while (frame := self._assembler.take()) is None:
            data = self.link.receive(TIMEOUT_NS)
            if not data:
                raise TimeoutError("no reply to a control command")
            self._assembler.feed(data)
        return decode_reply(frame)

    def close(self) -> None:
        """Close the connection."""
        self.link.close()
