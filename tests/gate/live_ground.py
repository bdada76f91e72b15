"""The simulators of the three venues as a process, what a test does to them by hand, and the gate's reads of them."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from tests.simulate.served.process import simulators

from interlock.domain.instruments import Instrument
from interlock.domain.orders import Side
from interlock.gate.readings import Now
from interlock.gate.venue_live import LiveAccess
from interlock.gate.venue_live_reads import LiveReads
from interlock.simulate.served.listing import instruments_of
from interlock.venues.binance_usdm.account import Account as BinanceAccount
from interlock.venues.binance_usdm.account_stream import AccountStream as BinanceStream
from interlock.venues.bybit.account import Account as BybitAccount
from interlock.venues.bybit.account_stream import AccountStream as BybitStream
from interlock.venues.hosts import hosts_on_loopback
from interlock.venues.port import AccountFeed, AccountReads
from interlock.venues.request import Key
from interlock.venues.upbit.account import Account as UpbitAccount
from interlock.venues.upbit.account_stream import AccountStream as UpbitStream

MS, S = 1_000_000, 1_000_000_000
VENUES = ("upbit", "binance_usdm", "bybit")
DERIVATIVES = ("binance_usdm", "bybit")
DAY = date(2026, 11, 21)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kinds:
    """What a test must know of a venue. `symbol` and `second` are instruments of the account, `other` is none of them but listed."""

    account: Callable[[Mapping[str, Instrument]], AccountReads]
    feed: Callable[[Mapping[str, Instrument]], AccountFeed]
    symbol: str
    second: str
    other: str
    settle: str
    price: str
    """Far below the market of `symbol`, where a buy rests."""


KINDS = {
    "upbit": Kinds(UpbitAccount, UpbitStream, "KRW-BTC", "KRW-ETH", "KRW-SOL", "KRW", "72000000"),
    "binance_usdm": Kinds(BinanceAccount, BinanceStream, "BTCUSDT", "ETHUSDT", "SOLUSDT", "USDT", "55000"),
    "bybit": Kinds(BybitAccount, BybitStream, "BTCUSDT", "ETHUSDT", "SOLUSDT", "USDT", "55000"),
}


def now() -> Now:
    return Now(time.clock_gettime_ns(time.CLOCK_BOOTTIME), time.time_ns())


def nonce() -> str:
    return str(uuid.uuid4())


class Ground:
    """The simulators while they run."""

    def __init__(self, where: dict[str, Any]) -> None:
        self.where = where
        self.numbers = 0
        self._amounts: dict[tuple[str, str], Decimal] = {}

    # By hand

    def happen(self, fault: str, venue: str, **more: Any) -> bool:
        """Let a fault wait or happen; whether it found something to act on."""
        told = self._ask("/faults", json.dumps({"fault": fault, "venue": venue, **more}).encode())
        happened: list[bool] = told["happened"]
        return happened[0]

    def calm(self) -> None:
        """Be honest from now on, with limits that are whole."""
        for what in ("faults", "limits"):
            urllib.request.urlopen(urllib.request.Request(f"{self.where['control']}/{what}", method="DELETE"), timeout=10).close()

    def state(self, venue: str) -> dict[str, Any]:
        """What is true."""
        found: dict[str, Any] = self._ask("/state")[venue]
        return found

    def count(self, fault: str) -> int:
        """How often a fault happened."""
        return int(self._ask("/faults").get(fault, 0))

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        try:
            with urllib.request.urlopen(urllib.request.Request(f"{self.where['control']}{path}", body), timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error

    # Orders that a test needs

    def name(self, venue: str) -> str:
        """A client id that was never used."""
        self.numbers += 1
        return f"live-{venue[:3]}-{self.numbers:05d}"

    def rest(self, venue: str, symbol: str = "", side: str = "buy") -> str:
        """An order that rests far from the market; its client id."""
        kinds, name = KINDS[venue], self.name(venue)
        symbol = symbol or kinds.symbol
        instrument = next(each for each in instruments_of(venue) if each.symbol == symbol)
        price = instrument.round_price(self.price(venue, symbol) * (Decimal("0.97") if side == "buy" else Decimal("1.03")), Side.BUY, DAY)
        self.happen(
            "foreign_order",
            venue,
            symbol=symbol,
            side=side,
            price=f"{instrument.price(price):f}",
            amount=f"{self.amount(venue, symbol):f}",
            client_id=name,
        )
        return name

    def take(self, venue: str, symbol: str = "", side: str = "buy") -> str:
        """A market order, which fills; its client id."""
        kinds, name = KINDS[venue], self.name(venue)
        symbol = symbol or kinds.symbol
        self.happen("foreign_order", venue, symbol=symbol, side=side, amount=f"{self.amount(venue, symbol):f}", client_id=name)
        return name

    def price(self, venue: str, symbol: str) -> Decimal:
        """About the price of a symbol."""
        path = "/v1/orderbook?markets=" if venue == "upbit" else "/fapi/v1/ticker/bookTicker?symbol="
        if venue == "bybit":
            path = "/v5/market/tickers?category=linear&symbol="
        with urllib.request.urlopen(f"{self.where[venue]['rest']}{path}{symbol}", timeout=10) as answer:
            told = json.loads(answer.read())
        if venue == "upbit":
            return Decimal(str(told[0]["orderbook_units"][0]["bid_price"]))
        return Decimal(told["bidPrice"] if venue == "binance_usdm" else told["result"]["list"][0]["bid1Price"])

    def amount(self, venue: str, symbol: str) -> Decimal:
        """A size of twenty times the least."""
        if (venue, symbol) not in self._amounts:
            instrument = next(each for each in instruments_of(venue) if each.symbol == symbol)
            worth = self.price(venue, symbol) * instrument.lot
            self._amounts[venue, symbol] = instrument.lot * max(instrument.min_lots * 20, int(instrument.min_notional * 20 / worth) + 1)
        return self._amounts[venue, symbol]

    # The gate's reads

    def access(self, venue: str, *, secret: str = "", timeout_ns: int = 5 * S, symbols: tuple[str, ...] = ()) -> LiveAccess:
        """One account's access."""
        place, kinds = self.where[venue], KINDS[venue]
        named = symbols or (kinds.symbol, kinds.second)
        instruments = {each.symbol: each for each in instruments_of(venue) if each.symbol in named}
        return LiveAccess(
            venue,
            "main",
            kinds.account(instruments),
            hosts_on_loopback(venue, self.where),
            Key(place["key"], secret or place["secret"]),
            now,
            nonce,
            timeout_ns=timeout_ns,
            receive_window_ns=5 * S,
        )

    def reads(self, venue: str, access: LiveAccess | None = None, **more: Any) -> LiveReads:
        """The gate's reads; from the beginning is from an hour ago."""
        options: dict[str, Any] = {"symbol_of": lambda _: None, "lists_ns": 30 * S, "begins_venue_ns": time.time_ns() - 3_600 * S}
        return LiveReads(access or self.access(venue), **(options | more))

    def reading(self, venue: str, use: Callable[[LiveReads], Awaitable[T]], **more: Any) -> T:
        """What comes of a use of the reads."""

        async def whole() -> T:
            reads = self.reads(venue, **more)
            try:
                return await use(reads)
            finally:
                reads.close()

        return asyncio.run(whole())


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    """The simulators as a process."""
    with simulators(folder) as where:
        yield Ground(where)
