"""Every way on which interlock comes to a venue, as whoever uses it opens it: to the host that it is for, and to nobody who stands in its place."""

from __future__ import annotations

import asyncio
import json
import random
import re
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from tests.venues.contract.fronts import Front, Papers, is_upgrade, make_papers, proxies, redirect
from tests.venues.contract.market import Market
from tests.venues.contract.place import WINDOW_MS, Place
from tests.venues.contract.traits import VENUES
from tests.venues.contract.wired import Lines, WiredPlace, intent, opened_by

import interlock
from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import Refused, UsageError
from interlock.domain.orders import Side
from interlock.gate import records as r
from interlock.gate.readings import Now
from interlock.gate.venue_live import LiveAccess
from interlock.gate.venue_live_prices import LivePrices
from interlock.gate.venue_live_stream import LiveStream
from interlock.gate.venue_reads import ReadFailed
from interlock.gate.venue_socket_wire import VENUES as WITH_SOCKET
from interlock.run.following_venue import Followed, FollowedVenue
from interlock.run.gate_config import VenuePart
from interlock.run.gate_places import facts_of
from interlock.run.record import RecordConfig, record
from interlock.venues.cancel_only import VenueTrouble
from interlock.venues.cancel_only_at import cancel_only_on_loopback
from interlock.venues.endpoint import Endpoint, Where, pin_of
from interlock.venues.hosts import Hosts, hosts_on_loopback
from interlock.venues.http_cancel_only import HttpCancelOnly
from interlock.venues.socket import OnEnd, OnFrame, Socket, SocketBroken, connect_picows

REDIRECTS = (302, 307, 308)
PATIENCE_S = 5
ADDRESSES = {"rest": "rest", "wallet": "rest", "public": "ws_public", "private": "ws_private", "trade": "ws_trade"}


class Broken(Exception):
    """No connection came about, as whoever wanted it tells it."""


@dataclass(frozen=True, slots=True)
class There:
    """A venue as a client is told of it: `hosts`, or `places` as `interlock venues serve` says it."""

    place: WiredPlace
    hosts: Hosts
    places: dict[str, Any]

    @property
    def venue(self) -> str:
        return self.place.traits.venue

    def access(self) -> LiveAccess:
        place = self.place
        return LiveAccess(
            self.venue,
            "main",
            place.reads,
            self.hosts,
            place.key,
            lambda: Now(time.monotonic_ns(), place.sim.now_ms() * NS_PER_MS),
            lambda: place.stamp().nonce,
            timeout_ns=PATIENCE_S * NS_PER_S,
            receive_window_ns=WINDOW_MS * NS_PER_MS,
        )

    async def while_runs(self, doing: Coroutine[Any, Any, object], happened: Callable[[], object]) -> None:
        """Let something run until something has happened, or it ended. Raises what it raised."""
        task = asyncio.ensure_future(doing)
        try:
            await self.place.until(lambda: task.done() or happened())
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


# The ways


async def signed_reads(there: There) -> None:
    with closing(there.access()) as access:
        await access.hold(access.reads.balances())


async def public_reads(there: There) -> None:
    with closing(there.access()) as access:
        await access.hold(access.reads.top(there.place.symbol))


async def reads_of_the_key(there: There) -> None:
    with closing(there.access()) as access:
        await access.hold(access.reads.key(access.key.access))


async def private_stream(there: There) -> None:
    told: list[str] = []
    with closing(there.access()) as access:
        stream = LiveStream(access, there.place.traits.feed(access.reads.instruments), silence_ns=60 * NS_PER_S)
        await there.while_runs(stream.run(lambda _: None, told.append), lambda: told)
    if told[0] != "connected":
        raise Broken(told[0])


async def prices(there: There) -> None:
    symbol, no = there.place.symbol, "not connected"
    with closing(there.access()) as access:
        made = LivePrices(access, (symbol,), listed=lambda _: True, ask_every_ns=NS_PER_S, chance=lambda: 0.0)
        said = [""]

        def looked() -> bool:
            said[0] = getattr(made.quote(symbol), "reason", "")
            return said[0] != no

        await there.while_runs(made.run(), looked)
    if said[0].startswith(no):
        raise Broken(said[0])


async def orders(there: There) -> None:
    with Lines(there.place) as lines:
        order = intent(there.place, there.place.wanted(Side.BUY))
        said = await lines.write(order)
    if not isinstance(said, r.Answered):
        raise Broken(said if isinstance(said, str) else str(getattr(said, "reason", said)))
    assert there.place.copies(order.client_id) == 1


