"""The fold of orders: what each record does to state, fills, reservations and the leave to send."""

import pytest
from tests.gate.order_records import (
    ACCOUNT,
    LOST,
    OPENED,
    PLACED,
    SYMBOL,
    VENUE,
    absent,
    answer,
    boot,
    cancel,
    cancel_answer,
    cancel_sent,
    deny,
    fill,
    fold,
    intent,
    not_sent,
    permit,
    quarantined,
    released,
    report,
    reversal,
    sent,
    unknown,
    violations,
    wire,
)

from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.order_machine import Violation
from interlock.gate.order_state import Orders
from interlock.gate.orders import apply, may_amend, may_send, recovery_records, worst_case

S, V = OrderState, Violation
QUARANTINE = (*LOST, quarantined())


def state(orders: Orders, client_id: str = "a") -> OrderState:
    return orders.by_id[client_id].state


def worst(orders: Orders) -> tuple[int, int]:
    return worst_case(orders, VENUE, ACCOUNT, SYMBOL)


def test_the_usual_life_of_an_order() -> None:
    orders = fold(intent())
    assert (state(orders), worst(orders), may_send(orders, "a", 0)) == (S.INTENDED, (0, 0), False)
    apply(orders, permit())
    assert (state(orders), worst(orders), may_send(orders, "a", 0)) == (S.PERMITTED, (10, 0), True)
    apply(orders, wire())
    assert (state(orders), worst(orders), may_send(orders, "a", 0)) == (S.SENT, (10, 0), False)
    for record in (sent(), answer(S.OPEN), fill(4)):
        apply(orders, record)
    assert (state(orders), worst(orders)) == (S.PARTIAL, (6, 0))
    apply(orders, fill(6, "t2"))
    assert (state(orders), worst(orders), violations(orders)) == (S.FILLED, (0, 0), [])
    assert (orders.live, orders.worst, orders.unresolved) == ({}, {}, {})


@pytest.mark.parametrize(
    ("records", "after"),
    [
        ((intent(), deny()), S.NOT_SENT),
        ((intent(), permit(), not_sent()), S.NOT_SENT),
        ((intent(), permit(), wire(), not_sent()), S.NOT_SENT),
        ((*PLACED, answer(S.REJECTED)), S.REJECTED),
        ((*PLACED, answer(S.ACKED), report(S.REJECTED)), S.REJECTED),
        ((*OPENED, report(S.CANCELLED)), S.CANCELLED),
        ((*OPENED, report(S.EXPIRED)), S.EXPIRED),
        ((*LOST, absent()), S.ABSENT),
        ((*QUARANTINE, absent()), S.ABSENT),
        ((*QUARANTINE, released(S.CANCELLED)), S.CANCELLED),
        ((*PLACED, report(S.FILLED, 10), fill(10)), S.FILLED),
        ((*LOST, report(S.CANCELLED, 3), fill(1), fill(2, "t2")), S.CANCELLED),
    ],
)
def test_an_order_that_ended_reserves_nothing(records: tuple[r.Record, ...], after: OrderState) -> None:
    orders = fold(*records)
    assert (state(orders), worst(orders), violations(orders)) == (after, (0, 0), [])


@pytest.mark.parametrize(
    ("records", "after"),
    [
        ((*PLACED,), S.SENT),
        ((*PLACED, answer(S.ACKED)), S.ACKED),
        ((*PLACED, answer(S.FILLED)), S.UNKNOWN),
        (LOST, S.UNKNOWN),
        ((*LOST, answer(S.ACKED)), S.UNKNOWN),
        (QUARANTINE, S.QUARANTINED),
        ((*OPENED, cancel_answer(False)), S.UNKNOWN),
        ((*OPENED, cancel_answer(True)), S.OPEN),
        ((*OPENED, unknown()), S.OPEN),
        ((*LOST, report(S.OPEN)), S.OPEN),
        ((*QUARANTINE, report(S.OPEN)), S.OPEN),
        ((*OPENED, report(S.INTENDED)), S.UNKNOWN),
        ((*OPENED, report(S.FILLED, 4)), S.UNKNOWN),
        ((*OPENED, report(S.PARTIAL, 4)), S.PARTIAL),
        ((*PLACED, sent()), S.SENT),
    ],
)
def test_an_order_that_may_live_is_reserved_whole(records: tuple[r.Record, ...], after: OrderState) -> None:
    orders = fold(*records)
    assert (state(orders), worst(orders), violations(orders)) == (after, (10, 0), [])


