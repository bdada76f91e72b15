"""The three venues by name: what reads an account, what orders there, and what follows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.binance_usdm import account as binance_account
from interlock.venues.binance_usdm import account_stream as binance_stream
from interlock.venues.binance_usdm import trade as binance_trade
from interlock.venues.bybit import account as bybit_account
from interlock.venues.bybit import account_stream as bybit_stream
from interlock.venues.bybit import trade as bybit_trade
from interlock.venues.port import AccountFeed, AccountReads, OrderVerbs
from interlock.venues.upbit import account as upbit_account
from interlock.venues.upbit import account_stream as upbit_stream
from interlock.venues.upbit import trade as upbit_trade

Instruments = Mapping[str, Instrument]
_READS: Final[Mapping[str, Callable[[Instruments], AccountReads]]] = {
    "upbit": upbit_account.Account,
    "binance_usdm": binance_account.Account,
    "bybit": bybit_account.Account,
}
_VERBS: Final[Mapping[str, Callable[[Instruments], OrderVerbs]]] = {
    "upbit": upbit_trade.Trade,
    "binance_usdm": binance_trade.Trade,
    "bybit": bybit_trade.Trade,
}
_FEEDS: Final[Mapping[str, Callable[[Instruments], AccountFeed]]] = {
    "upbit": upbit_stream.AccountStream,
    "binance_usdm": binance_stream.AccountStream,
    "bybit": bybit_stream.AccountStream,
}


def reads_at(venue: str, instruments: Instruments) -> AccountReads:
    """The reads of an account. Raises UsageError for a venue that is none of ours."""
    _require(venue)
    return _READS[venue](instruments)


def verbs_at(venue: str, instruments: Instruments) -> OrderVerbs:
    """The orders of an account. Raises UsageError for a venue that is none of ours."""
    _require(venue)
    return _VERBS[venue](instruments)


def feed_at(venue: str, instruments: Instruments) -> AccountFeed:
    """The private stream of an account. Raises UsageError for a venue that is none of ours."""
    _require(venue)
    return _FEEDS[venue](instruments)


def _require(venue: str) -> None:
    if venue not in _READS:
        raise UsageError(f"venue: expected one of {', '.join(_READS)}, found {venue!r}")
