"""The decision: from a gate that permits exactly this order, every condition flipped, then every pair, each with its own refusal."""

from __future__ import annotations

import hashlib
import itertools
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import (
    LIFE,
    NOW,
    Change,
    PlainWire,
    S,
    World,
    armed_state,
    binding,
    proposal,
    records_until_run,
    references,
    under,
)

from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.absence import rule_for
from interlock.gate.core import DENY, PERMIT, consequences, decide, deny_batch, repeated, want_cancels
from interlock.gate.lattice import clear_latch, common_level
from interlock.gate.readings import Now
from interlock.gate.records import Level, Scope
from interlock.gate.state import GateState
from interlock.gate.verbs import Cause


def readings(**values: Any) -> Change:
    def change(world: World) -> None:
        for name, value in values.items():
            setattr(world.readings, name, value)

    return change


def asks(**values: Any) -> Change:
    def change(world: World) -> None:
        world.proposal = msgspec.structs.replace(world.proposal, **values)

    return change


def folds(*found: r.Record) -> Change:
    def change(world: World) -> None:
        for record in found:
            world.state.apply(record)

    return change


def at(boot_ns: int) -> Change:
    def change(world: World) -> None:
        world.now = Now(boot_ns, NOW.wall_ns)

    return change


def bound_to(**parts: object) -> Change:
    return readings(binding=binding(**parts))


def latch(level: Level, scope: Scope = Scope.ALL, subject: str = "") -> r.LatchSet:
    return r.LatchSet(boot_ns=NOW.boot_ns, name="operator", scope=scope, subject=subject, level=level, reason="test", actor="ann")


FLIPS: dict[str, tuple[Change, str]] = {
    "read-only": (readings(read_only=True), "read_only"),
    "stop word": (readings(stopped=True), "stop_word"),
    "lease": (readings(lease_held=False), "lease"),
    "sentinel": (readings(sentinel_alive=False), "sentinel"),
    "checker": (readings(checker_alive=False), "checker"),
    "host": (bound_to(host="other"), "grant_other_host"),
    "account": (bound_to(account="other"), "grant_other_account"),
    "build": (bound_to(build="other"), "grant_other_build"),
    "config": (bound_to(config="other"), "grant_other_config"),
    "strategy hash": (bound_to(strategy="other"), "grant_other_strategy"),
    "limits": (bound_to(limits="other"), "grant_other_limits"),
    "endpoint": (bound_to(endpoint=r.Endpoint.TESTNET), "grant_other_endpoint"),
    "incarnation": (bound_to(incarnation="f" * 32), "grant_other_incarnation"),
    "metadata": (bound_to(symbols=(("bybit", "BTCUSDT", "new"),)), "metadata_changed"),
    "references stale": (readings(references=references(NOW.boot_ns - 5 * S)), "freshness_reference"),
    "market closed": (readings(references=references(trading=False)), "market_status"),
    "equity unknown": (readings(equity={}), "freshness_equity"),
    "created in future": (asks(created_boot_ns=NOW.boot_ns + 1), "created_in_future"),
    "created long ago": (asks(created_boot_ns=NOW.boot_ns - S), "too_old"),
    "deadline passed": (asks(deadline_boot_ns=NOW.boot_ns), "deadline_passed"),
    "deadline far": (asks(deadline_boot_ns=NOW.boot_ns + 60 * S), "deadline_too_far"),
    "repeated": (asks(sequence=-1), "repeated"),
    "strategy unknown": (asks(strategy="nobody"), "known"),
    "venue unknown": (asks(venue="elsewhere"), "known"),
    "symbol not granted": (asks(symbol="XRPUSDT"), "symbol_not_granted"),
    "market order": (asks(type=OrderType.MARKET), "allow"),
    "fill or kill": (asks(tif=TimeInForce.FOK), "allow"),
    "price far": (asks(ticks=410_000), "collar_reference"),
    "size": (asks(lots=3), "max_order_lots"),
    "no size": (asks(lots=0), "quantities"),
    "negative size": (asks(lots=-1), "quantities"),
    "amends nothing": (asks(amends="no such order"), "not_amendable"),
    "latched": (folds(latch(Level.HALT)), "level_forbids"),
    "symbol latched": (folds(latch(Level.HALT, Scope.SYMBOL, "bybit/BTCUSDT")), "level_forbids"),
    "reduce only": (folds(latch(Level.REDUCE_ONLY)), "level_reduces"),
    "disarmed": (folds(r.Disarmed(boot_ns=NOW.boot_ns, reason="x", actor="ann")), "disarmed"),
    "disarmed for good": (folds(r.Disarmed(boot_ns=NOW.boot_ns, reason="x", actor="ann", mandate_ends=True)), "not_armed"),
    "killed": (folds(r.KillRequested(boot_ns=NOW.boot_ns, source="ann", wall_ns=1)), "killed"),
    "foreign": (folds(aw.foreign()), "not_armed"),
    "unexplained": (folds(aw.reconciled(explained=False)), "unexplained"),
    "boot": (folds(aw.boot(LIFE)), "epoch"),
    "expired": (at(NOW.boot_ns + 3_601 * S), "too_old"),
}


