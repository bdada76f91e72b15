"""What the sentinel is told at its start, once, by whoever starts it: JSON, in an argument or in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import BadInput, UsageError
from interlock.sentinel.gate_process import GateIdentity
from interlock.sentinel.watch import Bounds
from interlock.venues.cancel_only import CancelOnly
from interlock.venues.endpoint import Where
from interlock.venues.fake.cancel_only import FakeCancelOnly
from interlock.venues.port import Stamp

LOOPBACK, TESTNET = Where.LOOPBACK.value, Where.TESTNET.value


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all parts; a misspelt key is an error."""


class VenuePart(_Part, frozen=True, kw_only=True):
    """One account at one venue. `expiry_ns` is the receive window, the clock skew and the lag of the lists together; null says that requests
    there never expire.

    On loopback it is at `port`, of a fake venue, or where `places` says, a file of the first line of `interlock venues serve`: addresses and keys. At
    testnet it is at the venue's own host, and `credential` is the file of the key, which has this fingerprint.
    """

    venue: str
    endpoint: str
    expiry_ns: int | None
    port: int | None = None
    places: Path | None = None
    credential: Path | None = None
    key_fingerprint: str = ""
    symbols: tuple[str, ...] = ()
    """Without a port: those in which an order is looked up, and which are emptied unseen where the venue empties symbol by symbol."""
    dead_man_symbols: tuple[str, ...] = ()
    """The symbols that the venue's dead-man is used for; none where it has none."""
    countdown_ns: int = 30 * NS_PER_S
    beat_every_ns: int = 10 * NS_PER_S


class GatePart(_Part, frozen=True, kw_only=True):
    """The gate's process, for the case that its stop word cannot be read."""

    pid: int
    start_ticks: int


class HeartbeatPart(_Part, frozen=True, kw_only=True):
    """Where the world hears that the sentinel lives: an address of the user's, http or https."""

    url: str
    every_ns: int = 30 * NS_PER_S


class Config(_Part, frozen=True, kw_only=True):
    """The whole of it. `prefixes` are the beginnings of our client ids; `users` are the user ids that may use the socket."""

    folder: Path
    stop_word: Path
    """In memory; beside it the sentinel keeps its note of a stop."""
    stop_note: Path
    """The same note on disk."""
    prefixes: tuple[str, ...]
    users: tuple[int, ...]
    venues: tuple[VenuePart, ...]
    worst_stall_ns: int
    stall_bound_ns: int
    boot_bound_ns: int
    gate: GatePart | None = None
    heartbeat: HeartbeatPart | None = None
    build: str = ""
    """Which sources it was started from; whoever finds it running with another one starts it anew."""
    request_timeout_ns: int = NS_PER_S
    drill_bound_ns: int = 30 * NS_PER_S
    retire_after_ns: int | None = None
    """On loopback: how long after the end of the gate's process, with nothing left to sweep, the sentinel ends too; null for never."""

    @property
    def bounds(self) -> Bounds:
        """How long the gate may stand still."""
        return Bounds(self.worst_stall_ns, self.stall_bound_ns, self.boot_bound_ns)

    @property
    def gate_identity(self) -> GateIdentity | None:
        """The gate's process, if it was given."""
        return None if self.gate is None else GateIdentity(self.gate.pid, self.gate.start_ticks)


def read_config(text: str) -> Config:
    """The configuration in JSON text, or in the file of that name. Raises BadInput or UsageError, naming what is wrong."""
    name = "--config" if text.lstrip().startswith("{") else text
    try:
        data = text.encode() if name == "--config" else Path(text).read_bytes()
        config = msgspec.json.decode(data, type=Config, dec_hook=_path)
        _ = config.gate_identity
    except OSError as error:
        raise UsageError(f"{name}: expected JSON or a file of it, found: {error.strerror}; give --config") from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadInput(name, "", f"{error}; compare it with the fields of the sentinel's configuration") from error
    _ = config.bounds
    names = [part.venue for part in config.venues]
    if not names or len(set(names)) != len(names):
        raise BadInput(name, "venues", f"expected one or more different venues, found {names}")
    if not config.prefixes or not all(config.prefixes):
        raise BadInput(name, "prefixes", "expected prefixes that are not empty: an empty one would make every order ours")
    if not config.users:
        raise BadInput(name, "users", "expected who may stop, found nobody")
    if config.request_timeout_ns <= 0 or config.drill_bound_ns <= 0:
        raise BadInput(name, "", "expected request_timeout_ns and drill_bound_ns > 0")
    for part in config.venues:
        _check(name, part)
    if config.heartbeat is not None:
        check_heartbeat(name, config.heartbeat.url)
        if config.heartbeat.every_ns <= 0:
            raise BadInput(name, "heartbeat", f"expected every_ns > 0, found {config.heartbeat.every_ns}")
    return config


