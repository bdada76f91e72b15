"""One life of a gate, put together: every room with its ports, the order in which they begin, the duties while it lives, and an orderly end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.gate import core, life, snapshot
from interlock.gate import records as r
from interlock.gate.absence import rule_for
from interlock.gate.account_lock import AccountName, Lease, take_local
from interlock.gate.account_watch import AccountWatch, holds_nothing
from interlock.gate.arm_desk import ArmDesk
from interlock.gate.attendant import Attendant
from interlock.gate.ceremony import Situation
from interlock.gate.checker_beats import CheckerBeats
from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.clock_watch import ClockReading, skew_denial
from interlock.gate.commands import Commands
from interlock.gate.condition_watch import ConditionWatch, Seen, cancels_called_for, may_rest
from interlock.gate.connection import OrderConnection
from interlock.gate.coverage import uncovered
from interlock.gate.dead_man import DeadMan
from interlock.gate.desk import Desk
from interlock.gate.drill import drill_verdict
from interlock.gate.egress import Egress
from interlock.gate.exposure import Place, universe_of
from interlock.gate.journal import START, Disk, Journal, Options, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.lattice import Kill
from interlock.gate.limit_sheet import load, sheet_hash
from interlock.gate.market_watch import MarketWatch, hashes_of, listing_facts, listing_worth
from interlock.gate.money_watch import MoneyWatch
from interlock.gate.own_checks import VenueFinding, own_checks
from interlock.gate.parts import Guard, Life, Parts
from interlock.gate.proposals import Proposals
from interlock.gate.readings import Now, Readings, Setup
from interlock.gate.reconcile import Managed
from interlock.gate.reconciler import Reconciler, opening
from interlock.gate.references import nothing_seen
from interlock.gate.refusal import Refusal
from interlock.gate.report import report
from interlock.gate.resolver import Resolver
from interlock.gate.sockets import Sockets, only_user
from interlock.gate.state import GateState
from interlock.gate.venue_fake import FakeWire
from interlock.gate.venue_fake_reads import FakeReads
from interlock.gate.venue_fake_stream import FakeStream
from interlock.gate.venue_reads import Holding, Listing, ReadFailed
from interlock.run.gate_config import GateConfig, VenuePart
from interlock.sentinel.stop_word import StopWord

START_S = 10.0
"""How long the venue may take to answer at the start."""
READY_S = 15.0
"""How long readiness is waited for before the gate is offered all the same, disarmed and with its reasons."""
LEAVE_S = 10.0
PRIMED_NS = 3 * NS_PER_S
"""How long a gate that begins may be without what it watches before its interlocks trip."""
SENTINEL_SILENT_NS = NS_PER_S
CHECKER_BOUND_NS = NS_PER_S
"""Two of the checker's beats, which are half a second apart."""
SILENCE_NS = 2 * NS_PER_S
"""After this long without a word the private stream is asked whether it lives."""
SKEW_GOOD_FOR_NS = 10 * NS_PER_S
RECONCILE_EVERY_NS = 5 * NS_PER_S
DRILL_GOOD_FOR_NS = 24 * 3_600 * NS_PER_S
"""On loopback a drill is asked for once a day; elsewhere `drill_check` says how often."""


_NO_BINDING = r.Binding(
    incarnation="", host="", account="", endpoint=r.Endpoint.LOOPBACK, build="", config="", strategy="", limits="", symbols=()
)
_ROUNDING = {"USDT": Decimal("0.000001")}
"""By how much a venue's own rounding of realised profit may move a balance."""


@dataclass
class VenueDesk:
    """What keeps one account true. `gaps`: something may have been missed and is to be read again."""

    part: VenuePart
    reads: FakeReads
    watch: AccountWatch
    reconciler: Reconciler
    resolver: Resolver
    stream: FakeStream
    gaps: bool = True
    begun: bool = False
    reconcile_at_ns: int = 0

    def gap(self, _reason: str) -> None:
        """Something may have been missed on the stream."""
        self.gaps = True


