import numpy as np
import pytest

from interlock.market.clock_fix import judge

MS = 1_000_000


def test_a_usable_clock_is_left_alone() -> None:
    clock = judge(np.array([50, 55, 90]) * MS, MS, 0, 0)
    assert (clock.feed_latency, clock.corrected, clock.offset_ns, clock.floor_ns) == ("measured", False, 0, None)
    assert (clock.recorded_median_latency_ns, clock.recorded_smallest_latency_ns) == (55 * MS, 50 * MS)


@pytest.mark.parametrize("shift_ms", [-1272, 61_000])
def test_a_clock_that_is_off_gets_a_constant_and_keeps_its_jitter(shift_ms: int) -> None:
    latencies = (np.array([3, 7, 90]) + shift_ms) * MS
    clock = judge(latencies, 2 * MS, 5, 1)
    assert clock.feed_latency == "assumed"
    assert clock.corrected
    assert (latencies + clock.offset_ns).tolist() == [2 * MS, 6 * MS, 89 * MS]
    assert (clock.floor_ns, clock.tolerance_ns, clock.clamped) == (2 * MS, 5, 1)


def test_a_few_negative_latencies_do_not_condemn_a_clock() -> None:
    assert judge(np.array([-1, 2, 3]) * MS, MS, 0, 0).feed_latency == "measured"


def test_no_frames_no_latency() -> None:
    assert judge(np.zeros(0, np.int64), MS, 0, 0).feed_latency == "none"


def test_the_way_to_us_comes_on_top_of_a_time_at_which_the_venue_sent() -> None:
    clock = judge(np.array([3, 7, 90]) * MS, 2 * MS, 0, 0, received=False)
    assert (clock.feed_latency, clock.corrected, clock.offset_ns, clock.floor_ns) == ("assumed", True, 2 * MS, 2 * MS)
