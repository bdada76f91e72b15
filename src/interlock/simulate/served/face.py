"""What the faces of the venues share: one way from a request's bytes to its answer, with the witness before it and the faults around it.

A face answers with `Reply` and knows its venue's words for the few things that are the same everywhere: a server error, over the limit, banned,
closed. Everything else is its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from typing import Any

from aiohttp import WSMsgType, web

from interlock.domain.clock import NS_PER_S, Clock
from interlock.simulate.served.faults import Asked, Fault, FaultPlan, FaultSpec
from interlock.simulate.served.front import Door, Passage
from interlock.simulate.served.hub import Hub, Listener
from interlock.simulate.served.keys import KeyRing
from interlock.simulate.served.orders import SimOrder
from interlock.simulate.served.rates import Rates
from interlock.simulate.served.venue import Event, MarketStep, OrderChanged, SimVenue
from interlock.simulate.served.witness import VerbClass, Witness, class_of

BODY_MAX = 1 << 20
ERROR_PAGE = b"<html><head><title>Bad Gateway</title></head><body><h1>The request could not be satisfied.</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: HTTP status, body (JSON unless `media` says otherwise), headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    media: str = "application/json"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request is about, as the witness and the faults see it. `authenticated` requests are witnessed, all others are not."""

    verb: str
    authenticated: bool
    symbol: str = ""
    ids: tuple[tuple[str, int], ...] = ()
    orders: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a face is made of. `later` runs something after so many milliseconds; `doors` are those of the venue, public first. `dislocate` moves a
    symbol's price by a fraction, and says whether it could."""

    venue: SimVenue
    keys: KeyRing
    rates: Rates
    faults: FaultPlan
    witness: Witness
    clock: Clock
    public: Hub
    private: Hub
    later: Callable[[int, Callable[[], None]], None]
    dislocate: Callable[[str, float], bool] = lambda _symbol, _fraction: False
    doors: list[Door] = field(default_factory=list)
    closed_until_ms: int = 0

    def steady_ms(self) -> int:
        """A time that does not jump, milliseconds."""
        return self.clock.monotonic_ns() // 1_000_000

    def passage(self, name: str) -> Passage | None:
        """The client's connection of that name."""
        return next((found for door in self.doors if (found := door.passage(name)) is not None), None)


