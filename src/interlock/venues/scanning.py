"""Reading the bytes of a frame in compiled code: literals, integers, decimal numbers and lists of price levels, all of them checked.

Nothing here is lenient. A reader that meets anything but what it expects answers NOT_MINE, and the frame is left to the decoder, which knows all of
JSON and says what is wrong. So what is read here is the common shape of a frame and means the same there: no blanks, no escapes, ASCII only.

A byte past the end reads as 0, which is no part of any shape, so that no index leaves the frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from interlock.domain.instruments import Instrument
from interlock.market.columns import RowKind
from interlock.market.compiled import compiled, unsigned
from interlock.market.numbers import decimals

NOT_MINE = -1
"""What a reader answers in place of a value, a count or a position."""

DIGITS = 18
"""More digits than these are left to the decoder: with them every sum here stays below 10**18, which an int64 holds."""

_ABOVE = 10**DIGITS
_MOST_PLACES = 12

QUOTE, COMMA, MINUS, PLUS, POINT, ZERO, NINE = b'",-+.09'
OPEN_LIST, CLOSE_LIST, CLOSE_OBJECT, BIG_E, SMALL_E = b"[]}Ee"
_DEPTH, _CLEAR = int(RowKind.DEPTH), int(RowKind.CLEAR)

FACTS = np.dtype(
    [
        ("price_places", "<i8"),
        ("price_step", "<i8"),
        ("size_places", "<i8"),
        ("size_step", "<i8"),
        ("instrument", "<i8"),
        ("name_at", "<i8"),
        ("name_end", "<i8"),
    ]
)
"""What a scan must know of a symbol: a price is `price_step` times 10**-`price_places` for each tick, a size likewise for each lot; the number of the
instrument; and where in a frame its name stands (the bytes from name_at to name_end)."""

Facts = npt.NDArray[np.void]

NO_FACTS: Facts = np.zeros(1, FACTS)
"""Those of no symbol, for a call that only compiles."""


def facts(instrument: Instrument, number: int, name_at: int = 0, name_end: int = 0) -> Facts | None:
    """One record of FACTS; None for an instrument whose units are too fine or too coarse to be counted here."""
    units = [(decimals(unit), int(unit.scaleb(decimals(unit)))) for unit in (instrument.quantum, instrument.lot)]
    if any(places > _MOST_PLACES or step >= _ABOVE for places, step in units):
        return None
    return np.array([(*units[0], *units[1], number, name_at, name_end)], FACTS)


@compiled(inline=True)
def byte(frame: Any, at: int) -> int:
    """The byte at a position (0 or more), 0 past the end."""
    if at < len(frame):
        return np.int64(frame[unsigned(at)])  # type: ignore[return-value]
    return 0


@compiled(inline=True)
def match(frame: Any, at: int, text: Any) -> bool:
    """Whether `text` stands at a position."""
    if at + len(text) > len(frame):
        return False
    for i in range(len(text)):  # noqa: SIM110 - compiled code knows no generators
        if frame[unsigned(at + i)] != text[unsigned(i)]:
            return False
    return True


@compiled(inline=True)
def same(frame: Any, at: int, other: int, length: int) -> bool:
    """Whether the same bytes stand at two positions."""
    if at + length > len(frame) or other + length > len(frame):
        return False
    for i in range(length):  # noqa: SIM110 - compiled code knows no generators
        if frame[unsigned(at + i)] != frame[unsigned(other + i)]:
            return False
    return True


@compiled(inline=True)
def integer(frame: Any, at: int) -> tuple[int, int]:
    """(value, position after it) of a JSON integer of 0 or more."""
    start = at
    value = 0
    digit = byte(frame, at)
    while ZERO <= digit <= NINE and at - start < DIGITS:
        value = value * 10 + (digit - ZERO)
        at += 1
        digit = byte(frame, at)
    if at == start or (at - start > 1 and byte(frame, start) == ZERO):
        return NOT_MINE, at
    return value, at


@compiled()
def decimal(frame: Any, at: int, exponents: bool) -> tuple[int, int, int]:
    """(value, power, position after it) of a JSON number of 0 or more, which is `value` times 10**`power`; the value is NOT_MINE for no such number.

    `exponents`: whether it may have one. A digit too many is left standing, where the caller meets it.
    """
    start = at
    value = 0
    digit = byte(frame, at)
    while ZERO <= digit <= NINE and at - start < DIGITS:
        value = value * 10 + (digit - ZERO)
        at += 1
        digit = byte(frame, at)
    if at == start or (at - start > 1 and byte(frame, start) == ZERO):
        return NOT_MINE, 0, at
    power = 0
    if digit == POINT:
        at += 1
        power = at
        digit = byte(frame, at)
        while ZERO <= digit <= NINE and at - start <= DIGITS:
            value = value * 10 + (digit - ZERO)
            at += 1
            digit = byte(frame, at)
        power -= at
        if power == 0:
            return NOT_MINE, 0, at
    if exponents and digit in (BIG_E, SMALL_E):
        sign = byte(frame, at + 1)
        exponent, at = integer(frame, at + 2 if sign in (MINUS, PLUS) else at + 1)
        # How large a 0 with an exponent may be is the decoder's to say.
        if exponent == NOT_MINE or exponent > 2 * DIGITS or value == 0:
            return NOT_MINE, 0, at
        power += -exponent if sign == MINUS else exponent
    return value, power, at


@compiled()
def number(frame: Any, at: int, places: int, step: int, exponents: bool) -> tuple[int, int]:
    """(count, position after it) of a JSON number: how many times it holds the unit of `step` times 10**-`places`, exactly."""
    value, power, at = decimal(frame, at, exponents)
    return scaled(value, power + places, step), at


@compiled(inline=True)
def scaled(value: int, power: int, step: int) -> int:
    """`value` times 10**`power`, counted in steps, where that is a whole number below 10**18."""
    if value == NOT_MINE:
        return NOT_MINE
    while power > 0 and value != 0:
        if value >= _ABOVE // 10:
            return NOT_MINE
        value *= 10
        power -= 1
    while power < 0 and value != 0:
        if value % 10 != 0:
            return NOT_MINE
        value //= 10
        power += 1
    if step == 1:
        return value
    if value % step != 0:
        return NOT_MINE
    return value // step


@compiled(inline=True)
def put_level(row: Any, instrument: int, side: int, ticks: int, lots: int) -> None:
    """Write a level. Its times are written when the book has taken it."""
    row.ticks = ticks
    row.lots = lots
    row.frame = 0
    row.instrument = instrument
    row.kind = _DEPTH
    row.side = side


@compiled(inline=True)
def put_clear(row: Any, instrument: int) -> None:
    """Write that the book is emptied."""
    row.ticks = 0
    row.lots = 0
    row.frame = 0
    row.instrument = instrument
    row.kind = _CLEAR
    row.side = 0


@compiled()
def levels(frame: Any, at: int, known: Any, rows: Any, count: int, side: int) -> tuple[int, int]:
    """(position after it, rows so far) of a side as a list of pairs of text, such as [["100.0","1"],["99.5","0"]].

    Its prices must all rise or all fall, which shows that none comes twice; every venue here sends them so.
    """
    if byte(frame, at) != OPEN_LIST:
        return NOT_MINE, count
    at += 1
    if byte(frame, at) == CLOSE_LIST:
        return at + 1, count
    before = 0
    rising = False
    first = count
    while True:
        if count >= len(rows) or not match(frame, at, b'["'):
            return NOT_MINE, count
        ticks, at = number(frame, at + 2, known.price_places, known.price_step, False)
        if ticks <= 0 or not match(frame, at, b'","'):
            return NOT_MINE, count
        lots, at = number(frame, at + 3, known.size_places, known.size_step, False)
        if lots < 0 or not match(frame, at, b'"]'):
            return NOT_MINE, count
        if count > first:
            if ticks == before or (count > first + 1 and (ticks > before) != rising):
                return NOT_MINE, count
            rising = ticks > before
        before = ticks
        put_level(rows[unsigned(count)], known.instrument, side, ticks, lots)
        count += 1
        separator = byte(frame, at + 2)
        at += 3
        if separator == CLOSE_LIST:
            return at, count
        if separator != COMMA:
            return NOT_MINE, count
