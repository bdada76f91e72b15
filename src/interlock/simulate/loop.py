"""The fast replay: one compiled loop over exchange events, requests, responses, feed and timers, in the total order of the model.

Order of what happens at one instant: exchange events, then requests arriving, then responses arriving, then our feed, then timers.
"""

from __future__ import annotations

from typing import Any

from interlock.market.book import FAR
from interlock.market.compiled import compiled
from interlock.simulate import exchange, strategy_side
from interlock.simulate.layout import AT_BLOCK, AT_WAKE, RAN_OUT, STOP_NONE, STOPPED, WORLD, World
from interlock.simulate.wire import next_due_ns
from interlock.strategies.contract import KERNEL_TYPE, WAKE_RESPONSES, WAKE_TIMER
from numba import types


@compiled(inline=True)
def exchange_row_index(world: World, at: int) -> int:
    """The row that is `at`-th in exchange order."""
    if world.exchange_order.shape[0] > 0:
        return world.exchange_order[at]
    return at


@compiled(inline=True)
def frame_goes_on(world: World, at: int) -> bool:
    """Whether the row after `at` belongs to the same frame, so that no decision falls between them."""
    if at + 1 >= world.rows.shape[0]:
        return False
    row = world.rows[at]
    after = world.rows[at + 1]
    return after.receive_ns == row.receive_ns and after.frame == row.frame


@compiled(types.int64(WORLD))
def advance(world: World) -> int:
    """Run until a decision is due, the block or the tape ends, or something stops the run; returns which (AT_WAKE, ...)."""
    control = world.control[0]
    rows = world.rows
    n = rows.shape[0]
    i = control.exchange_row
    j = control.local_row
    stop_row = control.stop_row
    mask = control.wake_mask
    pending = control.pending_wake
    at_once = 0 if control.response_waits != 0 else WAKE_RESPONSES
    result = RAN_OUT
    exchange_ns = rows[exchange_row_index(world, i)].exchange_ns if i < n else FAR
    local_ns = rows[j].receive_ns if j < n else FAR
    request_ns = next_due_ns(world.requests, control.request_head, control.request_tail)
    response_ns = next_due_ns(world.responses, control.response_head, control.response_tail)
    timer_ns = control.next_timer_ns
    while j < n:
        if exchange_ns <= local_ns and exchange_ns <= request_ns and exchange_ns <= response_ns and exchange_ns <= timer_ns:
            exchange.on_row(world, rows[exchange_row_index(world, i)])
            response_ns = next_due_ns(world.responses, control.response_head, control.response_tail)
            i += 1
            exchange_ns = rows[exchange_row_index(world, i)].exchange_ns if i < n else FAR
            if control.stop != STOP_NONE:
                result = STOPPED
                break
        elif request_ns <= response_ns and request_ns <= local_ns and request_ns <= timer_ns:
            exchange.on_request(world)
            request_ns = next_due_ns(world.requests, control.request_head, control.request_tail)
            response_ns = next_due_ns(world.responses, control.response_head, control.response_tail)
            if control.stop != STOP_NONE:
                result = STOPPED
                break
        elif response_ns <= local_ns and response_ns <= timer_ns:
            control.now_ns = response_ns
            pending |= strategy_side.on_response(world)
            response_ns = next_due_ns(world.responses, control.response_head, control.response_tail)
            if pending & mask & at_once:
                # Before the check for a stop, which the caller repeats after the decision: a full record must not lose one.
                result = AT_WAKE
                break
            if control.stop != STOP_NONE:
                result = STOPPED
                break
        elif local_ns <= timer_ns:
            control.now_ns = local_ns
            pending |= strategy_side.on_row(world, rows[j])
            frame_done = not frame_goes_on(world, j)
            j += 1
            local_ns = rows[j].receive_ns if j < n else FAR
            if frame_done and pending & mask:
                result = AT_WAKE
                break
            if j >= stop_row:
                result = AT_BLOCK
                break
        else:
            control.now_ns = timer_ns
            timer_ns += control.timer_period_ns
            pending |= WAKE_TIMER
            if pending & mask:
                result = AT_WAKE
                break
    control.exchange_row = i
    control.local_row = j
    control.next_timer_ns = timer_ns
    control.pending_wake = pending
    return result


@compiled(inline=True)
def begin_decision(world: World) -> int:
    """Prepare the kernel's view of the moment; returns the time of the decision, nanoseconds."""
    control = world.control[0]
    view = world.moment[0]
    view.now_ns = control.now_ns
    view.wake = control.pending_wake
    view.instruments = world.books.shape[0]
    control.pending_wake = 0
    control.decisions += 1
    return control.now_ns


@compiled(types.int64(WORLD, KERNEL_TYPE))
def run_block(world: World, kernel: Any) -> int:
    """Replay with a compiled kernel up to `Control.stop_row` or the end; returns RAN_OUT, AT_BLOCK or STOPPED."""
    control = world.control[0]
    while True:
        result = advance(world)
        if result != AT_WAKE:
            return result
        now_ns = begin_decision(world)
        n = kernel(world.moment, world.books, world.depth, world.orders, world.params, world.state, now_ns, world.intents)
        strategy_side.apply_intents(world, n, now_ns)
        if control.stop != STOP_NONE:
            return STOPPED
        if control.local_row >= control.stop_row:
            return AT_BLOCK if control.local_row < world.rows.shape[0] else RAN_OUT


@compiled(types.int64(WORLD, types.int64))
def run_to_wake(world: World, intents: int) -> int:
    """For strategies in Python: send the intents of the last decision, then run until the next one is due, or the end."""
    if intents > 0:
        strategy_side.apply_intents(world, intents, world.control[0].now_ns)
    result = advance(world)
    if result == AT_WAKE:
        begin_decision(world)
    return result
