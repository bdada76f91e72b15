"""What Bybit lets be ordered: its USDT perpetuals as instruments, and the refusal that it would give. Rounding and pairs are in `perpetual_rules`.

Sources: instruments-info and price-limit (v5). Fees and margin tiers are not in there; the assumed ones stand until the account's own were read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Final

import msgspec

from interlock.domain.instruments import Instrument, Kind, Status
from interlock.domain.orders import OrderType
from interlock.domain.price_rules import fixed_step
from interlock.market.shipped import ASSUMED_TIERS, BYBIT_FEES
from interlock.venues import perpetual_rules
from interlock.venues.bybit.replies import MaybeName, Name, Number, amount, day_of, decoded, envelope, nonsense
from interlock.venues.perpetual_rules import check_form, check_open, check_price, check_reduction, check_size
from interlock.venues.port import OrderWanted

VENUE: Final = "bybit"
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,36}", re.ASCII)
"""What an `orderLinkId` may look like."""

# Instruments


class PriceFilter(msgspec.Struct, frozen=True):
    """`priceFilter` of an instrument.

    {"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"}
    """

    minPrice: Number
    maxPrice: Number
    tickSize: Number


class LotSizeFilter(msgspec.Struct, frozen=True):
    """`lotSizeFilter` of a linear instrument: maxOrderQty is of limit orders, maxMktOrderQty of market orders.

    {"minNotionalValue":"5","maxOrderQty":"1190.000","maxMktOrderQty":"500.000","minOrderQty":"0.001","qtyStep":"0.001"}
    """

    maxOrderQty: Number
    minOrderQty: Number
    qtyStep: Number
    maxMktOrderQty: Number = ""
    minNotionalValue: Number = ""


class PreListing(msgspec.Struct, frozen=True):
    """`preListingInfo` of a contract in pre-market trading, null for others.

    {"curAuctionPhase":"ContinuousTrading"}
    """

    curAuctionPhase: MaybeName = ""


class LinearInstrument(msgspec.Struct, frozen=True):
    """One entry of `list` in instruments-info of category linear; fundingInterval in minutes.

    {"symbol":"BTCUSDT","contractType":"LinearPerpetual","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT","settleCoin":"USDT",
     "fundingInterval":480,"priceFilter":{"minPrice":"0.10","maxPrice":"1999999.80","tickSize":"0.10"},
     "lotSizeFilter":{"maxOrderQty":"1190.000","minOrderQty":"0.001","qtyStep":"0.001"}}
    """

    symbol: Name
    contractType: MaybeName
    status: MaybeName
    baseCoin: Name
    quoteCoin: Name
    settleCoin: Name
    fundingInterval: int
    priceFilter: PriceFilter
    lotSizeFilter: LotSizeFilter
    preListingInfo: PreListing | None = None


class _Rows(msgspec.Struct, frozen=True):
    rows: list[msgspec.Raw] = msgspec.field(name="list")


class _Symbol(msgspec.Struct, frozen=True):
    symbol: Name


decode_symbol: Final[Callable[[bytes], _Symbol]] = msgspec.json.Decoder(_Symbol).decode
_decode_rows = msgspec.json.Decoder(_Rows).decode
_decode_instrument = msgspec.json.Decoder(LinearInstrument).decode


def instruments(body: bytes) -> list[Instrument]:
    """The USDT perpetuals of one page of instruments-info as it came. Raises Nonsense for an error and for an entry without sense."""
    answer = envelope(body)
    if answer.code:
        raise nonsense("instruments-info", f"expected retCode 0, found {answer.code}")
    on = day_of(answer.venue_ms)
    rows = decoded(_decode_rows, answer.result, "instruments-info").rows
    return [found for row in rows if (found := instrument(bytes(row), on)) is not None]


def instrument(data: bytes, on: date) -> Instrument | None:
    """A USDT perpetual as the venue described it on a day; None for another kind of contract. Raises Nonsense."""
    entry = decoded(_decode_instrument, data, "instrument")
    if entry.contractType != "LinearPerpetual" or not entry.quoteCoin == entry.settleCoin == "USDT":
        return None
    try:
        return _instrument(entry, on)
    except (ValueError, ArithmeticError) as error:
        raise nonsense(f"instrument {entry.symbol}", error) from error


def _instrument(entry: LinearInstrument, on: date) -> Instrument:
    price, size = entry.priceFilter, entry.lotSizeFilter
    tick, step = amount(price.tickSize, "tickSize").normalize(), amount(size.qtyStep, "qtyStep").normalize()
    if tick <= 0 or step <= 0:
        raise ValueError(f"expected a positive tickSize and qtyStep, found {tick} and {step}")
    source = f"instruments-info of {on}; fees and margin tiers assumed"
    coin, multiplier = coin_of(entry.baseCoin)
    most = amount(size.maxOrderQty, "maxOrderQty")
    return Instrument(
        venue=VENUE,
        symbol=entry.symbol,
        base=coin,
        quote=entry.quoteCoin,
        settle=entry.settleCoin,
        kind=Kind.PERPETUAL,
        quantum=tick,
        lot=step,
        price_rule=fixed_step(f"{VENUE}-{entry.symbol}", tick, source),
        min_price=amount(price.minPrice, "minPrice") or tick,
        max_price=amount(price.maxPrice, "maxPrice"),
        fees=BYBIT_FEES,
        # The least is rounded up to whole lots, the most down.
        min_lots=max(1, int((amount(size.minOrderQty, "minOrderQty") / step).to_integral_value(ROUND_CEILING))),
        max_lots=int(most // step),
        max_market_lots=int(min(most, amount(size.maxMktOrderQty or size.maxOrderQty, "maxMktOrderQty")) // step),
        min_notional=amount(size.minNotionalValue or "0", "minNotionalValue"),
        multiplier=multiplier,
        funding_interval_h=-(-entry.fundingInterval // 60),
        margin_tiers=ASSUMED_TIERS,
        status=_status(entry),
        valid_from=on,
        source=source,
    )


def _status(entry: LinearInstrument) -> Status:
    auction = entry.preListingInfo is not None and entry.preListingInfo.curAuctionPhase not in ("", "ContinuousTrading", "Finished")
    return Status.TRADING if entry.status == "Trading" and not auction else Status.HALTED


# Coins

_SUFFIXED: Final[Mapping[str, tuple[str, int]]] = {"SHIB1000": ("SHIB", 1000)}


def coin_of(base: str) -> tuple[str, Decimal]:
    """The coin and how many of it one unit of the contract is: ("PEPE", 1000) for 1000PEPE."""
    if base in _SUFFIXED:
        coin, many = _SUFFIXED[base]
        return coin, Decimal(many)
    return perpetual_rules.coin_of(base, least=2)


# Orders


@dataclass(frozen=True, slots=True)
class PriceLimit:
    """What the venue says of a symbol now: no bid above `highest_bid_ticks`, no ask below `lowest_ask_ticks`; 0 where it says nothing."""

    highest_bid_ticks: int = 0
    lowest_ask_ticks: int = 0


NO_LIMIT: Final = PriceLimit()

MOST_OPEN: Final = 500
"""So many orders may be open in one symbol (documented; it is told in no list)."""


def check(
    order: OrderWanted,
    *,
    on: date,
    limit: PriceLimit = NO_LIMIT,
    position_lots: int | None = None,
    open_orders: int | None = None,
    most_open: int = MOST_OPEN,
) -> str:
    """The name of the rule that an order breaks, "" where it breaks none; what the venue would refuse is not sent.

    Names: status, client_id, cost, market_tif, min_lots, max_lots, price_range, price_step, price_limit, min_notional, max_orders where the number of
    open orders is given, and reduce_only where the position is given and the order would do more than end it. A reduce-only order has no minimum
    notional, so that a rest can be closed.
    """
    if name := check_form(order, CLIENT_ID) or check_size(order) or check_price(order, on, limit.highest_bid_ticks, limit.lowest_ask_ticks):
        return name
    small = order.type is OrderType.LIMIT and order.instrument.notional(order.ticks, order.lots) < order.instrument.min_notional
    if small and not order.reduce_only:
        return "min_notional"
    return check_reduction(order, position_lots) or check_open(order, open_orders, most_open)
