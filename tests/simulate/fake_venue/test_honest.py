"""What the fake does when it does not lie."""

from decimal import Decimal

import msgspec
import pytest
from tests.simulate.fake_venue.builders import ASK, BID, WINDOW_NS, Bench, cancel, order, place, taking

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.domain.orders import Liquidity, OrderState, OrderType, Side, TimeInForce
from interlock.simulate.fake_venue.control import (
    AskTruth,
    Ban,
    ClearFaults,
    Failed,
    FillOrder,
    ForeignOrder,
    MoveBalance,
    ReverseFill,
    SetBook,
    SetIndex,
    SetPermissions,
    SetRate,
    SetStatus,
    TakeOver,
    decode_reply,
)
from interlock.simulate.fake_venue.engine import Venue
from interlock.simulate.fake_venue.memory import START_NS, MemoryNetwork
from interlock.venues.fake.wire import (
    Amend,
    Balance,
    Balances,
    BeatTaken,
    CancelAll,
    CancelBatch,
    CancelledAll,
    EndCode,
    Execution,
    Executions,
    Heartbeat,
    IndexPrice,
    Instruments,
    LedgerPage,
    Message,
    Orders,
    OrderView,
    Outcome,
    Outcomes,
    Permissions,
    PlaceBatch,
    Positions,
    QueryOrder,
    ReadBalances,
    ReadExecutions,
    ReadIndex,
    ReadInstruments,
    ReadLedger,
    ReadOpenOrders,
    ReadOrderHistory,
    ReadPermissions,
    ReadPositions,
    ReadTime,
    ReadTop,
    Subscribe,
    Top,
    WireError,
)


def state(bench: Bench, client_id: str) -> tuple[OrderState, int, str]:
    answer = bench.orders.request(QueryOrder(client_id=client_id))
    assert isinstance(answer.body, OrderView), answer
    return answer.body.state, answer.body.filled_lots, answer.body.code


@pytest.fixture
def direct() -> Bench:
    """A venue whose answer to a placement says what became of it."""
    return Bench("binance_usdm")


def test_a_receipt_is_no_acceptance_and_the_stream_tells_the_rest(bench: Bench) -> None:
    answer = bench.orders.request(taking("a", tif=TimeInForce.POST_ONLY))
    assert answer.ok
    assert isinstance(answer.body, Outcome)
    assert answer.body.state is OrderState.ACKED
    views = [push.event for push in bench.pushed() if isinstance(push.event, OrderView)]
    assert [view.state for view in views] == [OrderState.OPEN, OrderState.CANCELLED]
    assert views[-1].code == EndCode.POST_ONLY


def test_elsewhere_the_answer_tells_it(direct: Bench) -> None:
    refused = direct.orders.request(taking("a", tif=TimeInForce.POST_ONLY))
    assert (refused.status, refused.code) == (400, "post_only_would_take")
    taken = direct.orders.request(taking("a"))
    assert isinstance(taken.body, Outcome)
    assert taken.body.state is OrderState.FILLED
    assert taken.venue_ns == START_NS
    assert (taken.limit, taken.remaining) == (3_000, 2_998)


def test_a_fill_moves_position_and_wallet_and_is_told_in_order(bench: Bench) -> None:
    bench.orders.request(taking("a"))
    pushes = bench.pushed()
    assert [push.sequence for push in pushes] == [1, 2, 3, 4, 5]
    fills = [push.event for push in pushes if isinstance(push.event, Execution)]
    assert [(fill.lots, fill.ticks, fill.liquidity, fill.fee) for fill in fills] == [(10, ASK, Liquidity.TAKER, "0.27500055")]
    positions = bench.orders.request(ReadPositions()).body
    assert isinstance(positions, Positions)
    assert [(position.symbol, position.lots, Decimal(position.entry_price)) for position in positions.positions] == [
        ("BTCUSDT", 10, Decimal("50000.1")),
        ("ETHUSDT", 0, Decimal(0)),
    ]
    assert pushes[-1].event == Balance(currency="USDT", amount="9999.72499945")


