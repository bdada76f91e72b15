"""Reconciliation: consistent cuts, every class of difference, what explains one and what does not, and three quiet days."""

import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.order_records import (
    ACCOUNT,
    LOST,
    OPENED,
    PLACED,
    SYMBOL,
    VENUE,
    answer,
    cancel,
    event,
    fill,
    intent,
    permit,
    report,
    sent,
    wire,
)
from tests.gate.reconcile_cases import ETH, MANAGED, NOW, PERPETUAL, fold, row, snapshot

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import ledger as books
from interlock.gate import orders as machine
from interlock.gate import reconcile
from interlock.gate import records as r
from interlock.gate.ledger import Ledger
from interlock.gate.order_state import Orders
from interlock.gate.reconcile import Cut, Difference, Kind, Managed, compare, cut, verdict

S, K = OrderState, r.LedgerKind


def found(records: tuple[r.Record, ...], snap: r.Snapshot, managed: Managed = MANAGED) -> list[tuple[Kind, str, bool]]:
    return [(d.kind, d.subject, d.explained) for d in compare(*fold(*records), snap, managed)]


def test_a_cut_is_consistent_only_between_two_equal_cursors() -> None:
    assert cut(snapshot(), 1, 3) is Cut.CONSISTENT
    assert cut(snapshot(cursors=("c", "d")), 1, 3) is Cut.AGAIN
    assert cut(snapshot(cursors=("", "")), 1, 3) is Cut.AGAIN
    assert cut(snapshot(cursors=("c", "d")), 3, 3) is Cut.QUIET


def test_what_agrees_has_no_difference() -> None:
    assert found((), snapshot()) == []
    assert found(OPENED, snapshot(open_orders=(row(10),))) == []
    assert found((*OPENED, fill(4)), snapshot({SYMBOL: 4}, open_orders=(row(6),))) == []
    assert found(LOST, snapshot()) == []
    assert found(LOST, snapshot(open_orders=(row(10),))) == []


EXECUTIONS = st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 9), st.integers(50, 150)), min_size=1, max_size=6)
CENT = PERPETUAL.tick_lot


@given(EXECUTIONS, st.randoms(use_true_random=False), st.integers(-3, 3))
def test_the_order_of_executions_moves_what_was_brought_and_what_is_held_alike(
    done: list[tuple[Side, int, int]], chance: random.Random, lost_cents: int
) -> None:
    """Whatever order the venue had them in, it is explained by the entry that it tells; money that went elsewhere is not."""
    fills = [fill(lots, f"t{number}", side=side, ticks=ticks) for number, (side, lots, ticks) in enumerate(done)]
    orders, ours = fold(*fills)
    _, theirs = fold(*chance.sample(fills, len(fills)))
    market = (VENUE, ACCOUNT, SYMBOL)
    position = theirs.positions[market]
    entry = position.cost * CENT / (position.lots * PERPETUAL.lot) if position.lots else Decimal(0)
    balance = position.realised * CENT - lost_cents * CENT
    snap = snapshot({SYMBOL: position.lots} if position.lots else {}, {"USDT": str(balance)})
    found = [one for one in compare(orders, ours, snap, MANAGED, {SYMBOL: entry}) if one.kind is Kind.BALANCE]
    if lost_cents:
        assert [one.explained for one in found] == [False]
    elif abs(balance - ours.positions[market].realised * CENT) > Decimal("1e-6"):
        assert [(one.explained, one.lasting, one.why) for one in found] == [(True, True, reconcile.REORDERED)]
        assert [one.explained for one in compare(orders, ours, snap, MANAGED) if one.kind is Kind.BALANCE] == [False]


