"""Keeps the note of a stop: in memory at once, and on disk by a thread of its own, so that a disk that stands still holds up nothing else."""

from __future__ import annotations

import threading
from pathlib import Path

from interlock.domain.errors import DamagedState
from interlock.sentinel.note import UNKNOWN, Disk, HostDisk, Stop, encoded, replace, unfinished

AGAIN_S = 1.0
"""How long a disk that refused is left alone."""


class NoteKeeper:
    """`work` is the thread's. `in_memory` survives the sentinel, `on_disk` the host; whoever reads asks the memory first."""

    def __init__(self, in_memory: Path, on_disk: Path, disk: Disk) -> None:
        self._in_memory = in_memory
        self._on_disk = on_disk
        self._disk = disk
        self._changed = threading.Condition()
        self._due: bytes | None = None
        self._stopping = False
        self._trouble = {"memory": "", "disk": ""}
        self.unreadable = ""
        """Why the note of the sentinel before could not be read, until the stop that it is taken for is over."""

    def read(self) -> Stop | None:
        """What an earlier sentinel left to be finished. To be asked before anything is kept; a note that cannot be read is a stop."""
        try:
            return unfinished(self._in_memory, self._on_disk, self._disk)
        except DamagedState as error:
            self.unreadable = str(error)
            return UNKNOWN

    def keep(self, stop: Stop | None) -> None:
        """Note this instead of what was noted before; None when it is at its end. Waits for no disk."""
        data = encoded(stop)
        with self._changed:
            if stop is None:
                self.unreadable = ""
            self._trouble["memory"] = self._put_in_memory(data)
            self._due = data
            self._changed.notify_all()

    def status(self) -> dict[str, object]:
        """Whether the newest note is on disk, what stands in its way, and what could not be read at the start."""
        with self._changed:
            return {"on_disk": self._due is None, **self._trouble, "unreadable": self.unreadable}

    def stop(self) -> None:
        """Let `work` end once it has tried to write what is due."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def work(self) -> None:
        """Write what is due until stopped. Only the newest matters: what came meanwhile is written in its place."""
        while (data := self._await_due()) is not None:
            try:
                replace(self._disk, self._on_disk, data)
                trouble = ""
            except OSError as error:
                trouble = f"{self._on_disk}: {error}"
            with self._changed:
                self._trouble["disk"] = trouble
                if not trouble and self._due is data:
                    self._due = None
                elif trouble and self._changed.wait_for(lambda: self._stopping, AGAIN_S):
                    return

    def _put_in_memory(self, data: bytes) -> str:
        try:
            replace(HostDisk(), self._in_memory, data)
        except OSError as error:
            trouble = f"{self._in_memory}: {error}"
        else:
            return ""
        try:
            # An older one must not be taken for the newest: where there is none in memory, the one on disk counts.
            self._in_memory.unlink(missing_ok=True)
        except OSError as error:
            trouble += f"; an older one stays: {error}"
        return trouble

    def _await_due(self) -> bytes | None:
        with self._changed:
            self._changed.wait_for(lambda: self._due is not None or self._stopping)
            return self._due
