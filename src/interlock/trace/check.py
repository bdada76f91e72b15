"""Judging a whole journal, record by record, and beside it what the venue saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from interlock.trace.facts import Facts
from interlock.trace.joined import Join
from interlock.trace.reader import JournalReader
from interlock.trace.rules import RULES, WIRE_RULES, s28
from interlock.trace.state import Request, State
from interlock.trace.values import Entry, Finding, Key
from interlock.trace.vocabulary import complete
from interlock.trace.witness import LineReader, read_execution, read_line

ANSWER_NS: Final = 5_000_000_000
"""How long an intent may stand without an answer, by the journal's own time."""

CHECKED: Final[Mapping[str, str]] = {
    "S1": "what reached the venue was begun, permitted and sent with the same bytes; nothing that a run in shadow left unsent",
    "S2": "a permit of this life, in an earlier batch, before each write",
    "S3": "a living grant at each write",
    "S4": "a grant is bound to its process, its symbols to the grant, and one sheet of limits to the next",
    "S5": "only a person raises the level",
    "S7": "client ids unique, epochs rise",
    "S8": "one write of each (client id, revision); nothing new beside an unknown leg",
    "S9": "orders end by evidence only",
    "S10": "fills within what was permitted",
    "S11": "each order's worth, the worst case and what the venue executed within the cap, a pair within what it reserved; limits only tighten",
    "S13": "the chain of the journal",
    "S14": "differences latch, executions are the venue's",
    "S15": "foreign activity latches",
    "S16": "latches and day baselines persist until a person clears them",
    "S17": "nothing new after a kill",
    "S18": "books of permits two-sided",
    "S20": "only reductions at REDUCE_ONLY, a pair's second leg only after executions of its first",
    "S24": "only own orders are cancelled before a kill, and none by the gate after it",
    "S26": "known kinds, fields in range",
    "S27": "every intent answered once",
    "S28": "one writer at a time, records without a gap",
    "S29": "every required limit evaluated and passed",
}
NOT_CHECKED: Final[Mapping[str, str]] = {
    "S6": "which keys a process holds is not in the journal",
    "S12": "the hash of the gate's own state is the gate's to compare",
    "S19": "collars need the gate's references over time",
    "S21": "the venue's message budget is not in the journal",
    "S22": "the bounds of throttles are not in the journal",
    "S23": "the list of allowed order forms is not in the journal",
    "S25": "secrets are looked for elsewhere",
    "S30": "the checker's own beat is for the gate to watch",
}


class Checker:
    """The rules and what they remember. Give it every record in order, then lines of the witness, then `finish`."""

    def __init__(self, facts: Facts | None = None) -> None:
        self.state = State()
        self.join = Join(facts)
        self._facts = Facts() if facts is None else facts

    def take(self, entry: Entry) -> list[Finding]:
        """Judge one record and take it up. One that cannot be understood is told and left out."""
        problem = complete(entry.kind, entry.fields)
        if problem:
            return [Finding("S26", problem, lsn=entry.lsn)]
        state = self.state
        found = list(s28(state, entry))
        for rule in RULES.get(entry.kind, ()):
            found += rule(state, entry, self._facts)
        if entry.kind == "wire":
            held = [finding for rule in WIRE_RULES for finding in rule(state, entry, self._facts)]
            if held:
                state.held.setdefault(entry.key, []).extend(held)
        elif entry.kind == "not_sent":
            state.held.pop(entry.key, None)
        elif entry.kind in ("sent", "answer"):
            found += state.held.pop(entry.key, [])
        elif entry.kind in ("report", "fill"):
            for key in [key for key in state.held if key[0] == entry.fields["client_id"]]:
                found += state.held.pop(key)
        state.fold(entry)
        if entry.kind == "tick":
            found += self.unanswered(entry.boot_ns)
        return found

    def release(self, key: Key) -> list[Finding]:
        """Tell what was held back about a write that nothing called off."""
        return self.state.held.pop(key, [])

    def unanswered(self, boot_ns: int) -> list[Finding]:
        """S27: intents of this process life that have waited too long."""
        late = [
            request
            for request in self.state.open_intents.values()
            if request.life == self.state.life and boot_ns - request.intent.boot_ns > ANSWER_NS
        ]
        return self._without_answer(late)

    def finish(self, *, witnessed: bool, truth: bool) -> list[Finding]:
        """What can be said only at the end: answers that never came, writes nobody called off, sends that the venue never saw."""
        state, last = self.state, self.state.last
        late = []
        for request in state.open_intents.values():
            since = request.intent.batch if request.life == state.life else max(request.intent.batch, state.boot_batch)
            if last is not None and last.batch >= since + 2:  # the end of the process may have cut off what belongs to the last two
                late.append(request)
        found = self._without_answer(late)
        for key in list(state.held):
            held = self.release(key)
            if not witnessed or key in self.join.seen:
                found += held
        if witnessed:
            found += self.join.finish(state)
        if truth:
            found += self.join.compare(state)
        return found

    def _without_answer(self, late: list[Request]) -> list[Finding]:
        found = []
        for request in late:
            del self.state.open_intents[request.key]
            strategy = request.intent.fields["strategy"]
            if self.state.counted_denials.get(strategy, 0) > 0:
                self.state.counted_denials[strategy] -= 1
            else:
                found.append(Finding("S27", f"expected an answer to the intent {request.key}, found none", lsn=request.intent.lsn))
        return found


