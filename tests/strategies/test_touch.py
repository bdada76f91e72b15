"""The simplest quoting strategy, seen through a replay: one order at each best price."""

from typing import Any

import numpy as np
from tests.simulate.worlds import Line, Setup, both, depth, perpetual, quotes, tape, trade, venue_settings

from interlock.simulate.full import EventClass
from interlock.simulate.layout import World
from interlock.simulate.outcome import Outcome
from interlock.simulate.world import Strategy
from interlock.strategies.contract import STATUS_FREE, TIF_POST_ONLY
from interlock.strategies.touch import WAKES, touch

LINES: list[Line] = [*quotes(100, 99, 5, 101, 5), depth(500, 1, 100, 3), depth(900, 1, 100, 0), depth(1_300, 1, 99, 8)]


def quoted(lines: list[Line], **setup: Any) -> tuple[Outcome, list[tuple[int, set[tuple[int, int]]]]]:
    """The outcome, and (time, open quotes as (side, ticks)) whenever they changed."""
    seen: list[tuple[int, set[tuple[int, int]]]] = []

    def watch(happening: EventClass, now_ns: int, world: World) -> None:
        quotes_now = {(int(o["side"]), int(o["ticks"])) for o in world.orders if o["status"] != STATUS_FREE}
        if not seen or seen[-1][1] != quotes_now:
            seen.append((now_ns, quotes_now))

    strategy = Strategy("touch", touch, np.array([2.0]), 1, WAKES)
    out = both(Setup(tape(lines, until_ns=2_000), [perpetual()], {"binance": venue_settings()}, **setup), strategy, watch)
    return out, seen


def test_it_quotes_both_best_prices_and_follows_them() -> None:
    out, seen = quoted(LINES)
    sides = [quotes_now for _, quotes_now in seen]
    assert {(1, 99), (-1, 101)} in sides
    assert {(1, 100), (-1, 101)} in sides
    assert sides[-1] == {(1, 99), (-1, 101)}
    # It stood still while nothing at the top moved: one bid for each best bid, one ask in all.
    assert out.orders["ticks"][out.orders["side"] > 0].tolist().count(100) == 1
    assert out.orders["ticks"][out.orders["side"] < 0].tolist() == [101]


def test_its_orders_are_post_only_and_of_the_size_asked_for() -> None:
    out, _ = quoted(LINES)
    assert set(out.orders["tif"]) == {TIF_POST_ONLY}
    assert set(out.orders["lots"]) == {2}


def test_an_empty_side_is_not_quoted() -> None:
    _, seen = quoted([depth(100, 1, 99, 5)])
    assert seen[-1][1] == {(1, 99)}


def test_a_filled_quote_is_put_back() -> None:
    out, seen = quoted([*quotes(100, 99, 5, 101, 5), trade(500, -1, 99, 20)])
    assert out.fills["ticks"].tolist() == [99]
    assert seen[-1][1] == {(1, 99), (-1, 101)}
    assert (out.orders["side"] > 0).sum() == 2
