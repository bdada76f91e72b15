"""Where a gate's venues are and with which keys it is there, from a file (`places`): the first line of `interlock venues serve`, or endpoints by
name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Endpoint
from interlock.gate.venue_socket_wire import VENUES as WITH_SOCKET
from interlock.run.endpoint_rules import Resolve, require_abroad, require_startable
from interlock.run.gate_config import Entry, VenuePart, require_protectable
from interlock.run.places import Named, credential_file, disconnect_cancel_s, key_at, read_named, read_places
from interlock.venues.account_parts import reads_at
from interlock.venues.credentials import read_credential
from interlock.venues.endpoint import Where
from interlock.venues.hosts import VENUES, Hosts, hosts_of, hosts_on_loopback, pinned
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
CLOCKS_APART_NS = 250 * NS_PER_MS
"""By how much the venue's clock and ours may differ before the gate denies what it would sign."""
_BEATEN = frozenset({"binance_usdm"})
"""Venues that cancel by themselves when beats stay away, for every account."""
_UNEXPIRING = frozenset({"upbit"})
"""Venues whose requests carry no time, and so never expire."""


def hosts_and_key(part: VenuePart) -> tuple[Hosts, Key]:
    """Where a venue is and with which key the gate is there. Raises UsageError, also for a key that is not the one that the gate was started for."""
    if part.endpoint is not Endpoint.LOOPBACK:
        hosts = _hosts(part)
        assert part.credential is not None
        key = read_credential(part.credential, part.venue, Where(part.endpoint.value))
        if key.fingerprint != part.key_fingerprint:
            raise UsageError(
                f"{part.credential}: expected the key {part.key_fingerprint}, found {key.fingerprint}; it was changed meanwhile, start anew"
            )
        return hosts, key
    assert part.places is not None
    places = read_places(part.places)
    return hosts_on_loopback(part.venue, places), key_at(part.venue, places)


def _hosts(part: VenuePart) -> Hosts:
    if part.endpoint is not Endpoint.LOOPBACK:
        return pinned(hosts_of(part.venue, Where(part.endpoint.value)), part.pins)
    assert part.places is not None
    return hosts_on_loopback(part.venue, read_places(part.places))


def placed_part(venue: str, sheet: LimitSheet, path: Path, entry: Entry, window_s: int = 0) -> VenuePart:
    """One simulated venue for the gate; one that takes no orders over a socket is told of them by HTTP. `window_s` is that of its disconnection
    protection, 0 for none.

    Raises UsageError for limits that do not fit it.
    """
    if venue not in VENUES:
        raise UsageError(f"limits, venue {venue}: expected one of {', '.join(VENUES)}")
    symbols = tuple(sorted(symbol.partition(":")[2] for symbol in sheet.symbols if symbol.partition(":")[0] == venue))
    if not symbols:
        raise UsageError(f"limits, venue {venue}: expected one symbol or more, found none")
    if len(sheet.venues[venue].accounts) != 1:
        raise UsageError(f"limits, venue {venue}: expected one account, found {len(sheet.venues[venue].accounts)}")
    part = VenuePart(
        venue=venue,
        account=sheet.venues[venue].accounts[0],
        endpoint=Endpoint.LOOPBACK,
        symbols=symbols,
        dead_man=venue in _BEATEN,
        places=path,
        entry=entry if venue in WITH_SOCKET else Entry.REST,
        visibility_lag_ns=VISIBILITY_LAG_NS,
    )
    if window_s:
        require_protectable(path, venue, window_s)
        part = msgspec.structs.replace(part, disconnect_cancel_s=window_s)
    return msgspec.structs.replace(part, receive_window_ns=CLOCK_NS) if venue in _UNEXPIRING else part


