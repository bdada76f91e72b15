"""The bytes of the journal: segment header, batch, seal. Pure functions between bytes and values; docs/journal.md says the same in prose.

All integers are little-endian. A segment is a header of one block and then batches, each beginning on a block of its own, so that a new write
never touches a block that was synced before. Two checks stand in each batch: CRC-32 finds what a disk does by accident, and is what tells a
whole batch from a torn one; the chain, SHA-256 of the previous chain value and the payload, is the strong one, and binds all batches in order.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

BLOCK: Final = 512
FORMAT_VERSION: Final = 1
READER: Final = 1
"""What this reader can do; a segment names the least that it needs."""
GENESIS: Final = bytes(32)
"""The chain before the first batch."""

SEGMENT_MAGIC: Final = b"ILKJSEG\n"
BATCH_MAGIC: Final = b"ILKB"

_SEGMENT: Final = struct.Struct("<8sIII4xQQQ16s32s")
_BATCH: Final = struct.Struct("<4sIQQII32s32s")
_CRC: Final = struct.Struct("<I")
_SEAL: Final = struct.Struct("<Q32sQ32s")
_LENGTH: Final = struct.Struct("<I")

BATCH_HEADER: Final = _BATCH.size + _CRC.size
RECORD_HEADER: Final = _LENGTH.size
SEAL_BYTES: Final = BLOCK
"""What a seal takes on disk."""


class Mark(NamedTuple):
    """A place between two batches: the last record before it and the chain up to there."""

    lsn: int
    chain: bytes


START: Final = Mark(0, GENESIS)


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first block of a segment. `first_lsn`, `first_batch` and `chain` say where the segment before it ends; `length` is the file's."""

    first_lsn: int
    first_batch: int
    incarnation: bytes
    chain: bytes
    length: int
    schema: int
    min_reader: int = READER
    version: int = FORMAT_VERSION


class BatchKind(IntEnum):
    """What a batch holds."""

    RECORDS = 0
    SEAL = 1


class Batch(NamedTuple):
    """A batch whose checksum is right; whether it continues the chain is the reader's question. `image` is all of it, padded to whole blocks.

    `total` says how many records there are. `records` is empty for a seal, and for a payload that does not fall into records.
    """

    kind: int
    number: int
    first_lsn: int
    total: int
    previous: bytes
    chain: bytes
    payload: bytes
    records: Sequence[bytes]
    image: bytes


class Seal(NamedTuple):
    """The end of a segment that was closed in order. `snapshot_lsn` 0: no snapshot is known."""

    records: int
    chain: bytes
    snapshot_lsn: int = 0
    snapshot_state: bytes = GENESIS


def blocks(size: int) -> int:
    """`size` rounded up to whole blocks, bytes."""
    return -(-size // BLOCK) * BLOCK


def cost(payload: bytes) -> int:
    """Bytes that one record takes on disk at most, alone in its batch."""
    return blocks(BATCH_HEADER + RECORD_HEADER + len(payload))


def with_crc(head: bytes) -> bytes:
    """`head` as one block that ends with its own CRC-32."""
    padded = head.ljust(BLOCK - _CRC.size, b"\0")
    return padded + _CRC.pack(zlib.crc32(padded))


def crc_holds(block: bytes) -> bool:
    """Whether a block of `with_crc` is as it was written."""
    return len(block) == BLOCK and _CRC.pack(zlib.crc32(block[: -_CRC.size])) == block[-_CRC.size :]


def encode_header(header: SegmentHeader) -> bytes:
    """The first block of a segment."""
    return with_crc(
        _SEGMENT.pack(
            SEGMENT_MAGIC,
            header.version,
            header.schema,
            header.min_reader,
            header.first_lsn,
            header.first_batch,
            header.length,
            header.incarnation,
            header.chain,
        )
    )


def decode_header(block: bytes) -> SegmentHeader | None:
    """The header, whatever its version, or None if this is not one or it is damaged."""
    if not crc_holds(block):
        return None
    magic, version, schema, min_reader, first_lsn, first_batch, length, incarnation, chain = _SEGMENT.unpack_from(block)
    if magic != SEGMENT_MAGIC:
        return None
    return SegmentHeader(
        first_lsn=first_lsn,
        first_batch=first_batch,
        incarnation=incarnation,
        chain=chain,
        length=length,
        schema=schema,
        min_reader=min_reader,
        version=version,
    )


def next_chain(previous: bytes, payload: bytes) -> bytes:
    """The chain after a batch."""
    return hashlib.sha256(previous + payload).digest()


def _encode(kind: BatchKind, number: int, first_lsn: int, count: int, previous: bytes, chain: bytes, payload: bytes) -> bytes:
    head = _BATCH.pack(BATCH_MAGIC, kind, number, first_lsn, count, len(payload), previous, chain)
    image = head + _CRC.pack(zlib.crc32(payload, zlib.crc32(head))) + payload
    return image.ljust(blocks(len(image)), b"\0")


def encode_batch(number: int, first_lsn: int, previous: bytes, records: Sequence[bytes]) -> tuple[bytes, bytes]:
    """A batch of records in whole blocks, and the chain after it."""
    payload = b"".join([part for record in records for part in (_LENGTH.pack(len(record)), record)])
    chain = next_chain(previous, payload)
    return _encode(BatchKind.RECORDS, number, first_lsn, len(records), previous, chain, payload), chain


def encode_seal(number: int, next_lsn: int, seal: Seal) -> bytes:
    """The block that closes a segment. It holds no record and does not move the chain, so that losing it loses nothing."""
    return _encode(BatchKind.SEAL, number, next_lsn, 0, seal.chain, seal.chain, _SEAL.pack(*seal))


def batch_bytes(block: bytes) -> int:
    """What the batch that begins with this block says to take on disk; 0 if no batch begins here."""
    if len(block) < BLOCK or block[:4] != BATCH_MAGIC:
        return 0
    return blocks(BATCH_HEADER + int(_BATCH.unpack_from(block)[5]))


def decode_batch(image: bytes) -> Batch | None:
    """The batch at the beginning of `image`, or None if it is not whole."""
    size = batch_bytes(image[:BLOCK])
    if size == 0 or len(image) < size:
        return None
    _, kind, number, first_lsn, count, length, previous, chain = _BATCH.unpack_from(image)
    payload = image[BATCH_HEADER : BATCH_HEADER + length]
    (crc,) = _CRC.unpack_from(image, _BATCH.size)
    if zlib.crc32(payload, zlib.crc32(image[: _BATCH.size])) != crc:
        return None
    records = split_records(payload) if kind == BatchKind.RECORDS else ()
    return Batch(kind, number, first_lsn, count, previous, chain, payload, records, image[:size])


def split_records(payload: bytes) -> Sequence[bytes]:
    """The records of a payload, or none if it does not fall into records exactly."""
    found = []
    at, end = 0, len(payload)
    while at + RECORD_HEADER <= end:
        (length,) = _LENGTH.unpack_from(payload, at)
        at += RECORD_HEADER + length
        found.append(payload[at - length : at])
    return found if at == end else ()


def decode_seal(payload: bytes) -> Seal | None:
    """The content of a seal, or None if it is of another length."""
    return Seal(*_SEAL.unpack(payload)) if len(payload) == _SEAL.size else None
