"""The series of a report: equity, inventory, prices with quotes and fills, premiums with entries and exits.

Prices are in the quote currency, quantities in coins (contracts where one of them is several coins), premiums in basis points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from interlock.domain.instruments import Instrument
from interlock.evidence.curve import sample_grid
from interlock.evidence.facts import Pair, RunFacts
from interlock.evidence.marks import fx_instrument
from interlock.evidence.mids import marks_from_rows, marks_from_samples
from interlock.evidence.report_data import Equity, Fills, Floats, Inventory, PremiumPanel, PricePanel, Times
from interlock.evidence.result import Evidence
from interlock.strategies.tags import Leg

BPS = 1e4
EXIT_LEGS = (Leg.TAKE_PROFIT, Leg.STOP_LOSS, Leg.TIME_LIMIT, Leg.REVERSAL, Leg.HEALTH)


def quantity_unit(instrument: Instrument) -> str:
    """What a quantity of the instrument counts."""
    return instrument.base if instrument.multiplier == 1 else "contracts"


def equity(evidence: Evidence) -> Equity | None:
    """Equity at mid over the samples; None without samples."""
    points = evidence.curve.points
    if len(points) == 0:
        return None
    return Equity(points["exchange_ns"].astype(np.int64), points["equity_mid"].astype(np.float64), evidence.into.into)


def inventories(facts: RunFacts) -> tuple[Inventory, ...]:
    """By instrument whose position changed; what only lay there is said in the table by instrument."""
    grid = sample_grid(facts.outcome.samples, len(facts.instruments))
    found = []
    for k, instrument in enumerate(facts.instruments):
        lots = grid["position_lots"][:, k]
        if np.any(lots != lots[:1]):
            ns = grid["exchange_ns"][:, k].astype(np.int64)
            found.append(Inventory(instrument.key, quantity_unit(instrument), ns, lots * float(instrument.lot)))
    return tuple(found)


def prices(facts: RunFacts, fills: np.ndarray) -> tuple[PricePanel, ...]:
    """By instrument that was quoted or traded. Where the tape holds bars there are no quotes of our own to show."""
    grid = sample_grid(facts.outcome.samples, len(facts.instruments))
    found = []
    for k, instrument in enumerate(facts.instruments):
        own = fills[fills["instrument"] == k]
        samples = grid[:, k]
        quoted = not facts.bars and bool(np.any(samples["own_bid_ticks"] > 0) or np.any(samples["own_ask_ticks"] > 0))
        if not quoted and len(own) == 0:
            continue
        quantum = float(instrument.quantum)
        bid, ask = (_positive(samples[name] if quoted else np.zeros(len(samples)), quantum) for name in ("own_bid_ticks", "own_ask_ticks"))
        found.append(
            PricePanel(
                instrument.key,
                instrument.quote,
                quantity_unit(instrument),
                samples["exchange_ns"].astype(np.int64),
                _positive(samples["mid_twice"], quantum / 2),
                bid,
                ask,
                Fills(
                    own["exchange_ns"].astype(np.int64),
                    own["ticks"] * quantum,
                    own["lots"] * float(instrument.lot),
                    own["side"] > 0,
                    own["maker"] > 0,
                ),
            )
        )
    return tuple(found)


def _positive(ticks: np.ndarray, unit: float) -> Floats:
    """Prices; nan where there was none."""
    result: Floats = np.where(ticks > 0, ticks * unit, np.nan)
    return result


def decisions(fills: np.ndarray, pair: Pair, legs: Sequence[Leg]) -> Times:
    """When the strategy decided on the trades of a pair that its fills' tags say were of these kinds; each decision once, in order."""
    own = (fills["instrument"] == pair.spot) | (fills["instrument"] == pair.perp)
    chosen = own & np.isin(fills["tag"] & 0xFF, [int(leg) for leg in legs])
    return np.unique(fills["decided_ns"][chosen].astype(np.int64))


