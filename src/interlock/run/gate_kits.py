"""How the gate speaks with each of its venues, put together: the way out, the reads, the private stream and the limits that they share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from interlock.domain.clock import NS_PER_S
from interlock.gate.order_wire import OrderWire
from interlock.gate.readings import Now
from interlock.gate.venue_fake import FakeWire
from interlock.gate.venue_fake_reads import FakeReads
from interlock.gate.venue_fake_stream import FakeStream
from interlock.gate.venue_reads import VenueReads, VenueStream
from interlock.run.gate_config import VenuePart
from interlock.venues.budget import GATE, Meter, kept_for_sentinel
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.fake import budget

SILENCE_NS = 2 * NS_PER_S
"""After this long without a word the private stream is asked whether it lives."""


@dataclass(frozen=True, kw_only=True)
class VenueKit:
    """One account at one venue. `orders` is where order lines connect; nothing is connected yet.

    `know` reads what the symbols mean there, before anything else is asked; it raises ReadFailed. `unsweepable` says why so many open orders would
    be more than the sentinel could cancel with what is always left to it of the venue's limits; empty if it can.
    """

    part: VenuePart
    wire: OrderWire
    orders: Endpoint
    meter: Meter
    reads: VenueReads
    stream: VenueStream
    know: Callable[[Sequence[str]], Awaitable[None]]
    unsweepable: Callable[[int], str]


def kit_of(part: VenuePart, now: Callable[[], Now]) -> VenueKit:
    """The kit of one venue. Raises UsageError for a place that is none of it."""
    return _fake(part, now)


def _fake(part: VenuePart, now: Callable[[], Now]) -> VenueKit:
    meter = Meter(budget.LIMITS, GATE)

    async def know(_symbols: Sequence[str]) -> None:
        """Its messages count in ticks and lots already."""

    return VenueKit(
        part=part,
        wire=FakeWire(part.receive_window_ns),
        orders=Endpoint(Where.LOOPBACK, "127.0.0.1", part.orders_port, tls=False),
        meter=meter,
        reads=FakeReads(
            part.venue, part.account, part.orders_port, now, timeout_ns=part.read_ns, receive_window_ns=part.receive_window_ns, meter=meter
        ),
        stream=FakeStream(
            part.venue,
            part.account,
            part.stream_port,
            now,
            timeout_ns=part.read_ns,
            receive_window_ns=part.receive_window_ns,
            silence_ns=SILENCE_NS,
        ),
        know=know,
        unsweepable=_unsweepable_fake,
    )


def _unsweepable_fake(open_orders: int) -> str:
    kept, needed = kept_for_sentinel(budget.REQUESTS), budget.sweep_cost(open_orders)
    if needed <= kept:
        return ""
    return f"expected so few orders that the sentinel can cancel them with {kept} requests, found {open_orders}, which take {needed}"