def test_what_is_closed_is_realised_against_the_average_entry(bench: Bench) -> None:
    bench.orders.request(taking("a", lots=10))
    bench.do(SetBook, symbol="BTCUSDT", bid_ticks=501_001, ask_ticks=501_002)
    bench.orders.request(place("b", side=Side.SELL, ticks=501_001, lots=15))
    fees = Decimal("0.27500055") + (Decimal("50100.1") * Decimal("0.015") * Decimal("0.00055")).quantize(Decimal("1e-8"))
    body = bench.orders.request(ReadBalances()).body
    assert isinstance(body, Balances)
    assert Decimal(body.balances[0].amount) == Decimal(10_000) + Decimal(1) - fees
    assert bench.truth().positions[0].lots == -5


def test_a_spot_venue_moves_both_currencies_and_has_no_position() -> None:
    bench = Bench("upbit")
    bench.stream.request(Subscribe())
    assert bench.orders.request(taking("a", symbol="KRW-BTC", ticks=69_001, lots=1_000_000, nonce="n1")).ok
    truth = bench.truth()
    assert {balance.currency: Decimal(balance.amount) for balance in truth.balances} == {
        "BTC": Decimal("0.01"),
        "KRW": Decimal(15_000_000) - 690_010 - Decimal("345.005"),
    }
    assert bench.orders.request(ReadPositions()).body == Positions(positions=())
    assert {push.event.currency for push in bench.pushed() if isinstance(push.event, Balance)} == {"BTC", "KRW"}


def test_resting_orders_fill_when_the_book_moves_through_them(bench: Bench) -> None:
    bench.orders.request(place("a"))
    bench.orders.request(place("b", ticks=BID - 200))
    bench.orders.request(place("c", symbol="ETHUSDT", ticks=1))
    assert bench.do(SetBook, symbol="BTCUSDT", bid_ticks=BID - 101, ask_ticks=BID - 100) == 1
    assert [state(bench, name)[0] for name in "abc"] == [OrderState.FILLED, OrderState.OPEN, OrderState.OPEN]
    assert bench.truth().executions[0].ticks == BID - 100


def test_an_order_can_fill_in_parts_or_as_far_as_there_is_size(bench: Bench) -> None:
    bench.do(SetBook, symbol="BTCUSDT", bid_ticks=BID, ask_ticks=ASK, lots=7, parts=3)
    for name, tif in (("a", TimeInForce.GTC), ("b", TimeInForce.IOC), ("c", TimeInForce.FOK)):
        bench.orders.request(taking(name, tif=tif))
    bench.orders.request(place("d", tif=TimeInForce.IOC))
    bench.orders.request(taking("e", tif=TimeInForce.FOK, lots=2))
    assert [fill.lots for fill in bench.truth().executions] == [3, 2, 2, 3, 2, 2, 1, 1]
    assert [state(bench, name) for name in "abcde"] == [
        (OrderState.PARTIAL, 7, ""),
        (OrderState.EXPIRED, 7, "ioc_remainder"),
        (OrderState.EXPIRED, 0, "fok_unfillable"),
        (OrderState.EXPIRED, 0, "ioc_remainder"),
        (OrderState.FILLED, 2, ""),
    ]


