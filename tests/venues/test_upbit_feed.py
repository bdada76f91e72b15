"""Upbit's feed: what its frames say, and which are refused with which reason."""

import json
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.feeds import (
    BASE_MS,
    assert_same,
    damage,
    encoded,
    events,
    put,
    real_upbit_books_of_2026,
    real_upbit_frames,
    rejected,
    simple,
    upbit_book,
    upbit_resolve,
    upbit_trade,
)

from interlock.market.plain_book import PlainBook
from interlock.market.shipped import SHIPPED
from interlock.venues.feed import MAX_FRAME_BYTES, BookChange, Reason, Reject, Taken, Trade
from interlock.venues.upbit import wire
from interlock.venues.upbit.public import Feed, instrument, instruments, plain

NS = 1_000_000
BOOK = upbit_book(0, [(100_000, 0.5), (99_000, 2)], [(101_000, 1.25), (102_000, 0.00000001)])
TRADE = upbit_trade(7, 101_000, 0.25, 10)


def feed() -> Feed:
    return Feed(upbit_resolve)


def usable(of: Feed, symbol: str = "KRW-BTC") -> bool:
    book = of.book(symbol)
    return book is not None and book.usable


@pytest.mark.parametrize("form", [lambda m: m, simple], ids=["DEFAULT", "SIMPLE"])
def test_a_book_and_a_trade_in_either_format(form: Any) -> None:
    of = feed()
    taken = of.take(encoded(form(BOOK)))
    assert taken == Taken(
        "orderbook",
        (
            BookChange(
                "KRW-BTC",
                BASE_MS * NS,
                True,
                ((100_000, 50_000_000), (99_000, 200_000_000)),
                ((101_000, 125_000_000), (102_000, 1)),
            ),
        ),
        BASE_MS * NS,
    )
    taken = of.take(encoded(form(TRADE)))
    assert taken == Taken("trade", (Trade("KRW-BTC", (BASE_MS + 10) * NS, 1, 101_000, 25_000_000),), (BASE_MS + 15) * NS)
    (sold,) = events(of.take(encoded(form(upbit_trade(8, 100_000, 1, 11, side="ASK")))))
    assert isinstance(sold, Trade)
    assert sold.side == -1


@pytest.mark.parametrize(
    ("written", "ticks"),
    [(b"116539000", 116_539_000), (b"116539000.0", 116_539_000), (b"1.16539E8", 116_539_000), (b"1.16539e+8", 116_539_000), (b"5.0E0", 5)],
)
def test_a_number_is_what_its_text_says_in_either_form(written: bytes, ticks: int) -> None:
    frame = encoded(upbit_trade(1, 0, 1, 0)).replace(b'"trade_price":0', b'"trade_price":' + written)
    (trade,) = events(feed().take(frame))
    assert isinstance(trade, Trade)
    assert trade.ticks == ticks


def test_a_size_that_no_float_holds_is_exact() -> None:
    frame = encoded(upbit_trade(1, 1000, 0, 0)).replace(b'"trade_volume":0', b'"trade_volume":123456789.12345679')
    (trade,) = events(feed().take(frame))
    assert isinstance(trade, Trade)
    assert trade.lots == 12_345_678_912_345_679


@pytest.mark.parametrize(
    "written",
    [
        b'"NaN"',
        b'"Infinity"',
        b"-1",
        b"-0.0",
        b"1E999999999",
        b"1e400",
        b"9.9E-9",
        b"0.5",
        b"0",
        b"0.0",
        b"null",
        b"[]",
        b"true",
        b"1e41",
        b"NaN",
        b"0x10",
        b"01",
        b'""',
        b"1" * 200,
        b"1." + b"1" * 200,
    ],
)
def test_a_number_that_is_no_price_is_refused(written: bytes) -> None:
    of = feed()
    frame = encoded(upbit_trade(1, 0, 1, 0)).replace(b'"trade_price":0', b'"trade_price":' + written)
    assert rejected(of.take(frame)).reason is Reason.MALFORMED
    (_,) = events(of.take(encoded(TRADE)))


