"""Import of recorded Upbit WebSocket frames into a tape (format `upbit-raw`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interlock.domain.instruments import Instrument
from interlock.market.clock_fix import FLOOR_NS
from interlock.market.collect import RowCollector
from interlock.market.sources import Progress, no_progress
from interlock.venues.feed_rows import FeedRows
from interlock.venues.importing import import_recording, resolver
from interlock.venues.recorded import Shape
from interlock.venues.upbit.capture import SHAPES
from interlock.venues.upbit.public import VENUE, Feed, instrument

FORMAT = "upbit-raw"
_ABOUT = (
    "exchange_ns is the book's timestamp and the trade's trade_timestamp",
    "each orderbook message is a whole book: a CLEAR row and its levels; the venue numbers nothing, so a missing frame cannot be seen",
)


def import_capture(
    paths: Sequence[Path],
    out: Path,
    *,
    given: Mapping[str, Instrument] | None = None,
    floor_ns: int = FLOOR_NS,
    progress: Progress = no_progress,
) -> Path:
    """Make a tape at `out` from the files of one recording, in one of the shapes that `capture` names, merged by receive time.

    Instruments come from `given` (by key), else from the shipped table, else from Upbit's documented price units (inferred outside the won
    market). `floor_ns` is the smallest latency to assume where the receive clock cannot be used. Raises BadInput naming file and line for
    whatever is wrong with a file, a frame that the feed refuses among it; nothing is left behind then.
    """

    def begin(files: Sequence[tuple[Path, Shape]], collector: RowCollector) -> FeedRows:
        return FeedRows(collector, Feed, resolver(VENUE, given, instrument), about=_ABOUT)

    return import_recording(paths, out, SHAPES, begin, floor_ns=floor_ns, progress=progress)
