"""Pages of a list, newest first: a cursor names the last thing that was shown, and is the client's to send back as it came or decoded once more."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import unquote

from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.words import PARAMS, Failed

T = TypeVar("T")


def page(ask: Ask, found: Sequence[T], position: Callable[[T], int], *, default: int, most: int) -> tuple[list[T], str]:
    """The page that was asked for of a list in order of falling `position`, and the cursor of the next one, empty after the last."""
    limit = ask.whole("limit", default, 1, most)
    text = unquote(unquote(ask.text("cursor")))
    if text:
        token = re.fullmatch(r"page_token=(\d{1,30})&", text)
        if token is None:
            raise Failed(PARAMS, "params error: cursor invalid")
        found = [item for item in found if position(item) < int(token[1])]
    shown = list(found[:limit])
    return shown, f"page_token%3D{position(shown[-1])}%26" if len(found) > limit else ""
