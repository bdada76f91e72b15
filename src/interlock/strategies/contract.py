"""The contract of a strategy kernel: what it may read, what it writes, and its one signature.

A kernel is a compiled function `(view, books, depth, orders, params, state, now_ns, intents) -> n`. It reads the moment (`VIEW`), its own
view of the books (`interlock.market.book.BOOK` with the ladders in `depth`) and of its orders (`ORDER`), keeps whatever it likes in
`state` (float64), and writes up to `len(intents)` intents. It knows nothing of modes, venues' wires or clocks: replay, paper and live call
the same machine code.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, types

from interlock.market.book import BOOK

VIEW = np.dtype(
    [
        ("now_ns", "i8"),
        ("wake", "i8"),
        ("orders_high", "i8"),
        ("instruments", "i8"),
        ("also_wake", "i8"),
    ],
    align=True,
)
"""The moment of a decision. wake: the WAKE_ bits that led to it; orders_high: slots at or above it are free; also_wake: WAKE_ bits that the
kernel may set to be woken by them too, until its next decision."""

ORDER = np.dtype(
    [
        ("seq", "i8"),
        ("status", "i8"),
        ("tag", "i8"),
        ("instrument", "i8"),
        ("side", "i8"),
        ("tif", "i8"),
        ("ticks", "i8"),
        ("lots", "i8"),
        ("leaves_lots", "i8"),
        ("decided_ns", "i8"),
        ("decision_twice", "i8"),
        ("reduce_only", "i8"),
    ],
    align=True,
)
"""One order slot as the strategy's side knows it. status: STATUS_; leaves_lots: not yet filled; decision_twice: our mid at the decision."""

INTENT = np.dtype(
    [
        ("kind", "i8"),
        ("slot", "i8"),
        ("instrument", "i8"),
        ("side", "i8"),
        ("tif", "i8"),
        ("ticks", "i8"),
        ("lots", "i8"),
        ("tag", "i8"),
        ("reduce_only", "i8"),
    ],
    align=True,
)
"""What a kernel wants: PLACE a new order, CANCEL the one in `slot`, or REPLACE it: cancel and place, both or neither sent."""

PLACE, CANCEL, REPLACE = 1, 2, 3

TIF_GTC, TIF_IOC, TIF_FOK, TIF_POST_ONLY = 0, 1, 2, 3

STATUS_FREE, STATUS_SENT, STATUS_OPEN, STATUS_CANCELLING = 0, 1, 2, 3

WAKE_FRAME = 1
"""Every frame of market data."""
WAKE_PRICE = 2
"""A best price changed."""
WAKE_SIZE = 4
"""A best price or its size changed."""
WAKE_TRADE = 8
"""A trade was seen."""
WAKE_ACCEPTED = 16
"""An order was accepted by the venue."""
WAKE_FILL = 32
"""An order filled, in part or whole."""
WAKE_ENDED = 256
"""An order was rejected or expired."""
WAKE_CANCELLED = 512
"""An order was cancelled as we asked."""
WAKE_RESPONSES = WAKE_ACCEPTED | WAKE_FILL | WAKE_ENDED | WAKE_CANCELLED
"""Any answer of a venue. Decided at once, or at the next frame of market data if the replay says so (hftbacktest's feed-driven loop)."""
WAKE_TIMER = 64
"""The timer's period passed."""
WAKE_BAR = 128
"""A bar completed, or funding was published or settled."""


def records(dtype: np.dtype[np.void], *, readonly: bool = False) -> types.Array:
    """The numba type of a one-dimensional array of a record type."""
    return types.Array(from_dtype(dtype), 1, "C", readonly=readonly)


INT_ARRAY = types.Array(types.int64, 1, "C")
FLOAT_ARRAY = types.Array(types.float64, 1, "C")

KERNEL = types.int64(records(VIEW), records(BOOK), INT_ARRAY, records(ORDER), FLOAT_ARRAY, FLOAT_ARRAY, types.int64, records(INTENT))
"""The one signature of a strategy kernel: (view, books, depth, orders, params, state, now_ns, intents) -> number of intents."""

KERNEL_TYPE = types.FunctionType(KERNEL)
