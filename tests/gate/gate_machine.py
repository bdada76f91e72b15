"""A world for the gate: one venue that lies, one host that crashes, a person and a strategy. What happens in it is up to whoever calls its methods.

Every method is one thing that can happen, and ends with everything that can move having moved. Time stands still between them. `check` says
what must hold at any moment; `quiet` lets everything come to rest, and `finish` gives the journal and the venue's witness to the independent checker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import tightening
from tests.gate.gate_account import SKEW_NS
from tests.gate.gate_ground import Cable, ProcessDies, SteppedDisk, asked, seen_bytes
from tests.gate.gate_life import ACCOUNT, FOLDER, MOST_LOTS, MS, STRATEGY, SYMBOL, TAG, WINDOW_NS, Life, S, sheet_for, with_level
from tests.gate.gate_watch import Watch

from interlock.domain.errors import InterlockError
from interlock.domain.ids import parse_client_id
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.core import DENY, PERMIT
from interlock.gate.frames import Decided, Decision, Frame, Proposal
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.readings import Now
from interlock.gate.state import GateState
from interlock.gate.venue_reads import fingerprint_of
from interlock.gate.verbs import Cause, latch_for
from interlock.sentinel.sweep import Do, Scope, Sweep, Task
from interlock.simulate.fake_venue.client import VenueClient
from interlock.simulate.fake_venue.control import AnyCommand, ArmFault, ClearFaults, FillOrder, ForeignOrder, Reply, ReverseFill, SetBook
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.matching import Order as TrueOrder
from interlock.simulate.fake_venue.memory import MemoryNetwork
from interlock.trace.check import Report, check
from interlock.trace.facts import Facts, Instrument
from interlock.venues.cancel_only import OpenOrder
from interlock.venues.fake import wire

BID = 100_000
"""A lot is worth 10 USD."""
HOUR_NS = 3_600 * S


class World:
    """One venue, one host, at most one process life at a time. `folder` is an empty folder of the real disk for the stop word and for `finish`."""

    def __init__(self, folder: Path, venue: str = "bybit", sheet: LimitSheet | None = None) -> None:
        self.venue = venue
        self.folder = folder
        self.network = MemoryNetwork((venue,), start_ns=aw.WALL_NS)
        self.disk = SteppedDisk()
        self.sheet = sheet_for(venue) if sheet is None else sheet
        self.host_boot = "kernel-1"
        self.connects = True
        self.life: Life | None = None
        self.watch = Watch(self.sheet, FOLDER)
        self.lives = 0
        self.made_up: set[str] = set()
        self.out_held = self.back_held = False
        self.cables: list[Cable] = []
        self.sweep: Sweep | None = None
        self.book = (BID, BID + 1)
        self.kernel_takes: int | None = None
        self.fate: tuple[int | None, bool] = (None, False)
        self._nonces = 0
        self._boot_base = 5_000 * S
        self._slept_ns = 0
        self._sequence = 0
        self._sentinel: VenueClient | None = None
        self.command(SetBook(venue=venue, symbol=SYMBOL, bid_ticks=BID, ask_ticks=BID + 1))

    # What a life sees of the host

    def now(self) -> Now:
        return Now(self._boot_base + self.network.clock.monotonic_ns(), self.network.clock.now_ns())

    def mono_ns(self) -> int:
        return self.network.clock.monotonic_ns() - self._slept_ns

    def nonce(self) -> str:
        self._nonces += 1
        return f"{self._nonces:032x}"

    def took(self, payload: bytes) -> None:
        self.watch.took(payload)

    def recovered(self, payloads: list[bytes], state: GateState) -> None:
        self.watch.recovered(payloads, state)

    def leaves(self, data: bytes, taken: bytes) -> None:
        self.watch.leaves(data, taken, self.disk, self.now().boot_ns)

    # How everything moves

    @property
    def alive(self) -> Life:
        assert self.life is not None, "no gate runs"
        return self.life

    def move(self) -> None:
        """Let everything happen that can happen without time going on; a process that came to its end is gone afterwards."""
        idle = 0
        while idle < 3:
            if self.life is not None:
                self.cables += [cable for cable in self.life.cables if cable not in self.cables]
            moved = False
            if not self.out_held:
                for cable in self.cables:
                    moved |= cable.carry_out()
            self.network.advance(0)
            if not self.back_held:
                for cable in self.cables:
                    moved |= cable.carry_back()
            self.cables = [cable for cable in self.cables if not cable.cut]
            if self.life is not None:
                with suppress(ProcessDies):
                    self.life.turn()
                self._collect()
                if self.life.fuse.blown or self.disk.dead:
                    self._fell()
            idle = 0 if moved else idle + 1

    def _collect(self) -> None:
        """Answers that have come: one decision for each proposal, and nothing else."""
        life = self.alive
        for task, count in life.answers:
            if not task.done() or task.cancelled():
                continue
            error = task.exception()
            if error is None:
                said = task.result()
                if not isinstance(said, Decided) or [one.result in (PERMIT, DENY) for one in said.decisions] != [True] * count:
                    self.watch.broken.append(f"S27: {count} proposals were answered with {said}")
            elif not isinstance(error, ProcessDies):
                life.unforeseen.append(f"a proposal raised {error!r}")
        life.answers = [(task, count) for task, count in life.answers if not task.done()]

    def _do(self, do: Any) -> Any:
        """Something that the process does; None if it dies of it."""
        try:
            return do()
        except ProcessDies:
            return None
        finally:
            self.move()

    # The process

    def boot(self, *, dies_in: int = -1, fuse: int = -1, power: int | None = None) -> bool:
        """Start the gate; whether it runs. It may die at its `dies_in`-th step on the disk or at the `fuse`-th look at a clock."""
        assert self.life is None, "a gate runs already"
        self.lives += 1
        self.disk.dies_in = dies_in
        self.fate = (power, False)
        life = self.life = Life(self, self.lives)
        life.fuse.left = fuse
        try:
            life.begin()
        except (ProcessDies, InterlockError) as error:
            if not (self.disk.dead or isinstance(error, JournalFailed | JournalFull)):
                self.watch.broken.append(f"L9: a boot was refused without a fault: {error!r}")
            self.watch.reached["crash during recovery"] += 1
            self._fell()
            return False
        self.disk.dies_in = -1
        life.fuse.left = -1
        self.watch.begun(life.state, life.settled_twice)
        self.read()
        self.reconcile()
        if self.lives == 1:
            self.wait(S)  # what happens after an account was taken over has later times than that
        return self.life is not None

    def crash(self, *, power: int | None = None, lose: bool = False) -> None:
        """The process ends now. With `power` the machine does too: a seed for what becomes of what was not synced, -1 for all of it lost.

        With `lose` what is under way to the venue never arrives.
        """
        self.fate = (power, lose)
        self._fell()

    def light(self, fuse: int, *, power: int | None = None, lose: bool = False) -> None:
        """The process will end when it has looked at its clock, stop word or lease so many times more."""
        self.fate = (power, lose)
        self.alive.fuse.left = fuse

    def _fell(self) -> None:
        life = self.alive
        power, lose = self.fate
        self.watch.fell()
        left = self.disk.after_death(None if power is None else random.Random(power).randrange if power >= 0 else lambda _count: 0)
        journal = life.opened
        if journal is not None:
            self.watch.acknowledged = journal.durable_lsn if power is not None else max(journal.durable_lsn, journal.written_lsn)
        self.cables += [cable for cable in life.cables if cable not in self.cables]
        if lose:
            for cable in self.cables:
                cable.lose()
        self.life = None
        life.die()
        self.watch.broken += life.unforeseen
        self.disk = left
        self.out_held = self.back_held = False
        if power is not None:
            self.host_boot = f"kernel-{self.lives + 1}"
            self._boot_base, self._slept_ns = 60 * S - self.network.clock.monotonic_ns(), self.network.clock.monotonic_ns()
        self.move()

    def shut_down(self) -> None:
        """The process ends in order."""
        life = self.alive
        self.disk.release()
        self.move()
        if self.life is None:
            return
        if life.journal.failure is None:
            try:
                life.end()
            except (JournalFailed, ProcessDies):
                self.crash()
                return
            self.life = None
            self.watch.broken += life.unforeseen
            self.watch.acknowledged = len(self.watch.payloads)
            self.disk = self.disk.after_death(None)
            self.move()
        else:
            self.crash()

    def second_gate(self) -> str:
        """Another process tries to become the writer of the same journal; how it was refused."""
        other = Life(self, 1_000_000 + self.lives)
        try:
            other.begin()
        except InterlockError as error:
            return str(error)
        finally:
            other.close()
        self.watch.broken.append("S28: two processes write one journal")
        return ""

    # The person

    def arm(
        self, lifetime_ns: int = HOUR_NS, mandate_ns: int = HOUR_NS, cap: str = "100", *, seen: int | None = None, typed: str = ""
    ) -> str:
        """The ceremony; the rule that refused it, or an empty text."""
        return str(self._do(lambda: self.alive.arm(lifetime_ns, mandate_ns, cap, seen=seen, typed=typed)))

    def resume(self, level: r.Level = r.Level.RUN, *, seen: int | None = None) -> str:
        return str(self._do(lambda: self.alive.resume(level, seen=seen)))

    def clear_latches(self) -> None:
        """A person looks at every latch and clears it."""
        for hold in self.alive.state.lattice.latches:
            if self.life is not None:
                self._do(lambda hold=hold: self.alive.clear(hold))

    def ready(self, cap: str = "100", lifetime_ns: int = HOUR_NS, mandate_ns: int = HOUR_NS) -> None:
        """Everything that a person does until the strategy may trade."""
        if self.life is None:
            self.boot()
        self.clear_latches()
        assert self.resume() == ""
        assert self.arm(lifetime_ns, mandate_ns, cap) == ""

    def disarm(self, *, mandate: bool = False, symbol: str = "") -> None:
        record = r.Disarmed(boot_ns=self.now().boot_ns, reason="asked", actor="ann", symbol=symbol, mandate_ends=mandate)
        self._do(lambda: self.alive.tell(record))

    def freeze(self, level: r.Level = r.Level.HALT, *, cancel: bool = True) -> None:
        latch = latch_for(Cause.OPERATOR, scope=r.Scope.ALL, subject="", reason="asked", actor="ann", boot_ns=self.now().boot_ns)
        self._do(lambda: self.alive.tell(with_level(latch, level)))
        if cancel:
            self.round()

    def tighten(self, **values: Any) -> None:
        """A person puts tighter limits of the instrument in force, at once and without a restart; without any named, a drift of a millionth less."""
        name = f"{self.venue}:{SYMBOL}"
        values = values or {"max_drift_millionths": self.alive.state.sheet.symbols[name].max_drift_millionths - 1}
        self._do(lambda: self.alive.tell(tightening(self.alive.state, lc.changed(self.alive.state.sheet, "symbols", name, **values))))

    def attest(self, **facts: Any) -> None:
        """A person says what the venue does not tell of the key, for thirty days."""
        now = self.now()
        said = {"trade": None, "withdraw": None, "transfer": None, "address_bound": None, "expires_wall_ns": None, **facts}
        record = r.KeyAttested(
            boot_ns=now.boot_ns,
            venue=self.venue,
            account=ACCOUNT,
            fingerprint=fingerprint_of(ACCOUNT),
            **said,
            statement="I HAVE CHECKED",
            actor="ann",
            scripted=True,
            nonce=self.nonce(),
            wall_ns=now.wall_ns,
            until_wall_ns=now.wall_ns + 30 * 86_400 * S,
        )
        self._do(lambda: self.alive.tell(record))

    def unsent(self, client_id: str, permit_lsn: int) -> None:
        """It is written down that an order which another gate permitted was not sent to this account."""
        record = r.Unsent(
            boot_ns=self.now().boot_ns,
            client_id=client_id,
            revision=0,
            strategy="making",
            venue=self.venue,
            account=ACCOUNT,
            symbol=SYMBOL,
            side=Side.BUY,
            type=OrderType.LIMIT,
            tif=TimeInForce.POST_ONLY,
            reduce_only=False,
            ticks=1_000,
            lots=1,
            notional_usd=Decimal(10),
            permitted_boot_ns=self.now().boot_ns,
            permit_lsn=permit_lsn,
        )
        self._do(lambda: self.alive.tell(record))

    def kill(self, *, told: bool = True) -> None:
        """The stop word is set; with `told` the gate hears of it too. The sentinel begins its sweep."""
        life, now = self.alive, self.now()
        life.word.stop(now.boot_ns)
        self.watch.stopped = self.watch.stopped or "the stop word"
        self.sweep = Sweep(Task(scope=Scope.ALL, prefixes=(TAG,), expiry_ns=WINDOW_NS + SKEW_NS), quiet_ns=now.boot_ns)
        if told:
            self.round()

    def sweep_on(self, steps: int = 1) -> Do | None:
        """The sentinel takes so many steps of its sweep; the last thing that it did."""
        did = None
        for _ in range(steps):
            if self.sweep is None:
                break
            now_ns = self.now().boot_ns
            step = self.sweep.next(now_ns)
            did = step.do
            if did is Do.DONE:
                break
            if did is Do.WAIT:
                self.wait(min(step.until_ns - now_ns, S))
                continue
            self._sweep_step(self.sweep, did, step.orders, step.client_id)
        self.move()
        return did

    def _sweep_step(self, sweep: Sweep, did: Do, orders: Sequence[OpenOrder], client_id: str) -> None:
        asked_ns = self.now().boot_ns
        step = sweep.next(asked_ns)
        request: wire.AnyRequest
        if did is Do.CANCEL_EVERYTHING:
            request = wire.CancelAll()
        elif did is Do.CANCEL:
            request = wire.Cancel(client_id=orders[0].client_id)
        elif did is Do.FIND:
            request = wire.QueryOrder(client_id=client_id)
        else:
            request = wire.ReadOpenOrders()
        answer = self._ask_as_sentinel(request)
        now_ns = self.now().boot_ns
        if answer is None or (not answer.ok and answer.code != wire.Code.ORDER_NOT_FOUND):
            banned = answer is not None and answer.code == wire.Code.BANNED
            self.watch.reached["418 during sweep"] += banned
            sweep.failed(step, S if banned else 0, now_ns)
        elif did is Do.FIND:
            state = answer.body.state if isinstance(answer.body, wire.OrderView) else None
            sweep.found_as(client_id, state, now_ns)
        elif isinstance(answer.body, wire.Orders):
            views = [OpenOrder(view.venue_order_id, view.client_id, view.symbol) for view in answer.body.orders]
            self.watch.reached["a later sweep finds an order"] += bool(views) and bool(sweep.zeros)
            sweep.listed(views, whole=True, asked_ns=asked_ns, now_ns=now_ns)
        else:
            sweep.cancelled()

    def beat(self, countdown_ns: int) -> None:
        """The sentinel arms the venue's dead-man."""
        answer = self._ask_as_sentinel(wire.Heartbeat(symbol=SYMBOL, countdown_ns=countdown_ns))
        assert answer is not None
        assert answer.ok, answer

    def _ask_as_sentinel(self, request: wire.AnyRequest) -> wire.Answer | None:
        if self._sentinel is None:
            self._sentinel = self.network.connect(self.venue, "orders")
        answer = asked(self._sentinel, self.network, request, 500 * MS)
        if answer is None:
            self._sentinel = None
        return answer

    # The strategy

    def proposal(
        self,
        side: Side = Side.BUY,
        *,
        away: int = 10,
        lots: int = 1,
        tif: TimeInForce = TimeInForce.GTC,
        reduce_only: bool = False,
        amends: str = "",
        group: str = "",
        age_ns: int = 0,
        lives_ns: int = S,
        repeat: bool = False,
        **more: Any,
    ) -> Proposal:
        """An order `away` ticks on the passive side of the book, negative to take."""
        bid, ask = self.book
        self._sequence += not repeat
        now = self.now().boot_ns
        fields: dict[str, Any] = {
            "venue": self.venue,
            "symbol": SYMBOL,
            "side": side,
            "type": OrderType.LIMIT,
            "tif": tif,
            "ticks": max(1, bid - away if side is Side.BUY else ask + away),
            "lots": lots,
            "strategy": STRATEGY,
            "sequence": self._sequence,
            "created_boot_ns": now - age_ns,
            "deadline_boot_ns": now + lives_ns,
            "group": group,
            "reduce_only": reduce_only,
            "amends": amends,
            "books": (r.Book(venue=self.venue, symbol=SYMBOL, bid_ticks=bid, ask_ticks=ask, boot_ns=now),),
            **more,
        }
        return Proposal(**fields)

    def propose(self, *proposals: Proposal, blind: bool = False, rates: Sequence[Any] | None = None) -> list[Decision]:
        """The strategy proposes; `blind`: the gate has read neither market nor equity anew. Empty if the process died of it, or had before."""
        if self.life is None:
            return []

        def ask() -> asyncio.Task[Frame]:
            self.alive.look(None if blind else self.book, rates)
            return self.alive.propose(proposals)

        task = self._do(ask)
        if task is None or self.life is None:
            return []
        if task.done():
            decided = list(task.result().decisions)
        else:  # the answer waits for the disk; what was decided is folded already
            decided = [self._decision(proposal) for proposal in proposals]
        for proposal, one in zip(proposals, decided, strict=True):
            self._worst_case(proposal, one)
        return decided

    def _decision(self, proposal: Proposal) -> Decision:
        """What was decided of a proposal of which there is no answer yet."""
        life = self.alive
        for (client_id, _), intent in self.watch.intents.items():
            if intent.sequence == proposal.sequence and life.state.orders.by_id[client_id].life == life.state.orders.life:
                return Decision(result=PERMIT, rule="", client_id=client_id)
        return Decision(result=DENY, rule="not yet known", client_id="")

    def _worst_case(self, proposal: Proposal, decided: Decision) -> None:
        """Note a denial for what may fill that would not be one for what has."""
        if decided.rule in ("max_position_lots", "max_gross_notional_usd") and self.life is not None:
            position = self.life.state.ledger.positions.get((self.venue, ACCOUNT, SYMBOL))
            held = 0 if position is None else position.lots
            self.watch.reached["worst case denies"] += abs(held + proposal.side * proposal.lots) <= MOST_LOTS

    def place(self, side: Side = Side.BUY, **more: Any) -> str:
        """One order that is permitted; its client id."""
        decided = self.propose(self.proposal(side, **more))
        assert decided, "the process died"
        assert decided[0].result == PERMIT, decided
        return decided[0].client_id

    def cancel(self, *client_ids: str) -> None:
        """The strategy wants orders of its own cancelled, and the gate sends what it can."""
        self._do(lambda: self.alive.cancel(client_ids))

    # The gate's own rounds

    def round(self) -> None:
        """The gate looks at the stop word, cancels what the state no longer allows, and sends the cancels that are due."""
        if self.life is not None:
            self._do(lambda: self.alive.round())

    def hear(self, most: int = 1_000) -> int:
        """Events of the private stream; how many."""
        return 0 if self.life is None else self._do(lambda: self.alive.hear(most)) or 0

    def read(self) -> bool:
        """What may have been missed, and what became of orders whose fate is not known; whether all could be read."""
        return self.life is not None and self._do(lambda: self.alive.read(self.alive.account.catch_up)) is True

    def reconcile(self) -> r.Reconciled | None:
        """Compare with the venue; the verdict, or None where there was none."""
        return None if self.life is None else self._do(lambda: self.alive.read(self.alive.account.compare))

    # Time

    def wait(self, ns: int) -> None:
        """Time goes on, in steps that the gate's loop keeps up with."""
        left = ns
        while left > 0:
            step = min(left, 4 * S)
            left -= step
            self.network.advance(step)
            self.move()
            if self.life is not None:
                self._do(lambda: self.alive.watch_clock())
            self.round()

    def stand_still(self, ns: int) -> None:
        """Time goes on and the gate's loop does not turn."""
        self.network.advance(ns)
        if self.life is not None:
            self._do(lambda: self.alive.watch_clock())
        self.move()

    def sleep(self, ns: int) -> None:
        """The host sleeps."""
        self._slept_ns += ns
        self.stand_still(ns)

    def step_wall(self, ns: int) -> None:
        """Somebody sets the host's wall clock, by which the witness is written too; the venue has a clock of its own."""
        self.network.clock.jump_wall(ns)
        if self.life is not None:
            self._do(lambda: self.alive.watch_clock())

    # Disk and network

    def hold_disk(self, step: str, after: int = 0) -> None:
        """The journal's next write or sync, or one some steps later, takes long."""
        self.disk.held[step] = after

    def free_disk(self) -> None:
        """It is over."""
        self.disk.release()
        if self.life is not None:
            self.life.journal.settle()
        self.move()

    def hold_network(self, *, out: bool = False, back: bool = False) -> None:
        self.out_held, self.back_held = out, back

    def free_network(self) -> None:
        self.out_held = self.back_held = False
        self.move()

    # The venue

    def command(self, command: AnyCommand) -> Reply:
        reply = self.network.command(command)
        self.network.advance(0)
        return reply

    def lie(self, fault: Fault, verb: str = "place", **more: Any) -> None:
        """The venue will lie about the next request that fits."""
        self.command(ArmFault(venue=self.venue, spec=FaultSpec(fault=fault, verb=verb, **more)))

    def set_book(self, bid: int, gap: int = 1, lots: int | None = None) -> None:
        self.book = (bid, bid + gap)
        self.command(SetBook(venue=self.venue, symbol=SYMBOL, bid_ticks=bid, ask_ticks=bid + gap, lots=lots))
        self.move()

    def fill(self, client_id: str, lots: int = 1) -> None:
        """The venue fills an order, also one that is over."""
        self.command(FillOrder(venue=self.venue, client_id=client_id, lots=lots))
        self.move()

    def reverse(self) -> None:
        """The venue takes its last execution back."""
        last = self.true.account.last_standing()
        if last is not None:
            self.command(ReverseFill(venue=self.venue, trade_id=last.trade_id))
            self.move()

    def foreign(self, side: Side, away: int, lots: int, client_id: str = "") -> None:
        """An order that came by another way."""
        self.made_up.add(client_id)
        bid, ask = self.book
        ticks = bid - away if side is Side.BUY else ask + away
        self.command(ForeignOrder(venue=self.venue, symbol=SYMBOL, side=side, ticks=max(1, ticks), lots=lots, client_id=client_id))
        self.move()

    @property
    def true(self) -> Any:
        """The venue itself."""
        return self.network.hub.venues[self.venue]

    def own_orders(self) -> dict[str, TrueOrder]:
        """Our orders as they truly are."""
        return {
            order.client_id: order
            for order in self.true.matching.orders
            if order.client_id not in self.made_up and parse_client_id(order.client_id, TAG) is not None
        }

    def state_of(self, client_id: str) -> OrderState:
        return self.alive.state.orders.by_id[client_id].state

    def interfered(self) -> bool:
        """Whether the venue or somebody else moved the position in a way that no order of ours explains."""
        account = self.true.account
        if account.reversed or any(
            parse_client_id(one.client_id, TAG) is None or one.client_id in self.made_up for one in account.executions
        ):
            return True
        for order in self.true.matching.orders:
            views = [view for _, view in order.views]
            if any(a.state.final and b.filled_lots > a.filled_lots for a, b in pairwise(views)):
                return True
        return False

    def check(self) -> None:
        """Raise AssertionError for anything that should not have happened."""
        watch, own = self.watch, self.own_orders()
        watch.witnessed(self.network.witness)
        if not self.interfered():
            held = self.true.account.holdings[SYMBOL].lots
            open_lots = {side: sum(o.remaining_lots for o in own.values() if not o.state.final and o.side is side) for side in Side}
            if held + open_lots[Side.BUY] > MOST_LOTS or held - open_lots[Side.SELL] < -MOST_LOTS:
                watch.broken.append(f"S11: {held} lots held and {open_lots} open at the venue, allowed {MOST_LOTS}")
        if self.life is not None:
            state = self.life.state
            watch.broken += self.life.unforeseen
            watch.absent(state, own)
            if not self.interfered():
                watch.compare(state, own)
            if self.life.whole and state.digest() != watch.shadow.digest():
                watch.broken.append("S12: the live state is not the fold of its journal")
        assert not watch.broken, "\n".join(watch.broken)

    def quiet(self) -> None:
        """Let everything heal and come to rest: then no fill is lost, and what is not explained has stopped the gate."""
        if self.life is not None:
            self.life.fuse.left = -1
        self.disk.dies_in = -1
        self.disk.free = 1 << 40
        self.disk.refused.clear()
        self.disk.release()
        self.connects = True
        self.free_network()
        self.command(ClearFaults(venue=self.venue))
        self.wait(2 * S)
        if self.life is not None and (self.life.journal.failure is not None or not self.life.whole):
            self.crash()
        if self.life is None:
            self.boot()
        life = self.alive
        self.hear()
        for _ in range(3):
            self.wait(S)
            self.read()
        said = self.reconcile()
        assert said is not None, "an honest venue at rest gave no consistent cut"
        position = life.state.ledger.positions.get((self.venue, ACCOUNT, SYMBOL))
        held = 0 if position is None else position.lots
        there = self.true.account.holdings[SYMBOL].lots
        latched = any(hold.level in (r.Level.HALT, r.Level.CANCEL_ONLY) for hold in life.state.lattice.latches)
        stopped = latched or (not said.explained and life.state.live is None)
        if held != there and (said.explained or not stopped):
            self.watch.broken.append(f"S10: {held} lots in the ledger, {there} at the venue")
        if not (said.explained or stopped):
            self.watch.broken.append(f"S14: not explained, and nothing stands in the way: {said.differences}")
        self.check()

    # The end

    def finish(self) -> Report:
        """Come to rest, end in order, and let the independent checker judge journal, witness and truth. Raises AssertionError for a finding."""
        self.quiet()
        self.shut_down()
        report = self.judged()
        found = [str(one) for one in report.violations]
        assert not found, "\n".join(found)
        self.check()
        return report

    def judged(self) -> Report:
        """What the independent checker says of the disk as it is, and of the venue's own account."""
        folder = self.folder / "exported"
        folder.mkdir(exist_ok=True)
        for path, inode in self.disk.files.items():
            if path.suffix == ".seg":
                (folder / path.name).write_bytes(seen_bytes(inode))
        witness, truth = self.folder / "witness.jsonl", self.folder / "truth.jsonl"
        witness.write_bytes(b"".join(self.network.witness))
        truth.write_bytes(b"".join(self.network.truth))
        known = Instrument(tick=Decimal("0.1"), lot=Decimal("0.001"), currency="USDT")
        return check(folder, witness=witness, truth=truth, facts=Facts({f"{self.venue}/{SYMBOL}": known}))

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of everything, whatever state it is in."""
        if self.life is not None:
            life, self.life = self.life, None
            life.die()
        for cable in self.cables:
            cable.close()