class Face(ABC):
    """The wire protocol of one venue. `batch_cut` and `lag_ms` hold while a fault says so, for the request that is being answered."""

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.venue = parts.venue
        self.batch_cut: int | None = None
        self.lag_ms = 0
        parts.venue.listen(self._keep_truth)
        parts.venue.listen(self.on_event)

    @property
    def name(self) -> str:
        """The venue's name."""
        return self.venue.rules.name

    # what each venue says in its own words

    @abstractmethod
    def routes_public(self, app: web.Application) -> None:
        """Add what the public address serves: REST without keys, and the public stream."""

    @abstractmethod
    def routes_orders(self, app: web.Application) -> None:
        """Add what the order address serves: all of REST, the private stream, order entry."""

    @abstractmethod
    def wanted(self, request: web.Request, body: bytes) -> Wanted:
        """What a request is about. Must not raise, whatever the client sent."""

    @abstractmethod
    def answer(self, request: web.Request, body: bytes) -> Reply:
        """Check and do a request. Words every refusal itself."""

    @abstractmethod
    def server_error(self, status: int) -> Reply:
        """A failure of the venue itself."""

    def too_late(self) -> Reply | None:
        """A request whose time was over when it reached matching; None where the venue has no such refusal."""
        return None

    @abstractmethod
    def over_limit(self, banned: bool) -> Reply:
        """Too many requests, or banned for them."""

    @abstractmethod
    def closed(self) -> Reply:
        """The venue takes nothing now."""

    @abstractmethod
    def trade_name(self, number: int) -> str:
        """What the venue calls the execution of that number."""

    @abstractmethod
    def on_event(self, event: Event) -> None:
        """Tell the private stream what happened."""

    @abstractmethod
    def on_market(self, steps: Sequence[MarketStep]) -> None:
        """Tell the public stream what happened."""

    def shut_down(self, ms: int) -> bool:
        """Tell every connection that the server goes down, and close it so much later; False where the venue has no word for it."""
        return False

    def grant_dead_man(self, *, granted: bool) -> bool:
        """Grant the account that the venue cancels when its private stream is silent, or take it away; False where the venue has no such thing."""
        return False

    def tick(self) -> None:  # noqa: B027 - most venues have nothing that is due by time
        """Do what is due; called ten times a second."""

    def _keep_truth(self, event: Event) -> None:
        """Write down what executed, whatever anybody is told of it."""
        if not isinstance(event, OrderChanged) or event.execution is None:
            return
        order, execution = event.order, event.execution
        content = {
            "trade_id": self.trade_name(execution.reverses or execution.number),
            "client_id": order.client_id,
            "symbol": order.symbol,
            "side": int(order.side),
            "ticks": execution.ticks,
            "tick": f"{order.instrument.quantum:f}",
            "lots": abs(execution.lots),
            "venue_ns": execution.venue_ns,
            "reversed": bool(execution.reverses),
        }
        self.parts.witness.truth(self.name, "execution", content)

    # the one way of every REST request

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Read, witness, let faults strike, answer."""
        body = await request.content.read(BODY_MAX + 1)
        wanted = self.wanted(request, body)
        connection = connection_of(request)
        if wanted.authenticated:
            self.parts.witness.request(
                self.name,
                connection,
                wanted.verb,
                request.raw_path.encode() + b"\n" + body,
                ids=wanted.ids,
                orders=wanted.orders,
                target=f"{request.method} {request.path}",
            )
        struck = self.strike(wanted)
        passage = self.parts.passage(connection)
        if Fault.RESET_BEFORE in struck and passage is not None:
            passage.reset()
            return web.Response(status=500)
        reply = self.refused_by_fault(wanted, struck)
        if reply is None:
            reply = self.done(wanted, struck, lambda: self.answer(request, body))
        return await self._deliver(reply, struck, passage)

    def strike(self, wanted: Wanted, *, socket: bool = False) -> dict[Fault, FaultSpec]:
        """The faults that strike a request; `socket` says that it came over a WebSocket."""
        client_id = wanted.ids[0][0] if len(wanted.ids) == 1 else ""
        return self.parts.faults.strike(Asked(self.name, wanted.verb, wanted.symbol, client_id, socket))

    def refused_by_fault(self, wanted: Wanted, struck: Mapping[Fault, FaultSpec]) -> Reply | None:
        """The answer of a fault that lets a request have no effect."""
        now_ms = self.venue.now_ms()
        if Fault.BAN in struck:
            self.parts.rates.ban(now_ms, struck[Fault.BAN].ms)
            return self.over_limit(banned=True)
        if Fault.RATE_LIMITED in struck:
            return self.over_limit(banned=False)
        if Fault.MAINTENANCE in struck:
            self.parts.closed_until_ms = now_ms + struck[Fault.MAINTENANCE].ms
            return self.closed()
        if now_ms < self.parts.closed_until_ms and class_of(wanted.verb) is not VerbClass.READING:
            return self.closed()
        if Fault.ERROR_WITHOUT_ACCEPTING in struck:
            return self.server_error(503)
        if Fault.LATE_TO_MATCH in struck and (late := self.too_late()) is not None:
            return late
        if Fault.ERROR_PAGE in struck:
            return Reply(struck[Fault.ERROR_PAGE].count, ERROR_PAGE, media="text/html")
        return None

    def done(self, wanted: Wanted, struck: Mapping[Fault, FaultSpec], act: Callable[[], Reply]) -> Reply:
        """Let a request have its effect, with the faults that change what it is or what is told of it."""
        if Fault.PARTIAL_BATCH in struck:
            self.batch_cut = struck[Fault.PARTIAL_BATCH].count
        if Fault.HISTORY_LAG in struck:
            self.lag_ms = struck[Fault.HISTORY_LAG].ms
        if Fault.HIDE_ORDERS in struck:
            self.venue.hide(struck[Fault.HIDE_ORDERS].count)
        self.venue.ignores_cancels = Fault.IGNORE_CANCEL in struck
        late = [self.venue.find(client_id=i) for i, _ in wanted.ids] if Fault.LATE_FILL in struck else []
        try:
            reply = act()
        finally:
            self.batch_cut, self.lag_ms = None, 0
            self.venue.hide(0)
            self.venue.ignores_cancels = False
        for order in late:
            if order is not None:
                self.parts.later(struck[Fault.LATE_FILL].ms, _fill(self.venue, order))
        if Fault.ACCEPT_THEN_ERROR in struck:
            return self.server_error(504)
        if Fault.GARBAGE in struck:
            return replace(reply, body=b'{"trunc')
        return reply

    async def _deliver(self, reply: Reply, struck: Mapping[Fault, FaultSpec], passage: Passage | None) -> web.StreamResponse:
        await self.hold_back(struck, passage)
        # Some venues tell their time by this header alone.
        headers = {"Date": formatdate(self.venue.now_ns() // NS_PER_S, usegmt=True), **reply.headers}
        return web.Response(status=reply.status, body=reply.body, headers=headers, content_type=reply.media)

    async def hold_back(self, struck: Mapping[Fault, FaultSpec], passage: Passage | None) -> None:
        """Let an answer be late, cut or lost on its way, as the faults say."""
        if Fault.LATE_ACK in struck:
            await asyncio.sleep(struck[Fault.LATE_ACK].ms / 1000)
        if passage is None:
            return
        if Fault.RESET_AT_BYTE in struck:
            passage.reset_after = max(0, struck[Fault.RESET_AT_BYTE].count)
            if not passage.reset_after:
                passage.reset()
        if Fault.LOSE_ACK in struck or Fault.STALL in struck:
            passage.stalled = True

    def later_than_lag(self, ns: int) -> bool:
        """Whether something of that venue time is too young to be read yet."""
        return ns > self.venue.now_ns() - self.lag_ms * 1_000_000

    # streams

    async def serve_socket(
        self,
        request: web.Request,
        hub: Hub,
        on_text: Callable[[Listener, bytes], Awaitable[None]],
        *,
        binary: bool = False,
        access: str = "",
        on_open: Callable[[Listener], None] | None = None,
    ) -> web.StreamResponse:
        """Take a WebSocket connection: every message goes to `on_text`, what the listener is sent goes out in order, until it ends.

        `on_open` is called once, before anything is published to the listener.
        """
        socket = web.WebSocketResponse(autoping=False, max_msg_size=BODY_MAX)
        await socket.prepare(request)
        listener = Listener(socket, connection_of(request), binary=binary, access=access, params=dict(request.query))
        listener.heard_ms = self.parts.steady_ms()
        if on_open is not None:
            on_open(listener)
        hub.join(listener)
        writing = asyncio.create_task(listener.write())
        try:
            async for message in socket:
                listener.heard_ms = self.parts.steady_ms()
                if message.type is WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type is WSMsgType.TEXT:
                    await on_text(listener, message.data.encode())
                elif message.type is WSMsgType.BINARY:
                    await on_text(listener, message.data)
                elif message.type is WSMsgType.PONG:
                    listener.pongs += 1
        finally:
            hub.leave(listener)
            writing.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writing
        return socket


def connection_of(request: web.Request) -> str:
    """The name of the client's connection, as the door bound it."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else b""
    return peer.lstrip(b"\0").decode("ascii", "replace") if isinstance(peer, bytes) else str(peer or "")


def _fill(venue: SimVenue, order: SimOrder) -> Callable[[], None]:
    def fill() -> None:
        venue.fill(order, order.remaining_lots)

    return fill
