"""Two tables: who may do what at which level, and to which level each cause of a latch or interlock holds.

They are data so that a person can read them beside the rules and a test can visit every cell.
"""

from __future__ import annotations

from enum import StrEnum

from interlock.gate.records import LatchSet, Level, Scope

_RANK = {Level.RUN: 3, Level.REDUCE_ONLY: 2, Level.CANCEL_ONLY: 1, Level.HALT: 0}


def rank(level: Level) -> int:
    """How much a level lets through, 0 (HALT) to 3 (RUN); what is no level is HALT."""
    return _RANK.get(level, 0)


def lower(a: Level, b: Level) -> Level:
    """The stricter of two levels; HALT if either is no level at all."""
    if a not in _RANK or b not in _RANK:
        return Level.HALT
    return a if _RANK[a] <= _RANK[b] else b


class Verb(StrEnum):
    """What can be done to an account."""

    NEW_RISK = "new_risk"
    REDUCE = "reduce"
    CANCEL_OWN = "cancel_own"
    CANCEL_ALL = "cancel_all"
    READ = "read"


class Process(StrEnum):
    """The two processes that hold a key."""

    GATE = "gate"
    SENTINEL = "sentinel"


_NOBODY: frozenset[Process] = frozenset()
_GATE = frozenset({Process.GATE})
_SENTINEL = frozenset({Process.SENTINEL})
_BOTH = _GATE | _SENTINEL

WHO: dict[Level, dict[Verb, frozenset[Process]]] = {
    Level.RUN: {
        Verb.NEW_RISK: _GATE,
        Verb.REDUCE: _GATE,
        Verb.CANCEL_OWN: _BOTH,
        Verb.CANCEL_ALL: _SENTINEL,
        Verb.READ: _BOTH,
    },
    Level.REDUCE_ONLY: {
        Verb.NEW_RISK: _NOBODY,
        Verb.REDUCE: _GATE,
        Verb.CANCEL_OWN: _BOTH,
        Verb.CANCEL_ALL: _SENTINEL,
        Verb.READ: _BOTH,
    },
    Level.CANCEL_ONLY: {
        Verb.NEW_RISK: _NOBODY,
        Verb.REDUCE: _NOBODY,
        Verb.CANCEL_OWN: _BOTH,
        Verb.CANCEL_ALL: _SENTINEL,
        Verb.READ: _BOTH,
    },
    Level.HALT: {
        Verb.NEW_RISK: _NOBODY,
        Verb.REDUCE: _NOBODY,
        Verb.CANCEL_OWN: _BOTH,
        Verb.CANCEL_ALL: _SENTINEL,
        Verb.READ: _BOTH,
    },
}
"""Who may do what. New risk and reducing need a living grant or mandate besides; cancelling everything needs a person's KILL."""

AFTER_KILL: dict[Verb, frozenset[Process]] = {
    Verb.NEW_RISK: _NOBODY,
    Verb.REDUCE: _NOBODY,
    Verb.CANCEL_OWN: _SENTINEL,
    Verb.CANCEL_ALL: _SENTINEL,
    Verb.READ: _BOTH,
}
"""Once a kill is effective the sentinel alone cancels, so that no cancel of the gate races its sweep."""


def allows(level: Level, killed: bool, verb: Verb, process: Process = Process.GATE) -> bool:
    """Whether a process may do a thing at a level. What is in no table is not allowed."""
    row = WHO.get(level, {}) if killed is False else AFTER_KILL
    return process in row.get(verb, _NOBODY)


