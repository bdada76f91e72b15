"""Signing for Binance USDⓈ-M futures and the wallet's key check, over query and body joined with nothing between: HMAC-SHA256 in hexadecimal, or
the signature of an RSA or Ed25519 key in base64, which is escaped in a query and in a body, and plain over the socket.

The signature is the last parameter. The venue takes a request if its clock is at most the receive window after the time stamp and less than one
second before it; a late arrival at the matching engine is refused too (-5028). Source: the venue's general information, "Endpoint security type"
and "SIGNED endpoint security".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from interlock.domain.errors import UsageError
from interlock.venues.request import Call, Key, Method, Pair, SignedCall, require_read

READS: Final = frozenset(
    (Method.GET, path)
    for path in (
        "/fapi/v1/accountConfig",
        "/fapi/v1/allOrders",
        "/fapi/v1/apiTradingStatus",
        "/fapi/v1/commissionRate",
        "/fapi/v1/feeBurn",
        "/fapi/v1/income",
        "/fapi/v1/leverageBracket",
        "/fapi/v1/multiAssetsMargin",
        "/fapi/v1/openAlgoOrders",
        "/fapi/v1/openOrder",
        "/fapi/v1/openOrders",
        "/fapi/v1/order",
        "/fapi/v1/orderAmendment",
        "/fapi/v1/positionSide/dual",
        "/fapi/v1/rateLimit/order",
        "/fapi/v1/symbolConfig",
        "/fapi/v1/userTrades",
        "/fapi/v3/account",
        "/fapi/v3/balance",
        "/fapi/v3/positionRisk",
        "/sapi/v1/account/apiRestrictions",
    )
)
"""What `sign_read` signs."""

LISTEN_KEY: Final = "/fapi/v1/listenKey"
"""Made, kept alive and closed with the key alone, unsigned."""


def sign(key: Key, call: Call, *, timestamp_ms: int, receive_window_ms: int) -> SignedCall:
    """Sign a call for one sending: stamp, window and signature are added to the body if there is one, else to the query.

    Raises UsageError for a call that carries one of the three already.
    """
    body = call.body.decode("ascii")
    for part in (call.query, body):
        if {name.partition("=")[0] for name in part.split("&")} & {"timestamp", "recvWindow", "signature"}:
            raise UsageError(f"{call.method} {call.path}: expected no time stamp, window or signature yet, found one; they are added here")
    stamp = f"recvWindow={receive_window_ms}&timestamp={timestamp_ms}"
    if body:
        body = f"{body}&{stamp}"
    query = call.query if body else "&".join(filter(None, (call.query, stamp)))
    proof = f"&signature={quote(_proof(key, query + body), safe='')}"
    headers: tuple[tuple[str, str], ...] = (("X-MBX-APIKEY", key.access),)
    if body:
        return SignedCall(
            call.method,
            call.path,
            query,
            (*headers, ("Content-Type", "application/x-www-form-urlencoded")),
            (body + proof).encode("ascii"),
        )
    return SignedCall(call.method, call.path, query + proof, headers)


def sign_read(key: Key, call: Call, *, timestamp_ms: int, receive_window_ms: int) -> SignedCall:
    """Sign a call that only reads. Raises UsageError for any other."""
    require_read(READS, call)
    return sign(key, call, timestamp_ms=timestamp_ms, receive_window_ms=receive_window_ms)


def with_key(key: Key, method: Method) -> SignedCall:
    """The calls of a listen key, which need the key and no signature. Raises UsageError for GET, which there is none of."""
    if method is Method.GET:
        raise UsageError(f"GET {LISTEN_KEY}: expected POST, PUT or DELETE; a listen key is not read")
    return SignedCall(method, LISTEN_KEY, "", (("X-MBX-APIKEY", key.access),))


def sign_socket(
    key: Key, params: Mapping[str, str | int | bool], *, timestamp_ms: int, receive_window_ms: int
) -> dict[str, str | int | bool]:
    """The parameters of one request of the WebSocket API with key, stamp, window and signature: names in alphabetical order, values as they are.

    Raises UsageError for parameters that carry one of them already.
    """
    added: dict[str, str | int | bool] = {"apiKey": key.access, "timestamp": timestamp_ms, "recvWindow": receive_window_ms}
    if added.keys() & params.keys() or "signature" in params:
        raise UsageError("order entry: expected no key, stamp, window or signature yet, found one; they are added here")
    whole = dict(sorted({**params, **added}.items()))
    proven = "&".join(f"{name}={_text(value)}" for name, value in whole.items())
    return {**whole, "signature": _proof(key, proven)}


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _proof(key: Key, proven: str) -> str:
    pair = key.pair((Pair.RSA, Pair.ED25519))
    if pair is not None:
        return pair.proof(proven.encode())
    return hmac.new(key.secret.encode("ascii"), proven.encode(), hashlib.sha256).hexdigest()
