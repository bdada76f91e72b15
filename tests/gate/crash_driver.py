"""A gate that dies where it is told to: the process, and the handle by which a test holds it.

`python -m tests.gate.crash_driver DIR [--die-at NAME --how WAY] ...` prepares and serves a gate like `interlock gate serve`, on a disk and on order
connections that count what passes. Everything that can be cut in two has a name: `write wire of take` is the write of the batch that holds the
WireBegin of the step `take`, `sync wire of take` the sync that makes it durable, `send of take` its frame. So a place keeps its name however many
records of other kinds stand in between, and however the journal's batches fall.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import msgspec
from tests.gate.serving import Serving, bare_environment

from interlock.domain.clock import NS_PER_MS
from interlock.gate import records as r
from interlock.gate.connecting import connect_to
from interlock.gate.connection import OrderConnection
from interlock.gate.journal import Disk
from interlock.gate.journal.disk import File, Held
from interlock.gate.journal.format import BLOCK, BatchKind, decode_batch, decode_header
from interlock.run.gate_config import GateConfig, read_gate_config
from interlock.run.gate_launch import prepare
from interlock.run.gate_process import Machine, serve
from interlock.venues.endpoint import Endpoint
from interlock.venues.fake import wire

T = TypeVar("T")
REPOSITORY = Path(__file__).resolve().parents[2]
PASSED, LOST = "crash-passed", "crash-lost"
"""Files in the folder's `run`: what has passed so far, and what no sync had covered at the end."""
SMALL = {"segment_bytes": 1 << 20, "batch_bytes": 1 << 17, "reserve_bytes": 1 << 16}
ANSWER_NS = 700 * NS_PER_MS


class Way(StrEnum):
    """What happens at a place: the end of the process before, after or in the middle of it, or an error of the disk."""

    BEFORE = "before"
    AFTER = "after"
    PARTIAL = "partial"
    EIO = "eio"
    ENOSPC = "enospc"


DEATHS = (Way.BEFORE, Way.AFTER, Way.PARTIAL)
_ERRORS = {Way.EIO: errno.EIO, Way.ENOSPC: errno.ENOSPC}


def ways_of(place: str) -> tuple[Way, ...]:
    """What can happen at a place."""
    kind = place.partition(" ")[0]
    return {"write": tuple(Way), "send": DEATHS, "sync": (Way.BEFORE, Way.AFTER, Way.EIO)}.get(kind, (Way.BEFORE, Way.AFTER))


class Change(msgspec.Struct, frozen=True):
    """Something that the disk was asked for and that no sync has covered: bytes of a file, or a name (then `source` is what it was before)."""

    path: str
    offset: int = 0
    before: bytes = b""
    after: bytes = b""
    source: str = ""

    @property
    def is_name(self) -> bool:
        return bool(self.source)


# The process


