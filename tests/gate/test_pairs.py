"""A pair at the decision: reserved whole before its first order, entered within that, and answered by no more than was executed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate import limit_cases as lc
from tests.gate.core_world import NOW, S, World
from tests.gate.pair_world import (
    FLAGGED,
    HERE,
    LONGEST_NAKED_NS,
    THERE,
    answer,
    ask,
    enter,
    facts_of_two,
    fills,
    hold_at_reduce_only,
    left,
    legs,
    mandate_of,
    pair,
    plan,
    references,
    sent,
    unknown,
)

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import pairs
from interlock.gate import records as r
from interlock.gate.absence import AbsenceRule, Expiry
from interlock.gate.core import PERMIT
from interlock.gate.exposure import Equity, universe_of
from interlock.gate.frames import Plan
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.readings import Now
from interlock.gate.state import GateState

USD = 1_000_000


def rule(effects: Any) -> str:
    """The rule that denied; empty for a permit."""
    return str(effects.decision.rule)


def entered(world: World | None = None, **more: Any) -> tuple[World, str]:
    """A pair whose first leg, of two lots, is on the wire whole."""
    world = pair() if world is None else world
    return world, sent(world, enter(world, **more))


def later(world: World, ns: int) -> World:
    """The same a while later, with everything as fresh as it was."""
    world.now = Now(world.now.boot_ns + ns, world.now.wall_ns + ns)
    world.readings.references = references(at=world.now.boot_ns)
    world.readings.equity = {(venue, "main"): Equity(1_000_000_000, world.now.boot_ns) for venue in ("bybit", "other")}
    zero = Decimal(0)
    world.state.apply(r.Marked(boot_ns=world.now.boot_ns, realised_usd=zero, unrealised_usd=zero, equity_usd=Decimal(1_000)))
    return world


def ended(world: World, client_id: str, filled: int = 0) -> None:
    """An order has expired at the venue."""
    world.state.apply(
        r.Reported(
            boot_ns=world.now.boot_ns,
            client_id=client_id,
            venue_order_id="v",
            state=OrderState.EXPIRED,
            filled_lots=filled,
            lots=2,
            source="stream",
            code="",
            venue_ns=1,
        )
    )


# What is reserved


def test_a_pair_is_one_record_before_its_first_permit() -> None:
    world = pair()
    effects = enter(world)
    assert [type(record) for record in effects.records] == [r.Intent, r.GroupReserved, r.Permit]
    assert effects.records[1] == r.GroupReserved(
        boot_ns=NOW.boot_ns,
        group="p",
        client_ids=(effects.decision.client_id,),
        naked_cap_usd=Decimal(90),
        loss_bound_usd=Decimal(10),
        deadline_boot_ns=NOW.boot_ns + LONGEST_NAKED_NS,
        reserved_until_boot_ns=NOW.boot_ns + 60 * S,
        legs=(
            r.ReservedLeg(
                venue="bybit",
                account="main",
                symbol="BTCUSDT",
                side=Side.BUY,
                ticks=200_002,
                lots=2,
                units_per_lot=1,
                notional_usd=Decimal("40.0004"),
            ),
            r.ReservedLeg(
                venue="other",
                account="main",
                symbol="BTC",
                side=Side.SELL,
                ticks=199_999,
                lots=2,
                units_per_lot=1,
                notional_usd=Decimal("40.0002"),
            ),
        ),
    )
    assert left(world) == (0, 2)


def test_at_every_record_of_its_beginning_the_pair_is_reserved_whole_or_not_at_all() -> None:
    world = pair()
    intent, begun, permit = enter(world).records
    assert isinstance(intent, r.Intent)
    prefix = GateState(world.state.sheet)
    prefix.apply(intent)
    assert pairs.reserved(prefix, NOW.boot_ns) == []
    prefix.apply(begun)
    assert [one.lots for one in pairs.reserved(prefix, NOW.boot_ns)] == [2, 2], "neither leg has been permitted"
    whole = GateState(world.state.sheet)
    for record in (intent, begun, permit):
        whole.apply(record)
    assert [one.lots for one in pairs.reserved(whole, NOW.boot_ns)] == [2]
    denied = r.Deny(boot_ns=NOW.boot_ns, client_id=intent.client_id, strategy="demo", rule="journal", detail="")
    prefix.apply(denied)
    assert pairs.reserved(prefix, NOW.boot_ns) == [], "the journal took no permit: nothing of the pair will leave"


def test_a_plan_asks_for_less_than_the_limits_and_never_for_more() -> None:
    world = pair()
    sheet = world.state.sheet.assets["BTC"]
    enter(world, plan(world, naked_cap_usd=Decimal(10**9), loss_bound_usd=Decimal(10**9), deadline_boot_ns=1 << 62))
    group = world.state.groups["p"]
    assert (group.naked_cap_usd, group.loss_bound_usd) == (Decimal(100), Decimal(20))
    assert group.reserved_until_boot_ns == group.deadline_boot_ns == NOW.boot_ns + sheet.max_naked_ns


def test_the_second_leg_takes_from_the_reservation_and_is_not_counted_twice() -> None:
    world, first = entered()
    fills(world, first, 1)
    assert left(world) == (0, 2)
    assert mandate_of(answer(world, 1)) == ""
    assert left(world) == (0, 1)
    fills(world, first, 1, "t2")
    assert mandate_of(answer(world, 1, 200_001)) == ""
    assert left(world) == (0, 0)


def test_a_first_leg_may_be_entered_in_parts() -> None:
    world = pair()
    first = sent(world, enter(world, lots=1))
    assert left(world) == (1, 2)
    assert rule(ask(world, Side.BUY, **HERE, group="p", lots=2)) == "pair_not_reserved"
    assert mandate_of(ask(world, Side.BUY, **HERE, group="p")) == ""
    assert left(world) == (0, 2)
    fills(world, first)
    assert left(world) == (0, 2)


def test_with_all_of_it_ended_and_answered_a_pair_is_over() -> None:
    world, first = entered()
    ended(world, first)
    assert left(world) == (0, 0)
    assert "pair_not_reserved" in rule(ask(world, Side.BUY, **HERE, group="p"))
    world, first = entered()
    fills(world, first, 1)
    ended(world, first, 1)
    assert left(world) == (1, 2), "one lot is to be answered, and one may still be entered"
    second = sent(world, answer(world, 1))
    assert left(world) == (1, 1)
    fills(world, second)
    assert left(world) == (0, 0)


def test_a_pair_is_not_over_while_any_order_of_it_is_alive() -> None:
    world = pair()
    sent(world, enter(world, lots=1))
    other = sent(world, ask(world, Side.BUY, **HERE, group="p"))
    ended(world, other)
    assert left(world) == (1, 2)


def test_what_is_reported_and_was_not_seen_keeps_a_pair_from_being_over() -> None:
    world, first = entered()
    ended(world, first, 1)
    assert left(world) == (1, 2)
    assert rule(answer(world, 1)) == "pair_not_proven"
    fills(world, first)
    assert mandate_of(answer(world, 1)) == ""


def test_after_its_time_a_pair_keeps_only_what_may_need_an_answer() -> None:
    world = pair()
    first = sent(world, enter(world, lots=1))
    assert left(later(world, 60 * S)) == (1, 2)
    assert left(later(world, 1)) == (0, 1), "what is open of the first leg may still fill"
    late = ask(world, Side.BUY, **HERE, group="p")
    assert rule(late) == "pair_not_reserved"
    assert "the time of the pair ended 1 ns ago" in late.decision.detail
    fills(world, first)
    assert left(world) == (0, 1)
    assert mandate_of(answer(world, 1)) == "", "an answer is not late while the group can be worked on"
    just = pair()
    sent(just, enter(just, lots=1))
    assert rule(ask(later(just, 60 * S), Side.BUY, **HERE, group="p")) == "", "its last moment is within its time"
    over = later(pair(), 0)
    enter(over)
    later(over, LONGEST_NAKED_NS + 1)
    assert pairs.reserved(over.state, over.now.boot_ns) == []


def test_what_would_enter_a_pair_after_its_time_is_cancelled() -> None:
    world = pair()
    rests = plan(world, *(leg(one, tif=TimeInForce.GTC) for one in legs()))
    first = sent(world, enter(world, rests, ticks=199_990, lots=1))
    over = sent(world, ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.GTC, "ticks": 199_991}, group="p"))
    fills(world, over)
    second = sent(world, answer(world, 1, 200_100, tif=TimeInForce.GTC))
    assert pairs.overdue(world.state, NOW.boot_ns + 60 * S) == ()
    (wanted,) = pairs.overdue(world.state, NOW.boot_ns + 60 * S + 1)
    assert (wanted.client_id, wanted.actor) == (first, "gate")
    assert second in world.state.orders.live, "what answers an execution stays"
    killed = GateState(world.state.sheet)
    killed.groups, killed.orders = world.state.groups, world.state.orders
    killed.apply(r.KillEffective(boot_ns=NOW.boot_ns))
    assert pairs.overdue(killed, NOW.boot_ns + 60 * S + 1) == (), "after a kill the sentinel cancels"
    world.state.apply(wanted)
    assert pairs.overdue(world.state, NOW.boot_ns + 60 * S + 1) == ()
    del world.state.orders.by_id[first]
    assert pairs.overdue(world.state, NOW.boot_ns + 60 * S + 1) == ()


@pytest.mark.parametrize("where", ["here", "there"])
def test_what_brings_a_pair_home_is_not_cancelled_after_its_time_and_what_enters_is_wherever_it_stands(where: str) -> None:
    world = pair()
    rests = plan(world, *(leg(one, tif=TimeInForce.GTC) for one in legs()))
    fills(world, gone := sent(world, enter(world, rests, lots=1)))
    assert world.state.orders.by_id[gone].state.final
    first = sent(world, ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.GTC, "ticks": 199_990}, group="p"))
    if where == "here":
        home = sent(world, ask(world, Side.SELL, **HERE, group="p"))
    else:
        fills(world, sent(world, answer(world, 1)))
        hold_at_reduce_only(world)
        home = sent(world, ask(world, Side.BUY, **{**THERE, **FLAGGED, "ticks": 200_001}, group="p"))
    world.state.groups = {"a": world.state.groups["p"]._replace(legs=()), **world.state.groups}
    (wanted,) = pairs.overdue(world.state, NOW.boot_ns + 60 * S + 1)
    assert wanted.client_id == first
    assert home in world.state.orders.live


@pytest.mark.parametrize("name", ["q", "p"])
def test_what_would_enter_a_pair_is_cancelled_before_another_group_lets_it_be_forgotten(name: str) -> None:
    world = pair()
    rests = plan(world, *(leg(one, tif=TimeInForce.GTC) for one in legs(lots=1)), deadline_boot_ns=NOW.boot_ns + 2 * LONGEST_NAKED_NS)
    first = sent(world, enter(world, rests, ticks=199_990))
    later(world, LONGEST_NAKED_NS)
    assert pairs.overdue(world.state, world.now.boot_ns) == (), "its time is not over"
    later(world, 1)
    assert world.state.orders.by_id[first].cancel is None
    assert rule(ask(world, Side.BUY, **HERE, group=name, lots=1)) == ""
    assert name != "q" or "p" not in world.state.groups
    assert pairs.overdue(world.state, world.now.boot_ns) == ()
    assert world.state.orders.by_id[first].cancel is not None


def test_unwinding_a_pair_ends_the_entering_of_it() -> None:
    world = pair()
    first = sent(world, enter(world, lots=1))
    fills(world, first)
    assert left(world) == (1, 2)
    assert mandate_of(ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="p")) == "hedge", "at RUN too it must fit the mandate"
    assert left(world) == (0, 0), "what is being sold again needs no answer"
    larger = msgspec.structs.replace(world.state.groups["p"].legs[0], lots=9)
    world.state.groups["p"] = world.state.groups["p"]._replace(legs=(larger, world.state.groups["p"].legs[1]))
    assert left(world) == (0, 0), "nor is the rest of it entered"


def test_a_group_without_a_plan_reserves_nothing() -> None:
    world = pair()
    sent(world, ask(world, Side.BUY, **HERE, group="p"))
    assert world.state.groups["p"].legs == ()
    assert pairs.reserved(world.state, world.now.boot_ns) == []
    assert not pairs.is_second(world.state.groups["p"], lc.intent(Side.SELL, venue="other", symbol="BTC"))


# Whether it counts


def sheet_with(world: World, table: str, name: str = "", **values: Any) -> LimitSheet:
    return lc.changed(world.state.sheet, table, name, **values)


def under(sheet: LimitSheet) -> World:
    """A world whose limits are these."""
    world = pair()
    world.state.given = sheet
    return world


BOTH = 80 * USD + 600
LIMITS: list[tuple[str, str, str, dict[str, int], dict[str, int]]] = [
    ("max_gross_notional_usd", "account", "", {"max_gross_notional_micro_usd": BOTH + 200}, {"max_gross_notional_micro_usd": BOTH - 200}),
    (
        "max_venue_gross_notional_usd",
        "venues",
        "other",
        {"max_gross_notional_micro_usd": 40 * USD + 200},
        {"max_gross_notional_micro_usd": 40 * USD + 199},
    ),
    ("max_order_lots", "symbols", "other:BTC", {"max_order_lots": 2}, {"max_order_lots": 1}),
    (
        "max_order_notional_usd",
        "symbols",
        "other:BTC",
        {"max_order_notional_micro_usd": 40 * USD + 200},
        {"max_order_notional_micro_usd": 40 * USD},
    ),
    ("max_position_lots", "symbols", "other:BTC", {"max_position_lots": 2}, {"max_position_lots": 1}),
    (
        "max_position_notional_usd",
        "symbols",
        "other:BTC",
        {"max_position_notional_micro_usd": 40 * USD + 200},
        {"max_position_notional_micro_usd": 40 * USD},
    ),
    (
        "max_naked_notional_usd",
        "assets",
        "BTC",
        {"max_naked_notional_micro_usd": 40 * USD + 400},
        {"max_naked_notional_micro_usd": 40 * USD},
    ),
    (
        "min_available_margin_usd",
        "venues",
        "other",
        {"min_available_margin_micro_usd": 995 * USD},
        {"min_available_margin_micro_usd": 997 * USD},
    ),
    ("max_orders", "strategies", "demo", {"max_orders_count": 2}, {"max_orders_count": 1}),
    (
        "max_messages",
        "venues",
        "other",
        {"max_messages_count": 3, "cancel_reserve_count": 1},
        {"max_messages_count": 1, "cancel_reserve_count": 1},
    ),
]


@pytest.mark.parametrize(("name", "table", "entry", "enough", "short"), LIMITS, ids=[row[0] for row in LIMITS])
def test_each_limit_is_asked_of_the_whole_pair(name: str, table: str, entry: str, enough: dict[str, int], short: dict[str, int]) -> None:
    passes, refuses = under(sheet_with(pair(), table, entry, **enough)), under(sheet_with(pair(), table, entry, **short))
    assert rule(enter(passes)) == ""
    assert rule(enter(refuses)) == name
    assert "p" not in refuses.state.groups
    assert rule(ask(refuses, Side.BUY, **{**HERE, "lots": 2})) in ("", name), "the first leg alone would pass, or is stopped by the same"


@pytest.mark.parametrize("lots", [1, 2])
def test_the_permit_of_a_first_order_tells_what_the_whole_pair_comes_to(lots: int) -> None:
    world = pair()
    (permit,) = (record for record in enter(world, lots=lots).records if isinstance(record, r.Permit))
    assert gross_of(permit) == BOTH
    if lots == 1:
        (permit,) = (record for record in ask(world, Side.BUY, **HERE, group="p").records if isinstance(record, r.Permit))
        assert gross_of(permit) > 79 * USD, "the second leg counts for the rest of the first one too"
    alone = pair()
    (permit,) = (record for record in ask(alone, Side.BUY, **{**HERE, "lots": lots}).records if isinstance(record, r.Permit))
    assert gross_of(permit) == lots * (20 * USD + 100)


def gross_of(permit: r.Permit) -> int:
    """What the gross notional would be, micro-USD, as the permit tells it."""
    return next(int(one.value) for one in permit.evaluations if one.limit == "max_gross_notional_usd")


@pytest.mark.parametrize(("entered_lots", "here_lots"), [(1, 2), (2, 2)])
def test_an_answer_is_judged_beside_what_is_left_of_the_first_leg_and_nothing_of_its_own(entered_lots: int, here_lots: int) -> None:
    world = pair()
    fills(world, sent(world, enter(world, lots=entered_lots)), entered_lots)
    (permit,) = (record for record in answer(world, 1).records if isinstance(record, r.Permit))
    assert 20 * (here_lots + 1) * USD <= gross_of(permit) < 20 * (here_lots + 1) * USD + 1_000


def test_what_is_reserved_leaves_no_room_to_others() -> None:
    def gate() -> World:
        return under(sheet_with(pair(), "symbols", "other:BTC", max_position_lots=2))

    world, _ = entered(gate())
    assert rule(ask(world, Side.SELL, **THERE)) == "max_position_lots"
    alone = gate()
    sent(alone, ask(alone, Side.BUY, **{**HERE, "lots": 2}, group="p"))
    assert rule(ask(alone, Side.SELL, **THERE)) == ""
    over, first = entered(gate())
    ended(over, first)
    assert rule(ask(over, Side.SELL, **THERE)) == "", "the pair is over, and its room is free again"


def test_an_open_order_that_is_reserved_has_its_place_and_its_cancel() -> None:
    def gate() -> World:
        return under(sheet_with(pair(), "symbols", "other:BTC", max_open_orders_count=1))

    world = gate()
    sent(world, enter(world, plan(world, *legs(lots=1))))
    assert rule(ask(world, Side.SELL, **THERE)) == "max_open_orders"
    assert rule(ask(gate(), Side.SELL, **THERE)) == ""
    one_here = sheet_with(pair(), "symbols", "bybit:BTCUSDT", max_open_orders_count=1)
    assert rule(enter(under(one_here))) == ""
    assert rule(enter(under(one_here), lots=1)) == "max_open_orders", "the rest of the first leg will be another order"


def test_both_legs_must_be_allowed_new_risk() -> None:
    world = pair()
    out = r.InterlockTripped(
        boot_ns=NOW.boot_ns, name="feed_stale", scope=r.Scope.SYMBOL, subject="other/BTC", level=r.Level.REDUCE_ONLY, reason=""
    )
    world.state.apply(out)
    assert rule(enter(world)) == "level_reduces"
    assert rule(ask(world, Side.BUY, **HERE)) == ""
    reduces = pair()
    hold_at_reduce_only(reduces)
    assert rule(enter(reduces)) == "level_reduces"


def test_no_pair_begins_where_its_answer_would_find_no_room_in_the_venues_limits() -> None:
    for venue in ("bybit", "other"):
        world = pair()
        world.readings.budgets = {venue: lambda _pending, _boot_ns: 600 * S}
        denied = enter(world)
        assert rule(denied) == "venue_budget"
        assert venue in denied.decision.detail
    world = pair()
    world.readings.budgets = {"other": lambda _pending, _boot_ns: 0}
    assert rule(enter(world)) == ""


# How a plan must be

BUYS, SELLS = legs()


def planned(**parts: Any) -> Callable[[World], Any]:
    return lambda world: enter(world, plan(world, **parts))


def of_legs(first: Any = BUYS, second: Any = SELLS, **more: Any) -> Callable[[World], Any]:
    return lambda world: enter(world, plan(world, first, second), **more)


def leg(base: Any, **parts: Any) -> Any:
    return msgspec.structs.replace(base, **parts)


@pytest.mark.parametrize(
    ("propose", "expected"),
    [
        (of_legs(), ""),
        (of_legs(group=""), "pair_malformed"),
        (of_legs(lots=3), "pair_malformed"),
        (of_legs(ticks=200_003), "pair_malformed"),
        (of_legs(side=Side.SELL), "pair_malformed"),
        (of_legs(tif=TimeInForce.GTC), "pair_malformed"),
        (of_legs(reduce_only=True), "pair_malformed"),
        (of_legs(second=leg(SELLS, side=Side.BUY)), "pair_malformed"),
        (of_legs(second=leg(SELLS, venue="bybit", symbol="BTCUSDT")), "pair_malformed"),
        (of_legs(second=leg(SELLS, symbol="XYZ")), "symbol_not_granted"),
        (of_legs(second=leg(SELLS, venue="nowhere")), "known"),
        (of_legs(second=leg(SELLS, lots=1)), "pair_malformed"),
        (of_legs(second=leg(SELLS, lots=3)), "pair_malformed"),
        (of_legs(second=leg(SELLS, lots=0)), "quantities"),
        (of_legs(second=leg(SELLS, ticks=1 << 53)), "quantities"),
        (of_legs(second=leg(SELLS, venue="v" * 65)), "malformed"),
        (of_legs(second=leg(SELLS, tif=TimeInForce.FOK)), "allow"),
        (of_legs(second=leg(SELLS, ticks=190_000)), "collar_reference"),
        (
            of_legs(books=(r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=200_000, ask_ticks=200_001, boot_ns=NOW.boot_ns),)),
            "engine_books",
        ),
        (planned(naked_cap_usd=Decimal(0)), "pair_malformed"),
        (planned(naked_cap_usd=Decimal("NaN")), "pair_malformed"),
        (planned(naked_cap_usd=Decimal("40.0003")), "pair_naked"),
        (planned(naked_cap_usd=Decimal("40.0004")), ""),
        (planned(loss_bound_usd=Decimal("-1")), "pair_malformed"),
        (planned(loss_bound_usd=Decimal("sNaN")), "pair_malformed"),
        (planned(naked_cap_usd=Decimal("0." + 62 * "1")), "pair_naked"),
        (planned(naked_cap_usd=Decimal("0." + 63 * "1")), "malformed"),
        (planned(loss_bound_usd=Decimal("0." + 300_000 * "1")), "malformed"),
        (planned(deadline_boot_ns=NOW.boot_ns), "pair_malformed"),
        (planned(deadline_boot_ns=-1), "quantities"),
        (of_legs(second=leg(SELLS, ticks=0)), "quantities"),
        (of_legs(second=leg(SELLS, lots=1 << 53)), "quantities"),
    ],
)
def test_a_plan_that_does_not_fit_is_denied_by_name(propose: Callable[[World], Any], expected: str) -> None:
    world = pair()
    assert rule(propose(world)) == expected
    assert ("p" in world.state.groups) is (expected == "")


@pytest.mark.parametrize("figure", [{"ticks": 0}, {"lots": 0}, {"ticks": 1 << 53}, {"lots": 1 << 53}])
def test_figures_that_no_record_should_hold_are_refused_before_anything_is_asked_of_the_pair(figure: dict[str, int]) -> None:
    world = pair()
    denied = enter(world, plan(world, BUYS, leg(SELLS, **figure)))
    assert denied.decision.detail == "expected ticks and lots from 1 and below 2^53 in both legs of a plan"
    assert [record.sequence for record in denied.records if isinstance(record, r.Deny)] == [-1]


def test_a_leg_without_facts_is_no_leg() -> None:
    world = pair()
    universe = universe_of(facts_of_two()[:1])
    whole = plan(world)
    intent = lc.intent(Side.BUY, 2, 200_002, tif=TimeInForce.IOC)
    found = pairs.plan_objection(whole, intent, world.state, universe, world.setup.absence, NOW.boot_ns)
    assert found is not None
    assert found.rule is pairs.PairRule.MALFORMED
    assert pairs.plan_objection(whole, intent, world.state, universe_of(facts_of_two()), world.setup.absence, NOW.boot_ns) is None


@pytest.mark.parametrize("missing", ["bybit", "other"])
def test_a_leg_that_is_not_configured_is_no_leg(missing: str) -> None:
    world = pair()
    intent = lc.intent(Side.BUY, 2, 200_002, tif=TimeInForce.IOC)
    facts = universe_of(facts_of_two())
    absence = {venue: kept for venue, kept in world.setup.absence.items() if venue != missing}
    without_facts = universe_of([one for one in facts_of_two() if one.venue != missing])
    for universe, rules in ((facts, absence), (without_facts, world.setup.absence)):
        found = pairs.plan_objection(plan(world), intent, world.state, universe, rules, NOW.boot_ns)
        assert found is not None
        assert "not configured" in found.detail
    assert pairs.plan_objection(plan(world), intent, world.state, facts, world.setup.absence, NOW.boot_ns) is None


@pytest.mark.parametrize(("lots", "answers"), [((2, 5), True), ((2, 4), False), ((1, 2), True), ((1, 3), False)])
def test_the_second_leg_of_a_plan_answers_the_first_in_coins(lots: tuple[int, int], answers: bool) -> None:
    world = pair()
    universe = universe_of([lc.facts(), lc.facts(venue="other", symbol="BTC", per_lot="0.0004", per_tick_lot="0.00004")])
    first, second = legs(lots=lots[0])
    whole = plan(world, first, leg(second, lots=lots[1]))
    intent = lc.intent(Side.BUY, lots[0], 200_002, tif=TimeInForce.IOC)
    found = pairs.plan_objection(whole, intent, world.state, universe, world.setup.absence, NOW.boot_ns)
    assert (found is None) is answers


def test_a_first_leg_that_no_lot_answers_is_no_pair() -> None:
    world = pair()
    universe = universe_of([lc.facts(), lc.facts(venue="other", symbol="BTC", per_lot="0.01", per_tick_lot="0.001")])
    first, second = legs(lots=1)
    intent = lc.intent(Side.BUY, 1, 200_002, tif=TimeInForce.IOC)
    whole = plan(world, first, leg(second, lots=0))
    found = pairs.plan_objection(whole, intent, world.state, universe, world.setup.absence, NOW.boot_ns)
    assert found is not None
    assert "answered by 0, found 0" in found.detail


def test_a_plan_of_two_coins_is_none() -> None:
    world = pair()
    universe = universe_of([facts_of_two()[0], lc.facts(venue="other", symbol="BTC", asset="ETH")])
    intent = lc.intent(Side.BUY, 2, 200_002, tif=TimeInForce.IOC)
    found = pairs.plan_objection(plan(world), intent, world.state, universe, world.setup.absence, NOW.boot_ns)
    assert found is not None
    assert "of one coin" in found.detail


def test_a_pair_needs_a_name_that_is_new() -> None:
    world, _ = entered()
    assert rule(enter(world)) == "pair_begun"
    assert rule(enter(world, group="q")) == "max_position_lots"
    done, first = entered()
    fills(done, first, 2)
    fills(done, sent(done, answer(done)), 2)
    assert not done.state.orders.live
    assert rule(enter(done)) == "pair_begun", "nothing of it is alive, and it has begun"
    unplanned = pair()
    sent(unplanned, ask(unplanned, Side.BUY, **HERE, group="p"))
    assert rule(enter(unplanned, plan(unplanned, *legs(lots=1)))) == "pair_begun"
    resting = pair()
    sent(resting, ask(resting, Side.BUY, **{**HERE, "tif": TimeInForce.POST_ONLY}, group="p"))
    later(resting, LONGEST_NAKED_NS + 1)
    assert rule(enter(resting, plan(resting, *legs(lots=1)))) == "pair_begun", "an order of that name is alive"


def test_an_amend_carries_no_plan() -> None:
    world = pair()
    whole = plan(world, *(leg(one, tif=TimeInForce.GTC, lots=1) for one in legs()))
    first = sent(world, enter(world, whole, ticks=199_990))
    world.state.apply(r.Answered(boot_ns=NOW.boot_ns, client_id=first, revision=0, state=OrderState.OPEN, venue_order_id="v", code=""))
    assert rule(enter(world, whole, amends=first, ticks=199_991)) == "pair_malformed"
    resized = ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.GTC, "ticks": 199_991, "lots": 2}, group="p", amends=first)
    assert rule(resized) == "pair_not_reserved"
    moved = ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.GTC, "ticks": 199_992}, group="p", amends=first)
    assert rule(moved) == ""
    assert left(world) == (0, 1)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Expiry.WITH, Expiry.WITH, ""),
        (Expiry.WITHOUT, Expiry.WITH, ""),
        (Expiry.WITHOUT, Expiry.WITHOUT, ""),
        (Expiry.WITH, Expiry.WITHOUT, "pair_first_venue"),
    ],
)
def test_the_venue_without_expiry_goes_first(first: Expiry, second: Expiry, expected: str) -> None:
    world = pair()
    object.__setattr__(world.setup, "absence", {"bybit": AbsenceRule(expiry=first), "other": AbsenceRule(expiry=second)})
    assert rule(enter(world)) == expected


@pytest.mark.parametrize("missing", ["accounts", "absence"])
def test_a_plan_on_a_venue_that_is_not_configured_is_denied_by_name(missing: str) -> None:
    world = pair()
    fewer: dict[str, Any] = {missing: {venue: one for venue, one in getattr(world.setup, missing).items() if venue != "other"}}
    world.setup = dataclasses.replace(world.setup, **fewer)
    assert rule(enter(world)) == "known"


@pytest.mark.parametrize("key", ["venue", "symbol"])
def test_a_name_in_a_plan_is_as_long_as_any_other_name(key: str) -> None:
    for length, malformed in ((64, False), (65, True)):
        world = pair()
        assert (rule(enter(world, plan(world, BUYS, leg(SELLS, **{key: "X" * length})))) == "malformed") is malformed


def test_a_reduction_on_the_second_leg_is_no_answer_and_waits_for_what_is_unknown() -> None:
    def gate() -> tuple[World, str]:
        world = pair()
        fills(world, sent(world, ask(world, Side.BUY, **THERE)))
        _, first = entered(world, whole=plan(world, *legs(lots=1)))
        hold_at_reduce_only(world)
        return world, first

    home = {**THERE, **FLAGGED}
    world, first = gate()
    unknown(world, first)
    assert rule(ask(world, Side.SELL, **home, group="p")) == "group_unresolved"
    assert mandate_of(ask(gate()[0], Side.SELL, **home, group="p")) == "reduce_only"


def test_no_pair_begins_while_either_venue_owes_an_answer() -> None:
    world = pair()
    object.__setattr__(world.setup, "absence", {"bybit": AbsenceRule(expiry=Expiry.WITHOUT), "other": AbsenceRule(expiry=Expiry.WITHOUT)})
    unknown(world, sent(world, ask(world, Side.SELL, **THERE)))
    assert rule(enter(world)) == "venue_unresolved"


# What takes from a reservation


def test_the_second_leg_answers_executions_and_nothing_else() -> None:
    world, first = entered()
    assert rule(answer(world, 1)) == "pair_not_proven", "an order on the wire proves nothing"
    acked = r.Answered(boot_ns=NOW.boot_ns, client_id=first, revision=0, state=OrderState.ACKED, venue_order_id="v", code="")
    world.state.apply(acked)
    assert rule(later_answer(world, 1)) == "pair_not_proven", "nor does its receipt"
    fills(world, first, 1)
    assert rule(later_answer(world, 2)) == "pair_not_proven"
    assert mandate_of(answer(world, 1)) == ""
    assert rule(later_answer(world, 1)) == "pair_not_proven", "it is answered already"


def later_answer(world: World, lots: int) -> Any:
    return answer(later(world, 2 * S), lots, 199_999 + lots)


def test_a_late_execution_calls_for_an_answer_of_its_own() -> None:
    world, first = entered()
    fills(world, first, 1)
    ended(world, first, 1)
    second = sent(world, answer(world, 1))
    fills(world, second)
    assert rule(answer(world, 1)) == "pair_not_proven"
    fills(world, first, 1, "late")
    assert left(world) == (0, 1)
    assert mandate_of(answer(later(world, 2 * S), 1)) == ""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, ""),
        ({"ticks": 199_999}, ""),
        ({"ticks": 199_998}, "hedge"),
        ({"lots": 3}, "pair_not_proven"),
        ({"venue": "bybit", "symbol": "BTCUSDT"}, "hedge"),
    ],
)
def test_what_does_not_take_from_the_reservation_must_fit_the_mandate(more: dict[str, Any], expected: str) -> None:
    world, first = entered()
    fills(world, first, 2)
    effects = answer(world, **more)
    assert (rule(effects) or mandate_of(effects)) == expected


def test_a_third_market_is_on_no_leg() -> None:
    world, first = entered()
    fills(world, first, 2)
    intent = lc.intent(Side.SELL, 1, 200_000, venue="third", symbol="BTC")
    found = pairs.objection(world.state.groups["p"], world.state.orders, intent, NOW.boot_ns)
    assert found is not None
    assert found.rule is pairs.PairRule.OTHER_MARKET
    group = world.state.groups["p"]
    elsewhere = group._replace(legs=(msgspec.structs.replace(group.legs[0], symbol="ELSE"), group.legs[1]))
    world.state.groups["p"] = elsewhere
    effects = ask(world, Side.SELL, **HERE, group="p")
    assert rule(effects) == "pair_other_market"
    assert rule(ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="p")) == "pair_other_market", "not even where it only reduces"
    world.state.groups["p"] = group
    assert rule(ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="p")) == ""


def test_a_pair_that_cannot_be_reckoned_keeps_everything_and_gives_nothing() -> None:
    world, first = entered()
    fills(world, first, 2)
    assert left(world) == (0, 2)
    del world.state.orders.by_id[first]
    assert left(world) == (2, 2)
    assert pairs.standing(world.state.groups["p"], world.state.orders) is None
    assert "not known any more" in str(
        pairs.objection(
            world.state.groups["p"], world.state.orders, lc.intent(Side.SELL, 1, 200_000, venue="other", symbol="BTC"), NOW.boot_ns
        )
    )
    stranger = lc.intent(Side.SELL, 1, 200_000, venue="third", symbol="BTC")
    fresh, _ = entered()
    assert pairs.rests(fresh.state.groups["p"], fresh.state.orders, NOW.boot_ns, pairs.Adding(stranger, 1)) == (2, 2)


def test_a_second_leg_does_not_wait_for_what_is_unknown() -> None:
    world = pair()
    first = sent(world, enter(world, lots=1))
    fills(world, first)
    unknown(world, sent(world, ask(world, Side.BUY, **HERE, group="p")))
    assert mandate_of(answer(world, 1)) == ""
    alone = pair()
    fills(alone, sent(alone, ask(alone, Side.BUY, **HERE, group="p")))
    unknown(alone, sent(alone, ask(alone, Side.BUY, **{**HERE, "ticks": 199_990}, group="p")))
    assert rule(answer(alone, 1)) == "group_unresolved", "without a reservation nothing says that it is an answer"


def test_once_its_time_is_over_a_pair_excuses_nothing() -> None:
    world, first = entered()
    unknown(world, first)
    later(world, LONGEST_NAKED_NS + 1)
    assert rule(answer(world, 1)) == "group_unresolved"
    world, first = entered()
    ended(world, first)
    later(world, LONGEST_NAKED_NS + 1)
    assert rule(answer(world, 1)) == "", "the name begins a group anew, of one order and no plan"
    assert world.state.groups["p"].legs == ()


OUTCOMES = ("full", "part", "rejected", "unknown", "late")


def outcome(world: World, client_id: str, how: str) -> tuple[int, int]:
    """What becomes of an order on the wire: (lots executed, lots that may still be)."""
    lots = world.state.orders.by_id[client_id].lots
    if how == "unknown":
        unknown(world, client_id)
        return 0, lots
    if how == "rejected":
        refused = r.Answered(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, state=OrderState.REJECTED, venue_order_id="", code="no")
        world.state.apply(refused)
        return 0, 0
    executed = {"full": lots, "part": lots // 2, "late": lots}[how]
    if how != "full":
        ended(world, client_id, executed if how == "part" else 0)
    if executed:
        fills(world, client_id, executed)
    return executed, 0


@pytest.mark.parametrize("second", OUTCOMES)
@pytest.mark.parametrize("first", OUTCOMES)
def test_whatever_becomes_of_two_legs_what_was_executed_may_be_answered_and_no_more(first: str, second: str) -> None:
    world, one = entered()
    executed, still_open = outcome(world, one, first)
    answered = 0
    if executed:
        other = sent(world, answer(world, executed))
        answered = sum(outcome(world, other, second))
    later(world, 2 * S)
    assert rule(answer(world, executed - answered + 1)) == "pair_not_proven"
    if executed - answered:
        assert mandate_of(answer(later(world, 2 * S), executed - answered)) == ""
    elif not still_open and not (executed and second == "unknown"):
        assert left(world) == (0, 0), "all has ended and is answered: nothing is reserved any more"


def test_lots_are_compared_as_coins_and_rounded_down() -> None:
    group = entered()[0].state.groups["p"]
    coarse = (
        msgspec.structs.replace(group.legs[0], lots=5, units_per_lot=2),
        msgspec.structs.replace(group.legs[1], lots=3, units_per_lot=3),
    )
    for filled, proven in ((1, 0), (2, 1), (3, 2), (4, 2), (5, 3)):
        world, first = entered()
        world.state.groups["p"] = group._replace(legs=coarse, client_ids={first: True})
        world.state.orders.by_id[first].filled_lots = filled
        for lots in range(1, 4):
            intent = lc.intent(Side.SELL, lots, 200_000, venue="other", symbol="BTC", client_id="second")
            refused = pairs.objection(world.state.groups["p"], world.state.orders, intent, NOW.boot_ns)
            assert (refused is None) is (lots <= proven), (filled, lots)


def in_coarse_lots(world: World) -> World:
    """The same pair, as if it were of 5 lots of 2 units of the coin here and 3 of 3 there."""
    group = world.state.groups["p"]
    here = msgspec.structs.replace(group.legs[0], lots=5, units_per_lot=2)
    there = msgspec.structs.replace(group.legs[1], lots=3, units_per_lot=3)
    world.state.groups["p"] = group._replace(legs=(here, there))
    return world


def test_what_is_reserved_is_reckoned_in_coins() -> None:
    world, _ = entered()
    assert left(in_coarse_lots(world)) == (3, 3), "4 units are open and 6 to be entered"
    assert left(later(world, 60 * S + 1)) == (0, 1), "4 units are open"
    world, first = entered()
    fills(world, first, 2)
    sent(world, answer(world, 1))
    assert left(in_coarse_lots(world)) == (3, 2), "7 of 10 units are not answered yet"
    assert left(later(world, 60 * S + 1)) == (0, 0), "1 of 4 units is not, which is no lot"
    world, first = entered()
    fills(world, first, 1)
    ended(world, first, 1)
    assert left(in_coarse_lots(world)) == (0, 0), "2 units are no lot of the other leg, so that nothing is left to do"


def test_executions_beyond_the_plan_reserve_no_more_than_its_second_leg() -> None:
    for filled, answered, expected in ((3, 1, 1), (4, 2, 0)):
        world, first = entered()
        fills(world, first, 2)
        fills(world, sent(world, answer(world, answered)), answered)
        world.state.orders.by_id[first].filled_lots = filled
        assert left(world) == (0, expected)


def test_an_order_that_is_judged_counts_as_open_and_not_as_executed() -> None:
    world, _ = entered()
    intent = lc.intent(Side.SELL, 1, 200_000, venue="other", symbol="BTC", client_id="second")
    adding = pairs.adding_of(intent, world.state.orders)
    assert pairs.rests(world.state.groups["p"], world.state.orders, NOW.boot_ns, adding) == (0, 1)


def test_an_amend_adds_what_it_makes_the_order_larger() -> None:
    world, first = entered()
    fills(world, first, 1)
    for lots, adds in ((1, 0), (2, 0), (3, 1)):
        assert pairs.adding_of(lc.intent(Side.BUY, lots, 200_000, client_id=first, revision=1), world.state.orders).lots == adds


def test_at_reduce_only_a_pair_is_answered_under_the_mandate() -> None:
    world, first = entered()
    fills(world, first, 2)
    hold_at_reduce_only(world)
    assert rule(ask(world, Side.BUY, **HERE, group="p")) == "level_reduces"
    assert mandate_of(answer(world)) == "hedge"
    assert left(world) == (0, 0)


def at_the_days_loss(world: World) -> World:
    """A loss that denies at once, and latches when it is seen again."""
    lost = Decimal(-10_000)
    world.state.apply(r.Marked(boot_ns=NOW.boot_ns, realised_usd=Decimal(0), unrealised_usd=lost, equity_usd=1_000 + lost))
    assert not world.state.losses.latched
    return world


def test_an_answer_to_a_part_is_not_held_up_by_what_its_own_pair_has_left() -> None:
    world, first = entered()
    fills(world, first, 1)
    assert left(world) == (0, 2), "the rest of the first order may still be executed, and be answered"
    at_the_days_loss(world)
    assert rule(ask(at_the_days_loss(pair()), Side.BUY, **HERE, lots=1)) == "max_daily_loss_usd", "the control: nothing new"
    assert mandate_of(answer(world, 1)) == ""
    assert left(world) == (0, 1), "and what is left stays reserved against all others"


@pytest.mark.parametrize("which", ["first", "second"])
def test_what_is_reserved_is_not_in_the_way_of_a_reduction_where_no_new_risk_may_be(which: str) -> None:
    world = pair()
    first = sent(world, enter(world, lots=1 if which == "first" else 2))
    fills(world, first, 1 if which == "first" else 2)
    if which == "second":
        fills(world, sent(world, answer(world, 1)), 1)
    hold_at_reduce_only(world)
    assert left(world) == ((1, 2) if which == "first" else (0, 1))
    home = {**(HERE if which == "first" else THERE), **FLAGGED}
    side = Side.SELL if which == "first" else Side.BUY
    assert mandate_of(ask(world, side, **home, lots=2)).startswith("level_reduces"), "the control: more than is held"
    assert mandate_of(ask(world, side, **home, lots=1)) == "reduce_only"


# The loss bound


def dearer(world: World, ticks: int, where: str = "bybit") -> World:
    """The market moved: here or there the bid is at so many ticks."""
    moved = []
    for venue, symbol in (("bybit", "BTCUSDT"), ("other", "BTC")):
        bid = ticks if venue == where else 200_000
        moved.append(lc.quote(bid, bid + 1, world.now.boot_ns, venue=venue, symbol=symbol))
    world.readings.references = lc.seen(world.state.sheet, universe_of(facts_of_two()), *lc.steady(*moved), lc.rate(at=world.now.boot_ns))
    return world


def at_a_loss(bound: str, lots: int = 2, **more: Any) -> World:
    """Two lots were bought at 200,000 ticks, and the market here is 5 USD a lot lower."""
    world = pair()
    first = sent(world, enter(world, plan(world, loss_bound_usd=Decimal(bound))))
    fills(world, first, lots)
    hold_at_reduce_only(world)
    return dearer(world, 150_000, **more)


def test_a_hedge_beyond_the_loss_bound_is_denied_by_name_and_stops_the_strategy() -> None:
    assert mandate_of(answer(at_a_loss("10.0002"))) == "hedge", "ten dollars here, and a tick of spread on two lots there"
    world = at_a_loss("10.0001")
    denied = answer(world)
    assert rule(denied) == "mandate_loss"
    (latch,) = (record for record in denied.records if isinstance(record, r.LatchSet))
    assert (latch.name, latch.scope, latch.subject, latch.level) == ("group_loss", r.Scope.STRATEGY, "demo", r.Level.REDUCE_ONLY)
    again = answer(later_prices(world))
    assert rule(again) == "mandate_loss"
    assert not any(isinstance(record, r.LatchSet) for record in again.records), "it is latched already"


def test_limits_that_have_become_tighter_bind_a_group_that_began_before() -> None:
    assert mandate_of(answer(at_a_loss("10.0002"))) == "hedge"
    world = at_a_loss("10.0002")
    world.state.given = sheet_with(world, "assets", "BTC", max_group_loss_micro_usd=10 * USD)
    assert rule(answer(world)) == "mandate_loss"


def later_prices(world: World) -> World:
    return dearer(later(world, 2 * S), 150_000)


def test_at_the_loss_bound_each_instrument_may_still_be_reduced_by_itself() -> None:
    world = at_a_loss("1")
    assert rule(answer(world)) == "mandate_loss"
    home = ask_at(world, 150_000, **FLAGGED)
    assert mandate_of(home) == "reduce_only"


def ask_at(world: World, ticks: int, **more: Any) -> Any:
    book = r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=ticks, ask_ticks=ticks + 1, boot_ns=world.now.boot_ns)
    return world.next(**{**HERE, "ticks": ticks, "lots": 2, **more}, side=Side.SELL, books=(book,))


def test_once_the_latch_is_cleared_the_pair_may_be_hedged_outside_its_group() -> None:
    world = at_a_loss("1")
    assert rule(answer(world)) == "mandate_loss"
    clear(world)
    assert rule(answer(later_prices(world), 1)) == "", "at RUN what takes from the reservation is bounded by its price"
    assert rule(answer(world, 1, 199_998, group="")) == "max_position_lots", "room that is reserved is not free for it"
    world.state.given = sheet_with(world, "symbols", "other:BTC", max_position_lots=3)
    assert mandate_of(answer(world, 1, 199_998, group="")) == ""
    still = at_a_loss("1")
    clear(still)
    assert rule(answer(still, 1, 199_998)) == "mandate_loss", "within the group all else comes under its bound"


def clear(world: World) -> None:
    for hold in world.state.lattice.latches:
        cleared = r.LatchCleared(
            boot_ns=NOW.boot_ns,
            name=hold.name,
            scope=hold.scope,
            subject=hold.subject,
            actor="ann",
            nonce=f"{hold.name:0>32}",
            state_version=world.state.lattice.version,
        )
        world.state.apply(cleared)
    assert not world.state.lattice.latches


def test_a_repeated_denial_at_the_bound_still_sets_the_latch() -> None:
    world = at_a_loss("1")
    world.state.apply(r.Deny(boot_ns=NOW.boot_ns, client_id="", strategy="demo", rule="mandate_loss", detail="", sequence=1))
    denied = answer(world)
    assert denied.repeats == ("demo", "mandate_loss")
    assert [type(record) for record in denied.records] == [r.LatchSet]


def test_a_pair_is_permitted_by_the_tests_own_helpers() -> None:
    effects = enter(pair())
    assert effects.decision.result == PERMIT
    assert isinstance(plan(pair()), Plan)
