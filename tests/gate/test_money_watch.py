"""What accounts are worth, how naked a coin is, when profit and loss are marked, and transfers that nobody announced."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.gate import arming_world as aw
from tests.gate import limit_cases as lc
from tests.gate import order_records as o
from tests.gate.limit_cases import MS, NOW, SHEET, S
from tests.gate.venue_account import shown
from tests.gate.watch_venue import BTC, Clock, Venue, listing

from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderState, Side
from interlock.gate import lattice
from interlock.gate import money_watch as mw
from interlock.gate import records as r
from interlock.gate.exposure import Equity, InstrumentFacts, universe_of
from interlock.gate.foreign import NOTHING_UNMANAGED, Others, unmanaged_of
from interlock.gate.ledger import Ledger
from interlock.gate.limit_sheet import LimitSheet
from interlock.gate.market_watch import listing_worth
from interlock.gate.money_watch import MoneyWatch, equity_of, naked_values, records_due, transfer_latches, unmarked
from interlock.gate.profit import Unmarked, Worth
from interlock.gate.readings import Now, Readings
from interlock.gate.records import Level, Record
from interlock.gate.references import Quote, Rate
from interlock.gate.state import GateState
from interlock.gate.venue_reads import Holding, Holdings, ReadFailed

K = r.LedgerKind
WHERE = ("bybit", "main")
WORTHS = {("bybit", "BTCUSDT"): listing_worth(BTC)}
SPOT = listing(symbol="BTC-USDT", kind=Kind.SPOT)
SPOT_WORTHS = {("bybit", "BTC-USDT"): listing_worth(SPOT)}
WIDE = lc.changed(
    msgspec.structs.replace(SHEET, symbols={**SHEET.symbols, "bybit:BTC-USDT": SHEET.symbols["bybit:BTCUSDT"]}),
    "currencies",
    "USDT",
    max_disagreement_millionths=50_000,
)
ALL = universe_of([lc.facts(), lc.facts(symbol="BTC-USDT", kind=Kind.SPOT)])
HOUR = 3_600 * S
DAY = 24 * HOUR
NOON = Now(NOW, 20_000 * DAY + 12 * HOUR)


def readings(*seen: Quote | Rate, sheet: LimitSheet = WIDE, universe: Any = ALL) -> Readings:
    return Readings(references=lc.seen(sheet, universe, *seen), binding=aw.binding())


def usual(at: int = NOW, **quote: Any) -> Readings:
    return readings(lc.quote(at=at, **quote), lc.rate(bid="0.99", ask="1.01", at=at))


def holdings(*positions: tuple[str, int, str], **balances: str) -> Holdings:
    return Holdings(
        tuple(Holding(symbol, lots, Decimal(entry)) for symbol, lots, entry in positions),
        tuple((currency, Decimal(amount)) for currency, amount in balances.items()),
        0,
    )


def worth(held: Holdings, seen: Readings | None = None, worths: Any = None) -> int | Unmarked:
    return equity_of(held, "bybit", WORTHS if worths is None else worths, usual() if seen is None else seen, WIDE, NOW)


# What an account is worth


@pytest.mark.parametrize(
    ("held", "micro_usd"),
    [
        (holdings(USDT="1000"), 990_000_000),
        (holdings(USDT="-10"), -10_100_000),
        (holdings(USD="5", USDT="0"), 5_000_000),
        # Two lots bought at 49,000 stand at the bid of 50,000; two sold there at the ask of 50,000.1.
        (holdings(("BTCUSDT", 2, "49000"), USDT="100"), 100_980_000),
        (holdings(("BTCUSDT", -2, "49000"), USDT="100"), 97_019_802),
        (holdings(("BTCUSDT", -2, "49000")), -2_020_202),
        (holdings(("BTCUSDT", 0, "0"), USDT="1"), 990_000),
        # Nobody knows what it is worth: nothing, as long as it is not owed.
        (holdings(USDT="1", SHELL="1000"), 990_000),
        (holdings(USDT="0.0000000001"), 0),
        (holdings(USDT="-0.0000000001"), -1),
    ],
)
def test_an_account_is_worth_its_balances_and_what_its_positions_gained_against_us(held: Holdings, micro_usd: int) -> None:
    assert worth(held) == micro_usd


def test_the_venues_mark_comes_before_the_book() -> None:
    long, short = holdings(("BTCUSDT", 2, "49000")), holdings(("BTCUSDT", -2, "49000"))
    marked = usual(mark_ticks=500_100)
    assert worth(long, marked) == math_floor(Fraction("2.02") * Fraction("0.99"))
    assert worth(short, marked) == math_floor(-Fraction("2.02") * Fraction("1.01"))


def math_floor(usd: Fraction) -> int:
    return int(usd * 1_000_000 // 1)


def test_coins_of_a_spot_account_count_at_the_bid_of_their_instrument() -> None:
    seen = readings(lc.quote(500_000, 500_100, symbol="BTC-USDT"), lc.rate(bid="0.99", ask="1.01"))
    assert worth(holdings(BTC="0.01"), seen, SPOT_WORTHS) == 495_000_000
    assert worth(holdings(BTC="-0.01"), seen, SPOT_WORTHS) == -505_101_000
    # A position there is the balance told again.
    assert worth(holdings(("BTC-USDT", 10, "1"), BTC="0.01"), seen, SPOT_WORTHS) == 495_000_000
    both = {("bybit", "AAA"): listing_worth(listing(symbol="AAA", kind=Kind.SPOT)), **SPOT_WORTHS}
    assert worth(holdings(BTC="0.01"), seen, both) == 495_000_000
    assert worth(holdings(BTC="0.01"), usual(), SPOT_WORTHS) == Unmarked(("quote of bybit/BTC-USDT",))


def test_a_position_that_counts_for_nothing_or_has_no_mark_keeps_none_behind_it_from_being_looked_at() -> None:
    btc = ("BTCUSDT", 2, "49000")
    assert worth(holdings(("AAA", 0, "0"), btc)) == worth(holdings(btc)) == 1_980_000
    seen = readings(lc.quote(), lc.quote(symbol="BTC-USDT"), lc.rate(bid="0.99", ask="1.01"))
    assert worth(holdings(("BTC-USDT", 1, "1"), btc), seen, {**WORTHS, **SPOT_WORTHS}) == 1_980_000
    odd = holdings(("AAA", 1, "5"), ("ZZZ", 1, "5"))
    assert worth(odd) == Unmarked(("mark of bybit/AAA", "mark of bybit/ZZZ"))
    # One that is quoted and of which nobody knows what a lot of it is.
    assert worth(holdings(("BTC-USDT", 1, "5")), seen) == Unmarked(("mark of bybit/BTC-USDT",))


@pytest.mark.parametrize(
    "worths",
    [
        WORTHS,
        {("upbit", "BTC-USDT"): listing_worth(SPOT)},
        {("bybit", "BTC-USDT"): listing_worth(listing(symbol="BTC-USDT", base="ETH", kind=Kind.SPOT))},
    ],
    ids=["a perpetual", "another venue", "another coin"],
)
def test_a_coin_counts_by_a_spot_instrument_of_its_own_venue_alone(worths: Any) -> None:
    seen = readings(lc.quote(), lc.quote(symbol="BTC-USDT"), lc.rate(bid="0.99", ask="1.01"))
    assert worth(holdings(BTC="0.01"), seen, SPOT_WORTHS) == 495_000_000
    assert worth(holdings(BTC="0.01"), seen, worths) == 0
    assert worth(holdings(BTC="-0.01"), seen, worths) == Unmarked(("USD rate of BTC",))


def test_a_balance_of_nothing_needs_neither_quote_nor_rate() -> None:
    assert worth(holdings(BTC="0", USDT="0"), readings(), SPOT_WORTHS) == 0
    assert worth(holdings(BTC="1", USDT="1"), readings(), SPOT_WORTHS) == Unmarked(("quote of bybit/BTC-USDT", "USD rate of USDT"))


def test_what_others_have_of_a_coin_counts_only_where_it_is_owed() -> None:
    sheet = msgspec.structs.replace(WIDE, currencies={**WIDE.currencies, "BNB": WIDE.currencies["USDT"]})
    seen = readings(lc.rate(), lc.rate("BNB"), sheet=sheet)

    def of(amount: str, unmanaged: list[str]) -> int | Unmarked:
        held = holdings(USDT="100", BNB=amount)
        return equity_of(held, "bybit", WORTHS, seen, sheet, NOW, unmanaged_of(unmanaged, [BTC], ["BTCUSDT"]))

    assert (of("5", []), of("5", ["BNB"])) == (105_000_000, 100_000_000)
    assert of("-5", []) == of("-5", ["BNB"]) == 95_000_000


def test_a_quote_of_an_instrument_without_limits_is_of_no_use() -> None:
    seen = usual().references
    assert set(mw.usable_quotes(seen, WIDE, NOW)) == {("bybit", "BTCUSDT")}
    assert mw.usable_quotes(seen, msgspec.structs.replace(WIDE, symbols={}), NOW) == {}


@pytest.mark.parametrize(
    ("held", "missing"),
    [
        (holdings(SHELL="-1"), "USD rate of SHELL"),
        (holdings(USDT="NaN"), "balance of USDT"),
        (holdings(USDT="sNaN"), "balance of USDT"),
        (holdings(USDT="Infinity"), "balance of USDT"),
        (holdings(USDT="1e999999"), "balance of USDT"),
        (holdings(("ETHUSDT", 1, "5")), "mark of bybit/ETHUSDT"),
        (holdings(("BTCUSDT", 1, "0")), "mark of bybit/BTCUSDT"),
        (holdings(("BTCUSDT", 1, "-1")), "mark of bybit/BTCUSDT"),
        (holdings(("BTCUSDT", 1, "NaN")), "mark of bybit/BTCUSDT"),
    ],
)
def test_what_cannot_be_valued_is_named(held: Holdings, missing: str) -> None:
    assert worth(held) == Unmarked((missing,))


def test_without_a_usable_quote_or_rate_an_account_has_no_worth() -> None:
    held = holdings(("BTCUSDT", 1, "49000"), USDT="1")
    assert isinstance(worth(held), int)
    assert worth(held, readings(lc.rate())) == Unmarked(("mark of bybit/BTCUSDT",))
    # What comes to nothing needs no rate.
    assert worth(holdings(("BTCUSDT", 2, "50000")), readings(lc.quote())) == 0
    assert worth(held, readings(lc.quote())) == Unmarked(("USD rate of USDT",))
    assert worth(held, usual(at=NOW - 2 * S)) == Unmarked(("mark of bybit/BTCUSDT",))
    assert worth(held, readings(lc.quote(), lc.rate(at=NOW - 6 * S))) == Unmarked(("USD rate of USDT",))
    assert worth(held, readings(lc.quote(), lc.rate(bid="0.5", ask="0.5"))) == Unmarked(("USD rate of USDT",))


def test_a_rate_is_the_worst_of_the_fresh_ones() -> None:
    seen = readings(lc.rate(bid="0.999", ask="1"), lc.rate(bid="0.998", ask="1.001", name="b", at=NOW - S))
    assert mw.usd_rates(seen.references, WIDE, NOW)["USDT"] == (Decimal("0.998"), Decimal("1.001"))
    assert mw.usd_rates(seen.references, WIDE, NOW + 5 * S)["USDT"] == (Decimal("0.999"), Decimal(1))
    assert set(mw.usd_rates(seen.references, WIDE, NOW + 6 * S)) == {"USD"}
    dollars = lc.changed(WIDE, "currencies", "USDT")
    named = msgspec.structs.replace(dollars, currencies={**dollars.currencies, "USD": dollars.currencies["USDT"]})
    assert mw.usd_rates(seen.references, named, NOW)["USD"] == (Decimal(1), Decimal(1))


class World:
    """A money watch over one account."""

    def __init__(self, seen: Readings | None = None, **more: Any) -> None:
        self.clock = Clock(NOON.boot_ns, NOON.wall_ns)
        self.venue = Venue(self.clock)
        self.readings = usual() if seen is None else seen
        self.watch = MoneyWatch(self.readings, GateState(WIDE), WORTHS, clock=self.clock, **more)
        self.state = GateState(WIDE)

    def round(self) -> None:
        asyncio.run(self.watch.round(self.venue))

    def turn(self) -> list[type[Record]]:
        """Fold what is due."""
        found = self.watch.turn(self.state, self.clock())
        for record in found:
            assert record.boot_ns == self.clock.boot_ns
            self.state.apply(record)
        return [type(record) for record in found]

    def see(self) -> None:
        """The markets as always, at this time."""
        self.readings.references = usual(at=self.clock.boot_ns).references


def test_equity_is_stamped_with_the_time_of_asking_and_read_once_a_second() -> None:
    world = World()
    world.round()
    assert world.readings.equity == {WHERE: Equity(990_000_000, NOW)}
    world.clock.pass_(S - 1)
    world.round()
    assert world.venue.asked["holdings"] == 1
    world.clock.pass_(1)
    assert world.watch.due(*WHERE, world.clock.boot_ns)
    world.round()
    assert world.venue.asked["holdings"] == 2


def test_a_venue_whose_limits_want_more_time_is_asked_less_often() -> None:
    for slow, reads in (({"bybit": 3 * S}, 2), ({"upbit": 3 * S}, 4)):
        world = World(every_ns=slow)
        for _ in range(4):
            world.round()
            world.clock.pass_(S)
        assert world.venue.asked["holdings"] == reads


def test_an_answer_that_took_long_is_as_old_as_its_question() -> None:
    world = World()

    async def run() -> None:
        world.venue.held = asyncio.Event()
        reading = asyncio.create_task(world.watch.round(world.venue))
        await asyncio.sleep(0)
        world.clock.pass_(300 * MS)
        world.venue.held.set()
        await reading

    asyncio.run(run())
    assert world.readings.equity[WHERE].boot_ns == NOW


def test_amounts_have_up_to_sixty_digits_before_or_after_the_point() -> None:
    assert worth(holdings(USDT="1e60")) == 990_000 * 10**60
    assert worth(holdings(USDT="-1e-60")) == -1
    assert worth(holdings(USDT="1e61")) == worth(holdings(USDT="1e-61")) == Unmarked(("balance of USDT",))


def test_what_cannot_be_valued_leaves_the_last_equity_to_go_stale() -> None:
    world = World()
    world.round()
    before = world.readings.equity
    world.venue.holds = holdings(USDT="NaN")
    world.clock.pass_(S)
    world.round()
    assert world.readings.equity is before
    assert world.watch.missing == {"bybit/main": ("balance of USDT",)}
    world.venue.failing["holdings"] = ReadFailed("no answer")
    world.clock.pass_(S)
    with pytest.raises(ReadFailed):
        world.round()
    assert world.readings.equity is before
    world.venue.failing.clear()
    world.venue.holds = holdings(USDT="1")
    world.clock.pass_(S)
    world.see()
    world.round()
    assert world.readings.equity == {WHERE: Equity(990_000, NOW + 3 * S)}
    assert world.watch.missing == {}


amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=8, allow_nan=False, allow_infinity=False)


@given(amounts, st.integers(-1_000, 1_000), st.decimals(min_value="0.01", max_value=10**6, places=2))
def test_equity_is_never_above_any_value_that_the_readings_allow(balance: Decimal, lots: int, entry: Decimal) -> None:
    told = worth(holdings(("BTCUSDT", lots, str(entry)), USDT=str(balance)))
    assert isinstance(told, int)
    for ticks in (500_000, 500_001):
        for rate in (Fraction("0.99"), Fraction("1.01")):
            gain = lots * (Fraction(ticks, 10_000) - Fraction(entry) / 1_000)
            assert told <= (Fraction(balance) + gain) * rate * 1_000_000


@given(st.decimals(), st.integers(-(10**20), 10**20), st.decimals())
def test_no_answer_of_a_venue_makes_it_fail(balance: Decimal, lots: int, entry: Decimal) -> None:
    found = equity_of(
        Holdings((Holding("BTCUSDT", lots, entry),), (("USDT", balance), ("SHELL", entry)), 0), "bybit", WORTHS, usual(), WIDE, NOW
    )
    assert isinstance(found, int | Unmarked)


# How naked a coin is


def state_of(*records: Record, sheet: LimitSheet = WIDE) -> GateState:
    state = GateState(sheet)
    for record in records:
        state.apply(record)
    return state


def naked(state: GateState, seen: Readings) -> dict[str, int]:
    return naked_values(state.ledger, seen.references, WIDE, NOW)


def test_a_coin_is_as_naked_as_its_net_position_is_worth() -> None:
    assert naked(state_of(), usual()) == {"BTC": 0}
    one = naked(state_of(o.fill(3)), usual())["BTC"]
    assert 3 * 50_000_100 * Fraction("1.01") <= one < 151_600_000
    hedged = state_of(o.fill(3), o.fill(2, "t2", symbol="BTC-USDT", side=Side.SELL))
    assert naked(hedged, usual())["BTC"] * 3 == pytest.approx(one, abs=3)
    assert naked(state_of(o.fill(3), o.fill(3, "t2", symbol="BTC-USDT", side=Side.SELL)), usual()) == {"BTC": 0}


def test_a_coin_that_nothing_prices_is_naked_by_an_unknown_value() -> None:
    held = state_of(o.fill(3))
    assert naked(held, readings(lc.rate())) == {"BTC": -1}
    assert naked(held, readings(lc.quote())) == {"BTC": -1}
    assert naked(held, usual(at=NOW - 2 * S)) == {"BTC": -1}
    stale_rate = readings(lc.rate(at=NOW - 6 * S), lc.quote())
    assert naked(held, stale_rate) == {"BTC": -1}
    assert naked(state_of(), readings()) == {"BTC": 0}


def test_a_position_that_nobody_knows_makes_every_coin_naked() -> None:
    assert naked(state_of(o.fill(3, symbol="ODD")), usual()) == {"BTC": -1}
    closed = state_of(o.fill(3, symbol="ODD"), o.fill(3, "t2", symbol="ODD", side=Side.SELL))
    assert naked(closed, usual()) == {"BTC": 0}


def test_quotes_outside_the_universe_price_nothing() -> None:
    only = readings(lc.quote(symbol="BTC-USDT"), lc.rate(), universe=universe_of([lc.facts(symbol="BTC-USDT")]))
    more = lc.seen(WIDE, only.references.universe, lc.quote(), lc.rate())
    odd = msgspec.structs.replace(only.references, references={**only.references.references, **lc.seen(WIDE, ALL, lc.quote()).references})
    assert not more.references
    assert naked_values(state_of().ledger, odd, WIDE, NOW) == {"BTC": 0}


def test_the_naked_time_begins_when_the_tolerance_is_passed_and_ends_when_it_is_not() -> None:
    world = World()
    world.turn()
    assert world.readings.naked_since_boot_ns == {"BTC": None}
    world.state.apply(o.fill(3))
    world.turn()
    assert world.readings.naked_since_boot_ns == {"BTC": NOW}
    world.clock.pass_(S)
    world.see()
    world.turn()
    assert world.readings.naked_since_boot_ns == {"BTC": NOW}
    world.state.apply(o.fill(2, "t2", side=Side.SELL))
    world.turn()
    assert world.readings.naked_since_boot_ns == {"BTC": None}
    world.clock.pass_(2 * S)
    world.turn()
    assert world.readings.naked_since_boot_ns == {"BTC": NOW + 3 * S}


# Profit and loss


def folded(state: GateState, seen: Readings, now: Now = NOON) -> list[Record]:
    found = records_due(state, seen, WORTHS, now)
    for record in found:
        state.apply(record)
    return list(found)


def at(ns: int) -> Now:
    return Now(NOON.boot_ns + ns, NOON.wall_ns + ns)


def test_the_first_mark_of_a_day_comes_with_the_roll() -> None:
    state = state_of(o.fill(2, ticks=490_000))
    rolled, mark = folded(state, usual())
    assert isinstance(rolled, r.DayRolled)
    assert isinstance(mark, r.Marked)
    assert rolled.day == "2024-10-04"
    assert rolled.baseline == (("USDT", Decimal("2.0000")),)
    assert rolled.baseline_usd == Decimal("1.98")
    assert (mark.realised_usd, mark.unrealised_usd) == (Decimal(0), Decimal(0)), "nothing has happened since the roll"
    assert state.losses.marked_boot_ns == NOW
    assert records_due(state, usual(), WORTHS, NOON) == ()


def test_a_loss_since_the_roll_is_marked() -> None:
    state = state_of(o.fill(2, ticks=500_000))
    folded(state, usual())
    fallen = readings(lc.quote(490_000, 490_001, at=NOW + S), lc.rate(bid="0.99", ask="1.01", at=NOW + S))
    (mark,) = folded(state, fallen, at(S))
    assert isinstance(mark, r.Marked)
    assert mark.unrealised_usd == Decimal("-2.02")
    assert state.losses.now_micro_usd == 2_020_000


def test_a_day_is_not_rolled_twice_by_a_boot_or_a_clock_that_went_back() -> None:
    state = state_of()
    assert [type(one) for one in folded(state, usual())] == [r.DayRolled, r.Marked]
    state.apply(aw.boot("life-b"))
    assert [type(one) for one in folded(state, usual())] == [r.Marked]
    state.apply(aw.boot("life-c"))
    assert [type(one) for one in folded(state, usual(), Now(NOW, NOON.wall_ns - DAY))] == [r.Marked]
    assert state.ledger.day.name == "2024-10-04"
    state.apply(aw.boot("life-d"))
    assert [type(one) for one in folded(state, usual(), Now(NOW, NOON.wall_ns + DAY))] == [r.Marked, r.DayRolled, r.Marked]
    assert state.ledger.day.name == "2024-10-05"


def clock_trip(scope: r.Scope, subject: str) -> r.InterlockTripped:
    return r.InterlockTripped(boot_ns=NOW, name="clock", scope=scope, subject=subject, level=r.Level.CANCEL_ONLY, reason="it jumped")


def test_a_wall_clock_that_jumps_into_tomorrow_begins_no_day() -> None:
    world = World()
    assert world.turn() == [r.DayRolled, r.Marked]
    today = world.state.ledger.day
    world.clock.wall_ns += DAY
    for _ in range(60):
        world.see()
        assert r.DayRolled not in world.turn()
        world.clock.pass_(S)
    assert world.state.ledger.day == today
    # The control: one that has stayed there for a minute is believed, unless what looks at clocks still doubts it.
    world.see()
    assert r.DayRolled in world.turn()
    # And midnight by a clock that has not jumped needs no minute.
    for _ in range(2 * 86_400 // 100):
        world.clock.pass_(100 * S)
        world.see()
        before = world.state.ledger.day.name
        rolled = r.DayRolled in world.turn()
        assert rolled == (mw.utc_day(world.clock.wall_ns) > before)
    assert world.state.ledger.day.name > today.name


@pytest.mark.parametrize(("moved_ns", "rolls"), [(S, True), (S + 1, False), (-S, True), (-S - 1, False)])
def test_a_wall_clock_that_moves_by_no_more_than_a_second_is_believed(moved_ns: int, rolls: bool) -> None:
    world = World()
    world.clock.wall_ns = 20_001 * DAY - 2 * S
    assert world.turn() == [r.DayRolled, r.Marked]
    world.clock.pass_(5 * S)
    world.clock.wall_ns += moved_ns
    world.see()
    assert mw.utc_day(world.clock.wall_ns) > world.state.ledger.day.name
    assert (r.DayRolled in world.turn()) is rolls


@pytest.mark.parametrize(
    ("tripped", "doubted"),
    [
        ((), False),
        (((r.Scope.ALL, ""),), True),
        (tuple((r.Scope.SYMBOL, name.replace(":", "/")) for name in WIDE.symbols), True),
        (tuple((r.Scope.SYMBOL, name.replace(":", "/")) for name in sorted(WIDE.symbols)[1:]), False),
    ],
)
def test_a_clock_that_nobody_confirms_begins_no_day(tripped: tuple[tuple[r.Scope, str], ...], doubted: bool) -> None:
    world = World()
    world.turn()
    for scope, subject in tripped:
        world.state.apply(clock_trip(scope, subject))
    assert mw.wall_clock_is_doubted(world.state) is doubted
    world.clock.pass_(DAY)
    world.see()
    assert (r.DayRolled in world.turn()) is not doubted
    # A gate that has no day at all needs one to count from, whatever its clock says.
    fresh = World()
    for scope, subject in tripped:
        fresh.state.apply(clock_trip(scope, subject))
    assert fresh.turn() == [r.DayRolled, r.Marked]


def test_only_the_clocks_of_all_that_there_is_put_it_in_doubt() -> None:
    limits = SHEET.symbols["bybit:BTCUSDT"]
    one, none = (msgspec.structs.replace(WIDE, symbols=symbols) for symbols in ({"bybit:BTC:PERP": limits}, {}))
    tripped = clock_trip(r.Scope.SYMBOL, "bybit/BTC:PERP")
    assert mw.wall_clock_is_doubted(state_of(tripped, sheet=one))
    assert not mw.wall_clock_is_doubted(state_of(msgspec.structs.replace(tripped, name="feed_stale"), sheet=one))
    assert not mw.wall_clock_is_doubted(state_of(tripped, sheet=none))


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        (readings(lc.rate()), "quote of bybit/main/BTCUSDT"),
        (usual(at=NOW - 2 * S), "quote of bybit/main/BTCUSDT"),
        (readings(lc.quote()), "USD rate of USDT"),
        (readings(lc.quote(), lc.rate(at=NOW - 6 * S)), "USD rate of USDT"),
    ],
)
def test_without_a_quote_or_a_rate_nothing_is_marked_and_it_says_why(seen: Readings, missing: str) -> None:
    state = state_of(o.fill(2))
    assert records_due(state, seen, WORTHS, NOON) == ()
    assert unmarked(state, seen, WORTHS, NOON) == (missing,)
    assert len(records_due(state, usual(), WORTHS, NOON)) == 2
    assert unmarked(state, usual(), WORTHS, NOON) == ()


def test_a_rate_that_is_lost_after_the_roll_stops_the_marks() -> None:
    state = state_of(o.fill(2, ticks=490_000))
    folded(state, usual())
    assert unmarked(state, readings(lc.quote()), WORTHS, NOON) == (), "what is as it was needs no rate"
    assert unmarked(state, readings(lc.quote(490_000, 490_001)), WORTHS, NOON) == ("USD rate of USDT",)


def test_what_is_lost_behind_the_last_mark_of_a_day_is_of_that_day() -> None:
    """Forty are lost for good between two marks of which the second is the next day's: the day that ends has them, and latches."""
    state = state_of(o.fill(40, ticks=500_000))
    folded(state, usual())
    state.apply(o.fill(40, "t2", side=Side.SELL, ticks=490_000, venue_ns=11))
    closing, rolled, mark = folded(state, usual(at=NOW + DAY), at(DAY))
    assert isinstance(closing, r.Marked)
    assert isinstance(rolled, r.DayRolled)
    assert isinstance(mark, r.Marked)
    assert (closing.realised_usd, mark.realised_usd, mark.unrealised_usd) == (Decimal("-40.4"), Decimal(0), Decimal(0))
    assert (state.losses.latched, state.losses.day, state.losses.now_micro_usd) == (True, rolled.day, 0)


