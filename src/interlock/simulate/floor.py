"""The trading floor of a simulated venue: the matching model of the replay, driven one event or request at a time.

It is the same compiled code with room for more orders. It matches and nothing else: who may trade, funds, margin and what a venue answers are the
business of whoever owns the floor. Our orders do not move the market (docs/model.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import numpy as np

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind, ceiling
from interlock.domain.orders import Side, TimeInForce
from interlock.market.book import BOOK, FAR
from interlock.market.columns import ROW
from interlock.market.compiled import compiled
from interlock.simulate import exchange
from interlock.simulate.layout import (
    INSTRUMENTS,
    QUEUE_RISK_AVERSE,
    REQUEST_CANCEL,
    REQUEST_PLACE,
    RESPONSE_CANCELLED,
    RESPONSE_EXPIRED,
    RESPONSE_REJECTED,
    STOP_NONE,
    memory_dtype,
)
from interlock.simulate.reasons import Reason
from interlock.strategies.contract import TIF_FOK, TIF_GTC, TIF_IOC, TIF_POST_ONLY

ORDER_SLOTS: Final = 4096
LIVE_ORDERS: Final = 1024
_MESSAGES: Final = 4096
MEMORY: Final = memory_dtype(order_slots=ORDER_SLOTS, live_orders=LIVE_ORDERS, messages=_MESSAGES, records=2 * _MESSAGES)

REACH: Final = Decimal("0.5")
"""How far from its first price an instrument's ladder reaches, as a fraction of that price."""
MAX_CELLS: Final = 1 << 20

_TIFS: Final = {
    TimeInForce.GTC: TIF_GTC,
    TimeInForce.IOC: TIF_IOC,
    TimeInForce.FOK: TIF_FOK,
    TimeInForce.POST_ONLY: TIF_POST_ONLY,
}


@compiled()
def _apply(memory: Any, depth: Any, rows: Any) -> None:
    world = memory[0]
    for i in range(rows.shape[0]):
        exchange.on_row(world, depth, rows[i])


@compiled()
def _request(memory: Any, depth: Any) -> None:
    exchange.on_request(memory[0], depth)


@dataclass(frozen=True, slots=True)
class Filled:
    """An execution of `lots` of the order in `slot` at `ticks`."""

    slot: int
    ticks: int
    lots: int
    maker: bool


@dataclass(frozen=True, slots=True)
class Ended:
    """The order in `slot` is over, with whatever it filled before; `reason` is the model's."""

    slot: int
    reason: Reason


Happened = Filled | Ended
Levels = list[tuple[int, int]]
"""(ticks, lots), best first."""


