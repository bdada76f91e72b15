"""The three venues by name: what reads an account, and what follows it. Who imports this can send no order: see `order_parts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.binance_usdm import account as binance_account
from interlock.venues.binance_usdm import account_stream as binance_stream
from interlock.venues.bybit import account as bybit_account
from interlock.venues.bybit import account_stream as bybit_stream
from interlock.venues.port import AccountFeed, AccountReads
from interlock.venues.upbit import account as upbit_account
from interlock.venues.upbit import account_stream as upbit_stream

Instruments = Mapping[str, Instrument]
_READS: Final[Mapping[str, Callable[[Instruments], AccountReads]]] = {
    "upbit": upbit_account.Account,
    "binance_usdm": binance_account.Account,
    "bybit": bybit_account.Account,
}
_WALLETLESS: Final[Mapping[str, Callable[[Instruments], AccountReads]]] = {
    "binance_usdm": lambda instruments: binance_account.Account(instruments, wallet=False),
}
_FEEDS: Final[Mapping[str, Callable[[Instruments], AccountFeed]]] = {
    "upbit": upbit_stream.AccountStream,
    "binance_usdm": binance_stream.AccountStream,
    "bybit": bybit_stream.AccountStream,
}


def reads_at(venue: str, instruments: Instruments, *, wallet: bool = True) -> AccountReads:
    """The reads of an account. `wallet`: whether there is a host that tells what the key may do (`Hosts.wallet`), which only Binance asks for.

    Raises UsageError for a venue that is none of ours.
    """
    _require(venue)
    return _READS[venue](instruments) if wallet else _WALLETLESS.get(venue, _READS[venue])(instruments)


def feed_at(venue: str, instruments: Instruments, *, guard_s: int = 0) -> AccountFeed:
    """The private stream of an account. `guard_s`: the venue cancels what rests when this stream is silent for so many seconds, as only Bybit does.

    Raises UsageError for a venue that is none of ours, or one that does not do that.
    """
    _require(venue)
    if not guard_s:
        return _FEEDS[venue](instruments)
    if venue != "bybit":
        raise UsageError(f"{venue}: expected bybit for a stream that the venue watches, found a venue that watches none; leave that out")
    return bybit_stream.AccountStream(instruments, dead_man_s=guard_s)


def _require(venue: str) -> None:
    if venue not in _READS:
        raise UsageError(f"venue: expected one of {', '.join(_READS)}, found {venue!r}")
