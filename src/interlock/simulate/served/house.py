"""All simulated venues of one process: builds them, opens their doors, lets time pass, closes them.

Every venue has two addresses: a public one (REST without keys, the public stream) and one for orders (all of REST, the private stream, order entry).
"""

from __future__ import annotations

import asyncio
import ssl
import string
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from aiohttp import web

from interlock.domain.clock import Clock
from interlock.market.tape import Tape
from interlock.simulate.served.accounts import Account, MarginAccount, SpotAccount
from interlock.simulate.served.control import Control
from interlock.simulate.served.drive import Drive, drives, symbols
from interlock.simulate.served.face import Face, Parts
from interlock.simulate.served.faults import FaultPlan, FaultSpec
from interlock.simulate.served.front import Door
from interlock.simulate.served.history import ENDED_KEPT
from interlock.simulate.served.hub import Hub
from interlock.simulate.served.keys import KeyRing, SimKey
from interlock.simulate.served.listing import OPENING, RULES, instruments_of
from interlock.simulate.served.market import STEP_S, Fundamentals, SeededMarket
from interlock.simulate.served.rates import Rates
from interlock.simulate.served.venue import SimVenue
from interlock.simulate.served.witness import Witness
from interlock.simulate.served.world import settle_funding

VENUES: Final = ("upbit", "binance_usdm", "bybit")
FUNDING_EVERY_NS: Final = 8 * 3_600_000_000_000
HOST: Final = "127.0.0.1"
LONGEST_SOCKET_BYTES: Final = 100


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where a venue is reached: `public` and `orders` are host:port. The second key of the account may look and nothing else."""

    public: str
    orders: str
    access: str
    secret: str = field(repr=False)
    read_access: str
    read_secret: str = field(repr=False)


@dataclass(slots=True)
class _Post:
    """One venue with what drives and serves it."""

    face: Face
    drive: Drive
    doors: list[Door] = field(default_factory=list)
    runners: list[web.AppRunner] = field(default_factory=list)


FaceMaker = Callable[[Parts], Face]


def face_makers() -> Mapping[str, tuple[FaceMaker, Callable[[], Rates]]]:
    """Each venue's face and its rate limits."""
    from interlock.simulate.served import binance_usdm, bybit, upbit

    return {venue: (face.make, face.rates) for venue, face in (("upbit", upbit), ("binance_usdm", binance_usdm), ("bybit", bybit))}


