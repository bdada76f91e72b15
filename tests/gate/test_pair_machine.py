"""Pairs under any order of parts, executions, ends, unknown outcomes, other orders, time and crashes: what was reserved holds, and is never exceeded.

A second fold and the independent checker go along with every record; what a crash at any moment would leave is looked at after every step.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import S, World, proposal, records_until_run
from tests.gate.pair_world import SYMBOLS, facts_of_two, pair

from interlock.domain.orders import Liquidity, OrderState, Side, TimeInForce
from interlock.gate import core, pairs, snapshot
from interlock.gate import records as r
from interlock.gate.core import PERMIT, Effects
from interlock.gate.exposure import Equity, universe_of
from interlock.gate.frames import Plan, PlannedLeg
from interlock.gate.readings import Now
from interlock.gate.state import GateState
from interlock.trace.check import Checker
from interlock.trace.values import Entry

BID = 50_000
"""A lot is worth five dollars."""
MOST_LOTS = 5
ROOM: dict[str, Any] = {
    "max_order_lots": MOST_LOTS,
    "max_position_lots": MOST_LOTS,
    "max_position_notional_micro_usd": 1 << 40,
    "max_open_orders_count": 100,
}
ASSET: dict[str, Any] = {"max_naked_notional_micro_usd": 1 << 40, "max_naked_ns": 120 * S, "max_group_loss_micro_usd": 1 << 40}
VENUE: dict[str, Any] = {"max_messages_count": 10_000, "cancel_reserve_count": 1, "max_cancels_count": 10_000}


def roomy() -> World:
    """A gate whose one tight limit is the position in each instrument."""
    world = pair()
    sheet = world.state.sheet
    for name in ("bybit:BTCUSDT", "other:BTC"):
        sheet = lc.changed(sheet, "symbols", name, **ROOM)
    for name in ("bybit", "other"):
        sheet = lc.changed(sheet, "venues", name, **VENUE)
    sheet = lc.changed(
        lc.changed(sheet, "assets", "BTC", **ASSET), "strategies", "demo", max_orders_count=9_999, max_identical_orders_count=9_999
    )
    world.state.given = sheet
    return world


@dataclass
class Known:
    """An order as the machine itself knows it."""

    leg: int
    """0 or 1 for an order of the pair on the side of that leg, else -1."""
    group: str
    side: Side
    market: tuple[str, str]
    lots: int
    filled: int = 0
    over: bool = False
    sent: bool = False


class Pairs(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.world = roomy()
        self.shadow = roomy().state
        self.checker = Checker()
        self.lsn = 0
        self.sequence = 1
        self.trades = 0
        self.names = 0
        self.orders: dict[str, Known] = {}
        self.late = False
        self.unwound: set[str] = set()
        for record in records_until_run():
            self.check(record)
        self.refresh()

    @property
    def state(self) -> GateState:
        return self.world.state

    def check(self, record: r.Record) -> None:
        fields = msgspec.msgpack.decode(r.encode(record))
        kind = fields.pop("k")
        self.lsn += 1
        found = [
            one
            for one in self.checker.take(Entry(self.lsn, self.lsn, "", kind, fields, r.SCHEMA))
            if one.invariant in ("S8", "S11", "S20", "S26")
        ]
        assert not found, [str(one) for one in found]

    def fold(self, *found: r.Record) -> None:
        for record in found:
            self.check(record)
            self.state.apply(record)
            self.shadow.apply(r.decode(r.encode(record)))
            assert self.reserved(self.shadow) == self.reserved(self.state), "a reservation is a fold of its records at every one of them"

    def reserved(self, state: GateState) -> list[Any]:
        return pairs.reserved(state, self.world.now.boot_ns)

    def refresh(self) -> None:
        """Readings are as fresh as the moment."""
        world, at = self.world, self.world.now.boot_ns
        quotes = [lc.quote(BID, BID + 1, at, venue=venue, symbol=symbol) for venue, symbol, _ in SYMBOLS]
        world.readings.references = lc.seen(world.state.sheet, universe_of(facts_of_two()), *lc.steady(*quotes), lc.rate(at=at))
        world.readings.equity = {(venue, "main"): Equity(1_000_000_000, at) for venue in ("bybit", "other")}
        zero = Decimal(0)
        self.fold(r.Marked(boot_ns=at, realised_usd=zero, unrealised_usd=zero, equity_usd=Decimal(1_000)))

    def ask(self, leg: int, side: Side, lots: int, group: str, plan: Plan | None = None, **more: Any) -> Effects:
        """What the gate would say; nothing is folded."""
        at = self.world.now.boot_ns
        venue, symbol, _ = SYMBOLS[leg]
        wanted = proposal(
            venue=venue,
            symbol=symbol,
            side=side,
            lots=lots,
            group=group,
            plan=plan,
            sequence=self.sequence + 1,
            created_boot_ns=at,
            deadline_boot_ns=at + S,
            books=tuple(r.Book(venue=v, symbol=s, bid_ticks=BID, ask_ticks=BID + 1, boot_ns=at) for v, s, _ in SYMBOLS),
            **{"tif": TimeInForce.IOC, "ticks": BID + (side > 0), **more},
        )
        return core.decide(self.world.setup, self.state, self.world.readings, wanted, self.world.now)

    def propose(self, leg: int, side: Side, lots: int, group: str = "", plan: Plan | None = None, **more: Any) -> str:
        """Propose and fold; the denying rule, or an empty text."""
        effects = self.ask(leg, side, lots, group, plan, **more)
        self.sequence += 1
        self.fold(*effects.records)
        if effects.decision.result != PERMIT:
            return effects.decision.rule
        legs = self.state.groups[group].legs if group else ()
        mine = leg if legs and side is legs[leg].side else -1
        mandate = next(record.mandate for record in effects.records if isinstance(record, r.Permit))
        if mine == 1 and not mandate:
            assert lots <= self.proven(group), "only what was executed is answered"
            event("answered")
        if legs and mine == -1:
            self.unwound.add(group)
        self.orders[effects.decision.client_id] = Known(mine, group, side, SYMBOLS[leg][:2], lots)
        return ""

    def proven(self, group: str) -> int:
        """Lots of the first leg that were executed, less what answers them or may."""
        legs = self.state.groups[group].legs
        net = 0
        for order in (one for one in self.orders.values() if one.group == group):
            direction = order.side * legs[0].side
            net += direction * order.filled - (0 if order.over or direction > 0 else order.lots - order.filled)
        return max(0, net)

    def pick(self, index: int, *, alive: bool = True) -> str:
        names = [name for name, order in self.orders.items() if order.over is not alive]
        return names[-1 - index % len(names)] if names else ""

    def group(self, index: int) -> str:
        names = [name for name, group in self.state.groups.items() if group.legs]
        return names[-1 - index % len(names)] if names else ""

    # What happens

    @rule(side=st.sampled_from(Side), lots=st.integers(1, 3), part=st.integers(1, 3), until_s=st.sampled_from([1, 30, 100]))
    def enter(self, side: Side, lots: int, part: int, until_s: int) -> None:
        self.names += 1
        legs = []
        for (venue, symbol, _), way in zip(SYMBOLS, (side, Side(-side)), strict=True):
            legs.append(PlannedLeg(venue=venue, symbol=symbol, side=way, tif=TimeInForce.IOC, ticks=BID + (way > 0), lots=lots))
        until = self.world.now.boot_ns + until_s * S
        plan = Plan(legs=(legs[0], legs[1]), deadline_boot_ns=until, naked_cap_usd=Decimal(1_000), loss_bound_usd=Decimal(1_000))
        denied = self.propose(0, side, min(part, lots), f"p{self.names}", plan)
        event(f"entering: {denied or 'permitted'}")

    @rule(index=st.integers(0, 2), lots=st.integers(1, 3))
    def enter_more(self, index: int, lots: int) -> None:
        name = self.group(index)
        if name:
            denied = self.propose(0, self.state.groups[name].legs[0].side, lots, name)
            event(f"more of the first leg: {denied or 'permitted'}")

    @rule(index=st.integers(0, 2), lots=st.integers(1, 3), beyond=st.sampled_from([False, False, False, True]))
    def answer(self, index: int, lots: int, beyond: bool) -> None:
        """Mostly what is called for, now and then what is not."""
        name = self.group(index)
        if name:
            wanted = lots if beyond else min(lots, max(1, self.proven(name)))
            denied = self.propose(1, self.state.groups[name].legs[1].side, wanted, name)
            event(f"answering: {denied or 'permitted'}")

    @rule(index=st.integers(0, 2), leg=st.integers(0, 1))
    def unwind(self, index: int, leg: int) -> None:
        name = self.group(index)
        if name:
            denied = self.propose(leg, Side(-self.state.groups[name].legs[leg].side), 1, name, reduce_only=True)
            event(f"unwinding: {denied or 'permitted'}")

    @rule(
        leg=st.integers(0, 1), side=st.sampled_from(Side), lots=st.integers(1, 5), tif=st.sampled_from([TimeInForce.IOC, TimeInForce.GTC])
    )
    def another(self, leg: int, side: Side, lots: int, tif: TimeInForce) -> None:
        """An order of no group, which wants the same room."""
        self.propose(leg, side, lots, tif=tif)

    @rule(index=st.integers(0, 2))
    def crowd(self, index: int) -> None:
        """Somebody takes all the room that is left on the side of a second leg."""
        name = self.group(index)
        if name:
            leg = self.state.groups[name].legs[1]
            lots = next((size for size in range(MOST_LOTS, 0, -1) if self.ask(1, leg.side, size, "").decision.result == PERMIT), 0)
            if lots:
                assert self.propose(1, leg.side, lots) == ""

    @rule(index=st.integers(0, 4), lots=st.integers(1, 3))
    def fill(self, index: int, lots: int) -> None:
        name = self.pick(index)
        if name:
            self.execute(name, lots)

    @rule(index=st.integers(0, 4))
    def fill_late(self, index: int) -> None:
        name = self.pick(index, alive=False)
        if name and self.orders[name].sent and self.orders[name].filled < self.orders[name].lots:
            self.late = True
            self.execute(name, 1)
            event("late")

    def execute(self, name: str, lots: int) -> None:
        order = self.orders[name]
        self.send(name)
        lots = min(lots, order.lots - order.filled)
        self.trades += 1
        self.fold(
            r.Filled(
                boot_ns=self.world.now.boot_ns,
                venue=order.market[0],
                account="main",
                symbol=order.market[1],
                trade_id=f"t{self.trades}",
                client_id=name,
                side=order.side,
                ticks=BID,
                lots=lots,
                liquidity=Liquidity.TAKER,
                fee=Decimal("0.001"),
                fee_currency="USDT",
                venue_ns=self.trades,
            )
        )
        order.filled += lots
        order.over = order.over or order.filled == order.lots

    def send(self, name: str) -> None:
        order, at = self.orders[name], self.world.now
        if not order.sent:
            order.sent = True
            self.fold(
                r.WireBegin(boot_ns=at.boot_ns, client_id=name, revision=0, connection="c"),
                r.Sent(boot_ns=at.boot_ns, client_id=name, revision=0, sign_wall_ns=at.wall_ns, receive_window_ns=2 * S),
            )

    @rule(index=st.integers(0, 4), how=st.sampled_from(["expired", "not sent", "unknown", "rejected"]))
    def end(self, index: int, how: str) -> None:
        name = self.pick(index)
        if not name:
            return
        order, at = self.orders[name], self.world.now.boot_ns
        if how == "not sent" and not order.sent:
            self.fold(r.NotSent(boot_ns=at, client_id=name, revision=0, reason="lease"))
            order.over = True
            return
        fresh = not order.sent
        self.send(name)
        if how == "unknown" and fresh:
            self.fold(r.SendUnknown(boot_ns=at, client_id=name, revision=0, reason="timeout"))
        elif how == "rejected" and fresh:
            self.fold(r.Answered(boot_ns=at, client_id=name, revision=0, state=OrderState.REJECTED, venue_order_id="", code="no"))
            order.over = True
        elif how == "expired":
            self.fold(self.report(name, order, OrderState.EXPIRED))
            order.over = True

    def report(self, name: str, order: Known, state: OrderState) -> r.Reported:
        return r.Reported(
            boot_ns=self.world.now.boot_ns,
            client_id=name,
            venue_order_id="v",
            state=state,
            filled_lots=order.filled,
            lots=order.lots,
            source="stream",
            code="",
            venue_ns=self.trades + 1,
        )

    @rule(ns=st.sampled_from([S, 2 * S, 40 * S, 130 * S]))
    def wait(self, ns: int) -> None:
        self.world.now = Now(self.world.now.boot_ns + ns, self.world.now.wall_ns + ns)
        self.refresh()

    # What must hold

    @invariant()
    def no_leg_exceeds_what_was_reserved(self) -> None:
        for name, group in self.state.groups.items():
            for number, leg in enumerate(group.legs):
                mine = [order for order in self.orders.values() if order.group == name and order.leg == number]
                taken = sum(order.filled if order.over else order.lots for order in mine)
                left = pairs.rests(group, self.state.orders, self.world.now.boot_ns)[number]
                assert self.late or taken + left <= leg.lots
                assert left <= leg.lots

    @invariant()
    def with_everything_filled_the_worse_way_no_position_is_too_large(self) -> None:
        if self.late:
            return
        loads = core._exposure(self.state, self.world.readings, pairs.reserved(self.state, self.world.now.boot_ns)).loads
        for key, load in loads.items():
            assert -MOST_LOTS <= load.low <= load.high <= MOST_LOTS, (key, load)

    @invariant()
    def what_was_executed_can_be_answered(self) -> None:
        """No order of anybody's has taken the room: this is what a reservation is for."""
        for name, group in self.state.groups.items():
            lapsed = self.state.group(name, self.world.now.boot_ns) is None or self.expired()
            if not group.legs or self.late or name in self.unwound or lapsed:
                continue
            proven = self.proven(name)
            if proven:
                effects = self.ask(1, group.legs[1].side, proven, name)
                assert effects.decision.result == PERMIT, effects.decision
                assert all(record.mandate == "" for record in effects.records if isinstance(record, r.Permit))
                event("could be answered")
            beyond = self.ask(1, group.legs[1].side, proven + 1, name)
            assert beyond.decision.rule == "pair_not_proven", beyond.decision

    def expired(self) -> bool:
        live = self.state.live
        return live is None or self.world.now.boot_ns >= live.grant.expires_boot_ns

    @invariant()
    def a_snapshot_keeps_it_and_a_crash_ends_it(self) -> None:
        copy = snapshot.decode(snapshot.encode(self.state), self.state.sheet)
        assert self.reserved(copy) == self.reserved(self.state)
        copy.apply(aw.boot("e" * 32))
        assert self.reserved(copy) == []

    def teardown(self) -> None:
        if hasattr(self, "shadow"):
            assert self.shadow.orders == self.state.orders
            assert self.shadow.groups == self.state.groups


TestPairs = Pairs.TestCase
TestPairs.settings = settings(settings.default, stateful_step_count=30)
