"""Replay: interlock, its peers and the machine's floor on one generated stream, in one go.

Every engine runs in a process of its own, pinned to one core, nothing else of ours beside it. First each engine runs
once alone: its memory and its first event, and whether it works at all. Then come rounds: in each, every engine gets
one process of several timed runs, one after the other, so that a slow minute of the machine hits all of them.
A figure is the median over all runs of all rounds; its spread and the ratio in every single round stand beside it.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, peers
from benchmarks.engines.protocol import Report
from benchmarks.stream import LEVEL_SETS, SEED, Stream, stream

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
_TIMEOUT_S = 900


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure."""

    level_sets: int
    rounds: int
    runs: int
    """Timed runs of a process."""
    cold_starts: int
    nautilus_quote_rows: int
    nautilus_delta_rows: int


FULL = Effort(LEVEL_SETS, 5, 5, 3, 55_400, 220_400)
QUICK = Effort(100_000, 2, 2, 1, 5_400, 20_400)


@dataclass(slots=True)
class Subject:
    """One line of the comparison: an engine in one mode, and what was measured of it."""

    name: str
    script: str
    mode: str
    peer: peers.Peer | None = None
    limit: int = 0
    """Rows of the stream that it gets, 0 for all: Nautilus gets a slice, for its cost an event is constant."""
    alone: Report | None = None
    cold: list[Report] = field(default_factory=list)
    rounds: list[Report] = field(default_factory=list)
    failure: str | None = None

    @property
    def eps(self) -> float | None:
        """Events a second, the median over all runs."""
        rates = [rate for report in self.rounds for rate in _rates(report)]
        return round(median(rates)) if rates else None

    @property
    def first_event_s(self) -> float | None:
        """Seconds from process start to the first event, the median over all rounds."""
        return round(median(r.first_event_s for r in self.rounds), 3) if self.rounds else None

    @property
    def rss_mb(self) -> float | None:
        """Peak memory of a process that replays once, MiB."""
        return self.alone.peak_rss_mb if self.alone else None

    @property
    def version(self) -> str | None:
        """The release of the peer that ran."""
        return self.alone.versions.get(self.peer.package) if self.alone and self.peer else None

    @property
    def traded(self) -> tuple[int | None, int | None, int | None] | None:
        """Orders, fills and position (lots) of a run."""
        return (self.alone.orders, self.alone.fills, self.alone.position) if self.alone else None

    def as_json(self) -> dict[str, Any]:
        """All that was measured of it."""
        if self.alone is None or not self.rounds:
            return {"failure": self.failure}
        rates = [rate for report in self.rounds for rate in _rates(report)]
        return {
            "eps": self.eps,
            "eps_lowest": round(min(rates)),
            "eps_highest": round(max(rates)),
            "eps_by_process": [round(median(_rates(report))) for report in self.rounds],
            "ns_per_event": round(1e9 / median(rates), 2),
            "events": self.alone.events,
            "slice": bool(self.limit),
            "orders": self.alone.orders,
            "fills": self.alone.fills,
            "position_lots": self.alone.position,
            "rss_mb": self.rss_mb,
            "first_event_s": self.first_event_s,
            "versions": self.alone.versions,
        }


def subjects(effort: Effort) -> list[Subject]:
    """List what is compared, in the order in which a round runs it."""
    own = "interlock_engine"
    hft = "hftbacktest_engine"
    nautilus = "nautilus_engine"
    return [
        Subject("scan", "scan_engine", "words"),
        Subject("scan_fields", "scan_engine", "fields"),
        Subject("book", own, "book"),
        Subject("interlock", own, "risk"),
        Subject("hftbacktest", hft, "risk", peers.HFTBACKTEST),
        Subject("interlock_power", own, "power"),
        Subject("hftbacktest_power", hft, "power", peers.HFTBACKTEST),
        Subject("interlock_python", own, "python"),
        Subject("nautilus", nautilus, "quote", peers.NAUTILUS, effort.nautilus_quote_rows),
        Subject("nautilus_deltas", nautilus, "deltas", peers.NAUTILUS, effort.nautilus_delta_rows),
    ]


class EngineFailedError(Exception):
    """An engine script ended without a report; the message says how."""


