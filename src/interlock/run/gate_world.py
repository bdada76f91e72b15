"""One life of a gate, from top to bottom: how it begins, which duties it has, when it is ready, and an orderly end.

It meets the venues (`gate_meeting`), opens the journal (`gate_journal`), waits for the sentinel (`gate_sentinel`), puts its rooms together
(`gate_rooms`) and lets them work: a desk for each venue's account (`gate_venue`), one look at everything else (`gate_watch`), one at what forbids
arming (`gate_arming`).
"""

from __future__ import annotations

import asyncio
from functools import partial

from interlock.domain.clock import NS_PER_S
from interlock.gate import core, life
from interlock.gate import records as r
from interlock.gate.account_lock import Lease
from interlock.gate.desk import Desk
from interlock.gate.journal import Journal
from interlock.gate.keeper import Keeper
from interlock.gate.limit_sheet import load, sheet_hash
from interlock.gate.parts import Life, Parts
from interlock.gate.refusal import Refusal
from interlock.gate.sockets import Sockets, only_user
from interlock.gate.tightening import looser_than_before
from interlock.run.gate_config import GateConfig
from interlock.run.gate_journal import Snapshots, open_and_fold, require_all_known
from interlock.run.gate_meeting import hold_account, meet, protect, require_covered, require_sweepable
from interlock.run.gate_ports import Ports
from interlock.run.gate_rooms import Rooms, compose, share
from interlock.run.gate_sentinel import SentinelLine, sweep_is_over
from interlock.sentinel.stop_word import StopWord

READY_S, READY_AT_VENUES_S = 15.0, 60.0
"""How long readiness is waited for before the gate is offered all the same, disarmed and with its reasons; the second where limits spread reads."""
LEAVE_S = 10.0
_FOR_A_PERSON = frozenset({"undrilled", "evidence_missing"})
"""What stands against arming and does not go away by waiting."""


