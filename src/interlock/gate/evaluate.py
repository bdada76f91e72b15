"""One order against every limit. Either all of `REQUIRED` hold and are told with their values and bounds, or the first that does not denies.

Values and bounds are integers in the unit that the limit's name says (micro-USD, lots, millionths, nanoseconds, counts); each was rounded toward less
risk. A value that could not be computed is negative and denies. There is no override.

An order that can only bring its position nearer to zero, whatever else fills, passes the bounds on position and exposure, which it cannot worsen, and
the stops on losses; one that can only reduce its asset's net exposure passes the bounds on it. Everything else holds for it as for any other order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

import msgspec

from interlock.domain.instruments import Kind
from interlock.domain.orders import OrderType, TimeInForce
from interlock.gate import limits, throttles
from interlock.gate.exposure import (
    NOTHING,
    Burden,
    Exposure,
    InstrumentFacts,
    Key,
    Load,
    Place,
    Valuation,
    asset_interval,
    gross_value,
    naked_value,
)
from interlock.gate.exposure import reduces as reduces_asset
from interlock.gate.exposure import shrinks as shrinks_position
from interlock.gate.limit_sheet import LARGEST, NO_PEER, Allow, Asset, LimitSheet, Strategy, Symbol, Venue
from interlock.gate.losses import WHOLE_MILLIONTHS, Losses, currency_loss
from interlock.gate.margin import NONE, margin_need, with_burden
from interlock.gate.records import Book, Evaluation, Intent
from interlock.gate.references import (
    DOLLAR,
    References,
    book_problem,
    drift_problem,
    peer_twice_ticks,
    quote_problem,
    rate_problem,
)
from interlock.gate.throttles import Throttles

REQUIRED = (
    "quantities",
    "known",
    "allow",
    "market_status",
    "freshness_reference",
    "engine_books",
    "usd_rates",
    "collar_reference",
    "collar_peer",
    "max_drift",
    "max_order_lots",
    "max_order_notional_usd",
    "max_position_lots",
    "max_position_notional_usd",
    "managed_quantity",
    "max_open_orders",
    "max_gross_notional_usd",
    "max_venue_gross_notional_usd",
    "max_naked_notional_usd",
    "max_naked_time",
    "max_unattended_resting_usd",
    "freshness_equity",
    "min_available_margin_usd",
    "max_margin_ratio",
    "shock",
    "min_liquidation_distance",
    "freshness_mark",
    "max_daily_loss_usd",
    "max_currency_loss",
    "max_drawdown_usd",
    "loss_latch",
    "max_messages",
    "cancel_reserve",
    "max_orders",
    "max_identical_orders",
    "max_reject_streak",
    "max_losing_streak",
)
"""The limits by name, in the order in which they are evaluated."""


class Allowed(msgspec.Struct, frozen=True):
    """Every limit held. What a permit embeds: the evaluations, the order's worst value, the gate's own books and the rates that were used."""

    evaluations: tuple[Evaluation, ...]
    notional_usd: Decimal
    books: tuple[Book, ...]
    usd_rates: tuple[tuple[str, Decimal], ...]


class Denied(msgspec.Struct, frozen=True):
    """The first limit that did not hold, by its name in `REQUIRED`."""

    rule: str
    detail: str


Row = tuple[str, int, int, str]
"""(limit, value, bound, what to tell when the value is outside 0..bound)."""


def evaluate(
    sheet: LimitSheet,
    intent: Intent,
    exposure: Exposure,
    references: References,
    throttle: Throttles,
    losses: Losses,
    boot_ns: int,
    cap_micro_usd: int,
    ahead: str = "",
) -> Allowed | Denied:
    """Judge one order, of which `exposure` does not yet know. `cap_micro_usd` is the grant's cap on gross notional, which no single order exceeds.

    For an amend the exposure must still hold the order as it was: both count until the venue has answered. `ahead` is the venue of another order of
    the same strategy that goes before this one and that `throttle` does not know yet; empty if there is none.
    """
    subject = _subject(sheet, intent, exposure, references, throttle, losses, boot_ns, cap_micro_usd)
    if isinstance(subject, Denied):
        return subject
    subject.ahead = ahead
    rows: list[Row] = [("quantities", 0, 0, ""), ("known", 0, 0, "")]
    for stage in _STAGES:
        for row in stage(subject):
            if limits.outside(row[1], row[2]):
                return Denied(row[0], row[3] or f"would be {row[1]}, allowed 0 to {row[2]}")
            rows.append(row)
    return concluded(rows, subject.notional(), subject.books(), subject.rates())


def concluded(
    rows: list[Row], notional_micro_usd: int, books: tuple[Book, ...], usd_rates: tuple[tuple[str, Decimal], ...]
) -> Allowed | Denied:
    """The yes, if exactly the required limits were evaluated in their order and all hold; a limit that was not evaluated denies."""
    if tuple([row[0] for row in rows]) != REQUIRED:
        missing = [name for name in REQUIRED if name not in {row[0] for row in rows}]
        return Denied("unevaluated", f"not every limit was evaluated: missing {', '.join(missing) or 'none, but their order differs'}")
    return Allowed(
        tuple([Evaluation(limit=name, value=str(value), bound=str(bound)) for name, value, bound, _ in rows]),
        Decimal(notional_micro_usd).scaleb(-6),
        books,
        usd_rates,
    )


class _Subject:
    """All that the stages look at, looked up once."""

    __slots__ = (
        "after",
        "ahead",
        "ask",
        "asset",
        "before",
        "bid",
        "boot_ns",
        "cap",
        "exposure",
        "factor",
        "facts",
        "held",
        "held_to_it",
        "intent",
        "key",
        "losses",
        "lots",
        "place",
        "reduces",
        "references",
        "sheet",
        "shrinks",
        "side",
        "strategy",
        "symbol",
        "throttle",
        "used",
        "valuation",
        "venue",
    )

    after: Load
    ahead: str
    ask: int
    asset: Asset
    before: Load
    bid: int
    boot_ns: int
    cap: int
    exposure: Exposure
    facts: InstrumentFacts
    factor: int
    held: dict[Key, Load]
    held_to_it: bool
    intent: Intent
    key: Key
    lots: int
    losses: Losses
    place: Place
    reduces: bool
    references: References
    sheet: LimitSheet
    shrinks: bool
    side: int
    strategy: Strategy
    symbol: Symbol
    throttle: Throttles
    used: tuple[Place, ...]
    valuation: Valuation
    venue: Venue

    def notional(self) -> int:
        """What the order is worth at its price or the ask, whichever is larger, micro-USD; -1 if that cannot be computed."""
        price = max(self.intent.ticks, self.ask)
        return limits.product_up(self.lots, price, self.valuation.numerator, self.valuation.denominator)

    def books(self) -> tuple[Book, ...]:
        """The gate's own books of every instrument that played a part."""
        quotes = [self.references.references[place].quote for place in self.used]
        return tuple(
            [Book(venue=q.venue, symbol=q.symbol, bid_ticks=q.bid_ticks, ask_ticks=q.ask_ticks, boot_ns=q.boot_ns) for q in quotes]
        )

    def rates(self) -> tuple[tuple[str, Decimal], ...]:
        """What one unit of each quote currency was taken to be worth, USD."""
        facts = self.references.universe.facts
        high = {facts[place].quote: self.references.valuations[place].high_pico_usd for place in self.used}
        return tuple([(currency, Decimal(pico).scaleb(-12)) for currency, pico in sorted(high.items()) if currency != DOLLAR])


