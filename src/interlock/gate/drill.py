"""What kill drills proved, folded from their records, and whether it is recent enough to arm.

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
    """The drill as a check for arming, of every venue: with this key and this sentinel, as often as `_proofs` says.

    Only the last drill of each kind counts, so that one that failed is not hidden behind an older one. Ages are on the wall clock, because they
    outlive the host's uptime; a time ahead of it is not known. With no venue at all nothing is known.
    """
    found = [proof for need in needs for proof in _proofs(drills, need, wall_ns)]
    worst = max((verdict for verdict, _ in found), key=_WORSE.index, default=Verdict.UNKNOWN)
    return Check(OwnCheck.DRILL.value, worst, "; ".join(what for _, what in found) or "no venue", boot_ns)


def undrilled(drills: Drills, needs: Iterable[DrillNeed], wall_ns: int) -> dict[str, str]:
    """The venues of which not all is proven, and what is known of each."""
    proofs = {need.venue: _proofs(drills, need, wall_ns) for need in needs}
    return {
        venue: "; ".join(what for _, what in found)
        for venue, found in proofs.items()
        if any(verdict is not Verdict.PASS for verdict, _ in found)
    }


def _proofs(drills: Drills, need: DrillNeed, wall_ns: int) -> list[tuple[Verdict, str]]:
    """On real a sweep within 24 h and an order drill within 7 days; elsewhere, where an order costs nothing, an order drill within 24 h."""
    good_for_ns = {DrillKind.ORDER: 24 * NS_PER_HOUR}
    if need.endpoint is not Endpoint.LOOPBACK and need.endpoint is not Endpoint.TESTNET:
        good_for_ns = {DrillKind.SWEEP: SWEEP_GOOD_FOR_NS, DrillKind.ORDER: ORDER_GOOD_FOR_NS}
    found = []
    for kind, longest_ns in good_for_ns.items():
        verdict, what = _judge(drills, need, kind, longest_ns, wall_ns)
        found.append((verdict, f"{need.venue} {kind.value}: {what}"))
    return found


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
