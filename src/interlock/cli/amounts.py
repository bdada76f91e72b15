"""Amounts as a person reads them; files and `--json` keep every digit."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

_SHOWN: Final = Decimal("0.0001")


def in_dollars(amount: str | None) -> str:
    """A decimal text to a hundredth of a cent with its currency; None is an amount that is not known."""
    if amount is None:
        return "not known"
    return f"{Decimal(amount).quantize(_SHOWN) + 0:f} USD"