class Floor:
    """The instruments of one venue and our orders in them. Instruments go by their place in the sequence given.

    `around` is the price around which an instrument's ladder is laid; levels farther than REACH of it are not kept. Raises UsageError for too many
    instruments or a ladder that would be too long.
    """

    def __init__(self, instruments: Sequence[Instrument], around: Mapping[str, Decimal], day: date) -> None:
        if len(instruments) > INSTRUMENTS:
            raise UsageError(f"a venue's floor holds at most {INSTRUMENTS} instruments, found {len(instruments)}")
        self.instruments = tuple(instruments)
        self._memory = np.zeros(1, MEMORY)
        self._control = self._memory["control"][0]
        self._books = self._memory["exchange_books"][0]
        self._orders = self._memory["orders"][0]
        self._resting = self._memory["resting"][0]
        self._requests = self._memory["requests"][0]
        self._responses = self._memory["responses"][0]
        self._fills = self._memory["fills"][0]
        self._free = list(range(ORDER_SLOTS - 1, -1, -1))
        self._seq = 0
        self._slots: dict[int, int] = {}
        self._lowest_bid = np.full(len(instruments), FAR, np.int64)
        self._highest_ask = np.zeros(len(instruments), np.int64)
        cells = 0
        steps: list[tuple[int, int, int]] = []
        for k, instrument in enumerate(instruments):
            cells = self._lay(k, instrument, around[instrument.symbol], cells, day)
            steps += [(first, step, k) for first, step in instrument.step_table(day)]
        self._depth = np.zeros(cells, np.int64)
        self._memory["steps"][0][: len(steps)] = steps
        control = self._control
        control["instruments"], control["venues"], control["steps"] = len(instruments), 1, len(steps)
        control["queue_model"], control["partial_fills"], control["rng"] = QUEUE_RISK_AVERSE, 1, 1
        control["next_sample_ns"] = FAR
        # Nothing rests yet, so this changes nothing; it has requests compiled now, not while the first client waits for its answer.
        self.cancel(0, 0)

    def _lay(self, k: int, instrument: Instrument, around: Decimal, cells: int, day: date) -> int:
        low = instrument.round_price(max(instrument.min_price, around * (1 - REACH)), Side.BUY, day)
        high = instrument.round_price(min(instrument.max_price, around * (1 + REACH)), Side.SELL, day)
        step = instrument.ladder_step(low, high, day)
        low -= low % step
        count = (high - low) // step + 1
        if count > MAX_CELLS:
            raise UsageError(f"{instrument.key}: expected at most {MAX_CELLS} price steps around {around}, found {count}")
        book = np.zeros((), BOOK)
        book["bids_at"], book["asks_at"], book["cells"] = cells, cells + count, count
        book["base_ticks"], book["cell_ticks"] = low, step
        book["bid_cell"], book["ask_cell"] = -FAR, FAR
        book["own_bid_low"] = book["own_ask_low"] = FAR
        book["own_bid_high"] = book["own_ask_high"] = -FAR
        book["is_spot"], book["trading"] = instrument.kind is Kind.SPOT, 1
        book["min_lots"], book["max_lots"] = 1, 1 << 53
        book["min_ticks"] = ceiling(instrument.min_price, instrument.quantum)
        book["max_ticks"] = int(instrument.max_price // instrument.quantum)
        book["price_unit"], book["lot_unit"] = float(instrument.quantum), float(instrument.lot)
        self._books[k] = book
        self._memory["books"][0][k] = book
        return cells + 2 * int(count)

    def ladder(self, k: int) -> tuple[int, int]:
        """The lowest and highest tick that the ladder of an instrument holds."""
        book = self._books[k]
        low = int(book["base_ticks"])
        return low, low + (int(book["cells"]) - 1) * int(book["cell_ticks"])

    def rows(self, rows: np.ndarray) -> list[Happened]:
        """Let market events happen; rows of dtype ROW, by time. Levels outside of a ladder are left out."""
        inside = np.ones(len(rows), bool)
        for k in range(len(self.instruments)):
            low, high = self.ladder(k)
            step = int(self._books[k]["cell_ticks"])
            inside &= (
                (rows["instrument"] != k)
                | (rows["kind"] != 0)
                | ((rows["ticks"] >= low) & (rows["ticks"] <= high) & ((rows["ticks"] - low) % step == 0))
            )
        kept = np.ascontiguousarray(rows[inside], ROW)
        self._note_edges(kept)
        _apply(self._memory, self._depth, kept)
        return self._happened()

    def place(
        self, k: int, *, side: Side, tif: TimeInForce, ticks: int, lots: int, reduce_only: bool, now_ns: int
    ) -> tuple[int, list[Happened]]:
        """A new order arrives; returns its slot and what follows at once. Raises UsageError when no more orders can be held."""
        if not self._free or int(self._books[k]["live_n"]) >= LIVE_ORDERS:
            raise UsageError(f"the floor holds at most {ORDER_SLOTS} orders, {LIVE_ORDERS} of them in one instrument")
        slot = self._free.pop()
        self._seq += 1
        self._slots[self._seq] = slot
        order = self._orders[slot]
        order["seq"], order["instrument"], order["side"] = self._seq, k, int(side)
        order["tif"], order["ticks"], order["lots"], order["reduce_only"] = _TIFS[tif], ticks, lots, int(reduce_only)
        return slot, self._ask(REQUEST_PLACE, k, slot, now_ns)

    def cancel(self, slot: int, now_ns: int) -> list[Happened]:
        """Take an order that rests off the floor; nothing happens if it is over."""
        return self._ask(REQUEST_CANCEL, int(self._orders[slot]["instrument"]), slot, now_ns)

    def shrink(self, slot: int, lots: int) -> None:
        """Make an order that rests smaller by `lots`, which keeps its place in the queue. Raises UsageError if nothing would be left."""
        resting = self._resting[slot]
        if not 0 <= lots < resting["leaves_lots"]:
            raise UsageError(f"expected to take off less than the {resting['leaves_lots']} lots that are left, found {lots}")
        resting["leaves_lots"] -= lots
        self._orders[slot]["lots"] -= lots

    def free(self, slot: int) -> None:
        """Give back the slot of an order that is over."""
        del self._slots[int(self._orders[slot]["seq"])]
        self._free.append(slot)

    def leaves_lots(self, slot: int) -> int:
        """What of the order in a slot can still execute."""
        return int(self._resting[slot]["leaves_lots"])

    def set_position(self, k: int, lots: int) -> None:
        """Say what is held in an instrument after something that the floor did not see; reduce-only orders go by it."""
        self._books[k]["position_lots"] = lots

    def position(self, k: int) -> int:
        """What is held in an instrument, signed lots."""
        return int(self._books[k]["position_lots"])

    def set_trading(self, k: int, trading: bool) -> None:
        """Let the market of an instrument take orders, or not."""
        self._books[k]["trading"] = int(trading)

    def levels(self, k: int, count: int) -> tuple[Levels, Levels]:
        """The best bids and asks that the market shows, at most `count` a side."""
        book = self._books[k]
        return self._side(k, book, 1, count), self._side(k, book, -1, count)

    def _note_edges(self, rows: np.ndarray) -> None:
        """Remember how far from the price levels were ever shown: beyond, nothing need be looked for."""
        depth = rows[(rows["kind"] == 0) & (rows["lots"] > 0)]
        bids, asks = depth[depth["side"] > 0], depth[depth["side"] < 0]
        np.minimum.at(self._lowest_bid, bids["instrument"], bids["ticks"])
        np.maximum.at(self._highest_ask, asks["instrument"], asks["ticks"])

    def _side(self, k: int, book: Any, side: int, count: int) -> Levels:
        best = int(book["bid_cell"] if side > 0 else book["ask_cell"])
        cells = int(book["cells"])
        if not 0 <= best < cells:
            return []
        at = int(book["bids_at"] if side > 0 else book["asks_at"])
        ladder = self._depth[at : at + cells]
        base, step = int(book["base_ticks"]), int(book["cell_ticks"])
        if side > 0:
            part = ladder[min((int(self._lowest_bid[k]) - base) // step, best) : best + 1][::-1]
        else:
            part = ladder[best : max((int(self._highest_ask[k]) - base) // step, best) + 1]
        found: Levels = []
        # Levels lie close to the best: look at a stretch that grows until it holds enough.
        stretch = 4 * count
        while True:
            offsets = np.flatnonzero(part[:stretch])[:count]
            if len(offsets) == count or stretch >= len(part):
                break
            stretch *= 8
        for offset in offsets:
            found.append((base + (best - side * int(offset)) * step, int(part[offset])))
        return found

    def _ask(self, kind: int, k: int, slot: int, now_ns: int) -> list[Happened]:
        control = self._control
        head = int(control["request_head"])
        self._requests[head & (_MESSAGES - 1)] = (now_ns, kind, slot, self._orders[slot]["seq"], 0, k, 0, 0)
        control["request_tail"] = head + 1
        _request(self._memory, self._depth)
        return self._happened()

    def _happened(self) -> list[Happened]:
        control = self._control
        events: list[Happened] = [
            Filled(self._slots[int(fill["seq"])], int(fill["ticks"]), int(fill["lots"]), bool(fill["maker"]))
            for fill in self._fills[: int(control["fills_n"])]
        ]
        control["fills_n"] = control["fundings_n"] = 0
        for at in range(int(control["response_head"]), int(control["response_tail"])):
            message = self._responses[at & (_MESSAGES - 1)]
            if message["kind"] in (RESPONSE_CANCELLED, RESPONSE_EXPIRED, RESPONSE_REJECTED):
                events.append(Ended(int(message["slot"]), Reason(int(message["ticks"]))))
        control["response_head"] = control["response_tail"]
        if control["stop"] != STOP_NONE:
            raise UsageError(f"the floor's memory is full (stop {int(control['stop'])}): fewer orders at once, or fewer levels taken")
        return events
