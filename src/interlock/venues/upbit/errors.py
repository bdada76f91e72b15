"""What the error names of Upbit mean. Source: the venue's reference pages; the classes are ours.

Messages are Korean and not stable: only `error.name` counts, which on quotation endpoints may be a number. A request does not expire there, so that
what was not answered may be carried out at any later time.
"""

from __future__ import annotations

from typing import Final

from interlock.venues.trouble import Doing, Explained, Rule, Trouble, explain, rules

STATUSES: Final = {
    401: Rule(Trouble.INVALID_KEY, settled=False),
    418: Rule(Trouble.RATE_LIMIT, hint="blocked for a time that grows with each repetition"),
    429: Rule(Trouble.RATE_LIMIT),
}
"""For answers without a name that can be read."""

RULES: Final = rules(
    (
        "invalid_access_key expired_access_key jwt_verification invalid_query_payload no_authorization_token",
        Rule(Trouble.INVALID_KEY),
    ),
    (
        "nonce_used",
        Rule(
            Trouble.INVALID_KEY,
            settled=False,
            hint="the nonce was used before, perhaps by a copy of this very request that was carried out",
            action="find out about the order; nonces are never used twice here, so this is to be reported",
        ),
    ),
    ("no_authorization_ip", Rule(Trouble.IP_RESTRICTION)),
    ("out_of_scope thirdparty_agreement_required open_api_withdraw_locked", Rule(Trouble.PERMISSION_DENIED)),
    ("too_many_requests", Rule(Trouble.RATE_LIMIT)),
    ("insufficient_funds_bid insufficient_funds_ask insufficient_funds", Rule(Trouble.INSUFFICIENT_BALANCE)),
    (
        "under_min_total_bid under_min_total_ask over_krw_funds_bid over_krw_funds_ask volume_too_large invalid_funds invalid_time_in_force "
        "invalid_post_only validation_error invalid_parameter create_bid_error create_ask_error notfoundmarket pocket_not_found currency_not_found",
        Rule(Trouble.INVALID_ORDER),
    ),
    (
        "invalid_price_bid invalid_price_ask",
        Rule(Trouble.INVALID_ORDER, hint="the price is no multiple of the unit of its band", action="refresh the tick size"),
    ),
    ("duplicated_identifier", Rule(Trouble.DUPLICATE_CLIENT_ID, settled=False)),
    ("order_not_found", Rule(Trouble.ORDER_NOT_FOUND, settled=False)),
    ("market_offline", Rule(Trouble.MAINTENANCE)),
    ("server_error", Rule(Trouble.UNKNOWN_OUTCOME, settled=False)),
) | {str(status): rule for status, rule in STATUSES.items()}
"""By `error.name`, which may be the status as a number. For cancels only its kind counts: nothing that the venue says of a cancel ends an order."""


def classify(status: int, code: str, doing: Doing) -> Explained:
    """Explain one refusal; `status` is the HTTP status, `code` the `error.name` as text, empty where there was none."""
    return explain(RULES, STATUSES, status=status, code=code, doing=doing)
