"""The full driver: the same kernels and matching, event by event from Python.

The order of events is decided here a second time and in another way, by comparing keys in Python, so that the fast loop's order is checked
by every comparison of the two. It is the place where Python code (an observer now, the gate's `decide` later) sees every event.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

from numba import types

from interlock.market.compiled import compiled
from interlock.simulate import exchange, strategy_side
from interlock.simulate.fast import OnBlock, settle_stop
from interlock.simulate.layout import MEMORY_TYPE, ROWS, STOP_NONE, World
from interlock.simulate.outcome import Ending, Outcome, Recorder
from interlock.strategies.contract import INT_ARRAY, WAKE_RESPONSES, WAKE_TIMER

BLOCK_ROWS = 1 << 12
_MEMORY = types.Array(MEMORY_TYPE, 1, "C")


class EventClass(IntEnum):
    """What can happen, in the order in which it happens at one instant."""

    EXCHANGE = 0
    REQUEST = 1
    RESPONSE = 2
    LOCAL = 3
    TIMER = 4


Observer = Callable[[EventClass, int, World], None]
"""Called after each event with its class and time, nanoseconds."""


@compiled(types.void(_MEMORY, ROWS, INT_ARRAY, types.int64))
def exchange_event(memory: Any, rows: Any, depth: Any, at: int) -> None:
    """One market event at the exchange."""
    exchange.on_row(memory[0], depth, rows[at])


@compiled(types.void(_MEMORY, INT_ARRAY))
def request_event(memory: Any, depth: Any) -> None:
    """The next request arrives at its venue."""
    exchange.on_request(memory[0], depth)


@compiled(types.int64(_MEMORY))
def response_event(memory: Any) -> int:
    """The next answer reaches us; returns wake bits."""
    return strategy_side.on_response(memory[0])


@compiled(types.int64(_MEMORY, ROWS, INT_ARRAY, types.int64))
def local_event(memory: Any, rows: Any, depth: Any, at: int) -> int:
    """One row of the feed reaches us; returns wake bits."""
    return strategy_side.on_row(memory[0], depth, rows[at])


@compiled(types.void(_MEMORY, types.int64, types.int64))
def send_intents(memory: Any, n: int, now_ns: int) -> None:
    """Admit or deny the intents of a decision."""
    strategy_side.apply_intents(memory[0], n, now_ns)


def replay_full(world: World, kernel: Any, observer: Observer | None = None, on_block: OnBlock | None = None) -> Outcome:
    """Replay the whole tape event by event. Slower by orders of magnitude than `replay_fast`, equal in every order and fill."""
    control = world.control[0]
    recorder = Recorder(world)
    rows = world.rows
    n = len(rows)
    by_exchange = world.exchange_order.tolist() if len(world.exchange_order) else list(range(n))
    exchange_ns = rows["exchange_ns"].tolist()
    receive_ns = rows["receive_ns"].tolist()
    frames = rows["frame"].tolist()
    own_mask = mask = int(control["wake_mask"])
    at_once = 0 if control["response_waits"] else WAKE_RESPONSES
    period = int(control["timer_period_ns"])
    timer_ns = int(control["next_timer_ns"]) if period > 0 else None
    requests, responses = world.requests, world.responses
    i = j = 0
    pending = 0
    ending = Ending.COMPLETE
    happening = EventClass.TIMER

    def decide(now_ns: int) -> None:
        nonlocal pending, mask
        moment = world.moment[0]
        moment["now_ns"], moment["wake"], moment["instruments"], moment["also_wake"] = now_ns, pending, len(world.books), 0
        control["decisions"] += 1
        pending = 0
        view, books, orders, params, state, intents = world.kernel_side
        count = kernel(view, books, world.depth, orders, params, state, now_ns, intents)
        send_intents(world.memory, count, now_ns)
        mask = own_mask | int(moment["also_wake"])

    while j < n:
        if on_block is not None and j % BLOCK_ROWS == 0 and happening is EventClass.LOCAL and not on_block(j, n):
            ending = Ending.INTERRUPTED
            break
        due: list[tuple[int, EventClass]] = [(receive_ns[j], EventClass.LOCAL)]
        if i < n:
            due.append((exchange_ns[by_exchange[i]], EventClass.EXCHANGE))
        if control["request_head"] != control["request_tail"]:
            due.append((int(requests[int(control["request_head"]) % len(requests)]["due_ns"]), EventClass.REQUEST))
        if control["response_head"] != control["response_tail"]:
            due.append((int(responses[int(control["response_head"]) % len(responses)]["due_ns"]), EventClass.RESPONSE))
        if timer_ns is not None:
            due.append((timer_ns, EventClass.TIMER))
        now_ns, happening = min(due)
        if happening is EventClass.EXCHANGE:
            exchange_event(world.memory, rows, world.exchange_depth, by_exchange[i])
            i += 1
        elif happening is EventClass.REQUEST:
            request_event(world.memory, world.exchange_depth)
        elif happening is EventClass.RESPONSE:
            control["now_ns"] = now_ns
            pending |= response_event(world.memory)
            if pending & mask & at_once:
                decide(now_ns)
        elif happening is EventClass.LOCAL:
            control["now_ns"] = now_ns
            pending |= local_event(world.memory, rows, world.depth, j)
            frame_done = j + 1 == n or (receive_ns[j + 1], frames[j + 1]) != (receive_ns[j], frames[j])
            j += 1
            control["local_row"] = j
            if frame_done and pending & mask:
                decide(now_ns)
        else:
            assert timer_ns is not None
            control["now_ns"] = now_ns
            timer_ns += period
            pending |= WAKE_TIMER
            if pending & mask:
                decide(now_ns)
        if control["stop"] != STOP_NONE and settle_stop(world, recorder):
            ending = Ending.LIQUIDATED
            break
        if observer is not None:
            observer(happening, now_ns, world)
    return recorder.outcome(ending)
