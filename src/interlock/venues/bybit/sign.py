"""Signing for Bybit v5, over time stamp, key, receive window and the query or body exactly as sent: HMAC-SHA256 in hexadecimal, or the signature of
an RSA key in base64. Bybit has no Ed25519.

The venue takes a request if its clock is less than the receive window after the time stamp and less than one second before it. Source: the venue's
guide, "Authentication" (v5).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from interlock.domain.errors import UsageError
from interlock.venues.request import Call, Key, Method, Pair, SignedCall, require_read

READS: Final = frozenset(
    (Method.GET, path)
    for path in (
        "/v5/account/fee-rate",
        "/v5/account/info",
        "/v5/account/instruments-info",
        "/v5/account/query-dcp-info",
        "/v5/account/smp-group",
        "/v5/account/transaction-log",
        "/v5/account/wallet-balance",
        "/v5/execution/list",
        "/v5/order/history",
        "/v5/order/realtime",
        "/v5/position/list",
        "/v5/user/query-api",
    )
)
"""What `sign_read` signs."""


def sign(key: Key, call: Call, *, timestamp_ms: int, receive_window_ms: int) -> SignedCall:
    """Sign a call for one sending. Raises UsageError for a call with both a query and a body: only one of them would be signed."""
    if call.query and call.body:
        raise UsageError(f"{call.method} {call.path}: expected a query or a body, found both; Bybit signs one of them")
    if call.body and call.method is Method.GET:
        raise UsageError(f"{call.method} {call.path}: expected no body, found one; Bybit answers 403 to that")
    proven = f"{timestamp_ms}{key.access}{receive_window_ms}".encode("ascii") + (call.body or call.query.encode("ascii"))
    headers: tuple[tuple[str, str], ...] = (
        ("X-BAPI-API-KEY", key.access),
        ("X-BAPI-TIMESTAMP", str(timestamp_ms)),
        ("X-BAPI-RECV-WINDOW", str(receive_window_ms)),
        ("X-BAPI-SIGN", _proof(key, proven)),
    )
    if call.body:
        headers += (("Content-Type", "application/json"),)
    return SignedCall(call.method, call.path, call.query, headers, call.body)


def sign_read(key: Key, call: Call, *, timestamp_ms: int, receive_window_ms: int) -> SignedCall:
    """Sign a call that only reads. Raises UsageError for any other."""
    require_read(READS, call)
    return sign(key, call, timestamp_ms=timestamp_ms, receive_window_ms=receive_window_ms)


def stream_auth(key: Key, *, expires_ms: int) -> list[str | int]:
    """The arguments of the `auth` operation on the private and the trade socket: key, a time in the future, and the proof."""
    return [key.access, expires_ms, _proof(key, f"GET/realtime{expires_ms}".encode("ascii"))]


def _proof(key: Key, proven: bytes) -> str:
    pair = key.pair((Pair.RSA,))
    if pair is not None:
        return pair.proof(proven)
    return hmac.new(key.secret.encode("ascii"), proven, hashlib.sha256).hexdigest()
