"""The private stream of a real venue: every event that is told, and a gap whenever one may have been missed.

Nothing numbers the events of these streams, so that what is missing shows in no number: after each connect everything is read again. A connection on
which nothing is heard is asked whether it is still there; one that does not answer is given up. That a venue which answers tells everything is not
known, and reconciliation is what finds out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.gate.readings import Now
from interlock.gate.venue_live import LONGEST_REASON, LiveAccess, entered, shown, told
from interlock.gate.venue_reads import ReadFailed, StreamEvent
from interlock.venues.port import AccountEvent, AccountFeed, FillKind, FillSeen, LedgerSeen, OrderSeen, Refused, Told
from interlock.venues.socket import Connect, Socket, SocketBroken, connect_picows

SHORTEST_PAUSE_NS: Final = 100_000_000
LONGEST_PAUSE_NS: Final = 5_000_000_000
"""Between two connections, doubling; a connection that stood for so long begins with the shortest again."""
KEEP_EVERY_NS: Final = 1_800 * NS_PER_S
KEEP_AGAIN_NS: Final = 60 * NS_PER_S
MOST_KEEPS_MISSED: Final = 10
"""So many failures in a row to keep what proves who listens; it lasts an hour."""
LIFE_USED: Final = 0.95
"""The part of a connection's longest life after which it is made anew."""
GREETED: Final = "greeted"

OnEvent = Callable[[StreamEvent], None]
OnGap = Callable[[str], None]


class _Inbox:
    """What came on a connection and was not looked at yet, with its time. `stir` is set when there is something to do."""

    def __init__(self, clock: Callable[[], Now]) -> None:
        self._clock = clock
        self.frames: deque[tuple[bytes, int]] = deque()
        self.lost = ""
        self.heard_ns = clock().boot_ns
        self.stir = asyncio.Event()

    def frame(self, frame: bytes) -> None:
        """A message came."""
        self.heard_ns = self._clock().boot_ns
        self.frames.append((frame, self.heard_ns))
        self.stir.set()

    def end(self, reason: str) -> None:
        """The connection ended."""
        self.lost = self.lost or reason or "the connection was lost"
        self.stir.set()


