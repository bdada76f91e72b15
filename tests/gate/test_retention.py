"""What is forgotten and when, and that what is heard of it afterwards halts and is never booked a second time."""

from collections.abc import Iterator
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gate import limit_cases as lc
from tests.gate import order_records as o
from tests.gate.core_world import NOW
from tests.gate.order_records import ACCOUNT, SYMBOL, VENUE

from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState, Side
from interlock.gate import ledger as ledgers
from interlock.gate import orders as order_fold
from interlock.gate import records as r
from interlock.gate import throttles
from interlock.gate.core import consequences
from interlock.gate.ledger import FILL_FEE, FLAGS_KEPT, Flag, Forgotten, Ledger, cash, changes_after, position_lots, unexpected_transfers
from interlock.gate.order_machine import Violation
from interlock.gate.order_state import LIVES_KEPT, VIOLATIONS_KEPT, Orders, forgotten, known_once, violations_after
from interlock.gate.retention import KEPT, LEAST_NS, RETAIN_NS, Queue, fingerprint
from interlock.gate.state import GateState
from interlock.gate.verbs import Cause

S = OrderState
K = r.LedgerKind
SECOND = 1_000_000_000
MARKET = (VENUE, ACCOUNT, SYMBOL)
WHERE = (VENUE, ACCOUNT)


def cid(number: int, epoch: int = 7, incarnation: int = 5) -> str:
    return str(ClientId("demo", epoch, number, incarnation))


def at(boot_ns: int, *records: r.Record) -> Iterator[r.Record]:
    return (msgspec.structs.replace(record, boot_ns=boot_ns) for record in records)


def tick(boot_ns: int) -> r.Tick:
    return r.Tick(boot_ns=boot_ns, wall_ns=0)


def placed(name: str, lots: int = 10) -> tuple[r.Record, ...]:
    return (o.intent(name, lots=lots), o.permit(name), o.wire(name), o.sent(name))


def cancelled(name: str) -> tuple[r.Record, ...]:
    return (*placed(name), o.report(S.CANCELLED, client_id=name))


def filled(name: str, trade: str, venue_ns: int = 10, lots: int = 10) -> tuple[r.Record, ...]:
    return (*placed(name, lots), o.fill(lots, trade, name, venue_ns=venue_ns), o.report(S.FILLED, lots, client_id=name))


def gate(*records: r.Record) -> GateState:
    state = GateState(lc.SHEET)
    for record in records:
        state.apply(record)
    return state


def ended_at(boot_ns: int, *names: str) -> Orders:
    orders = Orders()
    for name in names:
        for record in at(boot_ns, *cancelled(name)):
            order_fold.apply(orders, record)
    return orders


# The rule


def test_the_oldest_goes_after_its_time_or_when_there_are_too_many() -> None:
    queue: Queue[int] = Queue()
    for number in range(KEPT):
        assert queue.add(0, number) == 0
    assert queue.take(LEAST_NS + 1) is None
    assert queue.take(RETAIN_NS) is None
    assert queue.take(RETAIN_NS + 1) == (0, 0)
    queue.add(1, KEPT)
    queue.add(1, KEPT + 1)
    assert len(queue) == KEPT + 1
    assert queue.take(LEAST_NS) is None
    assert queue.take(LEAST_NS + 1) == (0, 1)
    assert queue.take(LEAST_NS + 1) is None


def test_a_queue_is_in_the_order_of_one_clock_and_takes_no_room_for_what_is_gone() -> None:
    queue: Queue[int] = Queue()
    assert queue.add(5, 0) == 5
    assert queue.add(3, 1) == 5
    queue.restart(2)
    assert queue.left() == [(2, 0), (2, 1)]
    for number in range(2, 10 * KEPT):
        queue.add(number * SECOND, number)
        while queue.take(number * SECOND) is not None:
            pass
    assert len(queue) == KEPT
    assert len(queue.entries) < 2 * KEPT
    while queue.take(1 << 62) is not None:
        pass
    assert queue.entries == []


def test_a_fingerprint_bears_sums_of_any_size() -> None:
    assert fingerprint([1 << 80]) != fingerprint([1 << 81])
    assert fingerprint([1, "a"]) == fingerprint([1, "a"]) != fingerprint([1, "b"])


# Orders


