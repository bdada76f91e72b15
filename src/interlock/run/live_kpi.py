"""The figures of a live run, from its journal, and the invariants that it must have kept.

`kpi.json` is written every minute and at the end, replaced whole each time. A figure that is not known is null. What the run earned is the gate's own
account of executions and marks (`Marked`), in dollars; it is no evidence of a strategy, only of what happened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from interlock.domain.clock import NS_PER_S, Clock
from interlock.gate.frames import Status
from interlock.run.at_stop import AtStop, Ended, Reduction
from interlock.run.evidence_files import ALWAYS, OF_GATE, OF_PAPER, Evidence
from interlock.run.journal_told import Journaled, Told
from interlock.run.venue_fills import compare_fills

SCHEMA: Final = 1
WALL_TOLERANCE: Final = 0.01
LONGEST_GAP_S: Final = 65.0
PAPER: Final = "paper"
KPI_FILE: Final = "kpi.json"


@dataclass
class Course:
    """What the supervisor saw. Times by the monotonic clock, but for the two that a person reads."""

    planned_s: float | None = None
    began_wall_ns: int = 0
    ended_wall_ns: int = 0
    began_ns: int = 0
    ended_ns: int = 0
    last_beat_ns: int = 0
    longest_gap_ns: int = 0
    interrupted: bool = False
    gate_exit: int | None = None
    observer_exit: int | None = None
    restarts: int = 0
    trouble: list[str] = field(default_factory=list)
    cut_short: str = ""
    """What ended it, where neither its time nor anybody did."""
    reduction: Reduction | None = None
    """None: positions are kept at the stop."""

    def begin(self, clock: Clock, planned_s: float | None) -> None:
        """Everything runs."""
        self.planned_s = planned_s
        self.began_wall_ns = clock.now_ns()
        self.began_ns = self.last_beat_ns = self.ended_ns = clock.monotonic_ns()

    def beat(self, clock: Clock) -> None:
        """It was looked at."""
        now_ns = clock.monotonic_ns()
        self.longest_gap_ns = max(self.longest_gap_ns, now_ns - self.last_beat_ns)
        self.last_beat_ns = self.ended_ns = now_ns

    def end(self, clock: Clock) -> None:
        """Its time is over; what is under way is ended now."""
        self.beat(clock)
        self.ended_wall_ns = clock.now_ns()

    def note(self, trouble: str) -> None:
        """Something went wrong and it goes on; what comes again is told once."""
        if trouble not in self.trouble:
            self.trouble.append(trouble)

    def cut(self, trouble: str) -> None:
        """Something went wrong that ends it."""
        self.cut_short = trouble
        self.trouble.append(trouble)

    @property
    def ran_s(self) -> float:
        """How long it ran, to the last look, seconds."""
        return (self.ended_ns - self.began_ns) / NS_PER_S


def write_kpi(
    out: Path,
    mode: str,
    endpoint: str,
    found: Journaled,
    course: Course,
    engine: Mapping[str, Any] | None,
    gate: Status | None,
    truth: Path | None,
    *,
    final: bool,
) -> dict[str, Any]:
    """Write `kpi.json` of a run whose journal told `found`, and give what it says. While it runs the invariants are not judged yet. `truth` is where
    a simulated venue writes what it executed, None where the venue is none."""
    evidence = ALWAYS + OF_GATE + (OF_PAPER if mode == PAPER else Evidence())
    verdict = verdict_of(invariants_of(out, course, found, found, truth, evidence) if final else None)
    kpi: dict[str, Any] = {
        "live_kpi_schema": SCHEMA,
        "mode": mode,
        "endpoint": PAPER if mode == PAPER else endpoint,
        **verdict,
        **course_figures(course, found),
        **decided(found.told),
        **played(found.told),
        "engine": engine,
        "at_stop": told_of_stop(course),
        "level_at_the_end": None if gate is None else gate.level.value,
    }
    put_kpi(out, kpi)
    return kpi


def verdict_of(invariants: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The verdict on invariants; None while they are not judged yet."""
    failed = [one["name"] for one in invariants or () if one["verdict"] == "FAIL"]
    return {
        "final": invariants is not None,
        "verdict": None if invariants is None else "PASS" if not failed else "FAIL",
        "failed": failed,
        "invariants": invariants or [],
    }


def course_figures(course: Course, found: Journaled) -> dict[str, Any]:
    """How the run went, and how long the gate's journal is."""
    return {
        "interrupted": course.interrupted,
        "planned_s": course.planned_s,
        "ran_s": round(course.ran_s, 3),
        "began_wall_ns": course.began_wall_ns,
        "ended_wall_ns": course.ended_wall_ns or None,
        "engine_restarts": course.restarts,
        "trouble": course.trouble,
        "gate_lives": found.told.lives,
        "gate_exit_code": course.gate_exit,
        "journal_records": None if found.problem else found.told.records,
    }


