"""The arbitrage kernel, asked directly: hand-made books in, legs out. Two small replays at the end let the venue answer.

One coin, spot in won and perpetual in dollars, both at a premium that each test writes down in basis points; a second coin or a won-dollar
market tells FX. The coin costs 100 dollars, a dollar 1,000 won; spreads are one basis point wide on each leg.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulate.worlds import Line, Setup, both, changed, depth, perpetual, quotes, spot, tape
from tests.strategies.books import Array, Desk, Intent, stack

from interlock.domain.price_rules import fixed_step
from interlock.simulate.layout import FINAL_FILLED
from interlock.simulate.outcome import Outcome
from interlock.simulate.settings import InstrumentSettings
from interlock.simulate.world import Strategy
from interlock.strategies.arbitrage import (
    MEAN,
    PAIR_STATE,
    WAKES,
    ArbitrageParams,
    PairParams,
    arbitrage,
    pack,
    state_size,
)
from interlock.strategies.contract import PLACE, TIF_IOC
from interlock.strategies.tags import Leg, expected_edge_bps, pair_of, reason_of

SECOND = 1_000_000_000
START = 1_700_000_000
SPOT, PERP, FX = 0, 1, 4
COIN = 100_000_000
"""Ticks of the coin on either leg: 1e-4 of a basis point each."""
HALF = 5_000
"""Ticks from the mid to either side: half a basis point."""
HELD = 5_000_000
"""Coins held at the start, in lots of 1e-8."""
SAMPLES = 20

PARAMS = ArbitrageParams(
    fx_instrument=FX,
    basis_samples=10,
    basis_half_life_s=1e9,
    standard_errors=0.0,
    take_profit_bps=10.0,
    stop_loss_bps=60.0,
    time_limit_s=3_600.0,
    health_age_s=600.0,
)
IMPLIED = replace(PARAMS, fx_instrument=-1)
ONE = PairParams(SPOT, PERP, trade_lots=20, start_spot_lots=HELD, start_perp_lots=-50)
OTHER = PairParams(2, 3, trade_lots=20, start_spot_lots=0, start_perp_lots=0)

Market = tuple[Array, Array]


def side(ticks: int, lots: int, half: int = HALF) -> tuple[dict[int, int], dict[int, int]]:
    return {ticks - half: lots}, {ticks + half: lots}


def market(premium_bps: float = 0.0, at_s: float = 0.0, other_bps: float = 0.0, fx_bps: float = 0.0, half: int = HALF) -> Market:
    """Both coins and the won-dollar market at one moment: 0 spot, 1 perpetual, 2 and 3 the same of the other coin, 4 FX."""
    made = stack(
        side(round(COIN * math.exp(premium_bps * 1e-4)), 10**12, half),
        side(COIN, 10**9, half),
        side(round(COIN * math.exp(other_bps * 1e-4)), 10**12),
        side(COIN, 10**9),
        side(round(COIN * math.exp(fx_bps * 1e-4)), 10**9),
    )
    books = made[0]
    for k in (0, 2):
        books[k]["price_unit"], books[k]["lot_unit"], books[k]["base_unit"], books[k]["is_spot"] = 1e-3, 1e-8, 1e-8, 1
    for k in (1, 3):
        books[k]["price_unit"], books[k]["lot_unit"], books[k]["base_unit"] = 1e-6, 1e-3, 1e-3
    books[FX]["price_unit"] = 1e-5
    books["receive_ns"] = ns(at_s)
    books[SPOT]["position_lots"], books[PERP]["position_lots"] = HELD, -50
    return made


def having(made: Market, k: int, **facts: Any) -> Market:
    for name, value in facts.items():
        made[0][k][name] = value
    return made


def bars(made: Market, volume: int = 10**9) -> Market:
    """The same prices as bars that end now."""
    made[0]["is_bars"], made[0]["bar_ns"], made[0]["bar_lots"] = 1, made[0]["receive_ns"], volume
    return made


def ns(at_s: float) -> int:
    return START * SECOND + round(at_s * SECOND)


def desk(params: ArbitrageParams = PARAMS, *pairs: PairParams) -> Desk:
    pairs = pairs or (ONE,)
    return Desk(arbitrage, pack(params, pairs), state_size(len(pairs)))


def learned(params: ArbitrageParams = PARAMS, *pairs: PairParams, premium_bps: float = 0.0, samples: int = SAMPLES) -> Desk:
    """A desk that has seen a constant premium, once a second, and did not trade on it."""
    trader = desk(params, *pairs)
    for second in range(samples):
        assert trader.decide(*market(premium_bps, second, other_bps=premium_bps), ns(second)) == []
    return trader


def seen(trader: Desk, made: Market, at_s: float = SAMPLES) -> list[Intent]:
    return trader.decide(*made, ns(at_s))


def legs(found: list[Intent]) -> list[tuple[int, int, int]]:
    return [(i.instrument, i.side, i.lots) for i in found]


LONG = [(SPOT, 1, 2_000_000), (PERP, -1, 20)]
SHORT = [(SPOT, -1, 2_000_000), (PERP, 1, 20)]


class TestEntry:
    def test_a_cheap_coin_is_bought_and_hedged_and_a_dear_one_sold(self) -> None:
        assert legs(seen(learned(), market(-30.0, SAMPLES))) == LONG
        assert legs(seen(learned(), market(30.0, SAMPLES))) == SHORT
        assert seen(learned(), market(0.0, SAMPLES)) == []

    @pytest.mark.parametrize("premium", [-30.0, 30.0])
    def test_the_expected_edge_is_the_distance_from_the_mean_less_costs_in_both_directions(self, premium: float) -> None:
        # Half a basis point on each leg to get in, and as much expected to get out.
        found = seen(learned(), market(premium, SAMPLES))
        assert [expected_edge_bps(i.tag) for i in found] == pytest.approx([28.0, 28.0], abs=0.02)
        assert {(reason_of(i.tag), pair_of(i.tag)) for i in found} == {(Leg.ENTRY, 0)}

    @pytest.mark.parametrize(("premium", "expected"), [(-30.0, LONG), (30.0, SHORT)])
    def test_both_legs_go_at_once_as_immediate_or_cancel_within_the_collar(
        self, premium: float, expected: list[tuple[int, int, int]]
    ) -> None:
        made = market(premium, SAMPLES)
        for intent in seen(learned(replace(PARAMS, collar_bps=20.0)), made):
            best = int(made[0][intent.instrument]["ask_ticks" if intent.side > 0 else "bid_ticks"])
            assert (intent.kind, intent.tif) == (PLACE, TIF_IOC)
            assert 0 <= intent.side * (intent.ticks - best) <= best * 20e-4
            assert intent.side * (intent.ticks - best) > best * 19e-4

    def test_limits_are_on_the_price_step(self) -> None:
        made = having(having(market(-30.0, SAMPLES), SPOT, step_ticks=700), PERP, step_ticks=300)
        spot_leg, perp_leg = seen(learned(), made)
        assert (spot_leg.ticks % 700, perp_leg.ticks % 300) == (0, 0)

    def test_no_entry_below_the_least_edge(self) -> None:
        assert seen(learned(replace(PARAMS, entry_edge_bps=28.1)), market(-30.0, SAMPLES)) == []
        assert seen(learned(replace(PARAMS, entry_edge_bps=27.9)), market(-30.0, SAMPLES)) != []

    def test_no_entry_before_the_basis_has_its_samples(self) -> None:
        assert seen(learned(samples=9), market(-30.0, SAMPLES)) == []
        assert legs(seen(learned(samples=10), market(-30.0, SAMPLES))) == LONG

    def test_one_state_of_the_books_counts_as_one_sample(self) -> None:
        trader = desk()
        for _ in range(SAMPLES):
            assert seen(trader, market(0.0, 1), 1) == []
        assert seen(trader, market(-30.0, SAMPLES)) == []

    def test_no_entry_on_stale_data(self) -> None:
        trader = learned(replace(PARAMS, max_age_s=1.0))
        assert trader.decide(*market(-30.0, SAMPLES), ns(SAMPLES + 1.1)) == []
        assert legs(trader.decide(*market(-30.0, SAMPLES), ns(SAMPLES + 0.9))) == LONG

    @pytest.mark.parametrize("leg", [SPOT, PERP])
    def test_no_entry_when_the_legs_are_not_of_one_time(self, leg: int) -> None:
        params = replace(PARAMS, max_age_s=60.0, max_skew_s=1.0)
        for behind, expected in ((1.1, []), (0.9, LONG)):
            made = having(market(-30.0, SAMPLES), leg, receive_ns=ns(SAMPLES - behind))
            assert legs(seen(learned(params), made)) == expected

    @pytest.mark.parametrize(("behind", "expected"), [(1.1, []), (0.9, LONG)])
    def test_no_entry_on_an_old_fx_rate(self, behind: float, expected: list[tuple[int, int, int]]) -> None:
        made = having(market(-30.0, SAMPLES), FX, receive_ns=ns(SAMPLES - behind))
        assert legs(seen(learned(replace(PARAMS, max_age_s=1.0)), made)) == expected

    @pytest.mark.parametrize("leg", [SPOT, PERP])
    def test_no_entry_on_a_bar_without_volume(self, leg: int) -> None:
        assert legs(seen(learned(), bars(market(-30.0, SAMPLES)))) == LONG
        assert seen(learned(), having(bars(market(-30.0, SAMPLES)), leg, bar_lots=0)) == []

    def test_a_premium_beyond_the_ratio_check_is_neither_traded_nor_learned(self) -> None:
        params = replace(PARAMS, max_premium=0.01)
        assert legs(seen(learned(params), market(-99.0, SAMPLES))) == LONG
        trader = learned(params)
        before = trader.state[MEAN]
        assert seen(trader, market(-101.0, SAMPLES)) == []
        assert trader.state[MEAN] == before

    @pytest.mark.parametrize("leg", [SPOT, PERP])
    @pytest.mark.parametrize("crossing", [0, 20_000])
    def test_no_entry_on_a_crossed_book(self, leg: int, crossing: int) -> None:
        # A crossed book shows a negative spread, which would count as an edge.
        made = market(-30.0, SAMPLES)
        bid = int(made[0][leg]["bid_ticks"])
        assert seen(learned(), having(made, leg, ask_ticks=bid - crossing)) == []

    @pytest.mark.parametrize("leg", [SPOT, PERP])
    def test_no_entry_beyond_what_the_books_show(self, leg: int) -> None:
        for short, expected in ((1, []), (0, LONG)):
            made = market(-30.0, SAMPLES)
            lots = (2_000_000 if leg == SPOT else 20) - short
            books, ladders = made
            for name in ("bids_at", "asks_at"):
                start, cells = int(books[leg][name]), int(books[leg]["cells"])
                ladders[start : start + cells] = np.minimum(ladders[start : start + cells], lots)
            assert legs(seen(learned(), made)) == expected

    @pytest.mark.parametrize("leg", [SPOT, PERP])
    def test_no_entry_where_a_leg_does_not_trade_or_has_an_order_under_way(self, leg: int) -> None:
        assert seen(learned(), having(market(-30.0, SAMPLES), leg, trading=0)) == []
        assert seen(learned(), having(market(-30.0, SAMPLES), leg, open_orders=1)) == []
        assert legs(seen(learned(), market(-30.0, SAMPLES))) == LONG

    def test_only_coins_that_are_held_are_sold(self) -> None:
        for held, expected in ((2_000_000, SHORT), (1_999_999, []), (0, [])):
            pair = replace(ONE, start_spot_lots=held)
            trader = desk(PARAMS, pair)
            for second in range(SAMPLES):
                seen(trader, having(market(0.0, second), SPOT, position_lots=held), second)
            assert legs(seen(trader, having(market(30.0, SAMPLES), SPOT, position_lots=held))) == expected

    def test_buying_needs_no_coins(self) -> None:
        trader = desk(PARAMS, replace(ONE, start_spot_lots=0))
        for second in range(SAMPLES):
            seen(trader, having(market(0.0, second), SPOT, position_lots=0), second)
        assert legs(seen(trader, having(market(-30.0, SAMPLES), SPOT, position_lots=0))) == LONG


class TestCosts:
    def edge(self, premium: float, params: ArbitrageParams = PARAMS, **perp: Any) -> float:
        """The expected edge of the entry at a premium."""
        found = seen(learned(params), having(market(premium, SAMPLES), PERP, **perp))
        return expected_edge_bps(found[0].tag)

    def test_fees_of_all_four_legs_are_taken_off(self) -> None:
        assert self.edge(-30.0, taker_rate=5e-4) == pytest.approx(self.edge(-30.0) - 10.0, abs=0.02)

    @pytest.mark.parametrize("change", [{"fx_uncertainty_bps": 3.0}, {"buffer_bps": 3.0}])
    def test_uncertainty_of_fx_and_the_buffer_are_taken_off(self, change: dict[str, Any]) -> None:
        assert self.edge(-30.0, replace(PARAMS, **change)) == pytest.approx(self.edge(-30.0) - 3.0, abs=0.02)

    def test_an_uncertain_basis_costs_its_standard_error(self) -> None:
        edges = []
        for errors in (0.0, 1.0, 2.0):
            trader = desk(replace(PARAMS, standard_errors=errors, entry_edge_bps=20.0))
            for second in range(SAMPLES):
                assert seen(trader, market(10.0 * (-1) ** second, second), second) == []
            edges.append(expected_edge_bps(seen(trader, market(-40.0, SAMPLES))[0].tag))
        assert edges[0] - edges[1] == pytest.approx(10.0 / math.sqrt(10), rel=0.02)
        assert edges[1] - edges[2] == pytest.approx(edges[0] - edges[1], abs=0.02)

    def test_funding_counts_only_when_it_is_published_and_only_against_us(self) -> None:
        ten_bps = 1_000_000_000
        published: dict[str, Any] = {"funding_known": 1}
        # A positive rate is paid by who is long the perpetual: the side that sold the coin.
        assert self.edge(30.0, funding_next=ten_bps, **published) == pytest.approx(18.0, abs=0.02)
        assert self.edge(-30.0, funding_next=ten_bps, **published) == pytest.approx(28.0, abs=0.02)
        assert self.edge(-30.0, funding_next=-ten_bps, **published) == pytest.approx(18.0, abs=0.02)
        assert self.edge(30.0, funding_next=-ten_bps, **published) == pytest.approx(28.0, abs=0.02)
        # What was settled, or stands in the record without having been published, says nothing.
        for premium, rate in ((30.0, ten_bps), (-30.0, -ten_bps)):
            assert self.edge(premium, funding_next=rate, funding_last=rate) == pytest.approx(28.0, abs=0.02)

    @given(
        st.floats(-60, 60),
        st.floats(-20, 20),
        st.integers(50, 50_000),
        st.tuples(st.floats(0, 2e-3), st.floats(0, 2e-3)),
        st.tuples(st.floats(0, 2e-3), st.floats(0, 2e-3)),
        st.sampled_from([{}, {"buffer_bps": 4.0}, {"fx_uncertainty_bps": 4.0}, {"standard_errors": 2.0}]),
    )
    def test_raising_a_cost_never_adds_an_entry(
        self,
        premium: float,
        least: float,
        half: int,
        fees: tuple[float, float],
        raised: tuple[float, float],
        costs: dict[str, Any],
    ) -> None:
        params = replace(PARAMS, entry_edge_bps=least)
        teacher = desk(replace(PARAMS, entry_edge_bps=1e6))
        for second in range(SAMPLES):
            seen(teacher, market(3.0 * (-1) ** second, second), second)

        def entered(with_params: ArbitrageParams, spot_fee: float, perp_fee: float) -> list[Intent]:
            trader = desk(with_params)
            trader.state[:] = teacher.state
            made = having(having(market(premium, SAMPLES, half=half), SPOT, taker_rate=spot_fee), PERP, taker_rate=perp_fee)
            return seen(trader, made)

        cheap = entered(params, *fees)
        dear = entered(replace(params, **costs), fees[0] + raised[0], fees[1] + raised[1])
        assert not dear or legs(dear) == legs(cheap)
        assert not dear or expected_edge_bps(dear[0].tag) <= expected_edge_bps(cheap[0].tag)

    def test_of_two_directions_that_both_pass_the_better_is_taken(self) -> None:
        params = replace(PARAMS, entry_edge_bps=-50.0)
        trader = desk(params)
        trader.state[:] = learned().state
        assert legs(seen(trader, market(5.0, SAMPLES))) == SHORT
        trader.state[:] = learned().state
        assert legs(seen(trader, market(-5.0, SAMPLES))) == LONG


class TestBasis:
    @pytest.mark.parametrize("premium", [1060.0, -1060.0])
    def test_a_structural_premium_is_learned_and_not_traded(self, premium: float) -> None:
        # The earlier bots took a constant premium of about 1060 bps on every symbol for an edge.
        trader = learned(premium_bps=premium, samples=300)
        assert trader.state[MEAN] == pytest.approx(premium * 1e-4, abs=1e-7)
        assert legs(seen(trader, market(premium - 30.0, 300), 300)) == LONG

    def test_it_follows_a_shift_within_its_half_life(self) -> None:
        trader = desk(replace(PARAMS, basis_half_life_s=60.0, entry_edge_bps=1e6))
        for second in range(2_000):
            seen(trader, market(0.0 if second < 1_000 else 50.0, second), second)
            if second == 1_059:
                assert trader.state[MEAN] * 1e4 == pytest.approx(25.0, abs=1.0)
        assert trader.state[MEAN] * 1e4 == pytest.approx(50.0, abs=0.1)


class TestFx:
    def premium_of(self, pair: int, params: ArbitrageParams, made: Market, *pairs: PairParams) -> float:
        """What the kernel takes the premium of a pair to be, in bps: the first observation is the whole of the mean."""
        trader = desk(params, *(pairs or (ONE, OTHER)))
        seen(trader, made, 0)
        return float(trader.state[PAIR_STATE * pair + MEAN]) * 1e4

    @given(st.floats(-500, 500), st.floats(-500, 500))
    def test_the_judged_pair_has_no_say_in_its_own_rate(self, own_bps: float, other_bps: float) -> None:
        # If it had, half of its own premium would be taken for a change of FX.
        made = market(own_bps, other_bps=other_bps)
        assert self.premium_of(0, IMPLIED, made) == pytest.approx(own_bps - other_bps, abs=1e-3)
        assert self.premium_of(1, IMPLIED, made) == pytest.approx(other_bps - own_bps, abs=1e-3)

    def test_it_is_the_mean_of_what_the_others_imply(self) -> None:
        third = PairParams(SPOT, PERP, 20, HELD, -50)
        made = market(40.0, other_bps=100.0)
        assert self.premium_of(1, IMPLIED, made, ONE, OTHER, third) == pytest.approx(60.0, abs=1e-3)
        assert self.premium_of(0, IMPLIED, made, ONE, OTHER, third) == pytest.approx(40.0 - 70.0, abs=1e-3)

    @pytest.mark.parametrize("leg", [2, 3])
    def test_a_pair_of_another_time_has_no_say(self, leg: int) -> None:
        for behind, known in ((1.1, False), (0.9, True)):
            trader = desk(IMPLIED, ONE, OTHER)
            seen(trader, having(market(25.0), leg, receive_ns=ns(-behind)), 0)
            assert bool(trader.state[MEAN] != 0.0) is known

    def test_without_another_pair_nothing_is_known_and_nothing_done(self) -> None:
        trader = desk(IMPLIED, ONE)
        for second in range(SAMPLES):
            assert seen(trader, market(50.0 * (-1) ** second, second), second) == []
        assert trader.state[MEAN] == 0.0

    def test_an_instrument_goes_before_what_pairs_imply(self) -> None:
        assert self.premium_of(0, PARAMS, market(30.0, other_bps=100.0, fx_bps=10.0)) == pytest.approx(20.0, abs=1e-3)

    @pytest.mark.parametrize("params", [PARAMS, IMPLIED])
    def test_a_deliberate_error_shifts_the_premium_the_other_way(self, params: ArbitrageParams) -> None:
        assert self.premium_of(0, replace(params, fx_shift_bps=7.0), market(30.0)) == pytest.approx(23.0, abs=1e-3)


class TestSizes:
    """KRW-PEPE against 1000PEPEUSDT: one lot of the perpetual is a thousand coins."""

    def pepe(self, premium_bps: float, at_s: float, spot_lot: float, multiplier: float = 1_000.0) -> Market:
        made = market(premium_bps, at_s)
        # A coin costs 1e-5 dollars and 0.01 won, a contract of a thousand 0.01 dollars.
        having(made, SPOT, price_unit=1e-10, lot_unit=spot_lot, base_unit=spot_lot, position_lots=0)
        return having(made, PERP, price_unit=1e-10, lot_unit=1.0, base_unit=multiplier, position_lots=0)

    def entered(self, spot_lot: float, trade_lots: int, multiplier: float = 1_000.0) -> list[tuple[int, int, int]]:
        trader = desk(PARAMS, PairParams(SPOT, PERP, trade_lots, 0, 0))
        for second in range(SAMPLES):
            assert seen(trader, self.pepe(0.0, second, spot_lot, multiplier), second) == []
        return legs(seen(trader, self.pepe(-30.0, SAMPLES, spot_lot, multiplier)))

    def test_the_multiplier_is_in_size_and_price(self) -> None:
        assert self.entered(1e-2, 7) == [(SPOT, 1, 700_000), (PERP, -1, 7)]

    def test_a_forgotten_multiplier_fails_the_ratio_check(self) -> None:
        assert self.entered(1e-2, 7, multiplier=1.0) == []

    def test_both_legs_are_floored_to_their_lots(self) -> None:
        # 7,000 coins are one spot lot of 4,000, and that is four contracts.
        assert self.entered(4_000.0, 7) == [(SPOT, 1, 1), (PERP, -1, 4)]
        # 9,000 coins are three lots of 2,500, which seven whole contracts do not exceed.
        assert self.entered(2_500.0, 9) == [(SPOT, 1, 3), (PERP, -1, 7)]

    def test_what_is_less_than_a_lot_is_not_traded(self) -> None:
        assert self.entered(8_000.0, 7) == []

    @given(st.integers(1, 500), st.integers(1, 5_000), st.integers(1, 2_000))
    def test_the_legs_differ_by_less_than_one_contract(self, trade_lots: int, spot_coins: int, contract_coins: int) -> None:
        trader = desk(PARAMS, PairParams(SPOT, PERP, trade_lots, 0, 0))

        def made(premium_bps: float, at_s: float) -> Market:
            books = market(premium_bps, at_s)
            having(books, SPOT, price_unit=1e-10, lot_unit=float(spot_coins), base_unit=float(spot_coins), position_lots=0)
            unit = 1e-13 * contract_coins
            return having(books, PERP, price_unit=unit, lot_unit=1.0, base_unit=float(contract_coins), position_lots=0)

        for second in range(SAMPLES):
            assert seen(trader, made(0.0, second), second) == []
        found = legs(seen(trader, made(-30.0, SAMPLES)))
        if not found:
            assert trade_lots * contract_coins < 2 * max(spot_coins, contract_coins)
            return
        (_, _, spot_lots), (_, _, perp_lots) = found
        assert 0 <= spot_lots * spot_coins - perp_lots * contract_coins < contract_coins
        assert perp_lots <= trade_lots


class TestHedge:
    def test_a_leg_that_filled_alone_is_hedged_at_the_next_decision(self) -> None:
        for spot_fill, perp_fill, expected in (
            (2_000_000, 0, [(PERP, -1, 20)]),
            (2_000_000, -15, [(PERP, -1, 5)]),
            (500_000, -20, [(PERP, 1, 15)]),
            (0, -20, [(PERP, 1, 20)]),
            (2_000_000, -20, []),
            (99_999, 0, []),
        ):
            trader = learned()
            assert legs(seen(trader, market(-30.0, SAMPLES))) == LONG
            made = having(market(-30.0, SAMPLES), SPOT, position_lots=HELD + spot_fill)
            found = seen(trader, having(made, PERP, position_lots=-50 + perp_fill))
            assert legs(found) == expected
            assert all(reason_of(i.tag) is Leg.HEDGE and i.tif == TIF_IOC for i in found)

    def test_it_needs_no_fresh_data_and_comes_before_all_else(self) -> None:
        trader = learned()
        seen(trader, market(-30.0, SAMPLES))
        naked = having(market(4_000.0, SAMPLES), SPOT, position_lots=HELD + 2_000_000)
        assert legs(seen(trader, naked, SAMPLES + 5_000)) == [(PERP, -1, 20)]

    def test_it_waits_for_orders_under_way(self) -> None:
        naked = having(market(0.0, SAMPLES), SPOT, position_lots=HELD + 2_000_000)
        assert seen(learned(), having(naked, PERP, open_orders=1)) == []
        assert legs(seen(learned(), having(naked, PERP, open_orders=0))) == [(PERP, -1, 20)]

    def test_a_hedge_that_did_not_fill_is_tried_again_on_new_data_or_after_a_while_but_not_at_once(self) -> None:
        trader = learned(replace(PARAMS, max_age_s=1.0))
        naked = having(market(0.0, SAMPLES), SPOT, position_lots=HELD + 2_000_000)
        assert legs(seen(trader, naked)) == [(PERP, -1, 20)]
        assert seen(trader, naked) == []
        assert seen(trader, naked, SAMPLES + 0.1) == []
        newer = having(naked, PERP, receive_ns=ns(SAMPLES + 0.2))
        assert legs(seen(trader, newer, SAMPLES + 0.2)) == [(PERP, -1, 20)]
        assert seen(trader, newer, SAMPLES + 0.3) == []
        assert legs(seen(trader, newer, SAMPLES + 1.3)) == [(PERP, -1, 20)]


class TestExit:
    """A position that was bought at a premium of -30 bps; it closes at the sell premium, one basis point below the mid's."""

    OUT = ((SPOT, -1, 2_000_000), (PERP, 1, 20))

    def held(self, params: ArbitrageParams = PARAMS) -> Desk:
        trader = learned(params)
        assert legs(seen(trader, market(-30.0, SAMPLES))) == LONG
        return trader

    def at(self, premium: float, after_s: float = 1.0) -> Market:
        made = having(market(premium, SAMPLES + after_s), SPOT, position_lots=HELD + 2_000_000)
        return having(made, PERP, position_lots=-70)

    def reason(self, trader: Desk, premium: float, after_s: float = 1.0) -> Leg | None:
        """Why the position is closed at a premium, if it is; both legs always go together."""
        found = seen(trader, self.at(premium, after_s), SAMPLES + after_s)
        if not found:
            return None
        assert legs(found) == list(self.OUT)
        assert all(i.tif == TIF_IOC for i in found)
        (why,) = {reason_of(i.tag) for i in found}
        return why

    def test_it_is_held_while_nothing_speaks_against_it(self) -> None:
        trader = self.held()
        for second, premium in enumerate((-30.0, -25.0, -60.0, -20.0), start=1):
            assert self.reason(trader, premium, second) is None

    @pytest.mark.parametrize(("premium", "expected"), [(-18.1, None), (-17.9, Leg.TAKE_PROFIT), (-87.9, None), (-88.1, Leg.STOP_LOSS)])
    def test_profit_and_loss_are_net_of_both_ways(self, premium: float, expected: Leg | None) -> None:
        # Bought at -29, sold one below the mid: at -18 the net is 10, at -88 it is -60.
        assert self.reason(self.held(), premium) is expected

    @pytest.mark.parametrize(("after_s", "expected"), [(3_599.0, None), (3_601.0, Leg.TIME_LIMIT)])
    def test_the_time_limit(self, after_s: float, expected: Leg | None) -> None:
        assert self.reason(self.held(), -30.0, after_s) is expected

    @pytest.mark.parametrize(("premium", "expected"), [(-3.0, None), (3.0, Leg.REVERSAL)])
    def test_reversal_is_a_premium_beyond_the_mean(self, premium: float, expected: Leg | None) -> None:
        assert self.reason(self.held(replace(PARAMS, take_profit_bps=1_000.0)), premium) is expected

    @pytest.mark.parametrize(
        ("premium", "after_s", "profit", "expected"),
        [
            (-4_000.0, 3_601.0, 10.0, Leg.HEALTH),  # also stop and time limit
            (4_000.0, 3_601.0, 10.0, Leg.HEALTH),  # also profit, time limit, reversal
            (-100.0, 3_601.0, 10.0, Leg.STOP_LOSS),  # also time limit
            (5.0, 3_601.0, 10.0, Leg.TAKE_PROFIT),  # also time limit and reversal
            (5.0, 3_601.0, 1_000.0, Leg.TIME_LIMIT),  # also reversal
            (5.0, 1.0, 1_000.0, Leg.REVERSAL),
        ],
    )
    def test_the_reasons_go_in_their_order(self, premium: float, after_s: float, profit: float, expected: Leg) -> None:
        assert self.reason(self.held(replace(PARAMS, take_profit_bps=profit)), premium, after_s) is expected

    def test_data_that_stay_away_close_the_position(self) -> None:
        trader = self.held()
        stale = self.at(-25.0)
        assert seen(trader, stale, SAMPLES + 1) == []
        assert seen(trader, stale, SAMPLES + 600) == []
        found = seen(trader, stale, SAMPLES + 602)
        assert legs(found) == list(self.OUT)
        assert {reason_of(i.tag) for i in found} == {Leg.HEALTH}
        assert seen(trader, stale, SAMPLES + 602) == []

    def test_an_fx_rate_that_stays_away_closes_the_position_though_the_legs_are_fresh(self) -> None:
        # Without FX nothing can be judged: a stop would never be seen.
        trader = self.held()
        for after_s in (1.0, 300.0, 599.0):
            blind = having(self.at(-100.0, after_s), FX, receive_ns=ns(SAMPLES))
            if after_s > 1.0:
                assert seen(trader, blind, SAMPLES + after_s) == []
            else:
                assert self.reason(self.held(), -100.0, after_s) is Leg.STOP_LOSS
        found = seen(trader, having(self.at(-100.0, 601.0), FX, receive_ns=ns(SAMPLES)), SAMPLES + 601)
        assert {reason_of(i.tag) for i in found} == {Leg.HEALTH}

    def test_a_short_position_is_the_mirror(self) -> None:
        for premium, expected in ((18.1, None), (17.9, Leg.TAKE_PROFIT), (88.1, Leg.STOP_LOSS)):
            trader = learned()
            assert legs(seen(trader, market(30.0, SAMPLES))) == SHORT
            made = having(market(premium, SAMPLES + 1), SPOT, position_lots=HELD - 2_000_000)
            found = seen(trader, having(made, PERP, position_lots=-30), SAMPLES + 1)
            assert [reason_of(i.tag) for i in found] == ([] if expected is None else [expected] * 2)
            assert legs(found) == ([] if expected is None else [(SPOT, 1, 2_000_000), (PERP, -1, 20)])

    def test_an_entry_that_did_not_fill_leaves_no_position_behind(self) -> None:
        trader = self.held()
        assert legs(seen(trader, market(-30.0, SAMPLES + 1), SAMPLES + 1)) == LONG
        assert seen(trader, market(-100.0, SAMPLES + 5_000), SAMPLES + 5_000 + 2) == []


