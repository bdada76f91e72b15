"""Recorded lines of Binance USDⓈ-M in three shapes, told apart by content.

recorder   `1723161255030314667 {"stream":...}`: receive time (19 digits ns, 16 µs, 13 ms), a space, the frame as received. A REST
           depth snapshot is a line of its own without `stream`, somewhere in the file. (hftbacktest's recorder, collect-binancefutures)
playback   `1626992741.06217: {"stream":...}`: receive time in seconds, after a first line that is the subscribed URL. (cryptofeed)
requests   `https://... -> 1626992741.301402: {...}`: request, receive time in seconds, body. (cryptofeed)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
_SHAPES = (
    ("recorder", re.compile(rb"[0-9]{13,19} \{")),
    ("playback", re.compile(rb"wss?://|[0-9]+(\.[0-9]+)?: \{")),
    ("requests", re.compile(rb"https?://\S+ -> [0-9]+(\.[0-9]+)?: ")),
)
_NOT_FRAMES = (b"wss://", b"ws://", b"configuration: ")
EXPECTED = (
    "expected a Binance USDⓈ-M capture (`<receive time> {json}`, `<seconds>: {json}` after a wss:// line, "
    "or `https://... -> <seconds>: {json}`)"
)


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


def shape_of(path: Path) -> str:
    """The shape of a file: recorder, playback or requests. Raises BadInput for anything else."""
    for _, _, line in Source(path).lines():
        for name, pattern in _SHAPES:
            if pattern.match(line):
                return name
        raise BadInput(path, "line 1", f"{EXPECTED}, found {_shown(line)}")
    raise BadInput(path, "", "expected recorded lines, found an empty file")


def read_lines(source: Source, number: int, shape: str, keep: Callable[[bytes], None] | None = None) -> Iterator[Line]:
    """The frames of file `number`. Raises BadInput naming the line where one is not of the shape or time goes back."""
    split = {"recorder": _recorder, "playback": _playback, "requests": _request}[shape]
    seconds = Scale(Decimal("1e-9"), "receive time")
    latest = 0
    for line_number, offset, line in source.lines(keep):
        if shape != "recorder" and (not line or line.startswith(_NOT_FRAMES)):
            continue
        try:
            recorded, url, body = split(line, seconds)
            if recorded > LATEST_NS:
                raise ValueError("the receive time is after the year 2200")
        except ValueError as error:
            raise BadInput(source.path, f"line {line_number}", f"{EXPECTED}, found {_shown(line)} ({error})") from error
        if recorded < latest - RECEIVE_TOLERANCE_NS:
            raise BadInput(
                source.path,
                f"line {line_number}",
                f"expected a receive time of at least {latest} ns, found {recorded}: time goes back",
            )
        latest = max(latest, recorded)
        yield Line(latest, number, line_number, recorded, offset, len(line), url, body)


def _recorder(line: bytes, seconds: Scale) -> tuple[int, str, bytes]:
    time, space, body = line.partition(b" ")
    unit = _DIGIT_UNITS.get(len(time))
    if not space or unit is None or not time.isdigit():
        raise ValueError("no receive time of 13, 16 or 19 digits")
    return int(time) * unit, "", body


def _playback(line: bytes, seconds: Scale) -> tuple[int, str, bytes]:
    time, colon, body = line.partition(b": ")
    if not colon:
        raise ValueError("no `<seconds>: `")
    return seconds[time.decode()], "", body


def _request(line: bytes, seconds: Scale) -> tuple[int, str, bytes]:
    url, arrow, rest = line.partition(b" -> ")
    if not arrow:
        raise ValueError("no ` -> `")
    time, _, body = _playback(rest, seconds)
    return time, url.decode(), body


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", "replace"))
