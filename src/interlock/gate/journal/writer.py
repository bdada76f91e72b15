"""Writing segments, one call at a time. What decides when to write and sync is `barrier`; nothing here waits for anything but the disk.

Order is everything: content before name, name before use, one batch's sync before the next batch's write. A new segment is filled with zeros, given
its header and, after a boot, the last batch of the one before, synced, and only then renamed into place. So a segment that has its name is whole, and
the end of the one before it is told by its header and no longer by what can be read there.

Any OSError from here is final for the writer: after a failed sync nobody knows what the kernel still holds, and asking again would be told "done".
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.domain.errors import UsageError
from interlock.gate.journal.disk import Disk, File, unlink_if_there, write_all
from interlock.gate.journal.format import (
    BATCH_HEADER,
    BLOCK,
    GENESIS,
    RECORD_HEADER,
    SEAL_BYTES,
    Mark,
    Seal,
    SegmentHeader,
    blocks,
    cost,
    encode_batch,
    encode_header,
    encode_seal,
)
from interlock.gate.journal.recover import Recovered
from interlock.gate.journal.segments import segment_name

NEXT: Final = "next.tmp"
SPARE: Final = "spare.tmp"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes, bytes. `reserve_bytes` of what is allocated are kept for records that lower risk, so that they fit when the disk is full."""

    segment_bytes: int = 64 << 20
    batch_bytes: int = 1 << 20
    """The most that is written at once, and so the most that a record may take."""
    reserve_bytes: int = 4 << 20

    def __post_init__(self) -> None:
        room = self.segment_bytes - BLOCK - SEAL_BYTES
        if (
            self.segment_bytes % BLOCK
            or self.batch_bytes % BLOCK
            or not BLOCK <= self.batch_bytes <= room // 2
            or not 0 <= self.reserve_bytes <= room
        ):
            raise UsageError(
                f"journal: expected sizes in whole blocks of {BLOCK} bytes, two batches and the reserve to fit in a segment, found segment_bytes "
                f"{self.segment_bytes}, batch_bytes {self.batch_bytes}, reserve_bytes {self.reserve_bytes}"
            )


DEFAULT_OPTIONS: Final = Options()


class SegmentWriter:
    """Appends batches to the newest segment and goes on to the next when it is full.

    `mark` is the end of what was written. Only `prepare` may be called while another call is under way.
    """

    def __init__(self, disk: Disk, directory: Path, options: Options, *, schema: int, incarnation: bytes, found: Recovered) -> None:
        self._disk = disk
        self._directory = directory
        self._options = options
        self._schema = schema
        self._incarnation = incarnation
        self._spare_lock = threading.Lock()
        self._spare: File | None = None
        self.spare_problem = ""
        self.mark = found.mark
        self.snapshot: tuple[int, bytes] = (0, GENESIS)
        """(record, state hash) of the newest snapshot, for the seal."""
        self._number = found.next_batch
        begin = found.mark if found.carry is None else Mark(found.carry.first_lsn - 1, found.carry.previous)
        self._file = self._zeroed(NEXT)
        self._install(NEXT, self._file, begin, b"" if found.carry is None else found.carry.image)
        self._number += found.carry is not None
        self._keep_spare()

    @property
    def left_bytes(self) -> int:
        """What still fits in the newest segment, with room kept for its seal."""
        return self._options.segment_bytes - SEAL_BYTES - self._offset

    @property
    def spare_bytes(self) -> int:
        """What fits in the segment that is allocated in advance; 0 if there is none."""
        return 0 if self._spare is None else self._options.segment_bytes - BLOCK - SEAL_BYTES

    def fitting(self, records: Sequence[bytes]) -> int:
        """How many of the records, from the first on, the next batch can take: at least one."""
        first = cost(records[0])
        limit = min(self._options.batch_bytes, self.left_bytes if first <= self.left_bytes else self._options.batch_bytes)
        size = BATCH_HEADER
        for count, record in enumerate(records):
            size += RECORD_HEADER + len(record)
            if blocks(size) > limit:
                return count
        return len(records)

    def write(self, records: Sequence[bytes]) -> bool:
        """Write one batch of `fitting` records, and say whether that began a new segment. The batch before must have been synced."""
        image, chain = encode_batch(self._number, self.mark.lsn + 1, self.mark.chain, records)
        rolled = len(image) > self.left_bytes
        if rolled:
            self._roll()
        write_all(self._file, image, self._offset)
        self._offset += len(image)
        self._number += 1
        self.mark = Mark(self.mark.lsn + len(records), chain)
        return rolled

    def sync(self) -> None:
        """Return when everything written is durable."""
        self._file.sync()

    def seal(self) -> None:
        """Close the segment in order. What was written must have been synced."""
        seal = Seal(self.mark.lsn + 1 - self._first_lsn, self.mark.chain, *self.snapshot)
        write_all(self._file, encode_seal(self._number, self.mark.lsn + 1, seal), self._offset)
        self._file.sync()

    def prepare(self) -> bool:
        """Allocate the next segment in advance, if there is none, and say whether there is one; `spare_problem` says why not."""
        with self._spare_lock:
            try:
                self._keep_spare()
            except OSError as error:
                self.spare_problem = error.strerror or str(error)
        return self._spare is not None

    def close(self) -> None:
        """Let go of the files; seals and syncs nothing."""
        self._file.close()
        with self._spare_lock:
            if self._spare is not None:
                self._spare.close()
                self._spare = None

    def _roll(self) -> None:
        self.seal()
        self._file.close()
        with self._spare_lock:
            self._file = self._keep_spare()
            self._spare = None
        self._install(SPARE, self._file, self.mark, b"")

    def _keep_spare(self) -> File:
        if self._spare is None:
            self._spare = self._zeroed(SPARE)
            self.spare_problem = ""
        return self._spare

    def _install(self, name: str, file: File, begin: Mark, carried: bytes) -> None:
        """Make a zeroed file the newest segment."""
        self._first_lsn = begin.lsn + 1
        header = SegmentHeader(self._first_lsn, self._number, self._incarnation, begin.chain, self._options.segment_bytes, self._schema)
        write_all(file, encode_header(header) + carried, 0)
        file.sync()
        self._disk.rename(self._directory / name, self._directory / segment_name(self._first_lsn))
        self._disk.sync_directory(self._directory)
        self._offset = BLOCK + len(carried)

    def _zeroed(self, name: str) -> File:
        """A new file of full length. Synced a piece at a time, so that no barrier of the segment in use waits behind more than that."""
        path = self._directory / name
        unlink_if_there(self._disk, path)
        if self._disk.free_bytes(self._directory) < self._options.segment_bytes:
            raise OSError(errno.ENOSPC, "no room for a whole segment")  # known before the disk is filled up trying
        file = self._disk.create(path)
        try:
            for offset in range(0, self._options.segment_bytes, _CHUNK):
                write_all(file, bytes(min(_CHUNK, self._options.segment_bytes - offset)), offset)
                file.sync()
        except OSError:
            file.close()
            unlink_if_there(self._disk, path)
            raise
        return file
