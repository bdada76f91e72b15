"""Orders over a venue's socket without a network: what the wire is, its opening, and what answers tell of the venue's limits. A second."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.gate.test_venue_http_wire import BINANCE, BOOT_NS, BYBIT, ENDPOINT, ID, KEY, OTHER, SIGN_NS, WINDOW_NS, Venue, intent
from tests.venues.contract.traits import VENUES
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Ping, TextMessage

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.gate import records as r
from interlock.gate.order_wire import ToCancel
from interlock.gate.venue_socket_wire import CONNECTIONS, SocketAnswers, SocketOrderWire
from interlock.venues.budget import GATE, Meter, Spend
from interlock.venues.metering import metering_of

WALL_NS = 1_795_000_000_000_000_000
HOUR_NS = 3_600 * NS_PER_S
both = pytest.mark.parametrize("venue", [BINANCE, BYBIT], ids=lambda venue: venue.name)


def wire_of(venue: Venue) -> SocketOrderWire:
    return SocketOrderWire(venue.name, VENUES[venue.name].trade(venue.instruments), KEY, ENDPOINT, WINDOW_NS, bytes)


class Talk:
    """A connection that the venue has accepted, byte by byte. `greeted` is what was said to it first, as JSON."""

    def __init__(self, wire: SocketOrderWire) -> None:
        self.reader: SocketAnswers = wire.reader()
        self.server = WSConnection(ConnectionType.SERVER)
        assert self.told(self.reader.begin(WALL_NS)) == []
        yes = self.server.send(AcceptConnection())
        for at in range(len(yes)):
            assert not self.reader.ready
            assert list(self.reader.feed(yes[at : at + 1])) == []
        self.greeted = self.told(self.reader.due())
        if self.greeted:
            assert not self.reader.ready
            assert list(self.reader.feed(self.said({"op": "auth", "retCode": 0}))) == []
        assert self.reader.ready

    def told(self, data: bytes) -> list[Any]:
        """What the server makes of bytes of ours: messages as JSON, and "ping"."""
        self.server.receive_data(data)
        found: list[Any] = []
        for event in self.server.events():
            if isinstance(event, TextMessage):
                found.append(json.loads(event.data))
            elif isinstance(event, Ping):
                found.append("ping")
        return found

    def said(self, content: object) -> bytes:
        return self.server.send(TextMessage(data=json.dumps(content)))


@both
def test_what_the_socket_of_a_venue_is(venue: Venue) -> None:
    wire = wire_of(venue)
    assert (wire.connections, wire.idle_ns, wire.receive_window_ns) == (2, 50 * NS_PER_S, WINDOW_NS)
    reader = wire.reader()
    # Binance ends a connection after 24 hours and cancels one order with a request; Bybit wants to hear something every 20 seconds and cancels ten.
    lives_ns, at_once = (24 * HOUR_NS - HOUR_NS // 2, 1) if venue is BINANCE else (0, 10)
    assert (reader.lives_ns, reader.at_once, reader.beat_every_ns, wire.cancels_at_once) == (lives_ns, 0, 20 * NS_PER_S, at_once)
    assert wire.placement_cost == ({"orders": 1} if venue is BINANCE else {"create": 1, "socket": 1})
    assert wire.connection_cost == ({"weight": 5, "connections": 1} if venue is BINANCE else {"connections": 1})


def test_connections_are_half_of_what_an_address_may_try_and_none_of_them_is_kept_for_the_sentinel() -> None:
    meter, one = Meter((CONNECTIONS,), GATE), {CONNECTIONS.name: 1}
    for _ in range(300 // 2):
        assert meter.wait_ns(Spend.PLACE, one, NS_PER_S) == 0
        meter.spent(one, NS_PER_S)
    assert meter.wait_ns(Spend.PLACE, one, NS_PER_S) == 300 * NS_PER_S
    assert meter.wait_ns(Spend.PLACE, one, 301 * NS_PER_S) == 0


@both
def test_a_proof_is_given_where_the_venue_wants_one_and_is_good_from_the_time_of_the_connection(venue: Venue) -> None:
    greeted = Talk(wire_of(venue)).greeted
    if venue is BINANCE:
        assert greeted == []
    else:
        ((name, expires_ms, _),) = [one["args"] for one in greeted]
        assert (name, expires_ms) == (KEY.access, (WALL_NS + WINDOW_NS) // NS_PER_MS)


def test_the_key_of_an_opening_is_sixteen_bytes_of_chance() -> None:
    (key,) = [line for line in wire_of(BYBIT).reader().begin(WALL_NS).split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")]
    assert len(base64.b64decode(key.partition(b":")[2])) == 16  # RFC 6455, 4.1


@both
def test_what_keeps_a_connection_alive_is_said_as_the_venue_wants_it(venue: Venue) -> None:
    talk = Talk(wire_of(venue))
    assert talk.told(talk.reader.beat()) == (["ping"] if venue is BINANCE else [{"op": "ping"}])


def said_of(venue: Venue, frame: bytes, used: int) -> dict[str, Any]:
    """The answer to a placement or cancel that was taken, with so many units of its limit used."""
    asked = json.loads(frame)
    if venue is BYBIT:
        header = {"X-Bapi-Limit": "10", "X-Bapi-Limit-Status": str(10 - used)}
        return {"reqId": asked["reqId"], "retCode": 0, "op": asked["op"], "data": {"orderId": "13", "orderLinkId": ID}, "header": header}
    result = json.loads((venue.taken(ID) if asked["method"] == "order.place" else venue.ended(ID)).body)
    limits = [
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300, "count": used},
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2_400, "count": used + 1},
    ]
    return {"id": asked["id"], "status": 200, "result": result, "rateLimits": limits}


@both
def test_an_answer_is_that_of_its_order_and_what_it_says_of_a_limit_is_kept(venue: Venue) -> None:
    wire = wire_of(venue)
    talk, meter = Talk(wire), Meter(metering_of(venue.name).limits, GATE)
    placement = wire.placement(intent(venue), SIGN_NS)
    cancel = wire.cancellation([ToCancel(ID, venue.symbol)], 1, SIGN_NS)
    assert wire.body(placement) == placement, "what is hashed of it is what the venue reads"
    heard = []
    for number, frame, used, spend in ((7, placement, 4, Spend.PLACE), (8, cancel.frame, 6, Spend.LOWER)):
        talk.reader.expect(number, frame)
        (said,) = talk.reader.feed(talk.said(said_of(venue, frame, used)))
        assert said.number == number
        wire.count(meter, spend, said.answer, asked_ns=1, now_ns=NS_PER_S)
        heard.append(said.answer)
    used_now = {name: used for name, (used, _) in meter.standing(NS_PER_S).items() if used}
    assert used_now == ({"orders": 6, "weight": 7} if venue is BINANCE else {"create": 4, "cancel": 6})
    placed = wire.answered(heard[0], ID, 0, BOOT_NS)
    assert isinstance(placed, r.Answered)
    assert placed.venue_order_id == "13"
    (ended,) = wire.cancels_answered(heard[1], [ID], BOOT_NS)
    assert (ended.client_id, ended.accepted) == (ID, True)


def test_several_cancels_in_one_request_count_each_and_once_as_one_of_the_sockets() -> None:
    wire = wire_of(BYBIT)
    several = wire.cancellation([ToCancel(one, BYBIT.symbol) for one in (ID, OTHER)], 1, SIGN_NS)
    assert several.cost == {"cancel-batch": 2, "socket": 1}