def test_a_day_ends_only_where_its_result_can_be_told() -> None:
    """What had been won is gone again: the new day's baseline comes to nothing and needs no rate, the result of the old one does."""
    state = state_of(o.fill(2, ticks=490_000))
    folded(state, usual())
    fallen = lc.quote(490_000, 490_001, at=NOW + DAY)
    assert records_due(state, readings(fallen), WORTHS, at(DAY)) == ()
    assert unmarked(state, readings(fallen), WORTHS, at(DAY)) == ("USD rate of USDT",)
    told = folded(state, readings(fallen, lc.rate(at=NOW + DAY)), at(DAY))
    assert [type(one) for one in told] == [r.Marked, r.DayRolled, r.Marked], "the control"


def test_what_stands_beyond_the_limit_when_the_day_ends_latches() -> None:
    """Nobody could mark over midnight; the one mark that was missed is told before the roll."""
    state = state_of(o.fill(40, ticks=500_000))
    folded(state, usual())
    fallen = readings(lc.quote(490_000, 490_001, at=NOW + DAY), lc.rate(at=NOW + DAY))
    closing, *_ = folded(state, fallen, at(DAY))
    assert isinstance(closing, r.Marked)
    assert closing.unrealised_usd < -30
    assert state.losses.latched is True


def test_what_was_won_overnight_is_no_loss_of_the_new_day() -> None:
    """Twenty dollars of gain are held over midnight, twice what a day may lose: it is neither latched nor denied, until it falls."""
    state = state_of(o.fill(20, ticks=490_000))
    folded(state, usual())
    closing, rolled, mark = folded(state, usual(at=NOW + DAY), at(DAY))
    assert isinstance(closing, r.Marked)
    assert isinstance(rolled, r.DayRolled)
    assert isinstance(mark, r.Marked)
    assert (mark.realised_usd, state.losses.latched, state.losses.now_micro_usd) == (Decimal(0), False, 0)
    (later,) = folded(state, usual(at=NOW + DAY + S), at(DAY + S))
    assert isinstance(later, r.Marked)
    assert (later.realised_usd, later.unrealised_usd, state.losses.latched) == (Decimal(0), Decimal(0), False)
    state.apply(o.fill(20, "t2", side=Side.SELL, ticks=490_000, venue_ns=11))
    (closed,) = folded(state, usual(at=NOW + DAY + 4 * S), at(DAY + 4 * S))
    assert isinstance(closed, r.Marked)
    assert (closed.realised_usd, state.losses.latched) == (Decimal("-20.2"), True), "the control: what was given back was lost today"


