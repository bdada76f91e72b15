"""The fold of orders where two things meet: late reports, amends, process lives, ids that were given out, and the plain data that it keeps."""

from __future__ import annotations

import msgspec
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
    naive_worst,
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

from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.cancels import BackOff, due_boot_ns
from interlock.gate.order_machine import UNRESOLVED, Violation
from interlock.gate.order_state import (
    LIVES_KEPT,
    NEVER_NS,
    VIOLATIONS_KEPT,
    Amend,
    Found,
    Obligation,
    Orders,
    forgotten,
    issue,
    known_once,
    violations_after,
)
from interlock.gate.orders import apply, may_send, worst_case
from interlock.gate.retention import KEPT, LEAST_NS, RETAIN_NS

S, V = OrderState, Violation
AMENDING = (*OPENED, intent("a", 1, lots=15, ticks=101))
AMEND_SENT = (*AMENDING, permit("a", 1), wire("a", 1), sent("a", 1))
GONE = (*OPENED, report(S.CANCELLED))
LATER_NS = RETAIN_NS + LEAST_NS


def state(orders: Orders, client_id: str = "a") -> OrderState:
    return orders.by_id[client_id].state


def worst(orders: Orders) -> tuple[int, int]:
    return worst_case(orders, VENUE, ACCOUNT, SYMBOL)


def words(orders: Orders) -> list[str]:
    return [found.detail for found in orders.violations]


def tick(boot_ns: int) -> r.Tick:
    return r.Tick(boot_ns=boot_ns, wall_ns=0)


def cid(number: int, epoch: int = 7, incarnation: int = 5) -> str:
    return str(ClientId("demo", epoch, number, incarnation))


# Answers


@pytest.mark.parametrize(
    ("records", "after", "found"),
    [
        # The venue had shown it, and it is not known what became of it: a rejection cannot be the whole truth.
        ((*OPENED, cancel_answer(False), answer(S.REJECTED)), S.UNKNOWN, [V.CONTRADICTED]),
        ((*PLACED, report(S.OPEN), cancel_answer(False), answer(S.REJECTED)), S.UNKNOWN, [V.CONTRADICTED]),
        ((*LOST, fill(1), answer(S.REJECTED)), S.UNKNOWN, [V.CONTRADICTED]),
        # A receipt is no acceptance.
        ((*PLACED, answer(S.ACKED), unknown(), answer(S.REJECTED)), S.REJECTED, []),
        ((*LOST, answer(S.REJECTED)), S.REJECTED, []),
        # An answer that the end has overtaken changes nothing.
        ((*GONE, answer(S.REJECTED)), S.CANCELLED, []),
        ((*GONE, answer(S.OPEN)), S.CANCELLED, []),
        ((*GONE, answer(S.ACKED)), S.CANCELLED, []),
    ],
)
def test_an_answer_that_comes_after_what_the_venue_had_shown(
    records: tuple[r.Record, ...], after: OrderState, found: list[Violation]
) -> None:
    orders = fold(*records)
    assert (state(orders), violations(orders)) == (after, found)
    assert orders.worst == naive_worst(orders) == ({} if after.final else {(VENUE, ACCOUNT, SYMBOL): (orders.by_id["a"].leaves_lots, 0)})


@pytest.mark.parametrize(
    ("record", "sighted"),
    [
        (answer(S.OPEN), True),
        (report(S.OPEN), True),
        (fill(1), True),
        (answer(S.ACKED), False),
        (answer(S.REJECTED, "a", 1), False),
        (unknown(), False),
    ],
)
def test_a_cancel_is_sent_at_once_when_the_venue_shows_the_order_and_not_for_a_receipt(record: r.Record, sighted: bool) -> None:
    orders = fold(*PLACED, cancel(), cancel_sent(), record)
    owed = orders.by_id["a"].cancel
    assert owed is not None
    assert owed.sighted is sighted


@pytest.mark.parametrize("record", [answer(S.OPEN, "x"), answer(S.REJECTED, "x"), unknown("x"), absent("x"), quarantined("x")])
def test_what_is_told_of_an_order_that_nobody_knows_is_a_violation(record: r.Record) -> None:
    assert violations(fold(record)) == [V.STRANGER]


def test_the_venues_name_of_an_order_is_taken_from_answer_and_report() -> None:
    assert fold(*PLACED).by_id["a"].venue_order_id == ""
    for record in (answer(S.ACKED), report(S.OPEN)):
        assert fold(*PLACED, record).by_id["a"].venue_order_id == "v"


