"""An account that a person uses too: what they do in the assets on the allow-list is recorded and takes room; anything else of theirs halts."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import core_world as cw
from tests.gate import limit_cases as lc
from tests.gate import order_records as rec
from tests.gate import reconcile_cases
from tests.gate.limit_cases import TEXT
from tests.gate.venue_account import ACCOUNT, SYMBOL, UNMANAGED, VENUE, Bench, bench, own_id, shown

from interlock.domain.errors import BadInput
from interlock.domain.orders import OrderState, Side
from interlock.gate import foreign
from interlock.gate import records as r
from interlock.gate.evaluate import Allowed, Denied, evaluate
from interlock.gate.exposure import Burden, Equity, exposure_of, universe_of
from interlock.gate.foreign import Others, active_symbols, at_either, burden_of
from interlock.gate.ledger import Flag, Ledger, unexpected_transfers
from interlock.gate.ledger import apply as booked
from interlock.gate.limit_sheet import LimitSheet, parse
from interlock.gate.margin import MarginNeed, with_burden
from interlock.gate.market_watch import listing_worth
from interlock.gate.money_watch import equity_of
from interlock.gate.profit import Results, Unmarked, results
from interlock.gate.reconcile import Kind as Difference
from interlock.gate.reconcile import Managed, compare
from interlock.gate.reconciler import Reconciler, opening
from interlock.gate.references import Quote
from interlock.gate.throttles import Throttles
from interlock.gate.venue_reads import Holding, Holdings, OrderList, ShownOrder
from interlock.gate.verbs import Cause

K = r.LedgerKind
WHERE = (VENUE, ACCOUNT)
DOGE, DOGE_SPOT = "DOGEUSDT", "DOGEKRW"
WORTHS = {(VENUE, SYMBOL): listing_worth(UNMANAGED.listings[DOGE])}
MANAGED = Managed(
    tags=("demo",),
    worths=WORTHS,
    unmanaged=UNMANAGED.assets,
    foreign={(VENUE, symbol): listing_worth(listing) for symbol, listing in UNMANAGED.listings.items()},
)
SHARED = lc.changed(lc.SHEET, "venues", "bybit", shared=True, unmanaged_assets=("DOGE",))
FREE = Burden(0, 0, 0, 0, 0, 0, lc.NOW)


def usd(amount: float) -> int:
    return int(amount * 1_000_000)


# What the sheet says


def with_keys(text: str) -> str:
    return TEXT.replace('accounts = ["main"]', f'accounts = ["main"]\n{text}')


def test_a_sheet_that_does_not_say_so_shares_nothing() -> None:
    venue = parse(TEXT, "x").venues["bybit"]
    assert (venue.shared, venue.unmanaged_assets) == (False, ())
    venue = parse(with_keys('shared = true\nunmanaged_assets = ["XRP", "DOGE"]'), "x").venues["bybit"]
    assert (venue.shared, venue.unmanaged_assets) == (True, ("DOGE", "XRP"))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("shared = true", "unmanaged_assets"),
        ("shared = true\nunmanaged_assets = []", "unmanaged_assets"),
        ('unmanaged_assets = ["DOGE"]', "unmanaged_assets"),
        ('shared = false\nunmanaged_assets = ["DOGE"]', "unmanaged_assets"),
        ('shared = 1\nunmanaged_assets = ["DOGE"]', "shared"),
        ('shared = true\nunmanaged_assets = "DOGE"', "unmanaged_assets"),
        ("share = true", "share"),
    ],
)
def test_half_a_word_about_sharing_is_none(text: str, key: str) -> None:
    with pytest.raises(BadInput, match=f"venues.bybit.{key}"):
        parse(with_keys(text), "x")


# What is recorded


def test_an_execution_of_others_in_an_unmanaged_asset_is_booked_as_theirs_and_one_elsewhere_halts() -> None:
    with bench(shared=True) as b:
        for _ in range(2):
            b.watch.take(rec.fill(4, "t1", "web-1", symbol=DOGE))
        (event,) = b.told(r.LedgerEvent)
        assert (event.kind, event.symbol, event.lots, event.ticks) == (K.FOREIGN, DOGE, 4, 100)
        assert b.state.ledger.theirs[VENUE, ACCOUNT, DOGE].lots == 4
        assert (b.state.ledger.positions, b.told(r.Filled), b.latches()) == ({}, [], [])
        b.watch.take(rec.fill(4, "t1", "web-1"))
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]


def test_the_same_asset_on_an_account_of_our_own_halts() -> None:
    with bench() as b:
        b.watch.take(rec.fill(4, "t1", "web-1", symbol=DOGE))
        assert b.latches() == [Cause.FOREIGN_ACTIVITY.value]


def test_an_execution_that_goes_by_an_id_of_ours_halts_in_any_asset() -> None:
    with bench(shared=True) as b:
        b.watch.take(rec.fill(4, "t1", own_id(9), symbol=DOGE))
        assert b.latches() == [Cause.OWN_PREFIX_UNKNOWN.value]


def test_an_execution_of_others_that_is_taken_back_is_undone_and_one_of_ours_halts() -> None:
    with bench(shared=True) as b:
        b.watch.take(rec.fill(4, "t1", "", symbol=DOGE))
        for _ in range(2):
            b.watch.take(rec.reversal("t1", DOGE))
        assert [one.lots for one in b.told(r.LedgerEvent)] == [4, -4]
        assert b.state.ledger.theirs[VENUE, ACCOUNT, DOGE].lots == 0
        assert b.latches() == []
        b.watch.take(rec.reversal("t2", DOGE))  # of an execution that nobody told
        assert b.latches() == [Cause.REVERSAL.value]


@pytest.mark.parametrize(
    ("event", "latched"),
    [
        (rec.event(K.DEPOSIT, "5", "e1", "DOGE"), False),
        (rec.event(K.FUNDING, "-5", "e1", "USDT", symbol=DOGE), False),
        (rec.event(K.AIRDROP, "5", "e1", "GIFT"), False),
        (rec.event(K.LIQUIDATION, "0", "e1", "USDT", symbol=DOGE), True),
        (rec.event(K.ADL, "0", "e1", "DOGE"), True),
    ],
)
def test_balance_moves_in_unmanaged_assets_are_theirs_but_for_what_the_venue_does_to_the_account(
    event: r.LedgerEvent, latched: bool
) -> None:
    with bench(shared=True) as b:
        for _ in range(2):
            b.watch.take(event)
        (kept,) = b.told(r.LedgerEvent)
        assert (kept.kind is K.FOREIGN) is not latched
        assert bool(b.latches()) is latched
        assert unexpected_transfers(b.state.ledger) == []
        # The control: the same of a managed currency is as ever.
        b.watch.take(rec.event(K.DEPOSIT, "5", "e2", "USDT"))
        assert len(unexpected_transfers(b.state.ledger)) == 1


def test_what_others_do_is_no_result_of_ours() -> None:
    ledger = Ledger()
    for event in (foreign.booked_fill(rec.fill(4, "t1", "", symbol=DOGE)), foreign.booked_event(rec.event(K.FUNDING, "-5", "e1"))):
        booked(ledger, event)
    assert results(ledger, {}, {}) == Results({}, {})
    booked(ledger, rec.event(K.FUNDING, "-5", "e1"))
    assert results(ledger, {}, {}) == Results({"USDT": Decimal(-5)}, {})


def test_no_venue_can_say_that_something_is_foreign() -> None:
    from interlock.gate.venue_fake import booked as read
    from interlock.venues.fake import wire

    entry = wire.LedgerEntry(venue_id="e1", kind="foreign", currency="USDT", amount="5", symbol="", venue_ns=1)
    assert read(entry, VENUE, ACCOUNT, 1) is None
    assert read(msgspec.structs.replace(entry, kind="deposit"), VENUE, ACCOUNT, 1) is not None


def test_the_past_of_others_stays_the_past_in_a_later_life() -> None:
    with bench(shared=True) as b:
        b.venue.fill(7, "t0", "web-1", symbol=DOGE)
        b.run(b.watch.begin(b.venue))
        b.wait(1)
        b.venue.fill(1, "t1", "web-1", symbol=DOGE)
        b.venue.enter(K.DEPOSIT, "3", "e1", "DOGE")
        b.run(b.watch.catch_up(b.venue))
        assert [one.venue_id for one in b.told(r.LedgerEvent)] == [f"fill.{DOGE}.t1", "deposit.e1"]
        b.state.ledger.event_floors[VENUE, ACCOUNT, "foreign"] = b.venue.now_ns
        b.state.ledger.events.clear()
        b.run(b.another_watch(shared=True).catch_up(b.venue))
        assert len(b.told(r.LedgerEvent)) == 2
        assert b.latches() == []


# What is open


def test_the_open_orders_of_others_are_known_from_the_first_whole_list_on() -> None:
    with bench(shared=True) as b:
        assert b.watch.others().open_orders is None
        b.venue.show("web-1", symbol=DOGE)
        b.venue.show("web-2", symbol=DOGE)
        b.run(b.watch.catch_up(b.venue))
        assert named(b) == {"web-1", "web-2"}
        b.venue.show("web-1", OrderState.CANCELLED, symbol=DOGE)
        b.run(b.watch.catch_up(b.venue))
        assert named(b) == {"web-2"}
        b.watch.take(shown("web-2", OrderState.CANCELLED, symbol=DOGE))
        b.watch.take(shown("web-3", symbol=DOGE, venue_ns=b.venue.now_ns + 10_000))
        assert named(b) == {"web-3"}
        b.watch.take_open(b.run(b.venue.open_orders()))  # which is older than what the stream told
        assert named(b) == {"web-2", "web-3"}


def test_a_list_of_some_symbols_says_nothing_of_the_others() -> None:
    with bench(shared=True) as b:
        b.watch.take_open(b.run(b.venue.open_orders([DOGE_SPOT])), [DOGE_SPOT])
        assert b.watch.others().open_orders is None
        b.venue.show("web-1", symbol=DOGE)
        b.run(b.watch.catch_up(b.venue))
        assert named(b) == {"web-1"}
        b.venue.show("web-1", OrderState.CANCELLED, symbol=DOGE)
        b.watch.take_open(b.run(b.venue.open_orders([DOGE_SPOT])), [DOGE_SPOT])
        assert named(b) == {"web-1"}
        b.watch.take_open(b.run(b.venue.open_orders([DOGE])), [DOGE])
        assert named(b) == set()


def test_two_instruments_may_number_their_orders_alike() -> None:
    with bench(shared=True) as b:
        b.watch.take_open(OrderList((), b.venue.now_ns))
        for symbol in (DOGE, DOGE_SPOT):
            b.watch.take(shown(f"web-{symbol}", symbol=symbol, venue_order_id="7"))
        assert named(b) == {f"web-{DOGE}", f"web-{DOGE_SPOT}"}
        b.watch.take(shown(f"web-{DOGE}", OrderState.CANCELLED, symbol=DOGE, venue_order_id="7"))
        assert named(b) == {f"web-{DOGE_SPOT}"}
        b.watch.take_open(OrderList((shown(f"web-{DOGE}", symbol=DOGE, venue_order_id="7"),), b.venue.now_ns))
        assert named(b) == {f"web-{DOGE}"}


def named(b: Bench) -> set[str]:
    return {one.report.client_id for one in b.watch.others().open_orders or ()}


# Reconciliation


def test_differences_in_unmanaged_assets_are_recorded_and_in_managed_ones_latch() -> None:
    with bench(shared=True) as b:
        b.venue.show("web-1", symbol=DOGE)
        b.venue.fill(10, "t1", "web-1", symbol=DOGE, fee=Decimal("0.5"))
        b.venue.balances |= {"DOGE": Decimal(7), "USDT": Decimal("-0.5")}
        of = Reconciler(b.keeper, b.watch, b.venue, MANAGED, b.now)
        for _ in range(3):
            found = b.run(of.round())
            assert found is not None
            assert (found.explained, [kind for kind, _ in found.differences]) == (
                True,
                [Difference.FOREIGN_ORDER, Difference.POSITION, Difference.BALANCE],
            )
            b.wait(3_600_000_000_000)
        assert b.latches() == []
        b.venue.balances["USDT"] += 1
        found = b.run(of.round())
        assert found is not None
        assert not found.explained
        assert b.latches() == [Cause.UNEXPLAINED.value]


def test_what_others_win_and_lose_in_a_currency_of_ours_is_expected_of_its_balance() -> None:
    with bench(shared=True) as b:
        b.venue.fill(10, "t1", "web-1", symbol=DOGE, ticks=100)
        b.venue.fill(10, "t2", "web-1", Side.SELL, symbol=DOGE, ticks=150)
        b.venue.balances["USDT"] = Decimal("0.5")  # 50 ticks x 10 lots x 0.001
        of = Reconciler(b.keeper, b.watch, b.venue, MANAGED, b.now)
        found = b.run(of.round())
        assert found is not None
        assert found.explained, found.differences


def test_an_account_that_is_taken_over_keeps_what_others_hold_as_theirs() -> None:
    with bench(shared=True) as b:
        b.venue.positions[DOGE] = 5
        b.venue.balances |= {"DOGE": Decimal(7), "USDT": Decimal(100)}
        of = Reconciler(b.keeper, b.watch, b.venue, MANAGED, b.now)
        first = b.run(of.first_cut())
        assert first is not None
        records = opening(b.state.ledger, first, MANAGED, entry_ticks={DOGE: 120}, actor="ann", nonce="n", boot_ns=1)
        assert records is not None
        assert [(one.kind, one.currency, one.symbol, one.lots) for one in records] == [
            (K.ADJUST, "USDT", "", 0),
            (K.FOREIGN, "USDT", DOGE, 5),
        ]
        b.journal(*records)
        assert b.state.ledger.theirs[VENUE, ACCOUNT, DOGE].lots == 5
        assert b.state.ledger.positions == {}
        found = b.run(of.round())
        assert found is not None
        assert found.explained


def test_a_position_of_others_is_told_and_explained_and_ours_beside_it_is_compared() -> None:
    snap = reconcile_cases.snapshot({DOGE: 5, DOGE_SPOT: 7, SYMBOL: 1})
    found = compare(*reconcile_cases.fold(), snap, MANAGED)
    assert [(one.subject, one.found, one.explained) for one in found if one.kind is Difference.POSITION] == [
        (SYMBOL, "1", False),
        (DOGE, "5", True),
    ]
    closed = reconcile_cases.snapshot({DOGE: 0, SYMBOL: 0})
    assert not [one for one in compare(*reconcile_cases.fold(), closed, MANAGED) if one.kind is Difference.POSITION]


# How much room it takes


def quote(symbol: str = DOGE, bid: int = 99, ask: int = 100) -> Quote:
    return Quote(venue=VENUE, symbol=symbol, bid_ticks=bid, ask_ticks=ask, mark_ticks=0, trading=True, boot_ns=1)


RATES = {"USDT": (Decimal("0.99"), Decimal("1.01")), "KRW": (Decimal("0.001"), Decimal("0.001"))}
QUOTES = {DOGE: quote(), DOGE_SPOT: quote(DOGE_SPOT)}


def burden(
    held: Iterable[Holding] = (),
    orders: tuple[ShownOrder, ...] | None = (),
    ledger: Ledger | None = None,
    quotes: Any = QUOTES,
    rates: Any = RATES,
) -> Burden | Unmarked:
    others = Others(UNMANAGED, ledger or Ledger(), orders)
    return burden_of(others, WHERE, Holdings(tuple(held), (), 0), quotes, rates, shock_millionths=300_000, boot_ns=7)


def test_nothing_of_others_takes_no_room() -> None:
    assert burden() == Burden(0, 0, 0, 0, 0, 0, 7)
    assert burden([Holding(SYMBOL, 9, Decimal(1))], (shown("web-1"),)) == Burden(0, 0, 0, 0, 0, 0, 7)


def test_positions_and_open_orders_of_others_count_at_their_worst() -> None:
    position = burden([Holding(DOGE, -1_000, Decimal(1))])
    assert isinstance(position, Burden)
    assert position.gross == usd(101)  # 1,000 lots at the ask of 100 ticks, a tick of a lot is 0.001 USDT, at 1.01
    assert (position.initial, position.maintenance) == (usd(10.1), usd(5.05))
    order = shown("web-1", symbol=DOGE, lots=1_000, ticks=200)
    both = burden([Holding(DOGE, 1_000, Decimal(1))], (order, shown("web-2", OrderState.CANCELLED, symbol=DOGE)))
    assert isinstance(both, Burden)
    assert both.gross == usd(404)  # 2,000 lots at the order's own price
    away = burden([Holding(DOGE, -1_000, Decimal(1))], (msgspec.structs.replace(order, ticks=100),))
    assert isinstance(away, Burden)
    assert away.gross == position.gross


def test_on_spot_only_what_others_buy_takes_room() -> None:
    bought, sold = Ledger(), Ledger()
    booked(bought, foreign.booked_fill(rec.fill(1_000_000, "t1", "", symbol=DOGE_SPOT)))
    booked(sold, foreign.booked_fill(rec.fill(1_000_000, "t1", "", Side.SELL, symbol=DOGE_SPOT)))
    buying = shown("web-1", symbol=DOGE_SPOT, lots=1_000_000)
    assert gross(burden(ledger=bought)) == gross(burden(orders=(buying,))) == usd(100)
    assert gross(burden(ledger=sold)) == gross(burden(orders=(msgspec.structs.replace(buying, side=Side.SELL),))) == 0


def test_all_that_others_have_is_counted_and_what_they_have_not_needs_no_price() -> None:
    both = burden([Holding(DOGE, -1_000, Decimal(1))], (shown("web-1", symbol=DOGE_SPOT, lots=1_000_000),))
    assert isinstance(both, Burden)
    assert both.gross == usd(101) + usd(100)
    selling = burden((), (shown("web-1", symbol=DOGE, side=Side.SELL, lots=1_000, ticks=100),))
    assert isinstance(selling, Burden)
    assert selling.gross == usd(101), "a sell on a derivative takes room"
    held_spot = burden([Holding(DOGE_SPOT, 1_000_000, Decimal(1))])
    assert isinstance(held_spot, Burden)
    assert held_spot.gross == 0, "on spot what was there before is money of theirs"
    ended = shown("web-2", OrderState.CANCELLED, symbol=DOGE)
    bought = Ledger()
    booked(bought, foreign.booked_fill(rec.fill(3, "t1", "", symbol=DOGE_SPOT)))
    booked(bought, foreign.booked_fill(rec.fill(3, "t2", "", Side.SELL, symbol=DOGE_SPOT)))
    assert burden([Holding(DOGE, 0, Decimal(1))], (ended,), bought, quotes={}) == Burden(0, 0, 0, 0, 0, 0, 7)


def test_a_rate_of_more_figures_than_are_kept_counts_as_the_dearer_one() -> None:
    found = burden([Holding(DOGE, -1_000, Decimal(1))], rates={"USDT": (Decimal(1), Decimal("1.0000000000001"))})
    assert isinstance(found, Burden)
    assert usd(100) < found.gross < usd(100.001)


def test_one_part_beyond_all_numbers_makes_the_whole_unknown() -> None:
    few = shown("web-1", symbol=DOGE_SPOT, lots=1_000_000)
    for held, order in ((1 << 60, few), (1, msgspec.structs.replace(few, open_lots=1 << 60))):
        found = burden([Holding(DOGE, held, Decimal(1))], (order,))
        assert isinstance(found, Burden)
        assert found.gross == -1


def test_everything_that_is_missing_is_told() -> None:
    found = burden([Holding(DOGE, 1, Decimal(1))], (shown("web-1", symbol=DOGE_SPOT, lots=1),), quotes={}, rates={})
    assert isinstance(found, Unmarked)
    assert [symbol in text for symbol, text in zip(sorted([DOGE, DOGE_SPOT]), found.missing, strict=True)] == [True, True]
    unrated = burden([Holding(DOGE, 1, Decimal(1))], rates={})
    assert isinstance(unrated, Unmarked)


def test_the_larger_of_two_times_counts_for_an_order_of_others() -> None:
    def others(lots: int, name: str = "web-1") -> Others:
        return Others(UNMANAGED, Ledger(), (shown(name, symbol=DOGE, lots=lots),))

    for before, after in ((3, 5), (5, 3), (5, 5)):
        (one,) = at_either(others(before), others(after)).open_orders or ()
        assert one.open_lots == 5


def test_only_instruments_of_the_coins_that_the_gate_does_not_trade_are_unmanaged() -> None:
    listings = UNMANAGED.listings.values()
    assert foreign.unmanaged_of(["DOGE"], listings, []).listings.keys() == {DOGE, DOGE_SPOT}
    assert foreign.unmanaged_of(["DOGE"], listings, [DOGE]).listings.keys() == {DOGE_SPOT}
    assert not foreign.unmanaged_of(["XRP"], listings, []).listings


def test_what_others_paid_and_had_taken_back_stays_paid_once() -> None:
    paid = foreign.booked_fill(msgspec.structs.replace(rec.fill(4, "t1", "", symbol=DOGE), fee=Decimal("0.5")))
    free = foreign.booked_fill(msgspec.structs.replace(rec.fill(4, "t2", "", symbol=DOGE), fee=Decimal(0)))
    assert (paid.amount, str(free.amount)) == (Decimal("-0.5"), "0")
    ledger = Ledger()
    booked(ledger, paid)
    (known,) = ledger.events.values()
    assert foreign.booked_reversal(rec.reversal("t1", DOGE), known).amount == 0


def gross(found: Burden | Unmarked) -> int:
    assert isinstance(found, Burden)
    assert (found.initial, found.shocked) == (0, 0)
    return found.gross


@pytest.mark.parametrize(
    "unknown",
    [
        {"orders": None},
        {"quotes": {}},
        {"quotes": {DOGE: quote(bid=100)}},
        {"rates": {}},
        {"rates": {"USDT": (Decimal(1), Decimal("0.9"))}},
    ],
)
def test_what_cannot_be_valued_is_not_known(unknown: dict[str, Any]) -> None:
    assert isinstance(burden(**{"held": [Holding(DOGE, 1, Decimal(1))], **unknown}), Unmarked)


def test_a_position_beyond_all_numbers_or_tiers_is_unknown_and_no_small_one() -> None:
    huge = burden([Holding(DOGE, 1 << 60, Decimal(1))])
    assert isinstance(huge, Burden)
    assert huge.gross == -1
    above = burden([Holding(DOGE, 2_000_000 * 1_000, Decimal(1))])
    assert isinstance(above, Burden)
    assert above.initial == -1


@given(
    st.lists(st.tuples(st.sampled_from([DOGE, DOGE_SPOT, SYMBOL]), st.sampled_from(Side), st.integers(1, 300), st.integers(1, 1_000))),
    st.integers(-1_000, 1_000),
    st.tuples(st.sampled_from([DOGE, DOGE_SPOT]), st.sampled_from(Side), st.integers(1, 300), st.integers(1, 1_000)),
)
def test_one_more_order_of_others_never_gives_room(
    orders: list[tuple[str, Side, int, int]], lots: int, more: tuple[str, Side, int, int]
) -> None:
    def of(*rows: tuple[str, Side, int, int]) -> Burden:
        there = tuple(
            shown(f"w{n}", symbol=symbol, side=side, ticks=ticks, lots=size) for n, (symbol, side, ticks, size) in enumerate(rows)
        )
        found = burden([Holding(DOGE, lots, Decimal(1))], there)
        assert isinstance(found, Burden)
        return found

    before, after = of(*orders), of(*orders, more)
    assert all(a >= b for a, b in zip(msgspec.structs.astuple(after), msgspec.structs.astuple(before), strict=True))
    assert min(msgspec.structs.astuple(before)) >= 0


def test_of_an_accounts_worth_others_only_ever_take() -> None:
    seen = cw.World().readings

    def worth(*positions: Holding, quotes: Any = QUOTES, **balances: str) -> int | Unmarked:
        held = Holdings(positions, tuple((currency, Decimal(amount)) for currency, amount in balances.items()), 0)
        return equity_of(held, VENUE, {}, seen, lc.SHEET, cw.NOW.boot_ns, UNMANAGED, quotes)

    alone = worth(USDT="100")
    assert isinstance(alone, int)
    assert worth(Holding(DOGE, 1_000, Decimal("0.1")), USDT="100") == alone  # it has won
    assert worth(USDT="100", DOGE="1000") == alone
    lost = worth(Holding(DOGE, 1_000, Decimal("2")), USDT="100")
    assert isinstance(lost, int)
    assert lost < alone
    for unknown in (worth(Holding(DOGE, 1, Decimal(2)), quotes={}), worth(DOGE="-1"), worth(Holding(DOGE, 1, Decimal(0)))):
        assert isinstance(unknown, Unmarked)
    assert worth(Holding(DOGE_SPOT, 1, Decimal(2)), USDT="100") == alone  # what is held of spot is a balance
    assert worth(Holding(DOGE_SPOT, 1, Decimal(2)), Holding(DOGE, 1_000, Decimal("2")), USDT="100") == lost
    odd = {DOGE: msgspec.structs.replace(QUOTES[DOGE], bid_ticks=QUOTES[DOGE].ask_ticks + 1)}
    assert isinstance(worth(Holding(DOGE, 1_000, Decimal("2")), quotes=odd), Unmarked)


# What it denies


def judged(
    sheet: LimitSheet, burden: Burden | None = None, *, equity_usd: int = 1_000, cap_usd: int = 1_000, position: int = 0, **order: Any
) -> Any:
    seen = lc.seen(sheet, lc.UNIVERSE, *lc.steady(lc.quote()), lc.rate())
    exposure = exposure_of(
        {} if not position else {lc.BTC: position},
        [],
        {("bybit", "main"): Equity(usd(equity_usd), lc.NOW)},
        lc.NAKED,
        burdens={} if burden is None else {("bybit", "main"): burden},
    )
    return evaluate(sheet, lc.intent(**order), exposure, seen, Throttles(), lc.CALM, lc.NOW, usd(cap_usd))


def test_what_others_have_open_shrinks_the_room_below_every_cap_on_notional() -> None:
    assert isinstance(judged(SHARED, FREE), Allowed)
    ours = next(int(one.value) for one in judged(SHARED, FREE).evaluations if one.limit == "max_gross_notional_usd")
    just = msgspec.structs.replace(FREE, gross=usd(100) - ours)
    assert isinstance(judged(SHARED, just), Allowed)
    assert denied(judged(SHARED, msgspec.structs.replace(just, gross=just.gross + 1))) == "max_gross_notional_usd"
    wider = lc.changed(SHARED, "account", max_gross_notional_micro_usd=usd(1_000))
    assert denied(judged(wider, msgspec.structs.replace(just, gross=just.gross + 1))) == "max_venue_gross_notional_usd"
    wider = lc.changed(wider, "venues", "bybit", max_gross_notional_micro_usd=usd(1_000))
    assert isinstance(judged(wider, msgspec.structs.replace(just, gross=just.gross + 1)), Allowed)
    assert denied(judged(wider, msgspec.structs.replace(just, gross=just.gross + 1), cap_usd=100)) == "max_gross_notional_usd"


def test_the_margin_that_others_need_is_not_there_for_us() -> None:
    assert isinstance(judged(SHARED, FREE), Allowed)
    for part, rule in (
        ("initial", "min_available_margin_usd"),
        ("maintenance", "max_margin_ratio"),
        ("shocked", "shock"),
        ("entry_loss", "min_available_margin_usd"),
        ("notional", "min_liquidation_distance"),
    ):
        assert denied(judged(SHARED, msgspec.structs.replace(FREE, **{part: usd(995) if part != "notional" else usd(10_000)}))) == rule


@pytest.mark.parametrize(
    "unknown",
    [
        None,
        msgspec.structs.replace(FREE, gross=-1),
        msgspec.structs.replace(FREE, initial=-1),
        msgspec.structs.replace(FREE, boot_ns=lc.NOW - 5 * lc.S - 1),
        msgspec.structs.replace(FREE, boot_ns=lc.NOW + 1),
    ],
)
def test_on_a_shared_account_a_burden_that_is_not_known_now_denies(unknown: Burden | None) -> None:
    found = judged(SHARED, unknown)
    assert isinstance(found, Denied)
    assert (found.rule, found.detail) == ("max_gross_notional_usd", "what others have open on a shared account is not known")
    assert isinstance(judged(lc.SHEET, unknown), Allowed)  # an account of our own has none
    # What only brings a position home is not held up by it.
    closing = judged(SHARED, unknown, position=-1, reduce_only=True, tif=lc.intent().tif.IOC, ticks=500_010)
    assert isinstance(closing, Allowed), closing


def with_burdens(sheet: LimitSheet, burdens: dict[tuple[str, str], Burden], positions: dict[Any, int] | None = None) -> Allowed | Denied:
    """An order on one of two venues beside what others have open, by account."""
    universe = universe_of([lc.facts(), lc.facts(venue="other", symbol="BTC")])
    seen = lc.seen(sheet, universe, *lc.steady(lc.quote(), lc.quote(venue="other", symbol="BTC")), lc.rate())
    exposure = exposure_of(positions or {}, [], {("bybit", "main"): Equity(usd(1_000), lc.NOW)}, lc.NAKED, burdens=burdens)
    return evaluate(sheet, lc.intent(), exposure, seen, Throttles(), lc.CALM, lc.NOW, usd(1_000))


def test_what_others_have_open_takes_room_also_where_we_may_trade_no_more() -> None:
    """Taking the account off the list lets nothing pass there, and nothing more anywhere else."""
    none = lc.changed(SHARED, "venues", "bybit", accounts=())
    elsewhere = msgspec.structs.replace(none, venues={**none.venues, "other": lc.SHEET.venues["bybit"]})
    elsewhere = msgspec.structs.replace(elsewhere, symbols={**none.symbols, "other:BTC": none.symbols["bybit:BTCUSDT"]})
    universe = universe_of([lc.facts(), lc.facts(venue="other", symbol="BTC")])
    quotes = lc.steady(lc.quote(), lc.quote(venue="other", symbol="BTC"))
    seen = lc.seen(elsewhere, universe, *quotes, lc.rate())
    book = r.Book(venue="other", symbol="BTC", bid_ticks=500_000, ask_ticks=500_001, boot_ns=lc.NOW)
    intent = lc.intent(venue="other", symbol="BTC", books=(book,))

    burdens: dict[tuple[str, str], Burden] = {}

    def judged_there(gross: int | None = None) -> Allowed | Denied:
        if gross is not None:
            burdens["bybit", "main"] = msgspec.structs.replace(FREE, gross=gross)
        equity = {("other", "main"): Equity(usd(1_000), lc.NOW)}
        exposure = exposure_of({}, [], equity, lc.NAKED, burdens=burdens)
        return evaluate(elsewhere, intent, exposure, seen, Throttles(), lc.CALM, lc.NOW, usd(1_000))

    assert isinstance(judged_there(0), Allowed)
    assert denied(judged_there(usd(100))) == "max_gross_notional_usd"
    burdens.clear()
    assert denied(judged_there()) == "max_gross_notional_usd", "it has no account that is known, and others may be on it all the same"


def test_every_account_of_a_shared_venue_is_to_be_known_and_none_of_another() -> None:
    two = lc.changed(SHARED, "venues", "bybit", accounts=("main", "sub"))
    known = {("bybit", "main"): FREE}
    assert denied(with_burdens(two, known)) == "max_gross_notional_usd"
    assert isinstance(with_burdens(two, {**known, ("bybit", "sub"): FREE}), Allowed)
    assert isinstance(with_burdens(SHARED, {**known, ("other", "sub"): FREE}), Allowed)


def test_what_others_have_open_fills_the_room_of_their_venue_alone() -> None:
    """Nor does it make a worst case of ours known that is not."""
    wide = lc.changed(SHARED, "account", max_gross_notional_micro_usd=usd(1_000))
    there = lc.changed(SHARED, "venues", "bybit", max_gross_notional_micro_usd=usd(1_000)).venues["bybit"]
    both = msgspec.structs.replace(wide, venues={**SHARED.venues, "other": there})
    heavy = msgspec.structs.replace(FREE, gross=usd(500))
    assert isinstance(with_burdens(both, {("bybit", "main"): FREE, ("other", "main"): heavy}), Allowed)
    assert denied(with_burdens(both, {("bybit", "main"): heavy, ("other", "main"): FREE})) == "max_venue_gross_notional_usd"
    elsewhere = msgspec.structs.replace(SHARED, symbols={**SHARED.symbols, "other:BTC": SHARED.symbols["bybit:BTCUSDT"]})
    some = {("bybit", "main"): msgspec.structs.replace(FREE, gross=5)}
    for lots, expected in ((0, ""), (1 << 60, "max_gross_notional_usd")):
        found = with_burdens(elsewhere, some, {("other", "main", "BTC"): lots} if lots else {})
        assert isinstance(found, Allowed) if not expected else denied(found) == expected


def denied(found: Allowed | Denied) -> str:
    assert isinstance(found, Denied)
    return found.rule


def test_a_decision_takes_the_burden_from_the_readings() -> None:
    world = cw.World(state=cw.armed_state(SHARED))
    assert world.decide().decision.rule == "max_gross_notional_usd"
    world.readings.burdens = {("bybit", "main"): msgspec.structs.replace(FREE, boot_ns=cw.NOW.boot_ns)}
    assert world.next().decision.result == "PERMIT"


def test_a_need_of_which_a_part_is_unknown_is_unknown() -> None:
    ours = MarginNeed(1, 2, 3, 4, 5)
    assert with_burden(ours, Burden(9, 10, 20, 30, 40, 50, 1)) == MarginNeed(11, 22, 33, 44, 55)
    for part in ("initial", "maintenance", "notional", "shocked", "entry_loss"):
        unknown = msgspec.structs.replace(FREE, **{part: -1})
        assert with_burden(ours, unknown) == MarginNeed(-1, -1, -1, -1, -1)


def test_open_orders_that_are_not_known_at_one_of_two_times_are_not_known() -> None:
    order = shown("web-1", symbol=DOGE)
    known, unread = Others(UNMANAGED, Ledger(), (order,)), Others(UNMANAGED, Ledger(), None)
    assert at_either(known, known).open_orders == (order,)
    assert at_either(known, unread).open_orders is at_either(unread, known).open_orders is None


def test_active_symbols_are_those_that_need_a_price() -> None:
    others = Others(UNMANAGED, Ledger(), (shown("web-1", symbol=DOGE_SPOT), shown("web-2")))
    assert active_symbols(others, WHERE, Holdings((Holding(DOGE, 1, Decimal(1)),), (), 0)) == [DOGE_SPOT, DOGE]
    assert active_symbols(Others(UNMANAGED, Ledger(), None), WHERE, Holdings((), (), 0)) == []


def test_flags_of_the_ledger_say_nothing_of_what_is_theirs() -> None:
    ledger = Ledger()
    booked(ledger, foreign.booked_fill(rec.fill(4, "t1", "", symbol=DOGE)))
    assert ledger.flags == {}
    booked(ledger, rec.fill(4, "t2", "", symbol=DOGE))
    assert ledger.flags == {(Flag.FOREIGN_FILL, "t2"): 1}
