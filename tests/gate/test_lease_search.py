"""Two gates and one account: every order in which they take its lock, write, lose it, give it back and die, by the production lease, on real files.

A way into a state is walked again for each of its steps, because a folder and its locks cannot be copied. Taking the lock stops before it locks
and before it looks whether what it locked is still what the name leads to, so that anything can happen there. The look at the lease and the write
behind it are one step, as they are in the gate, which awaits nothing between them; what another process does in the microseconds between them no
lock of a file can prevent.
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from tests.gate.core_world import World

from interlock.domain.errors import Refused
from interlock.gate import account_lock
from interlock.gate.account_lock import AccountName, Lease, LocalLease, take_local
from interlock.gate.condition_watch import second_writers
from interlock.gate.core import want_cancels
from interlock.gate.lattice import effective_level
from interlock.gate.parts import Guard
from interlock.gate.verbs import Verb, allows

ACCOUNT = AccountName("bybit", "uid 4711")
GATES = ("one", "other")
STOPS = (fcntl.flock, os.stat)
"""Before which calls into the system somebody who takes the lock can be overtaken."""


class Died(BaseException):
    """The process ends here."""


class Taking:
    """A gate on its way to the lock, in a thread of its own that stops before each of STOPS."""

    def __init__(self, take: Callable[[], Lease]) -> None:
        self._go, self._stopped = threading.Semaphore(0), threading.Semaphore(0)
        self._take = take
        self._dies = False
        self.stops = 0
        self.descriptor = -1
        self.lease: Lease | None = None
        self.refused = ""
        self.over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def _run(self) -> None:
        sys.setprofile(self._before)
        try:
            self.lease = self._take()
        except Refused as refused:
            self.refused = str(refused)
        except Died:
            pass
        finally:
            sys.setprofile(None)
            self.over = True
            self._stopped.release()

    def _before(self, frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function in STOPS and frame.f_code.co_filename in (account_lock.__file__, __file__):
            here = frame.f_locals
            self.descriptor = here["descriptor"] if "descriptor" in here else here["self"]._descriptor
            self.stops += 1
            self._stopped.release()
            self._go.acquire()
            if self._dies:
                raise Died

    def go_on(self) -> None:
        self._go.release()
        self._stopped.acquire()

    def die(self) -> None:
        self._dies = True
        self.go_on()


Take = Callable[[Path], Lease]
MakeGuard = Callable[[Lease], Guard]


class Word:
    """A stop word that stops nobody."""

    stopped = False
    sentinel_beat = 0

    def acknowledge(self, boot_ns: int) -> None: ...

    def advance(self) -> None: ...


def taken(folder: Path) -> Lease:
    return take_local(ACCOUNT, "a gate", folder)


def guarded(lease: Lease) -> Guard:
    return Guard(Word(), {"bybit": lease})


@dataclass
class Gate:
    """One process life after the other of a gate."""

    taking: Taking | None = None
    lease: Lease | None = None
    guard: Guard | None = None
    released: bool = False
    saw_loss: bool = False
    """A look at the lease, before a write or by the watch, found it lost."""
    watched: bool = False
    """The watch has looked since then."""
    halted: bool = False
    """The latch of a second writer stands at its account."""


PERMITTED = World()
PLANNED = PERMITTED.decide().planned
HALTED = World()
HALTED.decide()
LATCHES = second_writers(HALTED.state.lattice, [("bybit", "main")], HALTED.now.boot_ns)
for _latch in LATCHES:
    HALTED.state.apply(_latch)


@cache
def objection(halted: bool, held: bool) -> str:
    """What egress has against a write of a gate: `recheck`, with its order permitted and everything else as it should be."""
    assert PLANNED is not None
    return (HALTED if halted else PERMITTED).recheck(PLANNED, lease_held=held)


@cache
def may_cancel(halted: bool) -> bool:
    """Whether a cancel of its order is wanted when asked for, and the gate's to send at the level that holds."""
    state = (HALTED if halted else PERMITTED).state
    level = effective_level(state.lattice, symbol="bybit/BTCUSDT", strategy="demo", account="bybit/main", order="")
    wanted = want_cancels(state, (), "asked", "ann", PERMITTED.now)
    return len(wanted) == 1 and allows(level, state.lattice.killed, Verb.CANCEL_OWN)


