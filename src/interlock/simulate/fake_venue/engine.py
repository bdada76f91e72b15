"""One venue, sans-I/O: frames and the time go in, frames come out. It keeps the truth, whatever it says.

Every step takes `now_ns`, a steady time in nanoseconds since the Unix epoch (wall time at the start plus what has passed since); the venue's own
clock is that plus a skew. What is due later waits inside: ask `next_due_ns` and call `wake` then.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from interlock.domain.orders import Liquidity
from interlock.simulate.fake_venue.account import Account
from interlock.simulate.fake_venue.desk import Desk
from interlock.simulate.fake_venue.faults import Fault, FaultPlan, FaultSpec
from interlock.simulate.fake_venue.flavours import flavour
from interlock.simulate.fake_venue.matching import Matching, Rejection
from interlock.simulate.fake_venue.rates import RateLimit
from interlock.simulate.fake_venue.reads import nonsense
from interlock.simulate.fake_venue.stream import Stream, StreamEvent
from interlock.simulate.fake_venue.witness import Witness
from interlock.simulate.fake_venue.world import World
from interlock.venues.fake.wire import (
    DEFINITIVE_CODES,
    Answer,
    AnyBody,
    AnyRequest,
    Cancel,
    Code,
    Outcomes,
    Subscribe,
    Subscribed,
    VerbClass,
    WireError,
    class_of,
    decode_request,
    encode,
    ids_of,
    verb_of,
)

ORDERS = "orders"
STREAM = "stream"
UNLISTED = "e77_unlisted"
GARBAGE = b"\x00\x00\x00\x09\x01\xc1garbage"
Struck = dict[Fault, FaultSpec]


@dataclass(frozen=True, slots=True)
class Out:
    """Bytes for a connection, then with `reset` its abrupt end."""

    connection: str
    data: bytes = b""
    reset: bool = False


class Venue:
    """A venue by the name of its flavour; `witness` is told of every frame before anything else happens. Raises UsageError for an unknown name."""

    def __init__(self, name: str, witness: Witness, now_ns: int) -> None:
        self.name = name
        self.flavour = flavour(name)
        self.witness = witness
        self.faults = FaultPlan()
        self.requests = 0
        self.skew_ns = 0
        self.ports: dict[str, str] = {}
        self.account = Account(self.flavour)
        self.matching = Matching(self.account, self.emit, self.venue_ns, self.steady_ns)
        self.desk = Desk(self.flavour, self.account, self.matching, self.later)
        requests, orders, ban_after = self.flavour.requests, self.flavour.orders, self.flavour.ban_after
        self.rates = RateLimit(requests.units, requests.interval_ns, ban_after)
        self.order_rates = RateLimit(orders.units, orders.interval_ns, ban_after)
        self.stream = Stream(self._tell, self.later)
        self.world = World(self.matching, self.emit, self.venue_ns)
        self._now_ns = now_ns
        self._out: list[Out] = []
        self._pushed: list[Out] = []
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._held: dict[str, list[Out]] = {}

    # time

    def venue_ns(self) -> int:
        """The venue's own clock."""
        return self._now_ns + self.skew_ns

    def steady_ns(self) -> int:
        """The time of the last step."""
        return self._now_ns

    def next_due_ns(self) -> int | None:
        """When `wake` has something to do; None while nothing waits."""
        return self._due[0][0] if self._due else None

    def wake(self, now_ns: int) -> list[Out]:
        """Do what is due, in order, each at its own time."""
        while self._due and self._due[0][0] <= now_ns:
            due_ns, _, action = heapq.heappop(self._due)
            self._now_ns = max(self._now_ns, due_ns)
            action()
        self._now_ns = max(self._now_ns, now_ns)
        return self.drain()

    def later(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Do something after `delay_ns`."""
        self._scheduled += 1
        heapq.heappush(self._due, (self._now_ns + max(0, delay_ns), self._scheduled, action))

    # connections

    def open(self, connection: str, port: str) -> None:
        """A client connected to the port `ORDERS` or `STREAM`."""
        self.ports[connection] = port

    def close(self, connection: str) -> None:
        """A connection is gone; what was meant for it is lost, what it asked for is not."""
        self.ports.pop(connection, None)
        self.stream.listeners.pop(connection, None)
        self._held.pop(connection, None)

    def reset_all(self) -> None:
        """Tear every connection."""
        for connection in list(self.ports):
            self.reset(connection)

    def drain(self) -> list[Out]:
        """What is to be sent now: answers first, then the stream."""
        out, self._out, self._pushed = self._out + self._pushed, [], []
        return out

    # the step

    def handle(self, frame: bytes, connection: str, now_ns: int) -> list[Out]:
        """Take one whole frame from a connection and return what leaves at once."""
        before = self.wake(now_ns)
        try:
            request: AnyRequest | None = decode_request(frame)
        except WireError as error:
            request, problem = None, str(error)
        self.requests += 1
        if request is None:
            self.witness.request(self.name, connection, frame, None)
            self._answer(connection, 0, Code.BAD_FRAME, problem, None)
            return before + self.drain()
        struck = self.faults.strike(request)
        cut = struck.get(Fault.RESET_BEFORE_ACCEPTING)
        self.witness.request(self.name, connection, frame, request, received=None if cut is None else max(0, cut.count))
        self._strike_world(struck)
        if cut is not None:
            self._happened(Fault.RESET_BEFORE_ACCEPTING)
            self.reset(connection)
        elif Fault.LOSE_REQUEST in struck:
            self._happened(Fault.LOSE_REQUEST)
        else:
            self._deliver(connection, self._answered(request, connection, struck), struck)
        return before + self.drain()

    def _answered(self, request: AnyRequest, connection: str, struck: Struck) -> Answer:
        code, text, body = self._decided(request, connection, struck)
        if code is Code.OK:
            body = self._spoiled(body, struck)
            if Fault.ACCEPT_THEN_ERROR in struck:
                self._happened(Fault.ACCEPT_THEN_ERROR)
                code, text, body = Code.INTERNAL_ERROR, "the venue failed", None
            elif Fault.UNLISTED_CODE in struck:
                self._happened(Fault.UNLISTED_CODE)
                return self._make(request.request_id, 400, struck[Fault.UNLISTED_CODE].code or UNLISTED, "", None)
        return self._make(request.request_id, _STATUS.get(code, 400), code.value, text, body)

    def _decided(self, request: AnyRequest, connection: str, struck: Struck) -> tuple[Code, str, AnyBody | None]:
        if Fault.BAN in struck:
            self._happened(Fault.BAN)
            self.rates.ban(self._now_ns, struck[Fault.BAN].delay_ns)
        code = self.rates.admit(self._now_ns)
        if code is Code.OK and class_of(verb_of(request)) is VerbClass.RISK_RAISING:
            code = self.order_rates.admit(self._now_ns, len(ids_of(request)))
        if code is Code.OK and Fault.RATE_LIMITED in struck:
            self._happened(Fault.RATE_LIMITED)
            code = Code.RATE_LIMITED
        if code is not Code.OK:
            return code, "slow down", None
        if Fault.ERROR_WITHOUT_ACCEPTING in struck:
            self._happened(Fault.ERROR_WITHOUT_ACCEPTING)
            return Code.INTERNAL_ERROR, "the venue failed", None
        if Fault.DEFINITIVE_REJECT in struck:
            self._happened(Fault.DEFINITIVE_REJECT)
            return _scripted_code(struck[Fault.DEFINITIVE_REJECT]), "as scripted", None
        refused = self._wrong_port(request, connection)
        if refused:
            return Code.WRONG_PORT, refused, None
        if isinstance(request, Subscribe):
            self.stream.listeners[connection] = None
            return Code.OK, "", Subscribed(next_sequence=self.stream.next_sequence)
        try:
            return Code.OK, "", self._take(request, struck)
        except Rejection as no:
            return no.code, no.text, None

    def _wrong_port(self, request: AnyRequest, connection: str) -> str:
        port = self.ports.get(connection, "")
        if isinstance(request, Subscribe):
            return "" if port == STREAM else "expected the stream port"
        reading = class_of(verb_of(request)) is VerbClass.READ
        return "" if port == ORDERS or (reading and port == STREAM) else "expected the orders port"

    def _take(self, request: AnyRequest, struck: Struck) -> AnyBody | None:
        order = self.matching.find(request.client_id) if isinstance(request, Cancel) and request.client_id else None
        crossing = Fault.FILL_DURING_CANCEL in struck and order is not None and not order.state.final
        if crossing and order is not None and self.matching.fill(order, order.remaining_lots, order.ticks, Liquidity.MAKER):
            self._happened(Fault.FILL_DURING_CANCEL)
        children = struck[Fault.BATCH_IN_PART].count if Fault.BATCH_IN_PART in struck else None
        lag_ns = 0
        for fault in (Fault.HISTORY_LAG, Fault.OPEN_ORDERS_LAG):
            if fault in struck:
                self._happened(fault)
                lag_ns += struck[fault].delay_ns
        body = self.desk.take(request, self.venue_ns(), self._now_ns, children=children, extra_lag_ns=lag_ns)
        if children is not None:
            self._happened(Fault.BATCH_IN_PART)
        if Fault.FILL_AFTER_CANCEL in struck and order is not None:
            late = order

            def fill() -> None:
                if self.matching.fill(late, late.remaining_lots, late.ticks, Liquidity.MAKER):
                    self._happened(Fault.FILL_AFTER_CANCEL)

            self.later(struck[Fault.FILL_AFTER_CANCEL].delay_ns, fill)
        return body

    def _spoiled(self, body: AnyBody | None, struck: Struck) -> AnyBody | None:
        if Fault.BATCH_UNTOLD in struck and isinstance(body, Outcomes):
            self._happened(Fault.BATCH_UNTOLD)
            return Outcomes(children=body.children[: struck[Fault.BATCH_UNTOLD].count])
        if Fault.NONSENSE_READ in struck:
            wrong = nonsense(body)
            if wrong is not None:
                self._happened(Fault.NONSENSE_READ)
                return wrong
        return body

    def _deliver(self, connection: str, answer: Answer, struck: Struck) -> None:
        frame = encode(answer)
        out = Out(connection, frame)
        if Fault.LOSE_ACK in struck:
            self._happened(Fault.LOSE_ACK)
        elif Fault.RESET_AFTER_ACCEPTING in struck:
            self._happened(Fault.RESET_AFTER_ACCEPTING)
            self.reset(connection)
        elif Fault.PARTIAL_FRAME in struck:
            self._happened(Fault.PARTIAL_FRAME)
            self.reset(connection, frame[: min(max(1, struck[Fault.PARTIAL_FRAME].count), len(frame) - 1)])
        elif Fault.GARBAGE_FRAME in struck:
            self._happened(Fault.GARBAGE_FRAME)
            self._send(Out(connection, GARBAGE))
        elif Fault.LATE_ACK in struck:
            self._happened(Fault.LATE_ACK)
            self.later(struck[Fault.LATE_ACK].delay_ns, lambda: self._send(out))
        elif Fault.REORDER_ANSWERS in struck:
            self._happened(Fault.REORDER_ANSWERS)
            self._held.setdefault(connection, []).append(out)
            self.later(struck[Fault.REORDER_ANSWERS].delay_ns, lambda: self._release(connection))
        else:
            self._send(out)
            if Fault.ANSWER_TWICE in struck:
                self._happened(Fault.ANSWER_TWICE)
                self._send(out)
            self._release(connection)

    def _strike_world(self, struck: Struck) -> None:
        for fault, spec in struck.items():
            if fault is Fault.CLOCK_SKEW:
                self.skew_ns = spec.delay_ns
            elif fault is Fault.STREAM_GAP:
                self.stream.drop = spec.count
            elif fault is Fault.STREAM_TWICE:
                self.stream.twice = spec.count
            elif fault is Fault.STREAM_SILENCE:
                self.stream.silent_until_ns = self._now_ns + spec.delay_ns
            elif fault is Fault.STREAM_REORDER:
                self.stream.hold_back_ns = spec.delay_ns
            elif fault is Fault.LATE_FILL:
                self.stream.late_fill_ns = spec.delay_ns
            elif not self.world.strike(spec):
                continue
            self._happened(fault)

    # what a test commands

    def strike_now(self, spec: FaultSpec) -> bool:
        """Let a fault of the world happen without waiting for a request; False where it found nothing to act on."""
        before = self.faults.happened[spec.fault]
        self._strike_world({spec.fault: spec})
        return self.faults.happened[spec.fault] > before

    def calm(self) -> None:
        """Be honest from now on: no faults, lags, skew, silence or ban."""
        self.faults.clear()
        self.skew_ns = self.desk.history_lag_ns = self.desk.open_lag_ns = 0
        self.rates.ban(self._now_ns, 0)
        self.order_rates.ban(self._now_ns, 0)
        self.stream.calm()

    # what leaves

    def emit(self, event: StreamEvent) -> None:
        """Something changed: the truth is written down, then the stream told, or not."""
        self.witness.truth(self.name, str(type(event).__struct_config__.tag), event)
        self.stream.push(event, self.venue_ns(), self._now_ns)

    def _answer(self, connection: str, request_id: int, code: Code, text: str, body: AnyBody | None) -> None:
        self._send(Out(connection, encode(self._make(request_id, _STATUS.get(code, 400), code.value, text, body))))

    def _make(self, request_id: int, status: int, code: str, text: str, body: AnyBody | None) -> Answer:
        limit, remaining, reset_ns = self.rates.headers(self._now_ns)
        orders_limit, orders_remaining, orders_reset_ns = self.order_rates.headers(self._now_ns)
        return Answer(
            request_id=request_id,
            status=status,
            code=code,
            text=text,
            venue_ns=self.venue_ns(),
            limit=limit,
            remaining=remaining,
            reset_ns=reset_ns + self.skew_ns,
            orders_limit=orders_limit,
            orders_remaining=orders_remaining,
            orders_reset_ns=orders_reset_ns + self.skew_ns,
            body=body,
        )

    def _send(self, out: Out) -> None:
        if out.connection in self.ports:
            self._out.append(out)

    def _tell(self, connection: str, frame: bytes) -> None:
        self._pushed.append(Out(connection, frame))

    def _release(self, connection: str) -> None:
        for out in self._held.pop(connection, []):
            self._send(out)

    def reset(self, connection: str, data: bytes = b"") -> None:
        """Tear a connection, after these bytes."""
        self._send(Out(connection, data, reset=True))
        self.close(connection)

    def _happened(self, fault: Fault) -> None:
        self.faults.happened[fault] += 1
        self.witness.truth(self.name, "fault", _FaultLine(fault=fault))


class _FaultLine(msgspec.Struct, frozen=True, kw_only=True):
    fault: Fault


def _scripted_code(spec: FaultSpec) -> Code:
    """The code that a script wants, or a plain refusal. A definitive reject must be one, so that any other is replaced."""
    return Code(spec.code) if spec.code in DEFINITIVE_CODES else Code.INSUFFICIENT_MARGIN


_STATUS = {Code.OK: 200, Code.RATE_LIMITED: 429, Code.BANNED: 418, Code.INTERNAL_ERROR: 500, Code.ORDER_NOT_FOUND: 404}
