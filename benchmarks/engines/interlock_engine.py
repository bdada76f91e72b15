"""interlock itself. NOT MEASURED YET: it is written together with the compiled core; until then each mode exits 1.

Modes: `risk` and `power` replay the stream with the compiled quoting kernel and that queue model (decisions as in
`hftbacktest_engine`, whose orders, fills and position they must give); `python` replays with a strategy written in
Python; `book` keeps the book up to date and does nothing else.
"""

import sys

from benchmarks.engines import protocol


def main() -> None:
    """Refuse, until the core is there to be measured."""
    asked = protocol.arguments(["risk", "power", "python", "book"])
    sys.exit(f"interlock's mode {asked.mode} cannot be measured yet: benchmarks/engines/interlock_engine.py")


if __name__ == "__main__":
    main()
