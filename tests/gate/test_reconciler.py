"""Rounds of reconciliation: only what stood still is compared, what nobody can explain stops, and calm is not told again and again."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.gate import order_records as rec
from tests.gate.venue_account import ACCOUNT, SECOND, SYMBOL, TAG, VENUE, Bench, bench, own_id, shown

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.absence import Aftermath
from interlock.gate.journal import JournalFailed
from interlock.gate.profit import Worth
from interlock.gate.reconcile import Managed, compare
from interlock.gate.reconciler import MOST_TOLD, UNREADABLE, Reconciler, opening
from interlock.gate.venue_reads import ReadFailed
from interlock.gate.verbs import Cause

S, K = OrderState, r.LedgerKind
PERPETUAL = Worth(currency="USDT", tick_lot=Decimal("0.01"), base="BTC", lot=Decimal("0.1"), spot=False)
SPOT = Worth(currency="USDT", tick_lot=Decimal("0.01"), base="ETH", lot=Decimal("0.1"), spot=True)
DOGE = Worth(currency="USDT", tick_lot=Decimal("0.001"), base="DOGE", lot=Decimal("0.1"), spot=False)
MANAGED = Managed(tags=(TAG,), worths={(VENUE, SYMBOL): PERPETUAL, (VENUE, "ETHUSDT"): SPOT})
SHARED = Managed(tags=(TAG,), worths=MANAGED.worths, unmanaged=frozenset({"DOGE"}), foreign={(VENUE, "DOGEUSDT"): DOGE})


def reconciler(b: Bench, managed: Managed = MANAGED, **more: Any) -> Reconciler:
    return Reconciler(b.keeper, b.watch, b.venue, managed, b.now, **more)


def verdict(b: Bench, of: Reconciler) -> r.Reconciled:
    found = b.run(of.round())
    assert found is not None
    return found


def kinds(found: r.Reconciled) -> list[str]:
    return [kind for kind, _ in found.differences]


# The cut


def test_an_account_that_agrees_is_explained() -> None:
    with bench() as b:
        a = b.open(1)
        b.venue.fill(4, "t1", a)
        b.venue.show(a, S.PARTIAL, filled=4)
        b.venue.enter(K.DEPOSIT, "1000", "e1")
        found = verdict(b, reconciler(b))
        assert (found.explained, found.differences) == (True, ())
        assert b.told(r.Reconciled) == [found]
        (snapshot,) = b.told(r.Snapshot)
        assert (snapshot.cursor_before, snapshot.cursor_after) == ("1", "1")
        assert snapshot.positions == ((SYMBOL, 4),)
        assert snapshot.balances == (("USDT", Decimal(1000)),)
        assert snapshot.open_orders == ((a, f"v{a}", SYMBOL, 6),)
        assert (VENUE, ACCOUNT) in b.state.lattice.reconciled
        assert b.latches() == []


def test_an_empty_account_has_cursors_that_were_read() -> None:
    with bench() as b:
        assert verdict(b, reconciler(b)).explained
        (snapshot,) = b.told(r.Snapshot)
        assert snapshot.cursor_before == snapshot.cursor_after != ""


Disturb = Callable[[Bench, int], None]


def an_execution(b: Bench, number: int) -> None:
    b.venue.fill(1, f"t{number}", own_id(1))
    b.venue.show(own_id(1), S.PARTIAL, filled=number + 1, lots=100)


def an_execution_on_the_stream(b: Bench, number: int) -> None:
    b.watch.take(b.venue.fill(1, f"t{number}", own_id(1)))
    b.venue.show(own_id(1), S.PARTIAL, filled=number + 1, lots=100)


def a_ledger_event(b: Bench, number: int) -> None:
    b.venue.enter(K.FUNDING, "1", f"e{number}")


DISTURBANCES: tuple[Disturb, ...] = (an_execution, an_execution_on_the_stream, a_ledger_event)


def during(b: Bench, read: str, disturb: Disturb, times: int) -> None:
    """Let something happen while each of the next so many of a read are under way."""
    left = iter(range(times))

    def happen(name: str) -> None:
        if name == read and (number := next(left, None)) is not None:
            disturb(b, number)

    b.venue.meanwhile = happen


@pytest.mark.parametrize("disturb", DISTURBANCES)
@pytest.mark.parametrize("read", ["holdings", "open_orders"])
def test_what_moves_while_it_is_read_is_read_again(read: str, disturb: Disturb) -> None:
    with bench() as b:
        b.open(1, lots=100)
        during(b, read, disturb, 2)
        found = verdict(b, reconciler(b))
        assert (found.explained, found.differences) == (True, ())
        assert b.venue.asked.count("holdings") == 3
        assert len(b.told(r.Snapshot)) == 1
        assert b.latches() == []


@pytest.mark.parametrize("disturb", DISTURBANCES)
def test_an_account_that_never_stands_still_is_brought_to_rest(disturb: Disturb) -> None:
    with bench() as b:
        b.open(1, lots=100)
        during(b, "holdings", disturb, 10)
        of = reconciler(b)
        assert b.run(of.round()) is None
        assert b.venue.asked.count("holdings") == 5
        (latch,) = b.told(r.LatchSet)
        assert (latch.name, latch.level, latch.scope, latch.subject) == (
            Cause.NO_CONSISTENT_CUT.value,
            r.Level.CANCEL_ONLY,
            r.Scope.ACCOUNT,
            f"{VENUE}/{ACCOUNT}",
        )
        assert b.told(r.Snapshot) == []
        assert b.run(of.round()) is None
        assert len(b.told(r.LatchSet)) == 1
        # It comes to rest, and is read.
        assert verdict(b, of).explained


def test_a_list_that_ends_before_the_snapshot_does_not_vouch_for_it() -> None:
    with bench() as b:
        b.venue.meanwhile = lambda read: setattr(b.venue, "now_ns", b.venue.now_ns - 5_000) if read == "ledger" else None
        assert b.run(reconciler(b).round()) is None
        assert b.latches() == [Cause.NO_CONSISTENT_CUT.value]
        b.venue.meanwhile = lambda _read: None
        assert verdict(b, reconciler(b)).explained


@pytest.mark.parametrize("read", ["executions", "ledger", "holdings", "open_orders", "order"])
def test_a_failed_read_is_passed_on_and_judges_nothing(read: str) -> None:
    with bench() as b:
        b.venue.show(b.open(1), S.CANCELLED)
        b.venue.failures[read] = [ReadFailed("not now")]
        of = reconciler(b)
        with pytest.raises(ReadFailed):
            b.run(of.round())
        assert b.told(r.Reconciled) == []
        assert verdict(b, of).explained


@pytest.mark.parametrize("read", ["executions", "ledger"])
def test_what_is_unreadable_for_a_moment_is_read_again_and_for_good_is_not_explained(read: str) -> None:
    with bench() as b:
        b.venue.fill(1, "t1", b.open(1))
        b.venue.show(own_id(1), S.PARTIAL, filled=1)
        b.venue.enter(K.FUNDING, "1", "e1")
        b.venue.unreadable[read] = 2
        assert verdict(b, reconciler(b)).explained
        assert b.latches() == []
    with bench() as b:
        b.venue.enter(K.FUNDING, "0", "e0")
        b.venue.fill(1, "t0", b.open(1))
        b.venue.show(own_id(1), S.PARTIAL, filled=1)
        of = reconciler(b)
        assert verdict(b, of).explained
        b.venue.unreadable[read] = 99
        found = verdict(b, of)
        assert not found.explained
        assert UNREADABLE in kinds(found)
        assert b.latches() == [Cause.UNEXPLAINED.value]
        assert of.aftermath is None


# What is found


def test_a_position_that_nothing_explains_stops_once_and_is_recorded_each_time() -> None:
    with bench() as b:
        b.venue.positions[SYMBOL] = 3
        of = reconciler(b)
        for _ in range(3):
            found = verdict(b, of)
            assert (found.explained, kinds(found)) == (False, ["position"])
        assert len(b.told(r.Reconciled)) == 3
        (latch,) = b.told(r.LatchSet)
        assert (latch.name, latch.level, latch.scope, latch.subject) == (
            Cause.UNEXPLAINED.value,
            r.Level.HALT,
            r.Scope.ACCOUNT,
            f"{VENUE}/{ACCOUNT}",
        )
        assert list(latch.evidence.values()) == [what for _, what in found.differences]
        assert (VENUE, ACCOUNT) in b.state.lattice.unexplained
        # A person clears it, and it is still so.
        b.journal(
            r.LatchCleared(
                boot_ns=1,
                name=latch.name,
                scope=latch.scope,
                subject=latch.subject,
                actor="ann",
                nonce="1" * 32,
                state_version=b.state.lattice.version,
            )
        )
        assert b.latches() == []
        verdict(b, of)
        assert b.latches() == [Cause.UNEXPLAINED.value]


def test_orders_that_are_not_ours_are_told_as_foreign_and_are_not_explained() -> None:
    with bench() as b:
        b.venue.show("web-1")
        b.venue.show(own_id(9))
        of = reconciler(b)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (False, ["foreign_order", "own_unknown"])
        assert [one.own_prefix for one in b.told(r.Foreign)] == [False, True]
        verdict(b, of)
        assert len(b.told(r.Foreign)) == 2


def test_on_a_shared_account_what_is_a_persons_own_stays_explained() -> None:
    with bench(shared=True) as b:
        b.venue.show("web-1", symbol="DOGEUSDT")
        b.venue.balances["DOGE"] = Decimal(7)
        of = reconciler(b, SHARED)
        for _ in range(3):
            found = verdict(b, of)
            assert (found.explained, kinds(found)) == (True, ["foreign_order", "balance"])
            assert of.aftermath is not None
            b.wait(3_600 * SECOND)
        assert b.latches() == []


def test_an_order_that_ended_without_word_is_asked_for_before_it_is_missed() -> None:
    with bench() as b:
        a = b.open(1)
        b.venue.show(a, S.CANCELLED)
        assert verdict(b, reconciler(b)).explained
        assert b.order_state(a) is S.CANCELLED
        # One of which the venue says nothing at all is missing.
        c = b.place(2)
        b.journal(rec.answer(S.OPEN, c))
        of = reconciler(b)
        verdict(b, of)
        b.wait(4 * SECOND)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (False, ["order_missing"])


def test_an_order_that_changes_while_the_lists_are_read_is_not_missed_yet() -> None:
    with bench() as b:
        of = reconciler(b)
        verdict(b, of)
        placed: list[str] = []

        def answer_meanwhile(read: str) -> None:
            if read == "ledger" and "open_orders" in b.venue.asked[-3:] and not placed:
                placed.append(b.place(1))
                b.journal(rec.answer(S.OPEN, placed[0]))

        b.venue.meanwhile = answer_meanwhile
        b.venue.asked.clear()
        found = verdict(b, of)
        assert placed
        assert (found.explained, kinds(found)) == (True, ["order_missing"])
        # It is still not there when the lists have had time to show it.
        b.wait(4 * SECOND)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (False, ["order_missing"])


def test_an_order_that_an_earlier_life_left_is_missed_at_once() -> None:
    with bench() as b:
        a = b.place(1)
        b.journal(rec.answer(S.OPEN, a), rec.boot(boot_ns=b.boot_ns))
        found = verdict(b, reconciler(b))
        assert (found.explained, kinds(found)) == (False, ["order_missing"])


def test_a_list_that_lags_behind_a_fill_is_given_a_moment() -> None:
    with bench() as b:
        a = b.open(1)
        of = reconciler(b)
        b.wait(4 * SECOND)
        assert verdict(b, of).differences == ()
        b.venue.lag_ns["open_orders"] = SECOND
        b.venue.fill(4, "t1", a)
        b.venue.show(a, S.PARTIAL, filled=4)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (True, ["order_size"])
        b.wait(4 * SECOND)
        assert verdict(b, of).differences == ()
        # The same difference without a change of the order is none of timing.
        b.venue.lag_ns["open_orders"] = 0
        b.venue.show(a, S.PARTIAL, filled=1)
        b.wait(4 * SECOND)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (False, ["order_size"])


def test_an_order_that_ends_while_the_lists_are_read_is_not_too_large() -> None:
    with bench() as b:
        a = b.open(1)
        of = reconciler(b)
        verdict(b, of)
        b.wait(4 * SECOND)
        report = shown(a, S.CANCELLED, venue_ns=b.venue.now_ns)
        b.venue.meanwhile = lambda read: b.watch.take(report) if read == "ledger" and b.venue.asked.count("open_orders") > 1 else None
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (True, ["order_size"])
        # It stays on the list: the venue contradicts itself, and the order lives again.
        b.venue.meanwhile = lambda _read: None
        b.wait(4 * SECOND)
        b.venue.show(a)
        b.run(of.round())
        assert Cause.UNEXPLAINED.value in b.latches()


# Patience


def lost_and_filled(b: Bench) -> None:
    """An order without an answer whose execution only the position shows."""
    b.lose(1)
    b.venue.positions[SYMBOL] = 10


def test_what_is_under_way_explains_for_a_moment_and_no_longer() -> None:
    with bench() as b:
        lost_and_filled(b)
        of = reconciler(b)
        for _ in range(4):
            assert verdict(b, of).explained
            assert of.aftermath is None  # the position is explained by the very order that is not known
            b.wait(10 * SECOND)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (False, ["position"])
        assert b.latches() == [Cause.UNEXPLAINED.value]
        # The execution comes, and all is well.
        b.watch.take(rec.fill(10, "t1", own_id(1), venue_ns=b.venue.now_ns))
        assert verdict(b, of).explained


def test_patience_begins_anew_when_a_cut_finds_nothing() -> None:
    with bench() as b:
        lost_and_filled(b)
        of = reconciler(b)
        verdict(b, of)
        b.wait(29 * SECOND)
        b.venue.positions[SYMBOL] = 0
        assert verdict(b, of).differences == ()
        b.venue.positions[SYMBOL] = 10
        b.wait(29 * SECOND)
        assert verdict(b, of).explained
        b.wait(30 * SECOND)
        assert verdict(b, of).explained
        b.wait(1)
        assert not verdict(b, of).explained


def test_executions_that_were_reported_and_never_come_run_out_of_patience() -> None:
    with bench() as b:
        a = b.open(1)
        b.watch.take(shown(a, S.FILLED, filled=10, venue_ns=b.venue.now_ns))
        b.venue.show(a, S.FILLED, filled=10)
        b.venue.positions[SYMBOL] = 10
        of = reconciler(b)
        found = verdict(b, of)
        assert (found.explained, kinds(found)) == (True, ["fill_missing", "position"])
        b.wait(31 * SECOND)
        assert not verdict(b, of).explained


def test_what_an_order_of_executions_makes_of_a_balance_is_explained_for_as_long_as_it_stands() -> None:
    """Sold at 101 and 103 after a purchase at 100: which of the two closed it, and at which a new position begins, the venue alone knows."""
    with bench() as b:
        for number, (side, ticks) in enumerate([(Side.BUY, 100), (Side.SELL, 101), (Side.SELL, 103)], start=1):
            a = b.open(number, side=side)
            b.watch.take(rec.fill(10, f"t{number}", a, side, ticks, venue_ns=b.venue.now_ns))
            b.watch.take(shown(a, S.FILLED, filled=10, venue_ns=b.venue.now_ns))
            b.venue.show(a, S.FILLED, filled=10)
        of = reconciler(b)
        b.venue.positions[SYMBOL], b.venue.entries[SYMBOL] = -10, Decimal("10.3")
        b.venue.balances["USDT"] = Decimal("0.1")
        assert verdict(b, of).differences == ()
        b.venue.entries[SYMBOL], b.venue.balances["USDT"] = Decimal("10.1"), Decimal("0.3")
        for _ in range(4):
            found = verdict(b, of)
            assert (found.explained, kinds(found)) == (True, ["balance"])
            assert of.aftermath is not None
            b.wait(60 * SECOND)
        b.venue.balances["USDT"] = Decimal("0.2")
        assert not verdict(b, of).explained


# What is recorded


def test_calm_is_told_once_a_minute_and_every_change_at_once() -> None:
    with bench() as b:
        a = b.open(1)
        of = reconciler(b)
        for _ in range(5):
            verdict(b, of)
            b.wait(10 * SECOND)
        assert len(b.told(r.Reconciled)) == len(b.told(r.Snapshot)) == 1
        b.wait(10 * SECOND)
        verdict(b, of)
        assert len(b.told(r.Reconciled)) == 2
        b.venue.fill(1, "t1", a)
        b.venue.show(a, S.PARTIAL, filled=1)
        verdict(b, of)
        assert len(b.told(r.Reconciled)) == 3
        # A new process life has not reconciled, whatever was told in the last one.
        b.journal(rec.boot(boot_ns=b.boot_ns))
        verdict(b, of)
        assert len(b.told(r.Reconciled)) == 4
        assert (VENUE, ACCOUNT) in b.state.lattice.reconciled


def test_a_verdict_has_bounded_words() -> None:
    with bench() as b:
        for number in range(MOST_TOLD + 5):
            b.venue.balances[f"X{number}"] = Decimal(1)
        found = verdict(b, reconciler(b))
        assert len(found.differences) == MOST_TOLD + 1
        assert found.differences[-1] == ("more", "5 more differences")
        (latch,) = b.told(r.LatchSet)
        assert len(latch.evidence) == MOST_TOLD + 1


def test_an_explained_verdict_that_no_journal_takes_is_none() -> None:
    with bench() as b:
        b.keeper.journal.close()
        of = reconciler(b)
        with pytest.raises(JournalFailed):
            b.run(of.round())
        assert of.aftermath is None
        assert (VENUE, ACCOUNT) not in b.state.lattice.reconciled
        b.venue.positions[SYMBOL] = 1
        assert not verdict(b, of).explained
        assert Cause.UNEXPLAINED.value in b.latches()


def test_what_was_found_the_same_is_evidence_until_something_is_not_explained() -> None:
    with bench() as b:
        b.venue.fill(4, "t1", b.open(1))
        b.venue.show(own_id(1), S.PARTIAL, filled=4)
        of = reconciler(b)
        assert of.aftermath is None
        verdict(b, of)
        assert of.snapshot is not None
        first = Aftermath(of.snapshot.venue_ns, True)
        assert of.aftermath == first
        # Explained by what is under way, which proves nothing new and takes nothing back.
        b.lose(2)
        b.venue.positions[SYMBOL] = 9
        assert verdict(b, of).explained
        assert of.aftermath == first
        b.venue.positions[SYMBOL] = -1
        assert not verdict(b, of).explained
        assert of.aftermath is None


@pytest.mark.parametrize("turns", range(1, 12))
def test_a_round_may_be_cancelled_anywhere(turns: int) -> None:
    with bench() as b:
        b.venue.fill(4, "t1", b.open(1))
        b.venue.show(own_id(1), S.PARTIAL, filled=4)
        b.venue.show(b.open(2), S.CANCELLED)
        of = reconciler(b)
        b.run_cancelled(of.round(), turns)
        assert verdict(b, of).differences == ()
        assert len(b.told(r.Snapshot)) == len(b.told(r.Reconciled)) == 1
        assert b.latches() == []


# The opening


def test_a_first_cut_passes_no_verdict() -> None:
    with bench() as b:
        b.venue.balances["USDT"] = Decimal(1000)
        of = reconciler(b)
        snapshot = b.run(of.first_cut())
        assert snapshot is not None
        assert b.records == 0
        found = opening(b.state.ledger, snapshot, MANAGED, entry_ticks={}, actor="ann", nonce="n", boot_ns=1)
        assert found is not None
        b.journal(*found)
        assert verdict(b, of).explained
        assert b.latches() == []
        # Without it the same is not explained.
        with bench() as control:
            control.venue.balances["USDT"] = Decimal(1000)
            assert not verdict(control, reconciler(control)).explained
            assert control.latches() == [Cause.UNEXPLAINED.value]


def test_a_first_cut_of_what_moves_or_cannot_be_read_is_none() -> None:
    with bench() as b:
        b.open(1, lots=100)
        during(b, "holdings", an_execution, 5)
        of = reconciler(b)
        assert b.run(of.first_cut()) is None
        b.venue.unreadable["executions"] = 99
        assert b.run(of.first_cut()) is None
        b.venue.unreadable.clear()
        assert b.run(of.first_cut()) is not None
        assert b.latches() == []


def test_an_account_is_taken_over_as_the_first_cut_found_it() -> None:
    with bench() as b:
        b.venue.balances |= {"USDT": Decimal("1000.5"), "ETH": Decimal(2), "NIL": Decimal(0)}
        b.venue.positions |= {SYMBOL: -3, "OTHER": 5, "FLAT": 0}
        b.venue.meanwhile = lambda _read: None
        of = reconciler(b)
        assert not verdict(b, of).explained
        assert of.snapshot is not None
        prices = {SYMBOL: 100, "OTHER": 7}
        found = opening(b.state.ledger, of.snapshot, MANAGED, entry_ticks=prices, actor="ann", nonce="n1", boot_ns=b.boot_ns)
        assert found is not None
        assert {(one.actor, one.nonce, one.kind, one.venue_ns) for one in found} == {("ann", "n1", K.ADJUST, of.snapshot.venue_ns)}
        assert len({one.venue_id for one in found}) == len(found) == 4
        b.journal(*found)
        assert compare(b.state.orders, b.state.ledger, of.snapshot, MANAGED) == []
        assert verdict(b, of).differences == ()
        assert b.state.ledger.flags == {}
        # It is taken over once.
        again = opening(b.state.ledger, of.snapshot, MANAGED, entry_ticks=prices, actor="ann", nonce="n2", boot_ns=b.boot_ns)
        assert again is None


@pytest.mark.parametrize("record", [rec.fill(1, client_id=""), rec.event(K.FUNDING, "1")])
def test_an_account_of_which_anything_is_known_is_not_taken_over(record: r.Record) -> None:
    with bench() as b:
        of = reconciler(b)
        verdict(b, of)
        assert of.snapshot is not None
        assert opening(b.state.ledger, of.snapshot, MANAGED, entry_ticks={}, actor="ann", nonce="n", boot_ns=1) == ()
        b.journal(record)
        assert opening(b.state.ledger, of.snapshot, MANAGED, entry_ticks={}, actor="ann", nonce="n", boot_ns=1) is None


@pytest.mark.parametrize(("actor", "nonce", "ticks"), [("", "n", 100), ("ann", "", 100), ("ann", "n", 0), ("ann", "n", -1)])
def test_an_opening_without_a_signature_or_a_price_is_refused(actor: str, nonce: str, ticks: int) -> None:
    with bench() as b:
        b.venue.positions[SYMBOL] = 3
        of = reconciler(b)
        verdict(b, of)
        assert of.snapshot is not None
        with pytest.raises(ValueError, match="expected"):
            opening(b.state.ledger, of.snapshot, MANAGED, entry_ticks={SYMBOL: ticks}, actor=actor, nonce=nonce, boot_ns=1)


def test_a_persons_own_currency_on_a_shared_account_and_what_is_held_of_spot_are_not_adopted_twice() -> None:
    with bench(shared=True) as b:
        b.venue.balances |= {"DOGE": Decimal(7), "ETH": Decimal(2)}
        b.venue.positions["ETHUSDT"] = 20
        of = reconciler(b, SHARED)
        verdict(b, of)
        assert of.snapshot is not None
        found = opening(b.state.ledger, of.snapshot, SHARED, entry_ticks={}, actor="ann", nonce="n", boot_ns=1)
        assert found is not None
        assert [(one.currency, one.amount) for one in found] == [("ETH", Decimal(2))]


def test_an_immediate_order_whose_end_is_under_way_is_explained_for_a_moment() -> None:
    with bench() as b:
        a = b.place(1, tif=TimeInForce.IOC, side=Side.SELL)
        b.journal(rec.answer(S.OPEN, a))
        of = reconciler(b)
        assert verdict(b, of).explained
        for _ in range(2):
            b.wait(20 * SECOND)
            assert verdict(b, of).explained
        b.wait(20 * SECOND)
        assert not verdict(b, of).explained
