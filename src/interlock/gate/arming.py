"""The arming machine: what the journal says about grants, and beside it what lives in memory alone.

Two things are needed for new risk and they never come from one place. The fold of the journal (`Arming`) says which grant of this process life was
recorded and whether it has ended; it is plain data and can only take away. The leave itself (`LiveGrant`) is an object in this process's memory:
the ceremony makes it, no record can hold it, it can be neither copied nor encoded, and a fold has no way to make one. So a journal that is read
back, whole or in part, arms nothing, and every boot begins disarmed.

A kill drill is a grant like any other, minted by the same ceremony, but good for one permit: the fold remembers the order that it went to, and
everything that only lowers an ordinary grant ends this one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import NoReturn

import msgspec

from interlock.gate import lattice
from interlock.gate.lattice import Lattice
from interlock.gate.records import (
    Armed,
    Binding,
    Boot,
    Disarmed,
    Foreign,
    Grant,
    KillEffective,
    KillRequested,
    LatchSet,
    Level,
    Permit,
    Purpose,
    Reconciled,
    Record,
)
from interlock.gate.refusal import Refusal
from interlock.gate.verbs import Cause

LONGEST_DRILL_NS = 60_000_000_000
"""The longest life of a drill's grant."""
NAMELESS = "?"
"""Whom a drill's grant went to by a permit without a client id: nobody who could still use it."""
_STRANGE = frozenset({Cause.FOREIGN_ACTIVITY.value, Cause.OWN_PREFIX_UNKNOWN.value, Cause.UNEXPLAINED.value, Cause.SECOND_WRITER.value})
"""Latches that say that somebody else is at the account, or that what is there cannot be explained. Whoever clears one has to arm anew."""


class Arming(msgspec.Struct, frozen=True, kw_only=True):
    """The fold. `armed` is the grant that was recorded in this process life, `ended` and `mandate_over` say why it no longer counts.

    `purpose` is that of the grant; `spent_by` the client id of the first permit under it if it is a drill's, empty before that.
    `symbols_out` are "venue/symbol" names that may take no new risk, `symbols_over` those that may not even be reduced. `used` are all grants ever.
    """

    incarnation: str = ""
    killed: bool = False
    armed: str = ""
    purpose: Purpose = Purpose.TRADE
    spent_by: str = ""
    ended: str = ""
    mandate_over: str = ""
    symbols_out: frozenset[str] = frozenset()
    symbols_over: frozenset[str] = frozenset()
    unexplained: frozenset[tuple[str, str]] = frozenset()
    used: frozenset[str] = frozenset()

    def digest_parts(self) -> tuple[object, ...]:
        """The whole state as nested tuples of text, in one order."""
        return (
            "arming",
            self.incarnation,
            self.killed,
            self.armed,
            self.purpose.value,
            self.spent_by,
            self.ended,
            self.mandate_over,
            tuple(sorted(self.symbols_out)),
            tuple(sorted(self.symbols_over)),
            tuple(sorted(self.unexplained)),
            tuple(sorted(self.used)),
        )


def apply(state: Arming, record: Record) -> Arming:
    """Fold one record; kinds that do not concern arming leave it as it is."""
    match record:
        case Boot():
            return Arming(incarnation=record.incarnation, used=state.used)
        case Armed():
            return _armed(state, record.grant)
        case Disarmed():
            return _disarmed(state, record)
        case Permit():
            return _permitted(state, record)
        case KillRequested() | KillEffective():
            return msgspec.structs.replace(_over(state, "kill"), killed=True)
        case Foreign():
            return state if record.tolerated is True else _over(state, "foreign_activity")
        case LatchSet():
            # However it was found: by an order, an execution, a transfer or a contradiction.
            return _over(state, record.name) if record.name in _STRANGE else state
        case Reconciled():
            where = {(record.venue, record.account)}
            if record.explained is True:
                return msgspec.structs.replace(state, unexplained=state.unexplained - where)
            return msgspec.structs.replace(_over(state, "unexplained"), unexplained=state.unexplained | where)
    return state


