"""A gate starts its sentinel anew when that has died, so that it need not stay at cancels until somebody comes.

Nothing is made easier by it: from the death on nothing new is permitted, the new sentinel has to be seen to look (its beat in the stop word, which it
finds by itself), for as long as after any silence, and the third silence of an hour is for a person. A stop that the dead one had under way
is gone on with by the new one, from word and note. One that lives and stands still is left alone: it may be in the middle of a sweep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import InterlockError
from interlock.sentinel.gate_process import GateIdentity, Life

LOOK_S: Final = 0.1
FIRST_PAUSE_NS: Final = NS_PER_S
LONGEST_PAUSE_NS: Final = 30 * NS_PER_S
"""One that dies again and again is started after one second, then two, up to half a minute."""
STEADY_NS: Final = 60 * NS_PER_S
"""One that has lived for so long has not died of its start."""

Child = tuple[int, int, bool]
"""(process id, start in clock ticks, started for this life)."""


class SentinelKeeper:
    """Looks after the sentinel while `run` runs. `children` is what ends with the gate, the present sentinel among it.

    `start` starts one and gives its process id once it can be asked; it may take a second, is called in a thread, and raises InterlockError and
    OSError. `changed` is told the children when there is a new one, and may raise OSError.
    """

    def __init__(
        self,
        children: tuple[Child, ...],
        sentinel_pid: int,
        *,
        start: Callable[[], int],
        identity: Callable[[int], GateIdentity],
        look: Callable[[GateIdentity], Life],
        changed: Callable[[tuple[Child, ...], int], None],
        boot_ns: Callable[[], int],
        log: Callable[[str], None],
    ) -> None:
        self.children = children
        self._pid = sentinel_pid
        self._held = self._known(sentinel_pid, identity)
        self._start = start
        self._identity = identity
        self._look = look
        self._changed = changed
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
        """Start none any more; `run` returns soon, with one that is being started among the children."""
        self._leaving.set()

    async def look_once(self) -> None:
        """Start a new sentinel if there is none, unless it is too early for the next one."""
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
        self._log("the sentinel is gone; starting another one")
        try:
            pid = await asyncio.to_thread(self._start)
            found = self._identity(pid)
        except (InterlockError, OSError, ValueError) as error:
            self._log(f"no sentinel: {error}; nothing new is permitted without one")
            return
        self._log(f"the sentinel is process {pid} now")
        # In the place of the old one: the order is that in which they end.
        place = next((k for k, (old, _, _) in enumerate(self.children) if old == self._pid), len(self.children))
        self.children = (*self.children[:place], (pid, found.start_ticks, True), *self.children[place + 1 :])
        self._pid, self._held = pid, found
        try:
            self._changed(self.children, pid)
        except OSError as error:
            self._log(f"the new sentinel could not be written down: {error}")

    def _lives(self) -> bool:
        return self._held is not None and self._look(self._held) is not Life.GONE

    def _known(self, sentinel_pid: int, identity: Callable[[int], GateIdentity]) -> GateIdentity | None:
        """The sentinel that stands at the beginning; one that outlives the gate is not among the children."""
        for pid, ticks, _ in self.children:
            if pid == sentinel_pid:
                return GateIdentity(pid, ticks)
        try:
            return identity(sentinel_pid)
        except (InterlockError, OSError, ValueError):
            return None
