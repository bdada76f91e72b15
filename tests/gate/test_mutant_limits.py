"""Limits, margin, the reduce mandate and losses at their exact bounds, and that one unknown part makes the whole unknown."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from tests.gate import limit_cases as lc

from interlock.gate import limits, losses, records
from interlock.gate.exposure import Load, Valuation
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.losses import Losses
from interlock.gate.mandate import Claim, Clause, Leg, MandateBounds, MandateRule, refuse_reduction
from interlock.gate.margin import NONE, MarginNeed, margin_need
from interlock.gate.permission import Denial, May, Permission

MOST = 1 << 62
M = 1_000_000


# Limits


@pytest.mark.parametrize(
    ("a", "b", "overflows"),
    [
        ((1 << 31) - 1, (1 << 31) - 1, False),
        (1 << 31, 1 << 31, False),  # exactly 62 bits
        (1 << 31, (1 << 31) + 1, True),
        (MOST, 1, False),
        (MOST + 1, 1, True),
        (1, MOST + 1, True),
        (0, MOST + 1, False),
        (-(1 << 31), (1 << 31) + 1, True),
    ],
)
def test_a_product_overflows_above_62_bits(a: int, b: int, overflows: bool) -> None:
    assert limits.product_overflows(a, b) is overflows


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ((0, 5, 1, 1), 0),
        ((5, 0, 1, 1), 0),
        ((5, 5, 0, 1), 0),
        ((MOST, 0, MOST, 1), 0),
        ((7, 1, 1, 2), 4),
        ((MOST, 1, 1, 1), MOST),
        ((MOST, 2, 1, 1), -1),
        ((2, MOST, 1, 1), -1),
        ((MOST, 1, 2, 1), -1),
        ((MOST // 2, 1, 2, 1), MOST),
        ((MOST // 2 + 1, 1, 2, 1), -1),
        ((1 << 31, (1 << 31) + 1, 1, 1), -1),
        ((MOST // 2 + 1, 1, 2, 10), (MOST // 2 + 10) // 10 * 2),
        ((MOST // 2 + 1, 1, 2, 15), -1),
        ((MOST, 1, 20, 100), MOST // 100 * 20 + 20),
        ((MOST, 1, 20, 10), -1),
        ((5, 5, 1, 0), -1),
        ((-1, 5, 1, 1), -1),
        ((5, -1, 1, 1), -1),
        ((5, 5, -1, 1), -1),
    ],
)
def test_a_product_rounded_up_at_its_bounds(arguments: tuple[int, int, int, int], value: int) -> None:
    assert limits.product_up(*arguments) == value


@pytest.mark.parametrize(("side", "ticks", "exceeds"), [(1, 1_000, False), (-1, 1_000, False), (1, 1_001, True), (-1, 999, True)])
def test_a_collar_of_nothing_lets_the_reference_itself_pass(side: int, ticks: int, exceeds: bool) -> None:
    assert limits.exceeds_collar(side, ticks, 2_000, 0) is exceeds
    assert limits.exceeds_collar(side, ticks, 2_000, MOST) is exceeds  # a collar too wide to reckon with lets nothing else pass


def test_the_largest_product_that_fits_is_compared_and_not_refused() -> None:
    away = MOST // M
    assert limits.exceeds_collar(1, away, away, M) is False
    assert limits.exceeds_collar(1, away, away, M - 1) is True
    assert limits.exceeds_collar(1, away + 1, away + 1, M) is True
    assert limits.liquidation_distance_millionths(away, 0, away) == M
    assert limits.liquidation_distance_millionths(away + 1, 0, away + 1) == -1


@pytest.mark.parametrize(
    ("bound", "factor", "value"),
    [(10, M, 10), (10, M + 1, 0), (10, 2 * M, 0), (10, 0, 0), (10, -1, 0), (-1, M, 0), (0, M, 0), (3 * M + 1, M // 2, 1_500_000)],
)
def test_a_bound_is_tightened_or_closed_and_never_loosened(bound: int, factor: int, value: int) -> None:
    assert limits.tightened(bound, factor) == value


def test_nothing_held_needs_no_margin_even_where_there_are_no_tiers() -> None:
    assert (limits.margin_of(0, ()), limits.margin_of(1, ())) == (0, -1)


@pytest.mark.parametrize(
    ("volatility", "factor"), [(-1, 100), (0, 1_000), (10, 1_000), (11, 990), (15, 950), (20, 900), (21, 820), (30, 100), (31, 100)]
)
def test_tightening_point_by_point(volatility: int, factor: int) -> None:
    assert limits.tightening(volatility, ((10, 1_000), (20, 900), (30, 100))) == factor


@pytest.mark.parametrize(
    ("low", "high", "value"), [(100, 101, 10_000), (100, 100, 0), (1, 1, 0), (0, 1, -1), (-1, 1, -1), (101, 100, -1), (0, 0, -1)]
)
def test_how_far_a_range_reaches(low: int, high: int, value: int) -> None:
    assert limits.range_millionths(low, high) == value


@pytest.mark.parametrize(("notional", "margin"), [(0, 0), (1, 1), (100, 1), (101, 3), (200, 4), (201, -1), (-1, -1)])
def test_margin_by_tiers_up_to_the_last_figure_of_each(notional: int, margin: int) -> None:
    assert limits.margin_of(notional, ((100, 10_000), (200, 20_000))) == margin


@pytest.mark.parametrize(
    ("equity", "maintenance", "notional", "distance"),
    [
        (10, 10, 90, 0),
        (9, 10, 90, -1),
        (20, 10, 90, 100_000),
        (20, 10, 0, M),
        (M, 0, M + 1, M - 1),
        (200, 0, 100, M),
        (5, 0, 0, M),
        (5, -1, 1, -1),
        (5, 1, -1, -1),
        (MOST, 0, 1, -1),
    ],
)
def test_the_distance_to_liquidation_at_its_bounds(equity: int, maintenance: int, notional: int, distance: int) -> None:
    assert limits.liquidation_distance_millionths(equity, maintenance, notional) == distance


# Margin

TIERS = ((1_000 * M, 10_000), (2_000 * M, 20_000))
DOLLAR = Valuation(M, 1, 1, 1, ((2_000 * M, 100_000),), TIERS)
"""A tick of a lot is a dollar; the tiers end at 2,000 dollars."""

UNKNOWN = MarginNeed(-1, -1, -1, -1, -1)


def need(*held: tuple[Load, int], bid_less: int = 0) -> MarginNeed:
    """Of loads at their ask, through a shock of 30 %."""
    return margin_need([(load, ask - bid_less, ask, DOLLAR) for load, ask in held], 300_000)


def test_margin_of_one_position() -> None:
    """A long of 1,000 dollars loses 300 and keeps 1 %; had it risen, 1,300 dollars would stand in the dearer tier."""
    assert need((Load(1), 1_000)) == MarginNeed(100 * M, 10 * M, 1_000 * M, 310 * M, 0)
    # A short of as much loses 300 when prices rise, and then stands in the dearer tier with all of its 1,300.
    assert need((Load(-1), 1_000)) == MarginNeed(100 * M, 10 * M, 1_000 * M, 326 * M, 0)
    assert need((Load(), 1_000)) == need() == NONE
    assert need((Load(), 1_000), (Load(1), 1_000)) == need((Load(1), 1_000))


def test_margin_of_an_order_that_is_worse_than_the_market() -> None:
    bought = need((Load(0, 1, 0, 1, 1_000, 0, 0), 990), bid_less=10)
    assert bought == MarginNeed(100 * M, 10 * M, 1_000 * M, 330 * M, 20 * M)
    sold = need((Load(0, 0, 1, 1, 0, 980, 980), 1_000), bid_less=10)
    assert sold.entry_loss == 20 * M
    passive = need((Load(0, 1, 0, 1, 900, 0, 0), 1_000), (Load(0, 0, 1, 1, 0, 1_100, 1_100), 1_000))
    assert passive.entry_loss == 0


def test_a_shock_goes_one_way_for_all_positions() -> None:
    """What the long loses when prices fall and the short when they rise are not added up; the margin that both keep is."""
    both = need((Load(1), 1_000), (Load(-1), 1_000))
    assert both == MarginNeed(200 * M, 20 * M, 2_000 * M, (326 + 26) * M, 0)


@pytest.mark.parametrize(
    "load",
    [
        Load(2),  # above the last tier today
        Load(-2),
        Load(0, 2, 0, 1, 1_001, 0, 0),
    ],
)
def test_a_position_above_the_last_tier_makes_everything_unknown(load: Load) -> None:
    assert need((load, 1_001)) == UNKNOWN
    assert need((Load(1), 1_000), (load, 1_001), (Load(1), 1_000)) == UNKNOWN


@pytest.mark.parametrize("position", [1, -1])
def test_a_position_that_a_shock_brings_above_the_last_tier_makes_everything_unknown(position: int) -> None:
    assert need((Load(position), 1_538)) != UNKNOWN
    assert need((Load(position), 1_539)) == UNKNOWN


@pytest.mark.parametrize("load", [Load(1, 1 << 62, 0, 1, 900, 0, 0), Load(-1, 0, 1 << 62, 1, 0, 900, 900)])
def test_a_value_that_cannot_be_computed_makes_everything_unknown(load: Load) -> None:
    assert need((load, 1_000), bid_less=200) == UNKNOWN


# The reduce mandate

REDUCE = Permission(May.REDUCE, Denial.EXPIRED)
BOUNDS = MandateBounds(naked_cap_usd=Decimal(50), loss_bound_usd=Decimal(7), max_age_ns=100)
LONG = Leg(held_lots=5, low_lots=3, high_lots=3, derivative=True, reduce_only=True)
SHORT = Leg(held_lots=-2, low_lots=-1, high_lots=-1, derivative=True, reduce_only=True)
PAIR = Claim(
    clause=Clause.SHRINK_PAIR,
    lots=2,
    proven_unhedged_lots=0,
    legs=(LONG, SHORT),
    naked_before_usd=Decimal(100),
    naked_after_usd=Decimal(0),
    group_naked_before_usd=Decimal(100),
    group_naked_after_usd=Decimal(0),
    loss_usd=Decimal(7),
    group_began_boot_ns=0,
)


def refused(*legs: Leg) -> MandateRule | None:
    return refuse_reduction(REDUCE, msgspec.structs.replace(PAIR, legs=legs), BOUNDS, 0)


def test_a_pair_whose_outcome_is_certain_may_shrink() -> None:
    assert refused(LONG, SHORT) is None
    assert refused(SHORT, LONG) is None
    whole = [msgspec.structs.replace(leg, low_lots=0, high_lots=0) for leg in (LONG, SHORT)]
    assert refused(*whole) is None
    across = msgspec.structs.replace(LONG, low_lots=-1, high_lots=0), msgspec.structs.replace(SHORT, low_lots=0, high_lots=1)
    assert refused(across[0], SHORT) is refused(LONG, across[1]) is MandateRule.NOT_SHRINKING


def test_a_pair_needs_something_on_both_sides() -> None:
    nothing = Leg(held_lots=0, low_lots=0, high_lots=0, derivative=True, reduce_only=True)
    assert refused(LONG, nothing) is refused(nothing, SHORT) is refused(LONG, LONG) is refused(SHORT, SHORT) is MandateRule.NOT_A_PAIR


def test_each_leg_of_a_pair_needs_the_flag_of_its_own() -> None:
    plain_long, plain_short = (msgspec.structs.replace(leg, reduce_only=False) for leg in (LONG, SHORT))
    assert refused(plain_long, SHORT) is refused(LONG, plain_short) is MandateRule.NO_REDUCE_FLAG
    spot = msgspec.structs.replace(plain_long, derivative=False)
    assert refused(spot, SHORT) is None


# Losses

LOSSES = lc.changed(lc.SHEET, "account", max_daily_loss_micro_usd=10 * M, max_drawdown_micro_usd=10 * M, unrealised_breach_marks_count=3)
SECOND_NS = 1_000_000_000


def marked(*marks: tuple[str, str]) -> Losses:
    """After marks (unrealised, equity) a second apart, of a day that began with 100 dollars."""
    day = records.DayRolled(boot_ns=0, day="2026-01-01", baseline=(), baseline_usd=Decimal(100), wall_ns=0)
    state = losses.apply(Losses(), day, LOSSES)
    for number, (unrealised, equity) in enumerate(marks, start=1):
        mark = records.Marked(
            boot_ns=number * SECOND_NS, realised_usd=Decimal(0), unrealised_usd=Decimal(unrealised), equity_usd=Decimal(equity)
        )
        state = losses.apply(state, mark, LOSSES)
    return state


def test_before_the_first_mark_nothing_is_lost_and_nothing_is_known() -> None:
    expected = ("", 0, 0, 0, None, 0, None, 0, None, False, "", False, ())
    assert Losses().digest_parts() == expected
    assert marked().digest_parts() == ("2026-01-01", *expected[1:4], 100 * M, *expected[5:])


@pytest.mark.parametrize(
    ("mark", "breaches"),
    [(("-10", "100"), 0), (("-10.000001", "100"), 1), (("0", "90"), 0), (("0", "89.999999"), 1), (("-10", "90"), 0), (("-11", "89"), 1)],
)
def test_a_loss_or_a_drawdown_breaches_above_its_limit_and_not_at_it(mark: tuple[str, str], breaches: int) -> None:
    assert marked(mark).breaches_count == breaches
    assert marked(mark, mark).breaches_count == 2 * breaches
    assert marked(mark, mark, mark).latched is bool(breaches)


def test_a_loss_in_a_currency_is_held_against_its_own_limit_whatever_another_won() -> None:
    """Three dollars won are no help for the won: 20 lost of 10, while the converted total has risen."""
    sheet = two_currencies()
    state = lost(sheet, ("KRW", "-20", "0"), ("USDT", "3", "0"))
    assert (state.worst_realised_micro_usd, state.now_micro_usd, state.latched) == (0, -2 * M, True)
    assert losses.currency_loss(state, sheet) == (2_000_000, "KRW")
    held = lost(sheet, ("KRW", "-10", "0"), ("USDT", "-1", "0"))
    assert (held.latched, held.breaches_count, losses.currency_loss(held, sheet)) == (False, 0, (1_000_000, "KRW"))


@pytest.mark.parametrize(
    ("told", "share", "breaches", "latched"),
    [
        (("KRW", "-10.000001", "0"), (1_000_001, "KRW"), 1, True),
        (("KRW", "-4", "-6.000001"), (1_000_001, "KRW"), 1, False),
        (("KRW", "4", "-14.1"), (1_010_000, "KRW"), 1, False),
        (("KRW", "-0.0000001", "0"), (1, "KRW"), 0, False),
        (("KRW", "7", "-7"), (0, ""), 0, False),
        (("USDT", "-5", "0"), (500_000, "USDT"), 0, False),
        (("USD", "-9", "0"), (900_000, "USD"), 0, False),
        (("USD", "-10.000001", "0"), (1_000_001, "USD"), 1, True),
        (("XYZ", "-0.000001", "0"), (1_000_001, "XYZ"), 1, True),
    ],
)
def test_the_share_of_a_currency_is_rounded_up_and_what_is_open_only_counts(
    told: tuple[str, str, str], share: tuple[int, str], breaches: int, latched: bool
) -> None:
    """The dollar is not in the sheet: its limit is as high as that of the total, which these marks leave alone. Of XYZ nothing may be lost."""
    sheet = two_currencies()
    state = lost(sheet, told)
    assert (losses.currency_loss(state, sheet), state.breaches_count, state.latched) == (share, breaches, latched)


def test_what_a_currency_lost_for_good_stays_until_the_day_ends() -> None:
    sheet = two_currencies()
    state = lost(sheet, ("KRW", "-8", "0"))
    state = losses.apply(state, mark_of(("KRW", "3", "0"), at=2), sheet)
    assert losses.currency_loss(state, sheet) == (800_000, "KRW")
    state = losses.apply(state, mark_of(("USDT", "-9", "0"), at=3), sheet)
    assert losses.currency_loss(state, sheet) == (900_000, "USDT")
    assert state.by_currency == (losses.Lost("KRW", 8 * M, 0), losses.Lost("USDT", 9 * M, 9 * M))
    next_day = records.DayRolled(boot_ns=4, day="2026-01-02", baseline=(), baseline_usd=Decimal(100), wall_ns=0)
    assert losses.apply(state, next_day, sheet).by_currency == ()


@pytest.mark.parametrize("day", ["2026-01-01", "2025-12-31"])
def test_a_day_that_is_told_again_or_late_takes_nothing_back(day: str) -> None:
    state = marked(("-9", "100"))
    roll = records.DayRolled(boot_ns=4, day=day, baseline=(), baseline_usd=Decimal(500), wall_ns=0)
    assert losses.apply(state, roll, LOSSES) == state
    after = losses.apply(state, msgspec.structs.replace(roll, day="2026-01-02"), LOSSES)
    assert (after.now_micro_usd, after.peak_equity_micro_usd) == (0, 500 * M), "the control"


@pytest.mark.parametrize(("last", "latched"), [(("-11", "100"), True), (("-10", "100"), False), (("0", "89"), True)])
def test_a_day_that_ends_in_breach_has_it_for_good(last: tuple[str, str], latched: bool) -> None:
    state = marked(last)
    assert state.latched is False
    roll = records.DayRolled(boot_ns=4, day="2026-01-02", baseline=(), baseline_usd=Decimal(100), wall_ns=0)
    assert losses.apply(state, roll, LOSSES).latched is latched


def test_a_tighter_limit_of_a_currency_latches_what_was_lost_before() -> None:
    sheet = two_currencies()
    state = lost(sheet, ("KRW", "-8", "0"))
    tightened = records.LimitsTightened(boot_ns=2, before="", after="", sheet=sheet, changes=(), actor="me", reason="", wall_ns=0)
    assert losses.apply(state, tightened, sheet).latched is False
    assert losses.apply(state, tightened, lc.changed(sheet, "currencies", "KRW", max_daily_loss_micro_units=8 * M)).latched is False
    tighter = lc.changed(sheet, "currencies", "KRW", max_daily_loss_micro_units=8 * M - 1)
    assert losses.apply(state, tightened, tighter).latched is True


def test_a_sheet_of_before_there_was_the_bound_lets_nothing_be_lost_of_what_is_told() -> None:
    sheet = lc.changed(two_currencies(), "currencies", "KRW", max_daily_loss_micro_units=0)
    assert losses.currency_loss(lost(sheet, ("KRW", "-0.000001", "0")), sheet) == (1_000_001, "KRW")
    assert losses.currency_loss(lost(sheet, ("KRW", "0", "0")), sheet) == (0, "")


def two_currencies() -> LimitSheet:
    """At most 10 of each are to be lost on a day; of the total, in dollars, too."""
    own = msgspec.structs.replace(LOSSES.currencies["USDT"], max_daily_loss_micro_units=10 * M)
    return msgspec.structs.replace(LOSSES, currencies={"USDT": own, "KRW": own})


def mark_of(*told: tuple[str, str, str], at: int = 1) -> records.Marked:
    """A mark of which the total is won, and of each currency (name, realised, unrealised)."""
    by_currency = tuple((name, Decimal(realised), Decimal(unrealised)) for name, realised, unrealised in told)
    won = Decimal(1)
    return records.Marked(boot_ns=at * SECOND_NS, realised_usd=won, unrealised_usd=won, equity_usd=Decimal(102), by_currency=by_currency)


def lost(sheet: LimitSheet, *told: tuple[str, str, str]) -> Losses:
    """The state after one mark."""
    return losses.apply(Losses(), mark_of(*told), sheet)


def test_a_latch_stays_when_the_loss_that_set_it_has_passed() -> None:
    down, up = ("-11", "100"), ("0", "100")
    assert marked(down, down, up).latched is False
    after = marked(down, down, down, up)
    assert (after.latched, after.breaches_count, after.now_micro_usd) == (True, 0, 0)


def test_a_person_who_clears_the_latch_begins_the_count_anew() -> None:
    clear = records.LatchCleared(
        boot_ns=9, name=losses.DAILY_LOSS, scope=records.Scope.ALL, subject="", actor="person", nonce="n", state_version=0
    )
    state = losses.apply(marked(*[("-11", "100")] * 3), clear, LOSSES)
    assert (state.latched, state.breaches_count, state.breached_boot_ns) == (False, 0, None)
