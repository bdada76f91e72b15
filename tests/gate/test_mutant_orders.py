"""Absence and standing cancels at their edges: where each bound lies exactly, and that one order does not hide another."""

from __future__ import annotations

import msgspec
import pytest
from tests.gate.order_records import (
    LOST,
    VENUE,
    answer,
    cancel,
    cancel_sent,
    fill,
    fold,
    intent,
    permit,
    quarantined,
    reversal,
    sent,
    unknown,
    wire,
)

from interlock.domain.clock import NS_PER_MS
from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.absence import AbsenceRule, Expiry, Missing, Proven, blocks_placement, judge, rule_for
from interlock.gate.cancels import BackOff, due, due_boot_ns, next_due_boot_ns
from interlock.gate.order_state import Obligation, Orders

S = OrderState
HOUR = 3_600 * 1_000_000_000
SIGNED, WINDOW, LAG, CLOCK = 1_000, 100, 50, 25
LAST = SIGNED + WINDOW + LAG + CLOCK
LATER = (intent("b"), permit("b"), wire("b"), sent("b", sign_wall_ns=SIGNED + 1))
RULE = rule_for("bybit", LAG, WINDOW)


def read(source: str, after: int, later: str = "b", cursor: int = LAST + 1) -> r.Sighting:
    return r.Sighting(source=source, venue_ns=LAST + after, later_client_id=later, execution_cursor_ns=cursor)


READS = (read("open", 1), read("open", 2), read("history", 1), read("history", 2))


def verdict(orders: Orders, reads: tuple[r.Sighting, ...] = READS, rule: AbsenceRule = RULE, clock_ns: int = CLOCK) -> Proven | Missing:
    return judge(orders, orders.by_id["a"], rule, reads, clock_ns)


def lost(sign_wall_ns: int = SIGNED, window_ns: int = WINDOW) -> Orders:
    return fold(intent(), permit(), wire(), sent(sign_wall_ns=sign_wall_ns, window_ns=window_ns), unknown(), *LATER)


# Absence


@pytest.mark.parametrize(
    ("venue", "retention_h", "cursor"),
    [("binance", 72, False), ("binance_usdm", 72, False), ("bybit", 24, True), ("bybit_linear", 24, True)],
)
def test_how_absence_is_proven_at_each_venue_that_lets_requests_expire(venue: str, retention_h: int, cursor: bool) -> None:
    expected = AbsenceRule(
        expiry=Expiry.WITH,
        visibility_lag_ns=LAG,
        longest_window_ns=WINDOW,
        retention_ns=retention_h * HOUR,
        reads=2,
        execution_cursor=cursor,
    )
    assert rule_for(venue, LAG, WINDOW) == expected


@pytest.mark.parametrize("venue", ["upbit", "", "no such venue"])
def test_a_venue_that_is_not_known_has_a_rule_that_grants_nothing(venue: str) -> None:
    rule = rule_for(venue, LAG, WINDOW)
    assert rule == AbsenceRule(
        expiry=Expiry.WITHOUT, visibility_lag_ns=0, longest_window_ns=0, retention_ns=0, reads=2, execution_cursor=False
    )


def test_the_smallest_figures_that_were_measured_prove_as_well_as_large_ones() -> None:
    """Everything at one nanosecond, and a clock that is exact."""
    orders = lost(sign_wall_ns=1, window_ns=1)
    rule = msgspec.structs.replace(RULE, visibility_lag_ns=1, reads=1)
    reads = tuple(r.Sighting(source=source, venue_ns=4, later_client_id="b", execution_cursor_ns=4) for source in ("open", "history"))
    assert verdict(orders, reads, rule, clock_ns=0) == Proven(3, reads)


@pytest.mark.parametrize(
    ("rule", "clock_ns"),
    [
        (msgspec.structs.replace(RULE, visibility_lag_ns=0), CLOCK),
        (msgspec.structs.replace(RULE, reads=0), CLOCK),
        (RULE, -1),
    ],
)
def test_a_figure_that_was_not_measured_is_named(rule: AbsenceRule, clock_ns: int) -> None:
    assert verdict(lost(), rule=rule, clock_ns=clock_ns) == Missing(("the venue's clock or the lag of its lists was not measured",))
    assert isinstance(verdict(lost()), Proven)


@pytest.mark.parametrize(("sign_wall_ns", "window_ns"), [(0, WINDOW), (SIGNED, 0)])
def test_a_signature_without_time_or_window_bounds_nothing(sign_wall_ns: int, window_ns: int) -> None:
    found = verdict(lost(sign_wall_ns, window_ns))
    assert isinstance(found, Missing)
    assert found.what == ("when it was signed, or its receive window, is not known: no time bounds its acceptance",)


