"""Reads of a Bybit account: what is asked, what comes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import pytest
from tests.venues.bybit.talks import BTC, COIN, ENTRY, EXECUTION, INSTRUMENTS, LOG, MS, NOW_MS, ORDER, POSITION, clock, no, ok, rows
from tests.venues.scripted import finish, query, scripted

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Status
from interlock.domain.orders import Liquidity, OrderState, Side
from interlock.venues.bybit.account import Account
from interlock.venues.bybit.budgets import BUDGETS
from interlock.venues.bybit.history import KEPT_MS, WINDOW_MS
from interlock.venues.port import (
    Access,
    AccountMode,
    AccountReads,
    Ask,
    BalanceSeen,
    End,
    FeeRates,
    FillKind,
    Heard,
    KeyFacts,
    MarginSeen,
    Nonsense,
    PositionSeen,
    Refused,
    Stamp,
)
from interlock.venues.request import Call, Key, Method
from interlock.venues.trouble import Trouble

READS: AccountReads = Account(INSTRUMENTS)
KEY = Key("XXXXXXXXXX", "testsecret0123456789abcdefTESTSECRET")
STAMP = Stamp(timestamp_ms=NOW_MS, nonce="n", receive_window_ms=5000)
DAY_MS = 86_400_000


# The venue


def test_the_clock() -> None:
    assert scripted(READS.clock(), [clock()])[0] == NOW_MS * MS
    for text in ("", "-1", "17e17", "1688639403423", 1688639403423213947):
        with pytest.raises(Nonsense):
            scripted(READS.clock(), [ok({"timeNano": text})])


def test_listings_come_by_pages() -> None:
    eth = ENTRY | {"symbol": "ETHUSDT", "baseCoin": "ETH"}
    odd = ENTRY | {"symbol": "ODDUSDT", "fundingInterval": None}
    other = ENTRY | {"symbol": "BTCPERP", "quoteCoin": "USDC", "settleCoin": "USDC"}
    pages = [rows(ENTRY, odd, cursor="first%3DBTC"), rows(eth, other)]
    found, asked = scripted(READS.listings(), pages)
    assert [each.symbol for each in found] == ["BTCUSDT", "ETHUSDT"]
    assert [ask.call.query for ask in asked] == [
        "category=linear&limit=1000",
        "category=linear&limit=1000&cursor=first%3DBTC",
    ]
    assert {ask.access for ask in asked} == {Access.PUBLIC}
    with pytest.raises(Nonsense, match="BTCUSDT"):
        scripted(READS.listings(), [rows(ENTRY | {"priceFilter": {"minPrice": "1", "maxPrice": "2", "tickSize": "0"}})])
    for wrong in (rows({}), rows(ENTRY, time=0), ok({}), ok({"list": None})):
        with pytest.raises(Nonsense):
            scripted(READS.listings(), [wrong])


def test_statuses_tell_what_is_not_listed() -> None:
    reads = Account({"BTCUSDT": BTC, "ETHUSDT": BTC})
    assert scripted(reads.statuses(), [rows(ENTRY)])[0] == {"BTCUSDT": Status.TRADING, "ETHUSDT": Status.HALTED}


TICKER = {"symbol": "BTCUSDT", "markPrice": "16596.05", "bid1Price": "16596.00", "ask1Price": "16597.50"}


def test_the_top_of_a_book() -> None:
    found, _ = scripted(READS.top("BTCUSDT"), [rows(TICKER), rows(ENTRY)])
    assert (found.bid_ticks, found.ask_ticks, found.mark, found.trading) == (165_960, 165_975, Decimal("16596.05"), True)
    empty = TICKER | {"bid1Price": "", "ask1Price": "0", "markPrice": ""}
    found, _ = scripted(READS.top("BTCUSDT"), [rows(empty), rows(ENTRY | {"status": "Closed"})])
    assert (found.bid_ticks, found.ask_ticks, found.mark, found.trading) == (0, 0, Decimal(0), False)
    found, _ = scripted(READS.top("BTCUSDT"), [rows(TICKER), rows(ENTRY | {"contractType": "LinearFutures"})])
    assert not found.trading


@pytest.mark.parametrize(
    "changes", [{"bid1Price": "16597.50"}, {"symbol": "ETHUSDT"}, {"bid1Price": "1.05"}, {"markPrice": "-1"}, {"markPrice": "NaN"}]
)
def test_a_top_that_makes_no_sense(changes: dict[str, str]) -> None:
    with pytest.raises(Nonsense):
        scripted(READS.top("BTCUSDT"), [rows(TICKER | changes)])


def test_a_top_of_one_symbol() -> None:
    for wrong in (rows(), rows(TICKER, TICKER)):
        with pytest.raises(Nonsense, match="one entry"):
            scripted(READS.top("BTCUSDT"), [wrong])
    with pytest.raises(UsageError, match="listings"):
        scripted(READS.top("ETHUSDT"), [])


def test_the_price_limit() -> None:
    limits = {"symbol": "BTCUSDT", "buyLmt": "105878.10", "sellLmt": "103781.60", "ts": "1750302284491"}
    found, _ = scripted(Account(INSTRUMENTS).price_limit("BTCUSDT"), [ok(limits)])
    assert (found.highest_bid_ticks, found.lowest_ask_ticks) == (1_058_781, 1_037_816)
    with pytest.raises(Nonsense, match="BTCUSDT"):
        scripted(Account(INSTRUMENTS).price_limit("BTCUSDT"), [ok(limits | {"symbol": "ETHUSDT"})])


# What cannot be used


@pytest.mark.parametrize(
    ("heard", "trouble", "wait"),
    [
        (no(10006, x_bapi_limit_reset_timestamp=str(NOW_MS + 250)), Trouble.RATE_LIMIT, 250),
        (no(10006), Trouble.RATE_LIMIT, 0),
        (no(10003), Trouble.INVALID_KEY, 0),
        (no(10016), Trouble.NETWORK_ERROR, 0),
        (no(424242), Trouble.UNKNOWN, 0),
        (Heard(403, {}, b"access too frequent"), Trouble.RATE_LIMIT, 600_000),
        (Heard(429, {}, b""), Trouble.RATE_LIMIT, 0),
        (Heard(502, {}, b"<html>"), Trouble.NETWORK_ERROR, 0),
        (Heard(0, {}, b""), Trouble.NETWORK_ERROR, 0),
        (Heard(401, {}, b""), Trouble.INVALID_KEY, 0),
    ],
)
def test_refusals(heard: Heard, trouble: Trouble, wait: int) -> None:
    with pytest.raises(Refused) as caught:
        scripted(READS.clock(), [heard])
    assert (caught.value.explained.trouble, caught.value.retry_after_ms) == (trouble, wait)


@pytest.mark.parametrize(
    "heard",
    [
        Heard(200, {}, b""),
        Heard(200, {}, b"[]"),
        Heard(200, {}, b'{"retCode":"0"}'),
        Heard(200, {}, b'{"retCode":0,"x":"\xff"}'),
        Heard(200, {}, b" " * ((4 << 20) + 1)),
        Heard(204, {}, clock().body),
        Heard(500, {}, clock().body),
        ok(time=-1),
        ok([]),
    ],
)
def test_answers_that_make_no_sense(heard: Heard) -> None:
    with pytest.raises(Nonsense):
        scripted(READS.clock(), [heard])


def test_a_list_must_end() -> None:
    with pytest.raises(Nonsense, match="ends"):
        scripted(READS.open_orders(), [rows(ORDER, cursor="a"), rows(ORDER, cursor="a")])
    with pytest.raises(Nonsense, match="ends"):
        scripted(READS.open_orders(), [rows(ORDER, cursor="x" * 1025)])
    asked = iter(range(10_000))
    with pytest.raises(Nonsense, match="ends"):
        finish(READS.open_orders(), lambda _: rows(ORDER, cursor=str(next(asked))))
    assert next(asked) == 500
    assert scripted(READS.open_orders(), [rows(ORDER, cursor="a"), rows(cursor="b"), rows()])[0].found


def test_a_cursor_goes_back_as_it_came() -> None:
    for cursor, sent in (("page_args%3Dfd%26symbol%3D6%26", "page_args%3Dfd%26symbol%3D6%26"), ("a&symbol=x #", "a%26symbol%3Dx%20%23")):
        _, asked = scripted(READS.open_orders(), [rows(ORDER, cursor=cursor), rows(), rows()])
        assert asked[1].call.query.partition("&cursor=")[2] == sent
        assert unquote(unquote(sent)) == unquote(cursor)


# The account


def test_reads_are_signed_and_nothing_else() -> None:
    signed = READS.sign(KEY, Ask(Call(Method.GET, "/v5/order/realtime", "category=linear")), STAMP)
    assert dict(signed.headers)["X-BAPI-API-KEY"] == "XXXXXXXXXX"
    public = READS.sign(KEY, Ask(Call(Method.GET, "/v5/market/time"), Access.PUBLIC), STAMP)
    assert (public.headers, public.target) == ((), "/v5/market/time")
    for method, path, access in (
        (Method.POST, "/v5/order/create", Access.SIGNED),
        (Method.POST, "/v5/order/create", Access.PUBLIC),
        (Method.GET, "/v5/order/create", Access.KEYED),
        (Method.GET, "/v5/order/realtime", Access.PUBLIC),
    ):
        with pytest.raises(UsageError, match="nothing was signed"):
            READS.sign(KEY, Ask(Call(method, path), access), STAMP)


KEY_FACTS: dict[str, Any] = {
    "readOnly": 0,
    "permissions": {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": []},
    "ips": ["18.181.170.164"],
    "expiredAt": "1970-01-01T00:00:00Z",
    "userID": 1448939,
}
FACTS = KeyFacts(account="1448939", trade=True, withdraw=False, transfer=False, address_bound=True, expires_ms=0, reads_only=False)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({}, {}),
        ({"readOnly": 1}, {"trade": False, "reads_only": True}),
        ({"permissions": {"ContractTrade": ["Order"], "Wallet": ["Withdraw"]}}, {"trade": False, "withdraw": True}),
        ({"permissions": {"ContractTrade": ["Order", "Position"], "Wallet": ["AccountTransfer"]}}, {"transfer": True}),
        ({"permissions": {"ContractTrade": ["Order", "Position"], "Wallet": ["SubMemberTransfer"]}}, {"transfer": True}),
        ({"permissions": {}}, {"trade": None, "withdraw": None, "transfer": None}),
        ({"ips": ["*"], "expiredAt": "2023-12-22T07:20:25Z"}, {"address_bound": False, "expires_ms": 1_703_229_625_000}),
        ({"ips": []}, {"address_bound": False, "expires_ms": None}),
        ({"ips": ["1.2.3.4", "0.0.0.0/0"]}, {"address_bound": False, "expires_ms": None}),
        ({"ips": None}, {"address_bound": None, "expires_ms": None}),
        ({"expiredAt": ""}, {"expires_ms": None}),
        ({"expiredAt": "2023-12-22T07:20:25Z"}, {"expires_ms": 1_703_229_625_000}),
    ],
)
def test_what_a_key_may_do(changes: dict[str, Any], facts: dict[str, Any]) -> None:
    found, asked = scripted(READS.key("XXXXXXXXXX"), [ok(KEY_FACTS | changes)])
    assert found == KeyFacts(**({name: getattr(FACTS, name) for name in FACTS.__slots__} | facts))
    assert asked[0].call.path == "/v5/user/query-api"


@pytest.mark.parametrize("changes", [{"expiredAt": "soon"}, {"expiredAt": "2023-12-22"}, {"userID": None}, {"permissions": [1]}])
def test_a_key_that_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        scripted(READS.key("X"), [ok(KEY_FACTS | changes)])


def test_the_mode_is_asked_of_every_symbol() -> None:
    reads = Account({"BTCUSDT": BTC, "ETHUSDT": BTC})
    eth = POSITION | {"symbol": "ETHUSDT", "leverage": "", "size": "0", "side": ""}
    info = ok({"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 5})
    found, asked = scripted(reads.mode(), [info, rows(POSITION), rows(eth)])
    assert found == AccountMode(position="one_way", margin="cross", leverage={"BTCUSDT": Decimal(30)})
    assert [query(ask).get("symbol") for ask in asked] == [None, "BTCUSDT", "ETHUSDT"]
    hedge = [POSITION | {"positionIdx": 1}, POSITION | {"positionIdx": 2, "leverage": "40"}]
    found, _ = scripted(READS.mode(), [ok({"marginMode": "PORTFOLIO_MARGIN"}), rows(*hedge)])
    assert found == AccountMode(position="hedge", margin="portfolio", leverage={"BTCUSDT": Decimal(40)})
    with pytest.raises(Nonsense, match="REGULAR_MARGIN"):
        scripted(READS.mode(), [ok({"marginMode": "NEW"})])
    for wrong in (rows(), rows(eth)):
        with pytest.raises(Nonsense, match="BTCUSDT"):
            scripted(READS.mode(), [info, wrong])
    with pytest.raises(UsageError, match="instruments"):
        scripted(Account({}).mode(), [])


def test_fees_are_those_of_the_symbol() -> None:
    btc = {"symbol": "BTCUSDT", "takerFeeRate": "0.0006", "makerFeeRate": "-0.0001"}
    found, _ = scripted(READS.fees("BTCUSDT"), [rows(btc | {"symbol": "ETHUSDT"}, btc)])
    assert found == FeeRates(Decimal("-0.0001"), Decimal("0.0006"))
    for wrong in (rows(), rows(btc, btc), rows(btc | {"takerFeeRate": "-0.1"}), rows(btc | {"makerFeeRate": "1"}), rows({"symbol": "x"})):
        with pytest.raises(Nonsense):
            scripted(READS.fees("BTCUSDT"), [wrong])


def wallet(*coins: dict[str, str], **changes: str) -> Heard:
    totals = {"accountType": "UNIFIED", "totalAvailableBalance": "9556.6", "totalMaintenanceMargin": "13"}
    return rows(totals | {"coin": list(coins)} | changes)


@pytest.mark.parametrize(
    ("heard", "margin"),
    [
        (wallet(COIN), ("10226.2", "9556.6", "13")),
        (wallet(COIN, totalAvailableBalance="99999", totalMaintenanceMargin="12"), ("10226.2", "10100.0", "12.5")),
        (wallet(COIN, totalAvailableBalance="", totalMaintenanceMargin=""), ("10226.2", "10100.0", "12.5")),
        (wallet(COIN | {"totalPositionIM": "", "totalPositionMM": ""}), ("10226.2", "9556.6", "13")),
        (wallet(COIN | {"equity": "50"}), ("50", "0", "13")),
        (wallet(COIN | {"coin": "BTC"}), ("0", "0", "13")),
    ],
)
def test_margin(heard: Heard, margin: tuple[str, str, str]) -> None:
    found, _ = scripted(READS.margin(), [heard])
    assert found == MarginSeen(*(Decimal(text) for text in margin))


def test_margin_and_balances_that_make_no_sense() -> None:
    bare = COIN | {"totalPositionIM": "", "totalPositionMM": ""}
    for wrong in (
        wallet(bare, totalAvailableBalance=""),
        wallet(bare, totalMaintenanceMargin=""),
        wallet(COIN, COIN),
        wallet(COIN, accountType="CONTRACT"),
        rows(),
        wallet(COIN | {"equity": "1e3"}),
        wallet({}),
    ):
        with pytest.raises(Nonsense):
            scripted(READS.margin(), [wrong])
    with pytest.raises(Nonsense):
        scripted(READS.balances(), [wallet(COIN | {"walletBalance": ""})])


def test_balances() -> None:
    found, _ = scripted(READS.balances(), [wallet(COIN, COIN | {"coin": "BTC", "walletBalance": "-0.5"})])
    assert found == (BalanceSeen("USDT", Decimal("9647.75"), None), BalanceSeen("BTC", Decimal("-0.5"), None))


def test_positions_of_both_currencies() -> None:
    flat = POSITION | {"symbol": "ETHUSDT", "size": "0", "side": "", "positionIdx": 1}
    found, asked = scripted(READS.positions(), [rows(POSITION, flat), rows(POSITION | {"symbol": "BTCPERP", "side": "Buy"})])
    assert found == (PositionSeen("BTCUSDT", -10, Decimal("64100.075")), PositionSeen("BTCPERP", 0, Decimal("64100.075")))
    assert [query(ask)["settleCoin"] for ask in asked] == ["USDT", "USDC"]
    for changes in ({"positionIdx": 1}, {"side": ""}, {"size": "0"}, {"size": "-1"}, {"size": "0.0001"}, {"avgPrice": "-1"}):
        with pytest.raises(Nonsense):
            scripted(READS.positions(), [rows(POSITION | changes), rows()])
    with pytest.raises(Nonsense, match="found two"):
        scripted(READS.positions(), [rows(POSITION, POSITION), rows()])


# Orders

STATES: list[tuple[dict[str, Any], OrderState, End]] = [
    ({"orderStatus": "New", "cumExecQty": "0"}, OrderState.OPEN, End.NONE),
    ({"orderStatus": "PartiallyFilled"}, OrderState.PARTIAL, End.NONE),
    ({"orderStatus": "Untriggered", "cumExecQty": ""}, OrderState.OPEN, End.NONE),
    ({"orderStatus": "Triggered"}, OrderState.OPEN, End.NONE),
    ({"orderStatus": "Filled", "cumExecQty": "0.1"}, OrderState.FILLED, End.FILLED),
    (
        {"orderStatus": "Filled", "cumExecQty": "0.1", "cancelType": "CancelByUser", "rejectReason": "EC_OrigClOrdIDDoesNotExist"},
        OrderState.FILLED,
        End.FILLED,
    ),
    ({"orderStatus": "Cancelled", "cancelType": "CancelByUser"}, OrderState.CANCELLED, End.CANCELLED),
    ({"orderStatus": "Cancelled"}, OrderState.CANCELLED, End.CANCELLED),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_PerCancelRequest"}, OrderState.CANCELLED, End.CANCELLED),
    ({"orderStatus": "PartiallyFilledCanceled"}, OrderState.CANCELLED, End.CANCELLED),
    ({"orderStatus": "Deactivated"}, OrderState.CANCELLED, End.CANCELLED),
    ({"orderStatus": "Cancelled", "cumExecQty": "0", "rejectReason": "EC_PostOnlyWillTakeLiquidity"}, OrderState.REJECTED, End.POST_ONLY),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_PostOnlyWillTakeLiquidity"}, OrderState.CANCELLED, End.POST_ONLY),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_NoImmediateQtyToFill", "timeInForce": "IOC"}, OrderState.EXPIRED, End.IOC),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_CancelForNoFullFill", "timeInForce": "FOK"}, OrderState.EXPIRED, End.FOK),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_NoEnoughQtyToFill", "timeInForce": "IOC"}, OrderState.EXPIRED, End.IOC),
    ({"orderStatus": "Cancelled", "cancelType": "CancelBySmp"}, OrderState.CANCELLED, End.SELF_MATCH),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_BySelfMatch"}, OrderState.CANCELLED, End.SELF_MATCH),
    ({"orderStatus": "Cancelled", "cancelType": "CancelByReduceOnly"}, OrderState.CANCELLED, End.REDUCE_ONLY),
    ({"orderStatus": "Cancelled", "cancelType": "CancelByDCP"}, OrderState.CANCELLED, End.DEAD_MAN),
    ({"orderStatus": "Cancelled", "cancelType": "CancelAllBeforeLiq"}, OrderState.CANCELLED, End.LIQUIDATION),
    ({"orderStatus": "Cancelled", "cancelType": "CancelByPrepareAdl"}, OrderState.CANCELLED, End.LIQUIDATION),
    ({"orderStatus": "Cancelled", "cancelType": "CancelBySettle"}, OrderState.CANCELLED, End.VENUE),
    ({"orderStatus": "Cancelled", "cancelType": "CancelBySomethingNew"}, OrderState.CANCELLED, End.VENUE),
    ({"orderStatus": "Cancelled", "rejectReason": "EC_ReachRiskPriceLimit"}, OrderState.CANCELLED, End.VENUE),
    ({"orderStatus": "Rejected", "cumExecQty": "0"}, OrderState.REJECTED, End.REJECTED),
    ({"orderStatus": "Rejected"}, OrderState.CANCELLED, End.REJECTED),
]


@pytest.mark.parametrize(("changes", "state", "end"), STATES)
def test_how_an_order_stands(changes: dict[str, Any], state: OrderState, end: End) -> None:
    found, _ = scripted(READS.order("BTCUSDT", "arb-0001"), [rows(ORDER | changes)])
    assert found is not None
    assert (found.state, found.end, found.client_id, found.side, found.ticks, found.lots) == (
        state,
        end,
        "arb-0001",
        Side.BUY,
        300_005,
        100,
    )
    assert (found.venue_ns, found.reduce_only) == (NOW_MS * MS, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"orderStatus": "Unheard"},
        {"orderStatus": "New"},
        {"orderStatus": "PartiallyFilled", "cumExecQty": "0"},
        {"orderStatus": "PartiallyFilled", "cumExecQty": "0.1"},
        {"orderStatus": "Filled"},
        {"cumExecQty": "0.2", "orderStatus": "Cancelled"},
        {"price": "30000.55"},
        {"price": "3e4"},
        {"qty": "-0.1"},
        {"qty": "0.0005"},
        {"qty": ""},
        {"side": "None"},
        {"reduceOnly": "false"},
        {"updatedTime": ""},
        {"updatedTime": "0"},
        {"updatedTime": "9" * 16},
        {"orderId": ""},
        {"orderId": "x" * 65},
        {"orderLinkId": "arb-0002"},
        {"symbol": "ETHUSDT"},
    ],
)
def test_an_order_that_makes_no_sense(changes: dict[str, Any]) -> None:
    with pytest.raises(Nonsense):
        scripted(READS.order("BTCUSDT", "arb-0001"), [rows(ORDER | changes)])


def test_an_order_is_looked_for_in_every_place() -> None:
    over = ORDER | {"orderStatus": "Cancelled"}
    found, asked = scripted(READS.order("BTCUSDT", "arb-0001"), [rows(), rows(over)])
    assert found is not None
    assert found.state is OrderState.CANCELLED
    assert [ask.call.path for ask in asked] == ["/v5/order/realtime", "/v5/order/history"]
    assert {ask.call.query for ask in asked} == {"category=linear&symbol=BTCUSDT&orderLinkId=arb-0001"}
    for nowhere in ([rows(), rows()], [no(110001), no(110001)], [no(110001), rows()]):
        assert scripted(READS.order("BTCUSDT", "arb-0001"), nowhere)[0] is None
    with pytest.raises(Refused):
        scripted(READS.order("BTCUSDT", "arb-0001"), [no(110001), no(10006)])
    with pytest.raises(Nonsense, match="alone"):
        scripted(READS.order("BTCUSDT", "arb-0001"), [rows(ORDER, ORDER)])
    with pytest.raises(UsageError, match="client id"):
        scripted(READS.order("BTCUSDT", "a&b"), [])


def test_open_orders_of_everyone() -> None:
    foreign = ORDER | {"orderId": "2", "orderLinkId": "", "orderStatus": "Untriggered", "cumExecQty": "0", "price": ""}
    elsewhere = ORDER | {"symbol": "BTCPERP", "orderId": "3", "price": "1.2345", "qty": "odd"}
    found, asked = scripted(
        READS.open_orders(), [rows(ORDER, cursor="a", time=NOW_MS + 5), rows(foreign), rows(elsewhere, time=NOW_MS + 9)]
    )
    assert [(each.client_id, each.ticks, each.lots, each.state) for each in found.found] == [
        ("arb-0001", 300_005, 100, OrderState.PARTIAL),
        ("", 0, 100, OrderState.OPEN),
        ("arb-0001", 0, 0, OrderState.PARTIAL),
    ]
    assert (found.venue_ns, found.unreadable) == ((NOW_MS + 5) * MS, False)
    assert [query(ask)["settleCoin"] for ask in asked] == ["USDT", "USDT", "USDC"]
    left_out, _ = scripted(READS.open_orders(), [rows({}, ORDER), rows()])
    assert (len(left_out.found), left_out.unreadable) == (1, True)


def test_orders_that_ended() -> None:
    since_ns = (NOW_MS - 1000) * MS
    early = ORDER | {"orderId": "1", "orderStatus": "Cancelled", "updatedTime": str(NOW_MS - 1001)}
    late = ORDER | {"orderId": "2", "orderStatus": "Cancelled", "updatedTime": str(NOW_MS - 500)}
    later = late | {"cumExecQty": "0.05", "updatedTime": str(NOW_MS - 400)}
    rested = late | {"orderId": "3"}
    pages = [clock(), rows(ORDER, rested, late), rows(time=NOW_MS + 1), rows(later, late, early, time=NOW_MS + 2)]
    found, asked = scripted(READS.ended_orders(since_ns), pages)
    assert [(each.venue_order_id, each.filled_lots) for each in found.found] == [("3", 40), ("2", 50)]
    assert [query(ask)["settleCoin"] for ask in asked[1:3]] == ["USDT", "USDC"]
    assert {query(ask)["openOnly"] for ask in asked[1:3]} == {"1"}
    start = NOW_MS - 1000 - 60_000
    assert (int(query(asked[3])["startTime"]), int(query(asked[3])["endTime"])) == (start, start + WINDOW_MS)
    assert (found.venue_ns, found.unreadable) == (NOW_MS * MS, False)
    _, asked = scripted(READS.ended_orders(0), [clock()] + [rows()] * 107)
    assert int(query(asked[3])["startTime"]) == NOW_MS - KEPT_MS
    odd, _ = scripted(READS.ended_orders(since_ns), [clock(), rows(), rows(), rows({})])
    assert odd.unreadable


# Executions

KINDS: list[tuple[dict[str, Any], FillKind]] = [
    ({}, FillKind.TRADE),
    ({"execType": "BlockTrade"}, FillKind.TRADE),
    ({"execType": "MovePosition"}, FillKind.TRADE),
    ({"execType": "BustTrade", "execPrice": "95900.123"}, FillKind.LIQUIDATION),
    ({"execType": "AdlTrade"}, FillKind.ADL),
    ({"execType": "Delivery"}, FillKind.SETTLEMENT),
    ({"execType": "Settle"}, FillKind.SETTLEMENT),
    ({"createType": "CreateByLiq"}, FillKind.LIQUIDATION),
    ({"createType": "CreateByTakeOver_PassThrough"}, FillKind.LIQUIDATION),
    ({"createType": "CreateByAdl_PassThrough"}, FillKind.ADL),
]


def cursor(ms: int, count: int) -> str:
    return f"{ms}-{count}"


@pytest.mark.parametrize(("changes", "kind"), KINDS)
def test_what_made_an_execution(changes: dict[str, Any], kind: FillKind) -> None:
    found, _ = scripted(READS.fills(cursor(NOW_MS, 0)), [clock(), rows(EXECUTION | changes)])
    (fill,) = found.found
    assert (fill.kind, fill.side, fill.lots, fill.fee, fill.fee_currency) == (kind, Side.SELL, 500, Decimal("26.3725275"), "USDT")
    assert (fill.ticks, fill.trade_id, fill.client_id, fill.venue_ns) == (959_001, "0ab1bdf7", "arb-0001", NOW_MS * MS)


def test_fees_and_liquidity_of_an_execution() -> None:
    rebate = EXECUTION | {"execFee": "-1.5", "isMaker": True, "feeCurrency": ""}
    (fill,) = scripted(READS.fills(cursor(NOW_MS, 0)), [clock(), rows(rebate)])[0].found
    assert (fill.fee, fill.fee_currency, fill.liquidity) == (Decimal("-1.5"), "USDT", Liquidity.MAKER)
    (fill,) = scripted(READS.fills(cursor(NOW_MS, 0)), [clock(), rows(rebate | {"symbol": "BTCPERP"})])[0].found
    assert (fill.ticks, fill.lots, fill.fee_currency) == (0, 0, "")


def test_a_price_of_the_venues_own_is_taken_against_us() -> None:
    for side, ticks in (("Buy", 959_002), ("Sell", 959_001)):
        bust = EXECUTION | {"execType": "BustTrade", "execPrice": "95900.15", "side": side}
        (fill,) = scripted(READS.fills(cursor(NOW_MS, 0)), [clock(), rows(bust)])[0].found
        assert fill.ticks == ticks


@pytest.mark.parametrize(
    "changes",
    [
        {"execPrice": "95900.15"},
        {"execPrice": "0"},
        {"execQty": "0"},
        {"execQty": "0.0005"},
        {"execFee": ""},
        {"execFee": "NaN"},
        {"execType": "CorporateAction"},
        {"execType": "UNKNOWN"},
        {"side": "None"},
        {"execTime": "-1"},
        {"execId": ""},
        {"execType": "BustTrade", "execPrice": "999999999999999999"},
    ],
)
def test_an_execution_that_makes_no_sense_is_read_again(changes: dict[str, Any]) -> None:
    good = EXECUTION | {"execId": "2", "execTime": str(NOW_MS + 9)}
    found, _ = scripted(READS.fills(cursor(NOW_MS - 5, 3)), [clock(), rows(good, EXECUTION | changes)])
    assert ([each.trade_id for each in found.found], found.unreadable) == (["2"], True)
    at = NOW_MS - 5 if "execTime" in changes else NOW_MS
    assert found.cursor == cursor(at, 1 if "execTime" in changes else 2)


def test_fills_come_in_order_and_once() -> None:
    entries = [EXECUTION | {"execId": str(i), "execTime": str(NOW_MS + i)} for i in (3, 1, 2, 1)]
    funding = EXECUTION | {"execType": "Funding", "side": "None"}
    found, asked = scripted(READS.fills(cursor(NOW_MS, 1)), [clock(), rows(*entries, cursor="a"), rows(funding)])
    assert [each.trade_id for each in found.found] == ["1", "2", "3"]
    assert (found.cursor, found.unreadable, found.venue_ns) == (cursor(NOW_MS + 3, 4), False, NOW_MS * MS)
    assert query(asked[1]) == {
        "category": "linear",
        "limit": "100",
        "startTime": str(NOW_MS - 60_000),
        "endTime": str(NOW_MS - 60_000 + WINDOW_MS),
    }


def test_fills_of_one_millisecond_come_in_the_order_in_which_they_happened() -> None:
    """The venue lists the newest first, also within its millisecond; which of two sales closed a purchase decides what it brought."""
    entries = [EXECUTION | {"execId": str(i), "execTime": str(NOW_MS + (i > 1))} for i in (5, 2, 4, 3, 1)]
    found, _ = scripted(READS.fills(cursor(NOW_MS, 1)), [clock(), rows(*entries[:2], cursor="a"), rows(*entries[2:])])
    assert [each.trade_id for each in found.found] == ["1", "3", "4", "2", "5"]


def test_a_cursor_stands_while_nothing_happens() -> None:
    page = [EXECUTION]
    first = scripted(READS.fills(cursor(NOW_MS - 9, 0)), [clock(), rows(*page)])[0].cursor
    again = scripted(READS.fills(first), [clock(NOW_MS + 5), rows(*page)])[0].cursor
    assert first == again == cursor(NOW_MS, 1)
    late = EXECUTION | {"execId": "late", "execTime": str(NOW_MS - 3)}
    assert scripted(READS.fills(first), [clock(NOW_MS + 5), rows(*page, late)])[0].cursor == cursor(NOW_MS, 2)


def test_without_events_the_cursor_moves_by_the_day() -> None:
    yesterday = NOW_MS - NOW_MS % DAY_MS - DAY_MS
    assert scripted(READS.fills(cursor(1_000, 7)), [clock()] + [rows()] * 105)[0].cursor == cursor(yesterday, 0)
    found, asked = scripted(READS.fills(""), [clock()] + [rows()] * 105)
    assert found.cursor == cursor(yesterday, 0)
    starts = [int(query(ask)["startTime"]) for ask in asked[1:]]
    assert (starts[0], starts[-1] + WINDOW_MS > NOW_MS) == (NOW_MS - KEPT_MS, True)
    assert {b - a for a, b in pairwise(starts)} == {WINDOW_MS}
    odd, _ = scripted(READS.fills(""), [clock(), rows({})] + [rows()] * 104)
    assert (odd.cursor, odd.unreadable) == ("", True)


def test_a_row_from_the_future_does_not_move_the_next_read_there() -> None:
    future = EXECUTION | {"execTime": str(NOW_MS + 365 * DAY_MS)}
    found, _ = scripted(READS.fills(cursor(NOW_MS, 0)), [clock(), rows(future)])
    assert (len(found.found), found.cursor) == (1, cursor(NOW_MS + 60_000, 1))
    _, asked = scripted(READS.fills(found.cursor), [clock(), rows()])
    assert int(query(asked[1])["startTime"]) == NOW_MS


def test_a_cursor_of_others() -> None:
    for text in ("x", "1", "-1-1", "1-1 ", "9" * 20 + "-1"):
        for read in (READS.fills, READS.ledger):
            with pytest.raises(UsageError, match="cursor"):
                scripted(read(text), [clock()])


# The ledger


def told(*entries: dict[str, Any], paid: tuple[dict[str, Any], ...] = ()) -> Any:
    return scripted(READS.ledger(cursor(NOW_MS, 0)), [clock(), rows(*paid), rows(*entries)])


def test_funding_is_an_execution() -> None:
    entry = EXECUTION | {"execType": "Funding", "execFee": "0.25", "side": "None", "feeCurrency": "", "execId": "f1"}
    received = entry | {"execFee": "-0.5", "execId": "f2", "execTime": str(NOW_MS + 1)}
    settlement = LOG | {"type": "SETTLEMENT", "funding": "-0.25", "change": "-0.25", "cashFlow": "0", "tradeId": "f1"}
    found, asked = told(settlement, paid=(entry, received))
    assert [(each.kind, each.venue_id, each.amount, each.currency, each.symbol) for each in found.found] == [
        ("funding", "f1", Decimal("-0.25"), "USDT", "BTCUSDT"),
        ("funding", "f2", Decimal("0.5"), "USDT", "BTCUSDT"),
    ]
    assert query(asked[1])["execType"] == "Funding"
    assert [ask.call.path for ask in asked] == ["/v5/market/time", "/v5/execution/list", "/v5/account/transaction-log"]
    assert query(asked[2])["startTime"] == str(NOW_MS - 300_000)


def test_funding_of_what_is_not_known_needs_its_currency() -> None:
    entry = EXECUTION | {"execType": "Funding", "symbol": "BTCPERP"}
    (event,) = told(paid=(entry | {"feeCurrency": "USDC"},))[0].found
    assert (event.symbol, event.currency) == ("BTCPERP", "USDC")
    assert told(paid=(entry | {"feeCurrency": ""},))[0].unreadable


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "transfer"),
        ({"type": "TRANSFER_OUT", "change": "-500"}, "transfer"),
        ({"type": "AIRDROP"}, "airdrop"),
        ({"type": "BONUS"}, "airdrop"),
        ({"type": "BONUS_RECOLLECT"}, "adjust"),
        ({"type": "FEE_REFUND"}, "rebate"),
        ({"type": "INTEREST"}, "interest"),
        ({"type": "SETTLEMENT"}, "settlement"),
        ({"type": "LIQUIDATION"}, "liquidation"),
        ({"type": "ADL"}, "adl"),
        ({"type": "SOMETHING_NEW"}, "adjust"),
        ({"transactionTime": NOW_MS}, "transfer"),
    ],
)
def test_kinds_of_the_ledger(changes: dict[str, Any], kind: str) -> None:
    entry = LOG | changes
    (event,) = told(entry)[0].found
    assert (event.kind, event.amount, event.venue_ns) == (kind, Decimal(entry["change"]), NOW_MS * MS)
    assert event.venue_id == f"{entry['type']}-USDT-592324_1"


@pytest.mark.parametrize("kind", ["TRADE", "LIQUIDATION", "ADL", "DELIVERY"])
def test_what_executions_tell_is_left_out(kind: str) -> None:
    assert told(LOG | {"type": kind, "tradeId": "t1"})[0].found == ()
    assert told(LOG | {"change": "0.000"})[0].found == ()


def test_the_ledgers_entries_have_ids_of_their_own() -> None:
    found, _ = told(LOG, LOG | {"type": "AIRDROP"}, LOG | {"currency": "BTC"}, LOG)
    assert len({each.venue_id for each in found.found}) == len(found.found) == 3
    assert found.cursor == cursor(NOW_MS, 3)
    traded, _ = told(LOG, LOG | {"id": "t", "type": "TRADE", "tradeId": "t", "transactionTime": str(NOW_MS + 7)})
    assert (len(traded.found), traded.cursor) == (1, cursor(NOW_MS + 7, 2))


@pytest.mark.parametrize(
    "changes", [{"change": "much"}, {"currency": "U-T"}, {"transactionTime": -1}, {"transactionTime": ""}, {"id": ""}, {"type": ""}]
)
def test_an_entry_that_makes_no_sense_is_read_again(changes: dict[str, Any]) -> None:
    found, _ = told(LOG | {"id": "2", "transactionTime": str(NOW_MS + 5)}, LOG | changes)
    assert (len(found.found), found.unreadable, found.cursor) == (1, True, cursor(NOW_MS, 1 if "transactionTime" in changes else 2))


def test_every_read_has_a_budget() -> None:
    asked: list[Ask] = []

    def answer(ask: Ask) -> Heard:
        asked.append(ask)
        return no(10006)

    talks: list[Callable[[], Any]] = [
        READS.clock,
        READS.listings,
        READS.statuses,
        READS.mode,
        READS.margin,
        READS.balances,
        READS.positions,
        READS.open_orders,
        lambda: READS.top("BTCUSDT"),
        lambda: READS.key("x"),
        lambda: READS.fees("BTCUSDT"),
        lambda: READS.order("BTCUSDT", "a"),
        lambda: READS.fills(""),
        lambda: READS.ledger(""),
        lambda: READS.ended_orders(0),
    ]
    for talk in talks:
        with pytest.raises(Refused):
            finish(talk(), answer)
    assert len(asked) == len(talks)
    assert {ask.budget for ask in asked} <= BUDGETS.keys()
    assert all(READS.sign(KEY, ask, STAMP) for ask in asked)