def test_an_entry_explains_a_balance_only_of_a_position_that_is_as_it_is_known() -> None:
    bought = (*PLACED, wire(), sent(), answer(S.OPEN), fill(4, ticks=100))
    shifted, entry = {"USDT": "0.4"}, {SYMBOL: Decimal("11")}

    def balance(records: tuple[r.Record, ...], snap: r.Snapshot, entries: dict[str, Decimal]) -> list[bool]:
        return [one.explained for one in compare(*fold(*records), snap, MANAGED, entries) if one.kind is Kind.BALANCE]

    assert balance(bought, snapshot({SYMBOL: 4}, shifted, (row(6),)), entry) == [True]
    assert balance(bought, snapshot({SYMBOL: 4}, {"USDT": "0.41"}, (row(6),)), entry) == [False]
    assert balance(bought, snapshot({SYMBOL: 4}, shifted, (row(6),)), {}) == [False]
    assert balance(bought, snapshot({SYMBOL: 4}, shifted, (row(6),)), {ETH: Decimal("11")}) == [False]
    assert balance(bought, snapshot({SYMBOL: 3}, shifted, (row(6),)), entry) == [False]
    other = msgspec.structs.replace(snapshot({SYMBOL: 4}, shifted), account="other")
    assert balance(bought, other, entry) == [False]
    # While executions are under way they explain it, for a moment, and the entry, which they move as well, does not.
    under_way = (fill(4, "t9", "z", ticks=100), *PLACED, wire(), sent())
    (moving,) = compare(*fold(*under_way), snapshot({SYMBOL: 4}, shifted), MANAGED, entry)
    assert (moving.kind, moving.explained, moving.lasting) == (Kind.BALANCE, True, False)
    # An entry that is the known one explains nothing, however inexactly it could have been told.
    cheap = msgspec.structs.replace(PERPETUAL, lot=Decimal(1_000_000_000), tick_lot=Decimal("0.01"))
    managed = msgspec.structs.replace(MANAGED, worths={(VENUE, SYMBOL): cheap})
    same = {SYMBOL: Decimal("1e-9")}
    missing = compare(*fold(*bought), snapshot({SYMBOL: 4}, {"USDT": "-0.03"}, (row(6),)), managed, same)
    assert [one.explained for one in missing if one.kind is Kind.BALANCE] == [False]
    spot = fill(4, ticks=100, symbol=ETH)
    assert balance((spot,), snapshot({ETH: 4}, {"USDT": "-3.6", "ETH": "0.4"}), {ETH: Decimal("11")}) == [False]


def test_orders_that_are_not_ours() -> None:
    own, foreign, nameless = row(1, "aaaa1"), row(1, "web1"), ("", "v9", SYMBOL, 1)
    assert found((), snapshot(open_orders=(own, foreign, nameless))) == [
        (Kind.OWN_UNKNOWN, "aaaa1", False),
        (Kind.FOREIGN_ORDER, "web1", False),
        (Kind.FOREIGN_ORDER, "v9", False),
    ]
    shared = msgspec.structs.replace(MANAGED, foreign={(VENUE, SYMBOL): PERPETUAL})
    assert found((), snapshot(open_orders=(own, foreign)), shared) == [
        (Kind.OWN_UNKNOWN, "aaaa1", False),
        (Kind.FOREIGN_ORDER, "web1", True),
    ]


def test_an_order_that_is_gone_without_a_report() -> None:
    assert found(OPENED, snapshot()) == [(Kind.ORDER_MISSING, "a", False)]
    # Its end is under way, or it was told after the snapshot.
    assert found((*OPENED, cancel()), snapshot()) == [(Kind.ORDER_MISSING, "a", True)]
    immediate = (intent(tif=TimeInForce.IOC), permit(), wire(), sent(), answer(S.OPEN))
    assert found(immediate, snapshot()) == [(Kind.ORDER_MISSING, "a", True)]
    assert found((*OPENED, report(S.OPEN, venue_ns=NOW)), snapshot()) == [(Kind.ORDER_MISSING, "a", True)]
    assert found((*OPENED, report(S.OPEN, venue_ns=NOW - 1)), snapshot()) == [(Kind.ORDER_MISSING, "a", False)]
    # Its cancel does not explain a position that it cannot have made.
    assert found((*OPENED, cancel()), snapshot({SYMBOL: 11})) == [(Kind.ORDER_MISSING, "a", False), (Kind.POSITION, SYMBOL, False)]


def test_the_size_of_an_order() -> None:
    assert found(OPENED, snapshot(open_orders=(row(11),))) == [(Kind.ORDER_SIZE, "a", False)]
    # Less is open: executions that nobody told, if the position shows them.
    assert found(OPENED, snapshot({SYMBOL: 4}, open_orders=(row(6),))) == [(Kind.ORDER_SIZE, "a", True), (Kind.POSITION, SYMBOL, True)]
    assert found(OPENED, snapshot(open_orders=(row(6),))) == [(Kind.ORDER_SIZE, "a", False), (Kind.POSITION, SYMBOL, False)]
    amending = (*OPENED, intent("a", 1, 15), permit("a", 1), wire("a", 1))
    assert found(amending, snapshot(open_orders=(row(15),))) == []
    assert found(amending, snapshot(open_orders=(row(10),))) == []
    assert found(amending, snapshot(open_orders=(row(16),))) == [(Kind.ORDER_SIZE, "a", False)]


