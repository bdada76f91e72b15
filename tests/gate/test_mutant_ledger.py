"""The ledger at its edges: what is a result and what is announced, names of events, counts of flags, and exactly what is forgotten."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from tests.gate.order_records import ACCOUNT, SYMBOL, VENUE, boot, event, fill, reversal

from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.gate.ledger import (
    EXTERNAL,
    FLAGS_KEPT,
    TRANSFERS,
    Day,
    Flag,
    Forgotten,
    Ledger,
    apply,
    cash,
    changes_after,
    events_after_venue_ns,
    position_lots,
    read_after_venue_ns,
    unexpected_transfers,
)
from interlock.gate.profit import Results, results
from interlock.gate.retention import LEAST_NS, RETAIN_NS

K = r.LedgerKind
MARKET = (VENUE, ACCOUNT, SYMBOL)
WHERE = (VENUE, ACCOUNT)
TOGETHER = 256
"""So many changes of positions are dropped at once."""


def book(*records: r.Record) -> Ledger:
    ledger = Ledger()
    for record in records:
        apply(ledger, record)
    return ledger


def tick(boot_ns: int) -> r.Tick:
    return r.Tick(boot_ns=boot_ns, wall_ns=0)


def at(boot_ns: int, record: r.Record) -> r.Record:
    return msgspec.structs.replace(record, boot_ns=boot_ns)


def elsewhere(record: r.LedgerEvent, account: str = "second") -> r.LedgerEvent:
    return msgspec.structs.replace(record, account=account)


def held(ledger: Ledger) -> tuple[int, int, Decimal | int, Decimal | int]:
    position = ledger.positions[MARKET]
    return (position.lots, position.cash, position.cost, position.realised)


def adjust(
    amount: str, nonce: str = "n", venue_id: str = "", actor: str = "me", venue_ns: int = 10, lots: int = 0, ticks: int = 0
) -> r.LedgerEvent:
    return event(K.ADJUST, amount, venue_id, symbol=SYMBOL, actor=actor, nonce=nonce, venue_ns=venue_ns, lots=lots, ticks=ticks)


def expect(amount: str = "500", until: int = 100, kind: r.LedgerKind = K.DEPOSIT) -> r.LedgerExpected:
    return r.LedgerExpected(
        boot_ns=1, kind=kind, venue=VENUE, account=ACCOUNT, currency="USDT", amount=Decimal(amount), until_wall_ns=until, actor="me"
    )


# Kinds


@pytest.mark.parametrize("kind", list(K))
def test_what_comes_from_outside_is_no_result_of_trading(kind: r.LedgerKind) -> None:
    outside = kind in {K.DEPOSIT, K.WITHDRAWAL, K.TRANSFER, K.AIRDROP, K.ADJUST, K.FOREIGN}
    ledger = book(adjust("5") if kind is K.ADJUST else event(kind, "5"))
    assert cash(ledger, VENUE, ACCOUNT) == {"USDT": Decimal(5)}
    assert results(ledger, {}, {}) == Results({} if outside else {"USDT": Decimal(5)}, {})
    assert (kind in EXTERNAL) is outside


@pytest.mark.parametrize("kind", list(K))
def test_which_flows_their_owner_announces(kind: r.LedgerKind) -> None:
    announced = kind in {K.DEPOSIT, K.WITHDRAWAL, K.TRANSFER}
    ledger = book(adjust("5") if kind is K.ADJUST else event(kind, "5"))
    assert unexpected_transfers(ledger) == ([(VENUE, ACCOUNT, str(kind), "e1")] if announced else [])
    assert (kind in TRANSFERS) is announced


# Names of events


@pytest.mark.parametrize(
    ("told", "booked"),
    [
        (adjust("5"), True),
        (adjust("5", venue_id="e"), True),
        (adjust("5", venue_id="e", nonce=""), False),
        (adjust("5", venue_id="e", actor=""), False),
        (adjust("5", nonce=""), False),
        # Only a person's adjustment goes by its nonce.
        (event(K.FUNDING, "5", "", actor="me", nonce="n"), False),
        (event(K.FUNDING, "5", "e", actor="me", nonce="n"), True),
        # Lots without a price would be a gift to the day's profit; a balance has none.
        (adjust("5", lots=1), False),
        (adjust("5", lots=1, ticks=1), True),
        (adjust("5", ticks=0), True),
    ],
)
def test_what_names_an_event_and_signs_an_adjustment(told: r.LedgerEvent, booked: bool) -> None:
    ledger = book(told, told)
    assert (len(ledger.events), ledger.duplicates) == ((1, 1) if booked else (0, 0))
    assert cash(ledger, VENUE, ACCOUNT) == ({"USDT": Decimal(5)} if booked else {})
    assert {flag for flag, _ in ledger.flags} == (set() if booked else {Flag.REFUSED})


def test_an_event_that_moves_nothing_held_and_names_no_price_costs_nothing() -> None:
    assert held(book(event(K.SETTLEMENT, "0", symbol=SYMBOL, lots=-3))) == (-3, 0, 0, 0)
    assert held(book(fill(4), event(K.SETTLEMENT, "0", symbol=SYMBOL, lots=-4), event(K.ADL, "0", symbol=SYMBOL, lots=2))) == (2, 0, 0, 0)


# Flags


def refused(name: str) -> r.Filled:
    return fill(0, name)


def test_a_flag_counts_how_often_and_the_newest_stands_last() -> None:
    ledger = book(refused("a"), refused("b"), refused("a"), refused("a"))
    assert list(ledger.flags.items()) == [((Flag.REFUSED, "b"), 1), ((Flag.REFUSED, "a"), 3)]


def test_a_thousand_flags_are_told_apart_and_a_new_one_counts_on_from_those_that_are_gone() -> None:
    assert FLAGS_KEPT == 1_000
    ledger = book(*[refused("first")] * 3, *(refused(f"t{number}") for number in range(999)))
    assert (len(ledger.flags), ledger.flags[Flag.REFUSED, "first"], ledger.flags_gone) == (1_000, 3, {})
    apply(ledger, refused("t999"))
    assert (len(ledger.flags), (Flag.REFUSED, "first") in ledger.flags, ledger.flags_gone) == (1_000, False, {Flag.REFUSED: 3})
    for name in ("new", "first", "newer"):
        apply(ledger, refused(name))
        assert ledger.flags[Flag.REFUSED, name] == 4
        assert ledger.flags_gone == {Flag.REFUSED: 3}
    # The control: another flag has lost none.
    apply(ledger, fill(1, "x", client_id=""))
    assert ledger.flags[Flag.FOREIGN_FILL, "x"] == 1


def test_a_kind_of_flag_whose_first_goes_begins_to_count_on_from_it() -> None:
    ledger = book(refused("first"), *(fill(1, f"t{number}", client_id="") for number in range(1_000)))
    assert ledger.flags_gone == {Flag.REFUSED: 1}
    apply(ledger, refused("second"))
    assert ledger.flags[Flag.REFUSED, "second"] == 2


# The day


def test_before_the_first_roll_there_is_no_day() -> None:
    assert Ledger().day == Day("", (), Decimal(0), Decimal(0))


# Notices


def test_one_transfer_uses_one_notice_of_two_that_are_alike() -> None:
    first, second, third = (event(K.DEPOSIT, "500", f"e{number}", venue_ns=10) for number in (1, 2, 3))
    assert unexpected_transfers(book(expect(), expect(), first, second)) == []
    assert unexpected_transfers(book(expect(), expect(), second, third, first)) == [(VENUE, ACCOUNT, "deposit", "e3")]
    assert unexpected_transfers(book(expect(), expect(), expect("1"), first)) == []


# Forgetting: executions


def test_executions_up_to_the_latest_that_was_forgotten_are_booked_no_more() -> None:
    """Forgotten in the order in which they came, which is not that of the venue's time."""
    start = (fill(1, "t1", venue_ns=30), fill(1, "t2", venue_ns=20), fill(1, "x", venue_ns=50, account="second"), reversal("t1"))
    ledger = book(*start, tick(RETAIN_NS + 1))
    assert (len(ledger.fills), len(ledger.reversals), ledger.fill_floors) == (3, 1, {})
    apply(ledger, tick(RETAIN_NS + 2))
    assert (ledger.fills, ledger.reversals) == ({}, {})
    assert ledger.fill_floors == {WHERE: 30, (VENUE, "second"): 50}
    for venue_ns, booked in ((29, False), (30, False), (31, True)):
        before = position_lots(ledger, *MARKET)
        apply(ledger, fill(1, f"late{venue_ns}", venue_ns=venue_ns))
        assert position_lots(ledger, *MARKET) - before == booked
        assert ((Flag.TOO_OLD, f"late{venue_ns}") in ledger.flags) is not booked
    assert (VENUE, ACCOUNT, SYMBOL, "late30") not in ledger.fills