def test_a_market_order_takes(direct: Bench) -> None:
    assert direct.orders.request(place("a", type=OrderType.MARKET, ticks=0, tif=TimeInForce.IOC, side=Side.SELL)).ok
    assert direct.truth().executions[0].ticks == BID


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (place("a", symbol="NOPE"), "unknown_symbol"),
        (place("a", lots=0), "bad_request"),
        (place("a", ticks=0), "bad_request"),
        (place("", lots=1), "bad_request"),
        (place("a", type=OrderType.MARKET, tif=TimeInForce.IOC), "bad_request"),
        (place("a", type=OrderType.MARKET, ticks=0), "bad_request"),
        (place("taken"), "duplicate_client_id"),
        (place("a", reduce_only=True), "reduce_only_rejected"),
        (place("a", receive_window_ns=0), "bad_request"),
        (place("a", receive_window_ns=NS_PER_S, sign_ns=START_NS - NS_PER_S - 1), "request_expired"),
        (place("a", sign_ns=START_NS + NS_PER_S + 1), "request_from_future"),
        (Amend(client_id="nobody", revision=1, ticks=1, lots=1, sign_ns=START_NS, receive_window_ns=WINDOW_NS), "order_not_found"),
        (cancel("nobody"), "order_not_found"),
        (cancel(""), "order_not_found"),
        (CancelBatch(client_ids=()), "bad_request"),
        (PlaceBatch(orders=(order("a"),) * 21, sign_ns=START_NS, receive_window_ns=WINDOW_NS), "bad_request"),
        (QueryOrder(client_id="nobody"), "order_not_found"),
        (QueryOrder(), "order_not_found"),
        (ReadTop(symbol="NOPE"), "unknown_symbol"),
        (ReadIndex(currency="NOPE"), "unknown_symbol"),
        (ReadExecutions(cursor="x"), "bad_request"),
        (ReadExecutions(limit=201), "bad_request"),
        (Heartbeat(symbol="NOPE", countdown_ns=1), "unknown_symbol"),
        (Heartbeat(symbol="BTCUSDT", countdown_ns=-1), "bad_request"),
        (Subscribe(), "wrong_port"),
    ],
)
def test_what_is_refused_changes_nothing(direct: Bench, request_: Message, code: str) -> None:
    assert direct.orders.request(place("taken")).ok
    before = direct.truth().orders
    assert direct.orders.request(request_).code == code  # type: ignore[arg-type]
    assert direct.truth().orders == before


def test_the_edges_of_the_receive_window_are_taken(direct: Bench) -> None:
    assert direct.orders.request(place("a", receive_window_ns=NS_PER_S, sign_ns=START_NS - NS_PER_S)).ok
    assert direct.orders.request(place("b", sign_ns=START_NS + NS_PER_S)).ok
    assert direct.orders.request(CancelAll(receive_window_ns=1, sign_ns=START_NS)).ok


def test_a_venue_without_expiry_takes_what_is_old_but_a_nonce_only_once() -> None:
    bench = Bench("upbit")
    old = place("a", sign_ns=1, receive_window_ns=1, symbol="KRW-BTC", ticks=60_000, nonce="n")
    assert bench.orders.request(old).ok
    again = place("b", symbol="KRW-BTC", ticks=60_000, nonce="n")
    assert bench.orders.request(again).code == "nonce_used"
    assert bench.orders.request(place("b", symbol="KRW-BTC", ticks=60_000)).code == "bad_request"


def test_an_amend_needs_a_higher_revision_and_a_possible_size(direct: Bench) -> None:
    def amend(revision: int, ticks: int, lots: int, client_id: str = "a") -> str:
        request = Amend(client_id=client_id, revision=revision, ticks=ticks, lots=lots, sign_ns=START_NS, receive_window_ns=WINDOW_NS)
        return direct.orders.request(request).code

    direct.orders.request(place("a", tif=TimeInForce.POST_ONLY))
    direct.do(FillOrder, client_id="a", lots=4)
    assert amend(0, BID - 5, 12) == "stale_revision"
    assert amend(1, BID - 5, 4) == "amend_below_filled"
    assert amend(1, 0, 5) == "bad_request"
    assert amend(1, ASK, 12) == "post_only_would_take"
    assert amend(1, BID - 5, 12) == ""
    shown = direct.truth().orders[0]
    assert (shown.revision, shown.ticks, shown.lots, shown.filled_lots) == (1, BID - 5, 12, 4)
    assert direct.orders.request(cancel("a")).ok
    assert amend(2, BID - 5, 12) == "order_not_found"
    direct.orders.request(place("r", side=Side.SELL, ticks=ASK + 5, lots=4, reduce_only=True))
    assert amend(1, ASK + 5, 5, "r") == "reduce_only_rejected"
    direct.orders.request(place("t"))
    assert amend(1, ASK, 10, "t") == ""
    assert state(direct, "t") == (OrderState.FILLED, 10, "")


def test_reduce_only_never_turns_a_position_around(direct: Bench) -> None:
    direct.orders.request(taking("in", lots=6))
    for name in ("x", "y"):
        assert direct.orders.request(place(name, side=Side.SELL, ticks=ASK + 5, lots=6, reduce_only=True)).ok
    direct.do(SetBook, symbol="BTCUSDT", bid_ticks=ASK + 5, ask_ticks=ASK + 6)
    assert state(direct, "x") == (OrderState.FILLED, 6, "")
    assert state(direct, "y") == (OrderState.CANCELLED, 0, EndCode.REDUCE_ONLY)