# Reports


def test_a_report_of_less_than_was_executed_is_old_also_after_a_reversal() -> None:
    for filled, stale in ((3, 1), (4, 0)):
        orders = fold(*OPENED, fill(4), reversal(), report(S.PARTIAL, filled))
        assert orders.stale_reports == stale
    assert fold(*OPENED, fill(4), reversal(), report(S.PARTIAL, 3)).by_id["a"].reported_lots == 0


def test_a_report_like_the_last_shows_a_living_order_alive() -> None:
    orders = fold(*OPENED, report(S.OPEN, venue_ns=10), cancel(), cancel_sent(), report(S.OPEN, venue_ns=10))
    owed = orders.by_id["a"].cancel
    assert owed is not None
    assert (owed.sighted, orders.stale_reports) == (True, 0)


def test_an_order_that_was_never_sent_is_no_old_news_whatever_the_venues_time() -> None:
    orders = fold(intent(), permit(), not_sent(), report(S.OPEN, venue_ns=0))
    assert (state(orders), violations(orders), orders.stale_reports) == (S.OPEN, [V.UNSENT_SEEN], 0)


def test_more_executions_are_news_of_any_time() -> None:
    """An order that had ended is shown alive by an old report with more filled than was known: one of the two is wrong."""
    orders = fold(*GONE, report(S.PARTIAL, 3, venue_ns=9))
    assert (state(orders), violations(orders), worst(orders)) == (S.UNKNOWN, [V.REOPENED], (10, 0))
    # The control: with what was known it is only late.
    assert fold(*GONE, report(S.OPEN, venue_ns=9)).stale_reports == 1


@pytest.mark.parametrize(
    ("records", "after", "found"),
    [
        ((*OPENED, report(S.REJECTED, 3)), S.UNKNOWN, [V.CONTRADICTED]),
        ((*OPENED, report(S.FILLED, 10), report(S.REJECTED, 10)), S.FILLED, [V.CONTRADICTED]),
        ((*OPENED, report(S.REJECTED, 11)), S.FILLED, [V.OVERFILL]),
        ((*GONE, report(S.REJECTED, 3, venue_ns=11)), S.CANCELLED, [V.LATE_FILL]),
        ((*PLACED, report(S.REJECTED)), S.REJECTED, []),
    ],
)
def test_a_rejection_with_executions_is_no_rejection(records: tuple[r.Record, ...], after: OrderState, found: list[Violation]) -> None:
    orders = fold(*records)
    assert (state(orders), violations(orders)) == (after, found)


@pytest.mark.parametrize("end", [S.CANCELLED, S.EXPIRED, S.FILLED])
def test_an_end_told_twice_is_told_once(end: OrderState) -> None:
    filled = 10 if end is S.FILLED else 2
    once, twice = (fold(*OPENED, *[report(end, filled)] * times) for times in (1, 2))
    assert (once, violations(once)) == (twice, [])


@pytest.mark.parametrize(("start", "found"), [((intent(), permit(), not_sent()), V.UNSENT_SEEN), ((*LOST, absent()), V.ABSENT_SEEN)])
def test_an_end_with_executions_of_an_order_that_cannot_be_there_is_believed(start: tuple[r.Record, ...], found: Violation) -> None:
    """What was executed is reserved until it is seen, although nothing can have been."""
    orders = fold(*start, report(S.CANCELLED, 3))
    assert (state(orders), violations(orders), worst(orders), list(orders.owing)) == (S.CANCELLED, [found], (3, 0), ["a"])


@pytest.mark.parametrize(
    ("records", "found", "lots"),
    [
        # Asked for by nobody yet, so that the venue cannot have it from us.
        (AMENDING, [V.OVERSIZE], 10),
        ((*AMENDING, permit("a", 1)), [V.UNSENT_SEEN], 15),
        ((*AMENDING, permit("a", 1), wire("a", 1)), [], 15),
        (AMEND_SENT, [], 15),
    ],
)
def test_a_size_that_the_venue_shows_resolves_only_an_amend_that_may_be_there(
    records: tuple[r.Record, ...], found: list[Violation], lots: int
) -> None:
    orders = fold(*records, report(S.OPEN, lots=15))
    assert (violations(orders), orders.by_id["a"].lots, worst(orders)) == (found, lots, (15, 0))
    assert (orders.by_id["a"].amend is None) is (lots == 15)


