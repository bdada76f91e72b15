"""Reading a journal from a known place to its end: what boot, verification and export have in common. Nothing is written or locked here.

What can be proven about the end: a batch is written only after the sync of the one before it returned, so all batches but the last are known to
have been durable, and the last one may or may not have been acknowledged. A sealed end proves all. Whether the machine or only the process died
cannot be seen here; the records of boots tell that.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.domain.errors import BadInput, DamagedState
from interlock.gate.journal.disk import Disk
from interlock.gate.journal.format import START, Batch, Mark
from interlock.gate.journal.segments import ARCHIVE, Place, SegmentReader, Torn, damaged, find_segments, open_reader
from interlock.gate.journal.snapshots import newest_promise, place_of, snapshot_files

ERROR_MARKER: Final = "io-error"
"""A file that stands in the journal after a disk error until whoever booted has settled what it left unknown."""

NOBODY: Final = bytes(16)
"""The incarnation of a journal that was not begun."""

Consume = Callable[[int, bytes], None]


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was read, and what it proves.

    `mark` is the end. `barrier_lsn` is the last record that was certainly durable before the end of the process; records after it may or may not
    have been acknowledged. `sealed`: the journal was closed in order. `disk_error`: a disk error was noted, so that what follows the barrier, and
    whatever was begun without a record of its end, is unknown. `next_batch` and `carry` are for the writer: the number of the next batch, and the
    bytes of the last one where its sync may never have returned.
    """

    mark: Mark
    barrier_lsn: int
    sealed: bool
    disk_error: bool
    torn: Torn | None
    segments: int
    records: int
    incarnation: bytes
    next_batch: int
    carry: Batch | None


def ignore(_lsn: int, _payload: bytes) -> None:
    """Take no notice of a record."""


def recover(disk: Disk, directory: Path, *, schema: int, consume: Consume = ignore, after: Mark = START) -> Recovered:
    """Give every record after `after` to `consume`, in order, and say how the journal ends.

    `schema` is the newest record schema that the caller understands. Segments that `after` covers are not read. Records are given as they are
    read, so what was made of them is to be thrown away when this raises: DamagedState (names file and offset), or BadInput for what is no
    journal, or one that needs a newer reader.
    """
    places = find_segments(disk, directory)
    if not places:
        return _nothing(disk, directory)
    begin = place_of(places, after.lsn + 1)
    if begin is None:
        raise DamagedState(
            f"{directory}: expected a segment with record {after.lsn + 1}, found the first record in {places[0].path.name}, and no snapshot that "
            f"can be used instead of what is missing; put the missing segments back, packed ones into {directory / ARCHIVE}"
        )
    walk = _Walk(after, consume)
    with closing(_readers(disk, places[begin:], schema)) as readers:
        for reader in readers:
            walk.read(reader)
            ending = reader
    promised = max(newest_promise(disk, directory), after.lsn)
    if ending.mark.lsn < promised:
        raise damaged(
            ending.path,
            ending.offset,
            f"expected records up to {promised}, which a snapshot says were durable, found the last at {ending.mark.lsn}",
        )
    last = None if ending.sealed else walk.last
    return Recovered(
        mark=ending.mark,
        barrier_lsn=ending.mark.lsn if last is None else last.first_lsn - 1,
        sealed=ending.sealed,
        disk_error=ERROR_MARKER in disk.names(directory),
        torn=ending.torn,
        segments=len(places) - begin,
        records=walk.records,
        incarnation=ending.header.incarnation,
        next_batch=ending.number if last is None else last.number,
        carry=last,
    )


def _nothing(disk: Disk, directory: Path) -> Recovered:
    """A folder in which no journal was begun yet."""
    if snapshot_files(disk, directory):
        raise DamagedState(f"{directory}: expected the segments that its snapshots were made of, found none; bring them back")
    return Recovered(START, 0, False, ERROR_MARKER in disk.names(directory), None, 0, 0, NOBODY, 1, None)


def require_journal(disk: Disk, directory: Path) -> None:
    """Raise BadInput unless at least one segment is there; for readers, who must not take a wrong path for an empty journal."""
    if not find_segments(disk, directory):
        raise BadInput(directory, "", "expected a journal, found no segment; check the path")


class _Walk:
    """Through the batches of all segments, with what is to be remembered of them."""

    def __init__(self, after: Mark, consume: Consume) -> None:
        self._after = after
        self._consume = consume
        self.records = 0
        self.last: Batch | None = None

    def read(self, reader: SegmentReader) -> None:
        """One segment to its end. `last` is its last batch afterwards, or None if it has none."""
        self.last = None
        self._compare(reader)
        for batch in reader.batches():
            self.last = batch
            if reader.mark.lsn <= self._after.lsn:
                self._compare(reader)
                continue
            if batch.first_lsn <= self._after.lsn:
                raise DamagedState(
                    f"{reader.path}: expected a batch that ends with record {self._after.lsn}, where the snapshot stands, found none"
                )
            for lsn, payload in enumerate(batch.records, batch.first_lsn):
                self._consume(lsn, payload)
            self.records += batch.total

    def _compare(self, reader: SegmentReader) -> None:
        if reader.mark.lsn == self._after.lsn and reader.mark.chain != self._after.chain:
            raise damaged(
                reader.path, reader.offset, f"expected the chain of the start or snapshot after record {self._after.lsn}, found another one"
            )


def _readers(disk: Disk, places: Sequence[Place], schema: int) -> Generator[SegmentReader, None, None]:
    """A reader a segment, each of which knows from the next where it ends; closed when the next is asked for."""
    reader = open_reader(disk, places[0], schema)
    for place in places[1:]:
        try:
            following = open_reader(disk, place, schema)
        except BaseException:
            reader.close()
            raise
        reader.ends_at(following.header)
        try:
            yield reader
        except BaseException:
            following.close()
            raise
        finally:
            reader.close()
        reader = following
    try:
        yield reader
    finally:
        reader.close()