def test_an_order_that_has_ended_is_forgotten_in_time_and_not_before() -> None:
    orders = ended_at(SECOND, cid(1))
    order_fold.apply(orders, tick(SECOND + RETAIN_NS))
    assert cid(1) in orders.by_id
    order_fold.apply(orders, tick(SECOND + RETAIN_NS + 1))
    assert (orders.by_id, orders.forgotten) == ({}, 1)


@pytest.mark.parametrize(
    "records",
    [
        placed("a"),
        (*placed("a"), o.unknown()),
        (*placed("a"), o.unknown(), o.quarantined()),
        (*o.OPENED, o.cancel()),
        (*placed("a"), o.report(S.CANCELLED, 4)),  # four lots are owed as executions
        (*cancelled("a"), o.report(S.OPEN, venue_ns=11)),  # it has come alive again
    ],
)
def test_what_is_alive_or_owed_is_never_forgotten(records: tuple[r.Record, ...]) -> None:
    orders = o.fold(*records, tick(10 * RETAIN_NS))
    assert "a" in orders.by_id
    assert orders.worst == o.naive_worst(orders) != {}
    # The control: the same with its end told, and its executions seen.
    for record in (o.fill(4, venue_ns=11), o.report(S.CANCELLED, 4, venue_ns=12), tick(30 * RETAIN_NS)):
        order_fold.apply(orders, msgspec.structs.replace(record, boot_ns=max(record.boot_ns, 20 * RETAIN_NS)))
    assert orders.by_id == {}
    assert orders.fills == {}


def test_an_order_that_an_amend_ends_is_noted_once() -> None:
    smaller = (o.intent("a", 1, lots=4), o.permit("a", 1), o.wire("a", 1), o.fill(4), o.answer(S.OPEN, "a", 1))
    orders = o.fold(*o.OPENED, *smaller)
    assert (orders.by_id["a"].state, orders.ending, orders.ended.left()) == (S.FILLED, [], [(1, "a")])


def test_a_process_life_begins_all_ages_anew() -> None:
    orders = ended_at(SECOND, "a")
    order_fold.apply(orders, o.boot(boot_ns=3 * RETAIN_NS))
    order_fold.apply(orders, tick(4 * RETAIN_NS))
    assert "a" in orders.by_id
    order_fold.apply(orders, o.boot(boot_ns=5))  # the host's clock began anew
    order_fold.apply(orders, tick(5 + RETAIN_NS))
    assert "a" in orders.by_id
    order_fold.apply(orders, tick(6 + RETAIN_NS))
    assert orders.by_id == {}


def test_a_boot_counts_nothing_as_ended_that_has_come_alive_again() -> None:
    orders = o.fold(*cancelled("a"), o.report(S.OPEN, venue_ns=11), o.boot(boot_ns=5), tick(10 * RETAIN_NS))
    assert orders.by_id["a"].state is S.UNKNOWN


@pytest.mark.parametrize("late", [o.report(S.FILLED, 10, client_id=cid(1)), o.fill(10, "new", cid(1)), o.unknown(cid(1))])
def test_what_is_heard_of_a_forgotten_order_halts_and_says_that_it_was_known(late: r.Record) -> None:
    state = gate(*at(SECOND, *cancelled(cid(1))), tick(2 * RETAIN_NS))
    assert consequences(state, NOW) == ()
    state.apply(msgspec.structs.replace(late, boot_ns=2 * RETAIN_NS))
    assert [latch.name for latch in consequences(state, NOW) if isinstance(latch, r.LatchSet)] == [Cause.OWN_PREFIX_UNKNOWN.value]
    assert "was in the journal, had ended and was forgotten" in state.orders.violations[0].detail
    # The control: an id that nobody gave out.
    other = gate(msgspec.structs.replace(late, client_id=cid(2)))
    assert "is not in the journal" in other.orders.violations[0].detail


def test_ids_that_were_given_out_are_told_from_others() -> None:
    orders = Orders()
    for number in (1, 2, 5):
        order_fold.apply(orders, o.intent(cid(number)))
    assert [known_once(orders, cid(number)) for number in (1, 4, 5, 6)] == [True, True, True, False]
    assert not known_once(orders, cid(1, epoch=8))
    assert not known_once(orders, cid(1, incarnation=6))
    assert not known_once(orders, "theirs")
    assert not forgotten(orders, cid(1))
    assert forgotten(orders, cid(4))
    for epoch in range(8, 8 + LIVES_KEPT):
        order_fold.apply(orders, o.intent(cid(1, epoch=epoch)))
    assert len(orders.issued) == LIVES_KEPT
    assert known_once(orders, cid(1, epoch=8))
    assert not known_once(orders, cid(1))


