"""Bybit's rate limits: requests and new connections of an address, and requests of an account in a second at each endpoint.

Source: the venue's page on rate limits (v5), the default tier of derivatives. A batch counts every order in it, in a bucket of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from interlock.simulate.served.rates import Limit, Rates, Standing

IP: Final = "ip"
TRADE_IP: Final = "trade-ip"
CONNECTIONS: Final = "connections"
IP_BAN_MS: Final = 600_000

PER_SECOND: Final[Mapping[str, int]] = {
    "create": 10,
    "amend": 10,
    "cancel": 10,
    "cancel-all": 10,
    "create-batch": 10,
    "amend-batch": 10,
    "cancel-batch": 10,
    "pre-check": 10,
    "dead-man": 5,
    "realtime": 50,
    "history": 50,
    "executions": 50,
    "positions": 50,
    "closed-pnl": 50,
    "wallet": 50,
    "info": 50,
    "log": 50,
    "set-leverage": 10,
    "switch-mode": 10,
    "set-margin-mode": 10,
    "fee-rate": 5,
    "dead-man-info": 5,
    "instruments": 10,
    "query-api": 10,
    "others": 50,
}


def rates() -> Rates:
    """The counters of the venue. Only the address's limit leads to a ban, which the face sets: nobody is banned for a full bucket."""
    whole = (Limit(IP, 600, 5_000), Limit(TRADE_IP, 3_000, 1_000), Limit(CONNECTIONS, 500, 300_000))
    return Rates((*whole, *(Limit(name, most, 1_000) for name, most in PER_SECOND.items())), ban_after=1 << 60, ban_ms=IP_BAN_MS)


def headers(standing: Standing, now_ms: int, *, over: bool) -> dict[str, str]:
    """What an answer says of the bucket: the reset time lies ahead only while the bucket is empty."""
    return {
        "X-Bapi-Limit": str(standing.limit.most),
        "X-Bapi-Limit-Status": str(standing.left),
        "X-Bapi-Limit-Reset-Timestamp": str(standing.reset_ms if over else now_ms),
    }
