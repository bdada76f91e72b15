"""What a process life of the gate stands on in the state machine: a disk that waits on command, a loop on virtual time, sockets that are watched.

Nothing here knows the gate's rules. Everything that can differ from run to run is taken out: the writer thread of a journal never works beside the
test, it works while the test waits for it.
"""

from __future__ import annotations

import asyncio
import copy
import errno
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from tests.gate.disks import SECTOR, Choose, FakeDisk, Inode

from interlock.gate.journal import Journal, JournalFailed, Progress
from interlock.simulate.fake_venue.client import VenueClient
from interlock.simulate.fake_venue.memory import MemoryLink, MemoryNetwork
from interlock.venues.fake.wire import Answer, AnyRequest, WireError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PATIENCE_S = 60.0
"""How long a thread may take for what it does at once; a deadline, not a pause."""
WRITER, ALLOCATOR = "journal", "journal-spare"
"""The names of a journal's two threads: the one that writes, and the one that allocates the next segment."""


class ProcessDies(BaseException):
    """The process ends at this instruction. No code under test may catch it."""


class SteppedDisk(FakeDisk):
    """A disk on which the writer's next write or sync can be held back, refused, or be the last thing that happens before the process ends.

    `held` names the steps ("write", "sync") that wait, after so many of them that do not; `refused` those that fail once, and with what. `dies_in`
    counts the steps that are left to the process; -1 for no end. `dead`: nothing of this process reaches the disk any more. The thread that
    allocates segments has its turn only while `allocates`, and its steps neither count nor fail by command, so that the order of the others is
    always the same.
    """

    def __init__(self) -> None:
        super().__init__()
        self.turn = threading.Condition()
        self.held: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.dies_in = -1
        self.dead = False
        self.waiting = False
        self.allocates = True
        self._left = self

    def step(self, what: str) -> None:
        name = threading.current_thread().name
        with self.turn:
            while not self.dead and (self.held.get(what, 1) <= 0 if name == WRITER else name == ALLOCATOR and not self.allocates):
                self.waiting |= name == WRITER
                self.turn.notify_all()
                self.turn.wait(PATIENCE_S)
            self.waiting &= name != WRITER
            if name == WRITER and what in self.held:
                self.held[what] -= 1
        if name != ALLOCATOR:
            if self.dies_in == 0:
                self.die()
            self.dies_in = max(self.dies_in - 1, -1)
        if self.dead:
            if threading.current_thread() is threading.main_thread():
                raise ProcessDies
            raise OSError(errno.EIO, "the process is gone")
        number = 0 if name == ALLOCATOR else self.refused.pop(what, 0)
        if number:
            raise OSError(number, f"refused at {what}")
        super().step(what)

    def release(self) -> None:
        """Let what is held back go on."""
        with self.turn:
            self.held.clear()
            self.waiting = False
            self.allocates = True
            self.turn.notify_all()

    def die(self) -> None:
        """From now on nothing of this process reaches the disk."""
        with self.turn:
            if not self.dead:
                self._left = SteppedDisk()
                self._left.directories = set(self.directories)
                # One copy of all three, so that names that share a file still do.
                self._left.files, self._left.durable_names, self._left.changes = copy.deepcopy(
                    (self.files, self.durable_names, self.changes)
                )
            self.dead = True
            self.turn.notify_all()

    def after_death(self, power: Choose | None) -> SteppedDisk:
        """What the next process finds. Without `power` the machine went on: all that was written is there, also what is not synced yet.

        With it the power went: `power` chooses what became of each sector that was not synced.
        """
        self.die()
        left = self._left
        if power is not None:
            rest = left.after_power_loss(power)
            left.files, left.durable_names, left.changes = rest.files, rest.durable_names, []
        return left


def asked(client: VenueClient, network: MemoryNetwork, request: AnyRequest, timeout_ns: int) -> Answer | None:
    """The answer to one request within a virtual time; None where none came, or nothing that can be read. The connection is then done with."""
    until_ns = network.clock.monotonic_ns() + timeout_ns
    try:
        number = client.send(request)
        while True:
            for answer in client.answers:
                if answer.request_id == number:
                    client.answers.remove(answer)
                    return answer
            left_ns = until_ns - network.clock.monotonic_ns()
            if left_ns <= 0 or not client.poll(left_ns):
                return None
    except (ConnectionError, WireError):
        return None