def test_a_forgotten_id_is_never_used_again() -> None:
    orders = ended_at(SECOND, cid(1))
    order_fold.apply(orders, tick(2 * RETAIN_NS))
    for record in at(2 * RETAIN_NS, o.intent(cid(1)), o.permit(cid(1))):
        order_fold.apply(orders, record)
    assert (orders.by_id, orders.ignored, o.violations(orders)) == ({}, 1, [Violation.STRANGER])
    # The control: the next id is taken.
    order_fold.apply(orders, o.intent(cid(2)))
    assert set(orders.by_id) == {cid(2)}


def test_executions_of_strangers_are_remembered_as_long_as_others() -> None:
    orders = Orders()
    for time_ns in (0, RETAIN_NS):
        order_fold.apply(orders, msgspec.structs.replace(o.fill(1, "t1", "nobody"), boot_ns=time_ns))
    assert (o.violations(orders), orders.duplicate_fills) == ([Violation.STRANGER], 1)
    order_fold.apply(orders, tick(RETAIN_NS + 1))
    assert (orders.fills, len(orders.strays)) == ({}, 0)
    # One of another side than its order's is none of it; one that was counted for a living order is kept with it.
    orders = o.fold(*placed("a"), o.fill(1, "t1", "a", Side.SELL), tick(2 * RETAIN_NS))
    assert orders.fills == {}
    orders = o.fold(*placed("a"), o.fill(1, "t1"), tick(2 * RETAIN_NS))
    assert orders.fills == {(*MARKET, "t1"): ("a", 1)}


def test_violations_are_all_counted_and_the_newest_kept() -> None:
    orders = Orders()
    for number in range(VIOLATIONS_KEPT + 3):
        order_fold.apply(orders, o.report(S.OPEN, client_id=str(number)))
    assert (orders.violation_count, len(orders.violations)) == (VIOLATIONS_KEPT + 3, VIOLATIONS_KEPT)
    tail = violations_after(orders, VIOLATIONS_KEPT + 1)
    assert [(number, found.subject) for number, found in tail] == [(1_002, "1001"), (1_003, "1002")]
    assert violations_after(orders, VIOLATIONS_KEPT + 3) == []
    assert [number for number, _ in violations_after(orders, 3)] == list(range(4, VIOLATIONS_KEPT + 4))
    late = violations_after(orders, 1)
    assert (late[0][0], late[0][1].violation, late[1][0]) == (3, Violation.UNEXPECTED, 4)
    assert "2 violations" in late[0][1].detail
    few = o.fold(o.report(S.OPEN, client_id="x"))
    assert violations_after(few, 0) == [(1, few.violations[0])]


# The ledger


def book(*records: r.Record) -> Ledger:
    ledger = Ledger()
    for record in records:
        ledgers.apply(ledger, record)
    return ledger


def test_an_old_execution_told_again_is_flagged_and_not_booked() -> None:
    told = o.fill(4, "t1", venue_ns=10, fee="1")
    ledger = book(told, tick(RETAIN_NS + 1), told)
    assert (len(ledger.fills), ledger.duplicates, ledger.flags) == (1, 1, {})
    ledgers.apply(ledger, tick(RETAIN_NS + 2))
    assert ledger.fills == {}
    for late in (told, o.fill(1, "t0", venue_ns=10), o.fill(1, "t0", venue_ns=9)):
        ledgers.apply(ledger, late)
        assert (position_lots(ledger, *MARKET), ledger.flows[VENUE, ACCOUNT, "USDT", FILL_FEE]) == (4, Decimal(-1))
    assert ledger.flags == {(Flag.TOO_OLD, "t1"): 1, (Flag.TOO_OLD, "t0"): 2}
    # The controls: one from after it is new, and so is one of another account.
    ledgers.apply(ledger, o.fill(2, "t2", venue_ns=11))
    ledgers.apply(ledger, o.fill(2, "t3", venue_ns=10, account="second"))
    assert (position_lots(ledger, *MARKET), position_lots(ledger, VENUE, "second", SYMBOL)) == (6, 2)


