"""The gate collects cycles of objects when nothing waits, and not while an order waits for the disk."""

from __future__ import annotations

import ast
import asyncio
import gc
import signal
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from tests.gate.serving import serving, until

from interlock.domain.clock import NS_PER_S
from interlock.run.event_loop import EVERY_NS, Collector, QuietSelector, quiet_loop
from interlock.run.gate_process import on_duty
from interlock.run.gate_world import GateWorld

SAID = "the collector worked: "


def test_a_gate_that_serves_has_frozen_what_was_there_and_says_what_it_collected(tmp_path: Path) -> None:
    with serving(tmp_path / "gate") as gate:
        said = tmp_path / "gate" / "gate.stderr"
        until(lambda: "objects stay out of the collector" in said.read_text(encoding="utf-8"))
        gate.armed()
        assert gate.intent()[1]["result"] == "PERMIT"
        time.sleep(3 * EVERY_NS[0] / NS_PER_S)
        assert gate.stop(signal.SIGTERM) == 0
        told = next(line.split(SAID, 1)[1] for line in said.read_text(encoding="utf-8").splitlines() if SAID in line)
        found: dict[str, Any] = ast.literal_eval(told)
        assert found["frozen"] > 10_000
        assert sum(found["collections"]) >= 1


@dataclass
class FakeJournal:
    """As far as it is asked."""

    last_lsn: int = 7
    durable_lsn: int = 6


@dataclass
class FakeWorld:
    journal: FakeJournal


class Me:
    """In a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


def test_a_record_that_waits_for_the_disk_holds_a_collection_up() -> None:
    now_ns = [1]
    collector = Collector(lambda: now_ns[0])
    journal, lines = FakeJournal(), list[str]()

    async def work() -> list[bool]:
        with on_duty(collector, cast(GateWorld, FakeWorld(journal)), lines.append):
            gone = weakref.ref(Me())
            now_ns[0] += EVERY_NS[0]
            await asyncio.sleep(0.01)
            kept = gone() is not None
            journal.durable_lsn = journal.last_lsn
            await asyncio.sleep(0.01)
            return [kept, gone() is None]

    enabled = gc.isenabled()
    with asyncio.Runner(loop_factory=lambda: quiet_loop(QuietSelector(collector))) as runner:
        assert runner.run(work()) == [True, True]
    assert gc.isenabled() is enabled
    assert len(lines) == 2