@dataclass
class Two:
    """Both gates, and the file that their lock is on."""

    folder: Path
    take: Take = taken
    guard: MakeGuard = guarded
    gates: dict[str, Gate] = field(default_factory=lambda: {name: Gate() for name in GATES})
    told: list[str] = field(default_factory=list)
    """What those were told that were refused."""

    @property
    def path(self) -> Path:
        return self.folder / ACCOUNT.file_name

    @property
    def aside(self) -> Path:
        return self.folder / "aside"

    def steps(self) -> list[tuple[str, str]]:
        """What can happen next."""
        found = [("somebody", "puts a new file there")]
        if self.path.exists():
            found += [("somebody", "removes it"), ("somebody", "moves it aside")]
        if self.aside.exists():
            found.append(("somebody", "puts it back"))
        for name, gate in self.gates.items():
            if gate.taking is not None:
                found += [(name, "goes on"), (name, "dies")]
            elif gate.lease is None:
                found.append((name, "takes"))
            else:
                found += [(name, "writes"), (name, "watches"), (name, "dies")]
                found += [] if gate.released else [(name, "releases")]
        return found

    def do(self, who: str, what: str) -> None:
        if who == "somebody":
            self._at_the_file(what)
            return
        gate = self.gates[who]
        if what == "takes":
            gate.taking = Taking(lambda: self.take(self.folder))
            self._arrived(gate)
        elif what == "goes on":
            assert gate.taking is not None
            gate.taking.go_on()
            self._arrived(gate)
        elif what == "dies":
            self._die(who)
        elif what == "releases":
            assert gate.lease is not None
            gate.lease.release()
            gate.released = True
        else:
            assert gate.guard is not None
            held = gate.guard.lease_held()
            gate.saw_loss = gate.saw_loss or not held
            if what == "watches" and (lost := gate.guard.take_lost()):
                assert lost == ("bybit",)
                gate.halted = True
            gate.watched = gate.saw_loss and (gate.watched or what == "watches")

    def _at_the_file(self, what: str) -> None:
        if what == "puts a new file there":
            (self.folder / "new").touch()
            os.replace(self.folder / "new", self.path)
        elif what == "removes it":
            self.path.unlink()
        elif what == "moves it aside":
            os.replace(self.path, self.aside)
        else:
            os.replace(self.aside, self.path)

    def _arrived(self, gate: Gate) -> None:
        assert gate.taking is not None
        if not gate.taking.over:
            return
        if gate.taking.lease is None:
            self.told.append(gate.taking.refused)
        else:
            gate.lease = gate.taking.lease
            gate.guard = self.guard(gate.lease)
        gate.taking = None

    def _die(self, name: str) -> None:
        gate = self.gates[name]
        if gate.taking is not None:
            gate.taking.die()
        if gate.lease is not None:
            gate.lease.release()  # what the kernel does
        self.gates[name] = Gate()

    def end(self) -> None:
        for name in GATES:
            self._die(name)

    def shape(self) -> object:
        """The state; files by which of them are the same, gates by what they are at and not by name."""
        return min(self._shape(order) for order in (GATES, GATES[::-1]))

    def _shape(self, order: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
        files: list[object] = []

        def number(found: os.stat_result | None) -> int:
            if found is None:
                return -1
            name = (found.st_dev, found.st_ino)
            if name not in files:
                files.append(name)
            return files.index(name)

        told = [tuple(number(os.stat(path) if path.exists() else None) for path in (self.path, self.aside))]
        for gate in (self.gates[name] for name in order):
            descriptor = gate.taking.descriptor if gate.taking is not None else getattr(gate.lease, "_descriptor", None)
            told.append((0 if gate.taking is None else gate.taking.stops, number(None if descriptor is None else os.fstat(descriptor))))
            told.append((gate.lease is None, gate.released, gate.saw_loss, gate.watched, gate.halted))
        return tuple(told)

    def check(self) -> str:
        """What holds in every state; how the two stand."""
        stands = []
        for gate in self.gates.values():
            if gate.lease is None:
                stands.append("out")
                continue
            said = objection(gate.halted, gate.lease.held())
            stands.append(said or "writes")
            assert may_cancel(gate.halted), "no lease stands in the way of a cancel"
            if gate.released:
                assert said, "who gave it back may still write"
            if gate.watched:
                assert said, "who found it lost may write again, though nobody looked who wrote meanwhile"
        assert stands != ["writes", "writes"], "both may write"
        return " and ".join(sorted(stands))


def search(folder: Path, take: Take = taken, guard: MakeGuard = guarded) -> tuple[int, set[str], set[str]]:
    """Visit every state; how many there are, what those were told that were refused, and how the two stood."""

    def walked(way: tuple[tuple[str, str], ...]) -> tuple[object, list[tuple[str, str]]]:
        for file in folder.iterdir():
            file.unlink()
        two = Two(folder, take, guard)
        try:
            for step in way:
                two.do(*step)
            stood.add(two.check())
            told.update(two.told)
            return two.shape(), two.steps()
        finally:
            two.end()

    told: set[str] = set()
    stood: set[str] = set()
    shape, steps = walked(())
    seen = {shape}
    queue: deque[tuple[tuple[tuple[str, str], ...], list[tuple[str, str]]]] = deque([((), steps)])
    while queue:
        way, steps = queue.popleft()
        for step in steps:
            longer = (*way, step)
            shape, further = walked(longer)
            if shape not in seen:
                seen.add(shape)
                queue.append((longer, further))
    return len(seen), told, stood


def test_never_may_two_gates_write_for_one_account(tmp_path: Path) -> None:
    states, told, stood = search(tmp_path)
    assert states > 300
    assert {"out and writes", "lease and writes", "lease and lease"} <= stood, (
        "the search must reach one that writes where the other lost it"
    )
    assert "not_armed and out" in stood, "and one whose lease is its own again, and whose grant has ended"
    assert any("another gate has it" in one for one in told)
    assert any("it was replaced while it was locked" in one for one in told)


class NeverAgain:
    """Asks when it is made and never again."""

    def __init__(self, lease: Lease) -> None:
        self._lease: Lease | None = lease
        self._descriptor = lease._descriptor  # type: ignore[attr-defined]

    def held(self) -> bool:
        return self._lease is not None

    def release(self) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease, self._descriptor = None, None


class AnyFile(LocalLease):
    """Takes any file of the name for its own."""

    def held(self) -> bool:
        return self._descriptor is not None and self._path.exists()


class Remembers(LocalLease):
    """Says after its end what it said before."""

    def held(self) -> bool:
        return self._descriptor is None or super().held()


class LostNow(Guard):
    """Tells only of a lease that is lost while it is asked."""

    def take_lost(self) -> tuple[str, ...]:
        self._found_lost = set()
        return super().take_lost()


def locks_nothing(folder: Path) -> Lease:
    path = folder / ACCOUNT.file_name
    return LocalLease(os.open(path, os.O_RDWR | os.O_CREAT), path)


def as_kind(kind: type[LocalLease]) -> Take:
    def take(folder: Path) -> Lease:
        lease = take_local(ACCOUNT, "a gate", folder)
        lease.__class__ = kind
        return lease

    return take


@pytest.mark.parametrize(
    ("take", "guard", "found"),
    [
        (lambda folder: NeverAgain(taken(folder)), guarded, "both may write"),
        (as_kind(AnyFile), guarded, "both may write"),
        (locks_nothing, guarded, "both may write"),
        (as_kind(Remembers), guarded, "who gave it back may still write"),
        (taken, lambda lease: LostNow(Word(), {"bybit": lease}), "nobody looked who wrote meanwhile"),
    ],
    ids=["never rechecks", "any file will do", "locks nothing", "remembers", "forgets a loss"],
)
def test_the_search_finds_a_lease_that_is_none(tmp_path: Path, take: Take, guard: MakeGuard, found: str) -> None:
    with pytest.raises(AssertionError, match=found):
        search(tmp_path, take, guard)
