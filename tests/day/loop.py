"""An event loop on virtual time, with connections that stay in memory: nothing in it waits for real time or leaves the process.

Time goes on only when nothing is left to do at the moment: when every callback has run, and the journal's threads have come to rest. Timers may be
late by up to `slack_ns`, as on a busy host: then those that are due together ring together. What crosses a connection arrives exactly when it is due.
"""

from __future__ import annotations

import asyncio
import heapq
import os
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

NS_PER_S = S = 1_000_000_000
SHORT_NS = 4_000_000
"""Timers shorter than this ring in time: whoever sets one waits for something that is about to happen."""
PATIENCE_S = 30.0
_UCRED = struct.Struct("3i")
_ME = _UCRED.pack(os.getpid(), os.geteuid(), os.getegid())


class VirtualTime:
    """The host's clocks: `boot_ns` goes on while it sleeps, `mono_ns` does not, `wall_ns` can be set. Every venue has the true wall time."""

    def __init__(self, boot_ns: int, wall_ns: int) -> None:
        self.boot_ns = boot_ns
        self.slept_ns = 0
        self._true_ns = wall_ns - boot_ns
        self._set_ns = 0

    @property
    def true_ns(self) -> int:
        """Wall time that nobody sets."""
        return self.boot_ns + self._true_ns

    @property
    def wall_ns(self) -> int:
        """The host's wall clock."""
        return self.true_ns + self._set_ns

    @property
    def mono_ns(self) -> int:
        """The host's clock that stands still while it sleeps."""
        return self.boot_ns - self.slept_ns

    def step_wall(self, ns: int) -> None:
        """Somebody sets the wall clock."""
        self._set_ns += ns


class _Selector(selectors.EpollSelector):
    """Does not wait: lets virtual time go on instead."""

    loop: MemoryLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout == 0:
            return []
        self.loop.idle(timeout)
        if not self.loop.spoken:
            return []
        self.loop.spoken = False
        return super().select(0)


