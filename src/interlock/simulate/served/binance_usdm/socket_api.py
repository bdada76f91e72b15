"""Order entry over WebSocket: frames with id, method and params, each answered by the handler that serves the same thing over REST."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from interlock.simulate.served.binance_usdm.auth import Gatekeeper, Security, in_time, proven, socket_text
from interlock.simulate.served.binance_usdm.limits import Meter
from interlock.simulate.served.binance_usdm.params import Params, from_json
from interlock.simulate.served.binance_usdm.routes import Route, Routes
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.face import Parts, Reply
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.rates import Verdict

METHODS: Final = {
    "order.place": ("POST", "/fapi/v1/order"),
    "order.modify": ("PUT", "/fapi/v1/order"),
    "order.cancel": ("DELETE", "/fapi/v1/order"),
    "order.status": ("GET", "/fapi/v1/order"),
    "algoOrder.place": ("POST", "/fapi/v1/algoOrder"),
    "algoOrder.cancel": ("DELETE", "/fapi/v1/algoOrder"),
    "account.balance": ("GET", "/fapi/v2/balance"),
    "v2/account.balance": ("GET", "/fapi/v3/balance"),
    "account.status": ("GET", "/fapi/v2/account"),
    "v2/account.status": ("GET", "/fapi/v3/account"),
    "account.position": ("GET", "/fapi/v2/positionRisk"),
    "v2/account.position": ("GET", "/fapi/v3/positionRisk"),
    "userDataStream.start": ("POST", "/fapi/v1/listenKey"),
    "userDataStream.ping": ("PUT", "/fapi/v1/listenKey"),
    "userDataStream.stop": ("DELETE", "/fapi/v1/listenKey"),
    "depth": ("GET", "/fapi/v1/depth"),
    "ticker.price": ("GET", "/fapi/v1/ticker/price"),
    "ticker.book": ("GET", "/fapi/v1/ticker/bookTicker"),
}
SESSION: Final = ("session.logon", "session.status", "session.logout")


@dataclass(slots=True)
class Session:
    """What a connection has shown: the key that logged on, and whether answers carry the limits."""

    since_ms: int
    key: SimKey | None = None
    logged_on_ms: int = 0
    limits: bool = True


@dataclass(frozen=True, slots=True)
class Frame:
    """One request. `number` is whatever the client wants the answer to carry."""

    number: Any = None
    method: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    wrong: str = ""

    def route(self, routes: Routes) -> Route | None:
        """What it leads to."""
        target = METHODS.get(self.method)
        return None if target is None else routes[target]


def read_frame(data: bytes) -> Frame:
    """A request, with what is wrong with it if it is none."""
    try:
        found = msgspec.json.decode(data)
    except msgspec.DecodeError:
        return Frame(wrong="the frame")
    if not isinstance(found, dict):
        return Frame(wrong="the frame")
    number, method, params = found.get("id"), found.get("method"), found.get("params", {})
    if isinstance(number, bool) or not isinstance(number, int | str | None):
        return Frame(wrong="id")
    if not isinstance(method, str):
        return Frame(number, wrong="method")
    if not isinstance(params, dict):
        return Frame(number, method, wrong="params")
    return Frame(number, method, params)


class SocketApi:
    """Answers frames. The limits are those of REST."""

    def __init__(self, parts: Parts, gatekeeper: Gatekeeper, meter: Meter, do: Callable[[Route, Params], Any]) -> None:
        self._parts = parts
        self._gatekeeper = gatekeeper
        self._meter = meter
        self._do = do

    def answer(self, frame: Frame, session: Session, routes: Routes) -> Reply:
        """The status and the body that belong under `result` or `error`."""
        now_ms = self._parts.venue.now_ms()
        try:
            if frame.wrong:
                raise Wrong(-1130, frame.wrong)
            if frame.method in SESSION:
                return _reply(self._session(frame, session, now_ms))
            route = frame.route(routes)
            if route is None:
                raise Wrong(-5000, frame.method, "WS")
            values = from_json(frame.params)
            verdict = self._meter.weigh(route.weight_of(Params(values)), now_ms)
            if verdict is not Verdict.TAKEN:
                wrong, headers = self._meter.over(verdict is Verdict.BANNED, now_ms)
                return Reply(wrong.status, msgspec.json.encode(wrong.body), headers)
            return _reply(self._do(route, Params(values, self._who(route, frame, session, values))))
        except Wrong as wrong:
            return Reply(wrong.status, msgspec.json.encode(wrong.body))

    def framed(self, frame: Frame, session: Session, reply: Reply) -> bytes:
        """An answer as it goes out."""
        taken = reply.status == 200
        content: dict[str, Any] = {"id": frame.number, "status": reply.status, "result" if taken else "error": msgspec.Raw(reply.body)}
        shown = from_json(frame.params).get("returnRateLimits", str(session.limits).lower())
        if shown != "false":
            orders = taken and frame.method in ("order.place", "order.modify", "algoOrder.place")
            content["rateLimits"] = self._meter.shown(self._parts.venue.now_ms(), orders=orders)
        return msgspec.json.encode(content)

    def _who(self, route: Route, frame: Frame, session: Session, values: Mapping[str, str]) -> SimKey | None:
        if route.security is Security.NONE:
            return None
        now_ns = self._parts.venue.now_ns()
        if session.key is not None and "apiKey" not in values and "signature" not in values:
            if route.security is not Security.KEY:
                in_time(Params(values), now_ns // 1_000_000)
            return self._gatekeeper.allow(route.security, self._gatekeeper.known(session.key.access, now_ns))
        signature = values.get("signature", "")
        return self._gatekeeper.admit(route.security, values.get("apiKey", ""), values, socket_text(frame.params), signature, now_ns)

    def _session(self, frame: Frame, session: Session, now_ms: int) -> dict[str, Any]:
        values = from_json(frame.params)
        if frame.method == "session.logon":
            in_time(Params(values), now_ms)
            key = self._gatekeeper.known(values.get("apiKey", ""), self._parts.venue.now_ns())
            if not key.secret.startswith("-----BEGIN"):
                raise Wrong(-4056)
            if not proven(key, socket_text(frame.params), values.get("signature", "")):
                raise Wrong(-1022)
            session.key, session.logged_on_ms = self._gatekeeper.allow(Security.SIGNED, key), now_ms
        elif frame.method == "session.logout":
            session.key = None
        return {
            "apiKey": session.key.access if session.key else None,
            "authorizedSince": session.logged_on_ms if session.key else None,
            "connectedSince": session.since_ms,
            "returnRateLimits": session.limits,
            "serverTime": now_ms,
        }


def _reply(content: Any) -> Reply:
    return Reply(200, msgspec.json.encode(content))