class GateWorld:
    """`begin`, then `ready`, `failed`, `leave` and `close`, all in one event loop. Everything of the machine comes in by name."""

    def __init__(
        self,
        config: GateConfig,
        *,
        read_only: Refusal | None,
        disk: Disk,
        connect: Callable[[str, int, str], Awaitable[OrderConnection]],
        now: Callable[[], Now],
        clocks: Callable[[], ClockReading],
        nonce: Callable[[], str],
        ask_sentinel: Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]],
        log: Callable[[str], None],
        host: str,
        user: str,
        build: str,
        kernel_boot_id: str,
        pid: int,
    ) -> None:
        self._config = config
        self._read_only = read_only
        self._disk = disk
        self._connect = connect
        self._now = now
        self._clocks = clocks
        self._nonce = nonce
        self._ask_sentinel = ask_sentinel
        self._log = log
        self._sheet = load(config.limits)
        self._life = Life(
            incarnation=nonce(),
            kernel_boot_id=kernel_boot_id,
            host=host,
            user=user,
            endpoint=config.venues[0].endpoint,
            build=build,
            config=config.semantic_hash(),
            strategy=config.strategy_hash(),
            limits=sheet_hash(self._sheet),
            pid=pid,
        )
        self._accounts = {part.venue: part.account for part in config.venues}
        self._reads = {part.venue: self._reads_of(part) for part in config.venues}
        self._listings: dict[Place, Listing] = {}
        self._identity: dict[str, str] = {}
        """By venue: what the venue itself calls the account."""
        self._leases: dict[str, Lease] = {}
        self._beats = CheckerBeats(CHECKER_BOUND_NS)
        self._told: set[asyncio.Task[Any]] = set()
        self._asking: list[Mapping[str, Any]] = []
        self._heard: Mapping[str, Any] = {}
        """The last request that the sentinel has heard; the same is not asked again."""
        self._journal: Journal | None = None
        self._word: StopWord | None = None
        self._sockets: Sockets | None = None
        self._desks: dict[str, VenueDesk] = {}
        self._work: asyncio.Task[None] | None = None
        self._snapshot_lsn = 0
        self._primed = False
        self._begun_ns = 0
        self._listening = False
        """Whether the checker's silence counts: it starts beside the gate, and is given the time to do so."""
        self._parts: Parts | None = None

    @property
    def parts(self) -> Parts:
        """What the rooms share, from `begin` on."""
        assert self._parts is not None
        return self._parts

    # Beginning

    async def begin(self) -> None:
        """Everything up to the open sockets. Raises InterlockError for a start condition that does not hold."""
        config = self._config
        try:
            async with asyncio.timeout(START_S):
                for part in config.venues:
                    await self._meet(part)
        except TimeoutError as error:
            raise UsageError(f"venues: expected answers within {START_S:.0f} s, found none; see whether they run") from error
        missing = uncovered(
            self._sheet,
            [
                (venue, self._accounts[venue], symbol, strategy, listing.base, listing.quote)
                for (venue, symbol), listing in self._listings.items()
                for strategy in config.tags
            ],
        )
        if missing:
            raise UsageError(
                f"{config.limits}: expected limits for everything that may be traded, missing: {'; '.join(missing)}; write them down"
            )
        for part in config.venues:
            self._leases[part.venue] = take_local(
                AccountName(part.venue, self._identity[part.venue]), f"pid {os.getpid()} in {config.folder}", config.lock_folder
            )
        keeper, disk_error, kernels = self._open_journal()
        self._require_all_known(keeper.state)
        await self._await_the_sentinel()
        self._word = word = StopWord.create(config.stop_word, self._life.incarnation)
        keeper.attach(asyncio.get_running_loop())
        lsn = life.begin(keeper, self._life, self._accounts, kernels, disk_error=disk_error, now=self._now())
        await keeper.durable(lsn)
        if disk_error:
            keeper.journal.disk_error_settled()
        self._compose(keeper, word)
        self._sockets = Sockets(
            config.sockets,
            self._life.incarnation,
            only_user(config.users[0]),
            self.desk,
            on_refused=lambda said: self._log(f"refused: {said}"),
        )
        await self._sockets.__aenter__()
        self._employ()

    async def _meet(self, part: VenuePart) -> None:
        """Ask a venue who we are there and what it lists. Raises UsageError for what the configuration does not expect."""
        reads = self._reads[part.venue]
        try:
            key, listings = await reads.key(), await reads.listings()
        except ReadFailed as error:
            raise UsageError(f"venue {part.venue}: expected an answer, found: {error.reason}; see whether it runs") from error
        # A simulated venue is another one in every folder, though it calls its account the same.
        self._identity[part.venue] = f"{key.account}@{part.orders_port}"
        known = {listing.symbol: listing for listing in listings}
        for symbol in part.symbols:
            if symbol not in known:
                raise UsageError(
                    f"venue {part.venue}: expected {symbol} to be listed, found {', '.join(sorted(known))}; correct the limits"
                )
            self._listings[part.venue, symbol] = known[symbol]

    def _require_all_known(self, state: GateState) -> None:
        """Raise UsageError for orders or positions of an earlier life where this one would not look."""
        orders = state.orders
        places = {(orders.by_id[name].venue, orders.by_id[name].symbol) for name in (*orders.live, *orders.owing)}
        places |= {(venue, symbol) for (venue, _, symbol), position in state.ledger.positions.items() if position.lots}
        lost = sorted("/".join(place) for place in places if place not in self._listings)
        if lost:
            raise UsageError(
                f"{self._config.limits}: expected limits for what earlier lives left open ({', '.join(lost)}), found none; write them down, or "
                "bring it to its end with the limits that it was traded under"
            )

    def _open_journal(self) -> tuple[Keeper, bool, life.Kernels]:
        """Fold what earlier lives wrote. Raises DamagedState, Refused and UsageError."""
        loaded = snapshot.load(self._disk, self._config.journal, r.SCHEMA, self._sheet, self._log) if self._has_journal() else None
        state = GateState(self._sheet) if loaded is None else loaded.state
        self._snapshot_lsn = 0 if loaded is None else loaded.mark.lsn
        kernels = life.Kernels(state)

        def fold(_lsn: int, payload: bytes) -> None:
            record = r.decode(payload)
            state.apply(record)
            kernels.see(state, record)

        options = Options(
            segment_bytes=self._config.segment_bytes, batch_bytes=self._config.batch_bytes, reserve_bytes=self._config.reserve_bytes
        )
        self._journal, found = open_journal(
            self._disk,
            self._config.journal,
            schema=r.SCHEMA,
            incarnation=bytes.fromhex(self._life.incarnation),
            options=options,
            consume=fold,
            after=START if loaded is None else loaded.mark,
        )
        return Keeper(state, self._journal), found.disk_error, kernels

    def _has_journal(self) -> bool:
        return self._config.journal.is_dir()

    async def _await_the_sentinel(self) -> None:
        """A sweep that is under way would stop the life that begins in its middle; it is waited for, as long as it makes sense."""
        until_ns = self._now().boot_ns + 30 * NS_PER_S
        told = False
        while self._now().boot_ns < until_ns:
            status = await self._ask_sentinel({"verb": "status"})
            if not status.get("under_way"):
                return
            if not told:
                self._log("the sentinel is finishing a sweep; waiting for its end")
                told = True
            await asyncio.sleep(0.1)

    def _reads_of(self, part: VenuePart) -> FakeReads:
        return FakeReads(
            part.venue, part.account, part.orders_port, self._now, timeout_ns=part.read_ns, receive_window_ns=part.receive_window_ns
        )

    # Composing

    def _compose(self, keeper: Keeper, word: StopWord) -> None:
        config, now = self._config, self._now
        wires = {part.venue: FakeWire(part.receive_window_ns) for part in config.venues}
        setup = Setup(
            sheet=self._sheet,
            accounts=self._accounts,
            wires=wires,
            absence={part.venue: rule_for(part.venue, part.visibility_lag_ns, part.receive_window_ns) for part in config.venues},
            tags=config.tags,
        )
        universe = universe_of(listing_facts(venue, listing) for (venue, _), listing in self._listings.items())
        guard = Guard(word, self._leases)
        parts = Parts(
            life=self._life,
            setup=setup,
            keeper=keeper,
            readings=Readings(references=nothing_seen(universe), binding=_NO_BINDING),
            egresses={},
            word=word,
            guard=guard,
            clock=now,
            log=self._log,
            tell_sentinel=self._tell_sentinel,
            min_lots={place: listing.min_lots for place, listing in self._listings.items()},
        )
        self._parts = parts
        readings = parts.readings
        readings.binding = parts.binding(hashes_of(self._listings))
        readings.read_only = self._read_only is not None
        parts.egresses = {
            part.venue: Egress(
                part.venue,
                wires[part.venue],
                setup,
                keeper,
                readings,
                guard,
                partial(self._connect, part.venue, part.orders_port),
                now,
                answer_ns=part.answer_ns,
            )
            for part in config.venues
        }
        self._worths = {(venue, symbol): listing_worth(listing) for (venue, symbol), listing in self._listings.items()}
        self._market = MarketWatch(readings, self._sheet, self._listings, clock=now, take=parts.take)
        self._money = MoneyWatch(readings, self._sheet, self._worths, clock=now)
        self._conditions = ConditionWatch(
            readings,
            self._accounts,
            tuple(self._listings),
            {part.venue: part.receive_window_ns for part in config.venues},
            self._clocks(),
            sentinel_silent_ns=SENTINEL_SILENT_NS,
        )
        attended = [(part.venue, symbol) for part in config.venues if part.dead_man for symbol in part.symbols]
        self._dead_man = DeadMan(attended, readings, self._ask_sentinel, now, good_for_ns=20 * NS_PER_S)
        proposals = Proposals(parts, self._dead_man.assure)
        commands = Commands(parts, proposals)
        sentinel = str(config.sockets / "sentinel.sock")
        arm_desk = ArmDesk(parts, proposals, self._situation, sentinel, self._life.build)
        self._attendant = Attendant(parts, self._called_for)
        self.desk = Desk(parts, proposals, commands, arm_desk, self._report, self._attendant.enforce)
        self._managed = Managed(tags=tuple(config.tags.values()), worths=self._worths, rounding=_ROUNDING)
        self._desks = {part.venue: self._venue_desk(part, keeper) for part in config.venues}

    def _called_for(self) -> tuple[r.Record, ...]:
        """The cancels that the state calls for, and the time: nothing that raises risk rests longer than its grant lives."""
        state, now = self.parts.keeper.state, self._now()
        universe = self.parts.readings.references.universe
        return cancels_called_for(state, now, universe=universe, leave=lambda symbol: may_rest(state, symbol, now.boot_ns))

    def _venue_desk(self, part: VenuePart, keeper: Keeper) -> VenueDesk:
        """What keeps one account true."""
        reads = self._reads[part.venue]
        watch = AccountWatch(keeper, part.venue, part.account, tuple(self._config.tags.values()), self._now)
        reconciler = Reconciler(keeper, watch, reads, self._managed, self._now)
        resolver = Resolver(
            keeper,
            watch,
            reads,
            self.parts.setup.absence[part.venue],
            self._now,
            skew_hi_ns=partial(self._skew_hi_ns, part),
            aftermath=lambda: reconciler.aftermath,
            answer_ns=part.answer_ns,
        )
        stream = FakeStream(
            part.venue,
            part.account,
            part.stream_port,
            self._now,
            timeout_ns=part.read_ns,
            receive_window_ns=part.receive_window_ns,
            silence_ns=SILENCE_NS,
        )
        return VenueDesk(part, reads, watch, reconciler, resolver, stream)

    def _skew_hi_ns(self, part: VenuePart) -> int | None:
        """The far end of the interval that the venue's clock less ours lies in, 0 at least; None while it is not known."""
        sample = self._market.skews.get(part.venue)
        if sample is None or not 0 <= self._now().boot_ns - sample.boot_ns <= SKEW_GOOD_FOR_NS:
            return None
        return max(0, sample.interval_ns[1])

    # Duties

    def _employ(self) -> None:
        self._begun_ns = self._now().boot_ns
        employ = self._attendant.employ
        for desk in self._desks.values():
            employ(f"markets of {desk.part.venue}", 0.02, partial(self._markets, desk))
            employ(f"stream of {desk.part.venue}", 0.05, partial(self._follow, desk))
            employ(f"account of {desk.part.venue}", 0.05, partial(self._account, desk))
            employ(f"orders of {desk.part.venue}", 0.1, partial(self._orders, desk))
            employ(f"lines of {desk.part.venue}", 0.5, partial(self._lines, desk))
        employ("conditions", 0.05, self._look_around)
        employ("disk", 5.0, self._look_at_disk)
        employ("snapshots", 1.0, self._keep_snapshot)
        employ("denials", 0.5, self._attendant.tell_denials)
        employ("dead-man", 1.0, self._dead_man.refresh)
        if self._config.checker_fd >= 0:
            os.set_blocking(self._config.checker_fd, False)
            asyncio.get_running_loop().add_reader(self._config.checker_fd, self._hear_checker)
        self._work = asyncio.get_running_loop().create_task(self._attendant.run())

    async def _markets(self, desk: VenueDesk) -> None:
        """Prices, rates and the venue's clock, then what the account is worth at them."""
        where = (desk.part.venue, desk.part.account)
        if not self._market.due(desk.part.venue, self._now().boot_ns):
            return
        found = await self._market.round(desk.reads)
        for _, error in found.failures:
            self._conditions.refused(*where, error, self._now().boot_ns)
        try:
            await self._money.round(desk.reads)
        except ReadFailed as error:
            self._conditions.refused(*where, error, self._now().boot_ns)
        self._take_in_order(self._money.turn(self.parts.keeper.state, self._now()))

    async def _follow(self, desk: VenueDesk) -> None:
        if desk.begun:
            await desk.stream.run(desk.watch.take, desk.gap)

    async def _account(self, desk: VenueDesk) -> None:
        """Take the account over once, catch up after a gap, and reconcile: at once when there is a reason, else now and then."""
        now_ns = self._now().boot_ns
        try:
            if not desk.begun:
                desk.begun = await self._take_over(desk)
            if desk.begun and desk.gaps:
                desk.gaps = False
                await desk.watch.catch_up(desk.reads)
                desk.reconcile_at_ns = 0
            if desk.begun and now_ns >= desk.reconcile_at_ns:
                desk.reconcile_at_ns = now_ns + RECONCILE_EVERY_NS
                await desk.reconciler.round()
        except ReadFailed as error:
            self._conditions.refused(desk.part.venue, desk.part.account, error, self._now().boot_ns)
            desk.gaps = True
            await asyncio.sleep(max(error.retry_after_ns, 200 * NS_PER_MS) / NS_PER_S)

    async def _take_over(self, desk: VenueDesk) -> bool:
        """Begin with the account; whether that is done. A journal that knows nothing of it takes it over as it is found.

        On loopback that is signed by whoever started the gate. Elsewhere nothing is: the difference is for a person to adopt, by name.
        """
        keeper, part = self.parts.keeper, desk.part
        if not holds_nothing(keeper.state.ledger, part.venue, part.account):
            return True
        await desk.watch.begin(desk.reads)
        if part.endpoint is not r.Endpoint.LOOPBACK:
            return True
        first, held = await desk.reconciler.first_cut(), await desk.reads.holdings()
        if first is None:
            return False
        records = opening(
            keeper.state.ledger,
            first,
            self._managed,
            entry_ticks={one.symbol: self._entry_ticks(part.venue, one) for one in held.positions},
            actor=f"{self._life.user}, by starting on loopback",
            nonce=self._nonce(),
            boot_ns=self._now().boot_ns,
        )
        if records:
            keeper.take(*records, now=self._now())
        return True

    def _entry_ticks(self, venue: str, holding: Holding) -> int:
        """The price at which a position that was there before is taken over: the venue's own average, to the nearest tick."""
        listing = self._listings.get((venue, holding.symbol))
        return 0 if listing is None else int((holding.entry_price / listing.tick).to_integral_value())

    async def _orders(self, desk: VenueDesk) -> None:
        """Find out about orders whose fate is not known."""
        try:
            await desk.resolver.round()
        except ReadFailed as error:
            self._conditions.refused(desk.part.venue, desk.part.account, error, self._now().boot_ns)
            await asyncio.sleep(max(error.retry_after_ns, 200 * NS_PER_MS) / NS_PER_S)

    async def _lines(self, desk: VenueDesk) -> None:
        """Keep the line for cancels open, also when nothing is to be cancelled yet."""
        with suppress(OSError, TimeoutError):  # that it is lost is a condition, which is looked at
            await self.parts.egresses[desk.part.venue].restore()

    async def _look_around(self) -> None:
        """Every condition that holds trading back."""
        parts, reading = self.parts, self._clocks()
        seen = Seen(
            clock=reading,
            feeds=self._market.problems(reading.boot_ns),
            skews=self._market.skews,
            connected_since_boot_ns={
                (desk.part.venue, desk.part.account): desk.stream.connected_since_boot_ns for desk in self._desks.values()
            },
            can_cancel={venue: egress.can_cancel for venue, egress in parts.egresses.items()},
            sentinel_beat=parts.word.sentinel_beat,
        )
        if self._primed or self._all_seen(seen):
            self._take_in_order(self._conditions.turn(parts.keeper.state.lattice, seen))
        if self._listening:
            self._take_in_order(self._conditions.checker(parts.keeper.state, self._beats, reading.boot_ns))
            parts.readings.checker_alive = self._beats.alive(reading.boot_ns)

    def _all_seen(self, seen: Seen) -> bool:
        """Whether everything has been heard of once, or was given the time for it; until then the halt of the boot stands and a trip says nothing."""
        self._conditions.sentinel(self.parts.keeper.state.lattice, seen.sentinel_beat, seen.clock.boot_ns)
        heard = (
            not any(seen.feeds.values())
            and set(self._accounts) <= set(seen.skews)
            and None not in seen.connected_since_boot_ns.values()
            and all(seen.can_cancel.values())
            and self.parts.readings.sentinel_alive
        )
        self._primed = heard or seen.clock.boot_ns >= self._begun_ns + PRIMED_NS
        return self._primed

    async def _look_at_disk(self) -> None:
        parts = self.parts
        room = await asyncio.to_thread(parts.keeper.journal.room)
        if not room.spare_ready:
            parts.keeper.journal.prepare()
        self._take_in_order(self._conditions.disk(parts.keeper.state.lattice, room, self._now().boot_ns))

    async def _keep_snapshot(self) -> None:
        """Keep the state beside the journal now and then, so that the next boot reads little; losing one costs time and nothing else."""
        keeper = self.parts.keeper
        mark = keeper.journal.durable_mark
        if keeper.unwritten or not snapshot.due(
            keeper.state, last_lsn=keeper.journal.last_lsn, durable_lsn=mark.lsn, snapshot_lsn=self._snapshot_lsn
        ):
            return
        try:
            file = snapshot.snapshot_file(keeper.state, mark, r.SCHEMA)
            self._snapshot_lsn = mark.lsn
            await asyncio.to_thread(keeper.journal.write_snapshot, file.mark, file.state_hash, file.blob)
        except (OSError, OverflowError) as error:
            self._log(f"no snapshot: {error}")

    def _take_in_order(self, found: tuple[r.Record, ...]) -> None:
        for record in found:
            if not self.parts.take(record):
                return

    def _hear_checker(self) -> None:
        try:
            data = os.read(self._config.checker_fd, 1 << 16)
        except BlockingIOError:
            return
        self._beats.feed(data, self._now().boot_ns)
        if not data:
            asyncio.get_running_loop().remove_reader(self._config.checker_fd)

    def _tell_sentinel(self, verb: str, client_ids: Mapping[str, tuple[str, ...]]) -> None:
        request = {"verb": verb, "source": "gate", "client_ids": {venue: list(ids) for venue, ids in client_ids.items()}}
        if request in self._asking or request == self._heard:
            return
        self._asking.append(request)
        task = asyncio.get_running_loop().create_task(self._ask(request))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def _ask(self, request: Mapping[str, Any]) -> None:
        try:
            told = await self._ask_sentinel(request)
        finally:
            self._asking.remove(request)
        if told:
            self._heard = request
        else:
            self._log(f"the sentinel did not answer {request['verb']!r}")

    # What arming looks at

    async def _situation(self) -> Situation:
        """Everything that could forbid arming, read afresh."""
        findings = dict(await asyncio.gather(*(self._finding(desk) for desk in self._desks.values())))
        parts = self.parts
        checks = own_checks(parts, findings, disk_problem=self._conditions.disk_problem, drill=self._drill_check())
        state, now = parts.keeper.state, parts.look()
        return Situation(
            binding=parts.readings.binding,
            endpoints=self._config.endpoints,
            checks=checks,
            evidence=None,
            minimums=self._market.minimums(now.boot_ns),
            read_only=parts.readings.read_only,
            read_only_said=self._read_only,
            killed=state.lattice.kill is not Kill.NONE,
            state_version=state.lattice.version,
            used_nonces=state.lattice.nonces | state.arming.used,
            boot_ns=now.boot_ns,
            wall_ns=now.wall_ns,
        )

    async def _finding(self, desk: VenueDesk) -> tuple[str, VenueFinding]:
        part = desk.part
        try:
            key, sample = await asyncio.gather(desk.reads.key(), desk.reads.clock())
        except ReadFailed as error:
            return part.venue, VenueFinding(key=None, skew=None, problem=error.reason)
        now_ns = self._now().boot_ns
        skew = skew_denial(sample, receive_window_ns=part.receive_window_ns, now_boot_ns=now_ns, max_age_ns=SKEW_GOOD_FOR_NS)
        return part.venue, VenueFinding(key=key, skew=skew)

    def _drill_check(self) -> Check:
        missing = self._undrilled()
        now_ns = self._now().boot_ns
        if missing:
            return Check(OwnCheck.DRILL.value, Verdict.UNKNOWN, f"no kill drill passed within a day at {', '.join(missing)}", now_ns)
        return Check(OwnCheck.DRILL.value, Verdict.PASS, "passed within a day", now_ns)

    def _undrilled(self) -> list[str]:
        """Venues where no kill drill with an order has passed within a day, with this account and build."""
        now = self._now()
        found = []
        for part in self._config.venues:
            newest = next(
                (one for one in self.parts.keeper.state.drills.newest if (one.venue, one.kind) == (part.venue, r.DrillKind.ORDER.value)),
                None,
            )
            good = (
                newest is not None
                and drill_verdict(newest) is Verdict.PASS
                and (newest.key, newest.sentinel_build) == (part.account, self._life.build)
                and 0 <= now.wall_ns - newest.wall_ns <= DRILL_GOOD_FOR_NS
            )
            if not good:
                found.append(part.venue)
        return found

    def _report(self) -> dict[str, Any]:
        undrilled = set(self._undrilled())
        symbols = tuple(f"{part.venue}/{part.symbols[0]}" for part in self._config.venues if part.venue in undrilled)
        unmarked = tuple(f"{what}: {', '.join(names)}" for what, names in sorted(self._money.missing.items()))
        return report(self.parts, self._why_not(), symbols, unmarked)

    def _why_not(self) -> tuple[Refusal, ...]:
        """What stands against arming, as far as it is known without asking the venue anew."""
        state = self.parts.keeper.state
        found = []
        if state.lattice.kill is not Kill.NONE:
            found.append(Refusal("killed", "KILL in this process life; start the gate anew"))
        if self.parts.readings.read_only is not False:
            found.append(self._read_only or Refusal("read_only", "orders are forbidden"))
        for part in self._config.venues:
            if (part.venue, part.account) not in state.lattice.reconciled:
                found.append(Refusal("not_reconciled", f"{part.venue}/{part.account} is not explained in this process life"))
        for name, problem in sorted(self._market.problems(self._now().boot_ns).items()):
            if problem:
                found.append(Refusal("market", f"{name}: {problem}"))
        if self.parts.readings.sentinel_alive is not True:
            found.append(Refusal("sentinel", "the sentinel has not been seen to look"))
        if self.parts.readings.checker_alive is not True:
            found.append(Refusal("checker", "the checker has not been heard, or told of a violation"))
        found += [Refusal("undrilled", f"{venue}: no kill drill passed within a day") for venue in self._undrilled()]
        return tuple(found)

    # Ready, and the end

    async def ready(self) -> None:
        """Wait until all that needs no person is in order, or for `READY_S`; what is not is in the status."""
        until_ns = self._now().boot_ns + round(READY_S * NS_PER_S)
        while self._now().boot_ns < until_ns:
            if self._beats.first_boot_ns is not None:
                self._listening = True
            left = {one.rule for one in self._why_not() if not one.rule.startswith("read_only")} - {"undrilled"}
            if not left and self.parts.keeper.state.losses.marked_boot_ns is not None:
                break
            await asyncio.sleep(0.02)
        self._listening = True

    async def failed(self) -> None:
        """Returns when a part that must not end has ended; raises what ended it."""
        assert self._sockets is not None
        assert self._sockets.failed is not None
        assert self._work is not None
        sockets = self._sockets.failed
        await asyncio.wait({self._work, sockets}, return_when=asyncio.FIRST_COMPLETED)
        for task in (self._work, sockets):
            if task.done():
                task.result()

    def paths(self) -> dict[str, str]:
        """Where everything is."""
        found = {role: str(self._config.sockets / f"{role}.sock") for role in ("intent", "read", "lower", "raise")}
        return {**found, "journal": str(self._config.journal), "witness": self._config.witness}

    async def leave(self) -> int:
        """End in order: take nothing new, cancel every order, wait for the venue to say so; how many orders are not known to be over."""
        parts = self.parts
        state = parts.keeper.state
        parts.leaving = True
        now = parts.clock()
        if state.live is not None and not state.arming.ended:
            parts.take(r.Disarmed(boot_ns=now.boot_ns, reason="the gate ends", actor="gate"))
        parts.take(*core.want_cancels(state, (), "the gate ends", "gate", now))
        until_ns = now.boot_ns + round(LEAVE_S * NS_PER_S)
        while (state.orders.live or state.orders.owing) and self._now().boot_ns < until_ns:
            parts.send_cancels()
            await asyncio.sleep(0.01)
        return len(state.orders.live)

    async def close(self) -> None:
        """Let go of everything; also of a world that has not begun, or not wholly."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        for task in tuple(self._told):
            task.cancel()
        if self._sockets is not None:
            await self._sockets.__aexit__()
        if self._config.checker_fd >= 0:
            asyncio.get_running_loop().remove_reader(self._config.checker_fd)
        if self._parts is not None:
            for egress in self._parts.egresses.values():
                egress.close()
        for reads in self._reads.values():
            reads.close()
        if self._journal is not None:
            self._journal.close()
        for lease in self._leases.values():
            lease.release()
