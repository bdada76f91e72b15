"""The memory of a replay: every record that the compiled code reads or writes, and the `World` that holds them.

Units are in the names, as in `interlock.market.book`. Each instrument has two books: the exchange's own, and ours, later by the latency of
the feed.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types

from interlock.market.book import BOOK, clear_books
from interlock.market.columns import ROW
from interlock.simulate.reasons import REASONS
from interlock.strategies.contract import INTENT, ORDER, VIEW

RESTING = np.dtype(
    [
        ("leaves_lots", "i8"),
        ("cell", "i8"),
        ("arrived_ns", "i8"),
        ("arrival_twice", "i8"),
        ("final_ns", "i8"),
        ("reason", "i8"),
        ("front_lots", "f8"),
        ("traded_lots", "f8"),
    ],
    align=True,
)
"""The exchange's side of an order slot, which no kernel sees. front_lots: the queue ahead of us; traded_lots: trades at our price since
the last depth update, which the power model must not count twice; leaves_lots 0: the order is not at the exchange (any more)."""

LIVE = np.dtype([("slot", "i8"), ("side", "i8"), ("cell", "i8")], align=True)
"""One of our orders that rests at the exchange; by instrument, in time priority."""

VENUE = np.dtype(
    [
        ("order_ns", "i8"),
        ("cancel_ns", "i8"),
        ("response_ns", "i8"),
        ("latency_mode", "i8"),
        ("feed_multiple", "f8"),
        ("feed_latency_ns", "i8"),
        ("last_order_ns", "i8"),
        ("last_cancel_ns", "i8"),
        ("last_response_ns", "i8"),
        ("samples_at", "i8"),
        ("samples_block", "i8"),
        ("samples_blocks", "i8"),
        ("sample_next", "i8"),
        ("sample_left", "i8"),
        ("rate_low", "i8"),
        ("rate_high", "i8"),
        ("track_rate", "i8"),
        ("rate_window_ns", "i8"),
        ("rate_from_ns", "i8"),
        ("rate_count", "i8"),
        ("rate", "i8"),
        ("overload_rate", "f8"),
        ("overload_slope", "f8"),
        ("overload_max", "f8"),
        ("limit_a", "i8"),
        ("window_a_ns", "i8"),
        ("until_a_ns", "i8"),
        ("used_a", "i8"),
        ("limit_b", "i8"),
        ("window_b_ns", "i8"),
        ("until_b_ns", "i8"),
        ("used_b", "i8"),
        ("reserve_a", "i8"),
        ("reserve_b", "i8"),
        ("place_weight", "i8"),
        ("cancel_weight", "i8"),
        ("cash", "f8"),
        ("reserved_cash", "f8"),
        ("check_funds", "i8"),
        ("margin", "i8"),
        ("peak_margin", "f8"),
    ],
    align=True,
)
"""One venue: latencies, message budgets (two fixed windows), overload, and the account's quote currency. `cash` is a float for the
venue's own checks alone; results are accounted exactly from the fills."""

LATENCY_CONSTANT, LATENCY_FEED, LATENCY_BOOTSTRAP = 0, 1, 2

MESSAGE = np.dtype(
    [
        ("due_ns", "i8"),
        ("kind", "i8"),
        ("slot", "i8"),
        ("seq", "i8"),
        ("venue", "i8"),
        ("instrument", "i8"),
        ("lots", "i8"),
        ("ticks", "i8"),
    ],
    align=True,
)
"""A request to a venue or a response from it, on the wire until due_ns."""

REQUEST_PLACE, REQUEST_CANCEL = 1, 2
RESPONSE_ACCEPTED, RESPONSE_FILL, RESPONSE_CANCELLED, RESPONSE_EXPIRED, RESPONSE_REJECTED, RESPONSE_UNKNOWN = 1, 2, 3, 4, 5, 6
"""UNKNOWN: a cancel came for an order that has not arrived yet."""

STEP = np.dtype([("first_ticks", "i8"), ("step_ticks", "i8"), ("instrument", "i8")], align=True)
"""From first_ticks on, prices of the instrument are multiples of step_ticks; by (instrument, first_ticks)."""

TIER = np.dtype([("instrument", "i8"), ("max_notional", "f8"), ("initial", "f8"), ("maintenance", "f8")], align=True)

TAKEN = np.dtype([("instrument", "i8"), ("side", "i8"), ("cell", "i8"), ("lots", "i8")], align=True)
"""Lots of a level that we took and that the feed has not yet shown refreshed. side: of the level."""

FILL = np.dtype(
    [
        ("exchange_ns", "i8"),
        ("seq", "i8"),
        ("tag", "i8"),
        ("instrument", "i4"),
        ("side", "i2"),
        ("maker", "i2"),
        ("ticks", "i8"),
        ("lots", "i8"),
        ("mid_twice", "i8"),
        ("arrival_twice", "i8"),
        ("decision_twice", "i8"),
        ("decided_ns", "i8"),
        ("position_lots", "i8"),
    ],
    align=True,
)
"""An execution at the exchange. mid_twice: the exchange's mid just before it; arrival_twice: when the order arrived; decision_twice: the
strategy's mid when it decided; position_lots: signed, after the fill."""

