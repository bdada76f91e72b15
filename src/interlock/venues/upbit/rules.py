"""What Upbit lets be ordered: its KRW markets as instruments, rounding toward less risk, and the refusal that it would give.

Sources: the venue's pages on KRW markets (price units in force since 2025-07-31, least and most of an order) and GET /v1/orderbook/instruments, which
goes before the table. Fees are not in there; the documented ones stand until the account's own were read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument, Kind, Status
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.domain.price_rules import UPBIT_KRW, PriceBand, PriceRule, PriceTable
from interlock.market.shipped import upbit_krw
from interlock.venues.port import OrderWanted
from interlock.venues.upbit.replies import times

VENUE: Final = "upbit"
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""What an `identifier` of ours looks like: the venue takes 64 characters and does not say which."""

MAX_TOTAL_KRW: Final = Decimal(1_000_000_000)
"""No order of a KRW market is worth more."""

# Instruments

_LOT = Decimal("0.00000001")
_HIGHEST = Decimal(10_000_000_000)
_REACH = 1000
_BORDER = Decimal("0.01")
"""So near to the border of two bands, as a share of the price, the unit that is told may be that of either: unit and price are read one after the
other, and by which price the venue goes it does not say."""
_MARKET = re.compile(r"KRW-[A-Z0-9]{1,20}", re.ASCII)


def is_ours(market: str) -> bool:
    """Whether a market is one of won, the kind that is traded here."""
    return _MARKET.fullmatch(market) is not None


def instrument(
    market: str,
    tick: Decimal,
    price: Decimal,
    *,
    on: date,
    known: Instrument | None = None,
    units: PriceRule = UPBIT_KRW,
    status: Status = Status.TRADING,
) -> Instrument:
    """A KRW market whose price unit at `price` is `tick`, as the venue says on a day. Raises ValueError for what it cannot be.

    `units` is the table as it was known so far; it holds, with `tick` in the band of `price` where the two differ. `known` keeps its quantum and
    price range, for what is written in ticks must not change its meaning; a new one reaches from a thousandth of the band of `price` to a thousand
    times its top.
    """
    if not is_ours(market):
        raise ValueError(f"expected a market such as KRW-BTC, found {market[:40]!r}")
    if not (tick.is_finite() and 0 < tick <= 1_000_000 and price.is_finite() and 0 < price < _HIGHEST):
        raise ValueError(f"{market}: expected a positive tick_size and price, found {tick} and {price}")
    rule = _rule(market, tick, price, on, units)
    quantum, low, high = (known.quantum, known.min_price, known.max_price) if known else _range(rule, price, on)
    made = upbit_krw(market.partition("-")[2], quantum=f"{quantum:f}", price_range=(f"{low:f}", f"{high:f}"))
    return msgspec.structs.replace(made, price_rule=rule, status=status, source="instruments endpoint; fees and minimum as documented")


def _rule(market: str, tick: Decimal, price: Decimal, on: date, units: PriceRule) -> PriceRule:
    if tick in (units.step(price * near, on) for near in (1, 1 - _BORDER, 1 + _BORDER)):
        return units
    at = _band(units, price, on)
    bands = tuple(PriceBand(band.from_price, tick if i == at else band.step) for i, band in enumerate(units.bands(on)))
    if bands == UPBIT_KRW.bands(on):
        return UPBIT_KRW
    table = PriceTable(valid_from=UPBIT_KRW.tables[-1].valid_from, bands=bands)
    return PriceRule(name=f"upbit-{market}", source="instruments endpoint, which differs from the documented price units", tables=(table,))


def _band(rule: PriceRule, price: Decimal, on: date) -> int:
    return max(i for i, band in enumerate(rule.bands(on)) if band.from_price <= price)


def _range(rule: PriceRule, price: Decimal, on: date) -> tuple[Decimal, Decimal, Decimal]:
    bands = rule.bands(on)
    at = _band(rule, price, on)
    top = bands[at + 1].from_price * _REACH if at + 1 < len(bands) else _HIGHEST
    low = max(bands[at].from_price / _REACH, bands[0].step)
    quantum = min(band.step for band in bands[_band(rule, low, on) :])
    return quantum, max(low, quantum), top


# Coins and pairs

_PREFIXED = re.compile(r"(1000|10000|100000|1000000)([A-Z][A-Z0-9]+)", re.ASCII)
_SUFFIXED: Final[Mapping[str, tuple[str, int]]] = {"SHIB1000": ("SHIB", 1000)}


@dataclass(frozen=True, slots=True)
class Partner:
    """A perpetual of the coin of a market; `multiplier` coins are in one unit of its size."""

    perpetual: Instrument
    multiplier: Decimal


