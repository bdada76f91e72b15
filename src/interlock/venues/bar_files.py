"""Candle files as their collectors wrote them: which they are, by name, and their columns in integer units.

    upbit_<COIN>KRW_<n>m*.csv[.gz]             candles, columns timestamp,open,high,low,close,volume
    binance_usdm_<COIN>USDT_<n>m*.feather      candles, columns date,open,high,low,close,volume
    binance_usdm_<COIN>USDT_funding8h*.feather settled funding rates in `open`, other columns 0
    binance_usdm_<COIN>USDT_mark1h*.feather    hourly candles of the mark price

All times are UTC open times (checked by correlating the two venues' returns; there is no zone in the CSV files).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow import feather

from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.market.bars import NS_PER_S, Candles, Numbers
from interlock.market.numbers import Scale, decimals
from interlock.market.sources import Progress, Source

_NAME = re.compile(
    r"(?:upbit_(?P<upbit>[A-Z0-9]+)KRW|binance_usdm_(?P<binance>[A-Z0-9]+)USDT)"
    r"_(?:(?P<minutes>[1-9][0-9]*)m|(?P<other>funding8h|mark1h))(?:_\w+)?\.(?P<ending>csv|csv\.gz|feather)"
)
_EXPECTED_NAME = (
    "expected a name like upbit_BTCKRW_1m_20250901.csv.gz, binance_usdm_BTCUSDT_5m_20241231.feather, "
    "binance_usdm_BTCUSDT_funding8h_20241231.feather or binance_usdm_BTCUSDT_mark1h_20241231.feather"
)
_COLUMNS = ("open", "high", "low", "close", "volume")
Role = Literal["candles", "funding8h", "mark1h"]


@dataclass(frozen=True)
class BarFile:
    """A file and what its name says. interval_ns: 0 for funding."""

    path: Path
    coin: str
    key: str
    role: Role
    interval_ns: int


@dataclass(frozen=True)
class Table:
    """The columns of a file, numbers not yet scaled: text from CSV, float64 from feather. `sha256`, `bytes` of the file."""

    file: BarFile
    times_ns: Numbers
    columns: dict[str, list[str] | np.ndarray[tuple[int], np.dtype[np.float64]]]
    sha256: str
    bytes: int


def classify(path: Path) -> BarFile:
    """What a file is, by its name. Raises BadInput for a name that says nothing."""
    match = _NAME.fullmatch(path.name)
    if match is None or (match["upbit"] and match["other"]):
        raise BadInput(path, "", f"{_EXPECTED_NAME}; rename the file or leave it out")
    coin = match["upbit"] or match["binance"]
    key = f"upbit:KRW-{coin}" if match["upbit"] else f"binance_usdm:{coin}USDT"
    if match["minutes"]:
        return BarFile(path, coin, key, "candles", int(match["minutes"]) * 60 * NS_PER_S)
    role: Role = "mark1h" if match["other"] == "mark1h" else "funding8h"
    return BarFile(path, coin, key, role, 3600 * NS_PER_S if role == "mark1h" else 0)


def read(file: BarFile, progress: Progress) -> Table:
    """Read a file. Raises BadInput naming the record for missing columns and for times that repeat, go back or are off the grid."""
    table = _read_feather(file, progress) if file.path.suffix == ".feather" else _read_csv(file, progress)
    times = table.times_ns
    if len(times) == 0:
        raise BadInput(file.path, "", "expected candles, found none")
    for problem, bad in (
        ("time goes back", times[1:] < times[:-1]),
        ("the same time twice", times[1:] == times[:-1]),
    ):
        if bad.any():
            record = int(np.flatnonzero(bad)[0]) + 2
            raise BadInput(file.path, f"record {record}", f"expected a later time, found {problem}")
    off = np.flatnonzero(times % (file.interval_ns or NS_PER_S))
    if len(off):
        raise BadInput(
            file.path,
            f"record {int(off[0]) + 1}",
            f"expected an open time on the grid of {file.interval_ns // NS_PER_S} s, found {times[off[0]]} ns",
        )
    return table


def candles(table: Table, instrument: Instrument) -> Candles:
    """A table in ticks and lots. Raises BadInput naming the record for NaN, negative numbers, values between two units
    and a high or low that does not enclose the bar."""
    scaled = {name: scale(table, name, instrument.quantum) for name in ("open", "high", "low", "close")}
    result = Candles(table.times_ns, **scaled, volume=scale(table, "volume", instrument.lot))
    for problem, bad in (
        ("a price that is not positive", result.low <= 0),
        ("a high below its open or close", result.high < np.maximum(result.open, result.close)),
        ("a low above its open or close", result.low > np.minimum(result.open, result.close)),
    ):
        if bad.any():
            record = int(np.flatnonzero(bad)[0]) + 1
            raise BadInput(table.file.path, f"record {record}", f"expected a candle, found {problem}")
    return result


def scale(table: Table, column: str, unit: Decimal, *, signed: bool = False, nearest: bool = False) -> Numbers:
    """A column as a count of units, exactly (with `nearest`: the nearest). Raises BadInput naming the record."""
    values = table.columns[column]
    if isinstance(values, list):
        return _scale_text(table, column, values, unit)
    places = decimals(unit)
    step = int(unit.scaleb(places))
    # A float that was parsed from at most `places` decimals equals the quotient of two exact floats.
    whole = np.rint(np.where(np.isfinite(values), values, 0.0) * float(10**places))
    good = np.isfinite(values) & (np.abs(whole) < 2.0**53)
    if not signed:
        good &= values >= 0
    if nearest:
        whole = np.rint(whole / step) * step
    else:
        good &= (whole / float(10**places) == values) & (np.fmod(whole, step) == 0)
    bad = np.flatnonzero(~good)
    if len(bad):
        raise BadInput(
            table.file.path,
            f"record {int(bad[0]) + 1}",
            f"{column}: expected a multiple of {unit:f}{'' if signed else ', 0 or more'}, found {float(values[bad[0]])}",
        )
    return whole.astype(np.int64) // step


def _scale_text(table: Table, column: str, values: list[str], unit: Decimal) -> Numbers:
    scaled = Scale(unit, column)
    result = np.empty(len(values), np.int64)
    for i, text in enumerate(values):
        try:
            # Small volumes were written in exponent form by the library that made the file.
            result[i] = scaled[format(Decimal(text), "f") if "e" in text or "E" in text else text]
        except (ValueError, InvalidOperation) as error:
            raise BadInput(table.file.path, f"record {i + 1}", str(error)) from error
    return result


def _read_csv(file: BarFile, progress: Progress) -> Table:
    source = Source(file.path, progress)
    times: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in _COLUMNS}
    at: list[int] = []
    for number, _, line in source.lines():
        fields = line.rstrip(b"\r").split(b",")
        if number == 1:
            header = [name.decode("utf-8", "replace") for name in fields]
            _require(file, header, "timestamp")
            at = [header.index(name) for name in ("timestamp", *_COLUMNS)]
            continue
        record = f"record {number - 1} (line {number})"
        if len(fields) != len(header):
            raise BadInput(file.path, record, f"expected {len(header)} fields, found {len(fields)}")
        try:
            texts = [fields[i].decode("ascii") for i in at]
            moment = datetime.fromisoformat(texts[0])
            if not 1970 < moment.year < 2262:  # what int64 nanoseconds can hold
                raise ValueError(f"the year {moment.year}")
        except ValueError as error:
            raise BadInput(file.path, record, f"expected a time and numbers, found {error}") from error
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        times.append(round(moment.timestamp()) * NS_PER_S)
        for name, text in zip(_COLUMNS, texts[1:], strict=True):
            columns[name].append(text)
    return Table(file, np.array(times, np.int64), dict(columns), source.sha256, source.bytes)


def _read_feather(file: BarFile, progress: Progress) -> Table:
    source = Source(file.path, progress)
    for _ in source.lines():
        pass  # digest and size; also the message for a file that cannot be read
    try:
        table = feather.read_table(str(file.path))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(file.path, "", f"expected a feather file: {error}") from error
    _require(file, table.schema.names, "date")
    try:
        times = table["date"].cast(pa.timestamp("ns", "UTC")).cast(pa.int64())
        columns = {name: table[name].cast(pa.float64()) for name in _COLUMNS}
    except pa.ArrowException as error:
        raise BadInput(file.path, "", f"expected a time and numbers: {error}") from error
    for name, column in (("date", times), *columns.items()):
        if column.null_count:
            record = column.is_null().to_pylist().index(True) + 1
            raise BadInput(file.path, f"record {record}", f"{name}: expected a value, found none")
    return Table(
        file,
        times.to_numpy().astype(np.int64),
        {name: column.to_numpy() for name, column in columns.items()},
        source.sha256,
        source.bytes,
    )


def _require(file: BarFile, found: list[str], time: str) -> None:
    missing = [name for name in (time, *_COLUMNS) if name not in found]
    if missing:
        raise BadInput(file.path, "header", f"expected the columns {time}, {', '.join(_COLUMNS)}; {', '.join(missing)} missing")
