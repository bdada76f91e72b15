"""Own orders do not trade with each other: an order that could meet one of ours is denied by name, and one that could not is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate.core_world import NOW, World, proposal
from tests.gate.pair_world import FLAGGED, HERE, THERE, answer, ask, enter, fills, hold_at_reduce_only, legs, mandate_of, pair, plan, sent

from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.core import DENY, PERMIT
from interlock.gate.order_state import Amend, Order, Orders
from interlock.gate.own_crossing import OWN_CROSSING, crossed_by

REST = 400_100


def placed(world: World, **more: Any) -> tuple[str, str]:
    """(result, rule) of one more order."""
    decision = world.next(**more).decision
    return decision.result, decision.rule


def resting_sell(ticks: int = REST) -> World:
    """A world in which we have a sell order at rest."""
    world = World()
    world.proposal = proposal(side=Side.SELL, ticks=ticks)
    effects = world.decide()
    assert effects.decision.result == PERMIT, effects.decision
    return world


@pytest.mark.parametrize("tif", [TimeInForce.GTC, TimeInForce.IOC])
def test_an_order_that_could_trade_with_one_of_ours_is_denied_and_one_tick_less_is_not(tif: TimeInForce) -> None:
    assert placed(resting_sell(), tif=tif, ticks=REST) == (DENY, OWN_CROSSING)
    assert placed(resting_sell(), tif=tif, ticks=REST - 1) == (PERMIT, "")


def test_the_denial_names_the_order_that_stands_in_the_way() -> None:
    world = resting_sell()
    (held,) = world.state.orders.live
    decision = world.next(tif=TimeInForce.GTC, ticks=REST).decision
    assert held in decision.detail


def test_an_order_that_never_takes_is_not_held_up() -> None:
    assert placed(resting_sell(), tif=TimeInForce.POST_ONLY, ticks=REST) == (PERMIT, "")
    assert crossed_by(holding(order(Side.SELL, 400_000)), asks(Side.BUY, 400_000, tif=TimeInForce.POST_ONLY)) == ""


def test_once_ours_has_ended_the_way_is_free() -> None:
    world = resting_sell()
    (held,) = world.state.orders.live
    world.state.apply(r.NotSent(boot_ns=NOW.boot_ns, client_id=held, revision=0, reason="test"))
    assert placed(world, tif=TimeInForce.GTC, ticks=REST) == (PERMIT, "")


def order(side: Side, ticks: int, **more: Any) -> Order:
    given_: dict[str, Any] = {
        "client_id": f"{side.name}{ticks}{len(more)}",
        "group": "",
        "strategy": "other",
        "venue": "bybit",
        "account": "main",
        "symbol": "BTCUSDT",
        "side": side,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.POST_ONLY,
        "reduce_only": False,
        "ticks": ticks,
        "lots": 1,
        "created_boot_ns": 1,
        "state": OrderState.OPEN,
    }
    return Order(**{**given_, **more})


def asks(side: Side, ticks: int, **more: Any) -> r.Intent:
    effects = World(proposal=proposal(side=side, ticks=ticks, tif=TimeInForce.GTC)).decide()
    (intent,) = [record for record in effects.records if isinstance(record, r.Intent)]
    return msgspec.structs.replace(intent, **more)


def holding(*found: Order) -> Orders:
    return Orders(by_id={one.client_id: one for one in found}, live={one.client_id: True for one in found})


@pytest.mark.parametrize(
    ("held", "meets"),
    [
        (order(Side.SELL, 400_000), True),
        (order(Side.SELL, 400_001), False),
        (order(Side.BUY, 400_000), False),
        (order(Side.SELL, 400_000, symbol="ETHUSDT"), False),
        (order(Side.SELL, 400_000, account="second"), False),
        (order(Side.SELL, 400_000, venue="binance_usdm"), False),
        (order(Side.SELL, 400_000, state=OrderState.UNKNOWN), True),
        (order(Side.SELL, 400_900, type=OrderType.MARKET), True),
        (order(Side.SELL, 400_900, amend=Amend(1, 400_000, 1)), True),
        (order(Side.SELL, 400_000, amend=Amend(1, 400_900, 1)), True),
        (order(Side.SELL, 400_900, amend=Amend(1, 400_800, 1)), False),
    ],
    ids=str,
)
def test_what_a_buy_order_could_trade_with(held: Order, meets: bool) -> None:
    assert crossed_by(holding(held), asks(Side.BUY, 400_000)) == (held.client_id if meets else "")


@pytest.mark.parametrize(
    ("held", "meets"),
    [
        (order(Side.BUY, 400_000), True),
        (order(Side.BUY, 399_999), False),
        (order(Side.BUY, 399_000, amend=Amend(1, 400_000, 1)), True),
        (order(Side.BUY, 400_000, amend=Amend(1, 399_000, 1)), True),
        (order(Side.BUY, 399_000, amend=Amend(1, 399_100, 1)), False),
    ],
    ids=str,
)
def test_what_a_sell_order_could_trade_with(held: Order, meets: bool) -> None:
    assert crossed_by(holding(held), asks(Side.SELL, 400_000)) == (held.client_id if meets else "")


def test_an_order_at_any_price_meets_whatever_stands_on_the_other_side() -> None:
    assert crossed_by(holding(order(Side.SELL, 900_000)), asks(Side.BUY, 400_000, type=OrderType.MARKET))
    assert not crossed_by(holding(order(Side.BUY, 900_000)), asks(Side.BUY, 400_000, type=OrderType.MARKET))


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(399_900, 400_100)), max_size=12))
def test_whatever_is_asked_for_no_two_of_ours_that_stand_could_trade(wanted: list[tuple[Side, int]]) -> None:
    """Orders that may take, one after the other, each taken up unless it meets one that stands."""
    held: list[Order] = []
    refused = 0
    for number, (side, ticks) in enumerate(wanted):
        if crossed_by(holding(*held), asks(side, ticks)):
            refused += 1
            assert any(one.side is not side and (ticks - one.ticks) * side >= 0 for one in held)
        else:
            held.append(order(side, ticks, client_id=f"o{number}"))
    buys = [one.ticks for one in held if one.side is Side.BUY]
    sells = [one.ticks for one in held if one.side is Side.SELL]
    assert not buys or not sells or max(buys) < min(sells)
    assert len(held) + refused == len(wanted)


# What brings a position or a leg home


def test_the_second_leg_of_a_pair_is_not_held_up_and_an_order_outside_of_the_pair_is() -> None:
    def world() -> World:
        found = pair()
        sent(found, ask(found, Side.BUY, **{**THERE, "tif": TimeInForce.GTC}, lots=1))
        fills(found, sent(found, enter(found)), lots=2)
        return found

    assert mandate_of(answer(world(), 1)) == ""
    assert mandate_of(ask(world(), Side.SELL, **THERE, lots=1)).startswith(OWN_CROSSING)


def test_the_first_leg_of_a_pair_is_held_up() -> None:
    def world(ticks: int) -> World:
        found = pair()
        sent(found, ask(found, Side.SELL, **{**HERE, "tif": TimeInForce.GTC, "ticks": ticks}, lots=1))
        return found

    assert mandate_of(enter(world(200_002))).startswith(OWN_CROSSING)
    assert mandate_of(enter(world(200_003))) == ""


def test_more_of_the_first_leg_is_held_up_once_the_pair_has_begun() -> None:
    def world(ticks: int) -> World:
        found = pair()
        sent(found, enter(found, lots=1))
        sent(found, ask(found, Side.SELL, **{**HERE, "tif": TimeInForce.POST_ONLY, "ticks": ticks}, lots=1))
        return found

    more = {**HERE, "ticks": 200_002, "lots": 1, "group": "p"}
    assert mandate_of(ask(world(200_002), Side.BUY, **more)).startswith(OWN_CROSSING)
    assert mandate_of(ask(world(200_003), Side.BUY, **more)) == ""


@pytest.mark.parametrize("held", [False, True], ids=["run", "reduce only"])
def test_what_brings_the_first_leg_home_is_not_held_up_and_the_same_order_outside_of_the_pair_is(held: bool) -> None:
    def world() -> World:
        found = pair()
        fills(found, sent(found, enter(found, plan(found, *legs(lots=1)))))
        sent(found, ask(found, Side.BUY, **{**HERE, "tif": TimeInForce.GTC}, lots=1))
        return found

    assert mandate_of(ask(world(), Side.SELL, **HERE, lots=1)).startswith(OWN_CROSSING)
    brought = world()
    if held:
        hold_at_reduce_only(brought)
    assert mandate_of(ask(brought, Side.SELL, **HERE, group="p", lots=1)) == "hedge"


def test_a_reduction_of_one_position_is_none_while_an_order_that_adds_to_it_stands() -> None:
    """So that it never meets one: the mandate refuses it before."""
    reduces = {**HERE, **FLAGGED, "lots": 1}

    def world(*adds: dict[str, Any]) -> World:
        found = pair()
        fills(found, sent(found, ask(found, Side.BUY, **{**HERE, "ticks": 200_001}, lots=1)))
        for more in adds:
            sent(found, ask(found, Side.BUY, **{**HERE, **more}, lots=1))
        hold_at_reduce_only(found)
        return found

    assert mandate_of(ask(world(), Side.SELL, **reduces)) == "reduce_only"
    assert "mandate_not_shrinking" in mandate_of(ask(world({"tif": TimeInForce.GTC}), Side.SELL, **reduces))
