"""Import of Upbit's recordings: rows, places of what is wrong, and the one raw capture there is."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.captures import save
from tests.venues.feeds import (
    BASE_MS,
    damage,
    encoded,
    real_upbit_frames,
    real_upbit_lines,
    recorded_at,
    simple,
    upbit_book,
    upbit_trade,
)

from interlock.domain.errors import BadInput, UsageError
from interlock.market.columns import RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_verify import verify
from interlock.venues.formats import FRAME_READERS, import_tape
from interlock.venues.upbit.importer import import_capture

MESSAGES = [
    upbit_book(0, [(100_000, 0.5), (99_000, 2)], [(101_000, 1.25), (102_000, 3)]),
    upbit_trade(7, 101_000, 0.25, 10),
    simple(upbit_book(20, [(100_000, 0.25)], [(101_000, 1), (102_000, 3)])),
    {"status": "UP"},
    simple(upbit_trade(8, 100_000, 0.125, 30, side="ASK")),
]
LINES = recorded_at([encoded(message) for message in MESSAGES])


def test_every_row_of_a_small_capture(tmp_path: Path) -> None:
    out = import_tape("upbit-raw", [save(tmp_path / "c.gz", LINES)], tmp_path / "t")
    with Tape.open(out, verify_digests=True) as tape:
        seen = [
            (row["frame"], row["exchange_ns"] // 1_000_000 - BASE_MS, RowKind(row["kind"]).name, row["side"], row["ticks"], row["lots"])
            for row in tape.rows
        ]
        assert seen == [
            (0, 0, "CLEAR", 0, 0, 0),
            (0, 0, "DEPTH", 1, 100_000, 50_000_000),
            (0, 0, "DEPTH", 1, 99_000, 200_000_000),
            (0, 0, "DEPTH", -1, 101_000, 125_000_000),
            (0, 0, "DEPTH", -1, 102_000, 300_000_000),
            (1, 10, "TRADE", 1, 101_000, 25_000_000),
            (2, 20, "CLEAR", 0, 0, 0),
            (2, 20, "DEPTH", 1, 100_000, 25_000_000),
            (2, 20, "DEPTH", -1, 101_000, 100_000_000),
            (2, 20, "DEPTH", -1, 102_000, 300_000_000),
            (4, 30, "TRADE", -1, 100_000, 12_500_000),
        ]
        assert tape.instruments == (SHIPPED["upbit:KRW-BTC"],)
        assert (tape.info.clock.feed_latency, tape.info.clock.recorded_smallest_latency_ns) == ("measured", 25_000_000)
        assert tape.info.depth_interval_ms["upbit:KRW-BTC"].measured_ms == 20
        assert {"orderbook: 2", "trade: 2", "ignored status UP: 1"} <= set(tape.info.notes)
        assert [tape.raw_frame(i) for i in range(len(tape.frames))] == LINES
    assert verify(out, FRAME_READERS).passed


@pytest.mark.parametrize("literal", [False, True])
def test_the_shapes_of_a_recording_give_the_same_rows(tmp_path: Path, literal: bool) -> None:
    first = import_capture([save(tmp_path / "a", LINES)], tmp_path / "t")
    played = [b"wss://api.upbit.com/websocket/v1 <-> 1699999999.5", b"configuration: {}", b""]
    for line in LINES:
        time, _, body = line.partition(b" ")
        if literal:
            body = repr(body).encode()
        played.append(b"%s.%s: %s" % (time[:10], time[10:], body))
    second = import_capture([save(tmp_path / "b", played)], tmp_path / "u")
    with Tape.open(first) as a, Tape.open(second) as b:
        assert np.array_equal(a.rows, b.rows)
    assert verify(second, FRAME_READERS).passed


@pytest.mark.parametrize(
    "body",
    [b'b\'{"status":"it\\\'s UP\\x21 \\\\n"}\'', b'b"{\\"status\\":\\"UP\\"}"', b'b\'{"status":"\\xec\\x8b\\x9c"}\''],
)
def test_a_literal_means_what_python_means(tmp_path: Path, body: bytes) -> None:
    market = b"1700000001.5: " + encoded(MESSAGES[0])
    out = import_capture([save(tmp_path / "c", [b"1700000000.5: " + body, market])], tmp_path / "t")
    assert verify(out, FRAME_READERS).passed


@pytest.mark.parametrize(
    "body",
    [
        b"b'{",
        b"b'{}' + b''",
        b"b'\\x4'",
        b"b'\\q'",
        b"b'{}'x",
        b"b",
        b"b'{}\"",
        b"u'{}'",
        b"__import__('os')",
        b'b\'{"status":"UP"}\r\'',
        b'b\'{"status":"\xff"}\'',
    ],
)
def test_a_literal_that_is_none_is_refused_with_its_line(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        import_capture([save(tmp_path / "c", [b"wss://x", b"1700000000.5: " + body])], tmp_path / "t")
    assert caught.value.place == "line 2"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize(
    ("at", "line", "problem"),
    [
        (2, encoded(upbit_book(-1, [(100_000, 1)], [(101_000, 1)])), "out of order: KRW-BTC: expected a book of 1700000000000 ms or later"),
        (4, LINES[1].split(b" ", 1)[1], "duplicate: KRW-BTC: the trade 7 comes a second time"),
        (1, LINES[0].split(b" ", 1)[1], "duplicate: KRW-BTC: the book of 1700000000000 ms comes a second time"),
        (1, LINES[0].split(b" ", 1)[1][:-20], "malformed"),
        (1, encoded(upbit_book(5, [(101_000, 1)], [(101_000, 1)])), "crossed: KRW-BTC: bid 101000 ticks is not below ask 101000"),
        (1, encoded(upbit_trade(9, 0.5, 1, 5)), "expected a multiple of 1, found 0.5"),
        (1, encoded(upbit_book(5, [], [], code="KRWBTC")), "unknown symbol: KRWBTC: expected a market as QUOTE-BASE"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, at: int, line: bytes, problem: str) -> None:
    lines = list(LINES)
    lines[at] = lines[at].split(b" ", 1)[0] + b" " + line
    with pytest.raises(BadInput, match=problem) as caught:
        import_capture([save(tmp_path / "c", lines)], tmp_path / "t")
    assert caught.value.place == f"line {at + 1}"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_given_instrument_is_the_only_one(tmp_path: Path) -> None:
    capture = save(tmp_path / "c", LINES)
    given = {"upbit:KRW-ETH": SHIPPED["upbit:KRW-ETH"]}
    with pytest.raises(BadInput, match=r"line 1: unknown symbol: KRW-BTC: .*expected one of upbit:KRW-ETH; add it to --instrument"):
        import_capture([capture], tmp_path / "t", given=given)


def test_no_capture_at_all(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected an Upbit capture .* found 'text'") as caught:
        import_capture([save(tmp_path / "c", [b"text"])], tmp_path / "t")
    assert caught.value.place == "line 1"
    with pytest.raises(UsageError, match="at least one file"):
        import_capture([], tmp_path / "t")


@settings(max_examples=100)
@given(st.data())
def test_a_damaged_line_imports_or_is_refused_with_its_place(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    lines = [b"%s: %r" % (line[:10] + b"." + line[10:19], line.split(b" ", 1)[1]) for line in LINES]
    at = data.draw(st.integers(0, len(lines) - 1))
    lines[at] = damage(lines[at], data.draw)
    save(folder / "c", lines)
    try:
        out = import_capture([folder / "c"], folder / "t")
    except BadInput as error:
        assert error.place.startswith("line ")  # noqa: PT017 - either answer is right
        assert [path.name for path in folder.iterdir()] == ["c"]
    else:
        assert verify(out, FRAME_READERS).passed


# The real capture: 304 trades and 145 books of five markets, of 2021, in SIMPLE format


@pytest.mark.data("upbit")
def test_the_real_one_is_all_there(upbit_tape: Path, data_dir: Path) -> None:
    with Tape.open(upbit_tape, verify_digests=True) as opened:
        assert [i.symbol for i in opened.instruments] == ["BTC-ITAM", "BTC-PAX", "BTC-XTZ", "KRW-LAMB", "KRW-WAVES"]
        assert [i.inferred for i in opened.instruments] == [True, True, True, False, False]
        assert opened.info.kinds == {"DEPTH": 4350, "TRADE": 304, "CLEAR": 145}
        assert opened.info.frames == 449
        assert (opened.info.clock.feed_latency, opened.info.clock.recorded_median_latency_ns) == ("measured", 238_148_000)
        lines = real_upbit_lines(data_dir)
        assert [opened.raw_frame(i) for i in range(449)] == lines[2:451]
        first = json.loads(real_upbit_frames(data_dir)[0])
        trade = opened.rows[0]
        lamb = opened.instruments[int(trade["instrument"])]
        assert (lamb.symbol, first["tp"], first["tv"]) == ("KRW-LAMB", 127.0, 46.48838371)
        assert (str(lamb.price(int(trade["ticks"]))), str(lamb.quantity(int(trade["lots"])))) == ("127.00000000", "46.48838371")


@pytest.mark.data("upbit")
def test_nothing_is_wrong_with_the_real_one(upbit_tape: Path) -> None:
    report = verify(upbit_tape, FRAME_READERS)
    assert report.passed
    counted = {check.name: check.checked for check in report.checks}
    assert (counted["frame_content"], counted["book_not_crossed"]) == (449, 145)


@pytest.mark.data("upbit")
@pytest.mark.parametrize("line", [3, 4, 200, 451])
def test_a_frame_that_comes_twice_or_is_cut_is_named(data_dir: Path, tmp_path: Path, line: int) -> None:
    lines = real_upbit_lines(data_dir)[:451]
    time, _, body = lines[line - 1].partition(b": ")
    twice = [*lines[:line], lines[line - 1], *lines[line:]]
    with pytest.raises(BadInput, match="duplicate: ") as caught:
        import_capture([save(tmp_path / "twice", twice)], tmp_path / "t")
    assert caught.value.place == f"line {line + 1}"
    cut = [*lines[: line - 1], time + b": " + body[:-30] + b"'", *lines[line:]]
    with pytest.raises(BadInput, match="malformed: ") as caught:
        import_capture([save(tmp_path / "cut", cut)], tmp_path / "t")
    assert caught.value.place == f"line {line}"


@pytest.mark.data("upbit")
def test_a_frame_that_is_missing_cannot_be_seen_and_the_tape_says_so(data_dir: Path, tmp_path: Path) -> None:
    lines = real_upbit_lines(data_dir)[:451]
    del lines[200]
    with Tape.open(import_capture([save(tmp_path / "c", lines)], tmp_path / "t")) as tape:
        assert tape.info.frames == 448
        assert any("a missing frame cannot be seen" in note for note in tape.info.notes)