def test_the_calm_moment_permits_exactly_this_order() -> None:
    world = World()
    before = world.state.records
    effects = world.decide()
    assert effects.decision.result == PERMIT, effects.decision
    intent, permit = effects.records
    assert isinstance(intent, r.Intent)
    assert isinstance(permit, r.Permit)
    assert effects.planned is not None
    assert permit.body_hash == hashlib.sha256(effects.planned.frame).hexdigest()
    assert permit.client_id == intent.client_id == effects.planned.client_id == effects.decision.client_id
    assert world.state.records == before + 2
    assert world.recheck(effects.planned) == ""


@pytest.mark.parametrize("name", FLIPS)
def test_each_condition_alone_denies_by_its_own_name(name: str) -> None:
    change, rule = FLIPS[name]
    world = World()
    change(world)
    effects = world.decide()
    assert (effects.decision.result, effects.decision.rule) == (DENY, rule), effects.decision
    assert effects.planned is None
    assert [type(record) for record in effects.records if isinstance(record, r.Deny | r.Permit)] == [r.Deny]


def test_each_pair_of_conditions_denies_by_one_of_the_two() -> None:
    for one, other in itertools.permutations(FLIPS, 2):
        world = World()
        FLIPS[one][0](world)
        FLIPS[other][0](world)
        effects = world.decide()
        assert effects.decision.result == DENY, (one, other)
        assert effects.planned is None
        # A latch and a boot, or two ends of a grant, may meet in a third name; none of them is a yes.
        assert effects.decision.rule, (one, other)


def test_later_orders_of_a_batch_meet_the_reservations_of_earlier_ones() -> None:
    world = World()
    assert world.decide().decision.result == PERMIT
    assert world.next(ticks=399_999).decision.result == PERMIT
    third = world.next(ticks=399_998)
    assert (third.decision.result, third.decision.rule) == (DENY, "max_position_lots")


def test_client_ids_never_repeat() -> None:
    world = World()
    first, second = world.decide(), world.next(ticks=399_999)
    assert first.decision.client_id != second.decision.client_id
    world.state.apply(aw.boot("f" * 32))
    world.state.apply(r.Epoch(boot_ns=1, number=1_800_000_001))
    for record in (aw.reconciled(), aw.level_set(Level.RUN, nonce=aw.NONCES[9])):
        world.state.apply(record)
    third = world.next()
    assert third.decision.result == DENY
    assert third.decision.client_id not in (first.decision.client_id, second.decision.client_id)


def test_a_batch_that_cannot_pass_is_denied_whole_and_once() -> None:
    world = World()
    batch = [proposal(sequence=n) for n in range(100)]
    assert deny_batch(world.setup, world.state, world.readings, batch, world.now) is None
    world.readings.read_only = True
    effects = deny_batch(world.setup, world.state, world.readings, batch, world.now)
    assert effects is not None
    (record,) = effects.records
    assert isinstance(record, r.Deny)
    assert (record.count, record.rule, effects.planned) == (100, "read_only", None)
    assert deny_batch(world.setup, world.state, world.readings, batch[:1], world.now) is None


# The one order of a drill


def drilling() -> World:
    return World(state=armed_state(**aw.DRILL))


