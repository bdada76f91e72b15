"""Lines that take one request at a time, connections with something between frame and socket, and orders that a venue would not take."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Sequence

from tests.gate.core_world import NOW, PlainWire, World
from tests.gate.test_egress import settle
from tests.gate.test_review_findings import Bench

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.connection import OrderConnection, SealTrouble, Wrote
from interlock.gate.core import want_cancels
from interlock.gate.order_line import LinePool, OrderLine
from interlock.gate.order_wire import Said, Unwrapped
from interlock.gate.readings import Now
from interlock.gate.venue_fake import FakeReader, FakeWire
from interlock.venues.fake import wire

S = 1_000_000_000


# An order that the venue would not take


class Picky(PlainWire):
    """A venue with a rule about sizes."""

    def objection(self, intent: r.Intent, wall_ns: int) -> str:
        return "too small" if intent.lots < 2 else ""


def test_what_the_venue_would_not_take_is_denied_by_name() -> None:
    world = World()
    world.setup.wires["bybit"] = Picky()  # type: ignore[index]
    denied = world.next(lots=1)
    assert (denied.decision.result, denied.decision.rule, denied.decision.detail) == ("DENY", "venue_rules", "too small")
    assert world.next(lots=2).decision.result == "PERMIT"


# Something between frame and socket


class Backwards:
    """A seal that turns bytes round; a cross makes it trouble, a question something due."""

    def seal(self, frame: bytes) -> bytes:
        return frame[::-1]

    def unseal(self, data: bytes) -> tuple[bytes, bytes]:
        if b"x" in data:
            raise SealTrouble("a cross")
        return data.replace(b"?", b"")[::-1], b"!" * data.count(b"?")


def sealed() -> tuple[OrderConnection, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    return OrderConnection(ours, "c", Backwards()), theirs


def test_frames_go_out_sealed_and_what_comes_is_opened() -> None:
    connection, peer = sealed()
    assert connection.place(b"abc", lambda: "").wrote is Wrote.WHOLE
    assert connection.lower(b"def").wrote is Wrote.WHOLE
    assert peer.recv(100) == b"cbafed"
    peer.send(b"gh?i")
    assert connection.receive() == b"ihg"
    assert peer.recv(100) == b"!"
    peer.send(b"x")
    assert connection.receive() is None
    assert not connection.is_open
    peer.close()


def test_what_was_sealed_and_could_not_be_sent_ends_the_connection() -> None:
    for seal, stays in ((Backwards(), False), (None, True)):
        ours, theirs = socket.socketpair()
        connection = OrderConnection(ours, "c", seal)
        filling = socket.socket(fileno=socket.dup(ours.fileno()))
        with contextlib.suppress(BlockingIOError):
            while filling.send(bytes(1 << 16), socket.MSG_DONTWAIT):
                pass
        connection.unsent_bytes = lambda: 0  # type: ignore[method-assign]
        said = connection.place(b"abc", lambda: "")
        assert (said.wrote, connection.is_open) == (Wrote.NOTHING, stays)
        connection.abort()
        filling.close()
        theirs.close()


# One request at a time


class One(FakeReader):
    """A reader of a connection with one request under way."""

    at_once = 1


class OneAtATime(FakeWire):
    """The fake venue, spoken to as by HTTP: one request under way on a connection, two orders in a cancellation."""

    idle_ns = 20 * S

    def reader(self) -> FakeReader:
        return One()


def with_bench(use: Callable[[Bench], Awaitable[None]]) -> None:
    async def run() -> None:
        bench = Bench(5 * S, None, OneAtATime(2 * S))
        await bench.egress.open()
        try:
            await use(bench)
        finally:
            bench.egress.close()
            bench.peer.close()

    asyncio.run(run())


def verbs(data: bytes) -> list[str]:
    found, assembler = [], wire.Assembler()
    assembler.feed(data)
    while (frame := assembler.take()) is not None:
        found.append(wire.decode_request(frame).client_id)  # type: ignore[union-attr]
    return found


async def resting(bench: Bench, ticks: int) -> str:
    planned, _ = bench.permit(ticks=ticks)
    # The line of placements takes one request at a time too.
    line = await bench.egress._placing.take()
    assert line.has_room
    assert await bench.egress.send(planned) == ""
    body = wire.Outcome(client_id=planned.client_id, revision=0, venue_order_id="v", state=OrderState.ACKED)
    number = bench.wire.number(planned.client_id, 0)
    answer = wire.Answer(request_id=number, status=200, code="", text="", venue_ns=1, limit=0, remaining=0, reset_ns=0, body=body)
    bench.peer.got(1, 0.05)
    bench.peer.ends[1].sendall(wire.encode(answer))
    await settle(lambda: bench.keeper.state.orders.by_id[planned.client_id].state is OrderState.ACKED)
    return planned.client_id


def said(number: int) -> bytes:
    return wire.encode(wire.Answer(request_id=number, status=200, code="", text="", venue_ns=1, limit=0, remaining=0, reset_ns=0))


def test_a_cancel_waits_for_the_answer_to_the_one_before_it_and_an_order_that_ended_needs_none() -> None:
    async def use(bench: Bench) -> None:
        first, second = [await resting(bench, 400_000 - number) for number in range(2)]
        now = bench.world.now
        bench.keeper.take(*want_cancels(bench.keeper.state, (), "freeze", "ann", now), now=now)
        bench.egress.cancel_due([first, second])
        assert verbs(bench.peer.got(0, 0.1)) == [first]
        bench.peer.ends[0].sendall(said(1))
        await asyncio.sleep(0.05)
        assert verbs(bench.peer.got(0, 0.1)) == [second], "an answer makes room"
        bench.egress.cancel_due([first, second])
        ended = r.Reported(
            boot_ns=now.boot_ns,
            client_id=second,
            venue_order_id="v",
            state=OrderState.CANCELLED,
            filled_lots=0,
            lots=1,
            source="stream",
            code="",
            venue_ns=now.wall_ns,
        )
        bench.keeper.take(ended, now=now)
        bench.peer.ends[0].sendall(said(2))
        await asyncio.sleep(0.05)
        assert verbs(bench.peer.got(0, 0.1)) == [first], "the other has ended"
        bench.egress.cancel_due([second])
        bench.peer.ends[0].sendall(said(3))
        await asyncio.sleep(0.05)
        assert bench.peer.got(0, 0.1) == b"", "and needs no cancel"

    with_bench(use)


def test_a_line_that_was_lost_is_opened_again_before_an_order_needs_it() -> None:
    async def use(bench: Bench) -> None:
        bench.peer.ends[1].close()
        await settle(lambda: not bench.egress._placing.is_open)
        await bench.egress.restore()
        assert bench.egress._placing.is_open
        assert bench.egress.can_cancel

    with_bench(use)


class Told(Unwrapped):
    """A reader that answers whatever comes, for a number of its own, until it hears the end."""

    at_once = 0
    keeps = True

    def expect(self, number: int, frame: bytes) -> None:
        """Any number."""

    def feed(self, data: bytes) -> Sequence[Said]:
        self.keeps = self.keeps and b"end" not in data
        return [Said(2 if data == b"two" else 1, data)]


def test_on_a_connection_that_the_venue_ends_nothing_new_goes_out_and_what_is_under_way_is_heard() -> None:
    heard: list[object] = []
    lost: list[str] = []

    async def run() -> None:
        ours, peer = socket.socketpair()
        line: OrderLine[str] = OrderLine(
            OrderConnection(ours, "c", Backwards()),
            Told(),
            lambda: Now(1, 1),
            heard=lambda answer, about, _: heard.append((answer, about)),
            lost=lambda about, why: lost.append(f"{about}: {why}"),
        )
        peer.send(b"?")
        await settle(lambda: peer.recv(10, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b"!" if _readable(peer) else False)
        line.expect(1, b"", "one", 1, 5 * S)
        line.expect(2, b"", "two", 1, 5 * S)
        peer.send(b"eno")
        await settle(lambda: bool(heard))
        peer.send(b"more of what nobody asked"[::-1])
        await asyncio.sleep(0.02)
        assert line.has_room
        peer.send(b"end"[::-1])
        await settle(lambda: not line.has_room)
        assert line.connection.is_open, "what is in flight may still be answered"
        peer.send(b"two"[::-1])
        await settle(lambda: not line.connection.is_open)
        peer.close()

    asyncio.run(run())
    assert heard == [(b"one", "one"), (b"two", "two")]
    assert lost == []


def _readable(peer: socket.socket) -> bool:
    peer.setblocking(False)
    try:
        return bool(peer.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False


def test_two_that_want_a_line_at_once_make_one() -> None:
    async def run() -> None:
        made: list[OrderLine[str]] = []
        ends: list[socket.socket] = []

        async def make() -> OrderLine[str]:
            await asyncio.sleep(0.01)
            ours, theirs = socket.socketpair()
            ends.append(theirs)
            made.append(OrderLine(OrderConnection(ours, "c"), Told(), lambda: NOW, heard=lambda *_: None, lost=lambda *_: None))
            return made[-1]

        pool: LinePool[str] = LinePool(1, 0, lambda: NOW, make)
        first, second, _ = await asyncio.gather(pool.take(), pool.take(), pool.fill())
        assert (len(made), first is second) == (1, True)
        pool.abort("the test ends")
        for end in ends:
            end.close()

    asyncio.run(run())
