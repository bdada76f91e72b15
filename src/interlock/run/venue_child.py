"""Simulated venues as a child of a run or a demo: start them, wait for where they are, end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.domain.errors import Refused, UsageError
from interlock.run.interrupt import StopWish
from interlock.run.parent_death import LEFT_ALONE, end_with_us

ENVIRONMENT: Final = ("HOME", "INTERLOCK_CACHE_DIR", "LANG", "LC_ALL", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "TZ", "XDG_CACHE_HOME")
"""What reaches a child that holds no key."""
PLACES_FILE: Final = "places.json"
READY_S: Final = 180.0
LEAVE_S: Final = 10.0

Stage = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class VenueChild:
    """`interlock venues serve` in a folder, with its log there; from `where` on also the file `places.json`."""

    process: subprocess.Popen[bytes]
    folder: Path

    @classmethod
    def start(cls, folder: Path, environ: Mapping[str, str], *options: str) -> VenueChild:
        """Start it. It ends by `end`, or some time after we die, and not by a Ctrl-C that is meant for us."""
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "interlock", "venues", "serve", "--dir", str(folder), "--json", *options]
        kept = {name: environ[name] for name in ENVIRONMENT if name in environ}
        with (folder / "venues.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=kept,
                start_new_session=True,
                preexec_fn=end_with_us(LEFT_ALONE),  # noqa: PLW1509 - whoever starts it has no threads
            )
        return cls(process, folder)

    def where(self, stop: StopWish, stage: Stage) -> Path:
        """Wait until it is open; the file of its first line. Raises UsageError and Refused, with its own words, where it does not open."""
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        line = b""
        until = time.monotonic() + READY_S
        while not line.endswith(b"\n"):
            stage("waiting for the simulated venues (the first start of a version compiles, some 20 s)", 0, 0)
            if stop.wanted:
                raise KeyboardInterrupt
            if self.process.poll() is not None or time.monotonic() > until:
                raise self._refused()
            line += self.process.stdout.read() or b""
            time.sleep(0.05)
        if line.startswith(b'{"error"'):
            raise UsageError(f"the simulated venues did not start: {line.decode(errors='replace').strip()}")
        path = self.folder / PLACES_FILE
        path.write_bytes(line)
        return path

    def end(self) -> None:
        """End it, and wait for that."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _refused(self) -> Refused | UsageError:
        log = self.folder / "venues.log"
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        said = f"the simulated venues did not start: {lines[-1] if lines else 'nothing was said'}; see {log}"
        return UsageError(said) if self.process.returncode == 2 else Refused(said)
