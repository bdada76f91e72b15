"""What a group has lost and what of it is naked, to the micro-dollar: a tick of a lot is a hundredth of a cent, and a lot about twenty dollars."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import limit_cases as lc
from tests.gate.core_world import NOW, World
from tests.gate.pair_world import SHEET, ask, facts_of_two, fills, pair, references, sent, unknown

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import group_result
from interlock.gate import records as r
from interlock.gate.exposure import Valuation, universe_of
from interlock.gate.references import References

SELL = lc.intent(Side.SELL, 1, 200_000, venue="other", symbol="BTC", client_id="judged")
HERE: dict[str, Any] = {"venue": "bybit", "symbol": "BTCUSDT", "ticks": 200_000, "tif": TimeInForce.IOC}


def bought(lots: int = 1, **fill: Any) -> World:
    """A group whose one order bought here."""
    world = pair()
    client_id = sent(world, ask(world, Side.BUY, **HERE, lots=lots, group="g"))
    fills(world, client_id, lots, **fill)
    return world


def loss(world: World, intent: r.Intent = SELL, refs: References | None = None) -> Decimal:
    return group_result.loss_usd(world.state, world.readings.references if refs is None else refs, world.state.groups["g"], intent)


def seen(bid_here: int = 200_000, bid_there: int = 200_000, rate: str = "1", ask_rate: str = "1") -> References:
    quotes = (lc.quote(bid_here, bid_here + 1, NOW.boot_ns), lc.quote(bid_there, bid_there + 1, NOW.boot_ns, venue="other", symbol="BTC"))
    return lc.seen(SHEET, universe_of(facts_of_two()), *lc.steady(*quotes), lc.rate(bid=rate, ask=ask_rate, at=NOW.boot_ns))


@pytest.mark.parametrize(
    ("fill", "refs", "expected"),
    [
        ({}, seen(), "0.0001"),  # what is sold at the bid is marked at the ask, a tick away
        ({"ticks": 200_100}, seen(), "0.0101"),
        ({"ticks": 199_000}, seen(), "-0.0999"),
        ({}, seen(bid_here=199_000), "0.1001"),
        ({}, seen(bid_there=201_000), "0.1001"),
        ({"fee": Decimal("0.02")}, seen(), "0.0401"),  # a thousandth, and the order itself will be charged as much
        ({"fee": Decimal("-0.02")}, seen(), "-0.0199"),  # a rebate is had, and none is counted on
        ({"fee": Decimal("0.000001"), "fee_currency": "BTC"}, seen(), "0.040101"),  # at the ask, rounded up
        ({"fee": Decimal("-0.000001"), "fee_currency": "BTC"}, seen(), "-0.0199"),  # at the bid
        ({"ticks": 200_100}, seen(rate="0.98", ask_rate="1.02"), "0.010302"),
        (
            {"ticks": 199_000},
            seen(rate="0.98", ask_rate="1.02"),
            "-0.097898",
        ),  # the gain here at the low rate, the loss there at the high one
    ],
)
def test_a_loss_is_reckoned_against_us(fill: dict[str, Any], refs: References, expected: str) -> None:
    assert loss(bought(**fill), refs=refs) == Decimal(expected)


def test_an_execution_that_was_taken_back_is_none() -> None:
    world = bought(ticks=200_100, trade_id="t")
    assert loss(world) == Decimal("0.0101")
    world.state.apply(r.FillReversed(boot_ns=NOW.boot_ns, venue="bybit", account="main", symbol="BTCUSDT", trade_id="t"))
    assert loss(world) == Decimal("0.0001")


def test_open_orders_count_where_they_lose() -> None:
    world = bought()
    resting = {**HERE, "tif": TimeInForce.POST_ONLY}
    sent(world, ask(world, Side.BUY, **{**resting, "ticks": 199_900}, group="g"))
    assert loss(world) == Decimal("0.0001"), "below the bid it could only gain"
    worse = pair()
    fills(worse, sent(worse, ask(worse, Side.BUY, **HERE, group="g")))
    unknown(worse, sent(worse, ask(worse, Side.BUY, **{**HERE, "ticks": 200_500}, group="g")))
    assert loss(worse) == Decimal("0.0501")


@pytest.mark.parametrize(("ticks", "expected"), [(200_500, "0.0501"), (199_900, "0.0101")])
def test_an_amend_counts_at_the_worse_of_two_prices(ticks: int, expected: str) -> None:
    world = pair()
    client_id = sent(world, ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.GTC, "ticks": 200_100}, group="g"))
    opened = r.Answered(boot_ns=NOW.boot_ns, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code="")
    world.state.apply(opened)
    amend = ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.GTC, "ticks": ticks}, group="g", amends=client_id)
    assert amend.decision.rule == ""
    assert loss(world) == Decimal(expected)


def without(world: World, what: str) -> World:
    """A world in which something is missing to reckon with."""
    refs = world.readings.references
    if what == "order":
        world.state.orders.by_id.clear()
    elif what == "execution":
        world.state.ledger.fills.clear()
    elif what == "price":
        refs = msgspec.structs.replace(refs, references={})
    elif what == "rate":
        refs = msgspec.structs.replace(refs, valuations={})
    else:
        refs = msgspec.structs.replace(refs, universe=universe_of(facts_of_two()[1:]))
    world.readings.references = refs
    return world


@pytest.mark.parametrize("what", ["order", "execution", "price", "rate", "facts"])
def test_what_is_missing_makes_a_loss_no_number(what: str) -> None:
    assert loss(without(bought(), what)).is_nan()


def test_a_fee_in_a_currency_without_a_price_is_no_number() -> None:
    assert loss(bought(fee=Decimal(1), fee_currency="BNB")).is_nan()
    assert not loss(bought(fee=Decimal(0), fee_currency="BNB")).is_nan()
    priced = bought(fee=Decimal("0.001"), fee_currency="BTC")
    refs = priced.readings.references
    blind = msgspec.structs.replace(refs, references={("other", "BTC"): refs.references["other", "BTC"]})
    assert loss(priced, refs=blind).is_nan(), "its price is known, but not what was bought is worth"


# Naked


def naked(world: World, intent: r.Intent = SELL) -> tuple[Decimal, Decimal]:
    refs = world.readings.references
    prices: dict[tuple[str, str], tuple[int, Valuation]] = {place: (200_000, refs.valuations[place]) for place in refs.universe.facts}
    return group_result.naked_usd(world.state, refs.universe, prices, world.state.groups["g"], intent)


def test_the_groups_own_net_is_what_is_naked() -> None:
    world = bought(2)
    fills(world, sent(world, ask(world, Side.SELL, venue="other", symbol="BTC", ticks=200_000, tif=TimeInForce.IOC)))
    assert naked(world) == (Decimal(40), Decimal(40)), "what another order sold is not of the group"
    fills(world, sent(world, ask(world, Side.SELL, venue="other", symbol="BTC", ticks=200_000, tif=TimeInForce.IOC, group="g")))
    assert naked(world) == (Decimal(20), Decimal(20))
    assert naked(world, msgspec.structs.replace(SELL, lots=3)) == (Decimal(20), Decimal(40))
    assert naked(world, msgspec.structs.replace(SELL, side=Side.BUY)) == (Decimal(20), Decimal(40))


def test_open_orders_of_both_sides_widen_it() -> None:
    world = bought()
    resting = {**HERE, "tif": TimeInForce.POST_ONLY}
    sent(world, ask(world, Side.BUY, **{**resting, "ticks": 199_900}, group="g"))
    assert naked(world)[0] == Decimal(40)
    other = bought()
    sent(other, ask(other, Side.SELL, **{**resting, "ticks": 200_100}, lots=2, group="g"))
    assert naked(other) == (Decimal(20), Decimal(40))


def test_what_is_missing_makes_it_no_number() -> None:
    world = bought()
    refs = world.readings.references
    assert group_result.naked_usd(world.state, refs.universe, {}, world.state.groups["g"], SELL)[0].is_nan()
    there_only = universe_of(facts_of_two()[1:])
    assert group_result.naked_usd(world.state, there_only, {}, world.state.groups["g"], SELL)[0].is_nan()
    world.state.orders.by_id.clear()
    assert naked(world)[0].is_nan()


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(199_000, 201_000)), max_size=4), st.integers(199_000, 201_000))
def test_a_loss_is_what_the_trades_have_cost_less_what_they_leave(fills_there: list[tuple[Side, int]], ticks: int) -> None:
    refs = seen(bid_here=200_010, bid_there=199_990)
    trades = [group_result.Trade(("other", "BTC"), int(side), price) for side, price in [*fills_there, (Side.SELL, ticks)]]
    held = sum(trade.signed_lots for trade in trades)
    tick_lots = sum(-trade.signed_lots * trade.ticks for trade in trades) + held * (199_990 if held > 0 else 199_991)
    world = pair()
    world.state.apply(r.GroupReserved(boot_ns=NOW.boot_ns, group="g", client_ids=(), naked_cap_usd=Decimal(1), deadline_boot_ns=1 << 60))
    state = world.state
    for number, (side, price) in enumerate(fills_there):
        intent = lc.intent(side, 1, price, venue="other", symbol="BTC", client_id=f"o{number}")
        state.apply(intent)
        state.orders.by_id[intent.client_id].state = OrderState.OPEN
        state.groups["g"].client_ids[intent.client_id] = True
        fills(world, intent.client_id, 1, ticks=price)
    judged = msgspec.structs.replace(SELL, ticks=ticks)
    assert Fraction(loss(world, judged, refs)) == Fraction(-tick_lots, 10_000)


def test_references_are_those_of_the_calm_moment() -> None:
    assert loss(bought(), refs=references()) == Decimal("0.0001")
