"""The decision and the keeper, where only a defect made on purpose showed that nothing looked: bounds, last checks, a journal that refuses."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import LIFE, NOW, PlainWire, S, World, armed_state, proposal
from tests.gate.test_review_findings import REDUCE, PaperJournal, fill, latch, report, resting, wired

from interlock.domain.ids import INCARNATION_BITS, parse_client_id
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.core import (
    DENY,
    LARGEST_TIME_NS,
    LONGEST_DETAIL,
    PERMIT,
    Effects,
    Planned,
    consequences,
    decide,
    deny_batch,
    recheck,
    want_cancels,
)
from interlock.gate.journal import JournalFailed, JournalFull
from interlock.gate.keeper import Keeper, must_be_folded
from interlock.gate.lattice import common_level
from interlock.gate.ledger import Flag
from interlock.gate.limit_sheet import LARGEST
from interlock.gate.order_machine import Violation
from interlock.gate.order_state import violate
from interlock.gate.readings import Now, Setup
from interlock.gate.records import Level, Scope
from interlock.gate.state import GateState
from interlock.gate.verbs import Cause


def rules(effects: Effects) -> tuple[str, str]:
    """The result, and the rule that denied."""
    return effects.decision.result, effects.decision.rule


def latches(found: tuple[r.Record, ...]) -> list[r.LatchSet]:
    return [record for record in found if isinstance(record, r.LatchSet)]


def planned_of(effects: Effects) -> Planned:
    assert effects.planned is not None, effects.decision
    return effects.planned


def permit_in(effects: Effects) -> r.Permit:
    (found,) = [record for record in effects.records if isinstance(record, r.Permit)]
    return found


def begins(world: World, planned: Planned) -> None:
    world.state.apply(r.WireBegin(boot_ns=1, client_id=planned.client_id, revision=planned.revision, connection="c"))


def last_check(world: World, planned: Planned, *, begun: bool) -> str:
    return recheck(world.setup, world.state, world.readings, planned, world.now, stopped=False, lease_held=True, begun=begun)


# The last check


Heard = Callable[[World, Planned], None]


def applies(make: Callable[[Planned], r.Record]) -> Heard:
    return lambda world, planned: world.state.apply(make(planned))


HEARD: dict[str, tuple[Heard, str]] = {
    "nothing": (lambda _world, _planned: None, ""),
    "a cancel is wanted": (applies(lambda p: r.CancelWanted(boot_ns=1, client_id=p.client_id, reason="x", actor="ann")), "order state"),
    "it was sent": (
        applies(lambda p: r.Sent(boot_ns=1, client_id=p.client_id, revision=p.revision, sign_wall_ns=1, receive_window_ns=1)),
        "order state",
    ),
    "its fate is unknown": (
        applies(lambda p: r.SendUnknown(boot_ns=1, client_id=p.client_id, revision=p.revision, reason="x")),
        "order state",
    ),
    "it was not sent": (applies(lambda p: r.NotSent(boot_ns=1, client_id=p.client_id, revision=p.revision, reason="x")), "order state"),
}


@pytest.mark.parametrize("amends", [False, True], ids=["placement", "amend"])
@pytest.mark.parametrize("name", HEARD)
def test_what_is_heard_between_the_record_of_a_write_and_its_first_byte_stops_it(name: str, amends: bool) -> None:
    heard, objection = HEARD[name]
    world = World()
    planned = planned_of(world.next(amends=resting(world), ticks=399_999) if amends else world.decide())
    assert (last_check(world, planned, begun=False), last_check(world, planned, begun=True)) == ("", "order state")
    begins(world, planned)
    assert (last_check(world, planned, begun=False), last_check(world, planned, begun=True)) == ("order state", "")
    heard(world, planned)
    assert last_check(world, planned, begun=True) == objection


@pytest.mark.parametrize("begun", [False, True])
def test_of_an_order_that_is_not_known_nothing_is_written(begun: bool) -> None:
    world = World()
    planned = planned_of(world.decide())
    if begun:
        begins(world, planned)
    assert last_check(world, planned, begun=begun) == ""
    for revision in range(2):
        assert last_check(world, planned._replace(client_id="another", revision=revision), begun=begun) == "order state"


def test_a_write_that_has_begun_is_that_of_its_own_revision_and_of_no_other() -> None:
    world = World()
    client_id = resting(world)
    first = planned_of(world.next(amends=client_id, ticks=399_999))
    world.state.apply(r.NotSent(boot_ns=1, client_id=client_id, revision=1, reason="x"))
    assert last_check(world, first, begun=True) == "order state"  # no change is under way
    second = planned_of(world.next(amends=client_id, ticks=399_998))
    begins(world, second)
    assert last_check(world, second, begun=True) == ""
    assert last_check(world, first, begun=True) == "order state"
    assert last_check(world, second._replace(revision=0), begun=True) == "order state"


def test_a_permit_is_good_for_its_own_revision() -> None:
    world = World()
    effects = world.decide()
    planned = planned_of(effects)
    assert last_check(world, planned, begun=False) == ""
    world.state.apply(msgspec.structs.replace(permit_in(effects), revision=1))
    assert last_check(world, planned, begun=False) == "permit"


def test_each_objection_has_its_name() -> None:
    world = World()
    planned = planned_of(world.decide())
    for name in ("sentinel", "checker"):
        for value in (False, None):
            setattr(world.readings, f"{name}_alive", value)
            assert world.recheck(planned) == name
        setattr(world.readings, f"{name}_alive", True)
    assert world.recheck(planned._replace(frame=b"other")) == "other bytes than permitted"
    world.now = Now(planned.deadline_boot_ns - 1, NOW.wall_ns)
    assert world.recheck(planned) == ""
    world.now = Now(planned.deadline_boot_ns, NOW.wall_ns)
    assert world.recheck(planned) == "deadline"


def test_a_permit_of_another_grant_is_named_as_that() -> None:
    world = World()
    effects = world.decide()
    planned = planned_of(effects)
    assert world.recheck(planned) == ""
    world.state.apply(msgspec.structs.replace(permit_in(effects), grant_id="another"))
    assert world.recheck(planned) == "another grant"


def test_an_id_of_which_no_strategy_is_known_is_of_no_epoch() -> None:
    world = World()
    planned = planned_of(world.decide())
    for tags in ({}, {"demo": ""}, {"demo": "else"}):
        world.setup = Setup(accounts=world.setup.accounts, wires=world.setup.wires, absence=world.setup.absence, tags=tags)
        assert world.recheck(planned) == "epoch"


def test_only_a_permit_under_the_reduce_mandate_outlives_the_leave_for_new_risk() -> None:
    world = World()
    permitted = world.decide()
    planned = planned_of(permitted)
    world.state.apply(latch(Level.REDUCE_ONLY))
    assert world.recheck(planned) == "level_reduces"
    world.state.apply(msgspec.structs.replace(permit_in(permitted), mandate="reduce_only"))
    assert world.recheck(planned) == ""
    world.state.apply(latch(Level.CANCEL_ONLY, "clock"))
    assert world.recheck(planned) == "level_forbids"


def test_a_latch_about_the_account_the_strategy_or_the_order_holds_for_those_alone() -> None:
    world = World()
    planned = planned_of(world.decide())

    def held(scope: Scope, subject: str) -> str:
        twin = World()
        same = planned_of(twin.decide())
        assert same.client_id == planned.client_id
        twin.state.apply(msgspec.structs.replace(latch(Level.HALT), scope=scope, subject=subject))
        return twin.recheck(same)

    for scope, ours, others in (
        (Scope.ACCOUNT, "bybit/main", "bybit/other"),
        (Scope.STRATEGY, "demo", "other"),
        (Scope.SYMBOL, "bybit/BTCUSDT", "bybit/ETHUSDT"),
        (Scope.ORDER, planned.client_id, "another"),
    ):
        assert (held(scope, ours), held(scope, others)) == ("level_forbids", "")


def test_a_latch_about_an_order_stops_its_amends_and_no_new_order() -> None:
    world = World()
    client_id = resting(world)
    world.state.apply(msgspec.structs.replace(latch(Level.HALT), scope=Scope.ORDER, subject=client_id))
    assert rules(world.next(amends=client_id, ticks=399_999)) == (DENY, "level_forbids")
    assert rules(world.next(ticks=399_998)) == (PERMIT, "")


# Cancels that are wanted


def test_a_cancel_is_wanted_of_those_that_are_named_and_only_while_they_may_live() -> None:
    world = World()
    first, second = world.decide().decision.client_id, world.next(ticks=399_999).decision.client_id
    wanted = want_cancels(world.state, (second,), "why", "ann", world.now)
    assert wanted == (r.CancelWanted(boot_ns=world.now.boot_ns, client_id=second, reason="why", actor="ann"),)
    world.state.apply(r.NotSent(boot_ns=1, client_id=first, revision=0, reason="x"))
    assert want_cancels(world.state, (first,), "why", "ann", world.now) == ()
    both = want_cancels(world.state, (first, second), "why", "ann", world.now)
    assert both == wanted


# What follows


FOLLOWS = {
    Violation.LATE_FILL: Cause.LATE_FILL,
    Violation.OVERFILL: Cause.OVERFILL,
    Violation.OVERSIZE: Cause.OVERFILL,
    Violation.REVERSAL: Cause.REVERSAL,
    Violation.DUPLICATE_SEND: Cause.DUPLICATE_CLIENT_ID,
    Violation.STRANGER: Cause.OWN_PREFIX_UNKNOWN,
    Violation.UNSENT_SEEN: Cause.UNEXPLAINED,
    Violation.ABSENT_SEEN: Cause.UNEXPLAINED,
    Violation.REOPENED: Cause.UNEXPLAINED,
    Violation.CONTRADICTED: Cause.UNEXPLAINED,
    Violation.UNEXPECTED: Cause.INTERNAL_ERROR,
}


def test_every_kind_of_violation_is_known_here() -> None:
    assert set(FOLLOWS) == set(Violation)


@pytest.mark.parametrize("violation", FOLLOWS, ids=str)
def test_a_violation_halts_under_the_name_of_its_cause(violation: Violation) -> None:
    state = armed_state()
    assert consequences(state, NOW) == ()
    violate(state.orders, violation, "it", "so")
    (found,) = latches(consequences(state, NOW))
    assert (found.name, found.level, found.scope, found.subject) == (FOLLOWS[violation].value, Level.HALT, Scope.ALL, "")
    assert (found.reason, found.actor) == ("it: so", "gate")
    state.apply(found)
    assert consequences(state, NOW) == ()
    violate(state.orders, violation, "it", "again")
    assert [one.reason for one in latches(consequences(state, NOW))] == ["it: again"]


FLAGGED = {
    Flag.FOREIGN_FILL: (Cause.FOREIGN_ACTIVITY, Level.HALT),
    Flag.REVERSAL: (Cause.REVERSAL, Level.HALT),
    Flag.ADL: (Cause.ADL, Level.REDUCE_ONLY),
    Flag.LIQUIDATION: (Cause.LIQUIDATION, Level.REDUCE_ONLY),
    Flag.CONFLICT: (Cause.UNEXPLAINED, Level.HALT),
    Flag.UNPRICED: (Cause.UNEXPLAINED, Level.HALT),
    Flag.TOO_OLD: (Cause.UNEXPLAINED, Level.HALT),
    Flag.REFUSED: (Cause.INTERNAL_ERROR, Level.HALT),
}


def test_every_kind_of_flag_is_known_here() -> None:
    assert set(FLAGGED) == set(Flag)


@pytest.mark.parametrize("flag", FLAGGED, ids=str)
def test_a_flag_of_the_ledger_latches_under_the_name_of_its_cause_as_often_as_it_is_raised(flag: Flag) -> None:
    cause, level = FLAGGED[flag]
    state = armed_state()
    state.ledger.flags[flag, "it"] = 1
    (found,) = latches(consequences(state, NOW))
    assert (found.name, found.level) == (cause.value, level)
    state.apply(found)
    assert consequences(state, NOW) == ()
    state.ledger.flags[flag, "it"] = 2
    assert [one.name for one in latches(consequences(state, NOW))] == [cause.value]


def test_each_foreign_order_and_each_duplicate_id_is_latched_once() -> None:
    for event, cause in (
        (aw.foreign(), Cause.FOREIGN_ACTIVITY),
        (r.SendUnknown(boot_ns=1, client_id="", revision=0, reason=r.DUPLICATE_ID), Cause.DUPLICATE_CLIENT_ID),
    ):
        state = armed_state()
        for _ in range(2):
            state.apply(event)
            found = [one for one in latches(consequences(state, NOW)) if one.name == cause.value]
            assert len(found) == 1
            for one in consequences(state, NOW):
                state.apply(one)
            assert consequences(state, NOW) == ()


def test_the_reason_of_a_latch_has_an_end() -> None:
    state = armed_state()
    violate(state.orders, Violation.OVERFILL, "x" * 2 * LONGEST_DETAIL, "")
    (found,) = latches(consequences(state, NOW))
    assert found.reason == "x" * 500


def test_losses_that_tripped_are_told_with_their_figures() -> None:
    state = armed_state()
    lost = Decimal(-1_000)
    state.apply(r.Marked(boot_ns=NOW.boot_ns, realised_usd=lost, unrealised_usd=Decimal(0), equity_usd=Decimal(0)))
    (found,) = [one for one in latches(consequences(state, NOW)) if one.name == Cause.LOSS.value]
    assert (found.scope, found.subject, found.level, found.evidence) == (Scope.ALL, "", Level.REDUCE_ONLY, {})
    assert found.reason == "1000000000 micro-USD lost at worst, 1000000000 below the peak, on "


def test_a_loss_in_one_currency_is_told_with_it_where_the_total_says_nothing() -> None:
    state = armed_state()
    none = Decimal(0)
    by_currency = (("KRW", Decimal(3), none), ("USDT", Decimal(-11), none))
    state.apply(r.Marked(boot_ns=NOW.boot_ns, realised_usd=none, unrealised_usd=none, equity_usd=none, by_currency=by_currency))
    (found,) = [one for one in latches(consequences(state, NOW)) if one.name == Cause.LOSS.value]
    assert found.reason == "0 micro-USD lost at worst, 1000000000 below the peak, 11000000 millionths of a USDT for good, on "


# Denials


def big_error() -> PlainWire:
    class Broken(PlainWire):
        def placement(self, intent: r.Intent, sign_wall_ns: int) -> bytes:
            raise RuntimeError("x" * 2_000)

    return Broken()


def test_what_a_denial_says_has_an_end() -> None:
    world = World()
    world.setup = with_setup(world, wires={"bybit": big_error()})
    effects = world.decide()
    said = f"RuntimeError: {'x' * 2_000}"[:500]
    (denied,) = [record for record in effects.records if isinstance(record, r.Deny)]
    assert (denied.rule, denied.detail, effects.decision.detail) == ("internal_error", said, said)
    assert [one.reason for one in latches(effects.records)] == [said]


def with_setup(world: World, **values: Any) -> Setup:
    import dataclasses

    return dataclasses.replace(world.setup, **values)


LONG = "x" * 65
BOOK = r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=400_000, ask_ticks=400_001, boot_ns=NOW.boot_ns)


@pytest.mark.parametrize("field", ["venue", "symbol", "strategy", "group", "amends"])
def test_a_text_of_64_characters_is_a_text_and_one_of_65_is_none(field: str) -> None:
    assert rules(World(proposal=proposal(**{field: LONG[:64]})).decide())[1] != "malformed"
    assert rules(World(proposal=proposal(**{field: LONG})).decide()) == (DENY, "malformed")


@pytest.mark.parametrize("field", ["venue", "symbol"])
def test_a_text_in_a_book_has_the_same_bound(field: str) -> None:
    short, long = (msgspec.structs.replace(BOOK, **{field: text}) for text in (LONG[:64], LONG))
    assert rules(World(proposal=proposal(books=(BOOK, short))).decide())[1] != "malformed"
    assert rules(World(proposal=proposal(books=(BOOK, long))).decide()) == (DENY, "malformed")


def test_sixteen_books_are_the_most() -> None:
    assert rules(World(proposal=proposal(books=(BOOK,) * 16)).decide())[1] != "malformed"
    assert rules(World(proposal=proposal(books=(BOOK,) * 17)).decide()) == (DENY, "malformed")


TOO_LARGE = {"bid_ticks": LARGEST, "ask_ticks": LARGEST, "boot_ns": LARGEST_TIME_NS}


@pytest.mark.parametrize(
    ("change", "other"),
    [
        ({"ticks": 0}, "collar_reference"),
        ({"ticks": -1}, ""),
        ({"ticks": LARGEST}, ""),
        ({"lots": 0}, ""),
        ({"lots": -1}, ""),
        ({"lots": LARGEST}, ""),
        ({"sequence": LARGEST}, ""),
        ({"sequence": -LARGEST}, ""),
        ({"created_boot_ns": -1}, ""),
        ({"created_boot_ns": LARGEST_TIME_NS}, ""),
        ({"deadline_boot_ns": -1}, ""),
        ({"deadline_boot_ns": 1 << 63}, ""),
        *(({"books": (msgspec.structs.replace(BOOK, **{name: value}),)}, "") for name, value in TOO_LARGE.items()),
        *(({"books": (msgspec.structs.replace(BOOK, **{name: -1}),)}, "") for name in TOO_LARGE),
    ],
)
def test_figures_that_no_record_should_hold_are_no_proposal_and_use_up_no_number(change: dict[str, Any], other: str) -> None:
    world = World(proposal=proposal(**{"sequence": 7, **change}))
    effects = world.decide()
    assert rules(effects) == (DENY, "quantities")
    (denied,) = effects.records
    assert isinstance(denied, r.Deny)
    assert (denied.sequence, denied.strategy, denied.client_id) == (-1, "demo", "")
    assert denied.detail.startswith("expected ")
    batch = [world.proposal, world.proposal]
    world.readings.read_only = True
    assert deny_batch(world.setup, world.state, world.readings, batch, world.now) is None
    world.readings.read_only = False
    world.proposal = proposal(sequence=0)
    assert rules(world.decide()) == (PERMIT, "")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"ticks": LARGEST - 1}, "collar_reference"),
        ({"ticks": 1}, ""),
        ({"lots": LARGEST - 1}, "max_order_lots"),
        ({"sequence": LARGEST - 1}, ""),
        ({"sequence": 1 - LARGEST}, "repeated"),
        ({"created_boot_ns": LARGEST_TIME_NS - 1}, "created_in_future"),
        ({"created_boot_ns": 0}, "too_old"),
        ({"deadline_boot_ns": (1 << 63) - 1}, "deadline_too_far"),
        ({"deadline_boot_ns": 0}, "deadline_passed"),
    ],
)
def test_the_last_figure_within_the_bounds_is_judged_by_the_rules(change: dict[str, Any], rule: str) -> None:
    assert rules(World(proposal=proposal(**change)).decide())[1] == rule


@pytest.mark.parametrize("bids", [0, LARGEST - 1])
def test_figures_of_books_within_the_bounds_are_judged_by_the_rules(bids: int) -> None:
    book = msgspec.structs.replace(BOOK, bid_ticks=bids, ask_ticks=LARGEST - 1, boot_ns=0)
    assert rules(World(proposal=proposal(books=(book,))).decide()) == (DENY, "engine_books")


def test_a_malformed_proposal_uses_up_no_number() -> None:
    world = World(proposal=proposal(sequence=7, symbol=LONG))
    (denied,) = world.decide().records
    assert isinstance(denied, r.Deny)
    assert (denied.rule, denied.strategy, denied.sequence, denied.revision) == ("malformed", "demo", -1, 0)
    world.proposal = proposal(sequence=0)
    assert rules(world.decide()) == (PERMIT, "")


def test_a_strategy_whose_name_is_too_long_is_told_under_none() -> None:
    world = World(proposal=proposal(strategy=LONG))
    (denied,) = world.decide().records
    assert isinstance(denied, r.Deny)
    assert (denied.strategy, denied.sequence) == ("", -1)


def test_a_denial_says_of_which_proposal_it_is() -> None:
    world = World(proposal=proposal(sequence=7, lots=3))
    intent, denied = world.decide().records
    assert isinstance(intent, r.Intent)
    assert isinstance(denied, r.Deny)
    assert (denied.client_id, denied.sequence, denied.strategy, denied.revision) == (intent.client_id, 7, "demo", 0)
    stranger = World(proposal=proposal(sequence=7, strategy="nobody"))
    (denied,) = stranger.decide().records
    assert isinstance(denied, r.Deny)
    assert (denied.client_id, denied.sequence, denied.strategy) == ("", -1, "")


def test_the_denial_of_an_amend_names_its_revision() -> None:
    world = World()
    client_id = resting(world)
    effects = world.next(amends=client_id, ticks=399_999, lots=3)
    (denied,) = [record for record in effects.records if isinstance(record, r.Deny)]
    assert (denied.client_id, denied.revision, denied.rule) == (client_id, 1, "max_order_lots")
    assert effects.decision.client_id == client_id


# Batches


def batch_of(world: World, *proposals: Any) -> Effects | None:
    return deny_batch(world.setup, world.state, world.readings, proposals, world.now)


def test_a_batch_is_denied_whole_under_its_highest_number_and_not_twice_in_a_second() -> None:
    world = World()
    world.readings.read_only = True
    found = batch_of(world, proposal(sequence=3), proposal(sequence=9), proposal(sequence=5))
    assert found is not None
    (record,) = found.records
    assert isinstance(record, r.Deny)
    assert (record.sequence, record.count, record.client_id, record.strategy) == (9, 3, "", "demo")
    assert (found.decision.result, found.decision.rule, found.repeats) == (DENY, "read_only", None)
    world.state.apply(record)
    again = batch_of(world, proposal(sequence=10), proposal(sequence=11))
    assert again is not None
    assert (again.records, again.repeats, again.decision.rule) == ((), ("demo", "read_only"), "read_only")
    world.now = Now(NOW.boot_ns + S, NOW.wall_ns)
    later = batch_of(world, proposal(sequence=10), proposal(sequence=11))
    assert later is not None
    assert len(later.records) == 1


def test_a_batch_of_a_strategy_that_nobody_configured_is_counted_under_no_name() -> None:
    world = World()
    world.readings.read_only = True
    found = batch_of(world, *(proposal(sequence=n, strategy="made up") for n in range(2)))
    assert found is not None
    assert (found.records, found.repeats) == ((), ("", "read_only"))


def test_a_batch_is_looked_at_one_by_one_where_not_all_are_denied_alike() -> None:
    world = World()
    world.readings.read_only = True
    assert batch_of(world, proposal(), proposal()) is not None
    assert batch_of(world) is None
    assert batch_of(world, proposal()) is None
    assert batch_of(world, proposal(), proposal(strategy="made up")) is None
    assert batch_of(world, proposal(), proposal(symbol=LONG)) is None
    world.readings.read_only = False
    assert batch_of(world, proposal(), proposal(symbol="XRPUSDT")) is None
    assert batch_of(world, proposal(symbol="XRPUSDT"), proposal(symbol="XRPUSDT")) is not None
    world.state.apply(latch(Level.REDUCE_ONLY))
    assert batch_of(world, proposal(), proposal()) is None, "one of them could be a reduction"


def test_a_latch_on_an_order_denies_no_batch_whose_orders_have_no_ids_yet() -> None:
    world = World()
    world.state.apply(msgspec.structs.replace(latch(Level.HALT), scope=Scope.ORDER, subject="another"))
    assert batch_of(world, proposal(), proposal()) is None
    assert rules(world.decide()) == (PERMIT, "")


def test_a_batch_at_a_venue_of_which_no_account_is_known_is_met_by_every_latch_on_an_account() -> None:
    world = World()
    world.setup = with_setup(world, accounts={})
    assert batch_of(world, proposal(), proposal()) is None
    world.state.apply(msgspec.structs.replace(latch(Level.HALT), scope=Scope.ACCOUNT, subject="bybit/other"))
    found = batch_of(world, proposal(), proposal())
    assert found is not None
    assert found.decision.rule == "level_forbids"
    assert batch_of(World(state=world.state), proposal(), proposal()) is None, "that account is not ours"


# One proposal


def said(**change: Any) -> tuple[str, str]:
    decision = World(proposal=proposal(**change)).decide().decision
    return decision.rule, decision.detail


def test_times_are_judged_to_the_nanosecond_and_told() -> None:
    setup, at = World().setup, NOW.boot_ns
    oldest, farthest = at - setup.longest_age_ns, at + setup.longest_deadline_ns
    assert said(created_boot_ns=at)[0] == said(created_boot_ns=oldest)[0] == ""
    assert said(created_boot_ns=at + 3) == ("created_in_future", "made 3 ns from now")
    assert said(created_boot_ns=oldest - 1) == ("too_old", "made 500000001 ns ago, allowed 500000000")
    assert said(deadline_boot_ns=at + 1)[0] == said(deadline_boot_ns=farthest)[0] == ""
    assert said(deadline_boot_ns=at) == ("deadline_passed", "0 ns ago")
    assert said(deadline_boot_ns=at - 3) == ("deadline_passed", "3 ns ago")
    assert said(deadline_boot_ns=farthest + 1) == ("deadline_too_far", "in 5000000001 ns, allowed 5000000000")


def test_numbers_of_proposals_begin_with_nought_and_rise() -> None:
    world = World(proposal=proposal(sequence=0))
    assert rules(world.decide()) == (PERMIT, "")
    world.proposal = proposal(sequence=0, ticks=399_999)
    assert rules(world.decide()) == (DENY, "repeated")
    world.proposal = proposal(sequence=1, ticks=399_999)
    assert rules(world.decide()) == (PERMIT, "")


def test_an_id_tells_epoch_number_and_process_life() -> None:
    world = World()
    for number in (1, 2):
        parsed = parse_client_id(world.next(ticks=400_000 - number).decision.client_id, "demo")
        assert parsed is not None
        assert (parsed.epoch, parsed.sequence) == (1_800_000_000, number)
        assert parsed.incarnation == int(LIFE, 16) % (1 << INCARNATION_BITS)
    for record in (aw.boot("f" * 32), r.Epoch(boot_ns=2, number=1_800_000_001)):
        world.state.apply(record)
    parsed = parse_client_id(world.next().decision.client_id, "demo")
    assert parsed is not None
    assert (parsed.epoch, parsed.sequence, parsed.incarnation) == (1_800_000_001, 1, (1 << INCARNATION_BITS) - 1)


@pytest.mark.parametrize("missing", ["tags", "accounts", "wires"])
def test_what_is_not_configured_is_not_known(missing: str) -> None:
    world = World()
    world.setup = with_setup(world, **{missing: {}})
    assert rules(world.decide()) == (DENY, "known")


def test_an_amend_is_the_same_order_but_for_price_and_size() -> None:
    world = World()
    client_id = resting(world)
    world.setup = with_setup(
        world,
        accounts={"bybit": "main", "upbit": "main"},
        wires={**world.setup.wires, "upbit": PlainWire()},
        tags={"demo": "demo", "other": "othe"},
    )
    for change in (
        {"venue": "upbit"},
        {"symbol": "ETHUSDT"},
        {"side": Side.SELL},
        {"type": OrderType.MARKET},
        {"tif": TimeInForce.GTC},
        {"reduce_only": True},
        {"strategy": "other"},
    ):
        refused = world.next(amends=client_id, **change)
        if refused.repeats is None:
            assert "another kind of order" in refused.decision.detail
        assert rules(refused) == (DENY, "not_amendable"), change
    world.setup = with_setup(world, accounts={"bybit": "other"})
    assert rules(world.next(amends=client_id, ticks=399_999)) == (DENY, "not_amendable")
    world.setup = with_setup(world, accounts={"bybit": "main"})
    effects = world.next(amends=client_id, ticks=399_999)
    assert rules(effects) == (PERMIT, "")
    planned, intent = planned_of(effects), effects.records[0]
    assert isinstance(intent, r.Intent)
    assert (planned.client_id, planned.revision, intent.revision, permit_in(effects).revision) == (client_id, 1, 1, 1)
    assert planned.frame.startswith(b"amend ")
    again = world.next(amends=client_id, ticks=399_998)
    assert rules(again) == (DENY, "not_amendable"), "one change at a time"


@pytest.mark.parametrize(
    ("name", "rule", "doubts"),
    [
        ("stopped", "stop_word", (None, 0, True)),
        ("lease_held", "lease", (None, 1, False)),
        ("sentinel_alive", "sentinel", (None, 1, False)),
        ("checker_alive", "checker", (None, 1, False)),
    ],
)
def test_what_is_not_certainly_in_order_denies(name: str, rule: str, doubts: tuple[Any, ...]) -> None:
    assert rules(World().decide()) == (PERMIT, "")
    for doubt in doubts:
        world = World()
        setattr(world.readings, name, doubt)
        effects = world.decide()
        assert (*rules(effects), effects.decision.detail) == (DENY, rule, "not known to be in order")


def test_what_is_not_permitted_at_all_is_denied_by_that_before_anything_else_is_looked_at() -> None:
    for change, rule in (
        (r.Disarmed(boot_ns=1, reason="x", actor="ann", mandate_ends=True), "not_armed"),
        (latch(Level.HALT), "level_forbids"),
    ):
        world = World()
        world.state.apply(change)
        world.readings.stopped = True
        decision = world.decide().decision
        assert (decision.rule, decision.detail) == (rule, "")


def test_a_planned_write_is_what_was_permitted() -> None:
    world = World()
    effects = world.decide()
    planned, permit = planned_of(effects), permit_in(effects)
    assert planned.frame == f"place {planned.client_id} BUY 1@400000 {NOW.wall_ns}".encode()
    assert planned[:3] == ("bybit", effects.decision.client_id, 0)
    assert planned[4:] == (NOW.wall_ns, 2 * S, NOW.boot_ns + S)
    assert (permit.deadline_boot_ns, permit.wall_ns, permit.boot_ns) == (NOW.boot_ns + S, NOW.wall_ns, NOW.boot_ns)
    assert (permit.epoch, permit.mandate, permit.cap_usd, permit.notional_usd) == (1_800_000_000, "", Decimal(100), Decimal("40.0001"))


@pytest.mark.parametrize(("cap", "rule"), [("80.000281", ""), ("80.00028", "max_order_notional_usd")])
def test_the_cap_of_the_grant_holds_to_a_millionth(cap: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lots are worth 80.000281 USD at this rate, rounded against us."""
    monkeypatch.setitem(aw.ENVIRON, "LIVE_MAX_NOTIONAL_USD", cap)
    world = World()
    world.readings.references = lc.seen(
        lc.SHEET, lc.UNIVERSE, *lc.steady(lc.quote(400_000, 400_001, NOW.boot_ns)), lc.rate(ask="1.000001", at=NOW.boot_ns)
    )
    assert rules(world.next(lots=2))[1] == rule


