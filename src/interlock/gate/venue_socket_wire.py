"""How the gate's orders are written to a real venue over its WebSocket: an order is one message of JSON, one frame, written once.

Many requests may be under way on a connection; an answer belongs to the request whose id it bears, and one whose id was not asked for ends the
connection, because nothing more that it says can be trusted. Where the venue wants a proof at the beginning, it is given and answered before the
first request. Once the venue has said that it ends the connection nothing new goes out, and what is under way may be answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from interlock.domain.clock import NS_PER_MS, NS_PER_S
from interlock.domain.errors import UsageError
from interlock.gate.order_wire import AnswerTrouble, Said
from interlock.gate.venue_wire import VenueWire
from interlock.gate.web_socket import KEY_BYTES, MASK_BYTES, Incoming, Opcode, SocketTrouble, Upgrade, frame_of
from interlock.venues.binance_usdm import budgets as binance_budgets
from interlock.venues.binance_usdm import socket_entry as binance
from interlock.venues.binance_usdm.wire import SHUTDOWN
from interlock.venues.budget import Cost, Limit
from interlock.venues.bybit import budgets as bybit_budgets
from interlock.venues.bybit import socket_entry as bybit
from interlock.venues.endpoint import Endpoint
from interlock.venues.port import Ask, Heard, OrderVerbs, Stamp
from interlock.venues.request import Key

BEAT_EVERY_NS: Final = 20 * NS_PER_S
"""Bybit asks for it (docs, "WebSocket connect"); Binance lets a client ping, up to 5 times a second."""
IDLE_NS: Final = 50 * NS_PER_S
"""Two beats without an answer: nobody listens any more."""
CONNECTIONS: Final = Limit("connections", 150, 300 * NS_PER_S, alone=True)
"""Our own, half of what the stricter venue lets one address try: one that lets nobody in must not lock us out besides."""

Chance = Callable[[int], bytes]
"""So many bytes that nobody can foresee, at most 16."""


class _Replied(Protocol):
    """What a venue's `socket_entry.take` makes of a message."""

    @property
    def what(self) -> str: ...

    @property
    def request_id(self) -> str: ...

    @property
    def heard(self) -> Heard | None: ...

    @property
    def over(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Speech:
    """What differs between the venues' sockets. `greeting` is None where each request is signed, `ping` is empty where the protocol's serves.

    `most` is how many orders one cancel names; `costs` are what a request takes beside the budget of its own, `handshake` what a connection does.
    """

    path: str
    lives_ns: int
    most: int
    frame: Callable[[Key, Ask, Stamp], bytes]
    take: Callable[[bytes], _Replied]
    greeting: Callable[[Key, Stamp], bytes] | None
    ping: bytes
    handshake: Mapping[str, int]
    costs: Mapping[str, int]


_SPEECHES: Final[Mapping[str, _Speech]] = {
    "binance_usdm": _Speech(
        path=binance.PATH,
        lives_ns=round(binance.LIVES_S) * NS_PER_S,
        most=1,
        frame=binance.frame,
        take=binance.take,
        greeting=None,
        ping=b"",
        handshake={binance_budgets.WEIGHT: binance.HANDSHAKE_WEIGHT},
        costs={},
    ),
    "bybit": _Speech(
        path=bybit.PATH,
        lives_ns=0,
        most=10,
        frame=lambda _, asked, stamp: bybit.frame(asked, stamp),
        take=bybit.take,
        greeting=bybit.greeting,
        ping=bybit.ping(),
        handshake={},
        costs={bybit_budgets.SOCKET: 1},
    ),
}

VENUES: Final = frozenset(_SPEECHES)
"""The venues that take orders over a socket."""


class _Named(msgspec.Struct, frozen=True, gc=False):
    """What of a request of ours its answer is known by, in either venue's words."""

    id: str = ""
    reqId: str = ""
    method: str = ""
    op: str = ""


_named = msgspec.json.Decoder(_Named).decode


class SocketAnswers:
    """One connection (`AnswerReader`): its beginning, its requests as frames, its answers. `greeting` makes the proof of that time; None: none is
    wanted."""

    at_once = 0
    beat_every_ns = BEAT_EVERY_NS

    def __init__(self, speech: _Speech, host: str, greeting: Callable[[int], bytes] | None, chance: Chance) -> None:
        self.lives_ns = speech.lives_ns
        self._speech = speech
        self._greeting = greeting
        self._chance = chance
        upgrade = Upgrade(host, speech.path, chance(KEY_BYTES))
        self._opening = upgrade.request
        self._upgrade: Upgrade | None = upgrade
        self._incoming = Incoming()
        self._began_wall_ns = 0
        self._ready = False
        self._over = False
        self._asked: dict[str, tuple[int, bytes]] = {}
        self._due = bytearray()

    @property
    def ready(self) -> bool:
        """Whether the venue has let us in."""
        return self._ready

    @property
    def keeps(self) -> bool:
        """Whether more may be asked on the connection."""
        return not self._over

    def begin(self, wall_ns: int) -> bytes:
        """The request that opens the socket."""
        self._began_wall_ns = wall_ns
        return self._opening

    def wrap(self, frame: bytes) -> bytes:
        """A message as one frame, masked anew."""
        return frame_of(Opcode.TEXT, frame, self._chance(MASK_BYTES))

    def expect(self, number: int, frame: bytes) -> None:
        """A request of this number goes out."""
        named = _named(frame)
        self._asked[named.id or named.reqId] = (number, (named.method or named.op).encode())

    def due(self) -> bytes:
        """Answers to pings, and the greeting."""
        found, self._due = bytes(self._due), bytearray()
        return found

    def beat(self) -> bytes:
        """A ping, as the venue wants it."""
        return self.wrap(self._speech.ping) if self._speech.ping else frame_of(Opcode.PING, b"", self._chance(MASK_BYTES))

    def feed(self, data: bytes) -> Iterator[Said]:
        """Take bytes that arrived; what was answered with them. Raises AnswerTrouble."""
        try:
            if self._upgrade is not None:
                rest = self._upgrade.take(data)
                if rest is None:
                    return
                self._upgrade, data = None, rest
                self._greet()
            for came in self._incoming.feed(data):
                if came.opcode is Opcode.CLOSE:
                    code = int.from_bytes(came.payload[:2])
                    raise AnswerTrouble(f"the venue closed it ({code or 'without a code'})")
                if came.opcode is Opcode.PING:
                    self._due += frame_of(Opcode.PONG, came.payload, self._chance(MASK_BYTES))
                elif came.opcode is not Opcode.PONG:
                    yield from self._take(came.payload)
        except SocketTrouble as error:
            raise AnswerTrouble(str(error)) from error

    def _greet(self) -> None:
        if self._greeting is None:
            self._ready = True
        else:
            self._due += self.wrap(self._greeting(self._began_wall_ns))

    def _take(self, message: bytes) -> Iterator[Said]:
        replied = self._speech.take(message)
        if replied.what == "greeted":
            self._ready = True
        elif replied.what == SHUTDOWN:
            self._over = True
        elif replied.heard is not None:
            asked = self._asked.pop(replied.request_id, None)
            if asked is None:
                raise AnswerTrouble(f"an answer to {replied.request_id[:40]!r}, which nobody asked or which was answered before")
            self._over = self._over or replied.over
            yield Said(asked[0], (asked[1], replied.heard))
        elif replied.over:
            raise AnswerTrouble(replied.what)


class SocketOrderWire(VenueWire):
    """One account at one venue (`OrderWire`). `key` signs; `endpoint` is where the socket is, and stands in its opening; `chance` makes masks.

    Raises UsageError for a venue that takes no orders over a socket.
    """

    idle_ns = IDLE_NS

    def __init__(self, venue: str, verbs: OrderVerbs, key: Key, endpoint: Endpoint, receive_window_ns: int, chance: Chance) -> None:
        if venue not in _SPEECHES:
            raise UsageError(f"{venue}: expected a venue that takes orders over a socket ({', '.join(sorted(VENUES))}); send them by REST")
        self._speech = _SPEECHES[venue]
        super().__init__(venue, verbs, key, endpoint, receive_window_ns)
        self._chance = chance
        self.cancels_at_once = self._speech.most
        self.connection_cost: Cost = {**self._speech.handshake, CONNECTIONS.name: 1}

    def reader(self) -> SocketAnswers:
        """A reader for a new connection."""
        greet = self._speech.greeting

        def greeting(wall_ns: int) -> bytes:
            assert greet is not None
            return greet(self._key, Stamp(wall_ns // NS_PER_MS, "", self._window_ns // NS_PER_MS))

        return SocketAnswers(self._speech, self._host, None if greet is None else greeting, self._chance)

    def body(self, frame: bytes) -> bytes:
        """The whole message: it is what is signed for, and what the simulators' witness hashes."""
        return frame

    def _cost(self, asked: Ask) -> Cost:
        # A request over the socket is none of HTTP, and counts as one of the socket's own where the venue tells them apart.
        whole = {name: units for name, units in super()._cost(asked).items() if name != bybit_budgets.IP}
        return {**whole, **self._speech.costs}

    def _written(self, asked: Ask, stamp: Stamp) -> tuple[bytes, bytes]:
        frame = self._speech.frame(self._key, asked, stamp)
        named = _named(frame)
        return frame, (named.method or named.op).encode()
