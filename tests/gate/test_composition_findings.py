"""What the composition of the gate should do and does not: each test names the behaviour that should hold."""

from __future__ import annotations

import asyncio
import errno
import gc
import hashlib
import json
import os
import resource
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import core_world as cw
from tests.gate import limit_cases as lc
from tests.gate.disks import FakeDisk
from tests.gate.serving import ACK, INTERLOCK, Serving, bare_environment, end_all, serving, start, until

import interlock
from interlock.cli.resume import resume
from interlock.domain.errors import InterlockError
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.arm_desk import ArmDesk
from interlock.gate.arming import Challenged
from interlock.gate.attendant import Attendant
from interlock.gate.ceremony import Situation
from interlock.gate.checker_beats import LONGEST_LINE_BYTES, CheckerBeats
from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.commands import Commands
from interlock.gate.condition_watch import may_rest
from interlock.gate.connection import OrderConnection
from interlock.gate.dead_man import DeadMan
from interlock.gate.egress import Egress
from interlock.gate.exposure import Equity
from interlock.gate.frames import Role
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.limit_sheet import load
from interlock.gate.own_checks import VenueFinding, own_checks
from interlock.gate.parts import Guard, Life, Parts
from interlock.gate.proposals import Proposals
from interlock.gate.readings import Now
from interlock.gate.sockets import Client, Peer, Sockets, only_user
from interlock.gate.state import GateState
from interlock.gate.venue_fake import FakeWire
from interlock.gate.venue_fake_line import refusal
from interlock.gate.venue_reads import KeyScope
from interlock.run.gate_config import GateConfig, VenuePart, read_gate_config, tags_of
from interlock.run.gate_launch import example_limits
from interlock.run.gate_ports import Ports
from interlock.run.gate_process import Machine, ask_sentinel, clocks, now
from interlock.run.gate_world import GateWorld
from interlock.sentinel import control
from interlock.sentinel.config import read_config
from interlock.sentinel.gate_process import GateIdentity, look
from interlock.sentinel.gate_process import Life as ProcessLife
from interlock.sentinel.note import HostDisk
from interlock.sentinel.sentinel import Sentinel
from interlock.sentinel.stop_word import StopWord
from interlock.simulate.fake_venue.client import ControlClient
from interlock.simulate.fake_venue.control import AskTruth, Truth
from interlock.simulate.fake_venue.faults import Fault
from interlock.simulate.fake_venue.launch import served
from interlock.simulate.fake_venue.server import Addresses
from interlock.venues.budget import GATE, Meter
from interlock.venues.fake import budget, wire

MS = 1_000_000
S = 1_000 * MS
US = frozenset({os.geteuid()})
PEER = Peer(os.getpid(), os.geteuid(), os.getegid())
ACKNOWLEDGE_S = 0.05
"""How long the sentinel waits before it kills a gate that has not seen the stop word."""


# A gate without a venue: state, journal and desks


class Word:
    """A stop word that nobody sets."""

    stopped = False
    sentinel_beat = 0

    def acknowledge(self, boot_ns: int) -> None:
        """Nothing to see."""

    def advance(self) -> None:
        """Nobody looks."""


class Leased:
    def held(self) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""


@dataclass
class Desk:
    """The rooms of an armed gate that has no way out. `passing_ns` go by whenever its clock is read."""

    world: cw.World = field(default_factory=cw.World)
    passing_ns: int = 0
    said: list[str] = field(default_factory=list)
    made: ClassVar[list[Desk]] = []

    def __post_init__(self) -> None:
        self.disk = FakeDisk()
        journal, _ = open_journal(
            self.disk, Path("/journal"), schema=r.SCHEMA, incarnation=bytes.fromhex(cw.LIFE), options=Options(1 << 22, 1 << 16, 1 << 16)
        )
        word = Word()
        self.ends: list[Callable[[], object]] = [journal.close]
        self.made.append(self)
        self.now = cw.NOW
        self.parts = Parts(
            life=Life(
                incarnation=cw.LIFE,
                kernel_boot_id="k",
                host="host-a",
                user="u",
                endpoint=r.Endpoint.LOOPBACK,
                build="b1",
                config="c1",
                strategy="s1",
                limits="l1",
                pid=os.getpid(),
            ),
            setup=self.world.setup,
            keeper=Keeper(self.world.state, journal),
            readings=self.world.readings,
            egresses={},
            word=word,
            guard=Guard(word, {"bybit": Leased()}),
            clock=self.clock,
            log=self.said.append,
            tell_sentinel=lambda _verb, _ids: None,
            min_lots={("bybit", "BTCUSDT"): 1},
        )
        self.proposals = Proposals(self.parts, self._never_attended)
        self.commands = Commands(self.parts, self.proposals)

    def attach(self) -> None:
        """Let coroutines of the running loop wait for the journal."""
        self.ends.insert(0, self.parts.keeper.attach(asyncio.get_running_loop()))

    def close(self) -> None:
        self.disk.stall.set()
        for end in self.ends:
            end()

    def way_out(self) -> tuple[Egress, list[socket.socket]]:
        """Give it one: what it writes can be read at the sockets that are given back, and nobody answers."""
        far: list[socket.socket] = []

        async def connect(name: str) -> OrderConnection:
            near, other = socket.socketpair()
            other.setblocking(False)
            far.append(other)
            return OrderConnection(near, name)

        parts = self.parts
        meter = Meter(budget.LIMITS, GATE)
        egress = Egress("bybit", FakeWire(2 * S), parts.setup, parts.keeper, parts.readings, parts.guard, connect, self.clock, meter=meter)
        parts.egresses = {"bybit": egress}
        return egress, far

    def clock(self) -> Now:
        self.now = Now(self.now.boot_ns + self.passing_ns, self.now.wall_ns + self.passing_ns)
        return self.now

    async def _never_attended(self, _place: object) -> bool:
        return False

    @property
    def records(self) -> int:
        return self.parts.keeper.journal.last_lsn

    def opened(self, client_id: str) -> None:
        """The venue shows a permitted order as open."""
        for record in (
            r.WireBegin(boot_ns=1, client_id=client_id, revision=0, connection="c", sign_wall_ns=1, receive_window_ns=S),
            r.Sent(boot_ns=1, client_id=client_id, revision=0, sign_wall_ns=1, receive_window_ns=S),
            r.Answered(boot_ns=1, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code=""),
        ):
            self.world.state.apply(record)

    def resting(self, **more: Any) -> str:
        """One order of ours that the venue shows as open; its client id."""
        decision = self.world.next(**more).decision
        assert decision.result == "PERMIT", decision
        self.opened(decision.client_id)
        return decision.client_id


@pytest.fixture(autouse=True)
def _desks_are_closed() -> Iterator[None]:
    yield
    while Desk.made:
        Desk.made.pop().close()
    gc.collect()


