"""Binance's feed: what its frames say, when its book may be used, and which frames are refused with which reason."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.captures import BASE_MS, depth, top
from tests.venues.feeds import assert_same, damage, encoded, events, put, rejected

from interlock.domain.instruments import Instrument
from interlock.market.plain_book import PlainBook
from interlock.market.shipped import SHIPPED
from interlock.venues.binance_usdm.public import Feed
from interlock.venues.feed import MAX_FRAME_BYTES, BookChange, FundingNext, Mark, Reason, Reject, Taken, Trade

NS = 1_000_000


def resolve(symbol: str) -> Instrument:
    found = SHIPPED.get(f"binance_usdm:{symbol}")
    if found is None:
        raise ValueError(f"unknown symbol {symbol}")
    return found


def feed() -> Feed:
    return Feed(resolve)


def body(last: int, bids: list[tuple[str, str]], asks: list[tuple[str, str]], at: int = 0) -> bytes:
    return encoded({"lastUpdateId": last, "E": BASE_MS + at + 1, "T": BASE_MS + at, "bids": bids, "asks": asks})


def aggregate(number: int, price: str, size: str, at: int, *, sold: bool = False) -> Any:
    return {
        "stream": "btcusdt@aggTrade",
        "data": {
            "e": "aggTrade",
            "E": BASE_MS + at,
            "a": number,
            "s": "BTCUSDT",
            "p": price,
            "q": size,
            "f": 1,
            "l": 2,
            "T": BASE_MS + at,
            "m": sold,
        },
    }


FIRST = depth(95, 100, 90, [("99.0", "1")], [], 0)
SECOND = depth(101, 105, 100, [("100.0", "0")], [("100.2", "3")], 20)
SNAPSHOT = body(98, [("100.0", "1"), ("99.5", "2")], [("100.1", "3")])


def usable(of: Feed) -> bool:
    book = of.book("BTCUSDT")
    return book is not None and book.usable


def begun() -> Feed:
    of = feed()
    of.take(encoded(FIRST))
    assert isinstance(of.snapshot("BTCUSDT", SNAPSHOT), Taken)
    return of


def levels(of: Feed) -> tuple[dict[int, int], dict[int, int]]:
    book = of.book("BTCUSDT")
    assert book is not None
    return book.levels(1), book.levels(-1)


def test_diffs_wait_for_a_snapshot_and_are_applied_after_it() -> None:
    of = feed()
    assert of.take(encoded(FIRST)) == Taken("depth before the snapshot", (), BASE_MS * NS, 95, 100, 90)
    assert of.wants_snapshot() == ("BTCUSDT",)
    assert not usable(of)
    taken = of.snapshot("BTCUSDT", SNAPSHOT)
    assert events(taken) == (
        BookChange("BTCUSDT", BASE_MS * NS, True, ((1000, 1000), (995, 2000)), ((1001, 3000),)),
        BookChange("BTCUSDT", BASE_MS * NS, False, ((990, 1000),), ()),
    )
    assert of.wants_snapshot() == ()
    (change,) = events(of.take(encoded(SECOND)))
    assert change == BookChange("BTCUSDT", (BASE_MS + 20) * NS, False, ((1000, 0),), ((1002, 3000),))
    assert levels(of) == ({995: 2000, 990: 1000}, {1001: 3000, 1002: 3000})
    assert isinstance(of.snapshot("BTCUSDT", SNAPSHOT), Taken), "one that is not needed changes nothing"
    assert levels(of)[0] == {995: 2000, 990: 1000}


def test_a_raw_stream_says_the_same_as_a_combined_one() -> None:
    combined, raw = feed(), feed()
    for event in (FIRST, aggregate(7, "100.0", "0.5", 3)):
        assert combined.take(encoded(event)) == raw.take(encoded(event["data"]))


def test_a_snapshot_that_is_too_old_is_asked_for_again() -> None:
    of = feed()
    of.take(encoded(FIRST))
    reject = rejected(of.snapshot("BTCUSDT", body(80, [], [])))
    assert reject.reason is Reason.OUT_OF_ORDER
    assert of.wants_snapshot() == ("BTCUSDT",)
    events(of.snapshot("BTCUSDT", SNAPSHOT))
    assert usable(of)


@pytest.mark.parametrize("time_ms", [0, -1, 91_700_000_000_000, 10**30])
def test_a_snapshot_of_an_impossible_time_is_refused_and_asked_for_again(time_ms: int) -> None:
    of = feed()
    of.take(encoded(FIRST))
    reject = rejected(of.snapshot("BTCUSDT", body(98, [("100.0", "1")], [("100.1", "3")], time_ms - BASE_MS)))
    assert (reject.reason, reject.symbol) == (Reason.MALFORMED, "BTCUSDT")
    assert of.wants_snapshot() == ("BTCUSDT",)
    events(of.snapshot("BTCUSDT", SNAPSHOT))
    assert isinstance(of.take(encoded(SECOND)), Taken), "later events are not held against it"
    unneeded = rejected(of.snapshot("BTCUSDT", body(98, [("100.0", "1")], [("100.1", "3")], time_ms - BASE_MS)))
    assert (unneeded.reason, usable(of)) == (Reason.MALFORMED, True)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (depth(103, 105, 102, [], [], 30), Reason.GAP),
        (FIRST, Reason.DUPLICATE),
        (depth(91, 94, 89, [], [], 30), Reason.OUT_OF_ORDER),
        (depth(101, 105, 100, [("100.1", "1")], [], 30), Reason.CROSSED),
        (depth(101, 105, 100, [("100.0", "1"), ("100.0", "2")], [], 30), Reason.MALFORMED),
        (depth(101, 105, 100, [("0", "1")], [], 30), Reason.MALFORMED),
        (depth(101, 105, 100, [("99.05", "1")], [], 30), Reason.MALFORMED),
        (depth(106, 105, 100, [], [], 30), Reason.MALFORMED),
        (depth(101, 105, 100, [("99.1", "NaN")], [], 30), Reason.MALFORMED),
        (depth(101, 105, 100, [("99.1", "1e3")], [], 30), Reason.MALFORMED),
        (depth(101, 105, 100, [], [], -2_000), Reason.OUT_OF_ORDER),
    ],
)
def test_what_breaks_a_book_leaves_it_unusable_until_another_snapshot(event: Any, reason: Reason) -> None:
    of = begun()
    reject = rejected(of.take(encoded(event)))
    assert (reject.reason, usable(of)) == (reason, False)
    assert of.wants_snapshot() == (), "the next diff is the first of a new chain"
    of.take(encoded(depth(201, 205, 200, [], [], 40)))
    assert of.wants_snapshot() == ("BTCUSDT",)
    events(of.snapshot("BTCUSDT", body(203, [("90.0", "1")], [("91.0", "1")], 41)))
    assert usable(of)
    assert levels(of) == ({900: 1000}, {910: 1000})


def test_a_lost_connection_loses_every_book() -> None:
    of = begun()
    of.lose()
    assert not usable(of)


@pytest.mark.parametrize("frame", [b"", b"{", b"[]", b'{"a":1}', b'{"e":5}', b"\xff", b'{"stream":"x","data":{"u":1}}', b"9" * 50])
def test_a_frame_that_is_none_leaves_every_book_in_doubt(frame: bytes) -> None:
    of = begun()
    assert rejected(of.take(frame)).reason is Reason.MALFORMED
    assert not usable(of)


def test_an_oversized_frame_and_an_unknown_symbol() -> None:
    of = begun()
    assert rejected(of.take(b" " * (MAX_FRAME_BYTES + 1))).reason is Reason.OVERSIZED
    assert not usable(of)
    of = begun()
    assert rejected(of.take(encoded(depth(1, 2, 0, [], [], 0, "NOPEUSDT")))).reason is Reason.UNKNOWN_SYMBOL
    assert usable(of)


def test_answers_errors_and_other_events_say_what_they_are() -> None:
    of = begun()
    whats = [
        of.take(frame)
        for frame in (
            b'{"result":null,"id":1}',
            b'{"error":{"code":2,"msg":"Invalid request"},"id":1}',
            encoded(top(5, ("1", "1"), ("2", "1"), 0)),
            b'{"e":"serverShutdown"}',
        )
    ]
    assert [taken.what for taken in whats if isinstance(taken, Taken)] == ["answered", "error 2", "ignored bookTicker", "serverShutdown"]
    assert usable(of)


def test_trades_and_marks() -> None:
    of = feed()
    (trade,) = events(of.take(encoded(aggregate(7, "100.0", "0.5", 3, sold=True))))
    assert trade == Trade("BTCUSDT", (BASE_MS + 3) * NS, -1, 1000, 500)
    assert rejected(of.take(encoded(aggregate(7, "100.0", "0.5", 3)))).reason is Reason.DUPLICATE
    assert rejected(of.take(encoded(aggregate(6, "100.0", "0.5", 3)))).reason is Reason.OUT_OF_ORDER
    assert rejected(of.take(encoded(aggregate(8, "100.0", "0", 3)))).reason is Reason.MALFORMED
    mark = {"e": "markPriceUpdate", "E": BASE_MS, "s": "BTCUSDT", "p": "100.06", "i": "100", "r": "0.0001", "T": BASE_MS + 5}
    assert events(of.take(encoded(mark))) == (
        Mark("BTCUSDT", BASE_MS * NS, 1001),
        FundingNext("BTCUSDT", BASE_MS * NS, 100_000_000),
    )
    assert events(of.take(encoded({**mark, "r": ""}))) == (Mark("BTCUSDT", BASE_MS * NS, 1001),)
    assert rejected(of.take(encoded({**mark, "p": "NaN"}))).reason is Reason.MALFORMED


@settings(max_examples=300)
@given(st.data())
def test_damaged_frames_are_taken_or_refused_and_never_anything_else(data: st.DataObject) -> None:
    of = begun()
    frames = (SECOND, aggregate(7, "100.0", "0.5", 3), {"e": "markPriceUpdate", "E": BASE_MS, "s": "BTCUSDT", "p": "100", "r": "0", "T": 1})
    for frame in frames:
        said = of.take(damage(encoded(frame), data.draw))
        assert isinstance(said, Taken | Reject)
    assert isinstance(of.snapshot("BTCUSDT", damage(SNAPSHOT, data.draw)), Taken | Reject)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_taken(data: bytes) -> None:
    assert isinstance(feed().take(data), Taken | Reject)
    assert isinstance(feed().snapshot("BTCUSDT", data), Taken | Reject)


@pytest.mark.data("binance_usdm")
def test_the_real_capture_is_taken_whole_and_its_books_agree(data_dir: Path) -> None:
    """The recorder wrote the snapshot among the stream's frames."""
    of, plain, counts = feed(), PlainBook(), Counter[str]()
    with gzip.open(data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz") as lines:
        for line in lines:
            frame = line.split(b" ", 1)[1].strip()
            if b'"lastUpdateId"' in frame[:60]:
                said = of.snapshot("BTCUSDT", frame)
            else:
                said = of.take(frame)
            assert isinstance(said, Taken), said
            counts[said.what.split()[0]] += 1
            for event in said.events:
                if isinstance(event, BookChange):
                    put(plain, event)
    assert_same(of.book("BTCUSDT"), plain)
    assert counts["depth"] == 6_551
    assert counts["snapshot"] == 1
    assert usable(of)
    assert json.dumps(counts)