def test_a_size_told_twice_is_one_violation_and_a_larger_one_another() -> None:
    assert violations(fold(*OPENED, *[report(S.OPEN, lots=12)] * 2)) == [V.OVERSIZE]
    larger = fold(*OPENED, report(S.OPEN, lots=12), report(S.OPEN, lots=13))
    assert (violations(larger), worst(larger)) == ([V.OVERSIZE, V.OVERSIZE], (13, 0))


# Executions


@pytest.mark.parametrize("odd", [fill(4, side=Side.SELL), fill(4, symbol="ETHUSDT"), fill(4, client_id="x")])
def test_an_execution_that_fits_no_order_is_told_once_and_taken_back_from_none(odd: r.Filled) -> None:
    orders = fold(*OPENED, odd, odd)
    assert (len(violations(orders)), orders.duplicate_fills) == (1, 1)
    assert list(orders.fills.values()) == [(odd.client_id, 0)]
    apply(orders, reversal(symbol=odd.symbol))
    assert (orders.by_id["a"].filled_lots, orders.by_id["a"].reversed_lots, worst(orders)) == (0, 0, (10, 0))
    apply(orders, tick(LATER_NS))
    assert orders.fills == {}


def test_what_is_taken_back_counts_as_having_been_executed() -> None:
    """The venue reported ten, ten were seen and four of them taken back: nothing is owed."""
    orders = fold(*OPENED, report(S.FILLED, 10), fill(10), reversal())
    order = orders.by_id["a"]
    assert (order.filled_lots, order.reversed_lots, order.missing_lots, worst(orders), orders.owing) == (0, 10, 0, (0, 0), {})
    part = fold(*OPENED, report(S.CANCELLED, 10), fill(6), fill(4, "t2"), reversal("t2"))
    assert (part.by_id["a"].missing_lots, violations(part)) == (0, [V.REVERSAL])


def test_the_last_execution_that_an_end_counted_is_expected_also_after_a_reversal() -> None:
    orders = fold(*OPENED, report(S.CANCELLED, 8), fill(4), reversal(), fill(4, "t2"))
    assert violations(orders) == [V.REVERSAL]
    # The controls: one more than the end counted is not.
    assert violations(fold(*OPENED, report(S.CANCELLED, 7), fill(4), reversal(), fill(4, "t2"))) == [V.REVERSAL, V.LATE_FILL]
    assert violations(fold(*OPENED, report(S.CANCELLED, 8), fill(4), fill(5, "t2"))) == [V.LATE_FILL]


def test_an_execution_that_a_report_had_counted_moves_a_living_order() -> None:
    orders = fold(*OPENED, report(S.PARTIAL, 4), fill(4))
    assert (state(orders), violations(orders), worst(orders)) == (S.PARTIAL, [], (6, 0))
    assert fold(*LOST, report(S.OPEN), cancel_answer(False), fill(10)).by_id["a"].state is S.FILLED


@pytest.mark.parametrize(
    ("records", "counted"),
    [((*OPENED, fill(4), reversal()), True), ((*OPENED, reversal()), False), ((*OPENED, reversal(), fill(4)), True)],
)
def test_it_is_remembered_whether_what_was_taken_back_had_been_counted(records: tuple[r.Record, ...], counted: bool) -> None:
    assert fold(*records).reversals == {(VENUE, ACCOUNT, SYMBOL, "t1"): counted}


def test_an_order_keeps_the_names_and_the_latest_time_of_its_executions() -> None:
    for times in ((10, 30, 20), (30, 20, 10)):
        order = fold(*OPENED, *(fill(1, f"t{ns}", venue_ns=ns) for ns in times)).by_id["a"]
        assert (order.trade_ids, order.executed_venue_ns) == ([f"t{ns}" for ns in times], 30)


# Sizes and indices


def test_an_amend_that_nobody_permitted_reserves_nothing() -> None:
    assert worst(fold(*AMENDING, fill(1))) == (9, 0)
    assert worst(fold(*AMENDING, permit("a", 1), fill(1))) == (14, 0)


def test_an_order_is_not_filled_while_its_amend_has_only_been_received() -> None:
    orders = fold(*AMEND_SENT, fill(10), answer(S.ACKED, "a", 1))
    assert (state(orders), worst(orders)) == (S.PARTIAL, (5, 0))


