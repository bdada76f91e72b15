"""A record that cannot be read is named with its file and number, whatever its bytes are; one that can is given as it was written."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from interlock.domain.errors import DamagedState
from interlock.gate import records as r
from interlock.gate.journal import Options, SystemDisk, open_journal, recover
from interlock.gate.journal.segments import find_segments
from interlock.gate.record_reading import read_record

SMALL = Options(segment_bytes=16 << 10, batch_bytes=2 << 10, reserve_bytes=0)
TICK = r.Tick(boot_ns=1, wall_ns=2)
NO_RECORDS = {
    "no msgpack": b"\xc1",
    "nothing": b"",
    "cut off": r.encode(TICK)[:-1],
    "a list": msgspec.msgpack.encode([1]),
    "another kind": msgspec.msgpack.encode({"k": "tock", "boot_ns": 1}),
    "another field": msgspec.msgpack.encode({"k": "tick", "boot_ns": 1, "wall_ns": 2, "moon_ns": 3}),
    "another type": msgspec.msgpack.encode({"k": "tick", "boot_ns": "1", "wall_ns": 2}),
    "no text": b"\x83\xa1k\xa4tick\xa7boot_ns\x01\xa7wall_n\xff\x02",
}


@pytest.mark.parametrize("payload", NO_RECORDS.values(), ids=NO_RECORDS)
def test_bytes_that_are_no_record_are_named_with_file_and_number(payload: bytes, tmp_path: Path) -> None:
    """With the others of its journal, which are read; the batch is whole and the chain right."""
    folder, disk = tmp_path / "j", SystemDisk()
    for life in (1, 2):  # a segment each
        journal, _ = open_journal(disk, folder, schema=r.SCHEMA, incarnation=bytes([life]) * 16, options=SMALL)
        journal.commit(r.encode(TICK))
        if life == 2:
            journal.commit(payload)
        journal.close()
    found: list[r.AnyRecord] = []
    with pytest.raises(DamagedState) as refused:
        recover(disk, folder, schema=r.SCHEMA, consume=lambda lsn, data: found.append(read_record(disk, folder, lsn, data)))
    assert found == [TICK, TICK]
    assert str(refused.value).startswith(f"{find_segments(disk, folder)[-1].path}, record 3: expected a record of schema {r.SCHEMA} ")
    assert "restore the journal from a copy" in str(refused.value)
