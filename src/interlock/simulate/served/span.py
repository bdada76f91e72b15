"""Which orders or executions of a venue are asked for: of which symbols, between which times, with which numbers, and what orders must be besides."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from interlock.domain.orders import OrderState
from interlock.simulate.served.orders import Execution, Origin, SimOrder

EARLIEST: Final = -(1 << 62)
LATEST: Final = 1 << 62
"""Bounds beyond every time in nanoseconds and every number; a window that asks for more is asking for no more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Those of some symbols that the venue lists (None: of all) from `begin_ns` to `end_ns` with the numbers `first` to `last`, all bounds included.

    The time is the venue's: of an order when it was taken, of an execution when it happened.
    """

    symbols: Collection[str] | None = None
    begin_ns: int = EARLIEST
    end_ns: int = LATEST
    first: int = EARLIEST
    last: int = LATEST

    @property
    def timed(self) -> bool:
        """Whether a time bounds it."""
        return self.begin_ns > EARLIEST or self.end_ns < LATEST

    def holds(self, symbol: str, number: int, venue_ns: int) -> bool:
        """Whether something with these is within."""
        return (
            self.first <= number <= self.last
            and self.begin_ns <= venue_ns <= self.end_ns
            and (self.symbols is None or symbol in self.symbols)
        )

    def holds_execution(self, execution: Execution) -> bool:
        """Whether an execution is within."""
        return self.holds(execution.order.symbol, execution.number, execution.venue_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders(Span):
    """Orders within the bounds, in one of `states` (None: in any).

    `empty_since_ns`: those that are over and executed nothing only if they changed at that time or later. `by_venue`: only those that the venue
    itself made. `closed_since_ns`: only those that closed something of a position then or later; None for all.
    """

    states: Collection[OrderState] | None = None
    empty_since_ns: int = EARLIEST
    by_venue: bool = False
    closed_since_ns: int | None = None

    def holds_order(self, order: SimOrder) -> bool:
        """Whether an order is one of them."""
        return (
            self.holds(order.symbol, order.number, order.created_ns)
            and (self.states is None or order.state in self.states)
            and (order.open or bool(order.filled_lots) or order.updated_ns >= self.empty_since_ns)
            and not (self.by_venue and order.origin is Origin.CLIENT)
            and (self.closed_since_ns is None or order.closed_ns >= self.closed_since_ns)
        )
