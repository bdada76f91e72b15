"""Delays of messages: constant, by the feed, drawn from samples; overload."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.simulate.kernels import buy
from tests.simulate.worlds import FEED_NS, Line, Setup, depth, endings, play, quotes, script_strategy, tape, venue_settings

from interlock.simulate.settings import Budget, LatencyKind, Overload, VenueSettings
from interlock.simulate.wire import random_unit

BOOK = quotes(100, 99, 50, 101, 50)
TAKE = [buy(200, 101, 1, tag=1)]


def arrival_ns(venue: VenueSettings, feed_ns: int = FEED_NS, **more: Any) -> int:
    out = play(BOOK, TAKE, venues={"binance": venue}, feed_ns=feed_ns, **more)
    return int(out.fills["exchange_ns"][0])


def test_a_constant_delay() -> None:
    assert arrival_ns(venue_settings(order_ns=70)) == 270
    assert arrival_ns(venue_settings(order_ns=70), more={"latency_factor": 2.0}) == 340
    assert arrival_ns(venue_settings(order_ns=0)) == 200


def test_a_delay_that_follows_the_feed() -> None:
    feed = venue_settings(order_ns=70, latency=LatencyKind.FEED, feed_multiple=1.5)
    assert arrival_ns(feed) == 200 + 70 + 30
    assert arrival_ns(feed, feed_ns=40) == 200 + 70 + 60
    assert arrival_ns(feed, more={"latency_factor": 2.0}) == 200 + 140 + 60


def test_a_clock_that_runs_ahead_does_not_let_messages_arrive_before_they_are_sent() -> None:
    feed = venue_settings(order_ns=5, latency=LatencyKind.FEED, feed_multiple=10.0)
    assert arrival_ns(feed, feed_ns=-50) == 205


def test_orders_to_one_venue_do_not_overtake_each_other() -> None:
    # Delays of 90 and then 5: the second waits for the first.
    samples = np.array([90, 5], dtype=np.int64)
    drawn = venue_settings(order_ns=0, cancel_ns=0, latency=LatencyKind.BOOTSTRAP, samples=np.tile(samples, 3), samples_block=2)
    out = play(BOOK, [buy(200, 101, 1, tag=1), buy(210, 101, 1, tag=2)], venues={"binance": drawn})
    assert out.fills["exchange_ns"].tolist() == [290, 290]
    assert out.fills["tag"].tolist() == [1, 2]
    apart = play(BOOK, [buy(200, 101, 1, tag=1), buy(300, 101, 1, tag=2)], venues={"binance": drawn})
    assert apart.fills["exchange_ns"].tolist()[0] == 290
    assert apart.fills["exchange_ns"].tolist()[1] >= 305


def test_drawn_delays_follow_the_activity_of_the_venue() -> None:
    # A third of the blocks each of 10, 100 and 1,000 ns; windows of 100 ms.
    samples = np.repeat([1_000, 10, 100], 20).astype(np.int64)
    drawn = venue_settings(order_ns=0, latency=LatencyKind.BOOTSTRAP, samples=samples, samples_block=1)
    second = 1_000_000_000
    lines: list[Line] = [*quotes(100, 99, 500, 101, 500)]
    counts = [1, 30, 100]
    for window in range(30):
        start = (window + 1) * second
        for burst in range(4):
            lines += [depth(start + burst * 110_000_000 + i * 1_000, 1, 90, 5 + i % 2) for i in range(counts[window % 3])]
        # The event after a window is the one that closes it.
        lines.append(depth(start + 440_000_000, 1, 90, 9))
    acts = [buy((window + 1) * second + 500_000_000, 101, 1, tag=window) for window in range(30)]
    out = play(lines, acts, until_ns=40 * second, tick_ns=second // 10, venues={"binance": drawn}, more={"sample_period_ns": second})
    delays = out.fills["exchange_ns"] - out.fills["decided_ns"]
    assert set(delays[1::3]) == {100}
    assert set(delays[2::3]) == {1_000}
    assert set(delays[0::3]) == {10}


def test_an_overloaded_venue_refuses_more_the_busier_it_is() -> None:
    def refused(events: int, overload: Overload | None) -> int:
        lines: list[Line] = [*quotes(100, 99, 500, 101, 500)]
        for window in range(1, 41):
            start = window * 200_000_000
            lines += [depth(start + i * 1_000, 1, 90, 5 + i % 2) for i in range(events)]
            lines.append(depth(start + 150_000_000, 1, 90, 9))
        acts = [buy(window * 200_000_000 + 160_000_000, 101, 1, tag=window) for window in range(1, 41)]
        venue = venue_settings(overload=overload)
        out = play(lines, acts, until_ns=9_000_000_000, tick_ns=10_000_000, venues={"binance": venue}, more={"sample_period_ns": 10**9})
        return sum(end[1] == "OVERLOAD" for end in endings(out).values())

    busy = Overload(rate=100.0, slope=0.2, most=0.9)
    assert refused(9, busy) == 0
    assert 0 < refused(20, busy) < refused(50, busy) < 40
    assert refused(50, None) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order_ns": -1}, "latencies"),
        ({"budgets": (Budget(1, 1, 0),) * 3}, "at most two"),
        ({"latency": LatencyKind.BOOTSTRAP}, "needs samples"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(venue_settings(cash=Decimal(1)), **change)


@pytest.mark.parametrize("budget", [(0, 1, 0), (1, 0, 0), (1, 1, 1), (1, 1, -1)])
def test_a_budget_needs_messages_beyond_its_reserve(budget: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="message budget"):
        Budget(*budget)
    Budget(1, 1, 0)


def xorshift(state: int) -> tuple[int, float]:
    """xorshift64* as published (Vigna, 2016): the next state and a number from its upper 53 bits."""
    mask = (1 << 64) - 1
    state ^= state >> 12
    state ^= (state << 25) & mask
    state ^= state >> 27
    return state, ((state * 2685821657736338717) & mask) / 2**64


def test_the_random_numbers_are_those_of_the_published_generator() -> None:
    world = Setup(tape(BOOK)).world(script_strategy([]))
    state = int(world.control["rng"][0])
    for _ in range(1_000):
        state, expected = xorshift(state)
        drawn = random_unit(world.control[0])
        assert 0.0 <= drawn < 1.0
        assert abs(drawn - expected) < 1e-12
        assert int(world.control["rng"][0]) == state