@pytest.mark.parametrize("records", [(*OPENED, report(S.CANCELLED, venue_ns=50)), (intent(), permit())])
def test_an_order_that_should_not_be_there(records: tuple[r.Record, ...]) -> None:
    assert found(records, snapshot(open_orders=(row(10),))) == [(Kind.ORDER_SIZE, "a", False)]


def test_an_end_told_after_the_snapshot_explains_that_it_is_still_shown() -> None:
    ended = (*OPENED, report(S.CANCELLED, venue_ns=NOW))
    assert found(ended, snapshot(open_orders=(row(10),))) == [(Kind.ORDER_SIZE, "a", True)]


@pytest.mark.parametrize("held", [PLACED, LOST, (*PLACED, answer(S.ACKED))])
def test_a_position_is_explained_by_an_order_that_may_have_filled_and_only_up_to_its_size(held: tuple[r.Record, ...]) -> None:
    for lots in (1, 10):
        assert found(held, snapshot({SYMBOL: lots})) == [(Kind.POSITION, SYMBOL, True)]
    for lots in (-1, 11):
        assert found(held, snapshot({SYMBOL: lots})) == [(Kind.POSITION, SYMBOL, False)]
    assert found((), snapshot({SYMBOL: 1})) == [(Kind.POSITION, SYMBOL, False)]


def test_sells_explain_the_other_way() -> None:
    selling = (intent(side=Side.SELL), permit(), wire(), sent())
    assert found(selling, snapshot({SYMBOL: -10})) == [(Kind.POSITION, SYMBOL, True)]
    assert found(selling, snapshot({SYMBOL: 1})) == [(Kind.POSITION, SYMBOL, False)]


def test_executions_reported_and_not_seen() -> None:
    owing = (*OPENED, report(S.FILLED, 10, venue_ns=50))
    assert found(owing, snapshot({SYMBOL: 10})) == [(Kind.FILL_MISSING, "a", True), (Kind.POSITION, SYMBOL, True)]
    # The venue reported ten: a position of none or of part of them is a contradiction.
    for lots in (0, 4):
        assert found(owing, snapshot({SYMBOL: lots})) == [(Kind.FILL_MISSING, "a", False), (Kind.POSITION, SYMBOL, False)]
    assert found((*owing, fill(10)), snapshot({SYMBOL: 10})) == []
    # Reported after the snapshot they may or may not be in it.
    late = (*OPENED, report(S.FILLED, 10, venue_ns=NOW))
    assert found(late, snapshot()) == [(Kind.FILL_MISSING, "a", True)]


def test_the_ledger_is_compared_as_of_the_snapshot() -> None:
    later = (*OPENED, fill(4, venue_ns=NOW + 1), event(K.FUNDING, "5", venue_ns=NOW + 1), report(S.PARTIAL, 4, venue_ns=NOW + 1))
    assert found(later, snapshot(open_orders=(row(10),))) == [(Kind.ORDER_SIZE, "a", True)]
    now = (*OPENED, fill(4, venue_ns=NOW), event(K.FUNDING, "5", venue_ns=NOW), report(S.PARTIAL, 4, venue_ns=NOW))
    assert found(now, snapshot({SYMBOL: 4}, {"USDT": "5"}, (row(6),))) == []


def test_other_accounts_are_left_alone() -> None:
    elsewhere = (intent("x", account="second"), permit("x"), wire("x"), fill(3, client_id="x", account="second"))
    assert found(elsewhere, snapshot()) == []
    assert found((*elsewhere, fill(3, client_id="", account=ACCOUNT)), snapshot({SYMBOL: 3})) == []


def adopt(amount: str, currency: str = "USDT") -> r.LedgerEvent:
    return event(K.ADJUST, amount, "", currency, actor="me", nonce=f"n{currency}")


