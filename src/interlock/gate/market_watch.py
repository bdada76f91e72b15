"""Reading the markets: the gate's own quotes, rates, venue clocks and the rules of every instrument, taken into `Readings`.

A read that fails takes nothing in; what it would have told goes stale and denies by itself. The rules of an instrument are held against those that
the gate began with. A change ends the grant of that instrument, by name. Where its unit of price or size has changed, all that the journal holds of
it is in the old unit, so it is neither quoted nor armed again before the gate has been started anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Context, Decimal
from fractions import Fraction
from functools import partial

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.instruments import Kind
from interlock.gate import references as refs
from interlock.gate.clock_watch import SkewSample
from interlock.gate.exposure import PICO, InstrumentFacts, Place, universe_of, valuation_of
from interlock.gate.limit_sheet import Limits
from interlock.gate.profit import Worth
from interlock.gate.readings import Now, Readings
from interlock.gate.records import Disarmed
from interlock.gate.references import DOLLAR, References
from interlock.gate.venue_bounds import Published
from interlock.gate.venue_reads import Listing, ReadFailed, VenuePrices, VenueReads
from interlock.venues.live import Stale

EVERY_NS = 100 * NS_PER_MS
"""Between the beginnings of two rounds of one venue: at most ten a second."""
RATES_EVERY_NS = NS_PER_S
"""Rates move slowly; where the sheet wants them fresher than four times this, they are read four times as often as it wants."""
CLOCK_EVERY_NS = 2 * NS_PER_S
METADATA_EVERY_NS = 30 * NS_PER_S
METADATA_READS_MISSED = 4
"""After so many times without an answer nobody knows whether the rules are still those that the grant is for."""
LEAST_PAUSE_NS = NS_PER_S
"""How long a venue is left alone that refused because of the rate and did not say for how long."""

_EXACT = Context(prec=400, traps=[])
_LARGEST_EXPONENT = 60
"""Numbers beyond this many digits before or after the point are no amounts, and would take long to reckon with."""
_NEVER_NS = -(1 << 62)


# What an instrument is


def metadata_hash(listing: Listing) -> str:
    """SHA-256, hexadecimal, over what prices and sizes of an order depend on. Whether it trades is no part, nor how a number is written."""
    parts = (
        "2",
        listing.symbol,
        listing.base,
        listing.quote,
        str(listing.kind),
        _plain(listing.tick),
        _plain(listing.lot),
        str(listing.min_lots),
        _plain(listing.min_notional),
        [[_plain(part) for part in tier] for tier in listing.tiers],
        [[_plain(part) for part in step] for step in listing.steps],
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _plain(value: Decimal) -> str:
    """One text for one value, without rounding and without writing zeros out."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return str(value)
    text = "".join(map(str, digits)).lstrip("0")
    shorter = text.rstrip("0")
    return f"{'-' if sign else ''}{shorter}e{exponent + len(text) - len(shorter)}" if shorter else "0"


def listing_facts(venue: str, listing: Listing) -> InstrumentFacts:
    """What valuing needs to know. Raises ValueError for a tick, lot or tier that is no positive number, or a perpetual without tiers."""
    numbers = (listing.tick, listing.lot, *(part for tier in listing.tiers for part in tier))
    if not all(map(_is_amount, numbers)):
        raise ValueError(f"instrument {venue}:{listing.symbol}: expected amounts, found {', '.join(map(str, numbers))}; leave it out")
    return InstrumentFacts(
        venue=venue,
        symbol=listing.symbol,
        asset=listing.base,
        quote=listing.quote,
        kind=listing.kind,
        quote_per_tick_lot=_EXACT.multiply(listing.tick, listing.lot),
        asset_per_lot=listing.lot,
        tiers=listing.tiers if listing.kind is Kind.PERPETUAL else (),
    )


def listing_worth(listing: Listing) -> Worth:
    """What its ticks and lots are worth in money. Raises ValueError for a tick or lot that is no positive amount."""
    if not (_is_amount(listing.tick) and _is_amount(listing.lot) and listing.tick > 0 and listing.lot > 0):
        raise ValueError(
            f"instrument {listing.symbol}: expected a positive tick and lot, found {listing.tick} and {listing.lot}; leave it out"
        )
    return Worth(
        currency=listing.quote,
        tick_lot=_EXACT.multiply(listing.tick, listing.lot),
        base=listing.base,
        lot=listing.lot,
        spot=listing.kind is Kind.SPOT,
    )


def hashes_of(listings: Mapping[Place, Listing]) -> tuple[tuple[str, str, str], ...]:
    """(venue, symbol, hash) of each, as a grant is bound to them."""
    return tuple((venue, symbol, metadata_hash(listings[venue, symbol])) for venue, symbol in sorted(listings))


