"""What the gate itself must find well before arming, each answer by its own name. What could not be found out is UNKNOWN, which is no pass."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from interlock.gate.checks import Check, OwnCheck, Verdict
from interlock.gate.clock_watch import SkewDenial
from interlock.gate.parts import Parts
from interlock.gate.venue_reads import KeyScope

ONE_WAY = "one_way"
ISOLATED_OR_CROSS = frozenset({"cross", "isolated", "cash"})
LEAST_KEY_LIFE_NS = 86_400 * 1_000_000_000
"""A key that expires sooner may end in the middle of a grant, and with it the leave to cancel."""


class VenueFinding(msgspec.Struct, frozen=True, kw_only=True):
    """What a venue said just now. A `key` of None was not answered; `skew` is why its clock forbids orders, None if it does not."""

    key: KeyScope | None
    skew: SkewDenial | None
    problem: str = ""


def own_checks(parts: Parts, found: Mapping[str, VenueFinding], *, disk_problem: str, drill: Check) -> tuple[Check, ...]:
    """All of them, in the order of `OwnCheck`."""
    now = parts.clock()
    state, readings = parts.keeper.state, parts.readings

    def check(name: OwnCheck, problems: list[str], unknown: list[str] | None = None, good: str = "") -> Check:
        verdict = Verdict.FAIL if problems else Verdict.UNKNOWN if unknown else Verdict.PASS
        return Check(name.value, verdict, "; ".join([*problems, *(unknown or [])]) or good, now.boot_ns)

    silent = [f"{venue}: {one.problem or 'it did not say'}" for venue, one in sorted(found.items()) if one.key is None]
    missing = sorted(set(parts.setup.accounts) - set(found))
    silent += [f"{venue}: not asked" for venue in missing]
    scope = [f"{venue}: {problem}" for venue, one in sorted(found.items()) if one.key for problem in _scope(one.key, now.wall_ns)]
    mode = [f"{venue}: {problem}" for venue, one in sorted(found.items()) if one.key for problem in _mode(one.key)]
    skewed = [f"{venue}: {one.skew.value}" for venue, one in sorted(found.items()) if one.skew is not None]
    fresh_ns = parts.keeper.state.sheet.account.freshness_equity_ns
    poor = [
        f"{venue}/{account}: its worth was not read lately"
        for venue, account in sorted(parts.setup.accounts.items())
        if (reading := readings.equity.get((venue, account))) is None or not 0 <= now.boot_ns - reading.boot_ns <= fresh_ns
    ]
    where = {(venue, account) for venue, account in parts.setup.accounts.items()}
    unexplained = [f"{venue}/{account}" for venue, account in sorted(where - state.lattice.reconciled)]
    failure = parts.keeper.journal.failure
    alone = [] if readings.sentinel_alive is True else ["it has not been seen to look"]
    watched = [] if readings.checker_alive is True else ["the checker has not been heard, or told of a violation"]
    return (
        check(OwnCheck.KEY_SCOPE, scope, silent, "may trade, may not withdraw"),
        check(OwnCheck.VENUE_CLOCK, skewed, silent, "within bounds"),
        check(OwnCheck.ACCOUNT_MODE, mode, silent, "one-way"),
        check(OwnCheck.MARGIN, [], poor, "worth known"),
        check(OwnCheck.RECONCILIATION, [f"{name}: not explained in this process life" for name in unexplained], None, "explained"),
        check(OwnCheck.JOURNAL, [str(failure)] if failure else [], ["it holds back records"] if parts.keeper.unwritten else None, "writes"),
        check(OwnCheck.DISK, [disk_problem] if disk_problem else [], None, "room for 48 h"),
        check(OwnCheck.SENTINEL, alone + watched, None, "looks"),
        drill,
    )


def _scope(key: KeyScope, wall_ns: int) -> list[str]:
    found = []
    if key.trade is not True:
        found.append("the key may not trade")
    if key.withdraw is not False:
        found.append("the key may withdraw; make one that may not")
    if key.transfer is not False:
        found.append("the key may transfer; make one that may not")
    if key.address_bound is not True:
        found.append("the key is not bound to an address")
    if key.expires_wall_ns and key.expires_wall_ns - wall_ns < LEAST_KEY_LIFE_NS:
        found.append("the key expires within a day")
    return found


def _mode(key: KeyScope) -> list[str]:
    found = []
    if key.position_mode not in (ONE_WAY, ""):
        found.append(f"expected position mode {ONE_WAY}, found {key.position_mode!r}")
    if key.margin_mode not in ISOLATED_OR_CROSS:
        found.append(f"expected a margin mode that is known, found {key.margin_mode!r}")
    return found