def test_a_batch_has_an_outcome_for_each_child(direct: Bench) -> None:
    orders = (order("a"), order("b", lots=0))
    placed = direct.orders.request(PlaceBatch(orders=orders, sign_ns=START_NS, receive_window_ns=WINDOW_NS)).body
    assert isinstance(placed, Outcomes)
    assert [(child.client_id, child.status, child.code) for child in placed.children] == [("a", 200, ""), ("b", 400, "bad_request")]
    ended = direct.orders.request(CancelBatch(client_ids=("a", "b"))).body
    assert isinstance(ended, Outcomes)
    assert [child.code for child in ended.children] == ["", "order_not_found"]


def test_cancel_all_takes_a_symbol_and_a_prefix_and_only_so_many(bench: Bench) -> None:
    for name in ("oursa", "oursb", "theirs"):
        bench.orders.request(place(name))
    bench.orders.request(place("oursc", symbol="ETHUSDT", ticks=1))
    bench.do(ForeignOrder, symbol="BTCUSDT", side=Side.BUY, ticks=1, lots=1)
    body = bench.orders.request(CancelAll(symbol="BTCUSDT", prefix="ours")).body
    assert body == CancelledAll(client_ids=("oursa", "oursb"), count=2)
    assert bench.orders.request(CancelAll()).body == CancelledAll(client_ids=("theirs", "oursc"), count=3)
    for number in range(501):
        bench.orders.request(place(f"many{number}"))
    first, second = bench.orders.request(CancelAll()).body, bench.orders.request(CancelAll()).body
    assert isinstance(first, CancelledAll)
    assert isinstance(second, CancelledAll)
    assert (first.count, second.count) == (500, 1)


def test_a_thousand_open_orders_are_read_in_pages(bench: Bench) -> None:
    for number in range(1_000):
        assert bench.orders.request(place(f"n{number}")).ok
    seen, cursor = [], ""
    while True:
        body = bench.stream.request(ReadOpenOrders(cursor=cursor, limit=200, symbol="BTCUSDT")).body
        assert isinstance(body, Orders)
        seen += [view.client_id for view in body.orders]
        cursor = body.cursor
        if not cursor:
            break
    assert seen == [f"n{number}" for number in range(1_000)]
    assert bench.orders.request(ReadOpenOrders(symbol="ETHUSDT")).body == Orders(orders=(), cursor="")


def test_there_is_a_greatest_number_of_open_orders(direct: Bench) -> None:
    direct.do(SetRate, requests=100_000, window_ns=NS_PER_S, ban_after=9)
    for start in range(0, 5_000, 20):
        orders = tuple(order(f"n{start + child}") for child in range(20))
        assert direct.orders.request(PlaceBatch(orders=orders, sign_ns=START_NS, receive_window_ns=WINDOW_NS)).ok
    assert direct.orders.request(place("more")).code == "too_many_orders"


def test_history_holds_what_ended_and_forgets_what_never_filled(bench: Bench) -> None:
    for name in "abc":
        bench.orders.request(place(name))
    bench.orders.request(taking("t"))
    bench.orders.request(CancelAll())
    ids = [view.client_id for view in _history(bench)]
    assert ids == ["a", "b", "c", "t"]
    bench.network.advance(25 * 3_600 * NS_PER_S)
    assert [view.client_id for view in _history(bench)] == ["t"]


def _history(bench: Bench) -> tuple[OrderView, ...]:
    body = bench.orders.request(ReadOrderHistory()).body
    assert isinstance(body, Orders)
    return body.orders


def test_executions_and_ledger_are_read_from_a_cursor(bench: Bench) -> None:
    assert bench.orders.request(ReadExecutions()).body == Executions(executions=(), cursor="")
    for name in "abc":
        bench.orders.request(taking(name))
    first = bench.orders.request(ReadExecutions(limit=2)).body
    assert isinstance(first, Executions)
    rest = bench.orders.request(ReadExecutions(cursor=first.cursor)).body
    assert isinstance(rest, Executions)
    assert [fill.client_id for fill in first.executions + rest.executions] == ["a", "b", "c"]
    assert bench.orders.request(ReadExecutions(cursor=rest.cursor)).body == Executions(executions=(), cursor="3")
    bench.do(MoveBalance, kind="deposit", currency="USDT", amount="500")
    ledger = bench.orders.request(ReadLedger()).body
    assert isinstance(ledger, LedgerPage)
    assert [(entry.kind, entry.amount) for entry in ledger.entries] == [("deposit", "500")]


