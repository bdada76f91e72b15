"""Kernels for tests, compiled once: one plays a script, one does a bit of everything at random, one writes down what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interlock.market.compiled import compiled
from interlock.strategies.contract import CANCEL, KERNEL, PLACE, REPLACE, STATUS_FREE, TIF_GTC

FIELDS = 10


@dataclass(frozen=True)
class Act:
    """One line of a script: at `at_ns` or the first decision after it, do `kind`; `target` is the tag of the order it is about."""

    at_ns: int
    kind: int = PLACE
    instrument: int = 0
    side: int = 1
    ticks: int = 100
    lots: int = 1
    tif: int = TIF_GTC
    tag: int = 1
    target: int = 0
    reduce_only: int = 0

    def packed(self) -> list[float]:
        parts = (self.at_ns, self.kind, self.target, self.instrument, self.side, self.tif, self.ticks, self.lots, self.tag)
        return [float(part) for part in (*parts, self.reduce_only)]


def buy(at_ns: int, ticks: int, lots: int, **more: int) -> Act:
    return Act(at_ns, side=1, ticks=ticks, lots=lots, **more)


def sell(at_ns: int, ticks: int, lots: int, **more: int) -> Act:
    return Act(at_ns, side=-1, ticks=ticks, lots=lots, **more)


def cancel(at_ns: int, target: int) -> Act:
    return Act(at_ns, kind=CANCEL, target=target)


def replace(at_ns: int, target: int, act: Act) -> Act:
    """Replace the order tagged `target` by the one that `act` describes."""
    return Act(at_ns, REPLACE, act.instrument, act.side, act.ticks, act.lots, act.tif, act.tag, target, act.reduce_only)


def script_params(acts: Sequence[Act]) -> np.ndarray:
    """A script as the parameters of `scripted`."""
    return np.array([float(len(acts)), *(value for act in sorted(acts, key=lambda a: a.at_ns) for value in act.packed())])


@compiled(KERNEL)
def scripted(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """Send each line of the script at the first decision that is not before its time. state: [0] the next line."""
    line = int(state[0])
    n = 0
    while line < int(params[0]) and n < intents.shape[0]:
        at = 1 + line * FIELDS
        if params[at] > now_ns:
            break
        intent = intents[n]
        intent.kind = int(params[at + 1])
        target = int(params[at + 2])
        intent.slot = -1
        for s in range(view[0].orders_high):
            if orders[s].status != STATUS_FREE and orders[s].tag == target:
                intent.slot = s
        intent.instrument = int(params[at + 3])
        intent.side = int(params[at + 4])
        intent.tif = int(params[at + 5])
        intent.ticks = int(params[at + 6])
        intent.lots = int(params[at + 7])
        intent.tag = int(params[at + 8])
        intent.reduce_only = int(params[at + 9])
        line += 1
        n += 1
    state[0] = line
    return n


@compiled(inline=True)
def _random(state: Any, below: int) -> int:
    """The next number of a small generator kept in state[0], 0 <= number < below."""
    x: int = (int(state[0]) * 1103515245 + 12345) % 2147483648
    state[0] = x
    return (x >> 8) % below


@compiled(KERNEL)
def restless(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """Random placements, cancels and replacements around the best prices, unusable ones among them.

    params: [0] chance of acting in percent, [1] widest distance from the best in ticks, [2] largest size in lots. state: [0] the generator.
    """
    if _random(state, 100) >= int(params[0]):
        return 0
    n: int = 1 + _random(state, 3)
    for i in range(n):
        intent = intents[i]
        action = _random(state, 20)
        kind = PLACE
        if action >= 10:
            kind = CANCEL if action < 14 else REPLACE
        if action == 19:
            kind = 7
        k = _random(state, view[0].instruments)
        intent.kind = kind
        intent.slot = _random(state, view[0].orders_high + 1)
        side = 1 - 2 * _random(state, 2)
        book = books[k]
        best = book.bid_ticks if side > 0 else book.ask_ticks
        if best == 0:
            best = 100
        width = int(params[1])
        step = max(book.step_ticks, 1)
        intent.instrument = k
        intent.side = side
        intent.tif = _random(state, 4)
        intent.ticks = (best // step + _random(state, 2 * width + 1) - width) * step
        if _random(state, 40) == 0:
            intent.ticks += 1
        intent.lots = _random(state, int(params[2]) + 1)
        intent.tag = 1 + _random(state, 5)
        intent.reduce_only = 1 if _random(state, 8) == 0 else 0
        if kind == REPLACE and intent.slot < orders.shape[0] and orders[intent.slot].status != STATUS_FREE:
            # Mostly the order's own instrument, as a strategy would.
            intent.instrument = orders[intent.slot].instrument
    return n


@compiled(KERNEL)
def diarist(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """Write down at every decision (now, wake, funding known, predicted rate, last rate, position). state: [0] entries, then them."""
    at = 1 + 6 * int(state[0])
    book = books[0]
    state[at] = now_ns
    state[at + 1] = view[0].wake
    state[at + 2] = book.funding_known
    state[at + 3] = book.funding_next
    state[at + 4] = book.funding_last
    state[at + 5] = book.position_lots
    state[0] += 1
    return 0
