"""What Binance lets be ordered: its perpetuals as instruments, and the refusal that it would give. Rounding and pairs are in `perpetual_rules`.

Source: exchangeInfo. Fees and margin tiers are not in there; the assumed ones stand until the account's own were read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind, Status
from interlock.domain.orders import OrderType
from interlock.domain.price_rules import fixed_step
from interlock.market.shipped import ASSUMED_TIERS, BINANCE_FEES
from interlock.venues.binance_usdm.public import VENUE
from interlock.venues.binance_usdm.replies import amount, nonsense
from interlock.venues.binance_usdm.wire import ExchangeInfo, Filter, SymbolInfo
from interlock.venues.perpetual_rules import check_form, check_open, check_price, check_reduction, check_size, coin_of
from interlock.venues.port import Listed, OrderWanted

CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}", re.ASCII)
"""What a `newClientOrderId` may look like. The venue takes one again once the order that had it is closed, so it guards nothing."""

QUOTES: Final = ("USDT", "USDC")
"""What the perpetuals that we trade are quoted and settled in."""

_UNBOUNDED = 1 << 53

# Instruments


def instruments(info: ExchangeInfo) -> list[Instrument]:
    """The perpetuals of an exchangeInfo body, whatever they are quoted in: to be recorded. Raises Nonsense, which names the symbol."""
    return [_described(symbol, _filters(symbol), day_of(info)) for symbol in info.symbols if symbol.contractType == "PERPETUAL"]


def ours(symbol: SymbolInfo) -> bool:
    """Whether a contract is one that we trade by its kind: perpetual, quoted and settled in one of the currencies we know."""
    return symbol.contractType == "PERPETUAL" and symbol.quoteAsset in QUOTES and symbol.marginAsset == symbol.quoteAsset


def day_of(info: ExchangeInfo) -> date:
    """The day on which the venue described its contracts. Raises Nonsense."""
    try:
        return datetime.fromtimestamp(info.serverTime / 1000, UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        raise nonsense("serverTime", error) from error


def status_of(symbol: SymbolInfo) -> Status:
    """Whether a contract takes orders. Anything but TRADING does not, whatever it is."""
    return Status.TRADING if symbol.status == "TRADING" else Status.HALTED


def listing(symbol: SymbolInfo, on: date) -> Listed:
    """A contract as the venue described it on a day, to be traded. Raises Nonsense for one that cannot be.

    The venue counts ticks and steps from the least price and size: only where those are whole ticks and steps is a price that it takes one of ours.
    """
    filters = _filters(symbol)
    percent = filters.get("PERCENT_PRICE", Filter("PERCENT_PRICE"))
    found = _described(symbol, filters, on)
    least_price, least = amount(filters["PRICE_FILTER"].minPrice, "minPrice"), amount(filters["LOT_SIZE"].minQty, "minQty")
    tick = found.price_step(found.max_price, on)
    if least_price % tick or least % found.lot:
        raise nonsense(symbol.symbol, f"expected whole ticks of {tick} and steps of {found.lot}, found {least_price} and {least}")
    return Listed(
        found,
        amount(percent.multiplierUp or "0", "multiplierUp"),
        amount(percent.multiplierDown or "0", "multiplierDown"),
        filters.get("MAX_NUM_ORDERS", Filter("MAX_NUM_ORDERS")).limit,
    )


def _filters(symbol: SymbolInfo) -> Mapping[str, Filter]:
    filters = {each.filterType: each for each in symbol.filters}
    for name in ("PRICE_FILTER", "LOT_SIZE"):
        if name not in filters:
            raise nonsense(symbol.symbol, f"expected a filter {name}, found {sorted(filters)}")
    return filters


def _described(symbol: SymbolInfo, filters: Mapping[str, Filter], on: date) -> Instrument:
    try:
        return _instrument(symbol, filters["PRICE_FILTER"], filters["LOT_SIZE"], filters, on)
    except (ValueError, ArithmeticError) as error:
        raise nonsense(symbol.symbol, error) from error


def _instrument(symbol: SymbolInfo, price: Filter, lot: Filter, filters: Mapping[str, Filter], on: date) -> Instrument:
    tick, step = amount(price.tickSize, "tickSize").normalize(), amount(lot.stepSize, "stepSize").normalize()
    least_price, least = amount(price.minPrice, "minPrice"), amount(lot.minQty, "minQty")
    if tick <= 0 or step <= 0:
        raise ValueError(f"expected a positive tickSize and stepSize, found {tick} and {step}")
    # A tick that was made coarser leaves old orders on the finer prices, so the book can hold any price that can be printed.
    quantum = min(tick, Decimal(1).scaleb(-symbol.pricePrecision))
    market, notional = filters.get("MARKET_LOT_SIZE", lot), filters.get("MIN_NOTIONAL")
    most = amount(lot.maxQty, "maxQty")
    # A size that market orders may have and the instrument cannot tell is none: no market order fits then.
    alike = amount(market.stepSize, "stepSize") == step and amount(market.minQty, "minQty") == least
    source = f"exchangeInfo of {on}; fees and margin tiers assumed"
    coin, multiplier = coin_of(symbol.baseAsset, least=1)
    return Instrument(
        venue=VENUE,
        symbol=symbol.symbol,
        base=coin,
        quote=symbol.quoteAsset,
        settle=symbol.marginAsset,
        kind=Kind.PERPETUAL,
        quantum=quantum,
        lot=step,
        price_rule=fixed_step(f"{VENUE}-{symbol.symbol}", tick, source),
        min_price=least_price or tick,
        max_price=amount(price.maxPrice, "maxPrice") or quantum * _UNBOUNDED,
        fees=BINANCE_FEES,
        min_lots=max(1, int((least / step).to_integral_value(ROUND_CEILING))),
        max_lots=int(most // step),
        max_market_lots=int(min(most, amount(market.maxQty, "maxQty")) // step) if alike else 0,
        min_notional=amount(notional.notional, "notional") if notional and notional.notional else Decimal(0),
        multiplier=multiplier,
        funding_interval_h=8,
        margin_tiers=ASSUMED_TIERS,
        status=status_of(symbol),
        valid_from=on,
        source=source,
    )


# Orders


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds of a symbol now: no bid above `highest_bid_ticks`, no ask below `lowest_ask_ticks`, the mark price, how many orders may be open.

    0 stands for what is not known; the venue's own check then comes last.
    """

    highest_bid_ticks: int = 0
    lowest_ask_ticks: int = 0
    mark: Decimal = Decimal(0)
    most_open: int = 0


