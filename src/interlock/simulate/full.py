"""The full driver: the same kernels and matching, event by event from Python.

The order of events is decided here a second time and in another way, by comparing keys in Python, so that the fast loop's order is checked
by every comparison of the two. It is the place where Python code sees every event: an observer, or the gate's decision (`Judge`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, Protocol

from numba import types

from interlock.market.compiled import compiled
from interlock.simulate import exchange, strategy_side, wire
from interlock.simulate.fast import OnBlock, settle_stop
from interlock.simulate.layout import MEMORY_TYPE, REQUEST_CANCEL, ROWS, STOP_NONE, World
from interlock.simulate.outcome import Ending, Outcome, Recorder
from interlock.strategies.contract import INT_ARRAY, STATUS_CANCELLING, WAKE_RESPONSES, WAKE_TIMER

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


class Judge(Protocol):
    """What stands between our side and the wire, in the place of the gate. Times are those of the replay, nanoseconds.

    This module knows no more of a gate than that: the engine imports it, and must not reach what decides.
    """

    def look(self, now_ns: int) -> None:
        """Time has come to `now_ns`; asked before whatever reaches our side then."""
        ...

    def fed(self, at: int, now_ns: int) -> None:
        """Row `at` has reached our side."""
        ...

    def send(self, count: int, now_ns: int) -> int:
        """Take the first `count` intents of the world in the place of `send_intents`; returns the wake bits of what was refused."""
        ...

    def answer(self, now_ns: int) -> int:
        """Take the next answer in the place of `response_event`; returns wake bits."""
        ...

    def happened(self, now_ns: int) -> None:
        """Something happened at the exchange: there may be new fills and fundings among the records of the world."""
        ...

    def emptied(self) -> None:
        """The records of the world were taken away."""
        ...


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


@compiled(types.void(_MEMORY, types.int64, types.int64))
def cancel_event(memory: Any, slot: int, now_ns: int) -> None:
    """Put a cancel on the wire that nobody asked the strategy about: of a gate, which owes it until the order has ended."""
    order = memory[0].orders[slot]
    order.status = STATUS_CANCELLING
    wire.send_request(memory[0], REQUEST_CANCEL, slot, order.seq, order.instrument, now_ns, True)


def replay_full(
    world: World, kernel: Any, observer: Observer | None = None, on_block: OnBlock | None = None, judge: Judge | None = None
) -> Outcome:
    """Replay the whole tape event by event. Slower by orders of magnitude than `replay_fast`, equal in every order and fill.

    With a `judge` every order passes it on its way out, which may refuse it: then it is as fast as that.
    """
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
        if judge is None:
            send_intents(world.memory, count, now_ns)
        else:
            pending |= judge.send(count, now_ns)
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
        if judge is not None and happening > EventClass.REQUEST:
            judge.look(now_ns)
        if happening is EventClass.EXCHANGE:
            exchange_event(world.memory, rows, world.exchange_depth, by_exchange[i])
            i += 1
        elif happening is EventClass.REQUEST:
            request_event(world.memory, world.exchange_depth)
        elif happening is EventClass.RESPONSE:
            control["now_ns"] = now_ns
            pending |= response_event(world.memory) if judge is None else judge.answer(now_ns)
            if pending & mask & at_once:
                decide(now_ns)
        elif happening is EventClass.LOCAL:
            control["now_ns"] = now_ns
            pending |= local_event(world.memory, rows, world.depth, j)
            if judge is not None:
                judge.fed(j, now_ns)
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
        if judge is not None and happening <= EventClass.REQUEST:
            judge.happened(now_ns)
        if control["stop"] != STOP_NONE:
            if settle_stop(world, recorder):
                ending = Ending.LIQUIDATED
                break
            if judge is not None:
                judge.emptied()
        if observer is not None:
            observer(happening, now_ns, world)
    return recorder.outcome(ending)
