"""Ways of the ceremony, the desk and the gate's own duties on which something goes wrong, each beside the way on which it does not."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from tests.gate.flip_ports import until
from tests.gate.flip_world import FlipWorld
from tests.gate.test_flip_findings import armed, in_a_world

from interlock.domain.orders import OrderState
from interlock.gate import frames as f
from interlock.gate import records as r
from interlock.gate.attendant import HUNG_NS, Attendant
from interlock.gate.checks import OwnCheck, Verdict
from interlock.gate.core import DENY, PERMIT
from interlock.gate.frames import Role
from interlock.gate.readings import Now
from interlock.gate.records import Level, Scope

DRILL = "bybit/BTCUSDT"


def resume(world: FlipWorld, nonce: str) -> f.Resume:
    version = world.keeper.state.lattice.version
    return f.Resume(level=Level.RUN, latch="", scope=Scope.ALL, subject="", state_version=version, nonce=nonce * 32)


def latches(world: FlipWorld) -> set[str]:
    return {hold.name for hold in world.keeper.state.lattice.latches}


def test_a_gate_that_is_about_to_end_arms_nobody_and_permits_nothing() -> None:
    async def use(world: FlipWorld) -> None:
        challenge = await world.ask_to_arm()
        assert isinstance(challenge, f.Challenge)
        world.parts.leaving = True
        for answer in (await world.answer(challenge), await world.ask_to_arm()):
            assert isinstance(answer, f.Refusal)
            assert "leaving" in answer.detail
        decision = await world.propose()
        assert (decision.result, decision.rule) == (DENY, "leaving")
        world.parts.leaving = False
        assert isinstance(await world.answer(challenge), f.Done)
        assert (await world.propose()).result == PERMIT

    in_a_world(use)


def reconciled(world: FlipWorld, *, explained: bool) -> None:
    found = r.Reconciled(boot_ns=world.clock.boot_ns, venue="bybit", account="main", explained=explained, differences=())
    world.parts.take(found)


def test_a_grant_whose_level_could_not_be_raised_lets_nothing_through() -> None:
    """The ceremony looked a moment ago; what came between holds the level down, and the person sees why in the log and in the status."""

    async def use(world: FlipWorld) -> None:
        reconciled(world, explained=False)
        world.verdicts = {OwnCheck.RECONCILIATION.value: Verdict.PASS}
        await armed(world)
        assert world.keeper.state.lattice.base is Level.HALT
        assert any(line.startswith("armed, and the level stays halt: ") for line in world.log)
        assert (await world.propose()).rule == "unexplained"
        reconciled(world, explained=True)
        assert (await world.propose()).rule in {"not_armed", "level_forbids"}, "what was held down stays so until a person arms anew"

    in_a_world(use)


@pytest.mark.parametrize(
    ("shows", "said"),
    [
        (OrderState.REJECTED, "its order ended as rejected before the sentinel could cancel it"),
        (None, "found: an order that the venue did not show within "),
    ],
)
def test_a_drill_whose_order_does_not_come_to_rest_has_failed(shows: OrderState | None, said: str) -> None:
    async def use(world: FlipWorld) -> None:
        world.wish = {"drill_symbol": DRILL}
        world.drill_shows = shows
        challenge = await world.ask_to_arm()
        assert isinstance(challenge, f.Challenge)
        answer = await world.answer(challenge)
        assert isinstance(answer, f.Refusal)
        assert said in answer.detail.lower()
        (drilled,) = (drill for drill in world.keeper.state.drills.newest if drill.kind is r.DrillKind.ORDER)
        assert (drilled.verdict, drilled.placed, drilled.cancelled) == ("fail", 1, 0)
        (order,) = world.keeper.state.orders.by_id.values()
        assert order.state.final or order.cancel is not None, "what may still come to rest is owed a cancel"

    in_a_world(use)


def test_a_drill_whose_order_rests_waits_for_the_sentinel() -> None:
    async def use(world: FlipWorld) -> None:
        world.wish = {"drill_symbol": DRILL}
        challenge = await world.ask_to_arm()
        assert isinstance(challenge, f.Challenge)
        answer = await world.answer(challenge)
        assert isinstance(answer, f.Done)
        assert answer.report["client_id"] in world.keeper.state.orders.live

    in_a_world(use)


def test_a_request_that_breaks_the_gate_halts_it_and_is_refused_by_name() -> None:
    async def use(world: FlipWorld) -> None:
        await armed(world)
        assert (await world.propose()).result == PERMIT
        clock = world.parts.clock

        def broken() -> Now:
            world.parts.clock = clock
            raise RuntimeError("no such time")

        world.parts.clock = broken
        freeze = f.Freeze(scope=Scope.SYMBOL, subject="bybit/BTCUSDT", level=Level.REDUCE_ONLY, reason="lunch")
        answer = await world.say(Role.LOWER, freeze)
        assert isinstance(answer, f.Refusal)
        assert answer.rule == "internal_error"
        assert latches(world) == {"internal_error"}
        assert (await world.propose()).rule == "level_forbids"
        assert isinstance(await world.say(Role.LOWER, freeze), f.Done), "the desk goes on"
        assert latches(world) == {"internal_error", "operator"}

    in_a_world(use)


def test_a_duty_that_fails_halts_the_gate_and_keeps_no_other_from_its_own() -> None:
    async def use(world: FlipWorld) -> None:
        await armed(world)
        done: list[int] = []

        async def fails() -> None:
            raise LookupError("nobody foresaw this")

        async def works() -> None:
            done.append(len(done))

        for name, duty in (("works", works), ("fails", fails)):
            before = len(done)
            attendant = Attendant(world.parts, tuple, lambda: world.clock.all_three().mono_ns)
            attendant.employ("works", 0.001, works)
            attendant.employ(name, 0.001, duty)
            running = asyncio.create_task(attendant.run())
            await until(lambda least=before + 5: len(done) > least)  # type: ignore[misc]
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
            assert latches(world) == ({"internal_error"} if name == "fails" else set())
        assert any("fails" in line for line in world.log)

    in_a_world(use)


@pytest.mark.parametrize("ends", ["hangs", "is cancelled"])
@pytest.mark.parametrize("vital", [True, False])
def test_a_gate_shows_no_progress_while_a_vital_duty_does_not_go_on(ends: str, vital: bool) -> None:
    async def use(world: FlipWorld) -> None:
        await armed(world)
        stuck, free = asyncio.Event(), asyncio.Event()
        rounds: list[int] = []

        async def works() -> None:
            rounds.append(len(rounds))
            if not stuck.is_set():
                return
            if ends == "is cancelled":
                raise asyncio.CancelledError
            await free.wait()

        async def shows_progress() -> None:
            before = world.word.progress
            await until(lambda: world.word.progress > before)

        attendant = Attendant(world.parts, tuple, lambda: world.clock.all_three().mono_ns)
        attendant.employ("watching", 0.001, works, vital=vital)
        running = asyncio.create_task(attendant.run())
        # A host that stood still for longer: the duty goes on at once, and so does the gate.
        for _ in range(3):
            world.clock.pass_(2 * HUNG_NS)
            await shows_progress()
        stuck.set()
        before = len(rounds)
        await until(lambda: len(rounds) > before)
        world.clock.pass_(HUNG_NS)
        await shows_progress()
        world.clock.pass_(1)
        told = [line for line in world.log if "duties" in line]
        if vital:
            await until(lambda: world.log[-1] == "duties: hung, no progress is shown: watching")
            shown = world.word.progress
            attendant.look()
            assert world.word.progress == shown
        else:
            await shows_progress()
            assert told == [line for line in world.log if "duties" in line]
        stuck.clear()
        free.set()
        if vital and ends == "hangs":
            await shows_progress()
            assert world.log[-1] == "duties: go on after they hung"
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    in_a_world(use)


def test_what_a_person_decides_is_done_only_when_it_is_on_disk() -> None:
    async def use(world: FlipWorld) -> None:
        assert isinstance(await world.say(Role.RAISE, resume(world, "7")), f.Done)
        world.lower(Level.CANCEL_ONLY)
        await world.fail_journal()
        answer = await world.say(Role.RAISE, resume(world, "8"))
        assert isinstance(answer, f.Refusal)
        assert answer.rule == "journal"
        assert (await world.propose()).result == DENY

    in_a_world(use)
