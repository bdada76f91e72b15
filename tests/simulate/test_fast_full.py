"""The fast loop and the event-by-event driver are two programs for one order of events: nothing in their results differs."""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from tests.simulate.kernels import restless
from tests.simulate.markets import INSTRUMENTS, Case, cases, market
from tests.simulate.worlds import Setup, assert_equal, both, venue_settings

from interlock.simulate.fast import replay_fast
from interlock.simulate.full import EventClass
from interlock.simulate.layout import RECORDS, World
from interlock.simulate.outcome import Ending, Outcome
from interlock.simulate.settings import InstrumentSettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import WAKE_FRAME, WAKE_RESPONSES, WAKE_TIMER


@given(cases())
def test_both_drivers_give_the_same_on_random_markets(case: Case) -> None:
    both(case.setup, case.strategy, block_rows=case.block_rows)


def busy(events: int = 3_000, seed: int = 5) -> tuple[Setup, Strategy]:
    rows = market(seed, events, bars=True, spread_ns=2, feed_ns=5)
    own = {i.key: InstrumentSettings(10**6, start_lots=50) for i in INSTRUMENTS}
    venues = {name: venue_settings(order_ns=5, cancel_ns=5, response_ns=0) for name in ("binance", "bybit", "upbit")}
    wakes = WAKE_FRAME | WAKE_RESPONSES | WAKE_TIMER
    return Setup(rows, INSTRUMENTS, venues, own), Strategy("restless", restless, np.array([60.0, 4.0, 12.0]), 2, wakes, 25)


def test_the_random_markets_exercise_what_they_are_for() -> None:
    setup, strategy = busy()
    seen: Counter[EventClass] = Counter()
    ties: set[frozenset[EventClass]] = set()
    last: list[tuple[int, EventClass]] = []

    def watch(happening: EventClass, now_ns: int, world: World) -> None:
        seen[happening] += 1
        if last and last[-1][0] == now_ns and last[-1][1] is not happening:
            ties.add(frozenset((last[-1][1], happening)))
        last.append((now_ns, happening))

    out = both(setup, strategy, watch)
    assert all(seen[happening] > 100 for happening in EventClass)
    # Events of most classes fell on one instant, and happened in the order of the model.
    assert len(ties) >= 8
    assert last == sorted(last)
    assert len(out.fills) > 200
    assert set(out.fills["maker"]) == {0, 1}
    assert set(out.fills["instrument"]) == set(range(len(INSTRUMENTS)))
    assert len(out.fundings) > 5
    assert {"post_only_would_take", "ioc_rest", "fok_not_fillable", "self_match", "reduce_only", "price_step", "quantity"} <= set(
        out.counts
    )
    assert {"min_notional", "halted", "cancelled", "cancel_too_late", "not_cancellable", "bad_intent", "bar_not_reached"} <= set(out.counts)


def outcome(block_rows: int, sample_period_ns: int = 10**9) -> Outcome:
    setup, strategy = busy()
    setup.more["sample_period_ns"] = sample_period_ns
    return replay_fast(setup.world(strategy), strategy.kernel, block_rows=block_rows)


def test_the_size_of_a_block_changes_nothing() -> None:
    whole = outcome(10**9)
    for block_rows in (1, 2, 17, 1_000):
        assert_equal(whole, outcome(block_rows))


def test_records_that_fill_up_are_taken_away_and_none_is_lost() -> None:
    rows = market(3, 70_000, bars=False, spread_ns=3, feed_ns=5)
    setup, strategy = busy()
    # Margins are looked at when samples are taken; without them samples change nothing.
    venues = {name: replace(settings, margined=False) for name, settings in setup.venues.items()}
    setup = Setup(rows, INSTRUMENTS, venues, setup.own, {"sample_period_ns": 1})
    out = replay_fast(setup.world(strategy), strategy.kernel)
    assert len(out.samples) > RECORDS
    instants = np.unique(rows["exchange_ns"])
    assert np.array_equal(out.samples["exchange_ns"], np.repeat(instants, len(INSTRUMENTS)))
    few = Setup(rows, INSTRUMENTS, venues, setup.own, {"sample_period_ns": 10**12})
    rare = replay_fast(few.world(strategy), strategy.kernel)
    for name in ("exchange_ns", "seq", "ticks", "lots", "position_lots"):
        assert np.array_equal(out.fills[name], rare.fills[name])
    assert np.array_equal(out.orders, rare.orders)


def test_a_run_can_be_interrupted_between_blocks() -> None:
    setup, strategy = busy()
    seen: list[tuple[int, int]] = []

    def stop_after_three(done: int, total: int) -> bool:
        seen.append((done, total))
        return len(seen) < 3

    cut = replay_fast(setup.world(strategy), strategy.kernel, on_block=stop_after_three, block_rows=500)
    assert cut.ending is Ending.INTERRUPTED
    assert seen == [(500, len(setup.rows)), (1_000, len(setup.rows)), (1_500, len(setup.rows))]
    whole = outcome(10**9)
    assert np.array_equal(cut.fills, whole.fills[: len(cut.fills)])
    assert 0 < len(cut.fills) < len(whole.fills)