class MemoryLoop(asyncio.SelectorEventLoop):
    """`at_rest` says whether the threads that work for the loop are done; `passing` is called whenever time has gone on."""

    def __init__(self, clock: VirtualTime) -> None:
        self.virtual = clock
        self.slack_ns = 0
        self.at_rest: Callable[[], bool] = lambda: True
        self.passing: Callable[[], None] = lambda: None
        self.spoken = False
        """Something was written into a pipe that the loop reads."""
        self._told: deque[tuple[Callable[..., object], tuple[Any, ...], Any]] = deque()
        self._stirred = threading.Event()
        self.resting = threading.Event()
        """Set while the loop waits for the threads that work for it."""
        self._arrivals: list[tuple[int, int, Callable[..., object], tuple[Any, ...]]] = []
        self._numbers = 0
        self._memory: dict[int, MemorySocket] = {}
        self._listening: dict[str, MemorySocket] = {}
        self._home = threading.get_ident()
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)
        self.unforeseen: list[str] = []
        self.set_exception_handler(self._broke)

    # Time

    def time(self) -> float:
        return self.virtual.boot_ns / NS_PER_S

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> asyncio.TimerHandle:  # type: ignore[override]
        slack = self.slack_ns
        if slack and when - self.time() >= SHORT_NS / NS_PER_S:
            when = -(-round(when * NS_PER_S) // slack) * slack / NS_PER_S
        return super().call_at(when, callback, *args, context=context)

    def arrive(self, at_ns: int, callback: Callable[..., object], *args: object) -> None:
        """Call back exactly then; of two at one time the first that was asked for."""
        self._numbers += 1
        heapq.heappush(self._arrivals, (at_ns, self._numbers, callback, args))

    def idle(self, timeout: float | None) -> None:
        """Nothing is left to do at this moment: let the threads come to rest, hear them, and only then let time go on."""
        self._rest()
        if self._ready:  # type: ignore[attr-defined]
            return
        if self._told:
            while self._told:
                callback, args, context = self._told.popleft()
                self.call_soon(callback, *args, context=context)
            return
        now_ns = self.virtual.boot_ns
        due = []
        if timeout is not None:
            due.append(now_ns + round(timeout * NS_PER_S) + 1)
        if self._arrivals:
            due.append(self._arrivals[0][0])
        if not due:
            raise RuntimeError("the simulated day stands still: no timer is set, and nothing is under way")
        self.virtual.boot_ns = max(min(due), now_ns)
        self.passing()
        while self._arrivals and self._arrivals[0][0] <= self.virtual.boot_ns:
            _, _, callback, args = heapq.heappop(self._arrivals)
            self.call_soon(callback, *args)

    def _rest(self) -> None:
        self.resting.set()
        try:
            until = time.monotonic() + PATIENCE_S
            while not self.at_rest():
                self._stirred.wait(0.001)
                self._stirred.clear()
                if time.monotonic() > until:
                    raise TimeoutError("the journal's threads do not come to rest")
        finally:
            self.resting.clear()

    def stir(self) -> None:
        """A thread has done something."""
        self._stirred.set()

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        if threading.get_ident() == self._home:
            return self.call_soon(callback, *args, context=context)
        self._told.append((callback, args, context))
        self._stirred.set()
        return asyncio.Handle(callback, args, self, context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done: asyncio.Future[Any] = self.create_future()
        try:
            done.set_result(func(*args))
        except OSError as error:
            done.set_exception(error)
        return done

    def watched(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task whose failure is not overlooked."""
        task = self.create_task(work)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self.unforeseen.append(repr(task.exception()))

    def _broke(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unforeseen.append(f"{context.get('message')}: {context.get('exception')!r}")

    # Connections

    def pair(self, latency_ns: Callable[[], int]) -> tuple[MemorySocket, MemorySocket]:
        """Two ends of a connection. `latency_ns` is asked for everything that is sent."""
        one, other = MemorySocket(self, latency_ns), MemorySocket(self, latency_ns)
        one.peer, other.peer = other, one
        return one, other

    def listen(self, path: Path) -> tuple[socket.socket, int]:
        """Listen at a path in memory, as `interlock.gate.sockets.listen` does at one of the host."""
        listening = self._listening[str(path)] = MemorySocket(self, lambda: 0)
        return listening, os.open("/dev/null", os.O_RDONLY)

    async def create_unix_connection(self, protocol_factory: Any, path: Any = None, *, sock: Any = None, **_: Any) -> Any:
        if sock is None:
            listening = self._listening.get(str(path))
            if listening is None or listening.fileno() < 0:
                raise ConnectionRefusedError(f"{path}: nobody listens there")
            sock, far = self.pair(lambda: 20_000)
            listening.incoming.append(far)
            listening.readable()
        protocol = protocol_factory()
        return MemoryTransport(self, sock, protocol), protocol

    def add_reader(self, fd: Any, callback: Callable[..., object], *args: object) -> None:
        memory = self._memory.get(fd if isinstance(fd, int) else fd.fileno())
        if memory is None:
            super().add_reader(fd, callback, *args)
            return
        memory.on_readable = lambda: callback(*args)
        memory.readable()

    def remove_reader(self, fd: Any) -> bool:
        memory = self._memory.get(fd if isinstance(fd, int) else fd.fileno())
        if memory is None:
            return super().remove_reader(fd)
        memory.on_readable = None
        return True

    def add_writer(self, fd: Any, callback: Callable[..., object], *args: object) -> None:
        self.call_soon(callback, *args)  # whatever is sent in memory is taken at once

    def remove_writer(self, fd: Any) -> bool:
        return True

    def remember(self, memory: MemorySocket) -> None:
        """A socket in memory has this descriptor from now on."""
        self._memory[memory.fileno()] = memory

    def end(self) -> None:
        """Cancel whatever still runs, and let go of everything."""
        tasks = asyncio.all_tasks(self)
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.wait(tasks))
        for memory in list(self._memory.values()):
            socket.socket.close(memory)
        self.close()

    def forget(self, descriptor: int) -> None:
        """It has it no more."""
        self._memory.pop(descriptor, None)


class MemorySocket(socket.socket):
    """One end of a connection in memory, where a socket is expected. The socket of the system below is a descriptor and connects nothing."""

    def __init__(self, loop: MemoryLoop, latency_ns: Callable[[], int]) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._loop = loop
        self._latency_ns = latency_ns
        self._due_ns = 0
        self.peer: MemorySocket | None = None
        self.inbox = bytearray()
        self.ended = False
        self.reset = False
        self.incoming: deque[MemorySocket] = deque()
        self.on_readable: Callable[[], object] | None = None
        self._asked = False
        self.sent_bytes = 0
        loop.remember(self)

    def send(self, data: Any, flags: int = 0) -> int:
        if self.reset or self.fileno() < 0:
            raise ConnectionResetError("the connection was reset")
        self.sent_bytes += len(data)
        self._carry("data", bytes(data))
        return len(data)

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self.inbox:
            data = bytes(self.inbox[:size])
            del self.inbox[:size]
            return data
        if self.reset:
            raise ConnectionResetError("the connection was reset")
        if self.ended:
            return b""
        raise BlockingIOError

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.incoming:
            raise BlockingIOError
        return self.incoming.popleft(), ""

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        return _ME if option == socket.SO_PEERCRED else super().getsockopt(level, option, size)

    def finish(self) -> None:
        """Say nothing more."""
        self._carry("end")

    def cut(self) -> None:
        """Reset the connection: what is under way to the other end still arrives."""
        self._carry("reset")
        self.reset = True
        self.readable()

    def close(self) -> None:
        descriptor = self.fileno()
        if descriptor >= 0:
            self._carry("reset")
            self._loop.forget(descriptor)
            self.on_readable = None
        super().close()

    def _carry(self, what: str, data: bytes = b"") -> None:
        if self.peer is None:
            return
        latency_ns = self._latency_ns()
        if not latency_ns and self._due_ns <= self._loop.virtual.boot_ns:
            self._loop.call_soon(self.peer.arrived, what, data)
            return
        self._due_ns = max(self._loop.virtual.boot_ns + latency_ns, self._due_ns + 1)
        self._loop.arrive(self._due_ns, self.peer.arrived, what, data)

    def arrived(self, what: str, data: bytes) -> None:
        """Something has crossed the connection."""
        if self.fileno() < 0:
            return
        self.inbox += data
        self.ended |= what != "data"
        self.reset |= what == "reset"
        self.readable()

    def readable(self) -> None:
        """Tell whoever waits to read, as long as there is something."""
        if not self._asked and self.on_readable is not None and (self.inbox or self.ended or self.incoming):
            self._asked = True
            self._loop.call_soon(self._tell)

    def _tell(self) -> None:
        self._asked = False
        if self.on_readable is not None:
            self.on_readable()
            self.readable()


class MemoryTransport(asyncio.Transport):
    """The transport of a stream over one end in memory."""

    def __init__(self, loop: MemoryLoop, sock: MemorySocket, protocol: Any) -> None:
        super().__init__({"socket": sock})
        self._loop = loop
        self._sock = sock
        self._protocol = protocol
        self._paused = self._closing = False
        protocol.connection_made(self)
        loop.add_reader(sock, self._readable)

    def _readable(self) -> None:
        if self._paused or self._closing:
            return
        try:
            data = self._sock.recv(1 << 20)
        except OSError:
            data = b""
        if data:
            self._protocol.data_received(data)
        elif self._sock.ended:
            self._protocol.eof_received()
            self.abort()

    def write(self, data: Any) -> None:
        if not self._closing:
            try:
                self._sock.send(data)
            except OSError:
                self.abort()

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True
        self._sock.on_readable = None

    def resume_reading(self) -> None:
        self._paused = False
        self._loop.add_reader(self._sock, self._readable)

    def is_reading(self) -> bool:
        return not self._paused

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing waits to be written."""

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: Any) -> None:
        self._protocol = protocol

    def get_protocol(self) -> Any:
        return self._protocol

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        if not self._closing:
            self._closing = True
            self._sock.close()
            self._loop.call_soon(self._protocol.connection_lost, None)
