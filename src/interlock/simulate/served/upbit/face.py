"""Upbit on the wire: which path does what, who may ask for it, how often, and what the answer carries beside its body."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from aiohttp import web

from interlock.domain.orders import Side
from interlock.simulate.served.face import Face, Parts, Reply, Wanted, connection_of
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.rates import Verdict
from interlock.simulate.served.upbit import auth, limits, views
from interlock.simulate.served.upbit.assets import Assets
from interlock.simulate.served.upbit.entry import CANCEL_IDS_MAX, Entry
from interlock.simulate.served.upbit.ids import Ids, uuid_of
from interlock.simulate.served.upbit.params import Params, read_params
from interlock.simulate.served.upbit.private import PrivateMessages
from interlock.simulate.served.upbit.public import PublicMessages
from interlock.simulate.served.upbit.quotes import Quotes
from interlock.simulate.served.upbit.reads import Reads
from interlock.simulate.served.upbit.requests import PRIVATE_TYPES, PUBLIC_TYPES
from interlock.simulate.served.upbit.statistics import History
from interlock.simulate.served.upbit.streams import Stream
from interlock.simulate.served.upbit.texts import encode
from interlock.simulate.served.upbit.words import Wrong, error_body, reply_of
from interlock.simulate.served.venue import Change, Event, MarketStep, OrderChanged, SimVenue

CLIENT_ADDRESS: Final = "127.0.0.1"
"""Where every client comes from: the doors are on loopback alone."""

Act = Callable[[Params], Any]


def make(parts: Parts) -> Face:
    """The face of a venue."""
    return UpbitFace(parts)


@dataclass(frozen=True, slots=True)
class Call:
    """What a path does: its verb for the witness, its rate limit's group, who may, the HTTP status of success."""

    act: Act
    verb: str = "read"
    group: str = limits.DEFAULT
    may: Callable[[SimKey], bool] = lambda _key: True
    status: int = 200


