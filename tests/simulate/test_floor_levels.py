"""The levels that a floor shows, also of a book with few of them and after the price has gone far."""

from __future__ import annotations

from datetime import date

import numpy as np

from interlock.market.columns import ROW, RowKind
from interlock.simulate.floor import Floor
from interlock.simulate.served.listing import instruments_of


def depth(*levels: tuple[int, int, int]) -> np.ndarray:
    rows = np.zeros(len(levels), ROW)
    rows["kind"] = RowKind.DEPTH
    rows["side"], rows["ticks"], rows["lots"] = zip(*levels, strict=True)
    return rows


def test_few_levels_are_all_shown_wherever_the_price_went() -> None:
    (instrument,) = (one for one in instruments_of("bybit") if one.symbol == "BTCUSDT")
    floor = Floor((instrument,), {"BTCUSDT": instrument.price(600_000)}, date(2026, 11, 22))
    assert floor.levels(0, 50) == ([], [])
    floor.rows(depth((1, 600_000, 5), (1, 599_000, 6), (-1, 600_002, 7), (-1, 601_000, 8)))
    assert floor.levels(0, 50) == ([(600_000, 5), (599_000, 6)], [(600_002, 7), (601_000, 8)])
    assert floor.levels(0, 1) == ([(600_000, 5)], [(600_002, 7)])
    gone = ((1, 600_000, 0), (1, 599_000, 0), (-1, 600_002, 0), (-1, 601_000, 0))
    floor.rows(depth(*gone, (1, 590_000, 3), (1, 585_000, 1), (-1, 590_010, 2), (-1, 603_000, 4)))
    assert floor.levels(0, 50) == ([(590_000, 3), (585_000, 1)], [(590_010, 2), (603_000, 4)])
    floor.rows(depth((1, 590_000, 0), (1, 585_000, 0), (-1, 590_010, 0), (1, 602_000, 9)))
    assert floor.levels(0, 50) == ([(602_000, 9)], [(603_000, 4)])
