"""The gate as a process: who it is, whether it lives, and its end.

A process id alone names nobody for long. With the time at which its process started it does, and whatever does not match is not killed.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

PROC = Path("/proc")
_STATE, _START_TICKS = 0, 19
"""Places in `/proc/PID/stat` behind the name of the command."""


@dataclass(frozen=True, slots=True)
class GateIdentity:
    """A process for certain: its id, its start in clock ticks since the machine's boot, and whose ids these are (0: not known, taken as ours).

    `kernel_boot_id`: which boot that was; "" is this one.
    """

    pid: int
    start_ticks: int
    pid_namespace: int = 0
    kernel_boot_id: str = ""

    def __post_init__(self) -> None:
        if self.pid <= 1 or self.start_ticks < 0 or self.pid_namespace < 0:
            raise ValueError(f"gate process: expected pid > 1 and a start, found {self.pid} and {self.start_ticks}")


class Life(StrEnum):
    """What a process is seen to be."""

    RUNS = "runs"
    STOPPED = "stopped"
    """By a signal; it goes on when another one comes."""
    GONE = "gone"
    UNSEEN = "unseen"
    """It cannot be told; whoever needs it gone must not assume it."""


def _stat(pid: int, proc: Path = PROC) -> list[str]:
    return (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()


def identity_of(pid: int) -> GateIdentity:
    """Who a living process of ours is. Raises OSError when there is none."""
    return GateIdentity(pid, int(_stat(pid)[_START_TICKS]), _namespace())


def _namespace() -> int:
    return (PROC / "self/ns/pid").stat().st_ino


def kernel_boot_id(proc: Path = PROC) -> str:
    """Which boot of the host this is; empty where that cannot be read, which no other boot equals."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def look(gate: GateIdentity, proc: Path = PROC) -> Life:
    """Whether it lives. Only what is certain counts as gone: another user's hidden process is unseen."""
    if gate.kernel_boot_id and kernel_boot_id(proc) not in ("", gate.kernel_boot_id):
        return Life.GONE
    if gate.pid_namespace not in (0, _namespace()):
        return Life.UNSEEN
    try:
        found = _stat(gate.pid, proc)
    except OSError:
        # A system may hide other users' processes there; the kernel's own answer does not.
        return Life.GONE if _has_no_process(gate.pid) else Life.UNSEEN
    if int(found[_START_TICKS]) != gate.start_ticks or found[_STATE] in "ZX":
        return Life.GONE
    return Life.STOPPED if found[_STATE] in "Tt" else Life.RUNS


def _has_no_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, ProcessLookupError)
    return False


def kill(gate: GateIdentity, wait_s: float) -> str:
    """Kill it and wait for its end; returns why that is not certain, or "".

    Its process group dies with it if it leads that group. A group that it was merely started in holds strangers, who are spared.
    """
    if look(gate) is Life.UNSEEN:
        return f"process {gate.pid} cannot be seen from here"
    try:
        with _handle(gate.pid) as handle:
            # The handle is of whoever has the id now; only a look behind it says that this is still the gate.
            if look(gate) is Life.GONE:
                return ""
            group = os.getpgid(gate.pid)
            if group == gate.pid and group != os.getpgrp():
                os.killpg(group, signal.SIGKILL)
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            ended, _, _ = select.select([handle], [], [], wait_s)
    except OSError as error:
        return "" if isinstance(error, ProcessLookupError) else f"process {gate.pid} could not be killed from here: {error.strerror}"
    return "" if ended else f"process {gate.pid} was killed and has not ended yet"


@contextmanager
def _handle(pid: int) -> Iterator[int]:
    handle = os.pidfd_open(pid)
    try:
        yield handle
    finally:
        os.close(handle)