@pytest.mark.parametrize("wall_ns", [-1, -(10**30), 10**30])
def test_a_wall_clock_that_makes_no_sense_marks_nothing(wall_ns: int) -> None:
    assert mw.utc_day(wall_ns) == ""
    assert records_due(state_of(), usual(), WORTHS, Now(NOW, wall_ns)) == ()
    assert unmarked(state_of(), usual(), WORTHS, Now(NOW, wall_ns)) == ("the day, by the wall clock",)


def test_days_are_those_of_utc() -> None:
    assert mw.utc_day(0) == "1970-01-01"
    assert mw.utc_day(20_000 * DAY - 1) == "2024-10-03"
    assert mw.utc_day(20_000 * DAY) == "2024-10-04"
    assert (mw.utc_day(2_932_896 * DAY), mw.utc_day(2_932_897 * DAY)) == ("9999-12-31", "")


def running(*records: Record) -> GateState:
    return state_of(aw.boot(), aw.reconciled(), aw.level_set(Level.RUN), *records)


@pytest.mark.parametrize(
    ("state", "every_ns"),
    [
        (state_of(), 2_500 * MS),
        (running(), S),
        (state_of(o.fill(2)), S),
        (state_of(*o.OPENED), S),
        # It has ended at the venue, and one of its executions was not seen yet.
        (state_of(*o.OPENED, o.report(OrderState.CANCELLED, filled=1)), S),
        (state_of(o.fill(2), o.fill(2, "t2", side=Side.SELL)), 2_500 * MS),
    ],
)
def test_marks_come_every_second_while_something_is_open_or_may_be_and_seldom_otherwise(state: GateState, every_ns: int) -> None:
    assert mw.mark_is_due(state, NOW)
    folded(state, usual())
    assert not mw.mark_is_due(state, NOW + every_ns - 1)
    assert mw.mark_is_due(state, NOW + every_ns)
    assert mw.mark_is_due(state, NOW - 1)


