"""One host of the simulated day: gate and engine as their processes compose them, a sentinel and a checker that look, a person."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from tests.day.disk import HostDisk
from tests.day.loop import MemoryLoop
from tests.day.venue import SYMBOL, VENUE, Venue

from interlock.domain.errors import InterlockError
from interlock.engine.engine import Engine
from interlock.engine.gate_line import GateLine
from interlock.engine.lines import hot_lines
from interlock.gate import frames as f
from interlock.gate.clock_watch import ClockReading
from interlock.gate.conditions import read_only_refusal
from interlock.gate.frames import Role
from interlock.gate.journal import Journal, JournalFailed, Progress
from interlock.gate.lattice import common_level
from interlock.gate.limit_sheet import load
from interlock.gate.readings import Now
from interlock.gate.records import Endpoint as Where_
from interlock.gate.records import Level
from interlock.gate.sockets import Peer
from interlock.gate.state import GateState
from interlock.run.config import load_config
from interlock.run.gate_config import GateConfig, VenuePart, tags_of
from interlock.run.gate_kits import Lines, Paces, VenueKit, kit_of
from interlock.run.gate_places import VISIBILITY_LAG_NS
from interlock.run.gate_ports import Ports
from interlock.run.gate_world import GateWorld
from interlock.run.listed import listed_instruments
from interlock.run.live_plan import live_plan, wanted
from interlock.venues.hosts import hosts_on_loopback

S = 1_000_000_000
ACK = "I_UNDERSTAND_LIVE_RISK"
CAP = "1000"
GRANT_NS = 4 * 3_600 * S
ME = Peer(os.getpid(), os.geteuid(), os.getegid())
BEAT_NS = S // 5


def nonces(seed: int) -> Callable[[], str]:
    """32 hexadecimal digits that never come again."""
    count = 0

    def nonce() -> str:
        nonlocal count
        count += 1
        return hashlib.sha256(f"{seed} {count}".encode()).hexdigest()[:32]

    return nonce


class Gate:
    """One process life of the gate."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.disk = host.disk
        self._progress: Progress | None = None
        self._journal: Journal | None = None
        self._rested_lsn = -1
        self._beaten_ns = 0
        self._failing: asyncio.Task[None] | None = None
        self.begun = False
        ports = Ports(
            disk=host.disk,
            connect=host.venue.connect,
            now=host.now,
            clocks=host.clocks,
            nonce=host.nonce,
            ask_sentinel=self._ask_sentinel,
            log=host.said.append,
            kit=self._kit,
            listen=host.loop.listen,
        )
        self.world = GateWorld(
            host.config,
            ports,
            read_only=read_only_refusal({"READ_ONLY_ENFORCED": "false"}),
            host="host",
            user="user",
            build="build",
            kernel_boot_id="kernel",
            pid=os.getpid(),
        )

    @property
    def state(self) -> GateState:
        return self.world.parts.keeper.state

    @property
    def trades(self) -> bool:
        """Whether it would permit orders: armed, at RUN, and no latch stands for a person to look at."""
        if not self.begun or self.state.live is None or self.state.arming.ended:
            return False
        return common_level(self.state.lattice) is Level.RUN and not self.state.lattice.latches

    def _kit(self, part: VenuePart, now: Callable[[], Now], nonce: Callable[[], str], symbol_of: Callable[[str], str | None]) -> VenueKit:
        venue = self.host.venue
        kit = kit_of(part, now, nonce, symbol_of, Lines(reader=venue.reader, hear=venue.hear))
        return replace(kit, paces=self.host.paces)

    async def _ask_sentinel(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"event": "STATUS", "under_way": None} if request["verb"] == "status" else {}

    async def begin(self) -> None:
        """Up to where it takes part in the day. Raises InterlockError where it does not start."""
        await self.world.begin()
        self.begun = True
        self._failing = asyncio.get_running_loop().create_task(self.world.failed())
        await self.world.ready()

    def problem(self) -> BaseException | None:
        """What ended a part that must not end."""
        failing = self._failing
        return failing.exception() if failing is not None and failing.done() and not failing.cancelled() else None

    def at_rest(self) -> bool:
        """Whether the threads of the journal have nothing to do."""
        journal = self._journal
        if journal is None:
            journal = self._journal = self.world.journal
            if journal is None:
                return True
            self._progress = Progress(journal.written_lsn, journal.durable_lsn, "")
            journal.subscribe(self._heard)
        progress, last_lsn = self._progress, journal.last_lsn
        assert progress is not None
        if progress.failure or journal.failure is not None:
            return True
        if progress.durable_lsn < last_lsn:
            with suppress(JournalFailed):
                journal.commit()  # this thread is idle: then the other need not be waited for
            if self._progress is progress:
                return False
            return self.at_rest()
        if last_lsn != self._rested_lsn:
            room = journal.room()
            if not (room.spare_ready or room.spare_problem):
                return False
            self._rested_lsn = last_lsn
        return True

    def _heard(self, progress: Progress) -> None:
        self._progress = progress
        self.host.loop.stir()

    def beat(self) -> None:
        """Sentinel and checker look on."""
        if not self.begun:
            return
        self.world.parts.word.beat()  # type: ignore[attr-defined]
        now_ns = self.host.loop.virtual.boot_ns
        if now_ns - self._beaten_ns >= BEAT_NS:
            self._beaten_ns = now_ns
            self.host.loop.spoken = True
            os.write(self.host.beats, json.dumps({"beat": 1, "wall_ns": 1, "lsn": 1, "violations": 0, "new": []}).encode() + b"\n")

    async def crash(self) -> None:
        """The process is gone: nothing that happens here any more reaches the disk."""
        self.host.disk = self.disk.after_process()
        await self._let_go()

    async def end(self) -> int:
        """End in order; how many orders are not known to be over."""
        left = await self.world.leave()
        await self._let_go()
        self.host.disk = self.disk.after_process()
        return left

    async def _let_go(self) -> None:
        if self._failing is not None:
            self._failing.cancel()
            await asyncio.gather(self._failing, return_exceptions=True)
        self.begun = False
        with suppress(JournalFailed):
            await self.world.close()


