"""Tick and lot of a symbol that nothing describes, read off the decimals that its capture shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from interlock.domain.instruments import Instrument
from interlock.market.shipped import BINANCE_FEES
from interlock.market.sources import Source
from interlock.venues.binance_usdm.capture import SHAPES
from interlock.venues.binance_usdm.public import VENUE
from interlock.venues.binance_usdm.wire import AggTrade, BookTicker, DepthUpdate, Trade, decode_envelope
from interlock.venues.inferring import Decimals, inferred_perpetual


def infer(paths: Sequence[Path], symbol: str) -> Instrument:
    """An instrument with `inferred=True`: the finest price and size decimals that the streams of a symbol show.

    Reads the files once more, as far as they can be read; fees, margin tiers and limits are the assumed ones.
    """
    prices, sizes = Decimals(), Decimals()
    mark = symbol.encode()
    for number, path in enumerate(paths):
        for line in SHAPES.read(Source(path), number, SHAPES.of(path)):
            if mark not in line.body:
                continue
            try:
                message = decode_envelope(line.body).data
            except msgspec.DecodeError:
                continue  # the import itself reports what is wrong with a line
            if message.s != symbol:
                continue
            if isinstance(message, DepthUpdate):
                levels = (*message.b, *message.a)
                prices.see(price for price, _ in levels)
                sizes.see(size for _, size in levels)
            elif isinstance(message, Trade | AggTrade):
                prices.see((message.p,))
                sizes.see((message.q,))
            elif isinstance(message, BookTicker):
                prices.see((message.b,))
                sizes.see((message.B,))
    return inferred_perpetual(VENUE, symbol, prices, sizes, BINANCE_FEES)