def test_an_older_or_repeated_book_is_dropped_and_the_book_stays() -> None:
    of = feed()
    newer = upbit_book(5, [(100_000, 1)], [(101_000, 1)])
    events(of.take(encoded(newer)))
    reject = rejected(of.take(encoded(BOOK)))
    assert (reject.reason, reject.symbol) == (Reason.OUT_OF_ORDER, "KRW-BTC")
    assert rejected(of.take(encoded(newer))).reason is Reason.DUPLICATE
    # the state at a new subscription may be the one that is known
    assert events(of.take(encoded({**newer, "stream_type": "SNAPSHOT"})))
    # and two states may fall into one millisecond
    assert events(of.take(encoded(upbit_book(5, [(100_000, 2)], [(101_000, 1)]))))
    book = of.book("KRW-BTC")
    assert book is not None
    assert (book.usable, book.levels(1)) == (True, {100_000: 200_000_000})


def test_a_trade_that_comes_twice() -> None:
    of = feed()
    assert events(of.take(encoded(TRADE)))
    assert rejected(of.take(encoded(TRADE))).reason is Reason.DUPLICATE
    assert events(of.take(encoded({**TRADE, "stream_type": "SNAPSHOT"}))) == ()
    # ids need not rise
    assert events(of.take(encoded(upbit_trade(6, 101_000, 1, 10))))


@pytest.mark.parametrize("time_ms", [0, 1 << 60])
def test_a_trade_that_was_told_at_an_impossible_time_is_refused_and_forgotten(time_ms: int) -> None:
    of, trade = feed(), upbit_trade(1, 1000.0, 0.5, 0)
    found = of.take(encoded(trade | {"timestamp": time_ms}))
    assert isinstance(found, Reject)
    assert found.reason is Reason.MALFORMED
    assert isinstance(of.take(encoded(trade)), Taken)


def test_the_times_of_trades_may_go_back_a_little_and_are_put_in_order() -> None:
    of = feed()
    events(of.take(encoded(upbit_trade(1, 1000, 1, 2000))))
    (late,) = events(of.take(encoded(upbit_trade(2, 1000, 1, 1000))))
    assert late.exchange_ns == (BASE_MS + 2000) * NS
    assert rejected(of.take(encoded(upbit_trade(3, 1000, 1, 999)))).reason is Reason.OUT_OF_ORDER


@pytest.mark.parametrize(
    "bad",
    [
        upbit_book(9, [(99_000, 1), (100_000, 1)], [(101_000, 1)]),
        upbit_book(9, [(99_000, 1)], [(101_000, 1), (101_000, 2)]),
        upbit_book(9, [(99_000, 0)], [(101_000, 1)]),
        upbit_book(9, [(0, 1)], [(101_000, 1)]),
        upbit_book(9, [(0, 0), (99_000, 1)], [(101_000, 1), (102_000, 1)]),
        upbit_book(9, [(99_000, 1)], [(101_000, 1)], level=10_000),
        upbit_book(9, [(99_000, 1)], [(101_000, 1)], timestamp=0),
        upbit_book(9, [(99_000, 1)], [(101_000, 1)], timestamp=2**61),
        upbit_book(9, [(99_000, 1)], [(101_000, 1)], stream="OTHER"),
        upbit_book(9, [(99_000, 1)] * 1001, [(101_000, 1)] * 1001),
        {**TRADE, "ask_bid": "bid"},
        {**TRADE, "trade_volume": 0},
        {**TRADE, "sequential_id": -1},
        {"type": "orderbook"},
        {},
        [BOOK],
    ],
)
def test_what_the_venue_cannot_mean_is_refused_and_the_book_is_in_doubt(bad: Any) -> None:
    of = feed()
    events(of.take(encoded(BOOK)))
    assert rejected(of.take(encoded(bad))).reason is Reason.MALFORMED
    assert not usable(of)
    events(of.take(encoded(upbit_book(20, [(99_000, 1)], [(101_000, 1)]))))
    assert usable(of)


