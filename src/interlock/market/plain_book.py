"""A book of dicts and heaps: slow beside the compiled one, and written to be seen to be right. For checks."""

from __future__ import annotations

import heapq


class PlainBook:
    """Levels of two sides, ticks to lots; a heap a side finds the best, levels that are gone are skipped when they surface."""

    def __init__(self) -> None:
        self._levels: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._heaps: tuple[list[int], list[int]] = ([], [])

    def clear(self) -> None:
        """Empty both sides."""
        for levels, heap in zip(self._levels, self._heaps, strict=True):
            levels.clear()
            heap.clear()

    def set(self, side: int, ticks: int, lots: int) -> None:
        """Set a level's whole size; 0 deletes it, deleting an unknown level changes nothing. side: +1 bid, -1 ask."""
        index = 0 if side > 0 else 1
        levels = self._levels[index]
        if lots == 0:
            levels.pop(ticks, None)
            return
        if ticks not in levels:
            heapq.heappush(self._heaps[index], -ticks if index == 0 else ticks)
        levels[ticks] = lots

    def top(self) -> tuple[int, int, int, int]:
        """(bid ticks, bid lots, ask ticks, ask lots); zeros for an empty side."""
        return (*self._best(0), *self._best(1))

    def levels(self, side: int) -> dict[int, int]:
        """The levels of a side, ticks to lots."""
        return dict(self._levels[0 if side > 0 else 1])

    def _best(self, index: int) -> tuple[int, int]:
        levels, heap = self._levels[index], self._heaps[index]
        while heap:
            ticks = -heap[0] if index == 0 else heap[0]
            if ticks in levels:
                return ticks, levels[ticks]
            heapq.heappop(heap)
        return 0, 0
