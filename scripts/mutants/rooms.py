"""What is mutated, and which tests must notice."""

from __future__ import annotations

from pathlib import Path

_GATE = "src/interlock/gate/"

ROOMS: dict[str, tuple[str, ...]] = {
    "arming": (
        "arming",
        "attest_desk",
        "attested",
        "ceremony",
        "conditions",
        "permission",
        "checks",
        "lattice",
        "interlocks",
        "mandate",
        "reduction",
        "clock_watch",
        "verbs",
    ),
    "limits": (
        "limits",
        "evaluate",
        "exposure",
        "margin",
        "losses",
        "throttles",
        "references",
        "limit_sheet",
        "tightening",
        "in_force",
        "pairs",
        "reservation",
        "group_result",
        "foreign",
        "own_crossing",
        "market_watch",
        "money_watch",
        "fee_watch",
        "venue_bounds",
    ),
    "orders": ("order_machine", "order_state", "order_reports", "orders", "absence", "cancels", "ledger", "reconcile"),
    "journal": (
        "journal/archive",
        "journal/barrier",
        "journal/disk",
        "journal/follow",
        "journal/format",
        "journal/opening",
        "journal/recover",
        "journal/segments",
        "journal/snapshots",
        "journal/writer",
    ),
    "egress": (
        "egress",
        "connection",
        "order_line",
        "sealing",
        "venue_wire",
        "venue_http_wire",
        "venue_socket_wire",
        "web_socket",
        "following",
        "keeper",
        "core",
    ),
}
"""Rooms of the gate and their modules; what is in none is not mutated."""

TESTS = "tests/gate"
"""Where the tests of these rooms are. Which of them run for a mutant is measured, not listed: those that run its line."""

WITHOUT = frozenset(
    {
        "tests/gate/test_arming_processes.py",
        "tests/gate/test_attest_serve.py",
        "tests/gate/test_crash.py",
        "tests/gate/test_crash_power.py",
        "tests/gate/test_following_serve.py",
        "tests/gate/test_gate_freeze.py",
        "tests/gate/test_gate_serve.py",
        "tests/gate/test_gate_shared.py",
        "tests/gate/test_gate_stops.py",
        "tests/gate/test_gate_unfinished_stop.py",
    }
)
"""Tests that start a gate as a process, which imports the unchanged sources: they cannot notice a mutant in a running process, and take minutes."""

ONLY_COLD = frozenset({_GATE + "limits.py"})
"""Sources that are compiled besides: a mutant put into a running process would differ from its compiled twin, and be found by that alone."""


def path_of(module: str) -> str:
    """The source file of a module that `ROOMS` names."""
    return f"{_GATE}{module}.py"


def tests_in(repository: Path) -> list[str]:
    """The files of tests that judge mutants."""
    found = sorted(str(path.relative_to(repository)) for path in (repository / TESTS).rglob("test_*.py"))
    return [file for file in found if file not in WITHOUT]
