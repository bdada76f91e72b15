"""What the codes of Bybit v5 mean. Source: the venue's error code page; the classes are ours.

Business errors come with HTTP 200 and a `retCode`. That a placement was taken (`retCode` 0) says no more than that it is being processed.
"""

from __future__ import annotations

from typing import Final

from interlock.venues.trouble import Doing, Explained, Rule, Trouble, explain, rules

STATUSES: Final = {
    401: Rule(Trouble.INVALID_KEY, settled=False),
    403: Rule(
        Trouble.RATE_LIMIT,
        settled=False,
        hint="too many requests from this address, or an address of a country that is not served: the venue does not say which",
        action="everything stops for ten minutes; if it comes again, look where this host's address belongs",
    ),
    404: Rule(Trouble.INVALID_ORDER, settled=False, hint="there is no such request", action="this is a defect to report"),
    429: Rule(Trouble.RATE_LIMIT),
}
"""For answers without a `retCode` that can be read."""

RULES: Final = rules(
    ("10003 10004 10007 -2015 33004", Rule(Trouble.INVALID_KEY)),
    ("10010", Rule(Trouble.IP_RESTRICTION)),
    ("10002 -1", Rule(Trouble.CLOCK_SKEW)),
    ("10006 10018 170222 170005 10429 10403 20003", Rule(Trouble.RATE_LIMIT)),
    (
        "10005 10009 10024 10027 10028 10029 110066 110123 110124 110125 110132",
        Rule(Trouble.PERMISSION_DENIED),
    ),
    ("10000 170007 170146 170147 170310 10016 170001 170032 170234", Rule(Trouble.UNKNOWN_OUTCOME, settled=False)),
    (
        "10014 20006",
        Rule(Trouble.UNKNOWN_OUTCOME, settled=False, hint="the venue has seen a request like this one", action="find out about the first"),
    ),
    ("10019", Rule(Trouble.MAINTENANCE, hint="the trade service restarts and takes no new requests on this connection")),
    ("110063 110074 110095 170151 170031", Rule(Trouble.MAINTENANCE)),
    (
        "110004 110006 110007 110012 110014 110044 110045 110051 110052 110053 170033 170131",
        Rule(Trouble.INSUFFICIENT_BALANCE),
    ),
    (
        "110003 110094 110017 110120 110121 30208 30209 170124 170132 170133 170134 170135 170136 170137 170140 170148 170192 170193 170194 170371 "
        "170372 170381 170382 10001 110103 170217",
        Rule(Trouble.INVALID_ORDER),
    ),
    (
        "110020 110009 170810",
        Rule(Trouble.INVALID_ORDER, hint="too many orders are open", action="cancel some, or lower the limit on open orders"),
    ),
    ("10017", Rule(Trouble.INVALID_ORDER, hint="there is no such request", action="this is a defect to report")),
    ("110072 170141 12141", Rule(Trouble.DUPLICATE_CLIENT_ID, settled=False)),
    ("110001 110008 110010 110019 170139 170142 170143 170213 170190", Rule(Trouble.ORDER_NOT_FOUND, settled=False)),
    (
        "110079 170144 170191 170212 40004",
        Rule(Trouble.UNKNOWN, settled=False, hint="the order is being processed", action="nothing; it is tried again"),
    ),
    ("170218", Rule(Trouble.POST_ONLY_REJECT)),
    ("110043 110025 110026 34040", Rule(Trouble.INVALID_ORDER, hint="nothing to change: it is so already", action="nothing")),
) | {str(status): rule for status, rule in STATUSES.items()}
"""By `retCode`, which may also repeat the status. For cancels only its kind counts: nothing that the venue says of a cancel ends an order."""

NOTHING_TO_CHANGE: Final = frozenset({"110043", "110025", "110026", "34040"})
"""Answers to a change of mode or leverage that is in force already."""


def classify(status: int, code: str, doing: Doing) -> Explained:
    """Explain one refusal; `status` is the HTTP status (0 on a socket), `code` the `retCode` as text, empty where there was none."""
    return explain(RULES, STATUSES, status=status, code=code, doing=doing)
