"""The parameters of a request, in the order in which they came: as plain text for the hash, as values for what is obeyed.

GET and DELETE carry them in the query, POST in a flat JSON object. Chosen: a GET or DELETE without a query may carry them in a body, JSON or form,
since a client in wide use does so and is served.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote, unquote_plus

from interlock.simulate.served.upbit.words import Wrong

_LONGEST = 40


@dataclass(frozen=True, slots=True)
class Params:
    """Names and values. A list's values come one after the other under its name with `[]`."""

    pairs: tuple[tuple[str, str], ...] = ()
    hashed: str = ""
    """What the token's query hash is taken of."""

    def get(self, name: str, default: str = "") -> str:
        """The first value of a name, `default` where there is none."""
        return next((value for key, value in self.pairs if key == name), default)

    def list(self, name: str) -> list[str]:
        """The values of a list, with brackets or without, and of one written with commas."""
        return [part for key, value in self.pairs if key in (f"{name}[]", name) for part in value.split(",") if part]

    def required(self, name: str) -> str:
        """The value of a name. Raises Wrong where there is none."""
        value = self.get(name)
        if not value:
            raise Wrong("validation_error", text=f"{name} is missing")
        return value

    def one_of(self, name: str, allowed: Iterable[str], default: str = "", *, wrong: str = "validation_error") -> str:
        """A value out of a few. Raises Wrong for any other."""
        value = self.get(name, default)
        if value and value not in allowed:
            raise Wrong(wrong, text=f"{name} does not have a valid value")
        return value

    def count(self, name: str, default: int, most: int, least: int = 1) -> int:
        """A whole number within bounds. Raises Wrong for any other. Chosen: one above the bound is refused, not cut."""
        value = self.get(name)
        if not value:
            return default
        if not value.isascii() or not value.isdigit() or len(value) > _LONGEST or not least <= int(value) <= most:
            raise Wrong("validation_error", text=f"{name} does not have a valid value")
        return int(value)

    def decimal(self, name: str) -> Decimal | None:
        """A positive number, None where there is none. Raises Wrong for anything else."""
        value = self.get(name)
        if not value:
            return None
        try:
            found = Decimal(value)
        except InvalidOperation as error:
            raise Wrong("validation_error", text=f"{name} does not have a valid value") from error
        if not found.is_finite() or found <= 0 or len(value) > _LONGEST or abs(found.adjusted()) > _LONGEST:
            raise Wrong("validation_error", text=f"{name} does not have a valid value")
        return found


def read_params(query: str, body: bytes, content_type: str, *, post: bool) -> Params:
    """The parameters of a request. Raises Wrong for a body that cannot be read."""
    if (query and not post) or not body.strip():
        return _of_query(query)
    if content_type.startswith("application/x-www-form-urlencoded"):
        if post:
            raise Wrong("validation_error", text="expected a JSON body; forms are not supported")
        return _of_query(body.decode("utf-8", "replace"))
    try:
        members = json.loads(body, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_Members)
    except (ValueError, RecursionError) as error:
        raise Wrong("validation_error", text="the body is no JSON") from error
    if not isinstance(members, _Members):
        raise Wrong("validation_error", text="expected a JSON object")
    pairs = tuple(pair for name, value in members.pairs for pair in _flat(name, value))
    return Params(pairs, "&".join(f"{name}={value}" for name, value in pairs))


class _Members:
    """The members of a JSON object in their order, also those that come twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _flat(name: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, list):
        return [(f"{_clean(name)}[]", _plain(part)) for part in value]
    return [(_clean(name), _plain(value))]


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | _Members):
        raise Wrong("validation_error", text="expected texts, numbers and lists of them")
    return "" if value is None else _clean(str(value))


def _clean(given: str) -> str:
    """Text that can be written as UTF-8; JSON can escape halves of characters, which cannot."""
    return given.encode("utf-8", "replace").decode()


def _of_query(query: str) -> Params:
    found = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            # A plus sign is a space in a query; a client that means one sends %2B. The hash is taken before that is known.
            found.append((unquote_plus(name), unquote_plus(value)))
    return Params(tuple(found), unquote(query))