# A whole gate in this process, against a venue in another one


@dataclass
class Alive:
    """A gate that is ready. What it asks the sentinel is in `asked`."""

    world: GateWorld
    addresses: Addresses
    said: list[str]
    asked: list[Mapping[str, Any]]
    sequence: int = 0
    deaf: bool = False
    """The sentinel answers nothing."""

    async def ask(self, role: Role, request: f.Frame) -> f.Frame:
        return await self.world.desk(role, PEER, request)

    async def stands(self) -> f.Status:
        answer = await self.ask(Role.READ, f.GetStatus())
        assert isinstance(answer, f.Status)
        return answer

    async def ceremony(self, **wishes: Any) -> f.Frame:
        given: dict[str, Any] = {
            "conditions": {"LIVE_ARM_ACK": ACK, "LIVE_ARM_AT": str(int(time.time())), "LIVE_MAX_NOTIONAL_USD": "100"},
            "max_notional_usd": "",
            "lifetime_ns": 600 * S,
            "mandate_ns": 0,
            "scripted": True,
            "state_version": (await self.stands()).state_version,
            "nonce": secrets.token_hex(16),
            **wishes,
        }
        begun = await self.ask(Role.RAISE, f.ArmBegin(**given))
        if not isinstance(begun, f.Challenge):
            return begun
        answer = f.ArmAnswer(challenge_id=begun.challenge_id, acknowledgement=ACK, phrase=begun.phrase, level_nonce=secrets.token_hex(16))
        return await self.ask(Role.RAISE, answer)

    async def armed(self, **wishes: Any) -> None:
        answer = await self.ceremony(**wishes)
        assert isinstance(answer, f.Done), answer

    def proposal(self, **more: Any) -> f.Proposal:
        self.sequence += 1
        quote = self.world.parts.readings.references.references["bybit", "BTCUSDT"].quote
        at = now().boot_ns
        given: dict[str, Any] = {
            "venue": "bybit",
            "symbol": "BTCUSDT",
            "side": Side.BUY,
            "type": OrderType.LIMIT,
            "tif": TimeInForce.POST_ONLY,
            "ticks": quote.bid_ticks - 5,
            "lots": 1,
            "strategy": "demo",
            "sequence": self.sequence,
            "created_boot_ns": at,
            "deadline_boot_ns": at + S,
            "books": (
                r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=quote.bid_ticks, ask_ticks=quote.ask_ticks, boot_ns=quote.boot_ns),
            ),
            **more,
        }
        return f.Proposal(**given)

    async def propose(self, *proposals: f.Proposal) -> tuple[f.Decision, ...]:
        answer = await self.ask(Role.INTENT, f.Propose(proposals=proposals))
        assert isinstance(answer, f.Decided), answer
        return answer.decisions

    async def permitted(self) -> str:
        (decision,) = await self.propose(self.proposal())
        assert decision.result == "PERMIT", decision
        await settle(lambda: self.open_at_venue() == [decision.client_id])
        return decision.client_id

    def open_at_venue(self) -> list[str]:
        hand = ControlClient(self.addresses.control)
        try:
            found = hand.command(AskTruth(venue="bybit"))
        finally:
            hand.close()
        assert isinstance(found, Truth)
        return [order.client_id for order in found.orders if not order.state.final]


def _run(work: Coroutine[Any, Any, None], within_s: float = 30.0) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(within_s):
            await work

    asyncio.run(bounded())


