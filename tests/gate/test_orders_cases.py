"""How others lost money or control of their orders, played against ours. Each case ends where the loss began."""

from decimal import Decimal

import pytest
from tests.gate.order_records import (
    ACCOUNT,
    LOST,
    OPENED,
    PLACED,
    SYMBOL,
    VENUE,
    answer,
    boot,
    cancel,
    cancel_answer,
    cancel_sent,
    fill,
    fold,
    intent,
    permit,
    report,
    sent,
    unknown,
    violations,
    wire,
)

from interlock.domain.orders import OrderState, Side
from interlock.gate import ledger as books
from interlock.gate import orders as machine
from interlock.gate import records as r
from interlock.gate.absence import Missing, judge, rule_for
from interlock.gate.cancels import due
from interlock.gate.ledger import Ledger, position_lots
from interlock.gate.order_machine import Violation
from interlock.gate.order_state import Orders
from interlock.gate.orders import may_send, recovery_records, worst_case
from interlock.gate.reconcile import Kind, Managed, compare, verdict

S, V = OrderState, Violation
MANAGED = Managed(tags=("aaaa",), worths={})


def worst(orders: Orders) -> tuple[int, int]:
    return worst_case(orders, VENUE, ACCOUNT, SYMBOL)


def both(*records: r.Record) -> tuple[Orders, Ledger]:
    orders, ledger = Orders(), Ledger()
    for record in records:
        machine.apply(orders, record)
        books.apply(ledger, record)
    return orders, ledger


def snapshot(positions: dict[str, int], open_orders: tuple[tuple[str, str, str, int], ...] = ()) -> r.Snapshot:
    return r.Snapshot(
        boot_ns=1,
        venue=VENUE,
        account=ACCOUNT,
        cursor_before="c",
        cursor_after="c",
        positions=tuple(positions.items()),
        balances=(),
        open_orders=open_orders,
        venue_ns=100,
    )


def test_a_timeout_is_no_failure_and_leaves_no_leave_to_order_again() -> None:
    """Cases 1-4, 26: a timeout was taken for a failure, and the order sent again."""
    orders = fold(*LOST)
    assert orders.by_id["a"].state is S.UNKNOWN
    assert worst(orders) == (10, 0)
    assert not any(may_send(orders, "a", revision) for revision in (0, 1))
    machine.apply(orders, permit())
    assert not may_send(orders, "a", 0)


@pytest.mark.parametrize("venue", ["bybit", "binance_usdm", "upbit"])
def test_not_in_the_open_orders_is_not_absent(venue: str) -> None:
    """Cases 5, 8, 9: filled at once, it was in no list of open orders, and a second one was placed."""
    orders = fold(*LOST)
    reads = [r.Sighting(source="open", venue_ns=10**18 + i, later_client_id="", execution_cursor_ns=10**18) for i in range(9)]
    assert isinstance(judge(orders, orders.by_id["a"], rule_for(venue, 1, 1), reads, 0), Missing)
    machine.apply(orders, fill(10))
    assert (orders.by_id["a"].state, violations(orders)) == (S.FILLED, [])


def test_a_cancelled_order_that_had_filled_is_booked_and_stops_everything() -> None:
    """Case 6: marked as cancelled though filled, then placed and filled again."""
    orders, ledger = both(*OPENED, report(S.CANCELLED), fill(10))
    assert position_lots(ledger, VENUE, ACCOUNT, SYMBOL) == 10
    assert violations(orders) == [V.LATE_FILL]


def test_an_exit_can_sell_no_more_than_it_was_sized() -> None:
    """Case 7: twice the volume was sold, and the filled exit still seen as open."""
    selling = (intent(side=Side.SELL), permit(), wire(), sent(), answer(S.OPEN))
    orders = fold(*selling, fill(10, side=Side.SELL))
    assert (orders.by_id["a"].state, worst(orders)) == (S.FILLED, (0, 0))
    machine.apply(orders, fill(10, "t2", side=Side.SELL))
    assert violations(orders) == [V.OVERFILL]


def test_a_fill_during_a_cancel_is_seen_and_the_rest_is_still_owed() -> None:
    """Cases 9, 10: the cancel failed because the order had filled, and nobody hedged."""
    orders, ledger = both(*OPENED, cancel(), cancel_sent(), cancel_answer(False))
    assert orders.by_id["a"].state is S.UNKNOWN
    assert worst(orders) == (10, 0)
    for record in (fill(4), report(S.FILLED, 10)):
        machine.apply(orders, record)
        books.apply(ledger, record)
    assert position_lots(ledger, VENUE, ACCOUNT, SYMBOL) == 4
    assert worst(orders) == (6, 0)
    assert violations(orders) == []