NO_BOUNDS: Final = Bounds()


def bounds(listed: Listed, mark: Decimal) -> Bounds:
    """The bounds at a mark price, rounded to the strict side. Raises UsageError for what is no price."""
    if not (mark.is_finite() and mark > 0):
        raise UsageError(f"mark price of {listed.instrument.symbol}: expected a positive price, found {mark}")
    quantum = listed.instrument.quantum
    return Bounds(
        int((mark * listed.bid_most / quantum).to_integral_value(ROUND_FLOOR)),
        int((mark * listed.ask_least / quantum).to_integral_value(ROUND_CEILING)),
        mark,
        listed.most_open,
    )


def check(
    order: OrderWanted, *, on: date, now: Bounds = NO_BOUNDS, position_lots: int | None = None, open_orders: int | None = None
) -> str:
    """The name of the rule that an order breaks, "" where it breaks none; what the venue would refuse is not sent.

    Names: status, client_id, cost, market_tif, min_lots, max_lots, price_range, price_step, price_limit, min_notional (a market order's by the mark
    price, and it is broken where none is known), max_orders where the number of open orders is given, and reduce_only where the position is given
    and the order would do more than end it. A reduce-only order has no minimum notional, so that a rest can be closed.
    """
    if name := check_form(order, CLIENT_ID) or check_size(order) or check_price(order, on, now.highest_bid_ticks, now.lowest_ask_ticks):
        return name
    perpetual = order.instrument
    price = perpetual.price(order.ticks) if order.type is OrderType.LIMIT else now.mark
    if not order.reduce_only and price * perpetual.quantity(order.lots) < perpetual.min_notional:
        return "min_notional"
    return check_reduction(order, position_lots) or check_open(order, open_orders, now.most_open)
