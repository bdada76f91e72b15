"""Bybit's feed: what its frames say, when its book may be used, and which frames are refused with which reason."""

import json
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
    bybit_book,
    bybit_resolve,
    bybit_ticker,
    bybit_trades,
    damage,
    encoded,
    events,
    put,
    real_bybit_frames,
    rejected,
)

from interlock.domain.instruments import Instrument
from interlock.market.plain_book import PlainBook
from interlock.market.shipped import BYBIT_FEES
from interlock.venues.bybit import wire
from interlock.venues.bybit.public import Feed
from interlock.venues.feed import MAX_FRAME_BYTES, BookChange, FundingNext, Mark, PriceLimits, Reason, Reject, Taken, Trade
from interlock.venues.inferring import Decimals, inferred_perpetual

NS = 1_000_000
SNAPSHOT = bybit_book("snapshot", 100, [("100.0", "1"), ("99.5", "2")], [("100.1", "3"), ("100.3", "4")], 0)
DELTA = bybit_book("delta", 101, [("100.0", "0"), ("99.9", "5")], [("100.1", "2.5")], 20)
TRADES = bybit_trades(("a", "Buy", "100.1", "0.5", 5), ("b", "Sell", "100.0", "0.25", 6))
TICKER = bybit_ticker("snapshot", 0, markPrice="100.06", indexPrice="100.01", fundingRate="0.0001", nextFundingTime="1700006400000")


def feed() -> Feed:
    return Feed(bybit_resolve)


def fine(*, quantum: str, lot: str) -> Any:
    """Answers any symbol with an instrument of these units."""
    prices, sizes = Decimals(), Decimals()
    prices.see((quantum,))
    sizes.see((lot,))

    def resolve(symbol: str) -> Instrument:
        return inferred_perpetual("bybit", symbol, prices, sizes, BYBIT_FEES)

    return resolve


def usable(of: Feed, symbol: str = "BTCUSDT") -> bool:
    book = of.book(symbol)
    return book is not None and book.usable


def levels(of: Feed) -> tuple[dict[int, int], dict[int, int]]:
    book = of.book("BTCUSDT")
    assert book is not None
    return book.levels(1), book.levels(-1)


def test_a_snapshot_and_a_delta() -> None:
    of = feed()
    assert of.take(encoded(SNAPSHOT)) == Taken(
        "orderbook snapshot",
        (BookChange("BTCUSDT", BASE_MS * NS, True, ((1000, 1000), (995, 2000)), ((1001, 3000), (1003, 4000))),),
        BASE_MS * NS,
        100,
        100,
        0,
    )
    assert of.take(encoded(DELTA)) == Taken(
        "orderbook delta",
        (BookChange("BTCUSDT", (BASE_MS + 20) * NS, False, ((1000, 0), (999, 5000)), ((1001, 2500),)),),
        (BASE_MS + 20) * NS,
        101,
        101,
        100,
    )
    assert levels(of) == ({999: 5000, 995: 2000}, {1001: 2500, 1003: 4000})
    assert of.declared_depth_ms("BTCUSDT") == 20


def test_a_snapshot_at_any_time_replaces_the_book_and_so_does_a_restart() -> None:
    of = feed()
    for message in (SNAPSHOT, DELTA, bybit_book("snapshot", 7000, [("50.0", "1")], [("51.0", "1")], 30)):
        events(of.take(encoded(message)))
    assert levels(of) == ({500: 1000}, {510: 1000})
    events(of.take(encoded(bybit_book("delta", 7001, [], [("50.9", "1")], 40))))
    (change,) = events(of.take(encoded(bybit_book("delta", 1, [("60.0", "1")], [], 50))))
    assert isinstance(change, BookChange)
    assert change.whole
    assert levels(of) == ({600: 1000}, {})
    events(of.take(encoded(bybit_book("delta", 2, [], [("60.1", "1")], 60))))
    assert usable(of)


