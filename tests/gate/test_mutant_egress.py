"""The way out, where only a defect made on purpose showed that nothing looked: doubts, cut connections, cancels beside a disk that stalls."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
from tests.gate.core_world import World
from tests.gate.test_egress import settle
from tests.gate.test_review_findings import Bench, with_bench

from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.gate import records as r
from interlock.gate.cancels import due
from interlock.gate.connection import OrderConnection, Write, Wrote
from interlock.gate.core import VENUE_BUDGET, Planned, recheck, want_cancels
from interlock.gate.journal import JournalFailed
from interlock.gate.lattice import common_level
from interlock.gate.order_line import OrderLine
from interlock.gate.order_wire import Said
from interlock.gate.readings import Now
from interlock.gate.venue_fake import FakeReader, FakeWire, request_id
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.fake import budget, wire

MS = 1_000_000


def kinds(bench: Bench) -> list[str]:
    """What the journal holds, in order."""
    return [type(r.decode(payload)).__name__ for payload in bench.journal.payloads]


@pytest.mark.parametrize(
    ("known", "objection"),
    [
        ({}, ""),
        ({"stopped": None}, "stop word"),
        ({"stopped": 0}, "stop word"),
        ({"lease_held": None}, "lease"),
        ({"lease_held": 1}, "lease"),
    ],
)
def test_what_is_not_certainly_known_stops_the_write(known: dict[str, Any], objection: str) -> None:
    world = World()
    planned = world.decide().planned
    assert planned is not None
    said: dict[str, Any] = {"stopped": False, "lease_held": True, **known}
    assert recheck(world.setup, world.state, world.readings, planned, world.now, **said) == objection


@pytest.mark.parametrize("stops_at", [None, 1, 2])
def test_a_write_leaves_a_record_of_its_beginning_only_if_it_begins(stops_at: int | None) -> None:
    """The stop word is read before the record of the write, and again after it, right before the first byte."""

    async def use(bench: Bench) -> None:
        reads = 0

        def stopped() -> bool:
            nonlocal reads
            reads += 1
            return stops_at is not None and reads >= stops_at

        cast(Any, bench.switches).stopped = stopped
        planned, _ = bench.permit()
        said = await bench.egress.send(planned)
        found = kinds(bench)[-3:]
        arrived = bench.peer.got(1)
        if stops_at is None:
            assert (said, found, arrived) == ("", ["Permit", "WireBegin", "Sent"], planned.frame)
        else:
            tail = ["WireBegin", "NotSent"] if stops_at == 2 else ["Permit", "NotSent"]
            assert (said, found[-2:], arrived) == ("stop word", tail, b"")
            assert bench.state(planned.client_id) is OrderState.NOT_SENT

    with_bench(use)


@pytest.mark.parametrize("answered", [True, False])
def test_a_connection_on_which_no_answer_came_in_time_is_cut(answered: bool) -> None:
    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ""
        end = bench.peer.ends[1]
        end.settimeout(2)
        assert select.select([end], [], [], 1.0)[0]
        assert end.recv(1 << 16) == planned.frame
        if answered:
            bench.answer(1, planned)
        wanted = OrderState.ACKED if answered else OrderState.UNKNOWN
        await settle(lambda: bench.state(planned.client_id) is wanted)
        await asyncio.sleep(0.1)  # beyond the time in which an answer was due
        if answered:
            assert not select.select([end], [], [], 0.0)[0]
        else:
            with pytest.raises(ConnectionResetError):
                end.recv(1)
        other, _ = bench.permit(ticks=399_999)
        assert await bench.egress.send(other) == ""
        assert len(bench.peer.lines) == (2 if answered else 3)
        assert bench.peer.got(1 if answered else 2) == other.frame

    with_bench(use, answer_ns=80 * MS)


def test_a_cancel_leaves_while_the_disk_stalls_and_a_placement_does_not() -> None:
    async def use(bench: Bench) -> None:
        resting, _ = bench.permit()
        await bench.egress.send(resting)
        bench.answer(1, resting)
        await settle(lambda: bench.state(resting.client_id) is OrderState.ACKED)
        bench.peer.got(1)
        bench.journal.synced = bench.journal.last_lsn  # from here on nothing becomes durable
        other, _ = bench.permit(ticks=399_999)
        written = bench.egress.send(other)
        now = bench.world.now
        bench.keeper.take(*want_cancels(bench.keeper.state, (resting.client_id,), "freeze", "ann", now), now=now)
        bench.egress.cancel_due([resting.client_id])
        assert resting.client_id.encode() in bench.peer.got(0)
        await asyncio.wait([written], timeout=0.1)
        assert bench.peer.got(1) == b""
        written.cancel()

    with_bench(use)


def test_orders_of_one_account_leave_in_the_order_in_which_they_were_permitted() -> None:
    async def use(bench: Bench) -> None:
        first, second = (bench.permit(ticks=400_000 - number)[0] for number in range(2))
        await asyncio.gather(*(bench.egress.send(planned) for planned in (first, second)))
        assert bench.peer.got(1) == first.frame + second.frame

    with_bench(use)


# Writes that wait


def hand_over(bench: Bench, over: Callable[[], bool]) -> None:
    """Let `over` say whether what was appended is with the operating system, as long as the journal works."""

    def flush(*, wait: bool = True) -> bool:
        if bench.journal.failure is not None:
            raise bench.journal.failure
        return over()

    cast(Any, bench.journal).flush = flush
    bench.journal.asks = True


async def begun(bench: Bench, planned: Planned) -> None:
    """Wait until the record of a write is there; the write waits for its hand-over then."""
    await settle(lambda: bench.state(planned.client_id) is OrderState.SENT)


@pytest.mark.parametrize("works", [True, False], ids=["it succeeds", "it fails"])
def test_a_write_goes_on_when_its_asker_gave_up_and_those_behind_it_are_answered(works: bool) -> None:
    async def use(bench: Bench) -> None:
        released = asyncio.Event()
        hand_over(bench, released.is_set)
        first, second = (bench.permit(ticks=400_000 - number)[0] for number in range(2))
        given_up, behind = bench.egress.send(first), bench.egress.send(second)
        await begun(bench, first)
        given_up.cancel()
        if not works:
            bench.journal.failure = JournalFailed("I/O error")
        released.set()
        if works:
            assert await asyncio.wait_for(behind, 2) == ""
            assert bench.peer.got(1) == first.frame + second.frame
            assert [bench.state(each.client_id) for each in (first, second)] == [OrderState.SENT, OrderState.SENT]
        else:
            with pytest.raises(JournalFailed):
                await asyncio.wait_for(behind, 2)
            assert bench.peer.got(1) == b""
            assert [bench.state(each.client_id) for each in (first, second)] == [OrderState.NOT_SENT, OrderState.NOT_SENT]
            assert common_level(bench.keeper.state.lattice) is r.Level.HALT

    with_bench(use)


def test_a_write_that_must_wait_is_not_overtaken_by_one_that_need_not() -> None:
    async def use(bench: Bench) -> None:
        asked = 0

        def over() -> bool:
            nonlocal asked
            asked += 1
            return asked > 1

        hand_over(bench, over)
        first, second = (bench.permit(ticks=400_000 - number)[0] for number in range(2))
        assert [*await asyncio.gather(bench.egress.send(first), bench.egress.send(second))] == ["", ""]
        assert bench.peer.got(1) == first.frame + second.frame

    with_bench(use)


@pytest.mark.parametrize("ends", ["before it began", "while it waits", "with the loop", "never"])
def test_the_end_of_the_gate_leaves_nobody_waiting_and_no_write_to_come(ends: str) -> None:
    async def use(bench: Bench) -> None:
        released = asyncio.Event()
        hand_over(bench, released.is_set)
        first, second = (bench.permit(ticks=400_000 - number)[0] for number in range(2))
        waiting = [bench.egress.send(first), bench.egress.send(second)]
        if ends != "before it began":
            await begun(bench, first)
        if ends == "with the loop":
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
        elif ends != "never":
            bench.egress.close()
        released.set()
        await asyncio.wait(waiting, timeout=1)
        assert [each.cancelled() for each in waiting] == [ends != "never"] * 2
        assert ("Sent" in kinds(bench)) is (ends == "never")
        assert len(bench.peer.lines) == 2, "nor is a connection opened for it"

    with_bench(use)


def test_what_failed_in_part_is_told_to_who_asked() -> None:
    class Half(OrderConnection):
        def place(self, frame: bytes, recheck: Callable[[], str]) -> Write:
            self.abort()
            return Write(Wrote.PART, "half of it")

    async def use(bench: Bench) -> None:
        await cut(bench, 1)
        bench.peer.wrap = Half
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == "half of it"
        assert bench.state(planned.client_id) is OrderState.UNKNOWN

    with_bench(use)


# What the venue lets an account ask


def used(meter: Meter, bench: Bench) -> dict[str, int]:
    """The units of each limit that the meter has seen go out."""
    return {name: units for name, (units, _) in meter.standing(bench.world.now.boot_ns).items()}


def test_each_cancel_and_each_order_that_leaves_is_counted() -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        bench.world.now = bench.world.now._replace(
            boot_ns=bench.world.now.boot_ns + 1
        )  # what went out when an answer did is in what it says
        answered = used(meter, bench)
        bench.egress.cancel_due([client_id])
        assert used(meter, bench) == {**answered, "requests": answered["requests"] + 1}
        before = used(meter, bench)
        written, _ = bench.permit(ticks=399_999)
        assert await bench.egress.send(written) == ""
        assert used(meter, bench) == {name: units + 1 for name, units in before.items()}

    with_bench(use, meter=meter)


@pytest.mark.parametrize(("stops_at", "counted"), [(None, 1), (2, 0)])
def test_an_order_that_is_stopped_right_before_its_first_byte_takes_nothing_of_the_venues_limits(
    stops_at: int | None, counted: int
) -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        reads = 0

        def stopped() -> bool:
            nonlocal reads
            reads += 1
            return stops_at is not None and reads >= stops_at

        cast(Any, bench.switches).stopped = stopped
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ("" if stops_at is None else "stop word")
        assert set(used(meter, bench).values()) == {counted}

    with_bench(use, meter=meter)


def test_a_stop_is_told_as_one_also_where_the_limits_of_the_venue_are_used_up() -> None:
    meter = Meter(budget.LIMITS, GATE)

    async def use(bench: Bench) -> None:
        meter.refused(Spend.PLACE, 1_000 * MS, bench.world.now.boot_ns)
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == VENUE_BUDGET
        other, _ = bench.permit(ticks=399_999)
        cast(Any, bench.switches).stopped = lambda: True
        assert await bench.egress.send(other) == "stop word"

    with_bench(use, meter=meter)


# Connections that fail


async def cut(bench: Bench, line: int) -> None:
    """Let the venue's end of a connection go, and wait until that was noticed."""
    bench.peer.ends[line].close()
    await settle(lambda: bench.peer.ours[line].fileno() < 0)


