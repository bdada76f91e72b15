"""One order against all limits: for each a pair of cases, just inside and just outside, and the outside one is denied by that limit."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate.limit_cases import BTC, MS, NOW, SHEET, UNIVERSE, S, changed, facts, intent, judge, quote, rate, rule, seen, steady

from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate import losses as loss_fold
from interlock.gate import records
from interlock.gate.evaluate import REQUIRED, Allowed, Denied, concluded
from interlock.gate.exposure import OpenOrder, universe_of
from interlock.gate.losses import Losses, Lost
from interlock.gate.records import Book, Intent
from interlock.gate.references import References
from interlock.gate.throttles import Throttles

SYMBOL = "bybit:BTCUSDT"
USD = 1_000_000
BIG = 1 << 40
RATES = (rate(),)
Pair = tuple[str, Callable[[], Any], Callable[[], Any]]


def symbol(**values: Any) -> Any:
    return changed(SHEET, "symbols", SYMBOL, **values)


def account(**values: Any) -> Any:
    return changed(SHEET, "account", **values)


def venue(**values: Any) -> Any:
    return changed(SHEET, "venues", "bybit", **values)


def asset(**values: Any) -> Any:
    return changed(SHEET, "assets", "BTC", **values)


def strategy(**values: Any) -> Any:
    return changed(SHEET, "strategies", "demo", **values)


def refs(*quotes: Any, rates: Any = RATES, sheet: Any = SHEET, universe: Any = UNIVERSE) -> References:
    return seen(sheet, universe, *quotes, *rates)


def one(side: Side, ticks: int = 500_000, lots: int = 1) -> OpenOrder:
    return OpenOrder(*BTC, side, ticks, lots)


def throttle(messages: int = 0, cancels: int = 0, orders: int = 0, same: int = 0, rejects: int = 0, losing: int = 0) -> Throttles:
    return Throttles(
        messages={"bybit": [NOW] * messages},
        cancels={"bybit": [NOW] * cancels},
        orders={"demo": [NOW] * orders},
        identical={("demo", "bybit", "BTCUSDT", 1, 500_000, 1): [NOW] * same},
        rejects={"demo": {("bybit", "gtc", "x"): rejects}} if rejects else {},
        losing={"demo": losing},
    )


def book(bid: int = 500_000, ask: int = 500_001, at: int = NOW) -> tuple[Book, ...]:
    return (Book(venue="bybit", symbol="BTCUSDT", bid_ticks=bid, ask_ticks=ask, boot_ns=at),)


SPOT_UNIVERSE = universe_of([facts(kind=Kind.SPOT)])
# Only bounds near the case under test are near; the others are far away.
WIDE = symbol(max_order_lots=BIG, max_order_notional_micro_usd=BIG, max_position_lots=BIG, max_position_notional_micro_usd=BIG)
WIDE = changed(WIDE, "account", max_order_notional_micro_usd=BIG, max_gross_notional_micro_usd=BIG)
WIDE = changed(
    WIDE,
    "venues",
    "bybit",
    max_gross_notional_micro_usd=BIG,
    max_margin_ratio_millionths=1_000_000,
    min_liquidation_distance_millionths=1,
    min_available_margin_micro_usd=0,
    max_unattended_resting_micro_usd=BIG,
)
WIDE = changed(WIDE, "assets", "BTC", max_naked_notional_micro_usd=BIG)
NOTIONAL = 50_000_100  # one lot at the ask of 50,000.1

PAIRS: list[Pair] = [
    ("quantities", lambda: judge(intent(lots=1)), lambda: judge(intent(lots=0))),
    ("quantities", lambda: judge(intent()), lambda: judge(intent(lots=1 << 53))),
    ("quantities", lambda: judge(intent()), lambda: judge(intent(lots=True))),
    ("quantities", lambda: judge(intent()), lambda: judge(intent(ticks=-500_000))),
    ("known", lambda: judge(intent()), lambda: judge(intent(strategy="demo2"))),
    ("known", lambda: judge(intent()), lambda: judge(intent(symbol="ETHUSDT"))),
    ("known", lambda: judge(), lambda: judge(positions={("bybit", "main", "ETHUSDT"): 1})),
    ("allow", lambda: judge(intent(tif=TimeInForce.IOC)), lambda: judge(intent(tif=TimeInForce.FOK))),
    ("allow", lambda: judge(intent(tif=TimeInForce.IOC, reduce_only=True)), lambda: judge(intent(reduce_only=True))),
    ("allow", lambda: judge(intent()), lambda: judge(intent(type=OrderType.MARKET))),
    ("allow", lambda: judge(intent()), lambda: judge(intent(account="other"))),
    ("market_status", lambda: judge(), lambda: judge(refs=refs(*steady(quote(trading=False))))),
    ("market_status", lambda: judge(), lambda: judge(refs=refs())),
    ("freshness_reference", lambda: judge(refs=refs(*steady(quote(at=NOW - S)))), lambda: judge(refs=refs(*steady(quote(at=NOW - S - 1))))),
    ("engine_books", lambda: judge(intent(books=book(at=NOW - 500 * MS))), lambda: judge(intent(books=book(at=NOW - 500 * MS - 1)))),
    ("engine_books", lambda: judge(), lambda: judge(intent(books=()))),
    ("usd_rates", lambda: judge(), lambda: judge(refs=refs(*steady(quote()), rates=()))),
    # 50 bps around a mid of 500,000.5: 502,500.5025.
    ("collar_reference", lambda: judge(intent(ticks=502_500)), lambda: judge(intent(ticks=502_501))),
    ("collar_reference", lambda: judge(intent(Side.SELL, ticks=497_501)), lambda: judge(intent(Side.SELL, ticks=497_500))),
    ("max_drift", lambda: judge(refs=refs(*steady(quote()))), lambda: judge(refs=refs(quote()))),
    (
        "max_drift",
        lambda: judge(refs=refs(quote(485_437, 485_438, NOW - 900 * MS), quote(at=NOW)), sheet=WIDE),
        lambda: judge(refs=refs(quote(485_436, 485_437, NOW - 900 * MS), quote(at=NOW)), sheet=WIDE),
    ),
    ("max_order_lots", lambda: judge(intent(lots=2), sheet=W(max_order_lots=2)), lambda: judge(intent(lots=3), sheet=W(max_order_lots=2))),
    (
        "max_order_notional_usd",
        lambda: judge(sheet=W(max_order_notional_micro_usd=NOTIONAL)),
        lambda: judge(sheet=W(max_order_notional_micro_usd=NOTIONAL - 1)),
    ),
    (
        "max_order_notional_usd",
        lambda: judge(sheet=account(max_order_notional_micro_usd=NOTIONAL)),
        lambda: judge(sheet=account(max_order_notional_micro_usd=NOTIONAL - 1)),
    ),
    ("max_order_notional_usd", lambda: judge(cap=NOTIONAL), lambda: judge(cap=NOTIONAL - 1)),
    (
        "max_position_lots",
        lambda: judge(positions={BTC: 2}, orders=[one(Side.BUY, lots=3)], sheet=W(max_position_lots=6)),
        lambda: judge(positions={BTC: 2}, orders=[one(Side.BUY, lots=3)], sheet=W(max_position_lots=5)),
    ),
    (
        "max_position_lots",
        lambda: judge(intent(Side.SELL), positions={BTC: -2}, orders=[one(Side.SELL, lots=3)], sheet=W(max_position_lots=6)),
        lambda: judge(intent(Side.SELL), positions={BTC: -2}, orders=[one(Side.SELL, lots=3)], sheet=W(max_position_lots=5)),
    ),
    (
        "max_position_notional_usd",
        lambda: judge(positions={BTC: 1}, sheet=W(max_position_notional_micro_usd=2 * NOTIONAL)),
        lambda: judge(positions={BTC: 1}, sheet=W(max_position_notional_micro_usd=2 * NOTIONAL - 1)),
    ),
    (
        "managed_quantity",
        lambda: judge(intent(Side.SELL), positions={BTC: 2}, orders=[one(Side.SELL)], refs=refs(*steady(quote()), universe=SPOT_UNIVERSE)),
        lambda: judge(intent(Side.SELL), positions={BTC: 1}, orders=[one(Side.SELL)], refs=refs(*steady(quote()), universe=SPOT_UNIVERSE)),
    ),
    (
        "max_open_orders",
        lambda: judge(orders=[one(Side.SELL)], sheet=W(max_open_orders_count=2)),
        lambda: judge(orders=[one(Side.SELL)], sheet=W(max_open_orders_count=1)),
    ),
    (
        "max_gross_notional_usd",
        lambda: judge(sheet=account(max_gross_notional_micro_usd=NOTIONAL)),
        lambda: judge(sheet=account(max_gross_notional_micro_usd=NOTIONAL - 1)),
    ),
    (
        "max_gross_notional_usd",
        lambda: judge(positions={BTC: 1}, cap=2 * NOTIONAL, sheet=WIDE),
        lambda: judge(positions={BTC: 1}, cap=2 * NOTIONAL - 1, sheet=WIDE),
    ),
    (
        "max_venue_gross_notional_usd",
        lambda: judge(sheet=venue(max_gross_notional_micro_usd=NOTIONAL)),
        lambda: judge(sheet=venue(max_gross_notional_micro_usd=NOTIONAL - 1)),
    ),
    (
        "max_naked_notional_usd",
        lambda: judge(sheet=asset(max_naked_notional_micro_usd=NOTIONAL)),
        lambda: judge(sheet=asset(max_naked_notional_micro_usd=NOTIONAL - 1)),
    ),
    ("max_naked_time", lambda: judge(naked={"BTC": NOW - 600 * S}), lambda: judge(naked={"BTC": NOW - 600 * S - 1})),
    ("max_naked_time", lambda: judge(), lambda: judge(naked={})),
    ("max_naked_time", lambda: judge(), lambda: judge(naked={"BTC": NOW + 1})),
    (
        "max_unattended_resting_usd",
        lambda: judge(sheet=venue(max_unattended_resting_micro_usd=NOTIONAL)),
        lambda: judge(sheet=venue(max_unattended_resting_micro_usd=NOTIONAL - 1)),
    ),
    (
        "max_unattended_resting_usd",
        lambda: judge(intent(tif=TimeInForce.IOC), sheet=venue(max_unattended_resting_micro_usd=0)),
        lambda: judge(intent(tif=TimeInForce.POST_ONLY), sheet=venue(max_unattended_resting_micro_usd=0)),
    ),
    (
        "max_unattended_resting_usd",
        lambda: judge(attended=[BTC], orders=[one(Side.SELL)], sheet=venue(max_unattended_resting_micro_usd=0)),
        lambda: judge(orders=[one(Side.SELL)], sheet=venue(max_unattended_resting_micro_usd=2 * NOTIONAL - 1)),
    ),
    ("freshness_equity", lambda: judge(equity_at=NOW - 5 * S), lambda: judge(equity_at=NOW - 5 * S - 1)),
    ("freshness_equity", lambda: judge(), lambda: judge(equity_usd=None)),
    # One lot needs 5.00001 USD at 10 %, and the sheet wants 10 more.
    ("min_available_margin_usd", lambda: judge(equity_usd=100, sheet=M(84)), lambda: judge(equity_usd=100, sheet=M(96))),
    # Maintenance is 2.500005 USD of 1,000: 2,501 millionths rounded up.
    (
        "max_margin_ratio",
        lambda: judge(sheet=venue(max_margin_ratio_millionths=2_501)),
        lambda: judge(sheet=venue(max_margin_ratio_millionths=2_500)),
    ),
    # A fall by 30 % takes 15.00003, and 2.500005 must stay.
    ("shock", lambda: judge(equity_usd=18, sheet=WIDE), lambda: judge(equity_usd=17, sheet=WIDE)),
    # (20 - 2.500005) / (50.0001 + 2.500005).
    (
        "min_liquidation_distance",
        lambda: judge(equity_usd=20, sheet=changed(WIDE, "venues", "bybit", min_liquidation_distance_millionths=333_300)),
        lambda: judge(equity_usd=20, sheet=changed(WIDE, "venues", "bybit", min_liquidation_distance_millionths=333_400)),
    ),
    (
        "freshness_mark",
        lambda: judge(losses=Losses(marked_boot_ns=NOW - 5 * S)),
        lambda: judge(losses=Losses(marked_boot_ns=NOW - 5 * S - 1)),
    ),
    ("freshness_mark", lambda: judge(), lambda: judge(losses=Losses())),
    (
        "max_daily_loss_usd",
        lambda: judge(losses=Losses(marked_boot_ns=NOW, worst_realised_micro_usd=10 * USD)),
        lambda: judge(losses=Losses(marked_boot_ns=NOW, worst_realised_micro_usd=10 * USD + 1)),
    ),
    (
        "max_daily_loss_usd",
        lambda: judge(losses=Losses(marked_boot_ns=NOW, now_micro_usd=10 * USD)),
        lambda: judge(losses=Losses(marked_boot_ns=NOW, now_micro_usd=10 * USD + 1)),
    ),
    (
        "max_currency_loss",
        lambda: judge(losses=Losses(marked_boot_ns=NOW, by_currency=(Lost("USDT", 10 * USD, -USD),))),
        lambda: judge(losses=Losses(marked_boot_ns=NOW, by_currency=(Lost("USDT", 10 * USD + 1, -USD),))),
    ),
    (
        "max_drawdown_usd",
        lambda: judge(losses=Losses(marked_boot_ns=NOW, drawdown_micro_usd=10 * USD)),
        lambda: judge(losses=Losses(marked_boot_ns=NOW, drawdown_micro_usd=10 * USD + 1)),
    ),
    ("loss_latch", lambda: judge(), lambda: judge(losses=Losses(marked_boot_ns=NOW, latched=True))),
    ("max_messages", lambda: judge(throttle=throttle(messages=99)), lambda: judge(throttle=throttle(messages=100))),
    ("cancel_reserve", lambda: judge(throttle=throttle(cancels=199)), lambda: judge(throttle=throttle(cancels=200))),
    (
        "cancel_reserve",
        lambda: judge(orders=[one(Side.SELL)], throttle=throttle(cancels=198)),
        lambda: judge(orders=[one(Side.SELL)], throttle=throttle(cancels=199)),
    ),
    ("max_orders", lambda: judge(throttle=throttle(orders=59)), lambda: judge(throttle=throttle(orders=60))),
    ("max_identical_orders", lambda: judge(throttle=throttle(same=29)), lambda: judge(throttle=throttle(same=30))),
    ("max_reject_streak", lambda: judge(throttle=throttle(rejects=4)), lambda: judge(throttle=throttle(rejects=5))),
    ("max_losing_streak", lambda: judge(throttle=throttle(losing=9)), lambda: judge(throttle=throttle(losing=10))),
]


def W(**values: Any) -> Any:
    """The wide sheet with near bounds for the symbol."""
    return changed(WIDE, "symbols", SYMBOL, **values)


def M(usd: int) -> Any:
    """A sheet whose venue wants this much margin left."""
    return venue(min_available_margin_micro_usd=usd * USD)


@pytest.mark.parametrize(("name", "inside", "outside"), PAIRS)
def test_just_inside_passes_and_just_outside_is_denied_by_that_limit(
    name: str, inside: Callable[[], Any], outside: Callable[[], Any]
) -> None:
    yes, no = inside(), outside()
    assert isinstance(yes, Allowed), yes
    assert isinstance(no, Denied)
    assert no.rule == name
    assert no.detail


def test_every_limit_has_a_pair() -> None:
    assert {name for name, _, _ in PAIRS} | {"collar_peer"} == set(REQUIRED)


def test_a_yes_tells_every_limit_and_the_values_that_were_used() -> None:
    answer = judge()
    assert isinstance(answer, Allowed)
    assert tuple(row.limit for row in answer.evaluations) == REQUIRED
    assert answer.notional_usd == Decimal("50.0001")
    assert answer.books == book()
    assert answer.usd_rates == (("USDT", Decimal(1)),)
    by_name = {row.limit: row for row in answer.evaluations}
    assert (by_name["max_order_notional_usd"].value, by_name["max_order_notional_usd"].bound) == ("50000100", "100000000")


def test_an_order_of_one_lot_passes_under_a_cap_of_a_hundred_dollars() -> None:
    assert rule(judge(cap=100 * USD)) == ""
    assert rule(judge(intent(lots=2), cap=100 * USD)) == "max_order_notional_usd"


@pytest.mark.parametrize("nonsense", [0, -1])
def test_a_cap_that_is_no_cap_denies(nonsense: int) -> None:
    assert rule(judge(cap=nonsense)) == "max_order_notional_usd"


def test_a_limit_that_was_not_evaluated_denies() -> None:
    rows = [(name, 0, 0, "") for name in REQUIRED]
    assert isinstance(concluded(rows, 0, (), ()), Allowed)
    for missing in range(len(rows)):
        answer = concluded(rows[:missing] + rows[missing + 1 :], 0, (), ())
        assert isinstance(answer, Denied)
        assert answer.rule == "unevaluated"
        assert rows[missing][0] in answer.detail
    assert rule(concluded([*rows, rows[0]], 0, (), ())) == "unevaluated"
    assert rule(concluded(rows[::-1], 0, (), ())) == "unevaluated"


# The peer

PEER_SHEET = changed(
    msgspec.structs.replace(
        SHEET,
        symbols={**SHEET.symbols, "upbit:KRW-BTC": msgspec.structs.replace(SHEET.symbols[SYMBOL])},
        currencies={
            **SHEET.currencies,
            "KRW": msgspec.structs.replace(SHEET.currencies["USDT"], lowest_rate_micro_usd=500, highest_rate_micro_usd=1_000),
        },
    ),
    "symbols",
    SYMBOL,
    peer="upbit:KRW-BTC",
)
PEERS = universe_of([facts(), facts("upbit", "KRW-BTC", Kind.SPOT, "KRW", "0.00000001", "0.00000001")])


def with_peer(order: Any = None, krw: int = 70_000_000, usd: str = "0.000714", at: int = NOW, **more: Any) -> Any:
    peer = quote(krw, krw + 1_000, at, venue="upbit", symbol="KRW-BTC")
    found = seen(PEER_SHEET, PEERS, *steady(quote()), peer, rate(), rate("KRW", usd, usd))
    return judge(order, sheet=PEER_SHEET, refs=found, **more)


def test_the_collar_around_the_peer() -> None:
    assert rule(with_peer()) == ""
    # 70,000,500 won are 49,980.357 dollars; 1 % above the peer of 49,505.0 a buy at 50,000 is just allowed.
    assert rule(with_peer(krw=69_335_000)) == ""
    assert rule(with_peer(krw=69_325_000)) == "collar_peer"
    assert rule(with_peer(intent(Side.SELL, ticks=500_001), krw=69_325_000)) == ""
    assert rule(with_peer(intent(Side.SELL, ticks=500_001), krw=71_000_000)) == "collar_peer"


def test_a_peer_that_is_missing_or_stale_or_has_no_rate_denies() -> None:
    assert rule(with_peer(at=NOW - S - 1)) == "freshness_reference"
    assert rule(with_peer(usd="0.0001")) == "usd_rates"
    unlisted = msgspec.structs.replace(PEER_SHEET, symbols={SYMBOL: PEER_SHEET.symbols[SYMBOL]})
    assert rule(judge(sheet=unlisted)) == "freshness_reference"


# What only reduces

MANY = {BTC: 10}
LOST = Losses(marked_boot_ns=None, worst_realised_micro_usd=BIG, drawdown_micro_usd=BIG, latched=True)


def closing(lots: int = 1, ticks: int = 500_001) -> Intent:
    """A sale that the venue holds to reducing."""
    return intent(Side.SELL, lots=lots, ticks=ticks, tif=TimeInForce.IOC, reduce_only=True)


def test_what_only_reduces_passes_where_nothing_else_would() -> None:
    bad: dict[str, Any] = {"positions": MANY, "losses": LOST, "naked": {}, "equity_usd": None, "throttle": throttle(rejects=9, losing=99)}
    assert rule(judge(closing(), **bad)) == ""
    # Without the flag the venue might let it open a position the other way.
    assert rule(judge(intent(Side.SELL, ticks=500_001), **bad)) == "max_daily_loss_usd"
    assert rule(judge(intent(Side.BUY), **bad)) == "max_position_lots"
    # It is still an order: collar, size, list and messages hold.
    assert rule(judge(closing(ticks=400_000), **bad)) == "collar_reference"
    assert rule(judge(closing(lots=3), **bad)) == "max_order_lots"
    assert rule(judge(closing(), **{**bad, "throttle": throttle(messages=100)})) == "max_messages"
    assert rule(judge(closing(), **{**bad, "throttle": throttle(orders=60)})) == "max_orders"


def test_an_order_that_could_cross_zero_does_not_only_reduce() -> None:
    assert rule(judge(closing(), positions={BTC: 1}, losses=LOST)) == ""
    assert rule(judge(closing(lots=2), positions={BTC: 1}, losses=LOST, sheet=WIDE)) == "freshness_mark"
    open_sell = [one(Side.SELL, 500_001)]
    assert rule(judge(closing(), positions={BTC: 1}, orders=open_sell, losses=LOST)) == "freshness_mark"


def test_what_only_reduces_is_not_held_up_by_another_venue() -> None:
    both = universe_of([facts(), facts("other", "ETHUSDT", asset="ETH")])
    found = seen(SHEET, both, *steady(quote()), rate())
    held = {BTC: 1, ("other", "main", "ETHUSDT"): 5}
    assert rule(judge(intent(Side.SELL, ticks=500_001), positions=held, refs=found)) == ""
    assert rule(judge(intent(Side.BUY), positions=held, refs=found)) == "freshness_reference"


def test_the_missing_hedge_reduces_the_asset_but_is_new_on_its_venue() -> None:
    both = universe_of([facts(), facts(symbol="BTCPERP2")])
    sheet = msgspec.structs.replace(WIDE, symbols={**WIDE.symbols, "bybit:BTCPERP2": WIDE.symbols[SYMBOL]})
    found = seen(sheet, both, *steady(quote(), quote(symbol="BTCPERP2")), rate())
    held = {("bybit", "main", "BTCPERP2"): 3}
    given: dict[str, Any] = {"positions": held, "refs": found, "sheet": sheet}
    hedge = intent(Side.SELL, ticks=500_001)
    assert rule(judge(hedge, **given, naked={"BTC": 0})) == ""
    assert rule(judge(hedge, **given, losses=LOST)) == ""
    assert rule(judge(hedge, **given, cap=3 * NOTIONAL)) == "max_gross_notional_usd"
    assert rule(judge(intent(), **given, naked={"BTC": 0})) == "max_naked_time"


def test_a_value_that_overflows_denies() -> None:
    assert rule(judge(refs=refs(*steady(quote(1 << 52, (1 << 52) + 1))), sheet=WIDE, cap=1 << 60)) == "freshness_reference"
    assert rule(judge(intent(lots=1 << 41), sheet=W(max_order_lots=1 << 42), cap=1 << 60)) == "max_order_notional_usd"
    held = {BTC: 1 << 40, ("bybit", "second", "BTCUSDT"): 1 << 52}
    assert rule(judge(intent(), positions={("bybit", "second", "BTCUSDT"): 1 << 52}, sheet=WIDE, cap=1 << 60)) == "max_gross_notional_usd"
    assert rule(judge(intent(), positions=held, sheet=W(max_position_lots=1 << 50), cap=1 << 60)) == "max_position_notional_usd"


def test_equity_below_zero_denies_and_a_position_of_another_account_needs_none() -> None:
    assert rule(judge(equity_usd=-1)) == "min_available_margin_usd"
    held = {("bybit", "second", "BTCUSDT"): 1}
    assert rule(judge(positions=held, sheet=WIDE)) == ""
    both = changed(WIDE, "venues", "bybit", accounts=("main", "second"))
    assert rule(judge(intent(account="second"), positions=held, sheet=both)) == "freshness_equity"


def test_what_is_held_on_another_venue_or_of_another_coin_counts_in_the_total_alone() -> None:
    both = universe_of([facts(), facts("other", "ETHUSDT", asset="ETH")])
    sheet = msgspec.structs.replace(WIDE, symbols={**WIDE.symbols, "other:ETHUSDT": WIDE.symbols[SYMBOL]})
    sheet = msgspec.structs.replace(sheet, venues={**sheet.venues, "other": sheet.venues["bybit"]})
    found = seen(sheet, both, *steady(quote(), quote(venue="other", symbol="ETHUSDT")), rate())
    answer = judge(positions={("other", "main", "ETHUSDT"): 1}, refs=found, sheet=sheet)
    assert isinstance(answer, Allowed)
    values = {row.limit: row.value for row in answer.evaluations}
    assert values["max_gross_notional_usd"] == str(2 * NOTIONAL)
    assert values["max_venue_gross_notional_usd"] == values["max_naked_notional_usd"] == str(NOTIONAL)


def test_sizes_shrink_as_the_reference_moves() -> None:
    moved = refs(quote(491_000, 491_001, NOW - 900 * MS), quote(at=NOW))
    assert rule(judge(intent(lots=2), refs=moved, sheet=W(max_order_lots=2))) == "max_order_lots"
    assert rule(judge(intent(lots=2), sheet=W(max_order_lots=2))) == ""
    assert rule(judge(intent(lots=1), refs=moved, sheet=W(max_order_lots=2))) == ""


# The losses as a fold


def mark(realised: str, unrealised: str, at: int, equity: str = "0") -> records.Marked:
    return records.Marked(boot_ns=at, realised_usd=Decimal(realised), unrealised_usd=Decimal(unrealised), equity_usd=Decimal(equity))


def day(baseline: str = "0", name: str = "2026-01-01") -> records.DayRolled:
    return records.DayRolled(boot_ns=0, day=name, baseline=(), baseline_usd=Decimal(baseline), wall_ns=0)


def lost(*given: records.Record) -> Losses:
    state = Losses()
    for record in given:
        state = loss_fold.apply(state, record, SHEET)
    return state


def clear(name: str) -> records.LatchCleared:
    return records.LatchCleared(boot_ns=0, name=name, scope=records.Scope.ALL, subject="", actor="p", nonce="n", state_version=0)


def boot(at: int) -> records.Boot:
    return records.Boot(
        boot_ns=at,
        incarnation="i",
        kernel_boot_id="k",
        host="h",
        user="u",
        endpoint=records.Endpoint.LOOPBACK,
        accounts=(),
        build="",
        config="",
        limits="",
        wall_ns=0,
    )


def test_a_realised_loss_stays_and_an_unrealised_one_passes_until_it_was_seen_often() -> None:
    assert lost(day(), mark("-10", "0", S)).latched is False
    assert lost(day(), mark("-10.0000001", "0", S)).latched is True
    realised = lost(day(), mark("-9", "0", S), mark("5", "0", 2 * S))
    assert (realised.worst_realised_micro_usd, realised.now_micro_usd, realised.worst_micro_usd) == (9 * USD, -5 * USD, 9 * USD)
    down = mark("0", "-11", S)
    once = lost(day(), down)
    assert (once.now_micro_usd, once.latched) == (11 * USD, False)
    assert rule(judge(losses=msgspec.structs.replace(once, marked_boot_ns=NOW))) == "max_daily_loss_usd"
    assert lost(day(), down, mark("0", "-9", 2 * S)).breaches_count == 0
    # Marks within a second of each other are one.
    assert lost(day(), down, mark("0", "-11", S + 1), mark("0", "-11", S + 2), mark("0", "-11", 2 * S - 1)).breaches_count == 1
    assert lost(day(), down, mark("0", "-11", 2 * S), mark("0", "-11", 3 * S)).latched is True


def test_drawdown_is_from_the_peak_of_the_day_that_begins_at_its_baseline() -> None:
    state = lost(day("100"), mark("0", "0", S, "95"))
    assert state.drawdown_micro_usd == 5 * USD
    state = loss_fold.apply(state, mark("0", "0", 2 * S, "120"), SHEET)
    state = loss_fold.apply(state, mark("0", "0", 3 * S, "109"), SHEET)
    assert (state.drawdown_micro_usd, state.breaches_count) == (11 * USD, 1)
    assert lost(mark("0", "0", S, "95")).drawdown_micro_usd == 0


def test_a_latch_of_losses_outlives_boots_and_days_until_a_person_clears_it() -> None:
    before = [day(), mark("-11", "0", S)]
    state = lost(*before, boot(5))
    assert (state.latched, state.worst_realised_micro_usd, state.marked_boot_ns) == (True, 11 * USD, None)
    assert lost(*before, day(name="2026-01-02")).latched is True
    assert lost(*before, day(name="2026-01-02")).worst_realised_micro_usd == 0
    assert lost(*before, clear("other")).latched is True
    assert lost(*before, day(name="2026-01-02"), clear("loss")).latched is False
    assert lost(*before, records.Tick(boot_ns=9, wall_ns=0)) == lost(*before)
    assert lost(*before).digest_parts() != lost(day()).digest_parts()


@pytest.mark.parametrize(("ahead", "messages", "orders"), [("", 1, 1), ("bybit", 2, 2), ("other", 1, 2)])
def test_an_order_that_goes_ahead_takes_a_message_of_its_venue_and_an_order_of_the_strategy(ahead: str, messages: int, orders: int) -> None:
    found = judge(ahead=ahead)
    assert isinstance(found, Allowed)
    told = {one.limit: int(one.value) for one in found.evaluations}
    assert (told["max_messages"], told["max_orders"]) == (messages, orders)
