"""A gate whose machine can be made to misbehave: `python stop_driver.py DIR WAY`, served like `interlock gate serve`.

At SIGUSR1 the WAY begins. `regex` and `product`: one call that holds the interpreter for longer than anybody waits, in the gate's own loop. `full`:
the disk takes nothing more. `before-check` and `before-write`: the process stops itself (SIGSTOP) on its way to the next placement, before its
last check or between that and the write. Everything else is the production gate on its ports.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from interlock.gate.connection import OrderConnection
from interlock.gate.journal import SystemDisk
from interlock.gate.journal.disk import SystemFile
from interlock.run.gate_config import read_gate_config
from interlock.run.gate_launch import prepare
from interlock.run.gate_process import Machine, serve
from interlock.venues.endpoint import Endpoint
from interlock.venues.fake import wire


class Way:
    """What was chosen, and whether it has begun."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = False

    def begin(self) -> None:
        self.begun = True
        if self.name == "regex":
            re.match(r"(a+)+$", "a" * 60 + "b")
        elif self.name == "product":
            factor = int.from_bytes(b"\xa5" * (40 << 20), "big")
            while True:
                _ = factor * factor

    def now(self, name: str) -> bool:
        return self.begun and self.name == name


class FullFile(SystemFile):
    """Takes nothing once the disk is full."""

    def __init__(self, descriptor: int, way: Way) -> None:
        super().__init__(descriptor)
        self._way = way

    def write(self, data: bytes, offset: int) -> int:
        if self._way.now("full"):
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(data, offset)


class FullDisk(SystemDisk):
    def __init__(self, way: Way) -> None:
        self._way = way

    def create(self, path: Path) -> FullFile:
        if self._way.now("full"):
            raise OSError(errno.ENOSPC, "no space left on device")
        return FullFile(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640), self._way)

    def free_bytes(self, directory: Path) -> int:
        return 0 if self._way.now("full") else super().free_bytes(directory)


class Halting(socket.socket):
    """Stops its whole process on the way to a placement: once, when somebody asks how much is unsent, or at the write itself."""

    halt: Callable[[str], None]

    def fileno(self) -> int:
        self.halt("before-check")
        return super().fileno()

    def send(self, data: bytes, flags: int = 0, /) -> int:  # type: ignore[override]
        if isinstance(wire.decode_request(data), wire.Place):
            self.halt("before-write")
        return super().send(data, flags)


def connecting(way: Way) -> Callable[[Endpoint, str], OrderConnection]:
    def halt(name: str) -> None:
        if way.now(name):
            way.begun = False
            os.kill(os.getpid(), signal.SIGSTOP)

    def connect(endpoint: Endpoint, name: str) -> OrderConnection:
        plain = socket.create_connection((endpoint.host, endpoint.port), timeout=2)
        if ".place." not in name:
            return OrderConnection(plain, name)
        line = Halting(fileno=plain.detach())
        # The reading side asks for the number as well, but only while the line is made and ended.
        line.halt = halt
        return OrderConnection(line, name)

    return connect


async def run(folder: Path, way: Way) -> int:
    config = read_gate_config(prepare(folder, None))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, way.begin)
    make = connecting(way)

    async def connect(endpoint: Endpoint, name: str) -> OrderConnection:
        return make(endpoint, name)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    return await serve(config, os.environ, replace(Machine.real(), disk=FullDisk(way), connect=connect), say)


if __name__ == "__main__":
    os.setpgid(0, 0)
    sys.exit(asyncio.run(run(Path(sys.argv[1]), Way(sys.argv[2]))))
