"""`interlock venues serve` as a process of its own, for tests that want it over the wire."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def simulators(folder: Path, *options: str) -> Iterator[dict[str, Any]]:
    """What its first line says, while it runs. It must still run at the end, end by SIGTERM with exit 0, and have said nothing more on stdout."""
    with (folder / "venues.stderr").open("wb") as said:
        command = [sys.executable, "-m", "interlock", "venues", "serve", "--json", "--dir", str(folder / "v"), *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "venues.stderr").read_text(encoding="utf-8")
            yield json.loads(line)
            assert process.poll() is None, f"exit {process.poll()}: {(folder / 'venues.stderr').read_text(encoding='utf-8')}"
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert process.stdout.read() == b""
        finally:
            process.kill()
            process.communicate()
