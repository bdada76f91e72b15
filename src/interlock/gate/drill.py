"""What a kill drill proved, and whether what was proven is recent enough to arm on real money.

A sweep that finds nothing to cancel proves that the key and the way to the venue work, not that a cancel does; so the two kinds are kept apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.records import Endpoint

NS_PER_HOUR = 3_600_000_000_000
SWEEP_GOOD_FOR_NS = 24 * NS_PER_HOUR
ORDER_GOOD_FOR_NS = 7 * 24 * NS_PER_HOUR


class DrillKind(StrEnum):
    """SWEEP: the sentinel lists and cancels where nothing rests. ORDER: it cancels what the drill placed, with the gate stopped."""

    SWEEP = "sweep"
    ORDER = "order"


class DrillResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the sentinel read back from a venue. `key` and `sentinel_build` identify what was proven; `wall_ns` is when it ended."""

    kind: DrillKind
    venue: str
    endpoint: Endpoint
    key: str
    sentinel_build: str
    wall_ns: int
    authenticated: bool
    placed: int
    cancelled: int
    remaining: int


class DrillNeed(msgspec.Struct, frozen=True, kw_only=True):
    """What must be proven for one venue that orders can go to."""

    venue: str
    endpoint: Endpoint
    key: str
    sentinel_build: str


def drill_verdict(result: DrillResult) -> Verdict:
    """What one drill shows. Zero cancelled of zero is UNKNOWN for an order drill: it tried nothing."""
    if result.authenticated is not True or result.remaining != 0 or result.placed < 0 or result.cancelled < 0:
        return Verdict.FAIL
    if result.kind is DrillKind.SWEEP:
        return Verdict.PASS
    if result.placed == 0 and result.cancelled == 0:
        return Verdict.UNKNOWN
    return Verdict.PASS if result.placed > 0 and result.cancelled == result.placed else Verdict.FAIL


def drill_check(results: Iterable[DrillResult], needs: Iterable[DrillNeed], *, wall_ns: int, boot_ns: int) -> Check:
    """The drill as a check for arming. On real: a sweep within 24 h and an order drill within 7 days, with this key and this sentinel.

    The newest drill of each kind counts, so that one that failed is not hidden behind an older one. Ages are on the wall clock, because they
    outlive the host's uptime; a time ahead of it is not known. Elsewhere than on real the check is not used.
    """
    real = [need for need in needs if need.endpoint is not Endpoint.LOOPBACK and need.endpoint is not Endpoint.TESTNET]
    if not real:
        return Check(OwnCheck.DRILL.value, Verdict.PASS, "no venue on real", boot_ns, configured=False)
    every = tuple(results)
    worst, detail = Verdict.PASS, []
    for need in real:
        for kind, good_for_ns in ((DrillKind.SWEEP, SWEEP_GOOD_FOR_NS), (DrillKind.ORDER, ORDER_GOOD_FOR_NS)):
            verdict, what = _judge(every, need, kind, good_for_ns, wall_ns)
            detail.append(f"{need.venue} {kind.value}: {what}")
            if verdict is Verdict.FAIL or worst is Verdict.PASS:
                worst = verdict
    return Check(OwnCheck.DRILL.value, worst, "; ".join(detail), boot_ns)


def _judge(every: tuple[DrillResult, ...], need: DrillNeed, kind: DrillKind, good_for_ns: int, wall_ns: int) -> tuple[Verdict, str]:
    fitting = [
        r
        for r in every
        if (r.kind, r.venue, r.endpoint, r.key, r.sentinel_build) == (kind, need.venue, need.endpoint, need.key, need.sentinel_build)
    ]
    if not fitting:
        return Verdict.UNKNOWN, "none with this key and sentinel"
    newest = max(fitting, key=lambda r: r.wall_ns)
    age_ns = wall_ns - newest.wall_ns
    if not 0 <= age_ns <= good_for_ns:
        return Verdict.UNKNOWN, "newest lies in the future" if age_ns < 0 else f"newest is {age_ns // NS_PER_HOUR} h old"
    return drill_verdict(newest), f"cancelled {newest.cancelled} of {newest.placed}, {newest.remaining} remained"
