"""A public feed that is kept alive: connected, subscribed, pinged, renewed after every break, and honest about its age.

It gives what the feed of a venue makes of each frame, and says of each symbol whether its book may be used now. What was missed is never made up:
after a reconnect or a gap the book is unusable until the venue has sent or answered a whole one.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from interlock.domain.clock import NS_PER_S, Clock
from interlock.venues.endpoint import Endpoint
from interlock.venues.feed import BookChange, Reason, Reject, Taken, is_apart
from interlock.venues.held_book import HeldBook
from interlock.venues.http_reader import ReadBroken
from interlock.venues.port import Heard
from interlock.venues.request import Call
from interlock.venues.socket import Connect, Socket, SocketBroken

TICK_S: Final = 0.1
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 15.0
RENEW_EVERY_NS: Final = NS_PER_S
"""A symbol's whole book is asked for at most so often: venues count what is asked."""
MEND_WITHIN_NS: Final = 5 * NS_PER_S
"""A book that was whole on a connection and is not again within this, and a connection that says nothing but what is of another time for so long, are
not mended by asking: another connection is made, with which times begin anew."""
VENUE_TIME: Final = "venue time"
"""Under which messages are counted as rejected whose own time is too far from ours. What they say of a book is kept, because the next ones say what
is different from it, and not used."""


class PublicFeed(Protocol):
    """What the feed of every venue has."""

    def take(self, frame: bytes) -> Taken | Reject:
        """What a frame says; never raises."""
        ...

    def lose(self) -> None:
        """The connection was lost: every book begins anew."""
        ...

    def book(self, symbol: str) -> HeldBook | None:
        """The book of a symbol."""
        ...


class PublicWire(Protocol):
    """How a venue's public stream is opened and kept: the part of its protocol that is not in the frames it sends.

    `lives_s`: connect anew before a connection is so old. `silent_s`: a connection without a frame for so long is dead.
    """

    path: str
    ping_every_s: float
    lives_s: float
    silent_s: float

    def hello(self) -> tuple[bytes, ...]:
        """What is sent after connecting: the subscriptions."""
        ...

    def ping(self) -> bytes:
        """The venue's own ping; empty where the protocol's serves."""
        ...

    def renewal(self, symbol: str) -> tuple[bytes, ...]:
        """What is sent so that the venue sends the whole book of a symbol again; empty where it does so by itself or is asked otherwise."""
        ...

    def snapshot_call(self, symbol: str) -> Call | None:
        """What is asked over HTTP for the whole book of a symbol; None where the stream sends it."""
        ...

    def on_snapshot(self, symbol: str, body: bytes) -> Taken | Reject:
        """Hand the answer to `snapshot_call` to the feed."""
        ...


@dataclass(frozen=True, slots=True)
class Fresh:
    """A book may be used; it was last changed or confirmed `age_ns` ago."""

    age_ns: int


@dataclass(frozen=True, slots=True)
class Stale:
    """A book may not be used, and why. `quiet`: it is whole and nothing is known against it, but it has not changed for long."""

    reason: str
    quiet: bool = False


Freshness = Fresh | Stale


@dataclass(slots=True)
class Counts:
    """What happened since the beginning, by name; for metrics and for a person."""

    taken: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    renewals: int = 0


OnFrame = Callable[[bytes, int, Taken | Reject], None]
"""Told each frame, when it was received (wall clock, ns) and what came of it; also answers to snapshot calls. Of what has a time that is too far from
ours (`feed.is_apart`) nothing but books may be kept."""
Ask = Callable[[Call], "asyncio.Future[Heard]"]


