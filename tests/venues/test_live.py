"""A public feed that is kept alive: what it sends, when it connects anew, and when it says that a book may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from tests.venues.captures import depth
from tests.venues.feeds import BASE_MS, bybit_book, bybit_resolve, encoded, upbit_book, upbit_resolve

from interlock.domain.clock import NS_PER_S, ManualClock
from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.market.shipped import SHIPPED
from interlock.venues.binance_usdm.public import Feed as BinanceFeed
from interlock.venues.binance_usdm.subscriptions import STREAMS_MAX, BooksWire, MarketWire
from interlock.venues.bybit.public import Feed as BybitFeed
from interlock.venues.bybit.subscriptions import PublicWire as BybitWire
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.feed import Reject, Taken
from interlock.venues.http_reader import ReadBroken
from interlock.venues.live import VENUE_TIME, Fresh, LiveFeed, PublicFeed, PublicWire, Stale
from interlock.venues.port import Access, Heard, Refused
from interlock.venues.public_parts import describing_call, public_lines
from interlock.venues.request import Call, Method
from interlock.venues.socket import OnEnd, OnFrame, SocketBroken
from interlock.venues.upbit.public import Feed as UpbitFeed
from interlock.venues.upbit.subscriptions import PublicWire as UpbitWire

HERE = Endpoint(Where.LOOPBACK, "127.0.0.1", 1, tls=False)
STALE_NS = 2 * NS_PER_S


@dataclass
class FakeSocket:
    """A connection that remembers what was sent; a test is the venue."""

    on_frame: OnFrame
    on_end: OnEnd
    path: str
    sent: list[bytes] = field(default_factory=list)
    pings: int = 0
    pongs: int = 0
    closed: bool = False

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def ping(self) -> None:
        self.pings += 1

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.on_end("we closed it")


class World:
    """A feed on connections that a test plays. `answers` are given to what is asked over HTTP, in order."""

    def __init__(self, wire: PublicWire, feed: PublicFeed, symbols: tuple[str, ...]) -> None:
        self.clock = ManualClock(BASE_MS * 1_000_000)
        self.clock.advance(NS_PER_S)
        self.sockets: list[FakeSocket] = []
        self.failures = 0
        self.answers: list[Heard | Exception] = []
        self.asked: list[Call] = []
        self.said: list[Taken | Reject] = []
        self.live = LiveFeed(
            HERE,
            wire,
            feed,
            symbols,
            connect=self._connect,
            ask=self._ask,
            clock=self.clock,
            chance=lambda: 0.0,
            stale_ns=STALE_NS,
            on_frame=self._on_frame,
        )

    @property
    def socket(self) -> FakeSocket:
        return self.sockets[-1]

    async def _connect(
        self, endpoint: Endpoint, path: str, headers: Sequence[tuple[str, str]], on_frame: OnFrame, on_end: OnEnd
    ) -> FakeSocket:
        if self.failures:
            self.failures -= 1
            raise SocketBroken("nobody there")
        self.sockets.append(FakeSocket(on_frame, on_end, path))
        return self.socket

    def _ask(self, call: Call) -> asyncio.Future[Heard]:
        self.asked.append(call)
        found: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        answer = self.answers.pop(0) if self.answers else ReadBroken("no answer")
        if isinstance(answer, Exception):
            found.set_exception(answer)
        else:
            found.set_result(answer)
        return found

    def _on_frame(self, frame: bytes, receive_ns: int, said: Taken | Reject) -> None:
        self.said.append(said)

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not reached():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.01)

    async def pass_s(self, seconds: float) -> None:
        """Let time pass, and the feed look at it."""
        self.clock.advance(round(seconds * NS_PER_S))
        await asyncio.sleep(0.25)


def play(world: World, story: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        task = asyncio.create_task(world.live.run())
        try:
            await story()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(run())


def bybit() -> World:
    feed = BybitFeed(bybit_resolve)
    return World(BybitWire(feed, ("BTCUSDT",)), feed, ("BTCUSDT",))


def binance() -> World:
    feed = BinanceFeed(lambda symbol: SHIPPED[f"binance_usdm:{symbol}"])
    return World(BooksWire(feed, ("BTCUSDT",)), feed, ("BTCUSDT",))


SNAPSHOT = encoded(bybit_book("snapshot", 100, [("100.0", "1")], [("100.1", "1")], 0))


def test_a_book_is_fresh_stale_and_fresh_again() -> None:
    world = bybit()

    async def story() -> None:
        assert world.live.freshness("BTCUSDT") == Stale("not connected")
        await world.until(lambda: bool(world.sockets))
        assert world.socket.path == "/v5/public/linear"
        assert world.live.freshness("BTCUSDT") == Stale("no whole book since the last break")
        world.socket.on_frame(SNAPSHOT)
        assert world.live.freshness("BTCUSDT") == Fresh(0)
        world.clock.advance(STALE_NS)
        assert world.live.freshness("BTCUSDT") == Fresh(STALE_NS)
        world.clock.advance(NS_PER_S)
        assert world.live.freshness("BTCUSDT") == Stale("no change for 3000 ms", quiet=True)
        world.socket.on_frame(encoded(bybit_book("delta", 101, [("100.0", "2")], [], 50)))
        assert world.live.freshness("BTCUSDT") == Fresh(0)
        assert world.live.freshness("ETHUSDT") == Stale("no whole book since the last break")
        assert [type(one) for one in world.said] == [Taken, Taken]

    play(world, story)


def test_a_gap_is_followed_by_a_new_subscription_not_too_often() -> None:
    world = bybit()

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        assert [b'"subscribe"' in one for one in world.socket.sent] == [True]
        world.socket.on_frame(SNAPSHOT)
        await world.pass_s(1.5)
        assert len(world.socket.sent) == 1, "a book that is known is not asked for"
        world.socket.on_frame(encoded(bybit_book("delta", 105, [], [], 60)))
        assert isinstance(world.live.freshness("BTCUSDT"), Stale)
        await world.pass_s(0.5)
        assert [b"unsubscribe" in one for one in world.socket.sent[1:]] == [True, False]
        await world.pass_s(0.2)
        assert len(world.socket.sent) == 3
        await world.pass_s(1.0)
        assert len(world.socket.sent) == 5
        world.socket.on_frame(SNAPSHOT.replace(b'"u":100', b'"u":200'))
        assert isinstance(world.live.freshness("BTCUSDT"), Fresh)
        assert world.live.counts.rejected["gap"] == 1

    play(world, story)


def test_a_connection_that_is_lost_or_silent_is_made_anew_and_its_books_are_gone() -> None:
    world = bybit()

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        world.socket.on_frame(SNAPSHOT)
        world.socket.on_end("the connection was lost")
        assert world.live.freshness("BTCUSDT") == Stale("not connected")
        await world.until(lambda: len(world.sockets) == 2)
        assert isinstance(world.live.freshness("BTCUSDT"), Stale)
        await world.pass_s(25)
        assert b'{"op":"ping"}' in world.socket.sent
        assert len(world.sockets) == 2
        await world.pass_s(25)
        await world.until(lambda: len(world.sockets) == 3)
        assert world.sockets[1].closed
        assert world.live.counts.ends["nothing was heard for too long"] == 1
        assert world.live.counts.connections == 3

    play(world, story)


FAR_MS = 5 * 10**12
"""Beyond any time of a test's frames, and still a time that a venue could mean."""


