"""What a record may hold: every kind with its fields and their ranges, written down a second time so that the two can disagree.

A field that is missing, unknown, of another type or out of range is poison (S26), and so is an unknown kind: what a reader does not understand it
must not skip. Money is decimal text and finite; quantities are integers below 2^53.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

Holds = Callable[[Any], bool]

_LARGEST: Final = 2**53
_LARGEST_TIME: Final = 2**63


def _int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return _int(value) and 0 <= value < _LARGEST


def _whole(value: Any) -> bool:
    """A count without a limit: units of a coin may be as fine as the lots of two venues make them."""
    return _int(value) and value > 0


def _signed(value: Any) -> bool:
    return _int(value) and -_LARGEST < value < _LARGEST


def _time(value: Any) -> bool:
    return _int(value) and 0 <= value < _LARGEST_TIME


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _amount(value: Any) -> bool:
    try:
        return isinstance(value, str) and Decimal(value).is_finite()
    except InvalidOperation:
        return False


def _positive(value: Any) -> bool:
    return _amount(value) and Decimal(value) >= 0


def _one_of(*allowed: str | int) -> Holds:
    return lambda value: not isinstance(value, bool) and value in allowed and type(value) is type(allowed[0])


def _or_none(holds: Holds) -> Holds:
    return lambda value: value is None or holds(value)


def _list(*parts: Holds) -> Holds:
    """A list of rows with these columns, or of single values where there is one."""

    def holds(value: Any) -> bool:
        if not isinstance(value, list):
            return False
        if len(parts) == 1:
            return all(parts[0](item) for item in value)
        return all(
            isinstance(item, list) and len(item) == len(parts) and all(part(cell) for part, cell in zip(parts, item, strict=True))
            for item in value
        )

    return holds


def _map(**parts: Holds) -> Holds:
    return lambda value: isinstance(value, dict) and value.keys() == parts.keys() and all(part(value[name]) for name, part in parts.items())


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(part, str) for pair in value.items() for part in pair)


def _sheet(value: Any) -> bool:
    """A sheet of limits: one table for the account, and of each other kind one by name."""
    return (
        isinstance(value, dict)
        and value.keys() == {"account", "venues", "symbols", "assets", "currencies", "strategies"}
        and all(isinstance(tables, dict) for tables in value.values())
        and all(isinstance(table, dict) for kind, tables in value.items() if kind != "account" for table in tables.values())
    )


_LEVEL = _one_of("run", "reduce_only", "cancel_only", "halt")
_SCOPE = _one_of("order", "symbol", "strategy", "account", "all")
_ENDPOINT = _one_of("real", "testnet", "loopback")
_SIDE = _one_of(1, -1)
_STATE = _one_of(
    "intended",
    "permitted",
    "not_sent",
    "sent",
    "acked",
    "open",
    "partial",
    "filled",
    "cancelled",
    "expired",
    "rejected",
    "unknown",
    "quarantined",
    "absent",
)
_LEDGER = _one_of(
    "funding",
    "fee",
    "rebate",
    "interest",
    "deposit",
    "withdrawal",
    "transfer",
    "adl",
    "liquidation",
    "settlement",
    "airdrop",
    "adjust",
    "foreign",
)
_BOOKS = _list(_map(venue=_text, symbol=_text, bid_ticks=_count, ask_ticks=_count, boot_ns=_time))
_BINDING = _map(
    incarnation=_text,
    host=_text,
    account=_text,
    endpoint=_ENDPOINT,
    build=_text,
    config=_text,
    strategy=_text,
    limits=_text,
    symbols=_list(_text, _text, _text),
)
_GRANT = _map(
    grant_id=_text,
    binding=_BINDING,
    cap_usd=_positive,
    scripted=_flag,
    minted_boot_ns=_time,
    expires_boot_ns=_time,
    mandate_until_boot_ns=_time,
    purpose=_one_of("trade", "drill"),
)
_LEG = _map(
    venue=_text,
    account=_text,
    symbol=_text,
    side=_SIDE,
    ticks=_count,
    lots=_count,
    units_per_lot=_whole,
    notional_usd=_positive,
)
_SEND: Mapping[str, Holds] = {"client_id": _text, "revision": _count}
_LATCH: Mapping[str, Holds] = {"name": _text, "scope": _SCOPE, "subject": _text}
_MARKET: Mapping[str, Holds] = {"venue": _text, "account": _text, "symbol": _text}

FIELDS: Final[Mapping[str, Mapping[str, Holds]]] = {
    "boot": {
        "incarnation": _text,
        "kernel_boot_id": _text,
        "host": _text,
        "user": _text,
        "endpoint": _ENDPOINT,
        "accounts": _list(_text),
        "build": _text,
        "config": _text,
        "limits": _text,
        "wall_ns": _time,
    },
    "epoch": {"number": _count},
    "tick": {"wall_ns": _time},
    "arm": {"grant": _GRANT, "wall_ns": _time},
    "disarm": {"reason": _text, "actor": _text, "symbol": _text, "mandate_ends": _flag},
    "drill": {
        "drill_id": _text,
        "kind": _one_of("sweep", "order"),
        "venue": _text,
        "endpoint": _ENDPOINT,
        "key": _text,
        "sentinel_build": _text,
        "authenticated": _flag,
        "placed": _count,
        "cancelled": _count,
        "remaining": _count,
        "verdict": _one_of("pass", "fail", "unknown"),
        "wall_ns": _time,
    },
    "attest": {
        "venue": _text,
        "account": _text,
        "fingerprint": _text,
        "trade": _or_none(_flag),
        "withdraw": _or_none(_flag),
        "transfer": _or_none(_flag),
        "address_bound": _or_none(_flag),
        "expires_wall_ns": _or_none(_time),
        "statement": _text,
        "actor": _text,
        "scripted": _flag,
        "nonce": _text,
        "wall_ns": _time,
        "until_wall_ns": _time,
    },
    "tighten": {
        "before": _text,
        "after": _text,
        "sheet": _sheet,
        "changes": _list(_map(table=_text, name=_text, attribute=_text, was=_text)),
        "actor": _text,
        "reason": _text,
        "wall_ns": _time,
    },
    "kill_req": {"source": _text, "wall_ns": _time},
    "kill": {},
    "latch": {**_LATCH, "level": _LEVEL, "reason": _text, "actor": _text, "evidence": _texts},
    "unlatch": {**_LATCH, "actor": _text, "nonce": _text, "state_version": _count},
    "trip": {**_LATCH, "level": _LEVEL, "reason": _text, "evidence": _texts},
    "untrip": _LATCH,
    "level": {"level": _LEVEL, "reason": _text, "actor": _text, "human": _flag, "nonce": _text},
    "intent": {
        **_SEND,
        **_MARKET,
        "group": _text,
        "strategy": _text,
        "side": _SIDE,
        "type": _one_of("limit", "market"),
        "tif": _one_of("gtc", "ioc", "fok", "post_only"),
        "reduce_only": _flag,
        "ticks": _count,
        "lots": _count,
        "sequence": _count,
        "created_boot_ns": _time,
        "deadline_boot_ns": _time,
        "books": _BOOKS,
    },
    "permit": {
        **_SEND,
        "grant_id": _text,
        "epoch": _count,
        "mandate": _text,
        "cap_usd": _positive,
        "notional_usd": _positive,
        "evaluations": _list(_map(limit=_text, value=_text, bound=_text)),
        "books": _BOOKS,
        "usd_rates": _list(_text, _positive),
        "body_hash": _text,
        "deadline_boot_ns": _time,
        "wall_ns": _time,
    },
    "deny": {**_SEND, "strategy": _text, "rule": _text, "detail": _text, "count": _count, "sequence": _signed},
    "group": {
        "group": _text,
        "client_ids": _list(_text),
        "naked_cap_usd": _positive,
        "deadline_boot_ns": _time,
        "loss_bound_usd": _positive,
        "legs": _list(_LEG),
        "reserved_until_boot_ns": _time,
    },
    "wire": {**_SEND, "connection": _text, "sign_wall_ns": _time, "receive_window_ns": _time},
    "not_sent": {**_SEND, "reason": _text},
    "unsent": {
        **_SEND,
        **_MARKET,
        "strategy": _text,
        "side": _SIDE,
        "type": _one_of("limit", "market"),
        "tif": _one_of("gtc", "ioc", "fok", "post_only"),
        "reduce_only": _flag,
        "ticks": _count,
        "lots": _count,
        "notional_usd": _positive,
        "permitted_boot_ns": _time,
        "permit_lsn": _count,
    },
    "sent": {**_SEND, "sign_wall_ns": _time, "receive_window_ns": _time},
    "unknown": {**_SEND, "reason": _text},
    "answer": {**_SEND, "state": _STATE, "venue_order_id": _text, "code": _text},
    "report": {
        "client_id": _text,
        "venue_order_id": _text,
        "state": _STATE,
        "filled_lots": _count,
        "lots": _count,
        "source": _text,
        "code": _text,
        "venue_ns": _time,
    },
    "absent": {
        "client_id": _text,
        "sightings": _list(_map(source=_text, venue_ns=_time, later_client_id=_text, execution_cursor_ns=_time)),
        "not_before_venue_ns": _time,
        "fills_complete_venue_ns": _time,
        "position_explained": _flag,
    },
    "quarantine": {"client_id": _text, "reason": _text},
    "release": {"client_id": _text, "state": _STATE, "filled_lots": _count, "actor": _text, "nonce": _text},
    "cancel": {"client_id": _text, "reason": _text, "actor": _text},
    "cancel_sent": {"client_id": _text, "attempt": _count},
    "cancel_answer": {"client_id": _text, "accepted": _flag, "code": _text},
    "fill": {
        **_MARKET,
        "trade_id": _text,
        "client_id": _text,
        "side": _SIDE,
        "ticks": _count,
        "lots": _count,
        "liquidity": _one_of("maker", "taker"),
        "fee": _amount,
        "fee_currency": _text,
        "venue_ns": _time,
    },
    "reversal": {**_MARKET, "trade_id": _text},
    "ledger": {
        **_MARKET,
        "kind": _LEDGER,
        "venue_id": _text,
        "currency": _text,
        "amount": _amount,
        "lots": _signed,
        "ticks": _count,
        "actor": _text,
        "nonce": _text,
        "venue_ns": _time,
    },
    "expect": {
        "kind": _LEDGER,
        "venue": _text,
        "account": _text,
        "currency": _text,
        "amount": _amount,
        "until_wall_ns": _time,
        "actor": _text,
        "nonce": _text,
    },
    "foreign": {**_MARKET, "client_id": _text, "venue_order_id": _text, "own_prefix": _flag, "tolerated": _flag},
    "day": {
        "day": _text,
        "baseline": _list(_text, _amount),
        "baseline_usd": _amount,
        "wall_ns": _time,
        "marks": _list(_text, _text, _text, _whole),
    },
    "mark": {"realised_usd": _amount, "unrealised_usd": _amount, "equity_usd": _amount, "by_currency": _list(_text, _amount, _amount)},
    "snap": {
        "venue": _text,
        "account": _text,
        "cursor_before": _text,
        "cursor_after": _text,
        "positions": _list(_text, _signed),
        "balances": _list(_text, _amount),
        "open_orders": _list(_text, _text, _text, _count),
        "venue_ns": _time,
    },
    "recon": {"venue": _text, "account": _text, "explained": _flag, "differences": _list(_text, _text)},
}
"""Every kind and the fields besides `boot_ns`, each with what must hold of its value."""

DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "disarm": {"symbol": "", "mandate_ends": False},
    "latch": {"evidence": {}},
    "trip": {"evidence": {}},
    "level": {"nonce": ""},
    "deny": {"count": 1, "sequence": -1, "revision": 0},
    "group": {"loss_bound_usd": "0", "legs": [], "reserved_until_boot_ns": 0},
    "absent": {"fills_complete_venue_ns": 0, "position_explained": False},
    "foreign": {"tolerated": False},
    "wire": {"sign_wall_ns": 0, "receive_window_ns": 0},
    "expect": {"nonce": ""},
    "day": {"marks": []},
    "mark": {"by_currency": []},
    "ledger": {"symbol": "", "lots": 0, "ticks": 0, "actor": "", "nonce": ""},
}
"""Fields that a writer may leave out, and what their absence says."""

REQUIRED_LIMITS: Final = frozenset(
    {
        "quantities",
        "known",
        "allow",
        "market_status",
        "freshness_reference",
        "engine_books",
        "usd_rates",
        "collar_reference",
        "collar_peer",
        "max_drift",
        "max_order_lots",
        "max_order_notional_usd",
        "max_position_lots",
        "max_position_notional_usd",
        "managed_quantity",
        "max_open_orders",
        "max_gross_notional_usd",
        "max_venue_gross_notional_usd",
        "max_naked_notional_usd",
        "max_naked_time",
        "max_unattended_resting_usd",
        "freshness_equity",
        "min_available_margin_usd",
        "max_margin_ratio",
        "shock",
        "min_liquidation_distance",
        "freshness_mark",
        "max_daily_loss_usd",
        "max_currency_loss",
        "max_drawdown_usd",
        "loss_latch",
        "max_messages",
        "cancel_reserve",
        "max_orders",
        "max_identical_orders",
        "max_reject_streak",
        "max_losing_streak",
    }
)
"""The limits that every permit must have been judged by."""

BOUNDS: Final = {"max_currency_loss": "1000000"}
"""Those whose bound no sheet moves: a share of a limit, in millionths."""

LATER_LIMITS: Final = {"max_currency_loss": 5}
"""Those of them that came later, with the schema of records from which on they are required."""


def complete(kind: str, fields: dict[str, Any]) -> str:
    """Put defaults in their places, and say what is wrong with a record; empty if nothing is."""
    wanted = FIELDS.get(kind)
    if wanted is None:
        return f"expected a kind that is known, found {kind!r}"
    for name, value in DEFAULTS.get(kind, {}).items():
        fields.setdefault(name, value)
    names = {"boot_ns", *wanted}
    if fields.keys() != names:
        missing, unknown = sorted(names - fields.keys()), sorted(fields.keys() - names)
        return f"expected the fields of {kind!r}, found missing {missing} and unknown {unknown}"
    wrong = [name for name, holds in (("boot_ns", _time), *wanted.items()) if not holds(fields[name])]
    return f"expected values in range in {kind!r}, found {', '.join(f'{name}={fields[name]!r}' for name in wrong)}" if wrong else ""
