"""Orders that ended long ago leave the memory of a simulated venue, and whoever asks for them is told what he would have been told."""

from __future__ import annotations

import asyncio
import random
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from interlock.domain.clock import NS_PER_S, ManualClock
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.served.binance_usdm.params import Params as BinanceParams
from interlock.simulate.served.binance_usdm.reads import Reads as BinanceReads
from interlock.simulate.served.binance_usdm.verbs import Verbs
from interlock.simulate.served.binance_usdm.views import ORDER_IDS, TRADE_IDS
from interlock.simulate.served.binance_usdm.words import Wrong as BinanceWrong
from interlock.simulate.served.bybit.ask import Ask
from interlock.simulate.served.bybit.face import BybitFace
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.routes import ROUTES
from interlock.simulate.served.bybit.words import Failed
from interlock.simulate.served.control import truth_of
from interlock.simulate.served.face import Face
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.house import House, face_makers
from interlock.simulate.served.orders import EndReason, NewOrder, Origin, Refusal, Refused, SimOrder
from interlock.simulate.served.span import Orders, Span
from interlock.simulate.served.upbit.ids import Ids
from interlock.simulate.served.upbit.params import Params as UpbitParams
from interlock.simulate.served.upbit.reads import Reads as UpbitReads
from interlock.simulate.served.upbit.words import Wrong as UpbitWrong
from interlock.simulate.served.venue import SimVenue
from interlock.simulate.served.witness import Witness

START_NS = 1_790_000_000 * NS_PER_S
ALL = 1 << 40
VENUES = ("upbit", "binance_usdm", "bybit")
HOUR_NS, DAY_NS = 3600 * NS_PER_S, 86_400 * NS_PER_S
SYMBOLS = {
    "upbit": ("KRW-BTC", "KRW-ETH", "KRW-XRP"),
    "binance_usdm": ("BTCUSDT", "ETHUSDT", "XRPUSDT"),
    "bybit": ("BTCUSDT", "ETHUSDT", "XRPUSDT"),
}


@contextmanager
def opened(venue: str, *, ended_kept: int) -> Iterator[tuple[House, ManualClock]]:
    """One venue without its doors, whose time only a test lets pass."""
    with tempfile.TemporaryDirectory(prefix="ended-") as folder, asyncio.Runner() as runner:
        clock = ManualClock(START_NS)

        async def build() -> House:
            witness = Witness(clock, *(lambda _: None for _ in range(3)))
            return House(Path(folder), clock, witness, makers={venue: face_makers()[venue]}, paced=False, ended_kept=ended_kept)

        house = runner.run(build())
        yield house, clock
        runner.run(house.close())


