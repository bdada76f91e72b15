"""Tick and lot of a symbol that nothing describes, read off the decimals that its capture shows."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import msgspec

from interlock.domain.instruments import Instrument, Kind
from interlock.domain.price_rules import fixed_step
from interlock.market.shipped import ASSUMED_TIERS, BINANCE_FEES
from interlock.market.sources import Source
from interlock.venues.binance_usdm.capture import read_lines, shape_of
from interlock.venues.binance_usdm.public import VENUE
from interlock.venues.binance_usdm.wire import AggTrade, BookTicker, DepthUpdate, Trade, decode_envelope

_QUOTES = ("USDT", "USDC", "BUSD")
_SOURCE = "inferred from the decimals in a capture"


def infer(paths: Sequence[Path], symbol: str) -> Instrument:
    """An instrument with `inferred=True`: the finest price and size decimals that the streams of a symbol show.

    Reads the files once more, as far as they can be read; fees, margin tiers and limits are the assumed ones.
    """
    prices, sizes = _Decimals(), _Decimals()
    mark = symbol.encode()
    for number, path in enumerate(paths):
        for line in read_lines(Source(path), number, shape_of(path)):
            if mark not in line.body:
                continue
            try:
                message = decode_envelope(line.body).data
            except msgspec.DecodeError:
                continue  # the import itself reports what is wrong with a line
            if message.s != symbol:
                continue
            if isinstance(message, DepthUpdate):
                for price, size in (*message.b, *message.a):
                    prices.see(price)
                    sizes.see(size)
            elif isinstance(message, Trade | AggTrade):
                prices.see(message.p)
                sizes.see(message.q)
            elif isinstance(message, BookTicker):
                prices.see(message.b)
                sizes.see(message.B)
    base, quote = _split(symbol)
    tick = prices.unit()
    return Instrument(
        venue=VENUE,
        symbol=symbol,
        base=base,
        quote=quote,
        settle=quote,
        kind=Kind.PERPETUAL,
        quantum=tick,
        lot=sizes.unit(),
        price_rule=fixed_step(f"{VENUE}-{symbol}", tick, _SOURCE),
        min_price=tick,
        max_price=tick * 10**12,
        fees=BINANCE_FEES,
        funding_interval_h=8,
        margin_tiers=ASSUMED_TIERS,
        source=_SOURCE,
        inferred=True,
    )


class _Decimals:
    """The most digits after the point that were seen, trailing zeros of the fraction left out."""

    def __init__(self) -> None:
        self.most = 0

    def see(self, text: str) -> None:
        self.most = max(self.most, len(text.partition(".")[2].rstrip("0")))

    def unit(self) -> Decimal:
        return Decimal(1).scaleb(-self.most)


def _split(symbol: str) -> tuple[str, str]:
    for quote in _QUOTES:
        if symbol.endswith(quote) and symbol != quote:
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"
