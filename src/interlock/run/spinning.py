"""The right to spin: at most one process of two cores of this host, whoever runs it.

A process that never sleeps keeps a core from all others. On two cores one of them leaves a core to gate, sentinel and venue; two would leave none.
The right is a lock of the operating system, which the kernel gives back when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from interlock.domain.errors import UsageError
from interlock.gate.account_lock import LOCK_FOLDER

CORES_EACH: Final = 2


class SpinningRight:
    """Held until `release`, or the end of the process. Make it with `take_right`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Give it back."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)


def cores() -> int:
    """How many cores this process may run on."""
    return len(os.sched_getaffinity(0))


def take_right(of_cores: int, folder: Path = LOCK_FOLDER) -> SpinningRight:
    """Take one of the rights of a host with so many cores. Raises UsageError if there is none, or none is left."""
    rights = of_cores // CORES_EACH
    if rights == 0:
        raise UsageError(
            f"live.spin: expected {CORES_EACH} cores or more, found {of_cores}; a process that never sleeps would keep the gate from running. "
            "Set it to false"
        )
    taken = []
    for number in range(rights):
        path = folder / f"interlock-spin-{number}.lock"
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o660)
        except PermissionError:
            taken.append("another user's process")
            continue
        except OSError as error:
            raise UsageError(
                f"live.spin: expected a lock at {path}, found: {error.strerror}; set it to false, or see to that folder"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            taken.append(f"process {os.pread(descriptor, 20, 0).decode(errors='replace').strip() or 'that did not say which'}")
            os.close(descriptor)
            continue
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return SpinningRight(descriptor)
    raise UsageError(
        f"live.spin: expected fewer than {rights} spinning processes on {of_cores} cores, found {', '.join(taken)}; end that one, or set it to false"
    )
