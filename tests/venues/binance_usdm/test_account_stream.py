"""The private stream frame by frame: what each event says, and that none breaks it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.binance_usdm.talks import ACCOUNT, ALGO_UPDATE, EXPIRED, FILLED, INSTRUMENTS, LIQUIDATED, LITE, MS, mutated, no, ok
from tests.venues.scripted import encoded, scripted

from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.binance_usdm.account_stream import EVENTS, AccountStream
from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.port import (
    Access,
    BalanceSeen,
    End,
    FillKind,
    FillSeen,
    Heard,
    Nonsense,
    OrderSeen,
    PositionSeen,
    Refused,
    Stamp,
    Told,
)
from interlock.venues.request import Key, Method
from interlock.venues.trouble import Trouble

STREAM = AccountStream(INSTRUMENTS)
CONFIG = {"e": "ACCOUNT_CONFIG_UPDATE", "E": 1611646737479, "T": 1611646737476, "ac": {"s": "BTCUSDT", "l": 25}}


def order(**changes: Any) -> dict[str, Any]:
    return {**FILLED, "o": {**FILLED["o"], **changes}}


def taken(event: Any) -> Told:
    return STREAM.take(encoded(event))


# Coming and staying


def test_a_listen_key_opens_it() -> None:
    path, (asked,) = scripted(STREAM.opening(), [ok({"listenKey": "pqia91ma19a5s61cv6a81va65sdf19v8"})])
    assert path == f"/private/ws?listenKey=pqia91ma19a5s61cv6a81va65sdf19v8&events={'/'.join(EVENTS)}"
    assert (asked.call.method, asked.call.path, asked.access) == (Method.POST, "/fapi/v1/listenKey", Access.KEYED)
    bodies: list[Any] = [{}, {"listenKey": ""}, {"listenKey": "a/b"}, {"listenKey": "x" * 257}, {"listenKey": 1}, []]
    for body in bodies:
        with pytest.raises(Nonsense):
            scripted(STREAM.opening(), [ok(body)])


def test_a_listen_key_is_kept() -> None:
    found, (asked,) = scripted(STREAM.keeping(), [ok({})])
    assert (found, asked.call.method, asked.access) == (None, Method.PUT, Access.KEYED)
    with pytest.raises(Refused) as refused:
        scripted(STREAM.keeping(), [no(-1125)])
    assert refused.value.explained.trouble is Trouble.NETWORK_ERROR
    with pytest.raises(Nonsense):
        scripted(STREAM.keeping(), [Heard(200, {}, b"<html>")])


def test_nothing_else_is_said() -> None:
    key, stamp = Key("a", "b"), Stamp(1, "n", 1)
    assert (STREAM.headers(key, stamp), STREAM.greeting(key, stamp).frames, STREAM.ping()) == ((), (), b"")
    assert 0 < STREAM.ping_every_s < 600
    assert 0 < STREAM.lives_s < 24 * 3600


# Orders and executions

FILL = FillSeen(
    symbol="BTCUSDT",
    trade_id="12345678",
    client_id="arb-0001",
    venue_order_id="8886774",
    side=Side.BUY,
    ticks=71005,
    lots=1,
    liquidity=Liquidity.MAKER,
    fee=Decimal("0.01"),
    fee_currency="USDT",
    kind=FillKind.TRADE,
    venue_ns=1568879465650 * MS,
)
SEEN = OrderSeen(
    symbol="BTCUSDT",
    client_id="arb-0001",
    venue_order_id="8886774",
    side=Side.BUY,
    ticks=71005,
    lots=2,
    filled_lots=1,
    state=OrderState.PARTIAL,
    end=End.NONE,
    reduce_only=False,
    venue_ns=1568879465650 * MS,
)


def test_a_fill_and_what_became_of_its_order() -> None:
    assert taken(FILLED) == Told("ORDER_TRADE_UPDATE TRADE", (FILL, SEEN))
    assert taken({"stream": "pqia", "data": FILLED}) == taken(FILLED)


def test_a_liquidation_is_told_for_what_it_is() -> None:
    told = taken(LIQUIDATED)
    fill, seen = told.events
    assert isinstance(fill, FillSeen)
    assert isinstance(seen, OrderSeen)
    assert (told.gap, fill.kind, fill.client_id, fill.side, fill.lots) == ("", FillKind.LIQUIDATION, "autoclose-1234567890", Side.SELL, 14)
    assert fill.ticks == 99101, "between two ticks: the one against us"
    assert (seen.state, seen.end, seen.reduce_only) == (OrderState.FILLED, End.FILLED, True)
    bought = taken({**LIQUIDATED, "o": {**LIQUIDATED["o"], "S": "BUY"}}).events[0]
    assert isinstance(bought, FillSeen)
    assert bought.ticks == 99102


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"c": "adl_autoclose"}, FillKind.ADL),
        ({"c": "adl_autoclose", "x": "CALCULATED", "X": "PARTIALLY_FILLED"}, FillKind.ADL),
        ({"c": "settlement_autoclose-7"}, FillKind.SETTLEMENT),
        ({"c": "autoclose-7"}, FillKind.LIQUIDATION),
        ({"c": "arb-0001", "x": "CALCULATED"}, FillKind.LIQUIDATION),
        ({"c": "web_7"}, FillKind.TRADE),
    ],
)
def test_what_made_an_execution(changes: dict[str, str], kind: FillKind) -> None:
    (fill, _) = taken(order(**changes)).events
    assert isinstance(fill, FillSeen)
    assert (fill.kind, fill.client_id) == (kind, changes["c"])


@pytest.mark.parametrize(
    ("changes", "state", "end"),
    [
        ({"x": "NEW", "X": "NEW"}, OrderState.OPEN, End.NONE),
        ({"x": "NEW", "X": "NEW_ADL"}, OrderState.OPEN, End.NONE),
        ({"x": "AMENDMENT", "X": "NEW"}, OrderState.OPEN, End.NONE),
        ({"x": "AMENDMENT", "X": "PARTIALLY_FILLED", "z": "0.001"}, OrderState.PARTIAL, End.NONE),
        ({"x": "CANCELED", "X": "CANCELED", "z": "0.001"}, OrderState.CANCELLED, End.CANCELLED),
        ({"x": "CANCELED", "X": "CANCELED", "er": "4"}, OrderState.CANCELLED, End.REDUCE_ONLY),
        ({"x": "CANCELED", "X": "CANCELED", "er": "77"}, OrderState.CANCELLED, End.VENUE),
        ({"x": "EXPIRED", "X": "EXPIRED_IN_MATCH", "er": "1"}, OrderState.EXPIRED, End.SELF_MATCH),
        ({"x": "EXPIRED", "X": "EXPIRED"}, OrderState.EXPIRED, End.POST_ONLY),
        ({"x": "EXPIRED", "X": "EXPIRED", "z": "0.001"}, OrderState.EXPIRED, End.VENUE),
        ({"x": "EXPIRED", "X": "EXPIRED", "f": "GTD"}, OrderState.EXPIRED, End.VENUE),
        ({"x": "EXPIRED", "X": "EXPIRED", "f": "FOK"}, OrderState.EXPIRED, End.FOK),
        ({"x": "EXPIRED", "X": "EXPIRED", "f": "FOK", "er": "2"}, OrderState.EXPIRED, End.FOK),
        ({"x": "EXPIRED", "X": "EXPIRED", "er": 5}, OrderState.EXPIRED, End.LIQUIDATION),
        *(
            ({"x": "EXPIRED", "X": "EXPIRED", "f": "IOC", "er": str(reason)}, OrderState.EXPIRED, end)
            for reason, end in enumerate(
                (
                    End.IOC,
                    End.SELF_MATCH,
                    End.IOC,
                    End.SELF_MATCH,
                    End.REDUCE_ONLY,
                    End.LIQUIDATION,
                    End.VENUE,
                    End.VENUE,
                    End.VENUE,
                    End.IOC,
                    End.VENUE,
                )
            )
        ),
        ({"x": "REJECTED", "X": "REJECTED"}, OrderState.REJECTED, End.REJECTED),
    ],
)
def test_every_state(changes: dict[str, Any], state: OrderState, end: End) -> None:
    told = taken(order(**{"z": "0", "l": "0", "L": "0", "t": 0, **changes}))
    (seen,) = told.events
    assert isinstance(seen, OrderSeen)
    assert (told.gap, seen.state, seen.end) == ("", state, end)


def test_an_amended_order_has_its_new_price_and_size() -> None:
    (seen,) = taken(order(x="AMENDMENT", X="NEW", z="0", l="0", L="0", t=0, q="0.005", p="7000.10", M=7)).events
    assert isinstance(seen, OrderSeen)
    assert (seen.ticks, seen.lots, seen.venue_order_id, seen.client_id) == (70001, 5, "8886774", "arb-0001")


def test_commission_that_is_absent_is_none() -> None:
    plain = {name: value for name, value in FILLED["o"].items() if name not in ("N", "n")}
    fill = taken({**FILLED, "o": plain}).events[0]
    assert isinstance(fill, FillSeen)
    assert (fill.fee, fill.fee_currency) == (Decimal(0), "USDT")
    rebate = taken(order(N="BNB", n="-0.002", m=False)).events[0]
    assert isinstance(rebate, FillSeen)
    assert (rebate.fee, rebate.fee_currency, rebate.liquidity) == (Decimal("-0.002"), "BNB", Liquidity.TAKER)


def test_of_another_symbol_it_is_told_that_there_is_something() -> None:
    fill, seen = taken(order(s="测试USDT", p="0.00012345", L="0.00012345", N=None)).events
    assert isinstance(fill, FillSeen)
    assert isinstance(seen, OrderSeen)
    assert (fill.symbol, fill.ticks, fill.lots, fill.fee_currency) == ("测试USDT", 0, 0, "")
    assert (seen.symbol, seen.ticks, seen.lots, seen.state) == ("测试USDT", 0, 0, OrderState.PARTIAL)


@pytest.mark.parametrize(
    ("changes", "events"),
    [
        ({"t": 0}, 1),
        ({"L": "7100.55"}, 1),
        ({"l": "0"}, 1),
        ({"n": "1e-5"}, 1),
        ({"z": "0"}, 1),
        ({"X": "WHO_KNOWS"}, 1),
        ({"X": "FILLED"}, 1),
        ({"X": "REJECTED"}, 1),
        ({"p": "7100.55"}, 1),
        ({"T": 0}, 0),
        ({"x": "WHO_KNOWS"}, 0),
        ({"S": "BOTH"}, 0),
        ({"c": "x" * 65}, 0),
        ({"q": None}, 0),
        ({"c": "autoclose-1", "L": "9" * 19}, 1),
        ({"c": "autoclose-1", "L": "9" * 18 + ".5"}, 1),
    ],
)
def test_what_makes_no_sense_is_a_gap_and_the_rest_is_told(changes: dict[str, Any], events: int) -> None:
    told = taken(order(**changes))
    assert told.gap
    assert len(told.events) == events
    assert not told.over


# Balances and positions


def test_what_changed_of_an_account() -> None:
    assert taken(ACCOUNT) == Told(
        "ACCOUNT_UPDATE ORDER", (BalanceSeen("USDT", Decimal("122624.12345678"), None), PositionSeen("BTCUSDT", 0, Decimal(0)))
    )
    moved = {"m": "FUNDING_FEE", "B": ACCOUNT["a"]["B"]}
    assert taken({**ACCOUNT, "a": moved}) == Told("ACCOUNT_UPDATE FUNDING_FEE", (BalanceSeen("USDT", Decimal("122624.12345678"), None),))
    other = {"m": "NEW_REASON", "P": [{**ACCOUNT["a"]["P"][0], "pa": "-0.014", "ep": "6563.66500"}]}
    assert taken({**ACCOUNT, "a": other}) == Told("ACCOUNT_UPDATE for another reason", (PositionSeen("BTCUSDT", -14, Decimal("6563.665")),))


@pytest.mark.parametrize(
    ("part", "changes", "events"),
    [
        ("B", {"wb": "NaN"}, 1),
        ("B", {"a": ""}, 1),
        ("P", {"pa": "0.0005"}, 1),
        ("P", {"ps": "LONG", "pa": "1"}, 1),
        ("P", {"ep": "-1"}, 1),
        ("P", {"pa": None}, 1),
    ],
)
def test_what_makes_no_sense_of_an_account_is_a_gap(part: str, changes: dict[str, Any], events: int) -> None:
    told = taken({**ACCOUNT, "a": {**ACCOUNT["a"], part: [{**ACCOUNT["a"][part][0], **changes}]}})
    assert told.gap
    assert len(told.events) == events


def test_flat_sides_of_hedge_mode_say_nothing() -> None:
    told = taken({**ACCOUNT, "a": {**ACCOUNT["a"], "B": [], "P": [{**ACCOUNT["a"]["P"][0], "ps": "SHORT"}]}})
    assert (told.events, told.gap) == ((), "")


# Others


@pytest.mark.parametrize(
    ("status", "state", "end"),
    [
        ("NEW", OrderState.OPEN, End.NONE),
        ("TRIGGERING", OrderState.OPEN, End.NONE),
        ("TRIGGERED", OrderState.OPEN, End.NONE),
        ("FINISHED", OrderState.EXPIRED, End.VENUE),
        ("CANCELED", OrderState.CANCELLED, End.CANCELLED),
        ("EXPIRED", OrderState.EXPIRED, End.VENUE),
        ("REJECTED", OrderState.REJECTED, End.REJECTED),
    ],
)
def test_conditional_orders(status: str, state: OrderState, end: End) -> None:
    told = taken({**ALGO_UPDATE, "o": {**ALGO_UPDATE["o"], "X": status}})
    (seen,) = told.events
    assert isinstance(seen, OrderSeen)
    assert (seen.symbol, seen.client_id, seen.venue_order_id, seen.state, seen.end) == (
        "BNBUSDT",
        "Q5xaq5EGKgXXa0fD7fs0Ip",
        "algo:2148719",
        state,
        end,
    )


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (LITE, "TRADE_LITE"),
        (CONFIG, "ACCOUNT_CONFIG_UPDATE"),
        ({"e": "MARGIN_CALL", "E": 1, "cw": "3.1", "p": []}, "MARGIN_CALL"),
        ({"e": "STRATEGY_UPDATE"}, "STRATEGY_UPDATE"),
        ({"e": "GRID_UPDATE"}, "GRID_UPDATE"),
        ({"e": "CONDITIONAL_ORDER_TRIGGER_REJECT"}, "CONDITIONAL_ORDER_TRIGGER_REJECT"),
        ({**FILLED, "st": 2}, "coin-margined ORDER_TRADE_UPDATE"),
        ({"result": None, "id": 1}, "answered"),
    ],
)
def test_what_says_nothing_new(event: Any, what: str) -> None:
    assert taken(event) == Told(what)


def test_an_order_of_the_right_market_is_not_passed_over() -> None:
    assert taken({**FILLED, "st": 1}) == taken(FILLED)


def test_the_end_of_a_connection() -> None:
    told = taken(EXPIRED)
    assert (told.what, told.over, bool(told.gap)) == ("listenKeyExpired", True, True)
    told = taken({"e": "serverShutdown", "E": 1})
    assert (told.what, told.over) == ("serverShutdown", True)
    told = taken({"error": {"code": 2, "msg": "Invalid request"}, "id": 1})
    assert (told.what, told.over, bool(told.gap)) == ("refused", True, True)


@pytest.mark.parametrize(
    "frame",
    [b"", b"{}", b"[]", b"null", b'{"e":"NEW_EVENT"}', b'{"e":"' + b"x" * 70 + b'"}', b'{"st":2}', b'{"stream":"a","data":{}}',
     b'{"e":"TRADE_LITE","x":"\xff"}', b"[" * 100_000, b" " * (MAX_FRAME_BYTES + 1)],
)  # fmt: skip
def test_what_cannot_be_read_is_a_gap(frame: bytes) -> None:
    told = STREAM.take(frame)
    assert (told.what, told.events) == ("malformed", ())
    assert told.gap


@given(st.sampled_from([FILLED, LIQUIDATED, ACCOUNT, ALGO_UPDATE, EXPIRED, LITE, {"stream": "a", "data": FILLED}]), st.data())
def test_no_frame_breaks_the_stream(event: dict[str, Any], data: st.DataObject) -> None:
    told = STREAM.take(data.draw(mutated(event)))
    assert told.what
    assert "NaN" not in repr(told.events)
    for each in told.events:
        assert not isinstance(each, FillSeen) or each.symbol != "BTCUSDT" or (each.ticks > 0 and each.lots > 0 and each.trade_id != "0")
