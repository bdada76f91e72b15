"""Numbers and times as a person reads them: thousands separators, sensible digits, UTC. And text made safe for the page."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal

from interlock.domain.clock import NS_PER_S

MINUS = "\N{MINUS SIGN}"
NONE = "n/a"

# What XML cannot hold, and the lone surrogates that UTF-8 cannot.
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

Number = int | float | Decimal


def safe(text: object) -> str:
    """Text for element content and quoted attributes: escaped, and without characters that no page can hold."""
    return html.escape(_UNFIT.sub("\N{REPLACEMENT CHARACTER}", str(text)), quote=True)


def fixed(value: Number | None, digits: int, *, plus: bool = False) -> str:
    """A number with that many decimals; `n/a` for None and what is not finite. Zero carries no sign."""
    if value is None or not math.isfinite(value):
        return NONE
    text = f"{abs(value):,.{digits}f}"
    if not any(c in "123456789" for c in text):
        return text
    return (MINUS if value < 0 else "+" if plus else "") + text


def figure(value: Number | None, *, plus: bool = False) -> str:
    """A number with the digits that its size deserves: about four that count, whole numbers as they are."""
    if value is None or not math.isfinite(value):
        return NONE
    if isinstance(value, int):
        return fixed(value, 0, plus=plus)
    size = abs(float(value))
    if size == 0:
        return "0"
    if size >= 100_000:
        return fixed(value, 0, plus=plus)
    if size >= 1:
        return fixed(value, 2, plus=plus).removesuffix(".00")
    if size < 1e-12:
        return "0"
    text = fixed(value, min(15, 3 - math.floor(math.log10(size))), plus=plus)
    return text.rstrip("0").rstrip(".")


def column_digits(values: Iterable[Number | None], most: int = 6) -> int:
    """Decimals that suit every number of a column: none for whole numbers, else two, or more where all are small."""
    usable = [float(value) for value in values if value is not None and math.isfinite(value)]
    if all(value.is_integer() for value in usable):
        return 0
    size = max(abs(value) for value in usable)
    return 2 if size >= 1 else min(most, 2 - math.floor(math.log10(size)))


def money_digits(largest: Number, currency: str) -> int:
    """Decimals for amounts up to `largest` in a currency: none for won, two where cents count, more where they are all there is."""
    size = abs(float(largest))
    if currency == "KRW":
        return 0 if size >= 100 or size == 0 else 2
    if size >= 1 or size == 0 or not math.isfinite(size):
        return 2
    return min(10, 2 - math.floor(math.log10(size)))


def money(value: Number | None, currency: str, *, plus: bool = False) -> str:
    """An amount without its currency, which the caller prints as the unit."""
    return NONE if value is None else fixed(value, money_digits(value, currency), plus=plus)


def utc(ns: int, *, millis: bool = False) -> str:
    """`2024-03-02 14:05:06` (UTC) of nanoseconds since the Unix epoch."""
    whole, rest = divmod(int(ns), NS_PER_S)
    text = f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%d %H:%M:%S}"
    return f"{text}.{rest // 1_000_000:03d}" if millis else text


def clock(ns: int, step_ns: int) -> str:
    """A time for an axis whose ticks are `step_ns` apart: the day at midnight, else the time of day."""
    whole, rest = divmod(int(ns), NS_PER_S)
    moment = datetime.fromtimestamp(whole, UTC)
    if step_ns >= 60 * NS_PER_S and whole % 86_400 == 0 and rest == 0:
        return f"{_MONTHS[moment.month - 1]} {moment.day}"
    if step_ns >= 60 * NS_PER_S:
        return f"{moment:%H:%M}"
    return f"{moment:%H:%M:%S}" if step_ns >= NS_PER_S else f"{moment:%H:%M:%S}.{rest // 1_000_000:03d}"


def duration(ns: int) -> str:
    """A length of time in its two largest units."""
    seconds = max(0, int(ns)) / NS_PER_S
    if seconds < 60:
        return f"{figure(seconds)} s"
    for size, name, small, small_name in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            whole, rest = int(seconds // size), int(seconds % size // small)
            return f"{whole} {name} {rest} {small_name}" if rest else f"{whole} {name}"
    return f"{seconds:.0f} s"