def test_an_old_execution_told_again_halts() -> None:
    told = o.fill(10, "t1", cid(1))
    state = gate(*filled(cid(1), "t1"), tick(2 * RETAIN_NS))
    assert consequences(state, NOW) == ()
    state.apply(told)
    latches = [latch for latch in consequences(state, NOW) if isinstance(latch, r.LatchSet)]
    assert {latch.level for latch in latches} == {r.Level.HALT}
    assert len(latches) == 2
    assert position_lots(state.ledger, *MARKET) == 10


def test_a_reversal_goes_with_its_execution_and_one_of_a_forgotten_execution_halts() -> None:
    state = gate(*filled(cid(1), "t1"), o.reversal("t1"), tick(RETAIN_NS))
    assert (len(state.orders.reversals), len(state.ledger.reversals)) == (1, 1)
    # It was taken back, so that its order waits for nothing and is forgotten with it.
    state.apply(tick(2 * RETAIN_NS))
    assert (state.orders.reversals, state.ledger.reversals, state.orders.by_id) == ({}, {}, {})
    state = gate(*filled(cid(1), "t1"), tick(2 * RETAIN_NS), o.reversal("t1"))
    assert o.violations(state.orders) == [Violation.REVERSAL]
    assert (state.ledger.flags, position_lots(state.ledger, *MARKET)) == ({(Flag.REVERSAL, "t1"): 1}, 10)
    # One that came before its execution is remembered until that comes.
    early = book(o.reversal("t9"), tick(2 * RETAIN_NS), o.fill(3, "t9", venue_ns=20))
    assert position_lots(early, *MARKET) == 0


def test_a_boot_gives_the_ledger_time_to_catch_up() -> None:
    booted = book(o.fill(1), o.event(K.FUNDING, "1"), o.boot(boot_ns=2 * RETAIN_NS), tick(3 * RETAIN_NS))
    assert (len(booted.fills), len(booted.events)) == (1, 1)
    ledgers.apply(booted, tick(3 * RETAIN_NS + 1))
    assert (booted.fills, booted.events) == ({}, {})


def test_events_are_forgotten_by_kind_and_never_booked_twice() -> None:
    paid = o.event(K.FUNDING, "-3", "f1", venue_ns=10)
    ledger = book(paid, tick(2 * RETAIN_NS), paid, o.event(K.FUNDING, "-1", "f0", venue_ns=9))
    assert (ledger.events, cash(ledger, VENUE, ACCOUNT)) == ({}, {"USDT": Decimal(-3)})
    assert ledger.flags == {(Flag.TOO_OLD, "f1"): 1, (Flag.TOO_OLD, "f0"): 1}
    for fresh in (o.event(K.FUNDING, "-1", "f2", venue_ns=11), o.event(K.INTEREST, "1", "i1", venue_ns=9)):
        ledgers.apply(ledger, fresh)
    assert (len(ledger.events), cash(ledger, VENUE, ACCOUNT)) == (2, {"USDT": Decimal(-3)})
    assert ledgers.events_after_venue_ns(ledger, VENUE, ACCOUNT) == 10
    assert ledgers.events_after_venue_ns(ledger, VENUE, "second") == 0


def test_a_persons_adjustment_is_remembered_for_good() -> None:
    signed = o.event(K.ADJUST, "5", "", actor="me", nonce="n", venue_ns=1)
    ledger = book(o.event(K.FUNDING, "1"), signed, tick(9 * RETAIN_NS), signed)
    assert (ledger.duplicates, ledger.flags, cash(ledger, VENUE, ACCOUNT)) == (1, {}, {"USDT": Decimal(6)})


def expect(amount: str = "500", until: int = 100) -> r.Record:
    return r.LedgerExpected(
        boot_ns=1,
        kind=K.DEPOSIT,
        venue=VENUE,
        account=ACCOUNT,
        currency="USDT",
        amount=Decimal(amount),
        until_wall_ns=until,
        actor="me",
    )


def test_an_announced_transfer_is_forgotten_with_its_notice_and_another_stays_until_somebody_looked() -> None:
    came = o.event(K.DEPOSIT, "500", "d1")
    ledger = book(came, expect(), tick(2 * RETAIN_NS))
    assert (ledger.events, ledger.expected, unexpected_transfers(ledger)) == ({}, [], [])
    ledger = book(came, tick(2 * RETAIN_NS))
    assert unexpected_transfers(ledger) == [(VENUE, ACCOUNT, "deposit", "d1")]
    ledgers.apply(ledger, expect())
    assert unexpected_transfers(ledger) == []


