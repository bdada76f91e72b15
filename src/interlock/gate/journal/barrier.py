"""The journal as the gate uses it: append without waiting, and know when it is durable.

One thread writes at a time: the writer thread, or a caller that commits while it is idle. Whoever it is takes everything that was appended while the
sync before was under way as one batch. Nothing lingers and there is no timer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import InterlockError, Refused, UsageError
from interlock.gate.journal.disk import Disk, Held, unlink_if_there
from interlock.gate.journal.format import BLOCK, Mark, cost
from interlock.gate.journal.recover import ERROR_MARKER
from interlock.gate.journal.snapshots import SnapshotFile, write_snapshot
from interlock.gate.journal.writer import Options, SegmentWriter


class JournalFailed(InterlockError):
    """The disk refused a write or sync; the journal takes nothing any more in this process."""


class JournalFull(Refused):
    """What is allocated is used up to the reserve; the record was not taken."""


class Progress(NamedTuple):
    """How far the journal is. `written_lsn`: with the operating system, survives the process; `durable_lsn`: on disk, survives the machine."""

    written_lsn: int
    durable_lsn: int
    failure: str


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: allocated and unused, of which `reserve_bytes` are for lowering risk only; free on the disk beyond that; written by this process."""

    allocated_bytes: int
    reserve_bytes: int
    spare_ready: bool
    spare_problem: str
    free_bytes: int
    written_bytes: int


