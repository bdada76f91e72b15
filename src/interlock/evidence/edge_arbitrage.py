"""Attribution of an arbitrage result (docs/model.md, edge), pair by pair, in the currency of the report.

Let V be the value of one lot at mid, translated at the FX rate of its own time, and d, a, px a fill's decision mid, arrival mid and price:

    premium          the hedged part of both legs: sum over intervals of lots x change of V, plus s (V_fill - V_decision) q at each fill,
                     so that a trip earns exit premium less entry premium at decision prices
    hedge_residual   the part of either leg that the other does not cover, over the same intervals
    latency          s (d - a) q      decision mid to arrival mid
    slippage_*       s (a - px) q     arrival mid to price, per leg
    fx               what the KRW paid and received between opening and end gained or lost against the closing rate,
                     and the price moves of the FX instrument itself
    fees, rebates, funding, liquidation
    opening_inventory  what merely holding the opening position gave; lots above are those beyond it, so no other part contains it
    residual

Intervals lie between fills, where positions are constant, which is finer than samples. Without an FX book in the tape one rate holds for
the whole run, and fx is 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from interlock.evidence.accounting import InstrumentAccount, Ledger
from interlock.evidence.edge import Edge, close_edge
from interlock.evidence.edge_making import known_mids
from interlock.evidence.exact import exact, times, total
from interlock.evidence.facts import Pair
from interlock.evidence.translate import Translation
from interlock.evidence.trips import base_units_of_a_lot

ARBITRAGE_PARTS = (
    "premium",
    "hedge_residual",
    "latency",
    "slippage_spot",
    "slippage_perp",
    "fees",
    "rebates",
    "funding",
    "fx",
    "liquidation",
    "opening_inventory",
    "residual",
)


@dataclass(frozen=True)
class PairMarks:
    """Marks of one pair: one row for the start, then one for each of its fills in order of time.

    mids_twice: shape (2, 1 + fills), spot and perpetual, ticks twice. krw_per_usdt and krw_per_usdt_decided: the FX rate at these times
    and at the decision of each fill (first entry unused); empty where the tape has no FX book.
    """

    mids_twice: npt.NDArray[np.int64]
    krw_per_usdt: Sequence[Decimal] = ()
    krw_per_usdt_decided: Sequence[Decimal] = ()


@exact
def arbitrage_edge(
    ledger: Ledger, pairs: Sequence[Pair], fills: np.ndarray, marks: Sequence[PairMarks], into: Translation, fx_instrument: int | None
) -> Edge:
    """Take an arbitrage result apart. marks: by pair. Instruments of no pair count as unhedged, the FX instrument as fx."""
    parts: dict[str, Decimal] = dict.fromkeys(("premium", "hedge_residual", "latency", "slippage_spot", "slippage_perp", "fx"), Decimal(0))
    paired: dict[int, str] = {}
    for pair, mark in zip(pairs, marks, strict=True):
        paired[pair.spot], paired[pair.perp] = "slippage_spot", "slippage_perp"
        own = fills[(fills["instrument"] == pair.spot) | (fills["instrument"] == pair.perp)]
        _add(parts, _PairWalk(pair, (ledger.instruments[pair.spot], ledger.instruments[pair.perp]), mark, into).parts(own))
    for k, account in enumerate(ledger.instruments):
        own = fills[fills["instrument"] == k]
        factor = into.factors[account.currency] * account.unit
        signed = times(own["side"].astype(np.int64), own["lots"])
        arrival, decision = _references(own)
        parts["latency"] += factor * total(times(signed, decision - arrival))
        slipped = factor * total(times(signed, arrival - 2 * own["ticks"]))
        parts[paired.get(k, "slippage_spot" if account.is_spot else "slippage_perp")] += slipped
        if k not in paired:
            moved = total(times(signed, account.quote.mid_twice - decision))
            parts["fx" if k == fx_instrument else "hedge_residual"] += factor * moved
    notes = () if any(m.krw_per_usdt for m in marks) else ("fx: one rate for the whole run",)
    return close_edge(ledger, into, parts, notes)


def _add(parts: dict[str, Decimal], more: Mapping[str, Decimal]) -> None:
    for name, amount in more.items():
        parts[name] += amount


def _references(fills: np.ndarray) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(arrival mids, decision mids), twice; the next later reference where one is unknown."""
    arrival = np.where(fills["arrival_twice"] > 0, fills["arrival_twice"], known_mids(fills))
    return arrival, np.where(fills["decision_twice"] > 0, fills["decision_twice"], arrival)