class House:
    """The simulated venues. `folder` is private to them: sockets, and the authority with TLS. Times come from `clock`, chance from `seed`.

    `followed` are markets that are told what happens (`happen`), by venue. Without `paced` market time passes only by `step`, for who wants to
    know exactly what has happened. `ended_kept` orders of each venue that are over stay in memory, the older ones are on disk.
    """

    def __init__(
        self,
        folder: Path,
        clock: Clock,
        witness: Witness,
        *,
        seed: int = 1,
        tape: Tape | None = None,
        tls: ssl.SSLContext | None = None,
        paced: bool = True,
        makers: Mapping[str, tuple[FaceMaker, Callable[[], Rates]]] | None = None,
        followed: Mapping[str, Drive] | None = None,
        ended_kept: int = ENDED_KEPT,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._witness = witness
        self._tls = tls
        self._paced = paced
        self._random = np.random.default_rng([seed, *b"keys"])
        self._read_random = np.random.default_rng([seed, *b"read"])
        self._fundamentals = Fundamentals(seed)
        self._faults = FaultPlan()
        self._followed = followed or {}
        self._ended_kept = ended_kept
        self._posts = {name: self._build(name, maker, rates(), seed, tape) for name, (maker, rates) in (makers or face_makers()).items()}
        self.control = Control({name: post.face for name, post in self._posts.items()})
        self._control_runner: web.AppRunner | None = None
        self._elsewhere: tempfile.TemporaryDirectory[str] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done with the exception that ended the passing of time, if one ever does."""

    @property
    def faces(self) -> dict[str, Face]:
        """The faces by venue."""
        return {name: post.face for name, post in self._posts.items()}

    def _build(self, name: str, maker: FaceMaker, rates: Rates, seed: int, tape: Tape | None) -> _Post:
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, UTC)
        seeded = SeededMarket(instruments_of(name), self._fundamentals, seed, now.date())
        drive = self._followed.get(name) or drives(name, tape, seeded, round(STEP_S * 1e9))
        listed = symbols(drive.instruments)
        venue: SimVenue
        account: Account
        if name == "upbit":
            account = SpotAccount(OPENING[name])
        else:
            account = MarginAccount("USDT", OPENING[name], listed, lambda symbol: venue.markets[symbol].mark, RULES[name].position_max)
        venue = SimVenue(RULES[name], drive.instruments, drive.around(), account, self._clock, ended_kept=self._ended_kept)
        for market in venue.markets.values():
            market.next_funding_ns = (venue.now_ns() // FUNDING_EVERY_NS + 1) * FUNDING_EVERY_NS
        made_ns = self._clock.now_ns()
        reading = SimKey(access=_text(self._read_random, 40), secret=_text(self._read_random, 64), trade=False, created_ns=made_ns)
        keys = KeyRing([SimKey(access=_text(self._random, 40), secret=_text(self._random, 64), created_ns=made_ns), reading])
        parts = Parts(
            venue=venue,
            keys=keys,
            rates=rates,
            faults=self._faults,
            witness=self._witness,
            clock=self._clock,
            public=Hub(self._steady_ms),
            private=Hub(self._steady_ms),
            later=_later,
        )
        if isinstance(drive, SeededMarket):
            parts.dislocate = drive.dislocate
        face = maker(parts)
        venue.step(drive.first())
        # Compiles what takes requests, so that the first client's first order does not wait for it: there is nothing to cancel.
        venue.floor.cancel(0, venue.now_ns())
        return _Post(face, drive)

    async def open(self) -> dict[str, Addresses]:
        """Open every door and let time begin."""
        found = {}
        for name, post in self._posts.items():
            public, orders = web.Application(client_max_size=1 << 20), web.Application(client_max_size=1 << 20)
            post.face.routes_public(public)
            post.face.routes_orders(orders)
            ports = [await self._open(post, name, kind, app) for kind, app in (("public", public), ("orders", orders))]
            key, reading = post.face.parts.keys.all()[:2]
            found[name] = Addresses(
                public=f"{HOST}:{ports[0]}",
                orders=f"{HOST}:{ports[1]}",
                access=key.access,
                secret=key.secret,
                read_access=reading.access,
                read_secret=reading.secret,
            )
        if self._paced:
            self._ticking = asyncio.create_task(self._tick())
        return found

    async def open_control(self) -> str:
        """Open the control port; returns host:port."""
        app = web.Application()
        self.control.routes(app)
        self._control_runner = web.AppRunner(app, access_log=None)
        await self._control_runner.setup()
        site = web.TCPSite(self._control_runner, HOST, 0)
        await site.start()
        return f"{HOST}:{self._control_runner.addresses[0][1]}"

    async def close(self) -> None:
        """Let time end and close every door."""
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        for post in self._posts.values():
            for door in post.doors:
                await door.close()
            for runner in post.runners:
                await runner.cleanup()
        if self._control_runner is not None:
            await self._control_runner.cleanup()
        for post in self._posts.values():
            post.face.venue.close()
        if self._elsewhere is not None:
            self._elsewhere.cleanup()

    def strike(self, specs: list[FaultSpec]) -> list[bool]:
        """Let faults wait or happen, as the control port does."""
        return self.control.apply(specs)

    async def _open(self, post: _Post, name: str, kind: str, app: web.Application) -> int:
        inner = self._folder / f"{name}-{kind}.sock"
        if len(str(inner).encode()) > LONGEST_SOCKET_BYTES:
            # The kernel takes no longer name of a socket; where somebody wants files is another matter.
            self._elsewhere = self._elsewhere or tempfile.TemporaryDirectory(prefix="interlock-venues-")
            inner = Path(self._elsewhere.name) / inner.name
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, max_line_size=1 << 16, max_field_size=1 << 16)
        await runner.setup()
        await web.UnixSite(runner, str(inner)).start()
        post.runners.append(runner)
        door = Door(f"{name}-{kind}", inner, lambda connection, way, data: self._witness.raw(name, connection, way, data), self._tls)
        post.doors.append(door)
        post.face.parts.doors.append(door)
        return await door.open(HOST)

    async def _tick(self) -> None:
        try:
            loop = asyncio.get_running_loop()
            due = loop.time()
            while True:
                due = max(due + STEP_S, loop.time())
                await asyncio.sleep(due - loop.time())
                self.step()
        except Exception as error:
            self.failure.set_exception(error)
            raise

    def step(self) -> None:
        """Let STEP_S of market time happen at once."""
        self._fundamentals.step(STEP_S)
        for post in self._posts.values():
            steps = post.face.venue.step(post.drive.step())
            post.face.on_market(steps)
            self._settle(post.face.venue)
            post.face.tick()

    def happen(self, name: str, rows: np.ndarray) -> None:
        """Let market rows happen at a venue now, whatever drives it."""
        face = self._posts[name].face
        face.on_market(face.venue.step(rows))

    def _settle(self, venue: SimVenue) -> None:
        for symbol, market in venue.markets.items():
            if venue.now_ns() >= market.next_funding_ns:
                market.next_funding_ns += FUNDING_EVERY_NS
                settle_funding(venue, symbol, market.funding_rate)

    def _steady_ms(self) -> int:
        return self._clock.monotonic_ns() // 1_000_000


def _text(random: np.random.Generator, length: int) -> str:
    signs = string.ascii_letters + string.digits
    return "".join(signs[at] for at in random.integers(len(signs), size=length))


def _later(ms: int, action: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(ms / 1000, action)
