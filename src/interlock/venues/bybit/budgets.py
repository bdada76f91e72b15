"""How much Bybit lets be asked: its budgets, and what an answer's headers say is left of one.

Every HTTP request also counts against the address (`ip`), whatever else it uses. Where our notes give no figure for an endpoint, the smallest that
is documented for any stands here. Source: the venue's rate limit page (v5), accounts without VIP level, category linear.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

IP: Final = "ip"
SOCKET: Final = "socket"

_PER_SECOND: Final[Mapping[str, int]] = {
    "create": 10,
    "amend": 10,
    "cancel": 10,
    "cancel-all": 10,
    "create-batch": 10,
    "cancel-batch": 10,
    "realtime": 50,
    "history": 50,
    "execution": 50,
    "position": 50,
    "wallet": 50,
    "account": 50,
    "set-leverage": 10,
    "switch-mode": 10,
    "set-margin-mode": 5,
    "fee-rate": 5,
    "key": 5,
    "log": 5,
    "guard": 5,
}

BUDGETS: Final[Mapping[str, tuple[int, int, str]]] = {
    IP: (600, 5_000, "address"),
    SOCKET: (3_000, 1_000, "address"),
    **{name: (most, 1_000, "account") for name, most in _PER_SECOND.items()},
}
"""By name: how much, in how many ms (a rolling window), and what is counted together. A batch uses one for each of its orders."""

BANNED_MS: Final = 600_000
"""After HTTP 403 nothing is asked for so long."""


def seen(headers: Mapping[str, str], budget: str) -> dict[str, int]:
    """What is left of the budget that a request used, by the headers of its answer; empty where they do not say.

    The headers do not name the budget, so whoever asked must. Names of headers in lower case.
    """
    left = _whole(headers.get("x-bapi-limit-status", ""))
    return {} if left is None else {budget: left}


def wait_ms(headers: Mapping[str, str], venue_ms: int) -> int:
    """How long after an answer of `venue_ms` the budget begins anew, at least 1 and at most ten minutes; 0 where the headers do not say.

    Both times are the venue's own, so that its clock does not matter.
    """
    reset_ms = _whole(headers.get("x-bapi-limit-reset-timestamp", ""))
    if reset_ms is None or not venue_ms:
        return 0
    return min(max(reset_ms - venue_ms, 1), BANNED_MS)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 16 else None
