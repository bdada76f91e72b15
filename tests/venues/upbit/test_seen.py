"""Orders and executions of lists: every state, and every fee."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.scripted import encoded
from tests.venues.upbit.talks import INSTRUMENTS, ORDER, TRADE

from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.port import End, FillSeen, Nonsense, OrderSeen
from interlock.venues.upbit import seen


def order(**changes: Any) -> OrderSeen:
    return seen.order_seen(seen.order_row(encoded(ORDER | changes)), INSTRUMENTS)


def fills(**changes: Any) -> tuple[FillSeen, ...]:
    filled = {"state": "done", "executed_volume": "0.001", "paid_fee": "25", "trades": [TRADE]}
    return seen.fills_of(seen.order_row(encoded(ORDER | filled | changes)), INSTRUMENTS)


def test_an_open_order_is_told_whole() -> None:
    assert order() == OrderSeen(
        symbol="KRW-BTC",
        client_id="arb-0001",
        venue_order_id="9e8f8eba-7050-4837-8969-cfc272cbe083",
        side=Side.BUY,
        ticks=50_000_000,
        lots=100_000,
        filled_lots=0,
        state=OrderState.OPEN,
        end=End.NONE,
        reduce_only=False,
        venue_ns=1_751_608_800_000_000_000,
    )


BY_COST = {"ord_type": "price", "volume": None, "price": "50000"}


@pytest.mark.parametrize(
    ("changes", "state", "end", "filled"),
    [
        ({"executed_volume": "0.0004"}, OrderState.PARTIAL, End.NONE, 40_000),
        ({"state": "watch"}, OrderState.OPEN, End.NONE, 0),
        ({"state": "done", "executed_volume": "0.001"}, OrderState.FILLED, End.FILLED, 100_000),
        ({"state": "cancel", "executed_volume": "0.001"}, OrderState.FILLED, End.FILLED, 100_000),
        ({"state": "cancel"}, OrderState.CANCELLED, End.CANCELLED, 0),
        ({"state": "cancel", "executed_volume": "0.0004"}, OrderState.CANCELLED, End.CANCELLED, 40_000),
        ({"state": "cancel", "time_in_force": "ioc"}, OrderState.EXPIRED, End.IOC, 0),
        ({"state": "cancel", "time_in_force": "ioc", "executed_volume": "0.0004"}, OrderState.EXPIRED, End.IOC, 40_000),
        ({"state": "cancel", "time_in_force": "fok"}, OrderState.EXPIRED, End.FOK, 0),
        ({"state": "cancel", "time_in_force": "post_only"}, OrderState.CANCELLED, End.POST_ONLY, 0),
        ({"state": "cancel", "time_in_force": "post_only", "executed_volume": "0.0004"}, OrderState.CANCELLED, End.CANCELLED, 40_000),
        ({"state": "cancel", "prevented_volume": "0.001"}, OrderState.CANCELLED, End.SELF_MATCH, 0),
        ({"state": "cancel", "prevented_volume": "0.0004", "smp_type": "cancel_maker"}, OrderState.CANCELLED, End.SELF_MATCH, 0),
        ({"state": "cancel", "prevented_volume": "0.0004", "smp_type": "reduce"}, OrderState.CANCELLED, End.CANCELLED, 0),
        (
            {"state": "cancel", "prevented_volume": "0.0006", "executed_volume": "0.0004", "smp_type": "reduce"},
            OrderState.CANCELLED,
            End.SELF_MATCH,
            40_000,
        ),
        ({"state": "done", "prevented_volume": "0.0006", "executed_volume": "0.0004"}, OrderState.CANCELLED, End.SELF_MATCH, 40_000),
        (BY_COST | {"state": "cancel", "executed_volume": "0.00099"}, OrderState.FILLED, End.FILLED, 99_000),
        (BY_COST | {"state": "done", "executed_volume": "0.00099"}, OrderState.FILLED, End.FILLED, 99_000),
        (BY_COST | {"state": "cancel"}, OrderState.EXPIRED, End.IOC, 0),
        (BY_COST | {"executed_volume": "0.00099"}, OrderState.PARTIAL, End.NONE, 99_000),
        ({"ord_type": "market", "price": None, "state": "cancel", "executed_volume": "0.0004"}, OrderState.EXPIRED, End.IOC, 40_000),
        ({"ord_type": "best", "price": None, "time_in_force": "ioc", "state": "cancel"}, OrderState.EXPIRED, End.IOC, 0),
    ],
)
def test_every_state_has_its_meaning(changes: dict[str, Any], state: OrderState, end: End, filled: int) -> None:
    found = order(**changes)
    assert (found.state, found.end, found.filled_lots) == (state, end, filled)
    assert found.ticks == (50_000_000 if changes.get("ord_type", "limit") == "limit" else 0)
    assert found.lots == (filled if changes.get("volume", "") is None else 100_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "done"},
        {"state": "done", "executed_volume": "0.0004"},
        {"executed_volume": "0.0011"},
        {"executed_volume": "1e-4"},
        {"executed_volume": "NaN"},
        {"executed_volume": ""},
        {"executed_volume": "0.000000001"},
        {"volume": "0.000000001"},
        {"volume": None},
        {"price": None},
        {"price": "0"},
        {"price": "50000000.5"},
        {"prevented_volume": "-1"},
        {"state": "trade"},
        {"state": ""},
        {"side": "BID"},
        {"ord_type": "stop"},
        {"time_in_force": "gtd"},
        {"smp_type": "both"},
        {"created_at": "2025-07-04"},
        {"uuid": ""},
        {"uuid": "x" * 65},
        {"market": None},
        {"identifier": "x" * 65},
        {"trades_count": -1},
    ],
)
def test_what_makes_no_sense_is_no_order(changes: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        order(**changes)
    assert order().state is OrderState.OPEN


def test_an_order_of_another_market_is_there_without_sizes() -> None:
    found = order(market="BTC-ETH", price="0.0312345", executed_volume="0.0004")
    assert (found.symbol, found.ticks, found.lots, found.filled_lots, found.state) == ("BTC-ETH", 0, 0, 0, OrderState.PARTIAL)
    assert order(identifier=None).client_id == ""


# Executions


def test_an_execution_is_told_whole() -> None:
    (found,) = fills()
    assert (found.symbol, found.trade_id, found.client_id) == ("KRW-BTC", TRADE["uuid"], "arb-0001")
    assert (found.side, found.ticks, found.lots) == (Side.BUY, 50_000_000, 100_000)
    assert (found.fee, found.fee_currency, found.liquidity) == (Decimal(25), "KRW", Liquidity.TAKER)
    assert found.venue_ns == 1_751_608_801_000_000_000
    assert fills(time_in_force="post_only")[0].liquidity is Liquidity.MAKER
    assert fills(side="ask")[0].side is Side.SELL


def test_the_fee_of_an_order_is_parted_among_its_trades() -> None:
    trades = [TRADE | {"uuid": "a", "volume": "0.0004", "price": "49999000"}, TRADE | {"uuid": "b", "volume": "0.0006"}]
    found = fills(trades=trades, paid_fee="24.9998")
    assert [each.fee for each in found] == [Decimal("9.9998"), Decimal("15")]
    assert fills(trades=[], executed_volume="0", state="wait") == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"trades": None},
        {"trades": []},
        {"trades": [TRADE, TRADE], "executed_volume": "0.002", "volume": "0.002"},
        {"trades": [TRADE | {"volume": "0.0009"}]},
        {"trades": [TRADE | {"market": "KRW-ETH"}]},
        {"trades": [TRADE | {"price": "0"}]},
        {"trades": [TRADE | {"volume": "0"}]},
        {"trades": [TRADE | {"price": "1e3"}]},
        {"trades": [TRADE | {"created_at": ""}]},
        {"trades": [TRADE | {"uuid": ""}]},
        {"paid_fee": None},
        {"paid_fee": "-25"},
    ],
)
def test_executions_that_are_not_all_there_are_none(changes: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        fills(**changes)
    assert len(fills()) == 1


@given(
    st.lists(st.tuples(st.integers(1, 10**7), st.integers(10**6, 2 * 10**8)), min_size=1, max_size=8),
    st.sampled_from([Decimal("0.0005"), Decimal("0.00139"), Decimal("0.0025"), Decimal(0)]),
)
def test_one_trade_has_one_fee_whoever_tells_it(parts: list[tuple[int, int]], rate: Decimal) -> None:
    funds = [Decimal(lots) / 10**8 * price for lots, price in parts]
    paid = sum(funds, Decimal(0)) * rate
    for each in funds:
        listed = seen.fee_at_rate(each, paid, sum(funds, Decimal(0)))
        streamed = seen.fee_at_rate(each, Decimal(repr(float(each * rate))), each)
        assert listed == streamed == each * rate
        assert "E" not in str(listed) or abs(listed) < Decimal("0.001")


def test_a_fee_at_no_even_rate_stays_as_it_was_told() -> None:
    assert seen.fee_at_rate(Decimal(1000), Decimal("0.123456789"), Decimal(1000)) == Decimal("0.123456789")
    assert str(seen.fee_at_rate(Decimal(40_000), Decimal(20), Decimal(40_000))) == "20"
