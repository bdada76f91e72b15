"""What an engine does for each frame, order and answer leaves no cycles behind: with the collector of Python switched off nothing piles up.

Cycles come from what happens seldom, connections and failures, and are for the engine's own collector (tests/run/test_event_loop.py).
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.run.recorded_run import RecordedRun, YesGate


def left_behind(work: Callable[[], object]) -> int:
    """How many objects in cycles some work leaves that nobody knows any more."""
    gc.collect()
    gc.disable()
    try:
        work()
        return gc.collect()
    finally:
        gc.enable()


def life(folder: Path, frames: int) -> int:
    folder.mkdir()
    run = RecordedRun(folder)
    left = left_behind(lambda: run.live(frames=frames))
    assert len(run.records) > frames // 15, "there were orders"
    return left


def test_more_frames_and_orders_leave_no_more_cycles(tmp_path: Path) -> None:
    life(tmp_path / "first", 60)
    assert life(tmp_path / "short", 60) == life(tmp_path / "long", 600)


def test_a_cycle_for_each_order_would_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""

    class Me:
        def __init__(self) -> None:
            self.me = self

    answer = YesGate.answer

    def with_a_cycle(gate: YesGate) -> None:
        if gate.waiting:
            Me()
        answer(gate)

    monkeypatch.setattr(YesGate, "answer", with_a_cycle)
    assert life(tmp_path / "short", 60) < life(tmp_path / "long", 600)
