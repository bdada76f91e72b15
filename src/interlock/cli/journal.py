"""`interlock journal`: check, look at, pass on and pack the gate's journal. Only `archive` writes there, and nothing here disturbs a running gate."""

from __future__ import annotations

import json as json_format
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from interlock.cli import exit_codes
from interlock.domain.errors import BadInput, DamagedState, UsageError
from interlock.gate.journal import Follower, Recovered, SystemDisk, archive, latest_snapshot, recover, require_journal
from interlock.gate.journal.segments import find_segments
from interlock.gate.limit_sheet import load
from interlock.gate.record_reading import read_record
from interlock.gate.records import SCHEMA
from interlock.gate.snapshot import verify_snapshot

app = App(name="journal", help="Check, look at, pass on and pack the gate's journal.", default_parameter=Parameter(negative=()))

_LAST = 20
_POLL_S = 0.2

Directory = Annotated[Path, Parameter(name="DIR")]


@app.command
def verify(directory: Directory, /, *, limits: Path | None = None, json: bool = False) -> int:
    """Read a whole journal, archives included, and check every batch, the chain and every record; exit code 3 and the place if it is damaged.

    Parameters
    ----------
    directory
        The journal's folder.
    limits
        The limits that the gate ran under when it made the newest snapshot, which is then held against a fold of the whole journal.
    json
        Print one JSON object instead of text.
    """
    disk = SystemDisk()
    require_journal(disk, directory)
    found = recover(disk, directory, schema=SCHEMA, consume=lambda lsn, payload: _require_record(disk, directory, lsn, payload))
    snapshot, ignored = latest_snapshot(disk, directory, SCHEMA)
    if limits is not None and (differs := verify_snapshot(disk, directory, load(limits))):
        raise DamagedState(f"{directory}: {differs}; remove the snapshot, the journal itself is whole")
    described = {
        "journal": str(directory),
        **_ending(found),
        "segments": found.segments,
        "archived": sum(place.archived for place in find_segments(disk, directory)),
        "snapshot_lsn": None if snapshot is None else snapshot.mark.lsn,
        "snapshots_ignored": list(ignored),
    }
    if json:
        print(json_format.dumps(described, ensure_ascii=False))
    else:
        for name, value in described.items():
            print(f"{name}: {_plain(value)}")
        print("whole" if found.torn is None else "whole, up to a write that was cut off")
    return exit_codes.DONE


@app.command
def tail(directory: Directory, /, *, from_lsn: int | None = None, follow: bool = False, json: bool = False) -> int:
    """Print records as they were written, the last ones if no first one is given.

    Parameters
    ----------
    directory
        The journal's folder.
    from_lsn
        The number of the first record to print.
    follow
        Go on printing what comes, until Ctrl-C. Records are shown when they are written, which can be before they are durable.
    json
        Print one JSON object, or with --follow one for each record, instead of text.
    """
    if from_lsn is not None and from_lsn < 1:
        raise UsageError(f"--from-lsn: expected the number of a record, 1 or more, found {from_lsn}")
    disk = SystemDisk()
    require_journal(disk, directory)
    begin = find_segments(disk, directory)[-2:][0].first_lsn if from_lsn is None else from_lsn
    with closing(Follower(disk, directory, schema=SCHEMA, from_lsn=begin)) as follower:
        there = _there(directory, follower)
        shown = list(there) if from_lsn is not None else list(deque(there, _LAST))
        if json and not follow:
            print(json_format.dumps({"journal": str(directory), "records": shown}, ensure_ascii=False))
            return exit_codes.DONE
        for line in shown:
            print(_line(line, json))
        while follow:
            found = follower.poll()
            for lsn, payload in found:
                print(_line(_decoded(directory, lsn, payload), json))
            if not found:
                sys.stdout.flush()
                time.sleep(_POLL_S)
    return exit_codes.DONE


@app.command
def export(directory: Directory, /, *, out: Path, json: bool = False) -> int:
    """Write all records to a file, one JSON object a line.

    Parameters
    ----------
    directory
        The journal's folder.
    out
        The file to make; it must be new.
    json
        Print one JSON object instead of text.
    """
    disk = SystemDisk()
    require_journal(disk, directory)
    if out.exists():
        raise BadInput(out, "", "expected a new file, found one; move it away or choose another name")
    partial = out.with_name(f"{out.name}.partial-{os.getpid()}")
    try:
        with partial.open("x", encoding="utf-8") as file:

            def write(lsn: int, payload: bytes) -> None:
                file.write(_line(_decoded(directory, lsn, payload), json=True) + "\n")

            found = recover(disk, directory, schema=SCHEMA, consume=write)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(out)
    except OSError as error:
        raise BadInput(out, "", f"expected a file that can be written, found: {error.strerror}; choose another place") from error
    finally:
        partial.unlink(missing_ok=True)
    done = {"file": str(out), **_ending(found)}
    print(json_format.dumps(done, ensure_ascii=False) if json else f"{out}: {found.records} records")
    return exit_codes.DONE


@app.command(name="archive")
def archive_(directory: Directory, /, *, json: bool = False) -> int:
    """Pack the segments that the newest snapshot covers into the folder `archive`; nothing is lost, and a boot does not need them.

    Parameters
    ----------
    directory
        The journal's folder.
    json
        Print one JSON object instead of text.
    """
    disk = SystemDisk()
    require_journal(disk, directory)
    packed = archive(disk, directory, SCHEMA)
    left = sum(not place.archived for place in find_segments(disk, directory))
    if json:
        files = [{"file": str(each.path), "bytes_before": each.bytes_before, "bytes_after": each.bytes_after} for each in packed]
        print(json_format.dumps({"journal": str(directory), "archived": files, "segments_left": left}, ensure_ascii=False))
    else:
        for each in packed:
            print(f"{each.path}: {each.bytes_before} bytes in {each.bytes_after}")
        print(f"{len(packed)} segments packed, {left} left as they are: the newest, and what no snapshot covers")
    return exit_codes.DONE


def _ending(found: Recovered) -> dict[str, Any]:
    return {
        "records": found.records,
        "last_lsn": found.mark.lsn,
        "barrier_lsn": found.barrier_lsn,
        "chain": found.mark.chain.hex(),
        "sealed": found.sealed,
        "torn": None if found.torn is None else {"file": str(found.torn.file), "offset": found.torn.offset},
        "disk_error": found.disk_error,
    }


def _there(directory: Path, follower: Follower) -> Iterator[dict[str, Any]]:
    """Every record from where the follower stands to the end as it is now."""
    while found := follower.poll():
        for lsn, payload in found:
            yield _decoded(directory, lsn, payload)


def _require_record(disk: SystemDisk, directory: Path, lsn: int, payload: bytes) -> None:
    read_record(disk, directory, lsn, payload)


def _decoded(directory: Path, lsn: int, payload: bytes) -> dict[str, Any]:
    return {"lsn": lsn, "record": msgspec.to_builtins(read_record(SystemDisk(), directory, lsn, payload))}


def _line(shown: dict[str, Any], json: bool) -> str:
    if json:
        return json_format.dumps(shown, ensure_ascii=False)
    record = shown["record"]
    fields = " ".join(f"{name}={_plain(value)}" for name, value in record.items() if name != "k")
    return f"{shown['lsn']} {record['k']} {fields}"


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple | dict):
        return json_format.dumps(value, ensure_ascii=False)
    return str(value)
