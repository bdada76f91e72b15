"""Connections for orders with what is in flight on them, and a few of a kind kept open.

A line that is given up is aborted, and everything that is in flight on it is told as lost, all of it, whatever happens to one. One that is to be
replaced, or on which the venue wants no more, is asked nothing new, and goes when what is in flight on it was answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Generic, NamedTuple, TypeVar

from interlock.gate.connection import OrderConnection, Write, Wrote
from interlock.gate.order_wire import AnswerReader, AnswerTrouble
from interlock.gate.readings import Now

T = TypeVar("T")

OPENING_S: Final = 2.0
"""How long what is said first on a connection may take."""


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
        now = clock()
        self._opened_boot_ns = self._used_boot_ns = self._beaten_boot_ns = now.boot_ns
        self._retired = False
        self._ended = ""
        """Why it was given up."""
        self._stirred = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._descriptor = connection.fileno()
        self._loop.add_reader(self._descriptor, self._readable)
        self._say(reader.begin(now.wall_ns))

    @property
    def in_flight(self) -> int:
        """How many requests are under way."""
        return len(self._flying)

    @property
    def stands(self) -> bool:
        """Whether requests can be written, now or when others are answered."""
        return self.connection.is_open and self._reader.ready and self._reader.keeps and not self._retired

    @property
    def has_room(self) -> bool:
        """Whether a request could be written now."""
        return self.stands and not (0 < self._reader.at_once <= len(self._flying))

    def is_old(self, boot_ns: int) -> bool:
        """Whether another one should take its place."""
        return not self.stands or 0 < self._reader.lives_ns <= boot_ns - self._opened_boot_ns

    async def opened(self) -> None:
        """Wait until what is said first was answered. Raises OSError where it was not as it should be, and TimeoutError; then it is aborted."""
        try:
            async with asyncio.timeout(OPENING_S):
                while not self._reader.ready and self.connection.is_open:
                    self._stirred.clear()
                    await self._stirred.wait()
        except BaseException:
            self.abort("it was not opened")
            raise
        if not self.connection.is_open:
            raise ConnectionError(f"{self.connection.name}: expected to be let in, found: {self._ended}")

    def place(self, frame: bytes, recheck: Callable[[], str]) -> Write:
        """Write the frame of a placement or amend, as `OrderConnection.place` does. Its bytes are made before `recheck` is asked."""
        return self.connection.place(self._reader.wrap(frame), recheck)

    def lower(self, frame: bytes) -> Write:
        """Write a frame that can only lower risk, as `OrderConnection.lower` does."""
        return self.connection.lower(self._reader.wrap(frame))

    def idle_ns(self, boot_ns: int) -> int:
        """For how long nothing has gone over it; 0 while something is in flight."""
        return 0 if self._flying else boot_ns - self._used_boot_ns

    def expect(self, number: int, frame: bytes, about: T, asked_boot_ns: int, within_ns: int) -> None:
        """An answer to request `number` is awaited, which went out at that time; without it the line is aborted."""
        self._reader.expect(number, frame)
        timer = self._loop.call_later(within_ns / 1e9, self.abort, "no answer in time")
        self._flying[number] = _Flight(about, asked_boot_ns, timer)

    def keep(self, boot_ns: int) -> None:
        """Say what keeps the connection alive, if it is time."""
        if self.stands and 0 < self._reader.beat_every_ns <= boot_ns - self._beaten_boot_ns:
            self._beaten_boot_ns = boot_ns
            self._say(self._reader.beat())

    def retire(self) -> None:
        """Ask nothing more on it, and end it when what is in flight was answered."""
        self._retired = True
        self._end_if_over()

    def write_on(self) -> None:
        """Write what waits as soon as the kernel takes bytes again."""
        self._loop.add_writer(self._descriptor, self._writable)

    def abort(self, reason: str) -> None:
        """Cut the connection, and give up what is in flight on it. Raises what `lost` raised first, after all were told."""
        self._ended = reason
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
        self._stirred.set()
        self._changed()
        if failed is not None:
            raise failed

    def _say(self, data: bytes) -> None:
        """Write what is no request."""
        if not data:
            return
        wrote = self.connection.lower(data).wrote
        if wrote is Wrote.NOTHING:
            self.abort("the connection failed")
        elif wrote is Wrote.PART:
            self.write_on()

    def _end_if_over(self) -> None:
        if (self._retired or not self._reader.keeps) and not self._flying:
            self.abort("nothing more is asked on it")

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
        elif self.connection.unsent_bytes():
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
        self._say(self._reader.due())
        self._end_if_over()
        if self.connection.is_open:  # whoever waits was told of an end
            self._stirred.set()
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
        return any(line.stands for line in self._lines)

    def stir(self) -> None:
        """A line may have room again."""
        self._stirred.set()

    def free(self) -> OrderLine[T] | None:
        """Of the lines with room the one on which least is under way; None if there is none now."""
        self._drop()
        return min((line for line in self._lines if line.has_room), key=lambda line: line.in_flight, default=None)

    async def take(self) -> OrderLine[T]:
        """A line with room, connected anew where that is needed. Waits for one; whoever calls says for how long."""
        while True:
            self._stirred.clear()
            line = self.free()
            if line is not None:
                return line
            if (known := len(self._young())) < self._size:
                await self._add(known)
            else:
                await self._stirred.wait()

    async def fill(self) -> None:
        """Keep what there is alive, connect what is missing, and then let those go whose place was taken."""
        self._drop()
        boot_ns = self._clock().boot_ns
        for line in tuple(self._lines):
            line.keep(boot_ns)
        while (known := len(self._young())) < self._size:
            await self._add(known)
        young = self._young()
        for line in tuple(self._lines):
            if line not in young:
                line.retire()

    def _young(self) -> list[OrderLine[T]]:
        boot_ns = self._clock().boot_ns
        return [line for line in self._lines if not line.is_old(boot_ns)]

    async def _add(self, known: int) -> None:
        async with self._connecting:
            if len(self._young()) == known:  # nobody else did meanwhile
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
