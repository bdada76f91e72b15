"""The ceremony that a script holds, at a gate whose checker stands still for a while."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.gate.serving import Serving, serving

from interlock.domain.errors import Refused
from interlock.run.gate_config import read_gate_config
from interlock.run.interrupt import StopWish
from interlock.run.our_verbs import arm_by_script, our_verb


@contextmanager
def stopped_checker(gate: Serving) -> Iterator[int]:
    """The checker of a gate stands still, and goes on behind the block; its process id."""
    children = read_gate_config(gate.folder / "run" / "gate.json").children
    (pid,) = (child[0] for child in children if b"interlock.trace" in Path(f"/proc/{child[0]}/cmdline").read_bytes())
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def tripped(gate: Serving) -> set[str]:
    return {one["name"] for one in gate.report()["trips"]}


def until(gate: Serving, *, holds: bool) -> None:
    deadline = time.monotonic() + 30
    while ("checker_silent" in tripped(gate)) is not holds:
        assert time.monotonic() < deadline, (gate.report()["trips"], gate.report()["latches"])
        time.sleep(0.05)


def test_a_script_waits_for_an_interlock_to_clear_and_arms_then(tmp_path: Path) -> None:
    said: list[str] = []
    with serving(tmp_path / "gate") as gate:
        with stopped_checker(gate) as pid:
            until(gate, holds=True)
            again = threading.Timer(3, os.kill, (pid, signal.SIGCONT))
            again.start()
            told = arm_by_script(
                gate.paths["raise"], gate.stands, dict(os.environ), stop=StopWish(), stage=lambda what, _done, _of: said.append(what)
            )
            again.join()
        assert told["result"] == "ARMED"
        assert "waiting for the gate's interlocks to clear: checker_silent" in said
        assert [one["name"] for one in gate.report()["latches"]] == []
        assert gate.intent()[1]["result"] == "PERMIT"

        # And again: what rests is taken back while nobody looks, and orders go again once somebody does.
        with stopped_checker(gate):
            until(gate, holds=True)
            assert gate.intent()[1]["result"] == "DENY"
            deadline = time.monotonic() + 30
            while gate.open_at_venue():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        until(gate, holds=False)
        assert gate.intent()[1]["result"] == "PERMIT"


def test_a_script_gives_up_where_nothing_clears_by_itself_and_heeds_a_wish_to_stop(tmp_path: Path) -> None:
    with serving(tmp_path / "gate") as gate:
        assert our_verb(os.environ, "freeze", "--socket", gate.paths["lower"], "--reason", "lunch")["result"] == "FROZEN"
        began = time.monotonic()
        with pytest.raises(Refused, match="the gate would not be armed"):
            arm_by_script(gate.paths["raise"], gate.stands, dict(os.environ), stop=StopWish(), stage=lambda *_: None)
        assert time.monotonic() - began < 60
        stop = StopWish()
        stop.wanted = True
        told = arm_by_script(gate.paths["raise"], gate.stands, dict(os.environ), stop=stop, stage=lambda *_: None)
        assert told["result"] == "REFUSED"


def test_what_prints_no_answer_is_said_to_have_failed() -> None:
    assert our_verb(os.environ, "--help") == {"result": "FAILED", "detail": ""}
    assert our_verb(os.environ, "no-such-verb")["error"]["kind"] == "UsageError"
