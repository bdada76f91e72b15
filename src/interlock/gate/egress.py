"""The way out: permits become bytes here and nowhere else.

A placement waits until its permit is on disk; then its WireBegin goes to the operating system, everything is checked once more, and the frame is
written in one call. Without an answer by its deadline the connection is aborted, and whatever was in flight on it is unknown. Nothing is ever sent
twice. Cancels wait for nothing: they have a connection of their own, are written before their record is synced, and are repeated until the
order has ended.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from interlock.gate import core, records
from interlock.gate.connection import OrderConnection, Wrote
from interlock.gate.core import Planned
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.keeper import Keeper
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.records import Record
from interlock.gate.venue_fake import FakeWire, answered, cancel_answered, request_id
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.fake import budget
from interlock.venues.fake.wire import Answer, Assembler, WireError, decode_message

Connect = Callable[[str], Awaitable[OrderConnection]]
"""Opens a new order connection; the argument names it."""


class Stop(Protocol):
    """What is read immediately before every write: the stop word and the lease."""

    def stopped(self) -> bool:
        """Whether no new risk may be written any more; True when in doubt."""
        ...

    def lease_held(self) -> bool:
        """Whether this is certainly the only gate of the account."""
        ...


class Egress:
    """One venue's way out. `answer_ns` is how long an answer may take; everything runs in the loop that calls `open`.

    `meter` is what the gate keeps of the venue's limits, shared with whoever reads: a placement for which no room is left in its part is not
    written, and a cancel is not only while the venue itself wants none.
    """

    def __init__(
        self,
        venue: str,
        wire: FakeWire,
        setup: Setup,
        keeper: Keeper,
        readings: Readings,
        stop: Stop,
        connect: Connect,
        clock: Callable[[], Now],
        answer_ns: int = 2_000_000_000,
        meter: Meter | None = None,
    ) -> None:
        self.venue = venue
        self._wire = wire
        self._setup = setup
        self._keeper = keeper
        self._readings = readings
        self._stop = stop
        self._connect = connect
        self._clock = clock
        self._answer_ns = answer_ns
        self._meter = meter or Meter(budget.LIMITS, GATE)
        self._placing: _Line | None = None
        self._cancelling: _Line | None = None
        self._queue: deque[tuple[Planned, asyncio.Future[str]]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._cancels = 0
        self._connections = 0

    @property
    def can_cancel(self) -> bool:
        """Whether a cancel could be written now."""
        return self._cancelling is not None and self._cancelling.connection.is_open

    async def open(self) -> None:
        """Connect both lines."""
        self._cancelling = await self._line("cancel", self._cancel_answer, self._cancel_lost)
        self._placing = await self._line("place", self._placement_answer, self._placement_lost)

    def close(self) -> None:
        """Abort both lines; what is in flight is unknown, and what waits is not written any more."""
        if self._sender is not None:
            self._sender.cancel()
        self._give_up()  # a sender that was cancelled before its first step cannot do it
        for line in (self._placing, self._cancelling):
            if line is not None:
                line.abort("the gate ends")

    # Placements

    def send(self, planned: Planned) -> asyncio.Future[str]:
        """Queue a permitted write behind earlier ones of this account; the result is why it was not written, or an empty text.

        What fails with an exception is told there too: the write has then not happened, or its outcome is unknown, as its order says.
        """
        done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._queue.append((planned, done))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._drain())
        return done

    async def _drain(self) -> None:
        while self._queue:
            planned, done = self._queue.popleft()
            try:
                said = await self._write(planned)
            except Exception as error:  # noqa: BLE001 - it is handed to whoever asked; those behind must still be answered
                if not done.done():
                    done.set_exception(error)
            except asyncio.CancelledError:
                done.cancel()
                self._give_up()
                raise
            else:
                if not done.done():
                    done.set_result(said)

    def _give_up(self) -> None:
        while self._queue:
            self._queue.popleft()[1].cancel()

    async def _write(self, planned: Planned) -> str:
        lsn = self._keeper.permit_lsns.get((planned.client_id, planned.revision))
        if lsn is None:
            return "no permit whose write is not over"
        try:
            await self._keeper.durable(lsn)
        except JournalFailed as error:
            self._not_sent(planned, str(error))
            raise
        try:
            line = await self._open_line(planned)
        except (OSError, TimeoutError) as error:
            said = f"no connection: {str(error) or type(error).__name__}"
            self._not_sent(planned, said)
            if isinstance(error, TimeoutError):
                return said
            raise
        objection = self._objection(planned, begun=False)
        if objection:
            return self._not_sent(planned, objection)
        begin = records.WireBegin(
            boot_ns=self._clock().boot_ns,
            client_id=planned.client_id,
            revision=planned.revision,
            connection=line.connection.name,
            sign_wall_ns=planned.sign_wall_ns,
            receive_window_ns=planned.receive_window_ns,
        )
        try:
            await self._keeper.handed_over(self._take(begin))
        except (JournalFailed, JournalFull) as error:
            self._not_sent(planned, str(error))  # certain: not a byte of it was written yet
            raise
        number = request_id(planned.client_id, planned.revision)
        write = line.connection.place(planned.frame, lambda: self._objection(planned, begun=True))
        if write.wrote is not Wrote.NOTHING:
            self._meter.spent(budget.PLACEMENT, self._clock().boot_ns)
        if not line.connection.is_open:
            line.abort(write.reason)
        if write.wrote is Wrote.NOTHING:
            return self._not_sent(planned, write.reason)
        if write.wrote is Wrote.PART:
            self._unknown(planned.client_id, planned.revision, write.reason)
            return write.reason
        line.expect(number, (planned.client_id, planned.revision), self._clock().boot_ns, self._answer_ns)
        self._take(
            records.Sent(
                boot_ns=self._clock().boot_ns,
                client_id=planned.client_id,
                revision=planned.revision,
                sign_wall_ns=planned.sign_wall_ns,
                receive_window_ns=planned.receive_window_ns,
            )
        )
        return ""

    async def _open_line(self, planned: Planned) -> _Line:
        """The line for placements, connected anew if it was lost; no longer than the order may wait."""
        if self._placing is None or not self._placing.connection.is_open:
            left_ns = max(planned.deadline_boot_ns - self._clock().boot_ns, 0)
            async with asyncio.timeout(left_ns / 1e9):
                self._placing = await self._line("place", self._placement_answer, self._placement_lost)
        return self._placing

    def _objection(self, planned: Planned, *, begun: bool) -> str:
        now = self._clock()
        said = core.recheck(
            self._setup,
            self._keeper.state,
            self._readings,
            planned,
            now,
            stopped=self._stop.stopped(),
            lease_held=self._stop.lease_held(),
            begun=begun,
        )
        full = not said and self._meter.wait_ns(Spend.PLACE, budget.PLACEMENT, now.boot_ns) > 0
        return core.VENUE_BUDGET if full else said

    def _not_sent(self, planned: Planned, reason: str) -> str:
        self._take(records.NotSent(boot_ns=self._clock().boot_ns, client_id=planned.client_id, revision=planned.revision, reason=reason))
        return reason

    def _unknown(self, client_id: str, revision: int, reason: str) -> None:
        self._take(records.SendUnknown(boot_ns=self._clock().boot_ns, client_id=client_id, revision=revision, reason=reason))

    def _placement_answer(self, answer: Answer, about: tuple[str, int], asked_ns: int) -> None:
        budget.take(self._meter, Spend.PLACE, answer, asked_ns=asked_ns, now_ns=self._clock().boot_ns)
        self._take(answered(answer, *about, self._clock().boot_ns))

    def _placement_lost(self, about: tuple[str, int], reason: str) -> None:
        self._unknown(*about, reason)

    # Cancels

    def cancel_due(self, client_ids: list[str]) -> None:
        """Write a cancel for each of these, now. One that cannot be written stays owed; after a kill the sentinel alone cancels.

        Raises KeyError for an order that is not in the journal, before anything is written for it.
        """
        if self._keeper.state.lattice.killed:
            return
        for client_id in client_ids:
            order = self._keeper.state.orders.by_id[client_id]
            line = self._cancelling
            now = self._clock()
            if line is None or self._meter.wait_ns(Spend.LOWER, budget.REQUEST, now.boot_ns):
                return
            self._cancels += 1
            frame = self._wire.cancellation(client_id, self._cancels, now.wall_ns)
            wrote = line.connection.lower(frame).wrote
            if wrote is Wrote.NOTHING:
                line.abort("the connection failed")
                return
            self._meter.spent(budget.REQUEST, now.boot_ns)
            line.expect(self._cancels, (client_id, 0), now.boot_ns, self._answer_ns)
            if wrote is Wrote.PART:
                line.write_on()
            attempt = 1 if order.cancel is None else order.cancel.attempts + 1
            self._take(records.CancelSent(boot_ns=now.boot_ns, client_id=client_id, attempt=attempt))

    async def restore(self) -> None:
        """Connect again what was lost. Raises OSError when the venue cannot be reached."""
        if not self.can_cancel:
            self._cancelling = await self._line("cancel", self._cancel_answer, self._cancel_lost)

    def _cancel_answer(self, answer: Answer, about: tuple[str, int], asked_ns: int) -> None:
        budget.take(self._meter, Spend.LOWER, answer, asked_ns=asked_ns, now_ns=self._clock().boot_ns)
        self._take(cancel_answered(answer, about[0], self._clock().boot_ns))

    def _cancel_lost(self, about: tuple[str, int], reason: str) -> None:
        """Nothing to record: a cancel is owed until the order has ended, whatever became of one of its frames."""

    # Lines

    async def _line(
        self, purpose: str, heard: Callable[[Answer, tuple[str, int], int], None], lost: Callable[[tuple[str, int], str], None]
    ) -> _Line:
        self._connections += 1
        connection = await self._connect(f"{self.venue}.{purpose}.{self._connections}")
        return _Line(connection, heard, lost)

    def _take(self, record: Record) -> int:
        return self._keeper.take(record, now=self._clock())


class _Line:
    """A connection with what is in flight on it: request number to what it was about."""

    def __init__(
        self,
        connection: OrderConnection,
        heard: Callable[[Answer, tuple[str, int], int], None],
        lost: Callable[[tuple[str, int], str], None],
    ) -> None:
        self.connection = connection
        self._heard = heard
        self._lost = lost
        self._flying: dict[int, tuple[tuple[str, int], int, asyncio.TimerHandle]] = {}
        self._assembler = Assembler()
        self._loop = asyncio.get_running_loop()
        self._descriptor = connection.fileno()
        self._loop.add_reader(self._descriptor, self._readable)

    def expect(self, number: int, about: tuple[str, int], asked_boot_ns: int, within_ns: int) -> None:
        """An answer to request `number` is awaited, which went out at that time; without it the line is aborted."""
        timer = self._loop.call_later(within_ns / 1e9, self.abort, "no answer in time")
        self._flying[number] = (about, asked_boot_ns, timer)

    def write_on(self) -> None:
        """Write what waits as soon as the kernel takes bytes again."""
        self._loop.add_writer(self._descriptor, self._writable)

    def abort(self, reason: str) -> None:
        """Cut the connection, and give up what is in flight on it, all of it, whatever happens to one."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            for forget in (self._loop.remove_reader, self._loop.remove_writer):
                with contextlib.suppress(OSError):  # a descriptor that is closed already is none that the kernel knows
                    forget(descriptor)
        self.connection.abort()
        flying, self._flying = self._flying, {}
        failed: Exception | None = None
        for about, _, timer in flying.values():
            timer.cancel()
            try:
                self._lost(about, reason)
            except Exception as error:  # noqa: BLE001 - raised below, after the others
                failed = failed or error
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
        self._assembler.feed(data)
        try:
            while (frame := self._assembler.take()) is not None:
                message = decode_message(frame)
                if not isinstance(message, Answer) or message.request_id not in self._flying:
                    continue  # told twice, or unasked: it proves nothing that the stream does not tell
                about, asked_boot_ns, timer = self._flying.pop(message.request_id)
                timer.cancel()
                self._heard(message, about, asked_boot_ns)
        except WireError as error:
            self.abort(f"what came is no answer: {error}")