@pytest.mark.parametrize("seen", [{"received": True}, {"filled_lots": 1}, {"reported_lots": 1}])
def test_each_sign_of_the_order_at_the_venue_alone_excludes_that_it_was_never_there(seen: dict[str, object]) -> None:
    orders = lost()
    for name, value in seen.items():
        setattr(orders.by_id["a"], name, value)
    found = verdict(orders)
    assert isinstance(found, Missing)
    assert found.hopeless


def test_what_is_missing_names_its_list() -> None:
    assert verdict(lost(), READS[:3]) == Missing(("history: expected 2 reads after the last moment of acceptance, found 1",))
    assert verdict(lost(), READS[1:]) == Missing(("open: expected 2 reads after the last moment of acceptance, found 1",))


def test_one_read_of_several_may_show_the_later_order_and_carry_the_cursor() -> None:
    reads = (read("open", 1, later=""), read("open", 2, cursor=0), read("history", 1, cursor=0), read("history", 2, later="", cursor=0))
    assert verdict(lost(), reads) == Proven(LAST, reads)


def test_an_order_whose_signature_was_lost_is_later_than_nothing() -> None:
    """Both may have been signed at any time."""
    orders = fold(intent(), permit(), wire(), sent(), unknown(), intent("b"), permit("b"), wire("b"), sent("b", sign_wall_ns=SIGNED))
    found = verdict(orders)
    assert isinstance(found, Missing)
    assert found.what == ("open: no read that shows an own order sent later", "history: no read that shows an own order sent later")
    orders.by_id["b"].sign_wall_ns = SIGNED + 1
    assert isinstance(verdict(orders), Proven)


def test_of_several_unresolved_placements_the_same_is_always_named() -> None:
    records = [record for name in ("b", "a", "c") for record in (intent(name), permit(name), wire(name), sent(name), unknown(name))]
    assert blocks_placement(fold(*records), VENUE, rule_for("upbit", 0, 0)) == "a"
    assert blocks_placement(fold(*records), VENUE, RULE) == ""


# Cancels


def test_when_a_cancel_is_due() -> None:
    pause = BackOff(first_ns=10, longest_ns=1_000)
    fresh = Obligation(wanted_boot_ns=7, reason="", actor="gate")
    assert due_boot_ns(fresh, pause) == 7
    once = msgspec.structs.replace(fresh, attempts=1, last_boot_ns=20)
    assert due_boot_ns(once, pause) == 30
    assert due_boot_ns(msgspec.structs.replace(once, sighted=True), pause) == 7
    assert due_boot_ns(msgspec.structs.replace(once, attempts=3), pause) == 60
    assert due_boot_ns(msgspec.structs.replace(once, attempts=1_000_000), pause) == 1_020


def test_an_obligation_whose_order_is_not_at_the_venue_hides_no_other() -> None:
    """The first of them was never sent, so that nothing is to be cancelled for it; the second rests."""
    orders = fold(intent("a"), permit("a"), cancel("a"), intent("b"), permit("b"), wire("b"), answer(S.OPEN, "b"), cancel("b"))
    assert list(orders.cancelling) == ["a", "b"]
    assert due(orders, 10**12, 9) == ["b"]
    assert next_due_boot_ns(orders) == 1


def test_the_timer_goes_by_the_earliest_and_by_the_given_pause() -> None:
    records = [record for name in "ab" for record in (intent(name), permit(name), wire(name), answer(S.OPEN, name), cancel(name))]
    orders = fold(*records, cancel_sent("a", boot_ns=100), cancel_sent("b", boot_ns=900))
    pause = BackOff(first_ns=50, longest_ns=500)
    assert next_due_boot_ns(orders, pause) == 150
    assert next_due_boot_ns(orders) == 100 + 250 * NS_PER_MS
    assert (due(orders, 149, 9, pause), due(orders, 150, 9, pause), due(orders, 950, 9, pause)) == ([], ["a"], ["a", "b"])


def test_a_cancel_sent_once_already_waits_behind_one_that_never_was() -> None:
    records = [record for name in "ab" for record in (intent(name), permit(name), wire(name), answer(S.OPEN, name))]
    orders = fold(*records, cancel("a", boot_ns=1), cancel_sent("a", boot_ns=2), cancel("b", boot_ns=10**11))
    assert due(orders, 10**12, 9) == ["b", "a"]


def test_an_execution_that_was_taken_back_still_shows_that_the_order_was_there() -> None:
    orders = fold(*LOST, *LATER, fill(1), reversal(), quarantined())
    found = verdict(orders)
    assert not isinstance(found, Proven)
