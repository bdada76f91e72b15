"""A record out of the journal, or the error that says which one cannot be read, and in which file it stands.

The journal's own checks are over bytes: a batch can be whole, its checksum and the chain right, and a record in it none that we know, because a
defect wrote it or somebody made the file anew. What cannot be read cannot be folded either, and nobody may go on from there.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from interlock.domain.errors import DamagedState
from interlock.gate.journal import Disk
from interlock.gate.journal.segments import find_segments
from interlock.gate.journal.snapshots import place_of
from interlock.gate.records import SCHEMA, AnyRecord, decode


def read_record(disk: Disk, directory: Path, lsn: int, payload: bytes) -> AnyRecord:
    """Record `lsn` of the journal in `directory`, from the bytes that the journal gave. Raises DamagedState, naming file and record, for others."""
    try:
        return decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        places = find_segments(disk, directory)
        at = place_of(places, lsn)
        where = directory if at is None else places[at].path
        raise DamagedState(
            f"{where}, record {lsn}: expected a record of schema {SCHEMA} or before, found {len(payload)} other bytes ({error}); read it with the "
            "interlock that wrote it, or restore the journal from a copy, and keep this folder as it is for the examination"
        ) from error
