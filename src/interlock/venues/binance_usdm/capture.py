"""The shapes of recorded lines of Binance USDⓈ-M (`venues.recorded` says how each looks).

A REST depth snapshot is a line of its own without `stream`: somewhere among the frames of a recorder, or in a file of requests.
"""

from __future__ import annotations

from interlock.venues.recorded import PLAYBACK, RECORDER, REQUESTS, Shapes

SHAPES = Shapes(
    (RECORDER, PLAYBACK, REQUESTS),
    "expected a Binance USDⓈ-M capture (`<receive time> {json}`, `<seconds>: {json}` after a wss:// line, "
    "or `https://... -> <seconds>: {json}`)",
)
