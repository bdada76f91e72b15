"""The face in memory: a virtual network and a virtual clock around the venues, for property tests. Nothing here waits for real time."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

import msgspec

from interlock.domain.clock import ManualClock
from interlock.simulate.fake_venue.client import VenueClient
from interlock.simulate.fake_venue.control import AnyCommand, Reply, encode_control
from interlock.simulate.fake_venue.engine import Out
from interlock.simulate.fake_venue.hub import Hub

START_NS = 1_700_000_000_000_000_000


class MemoryLink:
    """One connection of the virtual network; `receive` lets virtual time pass until something arrives."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.name = name
        self.broken = False
        self.arrived = bytearray()
        self._network = network

    def send(self, data: bytes) -> None:
        """Put bytes on the way. Raises ConnectionResetError once the venue's reset has arrived."""
        self._check()
        self._network.put(lambda: self._network.at_venue(self.name, data))

    def receive(self, timeout_ns: int) -> bytes:
        """The bytes that arrive within the virtual time."""
        self._network.run_until(lambda: bool(self.arrived) or self.broken, timeout_ns)
        if not self.arrived:
            self._check()
        data = bytes(self.arrived)
        self.arrived.clear()
        return data

    def close(self) -> None:
        """Go away; what is on the way still arrives at the venue, as it does on a real network."""
        self.broken = True
        self._network.put(lambda: self._network.gone(self.name))

    def _check(self) -> None:
        if self.broken:
            raise ConnectionResetError(f"{self.name} was reset")


class MemoryNetwork:
    """Venues, their clock, and the network to them with a constant delay each way.

    `witness` and `truth` hold the lines that a served fake would write to its files.
    """

    def __init__(self, names: Sequence[str] = ("bybit",), latency_ns: int = 0, start_ns: int = START_NS) -> None:
        self.clock = ManualClock(start_ns)
        self.witness: list[bytes] = []
        self.truth: list[bytes] = []
        self.latency_ns = latency_ns
        self.hub = Hub(names, self.clock, self.witness.append, self.truth.append)
        self._links: dict[str, MemoryLink] = {}
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._queued = 0

    def connect(self, venue: str, port: str) -> VenueClient:
        """A client on a new connection to the "orders" or "stream" port. Raises UsageError when there is none."""
        link = MemoryLink(self, self.hub.open(venue, port))
        self._links[link.name] = link
        return VenueClient(link)

    def command(self, command: AnyCommand) -> Reply:
        """Carry out a control command at once."""
        reply, outs = self.hub.control(encode_control(command))
        self._carry(outs)
        return reply

    def advance(self, ns: int) -> None:
        """Let virtual time pass, and happen in it what is due."""
        self.run_until(lambda: False, ns)

    def witnessed(self) -> list[dict[str, object]]:
        """The lines of the witness, decoded."""
        return [msgspec.json.decode(line) for line in self.witness]

    def put(self, action: Callable[[], None]) -> None:
        """Let something happen when it has crossed the network."""
        self._queued += 1
        heapq.heappush(self._queue, (self.hub.now_ns() + self.latency_ns, self._queued, action))

    def run_until(self, done: Callable[[], bool], timeout_ns: int) -> None:
        """Let time pass until `done` or the time is over; the earliest first, the network before the venue."""
        deadline_ns = self.hub.now_ns() + timeout_ns
        while not done():
            due_ns = self.hub.next_due_ns()
            queued_ns = self._queue[0][0] if self._queue else None
            next_ns = min((at_ns for at_ns in (due_ns, queued_ns) if at_ns is not None), default=None)
            if next_ns is None or next_ns > deadline_ns:
                self.clock.advance(deadline_ns - self.hub.now_ns())
                return
            self.clock.advance(max(0, next_ns - self.hub.now_ns()))
            if queued_ns == next_ns:
                heapq.heappop(self._queue)[2]()
            else:
                self._carry(self.hub.wake())

    def at_venue(self, connection: str, data: bytes) -> None:
        """Bytes arrived at the venue."""
        self._carry(self.hub.receive(connection, data))

    def gone(self, connection: str) -> None:
        """The venue learns that a connection is gone."""
        self.hub.closed(connection)

    def _carry(self, outs: list[Out]) -> None:
        for out in outs:
            self.put(lambda out=out: self._at_client(out))  # type: ignore[misc]

    def _at_client(self, out: Out) -> None:
        link = self._links[out.connection]
        if not link.broken:
            link.arrived += out.data
            link.broken = out.reset
