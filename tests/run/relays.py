"""Ways to a venue that can be cut, each direction by itself, and a network of its own in which one of them ends. For Linux, the second for root."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CLONE_NEWNET = 0x40000000
HOST = "127.0.0.1"


@dataclass
class Cut:
    """Which directions are cut: what is sent then arrives later, or never if the sender has given up meanwhile."""

    _open: tuple[threading.Event, threading.Event] = field(default_factory=lambda: (threading.Event(), threading.Event()))

    def __post_init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        """Everything goes through again."""
        for event in self._open:
            event.set()

    def cut(self, *, to_venue: bool, from_venue: bool) -> None:
        """Nothing goes through in these directions from here on."""
        for event, held in zip(self._open, (to_venue, from_venue), strict=True):
            if held:
                event.clear()

    def pass_on(self, source: socket.socket, sink: socket.socket, direction: int) -> None:
        """Pass on until either end is gone; direction 0 is to the venue, 1 from it."""
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self._open[direction].wait()
                if _gave_up(source):
                    break
                sink.sendall(data)
            self._open[direction].wait()
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _gave_up(source: socket.socket) -> bool:
    """Whether the sender has aborted: a kernel would throw away what it has not delivered."""
    poll = select.poll()
    poll.register(source, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


@contextmanager
def relay(listening: socket.socket, port: int, cut: Cut) -> Iterator[int]:
    """Pass on every connection to `port` of this host while the block runs; the port that is listened at."""
    ends: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                try:
                    far = socket.create_connection((HOST, port), 5)
                except OSError:
                    near.close()
                    continue
                far.settimeout(None)
                ends.extend((near, far))
                for source, sink, direction in ((near, far, 0), (far, near, 1)):
                    threading.Thread(target=cut.pass_on, args=(source, sink, direction), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        cut.heal()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def listen(port: int = 0) -> socket.socket:
    """A socket of this thread's network."""
    return socket.create_server((HOST, port))


@dataclass(frozen=True)
class Network:
    """A network of its own. `path` is what `nsenter --net=` takes; `listening` are sockets in it, at the ports that were asked for."""

    path: Path
    listening: tuple[socket.socket, ...]


@contextmanager
def network(ports: Sequence[int]) -> Iterator[Network]:
    """A network with nothing but its own loopback, where this process listens at these ports. Raises OSError where that is not allowed."""
    found: list[Network] = []
    failed: list[OSError] = []

    def make() -> None:
        try:
            # Of this thread alone; its sockets stay in there when the thread has ended.
            if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "unshare")
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            found.append(Network(Path(f"/proc/{os.getpid()}/fd/{descriptor}"), tuple(listen(port) for port in ports)))
        except OSError as error:
            failed.append(error)

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    for error in failed:
        raise error
    try:
        yield found[0]
    finally:
        for one in found[0].listening:
            one.close()
        os.close(int(found[0].path.name))
