"""A book in memory: one record of its top and facts, and two price ladders in a shared array of lots.

A *cell* is an index into a ladder: (ticks - base_ticks) / cell_ticks. An empty side has its best cell at -FAR (bids) or FAR (asks) and 0
in its ticks and lots. Units are in the names: `_ticks` price quanta, `_lots` quantity lots, `_twice` twice a price in ticks (so that a
mid is exact), `_unit` a float factor to quote currency.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interlock.market.compiled import compiled, unsigned

FAR = 1 << 61
"""A time or cell beyond all others."""

BOOK = np.dtype(
    [
        # the ladder: depth[bids_at + cell] and depth[asks_at + cell] are lots
        ("bids_at", "i8"),
        ("asks_at", "i8"),
        ("cells", "i8"),
        ("base_ticks", "i8"),
        ("cell_ticks", "i8"),
        ("bid_cell", "i8"),
        ("ask_cell", "i8"),
        # the top of it; ticks and lots are 0 while a side is empty
        ("bid_ticks", "i8"),
        ("ask_ticks", "i8"),
        ("bid_lots", "i8"),
        ("ask_lots", "i8"),
        ("mid_twice", "i8"),
        ("last_trade_ticks", "i8"),
        ("mark_twice", "i8"),
        ("exchange_ns", "i8"),
        ("receive_ns", "i8"),
        # the bar that completed last (instruments of bars only)
        ("bar_open", "i8"),
        ("bar_high", "i8"),
        ("bar_low", "i8"),
        ("bar_close", "i8"),
        ("bar_lots", "i8"),
        ("bar_count", "i8"),
        ("bar_ns", "i8"),
        # funding in units of 1e-12: the prediction published for the next settlement, and the last one settled
        ("funding_next", "i8"),
        ("funding_known", "i8"),
        ("funding_last", "i8"),
        ("funding_last_ns", "i8"),
        # what we have and what could still fill, as this side of the wire knows it
        ("position_lots", "i8"),
        ("open_buy_lots", "i8"),
        ("open_sell_lots", "i8"),
        ("open_orders", "i8"),
        # fixed facts of the instrument
        ("venue", "i8"),
        ("is_bars", "i8"),
        ("is_spot", "i8"),
        ("trading", "i8"),
        ("min_lots", "i8"),
        ("max_lots", "i8"),
        ("min_ticks", "i8"),
        ("max_ticks", "i8"),
        ("max_position_lots", "i8"),
        ("step_ticks", "i8"),
        ("band_first_ticks", "i8"),
        ("band_end_ticks", "i8"),
        ("price_unit", "f8"),
        ("lot_unit", "f8"),
        ("base_unit", "f8"),
        ("min_notional", "f8"),
        ("maker_rate", "f8"),
        ("taker_rate", "f8"),
        # of the exchange's own book only: our orders that rest in it and the cells they span, and takings not yet refreshed
        ("live_n", "i8"),
        ("own_bid_low", "i8"),
        ("own_bid_high", "i8"),
        ("own_ask_low", "i8"),
        ("own_ask_high", "i8"),
        ("taken_n", "i8"),
        ("reserved_lots", "i8"),
        ("funding_paid", "f8"),
        ("collar_millionths", "i8"),
        ("participation_millionths", "i8"),
    ],
    align=True,
)
"""One instrument's book on one side of the wire. price_unit: quote currency for one tick; lot_unit: instrument units for one lot;
base_unit: base asset for one lot (multiplier applied); step_ticks: the price unit in force at the
current mid, valid from band_first_ticks up to but not including band_end_ticks."""

UNCHANGED, SIZE_CHANGED, PRICE_CHANGED = 0, 1, 2


@compiled(inline=True)
def cell_of(book: Any, ticks: int) -> int:
    """The ladder cell of a price; may lie outside the ladder."""
    offset = ticks - book.base_ticks
    if book.cell_ticks == 1:
        return offset
    return offset // book.cell_ticks


@compiled(inline=True)
def lots_at(book: Any, depth: Any, side: int, cell: int) -> int:
    """Lots at a cell of a side, 0 outside the ladder."""
    if cell < 0 or cell >= book.cells:
        return 0
    if side > 0:
        return depth[unsigned(book.bids_at + cell)]
    return depth[unsigned(book.asks_at + cell)]


@compiled(inline=True)
def set_level(book: Any, depth: Any, side: int, cell: int, lots: int) -> int:
    """Set a level of the book; returns what changed at the top: UNCHANGED, SIZE_CHANGED or PRICE_CHANGED."""
    # Both sides run the same instructions: which side comes next cannot be predicted, so a branch on it would cost more.
    bid_cell = book.bid_cell
    ask_cell = book.ask_cell
    bids_at = book.bids_at
    asks_at = book.asks_at
    at = bids_at if side > 0 else asks_at
    best = bid_cell if side > 0 else ask_cell
    depth[unsigned(at + cell)] = lots
    better = (cell - best) * side
    if better < 0 or (better > 0 and lots == 0):
        return UNCHANGED
    if better == 0:
        if lots > 0:
            return SIZE_CHANGED
        cells = book.cells
        cell -= side
        while 0 <= cell < cells and depth[unsigned(at + cell)] == 0:
            cell -= side
        if cell < 0 or cell >= cells:
            cell = -side * FAR
    book.bid_cell = cell if side > 0 else bid_cell
    book.ask_cell = ask_cell if side > 0 else cell
    return PRICE_CHANGED


@compiled(inline=True)
def refresh_side(book: Any, depth: Any, side: int) -> None:
    """Write one side's best price and size, and the mid, from the best cells. The mid keeps its last value while a side is empty."""
    # As in set_level, both sides run the same instructions.
    bid_ticks = book.bid_ticks
    ask_ticks = book.ask_ticks
    bid_lots = book.bid_lots
    ask_lots = book.ask_lots
    bids_at = book.bids_at
    asks_at = book.asks_at
    bid_cell = book.bid_cell
    ask_cell = book.ask_cell
    cell = bid_cell if side > 0 else ask_cell
    ticks = 0
    lots = 0
    if 0 <= cell < book.cells:
        ticks = book.base_ticks + cell * book.cell_ticks
        lots = depth[(bids_at if side > 0 else asks_at) + cell]
    bid_ticks = ticks if side > 0 else bid_ticks
    ask_ticks = ask_ticks if side > 0 else ticks
    book.bid_ticks = bid_ticks
    book.ask_ticks = ask_ticks
    book.bid_lots = lots if side > 0 else bid_lots
    book.ask_lots = ask_lots if side > 0 else lots
    if bid_ticks != 0 and ask_ticks != 0:
        book.mid_twice = bid_ticks + ask_ticks


