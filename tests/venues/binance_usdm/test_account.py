"""What an account is told to be: talks against scripted answers."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.binance_usdm.talks import ALGO, BALANCE, BTC, INSTRUMENTS, KEY, MS, NOW_MS, ORDER, POSITION, clock, mutated, no, ok
from tests.venues.scripted import finish, query, scripted

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Status
from interlock.domain.orders import OrderState, Side
from interlock.venues.binance_usdm.account import Account
from interlock.venues.binance_usdm.account_stream import AccountStream
from interlock.venues.binance_usdm.trade import Trade
from interlock.venues.port import (
    Access,
    Ask,
    BalanceSeen,
    End,
    FeeRates,
    Heard,
    KeyFacts,
    MarginSeen,
    Nonsense,
    OrderSeen,
    PositionSeen,
    Refused,
    Stamp,
    Talk,
    TopSeen,
)
from interlock.venues.request import Call, Key, Method
from interlock.venues.trouble import Trouble

MINE = Key("dbefbc80", "2b5eb11e")
STAMP = Stamp(NOW_MS, "nonce", 5000)
TICKER = {"lastUpdateId": 1027024, "symbol": "BTCUSDT", "bidPrice": "4.00", "bidQty": "431", "askPrice": "4.20", "askQty": "9", "time": 1}
MARK = {"symbol": "BTCUSDT", "markPrice": "4.10104562", "indexPrice": "4.1", "lastFundingRate": "0.00038246", "time": 1597370495002}
CONFIG = {"feeTier": 0, "canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False, "tradeGroupId": -1}
SYMBOL_CONFIG = {"symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": "false", "leverage": 21, "maxNotionalValue": "1000000"}
FEES = {"symbol": "BTCUSDT", "makerCommissionRate": "-0.0001", "takerCommissionRate": "0.0004", "rpiCommissionRate": "0.00005"}
MARGIN = {"totalMarginBalance": "103.12345678", "availableBalance": "-1.5", "totalMaintMargin": "0.00000000"}
BRACKETS = {
    "symbol": "BTCUSDT",
    "brackets": [
        {"bracket": 1, "initialLeverage": 125, "notionalCap": 50000, "notionalFloor": 0, "maintMarginRatio": 0.004, "cum": 0.0},
        {"bracket": 2, "initialLeverage": 100, "notionalCap": 600000, "notionalFloor": 50000, "maintMarginRatio": 0.005, "cum": 50.0},
    ],
}
LISTEN_KEY = "pqia91ma19a5s61cv6a81va65sdf19v8a65a1a5s61cv6a81va65sdf19v8a65a1"
SEEN = OrderSeen(
    symbol="BTCUSDT",
    client_id="arb-0001",
    venue_order_id="22542179",
    side=Side.BUY,
    ticks=5,
    lots=10_000,
    filled_lots=0,
    state=OrderState.OPEN,
    end=End.NONE,
    reduce_only=False,
    venue_ns=NOW_MS * MS,
)


def account(**changes: Any) -> Account:
    return Account(INSTRUMENTS, **changes)


# Proof


def test_only_reads_and_the_listen_key_are_signed() -> None:
    signed = account().sign(MINE, Ask(Call(Method.GET, "/fapi/v1/openAlgoOrders")), STAMP)
    assert "signature=" in signed.query
    stream = AccountStream(INSTRUMENTS)
    for talk in (stream.opening(), stream.keeping()):
        proven = account().sign(MINE, next(talk), STAMP)
        assert (proven.path, proven.query, proven.headers) == ("/fapi/v1/listenKey", "", (("X-MBX-APIKEY", "dbefbc80"),))
    for call, access in (
        (Call(Method.DELETE, "/fapi/v1/listenKey"), Access.KEYED),
        (Call(Method.POST, "/fapi/v1/order"), Access.KEYED),
        (Call(Method.POST, "/fapi/v1/listenKey"), Access.SIGNED),
        (Call(Method.GET, "/fapi/v1/exchangeInfo"), Access.PUBLIC),
        (Trade(INSTRUMENTS).cancel_all("BTCUSDT").call, Access.SIGNED),
    ):
        with pytest.raises(UsageError):
            account().sign(MINE, Ask(call, access), STAMP)


def test_whatever_a_talk_asks_can_be_signed() -> None:
    for talk, _ in TALKS:
        asked = next(talk(account()))
        assert asked.access is Access.PUBLIC or account().sign(MINE, asked, STAMP).headers


# What everybody is told


def test_the_clock() -> None:
    found, (asked,) = scripted(account().clock(), [clock()])
    assert (found, asked.access, asked.call.path) == (NOW_MS * MS, Access.PUBLIC, "/fapi/v1/time")


def test_the_top() -> None:
    found, asked = scripted(account().top("BTCUSDT"), [ok(TICKER), ok(MARK)])
    assert found == TopSeen("BTCUSDT", 40, 42, Decimal("4.10104562"), True)
    assert [(each.call.path, each.call.query, each.weight) for each in asked] == [
        ("/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT", 2),
        ("/fapi/v1/premiumIndex", "symbol=BTCUSDT", 1),
    ]
    found, _ = scripted(account().top("BTCUSDT"), [ok({**TICKER, "askPrice": "0"}), ok(MARK)])
    assert found.ask_ticks == 0
    with pytest.raises(UsageError):
        next(account().top("ETHUSDT"))


@pytest.mark.parametrize(
    ("ticker", "mark"),
    [
        ({"askPrice": "4.00"}, {}),
        ({"bidPrice": "4.05"}, {}),
        ({"bidPrice": "4e0"}, {}),
        ({"symbol": "ETHUSDT"}, {}),
        ({}, {"symbol": "ETHUSDT"}),
        ({}, {"markPrice": "0"}),
        ({}, {"markPrice": "NaN"}),
    ],
)
def test_a_top_that_cannot_be(ticker: dict[str, str], mark: dict[str, str]) -> None:
    with pytest.raises(Nonsense):
        scripted(account().top("BTCUSDT"), [ok({**TICKER, **ticker}), ok({**MARK, **mark})])


# What the account is


def test_the_key_and_whose_it_is() -> None:
    found, asked = scripted(account().key("dbefbc80"), [ok([BALANCE, {**BALANCE, "asset": "BNB"}]), ok(KEY)])
    assert found == KeyFacts(
        account="SgsR", trade=True, withdraw=False, transfer=False, address_bound=True, expires_ms=None, reads_only=False
    )
    assert [(each.call.path, each.budget) for each in asked] == [
        ("/fapi/v3/balance", "weight"),
        ("/sapi/v1/account/apiRestrictions", "wallet"),
    ]


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"enableFutures": False, "enableSpotAndMarginTrading": None}, {"trade": False, "reads_only": None}),
        ({"enableFutures": False, "enableSpotAndMarginTrading": False}, {"reads_only": True}),
        ({"enableFutures": False, "enableSpotAndMarginTrading": True}, {"trade": False, "reads_only": False}),
        ({"enableFutures": None, "enableSpotAndMarginTrading": False}, {"reads_only": None}),
        ({"enableFutures": False, "enableSpotAndMarginTrading": False, "enableVanillaOptions": True}, {"reads_only": False}),
        ({"enableReading": False}, {"trade": False}),
        ({"enableReading": None}, {"trade": None}),
        ({"enableWithdrawals": True}, {"withdraw": True}),
        ({"enableWithdrawals": None}, {"withdraw": None}),
        ({"enableInternalTransfer": True, "permitsUniversalTransfer": None}, {"transfer": True}),
        ({"permitsUniversalTransfer": True}, {"transfer": True}),
        ({"permitsUniversalTransfer": None}, {"transfer": None}),
        ({"ipRestrict": None}, {"address_bound": None}),
        ({"tradingAuthorityExpirationTime": 1628985600000}, {"expires_ms": 1628985600000}),
    ],
)
def test_what_the_venue_does_not_tell_is_neither_yes_nor_no(changes: dict[str, Any], facts: dict[str, Any]) -> None:
    found, _ = scripted(account().key(""), [ok([BALANCE]), ok({**KEY, **changes})])
    assert {name: getattr(found, name) for name in facts} == facts


def test_a_key_of_a_testnet_and_of_an_account_without_a_name() -> None:
    found, _ = scripted(account(wallet=False).key(""), [ok([BALANCE])])
    assert (found.account, found.trade, found.withdraw, found.transfer, found.address_bound) == ("SgsR", None, None, None, None)
    for rows in ([], [{**BALANCE, "accountAlias": ""}], [BALANCE, {**BALANCE, "accountAlias": "other"}]):
        with pytest.raises(Nonsense, match="alias"):
            scripted(account().key(""), [ok(rows)])
    with pytest.raises(Nonsense):
        scripted(account().key(""), [ok([BALANCE]), ok({**KEY, "enableWithdrawals": "false"})])


@pytest.mark.parametrize(
    ("config", "symbols", "position", "margin"),
    [
        ({}, [SYMBOL_CONFIG], "one_way", "cross"),
        ({"dualSidePosition": True}, [SYMBOL_CONFIG, {**SYMBOL_CONFIG, "symbol": "ETHUSDT", "marginType": "ISOLATED"}], "hedge", "cross"),
        ({}, [{**SYMBOL_CONFIG, "marginType": "ISOLATED"}], "one_way", "isolated"),
        ({"multiAssetsMargin": True}, [SYMBOL_CONFIG], "one_way", "portfolio"),
    ],
)
def test_modes(config: dict[str, Any], symbols: list[Any], position: str, margin: str) -> None:
    found, _ = scripted(account().mode(), [ok({**CONFIG, **config}), ok(symbols)])
    assert (found.position, found.margin, found.leverage) == (position, margin, {"BTCUSDT": Decimal(21)})


def test_modes_that_differ_or_make_no_sense() -> None:
    both = [SYMBOL_CONFIG, {**SYMBOL_CONFIG, "symbol": "ETHUSDT", "marginType": "ISOLATED"}]
    found, _ = scripted(Account({}).mode(), [ok(CONFIG), ok(both)])
    assert (found.margin, len(found.leverage)) == ("mixed", 2)
    odd: list[Any] = [[], [{**SYMBOL_CONFIG, "symbol": "ETHUSDT"}], [{**SYMBOL_CONFIG, "marginType": "NEW"}], {}]
    for symbols in odd:
        with pytest.raises(Nonsense):
            scripted(account().mode(), [ok(CONFIG), ok(symbols)])


def test_fees_and_margin() -> None:
    found, (asked,) = scripted(account().fees("BTCUSDT"), [ok(FEES)])
    assert (found, asked.weight) == (FeeRates(Decimal("-0.0001"), Decimal("0.0004")), 20)
    for changes in (
        {"symbol": "ETHUSDT"},
        {"takerCommissionRate": "-0.0001"},
        {"makerCommissionRate": "1"},
        {"makerCommissionRate": "1e-4"},
    ):
        with pytest.raises(Nonsense):
            scripted(account().fees("BTCUSDT"), [ok({**FEES, **changes})])
    margin, _ = scripted(account().margin(), [ok(MARGIN)])
    assert margin == MarginSeen(Decimal("103.12345678"), Decimal("-1.5"), Decimal(0))


def test_balances_and_positions() -> None:
    balances, _ = scripted(account().balances(), [ok([BALANCE])])
    assert balances == (BalanceSeen("USDT", Decimal("122607.35137903"), Decimal("23.72469206")),)
    rows = [
        POSITION,
        {**POSITION, "positionAmt": "0.000"},
        {**POSITION, "positionAmt": "0.000", "positionSide": "LONG"},
        {**POSITION, "positionAmt": "-0.004", "entryPrice": "50000.123456789"},
        {**POSITION, "symbol": "测试USDT", "positionAmt": "-17.123"},
    ]
    positions, _ = scripted(account().positions(), [ok(rows)])
    assert positions == (
        PositionSeen("BTCUSDT", 1, Decimal("50000.0")),
        PositionSeen("BTCUSDT", -4, Decimal("50000.123456789")),
        PositionSeen("测试USDT", 0, Decimal("50000.0")),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"positionSide": "LONG"},
        {"positionSide": "NEW", "positionAmt": "0"},
        {"positionAmt": "0.0005"},
        {"positionAmt": "nan"},
        {"entryPrice": "-1"},
    ],
)
def test_positions_that_make_no_sense(changes: dict[str, str]) -> None:
    with pytest.raises(Nonsense):
        scripted(account().positions(), [ok([{**POSITION, **changes}])])


# Orders


def test_an_order_is_looked_for_everywhere() -> None:
    found, asked = scripted(account().order("BTCUSDT", "arb-0001"), [ok(ORDER)])
    assert (found, len(asked)) == (SEEN, 1)
    found, asked = scripted(account().order("BTCUSDT", "arb-0001"), [no(-2013), ok(ORDER)])
    assert (found, asked[1].call.path) == (SEEN, "/fapi/v1/openOrder")
    others = [{**ORDER, "clientOrderId": "other"}, ORDER, {**ORDER, "orderId": 1, "status": "CANCELED"}]
    found, asked = scripted(account().order("BTCUSDT", "arb-0001"), [no(-2013), no(-2013), ok(others)])
    assert (found, asked[2].call.path) == (SEEN, "/fapi/v1/allOrders")
    found, asked = scripted(account().order("BTCUSDT", "arb-0001"), [no(-2013), no(-2013), ok([])])
    assert found is None
    assert [query(each)["symbol"] for each in asked] == ["BTCUSDT"] * 3


def test_an_order_that_is_another_or_cannot_be_looked_for() -> None:
    for changes in ({"clientOrderId": "other"}, {"symbol": "ETHUSDT"}, {"price": "0.55"}, {"status": "WHO_KNOWS"}, {"updateTime": 0}):
        with pytest.raises(Nonsense):
            scripted(account().order("BTCUSDT", "arb-0001"), [ok({**ORDER, **changes})])
    with pytest.raises(Refused) as refused:
        scripted(account().order("BTCUSDT", "arb-0001"), [no(-2015, 401)])
    assert refused.value.explained.trouble is Trouble.INVALID_KEY
    with pytest.raises(UsageError):
        next(account().order("BTCUSDT", "a b"))


def test_open_orders_of_everybody_and_conditional_ones() -> None:
    rows = [ORDER, {**ORDER, "symbol": "ETHUSDT", "price": "0.123456", "clientOrderId": "web_1"}]
    algos = [ALGO, {**ALGO, "algoStatus": "CANCELED", "algoId": 2}]
    page, asked = scripted(account().open_orders(), [clock(), ok(rows), ok(algos)])
    assert (page.found[0], page.venue_ns, page.unreadable, page.cursor) == (SEEN, NOW_MS * MS, False, "")
    assert [(each.symbol, each.venue_order_id, each.ticks, each.lots) for each in page.found[1:]] == [
        ("ETHUSDT", "22542179", 0, 0),
        ("BTCUSDT", "algo:2148719", 7500, 10),
    ]
    assert [(each.call.path, each.weight) for each in asked[1:]] == [("/fapi/v1/openOrders", 40), ("/fapi/v1/openAlgoOrders", 40)]


@pytest.mark.parametrize(
    ("order", "algo"),
    [({"origQty": "x"}, {}), ({"side": "BOTH"}, {}), ({}, {"algoStatus": "NEW2"}), ({}, {"quantity": "0.0001"}),
     ({}, {"updateTime": 0, "createTime": 0})],
)  # fmt: skip
def test_an_open_order_that_makes_no_sense_is_left_out_and_told(order: dict[str, str], algo: dict[str, Any]) -> None:
    page, _ = scripted(account().open_orders(), [clock(), ok([ORDER, {**ORDER, **order}]), ok([ALGO, {**ALGO, **algo}])])
    assert page.unreadable
    assert len(page.found) == 3


# Whatever comes

TALKS: list[tuple[Callable[[Account], Talk[Any]], list[Heard]]] = [
    (lambda of: of.clock(), [clock()]),
    (lambda of: of.top("BTCUSDT"), [ok(TICKER), ok(MARK)]),
    (lambda of: of.key(""), [ok([BALANCE]), ok(KEY)]),
    (lambda of: of.mode(), [ok(CONFIG), ok([SYMBOL_CONFIG])]),
    (lambda of: of.fees("BTCUSDT"), [ok(FEES)]),
    (lambda of: of.margin(), [ok(MARGIN)]),
    (lambda of: of.balances(), [ok([BALANCE])]),
    (lambda of: of.positions(), [ok([POSITION])]),
    (lambda of: of.order("BTCUSDT", "arb-0001"), [ok(ORDER)]),
    (lambda of: of.open_orders(), [clock(), ok([ORDER]), ok([ALGO])]),
    (lambda of: of.tiers(), [ok([BRACKETS])]),
    (lambda of: AccountStream(of.instruments).opening(), [ok({"listenKey": LISTEN_KEY})]),
    (lambda of: AccountStream(of.instruments).keeping(), [ok({"listenKey": LISTEN_KEY})]),
]


@pytest.mark.parametrize(("talk", "answers"), TALKS)
@pytest.mark.parametrize(
    ("answer", "trouble", "wait_ms"),
    [
        (no(-1003, 429, retry_after="7"), Trouble.RATE_LIMIT, 7_000),
        (no(-1003, 418), Trouble.RATE_LIMIT, 120_000),
        (Heard(418, {}, b"banned"), Trouble.RATE_LIMIT, 120_000),
        (Heard(403, {}, b"<html>"), Trouble.IP_RESTRICTION, 0),
        (no(-1021), Trouble.CLOCK_SKEW, 0),
        (no(1, 200), Trouble.MAINTENANCE, 0),
        (Heard(503, {}, b'{"code":'), Trouble.NETWORK_ERROR, 0),
        (Heard(500, {}, b"\xff"), Trouble.NETWORK_ERROR, 0),
    ],
)
def test_every_refusal_is_explained(
    talk: Callable[[Account], Talk[Any]], answers: list[Heard], answer: Heard, trouble: Trouble, wait_ms: int
) -> None:
    for at in range(len(answers)):
        with pytest.raises(Refused) as refused:
            scripted(talk(account()), [*answers[:at], answer])
        assert (refused.value.explained.trouble, refused.value.retry_after_ms) == (trouble, wait_ms)
    scripted(talk(account()), [*answers])


@given(st.sampled_from(TALKS), st.data())
def test_no_answer_breaks_a_talk(case: tuple[Callable[[Account], Talk[Any]], list[Heard]], data: st.DataObject) -> None:
    talk, answers = case
    at = data.draw(st.integers(0, len(answers) - 1))
    damaged = Heard(200, {}, data.draw(mutated(json.loads(answers[at].body))))
    left = [*answers[:at], damaged, *answers[at + 1 :]]
    asked = 0

    def answer(ask: Ask) -> Heard:
        nonlocal asked
        asked += 1
        assert asked < 10
        return left.pop(0) if left else no(-2013)

    try:
        found = finish(talk(account()), answer)
    except (Nonsense, Refused):
        return
    assert "NaN" not in repr(found)


def test_a_halted_instrument_does_not_trade() -> None:
    halted = msgspec.structs.replace(BTC, status=Status.HALTED)
    found, _ = scripted(Account({"BTCUSDT": halted}).top("BTCUSDT"), [ok(TICKER), ok(MARK)])
    assert not found.trading
