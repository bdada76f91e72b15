"""A disk that can lose its power, refuse, take less than it was given, and stall.

What was written and not synced lies in 512-byte sectors. When the power goes, each of them is on disk, or is not, or is garbage; and each change of a
name that no directory sync covered has happened, or has not. After a refused sync the sectors can still be read but no later sync will write them,
as kernels do it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
Choose = Callable[[int], int]
"""Called with a number of possibilities; returns one of them, from 0."""


class PowerLoss(BaseException):
    """The machine stops here. No code under test may catch it."""


@dataclass
class Inode:
    durable: bytearray = field(default_factory=bytearray)
    pending: dict[int, bytes] = field(default_factory=dict)
    limbo: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def sector(self, index: int) -> bytes:
        for layer in (self.pending, self.limbo):
            if index in layer:
                return layer[index]
        return bytes(self.durable[index * SECTOR : (index + 1) * SECTOR]).ljust(SECTOR, b"\0")

    def read(self, size: int, offset: int) -> bytes:
        end = min(offset + size, self.size)
        if end <= offset:
            return b""
        first, last = offset // SECTOR, (end - 1) // SECTOR
        if not self.pending and not self.limbo:
            return bytes(self.durable[offset:end]).ljust(end - offset, b"\0")
        whole = b"".join(self.sector(index) for index in range(first, last + 1))
        return whole[offset - first * SECTOR : end - first * SECTOR]

    def write(self, data: bytes, offset: int) -> None:
        self.size = max(self.size, offset + len(data))
        for index in range(offset // SECTOR, (offset + len(data) - 1) // SECTOR + 1):
            begin = index * SECTOR
            low, high = max(offset, begin), min(offset + len(data), begin + SECTOR)
            piece = data[low - offset : high - offset]
            if len(piece) < SECTOR:
                sector = bytearray(self.sector(index))
                sector[low - begin : high - begin] = piece
                piece = bytes(sector)
            self.pending[index] = piece

    def settle(self, layer: dict[int, bytes]) -> None:
        if layer:
            self.durable.extend(bytes(max(0, (max(layer) + 1) * SECTOR - len(self.durable))))
        for index, data in layer.items():
            self.durable[index * SECTOR : (index + 1) * SECTOR] = data

    def sync(self) -> None:
        self.settle(self.pending)
        self.pending = {}
        if len(self.durable) < self.size:
            self.durable.extend(bytes(self.size - len(self.durable)))

    def after_power_loss(self, choose: Choose) -> Inode:
        left = Inode(bytearray(self.durable))
        kept = {}
        for index, data in {**self.limbo, **self.pending}.items():
            fate = choose(3)
            if fate:
                kept[index] = data if fate == 1 else bytes(byte ^ 0xA5 for byte in data)
        left.settle(kept)
        left.size = min(len(left.durable), self.size)
        return left


class FakeFile:
    def __init__(self, disk: FakeDisk, inode: Inode) -> None:
        self._disk = disk
        self._inode = inode
        self._closed = False

    def read(self, size: int, offset: int) -> bytes:
        assert not self._closed
        if offset in self._disk.unreadable:
            raise OSError(errno.EIO, "unreadable")
        return self._inode.read(size, offset)

    def size(self) -> int:
        return self._inode.size

    def write(self, data: bytes, offset: int) -> int:
        assert not self._closed, "a file that was given up is used again"
        self._disk.step("write")
        taken = self._disk.short_write(len(data))
        if taken:
            self._inode.write(data[:taken], offset)
        return taken

    def sync(self) -> None:
        assert not self._closed, "a file that was given up is used again"
        self._disk.stall.wait()
        try:
            self._disk.step("sync")
        except OSError:
            self._inode.limbo |= self._inode.pending
            self._inode.pending = {}
            raise
        self._inode.sync()

    def close(self) -> None:
        assert not self._closed
        self._closed = True


class FakeLock:
    def __init__(self, disk: FakeDisk, path: Path) -> None:
        self._disk = disk
        self._path = path

    def release(self) -> None:
        self._disk.locks.remove(self._path)


class FakeDisk:
    """`steps` are the calls that change something, in order. `faults` says which of them raise what; `crash_at` before which the power goes."""

    def __init__(self) -> None:
        self.files: dict[Path, Inode] = {}
        self.durable_names: dict[Path, Inode] = {}
        self.changes: list[tuple[Path, Inode | None, Path | None]] = []
        self.directories: set[Path] = set()
        self.locks: set[Path] = set()
        self.steps: list[str] = []
        self.crash_at = -1
        self.faults: dict[int, int] = {}
        self.short: dict[int, int] = {}
        self.unreadable: set[int] = set()
        self.free = 1 << 40
        self.stall = threading.Event()
        self.stall.set()
        self._lock = threading.Lock()

    def step(self, what: str) -> None:
        with self._lock:
            number = len(self.steps)
            if number == self.crash_at:
                raise PowerLoss
            self.steps.append(what)
            if number in self.faults:
                raise OSError(self.faults[number], f"injected at step {number}, {what}")

    def short_write(self, size: int) -> int:
        return min(size, self.short.get(len(self.steps) - 1, size))

    def open(self, path: Path) -> FakeFile:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return FakeFile(self, self.files[path])

    def create(self, path: Path) -> FakeFile:
        self.step("create")
        if path in self.files:
            raise FileExistsError(errno.EEXIST, "is there", str(path))
        inode = self.files[path] = Inode()
        self.changes.append((path, inode, None))
        return FakeFile(self, inode)

    def rename(self, source: Path, target: Path) -> None:
        self.step("rename")
        inode = self.files.pop(source)
        self.files[target] = inode
        self.changes.append((target, inode, source))

    def unlink(self, path: Path) -> None:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        self.step("unlink")
        del self.files[path]
        self.changes.append((path, None, None))

    def names(self, directory: Path) -> list[str]:
        if directory not in self.directories:
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(directory))
        return [path.name for path in [*self.files, *self.directories] if path.parent == directory]

    def make_directory(self, path: Path) -> None:
        self.directories.add(path)

    def sync_directory(self, path: Path) -> None:
        self.step("sync_directory")
        self.durable_names = {name: inode for name, inode in self.durable_names.items() if name.parent != path}
        self.durable_names |= {name: inode for name, inode in self.files.items() if name.parent == path}
        self.changes = [change for change in self.changes if change[0].parent != path]

    def free_bytes(self, directory: Path) -> int:
        return self.free

    def lock(self, path: Path) -> FakeLock:
        if path in self.locks:
            raise BlockingIOError(errno.EWOULDBLOCK, "taken")
        self.locks.add(path)
        return FakeLock(self, path)

    def after_power_loss(self, choose: Choose) -> FakeDisk:
        """What a machine finds when it starts again."""
        names = dict(self.durable_names)
        for path, inode, source in self.changes:
            if choose(2):
                if source is not None:
                    names.pop(source, None)
                if inode is None:
                    names.pop(path, None)
                else:
                    names[path] = inode
        left = FakeDisk()
        left.directories = set(self.directories)
        left.files = {path: inode.after_power_loss(choose) for path, inode in sorted(names.items())}
        left.durable_names = dict(left.files)
        return left

    def after_process_death(self) -> FakeDisk:
        """What the next process finds on a machine that went on: all that was written, and the same names."""
        left = FakeDisk()
        left.directories, left.files, left.durable_names, left.changes = set(self.directories), self.files, self.durable_names, self.changes
        return left
