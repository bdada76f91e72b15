"""A file that says how a process stands, written by a thread: the process never waits for the disk, and a reader finds it whole or the one before.

A write that fails ends nobody: how a process stands is said again a second later, and then also that it could not be said.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path


class StatusFile:
    """`put` what it is to say now; of several that wait only the last is written. `close` raises OSError if the last word was not.

    `unwritten` is how many writes failed, `trouble` why the last of those did; empty if none has.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._wanted = threading.Condition()
        self._data: bytes | None = None
        self._closing = False
        self._failed: OSError | None = None
        self.unwritten = 0
        self.trouble = ""
        self._thread = threading.Thread(target=self._write, name="status file", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Hand it over."""
        with self._wanted:
            self._data = data
            self._wanted.notify()

    def close(self, last: bytes) -> None:
        """Write the last word, and wait until it stands. Raises OSError if it does not."""
        self.put(last)
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        self._thread.join()
        if self._failed is not None:
            raise self._failed

    def _write(self) -> None:
        while True:
            with self._wanted:
                self._wanted.wait_for(lambda: self._data is not None or self._closing)
                data, self._data = self._data, None
            if data is None:
                return
            try:
                self._part.write_bytes(data)
                os.replace(self._part, self._path)
                self._failed = None
            except OSError as error:
                self._failed = error
                self.unwritten += 1
                self.trouble = str(error)
