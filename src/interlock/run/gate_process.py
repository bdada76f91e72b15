"""The gate as a process: puts its rooms together, begins a life, works until it is told to stop, ends in order.

`python -m interlock.run.gate_process CONFIG`, as `interlock gate serve` starts it. Start conditions (limits, account, journal, venue) that do not
hold end it with exit code 2 before anything is offered; whatever only forbids arming leaves it up, disarmed, with the reason in its status.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import pwd
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.domain.errors import InterlockError, Refused, UsageError
from interlock.gate.clock_watch import ClockReading
from interlock.gate.conditions import read_only_refusal
from interlock.gate.connecting import connect_to
from interlock.gate.connection import OrderConnection
from interlock.gate.journal import Disk, SystemDisk
from interlock.gate.readings import Now
from interlock.run.build import build_hash
from interlock.run.child_keeper import ChildKeeper
from interlock.run.children import Begun, start_checker, start_sentinel
from interlock.run.event_loop import Collector, QuietSelector, quiet_loop
from interlock.run.gate_config import Child, GateConfig, read_gate_config, write_gate_config
from interlock.run.gate_ports import Ports
from interlock.run.gate_world import GateWorld
from interlock.run.log_lines import Log
from interlock.sentinel import control
from interlock.sentinel.gate_process import GateIdentity, Life, identity_of, kernel_boot_id, look
from interlock.sentinel.note import HostDisk, note_beside, unfinished
from interlock.sentinel.stop_word import StopWord
from interlock.venues.endpoint import Endpoint

EXIT_DONE, EXIT_LEFT_ORDERS, EXIT_START, EXIT_INTERRUPTED = 0, 1, 2, 130
STOP_CHILD_S = 5.0
TEND_S = 1.0
SWEEPS_ON = "a stop of this folder is still being swept: its sentinel goes on; `interlock kill` follows it"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What of the machine a gate uses; the real one by default, and others in tests."""

    disk: Disk
    connect: Callable[[Endpoint, str], Awaitable[OrderConnection]]
    """(endpoint, name of the connection)."""
    kernel_boot_id: Callable[[], str]
    """Which boot of the host this is; "" where that cannot be read."""

    @staticmethod
    def real() -> Machine:
        """Disk, network and host as they are."""
        return Machine(disk=SystemDisk(), connect=connect_to, kernel_boot_id=kernel_boot_id)


def clocks() -> ClockReading:
    """The three clocks of this host."""
    return ClockReading(boot_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME), mono_ns=time.monotonic_ns(), wall_ns=time.time_ns())


def now() -> Now:
    """The two clocks of a decision."""
    return Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())


def _own_group() -> None:
    """Lead a process group, so that the sentinel can end all of it. At a terminal that waits for us we stay, so that Ctrl-C still arrives."""
    if os.getpgrp() == os.getpid():
        return
    try:
        at_terminal = os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        at_terminal = False
    if not at_terminal:
        os.setpgid(0, 0)


async def ask_sentinel(folder: Path, request: Mapping[str, Any], silence_s: float = 3.0) -> Mapping[str, Any]:
    """The last event of the sentinel's answer; empty if it did not answer."""

    loop = asyncio.get_running_loop()
    told: asyncio.Future[Mapping[str, Any]] = loop.create_future()

    def tell(last: Mapping[str, Any]) -> None:
        if not told.done():
            told.set_result(last)

    def ask() -> None:
        last: Mapping[str, Any] = {}
        try:
            for event in control.ask(folder / control.NAME, request, frozenset({os.geteuid()}), silence_s):
                last = event
        except InterlockError:
            last = {}
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits
            loop.call_soon_threadsafe(tell, last)

    # A thread of its own: a kill must not wait for a place behind other questions.
    threading.Thread(target=ask, name="ask-sentinel", daemon=True).start()
    return await told


