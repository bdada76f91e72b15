"""What a gate's process is told at its start, once, by whoever starts it: a file of JSON that names no secret."""

from __future__ import annotations

import hashlib
import os
from enum import StrEnum
from pathlib import Path

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import BadInput, UsageError
from interlock.domain.ids import TAG_WIDTH
from interlock.gate.account_lock import LOCK_FOLDER
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.records import Endpoint
from interlock.run.endpoint_rules import require_one, require_startable
from interlock.venues.endpoint import Where
from interlock.venues.hosts import hosts_of, pinned

STOP_NOTE = "stop-note"

PROTECTED = frozenset({"bybit"})
"""Venues that cancel when a private stream is silent, for accounts to which they granted it."""
SHORTEST_WINDOW_S, LONGEST_WINDOW_S = 3, 60
"""The venue takes up to 300 s; so long an order may rest with nobody watching that a minute is all that counts as watched."""

Child = tuple[int, int, bool]
"""(process id, start in clock ticks, started for this life) of what stands around a gate."""


class Entry(StrEnum):
    """How orders go to a venue that `interlock venues serve` plays."""

    SOCKET = "socket"
    """Over its WebSocket, where it has one for orders, and over HTTP where it has none; cancels over both."""
    REST = "rest"
    """Over HTTP."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all parts; a misspelt key is an error."""


class VenuePart(_Part, frozen=True, kw_only=True):
    """One account at one venue. `dead_man`: the venue cancels by itself when the sentinel's beats stay away.

    On loopback it is at the two ports, of the fake venue, or where `places` says, a file of the first line of `interlock venues serve`: addresses and
    keys. Elsewhere it is at the venue's own hosts: `places` is the file that named them, `credential` that of the key, which has this fingerprint;
    `pins` are by host the keys that its certificate may have.
    """

    venue: str
    account: str
    endpoint: Endpoint
    symbols: tuple[str, ...]
    dead_man: bool
    disconnect_cancel_s: int = 0
    """The venue, which granted the account that, cancels by itself when the gate's private stream is silent for so many seconds; 0: not asked for."""
    orders_port: int = 0
    stream_port: int = 0
    places: Path | None = None
    credential: Path | None = None
    key_fingerprint: str = ""
    pins: dict[str, tuple[str, ...]] = {}
    entry: Entry = Entry.REST
    receive_window_ns: int = 2 * NS_PER_S
    visibility_lag_ns: int = 200 * NS_PER_MS
    """How long the venue's lists may lag behind its matching."""
    answer_ns: int = 2 * NS_PER_S
    read_ns: int = 2 * NS_PER_S

    @property
    def drilled_key(self) -> str:
        """By what a kill drill names the key that it proved: its fingerprint, or on loopback, where keys are made at every start, the account."""
        return self.key_fingerprint or self.account


