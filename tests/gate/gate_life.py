"""One process life of the gate in the state machine: the parts of the running gate, put together as its process does it, and driven turn by turn.

What the process has and this does not: sockets for peers, the checker's beats, and the rounds that read markets and money (`look` stands for those).
The life ends by `die`: whatever is not on the disk is gone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.gate_account import Account, Host
from tests.gate.gate_ground import Cable, ProcessDies, SteadyJournal, VirtualLoop

from interlock.gate import frames as f
from interlock.gate import lattice, orders, profit
from interlock.gate import life as process_life
from interlock.gate import records as r
from interlock.gate.absence import rule_for
from interlock.gate.arming import Challenged, Minted
from interlock.gate.attendant import Attendant
from interlock.gate.ceremony import Reply, answer, ask
from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.clock_watch import ClockReading, begin, disarm_records, observe
from interlock.gate.condition_watch import cancels_called_for
from interlock.gate.conditions import ACKNOWLEDGEMENT
from interlock.gate.connection import OrderConnection
from interlock.gate.egress import Egress
from interlock.gate.exposure import Equity, Place, universe_of
from interlock.gate.journal import JournalFailed, JournalFull, Options, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.limit_sheet import LimitSheet, parse, sheet_hash
from interlock.gate.parts import Guard, Parts
from interlock.gate.parts import Life as Who
from interlock.gate.profit import Worth
from interlock.gate.proposals import Proposals
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.refusal import Refusal
from interlock.gate.state import GateState
from interlock.gate.venue_fake import FakeWire
from interlock.gate.venue_reads import ReadFailed
from interlock.sentinel.stop_word import StopWord
from interlock.simulate.fake_venue.memory import MemoryLink
from interlock.venues.budget import GATE, Meter
from interlock.venues.fake import budget

MS = 1_000_000
S = 1_000 * MS
FOLDER = Path("/journal")
SMALL = Options(segment_bytes=1 << 16, batch_bytes=1 << 13, reserve_bytes=1 << 13)
MOST_LOTS = 6
"""The bound on the position, open orders included."""
ACCOUNT, SYMBOL, STRATEGY, TAG = "main", "BTCUSDT", "demo", "demo"
WINDOW_NS = 2 * S
LAG_NS = S
_BROKEN = (JournalFailed, JournalFull)


def sheet_for(venue: str) -> LimitSheet:
    """The example limits, for a venue of that name and with room for a few orders at once."""
    text = lc.TEXT.replace("bybit", venue).replace("max_position_lots = 2", f"max_position_lots = {MOST_LOTS}")
    return parse(text, lc.EXAMPLE)


class Fuse:
    """The ports of a life, and where it dies: before the port is asked for the `left`-th time; -1 for never. Stop word and lease are among them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.left = -1
        self.blown = False
        self.word: StopWord | None = None
        self.lease = True

    def burn(self) -> None:
        if self.left == 0:
            self.blown = True
        if self.blown or self._host.disk.dead:
            self._host.disk.die()
            raise ProcessDies
        self.left = max(self.left - 1, -1)

    def clock(self) -> Now:
        self.burn()
        return self._host.now()

    def held(self) -> bool:
        self.burn()
        return self.lease

    def release(self) -> None:
        self.lease = False

    @property
    def stopped(self) -> bool:
        self.burn()
        return self.word is None or self.word.stopped

    @property
    def sentinel_beat(self) -> int:
        return 0 if self.word is None else self.word.sentinel_beat

    def acknowledge(self, boot_ns: int) -> None:
        if self.word is not None:
            self.word.acknowledge(boot_ns)

    def advance(self) -> None:
        if self.word is not None:
            self.word.advance()


