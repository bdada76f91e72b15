"""What a venue takes now by its published rules: what it would refuse is denied by the rule's name, and what is not known holds nothing up."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.core_world import NOW, PlainWire, S, World, references
from tests.gate.pair_world import FLAGGED, HERE, answer, ask, enter, fills, hold_at_reduce_only, mandate_of, pair, sent
from tests.gate.test_venue_http_wire import BINANCE, BYBIT, UPBIT, Venue, intent, wire_of
from tests.gate.watch_venue import BTC, PLACE, Clock, listing
from tests.gate.watch_venue import Venue as Watched

from interlock.domain.orders import OrderState, Side
from interlock.gate import records as r
from interlock.gate.core import DENY, PERMIT, want_cancels
from interlock.gate.exposure import universe_of
from interlock.gate.market_watch import MarketWatch, listing_facts, metadata_hash
from interlock.gate.readings import Readings
from interlock.gate.references import Quote, nothing_seen
from interlock.gate.state import GateState
from interlock.gate.venue_bounds import (
    MARK_GOOD_FOR_NS,
    NOTHING_KNOWN,
    PUBLISHED_GOOD_FOR_NS,
    TOLD_GOOD_FOR_NS,
    PriceLimits,
    Published,
    Standing,
    bounds_now,
)
from interlock.venues.live import Stale

AT = NOW.boot_ns
BAND = Published(Decimal("1.05"), Decimal("0.95"), 200, AT)


# What is known now


@pytest.mark.parametrize(
    ("published", "told", "quote", "found"),
    [
        (None, None, None, NOTHING_KNOWN),
        (BAND, None, lc.quote(mark_ticks=1_001, at=AT), Standing(1_051, 951, 200)),
        (BAND, None, lc.quote(at=AT), Standing(most_open=200)),
        (BAND, None, lc.quote(mark_ticks=1_001, at=AT - MARK_GOOD_FOR_NS), Standing(1_051, 951, 200)),
        (BAND, None, lc.quote(mark_ticks=1_001, at=AT - MARK_GOOD_FOR_NS - 1), Standing(most_open=200)),
        (BAND, None, lc.quote(mark_ticks=1_001, at=AT + 1), Standing(most_open=200)),
        (BAND._replace(boot_ns=AT - PUBLISHED_GOOD_FOR_NS), None, None, Standing(most_open=200)),
        (BAND._replace(boot_ns=AT - PUBLISHED_GOOD_FOR_NS - 1), None, lc.quote(mark_ticks=1_001, at=AT), NOTHING_KNOWN),
        (None, None, lc.quote(mark_ticks=1_001, at=AT), NOTHING_KNOWN),
        (None, PriceLimits(7, 5, AT), None, Standing(7, 5)),
        (BAND, PriceLimits(7, 5, AT - TOLD_GOOD_FOR_NS), lc.quote(mark_ticks=1_001, at=AT), Standing(7, 5, 200)),
        (BAND, PriceLimits(7, 5, AT - TOLD_GOOD_FOR_NS - 1), lc.quote(mark_ticks=1_001, at=AT), Standing(1_051, 951, 200)),
    ],
)
def test_what_is_told_goes_before_what_is_reckoned_and_what_is_old_counts_for_nothing(
    published: Published | None, told: PriceLimits | None, quote: Quote | None, found: Standing
) -> None:
    assert bounds_now(published, told, quote, AT) == found


def test_how_long_each_of_them_is_good_for() -> None:
    assert (PUBLISHED_GOOD_FOR_NS, TOLD_GOOD_FOR_NS, MARK_GOOD_FOR_NS) == (120 * S, 3 * S, 5 * S)


def test_of_what_nothing_is_known_nothing_has_a_bound() -> None:
    assert NOTHING_KNOWN == (0, 0, 0, None, None)


@pytest.mark.parametrize(
    ("name", "standing", "said"),
    [
        ("price_limit", Standing(highest_bid_ticks=7), "the highest bid that it takes now is 7 ticks, the lowest ask any"),
        ("price_limit", Standing(lowest_ask_ticks=5), "the highest bid that it takes now is any ticks, the lowest ask 5"),
        ("max_orders", Standing(most_open=3, open_orders=4), "4 orders are open in the symbol, 3 may be"),
        ("reduce_only", Standing(position_lots=-9), "it would do more than end a position of -9 lots"),
    ],
)
def test_what_is_said_names_the_numbers_of_the_rule_that_is_broken(name: str, standing: Standing, said: str) -> None:
    assert standing.said(name) == f"the venue's {name}: {said}"


BEYOND: tuple[tuple[str, dict[str, Any], Standing, Standing], ...] = (
    ("price_limit", {}, Standing(highest_bid_ticks=299_999), Standing(highest_bid_ticks=300_000)),
    ("price_limit", {"side": Side.SELL}, Standing(lowest_ask_ticks=300_001), Standing(lowest_ask_ticks=300_000)),
    ("max_orders", {}, Standing(most_open=3, open_orders=3), Standing(most_open=3, open_orders=2)),
    ("reduce_only", {"reduce_only": True}, Standing(position_lots=-9), Standing(position_lots=-10)),
)


@pytest.mark.parametrize("venue", [BINANCE, BYBIT], ids=lambda venue: venue.name)
@pytest.mark.parametrize(("name", "order", "forbids", "lets"), BEYOND, ids=[f"{name} {order}" for name, order, _, _ in BEYOND])
def test_each_rule_has_its_name_and_one_less_breaks_none(
    venue: Venue, name: str, order: dict[str, Any], forbids: Standing, lets: Standing
) -> None:
    wire, wanted = wire_of(venue), intent(venue, **order)
    assert wire.forbidden_now(wanted, NOW.wall_ns, forbids) == name
    assert name in forbids.said(name)
    assert wire.forbidden_now(wanted, NOW.wall_ns, lets) == wire.forbidden_now(wanted, NOW.wall_ns, NOTHING_KNOWN) == ""


def test_upbit_publishes_none_of_them() -> None:
    everything = Standing(1, 1 << 40, 1, 9, 0)
    assert wire_of(UPBIT).forbidden_now(intent(UPBIT), NOW.wall_ns, everything) == ""
    assert wire_of(BYBIT).forbidden_now(intent(BYBIT), NOW.wall_ns, everything) == "price_limit"


# What the gate decides by it


def at_bybit(**readings: Any) -> World:
    """A gate whose orders are written as Bybit wants them, with these readings of what it takes."""
    world = World()
    world.setup.wires["bybit"] = wire_of(BYBIT)  # type: ignore[index]
    for name, value in readings.items():
        getattr(world.readings, name)[PLACE] = value
    return world


def asked(world: World, **more: Any) -> tuple[str, str]:
    decision = world.next(**more).decision
    return decision.result, decision.rule


def test_a_price_that_the_venue_would_not_take_is_denied_by_name_and_nothing_is_written() -> None:
    effects = at_bybit(price_limits=PriceLimits(399_999, 1, AT)).next()
    assert (effects.decision.result, effects.decision.rule, effects.planned) == (DENY, "venue_price_limit", None)
    assert "399999" in effects.decision.detail
    assert at_bybit(price_limits=PriceLimits(400_000, 1, AT)).next().planned is not None


@pytest.mark.parametrize(
    "limits", [PriceLimits(0, 0, AT), PriceLimits(1, 1 << 40, AT - TOLD_GOOD_FOR_NS - 1), PriceLimits(1, 1 << 40, AT + 1)]
)
def test_a_limit_that_is_none_or_old_or_from_ahead_of_our_clock_holds_nothing_up(limits: PriceLimits) -> None:
    assert asked(at_bybit(price_limits=limits)) == (PERMIT, "")
    assert asked(at_bybit(price_limits=PriceLimits(1, 1 << 40, AT))) == (DENY, "venue_price_limit")


def test_a_band_around_the_mark_is_held_against_the_mark_that_the_gate_has() -> None:
    def world(mark_ticks: int) -> World:
        found = at_bybit(published=Published(Decimal("1.0001"), Decimal("0.99"), 0, AT))
        found.readings.references = references(mark_ticks=mark_ticks)
        return found

    # A ten-thousandth above these marks lies just below the bid, and just above it.
    assert asked(world(399_960)) == (DENY, "venue_price_limit")
    assert asked(world(399_961)) == (PERMIT, "")
    assert asked(world(0)) == (PERMIT, "")


def resting(world: World) -> str:
    """One order of ours that the venue has shown as open."""
    client_id = sent(world, world.next())
    world.state.apply(r.Answered(boot_ns=AT, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code=""))
    return client_id


def test_no_more_orders_are_permitted_than_the_venue_lets_be_open() -> None:
    for most_open, found in ((1, (DENY, "venue_max_orders")), (2, (PERMIT, "")), (0, (PERMIT, ""))):
        world = at_bybit(published=BAND._replace(most_open=most_open))
        resting(world)
        assert asked(world) == found


def test_a_change_of_an_open_order_makes_none_and_one_that_is_being_cancelled_may_be_over() -> None:
    world = at_bybit(published=BAND._replace(most_open=1))
    client_id = resting(world)
    assert asked(world) == (DENY, "venue_max_orders")
    assert asked(world, amends=client_id, ticks=399_990) == (PERMIT, "")
    world = at_bybit(published=BAND._replace(most_open=1))
    for record in want_cancels(world.state, [resting(world)], "test", "gate", NOW):
        world.state.apply(record)
    assert asked(world) == (PERMIT, "")


def test_an_order_of_which_nobody_knows_whether_it_is_open_is_not_counted() -> None:
    world = at_bybit(published=BAND._replace(most_open=1))
    sent(world, world.next())
    assert asked(world) == (PERMIT, "")
    world = at_bybit(published=BAND._replace(most_open=1))
    resting(world)
    assert asked(world) == (DENY, "venue_max_orders")


class Strict(PlainWire):
    """A venue that takes nothing now."""

    def forbidden_now(self, intent: r.Intent, wall_ns: int, standing: Standing) -> str:
        return "price_limit"


def test_the_second_leg_of_a_pair_is_left_to_the_venue_and_its_first_is_not() -> None:
    world = pair()
    world.setup.wires["bybit"] = Strict()  # type: ignore[index]
    assert mandate_of(enter(world)).startswith("venue_price_limit")
    world.setup.wires["bybit"], world.setup.wires["other"] = PlainWire(), Strict()  # type: ignore[index]
    fills(world, sent(world, enter(world)), lots=2)
    assert mandate_of(answer(world, 1)) == ""


def test_what_is_under_the_mandate_is_left_to_the_venue() -> None:
    def world(wire: PlainWire) -> World:
        found = pair()
        fills(found, sent(found, enter(found)), lots=2)
        hold_at_reduce_only(found)
        found.setup.wires["bybit"] = wire  # type: ignore[index]
        return found

    home = {**HERE, **FLAGGED, "lots": 1, "group": "p"}
    assert mandate_of(ask(world(Strict()), Side.SELL, **home)) == mandate_of(ask(world(PlainWire()), Side.SELL, **home)) != ""


def test_cancels_are_not_held_up_by_any_of_it() -> None:
    world = at_bybit()
    client_id = resting(world)
    world.readings.price_limits[PLACE] = PriceLimits(1, 1 << 40, AT)
    assert asked(world) == (DENY, "venue_price_limit")
    (wanted,) = want_cancels(world.state, [client_id], "test", "gate", NOW)
    assert isinstance(wanted, r.CancelWanted)


# Where it is known from


class TellsLimits:
    """A venue that tells its price limits, and no prices."""

    venue = "bybit"
    limit: PriceLimits | None = None

    async def run(self) -> None:
        """Nothing is followed here."""

    def quote(self, symbol: str) -> Stale:
        return Stale("not connected")

    def limits(self, symbol: str) -> PriceLimits | None:
        assert symbol == BTC.symbol
        return self.limit

    def asks(self, symbol: str) -> bool:
        return False

    def take(self, quote: Quote) -> None:
        """Nothing was asked."""


def test_listings_tell_what_is_published_and_streams_what_is_limited_now() -> None:
    clock, told = Clock(), TellsLimits()
    venue = Watched(clock)
    readings = Readings(references=nothing_seen(universe_of([listing_facts("bybit", BTC)])), binding=aw.binding())
    watch = MarketWatch(readings, GateState(lc.SHEET), {PLACE: BTC}, clock=clock, take=lambda _: None, prices={"bybit": told})

    def read(*listed: Any) -> None:
        venue.listed = listed
        clock.pass_(30 * S)
        asyncio.run(watch.rules(venue))

    banded = listing(bid_most=Decimal("1.05"), ask_least=Decimal("0.95"), most_open=200)
    read(banded)
    assert readings.published == {PLACE: Published(Decimal("1.05"), Decimal("0.95"), 200, clock.boot_ns)}
    senseless: list[dict[str, Any]] = [{"bid_most": Decimal("NaN")}, {"ask_least": Decimal("NaN")}, {"most_open": -1}]
    for nothing in ((), (banded, msgspec.structs.replace(banded, most_open=100)), *((listing(**parts),) for parts in senseless)):
        read(*nothing)
        assert readings.published == {}
        read(banded)
        assert readings.published != {}
    read(listing())
    assert readings.published == {PLACE: Published(Decimal(0), Decimal(0), 0, clock.boot_ns)}, "no bound is one that makes sense"
    watch.hear("bybit")
    assert readings.price_limits == {}
    told.limit = PriceLimits(7, 5, clock.boot_ns)
    watch.hear("bybit")
    assert readings.price_limits == {PLACE: told.limit}


def test_a_change_of_what_is_published_ends_no_grant() -> None:
    assert metadata_hash(listing(bid_most=Decimal("1.05"), most_open=200)) == metadata_hash(BTC)
    assert metadata_hash(listing(min_notional=Decimal(6))) != metadata_hash(BTC)