def test_what_is_flagged_is_bounded_and_its_counts_only_rise() -> None:
    ledger = Ledger()
    noted: dict[tuple[str, str], int] = {}
    for number in range(3 * FLAGS_KEPT):
        # Every subject comes back after it can have been dropped, some before.
        ledgers.apply(ledger, o.fill(0, f"t{number % (FLAGS_KEPT + 7)}"))
        newest = list(ledger.flags)[-1]
        assert ledger.flags[newest] > noted.get(newest, 0)
        noted[newest] = ledger.flags[newest]
    assert len(ledger.flags) == FLAGS_KEPT


def test_questions_about_a_time_that_was_forgotten_are_refused() -> None:
    ledger = Ledger()
    count = KEPT + 600
    for number in range(count):
        for record in at(number * SECOND, o.fill(1, f"t{number}", venue_ns=number), o.event(K.FEE, "-1", f"e{number}", venue_ns=number)):
            ledgers.apply(ledger, record)
    assert len(ledger.timeline[WHERE]) < KEPT + 300
    newest = count - 1
    least = ledger.dropped[WHERE]
    assert 0 < least <= ledger.fill_floors[WHERE]
    assert position_lots(ledger, *MARKET, least) == least + 1
    assert len(changes_after(ledger, VENUE, ACCOUNT, newest - 10)) == 10
    floor = ledgers.events_after_venue_ns(ledger, VENUE, ACCOUNT)
    assert cash(ledger, VENUE, ACCOUNT, floor)["USDT"] == -(floor + 1)
    for ask in (lambda: position_lots(ledger, *MARKET, least - 1), lambda: cash(ledger, VENUE, ACCOUNT, floor - 1)):
        with pytest.raises(Forgotten, match="take a newer snapshot"):
            ask()
    # Of an account about which nothing was forgotten, any time may be asked.
    assert changes_after(ledger, VENUE, "second", 0) == []


def test_what_others_did_is_forgotten_with_its_changes_also_where_we_do_nothing() -> None:
    """On a shared account that the gate rests on for days, nothing of ours ever takes them out."""
    ledger = Ledger()
    count = KEPT + 600
    for number in range(count):
        done = o.event(K.FOREIGN, "0", f"fill.{SYMBOL}.{number}", lots=1, ticks=100, symbol=SYMBOL, venue_ns=number)
        for record in at(number * SECOND, done, o.event(K.FOREIGN, "-1", f"funding.e{number}", venue_ns=number)):
            ledgers.apply(ledger, record)
    assert ledger.theirs[MARKET].lots == count
    assert len(ledger.events) <= KEPT
    assert len(ledger.timeline[WHERE]) < KEPT + 300
    assert 0 < ledger.dropped[WHERE] <= ledger.event_floors[VENUE, ACCOUNT, "foreign"]
    assert len(changes_after(ledger, VENUE, ACCOUNT, count - 11)) == 10
    assert ledger.flags == {}


@pytest.mark.parametrize(
    ("kind", "lots", "dropped"), [(K.FOREIGN, 1, True), (K.FOREIGN, 0, False), (K.LIQUIDATION, 1, False), (K.FUNDING, 0, False)]
)
def test_only_what_others_traded_takes_changes_out_with_it(kind: r.LedgerKind, lots: int, dropped: bool) -> None:
    """Executions of ours that are remembered may still be asked for, whatever else is forgotten."""
    ledger = Ledger()
    fills = 300
    for number in range(1, fills + 1):
        for record in at(number * SECOND, *filled("", f"t{number}", venue_ns=number, lots=1)):
            ledgers.apply(ledger, record)
    for number in range(KEPT + 2):
        done = o.event(kind, "0", f"e{number}", symbol=SYMBOL, venue_ns=fills + 1 + number, lots=lots, ticks=100 if lots else 0)
        for record in at((fills + number) * SECOND, done):
            ledgers.apply(ledger, record)
    assert len(ledger.events) <= KEPT, "the oldest of them were forgotten"
    assert (WHERE in ledger.dropped) is dropped
    if not dropped:
        assert len(changes_after(ledger, VENUE, ACCOUNT, 0)) == fills + (KEPT + 2 if lots else 0)


Step = tuple[int, int, int, bool]
steps = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3), st.integers(0, 400), st.booleans()), max_size=60)


