"""The stop word: a few bytes of memory that gate and sentinel share, so that a stop needs nothing of the one that is to be stopped.

It has a name in the host's memory (tmpfs), so that it outlives either process and no write to it waits for a disk. What has to outlive the host
too is in the note (`note.py`).

The sentinel sets it before its first cancel and never clears it; the gate reads it immediately before every order write, which costs
nothing and waits for nothing. In the other direction the gate acknowledges the stop and shows its progress. A new process life of the gate
makes a new file: a word that was set stays set for the life that it stopped.

Words of 8 bytes, in this machine's order: [0] magic, [1] stop (0, or the boot time of the stop in nanoseconds), [2] acknowledged (likewise,
by the gate), [3] progress (raised by the gate whenever its loop has done a round of work), [4] and [5] the incarnation of the gate, [6] to
[8] its process (id, start in clock ticks, namespace of ids). The sentinel writes [9], its own beat, and what it has to finish if it dies in
the middle: [10] what it sweeps (0 nothing, 1 our orders, 2 all), [11] the boot time at which that was final, or 0.
"""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from interlock.domain.errors import DamagedState, Refused
from interlock.sentinel.gate_process import GateIdentity, identity_of

MAGIC = 0x4B434F4C52544E49
SIZE_BYTES = 4096
_STOP, _ACKNOWLEDGED, _PROGRESS, _INCARNATION, _PROCESS, _BEAT, _SWEEP, _FINAL = 1, 2, 3, 4, 6, 9, 10, 11


class StopWord:
    """The shared words. Reading and writing one word is atomic on every machine that this runs on: aligned, 8 bytes."""

    def __init__(self, mapping: mmap.mmap) -> None:
        self._mapping = mapping
        self._words = memoryview(mapping).cast("Q")

    @staticmethod
    def create(path: Path, incarnation: str) -> StopWord:
        """Make the word of a new process life, which is the caller's; replaces the one of an earlier life. Raises Refused where there is no room.

        `incarnation` is 32 hexadecimal digits.
        """
        temporary = path.with_name(path.name + ".new")
        try:
            descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                # Without its pages from the start, a full memory would end the process at the first write.
                os.posix_fallocate(descriptor, 0, SIZE_BYTES)
                word = StopWord(mmap.mmap(descriptor, SIZE_BYTES))
            finally:
                os.close(descriptor)
        except OSError as error:
            raise Refused(f"stop word {path}: expected room for {SIZE_BYTES} bytes, found: {error.strerror}; make some there") from error
        number = int(incarnation, 16)
        word._words[_INCARNATION] = number >> 64
        word._words[_INCARNATION + 1] = number & (2**64 - 1)
        gate = identity_of(os.getpid())
        for place, value in enumerate((gate.pid, gate.start_ticks, gate.pid_namespace), start=_PROCESS):
            word._words[place] = value
        word._words[0] = MAGIC
        os.replace(temporary, path)
        return word

    @staticmethod
    def attach(path: Path) -> StopWord:
        """Map the word of a running gate. Raises Refused if there is none, DamagedState if the file is something else."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise Refused(f"stop word {path}: expected the one of a running gate, found: {error.strerror}; is the gate running?") from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise DamagedState(f"stop word {path}: expected a file of user {os.geteuid()}, found another one; remove it")
            if found.st_size != SIZE_BYTES:
                raise DamagedState(f"stop word {path}: expected {SIZE_BYTES} bytes, found {found.st_size}; start the gate again")
            word = StopWord(mmap.mmap(descriptor, SIZE_BYTES))
        finally:
            os.close(descriptor)
        if word._words[0] != MAGIC:
            word.close()
            raise DamagedState(f"stop word {path}: it is not one; start the gate again")
        return word

    @property
    def incarnation(self) -> str:
        """The process life that this word stops."""
        return f"{self._words[_INCARNATION] << 64 | self._words[_INCARNATION + 1]:032x}"

    @property
    def stopped(self) -> bool:
        """Whether no new risk may be written any more."""
        return self._words[_STOP] != 0

    def stop(self, boot_ns: int) -> None:
        """Stop, for good. The first time stays."""
        if self._words[_STOP] == 0:
            self._words[_STOP] = max(boot_ns, 1)

    @property
    def acknowledged(self) -> bool:
        """Whether the gate has seen the stop."""
        return self._words[_ACKNOWLEDGED] != 0

    def acknowledge(self, boot_ns: int) -> None:
        """The gate's word that it has seen the stop and writes no new risk."""
        if self._words[_ACKNOWLEDGED] == 0:
            self._words[_ACKNOWLEDGED] = max(boot_ns, 1)

    @property
    def progress(self) -> int:
        """How many rounds of work the gate has done; a number that stands still is a gate that stands still."""
        return self._words[_PROGRESS]

    def advance(self) -> None:
        """One more round of work is done."""
        self._words[_PROGRESS] += 1

    @property
    def gate(self) -> GateIdentity | None:
        """The process that made this word; None if it reads as none."""
        pid, start_ticks, pid_namespace = self._words[_PROCESS : _PROCESS + 3]
        try:
            return GateIdentity(pid, start_ticks, pid_namespace)
        except ValueError:
            return None

    @property
    def sentinel_beat(self) -> int:
        """How often the sentinel has looked; a number that stands still is a sentinel that does not look."""
        return self._words[_BEAT]

    def beat(self) -> None:
        """The sentinel has looked once more, and all that it needs for a stop lives."""
        self._words[_BEAT] += 1

    @property
    def unfinished(self) -> int:
        """What a sentinel still has to sweep: 0 nothing, 1 our orders, 2 all."""
        return self._words[_SWEEP] if self.stopped and self._words[_FINAL] == 0 else 0

    def begin_sweep(self, what: int) -> None:
        """Remember what is to be swept; said before the stop, so that no stop is without it. An unfinished sweep of all stays one."""
        self._words[_SWEEP] = max(self.unfinished, what)
        self._words[_FINAL] = 0

    def finish_sweep(self, boot_ns: int) -> None:
        """It is final."""
        self._words[_FINAL] = max(boot_ns, 1)

    def close(self) -> None:
        """Let go of the mapping."""
        self._words.release()
        self._mapping.close()
