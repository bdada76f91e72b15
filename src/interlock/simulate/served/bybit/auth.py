"""Who asks: key, signature over exactly the bytes that came, time stamp, address, and what the key may do.

The documentation gives no order of the checks. Here: the headers are there, the time is within the window, the key is known, not expired and used
from its addresses, the signature fits, the key may do it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from interlock.simulate.served.bybit.words import BAD_KEY, BAD_SIGN, EXPIRED, NO_PERMISSION, PARAMS, UNKNOWN_IP, Failed
from interlock.simulate.served.keys import KeyRing, SimKey

WINDOW_MS: Final = 5_000
AHEAD_MS: Final = 1_000
CLIENT: Final = "127.0.0.1"
"""Every client comes from loopback; the doors listen nowhere else."""


def check_request(keys: KeyRing, headers: Mapping[str, str], payload: bytes, now_ms: int) -> SimKey:
    """The key of a signed request; `payload` is the query of a GET or the body of a POST. Raises Failed."""
    access, stamp, proof = (headers.get(f"X-BAPI-{name}", "") for name in ("API-KEY", "TIMESTAMP", "SIGN"))
    window = headers.get("X-BAPI-RECV-WINDOW", "")
    if not (access and stamp and proof):
        raise Failed(401, "Request parameter error: X-BAPI-API-KEY, X-BAPI-TIMESTAMP and X-BAPI-SIGN are required", 401)
    check_time(stamp, window, now_ms)
    key = check_key(keys, access, now_ms)
    signed = f"{stamp}{access}{window}".encode() + payload
    if not proves(key, signed, proof):
        raise Failed(BAD_SIGN, f"error sign! origin_string[{signed.decode('utf-8', 'replace')}]")
    return key


def check_time(stamp: str, window: str, now_ms: int) -> None:
    """Raise Failed unless the stamp is within the receive window and less than a second ahead."""
    if not (_digits(stamp) and (not window or _digits(window))):
        raise Failed(PARAMS, "params error: timestamp or recv_window invalid")
    width = int(window) if window else WINDOW_MS
    if not now_ms - width <= int(stamp) < now_ms + AHEAD_MS:
        raise Failed(
            EXPIRED,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp}],server_timestamp[{now_ms}],recv_window[{width}]",
        )


def check_key(keys: KeyRing, access: str, now_ms: int) -> SimKey:
    """The key of that name, if it may be used at all. Raises Failed."""
    key = keys.find(access)
    if key is None or key.locked:
        raise Failed(BAD_KEY, "API key is invalid.")
    if key.expires_ns and now_ms * 1_000_000 >= key.expires_ns:
        raise Failed(33004, "Your api key has expired.")
    if key.addresses and CLIENT not in key.addresses:
        raise Failed(UNKNOWN_IP, "Unmatched IP, please check your API key's bound IP addresses.")
    return key


def check_trade(key: SimKey) -> None:
    """Raise Failed for a key that only reads."""
    if not key.trade:
        raise Failed(NO_PERMISSION, "Permission denied, please check your API key permissions.")


def proves(key: SimKey, signed: bytes, proof: str) -> bool:
    """Whether a proof is the key's: HMAC in hexadecimal, or for a key whose secret is a public RSA key, RSA in base64."""
    if not key.secret.startswith("-----BEGIN PUBLIC KEY-----"):
        wanted = hmac.new(key.secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(wanted.encode(), proof.encode())
    public = load_pem_public_key(key.secret.encode())
    assert isinstance(public, rsa.RSAPublicKey)
    try:
        public.verify(base64.b64decode(proof, validate=True), signed, padding.PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
