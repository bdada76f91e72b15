"""The wire protocol of Binance USDⓈ-M futures, served by a simulated venue."""

from __future__ import annotations

from interlock.simulate.served.binance_usdm.face import BinanceFace
from interlock.simulate.served.binance_usdm.limits import rates
from interlock.simulate.served.face import Face, Parts

__all__ = ["make", "rates"]


def make(parts: Parts) -> Face:
    """The face of the venue."""
    return BinanceFace(parts)
