"""Connections for orders with what is in flight on them, and a few of a kind kept open.

A line that is given up is aborted, and everything that is in flight on it is told as lost, all of it, whatever happens to one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from interlock.gate.connection import OrderConnection, Wrote
from interlock.gate.order_wire import AnswerReader, AnswerTrouble
from interlock.gate.readings import Now

T = TypeVar("T")


class _Flight(NamedTuple, Generic[T]):
    """A request under way."""

    about: T
    asked_boot_ns: int
    timer: asyncio.TimerHandle


class OrderLine(Generic[T]):
    """One connection. `heard` is told an answer with what it was about and when that was asked, `lost` what will have no answer, and why.

    `changed` is called when it may have room again, or has ended.
    """

    def __init__(
        self,
        connection: OrderConnection,
        reader: AnswerReader,
        clock: Callable[[], Now],
        *,
        heard: Callable[[object, T, int], None],
        lost: Callable[[T, str], None],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.connection = connection
        self._reader = reader
        self._clock = clock
        self._heard = heard
        self._lost = lost
        self._changed = changed
        self._flying: dict[int, _Flight[T]] = {}
        self._used_boot_ns = clock().boot_ns
        self._loop = asyncio.get_running_loop()
        self._descriptor = connection.fileno()
        self._loop.add_reader(self._descriptor, self._readable)

    @property
    def has_room(self) -> bool:
        """Whether a request could be written now."""
        return self.connection.is_open and self._reader.keeps and not (0 < self._reader.at_once <= len(self._flying))

    def idle_ns(self, boot_ns: int) -> int:
        """For how long nothing has gone over it; 0 while something is in flight."""
        return 0 if self._flying else boot_ns - self._used_boot_ns

    def expect(self, number: int, frame: bytes, about: T, asked_boot_ns: int, within_ns: int) -> None:
        """An answer to request `number` is awaited, which went out at that time; without it the line is aborted."""
        self._used_boot_ns = asked_boot_ns
        self._reader.expect(number, frame)
        timer = self._loop.call_later(within_ns / 1e9, self.abort, "no answer in time")
        self._flying[number] = _Flight(about, asked_boot_ns, timer)

    def write_on(self) -> None:
        """Write what waits as soon as the kernel takes bytes again."""
        self._loop.add_writer(self._descriptor, self._writable)

    def abort(self, reason: str) -> None:
        """Cut the connection, and give up what is in flight on it. Raises what `lost` raised first, after all were told."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            for forget in (self._loop.remove_reader, self._loop.remove_writer):
                with contextlib.suppress(OSError):  # a descriptor that is closed already is none that the kernel knows
                    forget(descriptor)
        self.connection.abort()
        flying, self._flying = self._flying, {}
        failed: Exception | None = None
        for flight in flying.values():
            flight.timer.cancel()
            try:
                self._lost(flight.about, reason)
            except Exception as error:  # noqa: BLE001 - raised below, after the others
                failed = failed or error
        self._changed()
        if failed is not None:
            raise failed

    def _writable(self) -> None:
        wrote = self.connection.flush().wrote
        if not self.connection.is_open:
            self.abort("the connection failed")
        elif wrote is Wrote.WHOLE:
            self._loop.remove_writer(self._descriptor)

    def _readable(self) -> None:
        data = self.connection.receive()
        if data is None:
            self.abort("the venue closed the connection")
            return
        if self.connection.unsent_bytes():
            self.write_on()  # the connection itself had something to answer
        if not data:
            return
        self._used_boot_ns = self._clock().boot_ns
        try:
            for said in self._reader.feed(data):
                flight = self._flying.pop(said.number, None)
                if flight is not None:
                    flight.timer.cancel()
                    self._heard(said.answer, flight.about, flight.asked_boot_ns)
        except AnswerTrouble as error:
            self.abort(f"what came is no answer: {error}")
            return
        if not self._reader.keeps:
            self.abort("the venue ends the connection")
            return
        self._changed()


class LinePool(Generic[T]):
    """A few lines of a kind. `make` connects one more; it raises OSError or TimeoutError.

    A line on which nothing went for `idle_ns` is used no more; 0: it is.
    """

    def __init__(self, size: int, idle_ns: int, clock: Callable[[], Now], make: Callable[[], Awaitable[OrderLine[T]]]) -> None:
        self._size = size
        self._idle_ns = idle_ns
        self._clock = clock
        self._make = make
        self._lines: list[OrderLine[T]] = []
        self._connecting = asyncio.Lock()
        self._stirred = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether a line stands."""
        return any(line.connection.is_open for line in self._lines)

    def stir(self) -> None:
        """A line may have room again."""
        self._stirred.set()

    def free(self) -> OrderLine[T] | None:
        """A line with room; None if there is none now."""
        self._drop()
        return next((line for line in self._lines if line.has_room), None)

    async def take(self) -> OrderLine[T]:
        """A line with room, connected anew where that is needed. Waits for one; whoever calls says for how long."""
        while True:
            self._stirred.clear()
            line = self.free()
            if line is not None:
                return line
            if len(self._lines) < self._size:
                await self._add(len(self._lines))
            else:
                await self._stirred.wait()

    async def fill(self) -> None:
        """Connect what is missing."""
        self._drop()
        while len(self._lines) < self._size:
            await self._add(len(self._lines))

    async def _add(self, known: int) -> None:
        async with self._connecting:
            if len(self._lines) == known:  # nobody else did meanwhile
                line = await self._make()
                self._lines.append(line)  # not before: the list is another one by now if a line has ended meanwhile

    def _drop(self) -> None:
        """Forget the lines that have ended, and give up those on which nothing went for too long."""
        boot_ns = self._clock().boot_ns
        for line in self._lines:
            if line.connection.is_open and 0 < self._idle_ns <= line.idle_ns(boot_ns):
                line.abort("nothing went over it for too long")
        self._lines = [line for line in self._lines if line.connection.is_open]

    def abort(self, reason: str) -> None:
        """Abort every line."""
        for line in self._lines:
            line.abort(reason)
