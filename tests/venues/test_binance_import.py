import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.venues.captures import BASE_MS, depth, good, recorded, save, snapshot, top, trade

from interlock.domain.errors import BadInput, UsageError
from interlock.market.columns import RowKind
from interlock.market.shipped import SHIPPED
from interlock.market.tape import Tape
from interlock.market.tape_verify import verify
from interlock.venues.binance_usdm.importer import import_capture
from interlock.venues.binance_usdm.rows import declared_interval
from interlock.venues.formats import FRAME_READERS

BTC = SHIPPED["binance_usdm:BTCUSDT"]


def test_every_row_of_a_small_capture(tmp_path: Path) -> None:
    out = import_capture([save(tmp_path / "c.gz", recorded(good()))], tmp_path / "t")
    with Tape.open(out, verify_digests=True) as tape:
        ms = (tape.rows["exchange_ns"] // 1_000_000 - BASE_MS).tolist()
        received = (tape.rows["receive_ns"] - tape.rows["receive_ns"][0]).tolist()
        seen = [
            (frame, at, after // 10_000_000, RowKind(kind).name, side, ticks, lots)
            for frame, at, after, kind, side, ticks, lots in zip(
                tape.rows["frame"].tolist(),
                ms,
                received,
                tape.rows["kind"].tolist(),
                tape.rows["side"].tolist(),
                tape.rows["ticks"].tolist(),
                tape.rows["lots"].tolist(),
                strict=True,
            )
        ]
        assert seen == [
            (1, 5, 0, "TRADE", 1, 1001, 4),
            (3, 8, 2, "CLEAR", 0, 0, 0),
            (3, 8, 2, "DEPTH", 1, 1000, 1500),
            (3, 8, 2, "DEPTH", 1, 990, 7000),
            (3, 8, 2, "DEPTH", -1, 1001, 3000),
            (3, 8, 2, "DEPTH", -1, 1002, 1000),
            (2, 10, 2, "DEPTH", 1, 1000, 2000),
            (2, 10, 2, "DEPTH", -1, 1002, 0),
            (4, 11, 3, "TOP", 1, 1000, 2000),
            (4, 11, 3, "TOP", -1, 1001, 3000),
            (5, 20, 4, "DEPTH", -1, 1001, 2500),
            (6, 19, 5, "TRADE", 1, 1001, 500),
            (7, 20, 6, "TOP", 1, 1000, 2000),
            (7, 20, 6, "TOP", -1, 1001, 2500),
            (8, 25, 7, "TRADE", -1, 1000, 250),
            (9, 30, 8, "DEPTH", 1, 1000, 1750),
            (9, 30, 8, "DEPTH", -1, 1003, 9000),
            (10, 30, 9, "TOP", 1, 1000, 1750),
            (10, 30, 9, "TOP", -1, 1001, 2500),
        ]
        assert tape.exchange_order is not None
        assert np.all(np.diff(tape.rows["exchange_ns"][tape.exchange_order]) >= 0)
        assert tape.frames["rows"].tolist() == [0, 1, 2, 5, 2, 1, 1, 2, 1, 2, 2]
        assert tape.frames["first_row"][[2, 3]].tolist() == [6, 1]
        assert tape.instruments == (BTC,)
        assert tape.info.provenance == "real"
        assert tape.info.depth_interval_ms[BTC.key].declared_ms == 0
        assert tape.info.depth_interval_ms[BTC.key].measured_ms == 10.0
        assert tape.info.sources[0].name == "c.gz"


def test_the_raw_frames_are_the_recorded_lines(tmp_path: Path) -> None:
    lines = recorded(good())
    out = import_capture([save(tmp_path / "c.gz", lines)], tmp_path / "t")
    with Tape.open(out) as tape:
        assert [tape.raw_frame(i) for i in range(len(lines))] == lines
        assert tape.frames["line"].tolist() == list(range(1, len(lines) + 1))


def test_a_clock_that_is_behind_is_put_right_and_says_so(tmp_path: Path) -> None:
    lines = recorded(good())
    out = import_capture([save(tmp_path / "c", lines)], tmp_path / "t", floor_ns=3_000_000)
    with Tape.open(out) as tape:
        clock = tape.info.clock
        assert (clock.feed_latency, clock.corrected, clock.floor_ns) == ("assumed", True, 3_000_000)
        happened = [m["data"]["T"] * 1_000_000 for m in good() if "data" in m]
        streams = np.delete(tape.frames["receive_ns"] + clock.offset_ns, 3)  # all but the snapshot
        assert int((streams - happened).min()) == 3_000_000
        last = tape.rows[-1]
        assert int(last["receive_ns"]) == int(tape.frames["receive_ns"][-1]) + clock.offset_ns
        assert tape.frames["receive_ns"].tolist() == [int(line.split()[0]) for line in lines]
    out = import_capture([save(tmp_path / "d", recorded(good(), behind_ns=0))], tmp_path / "u")
    with Tape.open(out) as tape:
        assert (tape.info.clock.feed_latency, tape.info.clock.offset_ns) == ("measured", 0)
        assert int(tape.rows["receive_ns"][0]) == int(tape.frames["receive_ns"][1])


@pytest.mark.parametrize("digits", [19, 16, 13])
def test_receive_times_in_ns_us_and_ms(tmp_path: Path, digits: int) -> None:
    lines = [line[:digits] + line[19:] for line in recorded(good())]
    out = import_capture([save(tmp_path / "c", lines)], tmp_path / "t")
    with Tape.open(out) as tape:
        assert np.diff(tape.frames["receive_ns"]).tolist() == [10_000_000] * 10


def test_a_receive_time_may_go_back_a_little(tmp_path: Path) -> None:
    lines = recorded(good(), step_ns=0)
    early = int(lines[5].split()[0]) - 900_000
    lines[5] = b"%d %s" % (early, lines[5].split(b" ", 1)[1])
    out = import_capture([save(tmp_path / "c", lines)], tmp_path / "t")
    with Tape.open(out) as tape:
        assert np.all(np.diff(tape.rows["receive_ns"]) == 0)
        assert tape.info.clock.clamped == 1
    assert verify(out, FRAME_READERS).passed


def altered(index: int, change: Callable[[Any], Any]) -> list[bytes]:
    messages = good()
    messages[index] = change(messages[index])
    return recorded(messages)


def with_data(**fields: Any) -> Callable[[Any], Any]:
    return lambda message: {**message, "data": {**message["data"], **fields}}


def in_place(index: int, line: bytes) -> list[bytes]:
    lines = recorded(good())
    lines[index] = line
    return lines


BAD = {
    "a corrupted u": (altered(5, with_data(u=109)), 10, "expected pu 109, found 110"),
    "a u below its U": (altered(5, with_data(u=17)), 6, "expected pu <= U <= u"),
    "a lost event": (recorded([m for i, m in enumerate(good()) if i != 5]), 9, "expected pu 105, found 110"),
    "a gap before the snapshot": (altered(2, with_data(pu=96)), 3, "expected pu 95, found 96"),
    "an old snapshot": (altered(3, lambda m: {**m, "lastUpdateId": 80}), 4, "lastUpdateId >= 89, found 80"),
    "a negative size": (altered(5, with_data(a=[("100.1", "-2.5")])), 6, "found '-2.5'"),
    "a NaN price": (altered(6, with_data(p="NaN")), 7, "found 'NaN'"),
    "exponent form": (altered(6, with_data(q="5e-1")), 7, "found '5e-1'"),
    "a price between two ticks": (altered(6, with_data(p="100.15")), 7, "expected a multiple of 0.1"),
    "a size between two lots": (altered(6, with_data(q="0.0005")), 7, "expected a multiple of 0.001"),
    "a price of zero": (altered(6, with_data(p="0")), 7, "expected a positive price"),
    "a number instead of text": (altered(6, with_data(p=100.1)), 7, "Expected `str`, got `float`"),
    "a missing field": (in_place(6, recorded(good())[6].replace(b'"T"', b'"t1"')), 7, "missing required field `T`"),
    "json that ends early": (in_place(6, recorded(good())[6][:-5]), 7, "truncated"),
    "no receive time": (in_place(6, b"what is this"), 7, "expected a Binance USD"),
    "an empty line": (in_place(6, b""), 7, "expected a Binance USD"),
    "receive time going back": (in_place(6, b"16" + b"0" * 17 + recorded(good())[6][19:]), 7, "time goes back"),
    "exchange time going back": (altered(8, with_data(T=BASE_MS - 5_000)), 9, "time goes back"),
    "a snapshot before any stream": (recorded(good()[3:]), 1, "exactly one symbol, found none"),
    "another form": ([b"timestamp,open,high"], 1, "expected a Binance USD"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, name: str) -> None:
    lines, line, problem = BAD[name]
    with pytest.raises(BadInput) as caught:
        import_capture([save(tmp_path / "c.gz", lines)], tmp_path / "t")
    assert caught.value.file.endswith("c.gz")
    assert caught.value.place == f"line {line}"
    assert problem in caught.value.problem
    assert [p.name for p in tmp_path.iterdir()] == ["c.gz"]


def test_a_capture_without_its_snapshot(tmp_path: Path) -> None:
    messages = [m for m in good() if "lastUpdateId" not in m]
    with pytest.raises(BadInput, match="expected a depth snapshot among its depth events"):
        import_capture([save(tmp_path / "c", recorded(messages))], tmp_path / "t")
    no_depth = [m for m in messages if "depth" not in m["stream"]]
    out = import_capture([save(tmp_path / "d", recorded(no_depth))], tmp_path / "t")
    with Tape.open(out) as tape:
        assert set(tape.info.kinds) == {"TRADE", "TOP"}


@settings(max_examples=40)
@given(st.data())
def test_a_capture_that_was_cut_short_anywhere_is_refused(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cut")
    whole = save(folder / "whole.gz", recorded(good())).read_bytes()
    length = data.draw(st.integers(0, len(whole)))
    (folder / "c.gz").write_bytes(whole[:length])
    if length == len(whole):
        import_capture([folder / "c.gz"], folder / "t")
        return
    with pytest.raises(BadInput):
        import_capture([folder / "c.gz"], folder / "t")
    assert sorted(p.name for p in folder.iterdir()) == ["c.gz", "whole.gz"]


@settings(max_examples=300)
@given(st.data())
def test_any_one_changed_byte_imports_or_is_refused_with_its_place(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("byte")
    text = bytearray(save(folder / "c", recorded(good())).read_bytes())
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.sampled_from(b'0123456789.-eE"{}[],: uUTbn\x00\xff\n'))
    (folder / "c").write_bytes(text)
    try:
        out = import_capture([folder / "c"], folder / "t")
    except BadInput as error:
        refused = error.place.startswith("line ") or "snapshot" in error.problem
        assert refused, error.problem  # noqa: PT017 - either answer is right
        assert [p.name for p in folder.iterdir()] == ["c"]
    else:
        # a changed price or size can still be a price or size; the frames are as recorded in any case
        with Tape.open(out, verify_digests=True) as tape:
            assert b"\n".join(tape.raw_frame(i) for i in range(len(tape.frames))) == bytes(text).removesuffix(b"\n")


def test_a_frame_that_is_nested_too_deeply_is_refused_with_its_place(tmp_path: Path) -> None:
    lines = [*recorded(good()), b"1700000001000000000 " + b'{"stream":"x","more":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]
    with pytest.raises(BadInput, match="line 12: ") as caught:
        import_capture([save(tmp_path / "c", lines)], tmp_path / "t")
    assert caught.value.place == "line 12"


def test_an_interrupted_import_leaves_nothing(tmp_path: Path) -> None:
    capture = save(tmp_path / "c.gz", recorded(good()))

    def interrupt(_: int) -> None:
        assert len(list(tmp_path.iterdir())) == 2  # the capture and the folder being filled
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_capture([capture], tmp_path / "t", progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["c.gz"]
    import_capture([capture], tmp_path / "t")


def test_files_that_are_not_there_or_named_twice(tmp_path: Path) -> None:
    capture = save(tmp_path / "c", recorded(good()))
    with pytest.raises(BadInput, match="cannot be read"):
        import_capture([tmp_path / "absent"], tmp_path / "t")
    with pytest.raises(UsageError, match="named twice"):
        import_capture([capture, capture], tmp_path / "t")
    with pytest.raises(UsageError, match="at least one file"):
        import_capture([], tmp_path / "t")


def test_a_given_instrument_is_the_only_one(tmp_path: Path) -> None:
    capture = save(tmp_path / "c", recorded(good()))
    finer = msgspec.structs.replace(BTC, quantum=BTC.quantum / 10)
    out = import_capture([capture], tmp_path / "t", given={finer.key: finer})
    with Tape.open(out) as tape:
        assert tape.rows["ticks"][0] == 10010
    with pytest.raises(BadInput, match="line 1: unknown symbol BTCUSDT: expected one of bybit:BTCUSDT"):
        import_capture([capture], tmp_path / "u", given={"bybit:BTCUSDT": SHIPPED["bybit:BTCUSDT"]})


def test_an_unknown_symbol_is_inferred_and_says_so(tmp_path: Path) -> None:
    lines = [line.replace(b"BTCUSDT", b"NEWUSDT").replace(b"btcusdt", b"newusdt") for line in recorded(good())]
    out = import_capture([save(tmp_path / "c", lines)], tmp_path / "t")
    with Tape.open(out) as tape:
        (instrument,) = tape.instruments
        assert (instrument.key, instrument.base, instrument.inferred) == ("binance_usdm:NEWUSDT", "NEW", True)
        # the snapshot's and the streams' finest: 99.9 and 0.004
        assert (str(instrument.quantum), str(instrument.lot)) == ("0.1", "0.001")


def test_trades_beside_the_book_and_placeholders(tmp_path: Path) -> None:
    messages = [
        *good(),
        trade(4, "100.0", "1", 31, kind="INSURANCE_FUND"),
        trade(5, "0", "0", 31, kind="NA"),
    ]
    out = import_capture([save(tmp_path / "c", recorded(messages))], tmp_path / "t")
    with Tape.open(out) as tape:
        assert (tape.info.kinds["TRADE"], tape.info.kinds["BLOCK_TRADE"]) == (3, 1)
        assert "placeholder trades: 1" in tape.info.notes
    assert verify(out, FRAME_READERS).passed


def test_mark_prices_and_streams_that_are_not_used(tmp_path: Path) -> None:
    mark = {"e": "markPriceUpdate", "E": BASE_MS + 40, "s": "BTCUSDT", "p": "100.06", "r": "0.0001", "T": BASE_MS + 10**6}
    other = {"stream": "btcusdt@forceOrder", "data": {"e": "forceOrder", "E": 1}}
    answer = {"result": None, "id": 1}
    messages = [*good(), {"stream": "btcusdt@markPrice", "data": mark}, other, answer]
    out = import_capture([save(tmp_path / "c", recorded(messages))], tmp_path / "t")
    with Tape.open(out) as tape:
        last = tape.rows[-2:]
        assert last["kind"].tolist() == [RowKind.MARK, RowKind.FUNDING_NEXT]
        assert (last["ticks"][0], last["lots"][1]) == (1001, 100_000_000)
        assert "ignored forceOrder: 1" in tape.info.notes
        assert len(tape.frames) == 14
    assert verify(out, FRAME_READERS).passed


def test_a_later_snapshot_changes_nothing(tmp_path: Path) -> None:
    messages = [*good(), snapshot(118, [("1.0", "1")], [("2.0", "1")], 40)]
    first = import_capture([save(tmp_path / "a", recorded(good()))], tmp_path / "t")
    second = import_capture([save(tmp_path / "b", recorded(messages))], tmp_path / "u")
    with Tape.open(first) as a, Tape.open(second) as b:
        assert np.array_equal(a.rows, b.rows)


def test_two_symbols_in_two_files_are_merged_by_receive_time(tmp_path: Path) -> None:
    btc = recorded(good())
    eth = [line.replace(b"BTCUSDT", b"ETHUSDT") for line in recorded(good(), behind_ns=1_272_000_001)]
    out = import_capture([save(tmp_path / "b", btc), save(tmp_path / "e", eth)], tmp_path / "t")
    with Tape.open(out) as tape:
        assert [i.symbol for i in tape.instruments] == ["BTCUSDT", "ETHUSDT"]
        assert np.all(np.diff(tape.rows["receive_ns"]) >= 0)
        assert tape.rows["instrument"][:2].tolist() == [1, 0]  # ETH came 1 ns earlier
        assert tape.raw_frame(0) == eth[0]
        assert tape.raw_frame(1) == btc[0]
    assert verify(out, FRAME_READERS).passed


def test_equal_receive_times_go_by_instrument_and_then_by_line(tmp_path: Path) -> None:
    btc = recorded(good(), step_ns=0)
    eth = [line.replace(b"BTCUSDT", b"ETHUSDT") for line in btc]
    out = import_capture([save(tmp_path / "e", eth), save(tmp_path / "b", btc)], tmp_path / "t")
    with Tape.open(out) as tape:
        half = len(tape.rows) // 2
        assert tape.rows["instrument"].tolist() == [0] * half + [1] * half
        assert np.array_equal(tape.rows["ticks"][:half], tape.rows["ticks"][half:] // 1 // 10)
    assert verify(out, FRAME_READERS).passed


def test_the_interval_that_a_stream_declares() -> None:
    names = ("btcusdt@depth", "btcusdt@depth@0ms", "btcusdt@depth@100ms", "btcusdt@depth@x")
    assert [declared_interval(name) for name in names] == [250, 0, 100, None]


def test_every_sample_in_the_wire_docstrings_decodes() -> None:
    from interlock.venues.binance_usdm import wire

    decoded = 0
    for structure in vars(wire).values():
        if not (isinstance(structure, type) and issubclass(structure, msgspec.Struct) and structure.__doc__):
            continue
        sample = structure.__doc__.partition("{")[2].partition("\n\n")[0]
        if sample and structure is not wire.Envelope:
            assert isinstance(msgspec.json.decode("{" + sample.strip(), type=structure), structure)
            json.loads("{" + sample.strip())
            decoded += 1
    assert decoded >= 9


def test_tops_must_agree_with_the_book(tmp_path: Path) -> None:
    """A capture whose own bookTicker disagrees imports, and verify says where."""
    messages = good()
    messages[7] = top(110, ("100.0", "2.000"), ("100.1", "2.499"), 20)
    out = import_capture([save(tmp_path / "c", recorded(messages))], tmp_path / "t")
    report = verify(out, FRAME_READERS)
    (check,) = (c for c in report.checks if c.name == "venue_top_agrees")
    assert not report.passed
    assert (check.checked, check.defects) == (3, 1)
    assert check.first is not None
    assert "c, line 6" in check.first
    assert "c, line 8" in check.first


def test_a_crossed_book_is_found_where_it_begins(tmp_path: Path) -> None:
    messages = good()
    messages[9] = depth(111, 118, 110, [("100.1", "1")], [], 30)
    out = import_capture([save(tmp_path / "c", recorded(messages))], tmp_path / "t")
    report = verify(out, FRAME_READERS)
    (check,) = (c for c in report.checks if c.name == "book_not_crossed")
    assert check.defects == 1
    assert check.first is not None
    assert "c, line 10" in check.first


def test_a_trade_id_that_comes_twice_is_found(tmp_path: Path) -> None:
    messages = good()
    messages[8] = messages[6]
    out = import_capture([save(tmp_path / "c", recorded(messages))], tmp_path / "t")
    (check,) = (c for c in verify(out, FRAME_READERS).checks if c.name == "trade_ids")
    assert (check.checked, check.defects) == (3, 1)
    assert check.first is not None
    assert "c, line 9: expected a trade id above 2, found 2" in check.first
