"""The served face: TCP on 127.0.0.1, one thread, one selector. It survives its clients, and no slow one of them holds up another.

One that was forgotten need not stay for ever: it can be told to retire when nobody has been connected to any of its ports for a while.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from interlock.domain.clock import NS_PER_S, Clock
from interlock.simulate.fake_venue.control import encode_control
from interlock.simulate.fake_venue.engine import ORDERS, STREAM, Out
from interlock.simulate.fake_venue.hub import Hub
from interlock.simulate.fake_venue.witness import LineFile
from interlock.venues.fake.wire import Assembler, WireError

CONTROL = "control"
BACKLOG_BYTES = 1 << 26
"""How much may wait for one client before it is cut off."""
_CHUNK = 1 << 16


class VenuePorts(msgspec.Struct, frozen=True, kw_only=True):
    """Where one venue listens on 127.0.0.1."""

    orders: int
    stream: int


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """What the served fake says when it is ready."""

    pid: int
    control: int
    witness: str
    truth: str
    venues: dict[str, VenuePorts]


@dataclass(slots=True)
class _Client:
    socket: socket.socket
    name: str
    waiting: bytearray = field(default_factory=bytearray)
    control: Assembler | None = None
    torn: bool = False


class Server:
    """Venues on ports that the system chooses; `directory` takes `witness.jsonl` and `truth.jsonl`. `stop` may be called from elsewhere.

    `retire_after_ns`: it ends by itself when for so long no client has been connected to any port; None: never.
    """

    def __init__(self, directory: Path, names: Sequence[str], clock: Clock, retire_after_ns: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._witness = LineFile(directory / "witness.jsonl")
        self._truth = LineFile(directory / "truth.jsonl")
        self._hub = Hub(names, clock, self._witness.write, self._truth.write)
        self._selector = selectors.DefaultSelector()
        self._clients: dict[str, _Client] = {}
        self._controls = 0
        self._clock = clock
        self._retire_after_ns = retire_after_ns
        self._alone_since_ns = clock.monotonic_ns()
        self._running = True
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_out.setblocking(False)
        self._selector.register(self._wake_in, selectors.EVENT_READ, self._stopped)
        self._control_port = self._listen("", CONTROL)
        self._ports = {name: VenuePorts(orders=self._listen(name, ORDERS), stream=self._listen(name, STREAM)) for name in names}

    def addresses(self, pid: int) -> Addresses:
        """Where everything is."""
        return Addresses(
            pid=pid, control=self._control_port, witness=str(self._witness.path), truth=str(self._truth.path), venues=self._ports
        )

    def stop(self) -> None:
        """Let `serve` return soon; safe in a signal handler and from another thread."""
        self._running = False
        with contextlib.suppress(OSError):  # it may have ended already, and closed this
            self._wake_out.send(b"x")

    def serve(self) -> None:
        """Serve until `stop`, or until it may retire; then close everything."""
        while self._running:
            self._carry(self._hub.wake())
            ready = self._selector.select(self._patience())
            for key, _ in ready:
                key.data()
            if not ready and self._retires_in_ns() == 0:  # whoever connected in this moment is ready, and is not left standing
                break
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()
        self._wake_out.close()
        self._witness.close()
        self._truth.close()

    def _patience(self) -> float | None:
        """Seconds until something is due; None while nothing is."""
        due_ns = self._hub.next_due_ns()
        waits = (None if due_ns is None else max(0, due_ns - self._hub.now_ns()), self._retires_in_ns())
        return min((wait_ns / NS_PER_S for wait_ns in waits if wait_ns is not None), default=None)

    def _retires_in_ns(self) -> int | None:
        if self._retire_after_ns is None or self._clients:
            return None
        return max(0, self._alone_since_ns + self._retire_after_ns - self._clock.monotonic_ns())

    def _stopped(self) -> None:
        self._wake_in.recv(_CHUNK)

    def _listen(self, venue: str, port: str) -> int:
        listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, partial(self._accept, listener, venue, port))
        return int(listener.getsockname()[1])

    def _accept(self, listener: socket.socket, venue: str, port: str) -> None:
        # The client may have gone away between the selector and here.
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            self._admit(listener.accept()[0], venue, port)

    def _admit(self, accepted: socket.socket, venue: str, port: str) -> None:
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if port == CONTROL:
            self._controls += 1
            client = _Client(accepted, f"{CONTROL}-{self._controls}", control=Assembler())
        else:
            client = _Client(accepted, self._hub.open(venue, port))
        self._clients[client.name] = client
        self._selector.register(accepted, selectors.EVENT_READ, partial(self._ready, client))

    def _ready(self, client: _Client) -> None:
        """Something can be read or written; both are tried, because a callback cannot know which.

        The client may be gone already, because of another's request that was ready at the same time.
        """
        self._carry([Out(client.name)])
        if client.name not in self._clients:
            return
        try:
            data = client.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._hub.closed(client.name)
            self._drop(client)
        elif client.control is None:
            self._carry(self._hub.receive(client.name, data))
        else:
            self._command(client, client.control, data)

    def _command(self, client: _Client, assembler: Assembler, data: bytes) -> None:
        assembler.feed(data)
        try:
            while (frame := assembler.take()) is not None:
                reply, outs = self._hub.control(frame)
                self._carry([*outs, Out(client.name, encode_control(reply))])
        except WireError:
            self._carry([Out(client.name, reset=True)])

    def _carry(self, outs: list[Out]) -> None:
        for out in outs:
            client = self._clients.get(out.connection)
            if client is None:
                continue
            client.waiting += out.data
            client.torn = client.torn or out.reset
            self._flush(client)

    def _flush(self, client: _Client) -> None:
        try:
            while client.waiting:
                del client.waiting[: client.socket.send(client.waiting)]
        except BlockingIOError:
            if len(client.waiting) > BACKLOG_BYTES:
                client.torn = True
        except OSError:
            client.torn = True
        if client.torn:
            self._hub.closed(client.name)
            # Closing with a linger of zero sends a reset instead of an orderly end.
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._drop(client)
        else:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.waiting else 0)
            self._selector.modify(client.socket, events, partial(self._ready, client))

    def _drop(self, client: _Client) -> None:
        del self._clients[client.name]
        self._alone_since_ns = self._clock.monotonic_ns()
        self._selector.unregister(client.socket)
        client.socket.close()
