"""What the simulated venues saw: a line for every request that carried a key, written before it has any effect, and raw bytes beside it.

The lines are those of the gate's witness (docs/gate.md), so that the same checker reads them. `truth` lines tell what truly happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from interlock.domain.clock import Clock

Sink = Callable[[bytes], None]


class VerbClass(StrEnum):
    """What a request can do to risk."""

    RAISING = "RISK+"
    LOWERING = "RISK-"
    READING = "READ"


_CLASSES: Final[Mapping[str, VerbClass]] = {
    "cancel": VerbClass.LOWERING,
    "cancel_batch": VerbClass.LOWERING,
    "cancel_all": VerbClass.LOWERING,
    "heartbeat": VerbClass.LOWERING,
    "read": VerbClass.READING,
    "subscribe": VerbClass.READING,
    "auth": VerbClass.READING,
    "listen_key": VerbClass.READING,
}


def class_of(verb: str) -> VerbClass:
    """The class of a verb; what is not known to lower or read raises."""
    return _CLASSES.get(verb, VerbClass.RAISING)


class Witness:
    """Writes lines with the time of both clocks; never reads them. `raw` is told every byte that came and went, with its connection."""

    def __init__(self, clock: Clock, requests: Sink, truth: Sink, raw: Sink) -> None:
        self._clock = clock
        self._requests = requests
        self._truth = truth
        self._raw = raw

    def request(
        self,
        venue: str,
        connection: str,
        verb: str,
        body: bytes,
        *,
        ids: Sequence[tuple[str, int]] = (),
        orders: Sequence[Mapping[str, Any]] = (),
        target: str = "",
    ) -> None:
        """Write the line of one request. `ids` are the client ids with revision that it names; `body` all that is signed."""
        single = len(ids) == 1
        line = {
            **self._head(venue),
            "connection": connection,
            "verb": verb,
            "class": class_of(verb).value,
            "client_id": ids[0][0] if single else "",
            "revision": ids[0][1] if single else 0,
            "body_hash": hashlib.sha256(body).hexdigest(),
            "bytes": len(body),
            "received": len(body),
            "children": [] if single else [list(pair) for pair in ids],
            "orders": list(orders),
            "target": target,
        }
        self._requests(msgspec.json.encode(line) + b"\n")

    def truth(self, venue: str, what: str, content: Mapping[str, Any]) -> None:
        """Write what really happened, whatever anybody is told."""
        self._truth(msgspec.json.encode({**self._head(venue), "what": what, "is": content}) + b"\n")

    def raw(self, venue: str, connection: str, direction: str, data: bytes) -> None:
        """Keep bytes as they came (`in`) or went (`out`)."""
        line = {"wall_ns": self._clock.now_ns(), "venue": venue, "connection": connection, "direction": direction, "bytes": data}
        self._raw(msgspec.json.encode(line) + b"\n")

    def _head(self, venue: str) -> dict[str, Any]:
        return {"wall_ns": self._clock.now_ns(), "monotonic_ns": self._clock.monotonic_ns(), "venue": venue}
