"""A strategy in plain Python gives what its compiled twin gives; recycled memory gives what fresh memory gives."""

from __future__ import annotations

import numpy as np
import pytest
from tests.simulate.worlds import assert_equal, perpetual, venue_settings

from interlock.simulate.fast import replay_fast, replay_python
from interlock.simulate.layout import ORDER_SLOTS, World, word_of
from interlock.simulate.settings import InstrumentSettings, ReplaySettings
from interlock.simulate.synthetic import generate
from interlock.simulate.world import Strategy, build_world
from interlock.strategies import touch
from interlock.strategies.contract import PLACE, REPLACE, STATUS_OPEN, STATUS_SENT, TIF_POST_ONLY, WAKE_ACCEPTED

LOTS = 10
STRATEGY = Strategy("touch", touch.touch, np.array([float(LOTS)]), 1, touch.WAKES)


class PlainTouch:
    """`strategies.touch`, written with the records' names instead of compiled."""

    def __call__(self, world: World, now_ns: int) -> int:
        moment, book = world.moment[0], world.books[0]
        resting = {}
        for slot in range(int(moment["orders_high"])):
            if world.orders[slot]["status"] in (STATUS_SENT, STATUS_OPEN):
                resting[int(world.orders[slot]["side"])] = slot
        n = 0
        for side in (1, -1):
            best = int(book["bid_ticks"] if side > 0 else book["ask_ticks"])
            slot = resting.get(side, -1)
            if best == 0:
                continue
            kind = PLACE
            if slot >= 0:
                if world.orders[slot]["ticks"] == best:
                    continue
                if world.orders[slot]["status"] != STATUS_OPEN:
                    moment["also_wake"] |= WAKE_ACCEPTED
                    continue
                kind = REPLACE
            world.intents[n] = (kind, slot, 0, side, TIF_POST_ONLY, best, LOTS, side, 0)
            n += 1
        return n


def world(rows: np.ndarray, recycle: World | None = None, cap: int = 100) -> World:
    instrument = perpetual()
    settings = ReplaySettings(
        venues={instrument.venue: venue_settings(order_ns=1_000_000, cancel_ns=1_000_000, response_ns=1_000_000)},
        instruments={instrument.key: InstrumentSettings(max_position_lots=cap)},
    )
    return build_world(rows, None, (instrument,), settings, STRATEGY, recycle)


def test_plain_python_decides_what_the_compiled_kernel_decides() -> None:
    rows = generate(5_000, 3)
    compiled = replay_fast(world(rows), touch.touch)
    plain = replay_python(world(rows), PlainTouch())
    assert len(compiled.fills) > 20
    assert_equal(compiled, plain)


def test_a_strategy_that_wants_nothing_trades_nothing() -> None:
    outcome = replay_python(world(generate(2_000, 3)), lambda _world, _now_ns: 0)
    assert (outcome.submitted, len(outcome.fills)) == (0, 0)
    assert outcome.decisions > 100


def test_the_words_of_the_memory_are_the_records() -> None:
    one = world(generate(500, 3))
    one.books[0]["bid_ticks"], one.orders[ORDER_SLOTS - 1]["lots"] = 77, 55
    assert one.words[word_of("books", 0, "bid_ticks")] == 77
    assert one.words[word_of("orders", ORDER_SLOTS - 1, "lots")] == 55
    one.words[word_of("moment", 0, "also_wake")] = 9
    assert one.moment[0]["also_wake"] == 9


def test_recycled_memory_gives_what_fresh_memory_gives() -> None:
    first, second = generate(3_000, 3), generate(4_000, 4)
    fresh = replay_fast(world(second), touch.touch)
    for before in (first, second):
        used = world(before, cap=30)
        assert len(replay_fast(used, touch.touch).fills) > 0
        assert_equal(fresh, replay_fast(world(second, recycle=used), touch.touch))


def test_rows_that_do_not_lie_in_one_piece_are_replayed_like_their_copy() -> None:
    rows = generate(4_000, 4)
    apart = np.zeros(2 * len(rows), rows.dtype)
    apart[::2] = rows
    assert_equal(replay_fast(world(rows), touch.touch), replay_fast(world(apart[::2]), touch.touch))


def test_a_kernel_that_is_not_compiled_to_the_signature_is_refused() -> None:
    with pytest.raises((TypeError, NotImplementedError)):
        replay_fast(world(generate(500, 3)), lambda *_: 0)
