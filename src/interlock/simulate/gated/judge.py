"""Between a strategy's intents and the wire of a replay: each order that our own limits admit is put before the gate, as in a live run.

It follows the live engine (`engine.side`) in what it does with the answer. A denied order never leaves, our side learns at once that it was rejected,
and nothing new is proposed in its market for a while (`hold`). What a venue answers is folded when it reaches us, before our side acts upon it.
Cancels are never refused; those for which the venue's window has no room wait, and one that overtook its order is sent again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np

from interlock.domain.clock import NS_PER_MS
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate.core import PERMIT
from interlock.gate.frames import Proposal
from interlock.gate.records import Book
from interlock.market.columns import RowKind
from interlock.simulate.full import cancel_event, response_event, send_intents
from interlock.simulate.gated.gate import ReplayGate
from interlock.simulate.gated.prices import Prices
from interlock.simulate.hold import Holds
from interlock.simulate.layout import (
    REQUEST_CANCEL,
    REQUEST_PLACE,
    RESPONSE_ACCEPTED,
    RESPONSE_CANCELLED,
    RESPONSE_EXPIRED,
    RESPONSE_FILL,
    RESPONSE_REJECTED,
    RESPONSE_UNKNOWN,
    World,
)
from interlock.simulate.reasons import GATE_DENIAL, Reason
from interlock.strategies.contract import (
    CANCEL,
    REPLACE,
    STATUS_CANCELLING,
    STATUS_FREE,
    STATUS_OPEN,
    STATUS_SENT,
    TIF_FOK,
    TIF_GTC,
    TIF_IOC,
    TIF_POST_ONLY,
)

DEADLINE_NS: Final = 500 * NS_PER_MS
"""A proposal's time to live, as the live engine gives it."""
HELD: Final = f"{GATE_DENIAL}held_after_denial"
WAITED: Final = f"{GATE_DENIAL}cancel_waited"
"""Names of counts beside those of rules: orders that were not proposed because one was denied lately, and cancels that waited for their window."""

_TIFS: Final = {
    TIF_GTC: TimeInForce.GTC,
    TIF_IOC: TimeInForce.IOC,
    TIF_FOK: TimeInForce.FOK,
    TIF_POST_ONLY: TimeInForce.POST_ONLY,
}
_STATES: Final = {
    RESPONSE_ACCEPTED: OrderState.OPEN,
    RESPONSE_CANCELLED: OrderState.CANCELLED,
    RESPONSE_EXPIRED: OrderState.EXPIRED,
    RESPONSE_REJECTED: OrderState.REJECTED,
}
_OF_BOOKS: Final = frozenset(int(kind) for kind in (RowKind.DEPTH, RowKind.CLEAR, RowKind.BAR_CLOSE))
_HALF: Final = Decimal("0.5")
_RATE_UNIT: Final = Decimal("1e-12")


