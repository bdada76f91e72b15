"""What must be true at the end of a simulated day, and what must have happened in it: each a question to its outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from tests.day.day import Outcome
from tests.day.faults import KINDS

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.verbs import Cause

STRUCK: Final = frozenset(name for name in KINDS if " " not in name) & {
    "lose_ack",
    "late_ack",
    "accept_then_error",
    "error_without_accepting",
    "reset_before",
    "reset_at_byte",
    "stall",
    "garbage",
    "rate_limited",
    "maintenance",
    "late_fill",
    "history_lag",
    "ban",
    "gap",
    "duplicate",
    "reorder",
    "stale_book",
    "silence",
    "drop_sockets",
    "halt",
    "funding",
    "deposit",
    "foreign_order",
    "clock_skew",
}
"""Faults of the venue, by its own names: it counts those that found something to strike."""


def problems(day: Outcome) -> list[str]:
    """Everything that is not as it must be, in words; empty for a good day."""
    found = [str(one) for one in day.report.violations]
    found += booked_once(day.records, day.truth)
    found += sent_while_disarmed(day.records)
    if day.position_lots != day.venue_position_lots:
        found.append(f"expected the venue's {day.venue_position_lots} lots in the ledger, found {day.position_lots}")
    if day.left:
        found.append(f"expected every order to be over, found {day.left} of which that is not known")
    if day.open_at_venue:
        found.append(f"expected no order at the venue, found {day.open_at_venue}")
    return found + day.found


def booked_once(records: Iterable[r.Record], truth: Iterable[Mapping[str, Any]]) -> list[str]:
    """Executions that were not booked, not once, or never happened."""
    booked = Counter(one.trade_id for one in records if isinstance(one, r.Filled))
    happened = {line["is"]["trade_id"] for line in truth if line["what"] == "execution" and not line["is"]["reversed"]}
    found = [f"expected execution {name} to be booked, found that it was not" for name in sorted(happened - booked.keys())]
    found += [f"expected execution {name} to have happened, found it in the journal alone" for name in sorted(booked.keys() - happened)]
    return found + [f"expected execution {name} once, found it {count} times" for name, count in sorted(booked.items()) if count > 1]


def sent_while_disarmed(records: Iterable[r.Record]) -> list[str]:
    """Writes of placements while no grant lived, as far as they were not called off."""
    ends_ns: int | None = None
    found: dict[tuple[str, int], str] = {}
    for record in records:
        match record:
            case r.Boot():
                ends_ns = None
            case r.Armed():
                ends_ns = record.grant.expires_boot_ns
            case r.Disarmed(symbol=""):
                ends_ns = None
            case r.WireBegin() if ends_ns is None or record.boot_ns >= ends_ns:
                found[record.client_id, record.revision] = f"expected a grant at the write of {record.client_id}, found none"
            case r.NotSent():
                found.pop((record.client_id, record.revision), None)
    return list(found.values())


def _tripped_and_lifted(cause: Cause) -> Callable[[Outcome], bool]:
    def so(day: Outcome) -> bool:
        tripped = [at for at, one in enumerate(day.records) if isinstance(one, r.InterlockTripped) and one.name == cause.value]
        lifted = [at for at, one in enumerate(day.records) if isinstance(one, r.InterlockCleared) and one.name == cause.value]
        return bool(tripped) and bool(lifted) and tripped[0] < lifted[-1]

    return so


def _disarmed(*reasons: str) -> Callable[[Outcome], bool]:
    return lambda day: set(reasons) <= {one.reason for one in day.of(r.Disarmed)}


def _resolved(day: Outcome) -> bool:
    """An order of unknown outcome turned out to be one, or none."""
    unknown = {one.client_id for one in day.of(r.SendUnknown)}
    return bool(unknown) and unknown <= {one.client_id for one in (*day.of(r.Absent), *day.of(r.Reported), *day.of(r.Filled))}


SOMETIMES: Final[Mapping[str, Callable[[Outcome], bool]]] = {
    "orders are filled": lambda day: len(day.of(r.Filled)) >= 20,
    "an order is filled in part": lambda day: any(one.state is OrderState.PARTIAL for one in day.of(r.Reported)),
    "both sides are filled": lambda day: len({one.side for one in day.of(r.Filled)}) == 2,
    "orders are taken back": lambda day: len(day.of(r.CancelSent)) >= 20,
    "proposals are denied": lambda day: bool(day.of(r.Deny)),
    "a send is of unknown outcome": lambda day: bool(day.of(r.SendUnknown)),
    "what was unknown becomes known": _resolved,
    "an order is proven absent": lambda day: bool(day.of(r.Absent)),
    "it is armed again": lambda day: day.counts["armed"] >= 5,
    "the gate begins from its journal": lambda day: len(day.of(r.Boot)) >= 4,
    "a latch is set and cleared": lambda day: bool(day.of(r.LatchSet)) and bool(day.of(r.LatchCleared)),
    "something foreign is seen": lambda day: bool(day.of(r.Foreign)),
    "a clock that was set disarms": _disarmed("clock_wall_jumped"),
    "a sleep of the host disarms": _disarmed("clock_suspended"),
    "the stream was lost, and it trades again": _tripped_and_lifted(Cause.RECONNECT),
    "the book was stale, and it trades again": _tripped_and_lifted(Cause.FEED_STALE),
    "the venue limited the rate, and it trades again": _tripped_and_lifted(Cause.RATE_LIMIT),
    "the clock was in doubt, and it trades again": _tripped_and_lifted(Cause.CLOCK),
    "the disk was full, and it trades again": _tripped_and_lifted(Cause.DISK_ROOM),
    "funding and what was transferred are booked": lambda day: (
        {r.LedgerKind.FUNDING, r.LedgerKind.TRANSFER} <= {one.kind for one in day.of(r.LedgerEvent)}
    ),
    "a night without a gate": lambda day: day.counts["night"] >= 1,
}
"""What a day that was worth living has in it."""


def missing(day: Outcome, names: Sequence[str] = tuple(SOMETIMES)) -> list[str]:
    """What did not happen in it."""
    found = [f"the fault {name!r} did not happen" for name in day.settings.only if day.settings.rounds and not day.happened[name]]
    found += [f"the fault {name!r} struck nothing" for name in sorted(STRUCK & set(day.settings.only)) if not day.struck[name]]
    return found + [f"never so: {name}" for name in names if not SOMETIMES[name](day)]