def test_an_unknown_order_with_an_execution_is_still_to_be_resolved() -> None:
    assert state(fold(*LOST, fill(4))) is S.UNKNOWN
    assert state(fold(*LOST, fill(10))) is S.FILLED
    assert state(fold(*PLACED, fill(4))) is S.PARTIAL


@pytest.mark.parametrize(
    ("records", "after", "found"),
    [
        ((*OPENED, report(S.CANCELLED), fill(1)), S.CANCELLED, [V.LATE_FILL]),
        ((*OPENED, report(S.EXPIRED), fill(1)), S.EXPIRED, [V.LATE_FILL]),
        ((*OPENED, report(S.CANCELLED), report(S.CANCELLED, 2, venue_ns=11)), S.CANCELLED, [V.LATE_FILL]),
        ((*PLACED, answer(S.REJECTED), fill(1)), S.UNKNOWN, [V.LATE_FILL]),
        ((*LOST, absent(), fill(1)), S.UNKNOWN, [V.LATE_FILL]),
        ((*LOST, absent(), report(S.OPEN)), S.OPEN, [V.ABSENT_SEEN]),
        ((intent(), permit(), not_sent(), fill(10)), S.FILLED, [V.LATE_FILL]),
        ((intent(), permit(), not_sent(), report(S.OPEN)), S.OPEN, [V.UNSENT_SEEN]),
        ((intent(), permit(), report(S.OPEN)), S.OPEN, [V.UNSENT_SEEN]),
        ((*OPENED, fill(11)), S.FILLED, [V.OVERFILL]),
        ((*OPENED, fill(10), fill(1, "t2")), S.FILLED, [V.OVERFILL]),
        ((*OPENED, report(S.PARTIAL, 11)), S.FILLED, [V.OVERFILL]),
        ((*OPENED, fill(10), reversal()), S.FILLED, [V.REVERSAL]),
        ((*OPENED, report(S.CANCELLED), report(S.OPEN, venue_ns=11)), S.UNKNOWN, [V.REOPENED]),
        ((*OPENED, answer(S.REJECTED)), S.UNKNOWN, [V.CONTRADICTED]),
        ((*OPENED, fill(1), report(S.REJECTED, 1)), S.UNKNOWN, [V.CONTRADICTED]),
        ((*OPENED, fill(10), answer(S.REJECTED)), S.FILLED, [V.CONTRADICTED]),
        ((*PLACED, not_sent()), S.UNKNOWN, [V.CONTRADICTED]),
        ((*OPENED, absent()), S.OPEN, [V.CONTRADICTED]),
        ((*OPENED, cancel_answer(False), absent()), S.UNKNOWN, [V.CONTRADICTED]),
        ((*OPENED, fill(1, symbol="ETHUSDT")), S.OPEN, [V.CONTRADICTED]),
        ((*OPENED, fill(1, side=Side.SELL)), S.OPEN, [V.CONTRADICTED]),
        ((*PLACED, wire()), S.SENT, [V.DUPLICATE_SEND]),
        ((intent(), wire()), S.SENT, [V.UNEXPECTED]),
        ((intent(), permit(), boot(), wire()), S.SENT, [V.UNEXPECTED]),
        ((intent(), permit(), cancel(), wire()), S.SENT, [V.UNEXPECTED]),
        ((intent(), permit(), permit()), S.PERMITTED, [V.UNEXPECTED]),
        ((*OPENED, permit("a", 1)), S.OPEN, [V.UNEXPECTED]),
        ((*OPENED, report(S.OPEN, lots=12)), S.OPEN, [V.OVERSIZE]),
    ],
)  # fmt: skip
def test_violations(records: tuple[r.Record, ...], after: OrderState, found: list[Violation]) -> None:
    orders = fold(*records)
    assert (state(orders), violations(orders)) == (after, found)
    assert violations(fold(*records[:-1])) == []


def test_a_larger_order_at_the_venue_is_reserved_as_large_as_it_is() -> None:
    assert worst(fold(*OPENED, report(S.OPEN, lots=12))) == (12, 0)
    assert worst(fold(*OPENED, report(S.OPEN, lots=10))) == (10, 0)


@pytest.mark.parametrize(
    "record",
    [wire("x"), report(S.OPEN, client_id="x"), fill(1, client_id="x"), permit("x"), cancel_answer(True, "x"), not_sent("x"), sent("x")],
)
def test_a_client_id_that_the_journal_does_not_know_is_a_violation(record: r.Record) -> None:
    assert violations(fold(record)) == [V.STRANGER]


