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
from tests.gate.pair_world import SHEET, THERE, ask, facts_of_two, fills, pair, references, sent, unknown

from interlock.domain.orders import OrderState, Side, TimeInForce
from interlock.gate import group_result
from interlock.gate import records as r
from interlock.gate.exposure import Valuation, universe_of, valuation_of
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


@pytest.mark.parametrize(
    ("side", "ticks", "lots", "expected"),
    [
        (Side.BUY, 200_500, 2, "0.1001"),
        (Side.BUY, 200_001, 1, "0.0002"),  # a tick above the bid
        (Side.BUY, 200_000, 1, "0.0001"),
        (Side.SELL, 200_000, 1, "0.0002"),  # a tick below the ask
        (Side.SELL, 200_001, 1, "0.0001"),
        (Side.SELL, 199_500, 2, "0.1003"),  # with the one that is judged three lots are short
    ],
)
def test_an_open_order_loses_against_the_price_at_which_it_would_be_marked(side: Side, ticks: int, lots: int, expected: str) -> None:
    world = pair()
    place = {**HERE, "ticks": ticks, "lots": lots} if side is Side.BUY else {**THERE, "ticks": ticks, "lots": lots}
    unknown(world, sent(world, ask(world, side, **place, group="g")))
    assert loss(world) == Decimal(expected)


def test_an_open_order_at_the_price_at_which_it_would_be_marked_costs_no_fee_in_advance() -> None:
    world = bought(fee=Decimal("0.02"))
    unknown(world, sent(world, ask(world, Side.BUY, **{**HERE, "ticks": 200_000}, group="g", lots=1)))
    assert loss(world) == Decimal("0.0401")
    dearer = bought(fee=Decimal("0.02"))
    unknown(dearer, sent(dearer, ask(dearer, Side.BUY, **{**HERE, "ticks": 200_001}, group="g", lots=1)))
    assert loss(dearer) == Decimal("0.060201"), "a tick and a thousandth, rounded up"


def test_an_order_that_ended_without_an_execution_needs_no_price() -> None:
    world = bought()
    ended = ask(world, Side.SELL, **THERE, group="g")
    here = msgspec.structs.replace(SELL, venue="bybit", symbol="BTCUSDT")
    refs = world.readings.references
    blind = msgspec.structs.replace(refs, references={("bybit", "BTCUSDT"): refs.references["bybit", "BTCUSDT"]})
    unsent = r.NotSent(boot_ns=NOW.boot_ns, client_id=ended.decision.client_id, revision=0, reason="lease")
    assert loss(world, here, blind).is_nan(), "it may still be executed, and nobody knows at which price it would be marked"
    world.state.apply(unsent)
    assert loss(world, here, blind) == Decimal(0)


def test_fees_are_expected_at_the_highest_rate_that_was_met() -> None:
    world = bought(fee=Decimal("0.02"))
    fills(world, sent(world, ask(world, Side.BUY, **{**HERE, "ticks": 200_001}, group="g")), fee=Decimal("0.01"), trade_id="t2")
    assert loss(world) == Decimal("0.0501"), "three hundredths were charged, and two more are expected"


def test_what_an_execution_is_worth_takes_the_size_of_its_lot_and_the_dearest_rate() -> None:
    universe = universe_of([lc.facts(), lc.facts(venue="other", symbol="BTC", per_lot="0.0004", per_tick_lot="0.00004")])
    quotes = (lc.quote(200_000, 200_001, NOW.boot_ns), lc.quote(200_000, 200_001, NOW.boot_ns, venue="other", symbol="BTC"))
    world = bought(fee=Decimal("0.02"))
    for rate, expected in (("1", "0.02804"), ("1.02", "0.028601")):
        refs = lc.seen(SHEET, universe, *lc.steady(*quotes), lc.rate(ask=rate, at=NOW.boot_ns))
        assert loss(world, refs=refs) == Decimal(expected), "eight dollars there are charged eight thousandths"


@pytest.mark.parametrize(("fee", "expected"), [("0.001", "43.050305"), ("-0.001", "-19.9999")])
def test_a_fee_in_a_coin_is_converted_at_the_dearest_and_a_rebate_at_the_cheapest_price_that_is_known(fee: str, expected: str) -> None:
    blind = [lc.facts(venue="another", symbol="XBT", quote="EUR"), lc.facts(venue="another", symbol="XBU")]
    universe = universe_of([*blind, *facts_of_two()])
    quotes = (lc.quote(200_000, 200_001, NOW.boot_ns), lc.quote(210_000, 210_001, NOW.boot_ns, venue="other", symbol="BTC"))
    refs = lc.seen(SHEET, universe, *lc.steady(*quotes), lc.rate(at=NOW.boot_ns))
    judged = msgspec.structs.replace(SELL, ticks=210_000)
    assert loss(bought(fee=Decimal(fee), fee_currency="BTC"), judged, refs) == Decimal(expected)


@pytest.mark.parametrize(("fee", "expected"), [("0.02", "0.040902"), ("-0.02", "-0.019498")])
def test_a_fee_is_converted_at_the_dearest_and_a_rebate_at_the_cheapest_rate(fee: str, expected: str) -> None:
    assert loss(bought(fee=Decimal(fee)), refs=seen(rate="0.98", ask_rate="1.02")) == Decimal(expected)


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


def test_what_is_answered_whole_is_not_naked_and_neither_is_it_unknown() -> None:
    world = bought()
    fills(world, sent(world, ask(world, Side.SELL, venue="other", symbol="BTC", ticks=200_000, tif=TimeInForce.IOC, group="g")))
    assert naked(world) == (Decimal(0), Decimal(20))


def test_lots_of_two_sizes_are_netted_as_coins() -> None:
    world = bought()
    sent(world, ask(world, Side.BUY, **{**HERE, "tif": TimeInForce.POST_ONLY, "ticks": 199_900}, group="g"))
    universe = universe_of([lc.facts(), lc.facts(venue="other", symbol="BTC", per_lot="0.0004", per_tick_lot="0.00004")])
    prices = {place: (200_000, valuation_of(one, 10**12, 10**12)) for place, one in universe.facts.items()}

    def of(lots: int) -> tuple[Decimal, Decimal]:
        return group_result.naked_usd(world.state, universe, prices, world.state.groups["g"], msgspec.structs.replace(SELL, lots=lots))

    assert of(5) == (Decimal(40), Decimal(40))
    assert of(8) == (Decimal(40), Decimal(44)), "3.2 coins less the 1 that is held"


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
