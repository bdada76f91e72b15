"""Where a venue is: real, testnet or loopback, never a free address; and how its certificate must look.

Each venue's `HOSTS` names its own real and testnet hosts; on loopback a port of this host plays them. What is read here is bound into grants and
journals by its name.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from interlock.domain.errors import UsageError

LOOPBACK = ("127.0.0.1", "::1")


class Where(StrEnum):
    """Which of a venue's worlds."""

    REAL = "real"
    TESTNET = "testnet"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a venue. `authority` is the file of the only authority that is trusted there; None: the system's.

    `tls` may be False on loopback only. Raises UsageError otherwise, and for a loopback address that is none.
    """

    where: Where
    host: str
    port: int
    tls: bool = True
    authority: Path | None = None

    def __post_init__(self) -> None:
        if self.where is Where.LOOPBACK:
            if self.host not in LOOPBACK:
                raise UsageError(f"loopback: expected one of {', '.join(LOOPBACK)}, found {self.host!r}")
        elif not self.tls:
            raise UsageError(f"{self.where.value} {self.host}: expected TLS, found none")
        if not 0 < self.port < 65536:
            raise UsageError(f"{self.host}: expected a port from 1 to 65535, found {self.port}")

    @property
    def authority_host(self) -> str:
        """Host and, where it is not the usual one, port: what the Host header says."""
        usual = 443 if self.tls else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual else f"{host}:{self.port}"

    def context(self) -> ssl.SSLContext | None:
        """The TLS context for a client: names and chains are always checked. None without TLS."""
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=None if self.authority is None else str(self.authority))
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
