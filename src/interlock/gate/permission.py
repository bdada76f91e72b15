"""What an order may do now: asked when it is decided and again, with nothing awaited in between, before its first byte.

Everything that must be true is compared here, each part under its own name, so that a refusal says what was missing. Cancels are not asked about:
no grant, variable or level of a grant stands in their way.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from interlock.gate.arming import Arming, LiveGrant
from interlock.gate.records import Binding, Level, Purpose
from interlock.gate.verbs import Verb, allows

NS_PER_MINUTE = 60_000_000_000
WARN_AT_MINUTES = (30, 10, 2)


class Denial(StrEnum):
    """Why an order may not do something."""

    READ_ONLY = "read_only"
    KILLED = "killed"
    NOT_ARMED = "not_armed"
    UNEXPLAINED = "unexplained"
    OTHER_INCARNATION = "grant_other_incarnation"
    OTHER_HOST = "grant_other_host"
    OTHER_ACCOUNT = "grant_other_account"
    OTHER_ENDPOINT = "grant_other_endpoint"
    OTHER_BUILD = "grant_other_build"
    OTHER_CONFIG = "grant_other_config"
    OTHER_STRATEGY = "grant_other_strategy"
    OTHER_LIMITS = "grant_other_limits"
    SYMBOL_NOT_GRANTED = "symbol_not_granted"
    SYMBOL_NOT_CONFIGURED = "symbol_not_configured"
    METADATA_CHANGED = "metadata_changed"
    MANDATE_OVER = "mandate_over"
    LEVEL_FORBIDS = "level_forbids"
    LEVEL_REDUCES = "level_reduces"
    DISARMED = "disarmed"
    SYMBOL_DISARMED = "symbol_disarmed"
    EXPIRED = "grant_expired"
    DRILL_SPENT = "drill_spent"
    DRILL_AMEND = "drill_amend"


class May(StrEnum):
    """The most that an order may do."""

    NEW_RISK = "new_risk"
    REDUCE = "reduce"
    NOTHING = "nothing"


class Permission(msgspec.Struct, frozen=True):
    """The answer. `denial` says why not more; None with new risk. With REDUCE the order must still fit a clause of the mandate."""

    may: May
    denial: Denial | None


_NEW_RISK = Permission(May.NEW_RISK, None)
_REDUCE = {denial: Permission(May.REDUCE, denial) for denial in Denial}
_NOTHING = {denial: Permission(May.NOTHING, denial) for denial in Denial}


def permission(
    live: LiveGrant | None,
    state: Arming,
    level: Level,
    now_boot_ns: int,
    binding: Binding,
    symbol: str,
    *,
    read_only: bool,
    client_id: str = "",
    revision: int = 0,
) -> Permission:
    """What an order on `symbol` ("venue/symbol") may do at `now_boot_ns`.

    `level` is the effective one for this order, `binding` what is true now, `read_only` the gate's own variable as it reads now: anything but
    False denies. `client_id` is that of an order that has its permit already, and empty for one that asks for it: under a drill's grant only the
    order that spent it still passes. `revision` above 0 is an amend, which no drill makes.
    """
    denial = _barred(state, read_only)
    if denial is not None:
        return _NOTHING[denial]
    if live is None or not state.armed or live.grant.grant_id != state.armed:
        return _NOTHING[Denial.NOT_ARMED]
    grant = live.grant
    denial = _binding_denial(grant.binding, binding, state.incarnation) or _symbol_denial(
        grant.binding, live.triples.get(symbol), binding, symbol
    )
    if denial is not None:
        return _NOTHING[denial]
    if state.mandate_over or symbol in state.symbols_over or not grant.minted_boot_ns <= now_boot_ns < grant.mandate_until_boot_ns:
        return _NOTHING[Denial.MANDATE_OVER]
    if not allows(level, state.killed, Verb.REDUCE):
        return _NOTHING[Denial.LEVEL_FORBIDS]
    drill = grant.purpose is not Purpose.TRADE or state.purpose is not Purpose.TRADE
    less = _NOTHING if drill else _REDUCE
    if state.ended:
        return less[Denial.DISARMED]
    if symbol in state.symbols_out:
        return less[Denial.SYMBOL_DISARMED]
    if not now_boot_ns < grant.expires_boot_ns:
        return less[Denial.EXPIRED]
    if not allows(level, state.killed, Verb.NEW_RISK):
        return less[Denial.LEVEL_REDUCES]
    if drill and revision:
        return _NOTHING[Denial.DRILL_AMEND]
    if drill and state.spent_by and state.spent_by != client_id:
        return _NOTHING[Denial.DRILL_SPENT]
    return _NEW_RISK


def _barred(state: Arming, read_only: bool) -> Denial | None:
    if read_only is not False:
        return Denial.READ_ONLY
    if state.killed is not False:
        return Denial.KILLED
    return Denial.UNEXPLAINED if state.unexplained else None


def _binding_denial(held: Binding, now: Binding, incarnation: str) -> Denial | None:
    """The first part of what a grant is good for that is not so now."""
    if not incarnation or held.incarnation != incarnation or now.incarnation != incarnation:
        return Denial.OTHER_INCARNATION
    if held.host != now.host:
        return Denial.OTHER_HOST
    if held.account != now.account:
        return Denial.OTHER_ACCOUNT
    if held.endpoint != now.endpoint:
        return Denial.OTHER_ENDPOINT
    if held.build != now.build:
        return Denial.OTHER_BUILD
    if held.config != now.config:
        return Denial.OTHER_CONFIG
    if held.strategy != now.strategy:
        return Denial.OTHER_STRATEGY
    return Denial.OTHER_LIMITS if held.limits != now.limits else None


def _symbol_denial(held: Binding, triple: tuple[str, str, str] | None, now: Binding, symbol: str) -> Denial | None:
    """Whether one symbol is granted, and still means what it meant: after a change of tick, lot or multiplier the same numbers are another order."""
    if triple is None:
        return Denial.SYMBOL_NOT_GRANTED
    if held.symbols is now.symbols or triple in now.symbols:
        return None
    known = any(f"{venue}/{name}" == symbol for venue, name, _ in now.symbols)
    return Denial.METADATA_CHANGED if known else Denial.SYMBOL_NOT_CONFIGURED


def warnings_due(live: LiveGrant, before_boot_ns: int, now_boot_ns: int) -> tuple[int, ...]:
    """Which of 30, 10 and 2 minutes to the end of the grant were passed since the time `before_boot_ns`."""
    expires = live.grant.expires_boot_ns
    since = max(before_boot_ns, live.grant.minted_boot_ns)
    return tuple(m for m in WARN_AT_MINUTES if since < expires - m * NS_PER_MINUTE <= now_boot_ns)