class TestParams:
    @pytest.mark.parametrize("name", ["take_profit_bps", "stop_loss_bps", "time_limit_s", "basis_half_life_s", "collar_bps"])
    def test_zero_switches_no_exit_off(self, name: str) -> None:
        with pytest.raises(ValueError, match=name):
            replace(PARAMS, **{name: 0.0})  # type: ignore[arg-type]

    @pytest.mark.parametrize("change", [{"basis_samples": 1.0}, {"standard_errors": -1.0}])
    def test_a_basis_without_an_error_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match="arbitrage: expected"):
            ArbitrageParams(**change)


# ---------------------------------------------------------------- with a venue that answers

COINS = changed(spot("KRW-A"), lot=Decimal("0.001"), max_lots=10**9)
CONTRACTS = perpetual("AUSDT", quantum=Decimal("0.01"), price_rule=fixed_step("cent", Decimal("0.01"), "made up"))
WON = spot("KRW-USDT", base="USDT")


def replayed(premiums: list[float], more: Sequence[Line] = ()) -> Outcome:
    """A premium a second through both drivers: a coin of 1,000 dollars, a dollar of 500 won, two coins held, one to a trade.

    Instruments in the order of (venue, symbol): 0 the perpetual, 1 the coin, 2 the won-dollar market.
    """
    lines: list[Line] = []
    for second, premium in enumerate(premiums, start=1):
        mid = round(500_000 * math.exp(premium * 1e-4))
        at = second * SECOND
        lines += quotes(at, 99_999, 1_000, 100_001, 1_000, instrument=0)
        lines += quotes(at, mid - 5, 10**6, mid + 5, 10**6, instrument=1)
        lines += quotes(at, 499, 1_000, 501, 1_000, instrument=2)
        lines += quotes(at + SECOND // 2, mid - 5, 0, mid + 5, 0, instrument=1)
    rows = tape(sorted([*lines, *more], key=lambda line: line[0]), until_ns=(len(premiums) + 2) * SECOND)
    params = replace(PARAMS, fx_instrument=2, max_age_s=0.4)
    strategy = Strategy("arbitrage", arbitrage, pack(params, [PairParams(1, 0, 1, 2_000, 0)]), state_size(1), WAKES)
    own = {COINS.key: InstrumentSettings(max_position_lots=10_000, start_lots=2_000)}
    return both(Setup(rows, [CONTRACTS, COINS, WON], own=own), strategy)


def fills(outcome: Outcome) -> list[tuple[int, int, int, Leg]]:
    return [(int(f["instrument"]), int(f["side"]), int(f["lots"]), reason_of(int(f["tag"]))) for f in outcome.fills]


def test_a_round_trip_against_the_matching_model() -> None:
    outcome = replayed([0.0] * 20 + [-40.0] * 3 + [0.0] * 3)
    assert fills(outcome) == [
        (0, -1, 1, Leg.ENTRY),
        (1, 1, 1_000, Leg.ENTRY),
        (0, 1, 1, Leg.TAKE_PROFIT),
        (1, -1, 1_000, Leg.TAKE_PROFIT),
    ]
    assert outcome.position_lots == (0, 2_000, 0)
    assert (outcome.orders["final_state"] == FINAL_FILLED).all()


def test_a_leg_that_the_market_left_alone_is_hedged_as_soon_as_it_can_be() -> None:
    # The perpetual's bid falls away after the decision (feed 20 ns) and before the order arrives (10 ns later).
    gone = 21 * SECOND + 25
    outcome = replayed([0.0] * 20 + [-40.0] * 3, [depth(gone, 1, 99_999, 0), depth(gone, 1, 98_000, 1_000)])
    assert fills(outcome) == [(1, 1, 1_000, Leg.ENTRY), (0, -1, 1, Leg.HEDGE)]
    assert outcome.position_lots == (-1, 3_000, 0)
    # At once, on the news of the fallen bid, after max_age_s, and when the bid is back; not on every round trip.
    hedges = outcome.orders[outcome.orders["seq"] > 2]
    assert [int(t) - 21 * SECOND for t in hedges["decided_ns"]] == [40, 60, SECOND // 2 + 20, SECOND + 20]


@given(st.lists(st.sampled_from([-60.0, -40.0, 0.0, 40.0, 60.0]), min_size=1, max_size=12))
def test_no_path_of_premiums_sells_a_coin_that_is_not_held_or_leaves_a_leg_bare(path: list[float]) -> None:
    outcome = replayed([0.0] * 12 + path)
    held = 2_000
    for f in outcome.fills[outcome.fills["instrument"] == 1]:
        held += int(f["side"]) * int(f["lots"])
        assert held == int(f["position_lots"]) >= 0
    assert outcome.position_lots[1] - 2_000 == -1_000 * outcome.position_lots[0]
