"""How the gate speaks with the fake venue: intents to frames, and what the venue says to records.

Only what the venue states is turned into a record; codes that are not on its definitive list, answers that make no sense and texts that are no
numbers are evidence of nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from types import MappingProxyType

from interlock.domain.ids import EPOCH_WIDTH, SEQUENCE_WIDTH, TAG_WIDTH
from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.order_wire import AnswerTrouble, Cancellation, Said, ToCancel, Unwrapped
from interlock.gate.venue_bounds import Standing
from interlock.venues.budget import Cost, Meter, Spend
from interlock.venues.fake import budget, wire

REVISIONS = 1 << 20
"""Request numbers keep so many revisions of one order apart."""

LONGEST_TEXT = 64
"""What a venue says beyond it makes no sense, and must not become a record that no journal can hold."""

MOST_DIGITS = 30
"""Before or after the point: arithmetic with `1E+999999` would never end."""

_STATES = {
    OrderState.OPEN,
    OrderState.PARTIAL,
    OrderState.FILLED,
    OrderState.CANCELLED,
    OrderState.EXPIRED,
    OrderState.REJECTED,
}


def request_id(client_id: str, revision: int) -> int:
    """The number of the request that writes one (client id, revision); unique within an epoch."""
    at = TAG_WIDTH + EPOCH_WIDTH
    return int(client_id[at : at + SEQUENCE_WIDTH], 36) * REVISIONS + revision


class FakeReader(Unwrapped):
    """The answers of one connection (`AnswerReader`)."""

    at_once = 0
    keeps = True

    def __init__(self) -> None:
        self._assembler = wire.Assembler()
        self._expected: set[int] = set()

    def expect(self, number: int, frame: bytes) -> None:
        """A request of this number goes out."""
        self._expected.add(number)

    def feed(self, data: bytes) -> list[Said]:
        """Take bytes; what was answered with them. Raises AnswerTrouble."""
        self._assembler.feed(data)
        found = []
        try:
            while (frame := self._assembler.take()) is not None:
                message = wire.decode_message(frame)
                if isinstance(message, wire.Answer) and message.request_id in self._expected:
                    self._expected.remove(message.request_id)
                    found.append(Said(message.request_id, message))
        except wire.WireError as error:
            raise AnswerTrouble(str(error)) from error
        return found


class FakeWire:
    """What is written, and what answers mean (`OrderWire`)."""

    connections = 1
    idle_ns = 0
    cancels_at_once = 1
    placement_cost = budget.PLACEMENT
    connection_cost: Cost = MappingProxyType({})

    def __init__(self, receive_window_ns: int) -> None:
        self.receive_window_ns = receive_window_ns

    def number(self, client_id: str, revision: int) -> int:
        """The number of the request that writes one (client id, revision); unique within an epoch."""
        return request_id(client_id, revision)

    def objection(self, intent: r.Intent, wall_ns: int) -> str:
        """Nothing: the fake venue says itself what it does not take."""
        return ""

    def forbidden_now(self, intent: r.Intent, wall_ns: int, standing: Standing) -> str:
        """Nothing, as of `objection`."""
        return ""

    def least_order(self, symbol: str, side: Side, ticks: int, wall_ns: int) -> tuple[int, int]:
        """Every price is one that it takes; how many lots it wants at least stands in its listings."""
        return ticks, 1

    def placement(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        """The frame of a new order."""
        order = wire.NewOrder(
            client_id=intent.client_id,
            revision=intent.revision,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            tif=intent.tif,
            reduce_only=intent.reduce_only,
            ticks=intent.ticks,
            lots=intent.lots,
        )
        return wire.encode(
            wire.Place(
                request_id=request_id(intent.client_id, 0),
                sign_ns=sign_wall_ns,
                receive_window_ns=self.receive_window_ns,
                nonce=f"{intent.client_id}.{intent.revision}",
                order=order,
            )
        )

    def amendment(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        """The frame of a change of price and total size."""
        return wire.encode(
            wire.Amend(
                request_id=request_id(intent.client_id, intent.revision),
                sign_ns=sign_wall_ns,
                receive_window_ns=self.receive_window_ns,
                nonce=f"{intent.client_id}.{intent.revision}",
                client_id=intent.client_id,
                revision=intent.revision,
                ticks=intent.ticks,
                lots=intent.lots,
            )
        )

    def body(self, frame: bytes) -> bytes:
        """All of it."""
        return frame

    def cancellation(self, orders: Sequence[ToCancel], number: int, sign_wall_ns: int) -> Cancellation:
        """The frame of a cancel of the one order; it may be sent as often as it takes."""
        (order,) = orders
        nonce = f"c{number}.{sign_wall_ns}"
        asked = wire.Cancel(request_id=number, sign_ns=sign_wall_ns, receive_window_ns=0, nonce=nonce, client_id=order.client_id)
        return Cancellation(wire.encode(asked), budget.REQUEST)

    def reader(self) -> FakeReader:
        """A reader for a new connection."""
        return FakeReader()

    def answered(self, answer: object, client_id: str, revision: int, boot_ns: int) -> r.Record:
        """What the answer to a placement or amend says."""
        assert isinstance(answer, wire.Answer)
        return answered(answer, client_id, revision, boot_ns)

    def cancels_answered(self, answer: object, client_ids: Sequence[str], boot_ns: int) -> list[r.CancelAnswered]:
        """What the answer to a cancel says; it is never the end of the order."""
        assert isinstance(answer, wire.Answer)
        return [cancel_answered(answer, client_id, boot_ns) for client_id in client_ids]

    def count(self, meter: Meter, spend: Spend, answer: object, *, asked_ns: int, now_ns: int) -> None:
        """Tell a meter what an answer says of the limits."""
        assert isinstance(answer, wire.Answer)
        budget.take(meter, spend, answer, asked_ns=asked_ns, now_ns=now_ns)


def answered(answer: wire.Answer, client_id: str, revision: int, boot_ns: int) -> r.Record:
    """What the answer to a placement or amend says; anything but a clear yes or a definitive no leaves the outcome unknown."""
    body = answer.body
    if (
        answer.ok
        and isinstance(body, wire.Outcome)
        and (body.client_id, body.revision, body.status, body.code) == (client_id, revision, 200, "")
        and body.state in (OrderState.ACKED, OrderState.OPEN)
        and len(body.venue_order_id) <= LONGEST_TEXT
    ):
        return r.Answered(
            boot_ns=boot_ns, client_id=client_id, revision=revision, state=body.state, venue_order_id=body.venue_order_id, code=""
        )
    if answer.code == wire.Code.DUPLICATE_CLIENT_ID:
        # This request was not taken, but an order has the id, and it is not known which.
        return r.SendUnknown(boot_ns=boot_ns, client_id=client_id, revision=revision, reason=r.DUPLICATE_ID)
    if not answer.ok and answer.code in wire.DEFINITIVE_CODES:
        return r.Answered(
            boot_ns=boot_ns, client_id=client_id, revision=revision, state=OrderState.REJECTED, venue_order_id="", code=answer.code
        )
    reason = f"status {answer.status}, code {answer.code[:LONGEST_TEXT]!r}: not on the list of answers that decide"
    return r.SendUnknown(boot_ns=boot_ns, client_id=client_id, revision=revision, reason=reason)


def cancel_answered(answer: wire.Answer, client_id: str, boot_ns: int) -> r.CancelAnswered:
    """What the answer to a cancel says; it is never the end of the order."""
    return r.CancelAnswered(boot_ns=boot_ns, client_id=client_id, accepted=answer.ok, code=answer.code[:LONGEST_TEXT])


def reported(view: wire.OrderView, source: str, boot_ns: int) -> r.Reported:
    """An order as the venue shows it. A state that an order at a venue cannot have is passed on, and there is evidence of nothing."""
    return r.Reported(
        boot_ns=boot_ns,
        client_id=view.client_id,
        venue_order_id=view.venue_order_id,
        state=view.state if view.state in _STATES else OrderState.UNKNOWN,
        filled_lots=view.filled_lots,
        lots=view.lots,
        source=source,
        code=view.code,
        venue_ns=view.updated_ns,
    )


def executed(execution: wire.Execution, venue: str, account: str, boot_ns: int) -> r.Record | None:
    """An execution, or its taking back; None for one whose fee is no number, which must be read again."""
    if execution.reversed:
        return r.FillReversed(boot_ns=boot_ns, venue=venue, account=account, symbol=execution.symbol, trade_id=execution.trade_id)
    fee = amount(execution.fee)
    if fee is None:
        return None
    return r.Filled(
        boot_ns=boot_ns,
        venue=venue,
        account=account,
        symbol=execution.symbol,
        trade_id=execution.trade_id,
        client_id=execution.client_id,
        side=execution.side,
        ticks=execution.ticks,
        lots=execution.lots,
        liquidity=execution.liquidity,
        fee=fee,
        fee_currency=execution.fee_currency,
        venue_ns=execution.venue_ns,
    )


def booked(entry: wire.LedgerEntry, venue: str, account: str, boot_ns: int) -> r.LedgerEvent | None:
    """A change of a balance; None for a kind or an amount that makes no sense, which reconciliation will find."""
    value = amount(entry.amount)
    # What is foreign is for the gate to say, by its own list.
    if value is None or entry.kind not in set(r.LedgerKind) or entry.kind == r.LedgerKind.FOREIGN:
        return None
    return r.LedgerEvent(
        boot_ns=boot_ns,
        kind=r.LedgerKind(entry.kind),
        venue=venue,
        account=account,
        venue_id=entry.venue_id,
        currency=entry.currency,
        amount=value,
        symbol=entry.symbol,
        venue_ns=entry.venue_ns,
    )


def amount(text: str) -> Decimal | None:
    """The number that a text says; None if it says none that is finite, or one with so many digits that no venue means it."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    if not value.is_finite() or len(text) > LONGEST_TEXT:
        return None
    return value if abs(value.adjusted()) <= MOST_DIGITS else None
