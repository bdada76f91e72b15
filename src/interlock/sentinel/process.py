"""`python -m interlock.sentinel --config C` runs the sentinel; with `--socket S kill|drill|status` it asks a running one and prints JSON lines."""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from interlock.domain.clock import NS_PER_MS
from interlock.domain.errors import InterlockError, Refused
from interlock.sentinel import control
from interlock.sentinel.beats import Beats
from interlock.sentinel.config import Config, clients, read_config
from interlock.sentinel.note import Disk, HostDisk
from interlock.sentinel.operation import Event, Operation
from interlock.sentinel.pulse import Pulse
from interlock.sentinel.sentinel import Sentinel
from interlock.sentinel.sweep import Scope
from interlock.venues.port import Stamp

SAY_WAITING_S = 1.0
REST_S = 2.0
SILENCE_S = 10.0
RECEIVE_WINDOW_MS = 5_000
"""The venues' own default: a cancel that is late does no harm."""


def boot_ns() -> int:
    """Nanoseconds since the machine's boot, time asleep included."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def stamp() -> Stamp:
    """Of one signed request, by the host's clock."""
    return Stamp(time.time_ns() // NS_PER_MS, str(uuid.uuid4()), RECEIVE_WINDOW_MS)


class Process:
    """The parts of a running sentinel, put together. Raises Refused when its socket cannot be had."""

    def __init__(self, config: Config, now_ns: Callable[[], int] = boot_ns, disk: Disk | None = None) -> None:
        make = clients(config, stamp)
        self.listening, self._lock = control.listen(config.folder)
        self.path = config.folder / control.NAME
        self.sentinel = Sentinel(config, make, now_ns, HostDisk() if disk is None else disk)
        self.beats = {
            part.venue: Beats(part, config.prefixes, make[part.venue], lambda: self.sentinel.gate_is_fresh, now_ns)
            for part in config.venues
            if part.dead_man_symbols
        }
        self.pulse = None if config.heartbeat is None else Pulse(config.heartbeat, self.status)
        for venue, beats in self.beats.items():
            self.sentinel.employ(f"beats-{venue}", beats.work)
        if self.pulse is not None:
            self.sentinel.employ("pulse", self.pulse.work)
        users = frozenset(config.users)
        self.sentinel.employ("control", lambda: control.serve(self.listening, users, self.answer))

    def run(self) -> None:
        """Work until `stop`, then let go of everything."""
        self.sentinel.start()
        try:
            self.sentinel.tend()
        finally:
            self.listening.shutdown(socket.SHUT_RDWR)
            self.listening.close()
            for beats in self.beats.values():
                beats.stop()
            if self.pulse is not None:
                self.pulse.stop()
            self.sentinel.join()
            self.path.unlink(missing_ok=True)
            os.close(self._lock)

    def stop(self) -> None:
        """Let `run` end soon. A stop that is under way is remembered by its word and its note, and the next sentinel goes on with it."""
        self.sentinel.stopping = True

    def status(self) -> dict[str, object]:
        """How things stand, as plain data."""
        beats = {venue: {"confirmed_ns": dict(part.confirmed_ns), "trouble": part.trouble} for venue, part in self.beats.items()}
        pulse = None if self.pulse is None else {"sent": self.pulse.sent, "trouble": self.pulse.trouble}
        return {**self.sentinel.status(), "pid": os.getpid(), "build": self.sentinel.config.build, "beats": beats, "pulse": pulse}

    def answer(self, request: Mapping[str, Any]) -> Iterator[Event]:
        """The events that answer a request of the socket. Raises Refused."""
        source = str(request.get("source", "socket"))
        match request.get("verb"):
            case "kill":
                # A stop is not refused for what comes with it: ids that cannot be read are told, and the rest goes on.
                ids, problem = _client_ids(request.get("client_ids", {}))
                if problem:
                    yield {"event": "IGNORED", "reason": problem}
                yield from _told(self.sentinel.kill(Scope.ALL, source, ids))
            case "orders":
                ids, problem = _client_ids(request.get("client_ids", {}))
                yield {"event": "IGNORED", "reason": problem} if problem else {"event": "NAMED", "stop": self.sentinel.name(ids)}
            case "drill":
                yield from _told(self.sentinel.drill(source))
            case "status":
                yield {"event": "STATUS", **self.status()}
            case "rest":
                beats = self.beats.get(str(request.get("venue")))
                armed = beats is not None and beats.announce(str(request.get("symbol")), REST_S)
                yield {"event": "ARMED" if armed else "NOT_ARMED"}
            case verb:
                raise Refused(f"expected verb kill, orders, drill, status or rest, found {verb!r}")


def _client_ids(given: object) -> tuple[dict[str, tuple[str, ...]], str]:
    right = isinstance(given, dict) and all(
        venue.isprintable() and isinstance(ids, list) and all(isinstance(one, str) and one and one.isprintable() for one in ids)
        for venue, ids in given.items()
    )
    if not right or not isinstance(given, dict):
        return {}, f"client_ids: expected lists of ids by venue, found {given!r}"
    return {venue: tuple(ids) for venue, ids in given.items()}, ""


def _told(operation: Operation) -> Iterator[Event]:
    for event in operation.follow(SAY_WAITING_S):
        yield {"event": "WAITING"} if event is None else event


def main(argv: Sequence[str]) -> int:
    """Run or ask; returns the exit code. A kill is 0 only when it is FINAL, a drill only when it passed."""
    parser = argparse.ArgumentParser(prog="python -m interlock.sentinel", description="Cancel everything, whatever the gate does.")
    parser.add_argument("--config", help="run: the configuration, as JSON or as the name of a file of it")
    parser.add_argument("--socket", type=Path, help="ask: the socket of a running sentinel")
    parser.add_argument(
        "--server-user", type=int, default=os.geteuid(), help="ask: the user id that the sentinel must have (default: ours)"
    )
    parser.add_argument("verb", nargs="?", choices=("kill", "drill", "status"), help="ask: what to do")
    options = parser.parse_args(argv)
    try:
        if options.config is not None and options.socket is None and options.verb is None:
            return _run(read_config(options.config))
        if options.config is None and options.socket is not None and options.verb is not None:
            return _ask(options.socket, options.verb, options.server_user)
        parser.error("expected --config, or --socket and a verb")
    except InterlockError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code


def _run(config: Config) -> int:
    process = Process(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    # Whoever started it may have died meanwhile, and then it is needed all the more.
    with suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps({"socket": str(process.path), "pid": os.getpid()}).encode() + b"\n")
    process.run()
    return 0


def _ask(path: Path, verb: str, user: int) -> int:
    good = False
    for event in control.ask(path, {"verb": verb, "source": "command"}, frozenset({user}), SILENCE_S):
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
        good = good or event["event"] in ("FINAL", "STATUS") or (event["event"] == "DRILLED" and event["verdict"] == "PASS")
    return 0 if good else 1
