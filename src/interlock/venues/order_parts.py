"""The three venues by name: what orders there. Reads and streams are apart (`account_parts`), for processes that must have no way to order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.binance_usdm import trade as binance_trade
from interlock.venues.bybit import trade as bybit_trade
from interlock.venues.port import OrderVerbs
from interlock.venues.upbit import trade as upbit_trade

Instruments = Mapping[str, Instrument]
_VERBS: Final[Mapping[str, Callable[[Instruments], OrderVerbs]]] = {
    "upbit": upbit_trade.Trade,
    "binance_usdm": binance_trade.Trade,
    "bybit": bybit_trade.Trade,
}


def verbs_at(venue: str, instruments: Instruments) -> OrderVerbs:
    """The orders of an account. Raises UsageError for a venue that is none of ours."""
    if venue not in _VERBS:
        raise UsageError(f"venue: expected one of {', '.join(_VERBS)}, found {venue!r}")
    return _VERBS[venue](instruments)