ORDER_RECORD = np.dtype(
    [
        ("seq", "u4"),
        ("arrived_after_us", "u4"),
        ("tag", "i8"),
        ("ticks", "i8"),
        ("lots", "i8"),
        ("filled_lots", "i8"),
        ("decided_ns", "i8"),
        ("final_ns", "i8"),
        ("instrument", "u2"),
        ("side", "i1"),
        ("tif", "u1"),
        ("final_state", "u1"),
        ("reason", "u1"),
        ("pad", "u2"),
    ],
    align=True,
)
"""An order that ended, as the strategy's side learned it; 64 bytes, because a replay writes one for every order. arrived_after_us: from the
decision to the arrival at the exchange, NEVER_ARRIVED if it was still under way; final_state: FINAL_; reason: a code of
`simulate.reasons`."""

NEVER_ARRIVED = 0xFFFFFFFF

FINAL_FILLED, FINAL_CANCELLED, FINAL_EXPIRED, FINAL_REJECTED, FINAL_OPEN_AT_END = 1, 2, 3, 4, 5

SAMPLE = np.dtype(
    [
        ("exchange_ns", "i8"),
        ("instrument", "i8"),
        ("position_lots", "i8"),
        ("bid_ticks", "i8"),
        ("ask_ticks", "i8"),
        ("mid_twice", "i8"),
        ("own_bid_ticks", "i8"),
        ("own_ask_ticks", "i8"),
    ],
    align=True,
)
"""One instrument at one second of exchange time; own_*: our best resting quotes there, 0 if none."""

FUNDING_PAYMENT = np.dtype(
    [("exchange_ns", "i8"), ("instrument", "i8"), ("position_lots", "i8"), ("mark_twice", "i8"), ("rate", "i8")], align=True
)
"""A settlement that we held a position through. rate in units of 1e-12; positive means longs pay."""

CONTROL = np.dtype(
    [
        ("exchange_row", "i8"),
        ("local_row", "i8"),
        ("stop_row", "i8"),
        ("now_ns", "i8"),
        ("next_seq", "i8"),
        ("wake_mask", "i8"),
        ("pending_wake", "i8"),
        ("timer_period_ns", "i8"),
        ("next_timer_ns", "i8"),
        ("sample_period_ns", "i8"),
        ("next_sample_ns", "i8"),
        ("request_head", "i8"),
        ("request_tail", "i8"),
        ("response_head", "i8"),
        ("response_tail", "i8"),
        ("taken_n", "i8"),
        ("fills_n", "i8"),
        ("orders_n", "i8"),
        ("samples_n", "i8"),
        ("fundings_n", "i8"),
        ("stop", "i8"),
        ("local_fills", "i8"),
        ("submitted", "i8"),
        ("decisions", "i8"),
        ("queue_model", "i8"),
        ("queue_power", "f8"),
        ("partial_fills", "i8"),
        ("self_match", "i8"),
        ("track_feed", "i8"),
        ("response_waits", "i8"),
        ("max_open_orders", "i8"),
        ("instruments", "i8"),
        ("venues", "i8"),
        ("steps", "i8"),
        ("tiers", "i8"),
        ("rng", "u8"),
    ],
    align=True,
)
"""Where the replay stands, and the choices that hold for all of it."""

QUEUE_RISK_AVERSE, QUEUE_POWER, QUEUE_TRADE_THROUGH = 0, 1, 2

STOP_NONE, STOP_FULL, STOP_LIQUIDATED, STOP_OVERFLOW = 0, 1, 2, 3

RAN_OUT, AT_WAKE, AT_BLOCK, STOPPED = 0, 1, 2, 3
"""Why the loop returned: the tape is done; a decision is due; the block is done; `Control.stop` says why."""


INSTRUMENTS = 32
VENUES = 8
STEPS = 512
TIERS = 512
ORDER_SLOTS = 64
LIVE_ORDERS = 64
INTENTS = 64
MESSAGES = 1024
TAKEN_LEVELS = 1024
LATENCY_SAMPLES = 1 << 15
RECORDS = 1 << 18
"""Capacities. The memory is one block of fixed shape, so that compiled code reaches everything from one pointer."""


