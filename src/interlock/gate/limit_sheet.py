"""The sheet of limits: one TOML file, every limit required, every number with its unit in its name, no default and no override.

An absent key, an unknown one, a value of the wrong type or out of range is one error that names file, key, what was expected and what was found.
A parsed sheet holds integers only. What the file gives in `_usd`, `_bps` and `_ms` stands here in `_micro_usd`, `_millionths` and `_ns`; what does
not fit these units exactly is rounded toward less risk.

The hash of a sheet is taken over the parsed values, so that comments, order and spelling of numbers do not change it.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_type_hints

import msgspec

from interlock.domain.errors import BadInput
from interlock.domain.orders import OrderType, Side, TimeInForce

LONGEST_WINDOW_NS = 3_600_000_000_000
"""No window is longer: what the throttles remember ends there."""
LONGEST_NS = 86_400_000_000_000
LARGEST = 1 << 53
NO_PEER = "none"
MOST_DOTS = 200
"""In a line of a file. What reads TOML keeps every beginning of a key: one of thousands of parts takes gigabytes."""


class Allow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which orders may be placed; what is not listed is denied."""

    side: Side
    type: OrderType
    tif: TimeInForce
    reduce_only: bool


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for everything together."""

    max_order_notional_micro_usd: int
    max_gross_notional_micro_usd: int
    max_daily_loss_micro_usd: int
    max_drawdown_micro_usd: int
    unrealised_breach_marks_count: int
    mark_spacing_ns: int
    freshness_mark_ns: int
    freshness_equity_ns: int
    freshness_engine_book_ns: int
    max_leg_skew_ns: int
    shock_millionths: int


class Venue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for one venue and each of its accounts."""

    accounts: tuple[str, ...]
    max_gross_notional_micro_usd: int
    max_messages_count: int
    max_cancels_count: int
    cancel_reserve_count: int
    messages_window_ns: int
    max_unattended_resting_micro_usd: int
    """Of orders that may rest where no dead-man of the venue would cancel them; 0 for none, so that only IOC and FOK pass."""
    min_available_margin_micro_usd: int
    max_margin_ratio_millionths: int
    min_liquidation_distance_millionths: int
    expected_reject_codes: tuple[str, ...]
    shared: bool = False
    """Whether a person uses the account too. What is not said is not so: the only keys that may be absent are the ones that would let more pass."""
    unmanaged_assets: tuple[str, ...] = ()
    """The coins in which others may be active on a shared account; everything else that is not ours halts there as anywhere."""


