"""Ids in the shape of Bybit's (UUIDs) for the numbers that the venue counts by; each id leads back to its number and nothing else does."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

_SHAPE: Final = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{4})-([0-9a-f]{12})")
_BITS: Final = 1 << 128
_STRETCH: Final = 0x9E3779B97F4A7C15F39CC0605CEDC835
_BACK: Final = pow(_STRETCH, -1, _BITS)


class Of(IntEnum):
    """What an id names."""

    ORDER = 1
    EXECUTION = 2
    PUBLIC_TRADE = 3
    FUNDING = 4
    MESSAGE = 5
    CONNECTION = 6
    BOOKING = 7
    FUNDING_ORDER = 8


def id_of(what: Of, number: int) -> str:
    """The id of a number."""
    mixed = (number << 8 | what) * _STRETCH % _BITS
    text = f"{mixed ^ mixed >> 64:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def number_of(what: Of, text: str) -> int:
    """The number of an id; 0 for one that was never given out for such a thing."""
    shaped = _SHAPE.fullmatch(text)
    if shaped is None:
        return 0
    folded = int("".join(shaped.groups()), 16)
    whole = (folded ^ folded >> 64) * _BACK % _BITS
    number = whole >> 8
    return number if whole & 0xFF == what and number < 1 << 63 else 0
