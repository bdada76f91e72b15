"""Everything is cancelled, however much there is: one page after another where the venue takes it by pages."""

from __future__ import annotations

import pytest
from tests.venues.contract.place import Place

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.orders import Side
from interlock.simulate.served.orders import EndReason
from interlock.venues.trouble import Doing


async def cancelled(place: Place, symbol: str) -> int:
    """Cancel until the venue lists nothing open in a symbol (in all with ""); how many requests that took."""
    for asked in range(1, 20):
        await place.accepted(place.verbs.cancel_all(symbol), Doing.CANCEL)
        place.clock.advance(3 * NS_PER_S)
        page = await place.ask(place.reads.open_orders())
        if not [each for each in page.found if not symbol or each.symbol == symbol]:
            return asked
    raise AssertionError("expected an end")


@pytest.mark.parametrize("many", [1, 199])
async def test_every_order_of_a_symbol_is_ended_and_no_other(place: Place, many: int) -> None:
    mine, other = place.rest_truly(many), place.rest_truly(3, place.traits.symbols[1])
    assert await cancelled(place, place.symbol) == 1
    assert {order.reason for order in mine} == {EndReason.USER}
    assert all(order.open for order in other)


async def test_every_order_of_the_account_is_ended(place: Place) -> None:
    orders = [order for symbol in place.traits.symbols for side in Side for order in place.rest_truly(90, symbol, side=side)]
    if place.traits.beats:
        with pytest.raises(UsageError, match="symbol by symbol"):
            place.verbs.cancel_all("")
        for symbol in place.traits.symbols:
            await cancelled(place, symbol)
    else:
        assert await cancelled(place, "") == 2
    assert len(orders) == 540
    assert {order.reason for order in orders} == {EndReason.USER}
    assert not place.sim.open_orders()


async def test_nothing_to_cancel_is_no_error(place: Place) -> None:
    await place.accepted(place.verbs.cancel_all(place.symbol), Doing.CANCEL)
    assert not place.sim.open_orders()
