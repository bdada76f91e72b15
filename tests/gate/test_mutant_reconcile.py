"""Reconciliation at its edges: each difference word for word, and how much exactly what is under way can explain."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
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
    released,
    report,
    reversal,
    sent,
    unknown,
    wire,
)
from tests.gate.reconcile_cases import ETH, MANAGED, NOW, PERPETUAL, SPOT, fold, row, snapshot

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.reconcile import Cut, Difference, Kind, Managed, compare, cut, expected_balances, verdict

S, K = OrderState, r.LedgerKind


def adopt(amount: str, currency: str = "USDT") -> r.LedgerEvent:
    return event(K.ADJUST, amount, "", currency, actor="me", nonce=f"n{currency}")


BUYING: tuple[r.Record, ...] = (intent(symbol=ETH), permit(), wire(), sent(), adopt("100"))
"""Ten lots at 100: 1 ETH, and at most twice their price."""


def told(records: tuple[r.Record, ...], snap: r.Snapshot, managed: Managed = MANAGED) -> list[Difference]:
    return compare(*fold(*records), snap, managed)


def explained(records: tuple[r.Record, ...], snap: r.Snapshot, managed: Managed = MANAGED) -> list[tuple[Kind, str, bool]]:
    return [(d.kind, d.subject, d.explained) for d in told(records, snap, managed)]


def gone_long_ago(filled: int) -> tuple[r.Record, ...]:
    """An order whose end the venue told before the snapshot, with executions that nobody has seen."""
    return (*OPENED, report(S.CANCELLED, filled, venue_ns=NOW - 1))


# Words: a person decides by them what to adopt


@pytest.mark.parametrize(
    ("records", "snap", "expected"),
    [
        (
            OPENED,
            snapshot(),
            Difference(Kind.ORDER_MISSING, "a", "10 open", "not open", False, "it was open and is gone without a report"),
        ),
        (
            (*OPENED, fill(4), cancel()),
            snapshot({SYMBOL: 4}),
            Difference(Kind.ORDER_MISSING, "a", "6 open", "not open", True, "its end is under way"),
        ),
        (
            (*OPENED, report(S.OPEN, venue_ns=NOW)),
            snapshot(),
            Difference(Kind.ORDER_MISSING, "a", "10 open", "not open", True, "told after the snapshot"),
        ),
        (
            OPENED,
            snapshot(open_orders=(row(11),)),
            Difference(Kind.ORDER_SIZE, "a", "10", "11 open", False, "nothing under way makes it so"),
        ),
        (
            (*OPENED, fill(1, venue_ns=NOW + 1), report(S.PARTIAL, 1, venue_ns=NOW + 1)),
            snapshot(open_orders=(row(10),)),
            Difference(Kind.ORDER_SIZE, "a", "9", "10 open", True, "told after the snapshot"),
        ),
        (
            (*OPENED, report(S.CANCELLED, venue_ns=50)),
            snapshot(open_orders=(row(10),)),
            Difference(Kind.ORDER_SIZE, "a", "ended", "10 open", False, "nothing under way makes it so"),
        ),
        (
            (*OPENED, intent("a", 1, 15), permit("a", 1), wire("a", 1)),
            snapshot(open_orders=(row(16),)),
            Difference(Kind.ORDER_SIZE, "a", "10 or 15", "16 open", False, "nothing under way makes it so"),
        ),
        (
            (intent(),),
            snapshot(open_orders=(row(10),)),
            Difference(Kind.ORDER_SIZE, "a", "ended", "10 open", False, "nothing under way makes it so"),
        ),
        (
            (intent(), permit()),
            snapshot(open_orders=(row(10),)),
            Difference(Kind.ORDER_SIZE, "a", "ended", "10 open", False, "nothing under way makes it so"),
        ),
        (
            (),
            snapshot({SYMBOL: -3}),
            Difference(Kind.POSITION, SYMBOL, "0", "-3", False, "executions under way make +0 to +0 lots"),
        ),
        (
            (fill(2, client_id=""),),
            snapshot(),
            Difference(Kind.POSITION, SYMBOL, "2", "0", False, "executions under way make +0 to +0 lots"),
        ),
        (
            (adopt("5"),),
            snapshot(balances={"USDT": "7"}),
            Difference(Kind.BALANCE, "USDT", "5", "7", False, "executions under way can move it by 0"),
        ),
        (
            (),
            snapshot(open_orders=(row(3, "aaaa1"),)),
            Difference(Kind.OWN_UNKNOWN, "aaaa1", "no order", "3 lots of BTCUSDT", False, "its id is ours, the journal lacks it"),
        ),
        (
            (),
            snapshot(open_orders=(row(3, "web"),)),
            Difference(Kind.FOREIGN_ORDER, "web", "no order", "3 lots of BTCUSDT", False, "nobody else may trade this here"),
        ),
    ],
)
def test_a_difference_says_what_was_expected_what_was_found_and_why(
    records: tuple[r.Record, ...], snap: r.Snapshot, expected: Difference
) -> None:
    assert told(records, snap) == [expected]


def test_an_execution_that_is_missing_is_told_with_both_figures() -> None:
    records = (*OPENED, fill(3), report(S.FILLED, 10, venue_ns=50))
    assert told(records, snapshot({SYMBOL: 10})) == [
        Difference(Kind.FILL_MISSING, "a", "10 lots", "3 lots", True, "the venue reported more than the executions seen"),
        Difference(Kind.POSITION, SYMBOL, "3", "10", True, "executions under way"),
    ]
    assert told(records, snapshot({SYMBOL: 3}))[1].why == "executions under way make +7 to +7 lots"


def test_what_is_explained_by_executions_under_way_says_so() -> None:
    assert told(OPENED, snapshot({SYMBOL: 4}, open_orders=(row(6),))) == [
        Difference(Kind.ORDER_SIZE, "a", "10", "6 open", True, "executions under way"),
        Difference(Kind.POSITION, SYMBOL, "0", "4", True, "executions under way"),
    ]
    assert told(BUYING, snapshot(balances={"USDT": "100", "ETH": "0.4"})) == [
        Difference(Kind.BALANCE, "ETH", "0", "0.4", True, "executions under way")
    ]


def test_what_may_be_executed_on_both_sides_spans_a_range() -> None:
    """Ten may be bought and four sold; three that were sold are certain."""
    records: tuple[r.Record, ...] = (
        *(intent("b", lots=10), permit("b"), wire("b")),
        *(intent("s", lots=4, side=Side.SELL), permit("s"), wire("s")),
        *(intent("e", lots=3, side=Side.SELL), permit("e"), wire("e"), sent("e"), report(S.FILLED, 3, venue_ns=50, client_id="e")),
    )
    for lots in (-7, 7):
        assert [d.explained for d in told(records, snapshot({SYMBOL: lots})) if d.kind is Kind.POSITION] == [True]
    for lots in (-8, 8):
        beyond = [d for d in told(records, snapshot({SYMBOL: lots})) if d.kind is Kind.POSITION]
        assert [(d.explained, d.why) for d in beyond] == [(False, "executions under way make -7 to +7 lots")]


def test_the_record_of_a_comparison_names_its_account_and_time() -> None:
    orders, ledger = fold(*OPENED)
    snap = snapshot()
    assert verdict(snap, compare(orders, ledger, snap, MANAGED), 5) == r.Reconciled(
        boot_ns=5,
        venue=VENUE,
        account=ACCOUNT,
        explained=False,
        differences=(("order_missing", "a: expected 10 open, found not open; it was open and is gone without a report"),),
    )


@pytest.mark.parametrize(
    ("cursors", "tries", "expected"),
    [
        (("c", "c"), 9, Cut.CONSISTENT),
        (("c", "d"), 2, Cut.AGAIN),
        (("c", "d"), 3, Cut.QUIET),
        (("c", "d"), 4, Cut.QUIET),
        (("", ""), 3, Cut.QUIET),
        (("", "c"), 1, Cut.AGAIN),
        (("c", ""), 1, Cut.AGAIN),
    ],
)
def test_a_cut_is_tried_again_as_often_as_was_said(cursors: tuple[str, str], tries: int, expected: Cut) -> None:
    assert cut(snapshot(cursors=cursors), tries, 3) is expected


# Balances: how far exactly executions under way can move one


def moves(records: tuple[r.Record, ...], currency: str, by: str, managed: Managed = MANAGED) -> bool:
    """Whether a balance that differs by so much from what the ledger has is explained."""
    orders, ledger = fold(*records)
    balances = expected_balances(ledger, VENUE, ACCOUNT, managed, NOW)
    balances[currency] = balances.get(currency, Decimal(0)) + Decimal(by)
    snap = snapshot(balances={name: str(amount) for name, amount in balances.items()})
    differences = compare(orders, ledger, snap, managed)
    return {d.subject: d.explained for d in differences if d.kind is Kind.BALANCE}.get(currency, True)


@pytest.mark.parametrize(
    ("records", "base", "money"),
    [
        ((adopt("100"),), "0", "0"),
        (BUYING, "1.0", "20"),
        # Two orders, on one market, each count.
        ((*BUYING, intent("b", symbol=ETH, side=Side.SELL, lots=3, ticks=200), permit("b"), wire("b")), "1.3", "32"),
        # An amend to more, at a better price or at a worse, counts at the larger of both.
        ((*BUYING, answer(S.OPEN), intent("a", 1, 15, symbol=ETH, ticks=110), permit("a", 1), wire("a", 1)), "1.5", "33"),
        ((*BUYING, answer(S.OPEN), intent("a", 1, 15, symbol=ETH, ticks=90), permit("a", 1), wire("a", 1)), "1.5", "30"),
        # What was executed after the snapshot is booked already, and can be missing from the balances.
        ((fill(4, symbol=ETH, client_id="", ticks=110, venue_ns=NOW + 1), adopt("100")), "0.4", "8.8"),
        ((fill(4, symbol=ETH, client_id="", ticks=110, side=Side.SELL, venue_ns=NOW + 1), adopt("100")), "0.4", "8.8"),
        ((fill(4, symbol=ETH, client_id="", ticks=110, venue_ns=NOW), adopt("100")), "0", "0"),
        # An order that ended before the snapshot: what it owes, and no more.
        ((*BUYING, report(S.CANCELLED, 3, venue_ns=50)), "0.3", "6"),
        ((*BUYING, fill(1, symbol=ETH), report(S.CANCELLED, 3, venue_ns=50)), "0.2", "4"),
    ],
)
def test_executions_under_way_move_a_balance_by_their_lots_or_twice_their_price_and_no_more(
    records: tuple[r.Record, ...], base: str, money: str
) -> None:
    for currency, most in (("ETH", base), ("USDT", money)):
        for sign in ("", "-"):
            assert moves(records, currency, f"{sign}{most}")
            assert not moves(records, currency, f"{sign}{Decimal(most) + Decimal('0.01')}")


def test_a_perpetual_moves_only_the_currency_that_it_settles_in() -> None:
    buying = (*PLACED, adopt("100"))
    assert moves(buying, "USDT", "20")
    assert not moves(buying, "USDT", "20.01")
    assert not moves(buying, "BTC", "0.01")


def test_an_order_without_a_price_explains_lots_and_no_money() -> None:
    unpriced = (intent(symbol=ETH, ticks=0), permit(), wire(), sent(), adopt("100"))
    assert moves(unpriced, "ETH", "1.0")
    assert not moves(unpriced, "USDT", "0.01")


def test_markets_are_added_up_and_one_of_unknown_worth_hides_no_other() -> None:
    """The strange market is met first, whichever way they are gone through."""
    strange = (intent("0", symbol="AAA"), permit("0"), wire("0"))
    records = (*strange, *BUYING, *(intent("b"), permit("b"), wire("b")), *(intent("z", symbol="ZZZ"), permit("z"), wire("z")))
    assert moves(records, "USDT", "40")
    assert not moves(records, "USDT", "40.01")
    assert moves(records, "ETH", "1.0")
    assert not moves(records, "ETH", "1.01")
    other = msgspec.structs.replace(
        MANAGED, worths={(VENUE, SYMBOL): msgspec.structs.replace(PERPETUAL, currency="USDC"), (VENUE, ETH): SPOT}
    )
    assert moves(records, "USDT", "20", other)
    assert not moves(records, "USDT", "20.01", other)


def test_a_shown_order_tells_exactly_how_much_can_be_missing_from_a_balance() -> None:
    opened = (*BUYING, answer(S.OPEN))
    orders, ledger = fold(*opened)
    for open_lots, base in ((10, "0"), (7, "0.3")):
        for by, expected in ((base, True), (f"{Decimal(base) + Decimal('0.01')}", False)):
            snap = snapshot(balances={"USDT": "100", "ETH": by}, open_orders=(row(open_lots, symbol=ETH),))
            found = {d.subject: d.explained for d in compare(orders, ledger, snap, MANAGED) if d.kind is Kind.BALANCE}
            assert found.get("ETH", True) is expected


def test_balances_are_those_of_the_account_over_all_its_markets() -> None:
    """Markets of unknown worth and other accounts lie before, between and after its own."""
    _, ledger = fold(
        fill(5, "t1", "", symbol="AAA"),
        fill(1, "t2", "", account="aaa"),
        fill(10, "t3", "", symbol=SYMBOL),
        fill(10, "t4", "", Side.SELL, 110, symbol=SYMBOL),
        fill(5, "t5", "", symbol="CCC"),
        fill(10, "t6", "", symbol=ETH),
        fill(4, "t7", "", Side.SELL, 150, symbol="XRPUSDT", fee="0.5"),
        fill(9, "t8", "", account="zzz", symbol=ETH),
        fill(9, "t9", "", venue="binance", symbol=ETH),
        adopt("100"),
        adopt("3", "ETH"),
        adopt("1", "XRP"),
    )
    xrp = msgspec.structs.replace(SPOT, base="XRP", lot=Decimal("0.5"))
    managed = msgspec.structs.replace(MANAGED, worths={**MANAGED.worths, (VENUE, "XRPUSDT"): xrp, ("binance", ETH): SPOT})
    # 100 adopted; 1 realised on the perpetual; 10 paid for ETH; 6 got for XRP, less the fee of 0.5.
    assert expected_balances(ledger, VENUE, ACCOUNT, managed, NOW) == {
        "USDT": Decimal("96.5"),
        "ETH": Decimal("4.0"),
        "XRP": Decimal("-1.0"),
    }


def test_a_currency_that_no_flow_has_touched_begins_at_nothing() -> None:
    _, ledger = fold(fill(10, client_id="", symbol=ETH, fee_currency="BNB"))
    assert expected_balances(ledger, VENUE, ACCOUNT, MANAGED, NOW) == {"BNB": Decimal(0), "USDT": Decimal(-10), "ETH": Decimal(1)}


@pytest.mark.parametrize("shared", [True, False])
def test_a_currency_that_is_not_managed_is_a_persons_own_on_a_shared_account_only(shared: bool) -> None:
    managed = msgspec.structs.replace(MANAGED, unmanaged=frozenset({"DOGE"} if shared else ()))
    both = told((), snapshot(balances={"DOGE": "7", "XYZ": "7"}), managed)
    assert [(d.subject, d.explained, d.why) for d in both] == [
        ("DOGE", shared, "not managed on this shared account" if shared else "executions under way can move it by 0"),
        ("XYZ", False, "executions under way can move it by 0"),
    ]


def test_a_rounding_that_is_allowed_in_one_currency_hides_nothing_in_the_next() -> None:
    rounding = msgspec.structs.replace(MANAGED, rounding={"AAA": Decimal("0.01")})
    assert explained((), snapshot(balances={"AAA": "-0.01", "USDT": "0.01"}), rounding) == [(Kind.BALANCE, "USDT", False)]


# Positions


def test_a_spot_market_is_no_position_and_hides_no_other() -> None:
    records = (fill(4, "t1", "", symbol="AAA"), fill(4, "t2", "", symbol=SYMBOL), fill(4, "t3", "", symbol="ZZZ"))
    spot = msgspec.structs.replace(MANAGED, worths={(VENUE, "AAA"): SPOT, (VENUE, SYMBOL): PERPETUAL})
    found = [d for d in told(records, snapshot({"AAA": 1}), spot) if d.kind is Kind.POSITION]
    assert [(d.subject, d.expected, d.found) for d in found] == [(SYMBOL, "4", "0"), ("ZZZ", "4", "0")]


def test_a_missing_execution_of_a_spot_market_is_left_to_its_balance() -> None:
    records = (*BUYING, answer(S.OPEN), report(S.FILLED, 10, venue_ns=50))
    bought = told(records, snapshot(balances={"USDT": "90", "ETH": "1.0"}))
    assert [(d.kind, d.explained) for d in bought] == [(Kind.FILL_MISSING, True), (Kind.BALANCE, True), (Kind.BALANCE, True)]


@pytest.mark.parametrize(
    ("records", "open_lots", "fits"),
    [
        # Not shown, and alive: anything up to the whole of it.
        (PLACED, None, range(11)),
        # Shown: exactly what is no longer open.
        (OPENED, 7, range(3, 4)),
        ((*OPENED, fill(2)), 7, range(3, 4)),
        # Shown larger than it was asked for: nothing was executed.
        (OPENED, 12, range(1)),
        # An amend is under way: what is open does not tell what was executed.
        ((*OPENED, intent("a", 1, 15), permit("a", 1), wire("a", 1)), 7, range(16)),
        # Told at the time of the snapshot or later: the snapshot may show it or not.
        ((*OPENED, report(S.OPEN, venue_ns=NOW)), 7, range(11)),
        ((*OPENED, report(S.OPEN, venue_ns=NOW - 1)), 7, range(3, 4)),
        # Ended before: exactly what it owes. Ended later: up to that.
        (gone_long_ago(4), None, range(4, 5)),
        ((*gone_long_ago(4), fill(1)), None, range(4, 5)),
        ((*OPENED, report(S.CANCELLED, 4, venue_ns=NOW)), None, range(5)),
    ],
)
def test_which_positions_an_order_explains(records: tuple[r.Record, ...], open_lots: int | None, fits: range) -> None:
    shown = () if open_lots is None else (row(open_lots),)
    found = []
    for lots in range(-2, 20):
        differences = [d for d in told(records, snapshot({SYMBOL: lots}, open_orders=shown)) if d.kind is Kind.POSITION]
        if all(d.explained for d in differences):
            found.append(lots)
    assert found == list(fits)


def test_a_sell_explains_the_mirror_of_what_a_buy_does() -> None:
    selling = (intent(side=Side.SELL), permit(), wire(), sent(), answer(S.OPEN))
    for open_lots, fits in ((None, range(-10, 1)), (7, range(-3, -2))):
        shown = () if open_lots is None else (row(open_lots),)
        differences = {
            lots: [d.explained for d in told(selling, snapshot({SYMBOL: lots}, open_orders=shown)) if d.kind is Kind.POSITION]
            for lots in range(-12, 3)
        }
        assert [lots for lots, found in differences.items() if all(found)] == list(fits)


# Orders


@pytest.mark.parametrize(
    ("records", "sizes"),
    [
        (OPENED, {10}),
        ((*OPENED, fill(4)), {6}),
        ((*OPENED, report(S.PARTIAL, 3, venue_ns=50)), {7}),
        # What was taken back had been executed: the order does not stand larger for it.
        ((*OPENED, fill(4), reversal()), {6}),
        ((*OPENED, fill(4), intent("a", 1, 15), permit("a", 1), wire("a", 1)), {6, 11}),
        ((*OPENED, fill(4), intent("a", 1, 8), permit("a", 1), wire("a", 1)), {4, 6}),
        # Nobody wrote it: the venue cannot have it from us.
        ((*OPENED, fill(4), intent("a", 1, 15)), {6}),
        ((*OPENED, fill(4), intent("a", 1, 15), permit("a", 1)), {6}),
        ((*OPENED, fill(4), intent("a", 1, 15), permit("a", 1), unknown("a", 1)), {6, 11}),
    ],
)
def test_which_sizes_of_an_order_are_no_difference(records: tuple[r.Record, ...], sizes: set[int]) -> None:
    orders, ledger = fold(*records)
    fits = set()
    for lots in range(1, 20):
        differences = compare(orders, ledger, snapshot(open_orders=(row(lots),)), MANAGED)
        if all(d.kind is not Kind.ORDER_SIZE for d in differences):
            fits.add(lots)
    assert fits == sizes


def test_two_orders_at_the_venue_under_one_id_of_ours_are_counted_together() -> None:
    """An id that was used twice: neither of the two may stand for both."""
    first, second = ("a", "v1", SYMBOL, 10), ("a", "v2", SYMBOL, 10)
    for rows in ((first, second), (second, first)):
        assert told(OPENED, snapshot(open_orders=rows)) == [
            Difference(Kind.ORDER_SIZE, "a", "10", "20 open", False, "nothing under way makes it so")
        ]
    # The control: one that a list shows twice is one.
    assert told(OPENED, snapshot(open_orders=(first, first))) == []


def test_executions_explain_what_is_open_of_an_order_on_its_way_to_another_size() -> None:
    """6 or 11 may be open, and 8 are: three executions of the larger."""
    records = (*OPENED, fill(4), intent("a", 1, 15), permit("a", 1), wire("a", 1))
    shown = (row(8),)
    assert explained(records, snapshot({SYMBOL: 7}, open_orders=shown)) == [(Kind.ORDER_SIZE, "a", True), (Kind.POSITION, SYMBOL, True)]
    assert explained(records, snapshot({SYMBOL: 16}, open_orders=shown)) == [(Kind.ORDER_SIZE, "a", False), (Kind.POSITION, SYMBOL, False)]


def test_an_order_that_is_shown_with_nothing_open_is_not_explained() -> None:
    """A venue does not list what is executed; that everything was is no reason to."""
    assert explained(OPENED, snapshot({SYMBOL: 10}, open_orders=(row(0),))) == [
        (Kind.ORDER_SIZE, "a", False),
        (Kind.POSITION, SYMBOL, True),
    ]
    assert explained(OPENED, snapshot({SYMBOL: 9}, open_orders=(row(1),))) == [
        (Kind.ORDER_SIZE, "a", True),
        (Kind.POSITION, SYMBOL, True),
    ]


@pytest.mark.parametrize(
    ("tif", "more", "ending"),
    [
        (TimeInForce.GTC, (), False),
        (TimeInForce.IOC, (), True),
        (TimeInForce.FOK, (), True),
        (TimeInForce.GTC, (cancel(),), True),
    ],
)
def test_an_order_that_is_gone_is_explained_by_its_end_only_with_its_position(
    tif: TimeInForce, more: tuple[r.Record, ...], ending: bool
) -> None:
    records = (intent(tif=tif), permit(), wire(), sent(), answer(S.OPEN), *more)
    for lots, position in ((0, True), (10, True), (11, False)):
        found = {d.kind: d.explained for d in told(records, snapshot({SYMBOL: lots}))}
        assert found[Kind.ORDER_MISSING] is (ending and position)


def test_an_order_told_of_after_the_snapshot_is_explained_whatever_the_position() -> None:
    records = (*OPENED, report(S.OPEN, venue_ns=NOW))
    assert explained(records, snapshot({SYMBOL: 11})) == [(Kind.ORDER_MISSING, "a", True), (Kind.POSITION, SYMBOL, False)]


@pytest.mark.parametrize("held", [PLACED, LOST, (*PLACED, answer(S.ACKED)), (intent(), permit()), (intent(),)])
def test_an_order_that_was_never_shown_is_not_missed(held: tuple[r.Record, ...]) -> None:
    assert told(held, snapshot()) == []


def test_an_order_of_another_venue_or_account_is_no_difference_and_explains_nothing() -> None:
    elsewhere: tuple[r.Record, ...] = (
        *(intent("b", account="second"), permit("b"), wire("b"), answer(S.OPEN, "b")),
        *(intent("c", venue="binance"), permit("c"), wire("c"), answer(S.OPEN, "c")),
    )
    assert told(elsewhere, snapshot()) == []
    assert explained(elsewhere, snapshot({SYMBOL: 1})) == [(Kind.POSITION, SYMBOL, False)]
    # The control: one of this account is missed, and explains.
    assert explained((*elsewhere, *OPENED), snapshot({SYMBOL: 1})) == [(Kind.ORDER_MISSING, "a", False), (Kind.POSITION, SYMBOL, True)]


def test_any_of_several_tags_marks_an_order_as_ours() -> None:
    managed = msgspec.structs.replace(MANAGED, tags=("aaaa", "bbbb"), foreign={(VENUE, SYMBOL): PERPETUAL})
    rows = tuple(row(1, name) for name in ("aaaa1", "bbbb1", "xaaaa", ""))
    found = told((), snapshot(open_orders=rows), managed)
    assert [(d.kind, d.subject, d.explained, d.why) for d in found] == [
        (Kind.OWN_UNKNOWN, "aaaa1", False, "its id is ours, the journal lacks it"),
        (Kind.OWN_UNKNOWN, "bbbb1", False, "its id is ours, the journal lacks it"),
        (Kind.FOREIGN_ORDER, "xaaaa", True, "not managed on this shared account"),
        (Kind.FOREIGN_ORDER, "v", True, "not managed on this shared account"),
    ]


def test_what_a_person_said_was_filled_is_missed_until_it_is_seen() -> None:
    lost = (*LOST, r.Quarantined(boot_ns=1, client_id="a", reason=""), released(S.CANCELLED, filled=3))
    assert explained(lost, snapshot({SYMBOL: 3})) == [(Kind.FILL_MISSING, "a", True), (Kind.POSITION, SYMBOL, True)]
    assert explained(lost, snapshot({SYMBOL: 2})) == [(Kind.FILL_MISSING, "a", False), (Kind.POSITION, SYMBOL, False)]
