"""What the codes of Binance USDⓈ-M futures mean. Source: the venue's error code page and general information; the classes are ours.

Codes are universal there and messages vary, so that only codes count. A 503 without a code of this list says nothing about what became of an order.
"""

from __future__ import annotations

from typing import Final

from interlock.venues.trouble import Doing, Explained, Rule, Trouble, explain, rules

RULES: Final = rules(
    ("-2014 -1022 -2017", Rule(Trouble.INVALID_KEY)),
    (
        "-2015",
        Rule(
            Trouble.INVALID_KEY,
            hint="wrong key, address or permission: the venue does not say which",
            action="ask the wallet's key check: if it refuses as well it is key or address, else a permission",
        ),
    ),
    ("-1005 -1011 -4402", Rule(Trouble.IP_RESTRICTION)),
    ("-4403", Rule(Trouble.PERMISSION_DENIED)),
    ("-1021", Rule(Trouble.CLOCK_SKEW)),
    ("-5028", Rule(Trouble.CLOCK_SKEW, settled=False, hint="the request reached the matching engine too late")),
    ("-1003 -1015", Rule(Trouble.RATE_LIMIT)),
    ("-1008", Rule(Trouble.RATE_LIMIT, at=503, hint="the venue protects itself; reductions are exempt")),
    ("-1002 -1099 -4087 -4088 -4109 -4192 -4400 -4401", Rule(Trouble.PERMISSION_DENIED)),
    ("-2023", Rule(Trouble.PERMISSION_DENIED, hint="the account is being liquidated", action="look at the account at once")),
    ("-1000 -1001 -1006 -1007", Rule(Trouble.UNKNOWN_OUTCOME, settled=False)),
    ("1 -1016 -1122 -4140 -4141 -4022 -5024", Rule(Trouble.MAINTENANCE)),
    ("-2018 -2019 -4050 -4051 -2024 -2028", Rule(Trouble.INSUFFICIENT_BALANCE)),
    (
        "-1013 -1014 -1100 -1101 -1102 -1103 -1104 -1105 -1106 -1111 -1114 -1115 -1116 -1117 -1121 -1128 -1130 -4001 -4002 -4003 -4004 -4005 -4013 "
        "-4014 -4015 -4016 -4023 -4024 -4061 -4062 -4131 -4164 -5029 -5037 -5038 -5039 -5040 -5041 -2010 -2021 -4120 -5025 -5026",
        Rule(Trouble.INVALID_ORDER),
    ),
    ("-2027", Rule(Trouble.INVALID_ORDER, hint="the position would be larger than the leverage allows")),
    ("-2022 -2026 -4118 -5047", Rule(Trouble.INVALID_ORDER, hint="it would not reduce the position", action="read the position")),
    ("-2025 -4045", Rule(Trouble.INVALID_ORDER, hint="too many orders are open", action="cancel some, or lower the limit on open orders")),
    ("-5043", Rule(Trouble.INVALID_ORDER, hint="another change of this order is under way")),
    ("-5021", Rule(Trouble.INVALID_ORDER, hint="it could not be filled at once and whole", action="nothing; there is no order")),
    ("-5027 -4046 -4059 -4171", Rule(Trouble.INVALID_ORDER, hint="nothing to change: it is so already", action="nothing")),
    ("-4116", Rule(Trouble.DUPLICATE_CLIENT_ID, settled=False)),
    ("-2011 -2013", Rule(Trouble.ORDER_NOT_FOUND, settled=False)),
    ("-5022", Rule(Trouble.POST_ONLY_REJECT)),
    (
        "-1125",
        Rule(
            Trouble.NETWORK_ERROR,
            settled=False,
            hint="the listen key is gone",
            action="nothing; the stream begins anew and lists are read again",
        ),
    ),
)
"""By code. For cancels only its kind counts: nothing that the venue says of a cancel ends an order."""

STATUSES: Final = {
    401: Rule(Trouble.INVALID_KEY, settled=False),
    403: Rule(Trouble.IP_RESTRICTION, settled=False, hint="the venue's firewall refused the request, or this address"),
    408: Rule(Trouble.UNKNOWN_OUTCOME, settled=False),
    418: Rule(Trouble.RATE_LIMIT, hint="this address is banned for a time"),
    429: Rule(Trouble.RATE_LIMIT),
}
"""For answers without a code that can be read."""

NOTHING_TO_CHANGE: Final = frozenset({"-4046", "-4059", "-4171"})
"""Answers to a change of mode or leverage that is in force already."""


def classify(status: int, code: str, doing: Doing) -> Explained:
    """Explain one refusal; `status` is the HTTP status, `code` the number in the body as text, empty where there was none."""
    return explain(RULES, STATUSES, status=status, code=code, doing=doing)
