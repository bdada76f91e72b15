"""Map the tape's pages that a replay reads next and let go of those it has passed, so that its memory does not grow with the tape."""

from __future__ import annotations

import mmap

import numpy as np

MADV_POPULATE_READ = 22
"""Linux 5.14 and newer; the standard library names it only in later Pythons."""


class Passed:
    """Advises the system that rows before a position are not needed any more. Does nothing for arrays that lie in plain memory.

    Only advice: rows that are read again come back from the file.
    """

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows
        self._map = _mapping(rows)
        self._dropped = 0
        self._populates = hasattr(mmap, "MADV_DONTNEED")
        if self._map is not None:
            start = np.frombuffer(self._map, np.uint8).__array_interface__["data"][0]
            self._offset = rows.__array_interface__["data"][0] - start

    def ahead(self, first: int, last: int) -> None:
        """Rows first..last are read next: map their pages in one go, which costs less than a fault for every few of them."""
        if self._map is None or not self._populates:
            return
        start = (self._offset + first * self._rows.itemsize) // mmap.PAGESIZE * mmap.PAGESIZE
        end = self._offset + last * self._rows.itemsize
        try:
            self._map.madvise(MADV_POPULATE_READ, start, end - start)
        except OSError:
            self._populates = False  # an older kernel: the pages come one fault at a time

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
