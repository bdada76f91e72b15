"""What the journal of a run tells, counted: of a whole reading, or read along while it is being written.

A checkpoint costs what has come since the one before: a day's journal takes a quarter of a minute to read, and the supervisor must not be away for so
long. At the end it is read whole, because only that proves every batch and the chain. Both count the same.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from interlock.domain.errors import InterlockError
from interlock.gate import records as r
from interlock.gate.journal import Follower, Recovered, SystemDisk, recover
from interlock.gate.lattice import Freezes
from interlock.gate.record_following import RecordFollower
from interlock.gate.record_reading import read_record
from interlock.run.venue_fills import Execution, Trade


@dataclass
class Told:
    """What a journal tells, counted."""

    records: int = 0
    intents: int = 0
    permits: int = 0
    denials: Counter[str] = field(default_factory=Counter)
    freezes: Freezes = field(default_factory=Freezes)
    trips: Counter[str] = field(default_factory=Counter)
    fills: int = 0
    makers: int = 0
    fees: Counter[str] = field(default_factory=Counter)
    positions: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    marked: r.Marked | None = None
    first_marked: r.Marked | None = None
    reconciled: dict[str, bool] = field(default_factory=dict)
    lives: int = 0
    kills: int = 0
    unsent: int = 0
    wires: int = 0
    own_strangers: int = 0
    """Orders on the account whose ids look like ours and that no gate of this journal sent."""
    proposed: set[str] = field(default_factory=set)
    """The client ids of every intent, whatever became of it."""
    traded: set[str] = field(default_factory=set)
    """The venues to which an order was written."""
    booked: dict[Trade, Execution] = field(default_factory=dict)
    """Every fill that was not taken back."""
    _venue_of: dict[str, str] = field(default_factory=dict)
    """Of intents that were not sent yet, by client id."""

    def take(self, record: r.AnyRecord) -> None:
        """Count one record."""
        self.records += 1
        self.freezes.take(record)
        match record:
            case r.Boot():
                self.lives += 1
            case r.Intent() as intent:
                self.intents += 1
                self.proposed.add(intent.client_id)
                self._venue_of[intent.client_id] = intent.venue
            case r.Permit():
                self.permits += 1
            case r.Deny() as deny:
                self.denials[deny.rule] += deny.count
                self._venue_of.pop(deny.client_id, None)
            case r.InterlockTripped() as trip:
                self.trips[trip.name] += 1
            case r.KillEffective():
                self.kills += 1
            case r.SendUnknown():
                self.unknown += 1
            case r.Unsent():
                self.unsent += 1
            case r.WireBegin() as wire:
                self.wires += 1
                venue = self._venue_of.pop(wire.client_id, None)
                if venue is not None:
                    self.traded.add(venue)
            case r.CancelSent():
                self.wires += 1
            case r.Foreign() as foreign:
                self.own_strangers += foreign.own_prefix
            case r.Filled() as fill:
                self.fills += 1
                self.makers += fill.liquidity.value == "maker"
                self.fees[fill.fee_currency] += fill.fee  # type: ignore[assignment]
                self.positions[f"{fill.venue}:{fill.symbol}"] += int(fill.side) * fill.lots
                trade = (fill.client_id, fill.venue, fill.symbol, fill.trade_id)
                self.booked[trade] = Execution(int(fill.side), fill.ticks, fill.lots)
            case r.FillReversed() as undone:
                self._take_back((undone.venue, undone.symbol, undone.trade_id))
            case r.Marked() as marked:
                self.first_marked = self.first_marked or marked
                self.marked = marked
            case r.Reconciled() as reconciled:
                self.reconciled[reconciled.venue] = reconciled.explained

    def _take_back(self, where: tuple[str, str, str]) -> None:
        trade = next((one for one in reversed(self.booked) if one[1:] == where), None)
        if trade is not None:
            del self.booked[trade]


@dataclass(frozen=True)
class Journaled:
    """What a journal tells, if it can be read: `problem` is why not. `recovered` is what its end proves, None of one that is only read along with."""

    told: Told
    recovered: Recovered | None
    problem: str


def has_sent(journal: Path) -> bool:
    """Whether a journal tells of an order that was written to a venue. One that cannot be read tells of none: its gate says why."""
    disk = SystemDisk()
    with closing(Follower(disk, journal, schema=r.SCHEMA)) as follower:
        try:
            while found := follower.poll():
                if any(isinstance(read_record(disk, journal, lsn, payload), r.WireBegin) for lsn, payload in found):
                    return True
        except InterlockError:
            return False
    return False


def read_told(journal: Path) -> Journaled:
    """Read a journal of a run, as far as it goes."""
    told, disk = Told(), SystemDisk()

    def take(lsn: int, payload: bytes) -> None:
        told.take(read_record(disk, journal, lsn, payload))

    try:
        return Journaled(told, recover(disk, journal, schema=r.SCHEMA, consume=take), "")
    except InterlockError as error:
        return Journaled(told, None, str(error))


class ReadAlong:
    """Counts what a journal tells while it is written."""

    def __init__(self, journal: Path) -> None:
        self._follower = RecordFollower(SystemDisk(), journal)
        self._told = Told()

    def read(self) -> Journaled:
        """All that it told until now; only what is new is read for it."""
        problem = self._follower.poll(lambda _, record: self._told.take(record))
        return Journaled(self._told, None, problem)

    def close(self) -> None:
        """Let go of the file."""
        self._follower.close()
