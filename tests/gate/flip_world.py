"""A whole gate in memory, to be flipped: the production desk, watches, journal and way out; only their ports are of a test.

The venue answers reads from memory. Its order line is a socket of this process, on which every byte is counted and nothing is answered. The disk,
the stop word, the lease and the clocks are fakes, and the clocks stand until they are moved. From the boot to the write one order goes the way
that a person and an engine take, and at each moment of that way a test may change what it likes.

What all rooms share, the way out and what calls for cancels are put together by `run.gate_rooms`, as for a real life. The rooms above them are put
together here in the same order, because a test turns each by hand; the tests with processes look at those.
"""

from __future__ import annotations

import asyncio
import errno
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from pathlib import Path
from typing import Any

from tests.gate import limit_cases as lc
from tests.gate import watch_venue
from tests.gate.arming_world import ENVIRON
from tests.gate.disks import FakeDisk
from tests.gate.flip_ports import ASK, BID, PLACE, Clock, Lease, Remembering, Taps, Venue, Word, requests_in, until

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import frames as f
from interlock.gate import life
from interlock.gate import records as r
from interlock.gate.arm_desk import ArmDesk
from interlock.gate.attendant import Attendant
from interlock.gate.attested import leanings
from interlock.gate.ceremony import Situation
from interlock.gate.checker_beats import CheckerBeats
from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.clock_watch import skew_denial
from interlock.gate.commands import Commands
from interlock.gate.condition_watch import ConditionWatch, Seen, second_writers
from interlock.gate.conditions import ACKNOWLEDGEMENT, read_only
from interlock.gate.connection import OrderConnection
from interlock.gate.core import PERMIT
from interlock.gate.dead_man import DeadMan
from interlock.gate.desk import Desk
from interlock.gate.drill import drill_verdict
from interlock.gate.following import Following
from interlock.gate.frames import Role
from interlock.gate.journal import Journal, JournalFailed, JournalFull, Options, open_journal
from interlock.gate.lattice import Kill
from interlock.gate.limit_sheet import sheet_hash
from interlock.gate.market_watch import MarketWatch, listing_worth
from interlock.gate.money_watch import MoneyWatch
from interlock.gate.own_checks import VenueFinding, own_checks
from interlock.gate.parts import Life
from interlock.gate.proposals import Proposals
from interlock.gate.readings import Now
from interlock.gate.sockets import Peer
from interlock.gate.state import GateState
from interlock.gate.venue_reads import ReadFailed
from interlock.run.gate_config import GateConfig, VenuePart
from interlock.run.gate_kits import kit_of
from interlock.run.gate_ports import Ports
from interlock.run.gate_rooms import called_for, share
from interlock.run.gate_sentinel import SentinelLine
from interlock.venues.fake import wire

SHEET = lc.EXAMPLE_SHEET
WHERE = ("bybit", "main")
LIFE = "0123456789abcdef" * 2
ARM_NONCE, LEVEL_NONCE, OLD_NONCE = ("a" * 32, "b" * 32, "c" * 32)
JOURNAL = Path("/journal")
WINDOW_NS = 2 * NS_PER_S
PEER = Peer(pid=2, uid=1000, gid=1000)
BEAT = b'{"violations": 0, "new": []}\n'
SIZES = Options(segment_bytes=3 << 14, batch_bytes=1 << 13, reserve_bytes=1 << 13)


class Moment(IntEnum):
    """Where on its way an order can meet a change, in order."""

    BEGIN = 0
    """Before the process life begins."""
    ASK = 1
    """Before a person asks for a challenge."""
    ANSWER = 2
    """Between the challenge and its answer."""
    GRANTED = 3
    """After the grant, before the order is proposed."""
    ORDER = 4
    """In the order itself."""
    PERMITTED = 5
    """After the permit is on disk, before the first check of the write."""
    WIRED = 6
    """After the record of the write, before the last check."""


class Step(IntEnum):
    """Who refused first, in the order in which they are asked."""

    ASK = 0
    ANSWER = 1
    ORDER = 2
    WRITE = 3
    NOBODY = 4


