"""Whether time can be believed: three clocks of the host against each other, and the venue's clock as an interval.

A grant's lifetime runs on CLOCK_BOOTTIME. A host that slept, a wall clock that was set and a loop that stood still all mean that decisions were
made on a past which the gate did not see, so each of them ends the grant by name.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from interlock.gate.records import Disarmed

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
MOST_SUSPENDED_NS = NS_PER_S
MOST_WALL_JUMP_NS = NS_PER_S
MOST_LOOP_GAP_NS = 5 * NS_PER_S
MOST_SKEW_NS = 250 * NS_PER_MS
JUMP_WINDOW_NS = 60 * NS_PER_S
"""A jump is a move within this time; slewing by a time daemon (at most 0.05 %) stays far below a second in it."""


class ClockFault(StrEnum):
    """What was wrong with the host's time; the value is the reason of the disarm."""

    SUSPENDED = "clock_suspended"
    WALL_JUMPED = "clock_wall_jumped"
    LOOP_GAP = "clock_loop_gap"
    WENT_BACK = "clock_went_back"


class ClockReading(msgspec.Struct, frozen=True, kw_only=True):
    """The three clocks, read together; nanoseconds."""

    boot_ns: int
    mono_ns: int
    wall_ns: int


class ClockWatch(msgspec.Struct, frozen=True, kw_only=True):
    """What the readings so far leave to compare with: the first, the one that jumps are measured from, and the last."""

    first: ClockReading
    anchor: ClockReading
    last: ClockReading


def begin(reading: ClockReading) -> ClockWatch:
    """A watch that starts now."""
    return ClockWatch(first=reading, anchor=reading, last=reading)


def observe(watch: ClockWatch, reading: ClockReading) -> tuple[ClockWatch, tuple[ClockFault, ...]]:
    """Compare a reading with those before. After a fault the watch starts anew, so that a person can arm again; ask at every turn of the loop."""
    faults = []
    if reading.boot_ns < watch.last.boot_ns or reading.mono_ns < watch.last.mono_ns:
        faults.append(ClockFault.WENT_BACK)
    slept = (reading.boot_ns - reading.mono_ns) - (watch.first.boot_ns - watch.first.mono_ns)
    if not -MOST_SUSPENDED_NS <= slept <= MOST_SUSPENDED_NS:
        faults.append(ClockFault.SUSPENDED)
    if not all(-MOST_WALL_JUMP_NS <= _wall_move(base, reading) <= MOST_WALL_JUMP_NS for base in (watch.anchor, watch.last)):
        faults.append(ClockFault.WALL_JUMPED)
    if not reading.boot_ns - watch.last.boot_ns <= MOST_LOOP_GAP_NS:
        faults.append(ClockFault.LOOP_GAP)
    if faults:
        return begin(reading), tuple(faults)
    anchor = reading if reading.boot_ns - watch.anchor.boot_ns >= JUMP_WINDOW_NS else watch.anchor
    return ClockWatch(first=watch.first, anchor=anchor, last=reading), ()


def _wall_move(base: ClockReading, reading: ClockReading) -> int:
    return (reading.wall_ns - reading.boot_ns) - (base.wall_ns - base.boot_ns)


def disarm_records(faults: tuple[ClockFault, ...], boot_ns: int) -> tuple[Disarmed, ...]:
    """One disarm for each fault, named. The reduce mandate lives on."""
    return tuple(Disarmed(boot_ns=boot_ns, reason=fault.value, actor="gate") for fault in faults)


class SkewDenial(StrEnum):
    """Why orders to a venue are denied on account of its clock."""

    UNKNOWN = "venue_clock_unknown"
    STALE = "venue_clock_stale"
    NONSENSE = "venue_clock_nonsense"
    OUTSIDE = "venue_clock_outside"
    TOO_WIDE = "venue_clock_too_wide"


class SkewSample(msgspec.Struct, frozen=True, kw_only=True):
    """A question for the venue's time: asked at `asked_wall_ns`, answered `venue_ns` after `round_trip_ns` (on CLOCK_BOOTTIME), at `boot_ns`."""

    asked_wall_ns: int
    venue_ns: int
    round_trip_ns: int
    boot_ns: int

    @property
    def interval_ns(self) -> tuple[int, int]:
        """Venue minus wall, lowest and highest: the answer was made somewhere in the round trip (offset ± half of it)."""
        ahead = self.venue_ns - self.asked_wall_ns
        return ahead - self.round_trip_ns, ahead


def skew_denial(sample: SkewSample | None, *, receive_window_ns: int | None, now_boot_ns: int, max_age_ns: int) -> SkewDenial | None:
    """Why a venue is denied on account of its clock, or None.

    Denied when the whole interval lies outside ±250 ms, or is wider than a quarter of the venue's receive window. `receive_window_ns` is None
    for a venue whose requests carry no signed time: there only the host's own clocks are watched.
    """
    if receive_window_ns is None:
        return None
    if sample is None:
        return SkewDenial.UNKNOWN
    age = now_boot_ns - sample.boot_ns
    if not (sample.round_trip_ns >= 0 and age >= 0 and receive_window_ns > 0):
        return SkewDenial.NONSENSE
    if not age <= max_age_ns:
        return SkewDenial.STALE
    lo, hi = sample.interval_ns
    if not (lo <= MOST_SKEW_NS and hi >= -MOST_SKEW_NS):
        return SkewDenial.OUTSIDE
    if not 4 * (hi - lo) <= receive_window_ns:
        return SkewDenial.TOO_WIDE
    return None
