"""From a frame of market data to the bytes of an order, beside the least that does the same work and beside the peers.

Three ways, in processes as they are in a run: the floor (no checks, no journal), our engine with the gate's wire in one process (no such thing
trades), and our engine with a gate of its own process, journal on the disk of `--dir`. Hot is the next frame as soon as the order to the last one is
over; the other is 20 ms after it. The rounds take turns, so that what disturbs the machine disturbs all. Of a round the first tenth is left out.

Whoever reads the figures of the gate: the frame's time is when it was handed to us, the order's when the call that wrote it had come back, by the
gate's own record of it. Its parts are from those records too. The orders are IOC below the market and end at once, at the simulated venue of `gate
serve`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from tests.gate.serving import Serving, serving, start

from benchmarks import machine
from benchmarks.gate_kill import kill_times
from benchmarks.live_exchange import frames_of
from benchmarks.loopback import round_trips
from benchmarks.peers import NAUTILUS, environment
from interlock.gate import records as r
from interlock.gate.journal import SystemDisk, recover

_HERE = Path(__file__).resolve().parent
_ROOT = _HERE.parent
_CLIENTS = _ROOT / ".venv-clients" / "bin" / "python"
_LIMITS = _ROOT / "src" / "interlock" / "gate" / "examples" / "limits.toml"
LEVELS = (36, 8)
GAP_MS = 20
ROUNDS = 5
KILL_ORDERS = 60
"""As many as a gate may have open by the shipped limits."""
_TIMEOUT_S = 300
_WIDE = {"max_messages_count = 200": 1_000_000, "max_orders_count = 60": 1_000_000, "max_identical_orders_count = 30": 1_000_000}
"""What would end a bench of its own accord: so many orders are not what those limits are for."""
PARTS = ("frame to proposal", "decide to begin", "begin to written")


class NotMeasuredError(Exception):
    """A process of the bench ended without figures; the message says how."""


def shares(samples_ns: Iterable[int]) -> dict[str, float]:
    """Median and upper percentiles, microseconds."""
    ordered = sorted(samples_ns)
    return {
        name: round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1e3, 1)
        for name, share in (("p50_us", 0.5), ("p99_us", 0.99), ("p999_us", 0.999))
    }


def one_run(way: str, levels: int, count: int, gap_ms: float, intent: str | None = None) -> dict[str, list[int]]:
    """One run of a way: `to_written`, and `round_trip` from the frame's writing to the order's coming where the exchange saw both. Raises
    NotMeasuredError."""
    exchange = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.live_exchange", str(levels), str(count), str(gap_ms)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    try:
        assert exchange.stdout is not None
        port = json.loads(exchange.stdout.readline())["port"]
        command = [sys.executable, "-m", "benchmarks.live_engine", way, str(port), str(count), *([] if intent is None else [intent])]
        told = _told(command)
        seen = json.loads(exchange.stdout.readline())
        exchange.wait(10)
    finally:
        exchange.kill()
        exchange.wait(10)
        if exchange.stdout is not None:
            exchange.stdout.close()
    first = count // 10
    found = {"to_written": [b - a for a, b in zip(told["frame_ns"], told["written_ns"], strict=True)][first:]}
    if intent is None:
        found["round_trip"] = [b - a for a, b in zip(seen["sent_ns"], seen["came_ns"], strict=False)][first:]
    return found


def _told(command: list[str], cwd: Path = _ROOT) -> Any:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode:
        raise NotMeasuredError(f"{' '.join(command[1:4])}: expected exit code 0, found {done.returncode}: {done.stderr.strip()[-800:]}")
    return json.loads(done.stdout)


def through_gate(gate: Serving, levels: int, count: int, gap_ms: float) -> dict[str, list[int]]:
    """A run through a gate that stands and is armed: what its journal says of each order. Raises NotMeasuredError."""
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    one_run("gate", levels, count, gap_ms, gate.paths["intent"])
    return _of_journal(Path(gate.paths["journal"]), began_ns, count // 10)


def _of_journal(journal: Path, began_ns: int, first: int) -> dict[str, list[int]]:
    made: dict[str, int] = {}
    times: dict[str, dict[str, int]] = {"decided": {}, "begun": {}, "written": {}}
    names = {r.Permit: "decided", r.WireBegin: "begun", r.Sent: "written"}

    def take(_lsn: int, payload: bytes) -> None:
        record = r.decode(payload)
        if isinstance(record, r.Intent) and record.created_boot_ns >= began_ns:
            made[record.client_id] = record.created_boot_ns
        name = names.get(type(record))
        if name is not None:
            times[name][getattr(record, "client_id", "")] = record.boot_ns

    recover(SystemDisk(), journal, schema=r.SCHEMA, consume=take)
    whole = [one for one in made if one in times["written"]][first:]
    decided, begun, written = times["decided"], times["begun"], times["written"]
    return {
        "to_written": [written[one] - made[one] for one in whole],
        PARTS[0]: [decided[one] - made[one] for one in whole],
        PARTS[1]: [begun[one] - decided[one] for one in whole],
        PARTS[2]: [written[one] - begun[one] for one in whole],
    }


def syncs(folder: Path, count: int) -> list[int]:
    """A bare write and fdatasync of 512 bytes, nanoseconds each."""
    place = folder / "bare"
    opened = os.open(place, os.O_RDWR | os.O_CREAT)
    found = []
    try:
        os.pwrite(opened, bytes(1 << 20), 0)
        os.fsync(opened)
        for number in range(count):
            began_ns = time.perf_counter_ns()
            os.pwrite(opened, bytes(512), number * 512 % (1 << 20))
            os.fdatasync(opened)
            found.append(time.perf_counter_ns() - began_ns)
    finally:
        os.close(opened)
    return found


def recovery_ms(folder: Path, limits: Path, times: int) -> list[float]:
    """A gate that is killed and started again in its folder, its venue still there: until it is ready, milliseconds. Not armed by that."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        gate = start(folder, limits=limits)
        found.append(round((time.perf_counter() - began) * 1e3))
        gate.die()
    return found


