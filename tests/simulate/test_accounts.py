"""Accounts at the venues: what may be sold and bought, margin, liquidation, funding."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from tests.simulate.kernels import buy, cancel, diarist, sell
from tests.simulate.worlds import (
    TIERS,
    Line,
    Setup,
    both,
    depth,
    endings,
    event,
    fees,
    fills,
    perpetual,
    play,
    quotes,
    spot,
    tape,
    trade,
    venue_settings,
)

from interlock.domain.errors import UsageError
from interlock.market.columns import RowKind
from interlock.simulate.fast import replay_fast
from interlock.simulate.outcome import Ending
from interlock.simulate.settings import InstrumentSettings
from interlock.simulate.world import Strategy, build_world
from interlock.strategies.contract import TIF_IOC, WAKE_BAR, WAKE_TIMER

BOOK = quotes(100, 99, 50, 101, 50)
HOLDS = {"upbit:KRW-A": InstrumentSettings(1_000_000, start_lots=10)}


def shop(cash: str, taker: str = "0") -> dict[str, Any]:
    return {
        "instruments": [spot(fees=fees(taker=taker))],
        "venues": {"upbit": venue_settings(cash=Decimal(cash))},
    }


def test_spot_sells_only_what_is_held_and_not_promised_to_a_resting_order() -> None:
    acts = [sell(200, 110, 6, tag=1), sell(210, 99, 5, tag=2), sell(220, 99, 4, tag=3), sell(230, 99, 1, tag=4)]
    out = play(BOOK, acts, own=HOLDS, **shop("0"))
    assert endings(out) == {
        1: ("open", "NONE", 0),
        2: ("rejected", "INSUFFICIENT_BALANCE", 0),
        3: ("filled", "NONE", 4),
        4: ("rejected", "INSUFFICIENT_BALANCE", 0),
    }
    # A cancel gives the promise back.
    freed = play(BOOK, [sell(200, 110, 6, tag=1), cancel(250, 1), sell(300, 99, 10, tag=2)], own=HOLDS, **shop("0"))
    assert endings(freed)[2] == ("filled", "NONE", 10)


def test_spot_without_the_check_sells_what_it_does_not_have() -> None:
    venues = {"upbit": venue_settings(funds_checked=False)}
    assert fills(play(BOOK, [sell(200, 99, 5, tag=1)], instruments=[spot()], venues=venues)) == [(1, 99, 5, 0)]


def test_spot_buys_with_what_is_there_the_taker_fee_included() -> None:
    acts = [buy(200, 101, 10, tif=TIF_IOC, tag=1)]
    assert endings(play(BOOK, acts, **shop("1010")))[1] == ("filled", "NONE", 10)
    assert endings(play(BOOK, acts, **shop("1010", taker="0.001")))[1] == ("rejected", "INSUFFICIENT_BALANCE", 0)
    assert endings(play(BOOK, acts, **shop("1011.01", taker="0.001")))[1] == ("filled", "NONE", 10)
    # What rests is promised, what was cancelled is free again, what was sold can be spent.
    resting = [buy(200, 90, 10, tag=1), buy(300, 101, 2, tag=2)]
    assert endings(play(BOOK, resting, **shop("1010")))[2] == ("rejected", "INSUFFICIENT_BALANCE", 0)
    assert endings(play(BOOK, [resting[0], cancel(250, 1), resting[1]], **shop("1010")))[2] == ("filled", "NONE", 2)
    assert endings(play(BOOK, [resting[0], sell(250, 99, 5, tag=3), resting[1]], own=HOLDS, **shop("1010")))[2][0] == "filled"


def margined(cash: str, **more: Any) -> dict[str, Any]:
    return {
        "instruments": [perpetual(margin_tiers=TIERS)],
        "venues": {"binance": venue_settings(cash=Decimal(cash), **more)},
    }


def test_an_order_needs_its_initial_margin() -> None:
    # 10 x 101 is 1,010: a tenth of it.
    assert endings(play(BOOK, [buy(200, 101, 10, tag=1)], **margined("101")))[1] == ("filled", "NONE", 10)
    assert endings(play(BOOK, [buy(200, 101, 10, tag=1)], **margined("100")))[1] == ("rejected", "INSUFFICIENT_MARGIN", 0)
    assert endings(play(BOOK, [buy(200, 101, 10, tag=1)], **margined("100", margined=False)))[1] == ("filled", "NONE", 10)
    # Shrinking a position needs none.
    out = play(BOOK, [buy(200, 101, 10, tag=1), sell(300, 99, 10, tag=2)], **margined("101"))
    assert endings(out)[2] == ("filled", "NONE", 10)


def test_a_larger_position_falls_into_a_higher_tier() -> None:
    deep = quotes(100, 99, 500, 101, 500)
    assert endings(play(deep, [buy(200, 101, 99, tag=1)], **margined("1000")))[1] == ("filled", "NONE", 99)
    assert endings(play(deep, [buy(200, 101, 100, tag=1)], **margined("5000")))[1] == ("rejected", "INSUFFICIENT_MARGIN", 0)
    assert endings(play(deep, [buy(200, 101, 100, tag=1)], **margined("5050")))[1] == ("filled", "NONE", 100)


def test_resting_orders_use_margin_too() -> None:
    acts = [buy(200, 100, 10, tag=1), buy(300, 100, 10, tag=2), sell(400, 110, 9, tag=3)]
    out = play(BOOK, acts, **margined("150"))
    assert endings(out) == {1: ("open", "NONE", 0), 2: ("rejected", "INSUFFICIENT_MARGIN", 0), 3: ("open", "NONE", 0)}
    assert endings(play(BOOK, acts, **margined("200")))[2] == ("open", "NONE", 0)


def test_liquidation_ends_the_run_there() -> None:
    fall = [*BOOK, depth(500, 1, 99, 0), depth(500, 1, 92, 5), depth(500, -1, 94, 5), trade(800, -1, 92, 1), trade(1_200, 1, 94, 1)]
    acts = [buy(200, 101, 10, tag=1), buy(1_000, 94, 1, tag=2)]
    often: dict[str, Any] = {"more": {"sample_period_ns": 100}}
    # Bought at 101, marked at 93: the loss of 80 leaves 25, less than 5 % of 930.
    ended = play(fall, acts, **margined("105"), **often)
    assert ended.ending is Ending.LIQUIDATED
    assert fills(ended) == [(1, 101, 10, 0)]
    assert ended.end_ns < 1_000
    survived = play(fall, acts, **margined("250"), **often)
    assert survived.ending is Ending.COMPLETE
    assert len(fills(survived)) == 2
    # The same account where margin is not modelled.
    assert play(fall, acts, **margined("105", margined=False), **often).ending is Ending.COMPLETE


def test_a_published_mark_price_goes_before_the_mid() -> None:
    marked = [*BOOK, event(400, RowKind.MARK, ticks=90), trade(700, 1, 101, 1)]
    acts = [buy(200, 101, 10, tag=1)]
    # The mid stays at 100, the mark falls to 90: a loss of 110.
    assert play(marked, acts, **margined("150")).ending is Ending.LIQUIDATED
    assert play([*BOOK, trade(700, 1, 101, 1)], acts, **margined("150")).ending is Ending.COMPLETE
    assert play(marked, acts, **margined("160")).ending is Ending.COMPLETE


def test_an_opening_position_starts_with_its_account_whole() -> None:
    own = {"binance:AUSDT": InstrumentSettings(1_000_000, start_lots=-10)}
    lines = [*BOOK, trade(500, 1, 101, 1), trade(1_500, 1, 101, 1)]
    often: dict[str, Any] = {"more": {"sample_period_ns": 100}}
    assert play(lines, [], own=own, **margined("60", opening_cost=Decimal(-1_000)), **often).ending is Ending.COMPLETE
    # Without the money that the short brought in, it is under water.
    assert play(lines, [], own=own, **margined("60"), **often).ending is Ending.LIQUIDATED


def test_no_account_is_liquidated_for_want_of_a_price() -> None:
    two = [perpetual("AUSDT", margin_tiers=TIERS), perpetual("BUSDT", margin_tiers=TIERS)]
    own = {i.key: InstrumentSettings(1_000_000, start_lots=10) for i in two}
    venues = {"binance": venue_settings(cash=Decimal(300), opening_cost=Decimal(2_000))}
    often = {"sample_period_ns": 100}

    def world(b_ticks: int) -> list[Line]:
        late = [depth(900, 1, b_ticks - 1, 5, 1), depth(900, -1, b_ticks + 1, 5, 1)]
        return [*BOOK, trade(300, 1, 101, 1), trade(600, 1, 101, 1), *late, trade(1_200, 1, 101, 1)]

    assert play(world(100), [], instruments=two, own=own, venues=venues, more=often).ending is Ending.COMPLETE
    assert play(world(70), [], instruments=two, own=own, venues=venues, more=often).ending is Ending.LIQUIDATED


RATE = 10**8  # 1e-4


@pytest.mark.parametrize(("closed_at_ns", "payments"), [(380, 0), (430, 1)])
def test_funding_is_paid_only_if_held_at_the_settlement(closed_at_ns: int, payments: int) -> None:
    lines = [*BOOK, event(400, RowKind.FUNDING, ticks=105, lots=RATE)]
    out = play(lines, [buy(200, 101, 10, tag=1), sell(closed_at_ns, 99, 10, tag=2)])
    assert len(out.fills) == 2
    assert len(out.fundings) == payments
    for paid in out.fundings:
        assert (paid["exchange_ns"], paid["position_lots"], paid["mark_twice"], paid["rate"]) == (400, 10, 210, RATE)


def test_an_order_that_arrives_at_the_instant_of_settlement_comes_after_it() -> None:
    lines = [*BOOK, event(400, RowKind.FUNDING, ticks=105, lots=RATE)]
    assert len(play(lines, [buy(390, 101, 10, tag=1)]).fundings) == 0
    assert len(play(lines, [buy(385, 101, 10, tag=1)]).fundings) == 1


@pytest.mark.parametrize(("mark", "paid_on"), [([event(350, RowKind.MARK, ticks=103)], 206), ([], 200)])
def test_a_settlement_without_a_price_uses_the_last_mark_else_the_mid(mark: list[Line], paid_on: int) -> None:
    lines = [*BOOK, *mark, event(400, RowKind.FUNDING, ticks=0, lots=RATE)]
    out = play(lines, [buy(200, 101, 10, tag=1)])
    assert out.fundings["mark_twice"].tolist() == [paid_on]


@pytest.mark.parametrize(("rate", "survives"), [(10**10, True), (10**11, False), (-(10**11), True)])
def test_longs_pay_a_positive_rate_out_of_their_account(rate: int, survives: bool) -> None:
    # 10 % of 1,010 is 101, which the account of 141 does not survive; at 1 % it does.
    lines = [*BOOK, event(400, RowKind.FUNDING, ticks=101, lots=rate), trade(700, 1, 101, 1)]
    out = play(lines, [buy(200, 101, 10, tag=1)], **margined("141"), more={"sample_period_ns": 100})
    assert (out.ending is Ending.COMPLETE) is survives


def test_the_predicted_rate_is_unknown_until_it_reaches_us() -> None:
    lines = [*BOOK, event(400, RowKind.FUNDING_NEXT, lots=RATE), event(800, RowKind.FUNDING, lots=2 * RATE, ticks=100)]
    setup = Setup(tape(lines, until_ns=1_000))
    strategy = Strategy("diarist", diarist, np.zeros(1), 4_000, WAKE_TIMER | WAKE_BAR, 5)
    both(setup, strategy)
    world = setup.world(strategy)
    replay_fast(world, diarist)
    entries = world.state[1 : 1 + 6 * int(world.state[0])].reshape(-1, 6)
    before = entries[entries[:, 0] < 420]
    between = entries[(entries[:, 0] >= 420) & (entries[:, 0] < 820)]
    after = entries[entries[:, 0] >= 820]
    assert min(len(before), len(between), len(after)) > 0
    assert set(before[:, 2]) == {0.0}
    assert set(before[:, 3]) == {0.0}
    assert set(between[:, 3]) == {float(RATE)}
    assert set(between[:, 4]) == {0.0}
    assert set(after[:, 4]) == {2.0 * RATE}


def test_a_tape_without_rows_or_with_times_that_no_clock_shows_is_refused() -> None:
    with pytest.raises(UsageError, match="no rows"):
        play([], [], until_ns=0)
    with pytest.raises(UsageError, match="times"):
        play([depth(1 << 61, 1, 99, 5)], [], until_ns=0)
    with pytest.raises(UsageError, match="times"):
        play([depth(0, 1, 99, 5)], [], until_ns=0)
    play([depth(1, 1, 99, 5)], [], until_ns=10)


def test_settings_must_name_every_venue_and_instrument() -> None:
    setup = Setup(tape(BOOK))
    strategy = Strategy("diarist", diarist, np.zeros(1), 10, WAKE_BAR)
    good = setup.settings()
    build_world(setup.rows, None, setup.instruments, good, strategy)
    with pytest.raises(UsageError, match="no settings for venue 'binance'"):
        build_world(setup.rows, None, setup.instruments, replace(good, venues={}), strategy)
    with pytest.raises(UsageError, match="no settings for instrument 'binance:AUSDT'"):
        build_world(setup.rows, None, setup.instruments, replace(good, instruments={}), strategy)


def test_margin_is_reckoned_at_the_mid_of_now() -> None:
    two = [perpetual("AUSDT", margin_tiers=TIERS), perpetual("BUSDT", margin_tiers=TIERS)]
    books = [*BOOK, *quotes(100, 99, 50, 101, 50, instrument=1)]
    fall = [depth(400, 1, 99, 0), depth(400, 1, 84, 5), depth(400, -1, 86, 5)]
    acts = [buy(200, 101, 10, tag=1), buy(500, 101, 5, tag=2, instrument=1)]
    rich: dict[str, Any] = {
        "venues": {"binance": venue_settings(cash=Decimal(250))},
        "instruments": two,
        "more": {"sample_period_ns": 10**9},
    }
    # At 100 the first position leaves 140 for the second; at 85 it leaves 5, and 50.5 are needed.
    assert endings(play(books, acts, **rich))[2] == ("filled", "NONE", 5)
    assert endings(play([*books, *fall], acts, **rich))[2] == ("rejected", "INSUFFICIENT_MARGIN", 0)
