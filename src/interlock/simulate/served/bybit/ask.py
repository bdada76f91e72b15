"""A request's parameters, read once and checked by name: of the query of a GET, of the JSON body of a POST, of one item of a batch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from interlock.simulate.served.bybit.words import PARAMS, Failed
from interlock.simulate.served.keys import SimKey

CATEGORIES: Final = ("linear", "spot", "inverse", "option")
_NUMBER: Final = re.compile(r"\d{1,20}(\.\d{1,20})?")
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked. `key` is None on public requests.

    `cutoff_ns` is the youngest thing that may be read, `batch_cut` the number of a batch's items that are taken, None for all.
    """

    fields: Mapping[str, Any]
    key: SimKey | None = None
    cutoff_ns: int = 1 << 63
    batch_cut: int | None = None

    def item(self, fields: Mapping[str, Any]) -> Ask:
        """One item of a batch."""
        return replace(self, fields=fields)

    def text(self, name: str, default: str = "") -> str:
        """A parameter as text. Raises Failed for one that is neither text nor a whole number."""
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Failed(PARAMS, f"params error: {name} invalid")
        return str(value)

    def need(self, name: str) -> str:
        """A parameter that must be there."""
        found = self.text(name)
        if not found:
            raise Failed(PARAMS, f"params error: {name} is required")
        return found

    def choice(self, name: str, choices: tuple[str, ...], default: str = "") -> str:
        """A parameter that is one of few words."""
        found = self.text(name, default)
        if found not in choices:
            raise Failed(PARAMS, f"params error: {name} invalid")
        return found

    def decimal(self, name: str) -> Decimal | None:
        """An amount as text, None if it is not there. Raises Failed for JSON numbers: amounts are text at this venue."""
        value = self.fields.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str) or not _NUMBER.fullmatch(value):
            raise Failed(PARAMS, f"params error: {name} invalid")
        return Decimal(value)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        found = self.text(name)
        if not found:
            return default
        if not re.fullmatch(r"-?\d{1,18}", found) or not low <= int(found) <= high:
            raise Failed(PARAMS, f"params error: {name} invalid")
        return int(found)

    def flag(self, name: str) -> bool:
        """True or false; text says it as well."""
        value = self.fields.get(name)
        if value in (None, "", False, "false"):
            return False
        if value in (True, "true"):
            return True
        raise Failed(PARAMS, f"params error: {name} invalid")

    def category(self) -> str:
        """The category, which every venue-wide request names."""
        found = self.need("category")
        if found not in CATEGORIES:
            raise Failed(PARAMS, "Illegal category")
        return found

    def window(self, now_ms: int) -> tuple[int, int]:
        """`startTime` and `endTime`, milliseconds, both inclusive: seven days at most, the last seven if neither is given."""
        start, end = self.whole("startTime", -1, 0, 1 << 60), self.whole("endTime", -1, 0, 1 << 60)
        if start < 0:
            end = now_ms if end < 0 else end
            return end - 7 * DAY_MS, end
        if end < 0:
            return start, start + 7 * DAY_MS
        if start > end:
            raise Failed(PARAMS, "The start time cannot be later than the end time")
        if end - start > 7 * DAY_MS:
            raise Failed(PARAMS, "The time range between startTime and endTime cannot exceed 7 days")
        return start, end


def read_query(query: str) -> dict[str, Any]:
    """The parameters of a query; of one that comes twice, the last."""
    return dict(parse_qsl(query, keep_blank_values=True))


def read_body(body: bytes) -> dict[str, Any]:
    """The parameters of a JSON body. Raises Failed for anything but one object."""
    if not body:
        return {}
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise Failed(PARAMS, "params error: the body is not JSON") from error
    if not isinstance(found, dict):
        raise Failed(PARAMS, "params error: the body is not an object")
    return found
