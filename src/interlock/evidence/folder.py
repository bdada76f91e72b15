"""The folder that a run leaves behind: written beside its final place, synced, then renamed. It is there whole or not at all.

A folder's name is the run's id, `<UTC yyyymmddThhmmss>-<strategy>-<8 hex of the configuration's digest>`, with `-2`, `-3` and so on
where two runs would share it. Nothing is ever overwritten.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import numpy as np

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import InterlockError, UsageError
from interlock.evidence.folder_disk import Disk, SystemDisk

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_STRATEGY = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_MOST_SUFFIXES = 1000


class EvidenceNotWritten(InterlockError):
    """The disk refused; the message says what is there now and what to do."""

    exit_code = 1


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Size in bytes and SHA-256 (hex) of one file of the folder."""

    bytes: int
    sha256: str


def run_id(started_ns: int, strategy: str, config_digest: str) -> str:
    """The id of a run: start in UTC, strategy, and the first 8 hex digits of its configuration's digest.

    `started_ns`: nanoseconds since the Unix epoch. `config_digest`: hex, as `manifest.digest_of` gives it. Raises ValueError for a strategy
    name that is no lower-case file name part, or a digest that is not hex.
    """
    if not _STRATEGY.fullmatch(strategy):
        raise ValueError(f"strategy: expected [a-z0-9_-], at most 40, found {strategy!r}")
    if not re.fullmatch(r"[0-9a-f]{8,}", config_digest):
        raise ValueError(f"config_digest: expected at least 8 lower-case hex digits, found {config_digest!r}")
    started = datetime.fromtimestamp(started_ns // NS_PER_S, UTC)
    return f"{started:%Y%m%dT%H%M%S}-{strategy}-{config_digest[:8]}"


class EvidenceFolder:
    """A context: files are written into a hidden sibling, and leaving the block without an error puts the folder in place.

    Leaving it by any exception, Ctrl-C included, removes what was written. A process that is killed outright leaves
    `.<name>.partial` behind, which nothing reads and which keeps its name from being used again.

    `parent` must exist. With `unique` (the default) a taken name gets the next free suffix; without it a taken name raises UsageError.
    `run_id` is the name in use, known from entering on; `files` is what has been written so far. Write the manifest last, because it
    lists the rest.
    """

    def __init__(self, parent: Path, name: str, *, unique: bool = True, disk: Disk | None = None) -> None:
        if not _RUN_NAME.fullmatch(name):
            raise ValueError(f"evidence folder: expected a plain file name of [A-Za-z0-9._-], found {name!r}")
        self._parent = parent.absolute()
        self._disk: Disk = disk if disk is not None else SystemDisk()
        self._unique = unique
        self._files: dict[str, FileEntry] = {}
        self._open = False
        self._failed: EvidenceNotWritten | None = None
        self.run_id = name

    @property
    def path(self) -> Path:
        """Where the folder will be."""
        return self._parent / self.run_id

    @property
    def files(self) -> dict[str, FileEntry]:
        """The files written so far, by name."""
        return dict(self._files)

    def __enter__(self) -> Self:
        wanted = self.run_id
        for number in range(1, _MOST_SUFFIXES):
            self.run_id = wanted if number == 1 else f"{wanted}-{number}"
            if self._claim():
                self._open = True
                return self
            if not self._unique:
                raise UsageError(f"{self.path}: expected a name that is free, found it taken; evidence is never overwritten, name another")
        raise UsageError(f"{self._parent / wanted}: this name and its suffixes up to {_MOST_SUFFIXES - 1} are taken; remove old runs")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open = False
        if error is not None or self._failed is not None:
            self._abandon()
            if error is None and self._failed is not None:
                raise self._failed
            return
        try:
            self._disk.sync(self._partial)
            taken = self._disk.exists(self.path)
            if not taken:
                self._disk.rename(self._partial, self.path)
        except BaseException as stopped:
            self._abandon()
            if isinstance(stopped, OSError):
                raise self._failure(stopped) from stopped
            raise
        if taken:
            self._abandon()
            raise UsageError(f"{self.path}: something took this name while the run went on; evidence is never overwritten, run again")
        try:
            self._disk.sync(self._parent)
        except OSError as late:
            raise EvidenceNotWritten(
                f"{self.path}: the folder is there and whole, but the disk did not confirm its name ({late.strerror or late}), "
                "so a power cut may lose it; check the disk and copy the folder elsewhere"
            ) from late

    def write_text(self, name: str, text: str) -> None:
        """Write UTF-8 text as it is."""
        self.write_bytes(name, text.encode("utf-8"))

    def write_json(self, name: str, value: object) -> None:
        """Write JSON with sorted keys, ASCII only, ending in a newline. Raises ValueError for NaN and infinities.

        Takes builtins, msgspec structs, dataclasses, enums, dates and numpy scalars; a Decimal becomes a string, so that it stays exact.
        """
        self.write_text(name, json_text(value))

    def write_parquet(
        self,
        name: str,
        rows: np.ndarray,
        metadata: Mapping[str, str],
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        rename: Mapping[str, str] | None = None,
    ) -> None:
        """Write a structured array, one column a field; units belong into the column names.

        `metadata` goes into the schema as `interlock.<key>`. `names` turns integer fields into dictionary columns: {"instrument":
        ("bybit:BTCUSDT", ...)} replaces each number by the text at that place. `rename` gives columns other names than their fields,
        such as {"rate": "rate_1e-12"}. Raises ValueError for fields that do not fit.
        """
        self.write_bytes(name, parquet_bytes(rows, metadata, names or {}, rename or {}))

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file and sync it.

        Raises ValueError for a name that is no plain file name or is there already, EvidenceNotWritten when the disk refuses; the folder is
        lost then, also to a caller who goes on.
        """
        if not self._open:
            raise ValueError(f"{name}: the evidence folder is not open; write inside its `with` block")
        if not _FILE_NAME.fullmatch(name):
            raise ValueError(f"evidence file: expected a plain file name of [A-Za-z0-9._-], found {name!r}")
        if name in self._files:
            raise ValueError(f"evidence file {name}: written already; each file is written once")
        try:
            self._disk.write(self._partial / name, data)
            self._disk.sync(self._partial / name)
        except OSError as error:
            self._failed = self._failure(error)
            raise self._failed from error
        self._files[name] = FileEntry(len(data), hashlib.sha256(data).hexdigest())

    @property
    def _partial(self) -> Path:
        return self._parent / f".{self.run_id}.partial"

    def _claim(self) -> bool:
        """Take the name by making its partial folder; False where it is taken."""
        try:
            if self._disk.exists(self.path):
                return False
            self._disk.make_folder(self._partial)
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise UsageError(f"{self.path}: the folder {self._parent} does not exist; create it first") from None
        except OSError as error:
            raise UsageError(f"{self.path}: cannot write there: {error.strerror or error}; name another folder") from error
        try:
            # Another process may have finished under this name between the look and the claim.
            taken = self._disk.exists(self.path)
        except BaseException as stopped:
            self._abandon()
            if isinstance(stopped, OSError):
                raise self._failure(stopped) from stopped
            raise
        if taken:
            self._abandon()
        return not taken

    def _abandon(self) -> None:
        try:
            self._disk.remove(self._partial)
        except OSError:
            # What stopped the run is reported; a leftover under the hidden name does no harm.
            return

    def _failure(self, error: OSError) -> EvidenceNotWritten:
        return EvidenceNotWritten(
            f"{self.path}: evidence was not written: {error.strerror or error}; nothing is there under that name; "
            "free space or repair the disk, then run again"
        )


def json_text(value: object) -> str:
    """The text that `write_json` writes."""
    plain = msgspec.to_builtins(value, enc_hook=_plain, str_keys=True)
    return json.dumps(plain, sort_keys=True, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def parquet_bytes(rows: np.ndarray, metadata: Mapping[str, str], names: Mapping[str, Sequence[str]], rename: Mapping[str, str]) -> bytes:
    """The file that `write_parquet` writes."""
    import pyarrow as pa
    from pyarrow import parquet

    fields = rows.dtype.names
    if fields is None or rows.ndim != 1:
        raise ValueError(f"rows: expected a one-dimensional structured array, found {rows.dtype} {rows.shape}")
    unknown = sorted({*names, *rename} - set(fields))
    if unknown:
        raise ValueError(f"rows: expected the fields {', '.join(unknown)}, found {', '.join(fields)}")
    columns = []
    for field in fields:
        values = np.ascontiguousarray(rows[field])
        if values.ndim != 1:
            raise ValueError(f"rows: field {field} holds arrays; give each element a field of its own")
        if field in names:
            columns.append(_dictionary(field, values, names[field]))
        elif values.dtype.kind == "U":
            columns.append(pa.array(values.tolist(), pa.string()))
        else:
            columns.append(pa.array(values))
    titles = [rename.get(field, field) for field in fields]
    if len(set(titles)) != len(titles):
        raise ValueError(f"rows: expected distinct column names, found {', '.join(titles)}")
    table = pa.table(columns, names=titles)
    table = table.replace_schema_metadata({f"interlock.{key}": text for key, text in sorted(metadata.items())})
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _dictionary(field: str, values: np.ndarray, names: Sequence[str]) -> Any:
    import pyarrow as pa

    if values.dtype.kind not in "iu":
        raise ValueError(f"rows: expected whole numbers in {field}, found {values.dtype}")
    if len(values) and not (int(values.min()) >= 0 and int(values.max()) < len(names)):
        raise ValueError(f"rows: expected {field} within 0..{len(names) - 1}, found {values.min()}..{values.max()}")
    return pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32)), pa.array(list(names), pa.string()))


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"JSON: expected plain values, structs or dataclasses, found {type(value).__name__}")