def _subject(
    sheet: LimitSheet,
    intent: Intent,
    exposure: Exposure,
    references: References,
    throttle: Throttles,
    losses: Losses,
    boot_ns: int,
    cap_micro_usd: int,
) -> _Subject | Denied:
    if not (0 < intent.ticks < LARGEST and 0 < intent.lots < LARGEST) or isinstance(intent.ticks, bool) or isinstance(intent.lots, bool):
        return Denied("quantities", f"expected ticks and lots from 1 and below 2^53, found {intent.ticks} and {intent.lots}")
    place = (intent.venue, intent.symbol)
    facts = references.universe.facts.get(place)
    venue, symbol = sheet.venues.get(intent.venue), sheet.symbols.get(f"{intent.venue}:{intent.symbol}")
    strategy = sheet.strategies.get(intent.strategy)
    asset = None if facts is None else sheet.assets.get(facts.asset)
    if facts is None or venue is None or symbol is None or strategy is None or asset is None:
        return Denied("known", f"no limits for strategy {intent.strategy!r} on {intent.venue}:{intent.symbol}")
    subject = _Subject()
    subject.sheet, subject.intent, subject.exposure, subject.references = sheet, intent, exposure, references
    subject.throttle, subject.losses, subject.boot_ns, subject.cap = throttle, losses, boot_ns, cap_micro_usd
    subject.facts, subject.venue, subject.symbol, subject.strategy, subject.asset = facts, venue, symbol, strategy, asset
    subject.place, subject.side, subject.lots = place, int(intent.side), intent.lots
    subject.key = (intent.venue, intent.account, intent.symbol)
    subject.before = exposure.loads.get(subject.key, NOTHING)
    subject.after = subject.before.with_order(intent.side, intent.ticks, intent.lots)
    subject.held = {**exposure.loads, subject.key: subject.after}
    foreign = [key for key in exposure.loads if (key[0], key[2]) not in references.universe.facts]
    if foreign:
        return Denied("known", f"something is held or open that has no facts: {foreign[0]}")
    subject.shrinks = shrinks_position(subject.before, intent.side, intent.lots)
    subject.reduces = reduces_asset(exposure.loads, references.universe, place, intent.side, intent.lots)
    # Where the venue ends a position by itself before the order executes, only its flag keeps the order from opening one the other way.
    subject.held_to_it = not subject.shrinks or facts.kind is Kind.SPOT or intent.reduce_only is True
    # What only reduces is not held up by a venue that it has nothing to do with.
    places = {place} if subject.shrinks and subject.reduces else {(key[0], key[2]) for key in subject.held}
    if symbol.peer != NO_PEER:
        peer_venue, _, peer_symbol = symbol.peer.partition(":")
        places.add((peer_venue, peer_symbol))
    subject.used = tuple(sorted(places))
    return subject


