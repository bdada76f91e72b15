"""Levels, latches and interlocks: how far down the gate is held, by what, and who may lift it.

The level that counts for an order is the lowest of the commanded base, every latch and every tripped interlock that holds for it. A latch stays,
also over the death of the process, until a person clears it; an interlock clears itself after its condition was true for its quarantine. Records
that an honest gate would not write (a raise without a person, a stale clear) change nothing: the fold denies rather than fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from interlock.gate.records import (
    Armed,
    Boot,
    Disarmed,
    Foreign,
    InterlockCleared,
    InterlockTripped,
    KeyAttested,
    KillEffective,
    KillRequested,
    LatchCleared,
    LatchSet,
    LedgerEvent,
    LedgerExpected,
    Level,
    LevelSet,
    Reconciled,
    Record,
    Released,
    Scope,
)
from interlock.gate.refusal import Refusal
from interlock.gate.verbs import Cause, lower, rank

NS_PER_HOUR = 3_600_000_000_000
MOST_TRIPS_COUNTED = 32
"""How many trips of one interlock the fold remembers; a rule cannot ask for more."""
SHORTEST_NONCE = 32
"""Characters of a raising verb's nonce: 128 random bits, hexadecimal."""


class Kill(StrEnum):
    """How far a kill has come in this process life; it only goes forward."""

    NONE = "none"
    REQUESTED = "requested"
    EFFECTIVE = "effective"


class Hold(msgspec.Struct, frozen=True, order=True):
    """A latch in force."""

    name: str
    scope: Scope
    subject: str
    level: Level


class Trip(msgspec.Struct, frozen=True, order=True):
    """An interlock that is tripped, since when (boot nanoseconds)."""

    name: str
    scope: Scope
    subject: str
    level: Level
    since_boot_ns: int


class TripTimes(msgspec.Struct, frozen=True, order=True):
    """When one interlock tripped within the last hour of this process life, oldest first."""

    name: str
    scope: Scope
    subject: str
    boot_ns: tuple[int, ...]


class Lattice(msgspec.Struct, frozen=True, kw_only=True):
    """The fold. Before the first record it is halted, as after every boot.

    `version` rises with every change that a person who raises something must have seen. `nonces` are those of all raising verbs ever.
    """

    base: Level = Level.HALT
    kill: Kill = Kill.NONE
    latches: tuple[Hold, ...] = ()
    trips: tuple[Trip, ...] = ()
    tripped: tuple[TripTimes, ...] = ()
    reconciled: frozenset[tuple[str, str]] = frozenset()
    unexplained: frozenset[tuple[str, str]] = frozenset()
    nonces: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    """"venue/account" of all that this process life said it has, each of which must be explained before anything is raised."""
    version: int = 0

    def digest_parts(self) -> tuple[object, ...]:
        """The whole state as nested tuples of text and integers, in one order."""
        return (
            "lattice",
            self.base.value,
            self.kill.value,
            tuple((h.name, h.scope.value, h.subject, h.level.value) for h in self.latches),
            tuple((t.name, t.scope.value, t.subject, t.level.value, t.since_boot_ns) for t in self.trips),
            tuple((t.name, t.scope.value, t.subject, t.boot_ns) for t in self.tripped),
            tuple(sorted(self.reconciled)),
            tuple(sorted(self.unexplained)),
            tuple(sorted(self.nonces)),
            tuple(sorted(self.accounts)),
            self.version,
        )

    @property
    def killed(self) -> bool:
        """Whether the sentinel has taken over and this gate only reads."""
        return self.kill is Kill.EFFECTIVE


def effective_level(state: Lattice, *, symbol: str, strategy: str, account: str, order: str) -> Level:
    """The lowest of the base, the latches and the tripped interlocks that hold for an order.

    `symbol` is "venue/symbol", `account` "venue/account". A part that is not known is given empty and meets every latch of its scope; a latch
    without a subject holds for all.
    """
    level = state.base
    if state.latches or state.trips:
        asked = {Scope.SYMBOL: symbol, Scope.STRATEGY: strategy, Scope.ACCOUNT: account, Scope.ORDER: order}
        for hold in _holds(state):
            about = asked.get(hold.scope, "")
            if not about or not hold.subject or about == hold.subject:
                level = lower(level, hold.level)
    return level


def common_level(state: Lattice) -> Level:
    """The level that holds for everything: the base and what is latched or tripped for all."""
    level = state.base
    for hold in _holds(state):
        if hold.scope is Scope.ALL or not hold.subject:
            level = lower(level, hold.level)
    return level


def _holds(state: Lattice) -> tuple[Hold | Trip, ...]:
    return (*state.latches, *state.trips)


# The fold