def test_no_time_is_too_old_while_nothing_was_forgotten() -> None:
    for venue_ns in (0, -5):
        ledger = book(fill(1, venue_ns=venue_ns), event(K.FUNDING, "1", venue_ns=venue_ns))
        assert (len(ledger.fills), len(ledger.events), ledger.flags) == (1, 1, {})


def test_where_executions_are_read_from_when_a_cursor_is_lost() -> None:
    ledger = book(fill(1, "t1", venue_ns=30), tick(2 * RETAIN_NS))
    for floor, after in ((20, 30), (30, 30), (40, 40)):
        assert read_after_venue_ns(ledger, {WHERE: floor}, VENUE, ACCOUNT) == after
    assert read_after_venue_ns(ledger, {}, VENUE, ACCOUNT) == 30
    assert read_after_venue_ns(ledger, {WHERE: 20}, VENUE, "second") == 0
    assert read_after_venue_ns(Ledger(), {WHERE: 20}, VENUE, ACCOUNT) == 20
    assert read_after_venue_ns(Ledger(), {}, VENUE, ACCOUNT) == 0


# Forgetting: changes of positions


def changed(kept: int, forgotten: int) -> Ledger:
    """`forgotten` executions of one lot at the times 1, 2, ... that are forgotten, and `kept` later ones that are not."""
    old = (fill(1, f"t{number}", venue_ns=number) for number in range(1, forgotten + 1))
    new = (at(LEAST_NS, fill(1, f"t{number}", venue_ns=number)) for number in range(forgotten + 1, forgotten + kept + 1))
    return book(*old, *new, tick(RETAIN_NS + 2))


