"""The folder of a run: new, or that of a run of the same configuration that is gone on with; held by one supervisor at a time."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from interlock.domain.errors import BadInput, UsageError
from interlock.run.config import load_config
from interlock.run.folder_names import CONFIG_FILE, ENGINE_FOLDER, LIMITS_FILE, LOCK_FILE, RUN_FILE
from interlock.run.frozen import frozen_text
from interlock.run.layers import Resolved

LEAST_BYTES: Final = 64 << 20
"""What the journal allocates before it begins (two segments and a spare one), and as much again for everything else."""


def require_folder(out: Path, resolved: Resolved, told: Mapping[str, Any], *, prepared: bool) -> None:
    """Raise UsageError for a folder that holds something else, also a run of another configuration, of another mode or elsewhere, and for a disk
    without room. `prepared`: whoever calls has made it for this run, and put files of his own there."""
    held = out / CONFIG_FILE
    try:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out}: expected a folder, found something else; name another")
        if out.exists() and not held.exists() and not prepared and {one.name for one in out.iterdir()} - {LOCK_FILE}:
            raise UsageError(f"{out}: expected a new or empty folder, or that of a run, found other files; name another")
        if held.exists() and _digest_of(held) != resolved.digest:
            raise UsageError(f"{out}: expected a run of this configuration, found one of another; name another folder")
        _require_same_mode(out, told)
        there = next(one for one in (out.absolute(), *out.absolute().parents) if one.is_dir())
        disk = os.statvfs(there)
    except OSError as error:
        raise _unusable(out, error) from error
    room = disk.f_bavail * disk.f_frsize
    if room < LEAST_BYTES:
        raise UsageError(f"{out}: expected {LEAST_BYTES >> 20} MiB free on its disk, found {room >> 20}; make room there, or name another")


def make_empty(out: Path) -> None:
    """Make a folder, unless there is one with nothing in it. Raises UsageError for one that holds something, and where none can be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise UsageError(f"{out}: expected a new or empty folder, found files; name another with --out")
    except OSError as error:
        raise _unusable(out, error) from error


def make_folder(out: Path) -> None:
    """Make a folder, unless there is one. Raises UsageError where none can be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unusable(out, error) from error


def _digest_of(held: Path) -> str:
    """The digest of the configuration that a folder holds; empty where that is none of this version's."""
    try:
        return load_config(held).digest
    except BadInput:
        return ""


def _require_same_mode(out: Path, told: Mapping[str, Any]) -> None:
    """The journals of a folder are of one mode and one place."""
    try:
        before = json.loads((out / RUN_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return
    if (before.get("mode"), before.get("endpoint")) != (told["mode"], told["endpoint"]):
        raise UsageError(
            f"{out}: expected a run of mode {told['mode']} at {told['endpoint']}, found one of mode {before.get('mode')} at "
            f"{before.get('endpoint')}; name another folder"
        )


@contextmanager
def hold_folder(out: Path) -> Iterator[None]:
    """Nobody else runs there while the block does. Raises UsageError if somebody does."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = os.open(out / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(out, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(lock, 20, 0).decode(errors="replace").strip()
            raise UsageError(
                f"{out}: another run has it (pid {other or 'not said'}); stop that one first, or name another folder"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            raise _unusable(out, error) from error
        yield
    finally:
        os.close(lock)


def fill_folder(out: Path, resolved: Resolved, limits: Path, told: Mapping[str, Any]) -> None:
    """Put down what is run: the configuration, its limits, and in what way. Raises UsageError if the disk does not take it."""
    try:
        (out / ENGINE_FOLDER).mkdir(exist_ok=True)
        if not (out / CONFIG_FILE).exists():
            # What it came to, in one file: the run is decided again from that, whatever becomes of file and environment.
            put(out / CONFIG_FILE, frozen_text(resolved.config).encode())
        put(out / LIMITS_FILE, limits.read_bytes())
        put(out / RUN_FILE, json.dumps(told).encode() + b"\n")
    except OSError as error:
        raise _unusable(out, error) from error


def put(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all. Raises OSError."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    os.replace(part, path)


def _unusable(out: Path, error: OSError) -> UsageError:
    return UsageError(f"{out}: expected a folder that can be written to, found: {error.strerror}; make room there, or name another")
