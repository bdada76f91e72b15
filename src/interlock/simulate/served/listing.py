"""What the simulators list: the instruments of each venue, the accounts they open with and the rules that differ."""

from __future__ import annotations

from decimal import Decimal

from interlock.domain.instruments import Instrument
from interlock.market.shipped import BINANCE_FEES, BYBIT_FEES, SHIPPED, perpetual, upbit_krw
from interlock.simulate.served.venue import VenueRules

_SOURCE = "listed by the simulator"


def _more_perpetuals(venue: str) -> tuple[Instrument, ...]:
    """Symbols that are not shipped as instruments: what they are like is made up, within what such symbols are like."""
    fees = BINANCE_FEES if venue == "binance_usdm" else BYBIT_FEES
    rows = (
        ("ETH", "0.01", "0.01", "20"),
        ("XRP", "0.0001", "0.1", "5"),
        ("SOL", "0.01", "0.1", "5"),
        ("DOGE", "0.00001", "1", "5"),
        ("ADA", "0.0001", "1", "5"),
    )
    return tuple(
        perpetual(
            venue,
            base,
            tick=tick,
            lot=lot,
            min_notional=least,
            price_range=(tick, "1000000"),
            max_qty="10000000",
            max_market_qty="1000000",
            fees=fees,
            source=_SOURCE,
        )
        for base, tick, lot, least in rows
        if f"{venue}:{base}USDT" not in SHIPPED
    )


def instruments_of(venue: str) -> tuple[Instrument, ...]:
    """What a simulated venue lists, the shipped instruments first."""
    shipped = tuple(i for i in SHIPPED.values() if i.venue == venue)
    if venue == "upbit":
        more = (("SOL", "1", ("100", "100000000")), ("DOGE", "0.1", ("10", "100000")), ("ADA", "0.1", ("10", "100000")))
        return (*shipped, *(upbit_krw(base, quantum=quantum, price_range=span) for base, quantum, span in more))
    return (*shipped, *_more_perpetuals(venue))


OPENING = {
    "upbit": {"KRW": Decimal(1_000_000_000), "BTC": Decimal(10), "USDT": Decimal(100_000), "ETH": Decimal(100), "XRP": Decimal(100_000)},
    "binance_usdm": {"USDT": Decimal(1_000_000), "BTC": Decimal(1), "BNB": Decimal(10)},
    "bybit": {"USDT": Decimal(1_000_000), "BTC": Decimal(1)},
}
"""What each account holds when nothing else is said."""

RULES = {
    "upbit": VenueRules(
        name="upbit",
        post_only_refused=False,
        fok_refused=False,
        open_max=100_000,
        band=Decimal(0),
        max_value=Decimal(1_000_000_000),
        reduce_only_exempt=False,
    ),
    "binance_usdm": VenueRules(
        name="binance_usdm",
        post_only_refused=True,
        fok_refused=True,
        open_max=200,
        band=Decimal("0.05"),
        client_ids_again=True,
        position_max=Decimal(5_000_000),
        market_band=True,
    ),
    "bybit": VenueRules(
        name="bybit", post_only_refused=False, fok_refused=False, open_max=500, band=Decimal("0.05"), only_post_only=True, adl_cancels=True
    ),
}
"""open_max: Binance's MAX_NUM_ORDERS, Bybit's active orders of a symbol (110020); Upbit documents none. adl_cancels: Bybit has a reason for it
(CancelAllBeforeAdl), Binance names none. position_max: Binance tells one for each leverage (`maxNotionalValue`); here it is the same for all."""