@compiled(inline=True)
def refresh_top(book: Any, depth: Any) -> None:
    """Write both sides' best prices and sizes, and the mid."""
    refresh_side(book, depth, 1)
    refresh_side(book, depth, -1)


@compiled(inline=True)
def refresh_mid(book: Any) -> None:
    """Write only the mid, from the best cells; it keeps its last value while a side is empty."""
    if book.bid_cell >= 0 and book.ask_cell < FAR:
        book.mid_twice = 2 * book.base_ticks + (book.bid_cell + book.ask_cell) * book.cell_ticks


@compiled()
def clear(book: Any, depth: Any) -> None:
    """Empty both ladders; the mid keeps its last value."""
    # Only what is set is written: most of a wide ladder was never touched and need not become real memory.
    for cell in range(book.bid_cell, -1, -1):
        if depth[unsigned(book.bids_at + cell)] != 0:
            depth[unsigned(book.bids_at + cell)] = 0
    for cell in range(book.ask_cell, book.cells):
        if depth[unsigned(book.asks_at + cell)] != 0:
            depth[unsigned(book.asks_at + cell)] = 0
    book.bid_cell = -FAR
    book.ask_cell = FAR
    book.bid_ticks = 0
    book.ask_ticks = 0
    book.bid_lots = 0
    book.ask_lots = 0


@compiled()
def clear_books(books: Any, depth: Any) -> None:
    """Empty the ladders of several books."""
    for k in range(books.shape[0]):
        clear(books[k], depth)
