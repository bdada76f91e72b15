"""When a gate stands still, judged by its count of rounds."""

import pytest

from interlock.domain.errors import UsageError
from interlock.sentinel.watch import Bounds, Progress

BOUNDS = Bounds(worst_stall_ns=10, stall_ns=30, boot_ns=300)


def watched(*looks: tuple[str, int, int]) -> Progress:
    progress = Progress(BOUNDS)
    for life, count, boot_ns in looks:
        progress.see(life, count, boot_ns)
    return progress


def still(start_ns: int, end_ns: int, count: int) -> tuple[tuple[str, int, int], ...]:
    return tuple(("a", count, at_ns) for at_ns in range(start_ns, end_ns + 1, 5))


def test_nothing_seen_is_neither_fresh_nor_stalled() -> None:
    assert (watched().fresh, watched().stalled) == (False, False)


def test_it_stalls_after_its_bound_and_work_makes_it_fresh() -> None:
    assert not watched(*still(0, 30, 1)).stalled
    stalled = watched(*still(0, 35, 1))
    assert (stalled.stalled, stalled.fresh) == (True, False)
    stalled.see("a", 2, 36)
    assert (stalled.stalled, stalled.fresh) == (False, True)


def test_a_gate_that_begins_has_longer_and_is_not_fresh() -> None:
    begins = watched(*still(0, 300, 0))
    assert (begins.stalled, begins.fresh) == (False, False)
    assert watched(*still(0, 305, 0)).stalled


def test_a_new_life_is_no_stand_still() -> None:
    progress = watched(*still(0, 30, 1))
    progress.see("b", 1, 40)
    assert not progress.stalled


def test_our_own_absence_is_not_held_against_the_gate() -> None:
    progress = watched(("a", 1, 0), ("a", 1, 1_000_000))
    assert not progress.stalled
    # It has to be seen standing still more than once.
    progress.see("a", 1, 2_000_000)
    progress.see("a", 1, 3_000_000)
    assert not progress.stalled
    progress.see("a", 1, 4_000_000)
    assert progress.stalled
    progress.excuse()
    assert not progress.stalled


def test_time_that_goes_back_counts_nothing() -> None:
    assert watched(("a", 1, 100), ("a", 1, 0)).stood_ns == 0


@pytest.mark.parametrize(("worst", "stall", "boot"), [(0, 30, 300), (-1, 30, 300), (11, 30, 300), (10, 29, 300), (10, 30, 29)])
def test_a_bound_below_three_stalls_is_refused(worst: int, stall: int, boot: int) -> None:
    with pytest.raises(UsageError, match="measure the worst stall"):
        Bounds(worst, stall, boot)
