"""How much Upbit lets be asked: its groups, and what an answer's header says is left of one.

Source: the venue's page on rate limits of 2026-09. A pocket is what elsewhere is an account; keys of one pocket share its groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

DEFAULT: Final = "default"
ORDER: Final = "order"
CANCEL_ALL: Final = "order-cancel-all"
MARKET: Final = "market"
ORDERBOOK: Final = "orderbook"

BUDGETS: Final[Mapping[str, tuple[int, int, str]]] = {
    **dict.fromkeys((MARKET, "candle", "trade", "ticker", ORDERBOOK), (10, 1000, "address")),
    DEFAULT: (30, 1_000, "pocket"),
    ORDER: (12, 1_000, "pocket"),
    "order-test": (8, 1_000, "pocket"),
    CANCEL_ALL: (1, 2_000, "pocket"),
    "websocket-connect": (5, 1_000, "address"),
    "websocket-message": (5, 1_000, "connection"),
    "websocket-message-minute": (100, 60_000, "connection"),
}
"""By name: how much, in how many ms, and what is counted together."""

NEXT_SECOND_MS: Final = 1_000
"""After HTTP 429: groups count by the second."""

BLOCKED_MS: Final = 60_000
"""After HTTP 418, unless a header says more: how long a block lasts stands only in the text of the message, and grows with each repetition."""

_LONGEST_BLOCK_S: Final = 86_400
_REMAINING = re.compile(r"group=([a-z-]{1,40}); *min=[0-9]{1,9}; *sec=([0-9]{1,9})", re.ASCII)


def seen(headers: Mapping[str, str]) -> dict[str, int]:
    """What is left of a group in this second, by `Remaining-Req: group=default; min=1800; sec=29`; empty where it does not say.

    `min` is out of use. Names of headers in lower case.
    """
    match = _REMAINING.fullmatch(headers.get("remaining-req", "").strip())
    return {match[1]: int(match[2])} if match is not None and match[1] in BUDGETS else {}


def wait_ms(status: int, headers: Mapping[str, str]) -> int:
    """How long to leave the venue alone after an answer: 0 unless it was one of too many requests."""
    least = {418: BLOCKED_MS, 429: NEXT_SECOND_MS}.get(status, 0)
    told = headers.get("retry-after", "")
    if least and told.isascii() and told.isdigit() and len(told) <= 9:
        return max(least, min(int(told), _LONGEST_BLOCK_S) * 1_000)
    return least
