"""The stream that every engine replays: `interlock.simulate.synthetic`, generated once and kept on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interlock.market.columns import RowKind
from interlock.simulate.synthetic import SNAPSHOT_LEVELS, generate

SEED = 20240601
LEVEL_SETS = 2_000_000
GENERATOR = 1
"""Raise it whenever the generated rows change: it names the cached file."""

_TRADE = int(RowKind.TRADE)
_CACHE = Path(__file__).parent / ".cache"


@dataclass(frozen=True, slots=True)
class Stream:
    """A generated stream on disk, and what is in it."""

    path: Path
    rows: int
    snapshot_rows: int
    level_sets: int
    trades: int


def stream(level_sets: int = LEVEL_SETS, seed: int = SEED) -> Stream:
    """Return the stream with `level_sets` level sets after the snapshot, generated unless it is in the cache."""
    path = _CACHE / f"stream-v{GENERATOR}-{seed}-{level_sets}.npy"
    if not path.exists():
        _CACHE.mkdir(exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, generate(level_sets, seed))
        partial.replace(path)
    rows = np.load(path, mmap_mode="r")
    trades = int(np.count_nonzero(rows["kind"] == _TRADE))
    snapshot = 2 * SNAPSHOT_LEVELS
    return Stream(path, len(rows), snapshot, len(rows) - snapshot - trades, trades)
