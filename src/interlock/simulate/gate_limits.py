"""The gate's numeric limits, made callable from compiled code: the same source, compiled instead of interpreted."""

from __future__ import annotations

from numba.extending import register_jitable

from interlock.gate import limits

for _function in (
    limits.worst_long,
    limits.worst_short,
    limits.exceeds_position,
    limits.product_overflows,
    limits.exceeds_collar,
    limits.budget_left,
):
    register_jitable(_function)

budget_left = limits.budget_left
exceeds_collar = limits.exceeds_collar
exceeds_position = limits.exceeds_position