def test_a_drill_permits_one_order_and_that_one_still_goes_out() -> None:
    world = drilling()
    batch = [proposal(sequence=n) for n in range(2, 4)]
    assert deny_batch(world.setup, world.state, world.readings, batch, world.now) is None
    first = world.decide()
    assert first.decision.result == PERMIT, first.decision
    assert first.planned is not None
    second = world.next(ticks=399_999)
    assert (second.decision.result, second.decision.rule) == (DENY, "drill_spent")
    whole = deny_batch(world.setup, world.state, world.readings, batch, world.now)
    assert whole is not None
    assert whole.decision.rule == "drill_spent"
    assert world.recheck(first.planned) == ""
    assert world.recheck(first.planned._replace(client_id="another")) == "order state"


def test_a_drills_leave_is_for_its_own_order_and_that_order_for_no_other_leave() -> None:
    world = drilling()
    asked = decide(world.setup, world.state, world.readings, world.proposal, world.now)
    assert (asked.decision.result, asked.decision.rule) == (DENY, "drill_only")
    trading = World()
    asked = decide(trading.setup, trading.state, trading.readings, trading.proposal, trading.now, drill=True)
    assert (asked.decision.result, asked.decision.rule) == (DENY, "drill_only")
    assert world.decide().decision.result == PERMIT


def test_a_drill_is_spent_although_its_order_was_never_sent() -> None:
    world = drilling()
    client_id = world.decide().decision.client_id
    world.state.apply(r.NotSent(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, reason="lease"))
    assert world.next(ticks=399_999).decision.rule == "drill_spent"


@pytest.mark.parametrize("kind", ["trade", "drill"])
def test_a_drill_amends_neither_its_own_order_nor_an_older_one(kind: str) -> None:
    world = World() if kind == "trade" else drilling()
    client_id = on_the_wire(world)
    world.state.apply(r.Answered(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code=""))
    if kind == "trade":
        twin = World(state=world.state)
        assert twin.next(amends=client_id, ticks=399_998).decision.result == PERMIT
        world = World()
        client_id = on_the_wire(world)
        world.state.apply(
            r.Answered(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code="")
        )
        for event in aw.ceremony(aw.situation(binding=binding(), state_version=0), aw.NONCES[7], **aw.DRILL):
            world.state.happen(event)
    denied = world.next(amends=client_id, ticks=399_999)
    assert (denied.decision.result, denied.decision.rule) == (DENY, "drill_amend")
    answered = [record for record in denied.records if isinstance(record, r.Deny)]
    assert [(record.client_id, record.revision) for record in answered] == [(client_id, 1)]


def test_a_drill_leaves_nothing_to_reduce() -> None:
    world = drilling()
    client_id = on_the_wire(world)
    world.state.apply(fill(world, client_id, 1))
    sell: dict[str, Any] = {"side": Side.SELL, "tif": TimeInForce.IOC, "ticks": 400_000, "reduce_only": True}
    assert world.next(**sell).decision.rule == "drill_spent"
    world.state.apply(latch(Level.REDUCE_ONLY))
    assert world.next(**sell).decision.rule == "level_reduces"
    trading = World()
    trading.state.apply(fill(trading, on_the_wire(trading), 1))
    trading.state.apply(latch(Level.REDUCE_ONLY))
    assert trading.next(**sell).decision.result == PERMIT


def test_what_a_drill_showed_outlives_the_process() -> None:
    state = GateState(lc.SHEET)
    before = state.digest()
    drill = r.Drilled(
        boot_ns=1,
        drill_id="d",
        kind=r.DrillKind.ORDER,
        venue="bybit",
        endpoint=r.Endpoint.REAL,
        key="k",
        sentinel_build="s",
        authenticated=True,
        placed=1,
        cancelled=1,
        remaining=0,
        verdict="pass",
        wall_ns=1,
    )
    state.apply(r.decode(r.encode(drill)))
    assert state.digest() != before
    state.apply(aw.boot("f" * 32))
    assert state.drills.newest == (drill,)


# Denials that repeat


