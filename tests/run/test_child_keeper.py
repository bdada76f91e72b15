"""A sentinel or checker that dies is started anew by its gate, and nothing is permitted meanwhile. Gates in processes for both; under a minute."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.gate.serving import Serving, serving, until

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import Refused
from interlock.run.child_keeper import LONGEST_PAUSE_NS, STEADY_NS, ChildKeeper
from interlock.run.children import Begun
from interlock.run.gate_config import Child, read_gate_config
from interlock.sentinel import control
from interlock.sentinel.gate_process import GateIdentity, Life, look

CHECKER = (11, 1, True)


class Host:
    """Processes that live or are gone, and a clock; each start gives the next id, or fails."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS_PER_S
        self.lives: dict[int, Life] = {11: Life.RUNS, 20: Life.RUNS}
        self.next_pid = 21
        self.starts: list[int] = []
        self.fails: Exception | None = None
        self.said: list[str] = []
        self.begun: list[int] = []
        self.written: list[tuple[int, Child]] = []
        self.full = False
        self.keeper = ChildKeeper(
            "sentinel",
            (CHECKER, (20, 1, False)),
            20,
            start=self.start,
            begun=lambda new: self.begun.append(new.pid),
            identity=lambda pid: GateIdentity(pid, 1),
            look=lambda one: self.lives[one.pid],
            replaced=self.replaced,
            boot_ns=lambda: self.now_ns,
            log=self.said.append,
        )

    def replaced(self, gone_pid: int, child: Child) -> None:
        if self.full:
            raise OSError("full")
        self.written.append((gone_pid, child))

    def start(self) -> Begun:
        self.starts.append(self.now_ns)
        if self.fails is not None:
            raise self.fails
        pid, self.next_pid = self.next_pid, self.next_pid + 1
        self.lives[pid] = Life.RUNS
        return Begun(pid)

    def pass_s(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, with ten looks a second."""

        async def looks() -> None:
            for _ in range(round(seconds * 10)):
                each()
                await self.keeper.look_once()
                self.now_ns += NS_PER_S // 10

        asyncio.run(looks())

    def all_die(self) -> None:
        for pid in range(20, self.next_pid):
            self.lives[pid] = Life.GONE


def test_one_that_lives_or_stands_still_is_left_alone_and_one_that_is_gone_is_replaced() -> None:
    host = Host()
    host.pass_s(5)
    host.lives[20] = Life.STOPPED
    host.pass_s(5)
    host.lives[20] = Life.UNSEEN
    host.pass_s(5)
    assert (host.starts, host.written) == ([], [])
    host.lives[20] = Life.GONE
    host.pass_s(5)
    assert len(host.starts) == 1
    assert (host.begun, host.written) == ([21], [(20, (21, 1, True))])


@pytest.mark.parametrize("fails", [None, Refused("no"), OSError("no"), ValueError("no")])
def test_one_that_dies_again_and_again_is_started_ever_more_rarely(fails: Exception | None) -> None:
    host = Host()
    host.fails = fails
    host.pass_s(200, host.all_die)
    gaps = [(later - sooner) / NS_PER_S for sooner, later in zip(host.starts, host.starts[1:], strict=False)]
    assert gaps[:5] == pytest.approx([1, 2, 4, 8, 16], abs=0.21)
    assert gaps[5:] == pytest.approx([LONGEST_PAUSE_NS / NS_PER_S] * len(gaps[5:]), abs=0.21)
    # And once it has lived for a minute, at once.
    host.fails = None
    host.pass_s(STEADY_NS / NS_PER_S + 35)
    count = len(host.starts)
    host.all_die()
    host.pass_s(0.1)
    assert len(host.starts) == count + 1


def test_a_disk_that_takes_nothing_does_not_end_the_keeper() -> None:
    host = Host()
    host.full = True
    host.all_die()
    host.pass_s(1)
    host.all_die()
    host.pass_s(5)
    assert len(host.starts) == 2
    assert any("could not be written down: full" in line for line in host.said)


# In processes


def sentinel_of(gate: Serving) -> GateIdentity:
    config = read_gate_config(gate.folder / "run" / "gate.json")
    return next(GateIdentity(pid, ticks) for pid, ticks, _ in config.children if pid == config.sentinel_pid)


@contextmanager
def place_taken(gate: Serving) -> Iterator[None]:
    """While the block runs no sentinel can begin, because somebody holds its lock."""
    lock = os.open(gate.folder / "run" / f"{control.NAME}.lock", os.O_RDWR)
    try:
        until(lambda: _locked(lock))
        yield
    finally:
        os.close(lock)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def test_a_gate_without_a_sentinel_takes_its_orders_back_and_goes_on_with_another_one(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.intent()[1]["result"] == "PERMIT"
        until(lambda: len(gate.open_at_venue()) == 1)
        first = sentinel_of(gate)
        os.kill(first.pid, signal.SIGKILL)
        with place_taken(gate):
            until(lambda: "sentinel_silent" in {trip["name"] for trip in gate.report()["trips"]})
            code, told = gate.intent(ticks=499_990)
            assert (code, told["result"]) == (1, "DENY"), told
            until(lambda: gate.open_at_venue() == [])
        until(lambda: sentinel_of(gate) != first, 40)
        second = sentinel_of(gate)
        assert (look(first), look(second)) == (Life.GONE, Life.RUNS)
        # The same word: what it stops is this gate, and its looks are what the gate sees.
        (status,) = control.ask(gate.folder / "run" / control.NAME, {"verb": "status"}, frozenset({os.geteuid()}), 5)
        assert status["incarnation"] == gate.stands().incarnation
        until(lambda: gate.stands().level.value == "run", 30)
        code, told = gate.intent(ticks=499_980)
        assert (code, told["result"]) == (0, "PERMIT"), told
        until(lambda: len(gate.open_at_venue()) == 1)
        # And what a sentinel is for, by a third one.
        os.kill(second.pid, signal.SIGKILL)
        until(lambda: sentinel_of(gate) != second, 40)
        code, told = gate.kill()
        assert (code, told["result"]) == (0, "FINAL"), told
        assert gate.open_at_venue() == []
        assert gate.checked()[1]["violations"] == []
        third = sentinel_of(gate)
        assert gate.stop() == 0
        assert look(third) is Life.GONE, "the one that runs now ends with its gate"


def checker_of(gate: Serving) -> GateIdentity:
    config = read_gate_config(gate.folder / "run" / "gate.json")
    return next(GateIdentity(pid, ticks) for pid, ticks, _ in config.children if pid == config.checker_pid)


def test_a_gate_whose_checker_was_killed_goes_on_with_another_one_which_ends_with_it(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.intent()[1]["result"] == "PERMIT"
        until(lambda: len(gate.open_at_venue()) == 1)
        first = checker_of(gate)
        assert look(first) is Life.RUNS
        os.kill(first.pid, signal.SIGKILL)
        until(lambda: "checker_silent" in {trip["name"] for trip in gate.report()["trips"]})
        code, told = gate.intent(ticks=499_990)
        assert (code, told["result"]) == (1, "DENY"), told
        until(lambda: gate.open_at_venue() == [])
        until(lambda: checker_of(gate) != first)
        second = checker_of(gate)
        assert (look(first), look(second)) == (Life.GONE, Life.RUNS)
        until(lambda: gate.stands().level.value == "run", 30)
        assert gate.report()["latches"] == []
        code, told = gate.intent(ticks=499_980)
        assert (code, told["result"]) == (0, "PERMIT"), told
        # In its gate's order, not behind sentinel and venue.
        children = read_gate_config(tmp_path / "run" / "gate.json").children
        assert children[0][0] == second.pid
        gate.die()
        until(lambda: look(second) is Life.GONE)
