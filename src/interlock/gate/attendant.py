"""What a running gate does by itself: loops, each with one duty, none of which can take the others with it.

A loop that fails in a way that nobody foresaw halts the gate and goes on: a gate without a resolver or a feed still cancels, and can still be
stopped. The fastest loop is the one that looks at the stop word; what it does each time is little.

That loop also shows the sentinel that the gate works, and shows it only while the duties do on which everything else leans. One of them that hangs,
or whose task has gone without a word, raises nothing: the gate would look alive and watch nothing. What only a venue can hold up is no reason to
stop a gate that still cancels; that is a condition, and holds new risk back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from interlock.domain.clock import NS_PER_S
from interlock.gate import core, lattice
from interlock.gate import records as r
from interlock.gate.parts import Parts

LOOK_S = 0.005
"""How often the stop word is read. A stop must be acknowledged within 50 ms."""
ENFORCE_EVERY_NS = 100_000_000
HUNG_NS = 30 * NS_PER_S
"""How long a vital duty may be without the end of a round: none of them waits for a venue, so that only a host that stands still comes near. After
that one, the duty goes on in the same turn of the loop as the look that would miss it, or the next; the sentinel's bound counts from there."""
AGAIN_S = 1.0
"""How long a loop rests that has failed."""


class Attendant:
    """`employ` the duties, then `run`. All in one event loop. `steady` is a clock that nobody sets and that stands while the host sleeps, ns."""

    def __init__(self, parts: Parts, called_for: Callable[[], tuple[r.Record, ...]], steady: Callable[[], int]) -> None:
        self._parts = parts
        self._called_for = called_for
        self._steady = steady
        self._due_ns: dict[str, int] = {}
        """By when each duty that is vital must have ended another round."""
        self._hung: frozenset[str] = frozenset()
        self._duties: list[tuple[str, float, Callable[[], Awaitable[None]]]] = []
        self._enforced_at = (-1, -1, -1)
        self._seen_version = -1

    def employ(self, name: str, every_s: float, duty: Callable[[], Awaitable[None]], *, vital: bool = False) -> None:
        """A duty that is done again and again, with a rest of `every_s` between; 0 for one that rests by itself.

        While one that is `vital` has not ended a round for `HUNG_NS` no progress is shown.
        """
        self._duties.append((name, every_s, duty))
        if vital:
            self._due_ns[name] = self._steady() + HUNG_NS

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_the_word())
            for name, every_s, duty in self._duties:
                group.create_task(self._again_and_again(name, every_s, duty))

    async def _again_and_again(self, name: str, every_s: float, duty: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await duty()
                self.enforce()
            except Exception as error:  # noqa: BLE001 - it halts the gate by name, and the other duties go on
                self._parts.broke(name, error)
                await asyncio.sleep(AGAIN_S)
            if name in self._due_ns:
                self._due_ns[name] = self._steady() + HUNG_NS
            await asyncio.sleep(every_s)

    async def _watch_the_word(self) -> None:
        while True:
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - as above
                self._parts.broke("stop word", error)
                await asyncio.sleep(AGAIN_S)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """One round: heed a stop, send what cancels are due, and show that work goes on."""
        parts = self._parts
        if parts.word.stopped:
            now = parts.clock()
            # The word first: the sentinel waits for it, and nothing is written any more from here on.
            parts.word.acknowledge(now.boot_ns)
            kill = parts.keeper.state.lattice.kill
            if kill is lattice.Kill.NONE:
                parts.take(r.KillRequested(boot_ns=now.boot_ns, source="stop word", wall_ns=now.wall_ns))
            if kill is not lattice.Kill.EFFECTIVE:
                parts.tell_sentinel("orders", parts.live())
                parts.take(r.KillEffective(boot_ns=now.boot_ns))
        # What is owed goes out before anything is judged that could fail.
        parts.send_cancels()
        if self._works():
            parts.word.advance()
        if parts.keeper.state.lattice.version != self._seen_version:
            self._seen_version = parts.keeper.state.lattice.version
            self.enforce()

    def _works(self) -> bool:
        """Whether every vital duty does; tells once which one hangs, and when it goes on."""
        now_ns = self._steady()
        hung = frozenset(name for name, due_ns in self._due_ns.items() if now_ns > due_ns)
        if hung != self._hung:
            said = f"hung, no progress is shown: {', '.join(sorted(hung))}" if hung else "go on after they hung"
            self._parts.log(f"duties: {said}")
            self._hung = hung
        return not hung

    def enforce(self) -> None:
        """Want and send the cancels that the state calls for. Cheap when nothing has changed since the last time."""
        parts = self._parts
        state = parts.keeper.state
        # Time alone calls for cancels too, when a grant expires.
        at = (state.records, state.lattice.version, parts.clock().boot_ns // ENFORCE_EVERY_NS)
        if self._enforced_at == at:
            return
        found = self._called_for()
        if found:
            parts.take(*found)
            parts.send_cancels()
        self._enforced_at = at

    async def tell_denials(self) -> None:
        """Record how often held-back denials of one kind have come again."""
        parts = self._parts
        told = core.repeated(parts.keeper.state, parts.denials, parts.clock())
        for record in told:
            if parts.take(record):
                del parts.denials[record.strategy, record.rule]
