"""The verdict of a demo: what it claims to have survived has to have struck, and nothing of it may be left open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from interlock.run.demo_live import DemoNotes, DemoResult


def result_of(*, interrupted: bool = False, failed: tuple[str, ...] = (), **changes: Any) -> DemoResult:
    """A demo of which all held but for what is changed."""
    held: dict[str, Any] = {
        "faults": [{"fault": "lose_ack", "happened": 1}, {"fault": "gap", "happened": 3}],
        "kill": {"result": "FINAL"},
        "checked": {"violations": []},
        "decided_again": {"result": "SAME"},
        "venue": {"open_orders": 0},
    }
    kpi = {"verdict": "FAIL" if failed else "PASS", "failed": list(failed)}
    return DemoResult(Path("out"), kpi, DemoNotes(**{**held, **changes}), Path("out/report.html"), interrupted)


def test_a_demo_of_which_all_held_passes() -> None:
    for interrupted in (False, True):
        found = result_of(interrupted=interrupted)
        assert (found.passed, found.result, found.failed) == (True, "PASS", [])


LOST = {"fault": "lose_ack", "happened": 1}


@pytest.mark.parametrize(
    ("changes", "failed", "result_if_interrupted"),
    [
        ({"faults": [LOST, {"fault": "gap", "happened": 0}]}, ["the fault gap did not strike"], "INTERRUPTED"),
        ({"faults": [LOST]}, ["the fault gap did not strike"], "INTERRUPTED"),
        ({"kill": {}}, ["the kill drill was not made"], "INTERRUPTED"),
        ({"kill": {"result": "TIMEOUT"}}, ["the kill drill ended with TIMEOUT"], "FAIL"),
        ({"venue": {"open_orders": 2}}, ["2 orders are open at the venue"], "FAIL"),
        ({"venue": {}}, ["what is open at the venue is not known"], "FAIL"),
        ({"checked": {"violations": ["S1"]}}, ["the independent checker found violations, or did not answer"], "FAIL"),
        ({"checked": {}}, ["the independent checker found violations, or did not answer"], "FAIL"),
        ({"decided_again": {"result": "DIFFERENT"}}, ["the run decided again is another one"], "FAIL"),
        ({"failed": ("journal complete",)}, ["journal complete"], "FAIL"),
    ],
)
def test_what_did_not_hold_is_named(changes: dict[str, Any], failed: list[str], result_if_interrupted: str) -> None:
    """What had no time to happen before a Ctrl-C is nobody's fault; what was left open is."""
    found = result_of(**changes)
    assert (found.passed, found.result, found.failed) == (False, "FAIL", failed)
    assert result_of(interrupted=True, **changes).result == result_if_interrupted
