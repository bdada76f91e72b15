"""Reading segments: which there are, and what each holds. Readers never lock and never write; a journal that is being written can be read.

The rule by which a torn tail is told from damage: a batch is written only after the sync of the one before it returned. So an unreadable batch
that nothing follows may be a write that the power cut; one that a whole batch follows, or that the next segment counts as there, was on disk
once and has been damaged since.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.domain.errors import BadInput, DamagedState
from interlock.gate.journal.disk import Disk, Readable
from interlock.gate.journal.format import (
    BATCH_MAGIC,
    BLOCK,
    FORMAT_VERSION,
    READER,
    Batch,
    BatchKind,
    Mark,
    SegmentHeader,
    batch_bytes,
    decode_batch,
    decode_header,
    decode_seal,
    next_chain,
)

SUFFIX: Final = ".seg"
ARCHIVE: Final = "archive"
ARCHIVE_SUFFIX: Final = ".seg.xz"
_DIGITS: Final = 20
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a segment lies."""

    first_lsn: int
    path: Path
    archived: bool


@dataclass(frozen=True, slots=True)
class Torn:
    """What was found after the last whole batch, and is no record: the write that the end of the process or the power cut."""

    file: Path
    offset: int


class MemoryFile:
    """Bytes that can be read like a file: an archived segment, unpacked."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, size: int, offset: int) -> bytes:
        """A slice."""
        return self._data[offset : offset + size]

    def size(self) -> int:
        """The number of bytes."""
        return len(self._data)

    def close(self) -> None:
        """Nothing to let go of."""


def segment_name(first_lsn: int) -> str:
    """The file name of the segment that begins with this record."""
    return f"{first_lsn:0{_DIGITS}d}{SUFFIX}"


def numbered(name: str, suffix: str) -> int | None:
    """The number in a name of twenty digits and a suffix, or None for any other name."""
    digits = name.removesuffix(suffix)
    return int(digits) if name.endswith(suffix) and len(digits) == _DIGITS and digits.isascii() and digits.isdecimal() else None


def damaged(file: Path, offset: int, problem: str) -> DamagedState:
    """The error for a place that does not read back as written."""
    return DamagedState(
        f"{file}, offset {offset}: {problem}; restore the journal from a copy or have the venues' own records settle what it held, and keep this "
        "folder as it is for the examination"
    )


def find_segments(disk: Disk, directory: Path) -> list[Place]:
    """All segments in order, the archived ones included. Raises BadInput if the directory is not there."""
    try:
        names = disk.names(directory)
        archived = disk.names(directory / ARCHIVE) if ARCHIVE in names else []
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BadInput(directory, "", "expected the folder of a journal, found none; check the path") from error
    found = {}
    for name in archived:
        if (lsn := numbered(name, ARCHIVE_SUFFIX)) is not None:
            found[lsn] = Place(lsn, directory / ARCHIVE / name, archived=True)
    for name in names:
        if (lsn := numbered(name, SUFFIX)) is not None:
            found[lsn] = Place(lsn, directory / name, archived=False)
    return [found[lsn] for lsn in sorted(found)]


def unpack(file: Path, packed: bytes) -> bytes:
    """The segment in an archive. Raises DamagedState if it does not unpack."""
    try:
        return lzma.decompress(packed, lzma.FORMAT_XZ)
    except (lzma.LZMAError, EOFError) as error:
        raise damaged(file, 0, f"expected an xz archive of a segment, found one that does not unpack ({error})") from error


def open_place(disk: Disk, place: Place) -> Readable:
    """The bytes of a segment. One that was archived since it was listed is read from there."""
    try:
        file = disk.open(place.path)
    except FileNotFoundError:
        if place.archived:
            raise
        moved = place.path.parent / ARCHIVE / f"{place.first_lsn:0{_DIGITS}d}{ARCHIVE_SUFFIX}"
        return open_place(disk, Place(place.first_lsn, moved, archived=True))
    if not place.archived:
        return file
    try:
        return MemoryFile(unpack(place.path, file.read(file.size(), 0)))
    finally:
        file.close()


class SegmentReader:
    """The batches of one segment in order, checked.

    `until` is where the next segment begins, if there is one: the segment must reach it, and what stands after it in the file is not part of
    the journal. Raises DamagedState for damage, BadInput for a segment that this reader is too old for. `schema` is the newest record schema
    that the caller understands.
    """

    def __init__(self, source: Readable, place: Place, schema: int) -> None:
        self._source = source
        self.path = place.path
        self.header = self._read_header(place, schema)
        self.offset = BLOCK
        self.number = self.header.first_batch
        self.mark = Mark(self.header.first_lsn - 1, self.header.chain)
        self.sealed = False
        self.torn: Torn | None = None
        self._until: Mark | None = None

    def _read_header(self, place: Place, schema: int) -> SegmentHeader:
        header = decode_header(self._bytes(BLOCK, 0))
        if header is None:
            raise damaged(place.path, 0, "expected a segment header, found none that its checksum confirms")
        if header.version != FORMAT_VERSION or header.min_reader > READER or header.schema > schema:
            raise BadInput(
                place.path,
                "header",
                f"expected format {FORMAT_VERSION}, minimum reader up to {READER} and record schema up to {schema}, found {header.version}, "
                f"{header.min_reader} and {header.schema}; read it with the newer interlock that wrote it",
            )
        if header.first_lsn != place.first_lsn or header.first_lsn < 1:
            raise damaged(place.path, 0, f"expected the segment of record {place.first_lsn} as its name says, found {header.first_lsn}")
        if self._source.size() != header.length:
            raise damaged(place.path, 0, f"expected {header.length} bytes as the header says, found {self._source.size()}")
        return header

    def ends_at(self, following: SegmentHeader) -> None:
        """Take the next segment's word for where this one ends."""
        self._until = Mark(following.first_lsn - 1, following.chain)

    def batches(self) -> Iterator[Batch]:
        """All batches of records up to the end; afterwards `mark`, `sealed` and `torn` are final."""
        while True:
            while (batch := self.next()) is not None:
                yield batch
            if self._finish():
                return

    def next(self) -> Batch | None:
        """The next batch of records, or None where none is, or is not yet."""
        if self.sealed or (self._until is not None and self.mark.lsn >= self._until.lsn):
            return None
        batch = self._read(self.offset)
        if batch is None:
            return None
        self._check(batch)
        if batch.kind == BatchKind.SEAL:
            self.sealed = True
            return None
        self.number += 1
        self.offset += len(batch.image)
        self.mark = Mark(self.mark.lsn + batch.total, batch.chain)
        return batch

    def close(self) -> None:
        """Let go of the file."""
        self._source.close()

    def _bytes(self, size: int, offset: int) -> bytes:
        try:
            return self._source.read(size, offset)
        except OSError as error:
            raise damaged(self.path, offset, f"expected {size} bytes, the disk answered: {error.strerror or error}") from error

    def _read(self, offset: int) -> Batch | None:
        block = self._bytes(BLOCK, offset)
        size = batch_bytes(block)
        if size > BLOCK and offset + size <= self.header.length:
            block += self._bytes(size - BLOCK, offset + BLOCK)
        return decode_batch(block)

    def _check(self, batch: Batch) -> None:
        expected = (self.number, self.mark.lsn + 1, self.mark.chain)
        if (batch.number, batch.first_lsn, batch.previous) != expected:
            raise damaged(
                self.path,
                self.offset,
                f"expected batch {self.number} with record {self.mark.lsn + 1}, continuing the chain, found batch {batch.number} with record "
                f"{batch.first_lsn}{'' if batch.previous == self.mark.chain else ' of another chain'}",
            )
        if batch.kind == BatchKind.SEAL:
            seal = decode_seal(batch.payload)
            sound = seal is not None and (seal.records, seal.chain) == (self.mark.lsn + 1 - self.header.first_lsn, self.mark.chain)
        else:
            sound = (
                batch.kind == BatchKind.RECORDS
                and batch.total == len(batch.records) > 0
                and next_chain(batch.previous, batch.payload) == batch.chain
            )
        if not sound:
            raise damaged(
                self.path, self.offset, f"expected a batch that agrees with its own header, found one of kind {batch.kind} that does not"
            )

    def _finish(self) -> bool:
        """Whether this is the end; False if a writer has gone on in the meantime."""
        if self._until is not None:
            if self.mark != self._until:
                found = "an unreadable batch" if self.mark.lsn < self._until.lsn else "other content"
                raise damaged(
                    self.path,
                    self.offset,
                    f"expected records up to {self._until.lsn}, as the next segment says, found {found} after {self.mark.lsn}",
                )
            self._look_for_seal()
        elif not self.sealed:
            later, rest = self._after(self.offset)
            if self._read(self.offset) is not None:
                return False
            if later is not None:
                raise damaged(
                    self.path,
                    self.offset,
                    f"expected batch {self.number}, found an unreadable one with a whole one after it at offset {later}",
                )
            self.torn = Torn(self.path, self.offset) if rest else None
        return True

    def _look_for_seal(self) -> None:
        """Note the seal of a segment whose end the next one has told. What else may follow there is a batch that was carried over."""
        batch = None if self.sealed else self._read(self.offset)
        if batch is not None and batch.kind == BatchKind.SEAL:
            self._check(batch)
            self.sealed = True

    def _after(self, offset: int) -> tuple[int | None, bool]:
        """Where a whole batch stands after the batch at `offset`, if any, and whether anything but zeros stands from `offset` on."""
        rest = False
        for begin in range(offset, self.header.length, _CHUNK):
            chunk = self._bytes(min(_CHUNK, self.header.length - begin), begin)
            rest = rest or chunk != bytes(len(chunk))
            found = chunk.find(BATCH_MAGIC)
            while found >= 0:
                at = begin + found
                if at > offset and at % BLOCK == 0 and self._read(at) is not None:
                    return at, True
                found = chunk.find(BATCH_MAGIC, found + 1)
        return None, rest


def open_reader(disk: Disk, place: Place, schema: int) -> SegmentReader:
    """A reader of one segment; close it. Raises like `SegmentReader`."""
    try:
        source = open_place(disk, place)
    except OSError as error:
        raise damaged(place.path, 0, f"expected a segment that can be opened, found: {error.strerror or error}") from error
    try:
        return SegmentReader(source, place, schema)
    except BaseException:
        source.close()
        raise
