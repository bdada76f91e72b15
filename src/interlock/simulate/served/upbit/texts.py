"""How Upbit writes numbers and times.

Account endpoints write decimals as strings, quotation endpoints and streams as JSON numbers, which are doubles there: a whole one has `.0`,
a tiny one an exponent. Times are ISO 8601 in whole seconds, of Korea's zone unless the field's name says UTC, or milliseconds since the
Unix epoch.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Final

import msgspec

KST: Final = timezone(timedelta(hours=9))
MS: Final = 1_000_000
"""Nanoseconds in a millisecond."""

encode = msgspec.json.Encoder(decimal_format="number").encode


def text(value: Decimal) -> str:
    """A decimal without trailing zeros and without an exponent."""
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def pointed(value: Decimal) -> str:
    """The same with at least one decimal place, as balances are written."""
    plain = text(value)
    return plain if "." in plain else plain + ".0"


def number(value: Decimal) -> Decimal:
    """What is encoded as the JSON number that a double would be written as."""
    return Decimal(pointed(value))


def kst(ns: int) -> str:
    """A time in Korea with its offset, seconds."""
    return moment(ns, korea=True) + "+09:00"


def moment(ns: int, *, korea: bool = False, form: str = "%Y-%m-%dT%H:%M:%S") -> str:
    """A time without offset, UTC unless `korea`."""
    return datetime.fromtimestamp(ns // 1_000_000_000, KST if korea else UTC).strftime(form)
