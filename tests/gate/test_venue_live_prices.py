"""The gate's own prices from the public streams of the real venues, against their simulators: as the venue's, as old as they are, or none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from tests.gate.live_ground import DERIVATIVES, KINDS, MS, VENUES, Ground, S, ground, now

from interlock.gate.readings import Now
from interlock.gate.references import Quote, is_sound
from interlock.gate.venue_live import LiveAccess
from interlock.gate.venue_live_prices import MARK_GOOD_FOR_NS, QUIET_NS, STATUS_GOOD_FOR_NS, LivePrices
from interlock.gate.venue_live_reads import LiveReads
from interlock.venues.budget import Spend
from interlock.venues.endpoint import Endpoint
from interlock.venues.live import Stale
from interlock.venues.socket import OnEnd, OnFrame, Socket, SocketBroken, connect_picows

PATIENCE_S = 60
ASK_EVERY_NS = S
each_venue = pytest.mark.parametrize("venue", VENUES)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("prices")) as made:
        yield made


@pytest.fixture
def there(running: Ground) -> Iterator[Ground]:
    running.calm()
    yield running
    running.calm()


async def until(reached: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


@dataclass
class Following:
    """Prices that are followed, with reads beside them. `late_ns` is how far the gate's clock is set forward; `refuse`: no connection comes about."""

    there: Ground
    venue: str
    late_ns: int = 0
    refuse: bool = False
    listed: bool = True
    paths: list[str] = field(default_factory=list)
    access: LiveAccess = field(init=False)
    reads: LiveReads = field(init=False)
    prices: LivePrices = field(init=False)

    def __post_init__(self) -> None:
        self.access = self.there.access(self.venue)
        self.access.clock = self.now
        self.reads = self.there.reads(self.venue, self.access)
        self.prices = LivePrices(
            self.access,
            self.symbols,
            listed=lambda _: self.listed,
            ask_every_ns=ASK_EVERY_NS,
            chance=lambda: 0.0,
            connect=self._connect,
        )

    @property
    def symbols(self) -> tuple[str, str]:
        return KINDS[self.venue].symbol, KINDS[self.venue].second

    def now(self) -> Now:
        at = now()
        return Now(at.boot_ns + self.late_ns, at.wall_ns)

    def fresh(self, symbol: str = "") -> bool:
        return isinstance(self.prices.quote(symbol or self.symbols[0]), Quote)

    def quote(self) -> Quote:
        found = self.prices.quote(self.symbols[0])
        assert isinstance(found, Quote), found
        return found

    def stale(self) -> Stale:
        found = self.prices.quote(self.symbols[0])
        assert isinstance(found, Stale), found
        return found

    async def _connect(self, endpoint: Endpoint, path: str, headers: Sequence[tuple[str, str]], on_frame: OnFrame, on_end: OnEnd) -> Socket:
        if self.refuse:
            raise SocketBroken("nobody there")
        self.paths.append(path)
        return await connect_picows(endpoint, path, headers, on_frame, on_end)


@asynccontextmanager
async def following(there: Ground, venue: str) -> AsyncIterator[Following]:
    made = Following(there, venue)
    task = asyncio.get_running_loop().create_task(made.prices.run())
    try:
        await until(lambda: task.done() or all(map(made.fresh, made.symbols)))
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        made.access.close()


def story(there: Ground, venue: str, use: Callable[[Following], Awaitable[object]]) -> None:
    async def whole() -> None:
        async with following(there, venue) as found:
            await use(found)

    asyncio.run(whole())


