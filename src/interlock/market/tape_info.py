"""What a tape says about itself: the contents of `tape.json`.

One schema, strict: an unknown key or a missing one is damage, not a variant. Times are nanoseconds since the
Unix epoch.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from interlock.domain.instruments import Instrument

Provenance = Literal["real", "constructed", "synthetic"]
"""real: recorded bytes of a venue. constructed: real prices, but not in the form a venue sent them (bars, re-anchored
books). synthetic: generated."""


class SourceFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file that the tape was made from, as given (compressed or not): its name without the folder, digest,
    size, and lines or records. `raw` is the stored copy of its decompressed bytes, empty where none is kept."""

    name: str
    sha256: str
    bytes: int
    lines: int
    raw: str = ""


class ClockEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was done to the receive times.

    receive_ns of a row = recorded time + `offset_ns`. `feed_latency` is `assumed` where the recorded clock could not
    be used: the smallest latency is then `floor_ns` by assumption, and only the differences between latencies are
    measured; the recorded time of a venue's archive is when the venue sent, and `floor_ns` comes on top. `none`: the
    times were constructed. `clamped`: rows whose recorded time went back by less than `tolerance_ns` and were set to
    the time of the row before.
    """

    feed_latency: Literal["measured", "assumed", "none"]
    corrected: bool = False
    offset_ns: int = 0
    floor_ns: int | None = None
    recorded_median_latency_ns: int | None = None
    recorded_smallest_latency_ns: int | None = None
    tolerance_ns: int = 0
    clamped: int = 0


class DepthInterval(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often depth came, in milliseconds: as the stream's name declares, and the median between two frames'
    exchange times. None where unknown. Queue models use the larger of the two."""

    declared_ms: int | None = None
    measured_ms: float | None = None


class StoredFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Size and digest of one file of the tape."""

    bytes: int
    sha256: str


class TapeInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `tape.json`. `kinds` counts rows by kind name; `depth_interval_ms` goes by instrument key;
    `files` lists every other file of the tape, so that this file's digest pins them all."""

    version: int
    made_by: str
    provenance: Provenance
    instruments: tuple[Instrument, ...]
    sources: tuple[SourceFile, ...]
    clock: ClockEntry
    depth_interval_ms: dict[str, DepthInterval]
    rows: int
    frames: int
    kinds: dict[str, int]
    first_exchange_ns: int | None
    last_exchange_ns: int | None
    first_receive_ns: int | None
    last_receive_ns: int | None
    bars: bool
    bar_interval_s: int | None
    notes: tuple[str, ...]
    files: dict[str, StoredFile]


class VersionOnly(msgspec.Struct):
    """The one key that is read before the rest."""

    version: int
