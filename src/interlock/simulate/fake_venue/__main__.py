"""`python -m interlock.simulate.fake_venue --dir DIR --venues bybit,binance_usdm`: one line of JSON with the addresses, then serve until SIGTERM.

With `--retire-after-s N` it also ends by itself, with exit code 0, when for N seconds no client has been connected to any of its ports, so that one
that was forgotten does not stay for ever. Without it, it stays.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from interlock.domain.clock import NS_PER_S, SystemClock
from interlock.domain.errors import InterlockError
from interlock.simulate.fake_venue.server import Server


def main(argv: Sequence[str]) -> int:
    """Serve; returns the exit code. The same line is kept in `addresses.json`, for who starts later."""
    parser = argparse.ArgumentParser(prog="python -m interlock.simulate.fake_venue", description="Serve venues that lie, on 127.0.0.1.")
    parser.add_argument("--dir", type=Path, required=True, help="where witness.jsonl, truth.jsonl and addresses.json go")
    parser.add_argument("--venues", default="bybit", help="names separated by commas (default: bybit)")
    parser.add_argument(
        "--retire-after-s", type=_span_ns, metavar="N", help="end when nobody has been connected to any port for N seconds (default: never)"
    )
    options = parser.parse_args(argv)
    try:
        server = Server(options.dir, options.venues.split(","), SystemClock(), options.retire_after_s)
    except InterlockError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    line = msgspec.json.encode(server.addresses(os.getpid())) + b"\n"
    fresh = options.dir / "addresses.json.new"
    fresh.write_bytes(line)
    fresh.replace(options.dir / "addresses.json")
    sys.stdout.write(line.decode())
    sys.stdout.flush()
    server.serve()
    return 0


def _span_ns(text: str) -> int:
    """Nanoseconds of a number of seconds above 0. Raises ValueError for anything else."""
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise ValueError(f"expected a number of seconds above 0, found {text}")
    return max(1, round(seconds * NS_PER_S))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
