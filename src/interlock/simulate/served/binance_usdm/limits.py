"""What a client may ask for in a time, and how requests are told where they stand.

Weights count by address and orders by account, REST and WebSocket API together. Windows are aligned to the clock [inferred].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from interlock.simulate.served.binance_usdm.auth import CLIENT
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.rates import Limit, Rates, Verdict

WEIGHT: Final = Limit("REQUEST_WEIGHT", 2400, 60_000)
ORDERS_10S: Final = Limit("ORDERS_10S", 300, 10_000)
ORDERS_1M: Final = Limit("ORDERS_1M", 1200, 60_000)
FUNDING: Final = Limit("FUNDING", 500, 300_000)
"""Shared by the two endpoints of funding, which have no weight."""
MESSAGES: Final = Limit("MESSAGES", 10, 1000)
CONNECTIONS: Final = Limit("CONNECTIONS", 300, 300_000)
STREAMS_MAX: Final = 1024
HANDSHAKE_WEIGHT: Final = 5
ACCOUNT: Final = "account"

_SHOWN: Final = (
    (ORDERS_10S, "ORDERS", "SECOND", 10, ACCOUNT),
    (ORDERS_1M, "ORDERS", "MINUTE", 1, ACCOUNT),
    (WEIGHT, "REQUEST_WEIGHT", "MINUTE", 1, CLIENT),
)


def rates() -> Rates:
    """The venue's limits."""
    return Rates((WEIGHT, ORDERS_10S, ORDERS_1M, FUNDING, MESSAGES, CONNECTIONS))


class Meter:
    """Counts requests and says where the counters stand."""

    def __init__(self, counted: Rates) -> None:
        self._rates = counted

    def weigh(self, weight: int, now_ms: int) -> Verdict:
        """Count the weight of a request."""
        return self._rates.take(WEIGHT.name, CLIENT, now_ms, weight)

    def funding(self, now_ms: int) -> Verdict:
        """Count a read of funding."""
        return self._rates.take(FUNDING.name, CLIENT, now_ms)

    def count_orders(self, ten_seconds: int, minute: int, now_ms: int) -> None:
        """Count orders. Raises Wrong when there are too many."""
        for limit, count, name in ((ORDERS_10S, ten_seconds, "10 SECOND"), (ORDERS_1M, minute, "1 MINUTE")):
            if self._rates.take(limit.name, ACCOUNT, now_ms, count) is not Verdict.TAKEN:
                raise Wrong(-1015, limit.most, name)

    def over(self, banned: bool, now_ms: int) -> tuple[Wrong, dict[str, str]]:
        """The answer to too many requests, with how long to wait."""
        if banned:
            until = self._rates.banned_until_ms
            wrong = Wrong(-1003, f"Way too many requests; IP banned until {until}.")
            wrong.status = 418
        else:
            until = self._rates.standing(WEIGHT.name, CLIENT, now_ms).reset_ms
            wrong = Wrong(-1003, f"Too many requests; current limit of IP({CLIENT}) is {WEIGHT.most} requests per minute.")
        return wrong, {"Retry-After": str(max(1, -((now_ms - until) // 1000)))}

    def headers(self, orders: bool, now_ms: int) -> dict[str, str]:
        """The headers of an answer; the counts of orders only with one that was taken."""
        found = {"X-MBX-USED-WEIGHT-1M": str(self._rates.standing(WEIGHT.name, CLIENT, now_ms).used)}
        if orders:
            for limit, name in ((ORDERS_10S, "10S"), (ORDERS_1M, "1M")):
                found[f"X-MBX-ORDER-COUNT-{name}"] = str(self._rates.standing(limit.name, ACCOUNT, now_ms).used)
        return found

    def shown(self, now_ms: int, *, orders: bool) -> Sequence[dict[str, Any]]:
        """`rateLimits` of an answer of the WebSocket API."""
        return [
            {**row, "count": self._rates.standing(limit.name, whose, now_ms).used}
            for (limit, *_, whose), row in zip(_SHOWN, limit_rows(), strict=True)
            if orders or limit is WEIGHT
        ]


def limit_rows() -> list[dict[str, Any]]:
    """The limits as exchangeInfo and the account's read of its limits list them."""
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit.most}
        for limit, kind, interval, number, _ in _SHOWN
    ]
