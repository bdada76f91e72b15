"""The private stream of the fake venue: every event once, in order, or a gap is told.

The venue numbers its events and repeats none, so that what is missing shows only in the numbers. After a silence the stream subscribes again on the
same connection, which changes nothing there: the answer proves that the venue still speaks, and says whether numbers went by that were not told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import count

from interlock.gate.readings import Now
from interlock.gate.venue_fake_line import Line, connect, refusal
from interlock.gate.venue_fake_reads import entered, shown, told
from interlock.gate.venue_reads import ReadFailed, StreamEvent
from interlock.venues.fake import wire

SHORTEST_PAUSE_NS = 100_000_000
LONGEST_PAUSE_NS = 5_000_000_000
"""Between two connections, doubling; a connection that stood for so long begins with the shortest again."""
REMEMBERED = 1_024
"""So many of the last events are kept, to tell a repetition from another event of the same number."""


class _Inbox:
    """What came on a connection and was not told yet. `stir` is set when there is something to do."""

    def __init__(self) -> None:
        self.pushes: deque[wire.Push] = deque()
        self.lost = ""
        self.stir = asyncio.Event()

    def push(self, push: wire.Push) -> None:
        """An event came."""
        self.pushes.append(push)
        self.stir.set()

    def end(self, reason: str) -> None:
        """The connection ended."""
        self.lost = reason
        self.stir.set()


class _Sequence:
    """Which number comes next, and the last events that came."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._recent: dict[int, wire.Push] = {}

    def take(self, push: wire.Push) -> str | None:
        """Why an event shows that something may have been missed, empty when it does not; None for an exact repetition."""
        number, expected, known = push.sequence, self.expected, self._recent.get(push.sequence)
        if known == push:
            return None
        self._recent[number] = push
        if len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self.expected = max(expected, number + 1)
        if known is not None:
            return f"event {number} came again and says something else"
        if number < expected:
            return f"event {number} came behind event {expected - 1}"
        return "" if number == expected else f"events {expected} to {number - 1} did not come"


