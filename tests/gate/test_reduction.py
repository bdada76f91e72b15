"""The reduce mandate at the decision: what one order can prove of a hedge, of a pair that shrinks, and of a reduction on its own."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import NOW, World, proposal
from tests.gate.pair_world import (
    FLAGGED,
    HERE,
    LONGEST_NAKED_NS,
    SHEET,
    THERE,
    ask,
    facts_of_two,
    fills,
    hold_at_reduce_only,
    mandate_of,
    pair,
    references,
    sent,
    unknown,
)

from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.exposure import Equity, Exposure, OpenOrder, exposure_of, universe_of
from interlock.gate.mandate import Clause
from interlock.gate.permission import Denial, May, Permission
from interlock.gate.readings import Now
from interlock.gate.reduction import Unfit, clause_of
from interlock.gate.references import References
from interlock.gate.state import GateState


def one_leg(kind: Kind = Kind.PERPETUAL) -> World:
    """The first leg of a group is filled, and no new risk may be taken."""
    world = pair(kind)
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="g")))
    hold_at_reduce_only(world)
    return world


# A group begins


def test_a_group_begins_with_its_first_order_under_the_grant_and_before_its_permit() -> None:
    world = pair()
    first = ask(world, Side.BUY, **HERE, group="g")
    intent, group, permit = first.records
    assert isinstance(intent, r.Intent)
    assert isinstance(permit, r.Permit)
    assert group == r.GroupReserved(
        boot_ns=NOW.boot_ns,
        group="g",
        client_ids=(first.decision.client_id,),
        naked_cap_usd=Decimal(100),
        loss_bound_usd=Decimal(20),
        deadline_boot_ns=NOW.boot_ns + LONGEST_NAKED_NS,
    )
    second = ask(world, Side.SELL, **THERE, group="g")
    assert [type(record) for record in second.records] == [r.Intent, r.Permit]
    assert list(world.state.groups["g"].client_ids) == [first.decision.client_id, second.decision.client_id]
    assert [type(record) for record in ask(world, Side.SELL, **THERE).records] == [r.Intent, r.Permit]


def test_a_group_begins_anew_when_its_time_is_over_and_keeps_what_is_alive() -> None:
    world = pair()
    ended = sent(world, ask(world, Side.BUY, **HERE, group="g"))
    fills(world, ended)
    alive = sent(world, ask(world, Side.SELL, **{**THERE, "tif": TimeInForce.POST_ONLY, "ticks": 200_001}, group="g"))
    began = world.state.groups["g"].began_boot_ns
    assert world.state.group("g", began + LONGEST_NAKED_NS) is not None
    assert world.state.group("g", began + LONGEST_NAKED_NS + 1) is None
    assert world.state.group("g", began - 1) is None
    assert world.state.group("other", began) is None
    later = began + LONGEST_NAKED_NS + 1
    for name in ("h", "g"):
        world.state.apply(
            r.GroupReserved(boot_ns=later, group=name, client_ids=("new",), naked_cap_usd=Decimal(1), deadline_boot_ns=later + 1)
        )
    assert list(world.state.groups) == ["h", "g"]
    assert list(world.state.groups["g"].client_ids) == [alive, "new"]


def test_groups_whose_time_is_over_are_forgotten_and_none_outlives_a_boot() -> None:
    state = GateState(SHEET)

    def reserve(at: int, name: str, until: int) -> None:
        state.apply(r.GroupReserved(boot_ns=at, group=name, client_ids=(), naked_cap_usd=Decimal(1), deadline_boot_ns=until))

    reserve(1, "a", 5)
    reserve(2, "b", 9)
    before = state.digest()
    reserve(6, "c", 9)
    assert list(state.groups) == ["b", "c"]
    assert state.digest() != before
    reserve(20, "d", 19)
    assert not state.groups
    reserve(20, "e", 21)
    state.apply(aw.boot("f" * 32))
    assert not state.groups


# The missing hedge of a proven fill


def test_a_proven_fill_may_be_hedged_once_when_no_new_risk_may_be_taken() -> None:
    world = one_leg()
    assert mandate_of(ask(world, Side.SELL, **THERE)).startswith("level_reduces: ")
    assert "has not begun" not in mandate_of(ask(world, Side.SELL, **THERE)), "it names no group"
    assert "has not begun" in mandate_of(ask(world, Side.SELL, **THERE, group="another"))
    assert "hedge: mandate_hedge_not_proven" in mandate_of(ask(world, Side.SELL, **THERE, group="g", lots=2))
    assert "hedge: mandate_naked" in mandate_of(ask(world, Side.BUY, **THERE, group="g"))
    hedge = ask(world, Side.SELL, **THERE, group="g")
    assert mandate_of(hedge) == "hedge"
    again = ask(world, Side.SELL, **THERE, group="g")
    assert "hedge: mandate_hedge_not_proven" in mandate_of(again), "the first one is on its way"
    world.state.apply(r.NotSent(boot_ns=NOW.boot_ns, client_id=hedge.decision.client_id, revision=0, reason="lease"))
    second = ask(world, Side.SELL, **{**THERE, "ticks": 199_999}, group="g")
    assert mandate_of(second) == "hedge", "what was certainly not sent hedges nothing"
    fills(world, sent(world, second))
    assert "hedge: mandate_naked" in mandate_of(ask(world, Side.SELL, **{**THERE, "ticks": 199_998}, group="g"))
    assert world.state.ledger.positions["other", "main", "BTC"].lots == -1


def test_a_fill_that_only_a_report_tells_of_proves_no_hedge() -> None:
    world = pair()
    client_id = sent(world, ask(world, Side.BUY, **HERE, group="g"))
    report = r.Reported(
        boot_ns=NOW.boot_ns,
        client_id=client_id,
        venue_order_id="v",
        state=OrderState.FILLED,
        filled_lots=1,
        lots=1,
        source="stream",
        code="",
        venue_ns=1,
    )
    world.state.apply(report)
    hold_at_reduce_only(world)
    assert "hedge: mandate_hedge_not_proven" in mandate_of(ask(world, Side.SELL, **THERE, group="g"))
    fills(world, client_id)
    assert mandate_of(ask(world, Side.SELL, **THERE, group="g")) == "hedge"


def test_a_hedge_comes_within_the_time_of_its_group() -> None:
    world = one_leg()
    for after, expected in ((LONGEST_NAKED_NS, "hedge"), (LONGEST_NAKED_NS + 1, "level_reduces")):
        late = one_leg()
        late.now = Now(NOW.boot_ns + after, NOW.wall_ns)
        late.readings.references = references(at=late.now.boot_ns)
        late.readings.equity = {(venue, "main"): Equity(1_000_000_000, late.now.boot_ns) for venue in ("bybit", "other")}
        assert mandate_of(ask(late, Side.SELL, **THERE, group="g")).startswith(expected)
    assert mandate_of(ask(world, Side.SELL, **THERE, group="g")) == "hedge"


def test_the_hedge_of_what_is_proven_does_not_wait_for_what_is_unknown() -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="g")))
    unknown(world, sent(world, ask(world, Side.BUY, **{**HERE, "ticks": 199_990}, group="g")))
    assert ask(world, Side.SELL, **THERE, group="g").decision.rule == "group_unresolved"
    hold_at_reduce_only(world)
    assert "hedge: mandate_hedge_not_proven" in mandate_of(ask(world, Side.SELL, **THERE, lots=2, group="g"))
    assert mandate_of(ask(world, Side.SELL, **THERE, group="g")) == "hedge"
    # An unknown hedge counts as if it had filled.
    (waiting,) = (order for order in world.state.orders.by_id.values() if order.side is Side.SELL and not order.state.final)
    world.state.apply(r.WireBegin(boot_ns=NOW.boot_ns, client_id=waiting.client_id, revision=0, connection="c"))
    unknown(world, waiting.client_id)
    assert "hedge: mandate_hedge_not_proven" in mandate_of(ask(world, Side.SELL, **{**THERE, "ticks": 199_999}, group="g"))


def test_a_reduction_in_a_group_still_waits_for_what_is_unknown() -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="a")))
    unknown(world, sent(world, ask(world, Side.SELL, **THERE, group="g")))
    hold_at_reduce_only(world)
    assert ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="g").decision.rule == "group_unresolved"
    assert mandate_of(ask(world, Side.SELL, **{**HERE, **FLAGGED})) == "reduce_only"


def test_a_hedge_never_adds_to_what_is_naked() -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="g")))
    sent(world, ask(world, Side.SELL, **{**THERE, "tif": TimeInForce.POST_ONLY, "ticks": 200_001}, lots=2))
    hold_at_reduce_only(world)
    said = mandate_of(ask(world, Side.SELL, **{**HERE, "ticks": 200_000}, group="g"))
    assert "hedge: mandate_naked" in said, "with the open sells it could go from one short to two"
    assert mandate_of(ask(one_leg(), Side.SELL, **{**HERE, "ticks": 200_000}, group="g")) == "hedge"


# Both legs of a pair


def test_a_pair_shrinks_leg_by_leg_when_no_new_risk_may_be_taken() -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="g")))
    fills(world, sent(world, ask(world, Side.SELL, **THERE, group="g")))
    hold_at_reduce_only(world)
    grows = mandate_of(ask(world, Side.BUY, **{**HERE, **FLAGGED}, group="g"))
    assert "shrink_pair: mandate_not_shrinking" in grows
    unflagged = mandate_of(ask(world, Side.SELL, **HERE, group="g"))
    assert "shrink_pair: mandate_reduce_flag" in unflagged
    first = ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="g")
    assert mandate_of(first) == "reduce_only", "nothing shows yet that the other leg will follow"
    second = ask(world, Side.BUY, **{**THERE, **FLAGGED, "ticks": 200_001}, group="g")
    assert mandate_of(second) == "shrink_pair"


def test_a_pair_shrinks_on_an_instrument_on_which_its_group_has_no_order_yet() -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="g")))
    fills(world, sent(world, ask(world, Side.SELL, **THERE)))
    hold_at_reduce_only(world)
    assert mandate_of(ask(world, Side.SELL, **{**HERE, **FLAGGED})) == "reduce_only"
    assert mandate_of(ask(world, Side.BUY, **{**THERE, **FLAGGED, "ticks": 200_001}, group="g")) == "shrink_pair"


@pytest.mark.parametrize(("open_on", "expected"), [("", "shrink_pair"), ("here", "reduce_only"), ("there", "shrink_pair")])
def test_what_is_open_on_the_other_leg_must_be_flagged_and_on_this_one_need_not(open_on: str, expected: str) -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, lots=2, group="g")), 2)
    fills(world, sent(world, ask(world, Side.SELL, **THERE, lots=2, group="g")), 2)
    if open_on == "here":
        sent(world, ask(world, Side.SELL, **{**HERE, "tif": TimeInForce.GTC, "ticks": 200_100}))
    elif open_on == "there":
        sent(world, ask(world, Side.BUY, **{**THERE, "tif": TimeInForce.GTC, "ticks": 199_900}))
    hold_at_reduce_only(world)
    assert mandate_of(ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="g")) in ("reduce_only", "shrink_pair")
    assert mandate_of(ask(world, Side.BUY, **{**THERE, **FLAGGED, "ticks": 200_001}, group="g")) == expected


def test_the_other_leg_of_a_pair_that_has_shrunk_is_a_hedge() -> None:
    world = pair()
    fills(world, sent(world, ask(world, Side.BUY, **HERE, group="g")))
    fills(world, sent(world, ask(world, Side.SELL, **THERE, group="g")))
    hold_at_reduce_only(world)
    fills(world, sent(world, ask(world, Side.SELL, **{**HERE, **FLAGGED}, group="g")))
    assert mandate_of(ask(world, Side.BUY, **{**THERE, **FLAGGED, "ticks": 200_001}, group="g")) == "hedge"


# One instrument alone


def test_on_spot_what_is_held_may_be_sold_without_a_flag_and_no_more() -> None:
    world = pair(Kind.SPOT)
    fills(world, sent(world, ask(world, Side.BUY, **THERE)))
    hold_at_reduce_only(world)
    assert mandate_of(ask(world, Side.SELL, **THERE, lots=2)).startswith("level_reduces: ")
    assert mandate_of(ask(world, Side.SELL, **HERE)).startswith("level_reduces: ")
    assert mandate_of(ask(world, Side.SELL, **THERE)) == "reduce_only"
    perpetual = pair()
    fills(perpetual, sent(perpetual, ask(perpetual, Side.BUY, **THERE)))
    hold_at_reduce_only(perpetual)
    assert "mandate_reduce_flag" in mandate_of(ask(perpetual, Side.SELL, **THERE))


# What cannot be reckoned

REDUCE = Permission(May.REDUCE, Denial.LEVEL_REDUCES)
HEDGE = lc.intent(Side.SELL, 1, 200_000, venue="other", symbol="BTC", client_id="hedge")


def folded(*orders: r.Intent, group: str = "g") -> GateState:
    """Orders of one group, each filled whole."""
    state = GateState(SHEET)
    begun = r.GroupReserved(
        boot_ns=lc.NOW,
        group=group,
        client_ids=(),
        naked_cap_usd=Decimal(100),
        loss_bound_usd=Decimal(20),
        deadline_boot_ns=lc.NOW + LONGEST_NAKED_NS,
    )
    state.apply(begun)
    world = World(state=state)
    for intent in orders:
        state.apply(intent)
        state.apply(msgspec.structs.replace(aw.permit(intent.client_id, "g"), boot_ns=lc.NOW))
        state.apply(r.WireBegin(boot_ns=lc.NOW, client_id=intent.client_id, revision=0, connection="c"))
        fills(world, intent.client_id, intent.lots)
    return state


def holding(**lots: int) -> Exposure:
    places = {"here": ("bybit", "main", "BTCUSDT"), "there": ("other", "main", "BTC"), "elsewhere": ("other", "main", "XYZ")}
    return exposure_of({places[name]: value for name, value in lots.items()}, (), {}, {})


BOUGHT = lc.intent(Side.BUY, 1, 200_000, client_id="leg")
AT = Now(lc.NOW, 1)
PLACES = (("bybit", "BTCUSDT"), ("other", "BTC"))


def clause(state: GateState, exposure: Exposure, refs: References | None = None, intent: r.Intent = HEDGE) -> Clause | Unfit:
    return clause_of(REDUCE, state, refs or references(at=lc.NOW), intent, exposure, AT)


def test_a_hedge_that_can_be_reckoned_is_the_positive_control() -> None:
    assert clause(folded(BOUGHT), holding(here=1)) is Clause.HEDGE


@pytest.mark.parametrize(("cap_usd", "expected"), [(100, Clause.SHRINK_PAIR), (41, Clause.SHRINK_PAIR), (40, Clause.REDUCE_ONLY)])
def test_while_a_pair_shrinks_one_leg_is_ahead_by_no_more_than_the_tightest_naked_cap(cap_usd: int, expected: Clause) -> None:
    long, short = msgspec.structs.replace(BOUGHT, lots=2), msgspec.structs.replace(HEDGE, lots=2, client_id="leg2")
    state = folded(long, short)
    state.given = lc.changed(state.sheet, "assets", "BTC", max_naked_notional_micro_usd=cap_usd * 1_000_000)
    exposure = holding(here=2, there=-2).with_order(OpenOrder("bybit", "main", "BTCUSDT", Side.SELL, 200_000, 1))
    home = msgspec.structs.replace(HEDGE, side=Side.BUY, lots=2, ticks=200_001, reduce_only=True)
    assert clause(state, exposure, intent=home) is expected, "at the ask two lots are worth a little more than forty dollars"
    more = holding(here=3, there=-2).with_order(OpenOrder("bybit", "main", "BTCUSDT", Side.SELL, 200_000, 1))
    with_another = Clause.SHRINK_PAIR if cap_usd == 100 else Clause.REDUCE_ONLY
    assert clause(state, more, intent=home) is with_another, "a third lot of the coin is naked outside the group"


def test_without_a_price_nothing_is_known_to_be_naked_no_more() -> None:
    blind = lc.seen(SHEET, universe_of(facts_of_two()), lc.rate(at=lc.NOW))
    assert "hedge: mandate_nonsense" in str(clause(folded(BOUGHT), holding(here=1), blind))
    unrated = msgspec.structs.replace(references(at=lc.NOW), valuations={})
    assert "hedge: mandate_nonsense" in str(clause(folded(BOUGHT), holding(here=1), unrated))


def test_more_than_can_be_reckoned_is_not_known_to_be_naked_no_more() -> None:
    most = 1 << 60
    assert "hedge: mandate_nonsense" in str(clause(folded(BOUGHT), holding(here=most)))
    assert clause(folded(BOUGHT), holding(here=2)) is Clause.HEDGE


def test_something_held_that_has_no_facts_refuses() -> None:
    assert "hedge: mandate_nonsense" in str(clause(folded(BOUGHT), holding(here=1, elsewhere=1)))


def test_an_instrument_without_facts_hedges_nothing() -> None:
    strange = msgspec.structs.replace(HEDGE, symbol="XYZ")
    said = str(clause(folded(BOUGHT), holding(here=1), intent=strange))
    assert "hedge: mandate_nonsense" in said
    assert "reduce_only: mandate_reduce_flag" in said, "what is not known to be spot is taken for a derivative"


@pytest.mark.parametrize("forgotten", [True, False])
def test_an_order_of_the_group_that_is_not_known_any_more_proves_nothing(forgotten: bool) -> None:
    other = lc.intent(Side.BUY, 1, 200_000, client_id="leg2", venue="other", symbol="BTC" if forgotten else "XYZ")
    state = folded(BOUGHT, other)
    if forgotten:
        del state.orders.by_id["leg2"]
    assert "hedge: mandate_hedge_not_proven" in str(clause(state, holding(here=1)))


def test_another_coin_in_the_group_is_no_part_of_the_hedge() -> None:
    facts = [*facts_of_two(), lc.facts(venue="other", symbol="ETH", asset="ETH")]
    sheet = msgspec.structs.replace(SHEET, symbols={**SHEET.symbols, "other:ETH": SHEET.symbols["other:BTC"]})
    names = (("bybit", "BTCUSDT"), ("other", "BTC"), ("other", "ETH"))
    quotes = lc.steady(*(lc.quote(200_000, 200_001, venue=venue, symbol=symbol) for venue, symbol in names))
    refs = lc.seen(sheet, universe_of(facts), *quotes, lc.rate())
    coin = lc.intent(Side.SELL, 1, 200_000, client_id="coin", venue="other", symbol="ETH")
    assert clause(folded(BOUGHT, coin), holding(here=1), refs) is Clause.HEDGE
    assert clause(folded(coin, BOUGHT), holding(here=1), refs) is Clause.HEDGE
    same = lc.intent(Side.SELL, 1, 200_000, client_id="coin", venue="other", symbol="BTC")
    assert "hedge: mandate_hedge_not_proven" in str(clause(folded(BOUGHT, same), holding(here=2), refs))


def test_lots_of_different_sizes_are_compared_as_coins() -> None:
    facts = [lc.facts(), lc.facts(venue="other", symbol="BTC", per_lot="0.0004", per_tick_lot="0.00004")]
    quotes = lc.steady(lc.quote(200_000, 200_001), lc.quote(200_000, 200_001, venue="other", symbol="BTC"))
    refs = lc.seen(SHEET, universe_of(facts), *quotes, lc.rate())
    two = msgspec.structs.replace(HEDGE, lots=2)
    assert clause(folded(BOUGHT), holding(here=1), refs, two) is Clause.HEDGE
    three = msgspec.structs.replace(HEDGE, lots=3)
    assert "hedge: mandate_hedge_not_proven" in str(clause(folded(BOUGHT), holding(here=1), refs, three)), "1.2 would hedge 1"
    state = folded(BOUGHT)
    state.apply(msgspec.structs.replace(HEDGE, client_id="waits"))
    state.apply(msgspec.structs.replace(aw.permit("waits", "g"), boot_ns=lc.NOW))
    exposure = holding(here=1).with_order(OpenOrder("other", "main", "BTC", Side.SELL, 200_000, 1))
    assert "hedge: mandate_hedge_not_proven" in str(clause(state, exposure, refs, two)), "0.4 is on its way, and 0.6 is left"
    assert clause(state, exposure, refs) is Clause.HEDGE


def test_a_hedge_that_would_add_half_a_dollar_to_what_is_naked_is_none() -> None:
    small = [lc.facts(venue=venue, symbol=symbol, per_lot="0.00002", per_tick_lot="0.000002") for venue, symbol in PLACES]
    quotes = lc.steady(*(lc.quote(200_000, 200_001, venue=venue, symbol=symbol) for venue, symbol in PLACES))
    refs = lc.seen(SHEET, universe_of(small), *quotes, lc.rate())
    exposure = holding(here=1).with_order(OpenOrder("other", "main", "BTC", Side.SELL, 200_000, 2))
    assert "hedge: mandate_naked" in str(clause(folded(BOUGHT), exposure, refs))
    assert clause(folded(BOUGHT), holding(here=1), refs) is Clause.HEDGE


def test_an_open_order_of_another_group_on_the_same_side_counts_as_naked() -> None:
    exposure = holding(here=1).with_order(OpenOrder("other", "main", "BTC", Side.SELL, 200_000, 1))
    assert "hedge: mandate_naked" not in str(clause(folded(BOUGHT), exposure))
    exposure = exposure.with_order(OpenOrder("other", "main", "BTC", Side.SELL, 200_000, 1))
    assert "hedge: mandate_naked" in str(clause(folded(BOUGHT), exposure))


def test_a_permit_of_no_group_joins_none() -> None:
    state = folded(BOUGHT)
    state.apply(aw.permit("nobody", "g"))
    assert list(state.groups["g"].client_ids) == ["leg"]
    assert proposal().group == ""