# Groups


def test_a_group_begins_with_its_first_order_and_has_the_bounds_of_the_asset() -> None:
    world = World()
    first = world.next(group="pair")
    (begun,) = [record for record in first.records if isinstance(record, r.GroupReserved)]
    assert [type(record).__name__ for record in first.records] == ["Intent", "GroupReserved", "Permit"]
    asset = lc.SHEET.assets["BTC"]
    assert begun == r.GroupReserved(
        boot_ns=NOW.boot_ns,
        group="pair",
        client_ids=(first.decision.client_id,),
        naked_cap_usd=Decimal(100),
        deadline_boot_ns=NOW.boot_ns + asset.max_naked_ns,
        loss_bound_usd=Decimal(20),
    )
    second = world.next(group="pair", ticks=399_999)
    assert [type(record).__name__ for record in second.records] == ["Intent", "Permit"]
    alone = World().next()
    assert [type(record).__name__ for record in alone.records] == ["Intent", "Permit"]


def test_an_order_under_the_reduce_mandate_begins_no_group() -> None:
    world = World()
    client_id = world.next().decision.client_id
    wired(world, client_id)
    world.state.apply(fill(client_id, Side.BUY, "t1"))
    world.state.apply(latch(Level.REDUCE_ONLY))
    found = world.next(group="fresh", **REDUCE)
    assert rules(found) == (PERMIT, "")
    assert [type(record).__name__ for record in found.records] == ["Intent", "Permit"]
    assert permit_in(found).mandate == "reduce_only"


