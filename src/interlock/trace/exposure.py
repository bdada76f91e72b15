"""What was really held at the venue, recomputed from its own executions, beside the cap of the grants.

The rules at a permit count what the journal booked. A gate that never hears of its executions, or books too little, passes
them and holds more and more; what the venue executed is not in its hands. Everything that is not certain is taken in the gate's
favour: the highest cap that was ever granted, each market at the lowest value that a permit gave it, a market's position with or
without what else moved it (taken over, liquidated, adjusted) and what hedges under the mandate executed, whichever is least.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from interlock.trace.state import Market, State
from interlock.trace.values import Finding
from interlock.trace.witness import Execution

_ZERO = Decimal(0)
_MICRO = Decimal("0.000001")


def held_at_the_venue(state: State, executions: Iterable[tuple[int, Execution]]) -> Iterator[Finding]:
    """S11: at no execution the positions from our own orders were worth more than was granted; the first one after which they were.

    `executions` with their lines of the witness, each once and none that was taken back.
    """
    held: dict[Market, int] = {}
    hedged: dict[Market, int] = {}
    # By the lines of the witness, which is when things happened: the clock of a venue may be set, and two venues have two.
    for number, execution in sorted(executions, key=lambda one: one[0]):
        order = state.orders.get(execution.client_id)
        if order is None:
            continue
        request = state.requests.get((execution.client_id, 0))
        under_mandate = request is not None and request.permit is not None and bool(request.permit.fields["mandate"])
        into = hedged if under_mandate else held
        into[order.market] = into.get(order.market, 0) + execution.side * execution.lots
        gross = sum((_least_usd(state, one, held.get(one, 0), hedged.get(one, 0)) for one in {*held, *hedged}), _ZERO)
        if gross > state.highest_cap_usd + _MICRO:
            most = f"expected positions worth at most {state.highest_cap_usd} USD at the venues"
            yield Finding("S11", f"{most}, found {gross:f} at execution {execution.trade_id}", witness_line=number)
            return


def _least_usd(state: State, market: Market, lots: int, hedge_lots: int) -> Decimal:
    """The least that can be held in a market, USD: with its hedges or not, and with as much of what else moved it as brings it nearest to nothing."""
    down, up = state.moved.get(market, (0, 0))
    least = min(max(lowest, -highest, 0) for lowest, highest in ((one + down, one + up) for one in (lots, lots + hedge_lots)))
    return least * state.lowest_unit_usd.get(market, _ZERO)