class GatedOrders:
    """The judge of one replay (`simulate.full.Judge`). `counts` says what was refused, by name."""

    def __init__(self, world: World, gate: ReplayGate, prices: Prices) -> None:
        self._world = world
        self._gate = gate
        self._prices = prices
        self._control = world.control[0]
        self._holds = Holds(len(gate.instruments))
        self._kinds: Sequence[int] = world.rows["kind"].tolist()
        self._numbers: Sequence[int] = world.rows["instrument"].tolist()
        self._book_ns = [0] * len(gate.instruments)
        self._ids: dict[int, str] = {}
        """By our number: the client id of every order that is under way or rests."""
        self._seqs: dict[str, int] = {}
        self._fills: dict[int, deque[tuple[bool, int]]] = {}
        """By our number: (maker, exchange time) of executions that are on their way to us."""
        self._owed: dict[int, int] = {}
        """By our number: the slots of orders whose cancel is to be sent when there is room."""
        self._fills_seen = self._fundings_seen = 0
        self._held = 0
        self._waited: set[str] = set()
        """Orders whose cancel had to wait."""

    @property
    def counts(self) -> dict[str, int]:
        """How often each rule denied, and what followed from that."""
        followed = {HELD: self._held, WAITED: len(self._waited)}
        denied = {f"{GATE_DENIAL}{rule}": n for rule, n in sorted(self._gate.denials.items())}
        return denied | {name: n for name, n in followed.items() if n}

    # Time

    def look(self, now_ns: int) -> None:
        """Read the markets when that is due, and send the cancels that there is room for now."""
        if self._prices.due(now_ns):
            at_ns = self._prices.read(now_ns)
            for client_id in self._gate.turn(at_ns):
                seq = self._seqs[client_id]
                self._owed[seq] = self._slot_of(seq)
        if self._owed:
            self._send_owed(now_ns)

    def fed(self, at: int, now_ns: int) -> None:
        """Remember when each book changed last."""
        if self._kinds[at] in _OF_BOOKS:
            self._book_ns[self._numbers[at]] = now_ns

    # Out

    def send(self, count: int, now_ns: int) -> int:
        """Let our own limits admit intents, and the gate permit what they admitted."""
        if count == 0:
            return 0
        world, orders = self._world, self._world.orders
        first = int(self._control["next_seq"])
        given_up: dict[int, int] = {}
        for intent in world.intents[:count]:
            slot = int(intent["slot"])
            if intent["kind"] in (CANCEL, REPLACE) and 0 <= slot < len(orders) and orders[slot]["status"] in (STATUS_OPEN, STATUS_SENT):
                given_up[int(orders[slot]["seq"])] = slot
        send_intents(world.memory, count, now_ns)
        for seq, slot in given_up.items():
            if orders[slot]["seq"] == seq and orders[slot]["status"] == STATUS_CANCELLING:
                self._cancelled(seq, slot, now_ns)
        wake = 0
        for seq in range(first, int(self._control["next_seq"])):
            wake |= self._propose(seq, self._slot_of(seq), now_ns)
        return wake

    def _propose(self, seq: int, slot: int, now_ns: int) -> int:
        """Put one order before the gate; the wake bits of a refusal."""
        order = self._world.orders[slot]
        k = int(order["instrument"])
        if self._holds.holds(k, now_ns):
            self._held += 1
            self._withdraw(seq, slot, now_ns)
            # What was held back ourselves is no news that the kernel should act upon at once.
            return 0
        instrument = self._gate.instruments[k]
        if (instrument.venue, instrument.symbol) in self._prices.unseen:
            self._prices.first_sight(now_ns)
        bid, ask = self._prices.top(k)
        proposal = Proposal(
            venue=instrument.venue,
            symbol=instrument.symbol,
            side=Side(int(order["side"])),
            type=OrderType.LIMIT,
            tif=_TIFS[int(order["tif"])],
            ticks=int(order["ticks"]),
            lots=int(order["lots"]),
            strategy=self._gate.strategy,
            sequence=seq,
            created_boot_ns=now_ns,
            deadline_boot_ns=now_ns + DEADLINE_NS,
            reduce_only=bool(order["reduce_only"]),
            books=(Book(venue=instrument.venue, symbol=instrument.symbol, bid_ticks=bid, ask_ticks=ask, boot_ns=self._book_ns[k]),),
        )
        decision = self._gate.decide(proposal, now_ns).decision
        if decision.result != PERMIT:
            self._holds.denied(k, now_ns)
            return self._withdraw(seq, slot, now_ns)
        self._holds.permitted(k)
        self._ids[seq] = decision.client_id
        self._seqs[decision.client_id] = seq
        return 0

    def _withdraw(self, seq: int, slot: int, now_ns: int) -> int:
        """Take an order off the wire and answer it as rejected, without a trace among the orders that were sent; returns wake bits."""
        control, ring = self._control, self._world.responses
        self._take_off(REQUEST_PLACE, seq)
        head = int(control["response_head"]) - 1
        ring[head % len(ring)] = (now_ns, RESPONSE_REJECTED, slot, seq, 0, int(self._world.orders[slot]["instrument"]), 0, int(Reason.NONE))
        control["response_head"] = head
        wake = response_event(self._world.memory)
        control["orders_n"] -= 1
        control["submitted"] -= 1
        return int(wake)

    # Cancels

    def _cancelled(self, seq: int, slot: int, now_ns: int) -> None:
        """Our side has put a cancel on the wire: it goes, or waits for the venue's window."""
        client_id = self._ids[seq]
        self._gate.want_cancel(client_id, now_ns)
        if self._gate.may_cancel(self._venue(slot), now_ns):
            self._gate.cancel_sent(client_id, now_ns)
            return
        self._take_off(REQUEST_CANCEL, seq)
        self._owed[seq] = slot

    def _send_owed(self, now_ns: int) -> None:
        for seq, slot in list(self._owed.items()):
            client_id = self._ids.get(seq)
            if client_id is None or not self._gate.owes_cancel(client_id):
                del self._owed[seq]
            elif self._gate.may_cancel(self._venue(slot), now_ns):
                del self._owed[seq]
                self._gate.cancel_sent(client_id, now_ns)
                cancel_event(self._world.memory, slot, now_ns)
            else:
                self._waited.add(client_id)

    # Back

    def answer(self, now_ns: int) -> int:
        """The next answer of a venue, first for the gate and then for our side."""
        ring = self._world.responses
        message = ring[int(self._control["response_head"]) % len(ring)]
        kind, slot, seq = int(message["kind"]), int(message["slot"]), int(message["seq"])
        lots, ticks = int(message["lots"]), int(message["ticks"])
        client_id = self._ids.get(seq)
        if client_id is not None:
            self._hear(client_id, kind, slot, seq, lots, ticks, now_ns)
        wake = int(response_event(self._world.memory))
        order = self._world.orders[slot]
        if client_id is not None and (order["status"] == STATUS_FREE or order["seq"] != seq):
            del self._ids[seq], self._seqs[client_id]
            self._fills.pop(seq, None)
        return wake

    def _hear(self, client_id: str, kind: int, slot: int, seq: int, lots: int, ticks: int, now_ns: int) -> None:
        gate, order = self._gate, self._world.orders[slot]
        if kind == RESPONSE_FILL:
            maker, exchange_ns = self._fills[seq].popleft()
            gate.filled(
                client_id,
                int(order["instrument"]),
                int(order["side"]),
                ticks,
                lots,
                maker=maker,
                venue_ns=exchange_ns,
                now_ns=now_ns,
            )
        elif kind == RESPONSE_UNKNOWN:
            gate.cancel_too_early(client_id, now_ns)
        else:
            gate.reported(client_id, _STATES[kind], Reason(ticks).name.lower(), now_ns)
            if kind == RESPONSE_ACCEPTED and gate.owes_cancel(client_id) and not self._on_the_wire(REQUEST_CANCEL, seq):
                # A cancel that overtook its order is owed still.
                self._owed[seq] = slot

    def happened(self, now_ns: int) -> None:
        """Remember how executions came about, whose answer is on its way, and book fundings."""
        world, fills, fundings = self._world, int(self._control["fills_n"]), int(self._control["fundings_n"])
        for record in world.fills[self._fills_seen : fills]:
            self._fills.setdefault(int(record["seq"]), deque()).append((bool(record["maker"]), int(record["exchange_ns"])))
        for record in world.fundings[self._fundings_seen : fundings]:
            k = int(record["instrument"])
            one = self._gate.instruments[k]
            paid = int(record["position_lots"]) * int(record["mark_twice"]) * int(record["rate"])
            self._gate.funded(k, -paid * _RATE_UNIT * _HALF * one.quantum * one.lot, now_ns)
        self._fills_seen, self._fundings_seen = fills, fundings

    def emptied(self) -> None:
        """The records begin anew."""
        self._fills_seen, self._fundings_seen = int(self._control["fills_n"]), int(self._control["fundings_n"])

    # The wire

    def _slot_of(self, seq: int) -> int:
        return int(np.flatnonzero(self._world.orders["seq"] == seq)[0])

    def _venue(self, slot: int) -> str:
        return self._gate.instruments[int(self._world.orders[slot]["instrument"])].venue

    def _on_the_wire(self, kind: int, seq: int) -> int | None:
        """Where the request of an order is among those under way; None if it is not."""
        ring = self._world.requests
        for at in range(int(self._control["request_head"]), int(self._control["request_tail"])):
            message: Any = ring[at % len(ring)]
            if message["kind"] == kind and message["seq"] == seq:
                return at
        return None

    def _take_off(self, kind: int, seq: int) -> None:
        """Take a request back that has only just been put on the wire."""
        ring, tail = self._world.requests, int(self._control["request_tail"])
        found = self._on_the_wire(kind, seq)
        assert found is not None
        for at in range(found, tail - 1):
            ring[at % len(ring)] = ring[(at + 1) % len(ring)]
        self._control["request_tail"] = tail - 1
