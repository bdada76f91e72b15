"""What a run's journal tells a person who looks: the last events, the limits at the last permit, what was earned on what was traded.

It reads along (`RecordFollower`) from the newest two segments on; sums are of what it read, and say from which record.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk
from interlock.gate.record_following import RecordFollower
from interlock.gate.told_limits import JudgedLimit, Unit, of_permit

EVENTS: Final = 20
ORDERS_KEPT: Final = 10_000
"""Of how many orders it is remembered what they are worth, for the fills that may come."""
BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """One thing that happened, in words; the time is CLOCK_BOOTTIME."""

    lsn: int
    boot_ns: int
    words: str


@dataclass(frozen=True, slots=True)
class Told:
    """What was read so far. Money in USD; `pnl_usd` is that of the gate's marks since the first one read, None before the second."""

    from_lsn: int = 0
    last_lsn: int = 0
    events: tuple[TimedEvent, ...] = ()
    limits: tuple[JudgedLimit, ...] = ()
    limits_boot_ns: int = 0
    fills: int = 0
    traded_usd: Decimal = Decimal(0)
    pnl_usd: Decimal | None = None
    equity_usd: Decimal | None = None
    problem: str = ""

    @property
    def edge_bps(self) -> Decimal | None:
        """What was earned, fees and marks included, for what was traded; None where nothing was."""
        return None if self.pnl_usd is None or not self.traded_usd else self.pnl_usd / self.traded_usd * BPS

    @property
    def tightest(self) -> tuple[JudgedLimit, ...]:
        """The limits at the last permit that count something, the most used first."""
        counted = [one for one in self.limits if one.unit is not Unit.HOLDS and one.value is not None and one.bound]
        return tuple(sorted(counted, key=_used, reverse=True))


def _used(one: JudgedLimit) -> float:
    return (one.value or 0) / (one.bound or 1)


class JournalTold:
    """Reads along with a journal. `read` gives what is known now and never raises: what went wrong is told instead."""

    def __init__(self, folder: Path) -> None:
        self._follower = RecordFollower(SystemDisk(), folder, newest=2)
        self._events: deque[TimedEvent] = deque(maxlen=EVENTS)
        self._worth: dict[str, tuple[Decimal, int]] = {}
        self._first: r.Marked | None = None
        self._marked: r.Marked | None = None
        self._permit: r.Permit | None = None
        self._fills = 0
        self._traded = Decimal(0)
        self._lsns = (0, 0)
        self._lots: dict[str, int] = {}

    def close(self) -> None:
        """Let go of the file."""
        self._follower.close()

    def read(self) -> Told:
        """Read what has come."""
        problem = self._follower.poll(self._take)
        marked, first, permit = self._marked, self._first, self._permit
        return Told(
            from_lsn=self._lsns[0],
            last_lsn=self._lsns[1],
            events=tuple(self._events),
            limits=() if permit is None else of_permit(permit.evaluations),
            limits_boot_ns=0 if permit is None else permit.boot_ns,
            fills=self._fills,
            traded_usd=self._traded,
            pnl_usd=None if marked is None or first is None or marked is first else marked.equity_usd - first.equity_usd,
            equity_usd=None if marked is None else marked.equity_usd,
            problem=problem,
        )

    def _take(self, lsn: int, record: r.AnyRecord) -> None:
        self._lsns = (self._lsns[0] or lsn, lsn)
        match record:
            case r.Intent():
                self._lots = {record.client_id: record.lots}  # its permit is the next that names it
            case r.Permit():
                self._permit = record
                self._worth[record.client_id] = (record.notional_usd, self._lots.pop(record.client_id, 0))
                if len(self._worth) > ORDERS_KEPT:
                    del self._worth[next(iter(self._worth))]
            case r.Filled():
                self._fills += 1
                worth, lots = self._worth.get(record.client_id, (Decimal(0), 0))
                self._traded += worth * record.lots / lots if lots else Decimal(0)
            case r.Marked():
                self._first = self._first or record
                self._marked = record
        words = words_of(record)
        if words:
            self._events.append(TimedEvent(lsn, record.boot_ns, words))


def words_of(record: r.AnyRecord) -> str:
    """An event for a person, in one line; empty for what is everyday."""
    match record:
        case r.Boot():
            return f"gate began, life {record.incarnation[:8]}, {record.endpoint.value}"
        case r.Armed():
            seconds = (record.grant.expires_boot_ns - record.grant.minted_boot_ns) // NS_PER_S
            return f"armed for {seconds} s ({record.grant.purpose.value}), cap {record.grant.cap_usd} USD"
        case r.Disarmed():
            return f"disarmed {record.symbol}: {record.reason} ({record.actor})"
        case r.LatchSet():
            return f"LATCH {record.name} {record.scope.value} {record.subject} at {record.level.value}: {record.reason}"
        case r.LatchCleared():
            return f"latch {record.name} {record.scope.value} {record.subject} cleared by {record.actor}"
        case r.InterlockTripped():
            return f"trip {record.name} {record.scope.value} {record.subject} at {record.level.value}: {record.reason}"
        case r.InterlockCleared():
            return f"trip {record.name} {record.scope.value} {record.subject} over"
        case r.LevelSet():
            return f"level {record.level.value}: {record.reason} ({record.actor})"
        case r.KillRequested():
            return f"KILL requested by {record.source}"
        case r.KillEffective():
            return "KILL in force"
        case r.Drilled():
            return f"kill drill {record.verdict} at {record.venue}"
        case r.LimitsTightened():
            return f"limits tightened by {record.actor}: {record.reason}"
        case r.Deny():
            count = f" x{record.count}" if record.count > 1 else ""
            return f"denied{count} {record.rule} {record.strategy}: {record.detail}"
        case r.Filled():
            where = f"{record.venue}:{record.symbol} at {record.ticks} ticks, {record.liquidity.value}"
            return f"fill {record.side.name.lower()} {record.lots} lots {where}"
        case r.SendUnknown():
            return f"outcome of {record.client_id} NOT KNOWN: {record.reason}"
        case r.Quarantined():
            return f"quarantined {record.client_id}: {record.reason}"
        case r.Foreign():
            return f"foreign activity at {record.venue}:{record.symbol}"
        case r.Reconciled() if not record.explained:
            return f"account at {record.venue} NOT explained: {', '.join(name for name, _ in record.differences)}"
    return ""
