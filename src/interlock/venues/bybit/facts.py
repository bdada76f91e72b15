"""What a recorded line says, read without the typed wire structs: the second opinion of `tape verify`."""

from __future__ import annotations

import json
from typing import Any

from interlock.market.tape_verify import FrameFacts
from interlock.venues.plain_lines import time_and_body


def frame_facts(line: bytes) -> FrameFacts:
    """The facts of a line in any of the shapes of `capture`. Raises ValueError for a line that has none of them.

    The chain is that of the topic: a symbol's depths are numbered apart. Trade ids are text, so there is no order of theirs to check.
    """
    try:
        if line.lstrip().startswith(b"{"):
            body = json.loads(line)
            return _facts(body["ts"] * 1_000_000, body)
        time, text = time_and_body(line)
        return _facts(time, json.loads(text))
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no frame: {error!r}") from error


def _facts(time: int, body: dict[str, Any]) -> FrameFacts:
    topic = body.get("topic", "")
    if topic.startswith("orderbook."):
        data = body["data"]
        update, rows = data["u"], len(data["b"]) + len(data["a"])
        if body["type"] == "snapshot" or update == 1:
            return FrameFacts(time, "snapshot", topic, update, update, 0, rows=1 + rows)
        return FrameFacts(time, "depth", topic, update, update, update - 1, rows=rows)
    if topic.startswith("publicTrade."):
        return FrameFacts(time, "other", topic, rows=len(body["data"]))
    if topic.startswith("tickers."):
        data = body["data"]
        return FrameFacts(time, "other", topic, rows=bool(data.get("markPrice")) + bool(data.get("fundingRate")))
    return FrameFacts(time, "other", topic)
