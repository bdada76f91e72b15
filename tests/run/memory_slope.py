"""How much memory processes hold over time, and how fast that grows: private bytes read from the kernel, and a line through them by least squares."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MB = 2**20
HOUR_S = 3_600.0
_PRIVATE = re.compile(rb"^Private_(?:Clean|Dirty):\s+(\d+) kB$", re.MULTILINE)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The slope of the line with the least sum of squares through (x, y). Raises ValueError for fewer than two different x."""
    n = len(points)
    if len({x for x, _ in points}) < 2:
        raise ValueError(f"least squares: expected at least two different times, found {n} points of {len({x for x, _ in points})}")
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


def private_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """What a process holds alone, written or not; None where there is no such process any more. What it shares with others is none of its growth."""
    try:
        text = (proc / str(pid) / "smaps_rollup").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return sum(int(kb) for kb in _PRIVATE.findall(text)) * 1024


@dataclass
class Course:
    """The memory of processes by name: (seconds, bytes)."""

    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def look(self, at_s: float, pids: Mapping[str, int]) -> None:
        """One sample of each process that is still there."""
        for name, pid in pids.items():
            held = private_bytes(pid)
            if held is not None:
                self.points.setdefault(name, []).append((at_s, float(held)))

    def mb_an_hour(self, from_s: float) -> dict[str, float]:
        """The growth of each process since a time, by least squares."""
        return {
            name: slope([(at, held) for at, held in points if at >= from_s]) * HOUR_S / MB for name, points in sorted(self.points.items())
        }
