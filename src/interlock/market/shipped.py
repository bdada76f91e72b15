"""Instruments that ship with interlock, for captures that carry no metadata, and instruments from a file.

A shipped entry is a documented default, not the venue's current answer: each says where its figures come from. A
recorded exchangeInfo or `--instrument FILE` goes before it.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import msgspec

from interlock.domain.errors import BadInput
from interlock.domain.instruments import Fees, Instrument, Kind, MarginTier
from interlock.domain.price_rules import UPBIT_KRW, fixed_step

AS_OF = date(2026, 11, 21)

_FEE_SOURCE = "base rate as commonly published; the account's own rate goes before it"
BINANCE_FEES = Fees(maker=Decimal("0.0002"), taker=Decimal("0.0005"), profile="base", source=_FEE_SOURCE, as_of=AS_OF)
BYBIT_FEES = Fees(maker=Decimal("0.0002"), taker=Decimal("0.00055"), profile="base", source=_FEE_SOURCE, as_of=AS_OF)
UPBIT_FEES = Fees(
    maker=Decimal("0.0005"),
    taker=Decimal("0.0005"),
    profile="base",
    source="Upbit KRW market, maker and taker alike, no rebates (GET /v1/orders/chance)",
    as_of=AS_OF,
)

ASSUMED_TIERS = (
    MarginTier(max_notional=Decimal(50_000), initial=Decimal("0.01"), maintenance=Decimal("0.005")),
    MarginTier(max_notional=Decimal(250_000), initial=Decimal("0.02"), maintenance=Decimal("0.01")),
    MarginTier(max_notional=Decimal(1_000_000), initial=Decimal("0.05"), maintenance=Decimal("0.025")),
    MarginTier(max_notional=Decimal(5_000_000), initial=Decimal("0.1"), maintenance=Decimal("0.05")),
)
"""An assumption, not a venue fact: brackets go by symbol, change often and need a key to read. Chosen no more generous
than those published for large symbols."""


def perpetual(
    venue: str,
    base: str,
    *,
    tick: str,
    lot: str,
    min_notional: str,
    price_range: tuple[str, str],
    max_qty: str,
    max_market_qty: str,
    fees: Fees,
    source: str,
) -> Instrument:
    """A USDT-settled linear perpetual with one tick, 8-hourly funding and the assumed margin tiers."""
    return Instrument(
        venue=venue,
        symbol=f"{base}USDT",
        base=base,
        quote="USDT",
        settle="USDT",
        kind=Kind.PERPETUAL,
        quantum=Decimal(tick),
        lot=Decimal(lot),
        price_rule=fixed_step(f"{venue}-{base}USDT", Decimal(tick), source),
        min_price=Decimal(price_range[0]),
        max_price=Decimal(price_range[1]),
        fees=fees,
        max_lots=int(Decimal(max_qty) / Decimal(lot)),
        max_market_lots=int(Decimal(max_market_qty) / Decimal(lot)),
        min_notional=Decimal(min_notional),
        funding_interval_h=8,
        margin_tiers=ASSUMED_TIERS,
        source=f"{source}; fees and margin tiers assumed",
    )


def upbit_krw(base: str, *, quantum: str, price_range: tuple[str, str]) -> Instrument:
    """A KRW spot market of Upbit: sizes to 8 decimals, orders from 5,000 to 1,000,000,000 KRW."""
    return Instrument(
        venue="upbit",
        symbol=f"KRW-{base}",
        base=base,
        quote="KRW",
        settle="KRW",
        kind=Kind.SPOT,
        quantum=Decimal(quantum),
        lot=Decimal("0.00000001"),
        price_rule=UPBIT_KRW,
        min_price=Decimal(price_range[0]),
        max_price=Decimal(price_range[1]),
        fees=UPBIT_FEES,
        min_notional=Decimal(5000),
        source="Upbit's documented price units and minimum; the instruments endpoint goes before it",
    )


_BINANCE_SOURCE = "filters of a recorded exchangeInfo of 2024"
_ALL = (
    perpetual(
        "binance_usdm",
        "BTC",
        tick="0.1",
        lot="0.001",
        min_notional="100",
        price_range=("556.8", "4529764"),
        max_qty="1000",
        max_market_qty="120",
        fees=BINANCE_FEES,
        source=_BINANCE_SOURCE,
    ),
    perpetual(
        "binance_usdm",
        "ETH",
        tick="0.01",
        lot="0.001",
        min_notional="20",
        price_range=("39.86", "306177"),
        max_qty="10000",
        max_market_qty="2000",
        fees=BINANCE_FEES,
        source=_BINANCE_SOURCE,
    ),
    perpetual(
        "binance_usdm",
        "XRP",
        tick="0.0001",
        lot="0.1",
        min_notional="5",
        price_range=("0.0143", "100000"),
        max_qty="10000000",
        max_market_qty="2000000",
        fees=BINANCE_FEES,
        source=_BINANCE_SOURCE,
    ),
    perpetual(
        "bybit",
        "BTC",
        tick="0.1",
        lot="0.001",
        min_notional="5",
        price_range=("0.1", "1999999.8"),
        max_qty="1190",
        max_market_qty="500",
        fees=BYBIT_FEES,
        source="Bybit v5 linear, tick and step as recorded in 2024; sizes assumed",
    ),
    upbit_krw("BTC", quantum="1", price_range=("1000", "10000000000")),
    upbit_krw("ETH", quantum="1", price_range=("1000", "1000000000")),
    upbit_krw("XRP", quantum="1", price_range=("100", "10000000")),
    # The unit was 0.5 for a time in 2025; recordings of 2026 show 1.
    upbit_krw("USDT", quantum="0.5", price_range=("100", "1000000")),
)
SHIPPED: dict[str, Instrument] = {instrument.key: instrument for instrument in _ALL}
"""By key (`venue:symbol`)."""


def load_instruments(path: Path) -> dict[str, Instrument]:
    """Instruments by key from a JSON file with one of them or a list. Raises BadInput naming the entry and key."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadInput(path, "", f"cannot be read: {error.strerror or error}") from error
    try:
        found = msgspec.json.decode(data, type=Instrument | list[Instrument])
    except msgspec.DecodeError as error:
        raise BadInput(path, "", f"expected one instrument or a list of them: {error}") from error
    entries = found if isinstance(found, list) else [found]
    return {instrument.key: instrument for instrument in entries}
