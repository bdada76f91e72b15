"""One venue's sweep as a machine without I/O: list, cancel, list again, until nothing is left and nothing can arrive any more.

It never gives up and believes no answer to a cancel: only the venue's list says what is open. Zero counts when two whole lists in a row say so
(SWEPT). It is final when two more say so after the last moment at which an order that was under way could be accepted, and every client id that
was asked about has come to its end. "Not found" is no end. In between only the symbols that are ours are looked at, for what lands late: a whole list
is dear at some venues, and its limits are to last until the end. All times are nanoseconds since boot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import OrderState
from interlock.venues.cancel_only import OpenOrder

VERIFY_GAP_NS = 20 * NS_PER_MS
POLL_NS = 500 * NS_PER_MS
STUCK_POLL_NS = 5 * NS_PER_S
UNDER_WAY_NS = 2 * NS_PER_S
"""Longer than a request is under way on any line that is of use; where requests do not expire, what comes later is the next life's to look for."""
FIRST_BACKOFF_NS = 50 * NS_PER_MS
MOST_BACKOFF_NS = 2 * NS_PER_S
MOST_OBEYED_NS = 600 * NS_PER_S
"""No venue bans for longer at first; a longer wait is a number that makes no sense."""


class Scope(StrEnum):
    """Whose orders are swept."""

    OWN = "own"
    """Those whose client id begins with a prefix of ours."""
    ALL = "all"
    """Every order of the account; only a person may ask for that."""


class Do(StrEnum):
    """What to do next."""

    WAIT = "wait"
    CANCEL_EVERYTHING = "cancel_everything"
    CANCEL = "cancel"
    LIST = "list"
    FIND = "find"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: with `orders` to cancel, the `client_id` to look up, or the time to wait for. A list of `ours` is of our symbols alone."""

    do: Do
    orders: tuple[OpenOrder, ...] = ()
    client_id: str = ""
    until_ns: int = 0
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be swept. `client_ids` are those to be brought to an end, None if nobody named any (which is not the same as naming none).

    `expiry_ns`: how long after its signature an order may come to be seen at the venue, clock skew and the lag of lists included; None if there is no
    such bound.
    `drill`: cancel and read back at once, with no orders under way, and look up every order that was found. `few`: our symbols are so few that a list
    of them alone is short.
    """

    scope: Scope
    prefixes: tuple[str, ...]
    expiry_ns: int | None
    client_ids: tuple[str, ...] | None = None
    drill: bool = False
    few: bool = False

    def __post_init__(self) -> None:
        if not self.prefixes or not all(self.prefixes):
            raise ValueError(f"sweep: expected prefixes that are not empty, found {self.prefixes}")