class Cause(StrEnum):
    """Everything that can set a latch or trip an interlock; its value is the name in the records. A few are for what no room watches yet."""

    # The gate can no longer trust its own account of what it did.
    JOURNAL = "journal"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    OVERFILL = "overfill"
    LATE_FILL = "late_fill"
    REVERSAL = "reversal"
    SECOND_WRITER = "second_writer"
    OWN_PREFIX_UNKNOWN = "own_prefix_unknown"
    FOREIGN_ACTIVITY = "foreign_activity"
    UNEXPLAINED = "unexplained"
    INTERNAL_ERROR = "internal_error"
    KILL = "kill"
    OPERATOR = "operator"
    # It does not know what there is, but may find out: be quiet and cancel.
    NO_CONSISTENT_CUT = "no_consistent_cut"
    VIOLATION = "violation"
    CHECKER_SILENT = "checker_silent"
    CLOCK = "clock"
    # The world is unfavourable; what is open may be brought home.
    MARKET = "market"
    FEED = "feed"
    FEED_STALE = "feed_stale"
    RECONNECT = "reconnect"
    RATE_LIMIT = "rate_limit"
    LOSS = "loss"
    DRAWDOWN = "drawdown"
    GROUP_LOSS = "group_loss"
    EDGE = "edge"
    FEE = "fee"
    LIQUIDATION = "liquidation"
    ADL = "adl"
    REJECT_STREAK = "reject_streak"
    LOSS_STREAK = "loss_streak"
    ORDER_BURST = "order_burst"
    REPEATED_ORDER = "repeated_order"
    DISK_ROOM = "disk_room"
    SENTINEL_SILENT = "sentinel_silent"


LEVEL_OF: dict[Cause, Level] = {
    Cause.JOURNAL: Level.HALT,
    Cause.DUPLICATE_CLIENT_ID: Level.HALT,
    Cause.OVERFILL: Level.HALT,
    Cause.LATE_FILL: Level.HALT,
    Cause.REVERSAL: Level.HALT,
    Cause.SECOND_WRITER: Level.HALT,
    Cause.OWN_PREFIX_UNKNOWN: Level.HALT,
    Cause.FOREIGN_ACTIVITY: Level.HALT,
    Cause.UNEXPLAINED: Level.HALT,
    Cause.INTERNAL_ERROR: Level.HALT,
    Cause.KILL: Level.HALT,
    Cause.OPERATOR: Level.HALT,
    Cause.NO_CONSISTENT_CUT: Level.CANCEL_ONLY,
    Cause.VIOLATION: Level.CANCEL_ONLY,
    Cause.CHECKER_SILENT: Level.CANCEL_ONLY,
    Cause.CLOCK: Level.CANCEL_ONLY,
    Cause.MARKET: Level.REDUCE_ONLY,
    Cause.FEED: Level.REDUCE_ONLY,
    Cause.FEED_STALE: Level.REDUCE_ONLY,
    Cause.RECONNECT: Level.REDUCE_ONLY,
    Cause.RATE_LIMIT: Level.REDUCE_ONLY,
    Cause.LOSS: Level.REDUCE_ONLY,
    Cause.DRAWDOWN: Level.REDUCE_ONLY,
    Cause.GROUP_LOSS: Level.REDUCE_ONLY,
    Cause.EDGE: Level.REDUCE_ONLY,
    Cause.FEE: Level.REDUCE_ONLY,
    Cause.LIQUIDATION: Level.REDUCE_ONLY,
    Cause.ADL: Level.REDUCE_ONLY,
    Cause.REJECT_STREAK: Level.REDUCE_ONLY,
    Cause.LOSS_STREAK: Level.REDUCE_ONLY,
    Cause.ORDER_BURST: Level.REDUCE_ONLY,
    Cause.REPEATED_ORDER: Level.REDUCE_ONLY,
    Cause.DISK_ROOM: Level.REDUCE_ONLY,
    Cause.SENTINEL_SILENT: Level.REDUCE_ONLY,
}
"""The level that each cause holds down to, unless a person commands a lower one."""

SELF_CLEARING = frozenset(
    {
        Cause.FEED_STALE,
        Cause.RECONNECT,
        Cause.CLOCK,
        Cause.RATE_LIMIT,
        Cause.CHECKER_SILENT,
        Cause.SENTINEL_SILENT,
        Cause.DISK_ROOM,
    }
)
"""Causes that are interlocks; all others latch."""


def latch_for(
    cause: Cause, *, scope: Scope, subject: str, reason: str, actor: str, boot_ns: int, evidence: dict[str, str] | None = None
) -> LatchSet:
    """The record that latches for a cause at its own level."""
    return LatchSet(
        boot_ns=boot_ns,
        name=cause.value,
        scope=scope,
        subject=subject,
        level=LEVEL_OF[cause],
        reason=reason,
        actor=actor,
        evidence=evidence or {},
    )