@settings(max_examples=200)
@given(steps)
def test_sums_do_not_depend_on_what_was_forgotten(found: list[Step]) -> None:
    """Beside a plain sum over everything that was told once; ages of hours, some told twice at once."""
    ledger = Ledger()
    lots, fees, now_ns = 0, 0, 0
    for number, (size, fee, minutes, again) in enumerate(found):
        now_ns += minutes * 60 * SECOND
        told = msgspec.structs.replace(o.fill(size, f"t{number}", fee=str(fee), venue_ns=now_ns + number), boot_ns=now_ns)
        for record in (told, told) if again else (told,):
            ledgers.apply(ledger, record)
        lots, fees = lots + size, fees + fee
        assert position_lots(ledger, *MARKET) == lots
        assert ledger.flows[VENUE, ACCOUNT, "USDT", FILL_FEE] == -fees
        assert sum(change[2] for change in changes_after(ledger, VENUE, ACCOUNT, -1)) == lots
    assert ledger.duplicates == sum(again for *_, again in found)
    assert ledger.flags == {}


# The whole


def test_days_of_orders_leave_only_the_window() -> None:
    state = GateState(lc.SHEET)
    state.throttles = throttles.begin(lc.SHEET)
    count, every_ns = 30_000, 10 * SECOND
    for number in range(1, count + 1):
        name = cid(number)
        life = filled(name, f"t{number}", number, 1) if number % 3 == 0 else (o.intent(name), o.deny(name))
        for record in at(number * every_ns, *life):
            state.apply(record)
    assert count * every_ns > 3 * RETAIN_NS
    orders, ledger, throttle = state.orders, state.ledger, state.throttles
    assert orders.forgotten == count - KEPT
    assert len(orders.by_id) == len(orders.ended) == KEPT
    assert len(orders.fills) <= KEPT // 3 + 1
    a_day = RETAIN_NS // (3 * every_ns) + 1
    assert len(ledger.fills) == a_day
    assert len(ledger.timeline[WHERE]) <= a_day + 256
    assert len(throttle.tickets) <= KEPT
    assert (len(throttle.ended), len(throttle.identical_order)) <= (KEPT, 360)
    assert (position_lots(ledger, *MARKET), orders.violation_count, ledger.flags) == (count // 3, 0, {})


def test_a_hundred_thousand_orders_leave_only_the_window() -> None:
    orders = Orders()
    for number in range(1, 100_001):
        name = cid(number)
        for record in (o.intent(name), o.deny(name)):
            order_fold.apply(orders, msgspec.structs.replace(record, boot_ns=number * 4 * SECOND))
    assert (len(orders.by_id), orders.forgotten) == (KEPT, 100_000 - KEPT)
    assert len(orders.ended.entries) < 2 * KEPT


def test_reading_again_from_where_the_state_says_changes_nothing() -> None:
    """A reader that lost its cursor: everything after the named time is told again, whatever was forgotten by then."""
    state = GateState(lc.SHEET)
    told = []
    resting = placed(cid(1), 1_000_000)
    for record in (*resting, o.fill(1, "old", cid(1), venue_ns=1)):
        state.apply(record)
    for number in range(2, KEPT + 800):
        own = number % 2 == 0
        fill = o.fill(1, f"t{number}", cid(number) if own else cid(1), venue_ns=number)
        life = (*placed(cid(number), 1), fill) if own else (fill,)
        told.append(fill)
        for record in at(number * SECOND, *life):
            state.apply(record)
    for number in range(KEPT + 800, 2 * KEPT + 1_600):
        for record in at(number * SECOND, o.intent(cid(number)), o.deny(cid(number))):
            state.apply(record)
    after = ledgers.read_after_venue_ns(state.ledger, state.orders.floors, VENUE, ACCOUNT)
    assert 0 < after < told[-1].venue_ns
    held = position_lots(state.ledger, *MARKET)
    for fill in told:
        if fill.venue_ns > after:
            state.apply(msgspec.structs.replace(fill, boot_ns=(2 * KEPT + 1_600) * SECOND))
    assert (state.orders.violations, state.ledger.flags, position_lots(state.ledger, *MARKET)) == ([], {}, held)
    # The control: the one before is too old.
    state.apply(next(fill for fill in told if fill.venue_ns == after))
    assert state.orders.violations or state.ledger.flags
    assert position_lots(state.ledger, *MARKET) == held
