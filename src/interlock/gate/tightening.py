"""Whether one sheet of limits is nowhere looser than another: the only way in which limits may change while the gate runs.

Every number has a direction in which it is tighter, and lists of what is allowed may only lose entries. What has no such direction must stay as it
is: spans over which something is counted, since what is older was forgotten; the budget out of which cancels are paid, since whoever lowers limits
must not be able to hold up cancels; how old a rate may be, since an old rate that is left out can no longer disagree; the peer; and what of an
account is left to others, since what they did was booked by it. Whatever passes every limit of the tighter sheet passes every limit of the looser
one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from interlock.gate.limit_sheet import LimitSheet, key_of, written
from interlock.gate.records import LimitChange


class Way(StrEnum):
    """How a value may change; the words stand in the refusal of one that changes otherwise."""

    DOWN = "at most"
    UP = "at least"
    PART = "nothing beside"
    FACTORS = "the ranges and at most the factors of"
    SAME = "exactly"


WAYS: dict[str, Way] = {
    # [account]
    "max_order_notional_micro_usd": Way.DOWN,
    "max_gross_notional_micro_usd": Way.DOWN,
    "max_daily_loss_micro_usd": Way.DOWN,
    "max_drawdown_micro_usd": Way.DOWN,
    "unrealised_breach_marks_count": Way.DOWN,
    "mark_spacing_ns": Way.DOWN,
    "freshness_mark_ns": Way.DOWN,
    "freshness_equity_ns": Way.DOWN,
    "freshness_engine_book_ns": Way.DOWN,
    "max_leg_skew_ns": Way.DOWN,
    "shock_millionths": Way.UP,
    # [venues]
    "accounts": Way.PART,
    "max_messages_count": Way.SAME,
    "max_cancels_count": Way.SAME,
    "cancel_reserve_count": Way.UP,
    "messages_window_ns": Way.SAME,
    "max_unattended_resting_micro_usd": Way.DOWN,
    "min_available_margin_micro_usd": Way.UP,
    "max_margin_ratio_millionths": Way.DOWN,
    "min_liquidation_distance_millionths": Way.UP,
    "expected_reject_codes": Way.PART,
    "shared": Way.SAME,
    "unmanaged_assets": Way.SAME,
    # [symbols]
    "allow": Way.PART,
    "max_order_lots": Way.DOWN,
    "max_position_lots": Way.DOWN,
    "max_position_notional_micro_usd": Way.DOWN,
    "max_open_orders_count": Way.DOWN,
    "freshness_reference_ns": Way.DOWN,
    "max_reference_spread_millionths": Way.DOWN,
    "max_book_disagreement_millionths": Way.DOWN,
    "collar_reference_millionths": Way.DOWN,
    "collar_peer_millionths": Way.DOWN,
    "peer": Way.SAME,
    "max_drift_millionths": Way.DOWN,
    "drift_window_ns": Way.SAME,
    "tightening": Way.FACTORS,
    # [assets]
    "max_naked_notional_micro_usd": Way.DOWN,
    "naked_tolerance_micro_usd": Way.DOWN,
    "max_naked_ns": Way.DOWN,
    "max_group_loss_micro_usd": Way.DOWN,
    # [currencies]
    "freshness_rate_ns": Way.SAME,
    "min_sources_count": Way.UP,
    "max_disagreement_millionths": Way.DOWN,
    "lowest_rate_micro_usd": Way.UP,
    "highest_rate_micro_usd": Way.DOWN,
    "max_daily_loss_micro_units": Way.DOWN,
    # [strategies]
    "max_orders_count": Way.DOWN,
    "orders_window_ns": Way.SAME,
    "max_identical_orders_count": Way.DOWN,
    "identical_orders_window_ns": Way.SAME,
    "max_reject_streak_count": Way.DOWN,
    "max_losing_streak_count": Way.DOWN,
}
"""By attribute of a parsed table, of the same name in all of them: how it may change."""


_LATER = frozenset({"max_group_loss_micro_usd", "max_daily_loss_micro_units"})
"""Limits that older sheets lack. No file may say 0 of them: where it stands, there was no such limit, and any is tighter than none."""


class Change(NamedTuple):
    """One attribute that differs. `name` is that of the table within `table`, empty in [account]; `attribute` is empty where a whole table does."""

    table: str
    name: str
    attribute: str
    was: Any
    now: Any

    @property
    def key(self) -> str:
        """Its place in the file."""
        return ".".join(part for part in (self.table, self.name, key_of(self.attribute)) if part)

    @property
    def before(self) -> str:
        """What it was, as the file would have it."""
        return written(self.attribute, self.was)

    @property
    def after(self) -> str:
        """What it is to be, as the file would have it."""
        return written(self.attribute, self.now)

    @property
    def recorded(self) -> LimitChange:
        """For the journal: what is to be undone to have the sheet before."""
        return LimitChange(table=self.table, name=self.name, attribute=self.attribute, was=msgspec.json.encode(self.was).decode())

    @property
    def looser(self) -> str:
        """Why it is not tighter, with the value in force and the one found; empty if it is."""
        if not self.attribute:
            return f"{self.key}: expected the tables that are in force, found one {'missing' if self.now is None else 'more'}"
        if self.was == 0 and self.attribute in _LATER:
            return ""
        way = WAYS[self.attribute]
        if _tighter(way, self.was, self.now):
            return ""
        return f"{self.key}: expected {way.value} {self.before}, which is in force, found {self.after}"


def changes(held: LimitSheet, wanted: LimitSheet) -> tuple[Change, ...]:
    """Everything in which `wanted` differs from `held`, in the order of the sheet. It is nowhere looser if none of them is."""
    found: list[Change] = []
    for table in held.__struct_fields__:
        was, now = getattr(held, table), getattr(wanted, table)
        found += _within(table, was, now) if isinstance(was, Mapping) else _differing(table, "", was, now)
    return tuple(found)


def looser_than_before(forgone: LimitSheet | None, sheet: LimitSheet) -> tuple[str, ...]:
    """Where a sheet is looser than the one that an earlier life had been tightened to (`InForce.forgone`)."""
    return () if forgone is None else tuple([change.looser for change in changes(forgone, sheet) if change.looser])


def _within(table: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for name in sorted({*was, *now}):
        if name in was and name in now:
            yield from _differing(table, name, was[name], now[name])
        else:
            yield Change(table, name, "", was.get(name), now.get(name))


def _differing(table: str, name: str, was: msgspec.Struct, now: msgspec.Struct) -> Iterator[Change]:
    for attribute in was.__struct_fields__:
        before, after = getattr(was, attribute), getattr(now, attribute)
        if before != after:
            yield Change(table, name, attribute, before, after)


def _tighter(way: Way, was: Any, now: Any) -> bool:
    match way:
        case Way.DOWN:
            return bool(now <= was)
        case Way.UP:
            return bool(now >= was)
        case Way.PART:
            return set(now) <= set(was)
        case Way.FACTORS:
            # On a line through the same points no factor is larger in between either.
            same = [at for at, _ in was] == [at for at, _ in now]
            return same and all(after <= before for (_, before), (_, after) in zip(was, now, strict=True))
    return False
