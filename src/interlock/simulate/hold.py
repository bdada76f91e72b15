"""How long nothing new is proposed in a market after the gate has denied an order there: longer each time, until one is permitted.

Without it a strategy that is woken by the denial would propose the same at once, and be denied again, without end. The live engine and a replay
with the gate's decision hold back by this one rule.
"""

from __future__ import annotations

from typing import Final

from interlock.domain.clock import NS_PER_S

FIRST_HOLD_NS: Final = NS_PER_S // 4
LONGEST_HOLD_NS: Final = 8 * NS_PER_S


class Holds:
    """The holds of instruments by number. Times are nanoseconds of the caller's clock."""

    def __init__(self, instruments: int) -> None:
        self._until_ns = [0] * instruments
        self._next_ns = [FIRST_HOLD_NS] * instruments

    def holds(self, instrument: int, now_ns: int) -> bool:
        """Whether nothing new is proposed there now."""
        return now_ns < self._until_ns[instrument]

    def denied(self, instrument: int, now_ns: int) -> None:
        """An order was denied there."""
        self._until_ns[instrument] = now_ns + self._next_ns[instrument]
        self._next_ns[instrument] = min(2 * self._next_ns[instrument], LONGEST_HOLD_NS)

    def permitted(self, instrument: int) -> None:
        """An order was permitted there: the next denial begins anew."""
        self._next_ns[instrument] = FIRST_HOLD_NS
