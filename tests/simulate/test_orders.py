"""What the exchange does with our orders, rule by rule; each test of a refusal has the order that passes beside it."""

import dataclasses
from datetime import date
from decimal import Decimal

import pytest
from tests.simulate.kernels import Act, buy, cancel, replace, sell
from tests.simulate.worlds import (
    Setup,
    both,
    depth,
    endings,
    event,
    fills,
    perpetual,
    play,
    quotes,
    script_strategy,
    spot,
    stepped,
    tape,
    trade,
    venue_settings,
)

from interlock.domain.price_rules import UPBIT_KRW, PriceBand, PriceRule, PriceTable, fixed_step
from interlock.market.columns import RowKind
from interlock.simulate.settings import Budget, InstrumentSettings, VenueSettings
from interlock.strategies.contract import TIF_FOK, TIF_IOC, TIF_POST_ONLY

BOOK = [depth(100, 1, 99, 5), depth(100, 1, 98, 5), depth(100, -1, 101, 5), depth(100, -1, 102, 7), depth(100, -1, 104, 9)]


def test_post_only_is_refused_where_it_would_take_and_rests_where_it_would_not() -> None:
    out = play(BOOK, [buy(200, 101, 3, tif=TIF_POST_ONLY, tag=1), buy(200, 100, 3, tif=TIF_POST_ONLY, tag=2)])
    assert endings(out) == {1: ("expired", "POST_ONLY_WOULD_TAKE", 0), 2: ("open", "NONE", 0)}
    assert out.counts == {"post_only_would_take": 1}
    out = play(BOOK, [sell(200, 99, 3, tif=TIF_POST_ONLY, tag=1), sell(200, 100, 3, tif=TIF_POST_ONLY, tag=2)])
    assert endings(out) == {1: ("expired", "POST_ONLY_WOULD_TAKE", 0), 2: ("open", "NONE", 0)}


def test_a_taking_order_walks_the_book_and_its_rest_stays_in_it() -> None:
    out = play(BOOK, [buy(200, 102, 14, tag=1)])
    assert fills(out) == [(1, 101, 5, 0), (1, 102, 7, 0)]
    assert endings(out)[1] == ("open", "NONE", 12)
    out = play(BOOK, [sell(200, 98, 7, tag=1)])
    assert fills(out) == [(1, 99, 5, 0), (1, 98, 2, 0)]


def test_what_we_took_is_gone_until_the_level_is_refreshed_by_more() -> None:
    takes = [buy(200, 101, 5, tif=TIF_IOC, tag=1), buy(300, 101, 5, tif=TIF_IOC, tag=2), buy(500, 101, 5, tif=TIF_IOC, tag=3)]
    assert fills(play(BOOK, takes)) == [(1, 101, 5, 0)]
    same = [*BOOK, depth(400, -1, 101, 5)]
    assert fills(play(same, takes)) == [(1, 101, 5, 0)]
    less = [*BOOK, depth(400, -1, 101, 4)]
    assert fills(play(less, takes)) == [(1, 101, 5, 0)]
    more = [*BOOK, depth(400, -1, 101, 6)]
    assert fills(play(more, takes)) == [(1, 101, 5, 0), (3, 101, 5, 0)]
    gone_and_back = [*BOOK, depth(400, -1, 101, 0), depth(410, -1, 101, 3)]
    assert fills(play(gone_and_back, takes)) == [(1, 101, 5, 0), (3, 101, 3, 0)]


def test_the_rest_of_a_taking_order_is_not_filled_by_the_levels_that_it_took() -> None:
    # An update far away from what we took says nothing about it.
    out = play([*BOOK, depth(400, -1, 104, 8)], [buy(200, 102, 14, tag=1)])
    assert fills(out) == [(1, 101, 5, 0), (1, 102, 7, 0)]
    refreshed = play([*BOOK, depth(400, -1, 102, 8)], [buy(200, 102, 14, tag=1)])
    assert fills(refreshed) == [(1, 101, 5, 0), (1, 102, 7, 0), (1, 102, 2, 1)]
    mirrored = play([*BOOK, depth(400, 1, 98, 4)], [sell(200, 98, 12, tag=1)])
    assert fills(mirrored) == [(1, 99, 5, 0), (1, 98, 5, 0)]


