"""What an engine is told of its orders, and what becomes of them when it asks no more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate import order_records as o
from tests.gate.core_world import armed_state, records_until_run

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderState
from interlock.gate import following as following_module
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.following import FOLLOW_EVERY_NS, GONE_NS, LONGEST_WAIT_NS, Following
from interlock.gate.state import GateState

T = TypeVar("T")
BEGAN = 1_000_000_000


class World:
    """A state, whoever follows it, and a clock."""

    def __init__(self, boot_ns: int = BEGAN, state: GateState | None = None) -> None:
        self.state = state or GateState(lc.SHEET)
        self.boot_ns = boot_ns
        self.following = Following(lambda: self.state, lambda: self.boot_ns)
        if state is None:
            self.fold(o.boot())

    def fold(self, *records: r.Record) -> None:
        for record in records:
            self.state.apply(record)
            self.following.note(record)

    def ask(self, after: int, wait_ns: int = 0) -> f.Followed:
        return run(self.following.follow(f.Follow(after=after, wait_ns=wait_ns)))


def run(waiting: Awaitable[T]) -> T:
    async def whole() -> T:
        async with asyncio.timeout(5):
            return await waiting

    return asyncio.run(whole())


def test_the_first_answer_tells_everything_that_is_alive_and_the_next_what_changed() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"), o.wire("a"), o.sent("a"), o.intent("b"), o.permit("b"))
    first = world.ask(0)
    assert first.whole
    assert {one.client_id: one.state for one in first.orders} == {"a": OrderState.SENT, "b": OrderState.PERMITTED}
    world.fold(o.answer(OrderState.OPEN, "a"), o.fill(3, client_id="a"))
    then = world.ask(first.version)
    assert not then.whole
    (order,) = then.orders
    assert (order.client_id, order.state, order.filled_lots, order.lots, order.owed) == ("a", OrderState.PARTIAL, 3, 10, False)
    assert [(one.symbol, one.lots) for one in then.positions] == [(o.SYMBOL, 3)]
    world.fold(o.cancel("a"))
    assert [(one.client_id, one.owed) for one in world.ask(then.version).orders] == [("a", True)]


def test_nothing_is_told_twice_and_what_is_asked_again_is_told_again() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"))
    first = world.ask(0)
    assert world.ask(first.version).orders == ()
    world.fold(o.wire("a"), o.sent("a"))
    told = world.ask(first.version)
    assert told.orders != ()
    assert world.ask(first.version) == told, "an answer that was lost is made good by the next"


def test_a_version_of_another_life_is_answered_with_everything() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"))
    for stranger in (0, BEGAN - 1, world.ask(0).version + 1, 2**63 - 1):
        assert world.ask(stranger).whole
    assert not world.ask(world.ask(0).version).whole


def test_the_versions_of_a_life_begin_above_those_of_the_one_before_and_above_none() -> None:
    earlier = World(boot_ns=1)
    assert earlier.ask(0).whole
    earlier.fold(o.intent("a"), o.permit("a"), o.intent("b"))
    told = earlier.ask(0).version
    later = World(boot_ns=BEGAN)
    later.fold(o.intent("c"), o.permit("c"), o.intent("d"), o.permit("d"))
    assert later.ask(told).whole
    assert World(boot_ns=0).ask(0).whole, "also in the first moment of a machine"


def test_what_nobody_is_told_of_is_no_change() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"))
    before = world.ask(0)
    world.fold(o.boot(), o.event(r.LedgerKind.FUNDING, "-1"))
    assert world.ask(0).version == before.version
    world.fold(o.wire("a"))
    assert world.ask(0).version > before.version


def test_a_position_is_told_when_it_changed_in_whatever_way_and_only_then() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"), o.wire("a"), o.sent("a"), o.answer(OrderState.OPEN, "a"))
    version = world.ask(0).version
    for record, lots in (
        (o.fill(3, client_id="a"), 3),
        (o.reversal(), 0),
        (o.event(r.LedgerKind.LIQUIDATION, "0", symbol=o.SYMBOL, lots=2, ticks=400_000), 2),
    ):
        world.fold(record)
        told = world.ask(version)
        assert [(one.venue, one.symbol, one.lots) for one in told.positions] == [(o.VENUE, o.SYMBOL, lots)]
        version = told.version
        assert world.ask(version).positions == ()
    assert [one.lots for one in world.ask(0).positions] == [2]


def test_everything_is_each_order_once_those_that_live_and_those_that_ended_lately() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"), o.intent("b"), o.permit("b"), o.not_sent("b"))
    assert sorted((one.client_id, one.state) for one in world.ask(0).orders) == [("a", OrderState.PERMITTED), ("b", OrderState.NOT_SENT)]


def test_of_an_order_that_the_gate_does_not_have_nothing_is_told() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"))
    world.following.note(o.sent("forgotten"))
    for after in (0, BEGAN):
        assert [one.client_id for one in world.ask(after).orders] == ["a"]


def test_an_order_that_changes_again_is_not_the_next_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_module, "MARKS_KEPT", 2)
    world = World()
    world.fold(o.intent("a"), o.intent("b"))
    version = world.ask(0).version
    world.fold(o.permit("a"), o.intent("c"))
    told = world.ask(version)
    assert (told.whole, sorted(one.client_id for one in told.orders)) == (False, ["a", "c"])


def test_who_is_too_far_behind_is_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following_module, "MARKS_KEPT", 2)
    world = World()
    first = world.ask(0).version
    world.fold(o.intent("a"), o.permit("a"), o.intent("b"), o.permit("b"))
    assert not world.ask(first).whole
    world.fold(o.intent("c"))
    assert world.ask(first).whole
    assert {one.client_id for one in world.ask(first).orders} == {"a", "b", "c"}


def test_an_answer_waits_for_a_change_and_comes_with_it() -> None:
    async def scene() -> tuple[bool, f.Followed]:
        world = World()
        world.fold(o.intent("a"), o.permit("a"))
        version = world.following._version
        asking = asyncio.ensure_future(world.following.follow(f.Follow(after=version, wait_ns=4_000_000_000)))
        await asyncio.sleep(0.05)
        waited = not asking.done()
        world.fold(o.wire("a"))
        return waited, await asking

    waited, told = run(scene())
    assert waited
    assert [one.client_id for one in told.orders] == ["a"]


class Waiting:
    """Whoever has asked and waits, in a loop whose time moves only when it is told to: what comes without that was waited for by nobody's clock."""

    def __init__(self, world: World, after: int, wait_ns: int) -> None:
        loop = asyncio.get_running_loop()
        self._now_s = loop.time()
        loop.time = lambda: self._now_s  # type: ignore[method-assign]
        self.asking = asyncio.ensure_future(world.following.follow(f.Follow(after=after, wait_ns=wait_ns)))

    async def is_answered(self, in_s: float = 0.0) -> bool:
        """Whether there is an answer after so much more time."""
        self._now_s += in_s
        for _ in range(20):
            await asyncio.sleep(0)
        return self.asking.done()


