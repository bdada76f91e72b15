"""The making kernel, asked directly: hand-made books and orders in, quotes out."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.strategies.books import Array, Desk, Intent, stack

from interlock.strategies.contract import CANCEL, PLACE, REPLACE, STATUS_CANCELLING, STATUS_OPEN, STATUS_SENT, TIF_POST_ONLY
from interlock.strategies.making import STATE_SIZE, MakingParams, making

MS = 1_000_000
SECOND = 1_000 * MS

# One tick is 1e-7 of the price, so that a quote shows the fair value to a thousandth of a basis point.
FINE = 10_000_000
CALM = MakingParams(levels=1, skew_bps=0.0, micro_weight=0.0, imbalance_weight=0.0)
"""One level around the mid: each test turns on what it is about."""


def desk(params: MakingParams = CALM) -> Desk:
    return Desk(making, params.pack(), STATE_SIZE)


def book(bid: int, ask: int, bid_lots: int = 1_000, ask_lots: int = 1_000, **facts: Any) -> tuple[Array, Array]:
    """A book of one level a side."""
    return having(stack(({bid: bid_lots}, {ask: ask_lots})), **facts)


def having(made: tuple[Array, Array], **facts: Any) -> tuple[Array, Array]:
    for name, value in facts.items():
        made[0][0][name] = value
    return made


def quotes(params: MakingParams, made: tuple[Array, Array]) -> list[Intent]:
    """What a fresh desk wants to have in the market."""
    found = desk(params).decide(*made)
    assert all(intent.kind == PLACE for intent in found)
    return found


def one(found: list[Intent], side: int, level: int = 1) -> Intent:
    return next(intent for intent in found if intent.tag == side * level)


def ticks(params: MakingParams, made: tuple[Array, Array]) -> tuple[int, int]:
    """Best bid and best ask that a fresh desk wants."""
    found = quotes(params, made)
    return one(found, 1).ticks, one(found, -1).ticks


def fair(params: MakingParams, made: tuple[Array, Array]) -> float:
    """The centre of the two quotes: fair value where nothing leans and nothing is held back by post-only."""
    bid, ask = ticks(replace(params, skew_bps=0.0, min_half_spread_bps=20.0), made)
    return (bid + ask) / 2


@st.composite
def markets(draw: st.DrawFn) -> tuple[Array, Array]:
    """Any book that can be quoted in: some levels a side, any sizes, any spread, any price step."""
    step = draw(st.sampled_from([1, 2, 5, 10, 50]))
    best_bid = draw(st.integers(20_000, 40_000))
    spread = draw(st.integers(1, 300))
    sizes = st.lists(st.integers(1, 10_000), min_size=1, max_size=5)
    bids = {best_bid - i: lots for i, lots in enumerate(draw(sizes))}
    asks = {best_bid + spread + i: lots for i, lots in enumerate(draw(sizes))}
    return having(stack((bids, asks)), step_ticks=step)


PARAMS = st.builds(
    MakingParams,
    levels=st.integers(1, 4),
    step_bps=st.floats(0, 10),
    max_inventory_lots=st.just(1_000),
    micro_weight=st.floats(0, 0.5),
    imbalance_weight=st.floats(0, 0.5),
    imbalance_levels=st.integers(1, 6),
    min_half_spread_bps=st.floats(0.5, 20),
    skew_bps=st.floats(0, 100),
    fast_cancel_bps=st.floats(0, 0.4),
)


class TestInventory:
    """The earlier bot raised both quotes when it was long, and so bought more."""

    def test_a_long_position_lowers_both_quotes_and_a_short_one_raises_both(self) -> None:
        params = replace(CALM, skew_bps=10.0, max_inventory_lots=100)
        flat, long, short = (ticks(params, book(FINE - 5_000, FINE + 5_000, position_lots=lots)) for lots in (0, 50, -50))
        assert long[0] < flat[0] < short[0]
        assert long[1] < flat[1] < short[1]
        # Half of the bound, so half of the skew: 5 bps of a price of 1e7 ticks.
        assert flat[0] - long[0] == pytest.approx(5_000, abs=2)
        assert short[1] - flat[1] == pytest.approx(5_000, abs=2)

    @given(markets(), PARAMS, st.integers(-900, 900), st.integers(-900, 900))
    def test_more_inventory_never_raises_a_quote(self, market: tuple[Array, Array], params: MakingParams, a: int, b: int) -> None:
        less, more = sorted((a, b))
        lower = {q.tag: q.ticks for q in quotes(params, having(market, position_lots=more))}
        upper = {q.tag: q.ticks for q in quotes(params, having(market, position_lots=less))}
        assert lower.keys() == upper.keys()
        assert all(lower[tag] <= upper[tag] for tag in lower)

    def test_inventory_is_measured_from_the_target(self) -> None:
        params = replace(CALM, skew_bps=10.0, max_inventory_lots=100, target_inventory_lots=40)
        at_target = ticks(params, book(FINE - 5_000, FINE + 5_000, position_lots=40))
        assert at_target == ticks(replace(params, target_inventory_lots=0), book(FINE - 5_000, FINE + 5_000))
        assert ticks(params, book(FINE - 5_000, FINE + 5_000))[0] > at_target[0]

    @pytest.mark.parametrize("side", [1, -1])
    def test_the_side_that_would_exceed_the_bound_stops_and_the_other_goes_on(self, side: int) -> None:
        params = replace(CALM, order_lots=10, max_inventory_lots=50)
        for held, wanted in ((0, {side: 10, -side: 10}), (44, {side: 6, -side: 10}), (50, {-side: 10}), (70, {-side: 10})):
            found = quotes(params, book(FINE - 5_000, FINE + 5_000, position_lots=side * held))
            assert {q.side: q.lots for q in found} == wanted

    @given(st.integers(-60, 60), st.integers(1, 4), st.integers(1, 30))
    def test_all_levels_together_stay_within_the_bound(self, position: int, levels: int, lots: int) -> None:
        params = replace(CALM, order_lots=lots, levels=levels, max_inventory_lots=50)
        found = quotes(params, book(FINE - 5_000, FINE + 5_000, position_lots=position))
        for side in (1, -1):
            added = sum(q.lots for q in found if q.side == side)
            assert added == 0 or side * position + added <= 50

    def test_an_order_that_has_become_too_large_for_the_bound_is_taken_back(self) -> None:
        params = replace(CALM, order_lots=10, max_inventory_lots=50)
        market = book(FINE - 5_000, FINE + 5_000)
        bid = one(quotes(params, market), 1)
        for held, wanted in ((40, []), (45, [CANCEL]), (50, [CANCEL])):
            maker = desk(params)
            maker.holds(bid)
            found = maker.decide(*having(market, position_lots=held))
            assert [i.kind for i in found if i.side == 1 or i.slot == 0] == wanted

    def test_a_partly_filled_order_that_still_fits_is_left_alone(self) -> None:
        params = replace(CALM, order_lots=10, max_inventory_lots=50)
        market = book(FINE - 5_000, FINE + 5_000)
        maker = desk(params)
        maker.holds(one(quotes(params, market), 1), leaves_lots=3)
        assert [i.side for i in maker.decide(*having(market, position_lots=47))] == [-1]


class TestPrices:
    @given(markets(), PARAMS, st.integers(-1_500, 1_500))
    def test_no_quote_crosses_the_market_or_the_other_quote(self, market: tuple[Array, Array], params: MakingParams, position: int) -> None:
        top = market[0][0]
        found = quotes(params, having(market, position_lots=position))
        bids = [q.ticks for q in found if q.side > 0]
        asks = [q.ticks for q in found if q.side < 0]
        assert all(q.tif == TIF_POST_ONLY for q in found)
        assert all(ticks < top["ask_ticks"] for ticks in bids)
        assert all(ticks > top["bid_ticks"] for ticks in asks)
        assert not bids or not asks or max(bids) < min(asks)

    @given(markets(), PARAMS, st.integers(-1_500, 1_500))
    def test_every_price_is_positive_and_on_the_price_step(self, market: tuple[Array, Array], params: MakingParams, position: int) -> None:
        for quote in quotes(params, having(market, position_lots=position)):
            assert quote.ticks > 0
            assert quote.ticks % int(market[0][0]["step_ticks"]) == 0

    def test_a_price_that_rounds_to_nothing_is_not_quoted(self) -> None:
        found = quotes(CALM, book(2, 8, step_ticks=5))
        assert [q.side for q in found] == [-1]

    @given(st.integers(1, 1_000))
    def test_rounding_goes_away_from_the_market(self, step: int) -> None:
        exact = ticks(CALM, book(FINE - 5_000, FINE + 5_000))
        bid, ask = ticks(CALM, book(FINE - 5_000, FINE + 5_000, step_ticks=step))
        assert exact[0] - step < bid <= exact[0]
        assert exact[1] <= ask < exact[1] + step

    def test_sizes_as_large_as_small_coins_have_do_not_overflow(self) -> None:
        huge = 10**12
        params = replace(CALM, micro_weight=1.0, order_lots=10**11, max_inventory_lots=10**12)
        small = fair(params, book(FINE - 5_000, FINE + 5_000, 300, 100))
        assert fair(params, book(FINE - 5_000, FINE + 5_000, 300 * huge, 100 * huge)) == small
        found = quotes(params, book(FINE - 5_000, FINE + 5_000, price_unit=1e-3, lot_unit=1e-8, min_notional=5.0))
        assert [q.lots for q in found] == [10**11, 10**11]

    def test_an_order_below_the_least_notional_or_size_is_not_sent(self) -> None:
        market = book(FINE - 5_000, FINE + 5_000, price_unit=1e-4, lot_unit=0.001)
        assert len(quotes(CALM, market)) == 2  # 10 lots of 0.001 at 1000: a notional of 10
        assert quotes(CALM, having(market, min_notional=11.0)) == []
        assert quotes(CALM, having(market, min_notional=0.0, min_lots=11)) == []


class TestFairValue:
    def test_it_is_the_mid_of_a_balanced_book(self) -> None:
        params = replace(CALM, micro_weight=0.6, imbalance_weight=0.4)
        assert fair(params, book(FINE - 5_000, FINE + 5_000)) == pytest.approx(FINE, abs=1)

    @pytest.mark.parametrize("weights", [(0.6, 0.0), (0.0, 0.4), (0.6, 0.4)])
    def test_it_leans_toward_the_thin_side(self, weights: tuple[float, float]) -> None:
        params = replace(CALM, micro_weight=weights[0], imbalance_weight=weights[1])
        assert fair(params, book(FINE - 5_000, FINE + 5_000, 3_000, 1_000)) > FINE + 500
        assert fair(params, book(FINE - 5_000, FINE + 5_000, 1_000, 3_000)) < FINE - 500

    def test_the_micro_price_and_the_imbalance_are_what_the_formula_says(self) -> None:
        # Sizes 3:1 put the micro-price three quarters of the way to the ask, and the imbalance at one half.
        market = book(FINE - 5_000, FINE + 5_000, 3_000, 1_000)
        assert fair(replace(CALM, micro_weight=0.6), market) == pytest.approx(FINE + 0.6 * 2_500, abs=1)
        assert fair(replace(CALM, imbalance_weight=0.4), market) == pytest.approx(FINE + 0.4 * 0.5 * 5_000, abs=1)

    def test_the_imbalance_looks_at_as_many_levels_as_asked(self) -> None:
        market = stack(({FINE - 100: 10, FINE - 101: 990}, {FINE + 100: 10, FINE + 101: 10}))
        shallow = fair(replace(CALM, imbalance_weight=0.5, imbalance_levels=1), market)
        deep = fair(replace(CALM, imbalance_weight=0.5, imbalance_levels=2), market)
        assert shallow == pytest.approx(FINE, abs=1)
        assert deep > FINE + 10

    @given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 10**6), st.integers(1, 10**6), st.integers(10, 10_000))
    def test_it_lies_between_bid_and_ask(self, share: float, total: float, bid_lots: int, ask_lots: int, half: int) -> None:
        params = replace(CALM, micro_weight=share * total, imbalance_weight=(1 - share) * total)
        assert abs(fair(params, book(FINE - half, FINE + half, bid_lots, ask_lots)) - FINE) <= half + 1

    @pytest.mark.parametrize("weights", [(0.7, 0.4), (-0.1, 0.4), (0.4, -0.1), (1.0, 1.0)])
    def test_weights_that_could_carry_it_outside_are_refused(self, weights: tuple[float, float]) -> None:
        with pytest.raises(ValueError, match="weight"):
            replace(CALM, micro_weight=weights[0], imbalance_weight=weights[1])


class TestSpread:
    def moved(self, params: MakingParams, steps: list[int], every_ns: int = SECOND) -> int:
        """The width between the quotes after the mid moved by these steps."""
        maker = desk(params)
        mid = FINE
        found: list[Intent] = []
        for i, step in enumerate([0, *steps]):
            mid += step
            found = maker.decide(*book(mid - 5_000, mid + 5_000), now_ns=1_700_000_000 * SECOND + i * every_ns)
        return one(found, -1).ticks - one(found, 1).ticks

    def test_it_is_the_least_half_spread_in_a_calm_market(self) -> None:
        assert self.moved(CALM, [0] * 20) == pytest.approx(2 * 0.8e-4 * FINE, abs=2)

    @pytest.mark.parametrize("multiple", [0.5, 1.0, 2.0])
    def test_it_grows_with_volatility_and_its_multiple(self, multiple: float) -> None:
        params = replace(CALM, volatility_multiple=multiple, max_half_spread_bps=1_000.0)
        widths = [self.moved(params, [size, -size] * 20) for size in (0, 10_000, 20_000)]
        assert widths[0] < widths[1] < widths[2]
        # In a market whose returns double, the part above the floor doubles.
        assert widths[2] == pytest.approx(2 * widths[1], rel=0.01)

    def test_a_move_of_10_bps_a_second_gives_a_volatility_of_that_size(self) -> None:
        width = self.moved(replace(CALM, volatility_half_life_s=1.0), [10_000, -10_000] * 20)
        assert width / 2 / FINE * 1e4 == pytest.approx(10.0, rel=0.02)

    def test_it_is_bounded_above(self) -> None:
        params = replace(CALM, max_half_spread_bps=5.0)
        assert self.moved(params, [50_000, -50_000] * 20) == pytest.approx(2 * 5e-4 * FINE, rel=0.02)

    def test_it_decays_when_the_market_calms(self) -> None:
        wild = [10_000, -10_000] * 10
        assert self.moved(CALM, [*wild, *[0] * 60]) < self.moved(CALM, wild)


class TestLadder:
    def test_levels_stand_one_step_apart_and_shrink(self) -> None:
        params = replace(CALM, levels=3, order_lots=100, max_inventory_lots=1_000, step_bps=2.0, level_shrink=0.5)
        found = quotes(params, book(FINE - 5_000, FINE + 5_000))
        for side in (1, -1):
            ladder = [one(found, side, level) for level in (1, 2, 3)]
            assert [q.lots for q in ladder] == [100, 50, 25]
            away = [side * (FINE - q.ticks) for q in ladder]
            assert away == pytest.approx([800, 2_800, 4_800], abs=2)

    def test_the_last_level_gets_what_the_bound_leaves(self) -> None:
        params = replace(CALM, levels=3, order_lots=100, max_inventory_lots=170, level_shrink=0.8)
        found = quotes(params, book(FINE - 5_000, FINE + 5_000))
        assert [one(found, 1, level).lots for level in (1, 2)] == [100, 70]
        assert len(found) == 4


class TestRefresh:
    """A resting order against the quote that the kernel wants now."""

    params = replace(CALM, tolerance_bps=1.0, min_age_ms=100.0, max_age_ms=3_000.0, fast_cancel_bps=0.2)
    start_ns = 1_700_000_000 * SECOND

    def after(self, side: int, off_ticks: int, age_ms: int) -> list[tuple[int, int]]:
        """What happens to an order that rests `off_ticks` farther from the market than wanted: (kind, ticks) of its intents."""
        market = book(FINE - 5_000, FINE + 5_000)
        wanted = one(quotes(self.params, market), side)
        maker = desk(self.params)
        maker.holds(replace(wanted, ticks=wanted.ticks - side * off_ticks), decided_ns=self.start_ns)
        found = maker.decide(*market, now_ns=self.start_ns + age_ms * MS)
        assert all(i.ticks == wanted.ticks for i in found if i.tag == wanted.tag and i.kind == REPLACE)
        return [(i.kind, i.slot) for i in found if i.tag == wanted.tag]

    @pytest.mark.parametrize("side", [1, -1])
    def test_a_small_move_is_left_alone_and_a_large_one_replaced(self, side: int) -> None:
        assert self.after(side, 0, 1_000) == []
        assert self.after(side, 900, 1_000) == []
        assert self.after(side, 1_100, 1_000) == [(REPLACE, 0)]

    @pytest.mark.parametrize("side", [1, -1])
    def test_a_young_order_is_not_replaced(self, side: int) -> None:
        assert self.after(side, 1_100, 99) == []
        assert self.after(side, 1_100, 100) == [(REPLACE, 0)]

    @pytest.mark.parametrize("side", [1, -1])
    def test_an_old_order_is_replaced_unless_it_is_exact(self, side: int) -> None:
        assert self.after(side, 900, 2_999) == []
        assert self.after(side, 900, 3_000) == [(REPLACE, 0)]
        assert self.after(side, 0, 60_000) == []

    @pytest.mark.parametrize("side", [1, -1])
    def test_an_order_that_the_centre_has_come_too_close_to_is_cancelled_at_any_age(self, side: int) -> None:
        # The quote stands 0.8 bps (800 ticks) away and is cancelled nearer than 0.2 bps.
        assert self.after(side, -550, 0) == []
        assert self.after(side, -650, 0) == [(CANCEL, 0)]
        assert self.after(side, -2_000, 0) == [(CANCEL, 0)]

    @pytest.mark.parametrize("status", [STATUS_SENT, STATUS_CANCELLING])
    def test_an_order_under_way_is_waited_for_and_one_being_cancelled_succeeded(self, status: int) -> None:
        market = book(FINE - 5_000, FINE + 5_000)
        maker = desk(self.params)
        for quote in quotes(self.params, market):
            maker.holds(replace(quote, ticks=quote.ticks - quote.side * 5_000), status=status)
        kinds = [i.kind for i in maker.decide(*market, now_ns=SECOND)]
        assert kinds == ([] if status == STATUS_SENT else [PLACE, PLACE])

    @given(markets(), PARAMS, st.integers(-1_500, 1_500))
    def test_the_kernel_leaves_its_own_fresh_quotes_alone(self, market: tuple[Array, Array], params: MakingParams, position: int) -> None:
        having(market, position_lots=position)
        maker = desk(params)
        for quote in maker.decide(*market, now_ns=SECOND):
            maker.holds(quote, decided_ns=SECOND)
        for later_ms in (0, 1, 150, 60_000):
            assert maker.decide(*market, now_ns=SECOND + later_ms * MS) == []

    def test_a_fast_cancel_farther_than_the_least_half_spread_is_refused(self) -> None:
        with pytest.raises(ValueError, match="fast_cancel_bps"):
            MakingParams(min_half_spread_bps=1.0, fast_cancel_bps=1.0)


class TestNoMarket:
    def test_orders_are_cancelled_when_the_book_is_empty_crossed_or_closed(self) -> None:
        good = book(FINE - 5_000, FINE + 5_000)
        resting = quotes(MakingParams(), good)
        assert len(resting) == 4
        for bad in (
            stack(({FINE: 5}, {})),
            stack(({}, {FINE: 5})),
            stack(({}, {})),
            book(FINE, FINE),
            book(FINE + 5, FINE),
            book(FINE - 5_000, FINE + 5_000, trading=0),
        ):
            maker = desk(MakingParams())
            for quote in resting:
                maker.holds(quote)
            found = maker.decide(*bad)
            assert sorted((i.kind, i.slot) for i in found) == [(CANCEL, slot) for slot in range(4)]

    def test_the_same_orders_stay_in_a_good_one(self) -> None:
        good = book(FINE - 5_000, FINE + 5_000)
        maker = desk(MakingParams())
        for quote in quotes(MakingParams(), good):
            maker.holds(quote)
        assert maker.decide(*good) == []

    def test_nothing_is_placed_or_cancelled_twice(self) -> None:
        maker = desk()
        for status, expected in ((STATUS_OPEN, 1), (STATUS_CANCELLING, 0)):
            maker = desk()
            maker.holds(one(quotes(CALM, book(FINE - 5_000, FINE + 5_000)), 1), status=status)
            assert len(maker.decide(*stack(({}, {})))) == expected


class TestParams:
    @pytest.mark.parametrize(
        "change",
        [
            {"order_lots": 0},
            {"levels": 0},
            {"levels": 9},
            {"max_inventory_lots": 0},
            {"min_half_spread_bps": 0.0},
            {"min_half_spread_bps": 30.0},
            {"skew_bps": -1.0},
            {"step_bps": -1.0},
            {"volatility_half_life_s": 0.0},
            {"level_shrink": 1.1},
            {"imbalance_levels": 0},
        ],
    )
    def test_values_out_of_range_are_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="making: "):
            replace(MakingParams(), **change)

    def test_the_packed_array_is_in_the_order_of_the_fields(self) -> None:
        params = MakingParams()
        assert params.pack().tolist() == [float(getattr(params, f.name)) for f in dataclasses.fields(params)]


@given(st.lists(st.integers(-3_000, 3_000), min_size=2, max_size=30))
def test_the_state_never_becomes_a_number_that_is_none(moves: list[int]) -> None:
    maker = desk(MakingParams())
    mid = FINE
    for i, move in enumerate(moves):
        mid += move
        assume(mid > 10_000)
        for quote in maker.decide(*book(mid - 50, mid + 50), now_ns=SECOND + i * 7 * MS):
            assert quote.ticks > 0
    assert all(math.isfinite(value) for value in maker.state)
