"""Our ways of reading a book frame: scanned to rows, decoded to events, and the bare JSON decoder for comparison.

`python -m benchmarks.feeds.interlock_feed FILE`, where FILE holds one JSON object a line, as `benchmarks.book_frames.Frames` has fields. One JSON
object on stdout: set, way, nanoseconds of every message, and the best bid and ask at the end.
"""

import dataclasses
import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.book_frames import Frames
from interlock.market.shipped import SHIPPED
from interlock.venues.binance_usdm import hot as binance_hot
from interlock.venues.binance_usdm import public as binance_public
from interlock.venues.bybit import hot as bybit_hot
from interlock.venues.bybit import public as bybit_public
from interlock.venues.feed import Taken
from interlock.venues.hot import Columns, among
from interlock.venues.upbit import hot as upbit_hot
from interlock.venues.upbit import public as upbit_public

FEEDS: dict[str, tuple[Any, Any]] = {
    "bybit": (bybit_hot.Feed, bybit_public.Feed),
    "binance_usdm": (binance_hot.Feed, binance_public.Feed),
    "upbit": (upbit_hot.Feed, upbit_public.Feed),
}


def begin(feed: Any, frames: Frames) -> None:
    """Give a feed what comes before the frames that are timed."""
    if frames.venue != "binance_usdm":
        said = feed.take(frames.begin.encode())
    else:
        said = feed.snapshot(frames.symbol, frames.begin.encode())
    assert isinstance(said, Taken), said


def timed(read: Callable[[bytes], Any], frames: list[bytes], kind: type | None) -> list[int]:
    """Nanoseconds of each frame; all must be taken."""
    found, clock = [], time.perf_counter_ns
    for frame in frames:
        began = clock()
        said = read(frame)
        found.append(clock() - began)
        assert kind is None or isinstance(said, kind), said
    return found


def best(feed: Any, frames: Frames) -> list[float]:
    """The best bid and ask at the end, as numbers."""
    book, quantum = feed.book(frames.symbol), SHIPPED[f"{frames.venue}:{frames.symbol}"].quantum
    return [float(book.best_bid * quantum), float(book.best_ask * quantum)]


def measure(frames: Frames) -> dict[str, Any]:
    """All three ways over one set."""
    instruments = [SHIPPED[f"{frames.venue}:{frames.symbol}"]]
    raw = [frame.encode() for frame in frames.frames]
    make_hot, make_decoding = FEEDS[frames.venue]
    hot, decoding, bare = make_hot(instruments), make_decoding(among(instruments)), msgspec.json.Decoder().decode
    for feed in (hot, decoding):
        begin(feed, frames)
    gc.collect()
    times = {
        "scan": timed(lambda frame: hot.columns(frame, 1), raw, Columns),
        "take": timed(decoding.take, raw, Taken),
        "msgspec": timed(bare, raw, None),
    }
    return {"set": frames.name, "times_ns": times, "best": [best(hot, frames), best(decoding, frames)], "scanned": hot.scanned}


def main(path: Path) -> int:
    """Every set of the file."""
    sets = [msgspec.json.decode(line, type=Frames) for line in path.read_bytes().splitlines()]
    for frames in sets:
        measure(dataclasses.replace(frames, frames=frames.frames[:50]))  # what is compiled or met for the first time
    sys.stdout.write(json.dumps([measure(frames) for frames in sets]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
