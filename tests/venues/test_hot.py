"""The hot feeds: whatever a scan takes, and whatever it leaves, is what the decoding feed says, frame by frame and book by book."""

import gzip
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.captures import depth
from tests.venues.feeds import (
    BASE_MS,
    bybit_book,
    bybit_ticker,
    bybit_trades,
    real_bybit_frames,
    real_upbit_books_of_2026,
    real_upbit_frames,
    upbit_book,
)
from tests.venues.feeds import simple as in_simple
from tests.venues.hot_cases import RECEIVED_NS, STREAMS, Both, damaged, encoded, main, run, shipped

from interlock.domain.instruments import Instrument
from interlock.market.columns import ROW, RowKind
from interlock.market.shipped import BYBIT_FEES, SHIPPED
from interlock.venues.bybit.hot import Feed as BybitFeed
from interlock.venues.feed import MAX_FRAME_BYTES, BookChange, Reason, Reject, Taken
from interlock.venues.hot import FIRST_ROWS, Columns
from interlock.venues.inferring import Decimals, inferred_perpetual
from interlock.venues.upbit.public import instrument as upbit_instrument

REPOSITORY = Path(__file__).resolve().parents[2]
NS = 1_000_000
VENUES = pytest.mark.parametrize("venue", sorted(STREAMS))

SNAPSHOT = bybit_book("snapshot", 100, [("100.0", "1"), ("99.5", "2")], [("100.1", "3"), ("100.3", "4")], 0)
DELTA = bybit_book("delta", 101, [("100.0", "0"), ("99.9", "5")], [("100.1", "2.5")], 20)


def begun(venue: str) -> tuple[Both, bytes]:
    """Both feeds with a book, and the next frame of its stream, which is scanned."""
    both = Both(venue, shipped(venue))
    if venue == "bybit":
        both.take(encoded(SNAPSHOT))
        return both, encoded(DELTA)
    if venue == "upbit":
        both.take(encoded(upbit_book(0, [(1000.0, 1.5)], [(1001.0, 2.0)])))
        return both, encoded(upbit_book(20, [(999.0, 1.5)], [(1002.0, 2.0)]))
    both.take(encoded(depth(95, 100, 90, [("99.0", "1")], [], 0)))
    snapshot = {"lastUpdateId": 98, "E": BASE_MS, "T": BASE_MS, "bids": [("100.0", "1"), ("99.5", "2")], "asks": [("100.1", "3")]}
    both.snapshot("BTCUSDT", encoded(snapshot))
    return both, encoded(depth(101, 105, 100, [("100.0", "0")], [("100.2", "3")], 20))


def test_a_delta_as_rows() -> None:
    feed = BybitFeed([SHIPPED["bybit:BTCUSDT"]])
    assert feed.columns(encoded(SNAPSHOT), 1) == Columns("orderbook snapshot", 5, BASE_MS * NS, 100, 100, 0)
    assert feed.rows[:1].tolist() == [(BASE_MS * NS, 1, 0, 0, 0, 0, RowKind.CLEAR, 0)]
    assert feed.columns(encoded(DELTA), 2) == Columns("orderbook delta", 3, (BASE_MS + 20) * NS, 101, 101, 100)
    at = (BASE_MS + 20) * NS
    assert feed.rows.dtype == ROW
    assert feed.rows[:3].tolist() == [
        (at, 2, 1000, 0, 0, 0, RowKind.DEPTH, 1),
        (at, 2, 999, 5000, 0, 0, RowKind.DEPTH, 1),
        (at, 2, 1001, 2500, 0, 0, RowKind.DEPTH, -1),
    ]
    assert (feed.decoded, feed.scanned) == (1, 1)
    book = feed.book("BTCUSDT")
    assert book is not None
    assert (book.levels(1), book.levels(-1)) == ({999: 5000, 995: 2000}, {1001: 2500, 1003: 4000})


