"""The state of the gate: the fold of its journal, every room's part of it, and nothing else.

`GateState.apply` changes it record by record, in the live process and when the journal is read back; so a state is always what the journal
says. Beside the fold the arming machine keeps what lives in memory alone (the challenge, the living grant), which no record can bring about and
the digest leaves out; readings of markets and clocks are kept elsewhere.
"""

from __future__ import annotations

import hashlib

from interlock.gate import arming, ledger, losses, orders, throttles
from interlock.gate.arming import Arming, Event, LiveGrant, Machine, Minted
from interlock.gate.lattice import Lattice
from interlock.gate.ledger import Ledger
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.losses import Losses
from interlock.gate.order_state import Orders
from interlock.gate.records import Boot, Epoch, Intent, LatchSet, Record
from interlock.gate.throttles import Throttles

NOTED_VIOLATIONS = "noted_violations"
NOTED_FLAGS = "noted_flags"
"""Keys in a latch's evidence: how many violations, or flags of the ledger, are answered by latches with this one. So none is forgotten by a
crash between the record that showed it and its latch, and none is latched again after a person has cleared it."""


class GateState:
    """All that the gate knows from its journal. `sheet` says what counts as a loss; a state under another sheet is another state."""

    __slots__ = (
        "boots",
        "epoch",
        "incarnation",
        "ledger",
        "losses",
        "machine",
        "noted_flags",
        "noted_violations",
        "orders",
        "records",
        "sequence",
        "sequences",
        "sheet",
        "throttles",
    )

    def __init__(self, sheet: LimitSheet) -> None:
        self.sheet = sheet
        self.machine = Machine()
        self.orders = Orders()
        self.ledger = Ledger()
        self.throttles = Throttles()
        self.losses = Losses()
        self.incarnation = ""
        self.boots = 0
        self.epoch = 0
        self.sequence = 0
        """Client ids used in this epoch."""
        self.sequences: dict[str, int] = {}
        """By strategy: the last sequence number of its proposals in this process life."""
        self.noted_violations = 0
        self.noted_flags = 0
        self.records = 0

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
        """Fold one record."""
        self.machine = arming.step(self.machine, record)
        self._fold(record)

    def happen(self, event: Event) -> None:
        """Take in an event of the ceremony. The record of a `Minted` must be durable, and is folded here."""
        self.machine = arming.step(self.machine, event)
        if isinstance(event, Minted):
            if self.machine.live is not event.live:
                self.machine = arming.step(self.machine, event.record)  # refused, yet in the journal
            self._fold(event.record)

    def _fold(self, record: Record) -> None:
        self.records += 1
        match record:
            case Boot():
                self.incarnation = record.incarnation
                self.boots += 1
                self.sequences = {}
            case Epoch():
                self.epoch = max(self.epoch, record.number)
                self.sequence = 0
            case Intent():
                self.sequence += record.revision == 0
                self.sequences[record.strategy] = max(self.sequences.get(record.strategy, -1), record.sequence)
            case LatchSet():
                self.noted_violations = max(self.noted_violations, _number(record.evidence, NOTED_VIOLATIONS))
                self.noted_flags = max(self.noted_flags, _number(record.evidence, NOTED_FLAGS))
        self.orders = orders.apply(self.orders, record)
        self.ledger = ledger.apply(self.ledger, record)
        self.throttles = throttles.apply(self.throttles, record)
        self.losses = losses.apply(self.losses, record, self.sheet)

    @property
    def flags(self) -> int:
        """How often the ledger has raised a flag."""
        return sum(self.ledger.flags.values())

    def digest(self) -> str:
        """SHA-256 of the whole state, hexadecimal; two folds of one journal agree."""
        parts = (
            self.incarnation,
            self.boots,
            self.epoch,
            self.sequence,
            sorted(self.sequences.items()),
            self.noted_violations,
            self.noted_flags,
            self.records,
            self.arming.digest_parts(),
            self.lattice.digest_parts(),
            self.orders.digest_parts(),
            self.ledger.digest_parts(),
            self.throttles.digest_parts(),
            self.losses.digest_parts(),
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def _number(evidence: dict[str, str], key: str) -> int:
    text = evidence.get(key, "")
    return int(text) if text.isdecimal() else 0
