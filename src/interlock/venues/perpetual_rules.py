"""What the venues of perpetuals let be ordered, as far as it is the same at all of them: coins and pairs, rounding toward less risk, and the checks
before an order is sent. What differs is in each venue's `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Final

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind, Status
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.venues.port import OrderWanted

# Coins and pairs

_PREFIXED: Final = re.compile(r"(1000|10000|100000|1000000)([A-Z][A-Z0-9]*)", re.ASCII)


def coin_of(base: str, *, least: int) -> tuple[str, Decimal]:
    """The coin and how many of it one unit of the contract is: ("PEPE", 1000) for 1000PEPE. A coin's name has at least so many characters."""
    match = _PREFIXED.fullmatch(base)
    return (match[2], Decimal(match[1])) if match and len(match[2]) >= least else (base, Decimal(1))


def partner(market: str, known: Mapping[str, Instrument]) -> Instrument | None:
    """The USDT perpetual of the coin of an Upbit market (`KRW-PEPE` and 1000PEPEUSDT), None where there is none.

    That two venues use one name does not prove that it is one coin: a person says so before a pair is traded. Raises UsageError for what is no
    KRW market, and where two instruments would do.
    """
    currency, _, coin = market.partition("-")
    if currency != "KRW" or not coin:
        raise UsageError(f"{market}: expected a KRW market of Upbit, such as KRW-BTC")
    found = [each for each in known.values() if each.base == coin and each.quote == "USDT" and each.kind is Kind.PERPETUAL]
    if len(found) > 1:
        raise UsageError(
            f"{market}: expected one perpetual of {coin}, found {', '.join(each.symbol for each in found)}; name the one you mean"
        )
    return found[0] if found else None


def market_of(perpetual: Instrument) -> str:
    """The Upbit KRW market of a perpetual's coin, whether or not Upbit has it."""
    return f"KRW-{perpetual.base}"


# Rounding


def round_price(perpetual: Instrument, price: Decimal, side: Side, on: date) -> int:
    """Ticks of the next allowed price toward less risk: a bid down, an ask up. One outside the price range is not moved into it."""
    return perpetual.round_price(price, side, on)


def round_lots(perpetual: Instrument, quantity: Decimal, *, reducing: tuple[Side, int] | None = None) -> int:
    """Lots of a size, down. `reducing`: (the order's side, signed lots of the position): never above it, 0 where it would add."""
    lots = max(0, perpetual.floor_lots(quantity))
    if reducing is None:
        return lots
    side, position = reducing
    return min(lots, max(0, -side * position))


# Checks: each gives the name of the rule that an order breaks, "" where it breaks none


def check_form(order: OrderWanted, client_id: re.Pattern[str]) -> str:
    """status, client_id, cost (there is no market order by value), market_tif."""
    if order.instrument.status is not Status.TRADING:
        return "status"
    if client_id.fullmatch(order.client_id) is None:
        return "client_id"
    if order.cost is not None:
        return "cost"
    return "market_tif" if order.type is OrderType.MARKET and order.tif is not TimeInForce.IOC else ""


def check_size(order: OrderWanted) -> str:
    """min_lots, max_lots."""
    most = order.instrument.max_market_lots if order.type is OrderType.MARKET else order.instrument.max_lots
    if order.lots < order.instrument.min_lots:
        return "min_lots"
    return "max_lots" if order.lots > most else ""


def check_price(order: OrderWanted, on: date, highest_bid_ticks: int, lowest_ask_ticks: int) -> str:
    """price_range, price_step, and price_limit beyond the highest bid or the lowest ask that the venue takes now, 0 where it sets none."""
    perpetual = order.instrument
    if order.type is OrderType.MARKET:
        return "price_range" if order.ticks else ""
    price = perpetual.price(order.ticks)
    if not perpetual.min_price <= price <= perpetual.max_price:
        return "price_range"
    if price % perpetual.price_step(price, on):
        return "price_step"
    if order.side is Side.BUY and 0 < highest_bid_ticks < order.ticks:
        return "price_limit"
    return "price_limit" if order.side is Side.SELL and order.ticks < lowest_ask_ticks else ""


def check_reduction(order: OrderWanted, position_lots: int | None) -> str:
    """reduce_only, where the position (signed lots) is known and a reduce-only order would do more than end it."""
    adds = order.reduce_only and position_lots is not None and order.lots > max(0, -order.side * position_lots)
    return "reduce_only" if adds else ""


def check_open(order: OrderWanted, open_orders: int | None, most_open: int) -> str:
    """max_orders, where it is known how many orders are open in the symbol and the venue sets a bound (0: none) that one more would break."""
    full = open_orders is not None and 0 < most_open <= open_orders
    return "max_orders" if full and order.type is OrderType.LIMIT else ""
