"""The envelope of every REST answer, and amounts as text. Business errors come with HTTP 200."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec

from interlock.simulate.served.face import Reply


@dataclass(frozen=True, slots=True)
class Done:
    """A result that has more to it than itself: `ext` becomes `retExtInfo`."""

    result: Mapping[str, Any]
    ext: Mapping[str, Any] = field(default_factory=dict)


def enveloped(
    code: int,
    text: str,
    now_ms: int,
    *,
    result: Mapping[str, Any] | None = None,
    ext: Mapping[str, Any] | None = None,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An answer in the envelope."""
    body = {"retCode": code, "retMsg": text, "result": result or {}, "retExtInfo": ext or {}, "time": now_ms}
    return Reply(status, msgspec.json.encode(body), headers or {})


def shown(amount: Decimal) -> str:
    """An amount as text, never with an exponent."""
    return format(amount, "f")


def trimmed(amount: Decimal, places: int = 8) -> str:
    """An amount that was computed, to so many decimals and without trailing zeros."""
    text = format(round(amount, places), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


def ms(ns: int) -> str:
    """A time in milliseconds, as text."""
    return str(ns // 1_000_000)
