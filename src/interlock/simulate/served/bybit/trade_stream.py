"""Order entry over WebSocket: one proof for the connection, then requests with an id, a time and one object, answered in the order they came.

A request goes the way of every request: witnessed first, then the faults, then the endpoint that REST has for it, from the same buckets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from interlock.simulate.served.bybit import limits
from interlock.simulate.served.bybit.auth import check_time
from interlock.simulate.served.bybit.private_stream import check_auth
from interlock.simulate.served.bybit.routes import ROUTES
from interlock.simulate.served.bybit.socket_talk import Idle, Talk, read_message
from interlock.simulate.served.bybit.wanted import wanted_of
from interlock.simulate.served.bybit.words import EXPIRED, PARAMS, Failed
from interlock.simulate.served.face import Reply
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.hub import Hub, Listener
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.rates import Verdict
from interlock.simulate.served.spent import Spent

if TYPE_CHECKING:
    from interlock.simulate.served.bybit.face import BybitFace

OPS: Final = {
    f"order.{name}": ROUTES["POST", f"/v5/order/{name}"]
    for name in ("create", "amend", "cancel", "create-batch", "amend-batch", "cancel-batch")
}
REQ_ID_LENGTH: Final = 36


class TradeStream:
    """Answers on the trade socket. Nothing is ever told there that was not asked for."""

    def __init__(self, face: BybitFace) -> None:
        self._face = face
        self.hub = Hub(face.desk.parts.steady_ms)
        self.idle = Idle()

    def talk(self, connection: str) -> Talk:
        """What answers one connection's messages."""
        used = Spent()

        async def on_text(listener: Listener, text: bytes) -> None:
            message = read_message(text)
            self.idle.heard(listener, self._face.parts.steady_ms())
            op = message.get("op")
            if op == "ping":
                pong = {"retCode": 0, "retMsg": "OK", "op": "pong", "data": [str(self._face.venue.now_ms())], "connId": connection}
                listener.send(msgspec.json.encode(pong))
            elif op == "auth":
                self._face.parts.witness.request(self._face.name, listener.name, "auth", text, target="/v5/trade")
                listener.send(msgspec.json.encode(self._auth(listener, message, connection)))
            else:
                self._request(listener, text, message, connection, used)

        return on_text

    def _auth(self, listener: Listener, message: Mapping[str, Any], connection: str) -> dict[str, Any]:
        head = {"op": "auth", "connId": connection}
        if listener.access:
            return {"retCode": 20001, "retMsg": "Repeat auth", **head}
        try:
            listener.access = check_auth(self._face.desk, message.get("args")).access
        except Failed as failed:
            return {"retCode": failed.code, "retMsg": failed.text, **head}
        return {"retCode": 0, "retMsg": "OK", **head}

    def _request(self, listener: Listener, text: bytes, message: dict[str, Any], connection: str, used: Spent) -> None:
        face, op = self._face, message.get("op")
        route = OPS.get(op) if isinstance(op, str) else None
        args = message.get("args")
        fields = args[0] if isinstance(args, list) and len(args) == 1 and isinstance(args[0], dict) else {}
        wanted = wanted_of(face.venue, route.verb if route is not None else "unknown", fields)
        face.parts.witness.request(
            face.name, listener.name, wanted.verb, text, ids=wanted.ids, orders=wanted.orders, target=f"/v5/trade {op}"
        )
        struck = face.strike(wanted, socket=True)
        passage = face.parts.passage(listener.name)
        if Fault.RESET_BEFORE in struck and passage is not None:
            passage.reset()
            return
        headers: dict[str, str] = {}
        refused = face.refused_by_fault(wanted, struck)
        if refused is None:
            reply = face.done(wanted, struck, lambda: self._answer(listener, message, fields, headers, used))
        else:
            reply = self._worded(refused, maintenance=Fault.MAINTENANCE in struck or face.venue.now_ms() < face.parts.closed_until_ms)
        self._tell(listener, self._message(reply, message, headers, connection), struck)

    def _answer(
        self, listener: Listener, message: dict[str, Any], fields: Mapping[str, Any], headers: dict[str, str], used: Spent
    ) -> Reply:
        face = self._face
        try:
            key = self._check(listener, message, used)
            if not fields:
                raise Failed(PARAMS, "Params Error: args holds one object")
            return face.act(OPS[message["op"]], key, fields, headers)
        except Failed as failed:
            return _reply(failed.code, failed.text)

    def _check(self, listener: Listener, message: dict[str, Any], used: Spent) -> SimKey:
        face, now_ms = self._face, self._face.venue.now_ms()
        if face.address_verdict(limits.TRADE_IP) is not Verdict.TAKEN:
            raise Failed(10403, "Exceed IP rate limit. 3000 requests per second per IP")
        if message.get("op") not in OPS:
            raise Failed(10404, "op type is not found")
        key = face.parts.keys.find(listener.access) if listener.access else None
        if key is None or key.locked:
            raise Failed(10003, "Invalid apikey: the connection is not authenticated")
        req_id = message.get("reqId", "")
        if not isinstance(req_id, str) or len(req_id) > REQ_ID_LENGTH:
            raise Failed(PARAMS, "Params Error: reqId")
        if req_id and not used.use(req_id):
            raise Failed(20006, "reqId is duplicated")
        head = message.get("header")
        head = head if isinstance(head, dict) else {}
        stamp = str(head.get("X-BAPI-TIMESTAMP", ""))
        try:
            check_time(stamp, str(head.get("X-BAPI-RECV-WINDOW", "")), now_ms)
        except Failed as failed:
            if failed.code != EXPIRED:
                raise
            raise Failed(-1, f"request expired: o@0, now[{now_ms}] diff[{now_ms - int(stamp)}]") from failed
        return key

    def _worded(self, refused: Reply, *, maintenance: bool) -> Reply:
        """The words of this socket for what a fault refuses."""
        if maintenance:
            return _reply(10019, "The trade service is restarting: no new requests on this connection")
        return _reply(10403, "Exceed IP rate limit. 3000 requests per second per IP") if refused.status == 403 else refused

    def _message(self, reply: Reply, message: Mapping[str, Any], headers: Mapping[str, str], connection: str) -> bytes:
        try:
            body = msgspec.json.decode(reply.body)
        except msgspec.DecodeError:
            return reply.body
        now_ms = self._face.venue.now_ms()
        return msgspec.json.encode(
            {
                "reqId": message.get("reqId", ""),
                "retCode": body["retCode"],
                "retMsg": body["retMsg"],
                "op": message.get("op", ""),
                "data": body.get("result", {}),
                "retExtInfo": body.get("retExtInfo", {}),
                "header": {**headers, "Traceid": self._face.next_id().replace("-", ""), "Timenow": str(now_ms)},
                "connId": connection,
            }
        )

    def _tell(self, listener: Listener, message: bytes, struck: Mapping[Fault, FaultSpec]) -> None:
        """Send an answer, unless a fault lets it be late, cut or lost. The connection itself goes on after a lost one."""
        passage = self._face.parts.passage(listener.name)
        if Fault.LOSE_ACK in struck:
            return
        if passage is not None and Fault.STALL in struck:
            passage.stalled = True
        if passage is not None and Fault.RESET_AT_BYTE in struck:
            passage.reset_after = max(0, struck[Fault.RESET_AT_BYTE].count)
            if not passage.reset_after:
                passage.reset()
        if Fault.LATE_ACK in struck:
            self._face.parts.later(struck[Fault.LATE_ACK].ms, lambda: listener.send(message))
            return
        listener.send(message)


def _reply(code: int, text: str) -> Reply:
    return Reply(200, msgspec.json.encode({"retCode": code, "retMsg": text, "result": {}, "retExtInfo": {}}))