def frames(data: bytes) -> list[wire.AnyRequest]:
    """The requests in what arrived."""
    assembler, found = wire.Assembler(), []
    assembler.feed(data)
    while (frame := assembler.take()) is not None:
        found.append(wire.decode_request(frame))
    return found


async def resting(bench: Bench) -> str:
    """An order that the venue has acknowledged, and that is to be cancelled."""
    planned, _ = bench.permit()
    assert await bench.egress.send(planned) == ""
    bench.answer(1, planned)
    await settle(lambda: bench.state(planned.client_id) is OrderState.ACKED)
    now = bench.world.now
    bench.keeper.take(*want_cancels(bench.keeper.state, (planned.client_id,), "freeze", "ann", now), now=now)
    return planned.client_id


def test_a_cancel_that_finds_the_connection_failed_counts_as_none_and_follows_on_the_next() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        bench.peer.ours[0].shutdown(socket.SHUT_WR)
        bench.egress.cancel_due([client_id, client_id])
        assert not bench.egress.can_cancel
        assert kinds(bench).count("CancelSent") == 0
        assert due(bench.keeper.state.orders, bench.world.now.boot_ns, 10) == [client_id]
        await bench.egress.restore()
        bench.egress.cancel_due([client_id])
        (cancel,) = frames(bench.peer.got(2))
        assert isinstance(cancel, wire.Cancel)
        assert cancel.client_id == client_id
        assert due(bench.keeper.state.orders, bench.world.now.boot_ns, 10) == []

    with_bench(use)


