"""Lines over a venue's socket, against a server that does what a venue may do; another implementation of the protocol (wsproto) speaks for it."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, RejectConnection, Request, TextMessage

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.gate.connection import OrderConnection, Wrote
from interlock.gate.order_line import LinePool, OrderLine
from interlock.gate.order_wire import ToCancel
from interlock.gate.readings import Now
from interlock.gate.venue_socket_wire import BEAT_EVERY_NS, IDLE_NS, SocketOrderWire
from interlock.venues.binance_usdm.trade import Trade as BinanceTrade
from interlock.venues.bybit.trade import Trade as BybitTrade
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.request import Key
from interlock.venues.upbit.trade import Trade as UpbitTrade

HERE = Endpoint(Where.LOOPBACK, "127.0.0.1", 9, tls=False)
KEY = Key("access", "secret")
VENUES = ("binance_usdm", "bybit")
PATHS = {"binance_usdm": "/ws-fapi/v1", "bybit": "/v5/trade"}


class Peer:
    """The venue's end of one connection. `messages` are the requests that came, whole; `pongs` and `pings` what of the protocol did."""

    def __init__(self, venue: str, end: socket.socket, *, answers: bool = True) -> None:
        end.setblocking(False)
        self.venue = venue
        self.end = end
        self.ws = WSConnection(ConnectionType.SERVER)
        self.messages: list[dict[str, Any]] = []
        self.pongs: list[bytes] = []
        self.pings = 0
        self.answers = answers
        self.deaf = False
        self.path = ""
        self.heard: Callable[[dict[str, Any]], None] = self._message
        self._text = ""

    def read(self) -> None:
        """Take what has come, and answer what a polite server answers by itself."""
        while not self.deaf:
            try:
                data = self.end.recv(1 << 16)
            except (BlockingIOError, OSError):
                return
            if not data:
                return
            self.ws.receive_data(data)
            for event in self.ws.events():
                if isinstance(event, Request):
                    self.path = event.target
                    if self.answers:
                        self.end.sendall(self.ws.send(AcceptConnection()))
                elif isinstance(event, TextMessage):
                    self._text += event.data
                    if event.message_finished:
                        whole, self._text = self._text, ""
                        self.heard(json.loads(whole))
                elif isinstance(event, Pong):
                    self.pongs.append(bytes(event.payload))
                elif isinstance(event, Ping):
                    self.pings += 1
                    self.end.sendall(self.ws.send(event.response()))

    def _message(self, message: dict[str, Any]) -> None:
        if message.get("op") == "auth":
            self.say({"op": "auth", "retCode": 0})
        elif message.get("op") == "ping":
            self.pings += 1
            self.say({"op": "pong", "retCode": 0})
        else:
            self.messages.append(message)

    def say(self, content: object) -> None:
        self.end.sendall(self.ws.send(TextMessage(data=json.dumps(content))))

    def answer(self, asked: dict[str, Any], **more: Any) -> dict[str, Any]:
        """The answer to a request: that there is no such order."""
        if self.venue == "bybit":
            return {"reqId": asked["reqId"], "retCode": 110001, "op": asked["op"], **more}
        return {"id": asked["id"], "status": 400, "error": {"code": -2011}, **more}


