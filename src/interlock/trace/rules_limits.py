"""Limits that change while a gate runs only become tighter, and nothing leaves that was judged by looser ones.

Which direction is tighter is written down here a second time, so that the two can disagree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Final

from interlock.trace.facts import Facts
from interlock.trace.state import State
from interlock.trace.values import Entry, Finding

_UP: Final = frozenset(
    {
        "shock_millionths",
        "cancel_reserve_count",
        "min_available_margin_micro_usd",
        "min_liquidation_distance_millionths",
        "min_sources_count",
        "lowest_rate_micro_usd",
    }
)
"""Numbers that may only rise."""
_STAYS: Final = frozenset(
    {
        "max_messages_count",
        "max_cancels_count",
        "messages_window_ns",
        "drift_window_ns",
        "orders_window_ns",
        "identical_orders_window_ns",
        "freshness_rate_ns",
        "peer",
        "shared",
        "unmanaged_assets",
    }
)
"""What may not change: what cancels are paid out of, over which time something is counted, which rates count, the peer, and what others may do."""
_LISTS: Final = frozenset({"accounts", "allow", "expected_reject_codes"})
"""Lists that may only lose entries. `tightening` is one of pairs (range, factor), of which only factors may change, and only fall."""


_BOUNDS: Final = {
    "max_order_lots": ("symbols", "max_order_lots"),
    "max_order_notional_usd": ("account", "max_order_notional_micro_usd"),
    "max_position_lots": ("symbols", "max_position_lots"),
    "max_position_notional_usd": ("symbols", "max_position_notional_micro_usd"),
    "max_open_orders": ("symbols", "max_open_orders_count"),
    "max_gross_notional_usd": ("account", "max_gross_notional_micro_usd"),
    "max_venue_gross_notional_usd": ("venues", "max_gross_notional_micro_usd"),
    "max_unattended_resting_usd": ("venues", "max_unattended_resting_micro_usd"),
    "max_margin_ratio": ("venues", "max_margin_ratio_millionths"),
    "max_daily_loss_usd": ("account", "max_daily_loss_micro_usd"),
    "max_drawdown_usd": ("account", "max_drawdown_micro_usd"),
    "max_orders": ("strategies", "max_orders_count"),
    "max_identical_orders": ("strategies", "max_identical_orders_count"),
}
"""Limits whose bound in a permit is at most what the sheet says: where that stands."""


def s4_tighten(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A tightening follows the sheet in force, names the sheet that it holds, and with its changes undone is the one before."""
    about = entry.fields
    if about["before"] != state.limits:
        yield Finding(
            "S4", f"expected a tightening of the limits in force, {state.limits!r}, found one of {about['before']!r}", lsn=entry.lsn
        )
    if _digest(about["sheet"]) != about["after"]:
        yield Finding("S4", f"expected limits of the hash {about['after']!r}, found {_digest(about['sheet'])!r}", lsn=entry.lsn)
    before = _undone(about["sheet"], about["changes"])
    if before is None or _digest(before) != about["before"]:
        yield Finding("S4", "expected changes that undone give the limits before, found others", lsn=entry.lsn)


def s11_tighten(_: State, entry: Entry, __: Facts) -> Iterator[Finding]:
    """Each limit that changed is tighter than it was."""
    about = entry.fields
    for one in about["changes"]:
        table = _table(about["sheet"], one)
        was, now = _read(one["was"]), None if table is None else table.get(one["attribute"])
        if not _tighter(one["attribute"], was, now):
            sentence = f"expected {one['table']} {one['name']} {one['attribute']} to be tighter than {one['was']}, found {now!r}"
            yield Finding("S11", sentence, lsn=entry.lsn)


def s11_bounds(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """A permit after a tightening was judged by bounds that are no looser than those of the sheet."""
    request = state.requests.get(entry.key)
    if state.sheet is None or request is None:
        return
    about = request.intent.fields
    names = {"account": "", "venues": about["venue"], "symbols": f"{about['venue']}:{about['symbol']}", "strategies": about["strategy"]}
    for one in entry.fields["evaluations"]:
        table, attribute = _BOUNDS.get(one["limit"], ("", ""))
        found = _table(state.sheet, {"table": table, "name": names[table]}) if table else None
        most: Any = None if found is None else found.get(attribute)
        if table and not (_whole(most) and one["bound"].isdecimal() and int(one["bound"]) <= most):
            sentence = (
                f"expected {one['limit']} judged by at most {most}, as in the limits of record {state.limits_lsn}, found {one['bound']}"
            )
            yield Finding("S11", sentence, lsn=entry.lsn)


def s11_wire(state: State, entry: Entry, _: Facts) -> Iterator[Finding]:
    """What is written was judged by the limits in force: its permit stands after the last tightening."""
    request = state.requests.get(entry.key)
    permit = None if request is None else request.permit
    if permit is not None and permit.lsn < state.limits_lsn and request is not None and request.permit_life == state.life:
        sentence = f"expected no write of {entry.key}, judged before the limits of record {state.limits_lsn}, found one"
        yield Finding("S11", sentence, lsn=entry.lsn)


def _table(sheet: dict[str, Any], change: dict[str, str]) -> dict[str, Any] | None:
    tables = sheet.get(change["table"])
    found = tables.get(change["name"]) if isinstance(tables, dict) and change["name"] else tables
    return found if isinstance(found, dict) else None


def _undone(sheet: dict[str, Any], changes: list[dict[str, str]]) -> dict[str, Any] | None:
    """The sheet before; None where a change names nothing in it."""
    before: dict[str, Any] = json.loads(json.dumps(sheet))
    for one in changes:
        table = _table(before, one)
        if table is None or one["attribute"] not in table:
            return None
        table[one["attribute"]] = _read(one["was"])
    return before


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None  # nothing is tighter than that


def _digest(sheet: dict[str, Any]) -> str:
    """As the gate takes it: over the parsed values, keys sorted."""
    return hashlib.sha256(json.dumps(sheet, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def _tighter(attribute: str, was: Any, now: Any) -> bool:
    if attribute in _STAYS:
        return False
    if attribute in _LISTS:
        return isinstance(was, list) and isinstance(now, list) and all(one in was for one in now)
    if attribute == "tightening":
        return (
            _pairs(was)
            and _pairs(now)
            and len(was) == len(now)
            and all(b[0] == a[0] and a[1] <= b[1] for b, a in zip(was, now, strict=True))
        )
    if not (_whole(was) and _whole(now)):
        return False
    return bool(now >= was if attribute in _UP else now <= was)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _pairs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, list) and len(one) == 2 and all(map(_whole, one)) for one in value)
