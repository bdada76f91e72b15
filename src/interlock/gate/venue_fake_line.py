"""One connection to the fake venue on which the gate asks questions: numbered, several in flight at once, each with its own deadline.

Whatever is not certain about it (an answer that is late or was never asked for, bytes that are no message, an end) aborts it, and everything that is
in flight on it fails. Nothing is written twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from interlock.gate.connection import OrderConnection, Wrote
from interlock.gate.readings import Now
from interlock.gate.venue_fake import LONGEST_TEXT
from interlock.gate.venue_reads import ReadFailed
from interlock.venues.budget import LEAST_REFUSAL_NS, LONGEST_REFUSAL_NS
from interlock.venues.fake import budget, wire

LONGEST_REASON = 200


class Said(NamedTuple):
    """An answer, and our clocks right before its request was written and when it was received."""

    asked: Now
    heard: Now
    answer: wire.Answer


async def connect(port: int, name: str) -> OrderConnection:
    """A connection to 127.0.0.1; it may take as long as the caller waits. Raises ReadFailed when it is refused."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, ("127.0.0.1", port))
    except OSError as error:
        opened.close()
        raise ReadFailed(f"no connection: {error.strerror or error}") from error
    except asyncio.CancelledError:
        opened.close()
        raise
    return OrderConnection(opened, name)


class Line:
    """A connection with the requests that are in flight on it. `pushed` is told what comes of the stream, `lost` why the connection ended.

    `numbers` gives the numbers of the requests, which rise. Not for placements: what does not fit into the kernel's buffer now is written later.
    """

    def __init__(
        self,
        connection: OrderConnection,
        clock: Callable[[], Now],
        numbers: Iterator[int],
        pushed: Callable[[wire.Push], None] | None = None,
        lost: Callable[[str], None] | None = None,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._numbers = numbers
        self._pushed = pushed
        self._lost = lost
        self._asked: range = range(0)
        self._flying: dict[int, asyncio.Future[tuple[wire.Answer, Now] | str]] = {}
        self._assembler = wire.Assembler()
        self._loop = asyncio.get_running_loop()
        self._descriptor = connection.fileno()
        self._loop.add_reader(self._descriptor, self._readable)

    @property
    def is_open(self) -> bool:
        """Whether it can still be asked."""
        return self._descriptor >= 0

    async def ask(self, request: wire.AnyRequest, until_boot_ns: int) -> Said:
        """Write a request once and wait for its answer. Raises ReadFailed when there is none in time, and aborts then, or when the line is lost."""
        asked = self._clock()
        if not self.is_open or asked.boot_ns >= until_boot_ns:
            raise ReadFailed("no time is left" if self.is_open else "the connection was lost")
        number = next(self._numbers)
        self._asked = range(self._asked.start or number, number + 1)
        waiting: asyncio.Future[tuple[wire.Answer, Now] | str] = self._loop.create_future()
        self._flying[number] = waiting
        self._write(wire.encode(msgspec.structs.replace(request, request_id=number, sign_ns=asked.wall_ns)))
        try:
            async with asyncio.timeout((until_boot_ns - asked.boot_ns) / 1e9):
                found = await waiting
        except TimeoutError:
            found = "no answer in time"
            self.abort(found)
        finally:
            self._flying.pop(number, None)
        if isinstance(found, str):
            raise ReadFailed(found)
        answer, heard = found
        if not asked.boot_ns <= heard.boot_ns <= until_boot_ns:
            # The timer stands still while the host sleeps or the loop is held up; what was said before that is old.
            self.abort("an answer came too late")
            raise ReadFailed("the answer came too late")
        return Said(asked, heard, answer)

    def abort(self, reason: str) -> None:
        """Cut the connection; everything in flight on it fails."""
        if not self.is_open:
            return
        descriptor, self._descriptor = self._descriptor, -1
        for forget in (self._loop.remove_reader, self._loop.remove_writer):
            with contextlib.suppress(OSError):  # of one that was closed already the kernel knows nothing any more
                forget(descriptor)
        self._connection.abort()
        flying, self._flying = self._flying, {}
        for waiting in flying.values():
            if not waiting.done():
                waiting.set_result(f"the connection was given up: {reason}")
        if self._lost is not None:
            self._lost(reason)

    def _write(self, frame: bytes) -> None:
        wrote = self._connection.lower(frame).wrote
        if not self._connection.is_open:
            self.abort("the connection failed")
        elif wrote is Wrote.PART:
            self._loop.add_writer(self._descriptor, self._writable)

    def _writable(self) -> None:
        wrote = self._connection.flush().wrote
        if not self._connection.is_open:
            self.abort("the connection failed")
        elif wrote is Wrote.WHOLE:
            self._loop.remove_writer(self._descriptor)

    def _readable(self) -> None:
        data = self._connection.receive()
        if data is None:
            self.abort("the venue closed the connection")
            return
        heard = self._clock()
        self._assembler.feed(data)
        try:
            while self.is_open and (frame := self._assembler.take()) is not None:
                self._take(wire.decode_message(frame), heard)
        except wire.WireError as error:
            self.abort(f"what came is no message: {error}"[:LONGEST_REASON])

    def _take(self, message: wire.Answer | wire.Push, heard: Now) -> None:
        if isinstance(message, wire.Push):
            if self._pushed is None:
                self.abort("an event came where none was asked for")
            else:
                self._pushed(message)
            return
        waiting = self._flying.get(message.request_id)
        if waiting is None:
            # One that was asked is told twice, or nobody waits for it any more.
            if message.request_id not in self._asked:
                self.abort(f"an answer came to request {message.request_id}, which was not asked")
        elif not waiting.done():
            waiting.set_result((message, heard))


def refusal(answer: wire.Answer) -> ReadFailed | None:
    """Why an answer is no yes; None if it is one."""
    if answer.ok:
        return None
    said = f"status {answer.status}, code {answer.code[:LONGEST_TEXT]!r}"
    if budget.is_refusal(answer):
        rest_ns = min(max(budget.refused_for_ns(answer), LEAST_REFUSAL_NS), LONGEST_REFUSAL_NS)
        return ReadFailed(f"the venue limits the rate: {said}", retry_after_ns=rest_ns, limited=True)
    return ReadFailed(f"the venue refused: {said}")
