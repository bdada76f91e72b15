"""How orders were executed: slippage, fill ratios, maker share, markouts. Measurements in float64; no money is booked from here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interlock.evidence.accounting import InstrumentAccount
from interlock.evidence.translate import Translation
from interlock.strategies.contract import TIF_FOK, TIF_IOC

HORIZONS_S: tuple[str, ...] = ("0.1", "1", "5", "30", "60")
HORIZONS_NS: tuple[int, ...] = (100_000_000, 1_000_000_000, 5_000_000_000, 30_000_000_000, 60_000_000_000)
ATTRIBUTION = 2
"""The horizon of the attribution (5 s) among them."""

BPS = 1e4


@dataclass(frozen=True, slots=True)
class Execution:
    """None where there was nothing to measure. Slippage in basis points, positive when it cost; ratios between 0 and 1.

    `at_mid_share`: fills exactly at the exchange's mid, or on the far side of it as a taker.
    """

    buy_slippage_bps: float | None
    sell_slippage_bps: float | None
    buy_fill_ratio: float | None
    sell_fill_ratio: float | None
    taker_fill_ratio: float | None
    maker_fill_ratio: float | None
    maker_share: float | None
    at_mid_share: float | None


def weights(accounts: Sequence[InstrumentAccount], into: Translation) -> npt.NDArray[np.float64]:
    """By instrument, what half a tick times one lot is worth in the currency of the report."""
    return np.array([float(a.unit * into.factors[a.currency]) for a in accounts])


def execution(fills: np.ndarray, orders: np.ndarray, weight: npt.NDArray[np.float64]) -> Execution:
    """Measure the records of a run. Orders that the exchange refused count with a fill ratio of 0."""
    buy, maker = fills["side"] > 0, fills["maker"] > 0
    notional = weight[fills["instrument"]] * 2.0 * fills["ticks"] * fills["lots"]
    price, mid = 2 * fills["ticks"], fills["mid_twice"]
    at_mid = (price == mid) | (~maker & ((price - mid) * fills["side"] < 0))
    taking = np.isin(orders["tif"], (TIF_IOC, TIF_FOK)) | np.isin(orders["seq"], fills["seq"][~maker])
    sent = orders["lots"] > 0
    bid = orders["side"] > 0
    return Execution(
        buy_slippage_bps=_slippage_bps(fills[buy], weight),
        sell_slippage_bps=_slippage_bps(fills[~buy], weight),
        buy_fill_ratio=_fill_ratio(orders[sent & bid]),
        sell_fill_ratio=_fill_ratio(orders[sent & ~bid]),
        taker_fill_ratio=_fill_ratio(orders[sent & taking]),
        maker_fill_ratio=_fill_ratio(orders[sent & ~taking]),
        maker_share=float(notional[maker].sum() / notional.sum()) if len(fills) else None,
        at_mid_share=float(np.mean(at_mid)) if len(fills) else None,
    )


def _slippage_bps(fills: np.ndarray, weight: npt.NDArray[np.float64]) -> float | None:
    """side x (price - decision mid) over decision mid, weighted by size at the decision mid."""
    fills = fills[fills["decision_twice"] > 0]
    if len(fills) == 0:
        return None
    size = weight[fills["instrument"]] * fills["lots"]
    cost = size * fills["side"] * (2 * fills["ticks"] - fills["decision_twice"])
    return float(BPS * cost.sum() / (size * fills["decision_twice"]).sum())


def _fill_ratio(orders: np.ndarray) -> float | None:
    return float(np.mean(orders["filled_lots"] / orders["lots"])) if len(orders) else None


def markouts_bps(fills: np.ndarray, later_twice: npt.NDArray[np.int64], weight: npt.NDArray[np.float64]) -> dict[str, float | None]:
    """By horizon in seconds: side x (mid later - mid before the fill) over mid, weighted by size, of maker fills, basis points.

    later_twice: mids (twice), shape (horizons, fills), 0 where unknown. Positive means that the market moved our way.
    """
    result: dict[str, float | None] = {}
    for name, later in zip(HORIZONS_S, later_twice, strict=True):
        known = (fills["maker"] > 0) & (fills["mid_twice"] > 0) & (later > 0)
        own, after = fills[known], later[known]
        size = weight[own["instrument"]] * own["lots"]
        base = float((size * own["mid_twice"]).sum())
        result[name] = float(BPS * (size * own["side"] * (after - own["mid_twice"])).sum() / base) if base > 0 else None
    return result
