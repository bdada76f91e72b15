"""How the gate's orders are written to a real venue over HTTP, and what its answers mean: an order is one signed request, one frame, written once.

The nonce of a request comes from the order that it writes and not from chance: one (client id, revision) has one nonce for ever, and no other has it.
Only what the venue lists as definitive says that there is no order; the venue's `errors` decide that, by status and code.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.ids import EPOCH_WIDTH, SEQUENCE_WIDTH, TAG_WIDTH
from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.order_wire import AnswerTrouble, Cancellation, Said, ToCancel
from interlock.venues.binance_usdm import budgets as binance_budgets
from interlock.venues.binance_usdm import rules as binance_rules
from interlock.venues.budget import Cost, Meter, Spend
from interlock.venues.bybit import budgets as bybit_budgets
from interlock.venues.bybit import rules as bybit_rules
from interlock.venues.endpoint import Endpoint
from interlock.venues.http_wire import Answers, HttpTrouble, frame_of
from interlock.venues.metering import Metering, metering_of
from interlock.venues.port import Accepted, Ask, End, Heard, OrderVerbs, OrderWanted, Stamp
from interlock.venues.request import Call, Key, Method
from interlock.venues.trouble import Doing, Explained, Trouble
from interlock.venues.upbit import budgets as upbit_budgets
from interlock.venues.upbit import rules as upbit_rules

REVISIONS: Final = 1 << 20
"""Request numbers keep so many revisions of one order apart."""
LONGEST_TEXT: Final = 64
IDLE_NS: Final = 20 * NS_PER_S
"""Venues close a connection on which nothing is asked; what is written into that moment would be of unknown outcome."""
CONNECTIONS: Final = 2
UNNAMED_NS: Final = NS_PER_S
"""How long a venue that limits the rate without naming a time is left alone."""
_SEOUL: Final = timezone(timedelta(hours=9))


class _Traits:
    """What differs between the venues, so far as orders over HTTP are concerned."""

    def __init__(
        self,
        check: Callable[[OrderWanted, date], str],
        *,
        zone: timezone,
        expires: bool,
        cancels_at_once: int,
        left_alone_ms: Callable[[Heard], int],
        placement: Ask,
    ) -> None:
        self.check = check
        self.zone = zone
        self.expires = expires
        self.cancels_at_once = cancels_at_once
        self.left_alone_ms = left_alone_ms
        self.placement = placement


def _placement(budget: str) -> Ask:
    return Ask(Call(Method.POST, "/"), budget=budget)


_TRAITS: Final[Mapping[str, _Traits]] = {
    "upbit": _Traits(
        lambda order, on: upbit_rules.check(order, on=on),
        zone=_SEOUL,
        expires=False,
        cancels_at_once=20,
        left_alone_ms=lambda heard: upbit_budgets.wait_ms(heard.status, heard.headers),
        placement=_placement(upbit_budgets.ORDER),
    ),
    "binance_usdm": _Traits(
        lambda order, on: binance_rules.check(order, on=on),
        zone=UTC,
        expires=True,
        cancels_at_once=10,
        left_alone_ms=lambda heard: binance_budgets.wait_ms(heard.status, heard.headers),
        placement=_placement(binance_budgets.ORDERS),
    ),
    "bybit": _Traits(
        lambda order, on: bybit_rules.check(order, on=on),
        zone=UTC,
        expires=True,
        cancels_at_once=10,
        left_alone_ms=lambda heard: bybit_budgets.wait_ms(heard.headers, _date_ms(heard)),
        placement=_placement("create"),
    ),
}


def _date_ms(heard: Heard) -> int:
    """The venue's time as its header tells it, 0 where it does not."""
    told = heard.headers.get("timenow", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) <= 16 else 0


class HttpAnswers:
    """The answers of one connection (`AnswerReader`): one request is under way at a time."""

    at_once = 1

    def __init__(self) -> None:
        self._answers = Answers()
        self._number = 0
        self._asked = b""

    @property
    def keeps(self) -> bool:
        """Whether more may be asked on the connection."""
        return self._answers.keeps

    def expect(self, number: int, frame: bytes) -> None:
        """A request of this number goes out."""
        self._asked = frame[: frame.index(b" HTTP/1.1\r\n")]
        self._answers.expect(self._asked.partition(b" ")[0].decode("ascii"))
        self._number = number

    def feed(self, data: bytes) -> list[Said]:
        """Take bytes that arrived; the answer once it is whole. Raises AnswerTrouble."""
        try:
            heard = self._answers.feed(data)
        except HttpTrouble as error:
            raise AnswerTrouble(str(error)) from error
        return [] if heard is None else [Said(self._number, (self._asked, heard))]


