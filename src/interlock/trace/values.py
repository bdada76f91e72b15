"""What passes between the parts of the checker: one record with its place, and one finding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Fields = dict[str, Any]
"""A record as it was decoded: plain maps, lists, text and integers."""
Key = tuple[str, int]
"""(client id, revision): the identity of a send."""


class Entry(NamedTuple):
    """One record of the journal and where it stands. `incarnation` is its writer's, hexadecimal; empty where that cannot be told.

    `schema` is that of the segment it stands in; 0 where a segment may repeat what an older writer left.
    """

    lsn: int
    batch: int
    incarnation: str
    kind: str
    fields: Fields
    schema: int

    @property
    def boot_ns(self) -> int:
        """When it was made, on the host's clock of durations."""
        return int(self.fields["boot_ns"])

    @property
    def key(self) -> Key:
        """(client id, revision) of a record that has both."""
        return (self.fields["client_id"], self.fields["revision"])


@dataclass(frozen=True, slots=True)
class Finding:
    """A violated invariant, where, and in words. Exactly one of `lsn` and `witness_line` is not 0, except for what is missing altogether."""

    invariant: str
    sentence: str
    lsn: int = 0
    witness_line: int = 0

    def __str__(self) -> str:
        place = f"record {self.lsn}" if self.lsn else f"witness line {self.witness_line}" if self.witness_line else "the whole trace"
        return f"{self.invariant}, {place}: {self.sentence}"
