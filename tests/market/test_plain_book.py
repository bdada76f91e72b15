from hypothesis import given
from hypothesis import strategies as st

from interlock.market.plain_book import PlainBook


@given(st.lists(st.tuples(st.sampled_from([1, -1]), st.integers(1, 12), st.integers(0, 3))))
def test_the_top_is_the_best_level_that_is_there(updates: list[tuple[int, int, int]]) -> None:
    book = PlainBook()
    levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
    for side, ticks, lots in updates:
        book.set(side, ticks, lots)
        levels[side][ticks] = lots
        bids = {t: n for t, n in levels[1].items() if n}
        asks = {t: n for t, n in levels[-1].items() if n}
        bid, ask = max(bids, default=0), min(asks, default=0)
        assert book.top() == (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
        assert (book.levels(1), book.levels(-1)) == (bids, asks)
    book.clear()
    assert book.top() == (0, 0, 0, 0)
