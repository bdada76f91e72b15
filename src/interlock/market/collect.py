"""Rows and frames while they are collected: compact arrays, no Python object per row.

A frame gives blocks of rows that share everything but price and size, so a block is noted once and spread over its rows at the end.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from interlock.market.columns import FRAME, ROW, RowKind
from interlock.market.tape import Rows

_FRAME_FIELDS = ("receive_ns", "offset", "length", "file", "line", "first_update", "last_update", "previous_update")
_BLOCK_FIELDS = ("frame", "exchange_ns", "receive_ns", "instrument", "kind", "side")


class RowCollector:
    """Collects frames and blocks of rows; `finish` makes the arrays."""

    def __init__(self) -> None:
        self.frame_count = 0
        self._frames = array("q")
        self._blocks = array("q")
        self._ticks = array("q")
        self._lots = array("q")

    def frame(self, receive_ns: int, offset: int, length: int, file: int, line: int) -> int:
        """Note a raw frame; returns its number."""
        self._frames.extend((receive_ns, offset, length, file, line, 0, 0, 0))
        self.frame_count += 1
        return self.frame_count - 1

    def updates(self, frame: int, first: int, last: int, previous: int) -> None:
        """Note the update ids of a frame."""
        at = frame * len(_FRAME_FIELDS) + 5
        self._frames[at : at + 3] = array("q", (first, last, previous))

    def block(
        self,
        head: tuple[int, int, int, int],
        kind: RowKind,
        side: int,
        ticks: Iterable[int],
        lots: Iterable[int],
    ) -> None:
        """Add rows of one kind and side. head: frame number, exchange_ns, receive_ns, instrument number."""
        before = len(self._ticks)
        self._ticks.extend(ticks)
        self._lots.extend(lots)
        count = len(self._ticks) - before
        if count:
            self._blocks.extend((*head, kind, side, count))

    def one(self, head: tuple[int, int, int, int], kind: RowKind, side: int, ticks: int, lots: int) -> None:
        """Add one row."""
        self._ticks.append(ticks)
        self._lots.append(lots)
        self._blocks.extend((*head, kind, side, 1))

    def finish(self, instrument_numbers: npt.NDArray[np.int64]) -> tuple[Rows, Rows]:
        """(rows, frames). `instrument_numbers` maps the numbers used while collecting to the final ones."""
        rows = np.zeros(len(self._ticks), ROW)
        rows["ticks"] = _numbers(self._ticks)
        rows["lots"] = _numbers(self._lots)
        blocks = _numbers(self._blocks).reshape(-1, len(_BLOCK_FIELDS) + 1)
        counts = blocks[:, -1]
        for column, name in enumerate(_BLOCK_FIELDS):
            values = blocks[:, column]
            rows[name] = np.repeat(instrument_numbers[values] if name == "instrument" else values, counts)
        frames = np.zeros(self.frame_count, FRAME)
        noted = _numbers(self._frames).reshape(-1, len(_FRAME_FIELDS))
        for column, name in enumerate(_FRAME_FIELDS):
            frames[name] = noted[:, column]
        return rows, frames


def _numbers(values: array[int]) -> npt.NDArray[np.int64]:
    return np.frombuffer(values, np.int64) if len(values) else np.zeros(0, np.int64)