def premiums(facts: RunFacts, fills: np.ndarray) -> tuple[PremiumPanel, ...]:
    """By pair: ln(spot mid / (perpetual mid x FX)), in basis points, at the samples and at decisions to enter and to leave."""
    if not facts.pairs:
        return ()
    grid = sample_grid(facts.outcome.samples, len(facts.instruments))
    at = [(decisions(fills, pair, (Leg.ENTRY,)), decisions(fills, pair, EXIT_LEGS)) for pair in facts.pairs]
    asked = np.unique(np.concatenate([ns for both in at for ns in both]))
    sampled = _logs(facts.instruments, grid["mid_twice"])
    decided = _logs(facts.instruments, _mids_at(facts, asked))
    panels = []
    for number, (pair, (entries, exits)) in enumerate(zip(facts.pairs, at, strict=True)):
        rate = _rate_of(facts, number)
        own = _ratio(pair, sampled) - rate.log(sampled)
        centre = float(np.nanmean(own)) if rate.centred and np.isfinite(own).any() else 0.0
        then = BPS * (_ratio(pair, decided) - rate.log(decided) - centre)
        spot, perp = facts.instruments[pair.spot], facts.instruments[pair.perp]
        panels.append(
            PremiumPanel(
                f"{spot.key} / {perp.key}, {rate.says}",
                grid["exchange_ns"][:, pair.spot].astype(np.int64),
                BPS * (own - centre),
                entries,
                then[np.searchsorted(asked, entries)],
                exits,
                then[np.searchsorted(asked, exits)],
            )
        )
    return tuple(panels)


@dataclass(frozen=True)
class _Rate:
    """Where FX comes from for a pair: an instrument, the pairs that imply it, or neither; `says` names it. centred: the premium is taken
    relative to its mean."""

    says: str
    instrument: int | None = None
    others: tuple[Pair, ...] = ()
    centred: bool = False

    def log(self, logs: Floats) -> Floats:
        """ln of the rate at each moment (row); nan where unknown."""
        if self.instrument is not None:
            return logs[:, self.instrument]
        result = np.zeros(len(logs))
        if self.others:
            ratios = np.stack([_ratio(pair, logs) for pair in self.others])
            known = np.isfinite(ratios)
            count = known.sum(axis=0)
            result = np.where(known, ratios, 0.0).sum(axis=0) / np.where(count > 0, count, np.nan)
        return result


def _rate_of(facts: RunFacts, number: int) -> _Rate:
    def quotes(pair: Pair) -> tuple[str, str]:
        return facts.instruments[pair.spot].quote, facts.instruments[pair.perp].quote

    pair = facts.pairs[number]
    if quotes(pair)[0] == quotes(pair)[1]:
        return _Rate("both in one currency")
    fx = fx_instrument(facts.instruments)
    if fx is not None and quotes(pair) == ("KRW", "USDT"):
        return _Rate(f"at the rate of {facts.instruments[fx].key}", instrument=fx)
    others = tuple(p for i, p in enumerate(facts.pairs) if i != number and quotes(p) == quotes(pair))
    if others:
        return _Rate(
            "at the rate that the other pairs imply" if len(others) > 1 else "at the rate that the other pair implies", others=others
        )
    return _Rate("relative to its own mean, as nothing tells the exchange rate", centred=True)


def _ratio(pair: Pair, logs: Floats) -> Floats:
    """ln(spot / perpetual) for one base unit of the spot."""
    result: Floats = logs[:, pair.spot] - logs[:, pair.perp] + float(np.log(float(pair.ratio)))
    return result


def _logs(instruments: Sequence[Instrument], mids_twice: np.ndarray) -> Floats:
    """ln of the mid of one base unit, a row a moment, a column an instrument; nan where unknown."""
    units = np.array([float(i.quantum / i.multiplier * Decimal("0.5")) for i in instruments])
    prices = np.where(mids_twice > 0, mids_twice * units, np.nan)
    result: Floats = np.log(prices)
    return result


def _mids_at(facts: RunFacts, at_ns: Times) -> np.ndarray:
    """Mids (twice) of every instrument at these times, from the tape or, where none is at hand, from the samples."""
    count = len(facts.instruments)
    instrument = np.tile(np.arange(count, dtype=np.int64), len(at_ns))
    times = np.repeat(at_ns, count)
    if len(at_ns) == 0:
        return np.zeros((0, count), np.int64)
    if len(facts.rows):
        marks = marks_from_rows(facts.rows, facts.exchange_order, facts.instruments, instrument, times)
    else:
        marks = marks_from_samples(facts.outcome.samples, count, instrument, times)
    mids: np.ndarray = marks.quotes["mid_twice"].reshape(-1, count)
    return mids
