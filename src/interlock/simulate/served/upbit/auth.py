"""Who is asking: the JSON web token of a request, checked in one order and answered in the venue's words.

A token carries the key, a nonce that no request of the key used before, and the hash of the parameters. There is no time in it, so nothing here looks
at a clock but the key's own end. Source: the authentication guide. The order of the checks is chosen: token, key, signature, parameters, nonce,
address; what a key may do is asked last, by the endpoint.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final

from interlock.simulate.served.keys import KeyRing, SimKey
from interlock.simulate.served.upbit.words import Wrong

ALGORITHMS: Final = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}
"""HS512 is what the guide recommends, HS256 what the venue's own client sends."""


def check(keys: KeyRing, header: str, hashed: str, now_ns: int, address: str) -> SimKey:
    """The key whose token this is; its nonce is used up. `hashed` is the plain text of the parameters, empty for none. Raises Wrong."""
    scheme, _, token = header.partition(" ")
    if not token or scheme.lower() != "bearer":
        raise Wrong("no_authorization_token")
    claims, proven, proof, algorithm = _open(token.strip())
    key = keys.find(_member(claims, "access_key"))
    if key is None or key.locked:
        raise Wrong("invalid_access_key")
    if key.expires_ns and now_ns >= key.expires_ns:
        raise Wrong("expired_access_key")
    if not hmac.compare_digest(hmac.new(key.secret.encode(), proven, ALGORITHMS[algorithm]).digest(), proof):
        raise Wrong("jwt_verification")
    _check_parameters(claims, hashed)
    nonce = _member(claims, "nonce")
    if not nonce:
        raise Wrong("jwt_verification")
    if not key.nonces.use(nonce):
        raise Wrong("nonce_used")
    if key.addresses and address not in key.addresses:
        raise Wrong("no_authorization_ip")
    return key


def _check_parameters(claims: Mapping[str, Any], hashed: str) -> None:
    """The hash must be that of the parameters; it may be left out only where there are none."""
    given = _member(claims, "query_hash")
    if not given and not hashed:
        return
    if _member(claims, "query_hash_alg") not in ("SHA512", "") or given != hashlib.sha512(hashed.encode()).hexdigest():
        raise Wrong("invalid_query_payload")


def _open(token: str) -> tuple[Mapping[str, Any], bytes, bytes, str]:
    """(claims, the signed bytes, the signature, the algorithm) of a token. Raises Wrong for what is none."""
    parts = token.split(".")
    try:
        header, claims, proof = (_decoded(part) for part in parts)
        head, body = json.loads(header), json.loads(claims)
        algorithm = head["alg"]
        if algorithm not in ALGORITHMS or not isinstance(body, dict):
            raise Wrong("jwt_verification")
    except (ValueError, KeyError, TypeError, binascii.Error, RecursionError) as error:
        raise Wrong("jwt_verification") from error
    return body, ".".join(parts[:2]).encode(), proof, algorithm


def _decoded(part: str) -> bytes:
    return base64.b64decode(part.encode("ascii") + b"=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _member(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
