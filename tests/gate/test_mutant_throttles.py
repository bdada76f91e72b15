"""What is counted of orders that are amended, told twice, turned round or out of order in time, and what is remembered no longer than it counts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.gate.limit_cases import SHEET, changed
from tests.gate.test_throttles import V, answer, boot, cancel, cleared, fill, fold, intent, names, permit, report, sent, wire

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records, throttles
from interlock.gate.limit_sheet import LONGEST_WINDOW_NS, LimitSheet
from interlock.gate.throttles import LatchRequest, Throttles, Ticket, Trip

S = 1_000_000_000
MINUTE = 60 * S
BUY, SELL = Side.BUY, Side.SELL


def tick(at: int) -> records.Tick:
    return records.Tick(boot_ns=at, wall_ns=0)


def not_sent(cid: str, at: int, revision: int = 0) -> records.NotSent:
    return records.NotSent(boot_ns=at, client_id=cid, revision=revision, reason="")


def signature(strategy: str = "demo", ticks: int = 500_000, lots: int = 1) -> throttles.Signature:
    return (strategy, V, "BTCUSDT", 1, ticks, lots)


def two_strategies(**more: Any) -> LimitSheet:
    sheet = msgspec.structs.replace(SHEET, strategies={"demo": SHEET.strategies["demo"], "other": SHEET.strategies["demo"]})
    for name in sheet.strategies:
        sheet = changed(sheet, "strategies", name, **more)
    return sheet


# Messages and revisions


@pytest.mark.parametrize("which", ["orders", "identical", "messages"])
def test_the_longest_window_of_the_sheet_is_remembered_whichever_it_is(which: str) -> None:
    short = changed(SHEET, "strategies", "demo", orders_window_ns=S, identical_orders_window_ns=2 * S)
    short = changed(short, "venues", "bybit", messages_window_ns=3 * S)
    assert throttles.begin(short).window_ns == MINUTE
    table, name, key = ("venues", "bybit", "messages_window_ns") if which == "messages" else ("strategies", "demo", f"{which}_window_ns")
    key = "identical_orders_window_ns" if which == "identical" else key
    spans = ((MINUTE, MINUTE), (MINUTE + 1, 10 * MINUTE), (10 * MINUTE, 10 * MINUTE), (10 * MINUTE + 1, LONGEST_WINDOW_NS))
    for window_ns, remembered_ns in (*spans, (LONGEST_WINDOW_NS, LONGEST_WINDOW_NS)):
        assert throttles.begin(changed(short, table, name, **{key: window_ns})).window_ns == remembered_ns


def test_an_amend_counts_as_the_order_that_it_makes() -> None:
    state = fold(*sent("a", S), intent("a", S, revision=1, lots=2), permit("a", S, 1))
    assert throttles.identical_used(state, signature(lots=1), S, S) == 1
    assert throttles.identical_used(state, signature(lots=2), S, S) == 1


def test_what_is_told_of_a_replaced_revision_does_not_release_the_one_that_waits() -> None:
    state = fold(intent("a", S), permit("a", S), intent("a", S, revision=1), permit("a", S, 1))
    assert (state.pending, state.tickets["a"].pending) == ({V: 1}, 1)
    throttles.apply(state, not_sent("a", S, 0))
    assert throttles.messages_used(state, V, S, S) == 1
    throttles.apply(state, not_sent("a", S, 1))
    assert throttles.messages_used(state, V, S, S) == 0
    assert state.tickets["a"].pending == -1


def test_an_amend_of_what_was_never_begun_ends_the_order_when_it_is_not_sent() -> None:
    """Of one whose placement was begun it says nothing."""
    amend = (intent("a", S, revision=1), permit("a", S, 1), not_sent("a", S, 1))
    never = fold(intent("a", S), permit("a", S), *amend)
    assert never.tickets["a"].ended
    assert never.ended == [(S, "a")]
    assert fold(not_sent("nobody", S, 1)).ended == []
    begun = fold(*sent("a", S), *amend)
    assert not begun.tickets["a"].ended
    assert begun.ended == []


@pytest.mark.parametrize("state", [OrderState.ACKED, OrderState.OPEN, OrderState.PARTIAL, OrderState.UNKNOWN])
def test_an_order_that_may_still_be_told_about_has_not_ended(state: OrderState) -> None:
    assert fold(*sent("a", S), report("a", S, state)).ended == []
    assert fold(*sent("a", S), report("a", S, OrderState.CANCELLED)).ended == [(S, "a")]


def test_an_order_ends_once_and_one_that_nobody_knows_not_at_all() -> None:
    gone = [records.Absent(boot_ns=at, client_id="a", sightings=(), not_before_venue_ns=0) for at in (S, 2 * S)]
    assert fold(*sent("a", S), *gone, report("a", 3 * S, OrderState.CANCELLED)).ended == [(S, "a")]
    assert fold(gone[0]).ended == []
    released = records.Released(boot_ns=S, client_id="a", state=OrderState.CANCELLED, filled_lots=0, actor="person", nonce="n")
    assert fold(*sent("a", S), released, released).ended == [(S, "a")]
    assert fold(released).ended == []


# Streaks


@pytest.mark.parametrize("state", [OrderState.OPEN, OrderState.PARTIAL, OrderState.FILLED])
def test_an_accepted_order_ends_a_row_of_rejections_however_it_is_told(state: OrderState) -> None:
    rejected = [*sent("a", S), answer("a", S, OrderState.REJECTED, "x"), *sent("b", S)]
    assert throttles.reject_streak(fold(*rejected), SHEET, "demo") == 1
    assert throttles.reject_streak(fold(*rejected, report("b", S, OrderState.CANCELLED)), SHEET, "demo") == 1
    assert throttles.reject_streak(fold(*rejected, report("b", S, state)), SHEET, "demo") == 0


def test_a_fill_ends_a_row_of_rejections() -> None:
    rejected = [*sent("a", S), answer("a", S, OrderState.REJECTED, "x"), *sent("b", S)]
    assert throttles.reject_streak(fold(*rejected, fill("stranger", "1", BUY, 100, at=S)), SHEET, "demo") == 1
    assert throttles.reject_streak(fold(*rejected, fill("b", "1", BUY, 100, at=S)), SHEET, "demo") == 0


def test_a_rejection_at_a_venue_without_limits_counts_whatever_its_code() -> None:
    state = fold(*sent("a", S, venue="upbit", tif=TimeInForce.POST_ONLY), answer("a", S, OrderState.REJECTED, "170193"))
    assert throttles.reject_streak(state, SHEET, "demo") == 1
    state = fold(*sent("a", S, tif=TimeInForce.POST_ONLY), answer("a", S, OrderState.REJECTED, "170193"))
    assert throttles.reject_streak(state, SHEET, "demo") == 0


def traded(*fills: tuple[Side, int, int]) -> Throttles:
    """One order's fills (side, ticks, lots), each of its own trade."""
    return fold(*sent("a", S, lots=100), *[fill("a", f"t{n}", side, ticks, lots, S) for n, (side, ticks, lots) in enumerate(fills)])


