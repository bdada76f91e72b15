"""Round trips, expectations and the equity curve."""

from decimal import Decimal

import pytest
from tests.evidence.runs import BTC, KRW_BTC, SECOND, START, Trade, run, with_fees

from interlock.evidence.build import findings
from interlock.evidence.facts import Pair, Reporting, ReportingRate

FLAT = [600_000] * 30
PLAIN = Reporting(ReportingRate(Decimal(1), "test", START), ReportingRate(Decimal(1400), "test", START))


def test_a_fill_that_turns_the_position_belongs_to_two_trips() -> None:
    trades = [Trade(1, 0, 1, 600_000, 10), Trade(2, 0, -1, 600_100, 15), Trade(3, 0, 1, 600_000, 5), Trade(4, 0, 1, 600_000, 1)]
    trips = findings(run([with_fees(BTC, "0", "0")], [FLAT], trades, reporting=PLAIN)).trips
    assert [t.net for t in trips.closed] == [Decimal("0.1"), Decimal("0.05")]
    assert [t.orders for t in trips.closed] == [(1, 2), (2, 3)]
    assert (trips.entries, trips.exits, trips.wins, trips.losses) == (3, 2, 2, 0)


def test_a_trip_pays_its_fees_and_the_funding_it_was_held_through() -> None:
    trades = [Trade(1, 0, 1, 600_000, 10), Trade(5, 0, -1, 600_000, 10, maker=False)]
    fundings = [(0.5, 0, 1, 1_200_000, 10**9), (3, 0, 10, 1_200_000, 10**8)]
    trips = findings(run([BTC], [FLAT], trades, fundings=fundings, reporting=PLAIN)).trips
    assert [t.net for t in trips.closed] == [-Decimal("0.12") - Decimal("0.3") - Decimal("0.06")]
    assert trips.losses == 1


def test_an_opening_position_is_the_first_part_of_its_trip() -> None:
    trips = findings(run([with_fees(BTC, "0", "0")], [FLAT], [Trade(1, 0, -1, 600_011, 10)], start_lots=[10], reporting=PLAIN)).trips
    assert [(t.start_ns, t.net) for t in trips.closed] == [(START, Decimal("0.01"))]


@pytest.mark.parametrize(("left", "closed"), [(0, 1), (99_999, 1), (100_000, 0)])
def test_a_pair_is_closed_when_less_than_a_lot_of_the_coarser_leg_is_left(left: int, closed: int) -> None:
    trades = [
        Trade(1, 0, 1, 84_001_000, 10**7 + left, False),
        Trade(1, 1, -1, 600_000, 100, False),
        Trade(9, 0, -1, 84_000_000, 10**7, False),
        Trade(9, 1, 1, 600_002, 100, False),
    ]
    found = findings(run([KRW_BTC, BTC], [[84_000_000] * 20, FLAT], trades, spreads=[1000, 2], pairs=(Pair(0, 1),), reporting=PLAIN))
    assert len(found.trips.closed) == closed


def test_deciles_compare_realised_with_expected() -> None:
    trades = [Trade(i + 0.5 * j, 0, -1 if j else 1, 600_000 + j * i, 10) for i in range(1, 21) for j in (0, 1)]
    expected = {2 * i - 1: Decimal(i) for i in range(1, 21)}
    found = findings(run([with_fees(BTC, "0", "0")], [FLAT], trades, expected_edge_bps=expected, reporting=PLAIN))
    assert found.deciles is not None
    assert [d.trips for d in found.deciles] == [2] * 10
    assert [d.expected_bps for d in found.deciles] == [Decimal(4 * i + 3) / 2 for i in range(10)]
    assert found.deciles[0].realised_bps < found.deciles[9].realised_bps
    assert findings(run([BTC], [FLAT], trades)).deciles is None


def test_drawdown_is_exact_at_the_samples_and_the_curve_ends_at_mid_equity() -> None:
    path = [600_000] * 3 + [600_100] * 3 + [599_900] * 3 + [600_000] * 3
    facts = run(
        [with_fees(BTC, "0.0001", "0.0005")], [path], [Trade(0.5, 0, 1, 600_000, 10)], cash={"binance_usdm": Decimal(100)}, reporting=PLAIN
    )
    curve = findings(facts).curve
    assert curve.drawdown == Decimal("0.2")
    assert curve.drawdown_fraction == pytest.approx(Decimal("0.2") / (Decimal("100.101") - Decimal("0.06")))
    assert (curve.trough_ns - curve.peak_ns) == 3 * SECOND
    assert curve.points["equity_mid"][0] == 100
    assert curve.points["equity_mid"][-1] == pytest.approx(float(findings(facts).ledger.final_equity_mid["USDT"]))
