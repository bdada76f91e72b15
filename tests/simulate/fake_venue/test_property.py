"""Whatever is told to anybody, the fake's own truth fits together."""

from collections import Counter
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.simulate.fake_venue.builders import WINDOW_NS, Bench, cancel, order, place

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.control import ArmFault, FillOrder, ForeignOrder, SetBook, SetRate, TakeOver
from interlock.simulate.fake_venue.faults import Fault, FaultSpec
from interlock.venues.fake.wire import Amend, AnyRequest, CancelAll, PlaceBatch, ReadExecutions, ReadOpenOrders, body_hash, encode

names = st.sampled_from([f"id{number}" for number in range(12)])
prices = st.integers(499_900, 500_100)
sizes = st.integers(1, 20)


class Lies(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench("binance_usdm", latency_ns=NS_PER_MS)
        self.bench.do(SetRate, requests=10_000, window_ns=NS_PER_S, ban_after=5)
        self.sent: Counter[str] = Counter()

    def send(self, request: AnyRequest) -> None:
        request = msgspec.structs.replace(request, sign_ns=self.bench.network.hub.now_ns(), receive_window_ns=WINDOW_NS)
        try:
            self.bench.orders.link.send(encode(request))
            self.sent[body_hash(encode(request))] += 1
        except ConnectionResetError:
            self.bench.orders = self.bench.network.connect("binance_usdm", "orders")
        self.bench.network.advance(NS_PER_MS)

    @rule(
        name=names,
        side=st.sampled_from(Side),
        ticks=prices,
        lots=sizes,
        tif=st.sampled_from(TimeInForce),
        reduce_only=st.booleans(),
        market=st.booleans(),
    )
    def place(self, market: bool, **fields: Any) -> None:
        if market:
            fields |= {"type": OrderType.MARKET, "ticks": 0}
        self.send(place(fields.pop("name"), **fields))

    @rule(name=names, revision=st.integers(0, 5), ticks=prices, lots=sizes)
    def amend(self, name: str, revision: int, ticks: int, lots: int) -> None:
        self.send(Amend(client_id=name, revision=revision, ticks=ticks, lots=lots))

    @rule(one=names, two=names, lots=sizes)
    def batch(self, one: str, two: str, lots: int) -> None:
        self.send(PlaceBatch(orders=(order(one, lots=lots), order(two, lots=lots))))

    @rule(request=st.one_of(names.map(cancel), st.sampled_from([CancelAll(), CancelAll(prefix="id1"), ReadOpenOrders(), ReadExecutions()])))
    def other(self, request: AnyRequest) -> None:
        self.send(request)

    @rule(fault=st.sampled_from(Fault), nth=st.integers(1, 3), count=st.integers(0, 12), client_id=st.sampled_from(["", "id1", "id5"]))
    def lie(self, fault: Fault, **fields: Any) -> None:
        self.bench.network.command(ArmFault(venue="binance_usdm", spec=FaultSpec(fault=fault, **fields)))

    @rule(bid=prices, gap=st.integers(1, 9), lots=st.none() | st.integers(0, 15), parts=st.integers(1, 3))
    def move(self, bid: int, gap: int, lots: int | None, parts: int) -> None:
        self.bench.do(SetBook, symbol="BTCUSDT", bid_ticks=bid, ask_ticks=bid + gap, lots=lots, parts=parts)

    @rule(name=names, lots=sizes)
    def fill(self, name: str, lots: int) -> None:
        self.bench.network.command(FillOrder(venue="binance_usdm", client_id=name, lots=lots))

    @rule(side=st.sampled_from(Side), ticks=prices, lots=sizes)
    def foreign(self, **fields: Any) -> None:
        self.bench.do(ForeignOrder, symbol="BTCUSDT", **fields)

    @rule(kind=st.sampled_from(["liquidation", "adl"]))
    def take_over(self, kind: str) -> None:
        self.bench.do(TakeOver, symbol="BTCUSDT", kind=kind)

    @rule(ms=st.integers(1, 400))
    def wait(self, ms: int) -> None:
        self.bench.network.advance(ms * NS_PER_MS)

    @invariant()
    def the_truth_fits_together(self) -> None:
        truth = self.bench.truth()
        position: Counter[str] = Counter()
        filled: Counter[str] = Counter()
        for fill in truth.executions:
            sign = -1 if fill.reversed else 1
            position[fill.symbol] += sign * int(fill.side) * fill.lots
            filled[fill.venue_order_id] += sign * fill.lots
        assert {held.symbol: held.lots for held in truth.positions} == {held.symbol: position[held.symbol] for held in truth.positions}
        for shown in truth.orders:
            assert 0 <= shown.filled_lots <= shown.lots
            assert shown.filled_lots == filled[shown.venue_order_id]
        trades = [fill.trade_id for fill in truth.executions if not fill.reversed]
        reversals = [fill.trade_id for fill in truth.executions if fill.reversed]
        for ids in (trades, reversals, [o.venue_order_id for o in truth.orders], [o.client_id for o in truth.orders if o.client_id]):
            assert len(set(ids)) == len(ids)
        assert set(reversals) <= set(trades)

    @invariant()
    def every_request_is_witnessed_once(self) -> None:
        witnessed = self.bench.network.witnessed()
        assert len(witnessed) == self.bench.truth().requests
        assert Counter(str(line["body_hash"]) for line in witnessed) <= self.sent


TestLies = Lies.TestCase
TestLies.settings = settings(settings.default, max_examples=40, stateful_step_count=30)
