"""What a run's journal tells of one order or denial: its records, and the state that the gate was in when it decided.

One pass over the journal with the production fold (`gate.state`). The records are told as they are; nothing is concluded that they do not say.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.errors import Refused
from interlock.domain.instruments import Instrument
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover, require_journal
from interlock.gate.lattice import effective_level
from interlock.gate.limit_sheet import LimitSheet, sheet_hash
from interlock.gate.record_reading import read_record
from interlock.gate.state import GateState
from interlock.gate.told_limits import without_readings

NEAR: Final = 5
"""How many ids or numbers are named when one is not known."""


@dataclass(frozen=True, slots=True)
class Stood:
    """How the gate stood just before it decided, by the fold. Evaluations are those that need no reading of a market; else `not_again` says why
    there are none. `level` is the one for this very order."""

    lsn: int
    level: str
    base: str
    killed: str
    latches: tuple[dict[str, str], ...]
    trips: tuple[dict[str, str], ...]
    grant_id: str
    grant_ended: str
    position_lots: int
    again: tuple[r.Evaluation, ...] = ()
    not_again: str = ""


@dataclass(frozen=True, slots=True)
class OrderEnd:
    """How an order stood after the last record about it."""

    state: str
    final: bool
    filled_lots: int
    lots: int
    cancel_reason: str
    cancel_by: str


@dataclass
class Subject:
    """What is asked about, and what was found of it. `records` are all that name the order, by number, oldest first."""

    client_id: str = ""
    sequence: int | None = None
    intent: r.Intent | None = None
    permit: r.Permit | None = None
    deny: r.Deny | None = None
    drill: bool = False
    records: list[tuple[int, r.Record]] = field(default_factory=list)
    stood: Stood | None = None
    end: OrderEnd | None = None
    before: r.Deny | None = None
    after: r.Deny | None = None
    """Of a denial that has no record of its own: those of the same strategy around it."""
    strategy: str = ""

    @property
    def found(self) -> bool:
        """Whether the journal has anything of it."""
        return self.intent is not None or self.deny is not None


@dataclass
class _Known:
    ids: dict[str, None] = field(default_factory=dict)
    sequences: dict[int, str] = field(default_factory=dict)
    """By number: what became of it."""


class JournalRead:
    """Reads the journal of a run about one order. `instruments` are those that the engine's log names; `sheet` that of the run's folder."""

    def __init__(self, folder: Path, sheet: LimitSheet, instruments: Sequence[Instrument]) -> None:
        self._folder = folder
        self._sheet = sheet
        self._instruments = instruments
        self._known = _Known()

    def of_id(self, client_id: str) -> Subject:
        """An order by its client id. Raises Refused with near matches for one that the journal does not name, DamagedState for a damaged journal."""
        subject = Subject(client_id=client_id)
        self._read(subject)
        if subject.found:
            return subject
        ids = list(self._known.ids)
        near = difflib.get_close_matches(client_id, ids, NEAR, 0.6) or ids[-NEAR:]
        what = f"; near it: {', '.join(near)}" if near else ""
        raise Refused(f"{client_id}: expected the client id of an order in {self._folder}, found it on none of {len(ids)}{what}")

    def of_sequence(self, sequence: int) -> Subject:
        """An order or denial by the engine's number; not `found` where the journal has none of its own. Raises DamagedState."""
        subject = Subject(sequence=sequence)
        self._read(subject)
        return subject

    def around(self, subject: Subject, boot_ns: int) -> None:
        """How the gate stood at a time, for a denial that has no record of its own, and the recorded ones around it."""
        self._read(subject, at_boot_ns=boot_ns)

    def unknown(self, sequence: int) -> Refused:
        """What to say of a number that nobody knows."""
        near = sorted(self._known.sequences, key=lambda one: abs(one - sequence))[:NEAR]
        told = ", ".join(f"{one} ({self._known.sequences[one]})" for one in sorted(near))
        return Refused(
            f"--intent {sequence}: expected the number of an intent or denial in {self._folder} or in its engine's logs, found none"
            + (f"; near it: {told}" if told else "")
        )

    def _read(self, subject: Subject, at_boot_ns: int | None = None) -> None:
        disk = SystemDisk()
        require_journal(disk, self._folder)
        state = GateState(self._sheet)
        drills: set[str] = set()

        def take(lsn: int, payload: bytes) -> None:
            record = read_record(disk, self._folder, lsn, payload)
            if at_boot_ns is None:
                self._note(record)
                self._take(subject, state, lsn, record, drills)
            else:
                self._beside(subject, state, lsn, record, at_boot_ns)
            state.apply(record)
            if subject.client_id and getattr(record, "client_id", "") == subject.client_id:
                subject.end = _end(state, subject)

        recover(disk, self._folder, schema=r.SCHEMA, consume=take)

    def _note(self, record: r.Record) -> None:
        match record:
            case r.Intent():
                self._known.ids[record.client_id] = None
                self._known.sequences[record.sequence] = record.client_id
            case r.Deny() if record.sequence >= 0:
                self._known.sequences[record.sequence] = f"denied, {record.rule}"

    def _take(self, subject: Subject, state: GateState, lsn: int, record: r.Record, drills: set[str]) -> None:
        match record:
            case r.Armed() if record.grant.purpose is r.Purpose.DRILL:
                drills.add(record.grant.grant_id)
            case r.Intent() if subject.intent is None and self._means(subject, record):
                subject.intent, subject.client_id, subject.strategy = record, record.client_id, record.strategy
                subject.stood = self._stood(state, lsn, record)
            case r.Deny() if subject.deny is None and subject.permit is None and self._denies(subject, record):
                subject.deny, subject.strategy = record, record.strategy
                if subject.intent is None:
                    subject.stood = self._stood(state, lsn, None, record.strategy)
                    subject.records.append((lsn, record))
            case r.Permit() if subject.intent is not None and _answers(subject.intent, record.client_id, record.revision):
                subject.permit = record
                subject.drill = record.grant_id in drills
        if subject.client_id and getattr(record, "client_id", "") == subject.client_id:
            subject.records.append((lsn, record))

    @staticmethod
    def _means(subject: Subject, intent: r.Intent) -> bool:
        return intent.sequence == subject.sequence if subject.sequence is not None else intent.client_id == subject.client_id

    @staticmethod
    def _denies(subject: Subject, deny: r.Deny) -> bool:
        if subject.intent is not None:
            return _answers(subject.intent, deny.client_id, deny.revision)
        return subject.sequence is not None and deny.sequence == subject.sequence and not deny.client_id

    def _beside(self, subject: Subject, state: GateState, lsn: int, record: r.Record, at_boot_ns: int) -> None:
        if record.boot_ns <= at_boot_ns:
            if isinstance(record, r.Deny) and record.strategy == subject.strategy:
                subject.before = record
            return
        if subject.stood is None:
            subject.stood = self._stood(state, lsn, None, subject.strategy)
        if subject.after is None and isinstance(record, r.Deny) and record.strategy == subject.strategy:
            subject.after = record

    def _stood(self, state: GateState, lsn: int, intent: r.Intent | None, strategy: str = "") -> Stood:
        again: tuple[r.Evaluation, ...] = ()
        not_again = "there is no record of the intent"
        if state.limits.tightened is None and state.limits.hash != sheet_hash(self._sheet):
            not_again = "limits.toml of the run's folder is not the sheet that this life of the gate began with"
        elif intent is not None:
            try:
                again, not_again = without_readings(state, intent, self._instruments, intent.boot_ns), ""
            except (Refused, ValueError) as error:
                not_again = str(error)
        lattice, arming = state.lattice, state.arming
        level = effective_level(
            lattice,
            symbol="" if intent is None else f"{intent.venue}/{intent.symbol}",
            strategy=strategy if intent is None else intent.strategy,
            account="" if intent is None else f"{intent.venue}/{intent.account}",
            order="" if intent is None else intent.client_id,
        )
        position = None if intent is None else state.ledger.positions.get((intent.venue, intent.account, intent.symbol))
        return Stood(
            lsn=lsn,
            level=level.value,
            base=lattice.base.value,
            killed=lattice.kill.value,
            latches=tuple(_hold(one) for one in lattice.latches),
            trips=tuple(_hold(one) for one in lattice.trips),
            grant_id=arming.armed,
            grant_ended=arming.ended,
            position_lots=0 if position is None else position.lots,
            again=again,
            not_again=not_again,
        )


def _answers(intent: r.Intent, client_id: str, revision: int) -> bool:
    return (intent.client_id, intent.revision) == (client_id, revision)


def _hold(one: Any) -> dict[str, str]:
    return {"name": one.name, "scope": one.scope.value, "subject": one.subject, "level": one.level.value}


def _end(state: GateState, subject: Subject) -> OrderEnd | None:
    order = state.orders.by_id.get(subject.client_id)
    if order is None:
        return subject.end  # it has ended long ago and was forgotten
    cancel = order.cancel
    return OrderEnd(
        state=order.state.value,
        final=order.state.final,
        filled_lots=order.filled_lots,
        lots=order.lots,
        cancel_reason="" if cancel is None else cancel.reason,
        cancel_by="" if cancel is None else cancel.actor,
    )


def plain(record: r.Record) -> dict[str, Any]:
    """A record as plain data."""
    found: dict[str, Any] = msgspec.to_builtins(record)
    return found
