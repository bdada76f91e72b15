"""Waiting, at the start of a gate, for a sweep that is under way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from interlock.domain.clock import NS_PER_S
from interlock.gate.readings import Now
from interlock.run import gate_sentinel
from interlock.run.gate_sentinel import sweep_is_over

SWEEPS: Mapping[str, Any] = {"event": "STATUS", "under_way": "all"}
RESTS: Mapping[str, Any] = {"event": "STATUS", "under_way": None}
STUCK: Mapping[str, Any] = {"event": "STATUS", "under_way": "own", "stuck": True, "in_vain": True}
STUCK_IN_FRONT: Mapping[str, Any] = {**STUCK, "in_vain": False}
"""It is not certain that the life before has stopped, or nobody has looked since."""
SILENT: Mapping[str, Any] = {}


def waited(answers: Sequence[Mapping[str, Any]], monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """How often the sentinel was asked, a second passing each time and the last answer going on, and what was said."""
    asked, said = 0, list[str]()

    async def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
        nonlocal asked
        assert request == {"verb": "status"}
        asked += 1
        return answers[min(asked, len(answers)) - 1]

    async def no_time(_seconds: float) -> None:
        """The clock below is the only one."""

    monkeypatch.setattr(asyncio, "sleep", no_time)
    asyncio.run(sweep_is_over(ask, lambda: Now(asked * NS_PER_S, 0), said.append))
    return asked, said


@pytest.mark.parametrize(
    ("answers", "asked", "said"),
    [
        ([RESTS], 1, []),
        ([SWEEPS, SWEEPS, RESTS], 3, ["finishing a sweep"]),
        ([SILENT, SILENT, RESTS], 3, []),
        ([SWEEPS, STUCK], 2, ["finishing a sweep", "cannot end by waiting"]),
        ([STUCK_IN_FRONT, RESTS], 2, ["finishing a sweep"]),
        # One that is just starting and goes on with a stop is not taken for one that rests.
        ([SILENT, SWEEPS, RESTS], 3, ["finishing a sweep"]),
        ([SWEEPS], gate_sentinel.SWEEP_NS // NS_PER_S, ["finishing a sweep"]),
        ([SILENT], gate_sentinel.SILENT_NS // NS_PER_S, ["not known"]),
    ],
)
def test_a_sweep_is_waited_for_and_silence_is_no_rest(
    answers: list[Mapping[str, Any]], asked: int, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = waited(answers, monkeypatch)
    assert found[0] == asked
    assert len(found[1]) == len(said)
    assert all(words in line for words, line in zip(said, found[1], strict=True))
