"""What the gate itself must find well before arming, each answer by its own name. What could not be found out is UNKNOWN, which is no pass."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from interlock.gate.attested import ENDS, FACTS, Known, known
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
    said = state.attestations
    keys = [
        key_problems(venue, known(venue, one.key, said.of(venue, parts.setup.accounts.get(venue, "")), now.wall_ns), now.wall_ns)
        for venue, one in sorted(found.items())
        if one.key
    ]
    scope, untold = [problem for problems, _ in keys for problem in problems], [unknown for _, unknowns in keys for unknown in unknowns]
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
        check(OwnCheck.KEY_SCOPE, scope, [*silent, *untold], "may trade, may not withdraw"),
        check(OwnCheck.VENUE_CLOCK, skewed, silent, "within bounds"),
        check(OwnCheck.ACCOUNT_MODE, mode, silent, "one-way"),
        check(OwnCheck.MARGIN, [], poor, "worth known"),
        check(OwnCheck.RECONCILIATION, [f"{name}: not explained in this process life" for name in unexplained], None, "explained"),
        check(OwnCheck.JOURNAL, [str(failure)] if failure else [], ["it holds back records"] if parts.keeper.unwritten else None, "writes"),
        check(OwnCheck.DISK, [disk_problem] if disk_problem else [], None, "room for 48 h"),
        check(OwnCheck.SENTINEL, alone + watched, None, "looks"),
        drill,
    )


_GOOD = {"trade": True, "withdraw": False, "transfer": False, "address_bound": True}
_BAD = {
    "trade": "the key may not trade",
    "withdraw": "the key may withdraw; make one that may not",
    "transfer": "the key may transfer; make one that may not",
    "address_bound": "the key is not bound to an address",
    ENDS: "the key expires within a day",
}
_UNTOLD = {
    "trade": ("whether the key may trade", "--trade yes"),
    "withdraw": ("whether the key may withdraw", "--withdraw no"),
    "transfer": ("whether the key may transfer", "--transfer no"),
    "address_bound": ("whether the key is bound to an address", "--address-bound yes"),
    ENDS: ("when the key ends", "--expires YYYY-MM-DD"),
}


def key_problems(venue: str, about: Known, wall_ns: int) -> tuple[list[str], list[str]]:
    """What is bad about a key, and what nobody tells of it: each with its venue, and the latter with the command by which a person can."""
    bad, unknown = [], []
    lapsed = f"; what was attested does not hold: {about.lapsed}" if about.lapsed else ""
    for name in FACTS:
        value = getattr(about.key, name)
        if value is None:
            what, option = _UNTOLD[name]
            unknown.append(f"{venue}: not known {what}{lapsed}; look there, and `interlock attest --venue {venue} {option}`")
        elif (value and value - wall_ns < LEAST_KEY_LIFE_NS) if name == ENDS else value is not _GOOD[name]:
            bad.append(f"{venue}: {_BAD[name]}")
    return bad, unknown


def _mode(key: KeyScope) -> list[str]:
    found = []
    if key.position_mode not in (ONE_WAY, ""):
        found.append(f"expected position mode {ONE_WAY}, found {key.position_mode!r}")
    if key.margin_mode not in ISOLATED_OR_CROSS:
        found.append(f"expected a margin mode that is known, found {key.margin_mode!r}")
    return found
