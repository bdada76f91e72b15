"""Upbit's rate limits. Source: the page on rate limits of September 2026; the default group's `min` is deprecated there and is the most of a minute.

Quotation groups and connections without a key count by address, everything else by pocket, which has one account here. The words for a
group in `Remaining-Req` are the page's.
"""

from __future__ import annotations

from typing import Final

from interlock.simulate.served.rates import Limit, Rates, Standing

DEFAULT: Final = "default"
ORDER: Final = "order"
ORDER_TEST: Final = "order-test"
CANCEL_ALL: Final = "order-cancel-all"
CONNECT: Final = "websocket-connect"
MESSAGE_S: Final = "websocket-message"
MESSAGE_MIN: Final = "websocket-message-min"
ORIGIN: Final = "origin"

_LIMITS: Final = (
    *(Limit(name, 10, 1_000) for name in ("market", "candle", "trade", "ticker", "orderbook")),
    Limit(DEFAULT, 30, 1_000),
    Limit(ORDER, 12, 1_000),
    Limit(ORDER_TEST, 8, 1_000),
    Limit(CANCEL_ALL, 1, 2_000),
    Limit(CONNECT, 5, 1_000),
    Limit(MESSAGE_S, 5, 1_000),
    Limit(MESSAGE_MIN, 100, 60_000),
    Limit(ORIGIN, 1, 10_000),
)
_FIRST_BAN_MS: Final = 60_000


class GrowingBans(Rates):
    """Each ban that a client brings upon itself is twice as long as the one before."""

    def ban(self, now_ms: int, for_ms: int) -> None:
        """Refuse everything for a while; 0 ends a ban and forgets those before it."""
        super().ban(now_ms, for_ms)
        self.ban_ms = self.ban_ms * 2 if for_ms else _FIRST_BAN_MS


def rates() -> Rates:
    """The limits of the venue. How long a first block lasts and what brings it on is chosen: 20 refusals within a window, a minute."""
    return GrowingBans(_LIMITS, ban_after=20, ban_ms=_FIRST_BAN_MS)


def remaining_req(standing: Standing) -> str:
    """The value of the header that tells what is left."""
    per_minute = standing.limit.most * 60_000 // standing.limit.window_ms
    return f"group={standing.limit.name}; min={per_minute}; sec={standing.left}"