def sentinel(ask: Callable[[HttpCancelOnly], object]) -> Callable[[There], Awaitable[None]]:
    async def way(there: There) -> None:
        place = there.place
        client = cancel_only_on_loopback(there.venue, there.places, (place.symbol,), PATIENCE_S * NS_PER_S, place.stamp)()
        with closing(client):
            await asyncio.to_thread(ask, client)

    return way


async def facts_at_the_start(there: There) -> None:
    path = there.place.folder / "places.json"
    path.write_text(json.dumps(there.places), encoding="utf-8")
    part = VenuePart(
        venue=there.venue, account="main", endpoint=r.Endpoint.LOOPBACK, symbols=(there.place.symbol,), dead_man=False, places=path
    )
    assert await asyncio.to_thread(facts_of, [part])


async def books(there: There) -> None:
    feed = Market(there.place, (there.place.symbol,)).feeds[0]
    await there.while_runs(feed.run(), lambda: feed.counts.connections or feed.counts.ends)
    if feed.counts.ends:
        raise Broken(*feed.counts.ends)


class Dialled:
    """`connect_picows`, and what came of each connection."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def connect(self, endpoint: Endpoint, path: str, headers: Sequence[tuple[str, str]], on_frame: OnFrame, on_end: OnEnd) -> Socket:
        try:
            made = await connect_picows(endpoint, path, headers, on_frame, on_end)
        except SocketBroken as error:
            self.said.append(str(error))
            raise
        self.said.append("")
        return made

    def require(self) -> None:
        if self.said[0]:
            raise Broken(self.said[0])


async def recording(there: There) -> None:
    dialled, place = Dialled(), there.place
    with tempfile.TemporaryDirectory(dir=place.folder) as folder:
        config = RecordConfig(
            venue=there.venue, symbols=(place.symbol,), seconds=60, out=Path(folder), where=Where.LOOPBACK, places=there.places
        )
        await there.while_runs(record(config, place.clock, dialled.connect, random.random, lambda _: None), lambda: dialled.said)
    dialled.require()


async def following(there: There) -> None:
    dialled = Dialled()
    followed = FollowedVenue(there.venue, Followed(there.hosts, (there.place.symbol,)), there.place.clock, dialled.connect, random.random)
    try:
        await there.while_runs(followed.begin(), lambda: dialled.said)
    finally:
        await followed.close()
    dialled.require()


@dataclass(frozen=True, slots=True)
class Way:
    """`at`: which of the venue's addresses it goes to. `pinned`: whether it is one on which keys are pinned. `upgrades`: it is a WebSocket."""

    go: Callable[[There], Awaitable[None]]
    at: str
    pinned: bool = False
    upgrades: bool = False
    venues: tuple[str, ...] = tuple(VENUES)


WAYS = {
    "the gate's signed reads": Way(signed_reads, "rest", pinned=True),
    "the gate's public reads": Way(public_reads, "rest", pinned=True),
    "what a key may do, of the wallet's host": Way(reads_of_the_key, "wallet", pinned=True, venues=("binance_usdm",)),
    "the private stream": Way(private_stream, "private", pinned=True, upgrades=True),
    "the gate's prices": Way(prices, "public", pinned=True, upgrades=True),
    "orders as requests": Way(orders, "rest", pinned=True),
    "orders over a socket": Way(orders, "trade", pinned=True, upgrades=True, venues=tuple(sorted(WITH_SOCKET))),
    "the instruments at a gate's start": Way(facts_at_the_start, "rest"),
    "the sentinel's lists": Way(sentinel(lambda client: list(client.open_pages())), "rest"),
    "the sentinel's cancels": Way(sentinel(lambda client: client.cancel_everything()), "rest"),
    "the books of a feed": Way(books, "public", upgrades=True),
    "the instruments of a recording": Way(recording, "rest"),
    "the streams of a recording": Way(recording, "public", upgrades=True),
    "the instruments of who follows": Way(following, "public"),
    "the streams of who follows": Way(following, "public", upgrades=True),
}
REFUSALS = (Broken, ReadFailed, OSError, VenueTrouble, UsageError, Refused)
TRIED = [(venue, name) for venue in VENUES for name, way in WAYS.items() if venue in way.venues]
PINNED = [(venue, name) for venue, name in TRIED if WAYS[name].pinned]
every_way = pytest.mark.parametrize(("opened", "way"), TRIED, indirect=["opened"], ids=lambda one: one)


