"""Reading from the real venues, against their simulators as a process: what they hold is told as it is, and whatever is uncertain fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from tests.gate.live_ground import DERIVATIVES, KINDS, MS, VENUES, Ground, S, ground, now
from tests.gate.venue_account import Bench, bench

from interlock.domain.fx import FxSource
from interlock.domain.instruments import Instrument, Kind
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch
from interlock.gate.clock_watch import SkewDenial, skew_denial
from interlock.gate.exposure import InstrumentFacts
from interlock.gate.profit import Worth
from interlock.gate.reconcile import Managed
from interlock.gate.reconciler import Reconciler
from interlock.gate.references import is_sound
from interlock.gate.venue_live import LONGEST_TEXT, LiveAccess, entered, is_amount, shown, told
from interlock.gate.venue_live_reads import LiveReads
from interlock.gate.venue_reads import ReadFailed, ShownOrder, VenueReads
from interlock.simulate.served.listing import instruments_of
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.hosts import Hosts
from interlock.venues.metering import metering_of
from interlock.venues.port import End, FeeRates, FillKind, FillSeen, LedgerSeen, OrderSeen

Use = Callable[[LiveReads], Awaitable[object]]
each_venue = pytest.mark.parametrize("venue", VENUES)
each_derivative = pytest.mark.parametrize("venue", DERIVATIVES)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture
def there(running: Ground) -> Iterator[Ground]:
    running.calm()
    yield running
    running.calm()


READS: dict[str, Callable[[str], Use]] = {
    "quote": lambda venue: lambda reads: reads.quote(KINDS[venue].symbol),
    "rate": lambda venue: lambda reads: reads.rate(KINDS[venue].settle),
    "clock": lambda venue: lambda reads: reads.clock(),
    "listings": lambda venue: lambda reads: reads.listings(),
    "key": lambda venue: lambda reads: reads.key(),
    "fees": lambda venue: lambda reads: reads.fees(KINDS[venue].symbol),
    "order": lambda venue: lambda reads: reads.order("never-was"),
    "open_orders": lambda venue: lambda reads: reads.open_orders(),
    "history": lambda venue: lambda reads: reads.history(),
    "executions": lambda venue: lambda reads: reads.executions(""),
    "ledger": lambda venue: lambda reads: reads.ledger(""),
    "holdings": lambda venue: lambda reads: reads.holdings(),
}
every_read = pytest.mark.parametrize("name", list(READS))


def of(orders: tuple[ShownOrder, ...], client_id: str) -> ShownOrder:
    (found,) = [one for one in orders if one.report.client_id == client_id]
    return found


def instrument(venue: str, symbol: str = "") -> Instrument:
    (found,) = [one for one in instruments_of(venue) if one.symbol == (symbol or KINDS[venue].symbol)]
    return found


# The market


@each_venue
def test_the_reader_is_what_the_gate_asks_for(there: Ground, venue: str) -> None:
    reads: VenueReads = there.reads(venue)
    assert (reads.venue, reads.account) == (venue, "main")


@each_venue
def test_a_quote_is_the_book_of_now(there: Ground, venue: str) -> None:
    kinds, before = KINDS[venue], now().boot_ns
    quote = there.reading(venue, lambda reads: reads.quote(kinds.symbol))
    # Upbit's listings do not say whether a market takes orders, so that nothing does before its statuses were read (the next test).
    assert (quote.venue, quote.symbol, quote.trading) == (venue, kinds.symbol, venue != "upbit")
    assert before <= quote.boot_ns <= now().boot_ns
    assert is_sound(quote)
    there_price = there.price(venue, kinds.symbol) / instrument(venue).quantum
    assert abs(quote.bid_ticks - there_price) < there_price / 100
    # A spot venue has no mark.
    assert abs(quote.mark_ticks - quote.bid_ticks) < quote.bid_ticks / 100 if venue in DERIVATIVES else quote.mark_ticks == 0
    with pytest.raises(ReadFailed, match="expected one of"):
        there.reading(venue, lambda reads: reads.quote(kinds.other))


@each_venue
def test_a_symbol_that_takes_no_orders_is_told_so_once_the_listings_were_read(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]

    async def trading(reads: LiveReads) -> tuple[bool, bool, dict[str, bool]]:
        listed = {one.symbol: one.trading for one in await reads.listings()}
        return (await reads.quote(kinds.symbol)).trading, (await reads.quote(kinds.second)).trading, listed

    assert there.happen("halt", venue, symbol=kinds.symbol, ms=60_000)
    mine, other, listed = there.reading(venue, trading)
    assert (mine, other) == (False, True)
    assert listed.get(kinds.symbol, False) is False
    assert listed[kinds.second] is True
    assert there.happen("halt", venue, symbol=kinds.symbol, ms=0)
    mine, other, listed = there.reading(venue, trading)
    assert (mine, other, listed[kinds.symbol]) == (True, True, True)


@each_venue
def test_a_rate_is_dollars_for_a_unit_and_says_what_it_was_taken_from(there: Ground, venue: str) -> None:
    currency = KINDS[venue].settle
    rate = there.reading(venue, lambda reads: reads.rate(currency))
    assert (rate.currency, rate.source) == (currency, FxSource.BOOK)
    assert 0 < rate.bid < rate.ask < rate.bid * Decimal("1.01")
    assert venue in rate.name
    assert "as USD" in rate.name
    if venue == "upbit":
        assert abs(1 / rate.ask - there.price(venue, "KRW-USDT")) < 20
    else:
        assert abs(rate.bid - 1) < Decimal("0.001")
    with pytest.raises(ReadFailed, match="expected"):
        there.reading(venue, lambda reads: reads.rate("JPY"))


@each_venue
def test_the_clock_is_an_interval_that_holds_the_truth(there: Ground, venue: str) -> None:
    def sample(skew_ms: int) -> SkewDenial | None:
        assert there.happen("clock_skew", venue, ms=skew_ms)
        found = there.reading(venue, lambda reads: reads.clock())
        low, high = found.interval_ns
        assert low <= skew_ms * MS <= high
        # Wide only where the venue rounds its time to whole seconds.
        assert high - low < (1_600 * MS if venue == "upbit" else 500 * MS)
        window = None if venue == "upbit" else 5 * S
        return skew_denial(found, receive_window_ns=window, now_boot_ns=found.boot_ns, max_age_ns=0)

    assert sample(0) is None
    assert sample(2_000) is (None if venue == "upbit" else SkewDenial.OUTSIDE)
    assert sample(-2_000) is (None if venue == "upbit" else SkewDenial.OUTSIDE)


@each_venue
def test_the_account_s_fee_rates(there: Ground, venue: str) -> None:
    found, true = there.reading(venue, READS["fees"](venue)), instrument(venue).fees
    assert found == FeeRates(true.maker, true.taker)


PUBLISHED = {
    "upbit": (0, 0, 0),
    "binance_usdm": (Decimal("1.05"), Decimal("0.95"), 200),
    "bybit": (0, 0, 500),
}
"""What the simulators publish of orders with their listings; Bybit tells its price limits in its stream, and the number in its documents."""


@each_venue
def test_listings_have_what_the_gate_needs_of_an_instrument(there: Ground, venue: str) -> None:
    found = {one.symbol: one for one in there.reading(venue, lambda reads: reads.listings())}
    assert found.keys() == {one.symbol for one in instruments_of(venue)}
    for true in instruments_of(venue):
        one = found[true.symbol]
        assert (one.base, one.quote, one.kind, one.min_notional, one.trading) == (true.base, true.quote, true.kind, true.min_notional, True)
        assert (one.lot, one.min_lots) == (true.lot, true.min_lots)
        bands = tuple((band.from_price, band.step) for band in true.price_rule.tables[-1].bands)
        assert one.steps == (bands if venue == "upbit" else ())
        assert bool(one.tiers) is (venue in DERIVATIVES)
        assert (one.bid_most, one.ask_least, one.most_open) == PUBLISHED[venue]
        InstrumentFacts(
            venue=venue,
            symbol=one.symbol,
            asset=one.base,
            quote=one.quote,
            kind=one.kind,
            quote_per_tick_lot=one.tick * one.lot,
            asset_per_lot=one.lot,
            tiers=one.tiers,
        )
    for true in instruments_of(venue):
        tiers = [(tier.max_notional, tier.initial, tier.maintenance) for tier in true.margin_tiers]
        ours = true.symbol in (KINDS[venue].symbol, KINDS[venue].second)
        least = 1 / Decimal(20) if ours else Decimal(0)
        assert [(top, kept) for top, _, kept in found[true.symbol].tiers] == [(top, kept) for top, _, kept in tiers]
        # What the leverage of the account asks for, where it was read, and never less than the tier's own.
        assert [initial for _, initial, _ in found[true.symbol].tiers] == [max(initial, least) for _, initial, _ in tiers]
    mine = found[KINDS[venue].symbol]
    assert mine.kind is (Kind.PERPETUAL if venue in DERIVATIVES else Kind.SPOT)


@each_venue
def test_what_is_listed_becomes_known_and_what_is_not_does_not(there: Ground, venue: str) -> None:
    other = KINDS[venue].other

    async def story(reads: LiveReads) -> None:
        with pytest.raises(ReadFailed, match="expected one of"):
            await reads.quote(other)
        with pytest.raises(ReadFailed, match="expected NONE to be listed"):
            await reads.know([other, "NONE"])
        await reads.know([other])
        assert is_sound(await reads.quote(other))

    there.reading(venue, story)


# The account


@each_venue
def test_the_key_is_told_as_far_as_the_venue_tells_it(there: Ground, venue: str) -> None:
    key = there.reading(venue, lambda reads: reads.key())
    assert key == there.reading(venue, lambda reads: reads.key())
    assert key.account
    # Never the key itself, in whole or in part.
    access = there.access(venue).key.access
    assert key.fingerprint == sha256(access.encode()).hexdigest()[:16]
    assert key.fingerprint == there.reads(venue).fingerprint
    rights = (key.trade, key.withdraw, key.transfer, key.address_bound)
    if venue == "upbit":
        assert rights == (None, None, None, None)
        assert (key.position_mode, key.margin_mode) == ("", "cash")
        assert key.expires_wall_ns is not None
        assert key.expires_wall_ns > time.time_ns()
        return
    assert rights == (True, False, False, True)
    assert (key.position_mode, key.margin_mode) == ("one_way", "cross")
    # Bybit tells that a key which is bound to addresses does not end; Binance tells nothing.
    assert key.expires_wall_ns == (0 if venue == "bybit" else None)


@each_venue
@pytest.mark.parametrize("known", [True, False])
def test_one_order_is_found_by_its_id_or_not_known(there: Ground, venue: str, known: bool) -> None:
    kinds = KINDS[venue]
    mine = {there.rest(venue): kinds.symbol, there.rest(venue, kinds.second): kinds.second}
    for name, symbol in mine.items():
        found = there.reading(venue, lambda reads, name=name: reads.order(name), symbol_of=mine.get if known else lambda _: None)  # type: ignore[misc]
        assert found is not None
        assert (found.symbol, found.side, found.report.client_id, found.report.source) == (symbol, Side.BUY, name, "open")
        assert (found.report.state, found.report.filled_lots) == (OrderState.OPEN, 0)
        assert found.open_lots == found.report.lots > 0
        assert found.report.venue_ns > time.time_ns() - 60 * S
    name = next(iter(mine))
    assert there.happen("fill", venue, client_id=name, amount=f"{instrument(venue).lot * 3:f}")
    found = there.reading(venue, lambda reads: reads.order(name), symbol_of=mine.get if known else lambda _: None)
    assert found is not None
    assert (found.report.state, found.report.filled_lots, found.open_lots) == (OrderState.PARTIAL, 3, found.report.lots - 3)
    assert there.happen("fill", venue, client_id=name)
    found = there.reading(venue, lambda reads: reads.order(name))
    assert found is not None
    assert (found.report.state, found.report.code, found.open_lots) == (OrderState.FILLED, "", 0)
    assert there.reading(venue, lambda reads: reads.order("never-was")) is None


@each_venue
def test_an_order_of_an_unknown_symbol_shows_with_a_lot_open(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]
    mine, strange = there.rest(venue), there.rest(venue, kinds.other)
    listed = there.reading(venue, lambda reads: reads.open_orders())
    assert listed.venue_ns > time.time_ns() - 60 * S
    assert of(listed.orders, mine).open_lots == of(listed.orders, mine).report.lots > 1
    found = of(listed.orders, strange)
    assert (found.symbol, found.report.lots, found.open_lots) == (kinds.other, 0, 1)


@each_venue
def test_orders_that_ended_are_the_history(there: Ground, venue: str) -> None:
    resting, filled = there.rest(venue), there.take(venue)
    listed = there.reading(venue, lambda reads: reads.history())
    found = of(listed.orders, filled)
    assert (found.report.state, found.open_lots, found.report.source) == (OrderState.FILLED, 0, "history")
    assert resting not in {one.report.client_id for one in listed.orders}
    assert listed.venue_ns > time.time_ns() - 60 * S


@each_venue
def test_executions_are_told_once_with_their_fee_and_those_after_a_cursor_again_as_they_were(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]
    name = there.rest(venue)
    first = there.reading(venue, lambda reads: reads.executions(""), begins_venue_ns=time.time_ns() - 2 * S)
    for lots in (3, 4):
        assert there.happen("fill", venue, client_id=name, amount=f"{instrument(venue).lot * lots:f}")
    page = there.reading(venue, lambda reads: reads.executions(first.cursor))
    found = [event for event in page.events if isinstance(event, r.Filled) and event.client_id == name]
    true = {each["ticks"]: each for each in there.state(venue)["executions"] if each["client_id"] == name}
    assert sorted(event.lots for event in found) == [3, 4]
    assert len(true) == 1
    for event in found:
        assert (event.venue, event.account, event.symbol, event.side) == (venue, "main", kinds.symbol, Side.BUY)
        assert event.fee > 0
        assert event.fee_currency == kinds.settle
        assert event.trade_id
        # Upbit's lists do not tell who made: it is taken to have taken.
        assert event.liquidity is (Liquidity.TAKER if venue == "upbit" else Liquidity.MAKER)
    assert page.venue_ns > time.time_ns() - 60 * S
    again = there.reading(venue, lambda reads: reads.executions(first.cursor))
    assert [replace_boot(one) for one in again.events] == [replace_boot(one) for one in page.events]
    assert again.cursor == page.cursor


def replace_boot(event: Any) -> Any:
    from msgspec.structs import replace

    return replace(event, boot_ns=0)


@pytest.mark.parametrize("venue", ["upbit", "bybit"])
def test_an_execution_of_a_symbol_that_is_not_ours_is_not_readable(there: Ground, venue: str) -> None:
    since_ns = time.time_ns() - 60 * S
    mine = there.take(venue)
    there.take(venue, KINDS[venue].other)
    page = there.reading(venue, lambda reads: reads.executions(""), begins_venue_ns=since_ns)
    assert page.unreadable
    assert page.cursor == ""
    assert mine in {event.client_id for event in page.events if isinstance(event, r.Filled)}
    # The control: with its instrument it is.
    access = there.access(venue, symbols=tuple(one.symbol for one in instruments_of(venue)))
    page = there.reading(venue, lambda reads: reads.executions(""), access=access)
    assert not page.unreadable
    assert page.cursor


def test_more_executions_than_one_read_shows_are_all_told(there: Ground) -> None:
    many = 110  # Upbit asks for each order by itself, for a hundred of them in one read
    symbols = tuple(one.symbol for one in instruments_of("upbit"))
    since_ns = time.time_ns() - S
    names = {there.take("upbit") for _ in range(many)}
    access = there.access("upbit", symbols=symbols)
    page = there.reading("upbit", lambda reads: reads.executions(""), access=access, begins_venue_ns=since_ns)
    assert not page.unreadable
    assert names <= {event.client_id for event in page.events if isinstance(event, r.Filled)}


@each_derivative
def test_funding_and_transfers_are_the_ledger(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]
    there.take(venue)
    before = there.reading(venue, lambda reads: reads.ledger(""))
    assert there.happen("funding", venue, symbol=kinds.symbol, rate="0.0001")
    assert there.happen("deposit", venue, currency="USDT", amount="250.5")
    page = there.reading(venue, lambda reads: reads.ledger(before.cursor))
    known = {event.venue_id for event in before.events}
    found = {event.kind: event for event in page.events if event.venue_id not in known}
    assert found.keys() >= {r.LedgerKind.FUNDING}
    funding = found.pop(r.LedgerKind.FUNDING)
    assert (funding.symbol, funding.currency, funding.lots) == (kinds.symbol, "USDT", 0)
    assert funding.amount < 0
    (came,) = found.values()
    assert (came.amount, came.currency) == (Decimal("250.5"), "USDT")
    assert not page.unreadable


def test_a_ledger_without_a_time_of_its_own_is_complete_up_to_the_clock(there: Ground) -> None:
    before = there.reading("upbit", lambda reads: reads.ledger(""))
    assert there.happen("deposit", "upbit", currency="KRW", amount="5")
    page = there.reading("upbit", lambda reads: reads.ledger(before.cursor))
    assert [(one.kind, one.currency, one.amount) for one in page.events] == [(r.LedgerKind.DEPOSIT, "KRW", Decimal(5))]
    assert not page.unreadable
    assert time.time_ns() - 3 * S < page.venue_ns <= time.time_ns()


@each_derivative
def test_a_liquidation_is_no_execution_but_an_event_that_moves_the_position(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]
    since = there.reading(venue, lambda reads: reads.executions(""))
    there.take(venue, kinds.second)
    (held,) = [one for one in there.reading(venue, lambda reads: reads.holdings()).positions if one.symbol == kinds.second]
    assert there.happen("liquidation", venue, symbol=kinds.second)
    page = there.reading(venue, lambda reads: reads.executions(since.cursor))
    events = [event for event in page.events if isinstance(event, r.LedgerEvent)]
    assert {(event.kind, event.symbol) for event in events} == {(r.LedgerKind.LIQUIDATION, kinds.second)}
    assert sum(event.lots for event in events) == -held.lots
    assert all(event.ticks > 0 and event.amount <= 0 for event in events)
    assert [event for event in page.events if isinstance(event, r.Filled) and event.symbol == kinds.second], "the control: our own"


@each_venue
def test_holdings_are_what_is_held(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]
    there.take(venue)
    held, true = there.reading(venue, lambda reads: reads.holdings()), there.state(venue)
    balances = {currency: Decimal(one["free"]) + Decimal(one["locked"]) for currency, one in true["balances"].items()}
    assert dict(held.balances) == {currency: amount for currency, amount in balances.items() if amount or currency in dict(held.balances)}
    positions = {one.symbol: one for one in held.positions}
    assert positions.keys() == set(true["positions"])
    if venue in DERIVATIVES:
        mine = positions[kinds.symbol]
        assert instrument(venue).quantity(mine.lots) == Decimal(true["positions"][kinds.symbol])
        assert abs(mine.entry_price / there.price(venue, kinds.symbol) - 1) < Decimal("0.05")
    assert time.time_ns() - 3 * S < held.venue_ns <= time.time_ns()


@each_derivative
def test_a_position_in_an_unknown_symbol_is_told_as_a_lot(there: Ground, venue: str) -> None:
    there.take(venue, KINDS[venue].other)
    held = {one.symbol: one for one in there.reading(venue, lambda reads: reads.holdings()).positions}
    assert held[KINDS[venue].other].lots == 1
    assert held[KINDS[venue].other].entry_price > 0


@each_venue
def test_the_gate_makes_a_consistent_cut_of_an_account_and_finds_it_explained(there: Ground, venue: str) -> None:
    listed = instruments_of(venue)
    access = there.access(venue, symbols=tuple(one.symbol for one in listed))
    worths = {
        (venue, one.symbol): Worth(
            currency=one.quote, tick_lot=one.quantum * one.lot, base=one.base, lot=one.lot, spot=one.kind is Kind.SPOT
        )
        for one in listed
    }
    there.rest(venue)

    async def story(b: Bench, reads: LiveReads) -> None:
        watch = AccountWatch(b.keeper, venue, "main", ("demo",), now)
        cuts = Reconciler(b.keeper, watch, reads, Managed(tags=("demo",), worths=worths), now)
        await watch.begin(reads)
        await watch.catch_up(reads)
        snapshot = await cuts.first_cut()
        assert snapshot is not None
        assert dict(snapshot.balances)
        assert snapshot.open_orders
        assert bool(snapshot.positions) is bool(there.state(venue)["positions"])

    with bench() as b:
        there.reading(venue, lambda reads: story(b, reads), access=access)


# What goes wrong


@each_venue
@every_read
@pytest.mark.parametrize("fault", ["reset_before", "error_without_accepting", "garbage"])
def test_a_read_without_a_usable_answer_fails_and_the_next_goes_on(there: Ground, venue: str, name: str, fault: str) -> None:
    use = READS[name](venue)

    async def story(reads: LiveReads) -> None:
        await use(reads)
        there.happen(fault, venue)
        with pytest.raises(ReadFailed) as failed:
            await use(reads)
        assert not failed.value.limited
        await use(reads)

    before = there.count(fault)
    there.reading(venue, story, begins_venue_ns=time.time_ns())
    assert there.count(fault) == before + 1


@each_venue
@pytest.mark.parametrize("name", ["quote", "key", "holdings"])
def test_a_late_answer_fails_the_read_and_is_not_taken_for_another(there: Ground, venue: str, name: str) -> None:
    use = READS[name](venue)
    access = there.access(venue, timeout_ns=1_200 * MS)  # no wait for a limit is longer

    async def story(reads: LiveReads) -> None:
        there.happen("late_ack", venue, ms=1_500)
        with pytest.raises(ReadFailed, match="no answer within"):
            await use(reads)
        for _ in range(2):
            await use(reads)

    there.reading(venue, story, access=access, lists_ns=1_200 * MS)


@each_venue
@pytest.mark.parametrize(("fault", "spends"), [("rate_limited", [Spend.READ]), ("ban", list(Spend))])
def test_a_limit_stops_reads_without_a_byte_and_a_ban_everything(there: Ground, venue: str, fault: str, spends: list[Spend]) -> None:
    access = there.access(venue)

    async def story(reads: LiveReads) -> None:
        await reads.open_orders()
        there.happen(fault, venue, verb="read", ms=700)
        with pytest.raises(ReadFailed) as failed:
            await reads.open_orders()
        assert failed.value.limited
        assert failed.value.retry_after_ns > 0
        there.calm()
        boot_ns = now().boot_ns
        assert [spend for spend in Spend if reads.meter.refused_ns(spend, boot_ns)] == spends
        # The venue would answer again, but is left alone until the time that it named.
        there.happen("reset_before", venue, verb="read")
        with pytest.raises(ReadFailed, match="left alone") as again:
            await reads.open_orders()
        assert again.value.limited
        assert 0 < again.value.retry_after_ns <= failed.value.retry_after_ns

    before = there.count("reset_before")
    there.reading(venue, story, access=access)
    assert there.count("reset_before") == before
    there.calm()
    # The control: whoever was not refused asks.
    there.reading(venue, lambda reads: reads.open_orders())


@each_venue
def test_reads_share_a_meter_with_whoever_else_asks(there: Ground, venue: str) -> None:
    metering = metering_of(venue)
    meter = Meter(metering.limits, GATE)
    access = there.access(venue)
    other = LiveAccess(
        venue, "main", access.reads, access.hosts, access.key, now, lambda: "", timeout_ns=S, receive_window_ns=S, meter=meter
    )
    assert other.meter is meter
    boot_ns = now().boot_ns
    assert there.reading(venue, lambda reads: reads.clock(), access=other).venue_ns > 0
    assert sum(used for used, _ in meter.standing(now().boot_ns).values()) > 0
    meter.refused(Spend.PLACE, 60 * S, boot_ns)
    with pytest.raises(ReadFailed, match="left alone"):
        there.reading(venue, lambda reads: reads.clock(), access=other)


@each_venue
def test_a_read_that_finds_no_room_in_its_time_says_for_how_long(there: Ground, venue: str) -> None:
    access = there.access(venue)
    for limit in metering_of(venue).limits:
        access.meter.spent({limit.name: limit.units}, now().boot_ns)

    async def story(reads: LiveReads) -> ReadFailed:
        with pytest.raises(ReadFailed) as failed:
            await reads.open_orders()
        return failed.value

    # Where windows are of a second a read waits and is answered; so it is given less time than that.
    failed = there.reading(venue, story, access=access, lists_ns=300 * MS if venue != "upbit" else 100 * MS)
    assert "no room" in failed.reason
    assert 0 < failed.retry_after_ns <= 60 * S
    assert not failed.limited


@each_venue
def test_a_key_that_is_not_taken_fails_and_what_is_public_goes_on(there: Ground, venue: str) -> None:
    access = there.access(venue, secret="not-the-secret-of-this-key")
    with pytest.raises(ReadFailed, match="INVALID_KEY"):
        there.reading(venue, lambda reads: reads.holdings(), access=access)
    assert is_sound(there.reading(venue, lambda reads: reads.quote(KINDS[venue].symbol), access=access))


@each_venue
def test_reads_at_the_same_time_do_not_disturb_each_other(there: Ground, venue: str) -> None:
    async def story(reads: LiveReads) -> None:
        uses = [READS[name](venue) for name in READS if name != "listings"]
        found = await asyncio.gather(*(use(reads) for use in uses * 2))
        assert len(found) == 2 * len(uses)
        # One that is given up takes nothing with it.
        given_up = asyncio.ensure_future(reads.executions(""))
        others = [asyncio.ensure_future(use(reads)) for use in uses]
        await asyncio.sleep(0.001)
        given_up.cancel()
        await asyncio.gather(*others)
        with pytest.raises(asyncio.CancelledError):
            await given_up

    there.reading(venue, story, access=there.access(venue, timeout_ns=30 * S), begins_venue_ns=time.time_ns())


@each_venue
def test_a_reader_that_was_closed_opens_anew(there: Ground, venue: str) -> None:
    async def story(reads: LiveReads) -> None:
        await reads.open_orders()
        reads.close()
        await reads.open_orders()

    there.reading(venue, story)


def test_what_the_wallet_answers_is_asked_of_its_own_host(there: Ground) -> None:
    access = there.access("binance_usdm")
    assert isinstance(access.hosts, Hosts)
    nobody = replace(access.hosts.rest, port=1)
    lost = LiveAccess(
        "binance_usdm",
        "main",
        access.reads,
        replace(access.hosts, wallet=nobody),
        access.key,
        now,
        lambda: "",
        timeout_ns=S,
        receive_window_ns=5 * S,
    )
    with pytest.raises(ReadFailed, match=":1: "):
        there.reading("binance_usdm", lambda reads: reads.key(), access=lost)
    assert there.reading("binance_usdm", lambda reads: reads.open_orders(), access=lost) is not None
    # The other way round: only the wallet is left.
    only = LiveAccess(
        "binance_usdm",
        "main",
        access.reads,
        replace(access.hosts, rest=nobody),
        access.key,
        now,
        lambda: "",
        timeout_ns=S,
        receive_window_ns=5 * S,
    )
    with pytest.raises(ReadFailed, match=":1: "):
        there.reading("binance_usdm", lambda reads: reads.key(), access=only)


# What the venues' words are


ORDER = OrderSeen(
    symbol="BTCUSDT",
    client_id="a",
    venue_order_id="1",
    side=Side.SELL,
    ticks=7,
    lots=10,
    filled_lots=4,
    state=OrderState.CANCELLED,
    end=End.POST_ONLY,
    reduce_only=False,
    venue_ns=5,
)
FILL = FillSeen(
    symbol="BTCUSDT",
    trade_id="t",
    client_id="a",
    venue_order_id="1",
    side=Side.SELL,
    ticks=7,
    lots=3,
    liquidity=Liquidity.MAKER,
    fee=Decimal("-0.5"),
    fee_currency="USDT",
    kind=FillKind.TRADE,
    venue_ns=5,
)
EVENT = LedgerSeen(kind="funding", venue_id="e", currency="USDT", amount=Decimal("-1.5"), symbol="BTCUSDT", venue_ns=5)


def test_an_order_is_told_with_why_it_is_over() -> None:
    found = shown(ORDER, "stream", 9)
    assert found is not None
    assert found.report == r.Reported(
        boot_ns=9,
        client_id="a",
        venue_order_id="1",
        state=OrderState.CANCELLED,
        filled_lots=4,
        lots=10,
        source="stream",
        code="post_only",
        venue_ns=5,
    )
    assert (found.side, found.ticks, found.open_lots) == (Side.SELL, 7, 0)


@pytest.mark.parametrize(
    "instead",
    [
        {"symbol": ""},
        {"lots": -1},
        {"lots": 10**18},
        {"filled_lots": -1},
        {"ticks": -1},
        {"venue_ns": -1},
        {"client_id": "x" * (LONGEST_TEXT + 1)},
        {"venue_order_id": "x" * (LONGEST_TEXT + 1)},
    ],
    ids=str,
)
def test_an_order_that_makes_no_sense_is_none(instead: dict[str, Any]) -> None:
    assert shown(replace(ORDER, **instead), "open", 1) is None


@pytest.mark.parametrize("kind", [FillKind.LIQUIDATION, FillKind.ADL, FillKind.SETTLEMENT])
def test_what_the_venue_itself_made_moves_the_position_by_its_own_kind(kind: FillKind) -> None:
    found = told(replace(FILL, kind=kind), "bybit", "main", 9)
    assert isinstance(found, r.LedgerEvent)
    assert (found.kind, found.symbol, found.lots, found.ticks) == (r.LedgerKind(kind.value), "BTCUSDT", -3, 7)
    assert (found.amount, found.currency, found.venue_ns) == (Decimal("0.5"), "USDT", 5)
    trade = told(FILL, "bybit", "main", 9)
    assert isinstance(trade, r.Filled)
    assert (trade.fee, trade.lots, trade.side, trade.liquidity) == (Decimal("-0.5"), 3, Side.SELL, Liquidity.MAKER)


@pytest.mark.parametrize(
    "instead",
    [
        {"lots": 0},
        {"ticks": 0},
        {"lots": 10**18},
        {"trade_id": ""},
        {"symbol": ""},
        {"fee_currency": ""},
        {"fee": Decimal("NaN")},
        {"fee": Decimal("1E+99")},
        {"fee": Decimal("1E-99")},
        {"venue_ns": -1},
        {"trade_id": "x" * (LONGEST_TEXT + 1)},
    ],
    ids=str,
)
def test_an_execution_that_makes_no_sense_is_none(instead: dict[str, Any]) -> None:
    assert told(replace(FILL, **instead), "bybit", "main", 1) is None


@pytest.mark.parametrize("kind", [kind for kind in r.LedgerKind if kind is not r.LedgerKind.FOREIGN])
def test_a_ledger_event_is_told_by_its_kind(kind: r.LedgerKind) -> None:
    found = entered(replace(EVENT, kind=kind.value), "bybit", "main", 9)
    assert found is not None
    assert (found.kind, found.venue_id, found.amount, found.currency, found.symbol) == (kind, "e", Decimal("-1.5"), "USDT", "BTCUSDT")


@pytest.mark.parametrize(
    "instead",
    [{"kind": "foreign"}, {"kind": "else"}, {"venue_id": ""}, {"currency": ""}, {"amount": Decimal("Infinity")}, {"venue_ns": -1}],
    ids=str,
)
def test_a_ledger_event_that_makes_no_sense_is_none(instead: dict[str, Any]) -> None:
    assert entered(replace(EVENT, **instead), "bybit", "main", 1) is None


def test_an_amount_has_no_more_digits_than_money() -> None:
    assert is_amount(Decimal("1E+30"))
    assert not is_amount(Decimal("1E+31"))
    assert is_amount(Decimal("1E-30"))
    assert not is_amount(Decimal("1E-31"))
    assert not is_amount(Decimal("sNaN"))