@VENUES
@settings(max_examples=200)
@given(chance=st.randoms(use_true_random=False), harm=st.sampled_from([0.0, 0.2, 0.5]))
def test_a_stream_however_damaged_says_the_same_scanned_and_decoded(venue: str, chance: random.Random, harm: float) -> None:
    run(venue, chance, harm=harm)


@VENUES
def test_a_stream_that_is_whole_is_scanned(venue: str) -> None:
    counts = Counter[str]()
    for seed in range(20):
        counts += run(venue, random.Random(seed), harm=0.0)
    assert counts["scanned"] > counts["decoded"] / 2


@VENUES
@settings(max_examples=300)
@given(data=st.binary(max_size=200))
def test_any_bytes(venue: str, data: bytes) -> None:
    both, _ = begun(venue)
    both.take(data)


@VENUES
@settings(max_examples=300)
@given(chance=st.randoms(use_true_random=False))
def test_one_damaged_frame(venue: str, chance: random.Random) -> None:
    both, frame = begun(venue)
    both.take(damaged(frame, chance))


@VENUES
def test_a_frame_cut_anywhere_and_with_any_byte_changed(venue: str) -> None:
    both, frame = begun(venue)
    before = both.hot.scanned
    for at in range(len(frame)):
        for other in (frame[:at], frame[:at] + b'"' + frame[at + 1 :], frame[:at] + b"0" + frame[at:], frame[:at] + b" " + frame[at:]):
            both, _ = begun(venue)
            both.take(other)
    both, frame = begun(venue)
    both.take(frame)
    assert both.hot.scanned == before + 1, "the frame itself is scanned"


BYBIT = [
    DELTA,
    {name: DELTA[name] for name in ("topic", "ts", "type", "data", "cts")},
    {name: DELTA[name] for name in ("topic", "type", "cts", "ts", "data")},
    {name: DELTA[name] for name in ("topic", "type", "ts", "data")},
    {**DELTA, "data": {name: DELTA["data"][name] for name in ("u", "b", "a", "s")}},
    bybit_book("delta", 101, [], [], 20),
    bybit_book("delta", 101, [("99.8", "1"), ("99.9", "1")], [("100.10", "0.000")], 20),
    bybit_book("delta", 103, [], [], 20),
    bybit_book("delta", 100, [], [], 20),
    bybit_book("delta", 101, [("100.1", "1")], [], 20),
    bybit_book("delta", 101, [], [], -2_000),
    bybit_book("delta", 101, [], [], 0, cts=0),
    bybit_book("snapshot", 7, [("50.0", "1")], [("51", "1")], 20),
    bybit_book("snapshot", 7, [("52.0", "1")], [("51", "1")], 20),
]


@pytest.mark.parametrize("message", BYBIT)
def test_shapes_of_bybit_that_are_scanned(message: Any) -> None:
    both, _ = begun("bybit")
    both.take(encoded(message))
    assert (both.hot.scanned, both.hot.decoded) == (1, 1)


@pytest.mark.parametrize(
    "message",
    [
        {name: DELTA[name] for name in ("type", "topic", "ts", "data", "cts")},
        {name: DELTA[name] for name in ("topic", "data", "type", "ts", "cts")},
        {**DELTA, "data": {name: DELTA["data"][name] for name in ("s", "a", "b", "u", "seq")}},
        {**DELTA, "x": 1},
        {**DELTA, "cts": None},
        {**DELTA, "data": {**DELTA["data"], "x": []}},
        {**DELTA, "data": {**DELTA["data"], "s": "ETHUSDT"}},
        bybit_book("delta", 1, [("50.0", "1")], [("51", "1")], 20),
        bybit_book("delta", 101, [("99.8", "1"), ("99.9", "1"), ("99.7", "1")], [], 20),
        bybit_book("delta", 101, [("99.8", "1"), ("99.8", "1")], [], 20),
        bybit_book("delta", 101, [("1e2", "1")], [], 20),
        bybit_book("delta", 101, [("100.05", "1")], [], 20),
        bybit_book("delta", 101, [("099.9", "1")], [], 20),
        bybit_book("delta", 101, [("0", "1")], [], 20),
        bybit_book("delta", 101, [("-1", "1")], [], 20),
        bybit_book("delta", 101, [("99.9", "1" * 19)], [], 20),
        bybit_book("delta", 101, [("99.9", "1" * 16)], [], 20),
        bybit_book("delta", 10**18, [], [], 20),
        bybit_book("snapshot", 7, [("9.9", "1")], [], 0, depth=200),
        bybit_book("snapshot", 7, [("9.9", "1")], [], 0, symbol="ETHUSDT"),
        bybit_book("snapshot", 7, [("9.9", "1")], [], 0, symbol="NOPEUSDT"),
        bybit_trades(("a", "Buy", "100.1", "0.5", 5)),
        bybit_ticker("snapshot", 0, markPrice="100.06", fundingRate="0.0001"),
        {"op": "pong", "success": True},
    ],
)
def test_what_is_left_to_the_decoder_of_bybit(message: Any) -> None:
    both, _ = begun("bybit")
    both.take(encoded(message))
    assert (both.hot.scanned, both.hot.decoded) == (0, 2)


