"""Limits that are tightened while the gate runs: which sheet is nowhere looser, and that whatever reads limits reads the new ones at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import LIFE, NOW, S, World, armed_state, proposal, tightening, under

from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import limit_sheet, snapshot
from interlock.gate import losses as loss_fold
from interlock.gate import records as r
from interlock.gate.core import PERMIT, consequences, recheck
from interlock.gate.evaluate import Allowed
from interlock.gate.exposure import Equity, OpenOrder
from interlock.gate.limit_sheet import Allow, LimitSheet, sheet_hash
from interlock.gate.losses import Losses
from interlock.gate.permission import Denial
from interlock.gate.readings import Now
from interlock.gate.state import GateState
from interlock.gate.throttles import Throttles
from interlock.gate.tightening import WAYS, Way, changes, looser_than_before

MS = 1_000_000
USD = 1_000_000
SYMBOL = "bybit:BTCUSDT"
ENTRIES = {"account": "", "venues": "bybit", "symbols": SYMBOL, "assets": "BTC", "currencies": "USDT", "strategies": "demo"}
TABLES: dict[str, type[msgspec.Struct]] = {
    "account": limit_sheet.Account,
    "venues": limit_sheet.Venue,
    "symbols": limit_sheet.Symbol,
    "assets": limit_sheet.Asset,
    "currencies": limit_sheet.Currency,
    "strategies": limit_sheet.Strategy,
}
POST_ONLY = [Allow(side=side, type=OrderType.LIMIT, tif=TimeInForce.POST_ONLY, reduce_only=False) for side in Side]
ATTRIBUTES = [(table, attribute) for table, kind in TABLES.items() for attribute in get_type_hints(kind)]


def part(sheet: LimitSheet, table: str) -> Any:
    found = getattr(sheet, table)
    return found[ENTRIES[table]] if ENTRIES[table] else found


def value(sheet: LimitSheet, table: str, attribute: str) -> Any:
    return getattr(part(sheet, table), attribute)


def with_value(sheet: LimitSheet, table: str, attribute: str, new: Any) -> LimitSheet:
    return lc.changed(sheet, table, ENTRIES[table], **{attribute: new})


def looser(held: LimitSheet, wanted: LimitSheet) -> list[str]:
    return [change.looser for change in changes(held, wanted) if change.looser]


# Which sheet is nowhere looser


def allowed_ways(attribute: str) -> set[str]:
    """The ways in which a number may go, told by its name: written down a second time."""
    if attribute.endswith("_window_ns") or attribute in ("freshness_rate_ns", "max_messages_count", "max_cancels_count"):
        return set()
    return {"up"} if attribute.startswith(("min_", "lowest_", "shock", "cancel_reserve")) else {"down"}


def test_every_limit_has_its_way() -> None:
    assert WAYS.keys() == {attribute for _, attribute in ATTRIBUTES}
    assert changes(lc.SHEET, lc.SHEET) == ()


@pytest.mark.parametrize(("table", "attribute"), [one for one in ATTRIBUTES if type(value(lc.SHEET, *one)) is int])
def test_a_number_may_only_go_the_way_in_which_it_is_tighter(table: str, attribute: str) -> None:
    was = value(lc.SHEET, table, attribute)
    accepted = {
        way for way, new in (("up", was + 1), ("down", was - 1)) if not looser(lc.SHEET, with_value(lc.SHEET, table, attribute, new))
    }
    assert accepted == allowed_ways(attribute)


@pytest.mark.parametrize(
    ("table", "attribute", "tighter", "not_tighter"),
    [
        ("venues", "accounts", [()], [("main", "second"), ("second",)]),
        ("venues", "expected_reject_codes", [()], [("170193", "x"), ("x",)]),
        ("venues", "shared", [], [True]),
        ("venues", "unmanaged_assets", [], [("DOGE",)]),
        (
            "symbols",
            "allow",
            [(), (lc.SHEET.symbols[SYMBOL].allow[0],), lc.SHEET.symbols[SYMBOL].allow[::-1]],
            [(*lc.SHEET.symbols[SYMBOL].allow, "more")],
        ),
        ("symbols", "peer", [], ["bybit:ETHUSDT"]),
        (
            "symbols",
            "tightening",
            [((10_000, 999_999), (20_000, 500_000)), ((10_000, 1_000_000), (20_000, 1))],
            [
                ((10_000, 1_000_000), (20_000, 500_001)),
                ((10_001, 1_000_000), (20_000, 500_000)),
                ((10_000, 1),),
                ((10_000, 1), (20_000, 1), (30_000, 1)),
            ],
        ),
    ],
)
def test_lists_only_lose_entries_and_factors_only_fall(table: str, attribute: str, tighter: list[Any], not_tighter: list[Any]) -> None:
    for new in tighter:
        assert looser(lc.SHEET, with_value(lc.SHEET, table, attribute, new)) == []
    for new in not_tighter:
        (told,) = looser(lc.SHEET, with_value(lc.SHEET, table, attribute, new))
        assert told.startswith(f"{table}.{ENTRIES[table]}.{attribute}: expected ")


def test_a_table_more_or_less_is_no_tightening() -> None:
    more = msgspec.structs.replace(lc.SHEET, strategies={**lc.SHEET.strategies, "second": lc.SHEET.strategies["demo"]})
    assert looser(lc.SHEET, more) == ["strategies.second: expected the tables that are in force, found one more"]
    assert looser(more, lc.SHEET) == ["strategies.second: expected the tables that are in force, found one missing"]


def test_a_refusal_names_the_key_of_the_file_and_both_values_in_its_unit() -> None:
    wanted = with_value(lc.SHEET, "account", "max_daily_loss_micro_usd", 10_500_000)
    wanted = with_value(wanted, "symbols", "collar_reference_millionths", 5_001)
    wanted = with_value(wanted, "symbols", "max_order_lots", 1)
    assert looser(lc.SHEET, wanted) == [
        "account.max_daily_loss_usd: expected at most 10, which is in force, found 10.5",
        f"symbols.{SYMBOL}.collar_reference_bps: expected at most 50, which is in force, found 50.01",
    ]


NUMBERS = [one for one in ATTRIBUTES if type(value(lc.SHEET, *one)) is int]


@st.composite
def sheets(draw: st.DrawFn, about: LimitSheet = lc.SHEET) -> LimitSheet:
    """A sheet that differs from another in a few numbers, either way, and sometimes in its lists."""
    for table, attribute in draw(st.lists(st.sampled_from(NUMBERS), max_size=4)):
        was = value(about, table, attribute)
        about = with_value(about, table, attribute, max(0, was * draw(st.sampled_from([0, 500, 900, 999, 1_001, 1_100, 2_000])) // 1_000))
    if draw(st.integers(0, 3)) == 0:
        allow = lc.SHEET.symbols[SYMBOL].allow
        about = with_value(about, "symbols", "allow", tuple(one for one in allow if draw(st.booleans())))
    return about


def nowhere_looser(held: LimitSheet, wanted: LimitSheet) -> bool:
    for table, attribute in NUMBERS:
        was, now = value(held, table, attribute), value(wanted, table, attribute)
        if now != was and ("up" if now > was else "down") not in allowed_ways(attribute):
            return False
    return set(wanted.symbols[SYMBOL].allow) <= set(held.symbols[SYMBOL].allow)


@given(sheets(), sheets(), sheets())
def test_a_sheet_is_accepted_if_and_only_if_it_is_nowhere_looser(a: LimitSheet, b: LimitSheet, c: LimitSheet) -> None:
    assert (not looser(a, b)) == nowhere_looser(a, b)
    # So no chain of tightenings ends at something looser than its beginning.
    if not looser(a, b) and not looser(b, c):
        assert not looser(a, c)
    if not looser(a, b) and not looser(b, a):
        assert a == b


@st.composite
def tightened_pairs(draw: st.DrawFn) -> tuple[LimitSheet, LimitSheet]:
    """Two sheets of which the second is nowhere looser, by many keys."""
    a = draw(sheets())
    b = a
    for table, attribute in draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6)):
        was = value(b, table, attribute)
        for way in allowed_ways(attribute):
            factor = draw(st.sampled_from([1_001, 1_500, 4_000] if way == "up" else [999, 700, 100]))
            b = with_value(b, table, attribute, was * factor // 1_000)
    return a, b


@given(
    tightened_pairs(),
    st.sampled_from(list(Side)),
    st.integers(1, 3),
    st.sampled_from([499_000, 500_000, 500_001, 502_000, 502_600]),
    st.integers(-3, 3),
    st.lists(st.sampled_from(list(Side)), max_size=2),
    st.integers(0, 60),
    st.integers(10, 200),
    st.sampled_from([0, 5 * USD, 11 * USD]),
    st.lists(st.tuples(st.sampled_from(["0.98", "1", "1.004"]), st.integers(0, 6)), min_size=1, max_size=3),
    st.integers(0, 3_000),
)
def test_whatever_passes_the_tighter_sheet_passes_the_looser_one(
    pair: tuple[LimitSheet, LimitSheet],
    side: Side,
    lots: int,
    ticks: int,
    position: int,
    others: list[Side],
    sent: int,
    equity: int,
    lost: int,
    rates: list[tuple[str, int]],
    later_ms: int,
) -> None:
    a, b = pair
    assert not looser(a, b)
    told = [lc.rate(bid=usd, ask=usd, at=lc.NOW - age * S, name=str(number)) for number, (usd, age) in enumerate(rates)]
    refs = lc.seen(a, lc.UNIVERSE, *lc.steady(lc.quote(mark_ticks=500_100)), *sorted(told, key=lambda one: one.boot_ns))
    case: dict[str, Any] = {
        "positions": {lc.BTC: position},
        "orders": [OpenOrder(*lc.BTC, one, 500_000, 1) for one in others],
        "throttle": Throttles(
            messages={"bybit": [lc.NOW - 5 * S] * sent},
            orders={"demo": [lc.NOW] * (sent // 2)},
            rejects={"demo": {("bybit", "post_only", "170193"): 6, ("bybit", "gtc", "x"): sent // 20}},
        ),
        "equity_usd": equity,
        "losses": Losses(marked_boot_ns=lc.NOW - S, now_micro_usd=lost, drawdown_micro_usd=lost),
        "refs": refs,
        "now": lc.NOW + later_ms * MS,
    }
    order = lc.intent(side, lots, ticks, tif=TimeInForce.POST_ONLY)
    if isinstance(lc.judge(order, sheet=b, **case), Allowed):
        assert isinstance(lc.judge(order, sheet=a, **case), Allowed)


def test_why_the_age_of_a_rate_may_not_fall() -> None:
    """A younger bound leaves out the old rate that disagrees, and with it the reason to deny."""
    rates = [lc.rate(at=lc.NOW - 3 * S, name="old", bid="0.98", ask="0.98"), lc.rate(name="new")]
    refs = lc.seen(lc.SHEET, lc.UNIVERSE, *lc.steady(lc.quote()), *rates)
    younger = with_value(lc.SHEET, "currencies", "freshness_rate_ns", 2 * S)
    assert lc.rule(lc.judge(refs=refs)) == "usd_rates"
    assert lc.rule(lc.judge(refs=refs, sheet=younger)) == ""
    assert looser(lc.SHEET, younger) == ["currencies.USDT.freshness_rate_ms: expected exactly 5000, which is in force, found 2000"]


# In force at once: one case for each family of limits


def lost(usd: str) -> Callable[[World], object]:
    mark = r.Marked(
        boot_ns=NOW.boot_ns - 1,
        realised_usd=Decimal(0),
        unrealised_usd=Decimal(f"-{usd}"),
        equity_usd=Decimal(1_000) - Decimal(usd),
        by_currency=(("USDT", Decimal(0), Decimal(f"-{usd}")),),
    )
    return lambda world: world.state.apply(mark)


def poor(world: World) -> None:
    world.readings.equity = {("bybit", "main"): Equity(20 * USD, NOW.boot_ns)}


def naked(world: World) -> None:
    world.readings.naked_since_boot_ns = {"BTC": NOW.boot_ns - 60 * S}


def moved(world: World) -> None:
    quotes = [lc.quote(bid, bid + 1, NOW.boot_ns - age) for bid, age in ((398_000, 501 * MS), (398_000, 300 * MS), (400_000, 0))]
    world.readings.references = lc.seen(lc.SHEET, lc.UNIVERSE, *quotes, lc.rate(at=NOW.boot_ns))


def later(ns: int) -> Callable[[World], object]:
    return lambda world: setattr(world, "now", Now(NOW.boot_ns + ns, NOW.wall_ns + ns))


def rejected(world: World) -> None:
    for code in ("170193", "170193", "x"):
        effects = world.next()
        assert effects.planned is not None
        answer: dict[str, Any] = {"client_id": effects.planned.client_id, "revision": 0}
        world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, connection="c", **answer))
        world.state.apply(r.Sent(boot_ns=NOW.boot_ns, sign_wall_ns=NOW.wall_ns, receive_window_ns=2 * S, **answer))
        world.state.apply(r.Answered(boot_ns=NOW.boot_ns, state=OrderState.REJECTED, venue_order_id="", code=code, **answer))


def wide(world: World) -> None:
    world.readings.references = lc.seen(
        lc.SHEET, lc.UNIVERSE, *lc.steady(lc.quote(400_000, 400_400, NOW.boot_ns, mark_ticks=400_300)), lc.rate(at=NOW.boot_ns)
    )


def nothing(_: World) -> None:
    """The calm moment as it is."""


def one_open(world: World) -> None:
    assert world.decide().decision.result == PERMIT


Case = tuple[str, str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Callable[[World], object]]
FAMILIES: dict[str, Case] = {
    # name: the rule that denies; table; values that deny; values that are tighter too and do not; the order; what the moment is like
    "way": ("allow", "symbols", {"allow": ()}, {"allow": tuple(POST_ONLY)}, {}, nothing),
    "account": ("allow", "venues", {"accounts": ()}, {"expected_reject_codes": ()}, {}, nothing),
    "reference": (
        "freshness_reference",
        "symbols",
        {"freshness_reference_ns": 9 * MS},
        {"freshness_reference_ns": 10 * MS},
        {},
        later(10 * MS),
    ),
    "engine book": (
        "engine_books",
        "account",
        {"freshness_engine_book_ns": 9 * MS},
        {"freshness_engine_book_ns": 10 * MS},
        {},
        later(10 * MS),
    ),
    "spread": (
        "freshness_reference",
        "symbols",
        {"max_reference_spread_millionths": 900},
        {"max_reference_spread_millionths": 1_100},
        {"books": (r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=400_000, ask_ticks=400_400, boot_ns=NOW.boot_ns),)},
        wide,
    ),
    "disagreement": (
        "freshness_reference",
        "symbols",
        {"max_book_disagreement_millionths": 200},
        {"max_book_disagreement_millionths": 300},
        {"books": (r.Book(venue="bybit", symbol="BTCUSDT", bid_ticks=400_000, ask_ticks=400_400, boot_ns=NOW.boot_ns),)},
        wide,
    ),
    "rate too low": ("usd_rates", "currencies", {"lowest_rate_micro_usd": 1_000_001}, {"lowest_rate_micro_usd": 1_000_000}, {}, nothing),
    "rate too high": ("usd_rates", "currencies", {"highest_rate_micro_usd": 999_999}, {"highest_rate_micro_usd": 1_000_000}, {}, nothing),
    "sources": ("usd_rates", "currencies", {"min_sources_count": 2}, {"max_disagreement_millionths": 1}, {}, nothing),
    "collar": (
        "collar_reference",
        "symbols",
        {"collar_reference_millionths": 100},
        {"collar_reference_millionths": 200},
        {"ticks": 400_050},
        nothing,
    ),
    "drift": ("max_drift", "symbols", {"max_drift_millionths": 5_000}, {"max_drift_millionths": 5_100}, {}, moved),
    "volatility": (
        "max_order_lots",
        "symbols",
        {"tightening": ((10_000, 400_000), (20_000, 400_000))},
        {"tightening": ((10_000, 500_000), (20_000, 500_000))},
        {},
        moved,
    ),
    "order lots": ("max_order_lots", "symbols", {"max_order_lots": 1}, {"max_order_lots": 2}, {"lots": 2}, nothing),
    "order value": (
        "max_order_notional_usd",
        "symbols",
        {"max_order_notional_micro_usd": 39 * USD},
        {"max_order_notional_micro_usd": 41 * USD},
        {},
        nothing,
    ),
    "order value of the account": (
        "max_order_notional_usd",
        "account",
        {"max_order_notional_micro_usd": 39 * USD},
        {"max_order_notional_micro_usd": 41 * USD},
        {},
        nothing,
    ),
    "position lots": ("max_position_lots", "symbols", {"max_position_lots": 1}, {"max_position_lots": 2}, {}, one_open),
    "position value": (
        "max_position_notional_usd",
        "symbols",
        {"max_position_notional_micro_usd": 79 * USD},
        {"max_position_notional_micro_usd": 81 * USD},
        {},
        one_open,
    ),
    "open orders": ("max_open_orders", "symbols", {"max_open_orders_count": 1}, {"max_open_orders_count": 2}, {}, one_open),
    "gross": (
        "max_gross_notional_usd",
        "account",
        {"max_gross_notional_micro_usd": 39 * USD},
        {"max_gross_notional_micro_usd": 41 * USD},
        {},
        nothing,
    ),
    "gross of a venue": (
        "max_venue_gross_notional_usd",
        "venues",
        {"max_gross_notional_micro_usd": 39 * USD},
        {"max_gross_notional_micro_usd": 41 * USD},
        {},
        nothing,
    ),
    "naked": (
        "max_naked_notional_usd",
        "assets",
        {"max_naked_notional_micro_usd": 39 * USD},
        {"max_naked_notional_micro_usd": 41 * USD},
        {},
        nothing,
    ),
    "naked time": ("max_naked_time", "assets", {"max_naked_ns": 59 * S}, {"max_naked_ns": 60 * S}, {}, naked),
    "unattended": (
        "max_unattended_resting_usd",
        "venues",
        {"max_unattended_resting_micro_usd": 0},
        {"max_unattended_resting_micro_usd": 41 * USD},
        {},
        nothing,
    ),
    "equity's age": ("freshness_equity", "account", {"freshness_equity_ns": 9 * MS}, {"freshness_equity_ns": 10 * MS}, {}, later(10 * MS)),
    "margin": (
        "min_available_margin_usd",
        "venues",
        {"min_available_margin_micro_usd": 999 * USD},
        {"min_available_margin_micro_usd": 900 * USD},
        {},
        nothing,
    ),
    "margin ratio": (
        "max_margin_ratio",
        "venues",
        {"max_margin_ratio_millionths": 1_000},
        {"max_margin_ratio_millionths": 3_000},
        {},
        nothing,
    ),
    "shock": ("shock", "account", {"shock_millionths": 900_000}, {"shock_millionths": 310_000}, {}, poor),
    "distance": (
        "min_liquidation_distance",
        "venues",
        {"min_liquidation_distance_millionths": 900_000},
        {"min_liquidation_distance_millionths": 351_000},
        {},
        poor,
    ),
    "marks": ("freshness_mark", "account", {"freshness_mark_ns": 9 * MS}, {"freshness_mark_ns": 11 * MS}, {}, later(10 * MS)),
    "loss": ("max_daily_loss_usd", "account", {"max_daily_loss_micro_usd": 4 * USD}, {"max_daily_loss_micro_usd": 5 * USD}, {}, lost("5")),
    "loss in a currency": (
        "max_currency_loss",
        "currencies",
        {"max_daily_loss_micro_units": 4 * USD},
        {"max_daily_loss_micro_units": 5 * USD},
        {},
        lost("5"),
    ),
    "drawdown": ("max_drawdown_usd", "account", {"max_drawdown_micro_usd": 4 * USD}, {"max_drawdown_micro_usd": 5 * USD}, {}, lost("5")),
    "messages": ("max_messages", "venues", {"cancel_reserve_count": 199}, {"cancel_reserve_count": 198}, {}, one_open),
    "orders": ("max_orders", "strategies", {"max_orders_count": 1}, {"max_orders_count": 2}, {}, one_open),
    "identical orders": (
        "max_identical_orders",
        "strategies",
        {"max_identical_orders_count": 1},
        {"max_identical_orders_count": 2},
        {},
        one_open,
    ),
    "rejections": ("max_reject_streak", "strategies", {"max_reject_streak_count": 1}, {"max_reject_streak_count": 2}, {}, rejected),
    "codes": ("max_reject_streak", "venues", {"expected_reject_codes": ()}, {"cancel_reserve_count": 150}, {}, rejected),
    "streak": (
        "max_losing_streak",
        "strategies",
        {"max_losing_streak_count": 1},
        {"max_losing_streak_count": 2},
        {},
        lambda world: lose(world),
    ),
}


def lose(world: World) -> None:
    world.state.throttles.losing["demo"] = 1


@pytest.mark.parametrize("name", FAMILIES)
def test_an_order_is_held_against_the_limits_from_the_tightening_on(name: str) -> None:
    rule, table, tight, near, order, moment = FAMILIES[name]
    # Of the streak of rejections some belong to the sheet that is tightened, not to the moment before it.
    base = with_value(lc.SHEET, "strategies", "max_reject_streak_count", 3) if name == "codes" else lc.SHEET
    told = {}
    for which, values in (("before", None), ("near", near), ("tight", tight)):
        world = World(state=armed_state(base))
        moment(world)
        if values is not None:
            wanted = lc.changed(base, table, ENTRIES[table], **values)
            assert looser(base, wanted) == []
            world.state.apply(tightening(world.state, wanted))
        effects = world.next(**{"created_boot_ns": world.now.boot_ns, "deadline_boot_ns": world.now.boot_ns + S, **order})
        told[which] = effects.decision.rule or effects.decision.result
    assert told == {"before": PERMIT, "near": PERMIT, "tight": rule}


def test_no_family_of_limits_is_left_out() -> None:
    tried = {attribute for _, _, tight, near, _, _ in FAMILIES.values() for attribute in (*tight, *near)}
    fixed = {attribute for attribute, way in WAYS.items() if way is Way.SAME}
    # Of a second leg, a peer and a group this world has none; how marks are counted and when nakedness begins has tests of its own.
    elsewhere = {
        "max_leg_skew_ns",
        "collar_peer_millionths",
        "unrealised_breach_marks_count",
        "mark_spacing_ns",
        "naked_tolerance_micro_usd",
        "max_group_loss_micro_usd",
    }
    assert WAYS.keys() - tried - fixed == elsewhere


# What was permitted before


TIGHTER = with_value(lc.SHEET, "symbols", "max_order_lots", 1)


def test_what_was_permitted_and_is_not_yet_written_is_judged_anew() -> None:
    world = World()
    planned = world.decide().planned
    assert planned is not None
    assert world.recheck(planned) == ""
    world.state.apply(tightening(world.state, TIGHTER))
    assert world.recheck(planned) == "limits"
    again = world.next(ticks=399_999).planned
    assert again is not None
    assert world.recheck(again) == ""


def test_a_write_that_has_begun_is_not_made_under_limits_that_came_since() -> None:
    world = World()
    planned = world.decide().planned
    assert planned is not None
    world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=planned.client_id, revision=0, connection="c"))

    def said() -> str:
        return recheck(world.setup, world.state, world.readings, planned, NOW, stopped=False, lease_held=True, begun=True)

    assert said() == ""
    world.state.apply(tightening(world.state, TIGHTER))
    assert said() == "limits"


def test_the_grant_stays_good_and_no_other_sheet_gets_in() -> None:
    world = World()
    assert world.decide().decision.result == PERMIT
    record = tightening(world.state, TIGHTER)
    world.state.apply(record)
    assert world.next(ticks=399_999).decision.result == PERMIT
    # A record that does not follow what is in force counts for nothing, whichever sheet it names.
    world.state.apply(record)
    world.state.apply(msgspec.structs.replace(record, sheet=lc.SHEET, before=record.before, after=record.before))
    assert (world.state.sheet, world.state.limits.hash) == (TIGHTER, sheet_hash(TIGHTER))
    world.readings.binding = msgspec.structs.replace(world.readings.binding, limits=record.after)
    assert world.next(ticks=399_998).decision.rule == Denial.OTHER_LIMITS


# What latches


def latches(state: GateState, now: Now) -> list[r.LatchSet]:
    return [one for one in consequences(state, now) if isinstance(one, r.LatchSet)]


def test_a_loss_that_the_new_limit_does_not_bear_latches_with_the_record() -> None:
    for limit, latched in ((5 * USD, False), (4 * USD, True)):
        state = armed_state()
        mark = r.Marked(boot_ns=NOW.boot_ns, realised_usd=Decimal(-5), unrealised_usd=Decimal(5), equity_usd=Decimal(1_000))
        state.apply(mark)
        assert not state.losses.latched
        state.apply(tightening(state, with_value(lc.SHEET, "account", "max_daily_loss_micro_usd", limit)))
        assert state.losses.latched is latched
        assert [one.name for one in latches(state, NOW)] == ["loss"] * latched


def test_later_marks_are_counted_by_the_new_limits() -> None:
    wanted = with_value(with_value(lc.SHEET, "account", "unrealised_breach_marks_count", 2), "account", "mark_spacing_ns", S // 2)
    for sheet, latched in ((lc.SHEET, False), (wanted, True)):
        state = armed_state()
        if sheet is not lc.SHEET:
            state.apply(tightening(state, sheet))
        for at in (NOW.boot_ns, NOW.boot_ns + S // 2):
            state.apply(r.Marked(boot_ns=at, realised_usd=Decimal(0), unrealised_usd=Decimal(-11), equity_usd=Decimal(989)))
        assert state.losses.latched is latched


def test_a_throttle_that_the_new_limit_reaches_latches_with_the_record() -> None:
    for count, names in ((2, []), (1, ["order_burst"])):
        world = World()
        one_open(world)
        world.state.apply(tightening(world.state, with_value(lc.SHEET, "strategies", "max_orders_count", count)))
        assert [one.name for one in latches(world.state, NOW)] == names


def test_what_is_latched_stays_so_under_limits_that_would_bear_it_and_a_cleared_latch_counts_from_nothing() -> None:
    latched = Losses(latched=True, breaches_count=1, breached_boot_ns=3)
    record = tightening(World().state, lc.SHEET)
    assert loss_fold.apply(latched, record, lc.SHEET).latched
    assert not loss_fold.apply(Losses(), record, lc.SHEET).latched
    cleared = r.LatchCleared(
        boot_ns=9, name=loss_fold.DAILY_LOSS, scope=r.Scope.ALL, subject="", actor="ann", nonce="0" * 32, state_version=1
    )
    assert loss_fold.apply(latched, cleared, lc.SHEET) == Losses()


# Over process lives


def test_a_boot_begins_with_the_sheet_of_the_start_and_tells_what_is_looser_until_a_person_arms() -> None:
    state = armed_state()
    state.apply(tightening(state, TIGHTER))
    assert looser_than_before(state.limits.forgone, state.sheet) == ()
    for life in ("f" * 32, "e" * 32):  # however often it is started before somebody looks
        state.apply(aw.boot(life))
        assert (state.sheet, state.limits.hash, state.limits.tightened_wall_ns) == (lc.SHEET, "l1", 0)
        assert looser_than_before(state.limits.forgone, state.sheet) == (
            f"symbols.{SYMBOL}.max_order_lots: expected at most 1, which is in force, found 2",
        )
    # What an older version was tightened to lacks the limits that came later, and none is looser than those.
    older = with_value(with_value(lc.SHEET, "currencies", "max_daily_loss_micro_units", 0), "assets", "max_group_loss_micro_usd", 0)
    assert looser_than_before(older, lc.SHEET) == ()
    assert len(looser_than_before(with_value(lc.SHEET, "currencies", "max_daily_loss_micro_units", 1), lc.SHEET)) == 1, "the control"
    drill, grant = (r.Armed(boot_ns=3, grant=aw_grant(purpose), wall_ns=1) for purpose in (r.Purpose.DRILL, r.Purpose.TRADE))
    state.apply(drill)
    assert state.limits.forgone == TIGHTER
    state.apply(grant)
    assert looser_than_before(state.limits.forgone, state.sheet) == ()


def aw_grant(purpose: r.Purpose) -> r.Grant:
    return r.Grant(
        grant_id=purpose.value,
        binding=aw.binding(),
        cap_usd=Decimal(1),
        scripted=True,
        minted_boot_ns=1,
        expires_boot_ns=2,
        mandate_until_boot_ns=2,
        purpose=purpose,
    )


def test_a_start_with_limits_as_tight_as_before_has_nothing_to_tell() -> None:
    before = armed_state()
    state = GateState(TIGHTER)
    for record in (aw.boot(LIFE), tightening(under(before, lc.SHEET), TIGHTER), aw.boot("f" * 32)):
        state.apply(record)
    assert state.limits.forgone == TIGHTER
    assert looser_than_before(state.limits.forgone, state.sheet) == ()


def test_a_start_with_tighter_limits_than_before_has_nothing_to_tell() -> None:
    tighter = with_value(lc.SHEET, "account", "max_daily_loss_micro_usd", 1)
    assert looser_than_before(lc.SHEET, tighter) == ()
    (told,) = looser_than_before(tighter, lc.SHEET)
    assert told.startswith("account.max_daily_loss_usd: ")


def test_a_snapshot_holds_what_is_in_force() -> None:
    state = armed_state()
    untouched = snapshot.decode(snapshot.encode(state), lc.SHEET)
    assert (untouched.sheet, untouched.digest()) == (lc.SHEET, state.digest())
    state.apply(tightening(state, TIGHTER))
    found = snapshot.decode(snapshot.encode(state), lc.SHEET)
    assert (found.sheet, found.limits, found.digest()) == (TIGHTER, state.limits, state.digest())
    assert found.digest() != untouched.digest()
    # A start with other limits may begin with it; what an earlier life was tightened to holds until the boot is folded, and is told after it.
    other = snapshot.decode(snapshot.encode(state), lc.changed(lc.SHEET, "account", max_daily_loss_micro_usd=1))
    assert (other.sheet, other.digest()) == (TIGHTER, state.digest())
    other.apply(aw.boot("f" * 32))
    assert (other.sheet, other.limits.forgone) == (other.given, TIGHTER)


def test_the_record_is_read_back_and_holds_what_was_before() -> None:
    state = armed_state()
    record = tightening(state, TIGHTER)
    assert r.decode(r.encode(record)) == record
    assert record.changes == (r.LimitChange(table="symbols", name=SYMBOL, attribute="max_order_lots", was="2"),)
    assert proposal().lots == 1
