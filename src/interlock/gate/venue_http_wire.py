"""How the gate's orders are written to a real venue over HTTP: an order is one signed request, one frame."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from interlock.domain.clock import NS_PER_S
from interlock.gate.order_wire import AnswerTrouble, Said, Unwrapped
from interlock.gate.venue_wire import VenueWire
from interlock.venues.budget import Cost
from interlock.venues.http_wire import Answers, HttpTrouble, frame_of
from interlock.venues.port import Ask, Stamp

IDLE_NS: Final = 20 * NS_PER_S
"""Venues close a connection on which nothing is asked; what is written into that moment would be of unknown outcome."""


class HttpAnswers(Unwrapped):
    """The answers of one connection (`AnswerReader`): one request is under way at a time."""

    at_once = 1

    def __init__(self) -> None:
        self._answers = Answers()
        self._number = 0
        self._asked = b""

    @property
    def keeps(self) -> bool:
        """Whether more may be asked on the connection."""
        return self._answers.keeps

    def expect(self, number: int, frame: bytes) -> None:
        """A request of this number goes out."""
        line = frame[: frame.index(b" HTTP/1.1\r\n")]
        self._answers.expect(line.partition(b" ")[0].decode("ascii"))
        self._number, self._asked = number, line.partition(b"?")[0]

    def feed(self, data: bytes) -> list[Said]:
        """Take bytes that arrived; the answer once it is whole. Raises AnswerTrouble."""
        try:
            heard = self._answers.feed(data)
        except HttpTrouble as error:
            raise AnswerTrouble(str(error)) from error
        return [] if heard is None else [Said(self._number, (self._asked, heard))]


class HttpOrderWire(VenueWire):
    """One account at one venue (`OrderWire`). `key` signs; `endpoint` is where requests go, and stands in them."""

    idle_ns = IDLE_NS
    connection_cost: Cost = MappingProxyType({})

    def reader(self) -> HttpAnswers:
        """A reader for a new connection."""
        return HttpAnswers()

    def body(self, frame: bytes) -> bytes:
        """The target of the request and its body, which the simulators' witness hashes: every venue takes the whole order from these."""
        target = frame[: frame.index(b" HTTP/1.1\r\n")].partition(b" ")[2]
        return target + b"\n" + frame.partition(b"\r\n\r\n")[2]

    def _written(self, asked: Ask, stamp: Stamp) -> tuple[bytes, bytes]:
        name = f"{asked.call.method.value} {asked.call.path}".encode()
        return frame_of(self._verbs.sign(self._key, asked, stamp), self._host), name