def _permission(s: _Subject) -> Iterator[Row]:
    intent = s.intent
    way = Allow(side=intent.side, type=intent.type, tif=intent.tif, reduce_only=intent.reduce_only)
    allowed = way in s.symbol.allow and intent.account in s.venue.accounts and intent.type is OrderType.LIMIT
    told = f"{intent.side.name.lower()} {intent.type} {intent.tif} reduce_only={intent.reduce_only} of account {intent.account!r} is not on the list"
    yield ("allow", 0 if allowed else -1, 0, told)
    reference = s.references.references.get(s.place)
    yield (
        "market_status",
        0 if reference is not None and reference.quote.trading is True else -1,
        0,
        "the venue is not known to take orders",
    )


def _inputs(s: _Subject) -> Iterator[Row]:
    problem = ""
    for place in s.used:
        name = f"{place[0]}:{place[1]}"
        symbol = s.sheet.symbols.get(name)
        why = "no limits" if symbol is None else quote_problem(s.references, symbol, place, s.boot_ns)
        if why:
            problem = f"{name}: {why}"
            break
    age = -1 if problem else s.boot_ns - s.references.references[s.place].quote.boot_ns
    yield ("freshness_reference", age, s.symbol.freshness_reference_ns, problem)
    quote = s.references.references[s.place].quote
    s.bid, s.ask = quote.bid_ticks, quote.ask_ticks
    problem = book_problem(s.references, s.sheet, s.place, s.intent.books, s.boot_ns)
    yield ("engine_books", -1 if problem else 0, 0, problem)
    facts = s.references.universe.facts
    problem = ""
    for currency in sorted({facts[place].quote for place in s.used}):
        problem = problem or rate_problem(s.references, s.sheet, currency, s.boot_ns)
    yield ("usd_rates", -1 if problem else 0, 0, problem)
    s.valuation = s.references.valuations[s.place]


