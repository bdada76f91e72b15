"""The private stream: who may listen, to what, and what is told. Nothing of the past is told to who connects."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from interlock.domain.errors import UsageError
from interlock.simulate.served.bybit.account_views import position_view, wallet_view
from interlock.simulate.served.bybit.auth import check_key, proves
from interlock.simulate.served.bybit.dead_man import TOPICS as DEAD_MAN_TOPICS
from interlock.simulate.served.bybit.desk import Desk, FundingPaid
from interlock.simulate.served.bybit.ids import Of, id_of
from interlock.simulate.served.bybit.socket_talk import Idle, Talk, read_message, texts
from interlock.simulate.served.bybit.views import execution_view, fast_view, funding_view, order_view
from interlock.simulate.served.bybit.words import BAD_SIGN, PARAMS, Failed
from interlock.simulate.served.hub import Listener
from interlock.simulate.served.keys import SimKey
from interlock.simulate.served.venue import Booking, Change, Event

_PLAIN: Final = ("order", "execution", "position", "execution.fast")
_CATEGORIES: Final = ("linear", "spot", "inverse", "option")
TOPICS: Final = frozenset(
    [*_PLAIN, "wallet", *DEAD_MAN_TOPICS, *(f"{topic}.{category}" for topic in _PLAIN for category in _CATEGORIES)],
)


class PrivateStream:
    """Answers on the private socket and tells what happens to the account."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._hub = desk.parts.private
        self._idle = Idle()

    def talk(self, connection: str, venue: str) -> Talk:
        """What answers one connection's messages."""

        async def on_text(listener: Listener, text: bytes) -> None:
            message = read_message(text)
            now_ms = self._desk.parts.steady_ms()
            self._idle.heard(listener, now_ms)
            if listener.topics.intersection(DEAD_MAN_TOPICS):
                self._desk.dead_man.heard(now_ms)
            op = message.get("op")
            if op in ("auth", "subscribe", "unsubscribe"):
                verb = "auth" if op == "auth" else "subscribe"
                self._desk.parts.witness.request(venue, listener.name, verb, text, target="/v5/private")
            listener.send(msgspec.json.encode(self._answer(listener, message, connection)))

        return on_text

    def cut_idle(self, now_ms: int) -> None:
        """Cut connections that are silent."""
        self._idle.cut(now_ms)

    def on_event(self, event: Event) -> None:
        """Tell an event to whoever subscribed."""
        if isinstance(event, Booking):
            self._booked(event)
            return
        order = event.order
        if event.change is Change.TRADE and event.execution is not None:
            self._tell("execution", execution_view(event.execution, stream=True), order.symbol)
            self._tell("execution.fast", fast_view(event.execution), order.symbol)
        if event.change is not Change.REVERSED:
            self._tell("order", order_view(order), order.symbol)
        self._tell("position", position_view(self._desk, order.symbol, stream=True), order.symbol)
        self._wallet()

    def _booked(self, booking: Booking) -> None:
        desk = self._desk
        if booking.kind == "funding":
            market = desk.venue.markets[booking.symbol]
            size = market.instrument.quantity(desk.account.positions[booking.symbol].lots)
            value = market.mark * size
            paid = FundingPaid(booking, size, market.mark, -booking.amount / value if value else market.funding_rate)
            desk.paid.append(paid)
            self._tell("execution", funding_view(paid, stream=True), booking.symbol)
            self._tell("position", position_view(desk, booking.symbol, stream=True), booking.symbol)
        self._wallet()

    def _wallet(self) -> None:
        if self._listened("wallet"):
            self._publish("wallet", wallet_view(self._desk), "")

    def _tell(self, topic: str, view: dict[str, Any], symbol: str) -> None:
        """Tell all-in-one and categorised listeners; a topic that nobody listens to is no message, so that faults strike what is told."""
        for name in (topic, f"{topic}.linear"):
            if self._listened(name):
                self._publish(name, view, symbol)

    def _listened(self, topic: str) -> bool:
        return any(topic in listener.topics for listener in self._hub.listeners)

    def _publish(self, topic: str, view: dict[str, Any], symbol: str) -> None:
        desk = self._desk
        desk.messages += 1
        message = {
            "id": id_of(Of.MESSAGE, desk.messages),
            "topic": topic,
            "creationTime": desk.venue.now_ms(),
            "data": [view],
        }
        self._hub.publish(topic, msgspec.json.encode(message), symbol)

    def _answer(self, listener: Listener, message: dict[str, Any], connection: str) -> dict[str, Any]:
        op, req_id = message.get("op"), message.get("req_id", "")
        head = {"conn_id": connection, "req_id": req_id, "op": op}
        if op == "ping":
            return {"req_id": req_id, "op": "pong", "args": [str(self._desk.venue.now_ms())], "conn_id": connection}
        if op == "auth":
            try:
                listener.access = check_auth(self._desk, message.get("args")).access
            except Failed as failed:
                return {"success": False, "ret_msg": failed.text, "retCode": failed.code, **head}
            return {"success": True, "ret_msg": "", **head}
        if op not in ("subscribe", "unsubscribe"):
            return {"success": False, "ret_msg": "error:request type invalid", **head}
        if not listener.access:
            return {"success": False, "ret_msg": "Request not authorized", **head}
        topics = texts(message, "args")
        if op == "unsubscribe":
            listener.topics.difference_update(topics)
            return {"success": True, "ret_msg": "", **head}
        wrong = _wrong(topics)
        if wrong:
            return {"success": False, "ret_msg": wrong, **head}
        listener.topics.update(topics)
        if listener.topics.intersection(DEAD_MAN_TOPICS):
            self._desk.dead_man.heard(self._desk.parts.steady_ms())
        return {"success": True, "ret_msg": "", **head}


def check_auth(desk: Desk, args: Any) -> SimKey:
    """The key that an `auth` operation shows: its name, a time that is to come, and the proof. Raises Failed."""
    if not isinstance(args, list) or len(args) != 3 or not isinstance(args[0], str) or not isinstance(args[2], str):
        raise Failed(PARAMS, "Params Error")
    try:
        expires_ms = _whole(args[1])
    except UsageError as error:
        raise Failed(PARAMS, "Params Error") from error
    now_ms = desk.venue.now_ms()
    if expires_ms <= now_ms:
        raise Failed(BAD_SIGN, "Params Error: expires is in the past")
    key = check_key(desk.parts.keys, args[0], now_ms)
    if not proves(key, f"GET/realtime{args[1]}".encode(), args[2]):
        raise Failed(BAD_SIGN, "Invalid sign")
    return key


def _whole(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"expires: expected milliseconds, found {value!r}")
    return int(text)


def _wrong(topics: list[str]) -> str:
    """What is wrong with a request to subscribe; all-in-one and categorised forms of a topic do not go together in one."""
    if not topics:
        return "error:args is required"
    for topic in topics:
        if topic not in TOPICS:
            return f"error:handler not found,topic:{topic}"
    mixed = next((t for t in topics if t in _PLAIN and any(other in topics for other in (f"{t}.{c}" for c in _CATEGORIES))), "")
    return f"error:all-in-one and categorised topics together,topic:{mixed}" if mixed else ""