@dataclass(frozen=True, slots=True)
class Flip:
    """One condition made bad at one moment. `slot` names the condition: two flips of one slot exclude each other.

    `rules` are those by which it must be refused, all of them where a ceremony tells all at once, and `step` is who must refuse. `later` are
    those by which it may be refused instead when another change lets the watches look once more.
    """

    name: str
    slot: str
    moment: Moment
    step: Step
    rules: frozenset[str]
    do: Callable[[FlipWorld], Awaitable[None] | None]
    later: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the way: who refused first and by which rules, and what left on the order line, the drill's own order left out."""

    step: Step
    rules: frozenset[str]
    raising: tuple[str, ...]
    bytes_out: int
    told: str


@dataclass
class FlipWorld:
    """One process life, not begun yet. The fields are what may be changed before the moment at which they are used."""

    environ: dict[str, str] = field(default_factory=lambda: {"READ_ONLY_ENFORCED": "false"})
    endpoint: r.Endpoint = r.Endpoint.LOOPBACK
    endpoints: tuple[r.Endpoint, ...] = (r.Endpoint.LOOPBACK,)
    explained: bool | None = True
    drills: tuple[tuple[int, int], ...] = ((1, 1),)
    """(placed, cancelled) of the drills before, oldest first."""
    asked_venues: tuple[str, ...] = ("bybit",)
    terminal: dict[str, str] = field(default_factory=lambda: dict(ENVIRON))
    wish: dict[str, Any] = field(default_factory=dict)
    reply: dict[str, Any] = field(default_factory=dict)
    order: dict[str, Any] = field(default_factory=dict)
    verdicts: dict[str, Verdict | None] = field(default_factory=dict)
    """Answers of own checks to be told instead of the true ones; None leaves one out."""
    quoted: bool = True
    rated: bool = True
    valued: bool = True
    marked: bool = True
    sentinel_looks: bool = True
    checker_looks: bool = True
    streaming: bool = True
    drill_shows: OrderState | None = OrderState.OPEN
    """How the venue reports the drill's order; None if it never does, and time passes."""
    cancelling: bool = True
    reachable: bool = True

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.disk = FakeDisk()
        self.word = Word()
        self.lease = Lease()
        self.venue = Venue(self.clock)
        self.taps = Taps()
        self.log: list[str] = []
        self.beats = CheckerBeats(NS_PER_S)
        self.drill_id = ""
        self.client_id = ""
        self._flips: dict[Moment, list[Flip]] = {}
        self._stream_since_ns: int | None = None

    # Composition, as in `run.gate_world`

    async def begin(self) -> None:
        self.disk.make_directory(JOURNAL)
        state = GateState(SHEET)
        journal, _ = open_journal(self.disk, JOURNAL, schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=SIZES)
        self.journal: Journal = journal
        self.keeper = keeper = Remembering(state, journal)
        self._unsubscribe = keeper.attach(asyncio.get_running_loop())
        self.listings = {PLACE: watch_venue.BTC}
        about = Life(
            incarnation=LIFE,
            kernel_boot_id="k",
            host="host-a",
            user="u",
            endpoint=self.endpoint,
            build="b1",
            config="c1",
            strategy="s1",
            limits=sheet_hash(SHEET),
            pid=2,
        )
        lsn = life.begin(keeper, about, {"bybit": "main"}, life.Kernels(state), disk_error=False, now=self.clock())
        await keeper.durable(lsn)
        config, ports = self._config(), self._ports()
        self.parts = parts = share(
            config,
            ports,
            life=about,
            listings=self.listings,
            leases={"bybit": self.lease},
            keeper=keeper,
            word=self.word,
            sentinel=SentinelLine(ports.ask_sentinel, ports.log),
            kits={part.venue: kit_of(part, ports.now, ports.nonce, lambda _: PLACE[1]) for part in config.venues},
            read_only=None,
        )
        parts.tell_sentinel = lambda verb, ids: self.log.append(f"told the sentinel: {verb} {sorted(ids)}")
        self.readings = readings = parts.readings
        readings.read_only = read_only(self.environ)
        self.egress = parts.egresses["bybit"]
        worths = {PLACE: listing_worth(watch_venue.BTC)}
        self.market = MarketWatch(readings, keeper.state, self.listings, clock=self.clock, take=parts.take)
        self.money = MoneyWatch(readings, keeper.state, worths, clock=self.clock)
        self.conditions = ConditionWatch(
            readings, {"bybit": "main"}, [PLACE], {"bybit": WINDOW_NS}, self.clock.all_three(), sentinel_silent_ns=NS_PER_S
        )
        proposals = Proposals(parts, DeadMan((), readings, _nobody, self.clock, 20 * NS_PER_S).assure)
        commands = Commands(parts, proposals)
        arm_desk = ArmDesk(parts, proposals, self._situation, "sentinel.sock", about.build)
        self.attendant = Attendant(parts, partial(called_for, parts), lambda: self.clock.all_three().mono_ns)
        following = Following(lambda: keeper.state, lambda: self.clock().boot_ns)
        self.desk = Desk(parts, proposals, commands, following, arm_desk, dict, self.attendant.enforce)
        await self.egress.restore()
        await self._settle_in()

    def _config(self) -> GateConfig:
        """What a life of this world would be told; nothing connects to the ports, which are no venue's."""
        part = VenuePart(
            venue="bybit",
            account="main",
            endpoint=self.endpoint,
            symbols=(PLACE[1],),
            dead_man=False,
            orders_port=1,
            stream_port=2,
            receive_window_ns=WINDOW_NS,
        )
        nowhere = Path("/nowhere")
        return GateConfig(
            folder=nowhere,
            sockets=nowhere,
            memory=nowhere,
            limits=nowhere,
            venues=(part,),
            tags={"demo": "demo"},
            users=(PEER.uid,),
            checker_fd=-1,
        )

    def _ports(self) -> Ports:
        return Ports(
            disk=self.disk,
            connect=lambda _where, name: self._connect(name),
            now=self.clock,
            clocks=self.clock.all_three,
            nonce=lambda: OLD_NONCE,
            ask_sentinel=_nobody,
            log=self.log.append,
        )

    async def _settle_in(self) -> None:
        """What the watches find in the first second, so that prices are steady and everybody has been heard."""
        for placed, cancelled in self.drills:
            self.parts.take(self._drilled(placed, cancelled))
        if self.explained is not None:
            self.parts.take(
                r.Reconciled(boot_ns=self.clock.boot_ns, venue="bybit", account="main", explained=self.explained, differences=())
            )
        self._stream_since_ns = self.clock.boot_ns
        self.conditions.disk(self.keeper.state.lattice, self.journal.room(), self.clock.boot_ns)
        await self.turn(look=False)
        await self.steady()

    def _drilled(self, placed: int, cancelled: int) -> r.Drilled:
        now = self.clock()
        return r.Drilled(
            boot_ns=now.boot_ns,
            drill_id=OLD_NONCE,
            kind=r.DrillKind.ORDER,
            venue="bybit",
            endpoint=self.endpoint,
            key="main",
            sentinel_build="b1",
            authenticated=True,
            placed=placed,
            cancelled=cancelled,
            remaining=placed - cancelled,
            verdict="pass",
            wall_ns=now.wall_ns,
        )

    async def steady(self) -> None:
        """A second passes with readings as they should be, and nobody looks for what they mean."""
        for _ in range(2):
            self.clock.pass_(600 * NS_PER_MS)
            await self.turn(look=False)

    async def turn(self, *, look: bool = True) -> None:
        """One round of all readings, and with `look` of all watches: interlocks, latches, the stop word."""
        if not self.quoted:
            self.venue.failing["quote"] = ReadFailed("no answer")
        if not self.rated:
            self.venue.failing["rate"] = ReadFailed("no answer")
        await self.market.round(self.venue)
        await self.market.rules(self.venue)
        if self.valued:
            await self.money.round(self.venue)
        if self.marked:
            self._take(self.money.turn(self.keeper.state, self.clock()))
        boot_ns = self.clock.boot_ns
        self.word.sentinel_beat += self.sentinel_looks
        if self.checker_looks:
            self.beats.feed(BEAT, boot_ns)
        if not look:
            self.conditions.sentinel(self.keeper.state.lattice, self.word.sentinel_beat, boot_ns)
            self.readings.checker_alive = self.beats.alive(boot_ns)
            return
        lost = [(venue, self.parts.setup.accounts[venue]) for venue in self.parts.guard.take_lost()]
        self._take(second_writers(self.keeper.state.lattice, lost, boot_ns))
        seen = Seen(
            clock=self.clock.all_three(),
            feeds=self.market.problems(boot_ns),
            skews=self.market.skews,
            connected_since_boot_ns={WHERE: self._stream_since_ns if self.streaming else None},
            can_cancel={"bybit": self.egress.can_cancel and self.cancelling},
            unread={WHERE: ""},
            sentinel_beat=self.word.sentinel_beat,
        )
        self._take(self.conditions.turn(self.keeper.state.lattice, seen))
        self._take(self.conditions.checker(self.keeper.state, self.beats, boot_ns))
        self.attendant.look()

    def _take(self, found: Iterable[r.Record]) -> None:
        for record in found:
            self.parts.take(record)

    async def wait(self, ns: int, *, look: bool = True) -> None:
        """Time passes, a second at most at a time, with a round after each."""
        while ns > 0:
            step = min(ns, 900 * NS_PER_MS)
            self.clock.pass_(step)
            ns -= step
            await self.turn(look=look)

    async def leap(self, ns: int) -> None:
        """Much time passes at once, and then a second with everything as it should be."""
        self.clock.pass_(ns)
        await self.turn(look=False)
        await self.steady()

    # What arming looks at

    async def _situation(self) -> Situation:
        parts = self.parts
        findings = dict([await self._finding(venue) for venue in self.asked_venues])
        checks = own_checks(parts, findings, disk_problem=self.conditions.disk_problem, drill=self._drill_check())
        state, now = parts.keeper.state, parts.look()
        keys = {venue: one.key for venue, one in findings.items() if one.key is not None}
        return Situation(
            binding=parts.readings.binding,
            endpoints=self.endpoints,
            checks=tuple(self._told(checks)),
            evidence=None,
            minimums=self.market.minimums(now.boot_ns),
            read_only=parts.readings.read_only,
            killed=state.lattice.kill is not Kill.NONE,
            lease_held=parts.guard.lease_held(),
            state_version=state.lattice.version,
            used_nonces=state.lattice.nonces | state.arming.used,
            boot_ns=now.boot_ns,
            wall_ns=now.wall_ns,
            keys=keys,
            leanings=leanings(state.attestations, parts.setup.accounts, keys, now.wall_ns),
        )

    def _told(self, checks: Iterable[Check]) -> Iterable[Check]:
        for check in checks:
            verdict = self.verdicts.get(check.name, check.verdict)
            if verdict is not None:
                yield Check(check.name, verdict, check.detail, check.boot_ns)

    async def _finding(self, venue: str) -> tuple[str, VenueFinding]:
        try:
            key, sample = await self.venue.key(), await self.venue.clock()
        except ReadFailed as error:
            return venue, VenueFinding(key=None, skew=None, problem=error.reason)
        skew = skew_denial(sample, receive_window_ns=WINDOW_NS, now_boot_ns=self.clock.boot_ns, max_age_ns=10 * NS_PER_S)
        return venue, VenueFinding(key=key, skew=skew)

    def _drill_check(self) -> Check:
        newest = self.keeper.state.drills.newest
        good = bool(newest) and drill_verdict(newest[0]) is Verdict.PASS
        return Check(OwnCheck.DRILL.value, Verdict.PASS if good else Verdict.UNKNOWN, "the last drill", self.clock.boot_ns)

    # The way of one order

    def plan(self, *flips: Flip) -> None:
        """Let these changes happen when their moments come."""
        for flip in flips:
            self._flips.setdefault(flip.moment, []).append(flip)

    async def walk(self, flips: Iterable[Flip] = ()) -> Outcome:
        """Boot, arm, propose one order, and wait for what becomes of it, with these changes on the way. Closes the life."""
        self.plan(*flips)
        try:
            await self._meet(Moment.BEGIN)
            await self.begin()
            step, rules, told = await self._go()
            return await self._counted(step, rules, told)
        finally:
            self.close()

    async def _go(self) -> tuple[Step, frozenset[str], str]:
        await self._meet(Moment.ASK)
        step, answer = Step.ASK, await self.ask_to_arm()
        if isinstance(answer, f.Challenge):
            self.challenge = answer
            await self._meet(Moment.ANSWER)
            step, answer = Step.ANSWER, await self.answer(answer)
        armed = isinstance(answer, f.Done)
        self.drill_id = self.keeper.state.arming.spent_by
        await self._meet(Moment.GRANTED)
        await self._meet(Moment.ORDER)
        self.clock.when_read = self._wired
        decision = await self.propose()
        if isinstance(answer, f.Refusal):
            assert decision.result != PERMIT, "refused by the ceremony, permitted by the core"
            return step, _rules(answer), answer.detail
        assert armed, answer
        if decision.result != PERMIT:
            return Step.ORDER, frozenset({decision.rule}), decision.detail
        return await self._written()

    async def ask_to_arm(self) -> f.Frame:
        now_version = self.keeper.state.lattice.version
        given = {
            "conditions": self.terminal,
            "max_notional_usd": "",
            "lifetime_ns": 600 * NS_PER_S,
            "mandate_ns": 3_600 * NS_PER_S,
            "scripted": True,
            "state_version": now_version,
            "nonce": ARM_NONCE,
            **self.wish,
        }
        return await self.say(Role.RAISE, f.ArmBegin(**given))

    async def answer(self, challenge: f.Challenge, **changes: Any) -> f.Frame:
        given = {
            "challenge_id": challenge.challenge_id,
            "acknowledgement": ACKNOWLEDGEMENT,
            "phrase": challenge.phrase,
            "level_nonce": LEVEL_NONCE,
            **self.reply,
            **changes,
        }
        helper = asyncio.get_running_loop().create_task(self._show_the_drill()) if self.wish.get("drill_symbol") else None
        try:
            return await self.say(Role.RAISE, f.ArmAnswer(**given))
        finally:
            if helper is not None:
                helper.cancel()

    async def _show_the_drill(self) -> None:
        """The venue's report that the drill's order rests."""
        orders = self.keeper.state.orders
        while True:
            for client_id in tuple(orders.live):
                if orders.by_id[client_id].sent and orders.by_id[client_id].state is OrderState.SENT:
                    if self.drill_shows is None:
                        self.clock.pass_(100 * NS_PER_MS)
                    else:
                        self.parts.take(_shown(client_id, self.drill_shows, self.clock()))
            await asyncio.sleep(0.001)

    async def propose(self, **more: Any) -> f.Decision:
        now = self.clock()
        given: dict[str, Any] = {
            "venue": "bybit",
            "symbol": PLACE[1],
            "side": Side.BUY,
            "type": OrderType.LIMIT,
            "tif": TimeInForce.POST_ONLY,
            "ticks": BID,
            "lots": 1,
            "strategy": "demo",
            "sequence": self.keeper.state.sequences.get("demo", 0) + 1,
            "created_boot_ns": now.boot_ns,
            "deadline_boot_ns": now.boot_ns + NS_PER_S,
            "books": (r.Book(venue="bybit", symbol=PLACE[1], bid_ticks=BID, ask_ticks=ASK, boot_ns=now.boot_ns),),
            **self.order,
            **more,
        }
        late_ns = given.pop("late_ns", 0)
        proposal = f.Proposal(**given)
        self.clock.pass_(late_ns)
        decided = await self.say(Role.INTENT, f.Propose(proposals=(proposal,)))
        assert isinstance(decided, f.Decided), decided
        self.client_id = decided.decisions[0].client_id
        return decided.decisions[0]

    async def say(self, role: Role, request: f.Frame) -> f.Frame:
        return await self.desk(role, PEER, request)

    async def _connect(self, name: str) -> OrderConnection:
        """The port through which the gate reaches its venue. The line for placements is opened by the first order that is permitted."""
        if ".place." in name and self._engines_order():
            await self._meet(Moment.PERMITTED)
        if not self.reachable:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens")
        return self.taps.connect(name)

    def _engines_order(self) -> str:
        """The client id of the order on its way, the drill's left out; empty before there is one."""
        of_the_drill = {self.drill_id, self.keeper.state.arming.spent_by}
        return next((one for one in reversed(tuple(self.keeper.state.orders.by_id)) if one not in of_the_drill), "")

    def _wired(self) -> bool:
        """Asked at every reading of the clock: whether the record of the write was just folded, and then what is to change changes."""
        order = self.keeper.state.orders.by_id.get(self._engines_order())
        if order is None or order.wired_revision != 0 or order.sent:
            return False
        for flip in self._flips.get(Moment.WIRED, ()):
            assert flip.do(self) is None, "at this moment nobody can wait"
        return True

    async def _meet(self, moment: Moment) -> None:
        for flip in self._flips.get(moment, ()):
            done = flip.do(self)
            if done is not None:
                await done

    async def _written(self) -> tuple[Step, frozenset[str], str]:
        """Wait until the write is over, one way or the other."""
        order = self.keeper.state.orders.by_id[self.client_id]
        await until(lambda: self.client_id not in self.keeper.state.permits)
        if order.sent:
            return Step.NOBODY, frozenset(), ""
        reasons = [record.reason for record in self.keeper.given if isinstance(record, r.NotSent) and record.client_id == self.client_id]
        assert len(reasons) == 1, reasons
        return Step.WRITE, frozenset({_named(reasons[0])}), reasons[0]

    async def _counted(self, step: Step, rules: frozenset[str], told: str) -> Outcome:
        for _ in range(3):
            await asyncio.sleep(0)  # whatever was still to be written has its turn
        raising, count = [], 0
        for name, data in self.taps.seen().items():
            for request in requests_in(data):
                if wire.class_of(wire.verb_of(request)) is wire.VerbClass.RISK_RAISING:
                    ids = [client_id for client_id, _ in wire.ids_of(request) if client_id != self.drill_id or not self.drill_id]
                    raising += ids
                    count += len(wire.encode(request)) if ids else 0
                else:
                    assert ".cancel." in name, f"{wire.verb_of(request)} on {name}"
        return Outcome(step, rules, tuple(raising), count, told)

    def close(self) -> None:
        if hasattr(self, "egress"):
            self.egress.close()
        if hasattr(self, "journal"):
            self._unsubscribe()
            with suppress(JournalFailed):
                self.journal.close()
        self.taps.close()

    # What flips use

    async def refuse_disk(self) -> None:
        """The disk has all that was told it so far, and fails from here on."""
        with suppress(JournalFailed):
            await self.keeper.durable(self.journal.last_lsn)
        taken = len(self.disk.steps)
        self.disk.faults = dict.fromkeys(range(taken, taken + 10_000), errno.EIO)

    async def fail_journal(self) -> None:
        """The disk fails, and the gate has noticed, unless there is no room to write anything at all."""
        await self.refuse_disk()
        self.latch(r.Scope.SYMBOL, "nothing", r.Level.HALT)
        await until(lambda: self.journal.failure is not None or bool(self.keeper.unwritten))
        self.latch(r.Scope.SYMBOL, "nothing else", r.Level.HALT)

    async def fill_journal(self, *, reserve: bool = False) -> None:
        """Use up all room but the reserve, or all. What is written together takes less than one by one, so it is tried again until nothing fits."""
        self.disk.free = 0
        filler = r.encode(
            r.Deny(boot_ns=self.clock.boot_ns, client_id="", strategy="filler", rule="flip", detail="x" * 250)
        )  # about a block of the disk
        while True:
            taken = 0
            with suppress(JournalFull, JournalFailed):
                while True:
                    self.journal.append(filler, reserve=reserve)
                    taken += 1
            with suppress(JournalFailed):
                await self.keeper.durable(self.journal.last_lsn)
            if not taken:
                return

    def lower(self, level: r.Level) -> None:
        """A lower base level, by nobody's hand."""
        self.parts.take(r.LevelSet(boot_ns=self.clock.boot_ns, level=level, reason="flip", actor="gate", human=False))

    def latch(self, scope: r.Scope, subject: str, level: r.Level) -> None:
        self.parts.take(
            r.LatchSet(boot_ns=self.clock.boot_ns, name="operator", scope=scope, subject=subject, level=level, reason="flip", actor="ann")
        )


def _shown(client_id: str, state: OrderState, now: Now) -> r.Reported:
    return r.Reported(
        boot_ns=now.boot_ns,
        client_id=client_id,
        venue_order_id="v1",
        state=state,
        filled_lots=0,
        lots=1,
        source="stream",
        code="",
        venue_ns=now.wall_ns,
    )


def _rules(refusal: f.Refusal) -> frozenset[str]:
    """All reasons of a ceremony's refusal."""
    try:
        return frozenset(str(one["rule"]) for one in json.loads(refusal.detail))
    except ValueError:
        return frozenset({refusal.rule})


def _named(reason: str) -> str:
    """Why a write did not happen, without what differs from case to case."""
    return next((name for name in ("journal", "no connection") if reason.startswith(name)), reason)


async def _nobody(_request: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}
