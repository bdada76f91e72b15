"""Attribution of a making result (docs/model.md, edge). Per fill of side s and size q at price px, with horizon h = 5 s:

    spread_capture   s (mid_t - px) q          mid_t: the exchange's mid just before the fill
    markout          s (mid_{t+h} - mid_t) q
    inventory        s (mid_T - mid_{t+h}) q

and, once for the run, fees, rebates, funding, fx, liquidation, what merely holding the opening position gave (opening_inventory, which no
other part contains), and the residual. Every amount is translated at the closing rate, which
leaves fx at 0: a maker converts nothing, and the translation of opening balances is reported apart.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import numpy.typing as npt

from interlock.evidence.accounting import InstrumentAccount, Ledger
from interlock.evidence.edge import Edge, close_edge
from interlock.evidence.exact import added, exact, times, total
from interlock.evidence.translate import Translation

MAKING_PARTS = (
    "spread_capture",
    "markout",
    "inventory",
    "fees",
    "rebates",
    "funding",
    "fx",
    "liquidation",
    "opening_inventory",
    "residual",
)


@exact
def making_edge(ledger: Ledger, fills: np.ndarray, later_twice: npt.NDArray[np.int64], into: Translation) -> Edge:
    """Take a making result apart.

    later_twice: by fill the mid (twice) 5 s later or at the end; where it is unknown (0) that of the fill serves.
    """
    sums: dict[str, dict[str, Decimal]] = {"spread_capture": {}, "markout": {}, "inventory": {}}
    for k, account in enumerate(ledger.instruments):
        own = fills["instrument"] == k
        for name, amount in _parts(account, fills[own], later_twice[own]).items():
            sums[name] = added(sums[name], {account.currency: amount})
    parts = {name: into.sum(amounts) for name, amounts in sums.items()}
    parts["fx"] = Decimal(0)
    return close_edge(ledger, into, parts)


def known_mids(fills: np.ndarray) -> npt.NDArray[np.int64]:
    """The mid (twice) of each fill; the price itself where the book had no mid."""
    mids: npt.NDArray[np.int64] = np.where(fills["mid_twice"] > 0, fills["mid_twice"], 2 * fills["ticks"])
    return mids


def _parts(account: InstrumentAccount, fills: np.ndarray, later_twice: npt.NDArray[np.int64]) -> dict[str, Decimal]:
    signed = times(fills["side"].astype(np.int64), fills["lots"])
    mid = known_mids(fills)
    later = np.where(later_twice > 0, later_twice, mid)
    last = account.quote.mid_twice
    return {
        "spread_capture": account.unit * total(times(signed, mid - 2 * fills["ticks"])),
        "markout": account.unit * total(times(signed, later - mid)),
        "inventory": account.unit * total(times(signed, last - later)),
    }
