"""The manifest: what a run was, on which code, machine and data, under which assumptions. `manifest.json` of every evidence folder.

One schema, strict. What the machine says comes through `manifest_sources`; everything else is given by the caller.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from interlock.domain.clock import NS_PER_S
from interlock.domain.errors import DamagedState
from interlock.evidence.folder import EvidenceFolder, FileEntry
from interlock.evidence.manifest_sources import CodeStamp, MachineStamp

MANIFEST_SCHEMA = 1
MANIFEST_NAME = "manifest.json"

Mode = Literal["replay", "paper", "shadow", "testnet", "live"]
Endpoints = Literal["real", "testnet", "loopback"]


class TapeStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A tape: its folder's name, the SHA-256 of its tape.json (which pins every other file of it), and where it comes from."""

    name: str
    sha256: str
    provenance: Literal["real", "constructed", "synthetic"]


class LatencyStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a venue's delays were found, for each direction.

    `order`, `cancel`, `response` and `feed` say model and figures in words, times in ms: "constant 2 ms", "1.5 x feed latency + 1 ms".
    """

    order: str
    cancel: str
    response: str
    feed: str


class FeeStamp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A fee profile: rates as fractions of notional in decimal text (positive is paid), where they are from, as of when, on what condition.

    `assumed` is true where the account that ran is not known to meet the condition.
    """

    profile: str
    maker: str
    taker: str
    source: str
    as_of: str
    condition: str
    assumed: bool


class ModelStamps(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the simulation assumed. Keys of `latency` are venues, of `depth_interval_ms` and `fees` instruments (`venue:symbol`).

    `depth_interval_ms`: milliseconds between depth updates, null where unknown. `impact` is the temporary impact's description or "off".
    `funding`: where the rates came from, or "none". `fx_source`: what converted currencies, or "none". `instrument`: whether price and
    quantity units came from the venue or were read off the data. `latency_source`: which measurement the latencies rest on. `gate`: "limits" and
    the hash of the sheet that the gate's decision was driven with, or "none".
    """

    queue_model: str
    partial_fills: bool
    latency: dict[str, LatencyStamp]
    feed_latency: Literal["measured", "assumed", "none"]
    depth_interval_ms: dict[str, float | None]
    rate_limits: Literal["on", "off"]
    fees: dict[str, FeeStamp]
    funding: str
    fx_source: str
    instrument: Literal["known", "inferred"]
    flow_venue: str
    fee_venue: str
    latency_source: str
    provenance: Literal["real", "constructed", "synthetic"]
    impact: str = "off"
    gate: str = "none"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `manifest.json`.

    `endpoints` is null in replay, where nothing is connected. `config_digest` is `digest_of` the run's whole configuration. `start`/`end`
    are of the data that was replayed or lived through (ns since the Unix epoch; the ISO texts are the same times to the microsecond, UTC).

    `files` lists every other file of the folder.
    """

    manifest_schema: int = MANIFEST_SCHEMA
    run_id: str
    mode: Mode
    endpoints: Endpoints | None
    strategy: str
    config_digest: str
    code: CodeStamp
    machine: MachineStamp
    tapes: tuple[TapeStamp, ...]
    seed: int
    model: ModelStamps
    start_ns: int
    end_ns: int
    start_timestamp: str
    end_timestamp: str
    files: dict[str, FileEntry]


def digest_of(config: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a configuration as canonical JSON: sorted keys, no spaces, ASCII, Decimals as strings.

    Equal values give equal digests whatever the order of their keys; 1, 1.0 and "1" are three values. Raises ValueError for NaN and
    infinities, TypeError for objects that are no configuration values.
    """
    plain = msgspec.to_builtins(dict(config), str_keys=True)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def timestamp(ns: int) -> str:
    """ISO 8601 in UTC, to the microsecond, of nanoseconds since the Unix epoch."""
    whole, rest = divmod(ns, NS_PER_S)
    moment = datetime.fromtimestamp(whole, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def write_manifest(folder: EvidenceFolder, manifest: Manifest) -> None:
    """Write the manifest as the folder's last file. Raises ValueError where it does not speak of this folder."""
    if manifest.run_id != folder.run_id:
        raise ValueError(f"manifest: expected run_id {folder.run_id}, found {manifest.run_id}")
    if manifest.files != folder.files:
        raise ValueError("manifest: expected `files` to be what the folder holds; build it after the last other file")
    folder.write_json(MANIFEST_NAME, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of an evidence folder. Raises DamagedState where it is missing or does not read back as written."""
    path = folder / MANIFEST_NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise DamagedState(f"{path}: expected a manifest: {error.strerror or error}; name the folder of a finished run") from error
    except msgspec.DecodeError as error:
        raise DamagedState(f"{path}: expected a manifest of schema {MANIFEST_SCHEMA}: {error}; run again") from error
    if manifest.manifest_schema != MANIFEST_SCHEMA:
        raise DamagedState(f"{path}: expected manifest schema {MANIFEST_SCHEMA}, found {manifest.manifest_schema}; run again")
    return manifest


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file of the folder with the manifest. Raises DamagedState that names the first one that differs."""
    present = {path.name for path in folder.iterdir()} - {MANIFEST_NAME}
    for name in sorted(present ^ set(manifest.files)):
        found = "found it missing" if name not in present else "found a file that the manifest does not list"
        raise DamagedState(f"{folder / name}: expected the files of the manifest, {found}; do not rely on this folder")
    for name, entry in sorted(manifest.files.items()):
        data = (folder / name).read_bytes()
        if FileEntry(len(data), hashlib.sha256(data).hexdigest()) != entry:
            raise DamagedState(f"{folder / name}: expected {entry.bytes} bytes with SHA-256 {entry.sha256}, found others; run again")


def facts(manifest: Manifest) -> tuple[tuple[str, str], ...]:
    """The manifest as (name, text) lines for a reader; the file digests are left to manifest.json."""
    plain = msgspec.to_builtins(manifest)
    del plain["files"]
    lines: list[tuple[str, str]] = []
    _flatten("", plain, lines)
    lines.append(("files", f"{len(manifest.files)}, digests in {MANIFEST_NAME}"))
    return tuple(lines)


def _flatten(prefix: str, value: object, into: list[tuple[str, str]]) -> None:
    match value:
        case dict() if value:
            for key, part in value.items():
                _flatten(f"{prefix}.{key}" if prefix else str(key), part, into)
        case list() | tuple() if value:
            for number, part in enumerate(value, start=1):
                _flatten(f"{prefix}.{number}", part, into)
        case None:
            into.append((prefix, "unknown" if prefix != "endpoints" else "none"))
        case bool():
            into.append((prefix, "yes" if value else "no"))
        case dict() | list() | tuple():
            into.append((prefix, "none"))
        case _:
            into.append((prefix, str(value)))
