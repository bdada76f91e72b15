"""What both attributions share: parts in one currency that sum to net, exactly and as JSON numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from interlock.evidence.accounting import Ledger
from interlock.evidence.exact import decimal_sum, exact
from interlock.evidence.translate import Translation

RESIDUAL_LIMIT = Decimal("1e-9")

SHARED_PARTS = ("fees", "rebates", "funding", "liquidation", "opening_inventory")


@dataclass(frozen=True)
class Edge:
    """Where net came from: named parts in one currency, the residual among them (docs/model.md, edge).

    `opening_inventory` is what merely holding the opening position gave (`Ledger.held`); every other part is of trading alone.
    """

    currency: str
    net: Decimal
    parts: Mapping[str, Decimal]
    notes: tuple[str, ...] = ()

    @property
    def residual(self) -> Decimal:
        """What the other parts leave unexplained."""
        return self.parts["residual"]

    def numbers(self) -> dict[str, float]:
        """The parts as JSON numbers. The residual takes up their rounding, so that they sum to float(net) to the last bit but one."""
        floats = {name: float(value) for name, value in self.parts.items() if name != "residual"}
        floats["residual"] = math.fsum([float(self.net), *(-value for value in floats.values())])
        return floats


@exact
def close_edge(ledger: Ledger, into: Translation, parts: Mapping[str, Decimal], notes: tuple[str, ...] = ()) -> Edge:
    """Add the parts that every strategy has, and the residual against the ledger's net.

    funding and liquidation are those of the account less those of its opening position, which belong to opening_inventory; liquidation
    is 0 where the run ends at its opening position, and above 0 where trading left less to close.
    """
    every = dict(parts)
    every["fees"] = into.sum(ledger.by_currency(lambda a: a.fees))
    every["rebates"] = into.sum(ledger.by_currency(lambda a: a.rebates))
    every["funding"] = into.sum(ledger.by_currency(lambda a: a.funding - a.held_funding))
    every["liquidation"] = into.sum(ledger.by_currency(lambda a: a.liquidation - a.held_liquidation))
    every["opening_inventory"] = into.sum(ledger.held)
    net = into.sum(ledger.net)
    every["residual"] = net - decimal_sum(every.values())
    return Edge(into.into, net, every, notes)
