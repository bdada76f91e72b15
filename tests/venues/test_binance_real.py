"""The real captures, with the figures that were counted by hand."""

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.market.tapes import tamper

from interlock.domain.errors import BadInput
from interlock.market.columns import RowKind
from interlock.market.tape import Tape
from interlock.market.tape_parquet import export_parquet, import_parquet
from interlock.market.tape_verify import Check, verify
from interlock.venues.binance_usdm.importer import import_capture
from interlock.venues.formats import FRAME_READERS

pytestmark = pytest.mark.data("binance_usdm")


def checks_of(tape: Path) -> dict[str, Check]:
    return {check.name: check for check in verify(tape, FRAME_READERS).checks}


def test_the_long_capture(hft_tape: Path) -> None:
    with Tape.open(hft_tape, verify_digests=True) as tape:
        assert (tape.info.rows, tape.info.frames) == (598_754, 93_954)
        assert tape.info.kinds == {"DEPTH": 445_262, "TRADE": 21_313, "TOP": 132_178, "CLEAR": 1}
        clock = tape.info.clock
        assert (clock.feed_latency, clock.offset_ns) == ("assumed", 1_273_402_468)
        assert clock.recorded_median_latency_ns is not None
        assert -1.277e9 < clock.recorded_median_latency_ns < -1.215e9
        interval = tape.info.depth_interval_ms["binance_usdm:BTCUSDT"]
        assert (interval.declared_ms, interval.measured_ms) == (0, 52.0)
        live = tape.rows[tape.rows["kind"] == RowKind.TOP]
        assert int((live["receive_ns"] - live["exchange_ns"]).min()) >= 1_000_000


def test_nothing_is_wrong_with_it(hft_tape: Path) -> None:
    checks = checks_of(hft_tape)
    assert {name: check.defects for name, check in checks.items()} == dict.fromkeys(checks, 0)
    assert checks["depth_sequence"].checked == 6_551
    assert checks["trade_ids"].checked == 21_313
    assert checks["book_not_crossed"].checked == 6_546
    # the venue's own best levels against the rebuilt book, at equal update ids: all of them
    assert checks["venue_top_agrees"].checked == 6_546