class Ground:
    """A line or a pool of them, the peers at their other ends, and what was heard and lost."""

    def __init__(self, venue: str) -> None:
        self.venue = venue
        self.drawn = 0
        self.numbers = count(1)
        verbs = BybitTrade({}) if venue == "bybit" else BinanceTrade({})
        self.wire = SocketOrderWire(venue, verbs, KEY, HERE, 5_000 * NS_PER_MS, self._chance)
        self.boot_ns = NS_PER_S
        self.peers: list[Peer] = []
        self.heard: list[str] = []
        self.lost: list[str] = []
        self.pool: LinePool[str] = LinePool(2, self.wire.idle_ns, self.now, self.open)

    def now(self) -> Now:
        return Now(self.boot_ns, 1_800_000_000 * NS_PER_S)

    def _chance(self, size: int) -> bytes:
        self.drawn += 1
        return self.drawn.to_bytes(size, "big")

    def line(self, *, answers: bool = True) -> OrderLine[str]:
        ours, theirs = socket.socketpair()
        self.peers.append(Peer(self.venue, theirs, answers=answers))
        return OrderLine(
            OrderConnection(ours, "c"),
            self.wire.reader(),
            self.now,
            heard=lambda _, about, __: self.heard.append(about),
            lost=lambda about, why: self.lost.append(f"{about}: {why}"),
            changed=self.pool.stir,
        )

    async def open(self) -> OrderLine[str]:
        line = self.line()
        await self.meanwhile(line.opened())
        return line

    async def meanwhile(self, doing: Awaitable[Any]) -> Any:
        """Wait for something while the peers read."""
        task = asyncio.ensure_future(doing)
        while not task.done():
            self.read()
            await asyncio.sleep(0.001)
        return task.result()

    def read(self) -> None:
        for peer in self.peers:
            peer.read()

    async def until(self, so: Callable[[], object]) -> None:
        deadline = time.monotonic() + 10
        while not so():
            assert time.monotonic() < deadline, (self.heard, self.lost)
            self.read()
            await asyncio.sleep(0.001)

    def frame(self, name: str) -> bytes:
        number = next(self.numbers)
        return self.wire.cancellation([ToCancel(name, "BTCUSDT")], number, self.now().wall_ns).frame

    async def ask(self, line: OrderLine[str], name: str, within_ns: int = 10 * NS_PER_S) -> dict[str, Any]:
        """Write a request; how it came."""
        peer = self.peers[-1]
        before, frame = len(peer.messages), self.frame(name)
        assert line.place(frame, lambda: "").wrote is Wrote.WHOLE
        line.expect(next(self.numbers), frame, name, self.boot_ns, within_ns)
        await self.until(lambda: len(peer.messages) > before)
        (came,) = peer.messages[before:]
        assert came == json.loads(frame), "the venue reads what was written"
        return came

    def close(self) -> None:
        self.pool.abort("the test ends")
        for peer in self.peers:
            peer.end.close()


def on_ground(venue: str, use: Callable[[Ground], Awaitable[None]]) -> None:
    async def run() -> None:
        ground = Ground(venue)
        try:
            await use(ground)
        finally:
            ground.close()

    asyncio.run(run())


both = pytest.mark.parametrize("venue", VENUES)


# The beginning


