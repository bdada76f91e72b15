"""How a process becomes the writer of a journal: lock, look for errors nobody was told of, read, begin a new segment."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from interlock.domain.errors import Refused, UsageError
from interlock.gate.journal.barrier import Journal, note_disk_error
from interlock.gate.journal.disk import Disk
from interlock.gate.journal.format import START, Mark
from interlock.gate.journal.recover import NOBODY, Consume, Recovered, ignore, recover
from interlock.gate.journal.segments import find_segments
from interlock.gate.journal.writer import DEFAULT_OPTIONS, Options, SegmentWriter

LOCK: Final = "lock"


def open_journal(
    disk: Disk,
    directory: Path,
    *,
    schema: int,
    incarnation: bytes,
    options: Options = DEFAULT_OPTIONS,
    consume: Consume = ignore,
    after: Mark = START,
) -> tuple[Journal, Recovered]:
    """Lock a journal, read it (see `recover`), begin a new segment, and return the writer with what was found.

    `incarnation` is 16 random bytes, `schema` the record schema that is written. A folder that is not there is made. Raises Refused if another
    process writes there, UsageError if the disk does not take a segment and a spare one, and like `recover`.
    """
    if len(incarnation) != len(NOBODY):
        raise UsageError(
            f"journal {directory}: expected an incarnation of {len(NOBODY)} bytes, found {len(incarnation)}; this is a defect in the caller"
        )
    try:
        disk.make_directory(directory)
        held = disk.lock(directory / LOCK)
    except BlockingIOError as error:
        raise Refused(
            f"journal {directory}: another process writes there; stop that one first, two writers of one journal are two gates"
        ) from error
    except OSError as error:
        raise UsageError(f"journal {directory}: expected a folder that can be written, found: {error}; see who owns it") from error
    try:
        _ask_for_errors(disk, directory)
        found = recover(disk, directory, schema=schema, consume=consume, after=after)
        writer = SegmentWriter(disk, directory, options, schema=schema, incarnation=incarnation, found=found)
    except OSError as error:
        held.release()
        raise UsageError(
            f"journal {directory}: expected room for two segments of {options.segment_bytes} bytes on a disk that takes them, found: {error}; "
            "make room, or look at the disk"
        ) from error
    except BaseException:
        held.release()
        raise
    return Journal(disk, directory, writer, held, options, schema), found


def _ask_for_errors(disk: Disk, directory: Path) -> None:
    """Sync the newest segment: what a dead process wrote may have failed to reach the disk with nobody left to be told."""
    places = [place for place in find_segments(disk, directory) if not place.archived]
    if not places:
        return
    file = disk.open(places[-1].path)
    try:
        file.sync()
    except OSError:
        note_disk_error(disk, directory)
    finally:
        file.close()
