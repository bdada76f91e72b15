"""One simulated day: a market that moves, a gate and an engine that trade on it, a person, and faults; and what must be true when it is over."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from tests.day.faults import KINDS, plan, wait
from tests.day.host import Host, S
from tests.day.loop import MemoryLoop, VirtualTime
from tests.day.venue import SYMBOL, VENUE

from interlock.gate import records as r
from interlock.gate.journal import recover
from interlock.trace.check import Report, check
from interlock.trace.facts import Facts, Instrument

BOOT_NS, WALL_NS = 5_000 * S, 1_800_000_000 * S
LOOKS_EVERY_S = 9.0
"""How often the person looks whether the gate trades."""
DENSE_NS = S // 10
"""How late timers may ring while something goes wrong."""
NIGHT_NS = 60 * S
"""How late they may ring where no gate runs."""
EXPORTED = "exported"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`rounds`: how often each kind of fault happens. The day is made of cycles: each begins `busy_s` in which the market moves every `move_ns` and
    faults happen; for the rest of it the market hardly moves. Timers may be `slack_ns` late, or in the quiet part `quiet_slack_ns`. In the night,
    hours of the day from and to, the gate is ended in order, and the market and the account go on without it.
    """

    seed: int
    hours: float
    rounds: int
    only: tuple[str, ...] = tuple(sorted(KINDS))
    move_ns: int = 18 * S // 10
    quiet_move_ns: int = 120 * S
    slack_ns: int = 2 * S
    quiet_slack_ns: int = 48 * S // 10
    night: tuple[float, float] = (13.0, 22.0)
    cycle_s: int = 7_200
    busy_s: int = 1_000
    calm_ticks: float = 20.0

    def busy(self, since_s: float) -> bool:
        """Whether the market is busy so long after the beginning of the day."""
        return since_s % self.cycle_s < self.busy_s and not self.dark(since_s)

    def dark(self, since_s: float) -> bool:
        """Whether it is night."""
        return self.night[0] <= since_s / 3_600 < self.night[1]


@dataclass
class Outcome:
    """What is left of a day."""

    settings: Settings
    report: Report
    happened: Counter[str]
    """Faults of the plan by their names."""
    counts: Counter[str]
    """What the host counted."""
    struck: Counter[str]
    """Faults that the venue says have struck, by its names."""
    records: list[r.Record]
    witness: list[dict[str, Any]]
    truth: list[dict[str, Any]]
    position_lots: int
    venue_position_lots: int
    left: int
    open_at_venue: int
    said: list[str]
    found: list[str] = field(default_factory=list)
    """What nobody foresaw."""

    def of(self, kind: type[r.Record]) -> list[Any]:
        """The records of a kind."""
        return [one for one in self.records if isinstance(one, kind)]


def live(settings: Settings, folder: Path) -> Outcome:
    """Live a day. Raises AssertionError, with the seed, for what should not have happened on the way."""
    loop = MemoryLoop(VirtualTime(BOOT_NS, WALL_NS))
    try:
        return loop.run_until_complete(_Day(settings, loop, folder).live())
    except Exception as error:
        error.add_note(f"the day of seed {settings.seed}: {settings}")
        raise
    finally:
        loop.end()


