"""Orders as values: sides, types, times in force, states and what is final."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Side(IntEnum):
    """The side of an order or the aggressor of a trade; the number is the sign of the position change."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> Side:
        """The other side."""
        return Side(-self.value)


class OrderType(StrEnum):
    """How an order names its price."""

    LIMIT = "limit"
    MARKET = "market"


class TimeInForce(StrEnum):
    """How long an order may rest, and whether it may take."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class Liquidity(StrEnum):
    """Whether a fill added or removed liquidity; decides the fee."""

    MAKER = "maker"
    TAKER = "taker"


class OrderState(StrEnum):
    """Every state that an order can be in, from proposal to proven end.

    There is no edge by timeout anywhere: UNKNOWN stays UNKNOWN until the venue proves otherwise. ACKED means
    that the venue acknowledged receipt, which is not acceptance.
    """

    INTENDED = "intended"
    PERMITTED = "permitted"
    NOT_SENT = "not_sent"
    SENT = "sent"
    ACKED = "acked"
    OPEN = "open"
    PARTIAL = "partial"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    QUARANTINED = "quarantined"
    ABSENT = "absent"

    @property
    def final(self) -> bool:
        """Whether the order can no longer change the position (late fills are violations, not edges)."""
        return self in _FINAL


_FINAL = frozenset(
    {
        OrderState.NOT_SENT,
        OrderState.FILLED,
        OrderState.CANCELLED,
        OrderState.EXPIRED,
        OrderState.REJECTED,
        OrderState.ABSENT,
    }
)
