"""What the gate looks at besides its accounts: the conditions that hold trading back, the disk, and the checker's voice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from interlock.domain.clock import NS_PER_S
from interlock.gate.checker_beats import CheckerBeats
from interlock.gate.clock_watch import ClockReading
from interlock.gate.condition_watch import ConditionWatch, Seen, second_writers
from interlock.gate.fee_watch import FeeWatch
from interlock.gate.market_watch import MarketWatch
from interlock.gate.parts import Parts
from interlock.gate.permission import warnings_due
from interlock.run.checker_line import CheckerLine
from interlock.run.gate_venue import VenueDesk, take_in_order

PRIMED_NS = 3 * NS_PER_S
"""How long a gate that begins may be without what it watches before its interlocks trip."""
CHECKER_BOUND_NS = NS_PER_S
"""Two of the checker's beats, which are half a second apart."""


class GateWatch:
    """Looks and listens from `begin` to `end`. `checker_fd` is where the checker's beats can be read, -1 for nowhere."""

    def __init__(
        self,
        parts: Parts,
        desks: Mapping[str, VenueDesk],
        market: MarketWatch,
        conditions: ConditionWatch,
        fees: FeeWatch,
        *,
        clocks: Callable[[], ClockReading],
        checker_fd: int,
    ) -> None:
        self._parts = parts
        self._desks = desks
        self._market = market
        self._conditions = conditions
        self._fees = fees
        self._clocks = clocks
        self._beats = CheckerBeats(CHECKER_BOUND_NS)
        self._checker_line = CheckerLine(self._beats, checker_fd, lambda: parts.clock().boot_ns)
        self._begun_ns = 0
        self._warned_boot_ns = 0
        self._primed = False
        self._listening = False

    def begin(self) -> None:
        """Hear the checker, and give everything that is watched its time from here on."""
        self._begun_ns = self._parts.clock().boot_ns
        self._checker_line.begin()

    def end(self) -> None:
        """Hear nothing more."""
        self._checker_line.end()

    # The checker

    @property
    def checker_heard(self) -> bool:
        """Whether the checker has said anything."""
        return self._beats.first_boot_ns is not None

    def expect_checker(self) -> None:
        """From here on the checker's silence counts: it starts beside the gate, and is given the time to do so."""
        self._listening = True

    def hear_another_checker(self, beats_fd: int) -> None:
        """One was started in the place of one that is gone. The descriptor, where its beats can be read, is this room's from here on."""
        self._checker_line.hear(beats_fd)

    # Duties

    async def look_around(self) -> None:
        """Every condition that holds trading back."""
        parts, reading = self._parts, self._clocks()
        lost = [(venue, parts.setup.accounts[venue]) for venue in parts.guard.take_lost()]
        take_in_order(parts, second_writers(parts.keeper.state.lattice, lost, reading.boot_ns))
        take_in_order(parts, self._fees.turn(parts.keeper.state))
        seen = Seen(
            clock=reading,
            feeds=self._market.problems(reading.boot_ns),
            skews=self._market.skews,
            connected_since_boot_ns={(desk.part.venue, desk.part.account): desk.connected_since_boot_ns for desk in self._desks.values()},
            can_cancel={venue: egress.can_cancel for venue, egress in parts.egresses.items()},
            unread={(desk.part.venue, desk.part.account): desk.unread for desk in self._desks.values()},
            sentinel_beat=parts.word.sentinel_beat,
        )
        if self._primed or self._all_seen(seen):
            take_in_order(parts, self._conditions.turn(parts.keeper.state.lattice, seen))
        if self._listening:
            take_in_order(parts, self._conditions.checker(parts.keeper.state, self._beats, reading.boot_ns))
            parts.readings.checker_alive = self._beats.alive(reading.boot_ns)
        self._checker_line.go_on()

    def _all_seen(self, seen: Seen) -> bool:
        """Whether everything has been heard of once, or was given the time for it; until then the halt of the boot stands and a trip says nothing."""
        self._conditions.sentinel(self._parts.keeper.state.lattice, seen.sentinel_beat, seen.clock.boot_ns)
        heard = (
            not any(seen.feeds.values())
            and set(self._parts.setup.accounts) <= set(seen.skews)
            and None not in seen.connected_since_boot_ns.values()
            and all(seen.can_cancel.values())
            and not any(seen.unread.values())
            and self._parts.readings.sentinel_alive
        )
        self._primed = heard or seen.clock.boot_ns >= self._begun_ns + PRIMED_NS
        return self._primed

    async def warn_of_expiry(self) -> None:
        """Tell whoever reads the log that the grant is about to end: 30, 10 and 2 minutes before."""
        state, now_ns = self._parts.keeper.state, self._parts.clock().boot_ns
        if state.live is not None and not state.arming.ended:
            for minutes in warnings_due(state.live, self._warned_boot_ns, now_ns):
                self._parts.log(
                    f"the grant {state.live.grant.grant_id} ends in {minutes} min; arm again before, or only the reduce mandate is left"
                )
        self._warned_boot_ns = now_ns

    async def look_at_disk(self) -> None:
        """Whether the journal has room, and a segment to go on in."""
        parts = self._parts
        room = await asyncio.to_thread(parts.keeper.journal.room)
        if not room.spare_ready:
            parts.keeper.journal.prepare()
        take_in_order(parts, self._conditions.disk(parts.keeper.state.lattice, room, parts.clock().boot_ns))