def coin_of(base: str, multiplier: Decimal = Decimal(1)) -> tuple[str, Decimal]:
    """The coin of a perpetual's base and how many of it one unit is: ("PEPE", 1000) for 1000PEPE, named so or by its multiplier."""
    if multiplier != 1:
        return base, multiplier
    if base in _SUFFIXED:
        coin, many = _SUFFIXED[base]
        return coin, Decimal(many)
    match = _PREFIXED.fullmatch(base)
    return (match[2], Decimal(match[1])) if match else (base, Decimal(1))


def partner(market: str, perpetuals: Mapping[str, Instrument]) -> Partner | None:
    """The USDT perpetual of the coin of a KRW market (KRW-PEPE and 1000PEPEUSDT), None where there is none.

    That two venues use one name does not prove that it is one coin: a person says so before a pair is traded. Raises UsageError for what is no KRW
    market, and where two would do.
    """
    if not is_ours(market):
        raise UsageError(f"{market}: expected a KRW market of Upbit, such as KRW-BTC")
    coin = market.partition("-")[2]
    found = []
    for each in perpetuals.values():
        if each.kind is Kind.PERPETUAL and each.quote == "USDT":
            base, multiplier = coin_of(each.base, each.multiplier)
            if base == coin:
                found.append(Partner(each, multiplier))
    if len(found) > 1:
        raise UsageError(
            f"{market}: expected one perpetual of {coin}, found {', '.join(each.perpetual.symbol for each in found)}; name one"
        )
    return found[0] if found else None


def market_of(perpetual: Instrument) -> str:
    """The KRW market of a perpetual's coin, whether or not Upbit has it."""
    return f"KRW-{coin_of(perpetual.base, perpetual.multiplier)[0]}"


# Orders


def round_price(market: Instrument, price: Decimal, side: Side, on: date) -> int:
    """Ticks of the next price that is a multiple of its band's unit, toward less risk: a bid down, an ask up. 0 where a bid has none."""
    return market.round_price(price, side, on)


def round_lots(market: Instrument, quantity: Decimal, *, reducing: tuple[Side, int] | None = None) -> int:
    """Lots of a size, down. `reducing`: (the order's side, lots held and not in other sells): never above them, 0 for a buy, which always adds."""
    found = max(0, market.floor_lots(quantity))
    if reducing is None:
        return found
    side, held = reducing
    return min(found, max(0, held)) if side is Side.SELL else 0


def round_cost(cost: Decimal) -> Decimal:
    """The cost of a market buy, down to whole won."""
    return cost // 1 if cost > 0 else Decimal(0)


def check(order: OrderWanted, *, on: date, best_bid: Decimal = Decimal(0), held_lots: int | None = None) -> str:
    """The name of the rule that an order breaks, "" where it breaks none; what the venue would refuse is not sent.

    Names: market, status, client_id, reduce_only, tif, cost, min_lots, max_lots, price_range, price_step, min_total, max_total, and held where
    more is sold than `held_lots`. Nothing is exempt from the least of 5,000 KRW, so a rest below it cannot be sold. What a market sale is worth
    is known only with `best_bid`, in KRW.
    """
    return _check_form(order) or _check_size(order, held_lots) or _check_price(order, on) or _check_total(order, best_bid)


def _check_form(order: OrderWanted) -> str:
    market = order.instrument
    if market.venue != VENUE or market.quote != "KRW" or not is_ours(market.symbol):
        return "market"
    if market.status is not Status.TRADING:
        return "status"
    if CLIENT_ID.fullmatch(order.client_id) is None:
        return "client_id"
    if order.reduce_only and order.side is Side.BUY:
        return "reduce_only"  # what is bought at a spot venue adds
    return "tif" if order.type is OrderType.MARKET and order.tif is not TimeInForce.IOC else ""


def _check_size(order: OrderWanted, held_lots: int | None) -> str:
    by_cost = order.type is OrderType.MARKET and order.side is Side.BUY
    if by_cost != (order.cost is not None):
        return "cost"
    if by_cost:
        return "max_lots" if order.lots else ""
    market = order.instrument
    if order.lots < market.min_lots:
        return "min_lots"
    if order.lots > (market.max_market_lots if order.type is OrderType.MARKET else market.max_lots):
        return "max_lots"
    return "held" if order.side is Side.SELL and held_lots is not None and order.lots > held_lots else ""


def _check_price(order: OrderWanted, on: date) -> str:
    market = order.instrument
    if order.type is OrderType.MARKET:
        return "price_range" if order.ticks else ""
    price = market.price(order.ticks)
    if not market.min_price <= price <= market.max_price:
        return "price_range"
    return "price_step" if price % market.price_step(price, on) else ""


def _check_total(order: OrderWanted, best_bid: Decimal) -> str:
    if order.cost is not None:
        total = order.cost
        if not total.is_finite() or total != total.to_integral_value():
            return "cost"
    else:
        price = order.instrument.price(order.ticks) if order.ticks else best_bid
        if not price:
            return ""
        total = times(price, order.instrument.quantity(order.lots))
    if total < order.instrument.min_notional:
        return "min_total"
    return "max_total" if total > MAX_TOTAL_KRW else ""
