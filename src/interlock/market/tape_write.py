"""Writing a tape: into a folder beside the target, synced, then renamed. It is there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import TypedDict, Unpack

import msgspec
import numpy as np

from interlock.domain.errors import UsageError
from interlock.domain.instruments import Instrument
from interlock.market.columns import FRAME, ROW, TAPE_VERSION, RowKind
from interlock.market.tape import Permutation, Rows, file_digest
from interlock.market.tape_info import (
    ClockEntry,
    DepthInterval,
    Provenance,
    SourceFile,
    StoredFile,
    TapeInfo,
)

_BARS = (RowKind.BAR_OPEN, RowKind.BAR_HIGH, RowKind.BAR_LOW, RowKind.BAR_CLOSE)


class About(TypedDict, total=False):
    """What else a tape says about itself (see `tape_info.TapeInfo`); every entry may be left out."""

    clock: ClockEntry
    sources: Sequence[SourceFile]
    depth_interval_ms: dict[str, DepthInterval]
    bar_interval_s: int | None
    notes: Sequence[str]


def write_tape(out: Path, rows: Rows, instruments: Sequence[Instrument], provenance: Provenance, **about: Unpack[About]) -> Path:
    """Write rows without raw frames as a tape at `out` and return it.

    `rows` (ROW) may come in any order: they are sorted stably by (receive_ns, instrument), so rows of one instrument
    with equal times keep their order. `instruments` must be sorted by (venue, symbol); row["instrument"] is the
    position in it. Raises UsageError if `out` exists and is not an empty folder, ValueError for rows that do not fit.
    """
    with new_folder(out) as folder:
        fill_folder(folder, rows, instruments, provenance, None, **about)
    return out


def fill_folder(
    folder: Path,
    rows: Rows,
    instruments: Sequence[Instrument],
    provenance: Provenance,
    frames: Rows | None,
    **about: Unpack[About],
) -> None:
    """Write rows and frame index into a folder from `new_folder`, which may hold raw files already; tape.json last.

    `frames` (FRAME) has an entry for each raw frame; its `first_row` and `rows` are filled in here from row["frame"].
    """
    _check(rows, instruments)
    rows = receive_order(rows)
    if frames is None:
        frames = np.zeros(0, FRAME)
    else:
        frames = _count_rows(frames, rows)
    np.save(folder / "rows.npy", rows)
    np.save(folder / "frames.npy", frames)
    permutation = exchange_order(rows)
    if permutation is not None:
        np.save(folder / "exchange_order.npy", permutation)
    counts = np.bincount(rows["kind"], minlength=len(RowKind))
    some = len(rows) > 0
    info = TapeInfo(
        version=TAPE_VERSION,
        made_by=f"interlock {metadata.version('interlock')}",
        provenance=provenance,
        instruments=tuple(instruments),
        sources=tuple(about.get("sources", ())),
        clock=about.get("clock", ClockEntry(feed_latency="none")),
        depth_interval_ms=about.get("depth_interval_ms", {}),
        rows=len(rows),
        frames=len(frames),
        kinds={kind.name: int(counts[kind]) for kind in RowKind if counts[kind]},
        first_exchange_ns=int(rows["exchange_ns"].min()) if some else None,
        last_exchange_ns=int(rows["exchange_ns"].max()) if some else None,
        first_receive_ns=int(rows["receive_ns"][0]) if some else None,
        last_receive_ns=int(rows["receive_ns"][-1]) if some else None,
        bars=any(counts[kind] for kind in _BARS),
        bar_interval_s=about.get("bar_interval_s"),
        notes=tuple(about.get("notes", ())),
        files={
            file.relative_to(folder).as_posix(): StoredFile(bytes=file.stat().st_size, sha256=file_digest(file))
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        },
    )
    text = msgspec.json.format(msgspec.json.encode(info), indent=2)
    (folder / "tape.json").write_bytes(text + b"\n")


@contextlib.contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` when the block ends, and is removed when it raises.

    Missing parents are made, and removed again with it. A process that is killed outright can leave `.<name>.<pid>.partial` behind; nothing
    reads it. Raises UsageError if `out` exists and is not an empty folder, or cannot be made.
    """
    out = out.absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"{out}: expected a new or empty folder for the tape, found something; name another --out")
    folder = out.parent / f".{out.name}.{os.getpid()}.partial"
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except (FileExistsError, NotADirectoryError) as error:
        if not folder.exists():
            raise UsageError(f"{out}: a part of its path is a file; name another --out") from error
        raise UsageError(f"{folder}: left over from an interrupted import; remove it") from error
    except OSError as error:
        raise UsageError(f"{out}: cannot write there: {error.strerror}; name another --out") from error
    try:
        yield folder
        for path in [*sorted(folder.rglob("*")), folder]:
            _sync(path)
        # Renaming onto an empty folder replaces it in one step.
        folder.rename(out)
        _sync(out.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):
                parent.rmdir()  # only where it is empty, that is after a failure


def receive_order(rows: Rows) -> Rows:
    """The rows sorted stably by (receive_ns, instrument); the same array where they already are."""
    receive, instrument = rows["receive_ns"], rows["instrument"]
    later = receive[1:] > receive[:-1]
    if np.all(later | ((receive[1:] == receive[:-1]) & (instrument[1:] >= instrument[:-1]))):
        return rows
    return rows[np.lexsort((instrument, receive))]


def exchange_order(rows: Rows) -> Permutation | None:
    """The stable order of rows by (exchange_ns, instrument, row number), or None where it is the identity."""
    order = np.lexsort((rows["instrument"], rows["exchange_ns"]))
    if np.array_equal(order, np.arange(len(rows))):
        return None
    return order.astype("<u4")


def _count_rows(frames: Rows, rows: Rows) -> Rows:
    """The frame index with `rows` and `first_row` as they are in the sorted rows."""
    frames = frames.copy()
    numbers, first, count = np.unique(rows["frame"], return_index=True, return_counts=True)
    if len(numbers) and numbers[-1] >= len(frames):
        raise ValueError(f"rows: expected frame numbers below {len(frames)}, found {numbers[-1]}")
    frames["rows"] = 0
    frames["first_row"] = 0
    frames["rows"][numbers] = count
    frames["first_row"][numbers] = first
    return frames


def _check(rows: Rows, instruments: Sequence[Instrument]) -> None:
    if rows.dtype != ROW or rows.ndim != 1:
        raise ValueError(f"rows: expected a one-dimensional array of ROW, found {rows.dtype} {rows.shape}")
    if len(rows) >= 2**32:
        raise ValueError(f"rows: expected fewer than 2**32, found {len(rows)}; split the recording")
    keys = [(i.venue, i.symbol) for i in instruments]
    if keys != sorted(set(keys)):
        raise ValueError(f"instruments: expected distinct ones sorted by (venue, symbol), found {keys}")
    if len(rows) and rows["instrument"].max() >= len(keys):
        raise ValueError(f"rows: expected instrument numbers below {len(keys)}, found {rows['instrument'].max()}")
    if len(rows) and rows["kind"].max() > max(RowKind):
        raise ValueError(f"rows: expected kinds up to {max(RowKind)}, found {rows['kind'].max()}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
