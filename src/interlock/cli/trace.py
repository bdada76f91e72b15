"""`interlock trace`: judge a journal against what must always hold, with a checker that shares nothing with the gate."""

import json as json_format
import time
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from interlock.cli import exit_codes
from interlock.domain.clock import NS_PER_MS, NS_PER_S, SystemClock
from interlock.domain.errors import UsageError
from interlock.trace.check import check as check_journal
from interlock.trace.facts import read_facts
from interlock.trace.watch import Beat, Watcher

app = App(name="trace", help="Check a journal against the invariants, independently of the gate.", default_parameter=Parameter(negative=()))


@app.command
def check(
    journal: Annotated[Path, Parameter(name="JOURNAL_DIR")],
    /,
    *,
    witness: Path | None = None,
    truth: Path | None = None,
    facts: Path | None = None,
    json: bool = False,
) -> int:
    """Judge a journal that nobody writes: exit 0 without a violation, 1 with one, 3 if it cannot be read.

    Parameters
    ----------
    journal
        The journal's folder.
    witness
        What the venue saw, as lines of JSON. Without it the report says what could not be checked.
    truth
        What really happened at the venue, as lines of JSON; its executions are compared with the journal's.
    facts
        A JSON file {"venue/symbol": {"tick": "0.1", "lot": "0.001", "currency": "USDT"}}, so that orders are valued anew.
    json
        Print one JSON object instead of text.
    """
    report = check_journal(journal, witness=witness, truth=truth, facts=read_facts(facts))
    if json:
        print(json_format.dumps(report.as_map(), ensure_ascii=False))
    else:
        for one in report.violations:
            print(f"violation {one}")
        for invariant, why in sorted(report.not_checked.items(), key=lambda item: int(item[0][1:])):
            part = "in part not checked" if invariant in report.checked else "not checked"
            print(f"{invariant} {part}: {why}")
        print(f"{report.records} records of {report.lives} process lives, {len(report.violations)} violations")
    return exit_codes.REFUSED if report.violations else exit_codes.DONE


@app.command
def watch(
    journal: Annotated[Path, Parameter(name="JOURNAL_DIR")],
    /,
    *,
    witness: Path | None = None,
    facts: Path | None = None,
    beat_ms: int = 200,
    for_s: float | None = None,
    json: bool = False,
) -> int:
    """Read along with a journal that is being written, and print one line of JSON a beat until interrupted.

    Parameters
    ----------
    journal
        The journal's folder.
    witness
        What the venue sees, as lines of JSON.
    facts
        As for `trace check`.
    beat_ms
        Milliseconds between beats, 10 to 1000.
    for_s
        Stop after so many seconds; 1 is returned if there was a violation.
    json
        Accepted as everywhere; the beats are JSON in any case.
    """
    if not 10 <= beat_ms <= 1000:
        raise UsageError(f"--beat-ms: expected 10 to 1000, found {beat_ms}; a slower beat would not be seen in time")
    clock = SystemClock()
    end_ns = None if for_s is None else clock.monotonic_ns() + round(for_s * NS_PER_S)
    watcher = Watcher(journal, clock, witness=witness, facts=read_facts(facts))

    def say(beat: Beat) -> None:
        print(json_format.dumps(beat.as_map(), ensure_ascii=False), flush=True)

    watcher.run(
        say,
        pause=lambda: time.sleep(beat_ms * NS_PER_MS / NS_PER_S),
        until=lambda: end_ns is not None and clock.monotonic_ns() >= end_ns,
    )
    return exit_codes.REFUSED if watcher.violations else exit_codes.DONE