@pytest.mark.parametrize(
    ("kept", "forgotten", "dropped"), [(1, 255, 0), (2, 255, 0), (0, 256, 0), (1, 256, 256), (9, 256, 256), (0, 257, 256)]
)
def test_changes_are_dropped_many_together_when_all_of_them_are_forgotten(kept: int, forgotten: int, dropped: int) -> None:
    ledger = changed(kept, forgotten)
    assert len(ledger.fills) == kept
    every = kept + forgotten
    assert len(ledger.timeline[WHERE]) == every - dropped
    assert ledger.dropped == ({WHERE: TOGETHER} if dropped else {})
    assert changes_after(ledger, VENUE, ACCOUNT, dropped) == [(number, SYMBOL, 1, 100) for number in range(dropped + 1, every + 1)]
    assert position_lots(ledger, *MARKET) == every
    assert position_lots(ledger, *MARKET, dropped) == dropped
    if dropped:
        with pytest.raises(Forgotten, match=rf"changes of positions of {VENUE}/{ACCOUNT} after 255: expected a venue time from 256 on"):
            changes_after(ledger, VENUE, ACCOUNT, dropped - 1)
        assert changes_after(ledger, VENUE, "second", dropped - 1) == []


def test_what_was_dropped_once_stays_unanswerable_when_older_changes_come() -> None:
    """An event of an earlier time moves the position and is dropped with the next; the time from which may be asked does not go back."""
    ledger = changed(1, 256)
    early = (event(K.ADL, "0", f"e{number}", symbol=SYMBOL, lots=1, ticks=1, venue_ns=number) for number in range(1, 257))
    for record in early:
        apply(ledger, at(RETAIN_NS + 2, record))
    apply(ledger, tick(2 * RETAIN_NS + 3))
    assert ledger.dropped == {WHERE: TOGETHER}
    with pytest.raises(Forgotten):
        position_lots(ledger, *MARKET, TOGETHER - 1)
    assert position_lots(ledger, *MARKET, TOGETHER) == 2 * TOGETHER


# Forgetting: events


def test_events_up_to_the_latest_of_their_kind_that_was_forgotten_are_booked_no_more() -> None:
    ledger = book(
        event(K.FUNDING, "1", "f1", venue_ns=30),
        event(K.FUNDING, "1", "f2", venue_ns=20),
        event(K.FEE, "1", "x1", venue_ns=40),
        elsewhere(event(K.FUNDING, "1", "f3", venue_ns=50)),
        tick(RETAIN_NS + 1),
    )
    assert (len(ledger.events), ledger.event_floors) == (4, {})
    apply(ledger, tick(RETAIN_NS + 2))
    assert ledger.events == {}
    assert ledger.event_floors == {(*WHERE, "funding"): 30, (*WHERE, "fee"): 40, (VENUE, "second", "funding"): 50}
    for venue_ns, booked in ((29, False), (30, False), (31, True)):
        before = cash(ledger, VENUE, ACCOUNT)["USDT"]
        apply(ledger, event(K.FUNDING, "1", f"late{venue_ns}", venue_ns=venue_ns))
        assert cash(ledger, VENUE, ACCOUNT)["USDT"] - before == booked
        assert ((Flag.TOO_OLD, f"late{venue_ns}") in ledger.flags) is not booked
    apply(ledger, event(K.INTEREST, "1", "i1", venue_ns=1))
    assert (*WHERE, "interest", "i1") in ledger.events