class Journal:
    """The single writer of a journal. `open_journal` makes it. All methods may be called from any thread."""

    def __init__(self, disk: Disk, directory: Path, writer: SegmentWriter, held: Held, options: Options, schema: int) -> None:
        self._disk = disk
        self._directory = directory
        self._writer = writer
        self._held = held
        self._options = options
        self._schema = schema
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._done = threading.Condition(self._lock)
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._claimed_bytes = 0
        """What the batch under way takes at most; of whoever is busy."""
        self._written_bytes = 0
        self._last_lsn = self._written_lsn = writer.mark.lsn
        self._durable = writer.mark
        self._busy = False
        self._closing = False
        self._closed = False
        self._failure: JournalFailed | None = None
        self._callbacks: tuple[Callable[[Progress], None], ...] = ()
        self._spare_wanted = threading.Event()
        self._threads = [
            threading.Thread(target=self._write_loop, name="journal", daemon=True),
            threading.Thread(target=self._spare_loop, name="journal-spare", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    # Appending

    def append(self, payload: bytes, *, reserve: bool = False) -> int:
        """Take one record and return its number; no I/O, no waiting. `reserve`: it lowers risk and may use what is kept for that.

        Raises JournalFailed after any disk error, JournalFull when there is no room, UsageError for a record that no batch can hold.
        """
        with self._lock:
            lsn = self._take((payload,), reserve)
            if not self._busy:
                self._work.notify()
            return lsn

    def commit(self, *payloads: bytes, reserve: bool = False) -> int:
        """Append all or none, and return the last number when everything up to it is durable; does the work itself when nobody else is at it.

        Waits for the disk, however long that takes: not for a thread that must stay free. Raises like `append`.
        """
        with self._lock:
            target = self._take(payloads, reserve) if payloads else self._last_lsn
        while True:
            with self._lock:
                self._done.wait_for(lambda: self._durable.lsn >= target or self._failure is not None or not self._busy)
                if self._durable.lsn >= target:
                    return target
                self._require_whole()
                batch = self._claim()
            self._perform(batch, sync=True)

    def flush(self, *, wait: bool = True) -> bool:
        """Hand everything appended to the operating system, so that it survives this process; a sync follows in the writer thread.

        While a sync is under way nothing may be written: then False at once, or with `wait` a wait for it; without `wait` also where a new segment
        may be due. Raises JournalFailed.
        """
        with self._lock:
            target = self._last_lsn
        while True:
            with self._lock:
                self._require_whole()
                if self._written_lsn >= target:
                    return True
                if self._busy or not self._synced():
                    if not wait:
                        return False
                    self._done.wait()
                    continue
                if not wait and self._queued_bytes + BLOCK > self._writer.left_bytes:
                    # It may need a new segment, and that syncs: not in the thread of somebody who does not wait.
                    self._work.notify()
                    return False
                batch = self._claim()
            self._perform(batch, sync=False)

    # Progress

    @property
    def last_lsn(self) -> int:
        """The last record that was taken."""
        return self._last_lsn

    @property
    def durable_lsn(self) -> int:
        """The last record that is on disk."""
        return self._durable.lsn

    @property
    def durable_mark(self) -> Mark:
        """The same with the chain: where a snapshot may stand."""
        return self._durable

    @property
    def written_lsn(self) -> int:
        """The last record that the operating system has."""
        return self._written_lsn

    @property
    def failure(self) -> JournalFailed | None:
        """Why nothing is taken any more, or None."""
        return self._failure

    def wait_durable(self, lsn: int, timeout_ns: int) -> bool:
        """Whether record `lsn` is durable, after at most `timeout_ns`. Raises JournalFailed if it will not be."""
        with self._lock:
            self._done.wait_for(lambda: self._durable.lsn >= lsn or self._failure is not None, timeout_ns / NS_PER_S)
            if self._durable.lsn < lsn:
                self._require_whole()
            return self._durable.lsn >= lsn

    def subscribe(self, callback: Callable[[Progress], None]) -> Callable[[], None]:
        """Call back after every barrier, and at a failure, from the thread that did the work; the result ends it.

        The callback must be short and must not raise; an event loop passes one that calls `loop.call_soon_threadsafe`.
        """
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

        def end() -> None:
            with self._lock:
                self._callbacks = tuple(each for each in self._callbacks if each is not callback)

        return end

    # Upkeep

    def room(self) -> Room:
        """How much more can be written; asks the file system."""
        free = self._disk.free_bytes(self._directory)
        with self._lock:
            return Room(
                allocated_bytes=max(0, self._available()),
                reserve_bytes=self._options.reserve_bytes,
                spare_ready=self._writer.spare_bytes > 0,
                spare_problem=self._writer.spare_problem,
                free_bytes=free,
                written_bytes=self._written_bytes,
            )

    def prepare(self) -> None:
        """Try again to allocate the next segment, if there is none, in the background; to be called now and then while `room` says so."""
        self._spare_wanted.set()

    def write_snapshot(self, mark: Mark, state_hash: bytes, blob: bytes) -> None:
        """Keep the state as it was at `mark`, which must be durable. Waits for the disk; raises OSError, after which the journal still works."""
        if mark.lsn > self.durable_lsn:
            raise UsageError(
                f"snapshot of record {mark.lsn}: expected a durable one, up to {self.durable_lsn}; this is a defect in the caller"
            )
        write_snapshot(self._disk, self._directory, SnapshotFile(mark, self._schema, state_hash, blob))
        self._writer.snapshot = (mark.lsn, state_hash)

    def disk_error_settled(self) -> None:
        """Forget the note of an earlier disk error; to be called when records that settle what it left unknown are durable."""
        unlink_if_there(self._disk, self._directory / ERROR_MARKER)
        self._disk.sync_directory(self._directory)

    def close(self) -> None:
        """Write and sync what was taken, seal, and unlock. After a failure only unlock. Raises JournalFailed if the disk refuses now."""
        with self._lock:
            if self._closed:
                return
            self._closing = True
            self._work.notify()
        self._spare_wanted.set()
        for thread in self._threads:
            thread.join()
        with self._lock:
            self._done.wait_for(lambda: not self._busy)
            self._closed = True
        whole = self._failure is None
        try:
            if whole:
                self._writer.seal()
        except OSError as error:
            self._fail(error)
            self._require_whole()
        finally:
            self._writer.close()
            self._held.release()

    # Below this line: how it works

    def _require_whole(self) -> None:
        if self._failure is not None:
            raise JournalFailed(str(self._failure))
        if self._closed:
            raise JournalFailed(f"journal {self._directory}: it was closed")

    def _take(self, payloads: Sequence[bytes], reserve: bool) -> int:
        self._require_whole()
        if self._closing:
            raise JournalFailed(f"journal {self._directory}: it is being closed")
        sizes = list(map(cost, payloads))
        if max(sizes) > self._options.batch_bytes:
            raise UsageError(f"journal record: expected at most {self._options.batch_bytes} bytes with its frame, found {max(sizes)}")
        size = sum(sizes)
        if self._available() - size < (0 if reserve else self._options.reserve_bytes):
            beyond = "" if reserve else " beyond the reserve"
            why = f" ({self._writer.spare_problem})" if self._writer.spare_problem else ""
            raise JournalFull(
                f"journal {self._directory}: expected room for {size} bytes{beyond}, found {max(0, self._available())} allocated; make room on the "
                f"disk{why}"
            )
        self._queue.extend(payloads)
        self._queued_bytes += size
        self._last_lsn += len(payloads)
        return self._last_lsn

    def _available(self) -> int:
        """Allocated bytes, less what is queued and what may be lost where a batch does not fit at the end of a segment."""
        spare = self._writer.spare_bytes
        return self._writer.left_bytes + max(0, spare - self._options.batch_bytes) - self._queued_bytes

    def _synced(self) -> bool:
        """Whether a new batch may be written."""
        return self._written_lsn == self._durable.lsn

    def _claim(self) -> list[bytes]:
        """Become the one who writes, with the next batch; an empty one while what was written is not synced. Call it locked, when nobody is busy."""
        self._busy = True
        count = self._writer.fitting(self._queue) if self._queue and self._synced() else 0
        if count == len(self._queue):
            batch, self._claimed_bytes = list(self._queue), self._queued_bytes
            self._queue.clear()
        else:
            batch = [self._queue.popleft() for _ in range(count)]
            self._claimed_bytes = sum(map(cost, batch))
        return batch

    def _perform(self, batch: list[bytes], *, sync: bool) -> None:
        """Write what was claimed, sync, and let the next one have a turn."""
        try:
            if batch:
                self._write(batch)
            if sync:
                self._writer.sync()
                self._publish(durable=True)
            self._tell()
        except OSError as error:
            self._fail(error)
            self._tell()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            with self._lock:
                self._busy = False
                self._done.notify_all()
                if self._closing or self._failure is not None or self._has_work():
                    self._work.notify()

    def _write(self, batch: list[bytes]) -> None:
        rolled = self._writer.write(batch)
        with self._lock:
            self._queued_bytes -= self._claimed_bytes
            self._written_bytes += self._claimed_bytes
        self._publish(durable=False)
        if rolled:
            self._spare_wanted.set()

    def _publish(self, *, durable: bool) -> None:
        with self._lock:
            self._written_lsn = self._writer.mark.lsn
            if durable:
                self._durable = self._writer.mark
            self._done.notify_all()

    def _tell(self) -> None:
        progress = Progress(self._written_lsn, self._durable.lsn, "" if self._failure is None else str(self._failure))
        for callback in self._callbacks:
            callback(progress)

    def _fail(self, error: BaseException) -> None:
        with self._lock:
            self._failure = JournalFailed(
                f"journal {self._directory}: expected the disk to take a record, it answered: {error}; nothing is taken any more, "
                "look at the disk and start again"
            )
            self._done.notify_all()
        with suppress(OSError):  # a note for the next boot; the failure itself is told to everybody who asks
            note_disk_error(self._disk, self._directory)

    def _write_loop(self) -> None:
        while True:
            with self._lock:
                self._work.wait_for(lambda: self._failure is not None or (not self._busy and (self._closing or self._has_work())))
                if self._failure is not None or not self._has_work():
                    return
                batch = self._claim()
            self._perform(batch, sync=True)

    def _has_work(self) -> bool:
        return bool(self._queue) or not self._synced()

    def _spare_loop(self) -> None:
        while True:
            self._spare_wanted.wait()
            self._spare_wanted.clear()
            if self._closing or self._failure is not None:
                return
            self._writer.prepare()


def note_disk_error(disk: Disk, directory: Path) -> None:
    """Leave word for the next boot that a disk error was seen."""
    if ERROR_MARKER not in disk.names(directory):
        disk.create(directory / ERROR_MARKER).close()
    disk.sync_directory(directory)