class GateConfig(_Part, frozen=True, kw_only=True):
    """The whole of it. `tags` are by strategy, as are `strategies`: of each that an engine was told to propose for, the digest of what that decides
    by (`build.strategy_digest`); `checker_fd` is where the checker's beats can be read, `ready_fd` where readiness is told."""

    folder: Path
    sockets: Path
    """Where the sockets of gate and sentinel are."""
    memory: Path
    """A folder in the host's memory, where writing waits for no disk."""
    limits: Path
    venues: tuple[VenuePart, ...]
    tags: dict[str, str]
    strategies: dict[str, str] = {}
    users: tuple[int, ...]
    checker_fd: int
    children: tuple[Child, ...] = ()
    """What ends with the gate when it ends in order, and in which order: checker, sentinel, venue."""
    checker_pid: int = 0
    """Which of the children the checker is; 0 where nobody is to start another one."""
    sentinel_pid: int = 0
    """Which of the children the sentinel is; 0 as above."""
    lock_fd: int = -1
    """The lock of the folder, held by this process from its launch to its end."""
    witness: str = ""
    """What the venues saw, for the checker; only simulated ones write it down."""
    lock_folder: Path = LOCK_FOLDER
    segment_bytes: int = 8 << 20
    batch_bytes: int = 1 << 18
    reserve_bytes: int = 1 << 20

    @property
    def file(self) -> Path:
        """Where this is written down."""
        return self.folder / "run" / "gate.json"

    @property
    def journal(self) -> Path:
        """The journal's folder."""
        return self.folder / "journal"

    @property
    def facts(self) -> Path:
        """What the checker is told of the instruments."""
        return self.folder / "run" / "facts.json"

    @property
    def logs(self) -> Path:
        """Where what stands around the gate complains."""
        return self.folder / "log"

    @property
    def stop_word(self) -> Path:
        """The file behind the stop word."""
        return self.memory / "stop-word"

    @property
    def stop_note(self) -> Path:
        """What the sentinel has to finish after the host's next boot, on disk."""
        return self.folder / "run" / STOP_NOTE

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Of every venue that an order could be sent to."""
        return tuple(part.endpoint for part in self.venues)

    def with_another(self, gone_pid: int, child: Child) -> GateConfig:
        """The same with a child in the place of one that is gone, if it is among the children, else behind them."""
        place = next((k for k, (pid, _, _) in enumerate(self.children) if pid == gone_pid), len(self.children))
        return msgspec.structs.replace(
            self,
            children=(*self.children[:place], child, *self.children[place + 1 :]),
            checker_pid=child[0] if gone_pid == self.checker_pid else self.checker_pid,
            sentinel_pid=child[0] if gone_pid == self.sentinel_pid else self.sentinel_pid,
        )

    def semantic_hash(self) -> str:
        """SHA-256 over what a grant depends on: venues, accounts, endpoints, keys, pins, symbols, windows, the way of orders; not ports, folders
        and descriptors."""
        parts = [
            (
                *(
                    v.venue,
                    v.account,
                    v.endpoint.value,
                    v.entry.value,
                    v.key_fingerprint,
                    sorted(v.pins.items()),
                    sorted(v.symbols),
                    v.dead_man,
                    v.disconnect_cancel_s,
                ),
                *(v.receive_window_ns, v.visibility_lag_ns, v.answer_ns),
            )
            for v in sorted(self.venues, key=lambda one: one.venue)
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def strategy_hash(self) -> str:
        """SHA-256 over the strategies that may propose, by name and tag, and over what their engines decide by as far as that was told."""
        return hashlib.sha256(repr((sorted(self.tags.items()), sorted(self.strategies.items()))).encode()).hexdigest()


def tags_of(sheet: LimitSheet) -> dict[str, str]:
    """The beginning of each strategy's client ids: its name's first characters. Raises UsageError where two would be the same."""
    tags: dict[str, str] = {}
    for name in sheet.strategies:
        letters = "".join(c for c in name.lower() if c.isascii() and c.isalnum())
        tags[name] = letters[:TAG_WIDTH].ljust(TAG_WIDTH, "0")
    if len(set(tags.values())) != len(tags):
        raise UsageError(f"strategies: expected names that differ in their first {TAG_WIDTH} letters, found {', '.join(sorted(tags))}")
    return tags


def read_gate_config(path: Path) -> GateConfig:
    """The configuration in a file. Raises BadInput or UsageError, naming what is wrong."""
    try:
        config = msgspec.json.decode(path.read_bytes(), type=GateConfig, dec_hook=_path)
    except OSError as error:
        raise UsageError(
            f"{path}: expected the gate's configuration, found: {error.strerror}; start it with `interlock gate serve`"
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise BadInput(path, "", f"{error}; compare it with the fields of the gate's configuration") from error
    names = [part.venue for part in config.venues]
    if not names or len(set(names)) != len(names):
        raise BadInput(path, "venues", f"expected one or more different venues, found {names}")
    require_startable(require_one(config.endpoints))
    for part in config.venues:
        _check(path, part)
    return config


def _check(path: Path, part: VenuePart) -> None:
    where = f"venue {part.venue}"
    if part.disconnect_cancel_s:
        require_protectable(path, part.venue, part.disconnect_cancel_s)
        if part.places is None:
            raise BadInput(
                path, where, "expected disconnect_cancel_s only with places, found it at the fake venue, which has no such thing"
            )
    if (part.places is None) is not (part.orders_port > 0 < part.stream_port):
        raise BadInput(path, where, "expected either two ports or places, found both or neither")
    keyed = bool(part.credential is not None and part.key_fingerprint and part.pins)
    bare = part.credential is None and not part.key_fingerprint and not part.pins
    if part.endpoint is Endpoint.LOOPBACK:
        if not bare:
            raise BadInput(
                path, where, "expected neither credential, fingerprint nor pins on loopback, found one: no key of a person is used there"
            )
    elif part.places is None or not keyed:
        raise BadInput(path, where, f"expected places, credential, fingerprint and pins at {part.endpoint.value}, found not all of them")
    else:
        pinned(hosts_of(part.venue, Where(part.endpoint.value)), part.pins)


def require_protectable(path: Path, venue: str, window_s: int) -> None:
    """Raise BadInput for a window of disconnection protection where there is none, or of a length that protects nothing."""
    if venue not in PROTECTED or not SHORTEST_WINDOW_S <= window_s <= LONGEST_WINDOW_S:
        raise BadInput(
            path,
            f"venue {venue}, disconnect_cancel_s",
            f"expected {SHORTEST_WINDOW_S} to {LONGEST_WINDOW_S} (seconds) at {', '.join(sorted(PROTECTED))}, found {window_s}; leave it out where "
            "the venue has granted no disconnection protection",
        )


def write_gate_config(config: GateConfig, path: Path) -> None:
    """Put it into a file that only its owner can read. Raises OSError."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)
    part.write_bytes(msgspec.json.encode(config, enc_hook=str))
    os.replace(part, path)


def _path(wanted: type, found: object) -> object:
    if wanted is Path and isinstance(found, str) and found:
        return Path(found)
    raise ValueError(f"expected the name of a file, found {found!r}")