@pytest.mark.parametrize(
    "change",
    [(b":", b": ", 1), (b"},", b"} ,", 1), (b'"s"', b'"\\u0073"', 1), (b'"u":101', b'"u":101,"u":101', 1), (b'"u":101', b'"u":101.0', 1)],
)
def test_blanks_escapes_and_members_that_come_twice_are_left_to_the_decoder(change: tuple[bytes, bytes, int]) -> None:
    both, frame = begun("bybit")
    other = frame.replace(*change)
    assert other != frame
    both.take(other)
    assert (both.hot.scanned, both.hot.decoded) == (0, 2)


def test_of_binance_both_kinds_of_stream_are_scanned_once_the_book_is_known() -> None:
    both, combined = begun("binance_usdm")
    both.take(combined)
    raw = depth(106, 107, 105, [("99.8", "1"), ("99.9", "2")], [], 30)["data"]
    both.take(encoded(raw))
    assert (both.hot.scanned, both.hot.decoded) == (2, 1)
    both.take(encoded({"stream": "", "data": raw}))
    both.take(encoded({"stream": "a\\b", "data": raw}))
    assert both.hot.scanned == 2


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (depth(103, 105, 102, [], [], 30), Reason.GAP),
        (depth(91, 94, 89, [], [], 30), Reason.OUT_OF_ORDER),
        (depth(101, 105, 100, [("100.1", "1")], [], 30), Reason.CROSSED),
        (depth(101, 105, 100, [], [], -2_000), Reason.OUT_OF_ORDER),
    ],
)
def test_what_breaks_a_book_of_binance_is_seen_by_the_scan(event: Any, reason: Reason) -> None:
    both, _ = begun("binance_usdm")
    said = both.take(encoded(event))
    assert isinstance(said, Reject)
    assert (said.reason, both.hot.scanned) == (reason, 1)
    both.take(encoded(depth(201, 205, 200, [], [], 40)))
    assert both.hot.scanned == 1, "until the next snapshot the decoder keeps what comes"


def test_a_diff_from_before_the_snapshot_is_passed_over_by_the_scan() -> None:
    both = Both("binance_usdm", shipped("binance_usdm"))
    both.take(encoded(depth(95, 100, 90, [], [], 0)))
    both.snapshot("BTCUSDT", encoded({"lastUpdateId": 200, "E": BASE_MS, "T": BASE_MS, "bids": [("99.0", "1")], "asks": []}))
    said = both.take(encoded(depth(101, 105, 100, [("98.0", "1")], [], 10)))
    assert isinstance(said, Taken)
    assert (said.what, said.events, both.hot.scanned) == ("depth before the snapshot", (), 1)


