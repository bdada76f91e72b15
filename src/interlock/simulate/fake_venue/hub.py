"""Several venues behind one witness, and the bytes of their connections: what both faces share.

A face hands over bytes as they arrive and carries out what comes back; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from interlock.domain.clock import Clock
from interlock.domain.errors import UsageError
from interlock.simulate.fake_venue.control import Failed, Reply, carry_out, decode_command
from interlock.simulate.fake_venue.engine import ORDERS, STREAM, Out, Venue
from interlock.simulate.fake_venue.witness import Sink, Witness
from interlock.venues.fake.wire import Assembler, WireError


class Hub:
    """The venues of these names. Raises UsageError for a name that is unknown or given twice."""

    def __init__(self, names: Sequence[str], clock: Clock, requests: Sink, truth: Sink) -> None:
        if not names or len(set(names)) != len(names):
            raise UsageError(f"fake venue: expected one or more different names, found {', '.join(names) or 'none'}")
        # Steps happen on a time that cannot jump: the wall clock at the start, and what the monotonic clock added.
        self._offset_ns = clock.now_ns() - clock.monotonic_ns()
        self._clock = clock
        self.witness = Witness(clock, requests, truth)
        self.venues = {name: Venue(name, self.witness, self.now_ns()) for name in names}
        self._assemblers: dict[str, Assembler] = {}
        self._venue_of: dict[str, Venue] = {}
        self._opened = 0

    def now_ns(self) -> int:
        """The steady time of the fake."""
        return self._offset_ns + self._clock.monotonic_ns()

    def open(self, venue: str, port: str) -> str:
        """A client connected; returns the connection's name. Raises UsageError for a venue or port that is not there."""
        if venue not in self.venues or port not in (ORDERS, STREAM):
            raise UsageError(f"fake venue: expected {ORDERS} or {STREAM} of {', '.join(self.venues)}, found {port!r} of {venue!r}")
        self._opened += 1
        connection = f"{venue}-{port}-{self._opened}"
        self._assemblers[connection] = Assembler()
        self._venue_of[connection] = self.venues[venue]
        self.venues[venue].open(connection, port)
        return connection

    def receive(self, connection: str, data: bytes) -> list[Out]:
        """Take bytes from a connection. Behind a reset nothing is read any more, as if it had never left the network."""
        assembler = self._assemblers.get(connection)
        if assembler is None:
            return []
        venue = self._venue_of[connection]
        assembler.feed(data)
        outs: list[Out] = []
        while connection in venue.ports:
            try:
                frame = assembler.take()
            except WireError:
                venue.reset(connection)
                outs += venue.drain()
                break
            if frame is None:
                break
            outs += venue.handle(frame, connection, self.now_ns())
        if connection not in venue.ports:
            self.closed(connection)
        return outs

    def closed(self, connection: str) -> None:
        """The connection is gone. Bytes of an unfinished frame are witnessed, because something did arrive."""
        assembler = self._assemblers.pop(connection, None)
        if assembler is None:
            return
        venue = self._venue_of.pop(connection)
        if assembler.pending and connection in venue.ports:
            self.witness.request(venue.name, connection, assembler.pending, None)
        venue.close(connection)

    def control(self, frame: bytes) -> tuple[Reply, list[Out]]:
        """Carry out a control frame; returns the reply and what the venue sends because of it."""
        try:
            command = decode_command(frame)
        except WireError as error:
            return Failed(problem=str(error)), []
        venue = self.venues.get(command.venue)
        if venue is None:
            return Failed(problem=f"expected one of {', '.join(self.venues)}, found {command.venue!r}"), []
        outs = venue.wake(self.now_ns())
        reply = carry_out(venue, command)
        return reply, outs + venue.drain()

    def next_due_ns(self) -> int | None:
        """When `wake` has something to do, in steady time; None while nothing waits."""
        due = [venue.next_due_ns() for venue in self.venues.values()]
        return min((at_ns for at_ns in due if at_ns is not None), default=None)

    def wake(self) -> list[Out]:
        """Do what is due."""
        return [out for venue in self.venues.values() for out in venue.wake(self.now_ns())]