def trip(state: Throttles) -> Trip | None:
    return state.trips.get(("demo", V, "main", "BTCUSDT"))


def test_a_fill_that_is_told_twice_counts_once() -> None:
    state = traded((BUY, 100, 1), (SELL, 90, 1))
    assert (trip(state), state.losing) == (None, {"demo": 1})
    throttles.apply(state, fill("a", "t1", SELL, 90, 1, S))
    assert (trip(state), state.losing) == (None, {"demo": 1})
    throttles.apply(state, fill("a", "t2", SELL, 90, 1, S))
    assert trip(state) == Trip(-1, 90)


def test_a_position_that_grows_is_one_round_trip() -> None:
    state = traded((BUY, 100, 1), (BUY, 103, 2))
    assert trip(state) == Trip(3, -306)
    throttles.apply(state, fill("a", "end", SELL, 102, 3, S))
    assert (trip(state), state.losing) == (None, {"demo": 1})  # received 306 for 306: gained nothing
    assert traded((SELL, 100, 1), (SELL, 97, 2), (BUY, 97, 3)).losing == {"demo": 0}


@pytest.mark.parametrize(
    ("side", "entry", "turn", "losing", "opened", "end", "after"),
    [
        (BUY, 100, 90, 1, Trip(-2, 180), 89, 0),  # lost on the long, gained on the short that began at 90
        (BUY, 100, 90, 1, Trip(-2, 180), 90, 2),
        (BUY, 100, 110, 0, Trip(-2, 220), 111, 1),
        (SELL, 100, 110, 1, Trip(2, -220), 111, 0),
        (SELL, 100, 110, 1, Trip(2, -220), 110, 2),
        (SELL, 100, 90, 0, Trip(2, -180), 89, 1),
    ],
)
def test_a_fill_that_turns_a_position_round_ends_one_trip_and_begins_the_next_with_what_is_left(
    side: Side, entry: int, turn: int, losing: int, opened: Trip, end: int, after: int
) -> None:
    """Held 1, and 3 traded the other way; then those 2 are closed."""
    other = SELL if side is BUY else BUY
    state = traded((side, entry, 1), (other, turn, 3))
    assert (state.losing, trip(state)) == ({"demo": losing}, opened)
    throttles.apply(state, fill("a", "end", side, end, 2, S))
    assert (state.losing, trip(state)) == ({"demo": after}, None)