@pytest.mark.parametrize("short", [False, True])
def test_upbits_books_are_scanned_and_repetitions_are_compared(short: bool) -> None:
    def frame(at: int, best: float, stream: str = "REALTIME", **more: Any) -> bytes:
        message = upbit_book(at, [(best, 1.5), (best - 5, 0.00000099)], [(best + 1000, 2.0)], stream=stream, **more)
        return encoded(in_simple(message) if short else message)

    both = Both("upbit", shipped("upbit"))
    both.take(frame(0, 1.165e8))
    both.take(frame(10, 1.166e8))
    assert (both.hot.scanned, both.hot.decoded) == (1, 1)
    for again in (frame(10, 1.166e8), frame(10, 1.167e8, "SNAPSHOT"), frame(5, 1.166e8)):
        both.take(again)
    assert both.hot.scanned == 1
    both.take(frame(20, 1.168e8))
    said = both.take(frame(20, 1.168e8))
    assert isinstance(said, Reject)
    assert (said.reason, both.hot.scanned) == (Reason.DUPLICATE, 2)
    both.take(frame(30, 1.168e8, level=10000))
    assert both.hot.scanned == 2
    both.take(frame(10**14, 1.168e8))
    assert both.hot.scanned == 2


@VENUES
def test_an_oversized_frame_and_a_lost_connection(venue: str) -> None:
    both, frame = begun(venue)
    both.take(frame + b" " * MAX_FRAME_BYTES)
    both.take(frame)
    both, frame = begun(venue)
    both.lose()
    both.take(frame)


def test_a_book_larger_than_the_rows_makes_room() -> None:
    both, _ = begun("bybit")
    many = [(f"{99 - i / 10:.1f}", "1") for i in range(900)]
    both.take(encoded(bybit_book("snapshot", 200, many, [(f"{200 + i}", "1") for i in range(FIRST_ROWS)], 30)))
    assert both.hot.decoded == 2, "more rows than there is room for are left to the decoder"
    assert len(both.hot.rows) == FIRST_ROWS + 901
    both.take(encoded(bybit_book("delta", 201, [("50.0", "2")], [], 40)))
    both.take(encoded(bybit_book("snapshot", 300, many, [(f"{200 + i}", "1") for i in range(FIRST_ROWS)], 50)))
    assert both.hot.scanned == 2


def test_units_too_fine_are_decoded() -> None:
    fine = msgspec.structs.replace(SHIPPED["bybit:BTCUSDT"], lot=msgspec.convert("1e-13", type=type(SHIPPED["bybit:BTCUSDT"].lot)))
    both = Both("bybit", [fine])
    both.take(encoded(SNAPSHOT))
    both.take(encoded(DELTA))
    assert (both.hot.scanned, both.hot.decoded) == (0, 2)


# ---------------------------------------------------------------- recorded


def inferred(venue_symbol: str, quantum: str, lot: str) -> Instrument:
    prices, sizes = Decimals(), Decimals()
    prices.see((quantum,))
    sizes.see((lot,))
    return inferred_perpetual("bybit", venue_symbol, prices, sizes, BYBIT_FEES)


@pytest.mark.data("bybit")
def test_bybits_archive(data_dir: Path) -> None:
    frames = [frame.rstrip(b"\r") for frame in real_bybit_frames(data_dir)]  # the archive's ends of lines
    both = Both("bybit", [inferred("XRPUSDT", "0.0001", "1")])
    assert all(isinstance(both.take(frame), Taken) for frame in frames)
    assert (both.hot.scanned, both.hot.decoded) == (len(frames) - 1, 1)
    for line in (data_dir / "bybit" / "gct_v5_frames_embedded_20241108.jsonl").read_bytes().split(b"\n"):
        both.take(line)


