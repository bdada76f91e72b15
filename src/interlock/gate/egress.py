"""The way out: permits become bytes here and nowhere else.

A placement waits until its permit is on disk; then its WireBegin goes to the operating system, everything is checked once more, and the frame is
written in one call. Without an answer `answer_ns` after the write the connection is aborted, and whatever was in flight on it is unknown. Nothing is
ever sent twice. Cancels have connections of their own, are written before their record is synced, and are repeated until the order has ended; only
the gate's own window (`throttles.may_cancel`, which keeps room for the first one of each order) and the venue hold them up. Where there is a
second way to the venue a cancel that is repeated takes the other one, and every cancel the one that stands.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from interlock.gate import core, records
from interlock.gate.connection import OrderConnection, Wrote
from interlock.gate.core import Planned
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.keeper import Keeper
from interlock.gate.order_line import LinePool, OrderLine
from interlock.gate.order_wire import OrderWire, ToCancel
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.records import Record
from interlock.venues.budget import Meter, Spend

Write = tuple[str, int]
"""(client id, revision)."""
Connect = Callable[[str], Awaitable[OrderConnection]]
"""Opens a new order connection; the argument names it."""


class Way(NamedTuple):
    """One way to a venue."""

    wire: OrderWire
    connect: Connect


class _Cancelling(NamedTuple):
    """Lines for cancels, and what is spoken on them."""

    wire: OrderWire
    lines: LinePool[Sequence[str]]


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
    written, and a cancel is not only while the venue itself wants none. `spare` is another way to the same venue, for cancels alone: a permit is for
    the bytes of one way, so that a placement has no other.
    """

    def __init__(
        self,
        venue: str,
        wire: OrderWire,
        setup: Setup,
        keeper: Keeper,
        readings: Readings,
        stop: Stop,
        connect: Connect,
        clock: Callable[[], Now],
        meter: Meter,
        answer_ns: int = 2_000_000_000,
        spare: Way | None = None,
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
        self._meter = meter
        self._placing: LinePool[Write] = LinePool(wire.connections, wire.idle_ns, clock, self._placing_line)
        self._cancels_by: tuple[_Cancelling, ...] = (
            self._cancelling_by(Way(wire, connect), "cancel"),
            *(() if spare is None else (self._cancelling_by(spare, "spare"),)),
        )
        self._cancelling = self._cancels_by[0].lines
        self._due: dict[str, None] = {}
        """Cancels to be written as soon as a line has room, in order."""
        self._queue: deque[tuple[Planned, asyncio.Future[str]]] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._cancels = 0
        self._connections = 0

    @property
    def can_cancel(self) -> bool:
        """Whether a cancel could be written now."""
        return any(one.lines.is_open for one in self._cancels_by)

    @property
    def standing(self) -> dict[str, bool]:
        """Which of its lines stand, by what they are for: place, cancel, spare."""
        cancels = dict(zip(("cancel", "spare"), (one.lines.is_open for one in self._cancels_by), strict=False))
        return {"place": self._placing.is_open, **cancels}

    async def open(self) -> None:
        """Connect all lines. Raises OSError and TimeoutError."""
        for one in self._cancels_by:
            await one.lines.fill()
        await self._placing.fill()

    def close(self) -> None:
        """Abort all lines; what is in flight is unknown, and what waits is not written any more."""
        if self._sender is not None:
            self._sender.cancel()
        self._give_up()  # a sender that was cancelled before its first step cannot do it
        self._due.clear()
        self._placing.abort("the gate ends")
        for one in self._cancels_by:
            one.lines.abort("the gate ends")

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
            left_ns = max(planned.deadline_boot_ns - self._clock().boot_ns, 0)
            async with asyncio.timeout(left_ns / 1e9):
                line = await self._placing.take()
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
        write = line.place(planned.frame, lambda: self._objection(planned, begun=True))
        if write.wrote is not Wrote.NOTHING:
            self._meter.spent(self._wire.placement_cost, self._clock().boot_ns)
        if not line.connection.is_open:
            line.abort(write.reason)
        if write.wrote is Wrote.NOTHING:
            return self._not_sent(planned, write.reason)
        if write.wrote is Wrote.PART:
            self._unknown(planned.client_id, planned.revision, write.reason)
            return write.reason
        about = (planned.client_id, planned.revision)
        line.expect(self._wire.number(*about), planned.frame, about, self._clock().boot_ns, self._answer_ns)
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
        full = not said and self._meter.wait_ns(Spend.PLACE, self._wire.placement_cost, now.boot_ns) > 0
        return core.VENUE_BUDGET if full else said

    def _not_sent(self, planned: Planned, reason: str) -> str:
        self._take(records.NotSent(boot_ns=self._clock().boot_ns, client_id=planned.client_id, revision=planned.revision, reason=reason))
        return reason

    def _unknown(self, client_id: str, revision: int, reason: str) -> None:
        self._take(records.SendUnknown(boot_ns=self._clock().boot_ns, client_id=client_id, revision=revision, reason=reason))

    def _placement_answer(self, answer: object, about: Write, asked_ns: int) -> None:
        now = self._clock()
        self._wire.count(self._meter, Spend.PLACE, answer, asked_ns=asked_ns, now_ns=now.boot_ns)
        self._take(self._wire.answered(answer, *about, now.boot_ns))

    def _placement_lost(self, about: Write, reason: str) -> None:
        self._unknown(*about, reason)

    # Cancels

    def cancel_due(self, client_ids: Sequence[str]) -> None:
        """Write a cancel for each of these, now or as soon as a line has room. One that cannot be written stays owed; after a kill the sentinel
        alone cancels.

        Raises KeyError for an order that is not in the journal, before anything is written.
        """
        known = self._keeper.state.orders.by_id
        self._due |= dict.fromkeys(known[client_id].client_id for client_id in client_ids)
        self._write_cancels()

    def _write_cancels(self) -> None:
        """Write what is due, as far as lines have room and the venue takes cancels. What cannot be written is asked for again by whoever owes it."""
        while self._due:
            wire, lines = self._way_of_next()
            line, now = lines.free(), self._clock()
            if line is None and lines.is_open:
                return  # an answer makes room
            if line is None or self._keeper.state.lattice.killed:
                break
            ids = self._next_due(wire.cancels_at_once)
            if not ids:
                break  # all of them have ended
            orders = self._keeper.state.orders.by_id
            number = self._cancels + 1
            asked = wire.cancellation([ToCancel(one, orders[one].symbol) for one in ids], number, now.wall_ns)
            if self._meter.wait_ns(Spend.LOWER, asked.cost, now.boot_ns):
                break  # the venue wants no request now
            self._cancels = number
            wrote = line.lower(asked.frame).wrote
            if wrote is Wrote.NOTHING:
                self._due.clear()
                line.abort("the connection failed")
                return
            self._meter.spent(asked.cost, now.boot_ns)
            line.expect(number, asked.frame, ids, now.boot_ns, self._answer_ns)
            if wrote is Wrote.PART:
                line.write_on()
            for client_id in ids:
                cancel = orders[client_id].cancel
                attempt = 1 if cancel is None else cancel.attempts + 1
                self._take(records.CancelSent(boot_ns=now.boot_ns, client_id=client_id, attempt=attempt))
        self._due.clear()

    def _way_of_next(self) -> _Cancelling:
        """The way that the first of the cancels takes: each attempt another one, as far as they stand."""
        ways = [one for one in self._cancels_by if one.lines.is_open] or [self._cancels_by[0]]
        cancel = self._keeper.state.orders.by_id[next(iter(self._due))].cancel
        first = 0 if cancel is None else cancel.attempts % len(ways)
        turned = (*ways[first:], *ways[:first])
        return next((one for one in turned if one.lines.free() is not None), turned[0])

    def _next_due(self, at_once: int) -> list[str]:
        """Take those out that go together: of one symbol, so many as one request can end. One that has ended meanwhile needs none."""
        orders = self._keeper.state.orders.by_id
        found: list[str] = []
        symbol = ""
        for client_id in tuple(self._due):
            order = orders[client_id]
            if order.state.final:
                del self._due[client_id]  # it needs none
            elif len(found) < at_once and symbol in ("", order.symbol):
                symbol = order.symbol
                found.append(client_id)
                del self._due[client_id]
        return found

    async def restore(self) -> None:
        """Keep the lines alive and connect again what was lost, each kind whatever becomes of the others. Raises OSError or TimeoutError, the first
        of them, when the venue cannot be reached."""
        fills = [one.lines.fill() for one in self._cancels_by]
        if self._wire.idle_ns:
            fills.append(self._placing.fill())
        # At once: one that waits for a venue that says nothing must not keep the others from being made.
        for failed in await asyncio.gather(*fills, return_exceptions=True):
            if failed is not None:
                raise failed

    def _cancel_answer(self, wire: OrderWire, answer: object, about: Sequence[str], asked_ns: int) -> None:
        now = self._clock()
        wire.count(self._meter, Spend.LOWER, answer, asked_ns=asked_ns, now_ns=now.boot_ns)
        for record in wire.cancels_answered(answer, about, now.boot_ns):
            self._take(record)

    def _cancel_lost(self, about: Sequence[str], reason: str) -> None:
        """Nothing to record: a cancel is owed until the order has ended, whatever became of one of its frames."""

    # Lines

    async def _placing_line(self) -> OrderLine[Write]:
        line = OrderLine(
            await self._connected(Way(self._wire, self._connect), "place", Spend.PLACE),
            self._wire.reader(),
            self._clock,
            heard=self._placement_answer,
            lost=self._placement_lost,
            changed=self._placing.stir,
        )
        await line.opened()
        return line

    def _cancelling_by(self, way: Way, purpose: str) -> _Cancelling:
        async def make() -> OrderLine[Sequence[str]]:
            line = OrderLine(
                await self._connected(way, purpose, Spend.LOWER),
                way.wire.reader(),
                self._clock,
                heard=partial(self._cancel_answer, way.wire),
                lost=self._cancel_lost,
                changed=self._write_cancels,
            )
            await line.opened()
            return line

        return _Cancelling(way.wire, LinePool(way.wire.connections, way.wire.idle_ns, self._clock, make))

    async def _connected(self, way: Way, purpose: str, spend: Spend) -> OrderConnection:
        """A connection that the venue's limits have room for: one for cancels may use all of them, and no refusal of placements holds it up."""
        cost, boot_ns = way.wire.connection_cost, self._clock().boot_ns
        if spend is Spend.LOWER:
            wait_ns = self._meter.refused_ns(spend, boot_ns) or self._meter.fits_in_ns(cost, boot_ns)
        else:
            wait_ns = self._meter.wait_ns(spend, cost, boot_ns)
        if cost and wait_ns:
            raise ConnectionError("the venue's limits leave no room for another connection")
        self._meter.spent(cost, boot_ns)
        self._connections += 1
        return await way.connect(f"{self.venue}.{purpose}.{self._connections}")

    def _take(self, record: Record) -> int:
        return self._keeper.take(record, now=self._clock())
