"""Lines and their pool, where only a defect made on purpose showed that nothing looked: room, idleness, and who is told what how often."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from tests.gate.fake_servers import run, settle

from interlock.gate.connection import OrderConnection, Write
from interlock.gate.order_line import LinePool, OrderLine
from interlock.gate.order_wire import AnswerTrouble, Said, Unwrapped
from interlock.gate.readings import Now

S = 1_000_000_000


class Digits(Unwrapped):
    """A reader: every digit answers the request of that number, a cross is trouble, and a full stop ends the connection."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.goes_on = True
        self.fed: list[bytes] = []

    @property
    def keeps(self) -> bool:
        return self.goes_on

    def expect(self, number: int, frame: bytes) -> None:
        """Any number."""

    def feed(self, data: bytes) -> Sequence[Said]:
        self.fed.append(data)
        if b"x" in data:
            raise AnswerTrouble("a cross")
        self.goes_on = b"." not in data
        return [Said(int(digit), digit) for digit in data.decode() if digit.isdigit()]


class Beating(Digits):
    """A reader that has something to say every so often."""

    def __init__(self, every_ns: int, beat: bytes = b"beat") -> None:
        super().__init__(0)
        self.beat_every_ns = every_ns
        self._beat = beat

    def beat(self) -> bytes:
        return self._beat


class Chatty:
    """A seal that owes an answer of so many bytes to each question mark, and says nothing of it."""

    def __init__(self, owed: int) -> None:
        self._owed = owed

    def seal(self, frame: bytes) -> bytes:
        return frame

    def unseal(self, data: bytes) -> tuple[bytes, bytes]:
        return data.replace(b"?", b""), b"!" * (self._owed * data.count(b"?"))


class Counted(OrderConnection):
    """Counts how often what waits is written."""

    flushed = 0

    def flush(self) -> Write:
        self.flushed += 1
        return super().flush()


class Bench:
    """A line over TCP, the venue's end of it, and what was told."""

    def __init__(self, at_once: int = 1, owed: int = 1, changed: Callable[[], None] = lambda: None, reader: Digits | None = None) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ours = socket.create_connection(server.getsockname())
            self.peer, _ = server.accept()
        self.peer.setblocking(False)
        self.ours = ours
        self.connection = Counted(ours, "c", Chatty(owed))
        self.reader = reader or Digits(at_once)
        self.boot_ns = 10 * S
        self.heard: list[tuple[object, str, int]] = []
        self.lost: list[tuple[str, str]] = []
        self.changed = 0
        self._tell = changed
        self.line: OrderLine[str] = OrderLine(
            self.connection,
            self.reader,
            lambda: Now(self.boot_ns, 1),
            heard=lambda *what: self.heard.append(what),
            lost=lambda *what: self.lost.append(what),
            changed=self._changed,
        )

    def _changed(self) -> None:
        self.changed += 1
        self._tell()

    def expect(self, number: int) -> None:
        self.line.expect(number, b"", f"about {number}", self.boot_ns, 5 * S)

    async def say(self, data: bytes) -> None:
        """Let the venue say something, and wait until it was read."""
        self.peer.sendall(data)
        before = len(self.reader.fed)
        await settle(lambda: len(self.reader.fed) > before)

    def close(self) -> None:
        self.line.abort("the test ends")
        self.peer.close()


def test_a_line_has_room_for_as_many_as_its_reader_takes_at_once() -> None:
    async def use() -> None:
        for at_once in (1, 2, 3):
            bench = Bench(at_once)
            for number in range(1, at_once + 1):
                assert bench.line.has_room
                bench.expect(number)
            assert not bench.line.has_room
            await bench.say(b"1")
            assert bench.line.has_room
            bench.close()
        endless = Bench(0)
        for number in range(1, 9):
            endless.expect(number)
            assert endless.line.has_room
        endless.close()

    run(use())


def test_a_line_whose_connection_or_reader_has_ended_has_no_room() -> None:
    async def use() -> None:
        for ends in ("connection", "reader"):
            bench = Bench()
            assert bench.line.has_room
            if ends == "connection":
                bench.connection.abort()
            else:
                bench.reader.goes_on = False
            assert not bench.line.has_room
            bench.close()

    run(use())


def test_a_line_idles_since_the_last_that_came_and_not_while_something_is_under_way() -> None:
    async def use() -> None:
        bench = Bench()
        assert bench.line.idle_ns(15 * S) == 5 * S
        bench.boot_ns = 20 * S
        bench.expect(1)
        assert bench.line.idle_ns(30 * S) == 0
        bench.boot_ns = 32 * S
        await bench.say(b"1")
        assert bench.line.idle_ns(100 * S) == 68 * S
        bench.close()

    run(use())


