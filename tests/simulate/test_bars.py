"""Bars are not quotes: fills at the worse extreme of the next bar, within a share of its volume."""

import pytest
from tests.simulate.kernels import Act, buy, cancel, sell
from tests.simulate.worlds import Line, bar, endings, event, fills, play

from interlock.market.columns import RowKind
from interlock.simulate.settings import InstrumentSettings
from interlock.strategies.contract import TIF_FOK

OWN = {"binance:AUSDT": InstrumentSettings(1_000_000, participation_millionths=100_000)}
FIRST = bar(300, 95, 105, 100, 1_000)


def replayed(lines: list[Line], acts: list[Act]) -> tuple[list[tuple[int, int, int, int]], dict[int, tuple[str, str, int]]]:
    out = play(lines, acts, own=OWN)
    return fills(out), endings(out)


def test_a_decision_on_a_bar_fills_at_the_worse_extreme_of_the_next() -> None:
    lines = [*FIRST, *bar(600, 97, 108, 107, 1_000), *bar(900, 90, 109, 100, 1_000)]
    traded, _ = replayed(lines, [buy(350, 120, 10, tag=1), sell(660, 80, 10, tag=2)])
    assert traded == [(1, 108, 10, 0), (2, 90, 10, 0)]


def test_a_limit_that_the_worse_extreme_does_not_reach_expires_with_the_bar() -> None:
    lines = [*FIRST, *bar(600, 97, 108, 107, 1_000), *bar(900, 90, 100, 100, 1_000)]
    traded, ended = replayed(lines, [buy(350, 107, 10, tag=1), buy(360, 108, 10, tag=2)])
    assert traded == [(2, 108, 10, 0)]
    # The next bar's high of 100 would have been within it.
    assert ended[1] == ("expired", "BAR_NOT_REACHED", 0)


def test_fills_stay_within_the_share_of_the_volume_over_all_orders() -> None:
    lines = [*FIRST, *bar(600, 97, 108, 107, 1_000), *bar(900, 97, 108, 107, 1_000)]
    traded, ended = replayed(lines, [buy(350, 120, 70, tag=1), buy(360, 110, 70, tag=2), buy(370, 120, 1, tag=3)])
    assert traded == [(1, 108, 70, 0), (2, 108, 30, 0)]
    assert ended[2] == ("expired", "BAR_NOT_REACHED", 30)
    assert ended[3] == ("expired", "BAR_NOT_REACHED", 0)


@pytest.mark.parametrize(("first_volume", "second_volume", "filled"), [(1_000, 1_000, 10), (0, 1_000, 0), (1_000, 0, 0), (0, 0, 0)])
def test_both_bars_need_volume(first_volume: int, second_volume: int, filled: int) -> None:
    lines = [*bar(300, 95, 105, 100, first_volume), *bar(600, 97, 108, 107, second_volume)]
    traded, ended = replayed(lines, [buy(350, 120, 10, tag=1)])
    assert sum(lots for _, _, lots, _ in traded) == filled
    assert ended[1][0] == ("filled" if filled else "expired")


def test_an_order_before_the_first_bar_fills_in_none() -> None:
    status = event(100, RowKind.STATUS, lots=1)
    traded, ended = replayed([status, *FIRST, *bar(600, 97, 108, 107, 1_000)], [buy(150, 120, 10, tag=1), buy(400, 120, 10, tag=2)])
    assert traded == [(2, 108, 10, 0)]
    assert ended[1] == ("expired", "BAR_NOT_REACHED", 0)


def test_fill_or_kill_on_bars() -> None:
    lines = [*FIRST, *bar(600, 97, 108, 107, 1_000)]
    assert replayed(lines, [buy(350, 120, 101, tif=TIF_FOK, tag=1)])[0] == []
    assert replayed(lines, [buy(350, 120, 100, tif=TIF_FOK, tag=1)])[0] == [(1, 108, 100, 0)]


def test_a_cancel_before_the_bar_completes_is_in_time() -> None:
    lines = [*FIRST, *bar(600, 97, 108, 107, 1_000)]
    assert replayed(lines, [buy(350, 120, 10, tag=1), cancel(400, 1)])[0] == []
    assert replayed(lines, [buy(350, 120, 10, tag=1), cancel(595, 1)])[0] == [(1, 108, 10, 0)]
