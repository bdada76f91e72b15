"""Reading source files, compressed or not, piece by piece, with the errors that a person can act on."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from interlock.domain.errors import BadInput

PIECE_BYTES = 1 << 18
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_GZIP_WINDOW = 31  # zlib's code for "a gzip member of any window size"

Progress = Callable[[int], None]
"""Told how many bytes of input (as they lie on disk) were read since the last call."""


def no_progress(_: int) -> None:
    """A `Progress` that nobody watches."""


class Source:
    """One input file: plain, gzip, or a zip archive of one file.

    `lines` reads it once; `sha256` and `bytes` (of the file as given) are complete after that.
    """

    def __init__(self, path: Path, progress: Progress = no_progress) -> None:
        self.path = path
        self.bytes = 0
        self.line_count = 0
        self._digest = hashlib.sha256()
        self._progress = progress

    @property
    def sha256(self) -> str:
        """Digest of the bytes read so far."""
        return self._digest.hexdigest()

    def lines(self, keep: Callable[[bytes], None] | None = None) -> Iterator[tuple[int, int, bytes]]:
        """(line number from 1, offset in the decompressed file, the line without its end) of every line.

        `keep` gets the decompressed bytes, all of them. Raises BadInput for a file that cannot be read, is empty, or whose
        compressed data is damaged or ends early.
        """
        offset = 0
        rest = b""
        for piece in self._pieces():
            if keep is not None:
                keep(piece)
            parts = (rest + piece).split(b"\n")
            rest = parts.pop()
            for part in parts:
                self.line_count += 1
                yield self.line_count, offset, part
                offset += len(part) + 1
        if rest:
            self.line_count += 1
            yield self.line_count, offset, rest
        if self.line_count == 0:
            raise BadInput(self.path, "", "expected recorded lines, found an empty file")

    def _pieces(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                first = self._take(file.read(PIECE_BYTES))
                if first.startswith(_ZIP):
                    while self._take(file.read(PIECE_BYTES)):
                        pass  # the digest is of the whole file; the archive is read by its table at the end
                    yield from self._unpacked()
                    return
                if not first.startswith(_GZIP):
                    while first:
                        yield first
                        first = self._take(file.read(PIECE_BYTES))
                    return
                yield from self._decompressed(first, lambda: self._take(file.read(PIECE_BYTES)))
        except OSError as error:
            raise BadInput(self.path, "", f"cannot be read: {error.strerror or error}") from error

    def _decompressed(self, data: bytes, more: Callable[[], bytes]) -> Iterator[bytes]:
        member = zlib.decompressobj(_GZIP_WINDOW)
        while data:
            try:
                yield member.decompress(data)
            except zlib.error as error:
                raise BadInput(
                    self.path,
                    f"after line {self.line_count}",
                    f"expected gzip data, found damage ({error}); fetch the file again",
                ) from error
            data = member.unused_data if member.eof else more()
            if member.eof and (data := data or more()):
                member = zlib.decompressobj(_GZIP_WINDOW)  # another member follows
        if not member.eof:
            raise BadInput(
                self.path,
                f"after line {self.line_count}",
                "expected the end of the gzip data, found the end of the file: it was cut short; fetch it again",
            )

    def _unpacked(self) -> Iterator[bytes]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = archive.namelist()
                if len(members) != 1:
                    raise BadInput(self.path, "", f"expected a zip archive of one file, found {len(members)}; unpack it and name the files")
                with archive.open(members[0]) as member:
                    while piece := member.read(PIECE_BYTES):
                        yield piece
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise BadInput(
                self.path,
                f"after line {self.line_count}",
                f"expected a zip archive that can be read, found damage ({error}); fetch the file again",
            ) from error

    def _take(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.bytes += len(data)
        if data:
            self._progress(len(data))
        return data
