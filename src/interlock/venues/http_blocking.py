"""A blocking connection for one request at a time, for the process that stops everything: a thread of its own waits, no loop is needed.

As `http_reader`: each request is written once, nothing is repeated, followed or taken from the environment.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from time import monotonic_ns

from interlock.domain.clock import NS_PER_S
from interlock.venues.endpoint import Endpoint
from interlock.venues.http_wire import Answers, HttpTrouble, frame_of
from interlock.venues.port import Heard
from interlock.venues.request import SignedCall

_CHUNK = 1 << 16
_SHORTEST_WAIT_S = 0.001


class BlockingBroken(Exception):
    """There was no answer; what became of the request is not known."""


class BlockingHttp:
    """One endpoint. After any trouble the connection is given up, because what comes on it is not certain any more."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._context = endpoint.context()
        self._socket: socket.socket | ssl.SSLSocket | None = None
        self._answers = Answers()

    def ask(self, signed: SignedCall, timeout_ns: int) -> Heard:
        """Send a request once and return the answer, whatever its status. Raises BlockingBroken, also when the time is over."""
        deadline_ns = monotonic_ns() + timeout_ns
        try:
            connection = self._open(deadline_ns)
            self._answers.expect(signed.method.value)
            connection.sendall(frame_of(signed, self.endpoint.authority_host))
            while True:
                self._patience(connection, deadline_ns)
                heard = self._answers.feed(connection.recv(_CHUNK))
                if heard is not None:
                    if not self._answers.keeps:
                        self.close()
                    return heard
        except (OSError, HttpTrouble) as error:
            self.close()
            raise BlockingBroken(f"{signed.method.value} {signed.path}: {error}") from error

    def close(self) -> None:
        """Give the connection up; the next request makes a new one."""
        connection, self._socket = self._socket, None
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.close()

    def _open(self, deadline_ns: int) -> socket.socket | ssl.SSLSocket:
        if self._socket is None:
            address = (self.endpoint.host, self.endpoint.port)
            plain = socket.create_connection(address, max((deadline_ns - monotonic_ns()) / NS_PER_S, _SHORTEST_WAIT_S))
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._patience(plain, deadline_ns)
                self._socket = plain if self._context is None else self._context.wrap_socket(plain, server_hostname=self.endpoint.host)
            except BaseException:
                plain.close()
                raise
            self._answers = Answers()
        self._patience(self._socket, deadline_ns)
        return self._socket

    @staticmethod
    def _patience(connection: socket.socket | ssl.SSLSocket, deadline_ns: int) -> None:
        left_ns = deadline_ns - monotonic_ns()
        if left_ns <= 0:
            raise TimeoutError("no answer in time")
        connection.settimeout(max(left_ns / NS_PER_S, _SHORTEST_WAIT_S))