def test_what_is_told_of_an_earlier_amend_is_not_taken_for_the_present_one() -> None:
    second = (*AMEND_SENT, answer(S.REJECTED, "a", 1), intent("a", 2, lots=20), permit("a", 2), wire("a", 2))
    for late in (answer(S.REJECTED, "a", 1), answer(S.OPEN, "a", 1), unknown("a", 1), not_sent("a", 1)):
        orders = fold(*second, late)
        amend = orders.by_id["a"].amend
        assert amend is not None
        assert (amend.state, orders.ignored, violations(orders), worst(orders)) == (S.SENT, 1, [], (20, 0))
    # The control: told of the present one it counts.
    assert fold(*second, answer(S.REJECTED, "a", 2)).by_id["a"].amend is None


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        (permit("a", 1), "permitted of amend 1, which is not under way"),
        (wire("a", 1), "wire_begun of amend 1, which is not under way"),
        (permit(), "permitted in state open"),
        (fill(11), "fill_over in state open: execution t1 of 11 lots, 11 of 10 filled"),
        (report(S.PARTIAL, 11), "seen_over in state open: reported partial with 11 of 10 lots filled"),
        (report(S.OPEN, lots=12), "expected at most 10 lots, the venue holds 12"),
        (report(S.REJECTED, 3), "reported as rejected with 3 lots filled"),
        (fill(1, side=Side.SELL), "execution t1 is of another market or side"),
        (wire(), "wire_again in state open"),
    ],
)
def test_a_violation_says_what_came_and_when(record: r.Record, detail: str) -> None:
    orders = fold(*OPENED, record)
    assert (orders.violations[0].subject, orders.violations[0].detail) == ("a", detail)
    assert orders.ignored == 0
    assert words(fold(*OPENED)) == []


def test_a_second_write_of_an_amend_that_is_over_says_so() -> None:
    orders = fold(*AMEND_SENT, answer(S.OPEN, "a", 1), wire("a", 1))
    assert (words(orders), orders.ignored) == (["wire_again of amend 1, which is not under way"], 0)
    assert words(fold(*AMEND_SENT, wire("a", 1))) == ["wire_again of amend 1 in state sent"]


SELLING = (intent(side=Side.SELL), permit(), wire(), sent(), answer(S.OPEN))
HISTORIES: tuple[tuple[r.Record, ...], ...] = (
    (intent(),),
    (intent(), permit()),
    (intent(), deny()),
    PLACED,
    LOST,
    OPENED,
    (*OPENED, fill(4)),
    (*OPENED, fill(10)),
    (*OPENED, report(S.PARTIAL, 4)),
    (*OPENED, cancel()),
    (*OPENED, cancel(), report(S.CANCELLED)),
    (*OPENED, report(S.CANCELLED, 4)),
    (*OPENED, cancel(), report(S.CANCELLED, 4)),
    (*OPENED, report(S.CANCELLED, 4), fill(4)),
    (*GONE, report(S.OPEN, venue_ns=11)),
    (*GONE, report(S.CANCELLED, 4, venue_ns=11)),
    (*OPENED, fill(10), wire()),
    (*AMENDING, permit("a", 1), wire("a", 1), fill(10), answer(S.REJECTED, "a", 1)),
    (*LOST, quarantined()),
    (*LOST, absent()),
    AMEND_SENT,
    SELLING,
    (*SELLING, fill(4, side=Side.SELL)),
    (*SELLING, report(S.CANCELLED, 4)),
    (*SELLING, fill(10, side=Side.SELL), *(intent("b"), permit("b"))),
    (*SELLING, *(intent("b", lots=3), permit("b")), *(intent("c", symbol="ETHUSDT"), permit("c"))),
)


@pytest.mark.parametrize("records", HISTORIES)
def test_the_indices_hold_what_one_finds_by_looking_at_every_order(records: tuple[r.Record, ...]) -> None:
    orders = Orders()
    for record in records:
        assert apply(orders, record) is orders
        every = orders.by_id.values()
        assert orders.worst == naive_worst(orders)
        for index, wanted in (
            (orders.live, [o for o in every if not o.state.final]),
            (orders.unresolved, [o for o in every if o.state in UNRESOLVED]),
            (orders.owing, [o for o in every if o.state.final and o.leaves_lots > 0]),
            (orders.cancelling, [o for o in every if not o.state.final and o.cancel is not None]),
        ):
            assert dict.fromkeys(index, True) == index
            assert set(index) == {o.client_id for o in wanted}
        assert orders.ending == []
        ended = {o.client_id for o in every if o.state.final and not o.leaves_lots}
        assert {o.client_id for o in every if o.ended_boot_ns != NEVER_NS} == ended


