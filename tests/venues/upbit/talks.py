"""Answers of Upbit, a small venue that answers about its orders, and the rows that the tests of its account share."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from tests.venues.scripted import encoded, query

from interlock.domain.instruments import Instrument
from interlock.market.shipped import SHIPPED
from interlock.venues.port import Ask, Heard

BTC = SHIPPED["upbit:KRW-BTC"]
INSTRUMENTS: dict[str, Instrument] = {"KRW-BTC": BTC}
NOW_MS = 1_751_610_000_000
MS = 1_000_000
SEOUL = timezone(timedelta(hours=9))
BOOK: dict[str, Any] = {
    "market": "KRW-BTC",
    "timestamp": NOW_MS,
    "orderbook_units": [{"ask_price": 148520000, "bid_price": 148490000.0, "ask_size": 0.0134662, "bid_size": 4.296774e-2}],
}
ORDER: dict[str, Any] = {
    "market": "KRW-BTC",
    "uuid": "9e8f8eba-7050-4837-8969-cfc272cbe083",
    "side": "bid",
    "ord_type": "limit",
    "price": "50000000",
    "state": "wait",
    "created_at": "2025-07-04T15:00:00+09:00",
    "volume": "0.001",
    "remaining_volume": "0.001",
    "reserved_fee": "25",
    "remaining_fee": "25",
    "paid_fee": "0",
    "locked": "50025",
    "executed_volume": "0",
    "executed_funds": "",
    "trades_count": 0,
    "identifier": "arb-0001",
    "smp_type": "cancel_taker",
    "prevented_volume": "0",
    "prevented_locked": "0",
}
TRADE: dict[str, Any] = {
    "market": "KRW-BTC",
    "uuid": "795dff29-bba6-49b2-baab-63473ab7931c",
    "price": "50000000",
    "volume": "0.001",
    "funds": "50000",
    "trend": "up",
    "created_at": "2025-07-04T15:00:01+09:00",
    "side": "bid",
}
MY_ORDER: dict[str, Any] = {
    "type": "myOrder",
    "code": "KRW-BTC",
    "uuid": "9e8f8eba-7050-4837-8969-cfc272cbe083",
    "ask_bid": "BID",
    "order_type": "limit",
    "state": "wait",
    "trade_uuid": None,
    "price": 50000000.0,
    "avg_price": 0.0,
    "volume": 0.001,
    "remaining_volume": 0.001,
    "executed_volume": 0.0,
    "trades_count": 0,
    "paid_fee": 0.0,
    "time_in_force": None,
    "trade_fee": None,
    "is_maker": None,
    "identifier": "arb-0001",
    "smp_type": "cancel_taker",
    "prevented_volume": 0.0,
    "trade_timestamp": None,
    "order_timestamp": NOW_MS,
    "timestamp": NOW_MS + 12,
    "stream_type": "REALTIME",
}
CHANCE: dict[str, Any] = {
    "bid_fee": "0.0005",
    "ask_fee": "0.0004",
    "maker_bid_fee": "0.0002",
    "maker_ask_fee": "0.0003",
    "market": {"id": "KRW-BTC", "name": "BTC/KRW", "max_total": "1000000000", "state": "active"},
}


def ok(body: Any, status: int = 200, **headers: str) -> Heard:
    """A yes."""
    return Heard(status, headers, encoded(body))


def no(name: str | int, status: int = 400, **headers: str) -> Heard:
    """A refusal."""
    return Heard(
        status, {key.replace("_", "-"): value for key, value in headers.items()}, encoded({"error": {"name": name, "message": "아니요"}})
    )


def clock(ms: int = NOW_MS) -> Heard:
    """The book that tells the time."""
    return ok([BOOK | {"timestamp": ms}])


def seoul(ms: int) -> str:
    """A time as lists tell it, to the second."""
    return datetime.fromtimestamp(ms // 1000, SEOUL).isoformat()


@dataclass
class Order:
    """An order at the small venue: when it was created, and its trades as (id, lots)."""

    uuid: str
    created_ms: int
    lots: int
    ended: str = ""
    trades: list[tuple[str, int]] = field(default_factory=list)

    def row(self, *, whole: bool = False) -> dict[str, Any]:
        filled = sum(lots for _, lots in self.trades)
        row = ORDER | {
            "uuid": self.uuid,
            "identifier": self.uuid,
            "created_at": seoul(self.created_ms),
            "state": self.ended or "wait",
            "volume": size(self.lots),
            "executed_volume": size(filled),
            "paid_fee": str(Decimal(size(filled)) * 25_000),
        }
        if whole:
            row["trades"] = [
                TRADE | {"uuid": uuid, "volume": size(lots), "created_at": seoul(self.created_ms)} for uuid, lots in self.trades
            ]
        return row


def size(lots: int) -> str:
    return f"{Decimal(lots) / 10**8:f}"


class SmallVenue:
    """Answers what is asked about orders, as the notes say: pages by number, windows of creation. `page` and `most` are its page sizes."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.orders: dict[str, Order] = {}
        self.asked: list[Ask] = []

    def __call__(self, ask: Ask) -> Heard:
        self.asked.append(ask)
        about = query(ask)
        match ask.call.path:
            case "/v1/orderbook":
                return clock(self.now_ms)
            case "/v1/orders/open":
                opened = sorted((each for each in self.orders.values() if not each.ended), key=lambda each: each.created_ms)
                start = (int(about["page"]) - 1) * int(about["limit"])
                return ok([each.row() for each in opened[start : start + int(about["limit"])]])
            case "/v1/orders/closed":
                since, until = int(about["start_time"]), int(about["end_time"])
                assert 0 <= until - since <= 7 * 86_400_000
                ended = [each for each in self.orders.values() if each.ended and since <= each.created_ms <= until]
                return ok([each.row() for each in sorted(ended, key=lambda each: each.created_ms)[: int(about["limit"])]])
            case "/v1/order":
                found = self.orders.get(about.get("uuid") or about["identifier"])
                return ok(found.row(whole=True)) if found else no("order_not_found", 404)
        raise AssertionError(ask)