async def serve(
    config: GateConfig, environ: Mapping[str, str], machine: Machine, say: Callable[[str], None] = print, collector: Collector | None = None
) -> int:
    """Run one life of the gate; returns the exit code. Raises InterlockError for start conditions that do not hold.

    `collector`: of the loop's selector. From when the gate is ready cycles are collected by it alone, and not while a record waits for the disk.
    """
    log = Log("gate")
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _stop, stopped, number, log)
    world = GateWorld(
        config,
        Ports(
            disk=machine.disk,
            connect=machine.connect,
            now=now,
            clocks=clocks,
            nonce=lambda: secrets.token_hex(16),
            ask_sentinel=lambda request: ask_sentinel(config.sockets, request),
            log=log,
        ),
        read_only=read_only_refusal(environ),
        host=platform.node(),
        user=pwd.getpwuid(os.geteuid()).pw_name,
        build=build_hash(),
        kernel_boot_id=machine.kernel_boot_id(),
        pid=os.getpid(),
    )
    around = _Around(config, log)
    try:
        await world.begin()
        around.keep(world.rooms.watch.hear_another_checker)
        await _until(world.ready(), stopped)
        if not stopped.done():
            with on_duty(collector, world, log):
                say(json.dumps(world.paths()))
                await _until(world.failed(), stopped)
        ended_by: int = stopped.result() if stopped.done() else int(signal.SIGTERM)
        left = await world.leave()
    finally:
        await around.leave()
        await world.close()
    config = around.config
    if left:
        # Venue and sentinel stay: somebody has to be able to cancel what is left.
        _end_children(config, only_checker=True)
        log(f"ended with {left} orders that are not known to be over; start it again in the same folder, or kill")
        log.flush()
        return EXIT_LEFT_ORDERS
    if _end_children(config):
        log(SWEEPS_ON)
    log.flush()
    return EXIT_INTERRUPTED if ended_by == signal.SIGINT else EXIT_DONE


@contextlib.contextmanager
def on_duty(collector: Collector | None, world: GateWorld, log: Callable[[str], None]) -> Iterator[None]:
    """While the block runs no collection of cycles comes between an order and its permit. Without a collector nothing changes."""
    if collector is None:
        yield
        return

    def waits() -> bool:
        journal = world.journal
        return journal is not None and journal.durable_lsn != journal.last_lsn

    async def tend() -> None:
        while True:
            await asyncio.sleep(TEND_S)
            collector.overdue()

    collector.waits = waits
    tending = asyncio.get_running_loop().create_task(tend())
    try:
        with collector.on_duty():
            log(f"ready; {collector.frozen} objects stay out of the collector, and it works when nothing waits")
            yield
            log(f"the collector worked: {collector.told()}")
    finally:
        tending.cancel()


class _Around:
    """Keeps alive what stands around a gate, the sentinel and the checker. `config` names those that stand there now."""

    def __init__(self, config: GateConfig, log: Callable[[str], None]) -> None:
        self.config = config
        self._log = log
        self._begun: list[subprocess.Popen[bytes]] = []
        self._keepers: list[ChildKeeper] = []
        self._keeping: list[asyncio.Task[None]] = []

    def keep(self, hear_checker: Callable[[int], None]) -> None:
        """From here on, until `leave`. `hear_checker` is given where the beats of a new checker can be read."""
        config = self.config
        if config.sentinel_pid:
            self._keep(
                "sentinel",
                config.sentinel_pid,
                lambda: Begun(start_sentinel(config.sockets, config.logs, os.environ, self._begun)),
                lambda _sentinel: None,
            )
        if config.checker_pid:
            self._keep(
                "checker",
                config.checker_pid,
                lambda: start_checker(config.journal, config.witness, config.facts, config.logs, os.environ, self._begun, again=True),
                lambda checker: hear_checker(checker.beats_fd),
            )

    async def leave(self) -> None:
        """Start nothing more; what is being started is named in `config` afterwards."""
        for keeper in self._keepers:
            keeper.leave()
        if self._keeping:
            await asyncio.wait(self._keeping, timeout=STOP_CHILD_S)

    def _keep(self, what: str, pid: int, start: Callable[[], Begun], begun: Callable[[Begun], None]) -> None:
        keeper = ChildKeeper(
            what,
            self.config.children,
            pid,
            start=start,
            begun=begun,
            identity=identity_of,
            look=look,
            replaced=self._replaced,
            boot_ns=lambda: now().boot_ns,
            log=self._log,
        )
        self._keepers.append(keeper)
        self._keeping.append(asyncio.get_running_loop().create_task(keeper.run()))

    def _replaced(self, gone_pid: int, child: Child) -> None:
        """Written down, for whoever ends what stands around the gate. Raises OSError."""
        self.config = self.config.with_another(gone_pid, child)
        write_gate_config(self.config, self.config.file)


