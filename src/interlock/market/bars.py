"""Candles in integer units: joining files, resampling to a coarser grid, and tape rows.

A bar's rows are dated at its END, as exchange and receive time alike: before that nobody can know it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interlock.market.columns import ROW, RowKind
from interlock.market.tape import Rows

Numbers = npt.NDArray[np.int64]

NS_PER_S = 1_000_000_000
RECORDING_GAP_NS = 3_600 * NS_PER_S
"""A hole longer than this is the recorder's: the bars that it cuts are left out. A shorter one had no trades."""


@dataclass(frozen=True)
class Candles:
    """Candles by rising open time. times_ns: UTC open times; open, high, low, close in ticks; volume in lots; all int64."""

    times_ns: Numbers
    open: Numbers
    high: Numbers
    low: Numbers
    close: Numbers
    volume: Numbers

    def __len__(self) -> int:
        return len(self.times_ns)

    def take(self, which: npt.NDArray[np.bool_] | Numbers) -> Candles:
        """Some of the candles, by mask or index."""
        return Candles(*(column[which] for column in self.columns()))

    def columns(self) -> tuple[Numbers, ...]:
        """The six arrays in the order of the fields."""
        return (self.times_ns, self.open, self.high, self.low, self.close, self.volume)


def join(parts: list[Candles]) -> tuple[Candles, int | None]:
    """Several recordings of one instrument as one, equal candles once.

    Returns the candles and the open time of the first candle about which two recordings disagree (None if they agree).
    """
    columns = [np.concatenate(c) for c in zip(*(part.columns() for part in parts), strict=True)]
    both = Candles(*columns)
    both = both.take(np.argsort(both.times_ns, kind="stable"))
    again = np.flatnonzero(both.times_ns[1:] == both.times_ns[:-1]) + 1
    for column in both.columns():
        differ = again[column[again] != column[again - 1]]
        if len(differ):
            return both, int(both.times_ns[differ[0]])
    keep = np.ones(len(both), bool)
    keep[again] = False
    return both.take(keep), None


def resample(candles: Candles, from_ns: int, to_ns: int) -> Candles:
    """Candles of `from_ns` on a grid of `to_ns` (a multiple): open first, high max, low min, close last, volume sum.

    A bar exists where at least one candle does. A minute without a candle had no trade and is filled with nothing. Bars that are cut by
    the recording's edges or by a hole over RECORDING_GAP_NS are left out.
    """
    if from_ns == to_ns or len(candles) == 0:
        return candles
    bucket = candles.times_ns // to_ns * to_ns
    first = np.flatnonzero(np.r_[True, bucket[1:] != bucket[:-1]])
    last = np.r_[first[1:], len(bucket)] - 1
    bars = Candles(
        times_ns=bucket[first],
        open=candles.open[first],
        high=np.maximum.reduceat(candles.high, first),
        low=np.minimum.reduceat(candles.low, first),
        close=candles.close[last],
        volume=np.add.reduceat(candles.volume, first),
    )
    hole = np.diff(candles.times_ns) > RECORDING_GAP_NS
    begins = np.r_[True, hole]
    ends = np.r_[hole, True]
    cut = (begins[first] & (candles.times_ns[first] != bars.times_ns)) | (
        ends[last] & (candles.times_ns[last] + from_ns != bars.times_ns + to_ns)
    )
    # A bucket can also hold the end of one recording and the beginning of the next.
    for position in np.flatnonzero(begins[1:]) + 1:
        if bucket[position] == bucket[position - 1]:
            cut[np.searchsorted(first, position, side="right") - 1] = True
    return bars.take(~cut)


def bar_rows(candles: Candles, interval_ns: int, instrument: int) -> Rows:
    """Four rows a bar (OPEN, HIGH, LOW, CLOSE), dated at its end; the volume is in the CLOSE row's lots."""
    rows = np.zeros((len(candles), 4), ROW)
    ends = candles.times_ns + interval_ns
    rows["exchange_ns"] = rows["receive_ns"] = ends[:, None]
    rows["instrument"] = instrument
    rows["kind"] = (RowKind.BAR_OPEN, RowKind.BAR_HIGH, RowKind.BAR_LOW, RowKind.BAR_CLOSE)
    rows["ticks"] = np.column_stack((candles.open, candles.high, candles.low, candles.close))
    rows["lots"][:, 3] = candles.volume
    return rows.reshape(-1)


def event_rows(kind: RowKind, times_ns: Numbers, ticks: Numbers, lots: Numbers, instrument: int) -> Rows:
    """One row an event, exchange and receive time alike."""
    rows = np.zeros(len(times_ns), ROW)
    rows["exchange_ns"] = rows["receive_ns"] = times_ns
    rows["ticks"], rows["lots"] = ticks, lots
    rows["instrument"], rows["kind"] = instrument, kind
    return rows
