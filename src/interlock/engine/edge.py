"""What a strategy's last fills have earned, measured while it trades, and when that has collapsed.

Of a fill of side s and q lots at price px, as a result is taken apart afterwards (docs/model.md, edge; `evidence.edge_making`), with horizon h:

    captured   s (mid_t - px) q         mid_t: our mid when we hear of the fill
    markout    s (mid_{t+h} - mid_t) q
    fees       what was charged for it; a rebate is below zero

The edge of the window is the sum of captured and markout less fees, over the sum of px q: each fill weighs by its notional. The two parts add up to
s (mid_{t+h} - px) q, so that hearing of a fill late moves the split and never the edge. A fill counts once its horizon is over; its mid is that
before the first input from then on at which the book may be used.

All of it is a function of what the engine consumes: no clock, no chance. What has collapsed is told once, and then measured anew from the fills
that were not counted yet, so that whoever lets the strategy trade again need not wait until the old ones have left the window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from typing import Any, Final

from interlock.domain.instruments import Instrument
from interlock.gate.frames import OrderNow

BPS: Final = 10_000
STEP_BPS: Final = Decimal("0.0001")
"""Figures are told to this, rounded down: never more edge than there is."""
ORDERS_KEPT: Final = 4_096
"""Of how many of our newest orders executions are still counted."""
EARLY_KEPT: Final = 64
"""How many orders are remembered that were told of before their permit."""
NOT_A_NUMBER: Final = Decimal("NaN")
NEVER_NS: Final = 1 << 62
_EXACT: Final = Context(prec=200)


@dataclass(frozen=True, slots=True)
class EdgeRule:
    """The least edge, basis points, that a strategy trades on, and how it is measured: over the last `window_fills`, from `least_fills` on."""

    threshold_bps: Decimal
    horizon_ns: int
    window_fills: int
    least_fills: int


@dataclass(frozen=True, slots=True)
class EdgeCollapse:
    """An edge below its threshold, to be told to the gate. Decimal text; a measured edge that is no number is NaN."""

    measured_bps: str
    threshold_bps: str


@dataclass(frozen=True, slots=True)
class Figures:
    """The edge of the fills in the window and its parts, basis points of their notional; fees above zero were paid. NaN where one is not known."""

    fills: int
    edge_bps: Decimal
    captured_bps: Decimal
    markout_bps: Decimal
    fees_bps: Decimal


@dataclass(slots=True)
class _Counted:
    """What of an order's executions was counted."""

    lots: int = 0
    tick_lots: int = 0
    fees: tuple[tuple[str, Decimal], ...] = ()
    priced: bool = True
    """Whether the prices of all of it were told. If not, those of what comes later cannot be told apart from them."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A fill whose horizon is not over. `tick_lots` is the sum of price times size; `mid_twice` that of when we heard of it."""

    instrument: int
    side: int
    lots: int
    tick_lots: int
    mid_twice: int
    fees: Decimal
    until_ns: int


@dataclass(frozen=True, slots=True)
class _Earned:
    """A fill whose horizon is over, in the quote currency; `fees` is NaN where they are in a currency that has no price here."""

    notional: Decimal
    captured: Decimal
    markout: Decimal
    fees: Decimal


