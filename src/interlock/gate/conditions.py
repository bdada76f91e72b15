"""The environment of an arming ceremony, read strictly: every way of being almost armed has its own name.

The variables are those of the terminal at which a person arms; found anywhere else they grant nothing. `READ_ONLY_ENFORCED` is the gate's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

import msgspec

from interlock.gate.refusal import Refusal

ACK_NAME = "LIVE_ARM_ACK"
AT_NAME = "LIVE_ARM_AT"
CAP_NAME = "LIVE_MAX_NOTIONAL_USD"
READ_ONLY_NAME = "READ_ONLY_ENFORCED"
ACKNOWLEDGEMENT = "I_UNDERSTAND_LIVE_RISK"
NS_PER_S = 1_000_000_000
OLDEST_S = 600
SMALLEST_CAP_USD = Decimal(10)
LARGEST_CAP_USD = Decimal(1000)

_SECONDS = re.compile(r"0|[1-9][0-9]{0,11}")
_AMOUNT = re.compile(r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,8})?")


class ConditionRefusal(Refusal, frozen=True):
    """A refusal on account of the environment."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says when it says all of it rightly: the cap on gross worst-case exposure, and when it was set (unix seconds)."""

    cap_usd: Decimal
    armed_at_wall_s: int


def read_conditions(environ: Mapping[str, str], wall_ns: int) -> Conditions | ConditionRefusal:
    """Read the three arming variables; the first that is not exactly right refuses."""
    refused = (
        _refuse_text(environ, ACK_NAME, "ack", ACKNOWLEDGEMENT)
        or _refuse_acknowledgement(environ[ACK_NAME])
        or _refuse_text(environ, AT_NAME, "at", "the unix time of now, in seconds, for example from `date +%s`")
        or refuse_time(environ[AT_NAME], wall_ns)
        or _refuse_text(environ, CAP_NAME, "cap", "a plain decimal number from 10 to 1000")
        or _refuse_cap(environ[CAP_NAME])
    )
    if refused is not None:
        return refused
    return Conditions(cap_usd=Decimal(environ[CAP_NAME]), armed_at_wall_s=int(environ[AT_NAME]))


def read_only(environ: Mapping[str, str]) -> bool:
    """Whether orders are forbidden: yes unless READ_ONLY_ENFORCED is there and is exactly `false`."""
    return environ.get(READ_ONLY_NAME) != "false"


def read_only_refusal(environ: Mapping[str, str]) -> ConditionRefusal | None:
    """Why orders are forbidden by READ_ONLY_ENFORCED, or None when they are not."""
    if not read_only(environ):
        return None
    refused = _refuse_text(environ, READ_ONLY_NAME, "read_only", "false")
    if refused is not None:
        return refused
    value = environ[READ_ONLY_NAME]
    rule = "read_only_case" if value.lower() == "false" else "read_only_set" if value == "true" else "read_only_unknown"
    return ConditionRefusal(rule, _said(READ_ONLY_NAME, "exactly `false` to allow orders", value))


def refuse_time(text: str, wall_ns: int) -> ConditionRefusal | None:
    """Why a time of arming does not count: not plain seconds, ahead of the wall clock, or over 600 s old."""
    if _SECONDS.fullmatch(text) is None:
        return ConditionRefusal("at_malformed", _said(AT_NAME, "plain digits of unix seconds", text))
    age_ns = wall_ns - int(text) * NS_PER_S
    if age_ns < 0:
        return ConditionRefusal("at_future", _said(AT_NAME, f"a time not after {wall_ns // NS_PER_S}", text))
    if not age_ns <= OLDEST_S * NS_PER_S:
        return ConditionRefusal("at_stale", _said(AT_NAME, f"a time at most {OLDEST_S} s before {wall_ns // NS_PER_S}", text))
    return None


def _refuse_text(environ: Mapping[str, str], name: str, rule: str, wanted: str) -> ConditionRefusal | None:
    value = environ.get(name)
    if value is None:
        return ConditionRefusal(f"{rule}_missing", f"expected {name} to be {wanted}, found it not set; set it in the terminal and repeat")
    if not value:
        return ConditionRefusal(f"{rule}_empty", _said(name, wanted, value))
    if value.strip() != value:
        return ConditionRefusal(f"{rule}_blank", _said(name, f"{wanted}, without blanks around it", value))
    return None


def _refuse_acknowledgement(value: str) -> ConditionRefusal | None:
    if value == ACKNOWLEDGEMENT:
        return None
    rule = "ack_case" if value.upper() == ACKNOWLEDGEMENT else "ack_wrong"
    return ConditionRefusal(rule, _said(ACK_NAME, f"exactly {ACKNOWLEDGEMENT}", value))


def _refuse_cap(value: str) -> ConditionRefusal | None:
    if _AMOUNT.fullmatch(value) is None:
        return ConditionRefusal("cap_malformed", _said(CAP_NAME, "a plain decimal number such as 100 or 99.50", value))
    cap = Decimal(value)
    if not cap >= SMALLEST_CAP_USD:
        return ConditionRefusal("cap_too_small", _said(CAP_NAME, f"at least {SMALLEST_CAP_USD}", value))
    if not cap <= LARGEST_CAP_USD:
        return ConditionRefusal("cap_too_large", _said(CAP_NAME, f"at most {LARGEST_CAP_USD}", value))
    return None


def _said(name: str, wanted: str, found: str) -> str:
    return f"expected {name} to be {wanted}, found {found!r}; correct it and repeat"