def test_a_sell_is_reserved_as_a_sell() -> None:
    assert worst(fold(*SELLING)) == (0, 10)
    assert worst(fold(*SELLING, fill(4, side=Side.SELL))) == (0, 6)
    assert worst(fold(*SELLING, *(intent("b", lots=3), permit("b")))) == (3, 10)


# Plain data


def test_what_is_known_of_an_order_at_its_intent_and_of_nothing_at_the_beginning() -> None:
    """Written out, because it is what a snapshot holds and what an old journal must fold to."""
    orders = fold(intent())
    assert msgspec.structs.asdict(orders.by_id["a"]) == {
        "client_id": "a",
        "group": "",
        "strategy": "s",
        "venue": VENUE,
        "account": ACCOUNT,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "reduce_only": False,
        "ticks": 100,
        "lots": 10,
        "created_boot_ns": 1,
        "revision": 0,
        "state": S.INTENDED,
        "filled_lots": 0,
        "reported_lots": 0,
        "reversed_lots": 0,
        "venue_lots": 0,
        "venue_order_id": "",
        "venue_ns": 0,
        "sign_wall_ns": 0,
        "receive_window_ns": 0,
        "life": 0,
        "wired_revision": -1,
        "sent": False,
        "received": False,
        "shown": False,
        "amend": None,
        "cancel": None,
        "reserved_lots": 0,
        "trade_ids": [],
        "executed_venue_ns": 0,
        "ended_boot_ns": -1,
    }
    assert fold(*AMENDING).by_id["a"].amend == Amend(1, 101, 15, 0, False, S.INTENDED)
    assert fold(*OPENED, cancel()).by_id["a"].cancel == Obligation(1, "", "gate", 0, -1, False)
    empty = msgspec.structs.asdict(Orders())
    assert {name: value for name, value in empty.items() if isinstance(value, int)} == {
        "violation_count": 0,
        "life": 0,
        "duplicate_fills": 0,
        "stale_reports": 0,
        "ignored": 0,
        "forgotten": 0,
    }
    assert not any(value for name, value in empty.items() if name not in ("ended", "strays"))


def test_no_time_of_a_clock_is_taken_for_never() -> None:
    """The clock begins at 0 with the host."""
    for now in (0, 1, 2):
        assert due_boot_ns(Obligation(0, "", "gate", 1, now), BackOff(first_ns=10)) == now + 10
    assert due_boot_ns(Obligation(5, "", "gate", 1), BackOff(first_ns=10)) == 5


# Violations


def many(count: int) -> Orders:
    return fold(*(report(S.OPEN, client_id=f"x{number}") for number in range(1, count + 1)))


def subjects(orders: Orders, number: int) -> list[tuple[int, str]]:
    return [(found, violation.subject) for found, violation in violations_after(orders, number)]


def test_of_a_thousand_violations_each_word_is_kept() -> None:
    orders = many(1_000)
    assert VIOLATIONS_KEPT == len(orders.violations) == 1_000
    assert subjects(orders, 998) == [(999, "x999"), (1_000, "x1000")]
    assert subjects(orders, 0)[0] == (1, "x1")
    apply(orders, report(S.OPEN, client_id="x1001"))
    assert (len(orders.violations), orders.violation_count) == (1_000, 1_001)
    assert orders.violations[0].subject == "x2"
    assert subjects(orders, 1)[0] == (2, "x2")
    assert len(subjects(orders, 1)) == 1_000
    assert violations_after(orders, 0)[0] == (1, Found(V.UNEXPECTED, "", "1 violations whose words are gone; read the journal"))
    assert subjects(orders, 0)[1:] == subjects(orders, 1)
    assert subjects(orders, 1_001) == []


# Ids


def test_an_id_below_one_that_was_given_out_is_not_taken() -> None:
    """It may have been given out and forgotten."""
    orders = fold(intent(cid(2)), intent(cid(1)), intent(cid(2, epoch=8)), intent(cid(1, incarnation=6)), intent(cid(3)))
    assert set(orders.by_id) == {cid(2), cid(2, epoch=8), cid(1, incarnation=6), cid(3)}
    assert orders.ignored == 1
    assert [known_once(orders, cid(number)) for number in (1, 2, 3, 4)] == [True, True, True, False]
    assert [forgotten(orders, cid(number)) for number in (1, 2, 3, 4)] == [True, False, False, False]
    assert not known_once(orders, cid(1)[:-1])
    assert not known_once(orders, cid(1) + "0")


