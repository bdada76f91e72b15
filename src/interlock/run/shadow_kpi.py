"""The figures of a run in shadow: what the gate decided, what was not sent, how the account stood, and, by name, what is counterfactual.

Nothing of the run was executed at the account, so that what executions would say of it is null. What the paper venue made of the orders
stands apart, under `counterfactual`: by the matching model, at a venue at which nobody reacts to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from interlock.gate.frames import Status
from interlock.run.evidence_files import ALWAYS, OF_GATE, OF_OBSERVER, OF_PAPER
from interlock.run.folder_names import COUNTERFACTUAL
from interlock.run.journal_told import Journaled
from interlock.run.live_kpi import (
    SCHEMA,
    Course,
    course_figures,
    decided,
    invariants_of,
    judged,
    played,
    put_kpi,
    told_of_stop,
    verdict_of,
)

SHADOW: Final = "shadow"
NOTHING_SENT: Final = "nothing was sent to the account"


def write_shadow_kpi(
    out: Path,
    gate_folder: Path,
    decisions: Journaled,
    account: Journaled,
    course: Course,
    engine: Mapping[str, Any] | None,
    gate: Status | None,
    truth: Path | None,
    *,
    final: bool,
) -> dict[str, Any]:
    """Write `kpi.json` of a run in shadow, and give what it says. `gate_folder` is where the counterfactual gate lives, whose journal told
    `decisions`, `account` what that of the account did, `truth` what the paper venue executed."""
    invariants = None
    if final:
        evidence = ALWAYS + OF_GATE.within(COUNTERFACTUAL) + OF_PAPER + OF_OBSERVER
        invariants = [*invariants_of(out, course, decisions, account, truth, evidence), *_unsent(course, decisions, account)]
    nothing = dict.fromkeys(played(decisions.told))
    kpi: dict[str, Any] = {
        "live_kpi_schema": SCHEMA,
        "mode": SHADOW,
        "endpoint": SHADOW,
        **verdict_of(invariants),
        **course_figures(course, decisions),
        **decided(decisions.told),
        **nothing,
        "not_applicable": sorted(nothing),
        "not_sent": account.told.unsent,
        "counterfactual": {"venue": "paper", "journal": str((gate_folder / "journal").relative_to(out)), **played(decisions.told)},
        "account": {
            "journal": "journal",
            "explained": account.told.reconciled,
            "freeze_triggered_total": dict(account.told.freezes.by_cause),
            "executions_of_others": account.told.fills,
            "writes": account.told.wires,
            "observer_exit_code": course.observer_exit,
        },
        "engine": engine,
        "at_stop": told_of_stop(course),
        "level_at_the_end": None if gate is None else gate.level.value,
    }
    put_kpi(out, kpi)
    return kpi


def _unsent(course: Course, decisions: Journaled, account: Journaled) -> list[dict[str, Any]]:
    told, whole = account.told, account.recovered
    sealed = whole is not None and whole.sealed
    return [
        judged(
            "the account was watched to the end",
            sealed and course.observer_exit == 0,
            account.problem or f"its journal sealed {sealed}, the observer's exit code {course.observer_exit}",
        ),
        judged(
            NOTHING_SENT,
            whole is not None and told.wires == 0 and told.own_strangers == 0,
            f"{told.wires} writes in its journal, {told.own_strangers} orders there whose ids look like ours",
        ),
        judged(
            "every permit is written down as not sent",
            whole is not None and told.unsent == decisions.told.permits,
            f"{decisions.told.permits} permits, {told.unsent} of them not sent",
        ),
    ]