@pytest.mark.parametrize(("asked_s", "waits_s"), [(0.02, 0.02), (1.0, 1.0), (3_600.0, 1.0), (0.0, 0.0)])
def test_an_answer_comes_without_a_change_when_its_time_is_over_and_after_a_second_at_the_latest(asked_s: float, waits_s: float) -> None:
    async def scene() -> None:
        world = World()
        waiting = Waiting(world, world.following._version, int(asked_s * 1e9))
        if waits_s:
            assert not await waiting.is_answered()
            assert not await waiting.is_answered(waits_s * 0.9)
        assert await waiting.is_answered(waits_s * 0.2)
        assert waiting.asking.result().orders == ()

    asyncio.run(scene())


def test_who_is_behind_does_not_wait() -> None:
    async def scene() -> None:
        world = World()
        before = world.following._version
        world.fold(o.intent("a"), o.permit("a"))
        waiting = Waiting(world, before, 1_000_000_000)
        assert await waiting.is_answered()
        assert [one.client_id for one in waiting.asking.result().orders] == ["a"]

    asyncio.run(scene())


def level_changes() -> list[r.Record]:
    """Each kind of record that may change what the gate allows."""
    _, minted = aw.ceremony()
    name: dict[str, Any] = {"boot_ns": 1, "name": "n", "scope": r.Scope.ALL, "subject": ""}
    return [
        minted.record,
        r.Disarmed(boot_ns=1, reason="r", actor="ann"),
        r.LatchSet(**name, level=r.Level.HALT, reason="r", actor="ann"),
        r.LatchCleared(**name, actor="ann", nonce="n", state_version=1),
        r.InterlockTripped(**name, level=r.Level.HALT, reason="r"),
        r.InterlockCleared(**name),
        aw.level_set(r.Level.RUN),
        r.KillRequested(boot_ns=1, source="ann", wall_ns=1),
        r.KillEffective(boot_ns=1),
    ]


@pytest.mark.parametrize("record", [*level_changes(), o.permit("a")], ids=lambda record: type(record).__name__)
def test_whatever_may_change_an_order_or_what_is_allowed_wakes_all_who_wait_at_once(record: r.Record) -> None:
    async def scene() -> None:
        world = World()
        world.fold(o.intent("a"))
        first, second = [Waiting(world, world.following._version, 1_000_000_000) for _ in range(2)]
        assert not await first.is_answered()
        world.following.note(o.boot())
        assert not await first.is_answered(), "this one changes nothing"
        world.following.note(record)
        world.following.note(record)
        assert await first.is_answered()
        assert await second.is_answered()
        assert first.asking.result() == second.asking.result()
        assert not world.following._waiting, "nobody is kept who has an answer"

    asyncio.run(scene())


