"""Order tags of the arbitrage: why an order was sent, for which pair, and the edge that was expected of it, in one integer.

Layout, low bits first: 8 bits reason, 8 bits pair, then the expected edge in hundredths of a basis point plus 2^20.
"""

from __future__ import annotations

from enum import IntEnum

EDGE_OFFSET = 1 << 20
EDGE_SCALE = 100.0


class Leg(IntEnum):
    """Why an order of the arbitrage was sent."""

    ENTRY = 1
    TAKE_PROFIT = 2
    STOP_LOSS = 3
    TIME_LIMIT = 4
    REVERSAL = 5
    HEALTH = 6
    HEDGE = 7


def reason_of(tag: int) -> Leg:
    """Why the order was sent."""
    return Leg(tag & 0xFF)


def pair_of(tag: int) -> int:
    """The number of the pair."""
    return (tag >> 8) & 0xFF


def expected_edge_bps(tag: int) -> float:
    """The edge that was expected when the order was decided, basis points of notional."""
    return ((tag >> 16) - EDGE_OFFSET) / EDGE_SCALE
