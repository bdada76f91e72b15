"""A word that was used once is never good again, however many came after it, and they take no more room for that."""

from __future__ import annotations

import tracemalloc

from interlock.simulate.served.spent import LATEST, Spent


def test_a_word_is_good_once_however_many_come_after_it() -> None:
    spent = Spent()
    words = [f"nonce {number}" for number in range(3 * LATEST + 5)]
    assert all(spent.use(word) for word in words)
    assert not any(spent.use(word) for word in words)
    assert spent.use("another")


def test_a_word_need_not_be_text_that_can_be_written() -> None:
    spent = Spent()
    words = ["", "\ud800", "\0", "é" * 10_000]
    assert [spent.use(word) for word in words] == [True] * len(words)
    assert [spent.use(f"{number}") for number in range(LATEST)] == [True] * LATEST
    assert [spent.use(word) for word in words] == [False] * len(words)


def test_each_has_words_of_its_own() -> None:
    first, second = Spent(), Spent()
    for number in range(LATEST + 1):
        assert first.use(f"{number}")
        assert second.use(f"{number}")


def test_memory_does_not_grow_with_what_was_used() -> None:
    tracemalloc.start()
    try:
        spent = Spent()
        for number in range(4 * LATEST):
            spent.use(f"{number:036d}")
        before, _ = tracemalloc.get_traced_memory()
        for number in range(4 * LATEST, 12 * LATEST):
            spent.use(f"{number:036d}")
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / (8 * LATEST) < 5
