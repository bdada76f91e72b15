"""The fast replay: one compiled loop over exchange events, requests, responses, feed and timers, in the total order of the model.

Order of what happens at one instant: exchange events, then requests arriving, then responses arriving, then our feed, then timers.
"""

from __future__ import annotations

from typing import Any

from numba import types

from interlock.market.book import BOOK, FAR
from interlock.market.compiled import compiled, unsigned
from interlock.simulate import exchange, strategy_side
from interlock.simulate.layout import AT_BLOCK, AT_WAKE, MEMORY_TYPE, RAN_OUT, ROW_NUMBERS, ROWS, STOP_NONE, STOPPED
from interlock.simulate.wire import next_due_ns
from interlock.strategies.contract import FLOAT_ARRAY, INT_ARRAY, INTENT, KERNEL_TYPE, ORDER, VIEW, WAKE_RESPONSES, WAKE_TIMER, records


@compiled(inline=True)
def frame_goes_on(rows: Any, at: int) -> bool:
    """Whether the row after `at` belongs to the same frame, so that no decision falls between them."""
    if at + 1 >= rows.shape[0]:
        return False
    row = rows[unsigned(at)]
    after = rows[unsigned(at + 1)]
    return after.receive_ns == row.receive_ns and after.frame == row.frame


@compiled(inline=True)
def advance(world: Any, rows: Any, exchange_order: Any, exchange_depth: Any, depth: Any) -> int:
    """Run until a decision is due, the block or the tape ends, or something stops the run; returns which (AT_WAKE, ...)."""
    control = world.control
    n = rows.shape[0]
    i = control.exchange_row
    j = control.local_row
    stop_row = control.stop_row
    mask = control.wake_mask | world.moment[0].also_wake
    pending = control.pending_wake
    at_once = 0 if control.response_waits != 0 else WAKE_RESPONSES
    result = RAN_OUT
    permuted = exchange_order.shape[0] > 0
    row_number = i
    exchange_ns = FAR
    if i < n:
        row_number = exchange_order[unsigned(i)] if permuted else i
        exchange_ns = rows[unsigned(row_number)].exchange_ns
    local_ns = rows[unsigned(j)].receive_ns if j < n else FAR
    request_ns = next_due_ns(world.requests, control.request_head, control.request_tail)
    response_ns = next_due_ns(world.responses, control.response_head, control.response_tail)
    timer_ns = control.next_timer_ns
    # The earliest of what is not market data. Market data is nearly all that happens, so it is asked for first, with one comparison.
    others_ns = min(request_ns, response_ns, timer_ns)
    answered = control.response_tail
    while j < n:
        if exchange_ns <= local_ns and exchange_ns <= others_ns:
            exchange.on_row(world, exchange_depth, rows[unsigned(row_number)])
            i += 1
            if i < n:
                row_number = exchange_order[unsigned(i)] if permuted else i
                exchange_ns = rows[unsigned(row_number)].exchange_ns
            else:
                exchange_ns = FAR
            if control.response_tail != answered:
                answered = control.response_tail
                response_ns = next_due_ns(world.responses, control.response_head, answered)
                others_ns = min(request_ns, response_ns, timer_ns)
            if control.stop != STOP_NONE:
                result = STOPPED
                break
        elif local_ns < others_ns or (local_ns == timer_ns and local_ns < request_ns and local_ns < response_ns):
            control.now_ns = local_ns
            pending |= strategy_side.on_row(world, depth, rows[unsigned(j)])
            j += 1
            local_ns = rows[unsigned(j)].receive_ns if j < n else FAR
            if pending & mask and not frame_goes_on(rows, j - 1):
                result = AT_WAKE
                break
            if j >= stop_row:
                result = AT_BLOCK
                break
        elif request_ns <= response_ns and request_ns <= timer_ns:
            exchange.on_request(world, exchange_depth)
            answered = control.response_tail
            request_ns = next_due_ns(world.requests, control.request_head, control.request_tail)
            response_ns = next_due_ns(world.responses, control.response_head, answered)
            others_ns = min(request_ns, response_ns, timer_ns)
            if control.stop != STOP_NONE:
                result = STOPPED
                break
        elif response_ns <= timer_ns:
            control.now_ns = response_ns
            pending |= strategy_side.on_response(world)
            response_ns = next_due_ns(world.responses, control.response_head, control.response_tail)
            others_ns = min(request_ns, response_ns, timer_ns)
            if pending & mask & at_once:
                # Before the check for a stop, which the caller repeats after the decision: a full record must not lose one.
                result = AT_WAKE
                break
            if control.stop != STOP_NONE:
                result = STOPPED
                break
        else:
            control.now_ns = timer_ns
            timer_ns += control.timer_period_ns
            others_ns = min(request_ns, response_ns, timer_ns)
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
def begin_decision(world: Any) -> int:
    """Prepare the kernel's view of the moment; returns the time of the decision, nanoseconds."""
    control = world.control
    view = world.moment[0]
    view.now_ns = control.now_ns
    view.wake = control.pending_wake
    view.instruments = world.control.instruments
    view.also_wake = 0
    control.pending_wake = 0
    control.decisions += 1
    return control.now_ns


@compiled(
    types.int64(
        types.Array(MEMORY_TYPE, 1, "C"),
        ROWS,
        ROW_NUMBERS,
        INT_ARRAY,
        INT_ARRAY,
        records(VIEW),
        records(BOOK),
        records(ORDER),
        FLOAT_ARRAY,
        FLOAT_ARRAY,
        records(INTENT),
        KERNEL_TYPE,
    )
)
def run_block(
    memory: Any,
    rows: Any,
    exchange_order: Any,
    exchange_depth: Any,
    depth: Any,
    moment: Any,
    books: Any,
    orders: Any,
    params: Any,
    state: Any,
    intents: Any,
    kernel: Any,
) -> int:
    """Replay with a compiled kernel up to `Control.stop_row` or the end; returns RAN_OUT, AT_BLOCK or STOPPED."""
    world = memory[0]
    control = world.control
    while True:
        result = advance(world, rows, exchange_order, exchange_depth, depth)
        if result != AT_WAKE:
            return result
        now_ns = begin_decision(world)
        n = kernel(moment, books, depth, orders, params, state, now_ns, intents)
        strategy_side.apply_intents(world, n, now_ns)
        if control.stop != STOP_NONE:
            return STOPPED
        if control.local_row >= control.stop_row:
            return AT_BLOCK if control.local_row < rows.shape[0] else RAN_OUT


@compiled(types.int64(types.Array(MEMORY_TYPE, 1, "C"), ROWS, ROW_NUMBERS, INT_ARRAY, INT_ARRAY, types.int64))
def run_to_wake(memory: Any, rows: Any, exchange_order: Any, exchange_depth: Any, depth: Any, intents: int) -> int:
    """For strategies in Python: send the intents of the last decision, then run until the next one is due, or the end."""
    world = memory[0]
    if intents > 0:
        strategy_side.apply_intents(world, intents, world.control.now_ns)
    result = advance(world, rows, exchange_order, exchange_depth, depth)
    if result == AT_WAKE:
        begin_decision(world)
    return result
