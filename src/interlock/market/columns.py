"""The columns of a tape: one structured row type for every kind of market event.

A row is 40 bytes. Rows lie in **receive order**: by (receive_ns, venue, instrument, sequence); instruments are numbered by
(venue, symbol), so the instrument number carries the venue order. The exchange order is a permutation beside them.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

TAPE_VERSION = 1


class RowKind(IntEnum):
    """What a row says. `lots` and `ticks` mean what the kind says."""

    DEPTH = 0
    """A level is set: `lots` is its whole new size, 0 deletes it; `side` +1 bid, -1 ask."""
    TRADE = 1
    """A trade of `lots` at `ticks`; `side` is the aggressor's."""
    TOP = 2
    """The venue's own best level of `side` (bookTicker); a check on the book, not part of it."""
    CLEAR = 3
    """The book of the instrument is emptied: a snapshot follows in the next rows of the same time."""
    MARK = 4
    """The mark price is `ticks`."""
    FUNDING_NEXT = 5
    """The predicted funding rate is `lots` in units of 1e-12, published now for the next settlement."""
    FUNDING = 6
    """Funding settles now at rate `lots` in units of 1e-12, on mark price `ticks` (0: use the last mark)."""
    BAR_OPEN = 7
    """A bar that ends now opened at `ticks`. Its rows come together: OPEN, HIGH, LOW, CLOSE."""
    BAR_HIGH = 8
    """The bar's highest trade price."""
    BAR_LOW = 9
    """The bar's lowest trade price."""
    BAR_CLOSE = 10
    """The bar's last price; `lots` is its volume. The bar is complete with this row."""
    BLOCK_TRADE = 11
    """A trade that does not touch the book's queue (block or retail-price-improvement trade)."""
    STATUS = 12
    """`lots` 1: the venue takes orders; 0: it does not."""


ROW = np.dtype(
    [
        ("exchange_ns", "<i8"),
        ("receive_ns", "<i8"),
        ("ticks", "<i8"),
        ("lots", "<i8"),
        ("frame", "<u4"),
        ("instrument", "<u2"),
        ("kind", "u1"),
        ("side", "i1"),
    ]
)
"""One market event. exchange_ns: the venue's own time of the event; receive_ns: when it reached us (corrected, see the
tape's clock entry); frame: row number in the frame index."""

FRAME = np.dtype(
    [
        ("receive_ns", "<i8"),
        ("offset", "<u8"),
        ("length", "<u4"),
        ("file", "<u2"),
        ("pad", "<u2"),
        ("line", "<u4"),
        ("rows", "<u4"),
        ("first_row", "<u8"),
        ("first_update", "<u8"),
        ("last_update", "<u8"),
        ("previous_update", "<u8"),
    ]
)
"""One raw frame. offset and length: bytes within the decompressed source file; file and line (from 1) within it; rows: how many
rows it gave, the first of them `first_row` in the tape; update ids as the venue numbers them, 0 where it has none;
receive_ns as recorded, uncorrected."""

assert ROW.itemsize == 40