def unknown(world: World, client_id: str, revision: int = 0) -> None:
    world.state.apply(r.SendUnknown(boot_ns=1, client_id=client_id, revision=revision, reason="timeout"))


@pytest.mark.parametrize("fate", ["unknown", "quarantined", "amend unknown", "amend sent", "resting"])
def test_nothing_new_beside_a_leg_whose_fate_is_not_known(fate: str) -> None:
    world = World()
    if fate in ("unknown", "quarantined"):
        client_id = world.next(group="pair").decision.client_id
        wired(world, client_id)
        unknown(world, client_id)
        if fate == "quarantined":
            world.state.apply(r.Quarantined(boot_ns=1, client_id=client_id, reason="no expiry"))
            assert world.state.orders.by_id[client_id].state is OrderState.QUARANTINED
    else:
        client_id = resting(world, group="pair")
        if fate != "resting":
            assert rules(world.next(group="pair", amends=client_id, ticks=399_999)) == (PERMIT, "")
            wired(world, client_id, 1)
        if fate == "amend unknown":
            unknown(world, client_id, 1)
    held = fate in ("unknown", "quarantined", "amend unknown")
    found = world.next(group="pair", ticks=399_998)
    assert rules(found)[1] == ("group_unresolved" if held else "")
    if held:
        assert client_id in found.decision.detail
        assert rules(world.next(group="other", ticks=399_998)) == (PERMIT, "")


