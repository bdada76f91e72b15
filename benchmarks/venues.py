"""Public feeds: what a book message costs us and ccxt.pro, on the same frames in one go; and how much the simulators do.

Both read frames that are made from a seed, each in a process of its own on one core, several rounds in turn. A figure is over all messages of all
rounds; beside it stand the median of its quietest round and the ratio of every round. At the end all must hold the same best bid and ask. The
simulators are measured last, as `interlock venues serve` starts them.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import machine, simulators
from benchmarks.book_frames import sets

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
_CLIENTS = _ROOT / ".venv-clients" / "bin" / "python"
_TIMEOUT_S = 600
WAYS = ("scan", "take", "msgspec", "handle", "watch")
"""Ours scanned and ours decoded; msgspec's bare decoding; ccxt until its handler is done, and until its caller has the book."""


class FeedFailedError(Exception):
    """A feed script ended without figures; the message says how."""


def launch(command: list[str]) -> Any:
    """Run a feed script and return what it printed."""
    done = subprocess.run(machine.pinned(command), cwd=_ROOT, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise FeedFailedError(f"{' '.join(command[1:])}: expected exit code 0, found {done.returncode}: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout)


def rounds_of(file: Path, rounds: int) -> tuple[list[dict[str, dict[str, Any]]], str]:
    """For each round, by set: nanoseconds by way, the best bids and asks, frames scanned; and ccxt's version. Raises FeedFailedError."""
    found, version = [], ""
    for _ in range(rounds):
        ours = launch([sys.executable, "-m", "benchmarks.feeds.interlock_feed", str(file)])
        theirs = launch([str(_CLIENTS), str(_HERE / "feeds" / "ccxt_feed.py"), str(file)])
        version = theirs["version"]
        both = {}
        for own, other in zip(ours, theirs["sets"], strict=True):
            assert own["set"] == other["set"]
            both[own["set"]] = {
                "times_ns": own["times_ns"] | other["times_ns"],
                "best": own["best"] + other["best"],
                "scanned": own["scanned"],
            }
        found.append(both)
    return found, version


def percentiles(samples_ns: Sequence[int]) -> dict[str, float]:
    """Median and 99th percentile, microseconds."""
    ordered = sorted(samples_ns)
    return {"p50_us": round(ordered[len(ordered) // 2] / 1e3, 2), "p99_us": round(ordered[len(ordered) * 99 // 100] / 1e3, 2)}


def summary(name: str, rounds: list[dict[str, dict[str, Any]]], count: int) -> dict[str, Any]:
    """One set over all rounds, and whether everybody held the same book at the end and every frame was scanned."""
    own = [found[name] for found in rounds]
    figures: dict[str, Any] = {way: percentiles([ns for found in own for ns in found["times_ns"][way]]) for way in WAYS}

    def ratios(way: str, to: str) -> list[float]:
        return [round(median(found["times_ns"][way]) / median(found["times_ns"][to]), 2) for found in own]

    for way in WAYS:
        figures[way]["quietest_us"] = round(min(median(found["times_ns"][way]) for found in own) / 1e3, 2)
    figures["ccxt_to_scan"] = round(figures["watch"]["p50_us"] / figures["scan"]["p50_us"], 2)
    figures["ccxt_to_scan_quietest"] = round(figures["watch"]["quietest_us"] / figures["scan"]["quietest_us"], 2)
    figures["ccxt_to_scan_by_round"] = ratios("watch", "scan")
    figures["ccxt_to_scan_p99"] = round(figures["watch"]["p99_us"] / figures["scan"]["p99_us"], 2)
    figures["ccxt_to_take"] = round(figures["watch"]["p50_us"] / figures["take"]["p50_us"], 2)
    figures["scan_to_msgspec"] = round(figures["scan"]["p50_us"] / figures["msgspec"]["p50_us"], 2)
    figures["same_book"] = all(len({tuple(best) for best in found["best"]}) == 1 for found in own)
    figures["all_scanned"] = all(found["scanned"] == count for found in own)
    return figures


def table(feeds: dict[str, dict[str, Any]]) -> str:
    """The figures for reading: microseconds, median and 99th percentile."""
    head = f"{'levels in a message':<20}" + "".join(f"{way:>17}" for way in WAYS) + f"{'ccxt/scan':>11}{'quietest':>10}"
    lines = [head]
    for name, figures in feeds.items():
        cells = "".join(f"{figures[way]['p50_us']:>9.1f}{figures[way]['p99_us']:>8.1f}" for way in WAYS)
        lines.append(f"{name:<20}{cells}{figures['ccxt_to_scan']:>10.1f}x{figures['ccxt_to_scan_quietest']:>9.1f}x")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the result, print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.run venues", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few messages, no result file")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object instead of the table")
    options = parser.parse_args(arguments)
    if not _CLIENTS.exists():
        print("bench: expected the environment of others' clients, found none: run `make clients`", file=sys.stderr)
        return 1
    count, rounds = (300, 2) if options.quick else (2_000, 9)
    now = datetime.now(UTC)
    began = {"date": now.isoformat(timespec="seconds"), **machine.facts()}
    cache = _HERE / ".cache"
    cache.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        file = Path(folder) / "frames.jsonl"
        made = list(sets(count))
        file.write_text("".join(json.dumps(dataclasses.asdict(frames)) + "\n" for frames in made), encoding="utf-8")
        try:
            found, version = rounds_of(file, rounds)
            served = simulators.measure(Path(folder) / "served", seconds=2.0 if options.quick else 20.0, pairs=20 if options.quick else 280)
        except (FeedFailedError, simulators.SimulatorsFailedError) as error:
            print(f"bench: not everything was measured: {error}", file=sys.stderr)
            return 1
    feeds = {frames.name: summary(frames.name, found, count) for frames in made}
    bytes_of = {frames.name: round(sum(map(len, frames.frames)) / count) for frames in made}
    result = {
        "venues": {
            "messages": count,
            "rounds": rounds,
            "bytes_of_a_message": bytes_of,
            "ccxt": version,
            "feeds": feeds,
            "simulators": served,
            "machine": began,
        }
    }
    text = json.dumps(result, indent=2)
    path = (cache if options.quick else _HERE / "results") / f"{now.date()}-venues{'-quick' if options.quick else ''}.json"
    path.write_text(text + "\n", encoding="utf-8")
    streams, trades = served["streams"], served["place_and_cancel"]
    if options.json:
        print(text)
    else:
        print(table(feeds))
        print(
            f"simulators: {streams['all_per_s']} messages a second of all streams with {streams['server_core_share']:.0%} of a core; "
            f"{trades['pairs_per_s']} pairs of place and cancel a second ({trades['p50_us'] / 1e3:.1f} ms, p99 {trades['p99_us'] / 1e3:.1f} ms)"
        )
        for venue, most in served["most"].items():
            stream, requests = most["stream"], most["requests"]
            orders = f", {most['orders']['requests_per_s']} requests of orders" if "orders" in most else ""
            print(
                f"{venue} at most: {stream['books_per_s']} book messages a second (server {stream['server_core_share']:.0%} of a core, client "
                f"{stream['client_core_share']:.0%}), {requests['reads_per_s']} reads of a book{orders}"
            )
    print(f"bench: written to {path.relative_to(_ROOT)}", file=sys.stderr)
    bad = [name for name, figures in feeds.items() if not (figures["same_book"] and figures["all_scanned"])]
    if bad:
        print(f"bench: expected equal books and every frame scanned, found otherwise in {', '.join(bad)}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