def test_an_open_order_is_not_forgotten_by_a_failed_cancel_and_a_restart() -> None:
    """Cases 16, 17: shown as cancelled, forgotten after the restart, and live."""
    orders = fold(*OPENED, cancel(), cancel_sent(), cancel_answer(False), boot(), boot())
    assert recovery_records(orders, True, False, 1) == []
    assert due(orders, 0, 9) == ["a"]
    assert worst(orders) == (10, 0)
    assert due(fold(*OPENED, boot()), 0, 9) == []


def test_no_difference_of_a_position_is_closed_by_a_made_up_execution() -> None:
    """Cases 24, 25, 34: a restart inserted an opposite fill, or logged the mismatch and went on."""
    orders, ledger = both(*OPENED, fill(10), boot())
    found = compare(orders, ledger, snapshot({SYMBOL: 7}), MANAGED)
    assert [(d.kind, d.explained) for d in found] == [(Kind.POSITION, False)]
    assert not verdict(snapshot({}), found, 1).explained
    assert position_lots(ledger, VENUE, ACCOUNT, SYMBOL) == 10
    assert compare(orders, ledger, snapshot({SYMBOL: 10}), MANAGED) == []


def test_working_orders_survive_a_kill() -> None:
    """Case 25: after SIGKILL working orders were dropped."""
    orders, ledger = both(*OPENED, boot())
    assert compare(orders, ledger, snapshot({}, (("a", "v", SYMBOL, 10),)), MANAGED) == []
    lost, empty = both(boot())
    assert [d.kind for d in compare(lost, empty, snapshot({}, (("aaaa", "v", SYMBOL, 10),)), MANAGED)] == [Kind.OWN_UNKNOWN]


@pytest.mark.parametrize("late", [unknown(), answer(S.ACKED)])
def test_a_timeout_after_the_acceptance_takes_nothing_back(late: r.Record) -> None:
    """Case 26: the retry went on after the acceptance, and the ambiguous submit became a rejection."""
    assert fold(*OPENED, late) == fold(*OPENED)
    assert fold(*PLACED, late).by_id["a"].state in (S.UNKNOWN, S.ACKED)


def test_an_amend_states_the_total_and_the_total_caps_what_is_executed() -> None:
    """Case 27: total taken for remaining, 15 of 10 were executed."""
    orders = fold(*OPENED, fill(5), intent("a", 1, 10, ticks=101), permit("a", 1), wire("a", 1), answer(S.OPEN, "a", 1))
    assert worst(orders) == (5, 0)
    machine.apply(orders, fill(5, "t2"))
    assert orders.by_id["a"].state is S.FILLED
    machine.apply(orders, fill(5, "t3"))
    assert violations(orders) == [V.OVERFILL]


def test_a_restart_books_no_execution_twice() -> None:
    """Cases 28, 34: the same fill was booked again after a restart."""
    orders, ledger = both(*OPENED, fill(4), boot(), fill(4), boot(), fill(4))
    assert position_lots(ledger, VENUE, ACCOUNT, SYMBOL) == 4
    assert orders.by_id["a"].filled_lots == 4
    assert (ledger.duplicates, orders.duplicate_fills) == (2, 2)


def test_what_the_venue_does_by_itself_is_booked_and_flagged() -> None:
    """Cases 29, 31: a liquidation went unnoticed, and the bot managed a position that was gone."""
    _, ledger = both(*OPENED, fill(10), fill(10, "adl", "", Side.SELL, 90))
    assert position_lots(ledger, VENUE, ACCOUNT, SYMBOL) == 0
    assert ledger.flags == {("foreign_fill", "adl"): 1}
    assert ledger.positions[(VENUE, ACCOUNT, SYMBOL)].realised == -100


def test_a_balance_that_jumps_up_is_no_opportunity() -> None:
    """A venue credited coins in place of won; the difference is unexplained whatever its sign."""
    orders, ledger = both()
    jump = r.Snapshot(
        boot_ns=1, venue=VENUE, account=ACCOUNT, cursor_before="c", cursor_after="c",
        positions=(), balances=(("BTC", Decimal(620_000)),), open_orders=(), venue_ns=100,
    )  # fmt: skip
    assert [(d.kind, d.explained) for d in compare(orders, ledger, jump, MANAGED)] == [(Kind.BALANCE, False)]
