"""The host's disk in memory: it outlives the processes that write to it, fills up, and takes nothing from one that is gone."""

from __future__ import annotations

import errno
import threading

from tests.gate.disks import FakeDisk

ROOM_BYTES = 1 << 34
CLOSING_S = 0.5
"""How long a thread waits, in real time, for a loop that comes to no rest: it may be waiting for that thread, to close the journal."""


class _Rest(threading.Event):
    """What a sync waits for: the loop's rest, unless it is the loop's own thread that syncs."""

    def __init__(self, resting: threading.Event) -> None:
        super().__init__()
        self._resting = resting
        self._home = threading.get_ident()

    def wait(self, timeout: float | None = None) -> bool:
        return threading.get_ident() == self._home or self._resting.wait(CLOSING_S if timeout is None else timeout)


class HostDisk(FakeDisk):
    """A disk as one process has it. `full`: nothing new fits on it. `gone`: the process has ended, and nothing of it reaches the disk any more.

    What a thread syncs is synced while the loop is `resting`: how fast a thread is must not change what the loop finds durable.
    """

    def __init__(self, resting: threading.Event) -> None:
        super().__init__()
        self._resting = resting
        self.stall = _Rest(resting)
        self.free = ROOM_BYTES
        self.gone = False
        self.full = False

    def step(self, what: str) -> None:
        if self.gone:
            raise OSError(errno.EIO, "the process is gone")
        if self.full and what == "create":
            raise OSError(errno.ENOSPC, "no space left")

    def short_write(self, size: int) -> int:
        return size

    def fill(self, full: bool) -> None:
        """Let the disk be full, or have room again."""
        self.full = full
        self.free = 0 if full else ROOM_BYTES

    def after_process(self) -> HostDisk:
        """The disk of the next process: everything that was written is there."""
        self.gone = True
        left = HostDisk(self._resting)
        left.directories, left.files, left.durable_names, left.changes = self.directories, self.files, self.durable_names, self.changes
        left.fill(self.full)
        return left