def _collars(s: _Subject) -> Iterator[Row]:
    ticks, symbol = s.intent.ticks, s.symbol
    twice = s.bid + s.ask
    yield _collar(
        "collar_reference", s.side, ticks, twice, symbol.collar_reference_millionths, f"{ticks} ticks against bid {s.bid} and ask {s.ask}"
    )
    if symbol.peer == NO_PEER:
        yield ("collar_peer", 0, symbol.collar_peer_millionths, "")
    else:
        venue, _, name = symbol.peer.partition(":")
        twice = peer_twice_ticks(s.references, s.place, (venue, name), s.side)
        yield _collar(
            "collar_peer",
            s.side,
            ticks,
            twice,
            symbol.collar_peer_millionths,
            f"{ticks} ticks against {twice} for twice the mid of {symbol.peer}",
        )
    problem = drift_problem(s.references, symbol, s.place)
    moved = s.references.references[s.place].range_millionths
    yield ("max_drift", -1 if problem else moved, symbol.max_drift_millionths, problem)
    s.factor = limits.tightening(moved, symbol.tightening)


def _collar(name: str, side: int, ticks: int, twice: int, collar_millionths: int, told: str) -> Row:
    if limits.exceeds_collar(side, ticks, twice, collar_millionths):
        return (name, -1, collar_millionths, f"{told}: more than {collar_millionths} millionths away")
    return (name, limits.product_up(max(0, (2 * ticks - twice) * side), 1_000_000, 1, twice), collar_millionths, told)


def _sizes(s: _Subject) -> Iterator[Row]:
    symbol, factor = s.symbol, s.factor
    yield ("max_order_lots", s.lots, limits.tightened(symbol.max_order_lots, factor), "")
    bound = limits.tightened(symbol.max_order_notional_micro_usd, factor)
    yield ("max_order_notional_usd", s.notional(), min(bound, s.sheet.account.max_order_notional_micro_usd, s.cap), "")
    cap = limits.tightened(symbol.max_position_lots, factor)
    before = s.before
    if s.side > 0:
        worst = limits.worst_long(before.position, before.buys, s.lots)
    else:
        worst = -limits.worst_short(before.position, before.sells, s.lots)
    # What only shrinks the position ends at most at zero, so that its worst is no size.
    yield ("max_position_lots", max(0, worst), cap, "")
    value = 0 if s.shrinks else gross_value(s.after, s.ask, s.valuation)
    yield ("max_position_notional_usd", value, limits.tightened(symbol.max_position_notional_micro_usd, factor), "")
    spot_sell = s.facts.kind is Kind.SPOT and s.side < 0
    told = f"sells of {s.after.sells} lots, managed {s.after.position}"
    yield ("managed_quantity", s.after.sells if spot_sell else 0, s.after.position if spot_sell else 0, told)
    yield ("max_open_orders", s.after.orders, symbol.max_open_orders_count, "")


def _exposures(s: _Subject) -> Iterator[Row]:
    gross, here, naked = (0, 0, 0) if s.shrinks and s.reduces else _worst_values(s)
    theirs = {} if s.shrinks else _burdens(s)
    told = "what others have open on a shared account is not known" if _UNKNOWN_BURDEN in theirs.values() else ""
    gross = _with_theirs(gross, theirs.values())
    here = _with_theirs(here, [burden for place, burden in theirs.items() if place[0] == s.intent.venue])
    yield ("max_gross_notional_usd", 0 if s.shrinks else gross, min(s.sheet.account.max_gross_notional_micro_usd, s.cap), told)
    yield ("max_venue_gross_notional_usd", 0 if s.shrinks else here, s.venue.max_gross_notional_micro_usd, told)
    yield ("max_naked_notional_usd", 0 if s.reduces else naked, s.asset.max_naked_notional_micro_usd, "")
    since = s.exposure.naked_since_boot_ns.get(s.facts.asset, -1)
    if s.reduces or since is None:
        for_ns = 0
    else:
        for_ns = s.boot_ns - since if since >= 0 else -1
    yield ("max_naked_time", for_ns, s.asset.max_naked_ns, "not known since when" if for_ns < 0 else "")
    yield ("max_unattended_resting_usd", _unattended(s), s.venue.max_unattended_resting_micro_usd, "")


