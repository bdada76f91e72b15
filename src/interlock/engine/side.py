"""Our side of the wire while it is live: the very code that a replay runs, fed by connections instead of a tape.

Books, orders, own limits and message budgets are the replay's (`simulate.strategy_side`), in the replay's memory, and the kernel is called as
there. What is different stands here: ladders that follow the price, because there is no tape to measure them by; orders whose outcome the gate
tells; a market in which nothing may be quoted while its feed, the gate or the venue does not allow it.

All of it is a function of what it is given, in the order in which it is given: no clock, no chance. That is what lets a run be decided again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import numpy as np
from numba import types

from interlock.domain.clock import NS_PER_S
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderState
from interlock.engine.edge import EdgeCollapse
from interlock.gate.frames import Followed, OrderNow
from interlock.market.book import FAR
from interlock.market.columns import ROW, RowKind
from interlock.market.compiled import compiled
from interlock.market.ladders import plan_ladders
from interlock.simulate import strategy_side
from interlock.simulate.full import response_event, send_intents
from interlock.simulate.hold import Holds
from interlock.simulate.layout import (
    MEMORY_TYPE,
    MESSAGES,
    REQUEST_CANCEL,
    RESPONSE_ACCEPTED,
    RESPONSE_CANCELLED,
    RESPONSE_EXPIRED,
    RESPONSE_FILL,
    RESPONSE_REJECTED,
    ROWS,
    span_of,
    word_of,
)
from interlock.simulate.settings import ReplaySettings
from interlock.simulate.world import Strategy, build_world
from interlock.strategies.contract import INT_ARRAY, STATUS_FREE, STATUS_SENT, WAKE_PRICE, WAKE_SIZE, WAKE_TIMER

SPAN: Final = 0.06
"""A ladder reaches so far to either side of the price that it was made at, as a fraction."""
DRIFT: Final = 0.03
"""It is made anew when the price is so far from there."""
UNKNOWN_HOLD_NS: Final = 5 * NS_PER_S
"""So long an order of unknown outcome keeps its place among ours. The proof that it never arrived may need a later one to be seen, and none would
ever be made if all places were held. The gate counts it until it is proven, whatever we think of it."""

_MEMORY = types.Array(MEMORY_TYPE, 1, "C")
_ENDED = {
    OrderState.CANCELLED: RESPONSE_CANCELLED,
    OrderState.EXPIRED: RESPONSE_EXPIRED,
    OrderState.REJECTED: RESPONSE_REJECTED,
    OrderState.NOT_SENT: RESPONSE_REJECTED,
    OrderState.ABSENT: RESPONSE_REJECTED,
}
_DEPTH, _CLEAR = int(RowKind.DEPTH), int(RowKind.CLEAR)
_RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})
# A record's field by its name costs plain Python as much as a dozen of these words.
_NOW, _WAKE, _INSTRUMENTS, _ALSO_WAKE = [word_of("moment", 0, name) for name in ("now_ns", "wake", "instruments", "also_wake")]
_REQUEST_HEAD, _REQUEST_TAIL, _ORDERS_N = [word_of("control", 0, name) for name in ("request_head", "request_tail", "orders_n")]
_REQUEST = [word_of("requests", 0, name) for name in ("seq", "kind", "slot")]
_ORDER = [word_of("orders", 0, name) for name in ("instrument", "side", "tif", "ticks", "lots", "reduce_only")]
_REQUEST_WORDS, _ORDER_WORDS = span_of("requests")[1], span_of("orders")[1]
_INSTRUMENT, _STATUS, _LEAVES = [word_of("orders", 0, name) for name in ("instrument", "status", "leaves_lots")]
_RESPONSE_TAIL = word_of("control", 0, "response_tail")
_RESPONSES, _RESPONSE_WORDS = span_of("responses")
_OF_UNKNOWN_OUTCOME = frozenset({OrderState.UNKNOWN, OrderState.QUARANTINED})


class Bar(StrEnum):
    """Why nothing may be quoted in a market."""

    NO_BOOK = "no fresh book"
    NO_PRICE = "no price yet"
    GATE = "the gate does not trade"


@dataclass(frozen=True, slots=True)
class Place:
    """An order to propose. `seq` is ours and never used again."""

    slot: int
    seq: int
    instrument: int
    side: int
    tif: int
    ticks: int
    lots: int
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class TakeBack:
    """An order to cancel, by the id that the gate gave it."""

    client_id: str


Action = Place | TakeBack | EdgeCollapse


@compiled(types.UniTuple(types.int64, 3)(_MEMORY, ROWS, INT_ARRAY, types.int64))  # type: ignore[no-untyped-call]
def take_rows(memory: Any, rows: Any, depth: Any, n: int) -> tuple[int, int, int]:
    """Apply the rows of a frame, at least one; returns (wake bits, instrument of the first row, whether the last is of a book). A level that has no
    cell is left out: the ladder is made anew when the price nears its ends."""
    world = memory[0]
    wake = 0
    for i in range(n):
        row = rows[i]
        book = world.books[row.instrument]
        if row.kind == 0:
            offset = row.ticks - book.base_ticks
            if offset < 0 or offset >= book.cells * book.cell_ticks or offset % book.cell_ticks != 0:
                continue
        wake |= strategy_side.on_row(world, depth, row)
    last = rows[n - 1].kind
    return wake, rows[0].instrument, int(last in (_DEPTH, _CLEAR))


@dataclass(slots=True)
class _Order:
    """What is known of the order in a slot beside its record."""

    slot: int
    seq: int
    client_id: str = ""
    told_filled_lots: int = 0
    take_back: bool = False
    unknown_since_ns: int = 0
    """0 while it is known how it stands."""


class OurSide:
    """Books, orders and kernel of one strategy. `instruments` are numbered by their place.

    Every call gives what is to be done about it, in order. `levels(k)` gives the whole book of an instrument as the feed holds it, ticks to lots,
    bids first: asked for when a ladder is made anew. `epoch_ns` is the time of the first call.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        settings: ReplaySettings,
        strategy: Strategy,
        levels: Any,
        epoch_ns: int,
    ) -> None:
        self.instruments = tuple(instruments)
        self._strategy = strategy
        self._levels = levels
        self._numbers = {(i.venue, i.symbol): k for k, i in enumerate(self.instruments)}
        self._centres = [0] * len(self.instruments)
        self.world = build_world(_span_rows(self.instruments, self._centres, epoch_ns), None, self.instruments, settings, strategy)
        self._words = self.world.words
        self._tops = [(word_of("books", k, "bid_ticks"), word_of("books", k, "ask_ticks")) for k in range(len(self.instruments))]
        self._bars: list[set[Bar]] = [{Bar.NO_BOOK, Bar.NO_PRICE, Bar.GATE} for _ in self.instruments]
        self._orders: dict[int, _Order] = {}
        self._by_id: dict[str, _Order] = {}
        self._early: dict[str, OrderNow] = {}
        """Told of orders whose permit has not reached us yet: it comes by another connection."""
        self._let_go: set[str] = set()
        """Ids of orders that lost their place while nobody knew what had become of them."""
        self._book_ns = [0] * len(self.instruments)
        self._holds = Holds(len(self.instruments))
        self._pending = 0
        self._mask = strategy.wakes
        self._own_mask = strategy.wakes
        self._views: dict[int, np.ndarray] = {}
        self.decisions = 0
        self.denied = 0
        for k in range(len(self.instruments)):
            self._bar(k)

    # What comes in

    def rows(self, rows: np.ndarray, count: int, now_ns: int) -> list[Action]:
        """The rows of one frame of market data. The array may be used again by the caller afterwards."""
        if count == 0:
            return []
        wake, k, of_book = take_rows(self.world.memory, self._read_only(rows), self.world.depth, count)
        self._pending |= wake
        if of_book:
            self._book_ns[k] = now_ns
        bid, ask = (self._words[at] for at in self._tops[k])
        self._follow_price(k, bid, ask, now_ns)
        return self._decide(now_ns)

    def fresh(self, k: int, fresh: bool, now_ns: int) -> list[Action]:
        """Whether the book of an instrument may be used now."""
        return self._change(k, Bar.NO_BOOK, not fresh, now_ns)

    def gate_trades(self, trades: bool, now_ns: int) -> list[Action]:
        """Whether the gate would permit anything: armed, and at a level that lets new orders through."""
        for k in range(len(self.instruments)):
            self._set(k, Bar.GATE, not trades)
        return self._decide(now_ns)

    def timer(self, now_ns: int) -> list[Action]:
        """The strategy's timer rang."""
        self._pending |= WAKE_TIMER
        self._let_unknown_go(now_ns)
        return self._decide(now_ns)

    def permitted(self, seq: int, client_id: str, now_ns: int) -> list[Action]:
        """The gate permitted an order and gave it its id; when it was to be taken back meanwhile, it is now."""
        order = self._of(seq)
        if order is None:
            return [TakeBack(client_id)]
        order.client_id = client_id
        self._by_id[client_id] = order
        k = self._of_slot(order, _INSTRUMENT)
        self._holds.permitted(k)
        found: list[Action] = [TakeBack(client_id)] if order.take_back else []
        early = self._early.pop(client_id, None)
        if early is not None:
            self._tell(order, early, now_ns)
        if not self._undecided():
            self._early.clear()
        return found + self._decide(now_ns)

    def denied_by_gate(self, seq: int, now_ns: int) -> list[Action]:
        """The gate denied an order. Nothing new is proposed in its market for a while, longer each time."""
        self.denied += 1
        order = self._of(seq)
        if order is None:
            return []
        k = self._of_slot(order, _INSTRUMENT)
        self._holds.denied(k, now_ns)
        self._respond(order, RESPONSE_REJECTED, 0, now_ns)
        return self._decide(now_ns)

    def told(self, told: Followed, now_ns: int) -> list[Action]:
        """How orders and positions stand. Orders of which nobody here knows are taken back: they are of an engine before this one."""
        found: list[Action] = []
        for said in told.orders:
            order = self._by_id.get(said.client_id)
            if order is not None:
                self._tell(order, said, now_ns)
            elif said.client_id in self._let_go:
                found += self._found_again(said)
            elif self._undecided():
                self._early[said.client_id] = said
            elif told.whole and not said.state.final and not said.owed:
                found.append(TakeBack(said.client_id))
        if told.whole:
            present = {said.client_id for said in told.orders}
            self._let_go &= present
            for client_id in [one for one in self._by_id if one not in present]:
                # The gate forgets only what has ended long ago.
                self._respond(self._by_id[client_id], RESPONSE_CANCELLED, 0, now_ns)
        for position in told.positions:
            k = self._numbers.get((position.venue, position.symbol))
            if k is not None:
                # The gate's books are the truth: they also know what no order of ours did.
                self.world.books[k]["position_lots"] = position.lots
        self._let_unknown_go(now_ns)
        return found + self._decide(now_ns)

    def forget_undecided(self, now_ns: int) -> list[Action]:
        """The connection to the gate was lost with proposals under way: whether they became orders is not known. All are taken back elsewhere."""
        for order in [one for one in self._orders.values() if not one.client_id]:
            self._respond(order, RESPONSE_REJECTED, 0, now_ns)
        return self._decide(now_ns)

    # What is known

    def bars(self, k: int) -> tuple[Bar, ...]:
        """Why nothing is quoted in an instrument; nothing where it may be."""
        return tuple(sorted(self._bars[k]))

    def top(self, k: int) -> tuple[int, int]:
        """(best bid, best ask) of an instrument as we know it, ticks; 0 where a side is empty."""
        bid, ask = self._tops[k]
        return self._words[bid], self._words[ask]

    def book_ns(self, k: int) -> int:
        """When the book of an instrument changed last; trades and marks are none of it."""
        return self._book_ns[k]

    def position_lots(self, k: int) -> int:
        """What we hold of an instrument, signed lots."""
        return int(self.world.books[k]["position_lots"])

    @property
    def open_orders(self) -> int:
        """Orders that have not ended as far as we know."""
        return len(self._orders)

    # Inside

    def _read_only(self, rows: np.ndarray) -> np.ndarray:
        seen = self._views.get(id(rows))
        if seen is None or seen.base is not rows:
            seen = rows[:]
            seen.flags.writeable = False
            self._views = {id(rows): seen}
        return seen

    def _follow_price(self, k: int, bid: int, ask: int, now_ns: int) -> None:
        """Keep the ladder around the price: made anew at the first book, and when the price has moved far."""
        centre = self._centres[k]
        if centre and bid and ask and abs(bid + ask - 2 * centre) <= 2 * DRIFT * centre:
            return
        bids, asks = self._levels(k)
        if not bids or not asks:
            self._set(k, Bar.NO_PRICE, True)
            return
        best_bid, best_ask = max(bids), min(asks)
        middle = (best_bid + best_ask) // 2
        if abs(middle - centre) > DRIFT * centre or not centre:
            self._centres[k] = middle
            self._lay_out(now_ns)
        self._set(k, Bar.NO_PRICE, not all(self.top(k)))

    def _lay_out(self, now_ns: int) -> None:
        """Make all ladders anew and fill them with what the feeds hold."""
        world = self.world
        ladders = plan_ladders(_span_rows(self.instruments, self._centres, now_ns), self.instruments)
        empty = ladders.empty_books()
        for name in ("bids_at", "asks_at", "cells", "base_ticks", "cell_ticks", "bid_cell", "ask_cell"):
            world.books[name] = empty[name]
        for name in ("bid_ticks", "ask_ticks", "bid_lots", "ask_lots"):
            world.books[name] = 0
        world.depth = np.zeros(ladders.total, np.int64)
        for k in range(len(self.instruments)):
            if not self._centres[k]:
                continue
            bids, asks = self._levels(k)
            rows = np.zeros(len(bids) + len(asks), ROW)
            rows["instrument"], rows["kind"] = k, RowKind.DEPTH
            rows["exchange_ns"] = world.books[k]["exchange_ns"]
            rows["receive_ns"] = world.books[k]["receive_ns"]
            for at, (ticks, lots) in enumerate(bids.items()):
                rows[at]["side"], rows[at]["ticks"], rows[at]["lots"] = 1, ticks, lots
            for at, (ticks, lots) in enumerate(asks.items(), start=len(bids)):
                rows[at]["side"], rows[at]["ticks"], rows[at]["lots"] = -1, ticks, lots
            rows.flags.writeable = False
            self._pending |= take_rows(world.memory, rows, world.depth, len(rows))[0]

    def _change(self, k: int, bar: Bar, standing: bool, now_ns: int) -> list[Action]:
        self._set(k, bar, standing)
        return self._decide(now_ns)

    def _set(self, k: int, bar: Bar, standing: bool) -> None:
        if (bar in self._bars[k]) == standing:
            return
        (self._bars[k].add if standing else self._bars[k].discard)(bar)
        self._bar(k)

    def _bar(self, k: int) -> None:
        trades = int(not self._bars[k])
        if int(self.world.books[k]["trading"]) != trades:
            self.world.books[k]["trading"] = trades
            self._pending |= WAKE_PRICE | WAKE_SIZE

    def _decide(self, now_ns: int) -> list[Action]:
        """Call the kernel if what happened wakes it, and gather what it wants; again for what follows from that."""
        if not self._pending & self._mask:
            return []
        world, words = self.world, self._words
        words[_NOW], words[_WAKE], words[_INSTRUMENTS], words[_ALSO_WAKE] = now_ns, self._pending, len(self.instruments), 0
        self._pending = 0
        self.decisions += 1
        count = self._strategy.kernel(
            world.moment, world.books, world.depth, world.orders, world.params, world.state, now_ns, world.intents
        )
        if count:
            send_intents(world.memory, count, now_ns)
        self._mask = self._own_mask | words[_ALSO_WAKE]
        return self._gather(now_ns) if count else []

    def _gather(self, now_ns: int) -> list[Action]:
        """What our own limits let through, taken off the wire of the replay's memory."""
        words = self._words
        found: list[Action] = []
        refused: list[_Order] = []
        under_way = [
            [words[field + at % MESSAGES * _REQUEST_WORDS] for field in _REQUEST]
            for at in range(words[_REQUEST_HEAD], words[_REQUEST_TAIL])
        ]
        # By number and not as the replay's wire has them, by venue: the gate takes the numbers of proposals only as they rise.
        for seq, kind, slot in sorted(under_way):
            if kind == REQUEST_CANCEL:
                order = self._orders[slot]
                if order.client_id:
                    found.append(TakeBack(order.client_id))
                order.take_back = True
                continue
            order = self._orders[slot] = _Order(slot, seq)
            k, side, tif, ticks, lots, reduce_only = [words[field + slot * _ORDER_WORDS] for field in _ORDER]
            if self._holds.holds(k, now_ns):
                refused.append(order)
                continue
            found.append(Place(slot, seq, k, side, tif, ticks, lots, bool(reduce_only)))
        words[_REQUEST_HEAD] = words[_REQUEST_TAIL]
        words[_ORDERS_N] = 0
        for order in refused:
            self._respond(order, RESPONSE_REJECTED, 0, now_ns)
        # What was held back ourselves is no news that the kernel should act upon at once.
        self._pending = 0
        return found

    def _let_unknown_go(self, now_ns: int) -> None:
        """Free the places of orders whose outcome has been unknown for too long."""
        for order in list(self._orders.values()):
            if order.unknown_since_ns and now_ns - order.unknown_since_ns >= UNKNOWN_HOLD_NS:
                self._let_go.add(order.client_id)
                self._respond(order, RESPONSE_REJECTED, 0, now_ns)

    def _found_again(self, said: OrderNow) -> list[Action]:
        """What is to be done about an order that had lost its place: one that stands after all is taken back."""
        if said.state.final:
            self._let_go.discard(said.client_id)
        return [TakeBack(said.client_id)] if said.state in _RESTS and not said.owed else []

    def _tell(self, order: _Order, said: OrderNow, now_ns: int) -> None:
        """Let the kernel's side learn what the gate knows of an order, as the answers of a venue would have told it."""
        order.unknown_since_ns = (order.unknown_since_ns or now_ns) if said.state in _OF_UNKNOWN_OUTCOME else 0
        more = said.filled_lots - order.told_filled_lots
        if more > 0:
            order.told_filled_lots = said.filled_lots
            leaves = self._of_slot(order, _LEAVES)
            if leaves > 0:
                self._respond(order, RESPONSE_FILL, min(more, leaves), now_ns)
        if self._orders.get(order.slot) is not order:
            return
        if said.state in _RESTS and self._of_slot(order, _STATUS) == STATUS_SENT:
            self._respond(order, RESPONSE_ACCEPTED, 0, now_ns)
        elif said.state is OrderState.FILLED:
            self._respond(order, RESPONSE_CANCELLED, 0, now_ns)  # of what executions have not told of yet
        elif said.state in _ENDED:
            self._respond(order, _ENDED[said.state], 0, now_ns)

    def _respond(self, order: _Order, kind: int, lots: int, now_ns: int) -> None:
        words = self._words
        tail = words[_RESPONSE_TAIL]
        at = _RESPONSES + tail % MESSAGES * _RESPONSE_WORDS
        for said in (now_ns, kind, order.slot, order.seq, 0, self._of_slot(order, _INSTRUMENT), lots, 0):
            words[at] = said
            at += 1
        words[_RESPONSE_TAIL] = tail + 1
        self._pending |= response_event(self.world.memory)
        words[_ORDERS_N] = 0
        if self._of_slot(order, _STATUS) == STATUS_FREE:
            self._orders.pop(order.slot, None)
            self._by_id.pop(order.client_id, None)

    def _of_slot(self, order: _Order, field: int) -> int:
        """A field of the kernel's record of an order."""
        return self._words[field + order.slot * _ORDER_WORDS]

    def _of(self, seq: int) -> _Order | None:
        return next((one for one in self._orders.values() if one.seq == seq), None)

    def _undecided(self) -> bool:
        return any(not one.client_id for one in self._orders.values())


def _span_rows(instruments: Sequence[Instrument], centres: Sequence[int], now_ns: int) -> np.ndarray:
    """Rows that ask for ladders around these prices; of one cell where there is no price yet."""
    rows = np.zeros(2 * len(instruments), ROW)
    for k, centre in enumerate(centres):
        for at, share in ((2 * k, 1 - SPAN), (2 * k + 1, 1 + SPAN)):
            rows[at]["instrument"], rows[at]["kind"], rows[at]["side"] = k, RowKind.DEPTH, 1
            rows[at]["ticks"] = max(round(centre * share), 1)
    day = datetime.fromtimestamp(now_ns // NS_PER_S, UTC).date()
    for k, instrument in enumerate(instruments):
        ends = rows[2 * k : 2 * k + 2]["ticks"]
        # Off the price steps a ladder would be as fine as the greatest common divisor of its ends.
        step = instrument.ladder_step(int(ends[0]), int(ends[1]), day)
        rows[2 * k : 2 * k + 2]["ticks"] = np.maximum(ends // step * step, step)
    rows["exchange_ns"] = rows["receive_ns"] = min(max(now_ns, 1), FAR - 1)
    return rows
