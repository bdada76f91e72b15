"""The journal in use: nothing waits that must not, everything that was promised is on disk, and a failed disk is final."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from tests.gate.disks import FakeDisk
from tests.gate.journal.helpers import FOLDER, SMALL, payload, read

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import DamagedState, Refused, UsageError
from interlock.gate.journal import Journal, JournalFailed, JournalFull, Mark, Options, Progress, latest_snapshot, open_journal

LONG_NS = 20 * NS_PER_S
MIDDLE = Options(segment_bytes=32 * 512, batch_bytes=4 * 512, reserve_bytes=4 * 512)


def opened(disk: FakeDisk, options: Options = MIDDLE, who: bytes = b"a") -> Journal:
    return open_journal(disk, FOLDER, schema=1, incarnation=who * 16, options=options)[0]


def spare_comes(journal: Journal, wanted: bool = True) -> None:
    """Wait for the thread that allocates."""
    for _ in range(2000):
        if journal.room().spare_ready == wanted:
            return
        threading.Event().wait(0.005)
    raise AssertionError("no spare segment came")


@pytest.fixture
def disk() -> FakeDisk:
    return FakeDisk()


@pytest.fixture
def journal(disk: FakeDisk) -> Iterator[Journal]:
    made = opened(disk)
    yield made
    disk.stall.set()
    made.close()


def test_append_and_wait(disk: FakeDisk, journal: Journal) -> None:
    assert (journal.last_lsn, journal.durable_lsn, journal.written_lsn) == (0, 0, 0)
    lsns = [journal.append(payload(number)) for number in range(5)]
    assert lsns == [1, 2, 3, 4, 5]
    assert journal.wait_durable(5, LONG_NS)
    assert journal.durable_lsn == journal.written_lsn == 5
    assert read(disk.after_power_loss(lambda count: 0))[1] == [payload(number) for number in range(5)]
    assert journal.durable_mark.lsn == 5
    assert journal.room().written_bytes > 0


def test_commit_does_the_work_itself(disk: FakeDisk, journal: Journal) -> None:
    told: list[tuple[Progress, str]] = []
    journal.subscribe(lambda progress: told.append((progress, threading.current_thread().name)))
    assert journal.commit(b"one", b"two") == 2
    assert told == [(Progress(2, 2, ""), threading.current_thread().name)]
    assert journal.commit() == 2
    assert read(disk.after_power_loss(lambda count: 0))[1] == [b"one", b"two"]


def test_what_queues_during_a_sync_is_one_batch_and_append_never_waits(disk: FakeDisk, journal: Journal) -> None:
    disk.stall.clear()
    journal.append(b"first")
    while journal.written_lsn < 1:
        threading.Event().wait(0.001)
    writes = disk.steps.count("write")
    for number in range(10):
        journal.append(b"%d" % number)
    assert not journal.flush(wait=False)
    assert not journal.wait_durable(1, 0)
    assert journal.durable_lsn == 0
    disk.stall.set()
    assert journal.wait_durable(11, LONG_NS)
    assert disk.steps.count("write") == writes + 1


def test_flush_hands_over_and_the_sync_follows(disk: FakeDisk, journal: Journal) -> None:
    told: list[Progress] = []
    end = journal.subscribe(told.append)
    assert journal.flush(wait=False)
    disk.stall.clear()
    with journal._lock:  # the writer thread cannot wake in between
        lsn = journal._take((b"begun",), reserve=False)
    assert journal.flush()
    assert (journal.written_lsn, journal.durable_lsn) == (lsn, 0)
    assert read(disk.after_process_death())[1] == [b"begun"]
    assert read(disk.after_power_loss(lambda count: 0))[1] == []
    disk.stall.set()
    assert journal.wait_durable(lsn, LONG_NS)
    while len(told) < 2:
        threading.Event().wait(0.001)
    assert told == [Progress(1, 0, ""), Progress(1, 1, "")]
    end()
    journal.commit(b"more")
    assert len(told) == 2


def test_nothing_is_written_before_the_batch_before_is_synced(disk: FakeDisk) -> None:
    journal = opened(disk, Options(segment_bytes=512 * 512, batch_bytes=4 * 512, reserve_bytes=0))
    begun = len(disk.steps)
    for _ in range(100):
        journal.append(b"begun")
        journal.flush()
        journal.commit(b"answered")
    steps = disk.steps[begun:]
    journal.close()
    assert "sync_directory" not in steps
    assert steps.count("write") >= 200
    assert all(pair != ("write", "write") for pair in pairwise(steps))


def test_flush_waits_for_a_sync_that_is_under_way(disk: FakeDisk, journal: Journal) -> None:
    disk.stall.clear()
    journal.append(b"first")
    while journal.written_lsn < 1:
        threading.Event().wait(0.001)
    journal.append(b"second")
    threading.Timer(0.05, disk.stall.set).start()
    assert journal.flush()
    assert journal.written_lsn == 2


def test_many_threads_lose_nothing_and_keep_their_order(disk: FakeDisk) -> None:
    journal = opened(disk, Options(segment_bytes=128 * 512, batch_bytes=8 * 512, reserve_bytes=512))
    problems: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for number in range(60):
                record = b"%d:%d" % (name, number)
                if number % 3 == 0:
                    journal.commit(record)
                elif number % 3 == 1:
                    assert journal.wait_durable(journal.append(record), LONG_NS)
                else:
                    journal.append(record)
                    journal.flush()
        except BaseException as error:
            problems.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert not problems
    found, got = read(disk)
    assert found.sealed
    assert len(got) == 360
    for name in range(6):
        assert [record for record in got if record.startswith(b"%d:" % name)] == [b"%d:%d" % (name, number) for number in range(60)]


def test_segments_follow_each_other_and_the_next_is_always_allocated(disk: FakeDisk) -> None:
    journal = opened(disk, SMALL)
    for number in range(30):
        spare_comes(journal)
        journal.commit(payload(number))
    journal.close()
    journal.close()
    found, got = read(disk)
    assert got == [payload(number) for number in range(30)]
    assert found.segments > 4


def test_a_closed_journal_takes_nothing_and_the_next_goes_on(disk: FakeDisk) -> None:
    journal = opened(disk)
    journal.append(b"one")
    journal.close()
    late: list[Callable[[], object]] = [lambda: journal.append(b"late"), journal.flush, lambda: journal.wait_durable(9, 0)]
    for attempt in late:
        with pytest.raises(JournalFailed, match="closed"):
            attempt()
    got: list[bytes] = []
    second, found = open_journal(
        disk, FOLDER, schema=1, incarnation=b"b" * 16, options=MIDDLE, consume=lambda lsn, record: got.append(record)
    )
    assert (got, found.mark.lsn, found.sealed, found.barrier_lsn) == ([b"one"], 1, True, 1)
    assert second.commit(b"two") == 2
    second.close()
    assert read(disk)[1] == [b"one", b"two"]


def test_a_record_while_closing_is_refused(disk: FakeDisk) -> None:
    journal = opened(disk)
    disk.stall.clear()
    journal.append(b"one")
    closing = threading.Thread(target=journal.close)
    closing.start()
    while True:
        try:
            journal.append(b"more")
        except JournalFailed as error:
            assert "being closed" in str(error)  # noqa: PT017
            break
        except JournalFull:
            continue
    disk.stall.set()
    closing.join()
    assert read(disk)[1][0] == b"one"


@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("what", ["write", "sync"])
def test_a_disk_error_is_final_and_told_to_everybody(kind: int, what: str, disk: FakeDisk) -> None:
    journal = opened(disk)
    told: list[Progress] = []
    journal.subscribe(told.append)
    journal.commit(b"safe")
    disk.faults[len(disk.steps) + (what == "sync")] = kind
    with pytest.raises(JournalFailed, match="look at the disk"):
        journal.commit(b"lost")
    assert told[-1].failure == str(journal.failure)
    assert told[-1].durable_lsn == 1
    syncs = disk.steps.count("sync")
    late: list[Callable[[], object]] = [
        lambda: journal.append(b"late", reserve=True),
        lambda: journal.commit(b"late"),
        lambda: journal.wait_durable(2, LONG_NS),
    ]
    for attempt in late:
        with pytest.raises(JournalFailed):
            attempt()
    assert journal.wait_durable(1, 0)
    with pytest.raises(JournalFailed):
        journal.flush()
    journal.close()
    assert disk.steps.count("sync") == syncs, "a descriptor was used after an error"
    second, found = open_journal(disk.after_process_death(), FOLDER, schema=1, incarnation=b"b" * 16, options=MIDDLE)
    assert found.disk_error
    assert found.mark.lsn == (2 if what == "sync" else 1)
    assert found.barrier_lsn <= 1
    assert second.commit(b"settled") == found.mark.lsn + 1
    second.disk_error_settled()
    second.close()


def test_the_note_of_a_disk_error_stays_until_it_is_settled(disk: FakeDisk) -> None:
    journal = opened(disk)
    disk.faults[len(disk.steps)] = errno.EIO
    with pytest.raises(JournalFailed):
        journal.commit(b"lost")
    journal.close()
    for settle in (False, True):
        journal, found = open_journal(disk, FOLDER, schema=1, incarnation=b"b" * 16, options=MIDDLE)
        assert found.disk_error
        if settle:
            journal.disk_error_settled()
        journal.close()
    assert not read(disk)[0].disk_error
    assert not read(disk.after_power_loss(lambda count: 0))[0].disk_error


def test_a_second_disk_error_keeps_the_note_of_the_first(disk: FakeDisk) -> None:
    for who in (b"a", b"b"):
        journal = opened(disk, who=who)
        disk.faults[len(disk.steps)] = errno.EIO
        with pytest.raises(JournalFailed):
            journal.commit(b"lost")
        journal.close()
        assert read(disk.after_power_loss(lambda count: 0))[0].disk_error


def test_waiters_in_other_threads_hear_of_a_failure(disk: FakeDisk) -> None:
    journal = opened(disk)
    disk.stall.clear()
    heard: list[str] = []

    def wait(step: str) -> None:
        try:
            journal.wait_durable(1, LONG_NS) if step == "wait" else journal.commit(b"two")
        except JournalFailed as error:
            heard.append(str(error))

    journal.append(b"one")
    while journal.written_lsn < 1:
        threading.Event().wait(0.001)
    threads = [threading.Thread(target=wait, args=(step,)) for step in ("wait", "commit")]
    for thread in threads:
        thread.start()
    disk.faults[len(disk.steps)] = errno.EIO
    disk.stall.set()
    for thread in threads:
        thread.join()
    journal.close()
    assert len(heard) == 2


def test_a_disk_that_refuses_the_seal_is_told(disk: FakeDisk) -> None:
    journal = opened(disk)
    journal.commit(b"one")
    disk.faults[len(disk.steps)] = errno.EIO
    with pytest.raises(JournalFailed):
        journal.close()
    assert not disk.locks
    assert read(disk)[1] == [b"one"]


def test_a_disk_that_refuses_even_the_note_still_fails_in_order(disk: FakeDisk) -> None:
    journal = opened(disk)
    at = len(disk.steps)
    disk.faults = {at: errno.EIO, at + 1: errno.EIO}
    with pytest.raises(JournalFailed):
        journal.commit(b"one")
    journal.close()
    assert not read(disk)[0].disk_error


def test_a_callback_that_raises_stops_the_journal(disk: FakeDisk) -> None:
    journal = opened(disk)

    def broken(progress: Progress) -> None:
        raise ValueError("defect")

    journal.subscribe(broken)
    with pytest.raises(ValueError, match="defect"):
        journal.commit(b"one")
    with pytest.raises(JournalFailed, match="defect"):
        journal.append(b"two")
    journal.close()


def test_a_full_disk_leaves_the_reserve_to_what_lowers_risk(disk: FakeDisk) -> None:
    journal = opened(disk)
    disk.free = 0
    while journal.room().spare_ready:
        journal.commit(b"fill" * 50)
    threading.Event().wait(0.05)
    assert journal.room().spare_problem == "no room for a whole segment"
    while journal.room().allocated_bytes - 512 >= journal.room().reserve_bytes:
        journal.commit(b"fill")
    with pytest.raises(JournalFull, match=r"beyond the reserve, found \d+ allocated; make room on the disk \(no room"):
        journal.append(b"fill")
    assert journal.room().allocated_bytes >= journal.room().reserve_bytes > 0
    for _ in range(4):
        journal.commit(b"cancel", reserve=True)
    with pytest.raises(JournalFull, match=r"512 bytes, found"):
        journal.append(b"cancel", reserve=True)
    assert journal.failure is None
    disk.free = 1 << 40
    journal.prepare()
    spare_comes(journal)
    last = journal.commit(b"again")
    journal.close()
    found, got = read(disk)
    assert (found.mark.lsn, got[-5:]) == (last, [b"cancel"] * 4 + [b"again"])


def test_of_several_records_all_are_taken_or_none(disk: FakeDisk) -> None:
    journal = opened(disk)
    disk.free = 0
    while journal.room().spare_ready:
        journal.commit(b"fill" * 50)
    room = journal.room()
    fits = (room.allocated_bytes - room.reserve_bytes) // 512
    before = journal.last_lsn
    with pytest.raises(JournalFull, match=rf"room for {512 * (fits + 1)} bytes beyond the reserve"):
        journal.commit(*[b"fill"] * (fits + 1))
    with pytest.raises(UsageError, match="at most 2048 bytes"):
        journal.commit(b"fill", bytes(2000))
    assert (journal.last_lsn, journal.room().allocated_bytes) == (before, room.allocated_bytes)
    assert journal.commit(*[b"fill"] * fits) == before + fits
    journal.close()
    assert read(disk)[1][-fits:] == [b"fill"] * fits


def test_a_record_that_no_batch_holds_is_a_defect(journal: Journal) -> None:
    with pytest.raises(UsageError, match="at most 2048 bytes"):
        journal.append(bytes(2000))
    assert journal.append(bytes(1900)) == 1


def test_a_snapshot_stands_on_durable_records_only(disk: FakeDisk, journal: Journal) -> None:
    journal.commit(b"one")
    with pytest.raises(UsageError, match="expected a durable one"):
        journal.write_snapshot(Mark(2, bytes(32)), bytes(32), b"")
    journal.write_snapshot(journal.durable_mark, bytes(32), b"state")
    found, ignored = latest_snapshot(disk, FOLDER, 1)
    assert found is not None
    assert (found.mark, found.blob, ignored) == (journal.durable_mark, b"state", ())


def test_only_one_writer(disk: FakeDisk, journal: Journal) -> None:
    with pytest.raises(Refused, match="another process writes there"):
        opened(disk)
    journal.commit(b"one")
    journal.close()
    opened(disk).close()


def test_what_keeps_a_journal_from_opening_leaves_it_unlocked(disk: FakeDisk) -> None:
    with pytest.raises(UsageError, match="incarnation of 16 bytes"):
        open_journal(disk, FOLDER, schema=1, incarnation=b"")
    disk.free = 0
    with pytest.raises(UsageError, match="expected room for two segments"):
        opened(disk)
    disk.free = 1 << 40
    journal = opened(disk)
    for number in range(60):
        spare_comes(journal)
        journal.commit(payload(number))
    journal.close()
    name = min(path for path in disk.files if path.suffix == ".seg")
    disk.files[name].durable[0] ^= 1
    with pytest.raises(DamagedState):
        opened(disk)
    assert not disk.locks
    disk.files[name].durable[0] ^= 1
    opened(disk).close()


def test_a_folder_that_cannot_be_made_is_told() -> None:
    class NoFolder(FakeDisk):
        def make_directory(self, path: object) -> None:
            raise PermissionError(errno.EACCES, "not yours")

    with pytest.raises(UsageError, match="see who owns it"):
        opened(NoFolder())


def test_an_error_nobody_was_told_of_is_noted_at_boot(disk: FakeDisk) -> None:
    opened(disk).close()
    for fault in (True, False):
        heir = disk.after_process_death()
        if fault:
            heir.faults[0] = errno.EIO
        journal, found = open_journal(heir, FOLDER, schema=1, incarnation=b"c" * 16, options=MIDDLE)
        assert found.disk_error == fault
        journal.disk_error_settled()
        journal.close()
