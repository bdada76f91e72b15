"""`interlock gate serve`: start what stands around a gate on this machine, then become the gate.

The venue and the sentinel are processes of their own that outlive a gate which dies; a later gate in the same folder finds them again.
The gate itself is this process, replaced by a fresh interpreter with an environment of named variables only, so that nothing that it was not told
can reach it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import InterlockError, Refused, UsageError
from interlock.gate.limit_sheet import LimitSheet, load
from interlock.gate.records import Endpoint
from interlock.gate.sockets import private_folder
from interlock.run.build import build_hash
from interlock.run.children import PASSED_ON, SENTINEL_CONFIG, SENTINEL_PID, Begun, first_line, spawn, start_checker, start_sentinel
from interlock.run.endpoint_rules import Resolve, resolve_here
from interlock.run.gate_config import STOP_NOTE, Entry, GateConfig, VenuePart, tags_of, write_gate_config
from interlock.run.gate_memory import memory_folder, take_over_word_on_disk
from interlock.run.gate_places import facts_of, lands_within_ns, placed_parts, told_to_sentinel
from interlock.sentinel import control
from interlock.sentinel.config import check_heartbeat
from interlock.sentinel.gate_process import GateIdentity, Life, identity_of, look
from interlock.sentinel.note import HostDisk, note_beside
from interlock.simulate.fake_venue.flavours import flavour
from interlock.simulate.fake_venue.server import Addresses

CREDENTIALS = "CREDENTIALS_DIRECTORY"
"""Where systemd says which folder holds a service's credentials; it is read at the start alone."""
FORGOTTEN_S = 600
"""How long venue and sentinel stay when the gate is gone and nobody comes back; at an endpoint of a venue the sentinel stays for good."""
WORST_STALL_NS = 1_500 * NS_PER_MS
"""The longest that a gate's loop stood still on a busy machine with two cores, rounded up; the sentinel waits three times as long."""
START_S = 20.0
DIGEST_WIDTH = 64
LONGEST_SOCKET_BYTES = 100
"""The kernel takes 107; a few are for what stands beside a socket while it is made."""


def launch(
    directory: Path,
    limits: Path | None,
    environ: Mapping[str, str],
    heartbeat: str | None = None,
    places: Path | None = None,
    endpoint: Endpoint = Endpoint.LOOPBACK,
    entry: Entry = Entry.SOCKET,
    strategies: Mapping[str, str] | None = None,
) -> NoReturn:
    """Start what a gate needs in `directory`, and become that gate. Raises like `prepare`."""
    credentials = Path(environ[CREDENTIALS]) if environ.get(CREDENTIALS) else None
    config = prepare(
        directory,
        limits,
        heartbeat=heartbeat,
        places=places,
        endpoint=endpoint,
        credentials=credentials,
        entry=entry,
        strategies=strategies or {},
    )
    kept = {name: environ[name] for name in PASSED_ON if name in environ}
    os.execve(sys.executable, [sys.executable, "-P", "-m", "interlock.run.gate_process", str(config)], kept)


