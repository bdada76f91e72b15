"""`python -m benchmarks.run [NAME] [options]`: run one benchmark, or all of them.

Exit codes: 0 measured and passed; 1 something was not measured or a check failed; 2 wrong usage.
"""

import importlib
import sys
from collections.abc import Sequence

BENCHES = {
    "replay": "benchmarks.replay",
    "gate": "benchmarks.gate",
    "gate-boot": "benchmarks.gate_boot",
    "venues": "benchmarks.venues",
    "orders": "benchmarks.order_entry",
    "live": "benchmarks.live",
}
"""Name to module; a module's `main(arguments)` runs it and returns the exit code."""


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark that the first argument names, with the rest; all of them where it names none."""
    named = bool(arguments) and not arguments[0].startswith("-")
    names = [arguments[0]] if named else list(BENCHES)
    if names[0] not in BENCHES:
        print(f"expected a benchmark ({', '.join(BENCHES)}), found {names[0]!r}", file=sys.stderr)
        return 2
    rest = arguments[1:] if named else arguments
    return max([int(importlib.import_module(BENCHES[name]).main(rest)) for name in names])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
