"""The journal in use, one step at a time: who may write while somebody writes, who is woken by what, and what is counted as room.

A disk that stops inside a write or sync, and callbacks that do not return, hold a moment open in which the other threads are looked at. Waits for
something that must not happen are short, and can only let a defect pass, never fail on a slow machine.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from tests.gate.disks import FakeDisk
from tests.gate.journal.helpers import FOLDER, SCHEMA, read

from interlock.domain.clock import NS_PER_S
from interlock.gate.journal import Journal, JournalFailed, JournalFull, Options, Progress, open_journal
from interlock.gate.journal.format import BLOCK, Seal, decode_batch, decode_seal
from interlock.gate.journal.segments import find_segments

LONG_NS = 20 * NS_PER_S
LONG = 20.0
SHORT = 0.2
"""How long something that must not happen is waited for."""
OPTIONS = Options(segment_bytes=32 * BLOCK, batch_bytes=4 * BLOCK, reserve_bytes=4 * BLOCK)
IN_SEGMENT = 30 * BLOCK
"""Room of a segment: its length less header and seal."""
FRESH = IN_SEGMENT + IN_SEGMENT - 4 * BLOCK
"""Room of a new journal: a segment, and the spare one less what may be lost where a batch does not fit."""


class Stopping(FakeDisk):
    """Stops inside the calls of a kind until it is let go, and notes how many are inside at once."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_in = ""
        self.entered = threading.Event()
        self.second = threading.Event()
        self.go = threading.Event()
        self._inside = 0

    def step(self, what: str) -> None:
        if what != self.stop_in:
            super().step(what)
            return
        self._inside += 1
        if self._inside > 1:
            self.second.set()
        self.entered.set()
        try:
            assert self.go.wait(LONG)
            super().step(what)
        finally:
            self._inside -= 1

    def hold(self, what: str) -> None:
        """From now on, stop in these."""
        self.entered.clear()
        self.go.clear()
        self.stop_in = what

    def release(self) -> None:
        self.stop_in = ""
        self.go.set()


