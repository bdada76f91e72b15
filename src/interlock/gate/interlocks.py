"""When an interlock trips, when it clears itself, and when it has done so too often to be trusted with that."""

from __future__ import annotations

import msgspec

from interlock.domain.errors import UsageError
from interlock.gate.lattice import MOST_TRIPS_COUNTED, NS_PER_HOUR, Lattice, trip_times
from interlock.gate.records import InterlockCleared, InterlockTripped, Record, Scope
from interlock.gate.verbs import LEVEL_OF, SELF_CLEARING, Cause, latch_for


class InterlockRule(msgspec.Struct, frozen=True, kw_only=True):
    """How long a condition must hold before its interlock clears, and from when on a person must look.

    `latch_at_trips_an_hour`: the trip that becomes a latch, 2 to 32. Raises UsageError for a cause that latches at once or a figure that makes
    no sense.
    """

    cause: Cause
    quarantine_ns: int
    latch_at_trips_an_hour: int
    latch_after_ns: int

    def __post_init__(self) -> None:
        if self.cause not in SELF_CLEARING:
            raise UsageError(f"interlock {self.cause}: expected one of {', '.join(sorted(SELF_CLEARING))}; other causes latch at once")
        if not (self.quarantine_ns > 0 and self.latch_after_ns > self.quarantine_ns):
            raise UsageError(
                f"interlock {self.cause}: expected 0 < quarantine_ns < latch_after_ns, found {self.quarantine_ns} and {self.latch_after_ns}"
            )
        if not 2 <= self.latch_at_trips_an_hour <= MOST_TRIPS_COUNTED:
            raise UsageError(
                f"interlock {self.cause}: expected latch_at_trips_an_hour from 2 to {MOST_TRIPS_COUNTED}, found {self.latch_at_trips_an_hour}"
            )


def interlock_records(
    state: Lattice, rule: InterlockRule, *, scope: Scope, subject: str, true_since_boot_ns: int | None, boot_ns: int, reason: str
) -> tuple[Record, ...]:
    """What is to be recorded about one condition now; asked again at every event and tick.

    `true_since_boot_ns` is since when the condition has been true without a break; None if it is false or not known. A time ahead of
    `boot_ns` counts as not known.
    """
    name = rule.cause.value
    good_since = true_since_boot_ns if true_since_boot_ns is not None and true_since_boot_ns <= boot_ns else None
    tripped = next((t for t in state.trips if (t.name, t.scope, t.subject) == (name, scope, subject)), None)
    latched = any((h.name, h.scope, h.subject) == (name, scope, subject) for h in state.latches)
    if tripped is None:
        if good_since is not None:
            return ()
        trip = InterlockTripped(boot_ns=boot_ns, name=name, scope=scope, subject=subject, level=LEVEL_OF[rule.cause], reason=reason)
        recent = sum(1 for ns in trip_times(state, name, scope, subject) if ns > boot_ns - NS_PER_HOUR) + 1
        if latched or recent < rule.latch_at_trips_an_hour:
            return (trip,)
        return (trip, _latch(rule, scope, subject, f"tripped {recent} times within an hour: {reason}", boot_ns))
    if good_since is not None and boot_ns - max(good_since, tripped.since_boot_ns) >= rule.quarantine_ns:
        return (InterlockCleared(boot_ns=boot_ns, name=name, scope=scope, subject=subject),)
    if latched or boot_ns - tripped.since_boot_ns <= rule.latch_after_ns:
        return ()
    return (_latch(rule, scope, subject, f"not cleared within {rule.latch_after_ns} ns: {reason}", boot_ns),)


def _latch(rule: InterlockRule, scope: Scope, subject: str, reason: str, boot_ns: int) -> Record:
    return latch_for(rule.cause, scope=scope, subject=subject, reason=reason, actor="gate", boot_ns=boot_ns)