class UpbitFace(Face):
    """The wire protocol of Upbit."""

    def __init__(self, parts: Parts) -> None:
        self._ids = Ids(parts.venue)
        self._accepted: dict[int, dict[str, Any]] = {}
        now_ns = parts.venue.now_ns()
        self._histories = {s: History.begun(m.instrument, m.mark, now_ns) for s, m in parts.venue.markets.items()}
        venue = parts.venue
        self._quotes = Quotes(venue, self._histories)
        self._assets = Assets(venue, parts.keys, self.later_than_lag)
        self._reads = Reads(venue, self._ids, lambda: self.lag_ms * 1_000_000)
        self._entry = Entry(venue, self._ids, lambda order: self._accepted.pop(order.number))
        self._public_messages = PublicMessages(venue, self._histories)
        self._private_messages = PrivateMessages(venue, self._ids)
        flood = limits.rates()
        symbols = venue.markets.keys()
        self._public = Stream(parts.public, flood, PUBLIC_TYPES, symbols, self._public_messages.snapshot, parts.steady_ms)
        self._private = Stream(parts.private, flood, PRIVATE_TYPES, symbols, lambda _wish: [], parts.steady_ms)
        self._calls = self._table()
        super().__init__(parts)

    def _table(self) -> dict[tuple[str, str], Call]:
        entry, reads, assets = self._entry, self._reads, self._assets

        def trade(key: SimKey) -> bool:
            return key.trade

        def withdraw(key: SimKey) -> bool:
            return key.withdraw

        def sees_deposits(key: SimKey) -> bool:
            return key.sees_deposits

        def sees_withdrawals(key: SimKey) -> bool:
            return key.sees_withdrawals

        def manage(key: SimKey) -> bool:
            return key.transfer

        def nothing(_params: Params) -> list[Any]:
            return []

        calls = {
            ("POST", "orders"): Call(entry.place, "place", limits.ORDER, trade, 201),
            ("POST", "orders/test"): Call(entry.test, "place_test", limits.ORDER_TEST, trade, 201),
            ("POST", "orders/cancel_and_new"): Call(self._replace, "replace", limits.ORDER, trade, 201),
            ("DELETE", "order"): Call(lambda p: entry.cancel(reads.named(p)), "cancel", may=trade),
            ("DELETE", "orders/uuids"): Call(self._cancel_several, "cancel_batch", may=trade),
            ("DELETE", "orders/open"): Call(lambda p: entry.cancel_open(p, self.batch_cut), "cancel_all", limits.CANCEL_ALL, trade),
            ("GET", "order"): Call(reads.one),
            ("GET", "orders"): Call(reads.listed),
            ("GET", "orders/uuids"): Call(reads.by_name),
            ("GET", "orders/open"): Call(reads.open),
            ("GET", "orders/closed"): Call(reads.closed),
            ("GET", "orders/chance"): Call(assets.chance),
            ("GET", "accounts"): Call(assets.accounts),
            ("GET", "api_keys"): Call(assets.keys),
            ("GET", "status/wallet"): Call(assets.wallets),
            ("GET", "deposits"): Call(assets.deposits, may=sees_deposits),
            ("GET", "deposits/coin_addresses"): Call(nothing, may=sees_deposits),
            ("GET", "travel_rule/vasps"): Call(nothing),
            ("GET", "withdraws"): Call(assets.withdrawals, may=sees_withdrawals),
            ("GET", "withdraws/chance"): Call(assets.withdraw_chance, may=sees_withdrawals),
            ("GET", "withdraws/coin_addresses"): Call(nothing, may=sees_withdrawals),
            ("GET", "pockets"): Call(assets.pockets, may=manage),
            ("GET", "pockets/api_keys"): Call(assets.pocket_keys, may=manage),
            ("GET", "pockets/assets"): Call(assets.accounts, may=manage),
            ("POST", "withdraws/coin"): Call(_never, "withdraw", may=withdraw, status=201),
            ("POST", "withdraws/krw"): Call(_never, "withdraw", may=withdraw, status=201),
            ("POST", "pockets/transfers"): Call(_never, "transfer", may=manage, status=201),
            ("POST", "pockets/universal_transfers"): Call(_never, "transfer", may=manage, status=201),
        }
        return {(method, f"/v1/{path}"): call for (method, path), call in calls.items()}

    # the doors

    def routes_public(self, app: web.Application) -> None:
        """REST without keys and the public stream."""
        app.router.add_get("/websocket/v1", self._serve_public)
        app.router.add_route("*", "/{path:.*}", self.handle)

    def routes_orders(self, app: web.Application) -> None:
        """All of REST, and both streams."""
        app.router.add_get("/websocket/v1/private", self._serve_private)
        self.routes_public(app)

    async def _serve_public(self, request: web.Request) -> web.StreamResponse:
        refused = self._connect(request, CLIENT_ADDRESS)
        return refused or await self.serve_socket(request, self.parts.public, self._public.take, binary=True)

    async def _serve_private(self, request: web.Request) -> web.StreamResponse:
        self.parts.witness.request(self.name, connection_of(request), "auth", request.raw_path.encode(), target=f"GET {request.path}")
        try:
            key = self._key(request, Params())
        except Wrong as wrong:
            return await _turned_away(request, wrong)
        refused = self._connect(request, key.access)
        return refused or await self.serve_socket(request, self.parts.private, self._private.take, binary=True, access=key.access)

    def _connect(self, request: web.Request, whose: str) -> web.Response | None:
        try:
            self._count(limits.CONNECT, whose, request)
        except Wrong as wrong:
            reply = reply_of(wrong)
            return web.Response(status=reply.status, body=reply.body, content_type="application/json")
        return None

    # a request

    def wanted(self, request: web.Request, body: bytes) -> Wanted:
        """What a request is about."""
        call = self._calls.get((request.method, _path(request)))
        if call is None:
            return Wanted("read", "Authorization" in request.headers)
        try:
            params = self._params(request, body)
        except Wrong:
            return Wanted(call.verb, authenticated=True)
        if call.verb == "place":
            asked = _asked(self.venue, dict(params.pairs))
            return Wanted("place", True, params.get("market"), ((params.get("identifier"), 0),), () if asked is None else (asked,))
        return Wanted(call.verb, True, *self._about(call.verb, params))

    def _about(self, verb: str, params: Params) -> tuple[str, tuple[tuple[str, int], ...]]:
        """(market, identifiers) of the orders that a request names."""
        orders: list[SimOrder] = []
        try:
            if verb == "cancel":
                orders = [self._reads.named(params)]
            elif verb == "replace":
                orders = [self._reads.named(params, "prev_order_")]
            elif verb == "cancel_batch":
                orders = self._reads.several(params, CANCEL_IDS_MAX)
        except Wrong:
            return params.get("market"), ()
        ids = tuple((order.client_id, 0) for order in orders)
        if verb == "replace":
            ids += ((params.get("new_identifier"), 0),)
        return orders[0].symbol if orders else params.get("market"), ids

    def answer(self, request: web.Request, body: bytes) -> Reply:
        """Check and do a request."""
        try:
            return self._answer(request, body)
        except Wrong as wrong:
            return reply_of(wrong)

    def _answer(self, request: web.Request, body: bytes) -> Reply:
        if self.parts.rates.banned_until_ms > self.venue.now_ms():
            return self.over_limit(banned=True)
        path = _path(request)
        quote = self._quotes.find(path) if request.method == "GET" else None
        if quote is not None:
            group, act = quote
            headers = self._count(group, CLIENT_ADDRESS, request, quotation=True)
            return _done(200, lambda: act(self._params(request, b"")), headers)
        call = self._calls.get((request.method, path))
        if call is None or self._at_public_door(request):
            raise Wrong(404, status=404, text=f"no such path: {request.method} {path}")
        params = self._params(request, body)
        key = self._key(request, params)
        headers = self._count(call.group, key.access, request)
        if not call.may(key):
            return reply_of(Wrong("out_of_scope"), headers)
        return _done(call.status, lambda: call.act(params), headers)

    def _at_public_door(self, request: web.Request) -> bool:
        return bool(self.parts.doors) and self.parts.doors[0].passage(connection_of(request)) is not None

    @staticmethod
    def _params(request: web.Request, body: bytes) -> Params:
        return read_params(request.rel_url.raw_query_string, body, request.headers.get("Content-Type", ""), post=request.method == "POST")

    def _key(self, request: web.Request, params: Params) -> SimKey:
        header = request.headers.get("Authorization", "")
        return auth.check(self.parts.keys, header, params.hashed, self.venue.now_ns(), CLIENT_ADDRESS)

    def _count(self, group: str, whose: str, request: web.Request, *, quotation: bool = False) -> dict[str, str]:
        """Count a request; returns the header that tells what is left. Raises Wrong over a limit."""
        rates, now_ms = self.parts.rates, self.venue.now_ms()
        groups = [group, limits.ORIGIN] if "Origin" in request.headers else [group]
        verdicts = {rates.take(name, whose, now_ms) for name in groups}
        if Verdict.BANNED in verdicts:
            raise self._banned()
        if Verdict.LIMITED in verdicts:
            raise Wrong(429 if quotation else "too_many_requests", status=429, text="요청 수 제한을 초과했습니다.")
        return {"Remaining-Req": limits.remaining_req(rates.standing(group, whose, now_ms))}

    # verbs that need more than one room

    def _replace(self, params: Params) -> dict[str, Any]:
        params.required("new_ord_type")
        return self._entry.replace(params, self._reads.named(params, "prev_order_"))

    def _cancel_several(self, params: Params) -> dict[str, Any]:
        return self._entry.cancel_several(self._reads.several(params, CANCEL_IDS_MAX), self.batch_cut)

    # what is the same at every venue, in this one's words

    def server_error(self, status: int) -> Reply:
        """A failure of the venue itself."""
        return reply_of(Wrong("server_error", status=status))

    def over_limit(self, banned: bool) -> Reply:
        """429, or 418 with how long."""
        return reply_of(self._banned() if banned else Wrong("too_many_requests"))

    def _banned(self) -> Wrong:
        left_s = max(0, self.parts.rates.banned_until_ms - self.venue.now_ms()) // 1000 + 1
        return Wrong(418, status=418, text=f"요청이 차단되었습니다. 차단 시간: {left_s}초 (blocked for {left_s} seconds)")

    def closed(self) -> Reply:
        """The venue is under maintenance."""
        return reply_of(Wrong("market_offline"))

    # what happens

    def trade_name(self, number: int) -> str:
        """The UUID of a trade."""
        return uuid_of("trade", number)

    def on_event(self, event: Event) -> None:
        """Name new orders, move the mean prices, tell the private stream."""
        if isinstance(event, OrderChanged):
            order = event.order
            if event.change is Change.NEW:
                self._accepted.clear()
                self._accepted[order.number] = views.order_view(order, self._ids.name(order), views.sums(order))
            if event.execution is not None and order.side is Side.BUY:
                self._assets.bought(event.execution)
        self._private_messages.publish(self._private, event)

    def on_market(self, steps: Sequence[MarketStep]) -> None:
        """Keep the trades, tell the public stream."""
        for step in steps:
            for trade in step.trades:
                self._histories[step.symbol].take(trade)
        self._public_messages.publish(self._public, steps)

    def tick(self) -> None:
        """Keep the streams alive, end the silent ones."""
        self._public.tick()
        self._private.tick()