def measure(folder: Path, *, rounds: int, hot: int, spaced: int) -> dict[str, Any]:
    """Everything. Raises NotMeasuredError."""
    text = _LIMITS.read_text(encoding="utf-8")
    for words, count in _WIDE.items():
        assert words in text, words
        text = text.replace(words, f"{words.partition('=')[0]}= {count}")
    limits = folder / "limits.toml"
    limits.write_text(text, encoding="utf-8")
    samples: dict[tuple[str, int, str, str], list[int]] = {}
    medians: dict[tuple[str, int, str, str], list[float]] = {}
    raw: dict[str, list[int]] = {"loopback": [], "fdatasync": []}
    peers: dict[str, list[int]] = {}
    versions = {}
    sets = {levels: _frames_file(folder, levels, hot) for levels in LEVELS}
    with serving(folder / "gate", limits=limits) as gate:
        gate.armed()
        for number in range(rounds):
            print(f"bench: round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            raw["loopback"] += round_trips(2_000)
            raw["fdatasync"] += syncs(folder, 500)
            for levels in LEVELS:
                for pace, count, gap_ms in (("hot", hot, 0), ("spaced", spaced, GAP_MS)):
                    for way in ("floor", "one", "gate"):
                        run = through_gate(gate, levels, count, gap_ms) if way == "gate" else one_run(way, levels, count, gap_ms)
                        for what, found in run.items():
                            samples.setdefault((way, levels, pace, what), []).extend(found)
                            medians.setdefault((way, levels, pace, what), []).append(median(found))
                peer = _told([str(environment(NAUTILUS)), "-m", "benchmarks.feeds.nautilus_live", str(sets[levels])])
                peers.setdefault(f"nautilus {levels}", []).extend(peer["times_ns"][hot // 10 :])
                versions["nautilus"] = peer["version"]
                if _CLIENTS.exists():
                    other = _told([str(_CLIENTS), str(_HERE / "feeds" / "ccxt_feed.py"), str(sets[levels])])
                    peers.setdefault(f"ccxt {levels}", []).extend(other["sets"][0]["times_ns"]["watch"][hot // 10 :])
                    versions["ccxt"] = other["version"]
        gate.die()
        recovered = recovery_ms(folder / "gate", limits, 5)
    kills = kill_times(folder / "kills", KILL_ORDERS, rounds)
    figures: dict[str, Any] = {}
    for (way, levels, pace, what), found in samples.items():
        floor = medians["floor", levels, pace, "to_written"]
        mine = medians[way, levels, pace, what]
        entry = {**shares(found), "orders": len(found)}
        if what == "to_written" and way != "floor":
            entry["to_floor"] = round(median(mine) / median(floor), 2)
            entry["to_floor_by_round"] = [round(a / b, 2) for a, b in zip(mine, floor, strict=True)]
        figures.setdefault(f"{way}, {levels} levels, {pace}", {})[what] = entry
    return {
        "ways": figures,
        "loopback_round_trip": shares(raw["loopback"]),
        "raw_fdatasync": shares(raw["fdatasync"]),
        "peers": {name: shares(found) for name, found in peers.items()},
        "versions": versions,
        "kill": kills,
        "recovery_ms": {"median": median(recovered), "worst": max(recovered)},
        "gap_ms": GAP_MS,
        "rounds": rounds,
    }


def _frames_file(folder: Path, levels: int, count: int) -> Path:
    """The frames of the exchange as the peers' readers take them."""
    begin, *frames = frames_of(levels, count)
    path = folder / f"frames-{levels}.jsonl"
    told = {"venue": "bybit", "symbol": "BTCUSDT", "levels": levels, "begin": begin.decode(), "frames": [one.decode() for one in frames]}
    path.write_text(json.dumps(told) + "\n", encoding="utf-8")
    return path


def table(found: dict[str, Any]) -> str:
    """The figures for reading, microseconds."""
    lines = [f"{'frame to written order':<34}{'p50':>9}{'p99':>9}{'p99.9':>9}{'to floor':>10}"]
    for name, parts in found["ways"].items():
        for what, one in parts.items():
            title = name if what == "to_written" else f"    {what}"
            ratio = f"{one['to_floor']:>9.2f}x" if "to_floor" in one else ""
            lines.append(f"{title:<34}{one['p50_us']:>9.1f}{one['p99_us']:>9.1f}{one['p999_us']:>9.1f}{ratio}")
    others = {
        "loopback, there and back": found["loopback_round_trip"],
        "bare write and fdatasync": found["raw_fdatasync"],
        **found["peers"],
    }
    for name, one in others.items():
        lines.append(f"{name:<34}{one['p50_us']:>9.1f}{one['p99_us']:>9.1f}{one['p999_us']:>9.1f}")
    kill = found["kill"]
    for name, title in (
        ("gate_closed", "gate closed"),
        ("first_cancel", "first cancel"),
        ("confirmed_zero", "nothing open"),
        ("final", "FINAL"),
    ):
        lines.append(f"kill of {kill['orders']} orders, {title}: {kill[name]['median_ms']} ms (worst {kill[name]['worst_ms']} ms)")
    lines.append(f"a killed gate is ready again after {found['recovery_ms']['median']} ms (worst {found['recovery_ms']['worst']} ms)")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Measure, write the result, print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.run live", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few messages, no result file")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"how often everything takes its turn (default: {ROUNDS})")
    parser.add_argument("--dir", type=Path, help="a folder on the disk that the journal is to be measured on")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object instead of the table")
    options = parser.parse_args(arguments)
    now = datetime.now(UTC)
    began = {"date": now.isoformat(timespec="seconds"), **machine.facts()}
    cache = _HERE / ".cache"
    cache.mkdir(exist_ok=True)
    rounds, hot, spaced = (1, 200, 30) if options.quick else (options.rounds, 1_000, 200)
    with tempfile.TemporaryDirectory(dir=options.dir or cache) as folder:
        try:
            found = measure(Path(folder), rounds=rounds, hot=hot, spaced=spaced)
        except NotMeasuredError as error:
            print(f"bench: not everything was measured: {error}", file=sys.stderr)
            return 1
    text = json.dumps({"live": {**found, "machine": began}}, indent=2)
    path = (cache if options.quick else _HERE / "results") / f"{now.date()}-live{'-quick' if options.quick else ''}.json"
    path.write_text(text + "\n", encoding="utf-8")
    print(text if options.json else table(found))
    print(f"bench: written to {path.relative_to(_ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
