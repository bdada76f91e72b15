"""What is told of an account becomes records once, whoever tells it and however often; what differs is taken, and stops."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate import order_records as rec
from tests.gate.venue_account import ACCOUNT, SYMBOL, TAG, VENUE, Bench, bench, own_id, shown

from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch, holds_nothing, opened_at
from interlock.gate.ledger import Flag
from interlock.gate.venue_reads import ReadFailed, ShownOrder, StreamEvent
from interlock.gate.verbs import Cause

S, K = OrderState, r.LedgerKind


# Orders


def test_an_order_of_ours_is_reported_once() -> None:
    with bench() as b:
        a = b.place(1)
        before = b.records
        for _ in range(3):
            b.watch.take(shown(a))
        assert b.records == before + 1
        assert b.order_state(a) is S.OPEN
        b.watch.take(shown(a, venue_ns=2 * b.venue.now_ns))  # later, and nothing new
        assert b.records == before + 1


@pytest.mark.parametrize(
    "news",
    [
        lambda a: shown(a, S.PARTIAL, filled=3),
        lambda a: shown(a, S.CANCELLED),
        lambda a: shown(a, lots=11),
        lambda a: shown(a, venue_order_id="another"),
    ],
)
def test_what_is_new_in_state_fills_size_or_name_is_taken(news: Callable[[str], ShownOrder]) -> None:
    with bench() as b:
        a = b.place(1)
        b.watch.take(shown(a))
        before = b.records
        b.watch.take(news(a))
        assert b.told(r.Reported, before) == [news(a).report]
        again = b.records
        b.watch.take(news(a))
        assert b.records == again


def test_a_report_that_lags_behind_what_is_known_is_left_out() -> None:
    with bench() as b:
        a = b.place(1)
        b.watch.take(b.venue.fill(4, "t1", a))
        before = b.records
        b.watch.take(shown(a, filled=0))
        assert b.records == before
        b.watch.take(shown(a, S.PARTIAL, filled=4))
        assert b.records == before + 1


def test_the_same_report_after_the_order_was_lost_again_is_news() -> None:
    with bench() as b:
        a = b.place(1)
        b.watch.take(shown(a))
        b.journal(rec.cancel(a), rec.cancel_answer(False, a))
        assert b.order_state(a) is S.UNKNOWN
        b.watch.take(shown(a))
        assert b.order_state(a) is S.OPEN


def test_an_order_still_alive_after_its_cancel_was_sent_is_seen_each_time_anew() -> None:
    with bench() as b:
        a = b.place(1)
        b.watch.take(shown(a))
        b.journal(rec.cancel(a))
        before = b.records
        b.watch.take(shown(a))  # none was sent yet: it is due at once anyway
        assert b.records == before
        b.journal(rec.cancel_sent(a))
        b.watch.take(shown(a))
        b.watch.take(shown(a))
        assert b.records == before + 2
        owed = b.state.orders.by_id[a].cancel
        assert owed is not None
        assert owed.sighted


def test_a_contradiction_stops_once_however_often_it_is_told() -> None:
    with bench() as b:
        a = b.place(1)
        contradiction = shown(a, S.REJECTED, filled=2)
        for _ in range(3):
            b.watch.take(contradiction)
        assert [found.violation for found in b.state.orders.violations] == ["contradicted"]
        assert b.latches() == [Cause.UNEXPLAINED.value]
        assert len(b.told(r.Reported)) == 1


def test_an_order_with_our_prefix_that_is_not_in_the_journal_stops_everything() -> None:
    with bench() as b:
        b.watch.take(shown(own_id(9)))
        b.watch.take(shown(own_id(9), S.PARTIAL, filled=1))
        assert [(one.own_prefix, one.tolerated) for one in b.told(r.Foreign)] == [(True, False)]
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]


@pytest.mark.parametrize("name", ["web-1", "", TAG + "tooshort", own_id(1, "dem2")])
def test_a_foreign_order_is_told_once_in_a_process_life(name: str) -> None:
    with bench() as b:
        for _ in range(2):
            b.watch.take(shown(name, venue_order_id="v1"))
        b.watch.take(shown(name, venue_order_id="v2"))
        told = b.told(r.Foreign)
        assert [(one.client_id, one.venue_order_id, one.own_prefix) for one in told] == [(name, "v1", False), (name, "v2", False)]
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]
        b.another_watch().take(shown(name, venue_order_id="v1"))
        assert len(b.told(r.Foreign)) == 3


def test_on_a_shared_account_a_foreign_order_in_an_unmanaged_asset_is_written_down_and_one_with_our_prefix_still_stops() -> None:
    with bench(shared=True) as b:
        b.watch.take(shown("web-1", symbol="DOGEUSDT"))
        assert [one.tolerated for one in b.told(r.Foreign)] == [True]
        assert b.latches() == []
        b.watch.take(shown(own_id(9), symbol="DOGEUSDT"))
        assert [one.tolerated for one in b.told(r.Foreign)] == [True, False]
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]


def test_an_id_of_ours_on_another_market_is_no_order_of_ours() -> None:
    with bench() as b:
        a = b.place(1)
        b.watch.take(shown(a, symbol="ETHUSDT"))
        assert [one.own_prefix for one in b.told(r.Foreign)] == [True]
        assert b.order_state(a) is S.SENT
        b.watch.take(shown(a))
        assert b.order_state(a) is S.OPEN


def test_so_many_foreign_orders_do_not_fill_the_memory() -> None:
    with bench(shared=True) as b:
        for number in range(10_001):
            b.watch.take(shown("", venue_order_id=f"v{number}", symbol="DOGEUSDT"))
        before = b.records
        b.watch.take(shown("", venue_order_id="v10000", symbol="DOGEUSDT"))
        assert b.records == before
        b.watch.take(shown("", venue_order_id="v0", symbol="DOGEUSDT"))  # forgotten, and told again
        assert b.records == before + 1


# Executions and the ledger


def test_an_execution_is_booked_once_and_told_again_with_other_content_stops() -> None:
    with bench() as b:
        a = b.place(1)
        fill = b.venue.fill(4, "t1", a)
        for _ in range(3):
            b.watch.take(msgspec.structs.replace(fill, boot_ns=b.records))
        assert b.told(r.Filled) == [msgspec.structs.replace(fill, boot_ns=b.records - 1)]
        assert b.latches() == []
        other = msgspec.structs.replace(fill, lots=5)
        for _ in range(3):
            b.watch.take(other)
        assert len(b.told(r.Filled)) == 2
        assert b.latches() == [Cause.UNEXPLAINED.value]
        assert b.watch.moves == 2


def test_whether_it_made_or_took_does_not_make_an_execution_another() -> None:
    # Upbit tells it in its stream and not in its lists.
    with bench() as b:
        a = b.place(1)
        fill = b.venue.fill(4, "t1", a)
        made = msgspec.structs.replace(fill, liquidity=Liquidity.MAKER)
        assert made != fill
        b.watch.take(made)
        before = b.records
        b.watch.take(fill)
        b.run(b.watch.catch_up(b.venue))
        assert (b.records, b.latches(), b.state.ledger.flags) == (before, [], {})
        # The control: another fee is another content.
        b.watch.take(msgspec.structs.replace(fill, fee=Decimal(7)))
        assert b.latches()


def test_what_the_venue_itself_made_is_taken_among_executions_once() -> None:
    with bench() as b:
        closed = rec.event(K.LIQUIDATION, "-1", "fill.x.1", symbol=SYMBOL, lots=-3, ticks=100, venue_ns=b.venue.now_ns)
        b.venue.execute(closed)
        b.run(b.watch.catch_up(b.venue))
        b.run(b.watch.catch_up(b.venue))
        b.watch.take(closed)
        assert b.told(r.LedgerEvent) == [closed]
        assert b.state.ledger.positions[(VENUE, ACCOUNT, SYMBOL)].lots == -3
        assert (Flag.LIQUIDATION, "fill.x.1") in b.state.ledger.flags
        before = b.records
        b.run(b.another_watch().catch_up(b.venue))
        assert b.records == before


def test_what_the_venue_itself_made_before_the_journal_began_is_past() -> None:
    with bench() as b:
        b.venue.execute(rec.event(K.LIQUIDATION, "-1", "fill.x.1", symbol=SYMBOL, lots=-3, ticks=100, venue_ns=b.venue.now_ns))
        b.run(b.watch.begin(b.venue))
        assert b.told(r.LedgerEvent) == []
        b.venue.now_ns += 1_000_000
        b.venue.execute(rec.event(K.LIQUIDATION, "-1", "fill.x.2", symbol=SYMBOL, lots=-3, ticks=100, venue_ns=b.venue.now_ns))
        b.run(b.watch.catch_up(b.venue))
        assert [event.venue_id for event in b.told(r.LedgerEvent)] == ["fill.x.2"]


def test_an_execution_that_cannot_be_booked_is_told_once() -> None:
    with bench() as b:
        bad = rec.fill(0, "t1", "")
        for _ in range(3):
            b.watch.take(bad)
        assert len(b.told(r.Filled)) == 1
        assert b.state.ledger.positions == {}


def test_an_execution_of_an_unknown_order_with_our_prefix_stops_as_a_stranger_and_moves_the_position() -> None:
    with bench() as b:
        for _ in range(2):
            b.watch.take(rec.fill(4, "t1", own_id(9)))
        assert b.latches() == [Cause.OWN_PREFIX_UNKNOWN.value]
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 4


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["", "web-1"])
def test_an_execution_that_is_not_ours_moves_the_position_and_is_flagged(name: str, shared: bool) -> None:
    with bench(shared=shared) as b:
        for _ in range(2):
            b.watch.take(rec.fill(4, "t1", name))
        assert [one.client_id for one in b.told(r.Filled)] == [""]
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 4


def test_a_reversal_is_taken_once_also_before_its_execution() -> None:
    with bench() as b:
        a = b.place(1)
        for event in (rec.reversal("t1"), rec.reversal("t1"), rec.fill(4, "t1", a), rec.fill(4, "t1", a)):
            b.watch.take(event)
        assert len(b.told(r.FillReversed)) == 1
        assert len(b.told(r.Filled)) == 1
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 0
        assert Cause.REVERSAL.value in b.latches()


def test_a_ledger_event_is_entered_once_and_told_again_with_other_content_stops() -> None:
    with bench() as b:
        event = rec.event(K.FUNDING, "-1", "e1")
        for _ in range(3):
            b.watch.take(event)
        assert len(b.told(r.LedgerEvent)) == 1
        assert b.latches() == []
        for _ in range(3):
            b.watch.take(msgspec.structs.replace(event, amount=Decimal(-2)))
        assert len(b.told(r.LedgerEvent)) == 2
        assert b.latches() == [Cause.UNEXPLAINED.value]


@pytest.mark.parametrize("event", [rec.fill(1, account="second"), rec.fill(1, venue="upbit"), rec.event(K.FEE, "1")])
def test_an_event_of_another_account_is_a_defect(event: StreamEvent) -> None:
    with bench(venue=VENUE if not isinstance(event, r.LedgerEvent) else "upbit") as b:
        with pytest.raises(ValueError, match="expected"):
            b.watch.take(event)
        assert b.records == 0


# Catching up


def test_catching_up_takes_everything_that_was_missed_and_reads_on_from_there() -> None:
    with bench() as b:
        a, c, d, lost = b.open(1), b.open(2), b.open(3), b.lose(4)
        b.venue.fill(4, "t1", a)
        b.venue.show(a, S.PARTIAL, filled=4)
        b.venue.show(c, S.CANCELLED)
        b.venue.enter(K.FUNDING, "-1", "e1")
        b.run(b.watch.catch_up(b.venue))
        assert [b.order_state(name) for name in (a, c, d, lost)] == [S.PARTIAL, S.CANCELLED, S.OPEN, S.UNKNOWN]
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 4
        assert b.venue.asked == ["executions", "ledger", "open_orders", "order", "order"]
        assert b.watch.executions_until_venue_ns > 0
        assert b.watch.ledger_until_venue_ns > 0
        before = b.records
        b.run(b.watch.catch_up(b.venue))
        assert b.records == before
        b.venue.fill(1, "t2", a)
        b.run(b.watch.catch_up(b.venue))
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 5


def test_an_order_that_ended_meanwhile_is_not_asked_for() -> None:
    with bench() as b:
        a = b.open(1)
        b.venue.show(a, S.CANCELLED)
        b.venue.meanwhile = lambda read: b.watch.take(shown(a, S.CANCELLED)) if read == "open_orders" else None
        b.run(b.watch.catch_up(b.venue))
        assert "order" not in b.venue.asked
        with bench() as control:
            control.venue.show(control.open(1), S.CANCELLED)
            control.run(control.watch.catch_up(control.venue))
            assert "order" in control.venue.asked


@pytest.mark.parametrize("read", ["executions", "ledger", "open_orders", "order"])
def test_a_failed_read_is_passed_on_and_nothing_is_lost_by_it(read: str) -> None:
    with bench() as b:
        a, c = b.open(1), b.open(2)
        b.venue.fill(10, "t1", a)
        b.venue.enter(K.FUNDING, "-1", "e1")
        b.venue.show(a, S.FILLED, filled=10)
        b.venue.show(c, S.CANCELLED)
        b.venue.failures[read] = [ReadFailed("not now")]
        with pytest.raises(ReadFailed):
            b.run(b.watch.catch_up(b.venue))
        b.run(b.watch.catch_up(b.venue))
        assert [b.order_state(name) for name in (a, c)] == [S.FILLED, S.CANCELLED]
        assert len(b.state.ledger.fills) == 1
        assert len(b.state.ledger.events) == 1


def test_what_was_unreadable_is_read_again() -> None:
    with bench() as b:
        a = b.open(1)
        b.venue.fill(1, "t1", a)
        b.venue.fill(2, "t2", a)
        b.venue.enter(K.FUNDING, "-1", "e1")
        b.venue.unreadable = {"executions": 1, "ledger": 1}
        b.run(b.watch.catch_up(b.venue))
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 1
        assert b.watch.executions_until_venue_ns == b.watch.ledger_until_venue_ns == 0
        b.run(b.watch.catch_up(b.venue))
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 3
        assert len(b.state.ledger.events) == 1
        assert b.watch.executions_until_venue_ns > 0


def test_an_execution_that_was_taken_back_is_read_so() -> None:
    with bench() as b:
        b.venue.reverse(b.venue.fill(4, "t1", b.open(1)))
        for _ in range(2):
            b.run(b.another_watch().catch_up(b.venue))
        assert len(b.told(r.FillReversed)) == 1
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 0


@pytest.mark.parametrize("turns", range(1, 8))
def test_catching_up_may_be_cancelled_anywhere(turns: int) -> None:
    with bench() as b:
        a, c = b.open(1), b.open(2)
        b.venue.fill(10, "t1", a)
        b.venue.show(a, S.FILLED, filled=10)
        b.venue.show(c, S.CANCELLED)
        b.venue.enter(K.FUNDING, "-1", "e1")
        b.run_cancelled(b.watch.catch_up(b.venue), turns)
        b.run(b.watch.catch_up(b.venue))
        assert (b.order_state(a), b.order_state(c)) == (S.FILLED, S.CANCELLED)
        assert (len(b.told(r.Filled)), len(b.told(r.LedgerEvent))) == (1, 1)
        assert b.state.orders.violations == []


def test_of_the_history_only_our_own_orders_are_news() -> None:
    with bench() as b:
        a = b.lose(1)
        b.venue.show(a, S.CANCELLED)
        b.venue.show("web-1", S.CANCELLED)
        b.venue.show(own_id(77), S.CANCELLED)
        ended = b.run(b.venue.history())
        assert b.watch.take_history(ended) == {a, "web-1", own_id(77)}
        assert b.order_state(a) is S.CANCELLED
        assert b.told(r.Foreign) == []


# The account's past


def test_what_an_account_did_before_the_journal_began_is_its_opening() -> None:
    with bench() as b:
        old = b.venue.fill(7, "t1", "web-1")
        b.venue.reverse(b.venue.fill(1, "t2", "web-1"))
        b.venue.enter(K.DEPOSIT, "1000", "e1")
        b.run(b.watch.begin(b.venue))
        b.run(b.watch.catch_up(b.venue))
        assert b.records == 0
        assert holds_nothing(b.state.ledger, VENUE, ACCOUNT)
        # The stream tells what happens now, and so does the next read.
        b.wait(1)
        b.venue.fill(1, "t3", "web-1")
        b.run(b.watch.catch_up(b.venue))
        assert len(b.told(r.Filled)) == 1
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]
        # The control: without a beginning it is all news.
        with bench() as control:
            control.watch.take(old)
            assert control.latches() == [Cause.FOREIGN_ACTIVITY.value]


def test_the_past_stays_the_past_in_later_process_lives() -> None:
    with bench() as b:
        b.venue.fill(7, "t1", "web-1")
        b.venue.reverse(b.venue.fill(1, "t2", "web-1"))
        b.venue.enter(K.DEPOSIT, "1000", "e1")
        b.run(b.watch.begin(b.venue))
        b.wait(1)
        b.journal(
            rec.event(K.ADJUST, "1000", "opening.n.balance.USDT", actor="ann", nonce="n", venue_ns=b.venue.now_ns),
        )
        assert opened_at(b.state.ledger, VENUE, ACCOUNT) == b.venue.now_ns
        b.wait(1)
        ours = b.open(1)
        b.watch.take(b.venue.fill(2, "t3", ours))
        b.venue.enter(K.FUNDING, "-1", "e2")
        later = b.another_watch()
        b.run(later.begin(b.venue))  # the journal holds the account: nothing happens
        b.run(later.catch_up(b.venue))
        b.run(later.catch_up(b.venue))
        assert b.latches() == []
        assert list(b.state.ledger.fills) == [(VENUE, ACCOUNT, SYMBOL, "t3")]
        assert len(b.state.ledger.events) == 2
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 2


def test_executions_of_ours_that_the_journal_does_not_know_are_no_past() -> None:
    with bench() as b:
        b.venue.fill(7, "t1", own_id(3))
        b.run(b.watch.begin(b.venue))
        assert b.latches() == [Cause.OWN_PREFIX_UNKNOWN.value]


def test_a_past_that_cannot_be_read_is_not_taken_over() -> None:
    for read in ("executions", "ledger"):
        with bench() as b:
            b.venue.fill(7, "t1", "web-1")
            b.venue.enter(K.DEPOSIT, "1000", "e1")
            b.venue.unreadable[read] = 1
            with pytest.raises(ReadFailed):
                b.run(b.watch.begin(b.venue))
            assert b.records == 0
            b.run(b.watch.begin(b.venue))
            b.run(b.watch.catch_up(b.venue))
            assert b.records == 0


def test_what_is_forgotten_is_not_taken_for_news_when_a_later_life_reads_from_the_beginning() -> None:
    with bench() as b:
        a = b.open(1)
        b.venue.fill(10, "t1", a)
        b.venue.show(a, S.FILLED, filled=10)
        b.venue.enter(K.FUNDING, "-1", "e1")
        b.run(b.watch.catch_up(b.venue))
        assert b.order_state(a) is S.FILLED
        for _ in range(3):  # a day and more, in which other things are recorded
            b.wait(20 * 3_600 * 1_000_000_000)
            b.journal(r.Tick(boot_ns=b.boot_ns, wall_ns=b.venue.now_ns))
        assert a not in b.state.orders.by_id
        assert b.state.ledger.fills == {}
        assert b.state.ledger.events == {}
        before = b.records
        b.run(b.another_watch().catch_up(b.venue))
        assert b.records == before
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 10
        # The control: told by the stream, the same is nothing that may be passed over.
        b.watch.take(rec.fill(10, "t1", a, venue_ns=b.venue.now_ns - 60 * 3_600 * 1_000_000_000))
        assert b.latches() != []


# Whatever the order


OWN = own_id(1)
SELL = own_id(2)
FILLS = (rec.fill(3, "t1", OWN, venue_ns=11), rec.fill(7, "t2", OWN, venue_ns=12), rec.fill(2, "t3", SELL, Side.SELL, venue_ns=13))
EVENTS: tuple[StreamEvent, ...] = (
    *FILLS,
    rec.event(K.FUNDING, "-0.5", "e1"),
    shown(OWN, venue_ns=10),
    shown(OWN, S.PARTIAL, filled=3, venue_ns=11),
    shown(OWN, S.FILLED, filled=10, venue_ns=12),
    shown(SELL, S.PARTIAL, filled=2, venue_ns=13),
    shown(SELL, S.CANCELLED, filled=2, venue_ns=14),
)


def placed(b: Bench) -> AccountWatch:
    b.place(1)
    b.place(2, side=Side.SELL)
    return b.watch


@settings(max_examples=80, deadline=None)
@given(st.permutations(list(EVENTS) * 2))
def test_any_interleaving_with_duplicates_gives_the_same_positions_and_a_bounded_journal(events: list[StreamEvent]) -> None:
    with bench() as b:
        watch = placed(b)
        before = b.records
        for event in events:
            watch.take(event)
        assert b.state.orders.violations == []
        assert b.latches() == []
        assert (b.order_state(OWN), b.order_state(SELL)) == (S.FILLED, S.CANCELLED)
        position = b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL]
        assert (position.lots, position.cash) == (8, -800)
        assert b.state.orders.worst == {}
        assert b.state.ledger.duplicates == 0
        assert b.records - before <= len(EVENTS)
        after = b.records
        for event in events:
            watch.take(event)
        assert b.records == after


@settings(max_examples=40, deadline=None)
@given(st.permutations(list(EVENTS)), st.integers(0, len(EVENTS)), st.integers(0, 3))
def test_a_stream_with_a_gap_and_what_is_read_after_it_give_the_same_positions(events: list[StreamEvent], cut: int, reads: int) -> None:
    with bench() as b:
        watch = placed(b)
        for fill in FILLS:
            b.venue.fill(fill.lots, fill.trade_id, fill.client_id, fill.side, venue_ns=fill.venue_ns)
        b.venue.enter(K.FUNDING, "-0.5", "e1", venue_ns=10)
        b.venue.show(OWN, S.FILLED, filled=10)
        b.venue.show(SELL, S.CANCELLED, filled=2)
        told = itertools.cycle(events[:cut] or [EVENTS[0]])
        b.venue.meanwhile = lambda _read: watch.take(next(told))
        for _ in range(reads + 1):
            b.run(watch.catch_up(b.venue))
        assert b.state.orders.violations == []
        assert b.state.ledger.positions[VENUE, ACCOUNT, SYMBOL].lots == 8
        assert b.state.ledger.duplicates == 0
