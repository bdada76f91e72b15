"""Snapshots of the fold's state beside the segments. They are caches: losing one costs time at boot and nothing else.

A snapshot says up to which record the state was folded, the chain there, the record schema, and a hash of the state that whoever loads it must
find again. One that does not fit the journal is ignored, and it is told why.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.domain.errors import UsageError
from interlock.gate.journal.disk import Disk, unlink_if_there, write_all
from interlock.gate.journal.format import BLOCK, FORMAT_VERSION, START, Mark, crc_holds, with_crc
from interlock.gate.journal.segments import Place, find_segments, numbered, open_reader

SUFFIX: Final = ".snap"
KEPT: Final = 2
"""The newest, and one more in case that one is refused."""
_MAGIC: Final = b"ILKJSNP\n"
_HEAD: Final = struct.Struct("<8sIIQQ32s32s32s")
_TEMPORARY: Final = "snapshot.tmp"


@dataclass(frozen=True, slots=True)
class SnapshotFile:
    """A state as it was after the record of `mark`. `state_hash` is the caller's, 32 bytes."""

    mark: Mark
    schema: int
    state_hash: bytes
    blob: bytes


def write_snapshot(disk: Disk, directory: Path, snapshot: SnapshotFile) -> None:
    """Put a snapshot beside the segments, whole or not at all, and remove all but the newest two. Raises OSError, which loses nothing."""
    if len(snapshot.state_hash) != 32 or len(snapshot.mark.chain) != 32 or snapshot.mark.lsn < 1:
        raise UsageError(
            f"snapshot of record {snapshot.mark.lsn}: expected a record and hashes of 32 bytes; this is a defect in the caller"
        )
    head = _HEAD.pack(
        _MAGIC,
        FORMAT_VERSION,
        snapshot.schema,
        snapshot.mark.lsn,
        len(snapshot.blob),
        snapshot.mark.chain,
        snapshot.state_hash,
        hashlib.sha256(snapshot.blob).digest(),
    )
    temporary = directory / _TEMPORARY
    unlink_if_there(disk, temporary)
    file = disk.create(temporary)
    try:
        write_all(file, with_crc(head) + snapshot.blob, 0)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, directory / f"{snapshot.mark.lsn:020d}{SUFFIX}")
    disk.sync_directory(directory)
    for _, old in snapshot_files(disk, directory)[KEPT:]:
        disk.unlink(old)


def snapshot_files(disk: Disk, directory: Path) -> list[tuple[int, Path]]:
    """(last record, file) of every snapshot, the newest first."""
    found = [(lsn, directory / name) for name in disk.names(directory) if (lsn := numbered(name, SUFFIX)) is not None]
    return sorted(found, reverse=True)


def read_snapshot(disk: Disk, path: Path) -> SnapshotFile | str:
    """The snapshot in a file, or what is wrong with it."""
    try:
        file = disk.open(path)
        try:
            data = file.read(file.size(), 0)
        finally:
            file.close()
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not crc_holds(data[:BLOCK]):
        return "its header is damaged"
    magic, version, schema, lsn, length, chain, state_hash, digest = _HEAD.unpack_from(data)
    blob = data[BLOCK:]
    if magic != _MAGIC or version != FORMAT_VERSION:
        return f"expected format {FORMAT_VERSION}, found {version}"
    if len(blob) != length or hashlib.sha256(blob).digest() != digest:
        return "its content is damaged"
    return SnapshotFile(Mark(lsn, chain), schema, state_hash, blob)


def latest_snapshot(disk: Disk, directory: Path, schema: int) -> tuple[SnapshotFile | None, tuple[str, ...]]:
    """The newest snapshot that fits the journal and the record schema, and why newer ones were ignored.

    The caller compares the hash of the state that it makes of `blob` with `state_hash`, and folds from the beginning if they differ. Raises
    DamagedState if the segment that a snapshot stands in is damaged.
    """
    ignored: list[str] = []
    for lsn, path in snapshot_files(disk, directory):
        found = read_snapshot(disk, path)
        if isinstance(found, SnapshotFile):
            wrong = _misfit(disk, directory, found, lsn, schema)
            if wrong is None:
                return found, tuple(ignored)
        else:
            wrong = found
        ignored.append(f"{path.name}: {wrong}")
    return None, tuple(ignored)


def newest_promise(disk: Disk, directory: Path) -> int:
    """The last record that an undamaged snapshot says was durable; a journal that ends before it has lost records."""
    found = [read_snapshot(disk, path) for _, path in snapshot_files(disk, directory)]
    return max((snapshot.mark.lsn for snapshot in found if isinstance(snapshot, SnapshotFile)), default=0)


def _misfit(disk: Disk, directory: Path, snapshot: SnapshotFile, lsn: int, schema: int) -> str | None:
    if snapshot.mark.lsn != lsn:
        return f"its name says record {lsn}, it says {snapshot.mark.lsn}"
    if snapshot.schema != schema:
        return f"expected record schema {schema}, found {snapshot.schema}"
    chain = chain_at(disk, directory, lsn, schema)
    if chain is None:
        return f"no batch of the journal ends with record {lsn}"
    return None if chain == snapshot.mark.chain else "the journal's chain is another one there"


def place_of(places: list[Place], lsn: int) -> int | None:
    """The index of the segment that record `lsn` is in or would be appended to, or None if it stands before all."""
    at = sum(place.first_lsn <= lsn for place in places)
    return at - 1 if at else None


def chain_at(disk: Disk, directory: Path, lsn: int, schema: int) -> bytes | None:
    """The chain after record `lsn`, or None if no batch ends there."""
    if lsn == START.lsn:
        return START.chain
    places = find_segments(disk, directory)
    at = place_of(places, lsn + 1)
    if at is None:
        return None
    reader = open_reader(disk, places[at], schema)
    try:
        while reader.mark.lsn < lsn and reader.next() is not None:
            pass
        return reader.mark.chain if reader.mark.lsn == lsn else None
    finally:
        reader.close()
