"""Reading along with a gate that works: the same rules, and a beat that says how far and with what result.

The beat is the proof that somebody looks. Whoever receives it lowers the gate when it tells of a violation or stays away, and a watcher that can no
longer read, or dies, stays away. The witness is read before the journal, so that the record of a send is there when its line is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.domain.clock import NS_PER_MS, Clock
from interlock.trace.check import Checker
from interlock.trace.facts import Facts
from interlock.trace.reader import JournalReader
from interlock.trace.values import Finding, Key
from interlock.trace.witness import LineReader, read_line

HOLD_NS: Final = 500 * NS_PER_MS
"""How long a write may wait to be called off before what was wrong with it is told."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One sign of life: up to which record all was read, how many violations there were in all, and those that are new."""

    number: int
    wall_ns: int
    lsn: int
    violations: int
    new: tuple[Finding, ...]

    def as_map(self) -> dict[str, Any]:
        """For a program: plain data, one line of JSON."""
        return {
            "beat": self.number,
            "wall_ns": self.wall_ns,
            "lsn": self.lsn,
            "violations": self.violations,
            "new": [{"invariant": one.invariant, "lsn": one.lsn or None, "sentence": one.sentence} for one in self.new],
        }


class Watcher:
    """Follows a journal from its first record on, `again` where another one did so in this process life.

    Raises like `JournalReader` from `step`, and then there is no beat.
    """

    def __init__(
        self, directory: Path, clock: Clock, *, witness: Path | None = None, facts: Facts | None = None, again: bool = False
    ) -> None:
        self._clock = clock
        self._reader = JournalReader(directory)
        self._witness = None if witness is None else LineReader(witness)
        self._checker = Checker(facts)
        self._held_since: dict[Key, int] = {}
        self._waiting_since: dict[Key, int] = {}
        self._past: set[Key] = set()
        self._again = again
        self._told_problems = 0
        self._number = 0
        self.violations = 0

    def step(self) -> Beat:
        """Read what is new, judge it, and say so."""
        lines = [] if self._witness is None else self._witness.poll()
        found = [finding for entry in self._reader.poll() for finding in self._checker.take(entry)]
        found += self._reader.problems[self._told_problems :]
        self._told_problems = len(self._reader.problems)
        if self._witness is not None:
            for number, line in lines:
                found += self._checker.join.line(self._checker.state, number, read_line(self._witness.path, number, line))
        found += self._overdue()
        found += self._without_beginning()
        self._number += 1
        self.violations += len(found)
        return Beat(self._number, self._clock.now_ns(), self._reader.lsn, self.violations, tuple(found))

    def run(self, beat: Callable[[Beat], None], pause: Callable[[], None], until: Callable[[], bool] = lambda: False) -> None:
        """Step and beat, again and again, until told to stop."""
        try:
            while True:
                beat(self.step())
                if until():
                    return
                pause()
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the journal."""
        self._reader.close()

    def _without_beginning(self) -> list[Finding]:
        """What came before this watcher began to look waits for the next life; what came since, for as long as a write may be called off.

        One that looks `again`, in the place of another in the same life, has no such past: what older lives left, this life's boot has settled.
        """
        join, now = self._checker.join, self._clock.monotonic_ns()
        found = list(join.settle(self._checker.state, patient=True))
        if self._number == 0 and not self._again:
            self._past = set(join.waiting)
        self._waiting_since = {key: self._waiting_since.get(key, now) for key in join.waiting if key not in self._past}
        for key, since in self._waiting_since.items():
            if now - since >= HOLD_NS:
                found += join.told(key)
        return found

    def _overdue(self) -> list[Finding]:
        now, held = self._clock.monotonic_ns(), self._checker.state.held
        self._held_since = {key: self._held_since.get(key, now) for key in held}
        return [finding for key, since in self._held_since.items() if now - since >= HOLD_NS for finding in self._checker.release(key)]
