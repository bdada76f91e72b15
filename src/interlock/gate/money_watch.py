"""Watching the money: what accounts are worth, how long a coin has been naked, the day's profit and loss, transfers that nobody announced.

Everything is reckoned against us: a gain at the bid of its currency, a loss at the ask, sums rounded down. What cannot be reckoned is not guessed:
the last figure stays as it was and goes stale, which denies by itself, and `unmarked` says what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Context, Decimal
from fractions import Fraction
from types import MappingProxyType

from interlock.domain.clock import NS_PER_S
from interlock.gate import profit
from interlock.gate import references as refs
from interlock.gate.exposure import Burden, Equity, Load, Place, Valuation, asset_interval, naked_since, naked_value
from interlock.gate.foreign import NOTHING_UNMANAGED, Others, Unmanaged, active_symbols, at_either, burden_of
from interlock.gate.lattice import common_level
from interlock.gate.ledger import EventKey, Ledger, unexpected_transfers
from interlock.gate.limit_sheet import Limits, LimitSheet
from interlock.gate.limits import widest
from interlock.gate.market_watch import listing_worth
from interlock.gate.profit import Instrument, Results, Unmarked, Worth
from interlock.gate.readings import Now, Readings
from interlock.gate.records import DayRolled, LatchSet, Level, Record, Scope
from interlock.gate.references import DOLLAR, References
from interlock.gate.state import NOTED, NOTED_COUNT, GateState
from interlock.gate.venue_reads import Holding, Holdings, VenueReads
from interlock.gate.verbs import Cause, latch_for

EQUITY_EVERY_NS = NS_PER_S
MARK_EVERY_NS = NS_PER_S
TRANSFERS_EVERY_NS = NS_PER_S
JUMP_NS = NS_PER_S
"""By how much the wall clock may move against CLOCK_BOOTTIME between two turns."""
DOUBT_NS = 60 * NS_PER_S
"""How long a wall clock that has jumped begins no new day: twice as long as the interlock of the clocks takes to trip and clear."""
GRACE_NS = 60 * NS_PER_S
"""How long after a transfer its owner may still announce it."""

_MICRO = 1_000_000
_NS_PER_DAY = 86_400 * NS_PER_S
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LARGEST_EXPONENT = 60
"""Amounts beyond this many digits are no amounts."""
_EXACT = Context(prec=400, traps=[])
_NEVER_NS = -(1 << 62)


# What can be used of the readings


def usd_rates(references: References, sheet: LimitSheet, boot_ns: int) -> dict[str, tuple[Decimal, Decimal]]:
    """(bid, ask) in USD of every currency that can be converted now: the worst of the fresh rates on each side."""
    found = {DOLLAR: (Decimal(1), Decimal(1))}
    for currency, limit in sheet.currencies.items():
        if currency != DOLLAR and not refs.rate_problem(references, sheet, currency, boot_ns):
            fresh = [rate for rate in references.rates[currency] if 0 <= boot_ns - rate.boot_ns <= limit.freshness_rate_ns]
            low, high = min(rate.low_pico_usd for rate in fresh), max(rate.high_pico_usd for rate in fresh)
            found[currency] = (_EXACT.scaleb(Decimal(low), -12), _EXACT.scaleb(Decimal(high), -12))
    return found


def usable_quotes(references: References, sheet: LimitSheet, boot_ns: int) -> dict[Place, refs.Quote]:
    """The quotes of all instruments that can be used now."""
    found = {}
    for place, reference in references.references.items():
        symbol = sheet.symbols.get(f"{place[0]}:{place[1]}")
        if symbol is not None and not refs.quote_problem(references, symbol, place, boot_ns):
            found[place] = reference.quote
    return found


# What an account is worth


def equity_of(
    holdings: Holdings,
    venue: str,
    worths: Mapping[Instrument, Worth],
    readings: Readings,
    sheet: LimitSheet,
    boot_ns: int,
    unmanaged: Unmanaged = NOTHING_UNMANAGED,
    their_quotes: Mapping[str, refs.Quote] = MappingProxyType({}),
) -> int | Unmarked:
    """Balances and what open positions have gained, micro-USD, rounded down.

    Positions count at the venue's mark; without one longs at the bid and shorts at the ask. The base of a spot instrument counts at that
    instrument's bid. A balance in a currency that the gate has no limits for counts as nothing, unless it is owed. Of what is unmanaged only what
    is lost or owed counts: what others have won is theirs to take away.
    """
    quotes = usable_quotes(readings.references, sheet, boot_ns)
    rates = usd_rates(readings.references, sheet, boot_ns)
    sums: dict[str, Fraction] = {}
    missing = []
    for holding in holdings.positions:
        place = (venue, holding.symbol)
        worth = worths.get(place)
        if not holding.lots or (worth is not None and worth.spot):
            continue  # what is held of a spot instrument is a balance
        gained = None if worth is None or place not in quotes else _gained(holding, worth, quotes[place])
        theirs = unmanaged.listings.get(holding.symbol)
        if theirs is not None:
            worth, quote = listing_worth(theirs), their_quotes.get(holding.symbol)
            if worth.spot:
                continue
            won = _gained(holding, worth, quote) if quote is not None and refs.is_sound(quote) else None
            gained = None if won is None else min(won, Fraction(0))
        if worth is None or gained is None:
            missing.append(f"mark of {venue}/{holding.symbol}")
            continue
        sums[worth.currency] = sums.get(worth.currency, Fraction(0)) + gained
    for currency, amount in holdings.balances:
        if not _is_number(amount):
            missing.append(f"balance of {currency}")
        elif amount < 0 or (amount and currency not in unmanaged.assets):
            _add_balance(sums, missing, currency, Fraction(amount), venue, worths, quotes, sheet)
    total = Fraction(0)
    for currency, value in sorted(sums.items()):
        if value and currency not in rates:
            missing.append(f"USD rate of {currency}")
        elif value:
            total += value * Fraction(rates[currency][0 if value > 0 else 1])
    return Unmarked(tuple(missing)) if missing else math.floor(total * _MICRO)


def _is_number(value: Decimal) -> bool:
    return value.is_finite() and abs(value.adjusted()) <= _LARGEST_EXPONENT


def _gained(holding: Holding, worth: Worth, quote: refs.Quote) -> Fraction | None:
    if not (_is_number(holding.entry_price) and holding.entry_price > 0):
        return None
    ticks = quote.mark_ticks or (quote.bid_ticks if holding.lots > 0 else quote.ask_ticks)
    return holding.lots * (ticks * Fraction(worth.tick_lot) - Fraction(holding.entry_price) * Fraction(worth.lot))


def _add_balance(
    sums: dict[str, Fraction],
    missing: list[str],
    currency: str,
    amount: Fraction,
    venue: str,
    worths: Mapping[Instrument, Worth],
    quotes: Mapping[Place, refs.Quote],
    sheet: LimitSheet,
) -> None:
    """Count a balance in its own currency, or that of the spot instrument that trades it; of several the first that has a quote."""
    if currency == DOLLAR or currency in sheet.currencies:
        sums[currency] = sums.get(currency, Fraction(0)) + amount
        return
    trades = [place for place, worth in sorted(worths.items()) if place[0] == venue and worth.spot and worth.base == currency]
    if not trades:
        if amount < 0:
            missing.append(f"USD rate of {currency}")
        return
    place = next((one for one in trades if one in quotes), None)
    if place is None:
        missing.append(f"quote of {venue}/{trades[0][1]}")
        return
    worth, quote = worths[place], quotes[place]
    value = amount / Fraction(worth.lot) * Fraction(worth.tick_lot) * (quote.bid_ticks if amount > 0 else quote.ask_ticks)
    sums[worth.currency] = sums.get(worth.currency, Fraction(0)) + value


# How naked a coin is


def naked_values(ledger: Ledger, references: References, sheet: LimitSheet, boot_ns: int) -> dict[str, int]:
    """What the net position of each asset is worth now, micro-USD; -1 where that is not known, and everywhere if one is held that nobody knows."""
    universe = references.universe
    held = {market: Load(position.lots) for market, position in ledger.positions.items() if position.lots}
    if any((venue, symbol) not in universe.facts for venue, _, symbol in held):
        return dict.fromkeys(universe.by_asset, -1)
    prices: dict[Place, tuple[int, Valuation]] = {}
    for place, quote in usable_quotes(references, sheet, boot_ns).items():
        facts, valuation = universe.facts.get(place), references.valuations.get(place)
        if facts is not None and valuation is not None and not refs.rate_problem(references, sheet, facts.quote, boot_ns):
            prices[place] = (quote.ask_ticks, valuation)
    found = {}
    for asset in universe.by_asset:
        units = widest(*asset_interval(held, universe, asset))
        found[asset] = naked_value(units, universe, prices, asset) if units else 0
    return found


# Profit and loss


def records_due(state: GateState, readings: Readings, worths: Mapping[Instrument, Worth], now: Now) -> tuple[Record, ...]:
    """The mark that is due, and before the first of a UTC day the last of the day before and the roll.

    None while the result cannot be reckoned (`unmarked` says why).
    """
    if not mark_is_due(state, now.boot_ns):
        return ()
    found = _reckoned(state, readings, worths, now)
    return () if isinstance(found, Unmarked) else found


def unmarked(state: GateState, readings: Readings, worths: Mapping[Instrument, Worth], now: Now) -> tuple[str, ...]:
    """What is missing to reckon profit and loss now; empty if nothing is."""
    found = _reckoned(state, readings, worths, now)
    return found.missing if isinstance(found, Unmarked) else ()


def mark_is_due(state: GateState, boot_ns: int) -> bool:
    """Whether a mark is due: every second while something is open or new risk may come, else often enough to stay fresh; at once after a boot."""
    marked_ns = state.losses.marked_boot_ns
    half = state.sheet.account.freshness_mark_ns // 2
    open_now = bool(state.orders.live or state.orders.owing) or any(position.lots for position in state.ledger.positions.values())
    every = min(MARK_EVERY_NS, half) if open_now or common_level(state.lattice) is Level.RUN else half
    return marked_ns is None or not 0 <= boot_ns - marked_ns < every


def wall_clock_is_doubted(state: GateState) -> bool:
    """Whether the interlock of the host's clocks is tripped, or that of every instrument against its venue's clock."""
    tripped = {(one.scope, one.subject) for one in state.lattice.trips if one.name == Cause.CLOCK.value}
    places = {name.replace(":", "/", 1) for name in state.sheet.symbols}
    return (Scope.ALL, "") in tripped or (bool(places) and all((Scope.SYMBOL, place) in tripped for place in places))


def _reckoned(
    state: GateState, readings: Readings, worths: Mapping[Instrument, Worth], now: Now, clock_is_sure: bool = True
) -> tuple[Record, ...] | Unmarked:
    quotes = {place: (one.bid_ticks, one.ask_ticks) for place, one in usable_quotes(readings.references, state.sheet, now.boot_ns).items()}
    found = profit.results(state.ledger, worths, quotes)
    day = utc_day(now.wall_ns)
    if isinstance(found, Unmarked):
        return found
    if not day:
        return Unmarked(("the day, by the wall clock",))
    rates = usd_rates(readings.references, state.sheet, now.boot_ns)
    # By a clock that is doubted no new day begins behind one that there is: what was lost goes on counting.
    rolled = _rolled(state.ledger, found, rates, day, now) if clock_is_sure or not state.ledger.day.name else None
    if isinstance(rolled, Unmarked):
        return rolled
    told: list[Record] = []
    if rolled is None or state.ledger.day.name:
        # Also before a roll: what was lost since the last mark is of the day that ends. The roll takes it into the baseline, where nobody counts it.
        mark = profit.marked(state.ledger, found, rates, now.boot_ns)
        if isinstance(mark, Unmarked):
            return mark
        told.append(mark)
    if rolled is not None:
        told += [rolled, profit.first_marked(rolled)]
    return tuple(told)


def _rolled(
    ledger: Ledger, found: Results, rates: Mapping[str, tuple[Decimal, Decimal]], day: str, now: Now
) -> DayRolled | Unmarked | None:
    """The roll, if the journal has no such day or later yet: neither a boot nor a clock that went back begins a day anew."""
    if day <= ledger.day.name:
        return None
    return profit.day_rolled(found, rates, day, now.boot_ns, now.wall_ns)


def utc_day(wall_ns: int) -> str:
    """The ISO date of a wall time; empty outside the years 1970 to 9999."""
    number = _EPOCH_DAY + wall_ns // _NS_PER_DAY
    return date.fromordinal(number).isoformat() if _EPOCH_DAY <= number <= date.max.toordinal() else ""


# Transfers


def transfer_latches(state: GateState, now: Now, grace_ns: int = GRACE_NS) -> tuple[LatchSet, ...]:
    """A latch for every transfer that was not announced within the grace. Each is noted in its latch and not latched again once cleared."""
    found = []
    for key in unexpected_transfers(state.ledger):
        what = transfer_name(key)
        waited = now.wall_ns - state.ledger.events[key].venue_ns
        # A time far ahead of ours is no reason to wait for it.
        if state.noted.get(what, 0) or -grace_ns < waited < grace_ns:
            continue
        event = state.ledger.events[key]
        found.append(
            latch_for(
                Cause.UNEXPLAINED,
                scope=Scope.ACCOUNT,
                subject=f"{key[0]}/{key[1]}",
                reason=f"{event.kind} of {event.amount} {event.currency} on {key[0]}/{key[1]}, id {key[3]}, was not announced",
                actor="gate",
                boot_ns=now.boot_ns,
                evidence={NOTED: what, NOTED_COUNT: "1"},
            )
        )
    return tuple(found)


def transfer_name(key: EventKey) -> str:
    """Under which name a transfer is noted."""
    return f"transfer {'/'.join(key)}"


# The watch


class MoneyWatch:
    """Keeps equity and naked times in `readings`, and tells which records are due; all of it belongs to one event loop.

    `worths` are by (venue, symbol). `missing` is what could not be reckoned the last time: by "venue/account" for equity, and "mark".
    `every_ns` is how long between two readings at a venue whose limits want more time than `equity_every_ns`.
    """

    def __init__(
        self,
        readings: Readings,
        limits: Limits,
        worths: Mapping[Instrument, Worth],
        *,
        clock: Callable[[], Now],
        grace_ns: int = GRACE_NS,
        equity_every_ns: int = EQUITY_EVERY_NS,
        every_ns: Mapping[str, int] | None = None,
    ) -> None:
        self._readings = readings
        self._limits = limits
        self._worths = worths
        self._clock = clock
        self._grace_ns = grace_ns
        self._equity_every_ns = equity_every_ns
        self._every_ns = {} if every_ns is None else dict(every_ns)
        self._asked_ns: dict[Place, int] = {}
        self._transfers_ns = _NEVER_NS
        self._wall_ahead_ns: int | None = None
        self._doubted_until_ns = _NEVER_NS
        self.missing: dict[str, tuple[str, ...]] = {}

    def due(self, venue: str, account: str, boot_ns: int) -> bool:
        """Whether an account's worth is to be read again."""
        return boot_ns - self._asked_ns.get((venue, account), _NEVER_NS) >= self._every_ns.get(venue, self._equity_every_ns)

    async def round(self, reads: VenueReads, others: Callable[[], Others] | None = None) -> None:
        """Read what an account holds and take its worth in, and on a shared one the burden of `others`; nothing when it is not due.

        Stamped with the time of asking. What cannot be valued leaves the last figure as it was. Raises ReadFailed.
        """
        where = (reads.venue, reads.account)
        asked_ns = self._clock().boot_ns
        if not self.due(*where, asked_ns):
            return
        self._asked_ns[where] = asked_ns
        before = None if others is None else others()
        holdings = await reads.holdings()
        shared = before is not None and bool(before.unmanaged.assets)
        quotes: dict[str, refs.Quote] = {}
        if others is not None and before is not None:  # where nothing is unmanaged they are active in nothing
            quotes = {symbol: await reads.quote(symbol) for symbol in active_symbols(at_either(before, others()), where, holdings)}
        now_ns, sheet = self._clock().boot_ns, self._limits.sheet
        unmanaged = NOTHING_UNMANAGED if before is None else before.unmanaged
        worth = equity_of(holdings, reads.venue, self._worths, self._readings, sheet, now_ns, unmanaged, quotes)
        burden: Burden | Unmarked | None = None
        if others is not None and before is not None and shared:
            rates, shock = usd_rates(self._readings.references, sheet, now_ns), sheet.account.shock_millionths
            burden = burden_of(at_either(before, others()), where, holdings, quotes, rates, shock_millionths=shock, boot_ns=asked_ns)
        missing = tuple(what for one in (worth, burden) if isinstance(one, Unmarked) for what in one.missing)
        self.missing.pop("/".join(where), None)
        if missing:
            self.missing["/".join(where)] = missing
        if not isinstance(worth, Unmarked):
            self._readings.equity = {**self._readings.equity, where: Equity(worth, asked_ns)}
        if isinstance(burden, Burden):
            self._readings.burdens = {**self._readings.burdens, where: burden}

    def turn(self, state: GateState, now: Now) -> tuple[Record, ...]:
        """After each round of the markets: bring the naked times up to date, and the records that are due now."""
        readings = self._readings
        naked = naked_values(state.ledger, readings.references, self._limits.sheet, now.boot_ns)
        tolerance = {asset: limit.naked_tolerance_micro_usd for asset, limit in self._limits.sheet.assets.items()}
        readings.naked_since_boot_ns = naked_since(readings.naked_since_boot_ns, naked, tolerance, now.boot_ns)
        return (*self._marks(state, now), *self._transfers(state, now))

    def _marks(self, state: GateState, now: Now) -> tuple[Record, ...]:
        sure = self._clock_is_sure(state, now)
        if not mark_is_due(state, now.boot_ns):
            return ()
        found = _reckoned(state, self._readings, self._worths, now, sure)
        if isinstance(found, Unmarked):
            self.missing["mark"] = found.missing
            return ()
        self.missing.pop("mark", None)
        return found

    def _clock_is_sure(self, state: GateState, now: Now) -> bool:
        """Whether the wall clock may begin a day: it has not jumped lately, also where that has tripped nothing yet, and somebody agrees with it."""
        ahead_ns = now.wall_ns - now.boot_ns
        if self._wall_ahead_ns is not None and abs(ahead_ns - self._wall_ahead_ns) > JUMP_NS:
            self._doubted_until_ns = now.boot_ns + DOUBT_NS
        self._wall_ahead_ns = ahead_ns
        return now.boot_ns >= self._doubted_until_ns and not wall_clock_is_doubted(state)

    def _transfers(self, state: GateState, now: Now) -> tuple[Record, ...]:
        """A grace is long, so once a second is soon enough."""
        if 0 <= now.boot_ns - self._transfers_ns < TRANSFERS_EVERY_NS:
            return ()
        self._transfers_ns = now.boot_ns
        return transfer_latches(state, now, self._grace_ns)
