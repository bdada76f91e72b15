"""An order as a client asks for it: its parameters read and checked in the venue's words, before the core takes it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.words import Wrong, decimals, price_precision
from interlock.simulate.served.orders import NewOrder, SelfMatch
from interlock.simulate.served.venue import SimVenue

CONDITIONAL: Final = frozenset(("STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"))
_TIFS: Final = {
    "GTC": TimeInForce.GTC,
    "IOC": TimeInForce.IOC,
    "FOK": TimeInForce.FOK,
    "GTX": TimeInForce.POST_ONLY,
    "GTD": TimeInForce.GTC,
}
_STP: Final = {
    "NONE": SelfMatch.NONE,
    "EXPIRE_TAKER": SelfMatch.CANCEL_TAKER,
    "EXPIRE_MAKER": SelfMatch.CANCEL_MAKER,
    "EXPIRE_BOTH": SelfMatch.CANCEL_BOTH,
}
_MATCHES: Final = {
    f"{name}{suffix}": (name, depth) for name in ("OPPONENT", "QUEUE") for suffix, depth in (("", 1), ("_5", 5), ("_10", 10), ("_20", 20))
}
_CLIENT_ID: Final = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_GTD_MIN_MS: Final = 600_000
_GTD_MAX_MS: Final = 253_402_300_799_000


def instrument_of(venue: SimVenue, symbol: str) -> Instrument:
    """The instrument of a symbol. Raises Wrong."""
    market = venue.markets.get(symbol)
    if market is None:
        raise Wrong(-1121)
    return market.instrument


def side_of(params: Params) -> Side:
    """The side."""
    return Side.BUY if params.choice("side", ("BUY", "SELL"), -1117) == "BUY" else Side.SELL


def one_way(params: Params) -> None:
    """Refuse a position side of hedge mode, in which the account never is."""
    if params.choice("positionSide", ("BOTH", "LONG", "SHORT"), -1130, "BOTH") != "BOTH":
        raise Wrong(-4061)


def client_id_of(params: Params, name: str, venue: SimVenue) -> str:
    """The client id; one is made up where there is none."""
    found = params.maybe(name)
    if not found:
        return f"sim{venue.history.taken + 1:019d}"
    if len(found) > 36:
        raise Wrong(-4015)
    if not _CLIENT_ID.fullmatch(found):
        raise Wrong(-1100, name, "^[\\.A-Z\\:/a-z0-9_-]{1,36}$")
    return found


def price_of(params: Params, instrument: Instrument, name: str = "price") -> Decimal:
    """A price with no more decimals than are printed."""
    price = params.decimal(name)
    if price <= 0:
        raise Wrong(-4001)
    if decimals(price) > price_precision(instrument):
        raise Wrong(-1111)
    return price


def size_of(params: Params, instrument: Instrument) -> Decimal:
    """A size with no more decimals than are printed."""
    quantity = params.decimal("quantity")
    if quantity <= 0:
        raise Wrong(-4003)
    if decimals(quantity) > decimals(instrument.lot):
        raise Wrong(-1111)
    return quantity


def new_order(params: Params, venue: SimVenue, kind: str) -> NewOrder:
    """The order that a client asks for, as LIMIT or MARKET. Raises Wrong."""
    instrument = instrument_of(venue, params.text("symbol"))
    side = side_of(params)
    one_way(params)
    market = kind == "MARKET"
    stp = params.choice("selfTradePreventionMode", _STP, -5039, "EXPIRE_MAKER")
    words = {"stp": stp}
    price: Decimal | None = None
    tif_word = "GTC"
    if market:
        for name in ("price", "timeInForce"):
            if name in params:
                raise Wrong(-1106, name)
    else:
        tif_word = params.choice("timeInForce", _TIFS, -1115)
        words |= _good_till(params, tif_word, venue.now_ms())
    quantity = size_of(params, instrument)
    if "priceMatch" in params and params.text("priceMatch") != "NONE":
        words["priceMatch"] = params.choice("priceMatch", _MATCHES, -5037)
        price = _matched(params, venue, instrument, side, market)
    elif not market:
        price = price_of(params, instrument)
    return NewOrder(
        symbol=instrument.symbol,
        side=side,
        type=OrderType.MARKET if market else OrderType.LIMIT,
        tif=TimeInForce.IOC if market else _TIFS[tif_word],
        price=price,
        quantity=quantity,
        client_id=client_id_of(params, "newClientOrderId", venue),
        reduce_only=params.flag("reduceOnly"),
        self_match=SelfMatch.NONE if tif_word in ("FOK", "GTX") else _STP[stp],
        words=words | {"timeInForce": tif_word},
    )


def _good_till(params: Params, tif: str, now_ms: int) -> dict[str, str]:
    if tif != "GTD":
        return {}
    until = params.whole("goodTillDate")
    if not now_ms + _GTD_MIN_MS < until < _GTD_MAX_MS:
        raise Wrong(-5040)
    # Taken in whole seconds, as the venue says.
    return {"goodTillDate": str(until // 1000 * 1000)}


def _matched(params: Params, venue: SimVenue, instrument: Instrument, side: Side, market: bool) -> Decimal:
    """The price that a price match stands for: the n-th level of the other side, or of the own."""
    if market:
        raise Wrong(-5038)
    if "price" in params:
        raise Wrong(-1106, "price")
    name, depth = _MATCHES[params.text("priceMatch")]
    bids, asks = venue.levels(instrument.symbol, depth)
    levels = asks if (side is Side.BUY) == (name == "OPPONENT") else bids
    if len(levels) < depth:
        raise Wrong(-5041)
    return instrument.price(levels[depth - 1][0])


def check_amended(venue: SimVenue, instrument: Instrument, side: Side, price: Decimal, quantity: Decimal, reduce_only: bool) -> None:
    """What the venue checks of an amended order beside its steps: the band around the mark and the least value. Raises Wrong."""
    mark, band = venue.markets[instrument.symbol].mark, venue.rules.band
    if side is Side.BUY and price > mark * (1 + band):
        raise Wrong(-4016, mark * (1 + band))
    if side is Side.SELL and price < mark * (1 - band):
        raise Wrong(-4024, mark * (1 - band))
    if price * quantity < instrument.min_notional and not reduce_only:
        raise Wrong(-4164, instrument.min_notional)
