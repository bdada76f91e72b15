"""The floor: read the stream's memory once and do nothing with it.

Modes: `words` sums the rows as 64-bit words, which is the memory bandwidth; `fields` sums the fields that a replay
needs one row at a time, which is the least that any loop over rows can cost.
"""

from typing import Any

import numpy as np

from benchmarks.engines import protocol
from interlock.market.compiled import compiled

Array = np.ndarray[Any, Any]


@compiled()
def sum_words(words: Array) -> np.uint64:
    """Sum an array of u8, modulo 2**64."""
    total = np.uint64(0)
    for i in range(words.shape[0]):
        total += words[i]
    return total


@compiled()
def sum_fields(rows: Array) -> np.int64:
    """Sum both clocks, price, size, kind and side of all rows."""
    total = np.int64(0)
    for i in range(rows.shape[0]):
        row = rows[i]
        total += row.exchange_ns + row.receive_ns + row.ticks + row.lots + row.kind + row.side
    return total


def main() -> None:
    """Measure one mode."""
    asked = protocol.arguments(["words", "fields"])
    rows = protocol.load(asked)
    scan, data = (sum_words, rows.view(np.uint64)) if asked.mode == "words" else (sum_fields, rows)
    scan(data[:10])
    first_event_s = protocol.since(asked.spawned_ns)
    run_s, outcome = protocol.timed_runs(asked.runs, lambda: data, scan, lambda *_: protocol.Outcome())
    protocol.report(
        asked,
        engine="scan",
        events=len(rows),
        run_s=run_s,
        outcome=outcome,
        first_event_s=first_event_s,
        packages=["numpy", "numba"],
    )


if __name__ == "__main__":
    main()
