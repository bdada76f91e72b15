"""What the rooms of a running gate share: one state, one journal, one way out for each venue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from interlock.gate import throttles
from interlock.gate.account_lock import Lease
from interlock.gate.cancels import due, only_sighted
from interlock.gate.egress import Egress
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.keeper import Keeper
from interlock.gate.order_state import Order
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.records import Binding, Endpoint, Record, Scope
from interlock.gate.verbs import Cause, latch_for


class Word(Protocol):
    """The stop word as the gate uses it."""

    @property
    def stopped(self) -> bool:
        """Whether no new risk may be written any more."""
        ...

    @property
    def sentinel_beat(self) -> int:
        """How often the sentinel has looked."""
        ...

    def acknowledge(self, boot_ns: int) -> None:
        """Say that the stop was seen."""
        ...

    def advance(self) -> None:
        """Say that a round of work is done."""
        ...


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """Who this process life is, as its Boot record says; hashes are SHA-256, hexadecimal."""

    incarnation: str
    kernel_boot_id: str
    host: str
    user: str
    endpoint: Endpoint
    build: str
    config: str
    strategy: str
    limits: str
    pid: int


class Guard:
    """What is read immediately before every write: the stop word and the leases of all accounts."""

    def __init__(self, word: Word, leases: Mapping[str, Lease]) -> None:
        self._word = word
        self._leases = leases
        self._found_lost: set[str] = set()

    def stopped(self) -> bool:
        """Whether no new risk may be written any more."""
        return self._word.stopped

    def lease_held(self) -> bool:
        """Whether this is certainly the only gate of every account."""
        lost = {venue for venue, lease in self._leases.items() if not lease.held()}
        self._found_lost |= lost
        return bool(self._leases) and not lost

    def take_lost(self) -> tuple[str, ...]:
        """Venues whose lease was found lost since this was asked last, whoever looked, and also if it is held again: somebody may have written."""
        self.lease_held()
        found, self._found_lost = self._found_lost, set()
        return tuple(sorted(found))


@dataclass(kw_only=True)
class Parts:
    """Everything that the handlers and loops of one gate work on; all of it belongs to one event loop."""

    life: Life
    setup: Setup
    keeper: Keeper
    readings: Readings
    egresses: Mapping[str, Egress]
    word: Word
    guard: Guard
    clock: Callable[[], Now]
    log: Callable[[str], None]
    tell_sentinel: Callable[[str, Mapping[str, tuple[str, ...]]], None]
    """Ask the sentinel, without waiting: "kill", to stop everything; "orders", to see the last of these in a stop under way. Both by venue."""
    min_lots: dict[tuple[str, str], int] = field(default_factory=dict)
    """By (venue, symbol): the smallest order that the venue takes."""
    denials: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By (strategy, rule): denials held back from the journal since the last one of their kind that was recorded."""
    leaving: bool = False
    """The process is about to end in order: nothing new is decided."""

    def binding(self, symbols: tuple[tuple[str, str, str], ...]) -> Binding:
        """What a grant is bound to now: of the limits those that this life began with, which can only have become tighter since."""
        accounts = ",".join(f"{venue}/{account}{self._shared(venue)}" for venue, account in sorted(self.setup.accounts.items()))
        return Binding(
            incarnation=self.life.incarnation,
            host=self.life.host,
            account=accounts,
            endpoint=self.life.endpoint,
            build=self.life.build,
            config=self.life.config,
            strategy=self.life.strategy,
            limits=self.life.limits,
            symbols=symbols,
        )

    def _shared(self, venue: str) -> str:
        """What a person has to read and type before they arm where others are: that they are there, and what a kill does to them."""
        limits = self.keeper.state.sheet.venues.get(venue)
        return " (shared: a kill cancels everybody's orders)" if limits is not None and limits.shared else ""

    def live(self) -> dict[str, tuple[str, ...]]:
        """By venue: every order of ours that may still be alive, for whoever has to see the last of them."""
        orders = self.keeper.state.orders
        alive = [orders.by_id[client_id] for client_id in sorted(orders.live)]
        return {venue: tuple(order.client_id for order in alive if order.venue == venue) for venue in self.setup.accounts}

    def look(self) -> Now:
        """Read what a decision needs besides markets; the time of it."""
        self.readings.stopped = self.guard.stopped()
        self.readings.lease_held = self.guard.lease_held()
        return self.clock()

    def take(self, *found: Record) -> bool:
        """Journal and fold records that lower risk or state facts; whether the journal has them, and all before them.

        What it does not take counts all the same, is latched by the keeper, and follows when the journal takes records again.
        """
        try:
            self.keeper.take(*found, now=self.clock())
        except (JournalFailed, JournalFull) as error:
            self.log(f"journal: {error}")
            return False
        return not self.keeper.unwritten

    def broke(self, where: str, error: BaseException) -> None:
        """A part of the gate failed in a way that nobody foresaw: stop, and say where."""
        said = f"{where}: {type(error).__name__}: {error}"[:500]
        self.log(said)
        now = self.clock()
        standing = {(hold.name, hold.scope) for hold in self.keeper.state.lattice.latches}
        if (Cause.INTERNAL_ERROR.value, Scope.ALL) in standing:
            return
        self.take(latch_for(Cause.INTERNAL_ERROR, scope=Scope.ALL, subject="", reason=said, actor="gate", boot_ns=now.boot_ns))

    def send_cancels(self) -> int:
        """Write every cancel that is due and that its venue's window has room for; how many were due.

        One that is repeated only because the venue has shown its order, which may be hundreds of times in a second, leaves room for the first cancel
        of every order that has had none.
        """
        state, now = self.keeper.state, self.clock()
        if state.lattice.killed or not state.orders.cancelling:
            return 0
        ready = due(state.orders, now.boot_ns, len(state.orders.cancelling))
        for venue, egress in self.egresses.items():
            mine = [client_id for client_id in ready if state.orders.by_id[client_id].venue == venue]
            room = throttles.may_cancel(state.throttles, state.sheet, venue, now.boot_ns)
            orders = {client_id: state.orders.by_id[client_id] for client_id in mine}
            shown = [client_id for client_id, order in orders.items() if _only_shown(order, now.boot_ns)]
            if shown:
                others = [client_id for client_id, order in orders.items() if not _only_shown(order, now.boot_ns)]
                kept = sum(one.venue == venue and _uncancelled(one) for one in map(state.orders.by_id.__getitem__, state.orders.live))
                repeated = sum(not _uncancelled(orders[client_id]) for client_id in others)
                mine = [*others, *shown[: max(0, room - kept - repeated)]]
            egress.cancel_due(mine[:room])
        return len(ready)


def _uncancelled(order: Order) -> bool:
    """Whether no cancel of an order was ever sent."""
    return order.cancel is None or order.cancel.attempts == 0


def _only_shown(order: Order, boot_ns: int) -> bool:
    return order.cancel is not None and only_sighted(order.cancel, boot_ns)
