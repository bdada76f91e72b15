"""What the engine consumes, one after the other: everything that a decision can depend on, and the log that keeps it.

A run is decided again from this log alone: frames as they came, what the gate told, timers, each with the `now` that the kernel was given. The
log is a file of blocks; each is compressed, and carries its length and the checksum of what is in it, so that the end of a run that was killed is
found. What was consumed in the last moment of such a run may be missing, and then the log ends earlier; it is never wrong.
"""

from __future__ import annotations

import contextlib
import os
import queue
import struct
import threading
import zlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from interlock.domain.errors import DamagedState
from interlock.domain.instruments import Instrument

VERSION: Final = 1
BLOCK_BYTES: Final = 1 << 18
FLUSH_EVERY_NS: Final = 500_000_000
MAGIC: Final = b"interlock inputs\n"
_ITEM = struct.Struct("<BHqI")
_BLOCK = struct.Struct("<III")
"""Bytes of the block as it is stored, bytes of what is in it, CRC-32 of what is in it."""
LARGEST_BLOCK: Final = 1 << 28


class Kind(IntEnum):
    """What was consumed. `number` and `data` of an input mean what the kind says."""

    FRAME = 1
    """A frame of market data; number: of the connection, data: the frame."""
    ANSWER = 2
    """A book that was asked for over HTTP; number: of the connection, data: symbol, newline, the answer's body."""
    LOST = 3
    """A connection was lost; number: its."""
    FRESH = 4
    """Whether a book may be used; number: of the instrument, data: 1 or 0."""
    TOLD = 6
    """What the gate told of orders and positions; data: the frame's body."""
    GATE = 7
    """Whether the gate would permit anything; number: 1 or 0."""
    DECIDED = 8
    """What became of proposals; data: a msgpack list of (our number, client id), the id empty for a denial."""
    UNDECIDED = 9
    """The gate was lost with proposals under way."""
    TIMER = 10
    """The strategy's timer rang."""
    ACTIONS = 11
    """No input: what the engine wanted after the input before it, as a msgpack list. Held against what is decided again."""

    END = 12
    """No input: the engine ended in order. A log without it was cut off, and lacks what was consumed last."""


_KINDS: Final = frozenset(Kind)


class NotBegun(DamagedState):
    """A log that ends before its header is whole: its engine was killed before it had consumed anything."""


class Input(NamedTuple):
    """One thing that was consumed. now_ns: the kernel's now."""

    kind: Kind
    now_ns: int
    number: int = 0
    data: bytes = b""


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the log begins with: all that a run is decided from besides its inputs.

    `epoch_ns`: the kernel's now at the start; `boot_offset_ns`: what to take from a now for CLOCK_BOOTTIME; `sequence_base`: added to our numbers
    it gives the sequence numbers of proposals; `config`: digest of the configuration.
    """

    version: int
    epoch_ns: int
    boot_offset_ns: int
    sequence_base: int
    strategy: str
    config: str
    source: str
    instruments: tuple[Instrument, ...]
    state: tuple[float, ...]
    """The kernel's state at the start."""


def encoded(one: Input) -> bytes:
    """An input as it is stored."""
    return _ITEM.pack(one.kind, one.number, one.now_ns, len(one.data)) + one.data


