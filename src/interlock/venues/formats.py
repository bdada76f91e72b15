"""The import formats by name, and who reads the raw frames of a venue again when a tape is verified."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from interlock.domain.errors import UsageError
from interlock.market.clock_fix import FLOOR_NS
from interlock.market.shipped import load_instruments
from interlock.market.sources import Progress, no_progress
from interlock.market.tape_parquet import import_parquet
from interlock.market.tape_verify import FrameReader
from interlock.venues.bars import import_bars
from interlock.venues.binance_usdm import facts as binance_facts
from interlock.venues.binance_usdm import importer as binance
from interlock.venues.bybit import facts as bybit_facts
from interlock.venues.bybit import importer as bybit
from interlock.venues.upbit import facts as upbit_facts
from interlock.venues.upbit import importer as upbit

Format = Literal["binance-usdm-raw", "upbit-raw", "bybit-v5-raw", "bars", "parquet"]

FRAME_READERS: Mapping[str, FrameReader] = {
    "binance_usdm": binance_facts.frame_facts,
    "upbit": upbit_facts.frame_facts,
    "bybit": bybit_facts.frame_facts,
}
"""By venue."""


def import_tape(
    form: Format,
    paths: Sequence[Path],
    out: Path,
    *,
    instrument_file: Path | None = None,
    floor_ns: int = FLOOR_NS,
    progress: Progress = no_progress,
) -> Path:
    """Make a tape at `out` from files of a format. Raises UsageError and BadInput as the formats do."""
    if floor_ns < 0:
        raise UsageError(f"assumed latency: expected 0 or more, found {floor_ns} ns")
    given = load_instruments(instrument_file) if instrument_file is not None else None
    if form == binance.FORMAT:
        return binance.import_capture(paths, out, given=given, floor_ns=floor_ns, progress=progress)
    if form == upbit.FORMAT:
        return upbit.import_capture(paths, out, given=given, floor_ns=floor_ns, progress=progress)
    if form == bybit.FORMAT:
        return bybit.import_capture(paths, out, given=given, floor_ns=floor_ns, progress=progress)
    if form == "bars":
        return import_bars(paths, out, given=given, progress=progress)
    if len(paths) != 1:
        raise UsageError(f"tape import parquet: expected one file, found {len(paths)}")
    if given is not None:
        raise UsageError("tape import parquet: the file names its instruments; leave --instrument out")
    return import_parquet(paths[0], out)
