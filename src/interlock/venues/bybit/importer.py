"""Import of recorded Bybit v5 public frames into a tape (format `bybit-v5-raw`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from interlock.domain.instruments import Instrument
from interlock.market.clock_fix import FLOOR_NS
from interlock.market.collect import RowCollector
from interlock.market.sources import Progress, no_progress
from interlock.venues.bybit.capture import SHAPES
from interlock.venues.bybit.infer import infer
from interlock.venues.bybit.public import Feed
from interlock.venues.bybit.rules import VENUE
from interlock.venues.feed_rows import FeedRows
from interlock.venues.importing import import_recording, resolver
from interlock.venues.recorded import Shape

FORMAT = "bybit-v5-raw"
_ABOUT = (
    "exchange_ns is the matching engine's time: cts of a book, T of a trade; ts of a ticker, and of a book without cts",
    "an archive has no receive time: the gateway's ts stands for it, and the feed latency is assumed",
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

    Instruments come from `given` (by key), else from the shipped table, else from the decimals seen. `floor_ns` is the smallest latency to
    assume where there is no receive clock, or none that can be used. Raises BadInput naming file and line for whatever is wrong with a
    file, a frame that the feed refuses among it; nothing is left behind then.
    """

    def begin(files: Sequence[tuple[Path, Shape]], collector: RowCollector) -> FeedRows:
        names = [path for path, _ in files]
        return FeedRows(collector, Feed, resolver(VENUE, given, lambda symbol: infer(names, symbol)), about=_ABOUT)

    return import_recording(paths, out, SHAPES, begin, floor_ns=floor_ns, progress=progress)