def test_a_crossed_book_is_lost_until_the_next() -> None:
    of = feed()
    events(of.take(encoded(BOOK)))
    events(of.take(encoded(upbit_book(0, [(100_000, 1)], [(101_000, 1)], code="KRW-ETH"))))
    reject = rejected(of.take(encoded(upbit_book(1, [(101_000, 1)], [(101_000, 1)]))))
    assert (reject.reason, reject.symbol) == (Reason.CROSSED, "KRW-BTC")
    assert (usable(of), usable(of, "KRW-ETH")) == (False, True)
    events(of.take(encoded(upbit_book(2, [(100_000, 1)], [(101_000, 1)]))))
    assert usable(of)


def test_a_thin_book_is_filled_with_zeros_on_its_shorter_side() -> None:
    of = feed()
    (change,) = events(of.take(encoded(upbit_book(0, [(100_000, 1)], []))))
    assert isinstance(change, BookChange)
    assert (change.bids, change.asks) == (((100_000, 100_000_000),), ())
    assert usable(of)


def test_a_market_that_nobody_knows() -> None:
    reject = rejected(feed().take(encoded(upbit_book(0, [], [], code="KRW-NONE"))))
    assert (reject.reason, reject.symbol) == (Reason.UNKNOWN_SYMBOL, "KRW-NONE")


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (b'{"type":"ticker","code":"KRW-BTC"}', "ignored ticker"),
        (b'{"ty":"candle.1s","cd":"KRW-BTC"}', "ignored candle.1s"),
        (b'{"status":"UP"}', "ignored status UP"),
        (b'{"method":"LIST_SUBSCRIPTIONS","result":[],"ticket":"t"}', "ignored LIST_SUBSCRIPTIONS"),
        (b'{"error":{"name":"WRONG_FORMAT","message":"?"}}', "error WRONG_FORMAT"),
    ],
)
def test_frames_beside_the_market_say_nothing_of_it(frame: bytes, what: str) -> None:
    assert feed().take(frame) == Taken(what)


def test_a_frame_that_is_no_text_even_where_nobody_looks() -> None:
    assert rejected(feed().take(b'{"status":"UP","more":"\xff"}')).reason is Reason.MALFORMED