def test_without_cts_the_gateways_time_stands() -> None:
    message = {name: value for name, value in SNAPSHOT.items() if name != "cts"}
    (change,) = events(feed().take(encoded(message)))
    assert change.exchange_ns == (BASE_MS + 2) * NS


@pytest.mark.parametrize(
    ("update", "reason"),
    [(103, Reason.GAP), (101, Reason.DUPLICATE), (100, Reason.OUT_OF_ORDER)],
)
def test_a_break_in_u_loses_the_book_until_the_next_snapshot(update: int, reason: Reason) -> None:
    of = feed()
    for message in (SNAPSHOT, DELTA):
        events(of.take(encoded(message)))
    reject = rejected(of.take(encoded(bybit_book("delta", update, [], [], 30))))
    assert (reject.reason, reject.symbol) == (reason, "BTCUSDT")
    assert f"expected u 102, found {update}" in reject.detail
    assert not usable(of)
    assert rejected(of.take(encoded(bybit_book("delta", 102, [], [], 40)))).reason is Reason.NO_SNAPSHOT
    events(of.take(encoded(bybit_book("snapshot", 110, [("100.0", "1")], [], 50))))
    events(of.take(encoded(bybit_book("delta", 111, [], [("100.2", "1")], 60))))
    assert usable(of)


def test_a_delta_before_any_snapshot() -> None:
    assert rejected(feed().take(encoded(DELTA))).reason is Reason.NO_SNAPSHOT


def test_a_crossed_book_is_corruption() -> None:
    of = feed()
    events(of.take(encoded(SNAPSHOT)))
    reject = rejected(of.take(encoded(bybit_book("delta", 101, [("100.1", "1")], [], 20))))
    assert (reject.reason, reject.symbol) == (Reason.CROSSED, "BTCUSDT")
    assert not usable(of)


def test_other_depths_of_a_symbol_are_passed_over() -> None:
    of = feed()
    top = bybit_book("snapshot", 900, [("100.0", "1")], [("100.1", "3")], 0, depth=1)
    assert events(of.take(encoded(top))) == ()
    assert of.declared_depth_ms("BTCUSDT") is None
    events(of.take(encoded(SNAPSHOT)))
    deep = of.take(encoded(bybit_book("snapshot", 5, [("90.0", "1")], [], 10, depth=200)))
    assert deep == Taken("another depth (200)", (), 0, 5, 5, 0)
    # the same top again, as after three seconds without a change
    assert events(of.take(encoded(top))) == ()
    assert events(of.take(encoded(DELTA)))


@pytest.mark.parametrize(
    "bad",
    [
        bybit_book("delta", 101, [("100.0", "1"), ("100.0", "2")], [], 20),
        bybit_book("delta", 101, [("0", "1")], [], 20),
        bybit_book("delta", 101, [("100.05", "1")], [], 20),
        bybit_book("delta", 101, [("100.0", "0.0001")], [], 20),
        bybit_book("delta", 101, [("1e2", "1")], [], 20),
        bybit_book("delta", 101, [("NaN", "1")], [], 20),
        bybit_book("delta", 101, [(100.0, 1)], [], 20),
        bybit_book("delta", 101, [("-100.0", "1")], [], 20),
        bybit_book("delta", -1, [], [], 20),
        bybit_book("delta", 2**63, [], [], 20),
        bybit_book("other", 101, [], [], 20),
        bybit_book("delta", 101, [], [], 20, ts=-5),
        bybit_book("delta", 101, [], [], 20, cts=0),
        {**DELTA, "topic": "orderbook.50.ETHUSDT"},
        {**DELTA, "topic": "orderbook.x.BTCUSDT"},
        {**DELTA, "topic": "orderbook"},
        {"topic": "publicTrade.BTCUSDT", "ts": BASE_MS, "data": []},
        bybit_trades(("c", "buy", "100.1", "1", 7)),
        bybit_trades(("c", "Buy", "0", "1", 7)),
        bybit_trades(("c", "Buy", "100.1", "0", 7)),
        bybit_trades(("", "Buy", "100.1", "1", 7)),
        bybit_ticker("snapshot", 1, markPrice="NaN"),
        bybit_ticker("snapshot", 1, markPrice="1E999999999"),
        bybit_ticker("snapshot", 1, markPrice="-1"),
        bybit_ticker("snapshot", 1, fundingRate="Infinity"),
        bybit_ticker("snapshot", 1, fundingRate="1.01"),
        bybit_ticker("snapshot", 1, fundingRate="x"),
        {},
        [DELTA],
    ],
)
def test_what_the_venue_cannot_mean_is_refused_and_the_book_is_in_doubt(bad: Any) -> None:
    of = feed()
    events(of.take(encoded(SNAPSHOT)))
    assert rejected(of.take(encoded(bad))).reason is Reason.MALFORMED
    assert not usable(of)
    events(of.take(encoded(bybit_book("snapshot", 300, [], [], 500))))
    assert usable(of)