class InputLog:
    """Writes inputs in a thread of its own: whoever consumes one never waits for a disk. Raises OSError from `close` and `check` if it failed."""

    def __init__(self, path: Path, header: Header) -> None:
        self._file = path.open("xb", buffering=0)
        self._file.write(MAGIC)
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._buffer = bytearray()
        self._flushed_ns = header.epoch_ns
        self._failed: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="input log", daemon=True)
        self._thread.start()
        self._blocks.put(msgspec.json.encode(header))

    def write(self, one: Input) -> None:
        """Keep an input."""
        self._buffer += _ITEM.pack(one.kind, one.number, one.now_ns, len(one.data))
        self._buffer += one.data
        if len(self._buffer) >= BLOCK_BYTES or one.now_ns - self._flushed_ns > FLUSH_EVERY_NS:
            self._flushed_ns = one.now_ns
            self.flush()

    def flush(self) -> None:
        """Hand over what is buffered."""
        if self._buffer:
            self._blocks.put(bytes(self._buffer))
            self._buffer.clear()

    def check(self) -> None:
        """Raise OSError if a write failed."""
        if self._failed is not None:
            raise self._failed

    def close(self) -> None:
        """Write what is left and that it is all, and make it durable. Raises OSError if any of it was not written."""
        self._buffer += encoded(Input(Kind.END, self._flushed_ns))
        self.flush()
        self._blocks.put(None)
        self._thread.join()
        try:
            self.check()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _write(self) -> None:
        while (block := self._blocks.get()) is not None:
            if self._failed is not None:
                continue
            packed = zlib.compress(block, 1)
            try:
                self._file.write(_BLOCK.pack(len(packed), len(block), zlib.crc32(block)) + packed)
            except OSError as error:
                self._failed = error


class InputsRead:
    """A log that is read: its header, then its inputs one by one. After the last, `torn` says whether the file ended in the middle of a block.

    Raises NotBegun for a log without a header, DamagedState for one that was not written like this.
    """

    def __init__(self, path: Path) -> None:
        self.torn = False
        self._path = path
        self._blocks = self._read()
        first = next(self._blocks, None)
        if first is None:
            raise NotBegun(
                f"{path}: expected a log of inputs, found no header; its engine ended before it began, and there is nothing in it"
            )
        try:
            self.header = msgspec.json.decode(first, type=Header)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise DamagedState(f"{path}: expected a header of version {VERSION}, found: {error}") from error
        if self.header.version != VERSION:
            raise DamagedState(f"{path}: expected version {VERSION}, found {self.header.version}; use the interlock that wrote it")

    def __iter__(self) -> Iterator[Input]:
        for block in self._blocks:
            at = 0
            while at < len(block):
                if len(block) - at < _ITEM.size:
                    raise DamagedState(f"{self._path}: a block ends in the middle of an input; the file is damaged")
                kind, number, now_ns, length = _ITEM.unpack_from(block, at)
                at += _ITEM.size
                if kind not in _KINDS or len(block) - at < length:
                    raise DamagedState(
                        f"{self._path}: an input of kind {kind} and {length} bytes, of which there are {len(block) - at}; damaged"
                    )
                yield Input(Kind(kind), now_ns, number, block[at : at + length])
                at += length

    def _read(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            begins = file.read(len(MAGIC))
            if not MAGIC.startswith(begins):
                raise DamagedState(f"{self._path}: expected a log of inputs, found another file")
            if begins != MAGIC:
                self.torn = True
                return
            while head := file.read(_BLOCK.size):
                if len(head) < _BLOCK.size:
                    self.torn = True
                    return
                stored, length, checksum = _BLOCK.unpack(head)
                packed = file.read(stored)
                if len(packed) < stored:
                    self.torn = True
                    return
                if max(stored, length) > LARGEST_BLOCK:
                    raise DamagedState(f"{self._path}: a block of {length} bytes; the file is damaged")
                try:
                    block = zlib.decompress(packed)
                except zlib.error as error:
                    raise DamagedState(f"{self._path}: a block does not decompress ({error}); the file is damaged") from error
                if len(block) != length or zlib.crc32(block) != checksum:
                    raise DamagedState(f"{self._path}: a block does not match its checksum; the file is damaged")
                yield block


def begun(folder: Path, pattern: str) -> list[Path]:
    """The logs of a folder that have a header, by name. Raises DamagedState for a file that is no log, or of another version."""
    found = []
    for path in sorted(folder.glob(pattern)):
        with contextlib.suppress(NotBegun):
            InputsRead(path)
            found.append(path)
    return found
