"""One gate for an account: a lease that must be held before the first order and is asked about at every one.

The local implementation is a lock of the operating system on a file in one fixed folder of the host, named by what the venue itself calls
the account; so two gates with different folders of their own still meet. The kernel releases it when the process dies, however it dies.
Across hosts another implementation is needed; nothing here pretends to be one.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from interlock.domain.errors import Refused

LOCK_FOLDER = Path("/run/lock")
"""The fixed folder of the host: writable by every user with the sticky bit, and empty after a restart."""


class Lease(Protocol):
    """The right to be the only writer of an account."""

    def held(self) -> bool:
        """Whether it is certain at this moment that nobody else writes; anything uncertain is no."""
        ...

    def release(self) -> None:
        """Give the right back; it is not held afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class AccountName:
    """What the lock is called after. `identity` is the venue's own name of the account, or its set of access keys where it has none."""

    venue: str
    identity: str

    @property
    def file_name(self) -> str:
        """A name that shows neither account nor key."""
        digest = hashlib.sha256(f"{self.venue}\0{self.identity}".encode()).hexdigest()
        return f"interlock-{self.venue}-{digest[:24]}.lock"


class LocalLease:
    """A lock on a file of this host. Make it with `take_local`."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor: int | None = descriptor
        self._path = path

    def held(self) -> bool:
        """Whether the locked file is still the one that the name leads to; a lock on a file that was replaced keeps nobody out."""
        if self._descriptor is None:
            return False
        try:
            ours, theirs = os.fstat(self._descriptor), os.stat(self._path, follow_symlinks=False)
        except OSError:
            return False
        return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)

    def release(self) -> None:
        """Unlock. The file stays: removing it would let two holders lock two files of one name."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def take_local(account: AccountName, holder: str, folder: Path = LOCK_FOLDER) -> LocalLease:
    """Take the lock of an account; `holder` is written into it for the message that the next one gets. Raises Refused if it is not to be had."""
    path = folder / account.file_name
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
    except OSError as error:
        raise Refused(f"account lock {path}: expected a file that can be locked, found: {error.strerror}; see who owns it") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"account lock {path}: expected a plain file, found another kind; remove it")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            other = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
            raise Refused(
                f"account on {account.venue}: another gate has it ({other or 'it did not say who it is'}); stop that one first: "
                "two writers of one account double orders"
            ) from error
        lease = LocalLease(descriptor, path)
        if not lease.held():
            raise Refused(f"account lock {path}: it was replaced while it was locked; find out by whom, then start again")
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, holder.encode()[:200], 0)
    except BaseException:
        os.close(descriptor)
        raise
    return lease
