"""Orders on their way to a venue, by HTTP and by socket: what it costs to make one, to write it, and to have its answer.

The venues are the simulators, in this process too, plain and over TLS; so "answered" is their work as well as ours and is of use for comparison
alone. "make" is from the intent to the frame, signature included; "write" is from the last check to the return of the one call that hands it to the
kernel, framing, mask and encryption included. The ways take turns, round by round; figures are medians and 99th percentiles in microseconds.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from tests.venues.contract.wired import Lines, WiredPlace, intent, opened_by

from benchmarks import machine
from benchmarks.gate import percentiles
from interlock.domain.clock import NS_PER_S
from interlock.gate import records as r
from interlock.gate.connection import Wrote

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
VENUES = ("binance_usdm", "bybit")
ROUNDS = 5


async def round_of(place: WiredPlace, count: int) -> dict[str, list[int]]:
    """Place and cancel `count` orders one after the other; the times of each step, nanoseconds."""
    found: dict[str, list[int]] = {"make_ns": [], "write_ns": [], "answered_ns": []}
    with Lines(place) as lines:
        line = await lines.pool.take()
        for _ in range(count):
            place.clock.advance(NS_PER_S)
            order = intent(place, place.wanted())
            began_ns = time.perf_counter_ns()
            frame = lines.wire.placement(order, lines.now().wall_ns)
            made_ns = time.perf_counter_ns()
            wrote = line.place(frame, lambda: "")
            written_ns = time.perf_counter_ns()
            assert wrote.wrote is Wrote.WHOLE, wrote
            line.expect(1, frame, ("place", order.client_id, 0), lines.boot_ns, 10 * NS_PER_S)
            while not lines.records:
                assert not lines.lost, lines.lost
                await asyncio.sleep(0)
            answered_ns = time.perf_counter_ns()
            (said,) = lines.records
            assert isinstance(said, r.Answered), said
            lines.records.clear()
            found["make_ns"].append(made_ns - began_ns)
            found["write_ns"].append(written_ns - made_ns)
            found["answered_ns"].append(answered_ns - began_ns)
            place.sim.cancel_all()
    return found


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Every way at every venue, the ways in turn."""
    found: dict[str, Any] = {}
    for venue, tls in product(VENUES, (False, True)):
        with ExitStack() as stack:
            places = {way: stack.enter_context(opened_by(venue, tls=tls, by_socket=way == "socket")) for way in ("rest", "socket")}
            samples: dict[str, dict[str, list[int]]] = {way: {} for way in places}
            for number in range(rounds + 1):
                for way, place in places.items():
                    place.calm()
                    for name, times in place.run(round_of(place, count)).items():
                        if number:  # the first round warms everything up
                            samples[way].setdefault(name, []).extend(times)
            found[f"{venue}{', TLS' if tls else ''}"] = {
                way: {name.removesuffix("_ns"): percentiles(times) for name, times in one.items()} for way, one in samples.items()
            }
    return found


def main(arguments: Sequence[str]) -> int:
    """Measure, write the result, print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.run orders", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke test: few repetitions, no result file")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the result is always one JSON object")
    options = parser.parse_args(arguments)
    now = datetime.now(UTC)
    began = {"date": now.isoformat(timespec="seconds"), **machine.facts()}
    found = measure(20, 1) if options.quick else measure(200, ROUNDS)
    text = json.dumps({"orders": {**found, "machine": began}}, indent=2)
    cache = _HERE / ".cache"
    cache.mkdir(exist_ok=True)
    path = (cache if options.quick else _HERE / "results") / f"{now.date()}-orders{'-quick' if options.quick else ''}.json"
    path.write_text(text + "\n", encoding="utf-8")
    print(text)
    print(f"bench: written to {path.relative_to(_ROOT)}", file=sys.stderr)
    return 0
