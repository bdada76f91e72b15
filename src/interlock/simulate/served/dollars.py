"""The book of USDC in USDT that the simulated perpetual venues answer for: nobody trades it there, and it stands still."""

from __future__ import annotations

from typing import Final

SYMBOL: Final = "USDCUSDT"
BID: Final = "0.9998"
ASK: Final = "0.9999"
SIZE: Final = "250000"