class Symbol(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for one instrument."""

    allow: tuple[Allow, ...]
    max_order_lots: int
    max_order_notional_micro_usd: int
    max_position_lots: int
    max_position_notional_micro_usd: int
    max_open_orders_count: int
    freshness_reference_ns: int
    max_reference_spread_millionths: int
    max_book_disagreement_millionths: int
    collar_reference_millionths: int
    collar_peer_millionths: int
    peer: str
    max_drift_millionths: int
    drift_window_ns: int
    tightening: tuple[tuple[int, int], ...]
    """(range of the reference within the drift window, factor), both millionths, by rising range and falling factor."""


class Asset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for one coin over all venues."""

    max_naked_notional_micro_usd: int
    naked_tolerance_micro_usd: int
    max_naked_ns: int
    max_group_loss_micro_usd: int = 0
    """A sheet in a journal of before there was this bound lets nothing be lost; a file must name it like every other."""


class Currency(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a rate of a quote currency to the US dollar must be to be used, and what may be lost in that currency on a day."""

    freshness_rate_ns: int
    min_sources_count: int
    max_disagreement_millionths: int
    lowest_rate_micro_usd: int
    highest_rate_micro_usd: int
    max_daily_loss_micro_units: int = 0
    """In the currency itself. A sheet in a journal of before there was this bound lets nothing be lost; a file must name it like every other."""


class Strategy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds for one strategy."""

    max_orders_count: int
    orders_window_ns: int
    max_identical_orders_count: int
    identical_orders_window_ns: int
    max_reject_streak_count: int
    max_losing_streak_count: int


class LimitSheet(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All limits. `symbols` is keyed by "venue:symbol", the others by name."""

    account: Account
    venues: dict[str, Venue]
    symbols: dict[str, Symbol]
    assets: dict[str, Asset]
    currencies: dict[str, Currency]
    strategies: dict[str, Strategy]


class Limits(Protocol):
    """Where the limits in force are read. They can be tightened at any moment, so that nobody keeps the sheet that was read here."""

    @property
    def sheet(self) -> LimitSheet:
        """The sheet that is in force now."""
        ...


_SUFFIXES = {
    "_micro_usd": ("_usd", 1_000_000, "an amount in USD"),
    "_micro_units": ("_units", 1_000_000, "an amount in the currency of its table"),
    "_millionths": ("_bps", 100, "basis points"),
    "_ns": ("_ms", 1_000_000, "milliseconds"),
    "_lots": ("_lots", 1, "a whole number of lots"),
    "_count": ("_count", 1, "a whole number"),
}
"""The end of an attribute: the end of its key, how many of the attribute's units make one of the key's, and what to write there."""

_MAY_BE_ZERO = frozenset({"max_unattended_resting_usd", "min_available_margin_usd", "naked_tolerance_usd"})
_MAY_BE_ABSENT = frozenset({"shared", "unmanaged_assets"})
"""Keys that are no limits: without them an account is held for this gate alone, which lets nothing more pass."""
_ROUND_UP = ("min_", "lowest_")
_TABLES: dict[str, type[Any]] = {"venues": Venue, "symbols": Symbol, "assets": Asset, "currencies": Currency, "strategies": Strategy}
_S = TypeVar("_S", bound=msgspec.Struct)


def load(path: Path) -> LimitSheet:
    """Read a sheet. Raises BadInput, naming file and key, for whatever is not a complete sheet of limits."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(path, "", f"expected a readable file of limits, found {error}") from error
    return parse(text, path)


def parse(text: str, file: object) -> LimitSheet:
    """The sheet of a TOML text; `file` is its name in errors. Raises BadInput."""
    dots = max(line.count(".") for line in text.split("\n"))
    if dots > MOST_DOTS:
        raise BadInput(file, "", f"expected at most {MOST_DOTS} dots in a line, found {dots}; write its parts on lines of their own")
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides what is no TOML: numbers of more digits than Python reads, and tables within tables without end.
        raise BadInput(file, "", f"expected TOML, found {error}") from error
    return _Reader(file).sheet(raw)


def sheet_hash(sheet: LimitSheet) -> str:
    """SHA-256, hexadecimal, over the parsed values."""
    return hashlib.sha256(msgspec.json.encode(sheet, order="sorted")).hexdigest()


def key_of(attribute: str) -> str:
    """The key in the file for an attribute of a parsed table: `max_naked_ns` is written `max_naked_ms`."""
    for end, (written, _, _) in _SUFFIXES.items():
        if attribute.endswith(end):
            return attribute.removesuffix(end) + written
    return attribute


def written(attribute: str, value: object) -> str:
    """The value of an attribute of a parsed table as the file would have it, in the unit of its key; lists as JSON."""
    if isinstance(value, bool) or not isinstance(value, int):
        return msgspec.json.encode(value).decode()
    scale = next(scale for end, (_, scale, _) in _SUFFIXES.items() if attribute.endswith(end))
    whole, rest = divmod(value, scale)
    return f"{whole}.{str(rest).zfill(len(str(scale)) - 1).rstrip('0')}" if rest else str(whole)


class _Reader:
    """Reads one file; holds its name for the errors."""

    def __init__(self, file: object) -> None:
        self._file = file

    def sheet(self, raw: Mapping[str, object]) -> LimitSheet:
        self._same_keys("", raw, ("account", *_TABLES))
        tables: dict[str, dict[str, Any]] = {}
        for name, kind in _TABLES.items():
            entries = self._mapping(name, raw[name])
            if not entries:
                raise self._bad(name, f"at least one table [{name}.NAME]", "none")
            tables[name] = {entry: self._table(f"{name}.{entry}", kind, value) for entry, value in entries.items()}
        sheet = LimitSheet(account=self._table("account", Account, raw["account"]), **tables)
        self._fits(sheet)
        return sheet

    def _fits(self, sheet: LimitSheet) -> None:
        for name, venue in sheet.venues.items():
            if venue.shared is not bool(venue.unmanaged_assets):
                expected = "at least one coin where shared = true, and none where it is not"
                raise self._bad(f"venues.{name}.unmanaged_assets", expected, ", ".join(venue.unmanaged_assets) or "none")
            if not (venue.cancel_reserve_count < venue.max_messages_count):
                raise self._bad(f"venues.{name}.cancel_reserve_count", "less than max_messages_count", str(venue.cancel_reserve_count))
        for name, symbol in sheet.symbols.items():
            place = f"symbols.{name}"
            venue_name, _, rest = name.partition(":")
            if venue_name not in sheet.venues or not rest:
                raise self._bad(place, f"VENUE:SYMBOL with a venue of [venues] ({', '.join(sheet.venues)})", name)
            if symbol.peer != NO_PEER and (symbol.peer not in sheet.symbols or symbol.peer == name):
                raise self._bad(f"{place}.peer", f'another instrument of [symbols], or "{NO_PEER}"', symbol.peer)
        for name, rate in sheet.currencies.items():
            if not (rate.lowest_rate_micro_usd <= rate.highest_rate_micro_usd):
                raise self._bad(f"currencies.{name}.lowest_rate_usd", "at most highest_rate_usd", str(rate.lowest_rate_micro_usd))

    def _table(self, place: str, kind: type[_S], value: object) -> _S:
        raw = self._mapping(place, value)
        keys = {key_of(attribute): attribute for attribute in get_type_hints(kind)}
        self._same_keys(place, raw, tuple(keys), optional=_MAY_BE_ABSENT)
        return kind(**{attribute: self._value(f"{place}.{key}", key, attribute, raw[key]) for key, attribute in keys.items() if key in raw})

    def _value(self, place: str, key: str, attribute: str, value: object) -> object:
        special: dict[str, Callable[[str, object], object]] = {
            "accounts": self._names,
            "expected_reject_codes": self._names,
            "shared": self._flag,
            "unmanaged_assets": self._names,
            "allow": self._allow,
            "peer": self._name,
            "tightening": self._tightening,
        }
        if key in special:
            return special[key](place, value)
        return self._number(place, key, attribute, value)

    def _number(self, place: str, key: str, attribute: str, value: object) -> int:
        (scale, what) = next((scale, what) for end, (_, scale, what) in _SUFFIXES.items() if attribute.endswith(end))
        exact = self._decimal(place, what, value)
        if key.endswith(("_ms", "_lots", "_count")) and exact != exact.to_integral_value():
            raise self._bad(place, what, repr(value))
        least, most = Decimal(0), Decimal(LARGEST // scale)
        if key.endswith("_bps"):
            most = Decimal(10_000)
        elif key.endswith("_window_ms"):
            most = Decimal(LONGEST_WINDOW_NS // scale)
        elif key.endswith("_ms"):
            most = Decimal(LONGEST_NS // scale)
        if not (least <= exact <= most) or (exact == 0 and key not in _MAY_BE_ZERO):
            zero = "from 0" if key in _MAY_BE_ZERO else "above 0"
            raise self._bad(place, f"{what}, {zero} and at most {most}", repr(value))
        scaled = int((exact * scale).to_integral_value(ROUND_CEILING if key.startswith(_ROUND_UP) else ROUND_FLOOR))
        if scaled == 0 and key not in _MAY_BE_ZERO:
            raise self._bad(place, f"{what}, at least one {attribute.rpartition('_')[2]}", repr(value))
        return scaled

    def _decimal(self, place: str, what: str, value: object) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise self._bad(place, f'{what}, as a whole number or as text ("0.5"), which keeps it exact', repr(value))
        try:
            exact = Decimal(value)
        except InvalidOperation as error:
            raise self._bad(place, what, repr(value)) from error
        if not exact.is_finite():
            raise self._bad(place, f"{what}, finite", repr(value))
        return exact

    def _tightening(self, place: str, value: object) -> tuple[tuple[int, int], ...]:
        points = []
        for number, item in enumerate(self._list(place, value), start=1):
            where = f"{place}[{number}]"
            raw = self._mapping(where, item)
            self._same_keys(where, raw, ("range_bps", "factor_bps"))
            at = self._decimal(f"{where}.range_bps", "basis points", raw["range_bps"])
            if not (0 <= at <= 10_000):
                raise self._bad(f"{where}.range_bps", "basis points, from 0 and at most 10000", repr(raw["range_bps"]))
            points.append((int(at * 100), self._number(f"{where}.factor_bps", "factor_bps", "factor_millionths", raw["factor_bps"])))
        ranges, factors = [at for at, _ in points], [factor for _, factor in points]
        if not points or ranges != sorted(set(ranges)) or factors != sorted(factors, reverse=True):
            raise self._bad(place, "at least one point, ranges rising and factors never rising", repr(value))
        return tuple(points)

    def _allow(self, place: str, value: object) -> tuple[Allow, ...]:
        found = []
        for number, item in enumerate(self._list(place, value), start=1):
            where = f"{place}[{number}]"
            raw = self._mapping(where, item)
            self._same_keys(where, raw, ("side", "type", "tif", "reduce_only"))
            found.append(
                Allow(
                    side=self._one_of(f"{where}.side", raw["side"], {"buy": Side.BUY, "sell": Side.SELL}),
                    # Market orders name no price, so that nothing bounds what they cost.
                    type=self._one_of(f"{where}.type", raw["type"], {"limit": OrderType.LIMIT}),
                    tif=self._one_of(f"{where}.tif", raw["tif"], {tif.value: tif for tif in TimeInForce}),
                    reduce_only=self._flag(f"{where}.reduce_only", raw["reduce_only"]),
                )
            )
        return tuple(sorted(set(found), key=lambda a: (a.side, a.type, a.tif, a.reduce_only)))

    def _flag(self, place: str, value: object) -> bool:
        if not isinstance(value, bool):
            raise self._bad(place, "true or false", repr(value))
        return value

    def _names(self, place: str, value: object) -> tuple[str, ...]:
        return tuple(sorted({self._name(f"{place}[{number}]", item) for number, item in enumerate(self._list(place, value), start=1)}))

    def _name(self, place: str, value: object) -> str:
        if not isinstance(value, str) or not value or value != value.strip():
            raise self._bad(place, "a name in quotes without blanks around it", repr(value))
        return value

    def _one_of(self, place: str, value: object, known: Mapping[str, Any]) -> Any:
        if not isinstance(value, str) or value not in known:
            raise self._bad(place, f"one of {', '.join(known)}", repr(value))
        return known[value]

    def _list(self, place: str, value: object) -> list[object]:
        if not isinstance(value, list):
            raise self._bad(place, "a list", repr(value))
        return value

    def _mapping(self, place: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict):
            raise self._bad(place, "a table", repr(value))
        return value

    def _same_keys(self, place: str, raw: Mapping[str, object], expected: tuple[str, ...], optional: frozenset[str] = frozenset()) -> None:
        dot = f"{place}." if place else ""
        for key in raw:
            if key not in expected:
                near = get_close_matches(key, expected, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise BadInput(self._file, f"{dot}{key}", f"expected one of {', '.join(expected)}, found {key}{hint}")
        for key in expected:
            if key not in raw and key not in optional:
                raise BadInput(self._file, f"{dot}{key}", "expected a value, found none; no limit has a default, so write one down")

    def _bad(self, place: str, expected: str, found: str) -> BadInput:
        return BadInput(self._file, place, f"expected {expected}, found {found}; correct it and start again")
