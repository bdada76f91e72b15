"""What a venue publishes of its orders is what it refuses by, over the wire: the gate's wire names the rule beforehand, and one less is taken."""

from __future__ import annotations

from dataclasses import replace

from tests.venues.contract.place import WINDOW_MS, Place
from tests.venues.contract.wired import intent

from interlock.domain.clock import NS_PER_MS
from interlock.domain.orders import Side
from interlock.gate.references import Quote
from interlock.gate.venue_bounds import PriceLimits, Published, Standing, bounds_now
from interlock.gate.venue_http_wire import HttpOrderWire
from interlock.venues.bybit.account import Account as BybitAccount
from interlock.venues.port import Accepted, OrderWanted
from interlock.venues.trouble import Doing

NOW_NS = 1


async def standing(place: Place) -> Standing:
    """What the gate would know of the place's market, from its own reads."""
    (listed,) = (one for one in await place.ask(place.reads.rulebook()) if one.instrument.symbol == place.symbol)
    top = await place.ask(place.reads.top(place.symbol))
    told = None
    if isinstance(place.reads, BybitAccount):
        limit = await place.ask(place.reads.price_limit(place.symbol))
        told = PriceLimits(limit.highest_bid_ticks, limit.lowest_ask_ticks, NOW_NS)
    quote = Quote(
        venue=place.traits.venue,
        symbol=place.symbol,
        bid_ticks=top.bid_ticks,
        ask_ticks=top.ask_ticks,
        mark_ticks=int((top.mark / listed.instrument.quantum).to_integral_value()),
        trading=True,
        boot_ns=NOW_NS,
    )
    return bounds_now(Published(listed.bid_most, listed.ask_least, listed.most_open, NOW_NS), told, quote, NOW_NS)


def forbidden(place: Place, order: OrderWanted, now: Standing) -> str:
    """What the gate's wire says of an order."""
    wire = HttpOrderWire(place.traits.venue, place.verbs, place.key, place.hosts.rest, WINDOW_MS * NS_PER_MS)
    wanted, wall_ns = intent(place, order), place.sim.now_ms() * NS_PER_MS
    assert wire.objection(wanted, wall_ns) == ""
    return wire.forbidden_now(wanted, wall_ns, now)


async def taken(place: Place, order: OrderWanted) -> bool:
    """Whether the venue takes an order."""
    said = await place.do(place.verbs.place(order), Doing.PLACE)
    assert isinstance(said, Accepted) or said.settled, said
    return isinstance(said, Accepted)


async def test_a_price_is_refused_where_the_gate_says_so_and_taken_one_step_nearer(place: Place) -> None:
    now = await standing(place)
    if not place.traits.derivatives:
        assert (now.highest_bid_ticks, now.lowest_ask_ticks) == (0, 0), "Upbit publishes none"
        return
    instrument = place.instrument()
    step = int(instrument.price_step(instrument.price(now.highest_bid_ticks), place.sim.day) / instrument.quantum)
    highest, lowest = now.highest_bid_ticks // step * step, -(-now.lowest_ask_ticks // step) * step
    for side, last, beyond in ((Side.BUY, highest, highest + step), (Side.SELL, lowest, lowest - step)):
        inside, outside = place.wanted(side, ticks=last), place.wanted(side, ticks=beyond)
        assert (forbidden(place, outside, now), forbidden(place, inside, now)) == ("price_limit", "")
        assert (await taken(place, outside), await taken(place, inside)) == (False, True)


async def test_one_order_more_than_may_be_open_is_refused_where_the_gate_says_so(place: Place) -> None:
    now = await standing(place)
    if not place.traits.derivatives:
        assert now.most_open == 0, "Upbit publishes none"
        return
    place.rest_truly(now.most_open - 1)
    for resting, rule in ((now.most_open - 1, ""), (now.most_open, "max_orders")):
        assert len(place.sim.open_orders(place.symbol)) == resting
        order = place.wanted()
        assert forbidden(place, order, now._replace(open_orders=resting)) == rule
        assert await taken(place, order) is (rule == "")


async def test_a_reduce_only_order_without_a_position_is_refused_where_the_gate_says_so(place: Place) -> None:
    if not place.traits.derivatives:
        return  # a spot venue has none
    order = place.taking(Side.SELL, reduce_only=True)
    assert forbidden(place, order, Standing(position_lots=0)) == "reduce_only"
    assert not await taken(place, order)
    assert isinstance(await place.do(place.verbs.place(replace(place.taking(), lots=order.lots)), Doing.PLACE), Accepted)
    assert forbidden(place, order, Standing(position_lots=order.lots)) == ""
    assert await taken(place, order)