def test_a_time_far_ahead_holds_nothing_back_after_a_new_connection() -> None:
    upbit = UpbitFeed(upbit_resolve)
    ahead, now = (encoded(upbit_book(at, [(100, 1)], [(101, 1)])) for at in (FAR_MS, 0))
    assert isinstance(upbit.take(ahead), Taken)
    assert isinstance(upbit.take(now), Reject), "on the same connection time does not go back"
    upbit.lose()
    assert isinstance(upbit.take(now), Taken)
    of_bybit = BybitFeed(bybit_resolve)
    late = encoded(bybit_book("snapshot", 100, [("100.0", "1")], [("100.1", "1")], FAR_MS))
    assert isinstance(of_bybit.take(late), Taken)
    assert isinstance(of_bybit.take(SNAPSHOT), Reject)
    of_bybit.lose()
    assert isinstance(of_bybit.take(SNAPSHOT), Taken)
    of_binance = BinanceFeed(lambda symbol: SHIPPED[f"binance_usdm:{symbol}"])
    assert isinstance(of_binance.take(encoded(depth(95, 100, 90, [], [], FAR_MS))), Taken)
    assert isinstance(of_binance.take(encoded(depth(101, 105, 100, [], [], 1))), Reject)
    of_binance.lose()
    assert isinstance(of_binance.take(encoded(depth(101, 105, 100, [], [], 1))), Taken)


def test_a_venue_that_cannot_be_reached_is_tried_again_later_and_later() -> None:
    world = bybit()
    world.failures = 2

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        assert world.live.counts.ends["nobody there"] == 2

    play(world, story)


