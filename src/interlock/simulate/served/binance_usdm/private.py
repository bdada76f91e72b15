"""The private stream: listen keys, who listens to what, and what each event of the venue becomes. Nothing is told of before a connection."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from interlock.simulate.served.accounts import MarginAccount
from interlock.simulate.served.binance_usdm.auth import Security
from interlock.simulate.served.binance_usdm.events import REASONS, account_update, margin_call, order_update, trade_lite
from interlock.simulate.served.binance_usdm.frames import Place
from interlock.simulate.served.binance_usdm.params import Params
from interlock.simulate.served.binance_usdm.routes import Route, Routes
from interlock.simulate.served.binance_usdm.words import Wrong
from interlock.simulate.served.face import Parts
from interlock.simulate.served.hub import Listener
from interlock.simulate.served.venue import Booking, Change, Event, OrderChanged

LIFE_MS: Final = 3_600_000
EVENTS: Final = (
    "ORDER_TRADE_UPDATE",
    "ACCOUNT_UPDATE",
    "TRADE_LITE",
    "ALGO_UPDATE",
    "ACCOUNT_CONFIG_UPDATE",
    "MARGIN_CALL",
)
CALL_EVERY_MS: Final = 60_000


@dataclass(slots=True)
class _Lease:
    access: str
    until_ms: int


class ListenKeys:
    """The listen keys that are alive: one for each API key."""

    def __init__(self, parts: Parts, expired: Callable[[str], None]) -> None:
        self._parts = parts
        self._expired = expired
        self._leases: dict[str, _Lease] = {}
        self._made = 0

    def routes(self) -> Routes:
        """Its paths."""
        path, key = "/fapi/v1/listenKey", Security.KEY
        return {
            ("POST", path): Route(handler=self.start, security=key, verb="listen_key"),
            ("PUT", path): Route(handler=self.extend, security=key, verb="listen_key"),
            ("DELETE", path): Route(handler=self.close, security=key, verb="listen_key"),
        }

    def alive(self, name: str) -> bool:
        """Whether a listen key is good."""
        return name in self._leases

    def start(self, params: Params) -> dict[str, Any]:
        """Make a listen key, or extend the one there is."""
        assert params.key is not None
        access = params.key.access
        name = self._of(access)
        if not name:
            self._made += 1
            name = hashlib.sha256(f"{access} {self._made}".encode()).hexdigest()
        self._leases[name] = _Lease(access, self._parts.steady_ms() + LIFE_MS)
        return {"listenKey": name}

    def extend(self, params: Params) -> dict[str, Any]:
        """Extend the listen key of the API key."""
        assert params.key is not None
        name = self._of(params.key.access)
        if not name:
            raise Wrong(-1125)
        self._leases[name].until_ms = self._parts.steady_ms() + LIFE_MS
        return {"listenKey": name}

    def close(self, params: Params) -> dict[str, Any]:
        """End the listen key of the API key."""
        assert params.key is not None
        name = self._of(params.key.access)
        if not name:
            raise Wrong(-1125)
        self._end(name)
        return {}

    def expire(self) -> None:
        """End those whose time is over."""
        now_ms = self._parts.steady_ms()
        for name in [name for name, lease in self._leases.items() if now_ms >= lease.until_ms]:
            self._end(name)

    def _of(self, access: str) -> str:
        return next((name for name, lease in self._leases.items() if lease.access == access), "")

    def _end(self, name: str) -> None:
        del self._leases[name]
        self._expired(name)


class PrivateStream:
    """Tells the account's listeners what happens to it. `isolated` are the symbols of that margin type, `modify_id` gives the
    client's name of the last amend.
    """

    def __init__(self, parts: Parts, account: MarginAccount, isolated: Callable[[], set[str]], modify_id: Callable[[], str]) -> None:
        self._parts = parts
        self._venue = parts.venue
        self._account = account
        self._isolated = isolated
        self._modify_id = modify_id
        self._called_ms: dict[str, int] = {}
        self.keys = ListenKeys(parts, self._gone)

    def topics_of(self, listener: Listener, place: Place, name: str) -> set[str]:
        """The topics of a listen key: of the events that the connection's address allows, all if it names none."""
        if not self.keys.alive(name):
            return set()
        listener.access = name
        allowed = set(filter(None, listener.params.get("events", "").split("/"))) or set(EVENTS)
        return {f"{_prefix(place, name)}{event}" for event in EVENTS if event in allowed}

    def tell(self, body: dict[str, Any], at_ms: int | None = None) -> None:
        """Publish one event, with its time and the time of what it tells."""
        now_ms = self._venue.now_ms()
        event = {"e": body["e"], "E": now_ms, "T": now_ms if at_ms is None else at_ms} | body
        bare, hub = msgspec.json.encode(event), self._parts.private
        symbol = str(body.get("s") or body.get("o", {}).get("s", ""))
        wanted = {topic for listener in hub.listeners for topic in listener.topics if topic.rpartition("|")[2] == body["e"]}
        for topic in sorted(wanted):
            form, _, rest = topic.partition("|")
            message = bare if form == "raw" else msgspec.json.encode({"stream": rest.partition("|")[0], "data": msgspec.Raw(bare)})
            hub.publish(topic, message, symbol)

    def on_event(self, event: Event) -> None:
        """Tell what happened to an order or the account."""
        if isinstance(event, Booking):
            self._booked(event)
        elif event.change is Change.REVERSED:
            self._moved(event, "ADJUSTMENT")
        else:
            self._changed(event)

    def _changed(self, event: OrderChanged) -> None:
        order, execution = event.order, event.execution
        if execution is not None:
            self.tell(trade_lite(event), execution.venue_ns // 1_000_000)
            self._moved(event, "ORDER")
        waiting = self._venue.open_orders(order.symbol)
        self.tell(order_update(event, waiting, self._modify_id()), order.updated_ns // 1_000_000)

    def _moved(self, event: OrderChanged, reason: str) -> None:
        execution, instrument = event.execution, event.order.instrument
        assert execution is not None
        changed = dict.fromkeys((self._account.settle, execution.fee_currency), Decimal(0))
        self.tell(account_update(self._account, reason, changed.items(), [instrument], self._isolated()), execution.venue_ns // 1_000_000)

    def _booked(self, booking: Booking) -> None:
        reason = REASONS.get(booking.kind, "ADJUSTMENT")
        # Funding of an isolated position tells the position too.
        moved = [self._venue.markets[booking.symbol].instrument] if booking.symbol in self._isolated() else []
        change = [(booking.currency, booking.amount)]
        self.tell(account_update(self._account, reason, change, moved, self._isolated()), booking.venue_ns // 1_000_000)

    def watch(self) -> None:
        """Call for margin where little is left: while the maintenance margin is more than four fifths of the equity [the share is a guess]."""
        account = self._account
        held = [s for s, p in account.positions.items() if p.lots]
        if not held or sum((account.maintenance_margin(s) for s in held), Decimal(0)) < Decimal("0.8") * account.equity():
            return
        now_ms = self._parts.steady_ms()
        for symbol in held:
            if now_ms - self._called_ms.get(symbol, -CALL_EVERY_MS) >= CALL_EVERY_MS:
                self._called_ms[symbol] = now_ms
                market = self._venue.markets[symbol]
                self.tell(margin_call(account, market.instrument, market.mark, symbol in self._isolated()))

    def _gone(self, name: str) -> None:
        """A listen key ended: its connections are told, stay open, and are told nothing more."""
        message = msgspec.json.encode({"e": "listenKeyExpired", "E": self._venue.now_ms(), "listenKey": name})
        for listener in self._parts.private.listeners:
            if listener.access == name:
                allowed = listener.params.get("events", "")
                if allowed and "listenKeyExpired" not in allowed.split("/"):
                    listener.topics.clear()
                    continue
                wrapped = any(topic.startswith("combined|") for topic in listener.topics)
                listener.send(msgspec.json.encode({"stream": name, "data": msgspec.Raw(message)}) if wrapped else message)
                listener.topics.clear()


def _prefix(place: Place, name: str) -> str:
    return f"combined|{name}|" if place.combined else "raw|"
