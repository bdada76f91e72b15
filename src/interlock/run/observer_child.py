"""The observer as a child of a run in shadow: start it, wait until it has found the key good and the account begun, end it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.errors import Refused, UsageError
from interlock.gate.records import Endpoint
from interlock.run.interrupt import StopWish

ENVIRONMENT: Final = ("CREDENTIALS_DIRECTORY", "HOME", "LANG", "LC_ALL", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "TZ")
CONFIG_FILE: Final = "observer-config.json"
LOG_FILE: Final = "observer.log"
READY_S: Final = 150.0
LEAVE_S: Final = 20.0
LOOK_S: Final = 0.1

Stage = Callable[[str, int, int], None]
"""Told of progress: what is being done, how much of it is done, out of how much (0: not known)."""


@dataclass(frozen=True, slots=True)
class ObserverChild:
    """`interlock.run.observer_process` in the folder of a run, with its log there."""

    process: subprocess.Popen[bytes]
    folder: Path

    @classmethod
    def start(
        cls,
        folder: Path,
        environ: Mapping[str, str],
        *,
        limits: Path,
        places: Path,
        endpoint: Endpoint,
        counterfactual: Path,
        config: str,
        before: Callable[[], None],
    ) -> ObserverChild:
        """Start it; `before` runs in the child. `counterfactual` is the journal of the gate that permits, `config` the configuration's SHA-256."""
        told = {
            "folder": str(folder.absolute()),
            "limits": str(limits.absolute()),
            "places": str(places.absolute()),
            "endpoint": endpoint.value,
            "counterfactual": str(counterfactual.absolute()),
            "config": config,
        }
        file = folder / CONFIG_FILE
        file.write_bytes(msgspec.json.encode(told))
        kept = {name: environ[name] for name in ENVIRONMENT if name in environ}
        with (folder / LOG_FILE).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "interlock.run.observer_process", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=kept,
                start_new_session=True,
                preexec_fn=before,  # noqa: PLW1509 - the process that starts it has no threads
            )
        return cls(process, folder)

    def ready(self, stop: StopWish, stage: Stage) -> Mapping[str, Any]:
        """Wait until it watches; what it said. Raises UsageError and Refused, with its own words, where it does not."""
        pipe = self.process.stdout
        assert pipe is not None
        until, line = time.monotonic() + READY_S, b""
        while not line.endswith(b"\n"):
            stage("looking at the key and the account", 0, 0)
            if stop.wanted:
                raise KeyboardInterrupt
            if time.monotonic() > until:
                raise Refused(f"the account was not read after {READY_S:.0f} s; see {self.folder / LOG_FILE}")
            there, _, _ = select.select([pipe], [], [], LOOK_S)
            piece = os.read(pipe.fileno(), 65_536) if there else None
            if piece == b"":
                raise self._refused()
            line += piece or b""
        found: Mapping[str, Any] = json.loads(line)
        return found

    def end(self) -> int:
        """End it, after whatever it watches; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.wait()

    def last_words(self) -> str:
        """What it said last in its log."""
        lines = (self.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"

    def _refused(self) -> Refused | UsageError:
        code = self.process.wait()
        said = f"the account is not watched: {self.last_words()}; see {self.folder / LOG_FILE}"
        return UsageError(said) if code == 2 else Refused(said)
