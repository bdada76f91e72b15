"""Resting orders: their place in the queue, trades through them, sharing of a trade, snapshots, trades that do not count."""

from typing import Any

import pytest
from tests.simulate.kernels import buy, cancel, sell
from tests.simulate.worlds import depth, endings, event, fills, play, trade

from interlock.market.columns import RowKind
from interlock.simulate.settings import QueueModel

BOOK = [depth(100, 1, 99, 10), depth(100, -1, 101, 10)]
RISK: dict[str, Any] = {"queue": QueueModel.RISK_AVERSE}
POWER: dict[str, Any] = {"queue": QueueModel.POWER, "queue_power": 2.0}
BID = [buy(200, 99, 4, tag=1)]


def test_an_order_waits_for_what_stood_before_it() -> None:
    assert fills(play([*BOOK, trade(400, -1, 99, 10)], BID)) == []
    assert fills(play([*BOOK, trade(400, -1, 99, 10), trade(410, -1, 99, 3)], BID)) == [(1, 99, 3, 1)]
    assert fills(play([*BOOK, trade(400, -1, 99, 14)], BID)) == [(1, 99, 4, 1)]
    # Buyers at our price do not reach a bid.
    assert fills(play([*BOOK, trade(400, 1, 99, 14)], BID)) == []


def test_without_partial_fills_reaching_us_fills_us_whole() -> None:
    assert fills(play([*BOOK, trade(400, -1, 99, 11)], BID, more={"partial_fills": False})) == [(1, 99, 4, 1)]
    assert fills(play([*BOOK, trade(400, -1, 99, 10)], BID, more={"partial_fills": False})) == []


def test_risk_averse_only_trades_and_a_level_below_our_place_move_us() -> None:
    shrunk = [*BOOK, depth(300, 1, 99, 6)]
    assert fills(play([*shrunk, trade(400, -1, 99, 6)], BID, more=RISK)) == []
    assert fills(play([*shrunk, trade(400, -1, 99, 7)], BID, more=RISK)) == [(1, 99, 1, 1)]
    # Growth stands behind us.
    grown = [*BOOK, depth(300, 1, 99, 30)]
    assert fills(play([*grown, trade(400, -1, 99, 12)], BID, more=RISK)) == [(1, 99, 2, 1)]
    # It grew and shrank again to no less than our place: for the careful model nobody ahead has left.
    back = [*grown, depth(310, 1, 99, 11), trade(400, -1, 99, 10)]
    assert fills(play(back, BID, more=RISK)) == []


def test_power_model_shares_a_removal_between_front_and_back() -> None:
    # 10 ahead, 10 behind; 8 are removed: a half of them ahead of us, so 6 are left there.
    lines = [*BOOK, depth(300, 1, 99, 20), depth(310, 1, 99, 12)]
    assert fills(play([*lines, trade(400, -1, 99, 6)], BID, more=POWER)) == []
    assert fills(play([*lines, trade(400, -1, 99, 9)], BID, more=POWER)) == [(1, 99, 3, 1)]
    # The careful model still sees 10 there.
    assert fills(play([*lines, trade(400, -1, 99, 9)], BID, more=RISK)) == []


def test_power_model_counts_a_trade_once() -> None:
    # The trade of 4 moves us to 6; the update that follows it takes nothing off again.
    lines = [*BOOK, trade(300, -1, 99, 4), depth(301, 1, 99, 6)]
    assert fills(play([*lines, trade(400, -1, 99, 6)], BID, more=POWER)) == []
    assert fills(play([*lines, trade(400, -1, 99, 7)], BID, more=POWER)) == [(1, 99, 1, 1)]


@pytest.mark.parametrize("model", [RISK, POWER])
def test_a_trade_through_our_price_fills_us_whole(model: dict[str, Any]) -> None:
    assert fills(play([*BOOK, trade(400, -1, 98, 1)], BID, more=model)) == [(1, 99, 4, 1)]
    assert fills(play([*BOOK, trade(400, -1, 100, 100)], BID, more=model)) == []
    ask = [sell(200, 101, 4, tag=1)]
    assert fills(play([*BOOK, trade(400, 1, 102, 1)], ask, more=model)) == [(1, 101, 4, 1)]


