"""Import of recorded Binance USDⓈ-M captures into a tape (format `binance-usdm-raw`)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

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
from interlock.venues.binance_usdm.capture import RECEIVE_TOLERANCE_NS, Line, read_lines, shape_of
from interlock.venues.binance_usdm.infer import infer
from interlock.venues.binance_usdm.public import VENUE, Gap, SnapshotTooOld, instruments
from interlock.venues.binance_usdm.rows import RowMaker
from interlock.venues.binance_usdm.wire import (
    decode_envelope,
    decode_exchange_info,
    decode_other,
    decode_snapshot,
)

FORMAT = "binance-usdm-raw"
_PRICED = (RowKind.DEPTH, RowKind.TRADE, RowKind.BLOCK_TRADE)


def import_capture(
    paths: Sequence[Path],
    out: Path,
    *,
    given: Mapping[str, Instrument] | None = None,
    floor_ns: int = FLOOR_NS,
    progress: Progress = no_progress,
) -> Path:
    """Make a tape at `out` from the files of one recording, in one of the shapes that `capture` names.

    Several files (streams and requests of one recorder) are merged by receive time. Instruments come from `given` (by
    key), else from a recorded exchangeInfo among the files, else from the shipped table, else from the decimals seen.
    `floor_ns` is the smallest latency to assume where the receive clock cannot be used. Raises BadInput naming file and
    line for whatever is wrong with a file; nothing is left behind then.
    """
    if not paths:
        raise UsageError("tape import: expected at least one file, found none")
    if len({path.resolve() for path in paths}) < len(paths):
        raise UsageError("tape import: expected each file once, found one named twice")
    shapes = [shape_of(path) for path in paths]
    with new_folder(out) as folder:
        _Import(paths, shapes, folder, given, floor_ns, progress).run()
    return out


class _Import:
    """One import: the files, what has been read of them, and the rows so far."""

    def __init__(
        self,
        paths: Sequence[Path],
        shapes: Sequence[str],
        folder: Path,
        given: Mapping[str, Instrument] | None,
        floor_ns: int,
        progress: Progress,
    ) -> None:
        self._paths = paths
        self._shapes = shapes
        self._folder = folder
        self._given = given
        self._floor_ns = floor_ns
        self._sources = [Source(path, progress) for path in paths]
        self._recorded = self._recorded_instruments()
        self._collector = RowCollector()
        self._maker = RowMaker(self._collector, self._resolve)
        self._symbols_of: list[set[str]] = [set() for _ in paths]
        self._clamped = 0

    def run(self) -> None:
        """Read everything and fill the folder."""
        (self._folder / "raw").mkdir()
        writers = [RawWriter(self._folder / f"raw/{n}.zst") for n in range(len(self._paths))]
        try:
            readers = [
                read_lines(source, n, shape, writer.write)
                for n, (source, shape, writer) in enumerate(zip(self._sources, self._shapes, writers, strict=True))
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
        receive_ns = line.receive_ns
        self._clamped += receive_ns != line.recorded_ns
        frame = self._collector.frame(line.recorded_ns, line.offset, line.length, line.file, line.line)
        body = line.body
        try:
            if b'"lastUpdateId"' in body[:40]:
                self._take_snapshot(line, frame)
            elif line.url or body.startswith((b'{"result"', b'{"id"')):
                pass  # an answer to a request: kept as a raw frame, no market event
            else:
                self._take_event(line, frame)
        except (ValueError, ArithmeticError, Gap, SnapshotTooOld, msgspec.DecodeError) as error:
            raise BadInput(self._paths[line.file], f"line {line.line}", str(error) or type(error).__name__) from error

    def _take_event(self, line: Line, frame: int) -> None:
        try:
            envelope = decode_envelope(line.body)
        except msgspec.ValidationError as error:
            # A stream without a type here is passed over; a known one that does not fit is an error.
            if "Invalid value" in str(error) and str(error).endswith("`$.data.e`"):
                self._maker.counts[f"ignored {decode_other(line.body).data.e}"] += 1
                return
            raise
        symbols = self._symbols_of[line.file]
        if envelope.data.s not in symbols:
            symbols.add(envelope.data.s)
        self._maker.message(envelope.stream, envelope.data, frame, line.receive_ns)

    def _take_snapshot(self, line: Line, frame: int) -> None:
        snapshot = decode_snapshot(line.body)
        if line.url:
            names = parse_qs(urlsplit(line.url).query).get("symbol", [])
        else:
            names = sorted(self._symbols_of[line.file])
        if len(names) != 1:
            raise ValueError(f"expected a depth snapshot after the streams of exactly one symbol, found {', '.join(names) or 'none'}")
        self._maker.snapshot(self._maker.symbol(names[0]), snapshot, frame, line.receive_ns)

    def _resolve(self, symbol: str) -> Instrument:
        key = f"{VENUE}:{symbol}"
        if self._given is not None or self._recorded:
            known = {**self._recorded, **(self._given or {})}
            if key not in known:
                raise ValueError(f"unknown symbol {symbol}: expected one of {', '.join(sorted(known))}; add it to --instrument")
            return known[key]
        return SHIPPED.get(key) or infer(self._paths, symbol)

    def _recorded_instruments(self) -> dict[str, Instrument]:
        found: dict[str, Instrument] = {}
        for number, (path, shape) in enumerate(zip(self._paths, self._shapes, strict=True)):
            for line in read_lines(Source(path), number, shape) if shape == "requests" else ():
                if "/exchangeInfo" not in line.url:
                    continue
                try:
                    info = decode_exchange_info(line.body)
                    found |= {i.key: i for i in instruments(info)}
                except (ValueError, ArithmeticError, msgspec.DecodeError) as error:
                    raise BadInput(path, f"line {line.line}", f"exchangeInfo: {error}") from error
        return found

    def _finish(self) -> None:
        states = sorted(self._maker.symbols.values(), key=lambda state: state.instrument.symbol)
        for state in states:
            if state.waiting:
                raise BadInput(
                    self._paths[0],
                    "",
                    f"{state.instrument.symbol}: expected a depth snapshot among its depth events, found none; "
                    "give the file that holds it as well",
                )
        numbers = np.zeros(len(states) or 1, np.int64)
        for position, state in enumerate(states):
            numbers[state.number] = position
        rows, frames = self._collector.finish(numbers)
        self._check_prices(rows, frames)
        latencies = np.frombuffer(self._maker.latencies, np.int64) if self._maker.latencies else np.zeros(0, np.int64)
        clock = judge(latencies, self._floor_ns, RECEIVE_TOLERANCE_NS, self._clamped)
        rows["receive_ns"] += clock.offset_ns
        fill_folder(
            self._folder,
            rows,
            [state.instrument for state in states],
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
                state.instrument.key: DepthInterval(declared_ms=state.declared_depth_ms, measured_ms=_median_step_ms(state.depth_ns))
                for state in states
            },
            notes=list(self._notes()),
        )

    def _check_prices(self, rows: Rows, frames: Rows) -> None:
        bad = np.flatnonzero((rows["ticks"] == 0) & np.isin(rows["kind"], _PRICED))
        if len(bad):
            frame = frames[rows["frame"][bad[0]]]
            raise BadInput(self._paths[int(frame["file"])], f"line {frame['line']}", "expected a positive price, found 0")

    def _notes(self) -> Iterator[str]:
        yield "exchange_ns is the venue's transaction time T (E for mark prices)"
        yield "book rows begin when the snapshot was received; diffs kept until then carry that receive time"
        for name, count in sorted(self._maker.counts.items()):
            yield f"{name}: {count}"


def _median_step_ms(times_ns: Sequence[int]) -> float | None:
    if len(times_ns) < 2:
        return None
    return round(float(np.median(np.diff(np.asarray(times_ns, np.int64)))) / 1e6, 3)
