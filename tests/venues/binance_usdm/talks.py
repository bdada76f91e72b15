"""Answers of Binance, and the rows that the tests of its account share: those of the notes, made to fit one instrument."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from tests.venues.scripted import encoded

from interlock.domain.instruments import Instrument
from interlock.market.shipped import SHIPPED
from interlock.venues.port import Heard

BTC = SHIPPED["binance_usdm:BTCUSDT"]
INSTRUMENTS: dict[str, Instrument] = {"BTCUSDT": BTC}
NOW_MS = 1_746_270_400_000
MS = 1_000_000
DAY_MS = 86_400_000

SYMBOL: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "onboardDate": 1569398400000,
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "triggerProtect": "0.0500",
    "liquidationFee": "0.012500",
    "marketTakeBound": "0.05",
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "261.10", "maxPrice": "809484", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MAX_NUM_ORDERS", "limit": 200},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"},
    ],
    "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET"],
    "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
}
PLACED: dict[str, Any] = {
    "clientOrderId": "arb-0001",
    "cumQty": "0",
    "executedQty": "0",
    "orderId": 22542179,
    "origQty": "10",
    "price": "0.50",
    "reduceOnly": False,
    "side": "BUY",
    "positionSide": "BOTH",
    "status": "NEW",
    "stopPrice": "0",
    "closePosition": False,
    "symbol": "BTCUSDT",
    "timeInForce": "GTX",
    "type": "LIMIT",
    "origType": "LIMIT",
    "updateTime": 1566818724722,
    "workingType": "CONTRACT_PRICE",
    "priceProtect": False,
    "priceMatch": "NONE",
    "selfTradePreventionMode": "EXPIRE_MAKER",
    "goodTillDate": 0,
}
ORDER: dict[str, Any] = {**PLACED, "avgPrice": "0.00", "cumQuote": "0", "time": NOW_MS - 5, "updateTime": NOW_MS}
TRADE: dict[str, Any] = {
    "buyer": False,
    "commission": "0.07819010",
    "commissionAsset": "USDT",
    "id": 698759,
    "maker": False,
    "orderId": 22542179,
    "price": "7819.0",
    "qty": "0.002",
    "quoteQty": "15.63802",
    "realizedPnl": "-0.91539999",
    "side": "SELL",
    "positionSide": "BOTH",
    "symbol": "BTCUSDT",
    "time": NOW_MS - 1000,
}
INCOME: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "incomeType": "FUNDING_FEE",
    "income": "-0.37500000",
    "asset": "USDT",
    "info": "",
    "time": NOW_MS - 1000,
    "tranId": 9689322392,
    "tradeId": "",
}
BALANCE: dict[str, Any] = {
    "accountAlias": "SgsR",
    "asset": "USDT",
    "balance": "122607.35137903",
    "crossWalletBalance": "23.72469206",
    "crossUnPnl": "0.00000000",
    "availableBalance": "23.72469206",
    "maxWithdrawAmount": "23.72469206",
    "marginAvailable": True,
    "updateTime": 1617939110373,
}
POSITION: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "positionSide": "BOTH",
    "positionAmt": "0.001",
    "entryPrice": "50000.0",
    "breakEvenPrice": "50100.0",
    "markPrice": "51000.0",
    "unRealizedProfit": "1.00000000",
    "liquidationPrice": "45000.0",
    "isolatedMargin": "0.00000000",
    "notional": "51.0",
    "marginAsset": "USDT",
    "isolatedWallet": "0",
    "updateTime": 1625474304765,
}
ALGO: dict[str, Any] = {
    "algoId": 2148719,
    "clientAlgoId": "Q5xaq5EGKgXXa0fD7fs0Ip",
    "algoType": "CONDITIONAL",
    "orderType": "TAKE_PROFIT",
    "symbol": "BTCUSDT",
    "side": "SELL",
    "positionSide": "BOTH",
    "quantity": "0.01",
    "algoStatus": "NEW",
    "triggerPrice": "750",
    "price": "750",
    "reduceOnly": False,
    "createTime": NOW_MS - 10,
    "updateTime": NOW_MS,
}
KEY: dict[str, Any] = {
    "ipRestrict": True,
    "createTime": 1698645219000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": True,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableFixApiTrade": False,
    "enableFixReadOnly": False,
    "enableSpotAndMarginTrading": False,
    "enablePortfolioMarginTrading": False,
}
FILLED: dict[str, Any] = {
    "e": "ORDER_TRADE_UPDATE",
    "E": 1568879465651,
    "T": 1568879465650,
    "o": {
        "s": "BTCUSDT",
        "c": "arb-0001",
        "S": "BUY",
        "o": "LIMIT",
        "f": "GTX",
        "q": "0.002",
        "p": "7100.50",
        "ap": "7100.50",
        "sp": "0",
        "x": "TRADE",
        "X": "PARTIALLY_FILLED",
        "i": 8886774,
        "l": "0.001",
        "z": "0.001",
        "L": "7100.50",
        "N": "USDT",
        "n": "0.01000000",
        "T": 1568879465650,
        "t": 12345678,
        "b": "0",
        "a": "0",
        "m": True,
        "R": False,
        "wt": "CONTRACT_PRICE",
        "ot": "LIMIT",
        "ps": "BOTH",
        "cp": False,
        "pP": False,
        "si": 0,
        "ss": 0,
        "rp": "0",
        "V": "EXPIRE_MAKER",
        "pm": "NONE",
        "gtd": 0,
        "er": "0",
    },
}
LIQUIDATED: dict[str, Any] = {
    "e": "ORDER_TRADE_UPDATE",
    "T": 1568879465651,
    "E": 1568879465651,
    "o": {
        **{name: value for name, value in FILLED["o"].items() if name not in ("pm", "gtd", "er")},
        "c": "autoclose-1234567890",
        "S": "SELL",
        "f": "IOC",
        "q": "0.014",
        "p": "9910.00",
        "ap": "9910.12",
        "x": "CALCULATED",
        "X": "FILLED",
        "i": 8886999,
        "l": "0.014",
        "z": "0.014",
        "L": "9910.12",
        "n": "0.06937084",
        "T": 1568879465651,
        "t": 12345999,
        "m": False,
        "R": True,
        "ps": "LONG",
        "AP": "0",
        "cr": "0",
        "rp": "-5.67",
        "V": "NONE",
    },
}
ACCOUNT: dict[str, Any] = {
    "e": "ACCOUNT_UPDATE",
    "T": 1564745798939,
    "E": 1564745798939,
    "a": {
        "m": "ORDER",
        "B": [{"a": "USDT", "wb": "122624.12345678", "cw": "100.12345678", "bc": "50.12345678"}],
        "P": [
            {
                "s": "BTCUSDT",
                "pa": "0",
                "ep": "0.00000",
                "bep": "0",
                "cr": "200",
                "up": "0",
                "mt": "isolated",
                "iw": "0.00000000",
                "ps": "BOTH",
            }
        ],
    },
}
LITE: dict[str, Any] = {
    "e": "TRADE_LITE",
    "E": 1568879465651,
    "T": 1568879465651,
    "s": "BTCUSDT",
    "c": "TEST",
    "S": "BUY",
    "q": "0.001",
    "p": "7100.50",
    "i": 8886774,
    "l": "0.001",
    "L": "7100.50",
    "t": 12345678,
    "m": True,
}
ALGO_UPDATE: dict[str, Any] = {
    "e": "ALGO_UPDATE",
    "T": 1750515742297,
    "E": 1750515742303,
    "o": {
        "caid": "Q5xaq5EGKgXXa0fD7fs0Ip",
        "aid": 2148719,
        "at": "CONDITIONAL",
        "o": "TAKE_PROFIT",
        "s": "BNBUSDT",
        "S": "SELL",
        "ps": "BOTH",
        "f": "GTC",
        "q": "0.01",
        "X": "NEW",
        "ai": "",
        "ap": "0.00000",
        "aq": "0.00000",
        "act": "0",
        "tp": "750",
        "p": "750",
        "V": "EXPIRE_MAKER",
        "wt": "CONTRACT_PRICE",
        "pm": "NONE",
        "cp": False,
        "pP": False,
        "R": False,
        "tt": 0,
        "gtd": 0,
        "rm": "Reduce Only reject",
    },
}
EXPIRED: dict[str, Any] = {
    "e": "listenKeyExpired",
    "E": 1736996475556,
    "listenKey": "WsCMN0a4KHUPTQuX6IUnqEZfB1inxmv1qR4kbf1LuEjur5VdbzqvyxqG9TSjVVxv",
}


def ok(body: Any, **headers: str) -> Heard:
    """A yes."""
    return Heard(200, {name.replace("_", "-"): value for name, value in headers.items()}, encoded(body))


def no(code: int, status: int = 400, **headers: str) -> Heard:
    """A refusal."""
    return Heard(status, {name.replace("_", "-"): value for name, value in headers.items()}, encoded({"code": code, "msg": "no"}))


def clock(ms: int = NOW_MS) -> Heard:
    """The venue's time."""
    return ok({"serverTime": ms})


