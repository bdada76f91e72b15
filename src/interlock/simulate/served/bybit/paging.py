"""Pages of a list, newest first: a cursor names the last thing that was shown, and is the client's to send back as it came or decoded once more."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar
from urllib.parse import unquote

from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.words import PARAMS, Failed

T = TypeVar("T")
PLACES: Final = 1_000_000
"""How many numbers a nanosecond has room for in the position of something that is listed by time."""
FIRST: Final = 10**31
"""A position beyond every one that a cursor can name: the first page begins below it."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that was asked for: so many at most, with positions below `below`."""

    limit: int
    below: int

    def cut(self, found: Iterable[T], position: Callable[[T], int]) -> tuple[list[T], str]:
        """The page of a list in order of falling `position`, read no further than needed, and the cursor of the next one, empty after the last."""
        shown = list(islice((item for item in found if position(item) < self.below), self.limit + 1))
        if len(shown) <= self.limit:
            return shown, ""
        return shown[: self.limit], f"page_token%3D{position(shown[self.limit - 1])}%26"


def asked_page(ask: Ask, *, default: int, most: int) -> Page:
    """The page that is asked for. Raises Failed for a limit or a cursor that is none."""
    limit = ask.whole("limit", default, 1, most)
    text = unquote(unquote(ask.text("cursor")))
    token = re.fullmatch(r"page_token=(\d{1,30})&", text)
    if text and token is None:
        raise Failed(PARAMS, "params error: cursor invalid")
    return Page(limit, FIRST if token is None else int(token[1]))


def page(ask: Ask, found: Iterable[T], position: Callable[[T], int], *, default: int, most: int) -> tuple[list[T], str]:
    """The page that was asked for of a list in order of falling `position`, and the cursor of the next one, empty after the last. Raises Failed."""
    return asked_page(ask, default=default, most=most).cut(found, position)
