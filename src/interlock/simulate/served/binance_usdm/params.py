"""The parameters of one request, read as the venue reads them: query before body, every value text until it is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final
from urllib.parse import parse_qsl

from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.keys import SimKey

_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?")
_INTEGER: Final = re.compile(r"[0-9]{1,19}")


class Params:
    """What a request says, and the key that it showed. Every getter raises Wrong for what the venue would not take."""

    def __init__(self, values: Mapping[str, str], key: SimKey | None = None) -> None:
        self.values = values
        self.key = key

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def text(self, name: str) -> str:
        """A mandatory parameter."""
        value = self.values.get(name, "")
        if not value:
            raise Wrong(-1102, name)
        return value

    def maybe(self, name: str, default: str = "") -> str:
        """An optional parameter; one that is there must not be empty."""
        if name not in self.values:
            return default
        if not self.values[name]:
            raise Wrong(-1105, name)
        return self.values[name]

    def choice(self, name: str, options: Iterable[str], code: int, default: str = "") -> str:
        """One of several words; mandatory without a default."""
        value = self.maybe(name, default) if default else self.text(name)
        if value not in options:
            raise Wrong(code, name)
        return value

    def flag(self, name: str) -> bool:
        """true or false; false if not there."""
        value = self.maybe(name, "false").lower()
        if value not in ("true", "false"):
            raise Wrong(-1130, name)
        return value == "true"

    def decimal(self, name: str) -> Decimal:
        """A mandatory decimal number."""
        value = self.text(name)
        if not _DECIMAL.fullmatch(value):
            raise Wrong(-1100, name, "^([0-9]{1,20})(\\.[0-9]{1,20})?$")
        return Decimal(value)

    def integer(self, name: str) -> int | None:
        """A whole number, None if not there."""
        value = self.maybe(name)
        if not value:
            return None
        if not _INTEGER.fullmatch(value):
            raise Wrong(-1100, name, "^[0-9]{1,20}$")
        return int(value)

    def whole(self, name: str) -> int:
        """A mandatory whole number."""
        self.text(name)
        return self.integer(name) or 0

    def limit(self, default: int, most: int) -> int:
        """How many rows are asked for."""
        found = self.integer("limit")
        if found is None:
            return default
        if not 1 <= found <= most:
            raise Wrong(-1130, "limit")
        return found


def read_params(query: str, body: str) -> dict[str, str]:
    """Query and body joined; a name that is in both has the query's value. Raises Wrong for a name that comes twice in one of them."""
    found: dict[str, str] = {}
    for text in (body, query):
        own: dict[str, str] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            if name in own:
                raise Wrong(-1101, name)
            own[name] = value
        found |= own
    return found


def from_json(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters that came as JSON, as text; null is not there."""
    return {name: as_text(value) for name, value in values.items() if value is not None}


def as_text(value: Any) -> str:
    """A JSON value as the venue signs and reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
