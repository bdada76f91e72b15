"""What the fake saw, in lines that outlive it: one for every request frame, written before the frame has any effect or answer.

`witness.jsonl` holds the requests of all venues, `truth.jsonl` what they led to (orders, executions, ledger). A line is one write to an
append-only descriptor, so that killing the process loses none that was written and tears at most the one being written.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from interlock.domain.clock import Clock
from interlock.domain.errors import DamagedState
from interlock.venues.fake.wire import Amend, AnyRequest, NewOrder, Place, PlaceBatch, body_hash, class_of, ids_of, verb_of

Sink = Callable[[bytes], None]
_BATCHES = frozenset({"place_batch", "cancel_batch"})


class Witness:
    """Writes lines with the time of both clocks; never reads them."""

    def __init__(self, clock: Clock, requests: Sink, truth: Sink) -> None:
        self._clock = clock
        self._requests = requests
        self._truth = truth

    def request(self, venue: str, connection: str, frame: bytes, request: AnyRequest | None, received: int | None = None) -> None:
        """Write the line of one frame. `request` is None for bytes that are none: their class is the worst.

        `received` says how many bytes counted as arrived, where that is not all.
        """
        verb = "unreadable" if request is None else verb_of(request)
        ids = () if request is None else ids_of(request)
        single = verb not in _BATCHES and len(ids) == 1
        line = {
            **self._head(venue),
            "connection": connection,
            "verb": verb,
            "class": class_of(verb).value,
            "client_id": ids[0][0] if single else "",
            "revision": ids[0][1] if single else 0,
            "body_hash": body_hash(frame),
            "bytes": len(frame),
            "received": len(frame) if received is None else min(received, len(frame)),
            "children": [] if single else [list(pair) for pair in ids],
            "orders": _orders(request),
        }
        self._requests(msgspec.json.encode(line) + b"\n")

    def truth(self, venue: str, what: str, message: msgspec.Struct) -> None:
        """Write what really happened, whatever anybody is told."""
        self._truth(msgspec.json.encode({**self._head(venue), "what": what, "is": message}) + b"\n")

    def _head(self, venue: str) -> dict[str, Any]:
        return {"wall_ns": self._clock.now_ns(), "monotonic_ns": self._clock.monotonic_ns(), "venue": venue}


def _orders(request: AnyRequest | None) -> list[NewOrder | dict[str, int]]:
    """What a request asks for, for a checker that works out exposure."""
    match request:
        case Place():
            return [request.order]
        case PlaceBatch():
            return list(request.orders)
        case Amend():
            return [{"ticks": request.ticks, "lots": request.lots}]
    return []


class LineFile:
    """An append-only file of lines.

    A torn last line of an earlier life is cut off: its frame had no effect yet, because the line comes first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):
                os.truncate(path, data.rfind(b"\n") + 1)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, line: bytes) -> None:
        """Append one line, whole. Raises OSError when it does not fit: a fake without a witness must not go on."""
        written = os.write(self._fd, line)
        if written != len(line):
            raise OSError(f"{self.path}: expected to write {len(line)} bytes, wrote {written}; make room on the disk")

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a witness, oldest first, without a torn last one. Raises DamagedState for a line that is none."""
    lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            found.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError as error:
            raise DamagedState(f"{path}, line {number}: expected one JSON object, found {line[:60]!r} ({error})") from error
    return found