@pytest.mark.data("binance_usdm")
def test_binances_captures(data_dir: Path) -> None:
    both = Both("binance_usdm", [SHIPPED["binance_usdm:BTCUSDT"]], look_every=50)
    counts = Counter[str]()
    with gzip.open(data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz") as lines:
        for line in lines:
            frame = line.split(b" ", 1)[1].strip()
            if b'"lastUpdateId"' in frame[:60]:
                both.snapshot("BTCUSDT", frame)
            elif b'"depthUpdate"' in frame:
                said = both.take(frame)
                assert isinstance(said, Taken)
                counts[said.what] += 1
    assert counts.total() == 6_551
    assert both.hot.scanned == 6_551 - both.hot.decoded
    assert both.hot.decoded < 10


@pytest.mark.data("upbit")
def test_upbits_capture_and_the_books_of_2026(data_dir: Path) -> None:
    frames = real_upbit_frames(data_dir)
    codes = {json.loads(frame).get("cd") for frame in frames}
    both = Both("upbit", [upbit_instrument(code) for code in sorted(code for code in codes if code)])
    for frame in frames:
        both.take(frame)
    books = sum(b'"ty":"orderbook"' in frame for frame in frames)
    assert both.hot.scanned >= books - len(codes) - 1
    codes_of_2026 = (
        "KRW-USDT",
        "KRW-BTC",
        "KRW-XRP",
        "USDT-BTC",
        "USDT-XRP",
        "KRW-ETH",
        "USDT-ETH",
        "KRW-SOL",
        "USDT-SOL",
        "KRW-DOGE",
        "USDT-DOGE",
    )
    both = Both("upbit", [upbit_instrument(code) for code in codes_of_2026])
    taken = sum(isinstance(both.take(msgspec.json.encode(message)), Taken) for message in real_upbit_books_of_2026(data_dir))
    assert both.hot.scanned > taken / 2


# ---------------------------------------------------------------- bounds


CHECKED = """
import json
from interlock.market.columns import ROW
from interlock.venues import row_book
import numpy as np
try:
    row_book._apply(np.zeros((2, 4), row_book.LEVEL), np.zeros(2, np.int64), np.zeros(3, ROW), 0, 9, False, 1, 1)
    print("an index past the end was not noticed")
except IndexError:
    from tests.venues.hot_cases import main, recorded
    print(json.dumps({work}))
"""


def checked(work: str, folder: Path) -> dict[str, int]:
    """What comes of it in a process whose compiled code, made anew, raises for an index past the end of an array: its first access is such a one."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "INTERLOCK_CACHE_DIR": str(folder)}
    command = [sys.executable, "-c", CHECKED.replace("{work}", work)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = json.loads(done.stdout)
    return counts


def test_with_every_index_checked_the_scans_leave_no_array(tmp_path: Path) -> None:
    counts = checked("main(3, 60)", tmp_path)
    assert all(counts[f"{venue} scanned"] > 100 for venue in STREAMS)


@pytest.mark.soak
@pytest.mark.data("binance_usdm")
@pytest.mark.data("bybit")
@pytest.mark.data("upbit")
def test_with_every_index_checked_no_recorded_frame_however_damaged_leaves_an_array(data_dir: Path, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    counts = checked(f"recorded({str(data_dir)!r}, {seed})", tmp_path)
    # As many books as were recorded were damaged, and the whole ones were scanned all the same, but for the first of each symbol.
    for venue, harmed, whole in (("binance_usdm", 7_000, 4_000), ("bybit", 45, 45), ("upbit", 900, 500)):
        assert (counts[f"{venue} damaged"] >= harmed, counts[f"{venue} scanned"] >= whole) == (True, True), (seed, counts)


@pytest.mark.soak
def test_for_a_long_time() -> None:
    seed = random.SystemRandom().randrange(2**32)
    counts = main(seed, 20_000)
    assert all(counts[f"{venue} scanned"] > 20_000 for venue in STREAMS), seed


def test_a_difference_would_be_noticed() -> None:
    """The control of everything above: a hot feed that says something else, or holds another book, fails."""
    both, frame = begun("bybit")
    both.hot.columns(frame, RECEIVED_NS)
    with pytest.raises(AssertionError):
        both.take(frame)
    both, frame = begun("bybit")
    book = both.hot.book("BTCUSDT")
    assert book is not None
    book.apply(BookChange("BTCUSDT", 1, False, ((7, 7),), ()))
    with pytest.raises(AssertionError):
        both.take(frame)
