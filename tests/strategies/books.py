"""Hand-made arrays of the kernel contract: what a strategy is shown, written down instead of replayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from interlock.market.book import BOOK, FAR
from interlock.strategies.contract import INTENT, ORDER, STATUS_OPEN, VIEW

Array = np.ndarray[Any, Any]
Levels = Mapping[int, int]
"""Lots by price in ticks."""


@dataclass(frozen=True)
class Intent:
    """One intent as plain numbers."""

    kind: int
    slot: int
    instrument: int
    side: int
    tif: int
    ticks: int
    lots: int
    tag: int


def stack(*sides: tuple[Levels, Levels]) -> tuple[Array, Array]:
    """Books and their ladders from (bids, asks) of each instrument. Prices lie on a grid of one tick."""
    books = np.zeros(len(sides), BOOK)
    ladders: list[Array] = []
    at = 0
    for k, (bids, asks) in enumerate(sides):
        prices = [*bids, *asks]
        base = min(prices, default=0)
        cells = max(prices, default=0) - base + 1
        book = books[k]
        ladder = np.zeros((2, cells), np.int64)
        for row, levels in enumerate((bids, asks)):
            for ticks, lots in levels.items():
                ladder[row, ticks - base] = lots
        book["bids_at"], book["asks_at"], book["cells"] = at, at + cells, cells
        book["base_ticks"], book["cell_ticks"] = base, 1
        book["bid_cell"], book["ask_cell"] = -FAR, FAR
        if bids:
            best = max(bids)
            book["bid_cell"], book["bid_ticks"], book["bid_lots"] = best - base, best, bids[best]
        if asks:
            best = min(asks)
            book["ask_cell"], book["ask_ticks"], book["ask_lots"] = best - base, best, asks[best]
        if bids and asks:
            book["mid_twice"] = max(bids) + min(asks)
        book["trading"], book["min_lots"], book["max_lots"], book["step_ticks"] = 1, 1, 1 << 53, 1
        book["price_unit"] = book["lot_unit"] = book["base_unit"] = 1.0
        ladders.append(ladder.reshape(-1))
        at += 2 * cells
    return books, np.concatenate(ladders)


class Desk:
    """One kernel with its own orders and state, asked for decisions one after another."""

    def __init__(self, kernel: Any, params: Array, state_size: int) -> None:
        self.kernel = kernel
        self.params = params
        self.state = np.zeros(state_size, np.float64)
        self.orders = np.zeros(64, ORDER)
        self.orders["tag"] = -1
        self.view = np.zeros(1, VIEW)

    def holds(self, intent: Intent, *, decided_ns: int = 0, status: int = STATUS_OPEN, leaves_lots: int | None = None) -> int:
        """Put an order into the next slot as if it had been sent and answered; returns the slot."""
        slot = int(self.view[0]["orders_high"])
        order = self.orders[slot]
        order["seq"], order["status"], order["tag"] = slot + 1, status, intent.tag
        order["instrument"], order["side"], order["tif"] = intent.instrument, intent.side, intent.tif
        order["ticks"], order["lots"] = intent.ticks, intent.lots
        order["leaves_lots"] = intent.lots if leaves_lots is None else leaves_lots
        order["decided_ns"] = decided_ns
        self.view[0]["orders_high"] = slot + 1
        return slot

    def decide(self, books: Array, depth: Array, now_ns: int = 0) -> list[Intent]:
        """What the kernel wants now."""
        intents = np.zeros(64, INTENT)
        n = self.kernel(self.view, books, depth, self.orders, self.params, self.state, now_ns, intents)
        return [Intent(*(int(intent[name]) for name in Intent.__dataclass_fields__)) for intent in intents[:n]]
