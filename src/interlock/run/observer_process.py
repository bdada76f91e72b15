"""The observer as a process: the only one of a run in shadow that holds a key of the account, and one that has no way to order.

It is told by one file what to watch. A key that may do more than look ends it with exit code 2 before anything else happens. It imports nothing that
can make the bytes of an order (an import contract says so), looks whether that is so in the process as it is, and says so in its status.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import platform
import pwd
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.errors import InterlockError, UsageError
from interlock.gate import life
from interlock.gate import records as r
from interlock.gate.journal import JournalFailed, JournalFull, Options, SystemDisk, open_journal
from interlock.gate.keeper import Keeper
from interlock.gate.life import Kernels
from interlock.gate.limit_sheet import LimitSheet, load, sheet_hash
from interlock.gate.parts import Life
from interlock.gate.readings import Now
from interlock.gate.record_reading import read_record
from interlock.gate.records import Endpoint
from interlock.gate.state import GateState
from interlock.gate.venue_reads import ReadFailed
from interlock.run.build import build_hash
from interlock.run.endpoint_rules import resolve_here
from interlock.run.gate_config import tags_of
from interlock.run.observed import Observed, observed
from interlock.run.observer import AccountObserver, Permits
from interlock.sentinel.gate_process import kernel_boot_id

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
STATUS_S: Final = 0.5
START_S: Final = 60.0
LOOK_S: Final = 0.1
SIZES: Final = Options(segment_bytes=8 << 20, batch_bytes=1 << 18, reserve_bytes=1 << 20)
STATUS_FILE: Final = "observer.json"
WAYS_OUT: Final = (
    "interlock.venues.upbit.trade",
    "interlock.venues.binance_usdm.trade",
    "interlock.venues.bybit.trade",
    "interlock.venues.order_parts",
    "interlock.venues.cancel_only_at",
    "interlock.gate.venue_wire",
    "interlock.gate.venue_http_wire",
    "interlock.gate.venue_socket_wire",
)
"""What can make the bytes of an order or a cancel."""


class ObserverConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process is told. `folder` is the run's, `counterfactual` the journal of the gate that permits."""

    folder: Path
    limits: Path
    places: Path
    endpoint: Endpoint
    counterfactual: Path
    config: str
    """SHA-256 of the run's configuration, hexadecimal."""


def now() -> Now:
    """The two clocks of what is taken."""
    return Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())