def apply(state: Lattice, record: Record) -> Lattice:
    """Fold one record; kinds that do not concern the lattice leave it as it is."""
    match record:
        case Boot():
            accounts = frozenset(record.accounts)
            return Lattice(latches=state.latches, nonces=state.nonces, accounts=accounts, version=state.version + 1)
        case LatchSet():
            return _latch(state, Hold(record.name, record.scope, record.subject, record.level))
        case LatchCleared():
            return _clear(state, record)
        case InterlockTripped():
            return _trip(state, record)
        case InterlockCleared():
            kept = tuple(t for t in state.trips if (t.name, t.scope, t.subject) != (record.name, record.scope, record.subject))
            return state if kept == state.trips else _changed(state, trips=kept)
        case LevelSet():
            return _set_level(state, record)
        case KillRequested():
            return _kill(state, Kill.REQUESTED)
        case KillEffective():
            return _kill(state, Kill.EFFECTIVE)
        case Reconciled():
            return _reconcile(state, record)
        case Armed():
            return _changed(_use(state, record.grant.grant_id))
        case Disarmed() | Foreign():
            return _changed(state)
        case KeyAttested():
            return _changed(_use(state, record.nonce))
        case Released() | LedgerEvent() | LedgerExpected():
            return _use(state, record.nonce)
    return state


def _changed(state: Lattice, **fields: object) -> Lattice:
    return msgspec.structs.replace(state, version=state.version + 1, **fields)


def _use(state: Lattice, nonce: str) -> Lattice:
    if not nonce or nonce in state.nonces:
        return state
    return msgspec.structs.replace(state, nonces=state.nonces | {nonce})


def _latch(state: Lattice, hold: Hold) -> Lattice:
    key = (hold.name, hold.scope, hold.subject)
    others = []
    for old in state.latches:
        if (old.name, old.scope, old.subject) != key:
            others.append(old)
        elif rank(old.level) <= rank(hold.level):
            return state  # a repetition, or a milder one: the latch stands
    return _changed(state, latches=tuple(sorted((*others, hold))))


def _clear(state: Lattice, record: LatchCleared) -> Lattice:
    kept = tuple(h for h in state.latches if (h.name, h.scope, h.subject) != (record.name, record.scope, record.subject))
    by_a_person = bool(record.actor) and bool(record.nonce) and record.nonce not in state.nonces
    if kept == state.latches or not by_a_person or record.state_version != state.version or state.kill is not Kill.NONE:
        return state
    return _changed(_use(state, record.nonce), latches=kept)


def _trip(state: Lattice, record: InterlockTripped) -> Lattice:
    key = (record.name, record.scope, record.subject)
    for old in state.trips:
        if (old.name, old.scope, old.subject) == key:
            if rank(old.level) <= rank(record.level):
                return state
            deeper = (*(t for t in state.trips if t is not old), Trip(*key, record.level, old.since_boot_ns))
            return _changed(state, trips=tuple(sorted(deeper)))
    since = record.boot_ns - NS_PER_HOUR
    earlier = tuple(ns for ns in trip_times(state, *key) if ns > since)
    times = TripTimes(*key, (*earlier, record.boot_ns)[-MOST_TRIPS_COUNTED:])
    others = tuple(t for t in state.tripped if (t.name, t.scope, t.subject) != key)
    return _changed(
        state,
        trips=tuple(sorted((*state.trips, Trip(*key, record.level, record.boot_ns)))),
        tripped=tuple(sorted((*others, times))),
    )


def trip_times(state: Lattice, name: str, scope: Scope, subject: str) -> tuple[int, ...]:
    """When an interlock tripped in this process life, as far as it is remembered; boot nanoseconds."""
    for times in state.tripped:
        if (times.name, times.scope, times.subject) == (name, scope, subject):
            return times.boot_ns
    return ()


def _set_level(state: Lattice, record: LevelSet) -> Lattice:
    if rank(record.level) < rank(state.base):
        return _changed(_use(state, record.nonce), base=lower(record.level, record.level))
    if rank(record.level) == rank(state.base) or record.human is not True or not record.actor:
        return state
    if not record.nonce or record.nonce in state.nonces or _raise_bar(state) is not None:
        return state
    return _changed(_use(state, record.nonce), base=record.level)


def _kill(state: Lattice, kill: Kill) -> Lattice:
    """Stop. The latch it leaves keeps a later process life halted until a person clears it."""
    held = _latch(state, Hold(Cause.KILL.value, Scope.ALL, "", Level.HALT))
    if held.kill is kill or held.kill is Kill.EFFECTIVE:
        return held
    return _changed(held, kill=kill, base=Level.HALT)


