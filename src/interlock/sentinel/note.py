"""The note of a stop: what a sentinel has to finish if it dies in the middle, so that the next one of that folder goes on with the same orders.

One line that names the version and the SHA-256 of the rest, then JSON. It is replaced as a whole: a new file, synced, renamed over the old one, and
the folder synced, so that a crash at any moment leaves the old note or the new one. What cannot be read is damage, and damage is a stop that is not
at its end.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Protocol

import msgspec

from interlock.domain.errors import DamagedState
from interlock.sentinel.gate_process import GateIdentity
from interlock.sentinel.sweep import Scope

VERSION = b"interlock-stop-note-1"
MOST_BYTES = 16 << 20
"""Longer than any note: the client ids of a stop came in frames of at most 1 MiB."""


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stop that is not at its end.

    `client_ids` are by venue those whose end is not known yet; a venue that is absent is one where nobody named any. `gate` is the process that was
    to be stopped: id, start in clock ticks, namespace of ids, and `kernel_boot_id` the boot of the host that these count in.
    """

    scope: Scope
    client_ids: dict[str, tuple[str, ...]]
    gate: tuple[int, int, int] | None = None
    kernel_boot_id: str = ""

    @property
    def gate_identity(self) -> GateIdentity | None:
        """The gate's process; None if it was not known or reads as none."""
        try:
            return None if self.gate is None else GateIdentity(*self.gate, self.kernel_boot_id)
        except ValueError:
            return None


class _Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stop: Stop | None


UNKNOWN = Stop(scope=Scope.OWN, client_ids={})
"""A stop of which nothing can be read. Strangers' orders are cancelled on a person's word only, and that cannot be read either."""


class Disk(Protocol):
    """The few operations that a note needs. Each raises OSError; nothing is durable before it was synced."""

    def read(self, path: Path) -> bytes:
        """All of a file of ours; raises FileNotFoundError if there is none."""
        ...

    def put(self, path: Path, data: bytes) -> None:
        """A file of that content, which is synced; replaces what an earlier attempt left there."""
        ...

    def rename(self, source: Path, target: Path) -> None:
        """Give a file another name in one step; replaces a file that has it."""
        ...

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are on disk."""
        ...


class HostDisk:
    """The file system of this host. Files are private, and never behind a symbolic link."""

    def read(self, path: Path) -> bytes:
        """Raises OSError also for what is no file, is another user's, or could be written by others."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
                raise PermissionError(f"expected a file that only user {os.geteuid()} writes, found another one")
            if found.st_size > MOST_BYTES:
                raise OSError(f"expected at most {MOST_BYTES} bytes, found {found.st_size}")
            return file.read()

    def put(self, path: Path, data: bytes) -> None:
        """`fsync` before it is closed."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """`rename`."""
        os.replace(source, target)

    def sync_directory(self, path: Path) -> None:
        """`fsync` of the directory."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def replace(disk: Disk, path: Path, data: bytes) -> None:
    """Give a file a new content, all of it or nothing, and durably. Raises OSError; the old content then stays or the new one is there."""
    beside = path.with_name(path.name + ".new")
    disk.put(beside, data)
    disk.rename(beside, path)
    disk.sync_directory(path.parent)


def encoded(stop: Stop | None) -> bytes:
    """The note of a stop; of none, once the last one is at its end."""
    body = msgspec.json.encode(_Note(stop))
    return b"%s %s\n%s" % (VERSION, hashlib.sha256(body).hexdigest().encode(), body)


def read_note(disk: Disk, path: Path) -> Stop | None:
    """The stop that is not at its end; None if the last one is. Raises FileNotFoundError if there is no note, DamagedState for a damaged one."""
    try:
        data = disk.read(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedState(f"stop note {path}: expected one that can be read, found: {error}; look at the venue by hand") from error
    head, _, body = data.partition(b"\n")
    version, _, digest = head.partition(b" ")
    if version != VERSION:
        raise DamagedState(f"stop note {path}: expected version {VERSION.decode()}, found {version[:32]!r}; look at the venue by hand")
    try:
        if digest != hashlib.sha256(body).hexdigest().encode():
            raise ValueError("its checksum is another one")
        return msgspec.json.decode(body, type=_Note).stop
    except ValueError as error:
        raise DamagedState(f"stop note {path}: expected a whole one, found: {error}; look at the venue by hand") from error


def note_beside(stop_word: Path) -> Path:
    """The note in memory that belongs to a stop word."""
    return stop_word.with_name("stop-note")


def unfinished(in_memory: Path, on_disk: Path, disk: Disk) -> Stop | None:
    """The stop that the notes of a folder tell about; None if it is at its end or there never was one. Raises DamagedState.

    The note in memory is written first, so it is the newer one where it is there; after the host's boot only the one on disk is.
    """
    try:
        return read_note(HostDisk(), in_memory)
    except FileNotFoundError:
        pass  # none since the host's boot
    try:
        return read_note(disk, on_disk)
    except FileNotFoundError:
        return None
