"""The venues of `interlock venues serve`, as a gate that trades at them needs to know them: from the first line that it prints, kept in a file.

The file holds addresses of this host and the simulators' own keys. There is no way to name another host.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Endpoint
from interlock.run.gate_config import VenuePart
from interlock.venues.account_parts import reads_at
from interlock.venues.hosts import VENUES, hosts_on_loopback
from interlock.venues.http_blocking import BlockingBroken, BlockingHttp
from interlock.venues.port import Access, Nonsense, Refused, Talk
from interlock.venues.request import Key, SignedCall

T = TypeVar("T")

VISIBILITY_LAG_NS = NS_PER_S
"""How long the venues' lists may lag behind their matching: none of them says; an order that is missing from them sooner proves nothing."""
ASK_NS = 5 * NS_PER_S
CLOCK_NS = 12 * NS_PER_S
"""In place of a receive window where requests carry no time: a quarter of it is how wide the interval of the venue's clock may be. Upbit's has the
whole seconds of a date, and nothing depends on it but that the host's clock makes sense."""
_BEATEN = frozenset({"binance_usdm"})
"""Venues that cancel by themselves when beats stay away, for every account."""
_UNEXPIRING = frozenset({"upbit"})
"""Venues whose requests carry no time, and so never expire."""


def read_places(path: Path) -> Mapping[str, Any]:
    """The first line of `interlock venues serve` in a file. Raises UsageError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: expected the first line of `interlock venues serve --json`, found: {error.strerror}") from error
    line = text.splitlines()[0] if text.strip() else b""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path}: expected the first line of `interlock venues serve --json`, found: {error}") from error


def key_at(venue: str, places: Mapping[str, Any]) -> Key:
    """The key of a venue's account. Raises UsageError where there is none."""
    mine = places.get(venue)
    if not isinstance(mine, Mapping):
        raise UsageError(f"expected {venue} among the simulated venues, found none")
    return Key(str(mine.get("key", "")), str(mine.get("secret", "")))


def witness_at(places: Mapping[str, Any]) -> str:
    """Where the simulators write what they saw."""
    return str(places.get("witness", ""))


def placed_part(venue: str, sheet: LimitSheet, path: Path) -> VenuePart:
    """One venue for the gate. Raises UsageError for limits that do not fit it."""
    if venue not in VENUES:
        raise UsageError(f"limits, venue {venue}: expected one of {', '.join(VENUES)}")
    symbols = tuple(sorted(symbol.partition(":")[2] for symbol in sheet.symbols if symbol.partition(":")[0] == venue))
    if not symbols:
        raise UsageError(f"limits, venue {venue}: expected one symbol or more, found none")
    if len(sheet.venues[venue].accounts) != 1:
        raise UsageError(f"limits, venue {venue}: expected one account, found {len(sheet.venues[venue].accounts)}")
    more = {"receive_window_ns": CLOCK_NS} if venue in _UNEXPIRING else {}
    return VenuePart(
        venue=venue,
        account=sheet.venues[venue].accounts[0],
        endpoint=Endpoint.LOOPBACK,
        symbols=symbols,
        dead_man=venue in _BEATEN,
        places=path,
        visibility_lag_ns=VISIBILITY_LAG_NS,
        **more,
    )


def told_to_sentinel(part: VenuePart) -> dict[str, Any]:
    """One venue for the sentinel."""
    return {
        "venue": part.venue,
        "endpoint": part.endpoint.value,
        "places": str(part.places),
        "symbols": list(part.symbols),
        "expiry_ns": None if part.venue in _UNEXPIRING else part.receive_window_ns + 250 * NS_PER_MS,
        "dead_man_symbols": list(part.symbols) if part.dead_man else [],
    }


def facts_of(parts: Sequence[VenuePart], places: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What the checker must know of each instrument, asked of the venues now. Raises UsageError where they do not answer or do not list one."""
    found = {}
    for part in parts:
        listed = _listed(part.venue, places)
        for symbol in part.symbols:
            if symbol not in listed:
                raise UsageError(
                    f"venue {part.venue}: expected {symbol} to be listed, found {', '.join(sorted(listed)[:20])}; correct the limits"
                )
            one = listed[symbol]
            found[f"{part.venue}/{symbol}"] = {"tick": f"{one.quantum:f}", "lot": f"{one.lot:f}", "currency": one.quote}
    return found


def _listed(venue: str, places: Mapping[str, Any]) -> dict[str, Instrument]:
    http = BlockingHttp(hosts_on_loopback(venue, places).rest)
    try:
        return {one.symbol: one for one in _held(reads_at(venue, {}).listings(), http)}
    except (BlockingBroken, Refused, Nonsense) as error:
        raise UsageError(f"venue {venue}: expected an answer, found: {error}; see whether it runs") from error
    finally:
        http.close()


def _held(talk: Talk[T], http: BlockingHttp) -> T:
    """Hold a talk that needs no key."""
    until = time.monotonic_ns() + ASK_NS
    try:
        asked = next(talk)
        while True:
            call = asked.call
            if asked.access is not Access.PUBLIC:
                raise UsageError(f"{call.method} {call.path}: expected what is public; nothing was sent")
            heard = http.ask(SignedCall(call.method, call.path, call.query, (), call.body), max(until - time.monotonic_ns(), NS_PER_MS))
            asked = talk.send(heard)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