class LiveStream:
    """Follows the private stream of one account.

    After `silence_ns` without a message the venue is pinged, and at the latest as often as it wants it; the access's time limit is that of
    connecting and of each answer. What must be kept alive by requests is kept every `keep_every_ns`.
    """

    def __init__(
        self,
        access: LiveAccess,
        feed: AccountFeed,
        *,
        silence_ns: int,
        keep_every_ns: int = KEEP_EVERY_NS,
        connect: Connect = connect_picows,
    ) -> None:
        self.venue = access.venue
        self.account = access.account
        self._access = access
        self._feed = feed
        self._silence_ns = silence_ns
        self._keep_every_ns = keep_every_ns
        self._connect = connect
        self._pause_ns = SHORTEST_PAUSE_NS
        self._since_boot_ns: int | None = None

    @property
    def connected_since_boot_ns(self) -> int | None:
        """Since when it has been subscribed on one connection; None while it is not."""
        return self._since_boot_ns

    async def run(self, on_event: OnEvent, on_gap: OnGap) -> None:
        """Follow until cancelled, as the port says. Orders, executions and ledger entries are told; positions and balances are left to reads, and
        orders of the venue's own making are no news: their executions are. One that rests all the same is on the lists.

        An event may be told more than once. Attempts to connect that fail are told as gaps too.
        """
        while True:
            rest_ns = 0
            try:
                await self._follow(on_event, on_gap)
            except ReadFailed as failed:
                rest_ns = failed.retry_after_ns
                on_gap(failed.reason)
            await asyncio.sleep(max(self._pause_ns, rest_ns) / NS_PER_S)
            self._pause_ns = min(2 * self._pause_ns, LONGEST_PAUSE_NS)

    async def _follow(self, on_event: OnEvent, on_gap: OnGap) -> None:
        """One connection, until ReadFailed says why it ended."""
        inbox = _Inbox(self._access.clock)
        socket = await self._open(inbox)
        keeping: asyncio.Task[None] | None = None
        try:
            await self._greet(socket, inbox, on_event, on_gap)
            self._since_boot_ns = self._access.clock().boot_ns
            on_gap("connected")
            keeping = asyncio.get_running_loop().create_task(self._keep())
            keeping.add_done_callback(lambda _: inbox.stir.set())
            await self._listen(socket, inbox, keeping, on_event, on_gap)
        finally:
            if self._since_boot_ns is not None and self._access.clock().boot_ns - self._since_boot_ns >= LONGEST_PAUSE_NS:
                self._pause_ns = SHORTEST_PAUSE_NS
            self._since_boot_ns = None
            socket.close()
            if keeping is not None:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    async def _open(self, inbox: _Inbox) -> Socket:
        access = self._access
        path = await access.hold(self._feed.opening())
        headers = self._feed.headers(access.key, access.stamp())
        try:
            async with asyncio.timeout(access.timeout_ns / NS_PER_S):
                return await self._connect(access.hosts.private, path, headers, inbox.frame, inbox.end)
        except TimeoutError:
            raise ReadFailed("no connection in time") from None
        except SocketBroken as error:
            raise ReadFailed(f"no connection: {error}"[:LONGEST_REASON]) from error

    async def _greet(self, socket: Socket, inbox: _Inbox, on_event: OnEvent, on_gap: OnGap) -> None:
        """Say what is to be said after connecting, one after the other, each when the one before was taken."""
        greeting = self._feed.greeting(self._access.key, self._access.stamp())
        for frame in greeting.frames:
            socket.send(frame)
            if greeting.pinged:
                socket.send(self._feed.ping())
            try:
                async with asyncio.timeout(self._access.timeout_ns / NS_PER_S):
                    while not self._hear(inbox, on_event, on_gap, until=GREETED):
                        await inbox.stir.wait()
            except TimeoutError:
                raise ReadFailed("the venue did not answer what is said after connecting") from None

    async def _listen(self, socket: Socket, inbox: _Inbox, keeping: asyncio.Task[None], on_event: OnEvent, on_gap: OnGap) -> None:
        """Take what comes, and ask whether the venue is still there, until ReadFailed says why it is over."""
        now_ns = self._access.clock().boot_ns
        ping = _Ping(self._feed, socket, inbox, self._silence_ns, self._access.timeout_ns, now_ns)
        life_ns = round(self._feed.lives_s * LIFE_USED * NS_PER_S)
        ends_ns = now_ns + life_ns if life_ns else None
        while True:
            self._hear(inbox, on_event, on_gap)
            if keeping.done():
                keeping.result()
            now_ns = self._access.clock().boot_ns
            if ends_ns is not None and now_ns >= ends_ns:
                raise ReadFailed("a connection lives no longer at this venue: another one is made")
            due_ns = ping.turn(now_ns)
            due_ns = due_ns if ends_ns is None else min(due_ns, ends_ns)
            try:
                async with asyncio.timeout(max(due_ns - now_ns, 0) / NS_PER_S):
                    await inbox.stir.wait()
            except TimeoutError:
                pass

    async def _keep(self) -> None:
        """Ask, every now and then, for what must be asked for. Raises ReadFailed when it is of no use any more."""
        missed, pause_ns = 0, self._keep_every_ns
        while True:
            await asyncio.sleep(pause_ns / NS_PER_S)
            try:
                await self._access.hold(self._feed.keeping())
                missed, pause_ns = 0, self._keep_every_ns
            except ReadFailed as failed:
                missed, pause_ns = missed + 1, min(self._keep_every_ns, max(KEEP_AGAIN_NS, failed.retry_after_ns))
                # A venue that says no does not know any more who listens; one that does not answer may the next time.
                if (isinstance(failed.__cause__, Refused) and not failed.limited) or missed >= MOST_KEEPS_MISSED:
                    raise

    # What came

    def _hear(self, inbox: _Inbox, on_event: OnEvent, on_gap: OnGap, until: str = "") -> bool:
        """Take what came, all of it or up to a kind of frame; whether that was found. Raises ReadFailed when the connection is over."""
        inbox.stir.clear()
        while inbox.frames:
            frame, boot_ns = inbox.frames.popleft()
            said = self._feed.take(frame)
            self._tell(said, boot_ns, on_event, on_gap)
            if said.over:
                raise ReadFailed((said.gap or f"the venue ends the connection: {said.what}")[:LONGEST_REASON])
            if until and said.what == until:
                inbox.stir.set()  # there may be more
                return True
        if inbox.lost:
            raise ReadFailed(inbox.lost[:LONGEST_REASON])
        return False

    def _tell(self, said: Told, boot_ns: int, on_event: OnEvent, on_gap: OnGap) -> None:
        for each in said.events:
            if not isinstance(each, OrderSeen | FillSeen | LedgerSeen):
                continue
            if isinstance(each, OrderSeen) and each.kind is not FillKind.TRADE:
                continue  # nobody placed it; its executions say what it did
            event = self._converted(each, boot_ns)
            if event is None:
                on_gap(f"an event of {each.symbol[:64] or 'the account'} makes no sense")
            else:
                on_event(event)
        if said.gap and not said.over:
            on_gap(said.gap[:LONGEST_REASON])

    def _converted(self, event: AccountEvent, boot_ns: int) -> StreamEvent | None:
        if isinstance(event, OrderSeen):
            return shown(event, "stream", boot_ns)
        if isinstance(event, FillSeen):
            return told(event, self.venue, self.account, boot_ns)
        return entered(event, self.venue, self.account, boot_ns) if isinstance(event, LedgerSeen) else None


class _Ping:
    """Asks whether the venue is still there: after a silence, and at least as often as the venue wants to be asked."""

    def __init__(self, feed: AccountFeed, socket: Socket, inbox: _Inbox, silence_ns: int, timeout_ns: int, now_ns: int) -> None:
        self._feed = feed
        self._socket = socket
        self._inbox = inbox
        self._silence_ns = silence_ns
        self._timeout_ns = timeout_ns
        self._every_ns = round(feed.ping_every_s * NS_PER_S)
        self._sent_ns = now_ns
        self._waits = False
        self._pongs = socket.pongs
        self._alive_ns = now_ns

    def turn(self, now_ns: int) -> int:
        """Ping if that is due; when to look again. Raises ReadFailed when a ping had no answer in time."""
        if self._socket.pongs != self._pongs:
            self._pongs, self._alive_ns = self._socket.pongs, now_ns
        self._alive_ns = max(self._alive_ns, self._inbox.heard_ns)
        if self._waits and self._alive_ns > self._sent_ns:
            self._waits = False
        if self._waits and now_ns - self._sent_ns >= self._timeout_ns:
            raise ReadFailed("the venue does not answer a ping")
        if not self._waits and now_ns >= self._due_ns:
            self._send(now_ns)
        return self._sent_ns + self._timeout_ns if self._waits else self._due_ns

    @property
    def _due_ns(self) -> int:
        return min(self._sent_ns + self._every_ns, max(self._alive_ns, self._sent_ns) + self._silence_ns)

    def _send(self, now_ns: int) -> None:
        text = self._feed.ping()
        if text:
            self._socket.send(text)
        else:
            self._socket.ping()
        self._sent_ns, self._waits = now_ns, True