def test_the_smaller_reads(bench: Bench) -> None:
    assert bench.orders.request(ReadTime()).venue_ns == START_NS
    assert bench.orders.request(ReadTop(symbol="BTCUSDT")).body == Top(symbol="BTCUSDT", bid_ticks=BID, ask_ticks=ASK)
    instruments = bench.orders.request(ReadInstruments()).body
    assert isinstance(instruments, Instruments)
    assert next((info.symbol, info.tick, info.lot) for info in instruments.instruments) == ("BTCUSDT", "0.1", "0.001")
    placed = bench.orders.request(place("a"))
    assert isinstance(placed.body, Outcome)
    found = bench.orders.request(QueryOrder(venue_order_id=placed.body.venue_order_id)).body
    assert isinstance(found, OrderView)
    assert found.client_id == "a"


def test_instruments_say_their_kind_and_margin_tiers(bench: Bench) -> None:
    for venue, kind in (("bybit", "perpetual"), ("binance_usdm", "perpetual"), ("upbit", "spot")):
        body = Bench(venue).orders.request(ReadInstruments()).body
        assert isinstance(body, Instruments)
        for info in body.instruments:
            assert info.kind == kind
            assert bool(info.tiers) is (kind == "perpetual")
            for column in zip(*info.tiers, strict=True):
                assert list(map(Decimal, column)) == sorted(set(map(Decimal, column)))


@pytest.mark.parametrize(
    ("venue", "currency", "near"), [("bybit", "USDT", "1"), ("binance_usdm", "USDT", "1"), ("upbit", "KRW", "0.00072")]
)
def test_an_index_tells_what_a_currency_is_worth_until_it_is_set(venue: str, currency: str, near: str) -> None:
    bench = Bench(venue)
    body = bench.orders.request(ReadIndex(currency=currency)).body
    assert isinstance(body, IndexPrice)
    assert 0 < Decimal(body.bid) < Decimal(near) < Decimal(body.ask) < Decimal(body.bid) * Decimal("1.001")
    bench.do(SetIndex, currency=currency, bid="0", ask="1.5")
    assert bench.stream.request(ReadIndex(currency=currency)).body == IndexPrice(currency=currency, bid="0", ask="1.5")
    assert bench.network.witnessed()[-1]["class"] == "READ"


def test_a_symbol_that_is_halted_takes_no_orders_but_cancels(bench: Bench) -> None:
    def top() -> Top:
        body = bench.orders.request(ReadTop(symbol="BTCUSDT")).body
        assert isinstance(body, Top)
        return body

    assert bench.orders.request(place("resting")).ok
    bench.do(SetStatus, symbol="BTCUSDT", status="halted")
    assert not top().trading
    assert bench.orders.request(place("a")).code == "not_trading"
    amend = Amend(client_id="resting", revision=1, ticks=BID - 5, lots=12, sign_ns=START_NS, receive_window_ns=WINDOW_NS)
    assert bench.orders.request(amend).code == "not_trading"
    assert bench.orders.request(place("e", symbol="ETHUSDT", ticks=1)).ok
    assert bench.orders.request(cancel("resting")).ok
    instruments = bench.orders.request(ReadInstruments()).body
    assert isinstance(instruments, Instruments)
    assert [info.status for info in instruments.instruments] == ["halted", "trading"]
    bench.do(SetStatus, symbol="BTCUSDT", status="trading")
    assert top().trading
    assert bench.orders.request(place("a")).ok


def test_a_book_may_have_a_mark(bench: Bench) -> None:
    bench.do(SetBook, symbol="BTCUSDT", bid_ticks=BID, ask_ticks=ASK, mark_ticks=BID + 3)
    assert bench.orders.request(ReadTop(symbol="BTCUSDT")).body == Top(symbol="BTCUSDT", bid_ticks=BID, ask_ticks=ASK, mark_ticks=BID + 3)


