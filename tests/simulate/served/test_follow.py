"""A simulated market that follows a live feed: what is heard happens, whole books as what changed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from interlock.market.columns import RowKind
from interlock.market.shipped import SHIPPED
from interlock.simulate.served.follow import FollowDrive
from interlock.venues.feed import BookChange, FundingNext, Mark, Trade

BTC = SHIPPED["bybit:BTCUSDT"]
BOOK = ({600_000: 5, 599_999: 7}, {600_001: 3, 600_004: 9})


def drive() -> FollowDrive:
    return FollowDrive((BTC,), {BTC.symbol: BOOK})


def change(bids: dict[int, int], asks: dict[int, int], *, whole: bool = False) -> BookChange:
    return BookChange(BTC.symbol, 1, whole, tuple(bids.items()), tuple(asks.items()))


def levels(rows: np.ndarray) -> list[tuple[int, int, int]]:
    depth = rows[rows["kind"] == RowKind.DEPTH]
    return [(int(row["side"]), int(row["ticks"]), int(row["lots"])) for row in depth]


def test_it_begins_with_the_whole_books_and_a_mark_between() -> None:
    made = drive()
    rows = made.first()
    assert set(levels(rows)) == {(1, 600_000, 5), (1, 599_999, 7), (-1, 600_001, 3), (-1, 600_004, 9)}
    assert [int(one) for one in rows[rows["kind"] == RowKind.MARK]["ticks"]] == [600_000]
    assert made.around() == {BTC.symbol: BTC.price(600_000)}
    assert len(made.step()) == 0


def test_a_change_is_passed_on_and_a_repetition_is_not() -> None:
    made = drive()
    assert levels(made.told([change({600_000: 6}, {})])) == [(1, 600_000, 6)]
    assert levels(made.told([change({600_000: 6}, {})])) == []
    assert levels(made.told([change({600_000: 0}, {})])) == [(1, 600_000, 0)]
    assert levels(made.told([change({600_000: 0}, {})])) == []


def test_a_whole_book_is_what_differs_with_what_is_gone_first() -> None:
    told = drive().told([change({599_998: 2, 599_999: 7}, {600_000: 1, 600_004: 9}, whole=True)])
    assert levels(told) == [(1, 600_000, 0), (1, 599_998, 2), (-1, 600_001, 0), (-1, 600_000, 1)]


def test_what_is_told_before_it_begins_is_in_the_books_that_it_begins_with() -> None:
    made = drive()
    made.told([change({600_000: 0, 599_998: 4}, {})])
    assert set(levels(made.first())) == {(1, 599_999, 7), (1, 599_998, 4), (-1, 600_001, 3), (-1, 600_004, 9)}
    assert made.around() == {BTC.symbol: BTC.price(600_000)}


def test_trades_and_marks_come_in_their_place_and_what_is_not_followed_is_left_out() -> None:
    told = drive().told(
        [
            Trade(BTC.symbol, 1, 1, 600_001, 2),
            Trade(BTC.symbol, 1, -1, 600_000, 4, in_book=False),
            Mark(BTC.symbol, 1, 600_003),
            FundingNext(BTC.symbol, 1, 100),
            Trade("ETHUSDT", 1, 1, 30_000, 2),
        ]
    )
    assert [(int(r["kind"]), int(r["side"]), int(r["ticks"]), int(r["lots"])) for r in told] == [
        (RowKind.TRADE, 1, 600_001, 2),
        (RowKind.BLOCK_TRADE, -1, 600_000, 4),
        (RowKind.MARK, 0, 600_003, 0),
    ]


SIDE = st.dictionaries(st.integers(1, 12), st.integers(0, 3), max_size=6)


@given(st.lists(st.tuples(SIDE, SIDE, st.booleans()), max_size=8))
def test_whatever_is_told_the_rows_make_the_book_that_was_told(told: list[tuple[dict[int, int], dict[int, int], bool]]) -> None:
    made = drive()
    ours: tuple[dict[int, int], dict[int, int]] = (dict(BOOK[0]), dict(BOOK[1]))
    theirs: tuple[dict[int, int], dict[int, int]] = (dict(BOOK[0]), dict(BOOK[1]))
    for bids, asks, whole in told:
        for held, said in zip(theirs, (bids, asks), strict=True):
            if whole:
                held.clear()
            held.update(said)
            for ticks in [one for one, lots in held.items() if not lots]:
                del held[ticks]
        for side, ticks, lots in levels(made.told([change(bids, asks, whole=whole)])):
            held = ours[0 if side > 0 else 1]
            if lots:
                held[ticks] = lots
            else:
                del held[ticks]
        assert ours == theirs