def launch(subject: Subject, source: Stream, runs: int, cache: Path) -> Report:
    """Run one engine process; `cache` is where interlock keeps its compiled functions."""
    python = peers.environment(subject.peer) if subject.peer else Path(sys.executable)
    command = [str(python), "-m", f"benchmarks.engines.{subject.script}"]
    command += ["--stream", str(source.path), "--mode", subject.mode]
    command += ["--runs", str(runs), "--limit", str(subject.limit)]
    command = machine.pinned([*command, "--spawned-ns", str(time.monotonic_ns())])
    environment = os.environ | {"INTERLOCK_CACHE_DIR": str(cache)}
    try:
        done = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise EngineFailedError(f"expected an end within {_TIMEOUT_S} s, found none") from None
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        raise EngineFailedError(f"exit {done.returncode}: {done.stderr.strip()[-500:]}")
    return Report(**json.loads(lines[-1]))


def measure(effort: Effort, source: Stream) -> list[Subject]:
    """Run everything; an engine that fails is left out from then on, and says why."""
    listed = subjects(effort)
    warm = _HERE / ".cache" / "compiled"
    for subject in listed:
        _say(f"{subject.name}: alone")
        try:
            if subject.name == "interlock":
                for _ in range(effort.cold_starts):
                    with tempfile.TemporaryDirectory() as empty:
                        subject.cold.append(launch(subject, source, 1, Path(empty)))
            if subject.peer is None:
                launch(subject, source, 1, warm)  # fills the cache of compiled functions, so that no compiler is in the figures
            subject.alone = launch(subject, source, 1, warm)
        except EngineFailedError as failure:
            _fail(subject, failure)
    for number in range(1, effort.rounds + 1):
        for subject in listed:
            if subject.failure:
                continue
            try:
                subject.rounds.append(launch(subject, source, effort.runs, warm))
            except EngineFailedError as failure:
                _fail(subject, failure)
                continue
            _say(f"{subject.name}: round {number} of {effort.rounds}, {_millions(subject.eps)} M events/s so far")
    return listed


def result(effort: Effort, source: Stream, measured: Sequence[Subject], began: dict[str, Any]) -> dict[str, Any]:
    """Gather the figures: the ones that are quoted first, then all that lies behind them."""
    by_name = {subject.name: subject for subject in measured}
    ours, theirs = by_name["interlock"], by_name["hftbacktest"]
    ours_power, theirs_power = by_name["interlock_power"], by_name["hftbacktest_power"]
    nautilus = by_name["nautilus"]
    cold = [report.first_event_s for report in ours.cold]
    return {
        "interlock_eps": ours.eps,
        "hftbacktest_eps": theirs.eps,
        "nautilus_eps": nautilus.eps,
        "nautilus_deltas_eps": by_name["nautilus_deltas"].eps,
        "book_eps": by_name["book"].eps,
        "scan_eps": by_name["scan"].eps,
        "scan_fields_eps": by_name["scan_fields"].eps,
        "python_strategy_eps": by_name["interlock_python"].eps,
        "interlock_power_eps": ours_power.eps,
        "hftbacktest_power_eps": theirs_power.eps,
        "ratio_hftbacktest": _ratio(ours, theirs),
        "ratio_hftbacktest_by_round": _ratios(ours, theirs),
        "ratio_hftbacktest_power": _ratio(ours_power, theirs_power),
        "ratio_nautilus": _ratio(ours, nautilus),
        "fills_equal": _equal(ours, theirs),
        "fills_equal_power": _equal(ours_power, theirs_power),
        "fills": theirs.alone.fills if theirs.alone else None,
        "first_event_cold_s": round(median(cold), 3) if cold else None,
        "first_event_warm_s": ours.first_event_s,
        "hftbacktest_first_event_s": theirs.first_event_s,
        "nautilus_first_event_s": nautilus.first_event_s,
        "rss_mb": ours.rss_mb,
        "hftbacktest_rss_mb": theirs.rss_mb,
        "nautilus_rss_mb": nautilus.rss_mb,
        "subjects": {subject.name: subject.as_json() for subject in measured},
        "notes": _NOTES,
        "peers": {subject.peer.package: peers.standing(subject.peer, subject.version) for subject in (theirs, nautilus) if subject.peer},
        "stream": {
            "seed": SEED,
            "rows": source.rows,
            "snapshot_rows": source.snapshot_rows,
            "level_sets": source.level_sets,
            "trades": source.trades,
            "sha256": hashlib.sha256(source.path.read_bytes()).hexdigest(),
        },
        "method": {
            "rounds": effort.rounds,
            "runs_per_process": effort.runs,
            "cold_starts": effort.cold_starts,
            "pinned_to_core": machine.bench_core(),
            "load_1min_at_end": round(os.getloadavg()[0], 2),
        },
        "machine": began,
    }


