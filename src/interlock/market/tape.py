"""A tape on disk, opened for reading.

    tape.json            what the tape is (`tape_info.TapeInfo`), with the digest of every other file
    rows.npy             ROW, in receive order
    exchange_order.npy   u4 permutation of the rows into exchange order; absent where it is the identity
    frames.npy           FRAME, one for each raw frame, in the order they were received
    raw/<n>.zst          source file n, decompressed, lossless (`raw_store`)

The arrays are memory-mapped and read-only, so opening costs the same for any length.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from interlock.domain.errors import BadInput, DamagedState
from interlock.domain.instruments import Instrument
from interlock.market.columns import FRAME, ROW, TAPE_VERSION
from interlock.market.raw_store import RawReader
from interlock.market.tape_info import TapeInfo, VersionOnly

Rows = npt.NDArray[np.void]
Permutation = npt.NDArray[np.uint32]

_READ = 1 << 20


class Tape:
    """An open tape. `rows` and `frames` are read-only memory maps; `exchange_order` is None where the rows already lie
    in exchange order. Use `Tape.open`; a context manager."""

    def __init__(self, path: Path, info: TapeInfo, digest: str) -> None:
        self.path = path
        self.info = info
        self.digest = digest
        """SHA-256 of tape.json, which holds the digests of all other files."""
        self.rows: Rows = self._map("rows.npy", ROW, info.rows)
        self.frames: Rows = self._map("frames.npy", FRAME, info.frames)
        self.exchange_order: Permutation | None = None
        if "exchange_order.npy" in info.files:
            self.exchange_order = self._map("exchange_order.npy", np.dtype("<u4"), info.rows)
        self._raw: dict[int, RawReader] = {}

    @classmethod
    def open(cls, path: Path, *, verify_digests: bool = False) -> Tape:
        """Open a tape.

        Checks version, schema, sizes and shapes; with `verify_digests` also the content of every file. Raises BadInput
        for a path that is no tape or a tape of another version, DamagedState for one that does not read back as written.
        """
        try:
            text = (path / "tape.json").read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise BadInput(
                path, "", "expected a tape (a folder with tape.json), found none; make one with `interlock tape import`"
            ) from None
        try:
            version = msgspec.json.decode(text, type=VersionOnly).version
        except msgspec.DecodeError as error:
            raise DamagedState(f"{path}/tape.json: {error}; make the tape again from its sources") from error
        if version != TAPE_VERSION:
            raise BadInput(
                path,
                "tape.json",
                f"expected tape version {TAPE_VERSION}, found {version}; import the sources again with this interlock",
            )
        try:
            info = msgspec.json.decode(text, type=TapeInfo)
        except msgspec.DecodeError as error:
            raise DamagedState(f"{path}/tape.json: {error}; make the tape again from its sources") from error
        for name, stored in info.files.items():
            file = path / name
            size = file.stat().st_size if file.is_file() else None
            if size != stored.bytes:
                raise DamagedState(
                    f"{file}: expected {stored.bytes} bytes, found {'no file' if size is None else size}; "
                    "make the tape again from its sources"
                )
            if verify_digests and (found := file_digest(file)) != stored.sha256:
                raise DamagedState(f"{file}: expected sha256 {stored.sha256}, found {found}; make the tape again from its sources")
        return cls(path, info, hashlib.sha256(text).hexdigest())

    @property
    def instruments(self) -> tuple[Instrument, ...]:
        """The instruments by number, sorted by (venue, symbol)."""
        return self.info.instruments

    def raw_frame(self, index: int) -> bytes:
        """The bytes of a frame as recorded: the whole line, without its line end.

        Raises IndexError for a frame the tape does not have, DamagedState where the stored bytes do not read back.
        """
        frame = self.frames[index]
        number = int(frame["file"])
        if number not in self._raw:
            self._raw[number] = RawReader(self.path / self.info.sources[number].raw)
        return self._raw[number].read(int(frame["offset"]), int(frame["length"]))

    def close(self) -> None:
        """Let go of the files. Views of the arrays that a caller holds stay valid."""
        for reader in self._raw.values():
            reader.close()
        self._raw.clear()
        self.rows = np.zeros(0, ROW)
        self.frames = np.zeros(0, FRAME)
        self.exchange_order = None

    def __enter__(self) -> Tape:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _map(self, name: str, dtype: np.dtype[Any], length: int) -> npt.NDArray[Any]:
        file = self.path / name
        if length == 0:
            return np.zeros(0, dtype)  # an empty file cannot be mapped
        try:
            array: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DamagedState(f"{file}: {error}; make the tape again from its sources") from error
        if array.dtype != dtype or array.shape != (length,):
            raise DamagedState(
                f"{file}: expected {length} entries of {dtype.itemsize} bytes, found {array.shape} of "
                f"{array.dtype.itemsize}; make the tape again from its sources"
            )
        return array


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_READ):
            digest.update(piece)
    return digest.hexdigest()
