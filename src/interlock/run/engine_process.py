"""The engine as a process: told by one file what to run, it hears the market, decides, and proposes to the gate.

It is started with an environment of named variables, and refuses one with anything in it that could be a key: it has no use for one.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.clock import SystemClock
from interlock.domain.errors import InterlockError, UsageError
from interlock.engine.engine import Engine
from interlock.engine.gate_line import GateLine
from interlock.engine.inputs import VERSION, Header, InputLog
from interlock.engine.lines import hot_lines
from interlock.engine.warm import Warmed, warm_up
from interlock.gate.account_lock import LOCK_FOLDER
from interlock.market.compiled import source_digest
from interlock.run.build import strategy_digest
from interlock.run.config import load_config
from interlock.run.event_loop import Collector, QuietSelector, quiet_loop
from interlock.run.keyless import require_no_keys
from interlock.run.listed import listed_instruments
from interlock.run.live_plan import LivePlan, live_plan, wanted
from interlock.run.log_lines import Log
from interlock.run.spinning import cores, take_right
from interlock.run.status_file import StatusFile
from interlock.venues.endpoint import Where
from interlock.venues.hosts import Hosts, hosts_of, hosts_on_loopback
from interlock.venues.http_reader import HttpReader
from interlock.venues.socket import connect_picows

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130
NS_PER_US: Final = 1_000
STATUS_EVERY_S: Final = 1.0
STATUS_FILE: Final = "engine.json"


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process is told. `intent` is the gate's socket; `places` the first line of `interlock venues serve`, for loopback.

    `spin`: it never sleeps while it waits, which takes a core (`live.spin` of the run's configuration); the right to is a lock in `lock_folder`.
    """

    config: Path
    out: Path
    where: Where
    strategy: str
    intent: Path | None
    places: dict[str, Any] | None = None
    spin: bool = False
    lock_folder: Path = LOCK_FOLDER


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine stands, written to `engine.json` every second for whoever looks; times in nanoseconds of the engine's now."""

    now_ns: int
    started_ns: int
    decisions: int
    counts: dict[str, int]
    feeds: list[dict[str, Any]]
    books: list[dict[str, Any]]
    """`book_ns` is when a book changed last; 0 for one that was never seen."""
    edge: dict[str, Any] | None
    """What the last fills have earned (`interlock.engine.edge`); null where the configuration asks for none."""
    open_orders: int
    gate: bool
    gate_connections: int
    warmed: dict[str, int]
    """What was decided of a made-up market before anything was heard."""
    warmed_ns: int
    collector: dict[str, Any]
    spins: bool
    unwritten: dict[str, Any]
    """How often this could not be written before, and why the last time: a full disk ends no engine."""
    ended: str = ""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run an engine until SIGTERM or Ctrl-C; the exit code."""
    try:
        require_no_keys(environ, "the engine, which signs nothing,")
        config = msgspec.json.decode(Path(argv[1]).read_bytes(), type=EngineConfig, dec_hook=_path)
        return run_engine(config)
    except (InterlockError, OSError, msgspec.ValidationError) as error:
        sys.stderr.write(f"engine: {error}\n")
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


def run_engine(config: EngineConfig) -> int:
    """Run it in an event loop of its own; the exit code. Raises UsageError where it is to spin and may not."""
    right = take_right(cores(), config.lock_folder) if config.spin else None
    collector = Collector()
    try:
        with asyncio.Runner(loop_factory=lambda: quiet_loop(QuietSelector(collector, spin=config.spin))) as runner:
            return runner.run(_run(config, collector))
    finally:
        if right is not None:
            right.release()


def _path(kind: type[Any], value: Any) -> Any:
    return kind(value)


async def _run(config: EngineConfig, collector: Collector) -> int:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()
    for number, code in ((signal.SIGTERM, EXIT_DONE), (signal.SIGINT, EXIT_INTERRUPTED)):
        loop.add_signal_handler(number, _end, stop, code)
    clock = SystemClock()
    parsed = load_config(config.config)
    hosts = {venue: _hosts(config, venue) for venue in wanted(parsed, config.config)}
    plan = await _plan(config, hosts, clock)
    lines = hot_lines(plan.instruments)
    log_lines = Log("engine")
    warmed = warm_up(plan.instruments, plan.settings, plan.strategy, config.strategy, hosts, clock.now_ns())
    warmed_ns = clock.now_ns()
    log_lines(f"warmed up: {warmed.decisions} decisions, {warmed.placed} orders, {warmed.rejected} frames refused")
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    epoch_ns = clock.now_ns()
    log = InputLog(
        config.out / f"inputs-{epoch_ns}.log",
        Header(
            version=VERSION,
            epoch_ns=epoch_ns,
            boot_offset_ns=epoch_ns - boot_ns,
            sequence_base=boot_ns // NS_PER_US,
            strategy=config.strategy,
            config=parsed.digest,
            source=source_digest(),
            instruments=plan.instruments,
            state=(0.0,) * max(plan.strategy.state_size, 1),
        ),
    )
    line: GateLine | None = None
    engines: list[Engine] = []
    if config.intent is not None:
        line = GateLine(
            config.intent,
            on_followed=lambda told, body: engines[0].on_followed(told, body),
            on_decided=lambda numbers, decided: engines[0].on_decided(numbers, decided),
            on_lost=lambda why, under_way: engines[0].on_lost(why, under_way),
            strategy=strategy_digest(parsed.digest),
        )
    engine = Engine(
        plan.instruments,
        plan.settings,
        plan.strategy,
        config.strategy,
        lines,
        hosts,
        line,
        log,
        clock=clock,
        boot_ns=lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        epoch_ns=epoch_ns,
        boot_offset_ns=epoch_ns - boot_ns,
        sequence_base=boot_ns // NS_PER_US,
        connect=connect_picows,
        chance=random.random,
        say=log_lines,
        edge=plan.edge,
    )
    engines.append(engine)
    status = StatusFile(config.out / STATUS_FILE)
    stands = Stands(engine, plan, line, epoch_ns, warmed, warmed_ns, collector, status, spins=config.spin)
    with collector.on_duty():
        work = loop.create_task(engine.run())
        try:
            while not stop.done() and not work.done():
                status.put(stands.told())
                await asyncio.wait((stop, work), timeout=STATUS_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                collector.overdue()
            if work.done():
                work.result()
            return stop.result()
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            log.close()
            status.close(stands.told(ended="stopped" if stop.done() else "failed"))
            log_lines.flush()


def _end(stop: asyncio.Future[int], code: int) -> None:
    if not stop.done():
        stop.set_result(code)


def _hosts(config: EngineConfig, venue: str) -> Hosts:
    if config.where is Where.LOOPBACK:
        if config.places is None:
            raise UsageError("places: expected where the simulated venues are, found nothing")
        return hosts_on_loopback(venue, config.places)
    return hosts_of(venue, config.where)


async def _plan(config: EngineConfig, hosts: Mapping[str, Hosts], clock: SystemClock) -> LivePlan:
    parsed = load_config(config.config)
    found = []
    for venue, symbols in wanted(parsed, config.config).items():
        reader = HttpReader(hosts[venue].public_rest)
        try:
            found += list((await listed_instruments(reader, venue, symbols, clock)).values())
        finally:
            reader.close()
    return live_plan(parsed, config.config, found)


@dataclass(frozen=True)
class Stands:
    """Looks at an engine, and tells how it stands."""

    engine: Engine
    plan: LivePlan
    line: GateLine | None
    epoch_ns: int
    warmed: Warmed
    warmed_ns: int
    collector: Collector
    file: StatusFile
    spins: bool

    def told(self, ended: str = "") -> bytes:
        """The content of the status file."""
        engine, side, line = self.engine, self.engine.core.side, self.line
        status = EngineStatus(
            now_ns=engine.now_ns(),
            started_ns=self.epoch_ns,
            decisions=side.decisions,
            counts=dict(engine.counts),
            feeds=[
                {
                    "connections": feed.counts.connections,
                    "frames": sum(feed.counts.taken.values()),
                    "rejected": dict(feed.counts.rejected),
                    "ends": dict(feed.counts.ends),
                }
                for feed in engine.feeds
            ],
            books=[
                {
                    "venue": one.venue,
                    "symbol": one.symbol,
                    "bid_ticks": side.top(k)[0],
                    "ask_ticks": side.top(k)[1],
                    "book_ns": side.book_ns(k),
                    "position_lots": side.position_lots(k),
                    "bars": [bar.value for bar in side.bars(k)],
                }
                for k, one in enumerate(self.plan.instruments)
            ],
            edge=self._edge(),
            open_orders=side.open_orders,
            gate=line is not None and line.there,
            gate_connections=0 if line is None else line.connections,
            warmed=asdict(self.warmed),
            warmed_ns=self.warmed_ns,
            collector=self.collector.told(),
            spins=self.spins,
            unwritten={"times": self.file.unwritten, "last": self.file.trouble},
            ended=ended,
        )
        return msgspec.json.encode(status)

    def _edge(self) -> dict[str, Any] | None:
        fold, line = self.engine.core.edge, self.line
        return None if fold is None else {**fold.report(), "refused": "" if line is None else line.edge_refused}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv, os.environ))