def seen_bytes(inode: Inode) -> bytes:
    """The content of a file as a process would read it."""
    return inode.read(-(-inode.size // SECTOR) * SECTOR, 0)[: inode.size]


class SteadyJournal:
    """A journal whose every `append` returns when its writer thread has come to rest: done, held back by the disk, or failed.

    `payloads` are the records that it took, `told` is called with each of them.
    """

    def __init__(self, journal: Journal, disk: SteppedDisk, told: Callable[[bytes], None]) -> None:
        self._journal = journal
        self._disk = disk
        self._told = told
        self._progress = Progress(journal.written_lsn, journal.durable_lsn, "")

    def as_journal(self) -> Journal:
        """It stands for the journal that it wraps."""
        return cast(Journal, self)

    def watch(self) -> None:
        """Begin to follow the writer; after everybody else who wants to hear of its progress, so that they have heard when `settle` returns."""
        self._journal.subscribe(self._heard)

    def _heard(self, progress: Progress) -> None:
        with self._disk.turn:
            self._progress = progress
            self._disk.turn.notify_all()

    def append(self, payload: bytes, *, reserve: bool = False) -> int:
        lsn = self._journal.append(payload, reserve=reserve)
        self._told(payload)
        self.settle()
        return lsn

    def settle(self) -> None:
        """Wait until the writer rests. Raises TimeoutError when it does not."""
        until = time.monotonic() + PATIENCE_S
        with self._disk.turn:
            while not self._rests():
                if time.monotonic() > until:
                    raise TimeoutError("the journal's writer does not come to rest")
                self._disk.turn.wait(0.001)
            self._disk.allocates = False

    def _rests(self) -> bool:
        if self._progress.failure or self._disk.waiting:
            return True
        if self._progress.durable_lsn < self._journal.last_lsn:
            return False
        room = self._journal.room()
        if room.spare_ready or room.spare_problem:
            return True
        self._disk.allocates = True
        self._disk.turn.notify_all()
        return False

    # The rest of the journal, unchanged

    @property
    def last_lsn(self) -> int:
        return self._journal.last_lsn

    @property
    def durable_lsn(self) -> int:
        return self._journal.durable_lsn

    @property
    def written_lsn(self) -> int:
        return self._journal.written_lsn

    @property
    def failure(self) -> JournalFailed | None:
        return self._journal.failure

    def subscribe(self, callback: Callable[[Progress], None]) -> Callable[[], None]:
        return self._journal.subscribe(callback)

    def flush(self, *, wait: bool = True) -> bool:
        return self._journal.flush(wait=wait)

    def prepare(self) -> None:
        self._journal.prepare()

    def disk_error_settled(self) -> None:
        self._journal.disk_error_settled()

    def close(self) -> None:
        self._journal.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose timers run on a clock of the test; it is driven turn by turn and never waits."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        super().__init__()

    def time(self) -> float:
        return self._now_ns() / 1e9

    def turn(self) -> None:
        """One turn: what is ready, and what has become due."""
        self.call_soon(self.stop)
        self.run_forever()


class WatchedSocket(socket.socket):
    """A socket that tells of every frame, and of how much of it the kernel will take, right before the kernel gets it.

    `takes`: of the next one the kernel takes so many bytes only.
    """

    told: Callable[[bytes, bytes], None]
    takes: int | None = None
    left: bytes = b""
    """What the kernel did not take of what it was given last."""

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        whole = bytes(data)
        taken, self.takes = whole[: self.takes], None
        fresh = whole.removeprefix(self.left)
        if fresh:
            self.told(fresh, taken)
        count = super().send(taken, flags) if taken else 0
        self.left = whole[count:]
        return count


class Cable:
    """One connection from the gate's socket to the venue in memory, both ends in the hands of the test."""

    def __init__(self, link: MemoryLink, told: Callable[[bytes, bytes], None]) -> None:
        near, self._far = socket.socketpair()
        self._far.setblocking(False)
        self.near = WatchedSocket(near.family, near.type, near.proto, fileno=near.detach())
        self.near.told = told
        self._link = link
        self._pending = bytearray()
        self.cut = False

    def carry_out(self) -> bool:
        """Bring the venue what the gate has written; whether anything moved. The gate's end of the connection is noticed only after it."""
        if self.cut:
            return False
        try:
            data = self._far.recv(1 << 16)
        except BlockingIOError:
            return False
        except ConnectionError:
            data = b""
        if not data:
            self.close()
            return True
        try:
            self._link.send(data)
        except ConnectionResetError:
            self.close()
        return True

    def carry_back(self) -> bool:
        """Bring the gate what the venue has said; whether anything moved."""
        if self.cut:
            return False
        self._pending += self._link.arrived
        self._link.arrived.clear()
        moved = bool(self._pending)
        if moved:
            with suppress(BrokenPipeError, ConnectionResetError):
                del self._pending[: self._far.send(self._pending)]
        if self._link.broken:
            self.close()
            return True
        return moved

    def lose(self) -> None:
        """What is under way to the venue never arrives."""
        if not self.cut:
            with suppress(BlockingIOError, ConnectionError):
                while self._far.recv(1 << 16):
                    pass

    def close(self) -> None:
        """Cut it at the venue's end."""
        if not self.cut:
            self.cut = True
            self._far.close()
            if not self._link.broken:
                self._link.close()