@both
def test_requests_go_only_when_the_venue_has_let_us_in(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = ground.line()
        assert not line.has_room
        await ground.meanwhile(line.opened())
        assert line.has_room
        assert ground.peers[-1].path == PATHS[venue]
        asked = await ground.ask(line, "one")
        ground.peers[-1].say(ground.peers[-1].answer(asked))
        await ground.until(lambda: ground.heard == ["one"])
        line.abort("the test ends")

    on_ground(venue, use)


@both
@pytest.mark.parametrize("how", ["refused", "closed", "no proof", "silent", "talks before it was asked"])
def test_a_venue_that_does_not_let_us_in_gets_no_request(venue: str, how: str) -> None:
    async def use(ground: Ground) -> None:
        line = ground.line(answers=False)
        peer = ground.peers[-1]
        await ground.until(lambda: peer.path)
        if how == "refused":
            peer.end.sendall(peer.ws.send(RejectConnection(status_code=429)))
        elif how == "closed":
            peer.end.close()
        elif how == "no proof":
            peer.end.sendall(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        elif how == "talks before it was asked":
            peer.end.sendall(peer.ws.send(AcceptConnection()))
            peer.say(peer.answer({"id": "1", "reqId": "1", "op": "order.create"}))
        with pytest.raises((ConnectionError, TimeoutError)):
            await asyncio.wait_for(line.opened(), 0.05 if how == "silent" else 10)
        assert not line.connection.is_open
        assert not line.has_room
        assert line.place(ground.frame("one"), lambda: "").wrote is Wrote.NOTHING

    on_ground(venue, use)


def test_a_venue_that_is_silent_is_waited_for_two_seconds() -> None:
    async def use(ground: Ground) -> None:
        loop = asyncio.get_running_loop()
        really, later_s = loop.time, 0.0
        loop.time = lambda: really() + later_s  # type: ignore[method-assign]
        line = ground.line(answers=False)
        opening = asyncio.ensure_future(line.opened())
        await asyncio.sleep(0.01)
        later_s = 1.5
        await asyncio.sleep(0.01)
        assert not opening.done()
        assert line.connection.is_open
        later_s = 2.0
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(opening, 10)
        assert not line.connection.is_open

    on_ground("bybit", use)


def test_a_key_that_the_venue_does_not_take_opens_nothing() -> None:
    async def use(ground: Ground) -> None:
        line = ground.line()
        peer = ground.peers[-1]
        peer.heard = lambda _: peer.say({"op": "auth", "retCode": 10003})
        with pytest.raises(ConnectionError, match=r"^c: expected to be let in, found: what came is no answer: refused$"):
            await ground.meanwhile(line.opened())

    on_ground("bybit", use)


def test_a_venue_that_goes_before_it_says_yes_is_told_so() -> None:
    async def use(ground: Ground) -> None:
        line = ground.line(answers=False)
        ground.peers[-1].end.close()
        with pytest.raises(ConnectionError, match=r"^c: expected to be let in, found: the venue closed the connection$"):
            await ground.meanwhile(line.opened())

    on_ground("binance_usdm", use)


def test_a_venue_without_such_a_socket_has_no_such_wire() -> None:
    with pytest.raises(UsageError, match="send them by REST"):
        SocketOrderWire("upbit", UpbitTrade({}), KEY, HERE, 0, bytes)


# One frame for one order


@both
def test_the_bytes_of_an_order_are_made_before_the_last_check_and_written_in_one_piece_behind_it(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        drawn: list[int] = []
        before = ground.drawn
        frame = ground.frame("one")

        def recheck() -> str:
            drawn.append(ground.drawn)
            return "the stop word" if len(drawn) == 1 else ""

        assert line.place(frame, recheck) == (Wrote.NOTHING, "the stop word")
        await asyncio.sleep(0.02)
        ground.read()
        assert ground.peers[-1].messages == [], "not a byte of it"
        assert line.has_room, "and the line is as good as before"
        assert line.place(frame, recheck).wrote is Wrote.WHOLE
        assert drawn == [before + 1, before + 2] == [before + 1, ground.drawn], "the mask was drawn before each check, none after it"
        await ground.until(lambda: ground.peers[-1].messages == [json.loads(frame)])
        line.abort("the test ends")

    on_ground(venue, use)


@both
def test_an_order_of_which_the_kernel_took_a_part_is_never_completed(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        frame = ground.frame("one")
        assert line.place(frame, lambda: "").wrote is Wrote.WHOLE, "a whole one arrives"
        await ground.until(lambda: len(ground.peers[-1].messages) == 1)
        long = json.dumps({"id": "x", "padding": "y" * (1 << 20)}).encode()
        said = line.place(long, lambda: "")
        assert said.wrote is Wrote.PART
        assert not line.connection.is_open
        await asyncio.sleep(0.02)
        ground.read()
        assert len(ground.peers[-1].messages) == 1
        line.abort(said.reason)

    on_ground(venue, use)


# Answers


@both
@pytest.mark.parametrize("cut", [1, 7, 10_000], ids=["byte by byte", "by sevens", "at once"])
def test_an_answer_in_fragments_with_pings_between_is_heard_and_the_pings_are_answered(venue: str, cut: int) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        peer = ground.peers[-1]
        text = json.dumps(peer.answer(await ground.ask(line, "one")))
        data = (
            peer.ws.send(TextMessage(data=text[:20], message_finished=False))
            + peer.ws.send(Ping(payload=b"alive?"))
            + peer.ws.send(TextMessage(data=text[20:], message_finished=True))
            + peer.ws.send(Ping(payload=b"still?"))
        )
        for at in range(0, len(data), cut):
            peer.end.sendall(data[at : at + cut])
            await asyncio.sleep(0)
        await ground.until(lambda: ground.heard == ["one"] and peer.pongs == [b"alive?", b"still?"])
        assert line.has_room
        line.abort("the test ends")

    on_ground(venue, use)


@both
def test_answers_belong_to_the_requests_whose_ids_they_bear_in_whatever_order(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        peer = ground.peers[-1]
        asked = {name: await ground.ask(line, name) for name in ("one", "two", "three")}
        assert line.has_room
        for name in ("three", "one", "two"):
            peer.say(peer.answer(asked[name]))
        await ground.until(lambda: len(ground.heard) == 3)
        assert ground.heard == ["three", "one", "two"]
        assert line.in_flight == 0
        line.abort("the test ends")
        assert ground.lost == []

    on_ground(venue, use)


def told_of_another(peer: Peer, asked: dict[str, Any]) -> bytes:
    return peer.ws.send(TextMessage(data=json.dumps(peer.answer({**asked, "id": "other", "reqId": "other"}))))


def told_without_id(peer: Peer, asked: dict[str, Any]) -> bytes:
    return peer.ws.send(TextMessage(data=json.dumps(peer.answer({**asked, "id": None, "reqId": ""}))))


def told_twice(peer: Peer, asked: dict[str, Any]) -> bytes:
    return 2 * peer.ws.send(TextMessage(data=json.dumps(peer.answer(asked))))


def told_in_a_close(peer: Peer, asked: dict[str, Any]) -> bytes:
    """A close whose code and reason together read like an answer."""
    text = json.dumps(peer.answer(asked), separators=(",", ":")).encode()
    return bytes((0x88, len(text))) + text


SENSELESS: dict[str, Callable[[Peer, dict[str, Any]], bytes]] = {
    "of another": told_of_another,
    "without an id": told_without_id,
    "twice": told_twice,
    "no JSON": lambda peer, _: peer.ws.send(TextMessage(data='{"trunc')),
    "no UTF-8": lambda *_: b"\x81\x04\xff\xfe\xfd\xfc",
    "a masked frame": lambda *_: b"\x81\x82abcd{}",
    "a part of nothing": lambda *_: b"\x80\x02{}",
    "no frame": lambda *_: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a close": lambda peer, _: peer.ws.send(CloseConnection(code=1001, reason="bye")),
    "a close that reads like an answer": told_in_a_close,
    "the end": lambda *_: b"",
}


@both
@pytest.mark.parametrize("how", SENSELESS)
def test_what_is_no_answer_ends_the_line_and_leaves_all_that_is_under_way_open(venue: str, how: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        peer = ground.peers[-1]
        first, second, _ = [await ground.ask(line, name) for name in ("one", "two", "three")]
        # What came before it counts, also in one piece with it.
        peer.end.sendall(peer.ws.send(TextMessage(data=json.dumps(peer.answer(first)))) + SENSELESS[how](peer, second))
        if how == "the end":
            await ground.until(lambda: ground.heard)
            peer.end.close()
        await ground.until(lambda: not line.connection.is_open)
        answered = {"one": True, "two": how == "twice", "three": False}
        assert sorted(ground.heard) == sorted(name for name, is_heard in answered.items() if is_heard)
        assert sorted(one.partition(":")[0] for one in ground.lost) == sorted(name for name, is_heard in answered.items() if not is_heard)
        assert not line.has_room
        if how == "a close":
            assert "(1001)" in ground.lost[0], "and it is told how the venue closed it"

    on_ground(venue, use)


@both
def test_without_an_answer_in_time_the_line_is_cut_and_a_late_one_is_heard_by_nobody(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        peer = ground.peers[-1]
        asked = await ground.ask(line, "one", 30 * NS_PER_MS)
        await ground.until(lambda: ground.lost)
        assert ground.lost == ["one: no answer in time"]
        with suppress(OSError):  # nobody is there any more
            peer.say(peer.answer(asked))
        await asyncio.sleep(0.02)
        assert ground.heard == []
        again = await ground.open()
        ground.peers[-1].say(ground.peers[-1].answer(await ground.ask(again, "two")))
        await ground.until(lambda: ground.heard == ["two"])
        again.abort("the test ends")

    on_ground(venue, use)


@both
def test_words_that_answer_nothing_change_nothing(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        peer = ground.peers[-1]
        asked = await ground.ask(line, "one")
        peer.say({"op": "pong", "retCode": 0} if venue == "bybit" else {"e": "somethingNew", "E": 1})
        peer.say(peer.answer(asked))
        await ground.until(lambda: ground.heard == ["one"])
        assert line.has_room
        line.abort("the test ends")

    on_ground(venue, use)


# The end that is announced, the pulse, and the life of a connection


@both
def test_an_end_that_is_announced_lets_nothing_new_out_and_what_is_under_way_be_answered(venue: str) -> None:
    async def use(ground: Ground) -> None:
        line = await ground.open()
        peer = ground.peers[-1]
        first, second = await ground.ask(line, "one"), await ground.ask(line, "two")
        if venue == "bybit":
            peer.say({**peer.answer(first), "retCode": 10019})
        else:
            peer.say(peer.answer(first))
            peer.say({"event": {"e": "serverShutdown", "E": 1}})
        await ground.until(lambda: not line.has_room)
        assert line.connection.is_open
        assert not line.stands
        peer.say(peer.answer(second))
        await ground.until(lambda: not line.connection.is_open)
        assert (ground.heard, ground.lost) == (["one", "two"], [])

    on_ground(venue, use)


@both
@pytest.mark.parametrize("wants", ["fill", "take"])
def test_a_line_whose_end_is_announced_has_its_successor_before_it_has_ended(venue: str, wants: str) -> None:
    async def use(ground: Ground) -> None:
        ground.pool._size = 1
        await ground.pool.fill()
        (old,), (peer,) = ground.pool._lines, ground.peers
        first, second = await ground.ask(old, "one"), await ground.ask(old, "two")
        if venue == "bybit":
            peer.say({**peer.answer(first), "retCode": 10019})
        else:
            peer.say(peer.answer(first))
            peer.say({"event": {"e": "serverShutdown", "E": 1}})
        await ground.until(lambda: not old.stands)
        assert old.connection.is_open, "the second is under way on it"
        await asyncio.wait_for(ground.pool.fill() if wants == "fill" else ground.pool.take(), 10)
        assert len(ground.peers) == 2
        assert ground.pool.free() not in (None, old)
        peer.say(peer.answer(second))
        await ground.until(lambda: ground.heard == ["one", "two"])
        assert ground.lost == []

    on_ground(venue, use)


@both
def test_a_line_is_kept_alive_and_one_that_nobody_answers_is_given_up(venue: str) -> None:
    async def use(ground: Ground) -> None:
        await ground.pool.fill()
        assert len(ground.peers) == 2
        for beats in range(1, 6):
            ground.boot_ns += BEAT_EVERY_NS
            await ground.pool.fill()
            await ground.until(lambda beats=beats: [peer.pings for peer in ground.peers] == [beats, beats])  # type: ignore[misc]
            # The answers must have been taken before time goes on.
            await asyncio.sleep(0.02)
        assert len(ground.peers) == 2, "they were answered, long beyond the time for which nothing may be heard"
        for peer in ground.peers:
            peer.deaf = True
        ground.boot_ns += IDLE_NS - 1
        await ground.pool.fill()
        assert len(ground.peers) == 2
        ground.boot_ns += 1
        await ground.pool.fill()
        assert len(ground.peers) == 4, "nothing was heard of them since"

    on_ground(venue, use)


@both
def test_a_line_is_replaced_before_its_life_ends_and_what_is_under_way_on_it_is_awaited(venue: str) -> None:
    async def use(ground: Ground) -> None:
        await ground.pool.fill()
        lives_ns = ground.wire.reader().lives_ns
        old = ground.pool.free()
        assert old is not None
        busy = ground.peers[ground.pool._lines.index(old)]
        frame = ground.frame("one")
        assert old.place(frame, lambda: "").wrote is Wrote.WHOLE
        old.expect(1, frame, "one", ground.boot_ns, 10 * NS_PER_S)
        await ground.until(lambda: busy.messages)
        other = ground.pool.free()
        assert other is not old
        assert other is not None
        day_ns = lives_ns or 86_400 * NS_PER_S
        while ground.boot_ns < day_ns:  # a day passes, and they are pinged
            ground.boot_ns += day_ns // 2
            for line in ground.pool._lines:
                line._used_boot_ns = ground.boot_ns
        await ground.pool.fill()
        if not lives_ns:
            assert (old.has_room, other.has_room, len(ground.peers)) == (True, True, 2), "the venue names no end"
        else:
            assert len(ground.peers) == 4
            assert (old.has_room, old.connection.is_open) == (False, True)
            assert not other.connection.is_open, "nothing was under way on this one"
            assert ground.pool.free() not in (None, old, other)
        busy.say(busy.answer(busy.messages[0]))
        await ground.until(lambda: ground.heard == ["one"])
        assert old.connection.is_open is not bool(lives_ns)
        assert ground.lost == []

    on_ground(venue, use)


@both
def test_a_new_line_that_cannot_be_made_leaves_the_old_ones_in_use(venue: str) -> None:
    async def use(ground: Ground) -> None:
        await ground.pool.fill()

        async def refuse() -> OrderLine[str]:
            raise ConnectionRefusedError

        ground.pool._make = refuse
        lives_ns = ground.wire.reader().lives_ns
        ground.boot_ns += lives_ns or NS_PER_S
        for line in ground.pool._lines:
            line._used_boot_ns = ground.boot_ns
        if lives_ns:
            with pytest.raises(ConnectionRefusedError):
                await ground.pool.fill()
        assert ground.pool.is_open
        assert ground.pool.free() is not None

    on_ground(venue, use)
