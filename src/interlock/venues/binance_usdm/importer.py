"""Import of recorded Binance USDⓈ-M captures into a tape (format `binance-usdm-raw`)."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from interlock.domain.errors import BadInput
from interlock.domain.instruments import Instrument
from interlock.market.clock_fix import FLOOR_NS
from interlock.market.collect import RowCollector
from interlock.market.sources import Progress, Source, no_progress
from interlock.venues.binance_usdm.capture import SHAPES
from interlock.venues.binance_usdm.infer import infer
from interlock.venues.binance_usdm.public import VENUE, Gap, SnapshotTooOld
from interlock.venues.binance_usdm.rows import RowMaker
from interlock.venues.binance_usdm.rules import instruments
from interlock.venues.binance_usdm.wire import (
    decode_envelope,
    decode_exchange_info,
    decode_other,
    decode_snapshot,
)
from interlock.venues.importing import Read, import_recording, resolver
from interlock.venues.port import Nonsense
from interlock.venues.recorded import REQUESTS, Line, Shape

FORMAT = "binance-usdm-raw"


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

    def begin(files: Sequence[tuple[Path, Shape]], collector: RowCollector) -> _Capture:
        return _Capture(files, collector, given)

    return import_recording(paths, out, SHAPES, begin, floor_ns=floor_ns, progress=progress)


class _Capture:
    """The `Taker` of one import."""

    def __init__(self, files: Sequence[tuple[Path, Shape]], collector: RowCollector, given: Mapping[str, Instrument] | None) -> None:
        self._paths = [path for path, _ in files]
        recorded = _recorded_instruments(files)
        known = {**recorded, **(given or {})} if given is not None or recorded else None
        self._maker = RowMaker(collector, resolver(VENUE, known, lambda symbol: infer(self._paths, symbol)))
        self._symbols_of: list[set[str]] = [set() for _ in files]

    @property
    def latencies_ns(self) -> array[int]:
        """See `Taker`."""
        return self._maker.latencies

    def take(self, line: Line, frame: int) -> None:
        """See `Taker`."""
        body = line.body
        try:
            if b'"lastUpdateId"' in body[:40]:
                self._take_snapshot(line, frame)
            elif line.url or body.startswith((b'{"result"', b'{"id"')):
                pass  # an answer to a request: kept as a raw frame, no market event
            else:
                self._take_event(line, frame)
        except (Gap, SnapshotTooOld) as error:
            raise ValueError(str(error)) from error

    def read(self) -> Sequence[Read]:
        """See `Taker`."""
        states = sorted(self._maker.symbols.values(), key=lambda state: state.number)
        for state in sorted(states, key=lambda state: state.instrument.symbol):
            if state.waiting:
                raise BadInput(
                    self._paths[0],
                    "",
                    f"{state.instrument.symbol}: expected a depth snapshot among its depth events, found none; "
                    "give the file that holds it as well",
                )
        return [Read(state.instrument, state.declared_depth_ms, state.depth_ns) for state in states]

    def notes(self) -> Sequence[str]:
        """See `Taker`."""
        return [
            "exchange_ns is the venue's transaction time T (E for mark prices)",
            "book rows begin when the snapshot was received; diffs kept until then carry that receive time",
            *(f"{name}: {count}" for name, count in sorted(self._maker.counts.items())),
        ]

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


def _recorded_instruments(files: Sequence[tuple[Path, Shape]]) -> dict[str, Instrument]:
    found: dict[str, Instrument] = {}
    for number, (path, shape) in enumerate(files):
        for line in SHAPES.read(Source(path), number, shape) if shape is REQUESTS else ():
            if "/exchangeInfo" not in line.url:
                continue
            try:
                info = decode_exchange_info(line.body)
                found |= {i.key: i for i in instruments(info)}
            except (Nonsense, ValueError, msgspec.DecodeError) as error:
                raise BadInput(path, f"line {line.line}", f"exchangeInfo: {error}") from error
    return found