def test_an_id_is_given_out_once_for_good() -> None:
    orders = fold(intent(cid(1)), deny(cid(1)), tick(LATER_NS))
    assert orders.by_id == {}
    apply(orders, intent(cid(1)))
    assert (orders.by_id, orders.ignored) == ({}, 1)
    assert [issue(orders, cid(number)) for number in (1, 2, 2, 1, 3)] == [False, True, False, False, True]


@pytest.mark.parametrize("client_id", ["", "theirs", cid(1)[:-1], cid(1) + "0"])
def test_an_id_of_another_width_is_none_of_ours(client_id: str) -> None:
    orders = fold(intent(cid(1)))
    assert known_once(orders, client_id) is False
    assert known_once(orders, cid(1)) is True
    assert issue(orders, client_id) is issue(orders, client_id) is True


def test_a_stranger_that_was_known_once_is_told_from_one_that_never_was() -> None:
    known = fold(intent(cid(2)), report(S.OPEN, client_id=cid(1)))
    assert words(known) == ["a report of an order that was in the journal, had ended and was forgotten"]
    assert words(fold(report(S.OPEN, client_id=cid(1)))) == ["a report of an order that is not in the journal"]


def test_the_ids_of_a_thousand_lives_are_remembered_and_the_oldest_goes_first() -> None:
    orders = fold(*(intent(cid(1, epoch=epoch)) for epoch in range(1, 1_001)))
    assert LIVES_KEPT == len(orders.issued) == 1_000
    assert known_once(orders, cid(1, epoch=1))
    apply(orders, intent(cid(1, epoch=1_001)))
    assert len(orders.issued) == 1_000
    assert [known_once(orders, cid(1, epoch=epoch)) for epoch in (1, 2, 1_001)] == [False, True, True]


# Forgetting


def test_an_order_that_has_ended_goes_with_its_executions_and_leaves_the_time_of_the_latest() -> None:
    ended = (*OPENED, fill(4, "t1", venue_ns=30), fill(6, "t2", venue_ns=20), reversal("t2"), report(S.FILLED, 10))
    orders = fold(*ended, tick(RETAIN_NS + 1))
    assert len(orders.fills) == 2
    apply(orders, tick(RETAIN_NS + 2))
    assert (orders.by_id, orders.fills, orders.reversals, orders.forgotten) == ({}, {}, {}, 1)
    assert orders.floors == {(VENUE, ACCOUNT): 30}
    for name, venue_ns, floor in (("b", 10, 30), ("c", 40, 40)):
        start = (intent(name), permit(name), wire(name), fill(10, f"t{name}", name, venue_ns=venue_ns))
        at = orders.forgotten * 10 * RETAIN_NS
        for record in (*(msgspec.structs.replace(one, boot_ns=at) for one in start), tick(at + LATER_NS)):
            apply(orders, record)
        assert orders.floors == {(VENUE, ACCOUNT): floor}
    assert orders.forgotten == 3


def test_an_order_without_executions_leaves_no_time() -> None:
    orders = fold(*GONE, tick(LATER_NS))
    assert (orders.by_id, orders.floors) == ({}, {})


def test_an_order_that_ended_came_alive_and_ended_again_counts_from_its_second_end() -> None:
    again = (
        msgspec.structs.replace(report(S.OPEN, venue_ns=11), boot_ns=100),
        msgspec.structs.replace(report(S.CANCELLED, venue_ns=12), boot_ns=LATER_NS),
    )
    orders = fold(*GONE, *again)
    assert orders.by_id["a"].ended_boot_ns == LATER_NS
    apply(orders, tick(LATER_NS + RETAIN_NS))
    assert "a" in orders.by_id
    apply(orders, tick(LATER_NS + RETAIN_NS + 1))
    assert orders.by_id == {}


def test_an_execution_of_the_first_moment_leaves_that_as_the_time() -> None:
    assert fold(*OPENED, fill(10, venue_ns=0), tick(LATER_NS)).floors == {(VENUE, ACCOUNT): 0}


def test_what_an_order_came_to_owe_after_its_end_is_not_forgotten_by_a_boot_either() -> None:
    start = (*GONE, report(S.CANCELLED, 4, venue_ns=11), boot(boot_ns=5), tick(LATER_NS), tick(9 * LATER_NS))
    orders = fold(*start)
    assert (orders.by_id["a"].ended_boot_ns, worst(orders)) == (NEVER_NS, (4, 0))
    # The control: when the executions have come it is.
    late = msgspec.structs.replace(fill(4, venue_ns=12), boot_ns=9 * LATER_NS)
    assert fold(*start, late, tick(11 * LATER_NS)).by_id == {}