# Latches


def test_one_strategy_that_repeats_itself_latches_alone_and_once() -> None:
    sheet = two_strategies(max_identical_orders_count=2)
    state = fold(*sent("x", S, lots=9), *sent("a", S), *sent("b", S), *sent("c", S, strategy="other"))
    assert throttles.latch_requests(state, sheet, S) == (
        LatchRequest("repeated_order", "demo", f"2 times {signature()[1:]} in 60000000000 ns"),
    )
    for step in (*sent("d", S, lots=2), *sent("e", S, lots=2), *sent("f", S, strategy="other")):
        throttles.apply(state, step)
    assert [(one.name, one.subject) for one in throttles.latch_requests(state, sheet, S)] == [
        ("repeated_order", "demo"),
        ("repeated_order", "other"),
    ]


def test_orders_that_were_repeated_long_ago_latch_nothing() -> None:
    sheet = changed(SHEET, "strategies", "demo", max_identical_orders_count=2)
    state = fold(*sent("a", S), *sent("b", 2 * S))
    assert names(state, S + MINUTE - 1, sheet) == ["repeated_order"]
    assert names(state, S + MINUTE, sheet) == []


def test_a_person_who_clears_the_repeated_orders_of_a_strategy_clears_those_of_no_other() -> None:
    state = fold(*sent("a", S), *sent("b", 2 * S, strategy="other"), cleared("repeated_order"))
    assert state.identical == {signature("other"): [2 * S]}
    assert state.identical_order == [(2 * S, signature("other"))]
    throttles.apply(state, tick(2 * S + LONGEST_WINDOW_NS))
    assert (state.identical, state.identical_order) == ({}, [])


# Cancels


def test_cancels_are_bound_by_their_own_count_and_by_that_of_all_messages() -> None:
    sheet = changed(SHEET, "venues", "bybit", max_messages_count=9, max_cancels_count=4)
    state = fold(*sent("a", S), cancel("a", S), cancel("a", S))
    assert throttles.may_cancel(state, sheet, V, S) == 2
    assert throttles.may_cancel(state, changed(sheet, "venues", "bybit", max_messages_count=4), V, S) == 1
    assert throttles.may_cancel(state, changed(sheet, "venues", "bybit", max_cancels_count=1), V, S) == 0
    assert throttles.may_cancel(state, sheet, "upbit", S) == 0


# What is remembered


