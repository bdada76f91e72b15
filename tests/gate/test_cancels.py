"""Standing cancels: when they are due, in which order, and that only the end of the order discharges them."""

import pytest
from tests.gate.order_records import (
    LOST,
    OPENED,
    PLACED,
    absent,
    answer,
    boot,
    cancel,
    cancel_answer,
    cancel_sent,
    fill,
    fold,
    intent,
    permit,
    quarantined,
    report,
    wire,
)

from interlock.domain.clock import NS_PER_MS
from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.cancels import BackOff, due, next_due_boot_ns, only_sighted
from interlock.gate.orders import apply

S = OrderState
MS = NS_PER_MS


@pytest.mark.parametrize("held", [PLACED, (*PLACED, answer(S.ACKED)), OPENED, LOST, (*LOST, quarantined()), (*OPENED, fill(1))])
def test_a_wanted_cancel_is_due_at_once_wherever_the_venue_may_hold_the_order(held: tuple[r.Record, ...]) -> None:
    assert due(fold(*held), 10**12, 9) == []
    assert due(fold(*held, cancel()), 1, 9) == ["a"]


@pytest.mark.parametrize("unsent", [(intent(),), (intent(), permit())])
def test_before_the_wire_it_suppresses_the_send_and_needs_none(unsent: tuple[r.Record, ...]) -> None:
    orders = fold(*unsent, cancel())
    assert (due(orders, 10**12, 9), next_due_boot_ns(orders)) == ([], None)
    apply(orders, wire())
    assert due(orders, 10**12, 9) == ["a"]


def test_the_pause_doubles_up_to_its_longest() -> None:
    orders = fold(*LOST, cancel(boot_ns=0))
    at = 0
    pauses = []
    for attempt in range(1, 9):
        apply(orders, cancel_sent(boot_ns=at, attempt=attempt))
        following = next_due_boot_ns(orders)
        assert following is not None
        assert due(orders, following - 1, 9) == []
        assert due(orders, following, 9) == ["a"]
        pauses.append((following - at) // MS)
        at = following
    assert pauses == [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000, 5_000]
    assert due(orders, at, 9, BackOff(first_ns=10**15, longest_ns=10**15)) == []


@pytest.mark.parametrize("sighting", [report(S.OPEN), answer(S.OPEN), fill(1)])
def test_every_sighting_makes_it_due_at_once(sighting: r.Record) -> None:
    waiting = fold(*LOST, cancel(), cancel_sent(boot_ns=10))
    assert due(waiting, 11, 9) == []
    apply(waiting, sighting)
    assert due(waiting, 11, 9) == ["a"]
    apply(waiting, cancel_sent(boot_ns=12))
    assert due(waiting, 13, 9) == []


def test_before_its_pause_is_over_a_cancel_is_due_only_because_the_order_was_shown() -> None:
    orders = fold(*LOST, cancel())

    def shown_alone(at_ns: int) -> bool:
        owed = orders.by_id["a"].cancel
        assert owed is not None
        return only_sighted(owed, at_ns)

    assert not shown_alone(0), "one that was never sent is due by itself"
    for attempt, pause_ns in ((1, 250 * MS), (2, 500 * MS)):
        apply(orders, cancel_sent(boot_ns=10, attempt=attempt))
        apply(orders, report(S.OPEN))
        assert due(orders, 10, 9) == ["a"]
        assert shown_alone(10 + pause_ns - 1)
        assert not shown_alone(10 + pause_ns)
    apply(orders, boot())
    assert not shown_alone(0), "after a boot every cancel is due by itself"


def test_only_the_end_discharges_it() -> None:
    owed = fold(*OPENED, cancel(), cancel_sent(boot_ns=0), cancel_answer(False), cancel_answer(True), boot())
    assert due(owed, 0, 9) == ["a"]
    assert due(fold(*OPENED, cancel(), report(S.CANCELLED)), 10**12, 9) == []
    assert due(fold(*LOST, cancel(), absent()), 10**12, 9) == []


def test_a_boot_makes_all_due_at_once_because_the_clock_may_have_begun_anew() -> None:
    orders = fold(*OPENED, cancel(boot_ns=10**15), cancel_sent(boot_ns=10**15))
    assert due(orders, 0, 9) == []
    apply(orders, boot())
    assert due(orders, 0, 9) == ["a"]


def test_a_sighting_counts_at_once_even_if_it_was_wanted_before_the_clock_began_anew() -> None:
    orders = fold(*OPENED, cancel(boot_ns=10**15), boot(), cancel_sent(boot_ns=5))
    assert due(orders, 6, 9) == []
    apply(orders, report(S.OPEN))
    assert due(orders, 6, 9) == ["a"]


def test_the_budget_goes_to_those_never_sent_and_then_to_the_longest_overdue() -> None:
    records: list[r.Record] = []
    for name in "abcd":
        records += [intent(name), permit(name), wire(name), answer(S.OPEN, name), cancel(name, boot_ns=5)]
    orders = fold(*records, cancel_sent("a", boot_ns=20), cancel_sent("b", boot_ns=10))
    late = 10**12
    assert due(orders, late, 9) == ["c", "d", "b", "a"]
    assert due(orders, late, 3) == ["c", "d", "b"]
    assert due(orders, late, 0) == due(orders, late, -1) == []


def test_one_that_was_shown_goes_behind_those_that_were_never_sent_though_it_was_wanted_first() -> None:
    records: list[r.Record] = []
    for name, wanted_ns in (("a", 1), ("b", 5), ("c", 3)):
        records += [intent(name), permit(name), wire(name), answer(S.OPEN, name), cancel(name, boot_ns=wanted_ns)]
    orders = fold(*records, cancel_sent("a", boot_ns=7), report(S.OPEN, client_id="a"))
    assert due(orders, 7, 9) == ["c", "b", "a"]


def test_one_that_was_not_sent_yet_keeps_none_behind_it_from_being_cancelled() -> None:
    orders = fold(intent("a"), permit("a"), cancel("a"), intent("b"), permit("b"), wire("b"), answer(S.OPEN, "b"), cancel("b"))
    assert due(orders, 9, 9) == ["b"]
    apply(orders, wire("a"))
    assert due(orders, 9, 9) == ["a", "b"]


def test_the_time_of_the_next_one_is_the_earliest_of_all() -> None:
    orders = fold(*OPENED, cancel(boot_ns=7))
    assert next_due_boot_ns(orders) == 7, "one that was never sent is due since it was wanted"
    apply(orders, cancel_sent(boot_ns=10))
    assert next_due_boot_ns(orders) == 10 + 250 * MS
    assert next_due_boot_ns(orders, BackOff(first_ns=3)) == 13
    apply(orders, report(S.OPEN))
    assert next_due_boot_ns(orders) == 7, "and so is one that was shown"
    apply(orders, cancel_sent(boot_ns=20, attempt=2))
    for record in (intent("b"), permit("b"), wire("b"), cancel("b", boot_ns=30)):
        apply(orders, record)
    assert next_due_boot_ns(orders) == 30
