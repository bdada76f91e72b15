"""One checker is heard after the other: nothing that the dead one told is lost, no death passes unseen, and no descriptor stays open."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable

from tests.gate.test_condition_watch import World

from interlock.domain.clock import NS_PER_S
from interlock.gate import records as r
from interlock.gate.checker_beats import CheckerBeats
from interlock.gate.condition_watch import RULES
from interlock.gate.verbs import Cause
from interlock.run.checker_line import CheckerLine


def line(*found: str) -> bytes:
    new = [{"invariant": "S8", "lsn": 1, "sentence": one} for one in found]
    return json.dumps({"beat": 1, "wall_ns": 1, "lsn": 5, "violations": len(new), "new": new}).encode() + b"\n"


class Heard:
    """A line, the pipe of its first checker, and a clock."""

    def __init__(self) -> None:
        self.now_ns = NS_PER_S
        self.beats = CheckerBeats(NS_PER_S)
        self.first, self.pipe = os.pipe()
        self.line = CheckerLine(self.beats, self.first, lambda: self.now_ns)
        self.line.begin()

    def another(self) -> None:
        """The one that beats dies, and another is started."""
        os.close(self.pipe)
        beats_fd, self.pipe = os.pipe()
        self.line.hear(beats_fd)

    async def beat(self, *found: str) -> None:
        """One that is heard."""
        os.write(self.pipe, line(*found))
        before, self.now_ns = self.now_ns, self.now_ns + 1
        for _ in range(1_000):  # what is in a pipe is read in the loop's next turn
            await asyncio.sleep(0)
            if self.beats.last_boot_ns is not None and self.beats.last_boot_ns > before:
                return
        raise AssertionError("the beat was not heard")

    @property
    def alive(self) -> bool:
        return self.beats.alive(self.now_ns)

    def nobody_listens(self) -> bool:
        try:
            os.write(self.pipe, b"\n")
        except BrokenPipeError:
            return True
        return False

    def close(self) -> None:
        self.line.end()
        os.close(self.first)
        os.close(self.pipe)


def heard(use: Callable[[Heard], Awaitable[None]]) -> None:
    async def all_of_it() -> None:
        one = Heard()
        try:
            await use(one)
        finally:
            one.close()

    asyncio.run(all_of_it())


def test_another_one_is_trusted_from_its_own_first_beat_on_and_not_before_the_death_was_judged() -> None:
    async def use(one: Heard) -> None:
        await one.beat()
        assert one.alive
        one.another()
        assert not one.alive
        os.write(one.pipe, line())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not one.alive, "its beat is there and not heard yet"
        one.line.go_on()
        assert not one.alive, "the death was judged; it has not beaten yet"
        await one.beat()
        assert one.alive

    heard(use)


def test_what_the_dead_one_told_last_is_heard_and_stays_noted() -> None:
    async def use(one: Heard) -> None:
        await one.beat()
        os.write(one.pipe, line("sent twice"))
        one.another()
        assert (one.beats.count, one.beats.violations) == (1, ["S8: sent twice"])
        one.line.go_on()
        await one.beat()
        assert (one.beats.count, one.alive) == (1, False)
        await one.beat("sent twice")
        assert (one.beats.count, one.beats.violations) == (1, ["S8: sent twice"]), "it found the same again"
        await one.beat("sent by nobody")
        assert (one.beats.count, one.beats.violations) == (2, ["S8: sent twice", "S8: sent by nobody"])

    heard(use)


def test_nobody_listens_to_a_checker_once_the_line_has_ended() -> None:
    async def use(one: Heard) -> None:
        one.another()
        one.line.go_on()
        await one.beat()
        assert not one.nobody_listens()
        one.line.end()
        assert one.nobody_listens()
        # And one that is ready only then.
        one.another()
        assert one.nobody_listens()

    heard(use)


def test_one_that_dies_before_it_was_heard_makes_room_for_the_next() -> None:
    async def use(one: Heard) -> None:
        one.another()
        one.another()
        one.line.go_on()
        await one.beat()
        assert one.alive

    heard(use)


def test_the_third_death_of_an_hour_is_for_a_person() -> None:
    async def use(one: Heard) -> None:
        world = World()
        one.now_ns = world.now

        def look() -> list[str]:
            world.now = one.now_ns
            records = world.fold(world.watch.checker(world.state, one.beats, one.now_ns))
            one.line.go_on()
            return [record.name for record in records if isinstance(record, r.InterlockTripped | r.InterlockCleared | r.LatchSet)]

        await one.beat()
        assert look() == []
        for death in (1, 2, 3):
            one.another()
            assert look() == ["checker_silent"] * (1 if death < 3 else 2), "it trips, and the third time it latches"
            await one.beat()
            assert look() == [], "it is heard, and not for long enough"
            for _ in range(RULES[Cause.CHECKER_SILENT].quarantine_ns // NS_PER_S):
                one.now_ns += NS_PER_S - 1
                await one.beat()
                told = look()
            assert told == ["checker_silent"], "it clears"
        assert [latch.name for latch in world.state.lattice.latches] == ["checker_silent"]

    heard(use)
