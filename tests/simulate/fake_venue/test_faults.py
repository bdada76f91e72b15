"""Each lie happens when it is armed, happens as often as it was armed, and does not happen otherwise."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from tests.simulate.fake_venue.builders import BID, WINDOW_NS, Bench, cancel, order, place, taking

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.orders import OrderState
from interlock.simulate.fake_venue.control import (
    ArmFault,
    ClearFaults,
    DropConnections,
    Failed,
    FillOrder,
    ForeignOrder,
    MoveBalance,
    ReverseFill,
    SeedFaults,
    SetClock,
    SetLag,
    Silence,
    Strike,
    TakeOver,
)
from interlock.simulate.fake_venue.faults import Fault, FaultSpec, fits
from interlock.simulate.fake_venue.memory import START_NS
from interlock.venues.fake.wire import (
    DEFINITIVE_CODES,
    Answer,
    AnyRequest,
    Balances,
    Cancel,
    CancelBatch,
    Code,
    Execution,
    Executions,
    IndexPrice,
    Instruments,
    LedgerEntry,
    Orders,
    OrderView,
    Outcomes,
    PlaceBatch,
    Positions,
    QueryOrder,
    ReadBalances,
    ReadExecutions,
    ReadIndex,
    ReadInstruments,
    ReadOpenOrders,
    ReadOrderHistory,
    ReadPositions,
    ReadTime,
    ReadTop,
    Subscribe,
    Top,
    WireError,
)

lies = pytest.mark.parametrize("lie", [True, False])
S = NS_PER_S


def prepared(bench: Bench, lie: bool, fault: Fault, **changes: Any) -> Bench:
    if lie:
        bench.arm(fault, **changes)
    return bench


def taken(bench: Bench) -> list[str]:
    return [shown.client_id for shown in bench.truth().orders]


def sent(bench: Bench, request: AnyRequest) -> Answer | type[Exception]:
    try:
        return bench.orders.request(request, S)
    except (TimeoutError, ConnectionResetError, WireError) as error:
        return type(error)


NOT_TAKEN: list[tuple[Fault, object]] = [
    (Fault.LOSE_REQUEST, TimeoutError),
    (Fault.RESET_BEFORE_ACCEPTING, ConnectionResetError),
    (Fault.ERROR_WITHOUT_ACCEPTING, (500, "internal_error")),
    (Fault.DEFINITIVE_REJECT, (400, "insufficient_margin")),
    (Fault.RATE_LIMITED, (429, "rate_limited")),
    (Fault.BAN, (418, "banned")),
]
TAKEN: list[tuple[Fault, object]] = [
    (Fault.ACCEPT_THEN_ERROR, (500, "internal_error")),
    (Fault.UNLISTED_CODE, (400, "e77_unlisted")),
    (Fault.LOSE_ACK, TimeoutError),
    (Fault.RESET_AFTER_ACCEPTING, ConnectionResetError),
    (Fault.PARTIAL_FRAME, ConnectionResetError),
    (Fault.GARBAGE_FRAME, WireError),
]


@lies
@pytest.mark.parametrize(("fault", "seen", "accepted"), [(*case, False) for case in NOT_TAKEN] + [(*case, True) for case in TAKEN])
def test_what_a_client_sees_and_what_is_true(bench: Bench, fault: Fault, seen: object, accepted: bool, lie: bool) -> None:
    prepared(bench, lie, fault)
    found = sent(bench, place("a"))
    shown = (found.status, found.code) if isinstance(found, Answer) else found
    assert shown == (seen if lie else (200, ""))
    assert taken(bench) == (["a"] if accepted or not lie else [])
    assert bench.happened(fault) == int(lie)
    assert [line["client_id"] for line in bench.network.witnessed() if line["verb"] == "place"] == ["a"]


def test_a_definitive_reject_says_what_the_script_says_if_that_is_definitive(bench: Bench) -> None:
    bench.arm(Fault.DEFINITIVE_REJECT, code="not_permitted")
    assert bench.orders.request(place("a")).code == "not_permitted"
    bench.arm(Fault.DEFINITIVE_REJECT, code="order_not_found")
    assert Code(bench.orders.request(place("a")).code) in DEFINITIVE_CODES


def test_a_reset_may_leave_only_some_bytes_as_arrived(bench: Bench) -> None:
    bench.arm(Fault.RESET_BEFORE_ACCEPTING, count=7)
    assert sent(bench, place("a")) is ConnectionResetError
    assert [line["received"] for line in bench.network.witnessed()][-1] == 7


def test_a_partial_answer_ends_with_a_reset(bench: Bench) -> None:
    bench.arm(Fault.PARTIAL_FRAME, count=9)
    bench.orders.link.send(b"")
    bench.orders.send(place("a"))
    assert len(bench.orders.link.receive(S)) == 9
    with pytest.raises(ConnectionResetError):
        bench.orders.link.receive(S)


@lies
def test_a_late_answer_comes_after_its_delay(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.LATE_ACK, delay_ns=S)
    bench.orders.send(place("a"))
    assert len(bench.answers(S - 1)) == int(not lie)
    assert taken(bench) == ["a"]
    assert len(bench.answers(1)) == int(lie)


@lies
def test_an_answer_comes_twice(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.ANSWER_TWICE)
    bench.orders.send(place("a"))
    answers = bench.answers(S)
    assert len(answers) == 1 + lie
    assert len({answer.request_id for answer in answers}) == 1
    assert taken(bench) == ["a"]


@lies
def test_answers_change_their_order(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.REORDER_ANSWERS)
    first, second = bench.orders.send(place("a")), bench.orders.send(place("b"))
    assert [answer.request_id for answer in bench.answers(1)] == ([second, first] if lie else [first, second])


def test_an_answer_held_back_comes_in_the_end(bench: Bench) -> None:
    bench.arm(Fault.REORDER_ANSWERS, delay_ns=S)
    bench.orders.send(place("a"))
    assert not bench.answers(S - 1)
    assert len(bench.answers(1)) == 1


@lies
def test_a_batch_is_taken_in_part(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.BATCH_IN_PART)
    body = bench.orders.request(PlaceBatch(orders=(order("a"), order("b")), sign_ns=START_NS, receive_window_ns=WINDOW_NS)).body
    assert isinstance(body, Outcomes)
    assert [child.client_id for child in body.children] == taken(bench) == (["a"] if lie else ["a", "b"])
    prepared(bench, lie, Fault.BATCH_IN_PART)
    bench.orders.request(CancelBatch(client_ids=("a", "b")))
    assert [shown.state for shown in bench.truth().orders] == [OrderState.CANCELLED] * (1 if lie else 2)


@lies
def test_a_batch_is_taken_whole_and_told_in_part(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.BATCH_UNTOLD)
    body = bench.orders.request(PlaceBatch(orders=(order("a"), order("b")), sign_ns=START_NS, receive_window_ns=WINDOW_NS)).body
    assert isinstance(body, Outcomes)
    assert [child.client_id for child in body.children] == (["a"] if lie else ["a", "b"])
    assert taken(bench) == ["a", "b"]


@lies
def test_a_fill_comes_while_the_cancel_is_on_its_way(bench: Bench, lie: bool) -> None:
    bench.orders.request(place("a"))
    prepared(bench, lie, Fault.FILL_DURING_CANCEL)
    assert bench.orders.request(cancel("a")).code == ("order_not_found" if lie else "")
    shown = bench.truth().orders[0]
    assert (shown.state, shown.filled_lots) == ((OrderState.FILLED, 10) if lie else (OrderState.CANCELLED, 0))


def test_a_fill_during_a_cancel_needs_an_open_order(bench: Bench) -> None:
    bench.arm(Fault.FILL_DURING_CANCEL, times=2)
    bench.orders.request(cancel("nobody"))
    bench.orders.request(taking("a"))
    bench.orders.request(cancel("a"))
    assert bench.happened(Fault.FILL_DURING_CANCEL) == 0


@lies
def test_a_fill_comes_after_the_cancel_was_acknowledged(bench: Bench, lie: bool) -> None:
    bench.orders.request(place("a"))
    bench.do(FillOrder, client_id="a", lots=3)
    prepared(bench, lie, Fault.FILL_AFTER_CANCEL, delay_ns=S)
    assert bench.orders.request(cancel("a")).ok
    assert bench.truth().orders[0].filled_lots == 3
    bench.network.advance(S)
    shown = bench.truth().orders[0]
    assert (shown.state, shown.filled_lots) == (OrderState.CANCELLED, 10 if lie else 3)
    assert bench.happened(Fault.FILL_AFTER_CANCEL) == int(lie)


def test_a_fill_after_a_cancel_does_not_fill_twice(bench: Bench) -> None:
    bench.orders.request(place("a"))
    bench.arm(Fault.FILL_AFTER_CANCEL, delay_ns=S)
    bench.orders.request(cancel("a"))
    assert bench.do(FillOrder, client_id="a", lots=10) == 10
    bench.network.advance(S)
    assert bench.happened(Fault.FILL_AFTER_CANCEL) == 0


@lies
def test_history_lags(bench: Bench, lie: bool) -> None:
    bench.orders.request(taking("a"))
    prepared(bench, lie, Fault.HISTORY_LAG, delay_ns=S)
    assert shown(bench, ReadOrderHistory()) == ([] if lie else ["a"])
    assert shown(bench, ReadOrderHistory()) == ["a"]


@lies
def test_open_orders_and_queries_lag(bench: Bench, lie: bool) -> None:
    bench.orders.request(place("a"))
    bench.network.advance(S)
    bench.orders.request(place("b"))
    bench.orders.request(cancel("a"))
    prepared(bench, lie, Fault.OPEN_ORDERS_LAG, delay_ns=S, times=2)
    assert shown(bench, ReadOpenOrders()) == (["a"] if lie else ["b"])
    assert bench.orders.request(QueryOrder(client_id="b")).ok is not lie
    assert shown(bench, ReadOpenOrders()) == ["b"]


def test_lags_can_last(bench: Bench) -> None:
    bench.orders.request(taking("a"))
    bench.orders.request(place("b"))
    bench.do(SetLag, history_ns=S, open_ns=2 * S)
    assert shown(bench, ReadOrderHistory()) + shown(bench, ReadOpenOrders()) == []
    bench.network.advance(S)
    assert shown(bench, ReadOrderHistory()) == ["a"]
    assert not shown(bench, ReadOpenOrders())
    bench.do(ClearFaults)
    assert shown(bench, ReadOpenOrders()) == ["b"]


def shown(bench: Bench, request: ReadOpenOrders | ReadOrderHistory) -> list[str]:
    body = bench.orders.request(request).body
    assert isinstance(body, Orders)
    return [view.client_id for view in body.orders]


NONSENSE: list[tuple[AnyRequest, Callable[[Any], bool]]] = [
    (ReadOpenOrders(), lambda body: isinstance(body, Orders) and any(view.lots < 0 for view in body.orders)),
    (ReadOrderHistory(), lambda body: isinstance(body, Orders) and any(view.filled_lots < 0 for view in body.orders)),
    (ReadExecutions(), lambda body: isinstance(body, Executions) and any(fill.lots < 0 for fill in body.executions)),
    (QueryOrder(client_id="own"), lambda body: isinstance(body, OrderView) and body.lots < 0),
    (ReadPositions(), lambda body: isinstance(body, Positions) and any(held.entry_price == "NaN" for held in body.positions)),
    (ReadBalances(), lambda body: isinstance(body, Balances) and any(held.amount == "NaN" for held in body.balances)),
    (ReadTop(symbol="BTCUSDT"), lambda body: isinstance(body, Top) and body.bid_ticks < 0),
    (ReadIndex(currency="USDT"), lambda body: isinstance(body, IndexPrice) and body.bid == "NaN"),
    (ReadInstruments(), lambda body: isinstance(body, Instruments) and any(info.lot == "-1" for info in body.instruments)),
]


@lies
@pytest.mark.parametrize("traded", [True, False])
@pytest.mark.parametrize(("request_", "wrong"), NONSENSE)
def test_a_read_makes_no_sense(bench: Bench, request_: AnyRequest, wrong: Callable[[Any], bool], traded: bool, lie: bool) -> None:
    bench.orders.request(place("own", symbol="ETHUSDT", ticks=1))
    bench.orders.request(cancel("own"))
    if traded:
        bench.orders.request(place("a"))
        bench.orders.request(taking("b"))
    prepared(bench, lie, Fault.NONSENSE_READ)
    assert wrong(bench.orders.request(request_).body) is lie
    assert not wrong(bench.orders.request(request_).body)


def test_a_refused_read_cannot_be_spoiled(bench: Bench) -> None:
    bench.arm(Fault.NONSENSE_READ)
    assert bench.orders.request(ReadTop(symbol="NOPE")).code == "unknown_symbol"
    bench.arm(Fault.NONSENSE_READ)
    assert bench.orders.request(ReadTime()).ok
    assert bench.happened(Fault.NONSENSE_READ) == 0


@lies
def test_a_fill_is_told_late(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.LATE_FILL, delay_ns=S)
    bench.orders.request(taking("a"))
    assert len(bench.truth().executions) == 1
    assert fills(bench, S - 1) == int(not lie)
    assert fills(bench, 1) == int(lie)


def fills(bench: Bench, wait_ns: int) -> int:
    return sum(isinstance(push.event, Execution) for push in bench.pushed(wait_ns))


@lies
def test_the_stream_leaves_events_out(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.STREAM_GAP, count=2)
    bench.orders.request(taking("a"))
    assert [push.sequence for push in bench.pushed()] == ([3, 4, 5] if lie else [1, 2, 3, 4, 5])


@lies
def test_the_stream_falls_silent(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.STREAM_SILENCE, delay_ns=S)
    bench.orders.request(place("a"))
    assert len(bench.pushed(S)) == int(not lie)
    bench.orders.request(place("b"))
    assert [push.sequence for push in bench.pushed()] == [2]
    if lie:
        bench.do(Silence, for_ns=S)
        bench.orders.request(place("c"))
        assert not bench.pushed()


@lies
def test_the_stream_changes_its_order(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.STREAM_REORDER)
    bench.orders.request(taking("a"))
    assert [push.sequence for push in bench.pushed(S)] == ([2, 1, 3, 4, 5] if lie else [1, 2, 3, 4, 5])


def test_an_event_held_back_comes_in_the_end_or_when_all_is_calm(bench: Bench) -> None:
    bench.arm(Fault.STREAM_REORDER, delay_ns=S, times=2)
    bench.orders.request(place("a"))
    assert not bench.pushed(S - 1)
    assert [push.sequence for push in bench.pushed(1)] == [1]
    bench.orders.request(place("b"))
    assert not bench.pushed()
    bench.do(ClearFaults)
    assert [push.sequence for push in bench.pushed()] == [2]


@lies
def test_the_stream_repeats_itself(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.STREAM_TWICE, count=2)
    bench.orders.request(taking("a"))
    assert [push.sequence for push in bench.pushed()] == ([1, 1, 2, 2, 3, 4, 5] if lie else [1, 2, 3, 4, 5])


@lies
def test_the_clock_is_wrong(bench: Bench, lie: bool) -> None:
    bench.orders.request(place("old"))
    prepared(bench, lie, Fault.CLOCK_SKEW, delay_ns=-300 * NS_PER_MS)
    assert bench.orders.request(ReadTime()).venue_ns == START_NS - (300 * NS_PER_MS if lie else 0)
    assert shown(bench, ReadOpenOrders()) == ["old"]
    if lie:
        bench.do(SetClock, skew_ns=2 * WINDOW_NS)
        assert bench.orders.request(place("a")).code == "request_expired"


@lies
@pytest.mark.parametrize("client_id", ["", "oursxyz"])
def test_an_order_is_there_that_nobody_sent(bench: Bench, client_id: str, lie: bool) -> None:
    prepared(bench, lie, Fault.FOREIGN_ORDER, client_id=client_id, count=4)
    bench.orders.request(ReadTime())
    assert shown(bench, ReadOpenOrders()) == ([client_id] if lie else [])
    assert not bench.truth().executions
    assert all(line["verb"] != "place" for line in bench.network.witnessed())


@lies
def test_a_fill_is_there_that_nobody_asked_for(bench: Bench, lie: bool) -> None:
    prepared(bench, lie, Fault.FOREIGN_FILL, count=4)
    bench.orders.request(ReadTime())
    assert bench.truth().positions[0].lots == (4 if lie else 0)
    assert fills(bench, 0) == int(lie)


@lies
def test_a_fill_is_taken_back(bench: Bench, lie: bool) -> None:
    bench.orders.request(taking("a", lots=10))
    bench.orders.request(taking("b", lots=5))
    prepared(bench, lie, Fault.FILL_REVERSAL, times=3)
    for _ in range(3):
        bench.orders.request(ReadTime())
    truth = bench.truth()
    assert truth.positions[0].lots == (0 if lie else 15)
    assert [fill.reversed for fill in truth.executions] == ([False, False, True, True] if lie else [False, False])
    assert [view.filled_lots for view in truth.orders] == ([0, 0] if lie else [10, 5])
    assert all(view.state is OrderState.FILLED for view in truth.orders)
    assert Decimal(truth.balances[0].amount) == (10_000 if lie else Decimal("9999.58749917"))
    assert bench.happened(Fault.FILL_REVERSAL) == (2 if lie else 0)


@lies
@pytest.mark.parametrize(
    ("fault", "kind", "currency", "sign"),
    [
        (Fault.FUNDING, "funding", "USDT", 1),
        (Fault.DEPOSIT, "deposit", "USDT", 1),
        (Fault.AIRDROP, "airdrop", "GIFT", 1),
        (Fault.THIRD_ASSET_FEE, "fee", "BNB", -1),
    ],
)
def test_money_moves(bench: Bench, fault: Fault, kind: str, currency: str, sign: int, lie: bool) -> None:
    prepared(bench, lie, fault, amount="2.5")
    bench.orders.request(ReadTime())
    truth = bench.truth()
    assert [(entry.kind, entry.currency, Decimal(entry.amount)) for entry in truth.ledger] == (
        [(kind, currency, sign * Decimal("2.5"))] if lie else []
    )
    start = Decimal(10_000) if currency == "USDT" else Decimal(0)
    held = {balance.currency: Decimal(balance.amount) for balance in truth.balances}
    assert held.get(currency, Decimal(0)) == start + (sign * Decimal("2.5") if lie else 0)
    assert [type(push.event) for push in bench.pushed()][:1] == ([LedgerEntry] if lie else [])


@lies
@pytest.mark.parametrize("fault", [Fault.LIQUIDATION, Fault.ADL])
@pytest.mark.parametrize("long", [True, False])
def test_the_venue_closes_a_position(bench: Bench, fault: Fault, long: bool, lie: bool) -> None:
    bench.do(ForeignOrder, symbol="BTCUSDT", side=1 if long else -1, ticks=BID + (1 if long else 0), lots=3)
    prepared(bench, lie, fault)
    bench.orders.request(ReadTime())
    truth = bench.truth()
    assert truth.positions[0].lots == (0 if lie else (3 if long else -3))
    assert [entry.kind for entry in truth.ledger] == ([fault.value] if lie else [])


def test_what_finds_nothing_to_act_on_did_not_happen(bench: Bench) -> None:
    bench.arm(Fault.LIQUIDATION)
    bench.arm(Fault.FILL_REVERSAL)
    bench.arm(Fault.FUNDING, symbol="NOPE")
    bench.orders.request(ReadTime())
    assert bench.truth().faults == {}


def test_the_world_can_be_struck_at_once(bench: Bench) -> None:
    assert bench.do(Strike, spec=FaultSpec(fault=Fault.ADL)) == 0
    assert bench.do(Strike, spec=FaultSpec(fault=Fault.FOREIGN_FILL)) == 1
    assert bench.do(Strike, spec=FaultSpec(fault=Fault.ADL)) == 1
    assert bench.do(Strike, spec=FaultSpec(fault=Fault.LOSE_ACK)) == 0
    assert bench.do(MoveBalance, kind="funding", currency="USDT", amount="-1", symbol="BTCUSDT") == 1
    assert bench.do(TakeOver, symbol="BTCUSDT", kind="liquidation") == 0


def test_a_taken_over_position_can_be_given_back(bench: Bench) -> None:
    bench.do(Strike, spec=FaultSpec(fault=Fault.FOREIGN_FILL, count=3))
    bench.do(TakeOver, symbol="BTCUSDT", kind="adl")
    assert bench.do(ReverseFill, trade_id="bybit-t2") == 1
    assert bench.truth().positions[0].lots == 3


def test_every_connection_can_be_torn(bench: Bench) -> None:
    bench.do(DropConnections)
    for client in (bench.orders, bench.stream):
        with pytest.raises(ConnectionResetError):
            client.request(ReadTime(), S)
    again = bench.network.connect("bybit", "stream")
    assert again.request(Subscribe()).ok


def test_an_answer_for_a_torn_connection_is_lost(bench: Bench) -> None:
    bench.arm(Fault.LATE_ACK, delay_ns=S)
    bench.orders.send(place("a"))
    bench.network.advance(1)
    bench.do(DropConnections)
    bench.network.advance(2 * S)
    assert taken(bench) == ["a"]
    with pytest.raises(ConnectionResetError):
        bench.orders.link.receive(0)


def test_a_fault_strikes_the_nth_request_that_it_fits_and_those_after(bench: Bench) -> None:
    bench.arm(Fault.ERROR_WITHOUT_ACCEPTING, verb="place", prefix="x", nth=2, times=2)
    bench.orders.request(ReadTime())
    statuses = [bench.orders.request(place(name)).status for name in ("x1", "y1", "x2", "y2", "x3", "x4")]
    assert statuses == [200, 200, 500, 200, 500, 200]
    assert bench.happened(Fault.ERROR_WITHOUT_ACCEPTING) == 2


def test_faults_combine(bench: Bench) -> None:
    bench.arm(Fault.ACCEPT_THEN_ERROR)
    bench.arm(Fault.ANSWER_TWICE)
    bench.arm(Fault.STREAM_GAP)
    bench.orders.send(place("a"))
    assert [answer.status for answer in bench.answers(1)] == [500, 500]
    assert not bench.pushed()
    assert taken(bench) == ["a"]


@pytest.mark.parametrize("spec", [FaultSpec(fault=Fault.BAN, nth=0), FaultSpec(fault=Fault.BAN, times=0)])
def test_a_fault_that_could_never_strike_is_refused(bench: Bench, spec: FaultSpec) -> None:
    reply = bench.network.command(ArmFault(venue="bybit", spec=spec))
    assert isinstance(reply, Failed)


def test_a_seed_gives_the_same_lies_again_and_another_gives_others() -> None:
    def told(seed: int) -> list[object]:
        bench = Bench()
        bench.do(SeedFaults, seed=seed, per_mille={Fault.ERROR_WITHOUT_ACCEPTING: 300, Fault.BATCH_IN_PART: 1_000})
        return [bench.orders.request(place(f"n{number}")).status for number in range(50)]

    assert told(1) == told(1) != told(2)
    assert 5 <= told(1).count(500) <= 25
    bench = Bench()
    bench.do(SeedFaults, seed=1, per_mille={Fault.ERROR_WITHOUT_ACCEPTING: 1_000})
    assert bench.orders.request(place("a")).status == 500
    bench.do(ClearFaults)
    assert bench.orders.request(place("a")).ok


def test_faults_fit_only_what_they_mean_something_for() -> None:
    assert fits(Fault.FILL_DURING_CANCEL, "cancel")
    assert not fits(Fault.FILL_DURING_CANCEL, "place")
    assert fits(Fault.ACCEPT_THEN_ERROR, "cancel")
    assert not fits(Fault.ACCEPT_THEN_ERROR, "balances")
    assert fits(Fault.LOSE_ACK, "balances")
    assert Cancel(client_id="a").sign_ns == 0