def test_whoever_waits_is_told_once_of_an_answer_and_once_of_the_end() -> None:
    async def use() -> None:
        answered, ended, cut, broken = [Bench() for _ in range(4)]
        for bench in (answered, ended, cut, broken):
            bench.expect(1)
        await answered.say(b"1")
        assert (answered.changed, answered.heard, answered.lost) == (1, [("1", "about 1", 10 * S)], [])
        await ended.say(b"1.")
        assert (ended.changed, ended.heard, ended.lost) == (1, [("1", "about 1", 10 * S)], [])
        assert not ended.line.connection.is_open
        cut.peer.close()
        await settle(lambda: not cut.line.connection.is_open)
        assert (cut.changed, cut.lost) == (1, [("about 1", "the venue closed the connection")])
        await broken.say(b"x")
        assert (broken.changed, broken.lost) == (1, [("about 1", "what came is no answer: a cross")])
        for bench in (answered, ended, cut, broken):
            bench.close()

    run(use())


def test_what_the_connection_keeps_for_itself_is_no_news_for_the_reader() -> None:
    async def use() -> None:
        bench = Bench()
        bench.boot_ns = 20 * S
        bench.peer.sendall(b"?")
        await settle(lambda: bench.connection.flushed == 1)
        await asyncio.sleep(0.02)
        assert (bench.reader.fed, bench.changed, bench.line.idle_ns(30 * S)) == ([], 0, 20 * S)
        assert bench.peer.recv(10) == b"!"
        await bench.say(b"a")
        assert (bench.reader.fed, bench.changed, bench.line.idle_ns(30 * S)) == ([b"a"], 1, 10 * S)
        await asyncio.sleep(0.02)
        assert bench.connection.flushed == 1, "nothing waits, so nothing is written"
        bench.close()

    run(use())


def test_what_the_connection_owes_follows_until_all_of_it_has_left() -> None:
    async def use() -> None:
        owed = 32 << 20  # more than any buffer of the kernel takes
        bench = Bench(owed=owed)
        bench.peer.sendall(b"?")
        await settle(lambda: bench.connection.flushed > 0)
        got = 0
        async with asyncio.timeout(10):
            while got < owed:
                got += len(await asyncio.get_running_loop().sock_recv(bench.peer, 1 << 20))
        assert got == owed
        bench.close()

    run(use())


def test_an_answer_that_comes_with_a_question_counts_for_nothing_when_the_connection_fails_over_it() -> None:
    ours, theirs = socket.socketpair()
    connection = OrderConnection(ours, "c", Chatty(1))
    theirs.send(b"yes")
    assert connection.receive() == b"yes"
    ours.shutdown(socket.SHUT_WR)
    theirs.send(b"1?")
    assert connection.receive() is None
    assert not connection.is_open
    theirs.close()


def test_an_answer_to_nothing_keeps_nobody_from_the_answer_behind_it() -> None:
    async def use() -> None:
        bench = Bench(2)
        bench.expect(1)
        bench.expect(2)
        await bench.say(b"9182")
        assert [answer for answer, _, _ in bench.heard] == ["1", "2"]
        assert bench.line.has_room
        bench.close()

    run(use())


# What keeps a line alive


def arrived(bench: Bench) -> bytes:
    """What the venue's end has got and not read before."""
    try:
        return bench.peer.recv(1 << 16)
    except BlockingIOError:
        return b""


async def beaten(bench: Bench, boot_ns: int) -> int:
    """How often something came that keeps a line alive, when it was time to look."""
    bench.line.keep(boot_ns)
    await asyncio.sleep(0.005)
    return arrived(bench).count(b"beat")


def test_a_line_is_kept_alive_as_often_as_its_reader_wants_and_not_oftener() -> None:
    async def use() -> None:
        bench = Bench(reader=Beating(20 * S))
        looks = [(30 * S - 1, 0), (30 * S, 1), (30 * S, 0), (50 * S - 1, 0), (50 * S, 1), (95 * S, 1), (115 * S - 1, 0), (115 * S, 1)]
        assert [await beaten(bench, boot_ns) for boot_ns, _ in looks] == [times for _, times in looks], "it was made at ten seconds"
        bench.close()

    run(use())


def test_a_reader_that_wants_nothing_to_be_said_is_not_asked_for_it() -> None:
    async def use() -> None:
        for every_ns, times in ((0, 0), (1, 1)):
            bench = Bench(reader=Beating(every_ns))
            assert await beaten(bench, 100 * S) == times
            bench.close()

    run(use())


def test_on_a_line_that_is_asked_nothing_more_nothing_is_said_either() -> None:
    async def use() -> None:
        for ends in ("", "retired", "the venue's word"):
            bench = Bench(reader=Beating(20 * S))
            bench.expect(1)
            if ends == "retired":
                bench.line.retire()
            elif ends:
                await bench.say(b".")
            assert bench.line.connection.is_open, "something is under way on it"
            assert await beaten(bench, 100 * S) == (0 if ends else 1)
            bench.close()

    run(use())


