"""The gate's own look at the markets: what is read how often, what a failure leaves as it was, and what a change of rules ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate.limit_cases import MS, NOW, SHEET, S
from tests.gate.watch_venue import BTC, PLACE, Clock, Venue, listing

from interlock.domain.fx import FxSource
from interlock.domain.instruments import Kind
from interlock.gate import market_watch as mw
from interlock.gate import references as refs
from interlock.gate.exposure import PICO, Place, universe_of
from interlock.gate.market_watch import EVERY_NS, METADATA_EVERY_NS, MarketWatch, listing_facts, listing_worth, metadata_hash, minimums
from interlock.gate.readings import Readings
from interlock.gate.records import Disarmed
from interlock.gate.state import GateState
from interlock.gate.venue_reads import Listing, ReadFailed, VenueReads
from interlock.venues.live import Stale

NAME = "bybit/BTCUSDT"
SYMBOL = SHEET.symbols["bybit:BTCUSDT"]
SPOT = listing(symbol="BTC-SPOT", kind=Kind.SPOT, tiers=())


class World:
    """A watch over one venue, with the records that it told."""

    def __init__(self, listings: Mapping[Place, Listing] | None = None, **more: Any) -> None:
        listings = {PLACE: BTC} if listings is None else listings
        self.clock = Clock()
        self.venue = Venue(self.clock)
        self.told: list[Disarmed] = []
        universe = universe_of([listing_facts(place[0], one) for place, one in listings.items()])
        self.readings = Readings(references=refs.nothing_seen(universe), binding=aw.binding(symbols=mw.hashes_of(listings)))
        self.watch = MarketWatch(
            self.readings, GateState(more.pop("sheet", SHEET)), listings, clock=self.clock, take=self.told.append, **more
        )

    def round(self, reads: VenueReads | None = None) -> mw.Round:
        """A round and the rules, as they are due."""

        async def both() -> mw.Round:
            at = self.venue if reads is None else reads
            return mw.Round((*(await self.watch.round(at)).failures, *(await self.watch.rules(at)).failures))

        return asyncio.run(both())

    def after(self, ns: int) -> mw.Round:
        self.clock.pass_(ns)
        return self.round()

    def problem(self) -> str:
        return refs.quote_problem(self.readings.references, SYMBOL, PLACE, self.clock.boot_ns)

    def bound(self) -> dict[str, str]:
        return {f"{venue}/{symbol}": known for venue, symbol, known in self.readings.binding.symbols}


def test_quotes_rates_the_venues_clock_and_the_rules_are_taken_in() -> None:
    world = World()
    assert world.problem() == "no reference was ever read"
    assert world.watch.problem(PLACE, world.clock.boot_ns).startswith("its rules were not read")
    assert world.round() == mw.Round()
    assert world.problem() == ""
    assert refs.rate_problem(world.readings.references, SHEET, "USDT", world.clock.boot_ns) == ""
    assert world.watch.skews["bybit"].boot_ns == NOW
    assert world.watch.problems(world.clock.boot_ns) == {NAME: ""}
    assert world.told == []


def test_a_venue_is_asked_at_most_ten_times_a_second_whoever_calls() -> None:
    world = World()
    begun = world.clock.boot_ns
    while world.clock.boot_ns < begun + S:
        world.round()
        world.clock.pass_(7 * MS)
    assert world.venue.asked["quote BTCUSDT"] == 10
    assert world.watch.due("bybit", world.clock.boot_ns + EVERY_NS)
    assert world.venue.asked["rate USDT"] == 1
    assert world.venue.asked["clock"] == 1
    assert world.venue.asked["listings"] == 1
    world.after(METADATA_EVERY_NS)
    assert world.venue.asked["listings"] == world.venue.asked["clock"] == 2


def test_a_venue_whose_limits_bear_less_is_asked_less_often() -> None:
    for slow, quotes in (({"bybit": 250 * MS}, 4), ({"upbit": 250 * MS}, 10)):
        world = World(rounds_every_ns=slow)
        begun = world.clock.boot_ns
        while world.clock.boot_ns < begun + S:
            world.round()
            world.clock.pass_(5 * MS)
        assert world.venue.asked["quote BTCUSDT"] == quotes


class Told:
    """Prices that a venue tells by itself, as a test says."""

    def __init__(self) -> None:
        self.venue = "bybit"
        self.says: refs.Quote | Stale = Stale("not connected")
        self.wants_asking = False
        self.taken: list[refs.Quote] = []

    async def run(self) -> None:
        """Nothing is followed here."""

    def quote(self, symbol: str) -> refs.Quote | Stale:
        assert symbol == "BTCUSDT"
        return self.says

    def limits(self, symbol: str) -> None:
        assert symbol == "BTCUSDT"

    def asks(self, symbol: str) -> bool:
        assert symbol == "BTCUSDT"
        return self.wants_asking

    def take(self, quote: refs.Quote) -> None:
        self.taken.append(quote)


def test_prices_that_a_venue_tells_by_itself_are_taken_and_not_asked_for() -> None:
    told = Told()
    world = World(prices={"bybit": told})
    world.round()
    assert (world.venue.asked["quote BTCUSDT"], world.venue.asked["clock"]) == (0, 1)
    world.watch.hear("bybit")
    assert world.problem() == "no reference was ever read"
    assert world.watch.problem(PLACE, world.clock.boot_ns).endswith("the stream: not connected")
    quote = asyncio.run(world.venue.quote("BTCUSDT"))
    told.says = msgspec.structs.replace(quote, bid_ticks=quote.bid_ticks - 1)
    world.watch.hear("bybit")
    assert world.problem() == ""
    assert world.readings.references.references[PLACE].quote == told.says
    # The same again is no news, an earlier one neither, and one from ahead of our clock nothing at all.
    before = world.readings.references
    for earlier_ns in (0, 1, -1):
        told.says = msgspec.structs.replace(quote, boot_ns=quote.boot_ns - earlier_ns)
        world.watch.hear("bybit")
        assert world.readings.references is before
    # A later one is.
    world.clock.pass_(1)
    told.says = msgspec.structs.replace(quote, boot_ns=quote.boot_ns + 1)
    world.watch.hear("bybit")
    assert world.readings.references.references[PLACE].quote == told.says


def test_prices_of_which_the_stream_says_too_little_are_asked_for() -> None:
    told = Told()
    world = World(prices={"bybit": told})
    told.wants_asking = True
    world.round()
    assert world.venue.asked["quote BTCUSDT"] == 1
    assert told.taken == [world.readings.references.references[PLACE].quote]
    assert world.problem() == world.watch.problem(PLACE, world.clock.boot_ns) == ""
    told.wants_asking = False
    world.after(S)
    assert world.venue.asked["quote BTCUSDT"] == 1


@pytest.mark.parametrize(("freshness_ns", "reads"), [(800 * MS, 5), (2_000 * MS, 2)])
def test_rates_are_read_four_times_as_often_as_they_must_be_fresh(freshness_ns: int, reads: int) -> None:
    world = World(sheet=lc.changed(SHEET, "currencies", "USDT", freshness_rate_ns=freshness_ns))
    for _ in range(10):
        world.after(EVERY_NS)
    assert world.venue.asked["rate USDT"] == reads


def test_on_a_host_that_has_just_started_everything_is_asked_for_at_once() -> None:
    world = World()
    world.clock.boot_ns = 1
    assert world.watch.problem(PLACE, 1).startswith("its rules were not read")
    world.round()
    assert set(world.venue.asked) == {"quote BTCUSDT", "rate USDT", "clock", "listings"}
    assert world.watch.problem(PLACE, 1) == ""


def test_no_second_round_runs_beside_one_that_is_under_way() -> None:
    world = World()

    async def run() -> None:
        world.venue.held = asyncio.Event()
        first = asyncio.create_task(world.watch.round(world.venue))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        world.clock.pass_(S)
        assert not world.watch.due("bybit", world.clock.boot_ns)
        assert await world.watch.round(world.venue) == mw.Round()
        world.venue.held.set()
        await first
        assert world.watch.due("bybit", world.clock.boot_ns)

    asyncio.run(run())
    assert world.venue.asked["quote BTCUSDT"] == 1
    world.round()
    assert world.venue.asked["quote BTCUSDT"] == 2


def test_rules_that_are_long_in_coming_hold_up_no_round_and_are_asked_for_once() -> None:
    world = World()

    async def run() -> None:
        world.venue.held = held = asyncio.Event()
        waits = asyncio.create_task(world.watch.rules(world.venue))
        await asyncio.sleep(0)
        world.venue.held = None
        for _ in range(3):
            world.clock.pass_(METADATA_EVERY_NS)
            assert await world.watch.round(world.venue) == mw.Round()
            assert world.watch.skews["bybit"].boot_ns == world.clock.boot_ns
            assert await world.watch.rules(world.venue) == mw.Round()
        assert world.venue.asked["listings"] == 1
        assert world.watch.problem(PLACE, world.clock.boot_ns).startswith("its rules were not read")
        held.set()
        assert await waits == mw.Round()
        await world.watch.rules(world.venue)

    asyncio.run(run())
    assert world.venue.asked["listings"] == 2
    assert world.watch.problem(PLACE, world.clock.boot_ns) == ""


def test_a_read_for_which_our_own_share_has_no_room_holds_up_nothing_else() -> None:
    world = World()
    error = ReadFailed("the venue's limits leave no room for this read", retry_after_ns=60 * S, unasked=True)
    for what, problem in (("listings", "its rules were not read"), ("rate", "")):
        world.venue.failing = {what: error}
        assert [failure for _, failure in world.after(METADATA_EVERY_NS).failures] == [error]
        for _ in range(5):
            world.after(2 * S)
            assert world.watch.skews["bybit"].boot_ns == world.clock.boot_ns
            assert world.problem() == ""
            assert world.watch.problem(PLACE, world.clock.boot_ns).partition(" within")[0] == problem


def test_a_round_that_is_cancelled_leaves_the_next_one_free() -> None:
    world = World()

    async def run() -> None:
        world.venue.held = asyncio.Event()
        first = asyncio.create_task(world.watch.round(world.venue))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        world.venue.held = None

    asyncio.run(run())
    assert world.problem() == "no reference was ever read"
    world.after(EVERY_NS)
    assert world.problem() == ""


def test_a_failed_read_takes_nothing_in_and_does_not_hold_up_the_others() -> None:
    world = World()
    world.round()
    before = world.readings.references
    error = ReadFailed("no answer in time")
    world.venue.failing["quote"] = error
    done = world.after(S)
    assert done.failures == (("quote of BTCUSDT", error),)
    assert world.readings.references.references == before.references
    assert world.readings.references.rates != before.rates
    world.after(EVERY_NS)
    assert "ns ago" in world.problem()
    world.venue.failing.clear()
    world.after(EVERY_NS)
    assert world.problem() == ""


def test_what_nobody_foresaw_comes_out() -> None:
    world = World()
    world.venue.failing["clock"] = ZeroDivisionError("a defect")
    with pytest.raises(ExceptionGroup):
        world.round()
    world.venue.failing.clear()
    assert world.after(EVERY_NS) == mw.Round()


@pytest.mark.parametrize(("limited", "asks_ns", "pause_ns"), [(True, 0, S), (True, 5 * S, 5 * S), (False, 5 * S, 5 * S)])
def test_a_venue_that_wants_to_be_left_alone_is_left_alone(limited: bool, asks_ns: int, pause_ns: int) -> None:
    """Because of the rate, or whatever else it refuses: an address that is banned for a while says so with another status."""
    world = World()
    world.venue.failing["quote"] = ReadFailed("429", limited=limited, retry_after_ns=asks_ns)
    world.round()
    asked = world.venue.asked.total()
    assert world.watch.left_alone("bybit", world.clock.boot_ns)
    world.after(pause_ns - 1)
    assert world.venue.asked.total() == asked
    world.venue.failing.clear()
    world.after(1)
    assert world.venue.asked.total() > asked
    assert world.problem() == ""


def test_a_venue_that_wants_to_be_left_alone_is_not_asked_for_its_rules_either() -> None:
    world = World()
    world.round()
    world.venue.failing["quote"] = ReadFailed("429", limited=True, retry_after_ns=METADATA_EVERY_NS + S)
    world.after(S)
    world.venue.failing.clear()
    world.after(METADATA_EVERY_NS)
    assert world.venue.asked["listings"] == 1
    world.after(S)
    assert world.venue.asked["listings"] == 2


def test_how_often_a_venue_is_asked_for_what() -> None:
    assert (EVERY_NS, METADATA_EVERY_NS, mw.METADATA_READS_MISSED) == (100 * MS, 30 * S, 4)
    world = World()
    world.round()
    asked = {"clock": 2 * S, "rate USDT": S, "listings": 30 * S}
    for what, every_ns in asked.items():
        before = world.venue.asked[what]
        world.after(30 * S)
        assert world.venue.asked[what] == before + 1
        world.after(every_ns - 1)
        assert world.venue.asked[what] == before + 1
        world.after(1)
        # Clock and rates belong to a round, which is not due again within a tenth of a second.
        world.after(EVERY_NS)
        assert world.venue.asked[what] == before + 2


def test_a_market_that_stands_still_cannot_be_relied_on_though_it_is_quoted() -> None:
    world = World()
    world.round()
    assert world.watch.minimums(world.clock.boot_ns)
    world.venue.quotes["BTCUSDT"] = {"halted": True}
    world.after(EVERY_NS)
    assert world.problem() == ""
    assert world.watch.problem(PLACE, world.clock.boot_ns) == "the venue says that it takes no orders for it"
    assert world.watch.minimums(world.clock.boot_ns) == {}
    world.venue.quotes["BTCUSDT"] = {}
    world.after(EVERY_NS)
    assert world.watch.problem(PLACE, world.clock.boot_ns) == ""
    assert world.watch.minimums(world.clock.boot_ns)


@pytest.mark.parametrize("odd", [{"venue": "other"}, {"symbol": "ETHUSDT"}, {"at": NOW + EVERY_NS + 1}])
def test_an_answer_about_something_else_or_from_the_future_is_not_taken_in(odd: dict[str, Any]) -> None:
    world = World()
    world.venue.quotes["BTCUSDT"] = odd
    world.round()
    assert world.problem() == "no reference was ever read"
    world.venue.quotes["BTCUSDT"] = {}
    world.after(EVERY_NS)
    assert world.problem() == ""


def test_an_answer_about_another_instrument_of_ours_is_not_taken_for_it() -> None:
    sheet = msgspec.structs.replace(SHEET, symbols={**SHEET.symbols, "bybit:ZZZ": SYMBOL})
    world = World({PLACE: BTC, ("bybit", "ZZZ"): listing(symbol="ZZZ")}, sheet=sheet)
    world.venue.listed = tuple(world.watch.listings.values())
    world.venue.quotes = {"BTCUSDT": {"symbol": "ZZZ"}, "ZZZ": {}}
    world.venue.failing["quote ZZZ"] = ReadFailed("no answer")
    world.round()
    assert world.readings.references.references == {}
    world.venue.failing.clear()
    world.after(EVERY_NS)
    assert set(world.readings.references.references) == {("bybit", "ZZZ")}


@pytest.mark.parametrize("odd", [{"currency": "KRW"}, {"at": NOW + S}, {"source": FxSource.CONFIGURED}])
def test_a_rate_of_another_currency_of_the_future_or_written_down_by_a_person_does_not_count(odd: dict[str, Any]) -> None:
    world = World(sheet=msgspec.structs.replace(SHEET, currencies={**SHEET.currencies, "KRW": SHEET.currencies["USDT"]}))
    world.venue.rates["USDT"] = odd
    world.round()
    assert not any(world.readings.references.rates.values())
    assert "0 fresh rates" in refs.rate_problem(world.readings.references, SHEET, "USDT", world.clock.boot_ns)


def test_currencies_of_fees_are_asked_for_and_dollars_are_not() -> None:
    bnb = msgspec.structs.replace(SHEET, currencies={**SHEET.currencies, "BNB": SHEET.currencies["USDT"], "USD": SHEET.currencies["USDT"]})
    world = World(sheet=bnb, more_currencies={"bybit": ("BNB", "USD", "NOLIMITS")})
    world.venue.rates["BNB"] = {}
    world.round()
    assert {what for what in world.venue.asked if what.startswith("rate")} == {"rate BNB", "rate USDT"}
    in_dollars = World({PLACE: listing(quote="USD")})
    in_dollars.round()
    assert not [what for what in in_dollars.venue.asked if what.startswith("rate")]


def test_instruments_of_other_venues_are_not_asked_for() -> None:
    sheet = msgspec.structs.replace(SHEET, currencies={**SHEET.currencies, "KRW": SHEET.currencies["USDT"]})
    world = World({PLACE: BTC, ("upbit", "KRW-BTC"): listing(symbol="KRW-BTC", quote="KRW")}, sheet=sheet)
    world.round()
    assert {what for what in world.venue.asked if what.startswith(("quote", "rate"))} == {"quote BTCUSDT", "rate USDT"}
    assert world.watch.problem(("upbit", "KRW-BTC"), NOW) == "no limits for it"


def test_what_a_venue_tells_by_itself_is_taken_for_its_own_instruments_alone() -> None:
    told = Told()
    world = World({("upbit", "KRW-BTC"): listing(symbol="KRW-BTC"), PLACE: BTC}, prices={"bybit": told})
    told.says = asyncio.run(world.venue.quote("BTCUSDT"))
    world.watch.hear("bybit")  # it fails on a symbol of another venue
    assert set(world.readings.references.references) == {PLACE}


# Rules of instruments


CHANGES: list[dict[str, Any]] = [
    {"tick": Decimal("0.5")},
    {"lot": Decimal("0.01")},
    {"base": "WBTC"},
    {"quote": "USDC"},
    {"kind": Kind.SPOT},
    {"min_lots": 2},
    {"min_notional": Decimal(6)},
    {"steps": ((Decimal(0), Decimal("0.1")), (Decimal(60_000), Decimal("0.5")))},
    {"tiers": (*lc.TIERS, (Decimal(2_000_000), Decimal("0.3"), Decimal("0.2")))},
    {"tiers": ()},
    {"tick": Decimal("NaN")},
    {"tick": Decimal("sNaN")},
    {"tiers": ((Decimal("Infinity"), Decimal("0.1"), Decimal("0.05")),)},
    {"tiers": ((Decimal("1e999999"), Decimal("0.1"), Decimal("0.05")),)},
]
NEW_UNIT = [change for change in CHANGES if not {"min_lots", "min_notional", "steps"} & set(change) and change != CHANGES[8]]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_rules_ends_the_grant_of_the_symbol_by_name_and_no_longer_fits_it(change: dict[str, Any]) -> None:
    world = World()
    world.round()
    before = world.readings.binding
    world.venue.listed = (listing(**change),)
    world.after(METADATA_EVERY_NS)
    (record,) = world.told
    assert (record.symbol, record.reason, record.actor, record.mandate_ends) == (NAME, "metadata changed", "gate", False)
    assert record.boot_ns == world.clock.boot_ns
    assert world.bound() == {NAME: metadata_hash(world.venue.listed[0])}
    assert world.watch.listings[PLACE] is world.venue.listed[0]
    assert world.readings.binding.symbols != before.symbols
    world.after(METADATA_EVERY_NS)
    assert len(world.told) == 1


def test_another_table_of_price_steps_ends_the_grant_also_where_the_tick_stays_and_leaves_the_unit() -> None:
    """It is quoted and can be armed again, as behind another smallest order."""
    table = ((Decimal(0), Decimal("0.1")), (Decimal(60_000), Decimal("0.5")))
    world = World({PLACE: listing(steps=table)})
    world.venue.listed = (listing(steps=tuple((price, step * Decimal("1.00")) for price, step in table)),)
    world.round()
    world.after(METADATA_EVERY_NS)
    assert world.told == [], "the same table, written otherwise"
    world.venue.listed = (listing(steps=(table[0], (Decimal(60_000), Decimal(1)))),)
    world.after(METADATA_EVERY_NS)
    (record,) = world.told
    assert (record.symbol, record.reason) == (NAME, "metadata changed")
    assert world.bound() == {NAME: metadata_hash(world.venue.listed[0])}
    assert world.problem() == ""
    world.venue.listed = (listing(steps=table),)
    world.after(METADATA_EVERY_NS)
    assert len(world.told) == 2, "and back"


@pytest.mark.parametrize("same", [{}, {"trading": False}, {"tick": Decimal("0.100")}, {"min_notional": Decimal("5E+0")}])
def test_the_same_rules_however_written_change_nothing(same: dict[str, Any]) -> None:
    world = World()
    world.round()
    before = world.readings.binding
    world.venue.listed = (listing(**same), listing(symbol="NEW"))
    world.after(METADATA_EVERY_NS)
    assert world.told == []
    assert world.readings.binding is before
    assert world.problem() == ""


@pytest.mark.parametrize("change", NEW_UNIT)
def test_an_instrument_with_another_unit_is_neither_quoted_nor_has_a_minimum_until_it_is_as_it_was(change: dict[str, Any]) -> None:
    world = World()
    world.round()
    assert world.watch.minimums(world.clock.boot_ns)
    world.venue.listed = (listing(**change),)
    world.after(METADATA_EVERY_NS)
    world.after(EVERY_NS)
    assert world.problem() == "no reference was ever read"
    assert world.watch.problems(world.clock.boot_ns)[NAME].startswith("its rules are not those that the gate began with")
    assert world.watch.minimums(world.clock.boot_ns) == {}
    world.venue.listed = (BTC,)
    world.after(METADATA_EVERY_NS)
    world.after(EVERY_NS)
    assert world.watch.problems(world.clock.boot_ns) == {NAME: ""}
    assert world.bound() == {NAME: metadata_hash(BTC)}
    assert len(world.told) == 2


@pytest.mark.parametrize("rated", [True, False])
def test_new_margin_tiers_are_valued_from_then_on(rated: bool) -> None:
    world = World()
    if not rated:
        world.venue.failing["rate"] = ReadFailed("no index")
    world.round()
    tiers = ((Decimal(100), Decimal("0.5"), Decimal("0.4")),)
    world.venue.listed = (listing(tiers=tiers),)
    world.after(METADATA_EVERY_NS)
    known = world.readings.references
    assert known.universe.facts[PLACE].tiers == tiers
    assert world.problem() == ""
    assert (PLACE in known.valuations) is rated
    if rated:
        assert known.valuations[PLACE].initial == ((100_000_000, 500_000),)


@pytest.mark.parametrize("listed", [(), (BTC, listing(tick=Decimal(1)))])
def test_an_instrument_that_is_not_listed_or_listed_in_two_ways_is_not_bound(listed: tuple[Listing, ...]) -> None:
    world = World()
    world.round()
    world.venue.listed = listed
    world.after(METADATA_EVERY_NS)
    assert [record.symbol for record in world.told] == [NAME]
    assert world.bound() == {}
    assert world.watch.listings == {}
    world.venue.listed = (BTC, listing(trading=False))
    world.after(METADATA_EVERY_NS)
    assert world.bound() == {NAME: metadata_hash(BTC)}
    assert len(world.told) == 2


def test_an_instrument_that_may_not_be_traded_does_not_become_so_by_a_change() -> None:
    world = World()
    world.readings.binding = aw.binding(symbols=())
    world.round()
    assert world.told == []
    world.venue.listed = (listing(min_lots=2),)
    world.after(METADATA_EVERY_NS)
    assert [record.symbol for record in world.told] == [NAME]
    assert world.bound() == {}


def test_one_that_was_listed_again_and_then_taken_out_by_a_person_stays_out() -> None:
    world = World()
    world.round()
    for listed in ((), (BTC,)):
        world.venue.listed = listed
        world.after(METADATA_EVERY_NS)
    assert world.bound() == {NAME: metadata_hash(BTC)}
    world.readings.binding = aw.binding(symbols=())
    world.venue.listed = (listing(min_lots=2),)
    world.after(METADATA_EVERY_NS)
    assert world.bound() == {}


def test_a_binding_to_other_rules_than_the_venues_is_put_right_and_told() -> None:
    world = World()
    world.readings.binding = aw.binding(symbols=((*PLACE, "old"), ("bybit", "ZZZ", "z")))
    world.round()
    assert [record.symbol for record in world.told] == [NAME]
    assert world.bound() == {NAME: metadata_hash(BTC), "bybit/ZZZ": "z"}


def test_rules_that_were_not_read_for_long_are_not_relied_on() -> None:
    world = World()
    world.round()
    world.venue.failing["listings"] = ReadFailed("no answer")
    for _ in range(mw.METADATA_READS_MISSED):
        world.after(METADATA_EVERY_NS)
    assert world.watch.problem(PLACE, world.clock.boot_ns) == ""
    world.after(EVERY_NS)
    assert world.watch.problem(PLACE, world.clock.boot_ns).startswith("its rules were not read within")
    world.venue.failing.clear()
    world.after(METADATA_EVERY_NS)
    assert world.watch.problem(PLACE, world.clock.boot_ns) == ""


FINITE = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**6), max_value=10**6)


@given(FINITE, st.integers(0, 12))
def test_a_number_has_one_hash_however_it_is_written(value: Decimal, zeros: int) -> None:
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    longer = Decimal((sign, (*digits, *(0,) * zeros), exponent - zeros))
    assert metadata_hash(listing(min_notional=value)) == metadata_hash(listing(min_notional=longer))


def test_zero_has_one_hash_however_it_is_written() -> None:
    assert len({metadata_hash(listing(min_notional=Decimal(text))) for text in ("0", "0.00", "-0", "0e9")}) == 1


@given(st.lists(st.decimals(), min_size=2, max_size=2))
def test_different_numbers_have_different_hashes(values: list[Decimal]) -> None:
    first, second = values
    hashes = {metadata_hash(listing(tick=value)) for value in values}
    same = str(first) == str(second) if not (first.is_finite() and second.is_finite()) else first == second
    assert len(hashes) == (1 if same else 2)


@pytest.mark.parametrize("change", CHANGES)
def test_every_rule_is_part_of_the_hash(change: dict[str, Any]) -> None:
    assert metadata_hash(listing(**change)) != metadata_hash(BTC)


# What an instrument is


def test_facts_and_worth_are_those_of_the_listing() -> None:
    facts = listing_facts("bybit", BTC)
    assert facts == lc.facts(per_tick_lot="0.0001", per_lot="0.001")
    worth = listing_worth(BTC)
    assert (worth.currency, worth.tick_lot, worth.base, worth.lot, worth.spot) == (
        "USDT",
        Decimal("0.0001"),
        "BTC",
        Decimal("0.001"),
        False,
    )
    assert listing_facts("upbit", msgspec.structs.replace(SPOT, tiers=lc.TIERS)).tiers == ()
    assert listing_worth(SPOT).spot


@pytest.mark.parametrize("odd", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal(0), Decimal(-1), Decimal("1e99999")])
def test_an_instrument_without_a_sensible_unit_has_neither_facts_nor_worth(odd: Decimal) -> None:
    for change in ({"tick": odd}, {"lot": odd}):
        with pytest.raises(ValueError, match="BTCUSDT"):
            listing_facts("bybit", listing(**change))
        with pytest.raises(ValueError, match="BTCUSDT"):
            listing_worth(listing(**change))


@pytest.mark.parametrize("sign", [1, -1])
def test_an_amount_has_up_to_sixty_digits_before_or_after_the_point(sign: int) -> None:
    assert listing_worth(listing(tick=Decimal((0, (1,), 60 * sign)))).tick_lot == Decimal((0, (1,), 60 * sign - 3))
    with pytest.raises(ValueError, match="BTCUSDT"):
        listing_worth(listing(tick=Decimal((0, (1,), 61 * sign))))


def test_the_smallest_order_is_the_larger_of_lots_and_value_at_the_dearest_price_and_rate() -> None:
    known = lc.seen(SHEET, lc.UNIVERSE, lc.quote(500_000, 500_010), lc.rate(bid="0.99", ask="1.01"))
    # One lot is 50.001 at the ask, more than the 5 USDT that an order must be worth.
    assert minimums({PLACE: BTC}, known) == {NAME: Decimal("50.501010")}
    # 120 USDT are three lots at the bid; the venue may take them there, and we pay the ask.
    assert minimums({PLACE: listing(min_notional=Decimal(120))}, known) == {NAME: Decimal("151.503030")}
    assert minimums({PLACE: listing(min_lots=7)}, known) == {NAME: Decimal("353.507070")}
    assert minimums({PLACE: listing(min_lots=-7, min_notional=Decimal(0))}, known) == {NAME: Decimal("50.501010")}


@pytest.mark.parametrize(
    "odd",
    [
        {"min_notional": Decimal("NaN")},
        {"min_notional": Decimal(-1)},
        {"min_notional": Decimal("1e999999")},
        {"tick": Decimal(0)},
        {"lot": Decimal(0)},
        {"lot": Decimal(-1)},
    ],
)
def test_what_makes_no_sense_has_no_minimum(odd: dict[str, Any]) -> None:
    known = lc.seen(SHEET, lc.UNIVERSE, lc.quote(), lc.rate())
    assert minimums({PLACE: BTC}, known)
    assert minimums({PLACE: listing(**odd)}, known) == {}


@pytest.mark.parametrize("readings", [(lc.quote(),), (lc.rate(),), (lc.quote(5, 5), lc.rate())])
def test_without_a_quote_or_a_rate_there_is_no_minimum(readings: tuple[Any, ...]) -> None:
    assert minimums({PLACE: BTC}, lc.seen(SHEET, lc.UNIVERSE, *readings)) == {}


@pytest.mark.parametrize("first", [listing(symbol="AAA"), listing(min_notional=Decimal("NaN"))])
def test_one_instrument_without_a_minimum_keeps_no_other_from_its_own(first: Listing) -> None:
    other = ("bybit", "ZZZ")
    universe = universe_of([lc.facts(), lc.facts(symbol="ZZZ")])
    sheet = msgspec.structs.replace(SHEET, symbols={**SHEET.symbols, "bybit:ZZZ": SYMBOL})
    known = lc.seen(sheet, universe, lc.quote(), lc.quote(symbol="ZZZ"), lc.rate())
    assert set(minimums({("bybit", first.symbol): first, other: listing(symbol="ZZZ")}, known)) == {"bybit/ZZZ"}


def test_the_watch_tells_no_minimum_once_its_readings_are_old() -> None:
    world = World()
    world.round()
    assert set(world.watch.minimums(world.clock.boot_ns)) == {NAME}
    assert world.watch.minimums(world.clock.boot_ns + SYMBOL.freshness_reference_ns + 1) == {}
    world.venue.failing["rate"] = ReadFailed("no index")
    for _ in range(2):
        world.after(5 * S)
    assert world.problem() == ""
    assert world.watch.minimums(world.clock.boot_ns) == {}


@given(
    st.integers(1, 10**6),
    st.decimals(min_value=0, max_value=10**6, places=4, allow_nan=False, allow_infinity=False),
    st.integers(1, 10**9),
    st.integers(1, 10**6),
)
def test_no_order_that_the_venue_takes_is_worth_less_than_the_minimum_at_its_bid(lots: int, value: Decimal, bid: int, spread: int) -> None:
    one = listing(min_lots=lots, min_notional=value)
    known = lc.seen(SHEET, lc.UNIVERSE, lc.quote(bid, bid + spread), lc.rate(bid="0.99", ask="1.01"))
    told = minimums({PLACE: one}, known)[NAME]
    per_lot = Decimal("0.0001") * bid
    needed = max(lots, -(-value // per_lot) if per_lot else 0)
    assert told >= needed * per_lot
    assert known.valuations[PLACE].high_pico_usd == 1_010_000_000_000 == int(PICO * Decimal("1.01"))
