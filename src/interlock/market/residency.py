"""Let go of tape pages that a replay has passed, so that its memory does not grow with the tape."""

from __future__ import annotations

import mmap

import numpy as np


class Passed:
    """Advises the system that rows before a position are not needed any more. Does nothing for arrays that lie in plain memory.

    Only advice: rows that are read again come back from the file.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows
        self._map = _mapping(rows)
        self._dropped = 0
        if self._map is not None:
            start = np.frombuffer(self._map, np.uint8).__array_interface__["data"][0]
            self._offset = rows.__array_interface__["data"][0] - start

    def up_to(self, row: int) -> None:
        """Rows before `row` have been read for the last time (for now)."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        end = (self._offset + row * self._rows.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
        if end > self._dropped:
            self._map.madvise(mmap.MADV_DONTNEED, self._dropped, end - self._dropped)
            self._dropped = end


def _mapping(rows: np.ndarray) -> mmap.mmap | None:
    """The file mapping that an array views, if any."""
    base: object = rows
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
