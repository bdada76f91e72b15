"""The gate's own prices in a replay: our books, read ten times a second of the replay's time, as a live gate reads its venues.

What a live gate reads comes over a connection of its own and a moment later; here it is what our feed has shown. Between two reads nothing is known,
and where nothing happens for long the book counts as read all the while. What the tape does not hold is taken as follows: the market stood still
before it begins, and the dollar is worth what the configuration says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from interlock.domain.fx import FxSource
from interlock.domain.instruments import Instrument
from interlock.gate import references as refs
from interlock.gate.exposure import Place
from interlock.gate.limit_sheet import LimitSheet, Symbol
from interlock.gate.market_watch import EVERY_NS, RATES_EVERY_NS
from interlock.gate.readings import Readings
from interlock.gate.references import DOLLAR, Quote, Rate, Reference
from interlock.simulate.layout import World

UsdPer = Callable[[], Decimal | None]
"""What one unit of a currency is worth in US dollars now; None while the tape has not shown it."""


class Prices:
    """Keeps `readings.references` as a gate would that reads our books. `usd` is by currency."""

    def __init__(
        self, world: World, instruments: Sequence[Instrument], readings: Readings, sheet: LimitSheet, usd: Mapping[str, UsdPer]
    ) -> None:
        self._world = world
        self._readings = readings
        self._sheet = sheet
        self._usd = dict(usd)
        self._places: list[tuple[int, Place, Symbol]] = [
            (k, (one.venue, one.symbol), sheet.symbols[one.key]) for k, one in enumerate(instruments)
        ]
        freshest = [sheet.currencies[one].freshness_rate_ns // 4 for one in self._usd]
        self._rates_every_ns = min([RATES_EVERY_NS, *freshest])
        self._last_ns: int | None = None
        self._rates_ns: int | None = None
        self.unseen: set[Place] = {place for _, place, _ in self._places}
        """Instruments of which no sound book was read yet."""

    def due(self, now_ns: int) -> bool:
        """Whether a round of reads is due."""
        return self._last_ns is None or now_ns - self._last_ns >= EVERY_NS

    def read(self, now_ns: int) -> int:
        """The rounds up to now, of which only the last is kept, since nothing has happened between them; returns its time.

        To be called before what happens now is known.
        """
        first = now_ns if self._last_ns is None else self._last_ns + EVERY_NS
        last = first + (now_ns - first) // EVERY_NS * EVERY_NS
        self._last_ns = last
        for k, place, symbol in self._places:
            self._quote(k, place, symbol, first)
            if last > first:
                self._still(place, symbol, last)
        self._rates(last)
        return last

    def first_sight(self, now_ns: int) -> None:
        """Read the instruments that no round has seen yet: a gate that is there before a market opens sees its first book."""
        for k, place, symbol in self._places:
            if place in self.unseen:
                self._quote(k, place, symbol, now_ns)
        self._rates(now_ns)

    def top(self, k: int) -> tuple[int, int]:
        """(bid, ask) of an instrument as our side knows it, ticks."""
        book = self._world.books[k]
        return int(book["bid_ticks"]), int(book["ask_ticks"])

    def _quote(self, k: int, place: Place, symbol: Symbol, at_ns: int) -> None:
        book = self._world.books[k]
        quote = Quote(
            venue=place[0],
            symbol=place[1],
            bid_ticks=int(book["bid_ticks"]),
            ask_ticks=int(book["ask_ticks"]),
            mark_ticks=int(book["mark_twice"]) // 2,
            trading=bool(book["trading"]),
            boot_ns=at_ns,
        )
        readings = self._readings
        if place not in self.unseen:
            readings.references = refs.with_quote(readings.references, self._sheet, quote)
        elif refs.is_sound(quote):
            self.unseen.discard(place)
            twice, since_ns = quote.bid_ticks + quote.ask_ticks, at_ns - symbol.drift_window_ns
            self._put(place, Reference(quote, since_ns, twice, twice, ((since_ns, twice),)))

    def _still(self, place: Place, symbol: Symbol, at_ns: int) -> None:
        """The last quote read again until a time, with nothing missed on the way."""
        known = self._readings.references.references.get(place)
        if known is None or at_ns <= known.quote.boot_ns:
            return
        quote = Quote(
            venue=place[0],
            symbol=place[1],
            bid_ticks=known.quote.bid_ticks,
            ask_ticks=known.quote.ask_ticks,
            mark_ticks=known.quote.mark_ticks,
            trading=known.quote.trading,
            boot_ns=at_ns,
        )
        begin, samples = at_ns - symbol.drift_window_ns, known.samples
        while len(samples) > 1 and samples[1][0] <= begin:
            samples = samples[1:]
        prices = [price for _, price in samples] or [0]
        self._put(place, Reference(quote, known.steady_since_boot_ns, min(prices), max(prices), samples))

    def _put(self, place: Place, reference: Reference) -> None:
        known = self._readings.references
        self._readings.references = refs.References(known.universe, {**known.references, place: reference}, known.rates, known.valuations)

    def _rates(self, at_ns: int) -> None:
        missing = [one for one in self._usd if one not in self._readings.references.rates]
        if self._rates_ns is not None and at_ns - self._rates_ns < self._rates_every_ns and not missing:
            return
        self._rates_ns = at_ns
        for currency, usd_per in self._usd.items():
            value = usd_per()
            if value is not None:
                # The configuration's word stands in for the book or index that a live gate reads: no tape holds dollars.
                rate = Rate(currency=currency, source=FxSource.IMPLIED, name="replay", bid=value, ask=value, boot_ns=at_ns)
                self._readings.references = refs.with_rate(self._readings.references, self._sheet, rate)


def needed_currencies(instruments: Sequence[Instrument]) -> frozenset[str]:
    """The currencies whose worth in dollars a gate over these instruments must know."""
    return frozenset(one.quote for one in instruments) - {DOLLAR}
