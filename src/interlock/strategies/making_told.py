"""Why a quote of the making strategy stood where it did: the parts of its decision, by the functions that the kernel itself calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from interlock.market.compiled import compiled
from interlock.strategies.making import (
    IMBALANCE_LEVELS,
    LEVELS,
    STEP_BPS,
    VARIANCE,
    imbalance,
    micro_price,
    quote_ticks,
    quoting,
)


@dataclass(frozen=True, slots=True)
class QuoteParts:
    """The parts of one quote. Prices in ticks, not rounded but for `ticks`; `imbalance` and `lean` from -1 to 1; `level` from 0, the nearest."""

    level: int
    fair_ticks: float
    mid_ticks: float
    micro_price_ticks: float
    imbalance: float
    volatility_bps: float
    half_spread_bps: float
    lean: float
    centre_ticks: float
    distance_bps: float
    ticks: int


@compiled()
def _parts(books: Any, depth: Any, params: Any, state: Any, side: int, level: int) -> tuple[float, ...]:
    book = books[0]
    fair, volatility_bps, half_bps, lean, centre = quoting(book, depth, params, state[VARIANCE])
    distance = (half_bps + level * params[STEP_BPS]) * 1e-4 * fair
    ticks = float(quote_ticks(side, centre, distance, book))
    leans = imbalance(book, depth, int(params[IMBALANCE_LEVELS]))
    mid = 0.5 * (book.bid_ticks + book.ask_ticks)
    return fair, mid, micro_price(book), leans, volatility_bps, half_bps, lean, centre, ticks


def quote_parts(books: np.ndarray, depth: np.ndarray, params: np.ndarray, state: np.ndarray, tag: int) -> QuoteParts | None:
    """The parts of the quote with this tag, from what the kernel had; None for a tag that no quote has."""
    side, level = (1 if tag > 0 else -1), abs(tag) - 1
    if not 0 <= level < int(params[LEVELS]):
        return None
    fair, mid, micro, leans, volatility_bps, half_bps, lean, centre, ticks = _parts(books, depth, params, state, side, level)
    return QuoteParts(
        level=level,
        fair_ticks=fair,
        mid_ticks=mid,
        micro_price_ticks=micro,
        imbalance=leans,
        volatility_bps=volatility_bps,
        half_spread_bps=half_bps,
        lean=lean,
        centre_ticks=centre,
        distance_bps=half_bps + level * float(params[STEP_BPS]),
        ticks=int(ticks),
    )