class _PairWalk:
    """One pass over the fills of a pair, from the start of the run to its end. Lots are counted from the opening position."""

    def __init__(self, pair: Pair, legs: tuple[InstrumentAccount, InstrumentAccount], marks: PairMarks, into: Translation) -> None:
        self._pair = pair
        self._legs = legs
        self._marks = marks
        self._sizes = base_units_of_a_lot(pair, legs)
        self._closing = [into.factors[a.currency] for a in legs]
        self._usdt = into.factors.get("USDT", Decimal(0))

    def _factor(self, leg: int, rates: Sequence[Decimal], i: int) -> Decimal:
        """What one unit of a leg's currency was worth in the report's currency at mark i."""
        if rates and self._legs[leg].currency == "KRW":
            return self._usdt / rates[i]
        return self._closing[leg]

    def _hedged(self, lots: list[int]) -> list[Decimal]:
        """The lots of each leg that the other leg covers."""
        if lots[0] * lots[1] >= 0:
            return [Decimal(0), Decimal(0)]
        covered = min(abs(n) * size for n, size in zip(lots, self._sizes, strict=True))
        return [(covered if n > 0 else -covered) / size for n, size in zip(lots, self._sizes, strict=True)]

    def parts(self, fills: np.ndarray) -> dict[str, Decimal]:
        """premium, hedge_residual and fx of the pair."""
        legs, marks = self._legs, self._marks
        premium = unhedged = fx = Decimal(0)
        lots = [0, 0]
        value = [self._value(leg, 0) for leg in (0, 1)]
        _, decisions = _references(fills)
        number = np.where(fills["instrument"] == self._pair.spot, 0, 1).tolist()
        steps = zip(number, fills["side"].tolist(), fills["lots"].tolist(), decisions.tolist(), strict=True)
        for i, (leg, side, size, decision) in enumerate(steps, start=1):
            now = [self._value(other, i) for other in (0, 1)]
            gained, lost = self._held(lots, value, now)
            premium, unhedged, value = premium + gained, unhedged + lost, now
            at_decision = legs[leg].unit * decision
            factor = self._factor(leg, marks.krw_per_usdt_decided, i)
            premium += side * size * (now[leg] - at_decision * factor)
            fx += side * size * at_decision * (factor - self._closing[leg])
            lots[leg] += side * size
        last = [legs[leg].unit * legs[leg].quote.mid_twice * self._closing[leg] for leg in (0, 1)]
        gained, lost = self._held(lots, value, last)
        return {"premium": premium + gained, "hedge_residual": unhedged + lost, "fx": fx}

    def _value(self, leg: int, i: int) -> Decimal:
        return self._legs[leg].unit * int(self._marks.mids_twice[leg, i]) * self._factor(leg, self._marks.krw_per_usdt, i)

    def _held(self, lots: list[int], before: list[Decimal], after: list[Decimal]) -> tuple[Decimal, Decimal]:
        """(hedged, unhedged) profit of holding the lots over an interval."""
        hedged = self._hedged(lots)
        gained = lost = Decimal(0)
        for leg in (0, 1):
            change = after[leg] - before[leg]
            gained += hedged[leg] * change
            lost += (lots[leg] - hedged[leg]) * change
        return gained, lost