def test_a_frame_that_is_too_large_or_too_deep() -> None:
    of = feed()
    assert rejected(of.take(b" " * (MAX_FRAME_BYTES + 1))).reason is Reason.OVERSIZED
    assert rejected(of.take(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}")).reason is Reason.MALFORMED


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_or_ignored(frame: bytes) -> None:
    taken = feed().take(frame)
    assert isinstance(taken, Reject) or taken.events == ()


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_frame_never_raises_and_never_leaves_a_wrong_book(data: st.DataObject) -> None:
    of = feed()
    good = [encoded(form(m)) for m in (BOOK, TRADE, upbit_book(3, [(98_000, 1)], [(99_000, 1)])) for form in (dict, simple)]
    for _ in range(data.draw(st.integers(1, 5))):
        frame = data.draw(st.sampled_from(good))
        if data.draw(st.booleans()):
            frame = damage(frame, data.draw)
        check(of, of.take(frame))


def check(of: Feed, taken: Taken | Reject) -> None:
    """What holds after any frame."""
    if isinstance(taken, Taken):
        json.dumps(msgspec.to_builtins(taken), allow_nan=False)
        for event in taken.events:
            if isinstance(event, BookChange):
                assert all(type(n) is int and n > 0 for level in (*event.bids, *event.asks) for n in level)
            elif isinstance(event, Trade):
                assert event.ticks > 0
                assert event.lots > 0
    book = of.book("KRW-BTC")
    if book is not None and book.usable and book.best_bid and book.best_ask:
        assert book.best_bid < book.best_ask


@pytest.mark.data("upbit")
def test_every_real_frame_is_taken_and_the_books_are_right(data_dir: Path) -> None:
    of = Feed(instrument)
    frames = real_upbit_frames(data_dir)
    assert len(frames) == 449
    seen = {"orderbook": 0, "trade": 0}
    for frame in frames:
        taken = of.take(frame)
        (event,) = events(taken)
        assert isinstance(taken, Taken)
        seen[taken.what] += 1
        if isinstance(event, BookChange):
            book = PlainBook()
            put(book, event)
            assert_same(of.book(event.symbol), book)
            assert (len(event.bids), len(event.asks)) == (15, 15)
            # the venue's own sums, which the feed does not look at
            said = json.loads(frame, parse_float=Decimal)
            assert sum(lots for _, lots in event.bids) == said["tbs"] * 10**8
            assert sum(lots for _, lots in event.asks) == said["tas"] * 10**8
    assert seen == {"orderbook": 145, "trade": 304}


@pytest.mark.data("upbit")
def test_the_real_books_of_2026_with_long_names(data_dir: Path) -> None:
    of = Feed(instrument)
    taken, filled = 0, set()
    for message in real_upbit_books_of_2026(data_dir):
        (change,) = events(of.take(msgspec.json.encode(message)))
        assert isinstance(change, BookChange)
        assert usable(of, message["code"])
        taken += 1
        if min(len(change.bids), len(change.asks)) < 15:
            filled.add(message["code"])
    assert taken == 843
    # the venue fills the shorter side of a thin book up with zeros
    assert filled == {"USDT-SKR", "USDT-ORDER", "USDT-ESP", "USDT-KITE", "USDT-AZTEC"}


@pytest.mark.data("upbit")
@settings(max_examples=200)
@given(st.data())
def test_real_frames_that_were_damaged(data_dir: Path, data: st.DataObject) -> None:
    frames = real_upbit_frames(data_dir)[:40]
    of = Feed(instrument)
    for frame in frames[: data.draw(st.integers(0, 5))]:
        of.take(frame)
    for _ in range(3):
        check(of, of.take(damage(data.draw(st.sampled_from(frames)), data.draw)))


def test_every_sample_in_the_wire_docstrings_decodes() -> None:
    decoded = 0
    for structure in vars(wire).values():
        if isinstance(structure, type) and issubclass(structure, msgspec.Struct) and structure.__module__ == wire.__name__:
            assert structure.__doc__ is not None
            sample = "{" + structure.__doc__.partition("{")[2].partition("\n\n")[0].strip()
            assert isinstance(msgspec.json.decode(sample, type=structure), structure)
            decoded += 1
    assert decoded == 9


def test_markets_as_instruments() -> None:
    body = b"""[{"market":"KRW-BTC","quote_currency":"KRW","tick_size":"1000","supported_levels":["0"]},
        {"market":"KRW-USDT","quote_currency":"KRW","tick_size":0.5,"supported_levels":[]},
        {"market":"USDT-XRP","quote_currency":"USDT","tick_size":"0.001","supported_levels":[]}]"""
    day = date(2026, 11, 21)
    btc, usdt, xrp = instruments(wire.decode_instruments(body), day)
    assert [i.key for i in (btc, usdt, xrp)] == ["upbit:KRW-BTC", "upbit:KRW-USDT", "upbit:USDT-XRP"]
    assert btc.price_rule == SHIPPED["upbit:KRW-BTC"].price_rule
    assert btc.price_step(Decimal(109_950_000), day) == 1000
    # a unit that the table does not have at any price is the market's own
    assert usdt.price_step(Decimal(1477), day) == Decimal("0.5")
    assert (str(xrp.quantum), xrp.inferred, xrp.settle) == ("0.001", False, "USDT")
    assert instrument("BTC-XTZ").inferred
    assert not instrument("KRW-LAMB").inferred
    for wrong in ("BTCKRW", "-BTC", "KRW-"):
        with pytest.raises(ValueError, match="QUOTE-BASE"):
            instrument(wrong)
    for tick in ("0", "NaN", "-1"):
        with pytest.raises(ValueError, match="positive tick_size"):
            instruments([wire.OrderbookInstrument("KRW-BTC", "KRW", Decimal(tick))], day)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=0, max_value=10**20, places=8))
def test_a_plain_number_is_the_same_number(number: Decimal) -> None:
    if number.is_signed():
        return
    text = plain(number)
    assert Decimal(text) == number
    assert "E" not in text


@pytest.mark.parametrize("text", ["-1", "-0", "NaN", "-Infinity", "1E41", "1E-41", "1" * 81])
def test_a_number_that_would_not_be_plain(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number from 0"):
        plain(Decimal(text))
