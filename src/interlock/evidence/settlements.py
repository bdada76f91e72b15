"""Funding of the opening position alone: what it would have paid and received had nothing been traded (docs/model.md, accounting).

Every settlement of the run counts at its own rate and mark, on the opening lots. A settlement that the account was charged for is taken
from its payment, whatever position it was charged on. One at which the account held nothing has no payment; its rate is then that of the
tape's FUNDING row, and its mark, as in the matching model, that row's own price, else the last MARK row before it, else the mid of that
instant. A tape without FUNDING rows adds nothing to the payments.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from interlock.domain.instruments import Instrument
from interlock.evidence.mids import marks_from_rows
from interlock.market.columns import RowKind
from interlock.simulate.layout import FUNDING_PAYMENT

NO_SETTLEMENTS = np.zeros(0, FUNDING_PAYMENT)


def tape_settlements(rows: np.ndarray, exchange_order: np.ndarray | None, instruments: Sequence[Instrument]) -> np.ndarray:
    """The FUNDING rows of a tape in exchange order as FUNDING_PAYMENT of no position; mark_twice 0 where no price was known."""
    settles = rows["kind"] == RowKind.FUNDING
    if not settles.any():
        return NO_SETTLEMENTS
    wanted = settles | (rows["kind"] == RowKind.MARK)
    numbers = np.flatnonzero(wanted) if exchange_order is None or len(exchange_order) == 0 else exchange_order[wanted[exchange_order]]
    events = np.asarray(rows[numbers])
    found = np.zeros(int(settles.sum()), FUNDING_PAYMENT)
    last: dict[int, int] = {}
    count = 0
    for at_ns, kind, instrument, ticks, lots in zip(
        *(events[name].tolist() for name in ("exchange_ns", "kind", "instrument", "ticks", "lots")), strict=True
    ):
        if kind == RowKind.MARK:
            last[instrument] = 2 * ticks
            continue
        found[count] = (at_ns, instrument, 0, 2 * ticks if ticks > 0 else last.get(instrument, 0), lots)
        count += 1
    unmarked = found["mark_twice"] == 0
    if unmarked.any():
        asked = found[unmarked]
        marks = marks_from_rows(rows, exchange_order, instruments, asked["instrument"], asked["exchange_ns"])
        found["mark_twice"][unmarked] = marks.quotes["mid_twice"]
    return found


def held_payments(opening_lots: int, payments: np.ndarray, settlements: np.ndarray, end_ns: int) -> np.ndarray:
    """What the opening lots of one instrument pay and receive, as FUNDING_PAYMENT in order of time.

    payments: those of the account; settlements: `tape_settlements`, both of this instrument. end_ns: the end of the run.
    """
    if opening_lots == 0:
        return NO_SETTLEMENTS
    unpaid = (settlements["exchange_ns"] <= end_ns) & ~np.isin(settlements["exchange_ns"], payments["exchange_ns"])
    every = np.concatenate([payments, settlements[unpaid]])
    every = every[np.argsort(every["exchange_ns"], kind="stable")]
    every["position_lots"] = opening_lots
    return every