def _armed(state: Arming, grant: Grant) -> Arming:
    """Evidence that a grant was minted. One of another process life, or one seen before, starts nothing anew."""
    if grant.grant_id in state.used:
        return state
    used = state.used | {grant.grant_id}
    if not grant.grant_id or state.killed or state.unexplained or grant.binding.incarnation != state.incarnation:
        return msgspec.structs.replace(state, used=used)
    return Arming(incarnation=state.incarnation, armed=grant.grant_id, purpose=grant.purpose, used=used)


def _permitted(state: Arming, record: Permit) -> Arming:
    """The first permit under a drill's grant spends it, whatever becomes of that order."""
    if not state.armed or record.grant_id != state.armed or state.purpose is Purpose.TRADE or state.spent_by:
        return state
    return msgspec.structs.replace(state, spent_by=record.client_id or NAMELESS)


def _disarmed(state: Arming, record: Disarmed) -> Arming:
    if state.armed and state.purpose is not Purpose.TRADE:
        state = _over(state, record.reason or "disarmed")  # it has nothing beside its one symbol, and nothing to reduce with
    if record.symbol:
        over = state.symbols_over | {record.symbol} if record.mandate_ends else state.symbols_over
        return msgspec.structs.replace(state, symbols_out=state.symbols_out | {record.symbol}, symbols_over=over)
    reason = record.reason or "disarmed"
    if record.mandate_ends:
        return _over(state, reason)
    return msgspec.structs.replace(state, ended=state.ended or reason) if state.armed else state


def _over(state: Arming, reason: str) -> Arming:
    """Grant and mandate are over; without a grant there is nothing to end."""
    if not state.armed:
        return state
    return msgspec.structs.replace(state, ended=state.ended or reason, mandate_over=state.mandate_over or reason)


# What lives in memory alone


class _InMemory:
    """Cannot be changed, copied, pickled or encoded, and is compared by identity."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a living grant cannot be changed; arm again")

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a living grant cannot be copied or stored; it dies with its process")


class LiveGrant(_InMemory):
    """Leave to trade, held by the process life that minted it. Only the ceremony makes one."""

    __slots__ = ("grant", "triples")

    grant: Grant
    triples: dict[str, tuple[str, str, str]]
    """By "venue/symbol": what the grant allows, with the hash of its metadata."""

    def __init__(self, grant: Grant) -> None:
        triples = {f"{venue}/{symbol}": (venue, symbol, digest) for venue, symbol, digest in grant.binding.symbols}
        object.__setattr__(self, "grant", grant)
        object.__setattr__(self, "triples", triples)


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is to answer, and everything that a right answer would grant. Good for one answer, right or
    wrong; one that could not be written down has not been given.

    `nonce` becomes the id of the grant. `armed_at_wall_s` is what the environment said, unix seconds. `drill_symbol` is empty for trading; for a
    drill `binding` holds that "venue/symbol" alone.
    """

    nonce: str
    phrase: str
    purpose: Purpose
    binding: Binding
    cap_usd: Decimal
    armed_at_wall_s: int
    lifetime_ns: int
    mandate_after_ns: int
    scripted: bool
    state_version: int
    issued_boot_ns: int
    expires_boot_ns: int
    drill_symbol: str = ""

    def alive(self, boot_ns: int) -> bool:
        """Whether it may still be answered."""
        return self.issued_boot_ns <= boot_ns < self.expires_boot_ns


# The machine


class Challenged(msgspec.Struct, frozen=True):
    """A challenge was put to a person."""

    challenge: Challenge


class CeremonyFailed(msgspec.Struct, frozen=True):
    """A challenge was answered wrongly, too late, or in a state that forbids arming; it is spent."""

    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Minted:
    """A challenge was answered rightly. `record` is journaled before the machine takes this event, and no permit of its grant is durable before it:
    a journal is written in order. Whoever asked is told when it is durable."""

    live: LiveGrant
    record: Armed


Event = Record | Challenged | CeremonyFailed | Minted