def test_an_old_connection_is_made_anew() -> None:
    world = binance()

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        first = world.socket
        assert first.path == "/public/stream?streams=btcusdt@depth@100ms"
        for _ in range(2):
            await world.pass_s(50)
            first.on_frame(b'{"result":null,"id":1}')
        assert first.pings == 0
        world.clock.advance(80 * NS_PER_S)
        first.on_frame(b'{"result":null,"id":1}')
        await world.until(lambda: first.pings == 1)
        world.clock.advance(24 * 3600 * NS_PER_S)
        first.on_frame(b'{"result":null,"id":1}')
        await world.until(lambda: len(world.sockets) == 2)
        assert world.live.counts.ends["it was old"] == 1

    play(world, story)


def test_a_book_of_binance_is_asked_for_until_one_fits() -> None:
    world = binance()
    fits = encoded({"lastUpdateId": 98, "E": BASE_MS + 4_001, "T": BASE_MS + 4_000, "bids": [["100.0", "1"]], "asks": [["100.1", "1"]]})
    world.answers = [ReadBroken("late"), Heard(429, {}, b"{}"), Heard(200, {}, fits.replace(b"98", b"10")), Heard(200, {}, fits)]

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        await world.pass_s(1.5)
        assert world.asked == [], "nothing is asked for before diffs wait for it"
        world.socket.on_frame(encoded(depth(95, 100, 90, [], [], 0)))
        for _ in range(4):
            assert isinstance(world.live.freshness("BTCUSDT"), Stale)
            await world.pass_s(1.1)
        assert isinstance(world.live.freshness("BTCUSDT"), Fresh)
        assert [call.query for call in world.asked] == ["symbol=BTCUSDT&limit=1000"] * 4
        assert world.live.counts.rejected == {"snapshot: HTTP 429": 1, "out of order": 1}
        await world.pass_s(1.1)
        assert len(world.asked) == 4

    play(world, story)


@pytest.mark.parametrize("apart_s", [-6, 6])
def test_what_has_a_time_far_from_ours_is_counted_and_its_book_not_used_until_one_of_now_comes(apart_s: int) -> None:
    world = bybit()

    def at(update: int, apart_ms: int) -> bytes:
        now_ms = world.clock.now_ns() // 1_000_000 - BASE_MS
        return encoded(bybit_book("delta", update, [("100.0", str(update))], [], now_ms + apart_ms))

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        world.socket.on_frame(SNAPSHOT)
        if apart_s < 0:
            world.clock.advance(5 * NS_PER_S)  # a stream that falls behind; its own time never goes back
        world.socket.on_frame(at(101, 4_900 * (1 if apart_s > 0 else -1)))
        assert isinstance(world.live.freshness("BTCUSDT"), Fresh), "the control: almost as far"
        if apart_s < 0:
            world.clock.advance(2 * NS_PER_S)
        world.socket.on_frame(at(102, apart_s * 1_000))
        assert world.live.freshness("BTCUSDT") == Stale("the time of its last change, by the venue, is too far from ours")
        assert world.live.counts.rejected == {VENUE_TIME: 1}
        assert isinstance(world.said[-1], Taken), "what follows tells what is different from it"
        if apart_s > 0:
            world.clock.advance(7 * NS_PER_S)
        world.socket.on_frame(at(103, 0))
        assert isinstance(world.live.freshness("BTCUSDT"), Fresh)
        assert len(world.socket.sent) == 1, "nothing was missed, so nothing is asked for"

    play(world, story)


def test_a_connection_that_says_nothing_of_now_is_made_anew() -> None:
    world = bybit()

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        first = world.socket
        first.on_frame(SNAPSHOT)
        world.clock.advance(20 * NS_PER_S)
        for update in (101, 102):
            first.on_frame(encoded(bybit_book("delta", update, [("100.0", str(update))], [], update)))
            world.clock.advance(3 * NS_PER_S)
        assert len(world.sockets) == 1, "the control: not for as long yet"
        first.on_frame(encoded(bybit_book("delta", 103, [("100.0", "7")], [], 103)))
        await world.until(lambda: len(world.sockets) == 2)
        assert world.live.counts.ends["the time of its messages is too far from ours"] == 1

    play(world, story)


def test_a_book_that_is_not_whole_again_in_time_gets_another_connection_once() -> None:
    world = bybit()

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        first = world.socket
        first.on_frame(SNAPSHOT)
        await world.pass_s(0.1)
        first.on_frame(encoded(bybit_book("delta", 105, [], [], 60)))
        await world.pass_s(0.1)
        await world.pass_s(4.0)
        assert len(world.sockets) == 1
        await world.pass_s(2.0)
        await world.until(lambda: len(world.sockets) == 2)
        assert world.live.counts.ends["a book was not whole again in time"] == 1
        for _ in range(3):
            await world.pass_s(4.0)
        assert len(world.sockets) == 2, "it never had one on this connection: a symbol without a book does not cost the others theirs"

    play(world, story)