def test_a_balance_must_fit_to_the_last_digit() -> None:
    assert found((adopt("100"),), snapshot(balances={"USDT": "100"})) == []
    for wrong in ("100.00000001", "99.99999999", "620000"):
        assert found((adopt("100"),), snapshot(balances={"USDT": wrong})) == [(Kind.BALANCE, "USDT", False)]
    assert found((), snapshot(balances={"XYZ": "1"})) == [(Kind.BALANCE, "XYZ", False)]
    assert found((adopt("1", "XYZ"),), snapshot()) == [(Kind.BALANCE, "XYZ", False)]
    rounding = msgspec.structs.replace(MANAGED, rounding={"USDT": Decimal("0.01")})
    assert found((adopt("100"),), snapshot(balances={"USDT": "100.01"}), rounding) == []
    assert found((adopt("100"),), snapshot(balances={"USDT": "100.011"}), rounding) == [(Kind.BALANCE, "USDT", False)]


def test_unmanaged_currencies_of_a_shared_account_are_a_persons_own() -> None:
    shared = msgspec.structs.replace(MANAGED, unmanaged=frozenset({"DOGE"}))
    both = snapshot(balances={"DOGE": "7", "XYZ": "7"})
    assert found((), both, shared) == [(Kind.BALANCE, "DOGE", True), (Kind.BALANCE, "XYZ", False)]
    assert found((), both, MANAGED) == [(Kind.BALANCE, "DOGE", False), (Kind.BALANCE, "XYZ", False)]


def test_spot_trades_move_both_balances_and_closed_positions_what_they_brought() -> None:
    spot = (fill(10, symbol="ETHUSDT", client_id="", fee="0.05", fee_currency="ETH"), adopt("100"))
    assert found(spot, snapshot(balances={"USDT": "90", "ETH": "0.95"})) == []
    assert found(spot, snapshot(balances={"USDT": "90", "ETH": "1"})) == [(Kind.BALANCE, "ETH", False)]
    closed = (fill(10, client_id=""), fill(10, "t2", "", Side.SELL, 110), adopt("100"))
    assert found(closed, snapshot(balances={"USDT": "101"})) == []
    unknown_worth = (fill(10, client_id="", symbol="NEW"),)
    assert found(unknown_worth, snapshot({"NEW": 10})) == []


def test_a_balance_is_explained_by_executions_under_way_and_only_as_far_as_they_can_move_it() -> None:
    buying = (intent(symbol="ETHUSDT"), permit(), wire(), sent(), adopt("100"))
    bought = snapshot(balances={"USDT": "90", "ETH": "1.0"})
    assert found(buying, bought) == [(Kind.BALANCE, "ETH", True), (Kind.BALANCE, "USDT", True)]
    too_much = snapshot(balances={"USDT": "79", "ETH": "1.1"})
    assert found(buying, too_much) == [(Kind.BALANCE, "ETH", False), (Kind.BALANCE, "USDT", False)]
    assert found((adopt("100"),), bought) == [(Kind.BALANCE, "ETH", False), (Kind.BALANCE, "USDT", False)]
    strange = (intent(symbol="NEW"), permit(), wire(), sent())
    assert found(strange, bought) == [(Kind.BALANCE, "ETH", False), (Kind.BALANCE, "USDT", False)]


def test_an_order_of_ours_in_what_is_now_others_market_explains_what_it_can_move() -> None:
    """It may be left from a life in which the market was managed; what is held there is told by nobody and is no difference."""
    worths = {where: worth for where, worth in MANAGED.worths.items() if where != (VENUE, "ETHUSDT")}
    shared = msgspec.structs.replace(MANAGED, worths=worths, foreign={(VENUE, "ETHUSDT"): MANAGED.worths[VENUE, "ETHUSDT"]})
    buying = (intent(symbol="ETHUSDT"), permit(), wire(), sent(), adopt("100"))
    bought = snapshot(balances={"USDT": "90", "ETH": "1.0"})
    assert found(buying, bought, shared) == [(Kind.BALANCE, "ETH", True), (Kind.BALANCE, "USDT", True)]
    assert found((adopt("100"),), bought, shared) == [(Kind.BALANCE, "ETH", False), (Kind.BALANCE, "USDT", False)]
    perpetual = msgspec.structs.replace(MANAGED, worths={}, foreign={(VENUE, SYMBOL): PERPETUAL})
    assert found(LOST, snapshot(), perpetual) == []
    assert found(LOST, snapshot({SYMBOL: 7}), perpetual) == [(Kind.POSITION, SYMBOL, True)]


def test_the_verdict_needs_every_difference_explained() -> None:
    good = Difference(Kind.POSITION, SYMBOL, "0", "1", True, "executions under way")
    bad = msgspec.structs.replace(good, explained=False)
    assert verdict(snapshot(), [], 5).explained
    assert verdict(snapshot(), [good], 5).explained
    refused = verdict(snapshot(), [good, bad], 5)
    assert not refused.explained
    assert refused.differences[0] == ("position", "BTCUSDT: expected 0, found 1; executions under way")


