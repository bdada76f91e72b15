"""Interlocks: they trip at once, clear after their quarantine, and become a latch when they do so too often or last too long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.arming_world import SYMBOL, boot, level_set, reconciled

from interlock.domain.errors import UsageError
from interlock.gate import records
from interlock.gate.interlocks import InterlockRule, interlock_records
from interlock.gate.lattice import MOST_TRIPS_COUNTED, NS_PER_HOUR, Lattice, apply, effective_level
from interlock.gate.records import Level, Record, Scope
from interlock.gate.verbs import Cause

S = 1_000_000_000
RULE = InterlockRule(cause=Cause.FEED_STALE, quarantine_ns=5 * S, latch_at_trips_an_hour=3, latch_after_ns=60 * S)


class World:
    """A lattice that takes what the interlock asks to be recorded."""

    def __init__(self) -> None:
        self.state = Lattice()
        for record in (boot(), reconciled(), level_set(Level.RUN)):
            self.state = apply(self.state, record)

    def at(self, now: int, true_since: int | None) -> list[type[Record]]:
        made = interlock_records(
            self.state, RULE, scope=Scope.SYMBOL, subject=SYMBOL, true_since_boot_ns=true_since, boot_ns=now, reason="old book"
        )
        for record in made:
            assert record.boot_ns == now
            self.state = apply(self.state, record)
        return [type(record) for record in made]

    def level(self) -> Level:
        return effective_level(self.state, symbol=SYMBOL, strategy="making", account="desk", order="cid")


TRIP, UNTRIP, LATCH = records.InterlockTripped, records.InterlockCleared, records.LatchSet


def test_it_trips_at_once_and_clears_after_its_quarantine() -> None:
    world = World()
    assert world.at(10 * S, 0) == []
    assert world.level() is Level.RUN
    assert world.at(11 * S, None) == [TRIP]
    assert world.level() is Level.REDUCE_ONLY
    assert world.at(12 * S, None) == []
    assert world.at(17 * S - 1, 12 * S) == []
    assert world.at(17 * S, 12 * S) == [UNTRIP]
    assert world.level() is Level.RUN
    assert world.at(18 * S, 12 * S) == []


def test_a_relapse_begins_the_quarantine_anew() -> None:
    world = World()
    world.at(11 * S, None)
    assert world.at(16 * S, 12 * S) == []
    assert world.at(17 * S, 16 * S) == []
    assert world.at(21 * S, 16 * S) == [UNTRIP]


@pytest.mark.parametrize("nonsense", [11 * S + 1, 10**30])
def test_a_time_ahead_is_not_known(nonsense: int) -> None:
    world = World()
    assert world.at(11 * S, 11 * S) == []
    assert world.at(11 * S, nonsense) == [TRIP]


def test_being_true_since_before_the_trip_does_not_shorten_the_quarantine() -> None:
    world = World()
    world.at(11 * S, None)
    assert world.at(16 * S - 1, 0) == []
    assert world.at(16 * S, 0) == [UNTRIP]


def cycle(world: World, start: int) -> list[type[Record]]:
    made = world.at(start, None)
    world.at(start + 6 * S, start)
    return made


def test_too_many_trips_within_an_hour_latch() -> None:
    world = World()
    assert cycle(world, 100 * S) == [TRIP]
    assert cycle(world, 200 * S) == [TRIP]
    assert cycle(world, 300 * S) == [TRIP, LATCH]
    assert not world.state.trips
    assert world.level() is Level.REDUCE_ONLY, "the latch stands after the interlock cleared"
    assert cycle(world, 400 * S) == [TRIP], "a latch that stands is not set again"


def test_trips_of_another_hour_or_life_do_not_count() -> None:
    world = World()
    cycle(world, 100 * S)
    cycle(world, 200 * S)
    assert cycle(world, 100 * S + NS_PER_HOUR) == [TRIP]
    assert world.level() is Level.RUN
    world.state = apply(world.state, boot("life-b"))
    assert cycle(world, 200 * S + NS_PER_HOUR) == [TRIP]


def test_one_that_lasts_latches_once() -> None:
    world = World()
    world.at(10 * S, None)
    assert world.at(70 * S, None) == []
    assert world.at(70 * S + 1, None) == [LATCH]
    assert world.at(80 * S, None) == []
    assert world.at(90 * S, 85 * S) == [UNTRIP]
    assert world.level() is Level.REDUCE_ONLY


def test_what_is_remembered_is_bounded() -> None:
    world = World()
    for i in range(MOST_TRIPS_COUNTED + 5):
        cycle(world, (100 + 10 * i) * S)
    assert [len(times.boot_ns) for times in world.state.tripped] == [MOST_TRIPS_COUNTED]


@pytest.mark.parametrize(
    "parts",
    [
        {"cause": Cause.OVERFILL},
        {"cause": "feed"},
        {"quarantine_ns": 0},
        {"latch_after_ns": S},
        {"latch_at_trips_an_hour": 1},
        {"latch_at_trips_an_hour": MOST_TRIPS_COUNTED + 1},
    ],
)
def test_a_rule_that_makes_no_sense(parts: dict[str, object]) -> None:
    good: dict[str, object] = {"cause": Cause.CLOCK, "quarantine_ns": S, "latch_at_trips_an_hour": 2, "latch_after_ns": 2 * S}
    InterlockRule(**good)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="expected"):
        InterlockRule(**{**good, **parts})  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=40))
def test_while_the_condition_is_false_it_is_never_let_through(steps: list[tuple[int, bool]]) -> None:
    world, now, since = World(), S, None
    for seconds, fine in steps:
        now += seconds * S
        since = (since if since is not None else now) if fine else None
        world.at(now, since)
        if not fine or (since is not None and world.state.trips and now - since < RULE.quarantine_ns):
            assert world.level() is Level.REDUCE_ONLY
