"""An order as a read shows it: as it is, or while reads lag as it was then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from interlock.simulate.served.binance_usdm.words import status_of
from interlock.simulate.served.face import Face
from interlock.simulate.served.orders import Execution, SimOrder

DAY_NS = 86_400_000_000_000
EMPTY_KEPT_NS = 3 * DAY_NS
"""How long an order that ended without an execution can be read."""
KEPT_NS = 90 * DAY_NS


@dataclass(frozen=True, slots=True)
class Seen:
    """What is told of an order: sizes in lots, the value of what executed in quote currency, the time of the last change in milliseconds."""

    order: SimOrder
    status: str
    filled_lots: int
    value: Decimal
    updated_ms: int

    @property
    def open(self) -> bool:
        """Whether it can still execute, by what is told."""
        return self.status in ("NEW", "PARTIALLY_FILLED")

    @property
    def filled(self) -> Decimal:
        """The executed size."""
        return self.order.instrument.quantity(self.filled_lots)

    @property
    def average(self) -> Decimal:
        """The mean price of what executed; 0 if nothing did."""
        return self.value / self.filled if self.filled_lots else Decimal(0)


def now(order: SimOrder) -> Seen:
    """An order as it is."""
    return Seen(order, status_of(order), order.filled_lots, order.filled_value, order.updated_ns // 1_000_000)


def accepted(order: SimOrder) -> Seen:
    """An order as it was when it was taken, before anything happened to it."""
    return Seen(order, "NEW", 0, Decimal(0), order.created_ns // 1_000_000)


def then(order: SimOrder, face: Face) -> Seen | None:
    """An order as reads show it now; None while they do not show it yet."""
    if face.later_than_lag(order.created_ns):
        return None
    if not face.later_than_lag(order.updated_ns):
        return now(order)
    done = [e for e in order.executed if not face.later_than_lag(e.venue_ns)]
    lots = sum(e.lots for e in done)
    value = sum((order.instrument.notional(e.ticks, e.lots) for e in done), Decimal(0))
    updated_ns = done[-1].venue_ns if done else order.created_ns
    return Seen(order, "PARTIALLY_FILLED" if lots else "NEW", lots, value, updated_ns // 1_000_000)


def kept(face: Face, orders: Iterable[SimOrder]) -> Iterator[Seen]:
    """The orders that can be read at all, in their order."""
    now_ns = face.venue.now_ns()
    for order in orders:
        found = then(order, face)
        if found is None:
            continue
        age = now_ns - order.updated_ns
        if found.open or (age <= KEPT_NS and (found.filled_lots or age <= EMPTY_KEPT_NS)):
            yield found


def executions(face: Face, found: Iterable[Execution]) -> Iterator[Execution]:
    """Those of the executions that reads show. One that was taken back is not shown, nor what took it back."""
    gone = face.venue.history.taken_back
    return (e for e in found if not e.reverses and e.number not in gone and not face.later_than_lag(e.venue_ns))


def cutoff_ns(face: Face) -> int:
    """The youngest venue time that reads show."""
    return face.venue.now_ns() - face.lag_ms * 1_000_000