class Trader:
    """Does to a venue what chance says: the same to every venue that is given the same chance."""

    def __init__(self, house: House, clock: ManualClock, seed: int, *, sets_clock_back: bool = False) -> None:
        self.house, self.clock = house, clock
        (self.face,) = house.faces.values()
        self.venue = self.face.venue
        self.chance = random.Random(seed)
        self.client_ids = 0
        self.heard: list[str] = []
        self.acts: list[Callable[[], object]] = [*[self.place] * 8, *[self.cancel] * 5, self.fill, self.fill, self.late_fill, self.again]
        self.acts += [self.strike, self.wait, self.house.step]
        if sets_clock_back:
            self.acts.append(self.set_clock)

    def act(self, times: int) -> None:
        for _ in range(times):
            # Now and then nothing passes between two events.
            self.clock.advance(self.chance.choice((0, 1, 900, 250_000_000)))
            try:
                self.chance.choice(self.acts)()
            except Refused as refused:
                self.heard.append(refused.refusal)

    def place(self, client_id: str = "") -> SimOrder:
        symbol, side = self.chance.choice(SYMBOLS[self.face.name]), self.chance.choice(list(Side))
        market, limit = self.venue.markets[symbol], self.chance.random() < 0.7
        instrument = market.instrument
        share = Decimal("0.97") if side is Side.BUY else Decimal("1.03")
        price = instrument.price(instrument.round_price(market.mark * share, side, self.venue.day))
        lots = max(instrument.min_lots, int(instrument.min_notional * 2 / (instrument.lot * market.mark)) + self.chance.randrange(1, 9))
        self.client_ids += 1
        return self.venue.place(
            NewOrder(
                symbol=symbol,
                side=side,
                type=OrderType.LIMIT if limit else OrderType.MARKET,
                tif=TimeInForce.GTC if limit else TimeInForce.IOC,
                price=price if limit else None,
                quantity=instrument.quantity(lots),
                client_id=client_id or (f"c{self.client_ids}" if self.chance.random() < 0.9 else ""),
                words={"timeInForce": "GTC"},
            )
        )

    def cancel(self) -> None:
        found = self.venue.open_orders()
        if len(found) > 4:
            self.venue.cancel(self.chance.choice(found), self.chance.choice((EndReason.USER, EndReason.DEAD_MAN)))

    def fill(self) -> None:
        if found := self.venue.open_orders():
            self.venue.fill(self.chance.choice(found), self.chance.randrange(1, 5))

    def late_fill(self) -> None:
        if self.venue.history.taken:
            order = self.venue.find(number=self.chance.randrange(1, self.venue.history.taken + 1))
            assert order is not None
            self.venue.fill(order, 1)

    def again(self) -> None:
        """An order under a client id that was used before, which not every venue takes."""
        if self.client_ids:
            self.place(f"c{self.chance.randrange(1, self.client_ids + 1)}")

    def strike(self) -> None:
        symbol = self.chance.choice(SYMBOLS[self.face.name])
        fault = self.chance.choice((Fault.REVERSE_FILL, Fault.DEPOSIT, Fault.FUNDING, Fault.LIQUIDATION, Fault.ADL))
        amount = self.chance.choice(("5", "-2", "0.5")) if fault is Fault.DEPOSIT else ""
        self.heard += map(str, self.house.strike([FaultSpec(fault=fault, symbol=symbol, amount=amount)]))

    def wait(self) -> None:
        self.clock.advance(self.chance.choice((NS_PER_S, HOUR_NS, HOUR_NS, DAY_NS // 2)))

    def set_clock(self) -> None:
        self.venue.skew_ns = -self.chance.choice((0, 1, NS_PER_S, 5 * HOUR_NS))


def told(face: Face, read: Callable[[], Any]) -> bytes:
    """An answer as bytes, a refusal too."""
    try:
        return msgspec.json.encode(read())
    except (Failed, BinanceWrong, UpbitWrong) as wrong:
        return repr(wrong).encode()


def bybit_pages(face: Face, path: str, lag_ns: int, **fields: str) -> list[Any]:
    assert isinstance(face, BybitFace)
    found, cursor = [], ""
    while True:
        asked = {"category": "linear", **fields} | ({"cursor": cursor} if cursor else {})
        result = ROUTES["GET", path].handler(face.desk, Ask(fields=asked, cutoff_ns=face.venue.now_ns() - lag_ns)).result
        found.append(result)
        cursor = str(result["nextPageCursor"])
        if not cursor:
            return found


def answers(face: Face, chance: random.Random) -> list[tuple[str, bytes]]:
    """What a venue tells of all that it ever did, to whoever asks in many ways; the same ways by the same chance."""
    venue = face.venue
    orders = [venue.find(number=chance.randrange(1, venue.history.taken + 1)) for _ in range(6)]
    times_ms = sorted(order.created_ns // 1_000_000 for order in orders if order is not None)
    lags_ms = (0, chance.choice((2_000, 7 * 3_600_000)))
    asked: list[tuple[str, Callable[[], Any]]] = [("truth", lambda: truth_of(face))]
    for lag_ms in lags_ms:
        ask = {"upbit": ask_upbit, "binance_usdm": ask_binance, "bybit": ask_bybit}[face.name]
        asked += [
            (f"{name} lag {lag_ms}", read) for name, read in ask(face, chance, lag_ms, [o for o in orders if o is not None], times_ms)
        ]
    return [(name, told(face, read)) for name, read in asked]


Asked = list[tuple[str, Callable[[], Any]]]


def ask_bybit(face: Face, chance: random.Random, lag_ms: int, orders: list[SimOrder], times_ms: list[int]) -> Asked:
    scopes = ({"settleCoin": "USDT"}, {"symbol": "ETHUSDT"}, {"baseCoin": "BTC"}, {"settleCoin": "USDC"})
    windows: list[dict[str, str]] = [{}, {"startTime": str(times_ms[1])}, {"startTime": str(times_ms[1]), "endTime": str(times_ms[3])}]
    windows += [{"endTime": str(times_ms[2])}, {"startTime": str(1 << 59)}]
    names = [{"orderId": id_of(Of.ORDER, order.number)} for order in orders]
    names += [{"orderLinkId": order.client_id} for order in orders if order.client_id]
    asked = []

    def add(path: str, **fields: str) -> None:
        asked.append((f"{path} {fields}", lambda: bybit_pages(face, path, lag_ms * 1_000_000, **fields)))

    for name in names:
        for path in ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/closed-pnl"):
            add(path, **name)
    for scope in scopes:
        for only in ("0", "1"):
            add("/v5/order/realtime", **scope, openOnly=only, limit="17")
        for window in windows:
            limit = {"limit": chance.choice(("9", "50"))}
            for path in ("/v5/order/history", "/v5/execution/list", "/v5/position/closed-pnl", "/v5/account/transaction-log"):
                add(path, **scope, **window, **limit)
    for window in windows:
        for status in ("Filled", "Cancelled", "New"):
            add("/v5/order/history", orderStatus=status, limit="7", **window)
        for kind in ("Trade", "Funding", "AdlTrade", "BustTrade", "Settle"):
            add("/v5/execution/list", execType=kind, limit="7", **window)
        for kind in ("TRADE", "SETTLEMENT", "TRANSFER_IN", "TRANSFER_OUT", "LIQUIDATION"):
            add("/v5/account/transaction-log", type=kind, limit="7", **window)
        add("/v5/account/transaction-log", currency="BTC", **window)
        add("/v5/account/transaction-log", baseCoin="ETH", limit="9", **window)
    add("/v5/position/list", settleCoin="USDT")
    return asked


def ask_binance(face: Face, chance: random.Random, lag_ms: int, orders: list[SimOrder], times_ms: list[int]) -> Asked:
    reads = BinanceReads(face, Verbs(face)).routes()
    begin, end = times_ms[1], times_ms[3]
    windows: list[dict[str, Any]] = [
        {},
        {"startTime": begin},
        {"startTime": begin, "endTime": end},
        {"endTime": end},
        {"startTime": 1 << 60},
    ]
    asked = []

    def add(path: str, **params: Any) -> None:
        def read() -> Any:
            face.lag_ms = lag_ms
            try:
                return reads["GET", f"/fapi/v1/{path}"].handler(BinanceParams({name: str(value) for name, value in params.items()}))
            finally:
                face.lag_ms = 0

        asked.append((f"{path} {params}", read))

    for order in orders:
        add("order", symbol=order.symbol, orderId=ORDER_IDS + order.number)
        add("order", symbol=order.symbol, origClientOrderId=order.client_id)
        add("openOrder", symbol=order.symbol, orderId=ORDER_IDS + order.number)
        for limit in (3, 1000):
            add("allOrders", symbol=order.symbol, orderId=ORDER_IDS + order.number, limit=limit)
            add("userTrades", symbol=order.symbol, orderId=ORDER_IDS + order.number, limit=limit)
            add("userTrades", symbol=order.symbol, fromId=TRADE_IDS + chance.randrange(face.venue.history.executed + 2), limit=limit)
    for symbol in SYMBOLS[face.name]:
        add("openOrders", symbol=symbol)
        for window in windows:
            for limit in (3, 1000):
                add("allOrders", symbol=symbol, limit=limit, **window)
                add("userTrades", symbol=symbol, limit=limit, **window)
                add("income", symbol=symbol, limit=limit, **window)
    for window in windows:
        add("allOrders", limit=1000, **window)
        for kind in ("REALIZED_PNL", "COMMISSION", "FUNDING_FEE", "TRANSFER", "OTHER"):
            add("income", incomeType=kind, limit=5, page=2, **window)
        for page in (1, 2, 30):
            add("income", limit=20, page=page, **window)
    add("openOrders")
    for kind in ("LIQUIDATION", "ADL"):
        add("forceOrders", autoCloseType=kind)
    add("forceOrders", limit=2)
    return asked


def ask_upbit(face: Face, chance: random.Random, lag_ms: int, orders: list[SimOrder], times_ms: list[int]) -> Asked:
    reads = UpbitReads(face.venue, Ids(face.venue), lambda: lag_ms * 1_000_000)
    asked = []

    def add(read: Callable[[UpbitParams], Any], *pairs: tuple[str, object]) -> None:
        params = UpbitParams(tuple((name, str(value)) for name, value in pairs))
        asked.append((f"{read.__name__} {params.pairs}", lambda: read(params)))

    for order in orders:
        add(reads.one, ("uuid", order.name))
        add(reads.one, ("identifier", order.client_id or "none"))
        add(reads.one, ("uuid", "none"))
    add(reads.by_name, *(("uuids[]", order.name) for order in orders), ("order_by", "asc"))
    for state in ("wait", "watch", "done", "cancel"):
        for way in ("asc", "desc"):
            for market in ((), (("market", "KRW-ETH"),)):
                add(reads.listed, ("state", state), ("order_by", way), ("limit", 7), ("page", chance.randrange(1, 5)), *market)
                add(reads.open, ("state", state), ("order_by", way), *market)
                add(reads.closed, ("state", state), ("order_by", way), ("limit", 7), ("start_time", times_ms[1]), *market)
                add(reads.closed, ("state", state), ("order_by", way), ("start_time", times_ms[1]), ("end_time", times_ms[3]), *market)
    add(reads.listed, ("states[]", "wait"), ("states[]", "done"), ("states[]", "cancel"))
    add(reads.closed, ("limit", 1000))
    add(reads.closed, ("end_time", times_ms[2]))
    return asked


@pytest.mark.parametrize("sets_clock_back", [False, True], ids=["clock goes on", "clock is set back"])
@pytest.mark.parametrize("venue", VENUES)
def test_a_venue_tells_the_same_of_orders_on_disk_as_of_orders_in_memory(venue: str, sets_clock_back: bool) -> None:
    seed = hash_of(venue, sets_clock_back)
    with opened(venue, ended_kept=3) as few, opened(venue, ended_kept=ALL) as every:
        traders = [Trader(*one, seed, sets_clock_back=sets_clock_back) for one in (few, every)]
        for round_ in range(2):
            for trader in traders:
                trader.act(100 if sets_clock_back else 200)
            assert traders[0].heard == traders[1].heard
            one, other = (answers(trader.face, random.Random(seed + round_)) for trader in traders)
            for (name, found), (_, expected) in zip(one, other, strict=True):
                assert found == expected, name
        first, second = (trader.venue.history for trader in traders)
        assert (first.taken, first.executed) == (second.taken, second.executed)
        assert first.held < first.taken / 2 < second.held == second.taken


def hash_of(*parts: object) -> int:
    """The same number of the same parts in every process."""
    return int.from_bytes(repr(parts).encode()[-6:])


def ended(trader: Trader, count: int) -> list[SimOrder]:
    """Orders that were placed and cancelled."""
    found = []
    for _ in range(count):
        trader.clock.advance(1_000_000)
        found.append(trader.place(f"e{trader.client_ids}"))
        if found[-1].open:
            trader.venue.cancel(found[-1])
    return found


def limit_order(trader: Trader, client_id: str) -> SimOrder:
    """An order that rests."""
    while not (order := trader.place(client_id)).open:
        client_id += "x"
    return order


@pytest.mark.parametrize("venue", VENUES)
def test_an_order_on_disk_is_found_by_number_and_client_id(venue: str) -> None:
    with opened(venue, ended_kept=0) as (house, clock):
        trader = Trader(house, clock, 1)
        number = limit_order(trader, "wanted").number
        order = trader.venue.find(number=number)
        assert order is not None
        client_id = order.client_id
        trader.venue.fill(order, 1)
        trader.venue.cancel(order)
        before = {name: getattr(order, name) for name in SimOrder.__dataclass_fields__ if name not in ("slot", "instrument")}
        del order
        ended(trader, 5)
        assert trader.venue.history.held < 3
        for found in (trader.venue.find(number=number), trader.venue.find(client_id=client_id)):
            assert found is not None
            assert {name: getattr(found, name) for name in before} == before
        assert trader.venue.find(number=number + 1000) is None
        assert trader.venue.find(client_id="nobody's \ud800") is None


@pytest.mark.parametrize("venue", VENUES)
def test_a_client_id_of_an_order_on_disk_is_still_used(venue: str) -> None:
    with opened(venue, ended_kept=0) as (house, clock):
        trader = Trader(house, clock, 1)
        first = ended(trader, 5)[0].client_id
        assert trader.venue.history.held < 3
        if trader.venue.rules.client_ids_again:
            latest = trader.place(first)
            assert trader.venue.find(client_id=first) is latest
            return
        with pytest.raises(Refused) as refused:
            trader.place(first)
        assert refused.value.refusal is Refusal.DUPLICATE_CLIENT_ID


@pytest.mark.parametrize("venue", VENUES)
def test_an_order_on_disk_executes_late_for_everybody_who_has_it(venue: str) -> None:
    with opened(venue, ended_kept=0) as (house, clock):
        trader = Trader(house, clock, 1)
        held = limit_order(trader, "late")
        trader.venue.cancel(held)
        number = held.number
        ended(trader, 5)
        late = trader.venue.find(number=number)
        assert late is held
        executed = trader.venue.history.executed
        assert house.strike([FaultSpec(fault=Fault.FILL, client_id=held.client_id)]) == [True]
        assert trader.venue.history.executed == executed + 1
        assert held.filled_lots == held.lots
        del held, late
        found = trader.venue.find(number=number)
        assert found is not None
        assert [e.number for e in found.executions] == [executed + 1]
        last = next(trader.venue.history.executions(Span(), newest_first=True))
        assert last.order is found
        assert house.strike([FaultSpec(fault=Fault.REVERSE_FILL)]) == [True]
        assert next(trader.venue.history.executions(Span(), newest_first=True)).reverses == last.number


def test_a_venue_keeps_what_is_open_and_what_ended_lately() -> None:
    with opened("bybit", ended_kept=40) as (house, clock):
        trader = Trader(house, clock, 2)
        resting = limit_order(trader, "resting")
        ended(trader, 200)
        assert 40 < trader.venue.history.held < 50
        assert trader.venue.open_orders() == [resting]
        assert trader.venue.find(client_id=resting.client_id) is resting
        newest = list(trader.venue.history.orders(Orders(), newest_first=True))
        assert [order.number for order in newest] == list(range(trader.venue.history.taken, 0, -1))
        assert all(order.origin is Origin.CLIENT for order in newest)


def growth_bytes(venue: str, *, ended_kept: int, count: int) -> float:
    """By how much the memory of a venue grows with each order that ends, once its window is full."""
    with opened(venue, ended_kept=ended_kept) as (house, clock):
        trader = Trader(house, clock, 3)
        tracemalloc.start()
        try:
            # The window and caches are filled first.
            spend(trader.venue, clock, "a", 120)
            before, _ = tracemalloc.get_traced_memory()
            spend(trader.venue, clock, "b", count)
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    return (after - before) / count


def spend(venue: SimVenue, clock: ManualClock, prefix: str, count: int) -> None:
    """Place, execute in part and cancel."""
    symbol = SYMBOLS[venue.rules.name][0]
    market = venue.markets[symbol]
    instrument = market.instrument
    price = instrument.price(instrument.round_price(market.mark * Decimal("0.97"), Side.BUY, venue.day))
    size = instrument.quantity(max(2 * instrument.min_lots, int(instrument.min_notional * 2 / (instrument.lot * price)) + 1))
    new = NewOrder(symbol=symbol, side=Side.BUY, type=OrderType.LIMIT, tif=TimeInForce.GTC, price=price, quantity=size, foreign=True)
    for number in range(count):
        clock.advance(100_000_000)
        order = venue.place(replace(new, client_id=f"{prefix}{number}"))
        venue.fill(order, 1)
        venue.cancel(order)


@pytest.mark.parametrize("venue", VENUES)
def test_memory_does_not_grow_with_orders_that_ended(venue: str) -> None:
    assert growth_bytes(venue, ended_kept=40, count=300) < 150
    assert growth_bytes(venue, ended_kept=ALL, count=200) > 1_000, "the control: kept in memory they do take room"
