"""The books that a feed holds, of dicts and of arrays: against a plainly written one, and what they refuse."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.feeds import assert_same, put

from interlock.market.plain_book import PlainBook
from interlock.venues.feed import MAX_LEVELS, BookChange, Reason, Refusal
from interlock.venues.held_book import HeldBook
from interlock.venues.row_book import RowBook

KINDS = pytest.mark.parametrize("kind", [HeldBook, RowBook])
LEVELS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=6, unique_by=lambda level: level[0]).map(tuple)


def change(bids: tuple[tuple[int, int], ...] = (), asks: tuple[tuple[int, int], ...] = (), *, whole: bool = False) -> BookChange:
    return BookChange("X", 1, whole, bids, asks)


@KINDS
@given(st.lists(st.tuples(st.booleans(), LEVELS, LEVELS), max_size=12))
def test_it_is_the_plain_book_or_refuses(
    kind: type[HeldBook], changes: list[tuple[bool, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]]
) -> None:
    held, book, known = kind("X"), PlainBook(), False
    for whole, bids, asks in changes:
        step = change(bids, asks, whole=whole)
        if whole or known:
            put(book, step)
        bid, _, ask, _ = book.top()
        crossed = bid and ask and bid >= ask
        if not (whole or known):
            with pytest.raises(Refusal) as caught:
                held.apply(step)
            assert caught.value.reject.reason is Reason.NO_SNAPSHOT
        elif crossed:
            with pytest.raises(Refusal) as caught:
                held.apply(step)
            assert caught.value.reject.reason is Reason.CROSSED
            known = False
            book.clear()
        else:
            held.apply(step)
            known = True
        assert held.usable == known
        assert_same(held, book)


@KINDS
def test_a_book_that_grows_without_end_is_refused(kind: type[HeldBook]) -> None:
    held = kind("X")
    held.apply(change(tuple((ticks, 1) for ticks in range(1, MAX_LEVELS + 1)), whole=True))
    with pytest.raises(Refusal) as caught:
        held.apply(change(((MAX_LEVELS + 1, 1),)))
    assert (caught.value.reject.reason, held.usable) == (Reason.OVERSIZED, False)


@KINDS
def test_a_book_that_was_lost_is_empty_until_a_whole_one_comes(kind: type[HeldBook]) -> None:
    held = kind("X")
    held.apply(change(((5, 1),), ((6, 1),), whole=True))
    held.lose()
    assert (held.usable, held.best_bid, held.best_ask, held.levels(1)) == (False, 0, 0, {})
    held.apply(change(((4, 2),), whole=True))
    assert (held.usable, held.best_bid, held.best_ask) == (True, 4, 0)


@given(st.lists(st.integers(1, 2**62 - 1), min_size=1, max_size=40, unique=True), st.sampled_from([1, -1]))
def test_any_price_has_a_place_in_a_book_of_arrays(prices: list[int], side: int) -> None:
    """Whole in any order, changed level by level, and taken away in another order."""
    held = RowBook("X")
    half = tuple((ticks, ticks) for ticks in prices[::2])
    held.apply(BookChange("X", 1, True, half if side > 0 else (), half if side < 0 else ()))
    for ticks in prices:
        held.apply(BookChange("X", 1, False, ((ticks, 7),) if side > 0 else (), ((ticks, 7),) if side < 0 else ()))
    assert held.levels(side) == dict.fromkeys(prices, 7)
    left = set(prices)
    for ticks in sorted(prices, key=lambda ticks: ticks % 97):
        assert (held.best_bid if side > 0 else held.best_ask) == (max if side > 0 else min)(left)
        left.remove(ticks)
        held.apply(BookChange("X", 1, False, ((ticks, 0),) if side > 0 else (), ((ticks, 0),) if side < 0 else ()))
        assert held.levels(side) == dict.fromkeys(left, 7)
    assert (held.best_bid, held.best_ask, held.usable) == (0, 0, True)