@each_venue
def test_prices_are_those_that_the_venue_answers(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        for symbol in found.symbols:
            seen = []
            for _ in range(100):
                asked = await found.reads.quote(symbol)
                told = found.prices.quote(symbol)
                assert isinstance(told, Quote)
                assert is_sound(told)
                assert (told.venue, told.symbol) == (venue, symbol)
                assert found.now().boot_ns - told.boot_ns >= 0
                assert (told.mark_ticks > 0) is (venue in DERIVATIVES)
                seen.append((asked.bid_ticks, asked.ask_ticks) == (told.bid_ticks, told.ask_ticks))
                if sum(seen) >= 3:
                    break
                await asyncio.sleep(0.02)
            assert sum(seen) >= 3

    story(there, venue, use)


@each_venue
def test_price_limits_come_with_the_prices_where_the_venue_tells_them(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        symbol = found.symbols[0]
        with pytest.raises(KeyError):
            found.prices.limits("NONE")
        if venue != "bybit":
            assert found.prices.limits(symbol) is None
            return
        began_ns = found.now().boot_ns
        # They go on being told, around the mark.
        await until(lambda: (told := found.prices.limits(symbol)) is not None and told.boot_ns > began_ns)
        told = found.prices.limits(symbol)
        assert told is not None
        assert told.lowest_ask_ticks < found.quote().mark_ticks < told.highest_bid_ticks

    story(there, venue, use)


@each_venue
def test_prices_cost_nothing_of_the_limits_once_the_stream_has_begun(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        meter = found.access.meter
        before = meter.standing(found.now().boot_ns)
        changes: set[int] = set()
        while len(changes) < 10:
            changes.add(found.quote().boot_ns)
            await asyncio.sleep(0.01)
        after = meter.standing(found.now().boot_ns)
        assert all(after[name][0] <= before[name][0] for name in before)
        await found.reads.quote(found.symbols[0])
        assert any(meter.standing(found.now().boot_ns)[name][0] > after[name][0] for name in after)

    story(there, venue, use)


@each_venue
def test_without_a_connection_there_is_no_price_and_nobody_asks_for_one(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        found.refuse = True
        there.happen("drop_sockets", venue)
        await until(lambda: not found.fresh())
        assert not found.stale().quiet
        found.late_ns += 60 * S
        assert not found.prices.asks(found.symbols[0])
        found.refuse = False
        await until(lambda: found.fresh() or found.prices.asks(found.symbols[0]))

    story(there, venue, use)


def test_before_it_is_followed_there_is_no_price(there: Ground) -> None:
    found = Following(there, "bybit")
    assert found.stale() == Stale("not connected")
    assert not found.prices.asks(found.symbols[0])
    with pytest.raises(KeyError):
        found.prices.quote("SOLUSDT")
    found.access.close()


@each_venue
def test_a_book_that_is_quiet_is_asked_for_as_often_as_the_limits_bear(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        symbol = found.symbols[0]
        there.happen("stale_book", venue, symbol=symbol, ms=30_000)
        await until(lambda: not found.fresh())
        assert found.stale().quiet
        assert found.fresh(found.symbols[1])
        await until(lambda: found.prices.asks(symbol))
        assert not found.prices.asks(symbol)
        found.late_ns += ASK_EVERY_NS
        assert found.prices.asks(symbol)
        there.calm()
        await until(found.fresh)

    story(there, venue, use)


@pytest.mark.parametrize("venue", DERIVATIVES)
def test_a_price_without_a_mark_of_late_is_asked_for(there: Ground, venue: str) -> None:
    """What is heard from then on is heard later: only marks are as old as before."""

    async def use(found: Following) -> None:
        symbol = found.symbols[0]
        asked = await found.reads.quote(symbol)
        found.late_ns += MARK_GOOD_FOR_NS + QUIET_NS
        found.prices.take(asked)  # which is older than what was told, and changes nothing
        assert found.stale().quiet
        await until(lambda: found.prices.asks(symbol))
        found.prices.take(await found.reads.quote(symbol))
        await until(found.fresh)
        assert found.quote().mark_ticks > 0

    story(there, venue, use)


def test_whether_a_symbol_takes_orders_is_asked_of_bybit_every_second(there: Ground) -> None:
    async def use(found: Following) -> None:
        symbol = found.symbols[0]
        assert not found.quote().trading
        assert found.prices.asks(symbol)
        assert not found.prices.asks(symbol)
        found.prices.take(await found.reads.quote(symbol))
        assert found.quote().trading
        found.listed = False
        assert not found.quote().trading
        found.listed = True
        found.late_ns += S
        assert found.prices.asks(symbol)
        there.happen("halt", "bybit", symbol=symbol, ms=30_000)
        try:
            found.prices.take(await found.reads.quote(symbol))
            told = found.prices.quote(symbol)
            assert isinstance(told, Stale) or (told.trading, told.halted) == (False, True)
        finally:
            there.happen("halt", "bybit", symbol=symbol, ms=0)

    story(there, "bybit", use)


def test_what_bybit_answered_too_long_ago_says_no_more_that_a_symbol_trades(there: Ground) -> None:
    async def use(found: Following) -> None:
        symbol = found.symbols[0]
        found.prices.take(await found.reads.quote(symbol))
        assert found.quote().trading
        found.late_ns += STATUS_GOOD_FOR_NS + 100 * MS
        await until(found.fresh)
        # Nor does it say that it stands still.
        assert (found.quote().trading, found.quote().halted) == (False, False)

    story(there, "bybit", use)


@pytest.mark.parametrize("venue", ["upbit", "binance_usdm"])
def test_elsewhere_the_listings_say_whether_a_symbol_takes_orders(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        assert found.quote().trading
        assert not found.prices.asks(found.symbols[0])
        assert not found.quote().halted
        found.listed = False
        assert (found.quote().trading, found.quote().halted) == (False, True)

    story(there, venue, use)


def test_a_book_that_the_limits_do_not_let_be_asked_for_is_no_price(there: Ground) -> None:
    async def whole() -> None:
        found = Following(there, "binance_usdm")
        meter = found.access.meter
        meter.refused(Spend.READ, 4 * S, found.now().boot_ns)
        task = asyncio.get_running_loop().create_task(found.prices.run())
        try:
            await until(lambda: len(found.paths) == 2)
            await asyncio.sleep(1.5)
            assert found.stale() == Stale("no whole book since the last break")
            assert not found.prices.asks(found.symbols[0])
            await until(found.fresh)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            found.access.close()

    asyncio.run(whole())


@each_venue
def test_no_trades_are_asked_for(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        assert len(found.paths) == (2 if venue == "binance_usdm" else 1)
        assert "aggTrade" not in "".join(found.paths)

    story(there, venue, use)


@each_venue
def test_the_time_of_a_price_never_goes_back(there: Ground, venue: str) -> None:
    async def use(found: Following) -> None:
        times = []
        for _ in range(100):
            told = found.prices.quote(found.symbols[0])
            if isinstance(told, Quote):
                times.append(told.boot_ns)
            await asyncio.sleep(0.01)
        assert len(set(times)) > 3
        # The age of a price is counted a moment after the clock was read, and a busy machine may make that moment long.
        assert all(later >= earlier - 100 * MS for earlier, later in pairwise(times))

    story(there, venue, use)
