"""For the tests of what the gate reads: the served fake in a thread with a hand on it, and a venue whose every byte a test decides."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.simulate.fake_venue.builders import place

from interlock.domain.clock import SystemClock
from interlock.domain.orders import Side
from interlock.gate.readings import Now
from interlock.simulate.fake_venue.client import ControlClient, SocketLink, VenueClient
from interlock.simulate.fake_venue.control import ArmFault, AskTruth, Done, Truth
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.simulate.fake_venue.server import Addresses, Server
from interlock.simulate.fake_venue.witness import read_lines
from interlock.venues.fake import wire

MS = 1_000_000
VENUES = ("bybit", "binance_usdm", "upbit")


def now() -> Now:
    """The clocks of this host."""
    return Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())


class SteppedClock:
    """The clocks of this host, moved on by as much as a test says: a host that slept."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def __call__(self) -> Now:
        boot_ns, wall_ns = now()
        return Now(boot_ns + self.ahead_ns, wall_ns + self.ahead_ns)


class Hand:
    """Commands one venue of the fake, and places orders there as somebody else."""

    def __init__(self, addresses: Addresses, venue: str = "bybit") -> None:
        self.addresses = addresses
        self.venue = venue
        self.ports = addresses.venues[venue]
        self._control = ControlClient(addresses.control)
        self._client = VenueClient(SocketLink(self.ports.orders))

    def do(self, make: Callable[..., Any], **fields: Any) -> int:
        reply = self._control.command(make(venue=self.venue, **fields))
        assert isinstance(reply, Done), reply
        return reply.count

    def arm(self, fault: Fault, **fields: Any) -> None:
        self.do(ArmFault, spec=FaultSpec(fault=fault, **fields))

    def truth(self) -> Truth:
        reply = self._control.command(AskTruth(venue=self.venue))
        assert isinstance(reply, Truth)
        return reply

    def request(self, request: wire.AnyRequest) -> wire.Answer:
        answer = self._client.request(request)
        assert answer.ok, answer
        return answer

    def place(self, client_id: str, **changes: Any) -> None:
        self.request(place(client_id, sign_ns=time.time_ns(), nonce=client_id, **changes))

    def buy(self, client_id: str, lots: int = 10, ticks: int = 500_001) -> None:
        self.place(client_id, side=Side.BUY, ticks=ticks, lots=lots)

    def witnessed(self, verb: str) -> int:
        """How many requests of that verb the venue saw."""
        return sum(line["verb"] == verb for line in read_lines(Path(self.addresses.witness)))

    def close(self) -> None:
        self._control.close()
        link = self._client.link
        assert isinstance(link, SocketLink)
        link.close()


@contextmanager
def fake(folder: Path) -> Iterator[Addresses]:
    """The served fake with all venues, in a thread of this process."""
    made = Server(folder / "fake", VENUES, SystemClock())
    thread = threading.Thread(target=made.serve)
    thread.start()
    try:
        yield made.addresses(os.getpid())
    finally:
        made.stop()
        thread.join(10)
        assert not thread.is_alive()


def run(use: Coroutine[Any, Any, None]) -> None:
    """Run a test in a loop of its own, and see that nothing is left behind."""

    complaints: list[dict[str, Any]] = []

    async def all_of_it() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with asyncio.timeout(20):
            await use
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        gc.collect(1)  # what nobody asked a task for is told when it is collected
        assert not complaints, complaints

    asyncio.run(all_of_it())


async def settle(reached: Callable[[], bool]) -> None:
    """Wait until something is so. Raises TimeoutError if it does not become so."""
    deadline = time.monotonic() + 10
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError
        await asyncio.sleep(0.005)


@contextmanager
def full_listener() -> Iterator[socket.socket]:
    """A listener with no room left: who connects waits until it accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        with socket.create_connection(listener.getsockname()):
            yield listener


class Speaker:
    """The venue's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def hear(self) -> Any:
        """The next request."""
        head = await self._reader.readexactly(4)
        return wire.decode_request(head + await self._reader.readexactly(int.from_bytes(head, "big")))

    def say(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)

    def answer(self, request: wire.AnyRequest, body: wire.AnyBody | None = None, **more: Any) -> None:
        """Answer a request."""
        self.say(wire.encode(answer(request.request_id, body, **more)))

    def push(self, sequence: int, event: Any) -> None:
        """Tell an event."""
        self.say(wire.encode(wire.Push(sequence=sequence, venue_ns=1, event=event)))

    async def stay(self) -> None:
        """Wait until the other end has gone."""
        while await self._reader.read(1 << 16):
            pass


def answer(request_id: int, body: wire.AnyBody | None = None, **more: Any) -> wire.Answer:
    """An answer that says yes, but for what is said otherwise."""
    given: dict[str, Any] = {
        "status": 200,
        "code": "",
        "text": "",
        "venue_ns": 1,
        "limit": 3_000,
        "remaining": 3_000,
        "reset_ns": 1,
        **more,
    }
    return wire.Answer(request_id=request_id, body=body, **given)


class Venue:
    """Where a scripted venue listens, and how often somebody connected."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0


@asynccontextmanager
async def scripted(script: Callable[[Speaker, int], Awaitable[None]]) -> AsyncIterator[Venue]:
    """A venue that does on each connection what the script says: it is given the connection and its number, beginning with 1.

    A script that has ended ends its connection; what it raises, but for the other end's going, is raised here.
    """
    venue = Venue()
    failed: list[Exception] = []
    running: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        venue.connections += 1
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await script(Speaker(reader, writer), venue.connections)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except Exception as error:  # noqa: BLE001 - it is raised below
            failed.append(error)
        finally:
            writer.close()
            running.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    venue.port = server.sockets[0].getsockname()[1]
    try:
        yield venue
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()
    if failed:
        raise failed[0]
