"""Lines for a person, written by a thread: whoever says something never waits for a terminal, a pipe or a disk."""

from __future__ import annotations

import queue
import sys
import threading
import time
from typing import Final

MOST_LINES_A_SECOND: Final = 20
MOST_LINES_WAITING: Final = 200
LONGEST_LINE: Final = 500


class Log:
    """Lines on stderr, each behind the name of the process; stdout is for the one line. What is not read in time is counted and left out."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: queue.Queue[str] = queue.Queue(MOST_LINES_WAITING)
        self._dropped = 0
        self._window = (0, 0)
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def __call__(self, text: str) -> None:
        """Say something, at most so much a second."""
        second = time.monotonic_ns() // 1_000_000_000
        said = self._window[1] + 1 if self._window[0] == second else 1
        self._window = (second, said)
        try:
            if said > MOST_LINES_A_SECOND:
                raise queue.Full
            self._lines.put_nowait(f"{self._name}: {text[:LONGEST_LINE]}\n")
        except queue.Full:
            self._dropped += 1

    def flush(self) -> None:
        """Give what was said a moment to arrive."""
        until = time.monotonic() + 0.5
        while not self._lines.empty() and time.monotonic() < until:
            time.sleep(0.005)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            dropped, self._dropped = self._dropped, 0
            try:
                sys.stderr.write(f"{self._name}: {dropped} lines were left out\n{line}" if dropped else line)
                sys.stderr.flush()
            except OSError:
                # A full disk, or a terminal that is gone: the next line says that this one is missing.
                self._dropped += dropped + 1