class Host:
    """What stands in the day. `gate` and `engine` are None while none runs."""

    def __init__(self, loop: MemoryLoop, folder: Path, seed: int, calm_ticks: float) -> None:
        self.loop = loop
        self.folder = folder
        self.seed = seed
        self.chance = random.Random(f"{seed} host")
        self.nonce = nonces(seed)
        self.said: list[str] = []
        self.counts: Counter[str] = Counter()
        self.latency_ns = 2_000_000
        self.venue = Venue(loop, folder, seed, calm_ticks, self._latency)
        self.disk = HostDisk(loop.resting)
        self.paces = Paces(market_ns=45 * S // 10, equity_ns=18 * S, reconcile_ns=240 * S)
        self.gate: Gate | None = None
        self.engine: Engine | None = None
        self.line: GateLine | None = None
        self._engine_task: asyncio.Task[None] | None = None
        self.hands = asyncio.Lock()
        """Held by whoever starts, ends or talks to the gate."""
        read_end, self.beats = os.pipe()
        self._read_end = read_end
        (folder / "run").mkdir(mode=0o750)
        (folder / "memory").mkdir(mode=0o750)
        places = folder / "places.json"
        places.write_text(self.venue.places(), encoding="utf-8")
        self.limits = folder / "limits.toml"
        self.run_config = folder / "making.toml"
        self._write_configs()
        self.config = GateConfig(
            folder=folder,
            sockets=folder / "run",
            memory=folder / "memory",
            limits=self.limits,
            venues=(
                VenuePart(
                    venue=VENUE,
                    account="main",
                    endpoint=Where_.LOOPBACK,
                    symbols=(SYMBOL,),
                    dead_man=False,
                    places=places,
                    visibility_lag_ns=VISIBILITY_LAG_NS,
                ),
            ),
            tags=tags_of(load(self.limits)),
            users=(os.geteuid(),),
            checker_fd=read_end,
            lock_folder=folder,
            segment_bytes=1 << 20,
            batch_bytes=1 << 16,
            reserve_bytes=1 << 18,
        )
        self.config.journal.mkdir()
        self.disk.make_directory(self.config.journal)
        loop.at_rest = lambda: self.gate is None or self.gate.at_rest()
        loop.passing = self._pass

    def _write_configs(self) -> None:
        """The shipped limits and run of a making strategy, with what is different here."""
        shipped = Path(str(resources.files("interlock.run"))) / "examples" / "live"
        limits = (shipped / "limits-making-bybit.toml").read_text(encoding="utf-8")
        self.limits.write_text(_changed(limits, LIMITS), encoding="utf-8")
        run = (shipped / "making-bybit.toml").read_text(encoding="utf-8") + "max_age_ms = 0\n"
        self.run_config.write_text(_changed(run, MAKING), encoding="utf-8")

    # The machine

    def now(self) -> Now:
        clock = self.loop.virtual
        return Now(clock.boot_ns, clock.wall_ns)

    def clocks(self) -> ClockReading:
        clock = self.loop.virtual
        return ClockReading(boot_ns=clock.boot_ns, mono_ns=clock.mono_ns, wall_ns=clock.wall_ns)

    def now_ns(self) -> int:
        return self.loop.virtual.wall_ns

    def monotonic_ns(self) -> int:
        return self.loop.virtual.boot_ns

    def sleep(self, ns: int) -> None:
        """The host sleeps for so long, from now on; nothing of it runs meanwhile."""
        self.loop.virtual.slept_ns += ns
        self.loop.virtual.boot_ns += ns

    def _latency(self) -> int:
        return self.latency_ns + self.chance.randrange(self.latency_ns)

    def _pass(self) -> None:
        if self.gate is not None:
            self.gate.beat()

    # Lives

    async def start_gate(self) -> None:
        """Start the gate; it may refuse, and then none runs."""
        assert self.gate is None
        gate = self.gate = Gate(self)
        try:
            await gate.begin()
        except InterlockError as error:
            self.said.append(f"the gate did not start: {error}")
            self.counts["gate did not start"] += 1
            await self.crash_gate()

    async def crash_gate(self) -> None:
        gate = self.gate
        assert gate is not None
        await gate.crash()
        self.gate = None

    async def start_engine(self) -> None:
        """As the engine's process composes it."""
        parsed = load_config(self.run_config)
        hosts = {VENUE: hosts_on_loopback(VENUE, json.loads(self.venue.places()))}
        symbols = wanted(parsed, self.run_config)[VENUE]
        reader = self.venue.reader(hosts[VENUE].rest)
        listed = await listed_instruments(reader, VENUE, symbols, self)
        plan = live_plan(parsed, self.run_config, list(listed.values()))
        boot_ns, epoch_ns = self.loop.virtual.boot_ns, self.now_ns()
        engines: list[Engine] = []
        self.line = GateLine(
            self.config.sockets / "intent.sock",
            on_followed=lambda told, body: engines[0].on_followed(told, body),
            on_decided=lambda numbers, decided: engines[0].on_decided(numbers, decided),
            on_lost=lambda why, under_way: engines[0].on_lost(why, under_way),
        )
        engine = Engine(
            plan.instruments,
            plan.settings,
            plan.strategy,
            "making",
            hot_lines(plan.instruments),
            hosts,
            self.line,
            None,
            clock=self,
            boot_ns=lambda: self.loop.virtual.boot_ns,
            epoch_ns=epoch_ns,
            boot_offset_ns=epoch_ns - boot_ns,
            sequence_base=boot_ns // 1_000,
            connect=self.venue.hear,
            chance=self.chance.random,
            say=self.said.append,
            edge=plan.edge,
        )
        engines.append(engine)
        self.engine = engine
        self._engine_task = self.loop.create_task(engine.run())

    async def stop_engine(self) -> None:
        """The engine's process is gone."""
        task, engine = self._engine_task, self.engine
        assert task is not None
        assert engine is not None
        self.counts.update({f"engine: {name}": count for name, count in engine.counts.items()})
        self._engine_task = self.engine = self.line = None
        ended = task.done()
        task.cancel()
        (found,) = await asyncio.gather(task, return_exceptions=True)
        assert not ended, f"the engine ended by itself: {found!r}"

    # The person

    async def ask(self, request: f.Frame) -> f.Frame:
        assert self.gate is not None
        return await self.gate.world.desk(Role.RAISE, ME, request)

    async def arm(self) -> str:
        """Everything that a person does until the strategy may trade; the rule that stands against it, or an empty text."""
        gate = self.gate
        assert gate is not None
        for hold in gate.state.lattice.latches:
            said = await self.ask(
                f.Resume(
                    level=Level.RUN,
                    latch=hold.name,
                    scope=hold.scope,
                    subject=hold.subject,
                    state_version=gate.state.lattice.version,
                    nonce=self.nonce(),
                )
            )
            if isinstance(said, f.Refusal):
                return f"{hold.name}: {said.rule}"
            self.counts[f"cleared: {hold.name}"] += 1
        drills = gate.world.desk.status().report["drill_symbols"]
        for symbol in drills:
            rule = await self._drill(symbol)
            if rule:
                return rule
        said = await self._begin_arming()
        if not isinstance(said, f.Challenge):
            return getattr(said, "rule", repr(said)) + ": " + getattr(said, "detail", "")
        said = await self._answer(said)
        if not isinstance(said, f.Done):
            return getattr(said, "rule", repr(said)) + ": " + getattr(said, "detail", "")
        self.counts["armed"] += 1
        return ""

    async def _drill(self, symbol: str) -> str:
        said = await self._begin_arming(drill_symbol=symbol)
        if not isinstance(said, f.Challenge):
            return getattr(said, "rule", repr(said)) + ": " + getattr(said, "detail", "")
        begun = await self._answer(said)
        if not isinstance(begun, f.Done):
            return getattr(begun, "rule", repr(begun)) + ": " + getattr(begun, "detail", "")
        order = self.venue.true.find(client_id=begun.report["client_id"])
        if order is not None and order.open:
            self.venue.true.cancel(order)
        ended = await self.ask(f.DrillEnd(drill_id=begun.report["drill_id"], verdict="PASS", cancelled={VENUE: 1}))
        return "" if isinstance(ended, f.Done) and ended.report["verdict"] == "PASS" else f"drill: {ended}"

    async def _begin_arming(self, **changes: Any) -> f.Frame:
        assert self.gate is not None
        wall_s = self.loop.virtual.wall_ns // S
        fields: dict[str, Any] = {
            "conditions": {"LIVE_ARM_ACK": ACK, "LIVE_ARM_AT": str(wall_s), "LIVE_MAX_NOTIONAL_USD": CAP},
            "max_notional_usd": CAP,
            "lifetime_ns": GRANT_NS,
            "mandate_ns": GRANT_NS,
            "scripted": True,
            "state_version": self.gate.state.lattice.version,
            "nonce": self.nonce(),
        }
        return await self.ask(f.ArmBegin(**{**fields, **changes}))

    async def _answer(self, challenge: f.Challenge) -> f.Frame:
        return await self.ask(
            f.ArmAnswer(challenge_id=challenge.challenge_id, acknowledgement=ACK, phrase=challenge.phrase, level_nonce=self.nonce())
        )

    def troubles(self) -> list[str]:
        """What the gate said last, without what an engine says that finds none."""
        return [line for line in self.said if "nobody listens there" not in line][-8:]

    def close(self) -> None:
        """Let go of what the system below gave."""
        os.close(self.beats)
        os.close(self._read_end)


def _changed(text: str, values: Mapping[str, float]) -> str:
    """A configuration with other values of keys that it has."""
    for name, value in values.items():
        text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
        assert count, f"expected {name} in the shipped configuration, found none"
    return text


LIMITS: Mapping[str, float] = {
    "freshness_mark_ms": 15_000,
    "freshness_equity_ms": 45_000,
    "freshness_engine_book_ms": 4_000,
    "freshness_reference_ms": 12_000,
    "freshness_rate_ms": 15_000,
    "max_naked_ms": 86_400_000,
}
"""Longer than at a market that is asked many times a second, since the day's timers ring together, and late; and a position may be held all day."""
MAKING: Mapping[str, float] = {
    "timer_ms": 1_000.0,
    "order_lots": 3,
    "levels": 1,
    "step_bps": 1.0,
    "min_half_spread_bps": 2.0,
    "tolerance_bps": 4.0,
    "max_age_ms": 300_000.0,
}
