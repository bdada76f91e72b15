"""A gate can always be stopped (L1, L2): while its interpreter is held, while it stands still, with a full disk, in the middle of a write.

Each time a person's `interlock kill` has to end with FINAL and nothing open at the venue. The times that it took are in the messages; what is
asserted is what the rules ask for with room for a busy machine: the gate closed within 50 ms and a second more, FINAL within 10 s.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.gate import stop_driver
from tests.gate.serving import Serving, command, end_all, start, until

from interlock.cli.gate_client import boot_ns
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover
from interlock.run.gate_config import read_gate_config
from interlock.sentinel.gate_process import GateIdentity, Life, identity_of, look
from interlock.sentinel.stop_word import StopWord

MS = 1_000_000
BY_THE_SENTINEL = {"GATE_KILLED", "GATE_GONE"}
"""How a gate that answers nothing ends. On a busy machine the sentinel has found the standstill, and has killed it, before a person's kill."""
CLOSED_MS = 50 + 1_000
FINAL_MS = 10_000


@contextmanager
def driven(folder: Path, way: str) -> Iterator[Serving]:
    """A gate that is armed, with one order open, and that misbehaves in this way when it is told to."""
    try:
        gate = start(folder, command=[sys.executable, str(Path(stop_driver.__file__)), str(folder), way])
        try:
            gate.armed()
            assert gate.intent()[0] == 0
            until(lambda: len(gate.open_at_venue()) == 1)
            yield gate
        finally:
            gate.die()
    finally:
        end_all(folder)


def misbehave(gate: Serving) -> None:
    gate.process.send_signal(signal.SIGUSR1)


def journaled(gate: Serving) -> list[r.Record]:
    found: list[r.Record] = []
    recover(SystemDisk(), Path(gate.paths["journal"]), schema=r.SCHEMA, consume=lambda _lsn, payload: found.append(r.decode(payload)))
    return found


class Killed:
    """One kill, and how long each part of it took, ms since somebody asked for it."""

    def __init__(self, gate: Serving) -> None:
        seen = len(gate.witness())
        ahead_ns = time.time_ns() - boot_ns()
        self.code, self.told = gate.kill()
        events = {event["event"]: event["boot_ns"] for event in reversed(self.told["events"]) if "boot_ns" in event}
        begun_ns = events["REQUESTED"]
        self.how = next(name for name in ("STOPPED", "GATE_KILLED", "GATE_GONE") if name in events)
        self.closed_boot_ns = events[self.how]
        after = [line for line in gate.witness()[seen:] if line["class"] == "RISK-"]
        self.closed_ms = (events[self.how] - begun_ns) / MS
        self.first_cancel_ms = (after[0]["wall_ns"] - ahead_ns - begun_ns) / MS
        self.zero_ms = (events["SWEPT"] - begun_ns) / MS
        self.final_ms = (events["FINAL"] - begun_ns) / MS
        closed_wall_ns = self.closed_boot_ns + ahead_ns
        self.raised_after = [line for line in gate.witness()[seen:] if line["class"] == "RISK+" and line["wall_ns"] > closed_wall_ns]

    def __str__(self) -> str:
        return (
            f"{self.how}: gate closed after {self.closed_ms:.1f} ms, first cancel after {self.first_cancel_ms:.1f} ms, "
            f"nothing open after {self.zero_ms:.1f} ms, FINAL after {self.final_ms:.1f} ms"
        )

    def check(self, gate: Serving) -> None:
        """What every kill has to be."""
        assert (self.code, self.told["result"]) == (0, "FINAL"), self.told
        assert gate.open_at_venue() == [], self
        assert self.raised_after == [], self
        assert self.closed_ms <= CLOSED_MS, self
        assert self.final_ms <= FINAL_MS, self


def stands_still(gate: Serving) -> None:
    """Wait until the gate's loop has done no round for half a second; else it does two hundred in a second."""
    word = StopWord.attach(read_gate_config(gate.folder / "run" / "gate.json").stop_word)
    try:
        until(lambda: not _moves(word))
    finally:
        word.close()


def _moves(word: StopWord) -> bool:
    before, until_s = word.progress, time.monotonic() + 0.5
    while time.monotonic() < until_s:
        if word.progress != before:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("way", ["regex", "product", "SIGSTOP"])
