"""Following the private streams of the real venues, against their simulators: everything is told, and a gap wherever it may not have been."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType, web
from msgspec import json
from msgspec.structs import replace as change
from tests.gate.live_ground import DERIVATIVES, KINDS, MS, VENUES, Ground, S, ground, now
from tests.gate.test_venue_live_reads import instrument
from tests.gate.venue_account import bench

from interlock.domain.orders import Liquidity, OrderState
from interlock.gate import records as r
from interlock.gate.account_watch import AccountWatch
from interlock.gate.venue_live import LiveAccess
from interlock.gate.venue_live_stream import LiveStream
from interlock.gate.venue_reads import ShownOrder, StreamEvent, VenueStream
from interlock.venues.budget import Spend
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.port import AccountFeed

PATIENCE_S = 60
each_venue = pytest.mark.parametrize("venue", VENUES)
each_derivative = pytest.mark.parametrize("venue", DERIVATIVES)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("live")) as made:
        yield made


@pytest.fixture
def there(running: Ground) -> Iterator[Ground]:
    running.calm()
    yield running
    running.calm()


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


@dataclass
class Follower:
    """A stream that is followed, and what it told."""

    stream: LiveStream
    access: LiveAccess
    feed: AccountFeed
    task: asyncio.Task[None] | None = None
    told: list[StreamEvent] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    also: Callable[[StreamEvent], None] = lambda _: None

    def start(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.stream.run(self._event, self.gaps.append))

    async def end(self) -> None:
        """Give it up; raises what ended it before."""
        try:
            assert self.task is not None
            self.task.cancel()
            with suppress(asyncio.CancelledError):
                await self.task
        finally:
            self.access.close()

    def _event(self, event: StreamEvent) -> None:
        self.told.append(event)
        self.also(event)

    def connections(self) -> int:
        return self.gaps.count("connected")

    def fills(self, client_id: str) -> list[r.Filled]:
        return [event for event in self.told if isinstance(event, r.Filled) and event.client_id == client_id]

    def reports(self, client_id: str) -> list[ShownOrder]:
        return [event for event in self.told if isinstance(event, ShownOrder) and event.report.client_id == client_id]

    def events(self) -> list[r.LedgerEvent]:
        return [event for event in self.told if isinstance(event, r.LedgerEvent)]


def follower(there: Ground, venue: str, access: LiveAccess | None = None, **more: Any) -> Follower:
    access = access or there.access(venue)
    feed = KINDS[venue].feed(access.reads.instruments)
    stream = LiveStream(access, feed, **({"silence_ns": 2 * S} | more))
    return Follower(stream, access, feed)


@asynccontextmanager
async def following(there: Ground, venue: str, access: LiveAccess | None = None, **more: Any) -> AsyncIterator[Follower]:
    made = follower(there, venue, access, **more)
    made.start()
    try:
        await until(lambda: made.connections() or (made.task is not None and made.task.done()))
        yield made
    finally:
        await made.end()


def story(there: Ground, venue: str, use: Callable[[Follower], Awaitable[object]], access: LiveAccess | None = None, **more: Any) -> None:
    async def whole() -> None:
        async with following(there, venue, access, **more) as found:
            await use(found)

    asyncio.run(whole())


# What is told


@each_venue
def test_the_stream_is_what_the_gate_asks_for_and_begins_with_a_gap(there: Ground, venue: str) -> None:
    before = now().boot_ns
    made = follower(there, venue)
    stream: VenueStream = made.stream
    assert (stream.venue, stream.account, stream.connected_since_boot_ns) == (venue, "main", None)

    async def use(found: Follower) -> None:
        assert found.gaps == ["connected"]
        since = found.stream.connected_since_boot_ns
        assert since is not None
        assert before < since <= now().boot_ns
        await found.access.hold(found.access.reads.clock())
        assert found.stream.connected_since_boot_ns == since

    story(there, venue, use)


@each_venue
def test_orders_and_executions_are_told_as_the_reads_tell_them(there: Ground, venue: str) -> None:
    since_ns = time.time_ns() - S

    async def use(found: Follower) -> None:
        name = await asyncio.to_thread(there.rest, venue)
        await until(lambda: found.reports(name))
        assert found.reports(name)[-1].report.state is OrderState.OPEN
        lot = instrument(venue).lot
        for lots in (3, 4):
            assert await asyncio.to_thread(there.happen, "fill", venue, client_id=name, amount=f"{lot * lots:f}")
        await until(lambda: len(found.fills(name)) == 2)
        assert await asyncio.to_thread(there.happen, "fill", venue, client_id=name)
        await until(lambda: found.reports(name)[-1].report.state is OrderState.FILLED)
        reads = there.reads(venue, found.access, begins_venue_ns=since_ns)
        page = await reads.executions("")
        true = {event.trade_id: event for event in page.events if isinstance(event, r.Filled) and event.client_id == name}
        await until(lambda: {fill.trade_id for fill in found.fills(name)} == set(true))
        for fill in found.fills(name):
            # Upbit's lists do not tell who made, and nothing else is different.
            listed = change(true[fill.trade_id], liquidity=fill.liquidity) if venue == "upbit" else true[fill.trade_id]
            assert change(fill, boot_ns=0) == change(listed, boot_ns=0)
            assert fill.liquidity is Liquidity.MAKER
        alone, last = await reads.order(name), found.reports(name)[-1]
        assert alone is not None
        assert last.report.source == "stream"
        same = ("client_id", "venue_order_id", "state", "filled_lots", "lots", "code")
        assert {part: getattr(alone.report, part) for part in same} == {part: getattr(last.report, part) for part in same}
        assert (alone.symbol, alone.side, alone.ticks, alone.open_lots) == (last.symbol, last.side, last.ticks, last.open_lots)
        assert found.gaps == ["connected"]

    story(there, venue, use)


@each_derivative
def test_what_the_venue_itself_made_is_told_once_by_stream_and_list_together(there: Ground, venue: str) -> None:
    kinds = KINDS[venue]
    since_ns = time.time_ns()

    async def use(found: Follower) -> None:
        with bench() as b:
            watch = AccountWatch(b.keeper, venue, "main", ("demo",), now)
            await asyncio.to_thread(there.take, venue, kinds.second)
            await until(lambda: [event for event in found.told if isinstance(event, r.Filled)])
            placed = await asyncio.to_thread(there.rest, venue)
            await until(lambda: found.reports(placed))
            orders = {event.report.venue_order_id for event in found.told if isinstance(event, ShownOrder)}
            assert await asyncio.to_thread(there.happen, "liquidation", venue, symbol=kinds.second)
            await until(lambda: found.events())
            # The order by which the venue did it is none that anybody placed, and not told; one that somebody places after it is.
            later = await asyncio.to_thread(there.rest, venue)
            await until(lambda: found.reports(later))
            after = {event.report.venue_order_id for event in found.told if isinstance(event, ShownOrder)}
            assert after - orders == {found.reports(later)[-1].report.venue_order_id}
            reads = there.reads(venue, found.access, begins_venue_ns=since_ns)
            await watch.read_executions(reads)
            listed = b.told(r.LedgerEvent)
            assert {event.kind for event in listed} == {r.LedgerKind.LIQUIDATION}
            await until(lambda: len(found.events()) >= len(listed))
            before = b.records
            for event in found.told:
                if not isinstance(event, ShownOrder):
                    watch.take(event)
            assert b.records == before
            assert not [flag for flag, _ in b.state.ledger.flags if flag == "conflict"]

    story(there, venue, use)


def test_funding_is_told_by_stream_and_list_alike(there: Ground) -> None:
    async def use(found: Follower) -> None:
        await asyncio.to_thread(there.take, "bybit")
        assert await asyncio.to_thread(there.happen, "funding", "bybit", symbol="BTCUSDT", rate="0.0001")
        await until(lambda: found.events())
        (event,) = found.events()
        page = await there.reads("bybit", found.access).ledger("")
        (listed,) = [one for one in page.events if one.venue_id == event.venue_id]
        assert change(event, boot_ns=0) == change(listed, boot_ns=0)
        assert (event.kind, event.symbol) == (r.LedgerKind.FUNDING, "BTCUSDT")

    story(there, "bybit", use)


@each_venue
def test_what_comes_twice_is_told_twice_and_booked_once(there: Ground, venue: str) -> None:
    async def use(found: Follower) -> None:
        with bench() as b:
            watch = AccountWatch(b.keeper, venue, "main", ("demo",), now)
            name = await asyncio.to_thread(there.rest, venue)
            await until(lambda: found.reports(name))
            assert await asyncio.to_thread(there.happen, "duplicate", venue, count=4, private=True)
            assert await asyncio.to_thread(there.happen, "fill", venue, client_id=name, amount=f"{instrument(venue).lot * 3:f}")
            await until(lambda: len(found.fills(name)) >= 2)
            assert len({fill.trade_id for fill in found.fills(name)}) == 1
            for fill in found.fills(name):
                watch.take(fill)
            assert [fill.lots for fill in b.told(r.Filled)] == [3]

    story(there, venue, use)


@each_venue
def test_an_event_of_a_symbol_that_is_not_ours_is_a_gap_where_its_size_matters(there: Ground, venue: str) -> None:
    async def use(found: Follower) -> None:
        name = await asyncio.to_thread(there.rest, venue, KINDS[venue].other)
        await until(lambda: found.reports(name))
        assert found.reports(name)[-1].open_lots == 1
        assert found.gaps == ["connected"]
        assert await asyncio.to_thread(there.happen, "fill", venue, client_id=name)
        await until(lambda: len(found.gaps) > 1)
        assert "makes no sense" in found.gaps[1]
        assert found.fills(name) == []
        # The connection stays, and goes on telling.
        mine = await asyncio.to_thread(there.rest, venue)
        await until(lambda: found.reports(mine))
        assert found.connections() == 1

    story(there, venue, use)


# What breaks


@each_venue
def test_a_connection_that_broke_is_a_gap_and_another_follows(there: Ground, venue: str) -> None:
    async def use(found: Follower) -> None:
        for number in (1, 2):
            first = found.stream.connected_since_boot_ns
            assert await asyncio.to_thread(there.happen, "drop_sockets", venue)
            await until(lambda number=number: found.connections() == number + 1)  # type: ignore[misc]
            assert len([gap for gap in found.gaps if gap != "connected"]) >= number
            since = found.stream.connected_since_boot_ns
            assert since is not None
            assert first is not None
            assert since > first
        name = await asyncio.to_thread(there.rest, venue)
        await until(lambda: found.reports(name))

    story(there, venue, use)


@each_venue
def test_stream_and_lists_together_lose_nothing_and_count_nothing_twice(there: Ground, venue: str) -> None:
    since_ns = time.time_ns()

    async def use(found: Follower) -> None:
        with bench() as b:
            watch = AccountWatch(b.keeper, venue, "main", ("demo",), now)
            reads = there.reads(venue, found.access, begins_venue_ns=since_ns - 2 * S)
            found.also = lambda event: None if isinstance(event, ShownOrder) else watch.take(event)
            name = await asyncio.to_thread(there.rest, venue)
            lot, before = instrument(venue).lot, len(found.gaps)

            async def fill(lots: int) -> None:
                assert await asyncio.to_thread(there.happen, "fill", venue, client_id=name, amount=f"{lot * lots:f}")

            await fill(2)
            assert await asyncio.to_thread(there.happen, "silence", venue, ms=400)
            await fill(3)  # nothing of it is told
            assert await asyncio.to_thread(there.happen, "drop_sockets", venue)
            await until(lambda: found.gaps[before:].count("connected"))
            await watch.read_executions(reads)
            await asyncio.sleep(0.5)
            await fill(4)
            await until(lambda: sum(one.lots for one in b.told(r.Filled) if one.symbol == KINDS[venue].symbol) >= 9)
            await watch.read_executions(reads)
            mine = {one.trade_id for one in (await reads.executions("")).events if isinstance(one, r.Filled) and one.client_id == name}
            assert sorted(one.lots for one in b.told(r.Filled) if one.trade_id in mine) == [2, 3, 4]
            assert not [flag for flag, _ in b.state.ledger.flags if flag == "conflict"]

    story(there, venue, use)


@each_venue
def test_a_key_that_is_not_taken_is_a_gap_each_time_and_never_connected(there: Ground, venue: str) -> None:
    bad = "not-the-secret-of-this-key" if venue != "binance_usdm" else ""
    access = there.access(venue, secret=bad)
    if venue == "binance_usdm":  # whose listen keys are made with the key's name alone
        access.key = replace(access.key, access="nobody")
        access = LiveAccess(
            venue, "main", access.reads, access.hosts, access.key, now, lambda: "", timeout_ns=5 * S, receive_window_ns=5 * S
        )

    async def whole() -> None:
        made = follower(there, venue, access)
        made.start()
        await until(lambda: len(made.gaps) >= 3)
        assert made.connections() == 0
        assert made.stream.connected_since_boot_ns is None
        await made.end()

    asyncio.run(whole())
    # The control: the right key.
    story(there, venue, lambda found: until(lambda: found.connections() == 1))


@each_venue
def test_what_a_callback_raises_ends_it(there: Ground, venue: str) -> None:
    class Defect(Exception):
        pass

    async def use(found: Follower) -> None:
        def fail(event: StreamEvent) -> None:
            raise Defect

        found.also = fail
        await asyncio.to_thread(there.rest, venue)
        assert found.task is not None
        await until(found.task.done)
        with pytest.raises(Defect):
            found.task.result()
        assert found.stream.connected_since_boot_ns is None

    async def whole() -> None:
        with pytest.raises(Defect):
            async with following(there, venue) as found:
                await use(found)

    asyncio.run(whole())


def test_a_listen_key_is_kept_and_one_that_is_gone_is_a_gap(there: Ground) -> None:
    witness = Path(there.where["witness"])

    def kept() -> int:
        return witness.read_text(encoding="utf-8").count("PUT /fapi/v1/listenKey")

    async def use(found: Follower) -> None:
        before = kept()
        await until(lambda: kept() >= before + 2)
        assert found.gaps == ["connected"]
        # A lost answer changes nothing: it is asked again.
        assert await asyncio.to_thread(there.happen, "reset_before", "binance_usdm")
        before = kept()
        await until(lambda: kept() >= before + 3)
        assert found.gaps == ["connected"]

    story(there, "binance_usdm", use, keep_every_ns=100 * MS)


@each_venue
def test_a_connection_is_made_anew_before_its_life_is_over(there: Ground, venue: str) -> None:
    async def use(found: Follower) -> None:
        assert found.connections() == 1
        found.feed.lives_s = 0.3  # for those to come
        assert await asyncio.to_thread(there.happen, "drop_sockets", venue)
        await until(lambda: found.connections() >= 4)
        assert [gap for gap in found.gaps if "lives no longer" in gap]

    story(there, venue, use)


# A venue that a test plays

PINGS = (b"PING", json.encode({"req_id": "ping", "op": "ping"}))


@dataclass
class Played:
    """The private socket of a venue, as badly as a test wants it."""

    venue: str
    greets: bool = True
    answers_pings: bool = True
    refuses: bool = False
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    pings: int = 0
    port: int = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.sockets.append(socket)
        heard: list[bytes] = []
        async for message in socket:
            if message.type is WSMsgType.PING:
                self.pings += 1
                if self.answers_pings:
                    await socket.pong(message.data)
                continue
            heard.append(message.data.encode())
            # At Upbit the first ping belongs to what is said after connecting.
            greeting = heard[-1] not in PINGS or (self.venue == "upbit" and heard.count(heard[-1]) == 1)
            self.pings += not greeting
            if self.greets if greeting else self.answers_pings:
                await self._answer(socket, heard[-1])
        return socket

    async def _answer(self, socket: web.WebSocketResponse, said: bytes) -> None:
        pinged = said in PINGS
        if self.venue == "upbit" and pinged:
            await socket.send_str('{"error":{"name":"WRONG_FORMAT"}}' if self.refuses else '{"status":"UP"}')
        elif self.venue == "bybit":
            op = json.decode(said)["op"]
            answer = {"success": not self.refuses, "ret_msg": "", "op": op, "conn_id": "c"}
            await socket.send_str(json.encode(answer).decode())

    async def send(self, text: str) -> None:
        await self.sockets[-1].send_str(text)


@asynccontextmanager
async def played(venue: str, **how: Any) -> AsyncIterator[Played]:
    made = Played(venue, **how)
    app = web.Application()
    app.router.add_get("/{path:.*}", made.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    try:
        yield made
    finally:
        await runner.cleanup()


def at(there: Ground, venue: str, port: int, timeout_ns: int = 5 * S) -> LiveAccess:
    access = there.access(venue, timeout_ns=timeout_ns)
    access.hosts = replace(access.hosts, private=Endpoint(Where.LOOPBACK, "127.0.0.1", port, tls=False))
    return access


def on_played(
    there: Ground, venue: str, use: Callable[[Played, Follower], Awaitable[object]], how: dict[str, Any], *, connects: bool, **more: Any
) -> None:
    async def whole() -> None:
        async with played(venue, **how) as hand:
            # Only where no answer comes there is no time to wait for one.
            access = at(there, venue, hand.port, 500 * MS if how else 5 * S)
            made = follower(there, venue, access, **({"silence_ns": 100 * MS} | more))
            made.start()
            try:
                await until(lambda: made.connections() if connects else made.gaps)
                await use(hand, made)
            finally:
                await made.end()

    asyncio.run(whole())


@each_venue
def test_a_venue_that_answers_pings_is_not_left(there: Ground, venue: str) -> None:
    async def use(hand: Played, found: Follower) -> None:
        await until(lambda: hand.pings >= 3)
        assert found.gaps == ["connected"]
        assert len(hand.sockets) == 1

    on_played(there, venue, use, {}, connects=True)


@each_venue
def test_a_venue_that_does_not_answer_a_ping_is_a_gap_and_another_connection(there: Ground, venue: str) -> None:
    async def use(hand: Played, found: Follower) -> None:
        await until(lambda: len(hand.sockets) >= 2)
        assert "the venue does not answer a ping" in found.gaps
        assert hand.pings >= 1

    on_played(there, venue, use, {"answers_pings": False}, connects=True)


@pytest.mark.parametrize("venue", ["upbit", "bybit"])
@pytest.mark.parametrize(("how", "said"), [({"greets": False}, "did not answer"), ({"refuses": True}, "refused")])
def test_a_venue_that_does_not_take_what_is_said_after_connecting_never_counts_as_connected(
    there: Ground, venue: str, how: dict[str, Any], said: str
) -> None:
    async def use(hand: Played, found: Follower) -> None:
        await until(lambda: len(found.gaps) >= 2)
        assert found.connections() == 0
        assert all(said in gap for gap in found.gaps)
        assert found.stream.connected_since_boot_ns is None

    on_played(there, venue, use, how, connects=False)


SENSE = {
    "upbit": '{"type":"announcement"}',
    "binance_usdm": '{"e":"MARGIN_CALL"}',
    "bybit": '{"success":true,"op":"pong"}',
}


SENSELESS = ("", "{", "[]", '{"topic":"else","data":[]}', '{"e":"ORDER_TRADE_UPDATE"}', '{"type":"myOrder"}', "\u0000")


@each_venue
def test_a_frame_that_makes_no_sense_is_a_gap_and_the_connection_stays(there: Ground, venue: str) -> None:
    async def use(hand: Played, found: Follower) -> None:
        for number, frame in enumerate(SENSELESS, start=1):
            await hand.send(SENSE[venue])
            await hand.send(frame)
            await until(lambda number=number: len(found.gaps) >= 1 + number)  # type: ignore[misc]
            await hand.send(SENSE[venue])
            assert len(found.gaps) == 1 + number, frame
        await until(lambda: hand.pings >= 2)
        assert len(found.gaps) == 1 + len(SENSELESS)
        assert found.told == []
        assert len(hand.sockets) == 1

    on_played(there, venue, use, {}, connects=True)


@each_venue
def test_a_venue_that_closes_is_a_gap_and_another_connection(there: Ground, venue: str) -> None:
    async def use(hand: Played, found: Follower) -> None:
        await hand.sockets[0].close()
        await until(lambda: found.connections() == 2)
        assert len(found.gaps) >= 3
        assert len(hand.sockets) == 2

    on_played(there, venue, use, {}, connects=True)


def test_a_listen_key_that_expired_is_a_gap_and_another_connection(there: Ground) -> None:
    async def use(hand: Played, found: Follower) -> None:
        await hand.send('{"e":"listenKeyExpired","E":1,"listenKey":"x"}')
        await until(lambda: found.connections() == 2)
        assert [gap for gap in found.gaps if "expired" in gap]

    on_played(there, "binance_usdm", use, {}, connects=True)


@each_venue
def test_no_venue_is_a_gap_each_time_with_growing_pauses(there: Ground, venue: str) -> None:
    async def whole() -> None:
        made = follower(there, venue, at(there, venue, 1))
        at_s: list[float] = []
        loop = asyncio.get_running_loop()
        task = loop.create_task(made.stream.run(made.told.append, lambda gap: at_s.append(loop.time())))
        await until(lambda: len(at_s) >= 4)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        made.access.close()
        pauses = [later - earlier for earlier, later in itertools.pairwise(at_s)]
        # Never shorter than it says; how much longer is up to the machine.
        assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4), strict=False))
        assert made.stream.connected_since_boot_ns is None

    asyncio.run(whole())


@each_venue
def test_a_venue_that_wants_to_be_left_alone_is_not_asked_for_what_opens_a_stream(there: Ground, venue: str) -> None:
    access = there.access(venue)

    async def whole() -> None:
        made = follower(there, venue, access)
        access.meter.refused(Spend.READ, 60 * S, now().boot_ns)
        made.start()
        await until(lambda: made.gaps)
        await made.end()
        # Where nothing is asked to open a stream, a limit of requests does not keep it from being opened.
        if venue == "binance_usdm":
            assert "left alone" in made.gaps[0]
            assert made.connections() == 0
        else:
            assert made.gaps == ["connected"]

    asyncio.run(whole())