def test_the_rest_of_an_ioc_expires() -> None:
    out = play(BOOK, [buy(200, 101, 8, tif=TIF_IOC, tag=1), buy(300, 100, 8, tif=TIF_IOC, tag=2), sell(300, 99, 5, tif=TIF_IOC, tag=3)])
    assert endings(out) == {1: ("expired", "IOC_REST", 5), 2: ("expired", "IOC_REST", 0), 3: ("filled", "NONE", 5)}


def test_fill_or_kill_fills_whole_or_not_at_all() -> None:
    out = play(BOOK, [buy(200, 102, 13, tif=TIF_FOK, tag=1), buy(300, 102, 12, tif=TIF_FOK, tag=2), buy(400, 102, 1, tif=TIF_FOK, tag=3)])
    assert endings(out) == {1: ("expired", "FOK_NOT_FILLABLE", 0), 2: ("filled", "NONE", 12), 3: ("expired", "FOK_NOT_FILLABLE", 0)}


def test_without_partial_fills_a_crossing_order_fills_whole_at_the_best_price() -> None:
    out = play(BOOK, [buy(200, 103, 50, tag=1), sell(300, 97, 60, tif=TIF_IOC, tag=2)], more={"partial_fills": False})
    assert fills(out) == [(1, 101, 50, 0), (2, 99, 60, 0)]


def test_a_post_only_order_at_a_crossing_price_does_not_fill_without_partial_fills_either() -> None:
    out = play(BOOK, [buy(200, 103, 50, tif=TIF_POST_ONLY, tag=1)], more={"partial_fills": False})
    assert fills(out) == []
    assert endings(out)[1] == ("expired", "POST_ONLY_WOULD_TAKE", 0)


def test_prices_outside_everything_that_was_ever_shown() -> None:
    out = play(BOOK, [buy(200, 5_000, 100, tag=1), sell(400, 1, 100, tag=2, tif=TIF_IOC), buy(500, 3, 10, tag=3)])
    assert fills(out) == [(1, 101, 5, 0), (1, 102, 7, 0), (1, 104, 9, 0)]
    # Our own bid rests above all asks, so a sell would trade with ourselves.
    assert endings(out)[2] == ("rejected", "SELF_MATCH", 0)
    assert endings(out)[3] == ("open", "NONE", 0)


@pytest.mark.parametrize("partial", [True, False])
def test_an_order_for_an_instrument_that_has_no_book_fills_nothing(partial: bool) -> None:
    only_trades = [trade(100, 1, 100, 5), trade(150, 1, 100, 5)]
    out = play(only_trades, [sell(200, 100, 5, tag=1), buy(210, 90, 5, tag=2)], more={"partial_fills": partial})
    assert fills(out) == []
    out = play([*only_trades, trade(300, 1, 101, 5)], [sell(200, 100, 5, tag=1)], more={"partial_fills": partial})
    assert fills(out) == [(1, 100, 5, 1)]


def test_an_order_that_would_meet_our_own_is_refused() -> None:
    acts = [sell(200, 100, 5, tag=1), buy(300, 100, 5, tag=2), buy(300, 99, 5, tag=3)]
    assert endings(play(BOOK, acts)) == {
        1: ("open", "NONE", 0),
        2: ("rejected", "SELF_MATCH", 0),
        3: ("open", "NONE", 0),
    }
    # Allowed to stand against each other, they still do not trade with each other.
    out = play(BOOK, acts, more={"self_match_refused": False})
    assert fills(out) == []
    assert all(state == ("open", "NONE", 0) for state in endings(out).values())


