"""A gate's world in this process: a real venue, a thread that beats as a sentinel would, beats of a checker through a pipe.

There is no real sentinel here on purpose: one that finds its gate standing still kills the gate's process, which is this one.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.errors import InterlockError
from interlock.gate import frames as f
from interlock.gate.clock_watch import ClockReading
from interlock.gate.conditions import read_only_refusal
from interlock.gate.connection import OrderConnection
from interlock.gate.frames import Role
from interlock.gate.journal import SystemDisk
from interlock.gate.records import Endpoint
from interlock.gate.sockets import Peer
from interlock.run import gate_process
from interlock.run.gate_config import GateConfig, VenuePart
from interlock.run.gate_kits import MakeKit, kit_of
from interlock.run.gate_launch import example_limits
from interlock.run.gate_ports import Ports
from interlock.run.gate_world import GateWorld
from interlock.sentinel.stop_word import StopWord
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues import endpoint

ACK = "I_UNDERSTAND_LIVE_RISK"
ME = Peer(os.getpid(), os.geteuid(), os.getegid())


def config_for(folder: Path, addresses: Addresses, checker_fd: int, **changes: Any) -> GateConfig:
    parts = tuple(
        VenuePart(
            venue=venue,
            account="main",
            endpoint=Endpoint.LOOPBACK,
            orders_port=ports.orders,
            stream_port=ports.stream,
            symbols=("BTCUSDT",),
            dead_man=venue == "binance_usdm",
        )
        for venue, ports in sorted(addresses.venues.items())
    )
    fields: dict[str, Any] = {
        "folder": folder,
        "sockets": folder / "run",
        "memory": folder / "memory",
        "limits": example_limits(),
        "venues": parts,
        "tags": {"demo": "demo"},
        "users": (os.geteuid(),),
        "checker_fd": checker_fd,
        "witness": addresses.witness,
        "lock_folder": folder,
        "segment_bytes": 1 << 20,
        "batch_bytes": 1 << 16,
        "reserve_bytes": 1 << 16,
    }
    return GateConfig(**{**fields, **changes})


class Around:
    """What stands around a gate: the sentinel's beat and the checker's, each of which can be stopped."""

    def __init__(self, word: Path, pipe: int) -> None:
        self.sentinel = self.checker = True
        self.violations = 0
        self._word = word
        self._pipe = pipe
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        word: StopWord | None = None
        file = 0
        next_beat = 0.0
        while not self._over.is_set():
            try:
                found = self._word.stat().st_ino
                if found != file:
                    word, file = StopWord.attach(self._word), found
            except (OSError, InterlockError):
                word = None
            if word is not None and self.sentinel:
                word.beat()
            if self.checker and time.monotonic() >= next_beat:
                next_beat = time.monotonic() + 0.1
                new = [{"invariant": "S8", "lsn": 1, "sentence": "sent twice"}] if self.violations else []
                line = {"beat": 1, "wall_ns": 1, "lsn": 1, "violations": self.violations, "new": new}
                try:
                    os.write(self._pipe, json.dumps(line).encode() + b"\n")
                except OSError:
                    return
            time.sleep(0.005)

    def end(self) -> None:
        self._over.set()
        self._thread.join(5)


@contextmanager
def ground(folder: Path, venues: tuple[str, ...] = ("bybit",), **changes: Any) -> Iterator[tuple[GateConfig, Around, Addresses]]:
    """A venue, and what a gate's process is told about it."""
    with served(folder / "venue", venues) as addresses:
        read_end, write_end = os.pipe()
        (folder / "run").mkdir(mode=0o750, exist_ok=True)
        (folder / "memory").mkdir(mode=0o750, exist_ok=True)
        config = config_for(folder, addresses, read_end, **changes)
        around = Around(config.stop_word, write_end)
        try:
            yield config, around, addresses
        finally:
            around.end()
            os.close(write_end)
            os.close(read_end)


class Host:
    """One life in this process."""

    def __init__(self, world: GateWorld, around: Around) -> None:
        self.world = world
        self.around = around
        self.asked: list[Mapping[str, Any]] = []
        self.said: list[str] = []
        self._nonce = 0

    async def ask(self, role: Role, request: f.Frame) -> f.Frame:
        return await self.world.desk(role, ME, request)

    def status(self) -> f.Status:
        return self.world.desk.status()

    def nonce(self) -> str:
        self._nonce += 1
        return f"{time.time_ns():024x}{self._nonce:08x}"

    async def begin_arming(self, **changes: Any) -> f.Frame:
        fields: dict[str, Any] = {
            "conditions": {"LIVE_ARM_ACK": ACK, "LIVE_ARM_AT": str(int(time.time())), "LIVE_MAX_NOTIONAL_USD": "100"},
            "max_notional_usd": "100",
            "lifetime_ns": 600 * 10**9,
            "mandate_ns": 600 * 10**9,
            "scripted": True,
            "state_version": self.status().state_version,
            "nonce": self.nonce(),
        }
        return await self.ask(Role.RAISE, f.ArmBegin(**{**fields, **changes}))

    async def answer(self, challenge: f.Challenge, **changes: Any) -> f.Frame:
        fields: dict[str, Any] = {
            "challenge_id": challenge.challenge_id,
            "acknowledgement": ACK,
            "phrase": challenge.phrase,
            "level_nonce": self.nonce(),
        }
        return await self.ask(Role.RAISE, f.ArmAnswer(**{**fields, **changes}))

    async def until(self, reached: Callable[[], bool], within_s: float = 15) -> None:
        deadline = time.monotonic() + within_s
        while not reached():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not so: {msgspec.to_builtins(self.status().report)}")
            await asyncio.sleep(0.01)


@asynccontextmanager
async def life(
    config: GateConfig,
    around: Around,
    *,
    environ: Mapping[str, str] | None = None,
    answer: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _request: {},
    connect: Callable[[endpoint.Endpoint, str], Awaitable[OrderConnection]] | None = None,
    kit: MakeKit = kit_of,
    clocks: Callable[[], ClockReading] = gate_process.clocks,
    patience: Callable[[Mapping[str, Any]], Awaitable[None]] | None = None,
) -> AsyncIterator[Host]:
    """One life of a gate, from its beginning to its orderly end. `patience` is what the sentinel's answer to a request waits for."""
    asked: list[Mapping[str, Any]] = []
    said: list[str] = []

    async def ask_sentinel(request: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(request)
        if patience is not None:
            await patience(request)
        return answer(request) or ({"event": "STATUS", "under_way": None} if request["verb"] == "status" else {})

    count = iter(range(1, 1 << 30))
    world = GateWorld(
        config,
        Ports(
            disk=SystemDisk(),
            connect=connect or gate_process.Machine.real().connect,
            now=gate_process.now,
            clocks=clocks,
            nonce=lambda: f"{time.time_ns():024x}{next(count):08x}",
            ask_sentinel=ask_sentinel,
            log=said.append,
            kit=kit,
        ),
        read_only=read_only_refusal({"READ_ONLY_ENFORCED": "false"} if environ is None else environ),
        host="host",
        user="user",
        build="build",
        kernel_boot_id="kernel",
        pid=os.getpid(),
    )
    host = Host(world, around)
    host.asked, host.said = asked, said
    try:
        await world.begin()
        await world.ready()
        yield host
        await world.leave()
    finally:
        await world.close()


def run(use: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop of its own; nothing may be left behind."""

    async def all_of_it() -> None:
        async with asyncio.timeout(60):
            await use
        for _ in range(100):
            if asyncio.all_tasks() == {asyncio.current_task()}:
                break
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(all_of_it())