def test_an_order_of_no_group_waits_for_no_other() -> None:
    world = World()
    client_id = world.next().decision.client_id
    wired(world, client_id)
    unknown(world, client_id)
    assert rules(world.next(ticks=399_998)) == (PERMIT, "")


# What is open


def test_an_intent_that_has_no_permit_reserves_nothing_and_is_no_open_order() -> None:
    """Of the ten orders that may be open; what was denied half-way is none of them."""
    sheet = lc.changed(lc.SHEET, "symbols", "bybit:BTCUSDT", max_open_orders_count=1)
    for permitted, rule in ((False, ""), (True, "max_open_orders")):
        world = World(state=armed_state(sheet))
        effects = decide(world.setup, world.state, world.readings, world.proposal, world.now)
        for record in effects.records if permitted else effects.records[:1]:
            world.state.apply(record)
        assert len(world.state.orders.live) == 1
        assert rules(world.next(ticks=399_999))[1] == rule


# The keeper


class Announced(PaperJournal):
    """A journal in memory that tells how far it is durable."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = 0
        self.heard: list[Callable[[Any], None]] = []

    def subscribe(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        self.heard.append(callback)
        return lambda: self.heard.remove(callback)

    def sync(self, lsn: int) -> None:
        self.synced = lsn
        self.tell()

    def tell(self) -> None:
        for callback in self.heard:
            callback(None)


def kept(state: GateState | None = None) -> tuple[Keeper, Announced]:
    journal = Announced()
    return Keeper(state or armed_state(), journal), journal  # type: ignore[arg-type]


def kinds(journal: PaperJournal) -> list[str]:
    return [type(r.decode(payload)).__name__ for payload in journal.payloads]


def tick() -> r.Tick:
    return r.Tick(boot_ns=NOW.boot_ns, wall_ns=1)


def test_each_waits_for_its_own_record_whoever_else_gives_up() -> None:
    async def run() -> None:
        keeper, journal = kept()
        end = keeper.attach(asyncio.get_running_loop())
        lsns = [keeper.take(tick(), now=NOW) for _ in range(4)]
        waiting = [asyncio.ensure_future(keeper.durable(lsn)) for lsn in lsns]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        journal.sync(lsns[1])
        await asyncio.wait(waiting[:2], timeout=1)
        assert [each.done() for each in waiting] == [True, True, False, False]
        assert waiting[0].cancelled()
        journal.sync(lsns[2])
        await asyncio.wait(waiting[:3], timeout=1)
        assert [each.done() for each in waiting] == [True, True, True, False]
        journal.failure = JournalFailed("I/O error")
        journal.tell()
        await asyncio.wait(waiting, timeout=1)
        with pytest.raises(JournalFailed):
            waiting[3].result()
        with pytest.raises(JournalFailed):
            await keeper.durable(lsns[0])
        end()
        assert journal.heard == []

    asyncio.run(run())


def test_what_became_durable_before_a_failure_is_durable() -> None:
    async def run() -> None:
        keeper, journal = kept()
        keeper.attach(asyncio.get_running_loop())
        lsns = [keeper.take(tick(), now=NOW) for _ in range(2)]
        waiting = [asyncio.ensure_future(keeper.durable(lsn)) for lsn in lsns]
        await asyncio.sleep(0)
        journal.synced, journal.failure = lsns[0], JournalFailed("I/O error")
        journal.tell()
        await asyncio.wait(waiting, timeout=1)
        assert waiting[0].result() is None
        assert isinstance(waiting[1].exception(), JournalFailed)

    asyncio.run(run())


def test_nothing_is_kept_of_those_that_wait_no_longer() -> None:
    def futures() -> int:
        gc.collect()
        return sum(isinstance(each, asyncio.Future) for each in gc.get_objects())

    async def run() -> None:
        keeper, journal = kept()
        lsn = keeper.take(tick(), now=NOW)
        journal.sync(lsn)
        before = futures()
        for _ in range(50):
            await keeper.durable(lsn)
        assert futures() - before < 10

    asyncio.run(run())


def test_the_loop_does_not_wait_inside_the_journal() -> None:
    asked: list[bool] = []

    class Asked(Announced):
        def flush(self, *, wait: bool = True) -> bool:
            asked.append(wait)
            return len(asked) > 2

    async def run() -> None:
        keeper = Keeper(armed_state(), Asked())  # type: ignore[arg-type]
        await keeper.handed_over(1)

    asyncio.run(run())
    assert asked == [False] * 3


def test_what_lowers_risk_and_waits_is_written_into_the_room_that_is_kept_for_it() -> None:
    keeper, journal = kept()
    journal.full_after, journal.full_for_all = 0, True
    keeper.take(latch(Level.HALT, "one"), now=NOW)
    assert kinds(journal) == []
    journal.full_for_all = False  # room again, but none for orders
    with pytest.raises(JournalFull):
        keeper.take(tick(), now=NOW)
    assert (kinds(journal), keeper.unwritten) == (["LatchSet"], [])


def decided(state: GateState, **more: Any) -> Effects:
    world = World(state=state)
    world.proposal = proposal(**more)
    return decide(world.setup, state, world.readings, world.proposal, world.now)


def denied_ids(journal: PaperJournal) -> list[tuple[str, int, str]]:
    found = [r.decode(payload) for payload in journal.payloads]
    return [(record.client_id, record.revision, record.rule) for record in found if isinstance(record, r.Deny)]


@pytest.mark.parametrize("taken", [0, 1, 2], ids=["nothing", "the intent", "both"])
def test_only_an_intent_that_was_taken_and_not_permitted_is_denied_when_the_journal_is_full(taken: int) -> None:
    keeper, journal = kept()
    effects = decided(keeper.state, sequence=7)
    client_id = effects.decision.client_id
    journal.full_after = taken
    with pytest.raises(JournalFull):
        keeper.take(*effects.records, tick(), now=NOW)
    if taken == 1:
        assert kinds(journal) == ["Intent", "Deny"]
        (denied,) = [record for record in map(r.decode, journal.payloads) if isinstance(record, r.Deny)]
        assert denied == r.Deny(
            boot_ns=NOW.boot_ns, client_id=client_id, revision=0, strategy="demo", rule="journal", detail="no room", sequence=7
        )
        assert keeper.state.orders.by_id[client_id].state is not OrderState.INTENDED
    else:
        assert kinds(journal) == ["Intent", "Permit"][:taken]
        assert (client_id in keeper.state.orders.by_id) is (taken == 2)
    if taken == 2:
        assert keeper.state.orders.by_id[client_id].state is OrderState.PERMITTED
        assert keeper.permit_lsns == {(client_id, 0): 2}


@pytest.mark.parametrize("taken", [1, 2], ids=["the intent", "both"])
def test_of_an_amend_that_finds_no_room_the_order_stays(taken: int) -> None:
    world = World()
    client_id = resting(world)
    keeper, journal = kept(world.state)
    effects = decided(keeper.state, sequence=7, amends=client_id, ticks=399_999)
    journal.full_after = taken
    with pytest.raises(JournalFull):
        keeper.take(*effects.records, tick(), now=NOW)
    order = keeper.state.orders.by_id[client_id]
    assert order.state is OrderState.OPEN
    assert denied_ids(journal) == ([(client_id, 1, "journal")] if taken == 1 else [])
    assert (order.amend is None) is (taken == 1)


def test_an_intent_to_amend_that_was_not_taken_up_is_not_denied_either() -> None:
    """An amend of an order that has ended meanwhile: the fold ignores it, and there is nothing that waits for an answer."""
    world = World()
    client_id = resting(world)
    effects = decided(world.state, sequence=7, amends=client_id, ticks=399_999)
    world.state.apply(report(client_id, OrderState.CANCELLED, venue_ns=2))
    keeper, journal = kept(world.state)
    journal.full_after = 1
    with pytest.raises(JournalFull):
        keeper.take(*effects.records, now=NOW)
    assert kinds(journal)[0] == "Intent"
    assert denied_ids(journal) == []


def test_a_denial_that_the_keeper_makes_has_an_end() -> None:
    keeper, _ = kept()
    effects = decided(keeper.state)

    class Wordy(Announced):
        def append(self, payload: bytes, *, reserve: bool = False) -> int:
            if self.payloads and not reserve:
                raise JournalFull("x" * 2_000)
            return super().append(payload, reserve=reserve)

    wordy = Wordy()
    keeper = Keeper(keeper.state, wordy)  # type: ignore[arg-type]
    with pytest.raises(JournalFull):
        keeper.take(*effects.records, now=NOW)
    (denied,) = [record for record in map(r.decode, wordy.payloads) if isinstance(record, r.Deny)]
    assert denied.detail == "x" * 500


def test_the_number_of_a_record_is_the_one_that_it_has_or_will_have() -> None:
    keeper, journal = kept()
    assert keeper.take(now=NOW) == 0
    assert keeper.take(tick(), tick(), now=NOW) == 2
    journal.full_after, journal.full_for_all = 2, True
    assert keeper.take(latch(Level.HALT, "one"), now=NOW) == 3
    assert keeper.take(latch(Level.HALT, "two"), latch(Level.HALT, "three"), now=NOW) == 5
    assert [record.name for record in keeper.unwritten if isinstance(record, r.LatchSet)] == ["one", "two", "three"]
    with pytest.raises(JournalFull):
        keeper.take(tick(), now=NOW)
    journal.full_after = 4
    with pytest.raises(JournalFull):
        keeper.take(tick(), now=NOW)
    assert [record.name for record in keeper.unwritten if isinstance(record, r.LatchSet)] == ["three"]
    journal.full_after = 1 << 30
    assert keeper.take(tick(), now=NOW) == 6
    assert keeper.unwritten == []
    names = [record.name for record in map(r.decode, journal.payloads) if isinstance(record, r.LatchSet)]
    assert names == ["one", "two", "three"]


def test_a_grant_is_written_behind_what_waits_and_does_not_live_when_the_journal_refuses_it() -> None:
    from tests.gate.core_world import binding, records_until_run

    state = GateState(lc.SHEET)
    keeper, journal = kept(state)
    keeper.take(*records_until_run(), now=NOW)
    written = journal.last_lsn
    journal.full_after, journal.full_for_all = written, True
    keeper.take(r.LevelSet(boot_ns=NOW.boot_ns, level=Level.CANCEL_ONLY, reason="x", actor="ann", human=True), now=NOW)
    asked, minted = aw.ceremony(aw.situation(binding=binding(), state_version=state.lattice.version), seen_version=state.lattice.version)
    state.happen(asked)
    with pytest.raises(JournalFull):
        keeper.mint(minted)
    assert state.live is None
    journal.full_after = 1 << 30
    assert keeper.mint(minted) == written + 2
    assert kinds(journal)[written:] == ["LevelSet", "Armed"]


@pytest.mark.parametrize("how", ["full", "failed"])
def test_a_journal_that_failed_halts_and_says_so_once_and_one_that_is_full_does_not(how: str) -> None:
    keeper, journal = kept()
    if how == "full":
        journal.full_after = 0
    else:
        journal.failure = JournalFailed("I/O error")
    for _ in range(2):
        with pytest.raises((JournalFull, JournalFailed)):
            keeper.take(tick(), now=NOW)
    found = [hold for hold in keeper.state.lattice.latches if hold.name == Cause.JOURNAL.value]
    if how == "full":
        assert (found, keeper.unwritten) == ([], [])
        assert common_level(keeper.state.lattice) is Level.RUN
    else:
        assert len(found) == 1
        (waits,) = keeper.unwritten
        assert isinstance(waits, r.LatchSet)
        assert (waits.name, waits.level, waits.scope, waits.reason, waits.actor) == ("journal", Level.HALT, Scope.ALL, "I/O error", "gate")


def test_the_place_of_a_permit_is_known_until_its_write_is_over() -> None:
    for over in (
        lambda client_id: r.NotSent(boot_ns=1, client_id=client_id, revision=0, reason="x"),
        lambda client_id: r.Sent(boot_ns=1, client_id=client_id, revision=0, sign_wall_ns=1, receive_window_ns=1),
        lambda client_id: r.SendUnknown(boot_ns=1, client_id=client_id, revision=0, reason="x"),
    ):
        keeper, _ = kept()
        effects = decided(keeper.state)
        client_id = effects.decision.client_id
        lsn = keeper.take(*effects.records, now=NOW)
        assert keeper.permit_lsns == {(client_id, 0): lsn}
        keeper.take(r.WireBegin(boot_ns=1, client_id=client_id, revision=0, connection="c"), now=NOW)
        keeper.take(msgspec.structs.replace(over(client_id), revision=1), now=NOW)
        assert keeper.permit_lsns == {(client_id, 0): lsn}
        keeper.take(over(client_id), now=NOW)
        assert keeper.permit_lsns == {}


DOES_MORE: dict[str, r.Record] = {
    "boot": aw.boot(),
    "epoch": r.Epoch(boot_ns=1, number=1),
    "tick": tick(),
    "armed": aw.ceremony()[1].record,
    "latch cleared": r.LatchCleared(
        boot_ns=1, name="operator", scope=Scope.ALL, subject="", actor="ann", nonce=aw.NONCES[0], state_version=0
    ),
    "interlock cleared": r.InterlockCleared(boot_ns=1, name="feed_stale", scope=Scope.ALL, subject=""),
    "intent": lc.intent(),
    "permit": aw.permit("demo-1", "g"),
    "group": r.GroupReserved(boot_ns=1, group="g", client_ids=(), naked_cap_usd=Decimal(1), deadline_boot_ns=2),
    "write begins": r.WireBegin(boot_ns=1, client_id="demo-1", revision=0, connection="c"),
    "released": r.Released(boot_ns=1, client_id="demo-1", state=OrderState.CANCELLED, filled_lots=0, actor="ann", nonce=aw.NONCES[0]),
    "transfer announced": r.LedgerExpected(
        boot_ns=1,
        kind=r.LedgerKind.DEPOSIT,
        venue="bybit",
        account="main",
        currency="USDT",
        amount=Decimal(1),
        until_wall_ns=2,
        actor="ann",
    ),
    "new day": r.DayRolled(boot_ns=1, day="2026-01-01", baseline=(), baseline_usd=Decimal(0), wall_ns=1),
    "explained": aw.reconciled(),
    "level up": aw.level_set(Level.RUN),
}
DOES_LESS: dict[str, r.Record] = {
    "latch": latch(Level.HALT),
    "unexplained": aw.reconciled(explained=False),
    "same level": aw.level_set(Level.HALT),
    "denial": r.Deny(boot_ns=1, client_id="", strategy="", rule="x", detail=""),
    "not sent": r.NotSent(boot_ns=1, client_id="demo-1", revision=0, reason="x"),
    "cancel wanted": r.CancelWanted(boot_ns=1, client_id="demo-1", reason="x", actor="ann"),
    "foreign": aw.foreign(),
    "kill": r.KillRequested(boot_ns=1, source="ann", wall_ns=1),
}


@pytest.mark.parametrize("name", [*DOES_MORE, *DOES_LESS])
def test_what_does_more_than_lower_risk_counts_only_when_the_journal_takes_it(name: str) -> None:
    state = GateState(lc.SHEET)
    record = {**DOES_MORE, **DOES_LESS}[name]
    assert must_be_folded(state, record) is (name in DOES_LESS)
    keeper, journal = kept(state)
    journal.full_after, journal.full_for_all = 0, True
    before = state.digest()
    if name in DOES_LESS:
        keeper.take(record, now=NOW)
        assert keeper.unwritten[0] == record
        assert state.digest() != before
    else:
        with pytest.raises(JournalFull):
            keeper.take(record, now=NOW)
        assert (keeper.unwritten, state.digest()) == ([], before)
