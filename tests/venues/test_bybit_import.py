"""Import of Bybit's recordings: rows, places of what is wrong, and the real archive."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.captures import save
from tests.venues.feeds import (
    BASE_MS,
    bybit_book,
    bybit_ticker,
    bybit_trades,
    damage,
    encoded,
    real_bybit_frames,
    recorded_at,
)

from interlock.domain.errors import BadInput, UsageError
from interlock.market.columns import RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_verify import Check, verify
from interlock.venues.bybit.importer import import_capture
from interlock.venues.formats import FRAME_READERS, import_tape

ARCHIVE = "nautilus_2024-12-01_XRPUSDT_ob500.data.zip"

FRAMES = [
    encoded(message)
    for message in (
        {"success": True, "ret_msg": "", "conn_id": "x", "req_id": "1", "op": "subscribe"},
        bybit_book("snapshot", 100, [("100.0", "1")], [("100.1", "3")], 0),
        bybit_book("delta", 101, [("100.0", "0"), ("99.9", "5")], [], 20),
        bybit_trades(("a", "Buy", "100.1", "0.5", 25), ("b", "Sell", "99.9", "0.25", 26)),
        bybit_ticker("snapshot", 30, markPrice="100.06", fundingRate="0.0001"),
        bybit_ticker("delta", 40, bid1Price="99.9"),
        bybit_book("snapshot", 7000, [("99.8", "1")], [("100.2", "3")], 45),
        bybit_book("delta", 7001, [("99.8", "2")], [("100.2", "0")], 60),
        bybit_book("delta", 1, [("99.7", "1")], [("100.3", "2")], 65),
        bybit_book("delta", 2, [], [("100.2", "1")], 75),
        bybit_book("snapshot", 5, [("99.7", "1")], [("100.2", "2")], 76, depth=1),
    )
]
LINES = recorded_at(FRAMES)


def checks_of(tape: Path) -> dict[str, Check]:
    return {check.name: check for check in verify(tape, FRAME_READERS).checks}


def test_every_row_of_a_small_capture(tmp_path: Path) -> None:
    out = import_tape("bybit-v5-raw", [save(tmp_path / "c.gz", LINES)], tmp_path / "t")
    with Tape.open(out, verify_digests=True) as tape:
        seen = [
            (row["frame"], row["exchange_ns"] // 1_000_000 - BASE_MS, RowKind(row["kind"]).name, row["side"], row["ticks"], row["lots"])
            for row in tape.rows
        ]
        assert seen == [
            (1, 0, "CLEAR", 0, 0, 0),
            (1, 0, "DEPTH", 1, 1000, 1000),
            (1, 0, "DEPTH", -1, 1001, 3000),
            (2, 20, "DEPTH", 1, 1000, 0),
            (2, 20, "DEPTH", 1, 999, 5000),
            (3, 25, "TRADE", 1, 1001, 500),
            (3, 26, "TRADE", -1, 999, 250),
            (4, 30, "MARK", 0, 1001, 0),
            (4, 30, "FUNDING_NEXT", 0, 0, 100_000_000),
            (6, 45, "CLEAR", 0, 0, 0),
            (6, 45, "DEPTH", 1, 998, 1000),
            (6, 45, "DEPTH", -1, 1002, 3000),
            (7, 60, "DEPTH", 1, 998, 2000),
            (7, 60, "DEPTH", -1, 1002, 0),
            (8, 65, "CLEAR", 0, 0, 0),
            (8, 65, "DEPTH", 1, 997, 1000),
            (8, 65, "DEPTH", -1, 1003, 2000),
            (9, 75, "DEPTH", -1, 1002, 1000),
        ]
        assert tape.instruments == (SHIPPED["bybit:BTCUSDT"],)
        assert tape.info.clock.feed_latency == "measured"
        interval = tape.info.depth_interval_ms["bybit:BTCUSDT"]
        assert (interval.declared_ms, interval.measured_ms) == (20, 15)
        assert {"orderbook snapshot: 3", "orderbook delta: 3", "another depth (1): 1", "subscribe answered: 1"} <= set(tape.info.notes)
        assert tape.frames["previous_update"].tolist() == [0, 0, 100, 0, 0, 0, 0, 7000, 0, 1, 0]
    checks = checks_of(out)
    assert not any(check.defects for check in checks.values())
    assert checks["depth_sequence"].checked == 3


def test_a_playback_gives_the_same_rows(tmp_path: Path) -> None:
    first = import_capture([save(tmp_path / "a", LINES)], tmp_path / "t")
    played = [b"wss://stream.bybit.com/v5/public/linear", *(line[:10] + b"." + line[10:19] + b": " + line[20:] for line in LINES)]
    second = import_capture([save(tmp_path / "b", played)], tmp_path / "u")
    with Tape.open(first) as a, Tape.open(second) as b:
        assert np.array_equal(a.rows, b.rows)
    assert verify(second, FRAME_READERS).passed


def test_two_files_of_one_recording_are_merged_by_receive_time(tmp_path: Path) -> None:
    books, trades = ([line for line in LINES if (b"publicTrade" in line) == wanted] for wanted in (False, True))
    whole = import_capture([save(tmp_path / "a", LINES)], tmp_path / "t")
    parts = import_capture([save(tmp_path / "b", books), save(tmp_path / "c", trades)], tmp_path / "u")
    with Tape.open(whole) as a, Tape.open(parts) as b:
        assert np.array_equal(a.rows, b.rows)
    archive = save(tmp_path / "d", FRAMES[1:2])
    with pytest.raises(UsageError, match="files of one clock"):
        import_capture([tmp_path / "a", archive], tmp_path / "v")


def test_an_archive_was_received_by_nobody(tmp_path: Path) -> None:
    out = import_capture([save(tmp_path / "c", FRAMES[1:3])], tmp_path / "t", floor_ns=7_000_000)
    with Tape.open(out) as tape:
        clock = tape.info.clock
        assert (clock.feed_latency, clock.corrected, clock.offset_ns, clock.floor_ns) == ("assumed", True, 7_000_000, 7_000_000)
        # sent 2 ms after the match, and then the way to us
        assert set((tape.rows["receive_ns"] - tape.rows["exchange_ns"]).tolist()) == {9_000_000}
    assert verify(out, FRAME_READERS).passed


@pytest.mark.parametrize("line", [b"{}", b'{"op":"pong"}', b'{"ts":"1"}', b'{"ts":1.5}', b'{"ts":' + b"[" * 100_000])
def test_an_archive_line_without_its_time(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(BadInput, match="expected a Bybit v5 capture") as caught:
        import_capture([save(tmp_path / "c", [FRAMES[1], line])], tmp_path / "t")
    assert caught.value.place == "line 2"


@pytest.mark.parametrize(
    ("change", "place", "problem"),
    [
        (lambda lines: lines.pop(1), "line 2", "no snapshot: BTCUSDT: a delta of a book that is not known"),
        (lambda lines: lines.insert(3, lines[2]), "line 4", "duplicate: BTCUSDT: expected u 102, found 101"),
        (lambda lines: lines.insert(4, lines[3]), "line 5", "duplicate: BTCUSDT: the trade a comes a second time"),
        (lambda lines: lines.insert(6, lines[5]), "line 7", "duplicate: BTCUSDT: the ticker of"),
        (lambda lines: lines.pop(8), "line 9", "out of order: BTCUSDT: expected u 7002, found 2"),
        (lambda lines: lines.pop(4), "line 5", "no snapshot: BTCUSDT: a change of a ticker"),
        (
            lambda lines: lines.__setitem__(7, lines[7].replace(b'"u":7001', b'"u":7002')),
            "line 8",
            "gap: BTCUSDT: expected u 7001, found 7002",
        ),
        (
            lambda lines: lines.__setitem__(9, lines[9].replace(b"100.2", b"99.7")),
            "line 10",
            "crossed: BTCUSDT: bid 997 ticks is not below ask 997",
        ),
        (lambda lines: lines.__setitem__(9, lines[9][:-9]), "line 10", "malformed: "),
        (lambda lines: lines.__setitem__(9, lines[9].replace(b"100.2", b"100.25")), "line 10", "malformed: .*expected a multiple of 0.1"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, change: Callable[[list[bytes]], object], place: str, problem: str) -> None:
    lines = list(LINES)
    change(lines)
    # a new time for each, so that only the frames are wrong
    lines = recorded_at([line.split(b" ", 1)[1] for line in lines])
    capture = save(tmp_path / "c", lines)
    with pytest.raises(BadInput, match=problem) as caught:
        import_capture([capture], tmp_path / "t")
    assert caught.value.place == place
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_a_given_instrument_is_the_only_one(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"line 2: unknown symbol: BTCUSDT: .*expected one of upbit:KRW-ETH; add it to --instrument"):
        import_capture([save(tmp_path / "c", LINES)], tmp_path / "t", given={"upbit:KRW-ETH": SHIPPED["upbit:KRW-ETH"]})


def test_an_unknown_symbol_is_inferred_and_says_so(tmp_path: Path) -> None:
    lines = [line.replace(b"BTCUSDT", b"NEWUSDT") for line in LINES]
    with Tape.open(import_capture([save(tmp_path / "c", lines)], tmp_path / "t")) as tape:
        (instrument,) = tape.instruments
        # the books' and the trades' finest: 99.9 and 0.25
        assert (instrument.key, instrument.inferred, str(instrument.quantum), str(instrument.lot)) == ("bybit:NEWUSDT", True, "0.1", "0.01")


@settings(max_examples=100)
@given(st.data())
def test_a_damaged_line_imports_or_is_refused_with_its_place(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    lines = list(data.draw(st.sampled_from([LINES, FRAMES[1:]])))
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


# The real archive: one snapshot and 49 deltas of XRPUSDT, 500 levels, as Bybit publishes them


@pytest.mark.data("bybit")
def test_the_real_one_is_all_there(bybit_tape: Path, data_dir: Path) -> None:
    with Tape.open(bybit_tape, verify_digests=True) as opened:
        (xrp,) = opened.instruments
        assert (xrp.key, xrp.inferred, str(xrp.quantum), str(xrp.lot)) == ("bybit:XRPUSDT", True, "0.0001", "1")
        assert (opened.info.frames, opened.info.kinds) == (50, {"DEPTH": 3966, "CLEAR": 1})
        assert (opened.info.clock.feed_latency, opened.info.clock.offset_ns) == ("assumed", 1_000_000)
        assert opened.info.clock.recorded_smallest_latency_ns == 2_000_000
        frames = real_bybit_frames(data_dir)
        assert [opened.raw_frame(i) for i in range(50)] == frames
        (source,) = opened.info.sources
        assert (source.bytes, source.lines) == (80_538, 50)


@pytest.mark.data("bybit")
def test_nothing_is_wrong_with_the_real_one(bybit_tape: Path) -> None:
    checks = checks_of(bybit_tape)
    assert not any(check.defects for check in checks.values())
    assert (checks["depth_sequence"].checked, checks["book_not_crossed"].checked) == (49, 50)


@pytest.mark.data("bybit")
@pytest.mark.parametrize("line", [2, 25, 49])
def test_a_frame_that_is_missing_or_comes_twice_is_named(data_dir: Path, tmp_path: Path, line: int) -> None:
    frames = real_bybit_frames(data_dir)
    missing = [*frames[: line - 1], *frames[line:]]
    with pytest.raises(BadInput, match="gap: XRPUSDT: expected u") as caught:
        import_capture([save(tmp_path / "missing", missing)], tmp_path / "t")
    assert caught.value.place == f"line {line}"
    twice = [*frames[:line], *frames[line - 1 :]]
    with pytest.raises(BadInput, match="duplicate: XRPUSDT: expected u") as caught:
        import_capture([save(tmp_path / "twice", twice)], tmp_path / "t")
    assert caught.value.place == f"line {line + 1}"


@pytest.mark.data("bybit")
def test_a_zip_archive_that_is_damaged_is_refused(data_dir: Path, tmp_path: Path) -> None:
    whole = (data_dir / "bybit" / ARCHIVE).read_bytes()
    for name, data in {"cut": whole[:-100], "changed": whole[:4000] + b"?" + whole[4001:]}.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BadInput, match=r"expected a zip archive that can be read|line "):
            import_capture([tmp_path / name], tmp_path / "t")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("b", b"2")
    with pytest.raises(BadInput, match="zip archive of one file, found 2"):
        import_capture([tmp_path / "two.zip"], tmp_path / "t")
