"""Operator, strategy, venue, clock, disk and crash in any order: what must hold, holds after every step, and the independent checker agrees."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.gate import limit_cases as lc
from tests.gate.gate_life import MS, TAG, Life, S
from tests.gate.gate_machine import World

from interlock.domain.ids import ClientId
from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.simulate.fake_venue.control import Ban, DropConnections, SetClock, SetLag, Strike, TakeOver
from interlock.simulate.fake_venue.faults import Fault, FaultSpec

P = ParamSpec("P")


def runs(do: Callable[Concatenate[Gate, P], None]) -> Callable[Concatenate[Gate, P], None]:
    """A rule for a gate that runs; for one that does not it is nothing. No precondition: what is drawn then never depends on what has happened."""

    @wraps(do)
    def when_it_runs(machine: Gate, /, *args: P.args, **kwargs: P.kwargs) -> None:
        if machine.world.life is not None:
            do(machine, *args, **kwargs)

    return when_it_runs


sides = st.sampled_from(Side)
seeds = st.none() | st.integers(0, 3)
places = st.integers(0, 5)
sizes = st.sampled_from([1, 1, 2])
aways = st.sampled_from([10, 30, 11])
mostly = st.sampled_from([True, True, True, False])
seldom = st.sampled_from([False, False, False, True])
ABOUT_ORDERS = (
    Fault.LOSE_REQUEST,
    Fault.RESET_BEFORE_ACCEPTING,
    Fault.ERROR_WITHOUT_ACCEPTING,
    Fault.DEFINITIVE_REJECT,
    Fault.RATE_LIMITED,
    Fault.ACCEPT_THEN_ERROR,
    Fault.UNLISTED_CODE,
    Fault.LOSE_ACK,
    Fault.LATE_ACK,
    Fault.ANSWER_TWICE,
    Fault.REORDER_ANSWERS,
    Fault.RESET_AFTER_ACCEPTING,
    Fault.PARTIAL_FRAME,
    Fault.GARBAGE_FRAME,
)
ABOUT_CANCELS = (Fault.FILL_DURING_CANCEL, Fault.FILL_AFTER_CANCEL, Fault.LOSE_REQUEST, Fault.LOSE_ACK, Fault.ACCEPT_THEN_ERROR)
ABOUT_READS = (Fault.HISTORY_LAG, Fault.OPEN_ORDERS_LAG, Fault.NONSENSE_READ, Fault.LOSE_REQUEST, Fault.GARBAGE_FRAME)
OF_THE_STREAM = (Fault.LATE_FILL, Fault.STREAM_GAP, Fault.STREAM_SILENCE, Fault.STREAM_REORDER, Fault.STREAM_TWICE)
OF_THE_WORLD = (Fault.FUNDING, Fault.DEPOSIT, Fault.AIRDROP, Fault.THIRD_ASSET_FEE)


class Gate(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.world = World(Path(self._folder.name))
        self.stepped_back = False

    @initialize(venue=st.sampled_from(["bybit", "binance_usdm"]), armed=st.integers(0, 9))
    def begin(self, venue: str, armed: int) -> None:
        self.world.close()
        self.world = World(Path(self._folder.name), venue)
        if armed:
            self.world.ready()

    def teardown(self) -> None:
        try:
            self.world.finish()
            for name, count in self.world.watch.reached.items():
                if count:
                    event(name)
        finally:
            self.world.close()
            self._folder.cleanup()

    @invariant()
    def what_must_hold_holds(self) -> None:
        self.world.check()

    def pick(self, index: int, *states: OrderState) -> str:
        """One of the orders of the gate, or an empty text; only of some states if any are named."""
        if self.world.life is None:
            return ""
        book = self.world.life.state.orders.by_id
        names = [name for name, order in sorted(book.items()) if not states or order.state in states]
        return names[-1 - index % len(names)] if names else ""

    def known(self, index: int) -> str:
        """One of our orders at the venue."""
        names = sorted(self.world.own_orders())
        return names[-1 - index % len(names)] if names else ""

    # The person

    def get_ready(self, wanted: bool = True) -> None:
        """What a person does until the strategy may trade, as far as it goes; nothing where it may already."""
        world = self.world
        if not wanted:
            return
        if world.life is None:
            world.boot()
        steps: list[tuple[Callable[[Life], bool], Callable[[], object]]] = [
            (lambda life: bool(life.state.lattice.latches), world.clear_latches),
            (lambda life: life.state.lattice.base is not r.Level.RUN, world.resume),
            (lambda life: life.state.live is None or bool(life.state.arming.ended), world.arm),
        ]
        for needed, step in steps:
            if world.life is not None and needed(world.life):
                step()

    @rule()
    def make_ready(self) -> None:
        self.get_ready()

    @rule(
        lifetime=st.sampled_from([2 * S, 30 * S, 3_600 * S]),
        mandate=st.sampled_from([0, 2 * S, 3_600 * S]),
        cap=st.sampled_from(["30", "100", "9", "45.5"]),
        stale=st.booleans(),
        typed=st.sampled_from(["", "", "arm"]),
    )
    @runs
    def arm(self, lifetime: int, mandate: int, cap: str, stale: bool, typed: str) -> None:
        seen = self.world.alive.state.lattice.version - 1 if stale else None
        refused = self.world.arm(lifetime, mandate, cap, seen=seen, typed=typed)
        if self.world.life is not None:
            assert refused or not (stale or typed or cap == "9")

    @rule(
        mandate=st.booleans(),
        symbol=st.booleans(),
        level=st.sampled_from([None, None, r.Level.HALT, r.Level.CANCEL_ONLY, r.Level.REDUCE_ONLY]),
        cancel=st.booleans(),
    )
    @runs
    def lower(self, mandate: bool, symbol: bool, level: r.Level | None, cancel: bool) -> None:
        if level is None:
            self.world.disarm(mandate=mandate, symbol=f"{self.world.venue}/{lc.BTC[2]}" if symbol else "")
        else:
            self.world.freeze(level, cancel=cancel)

    @rule(stale=st.booleans(), level=st.sampled_from([r.Level.RUN, r.Level.REDUCE_ONLY]))
    @runs
    def resume(self, stale: bool, level: r.Level) -> None:
        seen = self.world.alive.state.lattice.version + 1 if stale else None
        refused = self.world.resume(level, seen=seen)
        assert refused or not stale

    @rule(told=st.booleans(), seldom=seldom)
    @runs
    def kill(self, told: bool, seldom: bool) -> None:
        if seldom:
            self.world.kill(told=told)

    @rule(steps=st.integers(1, 6))
    def sweep(self, steps: int) -> None:
        self.world.sweep_on(steps)

    # The strategy

    @rule(lots=sizes, away=aways, tif=st.sampled_from([TimeInForce.GTC, TimeInForce.POST_ONLY]), hears=st.booleans(), ready=mostly)
    def quote(self, lots: int, away: int, tif: TimeInForce, hears: bool, ready: bool) -> None:
        """Both sides, as the person and the strategy of a good day would."""
        self.get_ready(ready)
        for side in Side:
            if self.world.life is not None:
                self.world.propose(self.world.proposal(side, away=away, lots=lots, tif=tif))
        if hears and self.world.life is not None:
            self.world.hear()

    @rule(
        side=sides,
        away=aways,
        lots=sizes,
        tif=st.sampled_from([TimeInForce.GTC, TimeInForce.POST_ONLY, TimeInForce.IOC]),
        group=st.sampled_from(["", "", "pair"]),
        ready=mostly,
    )
    def propose(self, side: Side, ready: bool, **more: Any) -> None:
        self.get_ready(ready)
        self.world.propose(self.world.proposal(side, **more))

    @rule(side=sides, lots=sizes, ready=mostly)
    def take(self, side: Side, lots: int, ready: bool) -> None:
        self.get_ready(ready)
        self.world.propose(self.world.proposal(side, away=-5, lots=lots, tif=TimeInForce.IOC))

    @rule(
        side=sides,
        change=st.sampled_from(
            [
                {"age_ns": S},
                {"age_ns": -S},
                {"lives_ns": 0},
                {"lives_ns": 3_600 * S},
                {"lots": 1 << 52},
                {"lots": 0},
                {"lots": -1},
                {"lots": 1 << 60},
                {"ticks": 1 << 60},
                {"away": -1_000},
                {"away": -50_000},
                {"symbol": "DOGEUSDT"},
                {"venue": "upbit"},
                {"strategy": "nobody"},
                {"amends": "no such order"},
                {"group": "x" * 100},
                {"books": ()},
            ]
        ),
    )
    @runs
    def propose_nonsense(self, side: Side, change: dict[str, Any]) -> None:
        for decided in self.world.propose(self.world.proposal(side, **change)):
            assert decided.result == "DENY"

    @rule()
    @runs
    def propose_twice(self) -> None:
        once = self.world.proposal()
        for first in self.world.propose(once):
            for again in self.world.propose(once):
                assert first.result == "DENY" or again.result == "DENY"

    @rule(blind=st.booleans(), rate=st.sampled_from(["1", "1.02"]))
    @runs
    def propose_on_bad_readings(self, blind: bool, rate: str) -> None:
        at = self.world.now().boot_ns
        rates = [lc.rate(at=at), lc.rate(bid=rate, ask=rate, at=at, name="b")]
        self.world.propose(self.world.proposal(), blind=blind, rates=rates)

    @rule(lots=st.lists(sizes, min_size=2, max_size=3), side=sides, ready=mostly)
    def propose_batch(self, lots: list[int], side: Side, ready: bool) -> None:
        self.get_ready(ready)
        self.world.propose(*(self.world.proposal(side, lots=size, away=10 + at) for at, size in enumerate(lots)))

    @rule(lots=sizes)
    @runs
    def reduce(self, lots: int) -> None:
        held = self.world.alive.state.ledger.positions.get((self.world.venue, "main", lc.BTC[2]))
        side = Side.SELL if held is None or held.lots > 0 else Side.BUY
        self.world.propose(self.world.proposal(side, away=-5, lots=lots, tif=TimeInForce.IOC, reduce_only=True))

    @rule(index=places, away=st.sampled_from([12, 40, -5]), lots=sizes, ready=mostly)
    def amend(self, index: int, away: int, lots: int, ready: bool) -> None:
        self.get_ready(ready)
        client_id = self.pick(index, OrderState.OPEN, OrderState.PARTIAL)
        if client_id:
            order = self.world.alive.state.orders.by_id[client_id]
            self.world.propose(self.world.proposal(order.side, away=away, lots=lots, tif=order.tif, amends=client_id, group=order.group))

    @rule(index=places, all_of_them=st.booleans())
    @runs
    def cancel(self, index: int, all_of_them: bool) -> None:
        client_id = self.pick(index)
        self.world.cancel(*([client_id] if client_id and not all_of_them else []))

    @rule(
        side=sides,
        change=st.sampled_from(["nothing", "disarm", "freeze", "tighten", "cancel", "sleep", "arm", "stop word"]),
        frees=st.sampled_from([True, True, False]),
    )
    def change_while_a_permit_waits(self, side: Side, change: str, frees: bool) -> None:
        """A slow disk, and time for something to happen between permit and frame."""
        self.get_ready()
        world = self.world
        if world.life is None:
            return
        world.hold_disk("sync")
        world.propose(world.proposal(side))
        happens: dict[str, Callable[[], object]] = {
            "disarm": world.disarm,
            "freeze": lambda: world.freeze(cancel=False),
            "tighten": world.tighten,
            "cancel": world.cancel,
            "sleep": lambda: world.sleep(1_500 * MS),
            "arm": world.arm,
            "stop word": lambda: world.kill(told=False),
        }
        if change in happens:
            self.if_alive(happens[change])
        if frees:
            self.if_alive(world.free_disk)

    def if_alive(self, happen: Callable[[], object]) -> None:
        """Do something unless the process has ended meanwhile."""
        if self.world.life is not None:
            happen()

    # The gate's rounds

    @rule(most=st.sampled_from([1, 2, 1_000, 1_000]))
    @runs
    def hear(self, most: int) -> None:
        self.world.hear(most)

    @rule(compare=st.booleans())
    @runs
    def read(self, compare: bool) -> None:
        self.world.read()
        self.world.round()
        if compare:
            self.world.reconcile()

    # The venue

    @rule(index=places, lots=sizes)
    def fill(self, index: int, lots: int) -> None:
        client_id = self.known(index)
        if client_id:
            self.world.fill(client_id, lots)

    @rule(shift=st.sampled_from([-40, -12, 12, 40]), lots=st.sampled_from([None, 0, 1]))
    def move_the_book(self, shift: int, lots: int | None) -> None:
        self.world.set_book(self.world.book[0] + shift, lots=lots)

    @rule(fault=st.sampled_from(ABOUT_ORDERS), verb=st.sampled_from(["place", "place", "amend", "cancel"]), nth=st.integers(1, 2))
    def lie_about_orders(self, fault: Fault, verb: str, nth: int) -> None:
        self.world.lie(fault, verb, nth=nth)

    @rule(
        lie=st.one_of(
            st.tuples(st.sampled_from(ABOUT_CANCELS), st.just("cancel")),
            st.tuples(st.sampled_from(OF_THE_STREAM), st.just("place")),
            st.tuples(
                st.sampled_from(ABOUT_READS), st.sampled_from(["open_orders", "order_history", "executions", "positions", "balances"])
            ),
        )
    )
    def lie_about_the_rest(self, lie: tuple[Fault, str]) -> None:
        self.world.lie(*lie, delay_ns=100 * MS)

    @rule(
        kind=st.sampled_from(["reverse", "foreign", "own id", "liquidation", "adl"]),
        side=sides,
        away=st.sampled_from([500, -5]),
        seldom=seldom,
    )
    def interfere(self, kind: str, side: Side, away: int, seldom: bool) -> None:
        """What ends most of what can happen, and so happens seldom."""
        world = self.world
        if not seldom:
            return
        if kind == "reverse":
            world.reverse()
        elif kind in ("liquidation", "adl"):
            world.command(TakeOver(venue=world.venue, symbol=lc.BTC[2], kind=kind))
        else:
            world.foreign(side, away, 1, str(ClientId(TAG, 1, len(world.made_up), 1)) if kind == "own id" else "")

    @rule(
        fault=st.sampled_from(OF_THE_WORLD),
        amount=st.sampled_from(["0.5", "-0.25"]),
        skew=st.sampled_from([-200, 0, 200]),
        lag=st.sampled_from([0, 400, 900]),
    )
    def change_the_venue(self, fault: Fault, amount: str, skew: int, lag: int) -> None:
        self.world.command(Strike(venue=self.world.venue, spec=FaultSpec(fault=fault, amount=amount)))
        self.world.command(SetClock(venue=self.world.venue, skew_ns=skew * MS))
        self.world.command(SetLag(venue=self.world.venue, history_ns=lag * MS, open_ns=lag * MS))

    @rule(ban_ns=st.sampled_from([0, 500 * MS, 5 * S]), connects=st.booleans())
    def refuse(self, ban_ns: int, connects: bool) -> None:
        self.world.connects = connects
        if ban_ns:
            self.world.command(Ban(venue=self.world.venue, for_ns=ban_ns))
        else:
            self.world.command(DropConnections(venue=self.world.venue))
        self.world.move()

    # Time, disk, network

    @rule(ns=st.sampled_from([MS, 300 * MS, 2 * S, 10 * S]))
    def wait(self, ns: int) -> None:
        self.world.wait(ns)

    @rule(kind=st.sampled_from(["stand still", "sleep", "step"]), ns=st.sampled_from([500 * MS, 6 * S]), back=st.booleans())
    def disturb_time(self, kind: str, ns: int, back: bool) -> None:
        if kind == "stand still":
            self.world.stand_still(ns)
        elif kind == "sleep":
            self.world.sleep(ns)
        elif not back:
            self.world.step_wall(ns)
        elif not self.stepped_back:  # more than once and the checker could no longer tell what arrived before a kill
            self.stepped_back = True
            self.world.step_wall(-800 * MS)

    @rule(out=st.booleans(), back=st.booleans())
    def hold_network(self, out: bool, back: bool) -> None:
        self.world.hold_network(out=out, back=back)

    @rule()
    def free_network(self) -> None:
        self.world.free_network()

    @rule(step=st.sampled_from(["write", "sync"]), after=st.integers(0, 5))
    @runs
    def hold_disk(self, step: str, after: int) -> None:
        self.world.hold_disk(step, after)

    @rule()
    @runs
    def free_disk(self) -> None:
        self.world.free_disk()

    @rule(step=st.sampled_from(["write", "sync"]), count=st.sampled_from([0, 1, 40]), disk=seldom)
    @runs
    def break_a_write(self, step: str, count: int, disk: bool) -> None:
        if disk:
            self.world.disk.refused[step] = 5
        else:
            for cable in self.world.alive.cables:
                cable.near.takes = count

    # Crashes

    @rule(power=seeds, lose=st.booleans())
    @runs
    def crash(self, power: int | None, lose: bool) -> None:
        self.world.crash(power=power, lose=lose)

    @rule(fuse=st.integers(0, 12), power=seeds, lose=st.booleans())
    @runs
    def crash_soon(self, fuse: int, power: int | None, lose: bool) -> None:
        self.world.light(fuse, power=power, lose=lose)

    @rule(steps=st.integers(0, 8), power=seeds)
    @runs
    def crash_at_the_disk(self, steps: int, power: int | None) -> None:
        self.world.fate = (power, False)
        self.world.disk.dies_in = steps

    @rule(second=st.booleans())
    @runs
    def end_or_double(self, second: bool) -> None:
        if second:
            assert "another process writes there" in self.world.second_gate()
        else:
            self.world.shut_down()

    @rule(dies_in=st.sampled_from([-1, 3, 8, 14, 20, 26]), power=seeds)
    def boot(self, dies_in: int, power: int | None) -> None:
        if self.world.life is None:
            self.world.boot(dies_in=dies_in, power=power)


def a_share_of(profile: settings | None, percent: int) -> settings:
    assert profile is not None
    return settings(profile, max_examples=profile.max_examples * percent // 100, stateful_step_count=40)


TestGate = Gate.TestCase
TestGate.settings = a_share_of(settings.default, 100)
