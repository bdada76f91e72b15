"""A venue that reads a request and hangs up without a word sees it once: nobody of ours asks a second time by himself.

For every verb of every client: the placements and amends of the way out, the reads, the stream's subscription, and the sentinel's cancels.
A cancel that is owed is repeated by the rooms that owe it, with pauses, and never by a connection.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.gate.core_world import LIFE, World, proposal
from tests.gate.fake_servers import Speaker, now, scripted

from interlock.domain.orders import OrderState
from interlock.gate import records as r
from interlock.gate.connection import OrderConnection
from interlock.gate.core import decide, want_cancels
from interlock.gate.egress import Egress
from interlock.gate.journal import Options, SystemDisk, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.readings import Now, Setup
from interlock.gate.venue_fake import FakeWire
from interlock.gate.venue_fake_reads import FakeReads
from interlock.gate.venue_reads import ReadFailed
from interlock.venues.budget import GATE, Meter
from interlock.venues.cancel_only import OpenOrder, VenueTrouble
from interlock.venues.fake import budget, wire
from interlock.venues.fake.cancel_only import FakeCancelOnly

MS = 1_000_000
READS: dict[str, Callable[[FakeReads], Awaitable[object]]] = {
    "top": lambda reads: reads.quote("BTCUSDT"),
    "index": lambda reads: reads.rate("USDT"),
    "server_time": lambda reads: reads.clock(),
    "instruments": lambda reads: reads.listings(),
    "permissions": lambda reads: reads.key(),
    "query_order": lambda reads: reads.order("demo0"),
    "open_orders": lambda reads: reads.open_orders(),
    "order_history": lambda reads: reads.history(),
    "executions": lambda reads: reads.executions(""),
    "ledger": lambda reads: reads.ledger(""),
    "positions": lambda reads: reads.holdings(),
}
SENTINEL: dict[str, Callable[[FakeCancelOnly], object]] = {
    "open_orders": lambda client: list(client.open_pages()),
    "cancel_batch": lambda client: client.cancel([OpenOrder("v1", "demo0", "BTCUSDT")]),
    "cancel_all": lambda client: client.cancel_everything(),
    "query_order": lambda client: client.state_of("demo0"),
    "heartbeat": lambda client: client.beat("BTCUSDT", 30_000 * MS),
}


@pytest.mark.parametrize("verb", sorted(READS))
def test_no_read_is_asked_twice(verb: str) -> None:
    heard: Counter[str] = Counter()

    async def hang_up(speaker: Speaker, _number: int) -> None:
        heard[wire.verb_of(await speaker.hear())] += 1

    async def ask() -> None:
        async with scripted(hang_up) as venue:
            reads = FakeReads("bybit", "main", venue.port, now, timeout_ns=500 * MS, receive_window_ns=2_000 * MS)
            try:
                with pytest.raises(ReadFailed):
                    await READS[verb](reads)
                await asyncio.sleep(0.05)  # time in which a second one would have come
                assert heard[verb] == 1
                # The control: asked again by the caller, it is heard again.
                with pytest.raises(ReadFailed):
                    await READS[verb](reads)
                assert heard[verb] == 2
            finally:
                reads.close()

    asyncio.run(ask())


@contextmanager
def hangs_up() -> Iterator[tuple[int, Counter[str]]]:
    """A venue on a port that reads one request of each connection, counts it, and hangs up."""
    heard: Counter[str] = Counter()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hear(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(2)
                assembler = wire.Assembler()
                while (frame := assembler.take()) is None:
                    data = connection.recv(1 << 16)
                    if not data:
                        return
                    assembler.feed(data)
                heard[wire.verb_of(wire.decode_request(frame))] += 1

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=hear, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1], heard
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize("verb", sorted(SENTINEL))
def test_no_request_of_the_sentinel_is_sent_twice_by_its_connection(verb: str) -> None:
    with hangs_up() as (port, heard):
        client = FakeCancelOnly(port, 500 * MS)
        try:
            with pytest.raises(VenueTrouble):
                SENTINEL[verb](client)
            assert heard[verb] == 1
            with pytest.raises(VenueTrouble):
                SENTINEL[verb](client)
            assert heard[verb] == 2
        finally:
            client.close()


class _Clear:
    def stopped(self) -> bool:
        return False

    def lease_held(self) -> bool:
        return True


@pytest.mark.parametrize("verb", ["place", "amend", "cancel"])
def test_what_egress_writes_is_written_once(tmp_path: Path, verb: str) -> None:
    """After a placement or amend without an answer the order is UNKNOWN, and no later connection carries it again."""

    async def run(port: int, heard: Counter[str]) -> None:
        world = World()
        fake = FakeWire(2_000 * MS)
        world.setup = Setup(
            accounts={"bybit": "main"},
            wires={"bybit": fake},
            absence=world.setup.absence,
            tags={"demo": "demo"},
        )
        journal, _ = open_journal(
            SystemDisk(), tmp_path / "journal", schema=r.SCHEMA, incarnation=bytes.fromhex(LIFE), options=Options(1 << 20, 1 << 16, 1 << 16)
        )
        keeper = Keeper(world.state, journal)
        keeper.attach(asyncio.get_running_loop())

        def clock() -> Now:
            return world.now

        async def connect(name: str) -> OrderConnection:
            return OrderConnection(socket.create_connection(("127.0.0.1", port)), name)

        meter = Meter(budget.LIMITS, GATE)
        egress = Egress("bybit", fake, world.setup, keeper, world.readings, _Clear(), connect, clock, answer_ns=500 * MS, meter=meter)
        try:
            if verb == "place":
                client_id = await _place(world, keeper, egress)
            else:
                client_id = _rests(world, keeper)
            order = keeper.state.orders.by_id[client_id]
            if verb == "amend":
                effects = decide(
                    world.setup, keeper.state, world.readings, proposal(sequence=9, amends=client_id, ticks=399_999), world.now
                )
                assert effects.planned is not None, effects.decision
                keeper.take(*effects.records, now=world.now)
                await egress.send(effects.planned)
            if verb == "cancel":
                keeper.take(*want_cancels(keeper.state, (client_id,), "test", "test", world.now), now=world.now)
                await egress.restore()
                egress.cancel_due([client_id])
            await asyncio.sleep(0.1)
            await egress.restore()
            if verb != "cancel":
                await _place(world, keeper, egress, sequence=20)
            await asyncio.sleep(0.05)
            assert heard[verb] == (2 if verb == "place" else 1), "the second placement is another order"
            if verb == "place":
                assert order.state is OrderState.UNKNOWN
            if verb == "amend":
                assert order.amend is not None
                assert order.amend.state is OrderState.UNKNOWN
        finally:
            egress.close()
            journal.close()

    with hangs_up() as (port, heard):
        asyncio.run(run(port, heard))


async def _place(world: World, keeper: Keeper, egress: Egress, sequence: int = 1) -> str:
    effects = decide(world.setup, keeper.state, world.readings, proposal(sequence=sequence), world.now)
    assert effects.planned is not None, effects.decision
    keeper.take(*effects.records, now=world.now)
    assert await egress.send(effects.planned) == ""
    await asyncio.sleep(0.05)
    return effects.planned.client_id


def _rests(world: World, keeper: Keeper) -> str:
    """An order at rest, as its records would have made it."""
    effects = decide(world.setup, keeper.state, world.readings, proposal(), world.now)
    assert effects.planned is not None
    client_id, boot_ns = effects.planned.client_id, world.now.boot_ns
    wired = r.WireBegin(boot_ns=boot_ns, client_id=client_id, revision=0, connection="c")
    sent = r.Sent(boot_ns=boot_ns, client_id=client_id, revision=0, sign_wall_ns=1, receive_window_ns=1)
    answer = r.Answered(boot_ns=boot_ns, client_id=client_id, revision=0, state=OrderState.OPEN, venue_order_id="v", code="")
    keeper.take(*effects.records, wired, sent, answer, now=world.now)
    return client_id
