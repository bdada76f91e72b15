"""What a venue's refusal means, in one vocabulary, and what may be concluded from it.

Each venue's `errors` says which code means what, by status and code and never by the words of a message. On a placement only what is listed there as
settled says that there is no order; everything else leaves the outcome unknown, and it is found out by reading, never by sending again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Trouble(StrEnum):
    """Every kind of refusal that is told apart."""

    INVALID_KEY = "INVALID_KEY"
    IP_RESTRICTION = "IP_RESTRICTION"
    CLOCK_SKEW = "CLOCK_SKEW"
    RATE_LIMIT = "RATE_LIMIT"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    NETWORK_ERROR = "NETWORK_ERROR"
    INSUFFICIENT_BALANCE = "INSUFFICIENT_BALANCE"
    INVALID_ORDER = "INVALID_ORDER"
    DUPLICATE_CLIENT_ID = "DUPLICATE_CLIENT_ID"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    POST_ONLY_REJECT = "POST_ONLY_REJECT"
    MAINTENANCE = "MAINTENANCE"
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
    UNKNOWN = "UNKNOWN"


class Doing(StrEnum):
    """What was asked for when the venue refused."""

    READ = "read"
    PLACE = "place"
    AMEND = "amend"
    CANCEL = "cancel"

    @property
    def raises_risk(self) -> bool:
        """Whether an order may have come into being, or grown, all the same."""
        return self in (Doing.PLACE, Doing.AMEND)


@dataclass(frozen=True, slots=True)
class Rule:
    """What one code means. `settled`: a placement or amend that it answers has certainly not been carried out.

    A server's fault (HTTP 500 and above) settles nothing, except at the status `at`. `hint` and `action` are for this code; empty ones are those
    of its kind.
    """

    trouble: Trouble
    settled: bool = True
    at: int = 0
    hint: str = ""
    action: str = ""


@dataclass(frozen=True, slots=True)
class Explained:
    """A refusal, explained. `settled` is true only for a placement or amend that has certainly not been carried out."""

    trouble: Trouble
    status: int
    code: str
    settled: bool
    hint: str
    action: str


_WORDS: Final[Mapping[Trouble, tuple[str, str]]] = {
    Trouble.INVALID_KEY: (
        "the venue does not take the key or the proof",
        "check that key, secret and endpoint belong together and that the key has not expired",
    ),
    Trouble.IP_RESTRICTION: (
        "the venue does not take requests from this address",
        "allow this host's address for the key, or use the host that is allowed",
    ),
    Trouble.CLOCK_SKEW: (
        "the request's time is outside of the venue's window",
        "look at the host's time service; the gate denies until the clock is good",
    ),
    Trouble.RATE_LIMIT: ("too many requests", "wait as long as the venue says; if it comes again, lower the rates in the limits"),
    Trouble.PERMISSION_DENIED: (
        "the key or the account may not do this",
        "compare the key's permissions and the account's state with what the configuration needs",
    ),
    Trouble.NETWORK_ERROR: ("the venue did not answer properly", "nothing was changed by a read; it is asked again by itself"),
    Trouble.INSUFFICIENT_BALANCE: ("the balance or the margin is too small", "look at the account; lower the limits or add funds"),
    Trouble.INVALID_ORDER: (
        "the order breaks a rule of the venue",
        "refresh the instrument's rules; if they are fresh this is a defect to report",
    ),
    Trouble.DUPLICATE_CLIENT_ID: (
        "an order with this client id exists or existed",
        "find out about that order; on a first sending somebody else uses our ids: everything is halted",
    ),
    Trouble.ORDER_NOT_FOUND: (
        "the venue does not know this order, which is no proof that it never was",
        "read the order, its fills and the position",
    ),
    Trouble.POST_ONLY_REJECT: ("the post-only order would have taken", "nothing; a strategy proposes again at another price"),
    Trouble.MAINTENANCE: ("the venue or the market is closed for now", "wait for the venue's status; nothing is sent meanwhile"),
    Trouble.UNKNOWN_OUTCOME: ("whether this was carried out is not known", "nothing is sent again; the outcome is found out by reading"),
    Trouble.UNKNOWN: ("the venue's answer is not on our list", "look the code up with the venue and report it, so that it is added"),
}


def explain(rules: Mapping[str, Rule], statuses: Mapping[int, Rule], *, status: int, code: str, doing: Doing) -> Explained:
    """Explain one refusal. `status` is the HTTP status, 0 where there was none; `code` the venue's own, empty where there was none.

    A code decides before a status. Never concludes from what is not listed: a placement is then of unknown outcome, and so is a server's fault.
    """
    rule = rules.get(code) if code else statuses.get(status)
    if rule is None:
        kind = Trouble.NETWORK_ERROR if (status >= 500 or status == 0) and doing is Doing.READ else Trouble.UNKNOWN
        rule = Rule(kind, settled=False)
    trouble, settled = rule.trouble, rule.settled and doing.raises_risk and (status < 500 or status == rule.at)
    if doing.raises_risk and not settled and trouble is not Trouble.DUPLICATE_CLIENT_ID:
        trouble = Trouble.UNKNOWN_OUTCOME
    elif trouble is Trouble.UNKNOWN_OUTCOME and doing is Doing.READ:
        trouble = Trouble.NETWORK_ERROR
    own = trouble is rule.trouble
    hint, action = _WORDS[trouble]
    return Explained(trouble, status, code, settled, (own and rule.hint) or hint, (own and rule.action) or action)


def rules(*parts: tuple[str, Rule]) -> dict[str, Rule]:
    """A table from pairs of codes, separated by blanks, and what they mean. Raises ValueError for a code that stands twice."""
    table: dict[str, Rule] = {}
    for codes, rule in parts:
        for code in codes.split():
            if code in table:
                raise ValueError(f"code {code}: expected once, found twice")
            table[code] = rule
    return table