def info(*symbols: Any, time: int = NOW_MS) -> Heard:
    """An exchangeInfo."""
    return ok({"timezone": "UTC", "serverTime": time, "rateLimits": [], "symbols": list(symbols)})


_ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**70,
        "",
        "NaN",
        "Infinity",
        "1e5",
        "-1",
        "0",
        "0.00000001",
        "9" * 60,
        "\u0663",
        [],
        {},
        [[]],
        "BOTH",
        "BUY",
    ]
)


def _places(body: Any, at: tuple[Any, ...] = ()) -> Iterable[tuple[Any, ...]]:
    inside = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, value in inside:
        yield (*at, name)
        yield from _places(value, (*at, name))


def _changed(body: Any, at: tuple[Any, ...], value: Any, *, gone: bool) -> Any:
    copy = json.loads(json.dumps(body))
    inner = copy
    for name in at[:-1]:
        inner = inner[name]
    if gone:
        del inner[at[-1]]
    else:
        inner[at[-1]] = value
    return copy


def mutated(body: Any) -> st.SearchStrategy[bytes]:
    """A message with one place changed, gone, or its bytes damaged; or no message at all."""
    places = list(_places(body))
    whole = encoded(body)
    change = st.builds(lambda at, value, gone: encoded(_changed(body, at, value, gone=gone)), st.sampled_from(places), _ODD, st.booleans())
    cut = st.integers(0, len(whole)).map(lambda end: whole[:end])
    flip = st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)).map(lambda p: whole[: p[0]] + bytes([p[1]]) + whole[p[0] + 1 :])
    return st.one_of(change, change, change, cut, flip, st.binary(max_size=40))
