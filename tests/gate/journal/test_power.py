"""Power loss at every step, with every fate of what was not synced: an exact prefix with all that was acknowledged, or a refusal."""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.disks import FakeDisk, PowerLoss
from tests.gate.journal.helpers import begin, journal, payload, read, snapshot, write

RECORDS = [payload(number) for number in range(16)]
SIZES = (1, 3, 1, 2, 1, 1, 4, 1, 2)


def life(disk: FakeDisk, acknowledged: list[int], who: bytes = b"a") -> None:
    """One process life: whatever is not yet there, in batches of several sizes, a snapshot on the way, a seal at the end."""
    writer = begin(disk, who)
    for size in SIZES:
        write(writer, RECORDS[writer.mark.lsn : writer.mark.lsn + size], acknowledged.append)
        if size == 4:
            snapshot(disk, read(disk)[0])
    write(writer, RECORDS[writer.mark.lsn :], acknowledged.append)
    writer.seal()
    writer.close()


def crashed(step: int, disk: FakeDisk | None = None, who: bytes = b"a") -> tuple[FakeDisk, int] | None:
    """The disk when the power goes before that step, and the last acknowledged record; None if the life ends before it."""
    disk = disk or FakeDisk()
    disk.crash_at = step
    acknowledged = [0]
    try:
        life(disk, acknowledged, who)
    except PowerLoss:
        return disk, acknowledged[-1]
    return None


def fates(disk: FakeDisk, limit: int, chance: random.Random) -> Iterator[FakeDisk]:
    """Every fate if there are at most `limit`, else that many by chance, all lost and all kept among them."""
    asked: list[int] = []

    def ask(count: int) -> int:
        asked.append(count)
        return 0

    yield disk.after_power_loss(ask)
    every = 1
    for count in asked:
        every *= count
    if every <= limit:
        for answers in itertools.product(*map(range, asked)):
            left = iter(answers)
            yield disk.after_power_loss(lambda count, left=left: next(left, 0))  # type: ignore[misc]
        return
    yield disk.after_power_loss(lambda count: 1)
    for _ in range(limit // 8):
        yield disk.after_power_loss(chance.randrange)


def steps_of_a_life() -> int:
    disk = FakeDisk()
    life(disk, [])
    return len(disk.steps)


def assert_prefix(disk: FakeDisk, acknowledged: int) -> int:
    found, got = read(disk)
    assert got == RECORDS[: len(got)]
    assert len(got) == found.mark.lsn >= acknowledged
    assert found.barrier_lsn <= found.mark.lsn
    return found.mark.lsn


def test_a_life_without_a_crash_keeps_everything() -> None:
    disk = FakeDisk()
    life(disk, [])
    found, got = read(disk)
    assert got == RECORDS
    assert found.sealed
    assert found.segments > 2
    assert crashed(steps_of_a_life()) is None


def test_power_loss_at_every_step_leaves_an_exact_prefix_with_all_that_was_acknowledged() -> None:
    chance = random.Random(1)
    ends = set()
    for step in range(steps_of_a_life()):
        happened = crashed(step)
        assert happened
        for after in fates(happened[0], 800, chance):
            ends.add(assert_prefix(after, happened[1]) - happened[1])
    assert min(ends) == 0
    assert max(ends) > 0, "a batch that was not acknowledged was never found, so nothing was tried"


def test_recovery_repeated_is_the_same_and_a_second_life_completes_the_first() -> None:
    chance = random.Random(2)
    for step in range(0, steps_of_a_life(), 3):
        happened = crashed(step)
        assert happened
        for after in fates(happened[0], 3, chance):
            first, _ = read(after)
            assert read(after)[0] == first
            begin(after, b"b").close()
            again, got = read(after)
            assert (again.mark, again.barrier_lsn) == (first.mark, first.barrier_lsn)
            assert again.torn is None
            life(after, [], b"c")
            assert read(after)[1] == RECORDS
            assert len(got) == first.mark.lsn


def test_power_loss_while_recovering_from_power_loss() -> None:
    chance = random.Random(3)
    for step in range(0, steps_of_a_life(), 7):
        happened = crashed(step)
        assert happened
        for second in range(0, 60, 4):
            fresh = happened[0].after_power_loss(random.Random(step).randrange)
            known = assert_prefix(fresh, happened[1])
            twice = crashed(second, fresh, b"b")
            if twice is None:
                break
            assert_prefix(twice[0].after_power_loss(chance.randrange), max(known, twice[1]))


def test_death_of_the_process_loses_nothing_that_was_written() -> None:
    for step in range(steps_of_a_life()):
        happened = crashed(step)
        assert happened
        known = assert_prefix(happened[0].after_process_death(), happened[1])
        # a second process carries over what was never synced; then the power goes, and it is still there
        second = happened[0].after_process_death()
        begin(second, b"b").close()
        assert assert_prefix(second.after_power_loss(lambda count: 0), known) == known


@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC])
def test_a_refusing_disk_at_every_step_costs_no_acknowledged_record(kind: int) -> None:
    chance = random.Random(4)
    refused = 0
    for step in range(steps_of_a_life()):
        disk = FakeDisk()
        disk.faults[step] = kind
        acknowledged = [0]
        try:
            life(disk, acknowledged)
        except OSError:
            refused += 1
        known = assert_prefix(disk.after_process_death(), acknowledged[-1])
        assert_prefix(disk.after_power_loss(chance.randrange), acknowledged[-1])
        if step % 5 == 0:
            heir = disk.after_process_death()
            begin(heir, b"b").close()
            assert_prefix(heir.after_power_loss(lambda count: 0), known)
    assert refused > steps_of_a_life() // 2


def test_a_disk_that_takes_little_at_a_time_gets_everything_and_one_that_takes_nothing_is_an_error() -> None:
    disk = FakeDisk()
    disk.short = dict.fromkeys(range(0, 4000, 2), 100)
    life(disk, [])
    assert read(disk)[1] == RECORDS
    disk = FakeDisk()
    disk.short = dict.fromkeys(range(4000), 0)
    with pytest.raises(OSError, match="took 0"):
        life(disk, [])


@given(st.data())
def test_any_lives_with_any_crashes_leave_a_prefix(data: st.DataObject) -> None:
    disk = FakeDisk()
    known = 0
    for who in (b"a", b"b", b"c"):
        happened = crashed(data.draw(st.integers(0, 80)), disk, who)
        if happened is None:
            assert read(disk)[1] == RECORDS
            return
        choose: Callable[[int], int] = lambda count: data.draw(st.integers(0, count - 1))  # noqa: E731
        if data.draw(st.booleans()):
            disk = happened[0].after_process_death()
        else:
            disk = happened[0].after_power_loss(choose)
        known = assert_prefix(disk, max(known, happened[1]))


def test_the_fake_loses_what_was_not_synced() -> None:
    disk = journal(3)
    writer = begin(disk, b"b")
    writer.write([b"not synced"])
    assert read(disk)[1][-1] == b"not synced"
    assert read(disk.after_power_loss(lambda count: 1))[1][-1] == b"not synced"
    for fate in (0, 2):
        found, got = read(disk.after_power_loss(lambda count, fate=fate: min(fate, count - 1)))  # type: ignore[misc]
        assert len(got) == 3
        assert (found.torn is not None) == (fate == 2)
