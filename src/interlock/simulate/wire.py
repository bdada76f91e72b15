"""The wire between us and a venue: latencies, messages under way, message budgets.

Messages wait in a ring that is sorted by (due time, venue, instrument, order of sending). A venue's orders, cancels and responses each travel one
connection, so within one of these nothing overtakes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from interlock.market.book import FAR
from interlock.market.compiled import compiled, unsigned
from interlock.simulate.gate_limits import budget_left
from interlock.simulate.layout import LATENCY_BOOTSTRAP, LATENCY_CONSTANT, STOP_OVERFLOW


@compiled(inline=True)
def random_unit(control: Any) -> float:
    """The next number of the run's own generator (xorshift64*), uniform in [0, 1)."""
    # Every operand is unsigned: with a signed one numba computes signed, and half of the numbers come out negative.
    x = np.uint64(control.rng)
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    control.rng = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@compiled()
def _sampled_ns(world: Any, venue: Any) -> int:
    """The next latency of a block bootstrap: consecutive samples of one block, drawn from the third of blocks that is as busy as now."""
    if venue.sample_left <= 0:
        third = 1
        if venue.rate <= venue.rate_low:
            third = 0
        elif venue.rate > venue.rate_high:
            third = 2
        block = int(random_unit(world.control) * venue.samples_blocks)
        venue.sample_next = venue.samples_at + (third * venue.samples_blocks + block) * venue.samples_block
        venue.sample_left = venue.samples_block
    value = world.latencies[unsigned(venue.sample_next)]
    venue.sample_next += 1
    venue.sample_left -= 1
    return value


@compiled(inline=True)
def latency_ns(world: Any, venue: Any, constant_ns: int) -> int:
    """The delay of one message: constant, or a multiple of the feed's latency now, or drawn; the constant is added as a floor."""
    if venue.latency_mode == LATENCY_CONSTANT:
        return constant_ns
    if venue.latency_mode == LATENCY_BOOTSTRAP:
        return constant_ns + _sampled_ns(world, venue)
    # A clock that runs ahead can make the feed's latency negative; a message never arrives before it was sent.
    return constant_ns + max(0, int(venue.feed_multiple * venue.feed_latency_ns))


@compiled(inline=True)
def count_event(venue: Any, now_ns: int) -> None:
    """Keep the venue's event rate: events in the last whole window."""
    if venue.track_rate == 0:
        return
    if now_ns - venue.rate_from_ns >= venue.rate_window_ns:
        venue.rate = venue.rate_count
        venue.rate_count = 0
        venue.rate_from_ns = now_ns
    venue.rate_count += 1


@compiled(inline=True)
def overloaded(control: Any, venue: Any) -> bool:
    """Whether the venue throws this request away: never below `overload_rate`, then more likely the busier it is."""
    if venue.overload_max <= 0.0 or venue.rate <= venue.overload_rate:
        return False
    chance = min(venue.overload_max, venue.overload_slope * (venue.rate / venue.overload_rate - 1.0))
    return random_unit(control) < chance


@compiled(inline=True)
def _before(ring: Any, at: int, due_ns: int, venue: int, instrument: int) -> bool:
    other = ring[unsigned(at)]
    if due_ns > other.due_ns:
        return False
    if due_ns < other.due_ns:
        return True
    if venue != other.venue:
        return venue < other.venue
    return instrument < other.instrument


@compiled(inline=True)
def push(
    ring: Any, head: int, tail: int, due_ns: int, kind: int, slot: int, seq: int, venue: int, instrument: int, lots: int, ticks: int
) -> int:
    """Insert a message in order of (due, venue, instrument, sending); returns the new tail, or -1 if the ring is full."""
    size = ring.shape[0]
    mask = size - 1
    if tail - head >= size:
        return -1
    at = tail
    while at > head and _before(ring, (at - 1) & mask, due_ns, venue, instrument):
        ring[unsigned(at & mask)] = ring[unsigned((at - 1) & mask)]
        at -= 1
    m = ring[unsigned(at & mask)]
    m.due_ns = due_ns
    m.kind = kind
    m.slot = slot
    m.seq = seq
    m.venue = venue
    m.instrument = instrument
    m.lots = lots
    m.ticks = ticks
    return tail + 1


@compiled(inline=True)
def send_request(world: Any, kind: int, slot: int, seq: int, instrument: int, now_ns: int, cancel: bool) -> None:
    """Put a request on the wire to the instrument's venue."""
    control = world.control
    number = world.books[unsigned(instrument)].venue
    venue = world.venues[unsigned(number)]
    if cancel:
        due = max(venue.last_cancel_ns, now_ns + latency_ns(world, venue, venue.cancel_ns))
        venue.last_cancel_ns = due
    else:
        due = max(venue.last_order_ns, now_ns + latency_ns(world, venue, venue.order_ns))
        venue.last_order_ns = due
    tail = push(world.requests, control.request_head, control.request_tail, due, kind, slot, seq, number, instrument, 0, 0)
    if tail < 0:
        control.stop = STOP_OVERFLOW
    else:
        control.request_tail = tail


@compiled(inline=True)
def send_response(world: Any, kind: int, slot: int, seq: int, instrument: int, now_ns: int, lots: int, ticks: int) -> None:
    """Put a venue's answer on the wire to us."""
    control = world.control
    number = world.books[unsigned(instrument)].venue
    venue = world.venues[unsigned(number)]
    due = max(venue.last_response_ns, now_ns + latency_ns(world, venue, venue.response_ns))
    venue.last_response_ns = due
    tail = push(world.responses, control.response_head, control.response_tail, due, kind, slot, seq, number, instrument, lots, ticks)
    if tail < 0:
        control.stop = STOP_OVERFLOW
    else:
        control.response_tail = tail


@compiled(inline=True)
def next_due_ns(ring: Any, head: int, tail: int) -> int:
    """When the first message of a ring arrives; FAR if it is empty."""
    if head == tail:
        return FAR
    return ring[head & (ring.shape[0] - 1)].due_ns


@compiled(inline=True)
def take_budget(venue: Any, now_ns: int, weight: int, cancel: bool) -> bool:
    """Use `weight` messages of both windows (fixed, aligned to the clock as at the venues), or nothing if either lacks them."""
    if venue.limit_a <= 0:
        return True
    if now_ns >= venue.until_a_ns:
        venue.until_a_ns = (now_ns // venue.window_a_ns + 1) * venue.window_a_ns
        venue.used_a = 0
    if budget_left(venue.limit_a, venue.used_a, venue.reserve_a, cancel) < weight:
        return False
    if venue.limit_b > 0:
        if now_ns >= venue.until_b_ns:
            venue.until_b_ns = (now_ns // venue.window_b_ns + 1) * venue.window_b_ns
            venue.used_b = 0
        if budget_left(venue.limit_b, venue.used_b, venue.reserve_b, cancel) < weight:
            return False
        venue.used_b += weight
    venue.used_a += weight
    return True
