"""Tapes as Parquet files, for other tools: one row group a million rows, the tape's description in the schema metadata.

Raw frames stay behind: a tape that is made from a Parquet file has the same rows, instruments and history, and no frames.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from pyarrow import parquet

from interlock.domain.errors import BadInput, UsageError
from interlock.market.columns import ROW, TAPE_VERSION
from interlock.market.tape import Rows, Tape
from interlock.market.tape_info import TapeInfo
from interlock.market.tape_write import write_tape

METADATA_KEY = b"interlock.tape"
"""The schema metadata entry that holds the tape's description (JSON of `tape_info.TapeInfo`, `files` left empty)."""

_ROWS_A_GROUP = 1_000_000


def export_parquet(tape: Tape, out: Path) -> Path:
    """Write a tape's rows to a new Parquet file and return it. Raises UsageError if `out` exists or cannot be written."""
    if out.exists():
        raise UsageError(f"{out}: expected a new file, found one; name another --out or remove it")
    description = msgspec.json.encode(msgspec.structs.replace(tape.info, files={}))
    schema = _schema().with_metadata({METADATA_KEY: description})
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with parquet.ParquetWriter(partial, schema, compression="zstd") as writer:
            for start in range(0, len(tape.rows), _ROWS_A_GROUP):
                rows = tape.rows[start : start + _ROWS_A_GROUP]
                columns = [np.ascontiguousarray(rows[name]) for name in schema.names]
                writer.write_table(pa.table(columns, schema=schema))
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(out)
    except OSError as error:
        raise UsageError(f"{out}: cannot be written: {error.strerror or error}; name another --out") from error
    finally:
        partial.unlink(missing_ok=True)
    return out


def import_parquet(path: Path, out: Path) -> Path:
    """Make a tape at `out` from a Parquet file that `export_parquet` wrote. Raises BadInput for any other file."""
    try:
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        table = file.read()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BadInput(path, "", f"expected a Parquet file: {error}") from error
    info = _description(path, schema)
    if schema.remove_metadata() != _schema():
        raise BadInput(path, "schema", f"expected the columns {', '.join(ROW.names or ())} with their types")
    if table.num_rows != info.rows or any(column.null_count for column in table.columns):
        raise BadInput(path, "", f"expected {info.rows} whole rows, found {table.num_rows}, or some with holes")
    rows: Rows = np.zeros(table.num_rows, ROW)
    for name in ROW.names or ():
        rows[name] = table[name].to_numpy()
    try:
        return write_tape(
            out,
            rows,
            info.instruments,
            info.provenance,
            clock=info.clock,
            sources=[msgspec.structs.replace(source, raw="") for source in info.sources],
            depth_interval_ms=info.depth_interval_ms,
            bar_interval_s=info.bar_interval_s,
            notes=[*info.notes, f"rows came through Parquet ({path.name}); raw frames were left behind"],
        )
    except ValueError as error:
        raise BadInput(path, "", str(error)) from error


def _description(path: Path, schema: pa.Schema) -> TapeInfo:
    text = (schema.metadata or {}).get(METADATA_KEY)
    if text is None:
        raise BadInput(
            path,
            "schema metadata",
            f"expected {METADATA_KEY.decode()} (a file of `interlock tape export`), found none",
        )
    try:
        info = msgspec.json.decode(text, type=TapeInfo)
    except msgspec.DecodeError as error:
        raise BadInput(path, "schema metadata", str(error)) from error
    if info.version != TAPE_VERSION:
        raise BadInput(
            path,
            "schema metadata",
            f"expected tape version {TAPE_VERSION}, found {info.version}; export it again with this interlock",
        )
    return info


def _schema() -> pa.Schema:
    fields: Mapping[str, Any] = ROW.fields or {}
    return pa.schema([pa.field(name, pa.from_numpy_dtype(fields[name][0]), nullable=False) for name in ROW.names or ()])