class _Day:
    def __init__(self, settings: Settings, loop: MemoryLoop, folder: Path) -> None:
        self._settings = settings
        self._loop = loop
        self._folder = folder
        self._over = False
        self._dense = self._dark = False
        self._host: Host | None = None
        self._happened: Counter[str] = Counter()

    @property
    def host(self) -> Host:
        assert self._host is not None
        return self._host

    async def live(self) -> Outcome:
        settings, loop = self._settings, self._loop
        host = self._host = Host(loop, self._folder, settings.seed, settings.calm_ticks)
        self._move()
        try:
            await host.start_gate()
            await host.start_engine()
            async with asyncio.TaskGroup() as group:
                person = group.create_task(self._person())
                await self._trading()
                await self._faults()
                await self._come_to_rest()
                person.cancel()
            return await self._end()
        finally:
            self._over = True
            host.close()

    def _move(self) -> None:
        if self._over:
            return
        self.host.venue.house.step()
        settings, loop = self._settings, self._loop
        busy = self._dense or settings.busy(loop.time() - BOOT_NS / S)
        move_ns = settings.move_ns if busy else settings.quiet_move_ns
        loop.slack_ns = DENSE_NS if self._dense else settings.slack_ns if busy else NIGHT_NS if self._dark else settings.quiet_slack_ns
        loop.arrive(loop.virtual.boot_ns + move_ns - self.host.chance.randrange(move_ns // 10), self._move)

    async def _person(self) -> None:
        """Looks now and then whether the gate trades, and does what it takes."""
        host, gone_looks = self.host, 0
        while True:
            await wait(LOOKS_EVERY_S)
            async with host.hands:
                gate = host.gate
                if self._dark:
                    continue
                if gate is None:
                    gone_looks += 1
                    if gone_looks > 2:
                        await host.start_gate()
                    continue
                gone_looks = 0
                problem = gate.problem()
                assert problem is None, repr(problem)
                if not gate.trades:
                    rule = await host.arm()
                    host.counts[f"not armed: {rule.partition(':')[0]}"] += bool(rule)

    async def _trading(self, within_s: float = 1_800) -> None:
        """Wait until it trades, and nothing holds it back."""
        until = self._loop.time() + within_s
        while self.host.gate is None or not self.host.gate.trades or self.host.gate.state.lattice.trips:
            assert self._loop.time() < until, (self.host.counts, self.host.troubles(), self._standing())
            await wait(3)

    def _standing(self) -> object:
        gate = self.host.gate
        return gate is not None and gate.begun and (gate.state.lattice.latches, gate.state.lattice.trips, gate.world.rooms.arming.why_not())

    async def _faults(self) -> None:
        settings, loop = self._settings, self._loop
        begin_s = loop.time()
        end_s = BOOT_NS / S + settings.hours * 3_600
        for at_s, name in self._plan(begin_s, end_s):
            await self._until(at_s)
            await self._trading()
            self._dense = True
            await wait(self.host.chance.uniform(5, 10))
            await KINDS[name](self.host)
            self._happened[name] += 1
            self._dense = False
        await self._until(end_s)

    async def _until(self, at_s: float) -> None:
        """Let time pass, and the night if it lies between."""
        falls_s, ends_s = (BOOT_NS / S + hour * 3_600 for hour in self._settings.night)
        for until_s, night in ((falls_s, False), (ends_s, True), (at_s, False)):
            if self._loop.time() < until_s <= at_s:
                if night:
                    await self._sleep(until_s)
                else:
                    await wait(until_s - self._loop.time())

    async def _sleep(self, until_s: float) -> None:
        host = self.host
        self._dark = True
        async with host.hands:
            if host.gate is not None:
                host.counts["left in the evening"] += await host.gate.end()
                host.gate = None
        host.counts["night"] += 1
        await wait(until_s - self._loop.time())
        self._dark = False
        async with host.hands:
            await host.start_gate()

    def _plan(self, begin_s: float, end_s: float) -> list[tuple[float, str]]:
        """When which fault begins: spread over the busy parts of the day."""
        settings, first_s = self._settings, BOOT_NS / S
        busy = [at for at in range(int(begin_s) + 60, int(end_s) - 60) if settings.busy(at - first_s)]
        return [(busy[round(share * (len(busy) - 1))], name) for share, name in plan(settings.seed, settings.rounds, settings.only)]

    async def _come_to_rest(self) -> None:
        """Honest from now on, until it trades again and everything is known."""
        host = self.host
        host.venue.house.control.apply([])
        host.venue.face.parts.faults.clear()
        host.venue.face.parts.public.calm()
        host.venue.face.parts.private.calm()
        await self._trading()
        await wait(150)
        await self._trading()

    async def _end(self) -> Outcome:
        host = self.host
        await host.stop_engine()
        gate = host.gate
        assert gate is not None
        await wait(150)
        position = gate.state.ledger.positions.get((VENUE, "main", SYMBOL))
        unknown = [name for name in gate.state.orders.live if name not in {o.client_id for o in host.venue.true.open_orders()}]
        left = await gate.end()
        host.gate = None
        found = self._loop.unforeseen
        found += [f"orders that live in the gate alone: {unknown}"] if unknown else []
        return self._outcome(0 if position is None else position.lots, left, found)

    def _outcome(self, position_lots: int, left: int, found: list[str]) -> Outcome:
        host, venue = self.host, self.host.venue
        records: list[r.Record] = []
        recover(host.disk, host.config.journal, schema=r.SCHEMA, consume=lambda _lsn, payload: records.append(r.decode(payload)))
        return Outcome(
            settings=self._settings,
            report=judged(host, self._folder),
            happened=self._happened,
            counts=host.counts,
            struck=venue.face.parts.faults.happened,
            records=records,
            witness=[msgspec.json.decode(line) for line in venue.witness],
            truth=[msgspec.json.decode(line) for line in venue.truth],
            position_lots=position_lots,
            venue_position_lots=venue.face.desk.account.positions[SYMBOL].lots,
            left=left,
            open_at_venue=len(venue.true.open_orders()),
            said=host.said,
            found=found,
        )


def judged(host: Host, folder: Path) -> Report:
    """What the independent checker says of the journal, and of what the venue saw and did."""
    exported = folder / EXPORTED
    exported.mkdir()
    for path, inode in host.disk.files.items():
        if path.suffix == ".seg":
            (exported / path.name).write_bytes(inode.read(inode.size, 0))
    witness, truth = folder / "witness.jsonl", folder / "truth.jsonl"
    witness.write_bytes(b"".join(host.venue.witness))
    truth.write_bytes(b"".join(host.venue.truth))
    instrument = host.venue.instrument
    known = Instrument(tick=Decimal(str(instrument.quantum)), lot=Decimal(str(instrument.lot)), currency="USDT")
    return check(exported, witness=witness, truth=truth, facts=Facts({f"{VENUE}/{SYMBOL}": known}))
