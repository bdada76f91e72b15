"""How wide the price ladders of a tape's instruments must be, and empty books over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.market.book import BOOK, FAR
from interlock.market.compiled import compiled
from interlock.market.residency import Passed

_BLOCK_ROWS = 1 << 16
MAX_CELLS = 1 << 24
"""Cells of one ladder; more means that a tick size is wrong."""


@compiled()
def _bounds(rows: Any, low: Any, high: Any, grid: Any, bars: Any, times: Any) -> None:
    """Per instrument the lowest and highest tick of depth rows, their greatest common divisor, whether it has bars; the range of times."""
    for i in range(rows.shape[0]):
        row = rows[i]
        k = row.instrument
        times[0] = min(times[0], row.exchange_ns, row.receive_ns)
        times[1] = max(times[1], row.exchange_ns, row.receive_ns)
        if row.kind == 0:
            if grid[k] != 1 and (grid[k] == 0 or row.ticks % grid[k] != 0):
                grid[k] = math.gcd(grid[k], row.ticks)
            if row.ticks < low[k]:
                low[k] = row.ticks
            if row.ticks > high[k]:
                high[k] = row.ticks
        elif row.kind == 10:
            bars[k] = 1


@dataclass(frozen=True)
class Ladders:
    """The shape of every instrument's ladder, by instrument number; `day` is the tape's first day, whose price steps hold."""

    base_ticks: np.ndarray
    cell_ticks: np.ndarray
    cells: np.ndarray
    bars: np.ndarray
    day: date

    @property
    def total(self) -> int:
        """Cells of one set of books: both sides of every instrument."""
        return int(2 * self.cells.sum())

    def empty_books(self) -> np.ndarray:
        """Books without levels whose ladders lie in one depth array of `total` cells, bids before asks, instrument after instrument."""
        books = np.zeros(len(self.cells), BOOK)
        ends = np.cumsum(2 * self.cells)
        books["bids_at"] = ends - 2 * self.cells
        books["asks_at"] = books["bids_at"] + self.cells
        for name in ("base_ticks", "cell_ticks", "cells"):
            books[name] = getattr(self, name)
        books["bid_cell"], books["ask_cell"] = -FAR, FAR
        books["own_bid_low"] = books["own_ask_low"] = FAR
        books["own_bid_high"] = books["own_ask_high"] = -FAR
        books["is_bars"] = self.bars
        return books


def plan_ladders(rows: np.ndarray, instruments: Sequence[Instrument]) -> Ladders:
    """Shape the ladders so that every level of the tape and every allowed price between them has a cell.

    Raises UsageError for a tape without rows, times out of range, or levels that span more than MAX_CELLS price steps.
    """
    if len(rows) == 0:
        raise UsageError("the tape has no rows: there is nothing to replay")
    count = len(instruments)
    low = np.full(count, 2**62, np.int64)
    high = np.full(count, -1, np.int64)
    grid = np.zeros(count, np.int64)
    bars = np.zeros(count, np.int64)
    times = np.array([FAR, 0], np.int64)
    passed = Passed(rows)
    for first in range(0, len(rows), _BLOCK_ROWS):
        passed.ahead(first, min(first + _BLOCK_ROWS, len(rows)))
        _bounds(rows[first : first + _BLOCK_ROWS], low, high, grid, bars, times)
        passed.up_to(min(first + _BLOCK_ROWS, len(rows)))
    if times[0] <= 0 or times[1] >= FAR:
        raise UsageError(f"the tape's times: expected nanoseconds between 0 and {FAR}, found {times[0]} to {times[1]}; import it again")
    day = datetime.fromtimestamp(int(rows["exchange_ns"][0]) // 1_000_000_000, UTC).date()
    base = np.where(high >= low, low, 0)
    cell = np.ones(count, np.int64)
    cells = np.ones(count, np.int64)
    for k, instrument in enumerate(instruments):
        if high[k] < low[k]:
            continue
        # Levels may lie off the price steps: orders older than a coarser step.
        cell[k] = math.gcd(instrument.ladder_step(int(low[k]), int(high[k]), day), int(grid[k]))
        cells[k] = (high[k] - low[k]) // cell[k] + 1
        if cells[k] > MAX_CELLS:
            raise UsageError(
                f"{instrument.key}: expected its levels to span at most {MAX_CELLS} price steps, found {cells[k]}; "
                "check the tick size of the instrument, or cut far levels when importing"
            )
    return Ladders(base, cell, cells, bars, day)
