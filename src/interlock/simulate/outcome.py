"""What a replay leaves behind: exact records, in order, and why it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from interlock.simulate.layout import FILL, FINAL_OPEN_AT_END, FUNDING_PAYMENT, NEVER_ARRIVED, ORDER_RECORD, SAMPLE, World
from interlock.simulate.reasons import Reason
from interlock.strategies.contract import STATUS_FREE


class Ending(StrEnum):
    """How a replay ended."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    LIQUIDATED = "liquidated"


@dataclass(frozen=True)
class Outcome:
    """The records of a run. Arrays of `FILL`, `ORDER_RECORD`, `SAMPLE` and `FUNDING_PAYMENT`, each in order of time of writing.

    `counts` maps the reason of every denial and refusal to how often it happened; `position_lots` is by instrument, as our side knew it.
    """

    fills: np.ndarray
    orders: np.ndarray
    samples: np.ndarray
    fundings: np.ndarray
    counts: dict[str, int]
    ending: Ending
    position_lots: tuple[int, ...]
    local_fills: int
    submitted: int
    decisions: int
    rows: int
    start_ns: int
    end_ns: int
    peak_margin: dict[int, float] = field(default_factory=dict)


class Recorder:
    """Collects the records of a `World` whenever its arrays are full or a block is done."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._fills: list[np.ndarray] = []
        self._orders: list[np.ndarray] = []
        self._samples: list[np.ndarray] = []
        self._fundings: list[np.ndarray] = []

    def drain(self, *, last: bool = False) -> None:
        """Take what was recorded since the last call and make room; copied unless it is the last time."""
        world, control = self._world, self._world.control[0]
        for kept, array, counter in (
            (self._fills, world.fills, "fills_n"),
            (self._orders, world.order_records, "orders_n"),
            (self._samples, world.samples, "samples_n"),
            (self._fundings, world.fundings, "fundings_n"),
        ):
            n = int(control[counter])
            if n:
                kept.append(array[:n] if last else array[:n].copy())
                control[counter] = 0

    def outcome(self, ending: Ending) -> Outcome:
        """Close the account: orders still open are recorded as open at the end. The world must not be run on: its arrays are handed out."""
        world, control = self._world, self._world.control[0]
        end_ns = int(control["now_ns"])
        self._record_open_orders(end_ns)
        self.drain(last=True)
        return Outcome(
            fills=_joined(self._fills, FILL),
            orders=_joined(self._orders, ORDER_RECORD),
            samples=_joined(self._samples, SAMPLE),
            fundings=_joined(self._fundings, FUNDING_PAYMENT),
            counts={Reason(i).name.lower(): int(n) for i, n in enumerate(world.counts) if n},
            ending=ending,
            position_lots=tuple(int(b) for b in world.books["position_lots"]),
            local_fills=int(control["local_fills"]),
            submitted=int(control["submitted"]),
            decisions=int(control["decisions"]),
            rows=int(control["local_row"]),
            start_ns=int(world.rows["receive_ns"][0]) if len(world.rows) else 0,
            end_ns=end_ns,
            peak_margin={i: float(v) for i, v in enumerate(world.venues["peak_margin"])},
        )

    def _record_open_orders(self, end_ns: int) -> None:
        """Write the orders that never ended into the world's own buffer: joining two arrays would copy all that ended."""
        world, control = self._world, self._world.control[0]
        still_open = world.orders["status"] != STATUS_FREE
        open_now = world.orders[still_open]
        first = int(control["orders_n"])
        if first + len(open_now) > len(world.order_records):
            self.drain()
            first = 0
        left = world.order_records[first : first + len(open_now)]
        left[:] = np.zeros(1, ORDER_RECORD)
        for name in ("seq", "tag", "instrument", "side", "tif", "ticks", "lots", "decided_ns"):
            left[name] = open_now[name]
        left["filled_lots"] = open_now["lots"] - open_now["leaves_lots"]
        arrived_ns = world.resting["arrived_ns"][still_open]
        left["arrived_after_us"] = np.where(arrived_ns > 0, (arrived_ns - open_now["decided_ns"]) // 1000, NEVER_ARRIVED)
        left["final_ns"] = end_ns
        left["final_state"] = FINAL_OPEN_AT_END
        control["orders_n"] = first + len(open_now)


def _joined(parts: list[np.ndarray], dtype: np.dtype[np.void]) -> np.ndarray:
    if len(parts) == 1:
        return parts[0]
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