def test_a_key_may_be_without_leave_to_trade(bench: Bench) -> None:
    permissions = bench.orders.request(ReadPermissions()).body
    assert isinstance(permissions, Permissions)
    assert permissions.trade
    bench.do(SetPermissions, permissions=msgspec.structs.replace(permissions, trade=False))
    assert bench.orders.request(place("a")).code == "not_permitted"
    assert bench.orders.request(CancelAll()).ok


def test_orders_do_not_travel_on_the_stream_port(bench: Bench) -> None:
    assert bench.stream.request(place("a")).code == "wrong_port"
    assert bench.stream.request(cancel("a")).code == "wrong_port"
    assert bench.stream.request(ReadTime()).ok
    assert bench.orders.request(place("a")).ok


def test_the_dead_man_cancels_unless_renewed_or_disarmed(direct: Bench) -> None:
    direct.orders.request(place("a"))
    direct.orders.request(place("e", symbol="ETHUSDT", ticks=1))
    beat = Heartbeat(symbol="BTCUSDT", countdown_ns=NS_PER_S)
    assert direct.orders.request(beat).body == BeatTaken(until_ns=START_NS + NS_PER_S)
    direct.network.advance(NS_PER_S - 1)
    direct.orders.request(beat)
    direct.network.advance(NS_PER_S - 1)
    assert direct.orders.request(Heartbeat(symbol="BTCUSDT", countdown_ns=0)).body == BeatTaken(until_ns=0)
    direct.network.advance(10 * NS_PER_S)
    assert state(direct, "a")[0] is OrderState.OPEN
    direct.orders.request(beat)
    direct.network.advance(NS_PER_S)
    assert state(direct, "a") == (OrderState.CANCELLED, 0, EndCode.DEAD_MAN)
    assert state(direct, "e")[0] is OrderState.OPEN


def test_where_there_is_no_dead_man_it_cannot_be_armed(bench: Bench) -> None:
    assert bench.orders.request(Heartbeat(symbol="BTCUSDT", countdown_ns=1)).code == "not_supported"


def test_the_rate_limit_refuses_then_bans_then_forgives(bench: Bench) -> None:
    bench.do(SetRate, requests=2, window_ns=NS_PER_S, ban_after=2)
    bench.network.advance(5 * NS_PER_S)
    statuses = [bench.orders.request(ReadTime()).status for _ in range(5)]
    assert statuses == [200, 200, 429, 418, 418]
    banned = bench.orders.request(place("a"))
    assert (banned.code, banned.remaining) == ("banned", 0)
    bench.network.advance(banned.reset_ns - banned.venue_ns)
    assert bench.orders.request(place("a")).ok
    bench.do(Ban, for_ns=NS_PER_S)
    assert bench.orders.request(ReadTime()).status == 418
    bench.do(ClearFaults)
    assert bench.orders.request(ReadTime()).ok


def test_orders_have_a_limit_of_their_own_which_every_answer_tells(bench: Bench) -> None:
    bench.do(SetRate, requests=1_000, window_ns=NS_PER_S, ban_after=2, orders=3)
    bench.network.advance(20 * NS_PER_S)
    placed = [bench.orders.request(place(name)) for name in "ab"]
    assert [(one.orders_limit, one.orders_remaining) for one in placed] == [(3, 2), (3, 1)]
    assert placed[1].orders_reset_ns - placed[1].venue_ns <= NS_PER_S
    # Each order of a batch counts, and what lowers or reads does not.
    assert (
        bench.orders.request(PlaceBatch(orders=(order("c"), order("d")), receive_window_ns=WINDOW_NS, sign_ns=placed[0].venue_ns)).status
        == 429
    )
    assert bench.orders.request(cancel("a")).ok
    assert bench.orders.request(ReadTime()).remaining == 1_000 - 5
    assert bench.orders.request(place("e")).code == "banned"
    bench.do(ClearFaults)
    bench.network.advance(NS_PER_S)
    assert bench.orders.request(place("e", sign_ns=bench.orders.request(ReadTime()).venue_ns)).ok