def test_what_the_listener_raises_ends_the_feed() -> None:
    feed = BybitFeed(bybit_resolve)
    world = World(BybitWire(feed, ("BTCUSDT",)), feed, ("BTCUSDT",))

    def fail(frame: bytes, receive_ns: int, said: Taken | Reject) -> None:
        raise RuntimeError("the disk is full")

    world.live._on_frame = fail  # the callback is the seam

    async def story() -> None:
        task = asyncio.create_task(world.live.run())
        await world.until(lambda: bool(world.sockets))
        world.socket.on_frame(SNAPSHOT)
        with pytest.raises(RuntimeError, match="disk is full"):
            await task

    asyncio.run(story())


def test_upbit_asks_for_everything_in_one_request_and_pings_by_text() -> None:
    feed = UpbitFeed(upbit_resolve)
    world = World(UpbitWire(("KRW-BTC", "KRW-ETH")), feed, ("KRW-BTC",))

    async def story() -> None:
        await world.until(lambda: bool(world.sockets))
        assert len(world.socket.sent) == 1
        assert b'"codes":["KRW-BTC.15","KRW-ETH.15"]' in world.socket.sent[0]
        world.socket.on_frame(encoded(upbit_book(0, [(100, 1)], [(101, 1)])))
        assert isinstance(world.live.freshness("KRW-BTC"), Fresh)
        await world.pass_s(51)
        assert world.socket.sent[1] == b"PING"
        assert len(world.socket.sent) == 2

    play(world, story)


def test_the_lines_of_each_venue() -> None:
    def resolve(symbol: str) -> object:
        raise ValueError(symbol)

    found = {venue: public_lines(venue, ("A", "B"), resolve) for venue in ("upbit", "bybit", "binance_usdm")}  # type: ignore[arg-type]
    assert [[line.name for line in lines] for lines in found.values()] == [["stream"], ["stream"], ["books", "market"]]
    assert [line.books for line in found["binance_usdm"]] == [("A", "B"), ()]
    with pytest.raises(UsageError, match="expected upbit, binance_usdm or bybit"):
        public_lines("kraken", ("A",), resolve)  # type: ignore[arg-type]
    assert describing_call("upbit", ("A", "B")).query == "markets=A,B"


def test_trades_are_left_out_where_nobody_wants_them() -> None:
    def resolve(symbol: str) -> Instrument:
        raise ValueError(symbol)

    for venue in ("upbit", "bybit", "binance_usdm"):
        for trades in (True, False):
            lines = public_lines(venue, ("A",), resolve, trades=trades)
            said = " ".join(line.wire.path + b" ".join(line.wire.hello()).decode() for line in lines)
            assert ("rade" in said) is trades
            assert "depth" in said or "orderbook" in said
            assert ("markPrice" in said or "tickers" in said) is (venue != "upbit")


def test_the_book_that_is_asked_for_counts_against_the_limits_and_a_refusal_is_one() -> None:
    calls = {venue: Call(Method.GET, "/fapi/v1/depth", "symbol=A&limit=1000") for venue in ("bybit", "binance_usdm")}
    asked = {venue: next(public_lines(venue, ("A",), bybit_resolve)[0].snapshot(call)) for venue, call in calls.items()}
    assert [(asked[venue].call, asked[venue].access) for venue in calls] == [(call, Access.PUBLIC) for call in calls.values()]
    assert (asked["bybit"].budget, asked["binance_usdm"].budget, asked["binance_usdm"].weight) == ("", "weight", 20)
    for venue, raises in (("bybit", StopIteration), ("binance_usdm", Refused)):
        talk = public_lines(venue, ("A",), bybit_resolve)[0].snapshot(calls[venue])
        next(talk)
        with pytest.raises(raises):
            talk.send(Heard(429, {"retry-after": "7"}, b'{"code":-1003,"msg":"Too many requests."}'))


def test_more_than_a_connection_takes_is_refused() -> None:
    many = tuple(f"SYMBOL{number}USDT" for number in range(STREAMS_MAX + 1))
    with pytest.raises(ValueError, match="streams on one connection"):
        MarketWire(many)
    with pytest.raises(ValueError, match="characters on one connection"):
        BybitWire(BybitFeed(bybit_resolve), many).hello()
    with pytest.raises(ValueError, match="1, 5, 15 or 30"):
        UpbitWire(("KRW-BTC",), units=7)


def test_nothing_is_asked_for_over_http_where_the_stream_has_it() -> None:
    feed = BybitFeed(bybit_resolve)
    for wire in (BybitWire(feed, ("A",)), UpbitWire(("A",)), MarketWire(("A",))):
        assert wire.snapshot_call("A") is None
        assert isinstance(wire.on_snapshot("A", b"{}"), Reject)