def decided(told: Told) -> dict[str, Any]:
    """What the gate was asked and answered, and what held it back."""
    return {
        "intents": told.intents,
        "permits": told.permits,
        "denials": dict(told.denials),
        "freeze_triggered_total": dict(told.freezes.by_cause),
        "interlock_trips_total": dict(told.trips),
        "kills": told.kills,
    }


def played(told: Told) -> dict[str, Any]:
    """What came of the orders at the gate's venue, and what that was worth."""
    return {
        "fills": told.fills,
        "maker_fills": told.makers,
        "fees": {currency: str(amount) for currency, amount in told.fees.items()},
        "net_lots_traded": dict(told.positions),
        "orders_of_unknown_outcome": told.unknown,
        "pnl_usd": _pnl(told),
        "equity_usd": None if told.marked is None else str(told.marked.equity_usd),
    }


def put_kpi(out: Path, kpi: Mapping[str, Any]) -> None:
    """Put the figures into the run's folder, whole."""
    part = out / (KPI_FILE + ".part")
    with part.open("wb") as file:
        file.write(json.dumps(kpi, indent=2).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, out / KPI_FILE)


def _pnl(told: Told) -> str | None:
    """What changed from the first mark to the last, realised and not, dollars. A mark's result begins anew with the day, its equity does not."""
    if told.marked is None or told.first_marked is None:
        return None
    return str(told.marked.equity_usd - told.first_marked.equity_usd)


def invariants_of(
    out: Path, course: Course, gate: Journaled, account: Journaled, truth: Path | None, evidence: Evidence
) -> list[dict[str, Any]]:
    """What must hold of a run: `gate` is the journal of the orders, `account` that of the account, which are one but in shadow; `truth` what the
    venue of the orders executed."""
    recovered, problem = gate.recovered, gate.problem
    missing = evidence.missing(out)
    planned = course.planned_s
    gap_s = course.longest_gap_ns / NS_PER_S
    return [
        judged(
            "wall clock within 1 % of plan",
            None if planned is None or course.interrupted else abs(course.ran_s - planned) <= max(WALL_TOLERANCE * planned, 0.5),
            f"planned {planned} s, ran {course.ran_s:.1f} s",
        ),
        judged(f"heartbeat gap at most {LONGEST_GAP_S:.0f} s", gap_s <= LONGEST_GAP_S, f"longest {gap_s:.1f} s"),
        judged(
            "ended by its time or by hand",
            not course.cut_short,
            course.cut_short or ("by hand" if course.interrupted else "by its time"),
        ),
        judged("journal verified", recovered is not None, problem or "every batch and the chain"),
        judged(
            "journal complete",
            recovered is not None and recovered.sealed and course.gate_exit == 0,
            f"sealed {recovered is not None and recovered.sealed}, the gate's exit code {course.gate_exit} (0: every order is over)",
        ),
        judged("evidence complete", not missing, f"missing or empty: {', '.join(missing)}" if missing else "every file is there"),
        _reconciled(account.told.reconciled, gate.told.traded),
        _reduced(course.reduction),
        _filled(gate, truth),
    ]


def told_of_stop(course: Course) -> dict[str, Any]:
    """What became of positions at the stop."""
    return {"wanted": AtStop.KEEP.value} if course.reduction is None else course.reduction.told()


def _reconciled(explained: Mapping[str, bool], traded: set[str]) -> dict[str, Any]:
    """By venue, whether the last reading of its account was explained; a venue that was traded at has to have been read."""
    name = "fills reconciled with the venue"
    unexplained, unread = sorted(venue for venue, so in explained.items() if not so), sorted(traded - set(explained))
    if unexplained or unread:
        said = (
            f"{what}: {', '.join(venues)}"
            for what, venues in (("unexplained", unexplained), ("traded at and never read", unread))
            if venues
        )
        return judged(name, False, "; ".join(said))
    if not explained:
        return judged(name, None, "no order was sent, and no account was read")
    return judged(name, True, f"{len(explained)} venues, the last reading of each explained")


def _filled(gate: Journaled, truth: Path | None) -> dict[str, Any]:
    name = "simulated against venue fills"
    if gate.recovered is None:
        return judged(name, None, "the journal cannot be read to its end, and what it booked is not known")
    found = compare_fills(gate.told.booked, gate.told.proposed, truth)
    return judged(name, found.same, found.detail)


def _reduced(reduction: Reduction | None) -> dict[str, Any]:
    if reduction is None:
        return judged("positions reduced at the stop", None, "they are kept")
    left = (
        "not known" if reduction.after is None else ", ".join(f"{lots} lots of {key}" for key, lots in reduction.after.items()) or "nothing"
    )
    return judged("positions reduced at the stop", reduction.ended is Ended.FLAT, f"{reduction.ended.value}; left: {left}")


def judged(name: str, holds: bool | None, detail: str) -> dict[str, Any]:
    """One invariant; UNKNOWN where it makes no sense for this run, and then the detail says why."""
    return {"name": name, "verdict": "UNKNOWN" if holds is None else "PASS" if holds else "FAIL", "detail": detail}
