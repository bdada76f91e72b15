"""Which prices the evidence needs at which times, asked for in one pass over the tape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from interlock.domain.instruments import Instrument, Kind
from interlock.evidence.accounting import ClosingQuote
from interlock.evidence.edge_arbitrage import PairMarks
from interlock.evidence.edge_making import known_mids
from interlock.evidence.execution import HORIZONS_NS
from interlock.evidence.facts import RunFacts
from interlock.evidence.mids import Marks, marks_from_rows, marks_from_samples
from interlock.simulate.outcome import Outcome

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RunMarks:
    """Prices of a run. later_twice: mids (twice) after each fill, shape (horizons, fills), at the latest those of the end."""

    closing: tuple[ClosingQuote, ...]
    later_twice: Numbers
    pairs: tuple[PairMarks, ...]


class _Questions:
    """Collects (instrument, time) questions and hands out where their answers lie."""

    def __init__(self) -> None:
        self._instrument: list[Numbers] = []
        self._at_ns: list[Numbers] = []
        self._count = 0

    def ask(self, instrument: Numbers | int, at_ns: Numbers) -> slice:
        """Where the answers for these times will be."""
        start = self._count
        self._instrument.append(np.broadcast_to(np.asarray(instrument, np.int64), at_ns.shape).astype(np.int64))
        self._at_ns.append(at_ns.astype(np.int64))
        self._count += len(at_ns)
        return slice(start, self._count)

    def answer(self, facts: RunFacts, outcome: Outcome) -> Marks:
        """One pass over the tape, or over the samples where no rows are at hand."""
        instrument, at_ns = np.concatenate(self._instrument), np.concatenate(self._at_ns)
        if len(facts.rows):
            return marks_from_rows(facts.rows, facts.exchange_order, facts.instruments, instrument, at_ns)
        return marks_from_samples(outcome.samples, len(facts.instruments), instrument, at_ns)


def fx_instrument(instruments: Sequence[Instrument]) -> int | None:
    """The number of the spot market of USDT in KRW, the executable FX rate, if the tape has one."""
    for k, instrument in enumerate(instruments):
        if instrument.kind is Kind.SPOT and instrument.base == "USDT" and instrument.quote == "KRW":
            return k
    return None


def run_marks(facts: RunFacts) -> RunMarks:
    """All prices of the run that the account and the attribution need."""
    outcome, fills = facts.outcome, facts.outcome.fills
    count, end_ns = len(facts.instruments), facts.outcome.end_ns
    questions = _Questions()
    closing = questions.ask(np.arange(count), np.full(count, end_ns))
    later = [
        questions.ask(fills["instrument"].astype(np.int64), np.minimum(fills["exchange_ns"] + horizon, end_ns)) for horizon in HORIZONS_NS
    ]
    fx = fx_instrument(facts.instruments)
    asked = []
    for pair in facts.pairs:
        own = _fills_of(fills, pair.spot, pair.perp)
        legs = tuple(questions.ask(leg, own["exchange_ns"]) for leg in (pair.spot, pair.perp))
        rates = None if fx is None else (questions.ask(fx, own["exchange_ns"]), questions.ask(fx, own["decided_ns"]))
        asked.append((pair, own, legs, rates))
    marks = questions.answer(facts, outcome)
    mids = marks.quotes["mid_twice"]
    quotes = tuple(
        ClosingQuote(int(marks.first_mid_twice[k]), int(q["mid_twice"]), int(q["bid_ticks"]), int(q["ask_ticks"]))
        for k, q in enumerate(marks.quotes[closing])
    )
    pairs = []
    for pair, own, legs, rates in asked:
        first = marks.first_mid_twice
        table = np.stack([np.r_[first[leg], mids[where]] for leg, where in zip((pair.spot, pair.perp), legs, strict=True)])
        for row, leg in enumerate((pair.spot, pair.perp)):
            table[row] = _filled(table[row], own, leg)
        if rates is None or fx is None or first[fx] == 0:
            pairs.append(PairMarks(table))
            continue
        quantum = facts.instruments[fx].quantum
        at_fill, at_decision = (_rates(np.r_[first[fx], mids[where]], quantum) for where in rates)
        pairs.append(PairMarks(table, at_fill, at_decision))
    return RunMarks(quotes, np.stack([mids[where] for where in later]), tuple(pairs))


def _fills_of(fills: np.ndarray, spot: int, perp: int) -> np.ndarray:
    own: np.ndarray = fills[(fills["instrument"] == spot) | (fills["instrument"] == perp)]
    return own


def _filled(mids: Numbers, fills: np.ndarray, leg: int) -> Numbers:
    """Where a mid was not yet known: the leg's first known mid, of the tape or of its own fills."""
    known = mids[mids > 0]
    fallback = known[0] if len(known) else next(iter(known_mids(fills[fills["instrument"] == leg])), 0)
    return np.where(mids > 0, mids, fallback)


def _rates(mids_twice: Numbers, quantum: Decimal) -> list[Decimal]:
    """KRW per USDT from mids; the first known one where none was known yet."""
    first = mids_twice[mids_twice > 0][0]
    half = quantum / 2
    return [half * (m if m > 0 else int(first)) for m in mids_twice.tolist()]


def closing_quotes(facts: RunFacts, outcome: Outcome, base: tuple[ClosingQuote, ...]) -> tuple[ClosingQuote, ...]:
    """The closing quotes of another outcome on the same tape: the same if it reached the same end, else those of its own end."""
    if outcome.ending is facts.outcome.ending and outcome.rows == facts.outcome.rows:
        return base
    count = len(facts.instruments)
    questions = _Questions()
    questions.ask(np.arange(count), np.full(count, outcome.end_ns))
    marks = questions.answer(facts, outcome)
    return tuple(
        ClosingQuote(int(marks.first_mid_twice[k]), int(q["mid_twice"]), int(q["bid_ticks"]), int(q["ask_ticks"]))
        for k, q in enumerate(marks.quotes)
    )
