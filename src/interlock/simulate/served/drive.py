"""What drives a simulated venue's market: a seeded one, or the rows of a tape at the pace at which they were recorded, over and over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import numpy as np

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind
from interlock.market.tape import Tape
from interlock.simulate.served.market import SeededMarket


class Drive(Protocol):
    """A source of market rows for one venue."""

    instruments: tuple[Instrument, ...]

    def around(self) -> dict[str, Decimal]:
        """The price around which each symbol is at first."""
        ...

    def first(self) -> np.ndarray:
        """The rows that fill the books."""
        ...

    def step(self) -> np.ndarray:
        """The rows of the next step."""
        ...


@dataclass(slots=True)
class TapeDrive:
    """The rows of one venue of a tape, `step_ns` of exchange time at a time. At its end it begins again with emptied books.

    Instruments are numbered anew, by their order in the tape. Raises UsageError for a tape without order books of the venue.
    """

    instruments: tuple[Instrument, ...]
    rows: np.ndarray
    step_ns: int
    at: int = 0
    now_ns: int = 0

    @classmethod
    def of(cls, tape: Tape, venue: str, step_ns: int) -> TapeDrive:
        """The part of a tape that is of one venue."""
        numbers = [k for k, instrument in enumerate(tape.instruments) if instrument.venue == venue]
        order = tape.exchange_order
        rows = np.array(tape.rows if order is None else tape.rows[order])
        rows = rows[np.isin(rows["instrument"], numbers)]
        rows["instrument"] = np.searchsorted(numbers, rows["instrument"])
        for k, number in enumerate(numbers):
            if not len(rows[(rows["instrument"] == k) & (rows["kind"] == RowKind.DEPTH)]):
                raise UsageError(f"the tape has no order book of {tape.instruments[number].key}: a venue cannot be driven by it")
        return cls(tuple(tape.instruments[number] for number in numbers), rows, step_ns)

    def around(self) -> dict[str, Decimal]:
        """The mean of each book's first levels."""
        found = {}
        for k, instrument in enumerate(self.instruments):
            levels = self.rows[(self.rows["instrument"] == k) & (self.rows["kind"] == RowKind.DEPTH)]["ticks"][:200]
            found[instrument.symbol] = instrument.price(int(np.median(levels)))
        return found

    def first(self) -> np.ndarray:
        """The first second of the tape."""
        self.at, self.now_ns = 0, int(self.rows["exchange_ns"][0]) + 1_000_000_000 - self.step_ns
        return self.step()

    def step(self) -> np.ndarray:
        """The rows up to `step_ns` later."""
        if self.at >= len(self.rows):
            clear = np.zeros(len(self.instruments), ROW)
            clear["kind"], clear["instrument"] = RowKind.CLEAR, np.arange(len(self.instruments))
            return np.concatenate([clear, self.first()])
        self.now_ns += self.step_ns
        end = int(np.searchsorted(self.rows["exchange_ns"], self.now_ns, side="right"))
        found = self.rows[self.at : max(end, self.at)]
        self.at = max(end, self.at)
        return found


def drives(venue: str, tape: Tape | None, seeded: SeededMarket, step_ns: int) -> Drive:
    """What drives a venue: the tape if it has instruments of the venue, else the seeded market."""
    if tape is not None and any(instrument.venue == venue for instrument in tape.instruments):
        return TapeDrive.of(tape, venue, step_ns)
    return seeded


def symbols(instruments: Sequence[Instrument]) -> dict[str, Instrument]:
    """Instruments by the venue's own name."""
    return {instrument.symbol: instrument for instrument in instruments}
