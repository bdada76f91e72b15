"""Ids in the shape of Bybit's (UUIDs) for the numbers that the venue counts by; each id leads back to its number and nothing else does."""

from __future__ import annotations

from enum import IntEnum
from typing import Final
from uuid import UUID

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
    return str(UUID(int=mixed ^ mixed >> 64))


def number_of(what: Of, text: str) -> int:
    """The number of an id; 0 for one that was never given out for such a thing."""
    try:
        folded = UUID(text).int
    except ValueError:
        return 0
    whole = (folded ^ folded >> 64) * _BACK % _BITS
    number = whole >> 8
    return number if whole & 0xFF == what and number < 1 << 63 and id_of(what, number) == text else 0
