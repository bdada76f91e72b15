"""A served fake with orders in it, a stand-in for the gate, and a running sentinel, each a process of its own where that matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.sentinel import control
from interlock.sentinel.config import Config, GatePart, HeartbeatPart, VenuePart
from interlock.sentinel.gate_process import identity_of
from interlock.sentinel.note import Disk
from interlock.sentinel.process import Process, boot_ns
from interlock.simulate.fake_venue.client import ControlClient, SocketLink, VenueClient
from interlock.simulate.fake_venue.control import AnyCommand, ArmFault, AskTruth, Done, Truth
from interlock.simulate.fake_venue.faults import FaultSpec
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues.fake.wire import NewOrder, OrderView, Outcomes, PlaceBatch

MS = 1_000_000
LIFE = "0123456789abcdef" * 2
OURS = "mk01"
VENUES = ("bybit", "binance_usdm")
COMMAND = [sys.executable, "-m", "interlock.sentinel"]

GATE = """
import re, subprocess, sys, time
from pathlib import Path
from interlock.sentinel.stop_word import StopWord
word = StopWord.create(Path(sys.argv[1]), sys.argv[2])
word.advance()
print("ready", flush=True)
how = sys.argv[3]
if how == "regex":
    re.match(r"(a+)+$", "a" * 60 + "b")
elif how == "product":
    x = 7 ** 40_000_000
    while True:
        x * x
if how == "parent":
    print(subprocess.Popen(["sleep", "600"]).pid, flush=True)
if how in ("deaf", "parent"):
    while True:
        word.advance()
        time.sleep(0.002)
while not word.stopped:
    word.advance()
    time.sleep(0.002)
word.acknowledge(7)
time.sleep(600)
"""


@contextmanager
def gate(path: Path, how: str, life: str = LIFE) -> Iterator[subprocess.Popen[str]]:
    """A gate that works ("fine"), never hears ("deaf", "parent" with a child), or is busy for ever ("regex", "product")."""
    command = [sys.executable, "-c", GATE, str(path), life, how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def config_of(folder: Path, ports: Mapping[str, int | dict[str, Any]], **changes: Any) -> Config:
    """A configuration; of each venue either the port of a fake one, or the fields of its part that tell where it is."""
    parts = tuple(
        VenuePart(
            venue=venue,
            endpoint="loopback",
            expiry_ns=changes.pop(f"expiry_{venue}", 300 * MS),
            **(place if isinstance(place, dict) else {"port": place}),
        )
        for venue, place in ports.items()
    )
    fields: dict[str, Any] = {
        "folder": folder / "s",
        "stop_word": folder / "stop",
        "stop_note": folder / "s" / "stop-note",
        "prefixes": (OURS,),
        "users": (os.geteuid(),),
        "venues": parts,
        "worst_stall_ns": 100 * MS,
        "stall_bound_ns": 60_000 * MS,
        "boot_bound_ns": 60_000 * MS,
        "request_timeout_ns": 500 * MS,
    }
    return Config(**{**fields, **changes})


def ports_of(addresses: Addresses) -> dict[str, int]:
    return {venue: ports.orders for venue, ports in addresses.venues.items()}


@contextmanager
def spawned(config: Config) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """The sentinel as a process, and its socket."""
    with subprocess.Popen([*COMMAND, "--config", config_json(config)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["pid"] == process.pid
            yield process, Path(ready["socket"])
        finally:
            process.kill()


def ask(path: Path, verb: str) -> tuple[int, list[dict[str, Any]]]:
    """What the command that asks says, and its exit code."""
    done = subprocess.run([*COMMAND, "--socket", str(path), verb], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def running(config: Config, now_ns: Callable[[], int] = boot_ns, disk: Disk | None = None) -> Iterator[Process]:
    """The sentinel in threads of this process."""
    process = Process(config, now_ns, disk)
    thread = threading.Thread(target=process.run)
    thread.start()
    try:
        yield process
    finally:
        process.stop()
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], bool], wait_s: float = 10.0) -> None:
    end = time.monotonic() + wait_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


Enough = tuple[str, ...] | Callable[[list[dict[str, Any]]], bool]
"""Where to stop following: the names of last events, or whether all events up to now are enough."""


def follow(path: Path, last: Enough = ("FINAL",), **request: Any) -> list[dict[str, Any]]:
    """Ask the sentinel and collect its events up to the last, for a minute at most."""
    events: list[dict[str, Any]] = []
    end = time.monotonic() + 60
    for event in control.ask(path, {"verb": "kill", **request}, frozenset({os.geteuid()}), 20.0):
        if event["event"] != "WAITING":
            events.append(event)
        assert time.monotonic() < end, events
        if event["event"] in last if isinstance(last, tuple) else last(events):
            break
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["event"] for event in events]


class Hand:
    """A hand on the fake: places orders as the gate would, and as strangers would; looks at the truth."""

    def __init__(self, addresses: Addresses) -> None:
        self.control = ControlClient(addresses.control)
        self.clients = {venue: VenueClient(SocketLink(port.orders)) for venue, port in addresses.venues.items()}

    def place(self, venue: str, count: int, prefix: str = OURS, symbol: str = "BTCUSDT") -> None:
        for start in range(0, count, 20):
            orders = tuple(_order(f"{prefix}{number:06}", symbol) for number in range(start, min(start + 20, count)))
            answer = self.clients[venue].request(
                PlaceBatch(request_id=0, sign_ns=time.time_ns(), receive_window_ns=5_000 * MS, orders=orders)
            )
            assert isinstance(answer.body, Outcomes), answer
            assert all(child.status == 200 for child in answer.body.children)

    def command(self, command: AnyCommand) -> None:
        assert isinstance(self.control.command(command), Done)

    def arm(self, venue: str, spec: FaultSpec) -> None:
        self.command(ArmFault(venue=venue, spec=spec))

    def truth(self, venue: str) -> Truth:
        reply = self.control.command(AskTruth(venue=venue))
        assert isinstance(reply, Truth)
        return reply

    def open(self, venue: str) -> list[OrderView]:
        return [order for order in self.truth(venue).orders if not order.state.final]

    def close(self) -> None:
        self.control.close()
        for client in self.clients.values():
            assert isinstance(client.link, SocketLink)
            client.link.close()


def _order(client_id: str, symbol: str) -> NewOrder:
    return NewOrder(
        client_id=client_id,
        symbol=symbol,
        side=Side.BUY,
        type=OrderType.LIMIT,
        tif=TimeInForce.GTC,
        reduce_only=False,
        ticks=100_000,
        lots=1,
    )


def gate_part(pid: int) -> GatePart:
    who = identity_of(pid)
    return GatePart(pid=who.pid, start_ticks=who.start_ticks)


def heartbeat_part(port: int, every_ms: int) -> HeartbeatPart:
    return HeartbeatPart(url=f"http://127.0.0.1:{port}/alive?of=desk", every_ns=every_ms * MS)


def config_json(config: Config) -> str:
    return json.dumps(msgspec.to_builtins(config, enc_hook=str))