def test_denials_that_were_held_back_are_told_in_one_record_a_second() -> None:
    world = World()
    world.readings.stopped = True
    counts: dict[tuple[str, str], int] = {}
    for _ in range(4):
        effects = world.next()
        if effects.repeats is not None:
            assert effects.records == ()
            counts[effects.repeats] = counts.get(effects.repeats, 0) + 1
    assert counts == {("demo", "stop_word"): 3}
    assert repeated(world.state, counts, world.now) == ()
    later = Now(NOW.boot_ns + S, NOW.wall_ns)
    assert repeated(world.state, counts, Now(later.boot_ns - 1, 0)) == ()
    (told,) = repeated(world.state, counts, later)
    assert (told.strategy, told.rule, told.count, told.client_id, told.sequence) == ("demo", "stop_word", 3, "", -1)
    world.state.apply(told)
    assert repeated(world.state, counts, later) == (), "the next one a second from now"
    assert repeated(world.state, {("demo", "stop_word"): 0}, Now(later.boot_ns + 9 * S, 0)) == ()
    both = repeated(world.state, {("b", "x"): 1, ("a", "y"): 2}, later)
    assert [(one.strategy, one.rule, one.count) for one in both] == [("a", "y", 2), ("b", "x", 1)]


def test_what_may_rest_unattended_knows_of_what_the_venue_would_cancel() -> None:
    world = World()
    venue = msgspec.structs.replace(lc.SHEET.venues["bybit"], max_unattended_resting_micro_usd=0)
    under(world.state, msgspec.structs.replace(lc.SHEET, venues={"bybit": venue}))
    assert world.decide().decision.rule == "max_unattended_resting_usd"
    world.readings.attended = {("bybit", "BTCUSDT")}
    assert world.next().decision.result == PERMIT


class BrokenWire(PlainWire):
    def placement(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
        raise RuntimeError("no bytes today")


def test_an_exception_on_the_way_denies_and_halts() -> None:
    world = World()
    world.setup = msgspec_free_replace(world.setup, wires={"bybit": BrokenWire()})
    effects = world.decide()
    assert (effects.decision.rule, effects.planned) == ("internal_error", None)
    assert [type(record) for record in effects.records] == [r.Intent, r.Deny, r.LatchSet]
    assert common_level(world.state.lattice) is Level.HALT
    world.setup = World().setup
    assert world.next().decision.rule == "level_forbids"


def msgspec_free_replace(setup: Any, **values: Any) -> Any:
    import dataclasses

    return dataclasses.replace(setup, **values)


# Between the permit and the first byte


RECHECKS: dict[str, tuple[Change, dict[str, bool], str]] = {
    "nothing": (lambda world: None, {}, ""),
    "stop word": (lambda world: None, {"stopped": True}, "stop word"),
    "lease": (lambda world: None, {"lease_held": False}, "lease"),
    "read-only": (readings(read_only=True), {}, "read_only"),
    "latch": (folds(latch(Level.HALT)), {}, "level_forbids"),
    "disarmed": (folds(r.Disarmed(boot_ns=1, reason="x", actor="ann")), {}, "disarmed"),
    "killed": (folds(r.KillRequested(boot_ns=1, source="ann", wall_ns=1)), {}, "killed"),
    "deadline": (at(NOW.boot_ns + S), {}, "deadline"),
    "new epoch": (folds(r.Epoch(boot_ns=1, number=1_900_000_000)), {}, "epoch"),
    "new life": (folds(aw.boot("f" * 32)), {}, "order state"),
    "metadata": (bound_to(symbols=(("bybit", "BTCUSDT", "new"),)), {}, "metadata_changed"),
}


@pytest.mark.parametrize("name", RECHECKS)
def test_what_changes_between_permit_and_write_stops_the_write(name: str) -> None:
    change, live, objection = RECHECKS[name]
    world = World()
    planned = world.decide().planned
    assert planned is not None
    change(world)
    assert world.recheck(planned, **live) == objection


def test_a_cancel_that_is_wanted_suppresses_the_write_and_a_write_happens_once() -> None:
    world = World()
    planned = world.decide().planned
    assert planned is not None
    twin = World()
    twin_planned = twin.decide().planned
    assert twin_planned is not None
    for record in want_cancels(world.state, (), "quote pulled", "engine", world.now):
        world.state.apply(record)
    assert world.recheck(planned) == "order state"
    twin.state.apply(r.WireBegin(boot_ns=1, client_id=twin_planned.client_id, revision=0, connection="c"))
    assert twin.recheck(twin_planned) == "order state"


def test_cancels_are_wanted_of_what_lives_and_need_no_leave() -> None:
    world = World()
    first, second = world.decide(), world.next(ticks=399_999)
    world.readings.read_only = True
    world.state.apply(latch(Level.HALT))
    wanted = want_cancels(world.state, (), "freeze", "gate", world.now)
    assert {record.client_id for record in wanted if isinstance(record, r.CancelWanted)} == {
        first.decision.client_id,
        second.decision.client_id,
    }
    for record in wanted:
        world.state.apply(record)
    assert want_cancels(world.state, (), "freeze", "gate", world.now) == ()
    assert want_cancels(world.state, ("stranger",), "freeze", "gate", world.now) == ()


# What follows


def fill(world: World, client_id: str, lots: int, trade_id: str = "t1") -> r.Filled:
    return r.Filled(
        boot_ns=NOW.boot_ns,
        venue="bybit",
        account="main",
        symbol="BTCUSDT",
        trade_id=trade_id,
        client_id=client_id,
        side=Side.BUY,
        ticks=400_000,
        lots=lots,
        liquidity=Liquidity.MAKER,
        fee=Decimal(0),
        fee_currency="USDT",
        venue_ns=1,
    )


def on_the_wire(world: World) -> str:
    effects = world.decide()
    client_id = effects.decision.client_id
    world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, connection="c"))
    world.state.apply(r.Sent(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, sign_wall_ns=NOW.wall_ns, receive_window_ns=2 * S))
    return client_id


