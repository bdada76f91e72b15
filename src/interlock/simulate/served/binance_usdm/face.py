"""The wire protocol of Binance USDⓈ-M futures: which address serves what, and how a request becomes an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm.asked import wanted
from interlock.simulate.served.binance_usdm.auth import Gatekeeper, split_signature
from interlock.simulate.served.binance_usdm.conditional import Conditionals
from interlock.simulate.served.binance_usdm.frames import Place, Talk
from interlock.simulate.served.binance_usdm.holdings import Holdings
from interlock.simulate.served.binance_usdm.limits import CONNECTIONS, HANDSHAKE_WEIGHT, Meter
from interlock.simulate.served.binance_usdm.lives import Form, Lives
from interlock.simulate.served.binance_usdm.modes import Modes
from interlock.simulate.served.binance_usdm.params import Params, from_json, read_params
from interlock.simulate.served.binance_usdm.private import PrivateStream
from interlock.simulate.served.binance_usdm.public import PublicRest
from interlock.simulate.served.binance_usdm.reads import Reads
from interlock.simulate.served.binance_usdm.routes import Route, Routes
from interlock.simulate.served.binance_usdm.socket_api import Session, SocketApi, read_frame
from interlock.simulate.served.binance_usdm.stream import PublicStreams, liquidated
from interlock.simulate.served.binance_usdm.verbs import Verbs
from interlock.simulate.served.binance_usdm.views import TRADE_IDS, side_word
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.face import Face, Parts, Reply, Wanted, connection_of
from interlock.simulate.served.faults import Fault, FaultSpec
from interlock.simulate.served.hub import Listener
from interlock.simulate.served.orders import Origin
from interlock.simulate.served.rates import Verdict
from interlock.simulate.served.venue import Change, Event, MarketStep, OrderChanged

KEY_HEADER: Final = "X-MBX-APIKEY"


class BinanceFace(Face):
    """Puts the parts of the protocol together."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        account = self.venue.account
        assert isinstance(account, MarginAccount)
        self._account = account
        self._meter = Meter(parts.rates)
        self._gatekeeper = Gatekeeper(parts.keys)
        self._verbs = Verbs(self)
        self._modes = Modes(self.venue, account, lambda body: self._private.tell(body))
        self._private = PrivateStream(parts, account, lambda: self._modes.isolated, self._verbs.last_modify_id)
        self._conditionals = Conditionals(self, account, self._verbs, self._private.tell)
        self._streams = PublicStreams(parts)
        self._public_talk = Talk(self, self._streams.topics_of)
        self._private_talk = Talk(self, self._private.topics_of)
        self._lives = Lives()
        self._socket_api = SocketApi(parts, self._gatekeeper, self._meter, self._do)
        self._public_routes = PublicRest(self.venue).routes()
        self._routes: Routes = {
            **self._public_routes,
            **self._verbs.routes(),
            **Reads(self, self._verbs).routes(),
            **Holdings(self.venue, account, self._modes).routes(),
            **self._modes.routes(),
            **self._private.keys.routes(),
            **self._conditionals.routes(),
        }

    # addresses

    def routes_public(self, app: web.Application) -> None:
        """REST without keys, and the bases /public and /market."""
        self._add_rest(app)
        self._add_streams(app, ("public", "market"))

    def routes_orders(self, app: web.Application) -> None:
        """All of REST, every base, and order entry."""
        self._add_rest(app)
        self._add_streams(app, ("public", "market", "private"))
        app.router.add_get("/ws-fapi/v1", self._serve_api)

    def _add_rest(self, app: web.Application) -> None:
        for base in ("/fapi", "/sapi"):
            app.router.add_route("*", f"{base}/{{path:.*}}", self.handle)

    def _add_streams(self, app: web.Application, bases: Sequence[str]) -> None:
        for base in bases:
            app.router.add_get(f"/{base}/ws", self._stream_handler(Place(base, False)))
            app.router.add_get(f"/{base}/ws/{{names:.*}}", self._stream_handler(Place(base, False)))
            app.router.add_get(f"/{base}/stream", self._stream_handler(Place(base, True)))

    # REST

    def wanted(self, request: web.Request, body: bytes) -> Wanted:
        """What a request is about."""
        route = self._routes.get((request.method, request.path))
        query, text = _texts(request, body)
        try:
            values = read_params(query, text)
        except Wrong:
            values = {}
        shown = KEY_HEADER in request.headers or "signature" in values
        # A path that is not known is a read: it can do nothing.
        return wanted(route.verb if route else "read", values, shown, self.venue, self._verbs)

    def answer(self, request: web.Request, body: bytes) -> Reply:
        """Count, prove, do."""
        now_ms = self.venue.now_ms()
        try:
            query, text = _texts(request, body)
            route = self._routes.get((request.method, request.path))
            if route is None:
                raise Wrong(-5000, request.path, request.method)
            values = read_params(query, text)
            verdict = self._meter.funding(now_ms) if route.funding else self._meter.weigh(route.weight_of(Params(values)), now_ms)
            if verdict is not Verdict.TAKEN:
                return self.over_limit(verdict is Verdict.BANNED)
            signed, signature = split_signature(query, text)
            access = request.headers.get(KEY_HEADER, "")
            key = self._gatekeeper.admit(route.security, access, values, signed, signature, self.venue.now_ns())
            content = self._do(route, Params(values, key))
        except Wrong as wrong:
            return self._refusal(wrong, {} if wrong.status == 404 else self._meter.headers(False, now_ms))
        headers = {} if route.funding else self._meter.headers(route.orders != (0, 0), now_ms)
        return Reply(200, msgspec.json.encode(content), headers)

    def _do(self, route: Route, params: Params) -> Any:
        if route.orders != (0, 0):
            self._meter.count_orders(*route.orders, self.venue.now_ms())
        return route.handler(params)

    def done(self, wanted: Wanted, struck: Mapping[Fault, FaultSpec], act: Callable[[], Reply]) -> Reply:
        """As everywhere; and a change whose answer is late is under way until then."""
        reply = super().done(wanted, struck, act)
        if wanted.verb == "amend" and Fault.LATE_ACK in struck and reply.status == 200:
            for name, _ in wanted.ids:
                if (order := self.venue.find(client_id=name)) is not None:
                    self._verbs.amends_until(order, struck[Fault.LATE_ACK].ms)
        return reply

    def _refusal(self, wrong: Wrong, headers: dict[str, str]) -> Reply:
        return Reply(wrong.status, msgspec.json.encode(wrong.body), headers)

    def server_error(self, status: int) -> Reply:
        """503 had no effect; of anything else nothing is known."""
        return self._refusal(Wrong(-1001 if status == 503 else -1007), {})

    def too_late(self) -> Reply:
        """Its receive window was over when it reached matching."""
        return self._refusal(Wrong(-5028), {})

    def over_limit(self, banned: bool) -> Reply:
        """429, or 418 while the address is banned."""
        return self._refusal(*self._meter.over(banned, self.venue.now_ms()))

    def closed(self) -> Reply:
        """The venue is under maintenance."""
        return self._refusal(Wrong(1), {})

    # streams

    def _stream_handler(self, place: Place) -> Any:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve_stream(request, place)

        return serve

    async def _serve_stream(self, request: web.Request, place: Place) -> web.StreamResponse:
        if self.parts.rates.take(CONNECTIONS.name, "", self.venue.now_ms()) is not Verdict.TAKEN:
            return web.Response(status=429)
        talk, hub = (self._private_talk, self.parts.private) if place.base == "private" else (self._public_talk, self.parts.public)
        names = [name for name in _named(request) if name]
        if place.base == "private":
            self.parts.witness.request(self.name, connection_of(request), "subscribe", request.raw_path.encode())
        opened: list[Listener] = []

        def on_open(listener: Listener) -> None:
            opened.append(listener)
            self._lives.begin(listener, self.parts.steady_ms(), Form.COMBINED if place.combined else Form.RAW)
            talk.begin(listener, place, names)

        async def on_text(listener: Listener, data: bytes) -> None:
            talk.hear(listener, place, data)

        try:
            return await self.serve_socket(request, hub, on_text, on_open=on_open)
        finally:
            for listener in opened:
                talk.end(listener)
                self._lives.end(listener)

    # order entry

    async def _serve_api(self, request: web.Request) -> web.StreamResponse:
        now_ms = self.venue.now_ms()
        if self._meter.weigh(HANDSHAKE_WEIGHT, now_ms) is not Verdict.TAKEN:
            return web.Response(status=429)
        session = Session(now_ms, limits=request.query.get("returnRateLimits", "true") != "false")
        opened: list[Listener] = []

        def on_open(listener: Listener) -> None:
            opened.append(listener)
            self._lives.begin(listener, self.parts.steady_ms(), Form.API)

        async def on_text(listener: Listener, data: bytes) -> None:
            await self._hear_api(listener, session, data)

        try:
            return await self.serve_socket(request, self.parts.private, on_text, on_open=on_open)
        finally:
            for listener in opened:
                self._lives.end(listener)

    async def _hear_api(self, listener: Listener, session: Session, data: bytes) -> None:
        """Witness a frame, let faults strike, answer; a key that is gone ends the session."""
        frame = read_frame(data)
        route, values = frame.route(self._routes), from_json(frame.params)
        shown = session.key is not None or "apiKey" in values
        asked = wanted(route.verb if route else "auth", values, shown, self.venue, self._verbs)
        if asked.authenticated:
            self.parts.witness.request(
                self.name, listener.name, asked.verb, data, ids=asked.ids, orders=asked.orders, target=f"WS {frame.method}"
            )
        struck, passage = self.strike(asked, socket=True), self.parts.passage(listener.name)
        if Fault.RESET_BEFORE in struck and passage is not None:
            passage.reset()
            return
        reply = self.refused_by_fault(asked, struck)
        if reply is None:
            reply = self.done(asked, struck, lambda: self._socket_api.answer(frame, session, self._routes))
        await self.hold_back(struck, passage)
        listener.send(self._socket_api.framed(frame, session, reply))

    # what happens

    def trade_name(self, number: int) -> str:
        """The number of a trade."""
        return str(TRADE_IDS + number)

    def on_event(self, event: Event) -> None:
        """Tell the private stream, and of a liquidation the public one."""
        if isinstance(event, OrderChanged) and event.execution is not None:
            self._executed(event)
        self._private.on_event(event)

    def _executed(self, event: OrderChanged) -> None:
        order, execution = event.order, event.execution
        assert execution is not None
        self._account.positions[order.symbol].updated_ns = execution.venue_ns
        if order.origin is Origin.LIQUIDATION and event.change is Change.TRADE:
            market = self.venue.markets[order.symbol]
            price, size = market.instrument.price(execution.ticks), market.instrument.quantity(execution.lots)
            told = liquidated(market, side_word(order.side), price, size, execution.venue_ns // 1_000_000)
            self._streams.force_order(market, told)

    def on_market(self, steps: Sequence[MarketStep]) -> None:
        """Tell the public streams, and trigger what waits for a price."""
        self._streams.on_market(steps)
        self._conditionals.watch()

    def shut_down(self, ms: int) -> bool:
        """Tell every stream and every order entry connection, and close them so much later."""
        self._lives.shut_down(self.venue.now_ms(), self.parts.steady_ms() + ms)
        return True

    def tick(self) -> None:
        """What is due by time."""
        self._verbs.expire()
        self._private.keys.expire()
        self._private.watch()
        self._lives.tick(self.parts.steady_ms())


def _texts(request: web.Request, body: bytes) -> tuple[str, str]:
    """Query and body exactly as they came."""
    return request.raw_path.partition("?")[2], body.decode("utf-8", "replace")


def _named(request: web.Request) -> list[str]:
    """The streams that an address names: in its path, as `streams`, or as a listen key."""
    path = request.match_info.get("names", "").split("/")
    return [*path, *request.query.get("streams", "").split("/"), request.query.get("listenKey", "")]