def test_a_gate_that_is_held_is_killed_and_swept(tmp_path: Path, way: str) -> None:
    with driven(tmp_path, way) as gate:
        if way == "SIGSTOP":
            gate.process.send_signal(signal.SIGSTOP)
        else:
            misbehave(gate)
        stands_still(gate)
        killed = Killed(gate)
        killed.check(gate)
        assert killed.how in BY_THE_SENTINEL, killed
        assert gate.process.wait(10) == -signal.SIGKILL


def test_a_gate_with_a_full_disk_is_stopped_all_the_same(tmp_path: Path) -> None:
    with driven(tmp_path, "full") as gate:
        misbehave(gate)
        assert gate.intent(ticks=499_999)[1]["rule"] != ""
        raised = gate.raising()
        killed = Killed(gate)
        killed.check(gate)
        assert killed.how == "STOPPED", killed
        assert gate.raising() == raised


class Asked:
    """An order that is proposed beside what the test does; its answer may never come."""

    def __init__(self, gate: Serving, **changes: Any) -> None:
        self.answer: tuple[int, Any] = (-1, None)

        def ask() -> None:
            self.answer = gate.intent(**changes)

        self.thread = threading.Thread(target=ask)
        self.thread.start()

    def join(self) -> tuple[int, Any]:
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.answer


def second_order(gate: Serving) -> Asked:
    """One more order on its way, after the first was cancelled to make room for it."""
    assert command("freeze", "--socket", gate.paths["lower"], "--reason", "room")[0] == 0
    until(lambda: not gate.open_at_venue() and not gate.report()["orders"]["live"])
    assert command("resume", "--socket", gate.paths["raise"], "--latch", "operator", "--scope", "all")[0] == 0
    misbehave(gate)
    return Asked(gate)


def halted(gate: Serving) -> None:
    """Wait until the gate has stopped itself."""
    who = GateIdentity(gate.process.pid, identity_of(gate.process.pid).start_ticks)
    until(lambda: look(who) is Life.STOPPED)


def test_what_stands_before_its_write_when_everything_is_killed_is_never_written(tmp_path: Path) -> None:
    """The gate is stopped between its last check and the write: no word can reach it there, so it has to die."""
    with driven(tmp_path, "before-write") as gate:
        asked = second_order(gate)
        halted(gate)
        raised = gate.raising()
        killed = Killed(gate)
        killed.check(gate)
        assert killed.how in BY_THE_SENTINEL, killed
        gate.process.send_signal(signal.SIGCONT)
        assert gate.process.wait(10) == -signal.SIGKILL
        asked.join()
        assert gate.raising() == raised


def test_what_goes_on_in_the_middle_of_a_kill_is_cancelled_by_it(tmp_path: Path) -> None:
    """The control: the same write, and the process goes on before the sentinel has ended it. Then it may go out, and is swept."""
    with driven(tmp_path, "before-write") as gate:
        asked = second_order(gate)
        halted(gate)
        raised = gate.raising()
        gate.process.send_signal(signal.SIGCONT)
        until(lambda: len(gate.raising()) == len(raised) + 1)
        Killed(gate).check(gate)
        assert asked.join()[1]["result"] == "PERMIT"


def test_what_stands_before_its_last_check_is_not_written_once_the_word_is_set(tmp_path: Path) -> None:
    """Also the control of the kills above: a gate that works closes by itself, lives on, and says why it sends nothing."""
    with driven(tmp_path, "before-check") as gate:
        asked = second_order(gate)
        halted(gate)
        raised = gate.raising()
        word = StopWord.attach(read_gate_config(gate.folder / "run" / "gate.json").stop_word)
        try:
            word.stop(boot_ns())
            gate.process.send_signal(signal.SIGCONT)
            until(lambda: word.acknowledged)
        finally:
            word.close()
        client_id = asked.join()[1]["client_id"]
        until(lambda: any(isinstance(record, r.NotSent) and record.client_id == client_id for record in journaled(gate)))
        (not_sent,) = [record for record in journaled(gate) if isinstance(record, r.NotSent) and record.client_id == client_id]
        assert not_sent.reason == "stop word"
        killed = Killed(gate)
        killed.check(gate)
        assert killed.how == "STOPPED", killed
        assert gate.raising() == raised
        assert gate.process.poll() is None
        assert gate.intent()[1]["rule"] == "killed"
