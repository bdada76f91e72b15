"""The engine as a process: told by one file what to run, it hears the market, decides, and proposes to the gate.

It is started with an environment of named variables, and refuses one with anything in it that could be a key: it has no use for one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.domain.clock import SystemClock
from interlock.domain.errors import InterlockError, UsageError
from interlock.engine.engine import Engine
from interlock.engine.gate_line import GateLine
from interlock.engine.inputs import VERSION, Header, InputLog
from interlock.engine.lines import hot_lines
from interlock.market.compiled import source_digest
from interlock.run.config import load_config
from interlock.run.keyless import require_no_keys
from interlock.run.listed import listed_instruments
from interlock.run.live_plan import LivePlan, live_plan, wanted
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


class EngineConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the process is told. `intent` is the gate's socket; `places` the first line of `interlock venues serve`, for loopback."""

    config: Path
    out: Path
    where: Where
    strategy: str
    intent: Path | None
    places: dict[str, Any] | None = None
    spin: bool = False


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine stands, written to `engine.json` every second for whoever looks; times in nanoseconds of the engine's now."""

    now_ns: int
    started_ns: int
    decisions: int
    counts: dict[str, int]
    feeds: list[dict[str, Any]]
    books: list[dict[str, Any]]
    open_orders: int
    gate: bool
    gate_connections: int
    ended: str = ""


def main(argv: list[str], environ: Mapping[str, str]) -> int:
    """Run an engine until SIGTERM or Ctrl-C; the exit code."""
    try:
        require_no_keys(environ, "the engine, which signs nothing,")
        config = msgspec.json.decode(Path(argv[1]).read_bytes(), type=EngineConfig, dec_hook=_path)
        return asyncio.run(_run(config))
    except (InterlockError, msgspec.ValidationError) as error:
        sys.stderr.write(f"engine: {error}\n")
        return EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED


def _path(kind: type[Any], value: Any) -> Any:
    return kind(value)


async def _run(config: EngineConfig) -> int:
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[int] = loop.create_future()
    for number, code in ((signal.SIGTERM, EXIT_DONE), (signal.SIGINT, EXIT_INTERRUPTED)):
        loop.add_signal_handler(number, _end, stop, code)
    clock = SystemClock()
    parsed = load_config(config.config)
    hosts = {venue: _hosts(config, venue) for venue in wanted(parsed, config.config)}
    plan = await _plan(config, hosts, clock)
    lines = hot_lines(plan.instruments)
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
        say=_say,
    )
    engines.append(engine)
    # What is here now stays; what comes is freed by counting. A collection in the middle of a decision costs milliseconds.
    gc.collect()
    gc.freeze()
    gc.disable()
    work = loop.create_task(engine.run())
    try:
        while not stop.done() and not work.done():
            _write_status(config.out, engine, plan, line, epoch_ns)
            await asyncio.wait((stop, work), timeout=STATUS_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
            gc.collect()
        if work.done():
            work.result()
        return stop.result()
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        log.close()
        _write_status(config.out, engine, plan, line, epoch_ns, ended="stopped" if stop.done() else "failed")


def _end(stop: asyncio.Future[int], code: int) -> None:
    if not stop.done():
        stop.set_result(code)


def _say(text: str) -> None:
    sys.stderr.write(f"engine: {text}\n")
    sys.stderr.flush()


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


def _write_status(out: Path, engine: Engine, plan: LivePlan, line: GateLine | None, epoch_ns: int, ended: str = "") -> None:
    side = engine.core.side
    status = EngineStatus(
        now_ns=engine.now_ns(),
        started_ns=epoch_ns,
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
                "position_lots": side.position_lots(k),
                "bars": [bar.value for bar in side.bars(k)],
            }
            for k, one in enumerate(plan.instruments)
        ],
        open_orders=side.open_orders,
        gate=line is not None and line.there,
        gate_connections=0 if line is None else line.connections,
        ended=ended,
    )
    part = out / "engine.json.part"
    part.write_bytes(msgspec.json.encode(status))
    os.replace(part, out / "engine.json")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv, os.environ))
