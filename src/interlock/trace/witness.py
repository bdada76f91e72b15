"""The venue's own account: a line for each request that reached it, and a line for each thing that really happened there.

Both files are lines of JSON that grow at the end. A line that is still being written is left for the next time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from interlock.domain.errors import DamagedState
from interlock.trace.values import Key

T = TypeVar("T")


class Asked(msgspec.Struct, frozen=True):
    """What a request asked for; an amend names price and size only. `tick` is the price of one of its ticks, decimal text, where it says that."""

    ticks: int
    lots: int
    symbol: str = ""
    side: int = 0
    tick: str = ""


class Line(msgspec.Struct, frozen=True):
    """One request as the venue saw it. `class_` of anything but RISK- and READ counts as raising risk."""

    wall_ns: int
    venue: str
    verb: str
    class_: str = msgspec.field(name="class")
    client_id: str
    revision: int
    body_hash: str
    children: list[tuple[str, int]] = []
    orders: list[Asked] = []

    @property
    def raising(self) -> bool:
        """Whether it can raise exposure."""
        return self.class_ not in ("RISK-", "READ")

    @property
    def keys(self) -> list[Key]:
        """The sends in it; none for bytes that were no request."""
        return list(self.children) or ([(self.client_id, self.revision)] if self.client_id else [])


class Execution(msgspec.Struct, frozen=True):
    """One execution at the venue, or with `reversed` its taking back; `tick` as for what was asked."""

    trade_id: str
    client_id: str
    symbol: str
    side: int
    ticks: int
    lots: int
    venue_ns: int
    reversed: bool = False
    tick: str = ""


class Truth(msgspec.Struct, frozen=True):
    """One thing that happened at a venue; `is_` is read where it is an execution."""

    venue: str
    what: str
    is_: msgspec.Raw = msgspec.field(name="is")


class LineReader:
    """The lines of a file that were added since the last call, each with its number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self.number = 0

    @property
    def missing(self) -> bool:
        """Whether there is no such file."""
        return not self.path.is_file()

    def poll(self) -> list[tuple[int, bytes]]:
        """(number, line) of every whole line that came; nothing while the file is missing."""
        if self.missing:
            return []
        with self.path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        found = []
        for line in whole.split(b"\n")[:-1]:
            self.number += 1
            found.append((self.number, line))
        return found


def read_line(path: Path, number: int, line: bytes) -> Line:
    """A line of the witness. Raises DamagedState for one that is none."""
    return _decode(path, number, line, Line)


def read_execution(path: Path, number: int, line: bytes) -> tuple[str, Execution] | None:
    """(venue, execution), or None for a line about another thing. Raises DamagedState for one that is none."""
    truth = _decode(path, number, line, Truth)
    return (truth.venue, _decode(path, number, bytes(truth.is_), Execution)) if truth.what == "execution" else None


def _decode(path: Path, number: int, line: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise DamagedState(f"{path}, line {number}: expected one JSON object of a witness, found {line[:60]!r} ({error})") from error
