"""What every engine script takes and gives: the command line, and one JSON line on stdout.

Command line: `--stream FILE --mode NAME --runs N --limit EVENTS --spawned-ns NS`.
Output: one line, the fields of `Report`. Whatever else a library prints must go to stderr.
"""

import argparse
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

Rows = np.ndarray[Any, Any]
"""A structured array of `interlock.market.columns.ROW`, snapshot rows first, in time order."""

S = TypeVar("S")
R = TypeVar("R")

TICK = 0.1
LOT = 0.001
ORDER_LOTS = 10
"""Size of each quote, lots."""
ENTRY_LATENCY_NS = 1_000_000
RESPONSE_LATENCY_NS = 1_000_000
DEPTH = 0
TRADE = 1
"""The two kinds of row that the stream has, as in `interlock.market.columns.RowKind`."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the driver asks of an engine script."""

    stream: Path
    mode: str
    runs: int
    limit: int
    """Rows to take from the stream, snapshot included; 0 for all."""
    spawned_ns: int
    """`time.monotonic_ns()` of the driver just before it started this process."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did; None where the mode trades nothing."""

    orders: int | None = None
    """Orders submitted."""
    fills: int | None = None
    position: int | None = None
    """Final position, lots."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an engine script measured; printed as one JSON line."""

    engine: str
    mode: str
    events: int
    """Rows handled in each run, snapshot included."""
    run_s: list[float]
    orders: int | None
    fills: int | None
    position: int | None
    peak_rss_mb: float
    """Peak resident memory of this process, MiB, over all its runs."""
    first_event_s: float
    """From the start of the process until the first event is, or can at once be, decided on."""
    versions: dict[str, str]

    def emit(self) -> None:
        """Print the report as one JSON line."""
        print(json.dumps(asdict(self)), flush=True)


def arguments(modes: Sequence[str], argv: Sequence[str] | None = None) -> Arguments:
    """Read the command line of an engine script that knows `modes`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--stream", type=Path, required=True)
    parser.add_argument("--mode", choices=modes, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--spawned-ns", type=int, required=True)
    return Arguments(**vars(parser.parse_args(argv)))


def load(asked: Arguments) -> Rows:
    """Read the asked part of the stream into memory."""
    rows: Rows = np.load(asked.stream)
    return rows[: asked.limit].copy() if asked.limit else rows


def snapshot_length(rows: Rows) -> int:
    """Count the opening snapshot's rows: those that share the first row's exchange time."""
    return int(np.searchsorted(rows["exchange_ns"], rows["exchange_ns"][0], side="right"))


def since(spawned_ns: int) -> float:
    """Seconds since the driver started this process; the monotonic clock is one for the whole machine."""
    return (time.monotonic_ns() - spawned_ns) / 1e9


def timed_runs(
    runs: int, prepare: Callable[[], S], run: Callable[[S], R], finish: Callable[[S, R], Outcome]
) -> tuple[list[float], Outcome]:
    """Time `run`, and nothing but it, on `runs` fresh states, whose outcomes must all be the same.

    `prepare` makes a state, `finish` reads the outcome from it and may release what it holds.
    """
    seconds: list[float] = []
    outcomes: list[Outcome] = []
    for _ in range(runs):
        state = prepare()
        start = time.perf_counter()
        result = run(state)
        seconds.append(time.perf_counter() - start)
        outcomes.append(finish(state, result))
    if len(set(outcomes)) != 1:
        raise SystemExit(f"expected one outcome from {runs} runs, found {outcomes}")
    return seconds, outcomes[0]


def peak_rss_mb() -> float:
    """Peak resident memory of this process, MiB.

    The kernel's high-water mark of this address space: `ru_maxrss` also counts the parent from before exec.
    """
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def versions(*packages: str) -> dict[str, str]:
    """Versions of this interpreter and of the installed `packages`."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def report(
    asked: Arguments,
    *,
    engine: str,
    events: int,
    run_s: list[float],
    outcome: Outcome,
    first_event_s: float,
    packages: Sequence[str],
) -> None:
    """Gather what was measured and print it."""
    Report(
        engine=engine,
        mode=asked.mode,
        events=events,
        run_s=run_s,
        orders=outcome.orders,
        fills=outcome.fills,
        position=outcome.position,
        peak_rss_mb=round(peak_rss_mb(), 1),
        first_event_s=round(first_event_s, 4),
        versions=versions(*packages),
    ).emit()


def note(text: str) -> None:
    """Say something to a person without disturbing the JSON line."""
    print(text, file=sys.stderr, flush=True)