_UNKNOWN_BURDEN = Burden(-1, -1, -1, -1, -1, -1, -1)


def _burdens(s: _Subject) -> dict[Place, Burden]:
    """What others have open, by shared account; unknown where it was not read lately. An account of our own has none.

    One on which orders are allowed no more still has its burden: whoever takes it off the list must not make room elsewhere.
    """
    found = {}
    for venue, limit in s.sheet.venues.items():
        known = {account for at, account in s.exposure.burdens if at == venue}
        for account in sorted({*limit.accounts, *known} or {""}) if limit.shared else ():
            burden = s.exposure.burdens.get((venue, account), _UNKNOWN_BURDEN)
            stale = limits.outside(s.boot_ns - burden.boot_ns, s.sheet.account.freshness_equity_ns)
            found[venue, account] = _UNKNOWN_BURDEN if stale or min(msgspec.structs.astuple(burden)) < 0 else burden
    return found


def _with_theirs(ours: int, theirs: Iterable[Burden]) -> int:
    values = [burden.gross for burden in theirs]
    return -1 if min(values, default=0) < 0 or ours < 0 else ours + sum(values)


def _unattended(s: _Subject) -> int:
    """What may rest at the order's venue with nobody to cancel it, this order included, micro-USD; -1 for what is unknown."""
    if s.intent.tif in (TimeInForce.IOC, TimeInForce.FOK) or s.place in s.exposure.attended:
        return 0
    total = 0
    for key, load in s.held.items():
        place = (key[0], key[2])
        if key[0] != s.intent.venue or place in s.exposure.attended:
            continue
        reference, valuation = s.references.references.get(place), s.references.valuations.get(place)
        if reference is None or valuation is None:
            return -1  # what only reduces does not ask for the quotes of all that is held
        dearest = max(reference.quote.ask_ticks, load.highest_buy_ticks, load.highest_sell_ticks)
        value = limits.product_up(load.buys + load.sells, dearest, valuation.numerator, valuation.denominator)
        if value < 0:
            return -1
        total += value
    return total


def _worst_values(s: _Subject) -> tuple[int, int, int]:
    """Gross over all venues, gross of the order's venue, and net of its asset, micro-USD; -1 for what is unknown."""
    universe = s.references.universe
    gross = here = 0
    prices: dict[Place, tuple[int, Valuation]] = {}
    for key, load in s.held.items():
        place = (key[0], key[2])
        ask, valuation = s.references.references[place].quote.ask_ticks, s.references.valuations[place]
        value = gross_value(load, ask, valuation)
        if value < 0:
            return -1, -1, -1
        gross += value
        if key[0] == s.intent.venue:
            here += value
        if universe.facts[place].asset == s.facts.asset:
            dearest = max(ask, load.highest_buy_ticks, load.highest_sell_ticks)
            if place not in prices or dearest > prices[place][0]:
                prices[place] = (dearest, valuation)
    low, high = asset_interval(s.held, universe, s.facts.asset)
    return gross, here, naked_value(limits.widest(low, high), universe, prices, s.facts.asset)


