"""Realised against expected edge, by decile of what was expected (docs/model.md, edge)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from interlock.evidence.exact import decimal_sum, exact
from interlock.evidence.trips import Trip

DECILES = 10
BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class Decile:
    """Trips of similar expectation: means in basis points of the notional of their entries."""

    number: int
    trips: int
    expected_bps: Decimal
    realised_bps: Decimal


@exact
def expected_against_realised(trips: Sequence[Trip], expected_bps: Mapping[int, Decimal] | None) -> tuple[Decile, ...] | None:
    """Deciles from the lowest expectation to the highest; None where no trip has an expectation.

    A trip's expectation is the mean over those of its orders that have one.
    """
    pairs = []
    for trip in trips:
        known = [expected_bps[seq] for seq in trip.orders if seq in expected_bps] if expected_bps else []
        if known and trip.notional > 0:
            pairs.append((decimal_sum(known) / len(known), BPS * trip.net / trip.notional))
    if not pairs:
        return None
    pairs.sort()
    rows = []
    for number in range(DECILES):
        part = pairs[number * len(pairs) // DECILES : (number + 1) * len(pairs) // DECILES]
        if part:
            means = [decimal_sum(p[i] for p in part) / len(part) for i in (0, 1)]
            rows.append(Decile(number + 1, len(part), means[0], means[1]))
    return tuple(rows)
