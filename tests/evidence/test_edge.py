"""Attribution: parts that sum, by hand and for random fills, and what each part means."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.evidence.runs import BTC, ETH, KRW_BTC, KRW_USDT, RATES, START, Trade, run, with_fees, without_tape

from interlock.evidence.build import findings
from interlock.evidence.edge import Edge
from interlock.evidence.edge_arbitrage import ARBITRAGE_PARTS
from interlock.evidence.edge_making import MAKING_PARTS
from interlock.evidence.exact import exact
from interlock.evidence.facts import Pair, Reporting, ReportingRate

PLAIN = Reporting(ReportingRate(Decimal(1), "test", START), ReportingRate(Decimal(1400), "test", START))
FREE = with_fees(BTC, "0", "0")
FREE_KRW = with_fees(KRW_BTC, "0", "0")


@exact
def check_sums(edge: Edge) -> None:
    assert abs(edge.net - sum(edge.parts.values(), Decimal(0))) < Decimal("1e-30")
    assert abs(edge.residual) < Decimal("1e-9")
    assert abs(sum(edge.numbers().values()) - float(edge.net)) < 1e-9
    assert abs(edge.numbers()["residual"]) < 1e-9


def test_a_maker_fill_by_hand() -> None:
    # Bought 0.01 at 60000.0 with the mid at 60000.1; 5 s later the mid is 60002.1, at the end 60001.1; then 0.01 left to close.
    path = [600000] * 4 + [600020] * 6 + [600010] * 5
    edge = findings(run([FREE], [path], [Trade(1.5, 0, 1, 600000, 10, mid_twice=1200002)], reporting=PLAIN)).edge
    assert edge.parts["spread_capture"] == Decimal("0.001")
    assert edge.parts["markout"] == Decimal("0.02")
    assert edge.parts["inventory"] == Decimal("-0.01")
    assert edge.parts["liquidation"] == Decimal("-0.001")
    assert set(edge.parts) == set(MAKING_PARTS)
    check_sums(edge)


def test_an_opening_position_moves_in_a_part_of_its_own() -> None:
    edge = findings(run([FREE], [[600000] * 3 + [600100] * 3], [], start_lots=[10], reporting=PLAIN)).edge
    assert edge.parts["inventory"] == edge.parts["liquidation"] == 0
    assert edge.parts["opening_inventory"] == Decimal("0.099")  # 0.1 less half a spread to close
    check_sums(edge)


ARBITRAGE: dict[str, Any] = {"spreads": [1000, 2], "pairs": (Pair(0, 1),), "cash": {"upbit": Decimal(10**9)}, "reporting": PLAIN}


def test_an_arbitrage_trip_earns_exit_less_entry_premium_at_decision_prices() -> None:
    # 1 BTC: the spot rises by 1.4m KRW (1000 USDT), the perpetual by 500 USDT. Long spot, short perpetual.
    spot = [84_000_000] * 10 + [85_400_000] * 10
    perp = [600_000] * 10 + [605_000] * 10
    trades = [
        Trade(5, 0, 1, 84_001_000, 10**8, False, 168_001_000, 168_001_000),
        Trade(5, 1, -1, 600_000, 1000, False, 1_200_002, 1_200_002),
        Trade(15, 0, -1, 85_400_000, 10**8, False, 170_801_000, 170_801_000),
        Trade(15, 1, 1, 605_002, 1000, False, 1_210_002, 1_210_002),
    ]
    found = findings(run([FREE_KRW, FREE], [spot, perp], trades, **ARBITRAGE))
    edge = found.edge
    assert set(edge.parts) == set(ARBITRAGE_PARTS)
    assert edge.parts["premium"] == Decimal(500)
    assert edge.parts["hedge_residual"] == 0
    assert edge.parts["slippage_perp"] == Decimal("-0.2")
    assert edge.parts["slippage_spot"] == pytest.approx(Decimal(-1000) / 1400)
    check_sums(edge)
    assert len(found.trips.closed) == 1
    assert found.trips.closed[0].net == pytest.approx(edge.net)
    assert (found.trips.entries, found.trips.exits) == (2, 2)


def test_a_leg_that_waits_for_the_other_is_hedge_residual_and_time_to_arrival_is_latency() -> None:
    perp = [600_000] * 5 + [600_100] * 15
    trades = [
        Trade(2.5, 1, 1, 600_002, 1000, False, 1_200_002, 1_200_002, 1_199_982),
        Trade(10.5, 0, -1, 84_000_000, 10**8, False, 168_001_000, 168_001_000),
    ]
    found = findings(run([FREE_KRW, FREE], [[84_000_000] * 20, perp], trades, start_lots=[10**8, 0], **ARBITRAGE))
    # The opening coin is unhedged too, but its price does not move; the perpetual gains 10 USDT alone, against a coin held.
    assert found.edge.parts["latency"] == Decimal("-1")
    assert found.edge.parts["hedge_residual"] == Decimal(10)
    assert found.edge.parts["premium"] == Decimal(1)  # the mid moved between decision and fill
    check_sums(found.edge)


def test_krw_spent_before_the_won_fell_is_a_gain_of_fx() -> None:
    # A coin bought for 84m KRW at 1400 and sold for 90m at 1500: 60000 USDT both times. The 4000 USDT gained are the won's.
    reporting = Reporting(PLAIN.usd_per_usdt, ReportingRate(Decimal(1500), "test", START))
    values = ARBITRAGE | {"spreads": [1000, 2, 2], "pairs": (Pair(0, 2),), "reporting": reporting}
    paths = [[83_999_500] * 10 + [89_999_500] * 10, [2799] * 10 + [2999] * 10, [600_000] * 20]
    trades = [
        Trade(5, 0, 1, 84_000_000, 10**8, False, 168_000_000),
        Trade(15, 0, -1, 90_000_000, 10**8, False, 180_000_000),
    ]
    found = findings(run([FREE_KRW, KRW_USDT, FREE], paths, trades, **values))
    check_sums(found.edge)
    assert found.edge.net == pytest.approx(Decimal(4000))
    assert found.edge.parts["fx"] == pytest.approx(Decimal(4000))
    assert found.edge.parts["premium"] + found.edge.parts["hedge_residual"] == pytest.approx(Decimal(0), abs=Decimal("1e-30"))
    assert found.edge.notes == ()


def test_a_coin_sold_before_the_won_fell_gains_as_coin_what_its_won_lose() -> None:
    # Against holding: 4000 USDT less lost on the coin, 4000 USDT lost on the won received; the coin's own price in won stood still.
    reporting = Reporting(PLAIN.usd_per_usdt, ReportingRate(Decimal(1500), "test", START))
    values = ARBITRAGE | {"spreads": [1000, 2, 2], "pairs": (Pair(0, 2),), "reporting": reporting, "start_lots": [10**8, 0, 0]}
    paths = [[84_000_000] * 20, [2799] * 10 + [2999] * 10, [600_000] * 20]
    trades = [Trade(5, 0, -1, 84_000_000, 10**8, False, 168_001_000)]
    edge = findings(run([FREE_KRW, KRW_USDT, FREE], paths, trades, **values)).edge
    check_sums(edge)
    assert edge.net == pytest.approx(Decimal(-500) / 1500)
    assert edge.parts["fx"] == pytest.approx(Decimal(-168_001_000) / 2 * (1 / Decimal(1400) - 1 / Decimal(1500)))
    assert edge.parts["fx"] + edge.parts["premium"] + edge.parts["hedge_residual"] == pytest.approx(Decimal(0), abs=Decimal("1e-20"))
    assert edge.parts["opening_inventory"] == pytest.approx(Decimal(-500) / 1500)
    assert edge.parts["slippage_spot"] + edge.parts["liquidation"] == pytest.approx(Decimal(0), abs=Decimal("1e-20"))


def fills(instruments: int) -> st.SearchStrategy[list[Trade]]:
    return st.lists(
        st.builds(
            Trade,
            at_s=st.floats(0.5, 18),
            instrument=st.integers(0, instruments - 1),
            side=st.sampled_from([-1, 1]),
            ticks=st.integers(590_000, 610_000),
            lots=st.integers(1, 10**4),
            maker=st.booleans(),
            mid_twice=st.integers(1_190_000, 1_210_000),
            arrival_twice=st.integers(1_190_000, 1_210_000),
            decision_twice=st.integers(1_190_000, 1_210_000),
        ),
        max_size=10,
    )


PATH = st.lists(st.integers(590_000, 610_000), min_size=20, max_size=20)


@given(trades=fills(2), paths=st.tuples(PATH, PATH), start=st.tuples(st.integers(-9, 9), st.integers(-9, 9)))
def test_making_parts_sum_to_net(trades: list[Trade], paths: tuple[list[int], list[int]], start: tuple[int, int]) -> None:
    rebate = with_fees(ETH, "-0.00013", "0.00061", condition="a programme")
    funding = [(3.0, 0, 5, 1_200_001, 123_456_789), (4.0, 1, -7, 1_200_003, -77)]
    check_sums(findings(run([BTC, rebate], paths, trades, start_lots=list(start), fundings=funding)).edge)


@given(
    trades=fills(3), paths=st.tuples(PATH, PATH, PATH), start=st.integers(0, 10**9), krw_per_usdt=st.integers(900, 2000), tape=st.booleans()
)
def test_arbitrage_parts_sum_to_net(
    trades: list[Trade], paths: tuple[list[int], list[int], list[int]], start: int, krw_per_usdt: int, tape: bool
) -> None:
    reporting = Reporting(RATES.usd_per_usdt, ReportingRate(Decimal(krw_per_usdt), "test", START))
    facts = run(
        [KRW_BTC, KRW_USDT, BTC],
        paths,
        trades,
        start_lots=[start, 0, -start // 10**5],
        pairs=(Pair(0, 2),),
        reporting=reporting,
        fundings=[(4.0, 2, -7, 1_200_003, -77)],
    )
    check_sums(findings(facts if tape else without_tape(facts)).edge)


def test_the_check_of_sums_notices_a_part_that_is_left_out() -> None:
    edge = findings(run([BTC], [[600000] * 9], [Trade(1, 0, 1, 600000, 10)])).edge
    short = Edge(edge.currency, edge.net, {name: v for name, v in edge.parts.items() if name != "fees"})
    with pytest.raises(AssertionError):
        check_sums(short)


def test_a_residual_is_a_broken_invariant() -> None:
    facts = run([BTC], [[600000] * 9], [Trade(1, 0, 1, 600000, 10)])
    wrong = facts.outcome.fills.copy()
    wrong["position_lots"] += 1
    facts.outcome.fills[:] = wrong
    assert any("positions are not the sum of fills" in text for text in findings(facts).broken_invariants)
    assert np.all(wrong["position_lots"] == 11)