def test_bytes_that_are_no_request_are_refused_and_witnessed_as_the_worst(bench: Bench) -> None:
    bench.orders.link.send(b"\0\0\0\x02\x01\xc1")
    assert [(answer.request_id, answer.code) for answer in bench.answers()] == [(0, "bad_frame")]
    assert bench.network.witnessed()[-1]["class"] == "RISK+"
    bench.orders.link.send(b"\xff\xff\xff\xff")
    with pytest.raises(ConnectionResetError):
        bench.orders.request(ReadTime())


def test_time_on_the_network_counts_against_the_receive_window() -> None:
    slow = Bench(latency_ns=20 * NS_PER_MS)
    assert slow.orders.request(place("a", receive_window_ns=20 * NS_PER_MS)).ok
    assert slow.orders.request(place("b", receive_window_ns=20 * NS_PER_MS)).code == "request_expired"


def test_what_was_sent_before_going_away_still_arrives() -> None:
    slow = Bench(latency_ns=NS_PER_MS)
    slow.orders.send(place("a"))
    slow.orders.link.close()  # type: ignore[attr-defined]
    assert not slow.truth().orders
    slow.network.advance(NS_PER_S)
    assert [shown.client_id for shown in slow.truth().orders] == ["a"]


@pytest.mark.parametrize(
    ("make", "fields"),
    [
        (SetBook, {"symbol": "NOPE", "bid_ticks": 1, "ask_ticks": 2}),
        (SetBook, {"symbol": "BTCUSDT", "bid_ticks": 2, "ask_ticks": 2}),
        (SetBook, {"symbol": "BTCUSDT", "bid_ticks": 1, "ask_ticks": 2, "lots": -1}),
        (SetBook, {"symbol": "BTCUSDT", "bid_ticks": 1, "ask_ticks": 2, "mark_ticks": -1}),
        (SetIndex, {"currency": "USDT", "bid": "much", "ask": "1"}),
        (SetIndex, {"currency": "USDT", "bid": "1", "ask": "NaN"}),
        (SetStatus, {"symbol": "NOPE", "status": "halted"}),
        (FillOrder, {"client_id": "nobody", "lots": 1}),
        (FillOrder, {"client_id": "", "lots": 1}),
        (ForeignOrder, {"symbol": "BTCUSDT", "side": Side.BUY, "ticks": 0, "lots": 1}),
        (MoveBalance, {"kind": "deposit", "currency": "USDT", "amount": "much"}),
        (MoveBalance, {"kind": "deposit", "currency": "USDT", "amount": "NaN"}),
        (TakeOver, {"symbol": "BTCUSDT", "kind": "theft"}),
    ],
)
def test_commands_without_sense_fail_and_change_nothing(bench: Bench, make: type, fields: dict[str, object]) -> None:
    before = bench.truth()
    assert isinstance(bench.network.command(make(venue="bybit", **fields)), Failed)
    assert bench.truth() == before


def test_commands_that_find_nothing_say_so(bench: Bench) -> None:
    assert bench.do(ReverseFill, trade_id="bybit-t1") == 0
    assert bench.do(TakeOver, symbol="BTCUSDT", kind="adl") == 0
    bench.orders.request(taking("a"))
    assert bench.do(ForeignOrder, symbol="BTCUSDT", side=Side.BUY, ticks=1, lots=1, client_id="a") == 0
    assert bench.do(ReverseFill, trade_id="bybit-t1") == 1
    assert bench.do(ReverseFill, trade_id="bybit-t1") == 0


def test_names_that_are_unknown_are_refused(bench: Bench) -> None:
    assert isinstance(bench.network.command(AskTruth(venue="kraken")), Failed)
    reply, outs = bench.network.hub.control(b"\0\0\0\x02\x01\xc1")
    assert isinstance(reply, Failed)
    assert not outs
    with pytest.raises(WireError):
        decode_reply(b"\0\0\0\x02\x01\xc1")
    for names in ((), ("bybit", "bybit"), ("kraken",)):
        with pytest.raises(UsageError):
            MemoryNetwork(names)
    for venue, port in (("kraken", "orders"), ("bybit", "news")):
        with pytest.raises(UsageError):
            bench.network.connect(venue, port)
    assert Venue("bybit", bench.network.hub.witness, 0).next_due_ns() is None