def ways_out(modules: Collection[str]) -> list[str]:
    """Which of these modules can make an order."""
    return sorted(set(WAYS_OUT) & set(modules))


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Watch until SIGTERM or Ctrl-C; the exit code."""
    try:
        if found := ways_out(sys.modules):
            raise UsageError(f"expected a process that has no way to order, found {', '.join(found)} in it; say so to whoever wrote it")
        config = msgspec.json.decode(Path(argv[1]).read_bytes(), type=ObserverConfig, dec_hook=lambda kind, value: kind(value))
        sheet = load(config.limits)
        credentials = environ.get("CREDENTIALS_DIRECTORY")
        accounts = observed(sheet, config.places, config.endpoint, Path(credentials) if credentials else None, resolve_here)
        return asyncio.run(_Watching(config, sheet, accounts).run())
    except (InterlockError, msgspec.ValidationError, ReadFailed, JournalFailed, JournalFull) as error:
        sys.stderr.write(f"observer: {error}\n")
        return EXIT_USAGE if isinstance(error, UsageError | ReadFailed) else EXIT_FAILED


class _Watching:
    """One life of the process."""

    def __init__(self, config: ObserverConfig, sheet: LimitSheet, accounts: tuple[Observed, ...]) -> None:
        self._config = config
        self._sheet = sheet
        self._accounts = {one.venue: one.account for one in accounts}
        self._observers = [AccountObserver(one, tuple(tags_of(sheet).values()), now, _nonce) for one in accounts]
        self._last_lsn = 0
        self._stands: list[dict[str, Any]] = []
        """How the accounts stood last while they were watched."""

    async def run(self) -> int:
        """Watch until told to stop. Raises UsageError for a key that may do more than look, at the start and later."""
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[None] = loop.create_future()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _end, stop)
        lock = _hold(self._config.folder / "run")
        try:
            # The journal is begun when the keys are known to be good: a start that is refused leaves nothing behind.
            await self._in_time(*(one.meet() for one in self._observers))
            return await self._with_journal(stop)
        finally:
            for one in self._observers:
                one.close()
            os.close(lock)

    async def _in_time(self, *work: Awaitable[Any]) -> None:
        try:
            async with asyncio.timeout(START_S):
                await asyncio.gather(*work)
        except TimeoutError as error:
            raise UsageError(f"venues: expected answers within {START_S:.0f} s, found none; see whether they run") from error

    async def _with_journal(self, stop: asyncio.Future[None]) -> int:
        state, nonce = GateState(self._sheet), _nonce()
        kernels = Kernels(state)
        disk, folder = SystemDisk(), self._config.folder / "journal"

        def fold(lsn: int, payload: bytes) -> None:
            record = read_record(disk, folder, lsn, payload)
            state.apply(record)
            kernels.see(state, record)
            if isinstance(record, r.Unsent):
                self._last_lsn = max(self._last_lsn, record.permit_lsn)

        journal, found = open_journal(disk, folder, schema=r.SCHEMA, incarnation=bytes.fromhex(nonce), options=SIZES, consume=fold)
        keeper = Keeper(state, journal)
        permits = Permits(keeper, disk, self._config.counterfactual, self._accounts, now, self._last_lsn)
        try:
            keeper.attach(asyncio.get_running_loop())
            lsn = life.begin(keeper, self._life(nonce), self._accounts, kernels, disk_error=found.disk_error, now=now())
            await keeper.durable(lsn)
            if found.disk_error:
                journal.disk_error_settled()
            sheet = self._sheet
            actor = f"{_user()}, by watching it in shadow"
            await self._in_time(*(one.begin(keeper, actor, sheet.venues[one.account.venue].unmanaged_assets) for one in self._observers))
            self._stands = [one.standing() for one in self._observers]
            self._tell(keeper, permits)
            _say({"journal": str(folder), "accounts": self._stands})
            await self._work(keeper, permits, stop)
            while permits.take():
                pass
            return EXIT_DONE
        finally:
            self._tell(keeper, permits)
            permits.close()
            journal.close()

    async def _work(self, keeper: Keeper, permits: Permits, stop: asyncio.Future[None]) -> None:
        """Every duty side by side, until told to stop. Raises what ends one of them."""
        loop = asyncio.get_running_loop()
        duties = [loop.create_task(work) for one in self._observers for work in (one.follow(), one.reconcile(), one.look_at_key())]
        duties.append(loop.create_task(self._read_along(keeper, permits)))
        try:
            await asyncio.wait({stop, *duties}, return_when=asyncio.FIRST_COMPLETED)
            for done in duties:
                if done.done():
                    done.result()
        finally:
            for task in duties:
                task.cancel()
            await asyncio.gather(*duties, return_exceptions=True)

    async def _read_along(self, keeper: Keeper, permits: Permits) -> None:
        told = 0.0
        while True:
            permits.take()
            if time.monotonic() - told >= STATUS_S:
                told = time.monotonic()
                self._stands = [one.standing() for one in self._observers]
                self._tell(keeper, permits)
            await asyncio.sleep(LOOK_S)

    def _tell(self, keeper: Keeper, permits: Permits) -> None:
        """Write down how things stand."""
        said = {
            "wall_ns": time.time_ns(),
            "endpoint": self._config.endpoint.value,
            "accounts": self._stands,
            "unsent": permits.unsent,
            "permit_lsn": permits.last_lsn,
            "latches": sorted({hold.name for hold in keeper.state.lattice.latches}),
            "ways_out": ways_out(sys.modules),
        }
        path = self._config.folder / STATUS_FILE
        part = path.with_name(path.name + ".part")
        part.write_bytes(msgspec.json.encode(said) + b"\n")
        part.replace(path)

    def _life(self, nonce: str) -> Life:
        return Life(
            incarnation=nonce,
            kernel_boot_id=kernel_boot_id(),
            host=platform.node(),
            user=_user(),
            endpoint=self._config.endpoint,
            build=build_hash(),
            config=self._config.config,
            strategy="",
            limits=sheet_hash(self._sheet),
            pid=os.getpid(),
        )


def _hold(folder: Path) -> int:
    """Be the only observer of a run's folder; a lock that a dead process left is none. Raises UsageError."""
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    descriptor = os.open(folder / "observer.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(f"{folder.parent}: another run has it; stop that one first, or take another folder") from error
    return descriptor


def _nonce() -> str:
    return secrets.token_hex(16)


def _user() -> str:
    return pwd.getpwuid(os.geteuid()).pw_name


def _end(stop: asyncio.Future[None]) -> None:
    if not stop.done():
        stop.set_result(None)


def _say(found: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv, os.environ))
