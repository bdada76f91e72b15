"""Raw frames at rest: a source file's decompressed bytes, lossless, as a chain of independent zstd frames.

`zstd -d` restores the whole file. A table beside it (`<n>.blocks.npy`: offset of each block before and after
compression) lets one frame be read without decompressing what lies before it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from interlock.domain.errors import DamagedState

BLOCK_BYTES = 1 << 20
BLOCK = np.dtype([("raw_offset", "<u8"), ("stored_offset", "<u8")])
"""Where a block starts in the decompressed file and in the stored one; the last entry is the two lengths."""


class RawWriter:
    """Takes a file's bytes piece by piece and stores them in blocks of `BLOCK_BYTES`."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._index = path.with_suffix(".blocks.npy")
        self._codec = pa.Codec("zstd", compression_level=3)
        self._pending = bytearray()
        self._blocks: list[tuple[int, int]] = []
        self._taken = 0
        self._stored = 0

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._pending += data
        while len(self._pending) >= BLOCK_BYTES:
            self._block(bytes(self._pending[:BLOCK_BYTES]))
            del self._pending[:BLOCK_BYTES]

    def close(self) -> None:
        """Store what is left and the table of blocks."""
        if self._pending:
            self._block(bytes(self._pending))
            self._pending.clear()
        self._file.close()
        np.save(self._index, np.array([*self._blocks, (self._taken, self._stored)], BLOCK))

    def abandon(self) -> None:
        """Close the file without finishing it."""
        self._file.close()

    def _block(self, data: bytes) -> None:
        self._blocks.append((self._taken, self._stored))
        stored = self._codec.compress(data, asbytes=True)
        self._file.write(stored)
        self._taken += len(data)
        self._stored += len(stored)


class RawReader:
    """Reads spans of a stored file; keeps the block it used last."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._codec = pa.Codec("zstd")
        try:
            self._blocks: npt.NDArray[np.void] = np.load(path.with_suffix(".blocks.npy"), allow_pickle=False)
            self._file = path.open("rb")
        except (OSError, ValueError) as error:
            raise DamagedState(f"{path}: expected stored raw frames: {error}; make the tape again") from error
        self._held = -1
        self._data = b""

    @property
    def size(self) -> int:
        """Bytes of the decompressed file."""
        return int(self._blocks["raw_offset"][-1])

    def read(self, offset: int, length: int) -> bytes:
        """The bytes of a span. Raises DamagedState if it lies outside the file or a block does not decompress."""
        if offset + length > self.size:
            raise DamagedState(f"{self._path}: expected bytes {offset} to {offset + length}, found a file of {self.size} bytes")
        parts = []
        block = int(np.searchsorted(self._blocks["raw_offset"], offset, side="right")) - 1
        while length > 0:
            data = self._load(block)
            start = offset - int(self._blocks["raw_offset"][block])
            part = data[start : start + length]
            parts.append(part)
            offset += len(part)
            length -= len(part)
            block += 1
        return b"".join(parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _load(self, block: int) -> bytes:
        if block != self._held:
            raw, stored = self._blocks["raw_offset"], self._blocks["stored_offset"]
            self._file.seek(int(stored[block]))
            data = self._file.read(int(stored[block + 1] - stored[block]))
            try:
                self._data = self._codec.decompress(data, int(raw[block + 1] - raw[block]), asbytes=True)
            except (OSError, ValueError) as error:
                raise DamagedState(f"{self._path}, block {block}: does not decompress: {error}") from error
            self._held = block
        return self._data
