"""Start the served fake as a process of its own, and stop it by its process id."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from interlock.domain.errors import Refused
from interlock.simulate.fake_venue.server import Addresses

STOP_S = 10


@contextmanager
def served(directory: Path, names: Sequence[str], retire_after_s: float | None = None) -> Iterator[Addresses]:
    """Serve these venues while the block runs; whatever happens to the clients, the process stays. Raises Refused when it does not start.

    With `retire_after_s` it ends by itself when for so long nobody has been connected: for a block whose process may be killed.
    """
    command = [sys.executable, "-m", "interlock.simulate.fake_venue", "--dir", str(directory), "--venues", ",".join(names)]
    if retire_after_s is not None:
        command += ["--retire-after-s", str(retire_after_s)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    output = process.stdout
    assert output is not None
    try:
        line = output.readline()
        if not line:
            raise Refused(f"the fake venue did not start (exit code {process.wait(STOP_S)}); its message is above")
        yield msgspec.json.decode(line, type=Addresses)
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        output.close()