class GateWorld:
    """`begin`, then `ready`, `failed`, `leave` and `close`, in one event loop. `read_only` is why orders are forbidden, None where they are not."""

    def __init__(
        self,
        config: GateConfig,
        ports: Ports,
        *,
        read_only: Refusal | None,
        host: str,
        user: str,
        build: str,
        kernel_boot_id: str,
        pid: int,
    ) -> None:
        self._config = config
        self._read_only = read_only
        self._ports = ports
        self._sheet = load(config.limits)
        self._life = Life(
            incarnation=ports.nonce(),
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
        self._kits = {part.venue: ports.kit(part, ports.now, ports.nonce, self._symbol_of) for part in config.venues}
        self._leases: dict[str, Lease] = {}
        self._sentinel = SentinelLine(ports.ask_sentinel, ports.log)
        self._journal: Journal | None = None
        self._sockets: Sockets | None = None
        self._work: asyncio.Task[None] | None = None
        self._parts: Parts | None = None
        self._rooms: Rooms | None = None

    @property
    def journal(self) -> Journal | None:
        """The journal, from when it was opened; None before."""
        return self._journal

    @property
    def parts(self) -> Parts:
        """What the rooms share, from `begin` on."""
        assert self._parts is not None
        return self._parts

    @property
    def rooms(self) -> Rooms:
        """The rooms, from `begin` on."""
        assert self._rooms is not None
        return self._rooms

    @property
    def desk(self) -> Desk:
        """What answers whoever speaks to the gate, from `begin` on."""
        return self.rooms.desk

    def _symbol_of(self, client_id: str) -> str | None:
        order = None if self._parts is None else self._parts.keeper.state.orders.by_id.get(client_id)
        return None if order is None else order.symbol

    # The beginning

    async def begin(self) -> None:
        """Everything up to the open sockets. Raises InterlockError for a start condition that does not hold."""
        config, ports = self._config, self._ports
        met = await meet(config, self._sheet, self._kits)
        require_covered(config, self._sheet, met.listings)
        require_sweepable(self._sheet, self._kits)
        for venue, identity in met.identities.items():
            self._leases[venue] = hold_account(config, venue, identity)
        await protect(self._kits)
        opened = open_and_fold(config, ports.disk, self._sheet, self._life.incarnation, ports.log)
        self._journal = opened.journal
        keeper = Keeper(opened.state, opened.journal)
        require_all_known(config, opened.state, met.listings)
        await sweep_is_over(ports.ask_sentinel, ports.now, ports.log)
        word = StopWord.create(config.stop_word, self._life.incarnation)
        await self._begin_life(keeper, opened.kernels, disk_error=opened.disk_error)
        for said in looser_than_before(keeper.state.limits.forgone, keeper.state.sheet):
            ports.log(f"limits: looser than what an earlier life was tightened to, {said}; look at them before you arm")
        self._parts = share(
            config,
            ports,
            life=self._life,
            listings=met.listings,
            leases=self._leases,
            keeper=keeper,
            word=word,
            sentinel=self._sentinel,
            kits=self._kits,
            read_only=self._read_only,
        )
        self._rooms = compose(config, ports, self._parts, met=met, kits=self._kits, read_only=self._read_only)
        await self._open_sockets()
        self._employ(self._rooms, Snapshots(keeper, opened.snapshot_lsn, ports.log))

    async def _begin_life(self, keeper: Keeper, kernels: life.Kernels, *, disk_error: bool) -> None:
        """The first records of this life, durable before anything else happens."""
        keeper.attach(asyncio.get_running_loop())
        accounts = {part.venue: part.account for part in self._config.venues}
        lsn = life.begin(keeper, self._life, accounts, kernels, disk_error=disk_error, now=self._ports.now())
        await keeper.durable(lsn)
        if disk_error:
            keeper.journal.disk_error_settled()

    async def _open_sockets(self) -> None:
        self._sockets = Sockets(
            self._config.sockets,
            self._life.incarnation,
            only_user(self._config.users[0]),
            self.desk,
            on_refused=lambda said: self._ports.log(f"refused: {said}"),
            listen=self._ports.listen,
            strategies=frozenset(self._config.strategies.values()),
        )
        await self._sockets.__aenter__()

    # The duties

    def _employ(self, rooms: Rooms, snapshots: Snapshots) -> None:
        """Every duty, and how long it rests between, in seconds."""
        employ = rooms.attendant.employ
        for venue, desk in rooms.desks.items():
            employ(f"markets of {venue}", 0.02, desk.markets)
            employ(f"rules of {venue}", 0.5, desk.rules)
            employ(f"holdings of {venue}", 0.05, desk.holdings)
            employ(f"fees of {venue}", 1.0, desk.fees)
            employ(f"prices of {venue}", 0.1, desk.hear_prices)
            employ(f"public stream of {venue}", 0.5, desk.follow_prices)
            employ(f"stream of {venue}", 0.05, desk.stream)
            employ(f"account of {venue}", 0.05, desk.account)
            employ(f"orders of {venue}", 0.1, desk.orders)
            employ(f"lines of {venue}", 0.5, desk.lines)
        employ("conditions", 0.05, rooms.watch.look_around, vital=True)
        employ("warnings", 1.0, rooms.watch.warn_of_expiry)
        employ("disk", 5.0, rooms.watch.look_at_disk)
        employ("snapshots", 1.0, snapshots.keep)
        employ("denials", 0.5, rooms.attendant.tell_denials)
        employ("dead-man", 1.0, rooms.dead_man.refresh, vital=True)
        for venue, guard in rooms.guards.items():
            employ(f"protection at {venue}", 0.05, guard.look)
            employ(f"protection told by {venue}", 1.0, guard.read_back)
        employ("engine", 0.25, partial(rooms.proposals.cancel_if_gone, rooms.following), vital=True)
        rooms.watch.begin()
        self._work = asyncio.get_running_loop().create_task(rooms.attendant.run())

    # Ready

    async def ready(self) -> None:
        """Wait until all that needs no person is in order, or for `READY_S` (`READY_AT_VENUES_S`); what is not is in the status."""
        rooms, now = self.rooms, self._ports.now
        ready_s = READY_AT_VENUES_S if any(part.places is not None for part in self._config.venues) else READY_S
        until_ns = now().boot_ns + round(ready_s * NS_PER_S)
        while now().boot_ns < until_ns:
            if rooms.watch.checker_heard:
                rooms.watch.expect_checker()
            left = {one.rule for one in rooms.arming.why_not() if not one.rule.startswith("read_only")} - _FOR_A_PERSON
            if not left and self.parts.keeper.state.losses.marked_boot_ns is not None:
                break
            await asyncio.sleep(0.02)
        rooms.watch.expect_checker()

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

    # The end

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
        while (state.orders.live or state.orders.owing) and parts.clock().boot_ns < until_ns:
            parts.send_cancels()
            await asyncio.sleep(0.01)
        return len(state.orders.live)

    async def close(self) -> None:
        """Let go of everything; also of a world that has not begun, or not wholly. Raises JournalFailed when the disk refuses what was left to
        write; everything else is let go of all the same."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        self._sentinel.close()
        if self._sockets is not None:
            await self._sockets.__aexit__()
        if self._rooms is not None:
            self._rooms.watch.end()
        if self._parts is not None:
            for egress in self._parts.egresses.values():
                egress.close()
        for kit in self._kits.values():
            kit.reads.close()
            if kit.protection is not None:
                kit.protection.close()
        try:
            if self._journal is not None:
                self._journal.close()
        finally:
            for lease in self._leases.values():
                lease.release()
