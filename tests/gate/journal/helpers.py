"""Small journals on a fake disk, written without threads so that every step has a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tests.gate.disks import FakeDisk

from interlock.gate.journal import Options, Recovered, SnapshotFile, recover, write_snapshot
from interlock.gate.journal.writer import SegmentWriter

FOLDER = Path("journal")
SMALL = Options(segment_bytes=8 * 512, batch_bytes=2 * 512, reserve_bytes=512)
SCHEMA = 1


def payload(number: int) -> bytes:
    """A record of its own content; lengths from nothing to more than a block."""
    return (f"{number}:".encode() * 300)[: (number * 131) % 700]


def begin(disk: FakeDisk, who: bytes = b"a") -> SegmentWriter:
    disk.make_directory(FOLDER)
    return SegmentWriter(disk, FOLDER, SMALL, schema=SCHEMA, incarnation=who * 16, found=read(disk)[0])


def read(disk: FakeDisk) -> tuple[Recovered, list[bytes]]:
    """What recovery finds, numbered as it says."""
    got: list[bytes] = []

    def consume(lsn: int, record: bytes) -> None:
        assert lsn == len(got) + 1
        got.append(record)

    return recover(disk, FOLDER, schema=SCHEMA, consume=consume), got


def write(writer: SegmentWriter, records: Sequence[bytes], durable: Callable[[int], None] = lambda lsn: None) -> None:
    """Batch after batch, each synced before the next; `durable` hears of every barrier."""
    left = list(records)
    while left:
        count = writer.fitting(left)
        rolled = writer.write(left[:count])
        writer.sync()
        durable(writer.mark.lsn)
        left = left[count:]
        if rolled:
            writer.prepare()


def journal(records: int, *, seal: bool = False, disk: FakeDisk | None = None) -> FakeDisk:
    """A journal of that many records, one batch each."""
    disk = disk or FakeDisk()
    writer = begin(disk)
    for number in range(records):
        write(writer, [payload(number)])
    if seal:
        writer.seal()
    writer.close()
    return disk


def snapshot(disk: FakeDisk, found: Recovered, blob: bytes = b"state") -> None:
    write_snapshot(disk, FOLDER, SnapshotFile(found.mark, SCHEMA, bytes(32), blob))


def file(disk: FakeDisk, index: int = -1) -> Path:
    """The name of one of the segments, in order."""
    return sorted(path for path in disk.files if path.suffix == ".seg")[index]


def flip(disk: FakeDisk, path: Path, offset: int, mask: int = 1) -> None:
    disk.files[path].durable[offset] ^= mask
