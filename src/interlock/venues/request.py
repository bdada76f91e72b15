"""A request to a venue, before and after it is signed: exactly the bytes that are sent, so that what is signed is what is sent.

Nothing here sends anything. A signed request is written to a connection once; another attempt is another request with a fresh stamp.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING

from interlock.domain.errors import UsageError

if TYPE_CHECKING:
    from interlock.venues.key_pair import KeyPair


class Method(StrEnum):
    """The HTTP methods that the venues use."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"


class Pair(StrEnum):
    """The kinds of pairs of which a key's secret may be the private half."""

    RSA = "RSA"
    ED25519 = "Ed25519"


def fingerprint_of(access: str) -> str:
    """By what a key is known where it may not be told: the first 16 hexadecimal digits of SHA-256 of the access key."""
    return sha256(access.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Key:
    """A venue's key. `access` names it in requests; `secret` signs and is never shown: the venue's characters, or a private key of ours in PEM.

    Raises UsageError for an empty part, one with a character that no venue issues, such as the end of a line that was copied with it, and for a
    private key that cannot be read.
    """

    access: str
    secret: str = field(repr=False)
    _pair: KeyPair | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        parts = [("access key", self.access)]
        if self.secret.startswith("-----BEGIN"):
            # Only whoever has such a key waits for the library that reads it.
            from interlock.venues.key_pair import KeyPair

            object.__setattr__(self, "_pair", KeyPair(self.secret))
        else:
            parts.append(("secret", self.secret))
        for name, part in parts:
            if not part or not (part.isascii() and part.isprintable()) or " " in part:
                raise UsageError(
                    f"{name}: expected printable characters without blanks, found {len(part)} characters with others; copy it anew"
                )

    @property
    def fingerprint(self) -> str:
        """By what the key is known where it may not be told (`fingerprint_of`)."""
        return fingerprint_of(self.access)

    def pair(self, taken: Collection[Pair] = ()) -> KeyPair | None:
        """The pair, if the secret is one. Raises UsageError for a kind that is not among those that a venue takes."""
        if self._pair is not None and self._pair.kind not in taken:
            raise UsageError(
                f"secret: expected {' or '.join(('the characters that this venue issued', *taken))}, found a private key "
                f"({self._pair.kind}), which it does not take; nothing was signed"
            )
        return self._pair


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a venue: the path without a query, the query as it stands on the wire (without `?`), and the bytes of the body."""

    method: Method
    path: str
    query: str = ""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class SignedCall:
    """A call with everything that proves who asks. `headers` carry the proof; the host and the length are the connection's.

    The representation leaves out headers, query and body: they hold a signature, and may hold a key.
    """

    method: Method
    path: str
    query: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(default=b"", repr=False)

    @property
    def target(self) -> str:
        """The path with the query, as it stands in the first line of the request."""
        return f"{self.path}?{self.query}" if self.query else self.path


def require_read(reads: frozenset[tuple[Method, str]], call: Call) -> None:
    """Raise UsageError for a call that is not on a venue's list of reads: whoever may only look can sign nothing else."""
    if (call.method, call.path) not in reads:
        raise UsageError(
            f"{call.method} {call.path}: expected a read of this venue, found something that is not on its list; nothing was signed"
        )
