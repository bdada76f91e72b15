"""The hosts of each venue, real and testnet, and where simulators of them are on loopback. There is no other address that could be given.

Sources: the venues' own pages on connecting. Binance's test streams are on the host that its pages name, unconfirmed since the paths were split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from interlock.domain.errors import UsageError
from interlock.venues.endpoint import LOOPBACK, Endpoint, Where

VENUES: Final = ("upbit", "binance_usdm", "bybit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosts:
    """The endpoints of one venue in one of its worlds. `trade` is order entry over WebSocket; None where there is none.

    `wallet` answers for what a key may do, where that is another host (Binance's /sapi); None where no such host exists.
    """

    rest: Endpoint
    public: Endpoint
    private: Endpoint
    trade: Endpoint | None
    wallet: Endpoint | None

    @property
    def public_rest(self) -> Endpoint:
        """Where public requests go for whoever has no way to the side of orders: on loopback the public side answers them too."""
        return self.public if self.rest.where is Where.LOOPBACK else self.rest

    @property
    def all(self) -> tuple[Endpoint, ...]:
        """Every one that there is."""
        return tuple(one for one in (self.rest, self.public, self.private, self.trade, self.wallet) if one is not None)


def _tls(where: Where, host: str) -> Endpoint:
    return Endpoint(where, host, 443)


_KNOWN: Final[Mapping[tuple[str, Where], Hosts]] = {
    ("upbit", Where.REAL): Hosts(
        rest=_tls(Where.REAL, "api.upbit.com"),
        public=_tls(Where.REAL, "api.upbit.com"),
        private=_tls(Where.REAL, "api.upbit.com"),
        trade=None,
        wallet=_tls(Where.REAL, "api.upbit.com"),
    ),
    ("binance_usdm", Where.REAL): Hosts(
        rest=_tls(Where.REAL, "fapi.binance.com"),
        public=_tls(Where.REAL, "fstream.binance.com"),
        private=_tls(Where.REAL, "fstream.binance.com"),
        trade=_tls(Where.REAL, "ws-fapi.binance.com"),
        wallet=_tls(Where.REAL, "api.binance.com"),
    ),
    ("binance_usdm", Where.TESTNET): Hosts(
        rest=_tls(Where.TESTNET, "demo-fapi.binance.com"),
        public=_tls(Where.TESTNET, "fstream.binancefuture.com"),
        private=_tls(Where.TESTNET, "fstream.binancefuture.com"),
        trade=_tls(Where.TESTNET, "testnet.binancefuture.com"),
        wallet=None,
    ),
    ("bybit", Where.REAL): Hosts(
        rest=_tls(Where.REAL, "api.bybit.com"),
        public=_tls(Where.REAL, "stream.bybit.com"),
        private=_tls(Where.REAL, "stream.bybit.com"),
        trade=_tls(Where.REAL, "stream.bybit.com"),
        wallet=_tls(Where.REAL, "api.bybit.com"),
    ),
    ("bybit", Where.TESTNET): Hosts(
        rest=_tls(Where.TESTNET, "api-testnet.bybit.com"),
        public=_tls(Where.TESTNET, "stream-testnet.bybit.com"),
        private=_tls(Where.TESTNET, "stream-testnet.bybit.com"),
        trade=_tls(Where.TESTNET, "stream-testnet.bybit.com"),
        wallet=_tls(Where.TESTNET, "api-testnet.bybit.com"),
    ),
}


def hosts_of(venue: str, where: Where) -> Hosts:
    """A venue's own hosts. Raises UsageError for a world that it does not have."""
    found = _KNOWN.get((venue, where))
    if found is None:
        has = [known.value for name, known in _KNOWN if name == venue]
        raise UsageError(
            f"{venue}: expected endpoint {' or '.join(has) or 'of a known venue'}, found {where.value!r}; the venue has no other world"
        )
    return found


def pinned(hosts: Hosts, pins: Mapping[str, Sequence[str]]) -> Hosts:
    """The same hosts, with the keys that their certificates may have, by host. Raises UsageError for a host without pins, and for pins of another."""
    names = {one.host for one in hosts.all}
    if missing := sorted(names - {host for host, keys in pins.items() if keys}):
        raise UsageError(
            f"pins: expected one or more for every host, found none for {', '.join(missing)}; docs/gate.md says how one is read"
        )
    if strange := sorted(set(pins) - names):
        raise UsageError(f"pins: expected hosts among {', '.join(sorted(names))}, found {', '.join(strange)}; there are no other hosts")

    def one(endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, pins=tuple(pins[endpoint.host]))

    return Hosts(
        rest=one(hosts.rest),
        public=one(hosts.public),
        private=one(hosts.private),
        trade=None if hosts.trade is None else one(hosts.trade),
        wallet=None if hosts.wallet is None else one(hosts.wallet),
    )


def hosts_on_loopback(venue: str, places: Mapping[str, Any]) -> Hosts:
    """A simulated venue's endpoints, from the first line of `interlock venues serve`. Raises UsageError for one that is not of this host."""
    mine = places.get(venue)
    if not isinstance(mine, Mapping):
        raise UsageError(f"expected the place of {venue} among the simulated venues, found none")
    authority = Path(str(places["ca"])) if "ca" in places else None
    rest = _loopback(mine, "rest", authority)
    return Hosts(
        rest=rest,
        public=_loopback(mine, "ws_public", authority),
        private=_loopback(mine, "ws_private", authority),
        trade=_loopback(mine, "ws_trade", authority) if "ws_trade" in mine else None,
        wallet=rest,
    )


def _loopback(mine: Mapping[str, Any], name: str, authority: Path | None) -> Endpoint:
    try:
        parts = urlsplit(str(mine[name]))
        host, port = parts.hostname or "", parts.port or 0
    except (KeyError, ValueError) as error:
        raise UsageError(f"{name}: expected an address of a simulated venue, found {mine.get(name)!r}") from error
    if host not in LOOPBACK:
        raise UsageError(f"{name}: expected an address of this host, found {host!r}")
    return Endpoint(Where.LOOPBACK, host, port, tls=parts.scheme in ("https", "wss"), authority=authority)
