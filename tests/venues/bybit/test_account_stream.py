"""Bybit's private stream: what is sent to begin, what its frames say, and what is a gap."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from tests.venues.bybit.talks import COIN, EXECUTION, INSTRUMENTS, MS, NOW_MS, ORDER, POSITION
from tests.venues.bybit.test_account import KINDS, STATES
from tests.venues.scripted import encoded, scripted

from interlock.domain.orders import OrderState
from interlock.venues.bybit.account_stream import AccountStream
from interlock.venues.port import (
    AccountFeed,
    BalanceSeen,
    End,
    FillKind,
    FillSeen,
    LedgerSeen,
    OrderSeen,
    PositionSeen,
    Stamp,
    Told,
)
from interlock.venues.request import Key

KEY = Key("XXXXXXXXXX", "testsecret0123456789abcdefTESTSECRET")
STAMP = Stamp(timestamp_ms=1_662_350_395_000, nonce="n", receive_window_ms=5000)
FEED: AccountFeed = AccountStream(INSTRUMENTS)
SENT = "GET/realtime1662350400000"


def topic(name: str, *entries: Any) -> bytes:
    return encoded({"id": "1", "topic": name, "creationTime": NOW_MS, "data": [{"category": "linear"} | each for each in entries]})


def test_what_is_sent_to_begin() -> None:
    assert [json.loads(frame) for frame in FEED.greeting(KEY, STAMP).frames] == [
        {
            "req_id": "auth",
            "op": "auth",
            "args": ["XXXXXXXXXX", 1662350400000, "178e46b0aeb6815e190aaadaae257ee5bc08aec04f0eebe2ef31af0bba28735a"],
        },
        {"req_id": "topics", "op": "subscribe", "args": ["order", "execution", "position", "wallet"]},
    ]
    assert AccountStream(INSTRUMENTS).ping_every_s == 20
    # Three pings in a window, whatever the venue says meanwhile: only what we send counts there.
    assert [AccountStream(INSTRUMENTS, dead_man_s=window_s).ping_every_s for window_s in (3, 30, 300)] == [1, 10, 20]
    watched = AccountStream(INSTRUMENTS, dead_man_s=10).greeting(KEY, STAMP)
    assert json.loads(watched.frames[-1]) == {"req_id": "dead-man", "op": "subscribe", "args": ["dcp.future"]}
    assert scripted(FEED.opening(), []) == ("/v5/private", [])
    assert scripted(FEED.keeping(), []) == (None, [])
    assert FEED.headers(KEY, STAMP) == ()
    assert json.loads(FEED.ping()) == {"req_id": "ping", "op": "ping"}
    assert (FEED.ping_every_s, FEED.lives_s) == (20.0, 0.0)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        (b'{"success":true,"ret_msg":"","op":"auth","conn_id":"cejreaspqfh3sjdnldmg-p"}', Told("greeted")),
        (b'{"success":true,"ret_msg":"subscribe","conn_id":"2324d924","req_id":"topics","op":"subscribe"}', Told("greeted")),
        (b'{"req_id":"test","op":"pong","args":["1675418560633"],"conn_id":"cfcb4ocsvfriu23r3er0-1b"}', Told("pong")),
        (b'{"success":true,"ret_msg":"pong","conn_id":"465772b1","req_id":"","op":"ping"}', Told("pong")),
    ],
)
def test_answers(frame: bytes, told: Told) -> None:
    assert FEED.take(frame) == told


@pytest.mark.parametrize(
    "frame",
    [
        b'{"op":"auth","success":false,"retCode":10003,"retMsg":"Invalid apikey","connId":"c"}',
        b'{"op":"auth","success":false,"ret_msg":"error sign! origin_string[XXXXXXXXXX]","conn_id":"c"}',
        b'{"op":"auth","success":true,"retCode":10004}',
        b'{"success":false,"ret_msg":"Invalid topic","conn_id":"c","op":"subscribe"}',
    ],
)
def test_a_refusal_ends_the_connection_and_shows_no_key(frame: bytes) -> None:
    told = FEED.take(frame)
    assert (told.what, told.over, told.events) == ("refused", True, ())
    assert told.gap
    assert "XXXX" not in told.gap


@pytest.mark.parametrize(("changes", "state", "end"), STATES)
def test_orders(changes: dict[str, Any], state: OrderState, end: End) -> None:
    told = FEED.take(topic("order", ORDER | changes))
    (order,) = told.events
    assert isinstance(order, OrderSeen)
    assert (told.what, told.gap, order.state, order.end, order.symbol) == ("order", "", state, end, "BTCUSDT")


@pytest.mark.parametrize(("changes", "kind"), KINDS)
def test_executions_of_the_venue_are_told_whoever_placed_the_order(changes: dict[str, Any], kind: FillKind) -> None:
    told = FEED.take(topic("execution", EXECUTION | changes | {"orderLinkId": ""}))
    (fill,) = told.events
    assert isinstance(fill, FillSeen)
    assert (told.what, told.gap, fill.kind, fill.client_id) == ("execution", "", kind, "")


def test_funding() -> None:
    funding = EXECUTION | {"execType": "Funding", "execFee": "0.25", "feeCurrency": ""}
    told = FEED.take(topic("execution", funding))
    event = LedgerSeen(
        kind="funding", venue_id="0ab1bdf7", currency="USDT", amount=Decimal("-0.25"), symbol="BTCUSDT", venue_ns=NOW_MS * MS
    )
    assert told == Told("execution", (event,))
    (nothing,) = FEED.take(topic("execution", funding | {"execFee": "0"})).events
    assert isinstance(nothing, LedgerSeen)
    assert nothing.amount == 0


def test_positions() -> None:
    row = {name: value for name, value in POSITION.items() if name != "avgPrice"} | {"entryPrice": "64100.075"}
    assert FEED.take(topic("position", row)) == Told("position", (PositionSeen("BTCUSDT", -10, Decimal("64100.075")),))
    flat = row | {"side": "", "size": "0", "entryPrice": "0"}
    assert FEED.take(topic("position", flat)) == Told("position", (PositionSeen("BTCUSDT", 0, Decimal(0)),))
    for changes in ({"positionIdx": 2}, {"side": "None"}, {"size": "1e3"}):
        told = FEED.take(topic("position", row | changes))
        assert (told.events, bool(told.gap), told.over) == ((), True, False)


def test_the_wallet() -> None:
    account = {"accountType": "UNIFIED", "coin": [COIN, COIN | {"coin": "BTC", "walletBalance": "0.5"}]}
    events = (BalanceSeen("USDT", Decimal("9647.75"), None), BalanceSeen("BTC", Decimal("0.5"), None))
    assert FEED.take(topic("wallet", account)) == Told("wallet", events)
    assert FEED.take(topic("wallet", account | {"accountType": "SPOT"})).gap


def test_rows_that_make_sense_are_told_with_the_gap() -> None:
    told = FEED.take(topic("order", ORDER, ORDER | {"orderStatus": "Unheard"}, ORDER | {"qty": "x"}))
    assert (len(told.events), told.over) == (1, False)
    assert "Unheard" in told.gap


def test_one_name_in_two_categories_is_two_symbols() -> None:
    for category, symbol in (("linear", "BTCUSDT"), ("spot", "spot:BTCUSDT"), ("inverse", "inverse:BTCUSDT")):
        for name, row in (("order", ORDER), ("execution", EXECUTION)):
            (event,) = FEED.take(topic(f"{name}.{category}", row | {"category": category})).events
            assert isinstance(event, OrderSeen | FillSeen)
            assert (event.symbol, event.lots > 0) == (symbol, category == "linear")


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (b"", "malformed"),
        (b"[]", "malformed"),
        (b"{}", "malformed"),
        (b'{"op":"unheard"}', "malformed"),
        (b'{"op":"auth"}', "malformed"),
        (b'{"topic":"order"}', "malformed"),
        (b'{"topic":"order","data":{}}', "malformed"),
        (b'{"topic":"order","data":[],"x":"\xff"}', "malformed"),
        (b"[" * 100_000, "malformed"),
        (b" " * ((1 << 20) + 1), "oversized"),
        (b'{"topic":"greeks","data":[]}', "unknown topic"),
        (b'{"topic":"execution.fast","data":[]}', "unknown topic"),
    ],
)
def test_what_makes_no_sense_is_a_gap(frame: bytes, what: str) -> None:
    told = FEED.take(frame)
    assert (told.what, told.events, told.over) == (what, (), False)
    assert told.gap
