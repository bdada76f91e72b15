"""Packing sealed segments away. What is archived is not needed to boot as long as a snapshot covers it, and is still read by verification.

An archive is the segment itself as an .xz file with SHA-256 inside, so that `xz -d` gives it back. The segment is removed only after its archive was
read back from disk and found equal.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from interlock.domain.errors import Refused
from interlock.gate.journal.disk import Disk, unlink_if_there, write_all
from interlock.gate.journal.segments import ARCHIVE, ARCHIVE_SUFFIX, SUFFIX, Place, damaged, find_segments, open_place, open_reader
from interlock.gate.journal.snapshots import latest_snapshot

ARCHIVE_LOCK: Final = "archive.lock"
_PRESET: Final = 1
_TEMPORARY: Final = "segment.tmp"


@dataclass(frozen=True, slots=True)
class Archived:
    """One segment that was packed; sizes in bytes."""

    first_lsn: int
    path: Path
    bytes_before: int
    bytes_after: int


def archive(disk: Disk, directory: Path, schema: int) -> list[Archived]:
    """Pack every segment that the newest snapshot covers whole, and return what was packed; a running gate is not disturbed.

    Raises Refused if another process archives there, DamagedState for a segment that does not read back, and OSError.
    """
    places = find_segments(disk, directory)
    snapshot, _ = latest_snapshot(disk, directory, schema)
    covered = 0 if snapshot is None else snapshot.mark.lsn
    wanted = [place for place, following in pairwise(places) if not place.archived and following.first_lsn <= covered + 1]
    if not wanted:
        return []
    try:
        held = disk.lock(directory / ARCHIVE_LOCK)
    except BlockingIOError as error:
        raise Refused(f"journal {directory}: another process is archiving it; wait for it to end") from error
    try:
        disk.make_directory(directory / ARCHIVE)
        return [_pack(disk, directory, place, places[places.index(place) + 1], schema) for place in wanted]
    finally:
        held.release()


def _pack(disk: Disk, directory: Path, place: Place, following: Place, schema: int) -> Archived:
    _check(disk, place, following, schema)
    source = disk.open(place.path)
    try:
        content = source.read(source.size(), 0)
    finally:
        source.close()
    packed = lzma.compress(content, lzma.FORMAT_XZ, check=lzma.CHECK_SHA256, preset=_PRESET)
    temporary = directory / ARCHIVE / _TEMPORARY
    target = directory / ARCHIVE / (place.path.name.removesuffix(SUFFIX) + ARCHIVE_SUFFIX)
    unlink_if_there(disk, temporary)
    file = disk.create(temporary)
    try:
        write_all(file, packed, 0)
        file.sync()
    finally:
        file.close()
    disk.rename(temporary, target)
    disk.sync_directory(directory / ARCHIVE)
    back = open_place(disk, Place(place.first_lsn, target, archived=True))
    if back.read(back.size(), 0) != content:
        raise damaged(target, 0, "expected the archive to give the segment back, found another content")
    disk.unlink(place.path)
    disk.sync_directory(directory)
    return Archived(place.first_lsn, target, len(content), len(packed))


def _check(disk: Disk, place: Place, following: Place, schema: int) -> None:
    """Read a segment to its end; damage is not to be packed away."""
    next_reader = open_reader(disk, following, schema)
    try:
        reader = open_reader(disk, place, schema)
        try:
            reader.ends_at(next_reader.header)
            for _ in reader.batches():
                pass
        finally:
            reader.close()
    finally:
        next_reader.close()
