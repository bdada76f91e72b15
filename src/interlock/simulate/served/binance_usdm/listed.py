"""A symbol as exchangeInfo lists it, with the filters that the venue really checks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.simulate.served.binance_usdm.words import decimals, plain, price_precision, price_text, size_text
from interlock.simulate.served.venue import VenueRules

FOREVER_MS: Final = 4_133_404_800_000
ONBOARD_MS: Final = 1_569_398_400_000
ORDER_TYPES: Final = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET")


def listed(instrument: Instrument, trading: bool, rules: VenueRules) -> dict[str, Any]:
    """One entry of `symbols`. The precisions say how numbers are printed; steps are in the filters."""
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": FOREVER_MS,
        "onboardDate": ONBOARD_MS,
        "status": "TRADING" if trading else "PENDING_TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.settle,
        "pricePrecision": price_precision(instrument),
        "quantityPrecision": decimals(instrument.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": plain(rules.band),
        "maxMoveOrderLimit": 10_000,
        "filters": _filters(instrument, rules),
        "orderTypes": list(ORDER_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(instrument: Instrument, rules: VenueRules) -> list[dict[str, Any]]:
    least = size_text(instrument, instrument.quantity(instrument.min_lots))
    step = size_text(instrument, instrument.lot)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": price_text(instrument, instrument.min_price),
            "maxPrice": plain(instrument.max_price),
            "tickSize": price_text(instrument, instrument.quantum),
        },
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": plain(instrument.quantity(instrument.max_lots)), "stepSize": step},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": least,
            "maxQty": plain(instrument.quantity(instrument.max_market_lots)),
            "stepSize": step,
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": rules.open_max},
        {"filterType": "MIN_NOTIONAL", "notional": plain(instrument.min_notional)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": f"{Decimal(1) + rules.band:.4f}",
            "multiplierDown": f"{Decimal(1) - rules.band:.4f}",
            "multiplierDecimal": "4",
        },
    ]
