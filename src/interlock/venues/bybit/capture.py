"""The shapes of recorded lines of Bybit v5 (`venues.recorded` says how the first two look).

archive    `{"topic":...,"ts":1733011200691,...}`: a frame a line and nothing in front, as Bybit publishes its order book history. The
           time is `ts`, when the gateway sent it: nobody received it.
"""

from __future__ import annotations

import re

import msgspec

from interlock.market.numbers import Scale
from interlock.venues.feed import NS_PER_MS, Count
from interlock.venues.recorded import PLAYBACK, RECORDER, Parts, Shape, Shapes


class _Sent(msgspec.Struct, gc=False):
    ts: Count


_decode_sent = msgspec.json.Decoder(_Sent).decode


def _split_archive(line: bytes, seconds: Scale) -> Parts:
    try:
        return _decode_sent(line).ts * NS_PER_MS, "", line
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(str(error)) from error


ARCHIVE = Shape("archive", re.compile(rb"\{"), _split_archive, remarks=False, received=False)
SHAPES = Shapes(
    (RECORDER, PLAYBACK, ARCHIVE),
    "expected a Bybit v5 capture (`<receive time> {json}`, `<seconds>: {json}` after a wss:// line, or `{json}` with `ts` as in Bybit's archive)",
)
