"""What a gate's process is told at its start, once, by whoever starts it: a file of JSON that names no secret."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import BadInput, UsageError
from interlock.gate.account_lock import LOCK_FOLDER
from interlock.gate.records import Endpoint

STOP_NOTE = "stop-note"


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The base of all parts; a misspelt key is an error."""


class VenuePart(_Part, frozen=True, kw_only=True):
    """One account at one venue on this machine. `dead_man`: the venue cancels by itself when the sentinel's beats stay away.

    Where it is stands in the two ports, of the fake venue, or in `places`, a file of the first line of `interlock venues serve`: addresses and keys.
    """

    venue: str
    account: str
    endpoint: Endpoint
    symbols: tuple[str, ...]
    dead_man: bool
    orders_port: int = 0
    stream_port: int = 0
    places: Path | None = None
    receive_window_ns: int = 2 * NS_PER_S
    visibility_lag_ns: int = 200 * NS_PER_MS
    """How long the venue's lists may lag behind its matching."""
    answer_ns: int = 2 * NS_PER_S
    read_ns: int = 2 * NS_PER_S


class GateConfig(_Part, frozen=True, kw_only=True):
    """The whole of it. `tags` are by strategy; `checker_fd` is where the checker's beats can be read, `ready_fd` where readiness is told."""

    folder: Path
    sockets: Path
    """Where the sockets of gate and sentinel are."""
    memory: Path
    """A folder in the host's memory, where writing waits for no disk."""
    limits: Path
    venues: tuple[VenuePart, ...]
    tags: dict[str, str]
    users: tuple[int, ...]
    checker_fd: int
    children: tuple[tuple[int, int, bool], ...] = ()
    """(process id, start in clock ticks, started for this life) of what ends with the gate when it ends in order."""
    lock_fd: int = -1
    """The lock of the folder, held by this process from its launch to its end."""
    witness: str = ""
    lock_folder: Path = LOCK_FOLDER
    segment_bytes: int = 8 << 20
    batch_bytes: int = 1 << 18
    reserve_bytes: int = 1 << 20

    @property
    def journal(self) -> Path:
        """The journal's folder."""
        return self.folder / "journal"

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

    def semantic_hash(self) -> str:
        """SHA-256 over what a grant depends on: venues, accounts, endpoints, symbols, windows; not ports, folders and descriptors."""
        parts = [
            (v.venue, v.account, v.endpoint.value, sorted(v.symbols), v.dead_man, v.receive_window_ns, v.visibility_lag_ns, v.answer_ns)
            for v in sorted(self.venues, key=lambda one: one.venue)
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def strategy_hash(self) -> str:
        """SHA-256 over the strategies that may propose, by name and tag."""
        return hashlib.sha256(repr(sorted(self.tags.items())).encode()).hexdigest()


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
    for part in config.venues:
        if (part.places is None) is not (part.orders_port > 0 < part.stream_port):
            raise BadInput(path, f"venue {part.venue}", "expected either two ports or places, found both or neither")
    if {part.endpoint for part in config.venues} != {Endpoint.LOOPBACK}:
        raise BadInput(path, "venues", f"expected every endpoint to be {Endpoint.LOOPBACK.value}: there are no other venues yet")
    return config


def write_gate_config(config: GateConfig, path: Path) -> None:
    """Put it into a file that only its owner can read. Raises OSError."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(msgspec.json.encode(config, enc_hook=str))


def _path(wanted: type, found: object) -> object:
    if wanted is Path and isinstance(found, str) and found:
        return Path(found)
    raise ValueError(f"expected the name of a file, found {found!r}")
