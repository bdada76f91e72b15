"""What the import of every venue's recordings shares: merging files by receive time, judging the clock, filling the tape's folder.

A venue brings the shapes of its lines and a `Taker`, which turns one line after another into rows.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import numpy as np

from interlock.domain.errors import BadInput, UsageError
from interlock.domain.instruments import Instrument
from interlock.market.clock_fix import FLOOR_NS, judge
from interlock.market.collect import RowCollector
from interlock.market.columns import RowKind
from interlock.market.raw_store import RawWriter
from interlock.market.shipped import SHIPPED
from interlock.market.sources import Progress, Source, no_progress
from interlock.market.tape import Rows
from interlock.market.tape_info import DepthInterval, SourceFile
from interlock.market.tape_write import fill_folder, new_folder
from interlock.venues.recorded import RECEIVE_TOLERANCE_NS, Line, Shape, Shapes

_PRICED = (RowKind.DEPTH, RowKind.TRADE, RowKind.BLOCK_TRADE)


class Read(NamedTuple):
    """What was read of an instrument: itself, the depth interval that its stream declared, and the venue's time of its depth events."""

    instrument: Instrument
    declared_depth_ms: int | None
    depth_ns: array[int]


class Taker(Protocol):
    """Turns recorded lines into rows of a collector."""

    @property
    def latencies_ns(self) -> array[int]:
        """Receive time minus the venue's own, one a stream frame."""
        ...

    def take(self, line: Line, frame: int) -> None:
        """Take a line, whose frame number is `frame`. Raises ValueError, ArithmeticError or msgspec.DecodeError where it cannot be used."""
        ...

    def read(self) -> Sequence[Read]:
        """The instruments, in the order of the numbers that the rows carry. Raises BadInput if something is missing at the end."""
        ...

    def notes(self) -> Sequence[str]:
        """What a person should know of the tape, a line each."""
        ...


Begin = Callable[[Sequence[tuple[Path, Shape]], RowCollector], Taker]
"""Makes the taker of one import: for files with their shapes, into a collector."""


def import_recording(
    paths: Sequence[Path],
    out: Path,
    shapes: Shapes,
    begin: Begin,
    *,
    floor_ns: int = FLOOR_NS,
    progress: Progress = no_progress,
) -> Path:
    """Make a tape at `out` from the files of one recording, merged by receive time.

    `floor_ns` is the smallest latency to assume where the receive clock cannot be used. Raises UsageError for files that do not go
    together, BadInput naming file and line for whatever is wrong with one; nothing is left behind then.
    """
    if not paths:
        raise UsageError("tape import: expected at least one file, found none")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("tape import: expected each file once, found one named twice")
    files = [(path, shapes.of(path)) for path in paths]
    if len({shape.received for _, shape in files}) > 1:
        raise UsageError("tape import: expected files of one clock, found receive times and a venue's own times; import them apart")
    with new_folder(out) as folder:
        _Import(files, shapes, folder, begin, floor_ns, progress).run()
    return out


class _Import:
    """One import: the files, what has been read of them, and the rows so far."""

    def __init__(
        self,
        files: Sequence[tuple[Path, Shape]],
        shapes: Shapes,
        folder: Path,
        begin: Begin,
        floor_ns: int,
        progress: Progress,
    ) -> None:
        self._files = files
        self._shapes = shapes
        self._folder = folder
        self._floor_ns = floor_ns
        self._sources = [Source(path, progress) for path, _ in files]
        self._collector = RowCollector()
        self._taker = begin(files, self._collector)
        self._clamped = 0

    def run(self) -> None:
        """Read everything and fill the folder."""
        (self._folder / "raw").mkdir()
        writers = [RawWriter(self._folder / f"raw/{n}.zst") for n in range(len(self._files))]
        try:
            readers = [
                self._shapes.read(source, n, shape, writer.write)
                for n, (source, (_, shape), writer) in enumerate(zip(self._sources, self._files, writers, strict=True))
            ]
            for line in readers[0] if len(readers) == 1 else heapq.merge(*readers):
                self._take(line)
            for writer in writers:
                writer.close()
        finally:
            for writer in writers:
                writer.abandon()
        self._finish()

    def _take(self, line: Line) -> None:
        self._clamped += line.receive_ns != line.recorded_ns
        frame = self._collector.frame(line.recorded_ns, line.offset, line.length, line.file, line.line)
        try:
            self._taker.take(line, frame)
        except (ValueError, ArithmeticError, RecursionError, msgspec.DecodeError) as error:
            raise BadInput(self._files[line.file][0], f"line {line.line}", str(error) or type(error).__name__) from error

    def _finish(self) -> None:
        read = self._taker.read()
        order = sorted(range(len(read)), key=lambda number: read[number].instrument.symbol)
        numbers = np.zeros(len(read) or 1, np.int64)
        for position, number in enumerate(order):
            numbers[number] = position
        rows, frames = self._collector.finish(numbers)
        if not len(rows):
            path = self._files[0][0]
            raise BadInput(path, "", f"expected frames of the market, found none among {len(frames)}; is it another venue's recording?")
        self._check_prices(rows, frames)
        latencies = np.frombuffer(self._taker.latencies_ns, np.int64) if self._taker.latencies_ns else np.zeros(0, np.int64)
        received = all(shape.received for _, shape in self._files)
        clock = judge(latencies, self._floor_ns, RECEIVE_TOLERANCE_NS, self._clamped, received=received)
        rows["receive_ns"] += clock.offset_ns
        fill_folder(
            self._folder,
            rows,
            [read[number].instrument for number in order],
            "real",
            frames,
            clock=clock,
            sources=[
                SourceFile(
                    name=source.path.name,
                    sha256=source.sha256,
                    bytes=source.bytes,
                    lines=source.line_count,
                    raw=f"raw/{n}.zst",
                )
                for n, source in enumerate(self._sources)
            ],
            depth_interval_ms={
                instrument.key: DepthInterval(declared_ms=declared_ms, measured_ms=_median_step_ms(depth_ns))
                for instrument, declared_ms, depth_ns in (read[number] for number in order)
            },
            notes=list(self._taker.notes()),
        )

    def _check_prices(self, rows: Rows, frames: Rows) -> None:
        bad = np.flatnonzero((rows["ticks"] == 0) & np.isin(rows["kind"], _PRICED))
        if len(bad):
            frame = frames[rows["frame"][bad[0]]]
            raise BadInput(self._files[int(frame["file"])][0], f"line {frame['line']}", "expected a positive price, found 0")


def resolver(venue: str, known: Mapping[str, Instrument] | None, otherwise: Callable[[str], Instrument]) -> Callable[[str], Instrument]:
    """Who answers a venue's symbol with its instrument: `known` alone (by key) where there is one, else the shipped table, else `otherwise`.

    The answer raises ValueError for a symbol that `known` lacks.
    """

    def resolve(symbol: str) -> Instrument:
        key = f"{venue}:{symbol}"
        if known is None:
            return SHIPPED.get(key) or otherwise(symbol)
        if key not in known:
            raise ValueError(f"unknown symbol {symbol}: expected one of {', '.join(sorted(known))}; add it to --instrument")
        return known[key]

    return resolve


def _median_step_ms(times_ns: Sequence[int]) -> float | None:
    if len(times_ns) < 2:
        return None
    return round(float(np.median(np.diff(np.asarray(times_ns, np.int64)))) / 1e6, 3)
