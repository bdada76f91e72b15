"""Warming up: the code that trades has decided, proposed, taken back and decoded before anything is heard, and nothing of it is left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.run.live_ground import example
from tests.run.ten_symbols import write_run

from interlock.engine import warm
from interlock.engine.warm import Warmed, warm_up
from interlock.run.config import load_config
from interlock.run.live_plan import LivePlan, live_plan
from interlock.simulate.served.listing import instruments_of
from interlock.venues.endpoint import Where
from interlock.venues.hosts import hosts_of

AT_NS = 1_780_000_000_000_000_000
LISTED = {one.key: one for venue in ("bybit", "upbit", "binance_usdm") for one in instruments_of(venue)}


def plan_of(path: Path) -> LivePlan:
    config = load_config(path)
    return live_plan(config, path, [LISTED[key] for key in config.instruments])


def warmed(plan: LivePlan) -> Warmed:
    hosts = {one.venue: hosts_of(one.venue, Where.REAL) for one in plan.instruments}
    return warm_up(plan.instruments, plan.settings, plan.strategy, "some strategy", hosts, AT_NS)


@pytest.mark.parametrize("name", ["making-bybit.toml", "signals-arbitrage.toml", "ten symbols"])
def test_every_book_is_taken_in_the_words_of_its_venue_and_decided_on(name: str, tmp_path: Path) -> None:
    plan = plan_of(write_run(tmp_path) if name == "ten symbols" else example(name))
    params = plan.strategy.params.copy()
    found = warmed(plan)
    assert found.rejected == 0
    assert found.frames >= warm.ROUNDS * len(plan.instruments)
    assert found.decisions > warm.ROUNDS
    assert np.array_equal(plan.strategy.params, params)


def test_a_maker_has_placed_and_taken_back_and_does_the_same_every_time() -> None:
    """Nothing is carried over: the second time is as the first."""
    plan = plan_of(example())
    first = warmed(plan)
    assert first.placed > 10
    assert first.taken_back > 10
    assert warmed(plan) == first