def minimums(listings: Mapping[Place, Listing], references: References) -> dict[str, Decimal]:
    """By "venue/symbol": the smallest order that the venue takes, USD: its lots reckoned at the bid, worth what the ask and the dearest rate say.

    Left out where a quote, a rate or a number that makes sense is missing. How old they are is for the caller to ask.
    """
    found = {}
    for (venue, symbol), listing in sorted(listings.items()):
        reference, valuation = references.references.get((venue, symbol)), references.valuations.get((venue, symbol))
        if reference is None or valuation is None or not refs.is_sound(reference.quote):
            continue
        numbers = (listing.tick, listing.lot, listing.min_notional)
        if not all(map(_is_amount, numbers)) or not (listing.tick > 0 and listing.lot > 0):
            continue
        per_tick_lot = Fraction(listing.tick) * Fraction(listing.lot)
        by_value = math.ceil(Fraction(listing.min_notional) / (per_tick_lot * reference.quote.bid_ticks))
        value = per_tick_lot * reference.quote.ask_ticks * max(by_value, listing.min_lots, 1) * valuation.high_pico_usd / PICO
        found[f"{venue}/{symbol}"] = _EXACT.scaleb(Decimal(math.ceil(value * 1_000_000)), -6)
    return found


def _is_amount(value: Decimal) -> bool:
    return value.is_finite() and value >= 0 and abs(value.adjusted()) <= _LARGEST_EXPONENT


# Reading


class Round(msgspec.Struct, frozen=True):
    """What did not come of a round: (what was asked, why it failed)."""

    failures: tuple[tuple[str, ReadFailed], ...] = ()


class _Times(msgspec.Struct):
    """When a venue was last asked for what; CLOCK_BOOTTIME."""

    busy: bool = False
    reading_rules: bool = False
    begun_ns: int = _NEVER_NS
    quiet_until_ns: int = _NEVER_NS
    rates_ns: int = _NEVER_NS
    clock_ns: int = _NEVER_NS
    metadata_ns: int = _NEVER_NS
    metadata_known_ns: int = _NEVER_NS