def memory_dtype(*, order_slots: int, live_orders: int, messages: int, records: int) -> np.dtype[np.void]:
    """All state of a matching model but the market data, the price ladders and what belongs to a kernel, for given capacities.

    `live_orders`: of ours that can rest in one instrument; `messages`: under way at once, a power of two; `records`: kept of each kind.
    """
    return np.dtype(
        [
            ("control", CONTROL),
            ("moment", VIEW, (1,)),
            ("venues", VENUE, (VENUES,)),
            ("exchange_books", BOOK, (INSTRUMENTS,)),
            ("books", BOOK, (INSTRUMENTS,)),
            ("orders", ORDER, (order_slots,)),
            ("resting", RESTING, (order_slots,)),
            ("live", LIVE, (INSTRUMENTS, live_orders + 1)),
            ("requests", MESSAGE, (messages,)),
            ("responses", MESSAGE, (messages,)),
            ("intents", INTENT, (INTENTS,)),
            ("counts", "i8", (REASONS,)),
            ("steps", STEP, (STEPS,)),
            ("tiers", TIER, (TIERS,)),
            ("taken", TAKEN, (TAKEN_LEVELS,)),
            ("latencies", "i8", (LATENCY_SAMPLES,)),
            ("fills", FILL, (records,)),
            ("order_records", ORDER_RECORD, (records,)),
            ("samples", SAMPLE, (records,)),
            ("fundings", FUNDING_PAYMENT, (records,)),
        ],
        align=True,
    )


MEMORY = memory_dtype(order_slots=ORDER_SLOTS, live_orders=LIVE_ORDERS, messages=MESSAGES, records=RECORDS)
"""The memory of a replay."""

MEMORY_TYPE = from_dtype(MEMORY)

ROWS = types.Array(from_dtype(ROW), 1, "C", readonly=True, aligned=False)
ROW_NUMBERS = types.Array(types.uint32, 1, "C", readonly=True)


def _blocks(cells: int, recycle: World | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The memory block, the exchange's and our ladders of a new world, zeroed but for the record buffers, whose counters say what is valid."""
    if recycle is None:
        return np.zeros(1, MEMORY), np.zeros(cells, np.int64), np.zeros(cells, np.int64)
    ladders = [recycle.exchange_depth, recycle.depth]
    for n, books in enumerate((recycle.exchange_books, recycle.books)):
        if len(ladders[n]) == cells:
            clear_books(books, ladders[n])
        else:
            ladders[n] = np.zeros(cells, np.int64)
    assert MEMORY.fields is not None
    recycle.memory.view(np.uint8)[: MEMORY.fields["fills"][1]] = 0
    return recycle.memory, ladders[0], ladders[1]


class World:
    """One replay's memory as Python sees it: views by name into the block, the tape, the ladders, the kernel's arrays.

    Nothing else holds state. The views are arrays, also where there is one record (`control[0]`). `recycle` is a world whose run is over and
    whose outcome nobody reads any more: its memory is used again, because memory that was never touched is slow to touch.
    """

    def __init__(
        self,
        rows: np.ndarray,
        exchange_order: np.ndarray,
        cells: int,
        instruments: int,
        params: np.ndarray,
        state: np.ndarray,
        recycle: World | None = None,
    ) -> None:
        self.rows = rows
        self.exchange_order = exchange_order
        self.params = params
        self.state = state
        self.memory, self.exchange_depth, self.depth = _blocks(cells, recycle)
        self.control = self.memory["control"]
        self.moment = self.memory["moment"][0]
        self.venues = self.memory["venues"][0]
        self.exchange_books = self.memory["exchange_books"][0][:instruments]
        self.books = self.memory["books"][0][:instruments]
        self.orders = self.memory["orders"][0]
        self.resting = self.memory["resting"][0]
        self.requests = self.memory["requests"][0]
        self.responses = self.memory["responses"][0]
        self.intents = self.memory["intents"][0]
        self.counts = self.memory["counts"][0]
        self.steps = self.memory["steps"][0]
        self.tiers = self.memory["tiers"][0]
        self.latencies = self.memory["latencies"][0]
        self.fills = self.memory["fills"][0]
        self.order_records = self.memory["order_records"][0]
        self.samples = self.memory["samples"][0]
        self.fundings = self.memory["fundings"][0]
        self.control["instruments"] = instruments
        self.orders["tag"] = -1
        # What the compiled entry points take, in order.
        self.core = (self.memory, self.rows, self.exchange_order, self.exchange_depth, self.depth)
        self.kernel_side = (self.moment, self.books, self.orders, self.params, self.state, self.intents)

    @property
    def words(self) -> memoryview:
        """The memory as int64 words: the fastest way for plain Python to read and write it (see `word_of`)."""
        return self.memory.view(np.int64).data.cast("B").cast("q")


def word_of(block: str, index: int, field: str) -> int:
    """The place of an int64 field in `World.words`: `word_of("books", 0, "bid_ticks")`. Raises KeyError for unknown names."""
    fields = MEMORY.fields
    assert fields is not None
    dtype, offset = fields[block][:2]
    record = dtype.base
    assert record.fields is not None
    return int(offset + index * record.itemsize + record.fields[field][1]) // 8


def span_of(block: str) -> tuple[int, int]:
    """(place in `World.words` of the first record of a block, words from each record to the next). Raises KeyError for unknown names."""
    fields = MEMORY.fields
    assert fields is not None
    dtype, offset = fields[block][:2]
    return int(offset) // 8, dtype.base.itemsize // 8
