"""Compile what a run needs, once for each version of the sources: a second of a run beside simulated venues, whose folder is thrown away.

Before the tests: in them several processes would each compile the same, while others count the seconds in which those must answer.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.run.live_ground import live_ground


def main() -> int:
    """The exit code of the run."""
    with tempfile.TemporaryDirectory(prefix="interlock-compile-") as folder, live_ground(Path(folder)) as ground:
        code, _ = ground.end(ground.start("--for", "1s"), within_s=600)
    return code


if __name__ == "__main__":
    sys.exit(main())