async def _until(work: Coroutine[Any, Any, None], stopped: asyncio.Future[int]) -> None:
    """Wait for the work or for the stop, whichever comes first; what the work raises comes out."""
    task = asyncio.ensure_future(work)
    waited: set[asyncio.Future[Any]] = {task, stopped}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    task.cancel()


def _stop(stopped: asyncio.Future[int], number: int, log: Callable[[str], None]) -> None:
    if stopped.done():
        log("stopping already; the sentinel can be told to kill")
        return
    stopped.set_result(number)


def _end_children(config: GateConfig, *, only_new: bool = False, only_checker: bool = False) -> bool:
    """End checker, sentinel and venue, in this order, each known for certain by its start; with `only_new` those that were started for this life.

    While a stop is not swept to its end, sentinel and venue stay, whoever started them; returns whether that is so.
    """
    sweeps = _sweep_is_unfinished(config)
    for pid, start_ticks, new in config.children:
        if (only_checker or sweeps) and pid != config.checker_pid:
            continue
        child = GateIdentity(pid, start_ticks)
        if (only_new and not new) or look(child) is Life.GONE:
            continue
        os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + STOP_CHILD_S
        while look(child) is not Life.GONE and time.monotonic() < until:
            time.sleep(0.01)
    return sweeps


def _sweep_is_unfinished(config: GateConfig) -> bool:
    """Whether a stop of this folder has been asked for and is not at its end; True where its word or its note is there and cannot be read."""
    try:
        if os.path.lexists(config.stop_word):  # otherwise no gate has lived here since the host's boot
            word = StopWord.attach(config.stop_word)
            sweeps = word.unfinished != 0
            word.close()
            if sweeps:
                return True
        return unfinished(note_beside(config.stop_word), config.stop_note, HostDisk()) is not None
    except InterlockError:
        return True


def main(argv: list[str]) -> int:
    """Run; returns the exit code."""
    if len(argv) != 1:
        sys.stderr.write("usage: python -m interlock.run.gate_process CONFIG\n")
        return EXIT_START
    # Children end when they do; nobody here waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    config: GateConfig | None = None
    try:
        _own_group()
        config = read_gate_config(Path(argv[0]))
        collector = Collector()
        with asyncio.Runner(loop_factory=lambda: quiet_loop(QuietSelector(collector))) as runner:
            return runner.run(serve(config, os.environ, Machine.real(), _say, collector))
    except OSError as error:
        sys.stderr.write(f"gate: cannot start or go on: {error}; see who owns its folder, and what the disk says\n")
        if config is not None and _end_children(config, only_new=True):
            sys.stderr.write(f"gate: {SWEEPS_ON}\n")
        return EXIT_START
    except InterlockError as error:
        sys.stderr.write(f"gate: cannot start: {error}\n")
        if config is not None and _end_children(config, only_new=True):
            sys.stderr.write(f"gate: {SWEEPS_ON}\n")
        return EXIT_START if isinstance(error, UsageError | Refused) else error.exit_code


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