def test_a_book_whose_time_goes_back_far() -> None:
    of = feed()
    events(of.take(encoded(bybit_book("snapshot", 5, [], [], 2000))))
    (late,) = events(of.take(encoded(bybit_book("delta", 6, [], [], 1000))))
    assert late.exchange_ns == (BASE_MS + 2000) * NS
    assert rejected(of.take(encoded(bybit_book("delta", 7, [], [], 999)))).reason is Reason.OUT_OF_ORDER
    assert not usable(of)


def test_trades() -> None:
    of = feed()
    taken = of.take(encoded(TRADES))
    assert events(taken) == (
        Trade("BTCUSDT", (BASE_MS + 5) * NS, 1, 1001, 500),
        Trade("BTCUSDT", (BASE_MS + 6) * NS, -1, 1000, 250),
    )
    for name in ("BT", "RPI"):
        beside = bybit_trades((name, "Buy", "100.1", "1", 7))
        beside["data"][0][name] = True
        (trade,) = events(of.take(encoded(beside)))
        assert isinstance(trade, Trade)
        assert not trade.in_book
    reject = rejected(of.take(encoded(bybit_trades(("d", "Buy", "100.1", "1", 8), ("b", "Buy", "100.1", "1", 8)))))
    assert reject.reason is Reason.DUPLICATE
    # nothing of the refused message has been remembered
    assert events(of.take(encoded(bybit_trades(("d", "Buy", "100.1", "1", 8)))))
    twice = bybit_trades(("e", "Buy", "100.1", "1", 8), ("e", "Buy", "100.1", "1", 8))
    assert rejected(of.take(encoded(twice))).reason is Reason.DUPLICATE
    assert rejected(of.take(encoded(bybit_trades(("f", "Buy", "100.1", "1", -1000))))).reason is Reason.OUT_OF_ORDER


def test_a_message_of_trades_of_two_symbols() -> None:
    message = bybit_trades(("a", "Buy", "100.1", "1", 5), ("b", "Buy", "100.1", "1", 5))
    message["data"][1]["s"] = "ETHUSDT"
    assert rejected(feed().take(encoded(message))).reason is Reason.MALFORMED


def test_tickers_are_merged_and_only_what_is_said_is_an_event() -> None:
    of = feed()
    early = bybit_ticker("delta", 0, markPrice="100.10")
    assert rejected(of.take(encoded(early))).reason is Reason.NO_SNAPSHOT
    assert events(of.take(encoded(TICKER))) == (
        Mark("BTCUSDT", BASE_MS * NS, 1001),
        FundingNext("BTCUSDT", BASE_MS * NS, 100_000_000),
    )
    assert events(of.take(encoded(bybit_ticker("delta", 100, markPrice="100.14")))) == (Mark("BTCUSDT", (BASE_MS + 100) * NS, 1001),)
    assert events(of.take(encoded(bybit_ticker("delta", 200, fundingRate="-0.0002")))) == (
        FundingNext("BTCUSDT", (BASE_MS + 200) * NS, -200_000_000),
    )
    assert events(of.take(encoded(bybit_ticker("delta", 300, bid1Price="1", fundingRate="")))) == ()
    assert of.ticker("BTCUSDT") == wire.Ticker("BTCUSDT", "100.14", "100.01", "1700006400000", "")
    assert rejected(of.take(encoded(bybit_ticker("delta", 300)))).reason is Reason.DUPLICATE
    assert rejected(of.take(encoded(bybit_ticker("delta", 299)))).reason is Reason.OUT_OF_ORDER
    events(of.take(encoded(bybit_ticker("snapshot", 400, markPrice="99.96"))))
    assert of.ticker("BTCUSDT") == wire.Ticker("BTCUSDT", "99.96")
    assert feed().ticker("BTCUSDT") is None


