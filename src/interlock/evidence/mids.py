"""The true top of every book at arbitrary exchange times, by one compiled pass over a tape in exchange order.

A moment's quote holds every row up to and including that moment. A side that is empty keeps its last price. The quote of a bar is its
close; its sides are the worse extremes (low to sell at, high to buy at), as in the matching model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from interlock.domain.instruments import Instrument
from interlock.market.book import UNCHANGED, cell_of, clear, refresh_top, set_level
from interlock.market.compiled import compiled
from interlock.market.ladders import plan_ladders

DEPTH, CLEAR, BAR_HIGH, BAR_LOW, BAR_CLOSE = 0, 3, 8, 9, 10

Times = npt.NDArray[np.int64]

QUOTE = np.dtype([("bid_ticks", "i8"), ("ask_ticks", "i8"), ("mid_twice", "i8")], align=True)
"""0 where nothing was known yet."""


@compiled()
def _walk(rows: Any, order: Any, books: Any, depth: Any, at_ns: Any, instrument: Any, quotes: Any, last: Any, first: Any) -> None:
    """Answer queries sorted by time. last: the running quote by instrument; first: (time, mid) of the first mid known."""
    n = rows.shape[0]
    asked = at_ns.shape[0]
    q = 0
    for i in range(n):
        row = rows[order[i]] if order.shape[0] > 0 else rows[i]
        while q < asked and at_ns[q] < row.exchange_ns:
            quotes[q].bid_ticks = last[instrument[q]].bid_ticks
            quotes[q].ask_ticks = last[instrument[q]].ask_ticks
            quotes[q].mid_twice = last[instrument[q]].mid_twice
            q += 1
        if q == asked:
            # The first mids lie at the very beginning; once all queries are answered nothing else is wanted.
            return
        k = row.instrument
        kind = row.kind
        book = books[k]
        top = last[k]
        if kind == DEPTH:
            if set_level(book, depth, row.side, cell_of(book, row.ticks), row.lots) == UNCHANGED:
                continue
            refresh_top(book, depth)
            if book.bid_ticks > 0:
                top.bid_ticks = book.bid_ticks
            if book.ask_ticks > 0:
                top.ask_ticks = book.ask_ticks
            top.mid_twice = book.mid_twice
        elif kind == CLEAR:
            clear(book, depth)
        elif kind == BAR_HIGH:
            book.bar_high = row.ticks
        elif kind == BAR_LOW:
            book.bar_low = row.ticks
        elif kind == BAR_CLOSE:
            top.bid_ticks = book.bar_low
            top.ask_ticks = book.bar_high
            top.mid_twice = 2 * row.ticks
        if first[k, 1] == 0 and top.mid_twice > 0:
            first[k, 0] = row.exchange_ns
            first[k, 1] = top.mid_twice
    while q < asked:
        quotes[q].bid_ticks = last[instrument[q]].bid_ticks
        quotes[q].ask_ticks = last[instrument[q]].ask_ticks
        quotes[q].mid_twice = last[instrument[q]].mid_twice
        q += 1


@dataclass(frozen=True)
class Marks:
    """Answers: `quotes[i]` for query i; by instrument the time and mid (twice, ticks) of the first mid, 0 where there was none."""

    quotes: np.ndarray
    first_ns: Times
    first_mid_twice: Times


def marks_from_rows(
    rows: np.ndarray, exchange_order: np.ndarray | None, instruments: Sequence[Instrument], instrument: Times, at_ns: Times
) -> Marks:
    """Quotes of `instrument[i]` at exchange time `at_ns[i]`; the queries may come in any order.

    Raises UsageError where an instrument's levels span more price steps than a replay can hold.
    """
    ladders = plan_ladders(rows, instruments)
    books, cells = ladders.empty_books(), ladders.total
    rows = np.asarray(rows)[:]
    rows.flags.writeable = False
    order = np.zeros(0, np.uint32) if exchange_order is None else np.asarray(exchange_order)[:]
    order.flags.writeable = False
    sorting = np.argsort(at_ns, kind="stable")
    quotes = np.zeros(len(at_ns), QUOTE)
    first = np.zeros((len(instruments), 2), np.int64)
    _walk(
        rows,
        order,
        books,
        np.zeros(cells, np.int64),
        np.ascontiguousarray(at_ns[sorting], np.int64),
        np.ascontiguousarray(instrument[sorting], np.int64),
        quotes,
        np.zeros(len(instruments), QUOTE),
        first,
    )
    answers = np.zeros(len(at_ns), QUOTE)
    answers[sorting] = quotes
    return Marks(answers, first[:, 0].copy(), first[:, 1].copy())


def marks_from_samples(samples: np.ndarray, instruments: int, instrument: Times, at_ns: Times) -> Marks:
    """The same from the 1 s samples of a run, where no tape is at hand: the last sample at or before the time."""
    answers = np.zeros(len(at_ns), QUOTE)
    first_ns, first_mid = np.zeros(instruments, np.int64), np.zeros(instruments, np.int64)
    for k in range(instruments):
        own = samples[(samples["instrument"] == k) & (samples["mid_twice"] > 0)]
        if len(own) == 0:
            continue
        first_ns[k], first_mid[k] = own["exchange_ns"][0], own["mid_twice"][0]
        asked = np.flatnonzero(instrument == k)
        at = np.searchsorted(own["exchange_ns"], at_ns[asked], side="right") - 1
        known = at >= 0
        for name in ("bid_ticks", "ask_ticks", "mid_twice"):
            answers[name][asked[known]] = own[name][at[known]]
    return Marks(answers, first_ns, first_mid)
