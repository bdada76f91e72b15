"""The edge of the last fills: what counts, for how much, from when on, and when it has collapsed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.orders import OrderState, Side
from interlock.engine.edge import EARLY_KEPT, NEVER_NS, ORDERS_KEPT, EdgeCollapse, EdgeFold, EdgeRule
from interlock.gate.frames import Executed, OrderNow
from interlock.market.shipped import SHIPPED

S = 1_000_000_000
BTC = SHIPPED["bybit:BTCUSDT"]
UNIT = Fraction(BTC.quantum * BTC.lot)
LOW = Decimal(-9_999)
"""A threshold that nothing below is below."""


def rule(threshold: Decimal | str = LOW, *, window: int = 100, least: int = 1) -> EdgeRule:
    return EdgeRule(threshold_bps=Decimal(threshold), horizon_ns=5 * S, window_fills=window, least_fills=least)


def order(
    client_id: str = "a",
    *,
    side: Side = Side.BUY,
    ticks: int = 600_000,
    lots: int = 10,
    fees: dict[str, str] | None = None,
    priced: bool = True,
    symbol: str = "BTCUSDT",
) -> OrderNow:
    """An order that is filled with `lots` at one price."""
    paid = tuple((currency, Decimal(amount)) for currency, amount in (fees or {}).items())
    return OrderNow(
        client_id=client_id,
        strategy="making",
        venue="bybit",
        symbol=symbol,
        side=side,
        ticks=ticks,
        lots=1_000_000,
        filled_lots=lots,
        state=OrderState.PARTIAL,
        owed=False,
        executed=Executed(tick_lots=Decimal(ticks * lots), fees=paid) if priced else None,
    )


@dataclass
class Market:
    """A fold, and the mid that it sees; ticks may be halves."""

    rule: EdgeRule = field(default_factory=rule)
    mid: float = 600_000.0
    permitted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fold = EdgeFold((BTC,), self.rule, lambda _k: round(2 * self.mid))

    def fill(self, one: OrderNow, at_ns: int) -> None:
        if one.client_id not in self.permitted:
            self.permitted.append(one.client_id)
            self.fold.permitted(one.client_id, at_ns)
        self.fold.told([one], at_ns)

    def edge(self) -> Decimal:
        assert self.fold.figures is not None
        return self.fold.figures.edge_bps


fills = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(500_000, 700_000),
        st.integers(1, 1_000),
        st.integers(999_999, 1_400_001),
        st.integers(999_999, 1_400_001),
        st.decimals(-10, 10, places=6),
    ),
    min_size=1,
    max_size=20,
)


@given(fills, st.integers(1, 20))
def test_the_edge_is_what_the_last_fills_have_earned_for_their_notional(
    told: list[tuple[Side, int, int, int, int, Decimal]], window: int
) -> None:
    """Reckoned another way, in fractions. Each fill is of an order of its own, heard at one mid and judged at another."""
    market = Market(rule(window=window))
    for number, (side, ticks, lots, then_twice, later_twice, fee) in enumerate(told):
        at_ns = number * 10 * S
        market.mid = then_twice / 2
        market.fill(order(f"o{number}", side=side, ticks=ticks, lots=lots, fees={"USDT": str(fee)}), at_ns)
        market.mid = later_twice / 2
        assert market.fold.due(at_ns + 5 * S) == []
    counted = told[-window:]
    earned = sum(side * (Fraction(later, 2) - ticks) * lots * UNIT - Fraction(fee) for side, ticks, lots, _, later, fee in counted)
    notional = sum(ticks * lots * UNIT for _, ticks, lots, *_ in counted)
    captured = sum(side * (Fraction(then, 2) - ticks) * lots * UNIT for side, ticks, lots, then, *_ in counted)
    found = market.fold.figures
    assert found is not None
    assert found.fills == len(counted)
    assert Fraction(found.edge_bps) == Fraction(math.floor(earned / notional * 10_000 * 10_000), 10_000)
    assert Fraction(found.captured_bps) == Fraction(math.floor(captured / notional * 10_000 * 10_000), 10_000)
    assert abs(found.captured_bps + found.markout_bps - found.fees_bps - found.edge_bps) <= Decimal("0.0003"), "but for what is rounded"


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(-5, 5)), min_size=1, max_size=10), st.floats(590_000, 610_000))
def test_when_a_fill_is_heard_of_and_in_how_many_pieces_changes_no_edge(pieces: list[tuple[int, int]], mid: float) -> None:
    whole, parts = Market(), Market()
    lots, tick_lots = 0, 0
    for number, (more, off) in enumerate(pieces):
        lots += more
        tick_lots += more * (600_000 + off)
        parts.mid = mid + 7 * number
        parts.fill(_at(lots, tick_lots), number)
    whole.fill(_at(lots, tick_lots), 0)
    whole.mid = parts.mid = 600_123.5
    assert whole.fold.due(6 * S) == parts.fold.due(6 * S) == []
    assert whole.edge() == parts.edge()


def _at(lots: int, tick_lots: int) -> OrderNow:
    """An order filled at several prices."""
    return msgspec.structs.replace(order(lots=lots), executed=Executed(tick_lots=Decimal(tick_lots), fees=()))


def test_a_fill_counts_when_its_horizon_is_over_and_not_before() -> None:
    market = Market()
    assert market.fold.due_ns == NEVER_NS
    market.fill(order(), S)
    assert market.fold.due_ns == 6 * S
    assert market.fold.due(6 * S - 1) == []
    assert market.fold.figures is None
    market.mid = 600_060
    market.fold.due(6 * S)
    assert market.edge() == Decimal("1.0000")
    assert market.fold.due_ns == NEVER_NS


def test_a_fill_waits_for_a_book_that_may_be_used() -> None:
    market = Market()
    market.fill(order(), 0)
    market.mid = 0
    assert market.fold.due(9 * S) == []
    assert (market.fold.figures, market.fold.due_ns) == (None, 5 * S)
    market.mid = 600_060
    market.fold.due(9 * S + 1)
    assert market.edge() == 1


def test_a_fill_without_a_mid_at_its_time_is_all_markout() -> None:
    market = Market(mid=0)
    market.fill(order(), 0)
    market.mid = 600_060
    market.fold.due(5 * S)
    found = market.fold.figures
    assert found is not None
    assert (found.captured_bps, found.markout_bps) == (Decimal(0), Decimal(1))


def test_nothing_is_said_before_there_are_enough_fills() -> None:
    market = Market(rule("0", least=3))
    found = []
    for number in range(3):
        market.mid = 600_000
        market.fill(order(str(number)), number * 10 * S)
        market.mid = 599_940
        found.append(market.fold.due(number * 10 * S + 5 * S))
    assert found == [[], [], [EdgeCollapse("-1.0000", "0")]]


@pytest.mark.parametrize(("mid", "collapses"), [(600_060, 0), (600_059.5, 1)], ids=["at the threshold", "below it"])
def test_an_edge_at_its_threshold_is_none_below(mid: float, collapses: int) -> None:
    market = Market(rule("1"))
    market.fill(order(), 0)
    market.mid = mid
    assert len(market.fold.due(5 * S)) == collapses == market.fold.collapses


def test_a_collapse_is_told_once_and_then_measured_anew() -> None:
    market = Market(rule("0", least=2))
    mids = [599_940, 599_940, 599_940, 600_060, 600_060, 599_000]
    found = []
    for number, mid in enumerate(mids):
        market.mid = 600_000
        market.fill(order(str(number)), number * 10 * S)
        market.mid = mid
        found.append(len(market.fold.due(number * 10 * S + 5 * S)))
    assert found == [0, 1, 0, 0, 0, 1], "the third and fourth are one bad, one good; only the last takes the window below"
    assert (market.fold.collapses, market.fold.report()["fills"]) == (2, 0)
    assert market.fold.report()["last_collapse_bps"] == "-3.9167"


def test_orders_of_others_do_not_count_and_those_told_before_their_permit_do() -> None:
    market = Market()
    market.fold.told([order("theirs"), order("ours")], 0)
    market.fold.permitted("ours", S)
    market.fold.told([order("theirs", lots=20)], S)
    market.fold.due(9 * S)
    found = market.fold.figures
    assert found is not None
    assert found.fills == 1


def test_what_is_told_again_counts_once() -> None:
    market = Market()
    for _ in range(3):
        market.fill(order(), 0)
    market.fill(order(lots=9), 0)
    market.fold.due(5 * S)
    assert market.fold.report()["fills"] == 1


def test_a_market_that_is_not_the_strategys_does_not_count() -> None:
    market = Market()
    market.fill(order(symbol="ETHUSDT"), 0)
    market.fill(order("b"), 0)
    market.fold.due(5 * S)
    assert market.fold.report()["fills"] == 1


@pytest.mark.parametrize(
    ("fees", "edge"),
    [
        ({}, "0.0000"),
        ({"USDT": "0.06"}, "-1.0000"),
        ({"USDT": "-0.06"}, "1.0000"),
        ({"BTC": "0.000001"}, "-1.0000"),
        ({"USDT": "0.03", "BTC": "-0.0000005"}, "0.0000"),
        ({"BNB": "0"}, "0.0000"),
        ({"BNB": "0.0001"}, "NaN"),
    ],
)
def test_what_was_charged_is_taken_off_and_a_fee_without_a_price_leaves_no_number(fees: dict[str, str], edge: str) -> None:
    """Ten lots at 60,000 are worth 600 USDT, of which 0.06 is a basis point. What is no number has collapsed."""
    market = Market(rule(LOW, least=2))
    market.fill(order(fees=fees), 0)
    assert market.fold.due(5 * S) == []
    assert str(market.edge()) == edge
    market.fill(order("b"), 10 * S)
    found = market.fold.due(15 * S)
    assert found == ([EdgeCollapse("NaN", "-9999")] if edge == "NaN" else [])


def test_a_fee_is_that_of_the_part_that_is_new() -> None:
    market = Market()
    market.fill(order(lots=10, fees={"USDT": "0.06"}), 0)
    market.fill(order(lots=20, fees={"USDT": "0.12"}), 0)
    market.fold.due(5 * S)
    found = market.fold.figures
    assert found is not None
    assert (found.fills, found.fees_bps) == (2, Decimal(1))


def test_executions_without_a_price_are_counted_apart() -> None:
    market = Market()
    market.fill(order(lots=10), 0)
    market.fill(order(lots=15, priced=False), 0)
    market.fill(order(lots=20), 0)
    market.fold.due(5 * S)
    assert (market.fold.report()["fills"], market.fold.report()["unpriced_lots"]) == (1, 10)


def test_executions_that_were_taken_back_leave_nothing_to_reckon_with() -> None:
    """Five lots at 100, two of them taken back, then three at 10: one lot more, for less than nothing."""
    market = Market()
    market.fill(_at(5, 500), 0)
    for lots, tick_lots in ((3, 300), (6, 330), (7, 430)):
        market.fill(_at(lots, tick_lots), 0)
    assert (market.fold.report()["waiting"], market.fold.report()["unpriced_lots"]) == (1, 2)


def test_what_is_remembered_of_orders_is_bounded() -> None:
    market = Market()
    market.fold.told([order(f"early {number}") for number in range(EARLY_KEPT + 1)], 0)
    for number in range(EARLY_KEPT + 1):
        market.fold.permitted(f"early {number}", 0)
    assert market.fold.report()["waiting"] == EARLY_KEPT, "the first of them was forgotten"
    for number in range(ORDERS_KEPT):
        market.fold.permitted(f"new {number}", 0)
    market.fold.told([order(f"early {EARLY_KEPT}", lots=20), order("new 0")], 0)
    assert market.fold.report()["waiting"] == EARLY_KEPT + 1


def test_instruments_of_several_currencies_are_refused() -> None:
    with pytest.raises(ValueError, match="one quote currency"):
        EdgeFold((BTC, SHIPPED["upbit:KRW-BTC"]), rule(), lambda _k: 0)


def test_the_report_is_plain_and_says_what_it_is_measured_by() -> None:
    market = Market(rule("0.5", least=7))
    nothing = market.fold.report()
    assert (nothing["edge_bps"], nothing["fills"], nothing["threshold_bps"], nothing["least_fills"]) == (None, 0, "0.5", 7)
    market.fill(order(fees={"USDT": "-0.06"}), 0)
    assert market.fold.report()["waiting"] == 1
    market.mid = 600_120
    market.fold.due(5 * S)
    found = market.fold.report()
    assert [found[name] for name in ("edge_bps", "captured_bps", "markout_bps", "fees_bps")] == ["3.0000", "0.0000", "2.0000", "-1.0000"]