class Life:
    """One process life. `begin` brings it up, `die` ends it; in between everything goes through `run` and `turn`."""

    def __init__(self, host: Host, number: int) -> None:
        self.host = host
        self.number = number
        self.who = Who(
            incarnation=hashlib.sha256(f"life {number}".encode()).hexdigest()[:32],
            kernel_boot_id=host.host_boot,
            host="host-a",
            user="u",
            endpoint=r.Endpoint.LOOPBACK,
            build="b1",
            config="c1",
            strategy="s1",
            limits=sheet_hash(host.sheet),
            pid=1,
        )
        self.fuse = Fuse(host)
        self.loop = VirtualLoop(lambda: host.now().boot_ns)
        self.loop.set_exception_handler(self._broke)
        self.unforeseen: list[str] = []
        self.closed = False
        self.said: list[str] = []
        self.cables: list[Cable] = []
        self.connections: list[OrderConnection] = []
        self.answers: list[tuple[asyncio.Task[f.Frame], int]] = []
        self.state = GateState(host.sheet)
        self.settled_twice = 0
        self._journal: SteadyJournal | None = None
        self._parts: Parts | None = None
        self._account: Account | None = None
        self._detach: Callable[[], None] = lambda: None
        self.universe = universe_of([lc.facts(venue=host.venue)])
        self.metadata = "m1"
        now = host.now()
        self._watch = begin(ClockReading(boot_ns=now.boot_ns, mono_ns=host.mono_ns(), wall_ns=now.wall_ns))

    @property
    def opened(self) -> SteadyJournal | None:
        """The journal, if it was opened."""
        return self._journal

    @property
    def journal(self) -> SteadyJournal:
        assert self._journal is not None, "the journal is not open yet"
        return self._journal

    @property
    def parts(self) -> Parts:
        assert self._parts is not None, "the life has not begun"
        return self._parts

    @property
    def keeper(self) -> Keeper:
        return self.parts.keeper

    @property
    def account(self) -> Account:
        assert self._account is not None, "the life has not begun"
        return self._account

    @property
    def readings(self) -> Readings:
        return self.parts.readings

    @property
    def word(self) -> StopWord:
        assert self.fuse.word is not None, "the life has not begun"
        return self.fuse.word

    @property
    def whole(self) -> bool:
        """Whether state and journal still go together: the journal has failed or refused nothing that was folded."""
        return self._parts is not None and self.journal.failure is None and not self.keeper.unwritten

    # Beginning and end

    def begin(self) -> None:
        """Open the journal, settle what an earlier life left, and open the way out."""
        host, state = self.host, self.state
        kernels = process_life.Kernels(state)
        recovered: list[bytes] = []

        def consume(_lsn: int, payload: bytes) -> None:
            record = r.decode(payload)
            recovered.append(payload)
            state.apply(record)
            kernels.see(state, record)

        journal, found = open_journal(
            host.disk, FOLDER, schema=r.SCHEMA, incarnation=bytes.fromhex(self.who.incarnation), options=SMALL, consume=consume
        )
        host.recovered(recovered, state)
        self._journal = SteadyJournal(journal, host.disk, host.took)
        keeper = Keeper(state, self._journal.as_journal())
        self._detach = keeper.attach(self.loop)
        self._journal.watch()
        last = self._settle(keeper, kernels, found.disk_error)
        if journal.durable_lsn < last:
            raise JournalFailed("the beginning of a life is not durable")
        if found.disk_error:
            self._journal.disk_error_settled()
        self.fuse.word = StopWord.create(host.folder / "stop", self.who.incarnation)
        self._compose(keeper)
        with suppress(OSError):  # a venue that cannot be reached now: each line is tried again when it is needed
            self.loop.run_until_complete(self.egress.open())

    def _settle(self, keeper: Keeper, kernels: process_life.Kernels, disk_error: bool) -> int:
        """What the process does first. Asked once more afterwards, nothing is left to settle."""
        now = self.now()
        last = process_life.begin(keeper, self.who, {self.host.venue: ACCOUNT}, kernels, disk_error=disk_error, now=now)
        self.settled_twice = len(orders.recovery_records(self.state.orders, True, disk_error, now.boot_ns))
        return last

    def _compose(self, keeper: Keeper) -> None:
        host, venue = self.host, self.host.venue
        wire = FakeWire(WINDOW_NS)
        setup = Setup(
            accounts={venue: ACCOUNT},
            wires={venue: wire},
            absence={venue: rule_for(venue, LAG_NS, WINDOW_NS)},
            tags={STRATEGY: TAG},
        )
        guard = Guard(self.fuse, {venue: self.fuse})
        readings = Readings(references=lc.seen(host.sheet, self.universe), binding=aw.binding(), read_only=False)
        clock = self.fuse.clock
        self.egress = Egress(
            venue, wire, setup, keeper, readings, guard, self._connect, clock, answer_ns=2 * S, meter=Meter(budget.LIMITS, GATE)
        )
        self._parts = parts = Parts(
            life=self.who,
            setup=setup,
            keeper=keeper,
            readings=readings,
            egresses={venue: self.egress},
            word=self.fuse,
            guard=guard,
            clock=clock,
            log=self.said.append,
            tell_sentinel=_tell_nobody,
        )
        self.proposals = Proposals(parts, _not_attended)
        self.attendant = Attendant(parts, lambda: cancels_called_for(self.state, self.now(), universe=self.universe), lambda: 0)
        self._account = Account(host, parts, ACCOUNT, TAG, self.worths())
        readings.binding = self.bound()

    def bound(self) -> r.Binding:
        return self.parts.binding(((self.host.venue, SYMBOL, self.metadata),))

    def die(self) -> None:
        """The process is gone. The disk must be as it was left already: nothing that happens here may reach it."""
        self.host.disk.die()
        self.close()

    def end(self) -> None:
        """The process ends in order: what is in flight becomes unknown, the journal is sealed. Raises JournalFailed, and then it is still there."""
        self.run(self.egress.close)
        self.journal.close()
        if self.journal.failure is not None:
            raise self.journal.failure
        self._journal = None
        self.close()

    def close(self) -> None:
        """Let go of everything that is not on the disk."""
        self.closed = True
        self._detach()
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.turn()
            self.turn()
        for connection in self.connections:
            descriptor = connection.fileno()
            if descriptor >= 0:
                self.loop.remove_reader(descriptor)
                self.loop.remove_writer(descriptor)
            connection.abort()
        self.loop.close()
        if self._journal is not None:
            with suppress(JournalFailed, ProcessDies):
                self._journal.close()
        if self.fuse.word is not None:
            self.fuse.word.close()

    # Driving

    def now(self) -> Now:
        return self.fuse.clock()

    def hear(self, most: int) -> int:
        """Events of the private stream; how many."""
        try:
            return int(self.run(lambda: self.account.hear(most)))
        except _BROKEN:
            return 0

    def read(self, what: Callable[[], Awaitable[Any]]) -> Any:
        """A read of the account; None, and a gap, where it failed."""

        async def body() -> Any:
            return await what()

        try:
            return self.loop.run_until_complete(body())
        except ReadFailed:
            self.account.gaps = True
        except _BROKEN:
            pass
        return None

    def run(self, do: Callable[[], Any]) -> Any:
        """Do something inside the loop. ProcessDies comes out when the life ends in it."""

        async def body() -> Any:
            return do()

        return self.loop.run_until_complete(body())

    def turn(self) -> None:
        self.loop.turn()

    def take(self, *found: r.Record) -> int:
        return self.keeper.take(*found, now=self.now())

    def tell(self, *found: r.Record) -> None:
        """Take records that only lower risk or state facts, whatever the journal says to it."""
        if found:
            self.run(lambda: self.parts.take(*found))

    def _broke(self, _loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if not (self.closed or isinstance(error, (ProcessDies, *_BROKEN))):
            self.unforeseen.append(f"{context.get('message')}: {error!r}")

    async def _connect(self, name: str) -> OrderConnection:
        if not self.host.connects:
            raise ConnectionRefusedError("the venue takes no connections")
        client = self.host.network.connect(self.host.venue, "orders")
        cable = Cable(cast(MemoryLink, client.link), self.host.leaves)
        connection = OrderConnection(cable.near, name)
        self.cables.append(cable)
        self.connections.append(connection)
        return connection

    # Readings

    def look(self, book: tuple[int, int] | None = None, rates: Iterable[Any] | None = None) -> None:
        """Read market, equity and the rest anew; without `book` what was read before stays, and grows old."""
        now, venue, readings = self.now(), self.host.venue, self.readings
        if book is not None:
            at = now.boot_ns
            told = (lc.rate(at=at),) if rates is None else rates
            readings.references = lc.seen(self.host.sheet, self.universe, *lc.steady(lc.quote(*book, at, venue=venue)), *told)
            readings.equity = {(venue, ACCOUNT): Equity(10_000 * 1_000_000, at)}
            readings.naked_since_boot_ns = {"BTC": None}
            self._mark(book)
        readings.binding = self.bound()
        readings.attended = {(venue, SYMBOL)}
        readings.sentinel_alive = readings.checker_alive = True

    def _mark(self, book: tuple[int, int]) -> None:
        """The day's result, where the last one is getting old."""
        state, now = self.state, self.now()
        marked = state.losses.marked_boot_ns
        if marked is not None and 0 <= now.boot_ns - marked < 3 * S:
            return
        dollars = {"USDT": (Decimal(1), Decimal(1)), "BNB": (Decimal(1), Decimal(1))}
        found = profit.results(state.ledger, self.worths(), {(self.host.venue, SYMBOL): book})
        if isinstance(found, profit.Unmarked):
            return
        if not state.ledger.day.name:
            rolled = profit.day_rolled(found, dollars, "2027-01-15", now.boot_ns, now.wall_ns)
            if isinstance(rolled, r.DayRolled):
                self.tell(rolled)
        mark = profit.marked(state.ledger, found, dollars, now.boot_ns)
        if isinstance(mark, r.Marked):
            self.tell(mark)

    def worths(self) -> dict[tuple[str, str], Worth]:
        worth = Worth(currency="USDT", tick_lot=Decimal("0.0001"), base="BTC", lot=Decimal("0.001"), spot=False)
        return {(self.host.venue, SYMBOL): worth}

    def watch_clock(self) -> None:
        """Compare the clocks, as the gate's loop does at every turn."""
        now = self.now()
        self._watch, faults = observe(self._watch, ClockReading(boot_ns=now.boot_ns, mono_ns=self.host.mono_ns(), wall_ns=now.wall_ns))
        self.tell(*disarm_records(faults, now.boot_ns))

    # What a person does

    def arm(self, lifetime_ns: int, mandate_ns: int, cap: str, *, seen: int | None = None, typed: str = "") -> str:
        """The whole ceremony; the rule that refused it, or an empty text."""
        now, state = self.now(), self.state
        self.readings.binding = self.bound()
        situation = aw.situation(
            binding=self.readings.binding,
            endpoints=(self.who.endpoint,),
            checks=self._checks(now.boot_ns),
            minimums={f"{self.host.venue}/{SYMBOL}": Decimal(5)},
            killed=state.arming.killed,
            state_version=state.lattice.version,
            used_nonces=state.lattice.nonces | state.arming.used,
            boot_ns=now.boot_ns,
            wall_ns=now.wall_ns,
        )
        environ = {**aw.ENVIRON, "LIVE_ARM_AT": str(now.wall_ns // S), "LIVE_MAX_NOTIONAL_USD": cap}
        wish = aw.wish(
            lifetime_ns=lifetime_ns,
            mandate_after_ns=mandate_ns,
            seen_version=state.lattice.version if seen is None else seen,
            scripted=True,
        )
        asked = ask(wish, environ, situation, self.host.nonce())
        state.happen(asked)
        if not isinstance(asked, Challenged):
            return asked.refusals[0].rule
        made = answer(asked.challenge, Reply(ACKNOWLEDGEMENT, typed or asked.challenge.phrase), situation)
        if not isinstance(made, Minted):
            state.happen(made)
            return made.refusals[0].rule
        try:
            self.run(lambda: self.keeper.mint(made))
        except _BROKEN:
            return "journal"
        return ""

    def _checks(self, boot_ns: int) -> tuple[Check, ...]:
        """The gate's own checks: those of which this world knows something say so."""
        levels = self.state.lattice
        failed = set() if levels.reconciled and not levels.unexplained else {OwnCheck.RECONCILIATION.value}
        failed |= {OwnCheck.JOURNAL.value} if self.journal.failure is not None else set()
        return tuple(
            Check(one.name, Verdict.FAIL if one.name in failed else Verdict.PASS, one.detail, boot_ns) for one in aw.own_checks(boot_ns)
        )

    def resume(self, level: r.Level, *, seen: int | None = None) -> str:
        """A person raises the level; the rule that refused it, or an empty text."""
        levels, boot_ns = self.state.lattice, self.now().boot_ns
        version = levels.version if seen is None else seen
        return self._raise(
            lattice.raise_level(levels, level, actor="ann", reason="resume", seen_version=version, nonce=self.host.nonce(), boot_ns=boot_ns)
        )

    def clear(self, hold: lattice.Hold) -> str:
        """A person clears a latch; the rule that refused it, or an empty text."""
        levels, boot_ns = self.state.lattice, self.now().boot_ns
        return self._raise(
            lattice.clear_latch(
                levels,
                hold.name,
                hold.scope,
                hold.subject,
                actor="ann",
                seen_version=levels.version,
                nonce=self.host.nonce(),
                boot_ns=boot_ns,
            )
        )

    def _raise(self, asked: r.Record | Refusal) -> str:
        if isinstance(asked, Refusal):
            return asked.rule
        try:
            self.run(lambda: self.take(asked))
        except _BROKEN:
            return "journal"
        return ""

    # Orders

    def propose(self, proposals: Sequence[f.Proposal]) -> asyncio.Task[f.Frame]:
        """Ask as the engine does; the answer comes when the permits are on disk."""
        task = self.loop.create_task(self.proposals.propose(f.Propose(proposals=tuple(proposals))))
        self.answers.append((task, len(proposals)))
        return task

    def cancel(self, client_ids: Sequence[str]) -> None:
        """Owe cancels for these orders, or for all, and send what is due."""
        self.run(lambda: self.proposals.cancel(client_ids, "asked", "engine"))

    def round(self) -> None:
        """One round of the gate's fastest loop, and of the one that keeps the line for cancels open."""
        if self.host.connects:
            self.loop.run_until_complete(self.egress.restore())
        self.run(self.attendant.look)


def _tell_nobody(*_: object) -> None:
    """There is no sentinel on a socket here; the world's own looks at the stop word."""


async def _not_attended(_place: Place) -> bool:
    """Nobody beats a dead-man here."""
    return False


def with_level(latch: r.LatchSet, level: r.Level) -> r.LatchSet:
    """The same latch down to another level."""
    return msgspec.structs.replace(latch, level=level)