def test_marks_keep_up_with_a_short_freshness() -> None:
    state = state_of(o.fill(2), sheet=lc.changed(WIDE, "account", freshness_mark_ns=S))
    folded(state, usual())
    assert mw.mark_is_due(state, NOW + S // 2)
    assert not mw.mark_is_due(state, NOW + S // 2 - 1)


def test_the_watch_marks_on_time_and_tells_why_it_does_not() -> None:
    world = World()
    assert world.turn() == [r.DayRolled, r.Marked]
    assert world.turn() == []
    world.state.apply(o.fill(2))
    world.clock.pass_(2 * S)
    assert world.turn() == []
    assert world.watch.missing == {"mark": ("quote of bybit/main/BTCUSDT",)}
    world.see()
    assert world.turn() == [r.Marked]
    assert world.watch.missing == {}


trades = st.lists(st.tuples(st.sampled_from([Side.BUY, Side.SELL]), st.integers(1, 9), st.integers(499_000, 501_000)), max_size=6)


@given(st.lists(st.tuples(trades, st.integers(0, 3 * DAY), st.booleans()), max_size=6))
def test_whatever_happens_days_only_go_forward_and_every_mark_stands_on_a_baseline(
    steps: list[tuple[list[tuple[Side, int, int]], int, bool]],
) -> None:
    state = state_of()
    number = 0
    now = NOON
    for executions, wait_ns, restarted in steps:
        for side, lots, ticks in executions:
            number += 1
            state.apply(o.fill(lots, f"t{number}", side=side, ticks=ticks, venue_ns=number))
        now = Now(now.boot_ns + wait_ns, now.wall_ns + wait_ns)
        if restarted:
            state.apply(aw.boot(f"life-{number}"))
        before = state.ledger.day.name
        for record in records_due(state, usual(at=now.boot_ns), WORTHS, now):
            if isinstance(record, r.DayRolled):
                assert record.day == mw.utc_day(now.wall_ns) > before
            state.apply(record)
        if state.losses.marked_boot_ns == now.boot_ns:
            assert state.ledger.day.name == state.losses.day
            assert 0 <= state.losses.worst_micro_usd >= state.losses.now_micro_usd
        assert records_due(state, usual(at=now.boot_ns), WORTHS, now) == ()


# Transfers


def moved(kind: r.LedgerKind = K.DEPOSIT, amount: str = "500", venue_id: str = "e1", venue_ns: int = NOON.wall_ns) -> r.LedgerEvent:
    return o.event(kind, amount, venue_id, venue_ns=venue_ns)


def expected(amount: str = "500") -> r.LedgerExpected:
    return r.LedgerExpected(
        boot_ns=1,
        kind=K.DEPOSIT,
        venue="bybit",
        account="main",
        currency="USDT",
        amount=Decimal(amount),
        until_wall_ns=NOON.wall_ns + HOUR,
        actor="ann",
    )


def later(ns: int) -> Now:
    return at(ns)


@pytest.mark.parametrize("kind", [K.DEPOSIT, K.WITHDRAWAL, K.TRANSFER])
def test_a_transfer_that_nobody_announced_halts_its_account_after_the_grace(kind: r.LedgerKind) -> None:
    state = state_of(moved(kind))
    assert transfer_latches(state, later(60 * S - 1)) == ()
    (latch,) = transfer_latches(state, later(60 * S))
    assert (latch.name, latch.scope, latch.subject, latch.level) == ("unexplained", r.Scope.ACCOUNT, "bybit/main", Level.HALT)
    assert latch.boot_ns == NOW + 60 * S
    for part in ("500 USDT", "bybit/main", "e1", kind.value):
        assert part in latch.reason


def test_one_that_was_announced_in_time_or_within_the_grace_does_not() -> None:
    assert transfer_latches(state_of(expected(), moved()), later(HOUR)) == ()
    assert transfer_latches(state_of(moved(), expected()), later(HOUR)) == ()
    assert len(transfer_latches(state_of(expected("501"), moved()), later(HOUR))) == 1


@pytest.mark.parametrize("kind", [K.FUNDING, K.FEE, K.REBATE, K.INTEREST, K.AIRDROP, K.SETTLEMENT])
def test_other_events_need_no_notice(kind: r.LedgerKind) -> None:
    assert transfer_latches(state_of(moved(kind)), later(HOUR)) == ()


def test_a_time_that_the_venue_cannot_mean_is_not_waited_for() -> None:
    assert transfer_latches(state_of(moved(venue_ns=NOON.wall_ns + 30 * S)), NOON) == ()
    assert transfer_latches(state_of(moved(venue_ns=NOON.wall_ns + 60 * S - 1)), NOON) == ()
    assert len(transfer_latches(state_of(moved(venue_ns=NOON.wall_ns + 60 * S)), NOON)) == 1
    assert len(transfer_latches(state_of(moved(venue_ns=0)), NOON)) == 1


def test_each_transfer_latches_once_also_after_a_person_cleared_it_and_after_a_boot() -> None:
    state = state_of(aw.boot(), moved(), moved(venue_id="e2"))
    found = transfer_latches(state, later(HOUR))
    assert len(found) == 2
    for latch in found:
        state.apply(latch)
    assert len(state.lattice.latches) == 1
    assert transfer_latches(state, later(HOUR)) == ()
    cleared = lattice.clear_latch(
        state.lattice,
        "unexplained",
        r.Scope.ACCOUNT,
        "bybit/main",
        actor="ann",
        seen_version=state.lattice.version,
        nonce=aw.NONCES[0],
        boot_ns=NOW,
    )
    assert isinstance(cleared, r.LatchCleared)
    state.apply(cleared)
    state.apply(aw.boot("life-b"))
    assert transfer_latches(state, later(HOUR)) == ()
    state.apply(moved(venue_id="e3"))
    assert len(transfer_latches(state, later(HOUR))) == 1


def test_a_latch_that_was_lost_before_it_was_folded_comes_again() -> None:
    state = state_of(moved())
    assert transfer_latches(state, later(HOUR)) == transfer_latches(state, later(HOUR)) != ()


def test_the_watch_looks_for_transfers_once_a_second() -> None:
    world = World(grace_ns=5 * S)
    world.turn()
    world.state.apply(moved(venue_ns=NOON.wall_ns))
    told: list[type[Record]] = []
    for _ in range(70):
        world.clock.pass_(100 * MS)
        world.see()
        told += [kind for kind in world.turn() if kind is r.LatchSet]
        assert bool(told) is (world.clock.boot_ns >= NOW + 5 * S)
    assert told == [r.LatchSet]


def test_on_a_host_that_has_just_started_everything_is_looked_at_at_once() -> None:
    world = World(grace_ns=1)
    world.clock.boot_ns = 0
    world.see()
    world.round()
    assert world.readings.equity[WHERE].boot_ns == 0
    world.state.apply(moved(venue_ns=1))
    assert world.turn() == [r.DayRolled, r.Marked, r.LatchSet]


def test_between_two_looks_for_transfers_lies_a_second() -> None:
    world = World(grace_ns=S)
    world.turn()
    world.state.apply(moved(venue_ns=0))
    for waited_ns in (0, S - 1):
        world.clock.pass_(waited_ns)
        assert r.LatchSet not in world.turn()
    world.clock.pass_(1)
    assert r.LatchSet in world.turn()


def test_worths_are_by_instrument() -> None:
    facts: InstrumentFacts = lc.facts()
    assert Worth(currency="USDT", tick_lot=facts.quote_per_tick_lot, base="BTC", lot=facts.asset_per_lot, spot=False) == listing_worth(BTC)


# A shared account


def test_on_a_shared_account_the_burden_of_others_is_read_with_its_worth() -> None:
    eth = listing(symbol="ETHUSDT", base="ETH")
    others = Others(unmanaged_of(["ETH"], [BTC, eth], ["BTCUSDT"]), Ledger(), ())
    world = World()
    world.venue.quotes["ETHUSDT"] = {}
    world.venue.holds = holdings(("ETHUSDT", 2, "49000"), USDT="1000")
    asyncio.run(world.watch.round(world.venue, lambda: others))
    found = world.readings.burdens[WHERE]
    assert (found.gross, found.boot_ns) == (101_000_202, NOW)
    assert world.readings.equity == {WHERE: Equity(990_000_000, NOW)}, "what theirs has won is not ours"
    assert world.venue.asked["quote ETHUSDT"] == 1
    # What cannot be valued leaves the last figure as it was, and says what is missing.
    world.clock.pass_(S)
    world.venue.quotes["ETHUSDT"] = {"bid": 7, "ask": 7}
    asyncio.run(world.watch.round(world.venue, lambda: others))
    assert world.readings.burdens[WHERE] == found
    assert world.watch.missing["/".join(WHERE)] == ("mark of bybit/ETHUSDT", "what bybit/ETHUSDT is worth, in which others are active")
    # The control: an account of our own has no burden, and a position there that nobody knows has no worth.
    world.clock.pass_(S)
    world.readings.burdens = {}
    world.round()
    assert (world.readings.burdens, world.watch.missing["/".join(WHERE)]) == ({}, ("mark of bybit/ETHUSDT",))


def test_on_an_account_where_nothing_is_unmanaged_nobody_else_has_a_burden() -> None:
    world = World()
    asyncio.run(world.watch.round(world.venue, lambda: Others(NOTHING_UNMANAGED, Ledger(), ())))
    assert (world.readings.burdens, world.readings.equity) == ({}, {WHERE: Equity(990_000_000, NOW)})
    # The control: with one coin that is unmanaged there is one, of nothing.
    world.clock.pass_(S)
    shared = Others(unmanaged_of(["ETH"], [BTC], ["BTCUSDT"]), Ledger(), ())
    asyncio.run(world.watch.round(world.venue, lambda: shared))
    assert world.readings.burdens[WHERE].gross == 0


@pytest.mark.parametrize("at", ["holdings", "quote ETHUSDT"])
def test_an_order_of_others_that_fills_while_the_account_is_read_takes_room_all_the_same(at: str) -> None:
    """The holdings were read before its execution, and the list of what is open after it: in neither of them it would stand."""
    eth = listing(symbol="ETHUSDT", base="ETH")
    unmanaged = unmanaged_of(["ETH"], [BTC, eth], ["BTCUSDT"])
    resting = shown("web-1", symbol="ETHUSDT", lots=1, ticks=1)
    filling = shown("web-2", symbol="ETHUSDT", lots=2, ticks=500_001)
    others = [Others(unmanaged, Ledger(), (resting, filling))]

    def found() -> int:
        world = World()
        world.venue.quotes["ETHUSDT"] = {}
        world.venue.holds = holdings(USDT="1000")
        after = msgspec.structs.replace(others[0], open_orders=others[-1].open_orders)
        asyncio.run(world.watch.round(world.venue, lambda: after if world.venue.asked[at] else others[0]))
        return world.readings.burdens[WHERE].gross

    before = found()
    others.append(Others(unmanaged, Ledger(), (resting,)))
    assert found() == before
    later = shown("web-3", symbol="ETHUSDT", lots=1, ticks=1)
    others.append(Others(unmanaged, Ledger(), (resting, filling, later)))
    assert found() > before, "and so does one that is new"
    others.append(Others(unmanaged, Ledger(), (resting, msgspec.structs.replace(filling, open_lots=1))))
    assert found() == before
