"""Who watches the gate in the state machine: what must hold, judged from the journal's bytes, the disk and the venue's own truth.

The gate's state is asked for one thing only: that it is what its journal says. The rest is a small second account of grants, kills, levels and
latches, and a look at the disk at the moment before every frame: what would be left of it if the power went now.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from tests.gate.disks import FakeDisk

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.journal import recover
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.order_machine import Violation
from interlock.gate.order_state import Order
from interlock.gate.state import GateState
from interlock.gate.verbs import Cause
from interlock.simulate.fake_venue.matching import Order as TrueOrder
from interlock.venues.fake import wire

Key = tuple[str, int]
"""(client id, revision)."""
HoldKey = tuple[str, str, str]
"""(name, scope, subject) of a latch."""
TAG = "demo"
STOPPED = (r.Level.HALT, r.Level.CANCEL_ONLY)


@dataclass
class Leave:
    """What the journal of this process life says about its grant."""

    grant: r.Grant
    ended: bool = False
    over: bool = False


class Watch:
    """Is told every record that the journal took and every frame before the kernel gets it. `broken` says what should not have happened."""

    def __init__(self, sheet: LimitSheet, folder: Path) -> None:
        self._sheet = sheet
        self._folder = folder
        self.payloads: list[bytes] = []
        self.shadow = GateState(sheet)
        self.intents: dict[Key, r.Intent] = {}
        self.sent: Counter[Key] = Counter()
        self.leave: Leave | None = None
        self.stopped = ""
        self.silent = False
        self.base = r.Level.HALT
        self.latches: dict[HoldKey, r.Level] = {}
        self.broken: list[str] = []
        self.reached: Counter[str] = Counter()
        self.acknowledged = 0
        self._witnessed: Counter[Key] = Counter()
        self._lines = 0
        self._answered: set[str] = set()
        self._pieces: set[str] = set()
        """Hashes of what the kernel took of frames that it did not take whole."""

    # The journal

    def took(self, payload: bytes) -> None:
        """The journal took a record."""
        record = r.decode(payload)
        self.payloads.append(payload)
        self._situations(record)
        self.shadow.apply(record)
        self._note(record)

    def recovered(self, payloads: list[bytes], state: GateState) -> None:
        """A new life has read the journal: an exact prefix of what was written, with all that was acknowledged, and nothing is armed by it."""
        if payloads != self.payloads[: len(payloads)]:
            self.broken.append("S13: what was recovered is no prefix of what was written")
        if len(payloads) < self.acknowledged:
            self.broken.append(f"S13: {self.acknowledged} records were acknowledged, {len(payloads)} recovered")
        self.payloads = list(payloads)
        self.shadow = GateState(self._sheet)
        self.intents, self.latches = {}, {}
        for payload in payloads:
            record = r.decode(payload)
            self.shadow.apply(record)
            self._note(record)
        if self.shadow.digest() != state.digest():
            self.broken.append("S12: two folds of one journal differ")
        if state.live is not None:
            self.broken.append("S3: a journal that was read back armed something")
        held = {(hold.name, str(hold.scope), hold.subject) for hold in state.lattice.latches}
        if held != set(self.latches):
            self.broken.append(f"S16: expected the latches {sorted(self.latches)} after a boot, found {sorted(held)}")

    def _note(self, record: r.Record) -> None:
        match record:
            case r.Boot():
                self.leave, self.stopped, self.silent, self.base = None, "", False, r.Level.HALT
            case r.Intent():
                self.intents[record.client_id, record.revision] = record
            case r.Armed():
                self.leave = Leave(record.grant)
            case r.Disarmed():
                if self.leave is not None:
                    self.leave.ended = True
                    self.leave.over |= record.mandate_ends
            case r.Foreign() | r.Reconciled(explained=False):
                if self.leave is not None:
                    self.leave.over = True
            case r.KillRequested() | r.KillEffective():
                self.stopped = self.stopped or "a kill in the journal"
                self.silent |= isinstance(record, r.KillEffective)
                self.latches[("kill", str(r.Scope.ALL), "")] = r.Level.HALT
            case r.LevelSet():
                self.base = record.level
            case r.LatchSet():
                key = (record.name, str(record.scope), record.subject)
                if key not in self.latches or record.level is r.Level.HALT:
                    self.latches[key] = record.level
                if record.name == Cause.INTERNAL_ERROR.value:
                    self.broken.append(f"S27: a part of the gate failed: {record.reason}")
            case r.LatchCleared():
                self.latches.pop((record.name, str(record.scope), record.subject), None)

    def begun(self, state: GateState, again: int) -> None:
        """A life has begun: whatever stands in the journal, it is disarmed and halted, and settling once more would add nothing."""
        if state.live is not None or state.arming.armed or state.lattice.base is not r.Level.HALT:
            self.broken.append("S5: a boot did not fold to disarmed and halted")
        if again:
            self.broken.append(f"S12: settling what an earlier life left a second time adds {again} records")

    # Frames

    def leaves(self, data: bytes, taken: bytes, disk: FakeDisk, boot_ns: int) -> None:
        """Bytes are about to be handed to the kernel, which takes `taken` of them."""
        if taken != data:
            self._pieces.add(wire.body_hash(taken))
        if self.silent:
            self.broken.append("S17: the gate wrote to the venue after its kill was effective")
        request = wire.decode_request(data)
        if wire.class_of(wire.verb_of(request)) is not wire.VerbClass.RISK_RAISING:
            return
        for key in wire.ids_of(request):
            self.sent[key] += 1
            for problem in self._frame(key, data, disk, boot_ns):
                self.broken.append(f"{problem} ({key})")

    def _frame(self, key: Key, data: bytes, disk: FakeDisk, boot_ns: int) -> list[str]:
        found = []
        if self.sent[key] != 1:
            found.append("S8: a frame of one client id and revision was written twice")
        if self.stopped:
            found.append(f"S17: a frame after {self.stopped}")
        # Nothing that was not synced survives this power loss, and everything that was written survives the end of the process.
        durable, written = self._read(disk.after_power_loss(lambda _count: 0)), self._read(disk)
        permit = next((one for one in durable if isinstance(one, r.Permit) and (one.client_id, one.revision) == key), None)
        intent = self.intents.get(key)
        if permit is None or intent is None:
            return [*found, "S2: a frame without a durable permit"]
        if permit.body_hash != wire.body_hash(data):
            found.append("S2: other bytes than were permitted")
        if not any(isinstance(one, r.WireBegin) and (one.client_id, one.revision) == key for one in written):
            found.append("S2: a frame whose beginning would not survive the process")
        if not boot_ns < permit.deadline_boot_ns:
            found.append("S3: a frame after its deadline")
        return found + self._unleft(permit, intent, boot_ns)

    def _unleft(self, permit: r.Permit, intent: r.Intent, boot_ns: int) -> list[str]:
        leave = self.leave
        if leave is None or leave.grant.grant_id != permit.grant_id:
            return ["S3: a frame without the grant of its permit"]
        found = []
        if leave.over or not boot_ns < leave.grant.mandate_until_boot_ns:
            found.append("S3: a frame after the end of the reduce mandate")
        places = {str(r.Scope.ALL): "", str(r.Scope.ACCOUNT): f"{intent.venue}/{intent.account}"}
        levels = [self.base, *(level for (_, scope, subject), level in self.latches.items() if places.get(scope) == subject)]
        if any(level in STOPPED for level in levels):
            found.append(f"S3: a frame at {levels}")
        low = leave.ended or not boot_ns < leave.grant.expires_boot_ns or r.Level.REDUCE_ONLY in levels
        if low and not self._only_reduces(permit, intent):
            found.append("S20: a frame that may raise risk without leave for new risk")
        if not permit.notional_usd <= permit.cap_usd <= leave.grant.cap_usd:
            found.append("S11: an order worth more than the cap")
        return found

    def _only_reduces(self, permit: r.Permit, intent: r.Intent) -> bool:
        """Whether an order under the mandate brings home what is held on this world's one market, and says so to the venue or is of a group."""
        held = self.shadow.ledger.positions.get((intent.venue, intent.account, intent.symbol))
        lots = 0 if held is None else -held.lots * intent.side
        return bool(permit.mandate) and (intent.reduce_only or bool(intent.group)) and 0 < intent.lots <= lots

    def _read(self, disk: FakeDisk) -> list[r.Record]:
        found: list[r.Record] = []
        recover(disk, self._folder, schema=r.SCHEMA, consume=lambda _lsn, payload: found.append(r.decode(payload)))
        return found

    # The venue

    def witnessed(self, lines: list[bytes]) -> None:
        """The venue's own account of what reached it: each frame at most once, and none that did not leave here."""
        for line in lines[self._lines :]:
            told = msgspec.json.decode(line)
            for key in _raising(told):
                self._witnessed[key] += 1
                if self._witnessed[key] > 1:
                    self.broken.append(f"S8: the venue saw {key} twice")
                if not self.sent[key]:
                    self.broken.append(f"S1: the venue saw {key}, which never left")
            if told["verb"] == "unreadable" and told["body_hash"] not in self._pieces:
                self.broken.append("S1: the venue saw bytes that are no request, and no piece of one that was cut off")
        self._lines = len(lines)

    def compare(self, state: GateState, true: dict[str, TrueOrder]) -> None:
        """Every own order at the venue is in the journal, and what it can still do there is reserved here."""
        for client_id, there in true.items():
            if (client_id, 0) not in self.intents:
                self.broken.append(f"S1: the venue holds {client_id}, which the journal does not know")
                continue
            order = state.orders.by_id.get(client_id)
            if order is None or there.state.final:
                continue
            if order.state.final:
                self.broken.append(f"S9: {client_id} is {order.state} here and {there.state} at the venue")
            elif there.lots - order.filled_lots > order.reserved_lots:
                self.broken.append(
                    f"S11: {client_id} can fill {there.lots - order.filled_lots} lots more, reserved are {order.reserved_lots}"
                )

    def absent(self, state: GateState, true: dict[str, TrueOrder]) -> None:
        """What was said to be absent, or not sent, is not at the venue."""
        for client_id, order in state.orders.by_id.items():
            if order.state in (OrderState.ABSENT, OrderState.NOT_SENT) and client_id in true:
                self.broken.append(f"S9: {client_id} is {order.state} here, and the venue took it")

    # Situations

    def _situations(self, record: r.Record) -> None:
        """Count what this record shows to happen, before it is folded."""
        book, reached = self.shadow.orders, self.reached
        order = book.by_id.get(getattr(record, "client_id", ""))
        match record:
            case r.Reported() if order is not None and order.state is OrderState.UNKNOWN:
                reached[f"unknown to {record.state}"] += 1
            case r.Absent() if order is not None and order.state is OrderState.UNKNOWN:
                reached["unknown to absent"] += 1
            case r.Answered():
                self._answered.add(record.client_id)
            case r.Filled():
                self._filled(record, order)
            case r.FillReversed():
                reached["fill reversal"] += 1
            case r.CancelAnswered(accepted=False) if order is not None and order.filled_lots >= order.lots:
                reached["cancel rejected because filled"] += 1
            case r.KillRequested():
                reached["kill during amend"] += any(one.amend is not None for one in book.by_id.values())
                groups = {one.group for one in book.by_id.values() if one.group and one.state is OrderState.FILLED}
                flying = {one.group for one in book.by_id.values() if one.state in (OrderState.SENT, OrderState.PERMITTED)}
                reached["kill between legs"] += bool(groups & flying)
            case r.Foreign():
                reached["foreign order"] += 1
            case r.LedgerEvent(kind=r.LedgerKind.ADL):
                reached["adl during unwind"] += any(one.reduce_only and not one.state.final for one in book.by_id.values())
            case r.Deny():
                reached[f"denied {record.rule}"] += 1
            case r.Epoch() if any(one.group and not one.state.final for one in book.by_id.values()):
                reached["epoch change in a group"] += 1

    def _filled(self, record: r.Filled, order: Order | None) -> None:
        if (record.venue, record.account, record.symbol, record.trade_id) in self.shadow.ledger.fills:
            self.reached["duplicate fill"] += 1
        elif order is not None:
            self.reached["fill before ack"] += order.client_id not in self._answered
            self.reached["unknown to partially filled"] += order.state is OrderState.UNKNOWN
            self.reached["late fill after cancel"] += order.state is OrderState.CANCELLED and order.missing_lots < record.lots

    def fell(self) -> None:
        """A process life ended in the middle: count in the middle of what."""
        for order in self.shadow.orders.by_id.values():
            self.reached["crash between permit and send"] += order.state is OrderState.PERMITTED
            self.reached["crash between send and ack"] += order.state is OrderState.SENT

    def late_fills(self) -> int:
        """How many late executions the gate has taken for what they are."""
        return sum(found.violation is Violation.LATE_FILL for found in self.shadow.orders.violations)


def _raising(told: dict[str, Any]) -> list[Key]:
    """The sends of one line of the witness that can raise risk."""
    if told["class"] != wire.VerbClass.RISK_RAISING.value or told["verb"] == "unreadable":
        return []
    children = [(str(name), int(revision)) for name, revision in told["children"]]
    return children or [(str(told["client_id"]), int(told["revision"]))]
