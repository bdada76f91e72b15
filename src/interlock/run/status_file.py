"""A file that says how a process stands, written by a thread: the process never waits for the disk, and a reader finds it whole or the one before."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class StatusFile:
    """`put` what it is to say now; of several that wait only the last is written. Raises OSError from `check` and `close` if one was not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._wanted = threading.Condition()
        self._data: bytes | None = None
        self._closing = False
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="status file", daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Hand it over."""
        with self._wanted:
            self._data = data
            self._wanted.notify()

    def check(self) -> None:
        """Raise OSError if a write failed."""
        if self._failed is not None:
            raise self._failed

    def close(self, last: bytes) -> None:
        """Write the last word, and wait until it stands. Raises OSError if anything was not written."""
        self.put(last)
        with self._wanted:
            self._closing = True
            self._wanted.notify()
        self._thread.join()
        self.check()

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
            except OSError as error:
                self._failed = error
