"""What is the same at the venues of perpetuals: coins, pairs with Upbit, rounding toward less risk. The checks are tested with each one's rules."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.market.shipped import SHIPPED
from interlock.venues.perpetual_rules import coin_of, market_of, partner, round_lots, round_price

ON = date(2026, 11, 21)
PERPETUALS = [SHIPPED["binance_usdm:BTCUSDT"], SHIPPED["bybit:BTCUSDT"]]
EACH = pytest.mark.parametrize("perpetual", PERPETUALS, ids=lambda each: each.venue)


@pytest.mark.parametrize(
    ("base", "least", "coin", "many"),
    [
        ("BTC", 1, "BTC", 1),
        ("1000PEPE", 1, "PEPE", 1000),
        ("10000SATS", 2, "SATS", 10_000),
        ("1000000MOG", 2, "MOG", 1_000_000),
        ("1INCH", 1, "1INCH", 1),
        ("100X", 1, "100X", 1),
        ("1000", 1, "1000", 1),
        ("1000X", 1, "X", 1000),
        ("1000X", 2, "1000X", 1),
    ],
)
def test_the_coin_of_a_contract(base: str, least: int, coin: str, many: int) -> None:
    assert coin_of(base, least=least) == (coin, Decimal(many))


@EACH
def test_pairs_with_upbit(perpetual: Instrument) -> None:
    pepe = msgspec.structs.replace(perpetual, symbol="1000PEPEUSDT", base="PEPE", multiplier=Decimal(1000))
    known = {"BTCUSDT": perpetual, "1000PEPEUSDT": pepe, "KRW-BTC": SHIPPED["upbit:KRW-BTC"]}
    assert partner("KRW-BTC", known) is perpetual
    assert partner("KRW-PEPE", known) is pepe
    assert partner("KRW-ETH", known) is None
    assert [market_of(each) for each in (perpetual, pepe)] == ["KRW-BTC", "KRW-PEPE"]
    assert pepe.base_units(3) == 3 * perpetual.lot * 1000
    for market in ("USDT-BTC", "KRW-", "BTC", "KRW"):
        with pytest.raises(UsageError, match="KRW market"):
            partner(market, known)
    with pytest.raises(UsageError, match="name the one you mean"):
        partner("KRW-PEPE", {**known, "PEPEUSDT": msgspec.structs.replace(pepe, symbol="PEPEUSDT")})


@EACH
@given(st.decimals("300", "500000", places=6), st.sampled_from(Side))
def test_prices_are_rounded_toward_less_risk(perpetual: Instrument, price: Decimal, side: Side) -> None:
    rounded = perpetual.price(round_price(perpetual, price, side, ON))
    step = perpetual.price_step(price, ON)
    assert rounded % step == 0
    assert 0 <= side * (price - rounded) < step


@EACH
@given(st.decimals("-1", "1000", places=8), st.sampled_from(Side), st.integers(-2000, 2000))
def test_sizes_are_rounded_down_and_no_reduction_is_above_the_position(
    perpetual: Instrument, size: Decimal, side: Side, position: int
) -> None:
    lots = round_lots(perpetual, size)
    assert lots == 0 if size < 0 else 0 <= size - perpetual.quantity(lots) < perpetual.lot
    reducing = round_lots(perpetual, size, reducing=(side, position))
    assert 0 <= reducing <= lots
    after = position + side * reducing
    assert reducing == 0 or (abs(after) < abs(position) and after * position >= 0)
