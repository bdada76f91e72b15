"""Reading the journal's bytes, written from the description of the format and sharing nothing with the code that writes them.

A segment is a header of one block and batches that each begin on a block of their own. A batch is written only after the sync of the one before it
returned, so that a record in an earlier batch is known to have been durable when a later one was written. Whatever cannot be read is told apart
from what can be read and is not as it must be: the first is damage and raises, the second is a finding (S13 for the chain, S28 for the order).
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from interlock.domain.errors import BadInput, DamagedState
from interlock.trace.values import Entry, Finding

_BLOCK: Final = 512
_HEADER: Final = struct.Struct("<8sIII4xQQQ16s32s")
_BATCH: Final = struct.Struct("<4sIQQII32s32sI")
_CRC_AT: Final = _BATCH.size - 4
_MAGIC: Final = b"ILKB"
_RECORDS, _SEAL = 0, 1
_NEWEST_SCHEMA: Final = 5
_CHUNK: Final = 1 << 20


class _Header(NamedTuple):
    first_lsn: int
    first_batch: int
    length: int
    incarnation: bytes
    chain: bytes
    schema: int


class _Batch(NamedTuple):
    kind: int
    number: int
    first_lsn: int
    total: int
    previous: bytes
    chain: bytes
    payload: bytes
    size: int


class JournalReader:
    """Gives what was appended since the last call; `problems` collects findings about the chain and the order of what was read.

    Raises BadInput where no journal is, DamagedState for what does not read back.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._first: int | None = None
        self._file: io.RawIOBase | io.BytesIO = io.BytesIO()
        self._path = directory
        self._header = _Header(1, 1, 0, b"", bytes(32), _NEWEST_SCHEMA)
        self._offset = _BLOCK
        self._number = 1
        self._chain = bytes(32)
        self._inode = 0
        self._at_start = True
        self._inherits = True
        self._sealed = False
        self.lsn = 0
        """The last record that was read."""
        self.segments = 0
        self.batches = 0
        self.torn = False
        self.problems: list[Finding] = []

    def poll(self) -> Iterator[Entry]:
        """Every record that can be read and was not yet given, oldest first."""
        places = self._places()
        firsts = sorted(places)
        if self._first is None:
            if not firsts:
                raise BadInput(self._directory, "", "expected a journal, found no segment; check the path")
            if firsts[0] != 1:
                raise self._damaged(0, f"expected the journal from its first record on, found its first segment at record {firsts[0]}")
            self._open(firsts[0], places)
        elif self._replaced():
            self._next(self._first, places)
        while True:
            following = next((first for first in firsts if self._first is not None and first > self._first), None)
            yield from self._segment(following)
            if following is None:
                return
            if self.lsn + 1 < following:
                raise self._damaged(
                    self._offset, f"expected records up to {following - 1}, as the next segment says, found the last readable at {self.lsn}"
                )
            self._next(following, places)

    def finish(self) -> None:
        """Look behind the last batch: a whole one there means that something before it was damaged. To be called when nobody writes."""
        newest = max((int(path.stem) for path in self._directory.glob("*.snap") if path.stem.isdecimal() and _whole(path)), default=0)
        if newest > self.lsn:
            sentence = f"expected records up to {newest}, which a snapshot covers, found the last at {self.lsn}"
            self.problems.append(Finding("S13", sentence, lsn=self.lsn))
        if self._sealed:
            return
        for begin in range(self._offset, self._header.length, _CHUNK):
            chunk = self._bytes(begin, _CHUNK)
            self.torn = self.torn or chunk.count(0) != len(chunk)
            at = chunk.find(_MAGIC)
            while at >= 0:
                if (begin + at) % _BLOCK == 0 and self._batch(begin + at) is not None:
                    raise self._damaged(self._offset, f"expected batch {self._number}, found it unreadable with a whole one behind it")
                at = chunk.find(_MAGIC, at + 1)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    # segments

    def _places(self) -> dict[int, Path]:
        if not self._directory.is_dir():
            raise BadInput(self._directory, "", "expected the folder of a journal, found none; check the path")
        found = {}
        for pattern, suffix in (("archive/*.seg.xz", ".seg.xz"), ("*.seg", ".seg")):
            for path in self._directory.glob(pattern):
                digits = path.name.removesuffix(suffix)
                if len(digits) == 20 and digits.isascii() and digits.isdecimal():
                    found[int(digits)] = path
        return found

    def _open(self, first: int, places: dict[int, Path]) -> None:
        self.close()
        self._path, self._first = places[first], first
        try:
            if self._path.suffix == ".xz":
                self._file = io.BytesIO(lzma.decompress(self._path.read_bytes(), lzma.FORMAT_XZ))
            else:
                self._file = self._path.open("rb", buffering=0)  # a buffer would show what a growing file was
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise self._damaged(0, f"expected a segment that can be opened, found: {error}") from error
        before, self._header = self._header.incarnation, self._read_header()
        self._inherits = self._header.incarnation != before
        self._inode = 0 if isinstance(self._file, io.BytesIO) else os.fstat(self._file.fileno()).st_ino
        self._offset = _BLOCK
        self._sealed = False
        self._at_start = True
        self.segments += 1

    def _read_header(self) -> _Header:
        block = self._bytes(0, _BLOCK)
        if len(block) < _BLOCK or block[:8] != b"ILKJSEG\n" or not _confirmed(block):
            raise self._damaged(0, "expected a segment header, found none that its checksum confirms")
        _, version, schema, reader, first, number, length, incarnation, chain = _HEADER.unpack_from(block)
        if (version, reader) != (1, 1) or schema > _NEWEST_SCHEMA:
            raise self._damaged(
                0,
                f"expected format 1, reader 1 and schema up to {_NEWEST_SCHEMA}, found {version}, {reader} and {schema}; use a newer interlock",
            )
        size = self._size()
        if first != self._first or size != length:
            raise self._damaged(
                0, f"expected the segment of record {self._first} with {length} bytes, found record {first} and {size} bytes"
            )
        return _Header(first, number, length, incarnation, chain, schema)

    def _replaced(self) -> bool:
        """Whether another file took the segment's name: a new writer repeats the only batch of one in a segment of its own."""
        return self._path.suffix != ".xz" and self._path.exists() and self._path.stat().st_ino != self._inode

    def _next(self, following: int, places: dict[int, Path]) -> None:
        """Go on to the next segment, which may begin with a batch that was read before."""
        self._open(following, places)
        if following <= self.lsn:
            first = self._batch(_BLOCK)
            if first is None or (first.chain, first.first_lsn + first.total - 1) != (self._chain, self.lsn):
                raise self._damaged(_BLOCK, f"expected the batch with record {self.lsn} again, found another")
            self._offset += first.size
            self._at_start = False
        elif (self._header.chain, self._header.first_batch) != (self._chain, self._number):
            self._tell("S13", following, f"expected {self._path.name} to continue the chain and the batches, found another chain or number")

    # batches

    def _segment(self, until: int | None) -> Iterator[Entry]:
        while not self._sealed and (until is None or self.lsn + 1 < until):
            batch = self._batch(self._offset)
            if batch is None:
                return
            if batch.kind == _SEAL:
                self._sealed = True
                return
            records = _split(batch.payload)
            if batch.kind != _RECORDS or records is None or len(records) != batch.total or not records:
                raise self._damaged(
                    self._offset, f"expected a batch of records, found one of kind {batch.kind} that does not fall into them"
                )
            self._judge(batch)
            # The first batch may be a dead writer's, repeated; who wrote it, and in which schema, cannot be told from here. What a writer goes
            # on with is its own.
            writer = "" if self._at_start else self._header.incarnation.hex()
            schema = 0 if self._at_start and self._inherits else self._header.schema
            self._at_start = False
            self._offset += batch.size
            self._number, self._chain = batch.number + 1, batch.chain
            self.batches += 1
            for lsn, record in enumerate(records, batch.first_lsn):
                self.lsn = lsn
                yield self._entry(lsn, batch.number, writer, schema, record)

    def _judge(self, batch: _Batch) -> None:
        lsn = self.lsn + 1
        if batch.previous != self._chain or hashlib.sha256(batch.previous + batch.payload).digest() != batch.chain:
            self._tell(
                "S13", batch.first_lsn, f"expected batch {batch.number} to continue the chain, found content that does not hash to it"
            )
        if (batch.number, batch.first_lsn) != (self._number, lsn):
            self._tell(
                "S28",
                batch.first_lsn,
                f"expected batch {self._number} with record {lsn}, found batch {batch.number} with record {batch.first_lsn}",
            )

    def _batch(self, offset: int) -> _Batch | None:
        """The batch at a place, or None where none is whole."""
        head = self._bytes(offset, _BLOCK)
        if len(head) < _BLOCK or head[:4] != _MAGIC:
            return None
        _, kind, number, first, count, length, previous, chain, crc = _BATCH.unpack_from(head)
        size = -(-(_BATCH.size + length) // _BLOCK) * _BLOCK
        if offset + size > self._header.length:
            return None
        payload = self._bytes(offset + _BATCH.size, length)
        if zlib.crc32(payload, zlib.crc32(head[:_CRC_AT])) != crc:
            return None
        return _Batch(kind, number, first, count, previous, chain, payload, size)

    def _entry(self, lsn: int, batch: int, incarnation: str, schema: int, record: bytes) -> Entry:
        try:
            fields = msgspec.msgpack.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._damaged(self._offset, f"expected record {lsn} as msgpack, found bytes that are none ({error})") from error
        if not isinstance(fields, dict) or not isinstance(fields.get("k"), str) or not all(isinstance(name, str) for name in fields):
            raise self._damaged(self._offset, f'expected record {lsn} as a map with its kind under "k", found another thing')
        return Entry(lsn, batch, incarnation, fields.pop("k"), fields, schema)

    # bytes

    def _bytes(self, offset: int, size: int) -> bytes:
        try:
            self._file.seek(offset)
            return bytes(self._file.read(size) or b"")
        except OSError as error:
            raise self._damaged(offset, f"expected {size} bytes, the disk answered: {error}") from error

    def _size(self) -> int:
        return self._file.seek(0, io.SEEK_END)

    def _tell(self, invariant: str, lsn: int, sentence: str) -> None:
        self.problems.append(Finding(invariant, sentence, lsn=lsn))

    def _damaged(self, offset: int, problem: str) -> DamagedState:
        return DamagedState(
            f"{self._path}, offset {offset}: {problem}; nothing can be said of what cannot be read, keep the folder as it is"
        )


def _whole(path: Path) -> bool:
    """Whether the first block of a snapshot is as it was written; a damaged one promises nothing."""
    with path.open("rb") as file:
        block = file.read(_BLOCK)
    return len(block) == _BLOCK and _confirmed(block)


def _confirmed(block: bytes) -> bool:
    return zlib.crc32(block[:-4]) == int.from_bytes(block[-4:], "little")


def _split(payload: bytes) -> list[bytes] | None:
    found, at = [], 0
    while at + 4 <= len(payload):
        end = at + 4 + int.from_bytes(payload[at : at + 4], "little")
        found.append(payload[at + 4 : end])
        at = end
    return found if at == len(payload) else None