def test_an_order_that_ended_twice_at_one_time_is_forgotten_once() -> None:
    """Its second entry is left behind when there are too many, and a boot finds it without its order."""
    twice = (*GONE, report(S.OPEN, venue_ns=11), report(S.CANCELLED, venue_ns=12))
    others = [record for number in range(KEPT - 1) for record in (intent(f"b{number}"), deny(f"b{number}"))]
    orders = fold(*twice, *others, tick(LEAST_NS + 2))
    assert ("a" in orders.by_id, orders.forgotten, len(orders.ended)) == (False, 1, KEPT)
    apply(orders, boot(boot_ns=5))
    apply(orders, tick(LATER_NS))
    assert (orders.by_id, orders.forgotten) == ({}, KEPT)


def test_an_order_that_one_record_ends_in_two_ways_is_noted_once() -> None:
    smaller = (intent("a", 1, lots=4), permit("a", 1), wire("a", 1), fill(4), answer(S.OPEN, "a", 1))
    orders = fold(*OPENED, *smaller)
    assert (state(orders), orders.ended.left()) == (S.FILLED, [(1, "a")])


def test_a_boot_lets_what_has_ended_and_strays_count_anew_and_nothing_else() -> None:
    orders = fold(*GONE, *(intent("b"), permit("b"), wire("b")), fill(1, "t9", "x"), boot(boot_ns=500))
    assert (orders.by_id["a"].ended_boot_ns, orders.by_id["b"].ended_boot_ns) == (500, NEVER_NS)
    apply(orders, tick(500 + RETAIN_NS))
    assert (set(orders.by_id), len(orders.fills)) == ({"a", "b"}, 1)
    apply(orders, tick(501 + RETAIN_NS))
    assert (set(orders.by_id), len(orders.fills)) == ({"b"}, 0)


def test_a_boot_bears_what_came_alive_or_was_forgotten_before_it() -> None:
    """The queue still names it."""
    alive = fold(*GONE, report(S.OPEN, venue_ns=11), boot(boot_ns=500))
    assert (state(alive), alive.by_id["a"].ended_boot_ns) == (S.UNKNOWN, NEVER_NS)
    twice = fold(*GONE, report(S.OPEN, venue_ns=11), report(S.CANCELLED, venue_ns=12), boot(boot_ns=500), tick(500 + LATER_NS))
    assert (twice.by_id, twice.forgotten) == ({}, 1)
    gone = fold(*GONE, msgspec.structs.replace(report(S.OPEN, venue_ns=11), boot_ns=2), report(S.CANCELLED, venue_ns=12))
    apply(gone, tick(LATER_NS))
    apply(gone, boot(boot_ns=5))
    assert gone.by_id == {}


# The gate's own records


def test_one_write_of_a_revision_is_one_whatever_came_first() -> None:
    """The wire record of an amend that nobody had proposed is a violation, and uses its revision up."""
    orders = fold(*OPENED, wire("a", 1), intent("a", 1), permit("a", 1))
    assert violations(orders) == [V.UNEXPECTED]
    assert not may_send(orders, "a", 1)
    assert may_send(fold(*OPENED, intent("a", 1), permit("a", 1)), "a", 1)


def test_an_order_without_a_price_is_taken() -> None:
    assert fold(intent(ticks=0)).by_id["a"].ticks == 0
    assert fold(intent(ticks=-1)).by_id == {}


def test_an_amend_is_sent_in_the_life_that_permitted_it_and_by_no_other_permit() -> None:
    permitted = (boot(), *AMENDING, permit("a", 1))
    assert may_send(fold(*permitted), "a", 1)
    for odd in (permit("a", 0), permit("a", 2)):
        assert not may_send(fold(*permitted, boot(), odd), "a", 1)
        assert may_send(fold(*permitted, odd), "a", 1)


def test_a_placement_is_sent_in_the_life_that_permitted_it_and_a_second_permit_gives_no_leave() -> None:
    orders = fold(intent(), permit(), boot(), permit())
    assert violations(orders) == [V.UNEXPECTED]
    assert not may_send(orders, "a", 0)
    assert not may_send(fold(boot(), intent(), permit("a", 1)), "a", 0)
    assert fold(boot(), intent(), permit("a", 1)).by_id["a"].life == 0
    assert fold(boot(), intent(), permit()).by_id["a"].life == 1


