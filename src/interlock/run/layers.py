"""The layers of a configuration: where each value of a run comes from, and what they make together.

default < file < profile < environment < argument, the later wins. A profile is a table `[profiles.NAME]` of the file with the keys that it
changes, chosen by name; it stands above the rest of the file, or else it could only fill gaps. Variables are `INTERLOCK_CONFIG__` and the key with
`__` between its parts, in capitals, every other sign an underscore: INTERLOCK_CONFIG__MAKING__PARAMS__SKEW_BPS. Arguments are `key=value`, a part
with a dot in quotes: instruments."bybit:BTCUSDT".collar_bps=40. Values are TOML; what is no TOML is text.

What comes out is one `RunConfig`, checked as a whole, and its digest: the same from one file that says it all.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from interlock.domain.errors import BadInput, UsageError
from interlock.run.config import RunConfig, read_raw, told_problem
from interlock.run.strategy_params import parameters, problem

PREFIX: Final = "INTERLOCK_CONFIG__"
PROFILES: Final = "profiles"
STRATEGIES: Final = ("making", "arbitrage")
_PART = re.compile(r'"([^"]*)"|([^."=]+)')
_UNITS: Final = ("_ms", "_s", "_bps", "_lots", "_usd", "_per_s")

Place = tuple[str, ...]
"""The parts of a key; those of a list are numbers as text."""


class Layer(StrEnum):
    """Where a value comes from, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    PROFILE = "profile"
    ENVIRONMENT = "environment"
    ARGUMENT = "argument"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value comes from: the layer, and within it the file, profile, variable or argument."""

    layer: Layer
    name: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """One value of the result, as plain JSON, and where it comes from."""

    place: Place
    value: Any
    origin: Origin

    @property
    def key(self) -> str:
        """The key as an argument would name it."""
        return key_of(self.place)


@dataclass(frozen=True)
class Resolved:
    """A configuration as it is used. `path` is the file; `origins` are those of what was given, by place."""

    config: RunConfig
    path: Path
    profile: str | None
    origins: Mapping[Place, Origin]

    @property
    def digest(self) -> str:
        """SHA-256 of the result; where a value came from does not matter."""
        return self.config.digest

    def values(self) -> tuple[Value, ...]:
        """Every value of the result with its origin, in the order of the sections. What was not given is a default, parameters included."""
        said = self.config.canonical()
        for section in STRATEGIES:
            if said[section] is not None:
                said[section]["params"] = {**parameters(section), **said[section]["params"]}
        if self.config.live is not None:
            said["live"] = self.config.live.model_dump(mode="json")
        return tuple(Value(place, value, self._origin(place)) for place, value in _leaves(said, ()))

    def given(self) -> dict[str, str]:
        """What did not come from the file: key and layer."""
        above = (Layer.PROFILE, Layer.ENVIRONMENT, Layer.ARGUMENT)
        return {key_of(place): origin.layer.value for place, origin in sorted(self.origins.items()) if origin.layer in above}

    def _origin(self, place: Place) -> Origin:
        # A list is given whole, so that its parts have the origin of the list.
        found = (self.origins[place[:n]] for n in range(len(place), 0, -1) if place[:n] in self.origins)
        return next(found, Origin(Layer.DEFAULT))


def resolve(path: Path, environ: Mapping[str, str], *, profile: str | None = None, given: Sequence[str] = ()) -> Resolved:
    """Read a configuration and lay everything over it. Raises BadInput and UsageError that name the layer and what is wrong there."""
    raw = read_raw(path)
    profiles = raw.pop(PROFILES, {})
    if not isinstance(profiles, dict) or not all(isinstance(one, dict) for one in profiles.values()):
        raise BadInput(path, PROFILES, "expected a table [profiles.NAME] for each profile")
    for name, changes in sorted(profiles.items()):
        # Also of those that nobody chose: a misspelt key must not wait for the day on which somebody does.
        tree, origins = _from_file(raw, path)
        _lay(tree, origins, changes, Origin(Layer.PROFILE, name), ())
        _checked(tree, origins, path)
    tree, origins = _from_file(raw, path)
    if profile is not None:
        if profile not in profiles:
            raise BadInput(
                path, PROFILES, f"expected one of {', '.join(sorted(profiles)) or 'no profiles'}, found {profile!r}; --profile names one"
            )
        _lay(tree, origins, profiles[profile], Origin(Layer.PROFILE, profile), ())
    for name, text in sorted(environ.items()):
        if name.startswith(PREFIX):
            place = _named(name, tree)
            _put(tree, origins, place, _parsed(text), Origin(Layer.ENVIRONMENT, name))
    for one in given:
        place, text = _argument(one)
        _put(tree, origins, place, _parsed(text), Origin(Layer.ARGUMENT, f"--set {key_of(place)}"))
    return Resolved(_checked(tree, origins, path), path, profile, origins)


# What is laid over what


def _from_file(raw: dict[str, Any], path: Path) -> tuple[dict[str, Any], dict[Place, Origin]]:
    tree: dict[str, Any] = {}
    origins: dict[Place, Origin] = {}
    _lay(tree, origins, raw, Origin(Layer.FILE, str(path)), ())
    return tree, origins


def _lay(tree: dict[str, Any], origins: dict[Place, Origin], changes: Mapping[str, Any], origin: Origin, above: Place) -> None:
    """Lay a table over a tree: tables are merged, everything else replaces what was there."""
    for name, value in changes.items():
        place = (*above, name)
        if isinstance(value, dict) and isinstance(tree.get(name, {}), dict):
            _lay(tree.setdefault(name, {}), origins, value, origin, place)
        else:
            _forget(origins, place)
            tree[name], origins[place] = value, origin


def _put(tree: dict[str, Any], origins: dict[Place, Origin], place: Place, value: Any, origin: Origin) -> None:
    at: dict[str, Any] = tree
    for n, part in enumerate(place[:-1]):
        step = at.setdefault(part, {})
        if not isinstance(step, dict):
            raise UsageError(f"{origin.name}: expected a table at {key_of(place[: n + 1])}, found a value; give that one whole")
        at = step
    if isinstance(value, dict):
        _lay(at, origins, {place[-1]: value}, origin, place[:-1])
        return
    _forget(origins, place)
    at[place[-1]], origins[place] = value, origin


def _forget(origins: dict[Place, Origin], place: Place) -> None:
    for below in [one for one in origins if one[: len(place)] == place]:
        del origins[below]


def _checked(tree: dict[str, Any], origins: Mapping[Place, Origin], path: Path) -> RunConfig:
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise _wrong(
            *told_problem(error, lambda where: _origin_of(where, origins).layer is not Layer.ENVIRONMENT), origins, path
        ) from error
    for section in STRATEGIES:
        used: Any = getattr(config, section)
        if used is not None and (found := problem(section, used.params)) is not None:
            name, message = found
            raise _wrong((section, "params", name) if name else (section, "params"), message, origins, path)
    return config


def _wrong(loc: Place, message: str, origins: Mapping[Place, Origin], path: Path) -> UsageError:
    """The error of one value, which names the layer that it comes from."""
    origin = _origin_of(loc, origins)
    message += _nearly(loc, message) + _unit(loc, message)
    if origin.layer in (Layer.ENVIRONMENT, Layer.ARGUMENT):
        where = "" if origin.name == f"--set {key_of(loc)}" else f" {key_of(loc)}:"
        return UsageError(f"{origin.name}:{where} {message}")
    place = ".".join(loc) or "top level"
    return BadInput(path, f"{PROFILES}.{origin.name}.{place}" if origin.layer is Layer.PROFILE else place, message)


def _origin_of(loc: Place, origins: Mapping[Place, Origin]) -> Origin:
    """Of the value that an error is about. Where it is missing, of the table that wants it, if that was given by one layer alone."""
    given = next((origins[loc[:n]] for n in range(len(loc), 0, -1) if loc[:n] in origins), None)
    if given is not None:
        return given
    beside = {origin for place, origin in origins.items() if loc[:-1] and place[: len(loc) - 1] == loc[:-1]}
    return beside.pop() if len(beside) == 1 else Origin(Layer.FILE)


def _nearly(loc: Place, message: str) -> str:
    """What may have been meant by an unknown key."""
    if not message.startswith("unknown key"):
        return ""
    known = {name: name for name in _fields(loc[:-1])}
    if len(loc) == 2 and loc[0] in STRATEGIES:
        known |= {name: f"{loc[0]}.params.{name}" for name in parameters(loc[0])}
    near = difflib.get_close_matches(loc[-1], sorted(known), 1, 0.6)
    return f"; did you mean {known[near[0]]}?" if near else ""


def _unit(loc: Place, message: str) -> str:
    wants_number = "valid number" in message or "valid integer" in message
    unit = next((one for one in _UNITS if loc and loc[-1].endswith(one)), None)
    return f"; the unit stands in the name ({unit[1:]}): write the number alone" if wants_number and unit else ""


# Keys


def key_of(place: Place) -> str:
    """A key as an argument names it: a part with a dot or an equals sign in quotes."""
    return ".".join(f'"{part}"' if re.search(r"[.=\s]", part) else part for part in place)


def _argument(text: str) -> tuple[Place, str]:
    key, found, value = _split(text)
    if not found or not key:
        raise UsageError(f"--set: expected key=value, such as making.params.skew_bps=1.2, found {text!r}")
    if key[0] == PROFILES:
        raise UsageError(f"--set {PROFILES}: a profile is changed in the file and chosen with --profile")
    return key, value


def _split(text: str) -> tuple[Place, bool, str]:
    parts: list[str] = []
    at = 0
    while match := _PART.match(text, at):
        parts.append(match[1] if match[1] is not None else match[2].strip())
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    whole = text[at : at + 1] == "=" and all(parts)
    return tuple(parts), whole, text[at + 1 :]


def _parsed(text: str) -> Any:
    """A value as TOML has it, amounts exact; what is no TOML is text."""
    try:
        return tomllib.loads(f"value = {text}", parse_float=Decimal)["value"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        return text


def _named(variable: str, tree: Mapping[str, Any]) -> Place:
    """The key that a variable names. Raises UsageError for none; a value is never told, nobody knows what it is."""
    place: Place = ()
    at: Any = tree
    for part in variable[len(PREFIX) :].split("__"):
        known = _fields(place) | (set(at) if isinstance(at, dict) else set())
        found = sorted(one for one in known if _capitals(one) == part)
        if len(found) != 1:
            where = f" in {key_of(place)}" if place else ""
            raise UsageError(
                f"{variable}: expected the name of one key{where}, found {'none' if not found else ', '.join(found)} for {part!r}; "
                f"{'there is ' + ', '.join(_capitals(one) for one in sorted(known)) if known else 'it has no keys'}"
            )
        place = (*place, found[0])
        at = at.get(found[0]) if isinstance(at, dict) else None
    return place


def _capitals(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())


def _fields(place: Place) -> set[str]:
    """The keys that the section at a place can have, as far as its model names them; parameters of a strategy are named by their record."""
    if len(place) == 2 and place[1] == "params":
        return set(parameters(place[0]))
    model: Any = RunConfig
    for part in place:
        model = _inner(model, part)
    return set(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else set()


def _inner(model: Any, part: str) -> Any:
    """The type of a part of a section: a field of a model, a value of a mapping, an element of a list."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        field = model.model_fields.get(part)
        return None if field is None else _section(field.annotation)
    if typing.get_origin(model) is dict:
        return _section(typing.get_args(model)[1])
    return None


def _section(kind: Any) -> Any:
    """The model or mapping among what a field may be."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType, typing.Annotated):
        return next((found for one in typing.get_args(kind) if (found := _section(one)) is not None), None)
    if typing.get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return kind
    return None


def _leaves(node: Any, place: Place) -> Iterator[tuple[Place, Any]]:
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from _leaves(value, (*place, name))
    elif isinstance(node, list) and any(isinstance(one, dict) for one in node):
        for n, value in enumerate(node):
            yield from _leaves(value, (*place, str(n)))
    else:
        yield place, node
