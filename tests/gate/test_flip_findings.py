"""What flipping one condition after another has found: each test says what must hold, and did not when it was written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tests.gate.flip_ports import until
from tests.gate.flip_world import Flip, FlipWorld, Moment, Step

from interlock.domain.orders import OrderState
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.core import DENY
from interlock.gate.frames import Role
from interlock.gate.journal import JournalFull
from interlock.gate.records import Level, Scope


def in_a_world(use: Callable[[FlipWorld], Awaitable[None]]) -> None:
    """Run `use` in a life that has begun and is not armed."""

    async def run() -> None:
        world = FlipWorld()
        try:
            await world.begin()
            await use(world)
        finally:
            world.close()

    asyncio.run(run())


async def armed(world: FlipWorld) -> None:
    challenge = await world.ask_to_arm()
    assert isinstance(challenge, f.Challenge)
    assert isinstance(await world.answer(challenge), f.Done)


async def leave_room_for(world: FlipWorld, bytes_left: int) -> None:
    """Fill the journal until this much is left beside the reserve, and no more can be allocated."""
    world.disk.free = 0
    filler = r.encode(r.Deny(boot_ns=1, client_id="", strategy="filler", rule="flip", detail="x" * 250))
    while True:
        await world.keeper.durable(world.journal.last_lsn)
        room = world.journal.room()
        left = room.allocated_bytes - room.reserve_bytes - bytes_left
        if left <= 0:
            return
        for _ in range(max(1, left // 1024)):
            try:
                world.journal.append(filler)
            except JournalFull:
                break


def test_a_ceremony_that_was_refused_leaves_no_grant() -> None:
    """Rule: gate.md 2.1 and 11. `ArmDesk.answer` says "journal", and yet the grant that it minted lives: a later resume lets an order out."""

    async def use(world: FlipWorld) -> None:
        challenge = await world.ask_to_arm()
        assert isinstance(challenge, f.Challenge)
        await leave_room_for(world, 1024)  # enough for the grant's own record, not for that of the level
        answer = await world.answer(challenge)
        assert isinstance(answer, f.Refusal), "the journal took both records; this world no longer shows what it is for"
        assert answer.rule == "journal"
        world.disk.free = 1 << 40
        world.journal.prepare()
        await until(lambda: world.journal.room().spare_ready)
        version = world.keeper.state.lattice.version
        await world.say(Role.RAISE, f.Resume(level=Level.RUN, latch="", scope=Scope.ALL, subject="", state_version=version, nonce="9" * 32))
        decision = await world.propose()
        assert (decision.result, decision.rule) == (DENY, "not_armed")

    in_a_world(use)


def test_an_order_whose_write_could_not_be_recorded_was_not_sent() -> None:
    """Rule: gate.md 4.4 (failing before the first byte is NOT_SENT and releases the reservation). A full journal leaves it permitted for good."""

    async def use(world: FlipWorld) -> None:
        world.plan(Flip("a full journal", "journal", Moment.PERMITTED, Step.WRITE, frozenset({"journal"}), FlipWorld.fill_journal))
        await armed(world)
        order_id = (await world.propose()).client_id
        order = world.keeper.state.orders.by_id[order_id]
        with suppress(TimeoutError):
            await until(lambda: order.state is not OrderState.PERMITTED, within_s=1)
        assert (order.state, order.reserved_lots) == (OrderState.NOT_SENT, 0)

    in_a_world(use)


def test_a_freeze_that_holds_nothing_does_not_say_that_it_does() -> None:
    """Rule: gate.md 3 (every latch names its scope), safety.md 0 (no success that is none). "main" is the account; latches go by "bybit/main"."""

    async def use(world: FlipWorld) -> None:
        await armed(world)
        freeze = f.Freeze(scope=Scope.ACCOUNT, subject="main", level=Level.HALT, reason="panic")
        answer = await world.say(Role.LOWER, freeze)
        decision = await world.propose()
        assert isinstance(answer, f.Refusal) or decision.result == DENY, (answer, decision)

    in_a_world(use)
