"""The engine's core with a real feed: a book that is lost or broken is not quoted on, from that very input on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from interlock.engine.core import Core
from interlock.engine.inputs import Input, Kind
from interlock.engine.lines import hot_lines
from interlock.engine.side import Bar
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import SHIPPED
from interlock.simulate.settings import InstrumentSettings, ReplaySettings, VenueSettings
from interlock.simulate.world import Strategy
from interlock.strategies.contract import WAKE_TIMER
from interlock.strategies.making import STATE_SIZE, MakingParams, making
from interlock.venues.feed import Reject

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
BTC = SHIPPED["bybit:BTCUSDT"]


def book(kind: str, update: int, bid: str = "60000.0", ask: str = "60000.1") -> bytes:
    data = {"s": "BTCUSDT", "b": [[bid, "1"]], "a": [[ask, "1"]], "u": update, "seq": update}
    return json.dumps(
        {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": T0 // MS, "data": data, "cts": T0 // MS}, separators=(",", ":")
    ).encode()


def quoting() -> Core:
    """A core with a fresh book and a gate that trades."""
    line = hot_lines((BTC,))[0]
    settings = ReplaySettings(venues={"bybit": VenueSettings(0, 0, 0)}, instruments={BTC.key: InstrumentSettings(100)})
    strategy = Strategy("making", making, MakingParams().pack(), STATE_SIZE, WAKE_TIMER)
    core = Core((BTC,), settings, strategy, [line.reading], [0], T0)
    core.take(Input(Kind.FRAME, T0, 0, book("snapshot", 10)))
    core.take(Input(Kind.FRESH, T0, 0, b"1"))
    core.take(Input(Kind.GATE, T0, 1))
    assert core.side.bars(0) == ()
    return core


def test_a_frame_that_follows_leaves_the_book_in_use() -> None:
    """The control of the tests below."""
    core = quoting()
    core.take(Input(Kind.FRAME, T0 + MS, 0, book("delta", 11)))
    assert core.side.bars(0) == ()
    assert core.side.book_ns(0) == T0 + MS


@pytest.mark.parametrize("broken", [book("delta", 13), book("delta", 11, bid="60000.5")], ids=["a gap", "a crossed book"])
def test_a_book_that_breaks_is_out_of_use_with_that_frame_and_until_it_is_fresh_again(broken: bytes) -> None:
    core = quoting()
    core.take(Input(Kind.FRAME, T0 + MS, 0, broken))
    assert isinstance(core.said, Reject)
    assert core.side.bars(0) == (Bar.NO_BOOK,)
    core.take(Input(Kind.FRAME, T0 + 2 * MS, 0, book("snapshot", 20)))
    assert core.side.bars(0) == (Bar.NO_BOOK,), "whether it is fresh is for whoever knows its age"
    core.take(Input(Kind.FRESH, T0 + 3 * MS, 0, b"1"))
    assert core.side.bars(0) == ()


def test_a_connection_that_is_lost_puts_its_books_out_of_use_at_once() -> None:
    core = quoting()
    core.take(Input(Kind.LOST, T0 + MS, 0))
    assert core.side.bars(0) == (Bar.NO_BOOK,)


def test_a_frame_that_is_refused_and_breaks_nothing_leaves_the_book_in_use() -> None:
    core = quoting()
    core.take(Input(Kind.FRAME, T0 + MS, 0, b'{"topic":"nothing.that.we.know"}'))
    assert core.side.bars(0) == ()


def test_only_what_is_of_a_book_makes_it_younger() -> None:
    core = quoting()
    rows = np.zeros(1, ROW)
    rows["kind"], rows["ticks"] = RowKind.MARK, 600_000
    core.side.rows(rows, 1, T0 + 9 * MS)
    assert core.side.book_ns(0) == T0


@pytest.mark.parametrize(("apart_ms", "used"), [(-6_000, False), (-4_900, True), (4_900, True), (6_000, False)])
def test_a_book_whose_time_is_far_from_ours_is_out_of_use_with_that_frame(apart_ms: int, used: bool) -> None:
    core = quoting()
    core.take(Input(Kind.FRAME, T0 - apart_ms * MS, 0, book("delta", 11, bid="60000.0")))
    assert core.side.bars(0) == (() if used else (Bar.NO_BOOK,))
    assert core.side.top(0) == (600_000, 600_001), "what follows tells what is different from it"
