"""The second readers of raw frames, as `tape verify` uses them: facts or ValueError, whatever the bytes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.feeds import bybit_book, bybit_ticker, bybit_trades, damage, encoded, simple, upbit_book, upbit_trade

from interlock.market.tape_verify import FrameFacts
from interlock.venues.formats import FRAME_READERS

UPBIT = [encoded(form(m)) for m in (upbit_book(0, [(1, 1)], []), upbit_trade(1, 5, 5, 0)) for form in (dict, simple)]
BYBIT = [
    encoded(message)
    for message in (
        bybit_book("snapshot", 5, [("1", "1")], [], 0),
        bybit_book("delta", 6, [("1", "0")], [], 0),
        bybit_trades(("a", "Buy", "1", "1", 0)),
        bybit_ticker("snapshot", 0, markPrice="1", fundingRate=""),
    )
]
LINES = [
    *(("upbit", b"1700000000000 " + frame) for frame in UPBIT),
    *(("upbit", b"1700000000.5: %r" % frame) for frame in UPBIT),
    *(("bybit", b"1700000000000 " + frame) for frame in BYBIT),
    *(("bybit", frame) for frame in BYBIT),
]


@pytest.mark.parametrize(
    ("venue", "line", "facts"),
    [
        ("upbit", LINES[0][1], FrameFacts(1_700_000_000_000_000_000, "other", "KRW-BTC", rows=2)),
        ("upbit", LINES[7][1], FrameFacts(1_700_000_000_500_000_000, "other", "KRW-BTC", rows=1)),
        ("upbit", b'1700000000000 {"status":"UP"}', FrameFacts(1_700_000_000_000_000_000, "other")),
        ("bybit", BYBIT[0], FrameFacts(1_700_000_000_002_000_000, "snapshot", "orderbook.50.BTCUSDT", 5, 5, 0, rows=2)),
        ("bybit", LINES[9][1], FrameFacts(1_700_000_000_000_000_000, "depth", "orderbook.50.BTCUSDT", 6, 6, 5, rows=1)),
        ("bybit", LINES[11][1], FrameFacts(1_700_000_000_000_000_000, "other", "tickers.BTCUSDT", rows=1)),
        ("bybit", b'1700000000000 {"op":"pong"}', FrameFacts(1_700_000_000_000_000_000, "other")),
    ],
)
def test_what_a_line_says(venue: str, line: bytes, facts: FrameFacts) -> None:
    assert FRAME_READERS[venue](line) == facts


@pytest.mark.parametrize("venue", ["upbit", "bybit"])
@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"text",
        b"1700000000000 ",
        b"1700000000000 [",
        b"1700000000000 []",
        b"1700000000000 1",
        b'1700000000000 {"type":"orderbook","topic":"orderbook.50.X"}',
        b"1700000000000 null",
        b'1700000000000 {"type":"orderbook","orderbook_units":[1],"topic":1}',
        b'1700000000000 {"ty":"orderbook","obu":5,"topic":"orderbook.50.X","data":{"u":"x","b":[],"a":[]}}',
        b'1700000000000 {"topic":"tickers.X","data":[],"ty":"orderbook","obu":{"a":1}}',
        b"1700000000000 " + b"[" * 100_000,
        b"1700000000.5: b'",
        b"1700000000.5: b'\xff'",
    ],
)
def test_a_line_that_cannot_be_read(venue: str, line: bytes) -> None:
    with pytest.raises(ValueError, match=r"^"):
        FRAME_READERS[venue](line)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_line_has_facts_or_is_refused(data: st.DataObject) -> None:
    venue, line = data.draw(st.sampled_from(LINES))
    try:
        facts = FRAME_READERS[venue](damage(line, data.draw))
    except ValueError:
        return
    assert facts.rows >= 0
