"""Disks for the note of a stop: one that loses its power at a chosen step, one that stands still until it is told to go on, one that refuses."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

from tests.gate.disks import FakeDisk

from interlock.sentinel.note import HostDisk


class StepDisk:
    """The journal's fake disk behind the note's port: each `put` is a create, a write and a sync that can be the last."""

    def __init__(self, inner: FakeDisk) -> None:
        self.inner = inner

    def read(self, path: Path) -> bytes:
        file = self.inner.open(path)
        return file.read(file.size(), 0)

    def put(self, path: Path, data: bytes) -> None:
        if path in self.inner.files:
            self.inner.unlink(path)
        file = self.inner.create(path)
        file.write(data, 0)
        file.sync()
        file.close()

    def rename(self, source: Path, target: Path) -> None:
        self.inner.rename(source, target)

    def sync_directory(self, path: Path) -> None:
        self.inner.sync_directory(path)


class StalledDisk(HostDisk):
    """Takes a note and does not come back, until `stall` is set."""

    def __init__(self) -> None:
        self.stall = threading.Event()
        self.asked = threading.Event()

    def put(self, path: Path, data: bytes) -> None:
        self.asked.set()
        self.stall.wait()
        super().put(path, data)


class RefusingDisk(HostDisk):
    """Refuses to write while `full`."""

    def __init__(self) -> None:
        self.full = True

    def put(self, path: Path, data: bytes) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")
        super().put(path, data)
