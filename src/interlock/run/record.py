"""`interlock record`: raw tapes of public feeds, as they came, in the shape that `interlock tape import` reads.

Each connection is a file of its own, `<venue>-<stream>-<number>.raw`, a line a frame with its receive time in front; what was answered over HTTP is
in `<venue>-requests-<number>.raw` beside it. A break in a book ends the connection, so that no file has a hole in it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.clock import NS_PER_S, Clock
from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.run.listed import listed_instruments
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.feed import Reason, Reject, Taken
from interlock.venues.hosts import Hosts, hosts_of, hosts_on_loopback
from interlock.venues.http_reader import HttpReader
from interlock.venues.live import LiveFeed
from interlock.venues.port import Heard
from interlock.venues.public_parts import Line, public_lines
from interlock.venues.request import Call, SignedCall
from interlock.venues.socket import Connect

STALE_NS = 10 * NS_PER_S
READ_S = 5.0
_BREAKS = frozenset((Reason.GAP, Reason.DUPLICATE, Reason.OUT_OF_ORDER, Reason.CROSSED, Reason.MALFORMED, Reason.OVERSIZED))


@dataclass(frozen=True, kw_only=True)
class RecordConfig:
    """What is recorded. `places` is the first line of `interlock venues serve`, for loopback only."""

    venue: str
    symbols: tuple[str, ...]
    seconds: float
    out: Path
    where: Where
    places: Mapping[str, Any] | None

    def hosts(self) -> Hosts:
        """The venue's endpoints. Raises UsageError where they cannot be told."""
        if self.where is not Where.LOOPBACK:
            return hosts_of(self.venue, self.where)
        if self.places is None:
            raise UsageError("--endpoint loopback: expected --venues with the first line of `interlock venues serve`, found none")
        return hosts_on_loopback(self.venue, self.places)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a recording came to, by stream: frames, connections, what was refused and why connections ended."""

    files: tuple[str, ...]
    streams: Mapping[str, Mapping[str, Any]]

    @property
    def frames(self) -> int:
        """All frames written."""
        return sum(int(one["frames"]) for one in self.streams.values())


class _Files:
    """The file that a stream is being written to; a new one with each connection."""

    def __init__(self, folder: Path, stem: str) -> None:
        self._folder = folder
        self._stem = stem
        self._file: FileIO | None = None
        self._number = 0
        self.names: list[str] = []
        self.lines = 0

    def write(self, number: int, line: bytes) -> None:
        if number != self._number or self._file is None:
            self.close()
            path = self._folder / f"{self._stem}-{number:03d}.raw"
            # Each line is one write: whoever kills the process tears none in two.
            self._file, self._number = path.open("xb", buffering=0), number
            self.names.append(path.name)
        self._file.write(line + b"\n")
        self.lines += 1

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


async def record(
    config: RecordConfig, clock: Clock, connect: Connect, chance: Callable[[], float], progress: Callable[[float], None]
) -> Recorded:
    """Record until the time is over or it is cancelled; what was written until then is whole. `progress` is told the seconds that passed.

    Raises UsageError for symbols that the venue does not list and an out folder that is not new or empty, Refused when the venue cannot be
    reached at the beginning.
    """
    hosts = config.hosts()
    config.out.mkdir(parents=True, exist_ok=True)
    if any(config.out.iterdir()):
        raise UsageError(f"{config.out}: expected a new or empty folder, found files; name another")
    reader = HttpReader(hosts.rest)
    try:
        listed = await listed_instruments(reader, config.venue, config.symbols, clock)
        (config.out / "instruments.json").write_bytes(msgspec.json.format(msgspec.json.encode(list(listed.values())), indent=2))
        return await _record(config, hosts, listed, reader, clock, connect, chance, progress)
    finally:
        reader.close()


async def _record(
    config: RecordConfig,
    hosts: Hosts,
    listed: Mapping[str, Instrument],
    reader: HttpReader,
    clock: Clock,
    connect: Connect,
    chance: Callable[[], float],
    progress: Callable[[float], None],
) -> Recorded:
    def resolve(symbol: str) -> Instrument:
        if symbol not in listed:
            raise ValueError(f"unknown symbol {symbol}")
        return listed[symbol]

    streams = [
        _Stream(line, config, hosts.public, reader, hosts.rest, clock, connect, chance)
        for line in public_lines(config.venue, config.symbols, resolve)
    ]
    tasks = [asyncio.create_task(stream.live.run()) for stream in streams]
    try:
        begun_ns = clock.monotonic_ns()
        while (passed_s := (clock.monotonic_ns() - begun_ns) / NS_PER_S) < config.seconds:
            progress(passed_s)
            done, _ = await asyncio.wait(tasks, timeout=min(0.5, config.seconds - passed_s), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for stream in streams:
            stream.close()
    names = [name for stream in streams for name in stream.names]
    return Recorded(tuple(names), {stream.name: stream.account() for stream in streams})


class _Stream:
    """One connection with its files."""

    def __init__(
        self,
        line: Line,
        config: RecordConfig,
        public: Endpoint,
        reader: HttpReader,
        rest: Endpoint,
        clock: Clock,
        connect: Connect,
        chance: Callable[[], float],
    ) -> None:
        self.name = line.name
        self._frames = _Files(config.out, f"{config.venue}-{line.name}")
        self._requests = _Files(config.out, f"{config.venue}-requests")
        self._reader = reader
        self._rest = rest
        self._clock = clock
        self._answering: dict[bytes, str] = {}
        self.live = LiveFeed(
            public,
            line.wire,
            line.feed,
            line.books,
            connect=connect,
            ask=self._ask,
            clock=clock,
            chance=chance,
            stale_ns=STALE_NS,
            on_frame=self._on_frame,
        )

    @property
    def names(self) -> list[str]:
        """The files written."""
        return [*self._frames.names, *self._requests.names]

    def account(self) -> dict[str, Any]:
        """What happened."""
        counts = self.live.counts
        return {
            "frames": self._frames.lines,
            "answers": self._requests.lines,
            "connections": counts.connections,
            "rejected": dict(counts.rejected),
            "ends": dict(counts.ends),
        }

    def close(self) -> None:
        """Make what was written durable."""
        self._frames.close()
        self._requests.close()

    def _ask(self, call: Call) -> asyncio.Future[Heard]:
        async def ask() -> Heard:
            heard = await self._reader.ask(SignedCall(call.method, call.path, call.query, (), call.body), READ_S)
            self._answering[heard.body] = f"https://{self._rest.authority_host}{call.path}?{call.query}"
            return heard

        return asyncio.ensure_future(ask())

    def _on_frame(self, frame: bytes, receive_ns: int, said: Taken | Reject) -> None:
        number = self.live.counts.connections
        url = self._answering.pop(frame, "")
        if url:
            seconds = f"{receive_ns // NS_PER_S}.{receive_ns % NS_PER_S:09d}"
            self._requests.write(number, f"{url} -> {seconds}: ".encode() + frame)
        elif b"\n" not in frame:
            self._frames.write(number, b"%019d " % receive_ns + frame)
        if isinstance(said, Reject) and said.reason in _BREAKS:
            self.live.connect_anew(f"{said.reason.value}: {said.detail}")
