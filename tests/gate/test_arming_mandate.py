"""The reduce mandate: three clauses, their bounds, and nothing that could be more risk."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.gate.mandate import Claim, Clause, Leg, MandateBounds, MandateRule, refuse_reduction
from interlock.gate.permission import Denial, May, Permission

NOW = 1_000
REDUCE = Permission(May.REDUCE, Denial.EXPIRED)
BOUNDS = MandateBounds(naked_cap_usd=Decimal(50), loss_bound_usd=Decimal(7), max_age_ns=100)
LONG = Leg(held_lots=5, low_lots=3, high_lots=5, derivative=True, reduce_only=True)
SHORT = Leg(held_lots=-5, low_lots=-5, high_lots=-3, derivative=True, reduce_only=True)
HEDGE = Claim(
    clause=Clause.HEDGE,
    lots=2,
    proven_unhedged_lots=2,
    legs=(),
    naked_before_usd=Decimal(100),
    naked_after_usd=Decimal(0),
    group_naked_before_usd=Decimal(100),
    group_naked_after_usd=Decimal(0),
    loss_usd=Decimal(7),
    group_began_boot_ns=NOW - 100,
)
PAIR = msgspec.structs.replace(HEDGE, clause=Clause.SHRINK_PAIR, legs=(LONG, SHORT))
SINGLE = msgspec.structs.replace(HEDGE, clause=Clause.REDUCE_ONLY, legs=(LONG,))


def leg(base: Leg, **parts: object) -> Leg:
    return msgspec.structs.replace(base, **parts)


@pytest.mark.parametrize("claim", [HEDGE, PAIR, SINGLE, msgspec.structs.replace(SINGLE, legs=(SHORT,))])
def test_each_clause_lets_through_what_it_is_for(claim: Claim) -> None:
    assert refuse_reduction(REDUCE, claim, BOUNDS, NOW) is None
    assert refuse_reduction(Permission(May.NEW_RISK, None), claim, BOUNDS, NOW) is None
    for denial in Denial:
        assert refuse_reduction(Permission(May.NOTHING, denial), claim, BOUNDS, NOW) is MandateRule.NOT_PERMITTED


@pytest.mark.parametrize("claim", [HEDGE, PAIR, SINGLE])
@pytest.mark.parametrize(
    ("parts", "rule"),
    [
        ({"lots": 0}, MandateRule.NONSENSE),
        ({"naked_after_usd": Decimal("NaN")}, MandateRule.NONSENSE),
        ({"naked_before_usd": Decimal("-Infinity")}, MandateRule.NONSENSE),
        ({"naked_before_usd": Decimal(51), "naked_after_usd": Decimal(52)}, MandateRule.NAKED),
        ({"group_naked_after_usd": Decimal("NaN")}, MandateRule.NONSENSE),
        ({"group_naked_before_usd": Decimal("Infinity")}, MandateRule.NONSENSE),
        ({"group_naked_before_usd": Decimal(51), "group_naked_after_usd": Decimal(52)}, MandateRule.NAKED),
        ({"loss_usd": Decimal("NaN")}, MandateRule.NONSENSE),
        ({"loss_usd": Decimal("7.000001")}, MandateRule.LOSS),
        ({"loss_usd": Decimal(8), "naked_before_usd": Decimal(51), "naked_after_usd": Decimal(52)}, MandateRule.NAKED),
        ({"loss_usd": Decimal(8), "group_began_boot_ns": NOW + 1}, MandateRule.TIME),
        ({"group_began_boot_ns": NOW - 101}, MandateRule.TIME),
        ({"group_began_boot_ns": NOW + 1}, MandateRule.TIME),
        ({"clause": "more"}, MandateRule.NONSENSE),
    ],
)
def test_the_bounds_hold_for_every_clause(claim: Claim, parts: dict[str, object], rule: MandateRule) -> None:
    assert refuse_reduction(REDUCE, msgspec.structs.replace(claim, **parts), BOUNDS, NOW) is rule


def test_naked_exposure_may_shrink_above_its_cap_and_grow_below_it() -> None:
    above = msgspec.structs.replace(HEDGE, naked_before_usd=Decimal(90), naked_after_usd=Decimal(90))
    below = msgspec.structs.replace(HEDGE, naked_before_usd=Decimal(0), naked_after_usd=Decimal(50))
    assert refuse_reduction(REDUCE, above, BOUNDS, NOW) is None
    assert refuse_reduction(REDUCE, below, BOUNDS, NOW) is None
    of_group = msgspec.structs.replace(HEDGE, group_naked_before_usd=Decimal(0), group_naked_after_usd=Decimal(50))
    assert refuse_reduction(REDUCE, of_group, BOUNDS, NOW) is None
    beyond = msgspec.structs.replace(BOUNDS, naked_cap_usd=Decimal("NaN"))
    assert refuse_reduction(REDUCE, below, beyond, NOW) is MandateRule.NONSENSE


@pytest.mark.parametrize(
    ("claim", "rule"),
    [
        (msgspec.structs.replace(HEDGE, lots=3), MandateRule.NOT_PROVEN),
        (msgspec.structs.replace(PAIR, legs=(LONG,)), MandateRule.NOT_A_PAIR),
        (msgspec.structs.replace(PAIR, legs=(LONG, LONG)), MandateRule.NOT_A_PAIR),
        (msgspec.structs.replace(PAIR, legs=(LONG, leg(SHORT, held_lots=0, low_lots=0, high_lots=0))), MandateRule.NOT_A_PAIR),
        (msgspec.structs.replace(PAIR, legs=(LONG, SHORT, SHORT)), MandateRule.NOT_A_PAIR),
        (msgspec.structs.replace(PAIR, legs=(LONG, leg(SHORT, high_lots=-5))), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(PAIR, legs=(LONG, leg(SHORT, high_lots=1))), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(SINGLE, legs=()), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(SINGLE, legs=(LONG, SHORT)), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(SINGLE, legs=(leg(LONG, reduce_only=False),)), MandateRule.NO_REDUCE_FLAG),
        (msgspec.structs.replace(SINGLE, legs=(leg(LONG, low_lots=-1),)), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(SINGLE, legs=(leg(LONG, high_lots=6),)), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(SINGLE, legs=(leg(LONG, low_lots=5),)), MandateRule.NOT_SHRINKING),
        (msgspec.structs.replace(SINGLE, legs=(leg(LONG, held_lots=0, low_lots=0, high_lots=0),)), MandateRule.NOT_SHRINKING),
    ],
)
def test_each_clause_refuses_what_is_more(claim: Claim, rule: MandateRule) -> None:
    assert refuse_reduction(REDUCE, claim, BOUNDS, NOW) is rule


def test_spot_needs_no_flag() -> None:
    spot = leg(LONG, derivative=False, reduce_only=False)
    assert refuse_reduction(REDUCE, msgspec.structs.replace(SINGLE, legs=(spot,)), BOUNDS, NOW) is None


small = st.integers(-3, 3)


@given(small, small, small)
def test_what_a_reduction_can_leave_is_never_more_nor_on_the_other_side(held: int, low: int, high: int) -> None:
    claim = msgspec.structs.replace(SINGLE, legs=(leg(LONG, held_lots=held, low_lots=low, high_lots=high),))
    if refuse_reduction(REDUCE, claim, BOUNDS, NOW) is None:
        assert all(abs(after) <= abs(held) and after * held >= 0 for after in range(low, high + 1))
        assert (low, high) != (held, held)
