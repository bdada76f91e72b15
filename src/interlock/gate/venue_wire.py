"""How the gate's orders are written to a real venue, and what its answers mean, whichever way they go: an order is one request, one frame, written
once. `venue_http_wire` and `venue_socket_wire` are the two ways.

The nonce of a request comes from the order that it writes and not from chance: one (client id, revision) has one nonce for ever, and no other has it.
Only what the venue lists as definitive says that there is no order; the venue's `errors` decide that, by status and code.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.ids import EPOCH_WIDTH, SEQUENCE_WIDTH, TAG_WIDTH
from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.order_wire import Cancellation, ToCancel
from interlock.gate.venue_bounds import NOTHING_KNOWN, Standing
from interlock.venues.binance_usdm import budgets as binance_budgets
from interlock.venues.binance_usdm import rules as binance_rules
from interlock.venues.budget import Cost, Meter, Spend
from interlock.venues.bybit import rules as bybit_rules
from interlock.venues.endpoint import Endpoint
from interlock.venues.metering import Metering, metering_of, take_refused, take_told
from interlock.venues.port import Accepted, Ask, End, Heard, OrderVerbs, OrderWanted, Refused, Stamp
from interlock.venues.request import Call, Key, Method
from interlock.venues.trouble import Doing, Explained, Trouble
from interlock.venues.upbit import budgets as upbit_budgets
from interlock.venues.upbit import rules as upbit_rules

REVISIONS: Final = 1 << 20
"""Request numbers keep so many revisions of one order apart."""
LONGEST_TEXT: Final = 64
CONNECTIONS: Final = 2
_SEOUL: Final = timezone(timedelta(hours=9))


class _Traits:
    """What differs between the venues, so far as orders are concerned."""

    def __init__(
        self,
        check: Callable[[OrderWanted, date, Standing], str],
        *,
        zone: timezone,
        expires: bool,
        cancels_at_once: int,
        placement: Ask,
    ) -> None:
        self.check = check
        self.zone = zone
        self.expires = expires
        self.cancels_at_once = cancels_at_once
        self.placement = placement


def _placement(budget: str) -> Ask:
    return Ask(Call(Method.POST, "/"), budget=budget)


_TRAITS: Final[Mapping[str, _Traits]] = {
    "upbit": _Traits(
        lambda order, on, _: upbit_rules.check(order, on=on),
        zone=_SEOUL,
        expires=False,
        cancels_at_once=20,
        placement=_placement(upbit_budgets.ORDER),
    ),
    "binance_usdm": _Traits(
        lambda order, on, now: binance_rules.check(
            order,
            on=on,
            now=binance_rules.Bounds(now.highest_bid_ticks, now.lowest_ask_ticks, most_open=now.most_open),
            position_lots=now.position_lots,
            open_orders=now.open_orders,
        ),
        zone=UTC,
        expires=True,
        cancels_at_once=10,
        placement=_placement(binance_budgets.ORDERS),
    ),
    "bybit": _Traits(
        lambda order, on, now: bybit_rules.check(
            order,
            on=on,
            limit=bybit_rules.PriceLimit(now.highest_bid_ticks, now.lowest_ask_ticks),
            position_lots=now.position_lots,
            open_orders=now.open_orders,
            most_open=now.most_open,
        ),
        zone=UTC,
        expires=True,
        cancels_at_once=10,
        placement=_placement("create"),
    ),
}


class VenueWire(ABC):
    """One account at one venue: what all ways of an `OrderWire` share. `key` signs; `endpoint` is where requests go, and stands in them."""

    connections = CONNECTIONS

    def __init__(self, venue: str, verbs: OrderVerbs, key: Key, endpoint: Endpoint, receive_window_ns: int) -> None:
        self._verbs = verbs
        self._key = key
        self._host = endpoint.authority_host
        self._traits = _TRAITS[venue]
        self._metering: Metering = metering_of(venue)
        self._asks: dict[bytes, Ask] = {}
        """By what an answer calls it: what was asked last, which says what limit the answer speaks of."""
        self._window_ns = receive_window_ns
        self.receive_window_ns = receive_window_ns if self._traits.expires else 0
        self.cancels_at_once = self._traits.cancels_at_once
        self.placement_cost: Cost = self._cost(self._traits.placement)

    @abstractmethod
    def _written(self, asked: Ask, stamp: Stamp) -> tuple[bytes, bytes]:
        """The frame of a request, and what its answer will call it. Raises UsageError for what this way does not take."""

    def _cost(self, asked: Ask) -> Cost:
        """What a request takes of the venue's limits."""
        return self._metering.cost(asked)

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
        broken = self._traits.check(self._wanted(intent), self._day(wall_ns), NOTHING_KNOWN)
        return f"the venue's rule {broken} is broken" if broken else ""

    def forbidden_now(self, intent: r.Intent, wall_ns: int, standing: Standing) -> str:
        """The name of the venue's rule that an order to which `objection` has none breaks as things stand now: price_limit, max_orders, reduce_only;
        empty if nothing is known against it."""
        return self._traits.check(self._wanted(intent), self._day(wall_ns), standing)

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

    def cancellation(self, orders: Sequence[ToCancel], number: int, sign_wall_ns: int) -> Cancellation:
        """Ask to end orders of one symbol."""
        first = orders[0]
        asked = (
            self._verbs.cancel(first.symbol, client_id=first.client_id)
            if len(orders) == 1
            else self._verbs.cancel_batch(first.symbol, tuple(order.client_id for order in orders))
        )
        nonce = f"cancel.{number}.{first.client_id}.{sign_wall_ns}"
        return Cancellation(self._frame(asked, nonce, sign_wall_ns), self._cost(asked))

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
        reason = f"status {said.status}, code {said.code[:LONGEST_TEXT]!r}: not on the list of answers that decide"
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
        """Tell a meter what an answer to a request of this wire says of the venue's limits, and whether it is a refusal because of the rate."""
        asked, heard = _parts(answer)
        take_told(meter, self._metering, self._asks[asked], heard, asked_ns=asked_ns, now_ns=now_ns)
        said = self._verbs.answered(heard, Doing.CANCEL)
        if isinstance(said, Explained):
            take_refused(meter, self._metering, spend, Refused(said, self._metering.left_alone_ms(heard, said)), now_ns)

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
        frame, name = self._written(asked, stamp)
        self._asks[name] = asked
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
    code = _code(said) if isinstance(said, Explained) else ""
    return r.CancelAnswered(boot_ns=boot_ns, client_id=client_id, accepted=isinstance(said, Accepted), code=code)
