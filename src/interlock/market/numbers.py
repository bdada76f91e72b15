"""Decimal text from a wire to integer units, exactly and fast.

Prices and sizes repeat, so each text is checked and converted once and then found in a table: no Decimal and no
float per number on the hot path.
"""

from __future__ import annotations

import re
from decimal import Decimal

RATE_UNIT = 1e-12
"""What one lot of a FUNDING or FUNDING_NEXT row is worth, as a rate."""

_PLAIN = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)
_LARGEST = 2**62
_REMEMBERED = 1 << 12
"""Of one instrument's prices or sizes: some hundreds of kilobytes. Sizes have so many values that a process that runs for hours fills whatever it
may. On a capture of BTCUSDT it costs 0.2 microseconds a number more than to remember all."""


class Scale(dict[str, int]):
    """A table from decimal text to a count of `unit`, filled as texts are met.

    `scale["61800.20"]` is 618002 for a unit of 0.1. Raises ValueError for anything that is not plain digits with an
    optional fraction (a sign, NaN, exponent form) and for a value between two units. The table is emptied when it
    gets large, so that a feed that runs for months does not grow it without end.
    """

    def __init__(self, unit: Decimal, what: str) -> None:
        super().__init__()
        if not unit.is_finite() or unit <= 0:
            raise ValueError(f"{what}: expected a positive unit, found {unit}")
        self.unit = unit
        self.what = what
        self._places = decimals(unit)
        self._step = int(unit.scaleb(self._places))

    def __missing__(self, text: str) -> int:
        count = self._convert(text)
        if len(self) >= _REMEMBERED:
            self.clear()
        self[text] = count
        return count

    def _convert(self, text: str) -> int:
        match = _PLAIN.fullmatch(text)
        if match is None:
            raise ValueError(f"{self.what}: expected a plain decimal number >= 0, found {text[:40]!r}")
        whole, fraction = match[1], (match[2] or "").rstrip("0")
        if len(fraction) > self._places:
            raise ValueError(f"{self.what}: expected a multiple of {self.unit:f}, found {text[:40]}")
        count, rest = divmod(int(whole[:400] + fraction.ljust(self._places, "0")), self._step)
        if rest:
            raise ValueError(f"{self.what}: expected a multiple of {self.unit:f}, found {text[:40]}")
        if len(whole) > 40 or count >= _LARGEST:
            raise ValueError(f"{self.what}: expected fewer than 2**62 units of {self.unit:f}, found {text[:40]}")
        return count


def decimals(unit: Decimal) -> int:
    """How many digits after the point a unit needs: 1 for 0.10, 0 for 1000."""
    exponent = unit.normalize().as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"expected a finite unit, found {unit}")
    return max(0, -exponent)
