"""What kill drills proved, folded from their records, and whether it is recent enough to arm on real money.

A sweep that finds nothing to cancel proves that the key and the way to the venue work, not that a cancel does; so the two kinds are kept apart.
What was proven outlives the process: it is about keys and the sentinel, and ages on the wall clock.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.records import Drilled, DrillKind, Endpoint, Record

NS_PER_HOUR = 3_600_000_000_000
SWEEP_GOOD_FOR_NS = 24 * NS_PER_HOUR
ORDER_GOOD_FOR_NS = 7 * 24 * NS_PER_HOUR


_WORSE = (Verdict.PASS, Verdict.UNKNOWN, Verdict.FAIL)
_TOLD = {verdict.value: verdict for verdict in Verdict}


class Drills(msgspec.Struct, frozen=True):
    """The fold: the drill that was recorded last for each venue and kind, in order of these two."""

    newest: tuple[Drilled, ...] = ()

    def digest_parts(self) -> tuple[object, ...]:
        """The whole state as plain data, in one order."""
        return ("drills", *(msgspec.to_builtins(drill) for drill in self.newest))


def apply(state: Drills, record: Record) -> Drills:
    """Fold one record; kinds other than `Drilled` leave the state as it is.

    What comes later in the journal is newer, whatever its time says: a wall clock can go back, and then a failure must not hide behind it.
    """
    if not isinstance(record, Drilled):
        return state
    key = (record.venue, record.kind)
    others = [drill for drill in state.newest if (drill.venue, drill.kind) != key]
    return Drills(tuple(sorted((*others, record), key=lambda drill: (drill.venue, drill.kind))))


class DrillNeed(msgspec.Struct, frozen=True, kw_only=True):
    """What must be proven for one venue that orders can go to."""

    venue: str
    endpoint: Endpoint
    key: str
    sentinel_build: str


def drill_verdict(drill: Drilled) -> Verdict:
    """What one drill shows: what its figures say, or its own verdict where that is worse.

    Zero cancelled of zero is UNKNOWN for an order drill: it tried nothing.
    """
    told = _TOLD.get(drill.verdict, Verdict.FAIL)
    return max(_by_figures(drill), told, key=_WORSE.index)


def _by_figures(drill: Drilled) -> Verdict:
    if drill.authenticated is not True or drill.remaining != 0 or drill.placed < 0 or drill.cancelled < 0:
        return Verdict.FAIL
    if drill.kind == DrillKind.SWEEP:
        return Verdict.PASS
    if drill.placed == 0 and drill.cancelled == 0:
        return Verdict.UNKNOWN
    return Verdict.PASS if drill.placed > 0 and drill.cancelled == drill.placed else Verdict.FAIL


def drill_check(drills: Drills, needs: Iterable[DrillNeed], *, wall_ns: int, boot_ns: int) -> Check:
    """The drill as a check for arming. On real: a sweep within 24 h and an order drill within 7 days, with this key and this sentinel.

    Only the last drill of each kind counts, so that one that failed is not hidden behind an older one. Ages are on the wall clock, because they
    outlive the host's uptime; a time ahead of it is not known. Elsewhere than on real the check is not used.
    """
    real = [need for need in needs if need.endpoint is not Endpoint.LOOPBACK and need.endpoint is not Endpoint.TESTNET]
    if not real:
        return Check(OwnCheck.DRILL.value, Verdict.PASS, "no venue on real", boot_ns, configured=False)
    worst, detail = Verdict.PASS, []
    for need in real:
        for kind, good_for_ns in ((DrillKind.SWEEP, SWEEP_GOOD_FOR_NS), (DrillKind.ORDER, ORDER_GOOD_FOR_NS)):
            verdict, what = _judge(drills, need, kind, good_for_ns, wall_ns)
            detail.append(f"{need.venue} {kind.value}: {what}")
            if verdict is Verdict.FAIL or worst is Verdict.PASS:
                worst = verdict
    return Check(OwnCheck.DRILL.value, worst, "; ".join(detail), boot_ns)


def _judge(drills: Drills, need: DrillNeed, kind: DrillKind, good_for_ns: int, wall_ns: int) -> tuple[Verdict, str]:
    last = next((drill for drill in drills.newest if (drill.venue, drill.kind) == (need.venue, kind)), None)
    if last is None:
        return Verdict.UNKNOWN, "none"
    if (last.endpoint, last.key, last.sentinel_build) != (need.endpoint, need.key, need.sentinel_build):
        return Verdict.UNKNOWN, "the last was with another key, sentinel or endpoint"
    age_ns = wall_ns - last.wall_ns
    if not 0 <= age_ns <= good_for_ns:
        return Verdict.UNKNOWN, "the last lies in the future" if age_ns < 0 else f"the last is {age_ns // NS_PER_HOUR} h old"
    return drill_verdict(last), f"cancelled {last.cancelled} of {last.placed}, {last.remaining} remained"
