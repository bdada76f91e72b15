"""Processes that stand around a gate: started so that they live on when whoever started them dies, and told a few variables of the environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from interlock.domain.errors import Refused

PASSED_ON = ("HOME", "LANG", "LC_ALL", "PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "READ_ONLY_ENFORCED", "TMPDIR", "TZ")
"""The variables that reach the gate. The conditions of arming are not among them: they are the terminal's."""
SENTINEL_CONFIG, SENTINEL_PID, SENTINEL_LOG = "sentinel.json", "sentinel.pid", "sentinel.log"
CHECKER_LOG = "checker.log"
CHECKER_BEAT_MS = 500


class Begun(NamedTuple):
    """A process that was started: its id, and the descriptor from which the beats of a checker can be read, -1 for no checker."""

    pid: int
    beats_fd: int = -1


def spawn(
    arguments: list[str],
    log: Path,
    environ: Mapping[str, str],
    begun: list[subprocess.Popen[bytes]],
    *,
    stdout: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a process of ours, in a session of its own; what it complains of goes into a file. It is put into `begun`. Raises OSError."""
    kept = {name: value for name, value in environ.items() if name in PASSED_ON}
    with log.open("ab") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=complaints,
            start_new_session=True,
            env=kept,
        )
    begun.append(process)
    return process


def first_line(process: subprocess.Popen[bytes], what: str, log: Path) -> bytes:
    """What a process says once it is ready. Raises Refused if it ends before."""
    assert process.stdout is not None
    line = process.stdout.readline()
    process.stdout.close()
    if not line:
        raise Refused(f"{what}: expected it to start, found that it ended with {process.wait(5)}; {log.name} in the folder's log says why")
    return line


def start_sentinel(sockets: Path, logs: Path, environ: Mapping[str, str], begun: list[subprocess.Popen[bytes]]) -> int:
    """Start the sentinel that the file in `sockets` describes, and wait until it can be asked; its process id. Raises Refused and OSError."""
    log = logs / SENTINEL_LOG
    process = spawn(["-m", "interlock.sentinel", "--config", str(sockets / SENTINEL_CONFIG)], log, environ, begun)
    # At once: a start that is cut off here must not leave one that nobody knows of.
    (sockets / SENTINEL_PID).write_text(str(process.pid), encoding="ascii")
    return int(json.loads(first_line(process, "sentinel", log))["pid"])


def start_checker(
    journal: Path,
    witness: str,
    facts: Path,
    logs: Path,
    environ: Mapping[str, str],
    begun: list[subprocess.Popen[bytes]],
    *,
    again: bool,
) -> Begun:
    """Start a checker that reads a journal along, from its first record on. `witness` is "" where no venue keeps one, `again` is for the place of one
    that died in this life. Raises OSError.

    Whoever holds the descriptor is the gate that it beats for: the checker ends when nobody does.
    """
    read_end, write_end = os.pipe()
    seen = ["--witness", witness] if witness else []
    place = ["--again"] if again else []
    arguments = ["-m", "interlock.trace", str(journal), *seen, *place, "--facts", str(facts), "--beat-ms", str(CHECKER_BEAT_MS)]
    try:
        process = spawn(arguments, logs / CHECKER_LOG, environ, begun, stdout=write_end)
    except BaseException:
        os.close(read_end)
        raise
    finally:
        os.close(write_end)
    return Begun(process.pid, read_end)
