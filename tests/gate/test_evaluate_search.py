"""Every small case: what passes satisfies each bound in every outcome, recomputed in fractions; and tightening never lets more through."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations_with_replacement, product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.gate.limit_cases import BTC, NOW, SHEET, UNIVERSE, changed, intent, judge, quote, rate, seen, steady

from interlock.domain.orders import Side
from interlock.gate.evaluate import Allowed
from interlock.gate.exposure import OpenOrder
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.losses import Losses
from interlock.gate.throttles import Throttles

SYMBOL = "bybit:BTCUSDT"
USD = 1_000_000
ASK = 500_001
TICK_LOT = 100  # micro-USD
REFS = seen(SHEET, UNIVERSE, *steady(quote()), rate())
SMALL = changed(
    changed(
        changed(
            changed(
                SHEET,
                "symbols",
                SYMBOL,
                max_order_lots=2,
                max_order_notional_micro_usd=1_000 * USD,
                max_position_lots=4,
                max_position_notional_micro_usd=190 * USD,
                max_open_orders_count=3,
            ),
            "account",
            max_order_notional_micro_usd=1_000 * USD,
            max_gross_notional_micro_usd=170 * USD,
        ),
        "venues",
        "bybit",
        max_gross_notional_micro_usd=160 * USD,
    ),
    "assets",
    "BTC",
    max_naked_notional_micro_usd=155 * USD,
)
EQUITY = 60


def outcomes(position: int, orders: list[OpenOrder]) -> list[tuple[int, list[OpenOrder]]]:
    found = []
    for taken in product([False, True], repeat=len(orders)):
        filled = [order for order, yes in zip(orders, taken, strict=True) if yes]
        found.append((position + sum(order.side * order.lots for order in filled), filled))
    return found


def value(after: int, filled: list[OpenOrder]) -> int:
    return abs(after) * max([ASK, *(order.ticks for order in filled if order.side * after > 0)]) * TICK_LOT


def margin_holds(after: int, filled: list[OpenOrder]) -> bool:
    """Whether this outcome keeps its maintenance through a move of 30 % to either side, at prices as they are."""
    worth = Fraction(value(after, filled))
    loss = sum(max(0, order.ticks - 500_000) * order.lots if order.side > 0 else max(0, ASK - order.ticks) * order.lots for order in filled)
    left = EQUITY * USD - loss * TICK_LOT
    for move in (Fraction(3, 10), Fraction(-3, 10)):
        change = worth * move * (1 if after > 0 else -1)
        if left + change < worth * (1 + move) / 20:
            return False
    return True


def test_what_passes_keeps_every_bound_in_every_outcome_of_every_small_case() -> None:
    kinds = [(Side.BUY, 500_000, 1), (Side.BUY, 502_000, 2), (Side.SELL, 500_001, 1), (Side.SELL, 503_000, 2)]
    passed = denied = shrinking = 0
    for position in range(-5, 6):
        for count in range(4):
            for chosen in combinations_with_replacement(kinds, count):
                orders = [OpenOrder(*BTC, *one) for one in chosen]
                for side, ticks, lots in kinds:
                    new = OpenOrder(*BTC, side, ticks, lots)
                    answer = judge(
                        intent(side, lots, ticks), positions={BTC: position}, orders=orders, refs=REFS, sheet=SMALL, equity_usd=EQUITY
                    )
                    if not isinstance(answer, Allowed):
                        denied += 1
                        continue
                    passed += 1
                    assert lots <= 2
                    assert len(orders) + 1 <= 3
                    before = outcomes(position, orders)
                    if all(after * (after + side * lots) >= 0 and abs(after + side * lots) < abs(after) for after, _ in before):
                        shrinking += 1
                        continue
                    for after, filled in outcomes(position, [*orders, new]):
                        if new not in filled:
                            continue
                        assert abs(after) <= 4 or after * side < 0
                        assert value(after, filled) <= 155 * USD
                        assert margin_holds(after, filled)
    assert passed > 100
    assert denied > 100
    assert shrinking > 50


TABLES = (("account", ""), ("venues", "bybit"), ("symbols", SYMBOL), ("assets", "BTC"), ("currencies", "USDT"), ("strategies", "demo"))
LARGER_IS_TIGHTER = ("min_", "cancel_reserve", "lowest", "shock", "drift_window", "mark_spacing")


def numbers(sheet: LimitSheet) -> list[tuple[str, str, str, bool]]:
    """(table, entry, attribute, whether a larger value is the tighter one) of every number."""
    found = []
    for table, entry in TABLES:
        part: Any = getattr(sheet, table)
        part = part[entry] if entry else part
        for attribute in part.__struct_fields__:
            if isinstance(getattr(part, attribute), int):
                larger = attribute.startswith(LARGER_IS_TIGHTER) or attribute.endswith("_window_ns")
                found.append((table, entry, attribute, larger))
    return found


NUMBERS = numbers(SHEET)


@given(
    st.sampled_from(NUMBERS),
    st.integers(1, 1_000),
    st.sampled_from([Side.BUY, Side.SELL]),
    st.integers(1, 3),
    st.sampled_from([499_000, 500_000, 500_001, 502_000, 502_600]),
    st.integers(-3, 3),
    st.lists(st.sampled_from([Side.BUY, Side.SELL]), max_size=2),
    st.integers(0, 120),
    st.integers(10, 60),
    st.sampled_from([0, 9 * USD, 11 * USD]),
)
def test_tightening_any_limit_never_turns_a_no_into_a_yes(
    which: tuple[str, str, str, bool],
    factor: int,
    side: Side,
    lots: int,
    ticks: int,
    position: int,
    others: list[Side],
    sent: int,
    equity: int,
    lost: int,
) -> None:
    table, entry, attribute, larger = which
    part: Any = getattr(SHEET, table)
    old = getattr(part[entry] if entry else part, attribute)
    new = old * 1_000 // factor if larger else old * factor // 1_000
    tighter = changed(SHEET, table, entry, **{attribute: new})
    given_case: dict[str, Any] = {
        "positions": {BTC: position},
        "orders": [OpenOrder(*BTC, one, 500_000, 1) for one in others],
        "throttle": Throttles(messages={"bybit": [NOW - 5 * 10**9] * sent}, orders={"demo": [NOW] * (sent // 2)}),
        "equity_usd": equity,
        "losses": Losses(marked_boot_ns=NOW - 10**9, now_micro_usd=lost),
    }
    order = intent(side, lots, ticks)
    loose = judge(order, **given_case, refs=seen(SHEET, UNIVERSE, *steady(quote()), rate()))
    tight = judge(order, **given_case, sheet=tighter, refs=seen(tighter, UNIVERSE, *steady(quote()), rate()))
    assert isinstance(loose, Allowed) or not isinstance(tight, Allowed)


def test_some_tightening_denies() -> None:
    flipped = []
    for table, entry, attribute, larger in NUMBERS:
        part: Any = getattr(SHEET, table)
        old = getattr(part[entry] if entry else part, attribute)
        tighter = changed(SHEET, table, entry, **{attribute: old * 1_000_000 if larger else 0})
        if not isinstance(judge(sheet=tighter, now=NOW + 1, refs=REFS), Allowed):
            flipped.append(attribute)
    # The others bound what this calm moment has none of: a second leg, a breach, a wide book, a peer.
    assert len(flipped) >= 28
