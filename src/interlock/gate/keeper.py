"""State and journal kept together: nothing is folded that was not first given to the journal, and nothing is given to it that is not folded.

The keeper belongs to one thread. Appending never waits; whoever needs a record to be durable, or at least with the operating system, asks for that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from interlock.gate import core, records
from interlock.gate.arming import Minted
from interlock.gate.journal import Journal, JournalFailed, JournalFull
from interlock.gate.readings import Now
from interlock.gate.records import Record
from interlock.gate.state import GateState

_LOWERING = (
    records.CancelWanted,
    records.CancelSent,
    records.CancelAnswered,
    records.KillRequested,
    records.KillEffective,
    records.LatchSet,
    records.Disarmed,
    records.InterlockTripped,
)
"""Records of what lowers risk may use the room that is kept for them, and are folded even when no journal takes them any more."""


class Keeper:
    """The one writer of state and journal. `unwritten` are records of lowering risk that a failed journal did not take."""

    def __init__(self, state: GateState, journal: Journal) -> None:
        self.state = state
        self.journal = journal
        self.unwritten: list[Record] = []
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def attach(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Let coroutines of this loop wait for barriers; the result ends it."""

        def tell(_progress: object) -> None:
            loop.call_soon_threadsafe(self._wake)

        return self.journal.subscribe(tell)

    def take(self, *found: Record, now: Now) -> int:
        """Append and fold, and then whatever that calls for; returns the number of the last of `found`.

        Raises JournalFailed or JournalFull when the journal does not take a record that does more than lower risk; nothing of it is folded then.
        """
        lsn = self.journal.last_lsn
        for record in found:
            lsn = self._one(record)
        for record in self._consequences(now):
            self._one(record)
        return lsn

    def mint(self, minted: Minted) -> int:
        """Append the record of a grant and return its number; the grant lives only after `live` was called when that is durable."""
        return self.journal.append(records.encode(minted.record))

    def live(self, minted: Minted) -> None:
        """Fold a grant whose record is durable."""
        self.state.happen(minted)

    def _one(self, record: Record) -> int:
        lowering = isinstance(record, _LOWERING)
        lsn = self.journal.last_lsn
        try:
            lsn = self.journal.append(records.encode(record), reserve=lowering)
        except (JournalFailed, JournalFull):
            if not lowering:
                raise
            self.unwritten.append(record)
        self.state.apply(record)
        return lsn

    def _consequences(self, now: Now) -> Iterator[Record]:
        while found := core.consequences(self.state, now):
            yield from found

    async def durable(self, lsn: int) -> None:
        """Wait until a record is on disk. Raises JournalFailed if it will not be."""
        if self.journal.failure is not None:
            raise self.journal.failure
        if self.journal.durable_lsn >= lsn:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lsn, waiter))
        self._wake()  # it may have become so meanwhile
        await waiter

    async def handed_over(self) -> None:
        """Wait until everything appended is with the operating system, so that it survives this process. Raises JournalFailed."""
        while not self.journal.flush(wait=False):
            await self.durable(self.journal.written_lsn)

    def _wake(self) -> None:
        failure, durable = self.journal.failure, self.journal.durable_lsn
        still = []
        for lsn, waiter in self._waiting:
            if waiter.done():
                continue
            if durable >= lsn:
                waiter.set_result(None)
            elif failure is not None:
                waiter.set_exception(failure)
            else:
                still.append((lsn, waiter))
        self._waiting = still
