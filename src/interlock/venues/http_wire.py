"""HTTP/1.1 as bytes: a signed request as one frame, and the answers that come back, in order. Sends nothing, repeats nothing, follows nothing.

The frame is written once by whoever has the connection. A client that repeats by itself what it sent on a connection that the server closed, of
whichever method, is how one order becomes two; there is no such code here.
"""

from __future__ import annotations

from typing import Final

import h11

from interlock.domain.errors import UsageError
from interlock.venues.port import Heard
from interlock.venues.request import SignedCall

MAX_BODY_BYTES: Final = 8 << 20
"""A longer answer is refused: the longest that is read here, an instrument list, is below 4 MiB."""
MAX_HEAD_BYTES: Final = 1 << 16
_LONGEST_LOCATION: Final = 80


def redirect_of(status: int, location: str) -> str:
    """What an answer that sends us elsewhere is called; empty for any other status. No venue sends one to what is asked here."""
    if not 300 <= status < 400:
        return ""
    return f"a redirect ({status}) to {location[:_LONGEST_LOCATION]!r}, which is not followed; look who answers at the venue's address"


class HttpTrouble(Exception):
    """What came is no answer to what was asked; the connection that it came on is good for nothing more."""


def frame_of(signed: SignedCall, host: str, *, user_agent: str = "interlock") -> bytes:
    """The whole request as it stands on the wire, headers and body in one piece. `host` is as in the URL, with the port if it is not the usual.

    Raises UsageError for a target or header that would be more than one line.
    """
    lines = [f"{signed.method.value} {signed.target} HTTP/1.1", f"Host: {host}", f"User-Agent: {user_agent}", "Accept: application/json"]
    # Nothing is packed: what a venue says is read as it is, and an answer cannot be made to grow.
    lines.append("Accept-Encoding: identity")
    lines += [f"{name}: {value}" for name, value in signed.headers]
    if signed.body or signed.method.value in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(signed.body)}")
    for line in lines:
        if not line.isascii() or any(ord(sign) < 32 or ord(sign) == 127 for sign in line):
            raise UsageError(
                f"{signed.method.value} {signed.path}: expected one line of ASCII for each header and the target; nothing was sent"
            )
    return "\r\n".join([*lines, "", ""]).encode("ascii") + signed.body


class Answers:
    """Reads what a server answers on one connection. One request is under way at a time: `expect` it, then feed what arrives until `Heard` comes.

    After any `HttpTrouble`, and when `keeps` is False after an answer, the connection must be given up.
    """

    def __init__(self) -> None:
        self._machine: h11.Connection | None = None
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self.keeps = True

    @property
    def waits(self) -> bool:
        """Whether an answer is under way."""
        return self._machine is not None

    def expect(self, method: str) -> None:
        """A request of this method was written. Raises UsageError while another is under way."""
        if self._machine is not None:
            raise UsageError("HTTP/1.1: expected no request under way on this connection, found one")
        machine = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        # What was written is known to the machine only as far as it decides how the answer ends.
        machine.send(h11.Request(method=method, target="/", headers=[("Host", "venue")]))
        machine.send(h11.EndOfMessage())
        self._machine, self._status, self._headers, self._body = machine, 0, {}, bytearray()

    def feed(self, data: bytes) -> Heard | None:
        """Take bytes that arrived, empty for the end of the connection; the answer once it is whole. Raises HttpTrouble."""
        machine = self._machine
        if machine is None:
            raise HttpTrouble("expected nothing, found bytes" if data else "the connection ended")
        try:
            machine.receive_data(data)
            return self._events(machine)
        except h11.RemoteProtocolError as error:
            raise HttpTrouble(f"what came is no answer: {error}") from error

    def _events(self, machine: h11.Connection) -> Heard | None:
        while True:
            event = machine.next_event()
            if event is h11.NEED_DATA:
                return None
            if isinstance(event, h11.Response):
                self._status = event.status_code
                self._headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in event.headers}
                if redirect := redirect_of(self._status, self._headers.get("location", "")):
                    raise HttpTrouble(f"expected an answer, found {redirect}")
                if self._headers.get("content-encoding", "identity") != "identity":
                    raise HttpTrouble(f"expected a body as it is, found one in {self._headers['content-encoding']!r}")
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY_BYTES:
                    raise HttpTrouble(f"expected at most {MAX_BODY_BYTES} bytes, found more")
            elif isinstance(event, h11.EndOfMessage):
                return self._whole(machine)
            elif event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                raise HttpTrouble("the connection ended before its answer")

    def _whole(self, machine: h11.Connection) -> Heard:
        rest, ended = machine.trailing_data
        if rest:
            raise HttpTrouble("expected the end of the answer, found more bytes")
        self.keeps = self.keeps and machine.their_state is h11.DONE and not ended
        self._machine = None
        return Heard(self._status, self._headers, bytes(self._body))