def test_a_price_between_two_steps_is_refused() -> None:
    # Upbit: from 5,000 on prices are multiples of 5, below of 1.
    krw = [spot(min_price=Decimal(100), **stepped(UPBIT_KRW))]
    book = [depth(100, 1, 4_998, 5), depth(100, -1, 5_010, 5)]
    acts = [buy(200, 5_005, 1, tag=1), buy(200, 5_003, 1, tag=2), buy(200, 4_997, 1, tag=3)]
    assert endings(play(book, acts, instruments=krw)) == {
        1: ("open", "NONE", 0),
        2: ("rejected", "PRICE_STEP", 0),
        3: ("open", "NONE", 0),
    }


def test_a_market_that_crosses_two_price_bands_keeps_book_orders_and_fills() -> None:
    krw = [spot(min_price=Decimal(100), **stepped(UPBIT_KRW))]
    lines = [
        depth(100, 1, 4_998, 5),
        depth(100, -1, 4_999, 5),
        # It rises into the band of fives ...
        depth(300, -1, 4_999, 0),
        depth(300, -1, 5_015, 4),
        depth(310, 1, 5_005, 3),
        # ... and into that of tens, then falls through our orders.
        depth(400, -1, 5_015, 0),
        depth(400, -1, 10_020, 4),
        depth(410, 1, 10_000, 6),
        trade(600, -1, 10_000, 6),
        trade(610, -1, 10_000, 2),
        trade(700, -1, 4_990, 2),
    ]
    acts = [buy(200, 4_997, 2, tag=1), buy(350, 5_005, 2, tag=2), buy(450, 10_000, 2, tag=3), buy(460, 10_005, 2, tag=4)]
    out = play(lines, acts, instruments=krw)
    assert fills(out) == [(3, 10_000, 2, 1), (1, 4_997, 2, 1), (2, 5_005, 2, 1)]
    assert endings(out)[4] == ("rejected", "PRICE_STEP", 0)


def test_the_price_steps_are_those_of_the_day_of_the_tape() -> None:
    day = 86_400_000_000_000
    old = PriceTable(date(1970, 1, 1), (PriceBand(Decimal(0), Decimal(10)),))
    new = PriceTable(date(1970, 1, 11), (PriceBand(Decimal(0), Decimal(5)),))
    instrument = perpetual(price_rule=PriceRule("two days", "made up", (old, new)))
    for first_day, taken in ((2, 0), (12, 3)):
        start = first_day * day
        lines = [depth(start, 1, 1_000, 5), depth(start, -1, 1_025, 3)]
        out = play(lines, [buy(start + 100, 1_025, 3, tag=1)], until_ns=start + 1_000, instruments=[instrument])
        # The order's price is none of the old steps.
        assert endings(out)[1] == (("filled", "NONE", 3) if taken else ("rejected", "PRICE_STEP", 0))
        assert fills(out) == ([(1, 1_025, 3, 0)] if taken else [])


def test_levels_between_the_price_steps_keep_their_own_place() -> None:
    # The step became 10 while older orders rest at 1,003 and 1,007.
    instrument = perpetual(price_rule=fixed_step("ten", Decimal(10), "made up"))
    lines = [depth(100, 1, 980, 1), depth(100, -1, 1_003, 4), depth(100, -1, 1_007, 5), depth(100, -1, 1_010, 6), depth(300, -1, 1_007, 0)]
    out = play(lines, [buy(200, 1_010, 12, tag=1, tif=TIF_IOC), buy(400, 1_000, 1, tag=2)], instruments=[instrument])
    assert fills(out) == [(1, 1_003, 4, 0), (1, 1_007, 5, 0), (1, 1_010, 3, 0)]
    assert endings(out)[2] == ("open", "NONE", 0)


