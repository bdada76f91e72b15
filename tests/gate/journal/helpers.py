"""Small journals on a fake disk, written without threads so that every step has a number."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.gate.disks import FakeDisk, FakeFile, Inode

from interlock.gate.journal import Options, Recovered, SnapshotFile, recover, write_snapshot
from interlock.gate.journal.format import SegmentHeader, encode_header
from interlock.gate.journal.segments import segment_name
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


class WatchedFile(FakeFile):
    """A file whose reads are noted, and of which it is known whether somebody let go of it."""

    def __init__(self, disk: Watched, inode: Inode, path: Path) -> None:
        super().__init__(disk, inode)
        self._watched = disk
        self.path = path

    @property
    def closed(self) -> bool:
        return self._closed

    def read(self, size: int, offset: int) -> bytes:
        self._watched.reads.append((self.path, size, offset))
        return super().read(size, offset)


class Watched(FakeDisk):
    """Knows every file that was opened or made, in order, and every read."""

    def __init__(self) -> None:
        super().__init__()
        self.held: list[WatchedFile] = []
        self.reads: list[tuple[Path, int, int]] = []

    def open(self, path: Path) -> FakeFile:
        super().open(path)
        return self._watch(path)

    def create(self, path: Path) -> FakeFile:
        super().create(path)
        return self._watch(path)

    def _watch(self, path: Path) -> WatchedFile:
        file = WatchedFile(self, self.files[path], path)
        self.held.append(file)
        return file

    def left_open(self) -> list[Path]:
        return [file.path for file in self.held if not file.closed]


def made(*images: bytes, first_lsn: int = 1, length: int = SMALL.segment_bytes, disk: FakeDisk | None = None) -> FakeDisk:
    """A journal with a segment of batches that a writer would not have written."""
    disk = disk or FakeDisk()
    disk.make_directory(FOLDER)
    header = SegmentHeader(first_lsn, 1, bytes(16), bytes(32), length, SCHEMA)
    content = (encode_header(header) + b"".join(images)).ljust(length, b"\0")
    assert len(content) == length
    disk.files[FOLDER / segment_name(first_lsn)] = Inode(bytearray(content), size=length)
    return disk


def forged(image: bytes, at: int, what: bytes) -> bytes:
    """A batch with another header, and the checksum that belongs to it."""
    length = struct.unpack_from("<I", image, 28)[0]
    head = bytearray(image[:96])
    head[at : at + len(what)] = what
    body = image[100 : 100 + length]
    return bytes(head) + struct.pack("<I", zlib.crc32(body, zlib.crc32(bytes(head)))) + image[100:]
