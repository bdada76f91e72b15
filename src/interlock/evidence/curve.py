"""Equity over time from the 1 s samples of a run, its drawdown, and what the samples say about quoting and inventory.

The curve is drawn in float64; the drawdown's peak and trough are found on it and then computed exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from interlock.evidence.accounting import RATE_UNIT, InstrumentAccount, Ledger
from interlock.evidence.exact import Ints, decimal_sum, exact, running, times
from interlock.evidence.translate import Translation

NS_PER_HOUR = 3_600_000_000_000

CURVE = np.dtype([("exchange_ns", "i8"), ("equity_mid", "f8"), ("traded", "f8")])
"""Equity at mid, and what trading alone had given by then at mid (without the opening position's moves and funding), in the currency of
the report; for drawing, the exact figures are computed apart."""


@dataclass(frozen=True)
class _Track:
    """One instrument at each sample: integer sums from which its part of the equity is exact."""

    account: InstrumentAccount
    factor: Decimal
    price_move: Ints
    maker: Ints
    taker: Ints
    funding: Ints
    held_move: Ints
    held_funding: Ints

    @exact
    def at(self, i: int) -> Decimal:
        """Profit up to sample i at mid, in the currency of the report."""
        a = self.account
        cost = a.maker_rate * int(self.maker[i]) + a.taker_rate * int(self.taker[i]) + RATE_UNIT * int(self.funding[i])
        return self.factor * a.unit * (int(self.price_move[i]) - cost)

    def drawn(self) -> npt.NDArray[np.float64]:
        """The same for every sample, for drawing."""
        a = self.account
        cost = float(a.maker_rate) * self.maker.astype(float) + float(a.taker_rate) * self.taker.astype(float)
        owed = self.price_move.astype(float) - cost - 1e-12 * self.funding.astype(float)
        return float(self.factor * a.unit) * owed

    def drawn_traded(self) -> npt.NDArray[np.float64]:
        """The same without the opening position; exactly 0 where nothing was traded."""
        a = self.account
        cost = float(a.maker_rate) * self.maker.astype(float) + float(a.taker_rate) * self.taker.astype(float)
        moved, owed = (self.price_move - self.held_move).astype(float), (self.funding - self.held_funding).astype(float)
        return float(self.factor * a.unit) * (moved - cost - 1e-12 * owed)


@dataclass(frozen=True)
class EquityCurve:
    """Equity at mid over the samples: `points` (CURVE), and the deepest fall from a peak before it.

    `drawdown` is at least 0, in the currency of the report; `drawdown_fraction` of the peak's equity, None where that is not positive.
    """

    points: np.ndarray
    drawdown: Decimal
    drawdown_fraction: Decimal | None
    peak_ns: int
    trough_ns: int


@exact
def equity_curve(ledger: Ledger, fills: np.ndarray, fundings: np.ndarray, samples: np.ndarray, into: Translation) -> EquityCurve:
    """The curve of a run. Fills at a sample's own time come after it, as the matching model takes samples first."""
    grid = sample_grid(samples, len(ledger.instruments))
    initial = into.sum(ledger.initial_equity)
    if len(grid) == 0:
        return EquityCurve(np.zeros(0, CURVE), Decimal(0), None, 0, 0)
    at_ns = grid["exchange_ns"][:, 0]
    tracks = [
        _track(
            a,
            into.factors[a.currency],
            at_ns,
            grid[:, k],
            fills[fills["instrument"] == k],
            fundings[fundings["instrument"] == k],
        )
        for k, a in enumerate(ledger.instruments)
    ]
    points = np.zeros(len(grid), CURVE)
    points["exchange_ns"] = at_ns
    points["equity_mid"] = float(initial)
    for track in tracks:
        points["equity_mid"] += track.drawn()
        points["traded"] += track.drawn_traded()
    highest = np.maximum.accumulate(points["equity_mid"])
    trough = int(np.argmax(highest - points["equity_mid"]))
    peak = int(np.argmax(points["equity_mid"][: trough + 1]))
    before = initial + decimal_sum(t.at(peak) for t in tracks)
    fall = max(Decimal(0), before - initial - decimal_sum(t.at(trough) for t in tracks))
    return EquityCurve(points, fall, fall / before if before > 0 else None, int(at_ns[peak]), int(at_ns[trough]))


def _track(
    account: InstrumentAccount, factor: Decimal, at_ns: np.ndarray, samples: np.ndarray, fills: np.ndarray, payments: np.ndarray
) -> _Track:
    value = times(2 * fills["ticks"], fills["lots"])
    side = fills["side"].astype(np.int64)
    maker = (fills["maker"] > 0).astype(np.int64)
    done = np.searchsorted(fills["exchange_ns"], at_ns, side="left")
    settled = np.searchsorted(payments["exchange_ns"], at_ns, side="left")
    position = account.opening_lots + _at(running(times(side, fills["lots"])), done)
    mid = np.where(samples["mid_twice"] > 0, samples["mid_twice"], account.quote.first_mid_twice)
    held = account.held_payments
    held_settled = np.searchsorted(held["exchange_ns"], at_ns, side="left")
    marked = times(position, mid) - account.opening_lots * account.quote.first_mid_twice
    return _Track(
        account,
        factor,
        marked - _at(running(times(side, value)), done),
        _at(running(times(maker, value)), done),
        _at(running(times(1 - maker, value)), done),
        _at(running(_owed(payments)), settled),
        times(np.full(len(mid), account.opening_lots), mid) - account.opening_lots * account.quote.first_mid_twice,
        _at(running(_owed(held)), held_settled),
    )


def _owed(payments: np.ndarray) -> Ints:
    """position x mark x rate of each payment, in half ticks times lots times 1e-12."""
    return times(times(payments["position_lots"], payments["mark_twice"]), payments["rate"])


def _at(sums: Ints, count: np.ndarray) -> Ints:
    """The sum of the first `count` values, for each count."""
    with_none = np.concatenate([np.zeros(1, sums.dtype), sums])
    result: Ints = with_none[count]
    return result


def sample_grid(samples: np.ndarray, instruments: int) -> np.ndarray:
    """Samples as a table, a row a moment, a column an instrument. Raises ValueError where a moment is incomplete."""
    if len(samples) % instruments:
        raise ValueError(f"samples: expected {instruments} for each moment, found {len(samples)} in all")
    grid = samples.reshape(-1, instruments)
    if np.any(grid["instrument"] != np.arange(instruments)):
        raise ValueError("samples: expected the instruments of each moment in order")
    return grid


def time_quoting_pct(samples: np.ndarray) -> float | None:
    """Share of samples, in percent, in which both our bid and our ask rested at the exchange; None without samples."""
    if len(samples) == 0:
        return None
    return 100.0 * float(np.mean((samples["own_bid_ticks"] > 0) & (samples["own_ask_ticks"] > 0)))


def time_inventory_blocked_pct(samples: np.ndarray, accounts: Sequence[InstrumentAccount], spots: Sequence[int]) -> float | None:
    """Share of samples of the spot legs, in percent, in which less than the minimum order was held, so that no sale was possible."""
    blocked = counted = 0
    for k in spots:
        held = samples["position_lots"][samples["instrument"] == k]
        blocked += int(np.count_nonzero(held < accounts[k].instrument.min_lots))
        counted += len(held)
    return 100.0 * blocked / counted if counted else None


def largest_hour_share(points: np.ndarray) -> tuple[float | None, int]:
    """(the largest share of one UTC hour in what trading gained at mid over the samples, hours); None where nothing was gained."""
    if len(points) < 2:
        return None, 0
    hour = points["exchange_ns"] // NS_PER_HOUR
    last = np.flatnonzero(np.r_[hour[1:] != hour[:-1], True])
    gained = np.diff(np.r_[points["traded"][0], points["traded"][last]])
    all_gained = float(points["traded"][-1] - points["traded"][0])
    return (float(gained.max()) / all_gained if all_gained > 0 else None), len(last)