def test_quantity_and_value_have_bounds() -> None:
    instrument = [perpetual(min_lots=2, max_lots=10, min_notional=Decimal(300))]
    acts = [buy(200, 90, 1, tag=1), buy(200, 90, 3, tag=2), buy(200, 75, 4, tag=3), buy(200, 90, 10, tag=4), buy(300, 90, 11, tag=5)]
    out = play(BOOK, acts, instruments=instrument)
    assert endings(out) == {
        1: ("rejected", "QUANTITY", 0),
        2: ("rejected", "MIN_NOTIONAL", 0),
        3: ("open", "NONE", 0),
        4: ("open", "NONE", 0),
    }
    # Above the maximum our own limits answer first: nothing is sent.
    assert out.counts["order_size"] == 1


def test_value_exactly_at_the_minimum_passes_in_any_unit() -> None:
    # 177 x 0.001 x (70 x 0.1) is 1.239, and a little less in binary.
    instrument = perpetual(
        quantum=Decimal("0.1"),
        lot=Decimal("0.001"),
        min_notional=Decimal("1.239"),
        price_rule=fixed_step("tenth", Decimal("0.1"), "made up"),
    )
    acts = [buy(200, 70, 177, tag=1), buy(200, 70, 176, tag=2)]
    out = play([depth(100, 1, 99, 5), depth(100, -1, 101, 5)], acts, instruments=[instrument])
    assert endings(out) == {1: ("open", "NONE", 0), 2: ("rejected", "MIN_NOTIONAL", 0)}


def test_a_halted_venue_refuses_orders_and_takes_cancels() -> None:
    lines = [*BOOK, event(300, RowKind.STATUS, lots=0), event(600, RowKind.STATUS, lots=1)]
    # The order at 310 is under way before we hear of the halt at 320.
    acts = [buy(200, 95, 1, tag=1), buy(310, 95, 1, tag=2), cancel(400, 1), buy(450, 95, 1, tag=3), buy(700, 95, 1, tag=4)]
    out = play(lines, acts)
    assert endings(out) == {1: ("cancelled", "CANCELLED", 0), 2: ("rejected", "HALTED", 0), 4: ("open", "NONE", 0)}
    assert out.counts["not_trading"] == 1


def test_reduce_only_never_opens_a_position() -> None:
    acts = [
        sell(200, 99, 1, tag=1, reduce_only=1),
        buy(300, 101, 4, tag=2),
        sell(400, 99, 5, tag=3, reduce_only=1),
        sell(500, 100, 3, tag=4, reduce_only=1),
        sell(600, 100, 3, tag=5, reduce_only=1),
        sell(700, 99, 1, tag=6, reduce_only=1),
    ]
    out = play(BOOK, acts)
    ended = endings(out)
    assert ended[1] == ("rejected", "REDUCE_ONLY", 0)
    assert ended[2] == ("filled", "NONE", 4)
    assert ended[3] == ("rejected", "REDUCE_ONLY", 0)
    assert ended[4] == ("open", "NONE", 0)
    # With the resting order it could sell more than is held.
    assert ended[5] == ("rejected", "REDUCE_ONLY", 0)
    assert ended[6] == ("filled", "NONE", 1)


def test_a_resting_reduce_only_order_ends_when_there_is_nothing_left_to_reduce() -> None:
    acts = [buy(200, 101, 4, tag=1), sell(300, 100, 3, tag=2, reduce_only=1), sell(400, 99, 4, tag=3)]
    out = play([*BOOK, trade(600, 1, 100, 10)], acts)
    assert fills(out) == [(1, 101, 4, 0), (3, 99, 4, 0)]
    assert endings(out)[2] == ("expired", "REDUCE_ONLY", 0)
    shrunk = play([*BOOK, trade(600, 1, 100, 10)], [*acts[:2], sell(400, 99, 2, tag=3)])
    assert fills(shrunk) == [(1, 101, 4, 0), (3, 99, 2, 0), (2, 100, 2, 1)]
    assert endings(shrunk)[2] == ("expired", "REDUCE_ONLY", 2)
    still_there = play([*BOOK, trade(600, 1, 100, 10)], acts[:2])
    assert fills(still_there) == [(1, 101, 4, 0), (2, 100, 3, 1)]