@dataclass(frozen=True, slots=True)
class Machine:
    """The two folds, and beside them what is in memory alone. `asked` are the nonces of all challenges of this process life."""

    arming: Arming = field(default_factory=Arming)
    lattice: Lattice = field(default_factory=Lattice)
    challenge: Challenge | None = None
    live: LiveGrant | None = None
    asked: frozenset[str] = frozenset()


def step(machine: Machine, event: Event) -> Machine:
    """The state after an event. A record, `Armed` included, never adds to what is in memory; it may only end it."""
    match event:
        case Record():
            return _fold(machine, event)
        case Challenged():
            nonce = event.challenge.nonce
            if event.challenge.binding.incarnation != machine.arming.incarnation or machine.arming.killed or nonce in machine.asked:
                return replace(machine, challenge=None)
            return replace(machine, challenge=event.challenge, asked=machine.asked | {nonce})
        case Minted():
            if not _may_mint(machine, event):
                return replace(machine, challenge=None)
            folded = _fold(machine, event.record)
            return replace(folded, live=_living(folded.arming, event.live), challenge=None)
    return replace(machine, challenge=None)  # a ceremony that failed spent its challenge


def _fold(machine: Machine, record: Record) -> Machine:
    if isinstance(record, Foreign) and record.tolerated is True:
        return machine  # written down, and of no consequence to any level either
    arming = apply(machine.arming, record)
    levels = lattice.apply(machine.lattice, record)
    if isinstance(record, Boot) or arming.killed:
        return Machine(arming=arming, lattice=levels)
    return replace(machine, arming=arming, lattice=levels, live=_living(arming, machine.live))


def _may_mint(machine: Machine, event: Minted) -> bool:
    asked, grant = machine.challenge, event.live.grant
    return (
        asked is not None
        and asked.purpose is grant.purpose
        and asked.nonce == grant.grant_id
        and (asked.binding, asked.cap_usd) == (grant.binding, grant.cap_usd)
        and asked.alive(event.record.boot_ns)
        and event.record.grant == grant
        and grant.grant_id not in machine.arming.used
        and grant.binding.incarnation == machine.arming.incarnation
        and (grant.purpose is Purpose.TRADE or _is_drill(asked, grant))
    )


def _is_drill(asked: Challenge, grant: Grant) -> bool:
    """Whether a drill's grant is no more than one: its one symbol, a short life, and nothing after it."""
    return (
        [f"{venue}/{symbol}" for venue, symbol, _ in grant.binding.symbols] == [asked.drill_symbol]
        and 0 < grant.expires_boot_ns - grant.minted_boot_ns <= LONGEST_DRILL_NS
        and grant.mandate_until_boot_ns == grant.expires_boot_ns
    )


def _living(arming: Arming, live: LiveGrant | None) -> LiveGrant | None:
    """The grant while the fold leaves anything of it, its reduce mandate included."""
    if live is None or live.grant.grant_id != arming.armed or arming.mandate_over:
        return None
    return live


class Phase(StrEnum):
    """What a person is shown; no order is decided by it."""

    DISARMED = "disarmed"
    CHALLENGED = "challenged"
    DRILL = "drill"
    ARMED = "armed"
    MANDATE = "mandate"
    KILLED = "killed"


def phase(machine: Machine, boot_ns: int) -> Phase:
    """The phase at a time. MANDATE: the grant expired, was ended or is held at reduce-only, and its reduce mandate lives.

    DRILL: the grant is a drill's, used up or not.
    """
    if machine.arming.killed:
        return Phase.KILLED
    if machine.live is not None:
        grant = machine.live.grant
        if grant.purpose is not Purpose.TRADE and grant.minted_boot_ns <= boot_ns < grant.expires_boot_ns:
            return Phase.DRILL
        reducing_only = lattice.common_level(machine.lattice) is Level.REDUCE_ONLY
        if grant.minted_boot_ns <= boot_ns < grant.expires_boot_ns and not machine.arming.ended and not reducing_only:
            return Phase.ARMED
        if grant.minted_boot_ns <= boot_ns < grant.mandate_until_boot_ns:
            return Phase.MANDATE
    if machine.challenge is not None and machine.challenge.alive(boot_ns):
        return Phase.CHALLENGED
    return Phase.DISARMED
