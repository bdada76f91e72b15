"""Recorded lines: a receive time and a frame, in the shapes that recorders write. Each venue says which shapes it knows.

recorder   `1723161255030314667 {...}`: receive time (19 digits ns, 16 µs, 13 ms), a space, the frame as received. (hftbacktest's
           recorder, collect-binancefutures)
playback   `1626992741.06217: {...}`: receive time in seconds, after a first line that is the subscribed URL. (cryptofeed)
requests   `https://... -> 1626992741.301402: {...}`: request, receive time in seconds, body. (cryptofeed)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from interlock.domain.errors import BadInput
from interlock.market.numbers import Scale
from interlock.market.sources import Source

RECEIVE_TOLERANCE_NS = 1_000_000
"""A receive time may go back by this much (threads of one recorder); it is then set to the one before."""

LATEST_NS = 7_258_118_400_000_000_000
"""2200-01-01. A later time is a damaged one, and would not fit int64 once corrected."""

_DIGIT_UNITS = {19: 1, 16: 1_000, 13: 1_000_000}
_NOT_FRAMES = (b"wss://", b"ws://", b"configuration: ")


class Line(NamedTuple):
    """One recorded frame. Sorts in receive order: `receive_ns` never goes back within a file (`recorded_ns` may, by
    `RECEIVE_TOLERANCE_NS`). `url` is the request of a REST body, else empty."""

    receive_ns: int
    file: int
    line: int
    recorded_ns: int
    offset: int
    length: int
    url: str
    body: bytes


Parts = tuple[int, str, bytes]
"""Recorded time in ns, the request's URL or nothing, the frame."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One way to write a recording down.

    `first` matches the beginning of the first line of such a file; `split` takes a line apart, with a scale that reads seconds as ns, and
    raises ValueError. `remarks`: lines that are no frames (blank ones, a URL, a configuration) may stand between the others. `received`
    is False where the time is not that of a receiver but the venue's own.
    """

    name: str
    first: re.Pattern[bytes]
    split: Callable[[bytes, Scale], Parts]
    remarks: bool = True
    received: bool = True


@dataclass(frozen=True, slots=True)
class Shapes:
    """The shapes that a venue's recordings come in, told apart by content; `expected` is what a person is told they look like."""

    known: tuple[Shape, ...]
    expected: str

    def of(self, path: Path) -> Shape:
        """The shape of a file. Raises BadInput for a file of none."""
        for _, _, line in Source(path).lines():
            for shape in self.known:
                if shape.first.match(line):
                    return shape
            raise BadInput(path, "line 1", f"{self.expected}, found {_shown(line)}")
        raise BadInput(path, "", "expected recorded lines, found an empty file")

    def read(self, source: Source, number: int, shape: Shape, keep: Callable[[bytes], None] | None = None) -> Iterator[Line]:
        """The frames of file `number`; `keep` gets all its bytes. Raises BadInput naming the line that is not of the shape, or goes back in time."""
        seconds = Scale(Decimal("1e-9"), "receive time")
        latest = 0
        for line_number, offset, line in source.lines(keep):
            if shape.remarks and (not line or line.startswith(_NOT_FRAMES)):
                continue
            try:
                recorded, url, body = shape.split(line, seconds)
                if recorded > LATEST_NS:
                    raise ValueError("the receive time is after the year 2200")
            except ValueError as error:
                raise BadInput(source.path, f"line {line_number}", f"{self.expected}, found {_shown(line)} ({error})") from error
            if recorded < latest - RECEIVE_TOLERANCE_NS:
                raise BadInput(
                    source.path,
                    f"line {line_number}",
                    f"expected a receive time of at least {latest} ns, found {recorded}: time goes back",
                )
            latest = max(latest, recorded)
            yield Line(latest, number, line_number, recorded, offset, len(line), url, body)


def split_recorder(line: bytes, seconds: Scale) -> Parts:
    """Take `<13, 16 or 19 digits> <frame>` apart."""
    time, space, body = line.partition(b" ")
    unit = _DIGIT_UNITS.get(len(time))
    if not space or unit is None or not time.isdigit():
        raise ValueError("no receive time of 13, 16 or 19 digits")
    return int(time) * unit, "", body


def split_playback(line: bytes, seconds: Scale) -> Parts:
    """Take `<seconds>: <frame>` apart."""
    time, colon, body = line.partition(b": ")
    if not colon:
        raise ValueError("no `<seconds>: `")
    return seconds[time.decode()], "", body


def split_request(line: bytes, seconds: Scale) -> Parts:
    """Take `<url> -> <seconds>: <body>` apart."""
    url, arrow, rest = line.partition(b" -> ")
    if not arrow:
        raise ValueError("no ` -> `")
    time, _, body = split_playback(rest, seconds)
    return time, url.decode(), body


RECORDER = Shape("recorder", re.compile(rb"[0-9]{13,19} \{"), split_recorder, remarks=False)
PLAYBACK = Shape("playback", re.compile(rb"wss?://|[0-9]+(\.[0-9]+)?: \{"), split_playback)
REQUESTS = Shape("requests", re.compile(rb"https?://\S+ -> [0-9]+(\.[0-9]+)?: "), split_request)


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