def test_attempts_to_cancel_are_numbered_and_counted() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        for _ in range(3):
            bench.egress.cancel_due([client_id])
        numbers = [request.request_id for request in frames(bench.peer.got(0)) if isinstance(request, wire.Cancel)]
        assert numbers == [1, 2, 3]
        found = [record for record in map(r.decode, bench.journal.payloads) if isinstance(record, r.CancelSent)]
        assert [(record.client_id, record.attempt) for record in found] == [(client_id, 1), (client_id, 2), (client_id, 3)]

    with_bench(use)


class Counting(OrderConnection):
    """Counts how often what waits is written on, and how it went."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        super().__init__(connection, name)
        self.flushed: list[Wrote] = []

    def flush(self) -> Write:
        done = super().flush()
        self.flushed.append(done.wrote)
        return done


async def crowded(bench: Bench, client_id: str, waiting_bytes: int) -> tuple[int, Counting]:
    """Cancel on a new connection until so much waits with us, more than the kernel takes at once; how many cancels that were, and the connection."""
    found: list[Counting] = []

    def wrap(connection: socket.socket, name: str) -> OrderConnection:
        found.append(Counting(connection, name))
        return found[-1]

    bench.peer.small, bench.peer.wrap = True, wrap
    await cut(bench, 0)
    await bench.egress.restore()
    bench.egress.cancel_due([client_id])
    await asyncio.sleep(0.02)
    assert found[-1].flushed == [Wrote.WHOLE], "what went whole is not written on"
    written = 1
    while Wrote.PART not in found[-1].flushed:
        bench.egress.cancel_due([client_id])
        written += 1
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    while found[-1].unsent_bytes() < waiting_bytes:
        for _ in range(50):
            bench.egress.cancel_due([client_id])
        written += 50
    return written, found[-1]


def test_what_waits_of_cancels_is_written_on_until_all_of_it_has_left_and_no_longer() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        written, line = await crowded(bench, client_id, 100_000)
        end, data = bench.peer.ends[-1], b""
        before = len(line.flushed)
        while select.select([end], [], [], 0.1)[0]:
            data += end.recv(1 << 12)
            await asyncio.sleep(0.001)
        assert len(frames(data)) == written
        assert line.flushed[before:].count(Wrote.PART) > 1, "the kernel took it in more than two pieces"
        assert line.flushed[-1] is Wrote.WHOLE
        after = len(line.flushed)
        await asyncio.sleep(0.05)
        assert len(line.flushed) == after, "nobody writes nothing again and again"
        bench.egress.cancel_due([client_id])
        assert len(frames(bench.peer.got(2))) == 1

    with_bench(use)


def test_a_connection_that_fails_while_cancels_wait_is_given_up_at_once() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        await crowded(bench, client_id, 50_000)
        assert bench.egress.can_cancel
        bench.peer.ours[-1].shutdown(socket.SHUT_WR)
        bench.peer.ends[-1].recv(1 << 20)
        await settle(lambda: not bench.egress.can_cancel)
        await bench.egress.restore()
        bench.egress.cancel_due([client_id])
        (cancel,) = frames(bench.peer.got(3))
        assert isinstance(cancel, wire.Cancel)

    with_bench(use)


@pytest.mark.parametrize("fails", ["in the write", "while the rest waits"])
def test_a_connection_with_the_number_of_one_that_failed_is_listened_to(fails: str) -> None:
    """The system gives a number that is free again to the next connection, and the loop may not take that for the old one."""

    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        if fails == "while the rest waits":
            await crowded(bench, client_id, 50_000)
        number = bench.peer.ours[-1 if fails == "while the rest waits" else 0].fileno()

        def with_that_number(connection: socket.socket, name: str) -> OrderConnection:
            its = connection.detach()
            if its != number:
                os.dup2(its, number)
                os.close(its)
            return OrderConnection(socket.socket(fileno=number), name)

        bench.peer.ours[-1 if fails == "while the rest waits" else 0].shutdown(socket.SHUT_WR)
        if fails == "in the write":
            bench.egress.cancel_due([client_id])
        else:
            bench.peer.ends[-1].recv(1 << 20)
        await settle(lambda: not bench.egress.can_cancel)
        bench.peer.small, bench.peer.wrap = False, with_that_number
        await bench.egress.restore()
        bench.egress.cancel_due([client_id])
        (cancel,) = frames(bench.peer.got(len(bench.peer.ends) - 1))
        assert isinstance(cancel, wire.Cancel)
        answer = wire.Answer(
            request_id=cancel.request_id, status=200, code="", text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1
        )
        bench.peer.ends[-1].sendall(wire.encode(answer))
        await settle(lambda: "CancelAnswered" in kinds(bench))

    with_bench(use)


def test_connections_are_named_by_venue_purpose_and_number_and_the_record_of_a_write_says_which() -> None:
    async def use(bench: Bench) -> None:
        await cut(bench, 1)
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ""
        assert bench.peer.lines == ["bybit.cancel.1", "bybit.place.2", "bybit.place.3"]
        (begin,) = [record for record in map(r.decode, bench.journal.payloads) if isinstance(record, r.WireBegin)]
        assert begin.connection == "bybit.place.3"

    with_bench(use)


def test_an_order_waits_for_a_connection_as_long_as_it_may_wait_itself() -> None:
    async def use(bench: Bench) -> None:
        await cut(bench, 1)
        bench.peer.slow_s = 0.2
        planned, _ = bench.permit()  # a second from its deadline
        assert await bench.egress.send(planned) == ""
        assert bench.peer.got(2) == planned.frame
        await cut(bench, 2)
        late, _ = bench.permit(ticks=399_999, deadline_boot_ns=bench.world.now.boot_ns + 50 * MS)
        assert await bench.egress.send(late) == "no connection: TimeoutError"
        assert bench.state(late.client_id) is OrderState.NOT_SENT

    with_bench(use)


class Late(FakeReader):
    """A reader of a connection on which nothing may be asked before the venue has said something."""

    ready = False

    def feed(self, data: bytes) -> list[Said]:
        self.ready = True
        return []


class LateWire(FakeWire):
    def reader(self) -> FakeReader:
        return Late()


def test_a_line_counts_as_made_when_the_venue_has_let_it_in_and_none_is_made_in_its_stead() -> None:
    async def run() -> None:
        bench = Bench(5_000 * MS, None, LateWire(2_000 * MS))
        opening = asyncio.ensure_future(bench.egress.open())
        try:
            for number, standing in enumerate(({"place": False, "cancel": True}, {"place": True, "cancel": True}), 1):
                await settle(lambda number=number: len(bench.peer.lines) == number)  # type: ignore[misc]
                await asyncio.sleep(0.02)
                assert len(bench.peer.lines) == number
                assert not opening.done()
                bench.peer.ends[-1].sendall(b"come in")
                await settle(lambda standing=standing: bench.egress.standing == standing)  # type: ignore[misc]
            await opening
            assert bench.peer.lines == ["bybit.cancel.1", "bybit.place.2"]
        finally:
            opening.cancel()
            bench.egress.close()
            bench.peer.close()

    asyncio.run(run())


def test_a_venue_that_goes_makes_no_error_in_the_loop() -> None:
    async def use(bench: Bench) -> None:
        found: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: found.append(context))
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ""
        await cut(bench, 0)
        await cut(bench, 1)
        assert bench.state(planned.client_id) is OrderState.UNKNOWN
        await asyncio.sleep(0)
        assert found == []

    with_bench(use)


def line_over(
    ours: socket.socket, heard: Callable[[Any], object], lost: Callable[[tuple[str, int], str], None] = lambda _about, _why: None
) -> OrderLine[tuple[str, int]]:
    def hear(answer: object, _about: tuple[str, int], _asked: int) -> None:
        heard(answer)

    return OrderLine(OrderConnection(ours, "c"), FakeReader(), lambda: Now(1, 1), heard=hear, lost=lost)


@pytest.mark.parametrize("number", [0, 1])
def test_a_line_that_was_given_up_twice_leaves_the_next_one_its_number(number: int) -> None:
    """A process without standard input and output gives these numbers to its first connections."""
    heard: list[int] = []

    async def run() -> None:
        kept = os.dup(number)
        os.close(number)
        made: list[OrderLine[tuple[str, int]]] = []
        ends: list[socket.socket] = []
        try:
            for _ in range(2):
                ours, theirs = socket.socketpair()
                assert ours.fileno() == number
                made.append(line_over(ours, lambda answer: heard.append(answer.request_id)))
                ends.append(theirs)
                made[0].abort("the peer went, or is gone already")
            made[1].expect(7, b"", ("a", 0), 1, 10_000 * MS)
            answer = wire.Answer(request_id=7, status=200, code="", text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1)
            ends[1].sendall(wire.encode(answer))
            await settle(lambda: bool(heard))
        finally:
            for line in made:
                line.abort("the test ends")
            for end in ends:
                end.close()
            os.dup2(kept, number)
            os.close(kept)

    asyncio.run(run())
    assert heard == [7]


def test_what_fails_first_while_a_line_is_given_up_is_told_after_all_the_others_were() -> None:
    lost: list[str] = []

    def lose(about: tuple[str, int], _reason: str) -> None:
        lost.append(about[0])
        if about[0] != "b":
            raise OSError(about[0])

    async def run() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            line = line_over(ours, lambda _answer: None, lose)
            for number, name in enumerate("abc"):
                line.expect(number, b"", (name, 0), 1, 10_000 * MS)
            with pytest.raises(OSError, match="a"):
                line.abort("the peer went")
            line.abort("again")

    asyncio.run(run())
    assert lost == ["a", "b", "c"]


# Answers


def answer_to(planned: Planned, number: int, state: OrderState) -> wire.Answer:
    body = wire.Outcome(client_id=planned.client_id, revision=planned.revision, venue_order_id="v", state=state)
    return wire.Answer(request_id=number, status=200, code="", text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1, body=body)


def test_an_answer_that_nobody_waits_for_changes_nothing_and_those_behind_it_are_heard() -> None:
    """Unasked, told twice, or no answer at all: each is left out, and what follows in the same piece of bytes still counts."""

    async def use(bench: Bench) -> None:
        first, second = (bench.permit(ticks=400_000 - number)[0] for number in range(2))
        for each in (first, second):
            assert await bench.egress.send(each) == ""
        one, two = (request_id(each.client_id, 0) for each in (first, second))
        event = wire.OrderView(
            client_id=second.client_id,
            revision=0,
            venue_order_id="v",
            symbol="BTCUSDT",
            side=Side.BUY,
            type=OrderType.LIMIT,
            tif=TimeInForce.POST_ONLY,
            reduce_only=False,
            ticks=399_999,
            lots=1,
            filled_lots=0,
            state=OrderState.OPEN,
            code="",
            updated_ns=1,
        )
        told: list[wire.Message] = [
            answer_to(second, 77, OrderState.OPEN),
            wire.Push(sequence=1, venue_ns=1, event=event),
            answer_to(first, one, OrderState.ACKED),
            answer_to(first, one, OrderState.OPEN),
        ]
        bench.peer.ends[1].sendall(b"".join(wire.encode(each) for each in told))
        await settle(lambda: bench.state(first.client_id) is OrderState.ACKED)
        await asyncio.sleep(0.02)
        assert (bench.state(first.client_id), bench.state(second.client_id)) == (OrderState.ACKED, OrderState.SENT)
        bench.peer.ends[1].sendall(wire.encode(answer_to(second, two, OrderState.OPEN)))
        await settle(lambda: bench.state(second.client_id) is OrderState.OPEN)
        assert kinds(bench).count("Answered") == 2

    with_bench(use)


def test_an_answer_may_take_its_time() -> None:
    async def use(bench: Bench) -> None:
        planned, _ = bench.permit()
        assert await bench.egress.send(planned) == ""
        await asyncio.sleep(0.25)
        bench.answer(1, planned)
        await settle(lambda: bench.state(planned.client_id) is not OrderState.SENT)
        assert bench.state(planned.client_id) is OrderState.ACKED

    with_bench(use, answer_ns=2_000 * MS)


def test_what_the_venue_says_to_a_cancel_is_recorded_with_its_order() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        for number, code in ((1, "unknown_order"), (2, "")):
            bench.egress.cancel_due([client_id])
            status = 400 if code else 200
            answer = wire.Answer(request_id=number, status=status, code=code, text="", venue_ns=1, limit=3_000, remaining=3_000, reset_ns=1)
            bench.peer.ends[0].sendall(wire.encode(answer))
        await settle(lambda: kinds(bench).count("CancelAnswered") == 2)
        found = [record for record in map(r.decode, bench.journal.payloads) if isinstance(record, r.CancelAnswered)]
        assert [(record.client_id, record.accepted, record.code) for record in found] == [
            (client_id, False, "unknown_order"),
            (client_id, True, ""),
        ]
        assert bench.keeper.state.orders.by_id[client_id].cancel is not None, "it is owed until the order has ended"

    with_bench(use)


def test_a_way_out_that_was_never_connected_cancels_nothing_and_can_be_closed() -> None:
    async def use(opened: Bench) -> None:
        for bench, can in ((opened, True), (Bench(1_000 * MS), False)):
            assert bench.egress.can_cancel is can
            planned, _ = bench.permit()
            bench.egress.cancel_due([planned.client_id])
            sent = [record.attempt for record in map(r.decode, bench.journal.payloads) if isinstance(record, r.CancelSent)]
            assert sent == ([1] if can else [])
            bench.egress.close()
            assert not bench.egress.can_cancel

    with_bench(use)


def test_the_end_of_the_gate_cuts_both_connections_and_gives_up_what_is_in_flight() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        planned, _ = bench.permit(ticks=399_999)
        assert await bench.egress.send(planned) == ""
        assert bench.peer.got(1, 0.05)
        bench.egress.close()
        assert not bench.egress.can_cancel
        assert bench.state(planned.client_id) is OrderState.UNKNOWN
        for end in bench.peer.ends:
            end.settimeout(2)
            with pytest.raises(ConnectionResetError):
                end.recv(1)
        bench.egress.cancel_due([client_id])
        assert "CancelSent" not in kinds(bench)

    with_bench(use)


def test_a_cancel_on_a_connection_that_is_gone_waits_for_the_next() -> None:
    async def use(bench: Bench) -> None:
        client_id = await resting(bench)
        await cut(bench, 0)
        bench.egress.cancel_due([client_id, client_id])
        assert "CancelSent" not in kinds(bench)
        await bench.egress.restore()
        await bench.egress.restore()
        assert len(bench.peer.lines) == 3, "one is enough"
        bench.egress.cancel_due([client_id])
        assert len(frames(bench.peer.got(2))) == 1

    with_bench(use)