def _path(request: web.Request) -> str:
    return "/" + request.path.strip("/").replace("//", "/")


def _done(status: int, act: Callable[[], Any], headers: dict[str, str]) -> Reply:
    """An answer, or a refusal, with the header of the limits."""
    try:
        return Reply(status, encode(act()), headers)
    except Wrong as wrong:
        return reply_of(wrong, headers)


def _never(_params: Params) -> Any:
    raise Wrong("validation_error", text="the simulator withdraws and transfers nothing")


async def _turned_away(request: web.Request, wrong: Wrong) -> web.StreamResponse:
    """A stream says over itself that the token is not good, and ends."""
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    await socket.send_bytes(encode(error_body("INVALID_AUTH", f"인증 정보가 올바르지 않습니다. ({wrong.name})")))
    await socket.close()
    return socket


def _asked(venue: SimVenue, values: Mapping[str, str]) -> dict[str, Any] | None:
    """Price and size in ticks and lots, as a checker reckons exposure from them; None where they are none. A market order is worth the mark."""
    market = venue.markets.get(values.get("market", ""))
    if market is None:
        return None
    instrument = market.instrument
    try:
        price = Decimal(values["price"]) if values.get("price") and values.get("volume") else market.mark
        size = Decimal(values["volume"]) if values.get("volume") else Decimal(values["price"]) / market.mark
        ticks, lots = int(price // instrument.quantum), instrument.floor_lots(size)
    except (ArithmeticError, KeyError, ValueError):
        return None
    side = -1 if values.get("side") == "ask" else 1
    return {"ticks": ticks, "tick": f"{instrument.quantum:f}", "lots": lots, "symbol": instrument.symbol, "side": side}