class EdgeFold:
    """Measures. `mid_twice(k)`: twice the mid of instrument k in ticks, 0 while its book may not be used.

    Raises ValueError for instruments of several quote currencies: their amounts have no sum.
    """

    def __init__(self, instruments: Sequence[Instrument], rule: EdgeRule, mid_twice: Callable[[int], int]) -> None:
        if len({one.quote for one in instruments}) > 1:
            raise ValueError(f"edge: expected instruments of one quote currency, found {sorted({one.quote for one in instruments})}")
        self.rule = rule
        self.due_ns = NEVER_NS
        """From when on `due` has something to look at."""
        self.collapses = 0
        self.last: EdgeCollapse | None = None
        self.unpriced_lots = 0
        """Executed, at a price that the gate did not tell: counted nowhere else."""
        self._instruments = tuple(instruments)
        self._numbers = {(one.venue, one.symbol): k for k, one in enumerate(instruments)}
        self._mid_twice = mid_twice
        self._ours: dict[str, _Counted] = {}
        self._early: dict[str, OrderNow] = {}
        self._waiting: list[_Waiting] = []
        self._window: deque[_Earned] = deque()
        self._sums = _Earned(Decimal(0), Decimal(0), Decimal(0), Decimal(0))
        self._without_fees = 0

    # What comes in

    def permitted(self, client_id: str, now_ns: int) -> None:
        """An order is ours: its executions count, also what was told of it before."""
        self._ours[client_id] = _Counted()
        if len(self._ours) > ORDERS_KEPT:
            del self._ours[next(iter(self._ours))]
        early = self._early.pop(client_id, None)
        if early is not None:
            self._count(early, now_ns)

    def told(self, orders: Sequence[OrderNow], now_ns: int) -> None:
        """How orders stand. Those of others, of an earlier life and by hand, do not count."""
        for said in orders:
            if said.filled_lots <= 0:
                continue
            if said.client_id in self._ours:
                self._count(said, now_ns)
            else:
                self._early.pop(said.client_id, None)
                self._early[said.client_id] = said
                if len(self._early) > EARLY_KEPT:
                    del self._early[next(iter(self._early))]

    def due(self, now_ns: int) -> list[EdgeCollapse]:
        """Take in the fills whose horizon is over, by the books as they are; the collapse that shows, if one does."""
        left: list[_Waiting] = []
        found: list[EdgeCollapse] = []
        for one in self._waiting:
            mid_twice = self._mid_twice(one.instrument) if one.until_ns <= now_ns else 0
            if mid_twice:
                self._earn(one, mid_twice)
                found += self._judged()
            else:
                left.append(one)
        self._waiting = left
        self.due_ns = left[0].until_ns if left else NEVER_NS
        return found

    # What is known

    @property
    def figures(self) -> Figures | None:
        """The window as it is, however few its fills; None without any."""
        sums = self._sums
        if not self._window:
            return None
        with localcontext(_EXACT):
            fees = NOT_A_NUMBER if self._without_fees else sums.fees
            return Figures(
                len(self._window),
                *(_bps(part, sums.notional) for part in (sums.captured + sums.markout - fees, sums.captured, sums.markout, fees)),
            )

    def report(self) -> dict[str, Any]:
        """How it stands, as plain data."""
        figures, rule = self.figures, self.rule
        parts = {} if figures is None else {name: _text(getattr(figures, name)) for name in _PARTS}
        return {
            **dict.fromkeys(_PARTS),
            **parts,
            "threshold_bps": _text(rule.threshold_bps),
            "fills": len(self._window),
            "least_fills": rule.least_fills,
            "waiting": len(self._waiting),
            "unpriced_lots": self.unpriced_lots,
            "collapses": self.collapses,
            "last_collapse_bps": None if self.last is None else self.last.measured_bps,
        }

    # Inside

    def _count(self, said: OrderNow, now_ns: int) -> None:
        before, executed = self._ours[said.client_id], said.executed
        more = said.filled_lots - before.lots
        k = self._numbers.get((said.venue, said.symbol))
        if more <= 0 or k is None:
            return
        now = _Counted(said.filled_lots, 0 if executed is None else int(executed.tick_lots), () if executed is None else executed.fees)
        tick_lots = now.tick_lots - before.tick_lots
        if not before.priced or tick_lots <= 0:
            # Not told, or told of others than before: an execution was taken back meanwhile.
            self.unpriced_lots += more
            before.lots, before.priced = said.filled_lots, False
            return
        self._ours[said.client_id] = now
        with localcontext(_EXACT):
            self._waiting.append(
                _Waiting(
                    instrument=k,
                    side=int(said.side),
                    lots=more,
                    tick_lots=tick_lots,
                    # As afterwards: without a mid the price itself serves, and all of it is markout.
                    mid_twice=self._mid_twice(k),
                    fees=self._fees(k, before, now, more, tick_lots),
                    until_ns=now_ns + self.rule.horizon_ns,
                )
            )
        self.due_ns = min(self.due_ns, self._waiting[-1].until_ns)

    def _fees(self, k: int, before: _Counted, now: _Counted, lots: int, tick_lots: int) -> Decimal:
        """What was charged since, in the quote currency; a fee in the coin is worth what was paid for it."""
        instrument, was, paid = self._instruments[k], dict(before.fees), Decimal(0)
        for currency, amount in now.fees:
            more = amount - was.get(currency, Decimal(0))
            if currency == instrument.quote:
                paid += more
            elif currency == instrument.base:
                paid += more * instrument.quantum * tick_lots / (lots * instrument.multiplier)
            elif more:
                return NOT_A_NUMBER
        return paid

    def _earn(self, one: _Waiting, mid_twice: int) -> None:
        instrument = self._instruments[one.instrument]
        with localcontext(_EXACT):
            unit = instrument.quantum * instrument.lot
            then_tick_lots_twice = one.mid_twice * one.lots if one.mid_twice else 2 * one.tick_lots
            self._take_in(
                _Earned(
                    notional=unit * one.tick_lots,
                    captured=unit * one.side * (then_tick_lots_twice - 2 * one.tick_lots) / 2,
                    markout=unit * one.side * (mid_twice * one.lots - then_tick_lots_twice) / 2,
                    fees=one.fees,
                ),
                1,
            )
            if len(self._window) > self.rule.window_fills:
                self._take_in(self._window[0], -1)

    def _take_in(self, one: _Earned, sign: int) -> None:
        if sign > 0:
            self._window.append(one)
        else:
            self._window.popleft()
        known = not one.fees.is_nan()
        self._without_fees += 0 if known else sign
        sums = self._sums
        self._sums = _Earned(
            sums.notional + sign * one.notional,
            sums.captured + sign * one.captured,
            sums.markout + sign * one.markout,
            sums.fees + sign * one.fees if known else sums.fees,
        )

    def _judged(self) -> list[EdgeCollapse]:
        figures, threshold = self.figures, self.rule.threshold_bps
        if figures is None or figures.fills < self.rule.least_fills:
            return []
        if not figures.edge_bps.is_nan() and figures.edge_bps >= threshold:
            return []
        self.collapses += 1
        self.last = EdgeCollapse(_text(figures.edge_bps), _text(threshold))
        self._window.clear()
        self._sums, self._without_fees = _Earned(Decimal(0), Decimal(0), Decimal(0), Decimal(0)), 0
        return [self.last]


_PARTS: Final = ("edge_bps", "captured_bps", "markout_bps", "fees_bps")


def _bps(amount: Decimal, notional: Decimal) -> Decimal:
    if amount.is_nan():
        return amount
    return (amount * BPS / notional).quantize(STEP_BPS, ROUND_FLOOR)


def _text(value: Decimal) -> str:
    return format(value, "f")