class FakeStream:
    """Follows the stream of one account. `port` is the stream port on 127.0.0.1; `timeout_ns` how long connecting and each answer may take.

    `receive_window_ns` bounds when the venue still takes the subscription, 0: no bound. After `silence_ns` without an event the venue is asked
    whether it is still there and which number comes next; no answer, or another number, is a gap.
    """

    def __init__(
        self, venue: str, account: str, port: int, clock: Callable[[], Now], *, timeout_ns: int, receive_window_ns: int, silence_ns: int
    ) -> None:
        self.venue = venue
        self.account = account
        self._port = port
        self._clock = clock
        self._timeout_ns = timeout_ns
        self._window_ns = receive_window_ns
        self._silence_ns = silence_ns
        self._numbers = count(1)
        self._pause_ns = SHORTEST_PAUSE_NS
        self._since_boot_ns: int | None = None

    @property
    def connected_since_boot_ns(self) -> int | None:
        """Since when it has been subscribed on one connection; None while it is not. A gap in the numbers does not change it."""
        return self._since_boot_ns

    async def run(self, on_event: Callable[[StreamEvent], None], on_gap: Callable[[str], None]) -> None:
        """Follow until cancelled, as the port says. Orders, executions and ledger entries are told; positions and balances are left to reads.

        An event behind a gap is told all the same: it happened. Attempts to connect that fail are told as gaps too.
        """
        while True:
            rest_ns = 0
            try:
                await self._follow(on_event, on_gap)
            except ReadFailed as failed:
                rest_ns = failed.retry_after_ns
                on_gap(failed.reason)
            await asyncio.sleep(max(self._pause_ns, rest_ns) / 1e9)
            self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)

    async def _follow(self, on_event: Callable[[StreamEvent], None], on_gap: Callable[[str], None]) -> None:
        """One connection, until ReadFailed says why it ended."""
        try:
            async with asyncio.timeout(self._timeout_ns / 1e9):
                connection = await connect(self._port, f"{self.venue}.stream")
        except TimeoutError:
            raise ReadFailed("no connection in time") from None
        inbox = _Inbox()
        line = Line(connection, self._clock, self._numbers, inbox.push, inbox.end)
        probe: _Probe | None = None
        rest_until_boot_ns = 0
        try:
            sequence = _Sequence(await self._subscribe(line))
            self._since_boot_ns = self._clock().boot_ns
            on_gap("connected")
            while True:
                inbox.stir.clear()
                while inbox.pushes:
                    self._tell(inbox.pushes.popleft(), sequence, on_event, on_gap)
                if inbox.lost:
                    raise ReadFailed(inbox.lost)
                if probe is not None and probe.task.done():
                    answered, probe = probe, None
                    rest_until_boot_ns = _agree(answered, sequence, on_gap) + self._clock().boot_ns
                patience_ns = max(self._silence_ns, rest_until_boot_ns - self._clock().boot_ns)
                try:
                    async with asyncio.timeout(None if probe is not None else patience_ns / 1e9):
                        await inbox.stir.wait()
                except TimeoutError:
                    probe = _Probe(self._subscribe(line), sequence.expected, inbox.stir)
        finally:
            if self._since_boot_ns is not None and self._clock().boot_ns - self._since_boot_ns >= LONGEST_PAUSE_NS:
                self._pause_ns = SHORTEST_PAUSE_NS
            self._since_boot_ns = None
            line.abort("the stream was given up")
            if probe is not None:
                await probe.end()

    async def _subscribe(self, line: Line) -> int:
        """Subscribe, also again; the number of the next event."""
        said = await line.ask(wire.Subscribe(receive_window_ns=self._window_ns), self._clock().boot_ns + self._timeout_ns)
        refused = refusal(said.answer)
        if refused is not None:
            raise refused
        if not isinstance(said.answer.body, wire.Subscribed):
            raise ReadFailed(f"expected the number of the next event, found {type(said.answer.body).__name__}")
        return said.answer.body.next_sequence

    def _tell(self, push: wire.Push, sequence: _Sequence, on_event: Callable[[StreamEvent], None], on_gap: Callable[[str], None]) -> None:
        missed = sequence.take(push)
        if missed is None:
            return
        if missed:
            on_gap(missed)
        if isinstance(push.event, wire.Position | wire.Balance):
            return
        event = self._converted(push.event)
        if event is None:
            on_gap(f"event {push.sequence} makes no sense")
        else:
            on_event(event)

    def _converted(self, event: wire.OrderView | wire.Execution | wire.LedgerEntry) -> StreamEvent | None:
        boot_ns = self._clock().boot_ns
        if isinstance(event, wire.OrderView):
            return shown(event, "stream", boot_ns)
        if isinstance(event, wire.Execution):
            return told(event, self.venue, self.account, boot_ns)
        return entered(event, self.venue, self.account, boot_ns)


class _Probe:
    """A question that is under way beside the events. `expected` is the number that came next when it was asked; `stir` is set when it is over."""

    def __init__(self, asking: Coroutine[None, None, int], expected: int, stir: asyncio.Event) -> None:
        self.expected = expected
        self.task = asyncio.get_running_loop().create_task(asking)
        self.task.add_done_callback(lambda _: stir.set())

    async def end(self) -> None:
        """Give it up, and leave nothing behind."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def _agree(probe: _Probe, sequence: _Sequence, on_gap: Callable[[str], None]) -> int:
    """Hold the numbers against the venue's; nanoseconds for which it wants no further question. Raises ReadFailed when it did not answer."""
    try:
        number = probe.task.result()
    except ReadFailed as failed:
        if not failed.limited:
            raise
        # It is there. Another connection would only ask more of it.
        on_gap(failed.reason)
        return failed.retry_after_ns
    if number < probe.expected:
        raise ReadFailed(f"the venue counts back, from event {probe.expected} to {number}")
    if number > sequence.expected:
        on_gap(f"events {sequence.expected} to {number - 1} went by in silence")
        sequence.expected = number
    return 0