def test_a_cancel_takes_its_time() -> None:
    slow = {"binance": venue_settings(cancel_ns=200)}
    lines = [*BOOK, trade(450, -1, 99, 20)]
    acts = [buy(200, 100, 2, tag=1), cancel(300, 1)]
    # On the way when the trade comes, so it fills; a faster one saves it.
    assert fills(play(lines, acts, venues=slow)) == [(1, 100, 2, 1)]
    assert play(lines, acts, venues=slow).counts == {"cancel_too_late": 1}
    out = play(lines, acts)
    assert fills(out) == []
    assert endings(out)[1] == ("cancelled", "CANCELLED", 0)


def test_a_cancel_that_overtakes_its_order_leaves_it_alive_and_cancellable() -> None:
    quick = {"binance": venue_settings(order_ns=100, cancel_ns=10)}
    acts = [buy(200, 95, 2, tag=1), cancel(210, 1)]
    out = play(BOOK, acts, venues=quick)
    assert out.counts == {"cancel_too_late": 1}
    assert endings(out)[1] == ("open", "NONE", 0)
    again = play(BOOK, [*acts, cancel(400, 1)], venues=quick)
    assert endings(again)[1] == ("cancelled", "CANCELLED", 0)


def test_only_orders_that_are_there_can_be_cancelled_and_once() -> None:
    out = play(BOOK, [cancel(150, 1), buy(200, 95, 2, tag=1), cancel(300, 1), cancel(305, 1), cancel(900, 1)])
    assert out.counts == {"cancelled": 1, "not_cancellable": 3}


def budgeted(messages: int, reserve: int, **more: int) -> dict[str, VenueSettings]:
    return {"binance": venue_settings(budgets=(Budget(messages, 1_000, reserve),), **more)}


def test_a_message_budget_denies_orders_and_keeps_a_reserve_for_cancels() -> None:
    acts = [buy(t, 90 - i, 1, tag=i) for i, t in enumerate((200, 210, 220, 230), 1)]
    acts += [cancel(400, 1), cancel(410, 2), cancel(420, 3), buy(1_100, 80, 1, tag=9)]
    out = play(BOOK, acts, venues=budgeted(4, 1))
    # Three orders, one cancel out of the reserve, and a new window at 1,000.
    assert out.counts == {"rate_budget": 3, "cancelled": 1}
    assert {tag for tag, end in endings(out).items() if end[0] == "open"} == {2, 3, 9}
    assert "rate_budget" not in play(BOOK, acts, venues=budgeted(7, 1)).counts


def test_two_windows_must_both_have_room() -> None:
    narrow = {"binance": venue_settings(budgets=(Budget(100, 1_000, 0), Budget(2, 100, 0)))}
    acts = [buy(t, 90 - i, 1, tag=i) for i, t in enumerate((200, 210, 220, 300), 1)]
    out = play(BOOK, acts, venues=narrow)
    assert set(endings(out)) == {1, 2, 4}


def test_a_denied_replacement_leaves_the_old_order_in_the_market() -> None:
    acts = [buy(200, 95, 2, tag=1), replace(300, 1, buy(300, 96, 2, tag=2))]
    out = play([*BOOK, trade(600, -1, 94, 9)], acts, venues=budgeted(2, 0))
    assert fills(out) == [(1, 95, 2, 1)]
    assert out.counts == {"rate_budget": 1}
    out = play([*BOOK, trade(600, -1, 94, 9)], acts, venues=budgeted(3, 0))
    assert fills(out) == [(2, 96, 2, 1)]
    assert endings(out)[1] == ("cancelled", "CANCELLED", 0)