@pytest.mark.parametrize(("account", "after"), [(ACCOUNT, 40), ("second", 50), ("third", 0)])
def test_where_events_are_read_from_and_which_times_may_be_asked_about(account: str, after: int) -> None:
    told = (event(K.FUNDING, "1", "f1", venue_ns=30), event(K.FEE, "1", "x1", venue_ns=40))
    ledger = book(*told, elsewhere(event(K.FUNDING, "1", "f3", venue_ns=50)), tick(2 * RETAIN_NS))
    assert events_after_venue_ns(ledger, VENUE, account) == after
    cash(ledger, VENUE, account, after)
    if after:
        with pytest.raises(Forgotten, match=rf"events of {VENUE}/{account} after {after - 1}: expected a venue time from {after} on"):
            cash(ledger, VENUE, account, after - 1)
    else:
        assert cash(ledger, VENUE, account, -1) == {}
    assert events_after_venue_ns(Ledger(), VENUE, account) == 0


def test_later_events_of_another_account_are_not_taken_out_of_this_ones_balance() -> None:
    ledger = book(event(K.FUNDING, "1", venue_ns=10), elsewhere(event(K.FUNDING, "7", venue_ns=90)))
    assert cash(ledger, VENUE, ACCOUNT, 10) == {"USDT": Decimal(1)}
    assert cash(ledger, VENUE, ACCOUNT, 9) == {"USDT": Decimal(0)}
    assert cash(ledger, VENUE, "second", 90) == {"USDT": Decimal(7)}


def test_an_adjustment_is_of_any_time_and_remembered_for_good() -> None:
    start = (event(K.FUNDING, "1", venue_ns=90), adjust("5", "n1", venue_ns=80), tick(2 * RETAIN_NS))
    ledger = book(*start, adjust("5", "n2", venue_ns=1), tick(9 * RETAIN_NS), adjust("5", "n2", venue_ns=1))
    assert (len(ledger.events), ledger.duplicates, ledger.flags, len(ledger.entered)) == (2, 1, {}, 0)
    assert cash(ledger, VENUE, ACCOUNT) == {"USDT": Decimal(11)}
    assert ledger.event_floors == {(*WHERE, "funding"): 90}


def test_a_transfer_is_forgotten_with_the_notice_that_it_used_and_with_no_other() -> None:
    came = event(K.DEPOSIT, "500", "d1", venue_ns=10)
    ledger = book(came, expect(until=20), expect(until=100), expect("7"), tick(2 * RETAIN_NS))
    assert ledger.events == {}
    assert [(notice.until_wall_ns, str(notice.amount)) for notice in ledger.expected] == [(100, "7"), (100, "500")]
    assert ledger.event_floors == {(*WHERE, "deposit"): 10}
    # One that nobody announced stays, also where others are forgotten, and its notice with it when that comes.
    stays = book(came, event(K.FUNDING, "1"), tick(2 * RETAIN_NS))
    assert list(stays.events) == [(*WHERE, "deposit", "d1")]
    assert (unexpected_transfers(stays), stays.event_floors) == ([(*WHERE, "deposit", "d1")], {(*WHERE, "funding"): 10})
    apply(stays, expect())
    assert (unexpected_transfers(stays), len(stays.expected)) == ([], 1)


def test_a_boot_lets_executions_and_events_count_anew() -> None:
    ledger = book(fill(1), event(K.FUNDING, "1"), boot(boot_ns=RETAIN_NS), tick(2 * RETAIN_NS))
    assert (len(ledger.fills), len(ledger.events)) == (1, 1)
    apply(ledger, tick(2 * RETAIN_NS + 1))
    assert (len(ledger.fills), len(ledger.events)) == (0, 0)


def test_two_ledgers_have_one_digest_only_if_they_are_equal() -> None:
    one, two = book(fill(1), event(K.FUNDING, "1")), book(fill(1), event(K.FUNDING, "1"))
    assert one.digest_parts() == two.digest_parts()
    assert len(one.digest_parts()) == 1
    assert one.digest_parts() != book(fill(1), event(K.FUNDING, "2")).digest_parts()
    assert one.digest_parts() != book(fill(1, side=Side.SELL), event(K.FUNDING, "1")).digest_parts()
