"""What must be there before anything of ours connects to a host that is not this one. What is not built is named, and nothing starts without it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from interlock.domain.errors import UsageError
from interlock.gate.records import Endpoint
from interlock.gate.refusal import Refusal

MISSING_AT_REAL: Final = (
    "users of their own for engine, gate, sentinel and console",
    "the evidence of a preflight (databases, git, channels)",
    "a lease of the account that also keeps out gates on other hosts",
    "the drill that sweeps once a day where nothing rests",
)
"""What the gate's rules ask for where real money is, and what is not built."""

Resolve = Callable[[str, int], Iterable[str]]
"""The addresses of a host and port. Raises OSError."""


def require_startable(endpoint: Endpoint) -> None:
    """Raise UsageError for an endpoint at which no gate starts."""
    if endpoint is Endpoint.REAL:
        raise UsageError(
            f"endpoint {endpoint.value}: expected all that the rules of the gate ask for where real money is, found missing: "
            f"{'; '.join(MISSING_AT_REAL)}; no gate starts there before it is built, testnet can be had"
        )


def without_evidence(endpoints: Sequence[Endpoint]) -> tuple[Refusal, ...]:
    """What stands against arming away from loopback whatever else is well: no preflight is built whose evidence the rules ask for."""
    if set(endpoints) == {Endpoint.LOOPBACK}:
        return ()
    return (
        Refusal(
            "evidence_missing",
            "expected the evidence of a preflight, which is not built, found none: nothing is armed here; --mode live at simulators can be",
        ),
    )


def require_one(endpoints: Sequence[Endpoint]) -> Endpoint:
    """The endpoint that all venues share. Raises UsageError for several: simulated orders must not answer real ones."""
    found = sorted(set(endpoints))
    if len(found) != 1:
        raise UsageError(f"venues: expected one endpoint for all, found {', '.join(one.value for one in found) or 'none'}")
    return found[0]


def require_abroad(hosts: Iterable[tuple[str, int]], resolve: Resolve) -> None:
    """Raise UsageError for a venue's host that leads nowhere, or to an address that is not of the public network: somebody redirects it."""
    for host, port in sorted(set(hosts)):
        try:
            found = sorted(set(resolve(host, port)))
        except OSError as error:
            raise UsageError(f"{host}: expected an address, found: {error}; see whether this host can resolve names") from error
        odd = [one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_global]
        if odd or not found:
            raise UsageError(
                f"{host}: expected addresses of the public network, found {', '.join(odd) or 'none'}; somebody redirects the venue, "
                "look at /etc/hosts and at who resolves names here"
            )


def resolve_here(host: str, port: int) -> list[str]:
    """As this host resolves names (`Resolve`)."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