def test_an_execution_that_is_not_ours_is_no_business_of_orders() -> None:
    assert fold(fill(1, client_id="")) == Orders()
    assert fold(*OPENED, fill(0)) == fold(*OPENED)


def test_an_execution_told_twice_counts_once() -> None:
    orders = fold(*OPENED, fill(4), fill(4))
    assert (orders.by_id["a"].filled_lots, orders.duplicate_fills, violations(orders)) == (4, 1, [])
    # The control: another trade id is another execution.
    assert fold(*OPENED, fill(4), fill(4, "t2")).by_id["a"].filled_lots == 8


def test_what_a_report_counts_beyond_the_executions_stays_reserved() -> None:
    orders = fold(*OPENED, report(S.FILLED, 10), fill(4))
    assert (state(orders), worst(orders), list(orders.owing)) == (S.FILLED, (6, 0), ["a"])
    apply(orders, fill(6, "t2"))
    assert (worst(orders), list(orders.owing), violations(orders)) == ((0, 0), [], [])


def test_reports_that_go_back_are_counted_and_ignored() -> None:
    for late in (report(S.OPEN), report(S.CANCELLED, 3), report(S.PARTIAL, -1)):
        orders = fold(*OPENED, fill(4), late)
        assert (state(orders), orders.stale_reports, violations(orders)) == (S.PARTIAL, 1, [])
    for at in (9, 10):
        ended = fold(*OPENED, report(S.CANCELLED, venue_ns=10), report(S.OPEN, venue_ns=at))
        assert (state(ended), ended.stale_reports, violations(ended)) == (S.CANCELLED, 1, [])


def test_reversals_in_any_order() -> None:
    orders = fold(*OPENED, fill(4), reversal(), reversal())
    assert (orders.by_id["a"].filled_lots, worst(orders), violations(orders), orders.duplicate_fills) == (0, (10, 0), [V.REVERSAL], 1)
    early = fold(*OPENED, reversal(), fill(4))
    assert early.by_id["a"].filled_lots == 0
    assert violations(early) == [V.REVERSAL, V.REVERSAL]
    assert violations(fold(reversal("of somebody"))) == [V.REVERSAL]
    # An execution of another side was never counted, and taking it back takes nothing.
    assert fold(*OPENED, fill(4, side=Side.SELL), reversal()).by_id["a"].filled_lots == 0


AMENDING = (*OPENED, intent("a", 1, lots=15, ticks=101))
AMEND_SENT = (*AMENDING, permit("a", 1), wire("a", 1), sent("a", 1))


def test_an_amend_is_reserved_at_the_larger_size_until_it_is_answered() -> None:
    assert worst(fold(*AMENDING)) == (10, 0)
    assert worst(fold(*AMENDING, permit("a", 1))) == (15, 0)
    assert worst(fold(*AMEND_SENT)) == (15, 0)
    assert worst(fold(*AMEND_SENT, answer(S.REJECTED, "a", 1))) == (10, 0)
    assert worst(fold(*AMEND_SENT, answer(S.ACKED, "a", 1))) == (15, 0)
    applied = fold(*AMEND_SENT, answer(S.OPEN, "a", 1))
    assert (worst(applied), applied.by_id["a"].ticks) == ((15, 0), 101)
    smaller = (*OPENED, intent("a", 1, lots=5), permit("a", 1), wire("a", 1), sent("a", 1))
    assert worst(fold(*smaller)) == (10, 0)
    assert worst(fold(*smaller, answer(S.OPEN, "a", 1))) == (5, 0)
    for undone in (deny(), not_sent("a", 1)):
        back = fold(*AMENDING, *(() if isinstance(undone, r.Deny) else (permit("a", 1),)), undone)
        assert (worst(back), back.by_id["a"].amend) == ((10, 0), None)


def test_an_amend_whose_answer_was_lost_is_resolved_by_the_size_that_the_venue_shows() -> None:
    lost = (*AMEND_SENT, unknown("a", 1))
    assert not may_amend(fold(*lost), "a", 2)
    assert worst(fold(*lost, report(S.OPEN, lots=10))) == (15, 0)
    seen = fold(*lost, report(S.OPEN, lots=15))
    assert (seen.by_id["a"].lots, seen.by_id["a"].amend, violations(seen)) == (15, None, [])
    assert may_amend(seen, "a", 2)


def test_an_amend_to_less_than_is_filled_ends_the_order() -> None:
    orders = fold(*OPENED, intent("a", 1, lots=5), permit("a", 1), wire("a", 1), sent("a", 1), fill(6), answer(S.OPEN, "a", 1))
    assert (state(orders), worst(orders), violations(orders)) == (S.FILLED, (0, 0), [])


