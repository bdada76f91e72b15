"""The control port of the simulators: faults, what is true, and how often each fault happened, over HTTP with JSON.

POST /faults    one fault or a list: those of requests wait, all others happen now
GET  /faults    how often each fault happened
DELETE /faults  honest from now on
DELETE /limits  whatever was used of a limit is forgotten
GET  /state     orders, executions, balances and positions of every venue, as they truly are
POST /keys      what a key may do from now on, as its owner changes it at the venue: {"venue", "key", "trade", "withdraw", "transfer"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from interlock.domain.errors import UsageError
from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.face import Face
from interlock.simulate.served.faults import REQUESTS, FaultSpec, read_faults
from interlock.simulate.served.orders import Execution, SimOrder
from interlock.simulate.served.span import Orders, Span
from interlock.simulate.served.world import strike_now


class _Permissions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All three at once, so that none is left as it was by forgetting it."""

    venue: str
    key: str
    trade: bool
    withdraw: bool
    transfer: bool


_decode_permissions = msgspec.json.Decoder(_Permissions).decode


class Control:
    """Answers on the control port; `faces` by venue."""

    def __init__(self, faces: Mapping[str, Face]) -> None:
        self._faces = faces

    def routes(self, app: web.Application) -> None:
        """Add what the port serves."""
        app.router.add_post("/faults", self._take)
        app.router.add_get("/faults", self._happened)
        app.router.add_delete("/faults", self._calm)
        app.router.add_delete("/limits", self._forget)
        app.router.add_get("/state", self._state)
        app.router.add_post("/keys", self._permit)

    def apply(self, specs: list[FaultSpec]) -> list[bool]:
        """Let faults wait or happen; whether each found something to act on.

        Raises UsageError for one that cannot be; nothing before it is undone.
        """
        return [self._apply(spec) for spec in specs]

    def _apply(self, spec: FaultSpec) -> bool:
        if spec.venue and spec.venue not in self._faces:
            raise UsageError(f"venue: expected one of {', '.join(self._faces)}, found {spec.venue!r}")
        faces = [self._faces[spec.venue]] if spec.venue else list(self._faces.values())
        if spec.fault in REQUESTS:
            # The venues share one plan.
            faces[0].parts.faults.add(spec)
            return True
        happened = [strike_now(face, spec) for face in faces]
        return any(happened)

    async def _take(self, request: web.Request) -> web.Response:
        try:
            happened = self.apply(read_faults(await request.read()))
        except UsageError as error:
            return _json({"error": str(error)}, status=400)
        return _json({"happened": happened})

    async def _happened(self, _request: web.Request) -> web.Response:
        return _json(dict(next(iter(self._faces.values())).parts.faults.happened))

    async def _calm(self, _request: web.Request) -> web.Response:
        for face in self._faces.values():
            face.parts.faults.clear()
            face.parts.public.calm()
            face.parts.private.calm()
            face.venue.skew_ns = 0
            face.venue.charges.clear()
            face.parts.closed_until_ms = 0
            face.parts.rates.ban(0, 0)
        return _json({})

    async def _forget(self, _request: web.Request) -> web.Response:
        for face in self._faces.values():
            face.parts.rates.forget()
        return _json({})

    async def _permit(self, request: web.Request) -> web.Response:
        try:
            said = _decode_permissions(await request.read())
        except msgspec.DecodeError as error:
            return _json({"error": f"expected venue, key and what it may do, found: {error}"}, status=400)
        face = self._faces.get(said.venue)
        key = None if face is None else face.parts.keys.find(said.key)
        if key is None:
            return _json({"error": f"expected a key of one of {', '.join(self._faces)}, found none of that name"}, status=400)
        key.trade, key.withdraw, key.transfer = said.trade, said.withdraw, said.transfer
        return _json({})

    async def _state(self, _request: web.Request) -> web.Response:
        return _json({name: truth_of(face) for name, face in self._faces.items()})


def truth_of(face: Face) -> dict[str, Any]:
    """What a venue truly holds: all orders, executions, balances, positions."""
    venue, account = face.venue, face.venue.account
    positions = account.positions if isinstance(account, MarginAccount) else {}
    return {
        "orders": _list(_order(order) for order in venue.history.orders(Orders(), newest_first=False)),
        "executions": _list(_execution(e) for e in venue.history.executions(Span(), newest_first=False)),
        "balances": {c: {"free": str(b.free), "locked": str(b.locked)} for c, b in account.balances().items()},
        "positions": {s: str(face.venue.markets[s].instrument.quantity(p.lots)) for s, p in positions.items() if p.lots},
    }


def _order(order: SimOrder) -> dict[str, Any]:
    return {
        "number": order.number,
        "client_id": order.client_id,
        "symbol": order.symbol,
        "side": order.side.name.lower(),
        "price": str(order.price),
        "quantity": str(order.quantity),
        "filled": str(order.filled),
        "state": order.state.value,
        "reason": order.reason.value,
    }


def _execution(execution: Execution) -> dict[str, Any]:
    return {
        "number": execution.number,
        "client_id": execution.order.client_id,
        "symbol": execution.order.symbol,
        "ticks": execution.ticks,
        "lots": execution.lots,
        "fee": str(execution.fee),
        "fee_currency": execution.fee_currency,
        "reverses": execution.reverses,
    }


def _list(rows: Iterable[dict[str, Any]]) -> msgspec.Raw:
    """A list as JSON, one row written after the other: as objects all at once they would take ten times the memory."""
    return msgspec.Raw(b"[" + b",".join(msgspec.json.encode(row) for row in rows) + b"]")


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")