class Started:
    """A call in another thread: whether it has returned, and with what."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.ended = threading.Event()
        self.result: object = None
        self.error: BaseException | None = None
        self._call = call
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except JournalFailed as error:
            self.error = error
        finally:
            self.ended.set()

    def get(self) -> object:
        assert self.ended.wait(LONG)
        return self.result


def opened(disk: FakeDisk, options: Options = OPTIONS) -> Journal:
    return open_journal(disk, FOLDER, schema=SCHEMA, incarnation=b"a" * 16, options=options)[0]


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("journal")]


def until(condition: Callable[[], bool]) -> None:
    for _ in range(4000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it did not come to that")


@pytest.fixture
def disk() -> Stopping:
    return Stopping()


@pytest.fixture
def journal(disk: Stopping) -> Iterator[Journal]:
    made = opened(disk)
    yield made
    disk.release()
    with suppress(JournalFailed):
        made.close()


# One writes at a time


def test_while_somebody_writes_a_flush_that_does_not_wait_answers_no(disk: Stopping, journal: Journal) -> None:
    """The batch under way is not with the operating system yet, so that everything looks synced: another write beside it would take its place."""
    disk.hold("write")
    committing = Started(lambda: journal.commit(b"one"))
    assert disk.entered.wait(LONG)
    journal.append(b"two")
    assert journal.flush(wait=False) is False
    assert not disk.second.is_set()
    disk.release()
    assert committing.get() == 1
    assert journal.wait_durable(2, LONG_NS)
    assert journal.flush(wait=False) is True
    assert read(disk)[1] == [b"one", b"two"]


@pytest.mark.parametrize("how", ["commit", "flush"])
def test_while_somebody_writes_another_waits_for_its_turn(how: str, disk: Stopping, journal: Journal) -> None:
    disk.hold("write")
    first = Started(lambda: journal.commit(b"one"))
    assert disk.entered.wait(LONG)
    if how == "flush":
        journal.append(b"two")
    second = Started(lambda: journal.commit(b"two") if how == "commit" else journal.flush())
    assert not disk.second.wait(SHORT)
    assert not second.ended.is_set()
    disk.release()
    assert first.get() == 1
    assert second.get() == (2 if how == "commit" else True)
    assert journal.wait_durable(2, LONG_NS)
    assert read(disk)[1] == [b"one", b"two"]


def test_a_close_during_a_write_writes_nothing_beside_it_and_then_ends(disk: Stopping) -> None:
    """What is still queued waits for the write under way, though the journal is being closed."""
    journal = opened(disk)
    disk.hold("write")
    committing = Started(lambda: journal.commit(b"one"))
    assert disk.entered.wait(LONG)
    journal.append(b"two")
    closing = Started(journal.close)
    assert not disk.second.wait(SHORT)
    assert not closing.ended.is_set()
    disk.release()
    assert committing.get() == 1
    closing.get()
    assert closing.error is None
    found, got = read(disk)
    assert (got, found.sealed) == ([b"one", b"two"], True)


def test_a_close_during_the_only_write_ends_when_that_does(disk: Stopping) -> None:
    """The writer thread has looked, found somebody busy, and sleeps: whoever is busy wakes it though there is nothing left to write."""
    journal = opened(disk)
    disk.hold("sync")
    committing = Started(lambda: journal.commit(b"one"))
    assert disk.entered.wait(LONG)
    closing = Started(journal.close)
    assert not closing.ended.wait(SHORT)
    disk.release()
    assert committing.get() == 1
    closing.get()
    found, got = read(disk)
    assert (got, found.sealed) == ([b"one"], True)


# Who is told, and when


def test_who_waits_hears_of_the_barrier_before_the_callbacks_have_returned(disk: Stopping, journal: Journal) -> None:
    """The record is on disk; a slow listener of the one who wrote it holds nobody else."""
    waited = [threading.Event(), threading.Event()]
    kept: list[bool] = []

    def slow(progress: Progress) -> None:
        if progress.durable_lsn == 1 and threading.current_thread().name == "journal":
            kept.extend(event.wait(LONG) for event in waited)

    journal.subscribe(slow)
    disk.hold("write")
    journal.append(b"one")
    assert disk.entered.wait(LONG)

    def told(number: int, call: Callable[[], object]) -> object:
        result = call()
        waited[number].set()
        return result

    calls = [Started(lambda: told(0, journal.commit)), Started(lambda: told(1, lambda: journal.wait_durable(1, LONG_NS)))]
    threading.Event().wait(SHORT)  # so that they wait already
    disk.release()
    assert [call.get() for call in calls] == [1, True]
    until(lambda: len(kept) == 2)
    assert kept == [True, True]


def test_who_waits_hears_of_a_failure_before_the_callbacks_have_returned(disk: Stopping, journal: Journal) -> None:
    waited = [threading.Event(), threading.Event()]
    kept: list[bool] = []

    def slow(progress: Progress) -> None:
        if progress.failure:
            kept.extend(event.wait(LONG) for event in waited)

    journal.subscribe(slow)
    disk.hold("write")
    journal.append(b"one")
    assert disk.entered.wait(LONG)

    def told(number: int, call: Callable[[], object]) -> None:
        with pytest.raises(JournalFailed, match="look at the disk"):
            call()
        waited[number].set()

    calls = [Started(lambda: told(0, journal.commit)), Started(lambda: told(1, lambda: journal.wait_durable(1, LONG_NS)))]
    threading.Event().wait(SHORT)
    disk.faults[len(disk.steps)] = errno.EIO
    disk.release()
    for call in calls:
        call.get()
    until(lambda: len(kept) == 2)
    assert kept == [True, True]


def test_a_close_after_a_failure_waits_for_the_one_who_is_still_telling_of_it(disk: Stopping) -> None:
    """Until then its files and the lock are in use: another writer could begin while this one still leaves its note."""
    journal = opened(disk)
    telling, go = threading.Event(), threading.Event()

    def slow(progress: Progress) -> None:
        if progress.failure:
            telling.set()
            assert go.wait(LONG)

    journal.subscribe(slow)
    disk.faults[len(disk.steps)] = errno.EIO
    committing = Started(lambda: journal.commit(b"one"))
    assert telling.wait(LONG)
    closing = Started(journal.close)
    assert not closing.ended.wait(SHORT)
    assert disk.locks
    go.set()
    committing.get()
    closing.get()
    assert isinstance(committing.error, JournalFailed)
    assert not disk.locks


# Flush


def queued(journal: Journal, payload: bytes) -> int:
    """Taken, and nobody is told, so that a writer thread that sleeps goes on sleeping."""
    with journal._lock:
        return journal._take((payload,), reserve=True)


def written_by_flush(records: int) -> bool:
    """Whether, after so many records of a block each, a flush that does not wait writes the next one in its own thread."""
    journal = opened(FakeDisk())
    told: list[str] = []
    for _ in range(records):
        journal.commit(b"x")
    journal.subscribe(lambda progress: told.append(threading.current_thread().name))
    lsn = queued(journal, b"last")
    answer = journal.flush(wait=False)
    mine = threading.current_thread().name in told
    assert not mine or (answer is True and journal.written_lsn == lsn)
    assert journal.wait_durable(lsn, LONG_NS)
    journal.close()
    return mine


@pytest.mark.parametrize("records", [0, 28])
def test_a_flush_that_does_not_wait_writes_where_there_is_room(records: int) -> None:
    """Tried again, because the writer thread may be awake for another reason and do it first."""
    assert any(written_by_flush(records) for _ in range(20))


@pytest.mark.parametrize("records", [29, 30])
def test_a_flush_that_does_not_wait_leaves_a_new_segment_to_the_writer(records: int, disk: Stopping, journal: Journal) -> None:
    """With less than a block to spare beyond what is queued a new segment may be due, and that syncs. The writer thread is told."""
    for _ in range(records):
        journal.commit(b"x")
    disk.hold("write")
    lsn = queued(journal, b"last")
    assert journal.flush(wait=False) is False
    assert journal.written_lsn < lsn
    disk.release()
    assert journal.wait_durable(lsn, LONG_NS)
    assert len(find_segments(disk, FOLDER)) == (2 if records == 30 else 1)


@pytest.mark.parametrize("records", [28, 29, 30])
def test_a_flush_that_waits_begins_a_new_segment_itself(records: int, disk: Stopping, journal: Journal) -> None:
    for _ in range(records):
        journal.commit(b"x")
    lsn = queued(journal, b"last")
    assert journal.flush() is True
    assert journal.written_lsn == lsn


# Room


def test_the_room_of_a_new_journal(journal: Journal) -> None:
    room = journal.room()
    assert (room.allocated_bytes, room.written_bytes, room.spare_ready) == (FRESH, 0, True)
    assert journal.commit(b"one") == 1
    room = journal.room()
    assert (room.allocated_bytes, room.written_bytes) == (FRESH - BLOCK, BLOCK)


def test_what_is_queued_takes_room_and_gives_back_what_it_did_not_need(disk: Stopping, journal: Journal) -> None:
    """Each record is counted alone in its batch; several of a batch share its header. Whatever was counted is taken back when it is written."""
    disk.hold("sync")
    journal.append(b"first")
    assert disk.entered.wait(LONG)
    before = journal.room()
    assert before.allocated_bytes == FRESH - BLOCK
    for number in range(1, 11):
        journal.append(b"x" * 400)
        assert journal.room().allocated_bytes == FRESH - BLOCK - number * BLOCK
    assert journal.room().written_bytes == BLOCK
    told: list[tuple[int, int, int]] = []

    def note(progress: Progress) -> None:
        room = journal.room()
        told.append((progress.durable_lsn, room.allocated_bytes, room.written_bytes))

    journal.subscribe(note)
    disk.release()
    until(lambda: len(told) == 4)
    # Batches of one, four, four and two records: what is written no longer counts as queued.
    assert told == [(lsn, FRESH - 11 * BLOCK, lsn * BLOCK) for lsn in (1, 5, 9, 11)]


def test_without_a_spare_segment_there_is_what_is_left_of_this_one_to_the_last_byte(disk: Stopping, journal: Journal) -> None:
    disk.free = 0
    journal.commit(b"x")
    while journal.room().spare_ready:
        journal.commit(b"x", reserve=True)
    allocated = journal.room().allocated_bytes
    assert allocated == IN_SEGMENT - BLOCK
    while allocated:
        journal.commit(b"x", reserve=True)
        allocated -= BLOCK
        assert journal.room().allocated_bytes == allocated
    with pytest.raises(JournalFull, match=r"expected room for 512 bytes, found 0 allocated; make room on the disk"):
        journal.commit(b"x", reserve=True)


def test_a_journal_that_is_full_because_the_disk_is_slow_names_no_problem_of_the_spare(disk: Stopping, journal: Journal) -> None:
    disk.hold("sync")
    journal.append(b"x")
    assert disk.entered.wait(LONG)

    def fill() -> None:
        while True:
            journal.append(b"x")

    with pytest.raises(JournalFull, match=r"beyond the reserve, found 2048 allocated; make room on the disk$"):
        fill()
    assert journal.failure is None
    assert journal.append(b"x", reserve=True)


def test_a_full_disk_is_not_asked_again_with_every_record(disk: Stopping, journal: Journal) -> None:
    """Allocating is tried at a new segment, and when the keeper of the journal says so."""
    disk.free = 0
    while journal.room().spare_ready:
        journal.commit(b"x")
    until(lambda: journal.room().spare_problem != "")
    disk.free = 1 << 40
    created = disk.steps.count("create")
    for _ in range(10):
        journal.commit(b"x")
    threading.Event().wait(SHORT)
    assert disk.steps.count("create") == created
    journal.prepare()
    until(lambda: journal.room().spare_ready)
    assert disk.steps.count("create") == created + 1


# Ends


def test_the_threads_of_a_journal_keep_no_process_alive() -> None:
    """A process that ends without closing its journal must end: what it had promised is on disk."""
    others = own_threads()
    journal = opened(FakeDisk())
    mine = [thread for thread in own_threads() if thread not in others]
    assert len(mine) == 2
    assert all(thread.daemon for thread in mine)
    journal.close()
    assert not any(thread.is_alive() for thread in mine)


def test_nothing_is_allocated_on_a_disk_that_failed(disk: Stopping) -> None:
    others = own_threads()
    journal = opened(disk)
    mine = [thread for thread in own_threads() if thread not in others]
    disk.free = 0
    while journal.room().spare_ready:
        journal.commit(b"x")
    until(lambda: journal.room().spare_problem != "")
    disk.free = 1 << 40
    disk.faults[len(disk.steps)] = errno.EIO
    with pytest.raises(JournalFailed):
        journal.commit(b"lost")
    created = disk.steps.count("create")
    journal.prepare()
    until(lambda: not any(thread.is_alive() for thread in mine))
    assert not journal.room().spare_ready
    assert disk.steps.count("create") == created
    journal.close()


@pytest.mark.parametrize("state", [None, b"s" * 32])
def test_the_seal_names_the_newest_snapshot(state: bytes | None, disk: Stopping) -> None:
    journal = opened(disk)
    journal.commit(b"one")
    journal.commit(b"two")
    mark = journal.durable_mark
    if state is not None:
        journal.write_snapshot(mark, state, b"blob")
    journal.commit(b"three")
    end = journal.durable_mark
    journal.close()
    content = bytes(disk.files[find_segments(disk, FOLDER)[-1].path].durable)
    batch = decode_batch(content[4 * BLOCK : 5 * BLOCK])
    assert batch is not None
    assert decode_seal(batch.payload) == Seal(3, end.chain, *((2, state) if state is not None else (0, bytes(32))))
