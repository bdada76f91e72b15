"""The state of the gate: the fold of its journal, every room's part of it, and nothing else.

`GateState.apply` changes it record by record, in the live process and when the journal is read back; so a state is always what the journal
says. Beside the fold the arming machine keeps what lives in memory alone (the challenge, the living grant), which no record can bring about and
the digest leaves out; readings of markets and clocks are kept elsewhere.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import NamedTuple

import msgspec

from interlock.gate import arming, attested, drill, in_force, ledger, losses, orders, throttles
from interlock.gate.arming import Arming, Event, LiveGrant, Machine, Minted
from interlock.gate.attested import Attestations
from interlock.gate.drill import Drills
from interlock.gate.in_force import InForce
from interlock.gate.lattice import Lattice
from interlock.gate.ledger import Ledger
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.losses import Losses
from interlock.gate.order_state import Orders
from interlock.gate.records import (
    DUPLICATE_ID,
    Armed,
    Boot,
    Deny,
    Epoch,
    Foreign,
    GroupReserved,
    Intent,
    LatchCleared,
    LatchSet,
    LimitsTightened,
    NotSent,
    Permit,
    Record,
    ReservedLeg,
    SendUnknown,
    Sent,
)

NOTED = "noted"
NOTED_COUNT = "noted_count"
"""Keys in a latch's evidence: what called for it, and how many of that are answered by latches with this one. So none is forgotten by a crash
between the record that showed it and its latch, and none is latched again after a person has cleared it."""

VIOLATIONS, FOREIGNERS, DUPLICATES = "violations", "foreigners", "duplicates"
DENIED_AGAIN_NS = 1_000_000_000
"""Denials of one strategy by one rule within this time of a recorded one are counted, not recorded one by one."""


class Permitted(NamedTuple):
    """What a permit fixed, until its write is over: nothing else may leave under it. `limits` is the hash of the sheet that it was judged by."""

    revision: int
    grant_id: str
    mandate: str
    body_hash: str
    deadline_boot_ns: int
    limits: str


class Group(NamedTuple):
    """A group of orders since its first one was permitted, and what bounds its hedges and its unwinding. `client_ids` are its orders.

    One with two legs is a pair (`pairs`), reserved for entries until `reserved_until_boot_ns`.
    """

    began_boot_ns: int
    naked_cap_usd: Decimal
    deadline_boot_ns: int
    client_ids: dict[str, bool]
    loss_bound_usd: Decimal
    legs: tuple[ReservedLeg, ...]
    reserved_until_boot_ns: int


def group_of(record: GroupReserved) -> Group:
    """The group that a record begins, with the orders that it names."""
    return Group(
        record.boot_ns,
        record.naked_cap_usd,
        record.deadline_boot_ns,
        dict.fromkeys(record.client_ids, True),
        record.loss_bound_usd,
        record.legs,
        record.reserved_until_boot_ns,
    )


class GateState:
    """All that the gate knows from its journal, and the one place where the limits in force are read (`sheet`).

    `given` is the sheet that a process life begins with. Limits say which losses breach and how long what was sent is remembered; from the boot
    under a sheet on, a state is the fold of the journal under that sheet, whichever one the lives before had.
    """

    __slots__ = (
        "attestations",
        "boots",
        "denied_boot_ns",
        "drills",
        "duplicates",
        "epoch",
        "foreigners",
        "given",
        "groups",
        "incarnation",
        "last_epoch",
        "ledger",
        "limits",
        "losses",
        "machine",
        "noted",
        "orders",
        "permits",
        "records",
        "sequence",
        "sequences",
        "throttles",
    )

    def __init__(self, given: LimitSheet) -> None:
        self.given = given
        self.limits = InForce()
        self.machine = Machine()
        self.orders = Orders()
        self.ledger = Ledger()
        self.throttles = throttles.begin(given)
        self.losses = Losses()
        self.drills = Drills()
        """What was proven of the sentinel, over process lives."""
        self.attestations = Attestations()
        """What persons said of keys, over process lives."""
        self.groups: dict[str, Group] = {}
        """By name: groups of this process life whose time is not long over, the oldest first. Times of another life are not compared with ours."""
        self.incarnation = ""
        self.boots = 0
        self.epoch = 0
        """Of this process life; 0 until it is recorded, and then no id can be given out."""
        self.last_epoch = 0
        self.sequence = 0
        """Client ids used in this epoch."""
        self.sequences: dict[str, int] = {}
        """By strategy: the last sequence number of its proposals in this process life."""
        self.permits: dict[str, Permitted] = {}
        """By client id: permits whose write is not over."""
        self.denied_boot_ns: dict[tuple[str, str], int] = {}
        """By (strategy, rule): when a denial was recorded last in this process life."""
        self.noted: dict[str, int] = {}
        self.foreigners = 0
        self.duplicates = 0
        self.records = 0

    @property
    def sheet(self) -> LimitSheet:
        """The limits in force. To be asked for each time: a tightening holds from its record on."""
        return self.given if self.limits.tightened is None else self.limits.tightened

    @property
    def arming(self) -> Arming:
        """What the journal says about grants."""
        return self.machine.arming

    @property
    def lattice(self) -> Lattice:
        """What the journal says about levels, latches and interlocks."""
        return self.machine.lattice

    @property
    def live(self) -> LiveGrant | None:
        """The living grant of this process life, if there is one."""
        return self.machine.live

    def apply(self, record: Record) -> None:
        """Fold one record. A clearing of a latch that the lattice refuses clears nothing of what led to it either."""
        before = self.machine.lattice
        self.machine = arming.step(self.machine, record)
        if isinstance(record, LatchCleared) and self.machine.lattice is before:
            self.records += 1
            return
        self._fold(record)

    def happen(self, event: Event) -> None:
        """Take in an event of the ceremony. The record of a `Minted` must have been appended, and is folded here."""
        self.machine = arming.step(self.machine, event)
        if isinstance(event, Minted):
            if event.record.grant.grant_id not in self.machine.arming.used:
                self.machine = arming.step(self.machine, event.record)  # the machine refused it, yet it is in the journal
            self._fold(event.record)

    def _fold(self, record: Record) -> None:
        self.records += 1
        match record:
            case Boot():
                self.incarnation = record.incarnation
                self.boots += 1
                self.epoch = 0
                self.sequences = {}
                self.denied_boot_ns = {}
                self.permits = {}
                self.groups = {}
                self.limits = in_force.apply(self.limits, record)
            case LimitsTightened() | Armed():
                self.limits = in_force.apply(self.limits, record)
            case Epoch():
                if record.number > self.last_epoch:
                    self.epoch = self.last_epoch = record.number
                    self.sequence = 0
            case Intent():
                self.sequence += record.revision == 0
                self._used(record.strategy, record.sequence)
            case Deny():
                self._used(record.strategy, record.sequence)
                self.denied_boot_ns[record.strategy, record.rule] = record.boot_ns
            case Permit():
                self.permits[record.client_id] = Permitted(
                    record.revision, record.grant_id, record.mandate, record.body_hash, record.deadline_boot_ns, self.limits.hash
                )
                order = self.orders.by_id.get(record.client_id)
                if order is not None and order.group in self.groups:
                    self.groups[order.group].client_ids[record.client_id] = True
            case GroupReserved():
                self._reserve(record)
            case NotSent() | Sent() | SendUnknown():
                permitted = self.permits.get(record.client_id)
                if permitted is not None and permitted.revision == record.revision:
                    del self.permits[record.client_id]
                self.duplicates += isinstance(record, SendUnknown) and record.reason == DUPLICATE_ID
            case Foreign():
                self.foreigners += record.tolerated is not True
            case LatchSet():
                what = record.evidence.get(NOTED, "")
                if what:
                    self.noted[what] = max(self.noted.get(what, 0), _number(record.evidence, NOTED_COUNT))
                    self._forget_notes()
        self.orders = orders.apply(self.orders, record)
        self.ledger = ledger.apply(self.ledger, record)
        self.throttles = throttles.apply(self.throttles, record)
        self.losses = losses.apply(self.losses, record, self.sheet)
        self.drills = drill.apply(self.drills, record)
        self.attestations = attested.apply(self.attestations, record)

    def _forget_notes(self) -> None:
        """Drop the notes about what the ledger has forgotten, so that they do not grow for ever."""
        if len(self.noted) > 2 * ledger.FLAGS_KEPT:
            kept = {VIOLATIONS, FOREIGNERS, DUPLICATES, *(f"{flag} {subject}" for flag, subject in self.ledger.flags)}
            kept |= {f"transfer {'/'.join(key)}" for key in ledger.unexpected_transfers(self.ledger)}
            self.noted = {what: count for what, count in self.noted.items() if what in kept}

    def denied_lately(self, strategy: str, rule: str, boot_ns: int) -> bool:
        """Whether a denial of this kind was recorded within the last second."""
        last = self.denied_boot_ns.get((strategy, rule))
        return last is not None and 0 <= boot_ns - last < DENIED_AGAIN_NS

    def group(self, name: str, boot_ns: int) -> Group | None:
        """A group within its time; None when a new order under the grant begins it."""
        found = self.groups.get(name)
        return found if found is not None and found.began_boot_ns <= boot_ns <= found.deadline_boot_ns else None

    def _reserve(self, record: GroupReserved) -> None:
        """Begin a group with the orders that it names, and with those of that name that are alive from an earlier beginning."""
        alive = [client_id for client_id in self.orders.live if self.orders.by_id[client_id].group == record.group]
        self.groups.pop(record.group, None)
        self.groups[record.group] = group_of(msgspec.structs.replace(record, client_ids=(*alive, *record.client_ids)))
        while self.groups:
            oldest = next(iter(self.groups))
            if self.groups[oldest].deadline_boot_ns >= record.boot_ns:
                break
            del self.groups[oldest]

    def _used(self, strategy: str, sequence: int) -> None:
        if sequence > self.sequences.get(strategy, -1):
            self.sequences[strategy] = sequence

    def digest(self) -> str:
        """SHA-256 of the whole state, hexadecimal; two folds of one journal agree."""
        return self.digest_of(self.orders.digest_parts(), self.ledger.digest_parts(), self.throttles.digest_parts())

    def digest_of(self, orders: tuple[object, ...], ledger: tuple[object, ...], throttles: tuple[object, ...]) -> str:
        """`digest`, for who has reckoned the `digest_parts` of the three large parts already."""
        parts = (
            self.incarnation,
            self.boots,
            self.epoch,
            self.sequence,
            sorted(self.sequences.items()),
            self.last_epoch,
            sorted(self.permits.items()),
            sorted(self.denied_boot_ns.items()),
            sorted(self.noted.items()),
            list(self.groups.items()),
            self.foreigners,
            self.duplicates,
            self.records,
            (self.limits.hash, self.limits.tightened_wall_ns),
            self.arming.digest_parts(),
            self.lattice.digest_parts(),
            orders,
            ledger,
            throttles,
            self.losses.digest_parts(),
            self.drills.digest_parts(),
            self.attestations.digest_parts(),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _number(evidence: dict[str, str], key: str) -> int:
    text = evidence.get(key, "")
    return int(text) if text.isdecimal() else 0