def named_part(venue: str, sheet: LimitSheet, path: Path, named: Named, credentials: Path | None, entry: Entry) -> VenuePart:
    """One venue at an endpoint of its own, with its key looked at. `credentials` is the folder that systemd gave, if it did.

    Raises UsageError for limits that do not fit it, a venue that is not named, one that has no such endpoint, hosts without pins, and whatever is
    wrong with the file of the key.
    """
    mine = named.venues.get(venue)
    part = placed_part(venue, sheet, path, entry, 0 if mine is None else mine.disconnect_cancel_s)
    if mine is None:
        raise UsageError(f"{path}: expected {venue}, which the limits name, found {', '.join(sorted(named.venues)) or 'none'}; name it")
    part = msgspec.structs.replace(
        part, endpoint=named.endpoint, credential=credential_file(mine.credential, credentials, path), pins=mine.pins
    )
    _hosts(part)
    assert part.credential is not None
    key = read_credential(part.credential, venue, Where(named.endpoint.value))
    return msgspec.structs.replace(part, key_fingerprint=key.fingerprint)


def placed_parts(
    sheet: LimitSheet, places: Path | None, endpoint: Endpoint, credentials: Path | None, resolve: Resolve, entry: Entry
) -> tuple[tuple[VenuePart, ...], str]:
    """The venues that nobody starts here, and where their witness is, if they have one. Nothing is connected to; `resolve` is asked last.

    Raises UsageError for whatever is wrong with file, limits, keys and hosts, and for an endpoint at which no gate starts.
    """
    require_startable(endpoint)
    if places is None:
        if endpoint is not Endpoint.LOOPBACK:
            raise UsageError(f"endpoint {endpoint.value}: expected a file of places that names it, found none")
        return (), ""
    path, names = places.resolve(), sorted(sheet.venues)
    if endpoint is Endpoint.LOOPBACK:
        told = read_places(path)
        return tuple(placed_part(name, sheet, path, entry, disconnect_cancel_s(name, told)) for name in names), str(told.get("witness", ""))
    named = read_named(path, endpoint)
    parts = tuple(named_part(name, sheet, path, named, credentials, entry) for name in names)
    require_abroad([(one.host, one.port) for part in parts for one in _hosts(part).all], resolve)
    return parts, ""


def lands_within_ns(part: VenuePart) -> int:
    """How long after its signature an order may be taken and then come to be seen in the venue's lists: what a final zero has to wait for."""
    return part.receive_window_ns + CLOCKS_APART_NS + part.visibility_lag_ns


def told_to_sentinel(part: VenuePart) -> dict[str, Any]:
    """One venue for the sentinel."""
    loopback = part.endpoint is Endpoint.LOOPBACK
    where = {"places": str(part.places)} if loopback else {"credential": str(part.credential), "key_fingerprint": part.key_fingerprint}
    return {
        "venue": part.venue,
        "endpoint": part.endpoint.value,
        **where,
        "symbols": list(part.symbols),
        "expiry_ns": None if part.venue in _UNEXPIRING else lands_within_ns(part),
        "dead_man_symbols": list(part.symbols) if part.dead_man else [],
    }


def facts_of(parts: Sequence[VenuePart]) -> dict[str, dict[str, str]]:
    """What the checker must know of each instrument, asked of the venues now. Raises UsageError where they do not answer or do not list one."""
    found = {}
    for part in parts:
        listed = _listed(part)
        for symbol in part.symbols:
            if symbol not in listed:
                raise UsageError(
                    f"venue {part.venue}: expected {symbol} to be listed, found {', '.join(sorted(listed)[:20])}; correct the limits"
                )
            one = listed[symbol]
            found[f"{part.venue}/{symbol}"] = {"tick": f"{one.quantum:f}", "lot": f"{one.lot:f}", "currency": one.quote}
    return found


def _listed(part: VenuePart) -> dict[str, Instrument]:
    http = BlockingHttp(_hosts(part).rest)
    try:
        return {one.symbol: one for one in _held(reads_at(part.venue, {}).listings(), http)}
    except (BlockingBroken, Refused, Nonsense) as error:
        raise UsageError(f"venue {part.venue}: expected an answer, found: {error}; see whether it runs") from error
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
