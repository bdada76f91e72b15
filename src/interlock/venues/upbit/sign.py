"""Signing for Upbit: a JSON web token that carries the key, a fresh nonce and the SHA-512 of the parameters in plain text.

There is no time stamp and no window: a token is good until its nonce is used, so a placement that was delayed on the way can be accepted at any
later time. The secret's characters are the key bytes. Source: the venue's authentication guide; HS512 as it recommends, HS256 as its own SDK sends.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from enum import StrEnum
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.request import Call, Key, Method, SignedCall, require_read

READS: Final = frozenset(
    (Method.GET, path)
    for path in (
        "/v1/accounts",
        "/v1/api_keys",
        "/v1/deposits",
        "/v1/order",
        "/v1/orders/chance",
        "/v1/orders/closed",
        "/v1/orders/open",
        "/v1/orders/uuids",
        "/v1/status/wallet",
        "/v1/withdraws",
    )
)
"""What `sign_read` signs."""


class Algorithm(StrEnum):
    """How the token is signed."""

    HS512 = "HS512"
    HS256 = "HS256"


_HASH: Final = {Algorithm.HS512: hashlib.sha512, Algorithm.HS256: hashlib.sha256}


def sign(key: Key, call: Call, *, nonce: str, algorithm: Algorithm = Algorithm.HS512) -> SignedCall:
    """Sign a call for one sending. `nonce` is a UUID that no request has used before.

    Raises UsageError for a body that is no flat JSON object of texts, which the venue could not have hashed alike, and for one beside a query.
    """
    if call.query and call.body:
        raise UsageError(f"{call.method} {call.path}: expected a query or a body, found both; Upbit hashes one of them")
    headers: tuple[tuple[str, str], ...] = (("Authorization", f"Bearer {token(key, parameters(call), nonce=nonce, algorithm=algorithm)}"),)
    if call.body:
        headers += (("Content-Type", "application/json"),)
    return SignedCall(call.method, call.path, call.query, headers, call.body)


def sign_read(key: Key, call: Call, *, nonce: str, algorithm: Algorithm = Algorithm.HS512) -> SignedCall:
    """Sign a call that only reads. Raises UsageError for any other."""
    require_read(READS, call)
    return sign(key, call, nonce=nonce, algorithm=algorithm)


def stream_auth(key: Key, *, nonce: str, algorithm: Algorithm = Algorithm.HS512) -> tuple[str, str]:
    """The header of the private socket's handshake: a token without parameters."""
    return "Authorization", f"Bearer {token(key, '', nonce=nonce, algorithm=algorithm)}"


def parameters(call: Call) -> str:
    """What of a call is hashed: the query as the server reads it, or the members of the body in their order; both without percent signs."""
    if not call.body:
        return unquote(call.query, errors="strict")
    try:
        members = msgspec.json.decode(call.body, type=dict[str, str | int | bool])
    except msgspec.DecodeError as error:
        raise UsageError(
            f"{call.method} {call.path}: expected a flat JSON object as the body, found: {error}; nothing was signed"
        ) from error
    return "&".join(f"{name}={_text(value)}" for name, value in members.items())


def token(key: Key, hashed: str, *, nonce: str, algorithm: Algorithm) -> str:
    """The token for parameters in plain text, empty for none. Raises UsageError for a private key, which this venue does not take."""
    key.pair()
    claims: dict[str, Any] = {"access_key": key.access, "nonce": nonce}
    if hashed:
        claims |= {"query_hash": hashlib.sha512(hashed.encode()).hexdigest(), "query_hash_alg": "SHA512"}
    proven = f"{_part({'alg': algorithm.value, 'typ': 'JWT'})}.{_part(claims)}"
    proof = hmac.new(key.secret.encode("ascii"), proven.encode("ascii"), _HASH[algorithm]).digest()
    return f"{proven}.{_url64(proof)}"


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _part(content: dict[str, Any]) -> str:
    return _url64(msgspec.json.encode(content))


def _url64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