class LiveFeed:
    """One connection's worth of symbols of one venue. Books older than `stale_ns` are stale however well they look.

    `ask` reads over HTTP, once; it may raise ReadBroken. `chance` gives numbers from 0 to 1, which spread reconnects.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        wire: PublicWire,
        feed: PublicFeed,
        symbols: tuple[str, ...],
        *,
        connect: Connect,
        ask: Callable[[Call], asyncio.Future[Heard]] | None,
        clock: Clock,
        chance: Callable[[], float],
        stale_ns: int,
        on_frame: OnFrame,
    ) -> None:
        self.counts = Counts()
        self._endpoint = endpoint
        self._wire = wire
        self._feed = feed
        self._symbols = symbols
        self._connect = connect
        self._ask = ask
        self._clock = clock
        self._chance = chance
        self._stale_ns = stale_ns
        self._on_frame = on_frame
        self._socket: Socket | None = None
        self._ended: asyncio.Future[str] | None = None
        self._opened_ns = self._heard_ns = self._pinged_ns = 0
        self._broken = ""
        """Why no connection came about when it was tried last."""
        self._book_ns: dict[str, int] = {}
        self._apart: set[str] = set()
        """Symbols of which the last change had a time that is too far from ours."""
        self._astray_ns: dict[str, int] = {}
        """By symbol: since when all that is told of its book is of another time, or from before what was told already."""
        self._broken_ns: dict[str, int] = {}
        """By symbol: since when its book is not whole that was so on this connection; -1 while it is."""
        self._renewed_ns: dict[str, int] = {}
        self._asking: dict[str, asyncio.Future[Heard]] = {}

    def freshness(self, symbol: str) -> Freshness:
        """Whether the book of a symbol may be used now."""
        book = self._feed.book(symbol)
        if self._socket is None or self._ended is None or self._ended.done():
            return Stale(f"not connected: {self._broken}" if self._broken else "not connected")
        if book is None or not book.usable:
            return Stale("no whole book since the last break")
        if symbol in self._apart:
            # Not as a quiet one: what is asked for besides carries no time of the venue's that would say more.
            return Stale("the time of its last change, by the venue, is too far from ours")
        age_ns = self._clock.monotonic_ns() - self._book_ns.get(symbol, 0)
        return Stale(f"no change for {age_ns // 1_000_000} ms", quiet=True) if age_ns > self._stale_ns else Fresh(age_ns)

    def connect_anew(self, reason: str) -> None:
        """End this connection, so that another begins with whole books."""
        if self._ended is not None:
            self._end(reason)

    async def run(self) -> None:
        """Keep the feed alive until cancelled. What `on_frame` raises ends it."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                try:
                    lived_s = await self._connection()
                except SocketBroken as error:
                    self._broken = str(error)
                    self.counts.ends[self._broken] += 1
                    lived_s = 0.0
                # A connection that held for a while earns a quick return; one that does not is left alone for longer and longer.
                pause_s = FIRST_PAUSE_S if lived_s > LONGEST_PAUSE_S else min(pause_s * 2, LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s * (0.5 + 0.5 * self._chance()))
        finally:
            self._drop()

    async def _connection(self) -> float:
        """One connection from its beginning to its end; how long it lived, seconds."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str] = loop.create_future()
        self._ended = ended
        self._feed.lose()
        self._book_ns.clear()
        self._apart.clear()
        self._astray_ns.clear()
        self._broken_ns.clear()
        self._renewed_ns.clear()

        def on_end(reason: str) -> None:
            if not ended.done():
                ended.set_result(reason)

        def on_frame(frame: bytes) -> None:
            try:
                self._frame(frame)
            except Exception as error:  # noqa: BLE001 - it is raised where the feed is run, not in the library's callback
                if not ended.done():
                    ended.set_exception(error)

        self._socket = await self._connect(self._endpoint, self._wire.path, (), on_frame, on_end)
        self._broken = ""
        self.counts.connections += 1
        self._opened_ns = self._heard_ns = self._pinged_ns = self._clock.monotonic_ns()
        # Not all clients at once: a venue ends connections of one age together.
        lives_ns = round(self._wire.lives_s * (0.9 + 0.1 * self._chance()) * NS_PER_S)
        try:
            for hello in self._wire.hello():
                self._socket.send(hello)
            while not ended.done():
                await asyncio.wait((ended,), timeout=TICK_S)
                self._tick(lives_ns)
            self.counts.ends[ended.result()] += 1
        finally:
            self._drop()
        return (self._clock.monotonic_ns() - self._opened_ns) / NS_PER_S

    def _drop(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()
        for asking in self._asking.values():
            asking.cancel()
        self._asking.clear()
        self._feed.lose()

    def _frame(self, frame: bytes) -> None:
        self._heard_ns = self._clock.monotonic_ns()
        self._note(frame, self._feed.take(frame))

    def _note(self, frame: bytes, said: Taken | Reject) -> None:
        now_ns = self._clock.now_ns()
        if isinstance(said, Taken):
            apart = is_apart(said.venue_ns, now_ns)
            if apart:
                self.counts.rejected[VENUE_TIME] += 1
            else:
                self.counts.taken[said.what] += 1
            for event in said.events:
                if isinstance(event, BookChange):
                    self._changed(event.symbol, apart=apart)
        else:
            self.counts.rejected[said.reason.value] += 1
            if said.reason is Reason.OUT_OF_ORDER:
                self._stray(said.symbol)
        self._on_frame(frame, now_ns, said)

    def _changed(self, symbol: str, *, apart: bool) -> None:
        self._book_ns[symbol] = self._clock.monotonic_ns()
        book = self._feed.book(symbol)
        if book is not None and book.usable:
            self._broken_ns[symbol] = -1
        if apart:
            self._apart.add(symbol)
            self._stray(symbol)
        else:
            self._apart.discard(symbol)
            self._astray_ns.pop(symbol, None)

    def _stray(self, symbol: str) -> None:
        """Something of another time was told of a book: the connection lags, or one of the clocks is wrong or has gone back. One that is not told of
        any more may be quiet, and is left alone."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._astray_ns.setdefault(symbol, now_ns) > MEND_WITHIN_NS and self._ended is not None:
            self._end("the time of its messages is too far from ours")

    def _tick(self, lives_ns: int) -> None:
        socket, now_ns = self._socket, self._clock.monotonic_ns()
        if socket is None or self._ended is None or self._ended.done():
            return
        if now_ns - self._heard_ns > self._wire.silent_s * NS_PER_S:
            self._end("nothing was heard for too long")
        elif self._wire.lives_s and now_ns - self._opened_ns > lives_ns:
            self._end("it was old")
        else:
            if now_ns - self._pinged_ns > self._wire.ping_every_s * NS_PER_S:
                self._pinged_ns = now_ns
                ping = self._wire.ping()
                socket.send(ping) if ping else socket.ping()
            for symbol in self._symbols:
                self._renew(socket, symbol, now_ns)

    def _end(self, reason: str) -> None:
        assert self._ended is not None
        if not self._ended.done():
            self._ended.set_result(reason)

    def _renew(self, socket: Socket, symbol: str, now_ns: int) -> None:
        """Ask for the whole book of a symbol that has none, not too often."""
        book = self._feed.book(symbol)
        if book is not None and book.usable:
            return
        if self._broken_ns.get(symbol) == -1:
            self._broken_ns[symbol] = now_ns
        if now_ns - self._broken_ns.get(symbol, now_ns) > MEND_WITHIN_NS:
            self._end("a book was not whole again in time")
            return
        if now_ns - self._renewed_ns.get(symbol, self._opened_ns) < RENEW_EVERY_NS:
            return
        self._renewed_ns[symbol] = now_ns
        self.counts.renewals += 1
        for frame in self._wire.renewal(symbol):
            socket.send(frame)
        call = self._wire.snapshot_call(symbol)
        if call is not None and self._ask is not None and symbol not in self._asking:
            asking = self._asking[symbol] = self._ask(call)
            asking.add_done_callback(lambda done: self._answered(symbol, done))

    def _answered(self, symbol: str, done: asyncio.Future[Heard]) -> None:
        if self._asking.get(symbol) is done:
            del self._asking[symbol]
        if done.cancelled() or self._socket is None:
            return
        failed = done.exception()
        if failed is not None:
            if not isinstance(failed, ReadBroken) and self._ended is not None and not self._ended.done():
                self._ended.set_exception(failed)
            self.counts.ends[f"snapshot: {type(failed).__name__}"] += 1
            return
        heard = done.result()
        if heard.status != 200:
            self.counts.rejected[f"snapshot: HTTP {heard.status}"] += 1
            return
        self._note(heard.body, self._wire.on_snapshot(symbol, heard.body))
