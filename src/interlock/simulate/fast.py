"""The fast driver: blocks of the compiled loop, with progress, interruption and bounded memory between blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interlock.market.residency import Passed
from interlock.simulate.layout import AT_BLOCK, AT_WAKE, RAN_OUT, STOP_FULL, STOP_LIQUIDATED, STOP_NONE, World
from interlock.simulate.loop import run_block, run_to_wake
from interlock.simulate.outcome import Ending, Outcome, Recorder

BLOCK_ROWS = 1 << 16

OnBlock = Callable[[int, int], bool]
"""Called after each block with (rows done, rows in all); False interrupts the run."""


def entry_point(function: Any) -> Callable[..., int]:
    """A compiled function without numba's dispatcher, which takes tens of microseconds to look at our nested records; it has one signature."""
    return function.overloads[function.signatures[0]].entry_point


def settle_stop(world: World, recorder: Recorder) -> bool:
    """After a stop: make room if records were full; returns whether the run is over by liquidation. Raises on an overflow."""
    control = world.control[0]
    stop = int(control["stop"])
    if stop == STOP_LIQUIDATED:
        return True
    if stop not in (STOP_NONE, STOP_FULL):
        raise OverflowError("more orders or messages under way than a replay can hold: lower max_open_orders or the quoting rate")
    if stop == STOP_FULL:
        recorder.drain()
        control["stop"] = STOP_NONE
    return False


def replay_fast(world: World, kernel: Any, on_block: OnBlock | None = None, block_rows: int = BLOCK_ROWS) -> Outcome:
    """Replay the whole tape with a compiled kernel."""
    control = world.control[0]
    recorder = Recorder(world)
    passed = Passed(world.rows)
    total = len(world.rows)
    ending = Ending.COMPLETE
    enter = entry_point(run_block)
    control["stop_row"] = min(block_rows, total)
    passed.ahead(0, min(block_rows, total))
    while True:
        result = enter(*world.core, *world.kernel_side, kernel)
        if settle_stop(world, recorder):
            ending = Ending.LIQUIDATED
            break
        if result == RAN_OUT:
            break
        if result == AT_BLOCK:
            done = int(control["local_row"])
            if done >= total:
                break
            passed.up_to(min(done, int(control["exchange_row"])))
            if on_block is not None and not on_block(done, total):
                ending = Ending.INTERRUPTED
                break
            control["stop_row"] = min(done + block_rows, total)
            passed.ahead(done, min(done + block_rows, total))
    return recorder.outcome(ending)


PythonStrategy = Callable[[World, int], int]
"""A strategy in plain Python: reads `world.moment`, `books`, `depth`, `orders`; writes `world.intents`; returns how many."""


def replay_python(world: World, strategy: PythonStrategy) -> Outcome:
    """Replay with a strategy in plain Python: the compiled loop returns at each decision that is due."""
    recorder = Recorder(world)
    control = world.control[0]
    enter = entry_point(run_to_wake)
    intents = 0
    ending = Ending.COMPLETE
    stop_at = control.dtype.fields["stop"][1] // 8
    words = world.memory.view("i8")[: control.dtype.itemsize // 8]
    now_at = control.dtype.fields["now_ns"][1] // 8
    while True:
        result = enter(*world.core, intents)
        intents = 0
        if words[stop_at] and settle_stop(world, recorder):
            ending = Ending.LIQUIDATED
            break
        if result == AT_WAKE:
            intents = strategy(world, int(words[now_at]))
        elif result == RAN_OUT or (words[stop_at] == STOP_NONE and int(control["local_row"]) >= len(world.rows)):
            break
        elif result == AT_BLOCK:
            control["stop_row"] = len(world.rows)
    return recorder.outcome(ending)