def test_price_limits_are_told_in_ticks_to_the_strict_side() -> None:
    def message(**data: Any) -> bytes:
        return encoded({"topic": "priceLimit.BTCUSDT", "data": {"symbol": "BTCUSDT", **data}, "ts": BASE_MS})

    of = feed()
    events(of.take(encoded(SNAPSHOT)))
    assert events(of.take(message(buyLmt="105.07", sellLmt="95.01"))) == (PriceLimits("BTCUSDT", BASE_MS * NS, 1_050, 951),)
    assert events(of.take(message(buyLmt="", sellLmt="0"))) == (PriceLimits("BTCUSDT", BASE_MS * NS, 0, 0),)
    assert usable(of)
    for bad in ("NaN", "-1", "1E+99", "much"):
        assert rejected(of.take(message(buyLmt=bad))).reason is Reason.MALFORMED


def test_a_trade_or_ticker_that_is_refused_for_its_place_says_nothing_against_the_book() -> None:
    of = feed()
    for message in (SNAPSHOT, TRADES, TICKER):
        events(of.take(encoded(message)))
    for message in (TRADES, bybit_ticker("delta", -1), bybit_book("snapshot", 5, [], [], 0, symbol="NONEUSDT")):
        assert isinstance(of.take(encoded(message)), Reject)
        assert usable(of)


def test_a_symbol_that_nobody_knows() -> None:
    reject = rejected(feed().take(encoded(bybit_book("snapshot", 5, [], [], 0, symbol="NONEUSDT"))))
    assert (reject.reason, reject.symbol) == (Reason.UNKNOWN_SYMBOL, "NONEUSDT")


@pytest.mark.parametrize(
    ("frame", "what"),
    [
        (b'{"topic":"kline.5.BTCUSDT","data":[]}', "ignored kline"),
        (b'{"success":true,"ret_msg":"pong","conn_id":"4","req_id":"","op":"ping"}', "ping answered"),
        (b'{"op":"pong","args":["1"],"conn_id":"4"}', "pong answered"),
        (b'{"success":false,"ret_msg":"Invalid topic","conn_id":"4","op":"subscribe"}', "subscribe refused"),
    ],
)
def test_frames_beside_the_market_say_nothing_of_it(frame: bytes, what: str) -> None:
    assert feed().take(frame) == Taken(what)


def test_a_frame_that_is_no_text_even_where_nobody_looks() -> None:
    assert rejected(feed().take(b'{"op":"pong","conn_id":"\xff"}')).reason is Reason.MALFORMED


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
    good = [encoded(message) for message in (SNAPSHOT, DELTA, TRADES, TICKER, bybit_ticker("delta", 9, markPrice="100.1"))]
    for _ in range(data.draw(st.integers(1, 6))):
        frame = data.draw(st.sampled_from(good))
        if data.draw(st.booleans()):
            frame = damage(frame, data.draw)
        check(of, of.take(frame), "BTCUSDT")


def check(of: Feed, taken: Taken | Reject, symbol: str) -> None:
    """What holds after any frame."""
    if isinstance(taken, Taken):
        json.dumps(msgspec.to_builtins(taken), allow_nan=False)
        for event in taken.events:
            if isinstance(event, BookChange):
                assert all(type(n) is int and n >= 0 for level in (*event.bids, *event.asks) for n in level)
            elif isinstance(event, Trade | Mark):
                assert event.ticks >= 0
    book = of.book(symbol)
    if book is not None and book.usable and book.best_bid and book.best_ask:
        assert book.best_bid < book.best_ask