def test_the_raw_bytes_are_all_there(hft_tape: Path, data_dir: Path) -> None:
    original = gzip.decompress((data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz").read_bytes())
    lines = original.split(b"\n")
    with Tape.open(hft_tape) as tape:
        for index in range(0, len(tape.frames), 997):
            assert tape.raw_frame(index) == lines[index]
        assert tape.raw_frame(len(tape.frames) - 1) == lines[len(tape.frames) - 1]


@pytest.mark.parametrize(
    ("name", "column", "where", "check"),
    [
        ("rows.npy", "lots", RowKind.DEPTH, "venue_top_agrees"),
        ("rows.npy", "receive_ns", RowKind.TRADE, "receive_times"),
        ("rows.npy", "exchange_ns", RowKind.TRADE, "exchange_time"),
        ("rows.npy", "kind", RowKind.TRADE, "counts"),
        ("rows.npy", "frame", RowKind.TRADE, "counts"),
        ("frames.npy", "previous_update", None, "frame_content"),
        ("frames.npy", "receive_ns", None, "frame_content"),
        ("frames.npy", "first_row", None, "counts"),
    ],
)
def test_a_changed_tape_is_found_out(hft_tape: Path, tmp_path: Path, name: str, column: str, where: RowKind | None, check: str) -> None:
    copy = tmp_path / "tape"
    shutil.copytree(hft_tape, copy)

    def change(array: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        if where is None:
            at = 5_000
        elif column == "lots":
            # every size a little larger: the tops no longer fit
            array["lots"][(array["kind"] == where) & (array["lots"] > 0)] += 1
            return
        else:
            at = int(np.flatnonzero(array["kind"] == where)[5_000])
        array[column][at] = 1 if column == "exchange_ns" else array[column][at] + 1

    tamper(copy, name, change)
    assert checks_of(copy)[check].defects > 0


def test_an_order_that_is_no_permutation_is_found_out(hft_tape: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tape"
    shutil.copytree(hft_tape, copy)

    def change(order: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> None:
        order[7] = order[8]

    tamper(copy, "exchange_order.npy", change)
    assert checks_of(copy)["exchange_order"].defects > 0


def test_a_corrupted_u_in_the_capture_is_refused_with_its_place(data_dir: Path, tmp_path: Path) -> None:
    text = gzip.decompress((data_dir / "binance_usdm" / "hft_usdm_btcusdt_20240808.gz").read_bytes())
    lines = text.split(b"\n")[:3_000]
    events = [i for i, line in enumerate(lines) if b"depthUpdate" in line]
    (tmp_path / "good").write_bytes(b"\n".join(lines))
    import_capture([tmp_path / "good"], tmp_path / "tape")
    at, after = events[100], events[101]
    u = json.loads(lines[at].split(b" ", 1)[1])["data"]["u"]
    lines[at] = lines[at].replace(b'"u":%d' % u, b'"u":%d' % (u + 1))
    (tmp_path / "bad").write_bytes(b"\n".join(lines))
    with pytest.raises(BadInput, match=f"expected pu {u + 1}, found {u}") as caught:
        import_capture([tmp_path / "bad"], tmp_path / "other")
    assert caught.value.place == f"line {after + 1}"


def test_the_short_capture(data_dir: Path, tmp_path: Path) -> None:
    out = import_capture([data_dir / "binance_usdm" / "collect_btcusdt_20220811.dat.gz"], tmp_path / "t")
    with Tape.open(out, verify_digests=True) as tape:
        assert (tape.info.rows, tape.info.frames) == (23_950, 1_533)
        assert tape.info.kinds["TRADE"] == 1_326
        assert tape.info.clock.feed_latency == "assumed"
        assert tape.info.depth_interval_ms["binance_usdm:BTCUSDT"].measured_ms == 33.0
    checks = checks_of(out)
    assert not any(check.defects for check in checks.values())
    assert checks["depth_sequence"].checked == 206
    assert not checks["venue_top_agrees"].applies


def test_four_symbols_with_rest_snapshots_and_their_own_filters(data_dir: Path, tmp_path: Path) -> None:
    files = [data_dir / "binance_usdm" / f"cryptofeed_BINANCE_FUTURES.{part}" for part in ("ws.1.0", "http.0.0", "0")]
    out = import_capture(files, tmp_path / "t")
    with Tape.open(out, verify_digests=True) as tape:
        assert [i.symbol for i in tape.instruments] == ["AKROUSDT", "CTKUSDT", "KEEPUSDT", "SUSHIUSDT"]
        assert not any(i.inferred for i in tape.instruments)
        assert tape.info.kinds == {"DEPTH": 11_865, "TRADE": 91, "TOP": 1_226, "CLEAR": 4}
        assert tape.info.clock.feed_latency == "measured"
        # 1,535 stream frames, 4 depth bodies and the exchangeInfo
        assert tape.info.frames == 1_540
        # CTK's tick had been finer: old orders lie between today's ticks
        ctk = tape.instruments[1]
        assert (str(ctk.price_rule.bands(ctk.valid_from)[0].step), str(ctk.quantum)) == ("0.001", "0.00001")
    checks = checks_of(out)
    assert not any(check.defects for check in checks.values())
    assert (checks["depth_sequence"].checked, checks["venue_top_agrees"].checked) == (764, 746)
    with pytest.raises(BadInput, match="expected a depth snapshot among its depth events"):
        import_capture(files[:1], tmp_path / "u")


def test_the_rows_come_back_from_parquet(hft_tape: Path, tmp_path: Path) -> None:
    with Tape.open(hft_tape) as tape:
        out = import_parquet(export_parquet(tape, tmp_path / "t.parquet"), tmp_path / "t")
        with Tape.open(out, verify_digests=True) as again:
            assert np.array_equal(tape.rows, again.rows)
            assert again.instruments == tape.instruments
            assert again.exchange_order is not None
            assert tape.exchange_order is not None
            assert np.array_equal(again.exchange_order, tape.exchange_order)
            assert len(again.frames) == 0
    assert verify(out, FRAME_READERS).passed
