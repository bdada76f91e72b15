"""Import of candles of several venues and coins into one tape (format `bars`).

Bars are not quotes: a price is up to an interval old when the bar ends, so the tape's provenance is `constructed`. There is no predicted
funding rate in such files and none is made up: the tape has FUNDING rows and no FUNDING_NEXT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from interlock.domain.errors import BadInput, UsageError
from interlock.domain.instruments import Instrument
from interlock.market.bars import NS_PER_S, Candles, bar_rows, event_rows, join, resample
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.sources import Progress, no_progress
from interlock.market.tape import Rows
from interlock.market.tape_info import ClockEntry, SourceFile
from interlock.market.tape_write import write_tape
from interlock.venues.bar_files import BarFile, Table, candles, classify, read, scale

FORMAT = "bars"
_RATE = Decimal("1e-12")


def import_bars(
    paths: Sequence[Path],
    out: Path,
    *,
    given: Mapping[str, Instrument] | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Make a tape of bars at `out`; `bar_files` says which names and columns are understood.

    All instruments are brought to the coarsest interval among the candle files, and cut to the time that every one of
    them covers. Instruments come from `given` (by key), else from the shipped table. Raises BadInput naming file and record.
    """
    files = [classify(path) for path in paths]
    keys = sorted({file.key for file in files if file.role == "candles"})
    for file in files:
        if file.key not in keys:
            raise BadInput(file.path, "", f"expected candles of {file.key} as well, found none; add their file")
    if not keys:
        raise UsageError("tape import bars: expected candle files, found none")
    instruments = {key: _instrument(key, files, given) for key in keys}
    keys.sort(key=lambda key: (instruments[key].venue, instruments[key].symbol))
    tables = [read(file, progress) for file in files]
    interval_ns = max(file.interval_ns for file in files if file.role == "candles")
    bars, cut = {}, {}
    for key in keys:
        bars[key], cut[key] = _series(key, tables, instruments[key], interval_ns)
    start_ns = max(-(-span[0] // interval_ns) * interval_ns for span in cut.values())
    end_ns = min(span[1] // interval_ns * interval_ns for span in cut.values())
    if start_ns >= end_ns:
        raise UsageError("tape import bars: the candle files have no time in common; give files that overlap")
    parts: list[Rows] = [np.zeros(0, ROW)]
    empty = 0
    for number, key in enumerate(keys):
        series = bars[key]
        series = series.take((series.times_ns >= start_ns) & (series.times_ns < end_ns))
        empty += int((series.volume == 0).sum())
        bars[key] = series = series.take(series.volume > 0)
        parts.append(bar_rows(series, interval_ns, number))
        parts += _derived(key, tables, instruments[key], number, start_ns, end_ns)
    write_tape(
        out,
        np.concatenate(parts),
        [instruments[key] for key in keys],
        "constructed",
        clock=ClockEntry(feed_latency="none"),
        sources=[
            SourceFile(name=table.file.path.name, sha256=table.sha256, bytes=table.bytes, lines=len(table.times_ns)) for table in tables
        ],
        bar_interval_s=interval_ns // NS_PER_S,
        notes=[
            "a bar's rows carry the time of its end as exchange and receive time: it is not known before",
            "bars are not quotes; prices are last trades of the interval",
            "no predicted funding rate is in the sources: there are FUNDING rows and no FUNDING_NEXT",
            f"bars without volume left out: {empty}",
            *_joint(keys, files, bars),
        ],
    )
    return out


def _instrument(key: str, files: Sequence[BarFile], given: Mapping[str, Instrument] | None) -> Instrument:
    known = given if given is not None else SHIPPED
    if key not in known:
        path = next(file.path for file in files if file.key == key)
        raise BadInput(path, "", f"unknown instrument {key}: expected one of {', '.join(sorted(known))}; add it to --instrument")
    return known[key]


def _series(key: str, tables: Sequence[Table], instrument: Instrument, interval_ns: int) -> tuple[Candles, tuple[int, int]]:
    """The bars of one instrument, and the time that its files cover."""
    own = [table for table in tables if table.file.key == key and table.file.role == "candles"]
    steps = {table.file.interval_ns for table in own}
    if len(steps) > 1:
        raise BadInput(own[0].file.path, "", f"expected candles of one interval for {key}, found {len(steps)}")
    step_ns = steps.pop()
    if interval_ns % step_ns:
        raise BadInput(own[0].file.path, "", f"expected an interval that divides {interval_ns // NS_PER_S} s, found another")
    series, differ_ns = join([candles(table, instrument) for table in own])
    if differ_ns is not None:
        names = ", ".join(table.file.path.name for table in own)
        moment = np.datetime64(differ_ns, "ns").astype("datetime64[s]")
        raise BadInput(own[0].file.path, "", f"expected files that agree, found two candles at {moment}: {names}")
    span = (int(series.times_ns[0]), int(series.times_ns[-1]) + step_ns)
    return resample(series, step_ns, interval_ns), span


def _derived(key: str, tables: Sequence[Table], instrument: Instrument, number: int, start_ns: int, end_ns: int) -> list[Rows]:
    """MARK rows (the hourly mark candles' opens) and FUNDING rows of one instrument, both within the window."""
    parts: list[Rows] = []
    marks: dict[int, int] = {}
    for table in tables:
        if table.file.key == key and table.file.role == "mark1h":
            ticks = scale(table, "open", instrument.quantum, nearest=True)
            inside = (table.times_ns >= start_ns) & (table.times_ns <= end_ns)
            times, ticks = table.times_ns[inside], ticks[inside]
            marks |= dict(zip(times.tolist(), ticks.tolist(), strict=True))
    if marks:
        times = np.array(sorted(marks), np.int64)
        ticks = np.array([marks[time] for time in times.tolist()], np.int64)
        parts.append(event_rows(RowKind.MARK, times, ticks, np.zeros_like(times), number))
    for table in tables:
        if table.file.key == key and table.file.role == "funding8h":
            rates = scale(table, "open", _RATE, signed=True)
            inside = (table.times_ns >= start_ns) & (table.times_ns <= end_ns)
            times = table.times_ns[inside]
            ticks = np.array([marks.get(time, 0) for time in times.tolist()], np.int64)
            parts.append(event_rows(RowKind.FUNDING, times, ticks, rates[inside], number))
    return parts


def _joint(keys: Sequence[str], files: Sequence[BarFile], bars: Mapping[str, Candles]) -> list[str]:
    """For each coin with several instruments: how many bars all of them have."""
    notes = []
    for coin in sorted({file.coin for file in files}):
        own = sorted({file.key for file in files if file.coin == coin and file.key in keys})
        if len(own) > 1:
            common = bars[own[0]].times_ns
            for key in own[1:]:
                common = np.intersect1d(common, bars[key].times_ns)
            notes.append(f"joint bars {coin}: {len(common)}")
    return notes
