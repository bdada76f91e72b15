"""A gate starts its sentinel and its checker anew when they have died, so that it need not stay at cancels until somebody comes.

Nothing is made easier by it: from the death on nothing new is permitted, the new one has to be seen at work, for as long as after any silence, and
the third silence of an hour is for a person. A sentinel finds the gate's stop word by itself, and goes on with a stop that was under way. A checker
reads the journal from its start, and beats only when it has judged all of it. One that lives and stands still is left alone: a sentinel may be in the
middle of a sweep, and a checker that was starved goes on by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import InterlockError
from interlock.run.children import Begun
from interlock.run.gate_config import Child
from interlock.sentinel.gate_process import GateIdentity, Life

LOOK_S: Final = 0.1
FIRST_PAUSE_NS: Final = NS_PER_S
LONGEST_PAUSE_NS: Final = 30 * NS_PER_S
"""One that dies again and again is started after one second, then two, up to half a minute."""
STEADY_NS: Final = 60 * NS_PER_S
"""One that has lived for so long has not died of its start."""


class ChildKeeper:
    """Looks after one process beside the gate while `run` runs. `what` is its name, `pid` the process that stands there at the beginning, `children`
    what ends with the gate, which need not name it.

    `start` starts another one; it may take a second, is called in a thread, and raises InterlockError and OSError. `begun` is told of it at once, in
    the loop, and then `replaced` with the process id of the dead one, to write it down; that may raise OSError.
    """

    def __init__(
        self,
        what: str,
        children: tuple[Child, ...],
        pid: int,
        *,
        start: Callable[[], Begun],
        begun: Callable[[Begun], None],
        identity: Callable[[int], GateIdentity],
        look: Callable[[GateIdentity], Life],
        replaced: Callable[[int, Child], None],
        boot_ns: Callable[[], int],
        log: Callable[[str], None],
    ) -> None:
        self._what = what
        self._pid = pid
        self._held = _known(children, pid, identity)
        self._start = start
        self._begun = begun
        self._identity = identity
        self._look = look
        self._replaced = replaced
        self._boot_ns = boot_ns
        self._log = log
        self._started_ns: int | None = None
        self._pause_ns = 0
        self._not_before_ns = 0
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Look until told to leave."""
        while not self._leaving.is_set():
            await self.look_once()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), LOOK_S)

    def leave(self) -> None:
        """Start none any more; `run` returns soon, with one that is being started written down."""
        self._leaving.set()

    async def look_once(self) -> None:
        """Start a new one if there is none, unless it is too early for the next one."""
        if self._lives():
            return
        now_ns = self._boot_ns()
        if self._started_ns is not None:
            steady = now_ns - self._started_ns >= STEADY_NS
            self._pause_ns = FIRST_PAUSE_NS if steady else min(max(2 * self._pause_ns, FIRST_PAUSE_NS), LONGEST_PAUSE_NS)
            self._not_before_ns = 0 if steady else self._started_ns + self._pause_ns
            self._started_ns = None
        if now_ns < self._not_before_ns:
            return
        self._started_ns = now_ns
        self._log(f"the {self._what} is gone; starting another one")
        try:
            new = await asyncio.to_thread(self._start)
            self._begun(new)
            found = self._identity(new.pid)
        except Exception as error:  # noqa: BLE001 - whatever a start met, the next one is tried, and until then nothing new goes
            self._log(f"no {self._what}: {type(error).__name__} {error}; nothing new is permitted without one")
            return
        self._log(f"the {self._what} is process {new.pid} now")
        old, self._pid, self._held = self._pid, new.pid, found
        try:
            self._replaced(old, (new.pid, found.start_ticks, True))
        except OSError as error:
            self._log(f"the new {self._what} could not be written down: {error}")

    def _lives(self) -> bool:
        return self._held is not None and self._look(self._held) is not Life.GONE


def _known(children: tuple[Child, ...], pid: int, identity: Callable[[int], GateIdentity]) -> GateIdentity | None:
    """The one that stands at the beginning; one that outlives the gate is not among the children."""
    for one, ticks, _ in children:
        if one == pid:
            return GateIdentity(one, ticks)
    try:
        return identity(pid)
    except (InterlockError, OSError, ValueError):
        return None