def _margins(s: _Subject) -> Iterator[Row]:
    venue, account = s.intent.venue, s.intent.account
    held = []
    theirs = _burdens(s)
    if not s.shrinks:
        for key, load in s.held.items():
            place = (key[0], key[2])
            if key[0] == venue and key[1] == account and s.references.universe.facts[place].kind is Kind.PERPETUAL:
                quote = s.references.references[place].quote
                held.append((load, quote.bid_ticks, quote.ask_ticks, s.references.valuations[place]))
    if held:
        need = margin_need(held, s.sheet.account.shock_millionths)
        if (venue, account) in theirs:
            need = with_burden(need, theirs[venue, account])
        reading = s.exposure.equity.get((venue, account))
        equity, age = (-1, -1) if reading is None else (reading.micro_usd, s.boot_ns - reading.boot_ns)
        left = equity - need.entry_loss
        ratio = limits.product_up(need.maintenance, 1_000_000, 1, left)
        distance = limits.liquidation_distance_millionths(left, need.maintenance, need.notional)
        available = -1 if need.initial < 0 else need.initial + need.entry_loss + s.venue.min_available_margin_micro_usd
    else:
        need, equity, age, ratio, distance, available = NONE, 0, 0, 0, 1_000_000, 0
    yield ("freshness_equity", age, s.sheet.account.freshness_equity_ns, "the account's equity is not known" if age < 0 else "")
    yield ("min_available_margin_usd", available, equity, "")
    yield ("max_margin_ratio", ratio, s.venue.max_margin_ratio_millionths, "")
    yield ("shock", need.shocked, equity, "")
    yield ("min_liquidation_distance", s.venue.min_liquidation_distance_millionths, distance, "")


def _losses(s: _Subject) -> Iterator[Row]:
    account, losses = s.sheet.account, s.losses
    lowering = s.shrinks or s.reduces
    age = -1 if losses.marked_boot_ns is None else s.boot_ns - losses.marked_boot_ns
    yield ("freshness_mark", 0 if lowering else age, account.freshness_mark_ns, "profit and loss are not known" if age < 0 else "")
    lowering = lowering and s.held_to_it
    lost = max(0, losses.worst_realised_micro_usd, losses.now_micro_usd)
    yield ("max_daily_loss_usd", 0 if lowering else lost, account.max_daily_loss_micro_usd, "")
    share, currency = currency_loss(losses, s.sheet)
    yield ("max_currency_loss", 0 if lowering else share, WHOLE_MILLIONTHS, f"more lost in {currency} than a day may cost")
    yield ("max_drawdown_usd", 0 if lowering else losses.drawdown_micro_usd, account.max_drawdown_micro_usd, "")
    yield ("loss_latch", 0 if lowering or losses.latched is False else -1, 0, "a loss was seen that stops until a person clears the latch")


def _throttles(s: _Subject) -> Iterator[Row]:
    venue, strategy, name = s.intent.venue, s.strategy, s.intent.strategy
    lowering = (s.shrinks or s.reduces) and s.held_to_it
    used = throttles.messages_used(s.throttle, venue, s.boot_ns, s.venue.messages_window_ns) + 1 + (s.ahead == venue)
    yield ("max_messages", used, limits.budget_left(s.venue.max_messages_count, 0, s.venue.cancel_reserve_count, False), "")
    open_orders = 1
    for key, load in s.exposure.loads.items():
        if key[0] == venue:
            open_orders += load.orders
    # After this order, every open one must still find a message to be cancelled with.
    cancels = throttles.cancels_used(s.throttle, venue, s.boot_ns, s.venue.messages_window_ns)
    room = min(s.venue.max_messages_count - used, s.venue.max_cancels_count - cancels)
    yield ("cancel_reserve", open_orders, room, "")
    orders = throttles.orders_used(s.throttle, name, s.boot_ns, strategy.orders_window_ns) + 1 + (s.ahead != "")
    yield ("max_orders", orders, strategy.max_orders_count, "")
    signature = (name, venue, s.intent.symbol, s.side, s.intent.ticks, s.lots)
    same = throttles.identical_used(s.throttle, signature, s.boot_ns, strategy.identical_orders_window_ns) + 1
    yield ("max_identical_orders", same, strategy.max_identical_orders_count, "")
    rejects = throttles.reject_streak(s.throttle, s.sheet, name)
    yield ("max_reject_streak", 0 if lowering else rejects, strategy.max_reject_streak_count - 1, "")
    losing = throttles.losing_streak(s.throttle, name)
    yield ("max_losing_streak", 0 if lowering else losing, strategy.max_losing_streak_count - 1, "")


_STAGES: tuple[Callable[[_Subject], Iterator[Row]], ...] = (
    _permission,
    _inputs,
    _collars,
    _sizes,
    _exposures,
    _margins,
    _losses,
    _throttles,
)