def prepare(
    directory: Path,
    limits: Path | None,
    started: list[subprocess.Popen[bytes]] | None = None,
    *,
    heartbeat: str | None = None,
    places: Path | None = None,
    endpoint: Endpoint = Endpoint.LOOPBACK,
    credentials: Path | None = None,
    resolve: Resolve = resolve_here,
    entry: Entry = Entry.SOCKET,
    strategies: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Start venue, sentinel and checker, or find those that run, and write down what the gate is to be told; the file of it.

    They outlive whoever calls; `started` is given those that were started now, for a caller that wants to wait for their end. `heartbeat`
    is where the sentinel tells the world that it lives. With `places` the gate trades there and no venue is started: on loopback a file of the first
    line of `interlock venues serve`, elsewhere one that names the endpoint. `credentials` is the folder of them that systemd gives; `resolve` finds
    the addresses of the hosts, before any of them is connected to. `entry` is the way of orders there.
    `strategies` are digests of what engines decide by, by the strategy that they propose for.

    The descriptor of the checker's beats is open in this process. Raises UsageError and Refused, wrong limits, places and keys before anything was
    started or asked.
    """
    if heartbeat is not None:
        check_heartbeat("--heartbeat", heartbeat)
    sheet_path = (limits or example_limits()).resolve()
    sheet = load(sheet_path)
    tags = tags_of(sheet)
    _require_known(strategies, tags)
    folder = directory.absolute()
    _require_same_endpoint(folder, endpoint)
    placed, witness = placed_parts(sheet, places, endpoint, credentials, resolve, entry)
    facts = _facts(sheet) if places is None else facts_of(placed)
    sockets = _sockets_folder(folder)
    for part in (folder, folder / "run", folder / "venue", folder / "log", sockets):
        try:
            private_folder(part)
        except Refused as error:
            raise UsageError(str(error)) from error
    lock_fd = _lock(folder / "run" / "gate.lock")
    try:
        memory = memory_folder(folder / "run", folder / "run" / STOP_NOTE, HostDisk())
    except Refused as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"{folder / 'run'}: expected a disk that takes the id of the stop word, found: {error}; see what is there"
        ) from error
    begun: list[subprocess.Popen[bytes]] = [] if started is None else started
    around: tuple[tuple[int, bool], ...] = ()
    if places is None:
        addresses, new_venue = _venue(folder / "venue", sorted(sheet.venues), folder / "log", begun)
        placed, witness = tuple(_part(name, sheet, addresses) for name in sorted(sheet.venues)), addresses.witness
        around = ((addresses.pid, new_venue),)
    config = GateConfig(
        folder=folder,
        sockets=sockets,
        memory=memory,
        limits=sheet_path,
        venues=placed,
        tags=tags,
        strategies=dict(strategies),
        users=(os.geteuid(),),
        checker_fd=-1,
        lock_fd=lock_fd,
        witness=witness,
    )
    sentinel, new_sentinel = _sentinel(config, heartbeat, folder / "log", begun)
    checker = _checker(config, facts, begun)
    around = ((checker.pid, True), (sentinel, new_sentinel), *around)
    children = tuple((*found, new) for pid, new in around if (found := _identity(pid)) is not None)
    config = msgspec.structs.replace(config, checker_fd=checker.beats_fd, children=children, checker_pid=checker.pid, sentinel_pid=sentinel)
    write_gate_config(config, config.file)
    return config.file


def _require_known(strategies: Mapping[str, str], tags: Mapping[str, str]) -> None:
    """Raise UsageError where a strategy is told that the limits do not have, or its digest is none."""
    for name, digest in strategies.items():
        if name not in tags:
            raise UsageError(f"--strategy: expected one of the limits ({', '.join(sorted(tags))}), found {name!r}")
        if len(digest) != DIGEST_WIDTH or set(digest) - set(string.hexdigits.lower()):
            raise UsageError(f"--strategy {name}: expected {DIGEST_WIDTH} hexadecimal digits, found {digest!r}; `interlock run` tells them")


def _require_same_endpoint(folder: Path, endpoint: Endpoint) -> None:
    """Raise UsageError where the gate of a folder was at another endpoint: its journal, orders and positions are of that one."""
    try:
        last = msgspec.json.decode((folder / "run" / "gate.json").read_bytes(), type=_LastTold)
    except (OSError, msgspec.DecodeError):
        return
    if {one.endpoint for one in last.venues} != {endpoint.value}:
        found = ", ".join(sorted({one.endpoint for one in last.venues}))
        raise UsageError(f"{folder}: expected a folder of a gate at {endpoint.value}, found one at {found}; take another folder")


class _LastVenue(msgspec.Struct, frozen=True):
    endpoint: str


class _LastTold(msgspec.Struct, frozen=True):
    """What of the last start of a folder is of interest; the rest may be of another version."""

    venues: tuple[_LastVenue, ...]


def _lock(path: Path) -> int:
    """Hold the folder for this process and what it becomes. Raises Refused if a gate lives there."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(f"{path.parent.parent}: another gate has it; stop that one first, or take another folder") from error
    os.set_inheritable(descriptor, True)
    return descriptor


def _sockets_folder(folder: Path) -> Path:
    """Within the gate's folder, unless its name is too long for the path of a socket: then a short one of the same owner."""
    if len(str(folder / "run" / "sentinel.sock").encode()) <= LONGEST_SOCKET_BYTES:
        return folder / "run"
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"interlock-{os.geteuid()}-{digest}"


def example_limits() -> Path:
    """The limits that are shipped for trying the gate on this machine."""
    return Path(str(resources.files("interlock.gate"))) / "examples" / "limits.toml"


def _known_venue(name: str, sheet: LimitSheet) -> None:
    played = flavour(name)
    listed = {listing.info.symbol for listing in played.listings}
    wanted = {symbol.partition(":")[2] for symbol in sheet.symbols if symbol.partition(":")[0] == name}
    if not wanted or wanted - listed:
        raise UsageError(
            f"limits, venue {name}: expected symbols among {', '.join(sorted(listed))}, found {', '.join(sorted(wanted)) or 'none'}"
        )
    if len(sheet.venues[name].accounts) != 1:
        raise UsageError(f"limits, venue {name}: expected one account, found {len(sheet.venues[name].accounts)}")


def _part(name: str, sheet: LimitSheet, addresses: Addresses) -> VenuePart:
    ports = addresses.venues[name]
    return VenuePart(
        venue=name,
        account=sheet.venues[name].accounts[0],
        endpoint=Endpoint.LOOPBACK,
        orders_port=ports.orders,
        stream_port=ports.stream,
        symbols=tuple(sorted(symbol.partition(":")[2] for symbol in sheet.symbols if symbol.partition(":")[0] == name)),
        dead_man=flavour(name).dead_man,
    )


# What stands around it


def _venue(folder: Path, names: list[str], logs: Path, begun: list[subprocess.Popen[bytes]]) -> tuple[Addresses, bool]:
    """The venue of this folder, the one that still runs or a new one; and whether it is new."""
    known = folder / "addresses.json"
    try:
        there = msgspec.json.decode(known.read_bytes(), type=Addresses)
    except (OSError, msgspec.DecodeError):
        there = None
    if there is not None and _runs(there.pid, "interlock.simulate.fake_venue"):
        if sorted(there.venues) != names:
            raise UsageError(
                f"the venue of this folder plays {', '.join(sorted(there.venues))}, the limits are for {', '.join(names)}; take another folder"
            )
        return there, False
    log = logs / "venue.log"
    process = spawn(
        ["-m", "interlock.simulate.fake_venue", "--dir", str(folder), "--venues", ",".join(names), "--retire-after-s", str(FORGOTTEN_S)],
        log,
        os.environ,
        begun,
    )
    return msgspec.json.decode(first_line(process, "venue", log), type=Addresses), True


def _sentinel(config: GateConfig, heartbeat: str | None, logs: Path, begun: list[subprocess.Popen[bytes]]) -> tuple[int, bool]:
    """The sentinel of this folder, the one that still runs and was told the same or a new one: its process id, and whether it is new."""
    told = {
        "folder": str(config.sockets),
        "stop_word": str(config.stop_word),
        "stop_note": str(config.stop_note),
        "prefixes": sorted(config.tags.values()),
        "users": list(config.users),
        "venues": [_told_to_sentinel(part) if part.places is None else told_to_sentinel(part) for part in config.venues],
        "worst_stall_ns": WORST_STALL_NS,
        "stall_bound_ns": 3 * WORST_STALL_NS,
        "boot_bound_ns": 120 * NS_PER_S,
        "retire_after_ns": FORGOTTEN_S * NS_PER_S if set(config.endpoints) == {Endpoint.LOOPBACK} else None,
        "heartbeat": None if heartbeat is None else {"url": heartbeat},
        "build": build_hash(),
    }
    file, text = config.sockets / SENTINEL_CONFIG, json.dumps(told)
    told_the_same = _text_of(file) == text
    try:
        return _sentinel_once(config, file, text, told_the_same, logs, begun)
    except Refused:
        # It may not have been alone: a gate that died while it started one left one behind that is ready only now.
        if not _status(config.sockets):
            raise
        return _sentinel_once(config, file, text, told_the_same, logs, begun)


def _sentinel_once(
    config: GateConfig, file: Path, text: str, told_the_same: bool, logs: Path, begun: list[subprocess.Popen[bytes]]
) -> tuple[int, bool]:
    running, status = _running_sentinel(config.sockets, file)
    if running is not None:
        if status and told_the_same:
            return running, False
        if status.get("under_way") and not status.get("stuck"):
            raise UsageError(
                f"{config.sockets}: the sentinel is sweeping and was told other things than this start would tell it; wait for its end "
                "(`interlock kill` follows it), or start with what the last start had"
            )
        os.kill(running, signal.SIGTERM)
        _await_end(running)
    take_over_word_on_disk(config.sockets / "stop-word", config.stop_note, note_beside(config.stop_word), HostDisk())
    file.write_text(text, encoding="utf-8")
    # One in the place of another is not of this start alone: a start that fails must not leave the folder without it.
    return start_sentinel(config.sockets, logs, os.environ, begun), running is None


def _running_sentinel(sockets: Path, file: Path) -> tuple[int | None, Mapping[str, Any]]:
    """The process id of the sentinel that lives in a folder, and what it says of itself; empty if it says nothing.

    Its own word counts before what is written down: whoever started it may have died before writing.
    """
    status = _status(sockets)
    for pid in (status.get("pid"), _pid_in(sockets / SENTINEL_PID)):
        if not isinstance(pid, int) or not _runs(pid, "interlock.sentinel"):
            continue
        # A copy of a folder names the sentinel of the original, which is none of ours.
        if status or _runs(pid, str(file)):
            return pid, status
    return None, {}


def _told_to_sentinel(part: VenuePart) -> dict[str, Any]:
    return {
        "venue": part.venue,
        "endpoint": part.endpoint.value,
        "port": part.orders_port,
        "expiry_ns": lands_within_ns(part) if flavour(part.venue).expires else None,
        "dead_man_symbols": list(part.symbols) if part.dead_man else [],
    }


def _checker(config: GateConfig, told: Mapping[str, Mapping[str, str]], begun: list[subprocess.Popen[bytes]]) -> Begun:
    """A checker of this gate's journal, whose beats are heard by what this process becomes."""
    config.facts.write_text(json.dumps(told), encoding="utf-8")
    checker = start_checker(config.journal, config.witness, config.facts, config.logs, os.environ, begun, again=False)
    os.set_inheritable(checker.beats_fd, True)
    return checker


def _facts(sheet: LimitSheet) -> dict[str, dict[str, str]]:
    """What the checker must know of the fake venues' instruments. Raises UsageError for limits that do not fit them."""
    found = {}
    for name in sorted(sheet.venues):
        _known_venue(name, sheet)
        for listing in flavour(name).listings:
            info = listing.info
            found[f"{name}/{info.symbol}"] = {"tick": info.tick, "lot": info.lot, "currency": info.quote}
    return found


def _status(folder: Path) -> Mapping[str, Any]:
    """What the sentinel of a folder says of itself; empty if it does not answer."""
    try:
        return next(iter(control.ask(folder / control.NAME, {"verb": "status"}, frozenset({os.geteuid()}), 2.0)), {})
    except InterlockError:
        return {}


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _pid_in(path: Path) -> int | None:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _runs(pid: int, word: str) -> bool:
    """Whether this process id is of a living process whose command has that word, a module or a file: ids are given again."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return word.encode() in command


def _identity(pid: int) -> tuple[int, int] | None:
    try:
        found = identity_of(pid)
    except OSError:
        return None
    return found.pid, found.start_ticks


def _await_end(pid: int) -> None:
    until = time.monotonic() + START_S
    gate = _identity(pid)
    while gate is not None and look(GateIdentity(*gate)) is not Life.GONE:
        if time.monotonic() > until:
            raise Refused(f"sentinel {pid}: expected it to end within {START_S:.0f} s of SIGTERM, found it alive; look at what it is doing")
        time.sleep(0.01)
