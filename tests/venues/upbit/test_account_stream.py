"""The private stream: orders, executions, balances, and everything else that a frame may be."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.venues.scripted import encoded, scripted
from tests.venues.upbit.talks import INSTRUMENTS, MS, MY_ORDER, NOW_MS, ORDER, TRADE

from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.port import BalanceSeen, End, FillKind, FillSeen, OrderSeen, Stamp, Told
from interlock.venues.request import Key
from interlock.venues.upbit import seen, sign
from interlock.venues.upbit.account_stream import AccountStream

STREAM = AccountStream(INSTRUMENTS)
KEY, STAMP = Key("access", "secret"), Stamp(NOW_MS, "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a", 1000)
FILL: dict[str, Any] = {
    "state": "trade",
    "trade_uuid": TRADE["uuid"],
    "executed_volume": 0.001,
    "remaining_volume": 0.0,
    "trade_fee": 25.000000000000004,
    "is_maker": False,
    "trade_timestamp": 1_751_608_801_421,
}


def told(**changes: Any) -> Told:
    return STREAM.take(encoded(MY_ORDER | changes))


def order(**changes: Any) -> OrderSeen:
    (found,) = told(**changes).events
    assert isinstance(found, OrderSeen)
    return found


def test_what_is_said_on_connecting() -> None:
    assert scripted(STREAM.opening(), [])[0] == "/websocket/v1/private"
    assert scripted(STREAM.keeping(), [])[0] is None
    assert STREAM.headers(KEY, STAMP) == (sign.stream_auth(KEY, nonce=STAMP.nonce),)
    (frame,) = STREAM.greeting(KEY, STAMP).frames
    assert json.loads(frame) == [{"ticket": STAMP.nonce}, {"type": "myOrder"}, {"type": "myAsset"}, {"format": "DEFAULT"}]
    assert STREAM.ping() == b"PING"
    assert 0 < STREAM.ping_every_s < 60


def test_an_open_order_is_told_whole() -> None:
    assert told() == Told("myOrder", (order(),))
    assert order() == OrderSeen(
        symbol="KRW-BTC",
        client_id="arb-0001",
        venue_order_id=str(MY_ORDER["uuid"]),
        side=Side.BUY,
        ticks=50_000_000,
        lots=100_000,
        filled_lots=0,
        state=OrderState.OPEN,
        end=End.NONE,
        reduce_only=False,
        venue_ns=(NOW_MS + 12) * MS,
    )


@pytest.mark.parametrize(
    ("changes", "state", "end", "lots"),
    [
        ({"state": "watch"}, OrderState.OPEN, End.NONE, 100_000),
        ({"state": "prevented", "prevented_volume": 4e-4}, OrderState.OPEN, End.NONE, 100_000),
        ({"state": "prevented", "prevented_volume": 4e-4, "executed_volume": 0.0001}, OrderState.PARTIAL, End.NONE, 100_000),
        ({"state": "done", "executed_volume": 0.001}, OrderState.FILLED, End.FILLED, 100_000),
        ({"state": "cancel"}, OrderState.CANCELLED, End.CANCELLED, 100_000),
        ({"state": "cancel", "time_in_force": "post_only"}, OrderState.CANCELLED, End.POST_ONLY, 100_000),
        ({"state": "cancel", "prevented_volume": 0.001}, OrderState.CANCELLED, End.SELF_MATCH, 100_000),
        ({"state": "cancel", "order_type": "price", "volume": None, "executed_volume": 0.0009}, OrderState.FILLED, End.FILLED, 90_000),
        ({"state": "cancel", "order_type": "price", "volume": 0.0, "executed_volume": 0.0009}, OrderState.FILLED, End.FILLED, 90_000),
        ({"state": "cancel", "order_type": "market", "price": None}, OrderState.EXPIRED, End.IOC, 100_000),
        ({"state": "cancel", "order_type": "best", "price": None, "time_in_force": "fok"}, OrderState.EXPIRED, End.FOK, 100_000),
    ],
)
def test_every_state_has_its_meaning(changes: dict[str, Any], state: OrderState, end: End, lots: int) -> None:
    found = order(**changes)
    assert (found.state, found.end, found.lots) == (state, end, lots)


def test_a_trade_is_an_execution_and_as_a_list_tells_it() -> None:
    (found,) = told(**FILL).events
    assert found == FillSeen(
        symbol="KRW-BTC",
        trade_id=str(TRADE["uuid"]),
        client_id="arb-0001",
        venue_order_id=str(ORDER["uuid"]),
        side=Side.BUY,
        ticks=50_000_000,
        lots=100_000,
        liquidity=Liquidity.TAKER,
        fee=Decimal(25),
        fee_currency="KRW",
        kind=FillKind.TRADE,
        venue_ns=1_751_608_801_000_000_000,
    )
    row = ORDER | {"state": "done", "executed_volume": "0.001", "paid_fee": "25", "trades": [TRADE]}
    assert seen.fills_of(seen.order_row(encoded(row)), INSTRUMENTS) == (found,)
    (made,) = told(**FILL | {"is_maker": True, "ask_bid": "ASK"}).events
    assert isinstance(made, FillSeen)
    assert (made.liquidity, made.side) == (Liquidity.MAKER, Side.SELL)


def test_orders_and_trades_of_others_than_ours_are_told() -> None:
    (found,) = told(**FILL | {"identifier": None, "code": "BTC-ETH", "price": 0.03123456}).events
    assert isinstance(found, FillSeen)
    assert (found.client_id, found.ticks, found.lots, found.fee_currency) == ("", 0, 0, "BTC")
    assert (order(identifier=None).client_id, order(code="BTC-ETH").lots) == ("", 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "rejected"},
        {"state": None},
        {"ask_bid": "bid"},
        {"order_type": "stop"},
        {"time_in_force": "gtd"},
        {"code": ""},
        {"uuid": ""},
        {"price": 50_000_000.5},
        {"price": None},
        {"price": "NaN"},
        {"volume": -0.001},
        {"volume": 1e-9},
        {"executed_volume": None},
        {"executed_volume": 0.0011},
        {"state": "done"},
        {"timestamp": 0},
        {"timestamp": 2**61},
        FILL | {"trade_uuid": None},
        FILL | {"trade_fee": None},
        FILL | {"trade_fee": -25},
        FILL | {"is_maker": None},
        FILL | {"trade_timestamp": None},
        FILL | {"trade_timestamp": 0},
        FILL | {"price": 0},
        FILL | {"volume": 0},
        FILL | {"volume": None},
        FILL | {"volume": 1e400 and "Infinity"},
    ],
)
def test_what_makes_no_sense_is_a_gap(changes: dict[str, Any]) -> None:
    found = told(**changes)
    assert (found.what, found.events, found.over) == ("malformed", (), False)
    assert found.gap
    assert not told().gap


def test_balances_are_told_to_the_last_digit() -> None:
    frame = (
        b'{"type":"myAsset","asset_uuid":"e635f223-1609-4969-8fb6-4376937baad6","assets":[{"currency":"KRW",'
        b'"balance":1386929.37231066771348207123,"locked":10329.670127489597585685}],"timestamp":1710146517267,"stream_type":"REALTIME"}'
    )
    free = Decimal("1386929.37231066771348207123")
    assert STREAM.take(frame) == Told("myAsset", (BalanceSeen("KRW", Decimal("1397259.04243815731106775623"), free),))
    assert STREAM.take(frame.replace(b"10329", b"-10329")).gap


@pytest.mark.parametrize(
    ("frame", "what", "over"),
    [
        (b'{"status":"UP"}', "greeted", False),
        (b'{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"myOrder"},{"type":"myAsset"}],"ticket":"t"}', "greeted", False),
        (b'{"type":"announcement","title":"x"}', "announcement", False),
        (b'{"method":"LIST_SUBSCRIPTIONS","result":[{"type":"myOrder"}],"ticket":"t"}', "not subscribed", True),
        (b'{"error":{"name":"WRONG_FORMAT","message":"x"}}', "refused", True),
        (b'{"error":{"name":"Too Many Requests"}}', "refused", True),
        (b'{"error":{"name":429}}', "refused", True),
        (b'{"error":{}}', "refused", True),
        (b'{"error":"no"}', "refused", True),
        (b'{"status":"UP","error":null}', "greeted", False),
        (b'{"type":"ticker"}', "malformed", False),
        (b'{"status":"DOWN"}', "malformed", False),
        (b'{"method":"OTHER"}', "malformed", False),
        (b"{}", "malformed", False),
        (b"[]", "malformed", False),
        (b"", "malformed", False),
        (b'{"type":"myOrder","x":"\xff"}', "malformed", False),
        (b" " * (MAX_FRAME_BYTES + 1), "oversized", False),
    ],
)
def test_every_other_frame(frame: bytes, what: str, over: bool) -> None:
    found = STREAM.take(frame)
    assert (found.what, found.events, found.over) == (what, (), over)
    assert bool(found.gap) == (what not in ("greeted", "announcement"))
