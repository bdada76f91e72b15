"""Requests as the tests of the fake write them, and the two faces behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interlock.domain.clock import NS_PER_S
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.client import VenueClient
from interlock.simulate.fake_venue.control import ArmFault, AskTruth, Done, Truth
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.memory import START_NS, MemoryNetwork
from interlock.venues.fake.wire import Answer, Cancel, NewOrder, Place, Push

WINDOW_NS = 3_600 * NS_PER_S
BID, ASK = 500_000, 500_001


def order(client_id: str, **changes: Any) -> NewOrder:
    fields: dict[str, Any] = {
        "client_id": client_id,
        "symbol": "BTCUSDT",
        "side": Side.BUY,
        "type": OrderType.LIMIT,
        "tif": TimeInForce.GTC,
        "reduce_only": False,
        "ticks": BID - 100,
        "lots": 10,
    }
    return NewOrder(**{**fields, **changes})


def place(client_id: str, sign_ns: int = START_NS, receive_window_ns: int = WINDOW_NS, nonce: str = "", **changes: Any) -> Place:
    return Place(sign_ns=sign_ns, receive_window_ns=receive_window_ns, nonce=nonce, order=order(client_id, **changes))


def taking(client_id: str, **changes: Any) -> Place:
    return place(client_id, **{"ticks": ASK, **changes})


def cancel(client_id: str) -> Cancel:
    return Cancel(client_id=client_id)


class Bench:
    """A venue in memory, a client on each of its ports, and a hand on its faults."""

    def __init__(self, venue: str = "bybit", latency_ns: int = 0) -> None:
        self.venue = venue
        self.network = MemoryNetwork((venue,), latency_ns)
        self.orders = self.network.connect(venue, "orders")
        self.stream = self.network.connect(venue, "stream")

    def arm(self, fault: Fault, **changes: Any) -> None:
        assert self.network.command(ArmFault(venue=self.venue, spec=FaultSpec(fault=fault, **changes))) == Done(count=1)

    def do(self, make: Callable[..., Any], **fields: Any) -> int:
        reply = self.network.command(make(venue=self.venue, **fields))
        assert isinstance(reply, Done), reply
        return reply.count

    def truth(self) -> Truth:
        reply = self.network.command(AskTruth(venue=self.venue))
        assert isinstance(reply, Truth)
        return reply

    def happened(self, fault: Fault) -> int:
        return self.truth().faults.get(fault, 0)

    def pushed(self, wait_ns: int = 0) -> list[Push]:
        if wait_ns:
            self.network.advance(wait_ns)
        drain(self.stream)
        found = list(self.stream.pushed)
        self.stream.pushed.clear()
        return found

    def answers(self, wait_ns: int = 0) -> list[Answer]:
        if wait_ns:
            self.network.advance(wait_ns)
        drain(self.orders)
        found = list(self.orders.answers)
        self.orders.answers.clear()
        return found


def drain(client: VenueClient) -> None:
    while client.poll(0):
        pass