def test_a_replacement_that_breaks_a_limit_leaves_the_old_order_in_the_market() -> None:
    own = {"binance:AUSDT": InstrumentSettings(max_position_lots=3)}
    acts = [buy(200, 95, 2, tag=1), replace(300, 1, buy(300, 96, 2, tag=2)), replace(400, 1, buy(400, 97, 1, tag=3))]
    out = play(BOOK, acts, own=own)
    # The old order may still fill: two more could make four, one more makes three.
    assert out.counts == {"position_cap": 1, "cancelled": 1}
    assert endings(out) == {1: ("cancelled", "CANCELLED", 0), 3: ("open", "NONE", 0)}


def test_a_replacement_stays_in_its_market() -> None:
    two = [perpetual("AUSDT"), perpetual("BUSDT")]
    lines = [*BOOK, *quotes(100, 49, 5, 51, 5, instrument=1)]
    acts = [buy(200, 95, 2, tag=1), replace(300, 1, buy(300, 45, 2, tag=2, instrument=1))]
    out = play(lines, acts, instruments=two)
    assert out.counts == {"bad_intent": 1}
    assert endings(out) == {1: ("open", "NONE", 0)}


def test_our_own_limits_deny_before_the_wire() -> None:
    own = {"binance:AUSDT": InstrumentSettings(max_position_lots=10, collar_millionths=50_000)}
    acts = [buy(200, 95, 10, tag=1), buy(300, 95, 1, tag=2), sell(400, 105, 10, tag=3), sell(500, 105, 1, tag=4), sell(600, 94, 1, tag=5)]
    out = play(BOOK, acts, own=own, more={"max_open_orders": 3})
    assert out.counts == {"position_cap": 2 + 1}
    collared = play(BOOK, [sell(200, 94, 1, tag=1), sell(300, 96, 1, tag=2)], own=own)
    assert collared.counts == {"collar": 1}
    assert fills(collared) == [(2, 99, 1, 0)]
    many = [buy(200 + i, 90 - i, 1, tag=i) for i in range(1, 4)]
    assert play(BOOK, many, more={"max_open_orders": 2}).counts == {"open_orders": 1}
    assert play(BOOK, many, more={"max_open_orders": 3}).counts == {}


@pytest.mark.parametrize(
    "act",
    [
        buy(200, 0, 1),
        buy(200, -5, 1),
        buy(200, 95, 0),
        buy(200, 95, -1),
        buy(200, 95, 1, tif=4),
        buy(200, 95, 1, tif=-1),
        buy(200, 95, 1, instrument=1),
        buy(200, 95, 1, instrument=-1),
        buy(200, 1 << 62, 1),
        buy(200, (1 << 62) + (1 << 61), 1),
        sell(200, 1 << 62, 1),
    ],
)
def test_an_intent_that_makes_no_sense_is_denied(act: Act) -> None:
    out = both(Setup(tape(BOOK, until_ns=900)), script_strategy([act]))
    assert out.counts == {"bad_intent": 1}
    assert out.submitted == 0


def test_sides_other_than_buy_and_sell_are_denied() -> None:
    out = play(BOOK, [dataclasses.replace(buy(200, 95, 1), side=side) for side in (0, 2, -3)])
    assert out.counts == {"bad_intent": 3}


def test_a_price_outside_the_venues_band_is_refused() -> None:
    lines = [depth(100, 1, 99, 10), depth(100, -1, 101, 10)]
    band = [perpetual(min_price=Decimal(50), max_price=Decimal(150))]
    told = endings(play(lines, [buy(200, 49, 1, tag=1), sell(200, 151, 1, tag=2), buy(200, 50, 1, tag=3)], instruments=band))
    assert [told[tag][:2] for tag in (1, 2)] == [("rejected", "PRICE_BAND")] * 2
    assert told[3][0] == "open"
