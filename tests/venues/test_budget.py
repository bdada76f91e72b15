"""What a venue lets one account ask: split once and for all, counted by each side, never more than the venue says, and cancels last of all."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import UsageError
from interlock.venues.budget import GATE, SENTINEL, Limit, Meter, Part, Spend, kept_for_sentinel
from interlock.venues.fake import budget as fake
from interlock.venues.fake.wire import Answer, Code, ReadTop, verb_of

S = 1_000_000_000
MS = 1_000_000
REQUESTS = Limit("requests", 100, 10 * S)
ORDERS = Limit("orders", 10, S, alone=True)
READ = {"requests": 1}
PLACE = {"requests": 1, "orders": 1}


def meter(part: Part = GATE) -> Meter:
    return Meter((REQUESTS, ORDERS), part)


def spend(of: Meter, kind: Spend, cost: dict[str, int], now_ns: int, most: int = 1_000) -> int:
    """As many as go out at one moment."""
    for number in range(most):
        if of.wait_ns(kind, cost, now_ns):
            return number
        of.spent(cost, now_ns)
    return most


# The split


def test_reads_stop_first_then_placements_and_what_lowers_risk_never() -> None:
    of = Meter((REQUESTS,), GATE)
    assert spend(of, Spend.READ, READ, S) == 50
    assert spend(of, Spend.PLACE, READ, S) == 25
    assert spend(of, Spend.LOWER, READ, S, most=200) == 200
    assert kept_for_sentinel(REQUESTS) == 25


def test_of_a_limit_that_placements_hardly_use_reads_have_more_and_the_sentinel_keeps_its_quarter() -> None:
    of = Meter((Limit("requests", 100, 10 * S, reads=700),), GATE)
    assert spend(of, Spend.READ, READ, S) == 70
    assert spend(of, Spend.PLACE, READ, S) == 5
    assert spend(of, Spend.LOWER, READ, S, most=200) == 200
    assert spend(Meter((Limit("requests", 100, 10 * S, reads=700),), SENTINEL), Spend.READ, READ, S) == 90
    assert kept_for_sentinel(Limit("requests", 100, 10 * S, reads=700)) == 25


@pytest.mark.parametrize("reads", [0, -1, 751, 1_000])
def test_reads_that_leave_placements_or_the_sentinel_nothing_are_refused(reads: int) -> None:
    with pytest.raises(UsageError, match="expected reads up to 750 thousandths"):
        Limit("requests", 100, 10 * S, reads=reads)
    assert Limit("requests", 100, 10 * S, reads=750).reads == 750


def test_a_limit_that_one_side_alone_uses_is_not_split() -> None:
    assert spend(meter(), Spend.PLACE, PLACE, S) == 10
    assert kept_for_sentinel(ORDERS) == 0


def test_the_sentinel_leaves_the_last_of_its_lists_to_its_cancels() -> None:
    of = meter(SENTINEL)
    assert spend(of, Spend.READ, READ, S) == 90
    assert of.wait_ns(Spend.LOWER, READ, S) == 0
    assert spend(of, Spend.PLACE, READ, S) == 0


def test_whoever_cuts_to_what_fits_is_told_what_nobody_has_used() -> None:
    of = meter(SENTINEL)
    assert (of.free("requests", S), of.fits_in_ns(READ, S)) == (100, 0)
    of.spent({"requests": 97}, S)
    assert (of.free("requests", S), of.free("orders", S)) == (3, 10)
    assert of.fits_in_ns({"requests": 3}, S) == 0
    assert of.fits_in_ns({"requests": 4}, 3 * S) == 8 * S
    assert of.wait_ns(Spend.LOWER, {"requests": 4}, 3 * S) == 0, "it is kept for nobody, and no cancel is held back by it"
    of.told("requests", units=100, used=99, reset_in_ns=2 * S, asked_ns=S, now_ns=3 * S)
    assert (of.free("requests", 3 * S), of.fits_in_ns({"requests": 2}, 3 * S)) == (1, 2 * S)
    assert of.free("requests", 11 * S) == 100
    of.spent({"requests": 200}, 11 * S)
    assert of.free("requests", 11 * S) == 0
    with pytest.raises(KeyError):
        of.free("none", S)
    with pytest.raises(KeyError):
        of.fits_in_ns({"none": 1}, S)


def test_what_went_out_counts_for_one_interval() -> None:
    of = meter()
    assert spend(of, Spend.READ, READ, S, most=20) == 20
    assert spend(of, Spend.READ, READ, 6 * S) == 30
    wait_ns = of.wait_ns(Spend.READ, READ, 6 * S)
    assert wait_ns == 5 * S  # until the first twenty are ten seconds old
    assert of.wait_ns(Spend.READ, READ, 6 * S + wait_ns - 1) > 0
    assert spend(of, Spend.READ, READ, 6 * S + wait_ns) == 20
    # A batch needs room for all of itself, and waits for the one that gives it.
    assert of.wait_ns(Spend.READ, {"requests": 21}, 11 * S) == 5 * S


def test_placements_under_way_have_their_room() -> None:
    of = meter()
    assert of.wait_ns(Spend.PLACE, PLACE, S, pending=9) == 0
    assert of.wait_ns(Spend.PLACE, PLACE, S, pending=10) > 0


@pytest.mark.parametrize(("units", "interval_ns"), [(0, S), (-1, S), (1, 0)])
def test_a_limit_that_is_none_is_refused(units: int, interval_ns: int) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Limit("x", units, interval_ns)


def test_limits_have_names_of_their_own() -> None:
    with pytest.raises(UsageError, match="different names"):
        Meter((REQUESTS, REQUESTS), GATE)
    with pytest.raises(KeyError):
        meter().wait_ns(Spend.READ, {"weight": 1}, S)
    with pytest.raises(KeyError):
        meter().spent({"weight": 1}, S)


# What the venue says


def told(of: Meter, used: int, units: int = 100, reset_in_ns: int = 5 * S, asked_ns: int = S, now_ns: int = S) -> None:
    of.told("requests", units=units, used=used, reset_in_ns=reset_in_ns, asked_ns=asked_ns, now_ns=now_ns)


def test_what_all_have_used_shrinks_the_part_of_whoever_is_told() -> None:
    of = meter()
    told(of, used=40)
    assert of.standing(S)["requests"] == (40, 100)
    assert spend(of, Spend.READ, READ, 2 * S) == 10
    assert of.wait_ns(Spend.READ, READ, 2 * S) == 4 * S  # until the venue's own window ends
    assert spend(of, Spend.READ, READ, 6 * S) == 40  # of which ten are still ours


def test_what_went_out_after_the_question_was_not_in_the_answer() -> None:
    of = meter()
    of.spent({"requests": 5}, S)
    of.spent({"requests": 7}, 2 * S)
    told(of, used=30, asked_ns=S, now_ns=3 * S)
    assert of.standing(3 * S)["requests"] == (37, 100)


def test_a_smaller_limit_holds_and_a_larger_one_is_not_believed() -> None:
    of = meter()
    told(of, used=0, units=10)
    assert spend(of, Spend.READ, READ, S + 1) == 5
    of = meter()
    told(of, used=0, units=1_000)
    assert spend(of, Spend.READ, READ, S + 1) == 50
    # Beyond the window that it was told of the smaller one still holds, until the venue says otherwise.
    of = meter()
    told(of, used=0, units=10)
    assert spend(of, Spend.READ, READ, 7 * S) == 5
    assert 0 < of.wait_ns(Spend.READ, READ, 7 * S) <= 10 * S
    told(of, used=5, units=100, asked_ns=7 * S, now_ns=7 * S)
    assert of.wait_ns(Spend.READ, READ, 7 * S) == 0


@pytest.mark.parametrize("part", [GATE, SENTINEL])
def test_after_one_odd_answer_the_venue_is_asked_again_in_each_of_its_windows(part: Part) -> None:
    """Or a single wrong number would end all reading for ever, and with it every sweep."""
    of = meter(part)
    for begun_ns in (S, 20 * S, 40 * S):
        assert spend(of, Spend.READ, READ, begun_ns) == ((90 if part is SENTINEL else 50) if begun_ns == S else 1)
        of.told("requests", units=1, used=1, reset_in_ns=2 * S, asked_ns=begun_ns, now_ns=begun_ns)
        assert all(of.wait_ns(Spend.READ, READ, begun_ns + later_ns) > 0 for later_ns in (0, 2 * S - 1))
        assert of.wait_ns(Spend.PLACE, READ, begun_ns + 12 * S) > 0, "nothing new goes by a limit that leaves no room for it"
    of.told("requests", units=100, used=0, reset_in_ns=10 * S, asked_ns=60 * S, now_ns=60 * S)
    assert spend(of, Spend.READ, READ, 60 * S) > 1


@pytest.mark.parametrize("reset_in_ns", [0, -S, 11 * S, 1 << 62])
def test_numbers_that_make_no_sense_shrink_and_never_widen(reset_in_ns: int) -> None:
    of = meter()
    told(of, used=60, units=0, reset_in_ns=reset_in_ns)
    assert of.wait_ns(Spend.READ, READ, S + 1) == 10 * S - 1
    told(of, used=-60)
    of.spent({"requests": 50}, S + 2)
    assert of.wait_ns(Spend.READ, READ, S + 3) > 0


# Refusals


@pytest.mark.parametrize(
    ("kind", "banned", "stopped"),
    [
        (Spend.READ, False, {Spend.READ}),
        (Spend.PLACE, False, {Spend.READ, Spend.PLACE}),
        (Spend.LOWER, False, set(Spend)),
        (Spend.READ, True, set(Spend)),
    ],
)
def test_a_refusal_stops_its_kind_and_what_is_given_up_before_it_until_the_venues_time(
    kind: Spend, banned: bool, stopped: set[Spend]
) -> None:
    of = meter()
    of.refused(kind, 3 * S, S, banned=banned)
    of.refused(kind, S, S, banned=banned)  # a shorter one takes nothing back
    assert {one for one in Spend if of.wait_ns(one, READ, S)} == stopped
    assert of.refused_ns(kind, S) == 3 * S
    assert {one for one in Spend if of.wait_ns(one, READ, 4 * S)} == set()


def test_a_refusal_is_for_a_moment_at_least_and_not_for_ever() -> None:
    of = meter()
    of.refused(Spend.READ, -5, S)
    assert of.refused_ns(Spend.READ, S) == 100 * MS
    of.refused(Spend.READ, 1 << 62, S)
    assert of.refused_ns(Spend.READ, S) == 600 * S


# Properties


class FixedWindow:
    """A venue that counts in windows that begin with the first request after the last; what both sides use counts."""

    def __init__(self, units: int, interval_ns: int) -> None:
        self.units, self.interval_ns = units, interval_ns
        self.start_ns, self.used = 0, 0

    def take(self, units: int, now_ns: int) -> tuple[int, int]:
        """(used now, time to the end of the window)."""
        if now_ns >= self.start_ns + self.interval_ns:
            self.start_ns, self.used = now_ns, 0
        self.used += units
        return self.used, self.start_ns + self.interval_ns - now_ns


_STEPS = st.lists(
    st.tuples(st.integers(0, 3 * S), st.sampled_from(["read", "place", "lower", "sentinel"]), st.integers(1, 7), st.booleans()), max_size=80
)


@given(_STEPS, st.integers(20, 400))
def test_reads_and_placements_stay_in_their_part_of_every_window_and_cancels_always_go(
    steps: list[tuple[int, str, int, bool]], venue_units: int
) -> None:
    """Whatever the sentinel uses besides, whatever of the answers is heard, and however much less the venue allows than it declared."""
    of = Meter((REQUESTS,), GATE)
    venue = FixedWindow(venue_units, REQUESTS.interval_ns)
    now_ns, ours = S, deque[tuple[int, int]]()
    for step_ns, kind, units, heard in steps:
        now_ns += step_ns
        if kind == "sentinel":
            venue.take(units, now_ns)
            continue
        cost = {"requests": units}
        if of.wait_ns(Spend(kind), cost, now_ns):
            assert kind != "lower"
            continue
        of.spent(cost, now_ns)
        used, left_ns = venue.take(units, now_ns)
        ours.append((now_ns, units))
        while ours[0][0] <= now_ns - REQUESTS.interval_ns:
            ours.popleft()
        part = {"read": 500, "place": 750}.get(kind)
        if part is not None:
            assert sum(units for _, units in ours) <= REQUESTS.units * part // 1_000
        if heard:
            of.told("requests", units=venue_units, used=used, reset_in_ns=left_ns, asked_ns=now_ns, now_ns=now_ns)
        if heard and part is not None:
            # What was told holds from there on: nothing that is not a cancel goes beyond its part of what the venue allows.
            room = min(venue_units, REQUESTS.units) * part // 1_000 - used
            assert of.wait_ns(Spend(kind), {"requests": max(room, 0) + 1}, now_ns) > 0


@given(_STEPS, st.integers(1, 200), st.integers(-50, 300), st.integers(-20 * S, 20 * S))
def test_no_word_of_the_venue_gives_more_than_silence(
    steps: list[tuple[int, str, int, bool]], units: int, used: int, reset_in_ns: int
) -> None:
    silent, told_of = Meter((REQUESTS,), GATE), Meter((REQUESTS,), GATE)
    now_ns = S
    for step_ns, kind, weight, heard in steps:
        now_ns += step_ns
        cost, spent = {"requests": weight}, Spend.READ if kind == "sentinel" else Spend(kind)
        if silent.wait_ns(spent, cost, now_ns):
            assert told_of.wait_ns(spent, cost, now_ns) > 0
        else:
            silent.spent(cost, now_ns)
            told_of.spent(cost, now_ns)
        if heard:
            told_of.told("requests", units=units, used=used, reset_in_ns=reset_in_ns, asked_ns=now_ns, now_ns=now_ns)


@given(st.lists(st.tuples(st.integers(0, 2 * S), st.integers(1, 9)), max_size=40), st.integers(1, 40))
def test_a_wait_is_never_longer_than_it_takes_in_silence(sent: list[tuple[int, int]], units: int) -> None:
    of = Meter((REQUESTS,), GATE)
    now_ns = S
    for step_ns, weight in sent:
        now_ns += step_ns
        of.spent({"requests": weight}, now_ns)
    wait_ns = of.wait_ns(Spend.READ, {"requests": units}, now_ns)
    assert 0 <= wait_ns <= REQUESTS.interval_ns
    if wait_ns:
        assert of.wait_ns(Spend.READ, {"requests": units}, now_ns + wait_ns - 1) > 0
    assert of.wait_ns(Spend.READ, {"requests": units}, now_ns + wait_ns) == 0


# The limits of the venues that there will be, by the same means


def test_the_limits_of_three_venues_can_be_said() -> None:
    upbit = Meter((Limit("default", 30, S), Limit("order", 12, S, alone=True), Limit("order-cancel-all", 1, 2 * S, alone=True)), GATE)
    assert spend(upbit, Spend.PLACE, {"order": 1}, S) == 12
    assert spend(upbit, Spend.READ, {"default": 1}, S) == 15
    assert upbit.wait_ns(Spend.LOWER, {"default": 1}, S) == 0
    binance = (Limit("weight", 2_400, 60 * S), Limit("orders-10s", 300, 10 * S, alone=True), Limit("orders-1m", 1_200, 60 * S, alone=True))
    of = Meter(binance, GATE)
    place = {"weight": 1, "orders-10s": 1, "orders-1m": 1}
    assert spend(of, Spend.PLACE, place, S) == 300
    of.told("weight", units=2_400, used=1_200, reset_in_ns=30 * S, asked_ns=S, now_ns=S)
    assert of.wait_ns(Spend.READ, {"weight": 5}, S) == 30 * S
    assert of.wait_ns(Spend.PLACE, place, 12 * S) == 0
    bybit = Meter((Limit("ip", 600, 5 * S), Limit("create", 10, S, alone=True), Limit("cancel", 10, S), Limit("query", 50, S)), GATE)
    assert spend(bybit, Spend.READ, {"ip": 1, "query": 1}, S) == 25
    assert spend(bybit, Spend.PLACE, {"ip": 1, "create": 1}, S) == 10
    assert bybit.wait_ns(Spend.LOWER, {"ip": 1, "cancel": 1}, S) == 0


# The fake venue's


def answer(status: int = 200, code: str = "", **more: int) -> Answer:
    given: dict[str, Any] = {"venue_ns": 100 * S, "limit": 3_000, "remaining": 3_000, "reset_ns": 102 * S, **more}
    return Answer(request_id=1, status=status, code=code, text="", **given)


def test_an_answer_is_taken_limit_by_limit_and_one_that_says_nothing_changes_nothing() -> None:
    of = Meter(fake.LIMITS, GATE)
    fake.take(of, Spend.READ, answer(remaining=2_000, orders_limit=6_000, orders_remaining=5_990), asked_ns=S, now_ns=S)
    assert of.standing(S) == {"requests": (1_000, 3_000), "orders": (10, 6_000)}
    fake.take(of, Spend.READ, answer(limit=0), asked_ns=S, now_ns=S)
    assert of.standing(S) == {"requests": (1_000, 3_000), "orders": (10, 6_000)}


@pytest.mark.parametrize(
    ("status", "code", "stopped"),
    [
        (429, "", {Spend.READ, Spend.PLACE}),
        (200, Code.RATE_LIMITED.value, {Spend.READ, Spend.PLACE}),
        (418, "", set(Spend)),
        (403, Code.BANNED.value, set(Spend)),
        (400, Code.BAD_REQUEST.value, set()),
    ],
)
def test_a_refusal_of_the_venue_is_known_by_status_or_code(status: int, code: str, stopped: set[Spend]) -> None:
    of = Meter(fake.LIMITS, GATE)
    fake.take(of, Spend.PLACE, answer(status, code), asked_ns=S, now_ns=S)
    assert {one for one in Spend if of.refused_ns(one, S)} == stopped
    assert of.refused_ns(Spend.READ, S) == (2 * S if stopped else 0)


def test_a_refusal_because_of_orders_lasts_until_their_window_ends() -> None:
    of = Meter(fake.LIMITS, GATE)
    refused = answer(429, orders_limit=10, orders_remaining=0, orders_reset_ns=109 * S)
    fake.take(of, Spend.PLACE, refused, asked_ns=S, now_ns=S)
    assert of.refused_ns(Spend.PLACE, S) == 9 * S


@pytest.mark.parametrize(
    ("verb", "kind"),
    [
        ("cancel_all", Spend.LOWER),
        ("heartbeat", Spend.LOWER),
        (verb_of(ReadTop(symbol="x")), Spend.READ),
        ("place", Spend.PLACE),
        ("?", Spend.PLACE),
    ],
)
def test_each_verb_is_for_one_thing_and_what_is_not_known_raises(verb: str, kind: Spend) -> None:
    assert fake.spend_of(verb) is kind


def test_what_is_kept_sweeps_many_orders() -> None:
    assert fake.sweep_cost(0) == 6
    assert fake.sweep_cost(401) == 21 + 18
    assert fake.sweep_cost(5_000) <= kept_for_sentinel(fake.REQUESTS)
