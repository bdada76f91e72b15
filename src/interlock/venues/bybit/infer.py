"""Tick and lot of a symbol that nothing describes, read off the decimals that its recording shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from interlock.domain.instruments import Instrument
from interlock.market.shipped import BYBIT_FEES
from interlock.market.sources import Source
from interlock.venues.bybit.capture import SHAPES
from interlock.venues.bybit.rules import VENUE
from interlock.venues.bybit.wire import decode_orderbook, decode_trades
from interlock.venues.inferring import Decimals, inferred_perpetual


def infer(paths: Sequence[Path], symbol: str) -> Instrument:
    """An instrument with `inferred=True`: the finest price and size decimals that the books and trades of a symbol show.

    Reads the files once more, as far as they can be read; fees, margin tiers and limits are the assumed ones.
    """
    prices, sizes = Decimals(), Decimals()
    mark = f'.{symbol}"'.encode()
    for number, path in enumerate(paths):
        for line in SHAPES.read(Source(path), number, SHAPES.of(path)):
            if mark not in line.body:
                continue
            try:
                if b'"orderbook.' in line.body:
                    data = decode_orderbook(line.body).data
                    levels = (*data.b, *data.a)
                else:
                    levels = tuple((trade.p, trade.v) for trade in decode_trades(line.body).data)
            except (msgspec.DecodeError, RecursionError):
                continue  # another stream; or the import itself reports what is wrong with the line
            prices.see(price for price, _ in levels)
            sizes.see(size for _, size in levels)
    return inferred_perpetual(VENUE, symbol, prices, sizes, BYBIT_FEES)