async def settle(reached: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until something is so. Raises TimeoutError."""
    deadline = time.monotonic() + within_s
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {within_s} s")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def living(folder: Path, earlier: Sequence[r.Record] = ()) -> AsyncIterator[Alive]:
    """A gate that is ready and whose kill drill was passed today. A sentinel that only looks, and a checker that finds nothing, are here.

    `earlier` are records of a life before this one.
    """
    with served(folder / "venue", ["bybit"]) as addresses:
        config = _config(folder, addresses)
        config.sockets.mkdir(parents=True)
        _write_earlier(config, earlier)
        said: list[str] = []
        asked: list[Mapping[str, Any]] = []
        alive: list[Alive] = []

        async def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
            asked.append(request)
            if request["verb"] == "kill" and not (alive and alive[0].deaf):
                await asyncio.sleep(3600)  # it is not final for a long time
            return {"event": "STATUS", "under_way": None} if request["verb"] == "status" else {}

        world = GateWorld(
            config,
            Ports(
                disk=SystemDisk(),
                connect=Machine.real().connect,
                now=now,
                clocks=clocks,
                nonce=lambda: secrets.token_hex(16),
                ask_sentinel=ask,
                log=said.append,
            ),
            read_only=None,
            host="h",
            user="u",
            build="b",
            kernel_boot_id="k",
            pid=os.getpid(),
        )
        read_end = config.checker_fd
        write_end = _write_ends.pop(read_end)
        around = asyncio.create_task(_stand_around(config, write_end))
        try:
            await world.begin()
            await world.ready()
            await asyncio.sleep(0.6)  # the reference must have been steady for so long
            alive.append(Alive(world, addresses, said, asked))
            yield alive[0]
        finally:
            around.cancel()
            await asyncio.gather(around, return_exceptions=True)
            await world.close()
            os.close(read_end)
            os.close(write_end)


_write_ends: dict[int, int] = {}


def _config(folder: Path, addresses: Addresses) -> GateConfig:
    read_end, write_end = os.pipe()
    _write_ends[read_end] = write_end
    ports = addresses.venues["bybit"]
    return GateConfig(
        folder=folder / "gate",
        sockets=folder / "gate" / "run",
        memory=folder / "gate" / "run",
        limits=example_limits(),
        venues=(
            VenuePart(
                venue="bybit",
                account="main",
                endpoint=r.Endpoint.LOOPBACK,
                orders_port=ports.orders,
                stream_port=ports.stream,
                symbols=("BTCUSDT",),
                dead_man=False,
            ),
        ),
        tags=tags_of(load(example_limits())),
        users=(os.geteuid(),),
        checker_fd=read_end,
        lock_folder=folder,
    )


def _write_earlier(config: GateConfig, earlier: Sequence[r.Record]) -> None:
    drilled = r.Drilled(
        boot_ns=1,
        drill_id="d",
        kind=r.DrillKind.ORDER,
        venue="bybit",
        endpoint=r.Endpoint.LOOPBACK,
        key="main",
        sentinel_build="b",
        authenticated=True,
        placed=1,
        cancelled=1,
        remaining=0,
        verdict="pass",
        wall_ns=time.time_ns(),
    )
    options = Options(config.segment_bytes, config.batch_bytes, config.reserve_bytes)
    journal, _ = open_journal(SystemDisk(), config.journal, schema=r.SCHEMA, incarnation=bytes(15) + b"1", options=options)
    for record in (*earlier, drilled):
        journal.append(r.encode(record))
    journal.close()


async def _stand_around(config: GateConfig, write_end: int) -> None:
    """Look at the stop word as the sentinel does, and beat as the checker does."""
    word: StopWord | None = None
    for number in range(1 << 30):
        if word is None and config.stop_word.exists():
            word = StopWord.attach(config.stop_word)
        if word is not None:
            word.beat()
        if number % 20 == 0:
            os.write(write_end, b'{"violations": 0, "new": []}\n')
        await asyncio.sleep(0.01)


def in_life(folder: Path, use: Callable[[Alive], Awaitable[None]], earlier: Sequence[r.Record] = ()) -> None:
    async def run() -> None:
        async with living(folder, earlier) as gate:
            await use(gate)

    _run(run())


# (a) A byte that nobody gave leave for


def test_a_drills_grant_is_good_for_the_drills_own_order_and_for_no_proposal() -> None:
    async def run() -> None:
        desk = Desk(cw.World(state=_unarmed()))
        desk.attach()
        situation = aw.situation(binding=cw.binding(), state_version=desk.world.state.lattice.version)

        async def look() -> Situation:
            return situation

        asked = aw.challenged(situation, nonce=aw.NONCES[9], **{**aw.DRILL, "seen_version": situation.state_version})
        desk.world.state.happen(asked)
        egress, far = desk.way_out()
        desk.disk.stall.clear()  # the grant is minted, and waits for the disk
        answering = asyncio.create_task(ArmDesk(desk.parts, desk.proposals, look, "", "b1").answer(_right(asked), "ann"))
        await settle(lambda: desk.world.state.live is not None)
        proposing = asyncio.create_task(desk.proposals.propose(f.Propose(proposals=(cw.proposal(tif=TimeInForce.IOC, ticks=400_001),))))
        await asyncio.sleep(0)
        desk.disk.stall.set()
        answer = await proposing
        await settle(lambda: len(desk.world.state.orders.live) == 1)  # the drill's own order has the grant's one permit
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        egress.close()
        for one in far:
            one.close()
        assert isinstance(answer, f.Decided)
        assert [decision.result for decision in answer.decisions] == ["DENY"]

    _run(run())


def _unarmed() -> GateState:
    """Everything in order but the grant."""
    state = cw.armed_state()
    state.apply(r.Disarmed(boot_ns=cw.NOW.boot_ns, reason="begin anew", actor="ann", mandate_ends=True))
    assert state.live is None
    return state


def _right(asked: Challenged, level_nonce: str = aw.NONCES[20]) -> f.ArmAnswer:
    """The right answer to a challenge."""
    return f.ArmAnswer(challenge_id=asked.challenge.nonce, acknowledgement=ACK, phrase=asked.challenge.phrase, level_nonce=level_nonce)


@pytest.mark.parametrize("how", ["disarm", "disarm with the mandate", "expiry"])
def test_no_order_that_raises_risk_rests_longer_than_its_grant_lives(tmp_path: Path, how: str) -> None:
    async def use(gate: Alive) -> None:
        await gate.armed(lifetime_ns=2 * S if how == "expiry" else 600 * S)
        await gate.permitted()
        if how != "expiry":
            await gate.ask(Role.LOWER, f.Disarm(reason="enough", mandate=how != "disarm"))
        await settle(lambda: not gate.open_at_venue())

    in_life(tmp_path, use)


def test_under_a_drills_grant_nothing_may_rest_where_it_does_not_hold() -> None:
    state = cw.armed_state(**aw.DRILL)
    assert may_rest(state, "bybit/BTCUSDT", cw.NOW.boot_ns)
    assert not may_rest(state, "bybit/ETHUSDT", cw.NOW.boot_ns)


def test_a_drill_whose_command_went_away_leaves_no_order_behind(tmp_path: Path) -> None:
    async def use(gate: Alive) -> None:
        await gate.armed(drill_symbol="bybit/BTCUSDT", lifetime_ns=S)
        assert len(gate.open_at_venue()) == 1
        await settle(lambda: not gate.open_at_venue())

    in_life(tmp_path, use)


def test_a_gate_that_ends_takes_no_ceremony_any_more(tmp_path: Path) -> None:
    async def use(gate: Alive) -> None:
        ending = asyncio.create_task(gate.world.leave())
        await asyncio.sleep(0)
        assert gate.world.parts.leaving
        answer = await gate.ceremony(drill_symbol="bybit/BTCUSDT", lifetime_ns=60 * S)
        assert await ending == 0
        assert isinstance(answer, f.Refusal), answer
        assert gate.open_at_venue() == []

    in_life(tmp_path, use)


# (b) Orders that are lost sight of


def test_an_order_at_a_venue_that_the_limits_no_longer_name_is_not_forgotten(tmp_path: Path) -> None:
    client_id = "demo0tous33000000002j934j37"
    earlier = (
        aw.boot("0" * 32),
        r.Epoch(boot_ns=2, number=1_700_000_000),
        r.Intent(
            boot_ns=3,
            client_id=client_id,
            strategy="demo",
            venue="binance_usdm",
            account="main",
            symbol="BTCUSDT",
            side=Side.BUY,
            type=OrderType.LIMIT,
            tif=TimeInForce.GTC,
            reduce_only=False,
            ticks=400_000,
            lots=1,
            revision=0,
            group="",
            books=(),
            sequence=1,
            created_boot_ns=3,
            deadline_boot_ns=S,
        ),
        aw.permit(client_id, "g"),
        r.WireBegin(boot_ns=4, client_id=client_id, revision=0, connection="c", sign_wall_ns=1, receive_window_ns=S),
        r.Sent(boot_ns=4, client_id=client_id, revision=0, sign_wall_ns=1, receive_window_ns=S),
    )

    async def use(gate: Alive) -> None:
        stands = await gate.stands()
        assert stands.report["orders"]["live"] == 1
        assert stands.report["why_not"] != []

    with suppress(InterlockError):  # not to start at all is as good
        in_life(tmp_path, use, earlier)


# (c) Stops that do not stop


@pytest.mark.parametrize(("scope", "subject"), [(r.Scope.SYMBOL, "BTCUSDT"), (r.Scope.ACCOUNT, "main"), (r.Scope.STRATEGY, "demos")])
def test_a_freeze_of_what_is_not_known_is_refused_or_holds(scope: r.Scope, subject: str) -> None:
    desk = Desk()
    answer = desk.commands.freeze(f.Freeze(scope=scope, subject=subject, level=r.Level.HALT, reason="look"), "ann")
    assert isinstance(answer, f.Refusal) or desk.world.next().decision.result == "DENY", answer


@pytest.mark.parametrize(
    ("scope", "subject"), [(r.Scope.SYMBOL, "bybit/BTCUSDT"), (r.Scope.ACCOUNT, "bybit/main"), (r.Scope.STRATEGY, "demo")]
)
def test_a_freeze_of_what_is_known_holds(scope: r.Scope, subject: str) -> None:
    desk = Desk()
    answer = desk.commands.freeze(f.Freeze(scope=scope, subject=subject, level=r.Level.HALT, reason="look"), "ann")
    assert isinstance(answer, f.Done)
    assert desk.world.next().decision.rule == "level_forbids"


def test_a_rule_that_fails_keeps_no_owed_cancel_from_being_sent() -> None:
    async def run() -> None:
        desk = Desk()
        client_id = desk.resting()
        desk.world.state.apply(r.CancelWanted(boot_ns=1, client_id=client_id, reason="enough", actor="ann"))
        egress, far = desk.way_out()
        await egress.restore()

        def fails() -> tuple[r.Record, ...]:
            raise ArithmeticError("a rule that fails")

        with suppress(ArithmeticError):
            Attendant(desk.parts, fails, lambda: 0).look()
        sent = b""
        with suppress(BlockingIOError):
            sent = far[0].recv(1 << 16)
        egress.close()
        far[0].close()
        assert client_id.encode() in sent

    _run(run())


def test_a_kill_reaches_the_sentinel_although_many_other_questions_wait(tmp_path: Path) -> None:
    heard: list[str] = []
    held: list[socket.socket] = []
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(tmp_path / control.NAME))
    listening.listen(64)

    def listen() -> None:
        with suppress(OSError, EOFError):
            while True:
                connection, _ = listening.accept()
                held.append(connection)
                heard.append(control.read_frame(connection)["verb"])

    threading.Thread(target=listen, daemon=True).start()

    async def run() -> None:
        asking = [asyncio.create_task(ask_sentinel(tmp_path, {"verb": "rest"}, 2.0)) for _ in range(64)]
        await settle(lambda: "rest" in heard)
        asking.append(asyncio.create_task(ask_sentinel(tmp_path, {"verb": "kill"}, 2.0)))
        try:
            await settle(lambda: "kill" in heard, 1.0)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
            for connection in held:
                connection.close()

    _run(run())


def test_a_second_start_that_is_refused_leaves_the_first_gate_its_sentinel(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(example_limits().read_text(encoding="utf-8").replace("[strategies.demo]", "[strategies.other]"), encoding="utf-8")
    with serving(tmp_path / "g") as gate:
        before = (gate.folder / "run" / "sentinel.pid").read_text(encoding="ascii")
        done = subprocess.run(
            [*INTERLOCK, "gate", "serve", "--dir", str(gate.folder), "--limits", str(other)],
            env=bare_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode != 0
        try:
            assert (gate.folder / "run" / "sentinel.pid").read_text(encoding="ascii") == before
            code, told = gate.kill()
            assert (code, told["result"]) == (0, "FINAL")
        finally:
            with suppress(ProcessLookupError):
                os.kill(int(before), signal.SIGKILL)


def test_a_sentinel_of_other_sources_is_replaced_at_the_next_start_and_one_of_the_same_is_kept(tmp_path: Path) -> None:
    told, pid_file = tmp_path / "run" / "sentinel.json", tmp_path / "run" / "sentinel.pid"
    try:
        pids = []
        for start_number in range(3):
            if start_number == 2:
                text = told.read_text(encoding="utf-8")
                told.write_text(text.replace(json.loads(text)["build"], "of yesterday"), encoding="utf-8")
            start(tmp_path).die()
            pids.append(int(pid_file.read_text(encoding="ascii")))
        assert pids[0] == pids[1] != pids[2]
    finally:
        end_all(tmp_path)


def sweeping(gate: Serving) -> int:
    """A kill that cannot come to its end, because the venue does not answer; the sentinel's process id."""
    path = gate.folder / "run" / "sentinel.sock"
    for event in control.ask(path, {"verb": "kill", "source": "test"}, frozenset({os.geteuid()}), 5):
        if event["event"] == "STOP_WORD_SET":
            break
    return int((gate.folder / "run" / "sentinel.pid").read_text(encoding="ascii"))


def refused_start(folder: Path, *more: str) -> str:
    done = subprocess.run(
        [*INTERLOCK, "gate", "serve", "--dir", str(folder), *more],
        env=bare_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_start_that_fails_leaves_a_sweep_under_way_its_sentinel(tmp_path: Path) -> None:
    """Whether it was told other things than before, or died and was started anew by the start that failed: a person's kill goes on."""
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.intent()[0] == 0
        until(lambda: len(gate.open_at_venue()) == 1)
        venue = gate.addresses.pid
        os.kill(venue, signal.SIGSTOP)
        try:
            sentinel = sweeping(gate)
            gate.die()
            assert "is sweeping and was told other things" in refused_start(tmp_path, "--heartbeat", "http://127.0.0.1:9/")
            assert (sentinel_status(tmp_path)["under_way"], process_runs(sentinel)) == ("all", True)
            assert "expected an answer, found" in refused_start(tmp_path)
            assert (sentinel_status(tmp_path)["under_way"], process_runs(sentinel)) == ("all", True)
            os.kill(sentinel, signal.SIGKILL)
            until(lambda: not process_runs(sentinel))
            assert "its sentinel goes on" in refused_start(tmp_path)
            assert sentinel_status(tmp_path)["under_way"] == "all"
        finally:
            os.kill(venue, signal.SIGCONT)
        until(lambda: not gate.open_at_venue())


@pytest.mark.parametrize(("word", "stays"), [(bytes(4096), True), (b"", True), (None, False)], ids=["damaged", "empty", "no word"])
def test_a_start_that_fails_keeps_its_sentinel_where_the_stop_word_cannot_be_read(tmp_path: Path, word: bytes | None, stays: bool) -> None:
    """What cannot be read may be a stop that is not swept to its end; where there is no word no gate has lived, and nothing is left behind."""
    folder = tmp_path / "run"
    with serving(tmp_path) as gate:
        before = int((folder / "sentinel.pid").read_text(encoding="ascii"))
        gate.die()
        os.kill(before, signal.SIGKILL)
        until(lambda: not process_runs(before))
        stop_word = read_gate_config(folder / "gate.json").stop_word
        stop_word.unlink()
        if word is not None:
            stop_word.write_bytes(word)
        venue = gate.addresses.pid
        os.kill(venue, signal.SIGSTOP)
        try:
            refused_start(tmp_path)
        finally:
            os.kill(venue, signal.SIGCONT)
        assert process_runs(int((folder / "sentinel.pid").read_text(encoding="ascii"))) is stays


def sentinel_status(folder: Path) -> dict[str, Any]:
    (status,) = control.ask(folder / "run" / "sentinel.sock", {"verb": "status"}, frozenset({os.geteuid()}), 5)
    return status


def process_runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_gate_that_leaves_orders_behind_leaves_a_sentinel_that_can_cancel_them(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        gate.armed()
        assert gate.intent()[0] == 0
        until(lambda: len(gate.open_at_venue()) == 1)
        children = read_gate_config(tmp_path / "run" / "gate.json").children
        gate.fault(Fault.LOSE_REQUEST, verb="cancel", times=100_000)
        assert gate.stop() == 1
        lives = [look(GateIdentity(pid, start)) for pid, start, _ in children]
        # In the order of the configuration: checker, sentinel, venue.
        assert lives[1:] == [ProcessLife.RUNS, ProcessLife.RUNS]


def test_a_stop_by_the_sentinel_alone_becomes_final_also_where_requests_do_not_expire(tmp_path: Path) -> None:
    text = example_limits().read_text(encoding="utf-8")
    for old, new in (
        ("bybit:BTCUSDT", "upbit:KRW-BTC"),
        ("venues.bybit", "venues.upbit"),
        ("max_order_lots = 2", "max_order_lots = 2000000"),
        ("max_position_lots = 2", "max_position_lots = 2000000"),
        ("currencies.USDT", "currencies.KRW"),
        ('"0.97"', '"0.0001"'),
        ('"1.03"', '"0.01"'),
        ("max_reference_spread_bps = 50", "max_reference_spread_bps = 500"),
    ):
        assert old in text
        text = text.replace(old, new)
    limits = tmp_path / "limits.toml"
    limits.write_text(text, encoding="utf-8")
    with serving(tmp_path / "g", limits=limits) as gate:
        gate.armed()
        assert gate.intent(venue="upbit", symbol="KRW-BTC", lots=20_000, ticks=68_900)[0] == 0
        until(lambda: len(gate.open_at_venue("upbit")) == 1)
        told: list[str] = []
        ended_s = time.monotonic() + 6
        for event in control.ask(gate.folder / "run" / control.NAME, {"verb": "kill", "source": "console"}, US, 5.0):
            told.append(str(event["event"]))
            if told[-1] == "FINAL" or time.monotonic() > ended_s:
                break
        assert told[-1] == "FINAL", [one for one in told if one != "WAITING"]


def test_a_log_that_nobody_reads_does_not_stop_the_gate(tmp_path: Path) -> None:
    env = {**bare_environment(), "READ_ONLY_ENFORCED": "false"}
    command = [*INTERLOCK, "gate", "serve", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        paths = json.loads(process.stdout.readline())
        with suppress(TimeoutError):
            for _ in range(2_000):  # none of them says a right word, and each is logged
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stranger:
                    stranger.settimeout(1.0)
                    stranger.connect(paths["read"])
                    stranger.sendall(b"\0\0\0\1x")
                    stranger.recv(1_000)
        with Client(Path(paths["read"]), Role.READ, US, 2.0) as client:
            assert isinstance(client.request(f.GetStatus()), f.Status)
    finally:
        process.kill()
        process.communicate()
        end_all(tmp_path)


def test_a_venue_that_wants_to_be_left_alone_for_ever_is_asked_again_some_time() -> None:
    limited = wire.Answer(
        request_id=1, status=429, code=wire.Code.RATE_LIMITED, text="", venue_ns=S, limit=1, remaining=0, reset_ns=1 << 62
    )
    failed = refusal(limited)
    assert failed is not None
    assert failed.limited
    assert failed.retry_after_ns <= 600 * S


# (d) Between two awaits


def test_the_end_of_a_drill_ends_no_other_grant() -> None:
    async def run() -> None:
        desk = Desk(cw.World(state=_unarmed()), passing_ns=MS)
        desk.attach()
        egress, far = desk.way_out()
        state = desk.world.state
        looks: list[Situation] = [aw.situation(binding=cw.binding(), state_version=state.lattice.version)]

        async def look() -> Situation:
            return looks[-1]

        desks = ArmDesk(desk.parts, desk.proposals, look, "", "b1")
        asked = aw.challenged(looks[-1], nonce=aw.NONCES[9], **{**aw.DRILL, "seen_version": state.lattice.version})
        state.happen(asked)
        answering = asyncio.create_task(desks.answer(_right(asked), "ann"))
        await settle(lambda: bool(far) and len(state.orders.live) == 1)
        (client_id,) = state.orders.live
        await settle(lambda: state.orders.by_id[client_id].sent)
        opened = r.Answered(boot_ns=1, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code="")
        state.apply(opened)
        assert isinstance(await answering, f.Done)
        desk.passing_ns = 100 * MS
        ending = asyncio.create_task(desks.end_drill(f.DrillEnd(drill_id=asked.challenge.nonce, verdict="FAIL", cancelled={})))
        await asyncio.sleep(0)
        again = aw.situation(
            binding=cw.binding(), state_version=state.lattice.version, boot_ns=desk.now.boot_ns, checks=aw.own_checks(desk.now.boot_ns)
        )
        trade, minted = aw.ceremony(again, nonce=aw.NONCES[10], seen_version=again.state_version)
        state.happen(trade)
        state.happen(minted)
        assert state.live is minted.live
        await ending
        egress.close()
        for one in far:
            one.close()
        assert state.live is minted.live

    _run(run())


def test_a_drill_that_placed_nothing_cancels_nothing() -> None:
    async def run() -> None:
        desk = Desk(passing_ns=S)
        desk.attach()
        state = desk.world.state
        resting = desk.resting()
        situation = aw.situation(binding=cw.binding(), state_version=state.lattice.version)
        asked = aw.challenged(situation, nonce=aw.NONCES[9], **{**aw.DRILL, "seen_version": state.lattice.version})
        state.happen(asked)

        async def look() -> Situation:
            return situation

        desk.world.readings.checker_alive = False  # whatever forbids the drill's order
        answer = await ArmDesk(desk.parts, desk.proposals, look, "", "b1").answer(_right(asked), "ann")
        assert isinstance(answer, f.Refusal)
        assert "rest at bybit" in answer.detail
        assert state.orders.by_id[resting].cancel is None

    _run(run())


def test_a_disarm_while_a_person_types_ends_the_ceremony() -> None:
    async def run() -> None:
        desk = Desk(cw.World(state=_unarmed()))
        desk.attach()
        situation = aw.situation(binding=cw.binding(), state_version=desk.world.state.lattice.version)
        asked = aw.challenged(situation, nonce=aw.NONCES[9], seen_version=situation.state_version)
        desk.world.state.happen(asked)
        assert isinstance(desk.commands.disarm(f.Disarm(reason="enough", mandate=True), "ann"), f.Done)

        async def look() -> Situation:
            return aw.situation(binding=cw.binding(), state_version=desk.world.state.lattice.version)

        answer = await ArmDesk(desk.parts, desk.proposals, look, "", "b1").answer(_right(asked), "ann")
        assert isinstance(answer, f.Refusal), answer
        assert desk.world.state.live is None

    _run(run())


def test_an_older_answer_about_the_dead_man_undoes_no_newer_one() -> None:
    async def run() -> None:
        world = cw.World()
        place = ("bybit", "BTCUSDT")
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
            if request["verb"] == "rest":
                return {"event": "ARMED"}
            asked.set()
            await go_on.wait()
            return {"event": "STATUS", "beats": {"bybit": {"confirmed_ns": {}, "trouble": ""}}}

        dead_man = DeadMan([place], world.readings, ask, lambda: cw.NOW, good_for_ns=20 * S)
        refreshing = asyncio.create_task(dead_man.refresh())
        await asked.wait()
        assert await dead_man.assure(place)
        go_on.set()
        await refreshing
        assert place in world.readings.attended

    _run(run())


# (e) What grows without end, or holds everything up


def nested(depth: int) -> bytes:
    """A frame whose body is an array in an array, and so on."""
    pack = msgspec.msgpack.encode
    body = b"\x82" + pack("k") + pack("done") + pack("report") + b"\x81" + pack("a") + b"\x91" * depth + b"\x90"
    return len(body).to_bytes(4, "big") + body


def _ended(sockets: Sockets) -> str:
    """What has ended the gate, if something has. The task that failed is told to nobody else."""
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    assert sockets.failed is not None
    found = sockets.failed.exception() if sockets.failed.done() else None
    said = "" if found is None else f"{type(found).__name__}: {found}"
    del found
    gc.collect()
    return said


@pytest.mark.parametrize("user", ["a stranger", "an engine"])
def test_no_frame_ends_the_gate(tmp_path: Path, user: str) -> None:
    async def run() -> None:
        async def handler(_role: Role, _peer: Peer, _request: f.Frame) -> f.Frame:
            return f.Done()

        roles = {} if user == "a stranger" else only_user(os.geteuid())
        async with Sockets(tmp_path / "s", "life", roles, handler) as sockets:
            reader, writer = await asyncio.open_unix_connection(str(sockets.paths[Role.INTENT]))
            if user == "an engine":
                writer.write(f.encode(f.Hello(protocol=f.PROTOCOL, role=Role.INTENT)))
            writer.write(nested(5_000))
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
            ended = _ended(sockets)
        assert not ended

    _run(run())


def test_no_answer_that_is_too_long_ends_the_gate(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk()

        async def handler(_role: Role, _peer: Peer, request: f.Frame) -> f.Frame:
            assert isinstance(request, f.Propose)
            return await desk.proposals.propose(request)

        wanted = tuple(cw.proposal(strategy="\0" * 64, sequence=number, books=()) for number in range(4_000))
        async with Sockets(tmp_path / "s", "life", only_user(os.geteuid()), handler) as sockets:

            def ask() -> None:
                with suppress(InterlockError), Client(sockets.paths[Role.INTENT], Role.INTENT, US) as client:
                    client.request(f.Propose(proposals=wanted))

            await asyncio.to_thread(ask)
            ended = _ended(sockets)
        assert not ended

    _run(run())


def test_no_batch_holds_up_the_loop_that_reads_the_stop_word() -> None:
    async def run() -> None:
        desk = Desk()
        desk.attach()
        wanted = tuple(cw.proposal(sequence=number, lots=10_000) for number in range(2_000))
        longest = 0.0

        async def look() -> None:
            nonlocal longest
            last = time.monotonic()
            while True:
                await asyncio.sleep(0.002)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()

        looking = asyncio.create_task(look())
        await asyncio.sleep(0.02)
        await desk.proposals.propose(f.Propose(proposals=wanted))
        await asyncio.sleep(0.02)
        looking.cancel()
        assert longest < ACKNOWLEDGE_S

    _run(run())


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_durable_before_the_journal_failed_is_told_as_permitted_with_its_id(fails: bool) -> None:
    """It may be on the wire already: an engine that is told "denied" would believe that nothing is there."""

    async def run() -> None:
        desk = Desk()
        desk.attach()
        egress, far = desk.way_out()
        journal = desk.parts.keeper.journal

        async def in_the_middle() -> None:
            # The desk draws breath once in this batch: what it has decided so far gets to the disk, and then the disk fails.
            deadline = time.monotonic() + 5
            while journal.durable_lsn < journal.last_lsn and time.monotonic() < deadline:
                time.sleep(0.001)  # noqa: ASYNC251 - nothing else may run meanwhile
            if fails:
                taken = len(desk.disk.steps)
                desk.disk.faults = dict.fromkeys(range(taken, taken + 10_000), errno.EIO)

        # The first and the last are good, what lies between is far too large.
        wanted = [cw.proposal(sequence=number, lots=1 if number in (1, 9) else 10_000, ticks=399_000 - number) for number in range(1, 10)]
        middle = asyncio.create_task(in_the_middle())
        told = await desk.proposals.propose(f.Propose(proposals=tuple(wanted)))
        await middle
        egress.close()
        for one in far:
            one.close()
        assert isinstance(told, f.Decided)
        first, *between, last = told.decisions
        assert (first.result, bool(first.client_id)) == ("PERMIT", True)
        assert {one.result for one in between} == {"DENY"}
        assert (last.result, last.rule, bool(last.client_id)) == (("DENY", "journal", False) if fails else ("PERMIT", "", True))

    _run(run())


@pytest.mark.parametrize("lost", [False, True])
def test_a_cancel_that_is_repeated_leaves_room_for_the_first_of_every_other_order(lost: bool) -> None:
    """An order that fills in many pieces while its cancel goes unheeded is cancelled again at each of them."""
    sent: list[str] = []

    class Way:
        def cancel_due(self, client_ids: Sequence[str]) -> None:
            sent.extend(client_ids)

    most = 5
    desk = Desk(cw.World(state=cw.armed_state(lc.changed(lc.SHEET, "venues", "bybit", max_cancels_count=most))))
    desk.parts.egresses = {"bybit": Way()}  # type: ignore[dict-item]
    state = desk.world.state
    unheeded, other = desk.resting(), desk.resting(ticks=399_000)

    def want(client_id: str) -> None:
        state.apply(r.CancelWanted(boot_ns=desk.now.boot_ns, client_id=client_id, reason="test", actor="gate"))

    def rounds(count: int) -> list[str]:
        sent.clear()
        for _ in range(count):
            before = len(sent)
            desk.parts.send_cancels()
            for client_id in sent[before:]:
                attempt = 1 + (owed.attempts if (owed := state.orders.by_id[client_id].cancel) else 0)
                state.apply(r.CancelSent(boot_ns=desk.now.boot_ns, client_id=client_id, attempt=attempt))
            # The venue shows it alive.
            state.apply(_shown_open(unheeded, desk.now))
        return list(sent)

    want(unheeded)
    assert rounds(3 * most) == [unheeded] * (most - 1)
    if lost:
        # The control: what is due by its own pause, because the last one may have been lost, waits for no order of which nobody wants anything.
        desk.now = Now(desk.now.boot_ns + 3 * S, desk.now.wall_ns + 3 * S)
        assert rounds(2) == [unheeded]
        return
    want(other)
    assert rounds(1) == [other]
    assert rounds(3) == []


def _shown_open(client_id: str, now: Now) -> r.Reported:
    return r.Reported(
        boot_ns=now.boot_ns,
        client_id=client_id,
        venue_order_id="v",
        state=OrderState.OPEN,
        filled_lots=0,
        lots=1,
        source="stream",
        code="",
        venue_ns=now.wall_ns,
    )


def test_batches_that_are_denied_again_and_again_are_counted_in_one_record_a_second() -> None:
    async def run() -> None:
        desk = Desk()
        desk.world.readings.read_only = True
        for number in range(0, 200, 2):
            await desk.proposals.propose(f.Propose(proposals=(cw.proposal(sequence=number), cw.proposal(sequence=number + 1))))
        assert desk.records <= 2

    _run(run())


def test_names_that_an_engine_makes_up_fill_neither_journal_nor_memory() -> None:
    async def run() -> None:
        desk = Desk()
        for number in range(500):
            await desk.proposals.propose(f.Propose(proposals=(cw.proposal(strategy=f"s{number}", sequence=number),)))
        assert desk.records < 50
        assert len(desk.world.state.denied_boot_ns) < 50
        assert len(desk.world.state.sequences) < 50

    _run(run())


def test_one_order_named_a_thousand_times_is_cancelled_once() -> None:
    desk = Desk()
    client_id = desk.resting()
    desk.proposals.cancel_own(f.CancelOwn(client_ids=(client_id,) * 1_000, reason="enough"))
    assert client_id in desk.world.state.orders.cancelling
    assert desk.records == 1


def test_a_part_that_fails_again_and_again_is_latched_once() -> None:
    desk = Desk()
    for _ in range(100):
        desk.parts.broke("feed", ValueError("nonsense"))
    assert [hold.name for hold in desk.world.state.lattice.latches] == ["internal_error"]
    assert desk.records == 1


def test_a_disarm_that_changes_nothing_is_not_written_again_and_makes_no_ceremony_stale() -> None:
    desk = Desk()
    desk.commands.disarm(f.Disarm(reason="enough", mandate=True), "ann")
    version, records = desk.world.state.lattice.version, desk.records
    for _ in range(100):
        desk.commands.disarm(f.Disarm(reason="enough", mandate=True), "ann")
    assert desk.world.state.lattice.version == version
    assert desk.records == records


def test_edges_of_strategies_that_nobody_configured_are_no_latches() -> None:
    desk = Desk()
    for number in range(100):
        desk.commands.edge(f.Edge(strategy=f"s{number}", measured_bps="0", threshold_bps="1"))
    desk.commands.edge(f.Edge(strategy="demo", measured_bps="0", threshold_bps="1"))
    assert [hold.subject for hold in desk.world.state.lattice.latches] == ["demo"]


def test_a_kill_that_is_repeated_is_told_to_the_sentinel_once(tmp_path: Path) -> None:
    async def use(gate: Alive) -> None:
        for _ in range(50):
            await gate.ask(Role.LOWER, f.Kill(source="console"))
        await asyncio.sleep(0.1)
        assert 1 <= len([one for one in gate.asked if one["verb"] == "kill"]) <= 2

    in_life(tmp_path, use)


def test_a_kill_that_the_sentinel_did_not_hear_is_told_again(tmp_path: Path) -> None:
    async def use(gate: Alive) -> None:
        gate.deaf = True
        await gate.ask(Role.LOWER, f.Kill(source="console"))
        await settle(lambda: any("did not answer" in line for line in gate.said))
        await gate.ask(Role.LOWER, f.Kill(source="console"))
        await settle(lambda: len([one for one in gate.asked if one["verb"] == "kill"]) >= 2)

    in_life(tmp_path, use)


def test_connections_that_say_nothing_are_bounded(tmp_path: Path) -> None:
    async def run() -> None:
        async def handler(_role: Role, _peer: Peer, _request: f.Frame) -> f.Frame:
            return f.Done()

        writers = []
        async with Sockets(tmp_path / "s", "life", only_user(os.geteuid()), handler) as sockets:
            welcomed = 0
            for _ in range(300):
                reader, writer = await asyncio.open_unix_connection(str(sockets.paths[Role.READ]))
                writers.append(writer)
                writer.write(f.encode(f.Hello(protocol=f.PROTOCOL, role=Role.READ)))
                with suppress(ConnectionError):
                    welcomed += b"welcome" in await asyncio.wait_for(reader.read(1_000), 5)
            for writer in writers:
                writer.close()
        assert 0 < welcomed < 300

    _run(run())


def test_connections_that_say_nothing_keep_no_stop_out(tmp_path: Path) -> None:
    async def run() -> None:
        desk = Desk()

        async def handler(_role: Role, _peer: Peer, request: f.Frame) -> f.Frame:
            return desk.commands.kill(request, "ann") if isinstance(request, f.Kill) else f.Done()

        async with Sockets(tmp_path / "s", "life", only_user(os.geteuid()), handler) as sockets:
            path = sockets.paths[Role.LOWER]
            idle = []
            for _ in range(200):
                reader, writer = await asyncio.open_unix_connection(str(path))
                idle.append(writer)
                writer.write(f.encode(f.Hello(protocol=f.PROTOCOL, role=Role.LOWER)))
                with suppress(ConnectionError):
                    await asyncio.wait_for(reader.read(1_000), 5)

            def kill() -> f.AnyFrame:
                with Client(path, Role.LOWER, US, 5.0) as client:
                    return client.request(f.Kill(source="console"))

            try:
                answer: f.AnyFrame | None = await asyncio.to_thread(kill)
            except InterlockError:
                answer = None
            for writer in idle:
                writer.close()
        assert isinstance(answer, f.Done)

    _run(run())


def test_a_flood_on_one_socket_leaves_the_others_open_and_the_log_short(tmp_path: Path) -> None:
    with serving(tmp_path) as gate:
        used = len(os.listdir(f"/proc/{gate.process.pid}/fd"))
        resource.prlimit(gate.process.pid, resource.RLIMIT_NOFILE, (used + 20, used + 20))
        log = tmp_path / "gate.stderr"
        before = log.stat().st_size
        flood: list[socket.socket] = []
        try:
            for _ in range(40):
                flood.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                flood[-1].connect(gate.paths["read"])
                flood[-1].sendall(f.encode(f.Hello(protocol=f.PROTOCOL, role=Role.READ)))
            time.sleep(1)
            with Client(Path(gate.paths["lower"]), Role.LOWER, US, 2.0) as client:
                assert isinstance(client.request(f.GetStatus()), f.Status)
            assert log.stat().st_size - before < 1 << 16
        finally:
            for one in flood:
                one.close()


def test_a_checker_that_never_ends_its_line_costs_no_memory() -> None:
    beats = CheckerBeats(S)
    piece = b"x" * (1 << 16)
    for _ in range(2 * LONGEST_LINE_BYTES // len(piece)):
        beats.feed(piece, 1)
    assert beats.ended
    assert sum(len(part) for part in vars(beats).values() if isinstance(part, bytes)) <= LONGEST_LINE_BYTES


def test_a_sentinel_that_never_saw_a_gate_retires_too(tmp_path: Path) -> None:
    told = {
        "folder": str(tmp_path),
        "stop_word": str(tmp_path / "stop-word"),
        "stop_note": str(tmp_path / "note-on-disk"),
        "prefixes": ["demo"],
        "users": [os.geteuid()],
        "venues": [{"venue": "bybit", "endpoint": "loopback", "port": 9, "expiry_ns": S}],
        "worst_stall_ns": S,
        "stall_bound_ns": 3 * S,
        "boot_bound_ns": 10 * S,
        "retire_after_ns": 600 * S,
    }
    clock = iter(range(0, 10_000 * S, 2 * S))

    def no_client() -> Any:
        raise AssertionError("nothing is to be swept")

    sentinel = Sentinel(read_config(json.dumps(told)), {"bybit": no_client}, lambda: next(clock), HostDisk())
    for _ in range(1_000):
        sentinel.look_once()
    assert sentinel.stopping


# (f) Other users of the host


def test_what_lies_in_the_working_folder_is_not_run(tmp_path: Path) -> None:
    here, owned = tmp_path / "here", tmp_path / "owned"
    here.mkdir()
    (here / "platform.py").write_text(f"open({str(owned)!r}, 'w').write('run')\n", encoding="utf-8")
    command = [sys.executable, "-P", "-m", "interlock", "gate", "serve", "--dir", str(tmp_path / "g")]
    env = {**bare_environment(), "READ_ONLY_ENFORCED": "false"}
    process = subprocess.Popen(command, cwd=here, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert not owned.exists()
    finally:
        process.kill()
        process.communicate()
        end_all(tmp_path / "g")


def test_nothing_is_written_through_a_link_that_somebody_put_where_the_sockets_go(tmp_path: Path) -> None:
    folder, elsewhere, shared = tmp_path / ("x" * 100), tmp_path / "elsewhere", tmp_path / "t"
    elsewhere.mkdir()
    shared.mkdir()
    name = f"interlock-{os.geteuid()}-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    (shared / name).symlink_to(elsewhere)
    command = [*INTERLOCK, "gate", "serve", "--dir", str(folder)]
    env = {**bare_environment(), "TMPDIR": str(shared)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    known = folder / "venue" / "addresses.json"
    if known.exists():
        os.kill(msgspec.json.decode(known.read_bytes(), type=Addresses).pid, signal.SIGKILL)
    assert done.returncode != 0
    assert list(elsewhere.iterdir()) == []
    assert not known.exists(), "a venue was left running by a start that failed"


def test_a_folder_that_everybody_may_write_to_is_refused_or_closed(tmp_path: Path) -> None:
    folder = tmp_path / "g"
    folder.mkdir()
    folder.chmod(0o777)
    with suppress(AssertionError), serving(folder):
        assert folder.stat().st_mode & 0o022 == 0
        return
    assert not (folder / "run" / "gate.json").exists()


def test_a_grant_is_bound_to_the_code_that_puts_the_gate_together(tmp_path: Path) -> None:
    package = Path(interlock.__file__).parent
    copy = tmp_path / "interlock"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))

    def build() -> str:
        words = [sys.executable, "-P", "-B", "-c", "from interlock.run.build import build_hash; print(build_hash())"]
        env = {**bare_environment(), "PYTHONPATH": str(tmp_path)}
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.strip()

    before = build()
    world = copy / "run" / "gate_world.py"
    world.write_text(world.read_text(encoding="utf-8") + "\nREAD_ONLY = False\n", encoding="utf-8")
    assert build() != before


# (g) Refusals for no reason


def test_a_latch_on_one_order_holds_that_order_and_no_other() -> None:
    desk = Desk()
    client_id = desk.resting()
    held = desk.commands.freeze(f.Freeze(scope=r.Scope.ORDER, subject=client_id, level=r.Level.HALT, reason="look"), "ann")
    assert isinstance(held, f.Done)
    assert desk.world.next(ticks=399_990).decision.rule != "level_forbids"


def test_every_latch_that_an_engine_can_set_can_be_named_to_clear_it(tmp_path: Path) -> None:
    desk = Desk()
    desk.commands.edge(f.Edge(strategy="", measured_bps="0", threshold_bps="1"))
    for hold in desk.world.state.lattice.latches:
        with pytest.raises(InterlockError, match="gate that listens"):  # nobody is there; the words were right
            resume(socket=tmp_path / "raise.sock", latch=hold.name, scope=hold.scope.value, subject=hold.subject)


@pytest.mark.parametrize("amount", ["1E+400", "1E-400", "1" * 60])
def test_an_adjustment_by_no_amount_of_money_is_refused(amount: str) -> None:
    async def run() -> None:
        desk = Desk()
        desk.attach()

        async def adjust(text: str) -> f.Frame:
            version = desk.world.state.lattice.version
            nonce = secrets.token_hex(16)
            request = f.Adjust(venue="bybit", currency="USDT", amount=text, symbol="", lots=0, ticks=0, state_version=version, nonce=nonce)
            return await desk.commands.adjust(request, "ann")

        assert isinstance(await adjust("-1.25"), f.Done)
        answer = await adjust(amount)
        assert isinstance(answer, f.Refusal), answer

    _run(run())


# (h) What the rules demand


def test_a_margin_that_was_read_an_hour_ago_is_not_known() -> None:
    desk = Desk()
    where = ("bybit", "main")
    key = KeyScope(
        account="main",
        fingerprint="0123456789abcdef",
        trade=True,
        withdraw=False,
        transfer=False,
        address_bound=True,
        expires_wall_ns=0,
        position_mode="one_way",
        margin_mode="cross",
    )
    found = {"bybit": VenueFinding(key=key, skew=None)}
    drill = Check(OwnCheck.DRILL.value, Verdict.PASS, "", cw.NOW.boot_ns)

    def margin(read_boot_ns: int) -> Verdict:
        desk.world.readings.equity = {where: Equity(1_000_000_000, read_boot_ns)}
        checks = own_checks(desk.parts, found, disk_problem="", drill=drill)
        return next(check.verdict for check in checks if check.name == OwnCheck.MARGIN.value)

    assert margin(cw.NOW.boot_ns) is Verdict.PASS
    assert margin(cw.NOW.boot_ns - 3_600 * S) is not Verdict.PASS
