"""What differs from venue to venue, so far as a client's safety depends on it: closed, by name."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import UsageError
from interlock.venues.budget import Limit
from interlock.venues.fake.budget import ORDERS, REQUESTS
from interlock.venues.fake.wire import TRADING, IndexPrice, InstrumentInfo

_DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument and the best bid and ask that it begins with."""

    info: InstrumentInfo
    bid_ticks: int
    ask_ticks: int


@dataclass(frozen=True, slots=True)
class Flavour:
    """How a venue behaves when it does not lie.

    `expires`: requests are held against their signature time and window. `receipt_only`: an answer says that a request arrived, the stream
    says the rest. `unique_nonce`: a nonce is good once. `keeps_unfilled_ns`: how long history shows orders that ended without a fill.
    `indices`: what a unit of a currency is worth in USD at first.
    """

    name: str
    expires: bool
    receipt_only: bool
    unique_nonce: bool
    dead_man: bool
    spot: bool
    keeps_unfilled_ns: int
    listings: tuple[Listing, ...]
    balances: tuple[tuple[str, str], ...]
    indices: tuple[IndexPrice, ...]
    maker_fee: str
    taker_fee: str
    cancel_all_max: int
    batch_max: int = 20
    page_max: int = 200
    open_max: int = 5_000
    requests: Limit = REQUESTS
    orders: Limit = ORDERS
    ban_after: int = 20


_TIERS = (
    ("2000000", "0.01", "0.005"),
    ("10000000", "0.02", "0.01"),
    ("50000000", "0.05", "0.025"),
    ("200000000", "0.1", "0.05"),
)
_DOLLARS = (IndexPrice(currency="USDT", bid="0.9999", ask="1.0001"),)


def _listing(
    symbol: str, base: str, quote: str, tick: str, lot: str, minimum: str, bid_ticks: int, tiers: tuple[tuple[str, str, str], ...] = _TIERS
) -> Listing:
    info = InstrumentInfo(
        symbol=symbol,
        base=base,
        quote=quote,
        tick=tick,
        lot=lot,
        min_lots=1,
        min_notional=minimum,
        status=TRADING,
        kind="perpetual" if tiers else "spot",
        tiers=tiers,
    )
    return Listing(info, bid_ticks, bid_ticks + 1)


_PERPETUALS = (
    _listing("BTCUSDT", "BTC", "USDT", "0.1", "0.001", "5", 500_000),
    _listing("ETHUSDT", "ETH", "USDT", "0.01", "0.01", "5", 250_000),
)

FLAVOURS = (
    Flavour(
        name="bybit",
        expires=True,
        receipt_only=True,
        unique_nonce=False,
        dead_man=False,
        spot=False,
        keeps_unfilled_ns=_DAY_NS,
        listings=_PERPETUALS,
        balances=(("USDT", "10000"),),
        indices=_DOLLARS,
        maker_fee="0.0002",
        taker_fee="0.00055",
        cancel_all_max=500,
    ),
    Flavour(
        name="binance_usdm",
        expires=True,
        receipt_only=False,
        unique_nonce=False,
        dead_man=True,
        spot=False,
        keeps_unfilled_ns=3 * _DAY_NS,
        listings=_PERPETUALS,
        balances=(("USDT", "10000"),),
        indices=_DOLLARS,
        maker_fee="0.0002",
        taker_fee="0.0005",
        cancel_all_max=5_000,
    ),
    Flavour(
        name="upbit",
        expires=False,
        receipt_only=False,
        unique_nonce=True,
        dead_man=False,
        spot=True,
        keeps_unfilled_ns=7 * _DAY_NS,
        listings=(_listing("KRW-BTC", "BTC", "KRW", "1000", "0.00000001", "5000", 69_000, tiers=()),),
        balances=(("BTC", "0"), ("KRW", "15000000")),
        indices=(IndexPrice(currency="KRW", bid="0.0007199", ask="0.0007201"),),
        maker_fee="0.0005",
        taker_fee="0.0005",
        cancel_all_max=300,
    ),
)


def flavour(name: str) -> Flavour:
    """The flavour of that exact name. Raises UsageError when there is none."""
    for known in FLAVOURS:
        if known.name == name:
            return known
    raise UsageError(f"fake venue: expected one of {', '.join(f.name for f in FLAVOURS)}, found {name!r}")
