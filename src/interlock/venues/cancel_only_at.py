"""The cancel-only clients of the three venues, put together.

They know no instruments. Prices and sizes mean nothing to whoever only cancels, so that there is no listing that would have to be read before the
first cancel, and no order that could not be told because its price lies between two ticks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.venues.allowance import Allowance
from interlock.venues.binance_usdm import account as binance_account
from interlock.venues.binance_usdm import trade as binance_trade
from interlock.venues.budget import SENTINEL
from interlock.venues.bybit import account as bybit_account
from interlock.venues.bybit import trade as bybit_trade
from interlock.venues.endpoint import Endpoint, Where
from interlock.venues.hosts import hosts_of, hosts_on_loopback
from interlock.venues.http_cancel_only import LOWERING, HttpCancelOnly
from interlock.venues.metering import metering_of
from interlock.venues.port import AccountReads, OrderVerbs, Stamp
from interlock.venues.request import Key
from interlock.venues.upbit import account as upbit_account
from interlock.venues.upbit import trade as upbit_trade

_Instruments = Mapping[str, Instrument]
_PARTS: Final[Mapping[str, tuple[Callable[[_Instruments], AccountReads], Callable[[_Instruments], OrderVerbs]]]] = {
    "upbit": (upbit_account.Account, upbit_trade.Trade),
    "binance_usdm": (binance_account.Account, binance_trade.Trade),
    "bybit": (bybit_account.Account, bybit_trade.Trade),
}


def cancel_only_on_loopback(
    venue: str, places: Mapping[str, Any], symbols: Sequence[str], timeout_ns: int, stamp: Callable[[], Stamp]
) -> Callable[[], HttpCancelOnly]:
    """What makes clients of a simulated venue, which share one allowance; `places` is the first line of `interlock venues serve`.

    `timeout_ns` is for each request, `stamp` makes each signed one unlike every other. Raises UsageError for what is none of a venue on this host.
    """
    _require_known(venue)
    endpoint = hosts_on_loopback(venue, places).rest
    mine = places[venue]
    return _clients(venue, endpoint, Key(str(mine.get("key", "")), str(mine.get("secret", ""))), symbols, timeout_ns, stamp)


def cancel_only_with_key(
    venue: str, where: Where, key: Key, symbols: Sequence[str], timeout_ns: int, stamp: Callable[[], Stamp]
) -> Callable[[], HttpCancelOnly]:
    """The same at a venue's own host. Raises UsageError for a world that it does not have.

    Name and chain of the certificate are checked, the pins of the gate are not: a pin that has become old must keep nobody from cancelling.
    """
    _require_known(venue)
    return _clients(venue, hosts_of(venue, where).rest, key, symbols, timeout_ns, stamp)


def _require_known(venue: str) -> None:
    if venue not in _PARTS:
        raise UsageError(f"venue: expected one of {', '.join(_PARTS)}, found {venue!r}")


def _clients(
    venue: str, endpoint: Endpoint, key: Key, symbols: Sequence[str], timeout_ns: int, stamp: Callable[[], Stamp]
) -> Callable[[], HttpCancelOnly]:
    reads, verbs = _PARTS[venue]
    allowance = Allowance(metering_of(venue), SENTINEL)

    def make() -> HttpCancelOnly:
        return HttpCancelOnly(
            endpoint, key, reads({}), verbs({}), LOWERING[venue], allowance, symbols=symbols, stamp=stamp, timeout_ns=timeout_ns
        )

    return make
