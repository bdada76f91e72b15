"""The simplest quoting strategy: one post-only bid at the best bid and one ask at the best ask, always.

It is the yardstick of the benchmark and of the parity with hftbacktest, not a way to earn money. When a best price moves away from an
acknowledged order, that order is replaced.

params: [0] size in lots. state: none.
"""

from __future__ import annotations

from typing import Any

from interlock.market.compiled import compiled
from interlock.strategies.contract import (
    KERNEL,
    PLACE,
    REPLACE,
    STATUS_OPEN,
    STATUS_SENT,
    TIF_POST_ONLY,
    WAKE_ACCEPTED,
    WAKE_ENDED,
    WAKE_FILL,
    WAKE_PRICE,
)

WAKES = WAKE_PRICE | WAKE_FILL | WAKE_ENDED


@compiled(KERNEL)
def touch(view: Any, books: Any, depth: Any, orders: Any, params: Any, state: Any, now_ns: int, intents: Any) -> int:
    """Keep one order at each best price of instrument 0."""
    book = books[0]
    bid_slot = -1
    ask_slot = -1
    for s in range(view[0].orders_high):
        status = orders[s].status
        if status in (STATUS_SENT, STATUS_OPEN):
            if orders[s].side > 0:
                bid_slot = s
            else:
                ask_slot = s
    n = 0
    for side in (1, -1):
        best = book.bid_ticks if side > 0 else book.ask_ticks
        slot = bid_slot if side > 0 else ask_slot
        if best == 0:
            continue
        kind = PLACE
        if slot >= 0:
            if orders[slot].ticks == best:
                continue
            if orders[slot].status != STATUS_OPEN:
                view[0].also_wake |= WAKE_ACCEPTED
                continue
            kind = REPLACE
        intent = intents[n]
        intent.kind = kind
        intent.slot = slot
        intent.instrument = 0
        intent.side = side
        intent.tif = TIF_POST_ONLY
        intent.ticks = best
        intent.lots = int(params[0])
        intent.tag = side
        intent.reduce_only = 0
        n += 1
    return n
