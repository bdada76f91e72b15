"""Order entry by Bybit's WebSocket (`/v5/trade`): the requests of `trade` as frames, and its answers as `trade` reads them.

    {"reqId":"test-005","header":{"X-BAPI-TIMESTAMP":"1711001595207","X-BAPI-RECV-WINDOW":"8000"},"op":"order.create","args":[{...}]}

Only the connection is signed for, so whoever writes a frame must have checked it. The object in `args` is the body of the request, byte for byte.
Demo trading has no such socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.venues.bybit import sign
from interlock.venues.bybit.replies import MaybeName, Number, RetCode, decoded
from interlock.venues.feed import MAX_FRAME_BYTES
from interlock.venues.port import Ask, Heard, Nonsense, Stamp
from interlock.venues.request import Key, Method

PATH: Final = "/v5/trade"
PING_EVERY_S: Final = 20.0
RESTARTING: Final = 10019
"""The venue takes nothing new on this connection, and answers what it took."""

_OPS: Final = {f"/v5/order/{verb}": f"order.{verb}" for verb in ("create", "amend", "cancel", "create-batch", "cancel-batch")}
_ANSWERS: Final = frozenset(_OPS.values())
_LONGEST_ID: Final = 36


class _Reply(msgspec.Struct, frozen=True, gc=False):
    """{"reqId":"test-005","retCode":0,"retMsg":"OK","op":"order.create","data":{"orderId":"a4c1718e-fe53-4659-a118-1f6ecce04ad9",
    "orderLinkId":"arb-0002"},"retExtInfo":{},"header":{"X-Bapi-Limit-Status":"9","Timenow":"1711001595209"}}"""

    retCode: RetCode
    op: MaybeName = ""
    reqId: MaybeName = ""
    data: msgspec.Raw = msgspec.Raw(b"{}")
    retExtInfo: msgspec.Raw = msgspec.Raw(b"{}")
    header: Annotated[Mapping[MaybeName, Number], msgspec.Meta(max_length=64)] | None = None


_decode_reply = msgspec.json.Decoder(_Reply).decode


@dataclass(frozen=True, slots=True)
class Replied:
    """What a frame says. `what` is "answer" for one to a request, which `heard` holds as if it had come by REST; else "greeted", "pong", "refused",
    "malformed" or "unknown op".

    `over`: nothing more may be asked on this connection. A frame that cannot be read may have been the answer to anything in flight.
    """

    what: str
    request_id: str = ""
    heard: Heard | None = None
    over: bool = False


def greeting(key: Key, stamp: Stamp) -> bytes:
    """The proof, good until the receive window after the stamp has passed."""
    proof = sign.stream_auth(key, expires_ms=stamp.timestamp_ms + stamp.receive_window_ms)
    return msgspec.json.encode({"reqId": "auth", "op": "auth", "args": proof})


def ping() -> bytes:
    """A ping as the venue wants it, every 20 s."""
    return msgspec.json.encode({"op": "ping"})


def frame(ask: Ask, stamp: Stamp) -> bytes:
    """A request of `trade` as a frame; its id is the stamp's nonce, which was never used. Raises UsageError for what the socket does not take."""
    call = ask.call
    op = _OPS.get(call.path)
    if op is None or call.method is not Method.POST or call.query:
        raise UsageError(f"{call.method} {call.path}: expected an order that the trade socket takes; send this one by REST")
    if not 1 <= len(stamp.nonce) <= _LONGEST_ID or not stamp.nonce.isascii():
        raise UsageError(f"request id: expected 1 to {_LONGEST_ID} characters, found {len(stamp.nonce)}")
    header = {"X-BAPI-TIMESTAMP": str(stamp.timestamp_ms), "X-BAPI-RECV-WINDOW": str(stamp.receive_window_ms)}
    return msgspec.json.encode({"reqId": stamp.nonce, "header": header, "op": op, "args": [msgspec.Raw(call.body)]})


def take(data: bytes) -> Replied:
    """What a frame says. Never raises."""
    if len(data) > MAX_FRAME_BYTES:
        return Replied("malformed", over=True)
    try:
        data.decode()  # the JSON decoder does not look at what it skips
        reply = decoded(_decode_reply, data, "frame")
    except (Nonsense, UnicodeDecodeError):
        return Replied("malformed", over=True)
    if reply.op == "auth":
        return Replied("refused" if reply.retCode else "greeted", over=bool(reply.retCode))
    if reply.op in ("ping", "pong"):
        return Replied("pong")
    if reply.op in _ANSWERS or reply.reqId:
        # A refusal may come without its op; the id is what it is known by.
        return Replied("answer", reply.reqId, _heard(reply), reply.retCode == RESTARTING)
    return Replied("unknown op", over=bool(reply.retCode))


def _heard(reply: _Reply) -> Heard:
    headers = {name.lower(): value for name, value in (reply.header or {}).items()}
    now = headers.get("timenow", "")
    body = msgspec.json.encode(
        {
            "retCode": reply.retCode,
            "result": reply.data,
            "retExtInfo": reply.retExtInfo,
            "time": int(now) if now.isascii() and now.isdigit() and len(now) <= 16 else 0,
        }
    )
    return Heard(200, headers, body)