@pytest.mark.parametrize(
    ("revision", "sign_wall_ns", "expected"),
    [(0, 5, (5, 7)), (0, 1, (1, 7)), (0, 0, (1_000, 100)), (1, 5, (1_000, 100))],
)
def test_the_wire_record_tells_when_a_placement_was_signed(revision: int, sign_wall_ns: int, expected: tuple[int, int]) -> None:
    """A crash between it and the record of the send loses nothing then. That of an amend says nothing of the placement."""
    begun = r.WireBegin(boot_ns=1, client_id="a", revision=revision, connection="c", sign_wall_ns=sign_wall_ns, receive_window_ns=7)
    start = (*AMENDING, permit("a", 1)) if revision else (intent(), permit(), sent())
    order = fold(*start, begun).by_id["a"]
    assert (order.sign_wall_ns, order.receive_window_ns) == expected


def test_what_is_told_of_an_amend_says_nothing_of_the_placement() -> None:
    order = fold(*AMENDING, permit("a", 1), wire("a", 1), sent("a", 1, sign_wall_ns=5, window_ns=7)).by_id["a"]
    assert (order.sign_wall_ns, order.receive_window_ns) == (1_000, 100)
    assert fold(*OPENED, sent("a", 1)).ignored == 1
    assert violations(fold(not_sent("x", 1))) == [V.STRANGER]


def test_an_amend_whose_bytes_were_written_cannot_have_been_kept_back() -> None:
    begun = (*AMENDING, permit("a", 1), wire("a", 1))
    for of in (1, 2):
        orders = fold(*begun, sent("a", of), not_sent("a", 1))
        amend = orders.by_id["a"].amend
        if of == 1:
            assert violations(orders) == [V.CONTRADICTED]
            assert amend is not None
            assert (amend.state, worst(orders)) == (S.UNKNOWN, (15, 0))
        else:  # the control: those of another were
            assert (violations(orders), amend, worst(orders)) == ([], None, (10, 0))


@pytest.mark.parametrize(
    ("word", "filled", "taken"),
    [
        (S.FILLED, 10, True),
        (S.CANCELLED, 10, True),
        (S.CANCELLED, 0, True),
        (S.EXPIRED, 10, True),
        (S.EXPIRED, 11, False),
        (S.REJECTED, 0, True),
        (S.REJECTED, 1, False),
        (S.ABSENT, 0, True),
        (S.ABSENT, 1, False),
        (S.NOT_SENT, 0, False),
        (S.UNKNOWN, 0, False),
    ],
)
def test_which_ends_a_person_may_tell(word: OrderState, filled: int, taken: bool) -> None:
    orders = fold(*LOST, quarantined(), released(word, filled))
    assert (state(orders), orders.ignored, violations(orders)) == ((word, 0, []) if taken else (S.QUARANTINED, 1, []))
    assert worst(orders) == ((filled, 0) if taken else (10, 0))


def test_a_persons_word_about_an_order_that_is_not_quarantined_changes_nothing() -> None:
    for start in (LOST, OPENED, PLACED, GONE):
        assert fold(*start, released(S.CANCELLED, 3)).by_id == fold(*start).by_id
        assert fold(*start, released(S.CANCELLED, 3)).ignored == 1


def test_a_person_cannot_say_less_than_was_seen() -> None:
    start = (*LOST, fill(4), quarantined())
    for filled, taken in ((3, False), (4, True)):
        assert state(fold(*start, released(S.CANCELLED, filled))) is (S.CANCELLED if taken else S.QUARANTINED)


def test_a_cancel_of_nothing_is_counted_when_it_was_sent() -> None:
    assert fold(cancel_sent("x")).ignored == 1


def test_each_boot_is_one_life() -> None:
    assert fold(boot(), boot()).life == 2


@pytest.mark.parametrize(
    ("start", "signed"),
    [
        ((intent(),), 0),
        ((intent(), permit()), 77),
        ((intent(), permit(), wire()), 77),
        ((intent(), permit(), wire(), unknown()), 77),
        ((intent(), permit(), wire(), unknown(), quarantined()), 77),
        ((intent(), permit(), wire(), answer(S.ACKED)), 77),
        ((intent(), permit(), wire(), answer(S.OPEN)), 0),
        (PLACED, 1_000),
    ],
)
def test_a_signature_that_a_life_left_no_word_of_is_older_than_the_next_life(start: tuple[r.Record, ...], signed: int) -> None:
    """Of an order that the venue has shown nobody asks when it was signed."""
    order = fold(*start, boot(wall_ns=77)).by_id["a"]
    assert order.sign_wall_ns == signed
    assert order.receive_window_ns == {0: 0, 77: -1, 1_000: 100}[signed]