def test_a_host_that_began_anew_forgets_after_its_own_window() -> None:
    """Its clock began anew as well, so that times of the boot before would lie in the future for as long as that had run."""
    state = fold(boot(), *sent("a", 9 * LONGEST_WINDOW_NS), report("a", 9 * LONGEST_WINDOW_NS, OrderState.CANCELLED))
    throttles.apply(state, boot(S, "k2", "i2"))
    throttles.apply(state, tick(S + LONGEST_WINDOW_NS - 1))
    assert (set(state.tickets), set(state.identical)) == ({"a"}, {signature()})
    throttles.apply(state, tick(S + LONGEST_WINDOW_NS))
    assert (state.tickets, state.identical, state.ended, state.identical_order) == ({}, {}, [], [])


def test_an_order_that_ended_and_was_permitted_again_may_end_again() -> None:
    amend = (intent("a", 2 * S, revision=1), permit("a", 2 * S, 1), report("a", 3 * S, OrderState.CANCELLED))
    state = fold(*sent("a", S), report("a", S, OrderState.CANCELLED), *amend)
    assert state.ended == [(S, "a"), (3 * S, "a")]
    throttles.apply(state, tick(3 * S + LONGEST_WINDOW_NS))
    assert (state.tickets, state.ended) == ({}, [])


def test_what_ended_is_forgotten_in_the_order_in_which_it_was_told() -> None:
    """A record with an earlier time, of a clock that went back, waits for those before it."""
    late = [*sent("a", 10 * S), report("a", 10 * S, OrderState.CANCELLED)]
    state = fold(*late, *sent("b", 5 * S), report("b", 5 * S, OrderState.CANCELLED), tick(7 * S + LONGEST_WINDOW_NS))
    assert state.ended == [(10 * S, "a"), (5 * S, "b")]
    assert set(state.tickets) == {"a", "b"}
    assert [at for at, _ in state.identical_order] == [10 * S, 5 * S]
    throttles.apply(state, tick(10 * S + LONGEST_WINDOW_NS))
    assert (state.tickets, state.ended, state.identical, state.identical_order) == ({}, [], {}, [])


def test_of_orders_that_were_alike_only_those_whose_time_has_passed_are_forgotten() -> None:
    state = fold(*sent("a", S), *sent("b", 2 * S, lots=2), *sent("c", 3 * S, lots=3), tick(S + LONGEST_WINDOW_NS))
    assert state.identical_order == [(2 * S, signature(lots=2)), (3 * S, signature(lots=3))]
    assert set(state.identical) == {signature(lots=2), signature(lots=3)}


def test_times_stay_in_order_when_the_clock_goes_back() -> None:
    state = fold(cancel("a", 5 * S), cancel("a", 10 * S), cancel("a", 7 * S))
    assert state.cancels == {"": [5 * S, 10 * S, 10 * S]}


def times(*counts: tuple[int, int]) -> list[int]:
    """Times of cancels (how many, when), with a window of a minute."""
    state = throttles.begin(SHEET)
    for count, at in counts:
        for _ in range(count):
            throttles.apply(state, cancel("a", at))
    return state.cancels[""]


def test_times_that_count_no_more_are_dropped_when_they_are_many_and_half_of_all() -> None:
    """Seldom, so that it costs little; and then all of them, so that the list stays short."""
    assert len(times((511, S), (1, S + MINUTE))) == 1
    assert len(times((510, S), (1, S + MINUTE))) == 511
    # The middle one still counts: 256 before it do not.
    assert len(times((256, S), (255, 10 * S), (1, S + MINUTE))) == 512
    assert len(times((256, S), (255, 10 * S), (1, S + MINUTE), (1, 10 * S + MINUTE))) == 2
    assert len(times((257, S), (254, 10 * S), (1, S + MINUTE))) == 255


def test_a_ticket_is_new_until_something_is_told() -> None:
    assert fold(intent("a", S)).tickets == {"a": Ticket("demo", V, TimeInForce.GTC, signature(), -1, False, False, False, False, 0)}
    assert fold(intent("a", S), permit("a", S), wire("a", S)).tickets["a"] == Ticket(
        "demo", V, TimeInForce.GTC, signature(), -1, True, True, False, False, 0
    )
