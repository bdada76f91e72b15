"""The private stream of one venue: numbers every event, and tells of it or not.

The number rises whether or not an event is told, so that a gap can be seen; a silence ends with a gap.
"""

from __future__ import annotations

from collections.abc import Callable

from interlock.venues.fake.wire import Balance, Execution, LedgerEntry, OrderView, Position, Push, encode

StreamEvent = OrderView | Execution | Position | Balance | LedgerEntry
Tell = Callable[[str, bytes], None]
Later = Callable[[int, Callable[[], None]], None]


class Stream:
    """Who listens, and what is wrong with it. `tell` sends bytes to a connection; `later` runs something after a span of nanoseconds."""

    def __init__(self, tell: Tell, later: Later) -> None:
        self.listeners: dict[str, None] = {}
        self.next_sequence = 1
        self.drop = 0
        self.twice = 0
        self.silent_until_ns = 0
        self.late_fill_ns = 0
        self.hold_back_ns = 0
        self._held: bytes | None = None
        self._tell = tell
        self._later = later

    def push(self, event: StreamEvent, venue_ns: int, now_ns: int) -> None:
        """Number one event and tell the listeners, so far as nothing is armed against it."""
        frame = encode(Push(sequence=self.next_sequence, venue_ns=venue_ns, event=event))
        self.next_sequence += 1
        if now_ns < self.silent_until_ns:
            return
        if self.drop:
            self.drop -= 1
            return
        if self.late_fill_ns and isinstance(event, Execution):
            delay_ns, self.late_fill_ns = self.late_fill_ns, 0
            self._later(delay_ns, lambda: self._send(frame))
            return
        if self.hold_back_ns:
            delay_ns, self.hold_back_ns = self.hold_back_ns, 0
            self._held = frame
            self._later(delay_ns, self.release)
            return
        self._send(frame)
        if self.twice:
            self.twice -= 1
            self._send(frame)
        self.release()

    def release(self) -> None:
        """Send what was held back behind its successor, if it still is."""
        if self._held is not None:
            frame, self._held = self._held, None
            self._send(frame)

    def calm(self) -> None:
        """Tell everything from now on, and what was held back now."""
        self.drop = self.twice = self.silent_until_ns = self.late_fill_ns = self.hold_back_ns = 0
        self.release()

    def _send(self, frame: bytes) -> None:
        for connection in self.listeners:
            self._tell(connection, frame)
