"""Time that cannot be believed: each way is found by name, and what is usual is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate.clock_watch import (
    ClockFault,
    ClockReading,
    ClockWatch,
    SkewDenial,
    SkewSample,
    begin,
    disarm_records,
    observe,
    skew_denial,
)

MS = 1_000_000
S = 1_000 * MS
START = ClockReading(boot_ns=1_000 * S, mono_ns=900 * S, wall_ns=1_800_000_000 * S)


def moved(boot: int, mono: int | None = None, wall: int | None = None, origin: ClockReading = START) -> ClockReading:
    """A reading later by so much on each clock; mono and wall keep pace unless told otherwise."""
    return ClockReading(
        boot_ns=origin.boot_ns + boot,
        mono_ns=origin.mono_ns + (boot if mono is None else mono),
        wall_ns=origin.wall_ns + (boot if wall is None else wall),
    )


@pytest.mark.parametrize(
    ("reading", "faults"),
    [
        (moved(0), ()),
        (moved(S), ()),
        (moved(5 * S), ()),
        (moved(5 * S + 1), (ClockFault.LOOP_GAP,)),
        (moved(2 * S, mono=S), ()),
        (moved(2 * S, mono=S - 1), (ClockFault.SUSPENDED,)),
        (moved(0, mono=S + 1), (ClockFault.SUSPENDED,)),
        (moved(S, wall=2 * S), ()),
        (moved(S, wall=2 * S + 1), (ClockFault.WALL_JUMPED,)),
        (moved(S, wall=0), ()),
        (moved(S, wall=-1), (ClockFault.WALL_JUMPED,)),
        (moved(S, wall=86_400 * S), (ClockFault.WALL_JUMPED,)),
        (moved(-1), (ClockFault.WENT_BACK,)),
        (moved(S, mono=-1), (ClockFault.WENT_BACK, ClockFault.SUSPENDED)),
        (moved(3_600 * S, mono=S), (ClockFault.SUSPENDED, ClockFault.LOOP_GAP)),
        (moved(3_600 * S, mono=S, wall=S), (ClockFault.SUSPENDED, ClockFault.WALL_JUMPED, ClockFault.LOOP_GAP)),
    ],
)
def test_one_step(reading: ClockReading, faults: tuple[ClockFault, ...]) -> None:
    watch, found = observe(begin(START), reading)
    assert found == faults
    assert watch.last == reading
    assert [(r.reason, r.actor, r.symbol, r.mandate_ends) for r in disarm_records(found, 7)] == [
        (f.value, "gate", "", False) for f in faults
    ]
    if faults:
        assert watch == begin(reading)
        assert observe(watch, moved(S, origin=reading))[1] == ()


def walk(steps: list[ClockReading]) -> set[ClockFault]:
    watch: ClockWatch = begin(START)
    found: set[ClockFault] = set()
    for reading in steps:
        watch, faults = observe(watch, reading)
        found.update(faults)
    return found


def test_a_sleep_in_small_pieces_adds_up() -> None:
    def steps(per_turn_ns: int) -> list[ClockReading]:
        return [moved(i * S, mono=i * (S - per_turn_ns)) for i in range(1, 101)]

    assert walk(steps(10 * MS)) == set()
    assert walk(steps(11 * MS)) == {ClockFault.SUSPENDED}


def test_slewing_is_no_jump_and_a_jump_in_pieces_is() -> None:
    def steps(parts_per_million: int) -> list[ClockReading]:
        return [moved(i * S, wall=i * S + i * S * parts_per_million // 1_000_000) for i in range(1, 7_201)]

    assert walk(steps(500)) == set()
    assert walk(steps(-500)) == set()
    assert walk(steps(20_000)) == {ClockFault.WALL_JUMPED}


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.integers(-10 * MS, 10 * MS)), max_size=30))
def test_a_healthy_host_is_left_alone(steps: list[tuple[int, int]]) -> None:
    boot, readings = 0, []
    for forward, noise in steps:
        boot += forward
        readings.append(moved(boot, wall=boot + noise))
    assert walk(readings) == set()


# The venue's clock


def sample(ahead_ms: int = 0, round_trip_ms: int = 20, age_ms: int = 0) -> SkewSample:
    return SkewSample(
        asked_wall_ns=50 * S,
        venue_ns=50 * S + ahead_ms * MS,
        round_trip_ns=round_trip_ms * MS,
        boot_ns=100 * S - age_ms * MS,
    )


@pytest.mark.parametrize(
    ("taken", "denial"),
    [
        (sample(), None),
        (None, SkewDenial.UNKNOWN),
        # The interval is [ahead - round trip, ahead]: only a whole one outside ±250 ms denies.
        (sample(270, 20), None),
        (sample(271, 20), SkewDenial.OUTSIDE),
        (sample(-250, 20), None),
        (sample(-251, 20), SkewDenial.OUTSIDE),
        (sample(100, 500), None),
        (sample(100, 501), SkewDenial.TOO_WIDE),
        (sample(0, 0), None),
        (sample(0, -1), SkewDenial.NONSENSE),
        (sample(age_ms=-1), SkewDenial.NONSENSE),
        (sample(age_ms=60_000), None),
        (sample(age_ms=60_001), SkewDenial.STALE),
    ],
)
def test_the_clock_of_a_venue(taken: SkewSample | None, denial: SkewDenial | None) -> None:
    assert skew_denial(taken, receive_window_ns=2 * S, now_boot_ns=100 * S, max_age_ns=60 * S) == denial


def test_the_receive_window_counts() -> None:
    assert skew_denial(sample(), receive_window_ns=80 * MS, now_boot_ns=100 * S, max_age_ns=S) is None
    assert skew_denial(sample(), receive_window_ns=80 * MS - 1, now_boot_ns=100 * S, max_age_ns=S) is SkewDenial.TOO_WIDE
    for nonsense in (0, -1):
        assert skew_denial(sample(), receive_window_ns=nonsense, now_boot_ns=100 * S, max_age_ns=S) is SkewDenial.NONSENSE
    assert skew_denial(None, receive_window_ns=None, now_boot_ns=100 * S, max_age_ns=S) is None


def test_the_interval_is_the_offset_and_half_the_round_trip() -> None:
    taken = sample(30, 20)
    lo, hi = taken.interval_ns
    offset = taken.venue_ns - (taken.asked_wall_ns + taken.round_trip_ns // 2)
    assert (lo + hi) // 2 == offset
    assert hi - lo == taken.round_trip_ns
