"""Round trips: where a position began, where it was closed, and what that earned after its own costs (docs/model.md, accounting).

Making: quantity is matched first in, first out; a trip runs from flat to flat, and a fill that turns the position belongs to two trips.
Flat is no position for a derivative and the opening inventory for a coin. Arbitrage: a trip of a pair runs from both legs closed to both
legs closed, each leg against its opening position; less than one lot of the coarser leg counts as closed, the rest is carried at the last
price into the next trip.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import numpy as np

from interlock.evidence.accounting import InstrumentAccount, funding_received
from interlock.evidence.exact import exact
from interlock.evidence.facts import Pair
from interlock.evidence.translate import Translation


@dataclass(frozen=True, slots=True)
class Trip:
    """A closed round trip. Amounts are in the currency of the report; `notional` is what its entries traded; `orders` their numbers."""

    start_ns: int
    end_ns: int
    label: str
    net: Decimal
    notional: Decimal
    orders: tuple[int, ...]


@dataclass(frozen=True)
class Trips:
    """All closed trips, and how many fills opened or added (entries) and how many closed (exits).

    A fill that turns a position counts as both in making, and as what most of it was in arbitrage.
    """

    closed: tuple[Trip, ...]
    entries: int
    exits: int

    @property
    def wins(self) -> int:
        """Trips that earned something after their costs."""
        return sum(t.net > 0 for t in self.closed)

    @property
    def losses(self) -> int:
        """Trips that lost something; a trip at exactly 0 is neither."""
        return sum(t.net < 0 for t in self.closed)


@dataclass
class _Open:
    """A trip under way: sums of 2 x ticks x lots by leg."""

    start_ns: int
    cash: list[int]
    maker: list[int]
    taker: list[int]
    entered: list[int]
    orders: set[int] = field(default_factory=set)


def fifo_realised(opening_lots: int, opening_twice: int, fills: np.ndarray) -> int:
    """Realised profit before costs by first-in-first-out matching of one instrument's fills, in half ticks times lots."""
    held: deque[list[int]] = deque()
    side_held = 0
    if opening_lots:
        held.append([abs(opening_lots), opening_twice])
        side_held = 1 if opening_lots > 0 else -1
    realised = 0
    for side, ticks, lots in zip(fills["side"].tolist(), fills["ticks"].tolist(), fills["lots"].tolist(), strict=True):
        left = lots
        while left and held and side != side_held:
            first = held[0]
            matched = min(left, first[0])
            realised += side_held * (2 * ticks - first[1]) * matched
            left -= matched
            first[0] -= matched
            if first[0] == 0:
                held.popleft()
        if left:
            held.append([left, 2 * ticks])
            side_held = side
    return realised


@exact
def making_trips(accounts: Sequence[InstrumentAccount], fills: np.ndarray, fundings: np.ndarray, into: Translation, start_ns: int) -> Trips:
    """The trips of every instrument on its own. start_ns: when opening positions were taken over."""
    closed: list[Trip] = []
    entries = exits = 0
    for k, account in enumerate(accounts):
        own = fills[fills["instrument"] == k]
        found, opened, ended = _flat_to_flat(account, own, start_ns)
        entries, exits = entries + opened, exits + ended
        payments = fundings[fundings["instrument"] == k]
        rate = into.factors[account.currency]
        for trip, end_ns in found:
            paid = _between(payments, trip.start_ns, end_ns)
            net = _trip_net(account, trip, 0, paid)
            closed.append(
                Trip(trip.start_ns, end_ns, account.instrument.key, net * rate, account.unit * trip.entered[0] * rate, tuple(trip.orders))
            )
    return Trips(tuple(sorted(closed, key=lambda t: (t.end_ns, t.label))), entries, exits)


def _flat_to_flat(account: InstrumentAccount, fills: np.ndarray, start_ns: int) -> tuple[list[tuple[_Open, int]], int, int]:
    position = 0 if account.is_spot else account.opening_lots
    trip: _Open | None = None
    if position:
        carried = position * account.quote.first_mid_twice
        trip = _Open(start_ns, [-carried], [0], [0], [abs(carried)])
    found: list[tuple[_Open, int]] = []
    entries = exits = 0
    columns = (fills[name].tolist() for name in ("exchange_ns", "seq", "side", "maker", "ticks", "lots"))
    for at_ns, seq, side, maker, ticks, lots in zip(*columns, strict=True):
        left = lots
        if position * side < 0:
            assert trip is not None
            part = min(left, abs(position))
            _book(trip, 0, seq, side, maker, 2 * ticks * part)
            position += side * part
            left -= part
            exits += 1
            if position == 0:
                found.append((trip, at_ns))
                trip = None
        if left:
            if trip is None:
                trip = _Open(at_ns, [0], [0], [0], [0])
            _book(trip, 0, seq, side, maker, 2 * ticks * left)
            trip.entered[0] += 2 * ticks * left
            position += side * left
            entries += 1
    return found, entries, exits


