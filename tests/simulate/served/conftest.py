"""What the tests of the simulators share."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from interlock.market.shipped import SHIPPED
from interlock.simulate.floor import Floor


@pytest.fixture(scope="session", autouse=True)
def compiled_floor() -> None:
    """Have the matching model compiled before any test counts seconds: the first time takes longer than a venue may."""
    instrument = SHIPPED["bybit:BTCUSDT"]
    Floor([instrument], {instrument.symbol: Decimal(60_000)}, date(2026, 1, 1))