class Crash:
    """Knows the names of places, and strikes at one of them. May be used from any thread."""

    def __init__(self, folder: Path, at: str, how: Way, holding: str, *, full: bool) -> None:
        self._run = folder / "run"
        self._log = os.open(self._run / PASSED, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._at, self._how, self._holding = at, how, holding
        self._lock = threading.RLock()
        self._labels: dict[str, str] = {}
        self._steps: list[str] = []
        self.full = full
        self._pending: list[Change] = []

    def told(self) -> None:
        """Heed a line of stdin: what the next orders are called and where to strike, or that the disk is full."""
        line = sys.stdin.readline()
        if not line:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            return
        order = json.loads(line)
        with self._lock:
            self.full = order.get("full", self.full)
            if "steps" in order:
                os.ftruncate(self._log, 0)
                self._labels, self._steps = {}, list(order["steps"])
                self._at, self._how, self._holding = order["at"], Way(order["how"]), order["holding"]
        say("heard")

    def step_of(self, records: Iterable[r.AnyRecord]) -> list[str]:
        """What a batch is called, by each of its records."""
        names = []
        with self._lock:
            for record in records:
                client_id = getattr(record, "client_id", "")
                if isinstance(record, r.Intent) and record.revision:
                    self._labels[client_id] = "amend"
                elif isinstance(record, r.Intent) and self._steps:
                    self._labels[client_id] = self._steps.pop(0)
                elif isinstance(record, r.CancelWanted) and client_id in self._labels:
                    self._labels[client_id] = "cancel"
                label = self._labels.get(client_id, "")
                names.append(f"{record.__struct_config__.tag} of {label}" if label else str(record.__struct_config__.tag))
        return names

    def frame_of(self, data: bytes) -> list[str]:
        """What the frames in some bytes are called."""
        found = []
        assembler = wire.Assembler()
        assembler.feed(data)
        while (frame := assembler.take()) is not None:
            request = wire.decode_request(frame)
            verb, client_id = wire.verb_of(request), wire.ids_of(request)[0][0]
            label = self._labels.get(client_id, "")
            found.append(f"of {label if verb == 'place' else verb}" if label else verb)
        return found

    def pass_through(self, kind: str, names: Iterable[str], act: Callable[[], T], part: Callable[[], object] | None = None) -> T:
        """Do something that has names, or be struck at it."""
        places = [f"{kind} {name}" for name in names]
        with self._lock:
            struck = self._at in places
            held = self._holding in places
            place, how = self._at, self._how
        if held:
            threading.Event().wait()  # nobody sets it: the end of the process is the end of this
        if struck and how in _ERRORS:
            with self._lock:
                self._at = ""
            self._say(f"struck {place}")
            raise OSError(_ERRORS[how], f"injected at {place}")
        if struck and how is Way.PARTIAL and part is not None:
            part()
        if struck and how is not Way.AFTER:
            self.die(place)
        done = act()
        if struck:
            self.die(place)
        self._say(*(f"passed {name}" for name in places))
        return done

    def note(self, change: Change) -> None:
        """Keep in mind what the disk was asked for."""
        with self._lock:
            self._pending.append(change)

    def rename(self, source: str, target: str) -> None:
        """Keep in mind that a file has another name."""
        with self._lock:
            self._pending = [msgspec.structs.replace(one, path=target) if one.path == source else one for one in self._pending]
            self._pending.append(Change(target, source=source))

    def settle(self, still: Callable[[Change], bool]) -> None:
        """Forget what a sync has covered."""
        with self._lock:
            self._pending = [change for change in self._pending if still(change)]

    def die(self, place: str) -> NoReturn:
        """End as a process ends that is killed, and leave word of what no sync had covered."""
        (self._run / LOST).write_bytes(msgspec.msgpack.encode(self._pending))
        self._say(f"struck {place}")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("killed, and alive")

    def _say(self, *lines: str) -> None:
        os.write(self._log, "".join(f"{line}\n" for line in lines).encode())


class CrashFile:
    """A file whose writes and syncs have names."""

    def __init__(self, crash: Crash, file: File, path: Path) -> None:
        self._crash, self._file, self.path = crash, file, path
        self._unsynced: list[str] = []

    def read(self, size: int, offset: int) -> bytes:
        return self._file.read(size, offset)

    def size(self) -> int:
        return self._file.size()

    def close(self) -> None:
        self._file.close()

    def write(self, data: bytes, offset: int) -> int:
        names, half = self._names(data), data[: len(data) // 2]

        def whole() -> int:
            self._note(data, offset)
            return self._file.write(data, offset)

        def part() -> None:
            self._note(half, offset)
            self._file.write(half, offset)

        self._unsynced += names
        return self._crash.pass_through("write", names, whole, part)

    def sync(self) -> None:
        names, self._unsynced = self._unsynced, []
        self._crash.pass_through("sync", names, self._file.sync)
        self._crash.settle(lambda change: change.is_name or change.path != str(self.path))

    def _names(self, data: bytes) -> list[str]:
        if not any(data):
            return ["zeros"]
        if decode_header(data[:BLOCK]) is not None:
            return ["header"]
        batch = decode_batch(data)
        if batch is None or batch.kind != BatchKind.RECORDS:
            return ["seal"]
        return self._crash.step_of(r.decode(payload) for payload in batch.records)

    def _note(self, data: bytes, offset: int) -> None:
        before = self._file.read(len(data), offset).ljust(len(data), b"\0")
        self._crash.note(Change(str(self.path), offset, before, data))


class CrashDisk:
    """The machine's disk, with names, and a switch that makes it full."""

    def __init__(self, crash: Crash, disk: Disk) -> None:
        self._crash, self._disk = crash, disk
        self._files: dict[Path, CrashFile] = {}

    def open(self, path: Path) -> CrashFile:
        return CrashFile(self._crash, self._disk.open(path), path)

    def create(self, path: Path) -> CrashFile:
        if self._crash.full:
            raise OSError(errno.ENOSPC, "the disk is full")
        self._files[path] = CrashFile(self._crash, self._disk.create(path), path)
        return self._files[path]

    def rename(self, source: Path, target: Path) -> None:
        self._crash.pass_through("rename", ["segment"], lambda: self._rename(source, target))

    def _rename(self, source: Path, target: Path) -> None:
        self._disk.rename(source, target)
        file = self._files.pop(source)
        file.path = target
        self._files[target] = file
        self._crash.rename(str(source), str(target))

    def unlink(self, path: Path) -> None:
        self._disk.unlink(path)

    def names(self, directory: Path) -> list[str]:
        return self._disk.names(directory)

    def make_directory(self, path: Path) -> None:
        self._disk.make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self._crash.pass_through("sync", ["names"], lambda: self._disk.sync_directory(path))
        self._crash.settle(lambda change: not change.is_name)

    def free_bytes(self, directory: Path) -> int:
        return 0 if self._crash.full else self._disk.free_bytes(directory)

    def lock(self, path: Path) -> Held:
        return self._disk.lock(path)


class CrashSocket(socket.socket):
    """A socket whose sends have names."""

    crash: Crash

    def send(self, data: Any, flags: int = 0, /) -> int:
        taken = bytes(data)
        send = super().send
        return self.crash.pass_through(
            "send", self.crash.frame_of(taken), lambda: send(taken, flags), lambda: send(taken[: len(taken) // 2], flags)
        )


def machine_of(crash: Crash, kernel_boot_id: str) -> Machine:
    """The machine, with names; on another boot of the host if one is named."""

    def make(family: int, kind: int) -> socket.socket:
        connection = CrashSocket(family, kind)
        connection.crash = crash
        return connection

    async def connect(endpoint: Endpoint, name: str) -> OrderConnection:
        return await connect_to(endpoint, name, make)

    real = Machine.real()
    return Machine(
        disk=CrashDisk(crash, real.disk),
        connect=connect,
        kernel_boot_id=(lambda: kernel_boot_id) if kernel_boot_id else real.kernel_boot_id,
    )


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def live(config: GateConfig, machine: Machine, crash: Crash) -> int:
    """One life, as `interlock gate serve` lives it."""
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), crash.told)
    return await serve(config, os.environ, machine, say)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gate.crash_driver")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limits", type=Path)
    parser.add_argument("--die-at", default="")
    parser.add_argument("--how", type=Way, default=Way.BEFORE)
    parser.add_argument("--hold", default="")
    parser.add_argument("--kernel-boot-id", default="")
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args(argv)
    os.setpgid(0, 0)
    config = read_gate_config(prepare(options.folder, options.limits))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # The venue and the sentinel outlive a life that ends in order, as they outlive one that dies.
    config = msgspec.structs.replace(
        config,
        children=config.children[:1],
        venues=tuple(msgspec.structs.replace(part, answer_ns=ANSWER_NS) for part in config.venues),
        **SMALL,
    )
    crash = Crash(options.folder, options.die_at, options.how, options.hold, full=options.full)
    return asyncio.run(live(config, machine_of(crash, options.kernel_boot_id), crash))


# The handle of a test


@dataclass
class Life(Serving):
    """A gate that may die at any moment."""

    def passed(self) -> set[str]:
        """The places that it came by."""
        return self._said("passed")

    def struck(self) -> set[str]:
        """Where it was struck."""
        return self._said("struck")

    def _said(self, what: str) -> set[str]:
        text = (self.folder / "run" / PASSED).read_text(encoding="utf-8")
        return {line.partition(" ")[2] for line in text.splitlines() if line.startswith(what)}

    @property
    def dead(self) -> bool:
        return self.process.poll() is not None

    def tell_it(self, order: Mapping[str, Any]) -> None:
        """Write a line to its stdin, and wait until it was heard."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "heard\n"

    def die(self) -> None:
        super().die()
        if self.process.stdin is not None:
            self.process.stdin.close()


def start(folder: Path, limits: Path, *more: str) -> Life:
    """Start a life, and wait for its line or for its end; `paths` are empty if it ended before."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    with (folder / "gate.stderr").open("ab") as complaints:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.gate.crash_driver", str(folder), "--limits", str(limits), *more],
            cwd=REPOSITORY,
            env={**bare_environment(), "READ_ONLY_ENFORCED": "false"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    return Life(folder, process, json.loads(line) if line else {})


def lost(folder: Path) -> list[Change]:
    """What no sync had covered when a life was struck."""
    return msgspec.msgpack.decode((folder / "run" / LOST).read_bytes(), type=list[Change])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
