"""What a recorded line says, read without the typed wire structs: the second opinion of `tape verify`."""

from __future__ import annotations

import ast
import json
from decimal import Decimal
from typing import Any

from interlock.market.tape_verify import FrameFacts
from interlock.venues.plain_lines import time_and_body


def frame_facts(line: bytes) -> FrameFacts:
    """The facts of a line in any of the shapes of `capture`. Raises ValueError for a line that has none of them.

    Upbit numbers no books, and its trade ids do not always rise, so there are no ids to check.
    """
    time, text = time_and_body(line)
    try:
        return _facts(time, json.loads(ast.literal_eval(text.decode()) if text.startswith(b"b") else text, parse_float=Decimal))
    except (SyntaxError, MemoryError, RecursionError, AttributeError, TypeError) as error:
        raise ValueError(f"no frame: {error!r}") from error


def _facts(time: int, body: dict[str, Any]) -> FrameFacts:
    kind, symbol = _either(body, "type", "ty"), _either(body, "code", "cd") or ""
    if kind == "trade":
        return FrameFacts(time, "other", symbol, rows=1)
    if kind == "orderbook":
        units = _either(body, "orderbook_units", "obu")
        sides = (("ask_price", "ap"), ("bid_price", "bp"))
        return FrameFacts(time, "other", symbol, rows=1 + sum(1 for unit in units for side in sides if _either(unit, *side)))
    return FrameFacts(time, "other", symbol)


def _either(body: dict[str, Any], long: str, short: str) -> Any:
    return body.get(long, body.get(short))
