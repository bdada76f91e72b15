"""One stop or drill: what is asked, what is told about it as it goes on, and when all of it is at its end.

Whoever asked follows the events from the first, however late they begin to listen. No event says that all is clear before FINAL.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from interlock.sentinel.sweep import Scope, Sweep

Event = dict[str, Any]


class Operation:
    """Shared by the threads of the venues; every field is changed under `changed`, which wakes all that wait."""

    def __init__(
        self,
        venues: Sequence[str],
        scope: Scope,
        source: str,
        boot_ns: int,
        client_ids: Mapping[str, tuple[str, ...]],
        *,
        drill: bool = False,
    ) -> None:
        self.scope = scope
        self.source = source
        self.client_ids = dict(client_ids)
        self.drill = drill
        self.begun_ns = boot_ns
        self.changed = threading.Condition()
        self.events: list[Event] = []
        self.may_sweep = False
        self.quiet_ns: int | None = None
        self.successor: Operation | None = None
        self.over = False
        self._venues = tuple(venues)
        self._swept: set[str] = set()
        self._final: set[str] = set()
        self._told_swept = False
        self._told: dict[tuple[str, str], str] = {}
        self.sweeps: dict[str, Sweep] = {}

    def tell(self, event: str, boot_ns: int, **fields: Any) -> None:
        """Add an event."""
        with self.changed:
            self.events.append({"event": event, "boot_ns": boot_ns, **fields})
            self.changed.notify_all()

    def tell_once(self, event: str, boot_ns: int, venue: str, reason: str, **fields: Any) -> None:
        """Add an event about a venue unless its reason is the one that was told last; an empty reason only forgets."""
        with self.changed:
            if self._told.get((event, venue), "") != reason:
                self._told[event, venue] = reason
                if reason:
                    self.tell(event, boot_ns, venue=venue, reason=reason, **fields)

    def let_sweep(self) -> None:
        """The gate was given its time: sweep now, whether or not it is quiet."""
        with self.changed:
            self.may_sweep = True
            self.changed.notify_all()

    def gate_is_quiet(self, boot_ns: int) -> None:
        """From now on the gate certainly sends nothing new."""
        with self.changed:
            self.quiet_ns = boot_ns
            self.changed.notify_all()

    def supersede(self, successor: Operation, boot_ns: int) -> None:
        """A wider one takes over; followers go on with its events."""
        with self.changed:
            self.successor = successor
            self.tell("SUPERSEDED", boot_ns, by=successor.scope.value)

    def end(self) -> None:
        """Nothing more will be told."""
        with self.changed:
            self.over = True
            self.changed.notify_all()

    def is_final(self, venue: str) -> bool:
        """Whether that venue is at its end."""
        return venue in self._final

    @property
    def resolved(self) -> int:
        """Of how many client ids the end is known."""
        with self.changed:
            return sum(len(sweep.ended) for sweep in self.sweeps.values())

    def unresolved(self) -> dict[str, tuple[str, ...]]:
        """The client ids that were named, by venue, without those whose end is known."""
        with self.changed:
            ended = {venue: sweep.ended for venue, sweep in self.sweeps.items()}
            return {venue: tuple(one for one in ids if one not in ended.get(venue, {})) for venue, ids in self.client_ids.items()}

    def note(self, venue: str, sweep: Sweep, boot_ns: int) -> None:
        """Take up how a venue's sweep stands, and tell what is new."""
        with self.changed:
            self.sweeps[venue] = sweep
            if sweep.swept and venue not in self._swept:
                self._swept.add(venue)
                self.tell("VENUE_SWEPT", boot_ns, venue=venue, found=len(sweep.found))
            elif sweep.known and venue in self._swept:
                self._swept.discard(venue)
                self._told_swept = False
                self.tell("LATE", boot_ns, venue=venue, count=len(sweep.known))
            if not self._told_swept and len(self._swept) == len(self._venues):
                self._told_swept = True
                self.tell("SWEPT", boot_ns)
            if self._told.get(("UNRESOLVED", venue)) and not sweep.stuck and not sweep.final:
                self.tell("RESOLVING", boot_ns, venue=venue)
            self.tell_once("UNRESOLVED", boot_ns, venue, sweep.stuck, client_ids=sweep.lost)
            if sweep.final and venue not in self._final:
                self._final.add(venue)
                self.tell("VENUE_FINAL", boot_ns, venue=venue, found=len(sweep.found), ended=sweep.ended)

    @property
    def ended(self) -> bool:
        """Whether it is over, or another has taken over."""
        return self.over or self.successor is not None

    def ready(self) -> bool:
        """Whether the sweeps need not wait any more."""
        return self.may_sweep or self.ended

    @property
    def stuck(self) -> bool:
        """Whether nothing is open, and waiting makes nothing more certain."""
        return len(self._swept) == len(self._venues) and all(sweep.final or sweep.stuck for sweep in self.sweeps.values())

    @property
    def in_vain(self) -> bool:
        """Whether every venue is at its end or waits in vain, well after the gate had stopped."""
        return self.stuck and all(sweep.final or sweep.in_vain for sweep in self.sweeps.values())

    @property
    def all_final(self) -> bool:
        """Whether every venue is at its end."""
        return len(self._final) == len(self._venues)

    def follow(self, silence_s: float) -> Iterator[Event | None]:
        """Every event from the first, with None whenever nothing came for `silence_s`, until the end or for ever."""
        at = 0
        while True:
            with self.changed:
                if at == len(self.events) and not self.ended:
                    self.changed.wait(silence_s)
                fresh = self.events[at:]
                done, successor = self.over, self.successor
            at += len(fresh)
            yield from fresh
            if successor is not None:
                yield from successor.follow(silence_s)
                return
            if done:
                return
            if not fresh:
                yield None
