"""Orders of which nobody knows: asked for with growing pauses, found, proven absent, or quarantined; never ended by silence."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate import order_records as rec
from tests.gate.venue_account import SECOND, SYMBOL, Bench, bench, own_id, shown

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.absence import HOUR_NS, AbsenceRule, Aftermath, rule_for
from interlock.gate.resolver import MOST_SIGHTINGS, Resolver
from interlock.gate.venue_reads import ReadFailed

S = OrderState
LAG = SECOND // 10
SKEW = SECOND // 20
WINDOW = SECOND
LAST = WINDOW + LAG + SKEW
"""So long after its signature an order can still be taken and become visible."""
RULE = rule_for("bybit", LAG, WINDOW)


def resolver(
    b: Bench, rule: AbsenceRule = RULE, skew_hi_ns: int | None = SKEW, aftermath: Callable[[], Aftermath | None] = lambda: None, **more: Any
) -> Resolver:
    return Resolver(b.keeper, b.watch, b.venue, rule, b.now, skew_hi_ns=lambda: skew_hi_ns, aftermath=aftermath, **more)


def rounds(b: Bench, of: Resolver, seconds: float, every_ns: int = SECOND // 4) -> None:
    """Rounds for so long."""
    for _ in range(int(seconds * SECOND / every_ns)):
        b.run(of.round())
        b.wait(every_ns)


def later_orders(b: Bench) -> tuple[str, str]:
    """Two orders of ours sent later: one is open, one has ended; so both lists show that they have caught up."""
    b.wait(1)
    opened, ended = b.open(101), b.open(102)
    b.venue.show(ended, S.CANCELLED)
    return opened, ended


# Found


@pytest.mark.parametrize(("state", "filled"), [(S.OPEN, 0), (S.PARTIAL, 3), (S.FILLED, 10), (S.CANCELLED, 0), (S.REJECTED, 0)])
def test_an_order_that_the_venue_shows_is_what_it_shows(state: OrderState, filled: int) -> None:
    with bench() as b:
        a = b.lose(1)
        b.venue.show(a, state, filled=filled)
        b.run(resolver(b).round())
        assert b.order_state(a) is state


def test_nothing_is_read_while_everything_is_known() -> None:
    with bench() as b:
        b.open(1)
        of = resolver(b)
        rounds(b, of, 10)
        assert b.venue.asked == []
        b.lose(2)
        b.run(of.round())
        assert b.venue.asked != []


def test_an_order_without_an_answer_is_asked_for_after_a_while_and_no_more() -> None:
    with bench() as b:
        a = b.place(1)
        of = resolver(b)
        rounds(b, of, 2)
        assert b.venue.asked == []
        b.run(of.round())
        assert b.venue.asked == ["order"]
        rounds(b, of, 120)
        assert set(b.venue.asked) == {"order"}
        assert b.order_state(a) is S.SENT
        b.venue.show(a)
        rounds(b, of, 11)
        assert b.order_state(a) is S.OPEN


def test_an_answer_that_is_given_up_is_asked_for_at_once() -> None:
    with bench() as b:
        a = b.place(1)
        of = resolver(b)
        rounds(b, of, 60)
        b.venue.asked.clear()
        b.journal(rec.unknown(a))
        b.run(of.round())
        assert b.venue.asked[0] == "order"


def acknowledged(b: Bench, number: int) -> str:
    a = b.place(number)
    b.journal(rec.answer(S.ACKED, a))
    return a


def test_an_order_that_was_acknowledged_and_is_never_shown_comes_to_a_person() -> None:
    with bench() as b:
        a = acknowledged(b, 1)
        of = resolver(b, rule_for("upbit", LAG, WINDOW))
        rounds(b, of, 30)
        assert b.order_state(a) is S.ACKED
        assert b.venue.asked.count("order") > 5, "it was asked for all the while"
        rounds(b, of, 1)
        (doubted,) = (one for one in b.told(r.SendUnknown) if one.client_id == a)
        assert (doubted.revision, doubted.reason) == (0, "acknowledged, not shown within 30 s")
        assert b.order_state(a) is S.QUARANTINED
        assert b.state.orders.by_id[a].reserved_lots == 10, "its worst case stays reserved"
        b.journal(rec.released(S.REJECTED, client_id=a))
        assert b.order_state(a) is S.REJECTED


@pytest.mark.parametrize("after_s", [5, 20, 35, 200])
def test_an_order_that_was_acknowledged_is_what_the_venue_shows_however_late(after_s: int) -> None:
    with bench() as b:
        a = acknowledged(b, 1)
        of = resolver(b)
        rounds(b, of, after_s)
        b.venue.show(a)
        rounds(b, of, 11)
        assert b.order_state(a) is S.OPEN
        assert not b.state.orders.violation_count
        assert bool(b.told(r.SendUnknown)) is (after_s > 30)


def test_what_was_acknowledged_and_is_doubted_is_never_proven_absent() -> None:
    with bench() as b:
        a = acknowledged(b, 1)
        later_orders(b)
        rounds(b, resolver(b), 200)
        assert b.order_state(a) is S.QUARANTINED


def test_the_time_of_an_acknowledgement_begins_with_it() -> None:
    with bench() as b:
        a = b.place(1)
        of = resolver(b)
        rounds(b, of, 40)
        b.journal(rec.answer(S.ACKED, a))
        rounds(b, of, 29)
        assert b.order_state(a) is S.ACKED
        b.venue.show(a, S.FILLED, filled=10)
        rounds(b, of, 11)
        assert b.order_state(a) is S.FILLED


def test_an_amend_without_an_outcome_is_asked_for() -> None:
    with bench() as b:
        a = b.open(1)
        b.journal(rec.intent(a, 1, 15), rec.permit(a, 1), rec.wire(a, 1), rec.sent(a, 1), rec.unknown(a, 1))
        b.venue.show(a, lots=15)
        b.run(resolver(b).round())
        order = b.state.orders.by_id[a]
        assert (order.lots, order.amend) == (15, None)


def test_an_unknown_amend_does_not_shorten_the_time_of_its_order() -> None:
    with bench() as b:
        a = b.open(1)
        b.journal(rec.intent(a, 1, 15), rec.permit(a, 1), rec.wire(a, 1), rec.sent(a, 1), rec.unknown(a, 1))
        of = resolver(b)
        rounds(b, of, 61)
        assert b.order_state(a) is S.OPEN
        b.venue.failures["order"] = [ReadFailed("silence") for _ in range(99)]
        b.journal(rec.cancel(a), rec.cancel_answer(False, a))
        with pytest.raises(ReadFailed):
            rounds(b, of, 30)
        assert b.order_state(a) is S.UNKNOWN


# Questions


def test_questions_come_with_growing_pauses() -> None:
    with bench() as b:
        b.lose(1)
        of = resolver(b)
        asked_at_s = []
        for step in range(int(60 / 0.25)):
            before = b.venue.asked.count("order")
            b.run(of.round())
            if b.venue.asked.count("order") > before:
                asked_at_s.append(step / 4)
            b.wait(SECOND // 4)
        assert asked_at_s == [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75, 25.75, 35.75, 45.75, 55.75]


def test_a_round_asks_for_so_many_and_the_next_for_the_others() -> None:
    with bench() as b:
        names = [b.lose(number) for number in range(1, 8)]
        for name in names:
            b.venue.show(name)
        of = resolver(b, most_queries=3)
        for left in (4, 1, 0):
            b.run(of.round())
            assert len(b.state.orders.unresolved) == left


@pytest.mark.parametrize("read", ["order", "executions", "open_orders", "history"])
def test_a_failed_read_is_passed_on_and_not_repeated_at_once(read: str) -> None:
    with bench() as b:
        a = b.lose(1)
        of = resolver(b)
        b.venue.failures[read] = [ReadFailed("not now")]
        with pytest.raises(ReadFailed):
            b.run(of.round())
        asked = len(b.venue.asked)
        b.run(of.round())
        assert len(b.venue.asked) == asked
        b.wait(SECOND // 4)
        b.run(of.round())
        assert len(b.venue.asked) > asked
        assert b.order_state(a) is S.UNKNOWN


def test_executions_that_are_owed_are_read_with_growing_pauses_until_they_come() -> None:
    with bench() as b:
        a = b.open(1)
        b.watch.take(shown(a, S.FILLED, filled=10, venue_ns=b.venue.now_ns))
        b.venue.lag_ns["executions"] = 20 * SECOND
        b.venue.fill(10, "t1", a)
        of = resolver(b)
        rounds(b, of, 40)
        assert set(b.venue.asked) == {"executions"}
        assert len(b.venue.asked) <= 9
        assert b.state.orders.by_id[a].filled_lots == 10
        assert b.state.orders.owing == {}
        # Those of an order that is still alive as well, and again from a short pause.
        c = b.open(2)
        b.watch.take(shown(c, S.PARTIAL, filled=1, venue_ns=b.venue.now_ns))
        b.venue.lag_ns.clear()
        b.venue.fill(1, "t2", c)
        b.run(of.round())
        assert b.state.orders.by_id[c].filled_lots == 1


# Absence


def test_an_order_that_never_arrived_is_proven_absent() -> None:
    with bench() as b:
        a = b.lose(1, window_ns=WINDOW)
        signed = b.state.orders.by_id[a].sign_wall_ns
        opened, ended = later_orders(b)
        of = resolver(b)
        rounds(b, of, LAST / SECOND)
        assert b.order_state(a) is S.UNKNOWN
        rounds(b, of, 10)
        assert b.order_state(a) is S.ABSENT
        (proof,) = b.told(r.Absent)
        assert proof.not_before_venue_ns == signed + LAST
        assert {(one.source, one.later_client_id) for one in proof.sightings} == {("open", opened), ("history", ended)}
        assert all(min(one.venue_ns, one.execution_cursor_ns) > signed + LAST for one in proof.sightings)
        assert (proof.fills_complete_venue_ns, proof.position_explained) == (0, False)
        assert b.state.orders.violations == []
        asked = len(b.venue.asked)
        rounds(b, of, 20)
        assert len(b.venue.asked) == asked


def test_the_lists_are_read_once_and_then_when_their_silence_counts() -> None:
    with bench() as b:
        a = b.lose(1, window_ns=5 * SECOND)
        later_orders(b)
        of = resolver(b)
        rounds(b, of, 5)
        assert (b.venue.asked.count("order"), b.venue.asked.count("history")) == (5, 1)
        rounds(b, of, 12)
        assert b.venue.asked.count("history") == 3
        assert b.order_state(a) is S.ABSENT


def test_a_wall_clock_that_went_back_puts_no_list_off() -> None:
    with bench() as b:
        a = b.lose(1, window_ns=5 * SECOND)
        later_orders(b)
        b.venue.now_ns -= HOUR_NS  # which is ours too
        rounds(b, resolver(b), 30)
        assert b.venue.asked.count("history") > 1
        assert b.order_state(a) is S.UNKNOWN


def test_only_the_lists_of_the_symbols_of_lost_orders_are_read() -> None:
    with bench() as b:
        b.lose(1)
        b.open(2, symbol="ETHUSDT")
        of = resolver(b)
        b.run(of.round())
        assert b.venue.asked_symbols == [(SYMBOL,)] * 2
        b.lose(3, symbol="ETHUSDT")
        b.wait(SECOND)
        b.run(of.round())
        assert b.venue.asked_symbols[2:] == [(SYMBOL, "ETHUSDT")] * 2


def test_lists_are_not_read_for_orders_of_which_the_stream_told_meanwhile() -> None:
    for told, read in (((), ["order", "order", "executions", "open_orders", "history"]), ((1, 2), ["order", "order"])):
        with bench() as b:
            b.lose(1)
            b.lose(2)

            def tell(_read: str, b: Bench = b, told: tuple[int, ...] = told) -> None:
                if len(b.venue.asked) == 2:
                    for number in told:
                        b.watch.take(shown(own_id(number)))

            b.venue.meanwhile = tell
            b.run(resolver(b).round())
            assert b.venue.asked == read


def hidden_open(b: Bench) -> None:
    b.venue.lag_ns["open_orders"] = HOUR_NS


def hidden_history(b: Bench) -> None:
    b.venue.lag_ns["history"] = HOUR_NS


def unreadable_executions(b: Bench) -> None:
    b.venue.unreadable["executions"] = 1 << 30


@pytest.mark.parametrize("lack", [hidden_open, hidden_history, unreadable_executions])
def test_what_the_proof_lacks_leaves_the_order_quarantined_and_completes_it_later(lack: Callable[[Bench], None]) -> None:
    with bench() as b:
        a = b.lose(1)
        later_orders(b)
        lack(b)
        of = resolver(b)
        rounds(b, of, 59)
        assert b.order_state(a) is S.UNKNOWN
        rounds(b, of, 3)
        assert b.order_state(a) is S.QUARANTINED
        rounds(b, of, 60)
        assert len(b.told(r.Quarantined)) == 1
        assert b.state.orders.worst != {}
        b.venue.lag_ns.clear()
        b.venue.unreadable.clear()
        rounds(b, of, 25)
        assert b.order_state(a) is S.ABSENT


def test_without_the_venues_clock_nothing_is_proven() -> None:
    with bench() as b:
        a = b.lose(1)
        later_orders(b)
        rounds(b, resolver(b, skew_hi_ns=None), 50)
        assert b.order_state(a) is S.UNKNOWN
        rounds(b, resolver(b), 10)
        assert b.order_state(a) is S.ABSENT


def test_a_venue_whose_clock_is_behind_ours_does_not_shorten_the_wait() -> None:
    with bench() as b:
        a = b.lose(1)
        signed = b.state.orders.by_id[a].sign_wall_ns
        later_orders(b)
        rounds(b, resolver(b, skew_hi_ns=-10 * SECOND), 20)
        assert b.order_state(a) is S.ABSENT
        (proof,) = b.told(r.Absent)
        assert proof.not_before_venue_ns == signed + WINDOW + LAG


def test_not_found_alone_ends_nothing() -> None:
    with bench() as b:
        a = b.lose(1)
        rounds(b, resolver(b), 200)
        assert "order" in b.venue.asked
        assert b.order_state(a) is S.QUARANTINED
        assert b.told(r.Absent) == []


def test_a_quarantined_order_that_is_shown_after_all_is_what_is_shown() -> None:
    with bench() as b:
        a = b.lose(1)
        of = resolver(b)
        rounds(b, of, 70)
        assert b.order_state(a) is S.QUARANTINED
        b.venue.show(a, S.PARTIAL, filled=2)
        rounds(b, of, 11)
        assert b.order_state(a) is S.PARTIAL


def test_the_lists_may_show_what_the_question_did_not() -> None:
    with bench() as b:
        a, c = b.lose(1), b.lose(2)
        b.venue.lag_ns["order"] = HOUR_NS
        b.venue.show(a)
        b.venue.show(c, S.CANCELLED)
        b.run(resolver(b).round())
        assert (b.order_state(a), b.order_state(c)) == (S.OPEN, S.CANCELLED)


def test_an_order_that_is_shown_while_the_lists_are_read_is_not_absent() -> None:
    for event in (shown(own_id(1)), rec.fill(1, "t1", own_id(1))):
        with bench() as b:
            a = b.lose(1)
            later_orders(b)
            b.wait(2 * LAST)
            of = resolver(b)
            b.run(of.round())
            b.wait(SECOND)
            b.venue.meanwhile = lambda read, b=b, event=event: b.watch.take(event) if read == "history" else None  # type: ignore[misc]
            b.run(of.round())
            assert b.order_state(a) is not S.ABSENT
            assert b.state.orders.violations == []


def test_one_read_of_the_lists_serves_all_lost_orders() -> None:
    with bench(shared=True) as b:
        b.venue.show("web-1", symbol="DOGEUSDT")  # a person's, which says nothing about ours
        names = [b.lose(number) for number in range(1, 6)]
        later_orders(b)
        of = resolver(b)
        rounds(b, of, 10)
        assert [b.order_state(name) for name in names] == [S.ABSENT] * 5
        assert b.venue.asked.count("history") < b.venue.asked.count("order")
        assert b.venue.asked.count("history") <= 6


def test_a_later_order_on_another_market_shows_nothing() -> None:
    with bench() as b:
        a = b.lose(1)
        b.wait(1)
        b.open(101, symbol="ETHUSDT")
        b.venue.show(b.open(102, symbol="ETHUSDT"), S.CANCELLED, symbol="ETHUSDT")
        of = resolver(b)
        rounds(b, of, 30)
        assert b.order_state(a) is S.UNKNOWN
        later_orders_of(b, SYMBOL)
        rounds(b, of, 25)
        assert b.order_state(a) is S.ABSENT


def later_orders_of(b: Bench, symbol: str) -> None:
    b.open(103, symbol=symbol)
    b.venue.show(b.open(104, symbol=symbol), S.CANCELLED, symbol=symbol)


def test_what_is_remembered_of_an_order_is_bounded_and_keeps_what_counts() -> None:
    with bench() as b:
        a = b.lose(1)
        later_orders(b)
        b.wait(LAST)
        skew: list[int | None] = [None]
        of = Resolver(
            b.keeper,
            b.watch,
            b.venue,
            RULE,
            b.now,
            skew_hi_ns=lambda: skew[0],
            aftermath=lambda: None,
            first_pause_ns=1,
            longest_pause_ns=1,
        )
        rounds(b, of, 10)
        b.venue.lag_ns["history"] = HOUR_NS  # from here on without a later order
        rounds(b, of, 10)
        assert b.venue.asked.count("history") == 80
        skew[0] = SKEW
        b.run(of.round())
        assert b.order_state(a) is S.ABSENT
        (proof,) = b.told(r.Absent)
        assert sum(one.source == "open" for one in proof.sightings) == MOST_SIGHTINGS
        assert [bool(one.later_client_id) for one in proof.sightings if one.source == "history"] == [True] * 4 + [False] * 4


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=12))
def test_a_round_may_be_cancelled_anywhere(turns: list[int]) -> None:
    with bench() as b:
        a, c = b.lose(1), b.lose(2)
        b.venue.show(c, S.FILLED, filled=10)
        b.venue.fill(10, "t1", c)
        later_orders(b)
        of = resolver(b)
        for number in turns:
            b.run_cancelled(of.round(), number)
            b.wait(SECOND // 4)
        rounds(b, of, 30)
        assert (b.order_state(a), b.order_state(c)) == (S.ABSENT, S.FILLED)
        assert b.state.orders.violations == []
        assert b.state.ledger.duplicates == 0


def test_an_order_that_the_venue_had_shown_is_quarantined_and_never_absent() -> None:
    with bench() as b:
        a = b.open(1)
        b.venue.lose(a)
        b.journal(rec.cancel(a), rec.cancel_answer(False, a))
        later_orders(b)
        rounds(b, resolver(b), 100)
        assert b.order_state(a) is S.QUARANTINED
        assert len(b.told(r.Quarantined)) == 1


def test_where_requests_do_not_expire_not_found_is_quarantined_and_found_is_final() -> None:
    with bench(venue="upbit") as b:
        rule = rule_for("upbit", LAG, WINDOW)
        a = b.lose(1)
        of = resolver(b, rule)
        b.run(of.round())
        assert b.order_state(a) is S.QUARANTINED
        rounds(b, of, 100)
        assert len(b.told(r.Quarantined)) == 1
        assert set(b.venue.asked) == {"order"}
        b.venue.show(a, S.CANCELLED)
        rounds(b, of, 11)
        assert b.order_state(a) is S.CANCELLED


def test_an_order_that_fills_in_part_while_quarantined_is_asked_for_at_once_and_has_its_time_anew() -> None:
    with bench() as b:
        a = b.lose(1)
        of = resolver(b)
        rounds(b, of, 62)
        assert b.order_state(a) is S.QUARANTINED
        b.watch.take(rec.fill(1, "t1", a))
        assert b.order_state(a) is S.UNKNOWN
        b.venue.asked.clear()
        b.venue.failures["order"] = [ReadFailed("silence") for _ in range(99)]
        with pytest.raises(ReadFailed):
            b.run(of.round())
        assert b.venue.asked == ["order"]
        for _ in range(59):
            b.wait(SECOND)
            with contextlib.suppress(ReadFailed):
                b.run(of.round())
        assert b.order_state(a) is S.UNKNOWN
        b.wait(2 * SECOND)
        with contextlib.suppress(ReadFailed):
            b.run(of.round())
        assert b.order_state(a) is S.QUARANTINED


def test_a_silent_venue_leaves_an_order_quarantined_in_time() -> None:
    with bench() as b:
        a = b.lose(1)
        of = resolver(b)
        for _ in range(62):
            b.venue.failures["order"] = [ReadFailed("silence")]
            with contextlib.suppress(ReadFailed):
                b.run(of.round())
            b.wait(SECOND)
        b.run(of.round())
        assert b.order_state(a) is S.QUARANTINED


@pytest.mark.parametrize(
    ("after", "explained", "ends"), [(None, True, False), (LAST + 1, True, True), (LAST, True, False), (LAST + 1, False, False)]
)
def test_after_a_long_outage_what_reconciliation_found_must_speak(after: int | None, explained: bool, ends: bool) -> None:
    with bench() as b:
        a = b.lose(1)
        signed = b.state.orders.by_id[a].sign_wall_ns
        b.wait(25 * HOUR_NS)
        later_orders(b)
        found = None if after is None else Aftermath(signed + after, explained)
        rounds(b, resolver(b, aftermath=lambda: found), 10)
        assert (b.order_state(a) is S.ABSENT) is ends
        if ends:
            (proof,) = b.told(r.Absent)
            assert (proof.fills_complete_venue_ns, proof.position_explained) == (signed + LAST + 1, True)


def test_orders_of_other_accounts_are_left_alone() -> None:
    with bench() as b:
        other = own_id(1)
        b.journal(rec.intent(other, account="second"), rec.permit(other), rec.wire(other), rec.sent(other), rec.unknown(other))
        owing = own_id(2)
        b.journal(
            rec.intent(owing, account="second"),
            rec.permit(owing),
            rec.wire(owing),
            rec.sent(owing),
            rec.report(S.FILLED, 10, 10, client_id=owing),
        )
        rounds(b, resolver(b), 100)
        assert b.venue.asked == []
        assert b.order_state(other) is S.UNKNOWN
        b.lose(3)
        b.run(resolver(b).round())
        assert b.venue.asked != []


# Whatever the venue does


FATES = ("never", "open", "filled", "cancelled", "late")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(FATES), min_size=1, max_size=4), st.lists(st.integers(0, 30), max_size=6), st.integers(0, SECOND))
def test_every_lost_order_ends_as_it_truly_did_and_is_absent_only_if_it_never_arrived(
    fates: list[str], failing: list[int], lag_ns: int
) -> None:
    with bench() as b:
        b.venue.lag_ns = {"open_orders": min(lag_ns, LAG), "history": min(lag_ns, LAG), "order": lag_ns}
        names = [b.lose(number) for number in range(1, len(fates) + 1)]
        for name, fate in zip(names, fates, strict=True):
            if fate == "open":
                b.venue.show(name)
            elif fate == "filled":
                b.venue.show(name, S.FILLED, filled=10)
                b.venue.fill(10, f"t{name}", name)
            elif fate == "cancelled":
                b.venue.show(name, S.CANCELLED)
        later_orders(b)
        of = resolver(b)
        for step in range(120):
            if step in failing:
                b.venue.failures["open_orders"] = [ReadFailed("not now")]
            if step == 2:
                for name, fate in zip(names, fates, strict=True):
                    if fate == "late":  # at the last moment of its receive window
                        b.venue.show(name)
            with contextlib.suppress(ReadFailed):
                b.run(of.round())
            b.wait(SECOND // 4)
        ends = {"never": S.ABSENT, "open": S.OPEN, "filled": S.FILLED, "cancelled": S.CANCELLED, "late": S.OPEN}
        assert [b.order_state(name) for name in names] == [ends[fate] for fate in fates]
        assert b.state.orders.violations == []
        assert sum(position.lots for position in b.state.ledger.positions.values()) == 10 * fates.count("filled")
        assert b.venue.asked.count("order") <= 12 * len(names)
