"""State and journal kept together: what is folded was first given to the journal, and what is given to it is folded.

The one exception lowers risk or states a fact: it counts even when the journal does not take it, and is given to it again before anything else.

The keeper belongs to one thread. Appending never waits; whoever needs a record to be durable, or at least with the operating system, asks for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from interlock.domain.orders import OrderState
from interlock.gate import core, records
from interlock.gate.arming import Minted
from interlock.gate.journal import Journal, JournalFailed, JournalFull
from interlock.gate.readings import Now
from interlock.gate.records import Deny, Intent, LevelSet, NotSent, Permit, Reconciled, Record, Scope, SendUnknown, Sent
from interlock.gate.state import GateState
from interlock.gate.verbs import Cause, latch_for, rank

_LOOK_AGAIN_S = 0.0002

_DECIDED = (
    records.Boot,
    records.Epoch,
    records.Tick,
    records.Armed,
    records.LatchCleared,
    records.InterlockCleared,
    records.Intent,
    records.Permit,
    records.GroupReserved,
    records.WireBegin,
    records.Released,
    records.KeyAttested,
    records.LedgerExpected,
    records.DayRolled,
)
"""Records of what the gate itself decides and that do more than lower risk. They are taken only when the journal takes them."""


def must_be_folded(state: GateState, record: Record) -> bool:
    """Whether a record lowers risk or states a fact: it may use the room kept for that, and counts even when no journal takes it any more."""
    if isinstance(record, LevelSet):
        return rank(record.level) <= rank(state.lattice.base)
    return not isinstance(record, _DECIDED) and not (isinstance(record, Reconciled) and record.explained)


class Keeper:
    """The one writer of state and journal. `unwritten` are records that had to be folded and that the journal has not taken yet, in order.

    `permit_lsns` says where the permits lie whose write is not over, by (client id, revision).
    """

    def __init__(self, state: GateState, journal: Journal) -> None:
        self.state = state
        self.journal = journal
        self.unwritten: list[Record] = []
        self.permit_lsns: dict[tuple[str, int], int] = {}
        self.on_record: Callable[[Record], None] = lambda _record: None
        """Told each record once it is folded, whether or not the journal has it yet."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def attach(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """Let coroutines of this loop wait for barriers; the result ends it."""

        def tell(_progress: object) -> None:
            with contextlib.suppress(RuntimeError):  # a loop that has just been closed has nobody left who waits
                loop.call_soon_threadsafe(self._wake)

        return self.journal.subscribe(tell)

    def take(self, *found: Record, now: Now) -> int:
        """Append and fold, and then whatever that calls for; returns the number of the last of `found`, which for one that the journal has not
        taken yet is the one that it will have.

        Raises JournalFailed or JournalFull when the journal does not take a record that does more than lower risk. Nothing of that one is folded;
        an intent of the same call that was folded before it is denied.
        """
        lsn = self.journal.last_lsn
        try:
            for record in found:
                lsn = self._one(record, now)
        except (JournalFailed, JournalFull) as error:
            for record in found:
                if isinstance(record, Intent) and self._unanswered(record):
                    self._one(_denial(record, str(error), now), now)
            raise
        finally:
            for record in self._consequences(now):
                self._one(record, now)
        return lsn

    def mint(self, minted: Minted) -> int:
        """Append and fold the record of a grant; the grant lives from here on.

        A permit under it comes later in the journal, so that none is durable before it.
        """
        self._catch_up()
        lsn = self.journal.append(records.encode(minted.record))
        self.state.happen(minted)
        self.on_record(minted.record)
        return lsn

    def _catch_up(self) -> None:
        """Give the journal what it had not taken, in order. Raises JournalFailed or JournalFull."""
        while self.unwritten:
            self.journal.append(records.encode(self.unwritten[0]), reserve=True)
            del self.unwritten[0]

    def _unanswered(self, intent: Intent) -> bool:
        order = self.state.orders.by_id.get(intent.client_id)
        if order is None:
            return False
        state = order.state if intent.revision == 0 else None if order.amend is None else order.amend.state
        return state is OrderState.INTENDED

    def _one(self, record: Record, now: Now) -> int:
        needed = must_be_folded(self.state, record)
        try:
            self._catch_up()
            lsn = self.journal.append(records.encode(record), reserve=needed)
        except (JournalFailed, JournalFull) as error:
            self._trouble(error, now)
            if not needed:
                raise
            self.unwritten.append(record)
            lsn = self.journal.last_lsn + len(self.unwritten)
        self.state.apply(record)
        if isinstance(record, Permit):
            self.permit_lsns[record.client_id, record.revision] = lsn
        elif isinstance(record, NotSent | Sent | SendUnknown):
            self.permit_lsns.pop((record.client_id, record.revision), None)
        self.on_record(record)
        return lsn

    def _trouble(self, error: JournalFailed | JournalFull, now: Now) -> None:
        """A journal that fails stops everything: the latch is folded whether or not it can be written."""
        held = any(hold.name == Cause.JOURNAL.value for hold in self.state.lattice.latches)
        if isinstance(error, JournalFailed) and not held:
            latch = latch_for(Cause.JOURNAL, scope=Scope.ALL, subject="", reason=str(error), actor="gate", boot_ns=now.boot_ns)
            self.unwritten.append(latch)
            self.state.apply(latch)
            self.on_record(latch)

    def _consequences(self, now: Now) -> Iterator[Record]:
        while found := core.consequences(self.state, now):
            yield from found

    async def durable(self, lsn: int) -> None:
        """Wait until a record is on disk. Raises JournalFailed if it will not be."""
        if self.journal.failure is not None:
            raise self.journal.failure
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((lsn, waiter))
        self._wake()  # it may be so already
        await waiter

    async def handed_over(self, lsn: int) -> None:
        """Wait until a record is with the operating system, so that it survives this process. Raises JournalFailed.

        What was appended behind it may wait for a sync that is under way; it is not waited for.
        """
        # No event tells when a write, as opposed to a sync, is over; the loop has other things to do meanwhile.
        while self.journal.failure is not None or self.journal.written_lsn < lsn:
            if self.journal.flush(wait=False):
                return
            await asyncio.sleep(_LOOK_AGAIN_S)

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


def _denial(intent: Intent, detail: str, now: Now) -> Deny:
    return Deny(
        boot_ns=now.boot_ns,
        client_id=intent.client_id,
        revision=intent.revision,
        strategy=intent.strategy,
        rule="journal",
        detail=detail[: core.LONGEST_DETAIL],
        sequence=intent.sequence,
    )
