"""Reading along with a journal record by record: what has come since the last time, and why there is nothing behind a record that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from interlock.domain.errors import DamagedState, InterlockError
from interlock.gate import records as r
from interlock.gate.journal import Disk, Follower
from interlock.gate.journal.segments import find_segments
from interlock.gate.record_reading import read_record

Take = Callable[[int, r.AnyRecord], None]


class RecordFollower:
    """Gives each record once, in order. `newest` is with how many of the newest segments it begins; None: with the first record of all."""

    def __init__(self, disk: Disk, folder: Path, *, newest: int | None = None) -> None:
        self._disk = disk
        self._folder = folder
        self._newest = newest
        self._follower: Follower | None = None
        self._next_lsn = 1
        self._damaged = ""
        """Which record could not be read; nothing is read behind it. What else goes wrong may be the writer's next step, and is tried again."""

    def poll(self, take: Take) -> str:
        """Give what has come to `take`. Never raises of itself: it says what went wrong instead, and nothing where all that is there was read."""
        try:
            follower = self._begun()
            while not self._damaged and (found := follower.poll()):
                for lsn, payload in found:
                    self._give(lsn, payload, take)
        except DamagedRecord as error:
            self._damaged = f"{self._folder}: {error}"
        except (InterlockError, OSError) as error:
            return f"{self._folder}: {error}"
        return self._damaged

    def close(self) -> None:
        """Let go of the file."""
        if self._follower is not None:
            self._follower.close()
            self._follower = None

    def _begun(self) -> Follower:
        if self._follower is None:
            places = find_segments(self._disk, self._folder)
            if self._newest is not None and places:
                self._next_lsn = max(self._next_lsn, places[-self._newest :][0].first_lsn)
            self._follower = Follower(self._disk, self._folder, schema=r.SCHEMA, from_lsn=self._next_lsn)
        return self._follower

    def _give(self, lsn: int, payload: bytes, take: Take) -> None:
        if lsn != self._next_lsn:
            raise DamagedRecord(f"expected record {self._next_lsn} next, found {lsn}; bring the missing segments back")
        try:
            record = read_record(self._disk, self._folder, lsn, payload)
        except DamagedState as error:
            raise DamagedRecord(str(error)) from error
        self._next_lsn = lsn + 1
        take(lsn, record)


class DamagedRecord(DamagedState):
    """A record that cannot be read, or is not there: trying again does not help."""