def test_a_level_that_changes_wakes_whoever_waits() -> None:
    world = World()
    world.fold(*records_until_run())
    before = world.ask(0)
    held = r.LatchSet(boot_ns=1, name="operator", scope=r.Scope.ALL, subject="", level=r.Level.CANCEL_ONLY, reason="", actor="ann")
    world.fold(held)
    told = world.ask(before.version)
    assert (before.level, told.level, told.version > before.version) == (r.Level.RUN, r.Level.CANCEL_ONLY, True)


def test_who_has_followed_and_asks_no_more_is_gone_once() -> None:
    world = World()
    world.boot_ns += 10 * GONE_NS
    assert not world.following.gone, "nobody ever followed"
    world.ask(0)
    world.boot_ns += 3 * NS_PER_S
    assert not world.following.gone
    world.boot_ns += 1
    assert world.following.gone
    world.following.forget()
    assert not world.following.gone
    world.ask(0)
    world.boot_ns += GONE_NS + 1
    assert world.following.gone, "and again, after it had come back"


def test_an_engine_asks_for_a_wait_that_it_is_given_and_that_leaves_it_time_before_it_counts_as_gone() -> None:
    assert 0 < FOLLOW_EVERY_NS <= LONGEST_WAIT_NS <= GONE_NS // 2


def test_who_waits_for_an_answer_is_not_gone_and_is_so_three_seconds_after_it() -> None:
    async def scene() -> None:
        world = World()
        await world.following.follow(f.Follow(after=0, wait_ns=0))
        waiting = Waiting(world, world.following._version, NS_PER_S)
        assert not await waiting.is_answered()
        world.boot_ns += 60 * NS_PER_S
        assert not world.following.gone
        assert await waiting.is_answered(1.0)
        assert not world.following.gone
        world.boot_ns += 3 * NS_PER_S
        assert not world.following.gone
        world.boot_ns += 1
        assert world.following.gone

    asyncio.run(scene())


def test_there_is_leave_to_trade_only_under_a_grant_for_it_that_has_not_ended() -> None:
    assert World().ask(0).armed is False
    assert World(state=armed_state()).ask(0).armed is True
    assert World(state=armed_state(**aw.DRILL)).ask(0).armed is False
    ended = armed_state()
    ended.apply(r.Disarmed(boot_ns=BEGAN, reason="r", actor="ann"))
    assert ended.live is not None, "its reduce mandate goes on"
    assert World(state=ended).ask(0).armed is False


# At which prices and fees an order was filled


def told_of(world: World, client_id: str = "a") -> f.Executed | None:
    (order,) = [one for one in world.ask(0).orders if one.client_id == client_id]
    return order.executed


def test_executions_are_told_with_their_prices_and_fees_together() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"), o.wire("a"), o.sent("a"), o.answer(OrderState.OPEN, "a"))
    assert told_of(world) is None
    world.fold(
        o.fill(3, "t1", ticks=100, fee="0.1"), o.fill(2, "t2", ticks=99, fee="-0.3"), o.fill(1, "t3", ticks=98, fee="7", fee_currency="BNB")
    )
    assert told_of(world) == f.Executed(tick_lots=Decimal(596), fees=(("USDT", Decimal("-0.2")), ("BNB", Decimal(7))))


def test_what_the_venue_took_back_is_left_out() -> None:
    world = World()
    world.fold(o.intent("a"), o.permit("a"), o.wire("a"), o.sent("a"), o.answer(OrderState.OPEN, "a"))
    world.fold(o.fill(3, "t1", ticks=100, fee="0.1"), o.fill(2, "t2", ticks=99, fee="0.2"), o.reversal("t1"))
    assert told_of(world) == f.Executed(tick_lots=Decimal(198), fees=(("USDT", Decimal("0.2")),))


def test_where_an_execution_is_forgotten_no_price_is_told() -> None:
    """The tests above are the control. An order that lives for long outlasts what the ledger remembers of its first executions."""
    world = World()
    world.fold(o.intent("a"), o.permit("a"), o.wire("a"), o.sent("a"), o.answer(OrderState.OPEN, "a"))
    world.fold(o.fill(3, "t1"), o.fill(2, "t2"))
    del world.state.ledger.fills[o.VENUE, o.ACCOUNT, o.SYMBOL, "t1"]
    assert told_of(world) is None