def check_heartbeat(name: str, url: str) -> None:
    """Raises BadInput for what is no address that a heartbeat could go to."""
    try:
        where = urlsplit(url)
        right = where.scheme in ("http", "https") and bool(where.hostname) and where.port != 0 and url.isascii() and url.isprintable()
        right = right and where.username is None and " " not in url
        (where.hostname or "").encode("idna")
    except ValueError:
        right = False
    if not right:
        raise BadInput(name, "heartbeat", f"expected http:// or https:// with a host and without a password, found {url!r}")


def _path(wanted: type, found: object) -> object:
    if wanted is Path and isinstance(found, str) and found:
        return Path(found)
    raise ValueError(f"expected the name of a file, found {found!r}")


def _check(name: str, part: VenuePart) -> None:
    where = f"venue {part.venue}"
    if part.endpoint == LOOPBACK:
        if part.credential is not None or part.key_fingerprint:
            raise BadInput(name, where, f"expected no credential and no fingerprint on {LOOPBACK}: no key of a person is used there")
        if (part.port is None) is (part.places is None):
            raise BadInput(name, where, f"expected either port or places, found {'neither' if part.port is None else 'both'}")
    elif part.endpoint != TESTNET:
        raise BadInput(name, where, f"expected endpoint {LOOPBACK} or {TESTNET}, the only ones there are so far, found {part.endpoint!r}")
    elif part.port is not None or part.places is not None or part.credential is None or not part.key_fingerprint:
        raise BadInput(name, where, f"expected credential and key_fingerprint at {TESTNET}, and neither port nor places")
    if part.port is None and not all((part.symbols, *part.symbols)):
        raise BadInput(name, where, "expected symbols: without them no order can be looked up")
    if part.expiry_ns is not None and part.expiry_ns <= 0:
        raise BadInput(name, where, f"expected expiry_ns > 0 or null, found {part.expiry_ns}")
    if not 0 < part.beat_every_ns < part.countdown_ns // 2:
        raise BadInput(name, where, "expected beat_every_ns well below half of countdown_ns, so that one lost beat cancels nothing")


def clients(config: Config, stamp: Callable[[], Stamp]) -> dict[str, Callable[[], CancelOnly]]:
    """What makes a client of each venue; `stamp` makes each signed request unlike every other.

    Raises UsageError for places or a credential that cannot be read or are none of the venue.
    """
    return {part.venue: _maker(part, config.request_timeout_ns, stamp) for part in config.venues}


def _maker(part: VenuePart, timeout_ns: int, stamp: Callable[[], Stamp]) -> Callable[[], CancelOnly]:
    port = part.port
    if port is not None:
        return lambda: FakeCancelOnly(port, timeout_ns)
    # Not before it is needed: the fake venue's sentinel starts without whatever the real ones are made of.
    from interlock.venues.cancel_only_at import cancel_only_on_loopback, cancel_only_with_key
    from interlock.venues.credentials import read_credential

    if part.credential is not None:
        where = Where(part.endpoint)
        key = read_credential(part.credential, part.venue, where)
        if key.fingerprint != part.key_fingerprint:
            raise UsageError(
                f"{part.credential}: expected the key {part.key_fingerprint}, found {key.fingerprint}; it was changed meanwhile, start anew"
            )
        return cancel_only_with_key(part.venue, where, key, part.symbols, timeout_ns, stamp)
    return cancel_only_on_loopback(part.venue, _places(part), part.symbols, timeout_ns, stamp)


def _places(part: VenuePart) -> dict[str, Any]:
    try:
        return msgspec.json.decode(b"" if part.places is None else part.places.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise UsageError(f"venue {part.venue}, places: expected a file, found: {error.strerror}: {part.places}") from error
    except msgspec.DecodeError as error:
        raise UsageError(f"venue {part.venue}, places: expected the first line of `interlock venues serve`, found: {error}") from error
