"""What a fold may forget, and when: decided by the records alone, so that every reader of a journal forgets at the same record.

What has ended is remembered for `RETAIN_NS`; of more than `KEPT` of a kind the oldest go earlier, but never before `LEAST_NS`. Ages are measured
between records of one process life, on CLOCK_BOOTTIME. With each BOOT they begin anew: the host's clock may have done so too, and whoever reads the
venue then has LEAST_NS to catch up with what happened meanwhile, before anything is forgotten. Forgetting never makes anything possible again: what
names something forgotten is a violation or a flag, and halts.
"""

from __future__ import annotations

import hashlib
from typing import Generic, TypeVar

import msgspec

from interlock.domain.clock import NS_PER_S

RETAIN_NS = 86_400 * NS_PER_S
"""Nothing that has ended is remembered for longer."""
LEAST_NS = 300 * NS_PER_S
"""Everything that has ended is remembered for so long. Whoever repeats a question to a venue must not reach back further than this."""
KEPT = 5_000
"""How many of a kind are remembered beyond `LEAST_NS`: what bounds the state, and with it a snapshot and the time of a boot."""

_COMPACT_AT = 1_024

T = TypeVar("T")


class Queue(msgspec.Struct, Generic[T], array_like=True, forbid_unknown_fields=True):
    """What is to be forgotten, oldest first, each with the boot time since when it may be. Entries before `head` are gone."""

    entries: list[tuple[int, T]] = []
    head: int = 0

    def __len__(self) -> int:
        return len(self.entries) - self.head

    def add(self, boot_ns: int, what: T) -> int:
        """Append, and return the time that it stands there with: never earlier than that of the entry before, so that one clock orders all."""
        since = max(boot_ns, self.entries[-1][0]) if self.entries else boot_ns
        self.entries.append((since, what))
        return since

    def take(self, boot_ns: int) -> tuple[int, T] | None:
        """Remove and return the oldest entry if its time has come, with the time that `add` returned for it."""
        if self.head == len(self.entries):
            return None
        entry = self.entries[self.head]
        age_ns = boot_ns - entry[0]
        if age_ns <= LEAST_NS or (age_ns <= RETAIN_NS and len(self.entries) - self.head <= KEPT):
            return None
        self.head += 1
        if self.head == len(self.entries) or self.head >= _COMPACT_AT:
            del self.entries[: self.head]
            self.head = 0
        return entry

    def restart(self, boot_ns: int) -> None:
        """Let everything count from the first record of a new process life."""
        self.entries = [(boot_ns, what) for _, what in self.entries[self.head :]]
        self.head = 0

    def left(self) -> list[tuple[int, T]]:
        """The entries, oldest first."""
        return self.entries[self.head :]


def fingerprint(value: object) -> str:
    """SHA-256, hexadecimal, of plain data: structs, lists, tuples, dicts, text, numbers. The order of a dict counts: it decides what is next."""
    try:
        plain = msgspec.msgpack.encode(value)
    except OverflowError:
        plain = repr(value).encode()  # a sum beyond 64 bits, which a fold must bear
    return hashlib.sha256(plain).hexdigest()