def test_an_order_is_not_filled_while_an_amend_may_have_made_it_larger() -> None:
    orders = fold(*AMEND_SENT, fill(10))
    assert (state(orders), worst(orders)) == (S.PARTIAL, (5, 0))
    assert state(fold(*AMEND_SENT, fill(10), answer(S.REJECTED, "a", 1))) is S.FILLED
    assert violations(fold(*AMEND_SENT, fill(15))) == []
    assert violations(fold(*AMEND_SENT, fill(16))) == [V.OVERFILL]


def test_the_leave_to_send_an_amend() -> None:
    orders = fold(*AMENDING)
    assert not may_send(orders, "a", 1)
    apply(orders, permit("a", 1))
    assert may_send(orders, "a", 1)
    assert not may_send(orders, "a", 0)
    assert not may_send(orders, "a", 2)
    apply(orders, wire("a", 1))
    assert not may_send(orders, "a", 1)
    assert violations(orders) == []
    assert violations(fold(*AMEND_SENT, wire("a", 1))) == [V.DUPLICATE_SEND]
    assert not may_send(fold(*AMENDING, permit("a", 1), cancel()), "a", 1)
    assert not may_send(fold(*AMENDING, permit("a", 1), boot()), "a", 1)
    assert not may_send(fold(*AMENDING, permit("a", 1), cancel_answer(False)), "a", 1)
    gone = fold(*AMENDING, permit("a", 1), report(S.CANCELLED))
    assert not may_send(gone, "a", 1)
    apply(gone, not_sent("a", 1))
    assert (gone.ignored, violations(gone)) == (1, [])


@pytest.mark.parametrize(
    "bad",
    [
        intent("a", 0),
        intent("a", 2),
        intent("a", -1),
        intent("a", 1, lots=0),
        intent("a", 1, ticks=-1),
        intent("a", 1, side=Side.SELL),
        intent("a", 1, symbol="ETHUSDT"),
    ],
)
def test_an_intent_out_of_step_changes_nothing(bad: r.Intent) -> None:
    orders = fold(*OPENED, bad)
    assert (orders.ignored, orders.by_id) == (1, fold(*OPENED).by_id)
    assert fold(*OPENED, intent("a", 1)).by_id["a"].amend is not None


def test_at_most_one_revision_is_unresolved() -> None:
    assert may_amend(fold(*OPENED), "a", 1)
    assert not may_amend(fold(*OPENED), "a", 2)
    assert not may_amend(fold(*OPENED), "x", 1)
    assert not may_amend(fold(*PLACED), "a", 1)
    assert not may_amend(fold(*OPENED, cancel()), "a", 1)
    assert not may_amend(fold(*AMENDING), "a", 2)
    assert may_amend(fold(*AMENDING, deny()), "a", 2)
    assert not may_amend(fold(*AMENDING, deny()), "a", 1)
    assert fold(intent("x", 1)).by_id == {}


def test_the_leave_to_send() -> None:
    assert may_send(fold(intent(), permit()), "a", 0)
    assert not may_send(fold(intent()), "a", 0)
    assert not may_send(fold(intent(), permit()), "x", 0)
    assert not may_send(fold(intent(), permit()), "a", 1)
    assert not may_send(fold(intent(), permit()), "a", -1)
    assert not may_send(fold(intent(), permit(), cancel()), "a", 0)
    assert not may_send(fold(intent(), permit(), boot()), "a", 0)
    assert may_send(fold(boot(), intent(), permit()), "a", 0)
    assert not may_send(fold(intent(), permit(), wire(), boot()), "a", 0)


def test_denials_of_other_things_leave_orders_alone() -> None:
    for records in ((deny("x"),), (*OPENED, deny()), (*AMENDING, permit("a", 1), deny())):
        orders, before = fold(*records), fold(*records[:-1])
        assert orders == before
    assert fold(r.Tick(boot_ns=1, wall_ns=1)) == Orders()


@pytest.mark.parametrize(
    "word",
    [
        released(S.CANCELLED, actor=""),
        released(S.CANCELLED, nonce=""),
        released(S.OPEN),
        released(S.CANCELLED, filled=11),
        released(S.CANCELLED, filled=-1),
        released(S.ABSENT, filled=1),
        released(S.CANCELLED, client_id="x"),
    ],
)
def test_only_a_signed_word_that_makes_sense_ends_a_quarantine(word: r.Released) -> None:
    orders = fold(*QUARANTINE, word)
    assert (state(orders), worst(orders), orders.ignored) == (S.QUARANTINED, (10, 0), 1)
    assert state(fold(*LOST, released(S.CANCELLED))) is S.UNKNOWN
    assert state(fold(*QUARANTINE, released(S.ABSENT))) is S.ABSENT


