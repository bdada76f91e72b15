"""The disk port of the journal: the few operations by which records reach a disk, so that tests can make each of them fail.

Every operation raises OSError when the disk refuses. Nothing is durable before the sync that covers it: a file's `sync` for its content,
`sync_directory` for names.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol


class Readable(Protocol):
    """What can be read at any place."""

    def read(self, size: int, offset: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""
        ...

    def size(self) -> int:
        """Length in bytes."""
        ...

    def close(self) -> None:
        """Let go of it, without syncing."""
        ...


class File(Readable, Protocol):
    """An open file."""

    def write(self, data: bytes, offset: int) -> int:
        """Write at `offset` and return how many bytes were taken, which can be fewer than given."""
        ...

    def sync(self) -> None:
        """Return when everything written is on disk, with the length that is needed to read it back."""
        ...


class Held(Protocol):
    """A lock that is held until it is released or the process ends."""

    def release(self) -> None:
        """Give the lock back."""
        ...


class Disk(Protocol):
    """A file system."""

    def open(self, path: Path) -> File:
        """An existing file, for reading and syncing; raises FileNotFoundError if there is none."""
        ...

    def create(self, path: Path) -> File:
        """A new, empty file for reading and writing; raises FileExistsError if the name is taken."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in one step; replaces a file that has it."""
        ...

    def unlink(self, path: Path) -> None:
        """Remove a name; raises FileNotFoundError if there is none."""
        ...

    def names(self, directory: Path) -> list[str]:
        """The names in a directory; raises FileNotFoundError if there is no such directory."""
        ...

    def make_directory(self, path: Path) -> None:
        """Make a directory, readable by owner and group only; one that is there is left as it is."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are on disk."""
        ...

    def free_bytes(self, directory: Path) -> int:
        """Bytes that an ordinary user could still write there."""
        ...

    def lock(self, path: Path) -> Held:
        """Take the only lock of that name without waiting; raises BlockingIOError if somebody has it."""
        ...


class SystemFile:
    """A file of the operating system. `SystemDisk` makes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int, offset: int) -> bytes:
        """`pread`, again until there is no more."""
        data = os.pread(self._descriptor, size, offset)
        while 0 < len(data) < size:
            more = os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def size(self) -> int:
        """`fstat`."""
        return os.fstat(self._descriptor).st_size

    def write(self, data: bytes, offset: int) -> int:
        """`pwrite`."""
        return os.pwrite(self._descriptor, data, offset)

    def sync(self) -> None:
        """`fdatasync`."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """`close`."""
        os.close(self._descriptor)


class SystemLock:
    """`flock` on a file; the kernel releases it when the process dies, however it dies."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Close the file. It stays: removing it would let two holders lock two files of one name."""
        os.close(self._descriptor)


class SystemDisk:
    """The machine's file system."""

    def open(self, path: Path) -> SystemFile:
        """Read-only, and never through a symbolic link."""
        return SystemFile(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC))

    def create(self, path: Path) -> SystemFile:
        """Exclusive; readable by owner and group."""
        return SystemFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640))

    def rename(self, source: Path, target: Path) -> None:
        """`rename`."""
        source.rename(target)

    def unlink(self, path: Path) -> None:
        """`unlink`."""
        path.unlink()

    def names(self, directory: Path) -> list[str]:
        """`readdir`."""
        return os.listdir(directory)

    def make_directory(self, path: Path) -> None:
        """`mkdir`, and a sync of the folder that it stands in."""
        if not path.is_dir():
            path.mkdir(mode=0o750)
            self.sync_directory(path.parent)

    def sync_directory(self, path: Path) -> None:
        """`fsync` of the directory."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_bytes(self, directory: Path) -> int:
        """`statvfs`."""
        found = os.statvfs(directory)
        return found.f_bavail * found.f_frsize

    def lock(self, path: Path) -> SystemLock:
        """`flock`, exclusive, not waiting. A file that was replaced while it was locked keeps nobody out and counts as taken."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours, named = os.fstat(descriptor), os.stat(path, follow_symlinks=False)
            if (ours.st_dev, ours.st_ino) != (named.st_dev, named.st_ino):
                raise BlockingIOError(f"{path} was replaced while it was locked")
        except OSError:
            os.close(descriptor)
            raise
        return SystemLock(descriptor)


def write_all(file: File, data: bytes, offset: int) -> None:
    """Write everything, however little is taken at a time. Raises OSError if nothing is taken at all."""
    done = file.write(data, offset)
    while done < len(data):
        taken = file.write(data[done:], offset + done)
        if taken <= 0:
            raise OSError(f"expected to write {len(data)} bytes, the disk took {done} and no more")
        done += taken


def unlink_if_there(disk: Disk, path: Path) -> None:
    """Remove a name that may be absent."""
    try:
        disk.unlink(path)
    except FileNotFoundError:
        return