class MarketWatch:
    """Keeps the markets of every venue fresh in `readings`; all of it belongs to one event loop.

    `listings` are those that the universe of `readings.references` was made of. `more_currencies` are asked of a venue besides those that its
    instruments are quoted in: what fees are paid in. `take` is given the record of every change of an instrument's rules. `skews` holds the last
    sample of each venue's clock, `listings` what each venue said last of the configured instruments. `rounds_every_ns` is by venue, where its limits
    do not bear a round every `EVERY_NS`. `prices` is by venue, where it tells its prices by itself: there quotes are asked for only as those say.
    """

    def __init__(
        self,
        readings: Readings,
        limits: Limits,
        listings: Mapping[Place, Listing],
        *,
        clock: Callable[[], Now],
        take: Callable[[Disarmed], object],
        more_currencies: Mapping[str, Iterable[str]] | None = None,
        metadata_every_ns: int = METADATA_EVERY_NS,
        rounds_every_ns: Mapping[str, int] | None = None,
        prices: Mapping[str, VenuePrices] | None = None,
    ) -> None:
        self._readings = readings
        self._limits = limits
        self._clock = clock
        self._take = take
        self._metadata_every_ns = metadata_every_ns
        self._rounds_every_ns = {} if rounds_every_ns is None else dict(rounds_every_ns)
        self._more_currencies = {} if more_currencies is None else dict(more_currencies)
        self._prices = {} if prices is None else dict(prices)
        self._first = dict(listings)
        self._hashes = {place: metadata_hash(listing) for place, listing in listings.items()}
        self._unlisted: set[Place] = set()
        """Taken out of the binding because the venue no longer lists them."""
        self._out: dict[Place, str] = {}
        self._times: dict[str, _Times] = {}
        self.listings = dict(listings)
        self.skews: dict[str, SkewSample] = {}

    def due(self, venue: str, boot_ns: int) -> bool:
        """Whether a round of a venue would ask anything now: none is under way, the last began long enough ago, and the venue wants to be asked."""
        times = self._of(venue)
        every_ns = self._rounds_every_ns.get(venue, EVERY_NS)
        return not times.busy and boot_ns - times.begun_ns >= every_ns and not self.left_alone(venue, boot_ns)

    def left_alone(self, venue: str, boot_ns: int) -> bool:
        """Whether a venue has said that it wants to be asked nothing yet."""
        return boot_ns < self._of(venue).quiet_until_ns

    async def round(self, reads: VenueReads) -> Round:
        """Ask a venue for the quotes, rates and the time that are due, each answer taken in as it comes; nothing when no round is due.

        Cancelling it loses what had not been answered, and nothing else. What a read raises besides ReadFailed comes out in an ExceptionGroup.
        """
        now = self._clock().boot_ns
        if not self.due(reads.venue, now):
            return Round()
        times = self._of(reads.venue)
        times.busy, times.begun_ns = True, now
        failures: list[tuple[str, ReadFailed]] = []
        try:
            async with asyncio.TaskGroup() as group:
                for name, read in self._reads_due(reads, times, now):
                    group.create_task(self._one(times, name, read, failures))
        finally:
            times.busy = False
        return Round(tuple(failures))

    async def rules(self, reads: VenueReads) -> Round:
        """Ask a venue for the rules of its instruments when they are due; beside the rounds, because a long list may wait for room in its limits."""
        now, times = self._clock().boot_ns, self._of(reads.venue)
        if times.reading_rules or now - times.metadata_ns < self._metadata_every_ns or self.left_alone(reads.venue, now):
            return Round()
        times.reading_rules, times.metadata_ns = True, now
        failures: list[tuple[str, ReadFailed]] = []
        try:
            await self._one(times, "listings", partial(self._metadata, reads, times), failures)
        finally:
            times.reading_rules = False
        return Round(tuple(failures))

    def hear(self, venue: str) -> None:
        """Take in the prices that a venue has told by itself; to be called at most ten times a second."""
        prices = self._prices[venue]
        for place in self._first:
            if place[0] == venue:
                if (limits := prices.limits(place[1])) is not None:
                    self._readings.price_limits[place] = limits
                told, known = prices.quote(place[1]), self._readings.references.references.get(place)
                if isinstance(told, refs.Quote) and (known is None or told.boot_ns > known.quote.boot_ns):
                    self._take_quote(place, told)

    def problem(self, place: Place, boot_ns: int) -> str:
        """Why an instrument's market cannot be relied on now; empty if it can."""
        out = self._out.get(place)
        if out is not None:
            return out
        symbol = self._limits.sheet.symbols.get(f"{place[0]}:{place[1]}")
        if symbol is None:
            return "no limits for it"
        age, most = boot_ns - self._of(place[0]).metadata_known_ns, METADATA_READS_MISSED * self._metadata_every_ns
        if not 0 <= age <= most:
            return f"its rules were not read within {most} ns"
        problem = refs.quote_problem(self._readings.references, symbol, place, boot_ns)
        if not problem and self._readings.references.references[place].quote.halted is not False:
            # What rests while a market stands still meets the price at which it opens again.
            problem = "the venue says that it takes no orders for it"
        told = self._prices[place[0]].quote(place[1]) if problem and place[0] in self._prices else None
        return f"{problem}; the stream: {told.reason}" if isinstance(told, Stale) else problem

    def problems(self, boot_ns: int) -> dict[str, str]:
        """By "venue/symbol", for every configured instrument: `problem`."""
        return {f"{venue}/{symbol}": self.problem((venue, symbol), boot_ns) for venue, symbol in self._first}

    def minimums(self, boot_ns: int) -> dict[str, Decimal]:
        """`minimums` of the instruments whose market and rate can be relied on now."""
        known = self._readings.references
        good = {
            place: listing
            for place, listing in self.listings.items()
            if not self.problem(place, boot_ns) and not refs.rate_problem(known, self._limits.sheet, listing.quote, boot_ns)
        }
        return minimums(good, known)

    def _of(self, venue: str) -> _Times:
        return self._times.setdefault(venue, _Times())

    def _reads_due(self, reads: VenueReads, times: _Times, now: int) -> Iterable[tuple[str, Callable[[], Awaitable[None]]]]:
        for place in self._first:
            if place[0] == reads.venue and (reads.venue not in self._prices or self._prices[reads.venue].asks(place[1])):
                yield f"quote of {place[1]}", partial(self._quote, reads, place[1])
        currencies = self._currencies(reads.venue)
        fresh = [self._limits.sheet.currencies[one].freshness_rate_ns // 4 for one in currencies]
        if currencies and now - times.rates_ns >= min(RATES_EVERY_NS, *fresh):
            times.rates_ns = now
            for currency in currencies:
                yield f"rate of {currency}", partial(self._rate, reads, currency)
        if now - times.clock_ns >= CLOCK_EVERY_NS:
            times.clock_ns = now
            yield "clock", partial(self._sample, reads)

    def _currencies(self, venue: str) -> list[str]:
        facts = self._readings.references.universe.facts
        wanted = {one.quote for place, one in facts.items() if place[0] == venue} | set(self._more_currencies.get(venue, ()))
        return sorted(code for code in wanted if code != DOLLAR and code in self._limits.sheet.currencies)

    async def _one(self, times: _Times, name: str, read: Callable[[], Awaitable[None]], failures: list[tuple[str, ReadFailed]]) -> None:
        try:
            await read()
        except ReadFailed as error:
            failures.append((name, error))
            if error.limited or (error.retry_after_ns > 0 and not error.unasked):
                pause = max(error.retry_after_ns, LEAST_PAUSE_NS)
                times.quiet_until_ns = max(times.quiet_until_ns, self._clock().boot_ns + pause)

    # From here on nothing is awaited between an answer and what it changes.

    async def _quote(self, reads: VenueReads, symbol: str) -> None:
        quote = await reads.quote(symbol)
        if reads.venue in self._prices:
            self._prices[reads.venue].take(quote)
        self._take_quote((reads.venue, symbol), quote)

    def _take_quote(self, place: Place, quote: refs.Quote) -> None:
        # One from ahead of our clock would keep out all that come after it.
        if (quote.venue, quote.symbol) == place and place not in self._out and quote.boot_ns <= self._clock().boot_ns:
            self._readings.references = refs.with_quote(self._readings.references, self._limits.sheet, quote)

    async def _rate(self, reads: VenueReads, currency: str) -> None:
        rate = await reads.rate(currency)
        if rate.currency == currency and rate.boot_ns <= self._clock().boot_ns:
            self._readings.references = refs.with_rate(self._readings.references, self._limits.sheet, rate)

    async def _sample(self, reads: VenueReads) -> None:
        self.skews[reads.venue] = await reads.clock()

    async def _metadata(self, reads: VenueReads, times: _Times) -> None:
        asked_ns = self._clock().boot_ns
        told = await reads.listings()
        times.metadata_known_ns = asked_ns
        for place in self._first:
            if place[0] == reads.venue:
                mine = [one for one in told if one.symbol == place[1]]
                self._publish(place, mine, asked_ns)
                self._compare(place, mine)

    def _publish(self, place: Place, told: list[Listing], asked_ns: int) -> None:
        """Keep what the venue publishes of its orders there. Of one that is not listed, or is listed twice, nothing is known; nor where it makes no
        sense."""
        self._readings.published.pop(place, None)
        if len(told) == 1 and _is_amount(told[0].bid_most) and _is_amount(told[0].ask_least) and told[0].most_open >= 0:
            self._readings.published[place] = Published(told[0].bid_most, told[0].ask_least, told[0].most_open, asked_ns)

    def _compare(self, place: Place, told: list[Listing]) -> None:
        """Hold an instrument's rules against those known. One that is not listed, or is listed in two ways, has none."""
        hashes = {metadata_hash(one) for one in told}
        listing = told[0] if len(hashes) == 1 else None
        now_hash = "" if listing is None else hashes.pop()
        if listing is None:
            self.listings.pop(place, None)
        else:
            self.listings[place] = listing
        binding = self._readings.binding
        bound = {(venue, symbol): known for venue, symbol, known in binding.symbols}
        if now_hash == self._hashes[place] and bound.get(place, now_hash) == now_hash:
            return
        self._hashes[place] = now_hash
        if place in bound or place in self._unlisted:
            self._bind(place, now_hash, bound)
        self._judge(place, listing)
        name = f"{place[0]}/{place[1]}"
        self._take(Disarmed(boot_ns=self._clock().boot_ns, reason="metadata changed", actor="gate", symbol=name))

    def _bind(self, place: Place, now_hash: str, bound: dict[Place, str]) -> None:
        """What is true now, so that a grant that was minted for something else no longer fits."""
        if now_hash:
            bound[place] = now_hash
            self._unlisted.discard(place)
        else:
            bound.pop(place, None)
            self._unlisted.add(place)
        symbols = tuple((*at, known) for at, known in sorted(bound.items()))
        self._readings.binding = msgspec.structs.replace(self._readings.binding, symbols=symbols)

    def _judge(self, place: Place, listing: Listing | None) -> None:
        """Take new margin tiers into the valuation, or the instrument out if its unit is not the one that the gate began with."""
        known = self._readings.references
        universe = None
        if listing is not None and _unit(listing) == _unit(self._first[place]):
            try:
                facts = listing_facts(place[0], listing)
                universe = universe_of({**known.universe.facts, place: facts}.values())
            except ValueError:
                universe = None  # rules that make no sense are none
        if universe is None:
            self._out[place] = "its rules are not those that the gate began with; look at them, and start the gate anew if they stay"
            kept = {at: one for at, one in known.references.items() if at != place}
            self._readings.references = References(known.universe, kept, known.rates, known.valuations)
            return
        self._out.pop(place, None)
        valuations = dict(known.valuations)
        old = valuations.get(place)
        if old is not None:
            valuations[place] = valuation_of(universe.facts[place], old.low_pico_usd, old.high_pico_usd)
        self._readings.references = References(universe, known.references, known.rates, valuations)


def _unit(listing: Listing) -> tuple[str, str, str, str, str]:
    return listing.base, listing.quote, str(listing.kind), _plain(listing.tick), _plain(listing.lot)
