"""One simulated venue on loopback and our own client of it: talks held, orders sent, faults struck, and what is true beside what was said.

The venue's clock stands still until it is told to move, so that nothing here depends on the machine's speed; whoever waits waits for what happens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import numpy as np
from tests.venues.contract.traits import Traits

from interlock.domain.clock import NS_PER_MS, NS_PER_S, ManualClock
from interlock.domain.instruments import Instrument
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.market.columns import ROW, RowKind
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.face import Face
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.house import House
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.orders import NewOrder, SimOrder
from interlock.simulate.served.tls import make_authority
from interlock.simulate.served.venue import SimVenue
from interlock.simulate.served.witness import Witness
from interlock.venues.hosts import Hosts, hosts_on_loopback
from interlock.venues.http_reader import HttpReader, ReadBroken
from interlock.venues.port import Accepted, AccountReads, Ask, Heard, OrderVerbs, OrderWanted, Stamp, Talk
from interlock.venues.request import Key
from interlock.venues.talking import Sign, Talker
from interlock.venues.trouble import Doing, Explained

T = TypeVar("T")

START_NS = 1_795_000_000 * NS_PER_S
PATIENCE_S = 60
WINDOW_MS = 5_000
PACE_NS = NS_PER_S // 4
WEIGHT_NS = 27 * NS_PER_MS
"""Of the venue's time before a request, at least the first and so much for each of its weight: a read with many pages reaches no limit, also beside
what streams ask for without a pace."""


def once(asked: Ask) -> Generator[Ask, Heard, Heard]:
    """A talk of one request that gives what was heard."""
    return (yield asked)


@dataclass(slots=True)
class Place:
    """A venue and its client. `lines` are the witness's; `links` counts client ids.

    `cursor` is of executions and from the beginning, `ledger_cursor` of the ledger and the newest.
    """

    traits: Traits
    folder: Path
    tls: bool = False
    clock: ManualClock = field(default_factory=lambda: ManualClock(START_NS))
    runner: asyncio.Runner = field(default_factory=asyncio.Runner)
    lines: list[dict[str, Any]] = field(default_factory=list)
    links: int = 0
    nonces: int = 0
    cursor: str = ""
    ledger_cursor: str = ""

    house: House = field(init=False)
    hosts: Hosts = field(init=False)
    key: Key = field(init=False)
    reads: AccountReads = field(init=False)
    verbs: OrderVerbs = field(init=False)
    readers: list[HttpReader] = field(default_factory=list)
    asking: Talker = field(init=False)
    acting: Talker = field(init=False)

    # Its life

    def open(self) -> None:
        self.run(self._open())

    def close(self) -> None:
        self.run(self._close())
        self.runner.close()

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(doing)

    async def _open(self) -> None:
        venue = self.traits.venue
        witness = Witness(self.clock, lambda line: self.lines.append(json.loads(line)), lambda _: None, lambda _: None)
        tls, authority = make_authority(self.folder, datetime.now(UTC)) if self.tls else (None, None)
        self.house = House(self.folder, self.clock, witness, makers={venue: self.traits.maker}, paced=False, tls=tls)
        there = (await self.house.open())[venue]
        http, ws = ("https", "wss") if self.tls else ("http", "ws")
        addresses = {"rest": f"{http}://{there.orders}", "ws_public": f"{ws}://{there.public}", "ws_private": f"{ws}://{there.orders}"}
        if self.traits.derivatives:
            addresses["ws_trade"] = f"{ws}://{there.orders}"
        self.hosts = hosts_on_loopback(venue, {venue: addresses} | ({"ca": str(authority)} if authority else {}))
        self.key = Key(there.access, there.secret)
        for key in self.face.parts.keys.all():
            key.sees_withdrawals = True
        self.reads = self.traits.account({})
        self.asking = self.talker(self.reads.sign)
        listed = {each.symbol: each for each in await self.ask(self.reads.listings())}
        self.reads, self.verbs = self.traits.account(listed), self.traits.trade(listed)
        self.asking, self.acting = self.talker(self.reads.sign), self.talker(self.verbs.sign)
        self.cursor = (await self.ask(self.reads.fills(""))).cursor

    async def _close(self) -> None:
        for reader in self.readers:
            reader.close()
        await self.house.close()

    def calm(self) -> None:
        """Nothing is wrong, nothing is open, nothing is held, every limit is whole again, and everybody has forgotten connections that broke."""
        face, venue = self.face, self.sim
        face.parts.faults.clear()
        face.parts.public.calm()
        face.parts.private.calm()
        face.parts.rates.ban(0, 0)
        venue.skew_ns = face.parts.closed_until_ms = 0
        venue.charges.clear()
        venue.cancel_all()
        for symbol, market in venue.markets.items():
            venue.set_trading(symbol, True)
            if isinstance(venue.account, MarginAccount) and (held := venue.account.positions[symbol].lots):
                venue.account.trade(market.instrument, -held, market.instrument.ticks(market.mark), Decimal(0))
                venue.floor.set_position(market.number, 0)
        self.clock.advance(65 * NS_PER_S)
        self._requote()
        self.lines.clear()

    def _requote(self) -> None:
        """Quote every level anew with a lot more, so that what tests before took is there again."""
        found = [
            (market.number, int(RowKind.DEPTH), side, ticks, lots + 1)
            for symbol, market in self.sim.markets.items()
            for side, levels in zip((1, -1), self.sim.levels(symbol, 100), strict=True)
            for ticks, lots in levels
        ]
        rows = np.zeros(len(found), ROW)
        rows["instrument"], rows["kind"], rows["side"], rows["ticks"], rows["lots"] = zip(*found, strict=True)
        self.face.on_market(self.sim.step(rows))

    # What is true

    @property
    def face(self) -> Face:
        return self.house.faces[self.traits.venue]

    @property
    def sim(self) -> SimVenue:
        return self.face.venue

    @property
    def symbol(self) -> str:
        return self.traits.symbols[0]

    def truth(self, client_id: str) -> SimOrder:
        """The order of a client id as it truly is."""
        found = self.sim.find(client_id=client_id)
        assert found is not None, f"{client_id}: expected an order, found none"
        return found

    def latest(self) -> SimOrder:
        """The order that was taken last, as it truly is."""
        found = self.sim.find(number=self.sim.history.taken)
        assert found is not None, "expected an order, found none"
        return found

    def copies(self, client_id: str, verb: str = "place") -> int:
        """How often a request that names the order reached the venue."""
        return sum(line["verb"].startswith(verb) and client_id in json.dumps([line["client_id"], line["children"]]) for line in self.lines)

    def add_key(self, **facts: Any) -> Key:
        """Another key of the account."""
        self.nonces += 1
        key = Key(f"key{self.nonces:037d}", f"secret{self.nonces:058d}")
        self.face.parts.keys.add(SimKey(access=key.access, secret=key.secret, created_ns=self.clock.now_ns(), **facts))
        return key

    # Time and faults

    async def step(self, count: int = 1) -> None:
        """Let market time pass, and what it sends be written."""
        for _ in range(count):
            self.clock.advance(NS_PER_S // 10)
            self.house.step()
            await asyncio.sleep(0)

    def strike(self, fault: Fault, **more: Any) -> bool:
        return self.house.strike([FaultSpec(fault=fault, venue=self.traits.venue, **more)])[0]

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until something has happened, however long it takes within reason."""
        async with asyncio.timeout(PATIENCE_S):
            while not happened():  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0.002)

    # Talking

    def stamp(self) -> Stamp:
        self.nonces += 1
        return Stamp(self.sim.now_ms(), str(UUID(int=self.nonces, version=4)), WINDOW_MS)

    def talker(self, sign: Sign, key: Key | None = None, skew_ms: int = 0) -> Talker:
        """One more connection; `skew_ms`: how far its clock is from the venue's."""

        def stamp() -> Stamp:
            right = self.stamp()
            return replace(right, timestamp_ms=right.timestamp_ms + skew_ms)

        reader = HttpReader(self.hosts.rest)
        self.readers.append(reader)
        return Talker(reader, sign, key or self.key, stamp, timeout_s=6 * PATIENCE_S)

    async def ask(self, talk: Talk[T], talker: Talker | None = None, *, between: Callable[[], object] = lambda: None) -> T:
        """Hold a talk of reads, at a pace that no limit minds; `between` is called before each request after the first."""
        return await (talker or self.asking).hold(self._paced(talk, between))

    def _paced(self, talk: Talk[T], between: Callable[[], object]) -> Talk[T]:
        try:
            asked = next(talk)
            while True:
                self.clock.advance(max(PACE_NS, asked.weight * WEIGHT_NS))
                asked = talk.send((yield asked))
                between()
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]

    async def heard(self, asked: Ask, talker: Talker | None = None) -> Heard:
        """What is heard of one request; status 0 where nothing is."""
        self.clock.advance(PACE_NS)
        try:
            return await (talker or self.acting).hold(once(asked))
        except ReadBroken:
            return Heard(0)

    async def do(self, asked: Ask, doing: Doing, talker: Talker | None = None) -> Accepted | Explained:
        """Send an order's request once, and what its answer says."""
        return self.verbs.answered(await self.heard(asked, talker), doing)

    async def accepted(self, asked: Ask, doing: Doing = Doing.PLACE) -> Accepted:
        """Send an order's request that is taken."""
        said = await self.do(asked, doing)
        assert isinstance(said, Accepted), said
        return said

    async def placed(self, order: OrderWanted) -> SimOrder:
        """Place an order that is taken, and how it truly stands."""
        said = await self.accepted(self.verbs.place(order))
        assert said.client_id == order.client_id
        return self.truth(order.client_id)

    # Orders

    def instrument(self, symbol: str = "") -> Instrument:
        """An instrument as the wire describes it."""
        return self.reads.instruments[symbol or self.symbol]

    def link(self) -> str:
        """A client id that was never used."""
        self.links += 1
        return f"contract-{self.traits.venue[:4]}-{self.links:05d}"

    def best(self, side: Side, symbol: str = "") -> Decimal:
        """The best price of a side of the book."""
        bids, asks = self.sim.levels(symbol or self.symbol, 1)
        return self.sim.markets[symbol or self.symbol].instrument.price((bids if side is Side.BUY else asks)[0][0])

    def sim_price(self, ticks: int, symbol: str = "") -> Decimal:
        """The price of ticks as the simulator counts them."""
        return self.sim.markets[symbol or self.symbol].instrument.price(ticks)

    def ticks(self, side: Side, share: str, symbol: str = "") -> int:
        """A price so many times the best of the side, on the side's own grid."""
        instrument = self.instrument(symbol)
        return instrument.round_price(self.best(side, symbol) * Decimal(share), side, self.sim.day)

    def lots(self, times: int = 4, symbol: str = "") -> int:
        """A size worth so many times the least, and never less than four of the least."""
        instrument = self.instrument(symbol)
        worth = instrument.notional(self.ticks(Side.BUY, "0.9", symbol), 1)
        return max(int(instrument.min_notional * times // worth) + 1, 4 * instrument.min_lots)

    def wanted(self, side: Side = Side.BUY, **instead: Any) -> OrderWanted:
        """An order that rests far from the market, with changes."""
        symbol = instead.pop("symbol", self.symbol)
        far = OrderWanted(
            instrument=self.instrument(symbol),
            client_id=self.link(),
            side=side,
            type=OrderType.LIMIT,
            tif=TimeInForce.GTC,
            ticks=self.ticks(side, "0.97" if side is Side.BUY else "1.03", symbol),
            lots=self.lots(symbol=symbol),
        )
        return replace(far, **instead)

    def taking(self, side: Side = Side.BUY, **instead: Any) -> OrderWanted:
        """An order whose price reaches into the other side of the book."""
        symbol = instead.get("symbol", self.symbol)
        price = self.ticks(side.opposite, "1.002" if side is Side.BUY else "0.998", symbol)
        return self.wanted(side, **{"ticks": price} | instead)

    def market(self, side: Side) -> OrderWanted:
        """A market order; a buy by its cost where the venue has no other."""
        order = self.wanted(side, type=OrderType.MARKET, tif=TimeInForce.IOC, ticks=0)
        if side is Side.BUY and self.traits.buys_by_cost:
            cost = (order.instrument.notional(self.ticks(Side.SELL, "1"), order.lots)).to_integral_value()
            return replace(order, lots=0, cost=cost)
        return order

    def rest_truly(self, count: int, symbol: str = "", **instead: Any) -> list[SimOrder]:
        """Orders that rest, placed without the wire."""
        found = []
        for _ in range(count):
            want = self.wanted(symbol=symbol or self.symbol, **instead)
            price, size = want.instrument.price(want.ticks), want.instrument.quantity(want.lots)
            self.clock.advance(NS_PER_MS)
            new = NewOrder(
                symbol=want.instrument.symbol,
                side=want.side,
                type=want.type,
                tif=want.tif,
                price=price,
                quantity=size,
                client_id=want.client_id,
            )
            found.append(self.sim.place(new))
        return found
