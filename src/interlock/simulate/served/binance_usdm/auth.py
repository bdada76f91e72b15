"""Who asks: key, clock, signature, address and permission, in the order in which the venue looks at them [the order is inferred].

HMAC-SHA256 for keys with a secret; RSA (PKCS#1 v1.5, SHA-256) and Ed25519 where a key's secret is the public key in PEM.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final
from urllib.parse import unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from interlock.simulate.served.binance_usdm.params import Params, as_text
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.keys import KeyRing, SimKey

CLIENT: Final = "127.0.0.1"
"""The address from which every client comes: the simulators listen on loopback only."""
WINDOW_MS: Final = 5000
WINDOW_MAX_MS: Final = 60_000
_FORMAT: Final = re.compile(r"[A-Za-z0-9_-]{10,128}")


class Security(Enum):
    """What a request must show."""

    NONE = "none"
    KEY = "key"
    SIGNED = "signed"
    TRADE = "trade"


def split_signature(query: str, body: str) -> tuple[str, str]:
    """What is signed, and the signature (empty where there is none, or where it is not the last parameter)."""
    signature, parts = "", []
    for text in (query, body):
        head, found, tail = text.rpartition("signature=")
        last = bool(found) and "&" not in tail and (not head or head.endswith("&"))
        signature = unquote_plus(tail) if last else signature
        parts.append(head.removesuffix("&") if last else text)
    return "".join(parts), signature


def socket_text(params: Mapping[str, Any]) -> str:
    """What is signed of a request of the WebSocket API: all names but the signature in alphabetical order, values as they are."""
    return "&".join(f"{name}={as_text(params[name])}" for name in sorted(params) if name != "signature")


def proven(key: SimKey, signed: str, signature: str) -> bool:
    """Whether the signature is the key's over exactly this text."""
    if not key.secret.startswith("-----BEGIN"):
        expected = hmac.new(key.secret.encode(), signed.encode(), hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode())
    public = load_pem_public_key(key.secret.encode())
    try:
        raw = base64.b64decode(signature, validate=True)
        if isinstance(public, ed25519.Ed25519PublicKey):
            public.verify(raw, signed.encode())
        elif isinstance(public, rsa.RSAPublicKey):
            public.verify(raw, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        else:
            return False
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


class Gatekeeper:
    """Checks requests against the keys of the venue."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    def known(self, access: str, now_ns: int) -> SimKey:
        """The key of that name, if it may be used from here. Raises Wrong."""
        if not _FORMAT.fullmatch(access):
            raise Wrong(-2014)
        key = self._keys.find(access)
        if key is None or (key.expires_ns and now_ns >= key.expires_ns):
            raise Wrong(-2015)
        return key

    def admit(self, security: Security, access: str, values: Mapping[str, str], signed: str, signature: str, now_ns: int) -> SimKey | None:
        """The key of a request that may be done. Raises Wrong."""
        if security is Security.NONE:
            return None
        if not _FORMAT.fullmatch(access):
            raise Wrong(-2014)
        if security is not Security.KEY:
            in_time(Params(values), now_ns // 1_000_000)
            if not signature:
                raise Wrong(-1102, "signature")
        key = self.known(access, now_ns)
        if security is not Security.KEY and not proven(key, signed, signature):
            raise Wrong(-1022)
        return self.allow(security, key)

    def allow(self, security: Security, key: SimKey) -> SimKey:
        """Whether a key that is proven may do it from where it is. Raises Wrong."""
        if key.locked:
            raise Wrong(-2017)
        if key.addresses and CLIENT not in key.addresses:
            raise Wrong(-2015)
        if security is Security.TRADE and not key.trade:
            raise Wrong(-2015)
        return key


def in_time(params: Params, now_ms: int) -> None:
    """Whether a time stamp is within its window. Raises Wrong."""
    stamp = params.whole("timestamp")
    window = params.integer("recvWindow")
    window = WINDOW_MS if window is None else window
    if window > WINDOW_MAX_MS:
        raise Wrong(-1130, "recvWindow")
    if stamp >= now_ms + 1000:
        raise Wrong(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - stamp > window:
        raise Wrong(-1021, "Timestamp for this request is outside of the recvWindow.")
