"""Whether the tests that just ran have taken every line and every branch of the rooms that an order passes through.

`make test` asks it after a whole run, of what that run measured: 95 % of everything is its gate, and 100 % of arming, limits, orders, journal and
egress, the same modules that `make mutants` changes (`scripts/mutants/rooms.py`). Exit codes: 0, and 1 with what is missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from scripts.mutants.rooms import ROOMS, path_of


def short_of(files: Mapping[str, Any], wanted: Iterable[str]) -> list[str]:
    """What was not taken, a line of text for each source; `files` is the part of that name of coverage's report in JSON."""
    found = []
    for path in wanted:
        told = files.get(path)
        if told is None:
            found.append(f"{path}: not measured at all")
            continue
        lines = ", ".join(str(line) for line in told["missing_lines"])
        branches = ", ".join(f"{begin}->{'exit' if end < 0 else end}" for begin, end in told["missing_branches"])
        if lines or branches:
            found.append(f"{path}: lines [{lines}], branches [{branches}]")
    return found


def main() -> int:
    """Read what was measured, and tell what is missing."""
    told = subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "--fail-under=0", "-o", "-"], capture_output=True, check=True)
    wanted = [path_of(module) for modules in ROOMS.values() for module in modules]
    missing = short_of(json.loads(told.stdout)["files"], wanted)
    if missing:
        print(
            "rooms: expected every line and branch of the rooms of an order taken by the tests, found",
            *missing,
            sep="\n  ",
            file=sys.stderr,
        )
        return 1
    print(f"rooms: all {len(wanted)} modules of {', '.join(ROOMS)} were taken whole, every line and branch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