def test_an_honest_fill_has_no_consequence_and_an_overfill_halts_once() -> None:
    world = World()
    client_id = on_the_wire(world)
    world.state.apply(fill(world, client_id, 1))
    assert consequences(world.state, world.now) == ()
    world.state.apply(fill(world, client_id, 1, "t2"))
    found = consequences(world.state, world.now)
    assert [record.name for record in found if isinstance(record, r.LatchSet)] == [Cause.OVERFILL.value]
    for record in found:
        world.state.apply(record)
    assert consequences(world.state, world.now) == ()
    assert common_level(world.state.lattice) is Level.HALT
    cleared = clear_latch(
        world.state.lattice,
        Cause.OVERFILL.value,
        Scope.ALL,
        "",
        actor="ann",
        seen_version=world.state.lattice.version,
        nonce=aw.NONCES[12],
        boot_ns=NOW.boot_ns,
    )
    assert isinstance(cleared, r.LatchCleared)
    world.state.apply(cleared)
    assert consequences(world.state, world.now) == ()
    assert common_level(world.state.lattice) is Level.RUN


def test_a_foreign_fill_and_a_reversal_halt() -> None:
    for record, cause in (
        (fill(World(), "", 1), Cause.FOREIGN_ACTIVITY),
        (fill(World(), "not one of ours", 1), Cause.OWN_PREFIX_UNKNOWN),
    ):
        world = World()
        world.state.apply(record)
        names = [one.name for one in consequences(world.state, world.now) if isinstance(one, r.LatchSet)]
        assert cause.value in names or Cause.FOREIGN_ACTIVITY.value in names
        for one in consequences(world.state, world.now):
            world.state.apply(one)
        assert consequences(world.state, world.now) == ()
        assert common_level(world.state.lattice) is Level.HALT
        # And what was granted is over: clearing the latch is not enough.
        assert world.state.arming.mandate_over


def test_a_stranger_on_a_shared_account_is_written_down_and_nothing_else() -> None:
    world = World()
    version = world.state.lattice.version
    world.state.apply(aw.foreign(tolerated=True))
    assert consequences(world.state, world.now) == ()
    assert (world.state.foreigners, world.state.lattice.version) == (0, version)
    assert world.decide().decision.result == PERMIT
    world.state.apply(aw.foreign())
    assert [one.name for one in consequences(world.state, world.now) if isinstance(one, r.LatchSet)] == [Cause.FOREIGN_ACTIVITY.value]
    assert world.next(ticks=399_999).decision.rule == "not_armed"


def test_an_unknown_leg_holds_up_its_group_and_no_other() -> None:
    world = World()
    world.proposal = proposal(group="pair")
    client_id = on_the_wire(world)
    world.state.apply(r.SendUnknown(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, reason="timeout"))
    assert world.state.orders.by_id[client_id].state is OrderState.UNKNOWN
    assert world.next(group="pair", ticks=399_999).decision.rule == "group_unresolved"
    assert world.next(group="other", ticks=399_998).decision.result == PERMIT