def test_what_a_person_says_was_filled_is_awaited_and_never_made_up() -> None:
    orders = fold(*QUARANTINE, released(S.CANCELLED, filled=3))
    assert (state(orders), orders.by_id["a"].filled_lots, worst(orders)) == (S.CANCELLED, 0, (3, 0))
    apply(orders, fill(3))
    assert (worst(orders), violations(orders)) == ((0, 0), [])


def test_boot_leaves_no_answer_to_wait_for() -> None:
    assert state(fold(*PLACED, boot())) is S.UNKNOWN
    assert state(fold(*PLACED, answer(S.ACKED), boot())) is S.UNKNOWN
    assert state(fold(*OPENED, boot())) is S.OPEN
    order = fold(intent(), permit(), wire(), boot(wall_ns=77)).by_id["a"]
    assert (order.sign_wall_ns, order.receive_window_ns) == (77, -1)
    assert fold(*PLACED, boot(wall_ns=77)).by_id["a"].sign_wall_ns == 1_000
    amend = fold(*AMEND_SENT, boot()).by_id["a"].amend
    assert amend is not None
    assert amend.state is S.UNKNOWN


HALFWAY: tuple[tuple[r.Record, ...], ...] = (
    (intent(),),
    (intent(), permit()),
    (intent(), permit(), wire()),
    PLACED,
    (*PLACED, answer(S.ACKED)),
    OPENED,
    LOST,
    AMENDING,
    (*AMENDING, permit("a", 1)),
    (*AMENDING, permit("a", 1), wire("a", 1)),
    (*OPENED, report(S.CANCELLED)),
)


@pytest.mark.parametrize("records", HALFWAY)
@pytest.mark.parametrize("booted", [True, False])
@pytest.mark.parametrize(("same", "io_error"), [(True, False), (True, True), (False, False), (False, True)])
def test_recovery_is_idempotent_and_adds_no_risk(records: tuple[r.Record, ...], booted: bool, same: bool, io_error: bool) -> None:
    orders = fold(*records, *((boot(),) if booted else ()))
    before = worst(orders)
    for record in recovery_records(orders, same, io_error, 5):
        apply(orders, record)
    assert recovery_records(orders, same, io_error, 5) == []
    assert violations(orders) == []
    assert worst(orders) <= before
    assert not may_send(orders, "a", 0)
    assert not may_send(orders, "a", 1)
    assert state(orders) not in (S.INTENDED, S.PERMITTED, S.SENT, S.ACKED)


def test_recovery_releases_only_what_was_certainly_not_sent() -> None:
    def recovered(same: bool, io_error: bool, *records: r.Record) -> OrderState:
        orders = fold(*records, boot())
        for record in recovery_records(orders, same, io_error, 5):
            apply(orders, record)
        return state(orders)

    assert recovered(True, False, intent(), permit()) is S.NOT_SENT
    assert recovered(False, False, intent(), permit()) is S.UNKNOWN
    assert recovered(True, True, intent(), permit()) is S.UNKNOWN
    assert recovered(True, False, intent(), permit(), wire()) is S.UNKNOWN
    assert recovered(True, False, intent()) is S.NOT_SENT


def test_cancels_of_nothing_are_counted() -> None:
    assert fold(cancel("x")).ignored == 1
    assert fold(*OPENED, cancel(), cancel()).ignored == 1
    assert fold(*OPENED, cancel_sent()).ignored == 1
    assert fold(*OPENED, cancel(), cancel_sent()).ignored == 0


def test_an_empty_venue_id_does_not_erase_the_known_one() -> None:
    blank = r.Answered(boot_ns=1, client_id="a", revision=0, state=S.OPEN, venue_order_id="", code="")
    assert fold(*OPENED, blank).by_id["a"].venue_order_id == "v"


def test_equal_folds_have_equal_digests() -> None:
    one, two = fold(*AMEND_SENT, fill(3), reversal()), fold(*AMEND_SENT, fill(3), reversal())
    assert one == two
    assert one.digest_parts() == two.digest_parts()
    assert one.digest_parts() != fold(*AMEND_SENT, fill(3)).digest_parts()
