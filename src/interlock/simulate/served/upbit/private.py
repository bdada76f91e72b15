"""The private stream: orders and balances as they change, never what was before the connection.

A fill is told as `trade`, also the last one, after which `done` follows. Source: the reference of myOrder and myAsset. Chosen: a balance
message lists the currencies that the event moved; an order that a self-match ends is told as `cancel` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.domain.orders import OrderState, Side
from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.upbit import views
from interlock.simulate.served.upbit.formats import written
from interlock.simulate.served.upbit.ids import Ids, uuid_of
from interlock.simulate.served.upbit.requests import EVERYTHING
from interlock.simulate.served.upbit.streams import Stream
from interlock.simulate.served.upbit.texts import MS, number
from interlock.simulate.served.venue import Booking, Change, Event, OrderChanged, SimVenue

_STATES = {
    Change.TRADE: "trade",
    Change.CANCELLED: "cancel",
    Change.EXPIRED: "cancel",
    Change.PREVENTED: "prevented",
}


class PrivateMessages:
    """Makes the messages of the private stream of one venue."""

    def __init__(self, venue: SimVenue, ids: Ids) -> None:
        self._venue = venue
        self._ids = ids
        self._assets = 0

    def publish(self, stream: Stream, event: Event) -> None:
        """Tell an event to who listens."""
        if isinstance(event, Booking):
            self._tell_assets(stream, (event.currency,))
            return
        order = event.order
        state = views.resting(order) if event.change is Change.NEW else _STATES.get(event.change)
        if state is not None:
            self._tell_order(stream, event, state)
            if event.change is Change.TRADE and order.state is OrderState.FILLED:
                self._tell_order(stream, OrderChanged(event.change, order), views.state_of(order))
        self._tell_assets(stream, _moved(order, event.change))

    def _tell_order(self, stream: Stream, event: OrderChanged, state: str) -> None:
        order = event.order
        message = views.order_event(order, self._ids.name(order), state, self._venue.now_ns(), event.execution)
        self._tell(stream, "myOrder", message, order.symbol)

    def _tell_assets(self, stream: Stream, currencies: tuple[str, ...]) -> None:
        self._assets += 1
        balances, now_ms = self._venue.account.balances(), self._venue.now_ns() // MS
        message = {
            "type": "myAsset",
            "asset_uuid": uuid_of("asset", self._assets),
            "assets": [{"currency": c, "balance": number(balances[c].free), "locked": number(balances[c].locked)} for c in currencies],
            "asset_timestamp": now_ms,
            "timestamp": now_ms,
            "stream_type": "REALTIME",
        }
        self._tell(stream, "myAsset", message, EVERYTHING)

    @staticmethod
    def _tell(stream: Stream, kind: str, message: Mapping[str, Any], symbol: str) -> None:
        for topic in stream.wanted():
            if topic.type == kind and topic.code in (symbol, EVERYTHING):
                stream.hub.publish(topic.key, written(message, topic.format), symbol)


def _moved(order: SimOrder, change: Change) -> tuple[str, ...]:
    """The currencies whose balances an event of an order moved."""
    instrument = order.instrument
    if change in (Change.TRADE, Change.REVERSED):
        return instrument.quote, instrument.base
    return (instrument.quote,) if order.side is Side.BUY else (instrument.base,)