Sides = tuple[list[tuple[int, int]], list[tuple[int, int]]]
LEVEL = st.tuples(st.integers(1, 9), st.integers(0, 2))
SIDES = st.tuples(
    st.lists(LEVEL, max_size=3, unique_by=lambda level: level[0]),
    st.lists(LEVEL.map(lambda level: (level[0] + 9, level[1])), max_size=3, unique_by=lambda level: level[0]),
)
KIND = st.sampled_from(["delta", "delta", "delta", "snapshot", "restart"])
WAY = st.sampled_from(["arrives", "arrives", "arrives", "is lost", "comes twice", "comes late", "is damaged"])


@settings(max_examples=200)
@given(st.lists(st.tuples(SIDES, KIND, WAY), max_size=25))
def test_whatever_happens_on_the_way_a_usable_book_is_the_venues(steps: list[tuple[Sides, str, str]]) -> None:
    """Frames are lost, doubled, late or damaged on the way: after each one the held book is what the venue had then, or not usable."""
    venue, update = PlainBook(), 50
    of = feed()
    events(of.take(encoded(bybit_book("snapshot", update, [], [], 0))))
    late: list[tuple[bytes, Sides]] = []
    for at, (sides, kind, way) in enumerate(steps, 1):
        for side, changed in zip((1, -1), sides, strict=True):
            for ticks, lots in changed:
                venue.set(side, ticks, lots)
        update = 1 if kind == "restart" else update + 1
        state = (sorted(venue.levels(1).items()), sorted(venue.levels(-1).items()))
        bids, asks = ([(f"{ticks / 10:.1f}", f"{lots}") for ticks, lots in side] for side in (sides if kind == "delta" else state))
        frame = encoded(bybit_book("snapshot" if kind == "snapshot" else "delta", update, bids, asks, at))
        if way == "arrives":
            for frame_then, state_then in ((frame, state), *late):
                deliver(of, frame_then, state_then)
            late.clear()
        elif way == "comes twice" or kind == "restart":
            # u begins anew with a restart, so one that is lost could not be told where the numbers happen to meet
            deliver(of, frame, state)
            deliver(of, frame, state)
        elif way == "comes late" and kind == "delta":
            late.append((frame, state))
        elif way == "is damaged":
            assert isinstance(of.take(frame[: len(frame) // 2]), Reject)
            assert not usable(of)


def deliver(of: Feed, frame: bytes, state: Sides) -> None:
    """A frame arrives whole: it is taken and the book is as the venue's was, or it is refused and the book is not usable."""
    taken = of.take(frame)
    assert isinstance(taken, Taken) == usable(of)
    if isinstance(taken, Taken):
        bids, asks = levels(of)
        assert (sorted((t, n // 1000) for t, n in bids.items()), sorted((t, n // 1000) for t, n in asks.items())) == state
    elif b'"snapshot"' in frame:
        raise AssertionError(taken)


@pytest.mark.data("bybit")
def test_every_frame_of_the_real_archive_is_taken_and_the_book_is_right(data_dir: Path) -> None:
    of = Feed(fine(quantum="0.0001", lot="1"))
    frames = real_bybit_frames(data_dir)
    assert len(frames) == 50
    book = PlainBook()
    for frame in frames:
        (change,) = events(of.take(frame))
        assert isinstance(change, BookChange)
        put(book, change)
        assert_same(of.book("XRPUSDT"), book)
        # the venue shows 500 levels and deletes what falls out of them
        assert max(len(book.levels(1)), len(book.levels(-1))) <= 500
    bid, _, ask, _ = book.top()
    assert bid + 1 == ask


@pytest.mark.data("bybit")
@pytest.mark.parametrize("missing", [1, 20, 48])
def test_a_real_frame_that_is_missing_is_a_gap(data_dir: Path, missing: int) -> None:
    of = Feed(fine(quantum="0.0001", lot="1"))
    frames = real_bybit_frames(data_dir)
    del frames[missing]
    answers = [of.take(frame) for frame in frames]
    assert all(isinstance(answer, Taken) for answer in answers[:missing])
    assert [rejected(answer).reason for answer in answers[missing:]] == [Reason.GAP] + [Reason.NO_SNAPSHOT] * (49 - missing - 1)


@pytest.mark.data("bybit")
def test_the_real_pair_of_a_spot_book(data_dir: Path) -> None:
    lines = (data_dir / "bybit" / "gct_v5_frames_embedded_20241108.jsonl").read_bytes().split(b"\n")
    of = Feed(fine(quantum="0.01", lot="0.000001"))
    found = [of.take(line) for line in lines if line]
    whole, change = events(found[0])[0], events(found[1])[0]
    assert isinstance(whole, BookChange)
    assert isinstance(change, BookChange)
    assert (whole.whole, len(whole.bids), len(change.bids), len(change.asks)) == (True, 50, 2, 5)
    assert isinstance(found[2], Reject)  # a trade of 3.6279 in a book of 0.01: the documentation's, not of this symbol
    assert all(isinstance(answer, Taken) and not answer.events for answer in found[3:])


@pytest.mark.data("bybit")
def test_real_tickers_are_merged(data_dir: Path) -> None:
    lines = (data_dir / "bybit" / "gct_wsTicker_202405.jsonl").read_bytes().split(b"\n")
    pairs: dict[str, list[bytes]] = {}
    for line in lines:
        if line:
            pairs.setdefault(json.loads(line)["topic"], []).append(line)
    of = feed()
    whole, change = pairs["tickers.BTCUSDT"]
    at = 1_715_748_762_463 * NS
    assert events(of.take(whole)) == (Mark("BTCUSDT", at, 618_752), FundingNext("BTCUSDT", at, 80_550_000))
    assert events(of.take(change)) == (Mark("BTCUSDT", 1_715_748_763_063 * NS, 618_751),)
    assert of.ticker("BTCUSDT") == wire.Ticker("BTCUSDT", "61875.06", "61903.59", "1715760000000", "0.00008055")
    # the recorder lost a digit of this one's time
    of = Feed(fine(quantum="0.1", lot="0.001"))
    whole, change = pairs["tickers.BTCPERP"]
    assert events(of.take(whole))
    assert rejected(of.take(change)).reason is Reason.OUT_OF_ORDER


@pytest.mark.data("bybit")
@settings(max_examples=100)
@given(st.data())
def test_real_frames_that_were_damaged(data_dir: Path, data: st.DataObject) -> None:
    frames = real_bybit_frames(data_dir)[:8]
    of = Feed(fine(quantum="0.0001", lot="1"))
    for frame in frames[: data.draw(st.integers(1, 4))]:
        of.take(frame)
    for _ in range(3):
        check(of, of.take(damage(data.draw(st.sampled_from(frames)), data.draw)), "XRPUSDT")


def test_every_sample_in_the_wire_docstrings_decodes() -> None:
    decoded = 0
    for structure in vars(wire).values():
        if isinstance(structure, type) and issubclass(structure, msgspec.Struct) and structure.__module__ == wire.__name__:
            assert structure.__doc__ is not None
            sample = "{" + structure.__doc__.partition("{" if "topic `" not in structure.__doc__ else '{"')[2].partition("\n\n")[0].strip()
            sample = sample if "topic `" not in structure.__doc__ else '{"' + sample[1:]
            assert isinstance(msgspec.json.decode(sample, type=structure), structure)
            decoded += 1
    assert decoded == 9


def test_what_an_unknown_symbol_is_taken_for() -> None:
    found = fine(quantum="0.010", lot="0.5")("10XYZPERP")
    assert (found.quantum, found.lot, found.base, found.quote, found.inferred) == (
        Decimal("0.01"),
        Decimal("0.1"),
        "10XYZPERP",
        "USDT",
        True,
    )