def test_a_reduction_passes_when_new_risk_does_not() -> None:
    world = World()
    client_id = on_the_wire(world)
    world.state.apply(fill(world, client_id, 1))
    world.state.apply(latch(Level.REDUCE_ONLY))
    assert world.next(ticks=399_999).decision.rule == "level_reduces"
    sell: dict[str, Any] = {"side": Side.SELL, "tif": TimeInForce.IOC, "ticks": 400_000}
    assert world.next(**sell).decision.rule == "level_reduces"  # without the flag the venue could turn it into a short
    reducing = world.next(**sell, reduce_only=True)
    assert reducing.decision.result == PERMIT, reducing.decision
    permit = reducing.records[1]
    assert isinstance(permit, r.Permit)
    assert permit.mandate == "reduce_only"
    assert reducing.planned is not None
    assert world.recheck(reducing.planned) == ""
    # The position is spoken for now.
    assert world.next(**sell, reduce_only=True).decision.rule == "level_reduces"


def test_folding_the_journal_again_gives_the_same_state_but_no_grant() -> None:
    world = World()
    journal: list[r.Record] = []
    state = GateState(lc.SHEET)
    for record in (*records_until_run(), *world.decide().records, latch(Level.HALT)):
        journal.append(r.decode(r.encode(record)))
        state.apply(record)
    again = GateState(lc.SHEET)
    for record in journal:
        again.apply(record)
    assert again.digest() == state.digest()
    assert again.live is None
    again.apply(latch(Level.HALT, Scope.SYMBOL, "bybit/BTCUSDT"))
    assert again.digest() != state.digest()


def test_throttles_and_losses_that_tripped_are_latched_once() -> None:
    world = World()
    assert consequences(world.state, world.now) == ()
    for number in range(lc.SHEET.strategies["demo"].max_reject_streak_count):
        client_id = f"rejected{number}"
        intent = lc.intent(client_id=client_id)
        world.state.apply(intent)
        world.state.apply(permit_of(intent))
        world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, connection="c"))
        world.state.apply(
            r.Answered(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, state=OrderState.REJECTED, venue_order_id="", code="no")
        )
    lost = Decimal(-1_000)
    world.state.apply(r.Marked(boot_ns=NOW.boot_ns, realised_usd=lost, unrealised_usd=Decimal(0), equity_usd=Decimal(0)))
    found = consequences(world.state, world.now)
    names = {(one.name, one.scope, one.subject) for one in found if isinstance(one, r.LatchSet)}
    assert (Cause.REJECT_STREAK.value, Scope.STRATEGY, "demo") in names
    assert (Cause.LOSS.value, Scope.ALL, "") in names
    for one in found:
        world.state.apply(one)
    assert consequences(world.state, world.now) == ()


def permit_of(intent: r.Intent) -> r.Permit:
    return r.Permit(
        boot_ns=intent.boot_ns,
        client_id=intent.client_id,
        revision=intent.revision,
        grant_id="g",
        epoch=1,
        mandate="",
        cap_usd=Decimal(100),
        notional_usd=Decimal(40),
        evaluations=(),
        books=(),
        usd_rates=(),
        body_hash="",
        deadline_boot_ns=intent.deadline_boot_ns,
        wall_ns=1,
    )


def test_a_venue_without_expiry_takes_no_second_order_while_one_is_unresolved() -> None:
    world = World()
    world.setup = msgspec_free_replace(world.setup, absence={"bybit": rule_for("upbit", S, 5 * S)})
    client_id = on_the_wire(world)
    assert world.next(ticks=399_999).decision.rule == "venue_unresolved"
    world.state.apply(r.Answered(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code=""))
    assert world.next(ticks=399_998).decision.result == PERMIT


def test_a_write_without_its_permit_is_stopped() -> None:
    world = World()
    planned = world.decide().planned
    assert planned is not None
    assert world.recheck(planned) == ""
    world.state.permits.clear()
    assert world.recheck(planned) == "permit"


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "x" * 65},
        {"books": tuple([r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=1, ask_ticks=2, boot_ns=1)] * 17)},
        {"books": (r.Book(venue="v" * 65, symbol="BTCUSDT", bid_ticks=1, ask_ticks=2, boot_ns=1),)},
    ],
)
def test_texts_without_end_are_no_proposal(change: dict[str, Any]) -> None:
    world = World(proposal=proposal(**change))
    effects = world.decide()
    assert effects.decision.rule == "malformed"
    assert deny_batch(world.setup, world.state, world.readings, [world.proposal, world.proposal], world.now) is None