def test_a_line_that_fails_over_what_keeps_it_alive_gives_up_what_is_under_way_at_once() -> None:
    async def use() -> None:
        bench = Bench(reader=Beating(20 * S))
        bench.expect(1)
        bench.ours.shutdown(socket.SHUT_WR)
        bench.line.keep(100 * S)
        assert (bench.lost, bench.line.in_flight, bench.line.stands) == ([("about 1", "the connection failed")], 0, False)
        bench.close()

    run(use())


def test_what_keeps_a_line_alive_follows_until_all_of_it_has_left_and_no_longer() -> None:
    async def use() -> None:
        size = 32 << 20  # more than any buffer of the kernel takes
        bench = Bench(reader=Beating(20 * S, bytes(size)))
        bench.line.keep(100 * S)
        got = 0
        async with asyncio.timeout(10):
            while got < size:
                got += len(await asyncio.get_running_loop().sock_recv(bench.peer, 1 << 20))
        assert got == size
        bench.close()
        short = Bench(reader=Beating(20 * S))
        short.line.keep(100 * S)
        await asyncio.sleep(0.02)
        assert short.connection.flushed == 1, "nothing waits, so nothing is written"
        short.close()

    run(use())


# The pool


class Pool:
    """A pool whose lines are benches."""

    def __init__(self, size: int, idle_ns: int = 0) -> None:
        self.made: list[Bench] = []
        self.boot_ns = 10 * S
        self.lines: LinePool[str] = LinePool(size, idle_ns, lambda: Now(self.boot_ns, 1), self._make)

    async def _make(self) -> OrderLine[str]:
        self.made.append(Bench(changed=self.lines.stir))
        return self.made[-1].line

    def close(self) -> None:
        self.lines.abort("the test ends")
        for bench in self.made:
            bench.peer.close()


def test_who_wants_a_line_waits_while_all_are_busy_and_goes_on_with_an_answer() -> None:
    async def use() -> None:
        pool = Pool(1)
        line = await pool.lines.take()
        pool.made[0].expect(1)
        pool.lines.stir()  # a word of old
        assert pool.lines.free() is None
        waiting = asyncio.ensure_future(pool.lines.take())
        await asyncio.sleep(0.02)
        assert not waiting.done()
        assert len(pool.made) == 1
        pool.made[0].peer.sendall(b"1")
        assert await asyncio.wait_for(waiting, 5) is line
        assert pool.lines.free() is line
        pool.close()

    run(use())


def test_who_wants_a_line_gets_a_new_one_when_a_busy_one_ends() -> None:
    async def use() -> None:
        pool = Pool(1)
        line = await pool.lines.take()
        pool.made[0].expect(1)
        waiting = asyncio.ensure_future(pool.lines.take())
        await asyncio.sleep(0.02)
        pool.made[0].peer.close()
        assert await asyncio.wait_for(waiting, 5) is not line
        assert len(pool.made) == 2
        pool.close()

    run(use())


def test_a_pool_makes_as_many_lines_as_are_needed_up_to_its_size() -> None:
    async def use() -> None:
        pool = Pool(2)
        first = await pool.lines.take()
        pool.made[0].expect(1)
        second = await pool.lines.take()
        assert (first is second, len(pool.made), pool.lines.is_open) == (False, 2, True)
        await pool.lines.fill()
        assert len(pool.made) == 2
        pool.lines.abort("over")
        assert not pool.lines.is_open
        await pool.lines.fill()
        assert len(pool.made) == 4
        pool.close()

    run(use())


def test_a_line_that_idled_too_long_is_given_up_and_a_busy_one_is_not() -> None:
    async def use() -> None:
        pool = Pool(2, idle_ns=5 * S)
        await pool.lines.fill()
        pool.made[0].expect(1)
        pool.boot_ns += 5 * S - 1
        assert pool.lines.free() is pool.made[1].line
        pool.boot_ns += 1
        assert pool.lines.free() is None
        assert [bench.line.connection.is_open for bench in pool.made] == [True, False]
        pool.made[0].line.abort("cut")
        pool.boot_ns += 10 * S
        assert pool.lines.free() is None
        assert [bench.changed for bench in pool.made] == [1, 1], "what has ended is not given up again"
        for_ever = Pool(1, idle_ns=0)
        line = await for_ever.lines.take()
        for_ever.boot_ns += 10**18
        assert for_ever.lines.free() is line
        pool.close()
        for_ever.close()

    run(use())


def test_a_pool_forgets_lines_that_have_ended() -> None:
    async def use() -> None:
        pool = Pool(1)
        await pool.lines.take()
        pool.made[0].line.abort("cut")
        assert pool.lines.free() is None
        await pool.lines.take()
        pool.lines.abort("over")
        assert [bench.changed for bench in pool.made] == [1, 1], "each has ended once"
        pool.close()

    run(use())
