"""Conditions become interlocks and latches, and levels become cancels: each with the thing that makes it happen and the thing that does not."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate import order_records as o
from tests.gate.limit_cases import MS, NOW, SHEET, S

from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderState, Side
from interlock.gate import condition_watch as cw
from interlock.gate import lattice
from interlock.gate import records as r
from interlock.gate.clock_watch import ClockReading, SkewSample
from interlock.gate.condition_watch import (
    RULES,
    ConditionWatch,
    Seen,
    cancels_called_for,
    disk_problem,
    edge_collapse,
    second_writers,
    violation_latches,
)
from interlock.gate.exposure import Universe, universe_of
from interlock.gate.journal import Room
from interlock.gate.lattice import NS_PER_HOUR, effective_level
from interlock.gate.readings import Now, Readings
from interlock.gate.records import Level, Record, Scope
from interlock.gate.state import GateState
from interlock.gate.venue_reads import ReadFailed
from interlock.gate.verbs import SELF_CLEARING, Cause

MAIN, SPARE = ("bybit", "main"), ("binance", "main")
BTC, ETH = ("bybit", "BTCUSDT"), ("binance", "ETHUSDT")
WINDOWS = {"bybit": 2 * S, "binance": 5 * S}
SILENT_NS = 200 * MS
TRIP, CLEAR, LATCH, DISARM = r.InterlockTripped, r.InterlockCleared, r.LatchSet, r.Disarmed


def running() -> GateState:
    state = GateState(SHEET)
    for record in (aw.boot(), aw.reconciled(), aw.level_set(Level.RUN)):
        state.apply(record)
    return state


def clocks(boot_ns: int, **parts: int) -> ClockReading:
    return ClockReading(**{"boot_ns": boot_ns, "mono_ns": boot_ns, "wall_ns": boot_ns, **parts})


class World:
    """A watch over two accounts of one name, in order; every turn is folded."""

    def __init__(self) -> None:
        self.state = running()
        self.now = NOW
        self.readings = Readings(references=lc.seen(SHEET, lc.UNIVERSE), binding=aw.binding())
        self.watch = ConditionWatch(self.readings, dict((MAIN, SPARE)), (BTC, ETH), WINDOWS, clocks(NOW), sentinel_silent_ns=SILENT_NS)
        self.feeds = {"bybit/BTCUSDT": "", "binance/ETHUSDT": ""}
        self.connected: dict[tuple[str, str], int | None] = {MAIN: NOW, SPARE: NOW}
        self.can_cancel = {MAIN[0]: True, SPARE[0]: True}
        self.unread = {MAIN: "", SPARE: ""}
        self.skewed_ns = dict.fromkeys(WINDOWS, 0)
        self.wall_ns = 0
        self.beat = 1

    def seen(self) -> Seen:
        samples = {
            venue: SkewSample(asked_wall_ns=0, venue_ns=ns, round_trip_ns=MS, boot_ns=self.now) for venue, ns in self.skewed_ns.items()
        }
        reading = clocks(self.now, wall_ns=self.now + self.wall_ns)
        return Seen(
            clock=reading,
            feeds=self.feeds,
            skews=samples,
            connected_since_boot_ns=self.connected,
            can_cancel=self.can_cancel,
            unread=self.unread,
            sentinel_beat=self.beat,
        )

    def fold(self, found: Sequence[Record]) -> list[Record]:
        for record in found:
            assert record.boot_ns == self.now
            self.state.apply(record)
        return list(found)

    def turn(self, pass_ns: int = 100 * MS, *, beats: bool = True) -> list[Record]:
        self.now += pass_ns
        self.beat += beats
        return self.fold(self.watch.turn(self.state.lattice, self.seen()))

    def calm(self) -> World:
        """Past the trip that the sentinel gives until it was seen to look."""
        for _ in range(70):
            self.turn()
        assert self.state.lattice.trips == ()
        return self

    def level(self, place: tuple[str, str] = BTC, account: str = "bybit/main") -> Level:
        return effective_level(self.state.lattice, symbol="/".join(place), strategy="demo", account=account, order="x")


def kinds(found: Sequence[Record]) -> list[type[Record]]:
    return [type(record) for record in found]


# Interlocks


def test_every_interlock_has_a_rule_of_its_own() -> None:
    assert set(RULES) == set(SELF_CLEARING)
    assert all(cause is rule.cause for cause, rule in RULES.items())


def test_in_a_calm_world_nothing_is_recorded() -> None:
    world = World().calm()
    assert [world.turn() for _ in range(30)] == [[]] * 30
    assert world.level() is Level.RUN
    assert world.readings.sentinel_alive is True


def test_a_feed_that_is_not_usable_trips_its_own_symbol_and_clears_after_its_quarantine() -> None:
    world = World().calm()
    world.feeds["bybit/BTCUSDT"] = "no reference was ever read"
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.subject, trip.reason) == ("feed_stale", Scope.SYMBOL, "bybit/BTCUSDT", "no reference was ever read")
    assert world.level(BTC) is Level.REDUCE_ONLY
    assert world.level(ETH) is Level.RUN
    world.feeds["bybit/BTCUSDT"] = ""
    found = [world.turn() for _ in range(21)]
    assert found[:-1] == [[]] * 20
    assert kinds(found[-1]) == [CLEAR]
    assert world.level(BTC) is Level.RUN


def test_a_feed_at_which_nobody_looked_is_not_usable() -> None:
    world = World().calm()
    del world.feeds["binance/ETHUSDT"]
    assert [trip.reason for trip in world.turn() if isinstance(trip, TRIP)] == ["nobody looked"]


def test_a_feed_that_trips_too_often_latches() -> None:
    world = World().calm()
    found: list[Record] = []
    for _ in range(RULES[Cause.FEED_STALE].latch_at_trips_an_hour):
        assert not found
        world.feeds["bybit/BTCUSDT"] = "old"
        found = [one for one in world.turn() if isinstance(one, LATCH)]
        world.feeds["bybit/BTCUSDT"] = ""
        for _ in range(21):
            world.turn()
    (latch,) = found
    assert isinstance(latch, LATCH)
    assert (latch.name, latch.subject, latch.level) == ("feed_stale", "bybit/BTCUSDT", Level.REDUCE_ONLY)
    assert world.level(BTC) is Level.REDUCE_ONLY
    assert world.level(ETH) is Level.RUN


def test_one_that_lasts_too_long_latches() -> None:
    world = World().calm()
    world.feeds["bybit/BTCUSDT"] = "old"
    found = [one for _ in range(151) for one in world.turn(4 * S)]
    assert kinds(found) == [TRIP]
    assert kinds(world.turn(4 * S)) == [LATCH]


@pytest.mark.parametrize("value", [None, NOW + NS_PER_HOUR])
def test_a_lost_stream_trips_its_account(value: int | None) -> None:
    world = World().calm()
    world.connected[MAIN] = value
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.subject) == ("reconnect", Scope.ACCOUNT, "bybit/main")
    assert "bybit/main is not connected" in trip.reason
    assert world.level() is Level.REDUCE_ONLY
    assert world.level(account="other") is Level.RUN


def test_a_stream_that_was_not_told_of_is_lost() -> None:
    world = World().calm()
    del world.connected[SPARE]
    assert kinds(world.turn()) == [TRIP]


@pytest.mark.parametrize("told", [True, False])
def test_a_venue_where_nothing_could_be_cancelled_trips_its_account_until_it_could_again(told: bool) -> None:
    world = World().calm()
    if told:
        world.can_cancel[MAIN[0]] = False
    else:
        del world.can_cancel[MAIN[0]]
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.subject) == ("reconnect", Scope.ACCOUNT, "bybit/main")
    assert trip.reason == "the line for cancels to bybit is not connected"
    assert world.level() is Level.REDUCE_ONLY
    assert world.level(account="binance/main") is Level.RUN
    world.can_cancel[MAIN[0]] = True
    found = [one for _ in range(51) for one in world.turn()]
    assert kinds(found) == [CLEAR]
    assert world.level() is Level.RUN


def test_an_account_that_was_not_wholly_read_trips_until_it_was_and_five_seconds_have_passed() -> None:
    world = World().calm()
    world.unread[MAIN] = "what the private stream may have missed was not read yet: event 7"
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.subject) == ("reconnect", Scope.ACCOUNT, "bybit/main")
    assert trip.reason.endswith("was not read yet: event 7")
    assert world.level() is Level.REDUCE_ONLY
    assert world.level(account="binance/main") is Level.RUN
    world.unread[MAIN] = ""
    found = [world.turn() for _ in range(51)]
    assert found[:-1] == [[]] * 50
    assert kinds(found[-1]) == [CLEAR]
    assert world.level() is Level.RUN


def test_an_account_that_nobody_looked_at_was_not_read() -> None:
    world = World().calm()
    del world.unread[SPARE]
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert trip.reason == "nobody looked at what was read of binance/main"


def test_accounts_of_one_name_on_two_venues_are_two() -> None:
    world = World().calm()
    world.connected[MAIN] = None
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert trip.subject == "bybit/main"
    assert world.level() is Level.REDUCE_ONLY
    assert world.level(account="binance/main") is Level.RUN
    world.connected[SPARE] = None
    (second,) = world.turn()
    assert isinstance(second, TRIP)
    assert second.subject == "binance/main"


def test_a_stream_that_was_lost_and_is_back_between_two_looks_was_lost() -> None:
    world = World().calm()
    world.connected[MAIN] = world.now + 50 * MS
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert "bybit/main was connected anew" in trip.reason
    found = [world.turn() for _ in range(51)]
    assert found[:-1] == [[]] * 50
    assert kinds(found[-1]) == [CLEAR]


@pytest.mark.parametrize(("asks_ns", "lasts_ns"), [(0, S), (-5, S), (3 * S, 3 * S)])
def test_a_refusal_for_the_rate_trips_until_it_is_over_and_ten_seconds_have_passed(asks_ns: int, lasts_ns: int) -> None:
    world = World().calm()
    world.watch.refused(*MAIN, ReadFailed("no answer", retry_after_ns=9 * S), world.now)
    assert world.turn() == []
    world.watch.refused(*MAIN, ReadFailed("429", limited=True, retry_after_ns=asks_ns), world.now)
    world.watch.refused(*MAIN, ReadFailed("429", limited=True), world.now)
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.subject) == ("rate_limit", Scope.ACCOUNT, "bybit/main")
    begun = world.now - 100 * MS
    while not (found := world.turn()):
        assert world.level() is Level.REDUCE_ONLY
    assert kinds(found) == [CLEAR]
    assert world.now == begun + lasts_ns + 10 * S


@pytest.mark.parametrize(
    ("moved", "reason"),
    [
        ({"wall_ns": 2 * S}, "clock_wall_jumped"),
        ({"now": 6 * S}, "clock_loop_gap"),
        ({"now": -S}, "clock_went_back"),
    ],
)
def test_a_clock_of_the_host_that_cannot_be_believed_disarms_and_trips_everything(moved: dict[str, int], reason: str) -> None:
    world = World().calm()
    for name, ns in moved.items():
        setattr(world, name, getattr(world, name) + ns)
    disarm, trip = world.turn(0)[:2]
    assert isinstance(disarm, DISARM)
    assert isinstance(trip, TRIP)
    assert (disarm.reason, disarm.symbol, disarm.mandate_ends) == (reason, "", False)
    assert (trip.name, trip.scope, trip.reason, trip.level) == ("clock", Scope.ALL, reason, Level.CANCEL_ONLY)
    found = [world.turn() for _ in range(301)]
    assert CLEAR in kinds(found[300])
    assert not [one for later in found[:300] for one in later if isinstance(one, CLEAR) and one.name == "clock"]
    assert [one for later in found for one in later if isinstance(one, DISARM)] == []
    assert world.level() is Level.RUN


@pytest.mark.parametrize("ns", [S, -S])
def test_a_venue_whose_clock_is_off_is_tripped_symbol_by_symbol(ns: int) -> None:
    world = World().calm()
    world.skewed_ns["bybit"] = ns
    (trip,) = world.turn()
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.subject) == ("clock", Scope.SYMBOL, "bybit/BTCUSDT")
    assert trip.reason == "venue_clock_outside"
    assert world.level(BTC) is Level.CANCEL_ONLY
    assert world.level(ETH) is Level.RUN


@pytest.mark.parametrize(
    ("windows", "reasons"),
    [
        ({"bybit": 0, "binance": S}, ["venue_clock_unknown"]),
        ({"binance": 0}, ["venue_clock_unknown"]),
        ({"bybit": 0, "binance": 0}, []),
    ],
)
def test_a_clock_that_was_never_read_counts_only_where_requests_carry_a_time(windows: dict[str, int], reasons: list[str]) -> None:
    world = World()
    watch = ConditionWatch(world.readings, {}, (BTC, ETH), windows, clocks(NOW), sentinel_silent_ns=SILENT_NS)
    found = watch.venue_clocks(world.state.lattice, {}, NOW)
    assert [trip.reason for trip in found if isinstance(trip, TRIP)] == reasons


def test_a_venue_clock_that_was_read_long_ago_trips() -> None:
    world = World()
    old = {venue: SkewSample(asked_wall_ns=0, venue_ns=0, round_trip_ns=MS, boot_ns=NOW - cw.SKEW_MAX_AGE_NS) for venue in WINDOWS}
    assert world.watch.venue_clocks(world.state.lattice, old, NOW) == ()
    assert kinds(world.watch.venue_clocks(world.state.lattice, old, NOW + 1)) == [TRIP, TRIP]


def test_a_sentinel_that_stands_still_trips_everything_and_is_not_alive() -> None:
    world = World().calm()
    assert world.turn(SILENT_NS, beats=False) == []
    assert world.readings.sentinel_alive is True
    (trip,) = world.turn(1, beats=False)
    assert isinstance(trip, TRIP)
    assert (trip.name, trip.scope, trip.level) == ("sentinel_silent", Scope.ALL, Level.REDUCE_ONLY)
    assert world.readings.sentinel_alive is False
    world.turn()
    assert world.readings.sentinel_alive is True
    assert world.level() is Level.REDUCE_ONLY
    found = [world.turn() for _ in range(50)]
    assert kinds(found[-1]) == [CLEAR]


def test_a_sentinel_that_was_never_seen_to_look_or_counts_backwards_does_not_look() -> None:
    world = World()
    assert kinds(world.turn()) == [TRIP]
    assert world.readings.sentinel_alive is False
    world.beat -= 1
    world.turn(beats=False)
    assert world.readings.sentinel_alive is False
    world.turn()
    assert world.readings.sentinel_alive is True


def test_what_clears_comes_after_all_that_lowers() -> None:
    world = World().calm()
    world.feeds["bybit/BTCUSDT"] = "old"
    world.turn()
    world.feeds["bybit/BTCUSDT"] = ""
    for _ in range(20):
        world.turn()
    world.connected[MAIN] = None
    assert kinds(world.turn()) == [TRIP, CLEAR]


@given(st.lists(st.tuples(st.sampled_from(["", "bad"]), st.integers(0, 3 * S)), max_size=40))
def test_a_bad_condition_always_holds_down_and_clears_only_after_its_quarantine(steps: list[tuple[str, int]]) -> None:
    state, now = running(), NOW
    watch = World().watch
    since: int | None = None
    for problem, wait_ns in steps:
        now += wait_ns
        found = watch.look(state.lattice, Cause.FEED_STALE, Scope.SYMBOL, "bybit/BTCUSDT", problem, now)
        since = None if problem else now if since is None else since
        for record in found:
            state.apply(record)
            if isinstance(record, CLEAR):
                assert since is not None
                assert now - since >= RULES[Cause.FEED_STALE].quarantine_ns
        held = effective_level(state.lattice, symbol="bybit/BTCUSDT", strategy="", account="", order="")
        if problem:
            assert held is Level.REDUCE_ONLY
        assert watch.look(state.lattice, Cause.FEED_STALE, Scope.SYMBOL, "bybit/BTCUSDT", problem, now) == ()


# The disk


def room(free_bytes: int, written: int = 0, **parts: Any) -> Room:
    given: dict[str, Any] = {"allocated_bytes": 1_000, "reserve_bytes": 100, "spare_ready": True, "spare_problem": "", **parts}
    return Room(free_bytes=free_bytes, written_bytes=written, **given)


def test_a_disk_must_hold_two_more_days_at_the_present_rate() -> None:
    # 10 bytes a minute are 28,800 in 48 hours; 900 of them are allocated and not reserved.
    assert disk_problem(room(27_900), 100, 600 * S) == ""
    assert "make room" in disk_problem(room(27_899), 100, 600 * S)
    assert disk_problem(room(27_899), 99, 600 * S) == ""
    assert disk_problem(room(27_899), 100, 601 * S) == ""


@pytest.mark.parametrize(
    ("found", "written", "window_ns", "says"),
    [
        (room(10**9, spare_problem="no space"), 0, S, "could not be allocated: no space"),
        (room(10**9), -1, S, "rate is not known"),
        (room(10**9), 1, 0, "rate is not known"),
        (room(0, allocated_bytes=100), 0, S, "0 bytes are left"),
        (room(-5, allocated_bytes=0), 0, S, "0 bytes are left"),
    ],
)
def test_what_cannot_be_reckoned_or_is_full_is_no_room(found: Room, written: int, window_ns: int, says: str) -> None:
    assert says in disk_problem(found, written, window_ns)
    assert disk_problem(room(10**9), 0, S) == ""


def test_a_disk_that_fills_trips_and_clears_once_there_is_room() -> None:
    world = World()
    assert world.watch.disk_problem == "the disk was not looked at"

    def look(found: Room | None) -> list[type[Record]]:
        return kinds(world.fold(world.watch.disk(world.state.lattice, found, world.now)))

    assert look(room(10**9)) == []
    assert world.watch.disk_problem == ""
    assert look(None) == [TRIP]
    assert world.watch.disk_problem == "the room on the disk is not known"
    assert world.level() is Level.REDUCE_ONLY
    for _ in range(60):
        world.now += S
        assert look(room(10**9)) == []
    world.now += S
    assert look(room(10**9)) == [CLEAR]


def test_the_rate_is_that_of_the_last_ten_minutes_and_a_start_counts_as_a_minute() -> None:
    world = World()
    watch, state = world.watch, world.state.lattice

    def problem(written: int, free: int) -> str:
        watch.disk(state, room(free, written), world.now)
        return watch.disk_problem

    # 10 bytes at once count as 10 in a minute.
    assert problem(10, 27_900) == ""
    assert problem(10, 27_899) != ""
    world.now += 120 * S
    assert problem(10, 27_900 // 2) == ""
    for _ in range(10):
        world.now += 60 * S
        assert problem(10, 27_900) == ""
    # Nothing was written for ten minutes; what was before is forgotten.
    assert problem(10, 0) == ""
    assert problem(9, 10**9) != ""


# The checker


@dataclass
class Beats:
    """A checker as it was heard."""

    first_boot_ns: int | None = NOW
    violations: list[str] = field(default_factory=list)
    count: int = 0
    lives: bool = True

    def alive(self, _boot_ns: int) -> bool:
        return self.lives and self.count == 0


def test_a_checker_that_falls_silent_trips_until_it_is_heard_again_for_its_quarantine() -> None:
    world = World()
    rule = RULES[Cause.CHECKER_SILENT]

    def look(lives: bool) -> list[r.Record]:
        return world.fold(world.watch.checker(world.state, Beats(lives=lives), world.now))

    assert look(lives=True) == []
    assert world.readings.checker_alive is True
    (trip,) = look(lives=False)
    assert isinstance(trip, r.InterlockTripped)
    assert (trip.name, trip.scope, trip.level) == ("checker_silent", Scope.ALL, Level.CANCEL_ONLY)
    assert world.readings.checker_alive is False
    assert look(lives=False) == []
    world.now += 1
    assert look(lives=True) == []
    world.now += rule.quarantine_ns - 1
    assert look(lives=True) == []
    world.now += 1
    (clear,) = look(lives=True)
    assert isinstance(clear, r.InterlockCleared)
    assert world.state.lattice.trips == ()


def test_a_checker_that_stays_silent_or_falls_silent_again_and_again_latches() -> None:
    world = World()
    rule = RULES[Cause.CHECKER_SILENT]

    def look(lives: bool) -> list[str]:
        return [type(record).__name__ for record in world.fold(world.watch.checker(world.state, Beats(lives=lives), world.now))]

    for number in range(1, rule.latch_at_trips_an_hour):
        assert look(lives=False) == ["InterlockTripped"], number
        world.now += 1
        assert look(lives=True) == []
        world.now += rule.quarantine_ns
        assert look(lives=True) == ["InterlockCleared"]
    assert look(lives=False) == ["InterlockTripped", "LatchSet"]
    world = World()
    assert look(lives=False) == ["InterlockTripped"]
    world.now += rule.latch_after_ns
    assert look(lives=False) == []
    world.now += 1
    assert look(lives=False) == ["LatchSet"]
    assert look(lives=False) == []


def cleared(state: GateState, name: str, nonce: int = 3, *, scope: Scope = Scope.ALL, subject: str = "") -> r.LatchCleared:
    seen = state.lattice.version
    found = lattice.clear_latch(state.lattice, name, scope, subject, actor="ann", seen_version=seen, nonce=aw.NONCES[nonce], boot_ns=NOW)
    assert isinstance(found, r.LatchCleared)
    return found


def test_a_checker_that_was_never_heard_denies_and_trips_nothing() -> None:
    world = World()
    assert world.watch.checker(world.state, Beats(first_boot_ns=None, lives=False), world.now) == ()
    assert world.readings.checker_alive is False


def test_every_violation_latches_once_and_the_next_one_again() -> None:
    world = World()
    state = world.state

    def found(beats: Beats) -> list[r.LatchSet]:
        records = world.watch.checker(state, beats, NOW)
        assert world.readings.checker_alive is False
        return [record for record in records if isinstance(record, r.LatchSet)]

    one = Beats(violations=["S1: sent twice"], count=1)
    (latch,) = found(one)
    assert "1 violations: S1: sent twice" in latch.reason
    assert (latch.name, latch.level) == ("violation", Level.CANCEL_ONLY)
    state.apply(latch)
    assert found(one) == []
    state.apply(cleared(state, "violation"))
    assert found(one) == []
    (again,) = found(Beats(violations=[*one.violations, "S8: again"], count=2))
    assert again.reason.endswith("S8: again")
    assert "it did not say which" in violation_latches(state, Beats(count=3), NOW)[0].reason
    state.apply(aw.boot("life-b"))
    assert len(found(one)) == 1


# The lease


def test_a_lost_lease_halts_its_account_and_again_when_it_is_cleared_and_lost_still() -> None:
    state, lost = running(), (("bybit", "main"),)
    assert second_writers(state.lattice, (), NOW) == ()
    (latch,) = second_writers(state.lattice, lost, NOW)
    assert (latch.name, latch.scope, latch.subject, latch.level) == ("second_writer", Scope.ACCOUNT, "bybit/main", Level.HALT)
    state.apply(latch)
    assert second_writers(state.lattice, lost, NOW) == ()
    assert [one.subject for one in second_writers(state.lattice, (*lost, ("upbit", "main")), NOW)] == ["upbit/main"]
    state.apply(cleared(state, "second_writer", scope=Scope.ACCOUNT, subject="bybit/main"))
    assert len(second_writers(state.lattice, lost, NOW)) == 1


# Edge


@pytest.mark.parametrize(
    ("measured", "threshold", "latches"),
    [
        ("2.5", "2.5", False),
        ("2.4999", "2.5", True),
        ("-3", "-3", False),
        ("-3.1", "-3", True),
        ("NaN", "1", True),
        ("sNaN", "1", True),
        ("Infinity", "1", True),
        ("5", "NaN", True),
    ],
)
def test_an_edge_below_its_threshold_latches_with_both_figures(measured: str, threshold: str, latches: bool) -> None:
    found = edge_collapse(Decimal(measured), Decimal(threshold), scope=Scope.STRATEGY, subject="demo", boot_ns=NOW)
    assert (found is not None) is latches
    if found is not None:
        assert (found.name, found.scope, found.subject, found.level) == ("edge", Scope.STRATEGY, "demo", Level.REDUCE_ONLY)
        assert found.evidence == {"measured_bps": measured, "threshold_bps": threshold}


# Cancels


def live(*orders: Record, level: Level | None = None, **latch: Any) -> GateState:
    """A running state with these records folded, and then a latch over all, or a narrower one."""
    state = running()
    for record in orders:
        state.apply(record)
    if level is not None:
        state.apply(latch_of(level, **latch))
    return state


def latch_of(level: Level, scope: Scope = Scope.ALL, subject: str = "") -> r.LatchSet:
    return r.LatchSet(boot_ns=1, name="operator", scope=scope, subject=subject, level=level, reason="", actor="ann")


def opened(client_id: str, lots: int = 10, side: Side = Side.BUY, group: str = "", reduce_only: bool = False, **parts: Any) -> list[Record]:
    asked = msgspec.structs.replace(o.intent(client_id, lots=lots, side=side, **parts), group=group, reduce_only=reduce_only)
    return [asked, o.permit(client_id), o.wire(client_id), o.sent(client_id), o.answer(OrderState.OPEN, client_id)]


HERE = Now(NOW, NOW)


def called(state: GateState, universe: Universe | None = None, now: Now = HERE) -> list[str]:
    found = cancels_called_for(state, now, universe=universe)
    assert all(one.actor == "gate" and one.boot_ns == now.boot_ns and one.reason.startswith("the level is") for one in found)
    return sorted(one.client_id for one in found)


@pytest.mark.parametrize("level", [Level.HALT, Level.CANCEL_ONLY])
def test_below_reduce_only_every_live_order_goes_once(level: Level) -> None:
    orders = [*opened("a"), *opened("b", side=Side.SELL, reduce_only=True), o.intent("c"), o.permit("c")]
    assert called(live(*orders)) == []
    state = live(*orders, level=level)
    assert called(state) == ["a", "b", "c"]
    assert {one.reason for one in cancels_called_for(state, HERE)} == {f"the level is {level.value}"}
    for record in cancels_called_for(state, HERE):
        state.apply(record)
    assert called(state) == []


def test_unknown_orders_go_and_ended_ones_and_those_already_wanted_do_not() -> None:
    ended = [*opened("b"), o.report(OrderState.CANCELLED, client_id="b")]
    state = live(*o.LOST, *ended, *opened("c"), o.cancel("c"), level=Level.HALT)
    assert called(state) == ["a"]


@pytest.mark.parametrize(
    ("scope", "subject", "gone"),
    [
        (Scope.ALL, "", ["a", "b"]),
        (Scope.SYMBOL, "bybit/BTCUSDT", ["a"]),
        (Scope.SYMBOL, "binance/ETHUSDT", ["b"]),
        (Scope.ACCOUNT, "bybit/main", ["a"]),
        (Scope.STRATEGY, "s", ["a", "b"]),
        (Scope.STRATEGY, "other", []),
        (Scope.ORDER, "b", ["b"]),
        (Scope.ACCOUNT, "", ["a", "b"]),
    ],
)
@pytest.mark.parametrize("level", [Level.HALT, Level.REDUCE_ONLY])
def test_only_orders_for_which_the_level_holds_go(scope: Scope, subject: str, gone: list[str], level: Level) -> None:
    orders = [*opened("a"), *opened("b", venue="binance", symbol="ETHUSDT", account="spare")]
    assert called(live(*orders, level=level, scope=scope, subject=subject)) == gone


def test_a_tripped_interlock_and_a_lowered_base_call_for_cancels_too() -> None:
    state = live(*opened("a"))
    state.apply(r.LevelSet(boot_ns=1, level=Level.CANCEL_ONLY, reason="", actor="ann", human=True))
    assert called(state) == ["a"]
    state = live(*opened("a"))
    state.apply(TRIP(boot_ns=1, name="clock", scope=Scope.ALL, subject="", level=Level.CANCEL_ONLY, reason=""))
    assert called(state) == ["a"]
    state = live(*opened("a"))
    state.apply(aw.boot("life-b"))
    assert called(state) == ["a"]


def test_after_a_kill_the_sentinel_cancels_and_before_it_is_effective_the_gate() -> None:
    state = live(*opened("a"))
    state.apply(r.KillRequested(boot_ns=1, source="", wall_ns=1))
    assert called(state) == ["a"]
    state.apply(r.KillEffective(boot_ns=1))
    assert called(state) == []


def test_without_orders_nothing_is_called_for() -> None:
    assert called(live(level=Level.HALT)) == []


def test_at_reduce_only_what_can_only_shrink_stays_and_the_rest_goes() -> None:
    held = o.fill(10, client_id="", venue_ns=1)
    state = live(
        held,
        *opened("grows"),
        *opened("shrinks", 6, Side.SELL),
        *opened("rest", 4, Side.SELL),
        *opened("elsewhere", 1, Side.SELL, symbol="ETHUSDT"),
        level=Level.REDUCE_ONLY,
    )
    assert called(state) == ["elsewhere", "grows"]
    short = live(o.fill(10, client_id="", side=Side.SELL), *opened("grows", 1, Side.SELL), *opened("shrinks"), level=Level.REDUCE_ONLY)
    assert called(short) == ["grows"]


def test_orders_that_together_would_cross_zero_do_not_all_stay() -> None:
    state = live(o.fill(10, client_id=""), *opened("a", 6, Side.SELL), *opened("b", 6, Side.SELL), level=Level.REDUCE_ONLY)
    assert called(state) == ["b"]
    beyond = live(o.fill(10, client_id=""), *opened("a", 11, Side.SELL), *opened("b", 10, Side.SELL), level=Level.REDUCE_ONLY)
    assert called(beyond) == ["a"]


def test_an_order_of_another_strategy_that_may_go_on_counts_as_filled() -> None:
    other = [msgspec.structs.replace(one, strategy="other") if isinstance(one, r.Intent) else one for one in opened("b", 6, Side.SELL)]
    latch: dict[str, Any] = {"level": Level.REDUCE_ONLY, "scope": Scope.STRATEGY, "subject": "s"}
    assert called(live(o.fill(10, client_id=""), *opened("a", 6, Side.SELL), **latch)) == []
    assert called(live(o.fill(10, client_id=""), *opened("a", 6, Side.SELL), *other, **latch)) == ["a"]


def test_a_reduce_only_order_stays_while_there_is_something_to_reduce() -> None:
    orders = [*opened("a", 6, Side.SELL, reduce_only=True), *opened("b", 6, Side.SELL, reduce_only=True)]
    assert called(live(o.fill(10, client_id=""), *orders, level=Level.REDUCE_ONLY)) == []
    assert called(live(*orders, level=Level.REDUCE_ONLY)) == ["a", "b"]
    assert called(live(o.fill(10, client_id="", side=Side.SELL), *orders, level=Level.REDUCE_ONLY)) == ["a", "b"]
    spot = universe_of([lc.facts(kind=Kind.SPOT)])
    assert called(live(o.fill(10, client_id=""), *orders, level=Level.REDUCE_ONLY), spot) == ["b"]
    assert called(live(o.fill(10, client_id=""), *orders, level=Level.REDUCE_ONLY), lc.UNIVERSE) == []


PAIR = universe_of([lc.facts(), lc.facts("binance", "BTCUSDT")])


def pair(**parts: Any) -> list[Record]:
    """A proven fill of ten on one venue, and its hedge on the other under way."""
    begun = r.GroupReserved(boot_ns=NOW, group="g", client_ids=("h",), naked_cap_usd=Decimal(1), deadline_boot_ns=NOW + S)
    return [begun, o.fill(10, client_id=""), *opened("h", **{"lots": 10, "side": Side.SELL, "group": "g", "venue": "binance", **parts})]


def test_a_hedge_stays_within_the_time_of_its_group() -> None:
    state = live(*pair(), level=Level.REDUCE_ONLY)
    assert called(state, PAIR) == []
    assert called(state, PAIR, Now(NOW + S, NOW)) == []
    assert called(state, PAIR, Now(NOW + S + 1, NOW)) == ["h"]
    assert called(state, PAIR, Now(NOW - 1, NOW)) == ["h"]
    assert called(state) == ["h"]
    assert called(live(*pair(), level=Level.CANCEL_ONLY), PAIR) == ["h"]


@pytest.mark.parametrize("parts", [{"side": Side.BUY}, {"lots": 21}, {"group": "other"}, {"group": ""}, {"symbol": "ETHUSDT"}])
def test_what_is_no_hedge_goes(parts: dict[str, Any]) -> None:
    assert called(live(*pair(**parts), level=Level.REDUCE_ONLY), PAIR) == ["h"]


def test_beside_a_position_that_nobody_knows_nothing_is_a_hedge() -> None:
    odd = o.fill(1, "t9", client_id="", symbol="ODD")
    assert called(live(odd, *pair(), level=Level.REDUCE_ONLY), PAIR) == ["h"]


def test_an_order_without_a_permit_counts_whole() -> None:
    state = live(o.fill(10, client_id=""), o.intent("a", lots=11, side=Side.SELL), level=Level.REDUCE_ONLY)
    assert called(state) == ["a"]
    state = live(o.fill(10, client_id=""), o.intent("a", lots=10, side=Side.SELL), level=Level.REDUCE_ONLY)
    assert called(state) == []


sides = st.sampled_from([Side.BUY, Side.SELL])
some_orders = st.lists(st.tuples(sides, st.integers(1, 9), st.integers(0, 3), st.booleans()), max_size=6)


@given(st.integers(-20, 20), some_orders)
def test_whatever_stays_at_reduce_only_can_only_bring_the_position_home(held: int, orders: list[tuple[Side, int, int, bool]]) -> None:
    records: list[Record] = [o.fill(abs(held), client_id="", side=Side.BUY if held > 0 else Side.SELL)] if held else []
    for number, (side, lots, progress, wanted) in enumerate(orders):
        name = f"o{number}"
        records += opened(name, lots, side)[: 2 + progress]
        records += [o.cancel(name)] if wanted else []
    state = live(*records, level=Level.REDUCE_ONLY)
    before = dict(state.orders.cancelling)
    found = cancels_called_for(state, HERE)
    assert len({one.client_id for one in found}) == len(found)
    assert not before.keys() & {one.client_id for one in found}
    for record in found:
        state.apply(record)
    assert cancels_called_for(state, HERE) == ()
    assert state.orders.ignored == 0
    staying = [state.orders.by_id[name] for name in state.orders.live if name not in state.orders.cancelling]
    for count in range(len(staying) + 1):
        for filled in itertools.combinations(staying, count):
            after = held + sum(order.side * order.reserved_lots for order in filled)
            assert min(0, held) <= after <= max(0, held)
    state.apply(latch_of(Level.HALT, Scope.SYMBOL, "bybit/BTCUSDT"))
    for record in cancels_called_for(state, HERE):
        state.apply(record)
    assert state.orders.cancelling.keys() == state.orders.live.keys()
