"""The compiled pass for mids against a plain book, row by row."""

import numpy as np
import pytest
from tests.evidence.runs import BTC, ETH, START, run

from interlock.domain.errors import UsageError
from interlock.evidence.mids import marks_from_rows, marks_from_samples
from interlock.market.bars import Candles, bar_rows
from interlock.market.columns import ROW, RowKind
from interlock.market.plain_book import PlainBook


def test_the_top_at_any_time_is_that_of_a_plain_book() -> None:
    draw = np.random.default_rng(5)
    rows = np.zeros(3000, ROW)
    rows["exchange_ns"] = np.sort(draw.integers(0, 1000, len(rows))) + START
    rows["receive_ns"] = rows["exchange_ns"]
    rows["instrument"] = draw.integers(0, 2, len(rows))
    rows["side"] = draw.choice([-1, 1], len(rows))
    rows["ticks"] = 600_000 + rows["side"] * -draw.integers(1, 20, len(rows))
    rows["lots"] = draw.integers(0, 3, len(rows))
    rows["kind"] = draw.choice([RowKind.DEPTH] * 60 + [RowKind.TRADE] * 10 + [RowKind.CLEAR], len(rows))
    order = draw.permutation(len(rows)).astype(np.uint32)
    stored = np.zeros_like(rows)
    stored[order] = rows  # the tape in another order, with the permutation back into exchange order
    at_ns = draw.integers(-5, 1010, 400) + START
    asked = draw.integers(0, 2, 400)
    marks = marks_from_rows(stored, order, [BTC, ETH], asked, at_ns)

    books, last = [PlainBook(), PlainBook()], [[0, 0, 0], [0, 0, 0]]
    expected, first, i = {}, [0, 0], 0
    for q in np.argsort(at_ns, kind="stable"):
        while i < len(rows) and rows["exchange_ns"][i] <= at_ns[q]:
            row, i = rows[i], i + 1
            k = int(row["instrument"])
            if row["kind"] == RowKind.CLEAR:
                books[k].clear()
            elif row["kind"] == RowKind.DEPTH:
                books[k].set(int(row["side"]), int(row["ticks"]), int(row["lots"]))
            bid, bid_lots, ask, ask_lots = books[k].top()
            last[k][0] = bid if bid_lots else last[k][0]
            last[k][1] = ask if ask_lots else last[k][1]
            last[k][2] = bid + ask if bid_lots and ask_lots else last[k][2]
            first[k] = first[k] or last[k][2]
        expected[int(q)] = tuple(last[asked[q]])
    assert [tuple(int(v) for v in quote) for quote in marks.quotes] == [expected[q] for q in range(len(at_ns))]
    assert marks.first_mid_twice.tolist() == first


def test_a_bar_is_marked_at_its_close_and_traded_at_its_worse_extreme() -> None:
    one = np.array([START], np.int64)
    candles = Candles(one, one * 0 + 100, one * 0 + 130, one * 0 + 90, one * 0 + 110, one * 0 + 5)
    rows = bar_rows(candles, 60, 0)
    before, after = marks_from_rows(rows, None, [BTC], np.zeros(2, np.int64), np.array([START + 59, START + 60])).quotes
    assert tuple(before) == (0, 0, 0)
    assert tuple(after) == (90, 130, 220)


def test_samples_serve_where_there_is_no_tape() -> None:
    facts = run([BTC], [[600_000, 600_010, 600_020]], [])
    times = np.array([START - 1, START, START + 1_500_000_000])
    marks = marks_from_samples(facts.outcome.samples, 1, np.zeros(3, np.int64), times)
    assert marks.quotes["mid_twice"].tolist() == [0, 1_200_002, 1_200_022]
    assert marks.first_mid_twice.tolist() == [1_200_002]


def test_a_tape_with_absurd_levels_is_refused() -> None:
    rows = np.zeros(2, ROW)
    rows["exchange_ns"], rows["receive_ns"], rows["side"], rows["lots"], rows["ticks"] = START, START, 1, 1, [1, 1 << 40]
    with pytest.raises(UsageError, match="price steps"):
        marks_from_rows(rows, None, [BTC], np.zeros(1, np.int64), np.array([START]))