def test_comparing_changes_nothing_and_makes_no_execution_up() -> None:
    orders, ledger = fold(*OPENED, report(S.FILLED, 10, venue_ns=50))
    before = (orders.digest_parts(), ledger.digest_parts())
    compare(orders, ledger, snapshot({SYMBOL: 10}), MANAGED)
    assert (orders.digest_parts(), ledger.digest_parts()) == before
    source = reconcile.__file__
    with open(source, encoding="utf-8") as text:
        assert "r.Filled" not in text.read()


class Days:
    """A venue that is played beside the journal: three days of trades, funding every eight hours, a deposit, an airdrop, fees in BNB."""

    def __init__(self) -> None:
        self.orders, self.ledger = Orders(), Ledger()
        self.now = 1
        self.position = 0
        self.cost = Decimal(0)
        self.wallet = {"USDT": Decimal(1_000), "BNB": Decimal(1)}
        self.verdicts: list[r.Reconciled] = []
        for currency, amount in self.wallet.items():
            self.tell(event(K.ADJUST, str(amount), "", currency, actor="me", nonce=f"n{currency}", venue_ns=0))

    def tell(self, record: r.Record) -> None:
        machine.apply(self.orders, record)
        books.apply(self.ledger, record)

    def round_trip(self, name: str, lots: int, gain_ticks: int) -> None:
        for suffix, side, ticks in (("o", Side.BUY, 50_000), ("c", Side.SELL, 50_000 + gain_ticks)):
            client_id = name + suffix
            for record in (
                intent(client_id, lots=lots, ticks=ticks, side=side),
                permit(client_id),
                wire(client_id),
                sent(client_id),
                answer(S.OPEN, client_id),
            ):
                self.tell(record)
            self.position += side * lots
            self.wallet["BNB"] -= Decimal("0.0001")
            if side is Side.SELL:
                self.wallet["USDT"] += PERPETUAL.tick_lot * gain_ticks * lots
            self.now += 10
            self.tell(fill(lots, client_id, client_id, side, ticks, fee="0.0001", fee_currency="BNB", venue_ns=self.now))
            self.tell(report(S.FILLED, lots, lots, self.now, client_id))
            self.compare()

    def flow(self, kind: r.LedgerKind, amount: str, currency: str = "USDT", told: bool = True) -> None:
        self.now += 10
        self.wallet[currency] = self.wallet.get(currency, Decimal(0)) + Decimal(amount)
        if told:
            self.tell(event(kind, amount, f"{kind}{self.now}", currency, venue_ns=self.now))
        self.compare()

    def compare(self) -> None:
        balances = {currency: str(amount) for currency, amount in self.wallet.items()}
        snap = snapshot({SYMBOL: self.position} if self.position else {}, balances, venue_ns=self.now + 1)
        self.verdicts.append(verdict(snap, compare(self.orders, self.ledger, snap, MANAGED), 1))


def three_days(*, airdrop_told: bool = True) -> Days:
    days = Days()
    for day in range(3):
        for third in range(3):
            days.round_trip(f"d{day}t{third}", lots=third + 1, gain_ticks=7 * day - 5)
            days.flow(K.FUNDING, f"-0.0{third + 1}")
        if day == 1:
            until = days.now + 1_000
            days.tell(
                r.LedgerExpected(
                    boot_ns=1,
                    kind=K.DEPOSIT,
                    venue=VENUE,
                    account=ACCOUNT,
                    currency="USDT",
                    amount=Decimal(500),
                    until_wall_ns=until,
                    actor="me",
                )
            )
            days.flow(K.DEPOSIT, "500")
            days.flow(K.AIRDROP, "12.5", "XYZ", told=airdrop_told)
    return days


def test_three_days_with_funding_a_deposit_an_airdrop_and_fees_in_a_third_asset_are_quiet() -> None:
    days = three_days()
    assert len(days.verdicts) == 29
    assert [v.differences for v in days.verdicts if v.differences] == []
    assert days.orders.violations == []
    assert days.ledger.flags == {}
    assert books.unexpected_transfers(days.ledger) == []
    # The control: the same days without word of the airdrop are not.
    silent = three_days(airdrop_told=False)
    assert [v.explained for v in silent.verdicts].count(False) == 10