@dataclass(slots=True)
class Report:
    """What a check found and what it could not look at."""

    violations: list[Finding]
    records: int
    batches: int
    segments: int
    lives: int
    torn: bool
    witness_lines: int | None
    checked: dict[str, str] = field(default_factory=lambda: dict(CHECKED))
    not_checked: dict[str, str] = field(default_factory=lambda: dict(NOT_CHECKED))

    def as_map(self) -> dict[str, Any]:
        """For a program: plain data."""
        return {
            "violations": [
                {
                    "invariant": one.invariant,
                    "lsn": one.lsn or None,
                    "witness_line": one.witness_line or None,
                    "sentence": one.sentence,
                }
                for one in self.violations
            ],
            "records": self.records,
            "batches": self.batches,
            "segments": self.segments,
            "lives": self.lives,
            "torn_tail": self.torn,
            "witness_lines": self.witness_lines,
            "checked": self.checked,
            "not_checked": self.not_checked,
        }


def check(directory: Path, *, witness: Path | None = None, truth: Path | None = None, facts: Facts | None = None) -> Report:
    """Judge the journal in a folder, which nobody writes, and what the venue saw of it.

    Raises BadInput where no journal is, DamagedState for a journal or a witness that cannot be read.
    """
    checker, reader = Checker(facts), JournalReader(directory)
    found: list[Finding] = []
    records = 0
    try:
        for entry in reader.poll():
            records += 1
            found += checker.take(entry)
        reader.finish()
    finally:
        reader.close()
    found = reader.problems + found
    lines = None
    if witness is not None:
        source = LineReader(witness)
        if source.missing:
            found.append(Finding("S1", f"expected the venue's witness at {witness}, found none"))
        for number, line in source.poll():
            found += checker.join.line(checker.state, number, read_line(witness, number, line))
        lines = source.number
    if truth is not None:
        executions = LineReader(truth)
        if executions.missing:
            found.append(Finding("S14", f"expected the venue's executions at {truth}, found none"))
        for number, line in executions.poll():
            happened = read_execution(truth, number, line)
            if happened is not None:
                checker.join.execution(number, *happened)
    found += checker.finish(witnessed=witness is not None, truth=truth is not None)
    report = Report(found, records, reader.batches, reader.segments, checker.state.life, reader.torn, lines)
    _say_what_is_missing(
        report, checker.join, witness=witness is not None, truth=truth is not None, facts=bool(facts and facts.instruments)
    )
    return report


def _say_what_is_missing(report: Report, join: Join, *, witness: bool, truth: bool, facts: bool) -> None:
    if not witness:
        report.not_checked["S1"] = "no witness of the venue was given"
        report.not_checked["S17"] = "no witness: arrivals after a kill were not looked at, the journal was"
        report.not_checked["S24"] = "no witness: cancels that the journal does not record were not looked at"
        del report.checked["S1"]
    if not facts:
        report.not_checked["S11"] = "no facts of instruments: the worth of an order was taken from its permit, and summed up"
    if not truth:
        report.not_checked["S14"] = "no executions of the venue: those of the journal were taken as they are"
    for invariant, of, unpriced in (("S11", "requests", join.unpriced_requests), ("S14", "executions", join.unpriced_executions)):
        if unpriced:
            said = (
                f"no facts of {', '.join(sorted(unpriced))}: the prices of {of} there were not compared with the venue's, in its own ticks"
            )
            report.not_checked[invariant] = "; ".join(filter(None, (report.not_checked.get(invariant), said)))
