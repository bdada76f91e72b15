"""Bybit v5 on the wire: one way for a request over REST or the trade socket, and the streams beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from aiohttp import web

from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.bybit import limits
from interlock.simulate.served.bybit.ask import Ask, read_body, read_query
from interlock.simulate.served.bybit.auth import check_request, check_trade
from interlock.simulate.served.bybit.batches import items_of
from interlock.simulate.served.bybit.books import Books
from interlock.simulate.served.bybit.dead_man import DeadMan
from interlock.simulate.served.bybit.desk import Desk
from interlock.simulate.served.bybit.envelope import enveloped
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.private_stream import PrivateStream
from interlock.simulate.served.bybit.public_stream import PublicStream
from interlock.simulate.served.bybit.routes import ROUTES, Route
from interlock.simulate.served.bybit.socket_talk import Talk
from interlock.simulate.served.bybit.trade_stream import TradeStream
from interlock.simulate.served.bybit.wanted import wanted_of
from interlock.simulate.served.bybit.words import NO_ROUTE, OVER_LIMIT, Failed
from interlock.simulate.served.face import Face, Parts, Reply, Wanted
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.hub import Hub
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.orders import EndReason
from interlock.simulate.served.rates import Verdict
from interlock.simulate.served.venue import Event, MarketStep

TOO_OFTEN: Final = "Too many visits. Exceeded the API Rate Limit."
ACCOUNT: Final = "account"
SCAN_MS: Final = 30_000


class BybitFace(Face):
    """The wire protocol of Bybit. `desk` is what its parts share."""

    def __init__(self, parts: Parts) -> None:
        account = parts.venue.account
        assert isinstance(account, MarginAccount), "Bybit's simulator keeps a margin account"
        self.desk = Desk(
            venue=parts.venue,
            account=account,
            parts=parts,
            books=Books(parts.venue),
            dead_man=DeadMan(),
            began_ns=parts.venue.now_ns(),
        )
        self.public_stream = PublicStream(self.desk)
        self.private_stream = PrivateStream(self.desk)
        self.trade_stream = TradeStream(self)
        self._was_closed = False
        self._scan_due_ms = parts.steady_ms() + SCAN_MS
        super().__init__(parts)

    # addresses

    def routes_public(self, app: web.Application) -> None:
        """REST without keys, and the public streams."""
        for category in ("linear", "spot", "inverse", "option"):
            app.router.add_get(f"/v5/public/{category}", self._public_socket)
        app.router.add_get("/v5/public/misc/status", self._public_socket)
        for (method, path), route in ROUTES.items():
            if route.public:
                app.router.add_route(method, path, self.handle)
        app.router.add_route("*", "/{rest:.*}", self._nowhere)

    def routes_orders(self, app: web.Application) -> None:
        """All of REST, the private stream and order entry."""
        app.router.add_get("/v5/private", self._private_socket)
        app.router.add_get("/v5/trade", self._trade_socket)
        app.router.add_route("*", "/{rest:.*}", self.handle)

    # REST

    def wanted(self, request: web.Request, body: bytes) -> Wanted:
        """What a request is about; one without a key is nobody's."""
        route = ROUTES.get((request.method, request.path))
        verb = "read" if route is None and request.method == "GET" else "unknown" if route is None else route.verb
        try:
            fields = read_query(request.raw_path.partition("?")[2]) if request.method == "GET" else read_body(body)
        except (Failed, ValueError):
            fields = {}
        found = wanted_of(self.venue, verb, fields)
        signed = "X-BAPI-API-KEY" in request.headers
        return found if signed else replace(found, authenticated=False)

    def answer(self, request: web.Request, body: bytes) -> Reply:
        """Check and do a request."""
        now_ms = self.venue.now_ms()
        if self.address_verdict(limits.IP) is not Verdict.TAKEN:
            return self.over_limit(banned=True)
        headers = {"Timenow": str(now_ms), "Traceid": self.next_id().replace("-", "")}
        try:
            route = ROUTES.get((request.method, request.path))
            if route is None:
                raise Failed(NO_ROUTE, "Route not found.", 404)
            query = request.raw_path.partition("?")[2]
            if request.method == "GET" and body:
                raise Failed(403, "Forbidden: a GET has no body", 403)
            if route.public:
                return self.act(route, None, read_query(query), headers)
            key = check_request(self.parts.keys, request.headers, query.encode() if request.method == "GET" else body, now_ms)
            fields = read_query(query) if request.method == "GET" else read_body(body)
            return self.act(route, key, fields, headers)
        except Failed as failed:
            return enveloped(failed.code, failed.text, now_ms, status=failed.status, headers=headers)

    def act(self, route: Route, key: SimKey | None, fields: Mapping[str, Any], headers: dict[str, str]) -> Reply:
        """Do what a checked request asks, within the account's limits; `headers` gains what is said of them."""
        now_ms = self.venue.now_ms()
        try:
            ask = Ask(fields=fields, key=key, cutoff_ns=self.venue.now_ns() - self.lag_ms * 1_000_000, batch_cut=self.batch_cut)
            if key is not None:
                if route.changes:
                    check_trade(key)
                ask = self._within_limits(route, ask, headers)
            done = route.handler(self.desk, ask)
        except Failed as failed:
            return enveloped(failed.code, failed.text, now_ms, status=failed.status, headers=headers)
        return enveloped(0, "OK", now_ms, result=done.result, ext=done.ext, headers=headers)

    def done(self, wanted: Wanted, struck: Mapping[Fault, FaultSpec], act: Callable[[], Reply]) -> Reply:
        """As everywhere; and a change whose answer is late is under way until then."""
        before = [(order, order.revision) for name, _ in wanted.ids if (order := self.venue.find(client_id=name)) is not None]
        reply = super().done(wanted, struck, act)
        if wanted.verb == "amend" and Fault.LATE_ACK in struck:
            for number in (order.number for order, revision in before if order.revision > revision):
                self.desk.amending.add(number)
                self.parts.later(struck[Fault.LATE_ACK].ms, partial(self.desk.amending.discard, number))
        return reply

    def _within_limits(self, route: Route, ask: Ask, headers: dict[str, str]) -> Ask:
        """Count a request; a batch counts its items and is cut where the bucket is empty. Raises Failed."""
        rates, bucket, now_ms = self.parts.rates, route.bucket, self.venue.now_ms()
        items = len(items_of(ask)) if bucket.endswith("-batch") else 1
        taken = sum(1 for _ in range(items) if rates.take(bucket, ACCOUNT, now_ms) is Verdict.TAKEN)
        headers |= limits.headers(rates.standing(bucket, ACCOUNT, now_ms), now_ms, over=taken < items)
        if not taken:
            raise Failed(OVER_LIMIT, TOO_OFTEN)
        return ask if taken == items else replace(ask, batch_cut=taken if ask.batch_cut is None else min(taken, ask.batch_cut))

    def address_verdict(self, limit: str) -> Verdict:
        """Count a request of the client's address; whoever goes over the limit is locked out at once."""
        now_ms = self.venue.now_ms()
        verdict = self.parts.rates.take(limit, "address", now_ms)
        if verdict is Verdict.LIMITED and limit == limits.IP:
            self.parts.rates.ban(now_ms, limits.IP_BAN_MS)
        return verdict

    def next_id(self) -> str:
        """An id for a message or a connection."""
        self.desk.messages += 1
        return id_of(Of.MESSAGE, self.desk.messages)

    # failures of the venue itself

    def server_error(self, status: int) -> Reply:
        """A server that timed out or broke down."""
        text = (10000, "Server Timeout") if status == 504 else (10016, "Internal System Error.")
        return enveloped(*text, self.venue.now_ms(), status=status)

    def over_limit(self, banned: bool) -> Reply:
        """A bucket that is empty, or an address that is locked out."""
        if banned:
            return enveloped(403, "access too frequent", self.venue.now_ms(), status=403)
        return enveloped(OVER_LIMIT, TOO_OFTEN, self.venue.now_ms())

    def closed(self) -> Reply:
        """No trading now."""
        return enveloped(110063, "Settlement in progress! Trading is not available.", self.venue.now_ms())

    # streams and time

    def trade_name(self, number: int) -> str:
        """The `execId`."""
        return id_of(Of.EXECUTION, number)

    def on_event(self, event: Event) -> None:
        """Tell the private stream."""
        self.private_stream.on_event(event)

    def on_market(self, steps: Sequence[MarketStep]) -> None:
        """Tell the public stream."""
        self.public_stream.on_market(steps)

    def grant_dead_man(self, *, granted: bool) -> bool:
        """Disconnection protection of derivatives."""
        self.desk.dead_man.enabled = granted
        return True

    def tick(self) -> None:
        """Dead-man switch, idle connections, the end of a closure."""
        now_ms = self.parts.steady_ms()
        if self.desk.dead_man.due(now_ms):
            self.venue.cancel_all(reason=EndReason.DEAD_MAN)
        if now_ms >= self._scan_due_ms:
            self._scan_due_ms = now_ms + SCAN_MS
            self.private_stream.cut_idle(now_ms)
            self.trade_stream.idle.cut(now_ms)
        closed = self.venue.now_ms() < self.parts.closed_until_ms
        if closed is not self._was_closed:
            self.public_stream.on_closure(closed)
        self._was_closed = closed

    async def _public_socket(self, request: web.Request) -> web.StreamResponse:
        category = request.path.rpartition("/")[2]
        return await self._connect(request, self.parts.public, self.public_stream.talk(category, self.next_id()))

    async def _private_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._connect(request, self.parts.private, self.private_stream.talk(self.next_id(), self.name))

    async def _trade_socket(self, request: web.Request) -> web.StreamResponse:
        return await self._connect(request, self.trade_stream.hub, self.trade_stream.talk(self.next_id()))

    async def _connect(self, request: web.Request, hub: Hub, talk: Talk) -> web.StreamResponse:
        if self.address_verdict(limits.CONNECTIONS) is not Verdict.TAKEN:
            return _response(self.over_limit(banned=True))
        return await self.serve_socket(request, hub, talk)

    async def _nowhere(self, request: web.Request) -> web.StreamResponse:
        return _response(enveloped(NO_ROUTE, "Route not found.", self.venue.now_ms(), status=404))


def _response(reply: Reply) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, content_type="application/json")


def make(parts: Parts) -> BybitFace:
    """The face of a venue."""
    return BybitFace(parts)