@pytest.mark.parametrize("model", [RISK, POWER])
def test_the_opposite_best_price_reaching_us_fills_us_whole(model: dict[str, Any]) -> None:
    assert fills(play([*BOOK, depth(400, -1, 99, 1)], BID, more=model)) == [(1, 99, 4, 1)]
    assert fills(play([*BOOK, depth(400, -1, 100, 1)], BID, more=model)) == []


def test_our_orders_at_one_price_share_a_trade_in_time_priority() -> None:
    acts = [buy(200, 99, 4, tag=1), buy(300, 99, 4, tag=2)]
    assert fills(play([*BOOK, trade(400, -1, 99, 16)], acts)) == [(1, 99, 4, 1), (2, 99, 2, 1)]
    assert fills(play([*BOOK, trade(400, -1, 99, 13)], acts)) == [(1, 99, 3, 1)]
    assert fills(play([*BOOK, trade(400, -1, 99, 18)], acts)) == [(1, 99, 4, 1), (2, 99, 4, 1)]


def test_cancelling_and_coming_back_goes_to_the_end() -> None:
    lines = [*BOOK, depth(300, 1, 99, 20), trade(500, -1, 99, 12)]
    assert fills(play(lines, BID)) == [(1, 99, 2, 1)]
    assert fills(play(lines, [*BID, cancel(350, 1), buy(400, 99, 4, tag=2)])) == []


@pytest.mark.parametrize("kind", [RowKind.BLOCK_TRADE, RowKind.TOP])
def test_block_trades_and_tops_do_not_move_us(kind: RowKind) -> None:
    def line(at_ns: int, ticks: int) -> tuple[int, int, RowKind, int, int, int]:
        return (at_ns, 0, kind, -1, ticks, 50)

    assert fills(play([*BOOK, line(400, 99), line(410, 90)], BID)) == []
    assert fills(play([*BOOK, trade(400, -1, 99, 50)], BID)) == [(1, 99, 4, 1)]


@pytest.mark.parametrize("model", [RISK, POWER])
def test_a_snapshot_replaces_the_book_and_keeps_our_place(model: dict[str, Any]) -> None:
    snapshot = [*BOOK, event(300, RowKind.CLEAR), depth(300, 1, 99, 7), depth(300, 1, 98, 3), depth(300, -1, 102, 3)]
    assert fills(play([*snapshot, trade(400, -1, 99, 7)], BID, more=model)) == []
    assert fills(play([*snapshot, trade(400, -1, 99, 9)], BID, more=model)) == [(1, 99, 2, 1)]
    # The old best ask is gone from the book: 101 no longer takes, 102 does.
    acts = [buy(400, 101, 2, tag=2), buy(500, 102, 2, tag=3)]
    assert fills(play(snapshot, acts, more=model)) == [(3, 102, 2, 0)]


def test_an_empty_side_reaches_nobody() -> None:
    emptied = [*BOOK, event(300, RowKind.CLEAR)]
    out = play([*emptied, depth(400, 1, 98, 5)], BID)
    assert fills(out) == []
    assert endings(out)[1] == ("open", "NONE", 0)
    # Nor does one that shrinks away level by level.
    assert fills(play([*BOOK, depth(300, -1, 101, 0), depth(310, 1, 99, 3)], BID)) == []


def test_our_fills_and_orders_do_not_change_the_book() -> None:
    lines = [*BOOK, trade(400, -1, 99, 50), depth(500, 1, 98, 4)]
    traded = play(lines, [*BID, sell(600, 99, 10, tag=2)])
    # The bid of 10 at 99 is still displayed: the feed never took it away.
    assert fills(traded) == [(1, 99, 4, 1), (2, 99, 10, 0)]


def test_trade_through_estimates_no_queue() -> None:
    through: dict[str, Any] = {"queue": QueueModel.TRADE_THROUGH}
    # However much trades at our price, nothing says that our turn came; a trade beyond it does, and so does the opposite best price.
    at_price = [*BOOK, trade(400, -1, 99, 500)]
    assert fills(play(at_price, BID, more=through)) == []
    assert fills(play(at_price, BID, more=RISK)) == [(1, 99, 4, 1)]
    assert fills(play([*BOOK, trade(400, -1, 98, 1)], BID, more=through)) == [(1, 99, 4, 1)]
    assert fills(play([*BOOK, depth(400, -1, 99, 5)], BID, more=through)) == [(1, 99, 4, 1)]