def _reconcile(state: Lattice, record: Reconciled) -> Lattice:
    where = {(record.venue, record.account)}
    explained = record.explained is True
    reconciled = state.reconciled | where if explained else state.reconciled - where
    unexplained = state.unexplained - where if explained else state.unexplained | where
    if (reconciled, unexplained) == (state.reconciled, state.unexplained):
        return state
    return _changed(state, reconciled=reconciled, unexplained=unexplained)


# What a person asks for


def _raise_bar(state: Lattice) -> Refusal | None:
    """What in the state itself forbids raising anything."""
    if state.kill is not Kill.NONE:
        return Refusal("killed", "expected a gate that was not killed, found KILL in this process life; start the gate anew")
    if state.unexplained:
        names = ", ".join("/".join(where) for where in sorted(state.unexplained))
        return Refusal("unexplained", f"expected every account explained, found differences on {names}; resolve them first")
    missing = state.accounts - {"/".join(where) for where in state.reconciled}
    if missing or not state.reconciled:
        names = ", ".join(sorted(missing)) or "any account"
        return Refusal(
            "not_reconciled", f"expected a reconciliation of {names} in this process life, found none; wait, or look why it fails"
        )
    return None


def refuse_nonce(nonce: str, used: frozenset[str]) -> Refusal | None:
    """Why a nonce cannot carry a raising verb: too short to be random, or used before."""
    if len(nonce) < SHORTEST_NONCE or not all(c in "0123456789abcdef" for c in nonce):
        return Refusal("nonce_malformed", f"expected a nonce of at least {SHORTEST_NONCE} digits 0-9a-f, found {nonce!r}; draw a new one")
    if nonce in used:
        return Refusal("nonce_used", "expected a nonce that was never used, found one from an earlier command; issue the command anew")
    return None


def refuse_version(seen: int, current: int) -> Refusal | None:
    """Why a person who saw the state `seen` may not act on the state `current`: they have not seen it."""
    if seen == current:
        return None
    return Refusal("stale_version", f"expected state version {current}, found {seen}; the state changed meanwhile: look again, then repeat")


def raise_level(
    state: Lattice, level: Level, *, actor: str, reason: str, seen_version: int, nonce: str, boot_ns: int
) -> LevelSet | Refusal:
    """The record with which a person sets the base level upward, or why not. Lowering needs no leave: write a `LevelSet`."""
    refused = _raise_bar(state) or refuse_version(seen_version, state.version) or refuse_nonce(nonce, state.nonces)
    if refused is not None:
        return refused
    if not actor:
        return Refusal("no_actor", "expected the name of the person who raises the level, found none; say who acts")
    return LevelSet(boot_ns=boot_ns, level=level, reason=reason, actor=actor, human=True, nonce=nonce)


def clear_latch(
    state: Lattice, name: str, scope: Scope, subject: str, *, actor: str, seen_version: int, nonce: str, boot_ns: int
) -> LatchCleared | Refusal:
    """The record with which a person clears one latch, or why not."""
    if state.kill is not Kill.NONE:
        return Refusal("killed", "expected a gate that was not killed, found KILL in this process life; start the gate anew")
    refused = refuse_version(seen_version, state.version) or refuse_nonce(nonce, state.nonces)
    if refused is not None:
        return refused
    if not actor:
        return Refusal("no_actor", "expected the name of the person who clears the latch, found none; say who acts")
    if not any((h.name, h.scope, h.subject) == (name, scope, subject) for h in state.latches):
        return Refusal("no_such_latch", f"expected a latch in force, found no {name!r} on {scope.value} {subject!r}; list the latches")
    return LatchCleared(boot_ns=boot_ns, name=name, scope=scope, subject=subject, actor=actor, nonce=nonce, state_version=seen_version)


@dataclass(slots=True)
class Freezes:
    """How often latches and interlocks came into force, by name: the metric freeze_triggered_total.

    What holds down already does not count again: a repetition, or the latch that an interlock becomes when it has lasted for too long.
    """

    by_cause: Counter[str] = field(default_factory=Counter)
    _state: Lattice = field(default_factory=Lattice)

    def take(self, record: Record) -> None:
        """Count one record of a journal, in the order of the journal."""
        before = self._state
        self._state = apply(before, record)
        if isinstance(record, LatchSet | InterlockTripped) and self._state is not before:
            key = (record.name, record.scope, record.subject)
            held = [rank(one.level) for one in _holds(before) if (one.name, one.scope, one.subject) == key]
            if not held or rank(record.level) < min(held):
                self.by_cause[record.name] += 1


def freezes_by_cause(records: Iterable[Record]) -> dict[str, int]:
    """What `Freezes` counts in a whole journal."""
    found = Freezes()
    for record in records:
        found.take(record)
    return dict(found.by_cause)
