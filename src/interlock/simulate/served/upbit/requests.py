"""What a client asks of a stream: one JSON array of a ticket, one or more types, and perhaps a format or a method.

A request replaces whatever the connection asked for before (chosen, as clients found it). Nothing acknowledges it but the first data. Source: the
WebSocket guide; which name answers which mistake is chosen where the guide does not say.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from interlock.simulate.served.upbit.books import UNITS_MAX

CANDLE_UNITS: Final = ("1s", "1m", "3m", "5m", "10m", "15m", "30m", "60m", "240m")
PUBLIC_TYPES: Final = ("ticker", "trade", "orderbook", *(f"candle.{unit}" for unit in CANDLE_UNITS))
PRIVATE_TYPES: Final = ("myOrder", "myAsset", "announcement")
FORMATS: Final = ("DEFAULT", "SIMPLE", "JSON_LIST", "SIMPLE_LIST")
_UNITS: Final = {"1": 1, "5": 5, "15": 15, "30": 30}
EVERYTHING: Final = "*"


class BadRequest(Exception):
    """A request that changes nothing: the name of the error and a sentence."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name)
        self.name = name
        self.text = text


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of data of one market (EVERYTHING for all) in one format; `units` and `level` are a book's."""

    type: str
    code: str
    format: str
    units: int = UNITS_MAX
    level: Decimal = Decimal(0)

    @property
    def key(self) -> str:
        """What a listener subscribes to."""
        return f"{self.type}|{self.code}|{self.format}|{self.units}|{self.level}"


@dataclass(frozen=True, slots=True)
class Wish:
    """One type that was asked for: `snapshot` once at first, `realtime` from then on. `shown` is how a list of subscriptions shows it."""

    topics: tuple[Topic, ...]
    snapshot: bool
    realtime: bool
    shown: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that can be met. Without wishes it asks for the list of subscriptions."""

    ticket: str
    format: str
    wishes: tuple[Wish, ...]
    lists: bool


def read_request(data: bytes, types: Collection[str], symbols: Collection[str]) -> Asked:
    """A request for some of `types` of markets out of `symbols`. Raises BadRequest."""
    try:
        parts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadRequest("WRONG_FORMAT", "Format이 맞지 않습니다.") from error
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise BadRequest("WRONG_FORMAT", "Format이 맞지 않습니다.")
    ticket = next((str(part["ticket"]).encode("utf-8", "replace").decode() for part in parts if part.get("ticket")), "")
    if not ticket:
        raise BadRequest("NO_TICKET", "ticket이 존재하지 않거나 유효하지 않습니다.")
    form = next((part["format"] for part in parts if "format" in part), "DEFAULT")
    if form not in FORMATS:
        raise BadRequest("WRONG_FORMAT", "Format이 맞지 않습니다.")
    lists = any(part.get("method") == "LIST_SUBSCRIPTIONS" for part in parts)
    wishes = tuple(_wish(part, form, types, symbols) for part in parts if "type" in part)
    if not wishes and not lists:
        raise BadRequest("NO_TYPE", "type 필드가 존재하지 않습니다.")
    return Asked(ticket, form, wishes, lists)


def _wish(part: dict[str, Any], form: str, types: Collection[str], symbols: Collection[str]) -> Wish:
    kind = part["type"]
    if kind not in types:
        raise BadRequest("INVALID_PARAM", "지원하지 않는 type입니다.")
    codes = part.get("codes", [])
    if kind in ("myAsset", "announcement") and "codes" in part:
        raise BadRequest("WRONG_FORMAT", "Format이 맞지 않습니다.")
    if not isinstance(codes, list) or not all(isinstance(code, str) for code in codes):
        raise BadRequest("INVALID_PARAM", "codes 필드가 유효하지 않습니다.")
    if kind in PUBLIC_TYPES and not codes:
        raise BadRequest("NO_CODES", "codes 필드가 존재하지 않습니다.")
    level = _level(part.get("level", 0))
    topics = tuple(_topic(kind, code, form, level, symbols) for code in codes) or (Topic(kind, EVERYTHING, form),)
    snapshot_only = part.get("is_only_snapshot", part.get("isOnlySnapshot")) is True
    realtime_only = part.get("is_only_realtime", part.get("isOnlyRealtime")) is True
    shown = {"type": kind, "codes": codes} if codes else {"type": kind}
    if kind == "orderbook":
        shown["level"] = part.get("level", 0)
    return Wish(topics, snapshot=not realtime_only, realtime=not snapshot_only, shown=shown)


def _topic(kind: str, code: str, form: str, level: Decimal, symbols: Collection[str]) -> Topic:
    symbol, _, units = code.partition(".")
    if symbol not in symbols or (units and (kind != "orderbook" or units not in _UNITS)):
        raise BadRequest("INVALID_PARAM", "지원하지 않는 code입니다.")
    if kind != "orderbook":
        return Topic(kind, symbol, form)
    return Topic(kind, symbol, form, _UNITS[units] if units else UNITS_MAX, level)


def _level(given: Any) -> Decimal:
    try:
        level = Decimal(str(given))
    except InvalidOperation as error:
        raise BadRequest("INVALID_PARAM", "level 필드가 유효하지 않습니다.") from error
    if not level.is_finite() or level < 0:
        raise BadRequest("INVALID_PARAM", "level 필드가 유효하지 않습니다.")
    return level.normalize() if level else Decimal(0)
