"""Order entry by Binance's WebSocket API: the requests of `trade` as frames, and its answers as `trade` reads them.

    {"id":"3f7df6e3-2df4-44b9-9919-d2f38f90a99a","method":"order.place","params":{"apiKey":"dbef","newClientOrderId":"arb-0001","price":"9000",
     "quantity":"1","recvWindow":5000,"side":"BUY","symbol":"BTCUSDT","timeInForce":"GTX","timestamp":1591702613943,"type":"LIMIT","signature":"e704"}}

Each request is signed by itself, so there is no greeting: a session of the venue is for Ed25519 keys only. Answers come in any order. What was
asked on a connection that broke is of unknown outcome. Weights and counts are those of REST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import parse_qsl

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.binance_usdm import sign
from interlock.venues.binance_usdm.replies import Code, MaybeName, decoded, whole
from interlock.venues.binance_usdm.trade import ORDER
from interlock.venues.binance_usdm.wire import SHUTDOWN
from interlock.venues.feed import MAX_FRAME_BYTES, Count
from interlock.venues.port import Ask, Heard, Nonsense, Stamp
from interlock.venues.request import Key, Method

PATH: Final = "/ws-fapi/v1"
HANDSHAKE_WEIGHT: Final = 5
PING_EVERY_S: Final = 170.0
LIVES_S: Final = 23.5 * 3600

_METHODS: Final = {Method.POST: "order.place", Method.PUT: "order.modify", Method.DELETE: "order.cancel"}
_NUMBERS: Final = frozenset({"orderId"})
"""The parameters that are whole numbers; all others are text."""
_LONGEST_ID: Final = 36
_HEADERS: Final = {
    ("REQUEST_WEIGHT", "MINUTE", 1): "x-mbx-used-weight-1m",
    ("ORDERS", "SECOND", 10): "x-mbx-order-count-10s",
    ("ORDERS", "MINUTE", 1): "x-mbx-order-count-1m",
}


class _Used(msgspec.Struct, frozen=True, gc=False):
    """{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300,"count":1}"""

    rateLimitType: MaybeName
    interval: MaybeName
    intervalNum: Count
    count: Count


class _Error(msgspec.Struct, frozen=True, gc=False):
    code: Code


class _Event(msgspec.Struct, frozen=True, gc=False):
    """{"e":"serverShutdown","E":1770123456789}"""

    e: MaybeName = ""


class _Reply(msgspec.Struct, frozen=True, gc=False):
    """{"id":"3f7d","status":400,"error":{"code":-5022,"msg":"..."},"rateLimits":[]}; a notice has no status, but `event`, or `e` as in a stream."""

    id: MaybeName | int | None = None
    status: Annotated[int, msgspec.Meta(ge=0, le=999)] = 0
    result: msgspec.Raw = msgspec.Raw(b"")
    error: _Error | None = None
    rateLimits: Annotated[list[_Used], msgspec.Meta(max_length=16)] = []
    e: MaybeName = ""
    event: _Event | None = None


_decode_reply = msgspec.json.Decoder(_Reply).decode


@dataclass(frozen=True, slots=True)
class Replied:
    """What a frame says. `what` is "answer" for one to a request, which `heard` holds as if it had come by REST; else "refused", "malformed",
    "serverShutdown" or "unknown".

    `over`: nothing more may be asked on this connection. A frame that cannot be read may have been the answer to anything in flight.
    """

    what: str
    request_id: str = ""
    heard: Heard | None = None
    over: bool = False


def frame(key: Key, ask: Ask, stamp: Stamp) -> bytes:
    """A request of `trade` as a signed frame; its id is the stamp's nonce, which was never used.

    Raises UsageError for what the socket does not take.
    """
    call = ask.call
    if call.path != ORDER or call.method not in _METHODS:
        raise UsageError(f"{call.method} {call.path}: expected to place, amend or cancel one order; send this one by REST")
    if not 1 <= len(stamp.nonce) <= _LONGEST_ID or not stamp.nonce.isascii():
        raise UsageError(f"request id: expected 1 to {_LONGEST_ID} characters, found {len(stamp.nonce)}")
    pairs = parse_qsl(call.query or call.body.decode("ascii"), strict_parsing=True)
    params: dict[str, str | int | bool] = {name: int(value) if name in _NUMBERS else value for name, value in pairs}
    signed = sign.sign_socket(key, params, timestamp_ms=stamp.timestamp_ms, receive_window_ms=stamp.receive_window_ms)
    return msgspec.json.encode({"id": stamp.nonce, "method": _METHODS[call.method], "params": signed})


def take(data: bytes) -> Replied:
    """What a frame says. Never raises."""
    try:
        reply = decoded(_decode_reply, whole(data, "frame", MAX_FRAME_BYTES), "frame")
    except Nonsense:
        return Replied("malformed", over=True)
    if SHUTDOWN in (reply.e, reply.event.e if reply.event else ""):
        return Replied(SHUTDOWN, over=True)
    if not reply.status:
        return Replied("unknown")
    if reply.id in (None, ""):
        # Not to one request of ours: the key was revoked, or something that we sent could not be read.
        return Replied("refused", over=True)
    return Replied("answer", str(reply.id), _heard(reply))


def _heard(reply: _Reply) -> Heard:
    names = {(used.rateLimitType, used.interval, used.intervalNum): str(used.count) for used in reply.rateLimits}
    headers = {header: names[name] for name, header in _HEADERS.items() if name in names}
    if reply.error is None:
        return Heard(reply.status, headers, bytes(reply.result))
    return Heard(reply.status, headers, msgspec.json.encode({"code": reply.error.code}))