# What stands in the venue's place


@pytest.fixture(scope="module")
def places() -> Iterator[dict[str, WiredPlace]]:
    with ExitStack() as stack:
        yield {venue: stack.enter_context(opened_by(venue, tls=False, by_socket=False)) for venue in VENUES}


@pytest.fixture
def opened(places: dict[str, WiredPlace], request: pytest.FixtureRequest) -> Place:
    return places[request.param]


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Papers]:
    return make_papers(tmp_path_factory.mktemp("papers"))


@asynccontextmanager
async def told(
    place: WiredPlace, way: Way, front: Front, trusted: Path | None, pins: tuple[str, ...] = ()
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The way, as it goes where the venue's address is that of a front."""
    truly = place.hosts
    scheme = ("wss" if trusted else "ws") if way.upgrades else ("https" if trusted else "http")
    mine = {name: f"http://{getattr(truly, at).authority_host}" for at, name in ADDRESSES.items() if getattr(truly, at)}
    mine |= {ADDRESSES[way.at]: f"{scheme}://{front.address}", "key": place.key.access, "secret": place.key.secret}
    places = {place.traits.venue: mine} | ({"ca": str(trusted)} if trusted else {})
    fronted = replace(getattr(hosts_on_loopback(place.traits.venue, places), way.at), pins=pins)
    # The wallet's host is another one where there is one; on loopback alone one address plays both.
    place.hosts = replace(truly, **{way.at: fronted})
    place.by_socket = way.at == "trade"
    there = There(place, place.hosts, places)

    async def go() -> None:
        place.clock.advance(2 * NS_PER_S)  # what the venue takes how often is no matter here
        await way.go(there)

    try:
        yield go
    finally:
        place.hosts, place.by_socket = truly, False


def behind(place: WiredPlace, way: Way) -> int:
    """The port of the venue itself."""
    found: Endpoint = getattr(place.hosts, way.at)
    return found.port


def key_of(papers: Papers) -> str:
    """The pin of the key that is shown."""
    return pin_of(ssl.PEM_cert_to_DER_cert((papers.trusted.parent / "server.pem").read_text(encoding="utf-8")))


# What each way does


@every_way
async def test_it_goes_to_its_venue_and_asks_no_proxy_of_the_environment(
    place: WiredPlace, way: str, papers: dict[str, Papers], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, right = WAYS[way], papers["right"]
    async with proxies(monkeypatch) as proxy:
        for shown, trusted in ((right.shown, right.trusted), (None, None)):
            async with Front(behind(place, mine), tls=shown) as front:
                async with told(place, mine, front, trusted) as go:
                    await go()
                await front.left_alone()
                assert front.heard
        assert proxy.connections == 0


@every_way
async def test_a_certificate_that_is_not_the_venues_hears_nothing(place: WiredPlace, way: str, papers: dict[str, Papers]) -> None:
    mine, right = WAYS[way], papers["right"]
    for name, says in (("another authority", "certificate verify failed"), ("another host", "not valid for '127.0.0.1'")):
        wrong = papers[name]
        async with Front(behind(place, mine), tls=wrong.shown) as front:
            async with told(place, mine, front, wrong.trusted) as go:
                with pytest.raises(REFUSALS, match=says):
                    await go()
            await front.left_alone()
            assert front.heard == b""
    await goes(place, mine, right)


@pytest.mark.parametrize(("opened", "way"), PINNED, indirect=["opened"], ids=lambda one: one)
async def test_a_key_that_is_not_pinned_hears_nothing(place: WiredPlace, way: str, papers: dict[str, Papers]) -> None:
    mine, right, other = WAYS[way], papers["right"], "0" * 64
    async with Front(behind(place, mine), tls=right.shown) as front:
        async with told(place, mine, front, right.trusted, (other,)) as go:
            with pytest.raises(REFUSALS, match="expected a certificate with a key that is pinned"):
                await go()
        await front.left_alone()
        assert front.heard == b""
    await goes(place, mine, right, (other, key_of(right)))


@every_way
async def test_a_redirect_is_refused_by_name_and_not_followed(place: WiredPlace, way: str, papers: dict[str, Papers]) -> None:
    mine, right = WAYS[way], papers["right"]
    async with Front(behind(place, mine), tls=right.shown) as target:
        to = f"{'wss' if mine.upgrades else 'https'}://{target.address}"
        for status in REDIRECTS:
            answer = redirecting(status, to, upgrades=mine.upgrades)
            async with Front(behind(place, mine), tls=right.shown, answer=answer) as front:
                async with told(place, mine, front, right.trusted) as go:
                    with pytest.raises(REFUSALS, match=rf"found a redirect \({status}\) to '{to}.*, which is not followed"):
                        await go()
                await front.left_alone()
                assert front.answered
        assert target.connections == 0
        async with told(place, mine, target, right.trusted) as go:
            await go()
        assert target.connections


async def goes(place: WiredPlace, way: Way, papers: Papers, pins: tuple[str, ...] = ()) -> None:
    """The control: by the same way, where nothing is wrong."""
    async with Front(behind(place, way), tls=papers.shown) as front:
        async with told(place, way, front, papers.trusted, pins) as go:
            await go()
        await front.left_alone()
        assert front.heard


def redirecting(status: int, to: str, *, upgrades: bool) -> Callable[[bytes], bytes]:
    """Answers either what asks for a WebSocket, or what does not."""
    return lambda begun: redirect(status, to, begun) if is_upgrade(begun) is upgrades else b""


def test_whoever_heeds_redirects_and_the_environment_would_be_seen(papers: dict[str, Papers], monkeypatch: pytest.MonkeyPatch) -> None:
    right = papers["right"]
    ours = ssl.create_default_context(cafile=str(right.trusted))
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

    def asked(url: str) -> None:
        with suppress(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=PATIENCE_S, context=ours).close()

    async def story() -> None:
        async with Front(tls=right.shown, answer=lambda _: ok) as target:
            to = f"https://{target.address}"
            async with Front(tls=right.shown, answer=redirecting(307, to, upgrades=False)) as front:
                await asyncio.to_thread(asked, f"https://{front.address}/there")
                assert (target.connections, bytes(target.heard[:10])) == (1, b"GET /there")
            async with proxies(monkeypatch) as proxy:
                await asyncio.to_thread(asked, to)
                await asyncio.to_thread(asked, f"http://{target.address}")
                async with aiohttp.ClientSession(trust_env=True) as session:
                    for scheme in ("ws", "wss"):
                        with pytest.raises(aiohttp.ClientError):
                            await session.ws_connect(f"{scheme}://{target.address}")
                assert proxy.connections == 4
            assert target.connections == 1

    asyncio.run(story())


# That these are all of them

DIALLERS = re.compile(
    r"\b(HttpReader|BlockingHttp|connect_picows|connect_to|ws_connect|open_connection|create_connection|sock_connect|urlopen|build_opener"
    r"|ClientSession)\(|\b(connect_picows|connect_to|HTTPS?Connection)\b"
)
"""How somebody connects to a host: by our own four, or a library's."""
OUR_OWN = {"venues/http_reader.py", "venues/http_blocking.py", "venues/socket.py", "gate/connecting.py"}
WHO_DIALS = {
    "run/gate_kits.py": {"the gate's signed reads", "the gate's public reads", "what a key may do, of the wallet's host"},
    "gate/venue_live_prices.py": {"the gate's prices"},
    "gate/venue_live_stream.py": {"the private stream"},
    "run/gate_process.py": {"orders as requests", "orders over a socket"},
    "run/gate_places.py": {"the instruments at a gate's start"},
    "venues/http_cancel_only.py": {"the sentinel's lists", "the sentinel's cancels"},
    "run/record.py": {"the instruments of a recording"},
    "cli/record.py": {"the streams of a recording"},
    "run/following_venue.py": {"the instruments of who follows"},
    "run/venues_process.py": {"the streams of who follows"},
    # As who follows: the same instruments from the same address, and the same feeds.
    "run/engine_process.py": {"the instruments of who follows", "the books of a feed"},
    "engine/engine.py": {"the books of a feed"},
}
"""By module the ways that it opens."""
NO_VENUE = {
    "gate/venue_fake_line.py": "the fake venue, which speaks no protocol of any other and is on this host alone",
    "venues/fake/cancel_only.py": "the same, for the sentinel",
    "sentinel/pulse.py": "an address of the user's (tests/sentinel/test_drill_and_beats.py)",
    "run/control_port.py": "the simulators' control port (tests/run/test_control_port.py)",
}


def test_these_are_all_ways() -> None:
    root = Path(interlock.__file__).parent
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if DIALLERS.search(path.read_text(encoding="utf-8"))}
    assert {name for name in found if not name.startswith("simulate/")} == OUR_OWN | set(WHO_DIALS) | set(NO_VENUE)
    assert set().union(*WHO_DIALS.values()) == set(WAYS)
