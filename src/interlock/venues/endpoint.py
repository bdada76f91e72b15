"""Where a venue is: real, testnet or loopback, never a free address; and how its certificate must look.

`hosts` names each venue's own real and testnet hosts; on loopback a port of this host plays them. What is read here is bound into grants and
journals by its name.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

from interlock.domain.errors import UsageError

LOOPBACK = ("127.0.0.1", "::1")
PIN_DIGITS = 64
"""Of a pin: SHA-256 of the certificate's public key (SubjectPublicKeyInfo, DER), hexadecimal."""


class Where(StrEnum):
    """Which of a venue's worlds."""

    REAL = "real"
    TESTNET = "testnet"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a venue. `authority` is the file of the only authority that is trusted there; None: the system's.

    `pins` are the keys of which the host's certificate must have one, besides its name and its chain; none: any key that the chain vouches for.
    `tls` may be False on loopback only. Raises UsageError otherwise, for a loopback address that is none, and for what cannot be a pin.
    """

    where: Where
    host: str
    port: int
    tls: bool = True
    authority: Path | None = None
    pins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.where is Where.LOOPBACK:
            if self.host not in LOOPBACK:
                raise UsageError(f"loopback: expected one of {', '.join(LOOPBACK)}, found {self.host!r}")
        elif not self.tls:
            raise UsageError(f"{self.where.value} {self.host}: expected TLS, found none")
        for pin in self.pins:
            if not self.tls or len(pin) != PIN_DIGITS or set(pin) - set("0123456789abcdef"):
                raise UsageError(
                    f"{self.host}: expected pins of {PIN_DIGITS} hexadecimal digits in lower case, with TLS, found {pin!r}; "
                    "docs/gate.md says how one is read"
                )
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
        if not self.pins:
            return _strict(ssl.create_default_context(cafile=None if self.authority is None else str(self.authority)))
        pinned = _PinnedContext(ssl.PROTOCOL_TLS_CLIENT)
        pinned.pins, pinned.host = frozenset(self.pins), self.host
        if self.authority is None:
            pinned.load_default_certs(ssl.Purpose.SERVER_AUTH)
        else:
            pinned.load_verify_locations(cafile=str(self.authority))
        return _strict(pinned)


def _strict(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class _PinnedContext(ssl.SSLContext):
    """Names and chains are checked by what it is made as, a client's; the key when the handshake is over, before anybody could write a byte."""

    pins: frozenset[str]
    host: str

    def require(self, certificate: bytes | None) -> None:
        """Raise ssl.SSLError unless the key of a certificate is one of the pins."""
        found = "none" if certificate is None else pin_of(certificate)
        if found not in self.pins:
            raise ssl.SSLCertVerificationError(
                f"{self.host}: expected a certificate with a key that is pinned, found {found}; look who answers"
            )


class _PinnedObject(ssl.SSLObject):
    """For whoever keeps the bytes (asyncio, the order lines)."""

    def do_handshake(self) -> None:
        super().do_handshake()
        cast(_PinnedContext, self.context).require(self.getpeercert(binary_form=True))


class _PinnedSocket(ssl.SSLSocket):
    """For whoever waits."""

    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        cast(_PinnedContext, self.context).require(self.getpeercert(binary_form=True))


_PinnedContext.sslobject_class = _PinnedObject
_PinnedContext.sslsocket_class = _PinnedSocket


def pin_of(certificate: bytes) -> str:
    """The pin of a certificate in DER. Raises ValueError for what is none."""
    # Only who pins waits for the library that reads it.
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key: Any = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
