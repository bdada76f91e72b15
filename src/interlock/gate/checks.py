"""What must be known to be well before arming. Not known is not well.

The gate checks itself and the venue, live. What else a preflight looks at comes from another process as evidence, bound to this process life, its
configuration and build.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from interlock.gate.records import Binding, Endpoint
from interlock.gate.refusal import Refusal

NS_PER_S = 1_000_000_000
OLDEST_CHECK_NS = 60 * NS_PER_S


class Verdict(StrEnum):
    """The answer of a check."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


class OwnCheck(StrEnum):
    """What the gate itself checks, with its own connection and its own eyes."""

    KEY_SCOPE = "key_scope"
    VENUE_CLOCK = "venue_clock"
    ACCOUNT_MODE = "account_mode"
    MARGIN = "margin"
    RECONCILIATION = "reconciliation"
    JOURNAL = "journal"
    DISK = "disk"
    SENTINEL = "sentinel"
    DRILL = "drill"


class OutsideCheck(StrEnum):
    """What only another process can see."""

    DATABASES = "databases"
    GIT = "git"
    CHANNELS = "channels"


NEVER_UNUSED = frozenset(OwnCheck) - {OwnCheck.MARGIN, OwnCheck.DRILL}
"""What every configuration uses where money is at stake, so that `configured: false` is no answer there."""


class Check(msgspec.Struct, frozen=True):
    """One answer, made at `boot_ns`. What the configuration does not use says PASS with `configured` false."""

    name: str
    verdict: Verdict
    detail: str
    boot_ns: int
    configured: bool = True


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The checks of another process on this host, made for one process life of the gate."""

    incarnation: str
    config: str
    build: str
    boot_ns: int
    checks: tuple[Check, ...]


def refuse_checks(
    own: Iterable[Check], evidence: Evidence | None, binding: Binding, endpoints: Iterable[Endpoint], now_boot_ns: int
) -> tuple[Refusal, ...]:
    """Every reason why the checks do not suffice to arm; none means that they do. On loopback alone the gate's own checks suffice."""
    found = list(own)
    loopback = only_loopback(binding, endpoints)
    refusals = []
    for own_name in OwnCheck:
        refusals += _refuse_missing(own_name.value, found)
        if not loopback and own_name in NEVER_UNUSED and any(c.name == own_name.value and c.configured is not True for c in found):
            refusals.append(
                Refusal(
                    f"check_{own_name.value}_not_configured",
                    f"expected {own_name.value} to be in use, found it not configured; configure it",
                )
            )
    if evidence is not None:
        refusals += _refuse_binding(evidence, binding, now_boot_ns)
        found += evidence.checks
    if not loopback:
        if evidence is None:
            refusals.append(Refusal("evidence_missing", "expected the evidence of a preflight, found none; run the preflight and repeat"))
        for outside in OutsideCheck:
            refusals += _refuse_missing(outside.value, evidence.checks if evidence is not None else ())
    for check in found:
        if check.verdict is not Verdict.PASS:
            refusals.append(
                Refusal(f"check_{check.name}", f"expected {check.name} to pass, found {check.verdict}: {check.detail}; mend it and repeat")
            )
        elif not 0 <= now_boot_ns - check.boot_ns <= OLDEST_CHECK_NS:
            refusals.append(Refusal(f"check_{check.name}_stale", f"expected {check.name} at most 60 s old, found it older; check again"))
    return tuple(refusals)


def only_loopback(binding: Binding, endpoints: Iterable[Endpoint]) -> bool:
    """Whether no order can leave this host: there are endpoints, and every one is loopback."""
    every = [binding.endpoint, *endpoints]
    return len(every) > 1 and all(endpoint is Endpoint.LOOPBACK for endpoint in every)


def _refuse_missing(name: str, found: Iterable[Check]) -> list[Refusal]:
    if any(check.name == name for check in found):
        return []
    return [Refusal(f"check_{name}_missing", f"expected a check of {name}, found none; not known is not well")]


def _refuse_binding(evidence: Evidence, binding: Binding, now_boot_ns: int) -> list[Refusal]:
    refusals = [
        Refusal(f"evidence_other_{part}", f"expected evidence for {part} {wanted!r}, found {given!r}; run the preflight against this gate")
        for part, wanted, given in (
            ("incarnation", binding.incarnation, evidence.incarnation),
            ("config", binding.config, evidence.config),
            ("build", binding.build, evidence.build),
        )
        if given != wanted or not wanted
    ]
    age_ns = now_boot_ns - evidence.boot_ns
    if age_ns < 0:
        refusals.append(Refusal("evidence_future", "expected evidence from before now, found a later time; run the preflight on this host"))
    elif not age_ns <= OLDEST_CHECK_NS:
        refusals.append(
            Refusal("evidence_stale", f"expected evidence at most 60 s old, found {age_ns // NS_PER_S} s; run the preflight again")
        )
    return refusals
