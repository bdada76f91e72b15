"""The book that a feed holds: against a plainly written one, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.venues.feeds import assert_same, put

from interlock.market.plain_book import PlainBook
from interlock.venues.feed import MAX_LEVELS, BookChange, Reason, Refusal
from interlock.venues.held_book import HeldBook

LEVELS = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), max_size=6, unique_by=lambda level: level[0]).map(tuple)


def change(bids: tuple[tuple[int, int], ...] = (), asks: tuple[tuple[int, int], ...] = (), *, whole: bool = False) -> BookChange:
    return BookChange("X", 1, whole, bids, asks)


@given(st.lists(st.tuples(st.booleans(), LEVELS, LEVELS), max_size=12))
def test_it_is_the_plain_book_or_refuses(changes: list[tuple[bool, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]]) -> None:
    held, book, known = HeldBook("X"), PlainBook(), False
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


def test_a_book_that_grows_without_end_is_refused() -> None:
    held = HeldBook("X")
    held.apply(change(tuple((ticks, 1) for ticks in range(1, MAX_LEVELS + 1)), whole=True))
    with pytest.raises(Refusal) as caught:
        held.apply(change(((MAX_LEVELS + 1, 1),)))
    assert (caught.value.reject.reason, held.usable) == (Reason.OVERSIZED, False)


def test_a_book_that_was_lost_is_empty_until_a_whole_one_comes() -> None:
    held = HeldBook("X")
    held.apply(change(((5, 1),), ((6, 1),), whole=True))
    held.lose()
    assert (held.usable, held.best_bid, held.best_ask, held.levels(1)) == (False, 0, 0, {})
    held.apply(change(((4, 2),), whole=True))
    assert (held.usable, held.best_bid, held.best_ask) == (True, 4, 0)