def _book(trip: _Open, leg: int, seq: int, side: int, maker: int, value: int) -> None:
    trip.cash[leg] -= side * value
    (trip.maker if maker else trip.taker)[leg] += value
    trip.orders.add(seq)


def _between(payments: np.ndarray, start_ns: int, end_ns: int) -> np.ndarray:
    if len(payments) == 0:
        return payments
    found: np.ndarray = payments[(payments["exchange_ns"] > start_ns) & (payments["exchange_ns"] <= end_ns)]
    return found


def _trip_net(account: InstrumentAccount, trip: _Open, leg: int, payments: np.ndarray) -> Decimal:
    """Cash less fees plus rebates plus funding of one leg, in its quote currency."""
    cost = account.maker_rate * trip.maker[leg] + account.taker_rate * trip.taker[leg]
    return account.unit * (trip.cash[leg] - cost) + funding_received(payments, account.unit)


@exact
def arbitrage_trips(
    accounts: Sequence[InstrumentAccount], pairs: Sequence[Pair], fills: np.ndarray, fundings: np.ndarray, into: Translation
) -> Trips:
    """The trips of every pair."""
    closed: list[Trip] = []
    entries = exits = 0
    for pair in pairs:
        legs = (accounts[pair.spot], accounts[pair.perp])
        own = fills[(fills["instrument"] == pair.spot) | (fills["instrument"] == pair.perp)]
        found, opened, ended = _both_closed(pair, legs, own)
        entries, exits = entries + opened, exits + ended
        label = f"{legs[0].instrument.key}/{legs[1].instrument.key}"
        factors = [into.factors[a.currency] for a in legs]
        for trip, end_ns in found:
            net = notional = Decimal(0)
            for leg, (number, account) in enumerate(zip((pair.spot, pair.perp), legs, strict=True)):
                paid = _between(fundings[fundings["instrument"] == number], trip.start_ns, end_ns)
                net += factors[leg] * _trip_net(account, trip, leg, paid)
                notional += factors[leg] * account.unit * trip.entered[leg]
            closed.append(Trip(trip.start_ns, end_ns, label, net, notional, tuple(trip.orders)))
    return Trips(tuple(sorted(closed, key=lambda t: (t.end_ns, t.label))), entries, exits)


def base_units_of_a_lot(pair: Pair, legs: tuple[InstrumentAccount, InstrumentAccount]) -> tuple[Decimal, Decimal]:
    """What one lot of each leg is in base units of the spot."""
    spot, perp = legs[0].instrument, legs[1].instrument
    return spot.lot * spot.multiplier, perp.lot * perp.multiplier * pair.ratio


def _both_closed(
    pair: Pair, legs: tuple[InstrumentAccount, InstrumentAccount], fills: np.ndarray
) -> tuple[list[tuple[_Open, int]], int, int]:
    sizes = base_units_of_a_lot(pair, legs)
    coarser = max(sizes)
    position, mark = [0, 0], [0, 0]
    trip: _Open | None = None
    found: list[tuple[_Open, int]] = []
    entries = exits = 0
    columns = (fills[name].tolist() for name in ("exchange_ns", "instrument", "seq", "side", "maker", "ticks", "lots"))
    for at_ns, instrument, seq, side, maker, ticks, lots in zip(*columns, strict=True):
        leg = 0 if instrument == pair.spot else 1
        if trip is None:
            # What was left of the last trip is carried at the price at which it was left.
            trip = _Open(at_ns, [-position[0] * mark[0], -position[1] * mark[1]], [0, 0], [0, 0], [0, 0])
        before = position[leg]
        closing = min(lots, abs(before)) if before * side < 0 else 0
        entering = lots - closing
        _book(trip, leg, seq, side, maker, 2 * ticks * lots)
        trip.entered[leg] += 2 * ticks * entering
        position[leg] += side * lots
        mark[leg] = 2 * ticks
        # What could not be hedged to the lot is closed by the next entry; that alone makes no exit.
        exits += closing > entering
        entries += closing <= entering
        if all(abs(p) * size < coarser for p, size in zip(position, sizes, strict=True)):
            for i in (0, 1):
                trip.cash[i] += position[i] * mark[i]
            found.append((trip, at_ns))
            trip = None
    return found, entries, exits
