"""Two synthetic venues as bars: coins that move together, each with a premium that returns to its mean. Evidence of plumbing alone.

Per coin: the dollar price is a geometric random walk; the premium of the won price over dollar price x FX is an autoregressive process of
order one. Bars have a range and a volume. Funding settles every eight hours at a small random rate.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind

BAR_S = 300
BARS_A_DAY = 86_400 // BAR_S
FUNDING_BARS = 8 * 3_600 // BAR_S
START_NS = 1_700_006_400_000_000_000
KRW_PER_USDT = 1_400.0


def generate_bars(
    pairs: Sequence[tuple[int, int]], instruments: Sequence[Instrument], usd: Sequence[float], days: int, seed: int
) -> np.ndarray:
    """Rows of `days` of five-minute bars for each (spot number, perpetual number), dollar prices starting at `usd`."""
    random = np.random.default_rng(seed)
    bars = days * BARS_A_DAY
    common = random.normal(0.0, 6e-4, bars)
    fx = KRW_PER_USDT * np.exp(np.cumsum(random.normal(0.0, 1e-4, bars)))
    ends = START_NS + BAR_S * 1_000_000_000 * np.arange(1, bars + 1, dtype=np.int64)
    parts: list[np.ndarray] = []
    for (spot, perp), price in zip(pairs, usd, strict=True):
        close = price * np.exp(np.cumsum(common + random.normal(0.0, 3e-4, bars)))
        premium = np.zeros(bars)
        shocks = random.standard_t(3, bars) * 4e-4
        for i in range(1, bars):
            premium[i] = 0.97 * premium[i - 1] + shocks[i]
        parts.append(_bars(random, perp, instruments[perp], close, ends))
        parts.append(_bars(random, spot, instruments[spot], close * fx * np.exp(premium), ends))
        settle = np.zeros(bars // FUNDING_BARS, ROW)
        settle["exchange_ns"] = settle["receive_ns"] = ends[FUNDING_BARS - 1 :: FUNDING_BARS]
        settle["instrument"], settle["kind"] = perp, int(RowKind.FUNDING)
        settle["lots"] = np.round(random.normal(5e-5, 5e-5, len(settle)) * 1e12)
        parts.append(settle)
    rows = np.concatenate(parts)
    return rows[np.lexsort((rows["kind"] == int(RowKind.FUNDING), rows["instrument"], rows["receive_ns"]))]


def _bars(random: np.random.Generator, number: int, instrument: Instrument, close: np.ndarray, ends: np.ndarray) -> np.ndarray:
    opened = np.concatenate([close[:1], close[:-1]])
    reach = np.abs(random.normal(0.0, 2e-4, (2, len(close))))
    high = np.maximum(opened, close) * (1 + reach[0])
    low = np.minimum(opened, close) * (1 - reach[1])
    lots = np.round(
        random.lognormal(0.0, 1.0, len(close)) * 2e6 / close / float(instrument.lot) * (1400 if instrument.quote == "KRW" else 1)
    )
    quantum = float(instrument.quantum)
    rows = np.zeros((len(close), 4), ROW)
    rows["exchange_ns"] = rows["receive_ns"] = ends[:, None]
    rows["instrument"] = number
    for column, (kind, prices) in enumerate(
        (
            (RowKind.BAR_OPEN, opened),
            (RowKind.BAR_HIGH, np.ceil(high / quantum) * quantum),
            (RowKind.BAR_LOW, low),
            (RowKind.BAR_CLOSE, close),
        )
    ):
        rows["kind"][:, column] = int(kind)
        rows["ticks"][:, column] = np.maximum(np.round(prices / quantum), 1)
    rows["lots"][:, 3] = np.maximum(lots, 1)
    rows["frame"] = np.arange(len(close))[:, None]
    flat: np.ndarray = rows.reshape(-1)
    return flat
