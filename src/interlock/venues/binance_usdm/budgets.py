"""How much Binance lets be asked: its budgets, and what an answer's headers say is used of them.

An order that uses `orders` uses as much of `orders_1m`, and a batch five of `weight` as well. Limits of the WebSocket API are the same ones, shared.
Source: the venue's general information, "LIMITS"; exchangeInfo tells the figures in force. That of the wallet's host is not in our notes, and the one
here is far below what is usual there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WEIGHT: Final = "weight"
ORDERS: Final = "orders"
ORDERS_1M: Final = "orders_1m"
WALLET: Final = "wallet"

BUDGETS: Final[Mapping[str, tuple[int, int, str]]] = {
    WEIGHT: (2_400, 60_000, "address"),
    ORDERS: (300, 10_000, "account"),
    ORDERS_1M: (1_200, 60_000, "account"),
    WALLET: (60, 60_000, "address"),
}
"""By name: how much, in how many ms (windows begin at whole minutes and tens of seconds), and what is counted together."""

BANNED_MS: Final = 120_000
"""The shortest ban, for an HTTP 418 that does not say how long it lasts."""

LONGEST_BAN_MS: Final = 3 * 86_400_000

_USED: Final = {
    "x-mbx-used-weight-1m": WEIGHT,
    "x-mbx-order-count-10s": ORDERS,
    "x-mbx-order-count-1m": ORDERS_1M,
    "x-sapi-used-ip-weight-1m": WALLET,
}


def seen(headers: Mapping[str, str]) -> dict[str, int]:
    """What is used of each budget that an answer's headers name (in lower case); empty where they name none."""
    found = {budget: _whole(headers.get(name, "")) for name, budget in _USED.items()}
    return {budget: used for budget, used in found.items() if used is not None}


def wait_ms(status: int, headers: Mapping[str, str]) -> int:
    """How long the venue wants to be left alone, at most three days; 0 where it does not say and no ban tells."""
    seconds = _whole(headers.get("retry-after", ""))
    if seconds is not None:
        return min(seconds * 1_000, LONGEST_BAN_MS)
    return BANNED_MS if status == 418 else 0


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None
