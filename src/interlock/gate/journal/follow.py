"""Reading along with a journal that is being written."""

from __future__ import annotations

from pathlib import Path

from interlock.gate.journal.disk import Disk
from interlock.gate.journal.segments import SegmentReader, damaged, find_segments, open_reader
from interlock.gate.journal.snapshots import place_of


class Follower:
    """Gives the records from `from_lsn` on, as far as they are there, each time it is asked.

    It shows what was written, which may not be durable yet, and it checks each segment for itself only. Before the first record that still
    exists it begins with that one.
    """

    def __init__(self, disk: Disk, directory: Path, *, schema: int, from_lsn: int = 1) -> None:
        self._disk = disk
        self._directory = directory
        self._schema = schema
        self.next_lsn = from_lsn
        self._reader: SegmentReader | None = None

    def poll(self) -> list[tuple[int, bytes]]:
        """The records of one segment that came since the last call; nothing means that there is nothing new. Raises like `recover`."""
        places = find_segments(self._disk, self._directory)
        if not places:
            return []
        self.next_lsn = max(self.next_lsn, places[0].first_lsn)
        at = place_of(places, self.next_lsn) or 0
        fresh = open_reader(self._disk, places[at], self._schema)
        reader = self._reader
        if reader is not None and reader.header == fresh.header and reader.mark.lsn < self.next_lsn:
            fresh.close()
        else:
            self.close()
            reader = self._reader = fresh
        found: list[tuple[int, bytes]] = []
        while (batch := reader.next()) is not None:
            found += [(lsn, record) for lsn, record in enumerate(batch.records, batch.first_lsn) if lsn >= self.next_lsn]
            self.next_lsn = max(self.next_lsn, reader.mark.lsn + 1)
        if at + 1 < len(places) and places[at + 1].first_lsn > reader.mark.lsn + 1:
            raise damaged(
                reader.path, reader.offset, f"expected record {reader.mark.lsn + 1}, found an unreadable batch before the next segment"
            )
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