_NOTES = [
    "eps: events a second, median over all runs of all processes; an event is a row, snapshot rows included.",
    "nautilus and nautilus_deltas replay a slice from the start of the stream; converting rows into their objects "
    "and hftbacktest's events is not timed.",
    "fills_equal: orders, fills and final position are those of hftbacktest. Nautilus for this Python models no "
    "queue position, so its fills are not compared.",
    "rss_mb: peak resident memory of a process that loads its part of the stream and replays it once.",
    "first_event: from process start until the first event is or can at once be decided on, loading and converting "
    "its part of the stream and compiling included; cold is with an empty cache of compiled functions. hftbacktest "
    "compiles the strategy at every start.",
]


def main(arguments: Sequence[str]) -> int:
    """Measure, write the result, print a table (or with --json the result)."""
    parser = argparse.ArgumentParser(prog="benchmarks.run replay", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few events, few runs, no result file")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(arguments)
    effort = QUICK if options.quick else FULL

    now = datetime.now(UTC)
    began = {"date": now.isoformat(timespec="seconds"), **machine.facts()}
    for peer in (peers.HFTBACKTEST, peers.NAUTILUS):
        peers.environment(peer)
    source = stream(effort.level_sets)
    measured = measure(effort, source)
    figures = {"replay": result(effort, source, measured, began)}

    # Only a whole measurement is a result to keep.
    keep = not options.quick and all(subject.failure is None for subject in measured)
    folder = _HERE / ("results" if keep else ".cache")
    folder.mkdir(exist_ok=True)
    path = folder / f"{now.date()}-replay{'-quick' if options.quick else ''}.json"
    text = json.dumps(figures, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
    print(text if options.json else table(measured, figures["replay"]))
    _say(f"written to {path.relative_to(_ROOT)}")
    return 0 if _passed(measured, figures["replay"]) else 1


def table(measured: Sequence[Subject], figures: dict[str, Any]) -> str:
    """Lay out the figures for a person."""
    lines = [f"{'':<18}{'M events/s':>11}{'orders':>10}{'fills':>9}{'position':>10}{'RSS MiB':>9}{'first s':>9}"]
    for subject in measured:
        if subject.failure or subject.alone is None:
            lines.append(f"{subject.name:<18}  not measured: {subject.failure}")
            continue
        orders, fills, position = ("" if value is None else value for value in subject.traded or ())
        lines.append(
            f"{subject.name:<18}{_millions(subject.eps):>11}{orders:>10}{fills:>9}{position:>10}"
            f"{subject.rss_mb:>9.0f}{subject.first_event_s or 0:>9.2f}"
        )
    lines.append("")
    for key in ("ratio_hftbacktest", "ratio_hftbacktest_power", "ratio_nautilus", "fills_equal"):
        lines.append(f"{key}: {figures[key]}")
    for package, known in figures["peers"].items():
        lines.append(f"{package} {known['measured']}: {known['why_not_newer']}")
    return "\n".join(lines)


def _passed(measured: Sequence[Subject], figures: dict[str, Any]) -> bool:
    complete = all(subject.failure is None for subject in measured)
    return complete and figures["fills_equal"] is True and figures["fills_equal_power"] is True


def _rates(report: Report) -> list[float]:
    return [report.events / seconds for seconds in report.run_s]


def _ratio(ours: Subject, theirs: Subject) -> float | None:
    return round(ours.eps / theirs.eps, 2) if ours.eps and theirs.eps else None


def _ratios(ours: Subject, theirs: Subject) -> list[float]:
    """Return ours over theirs in each round, which both lived through the same minute."""
    pairs = zip(ours.rounds, theirs.rounds, strict=False)
    return [round(median(_rates(mine)) / median(_rates(other)), 2) for mine, other in pairs]


def _equal(ours: Subject, theirs: Subject) -> bool | None:
    """Say whether both traded alike; None where one of them was not measured."""
    return ours.traded == theirs.traded if ours.traded and theirs.traded else None


def _millions(eps: float | None) -> str:
    return f"{eps / 1e6:.3f}" if eps else "?"


def _fail(subject: Subject, failure: EngineFailedError) -> None:
    subject.failure = str(failure)
    _say(f"{subject.name}: {failure}")


def _say(text: str) -> None:
    print(f"bench: {text}", file=sys.stderr, flush=True)
