"""Orders: each verb as the bytes of its request, and what is concluded from the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.scripted import encoded
from tests.venues.upbit.talks import BTC, INSTRUMENTS, NOW_MS, ORDER, no, ok

from interlock.domain.errors import UsageError
from interlock.domain.orders import OrderState, OrderType, Side, TimeInForce
from interlock.market.shipped import SHIPPED
from interlock.venues.port import Accepted, AccountMode, Ask, End, Heard, OrderWanted, Stamp
from interlock.venues.request import Key, Method
from interlock.venues.trouble import Doing, Explained, Trouble
from interlock.venues.upbit import sign
from interlock.venues.upbit.trade import Trade

TRADE = Trade(INSTRUMENTS)
LIMIT = OrderWanted(
    instrument=BTC,
    client_id="arb-0001",
    side=Side.BUY,
    type=OrderType.LIMIT,
    tif=TimeInForce.GTC,
    ticks=50_000_000,
    lots=100_000,
)
SALE = replace(LIMIT, side=Side.SELL, type=OrderType.MARKET, tif=TimeInForce.IOC, ticks=0)
BUY = replace(SALE, side=Side.BUY, lots=0, cost=Decimal(100_000))
UUID = "cdd92199-2897-4e14-9448-f923320408ad"


def body(ask: Ask) -> str:
    assert (ask.call.method, ask.call.path, ask.call.query, ask.budget, ask.weight) == (Method.POST, "/v1/orders", "", "order", 1)
    return ask.call.body.decode()


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (
            LIMIT,
            '{"market":"KRW-BTC","side":"bid","volume":"0.001","price":"50000000","ord_type":"limit","smp_type":"cancel_taker","identifier":"arb-0001"}',
        ),
        (
            replace(LIMIT, side=Side.SELL, tif=TimeInForce.IOC, reduce_only=True),
            '{"market":"KRW-BTC","side":"ask","volume":"0.001","price":"50000000","ord_type":"limit","time_in_force":"ioc",'
            '"smp_type":"cancel_taker","identifier":"arb-0001"}',
        ),
        (
            replace(LIMIT, tif=TimeInForce.FOK, lots=1),
            '{"market":"KRW-BTC","side":"bid","volume":"0.00000001","price":"50000000","ord_type":"limit","time_in_force":"fok",'
            '"smp_type":"cancel_taker","identifier":"arb-0001"}',
        ),
        (
            replace(LIMIT, tif=TimeInForce.POST_ONLY),
            '{"market":"KRW-BTC","side":"bid","volume":"0.001","price":"50000000","ord_type":"limit","time_in_force":"post_only",'
            '"smp_type":"none","identifier":"arb-0001"}',
        ),
        (SALE, '{"market":"KRW-BTC","side":"ask","volume":"0.001","ord_type":"market","smp_type":"cancel_taker","identifier":"arb-0001"}'),
        (BUY, '{"market":"KRW-BTC","side":"bid","price":"100000","ord_type":"price","smp_type":"cancel_taker","identifier":"arb-0001"}'),
    ],
)
def test_each_kind_of_order_is_these_bytes(order: OrderWanted, expected: str) -> None:
    assert body(TRADE.place(order)) == expected


def test_what_is_signed_is_what_is_sent() -> None:
    ask = TRADE.place(LIMIT)
    signed = TRADE.sign(Key("access", "secret"), ask, Stamp(NOW_MS, "b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a", 1000))
    assert signed == sign.sign(Key("access", "secret"), ask.call, nonce="b2f1e3f8-2dc1-4d6f-a838-c74c49b0e39a")
    assert signed.body == ask.call.body
    assert "&".join(f"{name}={value}" for name, value in json.loads(signed.body).items()) == sign.parameters(ask.call)


@given(st.integers(1, 10**10), st.integers(1, 10**17))
def test_numbers_are_plain_and_exact(ticks: int, lots: int) -> None:
    members = json.loads(body(TRADE.place(replace(LIMIT, ticks=ticks, lots=lots))))
    assert (Decimal(members["price"]), Decimal(members["volume"])) == (BTC.quantum * ticks, BTC.lot * lots)
    assert not set(members["price"] + members["volume"]) - set("0123456789.")


@pytest.mark.parametrize(
    ("order", "match"),
    [
        (replace(LIMIT, ticks=0), "expected a price and a size"),
        (replace(LIMIT, lots=0), "expected a price and a size"),
        (replace(LIMIT, lots=-1), "expected a price and a size"),
        (replace(LIMIT, cost=Decimal(5000)), "expected a price and a size"),
        (replace(LIMIT, reduce_only=True), "expected a sale to reduce"),
        (replace(LIMIT, client_id=""), "client id"),
        (replace(LIMIT, client_id='a"b'), "client id"),
        (replace(LIMIT, client_id="x" * 65), "client id"),
        (replace(LIMIT, instrument=SHIPPED["bybit:BTCUSDT"]), "instrument of Upbit"),
        (replace(SALE, tif=TimeInForce.GTC), "IOC"),
        (replace(SALE, ticks=5), "no price"),
        (replace(SALE, lots=0), "size to sell"),
        (replace(SALE, cost=Decimal(5000)), "size to sell"),
        (replace(BUY, cost=None), "cost in whole won"),
        (replace(BUY, cost=Decimal("NaN")), "cost in whole won"),
        (replace(BUY, cost=Decimal("5000.5")), "cost in whole won"),
        (replace(BUY, cost=Decimal(0)), "cost in whole won"),
        (replace(BUY, lots=1), "cost in whole won"),
    ],
)
def test_what_cannot_be_written(order: OrderWanted, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        TRADE.place(order)


@pytest.mark.parametrize(
    ("ask", "target", "budget"),
    [
        (TRADE.cancel("KRW-BTC", client_id="arb-0001"), "/v1/order?identifier=arb-0001", "default"),
        (TRADE.cancel("KRW-BTC", client_id="arb-0001", venue_order_id=UUID), f"/v1/order?uuid={UUID}", "default"),
        (TRADE.cancel_all("KRW-BTC"), "/v1/orders/open?pairs=KRW-BTC&cancel_side=all&count=300&order_by=desc", "order-cancel-all"),
        (TRADE.cancel_all(""), "/v1/orders/open?cancel_side=all&count=300&order_by=desc", "order-cancel-all"),
        (TRADE.cancel_batch("KRW-BTC", ("a", "b")), "/v1/orders/uuids?identifiers[]=a&identifiers[]=b", "default"),
    ],
)
def test_cancels_are_these_queries(ask: Ask, target: str, budget: str) -> None:
    assert (ask.call.method, f"{ask.call.path}?{ask.call.query}", ask.call.body, ask.budget) == (Method.DELETE, target, b"", budget)


def test_what_upbit_does_not_have() -> None:
    for call in (
        lambda: TRADE.amend(LIMIT, UUID),
        lambda: TRADE.place_batch((LIMIT, LIMIT)),
        lambda: TRADE.beat("KRW-BTC", 0),
        lambda: TRADE.set_mode(AccountMode(position="hedge", margin="cross", leverage={})),
        lambda: TRADE.set_mode(AccountMode(position="spot", margin="spot", leverage={"KRW-BTC": Decimal(2)})),
        lambda: TRADE.cancel("KRW-BTC"),
        lambda: TRADE.cancel("KRW-BTC", venue_order_id="a&b=c"),
        lambda: TRADE.cancel_all("BTC-ETH"),
        lambda: TRADE.cancel_batch("KRW-BTC", ()),
        lambda: TRADE.cancel_batch("KRW-BTC", ("a",) * 21),
        lambda: TRADE.cancel_batch("KRW-BTC", ("a", "")),
    ):
        with pytest.raises(UsageError):
            call()
    assert TRADE.set_mode(AccountMode(position="spot", margin="spot", leverage={})) == ()


# Answers


def placed(**changes: Any) -> Accepted | Explained:
    return TRADE.answered(ok(ORDER | changes, 201), Doing.PLACE)


def test_an_order_that_bears_its_id_was_accepted() -> None:
    assert placed() == Accepted("arb-0001", str(ORDER["uuid"]), OrderState.OPEN)
    assert placed(executed_volume="0.0004") == Accepted("arb-0001", str(ORDER["uuid"]), OrderState.PARTIAL, 40_000)
    assert placed(state="done", executed_volume="0.001") == Accepted("arb-0001", str(ORDER["uuid"]), OrderState.FILLED, 100_000, End.FILLED)
    assert placed(state="cancel", time_in_force="ioc") == Accepted("arb-0001", str(ORDER["uuid"]), OrderState.EXPIRED, 0, End.IOC)


@pytest.mark.parametrize(
    "heard",
    [
        ok(ORDER | {"identifier": None}, 201),
        ok(ORDER | {"identifier": ""}, 201),
        ok(ORDER | {"price": "50000000.5"}, 201),
        ok(ORDER | {"state": "new"}, 201),
        ok({}, 201),
        Heard(201, {}, b""),
        Heard(201, {}, b"<html>"),
        Heard(200, {}, b"[]"),
        no("insufficient_funds_bid", 201),
        ok(ORDER, 202),
        ok(ORDER, 302),
        ok(ORDER, 400),
        ok(ORDER | {"error": {"name": "insufficient_funds_bid"}}, 400),
        no("insufficient_funds_bid", 500),
        no("order_not_found", 404),
        no("unheard_of", 400),
        no("nonce_used", 401),
        no("server_error", 500),
        no(404, 404),
        Heard(0),
        Heard(401),
        Heard(504, {}, b"<html>"),
        Heard(400, {}, b'{"error":{"name":"invalid_funds"'),
    ],
)
def test_whatever_is_no_clear_answer_to_a_placement_is_of_unknown_outcome(heard: Heard) -> None:
    found = TRADE.answered(heard, Doing.PLACE)
    assert isinstance(found, Explained)
    assert (found.trouble, found.settled) == (Trouble.UNKNOWN_OUTCOME, False)


def test_a_clear_no_settles_a_placement() -> None:
    for heard, trouble in (
        (no("insufficient_funds_bid"), Trouble.INSUFFICIENT_BALANCE),
        (no("under_min_total_bid"), Trouble.INVALID_ORDER),
        (no("invalid_price_ask"), Trouble.INVALID_ORDER),
        (no("no_authorization_ip", 401), Trouble.IP_RESTRICTION),
        (no(429, 429), Trouble.RATE_LIMIT),
        (no("market_offline", 403), Trouble.MAINTENANCE),
    ):
        found = TRADE.answered(heard, Doing.PLACE)
        assert isinstance(found, Explained)
        assert (found.trouble, found.settled) == (trouble, True)
    twice = TRADE.answered(no("duplicated_identifier"), Doing.PLACE)
    assert isinstance(twice, Explained)
    assert (twice.trouble, twice.settled) == (Trouble.DUPLICATE_CLIENT_ID, False)


def test_a_cancel_is_taken_and_ends_nothing() -> None:
    assert TRADE.answered(ok(ORDER), Doing.CANCEL) == Accepted("arb-0001", str(ORDER["uuid"]), OrderState.ACKED)
    assert TRADE.answered(ok(CANCELLED), Doing.CANCEL) == Accepted("", "", OrderState.ACKED)
    for heard, trouble in ((no("order_not_found", 404), Trouble.ORDER_NOT_FOUND), (ok({}), Trouble.UNKNOWN), (Heard(0), Trouble.UNKNOWN)):
        found = TRADE.answered(heard, Doing.CANCEL)
        assert isinstance(found, Explained)
        assert (found.trouble, found.settled) == (trouble, False)


CANCELLED = {
    "success": {"count": 2, "orders": [{"uuid": "u1", "market": "KRW-BTC", "identifier": "a"}, {"uuid": "u2", "market": "KRW-BTC"}]},
    "failed": {"count": 1, "orders": [{"uuid": "u3", "market": "KRW-BTC"}]},
}


def test_a_batch_names_what_was_taken_and_leaves_the_rest_open() -> None:
    first, second, third = TRADE.batch_answered(ok(CANCELLED), Doing.CANCEL, 3)
    assert (first, second) == (Accepted("a", "u1", OrderState.ACKED), Accepted("", "u2", OrderState.ACKED))
    assert isinstance(third, Explained)
    assert (third.trouble, third.settled) == (Trouble.UNKNOWN, False)
    assert len(TRADE.batch_answered(ok(CANCELLED), Doing.CANCEL, 1)) == 1
    for heard in (ok([]), Heard(200, {}, b""), ok(CANCELLED, 201), no("too_many_requests", 429), Heard(502)):
        found = TRADE.batch_answered(heard, Doing.CANCEL, 2)
        assert [isinstance(each, Explained) and not each.settled for each in found] == [True, True]


@given(st.one_of(st.binary(max_size=40), st.dictionaries(st.sampled_from(sorted(ORDER)), st.none() | st.text(max_size=5)).map(encoded)))
def test_no_bytes_make_an_order_that_was_not_named(data: bytes) -> None:
    for status in (200, 201, 400, 500):
        found = TRADE.answered(Heard(status, {}, data), Doing.PLACE)
        assert isinstance(found, Explained)
        assert not found.settled
