"""How one venue is told of orders and what it answers, as data: the port behind which egress knows no venue's messages.

Nothing here sends, waits or decides. An answer is whatever the venue's reader makes of bytes; only the wire that belongs to it looks inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from interlock.gate.readings import Wire
from interlock.gate.records import CancelAnswered, Record
from interlock.venues.budget import Cost, Meter, Spend


class AnswerTrouble(Exception):
    """What came is no answer to what was asked; the connection that it came on is good for nothing more."""


class ToCancel(NamedTuple):
    """An order that is to be ended."""

    client_id: str
    symbol: str


class Cancellation(NamedTuple):
    """The frame that asks to end some orders, and what it uses of the venue's limits."""

    frame: bytes
    cost: Cost


class Said(NamedTuple):
    """The answer to the request of that number."""

    number: int
    answer: object


class AnswerReader(Protocol):
    """The answers of one connection, from its bytes. One that was not asked for is left out: it proves nothing that the stream does not tell."""

    at_once: int
    """How many requests may be under way on the connection; 0: any number."""

    @property
    def keeps(self) -> bool:
        """Whether more may be asked on the connection; once False, it stays so."""
        ...

    def expect(self, number: int, frame: bytes) -> None:
        """A request of this number goes out, in this frame."""
        ...

    def feed(self, data: bytes) -> Sequence[Said]:
        """Take bytes that arrived, at least one; what was answered with them, in order. Raises AnswerTrouble."""
        ...


class OrderWire(Wire, Protocol):
    """One account at one venue: what goes out, what it costs, what answers mean. Pure; the port is total for every intent without `objection`."""

    connections: int
    """How many connections are kept for placements, and as many for cancels."""
    idle_ns: int
    """A connection on which nothing went for so long is not used for an order any more: the venue may be closing it. 0: for ever."""
    cancels_at_once: int
    """Orders of one symbol that one request can end."""
    placement_cost: Cost
    """What a placement or an amend uses of the venue's limits."""

    def number(self, client_id: str, revision: int) -> int:
        """The number of the request that writes one (client id, revision); at most one bears it."""
        ...

    def cancellation(self, orders: Sequence[ToCancel], number: int, sign_wall_ns: int) -> Cancellation:
        """Ask to end orders of one symbol, at most `cancels_at_once`; it may be asked as often as it takes."""
        ...

    def reader(self) -> AnswerReader:
        """A reader for a new connection."""
        ...

    def answered(self, answer: object, client_id: str, revision: int, boot_ns: int) -> Record:
        """What the answer to a placement or amend says: accepted, refused by the venue's definitive list, or of unknown outcome."""
        ...

    def cancels_answered(self, answer: object, client_ids: Sequence[str], boot_ns: int) -> Sequence[CancelAnswered]:
        """What the answer to a cancellation says of each; it is never the end of an order."""
        ...

    def count(self, meter: Meter, spend: Spend, answer: object, *, asked_ns: int, now_ns: int) -> None:
        """Tell a meter what an answer says of the venue's limits, and whether it is a refusal because of the rate."""
        ...