@dataclass(slots=True)
class Sweep:
    """The sweep of one venue. `quiet_ns`: since when the gate certainly sends nothing new; None while that is not certain."""

    task: Task
    not_before_ns: int = 0
    banned_until_ns: int = 0
    quiet_ns: int | None = None
    known: tuple[OpenOrder, ...] = ()
    found: dict[str, str] = field(default_factory=dict)
    """Every order that was ever listed, by the venue's id, with its client id."""
    ended: dict[str, OrderState] = field(default_factory=dict)
    zeros: int = 0
    late_zeros: int = 0
    looked_ns: int | None = None
    """When the last whole list in which nothing was left was asked for."""
    _blind: bool = False
    _by_id: bool = False
    _failures: int = 0
    _stubborn: int = 0
    _left: int = 0
    _finds_failed: int = 0
    _asked: dict[str, int] = field(default_factory=dict)
    _to_find: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # A person's kill does not wait for a list before its first cancel.
        self._blind = self.task.scope is Scope.ALL

    @property
    def swept(self) -> bool:
        """Nothing of ours was open in the last two whole lists."""
        return self.zeros >= 2

    @property
    def final(self) -> bool:
        """Nothing is open, nothing can arrive, and every client id has come to its end."""
        return self.swept and self.late_zeros >= 2 and not self.unresolved

    @property
    def unresolved(self) -> tuple[str, ...]:
        """The client ids of which it is not known how they ended."""
        ids = self.task.client_ids or ()
        if self.task.drill:
            ids = tuple(client_id for client_id in self.found.values() if client_id)
        return tuple(client_id for client_id in ids if client_id not in self.ended)

    @property
    def stuck(self) -> str:
        """Why it cannot become final by waiting; empty while it can."""
        if not self.swept or self.final:
            return ""
        if not self.task.drill and self.quiet_ns is None:
            return "it is not certain that the gate has stopped"
        if not self.task.drill and self.task.expiry_ns is None and self.task.client_ids is None:
            return "orders under way to this venue do not expire, and nobody named their client ids"
        return f"the venue does not tell how these ended: {', '.join(self.lost)}" if self.lost else ""

    @property
    def in_vain(self) -> bool:
        """Whether it is stuck although the gate has certainly stopped, and a whole list well after that showed nothing."""
        if not self.stuck or self.quiet_ns is None or self.looked_ns is None:
            return False
        return self.looked_ns >= self.quiet_ns + UNDER_WAY_NS

    @property
    def lost(self) -> tuple[str, ...]:
        """The client ids of which the venue was asked twice in vain."""
        return tuple(client_id for client_id in self.unresolved if self._asked.get(client_id, 0) >= 2)

    def next(self, now_ns: int) -> Step:
        """What to do now."""
        if self.final:
            return Step(Do.DONE)
        if now_ns < self.not_before_ns:
            return Step(Do.WAIT, until_ns=self.not_before_ns)
        if self._blind or (self.known and self.task.scope is Scope.ALL and not self._by_id):
            return Step(Do.CANCEL_EVERYTHING)
        if self.known:
            return Step(Do.CANCEL, orders=self.known)
        if self._to_find:
            return Step(Do.FIND, client_id=self._to_find[0])
        return Step(Do.LIST, ours=self.task.drill or self._only_waits(now_ns))

    def cancelled(self) -> None:
        """The venue took the request. What it did is in the next list; if that is nothing, the other way to cancel has its turn."""
        self._failures = 0
        self._after_cancel()

    def _after_cancel(self) -> None:
        self._blind = False
        self._by_id = not self._by_id
        self.known = ()

    def listed(self, orders: Iterable[OpenOrder], *, whole: bool, asked_ns: int, now_ns: int, ours: bool = False) -> None:
        """A list that was asked for at `asked_ns`. One that broke off in the middle is good for cancelling, not for counting zero, and neither is one
        of `ours` alone, but in a drill."""
        before = self.zeros
        self.known = tuple(order for order in orders if self._is_meant(order))
        again = sum(order.venue_order_id in self.found for order in self.known)
        self.found.update((order.venue_order_id, order.client_id) for order in self.known)
        if self.known:
            self.zeros = self.late_zeros = 0
            self._to_find.clear()
            # What is still there after a cancel may only be seen late; a storm of cancels would end in a ban. Fewer than before is no such thing: a
            # venue that takes a few at a time is asked for the next ones.
            fewer = len(self.known) < self._left
            self._stubborn = self._stubborn + 1 if again == len(self.known) and not fewer else 0
            self._left = len(self.known)
            if self._stubborn > 1:
                self.not_before_ns = now_ns + _backoff_ns(self._stubborn)
        elif whole and ours and not self.task.drill:
            self._failures = self._stubborn = 0
            self.not_before_ns = now_ns + POLL_NS
            if self._settles_ns is not None and now_ns < self._settles_ns:
                self.not_before_ns = min(self.not_before_ns, self._settles_ns)
        elif whole:
            self._failures = self._stubborn = 0
            self.zeros += 1
            self.looked_ns = asked_ns
            if self._settled(asked_ns):
                self.late_zeros += 1
                if self.late_zeros >= 2:
                    self._to_find = list(self.unresolved)
            pause_ns = STUCK_POLL_NS if self.stuck else POLL_NS
            verifying = before == 0 or self.late_zeros == 1
            self.not_before_ns = now_ns + (VERIFY_GAP_NS if verifying else 0 if self._to_find else pause_ns)

    def found_as(self, client_id: str, state: OrderState | None, now_ns: int) -> None:
        """The answer to a look-up. An order that is open although no list shows it is cancelled by its id."""
        self._finds_failed = 0
        self._to_find = [other for other in self._to_find if other != client_id]
        self._asked[client_id] = self._asked.get(client_id, 0) + 1
        if state is not None and state.final:
            self.ended[client_id] = state
        elif state is not None:
            self.known = (OpenOrder("", client_id, ""),)
            self.zeros = self.late_zeros = 0
            self._by_id = True
        if not self._to_find:
            self.not_before_ns = now_ns + (STUCK_POLL_NS if self.stuck else POLL_NS)

    def failed(self, step: Step, retry_after_ns: int, now_ns: int) -> None:
        """A step came to nothing. Wait as long as the venue asks, then cancel first where something is left to cancel."""
        self._failures += 1
        self.not_before_ns = now_ns + max(_backoff_ns(self._failures), min(retry_after_ns, MOST_OBEYED_NS))
        if retry_after_ns > 0:
            self.banned_until_ns = self.not_before_ns
        if step.do is Do.FIND:
            # Nothing is open any more: no hurry, and each look-up comes with a list before it.
            self._finds_failed += 1
            pause_ns = min(POLL_NS << min(self._finds_failed - 1, 16), STUCK_POLL_NS)
            self.not_before_ns = max(self.not_before_ns, now_ns + pause_ns)
            self._to_find.clear()
        elif step.do is Do.LIST:
            self._blind = self.task.scope is Scope.ALL and not self.swept
            self._by_id = self._by_id and not self._blind
        elif retry_after_ns == 0:
            self._after_cancel()

    def _is_meant(self, order: OpenOrder) -> bool:
        return self.task.scope is Scope.ALL or order.client_id.startswith(self.task.prefixes)

    def _settled(self, asked_ns: int) -> bool:
        return self.task.drill or (self._settles_ns is not None and asked_ns >= self._settles_ns)

    def _only_waits(self, now_ns: int) -> bool:
        """Whether nothing is left and it is known until when something may still land. Who cancels everything has whole lists all the way."""
        waits = self.swept and self._settles_ns is not None and now_ns < self._settles_ns
        return waits and self.task.few and self.task.scope is Scope.OWN

    @property
    def _settles_ns(self) -> int | None:
        """From when on nothing that was under way can land; None while that is not known."""
        if self.quiet_ns is None or (self.task.expiry_ns is None and self.task.client_ids is None):
            return None
        return self.quiet_ns + (self.task.expiry_ns or 0)


def _backoff_ns(times: int) -> int:
    return min(FIRST_BACKOFF_NS << min(times, 16) >> 1, MOST_BACKOFF_NS)
