"""What a permit says of every limit, figure by figure, and what each denial says: worked out by hand, not by the code under test.

A lot is 50 dollars at 500,000 ticks: a tick of a lot is 100 micro-USD.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate.limit_cases import BTC, CALM, MS, NOW, SHEET, UNIVERSE, S, changed, facts, intent, judge, quote, rate, rule, seen, steady

from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.gate.evaluate import REQUIRED, Allowed, Denied, concluded, evaluate
from interlock.gate.exposure import Equity, Load, OpenOrder, exposure_of, universe_of
from interlock.gate.limit_sheet import Allow, LimitSheet
from interlock.gate.losses import Losses, Lost
from interlock.gate.records import Book
from interlock.gate.references import Quote, Rate
from interlock.gate.throttles import Throttles

USD = 1_000_000
SYMBOL = "bybit:BTCUSDT"
LOT = 50_000_100
"""One lot at the ask of 50,000.1, micro-USD."""

Rows = dict[str, tuple[int, int]]


def told(answer: Allowed | Denied) -> Rows:
    """Value and bound of every limit, as a permit embeds them."""
    assert isinstance(answer, Allowed), answer
    assert tuple(row.limit for row in answer.evaluations) == REQUIRED
    return {row.limit: (int(row.value), int(row.bound)) for row in answer.evaluations}


CALM_ROWS: Rows = {
    "quantities": (0, 0),
    "known": (0, 0),
    "allow": (0, 0),
    "market_status": (0, 0),
    "freshness_reference": (0, S),
    "engine_books": (0, 0),
    "usd_rates": (0, 0),
    "collar_reference": (0, 5_000),  # a buy below the mid is no worse than the mid
    "collar_peer": (0, 10_000),
    "max_drift": (0, 30_000),
    "max_order_lots": (1, 2),
    "max_order_notional_usd": (LOT, 100 * USD),
    "max_position_lots": (1, 2),
    "max_position_notional_usd": (LOT, 100 * USD),
    "managed_quantity": (0, 0),
    "max_open_orders": (1, 10),
    "max_gross_notional_usd": (LOT, 100 * USD),
    "max_venue_gross_notional_usd": (LOT, 100 * USD),
    "max_naked_notional_usd": (LOT, 100 * USD),
    "max_naked_time": (0, 600 * S),
    "max_unattended_resting_usd": (LOT, 1 << 50),
    "freshness_equity": (0, 5 * S),
    "min_available_margin_usd": (15_000_010, 1_000 * USD),  # a tenth of the lot, and 10 that must stay
    "max_margin_ratio": (2_501, 500_000),  # a twentieth of the lot, of 1,000
    "shock": (17_500_035, 1_000 * USD),  # 30 % of the lot, and the twentieth
    "min_liquidation_distance": (350_000, 1_000_000),
    "freshness_mark": (0, 5 * S),
    "max_daily_loss_usd": (0, 10 * USD),
    "max_currency_loss": (0, 1_000_000),
    "max_drawdown_usd": (0, 10 * USD),
    "loss_latch": (0, 0),
    "max_messages": (1, 100),
    "cancel_reserve": (1, 199),
    "max_orders": (1, 60),
    "max_identical_orders": (1, 30),
    "max_reject_streak": (0, 4),
    "max_losing_streak": (0, 9),
}


def test_a_permit_in_a_calm_moment_figure_by_figure() -> None:
    assert told(judge()) == CALM_ROWS


# A busy moment: another coin, another account and another venue have their share, the market moves, and much was sent and lost before.

KRW = ("upbit", "main", "KRW-BTC")
SECOND = ("bybit", "second", "BTCUSDT")
ETH = ("bybit", "main", "ETHUSDT")
PLACES = universe_of(
    [facts(), facts(symbol="ETHUSDT", asset="ETH"), facts("upbit", "KRW-BTC", Kind.SPOT, "KRW", per_tick_lot="0.001", per_lot="0.001")]
)
"""A lot of KRW-BTC is as much as one of BTCUSDT; at a won for a tenth of a cent its tick of a lot is 1 micro-USD."""


def busy_sheet() -> LimitSheet:
    """Every bound another figure, so that none passes for another."""
    sheet = changed(
        SHEET,
        "symbols",
        SYMBOL,
        max_order_lots=5,
        max_order_notional_micro_usd=400 * USD,
        max_position_lots=10,
        max_position_notional_micro_usd=600 * USD,
        peer="upbit:KRW-BTC",
    )
    symbol = sheet.symbols[SYMBOL]
    plain = msgspec.structs.replace(symbol, peer="none")
    venue = msgspec.structs.replace(
        sheet.venues["bybit"],
        max_gross_notional_micro_usd=480 * USD,
        max_messages_count=210,
        max_cancels_count=150,
        max_unattended_resting_micro_usd=470 * USD,
    )
    won = msgspec.structs.replace(sheet.currencies["USDT"], lowest_rate_micro_usd=500, highest_rate_micro_usd=1_100)
    sheet = msgspec.structs.replace(
        sheet,
        symbols={SYMBOL: symbol, "bybit:ETHUSDT": plain, "upbit:KRW-BTC": plain},
        venues={"bybit": venue, "upbit": venue},
        assets={"BTC": msgspec.structs.replace(sheet.assets["BTC"], max_naked_notional_micro_usd=450 * USD), "ETH": sheet.assets["BTC"]},
        currencies={**sheet.currencies, "KRW": won},
    )
    return changed(sheet, "account", max_order_notional_micro_usd=390 * USD, max_gross_notional_micro_usd=510 * USD)


BUSY = busy_sheet()
BUSY_ALONE = changed(BUSY, "symbols", SYMBOL, peer="none")
READINGS = (
    quote(507_499, 507_501, NOW - 900 * MS),  # 1.5 % above what follows: sizes are cut to three quarters
    quote(499_999, 500_001, NOW - 7 * MS),
    quote(40_000, 40_001, symbol="ETHUSDT"),
    quote(50_000_000, 50_000_100, venue="upbit", symbol="KRW-BTC"),
)
RATES = (rate(), rate("KRW", "0.001", "0.001"))
HELD = {KRW: 2, SECOND: 1, BTC: -2, ETH: 3}
OPEN = (
    OpenOrder(*BTC, Side.SELL, 500_200, 1),
    OpenOrder(*BTC, Side.BUY, 499_000, 1),
    OpenOrder(*ETH, Side.BUY, 39_000, 1),
    OpenOrder(*KRW, Side.SELL, 50_001_000, 1),
)


def busy(order: Any, **more: Any) -> Allowed | Denied:
    name = order.strategy
    given: dict[str, Any] = {
        "sheet": BUSY,
        "positions": HELD,
        "orders": OPEN,
        "refs": seen(BUSY, PLACES, *READINGS, *RATES),
        "equity_usd": 300,
        "equity_at": NOW - 2 * S,
        "naked": {"BTC": NOW - 100 * S},
        "throttle": Throttles(
            messages={"bybit": [NOW] * 7, "upbit": [NOW]},
            cancels={"bybit": [NOW] * 5, "upbit": [NOW]},
            orders={name: [NOW] * 6, "other": [NOW]},
            identical={(name, "bybit", "BTCUSDT", int(order.side), order.ticks, order.lots): [NOW] * 2},
            rejects={name: {("bybit", "gtc", "x"): 2}},
            losing={name: 3},
        ),
        "losses": Losses(marked_boot_ns=NOW - S, worst_realised_micro_usd=3 * USD, now_micro_usd=4 * USD, drawdown_micro_usd=5 * USD),
        "cap": 500 * USD,
        **more,
    }
    return judge(order, **given)


SOLD = intent(Side.SELL, 3, 499_500)
BUSY_ROWS: Rows = {
    **CALM_ROWS,
    "freshness_reference": (7 * MS, S),
    "collar_reference": (1_000, 5_000),  # 500 of 500,000
    "collar_peer": (1_001, 10_000),  # 500.5 of 500,000.5, which is what 50,000,050 won are
    "max_drift": (15_000, 30_000),
    "max_order_lots": (3, 3),  # three quarters of 5
    "max_order_notional_usd": (150_000_300, 300 * USD),
    "max_position_lots": (6, 7),  # 2 short, 1 offered, 3 more
    "max_position_notional_usd": (300_120_000, 450 * USD),  # those 6 at the dearest of the two prices
    "max_open_orders": (3, 10),
    # 6 short, 1 of the second account, 4 of ether at 4.0001, 2 for won.
    "max_gross_notional_usd": (300_120_000 + 50_000_100 + 16_000_400 + 100_000_200, 500 * USD),
    "max_venue_gross_notional_usd": (300_120_000 + 50_000_100 + 16_000_400, 480 * USD),
    # Bitcoin from -6 + 1 + 1 to -1 + 1 + 2.
    "max_naked_notional_usd": (4 * 50_020_000, 450 * USD),
    "max_naked_time": (100 * S, 600 * S),
    # 5 lots of bitcoin at 50.02, and the one of ether at its ask.
    "max_unattended_resting_usd": (250_100_000 + 4_000_100, 470 * USD),
    "freshness_equity": (2 * S, 5 * S),
    # A tenth of 300.12 and 16.0004; 4 lots sold 501 ticks below the ask; and 10 that must stay.
    "min_available_margin_usd": (30_012_000 + 1_600_040 + 200_400 + 10 * USD, 300 * USD),
    "max_margin_ratio": (52_722, 500_000),  # 15.806020 of 299.7996
    # A rise by 30 %: what the short loses and then must hold, what the long must hold then, and what entering costs.
    "shock": (90_036_000 + 19_507_800 + 1_040_026 + 200_400, 300 * USD),
    "min_liquidation_distance": (350_000, 855_591),  # 283.993580 of 331.926420
    "freshness_mark": (S, 5 * S),
    "max_daily_loss_usd": (4 * USD, 10 * USD),
    "max_currency_loss": (0, 1_000_000),
    "max_drawdown_usd": (5 * USD, 10 * USD),
    "max_messages": (8, 110),
    "cancel_reserve": (4, 145),
    "max_orders": (7, 60),
    "max_identical_orders": (3, 30),
    "max_reject_streak": (2, 4),
    "max_losing_streak": (3, 9),
}


def test_a_permit_in_a_busy_moment_figure_by_figure() -> None:
    answer = busy(SOLD)
    assert told(answer) == BUSY_ROWS
    assert isinstance(answer, Allowed)
    assert answer.notional_usd == Decimal("150.0003")
    assert answer.books == (
        Book(venue="bybit", symbol="BTCUSDT", bid_ticks=499_999, ask_ticks=500_001, boot_ns=NOW - 7 * MS),
        Book(venue="bybit", symbol="ETHUSDT", bid_ticks=40_000, ask_ticks=40_001, boot_ns=NOW),
        Book(venue="upbit", symbol="KRW-BTC", bid_ticks=50_000_000, ask_ticks=50_000_100, boot_ns=NOW),
    )
    assert answer.usd_rates == (("KRW", Decimal("0.001")), ("USDT", Decimal(1)))


# What an order that only reduces is spared, and what it is not

BAD: dict[str, Any] = {
    "losses": Losses(
        marked_boot_ns=None, worst_realised_micro_usd=90 * USD, now_micro_usd=90 * USD, drawdown_micro_usd=90 * USD, latched=True
    ),
    "equity_usd": None,
    "naked": {},
}
"""Nothing is known of the account, the loss is far beyond its limit, and the latch is set."""
NO_MARGIN: Rows = {
    "freshness_equity": (0, 5 * S),
    "min_available_margin_usd": (0, 0),
    "max_margin_ratio": (0, 500_000),
    "shock": (0, 0),
    "min_liquidation_distance": (350_000, 1_000_000),
}
NO_LOSSES: Rows = {
    "freshness_mark": (0, 5 * S),
    "max_daily_loss_usd": (0, 10 * USD),
    "max_currency_loss": (0, 1_000_000),
    "max_drawdown_usd": (0, 10 * USD),
    "loss_latch": (0, 0),
}
CLOSING = changed(
    SHEET,
    "symbols",
    SYMBOL,
    allow=(*SHEET.symbols[SYMBOL].allow, Allow(side=Side.SELL, type=OrderType.LIMIT, tif=TimeInForce.GTC, reduce_only=True)),
)
"""The sheet, with an order that rests and may only reduce."""
TIRED = Throttles(rejects={"demo": {("bybit", "gtc", "x"): 99}}, losing={"demo": 99})


def test_an_order_that_only_reduces_is_bound_by_its_size_price_and_messages_alone() -> None:
    """Closing 1 of 5: beyond every bound on what is held before and after."""
    answer = judge(intent(Side.SELL, ticks=500_001, reduce_only=True), sheet=CLOSING, positions={BTC: 5}, throttle=TIRED, **BAD)
    assert told(answer) == {
        **CALM_ROWS,
        "max_position_lots": (0, 2),
        "max_position_notional_usd": (0, 100 * USD),
        "max_gross_notional_usd": (0, 100 * USD),
        "max_venue_gross_notional_usd": (0, 100 * USD),
        "max_naked_notional_usd": (0, 100 * USD),
        **NO_MARGIN,
        **NO_LOSSES,
    }
    assert isinstance(answer, Allowed)
    assert answer.books == (Book(venue="bybit", symbol="BTCUSDT", bid_ticks=500_000, ask_ticks=500_001, boot_ns=NOW),)


def test_an_order_that_closes_a_hedge_is_bound_by_what_it_leaves_naked() -> None:
    """Selling 1 of 5 while a second account is short by 5: nearer to zero here, and the coin is 1 short afterwards, for 50.0001."""
    held = {BTC: 5, SECOND: -5}
    given: dict[str, Any] = {**BAD, "sheet": CLOSING, "positions": held, "throttle": TIRED, "naked": {"BTC": NOW - 7}}
    answer = judge(intent(Side.SELL, ticks=500_001, reduce_only=True), **given)
    assert told(answer) == {
        **CALM_ROWS,
        "max_position_lots": (0, 2),
        "max_position_notional_usd": (0, 100 * USD),
        "max_gross_notional_usd": (0, 100 * USD),
        "max_venue_gross_notional_usd": (0, 100 * USD),
        "max_naked_notional_usd": (LOT, 100 * USD),
        "max_naked_time": (7, 600 * S),
        **NO_MARGIN,
        **NO_LOSSES,
    }
    assert denied(judge(intent(Side.SELL, ticks=500_001, reduce_only=True), **{**given, "naked": {}})) == (
        "max_naked_time",
        "not known since when",
    )
    worse = judge(intent(Side.SELL, ticks=500_001, reduce_only=True), **{**given, "positions": {BTC: 5, SECOND: -6}})
    assert denied(worse) == ("max_naked_notional_usd", f"would be {2 * LOT}, allowed 0 to {100 * USD}")


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        ({"throttle": Throttles(rejects={"demo": {("bybit", "gtc", "x"): 99}})}, "max_reject_streak"),
        ({"throttle": Throttles(losing={"demo": 99})}, "max_losing_streak"),
        ({"losses": Losses(marked_boot_ns=NOW, worst_realised_micro_usd=90 * USD)}, "max_daily_loss_usd"),
        ({"losses": Losses(marked_boot_ns=NOW, by_currency=(Lost("USDT", 90 * USD, 0),))}, "max_currency_loss"),
        ({"losses": Losses(marked_boot_ns=NOW, drawdown_micro_usd=90 * USD)}, "max_drawdown_usd"),
        ({"losses": Losses(marked_boot_ns=NOW, latched=True)}, "loss_latch"),
    ],
)
def test_behind_a_stop_a_derivative_is_closed_only_by_an_order_that_the_venue_holds_to_it(stop: dict[str, Any], expected: str) -> None:
    """Unless it is flagged it opens a position the other way, if the venue liquidates the old one before."""
    given: dict[str, Any] = {"sheet": CLOSING, "positions": {BTC: 5}, **stop}
    assert rule(judge(intent(Side.SELL, ticks=500_001), **given)) == expected
    assert rule(judge(intent(Side.SELL, ticks=500_001, reduce_only=True), **given)) == ""
    # On spot there is no such flag, and nothing that is liquidated.
    spot = universe_of([facts(kind=Kind.SPOT)])
    sold = judge(intent(Side.SELL, ticks=500_001), **given, refs=seen(SHEET, spot, *steady(quote()), rate()))
    assert rule(sold) == ""
    # Without the stop the flag is nobody's business.
    assert rule(judge(intent(Side.SELL, ticks=500_001), sheet=CLOSING, positions={BTC: 5})) == ""


def test_a_hedge_is_bound_by_what_it_adds_to_its_own_account() -> None:
    """Selling 1 while a second account is long by 3: it reduces the coin, and is a new position of 1 in this account."""
    given: dict[str, Any] = {"positions": {SECOND: 3}, "naked": {"BTC": 0}, "throttle": TIRED, "losses": BAD["losses"], "cap": 500 * USD}
    sheet = changed(SHEET, "account", max_gross_notional_micro_usd=220 * USD)
    sheet = changed(sheet, "venues", "bybit", max_gross_notional_micro_usd=210 * USD)
    answer = judge(intent(Side.SELL, ticks=500_001), sheet=sheet, **given)
    assert told(answer) == {
        **CALM_ROWS,
        "max_gross_notional_usd": (4 * LOT, 220 * USD),
        "max_venue_gross_notional_usd": (4 * LOT, 210 * USD),
        "max_naked_notional_usd": (0, 100 * USD),
        "shock": (15_000_030 + 3_250_007, 1_000 * USD),  # a short loses 30 %, and holds a twentieth of what it is then
        **NO_LOSSES,
    }


def test_an_order_that_shrinks_its_position_and_not_the_coin_waits_for_the_other_venue() -> None:
    """Only what is nearer to zero in both is not held up by a book that is not known."""
    other = ("bybit", "second", "ETHUSDT")
    known = seen(BUSY, PLACES, READINGS[2], *steady(quote()), *RATES)
    unknown = seen(BUSY, PLACES, *steady(quote()), *RATES)
    sell = intent(Side.SELL, ticks=500_001, tif=TimeInForce.IOC)

    def judged(positions: Any, refs: Any) -> Allowed | Denied:
        return judge(sell, sheet=BUSY_ALONE, refs=refs, cap=500 * USD, positions={other: 1, **positions})

    reason = ("freshness_reference", "bybit:ETHUSDT: no reference was ever read")
    for held, spared in (
        ({BTC: 2}, True),
        ({BTC: 2, SECOND: -3}, False),  # nearer to zero here, the coin further from it
        ({SECOND: 3}, False),  # the coin nearer to zero, the position here new
        ({}, False),
    ):
        assert rule(judged(held, known)) == ""
        if spared:
            assert rule(judged(held, unknown)) == ""
        else:
            assert denied(judged(held, unknown)) == reason


def test_an_instrument_in_dollars_needs_no_rate_and_tells_none() -> None:
    dollars = universe_of([facts(quote="USD")])
    answer = judge(refs=seen(SHEET, dollars, *steady(quote())))
    assert told(answer) == CALM_ROWS
    assert isinstance(answer, Allowed)
    assert answer.usd_rates == ()


# Spot


SPOT = seen(SHEET, universe_of([facts(kind=Kind.SPOT)]), *steady(quote()), rate())


def test_a_sell_on_spot_is_bound_by_what_is_managed() -> None:
    answer = judge(intent(Side.SELL, ticks=500_001), refs=SPOT, positions={BTC: 2}, orders=[OpenOrder(*BTC, Side.SELL, 500_500, 1)])
    rows = told(answer)
    assert rows["managed_quantity"] == (2, 2)
    assert rows["freshness_equity"] == (0, 5 * S)
    too_many = judge(intent(Side.SELL, ticks=500_001), refs=SPOT, positions={BTC: 1}, orders=[OpenOrder(*BTC, Side.SELL, 500_500, 1)])
    assert denied(too_many) == ("managed_quantity", "sells of 2 lots, managed 1")


def test_a_buy_on_spot_needs_neither_margin_nor_anything_managed() -> None:
    answer = judge(refs=SPOT, equity_usd=None)
    assert told(answer) == {**CALM_ROWS, **NO_MARGIN}
    offered = judge(refs=SPOT, positions={BTC: -1}, orders=[OpenOrder(*BTC, Side.SELL, 500_500, 1)], sheet=BUSY_ALONE, cap=500 * USD)
    assert told(offered)["managed_quantity"] == (0, 0)


# Every denial, word by word


def denied(answer: Allowed | Denied) -> tuple[str, str]:
    assert isinstance(answer, Denied), answer
    return answer.rule, answer.detail


def book(bid: int = 500_000, ask: int = 500_001, at: int = NOW, symbol: str = "BTCUSDT") -> Book:
    return Book(venue="bybit", symbol=symbol, bid_ticks=bid, ask_ticks=ask, boot_ns=at)


def without(table: str, name: str) -> LimitSheet:
    part = {key: value for key, value in getattr(SHEET, table).items() if key != name}
    return msgspec.structs.replace(SHEET, **{table: part})


def sent(messages: int = 0, cancels: int = 0, orders: int = 0, same: int = 0, rejects: int = 0, losing: int = 0) -> Throttles:
    return Throttles(
        messages={"bybit": [NOW] * messages},
        cancels={"bybit": [NOW] * cancels},
        orders={"demo": [NOW] * orders},
        identical={("demo", "bybit", "BTCUSDT", 1, 500_000, 1): [NOW] * same},
        rejects={"demo": {("bybit", "gtc", "x"): rejects}},
        losing={"demo": losing},
    )


STRANGE = 1 << 53
SIZES = "expected ticks and lots from 1 and below 2^53, found"
NO_LIMITS = "no limits for strategy 'demo' on bybit:BTCUSDT"
UNLISTED = "buy market gtc reduce_only=False of account 'main' is not on the list"
AS_READ = seen(SHEET, UNIVERSE, *steady(quote()), rate())
MARKET = changed(SHEET, "symbols", SYMBOL, allow=(Allow(side=Side.BUY, type=OrderType.MARKET, tif=TimeInForce.GTC, reduce_only=False),))
SHORT_TIERS = universe_of([facts(tiers=((Decimal(40), Decimal("0.1"), Decimal("0.05")),))])
"""Margin is known up to 40 dollars only."""
DENIALS: list[tuple[dict[str, Any], str, str]] = [
    ({"order": intent(ticks=0)}, "quantities", f"{SIZES} 0 and 1"),
    ({"order": intent(ticks=-1)}, "quantities", f"{SIZES} -1 and 1"),
    ({"order": intent(ticks=STRANGE)}, "quantities", f"{SIZES} {STRANGE} and 1"),
    ({"order": intent(ticks=True)}, "quantities", f"{SIZES} True and 1"),
    ({"order": intent(lots=0)}, "quantities", f"{SIZES} 500000 and 0"),
    ({"order": intent(lots=STRANGE)}, "quantities", f"{SIZES} 500000 and {STRANGE}"),
    ({"order": intent(lots=True)}, "quantities", f"{SIZES} 500000 and True"),
    ({"order": intent(strategy="x")}, "known", "no limits for strategy 'x' on bybit:BTCUSDT"),
    ({"order": intent(symbol="XRPUSDT")}, "known", "no limits for strategy 'demo' on bybit:XRPUSDT"),
    ({"sheet": without("venues", "bybit")}, "known", NO_LIMITS),
    ({"sheet": without("symbols", SYMBOL)}, "known", NO_LIMITS),
    ({"sheet": without("strategies", "demo")}, "known", NO_LIMITS),
    ({"sheet": without("assets", "BTC")}, "known", NO_LIMITS),
    ({"refs": seen(SHEET, universe_of([]))}, "known", NO_LIMITS),
    ({"positions": {ETH: 1}}, "known", "something is held or open that has no facts: ('bybit', 'main', 'ETHUSDT')"),
    ({"order": intent(tif=TimeInForce.FOK)}, "allow", "buy limit fok reduce_only=False of account 'main' is not on the list"),
    ({"order": intent(account="x")}, "allow", "buy limit gtc reduce_only=False of account 'x' is not on the list"),
    ({"order": intent(type=OrderType.MARKET)}, "allow", UNLISTED),
    ({"order": intent(type=OrderType.MARKET), "sheet": MARKET}, "allow", UNLISTED),  # no price, so that no list can allow it
    ({"refs": seen(SHEET, UNIVERSE, rate())}, "market_status", "the venue is not known to take orders"),
    ({"refs": seen(SHEET, UNIVERSE, *steady(quote(trading=False)), rate())}, "market_status", "the venue is not known to take orders"),
    ({"now": NOW + S + 1}, "freshness_reference", f"bybit:BTCUSDT: read {S + 1} ns ago, allowed {S}"),
    ({"now": NOW - 1}, "freshness_reference", f"bybit:BTCUSDT: read -1 ns ago, allowed {S}"),
    ({"order": intent(books=())}, "engine_books", "decided without a book of the order's own instrument"),
    ({"refs": seen(SHEET, UNIVERSE, *steady(quote()))}, "usd_rates", "0 fresh rates of USDT, expected 1"),
    (
        {"order": intent(ticks=502_501)},
        "collar_reference",
        "502501 ticks against bid 500000 and ask 500001: more than 5000 millionths away",
    ),
    ({"refs": seen(SHEET, UNIVERSE, quote(), rate())}, "max_drift", "steady for 0 ns, expected 500000000"),
    ({"order": intent(lots=3)}, "max_order_lots", "would be 3, allowed 0 to 2"),
    ({"cap": LOT - 1}, "max_order_notional_usd", f"would be {LOT}, allowed 0 to {LOT - 1}"),
    ({"positions": {BTC: 2}}, "max_position_lots", "would be 3, allowed 0 to 2"),
    ({"order": intent(Side.SELL, ticks=500_001), "positions": {BTC: -2}}, "max_position_lots", "would be 3, allowed 0 to 2"),
    ({"positions": {BTC: 1}}, "max_position_notional_usd", f"would be {2 * LOT}, allowed 0 to {100 * USD}"),
    ({"positions": {SECOND: 1 << 52}}, "max_gross_notional_usd", f"would be -1, allowed 0 to {100 * USD}"),
    ({"positions": {SECOND: 1}}, "max_gross_notional_usd", f"would be {2 * LOT}, allowed 0 to {100 * USD}"),
    ({"naked": {}}, "max_naked_time", "not known since when"),
    ({"naked": {"BTC": 0}}, "max_naked_time", f"would be {NOW}, allowed 0 to {600 * S}"),
    ({"naked": {"BTC": NOW + 1}}, "max_naked_time", "not known since when"),
    ({"naked": {"BTC": NOW - 600 * S - 1}}, "max_naked_time", f"would be {600 * S + 1}, allowed 0 to {600 * S}"),
    ({"equity_usd": None}, "freshness_equity", "the account's equity is not known"),
    ({"equity_at": NOW + 1}, "freshness_equity", "the account's equity is not known"),
    ({"equity_at": NOW - 5 * S - 1}, "freshness_equity", f"would be {5 * S + 1}, allowed 0 to {5 * S}"),
    ({"refs": seen(SHEET, SHORT_TIERS, *steady(quote()), rate())}, "min_available_margin_usd", f"would be -1, allowed 0 to {1_000 * USD}"),
    ({"equity_usd": 15}, "min_available_margin_usd", f"would be 15000010, allowed 0 to {15 * USD}"),
    ({"losses": Losses()}, "freshness_mark", "profit and loss are not known"),
    ({"losses": Losses(marked_boot_ns=NOW + 1)}, "freshness_mark", "profit and loss are not known"),
    ({"losses": Losses(marked_boot_ns=NOW - 5 * S - 1)}, "freshness_mark", f"would be {5 * S + 1}, allowed 0 to {5 * S}"),
    ({"losses": Losses(marked_boot_ns=NOW, now_micro_usd=11 * USD)}, "max_daily_loss_usd", f"would be {11 * USD}, allowed 0 to {10 * USD}"),
    (
        {"losses": Losses(marked_boot_ns=NOW, by_currency=(Lost("USDT", 0, 11 * USD),))},
        "max_currency_loss",
        "more lost in USDT than a day may cost",
    ),
    (
        {"losses": Losses(marked_boot_ns=NOW, drawdown_micro_usd=11 * USD)},
        "max_drawdown_usd",
        f"would be {11 * USD}, allowed 0 to {10 * USD}",
    ),
    (
        {"losses": Losses(marked_boot_ns=NOW, latched=True)},
        "loss_latch",
        "a loss was seen that stops until a person clears the latch",
    ),
    ({"throttle": sent(messages=100)}, "max_messages", "would be 101, allowed 0 to 100"),
    ({"throttle": sent(cancels=200)}, "cancel_reserve", "would be 1, allowed 0 to 0"),
    ({"throttle": sent(orders=60)}, "max_orders", "would be 61, allowed 0 to 60"),
    ({"throttle": sent(same=30)}, "max_identical_orders", "would be 31, allowed 0 to 30"),
    ({"throttle": sent(rejects=5)}, "max_reject_streak", "would be 5, allowed 0 to 4"),
    ({"throttle": sent(losing=10)}, "max_losing_streak", "would be 10, allowed 0 to 9"),
]


@pytest.mark.parametrize(("given", "name", "detail"), DENIALS)
def test_a_denial_names_its_rule_and_what_it_found(given: dict[str, Any], name: str, detail: str) -> None:
    order = given.get("order", intent())
    assert denied(judge(order, **{key: value for key, value in given.items() if key != "order"})) == (name, detail)


def test_without_what_denies_each_of_those_orders_would_pass() -> None:
    assert rule(judge(intent(), refs=AS_READ, losses=CALM, throttle=sent())) == ""
    assert rule(judge(intent(ticks=1))) == ""
    assert rule(judge(intent(ticks=STRANGE - 1))) == "collar_reference"
    assert rule(judge(intent(lots=STRANGE - 1))) == "max_order_lots"


def test_a_limit_that_was_not_evaluated_is_named() -> None:
    rows = [(name, 0, 0, "") for name in REQUIRED]
    assert isinstance(concluded(rows, 0, (), ()), Allowed)
    said = "not every limit was evaluated: missing"
    assert denied(concluded(rows[:3] + rows[5:], 0, (), ())) == ("unevaluated", f"{said} market_status, freshness_reference")
    assert denied(concluded(rows[::-1], 0, (), ())) == ("unevaluated", f"{said} none, but their order differs")


# More than one instrument


def test_of_several_books_that_are_no_good_the_first_is_told() -> None:
    readings: list[Quote | Rate] = [*steady(quote()), READINGS[2], READINGS[3], *RATES]
    held = {ETH: 1, KRW: 1}
    assert rule(judge(sheet=BUSY, refs=seen(BUSY, PLACES, *readings), positions=held, cap=500 * USD)) == ""
    blind = seen(BUSY, PLACES, *steady(quote()), *RATES)
    first = "bybit:ETHUSDT: no reference was ever read"
    assert denied(judge(sheet=BUSY, refs=blind, positions=held, cap=500 * USD)) == ("freshness_reference", first)


def test_of_several_currencies_without_a_rate_the_first_is_told() -> None:
    blind = seen(BUSY, PLACES, *steady(quote()), READINGS[3])
    assert denied(judge(sheet=BUSY, refs=blind, cap=500 * USD)) == ("usd_rates", "0 fresh rates of KRW, expected 1")
    only = seen(BUSY, PLACES, *steady(quote()), READINGS[3], RATES[1])
    assert denied(judge(sheet=BUSY, refs=only, cap=500 * USD)) == ("usd_rates", "0 fresh rates of USDT, expected 1")


def test_an_instrument_that_is_held_and_has_no_limits_denies_though_its_book_is_known() -> None:
    refs = seen(BUSY, PLACES, *steady(quote()), *READINGS[2:], *RATES)
    unlisted = msgspec.structs.replace(BUSY, symbols={name: one for name, one in BUSY.symbols.items() if name != "bybit:ETHUSDT"})
    assert rule(judge(sheet=BUSY, refs=refs, positions={ETH: 1}, cap=500 * USD)) == ""
    found = judge(sheet=unlisted, refs=refs, positions={ETH: 1}, cap=500 * USD)
    assert denied(found) == ("freshness_reference", "bybit:ETHUSDT: no limits")


def test_an_order_too_far_from_the_peer_tells_both_prices() -> None:
    far = quote(49_000_000, 49_000_100, venue="upbit", symbol="KRW-BTC")
    buy = intent(ticks=500_000)
    assert rule(judge(buy, sheet=BUSY, refs=seen(BUSY, PLACES, *steady(quote()), *READINGS[2:], *RATES), cap=500 * USD)) == ""
    found = judge(buy, sheet=BUSY, refs=seen(BUSY, PLACES, *steady(quote()), far, *RATES), cap=500 * USD)
    reason = "500000 ticks against 980001 for twice the mid of upbit:KRW-BTC: more than 10000 millionths away"
    assert denied(found) == ("collar_peer", reason)


# What may rest with nobody to cancel it


@pytest.mark.parametrize(
    ("tif", "value"), [(TimeInForce.GTC, LOT), (TimeInForce.POST_ONLY, LOT), (TimeInForce.IOC, 0), (TimeInForce.FOK, 0)]
)
def test_what_rests_unattended_by_time_in_force(tif: TimeInForce, value: int) -> None:
    way = Allow(side=Side.BUY, type=OrderType.LIMIT, tif=tif, reduce_only=False)
    sheet = changed(SHEET, "symbols", SYMBOL, allow=(way,))
    assert told(judge(intent(tif=tif), sheet=sheet)) == {**CALM_ROWS, "max_unattended_resting_usd": (value, 1 << 50)}


def test_what_the_venue_cancels_by_itself_does_not_count_as_unattended() -> None:
    assert told(busy(SOLD, attended=[ETH])) == {**BUSY_ROWS, "max_unattended_resting_usd": (250_100_000, 470 * USD)}
    assert told(busy(SOLD, attended=[BTC])) == {**BUSY_ROWS, "max_unattended_resting_usd": (0, 470 * USD)}
    assert told(busy(SOLD, attended=[KRW])) == BUSY_ROWS


def test_an_order_that_only_reduces_may_rest_only_where_it_is_known_what_rests_there() -> None:
    """It asks for no other book, but what else rests at its venue must be priced to be counted."""
    won = ("bybit", "second", "ETHKRW")
    places = universe_of([facts(), facts(symbol="ETHUSDT", asset="ETH"), facts(symbol="ETHKRW", asset="ETH", quote="KRW")])
    sheet = msgspec.structs.replace(BUSY_ALONE, symbols={**BUSY_ALONE.symbols, "bybit:ETHKRW": BUSY_ALONE.symbols["bybit:ETHUSDT"]})
    own: list[Quote | Rate] = [*steady(quote()), rate()]
    sell = intent(Side.SELL, ticks=500_001)
    unknown = ("max_unattended_resting_usd", f"would be -1, allowed 0 to {470 * USD}")
    for other, reading, complement in (
        (ETH, rate("KRW", "0.001", "0.001"), quote(40_000, 40_001, symbol="ETHUSDT")),  # the rate is known, the book is not
        (won, quote(40_000, 40_001, symbol="ETHKRW"), rate("KRW", "0.001", "0.001")),  # the other way round
    ):
        given: dict[str, Any] = {"sheet": sheet, "positions": {BTC: 5, other: 1}}
        half, whole = seen(sheet, places, *own, reading), seen(sheet, places, *own, reading, complement)
        assert denied(judge(sell, refs=half, **given)) == unknown
        assert rule(judge(sell, refs=whole, **given)) == ""
        assert rule(judge(msgspec.structs.replace(sell, tif=TimeInForce.IOC), refs=half, **given)) == ""
        assert rule(judge(sell, refs=half, attended=[other], **given)) == ""


def test_what_rests_for_more_than_can_be_computed_denies_one_that_only_reduces() -> None:
    refs = seen(BUSY_ALONE, PLACES, *steady(quote()), READINGS[2], rate())
    given: dict[str, Any] = {"sheet": BUSY_ALONE, "refs": refs, "positions": {BTC: 5}}
    sell = intent(Side.SELL, ticks=500_001)
    assert rule(judge(sell, orders=[OpenOrder(*ETH, Side.BUY, 40_000, 1)], **given)) == ""
    found = judge(sell, orders=[OpenOrder(*ETH, Side.BUY, 40_000, 1 << 52)], **given)
    assert denied(found) == ("max_unattended_resting_usd", f"would be -1, allowed 0 to {470 * USD}")


# Unknown, elsewhere and nothing


def test_an_order_that_shrinks_its_position_and_not_the_coin_is_denied_where_what_stays_naked_cannot_be_computed() -> None:
    given: dict[str, Any] = {"sheet": BUSY_ALONE, "refs": seen(BUSY_ALONE, PLACES, *steady(quote()), READINGS[2], rate())}
    sell = intent(Side.SELL, ticks=500_001, tif=TimeInForce.IOC)
    held = {BTC: 5, SECOND: -5}
    assert told(judge(sell, positions=held, **given))["max_naked_notional_usd"] == (LOT, 450 * USD)
    found = judge(sell, positions={**held, ETH: 1 << 52}, **given)
    assert denied(found) == ("max_naked_notional_usd", f"would be -1, allowed 0 to {450 * USD}")


def test_what_is_held_on_another_venue_under_the_same_name_of_account_needs_no_margin_here() -> None:
    places = universe_of([facts(), facts("upbit", "ETHUSDT", asset="ETH")])
    sheet = msgspec.structs.replace(BUSY_ALONE, symbols={**BUSY_ALONE.symbols, "upbit:ETHUSDT": BUSY_ALONE.symbols["bybit:ETHUSDT"]})
    refs = seen(sheet, places, *steady(quote()), quote(venue="upbit", symbol="ETHUSDT"), rate())
    rows = told(judge(positions={("upbit", "main", "ETHUSDT"): 2}, sheet=sheet, refs=refs, cap=500 * USD))
    assert rows["max_gross_notional_usd"] == (3 * LOT, 500 * USD)
    margin = [name for name in NO_MARGIN if name != "freshness_equity"]
    assert {name: rows[name] for name in margin} == {name: CALM_ROWS[name] for name in margin}


def test_an_account_that_holds_nothing_adds_nothing() -> None:
    """Nor does it need margin beyond what must stay in any account with derivatives."""
    places = universe_of([facts(kind=Kind.SPOT), facts(symbol="ETHUSDT", asset="ETH")])
    refs = seen(BUSY_ALONE, places, *steady(quote()), READINGS[2], rate())
    exposure = exposure_of({}, [], {("bybit", "main"): Equity(300 * USD, NOW)}, {"BTC": None})
    for nothing in ({}, {ETH: Load()}):
        empty = msgspec.structs.replace(exposure, loads=nothing)
        rows = told(evaluate(BUSY_ALONE, intent(), empty, refs, Throttles(), CALM, NOW, 500 * USD))
        assert rows["max_gross_notional_usd"] == (LOT, 500 * USD)
        assert rows["min_available_margin_usd"] == ((10 * USD, 300 * USD) if nothing else (0, 0))
