"""Answers of Bybit, and the rows that the tests of its account share."""

from __future__ import annotations

from typing import Any

from tests.venues.scripted import encoded

from interlock.domain.instruments import Instrument
from interlock.market.shipped import SHIPPED
from interlock.venues.port import Heard

BTC = SHIPPED["bybit:BTCUSDT"]
INSTRUMENTS: dict[str, Instrument] = {"BTCUSDT": BTC}
NOW_MS = 1_746_270_400_000
MS = 1_000_000

ENTRY: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "contractType": "LinearPerpetual",
    "status": "Trading",
    "baseCoin": "BTC",
    "quoteCoin": "USDT",
    "settleCoin": "USDT",
    "fundingInterval": 480,
    "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
    "lotSizeFilter": {
        "maxOrderQty": "1190.000",
        "maxMktOrderQty": "500.000",
        "minOrderQty": "0.001",
        "qtyStep": "0.001",
        "minNotionalValue": "5",
    },
}
ORDER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": "5cf98598-39a7-459e-97bf-76ca765ee020",
    "orderLinkId": "arb-0001",
    "side": "Buy",
    "price": "30000.50",
    "qty": "0.100",
    "cumExecQty": "0.040",
    "orderStatus": "PartiallyFilled",
    "timeInForce": "GTC",
    "cancelType": "UNKNOWN",
    "rejectReason": "EC_NoError",
    "reduceOnly": False,
    "updatedTime": str(NOW_MS),
}
EXECUTION: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "execId": "0ab1bdf7",
    "orderId": "9aac161b",
    "orderLinkId": "arb-0001",
    "side": "Sell",
    "execPrice": "95900.1",
    "execQty": "0.5",
    "execFee": "26.3725275",
    "feeCurrency": "USDT",
    "execType": "Trade",
    "isMaker": False,
    "execTime": str(NOW_MS),
    "createType": "CreateByUser",
}
LOG: dict[str, Any] = {
    "id": "592324_1",
    "type": "TRANSFER_IN",
    "currency": "USDT",
    "change": "500",
    "cashFlow": "500",
    "transactionTime": str(NOW_MS),
    "symbol": "",
    "tradeId": "",
}
POSITION: dict[str, Any] = {
    "positionIdx": 0,
    "symbol": "BTCUSDT",
    "side": "Sell",
    "size": "0.01",
    "avgPrice": "64100.075",
    "leverage": "30",
}
COIN: dict[str, Any] = {
    "coin": "USDT",
    "equity": "10226.2",
    "walletBalance": "9647.75",
    "locked": "1",
    "totalOrderIM": "100",
    "totalPositionIM": "25.2",
    "totalPositionMM": "12.5",
}


def ok(result: Any = None, *, time: int = NOW_MS, **more: Any) -> Heard:
    """A yes."""
    return Heard(200, {}, encoded({"retCode": 0, "retMsg": "OK", "result": {} if result is None else result, "time": time} | more))


def no(code: int, status: int = 200, **headers: str) -> Heard:
    """A refusal."""
    body = {"retCode": code, "retMsg": "no", "result": {}, "retExtInfo": {}, "time": NOW_MS}
    return Heard(status, {name.replace("_", "-"): value for name, value in headers.items()}, encoded(body))


def rows(*entries: Any, cursor: str = "", time: int = NOW_MS) -> Heard:
    """A page of a list."""
    return ok({"category": "linear", "list": list(entries), "nextPageCursor": cursor}, time=time)


def clock(ms: int = NOW_MS) -> Heard:
    """The venue's time."""
    return ok({"timeSecond": str(ms // 1000), "timeNano": str(ms * MS)}, time=ms)
