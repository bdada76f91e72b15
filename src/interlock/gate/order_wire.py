"""How one venue is told of orders and what it answers, as data: the port behind which egress knows no venue's messages.

Nothing here sends, waits or decides. An answer is whatever the venue's reader makes of bytes; only the wire that belongs to it looks inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    """What is said on one connection: how a frame goes out, and the answers in the bytes that come. An answer that was not asked for proves nothing
    that the stream does not tell: it is left out, or is trouble."""

    at_once: int
    """How many requests may be under way on the connection; 0: any number."""
    beat_every_ns: int
    """How often something is said to keep it alive, whatever else is; 0: never."""
    lives_ns: int
    """After so long another connection takes its place; 0: never."""

    @property
    def ready(self) -> bool:
        """Whether requests may be asked yet; once True, it stays so."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether more may be asked on the connection; once False, it stays so. What is under way may still be answered."""
        ...

    def begin(self, wall_ns: int) -> bytes:
        """What is said first, on a connection that was made at that time; empty if nothing is."""
        ...

    def wrap(self, frame: bytes) -> bytes:
        """The bytes in which one frame of the wire goes out; whether they are sent is another matter."""
        ...

    def expect(self, number: int, frame: bytes) -> None:
        """A request of this number goes out, in this frame."""
        ...

    def feed(self, data: bytes) -> Iterable[Said]:
        """Take bytes that arrived, at least one; what was answered with them, in order. Raises AnswerTrouble, after what came before it."""
        ...

    def due(self) -> bytes:
        """What must be sent because of what arrived; it is told once."""
        ...

    def beat(self) -> bytes:
        """What keeps the connection alive."""
        ...


class Unwrapped:
    """The parts of an `AnswerReader` of a connection that needs no beginning and no care: frames go out as they are."""

    beat_every_ns = 0
    lives_ns = 0
    ready = True

    def begin(self, wall_ns: int) -> bytes:
        """Nothing."""
        return b""

    def wrap(self, frame: bytes) -> bytes:
        """The frame itself."""
        return frame

    def due(self) -> bytes:
        """Nothing."""
        return b""

    def beat(self) -> bytes:
        """Nothing."""
        return b""


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
    connection_cost: Cost
    """What a new connection uses of them."""

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