class HttpOrderWire:
    """One account at one venue (`OrderWire`). `key` signs; `endpoint` is where requests go, and stands in them."""

    connections = CONNECTIONS
    idle_ns = IDLE_NS

    def __init__(self, venue: str, verbs: OrderVerbs, key: Key, endpoint: Endpoint, receive_window_ns: int) -> None:
        self._venue = venue
        self._verbs = verbs
        self._key = key
        self._host = endpoint.authority_host
        self._traits = _TRAITS[venue]
        self._metering: Metering = metering_of(venue)
        self._asks: dict[bytes, Ask] = {}
        """By method and path: what was asked there last, which says what limit an answer speaks of."""
        self._window_ns = receive_window_ns
        self.receive_window_ns = receive_window_ns if self._traits.expires else 0
        self.cancels_at_once = self._traits.cancels_at_once
        self.placement_cost: Cost = self._metering.cost(self._traits.placement)

    def number(self, client_id: str, revision: int) -> int:
        """The number of the request that writes one (client id, revision); unique within an epoch."""
        at = TAG_WIDTH + EPOCH_WIDTH
        return int(client_id[at : at + SEQUENCE_WIDTH], 36) * REVISIONS + revision

    def objection(self, intent: r.Intent, wall_ns: int) -> str:
        """Why the venue would refuse an order for certain, by the instrument's rules as they were listed; empty if nothing is known against it."""
        instrument = self._verbs.instruments.get(intent.symbol)
        if instrument is None:
            return f"{intent.symbol} is not listed"
        try:
            (self._verbs.amend if intent.revision else self._place)(self._wanted(intent), "")
        except UsageError as error:
            return str(error)
        broken = self._traits.check(self._wanted(intent), self._day(wall_ns))
        return f"the venue's rule {broken} is broken" if broken else ""

    def least_order(self, symbol: str, side: Side, ticks: int, wall_ns: int) -> tuple[int, int]:
        """The nearest price on the venue's grid, and what its least notional is there in lots. Raises KeyError for a symbol that is not listed."""
        instrument = self._verbs.instruments[symbol]
        on_grid = instrument.round_price(instrument.price(ticks), side, self._day(wall_ns))
        whole, rest = divmod(instrument.min_notional, instrument.notional(on_grid, 1))
        return on_grid, max(instrument.min_lots, int(whole) + bool(rest))

    def placement(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        """The request of a new order. Raises UsageError for what `objection` objects to."""
        return self._frame(self._verbs.place(self._wanted(intent)), f"{intent.client_id}.{intent.revision}", sign_wall_ns)

    def amendment(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        """The request of a change of price and total size. Raises UsageError for what `objection` objects to."""
        return self._frame(self._verbs.amend(self._wanted(intent), ""), f"{intent.client_id}.{intent.revision}", sign_wall_ns)

    def body(self, frame: bytes) -> bytes:
        """The target of the request and its body, which the simulators' witness hashes: every venue takes the whole order from these."""
        target = frame[: frame.index(b" HTTP/1.1\r\n")].partition(b" ")[2]
        return target + b"\n" + frame.partition(b"\r\n\r\n")[2]

    def cancellation(self, orders: Sequence[ToCancel], number: int, sign_wall_ns: int) -> Cancellation:
        """Ask to end orders of one symbol."""
        first = orders[0]
        asked = (
            self._verbs.cancel(first.symbol, client_id=first.client_id)
            if len(orders) == 1
            else self._verbs.cancel_batch(first.symbol, tuple(order.client_id for order in orders))
        )
        nonce = f"cancel.{number}.{first.client_id}.{sign_wall_ns}"
        return Cancellation(self._frame(asked, nonce, sign_wall_ns), self._metering.cost(asked))

    def reader(self) -> HttpAnswers:
        """A reader for a new connection."""
        return HttpAnswers()

    def answered(self, answer: object, client_id: str, revision: int, boot_ns: int) -> r.Record:
        """What the answer to a placement or amend says."""
        _, heard = _parts(answer)
        said = self._verbs.answered(heard, Doing.AMEND if revision else Doing.PLACE)
        if isinstance(said, Accepted):
            if said.client_id != client_id or len(said.venue_order_id) > LONGEST_TEXT:
                reason = f"accepted another order, {said.client_id[:LONGEST_TEXT]!r}"
                return r.SendUnknown(boot_ns=boot_ns, client_id=client_id, revision=revision, reason=reason)
            state = OrderState.ACKED if said.state is OrderState.ACKED else OrderState.OPEN
            # What it did meanwhile is for executions and the stream to tell.
            return r.Answered(
                boot_ns=boot_ns, client_id=client_id, revision=revision, state=state, venue_order_id=said.venue_order_id, code=""
            )
        if said.trouble is Trouble.DUPLICATE_CLIENT_ID:
            return r.SendUnknown(boot_ns=boot_ns, client_id=client_id, revision=revision, reason=r.DUPLICATE_ID)
        if said.settled:
            return r.Answered(
                boot_ns=boot_ns,
                client_id=client_id,
                revision=revision,
                state=OrderState.REJECTED,
                venue_order_id="",
                code=_code(said),
            )
        reason = f"HTTP {said.status}, code {said.code[:LONGEST_TEXT]!r}: not on the list of answers that decide"
        return r.SendUnknown(boot_ns=boot_ns, client_id=client_id, revision=revision, reason=reason)

    def cancels_answered(self, answer: object, client_ids: Sequence[str], boot_ns: int) -> list[r.CancelAnswered]:
        """What the answer to a cancellation says of each; it is never the end of an order."""
        _, heard = _parts(answer)
        if len(client_ids) == 1:
            return [_of_cancel(self._verbs.answered(heard, Doing.CANCEL), client_ids[0], boot_ns)]
        told = self._verbs.batch_answered(heard, Doing.CANCEL, len(client_ids))
        taken = {one.client_id for one in told if isinstance(one, Accepted)}
        refusals = [one for one in told if isinstance(one, Explained)]
        code = _code(refusals[0]) if refusals else ""
        # Not every venue keeps the order of the request, so only a name tells which was taken.
        return [
            r.CancelAnswered(boot_ns=boot_ns, client_id=one, accepted=one in taken, code="" if one in taken else code) for one in client_ids
        ]

    def count(self, meter: Meter, spend: Spend, answer: object, *, asked_ns: int, now_ns: int) -> None:
        """Tell a meter what an answer says of the venue's limits, and whether it is a refusal because of the rate."""
        asked, heard = _parts(answer)
        ask = self._asks.get(asked.partition(b"?")[0])
        if ask is not None:
            for name, (units, used) in self._metering.told(ask, heard).items():
                meter.told(name, units=units, used=used, reset_in_ns=0, asked_ns=asked_ns, now_ns=now_ns)
        said = self._verbs.answered(heard, Doing.CANCEL)
        if isinstance(said, Explained) and said.trouble is Trouble.RATE_LIMIT:
            for_ns = self._traits.left_alone_ms(heard) * NS_PER_MS or UNNAMED_NS
            meter.refused(spend, for_ns, now_ns, banned=said.status in self._metering.banned)

    def _wanted(self, intent: r.Intent) -> OrderWanted:
        return OrderWanted(
            instrument=self._verbs.instruments[intent.symbol],
            client_id=intent.client_id,
            side=intent.side,
            type=intent.type,
            tif=intent.tif,
            ticks=intent.ticks,
            lots=intent.lots,
            reduce_only=intent.reduce_only,
        )

    def _day(self, wall_ns: int) -> date:
        """The venue's own day, which its price rules change with."""
        return datetime.fromtimestamp(wall_ns // NS_PER_S, self._traits.zone).date()

    def _place(self, order: OrderWanted, _venue_order_id: str) -> Ask:
        return self._verbs.place(order)

    def _frame(self, asked: Ask, nonce: str, sign_wall_ns: int) -> bytes:
        digest = hashlib.sha256(nonce.encode()).digest()
        stamp = Stamp(sign_wall_ns // NS_PER_MS, _as_uuid(digest), self._window_ns // NS_PER_MS)
        frame = frame_of(self._verbs.sign(self._key, asked, stamp), self._host)
        self._asks[f"{asked.call.method.value} {asked.call.path}".encode()] = asked
        return frame


def _as_uuid(digest: bytes) -> str:
    """The first 16 bytes in the form of a UUID of version 4, which Upbit wants of a nonce (RFC 9562, 5.4)."""
    digits = bytearray(digest[:16])
    digits[6], digits[8] = digits[6] & 0x0F | 0x40, digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _parts(answer: object) -> tuple[bytes, Heard]:
    assert isinstance(answer, tuple)
    asked, heard = answer
    assert isinstance(asked, bytes)
    assert isinstance(heard, Heard)
    return asked, heard


def _code(said: Explained) -> str:
    """What a record calls a refusal: the same word for a post-only order that would have taken, however the venue tells it."""
    if said.trouble is Trouble.POST_ONLY_REJECT:
        return End.POST_ONLY.value
    return f"{said.trouble.value} {said.code}".strip()[:LONGEST_TEXT]


def _of_cancel(said: Accepted | Explained, client_id: str, boot_ns: int) -> r.CancelAnswered:
    refused = isinstance(said, Explained)
    return r.CancelAnswered(
        boot_ns=boot_ns, client_id=client_id, accepted=not refused, code=_code(said) if isinstance(said, Explained) else ""
    )
