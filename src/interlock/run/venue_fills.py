"""What the matching model of a simulated venue executed, held against the fills that the gate's journal books.

A simulated venue (the paper venue, those of `interlock venues serve`) writes down each execution as its matching made it, whatever it tells anybody
(`truth.jsonl`, docs/venues.md). Between that and the journal lie the private stream, the lists, faults and the gate's own account, none of which may
add, lose or alter a fill. A venue at another host leaves no such record: what it executed is known from what it told the gate alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from interlock.domain.errors import DamagedState
from interlock.trace.witness import LineReader, read_execution

Trade = tuple[str, str, str, str]
"""Client id, venue, symbol, and the venue's id of the trade; ids of trades begin anew with a venue, client ids never do."""


@dataclass(frozen=True, slots=True)
class Execution:
    """One execution: `side` 1 bought, -1 sold, price and size in ticks and lots."""

    side: int
    ticks: int
    lots: int


Fills = Mapping[Trade, Execution]


@dataclass(frozen=True, slots=True)
class FillsCompared:
    """What came of it. `detail` is for a person; `same` None where it cannot be known."""

    same: bool | None
    detail: str


NO_RECORD = "the venue of the orders is no simulated one that writes down here what it executed: its fills are known from what it told the gate alone"


def compare_fills(booked: Fills, proposed: Iterable[str], truth: Path | None) -> FillsCompared:
    """Hold the journal's fills against what was executed of the orders that were `proposed` (client ids), those too of which the journal knows no
    send. `truth` is where the simulated venue writes that; None: there is none."""
    if truth is None:
        return FillsCompared(None, NO_RECORD)
    if not truth.is_file():
        return FillsCompared(False, f"expected the venue's own record at {truth}, found none; give the places of a venue that runs here")
    ours = frozenset(proposed)
    if not ours:
        return FillsCompared(None, "no order was proposed, and nothing can be compared")
    try:
        made = {trade: one for trade, one in _executed(truth).items() if trade[0] in ours}
    except DamagedState as error:
        return FillsCompared(False, str(error))
    told = {trade: one for trade, one in booked.items() if trade[0] in ours}
    if told == made:
        return FillsCompared(True, f"{_counted(made)}, each as the matching made it")
    first = min(trade for trade in told.keys() | made.keys() if told.get(trade) != made.get(trade))
    differing = {trade[0] for trade in told.keys() | made.keys() if told.get(trade) != made.get(trade)}
    return FillsCompared(
        False,
        f"booked {_counted(told)}; the matching made {_counted(made)}; {len(differing)} orders differ, {first[0]} on {first[1]} {first[2]}: "
        f"booked {_of_order(told, first[0])}, made {_of_order(made, first[0])}",
    )


def _executed(truth: Path) -> dict[Trade, Execution]:
    found: dict[Trade, Execution] = {}
    for number, line in LineReader(truth).poll():
        happened = read_execution(truth, number, line)
        if happened is None:
            continue
        venue, one = happened
        trade = (one.client_id, venue, one.symbol, one.trade_id)
        if one.reversed:
            found.pop(trade, None)
        else:
            found[trade] = Execution(one.side, one.ticks, one.lots)
    return found


def _counted(fills: Fills) -> str:
    orders = len({trade[0] for trade in fills})
    return f"{len(fills)} fills of {orders} orders, {sum(one.lots for one in fills.values())} lots"


def _of_order(fills: Fills, client_id: str) -> str:
    """The fills of one order, as they were priced: lots at ticks."""
    by_price: Counter[tuple[int, int]] = Counter()
    for trade, one in fills.items():
        if trade[0] == client_id:
            by_price[one.side, one.ticks] += one.lots
    return (
        ", ".join(f"{'bought' if side > 0 else 'sold'} {lots} lots at {ticks} ticks" for (side, ticks), lots in sorted(by_price.items()))
        or "nothing"
    )
