"""What a recorded line says, read without the typed wire structs: the second opinion of `tape verify`."""

from __future__ import annotations

import msgspec

from interlock.market.tape_verify import FrameFacts
from interlock.venues.plain_lines import time_and_body


def frame_facts(line: bytes) -> FrameFacts:
    """The facts of a line in any of the shapes of `capture`. Raises ValueError for a line that has none of them."""
    time, text = time_and_body(line)
    try:
        body = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    if not isinstance(body, dict):
        return FrameFacts(time, "other")
    if "lastUpdateId" in body:
        rows = 1 + len(body["bids"]) + len(body["asks"])
        return FrameFacts(time, "snapshot", last=body["lastUpdateId"], rows=rows)
    data = body.get("data")
    if not isinstance(data, dict):
        return FrameFacts(time, "other")
    kind, symbol = data.get("e"), data.get("s", "")
    if kind == "depthUpdate":
        rows = len(data["b"]) + len(data["a"])
        return FrameFacts(time, "depth", symbol, data["U"], data["u"], data["pu"], rows=rows)
    if kind == "bookTicker":
        return FrameFacts(time, "top", symbol, data["u"], data["u"], rows=2)
    if kind in ("trade", "aggTrade"):
        stream = f"{symbol} {kind}"
        return FrameFacts(time, "trade", stream, trade_id=data["t" if kind == "trade" else "a"], rows=1)
    if kind == "markPriceUpdate":
        return FrameFacts(time, "other", symbol, rows=2 if data["r"] else 1)
    return FrameFacts(time, "other", symbol)
