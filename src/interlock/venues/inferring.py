"""An instrument that nothing describes, read off the decimals that a recording shows."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from interlock.domain.instruments import Fees, Instrument, Kind
from interlock.domain.price_rules import fixed_step
from interlock.market.shipped import ASSUMED_TIERS

_QUOTES = ("USDT", "USDC", "BUSD")
_SOURCE = "inferred from the decimals in a capture"


class Decimals:
    """The most digits after the point that were seen, trailing zeros of the fraction left out."""

    def __init__(self) -> None:
        self.most = 0

    def see(self, texts: Iterable[str]) -> None:
        """Look at plain decimal numbers."""
        for text in texts:
            self.most = max(self.most, len(text.partition(".")[2].rstrip("0")))

    def unit(self) -> Decimal:
        """The largest power of ten that every number seen is a multiple of, at most 1."""
        return Decimal(1).scaleb(-self.most)


def inferred_perpetual(venue: str, symbol: str, prices: Decimals, sizes: Decimals, fees: Fees) -> Instrument:
    """A linear perpetual with `inferred=True`: tick and lot from the decimals seen; margin tiers and limits are the assumed ones."""
    base, quote = _split(symbol)
    tick = prices.unit()
    return Instrument(
        venue=venue,
        symbol=symbol,
        base=base,
        quote=quote,
        settle=quote,
        kind=Kind.PERPETUAL,
        quantum=tick,
        lot=sizes.unit(),
        price_rule=fixed_step(f"{venue}-{symbol}", tick, _SOURCE),
        min_price=tick,
        max_price=tick * 10**12,
        fees=fees,
        funding_interval_h=8,
        margin_tiers=ASSUMED_TIERS,
        source=_SOURCE,
        inferred=True,
    )


def _split(symbol: str) -> tuple[str, str]:
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"
