"""The accounts that a run in shadow watches: where they are, with which key, and whether that key is good for nothing but looking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.errors import UsageError
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Endpoint
from interlock.gate.venue_reads import KeyScope
from interlock.run.endpoint_rules import Resolve, require_abroad
from interlock.run.places import Named, credential_file, read_named, read_places
from interlock.venues.credentials import read_credential
from interlock.venues.endpoint import Where
from interlock.venues.hosts import VENUES, Hosts, hosts_of, hosts_on_loopback, pinned
from interlock.venues.request import Key

HOW = "make one at the venue that reads and does nothing else"


@dataclass(frozen=True, slots=True)
class Observed:
    """One account that is looked at and nothing else."""

    venue: str
    account: str
    symbols: tuple[str, ...]
    hosts: Hosts
    key: Key = field(repr=False)


def endpoint_named(path: Path) -> Endpoint:
    """Where the accounts of a file of places are: real if it names that endpoint, else on loopback. Raises UsageError."""
    try:
        named = msgspec.json.decode(path.read_bytes(), type=Named)
    except OSError as error:
        raise UsageError(f"{path}: expected a file of where the venues are, found: {error.strerror}") from error
    except msgspec.DecodeError:
        read_places(path)
        return Endpoint.LOOPBACK
    if named.endpoint is not Endpoint.REAL:
        raise UsageError(f"{path}: expected endpoint real, or simulators, found {named.endpoint.value}; shadow hears live markets")
    return named.endpoint


def only_read_keys(path: Path, venues: frozenset[str]) -> bool:
    """Whether a file of places holds keys for reading and no others, as far as it says: what a key may do the venue tells. Raises UsageError."""
    if endpoint_named(path) is Endpoint.REAL:
        return True
    places = [place for place in read_places(path).values() if isinstance(place, Mapping)]
    mine = [read_places(path).get(venue) for venue in venues]
    return not any(place.get("key") for place in places) and all(isinstance(one, Mapping) and one.get("read_key") for one in mine)


def observed(sheet: LimitSheet, path: Path, endpoint: Endpoint, credentials: Path | None, resolve: Resolve) -> tuple[Observed, ...]:
    """Every account that the limits name. `credentials` is the folder of them that systemd gave; `resolve` is asked last, and nobody else.

    Raises UsageError for whatever is wrong with limits, file, keys and hosts.
    """
    found = []
    for venue in sorted(sheet.venues):
        if venue not in VENUES:
            raise UsageError(f"limits, venue {venue}: expected one of {', '.join(VENUES)}")
        accounts = sheet.venues[venue].accounts
        symbols = tuple(sorted(name.partition(":")[2] for name in sheet.symbols if name.partition(":")[0] == venue))
        if len(accounts) != 1 or not symbols:
            raise UsageError(f"limits, venue {venue}: expected one account and symbols, found {len(accounts)} and {len(symbols)}")
        hosts, key = _at_real(venue, path, credentials) if endpoint is Endpoint.REAL else _on_loopback(venue, read_places(path))
        found.append(Observed(venue, accounts[0], symbols, hosts, key))
    if endpoint is Endpoint.REAL:
        require_abroad([(one.host, one.port) for each in found for one in each.hosts.all], resolve)
    return tuple(found)


def _on_loopback(venue: str, places: Mapping[str, Any]) -> tuple[Hosts, Key]:
    mine = places.get(venue)
    if not isinstance(mine, Mapping):
        raise UsageError(f"expected {venue} among the simulated venues, found none")
    if not mine.get("read_key"):
        raise UsageError(f"{venue}: expected a read_key, found none; take the first line of this version's `interlock venues serve`")
    return hosts_on_loopback(venue, places), Key(str(mine["read_key"]), str(mine.get("read_secret", "")))


def _at_real(venue: str, path: Path, credentials: Path | None) -> tuple[Hosts, Key]:
    named = read_named(path, Endpoint.REAL)
    mine = named.venues.get(venue)
    if mine is None:
        raise UsageError(f"{path}: expected {venue}, which the limits name, found {', '.join(sorted(named.venues)) or 'none'}; name it")
    key = read_credential(credential_file(mine.credential, credentials, path), venue, Where.REAL)
    return pinned(hosts_of(venue, Where.REAL), mine.pins), key


def key_refusals(key: KeyScope) -> tuple[str, ...]:
    """Why a key is not one that only reads; empty if it is. What the venue does not tell is no yes: nobody can be shown to have looked."""
    found = []
    if key.trade or key.reads_only is False:
        found.append("it may trade")
    found += [f"it may {what}" for what, may in (("withdraw", key.withdraw), ("transfer", key.transfer)) if may]
    if found:
        return tuple(found)
    told = {"trade": key.reads_only, "withdraw": key.withdraw, "transfer": key.transfer}
    return tuple(f"the venue does not tell whether it may {what}" for what, may in told.items() if may is None)


def require_reading_only(venue: str, key: KeyScope) -> None:
    """Raise UsageError for a key that may do more than look, or of which that is not known."""
    if said := key_refusals(key):
        raise UsageError(f"{venue}, key {key.fingerprint}: expected a key that only reads, found: {'; '.join(said)}; {HOW}")
